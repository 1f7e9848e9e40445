#include "server/call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "server/outcome.h"
#include "server/server_state.h"

static void part_done(void *arg, int result, struct hf_bytes reply, uint64_t index);
static void part_ended(struct part *part, int result, struct hf_bytes reply, uint64_t index);

/* ---- life of a call ---- */

struct call *call_new(struct session *session, const struct command_spec *spec)
{
    struct server *server = session->server;
    struct call *call = server->calls_free;
    if (call != NULL) {
        server->calls_free = (struct call *)call->link.next;
        server->calls_free_count--;
    } else {
        call = memory_new(sizeof(*call));
    }
    call->server = server;
    call->session = session;
    call->spec = spec;
    call->started_ns = server->now_ns;
    call->protocol = session->protocol;
    call->is_silent = session->reply_mode == SESSION_REPLY_OFF || session->reply_mode == SESSION_REPLY_SKIP;
    call->raw_size = (uint8_t)(session->raw.size < CALL_RAW_SIZE_MAX ? session->raw.size : CALL_RAW_SIZE_MAX);
    if (call->raw_size > 0) {
        memcpy(call->raw, session->raw.data, call->raw_size);
    }
    list_append(&session->calls, &call->link);
    session->call_count++;
    return call;
}

static void part_clear(struct part *part)
{
    buffer_close(&part->command);
    buffer_close(&part->reply);
}

static void call_clear(struct call *call)
{
    for (uint32_t i = 0; i < call->part_count && call->parts != NULL; i++) {
        part_clear(&call->parts[i]);
    }
    free(call->parts);
    part_clear(&call->own);
    free(call->state);
    buffer_close(&call->memory);
}

/* The call is in no list any more. */
static void call_free(struct call *call)
{
    struct server *server = call->server;
    struct buffer reply = call->reply;
    call_clear(call);
    if (server == NULL || server->calls_free_count >= SERVER_CALLS_KEPT_MAX) {
        buffer_close(&reply);
        free(call);
        return;
    }
    if (reply.capacity > CALL_REPLY_KEPT_MAX) {
        buffer_close(&reply);
    }
    buffer_clear(&reply);
    memset(call, 0, offsetof(struct call, raw));
    call->reply = reply;
    call->link.next = (struct list *)server->calls_free;
    server->calls_free = call;
    server->calls_free_count++;
}

static void call_leave_session(struct call *call)
{
    struct session *session = call->session;
    list_remove(&call->link);
    session->call_count--;
    session->call_bytes -= call->bytes;
    session->held_bytes -= call->reply.size + call->parts_bytes;
    call->parts_bytes = 0;
}

void call_leave(struct call *call)
{
    call_leave_session(call);
    call_free(call);
}

static void call_note_end(struct call *call, struct hf_bytes reply)
{
    struct server *server = call->server;
    uint64_t duration_us = (io_monotonic_ns(server->io) - call->started_ns) / 1000;
    bool is_error = reply.size > 0 && *(const char *)reply.data == '-';
    server->counters.errors_total += is_error;
    command_stats_record(server->stats, call->spec, duration_us, is_error, server->settings.latency_tracking);
    slowlog_record(server->slowlog, call, duration_us);
}

void call_answer(struct call *call, struct hf_bytes reply)
{
    struct session *session = call->session;
    assert(!call->is_answered && call->parts_open == 0 && session != NULL);
    call_note_end(call, reply);
    session_expect(session, reply.size);
    if (session->calls.next != &call->link) {
        call->is_answered = true;
        if (!call->is_silent) {
            buffer_append_bytes(&call->reply, reply);
            session->held_bytes += reply.size;
        }
        return;
    }
    bool is_silent = call->is_silent;
    call_leave(call);
    if (!is_silent) {
        session_emit(session, reply);
    }
    session_flush(session);
}

/* ---- lanes ---- */

struct lane *call_lane(struct session *session, uint64_t group)
{
    if (session->lane_last != NULL && session->lane_last->group == group) {
        return session->lane_last;
    }
    struct lane *lane = map_get(&session->lanes, group);
    if (lane == NULL) {
        lane = memory_new(sizeof(*lane));
        lane->group = group;
        list_init(&lane->waiting);
        map_put(&session->lanes, group, lane);
    }
    session->lane_last = lane;
    return lane;
}

static bool lane_admits(const struct lane *lane, bool is_write)
{
    return is_write ? lane->reads == 0 : lane->writes == 0;
}

static void part_start(struct part *part, struct lane *lane, struct hf_bytes command)
{
    struct call *call = part->call;
    struct node *node = call->server->node;
    part->is_started = true;
    if (part->is_write) {
        lane->writes++;
        node_propose(node, part->group, command, part_done, part);
    } else if (part->change != NULL) {
        lane->reads++;
        node_change_members(node, part->change, part_done, part);
    } else if (part->is_barrier) {
        lane->reads++;
        node_barrier(node, part->group, part_done, part);
    } else if (part->is_transfer) {
        lane->reads++;
        node_forward_transfer(node, part->group, part->to_node, part_done, part);
    } else if (part->is_snapshot) {
        lane->reads++;
        node_snapshot(node, part->to_node, part_done, part);
    } else if (part->is_chunk) {
        lane->reads++;
        node_snapshot_read(node, part->group, part->snapshot, part->chunk, part_done, part);
    } else {
        lane->reads++;
        node_read(node, part->group, call->session->read_mode, command, part_done, part);
    }
}

/* Starts the part, or queues it behind what it has to wait for. command: the part's own, or lent. */
static void part_enter(struct part *part, struct hf_bytes command)
{
    struct call *call = part->call;
    struct lane *lane = call_lane(call->session, part->group);
    call->parts_open++;
    call->bytes += command.size;
    call->session->call_bytes += command.size;
    if (list_empty(&lane->waiting) && lane_admits(lane, part->is_write)) {
        part_start(part, lane, command);
        return;
    }
    if (part->command.size == 0) {
        buffer_append_bytes(&part->command, command);
    }
    list_append(&lane->waiting, &part->link);
}

/* It waited for earlier commands until its own time was up: nothing of it was proposed. */
static bool part_is_late(const struct part *part)
{
    const struct server *server = part->call->server;
    return io_monotonic_ns(server->io) - part->call->started_ns >= (uint64_t)server->request_timeout_ms * 1000000;
}

static void lane_run(struct lane *lane)
{
    while (!list_empty(&lane->waiting)) {
        struct part *part = list_entry(lane->waiting.next, struct part, link);
        if (part_is_late(part)) {
            list_remove(&part->link);
            part_ended(part, HF_ENOLEADER, (struct hf_bytes){0}, 0);
            continue;
        }
        if (!lane_admits(lane, part->is_write)) {
            return;
        }
        list_remove(&part->link);
        part_start(part, lane, buffer_bytes(&part->command));
    }
}

/* ---- parts ---- */

static void part_init(struct part *part, struct call *call)
{
    *part = (struct part){.call = call};
    list_init(&part->link);
}

void call_start(struct call *call, uint64_t group, bool is_write, struct hf_bytes command)
{
    part_init(&call->own, call);
    call->own.group = group;
    call->own.is_write = is_write;
    call->part_count = 1;
    part_enter(&call->own, command);
}

void call_make_parts(struct call *call, uint32_t count)
{
    assert(count > 0);
    call->parts = memory_new(count * sizeof(*call->parts));
    call->part_count = count;
    for (uint32_t i = 0; i < count; i++) {
        part_init(&call->parts[i], call);
    }
}

void call_start_parts(struct call *call)
{
    for (uint32_t i = 0; i < call->part_count; i++) {
        part_enter(&call->parts[i], buffer_bytes(&call->parts[i].command));
    }
}

struct part *call_part(struct call *call, uint32_t position)
{
    assert(position < call->part_count);
    return call->parts != NULL ? &call->parts[position] : &call->own;
}

/* All parts are done. */
static void call_merge(struct call *call)
{
    struct server *server = call->server;
    struct buffer *merged = &server->merged;
    buffer_clear(merged);
    struct reply reply = reply_of(merged, call->protocol);
    call->finish(call, &reply);
    reply_finish(&reply);
    call_answer(call, buffer_bytes(merged));
    if (merged->capacity > SESSION_OUTPUT_PAUSE_BYTES) {
        buffer_close(merged);
    }
}

static void part_failed(struct part *part, int result, uint64_t index)
{
    struct call *call = part->call;
    struct outcome outcome = {.result = result, .group = part->group, .index = index, .is_write = part->is_write};
    struct buffer text = {0};
    struct reply reply = reply_of(&text, call->protocol);
    outcome_reply(&reply, &outcome);
    call_answer(call, buffer_bytes(&text));
    buffer_close(&text);
}

static void lane_note_end(struct lane *lane, const struct part *part, int result, uint64_t index)
{
    if (!part->is_write) {
        lane->reads--;
        return;
    }
    lane->writes--;
    if (result == 0 && index > lane->index_last) {
        lane->index_last = index;
    }
}

/* A part of a call whose session is still there is over. */
static void part_ended(struct part *part, int result, struct hf_bytes reply, uint64_t index)
{
    struct call *call = part->call;
    part->is_done = true;
    part->result = result;
    part->index = index;
    call->parts_open--;
    if (call->finish != NULL) {
        buffer_append_bytes(&part->reply, reply);
        call->parts_bytes += reply.size;
        call->session->held_bytes += reply.size;
        if (call->parts_open == 0) {
            call_merge(call);
        }
    } else if (result != 0) {
        part_failed(part, result, index);
    } else {
        call_answer(call, reply);
    }
}

/* What is under way when the ledger becomes full still arrives. A read changed nothing, so that its client can be
 * told to ask again instead of making it worse. */
static bool part_is_too_much(const struct part *part, struct hf_bytes reply)
{
    return !part->is_write && reply.size > SESSION_REPLY_SPARED_SIZE && ledger_is_overdrawn(part->call->server->ledger);
}

/* The node's answer. */
static void part_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct part *part = arg;
    struct call *call = part->call;
    if (call->session != NULL) {
        struct lane *lane = call_lane(call->session, part->group);
        if (result == 0 && part_is_too_much(part, reply)) {
            result = HF_ENOMEM;
            reply = (struct hf_bytes){0};
        }
        lane_note_end(lane, part, result, index);
        part_ended(part, result, reply, index); /* before anything else starts: the reply is lent */
        lane_run(lane);
        return;
    }
    part->is_done = true;
    if (--call->parts_open == 0) {
        if (call->server != NULL) {
            list_remove(&call->link);
        }
        call_free(call);
    }
}

/* ---- endings ---- */

/* Whether nothing of the call is with the node. */
static bool call_withdraw(struct call *call)
{
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct part *part = call_part(call, i);
        if (!part->is_started && !part->is_done) {
            list_remove(&part->link);
            part->is_done = true;
            call->parts_open--;
        }
    }
    return call->parts_open == 0;
}

void call_orphan_all(struct session *session)
{
    struct server *server = session->server;
    list_each_safe (&session->calls, item) {
        struct call *call = list_entry(item, struct call, link);
        call_leave_session(call);
        bool is_free = call_withdraw(call);
        call->session = NULL;
        if (is_free) {
            call_free(call);
        } else {
            list_append(&server->orphans, &call->link);
        }
    }
}

void call_close_lanes(struct session *session)
{
    size_t position = 0;
    uint64_t group = 0;
    void *lane = NULL;
    while (map_next(&session->lanes, &position, &group, &lane)) {
        assert(list_empty(&((struct lane *)lane)->waiting));
        free(lane);
    }
    map_close(&session->lanes);
    session->lane_last = NULL;
}

void call_close_all(struct server *server)
{
    list_each_safe (&server->orphans, item) {
        struct call *call = list_entry(item, struct call, link);
        list_remove(&call->link);
        call->server = NULL;
    }
    while (server->calls_free != NULL) {
        struct call *call = server->calls_free;
        server->calls_free = (struct call *)call->link.next;
        buffer_close(&call->reply);
        free(call);
    }
}
