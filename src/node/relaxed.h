/* Sync policies that acknowledge before the device has the bytes (interval, none), and what follows from them.
 *
 * While a node runs under one, its data directory carries the mark `relaxed`; a clean stop makes everything durable and
 * takes the mark away. A node that finds it was killed, or the power went. The mark names the kernel's boot and
 * the log's mount (node/relaxed_mark.h): where both are still the same, the kernel has what the process gave it, and
 * nothing is lost, unless a write or sync failed: then the mark names none. Otherwise what was acknowledged may be.
 * Each of the node's groups then rejoins (replica/rejoin.h): no vote until a leader has brought it back to where it may
 * have been. The mark stays as it is until that happened in all of them, over restarts and under another policy.
 *
 * A node that is the only voter has nobody to ask: it opens, and says what may be lost. So does one whose operator says
 * that what is lost is lost (options.accept_lost_writes): where no majority of the voters kept what it acknowledged,
 * nobody leads, and nobody can bring anything back.
 *
 * Thread: the loop's. */
#ifndef NODE_RELAXED_H
#define NODE_RELAXED_H

#include <stdbool.h>
#include <stdint.h>

#define RELAXED_RETRY_MS 1000u

struct node;
struct hosted_group;
struct replica_options;

struct relaxed {
    bool was_marked;  /* by an earlier kernel, when the node was opened: something may be lost */
    bool must_rejoin; /* what a leader can bring back is waited for */
    bool is_alone;    /* nobody else has a vote, as far as this node knows */
    bool has_mark;
    bool is_made_here; /* the mark, by this start */
    bool is_open;      /* what may be lost is not yet known to be here, or to be gone */
    uint64_t retry_ms; /* after a mark that could not be written */
};

/* Before the log is opened. Under a relaxed policy the mark is durable when it returns. */
int relaxed_open(struct node *node);
/* What the replica of a group that starts now has to know of it. */
void relaxed_tell(const struct hosted_group *group, struct replica_options *options);
/* Now and then: when nothing is missing any more the mark is renewed, or goes when the policy is a strict one. */
void relaxed_run(struct node *node);
/* A write or a sync of the log failed: what the kernel had it may have dropped, though it lives. */
void relaxed_fail(struct node *node);
/* The log could not be opened. An open reads past the kernel's cache and syncs, so that it loses as much when that
 * fails.
 */
void relaxed_open_failed(struct node *node, int result);
/* A clean stop, in two steps: before the groups are closed, and when the log was synced (result). */
bool relaxed_may_end(const struct node *node);
void relaxed_end(struct node *node, int result);

#endif
