#include "node/repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/fetch.h"
#include "node/node_state.h"
#include "node/offer.h"

/* ---- What is damaged ---- */

static void repair_say(struct hosted_group *group, const char *doing)
{
    struct group_repair *repair = &group->repair;
    uint64_t commit = 0;
    struct hf_log_group_state state = {0};
    if (hf_log_group_state(group->node->log, group->id, &state) == 0) {
        commit = state.hard_state.commit;
    }
    if (repair->has_no_state) {
        snprintf(group->text, sizeof(group->text),
                 "ECORRUPT: no good snapshot reaches the log, which begins at %" PRIu64 "; the leader's is needed: %s",
                 state.first_index, doing);
        return;
    }
    snprintf(group->text, sizeof(group->text),
             "the log is damaged: entries %" PRIu64 " … %" PRIu64 " cannot be read; committed is %" PRIu64 "; %" PRIu64
             " repaired: %s",
             repair->request.first, repair->request.last, commit, repair->repaired, doing);
}

/* Who else could be asked to remove this node, as people write it down. */
static const char *repair_other_address(const struct node *node)
{
    for (uint32_t i = 0; i < node->membership.count; i++) {
        const struct membership_member *member = &node->membership.members[i];
        if (member->node.id != node->id && member->role == MEMBERSHIP_VOTER && member->node.client_address[0] != '\0') {
            return member->node.client_address;
        }
    }
    return "HOST:PORT";
}

static void repair_say_lost(struct hosted_group *group)
{
    const struct node *node = group->node;
    const char *other = repair_other_address(node);
    snprintf(group->text, sizeof(group->text),
             "the log is damaged: term and vote are lost, this member may not vote again. next: holdfast member remove "
             "%" PRIu64 " --address %.40s; stop this node; holdfast join --cluster %.40s --data NEWDIR",
             node->id, other, other);
}

bool repair_is_needed(struct hosted_group *group)
{
    struct group_repair *repair = &group->repair;
    struct hf_log_group_state state;
    int rc = hf_log_group_state(group->node->log, group->id, &state);
    if (rc == 0 && !state.damaged) {
        return repair->has_no_state;
    }
    repair->has_no_state = false; /* the log comes first; whether a snapshot reaches it is seen at the next start */
    repair->request.term = state.hard_state.term;
    repair->is_hopeless = rc != 0 || state.state_lost;
    rc = hf_log_missing(group->node->log, group->id, 0, &repair->request.first, &repair->request.last);
    if (!repair->is_hopeless && rc != 0) {
        repair->is_hopeless = true; /* records that contradict each other */
        snprintf(group->text, sizeof(group->text),
                 "the log is damaged in a way that entries of a peer cannot heal. next: holdfast log verify");
    } else if (repair->is_hopeless) {
        repair_say_lost(group);
    } else {
        repair_say(group, "looking for its leader");
    }
    return true;
}

bool repair_lacks_state(struct hosted_group *group)
{
    struct group_repair *repair = &group->repair;
    struct hf_log_group_state state;
    struct hf_snapshot_manifest newest;
    if (group->ops->cut == NULL || hf_log_group_state(group->node->log, group->id, &state) != 0 || state.damaged ||
        state.first_index <= 1 || MUTATED(SNAPSHOTS_LOST_FOR_GOOD)) {
        return false;
    }
    /* Those that are damaged are known to be by now, and passed by. */
    int rc = hf_snapshot_latest(group->node->snapshots.store, group->id, group->incarnation, &newest);
    bool reaches = rc == 0 && newest.index + 1 >= state.first_index;
    if (reaches || (rc != 0 && rc != HF_ENOTFOUND && rc != HF_ECORRUPT)) {
        return false;
    }
    repair->has_no_state = true;
    repair->is_hopeless = false;
    repair->needs_snapshot = true;
    repair->request = (struct repair_request){.term = state.hard_state.term, .first = 0, .last = state.last_index};
    repair_say(group, "looking for its leader");
    return true;
}

static uint64_t repair_log_end(const struct hosted_group *group)
{
    struct hf_log_group_state state;
    int rc = hf_log_group_state(group->node->log, group->id, &state);
    return rc == 0 && state.last_index > group->repair.request.last ? state.last_index : group->repair.request.last;
}

/* ---- Frames ---- */

struct repair_message {
    struct peer_message message;
    struct buffer bytes;
};

static int repair_message_encode(struct peer_message *message, struct buffer *out)
{
    buffer_append_bytes(out, buffer_bytes(&list_entry(message, struct repair_message, message)->bytes));
    return 0;
}

static void repair_message_release(struct peer_message *message, int sent)
{
    struct repair_message *own = list_entry(message, struct repair_message, message);
    buffer_close(&own->bytes);
    free(own);
}

static struct repair_message *repair_message_new(const struct hosted_group *group, enum frame_kind kind)
{
    struct repair_message *own = memory_new(sizeof(*own));
    list_init(&own->message.link);
    own->message.kind = kind;
    own->message.class = PEER_BULK;
    own->message.independent = true;
    own->message.group = group->id;
    own->message.group_incarnation = group->incarnation;
    own->message.encode = repair_message_encode;
    own->message.release = repair_message_release;
    return own;
}

/* ---- Asking ---- */

/* Who led when somebody answered last, or else one after another of those that are up. */
static struct node_peer *repair_choose(struct hosted_group *group)
{
    struct node *node = group->node;
    struct group_repair *repair = &group->repair;
    struct node_peer *hint = repair->leader != 0 ? node_peer(node, repair->leader) : NULL;
    repair->leader = 0; /* once */
    if (hint != NULL && hint != node->self && hint->is_up) {
        return hint;
    }
    for (uint32_t i = 0; i < node->peer_count; i++) {
        struct node_peer *peer = &node->peers[repair->cursor++ % node->peer_count];
        if (peer->id != 0 && peer != node->self && peer->is_up) {
            return peer;
        }
    }
    return NULL;
}

static void repair_ask(struct hosted_group *group)
{
    struct node *node = group->node;
    struct group_repair *repair = &group->repair;
    struct node_peer *peer = repair_choose(group);
    char doing[64];
    if (peer == NULL) {
        repair_say(group, "no other node is within reach");
        return;
    }
    struct repair_message *message = repair_message_new(group, FRAME_REPAIR_REQUEST);
    struct repair_request request = repair->request;
    if (repair->needs_snapshot) {
        request.last = repair_log_end(group); /* how far a snapshot must reach */
    }
    repair_frame_encode_request(&request, &message->bytes);
    repair->asked_node = peer->id;
    repair->asked_ms = loop_now_ms(node->loop);
    if (repair->reason[0] == '\0') {
        snprintf(doing, sizeof(doing), "asking node %" PRIu64, peer->id);
        repair_say(group, doing);
    } else {
        repair_say(group, repair->reason);
    }
    node_send(node, peer->id, &message->message);
}

/* What the last answer said, for whoever looks. */
static void repair_refused(struct hosted_group *group, uint64_t from, int result)
{
    struct group_repair *repair = &group->repair;
    const char *text = hf_error_text();
    switch (result) {
    case HF_ENOTLEADER:
    case HF_EBUSY:
        return; /* passes by itself */
    case HF_ECOMPACTED:
        repair->needs_snapshot = true;
        snprintf(repair->reason, sizeof(repair->reason), "node %" PRIu64 " has %s in a snapshot only: waiting for it",
                 from, repair->has_no_state ? "it" : "them");
        return;
    case HF_ECORRUPT:
        text = repair->has_no_state ? "the group is damaged there, too" : "they are damaged there, too";
        break;
    }
    snprintf(repair->reason, sizeof(repair->reason), "node %" PRIu64 ": %s", from, text);
    if (repair->told != result) {
        repair->told = result;
        if (repair->has_no_state) {
            TRACE(TRACE_ERROR, "node", "group %" PRIu64 ": there is no state to begin with: %s", group->id,
                  repair->reason);
        } else {
            TRACE(TRACE_ERROR, "node", "group %" PRIu64 ": entries %" PRIu64 " … %" PRIu64 " cannot be repaired: %s",
                  group->id, repair->request.first, repair->request.last, repair->reason);
        }
    }
}

/* ---- Writing ---- */

static void repair_written(void *arg, int result)
{
    struct hosted_group *group = arg;
    struct group_repair *repair = &group->repair;
    repair->is_writing = false;
    if (group->node->phase != NODE_RUNNING) {
        return;
    }
    if (result == 0) {
        repair->has_no_state = false; /* what was written is the reset behind a snapshot */
        repair->repaired += repair->writing_count;
        group->node->counters.repaired_entries += repair->writing_count;
        repair->is_due = true; /* goes on in the next turn: not from inside the log's call */
    }
    repair->writing_count = 0;
    hosted_group_touch(group);
}

static int repair_write(struct hosted_group *group, const struct repair_answer *answer)
{
    struct group_repair *repair = &group->repair;
    struct hf_log_batch *batch = NULL;
    struct cursor cursor = cursor_of(answer->entries);
    int rc = hf_log_batch_open(&batch);
    struct hf_entry entry = {0};
    for (uint32_t i = 0; rc == 0 && i < answer->count; i++) {
        repair_frame_next_entry(&cursor, &entry);
        entry.index = answer->first + i;
        rc = hf_log_batch_repair(batch, group->id, &entry, 1);
    }
    struct hf_log_group_state state;
    rc = rc == 0 ? hf_log_group_state(group->node->log, group->id, &state) : rc;
    if (rc == 0 && entry.term > state.hard_state.term) {
        /* A log never has entries of a term that its member has not reached. It cannot have voted in this one. */
        struct hf_hard_state reached = {.term = entry.term, .commit = state.hard_state.commit};
        rc = hf_log_batch_hard_state(batch, group->id, reached);
    }
    if (rc == 0) {
        repair->is_writing = true;
        repair->writing_count = answer->count;
        rc = hf_log_append(group->node->log, batch, repair_written, group);
        repair->is_writing = rc == 0;
    }
    hf_log_batch_close(batch);
    return rc;
}

int repair_receive_answer(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload)
{
    struct group_repair *repair = &group->repair;
    struct repair_answer answer;
    int rc = repair_frame_decode_answer(payload, &answer);
    if (rc != 0) {
        return rc;
    }
    if (repair->asked_ms == 0 || repair->asked_node != from->id || repair->is_writing || !group->is_failed) {
        return 0; /* late */
    }
    if (answer.result == 0 && repair->needs_snapshot) {
        /* This one has them in its log after all: it is asked for what is missing, no more. */
        repair->needs_snapshot = false;
        repair->leader = from->id;
        repair->asked_ms = 0;
        return 0;
    }
    rc = repair_frame_accept(&repair->request, &answer);
    if (rc == 0) {
        rc = repair_write(group, &answer);
    }
    if (rc == 0) {
        repair->asked_ms = 0;
        repair->needs_snapshot = false;
        repair->reason[0] = '\0';
        repair->leader = from->id;
        return 0;
    }
    repair_refused(group, from->id, rc);
    if (rc == HF_ENOTLEADER && answer.leader != from->id) {
        repair->leader = answer.leader;
    }
    return rc == HF_EPROTOCOL ? rc : 0;
}

/* ---- A snapshot instead ---- */

int repair_receive_raft(struct hosted_group *group, struct node_peer *from, enum frame_kind kind,
                        struct hf_bytes payload)
{
    struct replica_snapshot snapshot;
    struct hf_bytes manifest;
    uint64_t term = 0;
    if (kind != FRAME_RAFT || !group->repair.is_open || !group->repair.needs_snapshot) {
        return 0;
    }
    int rc = replica_decode_offer(payload, &term, &snapshot, &manifest);
    if (rc == 0 && term >= group->repair.request.term && snapshot.index >= repair_log_end(group)) {
        fetch_offered(group, from->id, term, &snapshot, manifest);
    }
    return rc == HF_ENOTFOUND ? 0 : rc;
}

int repair_restart_behind(struct hosted_group *group, const struct replica_snapshot *snapshot, struct hf_bytes name)
{
    struct group_repair *repair = &group->repair;
    struct hf_log_group_state state;
    struct hf_log_batch *batch = NULL;
    if (repair->is_writing || repair->is_hopeless || !repair->needs_snapshot) {
        return 0;
    }
    int rc = hf_log_batch_open(&batch);
    rc = rc == 0 ? hf_log_group_state(group->node->log, group->id, &state) : rc;
    bool is_healed = rc == 0 && !state.damaged && !repair->has_no_state;
    if (is_healed || (rc == 0 && (state.state_lost || state.last_index > snapshot->index))) {
        rc = HF_ECONFLICT; /* or it is nothing that a snapshot heals */
    }
    if (rc == 0) {
        /* As in repair_write: of a term that was not reached here, nothing can have been promised in it. */
        struct hf_hard_state reached = {.term = snapshot->term, .commit = snapshot->index};
        if (state.hard_state.term >= snapshot->term) {
            reached.term = state.hard_state.term;
            reached.vote = state.hard_state.vote;
        }
        rc = hf_log_batch_reset(batch, group->id, snapshot->index, snapshot->term, name);
        rc = rc == 0 ? hf_log_batch_hard_state(batch, group->id, reached) : rc;
    }
    if (rc == 0) {
        repair->is_writing = true;
        repair->writing_count = 0;
        rc = hf_log_append(group->node->log, batch, repair_written, group);
        repair->is_writing = rc == 0;
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": %s restarts behind the leader's snapshot at index %" PRIu64,
              group->id, repair->has_no_state ? "its log" : "its damaged log", snapshot->index);
    }
    hf_log_batch_close(batch);
    return rc;
}

/* ---- Answering ---- */

static int repair_read(const struct hosted_group *group, const struct repair_request *request,
                       struct repair_answer *answer, struct hf_log_view *view)
{
    struct replica_status status;
    if (group->repair.is_open) {
        return HF_ECORRUPT; /* as far as is known: nobody else says so while there is no leader */
    }
    if (!hosted_group_is_led_here(group)) {
        return HF_ENOTLEADER;
    }
    replica_status(group->replica, &status);
    if (!status.is_ready || status.commit_index < request->first) {
        return HF_EBUSY; /* what is committed here is not known yet, or what is asked for is not yet */
    }
    answer->term = status.term;
    answer->commit = status.commit_index;
    if (request->first == 0) {
        return HF_ECOMPACTED; /* only a snapshot has the state before the first entry */
    }
    uint64_t last = request->last < status.commit_index ? request->last : status.commit_index;
    return hf_log_read(group->node->log, group->id, request->first, last + 1, REPAIR_FRAME_PAYLOAD_BYTES,
                       REPAIR_FRAME_ENTRIES_MAX, view);
}

static void repair_answer(const struct hosted_group *group, const struct repair_request *request, struct buffer *out)
{
    struct hf_log_view view = {0};
    struct repair_answer answer = {.first = request->first, .leader = group->leader};
    answer.result = repair_read(group, request, &answer, &view);
    answer.count = (uint32_t)view.count;
    if (answer.result == 0 && answer.count == 0) {
        answer.result = HF_EUNAVAILABLE;
    }
    repair_frame_encode_answer(&answer, view.entries, out);
    hf_log_view_close(&view);
}

/* Who asked lacks what this log no longer has. A snapshot that does not reach to the end of the log there would take
 * away what was acknowledged. */
static void repair_offer(struct hosted_group *group, const struct node_peer *from, const struct repair_request *request)
{
    struct hf_log_group_state state;
    bool is_gone = hosted_group_is_led_here(group) && hf_log_group_state(group->node->log, group->id, &state) == 0 &&
                   request->first < state.first_index;
    if (!is_gone) {
        return;
    }
    if (group->snapshots.index >= request->last) {
        offer_wanted(group, from->id);
    } else if (group->applied_index >= request->last && group->snapshots.wanted == group->snapshots.answered) {
        snapshots_want(group);
    }
}

int repair_receive_request(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload)
{
    struct repair_request request;
    int rc = repair_frame_decode_request(payload, &request);
    if (rc != 0) {
        return rc;
    }
    struct repair_message *message = repair_message_new(group, FRAME_REPAIR_ANSWER);
    repair_answer(group, &request, &message->bytes);
    node_send(group->node, from->id, &message->message);
    repair_offer(group, from, &request);
    return 0;
}

void node_repair_answer(struct node *node, uint64_t group, const struct repair_request *request, struct buffer *out)
{
    const struct hosted_group *hosted = node_hosted_group(node, group);
    struct repair_answer refused = {.result = HF_ENOTFOUND, .first = request->first};
    if (hosted != NULL) {
        repair_answer(hosted, request, out);
    } else {
        repair_frame_encode_answer(&refused, NULL, out);
    }
}

/* ---- The interval ---- */

/* What was lost is there and durable. */
static void repair_finish(struct hosted_group *group)
{
    struct group_repair *repair = &group->repair;
    uint64_t repaired = repair->repaired;
    if (!hosted_group_restart(group)) {
        return; /* not yet, or there is more damage */
    }
    if (repaired > 0) {
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": %" PRIu64 " damaged entries were repaired from the leader's log",
              group->id, repaired);
    } else {
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": started with what its leader had", group->id);
    }
}

static void repair_step(struct hosted_group *group)
{
    struct group_repair *repair = &group->repair;
    uint64_t now_ms = loop_now_ms(group->node->loop);
    if (repair->is_writing ||
        (!repair->is_due && repair->asked_ms != 0 && now_ms - repair->asked_ms < REPAIR_RETRY_MS)) {
        return;
    }
    repair->is_due = false;
    if (!repair_is_needed(group)) {
        repair_finish(group);
    } else if (!repair->is_hopeless) {
        repair_ask(group);
    }
}

/* Damage that something met since the group was started. */
static bool repair_met(struct hosted_group *group)
{
    struct hf_log_group_state state;
    if (group->repair.is_open) {
        return true;
    }
    if (hf_log_group_state(group->node->log, group->id, &state) != 0 || !state.damaged) {
        return false;
    }
    group->repair = (struct group_repair){.is_open = true};
    hosted_group_fail(group, "the log is damaged");
    return true;
}

void repair_run(struct node *node, uint64_t damaged_groups)
{
    for (uint32_t i = 0; i < node->groups_open; i++) {
        struct hosted_group *group = &node->groups[i];
        if (group->repair.is_open || (damaged_groups > 0 && repair_met(group))) {
            repair_step(group);
        }
    }
}

void repair_due(struct hosted_group *group)
{
    if (group->repair.is_due && group->node->phase == NODE_RUNNING) {
        repair_step(group);
    }
}

void repair_peer_down(struct hosted_group *group, uint64_t node_id)
{
    if (group->repair.asked_node == node_id) {
        group->repair.asked_ms = 0;
    }
}
