#include "snapshot/backup_writer.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "snapshot/backup_check.h"

struct backup_writer {
    struct backup_header header;
    hf_snapshot_sink *sink;
    void *arg;
    struct backup_check check;
    struct snapshot_digest *digest; /* of the file */
    uint64_t offset;
    uint32_t groups;
};

static int writer_emit(struct backup_writer *writer, const void *data, size_t size)
{
    snapshot_digest_update(writer->digest, data, size);
    writer->offset += size;
    return writer->sink(writer->arg, data, size);
}

int backup_writer_open(const struct backup_header *header, hf_snapshot_sink *sink, void *arg,
                       struct backup_writer **out)
{
    uint8_t bytes[BACKUP_FORMAT_HEADER_SIZE];
    if (header->group_count == 0 || header->group_count > BACKUP_FORMAT_GROUPS_MAX) {
        return error_raise(HF_EINVALID, "a backup has 1 to %u groups, not %" PRIu32, BACKUP_FORMAT_GROUPS_MAX,
                           header->group_count);
    }
    struct backup_writer *writer = memory_new(sizeof(*writer));
    writer->header = *header;
    writer->sink = sink;
    writer->arg = arg;
    int rc = backup_check_open(&writer->check);
    rc = rc == 0 ? snapshot_digest_open(&writer->digest) : rc;
    if (rc == 0) {
        backup_format_put_header(bytes, header);
        rc = writer_emit(writer, bytes, sizeof(bytes));
    }
    if (rc == 0) {
        *out = writer;
        return 0;
    }
    backup_writer_close(writer);
    return rc;
}

void backup_writer_close(struct backup_writer *writer)
{
    if (writer != NULL) {
        backup_check_close(&writer->check);
        snapshot_digest_close(writer->digest);
        free(writer);
    }
}

uint64_t backup_writer_offset(const struct backup_writer *writer)
{
    return writer->offset;
}

uint32_t backup_writer_chunks(const struct backup_writer *writer)
{
    return writer->check.chunk_next;
}

int backup_writer_group(struct backup_writer *writer, const struct hf_snapshot_manifest *manifest)
{
    uint8_t bytes[BACKUP_FORMAT_GROUP_SIZE + HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    if (writer->groups == writer->header.group_count) {
        return error_raise(HF_ECORRUPT, "a group more than the backup's header says");
    }
    int rc = backup_check_group(&writer->check, manifest);
    if (rc != 0) {
        return error_wrap(rc, "group %" PRIu64, manifest->group);
    }
    size_t size = backup_format_put_group(bytes, &writer->header.id, writer->groups, manifest);
    writer->groups++;
    return writer_emit(writer, bytes, size);
}

int backup_writer_chunk(struct backup_writer *writer, struct hf_bytes raw)
{
    struct hf_bytes application;
    uint32_t number = writer->check.chunk_next;
    int rc = backup_check_chunk(&writer->check, raw, &application);
    if (rc != 0) {
        return error_wrap(rc, "group %" PRIu64 ", chunk %" PRIu32, writer->check.manifest.group, number);
    }
    return writer_emit(writer, raw.data, raw.size);
}

int backup_writer_finish(struct backup_writer *writer)
{
    uint8_t bytes[BACKUP_FORMAT_TRAILER_SIZE];
    struct backup_trailer trailer = {.id = writer->header.id, .file_size = writer->offset + BACKUP_FORMAT_TRAILER_SIZE};
    if (writer->groups != writer->header.group_count || !backup_check_is_whole(&writer->check)) {
        return error_raise(HF_EINVALID, "the backup is not whole yet");
    }
    snapshot_digest_get(writer->digest, trailer.digest);
    backup_format_put_trailer(bytes, &trailer);
    writer->offset += sizeof(bytes);
    return writer->sink(writer->arg, bytes, sizeof(bytes));
}
