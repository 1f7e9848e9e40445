#include "node/relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/trace.h"
#include "node/node_state.h"
#include "node/system_group.h"

/* A FRAME_FORWARD or FRAME_FORWARD_REPLY on its way into the hub. */
struct relay_message {
    struct peer_message message;
    struct hosted_group *group;
    struct buffer payload;
    bool is_encoded;
};

/* ---- Messages ---- */

static void relay_end(struct hosted_group *group, const struct forward_entry *entry, bool was_sent);

/* Leaves out what was answered while the message waited: it must not take effect any more. */
static int relay_encode_requests(struct peer_message *message, struct buffer *out)
{
    struct relay_message *relay = list_entry(message, struct relay_message, message);
    struct cursor cursor;
    struct forward_request request;
    struct buffer live = {0};
    int rc = forward_open_requests(buffer_bytes(&relay->payload), &cursor);
    assert(rc == 0);
    while (forward_next_request(&cursor, &request)) {
        struct forward_entry *entry = forward_table_find(&relay->group->forwards, request.id);
        if (entry != NULL) {
            entry->state = FORWARD_STATE_SENT;
            forward_append_request(&live, &request);
        }
    }
    if (live.size > 0) {
        buffer_append_bytes(out, buffer_bytes(&live));
    } else {
        rc = HF_ECANCELLED;
    }
    relay->is_encoded = rc == 0;
    buffer_close(&live);
    return rc;
}

static int relay_encode_answers(struct peer_message *message, struct buffer *out)
{
    struct relay_message *relay = list_entry(message, struct relay_message, message);
    buffer_append_bytes(out, buffer_bytes(&relay->payload));
    return 0;
}

static void relay_free(struct relay_message *relay)
{
    relay->group->node->waiting_bytes -= relay->payload.size;
    buffer_close(&relay->payload);
    free(relay);
}

static void relay_release_requests(struct peer_message *message, int sent)
{
    struct relay_message *relay = list_entry(message, struct relay_message, message);
    struct cursor cursor;
    struct forward_request request;
    if (!relay->is_encoded && forward_open_requests(buffer_bytes(&relay->payload), &cursor) == 0) {
        while (forward_next_request(&cursor, &request)) {
            struct forward_entry entry;
            if (forward_table_take(&relay->group->forwards, request.id, &entry) == 0) {
                relay_end(relay->group, &entry, false);
            }
        }
    }
    relay_free(relay);
}

static void relay_release_answers(struct peer_message *message, int sent)
{
    relay_free(list_entry(message, struct relay_message, message));
}

/* Takes the payload over. */
static void relay_send(struct hosted_group *group, uint64_t to_node, enum frame_kind kind, struct buffer *payload)
{
    struct relay_message *relay = memory_new(sizeof(*relay));
    relay->group = group;
    relay->payload = *payload;
    *payload = (struct buffer){0};
    group->node->waiting_bytes += relay->payload.size; /* until the hub has sent or dropped it */
    list_init(&relay->message.link);
    relay->message.kind = kind;
    relay->message.class = PEER_BULK;
    relay->message.group = group->id;
    relay->message.group_incarnation = group->incarnation;
    relay->message.encode = kind == FRAME_FORWARD ? relay_encode_requests : relay_encode_answers;
    relay->message.release = kind == FRAME_FORWARD ? relay_release_requests : relay_release_answers;
    node_send(group->node, to_node, &relay->message);
}

/* ---- Sending on ---- */

static void relay_append(struct hosted_group *group, struct node_peer *peer, struct buffer *payload,
                         struct forward_entry entry, struct hf_bytes command)
{
    entry.node_id = peer->id;
    struct forward_request request = {.kind = entry.kind, .command = command};
    request.id = forward_table_add(&group->forwards, entry);
    forward_append_request(payload, &request);
    group->node->counters.forwards_sent++;
    if (payload->size >= FORWARD_BATCH_SIZE_TARGET) {
        relay_send(group, peer->id, FRAME_FORWARD, payload);
    }
}

void relay_proposals(struct hosted_group *group, struct node_peer *peer)
{
    struct buffer payload = {0};
    for (size_t i = 0; i < group->queue.count; i++) {
        const struct proposal *item = proposal_queue_at(&group->queue, i);
        struct forward_entry entry = {.owner = item->owner, .deadline_ms = item->deadline_ms, .kind = FORWARD_PROPOSE};
        relay_append(group, peer, &payload, entry, proposal_queue_command(&group->queue, i));
    }
    group->node->waiting_bytes -= proposal_queue_bytes(&group->queue);
    proposal_queue_drop(&group->queue, group->queue.count);
    group->forward_target = peer->id;
    if (payload.size > 0) {
        relay_send(group, peer->id, FRAME_FORWARD, &payload);
    }
    buffer_close(&payload);
}

void relay_transfer(struct hosted_group *group, struct node_peer *peer, uint64_t to_node, struct proposal_owner owner)
{
    struct buffer payload = {0};
    struct buffer command = {0};
    /* The table is walked by deadline: never behind what is added to it later. */
    struct forward_entry entry = {.owner = owner, .kind = FORWARD_TRANSFER};
    uint64_t queued_ms = proposal_queue_deadline_ms(&group->queue);
    uint64_t reading_ms = reads_deadline_ms(&group->reads);
    entry.deadline_ms = loop_now_ms(group->node->loop) + group->node->options.request_timeout_ms;
    entry.deadline_ms = queued_ms < entry.deadline_ms ? queued_ms : entry.deadline_ms;
    entry.deadline_ms = reading_ms < entry.deadline_ms ? reading_ms : entry.deadline_ms;
    buffer_append_u64(&command, to_node);
    relay_append(group, peer, &payload, entry, buffer_bytes(&command));
    relay_send(group, peer->id, FRAME_FORWARD, &payload);
    hosted_group_touch(group);
    buffer_close(&command);
    buffer_close(&payload);
}

void relay_reads(struct hosted_group *group, struct read_batch *batch, struct node_peer *peer)
{
    struct buffer payload = {0};
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct read_item *item = &batch->items[i];
        struct forward_entry entry = {.owner = item->owner, .deadline_ms = batch->deadline_ms};
        entry.kind = item->is_barrier ? FORWARD_INDEX : FORWARD_READ;
        relay_append(group, peer, &payload, entry, read_batch_command(batch, i));
    }
    if (payload.size > 0) {
        relay_send(group, peer->id, FRAME_FORWARD, &payload);
    }
    buffer_close(&payload);
}

/* ---- Endings on the sender's side ---- */

/* Ends a request without an answer. */
static void relay_end(struct hosted_group *group, const struct forward_entry *entry, bool was_sent)
{
    struct node *node = group->node;
    int result = HF_ENOLEADER;
    if (node->phase != NODE_RUNNING) {
        result = HF_ECLOSED;
    }
    if (was_sent && entry->kind == FORWARD_PROPOSE) {
        result = HF_EINDETERMINATE;
        node->counters.indeterminate += entry->owner.done != NULL;
        error_raise(result, "a command for group %" PRIu64 " was sent to node %" PRIu64 ", which did not answer",
                    group->id, entry->node_id);
    } else {
        node->counters.no_leader += entry->owner.done != NULL;
        error_raise(result, "node %" PRIu64 " cannot be reached for group %" PRIu64, entry->node_id, group->id);
    }
    hosted_group_touch(group);
    proposal_answer(entry->owner, result, (struct hf_bytes){0}, 0);
}

static void relay_end_one(struct hosted_group *group, uint64_t id)
{
    struct forward_entry entry;
    bool was_sent = forward_table_find(&group->forwards, id)->state == FORWARD_STATE_SENT;
    if (forward_table_take(&group->forwards, id, &entry) == 0) {
        relay_end(group, &entry, was_sent);
    }
}

void relay_peer_down(struct hosted_group *group, uint64_t node_id)
{
    uint64_t id = 0;
    while ((id = forward_table_next(&group->forwards, id + 1)) != 0) {
        const struct forward_entry *entry = forward_table_find(&group->forwards, id);
        /* What is queued comes back from the hub by itself. */
        if (entry->node_id == node_id && entry->state == FORWARD_STATE_SENT) {
            relay_end_one(group, id);
        }
    }
}

void relay_abandon(struct hosted_group *group, uint64_t node_id)
{
    uint64_t id = 0;
    while ((id = forward_table_next(&group->forwards, id + 1)) != 0) {
        if (forward_table_find(&group->forwards, id)->node_id != node_id) {
            relay_end_one(group, id);
        }
    }
}

void relay_expire(struct hosted_group *group, uint64_t now_ms)
{
    uint64_t id = 0;
    while ((id = forward_table_next(&group->forwards, id + 1)) != 0) {
        if (forward_table_find(&group->forwards, id)->deadline_ms > now_ms) {
            break;
        }
        relay_end_one(group, id);
    }
}

static void relay_answered(struct hosted_group *group, const struct forward_entry *entry,
                           const struct forward_answer *answer)
{
    if (answer->result == 0 && entry->kind == FORWARD_INDEX) {
        struct read_item item = {.owner = entry->owner, .is_barrier = true};
        reads_add_confirmed(group, item, answer->index, entry->deadline_ms);
        return;
    }
    if (answer->result != 0) {
        error_raise(answer->result, "%.*s", (int)answer->reply.size, (const char *)answer->reply.data);
        group->node->counters.indeterminate += answer->result == HF_EINDETERMINATE;
        group->node->counters.no_leader += answer->result == HF_ENOLEADER;
    }
    struct hf_bytes reply = answer->result == 0 ? answer->reply : (struct hf_bytes){0};
    /* With HF_ENOLEADER the index names the node that is believed to lead. */
    proposal_answer(entry->owner, answer->result, reply, answer->result != HF_ENOLEADER ? answer->index : 0);
}

int relay_receive_answers(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload)
{
    struct cursor cursor;
    struct forward_answer answer;
    int rc = forward_open_answers(payload, &cursor);
    if (rc != 0) {
        return rc;
    }
    hosted_group_touch(group);
    while (forward_next_answer(&cursor, &answer)) {
        struct forward_entry *found = forward_table_find(&group->forwards, answer.id);
        struct forward_entry entry;
        /* One that timed out, or of somebody who was not asked. */
        if (found == NULL || found->node_id != from->id || found->state != FORWARD_STATE_SENT) {
            continue;
        }
        if (forward_table_take(&group->forwards, answer.id, &entry) == 0) {
            relay_answered(group, &entry, &answer);
        }
    }
    return 0;
}

/* ---- The leader's side ---- */

static struct relay_ticket *relay_ticket_take(struct hosted_group *group, struct node_peer *from, uint64_t id)
{
    struct node *node = group->node;
    struct relay_ticket *ticket = node->tickets_free;
    if (ticket != NULL) {
        node->tickets_free = ticket->next;
    } else {
        ticket = memory_new(sizeof(*ticket));
    }
    *ticket = (struct relay_ticket){.group = group, .peer = from, .epoch = from->epoch, .id = id};
    return ticket;
}

static void relay_answer(struct hosted_group *group, struct node_peer *peer, const struct forward_answer *answer)
{
    if (group->answers == NULL) {
        group->answers = memory_new(MEMBERSHIP_MEMBERS_MAX * sizeof(*group->answers));
    }
    struct buffer *payload = &group->answers[peer->position];
    forward_append_answer(payload, answer);
    hosted_group_touch(group);
    if (payload->size >= FORWARD_BATCH_SIZE_TARGET) {
        relay_send(group, peer->id, FRAME_FORWARD_REPLY, payload);
    }
}

/* The owner of a forwarded command: what is answered here goes back to the node that asked, unless its connection ended
 * meanwhile, for then that node answered by itself. */
static void relay_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct relay_ticket *ticket = arg;
    struct hosted_group *group = ticket->group;
    struct node_peer *peer = ticket->peer;
    if (peer->is_up && peer->epoch == ticket->epoch && group->node->phase == NODE_RUNNING) {
        struct forward_answer answer = {ticket->id, result, index, reply};
        if (result != 0) {
            answer.reply = bytes_of_text(hf_error_text());
        }
        relay_answer(group, peer, &answer);
    }
    ticket->next = group->node->tickets_free;
    group->node->tickets_free = ticket;
}

static void relay_serve(struct hosted_group *group, struct node_peer *from, const struct forward_request *request)
{
    struct proposal_owner owner = {relay_done, relay_ticket_take(group, from, request->id)};
    int rc;
    if (group->is_failed || group->replica == NULL) {
        rc = error_raise(HF_ECLOSED, "group %" PRIu64 " is stopped on node %" PRIu64, group->id, group->node->id);
    } else if (!hosted_group_is_led_here(group)) {
        rc = error_raise(HF_ENOLEADER,
                         "node %" PRIu64 " does not lead group %" PRIu64 "; it believes that node %" PRIu64 " does",
                         group->node->id, group->id, group->leader);
    } else if (request->kind == FORWARD_TRANSFER) {
        rc = node_transfer(group->node, group->id, bytes_get_u64(request->command.data));
        if (rc == 0) {
            proposal_answer(owner, 0, (struct hf_bytes){0}, 0);
        }
    } else if (group->ordinal == UINT32_MAX && request->kind != FORWARD_INDEX &&
               !(request->kind == FORWARD_PROPOSE && system_group_is_change(request->command))) {
        rc = error_raise(HF_EINVALID, "the system group takes no commands from outside");
    } else if (request->kind == FORWARD_PROPOSE) {
        rc = hosted_group_propose(group, request->command, owner, true);
    } else {
        struct read_item item = {.owner = owner, .is_barrier = request->kind == FORWARD_INDEX, .is_forwarded = true};
        rc = hosted_group_read(group, request->command, item);
    }
    if (rc != 0) {
        proposal_answer(owner, rc, (struct hf_bytes){0}, rc == HF_ENOLEADER ? group->leader : 0);
    }
}

int relay_receive_requests(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload)
{
    struct cursor cursor;
    struct forward_request request;
    int rc = forward_open_requests(payload, &cursor);
    if (rc != 0) {
        return rc;
    }
    while (forward_next_request(&cursor, &request)) {
        group->node->counters.forwards_received++;
        relay_serve(group, from, &request);
    }
    return 0;
}

void relay_flush_answers(struct hosted_group *group)
{
    struct node *node = group->node;
    for (uint32_t i = 0; group->answers != NULL && i < node->peer_count; i++) {
        if (group->answers[i].size > 0) {
            relay_send(group, node->peers[i].id, FRAME_FORWARD_REPLY, &group->answers[i]);
        }
    }
}
