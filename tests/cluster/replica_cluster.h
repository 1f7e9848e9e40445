/* Some replicas of one group on simulated machines with real logs, and a network that loses, delays and breaks, all
 * from one seed; and a referee who looks at everything that is applied, acknowledged and read. Included by tests
 * together with replica_cluster.c and replica_host.c.
 *
 * The network keeps what a hub promises (src/peer/README.md): within a connection messages arrive in order and once,
 * and nothing of an old connection arrives after a newer one is up. What can happen: any delay, a connection that
 * breaks with all that is on its way, one-way silence, partitions; and, beyond a hub, single messages that vanish.
 *
 * What is checked, at every event that shows it:
 *   one leader per term          when somebody becomes leader
 *   leader completeness          when somebody becomes leader: its log has every entry that anybody applied
 *   equal state                  at every applied index: term and a digest over all entries up to it are the same
 * everywhere acknowledged survives        an acknowledged entry is the one that everybody applies at its index reads
 * are not stale          a read index is never below what was acknowledged before the read began log matching at the
 * end, and when asked: same index and term, same entries up to there stamps and terms             never decrease along
 * the log */
#ifndef CLUSTER_REPLICA_CLUSTER_H
#define CLUSTER_REPLICA_CLUSTER_H

#include "base/buffer.h"
#include "base/rng.h"
#include "cluster/replica_host.h"

#define CLUSTER_NODES_MAX   5u
#define CLUSTER_ENTRIES_MAX 20000u
#define CLUSTER_TERMS_MAX   100000u

/* Chances are in millionths per millisecond and node, unless it says otherwise; 0: never. */
struct cluster_weather {
    uint32_t crash_ppm;   /* power off or kill */
    uint32_t restart_ppm; /* of a node that is down */
    uint32_t break_ppm;   /* a connection breaks, per pair */
    uint32_t mend_ppm;    /* and comes up again */
    uint32_t mute_ppm;    /* one direction loses everything for a while, per pair */
    uint32_t loss_ppm;    /* per message */
    uint32_t slow_ppm;    /* per message: takes up to slow_ms */
    uint32_t slow_ms;
    uint32_t submit_ppm;
    uint32_t read_ppm;
    uint32_t change_ppm; /* of roles */
    uint32_t transfer_ppm;
    uint32_t snapshot_ppm;
    uint32_t trailing_max;
    uint32_t stall_ppm; /* of the disk */
    uint32_t pause_ppm; /* of a process: it neither hears nor does anything for up to a second, and notices nothing */
};

struct cluster_options {
    unsigned nodes;
    unsigned voters;     /* the others are stand-bys */
    unsigned voters_min; /* role changes keep as many */
    struct cluster_weather weather;
    const struct sim_profile *profile; /* of the disks; NULL: calm */
    bool is_traced;                    /* to standard error */
};

struct cluster_counts {
    uint64_t events;
    uint64_t messages;
    uint64_t losses;
    uint64_t breaks;
    uint64_t crashes;
    uint64_t elections;
    uint64_t applied;
    uint64_t acknowledged;
    uint64_t lost;
    uint64_t reads;
    uint64_t changes;
    uint64_t transfers;
    uint64_t snapshots;
    uint64_t pauses;
};

struct cluster;

struct cluster *cluster_open(uint64_t seed, const struct cluster_options *options);
void cluster_close(struct cluster *cluster);

/* Runs under the weather. Stops early when a check failed. */
void cluster_run_ms(struct cluster *cluster, unsigned ms);
/* Ends the bad weather: everybody up, all connections up, calm disks; clients go on. */
void cluster_heal(struct cluster *cluster);
/* Runs until everything acknowledged is applied by all running nodes and `entries` more were acknowledged; false after
 * limit_ms. */
bool cluster_progress(struct cluster *cluster, unsigned entries, unsigned limit_ms);
void cluster_check_logs(struct cluster *cluster);
/* After healing: the leader can still change a role, and the change commits. */
bool cluster_can_change(struct cluster *cluster, unsigned limit_ms);

const char *cluster_failure(const struct cluster *cluster); /* NULL: every check held */
struct cluster_counts cluster_counts(const struct cluster *cluster);
struct sim *cluster_sim(struct cluster *cluster);
struct replica_host *cluster_host(struct cluster *cluster, uint64_t node_id);
void cluster_describe(struct cluster *cluster, struct buffer *out); /* one line per node */

#endif
