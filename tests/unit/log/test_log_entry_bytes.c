/* What hf_log_entry_bytes says an entry takes is what lies between its record and the next one. */
#include "unit/log/log_fixture.h"

#include "io/io.h"
#include "log/log.h"

#define ENTRIES 2000

struct seen {
    uint64_t count;
    uint64_t offset; /* of the record before; 0: there is none in this frame */
    uint64_t bytes[ENTRIES];
};

static int see_record(void *arg, const struct log_walk_record *record)
{
    struct seen *seen = arg;
    if (strcmp(record->kind, "append") != 0) {
        return 0;
    }
    if (seen->count > 0) {
        seen->bytes[seen->count - 1] = record->offset - seen->offset;
    }
    seen->offset = record->offset;
    seen->count++;
    return 0;
}

/* One batch, so that they lie one behind the other in one frame. */
static void append_all(struct fixture *fixture, const struct hf_entry *entries, uint64_t count)
{
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_append(fixture->batch, 7, entries, count), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
}

static struct seen *walk(struct fixture *fixture)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    const struct log_walk_callbacks callbacks = {.record = see_record};
    struct log_walk_summary summary;
    struct io *io = NULL;
    fixture_close(fixture);
    assert_int_equal(io_open_kernel(IO_BACKEND_THREADS, &io), 0);
    assert_int_equal(log_walk(io, fixture->directory, &callbacks, seen, &summary), 0);
    io_close(io);
    return seen;
}

static void what_an_entry_takes_is_what_lies_between_two_records(void **unused)
{
    static const uint8_t bytes[5000];
    static const struct {
        uint32_t size;
        uint64_t timestamp_ms;
    } rows[] = {{1, 1}, {0, 1}, {1, 1}, {7, 1}, {8, 1}, {9, 1}, {4096, 1}, {5000, 1}, {1, UINT64_C(1) << 48}, {0, 1}};
    const uint64_t count = sizeof(rows) / sizeof(rows[0]);
    struct hf_entry entries[sizeof(rows) / sizeof(rows[0])];
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    for (uint64_t i = 0; i < count; i++) {
        entries[i] = fixture_entry(i + 1, 1, "");
        entries[i].timestamp_ms = rows[i].timestamp_ms;
        entries[i].payload = bytes_of(bytes, rows[i].size);
    }
    append_all(&fixture, entries, count);
    struct seen *seen = walk(&fixture);
    assert_int_equal(seen->count, count);
    for (uint64_t i = 1; i + 1 < count; i++) { /* the first one opens the run */
        assert_int_equal(hf_log_entry_bytes(&entries[i]), seen->bytes[i]);
    }
    free(seen);
    fixture_tear_down(&fixture);
}

/* What a group says that it holds, and what a policy counts entry by entry, are about the same. */
static void a_group_of_entries_of_one_byte_holds_what_its_records_take(void **unused)
{
    struct hf_entry *entries = calloc(ENTRIES, sizeof(*entries));
    struct fixture fixture;
    uint64_t counted = 0;
    uint64_t found = 0;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        entries[i] = fixture_entry(i + 1, 1, "x");
        counted += hf_log_entry_bytes(&entries[i]);
    }
    append_all(&fixture, entries, ENTRIES);
    struct hf_log_group_state state = fixture_state(&fixture, 7);
    assert_int_equal(state.bytes, ENTRIES);
    struct seen *seen = walk(&fixture);
    assert_int_equal(seen->count, ENTRIES);
    for (uint64_t i = 0; i + 1 < ENTRIES; i++) {
        found += seen->bytes[i];
    }
    assert_in_range(counted, found, found + found / 100);
    assert_in_range(state.bytes_on_disk, counted - counted / 10, counted + counted / 10);
    free(seen);
    free(entries);
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_entry_takes_is_what_lies_between_two_records),
        cmocka_unit_test(a_group_of_entries_of_one_byte_holds_what_its_records_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
