/* links: log sim */
/* By chance: a log on a device that is always nearly full, mostly with what was compacted, under every sync policy.
 * What was accepted is acknowledged, the driver sleeps when there is nothing to do, and whoever compacts gets room
 * again. */
#include "crash/log_world.h"

#include "log/log_state.h"

#define GROUPS      4u
#define VAIN_MAX    100u  /* turns in which the driver wakes at once again */
#define WAIT_MS     60000 /* in which what was accepted is acknowledged */
#define SEEDS       40u
#define SEEDS_SMALL 15u /* in builds that are many times slower: HOLDFAST_TEST_SCALE=small */

/* The machine, and what this file asks of it. */
struct room {
    uint64_t seed;
    struct world *world;
    uint64_t last[GROUPS]; /* index of what was accepted */
    uint64_t refused;
};

/* A turn now, and those that the driver would run at once behind it. */
static void room_turn(struct room *room)
{
    unsigned turns = 0;
    do {
        hf_log_turn(room->world->log);
        if (++turns > VAIN_MAX) {
            fail_msg("seed %d: the driver does not sleep", (int)room->seed);
        }
    } while (log_deadline_ns(room->world->log) <= io_monotonic_ns(sim_host_io(room->world->host)));
}

static void room_run(struct room *room, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        room_turn(room);
        sim_run_for(room->world->sim, MS);
    }
    room_turn(room);
}

static void room_settle(struct room *room)
{
    for (unsigned i = 0; i < WAIT_MS && room->world->acknowledged < room->world->appended; i++) {
        room_run(room, 1);
    }
    if (room->world->failed > 0) {
        fail_msg("seed %d: an append fails", (int)room->seed);
    }
    if (room->world->acknowledged < room->world->appended) {
        fail_msg("seed %d: %d of %d appends are acknowledged", (int)room->seed, (int)room->world->acknowledged,
                 (int)room->world->appended);
    }
}

static void room_open(struct room *room)
{
    char when[32];
    snprintf(when, sizeof(when), "seed %d: open", (int)room->seed);
    world_reopen(room->world, when);
}

static struct room *room_new(uint64_t seed)
{
    struct room *room = memory_new(sizeof(*room));
    struct world *world = world_new(seed);
    struct hf_log_options *options = &world->options;
    room->seed = seed;
    room->world = world;
    options->tail_cache_bytes = 0; /* as large as ever */
    options->segment_size_bytes = UINT64_C(128) << (10 + rng_below(&world->rng, 4));
    options->reserve_bytes = (8 + rng_below(&world->rng, 4)) * options->segment_size_bytes;
    options->writes_in_flight_max = 1 + (uint32_t)rng_below(&world->rng, 4);
    options->sync_policy = (enum hf_log_sync_policy)rng_below(&world->rng, 4);
    options->write_size_max_bytes = 64u << (10 + rng_below(&world->rng, 3));
    room_open(room);
    uint64_t space = 4 * options->segment_size_bytes + rng_below(&world->rng, 8 << 20);
    sim_disk_set_capacity(world->host, sim_disk_used_bytes(world->host) + options->reserve_bytes + space);
    log_pool_forget_free_bytes(&world->log->pool);
    return room;
}

static void room_close(struct room *room)
{
    world_close(room->world);
    free(room);
}

static bool room_append(struct room *room, unsigned group, size_t size)
{
    uint8_t *payload = memory_new(size + 1);
    struct hf_entry entry = {
        .index = room->last[group] + 1, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, size)};
    hf_log_batch_clear(room->world->batch);
    assert_int_equal(hf_log_batch_append(room->world->batch, group + 1, &entry, 1), 0);
    int rc = hf_log_append(room->world->log, room->world->batch, world_done, room->world);
    free(payload);
    if (rc != 0 && rc != HF_ENOSPACE && rc != HF_EBUSY) {
        fail_msg("seed %d: append: %s", (int)room->seed, hf_error_text());
    }
    room->world->appended += rc == 0;
    room->last[group] += rc == 0;
    room->refused += rc == HF_ENOSPACE;
    return rc == 0;
}

static void room_compact(struct room *room, unsigned group, uint64_t index)
{
    hf_log_batch_clear(room->world->batch);
    assert_int_equal(hf_log_batch_compact(room->world->batch, group + 1, index), 0);
    int rc = hf_log_append(room->world->log, room->world->batch, world_done, room->world);
    if (rc != 0 && rc != HF_EBUSY) {
        fail_msg("seed %d: compact: %s", (int)room->seed, hf_error_text());
    }
    room->world->appended += rc == 0;
}

static void room_act(struct room *room)
{
    unsigned group = (unsigned)rng_below(&room->world->rng, GROUPS);
    size_t size_max = (size_t)room->world->options.segment_size_bytes / 3;
    switch (rng_below(&room->world->rng, 12)) {
    case 0:
        room_settle(room);
        room_compact(room, group, room->last[group] - rng_below(&room->world->rng, room->last[group] / 4 + 1));
        return;
    case 1:
        room_run(room, rng_below(&room->world->rng, 300));
        return;
    case 2:
        for (unsigned i = 0; i < 100; i++) {
            room_append(room, group, (size_t)rng_below(&room->world->rng, 30000));
        }
        return;
    case 3:
        room_append(room, group, (size_t)rng_below(&room->world->rng, size_max));
        return;
    default:
        room_append(room, group, (size_t)rng_below(&room->world->rng, 3000));
        hf_log_turn(room->world->log);
        sim_run_for(room->world->sim, MS / 10);
    }
}

/* Short of space, but nothing happens any more: so nothing is moved round and round. */
static void room_expect_rest(struct room *room)
{
    struct hf_log_stat before;
    struct hf_log_stat after;
    room_settle(room);
    room_run(room, 3000);
    hf_log_stat(room->world->log, &before);
    room_run(room, 2000);
    hf_log_stat(room->world->log, &after);
    if (after.moved_bytes != before.moved_bytes || after.writes != before.writes) {
        fail_msg("seed %d: a log at rest writes", (int)room->seed);
    }
}

/* All of it is durable, and a trailer says so: else an open needs room for a copy of it. */
static void room_sync(struct room *room)
{
    struct hf_log_append_options options = {.done = world_done, .arg = room->world, .acknowledge = HF_LOG_ACK_DURABLE};
    hf_log_batch_clear(room->world->batch);
    room_settle(room);
    assert_int_equal(hf_log_append_with(room->world->log, room->world->batch, &options), 0);
    room->world->appended++;
    room_settle(room);
    room_run(room, 30);
}

/* With what was acknowledged; the power goes or the log is closed. */
static void room_restart(struct room *room)
{
    struct hf_log_group_state state;
    /* The relaxed policies sync 16 MiB at a time: more than the headroom here, in which an open would copy them. */
    bool power = rng_below(&room->world->rng, 2) == 0 && room->world->options.sync_policy <= HF_LOG_SYNC_ALWAYS;
    room_sync(room);
    if (power) {
        sim_host_power_off(room->world->host);
    }
    hf_log_close(room->world->log);
    if (power) {
        sim_host_start(room->world->host);
    }
    room_open(room);
    for (unsigned i = 0; i < GROUPS; i++) {
        assert_int_equal(hf_log_group_state(room->world->log, i + 1, &state), 0);
        if (state.last_index != room->last[i] || state.damaged) {
            fail_msg("seed %d: group %u ends at %d", (int)room->seed, i + 1, (int)state.last_index);
        }
    }
}

static void room_expect_room(struct room *room)
{
    room_settle(room);
    for (unsigned i = 0; i < GROUPS; i++) {
        room_compact(room, i, room->last[i]);
    }
    room_settle(room);
    for (unsigned i = 0; i < 200 && !room_append(room, 0, 20000); i++) {
        room_run(room, 100);
    }
    uint64_t refused = room->refused;
    room_run(room, 2000);
    if (!room_append(room, 1, 20000)) {
        fail_msg("seed %d: no room though all is compacted (%d refused)", (int)room->seed, (int)refused);
    }
    room_settle(room);
}

static void what_a_full_device_accepts_it_acknowledges_and_compaction_makes_room(void **unused)
{
    (void)unused;
    const char *text = getenv("HOLDFAST_SEEDS");
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    uint64_t seeds = scale != NULL && strcmp(scale, "small") == 0 ? SEEDS_SMALL : SEEDS;
    seeds = text != NULL ? strtoull(text, NULL, 10) : seeds;
    uint64_t refused = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct room *room = room_new(seed);
        for (unsigned round = 0; round < 4; round++) {
            for (unsigned i = 0; i < 150; i++) {
                room_act(room);
            }
            room_expect_rest(room);
            room_restart(room);
            if (round % 2 == 1) {
                room_expect_room(room);
            }
        }
        refused += room->refused;
        room_close(room);
    }
    assert_true(refused > seeds); /* it was full */
}

/* Each small entry took a block of its own: packed once, they stay. */
static void small_writes_are_packed_once_under_every_policy(void **unused)
{
    (void)unused;
    for (unsigned policy = HF_LOG_SYNC_BATCH; policy <= HF_LOG_SYNC_NONE; policy++) {
        struct room *room = room_new(1);
        hf_log_close(room->world->log);
        sim_disk_set_capacity(room->world->host, 0);
        room->world->options.sync_policy = (enum hf_log_sync_policy)policy;
        room_open(room);
        for (unsigned i = 0; i < 2000; i++) {
            assert_true(room_append(room, 0, 100));
            hf_log_turn(room->world->log);
            room_settle(room);
        }
        room_expect_rest(room);
        struct hf_log_stat stat;
        hf_log_stat(room->world->log, &stat);
        assert_true(stat.moved_entries > 0 || policy == HF_LOG_SYNC_NONE); /* that one has synced nothing yet */
        room_close(room);
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
