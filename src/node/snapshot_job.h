/* One snapshot of one group, in pieces that a worker runs, while writes go on:
 *
 *   cut at the applied index ─ begin ─ write … ─ (all of it is durable in the log) ─ finish
 *     ─ verify, and the one before ─ RAFT_SNAPSHOT, then the log's prefix goes ─ clean
 *
 * The cut costs the loop microseconds. Between two pieces the loop looks at what the cut holds in memory, and gives up
 * beyond copy_bytes_max. An error or a cancel anywhere leaves nothing behind, and the log as it was.
 *
 * Thread: the loop's, but for what is marked worker in snapshot_job.c. */
#ifndef NODE_SNAPSHOT_JOB_H
#define NODE_SNAPSHOT_JOB_H

#include "node/hosted_group.h"
#include "node/work.h"

#define SNAPSHOT_JOB_PIECE_BYTES (4u << 20)   /* between two looks at what the cut holds */
#define SNAPSHOT_JOB_STEP_BYTES  (256u << 10) /* between two chances for others to have the processor */
#define SNAPSHOT_JOB_WAIT_MS     60000u       /* for the log, when all is written; beyond it the snapshot fails */

struct snapshot_job;

/* HF_EBUSY: not at this moment; HF_ECONFLICT: nothing new to cover. sequence: the newest request that it serves. */
int snapshot_job_start(struct hosted_group *group, uint64_t sequence, struct snapshot_job **out);
/* Publishes what had to wait for the log. Called a few times a second. */
void snapshot_job_continue(struct snapshot_job *job);
/* It ends soon, with HF_ECANCELLED unless it was published already. */
void snapshot_job_cancel(struct snapshot_job *job);
const struct hosted_group *snapshot_job_group(const struct snapshot_job *job);
void snapshot_job_progress(const struct snapshot_job *job, struct node_snapshot_status *out);
/* No worker runs any more. Accepts NULL. */
void snapshot_job_close(struct snapshot_job *job);

#endif
