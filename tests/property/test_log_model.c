/* links: log sim */
/* Random operations against a model, with restarts of every kind in between, on the simulated disk: after each batch
 * and after each restart the log reads exactly as the model does. Operations that the contract forbids are tried as
 * well: they must be refused with the right code and change nothing. In a build with -DHF_MUTATIONS the environment
 * variable HOLDFAST_MUTATION plants a bug. */
#include "crash/log_world.h"

#include "base/trace.h"
#include "planted.h"

struct trial {
    struct world *world;
    uint64_t refusals;
    uint64_t restarts;
    uint64_t operations;
    uint64_t seed;
};

#define OPERATIONS_NIGHTLY UINT64_C(1000000) /* with HOLDFAST_TEST_SCALE=large, from HOLDFAST_SEED_FIRST on */
#define SEEDS_QUICK        12u

/* Seeds that found something once are tried for ever. */
static const uint64_t seeds_kept[] = {
    20261126066, /* a group that was emptied restarted below its commit index, and was called damaged */
};

static void trial_check(struct trial *trial, const char *when)
{
    struct world *world = trial->world;
    assert_int_equal(world->failed, 0);
    struct model_difference difference;
    if (!model_is(world->log, &world->model, &difference)) {
        size_t position = 0;
        struct hf_log_damage damage;
        while (hf_log_damage_next(world->log, &position, &damage) == 0) {
            print_message("group %llu, index %llu, segment %llu, offset %llu: %s\n", (unsigned long long)damage.group,
                          (unsigned long long)damage.index, (unsigned long long)damage.segment,
                          (unsigned long long)damage.offset, damage.reason);
        }
        fail_msg("seed %llu, %s: %s", (unsigned long long)trial->seed, when, difference.text);
    }
    uint64_t id = 0;
    size_t found = 0;
    size_t wanted = 0;
    while (hf_log_group_next(world->log, id, &id) == 0) {
        found++;
    }
    for (size_t i = 0; i < MODEL_GROUPS; i++) {
        wanted += world->model.groups[i].exists;
    }
    assert_int_equal(found, wanted);
}

static void trial_open(struct trial *trial)
{
    struct world *world = trial->world;
    int rc = log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
    if (rc != 0) {
        fail_msg("seed %llu, open: %s: %s", (unsigned long long)trial->seed, hf_error_name(rc), hf_error_text());
    }
}

static void trial_restart(struct trial *trial)
{
    struct world *world = trial->world;
    uint64_t how = rng_below(&world->rng, 4);
    world_drain(world);
    if (how == 3) { /* time for the idle trailer first */
        sim_run_for(world->sim, 6 * MS);
        hf_log_turn(world->log);
        sim_run_for(world->sim, 6 * MS);
        hf_log_turn(world->log);
    }
    if (how == 1) {
        sim_host_kill(world->host);
    } else if (how >= 2) {
        sim_host_power_off(world->host);
    }
    hf_log_close(world->log);
    if (how != 0) {
        sim_host_start(world->host);
    }
    trial_open(trial);
    trial_check(trial, "after a restart");
    trial->restarts++;
}

/* Something that the contract forbids on this group, with the code that it must give. */
static void trial_try_forbidden(struct trial *trial, size_t at)
{
    struct world *world = trial->world;
    struct model_group *group = &world->model.groups[at];
    uint64_t id = model_group_id(at);
    uint64_t last = model_last(group);
    struct hf_entry entry = {
        .index = last + 1, .term = group->count > 0 ? model_term(group, last) : 1, .type = HF_ENTRY_NORMAL};
    int wanted = HF_ECONFLICT;
    hf_log_batch_clear(world->batch);
    uint64_t choice = rng_below(&world->rng, 5);
    bool fixed_start = group->count > 0 || group->anchored;
    if (choice == 0 && fixed_start) {
        entry.index = last + 2 + rng_below(&world->rng, 5); /* a gap */
    } else if (choice == 1 && group->count > 0 && entry.term > 0) {
        entry.term = rng_below(&world->rng, entry.term);
    } else if (choice == 2 && group->count > 0) {
        entry.index = last; /* overwriting */
    } else if (choice == 3 && group->anchored && group->floor > 0) {
        entry.index = group->floor;
        wanted = HF_ECOMPACTED;
    } else {
        assert_int_equal(hf_log_batch_compact(world->batch, id, last + 1), 0);
    }
    /* What comes before it in the batch must not stay either. */
    struct hf_hard_state state = {1000, 1000, 0};
    assert_int_equal(hf_log_batch_hard_state(world->batch, model_group_id((at + 1) % MODEL_GROUPS), state), 0);
    assert_int_equal(hf_log_batch_append(world->batch, id, &entry, 1), 0);
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    if (rc != wanted) {
        fail_msg("seed %llu, choice %d: %s instead of %s", (unsigned long long)trial->seed, (int)choice,
                 hf_error_name(rc), hf_error_name(wanted));
    }
    trial->refusals++;
}

static void trial_append(struct trial *trial, uint32_t payload_max)
{
    struct world *world = trial->world;
    hf_log_batch_clear(world->batch);
    for (uint64_t operations = rng_below(&world->rng, 4); operations > 0; operations--) {
        size_t group = rng_below(&world->rng, MODEL_GROUPS);
        trial->operations++;
        model_random_operation(&world->model.groups[group], world->batch, model_group_id(group), &world->rng,
                               payload_max);
    }
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    if (rc != 0) {
        fail_msg("seed %llu, append: %s: %s", (unsigned long long)trial->seed, hf_error_name(rc), hf_error_text());
    }
    world->appended++;
}

struct tally {
    uint64_t operations;
    uint64_t refusals;
    uint64_t restarts;
};

static void run(uint64_t seed, unsigned steps, struct tally *tally)
{
    struct trial trial = {.world = world_new(seed), .seed = seed};
    struct world *world = trial.world;
    world->options.segment_size_bytes = 1 << 20;
    world->options.write_size_max_bytes = 64 << 10;
    world->options.writes_in_flight_max = (uint32_t)rng_between(&world->rng, 1, 4);
    world->options.sync_policy = seed % 3 == 0 ? HF_LOG_SYNC_ALWAYS : HF_LOG_SYNC_BATCH;
    trial_open(&trial);
    uint32_t payload_max = seed % 2 == 0 ? 100 : 5000;
    for (unsigned step = 0; step < steps; step++) {
        uint64_t choice = rng_below(&world->rng, 100);
        if (choice < 2) {
            trial_restart(&trial);
        } else if (choice < 10) {
            trial_try_forbidden(&trial, rng_below(&world->rng, MODEL_GROUPS));
        } else {
            trial_append(&trial, payload_max);
        }
        if (choice % 3 == 0) {
            hf_log_turn(world->log);
            sim_step(world->sim);
        }
        if (choice % 10 == 0) {
            trial_check(&trial, "while running");
        }
        if (world->appended - world->acknowledged > 20) {
            world_drain(world);
        }
    }
    trial_restart(&trial);
    tally->operations += trial.operations;
    tally->refusals += trial.refusals;
    tally->restarts += trial.restarts;
    world_close(world);
}

static void P1_the_log_agrees_with_the_model_whatever_happens_in_whatever_order(void **unused)
{
    (void)unused;
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    const char *first = getenv("HOLDFAST_SEED_FIRST");
    bool nightly = scale != NULL && strcmp(scale, "large") == 0;
    uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    struct tally tally = {0};
    for (size_t i = 0; i < sizeof(seeds_kept) / sizeof(seeds_kept[0]); i++) {
        run(seeds_kept[i], 400, &tally);
    }
    for (uint64_t i = 0; nightly ? tally.operations < OPERATIONS_NIGHTLY : i < SEEDS_QUICK; i++) {
        run(seed + i, 400, &tally);
    }
    print_message("%llu operations, %llu refusals, %llu restarts from seed %llu on\n",
                  (unsigned long long)tally.operations, (unsigned long long)tally.refusals,
                  (unsigned long long)tally.restarts, (unsigned long long)seed);
    assert_true(tally.refusals > SEEDS_QUICK && tally.restarts > SEEDS_QUICK);
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
        cmocka_unit_test(P1_the_log_agrees_with_the_model_whatever_happens_in_whatever_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
