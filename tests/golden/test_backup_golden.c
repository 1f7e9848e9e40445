/* links: snapshot */
/* A backup of format version 1 as it was written when that version was new: every later program must read exactly this.
 * Made by HOLDFAST_GOLDEN_WRITE=FOLDER ./test_backup_golden, and made again for no reason. */
#include "contract/backup_fixture.h"

static char *golden_path(const char *folder)
{
    return folder != NULL ? text_format("%s/backup_v1.hfb", folder)
                          : text_format("%.*s/backup_v1.hfb", (int)(strrchr(__FILE__, '/') - __FILE__), __FILE__);
}

static void golden_write(const char *folder)
{
    const struct hf_snapshot_options options = {.format.chunk_size_bytes = SNAPSHOT_CHUNK};
    struct hf_snapshot_store *store = NULL;
    struct io *io = NULL;
    char *path = golden_path(folder);
    snapshot_assert_ok(io_open_kernel(IO_BACKEND_THREADS, &io));
    snapshot_assert_ok(snapshot_open_memory(io, &options, &store));
    struct buffer backup = backup_make(store);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(backup.data, 1, backup.size, file), backup.size);
    fclose(file);
    free(path);
    buffer_close(&backup);
    hf_snapshot_store_close(store);
    io_close(io);
}

static void a_backup_of_version_1_is_read_as_it_was_written(void **unused)
{
    (void)unused;
    static const char *const ids[] = {"be70b1ce29a988df696b656111066b77", "8f9fe9a6c56b637c83f06b091d140fd5",
                                      "453ecb8c6fcc1fa886fbfee709746f05"};
    if (getenv("HOLDFAST_GOLDEN_WRITE") != NULL) {
        golden_write(getenv("HOLDFAST_GOLDEN_WRITE"));
        return;
    }
    char *path = golden_path(NULL);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    struct buffer golden = {0};
    uint8_t *target = buffer_extend(&golden, 64u << 10);
    golden.size = fread(target, 1, 64u << 10, file);
    fclose(file);
    free(path);
    struct backup_stream stream = {golden.data, golden.size, 4096};
    struct backup_header expected = backup_header_v1(BACKUP_GROUPS);
    struct backup_reader *reader = NULL;
    const struct hf_snapshot_manifest *manifest;
    snapshot_assert_ok(backup_reader_open(backup_source, &stream, &reader));
    const struct backup_header *header = backup_reader_header(reader);
    assert_memory_equal(header->id.bytes, expected.id.bytes, 16);
    assert_memory_equal(header->cluster_id, expected.cluster_id, 16);
    assert_int_equal(header->created_ms, expected.created_ms);
    for (uint32_t i = 0; i < BACKUP_GROUPS; i++) {
        struct buffer content = snapshot_bytes(10 + i, i + 1 < BACKUP_GROUPS ? BACKUP_GROUP_BYTES : 0);
        struct buffer found = {0};
        struct hf_bytes application;
        char id[HF_SNAPSHOT_ID_TEXT_SIZE];
        snapshot_assert_ok(backup_reader_group(reader, &manifest));
        hf_snapshot_id_format(manifest->id, id);
        assert_string_equal(id, ids[i]);
        assert_int_equal(manifest->group, 2 + i);
        do {
            snapshot_assert_ok(backup_reader_chunk(reader, &application, NULL));
            buffer_append_bytes(&found, application);
        } while (application.size > 0);
        assert_true(bytes_equal(buffer_bytes(&found), buffer_bytes(&content)));
        buffer_close(&found);
        buffer_close(&content);
    }
    snapshot_assert_ok(backup_reader_group(reader, &manifest));
    assert_null(manifest);
    backup_reader_close(reader);
    buffer_close(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_of_version_1_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
