#include "node/system_state.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

#define SYSTEM_STATE_HEADER_SIZE 20u

static uint32_t system_state_crc(const uint8_t *bytes, size_t size)
{
    uint32_t crc = checksum_crc32c(0, bytes, 16);
    return checksum_crc32c(crc, bytes + SYSTEM_STATE_HEADER_SIZE, size - SYSTEM_STATE_HEADER_SIZE);
}

void system_state_encode(struct hf_bytes description, const struct membership *membership, struct buffer *out)
{
    size_t start = out->size;
    struct buffer members = {0};
    membership_encode(membership, &members);
    buffer_append(out, SYSTEM_STATE_MAGIC, 8);
    buffer_append_u32(out, SYSTEM_STATE_VERSION);
    buffer_append_u32(out, 0); /* size and CRC follow */
    buffer_append_u32(out, 0);
    buffer_append_sized(out, description);
    buffer_append_sized(out, buffer_bytes(&members));
    buffer_close(&members);
    uint8_t *header = out->data + start;
    size_t size = out->size - start;
    assert(size <= SYSTEM_STATE_SIZE_MAX);
    bytes_put_u32(header + 12, (uint32_t)(size - SYSTEM_STATE_HEADER_SIZE));
    bytes_put_u32(header + 16, system_state_crc(header, size));
}

static int system_state_check_header(struct hf_bytes bytes)
{
    const uint8_t *header = bytes.data;
    if (bytes.size < SYSTEM_STATE_HEADER_SIZE || bytes.size > SYSTEM_STATE_SIZE_MAX ||
        memcmp(header, SYSTEM_STATE_MAGIC, 8) != 0) {
        return error_raise(HF_ECORRUPT, "this is not the state of a system group");
    }
    if (bytes_get_u32(header + 8) != SYSTEM_STATE_VERSION) {
        return error_raise(HF_EVERSION, "the state of the system group has version %" PRIu32 ", this program knows %u",
                           bytes_get_u32(header + 8), SYSTEM_STATE_VERSION);
    }
    if (bytes_get_u32(header + 12) != bytes.size - SYSTEM_STATE_HEADER_SIZE ||
        bytes_get_u32(header + 16) != system_state_crc(header, bytes.size)) {
        return error_raise(HF_ECORRUPT, "the size or the checksum of the system group's state does not match");
    }
    return 0;
}

/* A description that was agreed on is one, and its cluster is that of the members. */
static int system_state_check_description(struct hf_bytes bytes, const struct membership *membership)
{
    struct description *description = NULL;
    int rc = bytes.size > 0 ? description_decode(bytes, &description) : 0;
    if (rc == 0 && description != NULL &&
        memcmp(description->cluster_id, membership->cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
        rc = error_raise(HF_ECORRUPT, "description and members belong to different clusters");
    }
    description_close(description);
    return rc;
}

int system_state_decode(struct hf_bytes bytes, struct hf_bytes *description, struct membership *membership)
{
    int rc = system_state_check_header(bytes);
    if (rc != 0) {
        return rc;
    }
    struct cursor cursor = cursor_of(
        bytes_of((const uint8_t *)bytes.data + SYSTEM_STATE_HEADER_SIZE, bytes.size - SYSTEM_STATE_HEADER_SIZE));
    *description = cursor_sized(&cursor, DESCRIPTION_SIZE_MAX);
    struct hf_bytes members = cursor_sized(&cursor, MEMBERSHIP_SIZE_MAX);
    if (cursor_finish(&cursor, "the state of the system group") != 0) {
        return error_wrap(HF_ECORRUPT, "damaged");
    }
    rc = membership_decode(members, membership);
    rc = rc == 0 ? system_state_check_description(*description, membership) : rc;
    return rc == 0 ? 0 : error_wrap(rc, "the state of the system group");
}
