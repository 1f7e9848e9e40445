#include "unit/log/log_fixture.h"

#include <stdatomic.h>

#include "log/log.h"
#include "log/log_state.h"

#define ENTRIES 640

static struct hf_log_stage_stat stage_of(struct fixture *fixture, enum hf_log_stage stage)
{
    struct hf_log_stage_stat stat;
    hf_log_stage_stat(fixture->log, stage, &stat);
    assert_true(stat.below[HF_LOG_STAGE_BOUND_COUNT - 1] <= stat.count);
    for (unsigned i = 1; i < HF_LOG_STAGE_BOUND_COUNT; i++) {
        assert_true(stat.below[i] >= stat.below[i - 1]);
    }
    assert_true(stat.p50_ns <= stat.p90_ns && stat.p90_ns <= stat.p99_ns && stat.p99_ns <= stat.p999_ns);
    assert_true(stat.count == 0 || (stat.min_ns <= stat.max_ns && stat.sum_ns >= stat.max_ns));
    return stat;
}

static void append_some(struct fixture *fixture)
{
    for (uint64_t i = 1; i <= ENTRIES; i += 64) {
        struct hf_entry entries[64];
        for (uint64_t k = 0; k < 64; k++) {
            entries[k] = fixture_entry(i + k, 1, "twelve bytes");
        }
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, entries, 64), 0);
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    }
}

static void every_write_is_measured_and_one_entry_of_64(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    append_some(&fixture);
    struct hf_log_stat stat;
    hf_log_stat(fixture.log, &stat);
    struct hf_log_stage_stat queue = stage_of(&fixture, HF_LOG_STAGE_QUEUE);
    struct hf_log_stage_stat write = stage_of(&fixture, HF_LOG_STAGE_WRITE);
    struct hf_log_stage_stat encode = stage_of(&fixture, HF_LOG_STAGE_ENCODE);
    struct hf_log_stage_stat index = stage_of(&fixture, HF_LOG_STAGE_INDEX);
    assert_int_equal(queue.count, stat.writes);
    assert_int_equal(queue.entries, ENTRIES);
    assert_int_equal(queue.bytes, stat.written_bytes);
    assert_int_equal(write.count, stat.writes);
    assert_int_equal(write.entries, ENTRIES);
    assert_true(write.min_ns > 0);
    assert_int_equal(encode.count, ENTRIES / 64);
    assert_int_equal(encode.bytes, ENTRIES / 64 * 12);
    assert_int_equal(index.count, ENTRIES / 64);
    assert_int_equal(stage_of(&fixture, HF_LOG_STAGE_CALLBACK).entries, 0); /* who waits and drives needs none */
    assert_int_equal(stage_of(&fixture, HF_LOG_STAGE_SYNC).count, 0);       /* a durable write holds its sync */
    fixture_tear_down(&fixture);
}

static void count_done(void *arg, int result)
{
    unsigned *done = arg;
    *done += result == 0;
}

static void callbacks_are_measured_by_the_turn(void **unused)
{
    (void)unused;
    struct fixture fixture;
    unsigned done = 0;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    for (unsigned i = 1; i <= 3; i++) {
        struct hf_entry entry = {.index = i, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of("x", 1)};
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
        assert_int_equal(hf_log_append(fixture.log, fixture.batch, count_done, &done), 0);
    }
    while (done < 3) {
        hf_log_turn_wait(fixture.log, UINT64_C(1000000000));
    }
    assert_int_equal(stage_of(&fixture, HF_LOG_STAGE_CALLBACK).entries, 3);
    fixture_tear_down(&fixture);
}

static void a_sync_of_its_own_is_measured_under_the_relaxed_policies(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture.options.sync_policy = HF_LOG_SYNC_NONE;
    fixture_open(&fixture);
    append_some(&fixture);
    hf_log_batch_clear(fixture.batch); /* a vote is synced under every policy */
    assert_int_equal(hf_log_batch_hard_state(fixture.batch, 1, (struct hf_hard_state){3, 1, 0}), 0);
    assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
    struct hf_log_stage_stat sync = stage_of(&fixture, HF_LOG_STAGE_SYNC);
    assert_true(sync.count >= 1);
    assert_true(sync.bytes >= ENTRIES * 12);
    fixture_tear_down(&fixture);
}

struct told {
    uint64_t count[HF_LOG_STAGE_COUNT];
    uint64_t bytes[HF_LOG_STAGE_COUNT];
};

static void note_measurement(void *arg, const struct hf_log_measurement *measurement)
{
    struct told *told = arg;
    told->count[measurement->stage]++;
    told->bytes[measurement->stage] += measurement->bytes;
}

static void each_measurement_is_told_to_who_asks(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct told told = {0};
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture.options.on_measured = note_measurement;
    fixture.options.callback_arg = &told;
    fixture_open(&fixture);
    append_some(&fixture);
    hf_log_turn(fixture.log);
    for (int stage = 0; stage < HF_LOG_STAGE_COUNT; stage++) {
        struct hf_log_stage_stat stat = stage_of(&fixture, (enum hf_log_stage)stage);
        assert_int_equal(told.count[stage], stat.count);
        assert_int_equal(told.bytes[stage], stat.bytes);
    }
    fixture_tear_down(&fixture);
}

/* A write that its appender makes for itself needs no turn, but what was measured of it has to be told in one. */
static void measurements_are_told_to_who_drives_and_only_waits(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct told told = {0};
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture.options.on_measured = note_measurement;
    fixture.options.callback_arg = &told;
    fixture_open(&fixture);
    for (uint64_t index = 1; index <= 300; index++) {
        assert_int_equal(fixture_append(&fixture, 1, index, 1, "x"), 0);
        assert_int_equal(told.count[HF_LOG_STAGE_WRITE], index);
    }
    /* A driver that sleeps is woken for half of what a turn tells. */
    while (log_deadline_ns(fixture.log) == 0) {
        hf_log_turn(fixture.log);
    }
    fixture.log->stages.pending_count = LOG_STAGES_PENDING_MAX / 2 - 1;
    assert_true(log_deadline_ns(fixture.log) > 0);
    fixture.log->stages.pending_count = LOG_STAGES_PENDING_MAX / 2;
    assert_int_equal(log_deadline_ns(fixture.log), 0);
    fixture.log->stages.pending_count = 0;
    fixture_tear_down(&fixture);
}

static void stages_and_bounds_have_names_and_order(void **unused)
{
    (void)unused;
    static const char *const names[HF_LOG_STAGE_COUNT] = {"queue", "encode", "write", "sync", "index", "callback"};
    for (int stage = 0; stage < HF_LOG_STAGE_COUNT; stage++) {
        assert_string_equal(hf_log_stage_name((enum hf_log_stage)stage), names[stage]);
    }
    assert_int_equal(hf_log_stage_bound_ns(0), 128);
    assert_true(hf_log_stage_bound_ns(HF_LOG_STAGE_BOUND_COUNT - 1) > 4000000000);
    assert_string_equal(hf_log_stage_name((enum hf_log_stage)HF_LOG_STAGE_COUNT), "unknown");
    assert_int_equal(hf_log_stage_bound_ns(HF_LOG_STAGE_BOUND_COUNT), UINT64_MAX);
    struct hf_log_stage_stat stat = {.count = 1};
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    hf_log_stage_stat(fixture.log, (enum hf_log_stage)HF_LOG_STAGE_COUNT, &stat);
    assert_int_equal(stat.count, 0);
    fixture_tear_down(&fixture);
}

/* With a thread that sleeps, who waits writes by himself; the idle trailer still comes from the thread. */
static void a_lone_appender_writes_by_itself_and_the_trailer_follows(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_stat stat = {0};
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    for (uint64_t i = 1; i <= 50; i++) {
        assert_int_equal(fixture_append(&fixture, 1, i, 1, "x"), 0);
        assert_int_equal(fixture_state(&fixture, 1).durable_index, i);
    }
    for (int tries = 0; tries < 30000 && stat.writes <= 50; tries++) {
        usleep(1000);
        hf_log_stat(fixture.log, &stat);
    }
    assert_true(stat.writes > 50);
    fixture_reopen(&fixture);
    fixture_expect(&fixture, 1, 50, 1, "x");
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_write_is_measured_and_one_entry_of_64),
        cmocka_unit_test(callbacks_are_measured_by_the_turn),
        cmocka_unit_test(a_sync_of_its_own_is_measured_under_the_relaxed_policies),
        cmocka_unit_test(each_measurement_is_told_to_who_asks),
        cmocka_unit_test(measurements_are_told_to_who_drives_and_only_waits),
        cmocka_unit_test(stages_and_bounds_have_names_and_order),
        cmocka_unit_test(a_lone_appender_writes_by_itself_and_the_trailer_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
