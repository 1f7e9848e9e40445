#include "sim/sim_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "sim/sim_fault.h"
#include "sim/sim_link.h"
#include "sim/sim_network.h"

#define SIM_STREAM_READ_BYTES (64u * 1024u)

static const struct stream_ops sim_stream_ops;

static struct sim_stream *sim_stream_of(struct stream *stream)
{
    return list_entry(stream, struct sim_stream, stream);
}

/* The one that it writes to. */
static struct sim_pipe *sim_stream_pipe(const struct sim_stream *stream)
{
    return &stream->connection->pipes[stream->side];
}

static void sim_stream_call(struct sim_ready *ready);

static struct sim_stream *sim_stream_new(struct sim_loop *loop, const char *peer)
{
    struct sim_stream *stream = memory_new(sizeof(*stream));
    stream->stream.ops = &sim_stream_ops;
    stream->loop = loop;
    stream->peer = text_copy(peer);
    list_init(&stream->waiting);
    sim_loop_init_ready(&stream->ready, sim_stream_call);
    list_append(&loop->streams, &stream->link);
    return stream;
}

void sim_stream_own(struct sim_stream *stream)
{
    stream->owned = true;
    stream->loop->process->handle_count++;
}

int sim_stream_connect(struct loop *base, const char *text, const struct stream_callbacks *callbacks, void *arg,
                       struct stream **out)
{
    struct sim_loop *loop = sim_loop_of(base);
    struct sim_address address;
    int rc = loop->process->dead ? sim_host_raise_closed(loop->process, text) : sim_network_parse(text, &address);
    if (rc != 0) {
        return rc;
    }
    struct sim_stream *stream = sim_stream_new(loop, text);
    sim_stream_own(stream);
    stream->callbacks = *callbacks;
    stream->callbacks_set = true;
    stream->arg = arg;
    stream->connecting = true;
    struct sim_host *target = sim_network_resolve(loop->process->host, address.name);
    if (target == NULL) {
        sim_stream_connected(stream, HF_EIO);
    } else if (sim_host_is_live(loop->process)) {
        stream->connection = sim_connection_open(stream, target, address.port);
    }
    *out = &stream->stream;
    return 0;
}

struct sim_stream *sim_stream_accept(struct sim_loop *loop, struct sim_connection *connection, const char *peer)
{
    struct sim_stream *stream = sim_stream_new(loop, peer);
    stream->connection = connection;
    stream->side = 1;
    return stream;
}

static void sim_stream_release(struct sim_stream *stream)
{
    buffer_close(&stream->received);
    free(stream->peer);
    free(stream);
}

void sim_stream_free(struct sim_stream *stream)
{
    if (stream->connection != NULL) {
        sim_connection_detach(stream->connection, stream->side, SIM_END_CLOSED);
    }
    if (stream->owned) {
        stream->loop->process->handle_count--;
    }
    list_remove(&stream->ready.link);
    list_remove(&stream->waiting);
    list_remove(&stream->link);
    stream->closed = true;
    if (!stream->in_call) {
        sim_stream_release(stream);
    }
}

/* ---- what the connection tells ---- */

void sim_stream_connected(struct sim_stream *stream, int result)
{
    stream->connect_known = true;
    stream->connect_result = result;
    sim_loop_add_ready(stream->loop, &stream->ready);
}

void sim_stream_arrived(struct sim_stream *stream, const void *data, size_t size)
{
    buffer_append(&stream->received, data, size);
    sim_loop_add_ready(stream->loop, &stream->ready);
}

void sim_stream_ended(struct sim_stream *stream, int result)
{
    if (!stream->end_known) {
        stream->end_known = true;
        stream->end_result = result;
        sim_loop_add_ready(stream->loop, &stream->ready);
    }
}

void sim_stream_sent(struct sim_stream *stream)
{
    if (stream->above_low_water && sim_stream_pipe(stream)->unsent.size < STREAM_LOW_WATER_BYTES) {
        stream->above_low_water = false;
        stream->drained_due = true;
        sim_loop_add_ready(stream->loop, &stream->ready);
    }
}

/* ---- what the owner hears, in a turn ---- */

static void sim_stream_tell_connected(struct sim_stream *stream)
{
    stream->connecting = false;
    stream->end_told = stream->connect_result != 0;
    if (stream->connect_result != 0) {
        error_raise(stream->connect_result, "connect to %s: the simulated network refuses", stream->peer);
    }
    if (stream->callbacks.connected != NULL) {
        stream->callbacks.connected(stream->arg, stream->connect_result);
    }
}

/* Hands over one piece; false when the rest is for another turn. */
static bool sim_stream_tell_bytes(struct sim_stream *stream)
{
    struct sim *sim = stream->loop->process->host->sim;
    size_t size = stream->received.size < SIM_STREAM_READ_BYTES ? stream->received.size : SIM_STREAM_READ_BYTES;
    bool cut = false;
    if (size > 1 && stream->connection != NULL) {
        cut = sim_chance(sim, sim_pipe_link(&stream->connection->pipes[1 - stream->side])->chunk_ppm);
    }
    if (cut) {
        size = (size_t)rng_between(&sim->rng, 1, size - 1);
        sim_fault_happened(sim, SIM_FAULT_CHUNK);
    }
    /* A copy of exactly this size: whoever keeps the loan too long or reads past it is found by the sanitizer. */
    void *copy = memory_new(size);
    memcpy(copy, stream->received.data, size);
    buffer_drop_front(&stream->received, size);
    if (stream->connection != NULL) {
        sim_pipe_taken(&stream->connection->pipes[1 - stream->side], size);
    }
    if (stream->callbacks.received != NULL) {
        stream->callbacks.received(stream->arg, bytes_of(copy, size));
    }
    free(copy);
    return !cut;
}

static void sim_stream_tell_end(struct sim_stream *stream)
{
    stream->end_told = true;
    if (stream->end_result != 0) {
        error_raise(stream->end_result, "connection with %s: broken by the simulated network", stream->peer);
    }
    if (stream->callbacks.ended != NULL) {
        stream->callbacks.ended(stream->arg, stream->end_result);
    }
}

static bool sim_stream_may_read(const struct sim_stream *stream)
{
    return !stream->closed && !stream->connecting && !stream->end_told && !stream->paused && stream->callbacks_set &&
           sim_host_is_live(stream->loop->process);
}

static void sim_stream_tell(struct sim_stream *stream)
{
    bool go_on = true;
    if (stream->connecting && stream->connect_known) {
        sim_stream_tell_connected(stream);
    }
    if (!stream->closed && stream->drained_due && !stream->connecting && !stream->end_told) {
        stream->drained_due = false;
        if (stream->callbacks.drained != NULL) {
            stream->callbacks.drained(stream->arg);
        }
    }
    while (go_on && sim_stream_may_read(stream) && stream->received.size > 0) {
        go_on = sim_stream_tell_bytes(stream);
    }
    if (sim_stream_may_read(stream) && stream->received.size == 0 && stream->end_known) {
        sim_stream_tell_end(stream);
    }
}

static void sim_stream_call(struct sim_ready *ready)
{
    struct sim_stream *stream = list_entry(ready, struct sim_stream, ready);
    stream->in_call = true;
    sim_stream_tell(stream);
    stream->in_call = false;
    if (stream->closed) {
        sim_stream_release(stream);
    } else if (sim_stream_may_read(stream) && stream->received.size > 0) {
        sim_loop_add_ready(stream->loop, &stream->ready);
    }
}

/* ---- what the owner asks for ---- */

static void sim_stream_set_callbacks(struct stream *base, const struct stream_callbacks *callbacks, void *arg)
{
    struct sim_stream *stream = sim_stream_of(base);
    stream->callbacks = *callbacks;
    stream->callbacks_set = true;
    stream->arg = arg;
    sim_loop_add_ready(stream->loop, &stream->ready);
}

static void sim_stream_write(struct stream *base, struct hf_bytes bytes)
{
    struct sim_stream *stream = sim_stream_of(base);
    if (stream->connection == NULL || stream->end_told || bytes.size == 0) {
        return;
    }
    sim_pipe_write(sim_stream_pipe(stream), bytes);
    if (sim_stream_pipe(stream)->unsent.size >= STREAM_LOW_WATER_BYTES) {
        stream->above_low_water = true;
    }
}

static size_t sim_stream_unsent_bytes(const struct stream *base)
{
    const struct sim_stream *stream = list_entry(base, const struct sim_stream, stream);
    return stream->connection != NULL ? sim_stream_pipe(stream)->unsent.size : 0;
}

static void sim_stream_pause(struct stream *base)
{
    sim_stream_of(base)->paused = true;
}

static void sim_stream_resume(struct stream *base)
{
    struct sim_stream *stream = sim_stream_of(base);
    stream->paused = false;
    sim_loop_add_ready(stream->loop, &stream->ready);
}

static void sim_stream_close_when_sent(struct stream *base)
{
    struct sim_stream *stream = sim_stream_of(base);
    struct sim_connection *connection = stream->connection;
    stream->connection = NULL;
    if (connection != NULL) {
        sim_connection_linger(connection, stream->side);
    }
    sim_stream_free(stream);
}

static void sim_stream_close(struct stream *base)
{
    sim_stream_free(sim_stream_of(base));
}

static const char *sim_stream_peer_address(const struct stream *base)
{
    return list_entry(base, const struct sim_stream, stream)->peer;
}

static const struct stream_ops sim_stream_ops = {
    .set_callbacks = sim_stream_set_callbacks,
    .write = sim_stream_write,
    .unsent_bytes = sim_stream_unsent_bytes,
    .pause = sim_stream_pause,
    .resume = sim_stream_resume,
    .close_when_sent = sim_stream_close_when_sent,
    .close = sim_stream_close,
    .peer_address = sim_stream_peer_address,
};
