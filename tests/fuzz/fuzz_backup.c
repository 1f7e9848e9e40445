/* links: snapshot */
/* Backups that somebody made up: no crash, no read past the end, no memory without bound, and what is read to its end
 * is what a writer writes. The first byte of the input: bits 0 to 6, the size of the pieces; bit 7: checksums stay as
 * they are, otherwise those of header, groups, chunks and trailer are repaired, so that the fuzzer gets behind them. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "snapshot/backup_reader.h"
#include "snapshot/backup_writer.h"
#include "snapshot/snapshot_format.h"

#define SIZE_LIMIT (1u << 20)

struct stream {
    const uint8_t *bytes;
    size_t left;
    size_t piece_max;
};

static int stream_source(void *arg, void *target, size_t size, size_t *got)
{
    struct stream *stream = arg;
    size = size < stream->piece_max ? size : stream->piece_max;
    *got = size < stream->left ? size : stream->left;
    memcpy(target, stream->bytes, *got);
    stream->bytes += *got;
    stream->left -= *got;
    return 0;
}

static int stream_append(void *arg, const void *data, size_t size)
{
    buffer_append(arg, data, size);
    return 0;
}

static void repair_frame(uint8_t *frame, const char *magic)
{
    memcpy(frame, magic, 8);
    bytes_put_u32(frame + 12, BACKUP_FORMAT_VERSION);
    bytes_put_u32(frame + 8, checksum_crc32c(0, frame + 12, BACKUP_FORMAT_HEADER_SIZE - 12));
}

static void repair_group(uint8_t *group, size_t manifest_size, const uint8_t *backup_id)
{
    uint8_t *manifest = group + BACKUP_FORMAT_GROUP_SIZE;
    if (manifest_size >= 128) {
        bytes_put_u32(manifest + 4, checksum_crc32c(0, manifest + 8, manifest_size - 8));
    }
    uint32_t seed = checksum_crc32c(0, backup_id, 16);
    bytes_put_u32(group + 4, checksum_crc32c(seed, group + 8, BACKUP_FORMAT_GROUP_SIZE - 8 + manifest_size));
}

/* As far as groups and sections can be followed. */
static void repair(uint8_t *bytes, size_t size)
{
    struct hf_snapshot_id id = {0};
    if (size < BACKUP_FORMAT_HEADER_SIZE + BACKUP_FORMAT_TRAILER_SIZE) {
        return;
    }
    repair_frame(bytes, BACKUP_FORMAT_MAGIC);
    size_t end = size - BACKUP_FORMAT_TRAILER_SIZE;
    for (size_t at = BACKUP_FORMAT_HEADER_SIZE; end - at >= SNAPSHOT_FORMAT_SECTION_SIZE;) {
        struct snapshot_section section;
        uint32_t manifest_size;
        if (backup_format_get_group_size(bytes + at, &manifest_size) == 0 && manifest_size >= 32 &&
            manifest_size <= end - at - BACKUP_FORMAT_GROUP_SIZE) {
            repair_group(bytes + at, manifest_size, bytes + 16);
            memcpy(id.bytes, bytes + at + BACKUP_FORMAT_GROUP_SIZE + 16, sizeof(id.bytes));
            at += BACKUP_FORMAT_GROUP_SIZE + manifest_size;
        } else if (snapshot_format_get_section(bytes + at, &section) == 0 &&
                   section.payload_size <= end - at - SNAPSHOT_FORMAT_SECTION_SIZE) {
            snapshot_format_seal_section(bytes + at, &section, &id);
            at += SNAPSHOT_FORMAT_SECTION_SIZE + section.payload_size;
        } else {
            break;
        }
    }
    repair_frame(bytes + end, "HFBACKND");
}

/* Reads all of it and writes what was read: the same bytes, when all of it was good. */
static void try_backup(const uint8_t *bytes, size_t size, size_t piece_max)
{
    struct stream stream = {bytes, size, piece_max};
    const struct hf_snapshot_manifest *manifest = NULL;
    struct backup_reader *reader = NULL;
    struct backup_writer *writer = NULL;
    struct buffer again = {0};
    struct hf_bytes application;
    struct hf_bytes raw;
    int rc = backup_reader_open(stream_source, &stream, &reader);
    if (rc == 0) {
        rc = backup_writer_open(backup_reader_header(reader), stream_append, &again, &writer);
        assert(rc == 0);
    }
    while (rc == 0 && (rc = backup_reader_group(reader, &manifest)) == 0 && manifest != NULL) {
        int wrote = backup_writer_group(writer, manifest);
        assert(wrote == 0);
        do {
            rc = backup_reader_chunk(reader, &application, &raw);
            assert(rc != 0 || application.size <= manifest->chunk_size_bytes);
            if (rc == 0 && application.size > 0) {
                wrote = backup_writer_chunk(writer, raw);
                assert(wrote == 0);
            }
        } while (rc == 0 && application.size > 0);
    }
    assert(rc == 0 || rc == HF_ECORRUPT || rc == HF_EVERSION || rc == HF_ENOMEM || rc == HF_EIO);
    if (rc == 0) {
        rc = backup_writer_finish(writer);
        assert(rc == 0 && again.size == size && memcmp(again.data, bytes, size) == 0);
    }
    backup_writer_close(writer);
    backup_reader_close(reader);
    buffer_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > SIZE_LIMIT) {
        return 0;
    }
    uint8_t *bytes = memory_new(size - 1);
    memcpy(bytes, data + 1, size - 1);
    if ((data[0] & 0x80) == 0) {
        repair(bytes, size - 1);
    }
    try_backup(bytes, size - 1, ((size_t)data[0] & 0x7f) * 64 + 1);
    free(bytes);
    return 0;
}
