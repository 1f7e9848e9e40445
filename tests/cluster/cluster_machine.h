/* A small state machine for the cluster simulation: per group CLUSTER_REGISTERS registers (put, compare and swap, with
 * deadlines) and CLUSTER_LISTS lists of appended values. It reports every entry that it applies. */
#ifndef CLUSTER_CLUSTER_MACHINE_H
#define CLUSTER_CLUSTER_MACHINE_H

#include "node/node.h"

#define CLUSTER_REGISTERS   6u
#define CLUSTER_LISTS       3u
#define CLUSTER_FILLER_SIZE (48u * 1024u)                       /* of a snapshot's stream */
#define CLUSTER_KEYS        (CLUSTER_REGISTERS + CLUSTER_LISTS) /* keys below CLUSTER_REGISTERS are registers */

enum cluster_verb {
    CLUSTER_GET = 1, /* reply: value u64 */
    CLUSTER_LIST,    /* reply: the values, u64 each */
    CLUSTER_PUT,     /* reply: empty */
    CLUSTER_CAS,     /* reply: u64, 1 when it swapped */
    CLUSTER_APPEND,  /* reply: u64, the length after it */
    CLUSTER_EXPIRE   /* the leader's own */
};

struct cluster_command {
    enum cluster_verb verb;
    uint32_t key;
    uint64_t value;
    uint64_t expected;
    uint64_t ttl_ms;  /* PUT: 0 for ever */
    uint32_t ballast; /* bytes that mean nothing, so that segments, frames and disks fill */
};
void cluster_command_encode(const struct cluster_command *command, struct buffer *out);

/* Told after each applied entry. */
typedef void cluster_applied(void *arg, uint64_t group, const struct hf_entry *entry, const uint64_t digest[2]);
struct cluster_machine_owner {
    cluster_applied *applied;
    void *arg;
};

/* Ops whose machines report to an owner, which is lent. */
struct node_machine_ops cluster_machine_ops(struct cluster_machine_owner *owner);

/* The values of a list; lent until the next apply. */
const uint64_t *cluster_machine_list(void *machine, uint32_t key, size_t *count);

#endif
