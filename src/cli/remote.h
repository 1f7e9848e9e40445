/* A node seen from outside: one RESP connection, for status, transfers and the developer's cluster. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <jansson.h>
#include <stdint.h>

#include "base/buffer.h"
#include "node/repair_frame.h"
#include "peer/peer.h"

#define REMOTE_TIMEOUT_MS         1500u
#define REMOTE_CHANGE_TIMEOUT_MS  10000u /* a new address is called before the cluster is asked */
#define REMOTE_SNAPSHOT_TIMEOUT_S 3600

struct redisContext;
/* A connection of which each step may take timeout_ms. HF_EINVALID: it is no address; HF_ENOTFOUND: nobody answers. */
int remote_connect(const char *address, unsigned timeout_ms, struct redisContext **out);

/* The node's own status (server_status_json). HF_ENOTFOUND: nobody answers at the address; HF_ETIMEOUT; HF_EPROTOCOL.
 * address is "host:port". The caller owns *out. */
int remote_status(const char *address, json_t **out);

/* Appends a section of the node's INFO. Errors as remote_status. */
int remote_info(const char *address, const char *section, struct buffer *out);

/* Takes a snapshot of a group of a node, or of every one (0), and waits until it is durable. HF_ENOTFOUND: nobody
 * answers; HF_EIO: the node says why it could not. */
int remote_snapshot(const char *address, uint64_t group);

/* Committed entries of a group that the node leads: the bytes of an answer (node/repair_frame.h), appended. Errors as
 * remote_status. */
int remote_entries(const char *address, uint64_t group, const struct repair_request *request, struct buffer *out);

/* What a node says about its cluster and its members (RAFT.MEMBERS JSON). Errors as remote_status. */
int remote_members(const char *address, json_t **out);
struct remote_cluster {
    uint8_t cluster_id[PEER_CLUSTER_ID_SIZE];
    uint64_t routing_version;
};
int remote_cluster(const char *address, struct remote_cluster *out);

/* Sends a command that changes something and is answered with OK. HF_EUNSAFE, HF_ENOLEADER, HF_EINDETERMINATE (also
 * when no answer came), HF_ECONFLICT for every other refusal; the text is the cluster's. */
int remote_change(const char *address, const char *const *words, unsigned count);

struct remote_joined {
    uint64_t node_id;
    struct buffer description; /* encoded */
    struct buffer members;     /* encoded */
};
/* RAFT.JOIN. remote_joined_close also after an error. */
int remote_join(const char *address, const char *const *words, unsigned count, struct remote_joined *out);
void remote_joined_close(struct remote_joined *joined);

#endif
