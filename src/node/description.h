/* The cluster description: what every node must agree on, written once by `holdfast init`. Every
 * group's entry 1 is derived from it alone, so that it is byte-equal on every replica and self-bootstrapped halves
 * cannot exist; the system group's first command carries its bytes.
 *
 * Encoding, version 1 (little-endian; file `cluster` in a data directory, and on the wire):
 *   0   8   magic "HFCLUST1"
 *   8   4   version = 1
 *   12  4   size of everything after offset 20
 *   16  4   CRC-32C of bytes 0 … 16 and 20 … end
 *   20  16  cluster id
 *   36  8   created, UNIX ms (the stamp of every group's entry 1)
 *   44  4   feature level at the beginning: 1 … 3 (DESCRIPTION_FEATURES_…)
 *   48  4   routing version = 1
 *   52  4   routed group count (1 … DESCRIPTION_GROUPS_MAX)
 *   56  4   node count (1 … DESCRIPTION_NODES_MAX)
 *       per node, in ascending order of ids: id u64, then three sized texts (u32 length): peer, client, http address
 *       per group, system group first, then by ordinal: id u64, incarnation u64
 *
 * As text (what people copy between machines) it is the same bytes in base64 between two marker lines, or read back
 * with `holdfast init --cluster FILE`. */
#ifndef NODE_DESCRIPTION_H
#define NODE_DESCRIPTION_H

#include <stdint.h>

#include "base/buffer.h"
#include "io/io.h"
#include "peer/peer.h"

#define DESCRIPTION_NODES_MAX        31u
#define DESCRIPTION_GROUPS_MAX       65535u
#define DESCRIPTION_ADDRESS_SIZE_MAX 256u
#define DESCRIPTION_SIZE_MAX         (4u << 20)

/* What every node of a cluster understands. Newer kinds of commands are proposed only at their level or above; the
 * level of a running cluster rises by itself once every member supports more (node/membership.h). */
#define DESCRIPTION_FEATURES_FIRST            1u
#define DESCRIPTION_FEATURES_MEMBERS          2u /* members come and go */
#define DESCRIPTION_FEATURES_SYSTEM_SNAPSHOTS 3u /* the system group's log is dropped behind snapshots, too */
#define DESCRIPTION_FEATURE_LEVEL_MAX         DESCRIPTION_FEATURES_SYSTEM_SNAPSHOTS

struct description_node {
    uint64_t id;
    char peer_address[DESCRIPTION_ADDRESS_SIZE_MAX];
    char client_address[DESCRIPTION_ADDRESS_SIZE_MAX];
    char http_address[DESCRIPTION_ADDRESS_SIZE_MAX];
};
struct description_group {
    uint64_t id;
    uint64_t incarnation;
};
struct description {
    uint8_t cluster_id[PEER_CLUSTER_ID_SIZE];
    uint64_t created_ms;
    uint32_t feature_level;
    uint32_t routing_version;
    uint32_t group_count; /* routed */
    uint32_t node_count;
    struct description_node *nodes;
    struct description_group *groups; /* group_count + 1: the system group first */
};

/* Draws the cluster id and the incarnations from io. nodes are copied; ids must be distinct and ≥ 1. HF_EINVALID names
 * what is wrong. */
int description_create(struct io *io, const struct description_node *nodes, uint32_t node_count, uint32_t group_count,
                       struct description **out);
/* One node of several, alone: its id and the form of its addresses. HF_EINVALID. */
int description_check_node(const struct description_node *node);
/* The same of one that may be without a door for others, as a cluster of one may begin. */
int description_check_lone_node(const struct description_node *node);
void description_close(struct description *description); /* accepts NULL */
void description_encode(const struct description *description, struct buffer *out);
int description_decode(struct hf_bytes bytes, struct description **out); /* HF_ECORRUPT, HF_EVERSION */
const struct description_node *description_node(const struct description *description, uint64_t id); /* or NULL */
void description_cluster_id_text(const struct description *description, char text[33]);
/* Text form for files that people copy. */
void description_encode_text(const struct description *description, struct buffer *out);
int description_decode_text(struct hf_bytes text, struct description **out);

#endif
