#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/map.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/glob.h"
#include "server/machine.h"
#include "server/server_state.h"

#define COMMAND_CONFIG_VALUE_SIZE_MAX 64u
#define COMMAND_CONFIG_GLOB_STEPS     1000000u
#define COMMAND_CONFIG_CLIENTS_MAX    100000

/* ---- what can be set ---- */

static void command_config_show_i64(int64_t value, char *text)
{
    snprintf(text, COMMAND_CONFIG_VALUE_SIZE_MAX, "%" PRId64, value);
}

static void command_config_show_slower_than(const struct server_settings *settings, char *text)
{
    command_config_show_i64(settings->slowlog_slower_than_us, text);
}
static void command_config_show_max_len(const struct server_settings *settings, char *text)
{
    command_config_show_i64((int64_t)settings->slowlog_max_len, text);
}
static void command_config_show_clients(const struct server_settings *settings, char *text)
{
    command_config_show_i64((int64_t)settings->clients_max, text);
}
static void command_config_show_timeout(const struct server_settings *settings, char *text)
{
    command_config_show_i64((int64_t)settings->timeout_s, text);
}
static void command_config_show_latency(const struct server_settings *settings, char *text)
{
    snprintf(text, COMMAND_CONFIG_VALUE_SIZE_MAX, "%s", settings->latency_tracking ? "yes" : "no");
}

static bool command_config_number(struct hf_bytes value, int64_t low, int64_t high, int64_t *out)
{
    return argument_integer(value, out) && *out >= low && *out <= high;
}

static bool command_config_set_slower_than(struct server_settings *settings, struct hf_bytes value)
{
    return command_config_number(value, -1, INT64_MAX, &settings->slowlog_slower_than_us);
}
static bool command_config_set_max_len(struct server_settings *settings, struct hf_bytes value)
{
    int64_t number = 0;
    bool is_good = command_config_number(value, 0, SLOWLOG_LENGTH_MAX, &number);
    settings->slowlog_max_len = (uint64_t)number;
    return is_good;
}
static bool command_config_set_clients(struct server_settings *settings, struct hf_bytes value)
{
    int64_t number = 0;
    bool is_good = command_config_number(value, 1, COMMAND_CONFIG_CLIENTS_MAX, &number);
    settings->clients_max = (uint64_t)number;
    return is_good;
}
static bool command_config_set_timeout(struct server_settings *settings, struct hf_bytes value)
{
    int64_t number = 0;
    bool is_good = command_config_number(value, 0, INT32_MAX, &number);
    settings->timeout_s = (uint64_t)number;
    return is_good;
}
static bool command_config_set_latency(struct server_settings *settings, struct hf_bytes value)
{
    settings->latency_tracking = argument_is(value, "yes");
    return settings->latency_tracking || argument_is(value, "no");
}

struct command_config_row {
    const char *name;
    void (*show)(const struct server_settings *settings, char *text);
    bool (*set)(struct server_settings *settings, struct hf_bytes value);
};

static const struct command_config_row command_config_rows[] = {
    {"slowlog-log-slower-than", command_config_show_slower_than, command_config_set_slower_than},
    {"slowlog-max-len", command_config_show_max_len, command_config_set_max_len},
    {"maxclients", command_config_show_clients, command_config_set_clients},
    {"timeout", command_config_show_timeout, command_config_set_timeout},
    {"latency-tracking", command_config_show_latency, command_config_set_latency},
};
enum { COMMAND_CONFIG_ROWS = sizeof(command_config_rows) / sizeof(command_config_rows[0]) };

/* ---- what is what it is: read by clients when they connect ---- */

static const char *const command_config_fixed[][2] = {
    {"appendonly", "yes"},     /* there is always a log … */
    {"appendfsync", "always"}, /* … and acknowledged is durable */
    {"save", ""},
    {"databases", "1"},
    {"maxmemory", "0"},
    {"maxmemory-policy", "noeviction"},
    {"cluster-enabled", "no"},
    {"proto-max-bulk-len", "67112960"},
    {"tcp-keepalive", "0"},
    {"requirepass", ""},
    {"notify-keyspace-events", ""},
    {"replica-read-only", "no"},
    {"min-replicas-to-write", "0"},
    {"lua-time-limit", "5000"},
};
enum { COMMAND_CONFIG_FIXED = sizeof(command_config_fixed) / sizeof(command_config_fixed[0]) };
_Static_assert(RESP_BULK_SIZE_MAX == 67112960, "proto-max-bulk-len says so");

/* ---- GET ---- */

struct command_config_walk {
    const struct arguments *arguments;
    const struct server *server;
    uint64_t steps;
    size_t count;
    struct reply *reply; /* NULL: only counts */
};

static bool command_config_wanted(struct command_config_walk *walk, const char *name)
{
    for (size_t i = 2; i < walk->arguments->count; i++) {
        struct hf_bytes pattern = walk->arguments->items[i];
        if (argument_is(pattern, name) || glob_match(pattern, bytes_of_text(name), &walk->steps) == GLOB_MATCHES) {
            return true;
        }
    }
    return false;
}

static void command_config_visit(struct command_config_walk *walk, const char *name, const char *value)
{
    if (!command_config_wanted(walk, name)) {
        return;
    }
    walk->count++;
    if (walk->reply != NULL) {
        reply_bulk_text(walk->reply, name);
        reply_bulk_text(walk->reply, value);
    }
}

static void command_config_walk(struct command_config_walk *walk)
{
    char text[COMMAND_CONFIG_VALUE_SIZE_MAX];
    const struct server_options *options = &walk->server->options;
    for (size_t i = 0; i < COMMAND_CONFIG_ROWS; i++) {
        command_config_rows[i].show(&walk->server->settings, text);
        command_config_visit(walk, command_config_rows[i].name, text);
    }
    for (size_t i = 0; i < COMMAND_CONFIG_FIXED; i++) {
        command_config_visit(walk, command_config_fixed[i][0], command_config_fixed[i][1]);
    }
    for (uint32_t i = 0; i < options->config_count; i++) {
        command_config_visit(walk, options->config_names[i], options->config_values[i]);
    }
}

int command_config_get(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct command_config_walk walk = {
        .arguments = arguments, .server = session->server, .steps = COMMAND_CONFIG_GLOB_STEPS};
    command_config_walk(&walk);
    reply_map(reply, walk.count);
    walk.reply = reply;
    walk.steps = COMMAND_CONFIG_GLOB_STEPS;
    command_config_walk(&walk);
    return SESSION_ANSWERED;
}

/* ---- SET ---- */

static const struct command_config_row *command_config_settable(struct hf_bytes name)
{
    for (size_t i = 0; i < COMMAND_CONFIG_ROWS; i++) {
        if (argument_is(name, command_config_rows[i].name)) {
            return &command_config_rows[i];
        }
    }
    return NULL;
}

static bool command_config_is_known(const struct server *server, struct hf_bytes name)
{
    for (size_t i = 0; i < COMMAND_CONFIG_FIXED; i++) {
        if (argument_is(name, command_config_fixed[i][0])) {
            return true;
        }
    }
    for (uint32_t i = 0; i < server->options.config_count; i++) {
        if (argument_is(name, server->options.config_names[i])) {
            return true;
        }
    }
    return false;
}

/* All or nothing, as Redis does. */
int command_config_set(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct server *server = session->server;
    struct server_settings settings = server->settings;
    if (arguments->count % 2 != 0) {
        reply_error(reply, "ERR wrong number of arguments for 'config|set' command");
        return SESSION_ANSWERED;
    }
    for (size_t i = 2; i < arguments->count; i += 2) {
        struct hf_bytes name = arguments->items[i];
        int shown = (int)(name.size < 128 ? name.size : 128);
        const struct command_config_row *row = command_config_settable(name);
        if (row == NULL && command_config_is_known(server, name)) {
            reply_error(reply,
                        "ERR CONFIG SET failed (possibly related to argument '%.*s') - can't set immutable config",
                        shown, (const char *)name.data);
            return SESSION_ANSWERED;
        }
        if (row == NULL) {
            reply_error(reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'", shown,
                        (const char *)name.data);
            return SESSION_ANSWERED;
        }
        if (!row->set(&settings, arguments->items[i + 1])) {
            reply_error(reply,
                        "ERR CONFIG SET failed (possibly related to argument '%.*s') - argument couldn't be parsed "
                        "into a value within its limits",
                        shown, (const char *)name.data);
            return SESSION_ANSWERED;
        }
    }
    server->settings = settings;
    reply_status(reply, "OK");
    return SESSION_ANSWERED;
}

int command_config_resetstat(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct server *server = session->server;
    command_stats_reset(server->stats);
    server->counters = (struct server_counters){0};
    reply_status(reply, "OK");
    return SESSION_ANSWERED;
}

int command_config_rewrite(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_error(reply, "ERR The server is running without a config file");
    return SESSION_ANSWERED;
}
