/* From the bytes of one connection to whole messages: frames are found and checked, fragments put together, vectors
 * taken apart. Nothing here knows of streams or nodes, so that it can be tested and fuzzed alone.
 *
 * Memory grows with what arrived, never with what was announced: a partial frame (at most 64 KiB) and the received
 * part of at most PEER_STREAMS_MAX unfinished messages, at most PEER_UNFINISHED_SIZE_MAX together.
 *
 * Thread: the loop's. */
#ifndef PEER_INCOMING_H
#define PEER_INCOMING_H

#include "base/buffer.h"
#include "peer/frame.h"

struct incoming_part;

struct incoming {
    struct buffer frame; /* a frame of which a part has arrived */
    struct incoming_part *parts[PEER_STREAMS_MAX];
    unsigned part_count;
    uint64_t part_bytes;
    uint32_t message_size_max; /* HANDSHAKE_PAYLOAD_SIZE_MAX until the connection is up, then PEER_MESSAGE_SIZE_MAX */
};

/* A whole message; header->size is not set for messages that came in fragments or vectors. payload is lent for the
 * call. Non-zero stops incoming_feed, which returns it. */
typedef int incoming_deliver(void *arg, const struct frame_header *header, struct hf_bytes payload);

void incoming_init(struct incoming *incoming, uint32_t message_size_max);
void incoming_close(struct incoming *incoming);
/* HF_EPROTOCOL: the bytes break the format; the connection must be closed. */
int incoming_feed(struct incoming *incoming, struct hf_bytes bytes, incoming_deliver *deliver, void *arg);

#endif
