/* Taking the power at every call, and trying every outcome of one power loss. */
#include <stdio.h>

#include "unit/sim/sim_testing.h"

/* A small publisher: writes a new version beside the old one, syncs it, renames it over, syncs the folder. Returns the
 * version that it knows to be durable. */
static int publish(struct sim_host *host, int version)
{
    struct io *io = sim_host_io(host);
    struct file *file = NULL;
    uint8_t data[1536];
    memset(data, version, sizeof(data));
    int rc = file_open(io, "/d/new", FILE_WRITE | FILE_CREATE, &file);
    if (rc == 0) {
        rc = file_write(file, 0, data, sizeof(data));
    }
    if (rc == 0) {
        rc = file_sync(file);
    }
    file_close(file);
    if (rc == 0) {
        rc = path_rename(io, "/d/new", "/d/current");
    }
    return rc == 0 ? directory_sync(io, "/d") : rc;
}

/* What is published, 0 for nothing. It must be whole. */
static int published(struct sim_host *host)
{
    if (!sim_test_exists(host, "/d/current")) {
        return 0;
    }
    uint8_t data[1536];
    assert_int_equal(sim_test_read(host, "/d/current", 0, data, sizeof(data)), sizeof(data));
    for (unsigned i = 1; i < sizeof(data); i++) {
        assert_int_equal(data[i], data[0]);
    }
    return data[0];
}

/* Publishes versions until the power goes; returns the newest that was acknowledged. */
static int publish_until_dark(struct sim_host *host)
{
    int acknowledged = 0;
    if (directory_create(sim_host_io(host), "/d") == 0) {
        for (int version = 1; version <= 3 && publish(host, version) == 0; version++) {
            acknowledged = version;
        }
    }
    return acknowledged;
}

static void every_crash_point_can_be_hit_and_every_call_after_it_fails(void **state)
{
    struct sim_test_world count_world = sim_test_open(1);
    assert_int_equal(publish_until_dark(count_world.host), 3);
    uint64_t points = sim_disk_operation_count(count_world.host);
    assert_int_equal(points, 2 + 3 * 5);
    sim_close(count_world.sim);
    for (uint64_t k = 1; k <= points; k++) {
        for (unsigned mode = 0; mode < 2; mode++) {
            struct sim_test_world world = sim_test_open(k);
            sim_disk_cut_at(world.host, k, mode == 0 ? SIM_CUT_DURING : SIM_CUT_AFTER);
            int acknowledged = publish_until_dark(world.host);
            assert_int_equal(acknowledged == 3, k == points && mode == 1);
            assert_false(sim_host_is_running(world.host));
            struct file *file = NULL;
            assert_int_equal(file_open(sim_host_io(world.host), "/d/current", FILE_READ, &file), HF_EIO);
            assert_int_equal(directory_sync(sim_host_io(world.host), "/"), HF_EIO);
            sim_test_power_cycle(world.host);
            int found = published(world.host);
            assert_true(found == acknowledged || found == acknowledged + 1);
            sim_close(world.sim);
        }
    }
}

static void every_outcome_of_a_power_loss_can_be_tried_from_one_image(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    must(directory_create(sim_host_io(world.host), "/d"));
    sim_test_durable_file(world.host, "/d", "/d/a", 1, 1024);
    sim_test_write(world.host, "/d/a", 0, 2, 1536);
    must(path_rename(sim_host_io(world.host), "/d/a", "/d/b"));
    sim_host_power_off(world.host);
    struct sim_image *image = sim_image_take(world.host);
    uint64_t count = sim_disk_outcome_count(world.host);
    assert_int_equal(count, 3 * 2 * 2 * 2 * 2); /* the rename, the size, two old sectors, a new one */
    unsigned seen[2][2][2][3] = {{{{0}}}};      /* size, first sector, second, name */
    for (uint64_t index = 0; index < count; index++) {
        sim_image_put(world.host, image);
        assert_int_equal(sim_disk_outcome_count(world.host), count);
        sim_disk_choose_outcome(world.host, index);
        sim_host_start(world.host);
        bool old_name = sim_test_exists(world.host, "/d/a");
        bool new_name = sim_test_exists(world.host, "/d/b");
        const char *path = new_name ? "/d/b" : "/d/a";
        assert_true(old_name || new_name);
        uint64_t size = sim_test_size(world.host, path);
        assert_true(size == 1024 || size == 1536);
        int first = sim_test_byte(world.host, path, 0);
        int second = sim_test_byte(world.host, path, 512);
        unsigned name = !new_name ? 0 : old_name ? 1 : 2;
        seen[size == 1536][first - 1][second - 1][name]++;
        if (index == 0) {
            assert_true(name == 0 && size == 1024 && first == 1 && second == 1);
        } else if (index == count - 1) {
            assert_true(name == 2 && size == 1536 && first == 2 && second == 2);
            assert_int_equal(sim_test_byte(world.host, path, 1535), 2);
        }
        sim_host_kill(world.host);
    }
    for (unsigned i = 0; i < 24; i++) {
        assert_true((&seen[0][0][0][0])[i] > 0);
    }
    sim_image_close(image);
    sim_close(world.sim);
}

static void an_image_keeps_what_later_runs_change(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    sim_test_durable_file(world.host, "/", "/a", 1, 5000);
    sim_host_power_off(world.host);
    struct sim_image *image = sim_image_take(world.host);
    sim_host_start(world.host);
    must(path_unlink(sim_host_io(world.host), "/a"));
    sim_test_durable_file(world.host, "/", "/b", 2, 100);
    sim_host_kill(world.host);
    sim_image_put(world.host, image);
    sim_image_close(image);
    sim_host_start(world.host);
    assert_int_equal(sim_test_byte(world.host, "/a", 4999), 1);
    assert_false(sim_test_exists(world.host, "/b"));
    assert_int_equal(sim_disk_used_bytes(world.host), 8192);
    sim_close(world.sim);
}

struct asked {
    unsigned sectors;
    unsigned sizes;
    unsigned names;
    char last_name[64];
};

static unsigned ask(void *arg, const struct sim_choice *choice)
{
    struct asked *asked = arg;
    assert_true(choice->alternatives >= 2);
    assert_false(choice->at_sync_failure);
    if (choice->kind == SIM_CHOICE_SECTOR) {
        asked->sectors++;
        return choice->offset == 512 ? 1 : 0;
    }
    if (choice->kind == SIM_CHOICE_SIZE) {
        asked->sizes++;
        return choice->alternatives - 1;
    }
    asked->names++;
    snprintf(asked->last_name, sizeof(asked->last_name), "%s", choice->path);
    return 0;
}

static void a_chooser_decides_each_thing_by_itself(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    struct asked asked = {0};
    sim_test_durable_file(world.host, "/", "/a", 1, 1024);
    sim_test_write(world.host, "/a", 0, 2, 1500);
    must(path_rename(sim_host_io(world.host), "/a", "/b"));
    sim_disk_set_chooser(world.host, ask, &asked);
    sim_test_power_cycle(world.host);
    assert_int_equal(asked.names, 1);
    assert_string_equal(asked.last_name, "/b");
    assert_int_equal(asked.sizes, 1);
    assert_int_equal(asked.sectors, 3);
    assert_int_equal(sim_test_size(world.host, "/a"), 1500);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 1);
    assert_int_equal(sim_test_byte(world.host, "/a", 512), 2);
    assert_int_equal(sim_test_byte(world.host, "/a", 1499), 0);
    sim_close(world.sim);
}

static void losses_are_counted_where_they_happen(void **state)
{
    struct sim_test_world world = sim_test_open(1);
    sim_test_durable_file(world.host, "/", "/a", 1, 1024);
    sim_test_write(world.host, "/a", 0, 2, 1500);
    sim_test_durable_file(world.host, "/", "/kept", 1, 1024);
    must(path_unlink(sim_host_io(world.host), "/kept"));
    sim_host_power_off(world.host);
    sim_disk_choose_outcome(world.host, 0);
    sim_host_start(world.host);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_POWER_LOSS), 1);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_NAME_LOST), 1);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_SIZE_LOST), 1);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_SECTOR_LOST), 2);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_WRITE_TORN), 0);
    sim_close(world.sim);
}

static void a_queued_operation_that_takes_the_power_is_in_flight(void **state)
{
    struct sim_test_world world = sim_test_open(3);
    struct io_queue *queue = NULL;
    unsigned turns = 0;
    sim_test_durable_file(world.host, "/", "/a", 1, 4096);
    struct file *file = sim_test_file(world.host, "/a", FILE_WRITE);
    must(io_queue_open(sim_host_io(world.host), 2, &queue));
    struct io_operation write = {.kind = IO_WRITE_DURABLE, .file = file, .data = "x", .size = 1};
    sim_disk_cut_at(world.host, 1, SIM_CUT_AFTER);
    must(io_queue_submit(queue, &write));
    assert_false(sim_host_is_running(world.host));
    struct list done;
    list_init(&done);
    assert_int_equal(io_queue_reap(queue, &done, 0), 1);
    assert_int_equal(write.result, HF_EIO);
    while (sim_step(world.sim)) {
        turns++;
    }
    assert_int_equal(turns, 0); /* no event reaches a dark host */
    sim_host_power_off(world.host);
    file_close(file);
    io_queue_close(queue);
    assert_int_equal(sim_disk_outcome_count(world.host), 2);
    sim_disk_choose_outcome(world.host, 1);
    sim_host_start(world.host);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 'x');
    sim_close(world.sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crash_point_can_be_hit_and_every_call_after_it_fails),
        cmocka_unit_test(every_outcome_of_a_power_loss_can_be_tried_from_one_image),
        cmocka_unit_test(an_image_keeps_what_later_runs_change),
        cmocka_unit_test(a_chooser_decides_each_thing_by_itself),
        cmocka_unit_test(losses_are_counted_where_they_happen),
        cmocka_unit_test(a_queued_operation_that_takes_the_power_is_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
