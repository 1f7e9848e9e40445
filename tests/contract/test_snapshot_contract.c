/* links: snapshot sim */
/* What every store of snapshots promises in include/holdfast/snapshot.h, run on each: files on both kernel backends and
 * on the simulator's, and memory. */
#include "contract/snapshot_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/mutation.h"
#include "sim/sim.h"

#define SIZE     (10 * SNAPSHOT_CHUNK + 123)
#define GROUP    UINT64_C(7)
#define OTHER    UINT64_C(8)
#define STORES   2
#define SIM_SEED 5

enum backend { BACKEND_URING, BACKEND_THREADS, BACKEND_SIM, BACKEND_MEMORY, BACKEND_COUNT };
static const char *const backend_names[] = {"io_uring", "pwritev2", "sim", "memory"};
static enum backend backend_now;

/* A world with two stores: of a leader and of a follower. */
struct world {
    struct sim *sim;
    struct io *io;
    char directory[64];
    struct hf_snapshot_options options;
    struct snapshot_events events;
    struct hf_snapshot_store *stores[STORES];
};

static void world_open_store(struct world *world, unsigned number)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%u", world->directory, number);
    snapshot_assert_ok(backend_now == BACKEND_MEMORY
                           ? snapshot_open_memory(world->io, &world->options, &world->stores[number])
                           : snapshot_open(world->io, path, &world->options, &world->stores[number]));
}

static void world_reopen(struct world *world, unsigned number)
{
    hf_snapshot_store_close(world->stores[number]);
    world_open_store(world, number);
}

static int world_open(void **state)
{
    struct world *world = memory_new(sizeof(*world));
    snprintf(world->directory, sizeof(world->directory), "/tmp/holdfast-snapshot-XXXXXX");
    if (backend_now == BACKEND_SIM) {
        world->sim = sim_open(SIM_SEED, NULL);
        world->io = sim_host_io(sim_host_add(world->sim, NULL, NULL));
    } else {
        enum io_backend io = backend_now == BACKEND_THREADS ? IO_BACKEND_THREADS : IO_BACKEND_AUTO;
        assert_int_equal(io_open_kernel(io, &world->io), 0);
        assert_non_null(mkdtemp(world->directory));
    }
    world->options = (struct hf_snapshot_options){
        .format = {.chunk_size_bytes = SNAPSHOT_CHUNK},
        .sync_every_bytes = 16384,
        .reserve_bytes = 1,
        .memory_keep = 100,
        .report = snapshot_count_event,
        .report_arg = &world->events,
    };
    world_open_store(world, 0);
    world_open_store(world, 1);
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;
    hf_snapshot_store_close(world->stores[0]);
    hf_snapshot_store_close(world->stores[1]);
    if (world->sim != NULL) {
        sim_close(world->sim);
    } else {
        char *command = text_format("rm -rf %s", world->directory);
        io_close(world->io);
        assert_int_equal(system(command), 0);
        free(command);
    }
    free(world);
    return 0;
}

/* ---- writing and reading ---- */

static void what_was_written_is_read_back_under_every_compression_and_worker_count(void **state)
{
    struct world *world = *state;
    static const size_t sizes[] = {0, 1, SNAPSHOT_CHUNK - 1, SNAPSHOT_CHUNK, SNAPSHOT_CHUNK + 1, SIZE};
    uint64_t index = 1;
    for (enum hf_snapshot_compression compression = HF_SNAPSHOT_NONE; compression <= HF_SNAPSHOT_ZSTD; compression++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++, index++) {
            struct hf_snapshot_format format = {.compression = compression, .worker_threads = (uint32_t)(i % 3)};
            struct hf_snapshot_begin begin = snapshot_cut(GROUP, index);
            struct hf_snapshot_manifest manifest;
            struct buffer bytes = snapshot_bytes(index, sizes[i]);
            begin.format = &format;
            snapshot_assert_ok(snapshot_write_cut(world->stores[0], &begin, &bytes, &manifest));
            assert_int_equal(manifest.application_bytes, sizes[i]);
            assert_int_equal(manifest.compression, compression);
            assert_int_equal(manifest.chunk_count, (sizes[i] + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK);
            assert_int_equal(manifest.entries, sizes[i] / 10);
            snapshot_assert_content(world->stores[0], manifest.id, index, sizes[i]);
            snapshot_assert_ok(hf_snapshot_verify(world->stores[0], manifest.id, NULL, NULL));
            buffer_close(&bytes);
        }
    }
}

static void equal_bytes_have_equal_digests_whatever_their_chunks_and_compression(void **state)
{
    struct world *world = *state;
    struct buffer bytes = snapshot_bytes(1, SIZE);
    struct hf_snapshot_manifest first, second;
    struct hf_snapshot_format format = {.compression = HF_SNAPSHOT_ZSTD, .chunk_size_bytes = 3 * SNAPSHOT_CHUNK};
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, 1);
    snapshot_assert_ok(snapshot_write_cut(world->stores[0], &begin, &bytes, &first));
    begin.group = OTHER;
    begin.format = &format;
    snapshot_assert_ok(snapshot_write_cut(world->stores[0], &begin, &bytes, &second));
    assert_memory_equal(first.digest, second.digest, sizeof(first.digest));
    assert_int_not_equal(first.chunk_count, second.chunk_count);
    assert_true(second.stored_bytes < second.application_bytes);
    buffer_close(&bytes);
}

static void any_range_is_read_and_the_sequence_goes_on_meanwhile(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 1, SIZE);
    struct buffer expected = snapshot_bytes(1, SIZE);
    struct hf_snapshot_reader *reader = NULL;
    struct rng rng;
    uint8_t found[3 * SNAPSHOT_CHUNK];
    rng_seed(&rng, 3);
    snapshot_assert_ok(hf_snapshot_reader_open(world->stores[0], manifest.id, &reader));
    for (uint64_t at = 0; at < SIZE;) {
        size_t got;
        size_t left = SIZE - (size_t)at;
        snapshot_assert_ok(hf_snapshot_read(reader, found, 1000, &got));
        assert_int_equal(got, left < 1000 ? left : 1000);
        assert_memory_equal(found, expected.data + at, got);
        at += got;
        uint64_t offset = rng_below(&rng, SIZE + 10);
        size_t size = rng_below(&rng, sizeof(found));
        size_t wanted = offset >= SIZE ? 0 : size < SIZE - offset ? size : (size_t)(SIZE - offset);
        snapshot_assert_ok(hf_snapshot_read_at(reader, offset, found, size, &got));
        assert_int_equal(got, wanted);
        assert_true(wanted == 0 || memcmp(found, expected.data + offset, wanted) == 0);
    }
    hf_snapshot_rewind(reader);
    snapshot_assert_stream(reader, &expected);
    hf_snapshot_reader_close(reader);
    buffer_close(&expected);
}

static void a_cancelled_snapshot_leaves_nothing_also_after_a_reopen(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_writer *writer = NULL;
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, 1);
    struct buffer bytes = snapshot_bytes(1, SIZE);
    struct hf_snapshot_progress progress;
    snapshot_assert_ok(hf_snapshot_begin(world->stores[0], &begin, &writer));
    snapshot_assert_ok(hf_snapshot_write(writer, bytes.data, bytes.size));
    hf_snapshot_writer_progress(writer, &progress);
    assert_int_equal(progress.application_bytes, SIZE);
    assert_int_equal(progress.chunks, SIZE / SNAPSHOT_CHUNK);
    hf_snapshot_cancel(writer);
    assert_int_equal(snapshot_count(world->stores[0], 0), 0);
    world_reopen(world, 0);
    assert_int_equal(snapshot_count(world->stores[0], 0), 0);
    assert_int_equal(world->events.counts[HF_SNAPSHOT_EVENT_LEFT_OVER], 0);
    buffer_close(&bytes);
}

static void L43_an_older_cut_is_ignored_and_the_same_index_with_another_term_refused(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_store *store = world->stores[0];
    struct buffer bytes = snapshot_bytes(1, 100);
    snapshot_make(store, GROUP, 10, 100);
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, 9);
    assert_int_equal(snapshot_write_cut(store, &begin, &bytes, NULL), HF_EEXISTS);
    begin.index = 10;
    assert_int_equal(snapshot_write_cut(store, &begin, &bytes, NULL), HF_EEXISTS);
    begin.term++;
    assert_int_equal(snapshot_write_cut(store, &begin, &bytes, NULL), HF_ECONFLICT);
    begin.group_incarnation++; /* a group that was made anew is another one */
    snapshot_assert_ok(snapshot_write_cut(store, &begin, &bytes, NULL));
    assert_int_equal(snapshot_count(store, GROUP), 2);
    buffer_close(&bytes);
}

static void H15_two_writers_of_one_cut_publish_one_snapshot(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, 10);
    struct hf_snapshot_writer *first, *second;
    snapshot_assert_ok(hf_snapshot_begin(world->stores[0], &begin, &first));
    snapshot_assert_ok(hf_snapshot_begin(world->stores[0], &begin, &second));
    snapshot_assert_ok(hf_snapshot_write(first, "one", 3));
    snapshot_assert_ok(hf_snapshot_write(second, "one", 3));
    snapshot_assert_ok(hf_snapshot_finish(second, 1, NULL));
    assert_int_equal(hf_snapshot_finish(first, 1, NULL), HF_EEXISTS);
    assert_int_equal(snapshot_count(world->stores[0], GROUP), 1);
}

static void limits_are_named_and_refused(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_writer *writer = NULL;
    uint8_t big[HF_SNAPSHOT_CONFIGURATION_SIZE_MAX + 1] = {0};
    static const struct hf_snapshot_format formats[] = {{.chunk_size_bytes = SNAPSHOT_CHUNK - 1},
                                                        {.chunk_size_bytes = HF_SNAPSHOT_CHUNK_SIZE_MAX + 1},
                                                        {.worker_threads = 5},
                                                        {.compression = 5},
                                                        {.compression = HF_SNAPSHOT_ZSTD, .level = 20}};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct hf_snapshot_begin begin = snapshot_cut(GROUP, 1);
        begin.format = &formats[i];
        assert_int_equal(hf_snapshot_begin(world->stores[0], &begin, &writer), HF_EINVALID);
    }
    struct hf_snapshot_begin begin = snapshot_cut(0, 1);
    assert_int_equal(hf_snapshot_begin(world->stores[0], &begin, &writer), HF_EINVALID);
    begin = snapshot_cut(GROUP, 0);
    assert_int_equal(hf_snapshot_begin(world->stores[0], &begin, &writer), HF_EINVALID);
    begin = snapshot_cut(GROUP, 1);
    begin.configuration = bytes_of(big, sizeof(big));
    assert_int_equal(hf_snapshot_begin(world->stores[0], &begin, &writer), HF_EINVALID);
    if (backend_now != BACKEND_MEMORY && backend_now != BACKEND_SIM) {
        begin = snapshot_cut(GROUP, 1);
        begin.estimate_bytes = UINT64_C(1) << 60;
        assert_int_equal(hf_snapshot_begin(world->stores[0], &begin, &writer), HF_ENOSPACE);
    }
    assert_int_equal(snapshot_count(world->stores[0], 0), 0);
}

/* ---- listing, pins, retention ---- */

static void the_list_is_newest_first_and_survives_a_reopen(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_info *list = NULL;
    size_t count;
    for (uint64_t index = 1; index <= 3; index++) {
        snapshot_make(world->stores[0], OTHER, index * 10, 50);
        snapshot_make(world->stores[0], GROUP, index * 100, 5000);
    }
    for (int round = 0; round < (backend_now == BACKEND_MEMORY ? 1 : 2); round++) {
        struct hf_snapshot_manifest latest;
        snapshot_assert_ok(hf_snapshot_list(world->stores[0], 0, &list, &count));
        assert_int_equal(count, 6);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(list[i].manifest.group, i < 3 ? GROUP : OTHER);
            assert_int_equal(list[i].manifest.index, (3 - i % 3) * (i < 3 ? 100 : 10));
            assert_int_equal(list[i].manifest.configuration_size, strlen("members: 1 2 3"));
            assert_memory_equal(list[i].manifest.configuration, "members: 1 2 3", 14);
            assert_false(list[i].damaged || list[i].pinned);
            assert_int_equal(list[i].origin, HF_SNAPSHOT_LOCAL);
            assert_true(list[i].file_bytes > list[i].manifest.stored_bytes);
        }
        hf_snapshot_list_free(list);
        snapshot_assert_ok(hf_snapshot_latest(world->stores[0], GROUP, SNAPSHOT_INCARNATION, &latest));
        assert_int_equal(latest.index, 300);
        assert_int_equal(hf_snapshot_latest(world->stores[0], GROUP, 1, &latest), HF_ENOTFOUND);
        assert_int_equal(hf_snapshot_latest(world->stores[0], 99, 0, &latest), HF_ENOTFOUND);
        snapshot_assert_ok(hf_snapshot_latest_verified(world->stores[0], OTHER, 0, &latest));
        assert_int_equal(latest.index, 30);
        if (backend_now != BACKEND_MEMORY) {
            world_reopen(world, 0);
        }
    }
}

static void retention_combines_its_limits_and_never_takes_the_newest(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_store *store = world->stores[0];
    /* created_ms is 1000 + index */
    static const struct {
        struct hf_snapshot_retention retention;
        uint64_t now_ms;
        size_t left;
    } rows[] = {
        {{0}, 10000, 8},
        {{.max_age_ms = 100}, 1105, 4 + 4}, /* none is older */
        {{.max_age_ms = 100}, 1106, 3 + 4},
        {{.keep_latest = 3}, 10000, 3 + 3},
        {{.keep_latest = 3, .max_bytes = 12000}, 10000, 2 + 2},
        {{.max_bytes = 1}, 10000, 1 + 1},
        {{.max_age_ms = 1}, 10000, 1 + 1},
    };
    for (uint64_t i = 0; i < 4; i++) { /* bytes that do not shrink: index % 3 is 2 */
        snapshot_make(store, GROUP, 5 + 3 * i, 5000);
        snapshot_make(store, OTHER, 101 + 3 * i, 5000);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t removed = 99;
        size_t before = snapshot_count(store, 0);
        snapshot_assert_ok(hf_snapshot_clean(store, 0, &rows[i].retention, rows[i].now_ms, &removed));
        (void)before;
        assert_int_equal(before - removed, snapshot_count(store, 0));
        if (i >= 3) {
            assert_true(snapshot_count(store, GROUP) >= 1 && snapshot_count(store, OTHER) >= 1);
        }
        assert_int_equal(snapshot_count(store, 0), rows[i].left);
    }
    struct hf_snapshot_manifest latest;
    snapshot_assert_ok(hf_snapshot_latest(store, GROUP, 0, &latest));
    assert_int_equal(latest.index, 14);
}

static void pins_keep_retention_and_deletion_away_and_readers_outlive_deletion(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_store *store = world->stores[0];
    struct hf_snapshot_retention one = {.keep_latest = 1};
    struct hf_snapshot_manifest old = snapshot_make(store, GROUP, 1, SIZE);
    snapshot_make(store, GROUP, 2, SIZE);
    snapshot_assert_ok(hf_snapshot_pin(store, old.id));
    snapshot_assert_ok(hf_snapshot_pin(store, old.id));
    hf_snapshot_unpin(store, old.id);
    snapshot_assert_ok(hf_snapshot_clean(store, GROUP, &one, 0, NULL));
    assert_int_equal(hf_snapshot_delete(store, old.id), HF_EBUSY);
    assert_int_equal(snapshot_count(store, GROUP), 2);
    hf_snapshot_unpin(store, old.id);

    struct hf_snapshot_reader *reader = NULL;
    struct buffer expected = snapshot_bytes(1, SIZE);
    snapshot_assert_ok(hf_snapshot_reader_open(store, old.id, &reader));
    snapshot_assert_ok(hf_snapshot_clean(store, GROUP, &one, 0, NULL));
    assert_int_equal(snapshot_count(store, GROUP), 2);
    snapshot_assert_ok(hf_snapshot_delete(store, old.id));
    assert_int_equal(snapshot_count(store, GROUP), 1);
    assert_int_equal(hf_snapshot_delete(store, old.id), HF_ENOTFOUND);
    snapshot_assert_stream(reader, &expected);
    hf_snapshot_reader_close(reader);
    buffer_close(&expected);
}

/* ---- receiving ---- */

static struct hf_snapshot_reader *leader_reader(struct world *world, struct hf_snapshot_id id)
{
    struct hf_snapshot_reader *reader = NULL;
    snapshot_assert_ok(hf_snapshot_reader_open(world->stores[0], id, &reader));
    return reader;
}

static void a_transfer_resumes_also_after_a_reopen_and_takes_chunks_in_any_order(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_reader *reader = leader_reader(world, manifest.id);
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_info info;
    uint32_t count = manifest.chunk_count;
    snapshot_assert_ok(hf_snapshot_receive(world->stores[1], &manifest, &receiver));
    assert_int_equal(hf_snapshot_receiver_missing(receiver, 0), 0);
    snapshot_assert_ok(snapshot_send(reader, receiver, count - 1, count));
    snapshot_assert_ok(snapshot_send(reader, receiver, 3, 6));
    snapshot_assert_ok(snapshot_send(reader, receiver, 4, 5)); /* a duplicate is harmless */
    struct hf_snapshot_progress progress;
    hf_snapshot_receiver_progress(receiver, &progress);
    assert_int_equal(progress.chunks, 4);
    assert_int_equal(progress.application_bytes, 3 * SNAPSHOT_CHUNK + SIZE % SNAPSHOT_CHUNK);
    assert_int_equal(hf_snapshot_receive_finish(receiver, NULL, NULL), HF_EINVALID);
    hf_snapshot_receiver_close(receiver);
    if (backend_now != BACKEND_MEMORY) {
        world_reopen(world, 1);
    }
    assert_int_equal(snapshot_count(world->stores[1], 0), 0);
    snapshot_assert_ok(hf_snapshot_partial(world->stores[1], GROUP, &info));
    assert_true(hf_snapshot_id_equal(info.manifest.id, manifest.id));
    assert_int_equal(hf_snapshot_partial(world->stores[1], OTHER, &info), HF_ENOTFOUND);

    snapshot_assert_ok(hf_snapshot_receive(world->stores[1], &manifest, &receiver));
    struct hf_snapshot_receiver *second = NULL;
    assert_int_equal(hf_snapshot_receive(world->stores[1], &manifest, &second), HF_EBUSY);
    assert_int_equal(hf_snapshot_partial_drop(world->stores[1], GROUP), HF_EBUSY);
    assert_int_equal(hf_snapshot_receiver_missing(receiver, 3), 6);
    while (hf_snapshot_receiver_missing(receiver, 0) < count) {
        uint32_t missing = hf_snapshot_receiver_missing(receiver, 0);
        snapshot_assert_ok(snapshot_send(reader, receiver, missing, missing + 1));
    }
    snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
    hf_snapshot_reader_close(reader);
    snapshot_assert_content(world->stores[1], manifest.id, 4, SIZE);
    assert_int_equal(hf_snapshot_partial(world->stores[1], GROUP, &info), HF_ENOTFOUND);
    assert_int_equal(hf_snapshot_receive(world->stores[1], &manifest, &receiver), HF_EEXISTS);
}

static void H7_a_received_snapshot_is_passed_by_until_it_is_accepted(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_store *follower = world->stores[1];
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 9, SIZE);
    struct hf_snapshot_manifest latest;
    struct hf_snapshot_info info;
    struct hf_snapshot_receiver *receiver = NULL;
    snapshot_make(follower, GROUP, 5, 100);
    struct hf_snapshot_reader *reader = leader_reader(world, manifest.id);
    snapshot_assert_ok(hf_snapshot_receive(follower, &manifest, &receiver));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
    snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
    hf_snapshot_reader_close(reader);
    for (int round = 0; round < (backend_now == BACKEND_MEMORY ? 1 : 2); round++) {
        snapshot_assert_ok(hf_snapshot_find(world->stores[1], manifest.id, &info));
        assert_int_equal(info.origin, HF_SNAPSHOT_RECEIVED);
        snapshot_assert_ok(hf_snapshot_latest(world->stores[1], GROUP, 0, &latest));
        assert_int_equal(latest.index, 5);
        snapshot_assert_content(world->stores[1], manifest.id, 9, SIZE); /* the reset record names it: opened by id */
        if (backend_now != BACKEND_MEMORY) {
            world_reopen(world, 1);
        }
    }
    snapshot_assert_ok(hf_snapshot_accept(world->stores[1], manifest.id));
    snapshot_assert_ok(hf_snapshot_accept(world->stores[1], manifest.id));
    if (backend_now != BACKEND_MEMORY) {
        world_reopen(world, 1);
    }
    snapshot_assert_ok(hf_snapshot_latest(world->stores[1], GROUP, 0, &latest));
    assert_true(hf_snapshot_id_equal(latest.id, manifest.id));
}

static void H17_wrong_chunks_are_refused_on_arrival_and_the_transfer_goes_on(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_manifest other = snapshot_make(world->stores[0], OTHER, 4, SIZE);
    struct hf_snapshot_reader *reader = leader_reader(world, manifest.id);
    struct hf_snapshot_reader *other_reader = leader_reader(world, other.id);
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_bytes raw;
    snapshot_assert_ok(hf_snapshot_receive(world->stores[1], &manifest, &receiver));
    snapshot_assert_ok(hf_snapshot_read_raw(other_reader, 2, &raw)); /* right bytes of another snapshot */
    assert_int_equal(hf_snapshot_put(receiver, raw), HF_ECORRUPT);
    snapshot_assert_ok(hf_snapshot_read_raw(reader, 2, &raw));
    uint8_t *bad = memory_new(raw.size);
    for (size_t i = 0; i < raw.size; i += 1 + raw.size / 50) {
        memcpy(bad, raw.data, raw.size);
        bad[i] ^= 16;
        assert_int_equal(hf_snapshot_put(receiver, bytes_of(bad, raw.size)), HF_ECORRUPT);
    }
    memcpy(bad, raw.data, raw.size);
    for (size_t size = 0; size < raw.size; size += 1 + size) {
        assert_int_equal(hf_snapshot_put(receiver, bytes_of(bad, size)), HF_ECORRUPT);
    }
    bytes_put_u32(bad + 12, 3); /* its number changed: the checksum covers it */
    assert_int_equal(hf_snapshot_put(receiver, bytes_of(bad, raw.size)), HF_ECORRUPT);
    assert_int_equal(hf_snapshot_receiver_missing(receiver, 2), 2);
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
    snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
    snapshot_assert_content(world->stores[1], manifest.id, 4, SIZE);
    free(bad);
    hf_snapshot_reader_close(reader);
    hf_snapshot_reader_close(other_reader);
}

static void H8_a_manifest_that_lies_about_the_digest_is_found_before_publication(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_reader *reader = leader_reader(world, manifest.id);
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_info info;
    struct hf_snapshot_manifest lie = manifest;
    lie.digest[3] ^= 1;
    snapshot_assert_ok(hf_snapshot_receive(world->stores[1], &lie, &receiver));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
    assert_int_equal(hf_snapshot_receive_finish(receiver, NULL, NULL), HF_ECORRUPT);
    assert_int_equal(snapshot_count(world->stores[1], 0), 0);
    assert_int_equal(hf_snapshot_partial(world->stores[1], GROUP, &info), HF_ENOTFOUND);
    hf_snapshot_reader_close(reader);
}

/* A state is built while the file is read for the one time before it is published. */
static void H8_what_was_received_is_read_before_its_publication_and_its_end_shows_a_lie(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_reader *reader = leader_reader(world, manifest.id);
    for (unsigned lies = 0; lies < 2; lies++) {
        struct hf_snapshot_receiver *receiver = NULL;
        struct hf_snapshot_manifest told = manifest;
        struct hf_snapshot_info info;
        struct hf_bytes chunk;
        uint64_t bytes = 0;
        told.digest[3] ^= lies == 0 ? 1 : 0;
        snapshot_assert_ok(hf_snapshot_receive(world->stores[1], &told, &receiver));
        assert_int_equal(hf_snapshot_receiver_read(receiver, &chunk), HF_EINVALID); /* nothing is here yet */
        snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
        int rc;
        do {
            rc = hf_snapshot_receiver_read(receiver, &chunk);
            bytes += chunk.size;
            assert_int_equal(snapshot_count(world->stores[1], 0), 0); /* not listed */
        } while (rc == 0 && chunk.size > 0);
        assert_true(bytes == manifest.application_bytes);
        assert_int_equal(rc, lies == 0 ? HF_ECORRUPT : 0);
        if (lies == 0) {
            hf_snapshot_receiver_cancel(receiver);
            assert_int_equal(hf_snapshot_partial(world->stores[1], GROUP, &info), HF_ENOTFOUND);
        } else {
            snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
            snapshot_assert_content(world->stores[1], manifest.id, 4, SIZE);
        }
    }
    hf_snapshot_reader_close(reader);
}

static void H15_a_newer_transfer_drops_the_older_one_and_an_overtaken_one_is_refused(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_store *follower = world->stores[1];
    struct hf_snapshot_manifest first = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_manifest second = snapshot_make(world->stores[0], GROUP, 5, SIZE);
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_info info;
    struct hf_snapshot_reader *reader = leader_reader(world, first.id);
    snapshot_assert_ok(hf_snapshot_receive(follower, &first, &receiver));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, 3));
    hf_snapshot_receiver_close(receiver);
    hf_snapshot_reader_close(reader);
    reader = leader_reader(world, second.id);
    snapshot_assert_ok(hf_snapshot_receive(follower, &second, &receiver));
    snapshot_assert_ok(hf_snapshot_partial(follower, GROUP, &info));
    assert_true(hf_snapshot_id_equal(info.manifest.id, second.id));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, second.chunk_count));
    snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
    hf_snapshot_reader_close(reader);
    snapshot_assert_ok(hf_snapshot_accept(follower, second.id));
    assert_int_equal(hf_snapshot_receive(follower, &first, &receiver), HF_EEXISTS);
    first.index = second.index;
    first.term = second.term + 1;
    assert_int_equal(hf_snapshot_receive(follower, &first, &receiver), HF_ECONFLICT);
    first.term = second.term;
    first.index = second.index + 1;
    snapshot_assert_ok(hf_snapshot_receive(follower, &first, &receiver));
    hf_snapshot_receiver_cancel(receiver);
    assert_int_equal(hf_snapshot_partial(follower, GROUP, &info), HF_ENOTFOUND);
}

/* ---- import, export ---- */

struct pipe {
    struct buffer bytes;
    size_t taken;
};

static int pipe_sink(void *arg, const void *data, size_t size)
{
    buffer_append(&((struct pipe *)arg)->bytes, data, size);
    return 0;
}

static int pipe_source(void *arg, void *target, size_t size, size_t *got)
{
    struct pipe *pipe = arg;
    size_t left = pipe->bytes.size - pipe->taken;
    *got = size < left ? size : left;
    *got = *got > 700 ? 700 : *got;
    memcpy(target, pipe->bytes.data + pipe->taken, *got);
    pipe->taken += *got;
    return 0;
}

static void an_exported_stream_is_imported_whole_or_not_at_all(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_manifest imported;
    struct pipe pipe = {0};
    snapshot_assert_ok(hf_snapshot_export(world->stores[0], manifest.id, pipe_sink, &pipe, NULL, NULL));
    size_t whole = pipe.bytes.size;
    for (size_t size = 0; size < whole; size += 1 + whole / 97) { /* cut anywhere */
        pipe.bytes.size = size;
        pipe.taken = 0;
        assert_int_equal(hf_snapshot_import(world->stores[1], pipe_source, &pipe, NULL, NULL, NULL), HF_ECORRUPT);
    }
    pipe.bytes.size = whole;
    for (size_t at = 0; at < whole; at += 1 + whole / 97) { /* a bit wrong anywhere */
        pipe.taken = 0;
        pipe.bytes.data[at] ^= 4;
        int rc = hf_snapshot_import(world->stores[1], pipe_source, &pipe, NULL, NULL, NULL);
        assert_true(rc == HF_ECORRUPT || rc == HF_EVERSION);
        pipe.bytes.data[at] ^= 4;
    }
    assert_int_equal(snapshot_count(world->stores[1], 0), 0);
    pipe.taken = 0;
    snapshot_assert_ok(hf_snapshot_import(world->stores[1], pipe_source, &pipe, NULL, NULL, &imported));
    assert_int_equal(pipe.taken, whole);
    assert_memory_equal(imported.digest, manifest.digest, sizeof(manifest.digest));
    snapshot_assert_content(world->stores[1], manifest.id, 4, SIZE);
    pipe.taken = 0;
    assert_int_equal(hf_snapshot_import(world->stores[1], pipe_source, &pipe, NULL, NULL, NULL), HF_EEXISTS);
    buffer_close(&pipe.bytes);
}

static void a_file_is_exported_read_by_itself_and_imported(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_reader *reader = NULL;
    struct buffer expected = snapshot_bytes(4, SIZE);
    struct io *memory_io = backend_now == BACKEND_MEMORY ? NULL : world->io;
    char path[128];
    snprintf(path, sizeof(path), "%s/exported", world->directory);
    snapshot_assert_ok(hf_snapshot_export_file(world->stores[0], manifest.id, path, NULL, NULL));
    assert_int_equal(hf_snapshot_export_file(world->stores[0], manifest.id, path, NULL, NULL), HF_EEXISTS);
    if (memory_io != NULL) {
        snapshot_assert_ok(snapshot_reader_open_path(memory_io, path, &reader));
        snapshot_assert_stream(reader, &expected);
        hf_snapshot_reader_close(reader);
        snapshot_assert_ok(hf_snapshot_import_file(world->stores[1], path, NULL, NULL, NULL));
        snapshot_assert_content(world->stores[1], manifest.id, 4, SIZE);
    }
    buffer_close(&expected);
}

static int watch_stop(void *arg, uint64_t done, uint64_t total)
{
    unsigned *calls = arg;
    assert_true(total == 0 || done <= total);
    return ++*calls == 3 ? HF_ETIMEOUT : 0;
}

static void a_watch_stops_the_work_and_its_word_is_returned(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_manifest manifest = snapshot_make(world->stores[0], GROUP, 4, SIZE);
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_info info;
    unsigned calls = 0;
    assert_int_equal(hf_snapshot_verify(world->stores[0], manifest.id, watch_stop, &calls), HF_ETIMEOUT);
    snapshot_assert_ok(hf_snapshot_find(world->stores[0], manifest.id, &info));
    assert_false(info.damaged || info.verified);
    struct hf_snapshot_reader *reader = leader_reader(world, manifest.id);
    snapshot_assert_ok(hf_snapshot_receive(world->stores[1], &manifest, &receiver));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
    calls = 0;
    assert_int_equal(hf_snapshot_receive_finish(receiver, watch_stop, &calls), HF_ETIMEOUT);
    snapshot_assert_ok(hf_snapshot_receive(world->stores[1], &manifest, &receiver)); /* nothing has to be sent again */
    assert_int_equal(hf_snapshot_receiver_missing(receiver, 0), manifest.chunk_count);
    snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
    hf_snapshot_reader_close(reader);
}

/* ---- only where there is a directory, only in memory ---- */

static void foreign_files_are_left_alone_and_the_directory_has_one_owner(void **state)
{
    struct world *world = *state;
    struct hf_snapshot_store *second = NULL;
    struct file *file = NULL;
    char path[128];
    if (backend_now == BACKEND_MEMORY) {
        return;
    }
    snprintf(path, sizeof(path), "%s/0", world->directory);
    assert_int_equal(snapshot_open(world->io, path, &world->options, &second), HF_EBUSY);
    struct hf_snapshot_options tool = world->options;
    tool.read_only = true;
    snapshot_make(world->stores[0], GROUP, 4, SIZE);
    snapshot_assert_ok(snapshot_open(world->io, path, &tool, &second));
    assert_int_equal(snapshot_count(second, 0), 1);
    struct hf_snapshot_begin begin = snapshot_cut(GROUP, 6);
    struct hf_snapshot_writer *writer = NULL;
    assert_int_equal(hf_snapshot_begin(second, &begin, &writer), HF_EINVALID);
    hf_snapshot_store_close(second);
    static const char *const names[] = {"notes.txt", "0000000000000001-0000000000000001-xyz.snap", "x.tmp"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/0/%s", world->directory, names[i]);
        snapshot_assert_ok(file_open(world->io, path, FILE_WRITE | FILE_CREATE, &file));
        file_close(file);
    }
    world_reopen(world, 0);
    assert_int_equal(snapshot_count(world->stores[0], 0), 1);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/0/%s", world->directory, names[i]);
        snapshot_assert_ok(file_open(world->io, path, FILE_READ, &file));
        file_close(file);
    }
}

static void a_memory_store_keeps_the_newest_of_each_group(void **state)
{
    struct world *world = *state;
    if (backend_now != BACKEND_MEMORY) {
        return;
    }
    world->options.memory_keep = 2;
    world_reopen(world, 0);
    for (uint64_t index = 1; index <= 5; index++) {
        snapshot_make(world->stores[0], GROUP, index, SIZE);
        snapshot_make(world->stores[0], OTHER, index, 10);
    }
    assert_int_equal(snapshot_count(world->stores[0], GROUP), 2);
    assert_int_equal(snapshot_count(world->stores[0], OTHER), 2);
    struct hf_snapshot_manifest latest;
    snapshot_assert_ok(hf_snapshot_latest_verified(world->stores[0], GROUP, 0, &latest));
    assert_int_equal(latest.index, 5);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL) {
        assert_int_equal(mutation_enable(mutation), 0);
    }
#endif
    const struct CMUnitTest tests[] = {
        CASE(what_was_written_is_read_back_under_every_compression_and_worker_count),
        CASE(equal_bytes_have_equal_digests_whatever_their_chunks_and_compression),
        CASE(any_range_is_read_and_the_sequence_goes_on_meanwhile),
        CASE(a_cancelled_snapshot_leaves_nothing_also_after_a_reopen),
        CASE(L43_an_older_cut_is_ignored_and_the_same_index_with_another_term_refused),
        CASE(H15_two_writers_of_one_cut_publish_one_snapshot),
        CASE(limits_are_named_and_refused),
        CASE(the_list_is_newest_first_and_survives_a_reopen),
        CASE(retention_combines_its_limits_and_never_takes_the_newest),
        CASE(pins_keep_retention_and_deletion_away_and_readers_outlive_deletion),
        CASE(a_transfer_resumes_also_after_a_reopen_and_takes_chunks_in_any_order),
        CASE(H7_a_received_snapshot_is_passed_by_until_it_is_accepted),
        CASE(H17_wrong_chunks_are_refused_on_arrival_and_the_transfer_goes_on),
        CASE(H8_a_manifest_that_lies_about_the_digest_is_found_before_publication),
        CASE(H8_what_was_received_is_read_before_its_publication_and_its_end_shows_a_lie),
        CASE(H15_a_newer_transfer_drops_the_older_one_and_an_overtaken_one_is_refused),
        CASE(an_exported_stream_is_imported_whole_or_not_at_all),
        CASE(a_file_is_exported_read_by_itself_and_imported),
        CASE(a_watch_stops_the_work_and_its_word_is_returned),
        CASE(foreign_files_are_left_alone_and_the_directory_has_one_owner),
        CASE(a_memory_store_keeps_the_newest_of_each_group),
    };
    int failed = 0;
    for (backend_now = 0; backend_now < BACKEND_COUNT; backend_now++) {
        struct io *io = NULL;
        if (backend_now == BACKEND_URING && io_open_kernel(IO_BACKEND_URING, &io) != 0) {
            printf("io_uring is not allowed here\n");
            continue;
        }
        io_close(io);
        failed += cmocka_run_group_tests_name(backend_names[backend_now], tests, NULL, NULL);
    }
    return failed;
}
