#include "cli/state_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cli/log_entry.h"
#include "log/log.h"
#include "node/node.h"
#include "snapshot/snapshot.h"

static int source_nothing(void *arg, const char *name, bool is_directory)
{
    return 0;
}

static void source_ignore_event(void *arg, const struct hf_snapshot_event *event) {}

/* ---- The log ---- */

/* Damage in it has to be known before the first key is handed out: all of it is read. */
static void source_open_log(struct state_sources *sources)
{
    if (sources->is_log_tried) {
        return;
    }
    struct hf_log_options options;
    hf_log_options_init(&options);
    options.read_only = true;
    options.scan_all_on_open = true;
    sources->is_log_tried = true;
    char *folder = text_format("%s/log", sources->directory);
    if (directory_list(sources->io, folder, source_nothing, NULL) != 0) {
        snprintf(sources->log_text, sizeof(sources->log_text),
                 "there is no log beside the snapshots (the data directory has both)");
    } else if (log_open(sources->io, folder, &options, &sources->log) != 0) {
        sources->log = NULL;
        snprintf(sources->log_text, sizeof(sources->log_text), "the log cannot be read: %.200s", hf_error_text());
    }
    free(folder);
}

/* What damage took of the entries [from, to]; also where it cannot be told entry by entry. */
static bool source_is_log_damaged(struct state_sources *sources, const struct hf_log_group_state *state, uint64_t group,
                                  uint64_t from, uint64_t to)
{
    uint64_t first = 0;
    uint64_t last = 0;
    if (!state->damaged) {
        return false;
    }
    return state->state_lost || hf_log_missing(sources->log, group, 0, &first, &last) != 0 ||
           (hf_log_missing(sources->log, group, from, &first, &last) == 0 && first <= to);
}

/* Why the log does not lead from the snapshot to the index that is wanted, or an empty text. */
static void source_find_gap(struct state_sources *sources, struct state_source *source)
{
    struct hf_log_group_state state = {0};
    uint64_t term = 0;
    source_open_log(sources);
    if (sources->log == NULL) {
        snprintf(source->gap, sizeof(source->gap), "%s", sources->log_text);
    } else if (hf_log_group_state(sources->log, source->group, &state) != 0 || !state.exists || state.removed) {
        snprintf(source->gap, sizeof(source->gap), "the log does not have the group");
    } else if (source->index > 0 && state.incarnation != source->incarnation) {
        snprintf(source->gap, sizeof(source->gap), "the log is of another incarnation of the group");
    } else if (state.first_index > source->index + 1) {
        snprintf(source->gap, sizeof(source->gap), "the log begins at entry %" PRIu64, state.first_index);
    } else if (state.last_index < source->index_wanted) {
        snprintf(source->gap, sizeof(source->gap), "the log ends at entry %" PRIu64, state.last_index);
    } else if (source_is_log_damaged(sources, &state, source->group, source->index + 1, source->index_wanted)) {
        snprintf(source->gap, sizeof(source->gap), "the log is damaged there");
    } else if (source->index > 0 &&
               (hf_log_term(sources->log, source->group, source->index, &term) != 0 || term != source->term)) {
        snprintf(source->gap, sizeof(source->gap), "the log has another term at entry %" PRIu64, source->index);
    }
    source->incarnation = source->index > 0 ? source->incarnation : state.incarnation;
}

/* ---- The snapshots ---- */

/* One that was received is the group's state once the log's reset names it, also where no start has accepted it yet. */
static bool source_is_own(struct state_sources *sources, const struct hf_snapshot_info *info)
{
    struct hf_log_group_state state;
    char name[HF_SNAPSHOT_ID_TEXT_SIZE];
    if (info->origin == HF_SNAPSHOT_LOCAL) {
        return true;
    }
    source_open_log(sources);
    hf_snapshot_id_format(info->manifest.id, name);
    return sources->log != NULL && hf_log_group_state(sources->log, info->manifest.group, &state) == 0 &&
           state.snapshot_name_size == strlen(name) && memcmp(state.snapshot_name, name, strlen(name)) == 0;
}

static void source_take(struct state_source *source, const struct hf_snapshot_manifest *manifest)
{
    source->incarnation = manifest->group_incarnation;
    source->id = manifest->id;
    source->index = manifest->index;
    source->term = manifest->term;
    source->created_ms = manifest->created_ms;
    source->application_bytes = manifest->application_bytes;
}

static void source_note_damage(struct state_source *source, const struct hf_snapshot_manifest *manifest,
                               const char *reason)
{
    if (source->damaged_count++ == 0) {
        source->damaged_id = manifest->id;
        source->index_wanted = manifest->index;
        snprintf(source->damage, sizeof(source->damage), "%.200s", reason);
    }
}

/* The snapshots of one group, newest first. */
static int source_choose(struct state_sources *sources, const struct hf_snapshot_info *list, size_t count,
                         hf_snapshot_watch *watch, void *arg, struct state_source *out)
{
    *out = (struct state_source){.group = list[0].manifest.group};
    for (size_t i = 0; i < count && out->index == 0; i++) {
        const struct hf_snapshot_manifest *manifest = &list[i].manifest;
        if (!source_is_own(sources, &list[i])) {
            continue;
        }
        int rc = list[i].damaged ? HF_ECORRUPT : hf_snapshot_verify(sources->store, manifest->id, watch, arg);
        if (rc == 0) {
            source_take(out, manifest);
        } else if (rc == HF_ECORRUPT) {
            source_note_damage(out, manifest, list[i].damaged ? list[i].reason : hf_error_text());
        } else {
            return error_wrap(rc, "group %" PRIu64 ", snapshot at index %" PRIu64, out->group, manifest->index);
        }
    }
    if (out->damaged_count == 0 || out->index == out->index_wanted) { /* a node takes another one at the same index */
        out->index_wanted = out->index;
        return 0;
    }
    source_find_gap(sources, out);
    out->kind = out->gap[0] == '\0' ? STATE_SOURCE_BRIDGED : out->index > 0 ? STATE_SOURCE_OLDER : STATE_SOURCE_NONE;
    return 0;
}

static int source_choose_all(struct state_sources *sources, const struct hf_snapshot_info *list, size_t count,
                             hf_snapshot_watch *watch, void *arg)
{
    int rc = 0;
    sources->items = memory_new((count + 1) * sizeof(*sources->items));
    for (size_t first = 0, end; first < count && rc == 0; first = end) {
        struct state_source *source = &sources->items[sources->count];
        end = first + 1;
        while (end < count && list[end].manifest.group == list[first].manifest.group) {
            end++;
        }
        if (list[first].manifest.group == NODE_SYSTEM_GROUP) {
            continue; /* it has no keys */
        }
        rc = source_choose(sources, &list[first], end - first, watch, arg, source);
        sources->count += rc == 0 && source->index_wanted > 0;
    }
    return rc;
}

int state_source_open_all(struct state_sources *sources, struct io *io, const char *directory, uint64_t group,
                          hf_snapshot_watch *watch, void *arg)
{
    const struct hf_snapshot_options options = {.read_only = true, .report = source_ignore_event};
    struct hf_snapshot_info *list = NULL;
    size_t count = 0;
    *sources = (struct state_sources){.directory = directory, .io = io};
    /* A data directory holds its snapshots in snapshots/; both are accepted. */
    char *inside = text_format("%s/snapshots", directory);
    bool is_data = directory_list(io, inside, source_nothing, NULL) == 0;
    int rc = snapshot_open(io, is_data ? inside : directory, &options, &sources->store);
    free(inside);
    rc = rc == 0 ? hf_snapshot_list(sources->store, group, &list, &count) : rc;
    rc = rc == 0 ? source_choose_all(sources, list, count, watch, arg) : rc;
    hf_snapshot_list_free(list);
    if (rc == 0 && sources->count == 0) {
        rc = group != 0 ? error_raise(HF_ENOTFOUND, "there is no snapshot of group %" PRIu64 " in %s", group, directory)
                        : error_raise(HF_ENOTFOUND, "there is no snapshot in %s", directory);
    }
    return rc;
}

void state_source_close_all(struct state_sources *sources)
{
    free(sources->items);
    hf_log_close(sources->log);
    hf_snapshot_store_close(sources->store);
    *sources = (struct state_sources){0};
}

/* ---- Telling ---- */

static char *source_describe_damage(const struct state_source *source)
{
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    char more[64] = "";
    hf_snapshot_id_format(source->damaged_id, id);
    if (source->damaged_count > 1) {
        snprintf(more, sizeof(more), ", as are %" PRIu32 " before it", source->damaged_count - 1);
    }
    return text_format("group %" PRIu64 ": its newest snapshot, %s at index %" PRIu64 ", is damaged%s: %s",
                       source->group, id, source->index_wanted, more, source->damage);
}

static char *source_describe_rest(const struct state_source *source)
{
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    uint64_t first = source->index + 1;
    uint64_t last = source->index_wanted;
    hf_snapshot_id_format(source->id, id);
    switch (source->kind) {
    case STATE_SOURCE_BRIDGED:
        return source->index > 0
                   ? text_format("the one at index %" PRIu64 " and entries %" PRIu64 " to %" PRIu64
                                 " of the log take its place: nothing is missing",
                                 source->index, first, last)
                   : text_format("entries %" PRIu64 " to %" PRIu64 " of the log take its place: nothing is missing",
                                 first, last);
    case STATE_SOURCE_OLDER:
        return text_format("the one before, %s at index %" PRIu64 ", lacks entries %" PRIu64 " to %" PRIu64
                           ", which the log does not give: %s",
                           id, source->index, first, last, source->gap);
    case STATE_SOURCE_NONE:
        return text_format("no good one is there, and the log does not stand in for it: %s", source->gap);
    default:
        return text_copy("");
    }
}

char *state_source_describe(const struct state_source *source)
{
    char *damage = source_describe_damage(source);
    char *rest = source_describe_rest(source);
    char *text = text_format("%s; %s", damage, rest);
    free(damage);
    free(rest);
    return text;
}
