#include "peer/connection.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"

static void connection_end(struct connection *connection, int result)
{
    if (connection->state == CONNECTION_ENDED || connection->is_closed) {
        return;
    }
    connection->state = CONNECTION_ENDED;
    loop_timer_stop(connection->loop, &connection->timer);
    connection->callbacks->ended(connection->arg, connection, result);
}

static void connection_write_raw(struct connection *connection, struct hf_bytes bytes)
{
    stream_write(connection->stream, bytes);
    connection->bytes_sent += bytes.size;
    connection->spoke_ms = loop_now_ms(connection->loop);
}

static void connection_say_hello(struct connection *connection)
{
    struct buffer frame = {0};
    handshake_append_hello(&frame, &connection->identity, connection->to_node_id);
    connection_write_raw(connection, buffer_bytes(&frame));
    buffer_close(&frame);
}

static void connection_say_keepalive(struct connection *connection)
{
    struct buffer frame = {0};
    handshake_append_keepalive(&frame);
    connection_write_raw(connection, buffer_bytes(&frame));
    buffer_close(&frame);
}

/* Tells the other side why (the text of the last error), and ends. */
static int connection_refuse(struct connection *connection, int rc)
{
    struct buffer frame = {0};
    handshake_append_refused(&frame, rc, hf_error_text());
    connection_write_raw(connection, buffer_bytes(&frame));
    buffer_close(&frame);
    stream_close_when_sent(connection->stream);
    connection->stream = NULL;
    return rc;
}

static void connection_arm(struct connection *connection)
{
    uint64_t silence_ms = connection->heard_ms + PEER_SILENCE_MAX_MS;
    uint64_t keepalive_ms = connection->spoke_ms + PEER_KEEPALIVE_MS;
    loop_timer_set(connection->loop, &connection->timer, silence_ms < keepalive_ms ? silence_ms : keepalive_ms);
}

static void connection_timer_fired(void *arg)
{
    struct connection *connection = arg;
    uint64_t now_ms = loop_now_ms(connection->loop);
    if (connection->state != CONNECTION_UP) {
        connection_end(connection, error_raise(HF_ETIMEOUT, "no handshake within %u ms", PEER_HANDSHAKE_MAX_MS));
        return;
    }
    if (now_ms > connection->timer.deadline_ms + PEER_KEEPALIVE_MS) {
        /* It was this process that slept. What arrived meanwhile may not have been read yet: look again later. */
        uint64_t benefit_ms = now_ms - PEER_SILENCE_MAX_MS + PEER_KEEPALIVE_MS;
        connection->heard_ms = connection->heard_ms > benefit_ms ? connection->heard_ms : benefit_ms;
    }
    if (now_ms >= connection->heard_ms + PEER_SILENCE_MAX_MS) {
        connection_end(connection, error_raise(HF_ETIMEOUT, "heard nothing for %u ms", PEER_SILENCE_MAX_MS));
        return;
    }
    if (now_ms >= connection->spoke_ms + PEER_KEEPALIVE_MS) {
        connection_say_keepalive(connection);
    }
    connection_arm(connection);
}

static void connection_come_up(struct connection *connection)
{
    connection->state = CONNECTION_UP;
    connection->incoming.message_size_max = PEER_MESSAGE_SIZE_MAX;
    connection_arm(connection);
    connection->callbacks->up(connection->arg, connection);
}

static int connection_take_hello(struct connection *connection, struct hf_bytes payload)
{
    struct handshake remote;
    int rc = handshake_decode_hello(payload, &remote);
    if (rc == 0) {
        rc = handshake_check(&connection->identity, &remote);
    }
    if (rc == 0 && connection->is_dialer && remote.identity.node_id != connection->to_node_id) {
        rc = error_raise(HF_EMISMATCH, "node %" PRIu64 " answers where node %" PRIu64 " was dialed",
                         remote.identity.node_id, connection->to_node_id);
    }
    if (rc == 0) {
        rc = connection->callbacks->greeted(connection->arg, connection, &remote);
    }
    if (rc != 0) {
        return connection_refuse(connection, rc);
    }
    if (connection->is_dialer) {
        connection_say_keepalive(connection);
        connection_come_up(connection);
    } else {
        connection->to_node_id = remote.identity.node_id;
        connection_say_hello(connection);
        connection->state = CONNECTION_CONFIRMING;
    }
    return 0;
}

/* A message before the connection is up. */
static int connection_take_handshake(struct connection *connection, const struct frame_header *header,
                                     struct hf_bytes payload)
{
    if (header->kind == FRAME_REFUSED) {
        return handshake_decode_refused(payload);
    }
    if (connection->state == CONNECTION_GREETING && header->kind == FRAME_HELLO) {
        return connection_take_hello(connection, payload);
    }
    if (connection->state == CONNECTION_CONFIRMING && header->kind == FRAME_KEEPALIVE) {
        connection_come_up(connection);
        return 0;
    }
    return error_raise(HF_EPROTOCOL, "frame of kind %u during the handshake", header->kind);
}

static int connection_take(void *arg, const struct frame_header *header, struct hf_bytes payload)
{
    struct connection *connection = arg;
    int rc = 0;
    if (connection->state != CONNECTION_UP) {
        rc = connection_take_handshake(connection, header, payload);
    } else if (header->kind == FRAME_HELLO || header->kind == FRAME_REFUSED) {
        rc = error_raise(HF_EPROTOCOL, "frame of kind %u after the handshake", header->kind);
    } else if (header->kind != FRAME_KEEPALIVE) {
        connection->callbacks->received(connection->arg, connection, header, payload);
    }
    return rc == 0 && connection->is_closed ? HF_ECLOSED : rc;
}

static void connection_free(struct connection *connection)
{
    incoming_close(&connection->incoming);
    free(connection);
}

static void connection_stream_received(void *arg, struct hf_bytes bytes)
{
    struct connection *connection = arg;
    if (connection->state == CONNECTION_ENDED) {
        return;
    }
    connection->heard_ms = loop_now_ms(connection->loop);
    connection->bytes_received += bytes.size;
    connection->dispatching = 1;
    int rc = incoming_feed(&connection->incoming, bytes, connection_take, connection);
    if (rc != 0) {
        connection_end(connection, rc);
    }
    connection->dispatching = 0;
    if (connection->is_closed) {
        connection_free(connection);
    }
}

static void connection_stream_connected(void *arg, int result)
{
    struct connection *connection = arg;
    if (result != 0) {
        connection_end(connection, result);
        return;
    }
    connection->state = CONNECTION_GREETING;
    connection_say_hello(connection);
}

static void connection_stream_ended(void *arg, int result)
{
    struct connection *connection = arg;
    const char *where = connection->state == CONNECTION_UP ? "" : " during the handshake";
    if (result == 0) {
        connection_end(connection, error_raise(HF_EIO, "the other side closed the connection%s", where));
    } else {
        connection_end(connection, error_wrap(result, "the connection broke%s", where));
    }
}

static void connection_stream_drained(void *arg)
{
    struct connection *connection = arg;
    if (connection->state == CONNECTION_UP) {
        connection->callbacks->drained(connection->arg, connection);
    }
}

static const struct stream_callbacks connection_stream_callbacks = {
    .connected = connection_stream_connected,
    .received = connection_stream_received,
    .ended = connection_stream_ended,
    .drained = connection_stream_drained,
};

static struct connection *connection_new(struct loop *loop, const struct peer_identity *identity,
                                         const struct connection_callbacks *callbacks, void *arg)
{
    struct connection *connection = memory_new(sizeof(*connection));
    list_init(&connection->link);
    connection->loop = loop;
    connection->callbacks = callbacks;
    connection->arg = arg;
    connection->identity = *identity;
    connection->timer = (struct loop_timer){.fire = connection_timer_fired, .arg = connection};
    connection->heard_ms = connection->spoke_ms = loop_now_ms(loop);
    incoming_init(&connection->incoming, HANDSHAKE_PAYLOAD_SIZE_MAX);
    return connection;
}

int connection_dial(struct loop *loop, const char *address, uint64_t to_node_id, const struct peer_identity *identity,
                    const struct connection_callbacks *callbacks, void *arg, struct connection **out)
{
    struct connection *connection = connection_new(loop, identity, callbacks, arg);
    connection->is_dialer = 1;
    connection->to_node_id = to_node_id;
    connection->state = CONNECTION_CONNECTING;
    int rc = stream_connect(loop, address, &connection_stream_callbacks, connection, &connection->stream);
    if (rc != 0) {
        connection_free(connection);
        return rc;
    }
    loop_timer_set(loop, &connection->timer, loop_now_ms(loop) + PEER_HANDSHAKE_MAX_MS);
    *out = connection;
    return 0;
}

struct connection *connection_accept(struct loop *loop, struct stream *stream, const struct peer_identity *identity,
                                     const struct connection_callbacks *callbacks, void *arg)
{
    struct connection *connection = connection_new(loop, identity, callbacks, arg);
    connection->stream = stream;
    connection->state = CONNECTION_GREETING;
    stream_set_callbacks(stream, &connection_stream_callbacks, connection);
    loop_timer_set(loop, &connection->timer, loop_now_ms(loop) + PEER_HANDSHAKE_MAX_MS);
    return connection;
}

void connection_close(struct connection *connection)
{
    if (connection == NULL) {
        return;
    }
    assert(!connection->is_closed);
    connection->is_closed = 1;
    loop_timer_stop(connection->loop, &connection->timer);
    stream_close(connection->stream);
    connection->stream = NULL;
    if (!connection->dispatching) {
        connection_free(connection);
    }
}

void connection_write(struct connection *connection, struct hf_bytes frames)
{
    assert(connection->state == CONNECTION_UP);
    connection_write_raw(connection, frames);
}

size_t connection_unsent_bytes(const struct connection *connection)
{
    return connection->stream != NULL ? stream_unsent_bytes(connection->stream) : 0;
}

size_t connection_memory_bytes(const struct connection *connection)
{
    return connection_unsent_bytes(connection) + connection->incoming.frame.capacity + connection->incoming.part_bytes;
}
