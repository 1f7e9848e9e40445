/* links: log sim */
/* A log with more segments than it keeps open for reading: every one of them is read, in any order, and no more files
 * are open than the limit says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "log/log.h"
#include "log/log_segment.h"
#include "sim/sim.h"

#define ENTRIES      300u
#define PAYLOAD_SIZE 59000u /* one per segment of 64 KiB */

static void note_result(void *arg, int result)
{
    *(int *)arg = result;
}

static void append(struct sim *sim, struct hf_log *log, uint64_t index)
{
    static uint8_t payload[PAYLOAD_SIZE];
    struct hf_log_batch *batch = NULL;
    struct hf_entry entry = {.index = index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = {payload, sizeof(payload)}};
    int result = 1;
    memset(payload, (int)(index % 251), sizeof(payload));
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(hf_log_batch_append(batch, 1, &entry, 1), 0);
    assert_int_equal(hf_log_append(log, batch, note_result, &result), 0);
    hf_log_turn(log);
    while (result == 1) {
        sim_step(sim);
        hf_log_turn(log);
    }
    assert_int_equal(result, 0);
    hf_log_batch_close(batch);
}

static void expect(struct hf_log *log, uint64_t index)
{
    struct hf_log_view view = {0};
    assert_int_equal(hf_log_read(log, 1, index, index + 1, 0, 0, &view), 0);
    assert_int_equal(view.entries[0].payload.size, PAYLOAD_SIZE);
    assert_int_equal(((const uint8_t *)view.entries[0].payload.data)[PAYLOAD_SIZE - 1], index % 251);
    hf_log_view_close(&view);
}

static void more_segments_than_open_files_are_read_in_any_order(void **state)
{
    struct sim *sim = sim_open(3, NULL);
    struct sim_host *host = sim_host_add(sim, NULL, NULL);
    struct hf_log *log = NULL;
    struct rng rng;
    const struct hf_log_options options = {
        .segment_size_bytes = 64 << 10, .write_size_max_bytes = 64 << 10, .tail_cache_bytes = 1 << 16};
    rng_seed(&rng, 3);
    assert_int_equal(log_open(sim_host_io(host), "/log", &options, &log), 0);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        append(sim, log, i);
    }
    hf_log_close(log);
    assert_int_equal(log_open(sim_host_io(host), "/log", &options, &log), 0);
    unsigned before = sim_host_handle_count(host);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        expect(log, i);
    }
    for (uint64_t i = ENTRIES; i >= 1; i--) {
        expect(log, i);
    }
    for (int i = 0; i < 500; i++) {
        expect(log, 1 + rng_below(&rng, ENTRIES));
    }
    /* the segment and, where it has one, its index file */
    assert_in_range(sim_host_handle_count(host), LOG_SEGMENT_READERS_MAX, before + 2 * LOG_SEGMENT_READERS_MAX);
    hf_log_close(log);
    assert_int_equal(sim_host_handle_count(host), 0);
    sim_close(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_segments_than_open_files_are_read_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
