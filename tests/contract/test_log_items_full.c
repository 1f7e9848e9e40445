/* links: log sim */
/* Log item L23, from the far end: a disk that is full before the log opens. */
#include "contract/log_items_disk.h"

/* The log filled the disk up to its headroom: it opens, again and again, and takes what makes room or keeps a vote. */
static void L23_a_disk_that_the_log_filled_to_a_small_headroom_opens_and_takes_what_makes_room(void **unused)
{
    (void)unused;
    for (uint64_t capacity = 5 << 20; capacity < (12 << 20); capacity += 900001) {
        struct items items;
        struct items_run run;
        uint64_t last = fill_up(&items, &run, capacity, 2 << 20);
        expect_it_opens_and_makes_room(&items, &run, capacity, last);
    }
}
/* Somebody else took the headroom too: not a free byte. */
static void L23_a_disk_without_a_free_byte_opens_and_takes_what_makes_room(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    uint64_t last = fill_up(&items, &run, 9 << 20, 2 << 20);
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
