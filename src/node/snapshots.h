/* Snapshots in the life of the groups of a node: when one is taken (snapshot_job.h), what the log may drop behind it,
 * who waits for one, and what a group starts from.
 *
 * The log of a group reaches back to its second newest verified snapshot and `trail` entries more, so that a damaged
 * newest one costs nothing. A snapshot that a member is fetching, and all entries behind it, stay until it has it. A
 * snapshot that failed compacts nothing. A newest one that turns out to be damaged while the node runs is replaced by
 * another one at once, also at the same index, and is nobody's newest meanwhile; where a start passes it by, another
 * one is taken once more than the older one has is applied. One is due when the log grew by `log_bytes` since the
 * newest one was cut, and when it holds twice as much since the one before: a snapshot that took long under load is
 * followed by another one, so that the log is short also when the writes end. What counts is the entries' records,
 * headers included: of small entries they are most of what there is.
 *
 * Thread: the loop's. */
#ifndef NODE_SNAPSHOTS_H
#define NODE_SNAPSHOTS_H

#include <stdatomic.h>

#include "base/list.h"
#include "holdfast/snapshot.h"
#include "node/node.h"

#define SNAPSHOTS_ENTRIES_DEFAULT   250000u
#define SNAPSHOTS_LOG_BYTES_DEFAULT (256ull << 20)
#define SNAPSHOTS_INTERVAL_MS       3600000u
#define SNAPSHOTS_TRAIL_DEFAULT     10000u
#define SNAPSHOTS_KEEP_DEFAULT      3u
#define SNAPSHOTS_COPY_BYTES_MAX    (1ull << 30)
#define SNAPSHOTS_REQUESTS_MAX      1024u /* that wait at a time */
#define SNAPSHOTS_RETRY_MIN_MS      1000u /* after a failure; doubles */
#define SNAPSHOTS_RETRY_MAX_MS      300000u
#define SNAPSHOTS_RETRY_NEAR_MS     10000u /* the same when the log is near its cap */

struct node;
struct hosted_group;
struct snapshot_job;

/* Of one group. */
struct group_snapshots {
    uint64_t index;       /* of the newest good one that the state here includes; 0: none */
    uint64_t created_ms;  /* of that one, wall clock */
    uint64_t taken_ms;    /* when that was known, loop_now_ms */
    uint64_t cut_bytes;   /* group->applied_bytes where that one was cut */
    uint64_t span_bytes;  /* applied between the one before it and that one: the log still holds them; 0: unknown */
    uint64_t wanted;      /* the newest request; see struct snapshots */
    uint64_t answered;    /* the newest request that was served, or failed */
    int result;           /* of that */
    uint64_t retry_ms;    /* after a failure: not before */
    uint32_t failures;    /* in a row */
    bool is_lost;         /* the newest one was good, and is damaged now: another one is taken … */
    bool is_passed_by;    /* … or was found damaged by a start: likewise, once more than it has is applied */
    uint64_t log_entries; /* what log_cap_measure found */
    bool is_cap_reached;
};

struct snapshots {
    struct hf_snapshot_store *store;
    struct node_snapshot_options options; /* with defaults filled in */
    struct snapshot_job *job;             /* one at a time; NULL: none */
    uint32_t cursor;                      /* the group that is looked at first */
    uint64_t sequence;                    /* numbers requests */
    struct list requests;
    uint32_t request_count;
    struct node_snapshot_status status;
    atomic_bool is_damage_new; /* the store found some, in any thread: snapshots_run looks whose it is */
};

int snapshots_open(struct node *node, const char *data_directory);
void snapshots_close(struct node *node); /* when nothing uses the store any more; works when opening failed */
/* Answers everybody who waits for a snapshot. */
void snapshots_answer_all(struct node *node, int result);

/* Puts the newest good snapshot into the machine of a group that starts, and says what it covers (index 0: none). A
 * damaged one is passed by, loudly. HF_ECORRUPT: of this group alone. */
int snapshots_load(struct hosted_group *group, struct replica_snapshot *out);

/* Starts what is due, answers who waited. Called a few times a second, and when a job ends. */
void snapshots_run(struct node *node);
/* The job ended. */
void snapshots_job_ended(struct hosted_group *group, uint64_t sequence, int result);
/* The state of a group includes this snapshot from now on, and its log holds what comes behind it alone. */
void snapshots_note(struct hosted_group *group, uint64_t index, uint64_t created_ms);
/* The same of a snapshot taken here, cut when group->applied_bytes was so much: the log reaches back to the one before.
 */
void snapshots_note_taken(struct hosted_group *group, uint64_t index, uint64_t created_ms, uint64_t cut_bytes);
/* The newest one that the state here includes. False: there is none, or it is damaged. */
bool snapshots_find(struct hosted_group *group, struct hf_snapshot_manifest *out);
/* Asks for one, without waiting for it. */
void snapshots_want(struct hosted_group *group);
/* Up to where the log may be dropped, given the newest two verified snapshots. */
uint64_t snapshots_floor(const struct hosted_group *group, uint64_t second_index);

#endif
