#include "server/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/trace.h"
#include "server/argument.h"
#include "server/fanout.h"
#include "server/machine.h"
#include "server/server_state.h"
#include "server/session_wait.h"
#include "server/transaction.h"

/* ---- memory ---- */

size_t session_memory_bytes(const struct session *session)
{
    return session->input.capacity + session->call_bytes + session->held_bytes + stream_unsent_bytes(session->stream) +
           session->parser.capacity * 2 * sizeof(struct hf_bytes);
}

/* What a pipeline is about to bring. A single reply is counted when it is there, but for that of a newcomer, of whom
 * nothing is known, while there is no room. */
static uint64_t session_expected_bytes(const struct session *session)
{
    bool is_newcomer = session->bytes_out == 0 && session->server->ledger->is_full;
    uint64_t count = session->call_count > 0 && !is_newcomer ? session->call_count - 1 : session->call_count;
    return count * session->reply_size;
}

void session_keep_ledger(struct session *session)
{
    struct ledger *ledger = session->server->ledger;
    uint64_t held = session->ledger_bytes;
    uint64_t expected = session->expected_bytes;
    session->ledger_bytes = session_memory_bytes(session);
    session->expected_bytes = session_expected_bytes(session);
    ledger_recount(ledger, LEDGER_EXPECTED, expected, session->expected_bytes);
    ledger_recount(ledger, LEDGER_CLIENTS, held, session->ledger_bytes);
}

/* Of replies to the commands in flight. */
static uint64_t session_replies_max(const struct session *session)
{
    uint64_t share = session->server->ledger->limit_bytes / 8;
    return share < SESSION_REPLIES_MAX_BYTES ? share : SESSION_REPLIES_MAX_BYTES;
}

/* ---- out ---- */

void session_expect(struct session *session, size_t reply_size)
{
    session->reply_size -= session->reply_size / 16;
    session->reply_size = reply_size > session->reply_size ? reply_size : session->reply_size;
    session->reply_seen -= session->reply_seen / 16;
    session->reply_seen = reply_size > session->reply_seen ? reply_size : session->reply_seen;
}

void session_emit(struct session *session, struct hf_bytes reply)
{
    if (reply.size == 0) {
        return;
    }
    stream_write(session->stream, reply);
    session->bytes_out += reply.size;
    session->server->counters.bytes_out_total += reply.size;
    if (reply.size >= SESSION_REPLY_SPARED_SIZE) {
        session_keep_ledger(session);
    }
    if (stream_unsent_bytes(session->stream) > SESSION_OUTPUT_MAX_BYTES) {
        session->server->counters.output_limit_cut_total += session->cut_reason == NULL;
        session_cut(session, "more replies wait for it than its output limit allows");
    }
}

/* Nothing is left to do but to send what is still unsent. */
static bool session_is_finished(const struct session *session)
{
    return session->call_count == 0 && (session->is_ending || (session->has_all_input && !session->is_stalled));
}

/* Something left: what waits for that may go on. */
static void session_progressed(struct session *session)
{
    bool is_due = session_is_finished(session);
    bool has_room = session->is_stalled && session->call_count <= SESSION_CALLS_MAX / 2;
    if (is_due || has_room) {
        session_wake(session);
    }
}

void session_flush(struct session *session)
{
    while (!list_empty(&session->calls)) {
        struct call *call = list_entry(session->calls.next, struct call, link);
        if (!call->is_answered) {
            break;
        }
        session_emit(session, buffer_bytes(&call->reply));
        call_leave(call);
    }
    if (session->server->favoured == session && session->call_count == 0) {
        server_pass_favour(session->server); /* what its command held is free again */
    }
    session_progressed(session);
}

/* ---- which command ---- */

static const struct command_spec *session_find_subcommand(const struct command_spec *spec,
                                                          const struct arguments *arguments)
{
    size_t prefix = strlen(spec->name) + 1;
    for (size_t i = 0; i < spec->subcommand_count; i++) {
        if (argument_is(arguments->items[1], spec->subcommands[i].name + prefix)) {
            return &spec->subcommands[i];
        }
    }
    return NULL;
}

static void session_say_unknown(const struct arguments *arguments, struct reply *reply)
{
    struct buffer text = {0};
    buffer_format(&text, "ERR unknown command '%.*s', with args beginning with: ",
                  (int)(arguments->items[0].size < 128 ? arguments->items[0].size : 128),
                  (const char *)arguments->items[0].data);
    for (size_t i = 1; i < arguments->count && text.size < 256; i++) {
        size_t room = 256 - text.size;
        buffer_format(&text, "'%.*s' ", (int)(arguments->items[i].size < room ? arguments->items[i].size : room),
                      (const char *)arguments->items[i].data);
    }
    reply_error(reply, "%.*s", (int)text.size, (const char *)text.data);
    buffer_close(&text);
}

static void session_say_arity(const struct command_spec *spec, struct reply *reply)
{
    bool is_exec = spec->session == transaction_exec; /* whatever is wrong with EXEC, the transaction is over */
    reply_error(reply, "%s wrong number of arguments for '%s' command",
                is_exec ? "EXECABORT Transaction discarded because of:" : "ERR", spec->name);
}

const struct command_spec *session_find_command(const struct arguments *arguments, struct reply *reply)
{
    const struct command_spec *spec = command_find(arguments->items[0]);
    if (spec == NULL) {
        session_say_unknown(arguments, reply);
        return NULL;
    }
    if (spec->subcommand_count > 0 && arguments->count >= 2) {
        const struct command_spec *subcommand = session_find_subcommand(spec, arguments);
        if (subcommand == NULL && spec->session == NULL) {
            char name[COMMAND_NAME_SIZE_MAX + 1];
            size_t size = strlen(spec->name);
            for (size_t i = 0; i <= size; i++) {
                name[i] = (char)(spec->name[i] >= 'a' && spec->name[i] <= 'z' ? spec->name[i] - 32 : spec->name[i]);
            }
            reply_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                        (int)(arguments->items[1].size < 128 ? arguments->items[1].size : 128),
                        (const char *)arguments->items[1].data, name);
            return NULL;
        }
        spec = subcommand != NULL ? subcommand : spec;
    }
    if (!command_arity_fits(spec, arguments->count) || (spec->session == NULL && spec->execute == NULL)) {
        session_say_arity(spec, reply);
        return NULL;
    }
    return spec;
}

/* ---- running ---- */

static void session_start(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                          uint64_t group)
{
    struct buffer *unit = &session->server->unit;
    buffer_clear(unit);
    machine_unit_command(unit, session->protocol, spec, arguments);
    call_start(session->current, group, (spec->flags & COMMAND_WRITE) != 0, buffer_bytes(unit));
    if (unit->capacity > SESSION_OUTPUT_PAUSE_BYTES) {
        buffer_close(unit);
    }
}

int session_group_of(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                     uint64_t *group)
{
    struct node *node = session->server->node;
    size_t count = command_key_count(spec, arguments);
    if (count == 0) {
        return HF_ENOTFOUND;
    }
    *group = node_route(node, command_key_at(spec, arguments, 0));
    for (size_t i = 1; i < count; i++) {
        if (node_route(node, command_key_at(spec, arguments, i)) != *group) {
            return HF_ECONFLICT;
        }
    }
    return 0;
}

/* An odd number of keys and values is the command's own error, whichever groups they are in. */
static bool session_has_whole_pairs(const struct command_spec *spec, const struct arguments *arguments)
{
    return (arguments->count - (size_t)spec->first_key) % (size_t)spec->key_step == 0;
}

static enum session_result session_run_scan(struct session *session, const struct command_spec *spec,
                                            const struct arguments *arguments, struct reply *reply)
{
    uint32_t ordinal = 0;
    if (machine_scan_ordinal(arguments, &ordinal) != 0 || ordinal >= node_group_count(session->server->node)) {
        reply_error(reply, "ERR invalid cursor");
        return SESSION_ANSWERED;
    }
    session_start(session, spec, arguments, NODE_GROUP_FIRST + ordinal);
    return SESSION_LATER;
}

static enum session_result session_run_data(struct session *session, const struct command_spec *spec,
                                            const struct arguments *arguments, struct reply *reply)
{
    if (machine_check(spec, arguments, reply) != 0) {
        return SESSION_ANSWERED;
    }
    if (spec->number == COMMAND_NUMBER_SCAN) {
        return session_run_scan(session, spec, arguments, reply);
    }
    if ((spec->flags & COMMAND_EVERY_GROUP) != 0) {
        fanout_start_everywhere(session, spec, arguments);
        return SESSION_LATER;
    }
    if ((spec->flags & COMMAND_FANOUT) != 0 && command_key_count(spec, arguments) > 1) {
        fanout_start_keys(session, spec, arguments);
        return SESSION_LATER;
    }
    uint64_t group = NODE_GROUP_FIRST;
    if (session_group_of(session, spec, arguments, &group) == HF_ECONFLICT &&
        session_has_whole_pairs(spec, arguments)) {
        reply_error(reply, "CROSSGROUP Keys of '%s' belong to different groups; a {tag} keeps keys together",
                    spec->name);
        return SESSION_ANSWERED;
    }
    session_start(session, spec, arguments, group);
    return SESSION_LATER;
}

void session_run_local(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                       struct reply *reply)
{
    int result = spec->session(session, arguments, reply);
    assert(result == SESSION_ANSWERED); /* what answers later is not queued: COMMAND_NO_MULTI */
    (void)result;
}

/* What goes on inside MULTI instead of being queued. */
static bool session_is_about_transactions(const struct command_spec *spec)
{
    return spec->group == COMMAND_GROUP_TRANSACTIONS || argument_is(bytes_of_text(spec->name), "quit") ||
           argument_is(bytes_of_text(spec->name), "reset");
}

static void session_run(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                        struct reply *reply)
{
    enum session_result result = SESSION_ANSWERED;
    struct call *call = call_new(session, spec);
    session->current = call;
    session->spec_last = spec != NULL ? spec : session->spec_last;
    if (spec == NULL) {
        ; /* the reply says why */
    } else if (transaction_is_open(session) && !session_is_about_transactions(spec)) {
        transaction_queue(session, spec, arguments, reply);
    } else if (spec->execute != NULL) {
        result = session_run_data(session, spec, arguments, reply);
    } else {
        result = (enum session_result)spec->session(session, arguments, reply);
    }
    session->current = NULL;
    if (result == SESSION_ANSWERED) {
        reply_finish(reply);
        call_answer(call, buffer_bytes(reply->out));
    }
    if (session->reply_mode == SESSION_REPLY_SKIP) {
        session->reply_mode = SESSION_REPLY_ON;
    } else if (session->reply_mode == SESSION_REPLY_SKIP_NEXT) {
        session->reply_mode = SESSION_REPLY_SKIP;
    }
}

/* A browser, or a server tricked into sending requests: whatever follows is not meant for us. */
static bool session_is_http(const struct arguments *arguments)
{
    return argument_is(arguments->items[0], "post") || argument_is(arguments->items[0], "host:");
}

static bool session_must_wait(const struct session *session, const struct command_spec *spec)
{
    if (spec == NULL) {
        return false;
    }
    if ((spec->flags & COMMAND_AFTER_ALL) != 0 && session->call_count > 0) {
        return true;
    }
    bool has_data = spec->execute != NULL || spec->session == transaction_exec;
    if (has_data && session->server->favoured != session && ledger_is_exhausted(session->server->ledger)) {
        return true;
    }
    return (spec->session == transaction_exec && transaction_must_wait(session)) ||
           server_is_paused(session->server, spec);
}

/* Runs one command; false when it has to wait. */
static bool session_take(struct session *session, const struct arguments *arguments, struct hf_bytes raw)
{
    struct server *server = session->server;
    if (arguments->count == 0) {
        return true;
    }
    struct buffer *scratch = &server->scratch;
    buffer_clear(scratch);
    struct reply reply = reply_of(scratch, session->protocol);
    if (session_is_http(arguments)) {
        server->counters.protocol_errors_total++;
        session_cut(session, "it speaks HTTP");
        return true;
    }
    const struct command_spec *spec = session_find_command(arguments, &reply);
    if (session_must_wait(session, spec)) {
        return false;
    }
    if (spec == NULL && transaction_is_open(session)) {
        if (argument_is(arguments->items[0], "exec")) {
            transaction_drop(session);
        } else {
            transaction_spoil(session);
        }
    }
    session->raw = raw;
    session->commands++;
    server->counters.commands_total++;
    session_run(session, spec, arguments, &reply);
    if (server->favoured == session) {
        server->favour_used_ms = loop_now_ms(server->loop);
    }
    session->raw = (struct hf_bytes){0};
    if (scratch->capacity > SESSION_OUTPUT_PAUSE_BYTES) {
        buffer_close(scratch);
    }
    return true;
}

static void session_take_broken(struct session *session)
{
    struct buffer *scratch = &session->server->scratch;
    buffer_clear(scratch);
    struct reply reply = reply_of(scratch, session->protocol);
    reply_error(&reply, "ERR %s", hf_error_text());
    session->server->counters.protocol_errors_total++;
    call_answer(call_new(session, NULL), buffer_bytes(scratch));
    session_end(session);
}

/* ---- in ---- */

/* Whether it may take in more as far as its own bounds go. */
static bool session_has_room(const struct session *session)
{
    bool has_long_replies = session->call_count >= SESSION_CALLS_MIN &&
                            session->call_count * session->reply_size >= session_replies_max(session);
    return session->cut_reason == NULL && session->call_count < SESSION_CALLS_MAX && !has_long_replies &&
           session->call_bytes < SESSION_CALLS_BYTES_MAX &&
           stream_unsent_bytes(session->stream) + session->held_bytes < SESSION_OUTPUT_PAUSE_BYTES;
}

/* A full ledger: who holds and asks for little goes on, and of those whose commands came half one. Who holds replies
 * that were not sent has only to read them. */
static bool session_is_spared(struct session *session)
{
    struct server *server = session->server;
    if (session->call_count > 0) {
        return false;
    }
    if (session->ledger_bytes < SESSION_FAIR_BYTES && session->reply_seen < SESSION_FAIR_BYTES) {
        return true;
    }
    if (server->favoured == NULL && session->input.capacity >= SESSION_FAIR_BYTES) {
        server->favoured = session;
    }
    return server->favoured == session;
}

bool session_waits_for_memory(const struct session *session)
{
    return session->is_stalled && session->input.capacity >= SESSION_FAIR_BYTES && session->call_count == 0 &&
           session_has_room(session);
}

static bool session_may_run(struct session *session)
{
    return session_has_room(session) && (!session->server->ledger->is_full || session_is_spared(session));
}

/* Runs the commands that stand in the bytes; returns how many bytes are done with. */
static size_t session_consume(struct session *session, struct hf_bytes bytes)
{
    size_t consumed = 0;
    session->is_stalled = false;
    while (consumed < bytes.size && !session->is_ending) {
        if (!session_may_run(session)) {
            session->is_stalled = true;
            break;
        }
        struct hf_bytes rest = bytes_of((const uint8_t *)bytes.data + consumed, bytes.size - consumed);
        struct arguments arguments;
        size_t used = 0;
        enum resp_result result = resp_parse(&session->parser, rest, &arguments, &used);
        if (result == RESP_BROKEN) {
            session_take_broken(session);
            break;
        }
        if (result == RESP_MORE) {
            break;
        }
        if (!session_take(session, &arguments, bytes_of(rest.data, used))) {
            session->is_stalled = true;
            break;
        }
        consumed += used;
    }
    return session->is_ending ? bytes.size : consumed;
}

static void session_settle_input(struct session *session)
{
    if (session->input.capacity > SESSION_INPUT_KEPT_MAX && session->input.size < session->input.capacity / 8) {
        struct buffer kept = {0}; /* a long command is through */
        buffer_append_bytes(&kept, buffer_bytes(&session->input));
        buffer_close(&session->input);
        session->input = kept;
    }
    session_keep_ledger(session);
}

static void session_received(void *arg, struct hf_bytes bytes)
{
    struct session *session = arg;
    struct server *server = session->server;
    server->now_ns = io_monotonic_ns(server->io);
    session->active_ms = loop_now_ms(server->loop);
    session->bytes_in += bytes.size;
    server->counters.bytes_in_total += bytes.size;
    if (session->is_ending || session->cut_reason != NULL) {
        return;
    }
    if (session->is_stalled) {
        buffer_append_bytes(&session->input, bytes); /* was under way when the stream was paused */
    } else if (session->input.size > 0) {
        buffer_append_bytes(&session->input, bytes);
        buffer_drop_front(&session->input, session_consume(session, buffer_bytes(&session->input)));
    } else {
        size_t consumed = session_consume(session, bytes);
        buffer_append(&session->input, (const uint8_t *)bytes.data + consumed, bytes.size - consumed);
    }
    if (session->is_stalled) {
        stream_pause(session->stream);
    }
    session_settle_input(session);
}

void session_continue(struct session *session)
{
    struct server *server = session->server;
    if (session->cut_reason != NULL) {
        TRACE(TRACE_INFO, "server", "client %llu at %s was cut off: %s", (unsigned long long)session->id,
              stream_peer_address(session->stream), session->cut_reason);
        session_close(session);
        return;
    }
    session_keep_ledger(session);
    if (session->is_stalled && !session->is_ending) {
        server->now_ns = io_monotonic_ns(server->io);
        buffer_drop_front(&session->input, session_consume(session, buffer_bytes(&session->input)));
        if (!session->is_stalled) {
            stream_resume(session->stream);
        }
        session_settle_input(session);
    }
    if (session_is_finished(session)) {
        stream_close_when_sent(session->stream);
        session->stream = NULL;
        session_close(session);
    }
}

void session_wake(struct session *session)
{
    struct server *server = session->server;
    if (session->wants_run) {
        return;
    }
    session->wants_run = true;
    if (list_empty(&server->runnable)) {
        loop_timer_set(server->loop, &server->continue_timer, loop_now_ms(server->loop));
    }
    list_append(&server->runnable, &session->runnable);
}

/* A client may close its half and still wait for answers: what it sent is run. */
static void session_stream_ended(void *arg, int result)
{
    struct session *session = arg;
    if (result != 0) {
        session_close(session);
        return;
    }
    session->has_all_input = true;
    if (session_is_finished(session)) {
        session_wake(session);
    }
}

static void session_drained(void *arg)
{
    struct session *session = arg;
    session_keep_ledger(session);
    if (session->is_stalled) {
        session_wake(session);
    }
}

/* ---- life ---- */

static const struct stream_callbacks session_stream_callbacks = {
    .received = session_received,
    .ended = session_stream_ended,
    .drained = session_drained,
};

struct session *session_open(struct server *server, struct stream *stream, uint64_t id)
{
    struct session *session = memory_new(sizeof(*session));
    const struct resp_limits limits = resp_limits_default();
    session->server = server;
    session->stream = stream;
    session->id = id;
    session->created_ms = session->active_ms = loop_now_ms(server->loop);
    session->protocol = 2;
    session->reply_size = SESSION_REPLY_SIZE_FIRST;
    list_init(&session->calls);
    list_init(&session->runnable);
    resp_parser_init(&session->parser, &limits);
    list_append(&server->sessions, &session->link);
    map_put(&server->by_id, id, session);
    server->session_count++;
    stream_set_callbacks(stream, &session_stream_callbacks, session);
    return session;
}

void session_close(struct session *session)
{
    struct server *server = session->server;
    assert(session->current == NULL);
    session_wait_close(session);
    call_orphan_all(session);
    call_close_lanes(session);
    transaction_drop(session);
    list_remove(&session->link);
    list_remove(&session->runnable);
    map_remove(&server->by_id, session->id);
    server->session_count--;
    ledger_recount(server->ledger, LEDGER_EXPECTED, session->expected_bytes, 0);
    ledger_recount(server->ledger, LEDGER_CLIENTS, session->ledger_bytes, 0);
    if (server->favoured == session) {
        server->favoured = NULL; /* the next one that looks takes it */
    }
    server->favoured_seen = server->favoured_seen != session ? server->favoured_seen : NULL;
    stream_close(session->stream);
    resp_parser_close(&session->parser);
    buffer_close(&session->input);
    free(session->name);
    free(session->library_name);
    free(session->library_version);
    free(session);
}

void session_cut(struct session *session, const char *reason)
{
    if (session->cut_reason == NULL) {
        session->cut_reason = reason;
        session_wake(session);
    }
}

void session_end(struct session *session)
{
    session->is_ending = true;
    if (session->call_count == 0) {
        session_wake(session);
    }
}

/* ---- now and then ---- */

static void session_look_for_slow_reader(struct session *session, uint64_t now_ms)
{
    uint64_t unsent = stream_unsent_bytes(session->stream);
    uint64_t gone = session->bytes_out - unsent;
    if (unsent < SESSION_OUTPUT_PAUSE_BYTES || gone != session->gone_seen) {
        session->slow_since_ms = 0;
    } else if (session->slow_since_ms == 0) {
        session->slow_since_ms = now_ms;
    } else if (now_ms - session->slow_since_ms >= SESSION_SLOW_MS) {
        session->server->counters.slow_readers_cut_total += session->cut_reason == NULL;
        session_cut(session, "it does not read its replies");
    }
    session->gone_seen = gone;
}

static void session_look_for_starvation(struct session *session, uint64_t now_ms)
{
    bool is_starved = session->is_stalled && session->call_count == 0 && session->server->ledger->is_full &&
                      session->ledger_bytes >= SESSION_FAIR_BYTES;
    if (!is_starved) {
        session->starved_since_ms = 0;
    } else if (session->starved_since_ms == 0) {
        session->starved_since_ms = now_ms;
    } else if (now_ms - session->starved_since_ms >= SESSION_STARVED_MS &&
               now_ms - session->server->favour_used_ms >= SESSION_STARVED_MS) {
        session->server->counters.output_limit_cut_total += session->cut_reason == NULL;
        session_cut(session, "the memory for all clients is used up, and it holds much of it");
    }
}

void session_tick(struct session *session, uint64_t now_ms)
{
    const struct server *server = session->server;
    session_keep_ledger(session);
    session_look_for_slow_reader(session, now_ms);
    session_look_for_starvation(session, now_ms);
    bool is_idle = session->call_count == 0 && server->settings.timeout_s > 0 &&
                   now_ms - session->active_ms > server->settings.timeout_s * 1000;
    if (is_idle) {
        session->server->counters.idle_closed_total += session->cut_reason == NULL;
        session_cut(session, "it was idle for the configured timeout");
    }
    if (session->is_stalled) {
        session_wake(session);
    }
}
