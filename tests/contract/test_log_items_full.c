/* links: log sim */
/* LOG_SEMANTICS, item 23, from the far end: a disk that is full before the log opens. */
#include "contract/log_items.h"

static void build_filling(struct items *items)
{
    items->width = 2;
    items->options.reserve_bytes = 2 << 20;
    for (unsigned i = 0; i < 18; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, 350000);
        if (i % 5 == 4) {
            items_append(items, 2, 1, 1, 600000);
        }
    }
}
/* Fills the disk, as far as the log lets itself; what was not taken is no longer part of the workload. */
static uint64_t fill_up(struct items *items, struct items_run *run, uint64_t capacity)
{
    items_begin(items);
    build_filling(items);
    items_world(run, items, 5);
    run->when = "filling the disk";
    run->refused_max = 3;
    sim_disk_set_capacity(run->host, capacity);
    items_open_surely(run);
    items_go(run);
    assert_int_equal(run->refused, 3);
    while (items->count > run->appended) {
        hf_log_batch_close(items->batches[--items->count]);
    }
    run->refused = run->refused_max = 0;
    return items->models[items->count].groups[0].count;
}
static void take_what_makes_room(struct items *items, struct items_run *run, uint64_t last)
{
    items_batch(items);
    items_hard_state(items, 0, 5, 5, 2);
    items_commit(run);
    items_batch(items);
    items_compact(items, 0, last);
    items_commit(run);
    items_batch(items);
    items_reset(items, 1, 1000, 5, "one thousand");
    items_commit(run);
    items_batch(items);
    items_remove(items, 2);
    items_commit(run);
    items_restart(run);
    items_reopen(run, items->count, items->count);
}
/* The log filled the disk up to its headroom: it opens, again and again, and takes what makes room or keeps a vote. */
static void L23_a_disk_that_the_log_filled_to_a_small_headroom_opens_and_takes_what_makes_room(void **unused)
{
    (void)unused;
    for (uint64_t capacity = 5 << 20; capacity < (12 << 20); capacity += 900001) {
        struct items items;
        struct items_run run;
        uint64_t last = fill_up(&items, &run, capacity);
        for (unsigned round = 0; round < 8; round++) {
            char when[64];
            snprintf(when, sizeof(when), "disk of %llu, restart %u", (unsigned long long)capacity, round);
            run.when = when;
            items_restart(&run);
            items_reopen(&run, items.count, items.count);
        }
        run.when = "making room";
        take_what_makes_room(&items, &run, last);
        items_teardown(&run);
    }
}
/* Somebody else took the headroom too: not a free byte. */
static void L23_a_disk_without_a_free_byte_opens_and_takes_what_makes_room(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    uint64_t last = fill_up(&items, &run, 9 << 20);
    for (unsigned round = 0; round < 8; round++) {
        char when[64];
        snprintf(when, sizeof(when), "not a free byte, restart %u", round);
        run.when = when;
        sim_host_power_off(run.host);
        items_close(&run);
        sim_host_start(run.host);
        sim_disk_set_capacity(run.host, sim_disk_used_bytes(run.host));
        items_reopen(&run, items.count, items.count);
    }
    run.when = "making room";
    take_what_makes_room(&items, &run, last);
    items_teardown(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L23_a_disk_that_the_log_filled_to_a_small_headroom_opens_and_takes_what_makes_room),
        cmocka_unit_test(L23_a_disk_without_a_free_byte_opens_and_takes_what_makes_room),
    };
    return ITEMS_MAIN(tests);
}
