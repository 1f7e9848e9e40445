#include "snapshot/backup_check.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "snapshot/snapshot_manifest.h"

int backup_check_open(struct backup_check *check)
{
    *check = (struct backup_check){0};
    check->codec = snapshot_codec_open(HF_SNAPSHOT_NONE, 0);
    return snapshot_digest_open(&check->digest);
}

void backup_check_close(struct backup_check *check)
{
    snapshot_codec_close(check->codec);
    snapshot_digest_close(check->digest);
    buffer_close(&check->application);
    *check = (struct backup_check){0};
}

bool backup_check_is_whole(const struct backup_check *check)
{
    return check->chunk_next == check->manifest.chunk_count;
}

/* With the last chunk, or with the manifest of a group that has none. */
static int check_end(struct backup_check *check)
{
    uint8_t digest[16];
    if (!backup_check_is_whole(check)) {
        return 0;
    }
    snapshot_digest_get(check->digest, digest);
    if (check->stored_bytes != check->manifest.stored_bytes) {
        return error_raise(HF_ECORRUPT, "the chunks have another size than the manifest says");
    }
    if (memcmp(digest, check->manifest.digest, sizeof(digest)) != 0) {
        return error_raise(HF_ECORRUPT, "the contents have another digest than the manifest says");
    }
    return 0;
}

int backup_check_group(struct backup_check *check, const struct hf_snapshot_manifest *manifest)
{
    if (!backup_check_is_whole(check)) {
        return error_raise(HF_ECORRUPT, "a group begins before the one before it is whole");
    }
    if (manifest->group <= check->manifest.group) {
        return error_raise(HF_ECORRUPT, "group %" PRIu64 " is out of order", manifest->group);
    }
    check->manifest = *manifest;
    check->chunk_next = 0;
    check->stored_bytes = 0;
    snapshot_digest_reset(check->digest);
    return check_end(check);
}

int backup_check_chunk(struct backup_check *check, struct hf_bytes raw, struct hf_bytes *application)
{
    struct snapshot_section section;
    if (backup_check_is_whole(check)) {
        return error_raise(HF_ECORRUPT, "a chunk behind the last one");
    }
    int rc =
        snapshot_format_check_section(raw, &check->manifest.id, SNAPSHOT_SECTION_CHUNK, check->chunk_next, &section);
    if (rc != 0) {
        return rc;
    }
    if (section.application_size != snapshot_manifest_chunk_bytes(&check->manifest, check->chunk_next)) {
        return error_raise(HF_ECORRUPT, "it has another size than the manifest says");
    }
    struct hf_bytes payload = bytes_of((const uint8_t *)raw.data + SNAPSHOT_FORMAT_SECTION_SIZE, section.payload_size);
    buffer_clear(&check->application);
    rc = snapshot_codec_unpack(check->codec, section.compression, payload,
                               buffer_extend(&check->application, section.application_size), section.application_size);
    if (rc != 0) {
        return rc;
    }
    snapshot_digest_update(check->digest, check->application.data, check->application.size);
    check->stored_bytes += raw.size;
    check->chunk_next++;
    *application = buffer_bytes(&check->application);
    return check_end(check);
}
