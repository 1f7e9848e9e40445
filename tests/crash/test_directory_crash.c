/* links: node sim */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "holdfast/error.h"
#include "node/directory.h"
#include "sim/sim.h"

#define PATH "/data/node"

static const struct description_node nodes[] = {{1, "a:1", "a:2", ""}, {2, "b:1", "b:2", ""}};

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct description *description;
};

static struct world world_open(uint64_t seed)
{
    struct world world = {.sim = sim_open(seed, NULL)};
    world.host = sim_host_add(world.sim, NULL, NULL);
    assert_int_equal(description_create(sim_host_io(world.host), nodes, 2, 4, &world.description), 0);
    return world;
}

static void world_close(struct world *world)
{
    description_close(world->description);
    sim_close(world->sim);
}

static int format(struct world *world)
{
    return directory_format(sim_host_io(world->host), PATH, world->description, 2);
}

static void a_formatted_directory_opens_with_what_was_written(void **state)
{
    struct world world = world_open(1);
    struct directory *directory = NULL;
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), HF_ENOTFOUND);
    assert_int_equal(format(&world), 0);
    sim_host_power_off(world.host);
    sim_host_start(world.host);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    assert_int_equal(directory_identity(directory)->node_id, 2);
    assert_int_not_equal(directory_identity(directory)->node_incarnation, 0);
    assert_memory_equal(directory_identity(directory)->cluster_id, world.description->cluster_id, PEER_CLUSTER_ID_SIZE);
    assert_int_equal(directory_description(directory)->group_count, 4);
    assert_string_equal(directory_log_path(directory), PATH "/log");
    directory_close(directory);
    assert_int_equal(sim_host_handle_count(world.host), 0);
    world_close(&world);
}

static void formatting_twice_is_refused_and_changes_nothing(void **state)
{
    struct world world = world_open(2);
    struct directory *directory = NULL;
    assert_int_equal(format(&world), 0);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    uint64_t incarnation = directory_identity(directory)->node_incarnation;
    directory_close(directory);
    assert_int_equal(format(&world), HF_EEXISTS);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    assert_true(directory_identity(directory)->node_incarnation == incarnation);
    directory_close(directory);
    world_close(&world);
}

static void H18_a_wiped_directory_comes_back_with_another_incarnation(void **state)
{
    struct world world = world_open(3);
    struct directory *directory = NULL;
    assert_int_equal(format(&world), 0);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    uint64_t incarnation = directory_identity(directory)->node_incarnation;
    directory_close(directory);
    sim_host_power_off(world.host);
    sim_disk_wipe(world.host);
    sim_host_start(world.host);
    assert_int_equal(format(&world), 0);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    assert_true(directory_identity(directory)->node_incarnation != incarnation);
    directory_close(directory);
    world_close(&world);
}

static void a_directory_in_use_is_refused(void **state)
{
    struct world world = world_open(4);
    struct directory *first = NULL;
    struct directory *second = NULL;
    assert_int_equal(format(&world), 0);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &first), 0);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &second), HF_EBUSY);
    directory_close(first);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &second), 0);
    directory_close(second);
    world_close(&world);
}

static void a_node_that_the_cluster_does_not_have_is_refused(void **state)
{
    struct world world = world_open(5);
    assert_int_equal(directory_format(sim_host_io(world.host), PATH, world.description, 3), HF_EINVALID);
    world_close(&world);
}

static void write_file(struct world *world, const char *path, struct hf_bytes bytes)
{
    struct file *file = NULL;
    assert_int_equal(file_open(sim_host_io(world->host), path, FILE_READ | FILE_WRITE | FILE_CREATE, &file), 0);
    assert_int_equal(file_truncate(file, 0), 0);
    assert_int_equal(file_write(file, 0, bytes.data, bytes.size), 0);
    file_close(file);
}

static void files_of_two_clusters_in_one_directory_are_refused(void **state)
{
    struct world world = world_open(6);
    struct description *other = NULL;
    struct directory *directory = NULL;
    struct buffer bytes = {0};
    assert_int_equal(format(&world), 0);
    assert_int_equal(description_create(sim_host_io(world.host), nodes, 2, 4, &other), 0);
    description_encode(other, &bytes);
    write_file(&world, PATH "/cluster", buffer_bytes(&bytes));
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), HF_EMISMATCH);
    buffer_close(&bytes);
    description_close(other);
    world_close(&world);
}

static void a_log_without_an_identity_is_not_formatted_over(void **state)
{
    struct world world = world_open(7);
    assert_int_equal(directory_create(sim_host_io(world.host), PATH "/log"), 0);
    assert_int_equal(format(&world), 0); /* an empty folder is nobody's */
    assert_int_equal(path_unlink(sim_host_io(world.host), PATH "/node"), 0);
    write_file(&world, PATH "/log/0000000000000001.log", bytes_of_text("x"));
    assert_int_equal(format(&world), HF_EUNSAFE);
    world_close(&world);
}

static void every_changed_byte_of_the_identity_is_refused(void **state)
{
    struct world world = world_open(8);
    struct directory *directory = NULL;
    uint8_t bytes[64];
    size_t size = 0;
    struct file *file = NULL;
    assert_int_equal(format(&world), 0);
    assert_int_equal(file_open(sim_host_io(world.host), PATH "/node", FILE_READ, &file), 0);
    assert_int_equal(file_read(file, 0, bytes, sizeof(bytes), &size), 0);
    file_close(file);
    assert_int_equal(size, 56);
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 1;
        write_file(&world, PATH "/node", bytes_of(bytes, size));
        assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory),
                         i >= 8 && i < 12 ? HF_EVERSION : HF_ECORRUPT);
        bytes[i] ^= 1;
    }
    for (size_t i = 0; i < size; i++) {
        write_file(&world, PATH "/node", bytes_of(bytes, i));
        assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), HF_ECORRUPT);
    }
    world_close(&world);
}

/* Takes the power at each operation in turn, with every kind of luck about what survives: afterwards the directory is
 * either not formatted, and can be, or whole. */
static void H4_a_crash_at_any_step_of_formatting_leaves_it_whole_or_absent(void **state)
{
    for (unsigned mode = SIM_CUT_DURING; mode <= SIM_CUT_AFTER; mode++) {
        bool was_cut = true;
        for (uint64_t k = 1; was_cut; k++) {
            for (uint64_t seed = 0; seed < 24; seed++) {
                struct world world = world_open(seed);
                struct directory *directory = NULL;
                sim_disk_cut_at(world.host, k, (enum sim_cut)mode);
                int formatted = format(&world);
                was_cut = !sim_host_is_running(world.host);
                sim_disk_cut_at(world.host, 0, SIM_CUT_AFTER);
                sim_host_power_off(world.host);
                sim_host_start(world.host);
                int rc = directory_open(sim_host_io(world.host), PATH, &directory);
                assert_true(rc == 0 || rc == HF_ENOTFOUND);
                assert_true(rc == 0 || formatted != 0);
                if (rc != 0) {
                    assert_int_equal(format(&world), 0);
                    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
                }
                directory_close(directory);
                world_close(&world);
            }
        }
    }
}

static void a_full_or_failing_disk_leaves_it_whole_or_absent(void **state)
{
    static const enum sim_disk_kind kinds[] = {SIM_DISK_WRITE,  SIM_DISK_SYNC,     SIM_DISK_CREATE,
                                               SIM_DISK_RENAME, SIM_DISK_TRUNCATE, SIM_DISK_DIRECTORY_SYNC};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (uint64_t skip = 0; skip < 6; skip++) {
            struct world world = world_open(skip);
            struct directory *directory = NULL;
            struct sim_disk_failure failure = {kinds[i], skip, 1, skip % 2 == 0 ? HF_EIO : HF_ENOSPACE, NULL};
            sim_disk_fail(world.host, &failure);
            int formatted = format(&world);
            sim_disk_fail_clear(world.host);
            int rc = directory_open(sim_host_io(world.host), PATH, &directory);
            assert_true(rc == 0 || (rc == HF_ENOTFOUND && formatted != 0));
            directory_close(directory);
            if (rc != 0) {
                assert_int_equal(format(&world), 0);
            }
            assert_int_equal(sim_host_handle_count(world.host), 0);
            world_close(&world);
        }
    }
}

/* A directory sync that failed leaves a name in the page cache alone. Whoever opens it all the same makes it durable.
 */
static void H4_names_that_a_failed_sync_left_in_the_cache_are_made_durable_by_opening(void **state)
{
    for (uint64_t skip = 0; skip < 4; skip++) {
        for (uint64_t seed = 0; seed < 32; seed++) {
            struct world world = world_open(seed);
            struct directory *directory = NULL;
            struct sim_disk_failure failure = {SIM_DISK_DIRECTORY_SYNC, skip, 1, HF_EIO, NULL};
            sim_disk_fail(world.host, &failure);
            (void)format(&world);
            sim_disk_fail_clear(world.host);
            if (directory_open(sim_host_io(world.host), PATH, &directory) == 0) {
                uint64_t incarnation = directory_identity(directory)->node_incarnation;
                directory_close(directory);
                sim_host_power_off(world.host);
                sim_host_start(world.host);
                assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
                assert_true(directory_identity(directory)->node_incarnation == incarnation);
                directory_close(directory);
            }
            world_close(&world);
        }
    }
}

static void H4_a_crash_at_any_step_of_opening_changes_nothing(void **state)
{
    for (unsigned mode = SIM_CUT_DURING; mode <= SIM_CUT_AFTER; mode++) {
        bool was_cut = true;
        for (uint64_t k = 1; was_cut; k++) {
            for (uint64_t seed = 0; seed < 16; seed++) {
                struct world world = world_open(seed);
                struct directory *directory = NULL;
                assert_int_equal(format(&world), 0);
                sim_disk_cut_at(world.host, k, (enum sim_cut)mode);
                int opened = directory_open(sim_host_io(world.host), PATH, &directory);
                was_cut = !sim_host_is_running(world.host);
                sim_host_power_off(world.host);
                directory_close(opened == 0 ? directory : NULL);
                sim_host_start(world.host);
                assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
                assert_int_equal(directory_identity(directory)->node_id, 2);
                directory_close(directory);
                world_close(&world);
            }
        }
    }
}

static void H6_opening_needs_no_space(void **state)
{
    struct world world = world_open(9);
    struct directory *directory = NULL;
    assert_int_equal(format(&world), 0);
    sim_disk_set_capacity(world.host, 1);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    directory_close(directory);
    world_close(&world);
}

/* ---- the mark, and programs that do not know it ---- */

static bool is_there(struct world *world, const char *path)
{
    struct file *file = NULL;
    int rc = file_open(sim_host_io(world->host), path, FILE_READ, &file);
    assert_true(rc == 0 || rc == HF_ENOTFOUND);
    file_close(file);
    return rc == 0;
}

/* A program of before the mark opens version 1, whatever else is in the directory. */
static uint32_t version_of_node(struct world *world)
{
    uint8_t bytes[64];
    size_t size = 0;
    struct file *file = NULL;
    assert_int_equal(file_open(sim_host_io(world->host), PATH "/node", FILE_READ, &file), 0);
    assert_int_equal(file_read(file, 0, bytes, sizeof(bytes), &size), 0);
    file_close(file);
    assert_true(size == (bytes_get_u32(bytes + 8) == 1 ? 56u : 64u));
    return bytes_get_u32(bytes + 8);
}

static void a_program_that_does_not_know_the_mark_refuses_the_directory_while_it_is_there(void **state)
{
    struct world world = world_open(10);
    struct directory *directory = NULL;
    assert_int_equal(format(&world), 0);
    assert_int_equal(version_of_node(&world), 1);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    assert_int_equal(directory_set_relaxed(directory, true), 0);
    assert_int_equal(version_of_node(&world), 2);
    directory_close(directory);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
        assert_int_equal(directory_identity(directory)->node_id, 2);
        assert_int_equal(directory_relaxed(directory), DIRECTORY_RELAXED_BEFORE);
        assert_int_equal(version_of_node(&world), 2);
        directory_close(i == 0 ? directory : NULL);
    }
    assert_int_equal(directory_set_strict(directory), 0);
    assert_int_equal(version_of_node(&world), 1);
    directory_close(directory);
    write_file(&world, PATH "/relaxed", bytes_of_text("of a program that raised no feature\n"));
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    assert_int_equal(version_of_node(&world), 2);
    directory_close(directory);
    world_close(&world);
}

static void a_feature_that_is_not_known_is_refused(void **state)
{
    struct world world = world_open(11);
    struct directory *directory = NULL;
    uint8_t bytes[64] = {0};
    size_t size = 0;
    struct file *file = NULL;
    assert_int_equal(format(&world), 0);
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
    assert_int_equal(directory_set_relaxed(directory, true), 0);
    directory_close(directory);
    assert_int_equal(file_open(sim_host_io(world.host), PATH "/node", FILE_READ, &file), 0);
    assert_int_equal(file_read(file, 0, bytes, sizeof(bytes), &size), 0);
    file_close(file);
    bytes_put_u64(bytes + 56, UINT64_C(1) << 63 | 1);
    bytes_put_u32(bytes + 12, checksum_crc32c(checksum_crc32c(0, bytes, 12), bytes + 16, 48));
    write_file(&world, PATH "/node", bytes_of(bytes, size));
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), HF_EVERSION);
    bytes[60] ^= 1;
    write_file(&world, PATH "/node", bytes_of(bytes, size));
    assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), HF_ECORRUPT);
    world_close(&world);
}

static void step_of_the_mark(struct directory *directory, unsigned step)
{
    (void)(step == 0 ? directory_set_relaxed(directory, true) : directory_set_strict(directory));
}

/* At every operation of putting the mark up and of taking it away. */
static void H4_the_mark_is_never_there_without_what_makes_older_programs_refuse(void **state)
{
    for (unsigned step = 0; step < 2; step++) {
        bool was_cut = true;
        for (uint64_t k = 1; was_cut; k++) {
            for (uint64_t seed = 0; seed < 32; seed++) {
                struct world world = world_open(seed);
                struct directory *directory = NULL;
                assert_int_equal(format(&world), 0);
                assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
                if (step == 1) {
                    step_of_the_mark(directory, 0);
                }
                sim_disk_cut_at(world.host, k, seed % 2 == 0 ? SIM_CUT_DURING : SIM_CUT_AFTER);
                step_of_the_mark(directory, step);
                was_cut = !sim_host_is_running(world.host);
                sim_host_power_off(world.host);
                directory_close(directory);
                sim_host_start(world.host);
                assert_true(!is_there(&world, PATH "/relaxed") || version_of_node(&world) == 2);
                assert_int_equal(directory_open(sim_host_io(world.host), PATH, &directory), 0);
                bool is_marked = directory_relaxed(directory) != DIRECTORY_STRICT;
                assert_int_equal(version_of_node(&world), is_marked ? 2 : 1);
                directory_close(directory);
                world_close(&world);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_formatted_directory_opens_with_what_was_written),
        cmocka_unit_test(formatting_twice_is_refused_and_changes_nothing),
        cmocka_unit_test(H18_a_wiped_directory_comes_back_with_another_incarnation),
        cmocka_unit_test(a_directory_in_use_is_refused),
        cmocka_unit_test(a_node_that_the_cluster_does_not_have_is_refused),
        cmocka_unit_test(files_of_two_clusters_in_one_directory_are_refused),
        cmocka_unit_test(a_log_without_an_identity_is_not_formatted_over),
        cmocka_unit_test(every_changed_byte_of_the_identity_is_refused),
        cmocka_unit_test(H4_a_crash_at_any_step_of_formatting_leaves_it_whole_or_absent),
        cmocka_unit_test(H4_names_that_a_failed_sync_left_in_the_cache_are_made_durable_by_opening),
        cmocka_unit_test(H4_a_crash_at_any_step_of_opening_changes_nothing),
        cmocka_unit_test(H6_opening_needs_no_space),
        cmocka_unit_test(a_full_or_failing_disk_leaves_it_whole_or_absent),
        cmocka_unit_test(a_program_that_does_not_know_the_mark_refuses_the_directory_while_it_is_there),
        cmocka_unit_test(a_feature_that_is_not_known_is_refused),
        cmocka_unit_test(H4_the_mark_is_never_there_without_what_makes_older_programs_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
