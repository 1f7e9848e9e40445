#include "replica/guard.h"

#include <assert.h>

#include "base/mutation.h"
#include "replica/replica_configuration.h"

#define GUARD_RESULT_VERSION  2 /* of the results that 0.22 sends */
#define GUARD_RESULT_FEATURES 1 /* capacity is meant */

_Static_assert(RAFT_VERSION_MAJOR == 0 && RAFT_VERSION_MINOR == 22,
               "the guards write fields of struct raft as 0.22 has them: read docs/decisions/0002 before raising this");

/* ---- A ---- */

unsigned guard_receive_count(const struct hf_entry *entries, unsigned count)
{
    if (MUTATED(GUARD_A)) {
        return count;
    }
    unsigned n = count == 0 ? 0 : 1;
    while (n < count && entries[n].type != HF_ENTRY_CONFIGURATION) {
        n++;
    }
    return n;
}

/* ---- B ---- */

bool guard_is_only_voter_of(const struct replica_member *members, unsigned count, uint64_t node_id)
{
    const struct replica_member *self = replica_configuration_find(members, count, node_id);
    return !MUTATED(GUARD_B) && self != NULL && self->role == REPLICA_ROLE_VOTER &&
           replica_configuration_voters(members, count) == 1;
}

bool guard_is_only_voter(const struct raft *raft)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    unsigned count = replica_configuration_from_raft(&raft->configuration, members);
    return guard_is_only_voter_of(members, count, raft->id);
}

void guard_raise_term(struct raft *raft)
{
    assert(raft->state == RAFT_FOLLOWER);
    raft->current_term++;
    raft->voted_for = raft->id;
    /* What the core does itself when it meets a higher term: nothing is known of this term's leader. */
    raft->follower_state.match = 0;
    raft->follower_state.current_leader.id = 0;
}

/* ---- C ---- */

static unsigned guard_position(const struct raft *raft, raft_id id)
{
    unsigned i = 0;
    while (i < raft->configuration.n && raft->configuration.servers[i].id != id) {
        i++;
    }
    return i;
}

void guard_vote_begin(struct guard_vote *guard, struct raft *raft)
{
    *guard = (struct guard_vote){.position = guard_position(raft, raft->id)};
    if (MUTATED(GUARD_C)) {
        return;
    }
    if (guard->position < raft->configuration.n) {
        guard->role = raft->configuration.servers[guard->position].role;
        raft->configuration.servers[guard->position].role = RAFT_VOTER;
        guard->is_changed = true;
    } else if (raft->state == RAFT_FOLLOWER) {
        /* Our configuration does not name us at all: for this message one that names nobody else takes its place. */
        guard->self = (struct raft_server){.id = raft->id, .address = raft->address, .role = RAFT_VOTER};
        guard->configuration = raft->configuration;
        raft->configuration = (struct raft_configuration){.servers = &guard->self, .n = 1};
        guard->is_replaced = true;
    }
}

void guard_abstain_begin(struct guard_vote *guard, struct raft *raft)
{
    *guard = (struct guard_vote){.position = guard_position(raft, raft->id)};
    if (guard->position < raft->configuration.n) {
        guard->role = raft->configuration.servers[guard->position].role;
        guard->is_changed = true;
        raft->configuration.servers[guard->position].role = RAFT_STANDBY;
    }
}

void guard_vote_end(struct guard_vote *guard, struct raft *raft)
{
    if (guard->is_changed) {
        raft->configuration.servers[guard->position].role = guard->role;
    }
    if (guard->is_replaced) {
        raft->configuration = guard->configuration;
    }
}

/* ---- D ---- */

unsigned guard_reanchor(const struct raft *raft, struct raft_append_entries *request, unsigned count)
{
    raft_index anchor = raft->trail.snapshot.index;
    bool is_below =
        raft->trail.offset > 0 && request->prev_log_index <= raft->trail.offset && request->prev_log_index < anchor;
    if (MUTATED(GUARD_D) || !is_below || raft->snapshot.installing || request->term < raft->current_term) {
        return 0;
    }
    raft_index covered = anchor - request->prev_log_index;
    request->prev_log_index = anchor;
    request->prev_log_term = raft->trail.snapshot.term;
    return covered < count ? (unsigned)covered : count;
}

/* ---- E ---- */

bool guard_is_stale_reject(const struct raft *raft, uint64_t from, const struct raft_append_entries_result *result)
{
    raft_index match;
    return !MUTATED(GUARD_E) && result->rejected != 0 && result->term == raft->current_term &&
           raft_match_index(raft, from, &match) == 0 && result->rejected <= match;
}

/* ---- F ---- */

void guard_forget_leader(struct raft *raft)
{
    if (!MUTATED(GUARD_F) && raft->state == RAFT_FOLLOWER) {
        raft->follower_state.current_leader.id = 0;
    }
}

/* ---- G ---- */

uint64_t guard_superseded_change(const struct raft *raft, const struct raft_append_entries *request,
                                 enum hf_entry_type first_type, uint64_t local_prev_term)
{
    raft_index pending = raft->configuration_uncommitted_index;
    if (MUTATED(GUARD_G) || first_type != HF_ENTRY_CONFIGURATION || pending == 0 || pending > request->prev_log_index) {
        return 0;
    }
    if (raft->snapshot.installing || raft->state == RAFT_LEADER || request->term < raft->current_term ||
        local_prev_term != request->prev_log_term) {
        return 0;
    }
    return pending;
}

/* ---- H ---- */

bool guard_answer_stale_append(const struct raft *raft, const struct raft_append_entries *request,
                               struct raft_append_entries_result *result)
{
    if (MUTATED(GUARD_H) || request->term >= raft->current_term) {
        return false;
    }
    *result = (struct raft_append_entries_result){
        .version = GUARD_RESULT_VERSION,
        .term = raft->current_term,
        /* 0 would mean success. */
        .rejected = request->prev_log_index != 0 ? request->prev_log_index : 1,
        .last_log_index = 0,
        .features = GUARD_RESULT_FEATURES,
        .capacity = raft->capacity,
    };
    return true;
}

struct raft_append_entries_result guard_success(const struct raft *raft, uint64_t index)
{
    return (struct raft_append_entries_result){
        .version = GUARD_RESULT_VERSION,
        .term = raft->current_term,
        .last_log_index = index,
        .features = GUARD_RESULT_FEATURES,
        .capacity = raft->capacity,
    };
}

/* ---- I ---- */

bool guard_is_pointless_vote(const struct raft *raft, const struct raft_request_vote_result *result)
{
    if (MUTATED(GUARD_I)) {
        return false;
    }
    if (raft->state != RAFT_CANDIDATE) {
        return true;
    }
    /* Nobody grants a pre-vote beyond the term that was asked for; the core only asserts it. */
    return raft->candidate_state.in_pre_vote && result->pre_vote && result->vote_granted &&
           result->term > raft->current_term + 1;
}

/* ---- J ---- */

bool guard_is_early_timeout_now(struct raft *raft, const struct raft_message *message)
{
    raft_index match;
    if (MUTATED(GUARD_J) || message->type != RAFT_TIMEOUT_NOW || raft->state != RAFT_LEADER ||
        raft_match_index(raft, message->server_id, &match) != 0 || match >= message->timeout_now.last_log_index) {
        return false;
    }
    raft->leader_state.transferring = false;
    return true;
}

/* ---- K ---- */

bool guard_answer_old_pre_vote(const struct raft *raft, const struct raft_request_vote *request,
                               struct raft_request_vote_result *result)
{
    if (MUTATED(GUARD_K) || !request->pre_vote || request->term >= raft->current_term) {
        return false;
    }
    *result = (struct raft_request_vote_result){
        .version = GUARD_RESULT_VERSION,
        .term = raft->current_term,
        .pre_vote = true,
        .features = GUARD_RESULT_FEATURES,
        .capacity = raft->capacity,
    };
    return true;
}

/* ---- M ---- */

static int guard_role(const struct raft_configuration *configuration, raft_id id)
{
    unsigned i = 0;
    while (i < configuration->n && configuration->servers[i].id != id) {
        i++;
    }
    return i < configuration->n ? configuration->servers[i].role : RAFT_SPARE;
}

bool guard_must_stand(const struct raft *raft)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        voters += raft->configuration.servers[i].role == RAFT_VOTER;
    }
    return !MUTATED(GUARD_M) && voters == 1 && raft->configuration_uncommitted_index != 0 &&
           guard_role(&raft->configuration, raft->id) == RAFT_STANDBY &&
           guard_role(&raft->configuration_committed, raft->id) == RAFT_VOTER;
}

void guard_stand_begin(struct guard_vote *guard, struct raft *raft)
{
    *guard = (struct guard_vote){.role = RAFT_STANDBY, .position = guard_position(raft, raft->id), .is_changed = true};
    assert(guard->position < raft->configuration.n);
    raft->configuration.servers[guard->position].role = RAFT_VOTER;
}

/* ---- L ---- */

void guard_keep_commit(struct raft *raft, uint64_t *known)
{
    if (raft->commit_index < *known && !MUTATED(GUARD_L)) {
        raft->commit_index = *known;
    }
    *known = raft->commit_index;
}
