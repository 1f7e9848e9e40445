/* The inside of a node, shared by the files of the room. Thread: the loop's. */
#ifndef NODE_NODE_STATE_H
#define NODE_NODE_STATE_H

#include "base/heap.h"
#include "base/list.h"
#include "log/log.h"
#include "node/clock.h"
#include "node/directory.h"
#include "node/hosted_group.h"
#include "node/node.h"
#include "node/relaxed.h"
#include "node/snapshots.h"
#include "node/work.h"

enum node_phase { NODE_RUNNING, NODE_FAILED, NODE_CLOSING };

struct node_peer {
    uint64_t id;       /* 0: the slot is free */
    uint32_t position; /* of the slot */
    bool is_up;
    uint64_t epoch;
    uint64_t up_since_ms;
    uint64_t down_since_ms;
    uint32_t features;    /* what its program supports, as far as it said */
    uint64_t incarnation; /* under which it was seen first; 0: never seen */
    uint64_t clock_asked_ms;
    bool is_unfit; /* it says that it should not lead */
    struct clock_peer clock;
};

/* An answer to a call that could not be taken in: given in a turn, never from inside the call. */
struct node_refusal {
    struct proposal_owner owner;
    int result;
    uint64_t group;
    char *text; /* NULL: none but the code's */
};

/* The barriers of all groups that the system group's leader waits for: node/reconcile.h. */
struct reconcile_round {
    uint64_t version; /* of the membership, and the term in which it was led, when it began */
    uint64_t term;
    uint32_t waiting; /* groups that have not answered */
    bool is_confirmed;
    bool has_failed;
    uint64_t retry_ms; /* after one that failed: not before */
};

/* Who asked for a forwarded command: the owner of the command on the leader's side. */
struct relay_ticket {
    struct relay_ticket *next; /* in the list of free ones */
    struct hosted_group *group;
    struct node_peer *peer;
    uint64_t epoch;
    uint64_t id;
};

struct node {
    struct io *io;
    struct loop *loop;
    struct node_options options;
    const struct node_machine_ops *machine_ops;
    struct node_callbacks callbacks;
    void *arg;

    struct directory *directory;
    struct relaxed relaxed;
    const struct description *description;
    uint64_t id;
    struct hf_log *log;
    struct peer_hub *hub; /* NULL: a cluster of one without a door */
    struct loop_watch *watch;
    struct loop_hook turn_end;
    struct loop_timer group_timer; /* the first of `deadlines` */
    struct loop_timer log_timer;
    struct loop_timer upkeep_timer;
    bool is_hooked;

    struct membership membership;                   /* the newest that is known here: node/members.h */
    struct node_peer peers[MEMBERSHIP_MEMBERS_MAX]; /* slots, this node's among them */
    uint32_t peer_count;                            /* slots that were ever used */
    uint64_t epoch_last;                            /* of a connection, over all slots */
    struct peer_identity identity;                  /* how this node introduces itself */
    struct node_peer *self;
    struct hosted_group *groups; /* group_count + 1, the system group first */
    uint32_t groups_open;
    struct work work;
    struct snapshots snapshots;
    struct list offers;   /* snapshots on their way out: offer.h */
    struct list handouts; /* and to whoever copies them away: handout.h */
    uint32_t fetch_count; /* and in: fetch.h */
    struct list touched;
    struct heap deadlines;

    struct node_refusal *refusals;
    size_t refusal_count;
    size_t refusal_capacity;
    struct relay_ticket *tickets_free;
    size_t waiting_bytes;    /* of all commands and answers that wait here: queues, reads, forwarded messages */
    uint64_t transfer_bytes; /* chunks of snapshots that wait here: for the socket, or for the disk */
    struct ledger ledger;    /* takes over waiting_bytes and what the hub holds at the turn's end */
    uint64_t data_bytes;     /* the sum of the groups' data */

    /* used within one call */
    struct buffer payload;
    struct buffer reply;
    struct hf_bytes *commands; /* NODE_ENTRY_COMMANDS_MAX */

    enum node_phase phase;
    int failure;
    char failure_text[HOSTED_GROUP_TEXT_SIZE_MAX];
    bool is_fatal_told;
    bool is_leaving;
    bool is_unfit; /* should not lead: it leaves, its clock is off, or its log is stuck; the others were told */
    bool is_turn_posted;
    bool system_in_flight;

    struct membership *members_heard; /* newer than ours, told by another node; NULL: nothing */
    bool members_told;                /* to all that are connected */
    uint64_t members_retry_ms;        /* the membership could not be written: tried again then; 0: it was */
    struct visit *visit;              /* asks whether this node is still a member */
    uint64_t visited;
    uint64_t ask_next_ms;
    uint32_t ask_cursor;
    char removal_text[160]; /* why this node believes that it was removed */
    bool is_removed;
    struct list changes; /* of members, whose address is being checked: node/member_change.h */
    uint32_t change_count;
    uint32_t balance_cursor;
    uint32_t reconcile_cursor;
    struct reconcile_round reconcile_round;
    uint64_t opened_ms;
    struct clock_self clock_self;
    bool clock_is_off;
    bool log_is_stalled; /* the device keeps the oldest append waiting */
    struct node_counters counters;
};

struct node_peer *node_peer(struct node *node, uint64_t node_id); /* NULL: not of this cluster */
struct hosted_group *node_hosted_group(const struct node *node, uint64_t group);
/* Something that this process must not outlive: from the next turn's end on nothing is fed or sent any more. */
void node_fail(struct node *node, int result, const char *text);
/* Answers in a turn, with the text of the last error. */
void node_refuse(struct node *node, struct proposal_owner owner, int result, uint64_t group);
/* Opens the hub. */
int node_listen(struct node *node, const char *address);
/* Sends a message, or drops it when the node no longer speaks. */
void node_send(struct node *node, uint64_t to_node, struct peer_message *message);

#endif
