/* The application bytes of a group's snapshot: a head of 40 bytes, then the machine's own stream. Little-endian.
 *
 *   0  8  magic "HFGROUP1"      8  4  version = 1      12  4  zero
 *   16 8  group                 24 8  the group's incarnation
 *   32 8  the greatest stamp of the entries up to the snapshot, UNIX ms
 *
 * Valid: what is drawn, the group and incarnation that are expected, and a stream that the machine takes. */
#ifndef NODE_GROUP_STREAM_H
#define NODE_GROUP_STREAM_H

#include <stdbool.h>

#include "holdfast/snapshot.h"
#include "node/node.h"

#define GROUP_STREAM_MAGIC     "HFGROUP1"
#define GROUP_STREAM_VERSION   1u
#define GROUP_STREAM_HEAD_SIZE 40u

struct group_stream_head {
    uint64_t group;
    uint64_t incarnation;
    uint64_t stamp_ms;
};
void group_stream_encode(const struct group_stream_head *head, uint8_t target[GROUP_STREAM_HEAD_SIZE]);
/* HF_ECORRUPT, HF_EVERSION; HF_EMISMATCH: another group than `expected` says. stamp_ms is filled in. */
int group_stream_decode(const uint8_t source[GROUP_STREAM_HEAD_SIZE], struct group_stream_head *expected);

/* A state that is built beside the machine's. */
struct group_import {
    const struct node_machine_ops *ops;
    void *import; /* the machine's own; NULL: closed */
    struct group_stream_head head;
    uint8_t head_bytes[GROUP_STREAM_HEAD_SIZE];
    size_t head_size;
};
/* Loop. */
void group_import_open(struct group_import *import, const struct node_machine_ops *ops, void *machine, uint64_t group,
                       uint64_t incarnation);
/* Worker. */
int group_import_write(struct group_import *import, struct hf_bytes bytes);
int group_import_finish(struct group_import *import);
/* Loop: the machine has the new state, and the import the old one. */
void group_import_swap(struct group_import *import, void *machine);
/* Worker, since it frees a whole state. Works on a zeroed one. */
void group_import_close(struct group_import *import);

struct group_import_source {
    struct hf_snapshot_store *store;
    struct hf_snapshot_id id;
    void (*note)(void *arg, uint64_t bytes); /* of every chunk that was taken; NULL: nobody asks */
    void *arg;
};
/* All of a snapshot into a machine that nobody else uses meanwhile. *head: group and incarnation that are expected;
 * stamp_ms is filled in. On errors (HF_ECORRUPT, HF_EVERSION, HF_EMISMATCH, HF_ENOTFOUND, HF_EIO) the machine is as it
 * was. */
int group_import_snapshot(const struct node_machine_ops *ops, void *machine, struct group_stream_head *head,
                          const struct group_import_source *source);

/* What consensus must know of a snapshot, from its manifest. HF_ECORRUPT. stamp_ms is not in there. */
int group_stream_snapshot(const struct hf_snapshot_manifest *manifest, struct replica_snapshot *out);

#endif
