#include "peer/incoming.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"

/* A message of which some fragments have arrived. */
struct incoming_part {
    struct frame_header header; /* of the first fragment */
    struct buffer payload;
};

void incoming_init(struct incoming *incoming, uint32_t message_size_max)
{
    *incoming = (struct incoming){.message_size_max = message_size_max};
}

static void incoming_part_close(struct incoming_part *part)
{
    buffer_close(&part->payload);
    free(part);
}

void incoming_close(struct incoming *incoming)
{
    for (unsigned i = 0; i < incoming->part_count; i++) {
        incoming_part_close(incoming->parts[i]);
    }
    buffer_close(&incoming->frame);
    *incoming = (struct incoming){0};
}

static int incoming_find(const struct incoming *incoming, uint16_t stream, unsigned *out)
{
    for (unsigned i = 0; i < incoming->part_count; i++) {
        if (incoming->parts[i]->header.stream == stream) {
            *out = i;
            return 0;
        }
    }
    return HF_ENOTFOUND;
}

static int incoming_begin(struct incoming *incoming, const struct frame_header *header, struct hf_bytes payload)
{
    unsigned position = 0;
    if (incoming_find(incoming, header->stream, &position) == 0) {
        return error_raise(HF_EPROTOCOL, "stream %u begins a message before it ended one", header->stream);
    }
    if (incoming->part_count == PEER_STREAMS_MAX) {
        return error_raise(HF_EPROTOCOL, "more than %u unfinished messages", PEER_STREAMS_MAX);
    }
    struct incoming_part *part = memory_new(sizeof(*part));
    part->header = *header;
    buffer_append_bytes(&part->payload, payload);
    incoming->parts[incoming->part_count++] = part;
    incoming->part_bytes += payload.size;
    return 0;
}

static int incoming_check_continued(const struct incoming_part *part, const struct frame_header *header)
{
    const struct frame_header *first = &part->header;
    if (first->kind != header->kind || first->group != header->group ||
        first->group_incarnation != header->group_incarnation) {
        return error_raise(HF_EPROTOCOL, "a fragment of stream %u belongs to another message", header->stream);
    }
    uint64_t size = part->payload.size + header->size;
    if (size > first->message_size) {
        return error_raise(HF_EPROTOCOL, "a message is longer than the %" PRIu32 " bytes it announced",
                           first->message_size);
    }
    bool is_last = (header->flags & FRAME_LAST) != 0;
    if (is_last != (size == first->message_size)) {
        return error_raise(HF_EPROTOCOL, "%" PRIu64 " of %" PRIu32 " bytes arrived and the fragment is%s the last",
                           size, first->message_size, is_last ? "" : " not");
    }
    return 0;
}

static int incoming_continue(struct incoming *incoming, const struct frame_header *header, struct hf_bytes payload,
                             incoming_deliver *deliver, void *arg)
{
    unsigned position = 0;
    if (incoming_find(incoming, header->stream, &position) != 0) {
        return error_raise(HF_EPROTOCOL, "stream %u goes on with a message that never began", header->stream);
    }
    struct incoming_part *part = incoming->parts[position];
    int rc = incoming_check_continued(part, header);
    if (rc != 0) {
        return rc;
    }
    if (incoming->part_bytes + payload.size > PEER_UNFINISHED_SIZE_MAX) {
        return error_raise(HF_EPROTOCOL, "unfinished messages are above the limit of %llu bytes",
                           (unsigned long long)PEER_UNFINISHED_SIZE_MAX);
    }
    buffer_append_bytes(&part->payload, payload);
    incoming->part_bytes += payload.size;
    if ((header->flags & FRAME_LAST) == 0) {
        return 0;
    }
    incoming->parts[position] = incoming->parts[--incoming->part_count];
    incoming->part_bytes -= part->payload.size;
    rc = deliver(arg, &part->header, buffer_bytes(&part->payload));
    incoming_part_close(part);
    return rc;
}

static int incoming_take_vector(const struct frame_header *vector, struct hf_bytes payload, incoming_deliver *deliver,
                                void *arg)
{
    if (vector->flags != (FRAME_FIRST | FRAME_LAST) || vector->group != 0) {
        return error_raise(HF_EPROTOCOL, "a vector is in fragments or of a group");
    }
    struct cursor cursor = cursor_of(payload);
    while (cursor.left > 0) {
        struct frame_header header = {.flags = FRAME_FIRST | FRAME_LAST};
        header.kind = cursor_u8(&cursor);
        header.size = header.message_size = cursor_u16(&cursor);
        header.group = cursor_u64(&cursor);
        header.group_incarnation = cursor_u64(&cursor);
        struct hf_bytes message = cursor_bytes(&cursor, header.size);
        if (cursor.failed) {
            return error_raise(HF_EPROTOCOL, "a vector ends within a message");
        }
        if (header.size > PEER_SMALL_SIZE_MAX) {
            return error_raise(HF_EPROTOCOL, "a message of %" PRIu32 " bytes in a vector", header.size);
        }
        int rc = frame_check_vector_kind(header.kind);
        if (rc == 0 && !frame_is_skipped(header.kind)) {
            rc = deliver(arg, &header, message);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int incoming_take_frame(struct incoming *incoming, const uint8_t *frame, const struct frame_header *header,
                               incoming_deliver *deliver, void *arg)
{
    int rc = frame_check(frame, header);
    if (rc != 0) {
        return rc;
    }
    struct hf_bytes payload = bytes_of(frame + FRAME_HEADER_SIZE, header->size);
    if (frame_is_skipped(header->kind)) {
        return 0; /* a later version's: its fragments need not be put together to be ignored */
    }
    if (header->kind == FRAME_VECTOR) {
        return incoming_take_vector(header, payload, deliver, arg);
    }
    if (header->flags == (FRAME_FIRST | FRAME_LAST)) {
        return deliver(arg, header, payload);
    }
    if ((header->flags & FRAME_FIRST) != 0) {
        return incoming_begin(incoming, header, payload);
    }
    return incoming_continue(incoming, header, payload, deliver, arg);
}

static int incoming_decode_header(const struct incoming *incoming, const uint8_t *source, struct frame_header *header)
{
    int rc = frame_header_decode(source, header);
    if (rc == 0 && (header->size > incoming->message_size_max || header->message_size > incoming->message_size_max)) {
        rc = error_raise(HF_EPROTOCOL, "a message of %" PRIu32 " bytes where at most %" PRIu32 " may be sent",
                         header->message_size, incoming->message_size_max);
    }
    return rc;
}

/* Moves bytes into the partial frame, at most up to its end. *is_whole: the frame stands in incoming->frame. */
static int incoming_gather(struct incoming *incoming, struct cursor *bytes, struct frame_header *header, bool *is_whole)
{
    struct buffer *frame = &incoming->frame;
    *is_whole = false;
    if (frame->size < FRAME_HEADER_SIZE) {
        size_t missing = FRAME_HEADER_SIZE - frame->size;
        buffer_append_bytes(frame, cursor_bytes(bytes, bytes->left < missing ? bytes->left : missing));
        if (frame->size < FRAME_HEADER_SIZE) {
            return 0;
        }
    }
    int rc = incoming_decode_header(incoming, frame->data, header);
    if (rc != 0) {
        return rc;
    }
    size_t missing = FRAME_HEADER_SIZE + header->size - frame->size;
    buffer_append_bytes(frame, cursor_bytes(bytes, bytes->left < missing ? bytes->left : missing));
    *is_whole = frame->size == FRAME_HEADER_SIZE + header->size;
    return 0;
}

int incoming_feed(struct incoming *incoming, struct hf_bytes bytes, incoming_deliver *deliver, void *arg)
{
    struct cursor cursor = cursor_of(bytes);
    while (cursor.left > 0) {
        struct frame_header header;
        bool is_whole = false;
        const uint8_t *frame = cursor.at;
        int rc = 0;
        if (incoming->frame.size == 0 && cursor.left >= FRAME_HEADER_SIZE) {
            /* The usual case: the frame is whole in what arrived and is delivered from there. */
            rc = incoming_decode_header(incoming, frame, &header);
            is_whole = rc == 0 && cursor.left >= FRAME_HEADER_SIZE + header.size;
            if (is_whole) {
                cursor_bytes(&cursor, FRAME_HEADER_SIZE + header.size);
            }
        }
        if (rc == 0 && !is_whole) {
            rc = incoming_gather(incoming, &cursor, &header, &is_whole);
            frame = incoming->frame.data;
        }
        if (rc == 0 && is_whole) {
            rc = incoming_take_frame(incoming, frame, &header, deliver, arg);
            buffer_clear(&incoming->frame);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
