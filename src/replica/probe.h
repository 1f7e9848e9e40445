/* Which members the engine holds in its PROBE state, guessed from outside (rule 12).
 *
 * One heartbeat round without an answer drops a member to PROBE, and there it stays while nothing is written. The next
 * proposal is then sent with the next heartbeat only: a write after a pause would take a heartbeat longer for nothing.
 * When a member has answered all it was sent, the proposal's step runs with a heartbeat timeout of zero, so that the
 * engine sends at once. A wrong guess costs a message or a delay, never more. */
#ifndef REPLICA_PROBE_H
#define REPLICA_PROBE_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "replica/replica.h"

struct probe_member {
    uint64_t node_id;
    uint64_t heard_ms;
    bool is_heard; /* in this term */
    bool is_probing;
    bool is_awaited; /* something was sent that was not answered */
};

struct probe {
    struct probe_member members[REPLICA_MEMBERS_MAX];
    unsigned member_count;
};

void probe_reset(struct probe *probe); /* a new leadership */
void probe_sent(struct probe *probe, uint64_t node_id);
/* An AppendEntries result of our term. has_advanced: the engine's match index grew. */
void probe_heard(struct probe *probe, uint64_t node_id, uint64_t now_ms, bool has_advanced);
/* Before TIMEOUT as leader: the engine looks who answered lately. */
void probe_timeout(struct probe *probe, const struct raft *raft);
/* Somebody would wait for the next heartbeat without need. */
bool probe_is_due(const struct probe *probe);

#endif
