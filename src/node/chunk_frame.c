#include "node/chunk_frame.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

static void chunk_frame_encode_head(const struct chunk_frame *frame, struct buffer *out)
{
    buffer_append_u32(out, CHUNK_FRAME_VERSION); /* and three bytes of zero */
    buffer_append_u32(out, frame->chunk);
    buffer_append(out, frame->id.bytes, sizeof(frame->id.bytes));
}

static int chunk_frame_decode_head(struct cursor *cursor, struct chunk_frame *out)
{
    *out = (struct chunk_frame){0};
    uint32_t version = cursor_u32(cursor);
    out->chunk = cursor_u32(cursor);
    struct hf_bytes id = cursor_bytes(cursor, sizeof(out->id.bytes));
    if (cursor->failed || version != CHUNK_FRAME_VERSION) {
        return error_raise(HF_EPROTOCOL, "a frame about a snapshot is truncated or of another version");
    }
    memcpy(out->id.bytes, id.data, sizeof(out->id.bytes));
    return 0;
}

void chunk_frame_encode_fetch(const struct chunk_frame *frame, struct buffer *out)
{
    chunk_frame_encode_head(frame, out);
}

void chunk_frame_encode_chunk(const struct chunk_frame *frame, struct buffer *out)
{
    chunk_frame_encode_head(frame, out);
    buffer_append_u32(out, (uint32_t)frame->result);
    buffer_append_bytes(out, frame->bytes);
}

int chunk_frame_decode_fetch(struct hf_bytes payload, struct chunk_frame *out)
{
    struct cursor cursor = cursor_of(payload);
    int rc = chunk_frame_decode_head(&cursor, out);
    return rc != 0 ? rc : cursor_finish(&cursor, "a question for a chunk");
}

int chunk_frame_decode_chunk(struct hf_bytes payload, struct chunk_frame *out)
{
    struct cursor cursor = cursor_of(payload);
    int rc = chunk_frame_decode_head(&cursor, out);
    uint32_t result = cursor_u32(&cursor);
    if (rc != 0 || cursor.failed) {
        return rc != 0 ? rc : error_raise(HF_EPROTOCOL, "a chunk is truncated");
    }
    out->result = (int)result;
    if (out->result > 0 || cursor.left > HF_SNAPSHOT_RAW_SIZE_MAX || (out->result != 0 && cursor.left > 0)) {
        return error_raise(HF_EPROTOCOL, "a chunk of %zu bytes with result %d", cursor.left, out->result);
    }
    out->bytes = cursor_bytes(&cursor, cursor.left);
    return 0;
}
