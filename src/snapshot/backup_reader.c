#include "snapshot/backup_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "snapshot/backup_check.h"
#include "snapshot/snapshot_format.h"

struct backup_reader {
    struct backup_header header;
    hf_snapshot_source *source;
    void *arg;
    struct backup_check check;
    struct snapshot_digest *digest; /* of the file */
    struct buffer section;          /* grows to the longest that was met: HF_SNAPSHOT_RAW_SIZE_MAX bytes at most */
    uint64_t offset;
    uint32_t groups;
    bool is_ended;
    int failure; /* sticks: what follows damage is not looked at */
};

/* Adds that many bytes to the section; HF_ECORRUPT when the stream ends before. */
static int reader_add(struct backup_reader *reader, size_t size)
{
    size_t done = 0;
    uint8_t *target = buffer_extend(&reader->section, size);
    while (done < size) {
        size_t got = 0;
        int rc = reader->source(reader->arg, target + done, size - done, &got);
        if (rc != 0) {
            return rc;
        }
        if (got == 0) {
            return error_raise(HF_ECORRUPT, "the backup is truncated at byte %" PRIu64, reader->offset + done);
        }
        done += got;
    }
    return 0;
}

static int reader_begin(struct backup_reader *reader, size_t size)
{
    buffer_clear(&reader->section);
    return reader_add(reader, size);
}

static void reader_took(struct backup_reader *reader)
{
    snapshot_digest_update(reader->digest, reader->section.data, reader->section.size);
    reader->offset += reader->section.size;
}

int backup_reader_open(hf_snapshot_source *source, void *arg, struct backup_reader **out)
{
    struct backup_reader *reader = memory_new(sizeof(*reader));
    reader->source = source;
    reader->arg = arg;
    int rc = backup_check_open(&reader->check);
    rc = rc == 0 ? snapshot_digest_open(&reader->digest) : rc;
    rc = rc == 0 ? reader_begin(reader, BACKUP_FORMAT_HEADER_SIZE) : rc;
    rc = rc == 0 ? backup_format_get_header(reader->section.data, &reader->header) : rc;
    if (rc == 0) {
        reader_took(reader);
        *out = reader;
        return 0;
    }
    backup_reader_close(reader);
    return rc;
}

void backup_reader_close(struct backup_reader *reader)
{
    if (reader != NULL) {
        backup_check_close(&reader->check);
        snapshot_digest_close(reader->digest);
        buffer_close(&reader->section);
        free(reader);
    }
}

const struct backup_header *backup_reader_header(const struct backup_reader *reader)
{
    return &reader->header;
}

uint64_t backup_reader_offset(const struct backup_reader *reader)
{
    return reader->offset;
}

static int reader_trailer(struct backup_reader *reader)
{
    struct backup_trailer trailer;
    uint8_t digest[16];
    uint8_t more;
    size_t got = 0;
    int rc = reader_begin(reader, BACKUP_FORMAT_TRAILER_SIZE);
    rc = rc == 0 ? backup_format_get_trailer(reader->section.data, &trailer) : rc;
    if (rc != 0) {
        return error_wrap(rc, "trailer");
    }
    snapshot_digest_get(reader->digest, digest);
    reader->offset += BACKUP_FORMAT_TRAILER_SIZE;
    if (!hf_snapshot_id_equal(trailer.id, reader->header.id) || trailer.file_size != reader->offset ||
        memcmp(digest, trailer.digest, sizeof(digest)) != 0) {
        return error_raise(HF_ECORRUPT, "the trailer is not that of this backup");
    }
    rc = reader->source(reader->arg, &more, 1, &got);
    if (rc == 0 && got != 0) {
        rc = error_raise(HF_ECORRUPT, "something stands behind the backup's end at byte %" PRIu64, reader->offset);
    }
    reader->is_ended = rc == 0;
    return rc;
}

static int reader_head(struct backup_reader *reader)
{
    struct hf_snapshot_manifest manifest;
    uint32_t size;
    int rc = reader_begin(reader, BACKUP_FORMAT_GROUP_SIZE);
    rc = rc == 0 ? backup_format_get_group_size(reader->section.data, &size) : rc;
    rc = rc == 0 ? reader_add(reader, size) : rc;
    if (rc == 0) {
        rc = backup_format_get_group(buffer_bytes(&reader->section), &reader->header.id, reader->groups, &manifest);
    }
    rc = rc == 0 ? backup_check_group(&reader->check, &manifest) : rc;
    if (rc != 0) {
        return error_wrap(rc, "the head of group %" PRIu32 " of %" PRIu32 " at byte %" PRIu64, reader->groups + 1,
                          reader->header.group_count, reader->offset);
    }
    reader->groups++;
    reader_took(reader);
    return 0;
}

int backup_reader_group(struct backup_reader *reader, const struct hf_snapshot_manifest **out)
{
    struct hf_bytes application = {0};
    *out = NULL;
    if (reader->failure == 0 && reader->groups > 0) {
        do {
            (void)backup_reader_chunk(reader, &application, NULL);
        } while (reader->failure == 0 && application.size > 0);
    }
    if (reader->failure == 0 && !reader->is_ended) {
        if (reader->groups == reader->header.group_count) {
            reader->failure = reader_trailer(reader);
        } else if ((reader->failure = reader_head(reader)) == 0) {
            *out = &reader->check.manifest;
        }
    }
    return reader->failure;
}

static int reader_chunk(struct backup_reader *reader, struct hf_bytes *application, struct hf_bytes *raw)
{
    struct snapshot_section section;
    int rc = reader_begin(reader, SNAPSHOT_FORMAT_SECTION_SIZE);
    rc = rc == 0 ? snapshot_format_get_section(reader->section.data, &section) : rc;
    if (rc == 0 && section.kind != SNAPSHOT_SECTION_CHUNK) {
        rc = error_raise(HF_ECORRUPT, "a section of kind %d where a chunk should be", (int)section.kind);
    }
    rc = rc == 0 ? reader_add(reader, section.payload_size) : rc;
    if (rc == 0) {
        *raw = buffer_bytes(&reader->section);
        rc = backup_check_chunk(&reader->check, *raw, application);
    }
    if (rc == 0) {
        reader_took(reader);
    }
    return rc;
}

int backup_reader_chunk(struct backup_reader *reader, struct hf_bytes *application, struct hf_bytes *raw)
{
    struct hf_bytes ignored;
    *application = (struct hf_bytes){0};
    if (reader->failure == 0 && !backup_check_is_whole(&reader->check)) {
        uint32_t number = reader->check.chunk_next;
        int rc = reader_chunk(reader, application, raw != NULL ? raw : &ignored);
        if (rc != 0) {
            *application = (struct hf_bytes){0};
            reader->failure =
                error_wrap(rc, "group %" PRIu64 ", chunk %" PRIu32 " of %" PRIu32 " at byte %" PRIu64,
                           reader->check.manifest.group, number, reader->check.manifest.chunk_count, reader->offset);
        }
    }
    return reader->failure;
}
