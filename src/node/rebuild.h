/* Makes the data directory of a new cluster of one node out of copies of an old cluster's groups.
 *
 *   mark ─ per group: newest snapshot + entries behind it → a machine → a snapshot at the last index, verified
 *        ─ the log: per group a reset that names its snapshot, term and commit index, durable ─ description, identity
 *
 * The identity is written last; before that nobody opens the directory (node/directory.h), and afterwards it is whole.
 * Sources are read only. The new cluster has an id of its own, so that no node of the old one talks to it. Indexes,
 * terms, versions and stamps of the groups go on; routing and the groups' incarnations, which order SCAN, stay; the
 * system group and the members begin anew.
 *
 * Memory: the state of one group at a time. Thread: one. */
#ifndef NODE_REBUILD_H
#define NODE_REBUILD_H

#include "node/node.h"
#include "node/survivor.h"

struct rebuild_group {
    const struct survivor *source; /* NULL: the group begins empty */
    const struct survivor_copy *copy;
};

struct rebuild_result {
    uint64_t entries; /* of application data */
    uint64_t bytes;   /* of it */
    uint64_t index;
    uint64_t term;
};

struct rebuild_options {
    const char *path; /* absent, or an empty directory */
    struct description_node node;
    const struct node_machine_ops *machine;
    struct hf_log_options log; /* segment sizes; the rest is set here */
    struct hf_snapshot_format format;
    /* Called now and then; may be NULL. In application bytes. */
    void (*progress)(void *arg, uint64_t bytes_done, uint64_t bytes_total);
    /* Runs a turn of the log, and waits for its device for at most some milliseconds; a non-zero return ends the work.
     * NULL: on the kernel. */
    int (*turn)(void *arg, struct hf_log *log);
    void *arg;
};

/* groups: one per routed group of `old`, by ordinal; results (of as many) may be NULL. out: the new cluster's
 * description. HF_EEXISTS, HF_EUNSAFE: the path is used; HF_ENOSPACE; HF_EVERSION: an entry that this program does not
 * know. On an error the path holds the rest of an attempt, or nothing. */
int rebuild_run(struct io *io, const struct rebuild_options *options, const struct description *old,
                const struct rebuild_group *groups, struct rebuild_result *results, struct description **out);

#endif
