#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/server_state.h"
#include "server/transaction.h"

/* ---- names ---- */

static bool command_client_is_plain(struct hf_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        char character = ((const char *)text.data)[i];
        if (character < '!' || character > '~') {
            return false;
        }
    }
    return true;
}

static void command_client_replace(char **text, struct hf_bytes value)
{
    free(*text);
    *text = value.size > 0 ? text_format("%.*s", (int)value.size, (const char *)value.data) : NULL;
}

bool command_client_set_name(struct session *session, struct hf_bytes name, struct reply *reply)
{
    if (!command_client_is_plain(name)) {
        reply_error(reply, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    if (name.size > SESSION_NAME_SIZE_MAX) {
        reply_error(reply, "ERR Client names cannot be longer than %u bytes", SESSION_NAME_SIZE_MAX);
        return false;
    }
    command_client_replace(&session->name, name);
    return true;
}

int command_client_setname(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (command_client_set_name(session, arguments->items[2], reply)) {
        reply_status(reply, "OK");
    }
    return SESSION_ANSWERED;
}

int command_client_getname(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (session->name != NULL) {
        reply_bulk_text(reply, session->name);
    } else {
        reply_null(reply);
    }
    return SESSION_ANSWERED;
}

int command_client_setinfo(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct hf_bytes option = arguments->items[2];
    struct hf_bytes value = arguments->items[3];
    bool is_name = argument_is(option, "lib-name");
    if (!is_name && !argument_is(option, "lib-ver")) {
        reply_error(reply, "ERR Unrecognized option '%.*s'", (int)(option.size < 128 ? option.size : 128),
                    (const char *)option.data);
    } else if (!command_client_is_plain(value) || value.size > SESSION_NAME_SIZE_MAX) {
        reply_error(reply, "ERR %s cannot contain spaces, newlines or special characters.",
                    is_name ? "lib-name" : "lib-ver");
    } else {
        command_client_replace(is_name ? &session->library_name : &session->library_version, value);
        reply_status(reply, "OK");
    }
    return SESSION_ANSWERED;
}

int command_client_id(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_integer(reply, (int64_t)session->id);
    return SESSION_ANSWERED;
}

/* ---- who is there ---- */

static const char *command_client_text(const char *text)
{
    return text != NULL ? text : "";
}

static void command_client_describe(const struct session *session, struct buffer *out)
{
    const struct server *server = session->server;
    uint64_t now_ms = loop_now_ms(server->loop);
    bool is_open = transaction_is_open(session);
    buffer_format(out, "id=%" PRIu64 " addr=%s laddr=%s fd=-1 name=%s", session->id,
                  stream_peer_address(session->stream), listener_address(server->listener),
                  command_client_text(session->name));
    buffer_format(out, " age=%" PRIu64 " idle=%" PRIu64 " flags=%s db=0 sub=0 psub=0 ssub=0 multi=%lld watch=%zu",
                  (now_ms - session->created_ms) / 1000, (now_ms - session->active_ms) / 1000, is_open ? "x" : "N",
                  is_open ? (long long)transaction_queued(session) : -1LL, transaction_watched(session));
    buffer_format(out, " qbuf=%zu qbuf-free=%zu argv-mem=%" PRIu64 " multi-mem=0 rbs=0 rbp=0 obl=%" PRIu64,
                  session->input.size, session->input.capacity - session->input.size, session->call_bytes,
                  session->held_bytes);
    buffer_format(out, " oll=%u omem=%zu tot-mem=%zu events=r cmd=%s user=default redir=-1 resp=%u",
                  session->call_count, stream_unsent_bytes(session->stream), session_memory_bytes(session),
                  session->spec_last != NULL ? session->spec_last->name : "NULL", session->protocol);
    buffer_format(out, " lib-name=%s lib-ver=%s\n", command_client_text(session->library_name),
                  command_client_text(session->library_version));
}

int command_client_info(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct buffer text = {0};
    command_client_describe(session, &text);
    reply_verbatim(reply, "txt", buffer_bytes(&text));
    buffer_close(&text);
    return SESSION_ANSWERED;
}

static bool command_client_is_type(struct hf_bytes type)
{
    return argument_is(type, "normal") || argument_is(type, "master") || argument_is(type, "replica") ||
           argument_is(type, "slave") || argument_is(type, "pubsub");
}

static bool command_client_list_ids(struct session *session, const struct arguments *arguments, struct buffer *text,
                                    struct reply *reply)
{
    for (size_t i = 3; i < arguments->count; i++) {
        int64_t id = 0;
        if (!argument_integer(arguments->items[i], &id) || id < 1) {
            reply_error(reply, "ERR Invalid client ID");
            return false;
        }
        const struct session *found = server_session(session->server, (uint64_t)id);
        if (found != NULL) {
            command_client_describe(found, text);
        }
    }
    return true;
}

int command_client_list(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct buffer text = {0};
    bool has_all = arguments->count == 2;
    bool is_good = true;
    if (arguments->count == 4 && argument_is(arguments->items[2], "type")) {
        if (!command_client_is_type(arguments->items[3])) {
            reply_error(reply, "ERR Unknown client type '%.*s'", (int)(arguments->items[3].size & 127),
                        (const char *)arguments->items[3].data);
            return SESSION_ANSWERED;
        }
        has_all = argument_is(arguments->items[3], "normal");
    } else if (arguments->count > 3 && argument_is(arguments->items[2], "id")) {
        is_good = command_client_list_ids(session, arguments, &text, reply);
    } else if (!has_all) {
        argument_reply_syntax(reply);
        return SESSION_ANSWERED;
    }
    if (has_all) {
        list_each (&session->server->sessions, item) {
            command_client_describe(list_entry(item, struct session, link), &text);
        }
    }
    if (is_good) {
        reply_verbatim(reply, "txt", buffer_bytes(&text));
    }
    buffer_close(&text);
    return SESSION_ANSWERED;
}

/* ---- KILL ---- */

struct command_client_filter {
    int64_t id; /* 0: any */
    struct hf_bytes address;
    struct hf_bytes local_address;
    struct hf_bytes user;
    struct hf_bytes type;
    int64_t age_s; /* 0: any */
    bool skips_me;
};

static bool command_client_yes(struct hf_bytes value, bool *out)
{
    *out = argument_is(value, "yes");
    return *out || argument_is(value, "no");
}

/* Reads one option and its value. False when it answered an error. */
static bool command_client_read_filter(struct command_client_filter *filter, struct hf_bytes option,
                                       struct hf_bytes value, struct reply *reply)
{
    if (argument_is(option, "id")) {
        if (!argument_integer(value, &filter->id) || filter->id < 1) {
            reply_error(reply, "ERR client-id should be greater than 0");
            return false;
        }
    } else if (argument_is(option, "addr")) {
        filter->address = value;
    } else if (argument_is(option, "laddr")) {
        filter->local_address = value;
    } else if (argument_is(option, "user")) {
        filter->user = value;
    } else if (argument_is(option, "type") && command_client_is_type(value)) {
        filter->type = value;
    } else if (argument_is(option, "maxage")) {
        if (!argument_integer(value, &filter->age_s) || filter->age_s < 1) {
            reply_error(reply, "ERR maxage is not an integer or out of range");
            return false;
        }
    } else if (!argument_is(option, "skipme") || !command_client_yes(value, &filter->skips_me)) {
        argument_reply_syntax(reply);
        return false;
    }
    return true;
}

static bool command_client_matches(const struct session *session, const struct command_client_filter *filter)
{
    const struct server *server = session->server;
    uint64_t age_s = (loop_now_ms(server->loop) - session->created_ms) / 1000;
    return (filter->id == 0 || (uint64_t)filter->id == session->id) &&
           (filter->address.data == NULL ||
            bytes_equal(filter->address, bytes_of_text(stream_peer_address(session->stream)))) &&
           (filter->local_address.data == NULL ||
            bytes_equal(filter->local_address, bytes_of_text(listener_address(server->listener)))) &&
           (filter->user.data == NULL || bytes_equal(filter->user, bytes_of_text("default"))) &&
           (filter->type.data == NULL || argument_is(filter->type, "normal")) &&
           (filter->age_s == 0 || age_s >= (uint64_t)filter->age_s);
}

static int64_t command_client_kill_all(struct session *session, const struct command_client_filter *filter)
{
    int64_t killed = 0;
    list_each_safe (&session->server->sessions, item) {
        struct session *other = list_entry(item, struct session, link);
        if ((other == session && filter->skips_me) || other->cut_reason != NULL || other->is_ending ||
            !command_client_matches(other, filter)) {
            continue;
        }
        killed++;
        if (other == session) {
            session_end(session); /* its own answer goes out first */
        } else {
            session_cut(other, "CLIENT KILL");
        }
    }
    return killed;
}

int command_client_kill(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct command_client_filter filter = {.skips_me = true};
    if (arguments->count == 3) {
        filter.address = arguments->items[2];
        filter.skips_me = false;
        if (command_client_kill_all(session, &filter) == 0) {
            reply_error(reply, "ERR No such client");
        } else {
            reply_status(reply, "OK");
        }
        return SESSION_ANSWERED;
    }
    for (size_t i = 2; i < arguments->count; i += 2) {
        if (i + 1 == arguments->count) {
            argument_reply_syntax(reply);
            return SESSION_ANSWERED;
        }
        if (!command_client_read_filter(&filter, arguments->items[i], arguments->items[i + 1], reply)) {
            return SESSION_ANSWERED;
        }
    }
    reply_integer(reply, command_client_kill_all(session, &filter));
    return SESSION_ANSWERED;
}

/* ---- modes ---- */

int command_client_reply(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct hf_bytes mode = arguments->items[2];
    if (argument_is(mode, "on")) {
        session->reply_mode = SESSION_REPLY_ON;
        session->current->is_silent = false;
        reply_status(reply, "OK");
    } else if (argument_is(mode, "off")) {
        session->reply_mode = SESSION_REPLY_OFF;
        session->current->is_silent = true;
    } else if (argument_is(mode, "skip")) {
        session->current->is_silent = true;
        if (session->reply_mode != SESSION_REPLY_OFF) {
            session->reply_mode = SESSION_REPLY_SKIP_NEXT;
        }
    } else {
        argument_reply_syntax(reply);
    }
    return SESSION_ANSWERED;
}

static int command_client_switch(struct hf_bytes value, bool *out, struct reply *reply)
{
    if (argument_is(value, "on") || argument_is(value, "off")) {
        *out = argument_is(value, "on");
        reply_status(reply, "OK");
    } else {
        argument_reply_syntax(reply);
    }
    return SESSION_ANSWERED;
}

/* Nothing is evicted here, and nothing counts accesses: the two are kept and shown, and change nothing else. */
int command_client_no_evict(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_client_switch(arguments->items[2], &session->no_evict, reply);
}

int command_client_no_touch(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_client_switch(arguments->items[2], &session->no_touch, reply);
}

int command_client_pause(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct server *server = session->server;
    int64_t timeout_ms = 0;
    bool is_for_writes = arguments->count == 4 && argument_is(arguments->items[3], "write");
    if (arguments->count > 4 || (arguments->count == 4 && !is_for_writes && !argument_is(arguments->items[3], "all"))) {
        argument_reply_syntax(reply);
    } else if (!argument_integer(arguments->items[2], &timeout_ms) || timeout_ms < 0) {
        reply_error(reply, "ERR timeout is not an integer or out of range");
    } else {
        uint64_t now_ms = loop_now_ms(server->loop);
        uint64_t longest_ms = UINT64_MAX / 4;
        uint64_t until_ms = (uint64_t)timeout_ms < longest_ms ? now_ms + (uint64_t)timeout_ms : longest_ms;
        server_pause(server, until_ms, is_for_writes);
        reply_status(reply, "OK");
    }
    return SESSION_ANSWERED;
}

int command_client_unpause(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    server_pause(session->server, loop_now_ms(session->server->loop), false);
    reply_status(reply, "OK");
    return SESSION_ANSWERED;
}
