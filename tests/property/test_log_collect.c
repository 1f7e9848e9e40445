/* links: log sim */
/* Space that comes back, against a model: many groups append, truncate, compact, reset and are removed while segments
 * are collected, given up and recycled, and processes end in every way in between. What an open finds is exactly the
 * state after some number of batches, no fewer than were acknowledged: nothing is lost, doubled or revived. In a build
 * with -DHF_MUTATIONS the environment variable HOLDFAST_MUTATION plants a bug. */
#include "crash/log_world.h"

#include "base/trace.h"
#include "planted.h"

#define QUEUED_MAX 8u
#define SEGMENT    (64u << 10)

struct trial {
    struct world *world;
    struct model models[QUEUED_MAX + 1]; /* as acknowledged, and after each batch that is not yet */
    size_t queued;
    uint64_t acknowledged; /* of the queued */
    uint64_t moved;
    uint64_t released;
    uint64_t recycled;
    uint64_t restarts;
};

static struct model *trial_model(struct trial *trial)
{
    return &trial->models[trial->queued];
}

static void trial_done(void *arg, int result)
{
    struct trial *trial = arg;
    assert_true(result == 0 || !sim_host_is_running(trial->world->host));
    trial->acknowledged += result == 0;
}

static void trial_settle(struct trial *trial, size_t batches)
{
    memmove(&trial->models[0], &trial->models[batches], (trial->queued - batches + 1) * sizeof(struct model));
    trial->queued -= batches;
    trial->acknowledged -= batches;
}

static void trial_turn(struct trial *trial)
{
    struct world *world = trial->world;
    hf_log_turn(world->log);
    if (!sim_step(world->sim)) {
        sim_run_for(world->sim, MS);
    }
    hf_log_turn(world->log);
    trial_settle(trial, trial->acknowledged);
}

static void trial_drain(struct trial *trial)
{
    while (trial->queued > 0 && sim_host_is_running(trial->world->host)) {
        trial_turn(trial);
    }
}

static void trial_check(struct trial *trial, const char *when)
{
    struct model_difference difference;
    if (!model_is(trial->world->log, trial_model(trial), &difference)) {
        fail_msg("%s: %s", when, difference.text);
    }
}

static void trial_open(struct trial *trial)
{
    struct world *world = trial->world;
    int rc = log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
    if (rc != 0) {
        fail_msg("open: %s: %s", hf_error_name(rc), hf_error_text());
    }
    struct model_difference first = {""};
    struct model_difference difference;
    for (size_t k = trial->acknowledged; k <= trial->queued; k++) {
        if (model_is(world->log, &trial->models[k], &difference)) {
            trial->models[0] = trial->models[k];
            trial->queued = trial->acknowledged = 0;
            return;
        }
        first = first.text[0] == '\0' ? difference : first;
    }
    fail_msg("after restart %llu: %s", (unsigned long long)trial->restarts, first.text);
}

static void trial_note(struct trial *trial)
{
    struct hf_log_stat stat;
    hf_log_stat(trial->world->log, &stat);
    trial->moved += stat.moved_entries;
    trial->released += stat.released_segments;
    trial->recycled += stat.recycled_segments;
}

static void trial_restart(struct trial *trial)
{
    struct world *world = trial->world;
    uint64_t how = rng_below(&world->rng, 4);
    trial_note(trial);
    if (how == 0) {
        trial_drain(trial);
    } else if (how == 1) {
        sim_host_kill(world->host);
    } else {
        sim_host_power_off(world->host);
    }
    hf_log_close(world->log);
    if (how != 0) {
        sim_host_start(world->host);
    }
    trial->restarts++;
    trial_open(trial);
}

static void trial_append(struct trial *trial, uint32_t payload_max)
{
    struct world *world = trial->world;
    hf_log_batch_clear(world->batch);
    trial->models[trial->queued + 1] = trial->models[trial->queued];
    for (uint64_t operations = rng_below(&world->rng, 3) + 1; operations > 0; operations--) {
        /* Two groups are busy; the others are touched rarely, and pin what they can. */
        size_t group =
            rng_chance(&world->rng, 1, 40) ? rng_below(&world->rng, MODEL_GROUPS) : rng_below(&world->rng, 2);
        struct model_group *model = &trial->models[trial->queued + 1].groups[group];
        model_random_operation(model, world->batch, model_group_id(group), &world->rng, payload_max);
    }
    int rc = hf_log_append(world->log, world->batch, trial_done, trial);
    if (rc != 0) {
        fail_msg("append: %s: %s", hf_error_name(rc), hf_error_text());
    }
    trial->queued++;
}

static void trial_begin(struct trial *trial, uint64_t seed, struct sim_span work_ns)
{
    struct sim_profile profile = sim_profile_calm();
    struct sim_options options = {.profile = &profile};
    profile.work_ns = work_ns;
    memset(trial, 0, sizeof(*trial));
    trial->world = world_new_with(seed, &options);
    trial->world->options.segment_size_bytes = SEGMENT;
    trial->world->options.write_size_max_bytes = 64 << 10;
    trial->world->options.writes_in_flight_max = (uint32_t)rng_between(&trial->world->rng, 1, 4);
    trial_open(trial);
}

static void run(struct trial *trial, uint64_t seed, unsigned steps, unsigned restart_chance)
{
    trial_begin(trial, seed, sim_profile_calm().work_ns);
    struct rng *rng = &trial->world->rng;
    uint32_t payload_max = seed % 2 == 0 ? 300 : 3000;
    for (unsigned step = 0; step < steps; step++) {
        if (trial->queued == QUEUED_MAX || rng_chance(rng, 1, 3)) {
            trial_turn(trial);
        } else if (rng_chance(rng, 1, restart_chance)) {
            trial_restart(trial);
        } else {
            trial_append(trial, payload_max);
        }
        if (rng_chance(rng, 1, 50)) {
            trial_check(trial, "while running");
        }
    }
    trial_restart(trial);
    world_close(trial->world);
}

static uint64_t seeds(uint64_t few)
{
    const char *text = getenv("HOLDFAST_SEEDS"); /* a nightly run asks for more */
    return text != NULL ? strtoull(text, NULL, 10) : few;
}

static void L57_nothing_is_lost_doubled_or_revived_by_collection_whenever_a_process_ends(void **unused)
{
    (void)unused;
    struct trial *trial = memory_new(sizeof(*trial));
    uint64_t moved = 0;
    uint64_t released = 0;
    uint64_t recycled = 0;
    for (uint64_t seed = 1; seed <= seeds(10); seed++) {
        run(trial, seed, 6000, 100);
        moved += trial->moved;
        released += trial->released;
        recycled += trial->recycled;
    }
    print_message("moved %llu entries, gave up %llu segments, recycled %llu\n", (unsigned long long)moved,
                  (unsigned long long)released, (unsigned long long)recycled);
    assert_true(moved > 100 && released > 100 && recycled > 20);
    free(trial);
}

/* ---- entries that change while they are moved ---- */

#define CHANGING 20u

/* A busy group that keeps little, so that the log is always collected; another whose entries are replaced from some
 * index on, now and then: what is read to be moved is often another entry by the time it could be placed. */
static void change(struct trial *trial, uint64_t step)
{
    struct world *world = trial->world;
    hf_log_batch_clear(world->batch);
    trial->models[trial->queued + 1] = trial->models[trial->queued];
    struct model_group *busy = &trial->models[trial->queued + 1].groups[0];
    struct model_group *changing = &trial->models[trial->queued + 1].groups[1];
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
    assert_int_equal(hf_log_append(world->log, world->batch, trial_done, trial), 0);
    trial->queued++;
}

static void L57_what_was_replaced_while_it_was_moved_is_not_revived(void **unused)
{
    (void)unused;
    struct trial *trial = memory_new(sizeof(*trial));
    uint64_t moved = 0;
    for (uint64_t seed = 1; seed <= seeds(16); seed++) {
        trial_begin(trial, seed, (struct sim_span){MS, 20 * MS});
        for (uint64_t step = 0; step < 1500; step++) {
            while (trial->queued >= 2) {
                trial_turn(trial);
            }
            change(trial, step);
            sim_run_for(trial->world->sim, MS);
            hf_log_turn(trial->world->log);
            if (step % 100 == 99) {
                trial_check(trial, "while running");
            }
        }
        trial_drain(trial);
        trial_restart(trial);
        moved += trial->moved;
        world_close(trial->world);
    }
    assert_true(moved > 20);
    free(trial);
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
