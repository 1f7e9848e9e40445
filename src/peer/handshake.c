#include "peer/handshake.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* Room for a frame of the handshake; seal it with handshake_seal when the payload is in. */
static size_t handshake_begin(struct buffer *out)
{
    size_t start = out->size;
    memset(buffer_extend(out, FRAME_HEADER_SIZE), 0, FRAME_HEADER_SIZE);
    return start;
}

static void handshake_seal(struct buffer *out, size_t start, enum frame_kind kind)
{
    uint32_t size = (uint32_t)(out->size - start - FRAME_HEADER_SIZE);
    struct frame_header header = {
        .size = size, .kind = (uint8_t)kind, .flags = FRAME_FIRST | FRAME_LAST, .message_size = size};
    frame_seal(out->data + start, &header);
}

void handshake_append_hello(struct buffer *out, const struct peer_identity *identity, uint64_t to_node_id)
{
    size_t start = handshake_begin(out);
    buffer_append_u32(out, HANDSHAKE_MAGIC);
    buffer_append_u32(out, PEER_PROTOCOL_VERSION);
    buffer_append(out, identity->cluster_id, PEER_CLUSTER_ID_SIZE);
    buffer_append_u64(out, identity->node_id);
    buffer_append_u64(out, identity->node_incarnation);
    buffer_append_u64(out, identity->routing_version);
    buffer_append_u64(out, to_node_id);
    handshake_seal(out, start, FRAME_HELLO);
}

void handshake_append_refused(struct buffer *out, int code, const char *text)
{
    size_t start = handshake_begin(out);
    size_t size = strlen(text);
    buffer_append_u32(out, (uint32_t)code);
    buffer_append_sized(out, bytes_of(text, size < HANDSHAKE_TEXT_SIZE_MAX ? size : HANDSHAKE_TEXT_SIZE_MAX));
    handshake_seal(out, start, FRAME_REFUSED);
}

void handshake_append_keepalive(struct buffer *out)
{
    handshake_seal(out, handshake_begin(out), FRAME_KEEPALIVE);
}

int handshake_decode_hello(struct hf_bytes payload, struct handshake *out)
{
    *out = (struct handshake){0};
    struct cursor cursor = cursor_of(payload);
    uint32_t magic = cursor_u32(&cursor);
    uint32_t version = cursor_u32(&cursor);
    if (cursor.failed || magic != HANDSHAKE_MAGIC) {
        return error_raise(HF_EPROTOCOL, "not a holdfast node: the hello does not begin with its magic");
    }
    if (version != PEER_PROTOCOL_VERSION) {
        return error_raise(HF_EVERSION, "the node speaks protocol version %" PRIu32 ", this one version %u", version,
                           PEER_PROTOCOL_VERSION);
    }
    struct hf_bytes cluster_id = cursor_bytes(&cursor, PEER_CLUSTER_ID_SIZE);
    out->identity.node_id = cursor_u64(&cursor);
    out->identity.node_incarnation = cursor_u64(&cursor);
    out->identity.routing_version = cursor_u64(&cursor);
    out->to_node_id = cursor_u64(&cursor);
    int rc = cursor_finish(&cursor, "hello");
    if (rc != 0) {
        return rc;
    }
    memcpy(out->identity.cluster_id, cluster_id.data, PEER_CLUSTER_ID_SIZE);
    return 0;
}

int handshake_decode_refused(struct hf_bytes payload)
{
    struct cursor cursor = cursor_of(payload);
    int32_t code = (int32_t)cursor_u32(&cursor);
    struct hf_bytes text = cursor_sized(&cursor, HANDSHAKE_TEXT_SIZE_MAX);
    int rc = cursor_finish(&cursor, "refusal");
    if (rc != 0) {
        return rc;
    }
    if (code > HF_EINVALID || code < HF_EREMOVED) {
        return error_raise(HF_EPROTOCOL, "refused with the unknown code %" PRId32, code);
    }
    char printable[HANDSHAKE_TEXT_SIZE_MAX + 1] = "";
    for (size_t i = 0; i < text.size; i++) {
        char character = ((const char *)text.data)[i];
        printable[i] = (char)(character >= ' ' && character <= '~' ? character : '?');
    }
    return error_raise(code, "the other side refused: %s", printable);
}

int handshake_check(const struct peer_identity *own, const struct handshake *remote)
{
    const struct peer_identity *other = &remote->identity;
    if (memcmp(own->cluster_id, other->cluster_id, PEER_CLUSTER_ID_SIZE) != 0) {
        return error_raise(HF_EMISMATCH, "node %" PRIu64 " belongs to another cluster than node %" PRIu64,
                           other->node_id, own->node_id);
    }
    if (remote->to_node_id != own->node_id) {
        return error_raise(HF_EMISMATCH, "node %" PRIu64 " looks for node %" PRIu64 ", but this is node %" PRIu64,
                           other->node_id, remote->to_node_id, own->node_id);
    }
    if (own->routing_version != other->routing_version) {
        return error_raise(HF_EMISMATCH,
                           "node %" PRIu64 " routes by version %" PRIu64 ", node %" PRIu64 " by version %" PRIu64,
                           other->node_id, other->routing_version, own->node_id, own->routing_version);
    }
    return 0;
}
