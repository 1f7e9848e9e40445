/* A snapshot on its way in: what this node fetches because the leader of a group says that the log alone does not help.
 *
 *   offered ─ opening ─ receiving ─ building ─ publishing ─ ready ─ installing ─ ending
 *             (goes on    chunks      read back   as          fed to    reset      accepted, old
 *              where it               once: a     received    the       durable:   state freed
 *              stopped)               state beside            engine    swapped
 *                                     the old one,
 *                                     and verified
 *
 * Until `ready` consensus knows nothing of it: the member votes, and hears its leader. Only one snapshot per group is
 * fetched. It is replaced by a newer one that is offered when its source no longer has it, or when it made no progress
 * for FETCH_STALL_MS; one that makes progress is never started anew. What arrived stays on the disk: after a restart of
 * either side, or another connection, fetching goes on with the chunks that are missing.
 *
 * How many chunks are asked for at a time follows from how long answers take (chunk_window.h): what waits in a slow
 * link's queue is what heartbeats and entries have to wait for, too, on whatever connection they come.
 *
 * Thread: the loop's; the disk is a worker's, one piece at a time per fetch. */
#ifndef NODE_FETCH_H
#define NODE_FETCH_H

#include "node/hosted_group.h"

#define FETCH_ACTIVE_MAX   4u     /* groups that fetch at a time; others are offered again until it is their turn */
#define FETCH_RETRY_MS     1500u  /* a question without an answer is asked again when none came for so long … */
#define FETCH_RETRY_MAX_MS 24000u /* … or, over a slow link, twice as long as it took lately; at most this */
#define FETCH_AGAIN_MS     1000u  /* after one that failed, before another begins */
#define FETCH_STALL_MS     5000u  /* without progress another snapshot may take its place … */
#define FETCH_GIVE_UP_MS   60000u /* … and without any offer either it is given up, until the next one */

struct node;
struct fetch;

enum fetch_phase {
    FETCH_OPENING,
    FETCH_RECEIVING,
    FETCH_BUILDING,
    FETCH_PUBLISHING,
    FETCH_READY,
    FETCH_INSTALLING,
    FETCH_ENDING
};

struct fetch_status {
    enum fetch_phase phase;
    uint64_t node_id; /* of the source */
    uint64_t group;
    uint64_t index;
    uint64_t bytes_done; /* as they are sent */
    uint64_t bytes_total;
    uint64_t bytes_resumed; /* of bytes_done: here when it started */
    uint64_t started_ms;    /* loop_now_ms */
};

/* callbacks.snapshot_offered and snapshot_install of the group's replica. */
void fetch_offered(struct hosted_group *group, uint64_t from_node, uint64_t term,
                   const struct replica_snapshot *snapshot, struct hf_bytes manifest);
int fetch_install(struct hosted_group *group);
/* FRAME_SNAPSHOT_CHUNK. HF_EPROTOCOL. */
int fetch_receive_chunk(struct hosted_group *group, uint64_t from, struct hf_bytes payload);
void fetch_peer_changed(struct node *node, uint64_t node_id);
/* A few times a second. */
void fetch_run(struct node *node);
/* The group stopped: the fetch ends, as soon as its worker lets it. */
void fetch_abandon(struct hosted_group *group);
void fetch_close(struct fetch *fetch); /* no worker runs any more; accepts NULL */
/* Walks them: position from 0; HF_ENOTFOUND at the end. */
int fetch_status(const struct node *node, uint32_t position, struct fetch_status *out);
const char *fetch_phase_name(enum fetch_phase phase);

#endif
