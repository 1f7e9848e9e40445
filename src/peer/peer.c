/* The hub: one peer per node, at most one connection per peer that is up.
 *
 * A peer's connection comes up in two ways: we dialed (our id is the higher one), or it was accepted. Whichever
 * finished its handshake last is the connection: an older one is closed in that moment, and what it still had to say is
 * never heard (guard E). That is right because a node opens a second connection only after it gave up the first. */
#include "peer/peer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mutation.h"
#include "base/rng.h"
#include "base/trace.h"
#include "peer/connection.h"
#include "peer/outgoing.h"

#define PEER_SCRATCH_KEPT_MAX_BYTES (2u << 20)

struct peer {
    struct list link; /* in the hub's peers */
    struct peer_hub *hub;
    uint64_t node_id;
    char address[128];
    unsigned is_dialed;            /* we dial it */
    struct connection *connection; /* up; NULL: none */
    struct connection *attempt;    /* being dialed */
    struct list ghosts;            /* replaced connections that GUARD_E's mutation keeps alive */
    struct loop_timer redial;
    uint64_t backoff_ms;
    struct outgoing outgoing;
    uint64_t epoch;
    uint64_t up_since_ms;
    uint64_t connects;
    uint64_t bytes_sent; /* of connections that are gone */
    uint64_t bytes_received;
    char last_error[256];
};

struct peer_hub {
    struct loop *loop;
    struct peer_identity identity;
    struct peer_callbacks callbacks;
    void *arg;
    struct listener *listener;
    struct list peers; /* in the order of peer_hub_add */
    struct map by_node;
    struct list pending; /* accepted connections before their handshake, oldest first */
    unsigned pending_count;
    struct list dropped; /* messages to nobody, released at the turn's end */
    struct loop_hook turn_end;
    struct loop_timer late; /* armed while something is queued: see peer_flush */
    unsigned is_late_armed;
    struct rng rng;
    struct buffer scratch;
};

static void peer_dial(void *arg);

static struct peer *peer_of(const struct peer_hub *hub, uint64_t node_id)
{
    return hub != NULL ? map_get(&hub->by_node, node_id) : NULL;
}

/* Keeps the reason for status; says it once, not at every attempt. */
static void peer_note_error(struct peer *peer, const char *text)
{
    if (strncmp(peer->last_error, text, sizeof(peer->last_error) - 1) == 0) {
        return;
    }
    snprintf(peer->last_error, sizeof(peer->last_error), "%s", text);
    TRACE(TRACE_WARN, "peer", "node %" PRIu64 ", connection to node %" PRIu64 ": %s", peer->hub->identity.node_id,
          peer->node_id, peer->last_error);
}

static void peer_redial_later(struct peer *peer)
{
    if (!peer->is_dialed) {
        return;
    }
    /* Half of the wait is random, so that nodes that lost each other together do not come back together. */
    uint64_t wait_ms = peer->backoff_ms / 2 + rng_below(&peer->hub->rng, peer->backoff_ms / 2 + 1);
    peer->backoff_ms = peer->backoff_ms * 2 < PEER_RECONNECT_MAX_MS ? peer->backoff_ms * 2 : PEER_RECONNECT_MAX_MS;
    loop_timer_set(peer->hub->loop, &peer->redial, loop_now_ms(peer->hub->loop) + wait_ms);
}

static void peer_let_go(struct peer *peer, struct connection *connection)
{
    peer->bytes_sent += connection->bytes_sent;
    peer->bytes_received += connection->bytes_received;
    if (MUTATED(GUARD_E) && connection->state == CONNECTION_UP) {
        list_append(&peer->ghosts, &connection->link);
        return;
    }
    connection_close(connection);
}

/* The connection is no longer the peer's: what is queued is dropped, then the owner learns of it. */
static void peer_go_down(struct peer *peer)
{
    struct connection *connection = peer->connection;
    peer->connection = NULL;
    peer_let_go(peer, connection);
    outgoing_drop(&peer->outgoing);
    peer->hub->callbacks.down(peer->hub->arg, peer->node_id, peer->epoch);
}

static void peer_take_pending(struct peer_hub *hub, struct connection *connection)
{
    assert(connection->is_pending);
    connection->is_pending = 0;
    list_remove(&connection->link);
    hub->pending_count--;
}

static void peer_came_up(void *arg, struct connection *connection)
{
    struct peer_hub *hub = arg;
    struct peer *peer = connection->owner;
    if (peer == NULL) { /* a visitor that stays */
        peer_take_pending(hub, connection);
        connection_close(connection);
        return;
    }
    if (peer->attempt == connection) {
        peer->attempt = NULL;
    } else {
        peer_take_pending(hub, connection);
    }
    if (peer->connection != NULL) {
        peer_go_down(peer);
    }
    peer->connection = connection;
    peer->epoch++;
    peer->connects++;
    peer->up_since_ms = loop_now_ms(hub->loop);
    peer->backoff_ms = PEER_RECONNECT_MIN_MS;
    peer->last_error[0] = '\0';
    TRACE(TRACE_INFO, "peer", "node %" PRIu64 ": connected to node %" PRIu64 ", epoch %" PRIu64, hub->identity.node_id,
          peer->node_id, peer->epoch);
    hub->callbacks.up(hub->arg, peer->node_id, peer->epoch);
}

static int peer_greeted(void *arg, struct connection *connection, const struct handshake *remote)
{
    struct peer_hub *hub = arg;
    uint64_t node_id = remote->identity.node_id;
    struct peer *peer = peer_of(hub, node_id);
    if (node_id == PEER_NODE_VISITOR && !connection->is_dialer) {
        return 0;
    }
    if (peer == NULL) {
        int rc = hub->callbacks.admit(hub->arg, node_id, remote->identity.node_incarnation);
        return rc != 0 ? rc
                       : error_raise(HF_ENOTFOUND, "node %" PRIu64 " is not a member that node %" PRIu64 " knows",
                                     node_id, hub->identity.node_id);
    }
    connection->owner = peer;
    int rc = hub->callbacks.admit(hub->arg, node_id, remote->identity.node_incarnation);
    if (rc == 0 && peer->is_dialed && !connection->is_dialer) {
        /* A node that asks whether it is a member still: no reason why the connection between us is down. */
        connection->owner = NULL;
        rc = error_raise(HF_EPROTOCOL, "node %" PRIu64 " dials node %" PRIu64 ", but the higher id does", node_id,
                         hub->identity.node_id);
    }
    return rc;
}

static void peer_received(void *arg, struct connection *connection, const struct frame_header *header,
                          struct hf_bytes payload)
{
    struct peer_hub *hub = arg;
    struct peer *peer = connection->owner;
    assert(MUTATED(GUARD_E) || peer->connection == connection);
    hub->callbacks.received(hub->arg, peer->node_id, (enum frame_kind)header->kind, header->group,
                            header->group_incarnation, payload);
}

static void peer_ended(void *arg, struct connection *connection, int result)
{
    struct peer_hub *hub = arg;
    struct peer *peer = connection->owner;
    char text[sizeof(peer->last_error)];
    snprintf(text, sizeof(text), "%s", hf_error_text());
    assert(result < 0);
    if (peer != NULL) {
        peer_note_error(peer, text);
    } else if (result != HF_ECANCELLED) { /* a visitor leaves with this one */
        TRACE(TRACE_WARN, "peer", "node %" PRIu64 ": a connection was refused: %s", hub->identity.node_id, text);
    }
    if (peer != NULL && result == HF_EREMOVED && hub->callbacks.removed != NULL) {
        error_raise(result, "%s", text);
        hub->callbacks.removed(hub->arg, peer->node_id);
    }
    if (peer != NULL && peer->connection == connection) {
        peer_redial_later(peer);
        peer_go_down(peer);
        return;
    }
    if (peer != NULL && peer->attempt == connection) {
        peer->attempt = NULL;
        peer_redial_later(peer);
    } else if (connection->is_pending) {
        peer_take_pending(hub, connection);
    } else {
        list_remove(&connection->link); /* a ghost */
    }
    connection_close(connection);
}

static void peer_drained(void *arg, struct connection *connection)
{
    peer_flush(arg);
}

static const struct connection_callbacks peer_connection_callbacks = {
    .greeted = peer_greeted,
    .up = peer_came_up,
    .received = peer_received,
    .ended = peer_ended,
    .drained = peer_drained,
};

static void peer_dial(void *arg)
{
    struct peer *peer = arg;
    struct peer_hub *hub = peer->hub;
    assert(peer->attempt == NULL);
    int rc = connection_dial(hub->loop, peer->address, peer->node_id, &hub->identity, &peer_connection_callbacks, hub,
                             &peer->attempt);
    if (rc != 0) {
        peer_note_error(peer, hf_error_text());
        peer_redial_later(peer);
        return;
    }
    peer->attempt->owner = peer;
}

static void peer_accepted(void *arg, struct stream *stream)
{
    struct peer_hub *hub = arg;
    if (hub->pending_count == PEER_PENDING_MAX) {
        struct connection *oldest = list_entry(hub->pending.next, struct connection, link);
        peer_take_pending(hub, oldest);
        connection_close(oldest);
    }
    struct connection *connection =
        connection_accept(hub->loop, stream, &hub->identity, &peer_connection_callbacks, hub);
    connection->is_pending = 1;
    list_append(&hub->pending, &connection->link);
    hub->pending_count++;
}

/* ---- sending ---- */

static void peer_fill(struct peer *peer)
{
    struct peer_hub *hub = peer->hub;
    size_t unsent = peer->connection != NULL ? connection_unsent_bytes(peer->connection) : 0;
    if (peer->connection == NULL || outgoing_is_empty(&peer->outgoing) || unsent >= OUTGOING_SOCKET_MAX) {
        return;
    }
    buffer_clear(&hub->scratch);
    outgoing_fill(&peer->outgoing, OUTGOING_SOCKET_MAX - unsent, &hub->scratch);
    if (hub->scratch.size > 0) {
        connection_write(peer->connection, buffer_bytes(&hub->scratch));
    }
    if (hub->scratch.capacity > PEER_SCRATCH_KEPT_MAX_BYTES) {
        buffer_close(&hub->scratch);
    }
}

static void peer_release_dropped(struct peer_hub *hub)
{
    struct list dropped;
    list_init(&dropped);
    list_splice(&dropped, &hub->dropped); /* release may drop more: next time */
    while (!list_empty(&dropped)) {
        struct peer_message *message = list_entry(dropped.next, struct peer_message, link);
        list_remove(&message->link);
        message->release(message, 0);
    }
}

void peer_flush(struct peer_hub *hub)
{
    if (hub->is_late_armed) {
        hub->is_late_armed = 0;
        loop_timer_stop(hub->loop, &hub->late);
    }
    list_each (&hub->peers, item) {
        peer_fill(list_entry(item, struct peer, link));
    }
    peer_release_dropped(hub);
}

static void peer_flush_at_turn_end(void *arg)
{
    peer_flush(arg);
}

/* Somebody sent from a turn-end hook that runs after ours: from now on ours is the last. */
static void peer_flush_late(void *arg)
{
    struct peer_hub *hub = arg;
    peer_flush(hub);
    loop_remove_turn_end(hub->loop, &hub->turn_end);
    loop_add_turn_end(hub->loop, &hub->turn_end);
}

void peer_send(struct peer_hub *hub, uint64_t node_id, struct peer_message *message)
{
    struct peer *peer = peer_of(hub, node_id);
    list_init(&message->link);
    if (peer == NULL || peer->connection == NULL) {
        list_append(&hub->dropped, &message->link);
    } else {
        outgoing_push(&peer->outgoing, message);
    }
    if (!hub->is_late_armed) {
        /* Sent from a turn-end hook that runs after ours, it would lie here until something else wakes the loop. */
        hub->is_late_armed = 1;
        loop_timer_set(hub->loop, &hub->late, loop_now_ms(hub->loop));
    }
}

bool peer_is_up(const struct peer_hub *hub, uint64_t node_id)
{
    const struct peer *peer = peer_of(hub, node_id);
    return peer != NULL && peer->connection != NULL;
}

/* ---- life ---- */

int peer_hub_open(struct loop *loop, const struct peer_identity *identity, const char *listen_address,
                  const struct peer_callbacks *callbacks, void *arg, struct peer_hub **out)
{
    struct peer_hub *hub = memory_new(sizeof(*hub));
    hub->loop = loop;
    hub->identity = *identity;
    hub->callbacks = *callbacks;
    hub->arg = arg;
    list_init(&hub->peers);
    list_init(&hub->pending);
    list_init(&hub->dropped);
    rng_seed(&hub->rng, hash_mix_64(identity->seed ^ identity->node_id));
    hub->late = (struct loop_timer){.fire = peer_flush_late, .arg = hub};
    hub->turn_end = (struct loop_hook){.call = peer_flush_at_turn_end, .arg = hub};
    loop_add_turn_end(loop, &hub->turn_end);
    int rc = listener_open(loop, listen_address, peer_accepted, hub, &hub->listener);
    if (rc != 0) {
        rc = error_wrap(rc, "peer port %s", listen_address);
        goto done;
    }
    *out = hub;
    hub = NULL; /* the caller owns it now */
done:
    peer_hub_close(hub);
    return rc;
}

static void peer_close_list(struct list *connections)
{
    while (!list_empty(connections)) {
        struct connection *connection = list_entry(connections->next, struct connection, link);
        list_remove(&connection->link);
        connection_close(connection);
    }
}

static void peer_close(struct peer *peer)
{
    loop_timer_stop(peer->hub->loop, &peer->redial);
    connection_close(peer->attempt);
    connection_close(peer->connection);
    peer->attempt = NULL;
    peer->connection = NULL;
    peer_close_list(&peer->ghosts);
}

void peer_hub_close(struct peer_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    loop_remove_turn_end(hub->loop, &hub->turn_end);
    if (hub->listener != NULL) {
        listener_close(hub->listener);
    }
    peer_close_list(&hub->pending);
    list_each (&hub->peers, item) {
        peer_close(list_entry(item, struct peer, link));
    }
    /* Every connection is down: what release sends now is dropped, and released below. */
    list_each (&hub->peers, item) {
        outgoing_drop(&list_entry(item, struct peer, link)->outgoing);
    }
    while (!list_empty(&hub->dropped)) {
        peer_release_dropped(hub);
    }
    loop_timer_stop(hub->loop, &hub->late);
    list_each_safe (&hub->peers, item) {
        free(list_entry(item, struct peer, link));
    }
    map_close(&hub->by_node);
    buffer_close(&hub->scratch);
    free(hub);
}

int peer_hub_add(struct peer_hub *hub, uint64_t node_id, const char *address)
{
    if (node_id == 0 || node_id == hub->identity.node_id || strlen(address) >= sizeof(((struct peer *)0)->address)) {
        return error_raise(HF_EINVALID, "node %" PRIu64 " at \"%.128s\" cannot be a peer of node %" PRIu64, node_id,
                           address, hub->identity.node_id);
    }
    if (peer_of(hub, node_id) != NULL) {
        return error_raise(HF_EEXISTS, "node %" PRIu64 " is a peer already", node_id);
    }
    struct peer *peer = memory_new(sizeof(*peer));
    peer->hub = hub;
    peer->node_id = node_id;
    snprintf(peer->address, sizeof(peer->address), "%s", address);
    peer->is_dialed = hub->identity.node_id > node_id;
    peer->backoff_ms = PEER_RECONNECT_MIN_MS;
    peer->redial = (struct loop_timer){.fire = peer_dial, .arg = peer};
    list_init(&peer->ghosts);
    outgoing_init(&peer->outgoing);
    list_append(&hub->peers, &peer->link);
    map_put(&hub->by_node, node_id, peer);
    if (peer->is_dialed) {
        loop_timer_set(hub->loop, &peer->redial, loop_now_ms(hub->loop));
    }
    return 0;
}

/* Accepted connections of a node that shook hands already, and wait for its KEEPALIVE. */
static void peer_drop_pending(struct peer *peer)
{
    list_each_safe (&peer->hub->pending, item) {
        struct connection *connection = list_entry(item, struct connection, link);
        if (connection->owner == peer) {
            peer_take_pending(peer->hub, connection);
            connection_close(connection);
        }
    }
}

static void peer_disconnect(struct peer *peer)
{
    loop_timer_stop(peer->hub->loop, &peer->redial);
    connection_close(peer->attempt);
    peer->attempt = NULL;
    peer_drop_pending(peer);
    if (peer->connection != NULL) {
        peer_go_down(peer);
    }
}

int peer_hub_set_address(struct peer_hub *hub, uint64_t node_id, const char *address)
{
    struct peer *peer = peer_of(hub, node_id);
    if (peer == NULL || strlen(address) >= sizeof(peer->address)) {
        return error_raise(HF_EINVALID, "node %" PRIu64 " cannot move to \"%.128s\"", node_id, address);
    }
    if (strcmp(peer->address, address) == 0) {
        return 0;
    }
    snprintf(peer->address, sizeof(peer->address), "%s", address);
    peer_disconnect(peer);
    peer->backoff_ms = PEER_RECONNECT_MIN_MS;
    peer_redial_later(peer);
    return 0;
}

void peer_hub_remove(struct peer_hub *hub, uint64_t node_id)
{
    struct peer *peer = peer_of(hub, node_id);
    if (peer == NULL) {
        return;
    }
    peer_disconnect(peer);
    peer_close_list(&peer->ghosts);
    outgoing_drop(&peer->outgoing);
    list_remove(&peer->link);
    map_remove(&hub->by_node, node_id);
    free(peer);
}

const char *peer_hub_address(const struct peer_hub *hub)
{
    return listener_address(hub->listener);
}

uint64_t peer_hub_memory_bytes(const struct peer_hub *hub)
{
    uint64_t bytes = hub->scratch.capacity;
    list_each (&hub->peers, item) {
        const struct peer *peer = list_entry(item, struct peer, link);
        bytes += peer->outgoing.encoded_bytes;
        bytes += peer->connection != NULL ? connection_memory_bytes(peer->connection) : 0;
    }
    return bytes;
}

int peer_status(const struct peer_hub *hub, uint64_t node_id, struct peer_status *out)
{
    const struct peer *peer = peer_of(hub, node_id);
    if (peer == NULL) {
        return error_raise(HF_ENOTFOUND, "node %" PRIu64 " is not a peer", node_id);
    }
    *out = (struct peer_status){
        .node_id = node_id,
        .up = peer->connection != NULL,
        .epoch = peer->epoch,
        .up_since_ms = peer->up_since_ms,
        .bytes_sent = peer->bytes_sent,
        .bytes_received = peer->bytes_received,
        .queued_messages = peer->outgoing.message_count,
        .connects = peer->connects,
    };
    if (peer->connection != NULL) {
        out->bytes_sent += peer->connection->bytes_sent;
        out->bytes_received += peer->connection->bytes_received;
    }
    snprintf(out->address, sizeof(out->address), "%s", peer->address);
    snprintf(out->last_error, sizeof(out->last_error), "%s", peer->last_error);
    return 0;
}
