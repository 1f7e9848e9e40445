/* One connection to another node: the stream, the handshake, frames both ways, keepalive and the silence limit.
 *
 *   CONNECTING ─connected─▶ GREETING ─HELLO─▶ UP          the dialer
 *                           GREETING ─HELLO─▶ CONFIRMING ─KEEPALIVE─▶ UP   the listener's side
 *
 * A connection that does not come up within PEER_HANDSHAKE_MAX_MS, or is silent for PEER_SILENCE_MAX_MS, ends. It never
 * closes itself: it says `ended` once, sends and reads nothing from there on, and its owner closes it.
 *
 * Thread: the loop's. Callbacks run in turns of the loop, never inside the calls below; any of them but `greeted`
 * may close the connection. */
#ifndef PEER_CONNECTION_H
#define PEER_CONNECTION_H

#include "base/list.h"
#include "net/loop.h"
#include "peer/handshake.h"
#include "peer/incoming.h"
#include "peer/peer.h"

enum connection_state {
    CONNECTION_CONNECTING,
    CONNECTION_GREETING,
    CONNECTION_CONFIRMING,
    CONNECTION_UP,
    CONNECTION_ENDED
};

struct connection;
struct connection_callbacks {
    /* The other side said who it is. 0, or an error: the other side is told why and the connection ends. */
    int (*greeted)(void *arg, struct connection *connection, const struct handshake *remote);
    void (*up)(void *arg, struct connection *connection);
    /* A message other than the handshake's and keepalives; payload lent for the call. */
    void (*received)(void *arg, struct connection *connection, const struct frame_header *header,
                     struct hf_bytes payload);
    /* result < 0 with hf_error_text. */
    void (*ended)(void *arg, struct connection *connection, int result);
    /* There is room in the socket again. */
    void (*drained)(void *arg, struct connection *connection);
};

struct connection {
    struct list link;    /* the owner's */
    void *owner;         /* the owner's */
    unsigned is_pending; /* the owner's */
    struct loop *loop;
    struct stream *stream;
    const struct connection_callbacks *callbacks;
    void *arg;
    enum connection_state state;
    struct peer_identity identity; /* our own */
    uint64_t to_node_id;           /* whom a dialer dials; from the other's HELLO for the listener */
    unsigned is_dialer;
    struct incoming incoming;
    struct loop_timer timer;
    uint64_t heard_ms;
    uint64_t spoke_ms;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    unsigned dispatching; /* inside incoming_feed: the memory outlives connection_close until that returns */
    unsigned is_closed;
};

/* Errors of stream_connect that show at once. */
int connection_dial(struct loop *loop, const char *address, uint64_t to_node_id, const struct peer_identity *identity,
                    const struct connection_callbacks *callbacks, void *arg, struct connection **out);
struct connection *connection_accept(struct loop *loop, struct stream *stream, const struct peer_identity *identity,
                                     const struct connection_callbacks *callbacks, void *arg);
void connection_close(struct connection *connection); /* accepts NULL */
/* Bytes of whole frames; only while up. */
void connection_write(struct connection *connection, struct hf_bytes frames);
size_t connection_unsent_bytes(const struct connection *connection);
/* Unsent, and received in part. */
size_t connection_memory_bytes(const struct connection *connection);

#endif
