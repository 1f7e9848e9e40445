/* The workbench of the tests of the log items (L1 to L60). A workload (log_items_model.h) runs three ways: plain; with
 * a failure planned at each operation of the disk in turn; with the power taken at each operation in turn, and several
 * subsets kept of what was undecided. The law is always the same: what is readable is exactly what was appended; what
 * an open finds is exactly the state after some number of batches, at least those that were acknowledged;
 * acknowledgements come in order, and none after a failure. */
#ifndef CONTRACT_LOG_ITEMS_H
#define CONTRACT_LOG_ITEMS_H

#include "contract/log_items_model.h"

#include "base/trace.h"
#include "planted.h"

#define ITEMS_DIRECTORY    "/data/log"
#define ITEMS_MS           UINT64_C(1000000)
#define ITEMS_PATIENCE_NS  (20000 * ITEMS_MS) /* of simulated time; a log that takes longer hangs */
#define ITEMS_REFUSALS_MAX 200u

/* ---- one process that runs a workload ---- */

struct items_run;
struct items_ticket {
    struct items_run *run;
    size_t number;
};
struct items_run {
    struct sim *sim;
    struct sim_host *host;
    struct items *items;
    struct hf_log *log;
    size_t appended;
    size_t called; /* callbacks, in order */
    size_t acknowledged;
    unsigned refused;
    bool may_stall; /* a batch that is not answered is no failure of the test, but noted */
    bool stalled;
    unsigned refused_max; /* by default ITEMS_REFUSALS_MAX, and then the test fails; else the workload waits there */
    uint64_t steps_left;  /* when not 0: the power goes after so many events */
    int failed;           /* the first result of a callback that is not 0 */
    int poisoned;         /* HF_EPOISONED when an append said so */
    const char *when;
    struct items_ticket tickets[ITEMS_BATCHES_MAX];
};

static inline void items_done(void *arg, int result)
{
    struct items_ticket *ticket = arg;
    struct items_run *run = ticket->run;
    if (ticket->number != run->called) {
        fail_msg("%s: batch %zu is answered when it is the turn of %zu", run->when, ticket->number, run->called);
    }
    run->called++;
    if (result == 0) {
        if (run->failed != 0) {
            fail_msg("%s: batch %zu is acknowledged after a failure", run->when, ticket->number);
        }
        run->acknowledged++;
    } else if (result == HF_EPOISONED || result == HF_ECLOSED) {
        run->failed = run->failed != 0 ? run->failed : result;
    } else {
        fail_msg("%s: batch %zu is answered with %s", run->when, ticket->number, hf_error_name(result));
    }
}
static inline void items_world(struct items_run *run, struct items *items, uint64_t seed)
{
    struct sim_options options = {.profile = &items->profile};
    memset(run, 0, sizeof(*run));
    run->items = items;
    run->when = "";
    run->sim = sim_open(seed, &options);
    run->host = sim_host_add(run->sim, NULL, &items->host);
}
static inline int items_open(struct items_run *run)
{
    return log_open(sim_host_io(run->host), ITEMS_DIRECTORY, &run->items->options, &run->log);
}
static inline void items_open_surely(struct items_run *run)
{
    int rc = items_open(run);
    if (rc != 0) {
        fail_msg("%s: the log does not open: %s: %s", run->when, hf_error_name(rc), hf_error_text());
    }
}
static inline void items_close(struct items_run *run)
{
    hf_log_close(run->log);
    run->log = NULL;
}
static inline void items_step(struct items_run *run)
{
    if (!sim_step(run->sim)) {
        sim_run_for(run->sim, ITEMS_MS);
    }
    if (run->steps_left > 0 && --run->steps_left == 0) {
        sim_host_power_off(run->host);
    }
    if (sim_host_is_running(run->host)) {
        hf_log_turn(run->log);
    }
}
/* Until at most `outstanding` batches wait for their answer. */
static inline void items_drive(struct items_run *run, size_t outstanding)
{
    uint64_t limit = sim_now_ns(run->sim) + ITEMS_PATIENCE_NS;
    hf_log_turn(run->log);
    while (sim_host_is_running(run->host) && run->appended - run->called > outstanding) {
        if (sim_now_ns(run->sim) > limit) {
            run->stalled = true;
            if (run->may_stall) {
                return;
            }
            fail_msg("%s: batch %zu is never answered", run->when, run->called);
        }
        items_step(run);
    }
}
/* Lets the log do what it does by itself. */
static inline void items_idle(struct items_run *run, uint64_t duration_ns)
{
    uint64_t limit = sim_now_ns(run->sim) + duration_ns;
    while (sim_host_is_running(run->host) && sim_now_ns(run->sim) < limit) {
        sim_run_for(run->sim, ITEMS_MS);
        if (sim_host_is_running(run->host)) {
            hf_log_turn(run->log);
        }
    }
}
/* Appends the next batch; its refusal must leave everything as it was. */
static inline int items_append_next(struct items_run *run)
{
    struct items *items = run->items;
    size_t number = run->appended;
    run->tickets[number] = (struct items_ticket){run, number};
    /* Before the call: the callback may run inside it. */
    run->appended++;
    int rc = hf_log_append(run->log, items->batches[number], items_done, &run->tickets[number]);
    if (rc != 0) {
        assert_int_equal(run->called <= number, 1);
        run->appended = number;
    }
    return rc;
}
/* A batch whose last operation is forbidden: a gap, a term that decreases, an entry once more. It is refused, and
 * neither it nor the log is changed; a log that failed says so instead. */
static inline void items_intrude(struct items_run *run)
{
    static const uint64_t indexes[][2] = {{1, 3}, {1, 2}, {1, 1}};
    static const uint64_t terms[][2] = {{90, 90}, {90, 89}, {90, 90}};
    struct hf_log_batch *batch = NULL;
    struct items_model *model = &run->items->models[run->appended];
    size_t way = run->appended % 3;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(hf_log_batch_hard_state(batch, items_ids[2], (struct hf_hard_state){91, 91, 0}), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct items_group *group = &model->groups[0];
        struct hf_entry entry = {.index = group->floor + group->count + indexes[way][i],
                                 .term = terms[way][i],
                                 .type = HF_ENTRY_NORMAL,
                                 .payload = {"intruder", 8}};
        assert_int_equal(hf_log_batch_append(batch, items_ids[0], &entry, 1), 0);
    }
    size_t size = hf_log_batch_size_bytes(batch);
    int rc = hf_log_append(run->log, batch, NULL, NULL);
    if (rc != HF_ECONFLICT && rc != HF_EPOISONED) {
        fail_msg("%s: what is forbidden is answered with %s", run->when, hf_error_name(rc));
    }
    assert_int_equal(hf_log_batch_size_bytes(batch), size);
    hf_log_batch_close(batch);
}
/* Appends what is left of the workload, or until the log is poisoned or the power goes. */
static inline void items_go(struct items_run *run)
{
    struct items *items = run->items;
    while (run->appended < items->count && sim_host_is_running(run->host) && !run->stalled) {
        if (items->intrudes) {
            items_intrude(run);
        }
        int rc = items_append_next(run);
        if (rc == 0 && run->failed != 0) {
            fail_msg("%s: an append is taken after a failure", run->when);
        }
        if (sim_host_is_running(run->host)) {
            items_expect(run->log, &items->models[run->appended], run->when);
        }
        if (rc == HF_EPOISONED || !sim_host_is_running(run->host)) {
            run->poisoned = rc == HF_EPOISONED ? rc : 0;
            break;
        }
        if (rc == HF_ENOSPACE || rc == HF_EBUSY) {
            if (++run->refused >= run->refused_max && run->refused_max > 0) {
                break;
            }
            if (run->refused > ITEMS_REFUSALS_MAX) {
                fail_msg("%s: refused for ever: %s: %s", run->when, hf_error_name(rc), hf_error_text());
            }
            items_idle(run, 10 * ITEMS_MS);
            continue;
        }
        if (rc != 0) {
            fail_msg("%s: append %zu: %s: %s", run->when, run->appended, hf_error_name(rc), hf_error_text());
        }
        items_drive(run, items->width - 1);
    }
    if (!run->stalled) {
        items_drive(run, 0);
    }
}

/* ---- checking what an open finds ---- */

static inline void items_expect_no_damage(struct items_run *run)
{
    size_t position = 0;
    struct hf_log_damage damage;
    if (hf_log_damage_next(run->log, &position, &damage) != HF_ENOTFOUND) {
        fail_msg("%s: damage where there is none: %s", run->when, damage.reason);
    }
}
/* Opens; the state must be that after k batches, acknowledged ≤ k ≤ appended; returns k. */
static inline size_t items_reopen(struct items_run *run, size_t acknowledged, size_t appended)
{
    struct items_difference first = {""};
    struct items_difference difference = {""};
    items_open_surely(run);
    for (size_t k = acknowledged; k <= appended; k++) {
        if (!items_same(run->log, &run->items->models[k], &difference)) {
            first = first.text[0] == '\0' ? difference : first;
            continue;
        }
        items_expect_no_damage(run);
        for (unsigned group = 0; group < ITEMS_GROUPS; group++) {
            struct hf_log_group_state state;
            assert_int_equal(hf_log_group_state(run->log, items_ids[group], &state), 0);
            if (state.durable_index != state.last_index) {
                fail_msg("%s: reported before it is durable", run->when);
            }
        }
        return k;
    }
    fail_msg("%s: after %zu acknowledged of %zu appended: %s", run->when, acknowledged, appended, first.text);
    return 0;
}
static inline void items_restart(struct items_run *run)
{
    sim_host_power_off(run->host);
    items_close(run);
    sim_host_start(run->host);
}
static inline unsigned items_keep_nothing(void *arg, const struct sim_choice *choice)
{
    (void)arg, (void)choice;
    return 0;
}
static inline unsigned items_keep_everything(void *arg, const struct sim_choice *choice)
{
    (void)arg;
    return choice->alternatives - 1;
}
/* Opens the disk as it is, checks; what it reports is durable; appends the rest; checks again. Leaves the log open. */
static inline void items_recover(struct items_run *run, size_t acknowledged, size_t appended)
{
    size_t k = items_reopen(run, acknowledged, appended);
    sim_disk_set_chooser(run->host, items_keep_nothing, NULL);
    items_restart(run);
    items_reopen(run, k, k);
    run->failed = run->poisoned = 0;
    run->refused = run->refused_max = 0;
    run->stalled = run->may_stall = false;
    run->appended = run->called = run->acknowledged = k;
    items_go(run);
    assert_int_equal(run->acknowledged, run->items->count);
    if (run->items->options.sync_policy >= HF_LOG_SYNC_INTERVAL) {
        items_close(run); /* only this makes an acknowledgement of these policies durable at once */
    }
    items_restart(run);
    items_reopen(run, run->items->count, run->items->count);
    sim_disk_set_chooser(run->host, NULL, NULL);
}
/* The host is powered off: `outcomes` of what it may have kept, the extremes first. */
static inline void items_recover_each(struct items_run *run, size_t acknowledged, size_t appended, unsigned outcomes)
{
    struct sim_image *image = sim_image_take(run->host);
    for (unsigned i = 0; i < outcomes; i++) {
        if (i > 0) {
            sim_host_power_off(run->host);
            items_close(run);
            sim_image_put(run->host, image);
        }
        sim_disk_set_chooser(run->host, i == 0 ? items_keep_nothing : i == 1 ? items_keep_everything : NULL, NULL);
        sim_host_start(run->host);
        if (i % 3 == 0) {
            items_recover(run, acknowledged, appended);
        } else {
            items_reopen(run, acknowledged, appended);
        }
    }
    sim_host_power_off(run->host);
    items_close(run);
    sim_image_close(image);
}

/* ---- the three ways ---- */

typedef void items_build(struct items *items);

/* Every batch acknowledged; then a clean end; then an end with nothing kept that is not durable. */
static inline void items_run_plain(items_build *build)
{
    struct items items;
    struct items_run run;
    items_begin(&items);
    build(&items);
    items_world(&run, &items, 1);
    run.when = "plain";
    items_open_surely(&run);
    items_go(&run);
    assert_int_equal(run.acknowledged, items.count);
    items_close(&run);
    assert_int_equal(sim_host_handle_count(run.host), 0);
    items_reopen(&run, items.count, items.count);
    items_restart(&run);
    items_reopen(&run, items.count, items.count);
    items_close(&run);
    sim_close(run.sim);
    items_end(&items);
}

static inline uint64_t items_failures(const struct items_run *run)
{
    return sim_fault_count(run->sim, SIM_FAULT_READ_ERROR) + sim_fault_count(run->sim, SIM_FAULT_WRITE_ERROR) +
           sim_fault_count(run->sim, SIM_FAULT_SYNC_ERROR) + sim_fault_count(run->sim, SIM_FAULT_OTHER_ERROR) +
           sim_fault_count(run->sim, SIM_FAULT_NO_SPACE);
}
/* A failed log says so, is read as before, and asks nothing of the device any more. */
static inline void items_expect_poisoned(struct items_run *run)
{
    struct hf_log_stat stat;
    uint64_t operations = sim_disk_operation_count(run->host);
    items_idle(run, 50 * ITEMS_MS);
    hf_log_stat(run->log, &stat);
    assert_int_equal(stat.failure, HF_EPOISONED);
    assert_true(stat.failure_text[0] != '\0');
    assert_int_equal(hf_log_append(run->log, run->items->batches[0], NULL, NULL), HF_EPOISONED);
    items_expect(run->log, &run->items->models[run->appended], run->when);
    if (sim_disk_operation_count(run->host) != operations) {
        fail_msg("%s: a poisoned log goes on writing", run->when);
    }
}
enum items_ending { ITEMS_ENDING_CLOSE, ITEMS_ENDING_KILL, ITEMS_ENDING_POWER };

static inline void items_finish(struct items_run *run, enum items_ending ending)
{
    size_t appended = run->appended;
    if (ending == ITEMS_ENDING_POWER) {
        sim_host_power_off(run->host);
        items_close(run);
        items_recover_each(run, run->acknowledged, appended, 4);
        return;
    }
    if (ending == ITEMS_ENDING_KILL) {
        sim_host_kill(run->host);
    }
    items_close(run);
    assert_int_equal(run->called, appended);
    assert_int_equal(sim_host_handle_count(run->host), 0);
    if (ending == ITEMS_ENDING_KILL) {
        sim_host_start(run->host);
    }
    items_recover(run, run->acknowledged, appended);
    items_close(run);
}
/* The k-th operation of the kind fails, k from 0. False when there was none. */
static inline bool items_fail_once(struct items *items, const struct sim_disk_failure *failure,
                                   enum items_ending ending, const char *when)
{
    struct items_run run;
    items_world(&run, items, 1000 + failure->skip);
    run.when = when;
    sim_disk_fail(run.host, failure);
    int rc = items_open(&run);
    if (rc == 0) {
        items_go(&run);
        items_idle(&run, 30 * ITEMS_MS);
    } else {
        assert_null(run.log);
        assert_true(rc == failure->error || rc == HF_EPOISONED);
        assert_int_equal(sim_host_handle_count(run.host), 0);
    }
    bool happened = items_failures(&run) > 0;
    sim_disk_fail_clear(run.host);
    assert_true(rc == 0 || happened);
    if (run.failed != 0 || run.poisoned != 0) {
        assert_true(happened);
        items_expect_poisoned(&run);
    } else if (rc == 0) {
        assert_int_equal(run.acknowledged, items->count);
    }
    if (happened) {
        items_finish(&run, ending);
    } else {
        items_close(&run);
    }
    sim_close(run.sim);
    return happened;
}
/* Every operation in turn; with HOLDFAST_TEST_SCALE=small, in builds that are many times slower, every third. */
static inline uint64_t items_stride(void)
{
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    return scale != NULL && strcmp(scale, "small") == 0 ? 3 : 1;
}

struct items_failing {
    enum sim_disk_kind kind;
    int error;
    const char *name;
};
static const struct items_failing items_failing[] = {
    {SIM_DISK_WRITE, HF_EIO, "write"},
    {SIM_DISK_WRITE, HF_ENOSPACE, "write without space"},
    {SIM_DISK_DURABLE, HF_EIO, "durable write"},
    {SIM_DISK_SYNC, HF_EIO, "sync"},
    {SIM_DISK_DIRECTORY_SYNC, HF_EIO, "directory sync"},
    {SIM_DISK_CREATE, HF_EIO, "create"},
    {SIM_DISK_CREATE, HF_ENOSPACE, "create without space"},
    {SIM_DISK_RENAME, HF_EIO, "rename"},
    {SIM_DISK_PREALLOCATE, HF_EIO, "preallocate"},
    {SIM_DISK_PREALLOCATE, HF_ENOSPACE, "preallocate without space"},
    {SIM_DISK_TRUNCATE, HF_EIO, "truncate"},
    {SIM_DISK_UNLINK, HF_EIO, "unlink"},
};
#define ITEMS_FAILING (sizeof(items_failing) / sizeof(items_failing[0]))

static inline void items_run_failing(items_build *build)
{
    struct items items;
    uint64_t failures = 0;
    items_begin(&items);
    build(&items);
    for (size_t i = 0; i < ITEMS_FAILING; i++) {
        struct sim_disk_failure failure = {.kind = items_failing[i].kind, .count = 1, .error = items_failing[i].error};
        bool happened = true;
        for (failure.skip = 0; happened; failure.skip += items_stride()) {
            char when[128];
            enum items_ending ending = (enum items_ending)((failure.skip + i) % 3);
            snprintf(when, sizeof(when), "%s %llu fails, ending %d", items_failing[i].name,
                     (unsigned long long)failure.skip + 1, (int)ending);
            happened = items_fail_once(&items, &failure, ending, when);
            failures += happened;
        }
    }
    assert_true(failures * items_stride() > 4); /* the planned ones did happen */
    items_end(&items);
}

static inline bool items_cut_at(struct items *items, uint64_t k, enum sim_cut mode, const char *when)
{
    struct items_run run;
    items_world(&run, items, 2 * k + (mode == SIM_CUT_AFTER));
    run.when = when;
    sim_disk_cut_at(run.host, k, mode);
    if (items_open(&run) == 0) {
        items_go(&run);
        items_idle(&run, 20 * ITEMS_MS);
    } else {
        assert_false(sim_host_is_running(run.host));
    }
    bool happened = !sim_host_is_running(run.host);
    size_t acknowledged = run.acknowledged;
    size_t appended = run.appended;
    sim_host_power_off(run.host);
    items_close(&run);
    assert_int_equal(run.acknowledged, acknowledged); /* none from beyond the grave */
    if (happened) {
        items_recover_each(&run, acknowledged, appended, 5);
    } else {
        assert_int_equal(acknowledged, items->count);
    }
    sim_close(run.sim);
    return happened;
}
static inline void items_run_cut(items_build *build)
{
    struct items items;
    items_begin(&items);
    build(&items);
    bool happened = true;
    for (uint64_t k = 1; happened; k += items_stride()) {
        char when[64];
        items.profile.garble_ppm = k % 3 == 0 ? 300000 : 0;
        snprintf(when, sizeof(when), "the power goes during operation %llu", (unsigned long long)k);
        happened = items_cut_at(&items, k, SIM_CUT_DURING, when);
        snprintf(when, sizeof(when), "the power goes after operation %llu", (unsigned long long)k);
        happened |= items_cut_at(&items, k, SIM_CUT_AFTER, when); /* seeds differ, and so may the last one */
        assert_true(happened || k > items.count);
    }
    items_end(&items);
}

/* Defines three tests of a workload. */
#define ITEMS_THREE_WAYS(name, build)                                    \
    static void name(void **unused)                                      \
    {                                                                    \
        (void)unused;                                                    \
        items_run_plain(build);                                          \
    }                                                                    \
    static void name##_with_a_failure_at_each_operation(void **unused)   \
    {                                                                    \
        (void)unused;                                                    \
        items_run_failing(build);                                        \
    }                                                                    \
    static void name##_with_a_power_cut_at_each_operation(void **unused) \
    {                                                                    \
        (void)unused;                                                    \
        items_run_cut(build);                                            \
    }
#define ITEMS_ROWS(name)                                                               \
    cmocka_unit_test(name), cmocka_unit_test(name##_with_a_failure_at_each_operation), \
        cmocka_unit_test(name##_with_a_power_cut_at_each_operation)

/* ---- for tests of one thing ---- */

/* A world with an open log and no workload yet. */
static inline void items_setup(struct items *items, struct items_run *run)
{
    items_begin(items);
    items_world(run, items, 7);
    run->when = "set up";
}
static inline void items_teardown(struct items_run *run)
{
    items_close(run);
    assert_int_equal(sim_host_handle_count(run->host), 0);
    sim_close(run->sim);
    items_end(run->items);
}
/* Appends the last batch of the workload and waits for its acknowledgement. */
static inline void items_commit(struct items_run *run)
{
    int rc = items_append_next(run);
    if (rc != 0) {
        fail_msg("%s: append: %s: %s", run->when, hf_error_name(rc), hf_error_text());
    }
    items_drive(run, 0);
    assert_int_equal(run->acknowledged, run->appended);
}
static inline void items_note_result(void *arg, int result)
{
    *(int *)arg = result;
}
/* A batch of the test's own, beside the workload: its result. (hf_log_append_wait cannot drive a simulator.) */
static inline int items_append_apart(struct items_run *run, const struct hf_log_batch *batch)
{
    int result = 1;
    uint64_t limit = sim_now_ns(run->sim) + ITEMS_PATIENCE_NS;
    int rc = hf_log_append(run->log, batch, items_note_result, &result);
    if (rc != 0) {
        return rc;
    }
    hf_log_turn(run->log);
    while (result == 1 && sim_host_is_running(run->host)) {
        assert_true(sim_now_ns(run->sim) < limit);
        items_step(run);
    }
    return result;
}
static inline void items_say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line; /* thousands of failing disks */
}
static inline void items_prepare(void)
{
    trace_set_sink(items_say_nothing, NULL);
    planted_prepare();
}
#define ITEMS_MAIN(tests) (items_prepare(), cmocka_run_group_tests(tests, NULL, NULL))

#endif
