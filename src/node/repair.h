/* Groups whose log is damaged, and how they come back: a damaged group is not started - it neither votes nor
 * acknowledges - and touches no other. The node asks the group's leader for what is missing, range by range, writes
 * what is committed there into the log again, and starts the group as after a restart once its log is whole.
 *
 *   damaged ── asks (one peer after another, until one leads) ──→ writes ──→ durable ──→ asks on … ──→ whole ──→
 * started
 *
 * Where the leader's log begins behind what is missing, the leader's snapshot takes the place of the whole log here,
 * once it reaches at least as far as this log: all of it is committed, and nothing that was acknowledged here lies
 * behind it. The leader takes a newer one when it has none that does. It is fetched as for a member that lags
 * (fetch.h); a reset that names it makes the log whole, and the group starts from it.
 *
 * The same heals a group whose log is whole, and whose snapshots are damaged or gone: without one the beginning of its
 * state is lost. Its term and vote stay, and its log until the leader's snapshot has all of it.
 *
 * What cannot be healed so is said and stays closed: a group whose term and vote are lost (it may have voted in a term
 * that nobody here knows of). Damage that is met later closes the group likewise.
 *
 * A leader answers with committed entries only, once an entry of its own term is committed. Thread: the loop's. */
#ifndef NODE_REPAIR_H
#define NODE_REPAIR_H

#include "node/hosted_group.h"

#define REPAIR_RETRY_MS 1000u /* a question without an answer is asked again, of another peer */

struct node_peer;

/* Whether the log of the group is damaged, or was found to lack a snapshot; the group's text says what is. */
bool repair_is_needed(struct hosted_group *group);
/* A group that did not start: whether that is because no good snapshot reaches its log, which is whole. */
bool repair_lacks_state(struct hosted_group *group);
/* A few times a second: closes groups whose damage was met since, asks, starts what is whole. */
void repair_run(struct node *node, uint64_t damaged_groups);
/* At the turn's end: goes on with what became durable. */
void repair_due(struct hosted_group *group);

/* FRAME_REPAIR_REQUEST and FRAME_REPAIR_ANSWER. HF_EPROTOCOL: ignored. */
int repair_receive_request(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload);
int repair_receive_answer(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload);
/* A frame for a replica that does not run: the offer of a snapshot may be what is waited for. */
int repair_receive_raft(struct hosted_group *group, struct node_peer *from, enum frame_kind kind,
                        struct hf_bytes payload);
/* The snapshot is here, verified and published under the name. HF_ECONFLICT: it does not reach the end of the log, or
 * nothing is damaged any more, so that it is of no use. */
int repair_restart_behind(struct hosted_group *group, const struct replica_snapshot *snapshot, struct hf_bytes name);
/* The connection to a node ended. */
void repair_peer_down(struct hosted_group *group, uint64_t node_id);

#endif
