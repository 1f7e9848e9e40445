#include "replica/install.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "replica/guard.h"
#include "replica/replica_configuration.h"
#include "replica/step.h"

/* ---- out ---- */

/* Whether the log has all entries behind what is known to match; then its term goes to *match_term. */
static bool install_log_reaches(const struct replica *replica, uint64_t match, uint64_t *match_term)
{
    struct hf_log_group_state state;
    *match_term = 0;
    return hf_log_group_state(replica->options.log, replica->options.group, &state) == 0 &&
           state.first_index <= match + 1 &&
           (match == 0 || hf_log_term(replica->options.log, replica->options.group, match, match_term) == 0);
}

void install_wanted(struct replica *replica, const struct raft_message *message)
{
    const struct raft *raft = &replica->engine.raft;
    raft_index match = 0;
    uint64_t match_term;
    uint64_t last_index = message->install_snapshot.last_index;
    if (raft_match_index(raft, message->server_id, &match) != 0 || match >= last_index) {
        return;
    }
    if (!install_log_reaches(replica, match, &match_term)) {
        if (replica->callbacks.snapshot_wanted != NULL) {
            replica->callbacks.snapshot_wanted(replica->arg, message->server_id);
        }
        return;
    }
    TRACE(TRACE_INFO, "replica", "group %" PRIu64 ": node %llu gets entries %llu to %" PRIu64 " instead of a snapshot",
          replica->options.group, message->server_id, match + 1, last_index);
    struct raft_message append = {
        .type = RAFT_APPEND_ENTRIES,
        .server_id = message->server_id,
        .append_entries = {.term = raft_current_term(raft),
                           .prev_log_index = match,
                           .prev_log_term = match_term,
                           .leader_commit = raft_commit_index(raft),
                           .n_entries = (unsigned)(last_index - match)},
    };
    outbox_push(&replica->outbox, &append, message->install_snapshot.last_term, replica->appends.sequence_promised);
}

int install_send(struct replica *replica, uint64_t to_node, const struct replica_snapshot *snapshot,
                 struct hf_bytes manifest)
{
    struct raft *raft = &replica->engine.raft;
    if (!step_is_leader(replica)) {
        return error_raise(HF_ENOTLEADER, "node %" PRIu64 " does not lead group %" PRIu64, replica->options.node_id,
                           replica->options.group);
    }
    struct raft_install_snapshot message = {.version = 0,
                                            .term = raft_current_term(raft),
                                            .last_index = snapshot->index,
                                            .last_term = snapshot->term,
                                            .conf_index = snapshot->configuration_index};
    struct buffer configuration = {0};
    struct buffer bytes = {0};
    replica_configuration_encode(snapshot->members, snapshot->member_count, &configuration);
    codec_encode_install_snapshot(&message, buffer_bytes(&configuration), manifest, &bytes);
    outbox_push_snapshot(&replica->outbox, to_node, &bytes, replica->appends.sequence_promised);
    buffer_close(&configuration);
    return 0;
}

/* ---- in ---- */

static int install_decode_snapshot(const struct codec_message *message, struct replica_snapshot *out)
{
    const struct raft_install_snapshot *request = &message->raft.install_snapshot;
    *out = (struct replica_snapshot){
        .index = request->last_index, .term = request->last_term, .configuration_index = request->conf_index};
    return replica_configuration_decode(message->configuration, out->members, &out->member_count);
}

int install_decode_offer(struct hf_bytes payload, uint64_t *term, struct replica_snapshot *snapshot,
                         struct hf_bytes *manifest)
{
    struct codec_message message;
    int rc = codec_decode(payload, &message);
    if (rc != 0) {
        return rc;
    }
    if (message.raft.type == RAFT_INSTALL_SNAPSHOT) {
        *term = message.raft.install_snapshot.term;
        *manifest = message.manifest;
        rc = install_decode_snapshot(&message, snapshot);
    } else {
        rc = HF_ENOTFOUND;
    }
    codec_message_close(&message);
    return rc;
}

/* The leader does not know that this is here: the answer to an installation got lost, or it leads since then. Without a
 * word it would offer the same for as long as it believes that somebody fetches it. */
static void install_answer_covered(struct replica *replica, uint64_t from_node, uint64_t index)
{
    struct raft_message answer = {.type = RAFT_APPEND_ENTRIES_RESULT, .server_id = from_node};
    if (index > replica->appends.durable_index) {
        return; /* not yet */
    }
    answer.append_entries_result = guard_success(&replica->engine.raft, index);
    outbox_push(&replica->outbox, &answer, 0, replica->appends.sequence_promised);
}

int install_offered(struct replica *replica, uint64_t from_node, const struct codec_message *message)
{
    const struct raft_install_snapshot *request = &message->raft.install_snapshot;
    struct raft *raft = &replica->engine.raft;
    if (request->term < raft->current_term) {
        /* The core would answer with success. */
        struct raft_message answer = {.type = RAFT_APPEND_ENTRIES_RESULT, .server_id = from_node};
        const struct raft_append_entries stale = {.term = request->term, .prev_log_index = request->last_index};
        (void)guard_answer_stale_append(raft, &stale, &answer.append_entries_result);
        outbox_push(&replica->outbox, &answer, 0, replica->appends.sequence_promised);
        return 0;
    }
    /* A newer term comes with its leader's heartbeats; the offer is repeated. */
    if (request->term > raft->current_term || raft->state == RAFT_LEADER || raft->snapshot.installing ||
        replica->callbacks.snapshot_offered == NULL) {
        return 0;
    }
    if (request->last_index <= replica->apply.cursor) {
        install_answer_covered(replica, from_node, request->last_index);
        return 0;
    }
    struct replica_snapshot snapshot;
    int rc = install_decode_snapshot(message, &snapshot);
    if (rc == 0) {
        replica->callbacks.snapshot_offered(replica->arg, from_node, request->term, &snapshot, message->manifest);
    }
    return rc;
}

/* 0 when it may be fed now. */
static int install_check(const struct replica *replica, uint64_t term, const struct replica_snapshot *snapshot)
{
    const struct raft *raft = &replica->engine.raft;
    if (replica->phase != REPLICA_PHASE_RUNNING) {
        return HF_ECLOSED;
    }
    if (raft->snapshot.installing) {
        return HF_EBUSY;
    }
    if (snapshot->index <= replica->apply.cursor || snapshot->index <= raft->trail.snapshot.index) {
        return HF_EEXISTS;
    }
    bool is_led = raft->state == RAFT_FOLLOWER && raft->follower_state.current_leader.id != 0 &&
                  replica->heard_term == raft->current_term;
    bool is_old = raft->current_term < term && !MUTATED(SNAPSHOT_OF_AN_OLDER_LEADER);
    if (!is_led || is_old || appends_is_blocked(&replica->appends)) {
        return HF_EBUSY;
    }
    return 0;
}

int install_begin(struct replica *replica, uint64_t term, const struct replica_snapshot *snapshot, struct hf_bytes name)
{
    struct raft *raft = &replica->engine.raft;
    int rc = install_check(replica, term, snapshot);
    if (rc != 0) {
        return rc;
    }
    if (name.size > HF_LOG_SNAPSHOT_NAME_SIZE_MAX) {
        return error_raise(HF_EINVALID, "a snapshot's name of %zu bytes", name.size);
    }
    char address[REPLICA_ADDRESS_SIZE];
    uint64_t leader = raft->follower_state.current_leader.id;
    replica_configuration_address(leader, address);
    struct raft_message message = {
        .type = RAFT_INSTALL_SNAPSHOT,
        .server_id = leader,
        .server_address = address,
        .install_snapshot = {.term = raft->current_term,
                             .last_index = snapshot->index,
                             .last_term = snapshot->term,
                             .conf_index = snapshot->configuration_index},
    };
    replica_configuration_to_raft(snapshot->members, snapshot->member_count, &message.install_snapshot.conf);
    replica->install = (struct replica_install){.snapshot = *snapshot, .name_size = (unsigned)name.size};
    memcpy(replica->install.name, name.data, name.size);
    struct raft_event event = {.type = RAFT_RECEIVE, .receive = {.message = &message}};
    rc = step_event(replica, &event, NULL, NULL);
    if (rc == 0 && replica->install.sequence == 0) {
        rc = HF_EEXISTS; /* the engine found that it has all of it */
    }
    return rc;
}

int install_write(struct replica *replica, const struct raft_update *update)
{
    struct replica_install *install = &replica->install;
    struct raft_configuration configuration = update->snapshot.metadata.configuration;
    raft_configuration_close(&configuration); /* ours again */
    raft_free(update->snapshot.chunk.base);
    struct hf_hard_state hard_state = replica->appends.hard_state;
    hard_state.commit = install->snapshot.index; /* the reset precedes it in the stream, so this is no promise ahead */
    TRACE(TRACE_INFO, "replica", "group %" PRIu64 ": the log restarts behind the snapshot at %" PRIu64,
          replica->options.group, install->snapshot.index);
    int rc = appends_reset(&replica->appends, install->snapshot.index, install->snapshot.term,
                           (struct hf_bytes){install->name, install->name_size}, &hard_state, &install->sequence);
    if (rc == 0 && MUTATED(SNAPSHOT_IMPORTED_BEFORE_RESET)) {
        rc = replica->callbacks.snapshot_install(replica->arg);
    }
    return rc;
}

static void install_report(struct replica *replica)
{
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT, .persisted_snapshot = {.last = true}};
    engine_metadata(&replica->install.snapshot, &event.persisted_snapshot.metadata);
    step_event(replica, &event, NULL, NULL);
}

bool install_persisted(struct replica *replica)
{
    struct replica_install *install = &replica->install;
    if (install->sequence == 0 || replica->appends.sequence_durable < install->sequence) {
        return false;
    }
    install->sequence = 0;
    if (MUTATED(SNAPSHOT_REPORTED_BEFORE_IMPORT)) {
        install_report(replica);
    }
    int rc = MUTATED(SNAPSHOT_IMPORTED_BEFORE_RESET) ? 0 : replica->callbacks.snapshot_install(replica->arg);
    if (rc != 0) {
        step_freeze(replica, rc, "taking in a snapshot");
        return true;
    }
    struct apply *apply = &replica->apply;
    if (replica->proposed_last > apply->cursor) {
        /* What this node proposed as a leader may be in the snapshot; nobody will be told what became of it. */
        replica->lost_from = apply->cursor + 1;
        replica->proposed_last = apply->cursor;
    }
    apply->cursor = install->snapshot.index;
    if (apply->commit_known < apply->cursor) {
        apply->commit_known = apply->cursor;
    }
    if (replica->stamp_last_ms < install->snapshot.stamp_ms) {
        replica->stamp_last_ms = install->snapshot.stamp_ms;
    }
    if (!MUTATED(SNAPSHOT_REPORTED_BEFORE_IMPORT)) {
        install_report(replica);
    }
    return true;
}
