/* links: log sim */
/* An open whose reads fail: it says so, or finds another way to everything that is there. A place that could not be
 * read is never taken for one where nothing was written: what would be dropped as torn is acknowledged data. L49, L55.
 */
#include "crash/log_world.h"

#include "base/trace.h"
#include "log/log_state.h"

#define ENTRIES 110u
#define PAYLOAD 3000u
#define BLOCK   UINT64_C(4096)

struct found {
    struct hf_log_group_state groups[2];
    size_t damages;
};

static void find(struct world *world, struct found *out)
{
    struct hf_log_damage damage;
    memset(out, 0, sizeof(*out));
    while (hf_log_damage_next(world->log, &out->damages, &damage) == 0) {
    }
    for (size_t i = 0; i < 2; i++) {
        hf_log_group_state(world->log, model_group_id(i), &out->groups[i]);
    }
}

static void expect_found(const struct found *wanted, const struct found *found, const char *where)
{
    for (size_t i = 0; i < 2; i++) {
        const struct hf_log_group_state *left = &wanted->groups[i];
        const struct hf_log_group_state *right = &found->groups[i];
        bool same = left->first_index == right->first_index && left->last_index == right->last_index &&
                    left->damaged == right->damaged && left->state_lost == right->state_lost &&
                    left->bytes == right->bytes && left->hard_state.commit == right->hard_state.commit &&
                    left->hard_state.term == right->hard_state.term && left->hard_state.vote == right->hard_state.vote;
        if (!same) {
            fail_msg("%s: group %zu: last %llu instead of %llu, damaged %d instead of %d", where, i,
                     (unsigned long long)right->last_index, (unsigned long long)left->last_index, right->damaged,
                     left->damaged);
        }
    }
    assert_true((wanted->damages > 0) == (found->damages > 0));
}

static int try_open(struct world *world)
{
    return log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
}

static void put(struct world *world, const struct sim_image *image)
{
    hf_log_close(world->log);
    world->log = NULL;
    sim_disk_fail_clear(world->host);
    sim_host_power_off(world->host);
    sim_image_put(world->host, image);
    sim_disk_choose_outcome(world->host, 0);
    sim_host_start(world->host);
}

/* Each read of the open fails, one after the other: once, or from there on. */
static unsigned fail_each_read(struct world *world, const struct sim_image *image, const char *name)
{
    struct found wanted;
    struct found found;
    unsigned refused = 0;
    put(world, image);
    uint64_t before = sim_disk_count(world->host, SIM_DISK_READ);
    assert_int_equal(try_open(world), 0);
    uint64_t reads = sim_disk_count(world->host, SIM_DISK_READ) - before;
    find(world, &wanted);
    for (uint64_t at = 0; at < 2 * reads; at++) {
        char where[96];
        struct sim_disk_failure failure = {
            .kind = SIM_DISK_READ, .skip = at / 2, .count = at % 2 == 0 ? 1 : UINT64_MAX, .error = HF_EIO};
        snprintf(where, sizeof(where), "%s, read %llu of %llu%s", name, (unsigned long long)(at / 2 + 1),
                 (unsigned long long)reads, at % 2 == 0 ? "" : " and all that follow");
        put(world, image);
        sim_disk_fail(world->host, &failure);
        int rc = try_open(world);
        sim_disk_fail_clear(world->host);
        if (rc != 0) {
            assert_int_equal(rc, HF_EIO);
            assert_null(world->log);
            assert_int_equal(sim_host_handle_count(world->host), 0);
            refused++;
            rc = try_open(world); /* the device is well again */
        }
        if (rc != 0) {
            fail_msg("%s: %s", where, hf_error_text());
        }
        find(world, &found);
        expect_found(&wanted, &found, where);
        hf_log_close(world->log);
        world_reopen(world, where);
        find(world, &found);
        expect_found(&wanted, &found, where);
    }
    return refused;
}

/* Several sealed segments, most with index files. */
static struct world *world_filled(uint64_t seed)
{
    struct world *world = world_new(seed);
    world->options.segment_size_bytes = 64 << 10;
    world->options.write_size_max_bytes = 64 << 10;
    world_reopen(world, "new");
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        struct model_entry entry = {.term = 1 + i / 50, .payload_seed = i, .payload_size = PAYLOAD};
        model_append(&world->model.groups[0], world->batch, model_group_id(0), i, entry);
        if (i % 5 == 0) {
            model_append(&world->model.groups[1], world->batch, model_group_id(1), i / 5, entry);
            model_hard_state(&world->model.groups[0], world->batch, model_group_id(0),
                             (struct hf_hard_state){1 + i / 50, 1, i});
        }
        world_submit(world);
        world_drain(world);
    }
    return world;
}

static struct sim_image *take(struct world *world)
{
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    world->log = NULL;
    sim_disk_choose_outcome(world->host, 0);
    return sim_image_take(world->host);
}

static void an_open_whose_reads_fail_says_so_or_finds_everything(void **unused)
{
    (void)unused;
    struct world *world = world_filled(1);
    world_turns(world, 100);
    struct sim_image *image = take(world);
    assert_true(fail_each_read(world, image, "index files") > 10);
    world->options.scan_all_on_open = true;
    assert_true(fail_each_read(world, image, "all is scanned") > 10);
    sim_image_close(image);
    world_close(world);
}

static void an_open_after_a_power_cut_whose_reads_fail_drops_nothing(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct world *world = world_filled(seed);
        for (uint64_t i = 0; i < 6; i++) { /* in flight, half of it on the device */
            struct model_entry entry = {.term = 9, .payload_seed = i, .payload_size = PAYLOAD};
            model_append(&world->model.groups[0], world->batch, model_group_id(0), ENTRIES + 1 + i, entry);
            world_submit(world);
            hf_log_turn(world->log);
        }
        sim_host_power_off(world->host);
        hf_log_close(world->log);
        world->log = NULL;
        sim_disk_choose_outcome(world->host, seed);
        struct sim_image *image = sim_image_take(world->host);
        assert_true(fail_each_read(world, image, "power cut") > 5);
        sim_image_close(image);
        world_close(world);
    }
}

static void overwrite_block(struct world *world, const char *path, uint64_t block)
{
    struct file *file = NULL;
    uint8_t junk[BLOCK];
    memset(junk, 0x5a, sizeof(junk));
    assert_int_equal(file_open(sim_host_io(world->host), path, FILE_WRITE, &file), 0);
    assert_int_equal(file_write(file, block * BLOCK, junk, sizeof(junk)), 0);
    assert_int_equal(file_sync(file), 0);
    file_close(file);
}

/* Frames that are declared, in the tail and in a segment without an index file; a segment's header. */
static void an_open_of_a_damaged_log_whose_reads_fail_finds_no_less(void **unused)
{
    (void)unused;
    struct world *world = world_filled(3);
    world_turns(world, 100);
    uint64_t tail = world->log->writer.tail->header.number;
    struct sim_image *whole = take(world);
    for (unsigned kind = 0; kind < 3; kind++) {
        char path[64];
        char index[64];
        uint64_t number = kind == 0 ? tail : tail / 2;
        put(world, whole);
        snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)number);
        snprintf(index, sizeof(index), DIRECTORY "/%016llx.idx", (unsigned long long)number);
        overwrite_block(world, path, kind == 2 ? 0 : 3);
        if (kind > 0) {
            assert_int_equal(path_unlink(sim_host_io(world->host), index), 0);
            assert_int_equal(directory_sync(sim_host_io(world->host), DIRECTORY), 0);
        }
        struct sim_image *image = take(world);
        assert_true(fail_each_read(world, image, kind == 2 ? "no header" : "lost frame") > 5);
        sim_image_close(image);
    }
    sim_image_close(whole);
    world_close(world);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_open_whose_reads_fail_says_so_or_finds_everything),
        cmocka_unit_test(an_open_after_a_power_cut_whose_reads_fail_drops_nothing),
        cmocka_unit_test(an_open_of_a_damaged_log_whose_reads_fail_finds_no_less),
    };
    trace_set_sink(say_nothing, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
