/* links: peer */
/* Whatever arrives on the peer port (HAZARDS row 20): no crash, no message that was not in the bytes, and no memory
 * beyond what arrived.
 *
 * The first byte of the input chooses: bit 0, before the handshake; bit 1, checksums are repaired first, so that the
 * fuzzer gets behind them; the rest, in which pieces the bytes arrive. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "peer/handshake.h"
#include "peer/incoming.h"

struct seen {
    uint64_t bytes;
};

static int take(void *arg, const struct frame_header *header, struct hf_bytes payload)
{
    struct seen *seen = arg;
    seen->bytes += payload.size;
    struct handshake remote;
    assert(handshake_decode_refused(payload) < 0);
    (void)handshake_decode_hello(payload, &remote);
    assert(header->kind >= FRAME_HELLO && header->kind != FRAME_VECTOR);
    assert(header->kind <= FRAME_KIND_KNOWN_MAX ||
           (header->kind >= FRAME_KIND_SKIPPED_MIN && header->kind <= FRAME_KIND_SKIPPED_KNOWN_MAX));
    return 0;
}

static void repair(struct buffer *bytes)
{
    size_t at = 0;
    while (bytes->size - at >= FRAME_HEADER_SIZE) {
        struct frame_header header;
        if (frame_header_decode(bytes->data + at, &header) != 0 || bytes->size - at < FRAME_HEADER_SIZE + header.size) {
            return;
        }
        frame_seal(bytes->data + at, &header);
        at += FRAME_HEADER_SIZE + header.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint8_t choice = data[0];
    struct buffer bytes = {0};
    buffer_append(&bytes, data + 1, size - 1);
    if (choice & 2) {
        repair(&bytes);
    }
    struct incoming incoming;
    incoming_init(&incoming, choice & 1 ? HANDSHAKE_PAYLOAD_SIZE_MAX : PEER_MESSAGE_SIZE_MAX);
    struct seen seen = {0};
    size_t piece = choice >> 2 == 0 ? SIZE_MAX : (size_t)(choice >> 2);
    for (size_t at = 0; at < bytes.size;) {
        size_t part = bytes.size - at < piece ? bytes.size - at : piece;
        int rc = incoming_feed(&incoming, bytes_of(bytes.data + at, part), take, &seen);
        at += part;
        assert(seen.bytes <= at && incoming.part_bytes <= at);
        assert(incoming.frame.size <= FRAME_HEADER_SIZE + FRAME_PAYLOAD_SIZE_MAX);
        if (rc != 0) {
            break;
        }
    }
    incoming_close(&incoming);
    buffer_close(&bytes);
    return 0;
}
