/* The durability rules of io.h, each from both sides: what is not durable is really lost in some runs and kept in
 * others (a simulator that is too kind hides bugs), and what is durable survives every run (one that is too cruel
 * invents them). */
#include "unit/sim/sim_testing.h"

/* How often, over all seeds, each of the outcomes 0 … 3 came. */
struct outcomes {
    unsigned seen[4];
};

typedef unsigned scenario(struct sim_test_world *world);

static struct outcomes run_all(scenario *run)
{
    struct outcomes outcomes = {{0}};
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct sim_test_world world = sim_test_open(seed);
        unsigned outcome = run(&world);
        assert_true(outcome < 4);
        outcomes.seen[outcome]++;
        sim_close(world.sim);
    }
    return outcomes;
}

/* ---- names ---- */

static unsigned create_and_cut(struct sim_test_world *world)
{
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE | FILE_CREATE);
    must(file_write_durable(file, 0, "data", 4));
    must(file_sync(file));
    file_close(file);
    sim_test_power_cycle(world->host);
    return sim_test_exists(world->host, "/a");
}

static void H4_a_new_file_without_directory_sync_may_be_missing(void **state)
{
    struct outcomes outcomes = run_all(create_and_cut);
    assert_true(outcomes.seen[0] > 20);
    assert_true(outcomes.seen[1] > 20);
}

static unsigned create_sync_folder_and_cut(struct sim_test_world *world)
{
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE | FILE_CREATE);
    must(directory_sync(sim_host_io(world->host), "/"));
    file_close(file);
    sim_test_power_cycle(world->host);
    return sim_test_exists(world->host, "/a");
}

static void a_new_file_after_directory_sync_is_there(void **state)
{
    assert_int_equal(run_all(create_sync_folder_and_cut).seen[1], SIM_TEST_SEEDS);
}

static unsigned rename_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 600);
    sim_test_durable_file(world->host, "/", "/b", 2, 600);
    must(path_rename(sim_host_io(world->host), "/a", "/b"));
    sim_test_power_cycle(world->host);
    bool old_name = sim_test_exists(world->host, "/a");
    int target = sim_test_byte(world->host, "/b", 599);
    if (old_name) {
        assert_int_equal(sim_test_byte(world->host, "/a", 599), 1);
    }
    assert_true(target == 1 || target == 2);
    assert_true(target == 1 || old_name); /* never lost under both names */
    return target == 2 ? 0 : old_name ? 1 : 2;
}

static void H4_a_rename_without_directory_sync_may_be_lost_or_half_done_but_never_loses_the_file(void **state)
{
    struct outcomes outcomes = run_all(rename_and_cut);
    assert_true(outcomes.seen[0] > 20); /* lost */
    assert_true(outcomes.seen[1] > 5);  /* done, and the old name is still there */
    assert_true(outcomes.seen[2] > 20); /* done */
}

static unsigned rename_sync_folder_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 600);
    sim_test_durable_file(world->host, "/", "/b", 2, 600);
    must(path_rename(sim_host_io(world->host), "/a", "/b"));
    must(directory_sync(sim_host_io(world->host), "/"));
    sim_test_power_cycle(world->host);
    return sim_test_byte(world->host, "/b", 599) == 1 && !sim_test_exists(world->host, "/a");
}

static void a_rename_after_directory_sync_is_done(void **state)
{
    assert_int_equal(run_all(rename_sync_folder_and_cut).seen[1], SIM_TEST_SEEDS);
}

static unsigned rename_between_folders_and_cut(struct sim_test_world *world)
{
    struct io *io = sim_host_io(world->host);
    must(directory_create(io, "/x"));
    must(directory_create(io, "/y"));
    sim_test_durable_file(world->host, "/x", "/x/a", 1, 600);
    must(path_rename(io, "/x/a", "/y/a"));
    must(directory_sync(io, rng_chance(sim_rng(world->sim), 1, 2) ? "/y" : "/x"));
    sim_test_power_cycle(world->host);
    assert_int_equal(sim_test_byte(world->host, "/y/a", 599), 1);
    return sim_test_exists(world->host, "/x/a");
}

static void a_rename_between_folders_never_loses_the_file_whichever_is_synced(void **state)
{
    struct outcomes outcomes = run_all(rename_between_folders_and_cut);
    assert_true(outcomes.seen[0] > 20);
    assert_true(outcomes.seen[1] > 5); /* only the new folder was synced */
}

static unsigned unlink_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 600);
    must(path_unlink(sim_host_io(world->host), "/a"));
    sim_test_power_cycle(world->host);
    bool exists = sim_test_exists(world->host, "/a");
    if (exists) {
        assert_int_equal(sim_test_byte(world->host, "/a", 599), 1);
    }
    return exists;
}

static void an_unlink_without_directory_sync_may_come_back_whole(void **state)
{
    struct outcomes outcomes = run_all(unlink_and_cut);
    assert_true(outcomes.seen[0] > 20);
    assert_true(outcomes.seen[1] > 20);
}

static unsigned unlink_sync_folder_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 600);
    must(path_unlink(sim_host_io(world->host), "/a"));
    must(directory_sync(sim_host_io(world->host), "/"));
    sim_test_power_cycle(world->host);
    return sim_test_exists(world->host, "/a");
}

static void an_unlink_after_directory_sync_is_final(void **state)
{
    assert_int_equal(run_all(unlink_sync_folder_and_cut).seen[0], SIM_TEST_SEEDS);
}

static unsigned make_folders_and_cut(struct sim_test_world *world)
{
    must(directory_create(sim_host_io(world->host), "/x/y/z"));
    sim_test_power_cycle(world->host);
    return directory_sync(sim_host_io(world->host), "/x/y/z") == 0;
}

static void folders_made_by_directory_create_are_durable(void **state)
{
    assert_int_equal(run_all(make_folders_and_cut).seen[1], SIM_TEST_SEEDS);
}

/* ---- content ---- */

static unsigned overwrite_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 4096);
    sim_test_write(world->host, "/a", 0, 2, 4096);
    sim_test_power_cycle(world->host);
    uint8_t data[4096];
    unsigned old_count = 0;
    assert_int_equal(sim_test_read(world->host, "/a", 0, data, sizeof(data)), sizeof(data));
    for (unsigned sector = 0; sector < 8; sector++) {
        uint8_t first = data[sector * SIM_SECTOR_SIZE];
        assert_true(first == 1 || first == 2);
        for (unsigned i = 0; i < SIM_SECTOR_SIZE; i++) { /* a sector itself never tears */
            assert_int_equal(data[sector * SIM_SECTOR_SIZE + i], first);
        }
        old_count += first == 1;
    }
    return old_count == 8 ? 0 : old_count == 0 ? 1 : 2;
}

static void an_overwrite_without_sync_is_lost_kept_or_torn_between_sectors(void **state)
{
    struct outcomes outcomes = run_all(overwrite_and_cut);
    assert_true(outcomes.seen[0] > 20);
    assert_true(outcomes.seen[1] > 20);
    assert_true(outcomes.seen[2] > 20);
}

static unsigned overwrite_sync_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 4096);
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE);
    char data[1000];
    memset(data, 2, sizeof(data));
    must(file_write(file, 300, data, sizeof(data)));
    must(file_sync(file));
    must(file_write(file, 300, data, 1)); /* the same byte again, not synced: nothing changes */
    file_close(file);
    sim_test_power_cycle(world->host);
    return sim_test_byte(world->host, "/a", 299) == 1 && sim_test_byte(world->host, "/a", 300) == 2 &&
           sim_test_byte(world->host, "/a", 1299) == 2 && sim_test_byte(world->host, "/a", 1300) == 1;
}

static void what_is_synced_survives(void **state)
{
    assert_int_equal(run_all(overwrite_sync_and_cut).seen[1], SIM_TEST_SEEDS);
}

static unsigned three_versions_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 0, 512);
    sim_test_write(world->host, "/a", 0, 1, 512);
    sim_test_write(world->host, "/a", 0, 2, 512);
    sim_test_write(world->host, "/a", 0, 3, 512);
    sim_test_power_cycle(world->host);
    return (unsigned)sim_test_byte(world->host, "/a", 0);
}

static void any_content_since_the_last_sync_may_be_what_is_left(void **state)
{
    struct outcomes outcomes = run_all(three_versions_and_cut);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(outcomes.seen[i] > 5);
    }
}

static unsigned durable_write_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 8192);
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE);
    char data[1024];
    memset(data, 2, sizeof(data));
    must(file_write(file, 4096, data, sizeof(data)));
    must(file_write_durable(file, 0, data, sizeof(data)));
    file_close(file);
    sim_test_power_cycle(world->host);
    assert_int_equal(sim_test_byte(world->host, "/a", 0), 2);
    assert_int_equal(sim_test_byte(world->host, "/a", 1023), 2);
    assert_int_equal(sim_test_byte(world->host, "/a", 1024), 1);
    return (unsigned)sim_test_byte(world->host, "/a", 4096);
}

static void a_durable_write_makes_its_own_sectors_durable_and_no_others(void **state)
{
    struct outcomes outcomes = run_all(durable_write_and_cut);
    assert_true(outcomes.seen[1] > 20);
    assert_true(outcomes.seen[2] > 20);
}

/* ---- sizes and allocation ---- */

static unsigned grow_durably_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 4096);
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE);
    char data[512];
    memset(data, 2, sizeof(data));
    must(file_write_durable(file, 4096, data, sizeof(data)));
    file_close(file);
    sim_test_power_cycle(world->host);
    uint64_t size = sim_test_size(world->host, "/a");
    assert_true(size == 4096 || size == 4608);
    if (size == 4096) {
        return 0;
    }
    return sim_test_byte(world->host, "/a", 4096) == 2 ? 2 : 1;
}

static void a_growing_durable_write_is_durable_only_when_its_size_is(void **state)
{
    struct outcomes outcomes = run_all(grow_durably_and_cut);
    assert_true(outcomes.seen[0] > 20); /* the size is lost */
    assert_true(outcomes.seen[1] > 5);  /* the size came through, the block that it grew into did not */
    assert_true(outcomes.seen[2] > 20);
}

static unsigned grow_sync_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 100);
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE);
    must(file_write_durable(file, 100, "zz", 2));
    must(file_sync(file));
    file_close(file);
    sim_test_power_cycle(world->host);
    return sim_test_size(world->host, "/a") == 102 && sim_test_byte(world->host, "/a", 101) == 'z';
}

static void a_growing_write_is_durable_after_file_sync(void **state)
{
    assert_int_equal(run_all(grow_sync_and_cut).seen[1], SIM_TEST_SEEDS);
}

/* Returns the content that a durable write has after the cut. sync: whether the allocation is synced before it. */
static unsigned write_into_preallocated(struct sim_test_world *world, unsigned synced)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 0);
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE);
    char data[512];
    memset(data, 2, sizeof(data));
    must(file_preallocate(file, 0, 65536));
    if (synced) {
        must(file_sync(file));
    }
    must(file_write_durable(file, 8192, data, sizeof(data)));
    file_close(file);
    sim_test_power_cycle(world->host);
    int byte = sim_test_byte(world->host, "/a", 8192);
    return byte < 0 ? 1 : (unsigned)byte;
}

static unsigned write_into_preallocated_unsynced(struct sim_test_world *world)
{
    return write_into_preallocated(world, 0);
}

static unsigned write_into_preallocated_synced(struct sim_test_world *world)
{
    return write_into_preallocated(world, 1);
}

static void a_durable_write_needs_a_durable_allocation(void **state)
{
    struct outcomes outcomes = run_all(write_into_preallocated_unsynced);
    assert_true(outcomes.seen[0] > 5);  /* zeros */
    assert_true(outcomes.seen[1] > 20); /* not even the size */
    assert_true(outcomes.seen[2] > 20);
    assert_int_equal(run_all(write_into_preallocated_synced).seen[2], SIM_TEST_SEEDS);
}

static unsigned truncate_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 12000);
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE);
    must(file_truncate(file, 700));
    file_close(file);
    sim_test_power_cycle(world->host);
    uint64_t size = sim_test_size(world->host, "/a");
    assert_true(size == 700 || size == 12000);
    assert_int_equal(sim_test_byte(world->host, "/a", 511), 1);
    return size == 700;
}

static void a_truncate_without_sync_may_be_lost(void **state)
{
    struct outcomes outcomes = run_all(truncate_and_cut);
    assert_true(outcomes.seen[0] > 20);
    assert_true(outcomes.seen[1] > 20);
}

static unsigned shrink_grow_and_cut(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 12000);
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE);
    must(file_truncate(file, 700));
    must(file_sync(file));
    must(file_truncate(file, 12000));
    must(file_sync(file));
    file_close(file);
    sim_test_power_cycle(world->host);
    uint8_t data[12000];
    assert_int_equal(sim_test_read(world->host, "/a", 0, data, sizeof(data)), sizeof(data));
    for (unsigned i = 0; i < sizeof(data); i++) {
        assert_int_equal(data[i], i < 700 ? 1 : 0);
    }
    return 1;
}

static void what_was_truncated_durably_reads_as_zeros(void **state)
{
    assert_int_equal(run_all(shrink_grow_and_cut).seen[1], SIM_TEST_SEEDS);
}

/* ---- the two kinds of stop ---- */

static unsigned write_and_kill(struct sim_test_world *world)
{
    struct file *file = sim_test_file(world->host, "/a", FILE_WRITE | FILE_CREATE);
    must(file_write(file, 0, "data", 4));
    sim_host_kill(world->host);
    file_close(file);
    sim_host_start(world->host);
    assert_int_equal(sim_test_size(world->host, "/a"), 4);
    sim_test_power_cycle(world->host); /* being restarted made nothing durable */
    return sim_test_exists(world->host, "/a");
}

static void a_kill_loses_nothing_and_makes_nothing_durable(void **state)
{
    struct outcomes outcomes = run_all(write_and_kill);
    assert_true(outcomes.seen[0] > 20);
    assert_true(outcomes.seen[1] > 20);
}

static unsigned cut_twice(struct sim_test_world *world)
{
    sim_test_durable_file(world->host, "/", "/a", 1, 4096);
    sim_test_write(world->host, "/a", 0, 2, 4096);
    sim_test_power_cycle(world->host);
    uint8_t first[4096];
    uint8_t second[4096];
    sim_test_read(world->host, "/a", 0, first, sizeof(first));
    sim_test_power_cycle(world->host);
    sim_test_read(world->host, "/a", 0, second, sizeof(second));
    return memcmp(first, second, sizeof(first)) == 0;
}

static void what_a_power_loss_decided_stays_decided(void **state)
{
    assert_int_equal(run_all(cut_twice).seen[1], SIM_TEST_SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H4_a_new_file_without_directory_sync_may_be_missing),
        cmocka_unit_test(a_new_file_after_directory_sync_is_there),
        cmocka_unit_test(H4_a_rename_without_directory_sync_may_be_lost_or_half_done_but_never_loses_the_file),
        cmocka_unit_test(a_rename_after_directory_sync_is_done),
        cmocka_unit_test(a_rename_between_folders_never_loses_the_file_whichever_is_synced),
        cmocka_unit_test(an_unlink_without_directory_sync_may_come_back_whole),
        cmocka_unit_test(an_unlink_after_directory_sync_is_final),
        cmocka_unit_test(folders_made_by_directory_create_are_durable),
        cmocka_unit_test(an_overwrite_without_sync_is_lost_kept_or_torn_between_sectors),
        cmocka_unit_test(what_is_synced_survives),
        cmocka_unit_test(any_content_since_the_last_sync_may_be_what_is_left),
        cmocka_unit_test(a_durable_write_makes_its_own_sectors_durable_and_no_others),
        cmocka_unit_test(a_growing_durable_write_is_durable_only_when_its_size_is),
        cmocka_unit_test(a_growing_write_is_durable_after_file_sync),
        cmocka_unit_test(a_durable_write_needs_a_durable_allocation),
        cmocka_unit_test(a_truncate_without_sync_may_be_lost),
        cmocka_unit_test(what_was_truncated_durably_reads_as_zeros),
        cmocka_unit_test(a_kill_loses_nothing_and_makes_nothing_durable),
        cmocka_unit_test(what_a_power_loss_decided_stays_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
