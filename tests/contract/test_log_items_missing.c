/* links: log sim */
/* LOG_SEMANTICS, item 50: the newest segment with records is gone, and only what was prepared behind it knows. */
#include "contract/log_items_files.h"

/* The last segment with records disappears. No frame behind it declares it durable, but the header of the spare that
 * was prepared behind it names it as its predecessor. */
static void L50_a_missing_last_segment_is_noticed_by_the_spare_behind_it(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    uint64_t size = 0;
    run_and_close(&items, &run, build_segments);
    struct listing listing = list(&run);
    struct log_segment_header headers[2];
    for (unsigned i = 0; i < 2; i++) {
        uint8_t *bytes = read_file(&run, segment_path(3 + i), &size);
        assert_int_equal(log_format_get_segment_header(bytes, &headers[i]), 0);
        free(bytes);
    }
    assert_true(listing.count > 3);
    assert_true(headers[1].previous_incarnation == headers[0].incarnation); /* the evidence */
    assert_int_equal(path_unlink(sim_host_io(run.host), segment_path(3)), 0);
    assert_int_equal(directory_sync(sim_host_io(run.host), ITEMS_DIRECTORY), 0);
    int rc = items_open(&run);
    size_t position = 0;
    struct hf_log_damage damage;
    if (rc == 0 && hf_log_damage_next(run.log, &position, &damage) == HF_ENOTFOUND) {
        items_expect(run.log, &items.models[items.count], "a missing segment, in silence");
    }
    items_close(&run);
    sim_close(run.sim);
    items_end(&items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L50_a_missing_last_segment_is_noticed_by_the_spare_behind_it),
    };
    return ITEMS_MAIN(tests);
}
