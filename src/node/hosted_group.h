/* One group on this node: its replica, its state machine, and everything that waits for either.
 *
 * Every event (a command, a frame, a deadline, an applied entry) only changes the group's state and puts it on the
 * node's list of touched groups; what follows from it happens once, at the turn's end, in hosted_group_flush: the
 * proposals of the turn become one SUBMIT, its reads one round, its answers to other nodes one message each.
 *
 * Thread: the loop's. */
#ifndef NODE_HOSTED_GROUP_H
#define NODE_HOSTED_GROUP_H

#include "base/heap.h"
#include "base/list.h"
#include "node/forward_table.h"
#include "node/node.h"
#include "node/proposal.h"
#include "node/reads.h"
#include "node/repair_frame.h"
#include "node/snapshots.h"
#include "node/stamp.h"

#define HOSTED_GROUP_TEXT_SIZE_MAX   256u
#define HOSTED_GROUP_SUBMIT_MAX      64u         /* entries of one SUBMIT */
#define HOSTED_GROUP_SUBMIT_BYTES    (16u << 20) /* a SUBMIT is closed once it is this big */
#define HOSTED_GROUP_RETRY_MS        5u          /* after a refusal that passes by itself */
#define HOSTED_GROUP_DUE_CHECK_MS    1000u       /* a deadline of data is looked at again at least this often */
#define HOSTED_GROUP_EXPIRE_RETRY_MS 200u        /* after an expiry that was not taken */

struct fetch;

/* A log that is damaged: node/repair.h. */
struct group_repair {
    bool is_open;     /* damaged, and not started again yet */
    bool is_hopeless; /* entries of a peer do not heal it */
    bool is_writing;  /* what came is not durable yet */
    bool is_due;      /* goes on in this turn */
    int told;         /* the refusal that was traced last */
    struct repair_request request;
    uint64_t asked_node;
    uint64_t asked_ms; /* 0: nobody is asked */
    uint64_t leader;   /* who is asked next, as somebody said; 0: the next of all */
    uint32_t cursor;
    uint32_t writing_count;
    uint64_t repaired;   /* entries */
    bool needs_snapshot; /* the leader's log begins behind what is missing */
    bool has_no_state;   /* the log is whole, but no good snapshot here reaches its beginning */
    char reason[128];    /* why it is not healed yet; empty: nothing speaks against it */
};

struct hosted_group {
    struct node *node;
    uint64_t id;
    uint64_t incarnation;
    uint32_t ordinal; /* UINT32_MAX: the system group */
    const struct node_machine_ops *ops;
    void *machine;
    struct replica *replica; /* NULL: not started */

    /* what the replica told last */
    enum replica_state state;
    uint64_t term;
    uint64_t leader; /* node id, 0: unknown */
    uint64_t applied_index;
    uint64_t applied_bytes; /* of entries as the log has them (hf_log_entry_bytes), since the node was opened */
    struct stamp stamp;

    struct proposal_queue queue;
    struct proposal_pending pending;
    struct reads reads;
    struct forward_table forwards;
    uint64_t forward_target;   /* the node that the proposals under way were sent to */
    uint64_t forward_grace_ms; /* when they are given up because another node leads; 0: no reason to */
    struct buffer *answers;    /* per node of the cluster: answers of this turn; allocated at the first use */

    bool expire_in_flight;
    uint64_t expire_next_ms; /* after a refusal: not before */
    uint64_t data_bytes;     /* as counted into the node's sum */
    uint64_t retry_ms;       /* when a passing refusal is tried again; 0: none */

    uint64_t settled_version; /* of the membership that the configuration agreed with, as leader of settled_term */
    uint64_t settled_term;
    uint64_t round_index; /* where the log ended at the leader's last look: node/reconcile.h */
    uint64_t round_term;
    uint64_t round_ms;
    struct group_snapshots snapshots;
    struct fetch *fetch;    /* the snapshot that is on its way here; NULL: none */
    uint64_t fetch_next_ms; /* after one that failed: not before */

    uint64_t led_since_ms;
    uint64_t balance_next_ms;
    uint64_t balance_tried_ms;
    uint32_t balance_attempts;

    struct group_repair repair;
    bool has_rejoined; /* since the node was opened: node/relaxed.h */
    bool is_failed;    /* frozen, damaged, or the log is gone: text says why */
    char text[HOSTED_GROUP_TEXT_SIZE_MAX];

    struct list touched; /* in the node's list, or alone */
    struct heap_item deadline;
};

/* Fills the group and starts its replica. A damaged group is not started: its text says why, and 0 is returned. */
int hosted_group_open(struct hosted_group *group, struct node *node, uint32_t position);
/* Everybody must have been answered (hosted_group_answer_all). Works on a zeroed group. */
void hosted_group_close(struct hosted_group *group);

/* A group that was closed by damage, and whose log is whole again, starts as after a restart of the node. False: not
 * yet, or its text says why not. */
bool hosted_group_restart(struct hosted_group *group);

/* Have the group flushed at the turn's end. */
void hosted_group_touch(struct hosted_group *group);
void hosted_group_flush(struct hosted_group *group);
/* Its deadline came. */
void hosted_group_due(struct hosted_group *group);
/* When hosted_group_due is to be called, in loop_now_ms; UINT64_MAX: never. */
uint64_t hosted_group_deadline_ms(struct hosted_group *group);

/* Takes a command in. HF_EBUSY: too much waits. */
int hosted_group_propose(struct hosted_group *group, struct hf_bytes command, struct proposal_owner owner,
                         bool is_forwarded);
int hosted_group_read(struct hosted_group *group, struct hf_bytes command, struct read_item item);
int hosted_group_read_stale(struct hosted_group *group, struct hf_bytes command, struct proposal_owner owner);

/* Stops the group for good; what waits is answered at the turn's end. */
void hosted_group_fail(struct hosted_group *group, const char *text);
/* Answers everybody who waits: `result` where nothing was proposed, HF_EINDETERMINATE otherwise. */
void hosted_group_answer_all(struct hosted_group *group, int result);

bool hosted_group_is_led_here(const struct hosted_group *group);
/* The stamp of a read now. */
uint64_t hosted_group_read_stamp(struct hosted_group *group);

#endif
