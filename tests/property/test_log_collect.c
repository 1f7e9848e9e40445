/* links: log sim */
/* Space that comes back, against a model: many groups append, truncate, compact, reset and are removed while segments
 * are collected, given up and recycled, and processes end in every way in between. What an open finds is exactly the
 * state after some number of batches, no fewer than were acknowledged: nothing is lost, doubled or revived. In a build
 * with -DHF_MUTATIONS the environment variable HOLDFAST_MUTATION plants a bug. */
#include "unit/log/log_model.h"

#include "base/trace.h"
#include "log/log.h"
#include "planted.h"
#include "sim/sim.h"

#define DIRECTORY  "/log"
#define MS         UINT64_C(1000000)
#define QUEUED_MAX 8u
#define SEGMENT    (64u << 10)

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct rng rng;
    struct hf_log *log;
    struct hf_log_options options;
    struct hf_log_batch *batch;
    struct model models[QUEUED_MAX + 1]; /* as acknowledged, and after each batch that is not yet */
    size_t queued;
    uint64_t acknowledged; /* of the queued */
    uint64_t moved;
    uint64_t released;
    uint64_t recycled;
    uint64_t restarts;
};

static struct model *world_model(struct world *world)
{
    return &world->models[world->queued];
}

static void world_done(void *arg, int result)
{
    struct world *world = arg;
    assert_true(result == 0 || !sim_host_is_running(world->host));
    world->acknowledged += result == 0;
}

static void world_settle(struct world *world, size_t batches)
{
    memmove(&world->models[0], &world->models[batches], (world->queued - batches + 1) * sizeof(struct model));
    world->queued -= batches;
    world->acknowledged -= batches;
}

static void world_turn(struct world *world)
{
    hf_log_turn(world->log);
    if (!sim_step(world->sim)) {
        sim_run_for(world->sim, MS);
    }
    hf_log_turn(world->log);
    world_settle(world, world->acknowledged);
}

static void world_drain(struct world *world)
{
    while (world->queued > 0 && sim_host_is_running(world->host)) {
        world_turn(world);
    }
}

static void world_check(struct world *world, const char *when)
{
    struct model_difference difference;
    if (!model_is(world->log, world_model(world), &difference)) {
        fail_msg("%s: %s", when, difference.text);
    }
}

static void world_open(struct world *world)
{
    int rc = log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
    if (rc != 0) {
        fail_msg("open: %s: %s", hf_error_name(rc), hf_error_text());
    }
    struct model_difference first = {""};
    struct model_difference difference;
    for (size_t k = world->acknowledged; k <= world->queued; k++) {
        if (model_is(world->log, &world->models[k], &difference)) {
            world->models[0] = world->models[k];
            world->queued = world->acknowledged = 0;
            return;
        }
        first = first.text[0] == '\0' ? difference : first;
    }
    fail_msg("after restart %llu: %s", (unsigned long long)world->restarts, first.text);
}

static void world_note(struct world *world)
{
    struct hf_log_stat stat;
    hf_log_stat(world->log, &stat);
    world->moved += stat.moved_entries;
    world->released += stat.released_segments;
    world->recycled += stat.recycled_segments;
}

static void world_restart(struct world *world)
{
    uint64_t how = rng_below(&world->rng, 4);
    world_note(world);
    if (how == 0) {
        world_drain(world);
    } else if (how == 1) {
        sim_host_kill(world->host);
    } else {
        sim_host_power_off(world->host);
    }
    hf_log_close(world->log);
    if (how != 0) {
        sim_host_start(world->host);
    }
    world->restarts++;
    world_open(world);
}

static void world_append(struct world *world, uint32_t payload_max)
{
    hf_log_batch_clear(world->batch);
    world->models[world->queued + 1] = world->models[world->queued];
    for (uint64_t operations = rng_below(&world->rng, 3) + 1; operations > 0; operations--) {
        /* Two groups are busy; the others are touched rarely, and pin what they can. */
        size_t group =
            rng_chance(&world->rng, 1, 40) ? rng_below(&world->rng, MODEL_GROUPS) : rng_below(&world->rng, 2);
        struct model_group *model = &world->models[world->queued + 1].groups[group];
        model_random_operation(model, world->batch, model_group_id(group), &world->rng, payload_max);
    }
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    if (rc != 0) {
        fail_msg("append: %s: %s", hf_error_name(rc), hf_error_text());
    }
    world->queued++;
}

static void world_begin(struct world *world, uint64_t seed, struct sim_span work_ns)
{
    struct sim_profile profile = sim_profile_calm();
    struct sim_options options = {.profile = &profile};
    profile.work_ns = work_ns;
    memset(world, 0, sizeof(*world));
    rng_seed(&world->rng, seed);
    world->sim = sim_open(seed, &options);
    world->host = sim_host_add(world->sim, NULL, NULL);
    hf_log_options_init(&world->options);
    world->options.segment_size_bytes = SEGMENT;
    world->options.write_size_max_bytes = 64 << 10;
    world->options.tail_cache_bytes = 1; /* cold reads as soon as possible */
    world->options.writes_in_flight_max = (uint32_t)rng_between(&world->rng, 1, 4);
    assert_int_equal(hf_log_batch_open(&world->batch), 0);
    world_open(world);
}

static void world_end(struct world *world)
{
    hf_log_close(world->log);
    hf_log_batch_close(world->batch);
    sim_close(world->sim);
}

static void run(struct world *world, uint64_t seed, unsigned steps, unsigned restart_chance)
{
    world_begin(world, seed, sim_profile_calm().work_ns);
    uint32_t payload_max = seed % 2 == 0 ? 300 : 3000;
    for (unsigned step = 0; step < steps; step++) {
        if (world->queued == QUEUED_MAX || rng_chance(&world->rng, 1, 3)) {
            world_turn(world);
        } else if (rng_chance(&world->rng, 1, restart_chance)) {
            world_restart(world);
        } else {
            world_append(world, payload_max);
        }
        if (rng_chance(&world->rng, 1, 50)) {
            world_check(world, "while running");
        }
    }
    world_restart(world);
    world_end(world);
}

static uint64_t seeds(uint64_t few)
{
    const char *text = getenv("HOLDFAST_SEEDS"); /* a nightly run asks for more */
    return text != NULL ? strtoull(text, NULL, 10) : few;
}

static void L57_nothing_is_lost_doubled_or_revived_by_collection_whenever_a_process_ends(void **unused)
{
    (void)unused;
    struct world *world = memory_new(sizeof(*world));
    uint64_t moved = 0;
    uint64_t released = 0;
    uint64_t recycled = 0;
    for (uint64_t seed = 1; seed <= seeds(10); seed++) {
        run(world, seed, 6000, 100);
        moved += world->moved;
        released += world->released;
        recycled += world->recycled;
    }
    print_message("moved %llu entries, gave up %llu segments, recycled %llu\n", (unsigned long long)moved,
                  (unsigned long long)released, (unsigned long long)recycled);
    assert_true(moved > 100 && released > 100 && recycled > 20);
    free(world);
}

/* ---- entries that change while they are moved ---- */

#define CHANGING 20u

/* A busy group that keeps little, so that the log is always collected; another whose entries are replaced from some
 * index on, now and then: what is read to be moved is often another entry by the time it could be placed. */
static void change(struct world *world, uint64_t step)
{
    hf_log_batch_clear(world->batch);
    world->models[world->queued + 1] = world->models[world->queued];
    struct model_group *busy = &world->models[world->queued + 1].groups[0];
    struct model_group *changing = &world->models[world->queued + 1].groups[1];
    struct model_entry entry = {.term = 1 + step / 50, .payload_seed = step, .payload_size = 2500};
    model_append(busy, world->batch, model_group_id(0), model_last(busy) + 1, entry);
    if (busy->count > 4) {
        model_compact(busy, world->batch, model_group_id(0), model_last(busy) - 4);
    }
    if (changing->count > 0 && rng_chance(&world->rng, 1, 12)) {
        model_truncate(changing, world->batch, model_group_id(1), rng_between(&world->rng, 1, CHANGING));
    }
    while (changing->count < CHANGING) {
        entry.payload_seed = rng_next(&world->rng);
        entry.payload_size = 100; /* as large as the one before it: only its bytes and its term tell */
        model_append(changing, world->batch, model_group_id(1), changing->count + 1, entry);
    }
    assert_int_equal(hf_log_append(world->log, world->batch, world_done, world), 0);
    world->queued++;
}

static void L57_what_was_replaced_while_it_was_moved_is_not_revived(void **unused)
{
    (void)unused;
    struct world *world = memory_new(sizeof(*world));
    uint64_t moved = 0;
    for (uint64_t seed = 1; seed <= seeds(16); seed++) {
        world_begin(world, seed, (struct sim_span){MS, 20 * MS});
        for (uint64_t step = 0; step < 1500; step++) {
            while (world->queued >= 2) {
                world_turn(world);
            }
            change(world, step);
            sim_run_for(world->sim, MS);
            hf_log_turn(world->log);
            if (step % 100 == 99) {
                world_check(world, "while running");
            }
        }
        world_drain(world);
        world_restart(world);
        moved += world->moved;
        world_end(world);
    }
    assert_true(moved > 20);
    free(world);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L57_nothing_is_lost_doubled_or_revived_by_collection_whenever_a_process_ends),
        cmocka_unit_test(L57_what_was_replaced_while_it_was_moved_is_not_revived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
