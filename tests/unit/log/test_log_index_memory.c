/* The index of a log does not grow with it: a real log of some million small entries is opened, and what each further
 * entry costs in memory is worked out. 100 million have to stay below 64 MiB. */
#include <malloc.h>

#include "unit/log/log_fixture.h"

#define BATCH_ENTRIES 4000u
#define GROUPS        4u
#define STEP_ENTRIES  480000u

static uint64_t append_many(struct fixture *fixture, uint64_t from, uint64_t count)
{
    static struct hf_entry entries[BATCH_ENTRIES];
    for (uint64_t done = 0; done < count; done += BATCH_ENTRIES * GROUPS) {
        for (uint64_t group = 1; group <= GROUPS; group++) {
            for (uint64_t i = 0; i < BATCH_ENTRIES; i++) {
                entries[i] = (struct hf_entry){.index = from + i,
                                               .term = 1 + (from + i) / 100000,
                                               .type = HF_ENTRY_NORMAL,
                                               .payload = bytes_of("8 bytes.", 8)};
            }
            hf_log_batch_clear(fixture->batch);
            assert_int_equal(hf_log_batch_append(fixture->batch, group, entries, BATCH_ENTRIES), 0);
            assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
        }
        from += BATCH_ENTRIES;
    }
    return from;
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* What the open log holds, once nothing is left to be indexed. */
static size_t settled_bytes(struct fixture *fixture)
{
    fixture_close(fixture);
    size_t before = heap_bytes();
    fixture_open(fixture);
    size_t after = heap_bytes();
    int steady = 0;
    for (int tries = 0; tries < 200 && steady < 20; tries++) {
        usleep(50000);
        size_t now = heap_bytes();
        steady = now == after ? steady + 1 : 0;
        after = now;
    }
    return after > before ? after - before : 0;
}

static void P4_a_hundred_million_entries_cost_less_than_64_mib_of_index(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.segment_size_bytes = 8 << 20;
    fixture.options.tail_cache_bytes = 1 << 20;
    fixture_open(&fixture);
    uint64_t next = append_many(&fixture, 1, STEP_ENTRIES);
    size_t small = settled_bytes(&fixture);
    append_many(&fixture, next, 2 * STEP_ENTRIES);
    size_t large = settled_bytes(&fixture);
    double each = large > small ? (double)(large - small) / (2 * STEP_ENTRIES) : 0;
    print_message("%.2f bytes per entry, %zu for the smaller log\n", each, small);
    assert_true(each * 100e6 + (double)small < 64.0 * (1 << 20));
    struct hf_log_view view = {0};
    assert_int_equal(hf_log_read(fixture.log, 2, 77777, 77778, 0, 0, &view), 0);
    assert_int_equal(view.entries[0].index, 77777);
    hf_log_view_close(&view);
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P4_a_hundred_million_entries_cost_less_than_64_mib_of_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
