/* Bytes between nodes: one connection per host pair, frames scoped by group.
 *
 * The node with the higher id dials; the other listens. Both sides send HELLO (protocol version, cluster id, node id,
 * node incarnation, routing version) and refuse what does not match, with the reason told to the other side and kept
 * for status. After that the connection is *up* until it ends; each up has a new epoch. Frames of an earlier epoch are
 * never delivered after a later epoch is up (LIBRAFT guard E), and nothing is sent twice: what was queued when a
 * connection ended is dropped, and its owners are told.
 *
 * Order: FIFO per (group, class) and connection. Classes: urgent (votes, heartbeats, pings) overtakes bulk (entries,
 * forwards) of other groups; within one group an urgent message never overtakes bulk of the same group unless it is
 * marked independent (pings). Messages above 64 KiB are cut and interleaved between groups.
 *
 * Memory: a message is encoded only when the socket has room: at most PEER_MATERIALISED_MAX_BYTES per peer stand in
 * encoded form; queued messages hold whatever their owner put into `user`.
 *
 * Thread: the loop's. Callbacks run in the loop's turns. */
#ifndef PEER_PEER_H
#define PEER_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "net/loop.h"
#include "peer/frame.h"

#define PEER_MATERIALISED_MAX_BYTES (4u << 20)
#define PEER_RECONNECT_MIN_MS       50u
#define PEER_RECONNECT_MAX_MS       1000u
#define PEER_KEEPALIVE_MS           500u  /* an idle connection sends one */
#define PEER_SILENCE_MAX_MS         5000u /* a connection that hears nothing for so long is ended */
#define PEER_HANDSHAKE_MAX_MS       2000u /* from dialing or accepting until the connection is up */
#define PEER_PENDING_MAX            64u   /* accepted connections before their handshake; beyond it the oldest goes */
#define PEER_CLUSTER_ID_SIZE        16u
#define PEER_NODE_VISITOR           0u         /* the node id of who only asks who answers: see peer/visit.h */
#define PEER_NODE_JOINING           UINT64_MAX /* the node id of who has none yet */

struct peer_hub;

enum peer_class { PEER_URGENT, PEER_BULK };

/* A message on its way out. The sender allocates it; the hub owns it from peer_send on, and calls exactly one of
 * `encode` and then `release`, or `release` alone (dropped). */
struct peer_message {
    struct list link;
    enum frame_kind kind;
    enum peer_class class;
    bool independent; /* may overtake other messages of its group */
    bool small;       /* at most 1 KiB encoded: may share a FRAME_VECTOR with other groups' messages of the turn */
    uint64_t group;
    uint64_t group_incarnation;
    /* Appends the payload. Non-zero: the message became pointless (its entries changed): it is dropped. */
    int (*encode)(struct peer_message *message, struct buffer *out);
    /* sent: handed to the socket (its first byte may have left). Frees the message. */
    void (*release)(struct peer_message *message, int sent);
    void *user;
};

struct peer_identity {
    uint8_t cluster_id[PEER_CLUSTER_ID_SIZE];
    uint64_t node_id;
    uint64_t node_incarnation;
    uint64_t routing_version;
    uint64_t seed; /* from io_random: spreads reconnects; not sent */
};

struct peer_callbacks {
    void (*up)(void *arg, uint64_t node_id, uint64_t epoch);
    void (*down)(void *arg, uint64_t node_id, uint64_t epoch);
    /* A whole message; payload lent for the call. */
    void (*received)(void *arg, uint64_t node_id, enum frame_kind kind, uint64_t group, uint64_t group_incarnation,
                     struct hf_bytes payload);
    /* May this identity connect (its incarnation is the one we know)? 0 or HF_EMISMATCH with text. Asked about nodes
     * that are no peers too: HF_EREMOVED with text for one that was; 0: it gets the hub's refusal. */
    int (*admit)(void *arg, uint64_t node_id, uint64_t node_incarnation);
    /* A peer says that we are no member any more (HF_EREMOVED, with its text). May be NULL. */
    void (*removed)(void *arg, uint64_t node_id);
};

/* Listens on listen_address. Fails with HF_EBUSY when the port is in use. */
int peer_hub_open(struct loop *loop, const struct peer_identity *identity, const char *listen_address,
                  const struct peer_callbacks *callbacks, void *arg, struct peer_hub **out);
/* Releases what is queued; no other callback runs. Not from inside a callback of the hub or of a message. Accepts NULL.
 */
void peer_hub_close(struct peer_hub *hub);
/* Adds a node to talk to (dials when our id is the higher one). */
int peer_hub_add(struct peer_hub *hub, uint64_t node_id, const char *address);
/* The node moved: its connection ends, and the next one is dialed to the new address. */
int peer_hub_set_address(struct peer_hub *hub, uint64_t node_id, const char *address);
/* Talks to a node no more: `down` is called when it was up, from inside the call. Not from inside a callback of the hub
 * or of a message. */
void peer_hub_remove(struct peer_hub *hub, uint64_t node_id);
/* Where the hub listens, with the port that was bound; lent until closed. */
const char *peer_hub_address(const struct peer_hub *hub);
/* Takes the message over. When the connection is down it is released at once (from the turn's end, not from here). */
void peer_send(struct peer_hub *hub, uint64_t node_id, struct peer_message *message);
/* Hands what is queued to the sockets now. The hub does it at every turn's end, as the last of the hooks: it moves
 * there when a hook that was added later sends something, which then leaves one turn late, once. */
void peer_flush(struct peer_hub *hub);
bool peer_is_up(const struct peer_hub *hub, uint64_t node_id); /* accepts NULL, as peer_status does: no peers */

/* Encoded for peers and not sent, received from them in part. Messages that wait are their owners'. */
uint64_t peer_hub_memory_bytes(const struct peer_hub *hub);

struct peer_status {
    uint64_t node_id;
    char address[128];
    bool up;
    uint64_t epoch;
    uint64_t up_since_ms;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t queued_messages;
    uint64_t connects;    /* connections that came up */
    char last_error[256]; /* why it is down or was refused; empty */
};
int peer_status(const struct peer_hub *hub, uint64_t node_id, struct peer_status *out);

#endif
