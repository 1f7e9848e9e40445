#include "snapshot/backup_format.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

#define BACKUP_TRAILER_MAGIC "HFBACKND"
#define BACKUP_GROUP_MAGIC   "HFBG"

/* Header and trailer begin alike: magic, CRC, version. */
static void format_put_frame(uint8_t *target, const char *magic)
{
    memcpy(target, magic, 8);
    bytes_put_u32(target + 12, BACKUP_FORMAT_VERSION);
    bytes_put_u32(target + 8, checksum_crc32c(0, target + 12, BACKUP_FORMAT_HEADER_SIZE - 12));
}

static int format_check_frame(const uint8_t *source, const char *magic, const char *what)
{
    if (memcmp(source, magic, 8) != 0) {
        return error_raise(HF_ECORRUPT, "this is not the %s of a backup", what);
    }
    if (bytes_get_u32(source + 8) != checksum_crc32c(0, source + 12, BACKUP_FORMAT_HEADER_SIZE - 12)) {
        return error_raise(HF_ECORRUPT, "the checksum of the backup's %s is wrong", what);
    }
    if (bytes_get_u32(source + 12) != BACKUP_FORMAT_VERSION) {
        return error_raise(HF_EVERSION, "the backup has version %" PRIu32 ", this program knows %u",
                           bytes_get_u32(source + 12), BACKUP_FORMAT_VERSION);
    }
    return 0;
}

void backup_format_put_header(uint8_t *target, const struct backup_header *header)
{
    memcpy(target + 16, header->id.bytes, 16);
    memcpy(target + 32, header->cluster_id, 16);
    bytes_put_u64(target + 48, header->created_ms);
    bytes_put_u32(target + 56, header->group_count);
    bytes_put_u32(target + 60, 0);
    format_put_frame(target, BACKUP_FORMAT_MAGIC);
}

int backup_format_get_header(const uint8_t *source, struct backup_header *out)
{
    int rc = format_check_frame(source, BACKUP_FORMAT_MAGIC, "header");
    if (rc != 0) {
        return rc;
    }
    memcpy(out->id.bytes, source + 16, 16);
    memcpy(out->cluster_id, source + 32, 16);
    out->created_ms = bytes_get_u64(source + 48);
    out->group_count = bytes_get_u32(source + 56);
    if (out->group_count == 0 || out->group_count > BACKUP_FORMAT_GROUPS_MAX || bytes_get_u32(source + 60) != 0) {
        return error_raise(HF_ECORRUPT, "the backup's header speaks of %" PRIu32 " groups", out->group_count);
    }
    return 0;
}

void backup_format_put_trailer(uint8_t *target, const struct backup_trailer *trailer)
{
    memcpy(target + 16, trailer->id.bytes, 16);
    memcpy(target + 32, trailer->digest, 16);
    bytes_put_u64(target + 48, trailer->file_size);
    bytes_put_u64(target + 56, 0);
    format_put_frame(target, BACKUP_TRAILER_MAGIC);
}

int backup_format_get_trailer(const uint8_t *source, struct backup_trailer *out)
{
    int rc = format_check_frame(source, BACKUP_TRAILER_MAGIC, "trailer");
    if (rc != 0) {
        return rc;
    }
    memcpy(out->id.bytes, source + 16, 16);
    memcpy(out->digest, source + 32, 16);
    out->file_size = bytes_get_u64(source + 48);
    return bytes_get_u64(source + 56) == 0 ? 0
                                           : error_raise(HF_ECORRUPT, "the backup's trailer is not zero at its end");
}

static uint32_t format_group_crc(const uint8_t *group, size_t size, const struct hf_snapshot_id *backup)
{
    return checksum_crc32c(checksum_crc32c(0, backup->bytes, sizeof(backup->bytes)), group + 8, size - 8);
}

size_t backup_format_put_group(uint8_t *target, const struct hf_snapshot_id *backup, uint32_t position,
                               const struct hf_snapshot_manifest *manifest)
{
    size_t size = hf_snapshot_manifest_encode(manifest, target + BACKUP_FORMAT_GROUP_SIZE);
    memcpy(target, BACKUP_GROUP_MAGIC, 4);
    bytes_put_u32(target + 8, position);
    bytes_put_u32(target + 12, (uint32_t)size);
    size += BACKUP_FORMAT_GROUP_SIZE;
    bytes_put_u32(target + 4, format_group_crc(target, size, backup));
    return size;
}

int backup_format_get_group_size(const uint8_t *source, uint32_t *manifest_size)
{
    *manifest_size = bytes_get_u32(source + 12);
    if (memcmp(source, BACKUP_GROUP_MAGIC, 4) != 0 || *manifest_size == 0 ||
        *manifest_size > HF_SNAPSHOT_MANIFEST_SIZE_MAX) {
        return error_raise(HF_ECORRUPT, "no group begins where one should");
    }
    return 0;
}

int backup_format_get_group(struct hf_bytes bytes, const struct hf_snapshot_id *backup, uint32_t position,
                            struct hf_snapshot_manifest *out)
{
    const uint8_t *group = bytes.data;
    uint32_t manifest_size;
    if (bytes.size < BACKUP_FORMAT_GROUP_SIZE) {
        return error_raise(HF_ECORRUPT, "the head of a group is truncated");
    }
    int rc = backup_format_get_group_size(group, &manifest_size);
    if (rc != 0) {
        return rc;
    }
    if (manifest_size != bytes.size - BACKUP_FORMAT_GROUP_SIZE ||
        bytes_get_u32(group + 4) != format_group_crc(group, bytes.size, backup)) {
        return error_raise(HF_ECORRUPT, "the checksum of a group's head is wrong");
    }
    if (bytes_get_u32(group + 8) != position) {
        return error_raise(HF_ECORRUPT, "a group stands at another position than its own");
    }
    return hf_snapshot_manifest_decode(bytes_of(group + BACKUP_FORMAT_GROUP_SIZE, manifest_size), out);
}
