/* Manifests and names: what is refused, and the public doors of the store. */
#include "contract/snapshot_fixture.h"

#include <unistd.h>

#include "base/checksum.h"
#include "snapshot/snapshot_format.h"

#define SIZE (300u << 10)

static struct hf_snapshot_manifest good_manifest(void)
{
    struct hf_snapshot_manifest manifest = {.group = 1,
                                            .index = 1,
                                            .application_bytes = 100000,
                                            .stored_bytes = 5000,
                                            .chunk_count = 2,
                                            .chunk_size_bytes = 64 << 10,
                                            .compression = HF_SNAPSHOT_LZ4,
                                            .configuration_size = 5,
                                            .configuration = "abcde"};
    return manifest;
}

static void a_manifest_that_contradicts_itself_is_refused_whatever_its_checksum(void **unused)
{
    (void)unused;
    static const struct {
        const char *what;
        size_t offset;
        unsigned size;
        uint64_t value;
    } rows[] = {
        {"no group", 32, 8, 0},
        {"a group beyond the limit", 32, 8, UINT64_C(1) << 63},
        {"no index", 48, 8, 0},
        {"no compression", 10, 1, 0},
        {"an unknown compression", 10, 1, 5},
        {"a chunk size that is too small", 12, 4, 4095},
        {"a chunk size that is too large", 12, 4, (4u << 20) + 1},
        {"too many chunks", 104, 4, 3},
        {"no chunks", 104, 4, 0},
        {"bytes that overflow the count", 88, 8, UINT64_MAX},
        {"less stored than the headers of chunks take", 96, 8, 47},
        {"more stored than plain chunks take", 96, 8, 100049},
        {"a configuration longer than the bytes", 108, 4, 6},
        {"a configuration shorter than the bytes", 108, 4, 4},
        {"a configuration beyond the limit", 108, 4, UINT32_MAX},
    };
    struct hf_snapshot_manifest manifest = good_manifest();
    struct hf_snapshot_manifest found;
    uint8_t bytes[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = hf_snapshot_manifest_encode(&manifest, bytes);
        snapshot_assert_ok(hf_snapshot_manifest_decode(bytes_of(bytes, size), &found));
        for (unsigned k = 0; k < rows[i].size; k++) {
            bytes[rows[i].offset + k] = (uint8_t)(rows[i].value >> (8 * k));
        }
        assert_int_equal(hf_snapshot_manifest_decode(bytes_of(bytes, size), &found), HF_ECORRUPT); /* the checksum */
        bytes_put_u32(bytes + 4, checksum_crc32c(0, bytes + 8, size - 8));
        if (hf_snapshot_manifest_decode(bytes_of(bytes, size), &found) != HF_ECORRUPT) {
            fail_msg("%s was accepted", rows[i].what);
        }
    }
    size_t size = hf_snapshot_manifest_encode(&manifest, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(hf_snapshot_manifest_decode(bytes_of(bytes, cut), &found), HF_ECORRUPT);
    }
    bytes_put_u16(bytes + 8, 2);
    bytes_put_u32(bytes + 4, checksum_crc32c(0, bytes + 8, size - 8));
    assert_int_equal(hf_snapshot_manifest_decode(bytes_of(bytes, size), &found), HF_EVERSION);
}

static void names_are_ours_only_in_their_exact_form(void **unused)
{
    (void)unused;
    static const char *const foreign[] = {"",
                                          "LOCK",
                                          "0000000000000001-0000000000000001-00000000000000000000000000000000.",
                                          "0000000000000001-0000000000000001-00000000000000000000000000000000.snapx",
                                          "0000000000000001-0000000000000001-0000000000000000000000000000000.snap",
                                          "0000000000000001-0000000000000001-0000000000000000000000000000000G.snap",
                                          "0000000000000001-0000000000000001-ABCDEF00000000000000000000000000.snap",
                                          "000000000000000A-0000000000000001-00000000000000000000000000000000.snap",
                                          "0000000000000000-0000000000000001-00000000000000000000000000000000.snap",
                                          "0000000000000001-0000000000000000-00000000000000000000000000000000.snap",
                                          "0000000000000001_0000000000000001-00000000000000000000000000000000.snap"};
    struct snapshot_header header = {.group = 0x1f, .index = UINT64_MAX};
    struct snapshot_header found;
    enum snapshot_suffix suffix;
    char name[SNAPSHOT_FORMAT_NAME_SIZE];
    memset(header.id.bytes, 0xa5, sizeof(header.id.bytes));
    for (int i = 0; i < SNAPSHOT_SUFFIX_COUNT; i++) {
        snapshot_format_name(name, &header, (enum snapshot_suffix)i);
        assert_true(snapshot_format_parse_name(name, &found, &suffix));
        assert_int_equal(suffix, i);
        assert_memory_equal(&found, &header, sizeof(header));
    }
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_false(snapshot_format_parse_name(foreign[i], &found, &suffix));
    }
}

static void the_public_doors_open_stores_and_files(void **unused)
{
    (void)unused;
    char directory[] = "/tmp/holdfast-snapshot-XXXXXX";
    char path[64];
    const struct hf_snapshot_options options = {.reserve_bytes = 1};
    const struct hf_snapshot_options small = {.format = {.chunk_size_bytes = SNAPSHOT_CHUNK}};
    struct hf_snapshot_store *files = NULL;
    struct hf_snapshot_store *memory = NULL;
    struct hf_snapshot_reader *reader = NULL;
    struct buffer expected = snapshot_bytes(1, SIZE);
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/copy", directory);
    assert_int_equal(hf_snapshot_store_open(directory, &small, &files), HF_EINVALID); /* below the public minimum */
    snapshot_assert_ok(hf_snapshot_store_open(directory, &options, &files));
    snapshot_assert_ok(hf_snapshot_store_open_memory(NULL, &memory));
    struct hf_snapshot_manifest manifest = snapshot_make(memory, 3, 1, SIZE);
    assert_int_equal(manifest.chunk_size_bytes, 256u << 10);
    assert_int_equal(manifest.compression, HF_SNAPSHOT_LZ4);
    snapshot_assert_ok(hf_snapshot_export_file(memory, manifest.id, path, NULL, NULL));
    snapshot_assert_ok(hf_snapshot_reader_open_file(path, &reader));
    snapshot_assert_stream(reader, &expected);
    hf_snapshot_reader_close(reader);
    snapshot_assert_ok(hf_snapshot_import_file(files, path, NULL, NULL, &manifest));
    snapshot_assert_content(files, manifest.id, 1, SIZE);
    hf_snapshot_store_close(memory);
    hf_snapshot_store_close(files);
    buffer_close(&expected);
    char *command = text_format("rm -rf %s", directory);
    assert_int_equal(system(command), 0);
    free(command);
}

static void compressions_and_ids_have_names(void **unused)
{
    (void)unused;
    struct hf_snapshot_id id, again;
    char text[HF_SNAPSHOT_ID_TEXT_SIZE];
    for (enum hf_snapshot_compression i = HF_SNAPSHOT_NONE; i <= HF_SNAPSHOT_ZSTD; i++) {
        enum hf_snapshot_compression found;
        snapshot_assert_ok(hf_snapshot_compression_parse(hf_snapshot_compression_name(i), &found));
        assert_int_equal(found, i);
    }
    enum hf_snapshot_compression none;
    assert_int_equal(hf_snapshot_compression_parse("brotli", &none), HF_EINVALID);
    for (unsigned i = 0; i < sizeof(id.bytes); i++) {
        id.bytes[i] = (uint8_t)(17 * i);
    }
    hf_snapshot_id_format(id, text);
    snapshot_assert_ok(hf_snapshot_id_parse(bytes_of_text(text), &again));
    assert_true(hf_snapshot_id_equal(id, again));
    assert_int_equal(hf_snapshot_id_parse(bytes_of(text, 31), &again), HF_EINVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_that_contradicts_itself_is_refused_whatever_its_checksum),
        cmocka_unit_test(names_are_ours_only_in_their_exact_form),
        cmocka_unit_test(the_public_doors_open_stores_and_files),
        cmocka_unit_test(compressions_and_ids_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
