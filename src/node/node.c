#include "node/node.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/trace.h"
#include "net/address.h"
#include "node/balance.h"
#include "node/fetch.h"
#include "node/handout.h"
#include "node/member_change.h"
#include "node/members.h"
#include "node/node_state.h"
#include "node/offer.h"
#include "node/relay.h"
#include "node/repair.h"
#include "node/router.h"
#include "node/snapshot_job.h"
#include "node/upkeep.h"

#define NODE_TURN_PASSES_MAX 4u /* what completes in a turn's end may start more; the rest waits for the next turn */

struct node_peer *node_peer(struct node *node, uint64_t node_id)
{
    return members_slot(node, node_id);
}

struct hosted_group *node_hosted_group(const struct node *node, uint64_t group)
{
    return group >= NODE_SYSTEM_GROUP && group - NODE_SYSTEM_GROUP < node->groups_open
               ? &node->groups[group - NODE_SYSTEM_GROUP]
               : NULL;
}

void node_fail(struct node *node, int result, const char *text)
{
    if (node->phase != NODE_RUNNING) {
        return;
    }
    node->phase = NODE_FAILED;
    node->failure = result;
    snprintf(node->failure_text, sizeof(node->failure_text), "%s", text);
    TRACE(TRACE_ERROR, "node", "this node stops: %s: %s", hf_error_name(result), node->failure_text);
    if (result == HF_EPOISONED) {
        relaxed_fail(node);
    }
    for (uint32_t i = 0; i < node->groups_open; i++) {
        hosted_group_touch(&node->groups[i]);
    }
}

void node_send(struct node *node, uint64_t to_node, struct peer_message *message)
{
    if (node->hub == NULL || node->phase != NODE_RUNNING) {
        message->release(message, 0);
        return;
    }
    peer_send(node->hub, to_node, message);
}

/* ---- Refusals: answers that may not be given from inside the call ---- */

void node_refuse(struct node *node, struct proposal_owner owner, int result, uint64_t group)
{
    if (node->phase == NODE_CLOSING) {
        proposal_answer(owner, HF_ECLOSED, (struct hf_bytes){0}, 0);
        return;
    }
    if (node->refusal_count == node->refusal_capacity) {
        node->refusal_capacity = node->refusal_capacity > 0 ? node->refusal_capacity * 2 : 64;
        node->refusals = memory_resize(node->refusals, node->refusal_capacity * sizeof(*node->refusals));
    }
    /* A client's command says enough with its code; a change of members is refused for reasons that need words. */
    char *text = group == NODE_SYSTEM_GROUP ? text_format("%s", hf_error_text()) : NULL;
    node->refusals[node->refusal_count++] = (struct node_refusal){owner, result, group, text};
}

static void node_answer_refusals(struct node *node)
{
    struct node_refusal *refusals = node->refusals;
    size_t count = node->refusal_count;
    node->refusals = NULL;
    node->refusal_count = node->refusal_capacity = 0;
    for (size_t i = 0; i < count; i++) {
        if (refusals[i].text != NULL) {
            error_raise(refusals[i].result, "%s", refusals[i].text);
            free(refusals[i].text);
        } else {
            error_raise(refusals[i].result, "group %" PRIu64 " did not take the command: %s", refusals[i].group,
                        hf_error_name(refusals[i].result));
        }
        proposal_answer(refusals[i].owner, refusals[i].result, (struct hf_bytes){0}, 0);
    }
    free(refusals);
}

/* ---- The hub's callbacks ---- */

static void node_peer_up(void *arg, uint64_t node_id, uint64_t epoch)
{
    struct node *node = arg;
    struct node_peer *peer = node_peer(node, node_id);
    if (peer == NULL || node->phase != NODE_RUNNING) {
        return;
    }
    peer->is_up = true;
    peer->epoch = ++node->epoch_last;
    peer->up_since_ms = loop_now_ms(node->loop);
    peer->clock_asked_ms = 0;
    peer->is_unfit = false;
    clock_peer_forget(&peer->clock);
    members_peer_up(node, peer);
    for (uint32_t i = 0; i < node->groups_open; i++) {
        if (node->groups[i].replica != NULL && !node->groups[i].is_failed) {
            replica_peer_changed(node->groups[i].replica, node_id, true);
        }
        hosted_group_touch(&node->groups[i]);
    }
    fetch_peer_changed(node, node_id);
}

static void node_peer_down(void *arg, uint64_t node_id, uint64_t epoch)
{
    struct node *node = arg;
    struct node_peer *peer = node_peer(node, node_id);
    if (peer == NULL || node->phase != NODE_RUNNING) {
        return;
    }
    peer->is_up = false;
    peer->down_since_ms = loop_now_ms(node->loop);
    clock_peer_forget(&peer->clock);
    for (uint32_t i = 0; i < node->groups_open; i++) {
        if (node->groups[i].replica != NULL && !node->groups[i].is_failed) {
            replica_peer_changed(node->groups[i].replica, node_id, false);
        }
        relay_peer_down(&node->groups[i], node_id);
        repair_peer_down(&node->groups[i], node_id);
        hosted_group_touch(&node->groups[i]);
    }
    fetch_peer_changed(node, node_id);
    offer_peer_down(node, node_id);
}

static void node_told_removed(void *arg, uint64_t node_id)
{
    members_hear_removed(arg, node_id, hf_error_text());
}

static int node_dispatch(struct node *node, struct node_peer *peer, enum frame_kind kind, uint64_t group_id,
                         uint64_t group_incarnation, struct hf_bytes payload)
{
    if (kind == FRAME_CLOCK) {
        return upkeep_receive_clock(node, peer, payload);
    }
    if (kind == FRAME_FEATURES) {
        return members_receive_features(peer, payload);
    }
    if (kind == FRAME_MEMBERS) {
        return members_receive(node, payload);
    }
    struct hosted_group *group = node_hosted_group(node, group_id);
    if (group == NULL || group->incarnation != group_incarnation) {
        return error_raise(HF_EMISMATCH, "group %" PRIu64 " with incarnation %016" PRIx64 " is not hosted here",
                           group_id, group_incarnation);
    }
    switch (kind) {
    case FRAME_RAFT:
    case FRAME_READ_PING:
    case FRAME_READ_PONG:
    case FRAME_REJOIN:
        hosted_group_touch(group);
        return group->replica == NULL || group->is_failed ? repair_receive_raft(group, peer, kind, payload)
                                                          : replica_receive(group->replica, peer->id, kind, payload);
    case FRAME_FORWARD:
        return relay_receive_requests(group, peer, payload);
    case FRAME_FORWARD_REPLY:
        return relay_receive_answers(group, peer, payload);
    case FRAME_REPAIR_REQUEST:
        return repair_receive_request(group, peer, payload);
    case FRAME_REPAIR_ANSWER:
        return repair_receive_answer(group, peer, payload);
    case FRAME_SNAPSHOT_FETCH:
        return offer_receive_fetch(group, peer->id, payload);
    case FRAME_SNAPSHOT_CHUNK:
        return fetch_receive_chunk(group, peer->id, payload);
    default:
        return error_raise(HF_EPROTOCOL, "frames of kind %d are not expected", (int)kind);
    }
}

static void node_received(void *arg, uint64_t node_id, enum frame_kind kind, uint64_t group, uint64_t group_incarnation,
                          struct hf_bytes payload)
{
    struct node *node = arg;
    struct node_peer *peer = node_peer(node, node_id);
    if (peer == NULL || node->phase != NODE_RUNNING) {
        return;
    }
    int rc = node_dispatch(node, peer, kind, group, group_incarnation, payload);
    if (rc != 0) {
        TRACE(TRACE_WARN, "node", "a frame of node %" PRIu64 " was ignored: %s: %s", node_id, hf_error_name(rc),
              hf_error_text());
    }
}

/* ---- Turns ---- */

static void node_flush_touched(struct node *node)
{
    struct list groups;
    list_init(&groups);
    list_splice(&groups, &node->touched);
    list_each_safe (&groups, item) {
        struct hosted_group *group = list_entry(item, struct hosted_group, touched);
        list_remove(&group->touched);
        hosted_group_flush(group);
        uint64_t deadline_ms = hosted_group_deadline_ms(group);
        uint64_t now_ms = loop_now_ms(node->loop);
        if (deadline_ms == UINT64_MAX) {
            heap_remove(&node->deadlines, &group->deadline);
        } else {
            /* What is due already was looked at just now. */
            heap_set(&node->deadlines, &group->deadline, deadline_ms > now_ms ? deadline_ms : now_ms + 1);
        }
    }
}

static void node_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ms)
{
    if (timer->deadline_ms == deadline_ms) {
        return;
    }
    timer->deadline_ms = deadline_ms;
    if (deadline_ms == UINT64_MAX) {
        loop_timer_stop(loop, timer);
    } else {
        loop_timer_set(loop, timer, deadline_ms);
    }
}

static void node_arm_timers(struct node *node)
{
    const struct heap_item *first = heap_first(&node->deadlines);
    node_arm(node->loop, &node->group_timer, first != NULL ? first->key : UINT64_MAX);
    uint64_t log_ns = log_deadline_ns(node->log);
    node_arm(node->loop, &node->log_timer, log_ns != UINT64_MAX ? (log_ns + 999999) / 1000000 : UINT64_MAX);
}

/* After a failure: everybody was answered by the flush; nothing is sent any more, and the owner is told once. */
static void node_finish_failure(struct node *node)
{
    if (node->is_fatal_told) {
        return;
    }
    node->is_fatal_told = true;
    peer_hub_close(node->hub);
    node->hub = NULL;
    node_arm(node->loop, &node->group_timer, UINT64_MAX);
    node_arm(node->loop, &node->log_timer, UINT64_MAX);
    node_arm(node->loop, &node->upkeep_timer, UINT64_MAX);
    if (node->callbacks.fatal != NULL) {
        error_raise(node->failure, "%s", node->failure_text);
        node->callbacks.fatal(node->arg, node->failure, node->failure_text);
    }
}

static void node_turn_done(void *arg)
{
    struct node *node = arg;
    node->is_turn_posted = false;
}

static bool node_has_work(const struct node *node)
{
    return !list_empty(&node->touched) || node->refusal_count > 0;
}

static void node_count_memory(struct node *node)
{
    ledger_set(&node->ledger, LEDGER_COMMANDS, node->waiting_bytes);
    ledger_set(&node->ledger, LEDGER_TRANSFERS, node->transfer_bytes);
    ledger_set(&node->ledger, LEDGER_PEERS, node->hub != NULL ? peer_hub_memory_bytes(node->hub) : 0);
}

/* This thread may wait for the device itself: handing a write to the kernel's threads and being woken costs more than a
 * quick device takes. What the others wait for leaves first. */
static void node_drive_log(struct node *node)
{
    if (!node->options.log_here) {
        hf_log_turn(node->log);
        return;
    }
    if (node->hub != NULL) {
        peer_flush(node->hub);
    }
    loop_send(node->loop);
    log_turn_here(node->log);
}

static void node_end_turn(void *arg)
{
    struct node *node = arg;
    for (unsigned pass = 0; pass < NODE_TURN_PASSES_MAX; pass++) {
        node_answer_refusals(node);
        members_follow(node);
        node_flush_touched(node);
        if (node->phase == NODE_RUNNING) {
            node_drive_log(node);
        }
        if (!node_has_work(node)) {
            break;
        }
    }
    if (node->phase == NODE_FAILED && !node_has_work(node)) {
        node_finish_failure(node);
        return;
    }
    node_count_memory(node);
    if (node->phase == NODE_RUNNING) {
        node_arm_timers(node);
    }
    if (node_has_work(node) && !node->is_turn_posted) {
        node->is_turn_posted = true;
        loop_post(node->loop, node_turn_done, node);
    }
}

static void node_log_ready(void *arg)
{
    struct node *node = arg;
    /* Where this thread waits for the device it was woken and nothing else: the turn's end does it all, so that what
     * arrived in this turn is one frame. */
    if (node->phase == NODE_RUNNING && !node->options.log_here) {
        hf_log_turn(node->log);
    }
}

/* The turn's end does the work. */
static void node_log_due(void *arg)
{
    struct node *node = arg;
    node->log_timer.deadline_ms = UINT64_MAX;
}

static void node_groups_due(void *arg)
{
    struct node *node = arg;
    uint64_t now_ms = loop_now_ms(node->loop);
    struct heap_item *first;
    node->group_timer.deadline_ms = UINT64_MAX;
    while ((first = heap_first(&node->deadlines)) != NULL && first->key <= now_ms) {
        heap_remove(&node->deadlines, first);
        hosted_group_due(list_entry(first, struct hosted_group, deadline));
    }
}

static void node_upkeep_due(void *arg)
{
    struct node *node = arg;
    node->upkeep_timer.deadline_ms = UINT64_MAX;
    upkeep_run(node);
    if (node->phase == NODE_RUNNING) {
        node_arm(node->loop, &node->upkeep_timer, loop_now_ms(node->loop) + UPKEEP_INTERVAL_MS);
    }
}

/* ---- Life ---- */

static void node_set_defaults(struct node_options *options)
{
    if (options->election_timeout_ms == 0) {
        options->election_timeout_ms = REPLICA_ELECTION_TIMEOUT_MS_DEFAULT;
    }
    if (options->heartbeat_timeout_ms == 0) {
        options->heartbeat_timeout_ms = REPLICA_HEARTBEAT_TIMEOUT_MS_DEFAULT;
    }
    if (options->request_timeout_ms == 0) {
        options->request_timeout_ms = NODE_REQUEST_TIMEOUT_MS_DEFAULT;
    }
}

int node_check_address(struct io *io, const char *what, const char *address)
{
    struct address parsed;
    if (strcmp(io_backend_name(io), "sim") == 0) {
        return 0;
    }
    int rc = address_parse(address, &parsed);
    if (rc == 0 && !address_is_loopback(&parsed)) {
        rc = error_raise(HF_EUNSAFE,
                         "%s address %s is not a loopback address; without authentication no other is opened", what,
                         address);
    }
    return rc;
}

int node_listen(struct node *node, const char *address)
{
    static const struct peer_callbacks callbacks = {.up = node_peer_up,
                                                    .down = node_peer_down,
                                                    .received = node_received,
                                                    .admit = members_admit,
                                                    .removed = node_told_removed};
    return peer_hub_open(node->loop, &node->identity, address, &callbacks, node, &node->hub);
}

/* In the log's turn: whoever leads here lets others lead at once, since nothing of theirs becomes durable here. */
static void node_log_stalled(void *arg, uint64_t age_ns)
{
    struct node *node = arg;
    node->log_is_stalled = age_ns > 0;
    TRACE(TRACE_WARN, "node", "the log's device %s", age_ns > 0 ? "keeps the oldest append waiting" : "goes on");
    if (node->phase == NODE_RUNNING) {
        upkeep_tell_fitness(node);
        balance_run(node);
    }
}

static int node_open_log(struct node *node)
{
    node->options.log.driver = HF_LOG_DRIVE_CALLER;
    node->options.log.stall_ms = BALANCE_STALL_MS;
    node->options.log.on_stall = node_log_stalled;
    node->options.log.on_measured = NULL; /* it would be given our argument */
    node->options.log.callback_arg = node;
    int rc = log_open(node->io, directory_log_path(node->directory), &node->options.log, &node->log);
    if (rc != 0) {
        rc = error_wrap(rc, "log %s", directory_log_path(node->directory));
        return rc != HF_EIO ? rc
                            : error_raise(rc,
                                          "%s. next: look what the device says (dmesg) and who may read the directory, "
                                          "then start again; keep the files",
                                          hf_error_text());
    }
    return loop_watch_queue(node->loop, log_queue(node->log), node_log_ready, node, &node->watch);
}

static int node_open_groups(struct node *node)
{
    node->groups = memory_new(((size_t)node->description->group_count + 1) * sizeof(*node->groups));
    for (uint32_t i = 0; i <= node->description->group_count; i++) {
        int rc = hosted_group_open(&node->groups[i], node, i);
        node->groups_open = i + 1;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void node_start_turns(struct node *node)
{
    node->turn_end = (struct loop_hook){.call = node_end_turn, .arg = node};
    loop_add_turn_end(node->loop, &node->turn_end);
    node->is_hooked = true;
    node->group_timer = (struct loop_timer){.fire = node_groups_due, .arg = node, .deadline_ms = UINT64_MAX};
    node->log_timer = (struct loop_timer){.fire = node_log_due, .arg = node, .deadline_ms = UINT64_MAX};
    node->upkeep_timer = (struct loop_timer){.fire = node_upkeep_due, .arg = node, .deadline_ms = UINT64_MAX};
    node_arm(node->loop, &node->upkeep_timer, loop_now_ms(node->loop) + UPKEEP_INTERVAL_MS);
    node->opened_ms = loop_now_ms(node->loop);
    /* The first turn's end drives what opening has queued. */
    node->is_turn_posted = true;
    loop_post(node->loop, node_turn_done, node);
}

int node_open(struct io *io, struct loop *loop, const struct node_options *options,
              const struct node_machine_ops *machine, const struct node_callbacks *callbacks, void *arg,
              struct node **out)
{
    struct node *node = memory_new(sizeof(*node));
    node->io = io;
    node->loop = loop;
    node->options = *options;
    node->machine_ops = machine;
    node->callbacks = *callbacks;
    node->arg = arg;
    node->commands = memory_new(NODE_ENTRY_COMMANDS_MAX * sizeof(*node->commands));
    list_init(&node->touched);
    list_init(&node->changes);
    list_init(&node->offers);
    list_init(&node->handouts);
    list_init(&node->snapshots.requests);
    node_set_defaults(&node->options);
    ledger_init(&node->ledger, options->memory_limit_bytes);
    int rc = directory_open(io, options->directory, &node->directory);
    if (rc != 0) {
        goto done;
    }
    node->description = directory_description(node->directory);
    node->id = directory_identity(node->directory)->node_id;
    members_begin(node);
    rc = members_open_hub(node);
    if (rc != 0) {
        goto done;
    }
    rc = relaxed_open(node);
    if (rc != 0) {
        goto done;
    }
    rc = node_open_log(node);
    if (rc != 0) {
        relaxed_open_failed(node, rc);
        goto done;
    }
    rc = work_open(io, loop, &node->work);
    if (rc != 0) {
        goto done;
    }
    rc = snapshots_open(node, options->directory);
    if (rc != 0) {
        goto done;
    }
    rc = upkeep_scan_registrations(node);
    if (rc != 0) {
        goto done;
    }
    rc = node_open_groups(node);
    if (rc != 0) {
        goto done;
    }
    rc = upkeep_check_registration(node);
    if (rc != 0) {
        goto done;
    }
    node_start_turns(node);
    *out = node;
    node = NULL;
done:
    node_close(node);
    return rc;
}

static void node_free_tickets(struct node *node)
{
    while (node->tickets_free != NULL) {
        struct relay_ticket *ticket = node->tickets_free;
        node->tickets_free = ticket->next;
        free(ticket);
    }
}

void node_close(struct node *node)
{
    if (node == NULL) {
        return;
    }
    bool ends_cleanly = relaxed_may_end(node);
    node->phase = NODE_CLOSING;
    if (node->is_hooked) {
        loop_remove_turn_end(node->loop, &node->turn_end);
        loop_timer_stop(node->loop, &node->group_timer);
        loop_timer_stop(node->loop, &node->log_timer);
        loop_timer_stop(node->loop, &node->upkeep_timer);
    }
    node_answer_refusals(node);
    for (uint32_t i = 0; i < node->groups_open; i++) {
        hosted_group_answer_all(&node->groups[i], HF_ECLOSED);
    }
    member_change_close(node);
    members_close(node);
    snapshots_answer_all(node, HF_ECLOSED);
    handout_answer_all(node, HF_ECLOSED);
    work_close(&node->work);
    peer_hub_close(node->hub);
    offer_close_all(node);
    handout_close_all(node);
    snapshot_job_close(node->snapshots.job);
    node->snapshots.job = NULL;
    for (uint32_t i = 0; i < node->groups_open; i++) {
        hosted_group_close(&node->groups[i]);
    }
    snapshots_close(node);
    if (node->watch != NULL) {
        loop_watch_close(node->loop, node->watch);
    }
    if (ends_cleanly) {
        relaxed_end(node, hf_log_sync(node->log));
    } else if (node->log == NULL && node->relaxed.is_made_here) {
        relaxed_end(node, 0); /* nothing was acknowledged under it */
    }
    hf_log_close(node->log);
    directory_close(node->directory);
    heap_close(&node->deadlines);
    node_free_tickets(node);
    buffer_close(&node->payload);
    buffer_close(&node->reply);
    free(node->refusals);
    free(node->commands);
    free(node->groups);
    free(node);
}

/* ---- Commands ---- */

uint64_t node_route(const struct node *node, struct hf_bytes key)
{
    return NODE_GROUP_FIRST + router_ordinal(key, node->description->group_count);
}

uint32_t node_group_count(const struct node *node)
{
    return node->description->group_count;
}

/* Whether the group takes commands; otherwise the code for the refusal. */
static int node_check_group(const struct node *node, const struct hosted_group *group, uint64_t id)
{
    if (node->phase != NODE_RUNNING) {
        return HF_ECLOSED;
    }
    if (group == NULL) {
        return error_raise(HF_ENOTFOUND, "there is no group %" PRIu64, id);
    }
    return group->is_failed ? error_raise(HF_ECLOSED, "group %" PRIu64 " is stopped here: %s", id, group->text) : 0;
}

static void node_propose_at(struct node *node, uint64_t group_id, struct hf_bytes command, struct proposal_owner owner,
                            bool is_forwarded)
{
    struct hosted_group *group = node_hosted_group(node, group_id);
    int rc = node_check_group(node, group, group_id);
    if (rc == 0 && group_id == NODE_SYSTEM_GROUP) {
        rc = HF_EINVALID;
    }
    if (rc == 0 && is_forwarded && !hosted_group_is_led_here(group)) {
        rc = HF_ENOTLEADER;
    }
    if (rc == 0) {
        rc = hosted_group_propose(group, command, owner, is_forwarded);
    }
    if (rc != 0) {
        node_refuse(node, owner, rc, group_id);
    }
}

void node_propose(struct node *node, uint64_t group_id, struct hf_bytes command, node_done *done, void *arg)
{
    node_propose_at(node, group_id, command, (struct proposal_owner){done, arg}, false);
}

/* As if another node had forwarded it: it made its one hop. */
void node_propose_here(struct node *node, uint64_t group_id, struct hf_bytes command, node_done *done, void *arg)
{
    node_propose_at(node, group_id, command, (struct proposal_owner){done, arg}, true);
}

uint64_t node_leader(const struct node *node, uint64_t group_id)
{
    const struct hosted_group *group = node_hosted_group(node, group_id);
    return group != NULL ? group->leader : 0;
}

void node_read(struct node *node, uint64_t group_id, enum node_read_mode mode, struct hf_bytes command, node_done *done,
               void *arg)
{
    struct hosted_group *group = node_hosted_group(node, group_id);
    struct proposal_owner owner = {done, arg};
    int rc = node_check_group(node, group, group_id);
    if (rc == 0 && group_id == NODE_SYSTEM_GROUP) {
        rc = HF_EINVALID;
    }
    if (rc == 0 && mode == NODE_READ_STALE) {
        rc = hosted_group_read_stale(group, command, owner);
    } else if (rc == 0) {
        rc = hosted_group_read(group, command, (struct read_item){.owner = owner});
    }
    if (rc != 0) {
        node_refuse(node, owner, rc, group_id);
    }
}

void node_barrier(struct node *node, uint64_t group_id, node_done *done, void *arg)
{
    struct hosted_group *group = node_hosted_group(node, group_id);
    struct proposal_owner owner = {done, arg};
    int rc = node_check_group(node, group, group_id);
    if (rc == 0) {
        rc = hosted_group_read(group, (struct hf_bytes){0}, (struct read_item){.owner = owner, .is_barrier = true});
    }
    if (rc != 0) {
        node_refuse(node, owner, rc, group_id);
    }
}

static bool node_votes_in(const struct replica_status *status, uint64_t node_id)
{
    for (unsigned i = 0; i < status->member_count; i++) {
        if (status->members[i].node_id == node_id) {
            return status->members[i].role == REPLICA_ROLE_VOTER;
        }
    }
    return false;
}

int node_transfer(struct node *node, uint64_t group_id, uint64_t to_node)
{
    struct hosted_group *group = node_hosted_group(node, group_id);
    int rc = node_check_group(node, group, group_id);
    if (rc != 0) {
        return error_raise(rc, "group %" PRIu64 " is not there or stopped", group_id);
    }
    if (to_node != 0 && node_peer(node, to_node) == NULL) {
        return error_raise(HF_EINVALID, "there is no node %" PRIu64, to_node);
    }
    if (group->leader == 0) {
        return error_raise(HF_ENOLEADER, "group %" PRIu64 " has no leader that node %" PRIu64 " knows of", group_id,
                           node->id);
    }
    if (!hosted_group_is_led_here(group)) {
        return error_raise(HF_ENOTLEADER, "node %" PRIu64 " does not lead group %" PRIu64 "; node %" PRIu64 " does",
                           node->id, group_id, group->leader);
    }
    if (to_node == node->id) {
        return 0;
    }
    struct replica_status status;
    replica_status(group->replica, &status);
    if (status.transferring) {
        return error_raise(HF_EBUSY, "leadership of group %" PRIu64 " is being handed over already", group_id);
    }
    if (to_node != 0 && !node_votes_in(&status, to_node)) {
        return error_raise(HF_EINVALID,
                           "node %" PRIu64 " has no vote in group %" PRIu64
                           ", and cannot lead it. next: holdfast member promote %" PRIu64,
                           to_node, group_id, to_node);
    }
    hosted_group_touch(group);
    return replica_transfer(group->replica, to_node);
}

void node_forward_transfer(struct node *node, uint64_t group_id, uint64_t to_node, node_done *done, void *arg)
{
    struct hosted_group *group = node_hosted_group(node, group_id);
    struct proposal_owner owner = {done, arg};
    int rc = node_check_group(node, group, group_id);
    struct node_peer *leader = rc == 0 ? node_peer(node, group->leader) : NULL;
    if (rc == 0 && (leader == NULL || leader == node->self || !leader->is_up)) {
        rc = HF_ENOLEADER;
    }
    if (rc == 0) {
        relay_transfer(group, leader, to_node, owner);
    } else {
        node_refuse(node, owner, rc, group_id);
    }
}

void node_leave(struct node *node)
{
    node->is_leaving = true;
    upkeep_tell_fitness(node);
    balance_run(node);
}

bool node_is_leading(const struct node *node)
{
    for (uint32_t i = 0; i < node->groups_open; i++) {
        if (hosted_group_is_led_here(&node->groups[i])) {
            return true;
        }
    }
    return false;
}

unsigned node_voters_at(const struct node *node, uint64_t group_id, uint64_t index)
{
    const struct hosted_group *group = node_hosted_group(node, group_id);
    return group != NULL && hosted_group_is_led_here(group) ? replica_voters_at(group->replica, index) : 0;
}

void *node_machine(struct node *node, uint64_t group_id)
{
    struct hosted_group *group = node_hosted_group(node, group_id);
    return group != NULL && group_id != NODE_SYSTEM_GROUP ? group->machine : NULL;
}
