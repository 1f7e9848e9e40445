/* links: log sim */
/* Takes the power at every operation that changes the disk or makes it durable, in small workloads on the simulated
 * disk, and opens what is left: exhaustively where few outcomes are possible, sampled by seed where many are. The law
 * is one sentence: what an open finds is exactly the state after some number of batches, no fewer than were
 * acknowledged. It contains that nothing acknowledged is lost, that batches are atomic, also across groups, and that
 * what was truncated does not return. In a build with -DHF_MUTATIONS the environment variable HOLDFAST_MUTATION plants
 * a bug. */
#include "unit/log/log_model.h"

#include "base/trace.h"
#include "log/log.h"
#include "planted.h"
#include "sim/sim.h"

#define DIRECTORY        "/data/log"
#define SCRIPT_MAX       24u
#define OUTCOMES_ALL_MAX 24u
#define MS               UINT64_C(1000000)

struct script {
    size_t count;
    size_t width; /* batches outstanding at a time */
    struct hf_log_batch *batches[SCRIPT_MAX];
    struct model models[SCRIPT_MAX + 1]; /* after so many batches */
    struct hf_log_options options;
};

/* One process on one host, running the script. */
struct run {
    struct sim *sim;
    struct sim_host *host;
    const struct script *script;
    struct hf_log *log;
    size_t appended;
    size_t acknowledged;
    bool failed;
};

/* ---- scripts ---- */

static void script_begin(struct script *script, size_t width)
{
    memset(script, 0, sizeof(*script));
    script->width = width;
    hf_log_options_init(&script->options);
    script->options.segment_size_bytes = 128 << 10;
    script->options.write_size_max_bytes = 64 << 10;
}

static struct hf_log_batch *script_next(struct script *script)
{
    assert_true(script->count < SCRIPT_MAX);
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    script->models[script->count + 1] = script->models[script->count];
    script->batches[script->count++] = batch;
    return batch;
}

static void script_end(struct script *script)
{
    for (size_t i = 0; i < script->count; i++) {
        hf_log_batch_close(script->batches[i]);
    }
}

static void script_random(struct script *script, uint64_t seed, size_t count, uint32_t payload_max)
{
    struct rng rng;
    rng_seed(&rng, seed);
    for (size_t i = 0; i < count; i++) {
        struct hf_log_batch *batch = script_next(script);
        struct model *model = &script->models[script->count];
        for (uint64_t operations = rng_below(&rng, 3) + 1; operations > 0; operations--) {
            size_t group = rng_below(&rng, MODEL_GROUPS);
            model_random_operation(&model->groups[group], batch, model_group_id(group), &rng, payload_max);
        }
    }
}

/* ---- running one ---- */

static void run_done(void *arg, int result)
{
    struct run *run = arg;
    if (result == 0) {
        run->acknowledged++;
    } else {
        run->failed = true;
    }
}

static bool run_is_alive(const struct run *run)
{
    return sim_host_is_running(run->host) && !run->failed;
}

/* Drives until at most `outstanding` batches are. */
static void run_drive(struct run *run, size_t outstanding)
{
    hf_log_turn(run->log);
    while (run_is_alive(run) && run->appended - run->acknowledged > outstanding) {
        if (!sim_step(run->sim)) {
            sim_run_for(run->sim, MS);
        }
        hf_log_turn(run->log);
    }
}

static void run_script(struct run *run)
{
    int rc = log_open(sim_host_io(run->host), DIRECTORY, &run->script->options, &run->log);
    if (rc != 0) {
        assert_false(sim_host_is_running(run->host));
        return;
    }
    for (size_t i = 0; i < run->script->count && run_is_alive(run); i++) {
        rc = hf_log_append(run->log, run->script->batches[i], run_done, run);
        if (rc != 0) {
            assert_true(rc == HF_EPOISONED || !sim_host_is_running(run->host));
            break;
        }
        run->appended++;
        run_drive(run, run->script->width - 1);
    }
    run_drive(run, 0);
    for (int i = 0; i < 4 && run_is_alive(run); i++) { /* time for the trailer of an idle log */
        sim_run_for(run->sim, 4 * MS);
        hf_log_turn(run->log);
    }
}

static void run_close(struct run *run)
{
    hf_log_close(run->log);
    run->log = NULL;
}

/* ---- checking what is left ---- */

/* How many outcomes are tried where there are too many for all; a nightly run asks for more. */
static uint64_t sample_size(void)
{
    const char *text = getenv("HOLDFAST_SEEDS");
    return text != NULL ? strtoull(text, NULL, 10) : 4;
}

/* The state must be that after k batches, acknowledged ≤ k ≤ appended; returns k. */
static size_t check_state(struct hf_log *log, const struct script *script, size_t acknowledged, size_t appended,
                          const char *when)
{
    struct model_difference first = {""};
    struct model_difference difference;
    for (size_t k = acknowledged; k <= appended; k++) {
        if (model_is(log, &script->models[k], &difference)) {
            return k;
        }
        if (first.text[0] == '\0') {
            first = difference;
        }
    }
    fail_msg("%s: after %zu acknowledged of %zu appended batches: %s", when, acknowledged, appended, first.text);
    return 0;
}

static void check_open(struct sim_host *host, const struct script *script, struct hf_log **log, const char *when)
{
    int rc = log_open(sim_host_io(host), DIRECTORY, &script->options, log);
    if (rc != 0) {
        fail_msg("%s: the log does not open: %s: %s", when, hf_error_name(rc), hf_error_text());
    }
}

/* Appends the batches from k on, one by one, as if nothing had happened. */
static void check_goes_on(struct run *run, size_t k)
{
    run->failed = false;
    run->appended = run->acknowledged = k;
    for (size_t i = k; i < run->script->count; i++) {
        int rc = hf_log_append(run->log, run->script->batches[i], run_done, run);
        if (rc != 0) {
            fail_msg("an append after recovery: %s: %s", hf_error_name(rc), hf_error_text());
        }
        run->appended++;
        run_drive(run, 0);
    }
    assert_int_equal(run->acknowledged, run->script->count);
}

/* Opens the disk as it is now; checks; goes on to the end of the script; opens again; checks again. */
static void check_recovery(struct run *run, size_t acknowledged, size_t appended, bool deep)
{
    struct run next = {.sim = run->sim, .host = run->host, .script = run->script};
    check_open(run->host, run->script, &next.log, "first open");
    size_t k = check_state(next.log, run->script, acknowledged, appended, "first open");
    if (deep) {
        check_goes_on(&next, k);
        check_state(next.log, run->script, run->script->count, run->script->count, "after going on");
        sim_host_power_off(run->host);
        run_close(&next);
        sim_host_start(run->host);
        check_open(run->host, run->script, &next.log, "second open");
        check_state(next.log, run->script, run->script->count, run->script->count, "second open");
    }
    run_close(&next);
}

/* The host is powered off: every outcome, or a sample. */
static void check_outcomes(struct run *run, size_t acknowledged, size_t appended)
{
    struct sim_image *image = sim_image_take(run->host);
    uint64_t count = sim_disk_outcome_count(run->host);
    bool all = count <= OUTCOMES_ALL_MAX;
    uint64_t tries = all ? count : sample_size() + 2;
    for (uint64_t i = 0; i < tries; i++) {
        if (i > 0) {
            sim_host_power_off(run->host);
            sim_image_put(run->host, image);
        }
        if (all || i == 0) {
            sim_disk_choose_outcome(run->host, i);
        } else if (i == 1 && count < UINT64_MAX) {
            sim_disk_choose_outcome(run->host, count - 1);
        }
        sim_host_start(run->host);
        check_recovery(run, acknowledged, appended, i % 5 == 0);
    }
    sim_host_power_off(run->host);
    sim_image_close(image);
}

/* ---- crashing at every operation ---- */

static struct run run_open(const struct script *script, uint64_t seed)
{
    struct run run = {.script = script};
    run.sim = sim_open(seed, NULL);
    run.host = sim_host_add(run.sim, NULL, NULL);
    return run;
}

/* Returns false when the script ended before the k-th operation. */
static bool crash_at(const struct script *script, uint64_t k, enum sim_cut mode)
{
    struct run run = run_open(script, k * 2 + mode);
    sim_disk_cut_at(run.host, k, mode);
    run_script(&run);
    bool happened = !sim_host_is_running(run.host);
    sim_host_power_off(run.host);
    run_close(&run);
    if (happened) {
        check_outcomes(&run, run.acknowledged, run.appended);
    } else {
        assert_int_equal(run.acknowledged, script->count);
    }
    sim_close(run.sim);
    return happened;
}

static void crash_everywhere(const struct script *script)
{
    uint64_t k = 1;
    while (crash_at(script, k, SIM_CUT_DURING)) {
        crash_at(script, k, SIM_CUT_AFTER);
        k++;
    }
    assert_true(k > script->count); /* at least one crash point for each batch: the planned fault did happen */
}

static void P1_one_entry_at_a_time_survives_a_crash_at_every_operation(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 1);
    for (uint64_t i = 0; i < 3; i++) {
        struct hf_log_batch *batch = script_next(&script);
        struct model_entry entry = {.term = 1, .payload_seed = i, .payload_size = 100};
        model_append(&script.models[script.count].groups[0], batch, model_group_id(0), i + 1, entry);
    }
    crash_everywhere(&script);
    script_end(&script);
}

static void L9_batches_across_groups_are_atomic_at_every_crash(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 2);
    for (uint64_t i = 0; i < 3; i++) {
        struct hf_log_batch *batch = script_next(&script);
        struct model *model = &script.models[script.count];
        for (size_t group = 0; group < MODEL_GROUPS; group++) {
            struct model_entry entry = {.term = i + 1, .payload_seed = i * 10 + group, .payload_size = 1500};
            model_append(&model->groups[group], batch, model_group_id(group), i + 1, entry);
            model_hard_state(&model->groups[group], batch, model_group_id(group),
                             (struct hf_hard_state){i + 1, group + 1, i});
        }
    }
    crash_everywhere(&script);
    script_end(&script);
}

static void L3_a_conflicting_suffix_is_replaced_atomically(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 1);
    struct hf_log_batch *batch = script_next(&script);
    struct model_group *group = &script.models[script.count].groups[1];
    for (uint64_t index = 1; index <= 6; index++) {
        model_append(group, batch, model_group_id(1), index, (struct model_entry){1, index, 700});
    }
    batch = script_next(&script);
    group = &script.models[script.count].groups[1];
    model_truncate(group, batch, model_group_id(1), 4);
    model_append(group, batch, model_group_id(1), 4, (struct model_entry){2, 100, 700});
    batch = script_next(&script);
    group = &script.models[script.count].groups[1];
    model_append(group, batch, model_group_id(1), 5, (struct model_entry){2, 101, 700});
    crash_everywhere(&script);
    script_end(&script);
}

static void L42_a_reset_is_one_step(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 1);
    struct hf_log_batch *batch = script_next(&script);
    model_append(&script.models[script.count].groups[2], batch, model_group_id(2), 1, (struct model_entry){1, 1, 50});
    batch = script_next(&script);
    model_reset(&script.models[script.count].groups[2], batch, model_group_id(2), 1000000, 7);
    batch = script_next(&script);
    model_append(&script.models[script.count].groups[2], batch, model_group_id(2), 1000001,
                 (struct model_entry){7, 2, 50});
    batch = script_next(&script);
    model_remove(&script.models[script.count].groups[2], batch, model_group_id(2));
    crash_everywhere(&script);
    script_end(&script);
}

static void L16_rotations_survive_a_crash_at_every_operation(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 3);
    for (uint64_t i = 0; i < 6; i++) {
        struct hf_log_batch *batch = script_next(&script);
        struct model_entry entry = {.term = 1, .payload_seed = i, .payload_size = i == 4 ? 150000 : 50000};
        model_append(&script.models[script.count].groups[0], batch, model_group_id(0), i + 1, entry);
    }
    crash_everywhere(&script);
    script_end(&script);
}

static void P1_random_scripts_survive_a_crash_at_every_operation(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct script script;
        script_begin(&script, seed);
        script_random(&script, seed, 8, seed % 2 == 0 ? 200 : 9000);
        crash_everywhere(&script);
        script_end(&script);
    }
}

/* ---- crashing in the recovery ---- */

/* A crash in the middle of the script, then a crash at every operation of the open that follows. */
static void L55_recovery_survives_a_crash_at_every_operation(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 4);
    script_random(&script, 11, 12, 3000);
    unsigned crashes = 0;
    for (uint64_t first = 14; first <= 24; first += 10) {
        bool happened = true;
        for (uint64_t k = 1; happened; k++) {
            struct run run = run_open(&script, first * 100 + k);
            sim_disk_cut_at(run.host, first, SIM_CUT_AFTER);
            run_script(&run);
            assert_false(sim_host_is_running(run.host));
            sim_host_power_off(run.host);
            run_close(&run);
            sim_host_start(run.host);
            sim_disk_cut_at(run.host, k, k % 2 == 0 ? SIM_CUT_AFTER : SIM_CUT_DURING);
            struct hf_log *log = NULL;
            (void)log_open(sim_host_io(run.host), DIRECTORY, &script.options, &log);
            happened = !sim_host_is_running(run.host);
            sim_host_power_off(run.host);
            hf_log_close(log);
            crashes += happened;
            check_outcomes(&run, run.acknowledged, run.appended);
            sim_close(run.sim);
        }
    }
    assert_true(crashes > 10);
    script_end(&script);
}

/* Appends some batches without waiting, and kills the process in the middle of its writes. */
static void run_and_kill(struct run *run, size_t count)
{
    assert_int_equal(log_open(sim_host_io(run->host), DIRECTORY, &run->script->options, &run->log), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(hf_log_append(run->log, run->script->batches[i], run_done, run), 0);
        run->appended++;
        hf_log_turn(run->log);
        sim_step(run->sim);
    }
    sim_host_kill(run->host);
    run_close(run);
}

/* What an open reported stays, even if requests of the dead process land afterwards, and even if the power goes. */
static void check_that_reports_stay(const struct script *script)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct run run = run_open(script, seed);
        run_and_kill(&run, seed % script->count + 1);
        sim_host_start(run.host);
        struct run next = {.sim = run.sim, .host = run.host, .script = script};
        check_open(run.host, script, &next.log, "after a kill");
        size_t k = check_state(next.log, script, run.acknowledged, run.appended, "after a kill");
        sim_run_for(run.sim, 100 * MS); /* late writes land now */
        sim_host_power_off(run.host);
        run_close(&next);
        sim_host_start(run.host);
        check_open(run.host, script, &next.log, "after late writes");
        check_state(next.log, script, k, k, "after late writes");
        run_close(&next);
        sim_close(run.sim);
    }
}

static void L52_writes_of_a_killed_process_that_land_late_change_nothing(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 8);
    script_random(&script, 21, 16, 3000);
    check_that_reports_stay(&script);
    script_end(&script);
}

/* The page cache of the killed process still shows what the device never got. */
static void L18_what_an_open_reports_was_made_durable_first(void **unused)
{
    (void)unused;
    struct script script;
    script_begin(&script, 8);
    script.options.sync_policy = HF_LOG_SYNC_NONE;
    script_random(&script, 22, 16, 3000);
    check_that_reports_stay(&script);
    script_end(&script);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line; /* thousands of failing disks */
}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P1_one_entry_at_a_time_survives_a_crash_at_every_operation),
        cmocka_unit_test(L9_batches_across_groups_are_atomic_at_every_crash),
        cmocka_unit_test(L3_a_conflicting_suffix_is_replaced_atomically),
        cmocka_unit_test(L42_a_reset_is_one_step),
        cmocka_unit_test(L16_rotations_survive_a_crash_at_every_operation),
        cmocka_unit_test(P1_random_scripts_survive_a_crash_at_every_operation),
        cmocka_unit_test(L55_recovery_survives_a_crash_at_every_operation),
        cmocka_unit_test(L52_writes_of_a_killed_process_that_land_late_change_nothing),
        cmocka_unit_test(L18_what_an_open_reports_was_made_durable_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
