#include "replica/receive.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "replica/codec.h"
#include "replica/guard.h"
#include "replica/install.h"
#include "replica/replica_configuration.h"
#include "replica/step.h"

static int receive_feed(struct replica *replica, uint64_t from_node, struct raft_message *message,
                        const struct step_entries *entries, struct step_outcome *outcome)
{
    char address[REPLICA_ADDRESS_SIZE];
    replica_configuration_address(from_node, address);
    message->server_id = from_node;
    message->server_address = address;
    struct raft_event event = {.type = RAFT_RECEIVE, .receive = {.message = message}};
    return step_event(replica, &event, entries, outcome);
}

/* ---- append entries ---- */

static void receive_prove_change(struct replica *replica, const struct raft_append_entries *request,
                                 enum hf_entry_type first_type)
{
    uint64_t index = guard_superseded_change(&replica->engine.raft, request, first_type,
                                             engine_term(&replica->engine, request->prev_log_index));
    if (index == 0) {
        return;
    }
    /* From the engine, which goes by it since it accepted it: our log may still wait for room to take it in. */
    struct replica_member members[REPLICA_MEMBERS_MAX];
    unsigned count = replica_configuration_from_raft(&replica->engine.raft.configuration, members);
    struct raft_event event = {.type = RAFT_CONFIGURATION, .configuration = {.index = index}};
    replica_configuration_to_raft(members, count, &event.configuration.conf);
    step_event(replica, &event, NULL, NULL);
}

/* One RECEIVE: `count` entries, or none. */
static void receive_append_part(struct replica *replica, uint64_t from_node, const struct raft_message *message,
                                const struct hf_entry *entries, unsigned count, struct step_outcome *outcome)
{
    struct raft_message part = *message;
    struct step_entries step = {.entries = entries, .count = count};
    if (count > 0) {
        receive_prove_change(replica, &part.append_entries, entries[0].type);
        if (replica->phase != REPLICA_PHASE_RUNNING) {
            return;
        }
        step.raft = engine_entries_new(entries, count);
    }
    part.append_entries.entries = step.raft;
    part.append_entries.n_entries = count;
    receive_feed(replica, from_node, &part, &step, outcome);
    if (count > 0) {
        engine_entries_free(step.raft, entries, count);
    }
}

/* Guard A: every configuration begins a RECEIVE of its own. Returns how many entries went into the log. */
static unsigned receive_append_parts(struct replica *replica, uint64_t from_node, const struct raft_message *message,
                                     const struct hf_entry *entries, unsigned count)
{
    struct raft_message part = *message;
    unsigned written = 0;
    unsigned done = 0;
    do {
        const struct hf_entry *rest = done > 0 ? entries + done : entries;
        unsigned n = guard_receive_count(rest, count - done);
        struct step_outcome outcome = {0};
        receive_append_part(replica, from_node, &part, rest, n, &outcome);
        written += outcome.written;
        if (outcome.is_rejected || replica->phase != REPLICA_PHASE_RUNNING) {
            break; /* what follows has nothing to stand on */
        }
        done += n;
        if (done > 0) {
            part.append_entries.prev_log_index = entries[done - 1].index;
            part.append_entries.prev_log_term = entries[done - 1].term;
        }
    } while (done < count);
    return written;
}

static void receive_append(struct replica *replica, uint64_t from_node, struct codec_message *message)
{
    struct raft *raft = &replica->engine.raft;
    struct raft_append_entries *request = &message->raft.append_entries;
    struct raft_message answer = {.type = RAFT_APPEND_ENTRIES_RESULT, .server_id = from_node};
    if (guard_answer_stale_append(raft, request, &answer.append_entries_result)) {
        outbox_push(&replica->outbox, &answer, 0, replica->appends.sequence_promised);
        return;
    }
    if (raft->state == RAFT_LEADER && request->term == raft->current_term) {
        error_raise(HF_ECORRUPT, "node %" PRIu64 " claims to lead term %llu too", from_node, request->term);
        step_freeze(replica, HF_ECORRUPT, "two leaders in one term");
        return;
    }
    unsigned covered = guard_reanchor(raft, request, message->entry_count);
    const struct hf_entry *entries = covered > 0 ? message->entries + covered : message->entries;
    unsigned count = message->entry_count - covered;
    if (count > 0 &&
        (appends_is_blocked(&replica->appends) || appends_reserve(&replica->appends, entries, count) != 0)) {
        /* No room: the rest of the message still says that the leader lives, and its answer that we are short. */
        count = 0;
    }
    unsigned written = receive_append_parts(replica, from_node, &message->raft, entries, count);
    /* Those that were here already come first. */
    appends_unreserve(&replica->appends, entries, count - written);
    if (replica->phase == REPLICA_PHASE_RUNNING && raft->state == RAFT_FOLLOWER) {
        replica->heard_term = raft->current_term;
        rejoin_run(replica);
    }
}

static void receive_append_result(struct replica *replica, uint64_t from_node, struct codec_message *message)
{
    struct raft *raft = &replica->engine.raft;
    const struct raft_append_entries_result *result = &message->raft.append_entries_result;
    if (guard_is_stale_reject(raft, from_node, result)) {
        return;
    }
    raft_index before = 0;
    bool is_ours = raft_match_index(raft, from_node, &before) == 0 && result->term == raft->current_term;
    /* Mirrored before the step, whose own messages to the member come after the answer. */
    if (is_ours) {
        probe_heard(&replica->probe, from_node, engine_now_ms(&replica->engine),
                    result->rejected == 0 && result->last_log_index > before);
    }
    receive_feed(replica, from_node, &message->raft, NULL, NULL);
}

/* ---- votes ---- */

static void receive_vote(struct replica *replica, uint64_t from_node, struct codec_message *message)
{
    struct raft_message answer = {.type = RAFT_REQUEST_VOTE_RESULT, .server_id = from_node};
    if (guard_answer_old_pre_vote(&replica->engine.raft, &message->raft.request_vote, &answer.request_vote_result)) {
        outbox_push(&replica->outbox, &answer, 0, replica->appends.sequence_promised);
        return;
    }
    if (replica->rejoin.is_open && !MUTATED(REJOIN_VOTES)) {
        return; /* whoever asks may lack what we acknowledged and do not know of any more */
    }
    struct guard_vote guard;
    guard_vote_begin(&guard, &replica->engine.raft);
    receive_feed(replica, from_node, &message->raft, NULL, NULL);
    guard_vote_end(&guard, &replica->engine.raft);
}

static void receive_vote_result(struct replica *replica, uint64_t from_node, struct codec_message *message)
{
    struct raft *raft = &replica->engine.raft;
    struct guard_vote guard = {0};
    if (guard_is_pointless_vote(raft, &message->raft.request_vote_result)) {
        return;
    }
    if (guard_must_stand(raft)) {
        guard_stand_begin(&guard, raft);
    }
    receive_feed(replica, from_node, &message->raft, NULL, NULL);
    guard_vote_end(&guard, raft);
}

static void receive_timeout_now(struct replica *replica, uint64_t from_node, struct codec_message *message)
{
    /* Guard B: a lone voter is elected only by its own tick, in a term that was raised before. */
    if (!guard_is_only_voter(&replica->engine.raft) && !replica->rejoin.is_open) {
        receive_feed(replica, from_node, &message->raft, NULL, NULL);
    }
}

static int receive_dispatch(struct replica *replica, uint64_t from_node, struct codec_message *message)
{
    int rc = 0;
    switch (message->raft.type) {
    case RAFT_APPEND_ENTRIES:
        receive_append(replica, from_node, message);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        receive_append_result(replica, from_node, message);
        break;
    case RAFT_REQUEST_VOTE:
        receive_vote(replica, from_node, message);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        receive_vote_result(replica, from_node, message);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        rc = install_offered(replica, from_node, message);
        break;
    case RAFT_TIMEOUT_NOW:
        receive_timeout_now(replica, from_node, message);
        break;
    }
    return rc;
}

int receive_raft(struct replica *replica, uint64_t from_node, struct hf_bytes payload)
{
    struct codec_message message;
    int rc = codec_decode(payload, &message);
    if (rc != 0) {
        return error_wrap(rc, "from node %" PRIu64 ", group %" PRIu64, from_node, replica->options.group);
    }
    if (from_node == replica->options.node_id || from_node == 0 ||
        (message.raft.type == RAFT_REQUEST_VOTE && message.raft.request_vote.candidate_id != from_node)) {
        rc = error_raise(HF_EPROTOCOL, "node %" PRIu64 " speaks for another node", from_node);
    } else if (replica->phase == REPLICA_PHASE_RUNNING) {
        rc = receive_dispatch(replica, from_node, &message);
    }
    codec_message_close(&message);
    return rc;
}
