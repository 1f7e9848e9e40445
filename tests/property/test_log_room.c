/* links: log sim */
/* By chance: a log on a device that is always nearly full, mostly with what was compacted, under every sync policy.
 * What was accepted is acknowledged, the driver sleeps when there is nothing to do, and whoever compacts gets room
 * again. */
#include "unit/log/log_model.h"

#include "base/rng.h"
#include "log/log.h"
#include "log/log_state.h"
#include "sim/sim.h"

#define DIRECTORY "/log"
#define MS        UINT64_C(1000000)
#define GROUPS    4u
#define VAIN_MAX  100u  /* turns in which the driver wakes at once again */
#define WAIT_MS   60000 /* in which what was accepted is acknowledged */

struct world {
    uint64_t seed;
    struct rng rng;
    struct sim *sim;
    struct sim_host *host;
    struct hf_log_options options;
    struct hf_log *log;
    struct hf_log_batch *batch;
    uint64_t last[GROUPS]; /* index of what was accepted */
    uint64_t accepted;
    uint64_t acknowledged;
    uint64_t refused;
};

static void world_done(void *arg, int result)
{
    struct world *world = arg;
    if (result != 0) {
        fail_msg("seed %d: an append fails: %s", (int)world->seed, hf_error_name(result));
    }
    world->acknowledged++;
}

/* A turn now, and those that the driver would run at once behind it. */
static void world_turn(struct world *world)
{
    unsigned turns = 0;
    do {
        hf_log_turn(world->log);
        if (++turns > VAIN_MAX) {
            fail_msg("seed %d: the driver does not sleep", (int)world->seed);
        }
    } while (log_deadline_ns(world->log) <= io_monotonic_ns(sim_host_io(world->host)));
}

static void world_run(struct world *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        world_turn(world);
        sim_run_for(world->sim, MS);
    }
    world_turn(world);
}

static void world_settle(struct world *world)
{
    for (unsigned i = 0; i < WAIT_MS && world->acknowledged < world->accepted; i++) {
        world_run(world, 1);
    }
    if (world->acknowledged < world->accepted) {
        fail_msg("seed %d: %d of %d appends are acknowledged", (int)world->seed, (int)world->acknowledged,
                 (int)world->accepted);
    }
}

static void world_open(struct world *world)
{
    int rc = log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
    if (rc != 0) {
        fail_msg("seed %d: open: %s", (int)world->seed, hf_error_text());
    }
}

static struct world *world_new(uint64_t seed)
{
    struct world *world = memory_new(sizeof(*world));
    world->seed = seed;
    rng_seed(&world->rng, seed);
    world->sim = sim_open(seed, NULL);
    world->host = sim_host_add(world->sim, NULL, NULL);
    hf_log_options_init(&world->options);
    world->options.segment_size_bytes = UINT64_C(128) << (10 + rng_below(&world->rng, 4));
    world->options.reserve_bytes = (8 + rng_below(&world->rng, 4)) * world->options.segment_size_bytes;
    world->options.writes_in_flight_max = 1 + (uint32_t)rng_below(&world->rng, 4);
    world->options.sync_policy = (enum hf_log_sync_policy)rng_below(&world->rng, 4);
    world->options.write_size_max_bytes = 64u << (10 + rng_below(&world->rng, 3));
    assert_int_equal(hf_log_batch_open(&world->batch), 0);
    world_open(world);
    uint64_t room = 4 * world->options.segment_size_bytes + rng_below(&world->rng, 8 << 20);
    sim_disk_set_capacity(world->host, sim_disk_used_bytes(world->host) + world->options.reserve_bytes + room);
    log_pool_forget_free_bytes(&world->log->pool);
    return world;
}

static void world_close(struct world *world)
{
    hf_log_close(world->log);
    hf_log_batch_close(world->batch);
    sim_close(world->sim);
    free(world);
}

static bool world_append(struct world *world, unsigned group, size_t size)
{
    uint8_t *payload = memory_new(size + 1);
    struct hf_entry entry = {
        .index = world->last[group] + 1, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, size)};
    hf_log_batch_clear(world->batch);
    assert_int_equal(hf_log_batch_append(world->batch, group + 1, &entry, 1), 0);
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    free(payload);
    if (rc != 0 && rc != HF_ENOSPACE && rc != HF_EBUSY) {
        fail_msg("seed %d: append: %s", (int)world->seed, hf_error_text());
    }
    world->accepted += rc == 0;
    world->last[group] += rc == 0;
    world->refused += rc == HF_ENOSPACE;
    return rc == 0;
}

static void world_compact(struct world *world, unsigned group, uint64_t index)
{
    hf_log_batch_clear(world->batch);
    assert_int_equal(hf_log_batch_compact(world->batch, group + 1, index), 0);
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    if (rc != 0 && rc != HF_EBUSY) {
        fail_msg("seed %d: compact: %s", (int)world->seed, hf_error_text());
    }
    world->accepted += rc == 0;
}

static void world_act(struct world *world)
{
    unsigned group = (unsigned)rng_below(&world->rng, GROUPS);
    size_t size_max = (size_t)world->options.segment_size_bytes / 3;
    switch (rng_below(&world->rng, 12)) {
    case 0:
        world_settle(world);
        world_compact(world, group, world->last[group] - rng_below(&world->rng, world->last[group] / 4 + 1));
        return;
    case 1:
        world_run(world, rng_below(&world->rng, 300));
        return;
    case 2:
        for (unsigned i = 0; i < 100; i++) {
            world_append(world, group, (size_t)rng_below(&world->rng, 30000));
        }
        return;
    case 3:
        world_append(world, group, (size_t)rng_below(&world->rng, size_max));
        return;
    default:
        world_append(world, group, (size_t)rng_below(&world->rng, 3000));
        hf_log_turn(world->log);
        sim_run_for(world->sim, MS / 10);
    }
}

/* Short of space, but nothing happens any more: so nothing is moved round and round. */
static void world_expect_rest(struct world *world)
{
    struct hf_log_stat before;
    struct hf_log_stat after;
    world_settle(world);
    world_run(world, 3000);
    hf_log_stat(world->log, &before);
    world_run(world, 2000);
    hf_log_stat(world->log, &after);
    if (after.moved_bytes != before.moved_bytes || after.writes != before.writes) {
        fail_msg("seed %d: a log at rest writes", (int)world->seed);
    }
}

/* All of it is durable, and a trailer says so: else an open needs room for a copy of it. */
static void world_sync(struct world *world)
{
    struct hf_log_append_options options = {.done = world_done, .arg = world, .acknowledge = HF_LOG_ACK_DURABLE};
    hf_log_batch_clear(world->batch);
    world_settle(world);
    assert_int_equal(hf_log_append_with(world->log, world->batch, &options), 0);
    world->accepted++;
    world_settle(world);
    world_run(world, 30);
}

/* With what was acknowledged; the power goes or the log is closed. */
static void world_restart(struct world *world)
{
    struct hf_log_group_state state;
    /* The relaxed policies sync 16 MiB at a time: more than the headroom here, in which an open would copy them. */
    bool power = rng_below(&world->rng, 2) == 0 && world->options.sync_policy <= HF_LOG_SYNC_ALWAYS;
    world_sync(world);
    if (power) {
        sim_host_power_off(world->host);
    }
    hf_log_close(world->log);
    if (power) {
        sim_host_start(world->host);
    }
    world_open(world);
    for (unsigned i = 0; i < GROUPS; i++) {
        assert_int_equal(hf_log_group_state(world->log, i + 1, &state), 0);
        if (state.last_index != world->last[i] || state.damaged) {
            fail_msg("seed %d: group %u ends at %d", (int)world->seed, i + 1, (int)state.last_index);
        }
    }
}

static void world_expect_room(struct world *world)
{
    world_settle(world);
    for (unsigned i = 0; i < GROUPS; i++) {
        world_compact(world, i, world->last[i]);
    }
    world_settle(world);
    for (unsigned i = 0; i < 200 && !world_append(world, 0, 20000); i++) {
        world_run(world, 100);
    }
    uint64_t refused = world->refused;
    world_run(world, 2000);
    if (!world_append(world, 1, 20000)) {
        fail_msg("seed %d: no room though all is compacted (%d refused)", (int)world->seed, (int)refused);
    }
    world_settle(world);
}

static void what_a_full_device_accepts_it_acknowledges_and_compaction_makes_room(void **unused)
{
    (void)unused;
    const char *text = getenv("HOLDFAST_SEEDS");
    uint64_t seeds = text != NULL ? strtoull(text, NULL, 10) : 40;
    uint64_t refused = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct world *world = world_new(seed);
        for (unsigned round = 0; round < 4; round++) {
            for (unsigned i = 0; i < 150; i++) {
                world_act(world);
            }
            world_expect_rest(world);
            world_restart(world);
            if (round % 2 == 1) {
                world_expect_room(world);
            }
        }
        refused += world->refused;
        world_close(world);
    }
    assert_true(refused > seeds); /* it was full */
}

/* Each small entry took a block of its own: packed once, they stay. */
static void small_writes_are_packed_once_under_every_policy(void **unused)
{
    (void)unused;
    for (unsigned policy = HF_LOG_SYNC_BATCH; policy <= HF_LOG_SYNC_NONE; policy++) {
        struct world *world = world_new(1);
        hf_log_close(world->log);
        sim_disk_set_capacity(world->host, 0);
        world->options.sync_policy = (enum hf_log_sync_policy)policy;
        world_open(world);
        for (unsigned i = 0; i < 2000; i++) {
            assert_true(world_append(world, 0, 100));
            hf_log_turn(world->log);
            world_settle(world);
        }
        world_expect_rest(world);
        struct hf_log_stat stat;
        hf_log_stat(world->log, &stat);
        assert_true(stat.moved_entries > 0 || policy == HF_LOG_SYNC_NONE); /* that one has synced nothing yet */
        world_close(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_full_device_accepts_it_acknowledges_and_compaction_makes_room),
        cmocka_unit_test(small_writes_are_packed_once_under_every_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
