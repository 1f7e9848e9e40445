/* A node's data directory.
 *
 *   LOCK      held while a process uses the directory
 *   node      identity of this node, format below
 *   cluster   the cluster description (node/description.h)
 *   members   the members as this node knew them last (node/membership.h); missing: those of the description
 *   joining   an identity without a node id, while the node joins: repeated, a join goes on where it stopped
 *   rebuilding  while a directory is made out of others (node/rebuild.h): without `node` beside it, a rest of that
 *   relaxed   while the log acknowledges before the device has the bytes: who has them (node/relaxed_mark.h)
 *   log/      the log of all groups
 *   snapshots/  theirs, unless the configuration names another place
 *
 * File `node` (little-endian): 0: magic "HFNODE\0\1" (8) · 8: format version u32 = 1 or 2 · 12: CRC-32C u32 of
 * everything else · 16: cluster id (16) · 32: node id u64 · 40: node incarnation u64 (64 random bits, drawn when the
 * directory is formatted: a wiped disk never comes back under its old identity) · 48: created, UNIX ms u64 · 56:
 * version 2 only: features u64, DIRECTORY_FEATURE_…: a program that does not know one of them must not open the
 * directory. 56 or 64 bytes. Version 2 is written while there is a feature, so that programs that know version 1 only
 * refuse it as long as that matters, and open it afterwards.
 *
 * Formatting writes both files under temporary names, syncs, renames, syncs the directory; `node` is last and is what
 * makes the directory valid. Opening publishes both once more, so that what a failed formatting left in the page cache
 * alone is durable before anything is built on it. */
#ifndef NODE_DIRECTORY_H
#define NODE_DIRECTORY_H

#include "node/membership.h"

#define DIRECTORY_VERSION_PLAIN    1u
#define DIRECTORY_VERSION_FEATURES 2u

/* The file `relaxed` is there: who overlooks it votes as if nothing could be missing. */
#define DIRECTORY_FEATURE_RELAXED (UINT64_C(1) << 0)
#define DIRECTORY_FEATURES_ALL    DIRECTORY_FEATURE_RELAXED

struct directory_identity {
    uint8_t cluster_id[PEER_CLUSTER_ID_SIZE];
    uint64_t node_id;
    uint64_t node_incarnation;
    uint64_t created_ms;
    uint64_t features;
};

enum directory_relaxed {
    DIRECTORY_STRICT,
    DIRECTORY_RELAXED_SINCE_BOOT, /* kernel and mount are the same: what they were given they still have */
    DIRECTORY_RELAXED_BEFORE
};

/* HF_EEXISTS when it is formatted already (nothing changes), HF_EINVALID when the description lacks the
 * node, HF_EUNSAFE
 * when there is a log without an identity. */
int directory_format(struct io *io, const char *path, const struct description *description, uint64_t node_id);

/* A node that joins a running cluster. Begin locks nothing: it checks that the directory is unused (as
 * directory_format), and writes the incarnation under which the cluster is asked, or finds that of an earlier attempt
 * with the same cluster. Finish formats the directory once the cluster has answered with an id. */
int directory_join_begin(struct io *io, const char *path, const uint8_t cluster_id[PEER_CLUSTER_ID_SIZE],
                         uint64_t *incarnation);
int directory_join_finish(struct io *io, const char *path, const struct description *description,
                          const struct membership *membership, uint64_t node_id, uint64_t incarnation);

/* A directory whose log and snapshots are there before it is a node's. Begin: the directory is made, and must hold
 * nothing (HF_EEXISTS, HF_EUNSAFE); it is locked, and marked, so that nobody takes what comes into it for whole.
 * Finish: everything else in it is durable; publishes description and identity, which is the moment from which on it
 * can be opened. *lock is the caller's to close, after either. */
int directory_rebuild_begin(struct io *io, const char *path, struct file **lock);
int directory_rebuild_finish(struct io *io, const char *path, const struct description *description, uint64_t node_id);

struct directory;
/* Whose directory it is; takes no lock. HF_ENOTFOUND, HF_ECORRUPT, HF_EVERSION. */
int directory_identify(struct io *io, const char *path, struct directory_identity *out);
/* For tools that change nothing: as directory_open, but nothing is created, written or published, and a node that was
 * removed is let pass. HF_EBUSY: a process uses it. */
int directory_open_read_only(struct io *io, const char *path, struct directory **out);
/* Locks and reads. HF_ENOTFOUND not formatted; HF_EBUSY in use; HF_EVERSION; HF_ECORRUPT; HF_EMISMATCH when the
 * files disagree; HF_EREMOVED when the node was removed from its cluster. */
int directory_open(struct io *io, const char *path, struct directory **out);
void directory_close(struct directory *directory);
const struct directory_identity *directory_identity(const struct directory *directory);
const struct description *directory_description(const struct directory *directory);
/* As read when the directory was opened. */
const struct membership *directory_membership(const struct directory *directory);
/* Publishes the members: durable when it returns. */
int directory_write_members(struct directory *directory, const struct membership *membership);
/* The mark of a log that may have lost its end, as found when the directory was opened. */
enum directory_relaxed directory_relaxed(const struct directory *directory);
/* Writes the mark, or takes it away, and with it the feature that older programs refuse: durable on return. is_kept: as
 * long as the kernel lives nothing is lost; otherwise the next start finds DIRECTORY_RELAXED_BEFORE. */
int directory_set_relaxed(struct directory *directory, bool is_kept);
int directory_set_strict(struct directory *directory);
const char *directory_log_path(const struct directory *directory);

#endif
