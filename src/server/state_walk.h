/* Reads the state of a group as its snapshots hold it (node/group_stream.h, store/store_stream.h, keyspace.h), from
 * pieces of any size, and hands out the keys: for tools that look at a snapshot without a node. Trusts nothing; memory:
 * one entry. Thread: one. */
#ifndef SERVER_STATE_WALK_H
#define SERVER_STATE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/bytes.h"

struct state_walk_item {
    struct hf_bytes key;
    struct hf_bytes value;
    const char *type;     /* as TYPE says */
    uint64_t deadline_ms; /* UNIX time; 0: none */
    bool is_past;         /* absent already at the moment of the cut, by the group's own time */
};
/* In ascending order of keys; lent for the call. A non-zero return stops the walk for good. */
typedef int state_walk_visit(void *arg, const struct state_walk_item *item);

struct state_walk;

/* Group and incarnation as the snapshot's manifest says. */
struct state_walk *state_walk_open(uint64_t group, uint64_t incarnation, state_walk_visit *visit, void *arg);
/* HF_ECORRUPT, HF_EVERSION, HF_EMISMATCH (of another group), or what visit returned. */
int state_walk_write(struct state_walk *walk, struct hf_bytes bytes);
/* HF_ECORRUPT unless the whole state came and nothing else. */
int state_walk_finish(struct state_walk *walk);
void state_walk_close(struct state_walk *walk); /* accepts NULL */

#endif
