/* A simulated machine with one log on it, driven by the test, beside a model of what the log should say. */
#ifndef CRASH_LOG_WORLD_H
#define CRASH_LOG_WORLD_H

#include "unit/log/log_model.h"

#include "base/rng.h"
#include "log/log.h"
#include "sim/sim.h"

#define DIRECTORY "/log"
#define MS        UINT64_C(1000000)

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct rng rng;
    struct hf_log *log;
    struct hf_log_options options;
    struct hf_log_batch *batch;
    struct model model;
    uint64_t appended;
    uint64_t acknowledged;
    uint64_t failed; /* of these */
};

static inline void world_done(void *arg, int result)
{
    struct world *world = arg;
    world->acknowledged++;
    world->failed += result != 0;
}

static inline void world_turns(struct world *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 2) {
        sim_run_for(world->sim, 2 * MS);
        hf_log_turn(world->log);
    }
}

/* Appends the batch, which is empty then, and waits for nothing. */
static inline void world_submit(struct world *world)
{
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    if (rc != 0) {
        fail_msg("append: %s: %s", hf_error_name(rc), hf_error_text());
    }
    hf_log_batch_clear(world->batch);
    world->appended++;
}

static inline void world_drain(struct world *world)
{
    hf_log_turn(world->log);
    while (world->acknowledged < world->appended) {
        if (!sim_step(world->sim)) {
            sim_run_for(world->sim, MS);
        }
        hf_log_turn(world->log);
    }
}

static inline void world_check(struct world *world, const char *when)
{
    struct model_difference difference;
    if (!model_is(world->log, &world->model, &difference)) {
        fail_msg("%s: %s", when, difference.text);
    }
}

static inline void world_reopen(struct world *world, const char *when)
{
    int rc = log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
    if (rc != 0) {
        fail_msg("%s: %s: %s", when, hf_error_name(rc), hf_error_text());
    }
}

/* Without a log yet; its cache holds next to nothing, so that reads come from the device. options may be NULL. */
static inline struct world *world_new_with(uint64_t seed, const struct sim_options *options)
{
    struct world *world = memory_new(sizeof(*world));
    rng_seed(&world->rng, seed);
    world->sim = sim_open(seed, options);
    world->host = sim_host_add(world->sim, NULL, NULL);
    hf_log_options_init(&world->options);
    world->options.tail_cache_bytes = 1;
    assert_int_equal(hf_log_batch_open(&world->batch), 0);
    return world;
}

static inline struct world *world_new(uint64_t seed)
{
    return world_new_with(seed, NULL);
}

static inline void world_close(struct world *world)
{
    hf_log_close(world->log);
    hf_log_batch_close(world->batch);
    sim_close(world->sim);
    free(world);
}

#endif
