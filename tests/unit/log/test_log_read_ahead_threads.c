/* What another thread does to a log while both windows ahead of an iterator are being read. The reads are held up in
 * the system call, so that it always is while they are. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "planted.h"
#include "unit/log/read_ahead_fixture.h"

#define BOTH_BEGUN     9u           /* once this one was handed out, 17 … 24 and 25 … 32 are under way */
#define HELD_FROM      (100u << 10) /* offset of reads that are held: 17 and what follows it */
#define HELD_SIZE_MIN  (32u << 10)  /* a window, no page of an index file */
#define TO             200u
#define DEAD_SEGMENTS  300u    /* compacted up to here, the first segments hold nothing that is live */
#define LAST           60u     /* after a truncation */
#define PATIENCE_TRIES 300000u /* of 100 µs */

/* ---- the gate ---- */

static struct {
    atomic_bool is_shut;
    atomic_bool is_behind; /* the bytes are read first: the reader believes in them when it goes on */
    atomic_uint waiting;
} gate;

/* An iterator's worker, which may have no name of its own yet. */
static bool is_window_reader(void)
{
    char name[17] = {0};
    (void)prctl(PR_GET_NAME, name);
    return syscall(SYS_gettid) != getpid() && strncmp(name, "log", 3) != 0 && strcmp(name, "hf-background") != 0;
}

static void gate_wait(void)
{
    atomic_fetch_add(&gate.waiting, 1);
    while (atomic_load(&gate.is_shut)) {
        usleep(100);
    }
    atomic_fetch_sub(&gate.waiting, 1);
}

/* In place of the C library's. */
ssize_t pread(int descriptor, void *target, size_t size, off_t offset)
{
    bool is_held = size >= HELD_SIZE_MIN && offset >= HELD_FROM && atomic_load(&gate.is_shut) && is_window_reader();
    bool is_behind = atomic_load(&gate.is_behind);
    if (is_held && !is_behind) {
        gate_wait();
    }
    ssize_t count = syscall(SYS_pread64, descriptor, target, size, offset);
    if (is_held && is_behind) {
        gate_wait();
    }
    return count;
}

static void gate_wait_for_both(void)
{
    for (unsigned tries = 0; atomic_load(&gate.waiting) < 2; tries++) {
        assert_true(tries < PATIENCE_TRIES);
        usleep(100);
    }
}

static void gate_open(void)
{
    atomic_store(&gate.is_shut, false);
}

/* An iterator of which both windows are held up. handed_out: BOTH_BEGUN … 16. */
static struct hf_log_iterator *open_held(struct fixture *fixture, uint64_t handed_out, bool is_behind)
{
    static const struct hf_log_iterator_options options = {.to = TO};
    struct hf_log_iterator *iterator = NULL;
    atomic_store(&gate.is_behind, is_behind);
    atomic_store(&gate.is_shut, true);
    assert_int_equal(hf_log_iterator_open(fixture->log, 1, &options, &iterator), 0);
    for (uint64_t i = 1; i <= handed_out; i++) {
        expect_next(iterator, i, 1);
    }
    gate_wait_for_both();
    return iterator;
}

/* ---- another thread ---- */

struct other {
    struct fixture *fixture;
    struct hf_log_iterator *iterator;
    uint64_t from;
    bool opens_first; /* the gate, and then does what it does */
    atomic_bool is_truncated;
    atomic_bool is_done;
    pthread_t thread;
};

static void other_start(struct other *other, void *(*run)(void *arg))
{
    assert_int_equal(pthread_create(&other->thread, NULL, run, other), 0);
}

static void *truncate_meanwhile(void *arg)
{
    struct other *other = arg;
    struct fixture *fixture = other->fixture;
    if (other->opens_first) {
        gate_open();
    }
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, other->from), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    atomic_store(&other->is_truncated, true);
    append_many(fixture, other->from, LAST, 2);
    gate_open();
    atomic_store(&other->is_done, true);
    return NULL;
}

/* Hands out what there is until the last entry of the new term. */
static void read_while_truncated(struct other *other, uint64_t handed_out)
{
    uint64_t position = handed_out + 1;
    uint64_t new_from = UINT64_MAX; /* of those that were handed out since a conflict was told */
    unsigned conflicts = 0;
    while (position <= LAST) {
        struct hf_entry entry;
        bool is_truncated = atomic_load(&other->is_truncated);
        bool is_done = atomic_load(&other->is_done);
        int rc = hf_log_iterator_next(other->iterator, 0, &entry);
        if (rc == HF_EUNAVAILABLE && !is_done) {
            usleep(100);
            continue;
        }
        if (rc == HF_ECONFLICT) {
            assert_true(position > other->from && new_from == UINT64_MAX && ++conflicts == 1);
            position = other->from;
            continue;
        }
        if (rc != 0) {
            fail_msg("index %d: %s: %s", (int)position, hf_error_name(rc), hf_error_text());
        }
        bool is_new = entry.term == 2;
        assert_true(position >= other->from || !is_new);
        assert_true(position < other->from || is_new || (!is_truncated && new_from == UINT64_MAX));
        expect_entry(&entry, position, is_new ? 2 : 1);
        new_from = is_new && new_from == UINT64_MAX ? position : new_from;
        position++;
    }
    assert_int_equal(new_from, other->from);
}

static void what_another_thread_truncates_is_not_handed_out_from_windows_that_are_being_read(void **unused)
{
    static const struct {
        uint64_t handed_out;
        uint64_t from;
    } rows[] = {{9, 10}, {9, 17}, {12, 30}, {16, 17}, {16, 20}, {16, 25}};
    for (size_t row = 0; row < 4 * sizeof(rows) / sizeof(rows[0]); row++) {
        struct fixture fixture;
        fill(&fixture, row % 3 == 0 ? HF_LOG_IO_THREADS : HF_LOG_IO_AUTO);
        struct other other = {.fixture = &fixture, .from = rows[row / 4].from, .opens_first = row % 4 == 1};
        other.iterator = open_held(&fixture, rows[row / 4].handed_out, row % 2 == 1);
        other_start(&other, truncate_meanwhile);
        while (row % 4 >= 2 && !atomic_load(&other.is_truncated)) { /* it is heard while both are held */
            usleep(100);
        }
        read_while_truncated(&other, rows[row / 4].handed_out);
        assert_int_equal(pthread_join(other.thread, NULL), 0);
        hf_log_iterator_close(other.iterator);
        fixture_tear_down(&fixture);
    }
}

static uint64_t released_segments(const struct fixture *fixture)
{
    struct hf_log_stat stat;
    hf_log_stat(fixture->log, &stat);
    return stat.released_segments;
}

/* The state moves on, so that nothing keeps the segments but who reads them; what is appended declares them given up.
 */
static void *compact_meanwhile(void *arg)
{
    struct other *other = arg;
    struct fixture *fixture = other->fixture;
    if (other->opens_first) {
        gate_open();
    }
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_hard_state(fixture->batch, 1, (struct hf_hard_state){.term = 2}), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    compact(fixture, other->from);
    for (uint64_t i = ENTRIES + 1; i <= ENTRIES + 150; i += 50) {
        append_many(fixture, i, i + 49, 2);
        usleep(10000);
    }
    usleep(20000);
    assert_true(other->opens_first || released_segments(fixture) == 0);
    gate_open();
    return NULL;
}

/* They are gone, but were never replaced. Segments in which nothing is live any more stay while they are read. */
static void what_another_thread_compacts_leaves_no_gap_in_windows_that_are_being_read(void **unused)
{
    static const uint64_t floors[] = {12, 20, 28, DEAD_SEGMENTS};
    for (size_t row = 0; row < 4 * sizeof(floors) / sizeof(floors[0]); row++) {
        struct fixture fixture;
        struct hf_entry entry;
        fill(&fixture, HF_LOG_IO_AUTO);
        struct other other = {.fixture = &fixture, .from = floors[row / 4], .opens_first = row % 2 == 1};
        other.iterator = open_held(&fixture, BOTH_BEGUN, row / 2 % 2 == 1);
        other_start(&other, compact_meanwhile);
        uint64_t position = BOTH_BEGUN + 1;
        int rc = 0;
        while ((rc = hf_log_iterator_next(other.iterator, 0, &entry)) == 0) {
            expect_entry(&entry, position++, 1);
        }
        assert_int_equal(rc, position == TO ? HF_ENOTFOUND : HF_ECOMPACTED);
        assert_true(rc == HF_ENOTFOUND || position <= other.from);
        assert_int_equal(pthread_join(other.thread, NULL), 0);
        hf_log_iterator_close(other.iterator);
        for (unsigned tries = 0; other.from == DEAD_SEGMENTS && released_segments(&fixture) == 0; tries++) {
            assert_true(tries < PATIENCE_TRIES);
            usleep(100);
        }
        fixture_tear_down(&fixture);
    }
}

static void *close_meanwhile(void *arg)
{
    struct other *other = arg;
    hf_log_iterator_close(other->iterator);
    atomic_store(&other->is_done, true);
    return NULL;
}

static void an_iterator_that_another_thread_closes_waits_for_the_windows_that_are_being_read(void **unused)
{
    struct fixture fixture;
    fill(&fixture, HF_LOG_IO_AUTO);
    for (unsigned row = 0; row < 8; row++) {
        struct other other = {.fixture = &fixture};
        other.iterator = open_held(&fixture, BOTH_BEGUN, row % 2 == 1);
        other_start(&other, close_meanwhile);
        usleep(row * 1000);
        assert_false(atomic_load(&other.is_done));
        gate_open();
        assert_int_equal(pthread_join(other.thread, NULL), 0);
        assert_int_equal(atomic_load(&gate.waiting), 0);
    }
    fixture_tear_down(&fixture);
}

static void *cancel_meanwhile(void *arg)
{
    struct other *other = arg;
    hf_log_iterator_cancel(other->iterator);
    return NULL;
}

static void a_cancel_ends_the_wait_for_a_window_that_is_still_being_read(void **unused)
{
    struct fixture fixture;
    fill(&fixture, HF_LOG_IO_AUTO);
    for (unsigned row = 0; row < 8; row++) {
        struct other other = {.fixture = &fixture};
        struct hf_entry entry;
        int rc = 0;
        uint64_t position = BOTH_BEGUN + 1;
        other.iterator = open_held(&fixture, BOTH_BEGUN, row % 2 == 1);
        other_start(&other, cancel_meanwhile);
        while ((rc = hf_log_iterator_next(other.iterator, UINT32_MAX, &entry)) == 0) {
            expect_entry(&entry, position++, 1);
        }
        assert_int_equal(rc, HF_ECANCELLED);
        assert_true(position <= 17);
        assert_int_equal(atomic_load(&gate.waiting), 2);
        assert_int_equal(pthread_join(other.thread, NULL), 0);
        gate_open();
        hf_log_iterator_close(other.iterator);
    }
    fixture_tear_down(&fixture);
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_another_thread_truncates_is_not_handed_out_from_windows_that_are_being_read),
        cmocka_unit_test(what_another_thread_compacts_leaves_no_gap_in_windows_that_are_being_read),
        cmocka_unit_test(an_iterator_that_another_thread_closes_waits_for_the_windows_that_are_being_read),
        cmocka_unit_test(a_cancel_ends_the_wait_for_a_window_that_is_still_being_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
