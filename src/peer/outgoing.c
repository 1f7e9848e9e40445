#include "peer/outgoing.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/trace.h"

#define OUTGOING_IDLE_LANES_MAX 1024u /* empty lanes kept for their next message */

struct outgoing_lane {
    struct list link; /* in first, waiting or moving; alone when idle */
    struct list messages;
    uint64_t group;
    enum outgoing_lane_kind kind;
    /* The message that is being cut; NULL: none. It is no longer in messages. */
    struct peer_message *current;
    struct buffer encoded;
    size_t offset;
    unsigned stream;
    uint64_t vector_number; /* of the vector that took its last small message */
};

void outgoing_init(struct outgoing *outgoing)
{
    *outgoing = (struct outgoing){.vector_number = 1};
    list_init(&outgoing->first);
    list_init(&outgoing->waiting);
    list_init(&outgoing->moving);
}

bool outgoing_is_empty(const struct outgoing *outgoing)
{
    return outgoing->message_count == 0;
}

static enum outgoing_lane_kind outgoing_lane_kind_of(const struct peer_message *message)
{
    if (!message->independent) {
        return OUTGOING_ORDERED;
    }
    return message->class == PEER_URGENT ? OUTGOING_FREE_URGENT : OUTGOING_FREE_BULK;
}

static struct outgoing_lane *outgoing_lane_of(struct outgoing *outgoing, const struct peer_message *message)
{
    enum outgoing_lane_kind kind = outgoing_lane_kind_of(message);
    struct outgoing_lane *lane = map_get(&outgoing->lanes[kind], message->group);
    if (lane == NULL) {
        lane = memory_new(sizeof(*lane));
        list_init(&lane->link);
        list_init(&lane->messages);
        lane->group = message->group;
        lane->kind = kind;
        /* The lane may have been freed with a message in the vector that is being gathered. */
        lane->vector_number = outgoing->vector.size > 0 ? outgoing->vector_number : 0;
        map_put(&outgoing->lanes[kind], lane->group, lane);
    }
    return lane;
}

static struct peer_message *outgoing_head(const struct outgoing_lane *lane)
{
    return list_entry(lane->messages.next, struct peer_message, link);
}

/* Puts the lane at the end of the list where its next frame belongs; frees it when it has none and there are many. */
static void outgoing_place(struct outgoing *outgoing, struct outgoing_lane *lane)
{
    list_remove(&lane->link);
    const struct peer_message *next = lane->current;
    if (next == NULL && list_empty(&lane->messages)) {
        if (outgoing->lanes[lane->kind].count > OUTGOING_IDLE_LANES_MAX) {
            map_remove(&outgoing->lanes[lane->kind], lane->group);
            free(lane);
        }
        return;
    }
    if (next == NULL) {
        next = outgoing_head(lane);
    }
    if (next->class == PEER_URGENT || next->small) {
        list_append(&outgoing->first, &lane->link);
    } else {
        list_append(lane->current != NULL ? &outgoing->moving : &outgoing->waiting, &lane->link);
    }
}

void outgoing_push(struct outgoing *outgoing, struct peer_message *message)
{
    struct outgoing_lane *lane = outgoing_lane_of(outgoing, message);
    bool is_idle = lane->current == NULL && list_empty(&lane->messages);
    list_append(&lane->messages, &message->link);
    outgoing->message_count++;
    if (is_idle) {
        outgoing_place(outgoing, lane);
    }
}

static struct peer_message *outgoing_take_head(struct outgoing *outgoing, struct outgoing_lane *lane)
{
    struct peer_message *message = outgoing_head(lane);
    list_remove(&message->link);
    outgoing->message_count--;
    return message;
}

static void outgoing_write_vector(struct outgoing *outgoing, struct buffer *out)
{
    if (outgoing->vector.size == 0) {
        return;
    }
    uint32_t size = (uint32_t)outgoing->vector.size;
    struct frame_header header = {
        .size = size, .kind = FRAME_VECTOR, .flags = FRAME_FIRST | FRAME_LAST, .message_size = size};
    size_t start = out->size;
    buffer_extend(out, FRAME_HEADER_SIZE);
    buffer_append(out, outgoing->vector.data, outgoing->vector.size);
    frame_seal(out->data + start, &header);
    buffer_clear(&outgoing->vector);
    outgoing->vector_number++;
}

/* Appends one small message to the vector. */
static void outgoing_gather(struct outgoing *outgoing, struct outgoing_lane *lane, struct buffer *out)
{
    struct buffer *vector = &outgoing->vector;
    if (vector->size + FRAME_VECTOR_HEADER_SIZE + PEER_SMALL_SIZE_MAX > FRAME_PAYLOAD_SIZE_MAX) {
        outgoing_write_vector(outgoing, out);
    }
    struct peer_message *message = outgoing_take_head(outgoing, lane);
    size_t start = vector->size;
    buffer_extend(vector, FRAME_VECTOR_HEADER_SIZE);
    int rc = message->encode(message, vector);
    if (rc != 0) {
        vector->size = start;
    } else {
        size_t size = vector->size - start - FRAME_VECTOR_HEADER_SIZE;
        assert(size <= PEER_SMALL_SIZE_MAX);
        uint8_t *header = vector->data + start;
        bytes_put_u8(header, (uint8_t)message->kind);
        bytes_put_u16(header + 1, (uint16_t)size);
        bytes_put_u64(header + 3, message->group);
        bytes_put_u64(header + 11, message->group_incarnation);
        lane->vector_number = outgoing->vector_number;
    }
    outgoing_place(outgoing, lane);
    message->release(message, rc == 0);
}

/* Writes the next fragment of the lane's current message. */
static void outgoing_cut(struct outgoing *outgoing, struct outgoing_lane *lane, struct buffer *out)
{
    struct peer_message *message = lane->current;
    size_t left = lane->encoded.size - lane->offset;
    uint32_t size = (uint32_t)(left < FRAME_PAYLOAD_SIZE_MAX ? left : FRAME_PAYLOAD_SIZE_MAX);
    struct frame_header header = {
        .size = size,
        .kind = (uint8_t)message->kind,
        .stream = (uint16_t)lane->stream,
        .group = message->group,
        .group_incarnation = message->group_incarnation,
    };
    if (lane->offset == 0) {
        header.flags |= FRAME_FIRST;
        header.message_size = (uint32_t)lane->encoded.size;
    }
    if (size == left) {
        header.flags |= FRAME_LAST;
    }
    size_t start = out->size;
    buffer_extend(out, FRAME_HEADER_SIZE);
    buffer_append(out, lane->encoded.data + lane->offset, size);
    frame_seal(out->data + start, &header);
    lane->offset += size;
    if (size < left) {
        outgoing_place(outgoing, lane);
        return;
    }
    outgoing->streams[lane->stream] = NULL;
    outgoing->stream_count--;
    outgoing->encoded_bytes -= lane->encoded.size;
    outgoing->message_count--;
    buffer_close(&lane->encoded);
    lane->current = NULL;
    outgoing_place(outgoing, lane);
    message->release(message, 1);
}

/* Makes the message, which stands encoded at `payload`, the lane's current one. */
static void outgoing_begin_cutting(struct outgoing *outgoing, struct outgoing_lane *lane, struct peer_message *message,
                                   struct hf_bytes payload)
{
    unsigned stream = 0;
    while (outgoing->streams[stream] != NULL) {
        stream++;
        assert(stream < PEER_STREAMS_MAX);
    }
    outgoing->streams[stream] = lane;
    outgoing->stream_count++;
    outgoing->encoded_bytes += payload.size;
    outgoing->message_count++;
    lane->current = message;
    lane->stream = stream;
    lane->offset = 0;
    buffer_append_bytes(&lane->encoded, payload);
}

/* Encodes the lane's next message straight into out; most fit into one frame and stay there. */
static void outgoing_begin(struct outgoing *outgoing, struct outgoing_lane *lane, struct buffer *out)
{
    struct peer_message *message = outgoing_take_head(outgoing, lane);
    size_t start = out->size;
    buffer_extend(out, FRAME_HEADER_SIZE);
    int rc = message->encode(message, out);
    size_t size = out->size - start - FRAME_HEADER_SIZE;
    if (rc == 0 && size > PEER_MESSAGE_SIZE_MAX) {
        TRACE(TRACE_ERROR, "peer", "dropped a message of %zu bytes of group %" PRIu64 ": the limit is %u", size,
              message->group, PEER_MESSAGE_SIZE_MAX);
        rc = HF_ETOOBIG;
    }
    if (rc != 0) {
        out->size = start;
        outgoing_place(outgoing, lane);
        message->release(message, 0);
        return;
    }
    if (size > FRAME_PAYLOAD_SIZE_MAX) {
        outgoing_begin_cutting(outgoing, lane, message, bytes_of(out->data + start + FRAME_HEADER_SIZE, size));
        out->size = start;
        outgoing_cut(outgoing, lane, out);
        return;
    }
    struct frame_header header = {
        .size = (uint32_t)size,
        .kind = (uint8_t)message->kind,
        .flags = FRAME_FIRST | FRAME_LAST,
        .message_size = (uint32_t)size,
        .group = message->group,
        .group_incarnation = message->group_incarnation,
    };
    frame_seal(out->data + start, &header);
    outgoing_place(outgoing, lane);
    message->release(message, 1);
}

static bool outgoing_may_encode_bulk(const struct outgoing *outgoing)
{
    if (outgoing->stream_count >= OUTGOING_BULK_STREAMS_MAX) {
        return false;
    }
    size_t longest = 0;
    for (unsigned i = 0; i < PEER_STREAMS_MAX && outgoing->encoded_bytes > OUTGOING_LONG_SIZE; i++) {
        const struct outgoing_lane *lane = outgoing->streams[i];
        longest = lane != NULL && lane->encoded.size > longest ? lane->encoded.size : longest;
    }
    size_t excused = longest > OUTGOING_LONG_SIZE ? longest - OUTGOING_LONG_SIZE : 0;
    return outgoing->encoded_bytes - excused <= OUTGOING_ENCODED_MAX_BYTES;
}

static bool outgoing_needs_stream(const struct outgoing_lane *lane)
{
    return lane->current == NULL && !outgoing_head(lane)->small;
}

/* The lane whose turn it is, or NULL. */
static struct outgoing_lane *outgoing_next(struct outgoing *outgoing)
{
    list_each (&outgoing->first, item) {
        struct outgoing_lane *lane = list_entry(item, struct outgoing_lane, link);
        if (outgoing->stream_count < PEER_STREAMS_MAX || !outgoing_needs_stream(lane)) {
            return lane;
        }
    }
    bool may_move = !list_empty(&outgoing->moving);
    bool may_begin = !list_empty(&outgoing->waiting) && outgoing_may_encode_bulk(outgoing);
    if (!may_move && !may_begin) {
        return NULL;
    }
    bool moves = may_move && (!may_begin || !outgoing->moved_last);
    outgoing->moved_last = moves;
    struct list *list = moves ? &outgoing->moving : &outgoing->waiting;
    return list_entry(list->next, struct outgoing_lane, link);
}

void outgoing_fill(struct outgoing *outgoing, size_t room, struct buffer *out)
{
    size_t end = out->size + room;
    while (out->size + outgoing->vector.size < end) {
        struct outgoing_lane *lane = outgoing_next(outgoing);
        if (lane == NULL) {
            break;
        }
        if (lane->current == NULL && outgoing_head(lane)->small) {
            outgoing_gather(outgoing, lane, out);
            continue;
        }
        if (lane->vector_number == outgoing->vector_number) {
            outgoing_write_vector(outgoing, out); /* the lane's earlier messages go first */
        }
        if (lane->current != NULL) {
            outgoing_cut(outgoing, lane, out);
        } else {
            outgoing_begin(outgoing, lane, out);
        }
    }
    outgoing_write_vector(outgoing, out);
}

/* Empties a lane into two lists: what was handed over in part, and what was not. */
static void outgoing_drop_lane(struct outgoing_lane *lane, struct list *begun, struct list *queued)
{
    if (lane->current != NULL) {
        list_append(begun, &lane->current->link);
    }
    list_splice(queued, &lane->messages);
    buffer_close(&lane->encoded);
    free(lane);
}

static void outgoing_release_all(struct list *messages, int sent)
{
    while (!list_empty(messages)) {
        struct peer_message *message = list_entry(messages->next, struct peer_message, link);
        list_remove(&message->link);
        message->release(message, sent);
    }
}

void outgoing_drop(struct outgoing *outgoing)
{
    struct list begun;
    struct list queued;
    list_init(&begun);
    list_init(&queued);
    for (unsigned kind = 0; kind < OUTGOING_LANE_KIND_COUNT; kind++) {
        size_t position = 0;
        uint64_t group = 0;
        void *lane = NULL;
        while (map_next(&outgoing->lanes[kind], &position, &group, &lane)) {
            outgoing_drop_lane(lane, &begun, &queued);
        }
        map_close(&outgoing->lanes[kind]);
    }
    buffer_close(&outgoing->vector);
    outgoing_init(outgoing);
    /* Last, since release may push again. */
    outgoing_release_all(&begun, 1);
    outgoing_release_all(&queued, 0);
}
