/* links: snapshot */
/* Snapshot files of format version 1, one per compression, as they were written when that version was new: every later
 * program must read exactly this. The files are kept for ever; a new version adds files. They were made by
 * HOLDFAST_GOLDEN_WRITE=FOLDER ./test_snapshot_golden, and are made again only to add a file. The compressed bytes are
 * the libraries' of that day and need not come out the same; what they hold must. */
#include "contract/snapshot_fixture.h"

#define GROUP  UINT64_C(0x0102030405060708)
#define INDEX  UINT64_C(0x1112131415161718)
#define BYTES  (2 * SNAPSHOT_CHUNK + 1000)
#define SEED   1 /* text */
#define DIGEST "b5b4dc2273e643ae4a53c13b30752959"

static const char *const names[] = {"snapshot_v1_none.snap", "snapshot_v1_gzip.snap", "snapshot_v1_lz4.snap",
                                    "snapshot_v1_zstd.snap"};
#define NAME_COUNT (sizeof(names) / sizeof(names[0]))

static struct hf_snapshot_begin cut_v1(void)
{
    return (struct hf_snapshot_begin){.group = GROUP,
                                      .group_incarnation = UINT64_C(0x2122232425262728),
                                      .index = INDEX,
                                      .term = UINT64_C(0x3132333435363738),
                                      .configuration_index = UINT64_C(0x4142434445464748),
                                      .configuration = bytes_of_text("the members of version 1"),
                                      .created_ms = UINT64_C(1700000000123)};
}

static char *golden_path(const char *name)
{
    return text_format("%.*s/%s", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__, name);
}

static struct io *open_io(void)
{
    struct io *io = NULL;
    snapshot_assert_ok(io_open_kernel(IO_BACKEND_THREADS, &io));
    return io;
}

static void files_of_version_1_are_read_as_they_were_written(void **unused)
{
    (void)unused;
    struct hf_snapshot_begin cut = cut_v1();
    struct buffer expected = snapshot_bytes(SEED, BYTES);
    struct io *io = open_io();
    for (size_t i = 0; i < NAME_COUNT; i++) {
        struct hf_snapshot_reader *reader = NULL;
        char *path = golden_path(names[i]);
        snapshot_assert_ok(snapshot_reader_open_path(io, path, &reader));
        const struct hf_snapshot_manifest *manifest = hf_snapshot_reader_manifest(reader);
        char digest[33] = "";
        for (size_t k = 0; k < 16; k++) {
            snprintf(digest + 2 * k, 3, "%02x", manifest->digest[k]);
        }
        assert_string_equal(digest, DIGEST);
        assert_int_equal(manifest->group, cut.group);
        assert_int_equal(manifest->group_incarnation, cut.group_incarnation);
        assert_int_equal(manifest->index, cut.index);
        assert_int_equal(manifest->term, cut.term);
        assert_int_equal(manifest->configuration_index, cut.configuration_index);
        assert_int_equal(manifest->created_ms, cut.created_ms);
        assert_int_equal(manifest->entries, BYTES / 10);
        assert_int_equal(manifest->application_bytes, BYTES);
        assert_int_equal(manifest->chunk_count, 3);
        assert_int_equal(manifest->chunk_size_bytes, SNAPSHOT_CHUNK);
        assert_int_equal(manifest->compression, HF_SNAPSHOT_NONE + i);
        assert_int_equal(manifest->configuration_size, cut.configuration.size);
        assert_memory_equal(manifest->configuration, cut.configuration.data, cut.configuration.size);
        snapshot_assert_stream(reader, &expected);
        hf_snapshot_reader_close(reader);
        free(path);
    }
    buffer_close(&expected);
    io_close(io);
}

/* A manifest's bytes, which consensus carries between programs of different versions. */
static void a_manifest_of_version_1_has_these_bytes(void **unused)
{
    (void)unused;
    static const char *const text = "4846534d"
                                    "00000000"
                                    "0100"
                                    "04"
                                    "01"
                                    "00001000"
                                    "000102030405060708090a0b0c0d0e0f"
                                    "0807060504030201"
                                    "2827262524232221"
                                    "1817161514131211"
                                    "3837363534333231"
                                    "4847464544434241"
                                    "7b68e5cf8b010000"
                                    "0a00000000000000"
                                    "0100100000000000"
                                    "3000000000000000"
                                    "02000000"
                                    "03000000"
                                    "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
                                    "616263";
    struct hf_snapshot_manifest manifest = {.group = GROUP,
                                            .group_incarnation = UINT64_C(0x2122232425262728),
                                            .index = INDEX,
                                            .term = UINT64_C(0x3132333435363738),
                                            .configuration_index = UINT64_C(0x4142434445464748),
                                            .created_ms = UINT64_C(1700000000123),
                                            .entries = 10,
                                            .application_bytes = (1u << 20) + 1,
                                            .stored_bytes = 48,
                                            .chunk_count = 2,
                                            .chunk_size_bytes = 1u << 20,
                                            .compression = HF_SNAPSHOT_ZSTD,
                                            .configuration_size = 3,
                                            .configuration = "abc"};
    for (unsigned i = 0; i < 16; i++) {
        manifest.id.bytes[i] = (uint8_t)i;
        manifest.digest[i] = (uint8_t)(0xf0 + i);
    }
    uint8_t bytes[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    size_t size = hf_snapshot_manifest_encode(&manifest, bytes);
    assert_int_equal(size, strlen(text) / 2);
    for (size_t i = 0; i < size; i++) {
        unsigned expected;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &expected), 1);
        if ((i < 4 || i >= 8) && bytes[i] != expected) { /* the checksum is what decode checks */
            fail_msg("byte %zu is %02x, was %02x in version 1", i, bytes[i], expected);
        }
    }
    struct hf_snapshot_manifest again;
    snapshot_assert_ok(hf_snapshot_manifest_decode(bytes_of(bytes, size), &again));
    assert_memory_equal(&again, &manifest, sizeof(manifest));
}

static void a_newer_version_is_refused_with_a_sentence(void **unused)
{
    (void)unused;
    struct io *io = open_io();
    struct hf_snapshot_reader *reader = NULL;
    char *path = golden_path("snapshot_v999.snap");
    assert_int_equal(snapshot_reader_open_path(io, path, &reader), HF_EVERSION);
    assert_non_null(strstr(hf_error_text(), "version 999"));
    free(path);
    io_close(io);
}

static int write_files(const char *folder)
{
    struct io *io = open_io();
    struct buffer bytes = snapshot_bytes(SEED, BYTES);
    for (size_t i = 0; i < NAME_COUNT; i++) {
        const struct hf_snapshot_options options = {
            .format = {.compression = (enum hf_snapshot_compression)(HF_SNAPSHOT_NONE + i),
                       .chunk_size_bytes = SNAPSHOT_CHUNK},
            .reserve_bytes = 1};
        struct hf_snapshot_begin cut = cut_v1();
        struct hf_snapshot_store *store = NULL;
        struct hf_snapshot_manifest manifest;
        char *directory = text_format("%s/%zu", folder, i);
        char *path = text_format("%s/%s", folder, names[i]);
        snapshot_assert_ok(snapshot_open(io, directory, &options, &store));
        snapshot_assert_ok(snapshot_write_cut(store, &cut, &bytes, &manifest));
        snapshot_assert_ok(hf_snapshot_export_file(store, manifest.id, path, NULL, NULL));
        hf_snapshot_store_close(store);
        free(directory);
        free(path);
    }
    buffer_close(&bytes);
    io_close(io);
    return 0;
}

int main(void)
{
    const char *folder = getenv("HOLDFAST_GOLDEN_WRITE");
    if (folder != NULL) {
        return write_files(folder);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_version_1_are_read_as_they_were_written),
        cmocka_unit_test(a_manifest_of_version_1_has_these_bytes),
        cmocka_unit_test(a_newer_version_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
