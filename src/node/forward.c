#include "node/forward.h"

#include <inttypes.h>

#include "base/error.h"
#include "node/node.h"

/* Appends the header, or counts one more in the one that is there. */
static void forward_count(struct buffer *message)
{
    if (message->size == 0) {
        buffer_append_u32(message, FORWARD_VERSION);
        buffer_append_u32(message, 0);
    }
    bytes_put_u32(message->data + 4, bytes_get_u32(message->data + 4) + 1);
}

void forward_append_request(struct buffer *message, const struct forward_request *request)
{
    forward_count(message);
    buffer_append_u64(message, request->id);
    buffer_append_u32(message, (uint32_t)request->kind);
    buffer_append_sized(message, request->command);
}

void forward_append_answer(struct buffer *message, const struct forward_answer *answer)
{
    forward_count(message);
    buffer_append_u64(message, answer->id);
    buffer_append_u32(message, (uint32_t)answer->result);
    buffer_append_u64(message, answer->index);
    buffer_append_sized(message, answer->reply);
}

int forward_next_request(struct cursor *cursor, struct forward_request *out)
{
    if (cursor->left == 0) {
        return 0;
    }
    out->id = cursor_u64(cursor);
    out->kind = (enum forward_kind)cursor_u32(cursor);
    out->command = cursor_sized(cursor, NODE_COMMAND_SIZE_MAX);
    return 1;
}

int forward_next_answer(struct cursor *cursor, struct forward_answer *out)
{
    if (cursor->left == 0) {
        return 0;
    }
    out->id = cursor_u64(cursor);
    out->result = (int)cursor_u32(cursor);
    out->index = cursor_u64(cursor);
    out->reply = cursor_sized(cursor, FORWARD_REPLY_SIZE_MAX);
    return 1;
}

static uint32_t forward_open_header(struct cursor *cursor, int *rc)
{
    uint32_t version = cursor_u32(cursor);
    uint32_t count = cursor_u32(cursor);
    if (cursor->failed || version != FORWARD_VERSION || count == 0) {
        *rc = error_raise(HF_EPROTOCOL, "a forwarded message has version %" PRIu32 " and %" PRIu32 " parts", version,
                          count);
    }
    return count;
}

/* Whether there is such a request, with a command of this size. */
static bool forward_is_kind(enum forward_kind kind, size_t size)
{
    switch (kind) {
    case FORWARD_PROPOSE:
    case FORWARD_READ:
        return true;
    case FORWARD_INDEX:
        return size == 0;
    case FORWARD_TRANSFER:
        return size == FORWARD_TRANSFER_SIZE;
    }
    return false;
}

int forward_open_requests(struct hf_bytes message, struct cursor *cursor)
{
    int rc = 0;
    *cursor = cursor_of(message);
    uint32_t count = forward_open_header(cursor, &rc);
    struct cursor walk = *cursor;
    struct forward_request request;
    for (uint32_t i = 0; i < count && rc == 0 && !walk.failed; i++) {
        if (forward_next_request(&walk, &request) == 0 || walk.failed) {
            rc = error_raise(HF_EPROTOCOL, "a forwarded message is truncated");
        } else if (request.id == 0 || !forward_is_kind(request.kind, request.command.size)) {
            rc = error_raise(HF_EPROTOCOL, "a forwarded request has id %" PRIu64 " and kind %d", request.id,
                             (int)request.kind);
        }
    }
    return rc != 0 ? rc : cursor_finish(&walk, "a forwarded message");
}

int forward_open_answers(struct hf_bytes message, struct cursor *cursor)
{
    int rc = 0;
    *cursor = cursor_of(message);
    uint32_t count = forward_open_header(cursor, &rc);
    struct cursor walk = *cursor;
    struct forward_answer answer;
    for (uint32_t i = 0; i < count && rc == 0 && !walk.failed; i++) {
        if (forward_next_answer(&walk, &answer) == 0 || walk.failed) {
            rc = error_raise(HF_EPROTOCOL, "a forwarded answer is truncated");
        } else if (answer.id == 0 || answer.result > 0) {
            rc = error_raise(HF_EPROTOCOL, "a forwarded answer has id %" PRIu64 " and result %d", answer.id,
                             answer.result);
        }
    }
    return rc != 0 ? rc : cursor_finish(&walk, "a forwarded message");
}
