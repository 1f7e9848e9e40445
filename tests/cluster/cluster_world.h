/* The inside of the cluster simulation, shared by its files: cluster_sim.c (nodes, plan, end), cluster_clients.c,
 * cluster_trouble.c, cluster_members.c, cluster_damage.c, cluster_relaxed.c and cluster_oracle.c. */
#ifndef CLUSTER_CLUSTER_WORLD_H
#define CLUSTER_CLUSTER_WORLD_H

#include "cluster/cluster_history.h"
#include "cluster/cluster_sim.h"
#include "node/joining.h"
#include "node/node_state.h"

#define CLUSTER_MS             1000000ull
#define CLUSTER_PORT           7000
#define CLUSTER_ELECTION_MS    500u
#define CLUSTER_HEARTBEAT_MS   60u
#define CLUSTER_REQUEST_MS     1500u
#define CLUSTER_BATCH_MAX      4u
#define CLUSTER_BALLAST_MAX    200000u                  /* bytes: more than three frames of peer/ */
#define CLUSTER_ALL_GROUPS_MAX (CLUSTER_GROUPS_MAX + 1) /* the system group too */

struct cluster;

/* What is known of one group at one node, to notice what changed. */
struct cluster_seen {
    enum replica_state state;
    uint64_t term;
    uint64_t last_index;
    uint64_t last_term;
    uint64_t stamp_ms;
    uint64_t applied_index;
};

struct cluster_node {
    struct cluster *cluster;
    uint32_t position;
    struct sim_host *host;
    struct node *node; /* NULL: down */
    uint32_t life;     /* raised at every start and stop */
    struct cluster_machine_owner owner;
    struct node_machine_ops ops;
    struct cluster_seen seen[CLUSTER_ALL_GROUPS_MAX];
    uint64_t durable[CLUSTER_ALL_GROUPS_MAX]; /* of a node that is down: what it held, and the term of the last entry */
    uint64_t durable_term[CLUSTER_ALL_GROUPS_MAX];
    uint64_t id; /* 0: a machine without a node */
    char address[32];
    struct joining *joining; /* answers at the address while the machine asks for membership */
    bool is_joining;
    bool may_be_member;                    /* the cluster may have agreed already: it has to go on */
    bool is_wiped;                         /* its disk was lost, and it goes by its old name */
    uint64_t held[CLUSTER_ALL_GROUPS_MAX]; /* what it held durably before that: it had acknowledged it */
    struct replica_member members[CLUSTER_ALL_GROUPS_MAX][REPLICA_MEMBERS_MAX]; /* of a node that is down: as it knew */
    unsigned member_count[CLUSTER_ALL_GROUPS_MAX];
    bool is_flapping; /* loses its power whenever its term changes */
    /* cluster_relaxed.c; all false and 0 in a run with strict policies alone */
    enum hf_log_sync_policy policy;
    bool has_policy;
    bool wants_boot; /* its kernel tells its lives apart … */
    bool has_boot;   /* … by now */
    bool is_relaxed;
    bool is_forgetful;
    bool is_left_behind[CLUSTER_ALL_GROUPS_MAX];
    bool accepts_loss; /* at its next start */
    bool has_lost;     /* when it stopped: what it acknowledged may really be gone */
    bool is_cut_planned;
    bool is_error_planned;
    uint64_t claimed[CLUSTER_ALL_GROUPS_MAX]; /* what it said that it has when it stopped, and the last entry's term */
    uint64_t claimed_term[CLUSTER_ALL_GROUPS_MAX];
};

/* A committed entry, as the first node that applied it saw it. */
struct cluster_entry {
    uint64_t term;
    uint64_t committed_term; /* the lowest term in which a node knew that it is committed */
    uint64_t stamp_ms;
    uint64_t digest[2];
    uint8_t *payload;
    size_t payload_size;
    bool is_known;
};
struct cluster_log {
    struct cluster_entry *entries; /* by index */
    size_t capacity;
    uint64_t last;     /* greatest known index */
    uint64_t checked;  /* greatest index whose majority was counted */
    uint64_t *leaders; /* by term: position + 1 of the node that led */
    size_t leaders_capacity;
    bool is_lost; /* entries of it were, when that was accepted */
};

enum client_state { CLIENT_THINKING, CLIENT_POSTED, CLIENT_WAITING, CLIENT_DONE };

struct cluster_client {
    struct cluster *cluster;
    uint32_t number;
    enum client_state state;
    uint32_t node; /* position, while posted or waiting */
    uint32_t outstanding;
    uint32_t rush_node;
    uint64_t rush_group;   /* 0: none */
    uint64_t batch_group;  /* of a batch of writes to one group */
    uint64_t batch_index;  /* the entry of the last acknowledged one */
    uint64_t batch_number; /* how many calls the batch of the last acknowledged one had before it */
    /* the final client walks over all keys */
    bool is_final;
    uint32_t final_position;
    /* the prober writes where a new leader is and reads where the old one does not know of it */
    bool is_prober;
    uint32_t probe_step; /* 0: idle, 1: writing, 2: reading */
    uint64_t probe_group;
    uint32_t probe_key;
    uint32_t probe_old; /* position of the old leader */
};

enum cluster_phase { CLUSTER_TROUBLE, CLUSTER_HEALING, CLUSTER_OVER };

/* A later event about a node: void when the node was started or stopped meanwhile. */
struct cluster_ticket {
    struct list link;
    struct cluster_node *node;
    uint32_t life;
};

#define CLUSTER_TROUBLES 12u

#define CLUSTER_DAMAGE_MAX 8u

/* Snapshots of one group at one node that were damaged and are not healed yet: cluster_damage.c. */
struct cluster_damage {
    struct cluster_node *node; /* NULL: none */
    uint64_t node_id;
    uint64_t group;
    uint64_t index;    /* of the newest of them */
    bool needs_others; /* no copy is left here */
    bool was_stopped;  /* and started since */
    bool was_closed;   /* … without the group */
    unsigned count;
    struct hf_snapshot_id ids[CLUSTER_DAMAGE_MAX];
};

typedef void cluster_trouble(struct cluster *cluster, struct cluster_node *node);
struct cluster_schedule {
    struct cluster *cluster;
    uint32_t gap_ms;
    cluster_trouble *trouble;
};

struct cluster {
    struct cluster_schedule schedules[CLUSTER_TROUBLES];
    struct list tickets; /* of events that have not come yet */
    const struct cluster_plan *plan;
    struct cluster_result *result;
    struct sim *sim;
    struct rng *rng;
    struct description *description;
    struct cluster_node nodes[CLUSTER_MACHINES_MAX];
    uint32_t machines;
    struct list changes;          /* of members, asked for and not answered */
    uint64_t accepted_clock;      /* when a loss was accepted first; 0: it was not */
    bool is_change_unsure;        /* one was asked for whose outcome is not known: in runs with relaxed policies */
    bool is_wiping;               /* one at a time */
    struct cluster_damage damage; /* one at a time */
    struct cluster_client clients[CLUSTER_CLIENTS_MAX + 2]; /* behind them the final one and the prober */
    struct cluster_log logs[CLUSTER_ALL_GROUPS_MAX];
    enum cluster_phase phase;
    struct history_operation *operations;
    size_t operation_count;
    size_t operation_capacity;
    uint64_t clock; /* of the history */
    uint64_t next_value;
    bool is_final_done;
    struct cluster_node *isolated; /* NULL: nobody */
    bool is_lagging;               /* a follower, see cluster_trouble.c */
    bool isolated_ends_early;      /* as soon as somebody else leads … */
    uint64_t drama_group;          /* … this group */
};

void cluster_violate(struct cluster *cluster, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool cluster_is_violated(const struct cluster *cluster);
void cluster_count(struct cluster *cluster, enum cluster_event event);
/* A group's configuration names the members, each in its role, and is committed. */
bool cluster_is_reconciled(const struct membership *membership, const struct hosted_group *group);

/* ---- nodes ---- */
void cluster_node_kill(struct cluster_node *node);      /* and starts it again after a while */
void cluster_node_power_off(struct cluster_node *node); /* the same */
void cluster_node_cut_down(struct cluster_node *node);  /* the same, where the power may go (cluster_relaxed.c) */
void cluster_node_bury(struct cluster_node *node);      /* after its host was stopped */
void cluster_node_start(struct cluster_node *node);

/* ---- relaxed sync policies ---- */
void cluster_relaxed_prepare(struct cluster_node *node, struct node_options *options); /* before a start */
void cluster_relaxed_started(struct cluster_node *node);
void cluster_relaxed_start_failed(struct cluster_node *node);
void cluster_relaxed_stops(struct cluster_node *node, bool has_power); /* before its node is closed */
void cluster_relaxed_wiped(struct cluster_node *node);
void cluster_relaxed_look(struct cluster *cluster); /* after every event */
bool cluster_relaxed_is_whole(const struct cluster_node *node);
/* The node may lose its power now, or will by a plan: a majority of voters is whole without it. */
bool cluster_relaxed_may_forget(const struct cluster_node *node);
bool cluster_relaxed_may_kill(const struct cluster_node *node); /* its process */
bool cluster_relaxed_may_change_members(const struct cluster *cluster);
/* Nobody leads some group, since too many of its voters have no vote: one of them is started again with what is left.
 * False: that is not why. */
bool cluster_relaxed_accept(struct cluster *cluster);
/* Its group is closed here for good: when the others went on without it after a loss, it knew of more that was
 * committed, and that conflicts. Counts it once. */
bool cluster_relaxed_is_left_behind(struct cluster_node *node, uint32_t g);
/* Whether a leader may lack the entry: a majority that votes does. */
bool cluster_relaxed_may_lack(const struct cluster_node *leader, uint64_t group, uint64_t index, uint64_t term);

/* ---- members ---- */
/* A running node that knows most about the members; NULL: none. */
const struct cluster_node *cluster_reference(const struct cluster *cluster);
bool cluster_is_member(const struct cluster *cluster, const struct cluster_node *node);
/* Nothing is under way, and everybody else could go on without this one. */
bool cluster_members_may_lose(struct cluster *cluster, const struct cluster_node *victim);
void cluster_node_retire(struct cluster_node *node);
void cluster_members_look(struct cluster *cluster);
void cluster_members_close(struct cluster *cluster);
void cluster_trouble_members(struct cluster *cluster, struct cluster_node *subject);
void cluster_trouble_wipe(struct cluster *cluster, struct cluster_node *victim);

/* Calls with a ticket, unless the cluster is closed before. */
void cluster_node_call_after(struct cluster_node *node, uint64_t delay_ns, void (*call)(void *arg));
/* Frees the ticket; NULL when its node has started or stopped meanwhile. */
struct cluster_node *cluster_ticket_take(struct cluster_ticket *ticket);

/* ---- trouble ---- */
void cluster_trouble_start(struct cluster *cluster);
void cluster_trouble_term_changed(struct cluster_node *node);
void cluster_trouble_look(struct cluster *cluster);
void cluster_trouble_led(struct cluster_node *node, uint64_t group);

/* ---- damaged snapshots ---- */
void cluster_trouble_damage(struct cluster *cluster, struct cluster_node *victim);
void cluster_damage_look(struct cluster *cluster); /* after every event */
void cluster_damage_started(struct cluster_node *node);
/* Somebody has to fetch what only the others have: none of them may go. */
bool cluster_damage_needs_others(const struct cluster *cluster);

/* ---- oracle ---- */
void cluster_oracle_applied(void *arg, uint64_t group, const struct hf_entry *entry, const uint64_t digest[2]);
/* After every event. */
void cluster_oracle_look(struct cluster *cluster);
/* Now and then, and at the end with full = all of the logs. */
void cluster_oracle_match_logs(struct cluster *cluster, uint64_t depth);
/* The acknowledged command stands at the index. */
void cluster_oracle_acknowledged(struct cluster *cluster, uint64_t group, uint64_t index, struct hf_bytes command);
void cluster_oracle_finish(struct cluster *cluster);
void cluster_oracle_node_stops(struct cluster_node *node); /* just before */
void cluster_oracle_node_started(struct cluster_node *node);
void cluster_oracle_close(struct cluster *cluster);

/* ---- clients ---- */
void cluster_clients_start(struct cluster *cluster);
/* Clients that think come to a node now, one after another, and append to a group. */
void cluster_clients_rush(struct cluster *cluster, uint32_t position, uint64_t group);
void cluster_clients_node_stopped(struct cluster *cluster, uint32_t position);
/* A new leader at `position`, while the one at `old` may not know of it. */
void cluster_clients_probe(struct cluster *cluster, uint64_t group, uint32_t position, uint32_t old);
void cluster_clients_finish(struct cluster *cluster); /* starts the final client */
void cluster_clients_check(struct cluster *cluster);  /* the histories */

#endif
