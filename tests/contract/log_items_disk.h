/* A disk that a log filled: for tests of what such a log still does. */
#ifndef CONTRACT_LOG_ITEMS_DISK_H
#define CONTRACT_LOG_ITEMS_DISK_H

#include "contract/log_items.h"

static inline void build_filling(struct items *items)
{
    items->width = 2;
    items->options.segment_size_bytes = 1 << 20;
    items->options.reserve_bytes = 2 << 20;
    for (unsigned i = 0; i < 18; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, 350000);
        if (i % 5 == 4) {
            items_append(items, 2, 1, 1, 600000);
        }
    }
}
/* Fills the disk, as far as the log lets itself; what was not taken is no longer part of the workload. reserve_bytes 0:
 * the default, 8 MiB. Returns the last index of the first group. */
static inline uint64_t fill_up(struct items *items, struct items_run *run, uint64_t capacity, uint64_t reserve_bytes)
{
    items_begin(items);
    build_filling(items);
    items->options.reserve_bytes = reserve_bytes;
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
static inline void take_what_makes_room(struct items *items, struct items_run *run, uint64_t last)
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
/* Opens again and again, takes what makes room or keeps a vote, and ends. */
static inline void expect_it_opens_and_makes_room(struct items *items, struct items_run *run, uint64_t capacity,
                                                  uint64_t last)
{
    for (unsigned round = 0; round < 8; round++) {
        char when[64];
        snprintf(when, sizeof(when), "disk of %llu, restart %u", (unsigned long long)capacity, round);
        run->when = when;
        items_restart(run);
        items_reopen(run, items->count, items->count);
    }
    run->when = "making room";
    take_what_makes_room(items, run, last);
    items_teardown(run);
}

#endif
