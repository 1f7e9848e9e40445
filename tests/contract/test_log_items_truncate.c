/* links: log sim */
/* Log items L35 to L45: suffixes, prefixes, resets and groups that end. Items 44 and what of 43 is about snapshots
 * belong to their room. */
#include "contract/log_items.h"

static void never_called(void *arg, int result)
{
    (void)arg;
    fail_msg("a refused append is answered with %s", hf_error_name(result));
}

/* ---- workloads ---- */

static void build_truncate(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 8, 1, 900);
    items_append(items, 1, 2, 1, 100);
    items_batch(items);
    items_truncate(items, 0, 9); /* beyond the last: nothing */
    items_truncate(items, 2, 5); /* of a group that is not there */
    items_batch(items);
    items_truncate(items, 0, 5);
    items_batch(items);
    items_append(items, 0, 2, 1, 900);
    items_truncate(items, 0, UINT64_MAX);
    items_batch(items);
    items_truncate(items, 0, 1);
    items_batch(items);
    items_append(items, 0, 1, 1, 10);
}
ITEMS_THREE_WAYS(L35_a_suffix_is_truncated_anywhere_and_to_nothing, build_truncate)

static void build_truncate_segments(struct items *items)
{
    for (unsigned i = 0; i < 4; i++) {
        items_batch(items);
        items_append(items, 0, 1, 1, 62000);
        items_append(items, 1, 1, 1, 30);
    }
    items_batch(items);
    items_truncate(items, 0, 2);
    items_batch(items);
    items_append(items, 0, 2, 2, 30);
}
ITEMS_THREE_WAYS(L35_a_suffix_is_truncated_across_segments, build_truncate_segments)

/* Each time the new suffix is shorter, of the same or a higher term, and in one batch or two. */
static void build_no_return(struct items *items)
{
    items->width = 3;
    items_batch(items);
    items_append(items, 0, 9, 1, 600);
    items_batch(items);
    items_truncate(items, 0, 4);
    items_append(items, 0, 3, 1, 600);
    items_batch(items);
    items_truncate(items, 0, 3);
    items_batch(items);
    items_append(items, 0, 1, 1, 601);
    items_batch(items);
    items_truncate(items, 0, 1);
    items_append(items, 0, 2, 7, 50);
    items_truncate(items, 0, 2);
    items_append(items, 0, 1, 7, 51);
}
ITEMS_THREE_WAYS(L36_truncated_entries_never_return, build_no_return)

static void build_no_hole(struct items *items)
{
    items->width = 4;
    items->options.segment_size_bytes = 4 * ITEMS_SEGMENT_SIZE; /* no rotation between */
    items->options.writes_in_flight_max = 4;
    items->options.write_size_max_bytes = 65536;
    items->profile.write_ns = (struct sim_span){10000, 3 * ITEMS_MS};
    items_batch(items);
    items_append(items, 0, 6, 1, 30000);
    for (uint64_t i = 0; i < 5; i++) {
        items_batch(items);
        items_truncate(items, 0, 6 - i);
        items_batch(items);
        items_append(items, 0, 1, 2 + i, 60000);
    }
}
ITEMS_THREE_WAYS(L37_a_crash_in_a_truncation_leaves_no_hole, build_no_hole)

/* Entries go at either end, in one batch or in turns; what lies between them stays as it is. */
static void build_middle(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 8, 1, 100);
    items_batch(items);
    items_compact(items, 0, 3);
    items_truncate(items, 0, 8);
    items_batch(items);
    items_truncate(items, 0, 7);
    items_append(items, 0, 2, 2, 100);
    items_compact(items, 0, 4);
}
ITEMS_THREE_WAYS(L39_between_what_goes_at_either_end_nothing_is_taken_away, build_middle)

static void build_compact(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 8, 1, 300);
    items_append(items, 1, 2, 3, 300);
    items_batch(items);
    items_compact(items, 0, 3);
    items_batch(items);
    items_compact(items, 0, 2); /* below the first: nothing */
    items_compact(items, 0, 6);
    items_append(items, 0, 1, 2, 300);
    items_batch(items);
    items_truncate(items, 0, 8);
    items_compact(items, 0, 7);
    items_compact(items, 1, 2);
}
ITEMS_THREE_WAYS(L40_an_acknowledged_compaction_is_not_undone, build_compact)

static void build_distance(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 3, 1, 100);
    items_batch(items);
    items_truncate(items, 0, 1);
    items_batch(items);
    items_reset(items, 0, UINT64_C(1) << 61, 5, "far");
    items_append(items, 0, 2, 5, 100);
    items_batch(items);
    items_truncate(items, 0, (UINT64_C(1) << 61) + 1);
    items_reset(items, 0, (UINT64_C(1) << 62) + 9, 6, "farther");
    items_batch(items);
    items_append(items, 0, 1, 6, 100);
}
ITEMS_THREE_WAYS(L41_an_emptied_log_restarts_at_any_distance, build_distance)

static void build_reset(struct items *items)
{
    items->width = 2;
    items_batch(items);
    items_append(items, 0, 1, 1, 85000);
    items_append(items, 1, 2, 1, 10);
    items_batch(items);
    items_append(items, 0, 1, 1, 85000); /* the older entries end up in segments of their own */
    items_batch(items);
    items_hard_state(items, 0, 9, 0, 0);
    items_reset(items, 0, 50, 8, "0123456789012345678901234567890123456789012345678901234567890123");
    items_hard_state(items, 0, 9, 2, 50);
    items_batch(items);
    items_append(items, 0, 2, 9, 10);
    items_batch(items);
    items_reset(items, 0, 60, 9, "");
    items_append(items, 0, 1, 10, 10);
}
ITEMS_THREE_WAYS(L42_an_installed_snapshot_and_the_reset_of_the_log_are_one_step, build_reset)

static void build_remove(struct items *items)
{
    items_batch(items);
    for (unsigned group = 0; group < ITEMS_GROUPS; group++) {
        items_append(items, group, 3, 5, 400);
        items_hard_state(items, group, 5, 1, 2);
    }
    items_batch(items);
    items_remove(items, 1);
    items_batch(items);
    items_append(items, 0, 1, 5, 400);
    items_truncate(items, 2, 2);
    items_batch(items);
    items_remove(items, 0);
    items_append(items, 2, 1, 6, 400);
}
ITEMS_THREE_WAYS(L45_a_removed_group_stays_away_and_its_neighbours_stay, build_remove)

/* ---- tests of one thing ---- */

static void L38_compaction_above_the_last_entry_is_refused(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 5, 2, 100);
    items_commit(&run);
    items_idle(&run, 60 * ITEMS_MS);
    static const uint64_t above[] = {6, 7, UINT64_MAX - 1};
    uint64_t operations = sim_disk_operation_count(run.host);
    for (size_t i = 0; i < 6; i++) {
        struct hf_log_batch *batch = NULL;
        assert_int_equal(hf_log_batch_open(&batch), 0);
        assert_int_equal(hf_log_batch_compact(batch, items_ids[i / 3], above[i % 3]), 0);
        assert_int_equal(hf_log_append(run.log, batch, never_called, NULL), HF_ECONFLICT);
        hf_log_batch_close(batch);
    }
    items_expect(run.log, &items.models[1], "after refused compactions");
    items_idle(&run, 60 * ITEMS_MS);
    assert_int_equal(sim_disk_operation_count(run.host), operations);
    /* The documented way there is a reset to k. */
    items_batch(&items);
    items_reset(&items, 0, 7, 2, "seven");
    items_append(&items, 0, 1, 2, 100);
    items_commit(&run);
    items_restart(&run);
    items_reopen(&run, 2, 2);
    items_teardown(&run);
}

static void L41_a_distance_costs_no_space(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 5, 2, 100);
    items_commit(&run);
    items_idle(&run, 60 * ITEMS_MS);
    uint64_t used = sim_disk_used_bytes(run.host);
    for (uint64_t i = 1; i < 15; i++) {
        items_batch(&items);
        items_reset(&items, 0, i << 58, 2 + i, "on");
        items_append(&items, 0, 1, 2 + i, 100);
        items_commit(&run);
    }
    assert_true(sim_disk_used_bytes(run.host) <= used + (1 << 20));
    items_restart(&run);
    items_reopen(&run, items.count, items.count);
    items_teardown(&run);
}

/* A group that comes back under its old id has nothing of its old life: no entries, no votes, no floor. */
static void L45_a_recreated_group_starts_clean(void **unused)
{
    (void)unused;
    for (uint64_t way = 0; way < 4; way++) {
        struct items items;
        struct items_run run;
        items_setup(&items, &run);
        items_open_surely(&run);
        assert_int_equal(hf_log_group_open(run.log, items_ids[0], 0x1111), 0);
        items_batch(&items);
        items_append(&items, 0, 6, 9, 900);
        items_append(&items, 1, 2, 3, 900);
        items_hard_state(&items, 0, 9, 4, 6);
        items_compact(&items, 0, 2);
        items_commit(&run);
        items_batch(&items);
        items_remove(&items, 0);
        items_commit(&run);
        if (way % 2 == 1) {
            items_restart(&run);
            items_reopen(&run, run.appended, run.appended);
        }
        struct hf_log_group_state state;
        assert_int_equal(hf_log_group_state(run.log, items_ids[0], &state), 0);
        assert_false(state.exists);
        assert_int_equal(hf_log_group_open(run.log, items_ids[0], 0x2222), 0);
        items_batch(&items);
        if (way < 2) {
            items_append(&items, 0, 2, 1, 50);
        } else {
            items_hard_state(&items, 0, 1, 1, 0);
        }
        items_commit(&run);
        assert_int_equal(hf_log_group_state(run.log, items_ids[0], &state), 0);
        assert_true(state.exists);
        assert_int_equal(state.incarnation, 0x2222);
        sim_disk_set_chooser(run.host, items_keep_nothing, NULL);
        items_restart(&run);
        items_reopen(&run, run.appended, run.appended);
        assert_int_equal(hf_log_group_state(run.log, items_ids[0], &state), 0);
        assert_int_equal(state.incarnation, 0x2222);
        assert_int_equal(hf_log_group_open(run.log, items_ids[0], 0x3333), HF_EMISMATCH);
        assert_int_equal(hf_log_group_open(run.log, items_ids[0], 0x2222), 0);
        items_teardown(&run);
    }
}

static void L45_groups_are_listed_until_they_are_removed(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 10);
    items_append(&items, 1, 1, 1, 10);
    items_hard_state(&items, 2, 1, 1, 0); /* a vote alone makes a group */
    items_commit(&run);
    items_batch(&items);
    items_remove(&items, 1);
    items_commit(&run);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t id = 0;
        assert_int_equal(hf_log_group_next(run.log, 0, &id), 0);
        assert_int_equal(id, items_ids[0]);
        assert_int_equal(hf_log_group_next(run.log, id, &id), 0);
        if (id == items_ids[1]) { /* a tombstone may be listed, as what it is */
            struct hf_log_group_state state;
            assert_int_equal(hf_log_group_state(run.log, id, &state), 0);
            assert_true(state.removed && !state.exists);
            assert_int_equal(hf_log_group_next(run.log, id, &id), 0);
        }
        assert_true(id == items_ids[2]);
        assert_int_equal(hf_log_group_next(run.log, id, &id), HF_ENOTFOUND);
        items_restart(&run);
        items_reopen(&run, 2, 2);
    }
    items_teardown(&run);
}

/* Removing what is not there changes nothing and harms nobody. */
static void L45_removing_an_unknown_group_is_harmless(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 10);
    items_commit(&run);
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(hf_log_batch_remove_group(batch, items_ids[1]), 0);
    int rc = items_append_apart(&run, batch);
    assert_true(rc == 0 || rc == HF_ENOTFOUND || rc == HF_ECONFLICT);
    hf_log_batch_clear(batch);
    assert_int_equal(hf_log_batch_truncate(batch, items_ids[2], 3), 0);
    rc = items_append_apart(&run, batch);
    assert_int_equal(rc, 0);
    hf_log_batch_close(batch);
    items_restart(&run);
    items_reopen(&run, 1, 1);
    items_teardown(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L38_compaction_above_the_last_entry_is_refused),
        cmocka_unit_test(L41_a_distance_costs_no_space),
        cmocka_unit_test(L45_a_recreated_group_starts_clean),
        cmocka_unit_test(L45_groups_are_listed_until_they_are_removed),
        cmocka_unit_test(L45_removing_an_unknown_group_is_harmless),
        ITEMS_ROWS(L35_a_suffix_is_truncated_anywhere_and_to_nothing),
        ITEMS_ROWS(L35_a_suffix_is_truncated_across_segments),
        ITEMS_ROWS(L36_truncated_entries_never_return),
        ITEMS_ROWS(L37_a_crash_in_a_truncation_leaves_no_hole),
        ITEMS_ROWS(L39_between_what_goes_at_either_end_nothing_is_taken_away),
        ITEMS_ROWS(L40_an_acknowledged_compaction_is_not_undone),
        ITEMS_ROWS(L41_an_emptied_log_restarts_at_any_distance),
        ITEMS_ROWS(L42_an_installed_snapshot_and_the_reset_of_the_log_are_one_step),
        ITEMS_ROWS(L45_a_removed_group_stays_away_and_its_neighbours_stay),
    };
    return ITEMS_MAIN(tests);
}
