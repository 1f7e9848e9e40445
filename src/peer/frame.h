/* Frames between nodes, version 1. All integers little-endian.
 *
 *   offset size  field
 *   0      4     size          bytes of the payload that follow the header, at most FRAME_PAYLOAD_SIZE_MAX
 *   4      4     crc           CRC-32C of bytes 8 … 32+size
 *   8      1     kind          enum frame_kind
 *   9      1     flags         FRAME_FIRST | FRAME_LAST: a message is cut into fragments of at most 64 KiB
 *   10     2     stream        which message of this (connection, direction) the fragment belongs to
 *   12     4     message_size  bytes of the whole message, in its first fragment; 0 in later ones
 *   16     8     group         0: not about a group
 *   24     8     group_incarnation
 *   32     size  payload
 *
 * FRAME_VECTOR (group 0, never fragmented) carries messages marked `small`, e.g. heartbeats of many groups, one after
 * another, in their order: kind u8, size u16, group u64, group_incarnation u64, then size bytes.
 *
 * A receiver closes the connection on: a size above the limit, a bad CRC, an unknown flag, a message above
 * PEER_MESSAGE_SIZE_MAX, a fragment out of order, more than PEER_STREAMS_MAX unfinished messages, any frame before the
 * handshake. An unknown kind is skipped when it is ≥ 128, refused otherwise; the known ones
 * above 128 are those that an older program may skip. Order is kept within a group and class. */
#ifndef PEER_FRAME_H
#define PEER_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/bytes.h"

#define FRAME_HEADER_SIZE      32u
#define FRAME_PAYLOAD_SIZE_MAX (64u * 1024u)
#define FRAME_FIRST            1u
#define FRAME_LAST             2u
#define PEER_PROTOCOL_VERSION  1u
#define PEER_MESSAGE_SIZE_MAX  (136u << 20) /* an entry of 128 MiB and its envelope */
#define PEER_STREAMS_MAX       64u
#define PEER_SMALL_SIZE_MAX    1024u /* a message in a vector */
#define PEER_UNFINISHED_SIZE_MAX                                                         \
    (2ull * PEER_MESSAGE_SIZE_MAX + (4u << 20)) /* of one connection, in all its streams \
                                                 */
#define FRAME_VECTOR_HEADER_SIZE 19u
#define FRAME_KIND_SKIPPED_MIN   128u /* unknown kinds from here on are skipped */

/* Numbers are on the wire: never reuse one. */
enum frame_kind {
    FRAME_HELLO = 1,     /* handshake, both directions: see peer/handshake.h */
    FRAME_REFUSED = 2,   /* handshake refused: code, text */
    FRAME_RAFT = 3,      /* one raft message: see replica/codec.h */
    FRAME_VECTOR = 4,    /* many small messages of several groups in one frame: see below */
    FRAME_READ_PING = 5, /* read index round: see replica/read_index.h */
    FRAME_READ_PONG = 6,
    FRAME_FORWARD = 7, /* a client's command on its way to the leader: see node/forward.h */
    FRAME_FORWARD_REPLY = 8,
    FRAME_CLOCK = 9,      /* wall clock exchange: see node/clock.h */
    FRAME_KEEPALIVE = 10, /* nothing; shows that the connection lives */
    FRAME_STATUS = 11,    /* status request for `holdfast status` of other nodes: see node/status.h */
    FRAME_STATUS_REPLY = 12,
    FRAME_SNAPSHOT_FETCH = 13, /* a question for a chunk of a snapshot: see node/chunk_frame.h */
    FRAME_SNAPSHOT_CHUNK = 14,
    FRAME_FEATURES = 128, /* what a node's program understands: see node/members.h. Older ones skip it */
    FRAME_MEMBERS = 129,  /* the members as a node knows them: see node/members.h. Older ones skip it */
    FRAME_REPAIR_REQUEST =
        130, /* a question for entries that damage took: see node/repair_frame.h. Older ones skip it */
    FRAME_REPAIR_ANSWER = 131,
    FRAME_REJOIN = 132 /* what a member may have lost, and where its leader's log ends: see replica/rejoin.h */
};
#define FRAME_KIND_KNOWN_MAX         14u
#define FRAME_KIND_SKIPPED_KNOWN_MAX 132u /* of those that an older program may skip */

struct frame_header {
    uint32_t size;
    uint8_t kind;
    uint8_t flags;
    uint16_t stream;
    uint32_t message_size;
    uint64_t group;
    uint64_t group_incarnation;
};

/* Writes the header, checksum included, in front of header->size bytes of payload that stand at
 * target + FRAME_HEADER_SIZE already. */
void frame_seal(uint8_t *target, const struct frame_header *header);
/* Reads FRAME_HEADER_SIZE bytes. HF_EPROTOCOL: a size, flag, kind or message size that no sender may write. The
 * checksum needs the payload: see frame_check. */
int frame_header_decode(const uint8_t *source, struct frame_header *out);
/* Whether a message of this kind goes to its owner, or is passed because a later version sent it. */
bool frame_is_skipped(uint8_t kind);
/* Verifies the checksum of a whole frame. HF_EPROTOCOL. */
int frame_check(const uint8_t *frame, const struct frame_header *header);
/* 0 for a kind that may travel inside a vector; HF_EPROTOCOL. */
int frame_check_vector_kind(uint8_t kind);

#endif
