/* What a process sees of a healthy disk, and what a full one says. */
#include "unit/sim/sim_testing.h"

#include <stdlib.h>

static void what_is_written_is_read_and_holes_are_zeros(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct file *file = sim_test_file(world.host, "/a", FILE_READ | FILE_WRITE | FILE_CREATE);
    char text[16] = {0};
    size_t got = 0;
    uint64_t size = 0;
    must(file_write(file, 5000, "hello", 5));
    must(file_size(file, &size));
    assert_int_equal(size, 5005);
    must(file_read(file, 4998, text, sizeof(text), &got));
    assert_int_equal(got, 7);
    assert_memory_equal(text, "\0\0hello", 7);
    must(file_read(file, 5005, text, sizeof(text), &got));
    assert_int_equal(got, 0);
    must(file_truncate(file, 5001));
    must(file_truncate(file, 9000));
    must(file_read(file, 5000, text, 3, &got));
    assert_memory_equal(text, "h\0\0", 3);
    file_close(file);
    assert_int_equal(sim_host_handle_count(world.host), 0);
    sim_close(world.sim);
}

struct names {
    char text[256];
};

static int collect(void *arg, const char *name, bool is_directory)
{
    struct names *names = arg;
    strcat(names->text, name);
    strcat(names->text, is_directory ? "/ " : " ");
    return 0;
}

static void folders_list_in_byte_order_and_names_move(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct io *io = sim_host_io(world.host);
    struct names names = {""};
    must(directory_create(io, "data/log"));
    must(directory_create(io, "/data/log"));
    sim_test_durable_file(world.host, "/data", "/data/b", 1, 10);
    sim_test_durable_file(world.host, "/data", "/data/a.x", 2, 10);
    sim_test_durable_file(world.host, "/data", "/data/./log/../a", 3, 10);
    must(directory_list(io, "/data", collect, &names));
    assert_string_equal(names.text, "a a.x b log/ ");
    must(path_rename(io, "/data/a", "/data/b"));
    assert_int_equal(sim_test_byte(world.host, "/data/b", 0), 3);
    assert_int_equal(path_unlink(io, "/data/a"), HF_ENOTFOUND);
    must(path_unlink(io, "/data/b"));
    assert_false(sim_test_exists(world.host, "/data/b"));
    assert_int_equal(path_rename(io, "/data/b", "/data/c"), HF_ENOTFOUND);
    assert_int_equal(directory_list(io, "/none", collect, &names), HF_ENOTFOUND);
    sim_close(world.sim);
}

static void an_unlinked_file_lives_until_it_is_closed(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    sim_test_durable_file(world.host, "/", "/a", 7, 8192);
    struct file *file = sim_test_file(world.host, "/a", FILE_READ);
    must(path_unlink(sim_host_io(world.host), "/a"));
    uint8_t byte = 0;
    size_t got = 0;
    must(file_read(file, 8191, &byte, 1, &got));
    assert_int_equal(byte, 7);
    assert_int_equal(sim_disk_used_bytes(world.host), 8192);
    file_close(file);
    assert_int_equal(sim_disk_used_bytes(world.host), 0);
    sim_close(world.sim);
}

static void open_flags_and_locks_are_honoured(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct io *io = sim_host_io(world.host);
    struct file *first = NULL;
    struct file *second = NULL;
    assert_int_equal(file_open(io, "/a", FILE_READ, &first), HF_ENOTFOUND);
    assert_int_equal(file_open(io, "/no/a", FILE_WRITE | FILE_CREATE, &first), HF_ENOTFOUND);
    must(file_open(io, "/a", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &first));
    assert_int_equal(file_open(io, "/a", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &second), HF_EEXISTS);
    must(file_open(io, "/a", FILE_WRITE, &second));
    must(file_lock(first));
    must(file_lock(first));
    assert_int_equal(file_lock(second), HF_EBUSY);
    file_close(first);
    must(file_lock(second));
    sim_host_kill(world.host); /* a lock goes with its process */
    file_close(second);
    sim_host_start(world.host);
    first = sim_test_file(world.host, "/a", FILE_WRITE);
    must(file_lock(first));
    file_close(first);
    sim_close(world.sim);
}

static void direct_access_must_be_aligned(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct file *file = sim_test_file(world.host, "/a", FILE_READ | FILE_WRITE | FILE_CREATE | FILE_DIRECT);
    void *block = NULL;
    size_t got = 0;
    assert_int_equal(posix_memalign(&block, IO_BLOCK_SIZE, 2 * IO_BLOCK_SIZE), 0);
    memset(block, 9, 2 * IO_BLOCK_SIZE);
    assert_true(file_is_direct(file));
    must(file_write(file, 0, block, 2 * IO_BLOCK_SIZE));
    assert_int_equal(file_write(file, 512, block, IO_BLOCK_SIZE), HF_EINVALID);
    assert_int_equal(file_write(file, 0, (uint8_t *)block + 512, IO_BLOCK_SIZE), HF_EINVALID);
    must(file_truncate(file, 5000));
    must(file_read(file, IO_BLOCK_SIZE, block, IO_BLOCK_SIZE, &got));
    assert_int_equal(got, 5000 - IO_BLOCK_SIZE);
    file_close(file);
    free(block);
    sim_close(world.sim);

    struct sim *sim = sim_open(1, NULL);
    const struct sim_host_options options = {.direct_refused = 1};
    struct sim_host *host = sim_host_add(sim, "plain", &options);
    file = sim_test_file(host, "/a", FILE_WRITE | FILE_CREATE | FILE_DIRECT);
    assert_false(file_is_direct(file));
    must(file_write(file, 3, "x", 1));
    file_close(file);
    sim_close(sim);
}

static void H6_a_full_disk_refuses_and_recovers_when_space_returns(void **state)
{
    struct sim *sim = sim_open(1, NULL);
    const struct sim_host_options options = {.disk_capacity_bytes = 16 * IO_BLOCK_SIZE};
    struct sim_host *host = sim_host_add(sim, NULL, &options);
    struct io *io = sim_host_io(host);
    uint64_t free_bytes = 0;
    struct file *file = sim_test_file(host, "/a", FILE_READ | FILE_WRITE | FILE_CREATE);
    assert_int_equal(file_preallocate(file, 0, 17 * IO_BLOCK_SIZE), HF_ENOSPACE);
    assert_int_equal(sim_disk_used_bytes(host), 0);
    must(file_preallocate(file, 0, 15 * IO_BLOCK_SIZE));
    must(directory_free_bytes(io, "/", &free_bytes));
    assert_int_equal(free_bytes, IO_BLOCK_SIZE);
    char *data = test_malloc(4 * IO_BLOCK_SIZE);
    memset(data, 'x', 4 * IO_BLOCK_SIZE);
    must(file_write(file, 0, data, 4 * IO_BLOCK_SIZE)); /* into what is allocated */
    assert_int_equal(file_write(file, 15 * IO_BLOCK_SIZE, data, 2 * IO_BLOCK_SIZE), HF_ENOSPACE);
    struct file *other = NULL;
    assert_int_equal(file_open(io, "/b", FILE_WRITE | FILE_CREATE, &other), HF_ENOSPACE);
    assert_int_equal(directory_create(io, "/folder"), HF_ENOSPACE);
    must(path_rename(io, "/a", "/c")); /* needs no space */
    must(file_truncate(file, 4 * IO_BLOCK_SIZE));
    must(file_open(io, "/b", FILE_WRITE | FILE_CREATE, &other));
    must(file_write(other, 0, data, 2 * IO_BLOCK_SIZE));
    assert_true(sim_fault_count(sim, SIM_FAULT_NO_SPACE) >= 4);
    file_close(other);
    file_close(file);
    test_free(data);
    sim_close(sim);
}

static void the_wiped_disk_is_empty(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    sim_test_durable_file(world.host, "/", "/a", 7, 8192);
    sim_host_kill(world.host);
    sim_disk_wipe(world.host);
    sim_host_start(world.host);
    assert_false(sim_test_exists(world.host, "/a"));
    assert_int_equal(sim_disk_used_bytes(world.host), 0);
    sim_close(world.sim);
}

static void calls_on_the_objects_of_a_dead_process_fail_and_free(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct io *io = sim_host_io(world.host);
    struct file *file = sim_test_file(world.host, "/a", FILE_READ | FILE_WRITE | FILE_CREATE);
    struct io_queue *queue = NULL;
    must(io_queue_open(io, 4, &queue));
    assert_int_equal(sim_host_handle_count(world.host), 2);
    sim_host_kill(world.host);
    size_t got = 0;
    char byte = 0;
    assert_int_equal(file_write(file, 0, "x", 1), HF_ECLOSED);
    assert_int_equal(file_read(file, 0, &byte, 1, &got), HF_ECLOSED);
    assert_int_equal(file_sync(file), HF_ECLOSED);
    assert_int_equal(path_unlink(io, "/a"), HF_ECLOSED);
    struct file *other = NULL;
    assert_int_equal(file_open(io, "/a", FILE_READ, &other), HF_ECLOSED);
    struct io_operation operation = {.kind = IO_SYNC, .file = file};
    must(io_queue_submit(queue, &operation));
    struct list done;
    list_init(&done);
    assert_int_equal(io_queue_reap(queue, &done, UINT64_MAX), 1);
    assert_int_equal(operation.result, HF_ECLOSED);
    file_close(file);
    io_queue_close(queue);
    sim_host_start(world.host);
    assert_int_equal(sim_test_size(world.host, "/a"), 0);
    sim_close(world.sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_and_holes_are_zeros),
        cmocka_unit_test(folders_list_in_byte_order_and_names_move),
        cmocka_unit_test(an_unlinked_file_lives_until_it_is_closed),
        cmocka_unit_test(open_flags_and_locks_are_honoured),
        cmocka_unit_test(direct_access_must_be_aligned),
        cmocka_unit_test(H6_a_full_disk_refuses_and_recovers_when_space_returns),
        cmocka_unit_test(the_wiped_disk_is_empty),
        cmocka_unit_test(calls_on_the_objects_of_a_dead_process_fail_and_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
