/* A whole cluster in one process and one thread: real nodes (node_open and everything under it) on simulated hosts,
 * clients that call them, and a plan of what goes wrong. Everything follows from the seed.
 *
 * Checked while it runs
 *   at every event       at most one leader per group and term, also across restarts; a new leader's log holds
 * everything that was committed before (leader completeness) at every apply       the entry at an index is the same
 * wherever and whenever it is applied (term, bytes), the state digest behind it too, and stamps never decrease at every
 * answer      the acknowledged command stands in the entry that was named; answers to one caller for one group come in
 * an order that is that of their calls again and again      two logs that agree on the term at an index agree on all
 * terms before it (log matching) and at the end, after everything was healed: every group has a leader and commits
 * within CLUSTER_HEAL_MAX_MS, all replicas hold the same log and the same state, nothing acknowledged is missing, every
 * call was answered, and what the clients saw is linearizable per key, and the
 * configuration of every group is what the members agreed on.
 *
 * Thread: one. */
#ifndef CLUSTER_CLUSTER_SIM_H
#define CLUSTER_CLUSTER_SIM_H

#include "cluster/cluster_machine.h"
#include "sim/sim.h"

#define CLUSTER_NODES_MAX    3u /* at the beginning */
#define CLUSTER_MACHINES_MAX 6u /* those that may join among them */
#define CLUSTER_GROUPS_MAX   8u
#define CLUSTER_CLIENTS_MAX  12u
#define CLUSTER_HEAL_MAX_MS  20000u

/* What the harness itself does to the nodes, besides the simulator's weather. Gaps are means; 0: never. */
struct cluster_plan {
    uint64_t seed;
    uint32_t nodes;  /* at the beginning */
    uint32_t spares; /* machines that may join */
    uint32_t groups;
    uint32_t clients;
    uint32_t duration_ms; /* of the part in which things go wrong */
    uint32_t think_ms;    /* between a client's operations, at most */
    struct sim_profile profile;
    uint32_t kill_gap_ms;     /* SIGKILL and a restart */
    uint32_t power_gap_ms;    /* power loss between two events */
    uint32_t cut_gap_ms;      /* power loss in the middle of some disk operation */
    uint32_t io_error_gap_ms; /* a write or sync fails: the node must stop */
    uint32_t full_gap_ms;     /* the disk is full for a while */
    uint32_t transfer_gap_ms;
    uint32_t blackout_gap_ms; /* all nodes at once lose their power */
    uint32_t drama_gap_ms;    /* scenes that are rare by chance and dear when they are got wrong: cluster_trouble.c */
    uint32_t member_gap_ms;   /* a machine joins, or a node gets another role, or is removed */
    uint32_t wipe_gap_ms;     /* a disk is lost */
    uint32_t down_max_ms;     /* until a node that stopped is started again, at most */
    uint32_t ballast_percent; /* of appends that carry a lot of bytes */
    uint64_t tail_cache_bytes;
    bool log_here;             /* the loop waits for small writes itself */
    uint64_t snapshot_entries; /* between two snapshots of a group; 0: none are taken */
    uint64_t snapshot_trail;
    uint32_t lag_gap_ms;      /* a follower hears nothing for so long that it needs a snapshot */
    uint32_t damage_gap_ms;   /* snapshots on a disk are damaged */
    uint32_t relaxed_percent; /* of nodes that acknowledge before the device has the bytes: interval or none */
    uint32_t sync_interval_ms;
    bool may_lose_majority;    /* all power goes at once, whatever that takes, and the operator accepts it at the end */
    uint32_t interrupt_events; /* of so many, one interrupts an install that is under way; 0: none does */
};
void cluster_plan_from_seed(uint64_t seed, struct cluster_plan *plan);

/* What happened besides what the simulator counts; as with its faults, a kind that never happens in a set of runs makes
 * the set invalid. */
enum cluster_event {
    CLUSTER_EVENT_KILL,
    CLUSTER_EVENT_POWER_LOSS,
    CLUSTER_EVENT_POWER_CUT_IN_OPERATION,
    CLUSTER_EVENT_BLACKOUT,
    CLUSTER_EVENT_IO_ERROR_STOPPED_NODE,
    CLUSTER_EVENT_NO_SPACE_REFUSED,
    CLUSTER_EVENT_TRANSFER,
    CLUSTER_EVENT_LEADER_CHANGED,
    CLUSTER_EVENT_FORWARDED,
    CLUSTER_EVENT_INDETERMINATE,
    CLUSTER_EVENT_REFUSED,
    CLUSTER_EVENT_EXPIRED,
    CLUSTER_EVENT_TRUNCATED, /* a log lost uncommitted entries to a new leader */
    CLUSTER_EVENT_ISOLATED_LEADER,
    CLUSTER_EVENT_FLAPPING_VOTER,
    CLUSTER_EVENT_PAUSED_LEADER,
    CLUSTER_EVENT_KILLED_TWICE,
    CLUSTER_EVENT_DEAF_LEADER,
    CLUSTER_EVENT_LAGGING_FOLLOWER,
    CLUSTER_EVENT_SNAPSHOT,
    CLUSTER_EVENT_COMPACTED, /* a log that no longer begins at 1 when a node stops */
    CLUSTER_EVENT_INSTALLED,
    CLUSTER_EVENT_INSTALL_INTERRUPTED,
    CLUSTER_EVENT_INSTALL_RESUMED, /* with chunks that were there before */
    CLUSTER_EVENT_STARTED_FROM_SNAPSHOT,
    CLUSTER_EVENT_SNAPSHOT_DAMAGED,
    CLUSTER_EVENT_SNAPSHOT_FELL_BACK, /* a start from an older one, or from the log alone */
    CLUSTER_EVENT_SNAPSHOT_OF_OTHERS, /* a closed group that its leader's started again */
    CLUSTER_EVENT_SYSTEM_SNAPSHOT,    /* the system group, when a node stops: it had one, */
    CLUSTER_EVENT_SYSTEM_COMPACTED,   /* its log no longer begins at 1, */
    CLUSTER_EVENT_SYSTEM_INSTALLED,   /* its log's last reset names one that was received */
    CLUSTER_EVENT_MEMBER_JOINED,
    CLUSTER_EVENT_MEMBER_PROMOTED,
    CLUSTER_EVENT_MEMBER_DEMOTED,
    CLUSTER_EVENT_MEMBER_REMOVED,
    CLUSTER_EVENT_MEMBER_REMOVED_BY_FORCE,
    CLUSTER_EVENT_CHANGE_REFUSED,
    CLUSTER_EVENT_REMOVED_NODE_STOPPED,
    CLUSTER_EVENT_WIPED,
    CLUSTER_EVENT_RELAXED_POWER_LOSS, /* or a failed sync, of a node under a relaxed policy */
    CLUSTER_EVENT_RELAXED_KILL,       /* that lost nothing, and is known to */
    CLUSTER_EVENT_RELAXED_LOST,       /* entries that it had acknowledged were gone */
    CLUSTER_EVENT_REJOINED,
    CLUSTER_EVENT_LOSS_ACCEPTED, /* by the operator, on one node */
    CLUSTER_EVENT_LOSS_MET,      /* a leader lacks what was committed, as it may after that */
    CLUSTER_EVENT_LEFT_BEHIND,   /* a group of a node that knew of more then: closed there for good */
    CLUSTER_EVENT_COUNT
};
const char *cluster_event_name(enum cluster_event event);

struct cluster_result {
    char why[512]; /* empty: nothing was violated */
    uint64_t trace_hash;
    uint64_t steps;
    uint64_t faults[SIM_FAULT_COUNT];
    uint64_t events[CLUSTER_EVENT_COUNT];
    uint64_t calls;
    uint64_t acknowledged; /* calls that were answered with success */
    uint64_t rate;         /* acknowledged per simulated second */
    uint64_t heal_ms;      /* until all was well again */
    uint64_t inconclusive; /* searches that were given up */
};

/* Runs one plan to its end or to the first violation. trace: NULL, or every line. */
void cluster_run(const struct cluster_plan *plan, sim_trace_sink *trace, void *trace_arg, struct cluster_result *out);

#endif
