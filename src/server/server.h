/* The front of a node for clients: the Redis port and the HTTP port of one process.
 *
 * server_machine_ops gives node_open the state machines (the keyspace of server/machine.h); server_open then accepts
 * clients on top of the node. Thread: the loop's. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdint.h>

#include "net/loop.h"
#include "node/node.h"

#define SERVER_CLIENTS_MAX_DEFAULT 10000u

struct server;

/* Where another node's clients find it in this run, when that is not what the cluster recorded. */
struct server_peer_address {
    uint64_t node_id;
    const char *client_address;
};

struct server_options {
    const char *client_address;  /* "host:port" */
    const char *http_address;    /* NULL or "": no HTTP port */
    uint32_t clients_max;        /* 0: default */
    uint32_t request_timeout_ms; /* 0: 3000; what waits inside the server (WAIT, fan-out) ends by then */
    /* CONFIG GET shows these pairs besides those that clients expect ("appendonly" …). Lent for the server's life. */
    const char *const *config_names;
    const char *const *config_values;
    uint32_t config_count;
    int64_t process_id;                               /* for status */
    const struct server_peer_address *peer_addresses; /* lent for the server's life */
    uint32_t peer_address_count;
    /* SHUTDOWN was received: end the process in an orderly way. */
    void (*shutdown)(void *arg);
    void *arg;
};

const struct node_machine_ops *server_machine_ops(void);

/* Fails with HF_EBUSY when a port is in use (the text names it). */
int server_open(struct io *io, struct loop *loop, struct node *node, const struct server_options *options,
                struct server **out);
/* Closes the ports and every session. Before node_close. Accepts NULL. */
void server_close(struct server *server);
const char *server_client_address(const struct server *server); /* with the port that was bound */
const char *server_http_address(const struct server *server);   /* "" without one */

/* The node's status as JSON, the one source of `RAFT.STATUS JSON`, GET /status and `holdfast status`:
 * {"node", "pid", "cluster", "version", "address", "http", "peer", "io",
 *  "groups": [{"group", "ordinal", "role" ("leader", "follower", "candidate", "frozen", "stopped"), "leader", "term",
 *              "vote", "commit", "applied", "last", "durable", "first", "lag", "log_bytes", "members": [id, …],
 * "text"}], "peers": [{"node", "address" (its Redis port), "up", "error"}], "log": {"segments", "bytes",
 * "oldest_unsynced_ms", "failure"}, "memory": {"limit", "held", "peak", "full", and each account of the ledger}} */
void server_status_json(struct server *server, struct buffer *out);

#endif
