/* links: log sim */
/* Log items L1 to L14: what an append takes and refuses. */
#include "contract/log_items.h"

/* ---- helpers for what is refused ---- */

static struct hf_log_batch *batch_open(void)
{
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    return batch;
}
static struct hf_entry entry_of(uint64_t index, uint64_t term)
{
    return (struct hf_entry){
        .index = index, .term = term, .type = HF_ENTRY_NORMAL, .payload = items_payload((uint32_t)index, 20)};
}
static int batch_add(struct hf_log_batch *batch, uint64_t id, uint64_t index, uint64_t term)
{
    struct hf_entry entry = entry_of(index, term);
    return hf_log_batch_append(batch, id, &entry, 1);
}
static void never_called(void *arg, int result)
{
    (void)arg;
    fail_msg("a refused append is answered with %s", hf_error_name(result));
}
/* The log refuses the batch with that code, writes nothing, and both are as before. Closes the batch. */
static void expect_refused(struct items_run *run, struct hf_log_batch *batch, int expected)
{
    items_idle(run, 60 * ITEMS_MS); /* until the log has nothing to do of its own */
    uint64_t operations = sim_disk_operation_count(run->host);
    size_t size = hf_log_batch_size_bytes(batch);
    int rc = hf_log_append(run->log, batch, never_called, NULL);
    if (rc != expected) {
        fail_msg("%s: refused with %s, not %s", run->when, hf_error_name(rc), hf_error_name(expected));
    }
    items_idle(run, 60 * ITEMS_MS);
    assert_int_equal(sim_disk_operation_count(run->host), operations);
    assert_int_equal(hf_log_batch_size_bytes(batch), size);
    items_expect(run->log, &run->items->models[run->appended], run->when);
    hf_log_batch_close(batch);
}
/* The same for one entry. */
static void expect_entry_refused(struct items_run *run, unsigned group, uint64_t index, uint64_t term, int expected)
{
    struct hf_log_batch *batch = batch_open();
    assert_int_equal(batch_add(batch, items_ids[group], index, term), 0);
    expect_refused(run, batch, expected);
}
static void reopen_and_expect(struct items_run *run)
{
    sim_disk_set_chooser(run->host, items_keep_nothing, NULL);
    items_restart(run);
    items_reopen(run, run->appended, run->appended);
}

/* ---- workloads that run three ways ---- */

static void build_start(struct items *items)
{
    items_batch(items);
    items_start(items, 0, 1000000, 3);
    items_batch(items);
    items_append(items, 0, 2, 3, 900);
    items_start(items, 1, 1, 1);
    items_batch(items);
    items_reset(items, 2, 500, 9, "snapshot-500-9");
    items_batch(items);
    items_append(items, 2, 1, 9, 0);
}
ITEMS_THREE_WAYS(L1_an_empty_log_starts_at_any_index, build_start)

static void build_conflict(struct items *items)
{
    items->width = 2;
    items_batch(items);
    items_append(items, 1, 6, 1, 700);
    items_append(items, 0, 2, 1, 100);
    items_batch(items);
    items_truncate(items, 1, 4);
    items_append(items, 1, 2, 2, 600);
    items_batch(items);
    items_append(items, 1, 1, 2, 10);
    items_batch(items);
    items_truncate(items, 1, 1);
    items_append(items, 1, 4, 3, 2000);
    items_truncate(items, 0, 2);
}
ITEMS_THREE_WAYS(L3_a_conflicting_suffix_is_replaced_in_one_step, build_conflict)

static void build_intrusion(struct items *items)
{
    items->intrudes = true;
    items->width = 2;
    for (unsigned i = 0; i < 4; i++) {
        items_batch(items);
        items_append(items, 0, 1 + i % 2, 1 + i, 300);
        items_append(items, 1, 1, 1, 30);
    }
}
ITEMS_THREE_WAYS(L2_L4_L11_L12_what_is_forbidden_is_refused_and_leaves_no_trace, build_intrusion)

static void build_empty_batches(struct items *items)
{
    items->width = 3;
    items_batch(items);
    items_batch(items);
    items_append(items, 0, 1, 1, 300);
    items_batch(items);
    items_append(items, 2, 1, 1, 300);
    items_batch(items);
    items_batch(items);
    items_append(items, 0, 1, 1, 300);
    items_batch(items);
}
ITEMS_THREE_WAYS(L6_empty_batches_are_barriers, build_empty_batches)

static void build_zero_length(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 1, 1, 0);
    items_batch(items);
    items_append(items, 0, 8, 1, 0);
    items_append(items, 1, 3, 1, 0);
    items_batch(items);
    items_append(items, 1, 1, 2, 1);
    items_append(items, 0, 1, 2, 0);
}
ITEMS_THREE_WAYS(L7_entries_without_payload_are_entries, build_zero_length)

static void build_large(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 1, 1, 100);
    items_batch(items);
    items_append(items, 0, 1, 1, ITEMS_SEGMENT_SIZE + 20000);
    items_batch(items);
    items_append(items, 0, 1, 1, 50);
    items_hard_state(items, 0, 1, 2, 3);
}
ITEMS_THREE_WAYS(L8_an_entry_larger_than_a_segment_is_an_entry, build_large)

static void build_groups(struct items *items)
{
    for (uint64_t i = 1; i <= 3; i++) {
        items_batch(items);
        for (unsigned group = 0; group < ITEMS_GROUPS; group++) {
            items_append(items, group, 2, i, 1500);
            items_hard_state(items, group, i, group + 1, i);
        }
    }
    items_batch(items);
    items_truncate(items, 0, 3);
    items_compact(items, 1, 4);
    items_reset(items, 2, 90, 8, "s");
}
ITEMS_THREE_WAYS(L9_a_batch_across_groups_is_whole_or_absent, build_groups)

static void build_hard_state(struct items *items)
{
    items_batch(items);
    items_hard_state(items, 0, 1, 7, 0); /* a vote alone, in a group without entries */
    items_batch(items);
    items_hard_state(items, 0, 2, 0, 0);
    items_append(items, 0, 1, 2, 80);
    items_batch(items);
    items_hard_state(items, 0, 3, UINT64_MAX, 1);
    items_hard_state(items, 1, UINT64_MAX, 5, 0);
    items_batch(items);
    items_append(items, 0, 1, 3, 4000);
    items_hard_state(items, 0, 3, UINT64_MAX, 2);
}
ITEMS_THREE_WAYS(L10_hard_state_and_entries_are_one_step, build_hard_state)

/* ---- tests of one thing ---- */

static void L1_a_group_restarts_where_it_began(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_start(&items, 0, UINT64_C(1) << 60, 5);
    items_commit(&run);
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(run.log, items_ids[0], &state), 0);
    assert_true(state.exists);
    assert_int_equal(state.first_index, UINT64_C(1) << 60);
    struct hf_log_batch *batch = batch_open();
    int rc = batch_add(batch, items_ids[1], 0, 1); /* index 0 is no index */
    assert_true(rc == HF_EINVALID || rc == HF_ECONFLICT ||
                hf_log_append(run.log, batch, never_called, NULL) == HF_ECONFLICT);
    hf_log_batch_close(batch);
    items_expect(run.log, &items.models[1], "index 0");
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L1_a_group_that_was_emptied_may_restart_below_its_commit_index(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_start(&items, 0, 41, 1);
    items_hard_state(&items, 0, 1, 1, 41);
    items_commit(&run);
    items_batch(&items);
    items_truncate(&items, 0, 41);
    items_commit(&run);
    items_batch(&items);
    items_group(&items, 0)->floor = 0;
    items_start(&items, 0, 25, 1);
    items_commit(&run);
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L2_a_gap_is_refused_before_anything_is_written(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 3, 2, 100);
    items_reset(&items, 1, 50, 4, "x");
    items_commit(&run);
    expect_entry_refused(&run, 0, 5, 2, HF_ECONFLICT);
    expect_entry_refused(&run, 0, UINT64_MAX, 2, HF_ECONFLICT);
    expect_entry_refused(&run, 1, 52, 4, HF_ECONFLICT);
    /* A gap behind operations that are right in themselves takes them all with it. */
    struct hf_log_batch *batch = batch_open();
    assert_int_equal(batch_add(batch, items_ids[2], 1, 1), 0);
    assert_int_equal(hf_log_batch_hard_state(batch, items_ids[0], (struct hf_hard_state){9, 9, 9}), 0);
    assert_int_equal(batch_add(batch, items_ids[0], 4, 2), 0);
    assert_int_equal(batch_add(batch, items_ids[0], 6, 2), 0);
    expect_refused(&run, batch, HF_ECONFLICT);
    batch = batch_open();
    assert_int_equal(hf_log_batch_truncate(batch, items_ids[0], 2), 0);
    assert_int_equal(hf_log_batch_remove_group(batch, items_ids[1]), 0);
    assert_int_equal(batch_add(batch, items_ids[0], 3, 2), 0);
    expect_refused(&run, batch, HF_ECONFLICT);
    batch = batch_open();
    assert_int_equal(hf_log_batch_reset(batch, items_ids[0], 70, 7, items_payload(1, 5)), 0);
    assert_int_equal(hf_log_batch_compact(batch, items_ids[1], 50), 0);
    assert_int_equal(batch_add(batch, items_ids[0], 72, 7), 0);
    expect_refused(&run, batch, HF_ECONFLICT);
    items_batch(&items);
    items_append(&items, 0, 1, 2, 100);
    items_append(&items, 1, 1, 4, 100);
    items_commit(&run);
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L2_a_gap_within_one_call_is_refused(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    struct hf_entry entries[] = {entry_of(1, 1), entry_of(3, 1)};
    struct hf_log_batch *batch = batch_open();
    int rc = hf_log_batch_append(batch, items_ids[0], entries, 2);
    if (rc == 0) {
        expect_refused(&run, batch, HF_ECONFLICT);
    } else {
        assert_true(rc == HF_ECONFLICT || rc == HF_EINVALID);
        assert_true(hf_log_batch_is_empty(batch));
        hf_log_batch_close(batch);
    }
    items_teardown(&run);
}

static void L4_appending_an_entry_again_never_shortens_the_log(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 5, 2, 100);
    items_commit(&run);
    expect_entry_refused(&run, 0, 3, 2, HF_ECONFLICT);
    expect_entry_refused(&run, 0, 5, 2, HF_ECONFLICT);
    expect_entry_refused(&run, 0, 5, 3, HF_ECONFLICT);
    expect_entry_refused(&run, 0, 1, 2, HF_ECONFLICT);
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L5_overwriting_at_or_below_the_floor_is_refused(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 6, 2, 100);
    items_compact(&items, 0, 4);
    items_reset(&items, 1, 30, 3, "thirty");
    items_commit(&run);
    static const uint64_t below[] = {1, 3, 4};
    for (size_t i = 0; i < 3; i++) {
        struct hf_log_batch *batch = batch_open();
        assert_int_equal(hf_log_batch_truncate(batch, items_ids[0], below[i]), 0);
        assert_int_equal(batch_add(batch, items_ids[0], below[i], 2), 0);
        expect_refused(&run, batch, HF_ECOMPACTED);
    }
    struct hf_log_batch *batch = batch_open();
    assert_int_equal(hf_log_batch_truncate(batch, items_ids[1], 30), 0);
    expect_refused(&run, batch, HF_ECOMPACTED);
    /* Just above it is allowed. */
    items_batch(&items);
    items_truncate(&items, 0, 5);
    items_truncate(&items, 1, 31);
    items_append(&items, 0, 1, 2, 100);
    items_commit(&run);
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L5_an_entry_at_or_below_the_floor_is_refused(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 6, 2, 100);
    items_compact(&items, 0, 6);
    items_commit(&run);
    static const uint64_t below[] = {1, 5, 6};
    for (size_t i = 0; i < 3; i++) {
        struct hf_log_batch *batch = batch_open();
        assert_int_equal(batch_add(batch, items_ids[0], below[i], 2), 0);
        int rc = hf_log_append(run.log, batch, never_called, NULL);
        assert_true(rc == HF_ECOMPACTED || rc == HF_ECONFLICT);
        expect_refused(&run, batch, rc);
    }
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L6_an_empty_batch_of_an_idle_log_writes_nothing(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 100);
    items_commit(&run);
    items_idle(&run, 60 * ITEMS_MS);
    uint64_t operations = sim_disk_operation_count(run.host);
    items_batch(&items);
    items_commit(&run);
    assert_int_equal(items_append_apart(&run, items_last(&items)), 0);
    items_idle(&run, 60 * ITEMS_MS);
    assert_int_equal(sim_disk_operation_count(run.host), operations);
    items_teardown(&run);
}

/* The barrier of an empty batch is answered only when what came before it is durable. */
static void L6_an_empty_batch_waits_for_what_came_before_it(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 100);
    items_batch(&items);
    assert_int_equal(items_append_next(&run), 0);
    hf_log_turn(run.log);
    assert_int_equal(items_append_next(&run), 0);
    hf_log_turn(run.log);
    assert_int_equal(run.called, 0);
    items_drive(&run, 0);
    assert_int_equal(run.acknowledged, 2);
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L8_the_largest_entry_is_kept_and_a_larger_one_refused(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    uint8_t *bytes = calloc(1, HF_LOG_PAYLOAD_SIZE_MAX + 1);
    assert_non_null(bytes);
    bytes[0] = 1;
    bytes[HF_LOG_PAYLOAD_SIZE_MAX - 1] = 2;
    struct hf_entry entry = {1, 1, 0, HF_ENTRY_NORMAL, {bytes, HF_LOG_PAYLOAD_SIZE_MAX + 1}};
    struct hf_log_batch *batch = batch_open();
    assert_int_equal(hf_log_batch_append(batch, items_ids[0], &entry, 1), HF_ETOOBIG);
    assert_true(hf_log_batch_is_empty(batch));
    entry.payload.size = HF_LOG_PAYLOAD_SIZE_MAX;
    assert_int_equal(hf_log_batch_append(batch, items_ids[0], &entry, 1), 0);
    /* A second one does not fit the batch (item 12): it stays what it was, and good. */
    size_t size = hf_log_batch_size_bytes(batch);
    entry.index = 2;
    assert_int_equal(hf_log_batch_append(batch, items_ids[0], &entry, 1), HF_ETOOBIG);
    assert_int_equal(hf_log_batch_size_bytes(batch), size);
    assert_int_equal(items_append_apart(&run, batch), 0);
    hf_log_batch_close(batch);
    for (int round = 0; round < 2; round++) {
        struct hf_log_view view = {0};
        assert_int_equal(hf_log_read(run.log, items_ids[0], 1, 2, 100, 0, &view), 0);
        assert_int_equal(view.count, 1);
        assert_int_equal(view.entries[0].payload.size, HF_LOG_PAYLOAD_SIZE_MAX);
        assert_memory_equal(view.entries[0].payload.data, bytes, HF_LOG_PAYLOAD_SIZE_MAX);
        hf_log_view_close(&view);
        if (round == 0) {
            items_restart(&run);
            items_open_surely(&run);
        }
    }
    free(bytes);
    items_teardown(&run);
}

static void L11_a_term_that_decreases_is_refused(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 3, 5, 100);
    items_append(&items, 0, 1, 8, 100);
    items_reset(&items, 1, 10, 6, "ten");
    items_append(&items, 2, 2, 4, 100);
    items_compact(&items, 2, 2);
    items_commit(&run);
    expect_entry_refused(&run, 0, 5, 7, HF_ECONFLICT);
    expect_entry_refused(&run, 1, 11, 5, HF_ECONFLICT); /* below that of the snapshot */
    expect_entry_refused(&run, 2, 3, 3, HF_ECONFLICT);  /* below that of the last compacted one */
    struct hf_entry entries[] = {entry_of(5, 9), entry_of(6, 8)};
    struct hf_log_batch *batch = batch_open();
    int rc = hf_log_batch_append(batch, items_ids[0], entries, 2);
    if (rc == 0) {
        expect_refused(&run, batch, HF_ECONFLICT);
    } else {
        assert_true(rc == HF_ECONFLICT && hf_log_batch_is_empty(batch));
        hf_log_batch_close(batch);
    }
    batch = batch_open();
    assert_int_equal(batch_add(batch, items_ids[0], 5, 9), 0);
    rc = batch_add(batch, items_ids[0], 6, 8);
    assert_true(rc == 0 || rc == HF_ECONFLICT);
    if (rc == 0) {
        expect_refused(&run, batch, HF_ECONFLICT);
    } else {
        hf_log_batch_close(batch);
    }
    /* What is gone does not count. */
    items_batch(&items);
    items_truncate(&items, 0, 4);
    items_append(&items, 0, 1, 6, 100);
    items_commit(&run);
    reopen_and_expect(&run);
    expect_entry_refused(&run, 0, 5, 5, HF_ECONFLICT);
    expect_entry_refused(&run, 2, 3, 3, HF_ECONFLICT);
    items_teardown(&run);
}

static void L12_a_refused_batch_is_good_once_its_gap_is_filled(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 100);
    items_commit(&run);
    items_batch(&items);
    items_append(&items, 0, 2, 1, 100);
    items_append(&items, 1, 1, 1, 3000);
    items_batch(&items);
    items_append(&items, 0, 2, 1, 100);
    items_hard_state(&items, 1, 4, 5, 6);
    size_t size = hf_log_batch_size_bytes(items.batches[2]);
    assert_int_equal(hf_log_append(run.log, items.batches[2], never_called, NULL), HF_ECONFLICT);
    assert_int_equal(hf_log_batch_size_bytes(items.batches[2]), size);
    items_go(&run);
    assert_int_equal(run.acknowledged, 3);
    /* And reusable after that. */
    hf_log_batch_clear(items.batches[2]);
    assert_true(hf_log_batch_is_empty(items.batches[2]));
    assert_int_equal(batch_add(items.batches[2], items_ids[2], 1, 1), 0);
    assert_int_equal(items_append_apart(&run, items.batches[2]), 0);
    items_teardown(&run);
}

/* The batch may be cleared, filled and appended again while the device still has the first. */
static void L12_a_batch_is_free_at_once_after_its_append(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 12, 1, 3000);
    struct hf_log_batch *batch = batch_open();
    for (uint64_t i = 0; i < 12; i++) {
        struct hf_entry entry = items_entry_of(i + 1, &items_group(&items, 0)->entries[i]);
        assert_int_equal(hf_log_batch_append(batch, items_ids[0], &entry, 1), 0);
        assert_int_equal(hf_log_append(run.log, batch, NULL, NULL), 0);
        hf_log_batch_clear(batch);
        if (i % 4 == 0) {
            hf_log_turn(run.log);
        }
    }
    assert_int_equal(items_append_apart(&run, batch), 0); /* the barrier */
    hf_log_batch_close(batch);
    items_expect(run.log, &items.models[1], "reused");
    run.appended = run.called = run.acknowledged = 1;
    reopen_and_expect(&run);
    items_teardown(&run);
}

static void L13_the_last_index_overflows_nothing(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_reset(&items, 0, UINT64_MAX - 2, 7, "the end");
    items_commit(&run);
    struct hf_log_batch *batch = batch_open();
    assert_int_equal(batch_add(batch, items_ids[0], UINT64_MAX - 1, 7), 0);
    assert_int_equal(batch_add(batch, items_ids[0], UINT64_MAX, 7), 0);
    assert_int_equal(items_append_apart(&run, batch), 0);
    for (int round = 0; round < 2; round++) {
        struct hf_log_group_state state;
        struct hf_log_view view = {0};
        uint64_t term = 0;
        assert_int_equal(hf_log_group_state(run.log, items_ids[0], &state), 0);
        assert_true(state.first_index == UINT64_MAX - 1 && state.last_index == UINT64_MAX);
        assert_int_equal(hf_log_term(run.log, items_ids[0], UINT64_MAX, &term), 0);
        assert_int_equal(term, 7);
        assert_int_equal(hf_log_read(run.log, items_ids[0], UINT64_MAX - 1, UINT64_MAX, 0, 0, &view), 0);
        assert_int_equal(view.count, 1);
        assert_true(view.entries[0].index == UINT64_MAX - 1);
        hf_log_view_close(&view);
        /* One past the last index is 0. */
        assert_int_equal(hf_log_read(run.log, items_ids[0], UINT64_MAX - 1, 0, 0, 0, &view), 0);
        assert_int_equal(view.count, 2);
        assert_true(view.entries[1].index == UINT64_MAX);
        hf_log_view_close(&view);
        /* No next one, neither as 0 nor as a beginning. */
        for (uint64_t index = 0; index < 2; index++) {
            hf_log_batch_clear(batch);
            int rc = batch_add(batch, items_ids[0], index, 7);
            rc = rc != 0 ? rc : hf_log_append(run.log, batch, never_called, NULL);
            assert_true(rc == HF_ECONFLICT || rc == HF_EINVALID || rc == HF_ECOMPACTED);
        }
        items_restart(&run);
        items_open_surely(&run);
    }
    hf_log_batch_close(batch);
    items_teardown(&run);
}

/* first = index + 1 must exist. */
static void L13_a_floor_at_the_last_index_leaves_a_log_that_works(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    struct hf_log_batch *batch = batch_open();
    int rc = hf_log_batch_reset(batch, items_ids[0], UINT64_MAX, 7, items_payload(1, 3));
    rc = rc != 0 ? rc : items_append_apart(&run, batch);
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(run.log, items_ids[0], &state), 0);
    if (rc != 0) {
        assert_true(rc == HF_EINVALID || rc == HF_ECONFLICT);
        assert_false(state.exists);
    } else {
        assert_true(state.last_index == UINT64_MAX); /* not 0, not 1 */
        for (uint64_t index = 0; index < 2; index++) {
            hf_log_batch_clear(batch);
            rc = batch_add(batch, items_ids[0], index, 7);
            rc = rc != 0 ? rc : hf_log_append(run.log, batch, never_called, NULL);
            assert_int_not_equal(rc, 0);
        }
    }
    hf_log_batch_close(batch);
    items_restart(&run);
    items_open_surely(&run);
    items_teardown(&run);
}

static void L14_an_unknown_group_reads_as_empty(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    static const uint64_t unknown[] = {1, 2, 12345, HF_LOG_GROUP_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct hf_log_group_state state;
        struct hf_log_view view = {0};
        uint64_t term = 99;
        assert_int_equal(hf_log_group_state(run.log, unknown[i], &state), 0);
        assert_false(state.exists || state.removed || state.damaged);
        assert_true(state.first_index == 1 && state.last_index == 0 && state.durable_index == 0);
        assert_int_equal(hf_log_read(run.log, unknown[i], 1, 1, 0, 0, &view), 0);
        assert_int_equal(view.count, 0);
        hf_log_view_close(&view);
        assert_int_equal(hf_log_read(run.log, unknown[i], 1, 2, 0, 0, &view), HF_EUNAVAILABLE);
        assert_int_equal(hf_log_term(run.log, unknown[i], 1, &term), HF_EUNAVAILABLE);
        assert_int_equal(hf_log_term(run.log, unknown[i], 0, &term), 0);
        assert_int_equal(term, 0);
    }
    uint64_t id = 0;
    assert_int_equal(hf_log_group_next(run.log, 0, &id), HF_ENOTFOUND);
    items_teardown(&run);
}

static void L14_extreme_group_ids_work_and_impossible_ones_are_refused(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 10);
    items_append(&items, 2, 1, 1, 10);
    items_commit(&run);
    static const uint64_t impossible[] = {0, HF_LOG_GROUP_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct hf_log_batch *batch = batch_open();
        struct hf_log_group_state state;
        uint64_t id = impossible[i];
        int rc = batch_add(batch, id, 1, 1);
        assert_int_equal(rc != 0 ? rc : hf_log_append(run.log, batch, never_called, NULL), HF_EINVALID);
        hf_log_batch_clear(batch);
        rc = hf_log_batch_hard_state(batch, id, (struct hf_hard_state){1, 1, 1});
        assert_int_equal(rc != 0 ? rc : hf_log_append(run.log, batch, never_called, NULL), HF_EINVALID);
        assert_int_equal(hf_log_group_open(run.log, id, 1), HF_EINVALID);
        rc = hf_log_group_state(run.log, id, &state);
        assert_true(rc == HF_EINVALID || (rc == 0 && !state.exists));
        hf_log_batch_close(batch);
    }
    reopen_and_expect(&run);
    uint64_t id = 0;
    assert_int_equal(hf_log_group_next(run.log, 0, &id), 0);
    assert_int_equal(id, 1);
    assert_int_equal(hf_log_group_next(run.log, id, &id), 0);
    assert_true(id == HF_LOG_GROUP_MAX);
    assert_int_equal(hf_log_group_next(run.log, id, &id), HF_ENOTFOUND);
    assert_int_equal(hf_log_group_next(run.log, UINT64_MAX, &id), HF_ENOTFOUND);
    items_teardown(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L1_a_group_restarts_where_it_began),
        cmocka_unit_test(L1_a_group_that_was_emptied_may_restart_below_its_commit_index),
        cmocka_unit_test(L2_a_gap_is_refused_before_anything_is_written),
        cmocka_unit_test(L2_a_gap_within_one_call_is_refused),
        cmocka_unit_test(L4_appending_an_entry_again_never_shortens_the_log),
        cmocka_unit_test(L5_overwriting_at_or_below_the_floor_is_refused),
        cmocka_unit_test(L5_an_entry_at_or_below_the_floor_is_refused),
        cmocka_unit_test(L6_an_empty_batch_of_an_idle_log_writes_nothing),
        cmocka_unit_test(L6_an_empty_batch_waits_for_what_came_before_it),
        cmocka_unit_test(L8_the_largest_entry_is_kept_and_a_larger_one_refused),
        cmocka_unit_test(L11_a_term_that_decreases_is_refused),
        cmocka_unit_test(L12_a_refused_batch_is_good_once_its_gap_is_filled),
        cmocka_unit_test(L12_a_batch_is_free_at_once_after_its_append),
        cmocka_unit_test(L13_the_last_index_overflows_nothing),
        cmocka_unit_test(L13_a_floor_at_the_last_index_leaves_a_log_that_works),
        cmocka_unit_test(L14_an_unknown_group_reads_as_empty),
        cmocka_unit_test(L14_extreme_group_ids_work_and_impossible_ones_are_refused),
        ITEMS_ROWS(L1_an_empty_log_starts_at_any_index),
        ITEMS_ROWS(L3_a_conflicting_suffix_is_replaced_in_one_step),
        ITEMS_ROWS(L2_L4_L11_L12_what_is_forbidden_is_refused_and_leaves_no_trace),
        ITEMS_ROWS(L6_empty_batches_are_barriers),
        ITEMS_ROWS(L7_entries_without_payload_are_entries),
        ITEMS_ROWS(L8_an_entry_larger_than_a_segment_is_an_entry),
        ITEMS_ROWS(L9_a_batch_across_groups_is_whole_or_absent),
        ITEMS_ROWS(L10_hard_state_and_entries_are_one_step),
    };
    return ITEMS_MAIN(tests);
}
