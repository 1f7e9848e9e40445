#include "replica/probe.h"

#include <stddef.h>

void probe_reset(struct probe *probe)
{
    probe->member_count = 0;
}

/* NULL when there is no room: then nothing is guessed of that member. */
static struct probe_member *probe_member_of(struct probe *probe, uint64_t node_id)
{
    for (unsigned i = 0; i < probe->member_count; i++) {
        if (probe->members[i].node_id == node_id) {
            return &probe->members[i];
        }
    }
    if (probe->member_count == REPLICA_MEMBERS_MAX) {
        return NULL;
    }
    struct probe_member *member = &probe->members[probe->member_count++];
    *member = (struct probe_member){.node_id = node_id, .is_probing = true};
    return member;
}

void probe_sent(struct probe *probe, uint64_t node_id)
{
    struct probe_member *member = probe_member_of(probe, node_id);
    if (member != NULL) {
        member->is_awaited = true;
    }
}

void probe_heard(struct probe *probe, uint64_t node_id, uint64_t now_ms, bool has_advanced)
{
    struct probe_member *member = probe_member_of(probe, node_id);
    if (member != NULL) {
        member->is_heard = true;
        member->heard_ms = now_ms;
        member->is_awaited = false;
        member->is_probing = member->is_probing && !has_advanced;
    }
}

void probe_timeout(struct probe *probe, const struct raft *raft)
{
    for (unsigned i = 0; i < probe->member_count; i++) {
        struct probe_member *member = &probe->members[i];
        if (!member->is_heard || member->heard_ms < raft->election_timer_start) {
            member->is_probing = true;
        }
    }
}

bool probe_is_due(const struct probe *probe)
{
    for (unsigned i = 0; i < probe->member_count; i++) {
        const struct probe_member *member = &probe->members[i];
        if (member->is_heard && member->is_probing && !member->is_awaited) {
            return true;
        }
    }
    return false;
}
