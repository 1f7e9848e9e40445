/* Messages on their way out of one replica, one queue per peer.
 *
 *   outbox_push → queue of the peer → (durable?) → send → hub … encode, release → the next one
 *
 * A queue holds descriptions by value, never bytes: entries are a range (index, term), read from the log when the hub
 * encodes, and the message is dropped when they changed meanwhile. Only the head of a queue stands in the hub, so order
 * is kept also when one AppendEntries has to leave as several: the engine has counted its entries as sent, so a range
 * above OUTBOX_ENTRIES_SIZE_MAX is split, never shortened. Neighbours that say the same thing together are merged while
 * they wait: ranges that touch, heartbeats, acknowledgements.
 *
 * A message may leave when the append numbered `after` is durable (rule 1). */
#ifndef REPLICA_OUTBOX_H
#define REPLICA_OUTBOX_H

#include <raft.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/list.h"
#include "holdfast/log.h"
#include "peer/peer.h"

#define OUTBOX_ENTRIES_SIZE_MAX (4u << 20) /* payload of one AppendEntries, unless a single entry is larger */
#define OUTBOX_QUEUE_MAX        256u       /* messages per peer; beyond it new ones are lost, as on a network */
#define OUTBOX_PEERS_MAX        64u        /* with something to say: idle ones make room */

struct outbox_callbacks {
    void (*send)(void *arg, uint64_t to_node, struct peer_message *message);
    /* Reading an entry failed for another reason than that it is gone. */
    void (*failed)(void *arg, int result);
};

struct outbox_peer {
    uint64_t node_id;
    struct list queue;   /* in order; the hub gets them one by one */
    struct list aside;   /* independent ones: the hub gets all that may leave */
    struct list exposed; /* in the hub */
    unsigned queued;     /* in queue and aside */
    bool is_busy;        /* the head of the queue is in the hub */
    bool is_down;
};

struct outbox {
    struct hf_log *log; /* lent */
    uint64_t group;
    uint64_t group_incarnation;
    struct outbox_peer **peers;
    unsigned peer_count;
    uint64_t durable; /* messages with after ≤ this may leave */
    struct outbox_callbacks callbacks;
    void *arg;
};

void outbox_open(struct outbox *outbox, struct hf_log *log, uint64_t group, uint64_t group_incarnation,
                 const struct outbox_callbacks *callbacks, void *arg);
/* What stands in the hub becomes pointless there. */
void outbox_close(struct outbox *outbox);

/* A raft message of the engine; addressed by its server_id. last_term: for append entries with entries, the term of the
 * last one. Nothing is sent before outbox_flush. */
void outbox_push(struct outbox *outbox, const struct raft_message *raft, uint64_t last_term, uint64_t after);
/* An InstallSnapshot, encoded already: takes the bytes over. One that waits for the same peer is replaced. */
void outbox_push_snapshot(struct outbox *outbox, uint64_t to_node, struct buffer *bytes, uint64_t after);
/* Ready-made bytes of another kind (pings): small, independent, never merged. */
void outbox_push_bytes(struct outbox *outbox, uint64_t to_node, enum frame_kind kind, struct hf_bytes bytes,
                       uint64_t after);
/* Sends what may leave now. */
void outbox_flush(struct outbox *outbox, uint64_t durable);
/* Drops what waits for a peer (the connection it was meant for ended), or for all. */
void outbox_peer_changed(struct outbox *outbox, uint64_t node_id, bool is_up);
void outbox_clear(struct outbox *outbox);

#endif
