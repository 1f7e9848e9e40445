#include "node/hosted_group.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/balance.h"
#include "node/fetch.h"
#include "node/log_cap.h"
#include "node/node_state.h"
#include "node/offer.h"
#include "node/relay.h"
#include "node/repair.h"
#include "node/snapshot_job.h"
#include "node/system_group.h"

bool hosted_group_is_led_here(const struct hosted_group *group)
{
    return group->replica != NULL && !group->is_failed && group->state == REPLICA_LEADER;
}

void hosted_group_touch(struct hosted_group *group)
{
    if (list_empty(&group->touched)) {
        list_append(&group->node->touched, &group->touched);
    }
}

static uint64_t hosted_group_wall_ms(const struct hosted_group *group)
{
    return io_wall_ms(group->node->io);
}

uint64_t hosted_group_read_stamp(struct hosted_group *group)
{
    return stamp_read(&group->stamp, hosted_group_wall_ms(group), group->ops->expire_due_ms(group->machine));
}

/* ---- What the replica tells ---- */

static void hosted_group_send(void *arg, uint64_t to_node, struct peer_message *message)
{
    struct hosted_group *group = arg;
    node_send(group->node, to_node, message);
}

static void hosted_group_lost(void *arg, uint64_t from_index)
{
    struct hosted_group *group = arg;
    const struct proposal_entry *entry;
    while ((entry = proposal_pending_back(&group->pending)) != NULL && entry->index >= from_index) {
        error_raise(HF_EINDETERMINATE, "leadership of group %" PRIu64 " was lost after index %" PRIu64 " was proposed",
                    group->id, entry->index);
        group->node->counters.indeterminate += proposal_pending_drop_back(&group->pending, HF_EINDETERMINATE);
    }
    hosted_group_touch(group);
}

static void hosted_group_reply(void *arg, uint32_t ordinal, struct hf_bytes reply)
{
    struct hosted_group *group = arg;
    const struct proposal_entry *entry = proposal_pending_front(&group->pending);
    if (ordinal < entry->count) {
        proposal_answer(proposal_pending_take(&group->pending, ordinal), 0, reply, entry->index);
    }
}

/* Gives the entry to the machine; the replies go to whoever proposed it here. */
static int hosted_group_apply_normal(struct hosted_group *group, const struct hf_entry *entry)
{
    const struct proposal_entry *own;
    /* What another leader's entry replaced will never be applied. */
    while ((own = proposal_pending_front(&group->pending)) != NULL &&
           (own->index < entry->index || (own->index == entry->index && own->term != entry->term))) {
        error_raise(HF_EINDETERMINATE, "leadership of group %" PRIu64 " was lost after index %" PRIu64 " was proposed",
                    group->id, own->index);
        group->node->counters.indeterminate += proposal_pending_drop_front(&group->pending, HF_EINDETERMINATE);
    }
    if (own == NULL || own->index != entry->index) {
        return group->ops->apply(group->machine, entry, NULL, NULL);
    }
    int rc = group->ops->apply(group->machine, entry, own->is_answered ? NULL : hosted_group_reply, group);
    /* Nobody is left after a machine that did its work. */
    group->node->counters.indeterminate += proposal_pending_drop_front(&group->pending, HF_EINDETERMINATE);
    return rc;
}

static int hosted_group_apply(void *arg, const struct hf_entry *entry)
{
    struct hosted_group *group = arg;
    int rc = 0;
    if (entry->type == HF_ENTRY_NORMAL) {
        rc = hosted_group_apply_normal(group, entry);
    }
    if (rc != 0) {
        return error_wrap(rc, "group %" PRIu64 ", index %" PRIu64, group->id, entry->index);
    }
    stamp_apply(&group->stamp, entry->timestamp_ms);
    group->applied_index = entry->index;
    group->applied_bytes += MUTATED(SNAPSHOT_RECORDS_ARE_FREE) ? entry->payload.size : hf_log_entry_bytes(entry);
    group->node->counters.applied_entries++;
    hosted_group_touch(group);
    return 0;
}

/* A new leader may not stamp below what stands in its log, applied or not. */
static void hosted_group_see_stamps(struct hosted_group *group)
{
    if (stamp_see_log(&group->stamp, group->node->log, group->id, group->applied_index) != 0) {
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": the stamps of its log could not be read: %s", group->id,
              hf_error_text());
    }
}

static void hosted_group_changed(void *arg, enum replica_state state, uint64_t term, uint64_t leader)
{
    struct hosted_group *group = arg;
    struct node *node = group->node;
    if (state == REPLICA_LEADER && (group->state != REPLICA_LEADER || group->term != term)) {
        node->counters.elections_won++;
        group->led_since_ms = loop_now_ms(node->loop);
        hosted_group_see_stamps(group);
    }
    if (leader != group->leader || state != group->state) {
        TRACE(TRACE_DEBUG, "node", "group %" PRIu64 ": state %d, term %" PRIu64 ", leader %" PRIu64, group->id,
              (int)state, term, leader);
    }
    group->state = state;
    group->term = term;
    group->leader = leader;
    group->retry_ms = 0;
    hosted_group_touch(group);
    if (node->callbacks.group_changed != NULL) {
        node->callbacks.group_changed(node->arg, group->id, state, term, leader);
    }
}

static void hosted_group_failed(void *arg, int result)
{
    struct hosted_group *group = arg;
    struct node *node = group->node;
    struct hf_log_stat stat;
    hf_log_stat(node->log, &stat);
    if (stat.failure != 0 || result == HF_EPOISONED) {
        node_fail(node, HF_EPOISONED, stat.failure != 0 ? stat.failure_text : hf_error_text());
    }
    char text[HOSTED_GROUP_TEXT_SIZE_MAX];
    snprintf(text, sizeof(text), "%s: %s", hf_error_name(result), hf_error_text());
    hosted_group_fail(group, text);
}

void hosted_group_fail(struct hosted_group *group, const char *text)
{
    if (group->is_failed) {
        return;
    }
    group->is_failed = true;
    snprintf(group->text, sizeof(group->text), "%s", text);
    TRACE(TRACE_ERROR, "node", "group %" PRIu64 " stopped: %s", group->id, group->text);
    hosted_group_touch(group);
}

/* ---- Life ---- */

static void hosted_group_snapshot_wanted(void *arg, uint64_t to_node)
{
    offer_wanted(arg, to_node);
}

static void hosted_group_snapshot_offered(void *arg, uint64_t from_node, uint64_t term,
                                          const struct replica_snapshot *snapshot, struct hf_bytes manifest)
{
    fetch_offered(arg, from_node, term, snapshot, manifest);
}

static int hosted_group_snapshot_install(void *arg)
{
    return fetch_install(arg);
}

static int hosted_group_start_replica(struct hosted_group *group, const struct replica_snapshot *snapshot)
{
    struct node *node = group->node;
    struct replica_member members[DESCRIPTION_NODES_MAX];
    for (uint32_t i = 0; i < node->description->node_count; i++) {
        members[i] = (struct replica_member){node->description->nodes[i].id, REPLICA_ROLE_VOTER};
    }
    struct replica_options options = {
        .group = group->id,
        .group_incarnation = group->incarnation,
        .node_id = node->id,
        .log = node->log,
        .io = node->io,
        .snapshot = *snapshot,
        .applied_index = snapshot->index, /* machines live in memory: the log builds the rest */
        .bootstrap = members,
        .bootstrap_count = node->description->node_count,
        .bootstrap_stamp_ms = node->description->created_ms,
        .election_timeout_ms = node->options.election_timeout_ms,
        .first_election_timeout_ms = balance_stands_first(node, group) ? node->options.election_timeout_ms / 4 : 0,
        .heartbeat_timeout_ms = node->options.heartbeat_timeout_ms,
    };
    static const struct replica_callbacks callbacks = {
        .send = hosted_group_send,
        .apply = hosted_group_apply,
        .changed = hosted_group_changed,
        .lost = hosted_group_lost,
        .failed = hosted_group_failed,
        .snapshot_wanted = hosted_group_snapshot_wanted,
        .snapshot_offered = hosted_group_snapshot_offered,
        .snapshot_install = hosted_group_snapshot_install,
    };
    relaxed_tell(group, &options);
    io_random(node->io, &options.seed, sizeof(options.seed));
    return replica_open(&options, &callbacks, group, &group->replica);
}

/* From the newest good snapshot and the log behind it. */
static int hosted_group_start(struct hosted_group *group)
{
    struct replica_snapshot snapshot;
    int rc = snapshots_load(group, &snapshot);
    if (rc != 0) {
        return rc;
    }
    group->applied_index = snapshot.index;
    stamp_apply(&group->stamp, snapshot.stamp_ms);
    return hosted_group_start_replica(group, &snapshot);
}

/* What is wrong with one group's files stays with it: bytes that are damaged, missing, not given by the device, or of a
 * newer program. */
static bool hosted_group_is_own_trouble(int result)
{
    return result == HF_ECORRUPT || result == HF_EIO || result == HF_EVERSION || result == HF_EUNSAFE;
}

/* Not started: it neither votes nor acknowledges, and the others of the node go on. */
static void hosted_group_stay_closed(struct hosted_group *group)
{
    group->is_failed = true;
    TRACE(TRACE_ERROR, "node", "group %" PRIu64 " is not started: %s", group->id, group->text);
}

/* Machine and replica, unless the log is damaged: then it is repaired first. */
static int hosted_group_begin(struct hosted_group *group)
{
    struct node *node = group->node;
    void *arg = group->ordinal == UINT32_MAX ? (void *)node->description : group->ops->arg;
    group->snapshots.taken_ms = loop_now_ms(node->loop);
    group->machine = group->ops->open(arg, group->id, group->incarnation, group->ordinal);
    int rc = 0;
    group->repair.is_open = repair_is_needed(group);
    if (!group->repair.is_open) {
        rc = hosted_group_start(group);
        if (hosted_group_is_own_trouble(rc)) {
            snprintf(group->text, sizeof(group->text), "%s: %s", hf_error_name(rc), hf_error_text());
        }
        if (rc == HF_ECORRUPT) { /* damage that only shows when the entries are read */
            group->repair.is_open = repair_is_needed(group) || repair_lacks_state(group);
        }
    }
    if (group->repair.is_open || hosted_group_is_own_trouble(rc)) {
        hosted_group_stay_closed(group);
        return 0;
    }
    hosted_group_touch(group);
    return rc != 0 ? error_wrap(rc, "group %" PRIu64, group->id) : 0;
}

int hosted_group_open(struct hosted_group *group, struct node *node, uint32_t position)
{
    bool is_system = position == 0;
    group->node = node;
    group->id = node->description->groups[position].id;
    group->incarnation = node->description->groups[position].incarnation;
    group->ordinal = is_system ? UINT32_MAX : position - 1;
    group->ops = is_system ? system_group_ops() : node->machine_ops;
    list_init(&group->touched);
    reads_init(&group->reads);
    return hosted_group_begin(group);
}

/* Everything that the group knew of its log and its peers; who waited was answered when it failed. */
static void hosted_group_forget(struct hosted_group *group)
{
    struct node *node = group->node;
    group->has_rejoined |= group->replica != NULL && !replica_is_rejoining(group->replica);
    replica_close(group->replica);
    group->replica = NULL;
    group->ops->close(group->machine);
    group->machine = NULL;
    node->data_bytes -= group->data_bytes;
    group->data_bytes = 0;
    group->state = REPLICA_FOLLOWER;
    group->term = group->leader = group->applied_index = 0;
    group->stamp = (struct stamp){0};
    group->expire_in_flight = false;
    group->expire_next_ms = group->retry_ms = 0;
    group->settled_version = group->settled_term = 0;
    group->round_index = group->round_term = group->round_ms = 0;
    group->snapshots = (struct group_snapshots){0};
    group->repair = (struct group_repair){.repaired = group->repair.repaired};
    group->is_failed = false;
    group->text[0] = '\0';
}

bool hosted_group_restart(struct hosted_group *group)
{
    struct node *node = group->node;
    struct snapshot_job *job = node->snapshots.job;
    if (job != NULL && snapshot_job_group(job) == group) {
        snapshot_job_cancel(job);
        return false;
    }
    if (group->fetch != NULL) {
        fetch_abandon(group);
        return false;
    }
    hosted_group_answer_all(group, HF_ECLOSED);
    hosted_group_forget(group);
    int rc = hosted_group_begin(group);
    if (rc != 0) {
        hosted_group_fail(group, hf_error_text());
    }
    if (group->is_failed) {
        return false;
    }
    group->repair = (struct group_repair){0};
    for (uint32_t i = 0; i < node->peer_count; i++) {
        if (node->peers[i].id != 0 && &node->peers[i] != node->self && node->peers[i].is_up) {
            replica_peer_changed(group->replica, node->peers[i].id, true);
        }
    }
    return true;
}

void hosted_group_close(struct hosted_group *group)
{
    if (group->node == NULL) {
        return;
    }
    replica_close(group->replica);
    group->replica = NULL;
    if (group->fetch != NULL) {
        fetch_close(group->fetch);
        group->fetch = NULL;
    }
    proposal_queue_close(&group->queue);
    proposal_pending_close(&group->pending);
    forward_table_close(&group->forwards);
    reads_close(&group->reads);
    for (uint32_t i = 0; group->answers != NULL && i < group->node->peer_count; i++) {
        buffer_close(&group->answers[i]);
    }
    free(group->answers);
    if (group->machine != NULL) {
        group->ops->close(group->machine);
    }
    heap_remove(&group->node->deadlines, &group->deadline);
    list_remove(&group->touched);
}

/* ---- Taking in ---- */

static bool hosted_group_is_full(const struct hosted_group *group)
{
    return group->queue.count + group->pending.owners_count + group->forwards.count + group->reads.count >=
           NODE_GROUP_PENDING_MAX;
}

/* Asked where the group is led, whose data is the newest; elsewhere the leader will be asked. */
static bool hosted_group_is_over_limit(const struct hosted_group *group, struct hf_bytes command)
{
    const struct node *node = group->node;
    return node->options.data_size_max_bytes != 0 && node->data_bytes >= node->options.data_size_max_bytes &&
           hosted_group_is_led_here(group) && group->ops->may_grow != NULL &&
           group->ops->may_grow(group->machine, command);
}

/* Sessions stop reading at the ledger's limit, so what comes from them is refused only far above it. What other nodes
 * forward cannot be held back where it comes from: it may take half, and one command alone always may. */
static bool hosted_group_is_out_of_memory(const struct hosted_group *group, struct hf_bytes command, bool is_forwarded)
{
    const struct node *node = group->node;
    uint64_t limit = is_forwarded ? node->ledger.limit_bytes / 2 : node->ledger.limit_bytes;
    return (node->waiting_bytes > 0 && node->waiting_bytes + command.size > limit) ||
           (is_forwarded && ledger_is_exhausted(&node->ledger));
}

int hosted_group_propose(struct hosted_group *group, struct hf_bytes command, struct proposal_owner owner,
                         bool is_forwarded)
{
    struct node *node = group->node;
    if (command.size > NODE_COMMAND_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "a command of %zu bytes is above the limit of %u", command.size,
                           NODE_COMMAND_SIZE_MAX);
    }
    if (hosted_group_is_full(group) || hosted_group_is_out_of_memory(group, command, is_forwarded)) {
        return error_raise(HF_EBUSY, "group %" PRIu64 " has too much waiting", group->id);
    }
    if (hosted_group_is_over_limit(group, command)) {
        return error_raise(HF_ENOMEM, "the data of this node has reached its limit of %" PRIu64 " bytes",
                           node->options.data_size_max_bytes);
    }
    int rc = log_cap_check(group);
    if (rc != 0) {
        return rc;
    }
    struct proposal item = {.owner = owner, .is_forwarded = is_forwarded};
    item.deadline_ms = loop_now_ms(node->loop) + node->options.request_timeout_ms;
    proposal_queue_append(&group->queue, command, item);
    node->waiting_bytes += command.size;
    node->counters.proposals++;
    hosted_group_touch(group);
    return 0;
}

static int hosted_group_check_read(const struct hosted_group *group, struct hf_bytes command, bool is_forwarded)
{
    if (command.size > NODE_COMMAND_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "a command of %zu bytes is above the limit of %u", command.size,
                           NODE_COMMAND_SIZE_MAX);
    }
    if (hosted_group_is_full(group) || hosted_group_is_out_of_memory(group, command, is_forwarded)) {
        return error_raise(HF_EBUSY, "group %" PRIu64 " has too much waiting", group->id);
    }
    return 0;
}

int hosted_group_read(struct hosted_group *group, struct hf_bytes command, struct read_item item)
{
    struct node *node = group->node;
    int rc = hosted_group_check_read(group, command, item.is_forwarded);
    if (rc == 0) {
        reads_add(group, command, item, loop_now_ms(node->loop) + node->options.request_timeout_ms);
        hosted_group_touch(group);
    }
    return rc;
}

int hosted_group_read_stale(struct hosted_group *group, struct hf_bytes command, struct proposal_owner owner)
{
    int rc = hosted_group_check_read(group, command, false);
    if (rc == 0) {
        reads_add_stale(group, command, owner);
        hosted_group_touch(group);
    }
    return rc;
}

/* ---- Answers without a proposal ---- */

/* Answers the first `count` waiting commands; nothing of them was proposed. */
static void hosted_group_refuse(struct hosted_group *group, size_t count, int result)
{
    size_t bytes_before = proposal_queue_bytes(&group->queue);
    struct proposal_owner *owners = memory_new((count > 0 ? count : 1) * sizeof(*owners));
    for (size_t i = 0; i < count; i++) {
        owners[i] = proposal_queue_at(&group->queue, i)->owner;
    }
    proposal_queue_drop(&group->queue, count);
    group->node->waiting_bytes -= bytes_before - proposal_queue_bytes(&group->queue);
    if (result == HF_ENOLEADER) {
        group->node->counters.no_leader += count;
    }
    /* Owners may propose again: the queue is in order before the first of them is called. */
    for (size_t i = 0; i < count; i++) {
        proposal_answer(owners[i], result, (struct hf_bytes){0}, result == HF_ENOLEADER ? group->leader : 0);
    }
    free(owners);
}

static void hosted_group_expire_queue(struct hosted_group *group, uint64_t now_ms)
{
    size_t count = 0;
    while (count < group->queue.count && proposal_queue_at(&group->queue, count)->deadline_ms <= now_ms) {
        count++;
    }
    if (count == 0) {
        return;
    }
    int result = hosted_group_is_led_here(group) ? HF_EBUSY : HF_ENOLEADER;
    error_raise(result,
                result == HF_EBUSY ? "group %" PRIu64 " did not take the command in time"
                                   : "no leader for group %" PRIu64,
                group->id);
    hosted_group_refuse(group, count, result);
}

void hosted_group_answer_all(struct hosted_group *group, int result)
{
    if (group->node == NULL) {
        return;
    }
    error_raise(result, "group %" PRIu64 " is closed", group->id);
    hosted_group_refuse(group, group->queue.count, result);
    reads_answer_all(group, result);
    error_raise(HF_EINDETERMINATE, "group %" PRIu64 " closed before the outcome was known", group->id);
    while (proposal_pending_front(&group->pending) != NULL) {
        group->node->counters.indeterminate += proposal_pending_drop_front(&group->pending, HF_EINDETERMINATE);
    }
    relay_abandon(group, 0);
}

/* ---- The turn's end: proposals ---- */

/* Composes one entry from waiting commands, from position `first`. Returns how many it took. */
static uint32_t hosted_group_compose(struct hosted_group *group, size_t first, uint64_t stamp_ms, struct buffer *out)
{
    struct node *node = group->node;
    uint32_t count = 0;
    size_t bytes = 0;
    while (first + count < group->queue.count && count < NODE_ENTRY_COMMANDS_MAX) {
        struct hf_bytes command = proposal_queue_command(&group->queue, first + count);
        if (count > 0 && bytes + command.size > NODE_ENTRY_SIZE_TARGET) {
            break;
        }
        bytes += command.size;
        node->commands[count++] = command;
    }
    group->ops->compose(group->machine, stamp_ms, node->commands, count, out);
    return count;
}

/* The replica took the entries over: their commands now wait to be applied. */
static void hosted_group_submitted(struct hosted_group *group, const uint32_t *counts, unsigned entries, uint64_t index,
                                   uint64_t term)
{
    const struct proposal_entry *back;
    while ((back = proposal_pending_back(&group->pending)) != NULL && back->index >= index) {
        hosted_group_lost(group, index); /* its place in the log was taken again */
    }
    size_t first = 0;
    for (unsigned i = 0; i < entries; i++) {
        struct proposal_entry entry = {.index = index + i, .term = term, .count = counts[i]};
        entry.deadline_ms = proposal_queue_at(&group->queue, first)->deadline_ms;
        proposal_pending_append(&group->pending, entry, &group->queue, first);
        first += counts[i];
    }
    size_t bytes_before = proposal_queue_bytes(&group->queue);
    proposal_queue_drop(&group->queue, first);
    group->node->waiting_bytes -= bytes_before - proposal_queue_bytes(&group->queue);
    group->node->counters.entries_submitted += entries;
}

/* A refusal: some pass by themselves and the commands wait on, others are answers. */
static void hosted_group_refused(struct hosted_group *group, size_t count, int result)
{
    if (result == HF_EBUSY || result == HF_ENOTLEADER) {
        group->retry_ms = loop_now_ms(group->node->loop) + HOSTED_GROUP_RETRY_MS;
        return;
    }
    hosted_group_refuse(group, count, result);
}

/* One SUBMIT. Returns false when the rest has to wait. */
static bool hosted_group_submit(struct hosted_group *group)
{
    struct buffer *payload = &group->node->payload;
    struct hf_bytes payloads[HOSTED_GROUP_SUBMIT_MAX];
    size_t ends[HOSTED_GROUP_SUBMIT_MAX];
    uint32_t counts[HOSTED_GROUP_SUBMIT_MAX];
    unsigned entries = 0;
    size_t taken = 0;
    uint64_t index = 0;
    uint64_t term = 0;
    uint64_t stamp_ms = stamp_next(&group->stamp, hosted_group_wall_ms(group));
    buffer_clear(payload);
    while (taken < group->queue.count && entries < HOSTED_GROUP_SUBMIT_MAX &&
           payload->size < HOSTED_GROUP_SUBMIT_BYTES) {
        counts[entries] = hosted_group_compose(group, taken, stamp_ms, payload);
        taken += counts[entries];
        ends[entries++] = payload->size;
    }
    for (unsigned i = 0; i < entries; i++) {
        size_t start = i > 0 ? ends[i - 1] : 0;
        payloads[i] = bytes_of(payload->data + start, ends[i] - start);
    }
    int rc = replica_submit(group->replica, payloads, entries, stamp_ms, &index, &term);
    if (payload->capacity > HOSTED_GROUP_SUBMIT_BYTES) {
        buffer_close(payload);
    }
    if (rc != 0) {
        hosted_group_refused(group, taken, rc);
        return false;
    }
    hosted_group_submitted(group, counts, entries, index, term);
    return true;
}

/* Commands under way to an earlier leader come first, or never: see node/relay.h. */
static bool hosted_group_awaits_forwards(struct hosted_group *group, uint64_t target)
{
    if (group->forwards.proposals_in_flight == 0 || group->forward_target == target) {
        group->forward_grace_ms = 0;
        return false;
    }
    if (group->forward_grace_ms == 0) {
        group->forward_grace_ms = loop_now_ms(group->node->loop) + group->node->options.election_timeout_ms / 2;
    }
    return true;
}

/* What came from another node may not be sent on: it goes back unproposed. */
static void hosted_group_refuse_forwarded(struct hosted_group *group)
{
    size_t kept = 0;
    while (kept < group->queue.count && !proposal_queue_at(&group->queue, kept)->is_forwarded) {
        kept++;
    }
    if (kept == group->queue.count) {
        return;
    }
    /* Rare: rebuild the queue without them. */
    struct proposal_queue old = group->queue;
    group->queue = (struct proposal_queue){0};
    group->node->waiting_bytes -= proposal_queue_bytes(&old);
    struct proposal_owner *owners = memory_new(old.count * sizeof(*owners));
    size_t count = 0;
    for (size_t i = 0; i < old.count; i++) {
        const struct proposal *item = proposal_queue_at(&old, i);
        if (item->is_forwarded) {
            owners[count++] = item->owner;
        } else {
            proposal_queue_append(&group->queue, proposal_queue_command(&old, i), *item);
        }
    }
    group->node->waiting_bytes += proposal_queue_bytes(&group->queue);
    proposal_queue_drop(&old, old.count);
    proposal_queue_close(&old);
    error_raise(HF_ENOLEADER, "node %" PRIu64 " no longer leads group %" PRIu64, group->node->id, group->id);
    for (size_t i = 0; i < count; i++) {
        proposal_answer(owners[i], HF_ENOLEADER, (struct hf_bytes){0}, group->leader);
    }
    free(owners);
}

static void hosted_group_flush_proposals(struct hosted_group *group)
{
    struct node *node = group->node;
    if (group->queue.count == 0) {
        return;
    }
    if (hosted_group_is_led_here(group)) {
        if (hosted_group_awaits_forwards(group, node->id)) {
            return;
        }
        while (group->queue.count > 0 && hosted_group_submit(group)) {
        }
        return;
    }
    hosted_group_refuse_forwarded(group);
    struct node_peer *peer = group->leader != 0 ? node_peer(node, group->leader) : NULL;
    if (group->queue.count > 0 && peer != NULL && peer != node->self && peer->is_up &&
        !hosted_group_awaits_forwards(group, peer->id)) {
        relay_proposals(group, peer);
    }
}

/* ---- The turn's end: what is due in the data ---- */

static void hosted_group_expired(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct hosted_group *group = arg;
    group->expire_in_flight = false;
    group->expire_next_ms = result != 0 ? loop_now_ms(group->node->loop) + HOSTED_GROUP_EXPIRE_RETRY_MS : 0;
    hosted_group_touch(group);
}

static void hosted_group_propose_expiry(struct hosted_group *group)
{
    if (group->expire_in_flight || !hosted_group_is_led_here(group) ||
        group->expire_next_ms > loop_now_ms(group->node->loop)) {
        return;
    }
    uint64_t due_ms = group->ops->expire_due_ms(group->machine);
    uint64_t stamp_ms = due_ms != UINT64_MAX ? stamp_next(&group->stamp, hosted_group_wall_ms(group)) : 0;
    if (due_ms > stamp_ms) {
        return;
    }
    struct buffer *command = &group->node->reply;
    buffer_clear(command);
    group->ops->expire(group->machine, stamp_ms, command);
    struct proposal_owner owner = {hosted_group_expired, group};
    group->expire_in_flight = hosted_group_propose(group, buffer_bytes(command), owner, false) == 0;
}

/* ---- The turn's end ---- */

static void hosted_group_expire(struct hosted_group *group, uint64_t now_ms)
{
    if (proposal_queue_deadline_ms(&group->queue) <= now_ms) {
        hosted_group_expire_queue(group, now_ms);
    }
    if (proposal_pending_deadline_ms(&group->pending) <= now_ms) {
        error_raise(HF_EINDETERMINATE, "group %" PRIu64 " did not commit the command in time", group->id);
        group->node->counters.indeterminate += proposal_pending_expire(&group->pending, now_ms, HF_EINDETERMINATE);
    }
    if (forward_table_deadline_ms(&group->forwards) <= now_ms) {
        relay_expire(group, now_ms);
    }
    if (reads_deadline_ms(&group->reads) <= now_ms) {
        reads_expire(group, now_ms);
    }
    if (group->forward_grace_ms != 0 && group->forward_grace_ms <= now_ms) {
        group->forward_grace_ms = 0;
        relay_abandon(group, group->leader);
    }
    if (group->retry_ms <= now_ms) {
        group->retry_ms = 0;
    }
}

static void hosted_group_count_data(struct hosted_group *group)
{
    if (group->ops->data_bytes != NULL) {
        uint64_t data_bytes = group->ops->data_bytes(group->machine);
        group->node->data_bytes += data_bytes - group->data_bytes;
        group->data_bytes = data_bytes;
    }
}

void hosted_group_flush(struct hosted_group *group)
{
    struct node *node = group->node;
    if (group->is_failed || node->phase != NODE_RUNNING) {
        hosted_group_answer_all(group, HF_ECLOSED);
        heap_remove(&node->deadlines, &group->deadline);
        repair_due(group);
    } else {
        hosted_group_expire(group, loop_now_ms(node->loop));
        if (group->retry_ms == 0) {
            hosted_group_propose_expiry(group);
            hosted_group_flush_proposals(group);
        }
        reads_flush(group);
        hosted_group_count_data(group);
    }
    relay_flush_answers(group);
}

void hosted_group_due(struct hosted_group *group)
{
    struct node *node = group->node;
    hosted_group_touch(group);
    if (group->replica != NULL && !group->is_failed && node->phase == NODE_RUNNING &&
        replica_deadline_ms(group->replica) <= loop_now_ms(node->loop)) {
        replica_tick(group->replica);
    }
}

static uint64_t hosted_group_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the data has something due, as far as this leader's clock can be trusted to walk on. */
static uint64_t hosted_group_expiry_ms(struct hosted_group *group, uint64_t now_ms)
{
    if (group->expire_in_flight || !hosted_group_is_led_here(group)) {
        return UINT64_MAX;
    }
    uint64_t due_ms = group->ops->expire_due_ms(group->machine);
    if (due_ms == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t wall_ms = hosted_group_wall_ms(group);
    uint64_t wait_ms = due_ms > wall_ms ? due_ms - wall_ms : 0;
    if (wait_ms > HOSTED_GROUP_DUE_CHECK_MS) {
        wait_ms = HOSTED_GROUP_DUE_CHECK_MS;
    }
    return now_ms + wait_ms > group->expire_next_ms ? now_ms + wait_ms : group->expire_next_ms;
}

uint64_t hosted_group_deadline_ms(struct hosted_group *group)
{
    if (group->is_failed || group->node->phase != NODE_RUNNING) {
        return UINT64_MAX;
    }
    uint64_t now_ms = loop_now_ms(group->node->loop);
    uint64_t deadline_ms = group->replica != NULL ? replica_deadline_ms(group->replica) : UINT64_MAX;
    deadline_ms = hosted_group_earlier(deadline_ms, proposal_queue_deadline_ms(&group->queue));
    deadline_ms = hosted_group_earlier(deadline_ms, proposal_pending_deadline_ms(&group->pending));
    deadline_ms = hosted_group_earlier(deadline_ms, forward_table_deadline_ms(&group->forwards));
    deadline_ms = hosted_group_earlier(deadline_ms, reads_deadline_ms(&group->reads));
    deadline_ms = hosted_group_earlier(deadline_ms, hosted_group_expiry_ms(group, now_ms));
    if (group->forward_grace_ms != 0) {
        deadline_ms = hosted_group_earlier(deadline_ms, group->forward_grace_ms);
    }
    if (group->retry_ms != 0) {
        deadline_ms = hosted_group_earlier(deadline_ms, group->retry_ms);
    }
    return deadline_ms;
}
