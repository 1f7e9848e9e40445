#include "replica/replica.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "replica/guard.h"
#include "replica/install.h"
#include "replica/propose.h"
#include "replica/receive.h"
#include "replica/recovery.h"
#include "replica/replica_configuration.h"
#include "replica/step.h"

/* ---- ticking ---- */

/* A lone voter's term was raised, and is on its way to the disk. */
static bool replica_is_raising(const struct replica *replica)
{
    return replica->raised_term == raft_current_term(&replica->engine.raft) && !step_is_leader(replica) &&
           replica->appends.sequence_durable < replica->appends.sequence_promised;
}

static int replica_feed_timeout(struct replica *replica)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    return step_event(replica, &event, NULL, NULL);
}

/* The election timeout of a member that may not stand yet. */
static void replica_abstain(struct replica *replica)
{
    struct guard_vote guard;
    guard_abstain_begin(&guard, &replica->engine.raft);
    int rc = replica_feed_timeout(replica);
    guard_vote_end(&guard, &replica->engine.raft);
    if (rc == 0) {
        guard_forget_leader(&replica->engine.raft);
    }
}

/* Guard M. */
static void replica_stand(struct replica *replica)
{
    struct guard_vote guard;
    guard_stand_begin(&guard, &replica->engine.raft);
    (void)replica_feed_timeout(replica);
    guard_vote_end(&guard, &replica->engine.raft);
}

static void replica_time_out(struct replica *replica)
{
    struct raft *raft = &replica->engine.raft;
    if (replica->rejoin.is_open && !rejoin_ends_alone(replica)) {
        replica_abstain(replica);
        return;
    }
    if (raft->state == RAFT_FOLLOWER && !raft->snapshot.installing && guard_is_only_voter(raft)) {
        if (replica->raised_term != raft_current_term(raft)) {
            guard_raise_term(raft);
            replica->raised_term = raft_current_term(raft);
            step_persist(replica);
            return; /* TIMEOUT follows when that is durable */
        }
        if (replica_is_raising(replica)) {
            return;
        }
    }
    if (raft->state != RAFT_LEADER && guard_must_stand(raft)) {
        replica_stand(replica);
        return;
    }
    if (raft->state == RAFT_LEADER) {
        probe_timeout(&replica->probe, raft);
    }
    if (replica_feed_timeout(replica) == 0) {
        guard_forget_leader(raft);
    }
}

static void replica_retry(struct replica *replica)
{
    replica->retry_ms = 0;
    int rc = appends_retry(&replica->appends);
    if (rc != 0) {
        step_freeze(replica, rc, "appending to the log");
    }
}

void replica_tick(struct replica *replica)
{
    uint64_t now_ms = engine_now_ms(&replica->engine);
    if (replica->retry_ms != 0 && now_ms >= replica->retry_ms) {
        replica_retry(replica);
    }
    if (replica->phase == REPLICA_PHASE_READY) {
        step_start(replica);
    } else if (replica->phase == REPLICA_PHASE_RUNNING && now_ms >= raft_timeout(&replica->engine.raft)) {
        replica_time_out(replica);
    }
    if (replica->phase == REPLICA_PHASE_RUNNING) {
        read_index_tick(replica);
    }
    step_settle(replica);
}

static uint64_t replica_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t replica_deadline_ms(const struct replica *replica)
{
    uint64_t deadline_ms = replica->retry_ms != 0 ? replica->retry_ms : UINT64_MAX;
    switch (replica->phase) {
    case REPLICA_PHASE_READY:
        return 0;
    case REPLICA_PHASE_RUNNING:
        deadline_ms = replica_earlier(deadline_ms, read_index_deadline_ms(replica));
        return replica_is_raising(replica) ? deadline_ms
                                           : replica_earlier(deadline_ms, raft_timeout(&replica->engine.raft));
    case REPLICA_PHASE_OPENING:
        return deadline_ms;
    case REPLICA_PHASE_FROZEN:
        break;
    }
    return UINT64_MAX;
}

/* ---- the log's answers ---- */

static void replica_persisted(struct replica *replica, uint64_t last_index)
{
    struct raft *raft = &replica->engine.raft;
    if (raft->snapshot.installing) {
        return; /* rule 3 */
    }
    /* The planted bug of rule 3 may name an index that is no longer there. */
    last_index = replica_earlier(last_index, raft_last_index(raft));
    if (last_index > raft->last_stored) {
        struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES, .persisted_entries = {.index = last_index}};
        step_event(replica, &event, NULL, NULL);
    }
}

static void replica_append_ended(void *arg, int result, uint64_t last_index)
{
    struct replica *replica = arg;
    if (replica->phase == REPLICA_PHASE_FROZEN) {
        return;
    }
    if (result != 0) {
        step_freeze(replica, result, "an append was not made durable");
    } else if (replica->phase == REPLICA_PHASE_OPENING) {
        step_start(replica);
    } else if (replica->phase == REPLICA_PHASE_RUNNING) {
        bool was_raising = replica->raised_term == raft_current_term(&replica->engine.raft) &&
                           replica->engine.raft.state == RAFT_FOLLOWER;
        if (!install_persisted(replica)) {
            replica_persisted(replica, last_index);
        }
        rejoin_run(replica);
        if (was_raising && replica->phase == REPLICA_PHASE_RUNNING && !replica_is_raising(replica) &&
            engine_now_ms(&replica->engine) >= raft_timeout(&replica->engine.raft)) {
            replica_time_out(replica);
        }
    }
    if (replica->phase != REPLICA_PHASE_FROZEN && appends_is_blocked(&replica->appends)) {
        replica_retry(replica);
    }
    step_settle(replica);
}

static void replica_send(void *arg, uint64_t to_node, struct peer_message *message)
{
    struct replica *replica = arg;
    replica->callbacks.send(replica->arg, to_node, message);
}

static void replica_read_failed(void *arg, int result)
{
    struct replica *replica = arg;
    step_freeze(replica, result, "reading the log for a message");
    step_settle(replica);
}

static const struct appends_callbacks replica_appends_callbacks = {.ended = replica_append_ended};
static const struct outbox_callbacks replica_outbox_callbacks = {.send = replica_send, .failed = replica_read_failed};

/* ---- opening ---- */

static int replica_check_state(const struct replica_options *options, const struct hf_log_group_state *state)
{
    if (state->removed) {
        return error_raise(HF_ENOTFOUND, "group %" PRIu64 " was removed from this log", options->group);
    }
    if (state->damaged) {
        return error_raise(HF_ECORRUPT, "the log of group %" PRIu64 " is damaged", options->group);
    }
    /* What this member promised it must still have: it would vote as if it had less. */
    if (state->hard_state.commit > state->last_index) {
        return error_raise(HF_ECORRUPT,
                           "the log of group %" PRIu64 " ends at %" PRIu64 ", but %" PRIu64 " was committed",
                           options->group, state->last_index, state->hard_state.commit);
    }
    if (options->applied_index > state->last_index && !options->may_be_short) {
        return error_raise(HF_ECORRUPT, "the log of group %" PRIu64 " ends at %" PRIu64 ", but %" PRIu64 " was applied",
                           options->group, state->last_index, options->applied_index);
    }
    return 0;
}

static int replica_check_history(const struct replica *replica, const struct replica_options *options)
{
    const struct engine_history *history = &replica->history;
    if (history->run_count > 0 && history->runs[history->run_count - 1].term > replica->appends.hard_state.term) {
        return error_raise(HF_ECORRUPT, "group %" PRIu64 " has entries of term %" PRIu64 ", but reached term %" PRIu64,
                           options->group, history->runs[history->run_count - 1].term,
                           replica->appends.hard_state.term);
    }
    if (history->change_count > 0 && history->first_index == 1 && options->snapshot.index == 0 &&
        options->bootstrap_count > 0 &&
        replica_configuration_distance(options->bootstrap, options->bootstrap_count, history->changes[0].members,
                                       history->changes[0].member_count) != 0) {
        return error_raise(HF_EMISMATCH,
                           "entry 1 of group %" PRIu64 " names other members than this cluster's "
                           "description",
                           options->group);
    }
    return 0;
}

/* In the newest configuration of log and snapshot. */
static bool replica_is_only_voter(const struct replica *replica, const struct replica_options *options)
{
    const struct replica_member *members = options->snapshot.members;
    unsigned count = options->snapshot.index > 0 ? options->snapshot.member_count : 0;
    if (replica->history.change_count > 0) {
        const struct engine_change *latest = &replica->history.changes[replica->history.change_count - 1];
        members = latest->members;
        count = latest->member_count;
    }
    return guard_is_only_voter_of(members, count, options->node_id);
}

/* Whether entries of the snapshot are among what the log lost: it ends before, or it is back at entries that others had
 * replaced by then. */
static bool replica_lacks_snapshot(const struct replica_options *options, const struct hf_log_group_state *state)
{
    const struct replica_snapshot *snapshot = &options->snapshot;
    uint64_t term = snapshot->term;
    if (!options->may_be_short || snapshot->index == 0) {
        return false;
    }
    return snapshot->index > state->last_index ||
           (hf_log_term(options->log, options->group, snapshot->index, &term) == 0 && term != snapshot->term);
}

/* The snapshot holds what the log lost: the log restarts behind it, as after an installation. */
static int replica_restart_behind_snapshot(struct replica *replica, const struct replica_snapshot *snapshot,
                                           struct hf_log_group_state *state)
{
    struct hf_hard_state hard_state = state->hard_state;
    uint64_t sequence;
    TRACE(TRACE_WARN, "replica",
          "group %" PRIu64 ": the log, which ends at %" PRIu64 ", lost entries of the snapshot at %" PRIu64
          ": it restarts behind that",
          replica->options.group, state->last_index, snapshot->index);
    hard_state.commit = snapshot->index;
    int rc =
        appends_reset(&replica->appends, snapshot->index, snapshot->term, (struct hf_bytes){0}, &hard_state, &sequence);
    if (rc == 0 && appends_is_blocked(&replica->appends)) {
        rc = error_raise(HF_ENOSPACE, "no room to restart the log of group %" PRIu64, replica->options.group);
    }
    return rc == 0 ? hf_log_group_state(replica->options.log, replica->options.group, state) : rc;
}

/* Who is the only voter has nobody to ask. When only the configuration that is left says so, that may be what was lost.
 */
static int replica_check_alone(struct replica *replica, const struct replica_options *options)
{
    bool is_new = replica->history.last_index == 0 && options->snapshot.index == 0;
    bool is_only = is_new ? guard_is_only_voter_of(options->bootstrap, options->bootstrap_count, options->node_id)
                          : replica_is_only_voter(replica, options);
    if (!options->must_rejoin || !is_only) {
        return 0;
    }
    if (options->is_alone) {
        replica->rejoin.is_open = false;
        return 0;
    }
    return error_raise(HF_EUNSAFE,
                       "its configuration, as far as it is left, names no other voter, but the cluster has others. "
                       "next: holdfast serve --accept-lost-writes when no other node leads group %" PRIu64
                       "; otherwise holdfast member remove, and join anew",
                       options->group);
}

/* What START needs to find on disk: entry 1, and a lone voter's next term (guard B). */
static int replica_prepare(struct replica *replica, const struct replica_options *options)
{
    struct hf_hard_state state = replica->appends.hard_state;
    struct appends_change change = {.term = state.term, .vote = state.vote, .commit = state.commit};
    struct buffer payload = {0};
    struct hf_entry entry;
    int rc = 0;
    if (replica->history.last_index == 0 && state.term == 0 && options->bootstrap_count > 0) {
        replica_configuration_encode(options->bootstrap, options->bootstrap_count, &payload);
        entry = (struct hf_entry){.index = 1,
                                  .term = 1,
                                  .timestamp_ms = options->bootstrap_stamp_ms,
                                  .type = HF_ENTRY_CONFIGURATION,
                                  .payload = buffer_bytes(&payload)};
        rc = recovery_add(&replica->history, &entry);
        change = (struct appends_change){.first_index = 1, .entries = &entry, .entry_count = 1, .term = 1, .commit = 1};
        replica->stamp_last_ms = entry.timestamp_ms;
    }
    if (replica_is_only_voter(replica, options)) {
        change.term++;
        change.vote = options->node_id;
    }
    uint64_t truncated;
    if (rc == 0) {
        rc = appends_write(&replica->appends, &change, &truncated);
    }
    replica->phase = replica->appends.sequence_last > 0 ? REPLICA_PHASE_OPENING : REPLICA_PHASE_READY;
    if (appends_is_blocked(&replica->appends)) {
        replica->retry_ms = engine_now_ms(&replica->engine) + REPLICA_RETRY_MS;
    }
    buffer_close(&payload);
    return rc;
}

static void replica_set_options(struct replica *replica, const struct replica_options *options)
{
    replica->options = *options;
    replica->options.bootstrap = NULL;
    replica->options.bootstrap_count = 0;
    if (options->election_timeout_ms == 0) {
        replica->options.election_timeout_ms = REPLICA_ELECTION_TIMEOUT_MS_DEFAULT;
    }
    if (options->heartbeat_timeout_ms == 0) {
        replica->options.heartbeat_timeout_ms = REPLICA_HEARTBEAT_TIMEOUT_MS_DEFAULT;
    }
}

int replica_open(const struct replica_options *options, const struct replica_callbacks *callbacks, void *arg,
                 struct replica **out)
{
    struct hf_log_group_state state;
    int rc =
        options->bootstrap_count > 0 ? replica_configuration_check(options->bootstrap, options->bootstrap_count) : 0;
    if (rc == 0) {
        rc = hf_log_group_open(options->log, options->group, options->group_incarnation);
    }
    if (rc == 0) {
        rc = hf_log_group_state(options->log, options->group, &state);
    }
    if (rc == 0) {
        rc = replica_check_state(options, &state);
    }
    if (rc != 0) {
        return rc;
    }
    struct replica *replica = memory_new(sizeof(*replica));
    replica_set_options(replica, options);
    replica->callbacks = *callbacks;
    replica->arg = arg;
    engine_open(&replica->engine, &replica->options);
    appends_open(&replica->appends, options->log, options->group, &state, &replica_appends_callbacks, replica);
    outbox_open(&replica->outbox, options->log, options->group, options->group_incarnation, &replica_outbox_callbacks,
                replica);
    apply_open(&replica->apply, options->snapshot.index, options->applied_index, state.hard_state.commit);
    read_index_open(&replica->reads);
    replica->rejoin.is_open = options->must_rejoin;
    replica->stamp_last_ms = options->snapshot.stamp_ms;
    if (replica_lacks_snapshot(options, &state)) {
        rc = replica_restart_behind_snapshot(replica, &options->snapshot, &state);
    }
    if (rc == 0) {
        rc = recovery_check(options->log, options->group, &state, &options->snapshot);
    }
    if (rc == 0) {
        rc = recovery_read(options->log, options->group, &state, options->snapshot.index, &replica->history,
                           &replica->stamp_last_ms);
    }
    if (rc == 0) {
        rc = replica_check_history(replica, options);
    }
    if (rc == 0) {
        rc = replica_check_alone(replica, options);
    }
    if (rc == 0) {
        rc = replica_prepare(replica, options);
    }
    if (rc != 0) {
        goto done;
    }
    *out = replica;
    replica = NULL; /* the caller owns it now */
done:
    replica_close(replica);
    return rc;
}

void replica_close(struct replica *replica)
{
    if (replica == NULL) {
        return;
    }
    assert(!replica->is_settling); /* not from within a callback */
    outbox_close(&replica->outbox);
    appends_close(&replica->appends);
    read_index_close(&replica->reads);
    engine_close(&replica->engine);
    recovery_close(&replica->history);
    free(replica);
}

/* ---- the rest of the door ---- */

int replica_receive(struct replica *replica, uint64_t from_node, enum frame_kind kind, struct hf_bytes payload)
{
    int rc;
    switch (kind) {
    case FRAME_RAFT:
        rc = receive_raft(replica, from_node, payload);
        break;
    case FRAME_READ_PING:
        rc = read_index_receive_ping(replica, from_node, payload);
        break;
    case FRAME_READ_PONG:
        rc = read_index_receive_pong(replica, from_node, payload);
        break;
    case FRAME_REJOIN:
        rc = rejoin_receive(replica, from_node, payload);
        break;
    default:
        rc = error_raise(HF_EPROTOCOL, "frame of kind %d for group %" PRIu64, (int)kind, replica->options.group);
    }
    step_settle(replica);
    return rc;
}

void replica_peer_changed(struct replica *replica, uint64_t node_id, bool is_up)
{
    outbox_peer_changed(&replica->outbox, node_id, is_up);
    struct raft *raft = &replica->engine.raft;
    if (!is_up && replica->phase == REPLICA_PHASE_RUNNING && raft->state == RAFT_FOLLOWER &&
        raft->follower_state.current_leader.id == node_id) {
        /* A leader that was killed ends its connections. Who times out first then gets our pre-vote at once, instead of
         * waiting until we time out too; a leader that lives is heard of again with its next heartbeat. */
        guard_forget_leader(raft);
    }
    step_settle(replica);
}

int replica_submit(struct replica *replica, const struct hf_bytes *payloads, unsigned count, uint64_t stamp_ms,
                   uint64_t *index, uint64_t *term)
{
    int rc = propose_entries(replica, payloads, count, stamp_ms, index, term);
    step_settle(replica);
    return rc;
}

int replica_submit_configuration(struct replica *replica, const struct replica_member *members, unsigned count)
{
    int rc = propose_configuration(replica, members, count, 2);
    step_settle(replica);
    return rc;
}

int replica_submit_lone_configuration(struct replica *replica, const struct replica_member *members, unsigned count)
{
    int rc = propose_configuration(replica, members, count, 1);
    step_settle(replica);
    return rc;
}

int replica_transfer(struct replica *replica, uint64_t to_node)
{
    int rc = propose_transfer(replica, to_node);
    step_settle(replica);
    return rc;
}

int replica_read(struct replica *replica, replica_read_done *done, void *arg)
{
    if (!step_is_leader(replica)) {
        return error_raise(HF_ENOTLEADER, "node %" PRIu64 " does not lead group %" PRIu64, replica->options.node_id,
                           replica->options.group);
    }
    return read_index_add(&replica->reads, done, arg);
}

void replica_flush_reads(struct replica *replica)
{
    if (step_is_leader(replica)) {
        read_index_flush(replica);
    }
    step_settle(replica);
}

/* ---- snapshots ---- */

/* A snapshot at `least` or behind it would be something new. */
static int replica_point_from(const struct replica *replica, uint64_t least, struct replica_snapshot *out)
{
    const struct raft *raft = &replica->engine.raft;
    uint64_t index = replica->apply.cursor;
    if (replica->phase != REPLICA_PHASE_RUNNING) {
        return error_raise(HF_ECLOSED, "group %" PRIu64 " does not run", replica->options.group);
    }
    if (raft->snapshot.installing || index < raft->configuration_committed_index) {
        return error_raise(HF_EBUSY, "group %" PRIu64 " takes a snapshot in, or has applied up to %" PRIu64 " only",
                           replica->options.group, index);
    }
    if (index < least || engine_term(&replica->engine, index) == 0) {
        return error_raise(HF_ECONFLICT, "group %" PRIu64 " has a snapshot at %llu, and applied up to %" PRIu64,
                           replica->options.group, raft->trail.snapshot.index, index);
    }
    *out = (struct replica_snapshot){.index = index,
                                     .term = engine_term(&replica->engine, index),
                                     .configuration_index = raft->configuration_committed_index};
    out->member_count = replica_configuration_from_raft(&raft->configuration_committed, out->members);
    return 0;
}

int replica_snapshot_point(const struct replica *replica, struct replica_snapshot *out)
{
    return replica_point_from(replica, replica->engine.raft.trail.snapshot.index + 1, out);
}

int replica_snapshot_point_again(const struct replica *replica, struct replica_snapshot *out)
{
    return replica_point_from(replica, replica->engine.raft.trail.snapshot.index, out);
}

bool replica_snapshot_is_durable(const struct replica *replica, const struct replica_snapshot *snapshot)
{
    return MUTATED(SNAPSHOT_BEYOND_DURABLE) ||
           (snapshot->index <= replica->appends.durable_index && snapshot->index <= replica->engine.raft.last_stored);
}

int replica_snapshot_taken(struct replica *replica, const struct replica_snapshot *snapshot, uint64_t trailing)
{
    const struct raft *raft = &replica->engine.raft;
    if (replica->phase != REPLICA_PHASE_RUNNING) {
        return error_raise(HF_ECLOSED, "group %" PRIu64 " does not run", replica->options.group);
    }
    if (!raft->snapshot.installing && !replica_snapshot_is_durable(replica, snapshot)) {
        return error_raise(HF_EBUSY, "group %" PRIu64 ": only %" PRIu64 " of %" PRIu64 " is durable",
                           replica->options.group, replica->appends.durable_index, snapshot->index);
    }
    if (raft->snapshot.installing || snapshot->index <= raft->trail.snapshot.index ||
        engine_term(&replica->engine, snapshot->index) != snapshot->term) {
        return error_raise(HF_ECONFLICT, "group %" PRIu64 " has a snapshot at %llu, newer than the one at %" PRIu64,
                           replica->options.group, raft->trail.snapshot.index, snapshot->index);
    }
    struct raft_event event = {.type = RAFT_SNAPSHOT,
                               .snapshot = {.trailing = trailing < UINT32_MAX ? (unsigned)trailing : UINT32_MAX}};
    engine_metadata(snapshot, &event.snapshot.metadata); /* the core consumes it */
    int rc = step_event(replica, &event, NULL, NULL);
    step_settle(replica);
    return rc;
}

int replica_compact(struct replica *replica, uint64_t index)
{
    const struct raft *raft = &replica->engine.raft;
    struct hf_log_group_state state;
    if (replica->phase != REPLICA_PHASE_RUNNING || raft->snapshot.installing) {
        return 0;
    }
    int rc = hf_log_group_state(replica->options.log, replica->options.group, &state);
    /* Rule 15: what the engine still remembers it may want to send. */
    index = index < raft->trail.offset ? index : raft->trail.offset;
    if (rc == 0 && index >= state.first_index) {
        rc = appends_compact(&replica->appends, index);
    }
    step_settle(replica);
    return rc;
}

int replica_snapshot_send(struct replica *replica, uint64_t to_node, const struct replica_snapshot *snapshot,
                          struct hf_bytes manifest)
{
    int rc = install_send(replica, to_node, snapshot, manifest);
    step_settle(replica);
    return rc;
}

int replica_snapshot_install(struct replica *replica, uint64_t term, const struct replica_snapshot *snapshot,
                             struct hf_bytes name)
{
    int rc = install_begin(replica, term, snapshot, name);
    step_settle(replica);
    return rc;
}

int replica_decode_offer(struct hf_bytes payload, uint64_t *term, struct replica_snapshot *snapshot,
                         struct hf_bytes *manifest)
{
    return install_decode_offer(payload, term, snapshot, manifest);
}

void replica_status(const struct replica *replica, struct replica_status *out)
{
    const struct raft *raft = &replica->engine.raft;
    struct replica_told told = step_view(replica);
    struct hf_log_group_state state;
    bool is_readable = hf_log_group_state(replica->options.log, replica->options.group, &state) == 0;
    /* START waits for the disk: until then the engine does not know what it will start from. */
    bool is_before_start = replica->phase == REPLICA_PHASE_OPENING || replica->phase == REPLICA_PHASE_READY;
    *out = (struct replica_status){
        .state = told.state,
        .term = told.term,
        .vote = raft_voted_for(raft),
        .leader = told.leader,
        .commit_index = raft_commit_index(raft),
        .applied_index = replica->apply.cursor,
        .last_index = replica->appends.last_index,
        .durable_index = replica->appends.durable_index,
        .first_index = is_readable ? state.first_index : 0,
        .snapshot_index = is_before_start ? replica->options.snapshot.index : raft->trail.snapshot.index,
        .is_changing = raft->configuration_uncommitted_index != 0,
        .transferring = step_is_leader(replica) && raft_transferee(raft) != 0,
        .is_rejoining = replica->rejoin.is_open,
        .is_ready = step_is_ready(replica),
    };
    out->member_count = replica_configuration_from_raft(&raft->configuration, out->members);
}

bool replica_is_rejoining(const struct replica *replica)
{
    return replica->rejoin.is_open;
}

void replica_set_alone(struct replica *replica, bool is_alone)
{
    replica->options.is_alone = is_alone;
}

int replica_match_index(const struct replica *replica, uint64_t node_id, uint64_t *out)
{
    if (!step_is_leader(replica)) {
        return error_raise(HF_ENOTLEADER, "node %" PRIu64 " does not lead group %" PRIu64, replica->options.node_id,
                           replica->options.group);
    }
    raft_index index;
    if (raft_match_index(&replica->engine.raft, node_id, &index) != 0) {
        return error_raise(HF_ENOTFOUND, "node %" PRIu64 " is no member of group %" PRIu64, node_id,
                           replica->options.group);
    }
    *out = index;
    return 0;
}

unsigned replica_voters_at(const struct replica *replica, uint64_t index)
{
    const struct raft *raft = &replica->engine.raft;
    unsigned voters = 0;
    for (unsigned i = 0; step_is_leader(replica) && i < raft->configuration.n; i++) {
        raft_index match;
        if (raft->configuration.servers[i].role == RAFT_VOTER &&
            raft_match_index(raft, raft->configuration.servers[i].id, &match) == 0 && match >= index) {
            voters++;
        }
    }
    return voters;
}
