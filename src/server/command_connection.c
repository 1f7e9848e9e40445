#include "server/command_connection.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/server_state.h"
#include "server/transaction.h"

int command_connection_ping(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (arguments->count > 2) {
        reply_error(reply, "ERR wrong number of arguments for 'ping' command");
    } else if (arguments->count == 2) {
        reply_bulk(reply, arguments->items[1]);
    } else {
        reply_status(reply, "PONG");
    }
    return SESSION_ANSWERED;
}

int command_connection_echo(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_bulk(reply, arguments->items[1]);
    return SESSION_ANSWERED;
}

int command_connection_ok(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_status(reply, "OK");
    return SESSION_ANSWERED;
}

/* Nobody has a password: the default user comes in with any, others do not exist. */
static bool command_connection_may_enter(struct hf_bytes user, struct reply *reply)
{
    if (bytes_equal(user, bytes_of_text("default"))) {
        return true;
    }
    reply_error(reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

int command_connection_auth(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (arguments->count > 3) {
        reply_error(reply, "ERR syntax error");
    } else if (arguments->count == 2) {
        reply_error(reply, "ERR AUTH <password> called without any password configured for the default user. Are you "
                           "sure your configuration is correct?");
    } else if (command_connection_may_enter(arguments->items[1], reply)) {
        reply_status(reply, "OK");
    }
    return SESSION_ANSWERED;
}

static void command_connection_say_hello(const struct session *session, struct reply *reply)
{
    reply_map(reply, 7);
    reply_bulk_text(reply, "server");
    reply_bulk_text(reply, "redis");
    reply_bulk_text(reply, "version");
    reply_bulk_text(reply, COMMAND_CONNECTION_REDIS_VERSION);
    reply_bulk_text(reply, "proto");
    reply_integer(reply, session->protocol);
    reply_bulk_text(reply, "id");
    reply_integer(reply, (int64_t)session->id);
    reply_bulk_text(reply, "mode");
    reply_bulk_text(reply, "standalone");
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "modules");
    reply_array(reply, 0);
}

/* HELLO's options; name: of SETNAME, or unset. False when it answered an error. */
static bool command_connection_hello_options(const struct arguments *arguments, struct hf_bytes *name,
                                             struct reply *reply)
{
    for (size_t i = 2; i < arguments->count; i++) {
        size_t more = arguments->count - 1 - i;
        if (argument_is(arguments->items[i], "auth") && more >= 2) {
            if (!command_connection_may_enter(arguments->items[i + 1], reply)) {
                return false;
            }
            i += 2;
        } else if (argument_is(arguments->items[i], "setname") && more >= 1) {
            *name = arguments->items[++i];
        } else {
            reply_error(reply, "ERR Syntax error in HELLO option '%.*s'",
                        (int)(arguments->items[i].size < 128 ? arguments->items[i].size : 128),
                        (const char *)arguments->items[i].data);
            return false;
        }
    }
    return true;
}

int command_connection_hello(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    int64_t protocol = session->protocol;
    struct hf_bytes name = {0};
    if (arguments->count > 1 && !argument_integer(arguments->items[1], &protocol)) {
        reply_error(reply, "ERR Protocol version is not an integer or out of range");
        return SESSION_ANSWERED;
    }
    if (protocol != 2 && protocol != 3) {
        reply_error(reply, "NOPROTO unsupported protocol version");
        return SESSION_ANSWERED;
    }
    if (!command_connection_hello_options(arguments, &name, reply) ||
        (name.data != NULL && !command_client_set_name(session, name, reply))) {
        return SESSION_ANSWERED;
    }
    session->protocol = (unsigned)protocol;
    reply->protocol = session->protocol;
    command_connection_say_hello(session, reply);
    return SESSION_ANSWERED;
}

int command_connection_select(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    int64_t number = 0;
    if (!argument_integer_or_reply(arguments->items[1], &number, reply)) {
        return SESSION_ANSWERED;
    }
    if (number != 0) {
        reply_error(reply, "ERR DB index is out of range");
    } else {
        reply_status(reply, "OK");
    }
    return SESSION_ANSWERED;
}

int command_connection_quit(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_status(reply, "OK");
    session_end(session);
    return SESSION_ANSWERED;
}

int command_connection_reset(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    transaction_drop(session);
    session->protocol = 2;
    session->reply_mode = SESSION_REPLY_ON;
    session->read_mode = NODE_READ_LINEARIZABLE;
    session->no_evict = false;
    session->no_touch = false;
    free(session->name);
    session->name = NULL;
    session->current->is_silent = false;
    reply_status(reply, "RESET");
    return SESSION_ANSWERED;
}

int command_connection_no_cluster(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_error(reply, "ERR This instance has cluster support disabled");
    return SESSION_ANSWERED;
}

int command_connection_time(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    uint64_t now_ms = io_wall_ms(session->server->io);
    reply_array(reply, 2);
    reply_bulk_integer(reply, (int64_t)(now_ms / 1000));
    reply_bulk_integer(reply, (int64_t)(now_ms % 1000 * 1000));
    return SESSION_ANSWERED;
}

int command_connection_role(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_array(reply, 3);
    reply_bulk_text(reply, "master");
    reply_integer(reply, 0);
    reply_array(reply, 0);
    return SESSION_ANSWERED;
}

int command_connection_shutdown(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    const struct server_options *options = &session->server->options;
    for (size_t i = 1; i < arguments->count; i++) {
        struct hf_bytes option = arguments->items[i];
        if (argument_is(option, "abort")) {
            reply_error(reply, "ERR No shutdown in progress.");
            return SESSION_ANSWERED;
        }
        if (!argument_is(option, "nosave") && !argument_is(option, "save") && !argument_is(option, "now") &&
            !argument_is(option, "force")) {
            reply_error(reply, "ERR syntax error");
            return SESSION_ANSWERED;
        }
    }
    if (options->shutdown == NULL) {
        reply_error(reply, "ERR Errors trying to SHUTDOWN. Check logs.");
        return SESSION_ANSWERED;
    }
    /* As with Redis, the answer is that the connection closes. */
    session->current->is_silent = true;
    session_end(session);
    options->shutdown(options->arg);
    return SESSION_ANSWERED;
}
