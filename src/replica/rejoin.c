#include "replica/rejoin.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "replica/guard.h"
#include "replica/step.h"

enum rejoin_kind { REJOIN_QUESTION = 1, REJOIN_ANSWER = 2 };

struct rejoin_frame {
    uint32_t version;
    enum rejoin_kind kind;
    uint64_t term;
    uint64_t index;
    uint64_t sent_index;
    uint64_t nonce;
};

static size_t rejoin_frame_size(uint32_t version)
{
    return version == 1 ? REJOIN_FRAME_SIZE_1 : REJOIN_FRAME_SIZE;
}

static void rejoin_send(struct replica *replica, uint64_t to_node, const struct rejoin_frame *frame)
{
    uint8_t bytes[REJOIN_FRAME_SIZE];
    bytes_put_u32(bytes, frame->version);
    bytes_put_u32(bytes + 4, (uint32_t)frame->kind);
    bytes_put_u64(bytes + 8, frame->term);
    bytes_put_u64(bytes + 16, frame->index);
    bytes_put_u64(bytes + 24, frame->sent_index);
    bytes_put_u64(bytes + 32, frame->nonce);
    outbox_push_bytes(&replica->outbox, to_node, FRAME_REJOIN, bytes_of(bytes, rejoin_frame_size(frame->version)),
                      replica->appends.sequence_promised);
}

static int rejoin_decode(struct hf_bytes payload, struct rejoin_frame *out)
{
    const uint8_t *bytes = payload.data;
    uint32_t version = payload.size >= 4 ? bytes_get_u32(bytes) : 0;
    if (version == 0 || version > REJOIN_VERSION || payload.size != rejoin_frame_size(version)) {
        return error_raise(HF_EPROTOCOL, "a rejoin frame of %zu bytes", payload.size);
    }
    uint32_t kind = bytes_get_u32(bytes + 4);
    *out = (struct rejoin_frame){.version = version,
                                 .kind = (enum rejoin_kind)kind,
                                 .term = bytes_get_u64(bytes + 8),
                                 .index = bytes_get_u64(bytes + 16),
                                 .sent_index = bytes_get_u64(bytes + 24),
                                 .nonce = version > 1 ? bytes_get_u64(bytes + 32) : 0};
    bool is_question = kind == REJOIN_QUESTION && out->sent_index == 0;
    bool is_answer = kind == REJOIN_ANSWER && out->sent_index <= out->index;
    if (out->term == 0 || (!is_question && !is_answer)) {
        return error_raise(HF_EPROTOCOL, "a rejoin frame of kind %" PRIu32, kind);
    }
    return 0;
}

/* ---- the member ---- */

/* Up to here the log is known to be that of the leader of the present term. */
static uint64_t rejoin_known_index(const struct replica *replica)
{
    const struct raft *raft = &replica->engine.raft;
    uint64_t match = raft->follower_state.match;
    match = match < replica->appends.durable_index ? match : replica->appends.durable_index;
    return match > replica->apply.cursor ? match : replica->apply.cursor;
}

/* Entries that are on their way over a slow link are not asked for again and again: each time would put as many behind
 * them, until most of what comes was here long ago. */
static bool rejoin_is_patient(struct rejoin *rejoin, uint64_t known, uint64_t now_ms)
{
    if (rejoin->sent_index != 0 && known > rejoin->known_index) {
        rejoin->known_index = known;
        rejoin->asked_ms = now_ms;
    }
    bool is_coming = rejoin->sent_index != 0;
    return now_ms - rejoin->asked_ms < (is_coming ? REJOIN_PATIENCE_MS : REJOIN_RETRY_MS);
}

/* Drawn when it is needed: a member that lost nothing asks for no randomness. */
static uint64_t rejoin_nonce(struct replica *replica)
{
    while (replica->rejoin.nonce == 0) {
        io_random(replica->options.io, &replica->rejoin.nonce, sizeof(replica->rejoin.nonce));
    }
    return replica->rejoin.nonce;
}

void rejoin_run(struct replica *replica)
{
    struct rejoin *rejoin = &replica->rejoin;
    const struct raft *raft = &replica->engine.raft;
    if (!rejoin->is_open || replica->phase != REPLICA_PHASE_RUNNING || raft->state != RAFT_FOLLOWER ||
        raft->snapshot.installing || replica->heard_term != raft->current_term ||
        raft->follower_state.current_leader.id == 0) {
        return;
    }
    uint64_t now_ms = engine_now_ms(&replica->engine);
    uint64_t known = rejoin_known_index(replica);
    bool is_answered = rejoin->target_term == raft->current_term;
    if (is_answered && (known >= rejoin->target_index || MUTATED(REJOIN_ENDS_EARLY))) {
        rejoin->is_open = false;
        TRACE(TRACE_WARN, "replica", "group %" PRIu64 ": all up to index %" PRIu64 " is here again: this member votes",
              replica->options.group, known);
        return;
    }
    bool is_next = is_answered && rejoin->sent_index != 0 && known >= rejoin->sent_index;
    if (rejoin->asked_term == raft->current_term && !is_next && rejoin_is_patient(rejoin, known, now_ms)) {
        return;
    }
    rejoin->asked_term = raft->current_term;
    rejoin->asked_ms = now_ms;
    rejoin->known_index = known;
    rejoin->sent_index = 0;
    const struct rejoin_frame question = {.version = REJOIN_VERSION,
                                          .kind = REJOIN_QUESTION,
                                          .term = raft->current_term,
                                          .index = known,
                                          .nonce = rejoin_nonce(replica)};
    rejoin_send(replica, raft->follower_state.current_leader.id, &question);
}

static void rejoin_answered(struct replica *replica, uint64_t from_node, const struct rejoin_frame *answer)
{
    struct rejoin *rejoin = &replica->rejoin;
    const struct raft *raft = &replica->engine.raft;
    if (!rejoin->is_open || raft->state != RAFT_FOLLOWER || answer->term != raft->current_term ||
        raft->follower_state.current_leader.id != from_node) {
        return; /* of a leader that is none any more */
    }
    bool is_asked = answer->version == REJOIN_VERSION && rejoin->asked_term == answer->term && rejoin->nonce != 0 &&
                    answer->nonce == rejoin->nonce;
    if (!is_asked && !MUTATED(REJOIN_ANSWER_UNASKED)) {
        return; /* to an earlier process */
    }
    if (rejoin->target_term != answer->term) {
        rejoin->target_term = answer->term;
        rejoin->target_index = answer->index;
    }
    rejoin->sent_index = answer->sent_index;
    rejoin_run(replica);
}

bool rejoin_ends_alone(struct replica *replica)
{
    const struct raft *raft = &replica->engine.raft;
    struct rejoin *rejoin = &replica->rejoin;
    if (!replica->options.is_alone || raft->state != RAFT_FOLLOWER || raft->snapshot.installing ||
        !guard_is_only_voter(raft)) {
        return false;
    }
    if (rejoin->target_term == raft->current_term && rejoin->target_index > replica->appends.durable_index) {
        return false; /* a leader told of more: whether that is to be lost is not for us to say */
    }
    rejoin->is_open = false;
    TRACE(TRACE_WARN, "replica",
          "group %" PRIu64
          ": nobody else has a vote any more: this member goes on with what it has, up to index %" PRIu64,
          replica->options.group, replica->appends.last_index);
    return true;
}

/* ---- the leader ---- */

/* Sends what the member acknowledged once and may not have any more. Returns up to where. */
static uint64_t rejoin_send_again(struct replica *replica, uint64_t to_node, uint64_t known)
{
    const struct raft *raft = &replica->engine.raft;
    struct hf_log_group_state state;
    raft_index match = 0;
    uint64_t term = 0;
    uint64_t last_term = 0;
    if (raft_match_index(raft, to_node, &match) != 0 || match <= known || MUTATED(REJOIN_NOT_SENT_AGAIN)) {
        return 0; /* the core sends it */
    }
    uint64_t last = match - known > REJOIN_ENTRIES_MAX ? known + REJOIN_ENTRIES_MAX : match;
    int rc = hf_log_group_state(replica->options.log, replica->options.group, &state);
    if (rc == 0 && known > 0) {
        rc = hf_log_term(replica->options.log, replica->options.group, known, &term);
    }
    rc = rc == 0 ? hf_log_term(replica->options.log, replica->options.group, last, &last_term) : rc;
    if (rc != 0 || state.first_index > known + 1) {
        if (replica->callbacks.snapshot_wanted != NULL) {
            replica->callbacks.snapshot_wanted(replica->arg, to_node);
        }
        return 0;
    }
    struct raft_message append = {
        .type = RAFT_APPEND_ENTRIES,
        .server_id = to_node,
        .append_entries = {.term = raft_current_term(raft),
                           .prev_log_index = known,
                           .prev_log_term = term,
                           .leader_commit = raft_commit_index(raft),
                           .n_entries = (unsigned)(last - known)},
    };
    outbox_push(&replica->outbox, &append, last_term, replica->appends.sequence_promised);
    return last;
}

static void rejoin_asked(struct replica *replica, uint64_t from_node, const struct rejoin_frame *question)
{
    const struct raft *raft = &replica->engine.raft;
    if (!step_is_leader(replica) || question->term != raft_current_term(raft) ||
        question->index > replica->appends.last_index) {
        return;
    }
    struct rejoin_frame answer = {.version = question->version,
                                  .kind = REJOIN_ANSWER,
                                  .term = question->term,
                                  .index = replica->appends.last_index,
                                  .nonce = question->nonce};
    answer.sent_index = rejoin_send_again(replica, from_node, question->index);
    rejoin_send(replica, from_node, &answer);
}

int rejoin_receive(struct replica *replica, uint64_t from_node, struct hf_bytes payload)
{
    struct rejoin_frame frame = {0};
    int rc = rejoin_decode(payload, &frame);
    if (rc != 0 || replica->phase != REPLICA_PHASE_RUNNING) {
        return rc;
    }
    if (frame.kind == REJOIN_QUESTION) {
        rejoin_asked(replica, from_node, &frame);
    } else {
        rejoin_answered(replica, from_node, &frame);
    }
    return 0;
}
