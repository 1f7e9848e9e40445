#include "sim/sim_connection.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "holdfast/error.h"
#include "sim/sim_fault.h"
#include "sim/sim_link.h"
#include "sim/sim_listener.h"
#include "sim/sim_stream.h"

#define SIM_CONNECTION_RETRY_NS     (200u * SIM_NS_PER_MS)
#define SIM_CONNECTION_RETRY_MAX_NS (1000u * SIM_NS_PER_MS)

struct sim_segment {
    struct list link;
    uint64_t arrival_ns;
    size_t size;
    bool is_end;
    bool is_local; /* the receiver finds out by itself: no link can hold it back */
    int result;
    uint8_t data[];
};

static void sim_connection_flush(struct sim_event *event);
static void sim_connection_arrive(struct sim_event *event);
static void sim_connection_stalled(struct sim_event *event);
static void sim_connection_shake(struct sim_event *event);

static struct sim_host *sim_connection_sender(const struct sim_pipe *pipe)
{
    return pipe->connection->hosts[pipe->from];
}

static struct sim_host *sim_connection_receiver(const struct sim_pipe *pipe)
{
    return pipe->connection->hosts[1 - pipe->from];
}

static const struct sim_link *sim_connection_link(const struct sim_pipe *pipe)
{
    return sim_link_of(sim_connection_sender(pipe), sim_connection_receiver(pipe));
}

/* ---- life ---- */

static void sim_connection_drop_segments(struct sim_pipe *pipe)
{
    list_each_safe (&pipe->segments, item) {
        struct sim_segment *segment = list_entry(item, struct sim_segment, link);
        list_remove(&segment->link);
        free(segment);
    }
    sim_unschedule(pipe->connection->sim, &pipe->arrive);
    sim_unschedule(pipe->connection->sim, &pipe->stall);
}

static void sim_connection_free(struct sim_connection *connection)
{
    for (unsigned side = 0; side < 2; side++) {
        struct sim_pipe *pipe = &connection->pipes[side];
        sim_connection_drop_segments(pipe);
        sim_unschedule(connection->sim, &pipe->flush);
        buffer_close(&pipe->unsent);
        buffer_close(&pipe->units);
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
        struct sim_pipe *pipe = &connection->pipes[side];
        pipe->connection = connection;
        pipe->from = side;
        pipe->flush.run = sim_connection_flush;
        pipe->arrive.run = sim_connection_arrive;
        pipe->stall.run = sim_connection_stalled;
        list_init(&pipe->segments);
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

/* ---- sending ---- */

static void sim_connection_schedule_arrival(struct sim_pipe *pipe)
{
    if (!list_empty(&pipe->segments) && !sim_is_scheduled(&pipe->arrive)) {
        const struct sim_segment *first = list_entry(pipe->segments.next, struct sim_segment, link);
        sim_schedule(pipe->connection->sim, &pipe->arrive, first->arrival_ns);
    }
}

static struct sim_segment *sim_connection_add_segment(struct sim_pipe *pipe, uint64_t arrival_ns, const void *data,
                                                      size_t size)
{
    struct sim_segment *segment = memory_new(sizeof(*segment) + size);
    if (size > 0) {
        memcpy(segment->data, data, size);
    }
    segment->size = size;
    segment->arrival_ns = arrival_ns > pipe->arrival_last_ns ? arrival_ns : pipe->arrival_last_ns;
    pipe->arrival_last_ns = segment->arrival_ns;
    list_append(&pipe->segments, &segment->link);
    sim_connection_schedule_arrival(pipe);
    return segment;
}

static void sim_connection_send_piece(struct sim_pipe *pipe, const void *data, size_t size)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_connection_link(pipe);
    uint64_t arrival_ns = sim->now_ns + sim_link_delay_ns(sim, link);
    if (link->bandwidth_bytes_per_s > 0) {
        uint64_t start_ns = arrival_ns > pipe->arrival_last_ns ? arrival_ns : pipe->arrival_last_ns;
        arrival_ns = start_ns + size * SIM_NS_PER_SEC / link->bandwidth_bytes_per_s;
    }
    pipe->window_used += size;
    sim_connection_add_segment(pipe, arrival_ns, data, size);
}

/* The last thing that a pipe carries. */
static void sim_connection_add_end(struct sim_pipe *pipe, int result, uint64_t arrival_ns)
{
    assert(!pipe->ended);
    struct sim_segment *segment = sim_connection_add_segment(pipe, arrival_ns, NULL, 0);
    segment->is_end = true;
    segment->result = result;
    pipe->ended = true;
    buffer_clear(&pipe->unsent);
    buffer_clear(&pipe->units);
    sim_unschedule(pipe->connection->sim, &pipe->flush);
}

/* An end that the receiver finds out by itself. */
static void sim_connection_add_local_end(struct sim_pipe *pipe, uint64_t arrival_ns)
{
    sim_connection_add_end(pipe, HF_EIO, arrival_ns);
    list_entry(pipe->segments.previous, struct sim_segment, link)->is_local = true;
}

static bool sim_connection_plays_with_units(const struct sim_link *link)
{
    return link->unit_loss_ppm > 0 || link->unit_duplicate_ppm > 0 || link->unit_reorder_ppm > 0;
}

/* One whole write: perhaps not, perhaps twice. */
static void sim_connection_send_unit(struct sim_pipe *pipe, const uint8_t *data, size_t size)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_connection_link(pipe);
    if (sim_chance(sim, link->unit_loss_ppm)) {
        sim_fault_happened(sim, SIM_FAULT_UNIT_LOST);
        return;
    }
    sim_connection_send_piece(pipe, data, size);
    if (sim_chance(sim, link->unit_duplicate_ppm)) {
        sim_fault_happened(sim, SIM_FAULT_UNIT_DUPLICATED);
        sim_connection_send_piece(pipe, data, size);
    }
}

/* Everything that is unsent, write by write; the window does not hold it back. */
static void sim_connection_send_units(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_connection_link(pipe);
    size_t offset = 0;
    size_t count = pipe->units.size / 4;
    for (size_t i = 0; i < count; i++) {
        size_t size = bytes_get_u32(pipe->units.data + i * 4);
        size_t next = i + 1 < count ? bytes_get_u32(pipe->units.data + (i + 1) * 4) : 0;
        if (next > 0 && sim_chance(sim, link->unit_reorder_ppm)) {
            sim_fault_happened(sim, SIM_FAULT_UNIT_REORDERED);
            sim_connection_send_unit(pipe, pipe->unsent.data + offset + size, next);
            sim_connection_send_unit(pipe, pipe->unsent.data + offset, size);
            offset += size + next;
            i++;
        } else {
            sim_connection_send_unit(pipe, pipe->unsent.data + offset, size);
            offset += size;
        }
    }
    buffer_drop_front(&pipe->unsent, offset);
    buffer_clear(&pipe->units);
}

/* As much as the window takes, in pieces. False when the connection broke on the way. */
static bool sim_connection_send_pieces(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_connection_link(pipe);
    size_t offset = 0;
    bool whole = true;
    while (whole && offset < pipe->unsent.size && pipe->window_used < SIM_CONNECTION_WINDOW_BYTES) {
        size_t room = SIM_CONNECTION_WINDOW_BYTES - pipe->window_used;
        size_t size = pipe->unsent.size - offset;
        size = size < room ? size : room;
        size = size < SIM_CONNECTION_PIECE_BYTES ? size : SIM_CONNECTION_PIECE_BYTES;
        if (size > 1 && sim_chance(sim, link->chunk_ppm)) {
            size = (size_t)rng_between(&sim->rng, 1, size - 1);
            sim_fault_happened(sim, SIM_FAULT_CHUNK);
        }
        sim_connection_send_piece(pipe, pipe->unsent.data + offset, size);
        offset += size;
        whole = !sim_chance(sim, link->reset_ppm);
    }
    buffer_drop_front(&pipe->unsent, offset);
    if (!whole) {
        sim_connection_break(pipe->connection);
    }
    return whole;
}

static void sim_connection_flush(struct sim_event *event)
{
    struct sim_pipe *pipe = list_entry(event, struct sim_pipe, flush);
    struct sim_connection *connection = pipe->connection;
    if (pipe->ended || (pipe->from == 0 && connection->phase != SIM_PHASE_OPEN)) {
        return;
    }
    if (sim_connection_plays_with_units(sim_connection_link(pipe)) && pipe->units.size > 0) {
        sim_connection_send_units(pipe);
    }
    if (!sim_connection_send_pieces(pipe)) {
        return;
    }
    if (connection->streams[pipe->from] != NULL) {
        sim_stream_sent(connection->streams[pipe->from]);
    } else if (pipe->unsent.size == 0) {
        sim_connection_detach(connection, pipe->from, SIM_END_SENT);
    }
}

static void sim_connection_schedule_flush(struct sim_pipe *pipe)
{
    if (!sim_is_scheduled(&pipe->flush)) {
        sim_schedule(pipe->connection->sim, &pipe->flush, pipe->connection->sim->now_ns);
    }
}

void sim_connection_write(struct sim_connection *connection, unsigned side, struct hf_bytes bytes)
{
    struct sim_pipe *pipe = &connection->pipes[side];
    if (pipe->ended) {
        return; /* it broke, and the writer does not know yet */
    }
    bool has_units = pipe->units.size > 0 || pipe->unsent.size == 0;
    if (has_units && sim_connection_plays_with_units(sim_connection_link(pipe))) {
        buffer_append_u32(&pipe->units, (uint32_t)bytes.size);
    }
    buffer_append_bytes(&pipe->unsent, bytes);
    sim_connection_schedule_flush(pipe);
}

size_t sim_connection_unsent(const struct sim_connection *connection, unsigned side)
{
    return connection->pipes[side].unsent.size;
}

/* ---- arriving ---- */

static void sim_connection_note_late_bytes(struct sim_pipe *pipe)
{
    struct sim_link_state *state = sim_link_state(sim_connection_sender(pipe), sim_connection_receiver(pipe));
    uint64_t ordinal = pipe->connection->ordinal;
    if (ordinal < state->ordinal_delivered) {
        sim_fault_happened(state->sim, SIM_FAULT_LATE_BYTES);
    } else {
        state->ordinal_delivered = ordinal;
    }
}

static void sim_connection_deliver(struct sim_pipe *pipe, const struct sim_segment *segment)
{
    struct sim_connection *connection = pipe->connection;
    struct sim_stream *stream = connection->streams[1 - pipe->from];
    if (segment->is_end) {
        sim_trace(connection->sim, sim_connection_receiver(pipe), "c%" PRIu64 " ends (%d)", connection->ordinal,
                  segment->result);
        if (stream != NULL) {
            sim_stream_ended(stream, segment->result);
        }
        return;
    }
    sim_trace(connection->sim, sim_connection_receiver(pipe), "c%" PRIu64 " %zu bytes from %s", connection->ordinal,
              segment->size, sim_connection_sender(pipe)->name);
    if (stream != NULL) {
        sim_connection_note_late_bytes(pipe);
        sim_stream_arrived(stream, segment->data, segment->size);
    } else {
        pipe->window_used -= segment->size;
    }
}

static void sim_connection_arrive(struct sim_event *event)
{
    struct sim_pipe *pipe = list_entry(event, struct sim_pipe, arrive);
    struct sim *sim = pipe->connection->sim;
    struct sim_segment *segment = list_entry(pipe->segments.next, struct sim_segment, link);
    if (!segment->is_local && sim_link_is_cut(sim_connection_sender(pipe), sim_connection_receiver(pipe))) {
        if (!sim_is_scheduled(&pipe->stall)) {
            sim_schedule(sim, &pipe->stall, sim->now_ns + sim_draw(sim, sim_connection_link(pipe)->stall_timeout_ns));
        }
        return;
    }
    list_remove(&segment->link);
    sim_connection_schedule_arrival(pipe);
    sim_connection_deliver(pipe, segment);
    free(segment);
}

/* The way was cut for too long. */
static void sim_connection_stalled(struct sim_event *event)
{
    struct sim_pipe *pipe = list_entry(event, struct sim_pipe, stall);
    if (!pipe->ended) {
        sim_connection_break(pipe->connection);
        return;
    }
    /* The writer is gone already; what it sent last never arrives, and the receiver gives up by itself. */
    sim_connection_drop_segments(pipe);
    pipe->ended = false;
    sim_connection_add_local_end(pipe, pipe->connection->sim->now_ns);
}

void sim_connection_resume_all(struct sim *sim)
{
    list_each (&sim->connections, item) {
        struct sim_connection *connection = list_entry(item, struct sim_connection, link);
        for (unsigned side = 0; side < 2; side++) {
            struct sim_pipe *pipe = &connection->pipes[side];
            if (sim_is_scheduled(&pipe->stall) &&
                !sim_link_is_cut(sim_connection_sender(pipe), sim_connection_receiver(pipe))) {
                sim_unschedule(sim, &pipe->stall);
                sim_schedule(sim, &pipe->arrive, sim->now_ns + sim_link_delay_ns(sim, sim_connection_link(pipe)));
            }
        }
    }
}

void sim_connection_taken(struct sim_connection *connection, unsigned side, size_t size)
{
    struct sim_pipe *pipe = &connection->pipes[1 - side];
    assert(pipe->window_used >= size);
    pipe->window_used -= size;
    if (pipe->unsent.size > 0) {
        sim_connection_schedule_flush(pipe);
    }
}

/* ---- ending ---- */

/* Of the bytes in flight any first part arrives. */
static void sim_connection_cut_flight(struct sim_pipe *pipe, bool all)
{
    struct sim *sim = pipe->connection->sim;
    size_t flight = 0;
    list_each (&pipe->segments, item) {
        flight += list_entry(item, struct sim_segment, link)->size;
    }
    size_t keep = all ? 0 : (size_t)rng_below(&sim->rng, flight + 1);
    if (keep < flight) {
        sim_fault_happened(sim, SIM_FAULT_BYTES_LOST);
    }
    list_each_safe (&pipe->segments, item) {
        struct sim_segment *segment = list_entry(item, struct sim_segment, link);
        size_t kept = segment->size < keep ? segment->size : keep;
        pipe->window_used -= segment->size - kept;
        segment->size = kept;
        keep -= kept;
        if (kept == 0) {
            list_remove(&segment->link);
            free(segment);
        }
    }
    if (list_empty(&pipe->segments)) {
        sim_unschedule(sim, &pipe->arrive);
    }
}

/* What is still in flight arrives at any times before end_ns, in order. */
static void sim_connection_spread_flight(struct sim_pipe *pipe, uint64_t end_ns)
{
    struct sim *sim = pipe->connection->sim;
    uint64_t from_ns = sim->now_ns;
    list_each (&pipe->segments, item) {
        struct sim_segment *segment = list_entry(item, struct sim_segment, link);
        from_ns = rng_between(&sim->rng, from_ns, end_ns);
        segment->arrival_ns = from_ns;
        pipe->arrival_last_ns = from_ns;
    }
    if (!list_empty(&pipe->segments)) {
        sim_unschedule(sim, &pipe->arrive);
        sim_connection_schedule_arrival(pipe);
    }
}

/* When the receiver of a pipe learns of its end. */
static uint64_t sim_connection_end_time(struct sim_pipe *pipe, bool half_open)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_connection_link(pipe);
    if (!half_open) {
        return sim->now_ns + sim_link_delay_ns(sim, link);
    }
    sim_fault_happened(sim, SIM_FAULT_HALF_OPEN);
    return sim->now_ns + sim_draw(sim, link->half_open_ns);
}

static void sim_connection_break_pipe(struct sim_pipe *pipe, bool half_open)
{
    struct sim *sim = pipe->connection->sim;
    if (pipe->ended) {
        return;
    }
    bool cut = sim_link_is_cut(sim_connection_sender(pipe), sim_connection_receiver(pipe));
    sim_unschedule(sim, &pipe->stall);
    sim_connection_cut_flight(pipe, cut);
    uint64_t end_ns = sim_connection_end_time(pipe, half_open);
    if (half_open) {
        sim_connection_spread_flight(pipe, end_ns);
    }
    sim_connection_add_local_end(pipe, end_ns);
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
    bool half_open = sim_chance(sim, sim_connection_link(&connection->pipes[0])->half_open_ppm);
    unsigned late = (unsigned)rng_below(&sim->rng, 2);
    for (unsigned side = 0; side < 2; side++) {
        sim_connection_break_pipe(&connection->pipes[side], half_open && side == late);
    }
    sim_connection_end_lingering(connection);
}

/* The process wrote it and the kernel had taken any first part of it. */
static void sim_connection_send_some(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    bool waits = pipe->from == 0 && pipe->connection->phase != SIM_PHASE_OPEN;
    size_t size = (size_t)rng_below(&sim->rng, pipe->unsent.size + 1);
    if (waits || sim_connection_plays_with_units(sim_connection_link(pipe))) {
        size = 0;
    }
    if (size > 0) {
        sim_connection_send_piece(pipe, pipe->unsent.data, size);
    }
    if (size < pipe->unsent.size) {
        sim_fault_happened(sim, SIM_FAULT_BYTES_LOST);
    }
}

/* What the other side sees of an end that goes. */
static void sim_connection_end_pipe(struct sim_pipe *pipe, enum sim_connection_end how, bool unread)
{
    struct sim *sim = pipe->connection->sim;
    if (pipe->ended) {
        return;
    }
    if (how == SIM_END_POWER_LOST) {
        sim_connection_add_local_end(pipe, sim_connection_end_time(pipe, true));
        return;
    }
    if (how != SIM_END_SENT) {
        sim_connection_send_some(pipe);
    }
    if (unread && how != SIM_END_SENT) { /* closing with input unread resets, which destroys what is in flight */
        sim_connection_cut_flight(pipe, false);
    }
    bool half_open = sim_chance(sim, sim_connection_link(pipe)->half_open_ppm);
    sim_connection_add_end(pipe, unread && how != SIM_END_SENT ? HF_EIO : 0, sim_connection_end_time(pipe, half_open));
}

bool sim_connection_detach(struct sim_connection *connection, unsigned side, enum sim_connection_end how)
{
    struct sim_pipe *towards = &connection->pipes[1 - side];
    struct sim_stream *stream = connection->streams[side];
    bool unread = !list_empty(&towards->segments) || (stream != NULL && stream->received.size > 0);
    if (stream != NULL) {
        stream->connection = NULL;
        connection->streams[side] = NULL;
    }
    connection->processes[side] = NULL;
    sim_connection_drop_segments(towards);
    buffer_clear(&towards->unsent);
    buffer_clear(&towards->units);
    towards->ended = true;
    if (connection->processes[1 - side] != NULL) {
        sim_connection_end_pipe(&connection->pipes[side], how, unread);
        if (connection->streams[1 - side] == NULL) { /* the other end lingers, for nobody now */
            connection->processes[1 - side] = NULL;
        }
    }
    return sim_connection_collect(connection);
}

void sim_connection_linger(struct sim_connection *connection, unsigned side)
{
    connection->streams[side] = NULL;
    sim_connection_schedule_flush(&connection->pipes[side]);
    if (connection->pipes[side].ended) {
        sim_connection_detach(connection, side, SIM_END_SENT);
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
