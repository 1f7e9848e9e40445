/* The contract of io/io.h as cases that every implementation passes. A test file sets up a fixture, puts it in cmocka's
 * state, and makes its table from IO_CASES:
 *
 *   #define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown),
 *   const struct CMUnitTest tests[] = {IO_CASES(ROW)};
 *
 * What only a kernel has (processes, descriptors, threads that wait) is in test_io_contract.c. */
#ifndef CONTRACT_IO_CASES_H
#define CONTRACT_IO_CASES_H

#include "contract/io_fixture.h"

#define IO_CASES(X)                                                   \
    X(opening_a_missing_file_is_not_found_and_names_it)               \
    X(creating_exclusively_refuses_what_is_there)                     \
    X(opening_a_directory_or_below_a_file_fails)                      \
    X(an_empty_path_is_refused)                                       \
    X(reads_return_what_was_written)                                  \
    X(a_read_is_short_only_at_the_end_of_the_file)                    \
    X(a_direct_read_is_short_only_at_the_end_of_the_file)             \
    X(a_direct_file_takes_durable_writes_of_blocks)                   \
    X(a_write_changes_its_range_and_nothing_else)                     \
    X(a_write_beyond_the_end_grows_the_file_with_zeros)               \
    X(a_large_write_arrives_whole)                                    \
    X(two_openers_see_each_others_writes)                             \
    X(preallocate_extends_with_zeros_and_keeps_content)               \
    X(truncate_cuts_and_extends_with_zeros)                           \
    X(a_full_device_refuses_growth_and_leaves_the_file_usable)        \
    X(a_lock_refuses_a_second_opener_until_it_is_closed)              \
    X(rename_replaces_its_target)                                     \
    X(renaming_or_unlinking_what_is_missing_is_not_found)             \
    X(an_unlinked_file_stays_readable_while_it_is_open)               \
    X(directory_create_makes_parents_and_accepts_what_is_there)       \
    X(directory_create_refuses_a_file_in_the_way)                     \
    X(directory_list_is_in_byte_order_and_tells_directories)          \
    X(directory_list_stops_where_the_visitor_says_and_lets_it_unlink) \
    X(directory_sync_needs_a_directory)                               \
    X(free_space_is_known)                                            \
    X(a_folder_lies_on_the_same_mount_for_as_long_as_that_is_there)   \
    X(the_clocks_and_randomness_behave)                               \
    X(a_queue_has_a_depth)                                            \
    X(a_queued_durable_write_completes_and_can_be_read)               \
    X(many_writes_in_flight_complete_once_each)                       \
    X(beyond_its_depth_a_queue_is_busy)                               \
    X(a_queued_sync_completes)                                        \
    X(work_brings_its_result_and_its_text)                            \
    X(a_queued_write_to_a_full_device_fails_with_a_text)              \
    X(an_operation_may_be_submitted_again_after_it_was_reaped)        \
    X(closing_a_queue_waits_for_operations_in_flight)                 \
    X(closing_nothing_is_fine)

/* ---- opening ---- */

static void opening_a_missing_file_is_not_found_and_names_it(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = NULL;
    assert_int_equal(file_open(fixture->io, io_cases_path(fixture, "missing"), FILE_READ, &file), HF_ENOTFOUND);
    assert_null(file);
    io_cases_assert_text_names(hf_error_text(), io_cases_path(fixture, "missing"));
    assert_int_equal(file_open(fixture->io, io_cases_path(fixture, "no/such"), FILE_WRITE | FILE_CREATE, &file),
                     HF_ENOTFOUND);
    assert_null(file);
}

static void creating_exclusively_refuses_what_is_there(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    unsigned flags = FILE_READ | FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE | FILE_DIRECT;
    struct file *first = io_cases_open(fixture, "x", flags);
    struct file *second = NULL;
    assert_int_equal(file_open(fixture->io, io_cases_path(fixture, "x"), flags, &second), HF_EEXISTS);
    io_cases_assert_text_names(hf_error_text(), io_cases_path(fixture, "x"));
    assert_null(second);
    file_close(first);
}

static void opening_a_directory_or_below_a_file_fails(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = NULL;
    io_cases_put(fixture, "plain", "text");
    io_cases_assert_ok(directory_create(fixture->io, io_cases_path(fixture, "folder")));
    static const struct {
        const char *name;
        unsigned flags;
    } rows[] = {
        {"folder", FILE_READ},
        {"folder", FILE_READ | FILE_WRITE},
        {"folder", FILE_READ | FILE_WRITE | FILE_CREATE},
        {"plain/below", FILE_READ},
        {"plain/below", FILE_READ | FILE_WRITE | FILE_CREATE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(file_open(fixture->io, io_cases_path(fixture, rows[i].name), rows[i].flags, &file) < 0);
        assert_null(file);
        io_cases_assert_text_names(hf_error_text(), io_cases_path(fixture, rows[i].name));
    }
}

static void an_empty_path_is_refused(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = NULL;
    assert_int_equal(file_open(fixture->io, "", FILE_READ, &file), HF_EINVALID);
    assert_int_equal(directory_create(fixture->io, ""), HF_EINVALID);
    assert_int_equal(directory_sync(fixture->io, ""), HF_EINVALID);
    assert_int_equal(path_unlink(fixture->io, ""), HF_EINVALID);
    assert_int_equal(path_rename(fixture->io, io_cases_path(fixture, "a"), ""), HF_EINVALID);
}

/* ---- content ---- */

static void reads_return_what_was_written(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_CASES_SIZE, 1);
    struct file *file = io_cases_create(fixture, "a");
    static const struct {
        uint64_t offset;
        size_t size;
    } rows[] = {{0, 1}, {1, 511}, {512, 512}, {1024, 3072}, {4096, 4096}, {8192, 1}, {8193, 4095}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (i % 2 == 0) {
            io_cases_assert_ok(file_write(file, rows[i].offset, bytes + rows[i].offset, rows[i].size));
        } else {
            io_cases_assert_ok(file_write_durable(file, rows[i].offset, bytes + rows[i].offset, rows[i].size));
        }
    }
    file_write_soon(file, 0, 1); /* changes nothing that can be seen */
    io_cases_assert_ok(file_sync(file));
    io_cases_assert_size(file, IO_CASES_SIZE);
    io_cases_assert_content(file, 0, bytes, IO_CASES_SIZE);
    io_cases_assert_content(file, 511, bytes + 511, 5000);
    file_close(file);

    file = io_cases_open(fixture, "a", FILE_READ);
    assert_false(file_is_direct(file));
    io_cases_assert_content(file, 0, bytes, IO_CASES_SIZE);
    file_close(file);
    free(bytes);
}

static void a_read_is_short_only_at_the_end_of_the_file(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(5000, 2);
    uint8_t target[8192];
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(file, 0, bytes, 5000));
    static const struct {
        uint64_t offset;
        size_t size;
        size_t got;
    } rows[] = {{0, 8192, 5000}, {4096, 4096, 904}, {4999, 10, 1}, {5000, 10, 0}, {100000, 10, 0}, {0, 0, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t got = 77;
        memset(target, 0xee, sizeof(target));
        io_cases_assert_ok(file_read(file, rows[i].offset, target, rows[i].size, &got));
        assert_int_equal(got, rows[i].got);
        if (got > 0) {
            assert_memory_equal(target, bytes + rows[i].offset, got);
        }
        if (got < sizeof(target)) {
            assert_int_equal(target[got], 0xee);
        }
    }
    file_close(file);
    free(bytes);
}

static void a_direct_read_is_short_only_at_the_end_of_the_file(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(5000, 3);
    struct file *plain = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(plain, 0, bytes, 5000));
    io_cases_assert_ok(file_sync(plain));
    file_close(plain);

    uint8_t *target = io_cases_bytes(16384, 0);
    struct file *file = io_cases_open(fixture, "a", FILE_READ | FILE_DIRECT);
    static const struct {
        uint64_t offset;
        size_t got;
    } rows[] = {{0, 5000}, {4096, 904}, {8192, 0}, {1 << 20, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t got = 77;
        io_cases_assert_ok(file_read(file, rows[i].offset, target, 16384, &got));
        assert_int_equal(got, rows[i].got);
        if (got > 0) {
            assert_memory_equal(target, bytes + rows[i].offset, got);
        }
    }
    file_close(file);
    free(target);
    free(bytes);
}

static void a_direct_file_takes_durable_writes_of_blocks(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(4 * IO_BLOCK_SIZE, 4);
    struct file *file = io_cases_create_blocks(fixture, "a", 4);
    io_cases_assert_ok(file_write_durable(file, IO_BLOCK_SIZE, bytes + IO_BLOCK_SIZE, 2 * IO_BLOCK_SIZE));
    io_cases_assert_ok(file_write_durable(file, 0, bytes, IO_BLOCK_SIZE));
    io_cases_assert_ok(file_write(file, 3 * IO_BLOCK_SIZE, bytes + 3 * IO_BLOCK_SIZE, IO_BLOCK_SIZE));
    io_cases_assert_content(file, 0, bytes, 4 * IO_BLOCK_SIZE);
    file_close(file);
    free(bytes);
}

static void a_write_changes_its_range_and_nothing_else(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_CASES_SIZE, 5);
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(file, 0, bytes, IO_CASES_SIZE));
    io_cases_assert_ok(file_write(file, 4000, "middle", 6));
    memcpy(bytes + 4000, "middle", 6);
    io_cases_assert_content(file, 0, bytes, IO_CASES_SIZE);
    io_cases_assert_ok(file_write(file, 0, NULL, 0));
    io_cases_assert_size(file, IO_CASES_SIZE);
    file_close(file);
    free(bytes);
}

static void a_write_beyond_the_end_grows_the_file_with_zeros(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t expected[10004] = {0};
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write_durable(file, 10000, "tail", 4));
    memcpy(expected + 10000, "tail", 4);
    io_cases_assert_size(file, 10004);
    io_cases_assert_content(file, 0, expected, sizeof(expected));
    file_close(file);
}

static void a_large_write_arrives_whole(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    size_t size = (3u << 20) + 123;
    uint8_t *bytes = io_cases_bytes(size, 6);
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(file, 77, bytes, size));
    io_cases_assert_ok(file_sync(file));
    io_cases_assert_size(file, size + 77);
    io_cases_assert_content(file, 77, bytes, size);
    file_close(file);
    free(bytes);
}

static void two_openers_see_each_others_writes(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *one = io_cases_create(fixture, "a");
    struct file *other = io_cases_open(fixture, "a", FILE_READ | FILE_WRITE);
    io_cases_assert_ok(file_write(one, 0, "one", 3));
    io_cases_assert_content(other, 0, "one", 3);
    io_cases_assert_ok(file_write(other, 3, "other", 5));
    io_cases_assert_content(one, 0, "oneother", 8);
    file_close(other);
    io_cases_assert_content(one, 0, "oneother", 8);
    file_close(one);
}

static void preallocate_extends_with_zeros_and_keeps_content(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *expected = io_cases_bytes(4 * IO_BLOCK_SIZE, 0);
    memset(expected, 0, 4 * IO_BLOCK_SIZE);
    memcpy(expected, "kept", 4);
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(file, 0, "kept", 4));
    io_cases_assert_ok(file_preallocate(file, 0, 4 * IO_BLOCK_SIZE));
    io_cases_assert_size(file, 4 * IO_BLOCK_SIZE);
    io_cases_assert_content(file, 0, expected, 4 * IO_BLOCK_SIZE);
    io_cases_assert_ok(file_preallocate(file, 0, 0));
    io_cases_assert_ok(file_preallocate(file, IO_BLOCK_SIZE, IO_BLOCK_SIZE));
    io_cases_assert_size(file, 4 * IO_BLOCK_SIZE);
    io_cases_assert_content(file, 0, expected, 4 * IO_BLOCK_SIZE);
    file_close(file);
    free(expected);
}

static void truncate_cuts_and_extends_with_zeros(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(file, 0, "abcdef", 6));
    io_cases_assert_ok(file_truncate(file, 3));
    io_cases_assert_size(file, 3);
    io_cases_assert_ok(file_truncate(file, 6));
    io_cases_assert_content(file, 0, "abc\0\0\0", 6);
    io_cases_assert_ok(file_truncate(file, 0));
    io_cases_assert_size(file, 0);
    io_cases_assert_ok(file_sync(file));
    file_close(file);
}

static void a_full_device_refuses_growth_and_leaves_the_file_usable(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    if (fixture->limit_space == NULL) {
        skip();
    }
    uint8_t *bytes = io_cases_bytes(8 * IO_BLOCK_SIZE, 7);
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(file, 0, bytes, IO_BLOCK_SIZE));
    io_cases_assert_ok(file_sync(file));
    fixture->limit_space(fixture, 2 * IO_BLOCK_SIZE);
    int grow_rc = file_write(file, IO_BLOCK_SIZE, bytes + IO_BLOCK_SIZE, 7 * IO_BLOCK_SIZE);
    char text[ERROR_TEXT_SIZE_MAX];
    error_text_copy(text, sizeof(text));
    int durable_rc = file_write_durable(file, 4 * IO_BLOCK_SIZE, bytes, IO_BLOCK_SIZE);
    int preallocate_rc = file_preallocate(file, 0, 8 * IO_BLOCK_SIZE);
    int within_rc = file_write_durable(file, 0, bytes, IO_BLOCK_SIZE);
    fixture->limit_space(fixture, UINT64_MAX);
    assert_int_equal(grow_rc, HF_ENOSPACE);
    io_cases_assert_text_names(text, io_cases_path(fixture, "a"));
    assert_int_equal(durable_rc, HF_ENOSPACE);
    assert_int_equal(preallocate_rc, HF_ENOSPACE);
    assert_int_equal(within_rc, 0);
    io_cases_assert_content(file, 0, bytes, IO_BLOCK_SIZE);
    io_cases_assert_ok(file_write(file, 0, bytes, 8 * IO_BLOCK_SIZE));
    io_cases_assert_content(file, 0, bytes, 8 * IO_BLOCK_SIZE);
    file_close(file);
    free(bytes);
}

static void a_lock_refuses_a_second_opener_until_it_is_closed(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *first = io_cases_create(fixture, "lock");
    struct file *second = io_cases_create(fixture, "lock");
    io_cases_assert_ok(file_lock(first));
    io_cases_assert_ok(file_lock(first));
    assert_int_equal(file_lock(second), HF_EBUSY);
    io_cases_assert_text_names(hf_error_text(), io_cases_path(fixture, "lock"));
    file_close(first);
    io_cases_assert_ok(file_lock(second));
    file_close(second);
}

/* ---- names ---- */

static void rename_replaces_its_target(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = NULL;
    io_cases_put(fixture, "from", "new");
    io_cases_put(fixture, "to", "older");
    io_cases_assert_ok(path_rename(fixture->io, io_cases_path(fixture, "from"), io_cases_path(fixture, "to")));
    io_cases_assert_ok(directory_sync(fixture->io, fixture->dir));
    assert_int_equal(file_open(fixture->io, io_cases_path(fixture, "from"), FILE_READ, &file), HF_ENOTFOUND);
    file = io_cases_open(fixture, "to", FILE_READ);
    io_cases_assert_size(file, 3);
    io_cases_assert_content(file, 0, "new", 3);
    file_close(file);
}

static void renaming_or_unlinking_what_is_missing_is_not_found(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    const char *missing = io_cases_path(fixture, "missing");
    assert_int_equal(path_rename(fixture->io, missing, io_cases_path(fixture, "b")), HF_ENOTFOUND);
    io_cases_assert_text_names(hf_error_text(), missing);
    assert_int_equal(path_unlink(fixture->io, missing), HF_ENOTFOUND);
    io_cases_assert_text_names(hf_error_text(), missing);
}

static void an_unlinked_file_stays_readable_while_it_is_open(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = io_cases_create(fixture, "a");
    io_cases_assert_ok(file_write(file, 0, "still", 5));
    io_cases_assert_ok(path_unlink(fixture->io, io_cases_path(fixture, "a")));
    assert_int_equal(path_unlink(fixture->io, io_cases_path(fixture, "a")), HF_ENOTFOUND);
    io_cases_assert_content(file, 0, "still", 5);
    io_cases_put(fixture, "a", "next");
    io_cases_assert_content(file, 0, "still", 5);
    file_close(file);
}

struct io_cases_names {
    char text[256];
    unsigned count;
    unsigned stop_after;
    struct io_fixture *unlink_in; /* NULL: keep */
};

static inline int io_cases_visit(void *arg, const char *name, bool is_directory)
{
    struct io_cases_names *names = arg;
    size_t used = strlen(names->text);
    snprintf(names->text + used, sizeof(names->text) - used, "%s%s ", name, is_directory ? "/" : "");
    names->count++;
    if (names->unlink_in != NULL && !is_directory) {
        io_cases_assert_ok(path_unlink(names->unlink_in->io, io_cases_path(names->unlink_in, name)));
    }
    return names->count == names->stop_after ? 42 : 0;
}

static void directory_create_makes_parents_and_accepts_what_is_there(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    io_cases_assert_ok(directory_create(fixture->io, io_cases_path(fixture, "p/q/r")));
    io_cases_assert_ok(directory_create(fixture->io, io_cases_path(fixture, "p/q/r")));
    io_cases_assert_ok(directory_create(fixture->io, io_cases_path(fixture, "p/q/s")));
    io_cases_put(fixture, "p/q/r/file", "here");
    struct io_cases_names names = {0};
    io_cases_assert_ok(directory_list(fixture->io, io_cases_path(fixture, "p/q"), io_cases_visit, &names));
    assert_string_equal(names.text, "r/ s/ ");
}

static void directory_create_refuses_a_file_in_the_way(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    io_cases_put(fixture, "plain", "text");
    assert_true(directory_create(fixture->io, io_cases_path(fixture, "plain")) < 0);
    io_cases_assert_text_names(hf_error_text(), io_cases_path(fixture, "plain"));
    assert_true(directory_create(fixture->io, io_cases_path(fixture, "plain/below")) < 0);
}

static void directory_list_is_in_byte_order_and_tells_directories(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_cases_names names = {0};
    io_cases_assert_ok(directory_list(fixture->io, fixture->dir, io_cases_visit, &names));
    assert_string_equal(names.text, "");
    static const char *const files[] = {"b", "a10", "a2", "B", "\xc3\xa4", "a"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        io_cases_put(fixture, files[i], "");
    }
    io_cases_assert_ok(directory_create(fixture->io, io_cases_path(fixture, "aa")));
    io_cases_assert_ok(directory_list(fixture->io, fixture->dir, io_cases_visit, &names));
    assert_string_equal(names.text, "B a a10 a2 aa/ b \xc3\xa4 ");
    assert_int_equal(directory_list(fixture->io, io_cases_path(fixture, "none"), io_cases_visit, &names), HF_ENOTFOUND);
}

static void directory_list_stops_where_the_visitor_says_and_lets_it_unlink(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    io_cases_put(fixture, "a", "");
    io_cases_put(fixture, "b", "");
    io_cases_put(fixture, "c", "");
    struct io_cases_names names = {.stop_after = 2};
    assert_int_equal(directory_list(fixture->io, fixture->dir, io_cases_visit, &names), 42);
    assert_string_equal(names.text, "a b ");
    names = (struct io_cases_names){.unlink_in = fixture};
    io_cases_assert_ok(directory_list(fixture->io, fixture->dir, io_cases_visit, &names));
    assert_string_equal(names.text, "a b c ");
    names = (struct io_cases_names){0};
    io_cases_assert_ok(directory_list(fixture->io, fixture->dir, io_cases_visit, &names));
    assert_string_equal(names.text, "");
}

static void directory_sync_needs_a_directory(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    io_cases_put(fixture, "plain", "text");
    io_cases_assert_ok(directory_sync(fixture->io, fixture->dir));
    assert_int_equal(directory_sync(fixture->io, io_cases_path(fixture, "missing")), HF_ENOTFOUND);
    io_cases_assert_text_names(hf_error_text(), io_cases_path(fixture, "missing"));
    assert_true(directory_sync(fixture->io, io_cases_path(fixture, "plain")) < 0);
}

static void free_space_is_known(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint64_t bytes = 0;
    io_cases_assert_ok(directory_free_bytes(fixture->io, fixture->dir, &bytes));
    assert_true(bytes > 0);
    assert_true(directory_free_bytes(fixture->io, io_cases_path(fixture, "missing"), &bytes) < 0);
}

static void a_folder_lies_on_the_same_mount_for_as_long_as_that_is_there(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint64_t mount = directory_mount(fixture->io, fixture->dir);
    io_cases_assert_ok(directory_create(fixture->io, io_cases_path(fixture, "inner")));
    assert_true(directory_mount(fixture->io, fixture->dir) == mount);
    assert_true(directory_mount(fixture->io, io_cases_path(fixture, "inner")) == mount);
    assert_true(directory_mount(fixture->io, io_cases_path(fixture, "missing")) == 0);
}

static void the_clocks_and_randomness_behave(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint64_t before = io_monotonic_ns(fixture->io);
    for (int i = 0; i < 100; i++) {
        uint64_t now = io_monotonic_ns(fixture->io);
        assert_true(now >= before);
        before = now;
    }
    assert_true(io_wall_ms(fixture->io) > UINT64_C(1700000000000)); /* November 2023 */
    uint8_t draws[2][64] = {{0}};
    io_random(fixture->io, draws[0], sizeof(draws[0]));
    io_random(fixture->io, draws[1], sizeof(draws[1]) - 1);
    assert_int_equal(draws[1][63], 0);
    assert_memory_not_equal(draws[0], draws[1], 63);
    assert_non_null(io_backend_name(fixture->io));
}

/* ---- queues ---- */

static void a_queue_has_a_depth(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    assert_int_equal(io_queue_open(fixture->io, 0, &queue), HF_EINVALID);
    assert_null(queue);
    assert_int_equal(io_queue_open(fixture->io, IO_QUEUE_DEPTH_MAX + 1, &queue), HF_EINVALID);
    assert_null(queue);
    io_cases_assert_ok(io_queue_open(fixture->io, IO_QUEUE_DEPTH_MAX, &queue));
    io_queue_close(queue);
}

static void a_queued_durable_write_completes_and_can_be_read(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(2 * IO_BLOCK_SIZE, 8);
    struct file *file = io_cases_create_blocks(fixture, "a", 4);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 1, &queue));
    struct list done;
    list_init(&done);
    assert_int_equal(io_queue_reap(queue, &done, 0), 0);
    struct io_operation operation = {.kind = IO_WRITE_DURABLE,
                                     .file = file,
                                     .offset = IO_BLOCK_SIZE,
                                     .data = bytes,
                                     .size = 2 * IO_BLOCK_SIZE,
                                     .user = &done,
                                     .result = 99};
    io_cases_run(fixture, queue, &operation);
    assert_int_equal(operation.result, 0);
    assert_ptr_equal(operation.user, &done);
    assert_int_equal(io_queue_reap(queue, &done, 0), 0);
    io_cases_assert_content(file, IO_BLOCK_SIZE, bytes, 2 * IO_BLOCK_SIZE);
    io_queue_close(queue);
    file_close(file);
    free(bytes);
}

#define IO_CASES_MANY 64u

static void many_writes_in_flight_complete_once_each(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_CASES_MANY * IO_BLOCK_SIZE, 9);
    struct file *file = io_cases_create_blocks(fixture, "a", IO_CASES_MANY);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, IO_CASES_MANY, &queue));
    struct io_operation *operations = memory_new(IO_CASES_MANY * sizeof(operations[0]));
    struct list done;
    list_init(&done);
    for (unsigned i = 0; i < IO_CASES_MANY; i++) {
        unsigned block = (i * 37) % IO_CASES_MANY;
        operations[i] = (struct io_operation){.kind = i % 3 == 0 ? IO_WRITE : IO_WRITE_DURABLE,
                                              .file = file,
                                              .offset = (uint64_t)block * IO_BLOCK_SIZE,
                                              .data = bytes + block * IO_BLOCK_SIZE,
                                              .size = IO_BLOCK_SIZE};
        io_cases_assert_ok(io_queue_submit(queue, &operations[i]));
    }
    io_cases_reap(fixture, queue, &done, IO_CASES_MANY);
    bool seen[IO_CASES_MANY] = {false};
    list_each (&done, item) {
        const struct io_operation *operation = list_entry(item, struct io_operation, link);
        assert_int_equal(operation->result, 0);
        assert_false(seen[operation - operations]);
        seen[operation - operations] = true;
    }
    io_cases_assert_content(file, 0, bytes, IO_CASES_MANY * IO_BLOCK_SIZE);
    io_queue_close(queue);
    file_close(file);
    free(operations);
    free(bytes);
}

static void beyond_its_depth_a_queue_is_busy(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_BLOCK_SIZE, 10);
    struct file *file = io_cases_create_blocks(fixture, "a", 4);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 3, &queue));
    struct io_operation operations[4];
    for (unsigned i = 0; i < 4; i++) {
        operations[i] = (struct io_operation){.kind = IO_WRITE_DURABLE,
                                              .file = file,
                                              .offset = (uint64_t)i * IO_BLOCK_SIZE,
                                              .data = bytes,
                                              .size = IO_BLOCK_SIZE};
    }
    struct list done;
    list_init(&done);
    for (unsigned i = 0; i < 3; i++) {
        io_cases_assert_ok(io_queue_submit(queue, &operations[i]));
    }
    assert_int_equal(io_queue_submit(queue, &operations[3]), HF_EBUSY);
    io_cases_reap(fixture, queue, &done, 3);
    io_cases_run(fixture, queue, &operations[3]);
    assert_int_equal(operations[3].result, 0);
    io_queue_close(queue);
    file_close(file);
    free(bytes);
}

static void a_queued_sync_completes(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct file *file = io_cases_create(fixture, "a");
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    struct io_operation write = {.kind = IO_WRITE, .file = file, .offset = 3, .data = "grown", .size = 5};
    struct io_operation sync = {.kind = IO_SYNC, .file = file};
    io_cases_run(fixture, queue, &write);
    assert_int_equal(write.result, 0);
    io_cases_run(fixture, queue, &sync);
    assert_int_equal(sync.result, 0);
    io_cases_assert_content(file, 0, "\0\0\0grown", 8);
    io_queue_close(queue);
    file_close(file);
}

static inline int io_cases_work(void *arg)
{
    int *result = arg;
    int rc = *result;
    *result = 1000;
    return rc < 0 ? error_raise(rc, "work says %d", rc) : rc;
}

static inline int io_cases_work_silent(void *arg)
{
    return HF_ETIMEOUT;
}

static void work_brings_its_result_and_its_text(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 2, &queue));
    static const struct {
        int result;
        const char *text;
    } rows[] = {{0, ""}, {7, ""}, {HF_ECORRUPT, "work says -4"}, {HF_EIO, "work says -3"}, {0, ""}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int value = rows[i].result;
        struct io_operation operation = {.kind = IO_WORK, .work = io_cases_work, .arg = &value, .text = "stale"};
        io_cases_run(fixture, queue, &operation);
        assert_int_equal(operation.result, rows[i].result);
        assert_string_equal(operation.text, rows[i].text);
        assert_int_equal(value, 1000);
    }
    /* Work that fails without a word must not be explained by somebody else's. */
    struct io_operation silent = {.kind = IO_WORK, .work = io_cases_work_silent};
    io_cases_run(fixture, queue, &silent);
    assert_int_equal(silent.result, HF_ETIMEOUT);
    assert_null(strstr(silent.text, "work says"));
    io_queue_close(queue);
}

static void a_queued_write_to_a_full_device_fails_with_a_text(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    if (fixture->limit_space == NULL) {
        skip();
    }
    uint8_t *bytes = io_cases_bytes(4 * IO_BLOCK_SIZE, 11);
    struct file *file = io_cases_create_blocks(fixture, "a", 2);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    static const enum io_operation_kind kinds[] = {IO_WRITE, IO_WRITE_DURABLE};
    for (size_t i = 0; i < 2; i++) {
        struct io_operation operation = {
            .kind = kinds[i], .file = file, .offset = IO_BLOCK_SIZE, .data = bytes, .size = 4 * IO_BLOCK_SIZE};
        fixture->limit_space(fixture, 2 * IO_BLOCK_SIZE);
        io_cases_run(fixture, queue, &operation);
        fixture->limit_space(fixture, UINT64_MAX);
        assert_int_equal(operation.result, HF_ENOSPACE);
        io_cases_assert_text_names(operation.text, io_cases_path(fixture, "a"));
        io_cases_run(fixture, queue, &operation);
        assert_int_equal(operation.result, 0);
        assert_string_equal(operation.text, "");
        io_cases_assert_ok(file_truncate(file, 2 * IO_BLOCK_SIZE));
    }
    io_queue_close(queue);
    file_close(file);
    free(bytes);
}

static void an_operation_may_be_submitted_again_after_it_was_reaped(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(IO_BLOCK_SIZE, 12);
    struct file *file = io_cases_create_blocks(fixture, "a", 1);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 2, &queue));
    struct io_operation operation = {.kind = IO_WRITE_DURABLE, .file = file, .data = bytes, .size = IO_BLOCK_SIZE};
    for (unsigned round = 0; round < 20; round++) {
        memset(bytes, (int)round, IO_BLOCK_SIZE);
        io_cases_run(fixture, queue, &operation);
        assert_int_equal(operation.result, 0);
        io_cases_assert_content(file, 0, bytes, IO_BLOCK_SIZE);
    }
    io_queue_close(queue);
    file_close(file);
    free(bytes);
}

static void closing_a_queue_waits_for_operations_in_flight(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    uint8_t *bytes = io_cases_bytes(8 * IO_BLOCK_SIZE, 13);
    struct file *file = io_cases_create_blocks(fixture, "a", 8);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 16, &queue));
    struct io_operation writes[8];
    for (unsigned i = 0; i < 8; i++) {
        writes[i] = (struct io_operation){.kind = IO_WRITE_DURABLE,
                                          .file = file,
                                          .offset = (uint64_t)i * IO_BLOCK_SIZE,
                                          .data = bytes + i * IO_BLOCK_SIZE,
                                          .size = IO_BLOCK_SIZE};
        io_cases_assert_ok(io_queue_submit(queue, &writes[i]));
    }
    int value = 5;
    struct io_operation work = {.kind = IO_WORK, .work = io_cases_work, .arg = &value};
    io_cases_assert_ok(io_queue_submit(queue, &work));
    io_cases_assert_ok(io_queue_flush(queue));
    io_queue_close(queue);
    assert_int_equal(value, 1000);
    io_cases_assert_content(file, 0, bytes, 8 * IO_BLOCK_SIZE);
    file_close(file);
    free(bytes);
}

static void closing_nothing_is_fine(void **state)
{
    file_close(NULL);
    io_queue_close(NULL);
    io_close(NULL);
}

#endif
