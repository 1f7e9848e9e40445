/* The inside of a server, shared by the files of the room that are about sessions. Thread: the loop's. */
#ifndef SERVER_SERVER_STATE_H
#define SERVER_SERVER_STATE_H

#include "base/list.h"
#include "base/map.h"
#include "io/io.h"
#include "server/command_stats.h"
#include "server/http.h"
#include "server/server.h"
#include "server/session.h"
#include "server/slowlog.h"

#define SERVER_TICK_MS        1000u
#define SERVER_CALLS_KEPT_MAX 65536u

/* What CONFIG SET can change. */
struct server_settings {
    int64_t slowlog_slower_than_us; /* < 0: off */
    uint64_t slowlog_max_len;
    uint64_t clients_max;
    uint64_t timeout_s; /* 0: idle clients stay */
    bool latency_tracking;
};

struct server_counters {
    uint64_t connections_total;
    uint64_t connections_refused_total;
    uint64_t slow_readers_cut_total;
    uint64_t output_limit_cut_total;
    uint64_t idle_closed_total;
    uint64_t protocol_errors_total;
    uint64_t commands_total;
    uint64_t errors_total;
    uint64_t bytes_in_total;
    uint64_t bytes_out_total;
};

struct server {
    struct io *io;
    struct loop *loop;
    struct node *node;
    struct server_options options;
    struct server_settings settings;
    struct server_counters counters;
    struct listener *listener;
    struct http *http;
    uint32_t request_timeout_ms;
    uint64_t started_ms; /* monotonic */
    uint64_t started_wall_ms;
    char run_id[41];

    struct list sessions; /* by age */
    uint32_t session_count;
    struct map by_id;
    uint64_t session_id_next;
    struct list runnable; /* sessions to continue */
    struct loop_timer continue_timer;
    struct loop_timer tick_timer;
    struct ledger *ledger; /* the node's; LEDGER_CLIENTS is ours */
    /* While the ledger is full, one session at a time goes on although it holds much, until a command of it has run:
     * otherwise commands that came half could wait for each other's memory. */
    struct session *favoured;
    struct session *favoured_seen; /* at the last tick: who has it for two is passed over */
    uint64_t favour_used_ms;       /* when a command of a favoured session ran last */

    uint64_t pause_until_ms; /* CLIENT PAUSE; 0: none */
    bool pause_is_for_writes;
    struct loop_timer pause_timer;

    struct list orphans; /* calls without a session */
    struct call *calls_free;
    uint32_t calls_free_count;
    struct buffer scratch; /* replies of local commands */
    struct buffer merged;  /* replies made of several parts */
    struct buffer unit;    /* the command on its way to the node */

    struct command_stats *stats;
    struct slowlog *slowlog;
    uint64_t now_ns; /* monotonic, of the bytes that arrived last */
};

/* CLIENT PAUSE and UNPAUSE (until_ms 0). */
void server_pause(struct server *server, uint64_t until_ms, bool is_for_writes);
/* CLIENT PAUSE is in the way of this command now. */
bool server_is_paused(const struct server *server, const struct command_spec *spec);
/* Takes the favour from whoever has it, and gives it to the next that waits behind him. */
void server_pass_favour(struct server *server);
struct session *server_session(const struct server *server, uint64_t id); /* NULL: none */

#endif
