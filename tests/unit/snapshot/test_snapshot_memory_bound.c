/* Writing, reading, verifying and receiving a snapshot of 1 GiB takes at most 64 MiB more memory than an idle store,
 * whatever its size. (With HOLDFAST_TEST_SCALE=small: 64 MiB of it, and under sanitizers nothing is measured.) */
#include "contract/snapshot_fixture.h"

#include <sys/resource.h>
#include <unistd.h>

#define PIECE_SIZE    (1u << 20)
#define OVER_IDLE_KIB 65536
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Text that compresses well and is never the same. */
static void fill(uint8_t *piece, uint64_t number)
{
    for (size_t at = 0; at + 64 <= PIECE_SIZE; at += 64) {
        memset(piece + at, 'a' + (int)(at / 64 % 23), 64);
        bytes_put_u64(piece + at, number << 20 | at);
    }
}

static void any_size_takes_at_most_64_MiB_over_idle(void **unused)
{
    (void)unused;
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    uint64_t pieces = scale != NULL && strcmp(scale, "small") == 0 ? 64 : 1024;
    char directory[] = "/tmp/holdfast-snapshot-XXXXXX";
    assert_non_null(mkdtemp(directory));
    struct io *io = NULL;
    struct hf_snapshot_store *stores[2];
    char path[2][64];
    const struct hf_snapshot_options options = {
        .format = {.compression = HF_SNAPSHOT_ZSTD, .level = 1, .worker_threads = 2}, .reserve_bytes = 1};
    uint8_t *piece = memory_new(PIECE_SIZE);
    fill(piece, 0);
    snapshot_assert_ok(io_open_kernel(IO_BACKEND_AUTO, &io));
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof(path[i]), "%s/%d", directory, i);
        snapshot_assert_ok(snapshot_open(io, path[i], &options, &stores[i]));
    }
    long idle_kib = peak_kib();

    struct hf_snapshot_begin begin = snapshot_cut(1, 1);
    struct hf_snapshot_writer *writer = NULL;
    struct hf_snapshot_manifest manifest;
    snapshot_assert_ok(hf_snapshot_begin(stores[0], &begin, &writer));
    for (uint64_t i = 0; i < pieces; i++) {
        fill(piece, i);
        snapshot_assert_ok(hf_snapshot_write(writer, piece, PIECE_SIZE));
    }
    snapshot_assert_ok(hf_snapshot_finish(writer, pieces, &manifest));
    assert_int_equal(manifest.application_bytes, pieces * PIECE_SIZE);

    struct hf_snapshot_reader *reader = NULL;
    struct hf_snapshot_receiver *receiver = NULL;
    snapshot_assert_ok(hf_snapshot_verify(stores[0], manifest.id, NULL, NULL));
    snapshot_assert_ok(hf_snapshot_reader_open(stores[0], manifest.id, &reader));
    snapshot_assert_ok(hf_snapshot_receive(stores[1], &manifest, &receiver));
    snapshot_assert_ok(snapshot_send(reader, receiver, 0, manifest.chunk_count));
    snapshot_assert_ok(hf_snapshot_receive_finish(receiver, NULL, NULL));
    hf_snapshot_reader_close(reader);
    long over_kib = peak_kib() - idle_kib;
    printf("%u MiB of application bytes: %ld KiB over idle\n", (unsigned)pieces, over_kib);
    assert_true(SANITIZED || over_kib <= OVER_IDLE_KIB);

    for (int i = 0; i < 2; i++) {
        hf_snapshot_store_close(stores[i]);
    }
    char *command = text_format("rm -rf %s", directory);
    assert_int_equal(system(command), 0);
    free(command);
    free(piece);
    io_close(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_takes_at_most_64_MiB_over_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
