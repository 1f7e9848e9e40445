/* Backups in memory for tests: groups of a few small chunks each, the last group empty. */
#ifndef CONTRACT_BACKUP_FIXTURE_H
#define CONTRACT_BACKUP_FIXTURE_H

#include "contract/snapshot_fixture.h"
#include "snapshot/backup_reader.h"
#include "snapshot/backup_writer.h"

#define BACKUP_GROUPS      3u
#define BACKUP_GROUP_BYTES (2 * SNAPSHOT_CHUNK + 1000)

static inline int backup_append(void *arg, const void *data, size_t size)
{
    buffer_append(arg, data, size);
    return 0;
}

/* Hands out a few bytes at a time, so that nothing is whole by chance. */
struct backup_stream {
    const uint8_t *data;
    size_t left;
    size_t piece_max;
};

static inline int backup_source(void *arg, void *target, size_t size, size_t *got)
{
    struct backup_stream *stream = arg;
    size = size < stream->piece_max ? size : stream->piece_max;
    *got = size < stream->left ? size : stream->left;
    if (*got > 0) {
        memcpy(target, stream->data, *got);
    }
    stream->data += *got;
    stream->left -= *got;
    return 0;
}

static inline struct backup_header backup_header_v1(uint32_t group_count)
{
    struct backup_header header = {.created_ms = UINT64_C(1700000000123), .group_count = group_count};
    for (unsigned i = 0; i < 16; i++) {
        header.id.bytes[i] = (uint8_t)(0x10 + i);
        header.cluster_id[i] = (uint8_t)(0xa0 + i);
    }
    return header;
}

/* Puts one snapshot of a store into a backup. */
static inline void backup_put(struct backup_writer *writer, struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    struct hf_snapshot_reader *reader = NULL;
    struct hf_bytes raw;
    snapshot_assert_ok(hf_snapshot_reader_open(store, id, &reader));
    const struct hf_snapshot_manifest *manifest = hf_snapshot_reader_manifest(reader);
    snapshot_assert_ok(backup_writer_group(writer, manifest));
    for (uint32_t i = 0; i < manifest->chunk_count; i++) {
        snapshot_assert_ok(hf_snapshot_read_raw(reader, i, &raw));
        snapshot_assert_ok(backup_writer_chunk(writer, raw));
    }
    hf_snapshot_reader_close(reader);
}

/* Groups 2, 3 … at index 10 and on, which is the seed too; the last is empty. */
static inline struct buffer backup_make(struct hf_snapshot_store *store)
{
    struct backup_header header = backup_header_v1(BACKUP_GROUPS);
    struct backup_writer *writer = NULL;
    struct buffer out = {0};
    snapshot_assert_ok(backup_writer_open(&header, backup_append, &out, &writer));
    for (uint32_t i = 0; i < BACKUP_GROUPS; i++) {
        size_t size = i + 1 < BACKUP_GROUPS ? BACKUP_GROUP_BYTES : 0;
        backup_put(writer, store, snapshot_make(store, 2 + i, 10 + i, size).id);
    }
    snapshot_assert_ok(backup_writer_finish(writer));
    backup_writer_close(writer);
    return out;
}

/* Reads everything; returns the first error. bytes: application bytes that were handed out. */
static inline int backup_read_all(struct hf_bytes bytes, size_t piece_max, uint64_t *application_bytes)
{
    struct backup_stream stream = {bytes.data, bytes.size, piece_max};
    const struct hf_snapshot_manifest *manifest;
    struct backup_reader *reader = NULL;
    struct hf_bytes application;
    *application_bytes = 0;
    int rc = backup_reader_open(backup_source, &stream, &reader);
    while (rc == 0 && (rc = backup_reader_group(reader, &manifest)) == 0 && manifest != NULL) {
        do {
            rc = backup_reader_chunk(reader, &application, NULL);
            *application_bytes += application.size;
        } while (rc == 0 && application.size > 0);
    }
    backup_reader_close(reader);
    return rc;
}

#endif
