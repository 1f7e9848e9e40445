/* A node seen from outside: one RESP connection, for status, transfers and the developer's cluster. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <jansson.h>
#include <stdint.h>

#define REMOTE_TIMEOUT_MS         1500u
#define REMOTE_SNAPSHOT_TIMEOUT_S 3600

/* The node's own status (server_status_json). HF_ENOTFOUND: nobody answers at the address; HF_ETIMEOUT; HF_EPROTOCOL.
 * address is "host:port". The caller owns *out. */
int remote_status(const char *address, json_t **out);

/* Takes a snapshot of a group of a node, or of every one (0), and waits until it is durable. HF_ENOTFOUND: nobody
 * answers; HF_EIO: the node says why it could not. */
int remote_snapshot(const char *address, uint64_t group);

#endif
