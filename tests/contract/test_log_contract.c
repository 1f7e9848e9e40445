/* links: log sim */
/* One contract, four ways to keep it: files on the kernel (both drivers), files on a simulated disk, memory on the
 * kernel's clock, memory in the simulator. What a backend does not promise (to survive) is said by its row. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "log/log.h"
#include "sim/sim.h"

struct backend {
    const char *name;
    bool simulated;
    bool survives; /* what was acknowledged is there after a reopen */
    struct hf_log_options options;
};
static const struct backend backends[] = {
    {"files, own thread", false, true, {.driver = HF_LOG_DRIVE_THREAD}},
    {"files, caller's turns", false, true, {.driver = HF_LOG_DRIVE_CALLER, .io = HF_LOG_IO_THREADS}},
    {"files, simulated", true, true, {.segment_size_bytes = 1 << 20}},
    {"memory, own thread", false, false, {.backend = HF_LOG_MEMORY}},
    {"memory, caller's turns", false, false, {.backend = HF_LOG_MEMORY, .driver = HF_LOG_DRIVE_CALLER}},
    {"memory, simulated", true, false, {.backend = HF_LOG_MEMORY}},
};

struct fixture {
    const struct backend *backend;
    struct hf_log_options options;
    char directory[64];
    struct sim *sim;
    struct sim_host *host;
    struct hf_log *log;
    struct hf_log_batch *batch;
};

static void fixture_open(struct fixture *fixture)
{
    int rc = fixture->backend->simulated
                 ? log_open(sim_host_io(fixture->host), "/log", &fixture->options, &fixture->log)
                 : hf_log_open(fixture->directory, &fixture->options, &fixture->log);
    if (rc != 0) {
        fail_msg("%s: %s: %s", fixture->backend->name, hf_error_name(rc), hf_error_text());
    }
}

static void fixture_set_up(struct fixture *fixture, const struct backend *backend)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->backend = backend;
    fixture->options = backend->options;
    strcpy(fixture->directory, "/tmp/holdfast-contract-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    if (backend->simulated) {
        fixture->sim = sim_open(5, NULL);
        fixture->host = sim_host_add(fixture->sim, NULL, NULL);
    }
    assert_int_equal(hf_log_batch_open(&fixture->batch), 0);
}

static void fixture_tear_down(struct fixture *fixture)
{
    hf_log_close(fixture->log);
    hf_log_batch_close(fixture->batch);
    sim_close(fixture->sim);
    DIR *directory = opendir(fixture->directory);
    for (struct dirent *entry = NULL; directory != NULL && (entry = readdir(directory)) != NULL;) {
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", fixture->directory, entry->d_name);
        unlink(path);
    }
    closedir(directory);
    rmdir(fixture->directory);
}

static void note(void *arg, int result)
{
    *(int *)arg = result;
}

/* Appends the fixture's batch, waits for its answer, clears it. */
static int commit(struct fixture *fixture)
{
    int result = 1;
    int rc = 0;
    if (!fixture->backend->simulated) {
        rc = hf_log_append_wait(fixture->log, fixture->batch);
    } else {
        rc = hf_log_append(fixture->log, fixture->batch, note, &result);
        int turns = 0;
        while (rc == 0 && result == 1) {
            assert_true(++turns < 100000);
            hf_log_turn(fixture->log);
            if (result == 1 && !sim_step(fixture->sim)) {
                sim_run_for(fixture->sim, 1000000);
            }
        }
        rc = rc != 0 ? rc : result;
    }
    hf_log_batch_clear(fixture->batch);
    return rc;
}

static struct hf_entry entry_of(uint64_t index, uint64_t term, const char *payload)
{
    return (struct hf_entry){.index = index,
                             .term = term,
                             .timestamp_ms = 1000 + index,
                             .type = HF_ENTRY_NORMAL,
                             .payload = bytes_of_text(payload)};
}
static void put(struct fixture *fixture, uint64_t group, uint64_t index, uint64_t term, const char *payload)
{
    struct hf_entry entry = entry_of(index, term, payload);
    assert_int_equal(hf_log_batch_append(fixture->batch, group, &entry, 1), 0);
}
static int append(struct fixture *fixture, uint64_t group, uint64_t index, uint64_t term, const char *payload)
{
    put(fixture, group, index, term, payload);
    return commit(fixture);
}
static struct hf_log_group_state state_of(struct fixture *fixture, uint64_t group)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(fixture->log, group, &state), 0);
    return state;
}
static void expect(struct fixture *fixture, uint64_t group, uint64_t index, uint64_t term, const char *payload)
{
    struct hf_log_view view;
    int rc = hf_log_read(fixture->log, group, index, index + 1, 0, 0, &view);
    if (rc != 0) {
        fail_msg("%s: index %d: %s", fixture->backend->name, (int)index, hf_error_text());
    }
    assert_int_equal(view.count, 1);
    assert_int_equal(view.entries[0].index, index);
    assert_int_equal(view.entries[0].term, term);
    assert_int_equal(view.entries[0].timestamp_ms, 1000 + index);
    assert_int_equal(view.entries[0].payload.size, strlen(payload));
    assert_memory_equal(view.entries[0].payload.data, payload, strlen(payload));
    hf_log_view_close(&view);
}
static void expect_bounds(struct fixture *fixture, uint64_t group, uint64_t first, uint64_t last, uint64_t floor_term)
{
    struct hf_log_group_state state = state_of(fixture, group);
    assert_int_equal(state.first_index, first);
    assert_int_equal(state.last_index, last);
    assert_int_equal(state.durable_index, last); /* everything here was acknowledged */
    assert_int_equal(state.floor_term, floor_term);
}
/* Before and after a restart, where the backend survives one. */
static void twice(struct fixture *fixture, void (*check)(struct fixture *fixture))
{
    check(fixture);
    if (fixture->backend->survives) {
        hf_log_close(fixture->log);
        fixture_open(fixture);
        check(fixture);
    }
}

/* ---- the cases ---- */

static void check_round_trip(struct fixture *fixture)
{
    expect(fixture, 7, 10, 1, "one");
    expect(fixture, 7, 11, 1, "");
    expect(fixture, 7, 12, 4, "three");
    expect_bounds(fixture, 7, 10, 12, 0);
    uint64_t group = 0;
    assert_int_equal(hf_log_group_next(fixture->log, 0, &group), 0);
    assert_int_equal(group, 7);
    assert_int_equal(hf_log_group_next(fixture->log, 7, &group), HF_ENOTFOUND);
    assert_false(state_of(fixture, 8).exists);
}
static void case_round_trip(struct fixture *fixture)
{
    assert_int_equal(append(fixture, 7, 10, 1, "one"), 0);
    put(fixture, 7, 11, 1, "");
    put(fixture, 7, 12, 4, "three");
    assert_int_equal(commit(fixture), 0);
    twice(fixture, check_round_trip);
}

static void check_refused(struct fixture *fixture)
{
    expect_bounds(fixture, 1, 1, 2, 0);
    assert_false(state_of(fixture, 2).exists);
    expect(fixture, 1, 2, 5, "b");
}
static void case_refused(struct fixture *fixture)
{
    assert_int_equal(append(fixture, 1, 1, 5, "a"), 0);
    assert_int_equal(append(fixture, 1, 2, 5, "b"), 0);
    put(fixture, 2, 1, 1, "of another group, in the same batch");
    assert_int_equal(append(fixture, 1, 4, 5, "gap"), HF_ECONFLICT);
    assert_int_equal(append(fixture, 1, 2, 5, "again"), HF_ECONFLICT);
    assert_int_equal(append(fixture, 1, 3, 4, "lower term"), HF_ECONFLICT);
    assert_int_equal(hf_log_batch_compact(fixture->batch, 1, 3), 0);
    assert_int_equal(commit(fixture), HF_ECONFLICT);
    assert_int_equal(commit(fixture), 0); /* an empty batch is a barrier */
    twice(fixture, check_refused);
}

static void check_truncated(struct fixture *fixture)
{
    expect(fixture, 1, 2, 1, "kept");
    expect(fixture, 1, 3, 2, "new");
    expect_bounds(fixture, 1, 1, 3, 0);
}
static void case_truncated(struct fixture *fixture)
{
    put(fixture, 1, 1, 1, "kept");
    put(fixture, 1, 2, 1, "kept");
    put(fixture, 1, 3, 1, "old");
    put(fixture, 1, 4, 1, "old");
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, 9), 0); /* beyond the last: nothing */
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, 3), 0);
    put(fixture, 1, 3, 2, "new");
    assert_int_equal(commit(fixture), 0);
    twice(fixture, check_truncated);
}

static void check_compacted(struct fixture *fixture)
{
    uint64_t term = 0;
    expect_bounds(fixture, 1, 3, 3, 2);
    expect_bounds(fixture, 2, 2, 1, 9);
    assert_int_equal(hf_log_term(fixture->log, 1, 2, &term), 0);
    assert_int_equal(term, 2);
    assert_int_equal(hf_log_term(fixture->log, 1, 1, &term), HF_ECOMPACTED);
    assert_int_equal(hf_log_term(fixture->log, 1, 4, &term), HF_EUNAVAILABLE);
    struct hf_log_view view;
    assert_int_equal(hf_log_read(fixture->log, 1, 2, 0, 0, 0, &view), HF_ECOMPACTED);
    assert_int_equal(hf_log_read(fixture->log, 1, 4, 0, 0, 0, &view), HF_EUNAVAILABLE);
    assert_int_equal(hf_log_read(fixture->log, 1, 3, 3, 0, 0, &view), 0);
    assert_int_equal(view.count, 0);
}
static void case_compacted(struct fixture *fixture)
{
    put(fixture, 1, 1, 1, "a");
    put(fixture, 1, 2, 2, "b");
    put(fixture, 1, 3, 2, "c");
    put(fixture, 2, 1, 9, "all of it");
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_batch_compact(fixture->batch, 1, 2), 0);
    assert_int_equal(hf_log_batch_compact(fixture->batch, 2, 1), 0);
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_batch_compact(fixture->batch, 1, 1), 0); /* below the first: nothing */
    assert_int_equal(commit(fixture), 0);
    twice(fixture, check_compacted);
}

static void check_reset(struct fixture *fixture)
{
    struct hf_log_group_state state = state_of(fixture, 1);
    expect_bounds(fixture, 1, 501, 501, 8);
    expect(fixture, 1, 501, 8, "behind the snapshot");
    assert_int_equal(state.snapshot_name_size, 4);
    assert_memory_equal(state.snapshot_name, "snap", 4);
    assert_int_equal(state.hard_state.term, 8);
    assert_int_equal(state.hard_state.vote, 3);
    assert_int_equal(state.hard_state.commit, 500);
    assert_true(state_of(fixture, 2).removed);
    assert_false(state_of(fixture, 2).exists);
}
static void case_reset(struct fixture *fixture)
{
    assert_int_equal(append(fixture, 1, 1, 1, "old"), 0);
    assert_int_equal(append(fixture, 2, 1, 1, "neighbour"), 0);
    assert_int_equal(hf_log_batch_reset(fixture->batch, 1, 500, 8, bytes_of_text("snap")), 0);
    assert_int_equal(hf_log_batch_hard_state(fixture->batch, 1, (struct hf_hard_state){8, 3, 500}), 0);
    put(fixture, 1, 501, 8, "behind the snapshot");
    assert_int_equal(hf_log_batch_remove_group(fixture->batch, 2), 0);
    assert_int_equal(commit(fixture), 0);
    twice(fixture, check_reset);
    assert_int_equal(append(fixture, 2, 40, 1, "a new life"), 0);
    expect_bounds(fixture, 2, 40, 40, 0);
}

static void check_limits(struct fixture *fixture)
{
    struct hf_log_view view;
    static const struct {
        uint64_t low, high, bytes_max;
        size_t count_max;
        size_t expected;
    } rows[] = {
        {1, 0, 0, 0, 200},   {1, 201, 0, 0, 200}, {5, 9, 0, 0, 4},   {1, 0, 1, 0, 1},
        {1, 0, 1000, 0, 10}, {1, 0, 0, 7, 7},     {200, 0, 0, 0, 1}, {150, 10000, 0, 0, 51},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(
            hf_log_read(fixture->log, 1, rows[i].low, rows[i].high, rows[i].bytes_max, rows[i].count_max, &view), 0);
        assert_int_equal(view.count, rows[i].expected);
        assert_int_equal(view.entries[0].index, rows[i].low);
        hf_log_view_close(&view);
    }
    assert_int_equal(state_of(fixture, 1).bytes, 200 * 100);
}
static void case_limits(struct fixture *fixture)
{
    char payload[101] = {0};
    memset(payload, 'p', 100);
    for (uint64_t i = 1; i <= 200; i++) {
        put(fixture, 1, i, 1, payload);
    }
    assert_int_equal(commit(fixture), 0);
    twice(fixture, check_limits);
}

/* An entry larger than a segment or an arena, and large ones beside it. */
static void case_large(struct fixture *fixture)
{
    size_t size = 5 << 20;
    char *payload = calloc(1, size + 1);
    memset(payload, 'L', size);
    assert_int_equal(append(fixture, 1, 1, 1, "small"), 0);
    assert_int_equal(append(fixture, 1, 2, 1, payload), 0);
    assert_int_equal(append(fixture, 1, 3, 1, "small"), 0);
    expect(fixture, 1, 2, 1, payload);
    expect(fixture, 1, 3, 1, "small");
    free(payload);
}

static void case_iterator(struct fixture *fixture)
{
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    assert_int_equal(hf_log_iterator_open(fixture->log, 1, NULL, &iterator), 0);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_EUNAVAILABLE);
    for (uint64_t i = 1; i <= 5; i++) {
        put(fixture, 1, i, 1, "old");
    }
    assert_int_equal(commit(fixture), 0);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
        assert_int_equal(entry.index, i);
    }
    /* What was fetched ahead and truncated is not handed out. */
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, 5), 0);
    put(fixture, 1, 5, 2, "new");
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
    assert_int_equal(entry.term, 1);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
    assert_int_equal(entry.index, 5);
    assert_int_equal(entry.term, 2);
    /* What was handed out and truncated is told. */
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, 4), 0);
    put(fixture, 1, 4, 3, "newer");
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECONFLICT);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
    assert_int_equal(entry.index, 4);
    assert_int_equal(entry.term, 3);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_EUNAVAILABLE);
    /* A restart of the log behind a snapshot. */
    assert_int_equal(hf_log_batch_reset(fixture->batch, 1, 90, 4, bytes_of(NULL, 0)), 0);
    put(fixture, 1, 91, 4, "after");
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECONFLICT);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
    assert_int_equal(entry.index, 91);
    hf_log_iterator_cancel(iterator);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECANCELLED);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECANCELLED);
    hf_log_iterator_close(iterator);
}

static void case_iterator_limits(struct fixture *fixture)
{
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    struct hf_log_iterator_options options = {.from = 2, .to = 4};
    for (uint64_t i = 1; i <= 5; i++) {
        put(fixture, 2, i, 1, "12345");
    }
    assert_int_equal(commit(fixture), 0);
    static const struct {
        struct hf_log_iterator_options options;
        uint64_t first;
        int count;
        int end;
    } rows[] = {
        {{.from = 2, .to = 4}, 2, 2, HF_ENOTFOUND},
        {{.count_max = 3}, 1, 3, HF_ENOTFOUND},
        {{.bytes_max = 12}, 1, 2, HF_ENOTFOUND},
        {{.bytes_max = 1}, 1, 1, HF_ENOTFOUND},
        {{.from = 5}, 5, 1, HF_EUNAVAILABLE},
        {{.from = 3, .to = 3}, 3, 0, HF_ENOTFOUND},
        {{.durable_only = true}, 1, 5, HF_EUNAVAILABLE},
        {{.from = 9}, 9, 0, HF_EUNAVAILABLE},
        {{.read_ahead_bytes = 4096}, 1, 5, HF_EUNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(hf_log_iterator_open(fixture->log, 2, &rows[i].options, &iterator), 0);
        for (int j = 0; j < rows[i].count; j++) {
            assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
            assert_int_equal(entry.index, rows[i].first + (uint64_t)j);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), rows[i].end);
        hf_log_iterator_close(iterator);
    }
    assert_int_equal(hf_log_batch_compact(fixture->batch, 2, 3), 0);
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_iterator_open(fixture->log, 2, &options, &iterator), 0);
    assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECOMPACTED);
    hf_log_iterator_close(iterator);
    options = (struct hf_log_iterator_options){.from = 4, .to = 2};
    assert_int_equal(hf_log_iterator_open(fixture->log, 2, &options, &iterator), HF_EINVALID);
    options = (struct hf_log_iterator_options){.read_ahead_bytes = 1};
    assert_int_equal(hf_log_iterator_open(fixture->log, 2, &options, &iterator), HF_EINVALID);
}

static bool always(void *arg)
{
    ++*(int *)arg;
    return true;
}
/* Terms 1 1 3 3 3 6 at 11 … 16, behind a floor at 10 of term 1. */
static void case_match(struct fixture *fixture)
{
    static const uint64_t terms[] = {1, 1, 3, 3, 3, 6};
    assert_int_equal(hf_log_batch_reset(fixture->batch, 1, 10, 1, bytes_of(NULL, 0)), 0);
    for (uint64_t i = 0; i < 6; i++) {
        put(fixture, 1, 11 + i, terms[i], "x");
    }
    put(fixture, 2, 5, 4, "its floor's term is unknown");
    assert_int_equal(commit(fixture), 0);
    static const struct {
        uint64_t group, index, term;
        uint64_t index_found, term_found; /* 0: none */
    } rows[] = {
        {1, 16, 6, 16, 6}, {1, 14, 3, 14, 3}, {1, 11, 1, 11, 1}, {1, 10, 1, 10, 1}, /* equal */
        {1, 40, 6, 15, 3}, {1, 40, 9, 16, 6}, {1, 15, 2, 12, 1}, {1, 16, 5, 15, 3}, /* lower and lower */
        {1, 14, 2, 12, 1}, {1, 12, 2, 11, 1}, {1, 11, 2, 10, 1}, {1, 13, 9, 12, 1}, {1, 15, 1, 0, 0},
        {1, 10, 2, 0, 0},  {1, 9, 1, 0, 0},   {1, 3, 9, 0, 0}, /* nothing agrees */
        {2, 5, 4, 5, 4},   {2, 9, 5, 5, 4},   {2, 5, 5, 0, 0},   {2, 4, 4, 0, 0},   {3, 1, 1, 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t index = 0;
        uint64_t term = 0;
        int rc = hf_log_match(fixture->log, rows[i].group, rows[i].index, rows[i].term, NULL, NULL, &index, &term);
        if (rc != (rows[i].index_found != 0 ? 0 : HF_ENOTFOUND) || index != rows[i].index_found ||
            term != rows[i].term_found) {
            fail_msg("row %zu: %s, (%d, %d)", i, hf_error_name(rc), (int)index, (int)term);
        }
    }
    int asked = 0;
    uint64_t index = 0;
    uint64_t term = 0;
    assert_int_equal(hf_log_match(fixture->log, 1, 40, 6, always, &asked, &index, &term), HF_ECANCELLED);
    assert_int_equal(asked, 1);
}

/* Equal for equal entries, however they came there; different when anything of an entry differs. */
static void case_digest(struct fixture *fixture)
{
    uint8_t digests[4][HF_LOG_DIGEST_SIZE];
    for (uint64_t i = 1; i <= 50; i++) {
        put(fixture, 1, i, 1, "same");
    }
    assert_int_equal(commit(fixture), 0);
    for (uint64_t i = 1; i <= 50; i++) {
        assert_int_equal(append(fixture, 2, i, 1, "same"), 0);
        put(fixture, 3, i, i < 50 ? 1 : 2, "same");
        put(fixture, 4, i, 1, i != 7 ? "same" : "Same");
    }
    assert_int_equal(commit(fixture), 0);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(hf_log_digest(fixture->log, 1 + i, 1, 51, digests[i]), 0);
    }
    assert_memory_equal(digests[0], digests[1], HF_LOG_DIGEST_SIZE);
    assert_memory_not_equal(digests[0], digests[2], HF_LOG_DIGEST_SIZE);
    assert_memory_not_equal(digests[0], digests[3], HF_LOG_DIGEST_SIZE);
    assert_int_equal(hf_log_digest(fixture->log, 3, 8, 50, digests[2]), 0);
    assert_int_equal(hf_log_digest(fixture->log, 4, 8, 50, digests[3]), 0);
    assert_memory_equal(digests[2], digests[3], HF_LOG_DIGEST_SIZE);
    assert_int_equal(hf_log_digest(fixture->log, 1, 40, 60, digests[0]), HF_EUNAVAILABLE);
    assert_int_equal(hf_log_digest(fixture->log, 1, 5, 4, digests[0]), HF_EINVALID);
}

static void case_install(struct fixture *fixture)
{
    if (fixture->backend->simulated) {
        return; /* finishing waits */
    }
    struct hf_log *log = fixture->log;
    put(fixture, 1, 1, 1, "old");
    put(fixture, 1, 2, 1, "old");
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_install_finish(log, 1), HF_ENOTFOUND);
    assert_int_equal(hf_log_install_begin(log, 1, 70, 5, bytes_of_text("s70")), 0);
    assert_int_equal(hf_log_install_begin(log, 1, 80, 5, bytes_of_text("s80")), HF_EBUSY);
    assert_int_equal(append(fixture, 1, 3, 1, "refused"), HF_EBUSY);
    assert_int_equal(append(fixture, 2, 1, 1, "a neighbour"), 0);
    expect(fixture, 1, 2, 1, "old");
    assert_int_equal(hf_log_install_cancel(log, 1), 0);
    assert_int_equal(hf_log_install_cancel(log, 1), HF_ENOTFOUND);
    assert_int_equal(append(fixture, 1, 3, 1, "goes on"), 0);
    assert_int_equal(hf_log_install_begin(log, 1, 70, 5, bytes_of_text("s70")), 0);
    assert_int_equal(hf_log_batch_hard_state(fixture->batch, 1, (struct hf_hard_state){5, 2, 0}), 0);
    assert_int_equal(commit(fixture), 0);
    assert_int_equal(hf_log_install_finish(log, 1), 0);
    expect_bounds(fixture, 1, 71, 70, 5);
    assert_memory_equal(state_of(fixture, 1).snapshot_name, "s70", 3);
    assert_int_equal(append(fixture, 1, 71, 5, "behind"), 0);
    assert_int_equal(hf_log_install_begin(log, 1, 60, 5, bytes_of_text("s60")), HF_ECOMPACTED);
    assert_int_equal(hf_log_install_begin(log, 1, 70, 5, bytes_of_text("s70")), HF_ECOMPACTED);
    assert_int_equal(hf_log_install_begin(log, 1, 70, 4, bytes_of_text("s70")), HF_ECONFLICT);
    assert_int_equal(hf_log_install_begin(log, 9, 30, 2, bytes_of_text("s30")), 0); /* of a group that is new */
    assert_int_equal(hf_log_install_finish(log, 9), 0);
    expect_bounds(fixture, 9, 31, 30, 2);
    assert_int_equal(hf_log_install_begin(log, 9, 0, 2, bytes_of_text("s")), HF_EINVALID);
    assert_int_equal(hf_log_install_begin(log, 0, 5, 2, bytes_of_text("s")), HF_EINVALID);
}

static void case_groups(struct fixture *fixture)
{
    if (fixture->backend->simulated) {
        return; /* these wait */
    }
    assert_int_equal(hf_log_group_create(fixture->log, 5, 77), 0);
    assert_int_equal(hf_log_group_create(fixture->log, 5, 77), HF_EEXISTS);
    assert_true(state_of(fixture, 5).exists);
    assert_int_equal(state_of(fixture, 5).incarnation, 77);
    assert_int_equal(hf_log_group_remove(fixture->log, 6), HF_ENOTFOUND);
    assert_int_equal(hf_log_group_remove(fixture->log, 5), 0);
    assert_int_equal(hf_log_group_create(fixture->log, 5, 77), HF_EMISMATCH);
    assert_int_equal(hf_log_group_create(fixture->log, 5, 78), 0);
    assert_int_equal(append(fixture, 5, 100, 1, "starts clean"), 0);
}

/* Waits until the marks have taken the group's entries up to `index`. */
static void wait_compacted(struct fixture *fixture, uint64_t group, uint64_t index)
{
    for (int i = 0; state_of(fixture, group).first_index <= index; i++) {
        assert_true(i < 60000);
        if (fixture->backend->simulated) {
            sim_run_for(fixture->sim, 1000000);
            hf_log_turn(fixture->log);
        } else if (fixture->options.driver == HF_LOG_DRIVE_CALLER) {
            hf_log_turn_wait(fixture->log, 1000000);
        } else {
            usleep(1000);
        }
    }
    assert_int_equal(state_of(fixture, group).first_index, index + 1);
}

static void case_marks(struct fixture *fixture)
{
    for (uint64_t i = 1; i <= 20; i++) {
        put(fixture, 1, i, 1, "marked"); /* of time 1000 + i */
    }
    assert_int_equal(commit(fixture), 0);
    struct hf_log_retention bounds = {.applied_index = 15, .snapshot_index = 20};
    assert_int_equal(hf_log_retain(fixture->log, 1, &bounds), 0);
    assert_int_equal(hf_log_mark_index(fixture->log, 1, 4), 0);
    wait_compacted(fixture, 1, 4);
    assert_int_equal(hf_log_mark_time(fixture->log, 1, 1010), 0);
    wait_compacted(fixture, 1, 9);
    assert_int_equal(hf_log_mark_index(fixture->log, 1, 18), 0);
    wait_compacted(fixture, 1, 15);
}

static void run_everywhere(void (*run)(struct fixture *fixture))
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct fixture fixture;
        fixture_set_up(&fixture, &backends[i]);
        fixture.options.delete_scan_ms = 1;
        fixture.options.delete_delay_ms = 1;
        fixture_open(&fixture);
        run(&fixture);
        fixture_tear_down(&fixture);
    }
}
#define CASE(test, run)             \
    static void test(void **unused) \
    {                               \
        (void)unused;               \
        run_everywhere(run);        \
    }
CASE(what_was_appended_is_read_back, case_round_trip)
CASE(what_does_not_fit_is_refused_and_changes_nothing, case_refused)
CASE(a_conflicting_suffix_is_replaced, case_truncated)
CASE(compaction_keeps_the_term_before_the_first_entry, case_compacted)
CASE(a_reset_restarts_behind_the_snapshot, case_reset)
CASE(reads_keep_to_their_limits, case_limits)
CASE(an_entry_may_be_larger_than_a_segment, case_large)
CASE(an_iterator_follows_and_never_gives_what_was_truncated, case_iterator)
CASE(an_iterator_ends_at_its_range_and_limits, case_iterator_limits)
CASE(the_match_position_is_the_greatest_that_agrees, case_match)
CASE(digests_are_equal_for_equal_entries_only, case_digest)
CASE(marks_take_what_is_applied, case_marks)
CASE(L42_installing_a_snapshot_is_one_step, case_install)
CASE(L45_groups_are_made_and_removed, case_groups)

/* ---- what only memory does ---- */

static void memory_open(struct fixture *fixture, uint64_t entries_max, enum hf_log_when_full when_full)
{
    fixture_set_up(fixture, &backends[5]);
    fixture->options.memory_entries_max = entries_max;
    fixture->options.when_full = when_full;
    fixture_open(fixture);
}

static int applied(struct fixture *fixture, uint64_t group, uint64_t index)
{
    struct hf_log_retention bounds = {.applied_index = index};
    return hf_log_retain(fixture->log, group, &bounds);
}

static void a_full_memory_log_refuses_until_it_is_compacted(void **unused)
{
    (void)unused;
    struct fixture fixture;
    memory_open(&fixture, 4, HF_LOG_FULL_REFUSE);
    for (uint64_t i = 1; i <= 4; i++) {
        assert_int_equal(append(&fixture, 1, i, 1, "x"), 0);
    }
    assert_int_equal(applied(&fixture, 1, 4), 0);
    assert_int_equal(append(&fixture, 1, 5, 1, "x"), HF_ENOSPACE);
    assert_int_equal(append(&fixture, 2, 1, 1, "x"), HF_ENOSPACE);
    assert_int_equal(hf_log_batch_hard_state(fixture.batch, 1, (struct hf_hard_state){2, 1, 1}), 0);
    assert_int_equal(commit(&fixture), 0);
    assert_int_equal(hf_log_batch_truncate(fixture.batch, 1, 4), 0); /* what the batch frees counts */
    put(&fixture, 1, 4, 2, "y");
    assert_int_equal(commit(&fixture), 0);
    assert_int_equal(hf_log_batch_compact(fixture.batch, 1, 2), 0);
    assert_int_equal(commit(&fixture), 0);
    put(&fixture, 1, 5, 2, "x");
    put(&fixture, 1, 6, 2, "x");
    assert_int_equal(commit(&fixture), 0);
    assert_int_equal(append(&fixture, 1, 7, 2, "x"), HF_ENOSPACE);
    expect_bounds(&fixture, 1, 3, 6, 1);
    fixture_tear_down(&fixture);
}

static void a_full_memory_log_drops_the_oldest_that_is_applied(void **unused)
{
    (void)unused;
    struct fixture fixture;
    memory_open(&fixture, 6, HF_LOG_FULL_DROP_APPLIED);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(append(&fixture, 1, i, 1, "a"), 0);
        assert_int_equal(append(&fixture, 2, i, 1, "b"), 0);
    }
    assert_int_equal(append(&fixture, 1, 4, 1, "a"), HF_ENOSPACE); /* nothing is applied yet */
    assert_int_equal(applied(&fixture, 1, 2), 0);
    assert_int_equal(applied(&fixture, 2, 1), 0);
    put(&fixture, 1, 4, 1, "a");
    put(&fixture, 1, 5, 1, "a");
    assert_int_equal(commit(&fixture), 0); /* 1 of group 1, then 1 of group 2 */
    expect_bounds(&fixture, 1, 2, 5, 1);
    expect_bounds(&fixture, 2, 2, 3, 1);
    put(&fixture, 1, 6, 1, "a");
    put(&fixture, 1, 7, 1, "a");
    assert_int_equal(commit(&fixture), HF_ENOSPACE); /* only 2 of group 1 may go: nothing goes */
    expect_bounds(&fixture, 1, 2, 5, 1);
    assert_int_equal(append(&fixture, 1, 6, 1, "a"), 0);
    expect_bounds(&fixture, 1, 3, 6, 1);
    expect(&fixture, 1, 6, 1, "a");
    fixture_tear_down(&fixture);
}

static void callbacks_of_a_memory_log_that_wait_for_a_turn_are_bounded(void **unused)
{
    (void)unused;
    struct fixture fixture;
    int results[3] = {1, 1, 1};
    fixture_set_up(&fixture, &backends[5]);
    fixture.options.queue_entries_max = 2;
    fixture_open(&fixture);
    for (uint64_t i = 0; i < 3; i++) {
        hf_log_batch_clear(fixture.batch);
        put(&fixture, 1, i + 1, 1, "x");
        assert_int_equal(hf_log_append(fixture.log, fixture.batch, note, &results[i]), i < 2 ? 0 : HF_EBUSY);
    }
    assert_int_equal(state_of(&fixture, 1).last_index, 2);
    assert_int_equal(hf_log_turn(fixture.log), 2);
    assert_true(results[0] == 0 && results[1] == 0 && results[2] == 1);
    assert_int_equal(commit(&fixture), 0);
    assert_int_equal(state_of(&fixture, 1).last_index, 3);
    fixture_tear_down(&fixture);
}

static void the_memory_of_what_was_compacted_is_given_back(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_stat stat;
    char *payload = calloc(1, (100 << 10) + 1);
    memset(payload, 'm', 100 << 10);
    fixture_set_up(&fixture, &backends[5]);
    fixture.options.memory_bytes_max = 8 << 20;
    fixture_open(&fixture);
    assert_int_equal(append(&fixture, 2, 1, 1, "an idle neighbour"), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(append(&fixture, 1, i, 1, payload), 0);
        if (i > 20) {
            assert_int_equal(hf_log_batch_compact(fixture.batch, 1, i - 20), 0);
            assert_int_equal(commit(&fixture), 0);
        }
    }
    hf_log_stat(fixture.log, &stat);
    assert_true(stat.bytes_on_disk <= 8 << 20);
    assert_string_equal(stat.io_name, "memory");
    uint64_t index = 1001;
    while (append(&fixture, 1, index, 1, payload) == 0) {
        assert_true(++index < 1200);
    }
    assert_true(index > 1040); /* the bound of bytes */
    expect(&fixture, 2, 1, 1, "an idle neighbour");
    expect(&fixture, 1, index - 1, 1, payload);
    free(payload);
    fixture_tear_down(&fixture);
}

static void options_outside_their_limits_are_refused_by_name(void **unused)
{
    (void)unused;
    static const struct {
        struct hf_log_options options;
        const char *name;
    } rows[] = {
        {{.segment_size_bytes = 4096}, "segment_size_bytes"},
        {{.segment_size_bytes = UINT64_C(8) << 30}, "segment_size_bytes"},
        {{.write_size_max_bytes = 1}, "write_size_max_bytes"},
        {{.writes_in_flight_max = 17}, "writes_in_flight_max"},
        {{.read_ahead_bytes = 1}, "read_ahead_bytes"},
        {{.open_retries_max = 1001}, "open_retries_max"},
        {{.open_retry_ms = 60001}, "open_retry_ms"},
        {{.sync_policy = (enum hf_log_sync_policy)9}, "sync_policy"},
        {{.driver = (enum hf_log_driver)9}, "driver"},
        {{.io = (enum hf_log_io)9}, "io"},
        {{.backend = (enum hf_log_backend)9}, "backend"},
        {{.when_full = (enum hf_log_when_full)9}, "when_full"},
        {{.backend = HF_LOG_MEMORY, .read_only = true}, "memory log"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_log *log = NULL;
        assert_int_equal(hf_log_open("/nonexistent/holdfast", &rows[i].options, &log), HF_EINVALID);
        assert_null(log);
        if (strstr(hf_error_text(), rows[i].name) == NULL) {
            fail_msg("\"%s\" does not name %s", hf_error_text(), rows[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_is_read_back),
        cmocka_unit_test(what_does_not_fit_is_refused_and_changes_nothing),
        cmocka_unit_test(a_conflicting_suffix_is_replaced),
        cmocka_unit_test(compaction_keeps_the_term_before_the_first_entry),
        cmocka_unit_test(a_reset_restarts_behind_the_snapshot),
        cmocka_unit_test(reads_keep_to_their_limits),
        cmocka_unit_test(an_entry_may_be_larger_than_a_segment),
        cmocka_unit_test(an_iterator_follows_and_never_gives_what_was_truncated),
        cmocka_unit_test(an_iterator_ends_at_its_range_and_limits),
        cmocka_unit_test(the_match_position_is_the_greatest_that_agrees),
        cmocka_unit_test(digests_are_equal_for_equal_entries_only),
        cmocka_unit_test(marks_take_what_is_applied),
        cmocka_unit_test(L42_installing_a_snapshot_is_one_step),
        cmocka_unit_test(L45_groups_are_made_and_removed),
        cmocka_unit_test(a_full_memory_log_refuses_until_it_is_compacted),
        cmocka_unit_test(a_full_memory_log_drops_the_oldest_that_is_applied),
        cmocka_unit_test(callbacks_of_a_memory_log_that_wait_for_a_turn_are_bounded),
        cmocka_unit_test(the_memory_of_what_was_compacted_is_given_back),
        cmocka_unit_test(options_outside_their_limits_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
