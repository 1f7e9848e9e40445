#include "server/server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/trace.h"
#include "server/metrics.h"
#include "server/server_machine.h"
#include "server/server_state.h"
#include "server/status_json.h"

#define SERVER_SLOWLOG_SLOWER_THAN_US 10000
#define SERVER_SLOWLOG_MAX_LEN        128

/* ---- sessions ---- */

struct session *server_session(const struct server *server, uint64_t id)
{
    return map_get(&server->by_id, id);
}

static void server_accepted(void *arg, struct stream *stream)
{
    struct server *server = arg;
    server->counters.connections_total++;
    if (server->session_count >= server->settings.clients_max) {
        static const struct stream_callbacks nobody = {0};
        server->counters.connections_refused_total++;
        stream_set_callbacks(stream, &nobody, NULL);
        stream_write(stream, bytes_of_text("-ERR max number of clients reached\r\n"));
        stream_close_when_sent(stream);
        return;
    }
    session_open(server, stream, ++server->session_id_next);
}

static void server_continue_sessions(void *arg)
{
    struct server *server = arg;
    struct list runnable;
    list_init(&runnable);
    list_splice(&runnable, &server->runnable);
    while (!list_empty(&runnable)) {
        struct session *session = list_entry(runnable.next, struct session, runnable);
        list_remove(&session->runnable);
        session->wants_run = false;
        session_continue(session);
    }
}

void server_pass_favour(struct server *server)
{
    struct session *before = server->favoured;
    server->favoured = NULL;
    if (before == NULL || !server->ledger->is_full) {
        return;
    }
    struct list *item = before->link.next;
    for (; item != &before->link; item = item->next) {
        struct session *session = list_entry(item, struct session, link);
        if (item != &server->sessions && session_waits_for_memory(session)) {
            server->favoured = session;
            session_wake(session);
            return;
        }
    }
}

static void server_tick(void *arg)
{
    struct server *server = arg;
    uint64_t now_ms = loop_now_ms(server->loop);
    if (server->favoured == server->favoured_seen) {
        server_pass_favour(server);
    }
    server->favoured_seen = server->favoured;
    list_each_safe (&server->sessions, item) {
        session_tick(list_entry(item, struct session, link), now_ms);
    }
    loop_timer_set(server->loop, &server->tick_timer, now_ms + SERVER_TICK_MS);
}

static void server_wake_stalled(void *arg)
{
    struct server *server = arg;
    list_each (&server->sessions, item) {
        struct session *session = list_entry(item, struct session, link);
        if (session->is_stalled) {
            session_wake(session);
        }
    }
}

static void server_pause_ended(void *arg)
{
    struct server *server = arg;
    server->pause_until_ms = 0;
    server_wake_stalled(server);
}

void server_pause(struct server *server, uint64_t until_ms, bool is_for_writes)
{
    server->pause_until_ms = until_ms;
    server->pause_is_for_writes = is_for_writes;
    loop_timer_set(server->loop, &server->pause_timer, until_ms);
}

bool server_is_paused(const struct server *server, const struct command_spec *spec)
{
    if (server->pause_until_ms == 0) {
        return false;
    }
    bool is_about_clients = spec->group == COMMAND_GROUP_CONNECTION || spec->group == COMMAND_GROUP_RAFT;
    bool may_write = (spec->flags & COMMAND_WRITE) != 0 || spec->group == COMMAND_GROUP_TRANSACTIONS;
    return server->pause_is_for_writes ? may_write : !is_about_clients;
}

/* ---- HTTP ---- */

static void server_metrics(void *arg, struct buffer *out)
{
    struct server *server = arg;
    const struct metrics_sessions sessions = {
        .connections = server->session_count,
        .connections_total = server->counters.connections_total,
        .connections_refused_total = server->counters.connections_refused_total,
        .slow_readers_cut_total = server->counters.slow_readers_cut_total + server->counters.output_limit_cut_total,
        .protocol_errors_total = server->counters.protocol_errors_total,
        .commands_total = server->counters.commands_total,
    };
    metrics_write(server->node, &sessions, out);
}

/* Healthy: every group runs here and knows a leader. */
static bool server_health(void *arg, struct buffer *out)
{
    struct server *server = arg;
    struct node_group_status status;
    for (uint32_t position = 0; node_group_status(server->node, position, &status) == 0; position++) {
        if (!status.is_started || status.replica.leader == 0) {
            buffer_format(out, "group %llu %s\n", (unsigned long long)status.group,
                          status.is_started ? "has no leader" : "is stopped");
            return false;
        }
    }
    buffer_append_text(out, "ok\n");
    return true;
}

static void server_status(void *arg, struct buffer *out)
{
    server_status_json(arg, out);
}

void server_status_json(struct server *server, struct buffer *out)
{
    const struct status_addresses addresses = {server_client_address(server), server_http_address(server),
                                               server->options.process_id, &server->options};
    status_json_write(server->node, &addresses, out);
}

/* ---- life ---- */

static int server_open_ports(struct server *server)
{
    const struct server_options *options = &server->options;
    bool has_http = options->http_address != NULL && options->http_address[0] != '\0';
    int rc = node_check_address(server->io, "client", options->client_address);
    if (rc == 0 && has_http) {
        rc = node_check_address(server->io, "http", options->http_address);
    }
    if (rc == 0) {
        rc = listener_open(server->loop, options->client_address, server_accepted, server, &server->listener);
        rc = rc != 0 ? error_wrap(rc, "client port %s", options->client_address) : 0;
    }
    if (rc == 0 && has_http) {
        const struct http_pages pages = {server_health, server_metrics, server_status, server};
        rc = http_open(server->loop, options->http_address, &pages, &server->http);
        rc = rc != 0 ? error_wrap(rc, "http port %s", options->http_address) : 0;
    }
    return rc;
}

static void server_settle_machines(struct server *server)
{
    uint32_t count = node_group_count(server->node);
    uint64_t seed = 0;
    io_random(server->io, &seed, sizeof(seed));
    for (uint32_t i = 0; i < count; i++) {
        void *machine = node_machine(server->node, NODE_GROUP_FIRST + i);
        if (machine != NULL) {
            server_machine_settle(machine, count, seed);
        }
    }
}

static void server_draw_run_id(struct server *server)
{
    uint8_t bytes[20];
    io_random(server->io, bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        snprintf(server->run_id + 2 * i, 3, "%02x", bytes[i]);
    }
}

int server_open(struct io *io, struct loop *loop, struct node *node, const struct server_options *options,
                struct server **out)
{
    struct server *server = memory_new(sizeof(*server));
    server->io = io;
    server->loop = loop;
    server->node = node;
    server->options = *options;
    server->ledger = node_ledger(node);
    server->ledger->relieved = server_wake_stalled;
    server->ledger->arg = server;
    server->request_timeout_ms =
        options->request_timeout_ms > 0 ? options->request_timeout_ms : NODE_REQUEST_TIMEOUT_MS_DEFAULT;
    server->settings = (struct server_settings){
        .slowlog_slower_than_us = SERVER_SLOWLOG_SLOWER_THAN_US,
        .slowlog_max_len = SERVER_SLOWLOG_MAX_LEN,
        .clients_max = options->clients_max > 0 ? options->clients_max : SERVER_CLIENTS_MAX_DEFAULT,
        .latency_tracking = true,
    };
    server->started_ms = loop_now_ms(loop);
    server->started_wall_ms = io_wall_ms(io);
    server->now_ns = io_monotonic_ns(io);
    list_init(&server->sessions);
    list_init(&server->runnable);
    list_init(&server->orphans);
    server->stats = command_stats_open();
    server->slowlog = slowlog_open();
    server->continue_timer = (struct loop_timer){.fire = server_continue_sessions, .arg = server};
    server->pause_timer = (struct loop_timer){.fire = server_pause_ended, .arg = server};
    server->tick_timer = (struct loop_timer){.fire = server_tick, .arg = server};
    server_draw_run_id(server);
    server_settle_machines(server);
    int rc = server_open_ports(server);
    if (rc != 0) {
        goto done;
    }
    loop_timer_set(loop, &server->tick_timer, loop_now_ms(loop) + SERVER_TICK_MS);
    *out = server;
    server = NULL; /* the caller owns it now */
done:
    server_close(server);
    return rc;
}

void server_close(struct server *server)
{
    if (server == NULL) {
        return;
    }
    server->ledger->relieved = NULL;
    http_close(server->http);
    if (server->listener != NULL) {
        listener_close(server->listener);
    }
    while (!list_empty(&server->sessions)) {
        session_close(list_entry(server->sessions.next, struct session, link));
    }
    loop_timer_stop(server->loop, &server->continue_timer);
    loop_timer_stop(server->loop, &server->pause_timer);
    loop_timer_stop(server->loop, &server->tick_timer);
    call_close_all(server);
    map_close(&server->by_id);
    command_stats_close(server->stats);
    slowlog_close(server->slowlog);
    buffer_close(&server->scratch);
    buffer_close(&server->merged);
    buffer_close(&server->unit);
    free(server);
}

const char *server_client_address(const struct server *server)
{
    return listener_address(server->listener);
}

const char *server_http_address(const struct server *server)
{
    return server->http != NULL ? http_address(server->http) : "";
}
