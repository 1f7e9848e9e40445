/* Backups: what is written is read, and whatever is wrong in one is found and named. */
#include "contract/backup_fixture.h"

struct fixture {
    struct io *io;
    struct hf_snapshot_store *store;
    struct buffer backup;
};

static struct fixture fixture_open(void)
{
    struct fixture fixture = {0};
    const struct hf_snapshot_options options = {.format.chunk_size_bytes = SNAPSHOT_CHUNK};
    snapshot_assert_ok(io_open_kernel(IO_BACKEND_THREADS, &fixture.io));
    snapshot_assert_ok(snapshot_open_memory(fixture.io, &options, &fixture.store));
    fixture.backup = backup_make(fixture.store);
    return fixture;
}

static void fixture_close(struct fixture *fixture)
{
    buffer_close(&fixture->backup);
    hf_snapshot_store_close(fixture->store);
    io_close(fixture->io);
}

static void a_backup_is_read_as_it_was_written_however_its_bytes_come(void **unused)
{
    (void)unused;
    struct fixture fixture = fixture_open();
    static const size_t pieces[] = {1, 7, 4096, 1u << 20};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        uint64_t bytes;
        snapshot_assert_ok(backup_read_all(buffer_bytes(&fixture.backup), pieces[i], &bytes));
        assert_int_equal(bytes, (BACKUP_GROUPS - 1) * BACKUP_GROUP_BYTES);
    }
    fixture_close(&fixture);
}

static void groups_and_chunks_hold_what_the_snapshots_held(void **unused)
{
    (void)unused;
    struct fixture fixture = fixture_open();
    struct backup_stream stream = {fixture.backup.data, fixture.backup.size, 1000};
    struct backup_reader *reader = NULL;
    const struct hf_snapshot_manifest *manifest;
    snapshot_assert_ok(backup_reader_open(backup_source, &stream, &reader));
    assert_int_equal(backup_reader_header(reader)->group_count, BACKUP_GROUPS);
    for (uint32_t i = 0; i < BACKUP_GROUPS; i++) {
        snapshot_assert_ok(backup_reader_group(reader, &manifest));
        assert_int_equal(manifest->group, 2 + i);
        assert_int_equal(manifest->index, 10 + i);
        if (i == 1) {
            continue; /* nobody looks at it: it is read over */
        }
        struct buffer expected = snapshot_bytes(10 + i, i == 0 ? BACKUP_GROUP_BYTES : 0);
        struct buffer found = {0};
        struct hf_bytes application;
        do {
            snapshot_assert_ok(backup_reader_chunk(reader, &application, NULL));
            buffer_append_bytes(&found, application);
        } while (application.size > 0);
        assert_true(bytes_equal(buffer_bytes(&found), buffer_bytes(&expected)));
        buffer_close(&found);
        buffer_close(&expected);
    }
    snapshot_assert_ok(backup_reader_group(reader, &manifest));
    assert_null(manifest);
    assert_int_equal(backup_reader_offset(reader), fixture.backup.size);
    backup_reader_close(reader);
    fixture_close(&fixture);
}

static void a_wrong_bit_anywhere_is_found(void **unused)
{
    (void)unused;
    struct fixture fixture = fixture_open();
    for (size_t at = 0; at < fixture.backup.size; at += at < 400 || at + 200 > fixture.backup.size ? 1 : 61) {
        uint64_t bytes;
        fixture.backup.data[at] ^= (uint8_t)(1u << (at % 8));
        int rc = backup_read_all(buffer_bytes(&fixture.backup), 4096, &bytes);
        assert_true(rc == HF_ECORRUPT || rc == HF_EVERSION);
        fixture.backup.data[at] ^= (uint8_t)(1u << (at % 8));
    }
    fixture_close(&fixture);
}

static void a_cut_anywhere_is_found_and_so_is_what_follows_the_end(void **unused)
{
    (void)unused;
    struct fixture fixture = fixture_open();
    uint64_t bytes;
    for (size_t size = 0; size < fixture.backup.size; size += 37) {
        assert_int_equal(backup_read_all(bytes_of(fixture.backup.data, size), 4096, &bytes), HF_ECORRUPT);
    }
    buffer_append_u8(&fixture.backup, 0);
    assert_int_equal(backup_read_all(buffer_bytes(&fixture.backup), 4096, &bytes), HF_ECORRUPT);
    fixture_close(&fixture);
}

static void damage_is_named_by_group_and_chunk(void **unused)
{
    (void)unused;
    struct fixture fixture = fixture_open();
    struct backup_stream stream = {fixture.backup.data, fixture.backup.size, 4096};
    struct backup_reader *reader = NULL;
    const struct hf_snapshot_manifest *manifest;
    struct hf_bytes application;
    uint64_t bytes;
    snapshot_assert_ok(backup_reader_open(backup_source, &stream, &reader));
    snapshot_assert_ok(backup_reader_group(reader, &manifest));
    snapshot_assert_ok(backup_reader_group(reader, &manifest));
    snapshot_assert_ok(backup_reader_chunk(reader, &application, NULL));
    size_t place = backup_reader_offset(reader) + 30; /* inside of group 3's second chunk */
    backup_reader_close(reader);
    fixture.backup.data[place] ^= 1;
    assert_int_equal(backup_read_all(buffer_bytes(&fixture.backup), 4096, &bytes), HF_ECORRUPT);
    assert_non_null(strstr(hf_error_text(), "group 3, chunk 1 of 3"));
    assert_int_equal(backup_read_all(bytes_of(fixture.backup.data, place), 4096, &bytes), HF_ECORRUPT);
    assert_non_null(strstr(hf_error_text(), "group 3, chunk 1 of 3"));
    assert_non_null(strstr(hf_error_text(), "truncated"));
    fixture_close(&fixture);
}

static void a_writer_refuses_what_does_not_come_next(void **unused)
{
    (void)unused;
    struct fixture fixture = fixture_open();
    struct backup_header header = backup_header_v1(2);
    struct backup_writer *writer = NULL;
    struct hf_snapshot_reader *reader = NULL;
    struct hf_snapshot_manifest manifest;
    struct hf_bytes raw;
    struct buffer out = {0};
    snapshot_assert_ok(hf_snapshot_latest(fixture.store, 2, 0, &manifest));
    snapshot_assert_ok(hf_snapshot_reader_open(fixture.store, manifest.id, &reader));
    snapshot_assert_ok(backup_writer_open(&header, backup_append, &out, &writer));
    snapshot_assert_ok(backup_writer_group(writer, &manifest));
    uint64_t offset = backup_writer_offset(writer);
    snapshot_assert_ok(hf_snapshot_read_raw(reader, 1, &raw));
    assert_int_equal(backup_writer_chunk(writer, raw), HF_ECORRUPT); /* the second before the first */
    assert_int_equal(backup_writer_finish(writer), HF_EINVALID);
    manifest.group = 3;
    assert_int_equal(backup_writer_group(writer, &manifest), HF_ECORRUPT); /* the first is not whole */
    for (uint32_t i = 0; i < manifest.chunk_count; i++) {
        snapshot_assert_ok(hf_snapshot_read_raw(reader, i, &raw));
        snapshot_assert_ok(backup_writer_chunk(writer, raw));
        assert_int_equal(backup_writer_chunks(writer), i + 1);
    }
    assert_true(backup_writer_offset(writer) > offset);
    assert_int_equal(backup_writer_chunk(writer, raw), HF_ECORRUPT); /* one too many */
    manifest.group = 2;
    assert_int_equal(backup_writer_group(writer, &manifest), HF_ECORRUPT); /* the same group again */
    assert_int_equal(backup_writer_finish(writer), HF_EINVALID);           /* one group is missing */
    backup_writer_close(writer);
    hf_snapshot_reader_close(reader);
    header.group_count = 0;
    assert_int_equal(backup_writer_open(&header, backup_append, &out, &writer), HF_EINVALID);
    buffer_close(&out);
    fixture_close(&fixture);
}

static void contents_of_another_digest_are_refused_with_the_last_chunk(void **unused)
{
    (void)unused;
    struct fixture fixture = fixture_open();
    struct backup_header header = backup_header_v1(1);
    struct backup_writer *writer = NULL;
    struct hf_snapshot_reader *reader = NULL;
    struct hf_snapshot_manifest manifest;
    struct hf_bytes raw;
    struct buffer out = {0};
    snapshot_assert_ok(hf_snapshot_latest(fixture.store, 2, 0, &manifest));
    snapshot_assert_ok(hf_snapshot_reader_open(fixture.store, manifest.id, &reader));
    manifest.digest[3] ^= 1;
    snapshot_assert_ok(backup_writer_open(&header, backup_append, &out, &writer));
    snapshot_assert_ok(backup_writer_group(writer, &manifest));
    for (uint32_t i = 0; i < manifest.chunk_count; i++) {
        snapshot_assert_ok(hf_snapshot_read_raw(reader, i, &raw));
        assert_int_equal(backup_writer_chunk(writer, raw), i + 1 < manifest.chunk_count ? 0 : HF_ECORRUPT);
    }
    backup_writer_close(writer);
    hf_snapshot_reader_close(reader);
    buffer_close(&out);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_is_read_as_it_was_written_however_its_bytes_come),
        cmocka_unit_test(groups_and_chunks_hold_what_the_snapshots_held),
        cmocka_unit_test(a_wrong_bit_anywhere_is_found),
        cmocka_unit_test(a_cut_anywhere_is_found_and_so_is_what_follows_the_end),
        cmocka_unit_test(damage_is_named_by_group_and_chunk),
        cmocka_unit_test(a_writer_refuses_what_does_not_come_next),
        cmocka_unit_test(contents_of_another_digest_are_refused_with_the_last_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
