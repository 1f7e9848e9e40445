#include "sim/sim_pipe.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "holdfast/error.h"
#include "sim/sim_connection.h"
#include "sim/sim_fault.h"
#include "sim/sim_stream.h"

struct sim_segment {
    struct list link;
    uint64_t arrival_ns;
    size_t size;
    bool is_end;
    bool is_local; /* the receiver finds out by itself: no link can hold it back */
    int result;
    uint8_t data[];
};

static void sim_pipe_flush(struct sim_event *event);
static void sim_pipe_arrive(struct sim_event *event);
static void sim_pipe_stalled(struct sim_event *event);

void sim_pipe_init(struct sim_pipe *pipe, struct sim_connection *connection, unsigned from)
{
    pipe->connection = connection;
    pipe->from = from;
    pipe->flush.run = sim_pipe_flush;
    pipe->arrive.run = sim_pipe_arrive;
    pipe->stall.run = sim_pipe_stalled;
    list_init(&pipe->segments);
}

struct sim_host *sim_pipe_sender(const struct sim_pipe *pipe)
{
    return pipe->connection->hosts[pipe->from];
}

struct sim_host *sim_pipe_receiver(const struct sim_pipe *pipe)
{
    return pipe->connection->hosts[1 - pipe->from];
}

const struct sim_link *sim_pipe_link(const struct sim_pipe *pipe)
{
    return sim_link_of(sim_pipe_sender(pipe), sim_pipe_receiver(pipe));
}

bool sim_pipe_is_cut(const struct sim_pipe *pipe)
{
    return sim_link_is_cut(sim_pipe_sender(pipe), sim_pipe_receiver(pipe));
}

static void sim_pipe_drop_segments(struct sim_pipe *pipe)
{
    list_each_safe (&pipe->segments, item) {
        struct sim_segment *segment = list_entry(item, struct sim_segment, link);
        list_remove(&segment->link);
        free(segment);
    }
    sim_unschedule(pipe->connection->sim, &pipe->arrive);
    sim_unschedule(pipe->connection->sim, &pipe->stall);
}

void sim_pipe_close(struct sim_pipe *pipe)
{
    sim_pipe_drop_segments(pipe);
    sim_unschedule(pipe->connection->sim, &pipe->flush);
    buffer_close(&pipe->unsent);
    buffer_close(&pipe->units);
}

void sim_pipe_end_unheard(struct sim_pipe *pipe)
{
    sim_pipe_drop_segments(pipe);
    sim_unschedule(pipe->connection->sim, &pipe->flush);
    buffer_clear(&pipe->unsent);
    buffer_clear(&pipe->units);
    pipe->ended = true;
}

/* ---- sending ---- */

static void sim_pipe_schedule_arrival(struct sim_pipe *pipe)
{
    if (!list_empty(&pipe->segments) && !sim_is_scheduled(&pipe->arrive)) {
        const struct sim_segment *first = list_entry(pipe->segments.next, struct sim_segment, link);
        sim_schedule(pipe->connection->sim, &pipe->arrive, first->arrival_ns);
    }
}

static struct sim_segment *sim_pipe_add_segment(struct sim_pipe *pipe, uint64_t arrival_ns, const void *data,
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
    sim_pipe_schedule_arrival(pipe);
    return segment;
}

static void sim_pipe_send_piece(struct sim_pipe *pipe, const void *data, size_t size)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_pipe_link(pipe);
    uint64_t arrival_ns = sim->now_ns + sim_link_delay_ns(sim, link);
    if (link->bandwidth_bytes_per_s > 0) {
        uint64_t start_ns = arrival_ns > pipe->arrival_last_ns ? arrival_ns : pipe->arrival_last_ns;
        arrival_ns = start_ns + size * SIM_NS_PER_SEC / link->bandwidth_bytes_per_s;
    }
    pipe->window_used += size;
    sim_pipe_add_segment(pipe, arrival_ns, data, size);
}

void sim_pipe_add_end(struct sim_pipe *pipe, int result, uint64_t arrival_ns)
{
    assert(!pipe->ended);
    struct sim_segment *segment = sim_pipe_add_segment(pipe, arrival_ns, NULL, 0);
    segment->is_end = true;
    segment->result = result;
    pipe->ended = true;
    buffer_clear(&pipe->unsent);
    buffer_clear(&pipe->units);
    sim_unschedule(pipe->connection->sim, &pipe->flush);
}

void sim_pipe_add_local_end(struct sim_pipe *pipe, uint64_t arrival_ns)
{
    sim_unschedule(pipe->connection->sim, &pipe->stall);
    sim_pipe_add_end(pipe, HF_EIO, arrival_ns);
    list_entry(pipe->segments.previous, struct sim_segment, link)->is_local = true;
}

static bool sim_pipe_plays_with_units(const struct sim_link *link)
{
    return link->unit_loss_ppm > 0 || link->unit_duplicate_ppm > 0 || link->unit_reorder_ppm > 0;
}

/* One whole write: perhaps not, perhaps twice. */
static void sim_pipe_send_unit(struct sim_pipe *pipe, const uint8_t *data, size_t size)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_pipe_link(pipe);
    if (sim_chance(sim, link->unit_loss_ppm)) {
        sim_fault_happened(sim, SIM_FAULT_UNIT_LOST);
        return;
    }
    sim_pipe_send_piece(pipe, data, size);
    if (sim_chance(sim, link->unit_duplicate_ppm)) {
        sim_fault_happened(sim, SIM_FAULT_UNIT_DUPLICATED);
        sim_pipe_send_piece(pipe, data, size);
    }
}

/* Everything that is unsent, write by write; the window does not hold it back. */
static void sim_pipe_send_units(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_pipe_link(pipe);
    size_t offset = 0;
    size_t count = pipe->units.size / 4;
    for (size_t i = 0; i < count; i++) {
        size_t size = bytes_get_u32(pipe->units.data + i * 4);
        size_t next = i + 1 < count ? bytes_get_u32(pipe->units.data + (i + 1) * 4) : 0;
        if (next > 0 && sim_chance(sim, link->unit_reorder_ppm)) {
            sim_fault_happened(sim, SIM_FAULT_UNIT_REORDERED);
            sim_pipe_send_unit(pipe, pipe->unsent.data + offset + size, next);
            sim_pipe_send_unit(pipe, pipe->unsent.data + offset, size);
            offset += size + next;
            i++;
        } else {
            sim_pipe_send_unit(pipe, pipe->unsent.data + offset, size);
            offset += size;
        }
    }
    buffer_drop_front(&pipe->unsent, offset);
    buffer_clear(&pipe->units);
}

/* As much as the window takes, in pieces. False when the connection broke on the way. */
static bool sim_pipe_send_pieces(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    const struct sim_link *link = sim_pipe_link(pipe);
    size_t offset = 0;
    bool whole = true;
    while (whole && offset < pipe->unsent.size && pipe->window_used < SIM_PIPE_WINDOW_BYTES) {
        size_t room = SIM_PIPE_WINDOW_BYTES - pipe->window_used;
        size_t size = pipe->unsent.size - offset;
        size = size < room ? size : room;
        size = size < SIM_PIPE_PIECE_BYTES ? size : SIM_PIPE_PIECE_BYTES;
        if (size > 1 && sim_chance(sim, link->chunk_ppm)) {
            size = (size_t)rng_between(&sim->rng, 1, size - 1);
            sim_fault_happened(sim, SIM_FAULT_CHUNK);
        }
        sim_pipe_send_piece(pipe, pipe->unsent.data + offset, size);
        offset += size;
        whole = !sim_chance(sim, link->reset_ppm);
    }
    buffer_drop_front(&pipe->unsent, offset);
    if (!whole) {
        sim_connection_break(pipe->connection);
    }
    return whole;
}

static void sim_pipe_flush(struct sim_event *event)
{
    struct sim_pipe *pipe = list_entry(event, struct sim_pipe, flush);
    struct sim_connection *connection = pipe->connection;
    if (pipe->ended || (pipe->from == 0 && connection->phase != SIM_PHASE_OPEN)) {
        return;
    }
    if (sim_pipe_plays_with_units(sim_pipe_link(pipe)) && pipe->units.size > 0) {
        sim_pipe_send_units(pipe);
    }
    if (!sim_pipe_send_pieces(pipe)) {
        return;
    }
    if (connection->streams[pipe->from] != NULL) {
        sim_stream_sent(connection->streams[pipe->from]);
    } else if (pipe->unsent.size == 0) {
        sim_connection_detach(connection, pipe->from, SIM_END_SENT);
    }
}

void sim_pipe_schedule_flush(struct sim_pipe *pipe)
{
    if (!sim_is_scheduled(&pipe->flush)) {
        sim_schedule(pipe->connection->sim, &pipe->flush, pipe->connection->sim->now_ns);
    }
}

void sim_pipe_write(struct sim_pipe *pipe, struct hf_bytes bytes)
{
    if (pipe->ended) {
        return; /* it broke, and the writer does not know yet */
    }
    bool has_units = pipe->units.size > 0 || pipe->unsent.size == 0;
    if (has_units && sim_pipe_plays_with_units(sim_pipe_link(pipe))) {
        buffer_append_u32(&pipe->units, (uint32_t)bytes.size);
    }
    buffer_append_bytes(&pipe->unsent, bytes);
    sim_pipe_schedule_flush(pipe);
}

/* ---- arriving ---- */

static void sim_pipe_note_late_bytes(struct sim_pipe *pipe)
{
    struct sim_link_state *state = sim_link_state(sim_pipe_sender(pipe), sim_pipe_receiver(pipe));
    uint64_t ordinal = pipe->connection->ordinal;
    if (ordinal < state->ordinal_delivered) {
        sim_fault_happened(state->sim, SIM_FAULT_LATE_BYTES);
    } else {
        state->ordinal_delivered = ordinal;
    }
}

static void sim_pipe_deliver(struct sim_pipe *pipe, const struct sim_segment *segment)
{
    struct sim_connection *connection = pipe->connection;
    struct sim_stream *stream = connection->streams[1 - pipe->from];
    if (segment->is_end) {
        sim_trace(connection->sim, sim_pipe_receiver(pipe), "c%" PRIu64 " ends (%d)", connection->ordinal,
                  segment->result);
        if (stream != NULL) {
            sim_stream_ended(stream, segment->result);
        }
        return;
    }
    sim_trace(connection->sim, sim_pipe_receiver(pipe), "c%" PRIu64 " %zu bytes from %s", connection->ordinal,
              segment->size, sim_pipe_sender(pipe)->name);
    if (stream != NULL) {
        sim_pipe_note_late_bytes(pipe);
        sim_stream_arrived(stream, segment->data, segment->size);
    } else {
        pipe->window_used -= segment->size;
    }
}

static void sim_pipe_arrive(struct sim_event *event)
{
    struct sim_pipe *pipe = list_entry(event, struct sim_pipe, arrive);
    struct sim *sim = pipe->connection->sim;
    struct sim_segment *segment = list_entry(pipe->segments.next, struct sim_segment, link);
    if (!segment->is_local && sim_pipe_is_cut(pipe)) {
        if (!sim_is_scheduled(&pipe->stall)) {
            sim_schedule(sim, &pipe->stall, sim->now_ns + sim_draw(sim, sim_pipe_link(pipe)->stall_timeout_ns));
        }
        return;
    }
    list_remove(&segment->link);
    sim_pipe_schedule_arrival(pipe);
    sim_pipe_deliver(pipe, segment);
    free(segment);
}

/* The way was cut for too long. */
static void sim_pipe_stalled(struct sim_event *event)
{
    struct sim_pipe *pipe = list_entry(event, struct sim_pipe, stall);
    if (!pipe->ended) {
        sim_connection_break(pipe->connection);
        return;
    }
    /* The writer is gone already; what it sent last never arrives, and the receiver gives up by itself. */
    sim_pipe_drop_segments(pipe);
    pipe->ended = false;
    sim_pipe_add_local_end(pipe, pipe->connection->sim->now_ns);
}

void sim_pipe_resume(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    if (sim_is_scheduled(&pipe->stall) && !sim_pipe_is_cut(pipe)) {
        sim_unschedule(sim, &pipe->stall);
        sim_schedule(sim, &pipe->arrive, sim->now_ns + sim_link_delay_ns(sim, sim_pipe_link(pipe)));
    }
}

void sim_pipe_taken(struct sim_pipe *pipe, size_t size)
{
    assert(pipe->window_used >= size);
    pipe->window_used -= size;
    if (pipe->unsent.size > 0) {
        sim_pipe_schedule_flush(pipe);
    }
}

/* ---- ending ---- */

size_t sim_pipe_flight_bytes(const struct sim_pipe *pipe)
{
    size_t flight = 0;
    list_each (&pipe->segments, item) {
        flight += list_entry(item, struct sim_segment, link)->size;
    }
    return flight;
}

void sim_pipe_keep_flight(struct sim_pipe *pipe, size_t keep)
{
    if (keep < sim_pipe_flight_bytes(pipe)) {
        sim_fault_happened(pipe->connection->sim, SIM_FAULT_BYTES_LOST);
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
        sim_unschedule(pipe->connection->sim, &pipe->arrive);
    }
}

void sim_pipe_spread_flight(struct sim_pipe *pipe, uint64_t end_ns)
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
        sim_pipe_schedule_arrival(pipe);
    }
}

uint64_t sim_pipe_end_soon_ns(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    return sim->now_ns + sim_link_delay_ns(sim, sim_pipe_link(pipe));
}

uint64_t sim_pipe_end_late_ns(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    sim_fault_happened(sim, SIM_FAULT_HALF_OPEN);
    return sim->now_ns + sim_draw(sim, sim_pipe_link(pipe)->half_open_ns);
}

void sim_pipe_send_some(struct sim_pipe *pipe)
{
    struct sim *sim = pipe->connection->sim;
    bool waits = pipe->from == 0 && pipe->connection->phase != SIM_PHASE_OPEN;
    size_t size = (size_t)rng_below(&sim->rng, pipe->unsent.size + 1);
    if (waits || sim_pipe_plays_with_units(sim_pipe_link(pipe))) {
        size = 0;
    }
    if (size > 0) {
        sim_pipe_send_piece(pipe, pipe->unsent.data, size);
    }
    if (size < pipe->unsent.size) {
        sim_fault_happened(sim, SIM_FAULT_BYTES_LOST);
    }
}
