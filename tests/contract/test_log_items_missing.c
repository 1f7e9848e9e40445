/* links: log sim */
/* LOG_SEMANTICS, item 50: the newest segment with records is gone, and only what was prepared behind it knows. */
#include "contract/log_items.h"

#include "log/log_format.h"

#define PATH_MAX_SIZE 128u

struct listing {
    uint64_t numbers[32];
    size_t count; /* of segments */
    size_t others;
};
static int list_one(void *arg, const char *name, bool is_directory)
{
    struct listing *listing = arg;
    uint64_t number = 0;
    if (!is_directory && log_format_parse_segment_name(name, &number)) {
        assert_true(listing->count < 32);
        listing->numbers[listing->count++] = number;
    } else {
        listing->others++;
    }
    return 0;
}
static struct listing list(struct items_run *run)
{
    struct listing listing = {.count = 0};
    assert_int_equal(directory_list(sim_host_io(run->host), ITEMS_DIRECTORY, list_one, &listing), 0);
    return listing;
}
static const char *segment_path(uint64_t number)
{
    static char path[PATH_MAX_SIZE];
    char name[LOG_FORMAT_NAME_SIZE];
    log_format_segment_name(name, number);
    snprintf(path, sizeof(path), ITEMS_DIRECTORY "/%s", name);
    return path;
}
/* size_out: of what was read; the caller frees. */
static uint8_t *read_file(struct items_run *run, const char *path, uint64_t *size_out)
{
    struct file *file = NULL;
    size_t got = 0;
    assert_int_equal(file_open(sim_host_io(run->host), path, FILE_READ, &file), 0);
    assert_int_equal(file_size(file, size_out), 0);
    uint8_t *bytes = malloc(*size_out + 1);
    assert_non_null(bytes);
    assert_int_equal(file_read(file, 0, bytes, *size_out, &got), 0);
    assert_int_equal(got, *size_out);
    file_close(file);
    return bytes;
}
/* The workload is acknowledged, declared durable, and the log closed. */
static void run_and_close(struct items *items, struct items_run *run, items_build *build)
{
    items_begin(items);
    build(items);
    items_world(run, items, 11);
    run->when = "first life";
    items_open_surely(run);
    items_go(run);
    assert_int_equal(run->acknowledged, items->count);
    items_idle(run, 100 * ITEMS_MS);
    items_close(run);
}
static void build_segments(struct items *items)
{
    for (unsigned i = 0; i < 6; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, 400000);
        items_append(items, 2, 1, 1, 100);
    }
}
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
