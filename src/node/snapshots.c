#include "node/snapshots.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/group_stream.h"
#include "node/log_cap.h"
#include "node/node_state.h"
#include "node/offer.h"
#include "node/snapshot_job.h"
#include "snapshot/snapshot.h"

/* Who waits for snapshots. */
struct snapshot_request {
    struct list link;
    struct proposal_owner owner;
    uint64_t group; /* 0: every one */
    uint64_t sequence;
};

/* ---- Life ---- */

static uint64_t snapshots_or(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static uint64_t snapshots_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void snapshots_set_defaults(struct node_snapshot_options *options)
{
    options->entries = snapshots_or(options->entries, SNAPSHOTS_ENTRIES_DEFAULT);
    options->log_bytes = snapshots_or(options->log_bytes, SNAPSHOTS_LOG_BYTES_DEFAULT);
    options->interval_ms = snapshots_or(options->interval_ms, SNAPSHOTS_INTERVAL_MS);
    options->trail = snapshots_or(options->trail, SNAPSHOTS_TRAIL_DEFAULT);
    options->copy_bytes_max = snapshots_or(options->copy_bytes_max, SNAPSHOTS_COPY_BYTES_MAX);
    options->log_entries_max = snapshots_or(options->log_entries_max, LOG_CAP_ENTRIES_DEFAULT);
    options->entries = snapshots_least(options->entries, options->log_entries_max / LOG_CAP_DUE_PARTS);
    options->trail = snapshots_least(options->trail, options->log_entries_max / LOG_CAP_TRAIL_PARTS);
    options->keep_latest = (uint32_t)snapshots_or(options->keep_latest, SNAPSHOTS_KEEP_DEFAULT);
    options->keep_latest = options->keep_latest < 2 ? 2 : options->keep_latest;
}

static void snapshots_report(void *arg, const struct hf_snapshot_event *event)
{
    struct snapshots *snapshots = arg;
    bool is_bad = event->kind != HF_SNAPSHOT_EVENT_LEFT_OVER;
    if (event->kind == HF_SNAPSHOT_EVENT_DAMAGED) {
        atomic_store(&snapshots->is_damage_new, true);
    }
    TRACE(is_bad ? TRACE_ERROR : TRACE_INFO, "node", "group %" PRIu64 ", snapshot at index %" PRIu64 ": %s",
          event->group, event->index, event->text);
}

int snapshots_open(struct node *node, const char *data_directory)
{
    struct snapshots *snapshots = &node->snapshots;
    snapshots->options = node->options.snapshot;
    snapshots_set_defaults(&snapshots->options);
    struct hf_snapshot_options options = {.format = snapshots->options.format,
                                          .sync_every_bytes = snapshots->options.sync_bytes,
                                          .report = snapshots_report,
                                          .report_arg = snapshots};
    char *own = text_format("%s/snapshots", data_directory);
    const char *path = snapshots->options.directory != NULL ? snapshots->options.directory : own;
    int rc = snapshot_open(node->io, path, &options, &snapshots->store);
    if (rc != 0) {
        rc = error_wrap(rc, "snapshots in %s", path);
    }
    free(own);
    return rc;
}

void snapshots_close(struct node *node)
{
    hf_snapshot_store_close(node->snapshots.store);
    node->snapshots.store = NULL;
}

/* ---- What a group starts from ---- */

/* The last reset of the log names a snapshot that was received: from that moment on it is this group's state, and the
 * import is repeated if the process ended before it. What no reset names stays out of sight. */
static int snapshots_accept_named(struct hosted_group *group, const struct hf_log_group_state *state)
{
    struct hf_snapshot_id id;
    struct hf_snapshot_info info;
    struct hf_snapshot_store *store = group->node->snapshots.store;
    if (state->snapshot_name_size == 0 ||
        hf_snapshot_id_parse((struct hf_bytes){state->snapshot_name, state->snapshot_name_size}, &id) != 0 ||
        hf_snapshot_find(store, id, &info) != 0) {
        return 0; /* whether something else reaches the log's beginning is checked later */
    }
    return info.origin == HF_SNAPSHOT_RECEIVED ? hf_snapshot_accept(store, id) : 0;
}

static int snapshots_import(struct hosted_group *group, struct hf_snapshot_id id, uint64_t *stamp_ms)
{
    struct group_stream_head head = {.group = group->id, .incarnation = group->incarnation};
    const struct group_import_source source = {.store = group->node->snapshots.store, .id = id};
    int rc = group_import_snapshot(group->ops, group->machine, &head, &source);
    *stamp_ms = head.stamp_ms;
    return rc;
}

int snapshots_load(struct hosted_group *group, struct replica_snapshot *out)
{
    struct hf_snapshot_manifest manifest;
    struct hf_log_group_state state;
    struct hf_snapshot_store *store = group->node->snapshots.store;
    *out = (struct replica_snapshot){0};
    if (group->ops->cut == NULL) {
        return 0;
    }
    int rc = hf_log_group_state(group->node->log, group->id, &state);
    rc = rc == 0 ? snapshots_accept_named(group, &state) : rc;
    while (rc == 0) {
        /* Reading it all is what verifies it; one that turns out to be damaged is passed by the next time. */
        rc = hf_snapshot_latest(store, group->id, group->incarnation, &manifest);
        if (rc != 0) {
            break;
        }
        rc = group_stream_snapshot(&manifest, out);
        rc = rc == 0 ? snapshots_import(group, manifest.id, &out->stamp_ms) : rc;
        if (rc == 0) {
            snapshots_note(group, manifest.index, manifest.created_ms);
            return 0;
        }
        struct hf_snapshot_info info;
        if (rc == HF_ECORRUPT && hf_snapshot_find(store, manifest.id, &info) == 0 && info.damaged) {
            rc = 0;
        }
    }
    *out = (struct replica_snapshot){0};
    /* Without a snapshot the log must be whole; whether it is, the replica checks. */
    return rc == HF_ENOTFOUND || (rc == HF_ECORRUPT && state.first_index == 1) ? 0 : rc;
}

/* ---- When ---- */

void snapshots_note(struct hosted_group *group, uint64_t index, uint64_t created_ms)
{
    struct node *node = group->node;
    struct group_snapshots *own = &group->snapshots;
    own->index = index;
    own->created_ms = created_ms;
    own->taken_ms = loop_now_ms(node->loop);
    own->cut_bytes = group->applied_bytes;
    own->span_bytes = 0;
    own->failures = 0;
    own->retry_ms = 0;
    own->is_lost = false;
    own->is_passed_by = false;
    if (created_ms > node->snapshots.status.last_wall_ms) {
        node->snapshots.status.last_wall_ms = created_ms;
    }
}

void snapshots_note_taken(struct hosted_group *group, uint64_t index, uint64_t created_ms, uint64_t cut_bytes)
{
    struct group_snapshots *own = &group->snapshots;
    uint64_t span_bytes = MUTATED(SNAPSHOT_SPAN_FORGOTTEN) ? 0 : cut_bytes - own->cut_bytes;
    snapshots_note(group, index, created_ms);
    own->cut_bytes = cut_bytes;
    own->span_bytes = span_bytes;
}

void snapshots_want(struct hosted_group *group)
{
    group->snapshots.wanted = ++group->node->snapshots.sequence;
}

uint64_t snapshots_floor(const struct hosted_group *group, uint64_t second_index)
{
    uint64_t trail = group->node->snapshots.options.trail;
    uint64_t floor = second_index > trail ? second_index - trail : 0;
    uint64_t pinned = log_cap_is_near(group) ? UINT64_MAX : offer_floor(group);
    return floor < pinned ? floor : pinned;
}

static bool snapshots_is_due(const struct hosted_group *group, uint64_t now_ms)
{
    const struct group_snapshots *own = &group->snapshots;
    const struct node_snapshot_options *options = &group->node->snapshots.options;
    uint64_t grown = group->applied_bytes - own->cut_bytes;
    if (own->is_lost) {
        return true;
    }
    if (group->applied_index <= own->index) {
        return false;
    }
    if (own->is_passed_by || now_ms - own->taken_ms >= options->interval_ms ||
        group->applied_index - own->index >= options->entries) {
        return true;
    }
    return grown >= options->log_bytes || (grown + own->span_bytes) / 2 >= options->log_bytes;
}

/* Members that do not know snapshots of the system group must be able to follow its log from the beginning. */
static bool snapshots_is_known_to_all(const struct hosted_group *group)
{
    return group->id != NODE_SYSTEM_GROUP ||
           group->node->membership.feature_level >= DESCRIPTION_FEATURES_SYSTEM_SNAPSHOTS;
}

static bool snapshots_is_started(const struct hosted_group *group)
{
    return group->ops->cut != NULL && group->replica != NULL && !group->is_failed;
}

static bool snapshots_can(const struct hosted_group *group)
{
    return snapshots_is_started(group) && snapshots_is_known_to_all(group);
}

/* Nothing of it would be new, or it cannot be taken: who asked is answered. */
static void snapshots_settle(struct hosted_group *group)
{
    struct group_snapshots *own = &group->snapshots;
    if (own->wanted > own->answered &&
        (!snapshots_can(group) || (group->applied_index <= own->index && !own->is_lost))) {
        own->answered = own->wanted;
        own->result = snapshots_is_started(group) ? 0 : HF_ECLOSED;
    }
}

bool snapshots_find(struct hosted_group *group, struct hf_snapshot_manifest *out)
{
    struct hf_snapshot_info *list;
    size_t count;
    bool is_found = false;
    if (hf_snapshot_list(group->node->snapshots.store, group->id, &list, &count) != 0) {
        return false;
    }
    for (size_t i = 0; i < count && !is_found; i++) {
        const struct hf_snapshot_manifest *manifest = &list[i].manifest;
        bool is_it = MUTATED(SNAPSHOT_OLDER_HANDED_OUT) ? manifest->index <= group->snapshots.index
                                                        : manifest->index == group->snapshots.index;
        if (is_it && !list[i].damaged && list[i].origin == HF_SNAPSHOT_LOCAL &&
            manifest->group_incarnation == group->incarnation) {
            *out = *manifest;
            is_found = true;
        }
    }
    hf_snapshot_list_free(list);
    return is_found;
}

/* Whether one behind the newest that the state includes is damaged: a start passed it by. */
static bool snapshots_is_passed_by(const struct hosted_group *group)
{
    struct hf_snapshot_info *list;
    size_t count;
    bool is_found = false;
    if (hf_snapshot_list(group->node->snapshots.store, group->id, &list, &count) != 0) {
        return false;
    }
    for (size_t i = 0; i < count && !is_found; i++) {
        is_found =
            list[i].damaged && list[i].origin == HF_SNAPSHOT_LOCAL && list[i].manifest.index > group->snapshots.index;
    }
    hf_snapshot_list_free(list);
    return is_found;
}

/* Somebody read a snapshot and found it damaged; or the store did when it was opened. */
static void snapshots_look_for_damage(struct node *node)
{
    struct hf_snapshot_manifest manifest;
    if (!atomic_exchange(&node->snapshots.is_damage_new, false)) {
        return;
    }
    for (uint32_t i = 0; i < node->groups_open; i++) {
        struct hosted_group *group = &node->groups[i];
        group->snapshots.is_passed_by = snapshots_is_started(group) && snapshots_is_passed_by(group);
        if (snapshots_is_started(group) && group->snapshots.index > 0 && !snapshots_find(group, &manifest)) {
            group->snapshots.is_lost = true;
            TRACE(TRACE_WARN, "node",
                  "group %" PRIu64 ": another snapshot takes the place of the damaged one at index %" PRIu64, group->id,
                  group->snapshots.index);
        }
    }
}

static bool snapshots_try(struct hosted_group *group, uint64_t now_ms)
{
    struct snapshots *snapshots = &group->node->snapshots;
    struct group_snapshots *own = &group->snapshots;
    snapshots_settle(group);
    bool is_wanted = own->wanted > own->answered;
    if (!snapshots_can(group) || (!is_wanted && (snapshots->options.is_off || own->retry_ms > now_ms)) ||
        (!is_wanted && !snapshots_is_due(group, now_ms))) {
        return false;
    }
    int rc = snapshot_job_start(group, own->wanted, &snapshots->job);
    if (rc == HF_ECONFLICT && is_wanted) {
        own->answered = own->wanted;
        own->result = 0;
    }
    return rc == 0;
}

static void snapshots_start(struct node *node)
{
    struct snapshots *snapshots = &node->snapshots;
    uint64_t now_ms = loop_now_ms(node->loop);
    for (uint32_t i = 0; i < node->groups_open && snapshots->job == NULL; i++) {
        uint32_t position = (snapshots->cursor + i) % node->groups_open;
        if (snapshots_try(&node->groups[position], now_ms)) {
            snapshots->cursor = MUTATED(SNAPSHOT_TAKES_NO_TURNS) ? 0 : position + 1;
        }
    }
}

/* ---- Who waits ---- */

static bool snapshots_is_answered(const struct node *node, const struct snapshot_request *request, int *result)
{
    *result = 0;
    for (uint32_t i = 0; i < node->groups_open; i++) {
        const struct hosted_group *group = &node->groups[i];
        if ((request->group == 0 && group->ops->cut == NULL) || (request->group != 0 && request->group != group->id)) {
            continue;
        }
        if (group->snapshots.answered < request->sequence) {
            return false;
        }
        *result = *result == 0 ? group->snapshots.result : *result;
    }
    return true;
}

static void snapshots_answer(struct snapshots *snapshots, struct snapshot_request *request, int result)
{
    struct proposal_owner owner = request->owner;
    list_remove(&request->link);
    snapshots->request_count--;
    free(request);
    proposal_answer(owner, result, (struct hf_bytes){0}, 0);
}

void snapshots_answer_all(struct node *node, int result)
{
    while (node->snapshots.requests.next != NULL && !list_empty(&node->snapshots.requests)) {
        error_raise(result, "the node is closed");
        snapshots_answer(&node->snapshots, list_entry(node->snapshots.requests.next, struct snapshot_request, link),
                         result);
    }
}

void snapshots_run(struct node *node)
{
    struct snapshots *snapshots = &node->snapshots;
    if (node->phase != NODE_RUNNING) {
        return;
    }
    log_cap_measure(node);
    snapshots_look_for_damage(node);
    if (snapshots->job == NULL) {
        snapshots_start(node);
    } else {
        snapshot_job_continue(snapshots->job);
    }
    list_each_safe (&snapshots->requests, link) {
        struct snapshot_request *request = list_entry(link, struct snapshot_request, link);
        int result;
        if (snapshots_is_answered(node, request, &result)) {
            if (result != 0) {
                error_raise(result, "%s", snapshots->status.text);
            }
            snapshots_answer(snapshots, request, result);
        }
    }
}

void snapshots_job_ended(struct hosted_group *group, uint64_t sequence, int result)
{
    struct node *node = group->node;
    struct snapshots *snapshots = &node->snapshots;
    struct group_snapshots *own = &group->snapshots;
    snapshots->job = NULL;
    own->answered = sequence;
    own->result = result;
    if (result == 0) {
        snapshots->status.taken++;
        snapshots->status.last_result = 0;
        own->is_lost = false; /* also when it has the index of the one that was lost */
        snapshots->status.text[0] = '\0';
    } else {
        snapshots->status.failed++;
        own->failures += own->failures < 16;
        uint64_t delay_max_ms = log_cap_is_near(group) ? SNAPSHOTS_RETRY_NEAR_MS : SNAPSHOTS_RETRY_MAX_MS;
        own->retry_ms =
            loop_now_ms(node->loop) + snapshots_least((uint64_t)SNAPSHOTS_RETRY_MIN_MS << own->failures, delay_max_ms);
        TRACE(TRACE_WARN, "node", "a snapshot failed, nothing was compacted: %s: %s", hf_error_name(result),
              snapshots->status.text);
    }
    snapshots_run(node);
}

void node_snapshot(struct node *node, uint64_t group_id, node_done *done, void *arg)
{
    struct snapshots *snapshots = &node->snapshots;
    struct hosted_group *group = group_id != 0 ? node_hosted_group(node, group_id) : NULL;
    struct proposal_owner owner = {done, arg};
    int rc = node->phase != NODE_RUNNING ? HF_ECLOSED : 0;
    if (rc == 0 && group_id != 0) {
        rc = group == NULL                                                  ? HF_ENOTFOUND
             : group->ops->cut == NULL || !snapshots_is_known_to_all(group) ? HF_EUNSUPPORTED
                                                                            : 0;
    }
    if (rc == 0 && snapshots->request_count == SNAPSHOTS_REQUESTS_MAX) {
        rc = error_raise(HF_EBUSY, "%u requests for snapshots wait already", SNAPSHOTS_REQUESTS_MAX);
    }
    if (rc != 0) {
        node_refuse(node, owner, rc, group_id);
        return;
    }
    struct snapshot_request *request = memory_new(sizeof(*request));
    *request = (struct snapshot_request){.owner = owner, .group = group_id, .sequence = ++snapshots->sequence};
    list_init(&request->link);
    list_append(&snapshots->requests, &request->link);
    snapshots->request_count++;
    for (uint32_t i = 0; i < node->groups_open; i++) {
        if (node->groups[i].ops->cut != NULL && (group_id == 0 || group == &node->groups[i])) {
            node->groups[i].snapshots.wanted = request->sequence;
        }
    }
}

void node_snapshot_status(const struct node *node, struct node_snapshot_status *out)
{
    *out = node->snapshots.status;
    if (node->snapshots.job != NULL) {
        snapshot_job_progress(node->snapshots.job, out);
    }
    for (uint32_t i = 0; i < node->groups_open; i++) {
        const struct group_snapshots *own = &node->groups[i].snapshots;
        out->failed_in_row = own->failures > out->failed_in_row ? own->failures : out->failed_in_row;
        out->groups_capped += own->is_cap_reached;
    }
}
