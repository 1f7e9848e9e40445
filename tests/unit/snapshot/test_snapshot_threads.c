/* Store functions from several threads at once: writers of their own groups, with workers, and meanwhile somebody who
 * lists, verifies, pins, cleans and deletes. Under the thread sanitizer this shows that the two locks cover what they
 * should. */
#include "contract/snapshot_fixture.h"

#include <pthread.h>
#include <unistd.h>

#define WRITERS 3u
#define ROUNDS  10u
#define SIZE    (5 * SNAPSHOT_CHUNK + 9)

struct writer {
    struct hf_snapshot_store *store;
    uint64_t group;
    bool done; /* atomic */
    pthread_t thread;
};

static void *write_rounds(void *arg)
{
    struct writer *writer = arg;
    for (uint64_t index = 1; index <= ROUNDS; index++) {
        struct hf_snapshot_manifest manifest = snapshot_make(writer->store, writer->group, index, SIZE);
        snapshot_assert_ok(hf_snapshot_pin(writer->store, manifest.id));
        snapshot_assert_content(writer->store, manifest.id, index, SIZE);
        hf_snapshot_unpin(writer->store, manifest.id);
    }
    __atomic_store_n(&writer->done, true, __ATOMIC_RELEASE);
    return NULL;
}

/* What others may do to a list that changes under them. */
static void disturb(struct hf_snapshot_store *store)
{
    const struct hf_snapshot_retention keep = {.keep_latest = 2};
    struct hf_snapshot_info *list = NULL;
    size_t count;
    snapshot_assert_ok(hf_snapshot_list(store, 0, &list, &count));
    for (size_t i = 0; i < count; i++) {
        struct hf_snapshot_manifest latest;
        int rc = hf_snapshot_verify(store, list[i].manifest.id, NULL, NULL);
        assert_true(rc == 0 || rc == HF_ENOTFOUND);
        snapshot_assert_ok(hf_snapshot_latest(store, list[i].manifest.group, 0, &latest));
        assert_true(latest.index >= list[i].manifest.index);
        if (latest.index > list[i].manifest.index && i % 3 == 0) {
            rc = hf_snapshot_delete(store, list[i].manifest.id);
            assert_true(rc == 0 || rc == HF_ENOTFOUND || rc == HF_EBUSY);
        }
    }
    hf_snapshot_list_free(list);
    snapshot_assert_ok(hf_snapshot_clean(store, 0, &keep, 0, NULL));
}

static void writers_and_others_share_a_store(void **unused)
{
    (void)unused;
    char directory[] = "/tmp/holdfast-snapshot-XXXXXX";
    const struct hf_snapshot_options options = {.format = {.chunk_size_bytes = SNAPSHOT_CHUNK, .worker_threads = 2},
                                                .reserve_bytes = 1};
    struct writer writers[WRITERS];
    struct hf_snapshot_store *store = NULL;
    struct io *io = NULL;
    bool done = false;
    assert_non_null(mkdtemp(directory));
    snapshot_assert_ok(io_open_kernel(IO_BACKEND_AUTO, &io));
    snapshot_assert_ok(snapshot_open(io, directory, &options, &store));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = store, .group = i + 1};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_rounds, &writers[i]), 0);
    }
    while (!done) {
        disturb(store);
        done = true;
        for (unsigned i = 0; i < WRITERS; i++) {
            done = done && __atomic_load_n(&writers[i].done, __ATOMIC_ACQUIRE);
        }
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
    }
    disturb(store);
    for (uint64_t group = 1; group <= WRITERS; group++) {
        struct hf_snapshot_manifest latest;
        snapshot_assert_ok(hf_snapshot_latest_verified(store, group, 0, &latest));
        assert_int_equal(latest.index, ROUNDS);
        assert_true(snapshot_count(store, group) <= 2);
    }
    hf_snapshot_store_close(store);
    io_close(io);
    char *command = text_format("rm -rf %s", directory);
    assert_int_equal(system(command), 0);
    free(command);
}

struct hand_over {
    struct hf_snapshot_writer *writer;
    const struct buffer *bytes;
};

static void *write_half(void *arg)
{
    struct hand_over *half = arg;
    snapshot_assert_ok(hf_snapshot_write(half->writer, half->bytes->data, half->bytes->size / 2));
    return NULL;
}

/* As a pool of workers does that takes up a writer's steps as they come; the first thread is gone at the end. */
static void a_writer_with_workers_goes_from_thread_to_thread(void **unused)
{
    (void)unused;
    char directory[] = "/tmp/holdfast-snapshot-XXXXXX";
    const struct hf_snapshot_options options = {.format = {.chunk_size_bytes = SNAPSHOT_CHUNK, .worker_threads = 2},
                                                .reserve_bytes = 1};
    struct hf_snapshot_begin begin = snapshot_cut(1, 1);
    struct buffer bytes = snapshot_bytes(1, 40 * SNAPSHOT_CHUNK);
    struct hf_snapshot_manifest manifest;
    struct hf_snapshot_store *store = NULL;
    struct hand_over half = {.bytes = &bytes};
    struct io *io = NULL;
    pthread_t thread;
    assert_non_null(mkdtemp(directory));
    snapshot_assert_ok(io_open_kernel(IO_BACKEND_AUTO, &io));
    snapshot_assert_ok(snapshot_open(io, directory, &options, &store));
    snapshot_assert_ok(hf_snapshot_begin(store, &begin, &half.writer));
    assert_int_equal(pthread_create(&thread, NULL, write_half, &half), 0);
    pthread_join(thread, NULL);
    size_t rest = bytes.size - bytes.size / 2;
    snapshot_assert_ok(hf_snapshot_write(half.writer, bytes.data + bytes.size / 2, rest));
    snapshot_assert_ok(hf_snapshot_finish(half.writer, 1, &manifest));
    snapshot_assert_content(store, manifest.id, 1, bytes.size);
    hf_snapshot_store_close(store);
    io_close(io);
    buffer_close(&bytes);
    char *command = text_format("rm -rf %s", directory);
    assert_int_equal(system(command), 0);
    free(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_and_others_share_a_store),
        cmocka_unit_test(a_writer_with_workers_goes_from_thread_to_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
