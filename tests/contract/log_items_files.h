/* The files of a log's directory, beside the log: for tests that change them between a close and an open. */
#ifndef CONTRACT_LOG_ITEMS_FILES_H
#define CONTRACT_LOG_ITEMS_FILES_H

#include "contract/log_items.h"

#include "log/log_format.h"

#define PATH_MAX_SIZE 128u

struct listing {
    uint64_t numbers[32];
    size_t count; /* of segments */
    size_t others;
};
static inline int list_one(void *arg, const char *name, bool is_directory)
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
static inline struct listing list(struct items_run *run)
{
    struct listing listing = {.count = 0};
    assert_int_equal(directory_list(sim_host_io(run->host), ITEMS_DIRECTORY, list_one, &listing), 0);
    return listing;
}
static inline const char *segment_path(uint64_t number)
{
    static char path[PATH_MAX_SIZE];
    char name[LOG_FORMAT_NAME_SIZE];
    log_format_segment_name(name, number);
    snprintf(path, sizeof(path), ITEMS_DIRECTORY "/%s", name);
    return path;
}
/* size_out: of what was read; the caller frees. */
static inline uint8_t *read_file(struct items_run *run, const char *path, uint64_t *size_out)
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
static inline void run_and_close(struct items *items, struct items_run *run, items_build *build)
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
static inline void build_segments(struct items *items)
{
    for (unsigned i = 0; i < 6; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, 50000);
        items_append(items, 2, 1, 1, 100);
    }
}

#endif
