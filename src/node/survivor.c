#include "node/survivor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "log/log.h"
#include "snapshot/snapshot.h"

#define SURVIVOR_READ_BYTES (4u << 20)
#define SURVIVOR_READ_COUNT 4096u

/* ---- Life ---- */

/* What is damaged stands in the list, with its reason. */
static void survivor_ignore_event(void *arg, const struct hf_snapshot_event *event) {}

static void survivor_open_log(struct survivor *survivor)
{
    const struct hf_log_options options = {.read_only = true, .scan_all_on_open = true, .driver = HF_LOG_DRIVE_CALLER};
    if (log_open(survivor->io, directory_log_path(survivor->directory), &options, &survivor->log) != 0) {
        snprintf(survivor->log_text, sizeof(survivor->log_text), "its log cannot be read: %s", hf_error_text());
        survivor->log = NULL;
    }
}

static void survivor_open_store(struct survivor *survivor, const char *snapshots)
{
    const struct hf_snapshot_options options = {.read_only = true, .report = survivor_ignore_event};
    char *own = text_format("%s/snapshots", survivor->path);
    if (snapshot_open(survivor->io, snapshots != NULL ? snapshots : own, &options, &survivor->store) != 0) {
        snprintf(survivor->store_text, sizeof(survivor->store_text), "its snapshots cannot be read: %s",
                 hf_error_text());
        survivor->store = NULL;
    }
    free(own);
}

int survivor_open(struct io *io, const char *path, const char *snapshots, struct survivor **out)
{
    struct survivor *survivor = memory_new(sizeof(*survivor));
    survivor->io = io;
    survivor->path = text_copy(path);
    int rc = directory_open_read_only(io, path, &survivor->directory);
    if (rc != 0) {
        survivor_close(survivor);
        return rc;
    }
    survivor->description = directory_description(survivor->directory);
    survivor->membership = directory_membership(survivor->directory);
    survivor->node_id = directory_identity(survivor->directory)->node_id;
    survivor->incarnation = directory_identity(survivor->directory)->node_incarnation;
    survivor_open_log(survivor);
    survivor_open_store(survivor, snapshots);
    *out = survivor;
    return 0;
}

void survivor_close(struct survivor *survivor)
{
    if (survivor == NULL) {
        return;
    }
    hf_log_close(survivor->log);
    hf_snapshot_store_close(survivor->store);
    directory_close(survivor->directory);
    free(survivor->path);
    free(survivor);
}

/* ---- One group ---- */

static void survivor_say(struct survivor_copy *copy, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void survivor_say(struct survivor_copy *copy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(copy->reason, sizeof(copy->reason), format, args);
    va_end(args);
}

static void survivor_count_missing(const struct survivor *survivor, struct survivor_copy *copy)
{
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t from = 0;
    while (hf_log_missing(survivor->log, copy->group, from, &first, &last) == 0) {
        if (copy->missing == 0) {
            survivor_say(copy, "its log is damaged: entries %" PRIu64 " … %" PRIu64 " cannot be read", first, last);
        }
        copy->missing += last - first + 1;
        if (last == HF_LOG_INDEX_MAX) {
            break;
        }
        from = last + 1;
    }
    if (copy->missing == 0) {
        survivor_say(copy, "its log is damaged in a way that cannot be told entry by entry");
    }
}

/* What the log says of the group. False: nothing of it can be used. */
static bool survivor_read_state(const struct survivor *survivor, uint64_t incarnation, struct survivor_copy *copy,
                                struct hf_log_group_state *state)
{
    if (survivor->log == NULL) {
        survivor_say(copy, "%.200s", survivor->log_text);
        return false;
    }
    int rc = hf_log_group_state(survivor->log, copy->group, state);
    if (rc != 0 || !state->exists || state->removed) {
        survivor_say(copy, "it never held the group");
        return false;
    }
    copy->is_there = true;
    copy->first_index = state->first_index;
    copy->last_index = state->last_index;
    copy->term = state->hard_state.term;
    copy->commit = state->hard_state.commit;
    copy->log_bytes = state->bytes;
    if (hf_log_term(survivor->log, copy->group, state->last_index, &copy->last_term) != 0) {
        copy->last_term = 0;
    }
    if (state->incarnation != incarnation) {
        survivor_say(copy, "its log is of another incarnation of the group");
        return false;
    }
    if (state->damaged) {
        survivor_count_missing(survivor, copy);
        return false;
    }
    if (state->last_index == 0) {
        survivor_say(copy, "its log of the group is empty");
        return false;
    }
    return true;
}

/* One that was received counts once the log's reset names it: from then on it is the group's state. */
static bool survivor_is_own(const struct hf_snapshot_info *info, const struct hf_log_group_state *state)
{
    char name[HF_SNAPSHOT_ID_TEXT_SIZE];
    hf_snapshot_id_format(info->manifest.id, name);
    return info->origin == HF_SNAPSHOT_LOCAL || (state->snapshot_name_size == strlen(name) &&
                                                 memcmp(state->snapshot_name, name, state->snapshot_name_size) == 0);
}

/* Whether log and snapshot belong together, and every byte of it is good. */
static bool survivor_snapshot_fits(const struct survivor *survivor, const struct hf_log_group_state *state,
                                   const struct hf_snapshot_info *info, uint64_t incarnation)
{
    const struct hf_snapshot_manifest *manifest = &info->manifest;
    uint64_t term = 0;
    return !info->damaged && manifest->group_incarnation == incarnation && survivor_is_own(info, state) &&
           manifest->index + 1 >= state->first_index && manifest->index <= state->last_index &&
           hf_log_term(survivor->log, manifest->group, manifest->index, &term) == 0 && term == manifest->term &&
           hf_snapshot_verify(survivor->store, manifest->id, NULL, NULL) == 0;
}

static int survivor_take_snapshot(const struct hf_snapshot_manifest *manifest, struct survivor_copy *copy)
{
    struct hf_bytes configuration = {manifest->configuration, manifest->configuration_size};
    copy->snapshot_index = manifest->index;
    copy->snapshot_id = manifest->id;
    copy->snapshot_bytes = manifest->application_bytes;
    copy->latest.index = manifest->configuration_index;
    return replica_configuration_decode(configuration, copy->latest.members, &copy->latest.count);
}

/* What was passed by on the way to the one that is taken. One behind the end of the log, which a power loss under a
 * relaxed sync policy makes, cannot be used, damaged or not: but what it covers had been committed. */
static void survivor_pass_by(const struct survivor *survivor, const struct hf_log_group_state *state,
                             const struct hf_snapshot_info *passed, struct survivor_copy *copy)
{
    struct hf_snapshot_info info;
    uint64_t index = passed->manifest.index;
    if (!survivor_is_own(passed, state) || hf_snapshot_find(survivor->store, passed->manifest.id, &info) != 0) {
        return;
    }
    copy->snapshots_damaged += info.damaged;
    if (index > state->last_index && index > copy->commit) {
        copy->commit = index;
    }
}

/* The newest good one; without any the log must be whole. */
static bool survivor_find_snapshot(const struct survivor *survivor, const struct hf_log_group_state *state,
                                   uint64_t incarnation, struct survivor_copy *copy)
{
    struct hf_snapshot_info *list = NULL;
    size_t count = 0;
    bool is_found = false;
    int rc = survivor->store != NULL ? hf_snapshot_list(survivor->store, copy->group, &list, &count) : 0;
    for (size_t i = 0; rc == 0 && i < count && !is_found; i++) {
        is_found = survivor_snapshot_fits(survivor, state, &list[i], incarnation) &&
                   survivor_take_snapshot(&list[i].manifest, copy) == 0;
        if (!is_found) {
            survivor_pass_by(survivor, state, &list[i], copy);
        }
    }
    hf_snapshot_list_free(list);
    if (is_found || state->first_index == 1) {
        return true;
    }
    copy->snapshot_index = 0;
    survivor_say(copy, "its log begins at index %" PRIu64 ", and no good snapshot reaches that%s%.120s",
                 state->first_index, survivor->store == NULL ? "; " : "", survivor->store_text);
    return false;
}

static int survivor_take_entry(const struct hf_entry *entry, struct survivor_copy *copy)
{
    if (entry->index == 1 && entry->type != HF_ENTRY_CONFIGURATION) {
        return error_raise(HF_ECORRUPT, "entry 1 is not a configuration");
    }
    if (entry->type != HF_ENTRY_CONFIGURATION) {
        return 0;
    }
    struct survivor_members members = {.index = entry->index};
    int rc = replica_configuration_decode(entry->payload, members.members, &members.count);
    if (rc == 0) {
        copy->before = copy->latest;
        copy->latest = members;
    }
    return rc;
}

/* Every entry behind the snapshot. */
static int survivor_read_entries(const struct survivor *survivor, struct survivor_copy *copy)
{
    int rc = 0;
    uint64_t next = copy->snapshot_index + 1;
    while (rc == 0 && next <= copy->last_index) {
        struct hf_log_view view = {0};
        rc = hf_log_read(survivor->log, copy->group, next, copy->last_index + 1, SURVIVOR_READ_BYTES,
                         SURVIVOR_READ_COUNT, &view);
        for (size_t i = 0; rc == 0 && i < view.count; i++) {
            rc = survivor_take_entry(&view.entries[i], copy);
            next = view.entries[i].index + 1;
        }
        hf_log_view_close(&view);
    }
    return rc;
}

void survivor_examine(const struct survivor *survivor, uint64_t group, struct survivor_copy *out)
{
    struct hf_log_group_state state;
    uint64_t incarnation = survivor->description->groups[group - 1].incarnation;
    *out = (struct survivor_copy){.group = group};
    if (!survivor_read_state(survivor, incarnation, out, &state) ||
        !survivor_find_snapshot(survivor, &state, incarnation, out)) {
        return;
    }
    if (survivor_read_entries(survivor, out) != 0) {
        survivor_say(out, "an entry cannot be read: %.180s", hf_error_text());
        return;
    }
    out->is_good = true;
}
