#include "peer/frame.h"

#include <inttypes.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"

#define FRAME_CHECKED_OFFSET 8u

static uint32_t frame_checksum(const uint8_t *frame, uint32_t size)
{
    return checksum_crc32c(0, frame + FRAME_CHECKED_OFFSET, FRAME_HEADER_SIZE - FRAME_CHECKED_OFFSET + size);
}

void frame_seal(uint8_t *target, const struct frame_header *header)
{
    bytes_put_u32(target, header->size);
    bytes_put_u8(target + 8, header->kind);
    bytes_put_u8(target + 9, header->flags);
    bytes_put_u16(target + 10, header->stream);
    bytes_put_u32(target + 12, header->message_size);
    bytes_put_u64(target + 16, header->group);
    bytes_put_u64(target + 24, header->group_incarnation);
    bytes_put_u32(target + 4, frame_checksum(target, header->size));
}

bool frame_is_skipped(uint8_t kind)
{
    return kind > FRAME_KIND_SKIPPED_KNOWN_MAX;
}

static int frame_check_kind(uint8_t kind)
{
    if (kind == 0 || (kind > FRAME_KIND_KNOWN_MAX && kind < FRAME_KIND_SKIPPED_MIN)) {
        return error_raise(HF_EPROTOCOL, "frame of unknown kind %u", kind);
    }
    return 0;
}

static int frame_check_cut(const struct frame_header *header)
{
    bool is_first = (header->flags & FRAME_FIRST) != 0;
    bool is_last = (header->flags & FRAME_LAST) != 0;
    if (!is_first && header->message_size != 0) {
        return error_raise(HF_EPROTOCOL, "a later fragment announces a message size");
    }
    if (is_first && is_last && header->message_size != header->size) {
        return error_raise(HF_EPROTOCOL, "a whole message of %" PRIu32 " bytes announces %" PRIu32, header->size,
                           header->message_size);
    }
    if (is_first && !is_last && header->message_size <= header->size) {
        return error_raise(HF_EPROTOCOL, "a message of %" PRIu32 " bytes goes on after %" PRIu32, header->message_size,
                           header->size);
    }
    if (!(is_first && is_last) && header->size == 0) {
        return error_raise(HF_EPROTOCOL, "an empty fragment");
    }
    return 0;
}

int frame_header_decode(const uint8_t *source, struct frame_header *out)
{
    *out = (struct frame_header){
        .size = bytes_get_u32(source),
        .kind = bytes_get_u8(source + 8),
        .flags = bytes_get_u8(source + 9),
        .stream = bytes_get_u16(source + 10),
        .message_size = bytes_get_u32(source + 12),
        .group = bytes_get_u64(source + 16),
        .group_incarnation = bytes_get_u64(source + 24),
    };
    if (out->size > FRAME_PAYLOAD_SIZE_MAX) {
        return error_raise(HF_EPROTOCOL, "frame of %" PRIu32 " bytes is above the limit of %u", out->size,
                           FRAME_PAYLOAD_SIZE_MAX);
    }
    if (out->message_size > PEER_MESSAGE_SIZE_MAX) {
        return error_raise(HF_EPROTOCOL, "message of %" PRIu32 " bytes is above the limit of %u", out->message_size,
                           PEER_MESSAGE_SIZE_MAX);
    }
    if ((out->flags & ~(FRAME_FIRST | FRAME_LAST)) != 0) {
        return error_raise(HF_EPROTOCOL, "frame with unknown flags 0x%02x", out->flags);
    }
    int rc = frame_check_kind(out->kind);
    if (rc != 0) {
        return rc;
    }
    return frame_check_cut(out);
}

int frame_check(const uint8_t *frame, const struct frame_header *header)
{
    uint32_t expected = bytes_get_u32(frame + 4);
    uint32_t found = frame_checksum(frame, header->size);
    if (expected != found) {
        return error_raise(HF_EPROTOCOL, "frame checksum is 0x%08" PRIx32 " where 0x%08" PRIx32 " was announced", found,
                           expected);
    }
    return 0;
}

int frame_check_vector_kind(uint8_t kind)
{
    if (kind == FRAME_HELLO || kind == FRAME_REFUSED || kind == FRAME_VECTOR || kind == FRAME_KEEPALIVE) {
        return error_raise(HF_EPROTOCOL, "a vector carries a message of kind %u", kind);
    }
    return frame_check_kind(kind);
}
