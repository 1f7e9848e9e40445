/* A data directory that outlived its cluster, read and never changed: what it holds of each group, and whether that can
 * be used as it is. A copy is good when its log is not damaged, every entry of it can be read, and a snapshot of which
 * every byte was checked reaches its beginning. What an entry means is not looked at here.
 *
 * Thread: one. */
#ifndef NODE_SURVIVOR_H
#define NODE_SURVIVOR_H

#include <stdbool.h>

#include "holdfast/log.h"
#include "holdfast/snapshot.h"
#include "node/directory.h"
#include "replica/replica.h"

#define SURVIVOR_TEXT_MAX 224u

struct survivor {
    struct io *io;
    char *path;
    struct directory *directory; /* locked where it has a lock */
    const struct description *description;
    const struct membership *membership; /* as this node knew it last */
    uint64_t node_id;
    uint64_t incarnation;
    struct hf_log *log;              /* NULL: it cannot be read, log_text says why */
    struct hf_snapshot_store *store; /* NULL: there is none, or it cannot be read: store_text */
    char log_text[SURVIVOR_TEXT_MAX];
    char store_text[SURVIVOR_TEXT_MAX];
};

/* Who belongs to a group from an index on. */
struct survivor_members {
    uint64_t index; /* 0: not known */
    unsigned count;
    struct replica_member members[REPLICA_MEMBERS_MAX];
};

struct survivor_copy {
    uint64_t group;
    bool is_there; /* the log knows the group */
    bool is_good;  /* otherwise reason says why not */
    char reason[SURVIVOR_TEXT_MAX];
    uint64_t first_index; /* of the log */
    uint64_t last_index;
    uint64_t last_term;      /* of the last entry */
    uint64_t term;           /* of the hard state */
    uint64_t commit;         /* known to be committed, as the hard state says, or a snapshot behind the log's end */
    uint64_t missing;        /* entries that damage took, as far as they are known */
    uint64_t snapshot_index; /* of the snapshot that it begins with; 0: none is needed */
    struct hf_snapshot_id snapshot_id;
    uint32_t snapshots_damaged;     /* newer ones than that, which the log stands in for if the copy is good */
    uint64_t snapshot_bytes;        /* application bytes */
    uint64_t log_bytes;             /* payload of the log's entries */
    struct survivor_members latest; /* the configuration at the end, committed or not */
    struct survivor_members before; /* the one before, as far as the log tells */
};

/* snapshots: where this node keeps them; NULL: in the directory. A log or a store that cannot be read is no error here:
 * its copies will not be good. HF_ENOTFOUND no data directory; HF_EBUSY in use; HF_ECORRUPT, HF_EVERSION, HF_EMISMATCH
 * of its own files. */
int survivor_open(struct io *io, const char *path, const char *snapshots, struct survivor **out);
void survivor_close(struct survivor *survivor); /* accepts NULL */

/* Reads all of a group. */
void survivor_examine(const struct survivor *survivor, uint64_t group, struct survivor_copy *out);

#endif
