/* What waits to be sent on one connection, and in which order it goes.
 *
 * A *lane* is what must stay in order: the ordered messages of a group, its independent urgent ones, and its
 * independent bulk ones. Lanes take turns, one frame each:
 *
 *   first     the lane's next message is urgent or small: served before everything else
 *   waiting   the next message is bulk and not encoded yet       ┐ these two lists alternate, so that a long message
 *   moving    a bulk message is being cut into fragments         ┘ delays a short one by one fragment
 *
 * An urgent message behind bulk of its own lane waits: within a group nothing overtakes. Small messages are gathered in
 * vectors; a vector is written before the next frame of any lane that has a message in it, and at the end at the
 * latest.
 *
 * Memory: a message is encoded when it is its turn and, if it is bulk, only while what stands encoded is below
 * OUTGOING_ENCODED_MAX_BYTES. A message longer than OUTGOING_LONG_SIZE counts as that long once, so that one huge entry
 * does not stop the other groups: with messages of at most 1 MiB, PEER_MATERIALISED_MAX_BYTES holds to the byte.
 *
 * Thread: the loop's. encode and release run inside outgoing_fill and outgoing_drop; they may push to any outgoing. */
#ifndef PEER_OUTGOING_H
#define PEER_OUTGOING_H

#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "peer/peer.h"

#define OUTGOING_LONG_SIZE  (1u << 20)
#define OUTGOING_SOCKET_MAX (512u * 1024u) /* handed to the socket and unsent; above STREAM_LOW_WATER_BYTES */
/* What is left for encoded messages when the socket has its share, a frame more, and one message is being encoded. */
#define OUTGOING_ENCODED_MAX_BYTES \
    (PEER_MATERIALISED_MAX_BYTES - OUTGOING_SOCKET_MAX - 2u * FRAME_PAYLOAD_SIZE_MAX - OUTGOING_LONG_SIZE)
#define OUTGOING_BULK_STREAMS_MAX (PEER_STREAMS_MAX - 4u) /* the rest is for urgent messages */

struct outgoing_lane;
enum outgoing_lane_kind { OUTGOING_ORDERED, OUTGOING_FREE_URGENT, OUTGOING_FREE_BULK, OUTGOING_LANE_KIND_COUNT };

struct outgoing {
    struct map lanes[OUTGOING_LANE_KIND_COUNT]; /* by group */
    struct list first;
    struct list waiting;
    struct list moving;
    unsigned moved_last; /* whether the previous bulk frame came from `moving` */
    struct outgoing_lane *streams[PEER_STREAMS_MAX];
    unsigned stream_count;
    uint64_t encoded_bytes; /* of the messages in streams, whole */
    uint64_t message_count; /* not yet handed over in full */
    struct buffer vector;
    uint64_t vector_number;
};

void outgoing_init(struct outgoing *outgoing);
/* Releases everything: messages of which a fragment was handed over as sent. Usable again afterwards. */
void outgoing_drop(struct outgoing *outgoing);
void outgoing_push(struct outgoing *outgoing, struct peer_message *message);
/* Appends whole frames to out until it has grown by at least `room` bytes or nothing may go now. */
void outgoing_fill(struct outgoing *outgoing, size_t room, struct buffer *out);
bool outgoing_is_empty(const struct outgoing *outgoing);

#endif
