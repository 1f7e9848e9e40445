/* The forms of an append on the real kernel, with both drivers: waiting for space, barriers, completions by token. */
#include "unit/log/log_fixture.h"

#include <poll.h>
#include <stdatomic.h>
#include <time.h>

#include "log/log_state.h"

static const struct hf_log_options variants[] = {
    {.driver = HF_LOG_DRIVE_THREAD, .sync_policy = HF_LOG_SYNC_BATCH},
    {.driver = HF_LOG_DRIVE_CALLER, .sync_policy = HF_LOG_SYNC_BATCH},
    {.driver = HF_LOG_DRIVE_THREAD, .sync_policy = HF_LOG_SYNC_NONE, .io = HF_LOG_IO_THREADS},
    {.driver = HF_LOG_DRIVE_CALLER, .sync_policy = HF_LOG_SYNC_NONE},
};

static void each_variant(void (*run)(struct fixture *fixture))
{
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        struct fixture fixture;
        fixture_set_up(&fixture);
        fixture.options = variants[i];
        fixture.options.queue_entries_max = 8;
        fixture_open(&fixture);
        run(&fixture);
        fixture_tear_down(&fixture);
    }
}

static int append_with(struct fixture *fixture, uint64_t index, const struct hf_log_append_options *options)
{
    struct hf_entry entry = fixture_entry(index, 1, "entry");
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
    return hf_log_append_with(fixture->log, fixture->batch, options);
}

static void run_patient(struct fixture *fixture)
{
    struct hf_log_append_options patient = {.wait_ms = 60000};
    for (uint64_t i = 1; i <= 500; i++) {
        assert_int_equal(append_with(fixture, i, &patient), 0);
    }
    assert_int_equal(hf_log_sync(fixture->log), 0);
    assert_int_equal(fixture_state(fixture, 1).durable_index, 500);
    fixture_reopen(fixture);
    assert_int_equal(fixture_state(fixture, 1).last_index, 500);
}
static void an_append_waits_for_space_in_a_full_queue(void **unused)
{
    each_variant(run_patient);
}

static void run_full(struct fixture *fixture)
{
    if (fixture->options.driver != HF_LOG_DRIVE_CALLER) {
        return; /* only there is the queue full for as long as we like */
    }
    struct hf_log_append_options impatient = {0};
    for (uint64_t i = 1; i <= 8; i++) {
        assert_int_equal(append_with(fixture, i, &impatient), 0);
    }
    assert_int_equal(append_with(fixture, 9, &impatient), HF_EBUSY);
    assert_int_equal(fixture_state(fixture, 1).last_index, 8);
    assert_int_equal(hf_log_sync(fixture->log), 0);
    assert_int_equal(append_with(fixture, 9, &impatient), 0);
}
static void a_full_queue_refuses_who_does_not_wait(void **unused)
{
    each_variant(run_full);
}

static void run_barrier(struct fixture *fixture)
{
    assert_int_equal(hf_log_sync(fixture->log), 0); /* of nothing */
    assert_int_equal(fixture_append(fixture, 3, 1, 1, "one"), 0);
    assert_int_equal(hf_log_sync(fixture->log), 0);
    assert_int_equal(fixture_state(fixture, 3).durable_index, 1);
    assert_int_equal(hf_log_sync(fixture->log), 0);
}
static void a_barrier_makes_everything_before_it_durable(void **unused)
{
    each_variant(run_barrier);
}

/* What an event loop does: waits for both descriptors, runs turns if it is the driver, takes completions. */
static size_t wait_completions(struct fixture *fixture, struct hf_log_completion *out, size_t max)
{
    bool drives = fixture->options.driver == HF_LOG_DRIVE_CALLER;
    struct pollfd descriptors[2] = {{.fd = hf_log_poll_descriptor(fixture->log), .events = POLLIN},
                                    {.fd = drives ? hf_log_descriptor(fixture->log) : -1, .events = POLLIN}};
    if (drives) {
        hf_log_turn(fixture->log);
    }
    size_t count = hf_log_poll(fixture->log, out, max);
    if (count == 0) {
        assert_true(poll(descriptors, 2, drives ? 10 : 60000) >= 0);
        count = hf_log_poll(fixture->log, out, max);
    }
    return count;
}

static void run_tokens(struct fixture *fixture)
{
    struct hf_log_completion completions[3];
    uint64_t sent = 0;
    uint64_t next = 1;
    while (next <= 300) {
        struct hf_log_append_options options = {.acknowledge = HF_LOG_ACK_DURABLE, .poll = true, .token = sent + 1};
        while (sent < 300 && append_with(fixture, sent + 1, &options) == 0) {
            options.token = ++sent + 1;
        }
        size_t count = wait_completions(fixture, completions, 3);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(completions[i].token, next++);
            assert_int_equal(completions[i].result, 0);
        }
    }
    assert_int_equal(fixture_state(fixture, 1).durable_index, 300);
}
static void an_event_loop_takes_completions_by_token(void **unused)
{
    each_variant(run_tokens);
}

/* Nothing of them is outstanding, however many there were. */
static void run_refused_tokens(struct fixture *fixture)
{
    struct hf_log_completion completion = {0};
    struct hf_log_append_options options = {.poll = true, .token = 7};
    for (unsigned i = 0; i < 20; i++) { /* more than the queue takes */
        assert_int_equal(append_with(fixture, i == 0 ? 9 : 11, &options), i == 0 ? 0 : HF_ECONFLICT);
        for (unsigned tries = 0; i == 0 && wait_completions(fixture, &completion, 1) == 0; tries++) {
            assert_true(tries < 6000);
        }
    }
    assert_int_equal(completion.token, 7);
    assert_int_equal(hf_log_poll(fixture->log, &completion, 1), 0);
    assert_int_equal(append_with(fixture, 10, &options), 0);
}
/* Who does nothing but look again and again, without a descriptor. */
static void run_looking(struct fixture *fixture)
{
    struct hf_log_completion completion;
    bool drives = fixture->options.driver == HF_LOG_DRIVE_CALLER;
    for (uint64_t i = 1; i <= 200; i++) {
        struct hf_log_append_options looking = {.poll = true, .token = i};
        assert_int_equal(hf_log_poll(fixture->log, &completion, 1), 0);
        assert_int_equal(append_with(fixture, i, &looking), 0);
        while (hf_log_poll(fixture->log, &completion, 1) == 0) {
            if (drives) {
                hf_log_turn(fixture->log);
            }
        }
        assert_int_equal(completion.token, i);
        assert_int_equal(completion.result, 0);
        /* What is appended upon it comes soon: a driver thread would stay awake. */
        assert_true(!drives || fixture->log->linger.after_answers);
    }
    assert_int_equal(fixture_state(fixture, 1).last_index, 200);
}
static void completions_come_to_who_looks_all_the_time(void **unused)
{
    each_variant(run_looking);
}

static void a_refused_append_leaves_no_token_behind(void **unused)
{
    each_variant(run_refused_tokens);
}

/* It is not the queue that keeps him waiting, and nobody ends what does. */
static void run_in_vain(struct fixture *fixture)
{
    struct hf_log_append_options patient = {.wait_ms = 20};
    assert_int_equal(fixture_append(fixture, 1, 1, 1, "before"), 0);
    assert_int_equal(hf_log_install_begin(fixture->log, 1, 5, 2, bytes_of_text("snapshot")), 0);
    assert_int_equal(append_with(fixture, 2, &patient), HF_EBUSY);
    assert_non_null(strstr(hf_error_text(), "after 20 ms"));
    assert_int_equal(hf_log_install_cancel(fixture->log, 1), 0);
    assert_int_equal(append_with(fixture, 2, &patient), 0);
}
static void who_waits_in_vain_is_told_when_his_time_is_over(void **unused)
{
    each_variant(run_in_vain);
}

static void count_good(void *arg, int result)
{
    assert_int_equal(result, 0);
    ++*(unsigned *)arg;
}

/* Each kind of acknowledgement, when there is nothing left to wait for and when there is. */
static void run_barriers_of_each_kind(struct fixture *fixture)
{
    static const enum hf_log_acknowledge kinds[] = {HF_LOG_ACK_POLICY, HF_LOG_ACK_WRITTEN, HF_LOG_ACK_DURABLE};
    struct hf_log_append_options impatient = {0};
    uint64_t next = 1;
    for (unsigned i = 0; i < 6; i++) {
        unsigned done = 0;
        struct hf_log_append_options barrier = {.acknowledge = kinds[i % 3], .done = count_good, .arg = &done};
        if (i < 3) {
            assert_int_equal(append_with(fixture, next++, &impatient), 0);
        }
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_append_with(fixture->log, fixture->batch, &barrier), 0);
        assert_int_equal(hf_log_sync(fixture->log), 0); /* also what acknowledges the barrier before it */
        assert_int_equal(done, 1);
        assert_int_equal(fixture_state(fixture, 1).durable_index, next - 1);
    }
}
static void a_barrier_of_any_kind_is_called_back_once(void **unused)
{
    each_variant(run_barriers_of_each_kind);
}

static void note(void *arg, int result)
{
    *(int *)arg = result;
}

/* The ring cancels what a thread that ends has submitted: the driver must see it through first. */
static void L59_closing_completes_what_is_queued(void **unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++) {
        struct fixture fixture;
        int results[3] = {1, 1, 1};
        fixture_set_up(&fixture);
        fixture.options.segment_size_bytes = 1 << 20;
        fixture.options.driver = i % 4 == 3 ? HF_LOG_DRIVE_CALLER : HF_LOG_DRIVE_THREAD;
        fixture.options.io = i % 4 == 2 ? HF_LOG_IO_THREADS : HF_LOG_IO_AUTO;
        fixture_open(&fixture);
        for (uint64_t j = 0; j < 3; j++) {
            struct hf_entry entry = fixture_entry(j + 1, 1, "closing");
            hf_log_batch_clear(fixture.batch);
            assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
            assert_int_equal(hf_log_append(fixture.log, fixture.batch, note, &results[j]), 0);
            usleep((unsigned)i);
        }
        fixture_close(&fixture);
        assert_true(results[0] == 0 && results[1] == 0 && results[2] == 0);
        fixture_tear_down(&fixture);
    }
}

struct successor {
    struct fixture *fixture;
    struct hf_log_batch *batch;
    int appended;
    int told;
};

static void append_successor(void *arg, int result)
{
    struct successor *successor = arg;
    assert_int_equal(result, 0);
    successor->appended = hf_log_append(successor->fixture->log, successor->batch, note, &successor->told);
}

/* What was queued before is seen through; what its callbacks append is not, and is refused. */
static void L59_a_callback_of_the_close_appends_nothing_more(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        struct fixture fixture;
        struct successor successor = {.fixture = &fixture, .appended = 1, .told = 1};
        struct hf_entry second = fixture_entry(2, 1, "too late");
        struct hf_entry first = fixture_entry(1, 1, "in time");
        fixture_set_up(&fixture);
        fixture.options = variants[i];
        fixture_open(&fixture);
        assert_int_equal(hf_log_batch_open(&successor.batch), 0);
        assert_int_equal(hf_log_batch_append(successor.batch, 1, &second, 1), 0);
        assert_int_equal(hf_log_batch_append(fixture.batch, 1, &first, 1), 0);
        assert_int_equal(hf_log_append(fixture.log, fixture.batch, append_successor, &successor), 0);
        struct hf_log *log = fixture.log;
        assert_int_equal(hf_log_close(log), 0);
        fixture.log = NULL;
        assert_true(successor.appended == HF_ECLOSED || (successor.appended == 0 && successor.told == 0));
        assert_true(successor.appended == HF_ECLOSED || fixture.options.driver == HF_LOG_DRIVE_THREAD);
        fixture_open(&fixture);
        assert_int_equal(fixture_state(&fixture, 1).last_index, successor.appended == 0 ? 2 : 1);
        hf_log_batch_close(successor.batch);
        fixture_tear_down(&fixture);
    }
}

/* ---- inside a callback ---- */

struct inside {
    struct fixture *fixture;
    struct hf_log_batch *batch;
    struct hf_log_iterator *iterator; /* at the end of the log */
    int results[8];
    size_t count;
    _Atomic bool is_armed;
    _Atomic bool over;
};

static void wait_inside(void *arg)
{
    struct inside *inside = arg;
    struct hf_log *log = inside->fixture->log;
    struct hf_log_append_options patient = {.wait_ms = 60000};
    struct hf_entry entry;
    int *results = inside->results;
    results[inside->count++] = hf_log_append_wait(log, inside->batch);
    results[inside->count++] = hf_log_sync(log);
    results[inside->count++] = hf_log_append_with(log, inside->batch, &patient);
    results[inside->count++] = hf_log_group_create(log, 7, 1);
    results[inside->count++] = hf_log_group_remove(log, 1);
    results[inside->count++] = hf_log_install_finish(log, 2);
    results[inside->count++] = hf_log_iterator_next(inside->iterator, UINT32_MAX, &entry);
    results[inside->count++] = hf_log_close(log);
    atomic_store(&inside->over, true);
}

static void completed_inside(void *arg, int result)
{
    assert_int_equal(result, 0);
    wait_inside(arg);
}

static void measured_inside(void *arg, const struct hf_log_measurement *measurement)
{
    struct inside *inside = arg;
    if (atomic_exchange(&inside->is_armed, false)) { /* once is enough */
        wait_inside(inside);
    }
}

static void run_inside(struct fixture *fixture, struct inside *inside, hf_log_done *done)
{
    struct hf_entry entry = fixture_entry(2, 1, "second");
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
    assert_int_equal(hf_log_append(fixture->log, fixture->batch, done, inside), 0);
    for (unsigned i = 0; !atomic_load(&inside->over); i++) {
        assert_true(i < 60000);
        if (fixture->options.driver == HF_LOG_DRIVE_CALLER) {
            hf_log_turn(fixture->log);
        }
        usleep(1000);
    }
    assert_int_equal(inside->count, 8);
    for (size_t i = 0; i < inside->count; i++) {
        assert_int_equal(inside->results[i], HF_EUNSUPPORTED);
    }
    assert_int_equal(fixture_append(fixture, 1, 3, 1, "it goes on"), 0);
}

static void what_would_wait_is_refused_inside_a_callback_and_so_is_the_close(void **unused)
{
    for (size_t i = 0; i < 2 * sizeof(variants) / sizeof(variants[0]); i++) {
        struct fixture fixture;
        struct inside inside = {.fixture = &fixture};
        bool measured = i % 2 != 0;
        fixture_set_up(&fixture);
        fixture.options = variants[i / 2];
        fixture.options.on_measured = measured ? measured_inside : NULL;
        fixture.options.callback_arg = &inside;
        fixture_open(&fixture);
        assert_int_equal(fixture_append(&fixture, 2, 1, 1, "first"), 0);
        assert_int_equal(fixture_append(&fixture, 1, 1, 1, "first"), 0);
        assert_int_equal(hf_log_install_begin(fixture.log, 2, 5, 2, bytes_of_text("snapshot")), 0);
        struct hf_log_iterator_options options = {.from = 9};
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, &options, &inside.iterator), 0);
        struct hf_entry entry = fixture_entry(1, 1, "of another group");
        assert_int_equal(hf_log_batch_open(&inside.batch), 0);
        assert_int_equal(hf_log_batch_append(inside.batch, 3, &entry, 1), 0);
        atomic_store(&inside.is_armed, measured);
        run_inside(&fixture, &inside, measured ? NULL : completed_inside);
        hf_log_iterator_close(inside.iterator);
        hf_log_batch_close(inside.batch);
        fixture_tear_down(&fixture);
    }
}

static void done_with_another_log(void *arg, int result)
{
    assert_int_equal(result, 0);
    wait_inside(arg);
}

static void hand_over(struct fixture *fixture, struct hf_log_batch *batch, hf_log_done *done, void *arg)
{
    struct hf_entry entry = fixture_entry(fixture_state(fixture, 9).last_index + 1, 1, "asks the other log");
    hf_log_batch_clear(batch);
    assert_int_equal(hf_log_batch_append(batch, 9, &entry, 1), 0);
    assert_int_equal(hf_log_append(fixture->log, batch, done, arg), 0);
}

/* Each is in a callback of its own log at the same time, and asks for what would wait for the other's driver. */
static void callbacks_of_two_logs_do_not_wait_for_each_other(void **unused)
{
    struct fixture logs[2];
    struct inside insides[2] = {{.fixture = &logs[1]}, {.fixture = &logs[0]}};
    for (size_t i = 0; i < 2; i++) {
        struct hf_entry entry = fixture_entry(1, 1, "of another group");
        struct hf_log_iterator_options options = {.from = 9};
        fixture_set_up(&logs[i]);
        fixture_open(&logs[i]);
        assert_int_equal(fixture_append(&logs[i], 2, 1, 1, "first"), 0);
        assert_int_equal(fixture_append(&logs[i], 1, 1, 1, "first"), 0);
        assert_int_equal(hf_log_install_begin(logs[i].log, 2, 5, 2, bytes_of_text("snapshot")), 0);
        assert_int_equal(hf_log_iterator_open(logs[i].log, 1, &options, &insides[1 - i].iterator), 0);
        assert_int_equal(hf_log_batch_open(&insides[i].batch), 0);
        assert_int_equal(hf_log_batch_append(insides[i].batch, 3, &entry, 1), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        hand_over(&logs[i], logs[i].batch, done_with_another_log, &insides[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        for (unsigned tries = 0; !atomic_load(&insides[i].over); tries++) {
            assert_true(tries < 60000);
            usleep(1000);
        }
        assert_int_equal(insides[i].count, 8);
        for (size_t j = 0; j < insides[i].count; j++) {
            assert_int_equal(insides[i].results[j], HF_EUNSUPPORTED);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(fixture_append(&logs[i], 1, 2, 1, "it goes on"), 0);
        hf_log_iterator_close(insides[1 - i].iterator);
        hf_log_batch_close(insides[i].batch);
        fixture_tear_down(&logs[i]);
    }
}

struct opening {
    const char *directory;
    int result;
    _Atomic bool over;
};

static void open_inside(void *arg, int result)
{
    struct opening *opening = arg;
    struct hf_log *second = NULL;
    opening->result = hf_log_open(opening->directory, NULL, &second);
    atomic_store(&opening->over, true);
}

/* What it had built by then is given back there as anywhere: the leak sanitizer looks. */
static void an_open_that_fails_inside_a_callback_leaves_nothing(void **unused)
{
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    struct opening opening = {.directory = fixture.directory};
    hand_over(&fixture, fixture.batch, open_inside, &opening);
    for (unsigned tries = 0; !atomic_load(&opening.over); tries++) {
        assert_true(tries < 60000);
        usleep(1000);
    }
    assert_int_equal(opening.result, HF_EBUSY);
    fixture_tear_down(&fixture);
}

static unsigned files_in(const char *directory)
{
    unsigned count = 0;
    DIR *opened = opendir(directory);
    assert_non_null(opened);
    for (const struct dirent *entry = readdir(opened); entry != NULL; entry = readdir(opened)) {
        count += entry->d_name[0] != '.' && strstr(entry->d_name, "lock") == NULL;
    }
    closedir(opened);
    return count;
}

/* Nobody else runs turns for him: the file that he needs next is begun all the same. */
static void who_drives_and_only_waits_has_his_next_segment_made(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture.options.segment_size_bytes = 1 << 20;
    fixture_open(&fixture);
    assert_int_equal(fixture_append(&fixture, 1, 1, 1, "x"), 0);
    unsigned before = files_in(fixture.directory);
    for (uint64_t i = 2; i <= 240; i++) { /* a block each: the segment has 255 */
        assert_int_equal(fixture_append(&fixture, 1, i, 1, "x"), 0);
    }
    assert_int_equal(files_in(fixture.directory), before + 1);
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_drives_and_only_waits_has_his_next_segment_made),
        cmocka_unit_test(an_append_waits_for_space_in_a_full_queue),
        cmocka_unit_test(a_full_queue_refuses_who_does_not_wait),
        cmocka_unit_test(a_barrier_makes_everything_before_it_durable),
        cmocka_unit_test(an_event_loop_takes_completions_by_token),
        cmocka_unit_test(completions_come_to_who_looks_all_the_time),
        cmocka_unit_test(a_refused_append_leaves_no_token_behind),
        cmocka_unit_test(who_waits_in_vain_is_told_when_his_time_is_over),
        cmocka_unit_test(a_barrier_of_any_kind_is_called_back_once),
        cmocka_unit_test(L59_closing_completes_what_is_queued),
        cmocka_unit_test(L59_a_callback_of_the_close_appends_nothing_more),
        cmocka_unit_test(what_would_wait_is_refused_inside_a_callback_and_so_is_the_close),
        cmocka_unit_test(callbacks_of_two_logs_do_not_wait_for_each_other),
        cmocka_unit_test(an_open_that_fails_inside_a_callback_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
