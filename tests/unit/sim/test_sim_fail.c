/* Faults of the disk: planned ones, those by chance, and what each leaves behind. */
#include "unit/sim/sim_testing.h"

#include <stdlib.h>

static void plan(struct sim_host *host, enum sim_disk_kind kind, uint64_t skip, uint64_t count, int error,
                 const char *path_part)
{
    const struct sim_disk_failure failure = {kind, skip, count, error, path_part};
    sim_disk_fail(host, &failure);
}

static unsigned choose_durable(void *arg, const struct sim_choice *choice)
{
    return 0;
}

static unsigned choose_newest(void *arg, const struct sim_choice *choice)
{
    return choice->alternatives - 1;
}

/* A byte as the device has it, past the cache. */
static int direct_byte(struct sim_host *host, const char *path)
{
    struct file *file = sim_test_file(host, path, FILE_READ | FILE_DIRECT);
    void *block = NULL;
    size_t got = 0;
    assert_int_equal(posix_memalign(&block, IO_BLOCK_SIZE, IO_BLOCK_SIZE), 0);
    must(file_read(file, 0, block, IO_BLOCK_SIZE, &got));
    int byte = got > 0 ? *(uint8_t *)block : -1;
    free(block);
    file_close(file);
    return byte;
}

static void H1_what_a_failed_sync_dropped_is_readable_but_never_durable(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    sim_test_durable_file(world.host, "/", "/a", 1, 4096);
    sim_disk_set_chooser(world.host, choose_durable, NULL);
    plan(world.host, SIM_DISK_SYNC, 0, 1, HF_EIO, NULL);
    sim_test_write(world.host, "/a", 0, 2, 4096);
    struct file *file = sim_test_file(world.host, "/a", FILE_WRITE);
    assert_int_equal(file_sync(file), HF_EIO);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 2); /* the cache still shows it */
    assert_int_equal(direct_byte(world.host, "/a"), 1);      /* the device does not */
    must(file_sync(file));                                   /* and lies */
    must(file_sync(file));
    file_close(file);
    sim_disk_set_chooser(world.host, choose_newest, NULL);
    sim_host_kill(world.host);
    sim_host_start(world.host);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 2); /* a restarted process still believes it */
    sim_test_power_cycle(world.host);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 1);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_SYNC_ERROR), 1);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_DROPPED_BY_SYNC), 8);
    sim_close(world.sim);
}

static void H1_only_writing_again_makes_dropped_content_durable(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    sim_test_durable_file(world.host, "/", "/a", 1, 1024);
    sim_disk_set_chooser(world.host, choose_durable, NULL);
    plan(world.host, SIM_DISK_SYNC, 0, 1, HF_EIO, NULL);
    sim_test_write(world.host, "/a", 0, 2, 1024);
    struct file *file = sim_test_file(world.host, "/a", FILE_WRITE);
    assert_int_equal(file_sync(file), HF_EIO);
    sim_test_write(world.host, "/a", 0, 3, 512);
    must(file_sync(file));
    file_close(file);
    sim_test_power_cycle(world.host);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 3);
    assert_int_equal(sim_test_byte(world.host, "/a", 512), 1);
    sim_close(world.sim);
}

static void H1_a_failed_sync_may_have_kept_any_part(void **state)
{
    unsigned kept = 0;
    unsigned lost = 0;
    unsigned torn = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct sim_test_world world = sim_test_open(seed);
        sim_test_durable_file(world.host, "/", "/a", 1, 1024);
        plan(world.host, SIM_DISK_SYNC, 0, 1, HF_EIO, NULL);
        sim_test_write(world.host, "/a", 0, 2, 1024);
        struct file *file = sim_test_file(world.host, "/a", FILE_WRITE);
        assert_int_equal(file_sync(file), HF_EIO);
        must(file_sync(file));
        file_close(file);
        sim_test_power_cycle(world.host);
        int first = sim_test_byte(world.host, "/a", 0);
        int second = sim_test_byte(world.host, "/a", 512);
        kept += first == 2 && second == 2;
        lost += first == 1 && second == 1;
        torn += first != second;
        sim_close(world.sim);
    }
    assert_true(kept > 10 && lost > 10 && torn > 10);
}

static void H19_a_failed_directory_sync_is_not_made_good_by_a_later_one(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct io *io = sim_host_io(world.host);
    sim_disk_set_chooser(world.host, choose_durable, NULL);
    plan(world.host, SIM_DISK_DIRECTORY_SYNC, 0, 1, HF_EIO, NULL);
    struct file *file = sim_test_file(world.host, "/a", FILE_WRITE | FILE_CREATE);
    assert_int_equal(directory_sync(io, "/"), HF_EIO);
    assert_true(sim_test_exists(world.host, "/a"));
    must(directory_sync(io, "/"));
    file_close(file);
    sim_test_power_cycle(world.host);
    assert_false(sim_test_exists(world.host, "/a"));
    sim_close(world.sim);
}

static void a_failed_durable_write_is_dropped_like_a_failed_sync(void **state)
{
    unsigned changed = 0;
    unsigned unchanged = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct sim_test_world world = sim_test_open(seed);
        sim_test_durable_file(world.host, "/", "/a", 1, 4096);
        plan(world.host, SIM_DISK_DURABLE, 1, 1, HF_EIO, NULL);
        struct file *file = sim_test_file(world.host, "/a", FILE_WRITE);
        char data[4096];
        memset(data, 2, sizeof(data));
        must(file_write_durable(file, 0, data, 512));
        assert_int_equal(file_write_durable(file, 0, data, sizeof(data)), HF_EIO);
        sim_disk_set_chooser(world.host, choose_newest, NULL);
        must(file_sync(file));
        file_close(file);
        int device = sim_test_byte(world.host, "/a", 4095);
        sim_test_power_cycle(world.host);
        int after = sim_test_byte(world.host, "/a", 4095);
        assert_true(device == 2 || after == 1); /* nothing appears that was not seen before */
        changed += after == 2;
        unchanged += after == 1;
        assert_int_equal(sim_test_byte(world.host, "/a", 0), 2);
        sim_close(world.sim);
    }
    assert_true(changed > 10 && unchanged > 10);
}

static void plans_count_skip_and_match_paths(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct file *a = sim_test_file(world.host, "/log-a", FILE_READ | FILE_WRITE | FILE_CREATE);
    struct file *b = sim_test_file(world.host, "/store-b", FILE_READ | FILE_WRITE | FILE_CREATE);
    plan(world.host, SIM_DISK_WRITE, 1, 2, HF_ENOSPACE, "/log");
    must(file_write(a, 0, "x", 1));
    assert_int_equal(file_write(a, 0, "y", 1), HF_ENOSPACE);
    must(file_write(b, 0, "y", 1));
    assert_int_equal(file_write(a, 0, "y", 1), HF_ENOSPACE);
    assert_int_equal(sim_test_byte(world.host, "/log-a", 0), 'x'); /* ENOSPACE leaves all as it was */
    must(file_write(a, 0, "z", 1));
    char byte = 0;
    size_t got = 0;
    plan(world.host, SIM_DISK_READ, 0, UINT64_MAX, HF_EIO, NULL);
    assert_int_equal(file_read(a, 0, &byte, 1, &got), HF_EIO);
    assert_int_equal(file_read(b, 0, &byte, 1, &got), HF_EIO);
    sim_disk_fail_clear(world.host);
    must(file_read(b, 0, &byte, 1, &got));
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_READ_ERROR), 2);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_NO_SPACE), 2);
    file_close(a);
    file_close(b);
    sim_close(world.sim);
}

static int visit_nothing(void *arg, const char *name, bool is_directory)
{
    return 0;
}

static void every_kind_of_call_can_be_made_to_fail_and_then_changes_nothing(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct io *io = sim_host_io(world.host);
    sim_test_durable_file(world.host, "/", "/a", 1, 100);
    struct file *file = sim_test_file(world.host, "/a", FILE_READ | FILE_WRITE);
    struct file *other = NULL;
    for (unsigned kind = 0; kind < SIM_DISK_KIND_COUNT; kind++) {
        plan(world.host, (enum sim_disk_kind)kind, 0, 1, HF_EIO, NULL);
    }
    assert_int_equal(file_open(io, "/a", FILE_READ, &other), HF_EIO);
    assert_int_equal(file_open(io, "/b", FILE_WRITE | FILE_CREATE, &other), HF_EIO);
    assert_int_equal(directory_list(io, "/", visit_nothing, NULL), HF_EIO);
    assert_int_equal(path_rename(io, "/a", "/b"), HF_EIO);
    assert_int_equal(path_unlink(io, "/a"), HF_EIO);
    assert_int_equal(file_truncate(file, 0), HF_EIO);
    assert_int_equal(file_preallocate(file, 0, 8192), HF_EIO);
    assert_int_equal(directory_sync(io, "/"), HF_EIO);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_OTHER_ERROR), 8);
    assert_true(sim_test_exists(world.host, "/a"));
    assert_false(sim_test_exists(world.host, "/b"));
    uint64_t size = 0;
    must(file_size(file, &size));
    assert_int_equal(size, 100);
    file_close(file);
    sim_close(world.sim);
}

static void errors_by_chance_happen_and_are_counted(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.read_error_ppm = profile.write_error_ppm = profile.sync_error_ppm = 200000;
    const struct sim_options options = {.profile = &profile};
    struct sim *sim = sim_open(1, &options);
    struct sim_host *host = sim_host_add(sim, NULL, NULL);
    struct file *file = sim_test_file(host, "/a", FILE_READ | FILE_WRITE | FILE_CREATE);
    unsigned failed[3] = {0};
    for (unsigned i = 0; i < 500; i++) {
        char byte = 0;
        size_t got = 0;
        failed[0] += file_write(file, 0, "x", 1) != 0;
        failed[1] += file_read(file, 0, &byte, 1, &got) != 0;
        failed[2] += file_sync(file) != 0;
    }
    assert_true(failed[0] > 50 && failed[0] < 150);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_WRITE_ERROR), failed[0]);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_READ_ERROR), failed[1]);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_SYNC_ERROR), failed[2]);
    sim_calm(sim);
    for (unsigned i = 0; i < 500; i++) {
        must(file_write(file, 0, "x", 1));
    }
    file_close(file);
    sim_close(sim);
}

static void bits_flip_where_asked_and_stay_flipped(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    sim_test_durable_file(world.host, "/", "/a", 0, 9000);
    sim_test_durable_file(world.host, "/", "/other", 0, 9000);
    must(sim_disk_flip_bit(world.host, "/a", 5000, 3));
    assert_int_equal(sim_test_byte(world.host, "/a", 5000), 8);
    assert_int_equal(sim_disk_flip_bit(world.host, "/a", 9000, 0), HF_ENOTFOUND);
    assert_int_equal(sim_disk_flip_bit(world.host, "/none", 0, 0), HF_ENOTFOUND);
    sim_test_power_cycle(world.host);
    assert_int_equal(sim_test_byte(world.host, "/a", 5000), 8);
    char path[SIM_PATH_SIZE_MAX];
    uint64_t offset = 0;
    must(sim_disk_flip_random_bit(world.host, "oth", path, &offset));
    assert_string_equal(path, "/other");
    assert_int_not_equal(sim_test_byte(world.host, "/other", offset), 0);
    assert_int_equal(sim_disk_flip_random_bit(world.host, "none", NULL, NULL), HF_ENOTFOUND);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_BIT_FLIP), 2);
    sim_close(world.sim);
}

static void H17_misdirected_writes_land_elsewhere_and_report_success(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    const struct sim_options options = {.profile = &profile};
    unsigned misdirected = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        profile.misdirect_ppm = 0;
        struct sim *sim = sim_open(seed, &options);
        struct sim_host *host = sim_host_add(sim, NULL, NULL);
        sim_test_durable_file(host, "/", "/a", 1, 8 * 4096);
        profile.misdirect_ppm = 1000000;
        sim_set_profile(sim, &profile);
        sim_test_write(host, "/a", 4096, 2, 4096);
        unsigned changed = 0;
        for (unsigned block = 0; block < 8; block++) {
            changed += sim_test_byte(host, "/a", block * 4096) == 2;
        }
        assert_int_equal(changed, 1);
        assert_int_equal(sim_fault_count(sim, SIM_FAULT_MISDIRECTED_WRITE), sim_test_byte(host, "/a", 4096) == 1);
        misdirected += sim_test_byte(host, "/a", 4096) == 1;
        sim_close(sim);
    }
    assert_true(misdirected > 10);
}

static void undecided_sectors_can_come_back_as_garbage(void **state)
{
    struct sim_profile profile = sim_profile_calm();
    profile.garble_ppm = 1000000;
    const struct sim_options options = {.profile = &profile};
    struct sim *sim = sim_open(1, &options);
    struct sim_host *host = sim_host_add(sim, NULL, NULL);
    sim_test_durable_file(host, "/", "/a", 1, 1024);
    sim_test_write(host, "/a", 0, 2, 512);
    sim_test_power_cycle(host);
    uint8_t data[1024];
    sim_test_read(host, "/a", 0, data, sizeof(data));
    unsigned odd = 0;
    for (unsigned i = 0; i < 512; i++) {
        odd += data[i] != 1 && data[i] != 2;
        assert_int_equal(data[512 + i], 1);
    }
    assert_true(odd > 400);
    assert_int_equal(sim_fault_count(sim, SIM_FAULT_SECTOR_GARBLED), 1);
    sim_close(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H1_what_a_failed_sync_dropped_is_readable_but_never_durable),
        cmocka_unit_test(H1_only_writing_again_makes_dropped_content_durable),
        cmocka_unit_test(H1_a_failed_sync_may_have_kept_any_part),
        cmocka_unit_test(H19_a_failed_directory_sync_is_not_made_good_by_a_later_one),
        cmocka_unit_test(a_failed_durable_write_is_dropped_like_a_failed_sync),
        cmocka_unit_test(plans_count_skip_and_match_paths),
        cmocka_unit_test(every_kind_of_call_can_be_made_to_fail_and_then_changes_nothing),
        cmocka_unit_test(errors_by_chance_happen_and_are_counted),
        cmocka_unit_test(bits_flip_where_asked_and_stay_flipped),
        cmocka_unit_test(H17_misdirected_writes_land_elsewhere_and_report_success),
        cmocka_unit_test(undecided_sectors_can_come_back_as_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
