#include "sim/sim_connection.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "holdfast/error.h"
#include "sim/sim_fault.h"
#include "sim/sim_link.h"
#include "sim/sim_listener.h"
#include "sim/sim_stream.h"

#define SIM_CONNECTION_RETRY_NS     (200u * SIM_NS_PER_MS)
#define SIM_CONNECTION_RETRY_MAX_NS (1000u * SIM_NS_PER_MS)

static void sim_connection_shake(struct sim_event *event);

/* ---- life ---- */

static void sim_connection_free(struct sim_connection *connection)
{
    for (unsigned side = 0; side < 2; side++) {
        sim_pipe_close(&connection->pipes[side]);
        if (connection->streams[side] != NULL) {
            connection->streams[side]->connection = NULL;
        }
    }
    sim_unschedule(connection->sim, &connection->handshake);
    list_remove(&connection->link);
    free(connection);
}

void sim_connection_close_all(struct sim *sim)
{
    list_each_safe (&sim->connections, item) {
        sim_connection_free(list_entry(item, struct sim_connection, link));
    }
}

struct sim_connection *sim_connection_open(struct sim_stream *stream, struct sim_host *target, unsigned port)
{
    struct sim_host *host = stream->loop->process->host;
    struct sim *sim = host->sim;
    struct sim_connection *connection = memory_new(sizeof(*connection));
    connection->sim = sim;
    connection->ordinal = ++sim->connection_ordinal_last;
    connection->hosts[0] = host;
    connection->hosts[1] = target;
    connection->processes[0] = stream->loop->process;
    connection->streams[0] = stream;
    connection->port = port;
    for (unsigned side = 0; side < 2; side++) {
        sim_pipe_init(&connection->pipes[side], connection, side);
    }
    const struct sim_link *link = sim_link_of(host, target);
    connection->handshake.run = sim_connection_shake;
    connection->retry_ns = SIM_CONNECTION_RETRY_NS;
    connection->deadline_ns = sim->now_ns + sim_draw(sim, link->stall_timeout_ns);
    list_append(&sim->connections, &connection->link);
    sim_trace(sim, host, "c%" PRIu64 " connects to %s:%u", connection->ordinal, target->name, port);
    sim_schedule(sim, &connection->handshake, sim->now_ns + sim_link_delay_ns(sim, link));
    return connection;
}

/* ---- handshake ---- */

/* Nobody answers: once more later, or never. */
static void sim_connection_shake_again(struct sim_connection *connection)
{
    struct sim *sim = connection->sim;
    if (sim->now_ns >= connection->deadline_ns) {
        if (connection->streams[0] != NULL) {
            sim_stream_connected(connection->streams[0], HF_EIO);
        }
        sim_connection_detach(connection, 0, SIM_END_POWER_LOST);
        return;
    }
    uint64_t next_ns = sim->now_ns + connection->retry_ns;
    connection->retry_ns *= connection->retry_ns < SIM_CONNECTION_RETRY_MAX_NS ? 2 : 1;
    sim_schedule(sim, &connection->handshake, next_ns < connection->deadline_ns ? next_ns : connection->deadline_ns);
}

static void sim_connection_accept(struct sim_connection *connection, struct sim_listener *listener)
{
    struct sim_host *client = connection->hosts[0];
    char *peer = text_format("%s:%" PRIu64, client->name, 1024 + connection->ordinal % 30000);
    connection->streams[1] = sim_stream_accept(listener->loop, connection, peer);
    connection->processes[1] = listener->loop->process;
    sim_listener_offer(listener, connection->streams[1]);
    free(peer);
}

static void sim_connection_syn(struct sim_connection *connection)
{
    struct sim *sim = connection->sim;
    struct sim_host *client = connection->hosts[0];
    struct sim_host *server = connection->hosts[1];
    bool answers = server->state == SIM_HOST_RUNNING || server->state == SIM_HOST_KILLED;
    if (!answers || sim_link_is_cut(client, server)) {
        sim_connection_shake_again(connection);
        return;
    }
    struct sim_listener *listener = sim_listener_find(server, connection->port);
    bool refused = sim_chance(sim, sim_link_of(client, server)->refuse_ppm);
    if (refused) {
        sim_fault_happened(sim, SIM_FAULT_CONNECT_REFUSED);
    }
    if (listener == NULL || refused) {
        sim_trace(sim, server, "c%" PRIu64 " is refused", connection->ordinal);
        connection->phase = SIM_PHASE_REFUSED;
    } else {
        sim_connection_accept(connection, listener);
        connection->phase = SIM_PHASE_ACK;
    }
    uint64_t arrival_ns = sim->now_ns + sim_link_delay_ns(sim, sim_link_of(server, client));
    connection->pipes[1].arrival_last_ns = arrival_ns;
    sim_schedule(sim, &connection->handshake, arrival_ns);
    if (connection->phase == SIM_PHASE_ACK && sim_chance(sim, sim_link_of(client, server)->accept_reset_ppm)) {
        sim_fault_happened(sim, SIM_FAULT_ACCEPT_RESET);
        sim_connection_break(connection);
    }
}

static void sim_connection_shake(struct sim_event *event)
{
    struct sim_connection *connection = list_entry(event, struct sim_connection, handshake);
    if (connection->phase == SIM_PHASE_SYN) {
        sim_connection_syn(connection);
        return;
    }
    if (sim_link_is_cut(connection->hosts[1], connection->hosts[0])) {
        sim_connection_shake_again(connection);
        return;
    }
    struct sim_stream *stream = connection->streams[0];
    if (connection->phase == SIM_PHASE_REFUSED) {
        if (stream != NULL) {
            sim_stream_connected(stream, HF_EIO);
        }
        sim_connection_detach(connection, 0, SIM_END_CLOSED);
        return;
    }
    sim_trace(connection->sim, connection->hosts[0], "c%" PRIu64 " is open", connection->ordinal);
    connection->phase = SIM_PHASE_OPEN;
    if (stream != NULL) {
        sim_stream_connected(stream, 0);
    }
    sim_schedule(connection->sim, &connection->pipes[0].flush, connection->sim->now_ns);
}

/* ---- ending ---- */

/* Of the bytes in flight any first part arrives; none through a cut. */
static void sim_connection_lose_flight(struct sim_pipe *pipe)
{
    struct rng *rng = &pipe->connection->sim->rng;
    sim_pipe_keep_flight(pipe, sim_pipe_is_cut(pipe) ? 0 : (size_t)rng_below(rng, sim_pipe_flight_bytes(pipe) + 1));
}

static void sim_connection_break_pipe(struct sim_pipe *pipe)
{
    if (!pipe->ended) {
        sim_connection_lose_flight(pipe);
        sim_pipe_add_local_end(pipe, sim_pipe_end_soon_ns(pipe));
    }
}

/* The same, but its receiver takes the connection for whole for long, and still gets bytes meanwhile. */
static void sim_connection_break_pipe_late(struct sim_pipe *pipe)
{
    if (!pipe->ended) {
        sim_connection_lose_flight(pipe);
        uint64_t end_ns = sim_pipe_end_late_ns(pipe);
        sim_pipe_spread_flight(pipe, end_ns);
        sim_pipe_add_local_end(pipe, end_ns);
    }
}

/* Frees the connection when nobody is left to hear of it: true. */
static bool sim_connection_collect(struct sim_connection *connection)
{
    bool done = connection->processes[0] == NULL && connection->processes[1] == NULL;
    if (done) {
        sim_connection_free(connection);
    }
    return done;
}

/* A lingering end is gone when its connection is. */
static void sim_connection_end_lingering(struct sim_connection *connection)
{
    for (unsigned side = 0; side < 2; side++) {
        bool before_accept = side == 1 && connection->phase == SIM_PHASE_SYN;
        if (connection->streams[side] == NULL && !before_accept) {
            connection->processes[side] = NULL;
        }
    }
    sim_connection_collect(connection);
}

void sim_connection_break(struct sim_connection *connection)
{
    struct sim *sim = connection->sim;
    bool started = connection->phase == SIM_PHASE_ACK || connection->phase == SIM_PHASE_OPEN;
    if (!started || (connection->pipes[0].ended && connection->pipes[1].ended)) {
        return;
    }
    sim_trace(sim, connection->hosts[0], "c%" PRIu64 " breaks", connection->ordinal);
    sim_fault_happened(sim, SIM_FAULT_RESET);
    bool half_open = sim_chance(sim, sim_pipe_link(&connection->pipes[0])->half_open_ppm);
    unsigned late = (unsigned)rng_below(&sim->rng, 2);
    for (unsigned side = 0; side < 2; side++) {
        if (half_open && side == late) {
            sim_connection_break_pipe_late(&connection->pipes[side]);
        } else {
            sim_connection_break_pipe(&connection->pipes[side]);
        }
    }
    sim_connection_end_lingering(connection);
}

/* How much the end that goes leaves unread. */
static bool sim_connection_has_unread(const struct sim_connection *connection, unsigned side)
{
    const struct sim_stream *stream = connection->streams[side];
    return !list_empty(&connection->pipes[1 - side].segments) || (stream != NULL && stream->received.size > 0);
}

/* What the other side sees of an end that goes. Going with input unread resets: that destroys what is in flight. */
static void sim_connection_end_pipe(struct sim_connection *connection, unsigned side, enum sim_connection_end how)
{
    struct sim_pipe *pipe = &connection->pipes[side];
    if (pipe->ended) {
        return;
    }
    if (how == SIM_END_POWER_LOST) {
        sim_pipe_add_local_end(pipe, sim_pipe_end_late_ns(pipe));
        return;
    }
    int result = 0;
    if (how != SIM_END_SENT) {
        sim_pipe_send_some(pipe);
        if (sim_connection_has_unread(connection, side)) {
            sim_connection_lose_flight(pipe);
            result = HF_EIO;
        }
    }
    bool late = sim_chance(connection->sim, sim_pipe_link(pipe)->half_open_ppm);
    sim_pipe_add_end(pipe, result, late ? sim_pipe_end_late_ns(pipe) : sim_pipe_end_soon_ns(pipe));
}

bool sim_connection_detach(struct sim_connection *connection, unsigned side, enum sim_connection_end how)
{
    if (connection->processes[1 - side] != NULL) {
        sim_connection_end_pipe(connection, side, how);
    }
    if (connection->streams[side] != NULL) {
        connection->streams[side]->connection = NULL;
        connection->streams[side] = NULL;
    }
    connection->processes[side] = NULL;
    sim_pipe_end_unheard(&connection->pipes[1 - side]);
    if (connection->streams[1 - side] == NULL) { /* nobody is there yet, or it lingers, for nobody now */
        connection->processes[1 - side] = NULL;
    }
    return sim_connection_collect(connection);
}

void sim_connection_linger(struct sim_connection *connection, unsigned side)
{
    connection->streams[side] = NULL;
    sim_pipe_schedule_flush(&connection->pipes[side]);
    if (connection->pipes[side].ended) {
        sim_connection_detach(connection, side, SIM_END_SENT);
    }
}

void sim_connection_resume_all(struct sim *sim)
{
    list_each (&sim->connections, item) {
        struct sim_connection *connection = list_entry(item, struct sim_connection, link);
        sim_pipe_resume(&connection->pipes[0]);
        sim_pipe_resume(&connection->pipes[1]);
    }
}

void sim_connection_end_process(struct sim *sim, struct sim_process *process, enum sim_connection_end how)
{
    list_each_safe (&sim->connections, item) {
        struct sim_connection *connection = list_entry(item, struct sim_connection, link);
        bool gone = false;
        for (unsigned side = 0; side < 2 && !gone; side++) {
            if (connection->processes[side] == process) {
                gone = sim_connection_detach(connection, side, how);
            }
        }
    }
}
