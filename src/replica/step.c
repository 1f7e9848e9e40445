#include "replica/step.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "base/trace.h"
#include "replica/guard.h"
#include "replica/install.h"
#include "replica/propose.h"
#include "replica/recovery.h"

bool step_is_leader(const struct replica *replica)
{
    return replica->phase == REPLICA_PHASE_RUNNING && replica->engine.raft.state == RAFT_LEADER;
}

bool step_is_ready(const struct replica *replica)
{
    return step_is_leader(replica) && replica->term_first_index > 0 &&
           raft_commit_index(&replica->engine.raft) >= replica->term_first_index;
}

void step_freeze(struct replica *replica, int result, const char *what)
{
    if (replica->phase == REPLICA_PHASE_FROZEN) {
        return;
    }
    replica->phase = REPLICA_PHASE_FROZEN;
    replica->failure = result;
    snprintf(replica->failure_text, sizeof(replica->failure_text), "%s: %s", what, hf_error_text());
    outbox_clear(&replica->outbox);
    TRACE(TRACE_ERROR, "replica", "group %" PRIu64 " stops: %s", replica->options.group, replica->failure_text);
}

/* ---- what a step asks for ---- */

/* The entries of the update as the log takes them: a part of those that went in, or the core's own barrier. */
static const struct hf_entry *step_updated_entries(struct replica *replica, const struct step_entries *entries,
                                                   const struct raft_update *update, struct hf_entry *barrier)
{
    if (update->entries.batch == &replica->engine.raft.barrier) {
        assert(update->entries.n == 1);
        *barrier = (struct hf_entry){
            .index = update->entries.index,
            .term = update->entries.batch->term,
            .timestamp_ms = replica->stamp_last_ms,
            .type = HF_ENTRY_NOOP,
        };
        return barrier;
    }
    assert(entries != NULL && update->entries.batch >= entries->raft);
    size_t offset = (size_t)(update->entries.batch - entries->raft);
    assert(offset + update->entries.n <= entries->count);
    assert(entries->entries[offset].index == update->entries.index);
    return &entries->entries[offset];
}

/* What is committed stays. */
static int step_check_truncation(const struct appends_change *change, uint64_t committed)
{
    if (change->entry_count > 0 && change->first_index <= committed) {
        return error_raise(HF_ECORRUPT, "entry %" PRIu64 " is committed here, and of another term elsewhere",
                           change->first_index);
    }
    return 0;
}

/* committed: before the step. */
static int step_write(struct replica *replica, const struct step_entries *entries, const struct raft_update *update,
                      uint64_t committed)
{
    const struct raft *raft = &replica->engine.raft;
    struct appends_change change = {
        .term = raft_current_term(raft),
        .vote = raft_voted_for(raft),
        .commit = raft_commit_index(raft),
    };
    struct hf_entry barrier;
    if ((update->flags & (RAFT_UPDATE_ENTRIES)) != 0) {
        change.entries = step_updated_entries(replica, entries, update, &barrier);
        change.entry_count = update->entries.n;
        change.first_index = update->entries.index;
        replica->stamp_last_ms = change.entries[change.entry_count - 1].timestamp_ms;
    }
    uint64_t truncated = 0;
    int rc = step_check_truncation(&change, committed);
    if (rc == 0) {
        rc = appends_write(&replica->appends, &change, &truncated);
    }
    if (truncated > 0 && truncated <= replica->proposed_last) {
        replica->lost_from = truncated;
        replica->proposed_last = truncated - 1;
    }
    if (change.entry_count > 0) {
        raft_free(update->entries.batch[0].batch); /* ours again */
    }
    return rc;
}

void step_persist(struct replica *replica)
{
    int rc = step_write(replica, NULL, &(struct raft_update){0}, replica->apply.commit_known);
    if (rc != 0) {
        step_freeze(replica, rc, "writing the hard state");
    }
}

static void step_note_leadership(struct replica *replica, const struct raft_update *update, bool was_leader)
{
    if (!step_is_leader(replica)) {
        replica->term_first_index = 0;
        replica->is_noop_wanted = false;
        return;
    }
    if (was_leader) {
        return;
    }
    bool has_barrier = (update->flags & (RAFT_UPDATE_ENTRIES)) != 0;
    replica->term_first_index = has_barrier ? update->entries.index : replica->appends.last_index + 1;
    replica->is_noop_wanted = !has_barrier;
    probe_reset(&replica->probe);
    read_index_reset(&replica->reads);
}

static void step_send(struct replica *replica, const struct raft_message *message, struct step_outcome *outcome)
{
    if (message->server_id == 0) {
        return; /* a result for a leader that guard F forgot */
    }
    uint64_t last_term = 0;
    switch (message->type) {
    case RAFT_APPEND_ENTRIES:
        probe_sent(&replica->probe, message->server_id);
        if (message->append_entries.n_entries > 0) {
            last_term = engine_term(&replica->engine,
                                    message->append_entries.prev_log_index + message->append_entries.n_entries);
        }
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        outcome->is_rejected |= message->append_entries_result.rejected > 0;
        break;
    case RAFT_INSTALL_SNAPSHOT:
        install_wanted(replica, message);
        return;
    case RAFT_TIMEOUT_NOW:
        if (guard_is_early_timeout_now(&replica->engine.raft, message)) {
            return;
        }
        break;
    default:
        break;
    }
    outbox_push(&replica->outbox, message, last_term, replica->appends.sequence_promised);
}

static int step_carry_out(struct replica *replica, const struct step_entries *entries, const struct raft_update *update,
                          bool was_leader, struct step_outcome *outcome)
{
    uint64_t committed = replica->apply.commit_known;
    guard_keep_commit(&replica->engine.raft, &replica->apply.commit_known);
    step_note_leadership(replica, update, was_leader);
    int rc = step_write(replica, entries, update, committed);
    if (rc == 0 && (update->flags & (RAFT_UPDATE_SNAPSHOT)) != 0) {
        rc = install_write(replica, update);
    }
    if (rc != 0) {
        /* The engine counts on what the log did not take. */
        step_freeze(replica, rc, "appending to the log");
        return HF_ECLOSED;
    }
    outcome->written = (update->flags & (RAFT_UPDATE_ENTRIES)) != 0 ? update->entries.n : 0;
    for (unsigned i = 0; (update->flags & (RAFT_UPDATE_MESSAGES)) != 0 && i < update->messages.n; i++) {
        step_send(replica, &update->messages.batch[i], outcome);
    }
    return 0;
}

/* ---- feeding ---- */

static int step_refused(struct replica *replica, const struct raft_event *event, int rv)
{
    const char *text = raft_errmsg(&replica->engine.raft);
    if (event->type == RAFT_SUBMIT || event->type == RAFT_TRANSFER) {
        switch (rv) {
        case RAFT_NOTLEADER:
            return error_raise(HF_ENOTLEADER, "group %" PRIu64 " takes no proposals here: %s", replica->options.group,
                               text);
        case RAFT_NOSPACE:
            return error_raise(HF_ENOSPACE, "a majority of the voters of group %" PRIu64 " is short of disk space",
                               replica->options.group);
        case RAFT_CANTCHANGE:
            return error_raise(HF_EBUSY, "a configuration change of group %" PRIu64 " is under way",
                               replica->options.group);
        case RAFT_NOTFOUND:
        case RAFT_BADID:
            return error_raise(HF_ENOTFOUND, "group %" PRIu64 ": %s", replica->options.group, text);
        default:
            break;
        }
    }
    int rc = rv == RAFT_SHUTDOWN
                 ? error_raise(HF_ECORRUPT, "a leader's log conflicts with what is committed here")
                 : error_raise(HF_ECLOSED, "event %d failed with %d (%s)", (int)event->type, rv, raft_strerror(rv));
    step_freeze(replica, rc, "the engine refused a step");
    return HF_ECLOSED;
}

int step_event(struct replica *replica, struct raft_event *event, const struct step_entries *entries,
               struct step_outcome *outcome)
{
    struct step_outcome ignored;
    outcome = outcome != NULL ? outcome : &ignored;
    *outcome = (struct step_outcome){0};
    if (replica->phase != REPLICA_PHASE_RUNNING) {
        return HF_ECLOSED;
    }
    struct raft *raft = &replica->engine.raft;
    bool was_leader = step_is_leader(replica);
    if (event->type == RAFT_SUBMIT && probe_is_due(&replica->probe)) {
        raft_set_heartbeat_timeout(raft, 0);
    }
    struct raft_update update;
    int rv = engine_step(&replica->engine, event, &update);
    raft_set_heartbeat_timeout(raft, replica->options.heartbeat_timeout_ms);
    if (rv != 0) {
        if (event->type == RAFT_SUBMIT) {
            raft_free(event->submit.entries[0].batch); /* refused entries stay ours */
        }
        return step_refused(replica, event, rv);
    }
    return step_carry_out(replica, entries, &update, was_leader, outcome);
}

int step_start(struct replica *replica)
{
    struct raft_update update;
    struct step_outcome outcome = {0};
    replica->phase = REPLICA_PHASE_RUNNING;
    int rv = engine_start(&replica->engine, &replica->appends.hard_state, &replica->options.snapshot, &replica->history,
                          &update);
    recovery_close_runs(&replica->history);
    if (rv != 0) {
        error_raise(HF_ECORRUPT, "START failed with %d (%s)", rv, raft_strerror(rv));
        step_freeze(replica, HF_ECORRUPT, "starting");
        return HF_ECORRUPT;
    }
    return step_carry_out(replica, NULL, &update, false, &outcome);
}

/* ---- settling ---- */

static enum replica_state step_state(const struct replica *replica)
{
    if (replica->phase == REPLICA_PHASE_FROZEN) {
        return REPLICA_FROZEN;
    }
    switch (replica->engine.raft.state) {
    case RAFT_LEADER:
        return REPLICA_LEADER;
    case RAFT_CANDIDATE:
        return REPLICA_CANDIDATE;
    default:
        return REPLICA_FOLLOWER;
    }
}

struct replica_told step_view(const struct replica *replica)
{
    struct raft *raft = (struct raft *)&replica->engine.raft; /* the core's getters are not const */
    struct replica_told told = {.state = step_state(replica), .term = raft_current_term(raft)};
    if (told.state == REPLICA_LEADER) {
        told.leader = replica->options.node_id;
    } else if (told.state == REPLICA_FOLLOWER && replica->heard_term == told.term) {
        /* The engine keeps the leader of an earlier term until it hears of another. */
        told.leader = raft->follower_state.current_leader.id;
    }
    return told;
}

/* Tells the owner what changed; true when it was called. */
static bool step_tell(struct replica *replica)
{
    bool has_told = false;
    if (replica->phase == REPLICA_PHASE_FROZEN && replica->told.state != REPLICA_FROZEN &&
        replica->proposed_last > replica->apply.cursor) {
        replica->lost_from = replica->apply.cursor + 1;
        replica->proposed_last = replica->apply.cursor;
    }
    if (replica->lost_from != 0) {
        uint64_t from = replica->lost_from;
        replica->lost_from = 0;
        replica->callbacks.lost(replica->arg, from);
        has_told = true;
    }
    struct replica_told told = step_view(replica);
    if (told.state != replica->told.state || told.term != replica->told.term || told.leader != replica->told.leader) {
        bool fails = told.state == REPLICA_FROZEN && replica->told.state != REPLICA_FROZEN;
        replica->told = told;
        replica->callbacks.changed(replica->arg, told.state, told.term, told.leader);
        if (fails) {
            error_restore(replica->failure, replica->failure_text);
            read_index_fail(&replica->reads, HF_ECLOSED);
            replica->callbacks.failed(replica->arg, replica->failure);
        }
        has_told = true;
    }
    return has_told;
}

void step_settle(struct replica *replica)
{
    if (replica->is_settling) {
        return;
    }
    replica->is_settling = true;
    bool again = true;
    while (again) {
        outbox_flush(&replica->outbox, replica->appends.sequence_durable);
        again = propose_noop(replica);
        again |= apply_run(replica);
        again |= step_tell(replica);
        if (replica->phase != REPLICA_PHASE_FROZEN) {
            again |= read_index_settle(replica);
        }
    }
    if (appends_is_blocked(&replica->appends) && replica->retry_ms == 0) {
        replica->retry_ms = engine_now_ms(&replica->engine) + REPLICA_RETRY_MS;
    }
    replica->is_settling = false;
}
