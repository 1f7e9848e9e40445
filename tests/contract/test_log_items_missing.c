/* links: log sim */
/* Log item L50: the newest segment with records is gone, and only what was prepared behind it knows. */
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

/* Gives a segment's header another predecessor. Returns whether any frame stands in it. */
static bool forge_predecessor(struct items_run *run, uint64_t number)
{
    struct file *file = NULL;
    struct log_segment_header header;
    uint64_t size = 0;
    uint8_t *bytes = read_file(run, segment_path(number), &size);
    assert_int_equal(log_format_get_segment_header(bytes, &header), 0);
    bool has_frame = memcmp(bytes + LOG_FORMAT_SEGMENT_HEADER_SIZE, "HFFR", 4) == 0;
    header.previous_incarnation ^= 1;
    log_format_put_segment_header(bytes, &header);
    assert_int_equal(file_open(sim_host_io(run->host), segment_path(number), FILE_READ | FILE_WRITE, &file), 0);
    assert_int_equal(file_write(file, 0, bytes, LOG_FORMAT_SEGMENT_HEADER_SIZE), 0);
    assert_int_equal(file_sync(file), 0);
    file_close(file);
    free(bytes);
    return has_frame;
}

/* A good header that names another predecessor: with records in it the log does not open, since what lies between is
 * gone; a spare that was given up is nothing that anybody misses. */
static void L50_a_segment_that_continues_another_one_is_damage_unless_nothing_was_written_to_it(void **unused)
{
    (void)unused;
    for (uint64_t number = 2; number <= 4; number++) {
        struct items items;
        struct items_run run;
        run_and_close(&items, &run, build_segments);
        assert_true(list(&run).count > 3);
        if (forge_predecessor(&run, number)) {
            assert_int_equal(items_open(&run), HF_ECORRUPT);
            assert_non_null(strstr(hf_error_text(), "does not continue"));
        } else {
            assert_int_equal(number, 4);
            items_reopen(&run, items.count, items.count);
            items_close(&run);
        }
        sim_close(run.sim);
        items_end(&items);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L50_a_missing_last_segment_is_noticed_by_the_spare_behind_it),
        cmocka_unit_test(L50_a_segment_that_continues_another_one_is_damage_unless_nothing_was_written_to_it),
    };
    return ITEMS_MAIN(tests);
}
