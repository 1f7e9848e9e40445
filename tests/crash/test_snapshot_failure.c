/* links: snapshot sim */
/* Errors of the device at every call, a full device, damage, and a failed sync that the cache hides. In a build with
 * -DHF_MUTATIONS the environment variable HOLDFAST_MUTATION plants a bug. */
#include "contract/snapshot_fixture.h"

#include "base/mutation.h"
#include "base/trace.h"
#include "sim/sim.h"

#define DIRECTORY "/data/snapshots"
#define GROUP     UINT64_C(7)
#define SIZE      (6 * SNAPSHOT_CHUNK + 77)
#define KIND_MAX  SIM_DISK_KIND_COUNT

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct hf_snapshot_options options;
    struct snapshot_events events;
    struct hf_snapshot_store *store;
    struct hf_snapshot_store *leader; /* in memory */
};

static void world_open_store(struct world *world)
{
    snapshot_assert_ok(snapshot_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->store));
}

static int world_open(void **state)
{
    struct world *world = memory_new(sizeof(*world));
    world->sim = sim_open(11, NULL);
    world->host = sim_host_add(world->sim, NULL, NULL);
    world->options = (struct hf_snapshot_options){
        .format = {.chunk_size_bytes = SNAPSHOT_CHUNK, .compression = HF_SNAPSHOT_NONE},
        .sync_every_bytes = 8192,
        .reserve_bytes = 1,
        .report = snapshot_count_event,
        .report_arg = &world->events,
    };
    struct sim_host *other = sim_host_add(world->sim, NULL, NULL);
    snapshot_assert_ok(snapshot_open_memory(sim_host_io(other), &world->options, &world->leader));
    world_open_store(world);
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;
    hf_snapshot_store_close(world->store);
    hf_snapshot_store_close(world->leader);
    sim_close(world->sim);
    free(world);
    return 0;
}

static void world_cut_power(struct world *world, uint64_t outcome)
{
    sim_host_power_off(world->host);
    hf_snapshot_store_close(world->store);
    sim_disk_choose_outcome(world->host, outcome);
    sim_host_start(world->host);
    world_open_store(world);
}

static void expect_only(struct world *world, uint64_t index)
{
    struct hf_snapshot_manifest latest;
    assert_int_equal(snapshot_count(world->store, 0), 1);
    snapshot_assert_ok(hf_snapshot_latest_verified(world->store, GROUP, 0, &latest));
    assert_int_equal(latest.index, index);
    assert_int_equal(world->events.counts[HF_SNAPSHOT_EVENT_DAMAGED], 0);
}

static int write_index(struct world *world, uint64_t index)
{
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, index);
    struct buffer bytes = snapshot_bytes(index, SIZE);
    int rc = snapshot_write_cut(world->store, &begin, &bytes, NULL);
    buffer_close(&bytes);
    return rc;
}

static int receive_manifest(struct world *world, const struct hf_snapshot_manifest *manifest)
{
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_reader *reader = NULL;
    int rc = hf_snapshot_receive(world->store, manifest, &receiver);
    if (rc != 0) {
        return rc;
    }
    snapshot_assert_ok(hf_snapshot_reader_open(world->leader, manifest->id, &reader));
    rc = snapshot_send(reader, receiver, 0, manifest->chunk_count);
    hf_snapshot_reader_close(reader);
    if (rc != 0) {
        hf_snapshot_receiver_cancel(receiver);
        return rc;
    }
    return hf_snapshot_receive_finish(receiver, NULL, NULL);
}

/* Fails the k-th operation of each kind, until the work passes untouched; each time the rest must be as before. */
static void fail_everywhere(struct world *world, int error, int (*work)(struct world *world))
{
    unsigned failures = 0;
    snapshot_assert_ok(write_index(world, 1));
    for (enum sim_disk_kind kind = 0; kind < KIND_MAX; kind++) {
        for (uint64_t k = 0;; k++) {
            struct sim_disk_failure failure = {.kind = kind, .skip = k, .count = 1, .error = error};
            uint64_t before = sim_disk_count(world->host, kind);
            sim_disk_fail(world->host, &failure);
            int rc = work(world);
            bool happened = sim_disk_count(world->host, kind) - before > k;
            sim_disk_fail_clear(world->host);
            if (rc != 0) {
                assert_int_equal(rc, error);
                expect_only(world, 1);
                world_cut_power(world, k % 2 == 0 ? 0 : UINT64_MAX - 1 - k);
                expect_only(world, 1);
                failures++;
            } else { /* published all the same: then it is whole; make room for the next try */
                struct hf_snapshot_manifest latest;
                struct hf_snapshot_info *list = NULL;
                size_t count;
                snapshot_assert_ok(hf_snapshot_list(world->store, GROUP, &list, &count));
                assert_int_equal(count, 2);
                snapshot_assert_ok(hf_snapshot_verify(world->store, list[0].manifest.id, NULL, NULL));
                snapshot_assert_ok(hf_snapshot_delete(world->store, list[0].manifest.id));
                hf_snapshot_list_free(list);
                snapshot_assert_ok(hf_snapshot_latest(world->store, GROUP, 0, &latest));
            }
            if (!happened) {
                break;
            }
        }
    }
    assert_true(failures > 8);
    snapshot_assert_ok(work(world));
}

static int work_write(struct world *world)
{
    return write_index(world, 2);
}

static int work_receive(struct world *world)
{
    struct hf_snapshot_manifest manifest;
    snapshot_assert_ok(hf_snapshot_latest(world->leader, GROUP, 0, &manifest));
    return receive_manifest(world, &manifest);
}

static void H5_an_error_at_any_call_of_a_writer_leaves_what_was_there(void **state)
{
    fail_everywhere(*state, HF_EIO, work_write);
}

static void H6_a_full_device_at_any_call_of_a_writer_loses_nothing(void **state)
{
    fail_everywhere(*state, HF_ENOSPACE, work_write);
}

static void H5_an_error_at_any_call_of_a_receiver_leaves_what_was_there(void **state)
{
    struct world *world = *state;
    snapshot_make(world->leader, GROUP, 3, SIZE);
    fail_everywhere(world, HF_EIO, work_receive);
}

static void H6_a_full_device_at_any_call_of_a_receiver_loses_nothing(void **state)
{
    struct world *world = *state;
    snapshot_make(world->leader, GROUP, 3, SIZE);
    fail_everywhere(world, HF_ENOSPACE, work_receive);
}

static void H6_a_device_that_fills_up_gives_its_space_back_and_goes_on(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, 2);
    struct hf_snapshot_writer *writer = NULL;
    snapshot_assert_ok(write_index(world, 1));
    uint64_t used = sim_disk_used_bytes(world->host);
    begin.estimate_bytes = 5 * SNAPSHOT_CHUNK;
    sim_disk_set_capacity(world->host, used + 4 * SNAPSHOT_CHUNK);
    assert_int_equal(hf_snapshot_begin(world->store, &begin, &writer), HF_ENOSPACE); /* checked before anything */
    assert_int_equal(write_index(world, 2), HF_ENOSPACE);                            /* and met on the way */
    assert_int_equal(sim_disk_used_bytes(world->host), used);
    expect_only(world, 1);
    world_cut_power(world, 0);
    expect_only(world, 1);
    sim_disk_set_capacity(world->host, 0);
    snapshot_assert_ok(write_index(world, 2));
    assert_int_equal(snapshot_count(world->store, GROUP), 2);
}

/* ---- damage ---- */

static void snapshot_path(char *path, size_t size, const struct hf_snapshot_manifest *manifest)
{
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    hf_snapshot_id_format(manifest->id, id);
    snprintf(path, size, "%s/%016x-%016x-%s.snap", DIRECTORY, (unsigned)manifest->group, (unsigned)manifest->index, id);
}

static uint64_t file_bytes(struct world *world, struct hf_snapshot_id id)
{
    struct hf_snapshot_info info;
    snapshot_assert_ok(hf_snapshot_find(world->store, id, &info));
    return info.file_bytes;
}

static void H8_a_bit_wrong_anywhere_in_the_newest_falls_back_to_the_one_before_loudly(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest old = snapshot_make(world->store, GROUP, 1, SIZE);
    struct hf_snapshot_manifest new = snapshot_make(world->store, GROUP, 2, SIZE);
    struct hf_snapshot_manifest latest;
    char path[256];
    snapshot_path(path, sizeof(path), &new);
    uint64_t size = file_bytes(world, new.id);
    for (uint64_t at = 0; at < size; at += at + 64 < size && at > 64 ? 1 + size / 61 : 1) {
        memset(&world->events, 0, sizeof(world->events));
        assert_int_equal(sim_disk_flip_bit(world->host, path, at, at % 8), 0);
        hf_snapshot_store_close(world->store);
        world_open_store(world);
        snapshot_assert_ok(hf_snapshot_latest_verified(world->store, GROUP, 0, &latest));
        if (!hf_snapshot_id_equal(latest.id, old.id)) {
            fail_msg("a wrong bit at byte %u was not noticed", (unsigned)at);
        }
        assert_int_equal(world->events.counts[HF_SNAPSHOT_EVENT_DAMAGED], 1);
        assert_int_equal(world->events.counts[HF_SNAPSHOT_EVENT_FELL_BACK], 1);
        assert_int_equal(sim_disk_flip_bit(world->host, path, at, at % 8), 0);
    }
    hf_snapshot_store_close(world->store);
    world_open_store(world);
    snapshot_assert_ok(hf_snapshot_latest_verified(world->store, GROUP, 0, &latest));
    assert_int_equal(latest.index, 2);
}

static void H8_with_none_left_the_error_says_damage_and_not_absence(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest only = snapshot_make(world->store, GROUP, 1, SIZE);
    struct hf_snapshot_manifest latest;
    struct hf_snapshot_info info;
    char path[256];
    snapshot_path(path, sizeof(path), &only);
    assert_int_equal(sim_disk_flip_bit(world->host, path, 5000, 1), 0);
    snapshot_assert_ok(hf_snapshot_latest(world->store, GROUP, 0, &latest)); /* its ends are good */
    assert_int_equal(hf_snapshot_latest_verified(world->store, GROUP, 0, &latest), HF_ECORRUPT);
    assert_int_equal(hf_snapshot_latest(world->store, GROUP, 0, &latest), HF_ECORRUPT); /* now it is known */
    assert_int_equal(world->events.counts[HF_SNAPSHOT_EVENT_NONE_LEFT], 2);
    snapshot_assert_ok(hf_snapshot_find(world->store, only.id, &info));
    assert_true(info.damaged && info.reason[0] != '\0');
    /* A damaged one is in nobody's way: the same cut can be taken again, and then retention takes the bad one. */
    struct hf_snapshot_retention keep = {.keep_latest = 5};
    snapshot_assert_ok(write_index(world, 2));
    snapshot_assert_ok(hf_snapshot_clean(world->store, GROUP, &keep, 0, NULL));
    assert_int_equal(snapshot_count(world->store, GROUP), 1);
    snapshot_assert_ok(hf_snapshot_latest_verified(world->store, GROUP, 0, &latest));
    assert_int_equal(latest.index, 2);
}

static void H8_a_snapshot_cut_off_anywhere_is_damaged(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->store, GROUP, 1, SIZE);
    struct hf_snapshot_manifest latest;
    struct file *file = NULL;
    char path[256];
    snapshot_path(path, sizeof(path), &manifest);
    for (uint64_t size = file_bytes(world, manifest.id) - 1;; size -= size < 997 ? size : 997) {
        snapshot_assert_ok(file_open(sim_host_io(world->host), path, FILE_READ | FILE_WRITE, &file));
        snapshot_assert_ok(file_truncate(file, size));
        file_close(file);
        hf_snapshot_store_close(world->store);
        world_open_store(world);
        assert_int_equal(hf_snapshot_latest(world->store, GROUP, 0, &latest), HF_ECORRUPT);
        if (size == 0) {
            break;
        }
    }
}

/* The bytes of one chunk where another's should be, both right by themselves. */
static void H17_a_chunk_in_anothers_place_is_wrong(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->store, GROUP, 2, SIZE); /* noise: chunks of one size */
    struct hf_snapshot_reader *reader = NULL;
    struct file *file = NULL;
    char path[256];
    uint8_t chunk[SNAPSHOT_CHUNK + 24];
    uint8_t found[10];
    size_t got;
    snapshot_path(path, sizeof(path), &manifest);
    snapshot_assert_ok(file_open(sim_host_io(world->host), path, FILE_READ | FILE_WRITE, &file));
    snapshot_assert_ok(file_read(file, 64 + 3 * sizeof(chunk), chunk, sizeof(chunk), &got));
    snapshot_assert_ok(file_write(file, 64 + 1 * sizeof(chunk), chunk, sizeof(chunk)));
    file_close(file);
    snapshot_assert_ok(hf_snapshot_reader_open(world->store, manifest.id, &reader));
    snapshot_assert_ok(hf_snapshot_read_at(reader, 3 * SNAPSHOT_CHUNK, found, sizeof(found), &got));
    assert_int_equal(hf_snapshot_read_at(reader, SNAPSHOT_CHUNK, found, sizeof(found), &got), HF_ECORRUPT);
    hf_snapshot_reader_close(reader);
}

/* ---- a failed sync that the cache hides ---- */

/* The device keeps nothing of what the failed sync covered. */
static unsigned choose_nothing(void *arg, const struct sim_choice *choice)
{
    return 0;
}

static void H1_a_receiver_goes_on_from_what_the_device_has_and_not_from_the_cache(void **state)
{
    struct world *world = *state;
    size_t size = SIZE + SNAPSHOT_CHUNK; /* the last sync covers more than a sector */
    struct hf_snapshot_manifest manifest = snapshot_make(world->leader, GROUP, 2, size); /* noise */
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_reader *reader = NULL;
    struct sim_disk_failure failure = {.kind = SIM_DISK_SYNC, .count = 1, .error = HF_EIO, .path_part = ".part"};
    snapshot_assert_ok(hf_snapshot_reader_open(world->leader, manifest.id, &reader));
    snapshot_assert_ok(hf_snapshot_receive(world->store, &manifest, &receiver));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
    sim_disk_fail(world->host, &failure);
    sim_disk_set_chooser(world->host, choose_nothing, NULL);
    assert_int_equal(hf_snapshot_receive_finish(receiver, NULL, NULL), HF_EIO); /* what was received stays for now */
    sim_disk_fail_clear(world->host);
    snapshot_assert_ok(hf_snapshot_receive(world->store, &manifest, &receiver));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
    snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
    hf_snapshot_reader_close(reader);
    world_cut_power(world, 0);
    snapshot_assert_ok(hf_snapshot_verify(world->store, manifest.id, NULL, NULL));
    snapshot_assert_content(world->store, manifest.id, 2, size);
}

static void left_overs_of_a_killed_writer_are_removed_and_told(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, 2);
    struct hf_snapshot_writer *writer = NULL;
    struct buffer bytes = snapshot_bytes(2, SIZE);
    snapshot_assert_ok(write_index(world, 1));
    uint64_t used = sim_disk_used_bytes(world->host);
    snapshot_assert_ok(hf_snapshot_begin(world->store, &begin, &writer));
    snapshot_assert_ok(hf_snapshot_write(writer, bytes.data, bytes.size));
    buffer_close(&bytes);
    sim_host_kill(world->host);
    hf_snapshot_cancel(writer);
    hf_snapshot_store_close(world->store);
    sim_host_start(world->host);
    world_open_store(world);
    assert_int_equal(world->events.counts[HF_SNAPSHOT_EVENT_LEFT_OVER], 1);
    assert_int_equal(sim_disk_used_bytes(world->host), used);
    expect_only(world, 1);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
    trace_set_sink(say_nothing, NULL);
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL) {
        assert_int_equal(mutation_enable(mutation), 0);
    }
#endif
    const struct CMUnitTest tests[] = {
        CASE(H5_an_error_at_any_call_of_a_writer_leaves_what_was_there),
        CASE(H6_a_full_device_at_any_call_of_a_writer_loses_nothing),
        CASE(H5_an_error_at_any_call_of_a_receiver_leaves_what_was_there),
        CASE(H6_a_full_device_at_any_call_of_a_receiver_loses_nothing),
        CASE(H6_a_device_that_fills_up_gives_its_space_back_and_goes_on),
        CASE(H8_a_bit_wrong_anywhere_in_the_newest_falls_back_to_the_one_before_loudly),
        CASE(H8_with_none_left_the_error_says_damage_and_not_absence),
        CASE(H8_a_snapshot_cut_off_anywhere_is_damaged),
        CASE(H17_a_chunk_in_anothers_place_is_wrong),
        CASE(H1_a_receiver_goes_on_from_what_the_device_has_and_not_from_the_cache),
        CASE(left_overs_of_a_killed_writer_are_removed_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
