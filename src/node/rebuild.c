#include "node/rebuild.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "log/log.h"
#include "node/group_stream.h"
#include "snapshot/snapshot.h"

#define REBUILD_READ_BYTES (4u << 20)
#define REBUILD_READ_COUNT 4096u
#define REBUILD_PIECE_SIZE (1u << 20)
#define REBUILD_WAIT_NS    10000000u

struct rebuild_append {
    bool is_done;
    int result;
};

struct rebuild {
    struct io *io;
    const struct rebuild_options *options;
    const struct description *old;
    struct description *description;
    struct hf_snapshot_store *store;
    struct hf_log *log;
    uint64_t bytes_done;
    uint64_t bytes_total;
    struct rebuild_append append;
};

static void rebuild_progress(void *arg, uint64_t bytes)
{
    struct rebuild *rebuild = arg;
    rebuild->bytes_done += bytes;
    if (rebuild->options->progress != NULL) {
        rebuild->options->progress(rebuild->options->arg, rebuild->bytes_done, rebuild->bytes_total);
    }
}

/* ---- From a copy to a machine ---- */

static int rebuild_import(struct rebuild *rebuild, const struct rebuild_group *group, uint64_t incarnation,
                          void *machine, uint64_t *stamp_ms)
{
    struct group_stream_head head = {.group = group->copy->group, .incarnation = incarnation};
    const struct group_import_source source = {
        .store = group->source->store, .id = group->copy->snapshot_id, .note = rebuild_progress, .arg = rebuild};
    int rc = group_import_snapshot(rebuild->options->machine, machine, &head, &source);
    *stamp_ms = head.stamp_ms;
    return rc;
}

static int rebuild_apply(struct rebuild *rebuild, const struct hf_entry *entry, void *machine, uint64_t *stamp_ms)
{
    int rc = entry->type == HF_ENTRY_NORMAL ? rebuild->options->machine->apply(machine, entry, NULL, NULL) : 0;
    *stamp_ms = entry->timestamp_ms > *stamp_ms ? entry->timestamp_ms : *stamp_ms;
    rebuild_progress(rebuild, entry->payload.size);
    return rc == 0 ? 0 : error_wrap(rc, "index %" PRIu64, entry->index);
}

/* All of them, known to be committed or not: what may have been acknowledged is kept. */
static int rebuild_replay(struct rebuild *rebuild, const struct rebuild_group *group, void *machine, uint64_t *stamp_ms)
{
    const struct survivor_copy *copy = group->copy;
    uint64_t next = copy->snapshot_index + 1;
    uint64_t last = MUTATED(RECOVER_DROPS_UNCOMMITTED) ? copy->commit : copy->last_index;
    int rc = 0;
    while (rc == 0 && next <= last) {
        struct hf_log_view view = {0};
        rc =
            hf_log_read(group->source->log, copy->group, next, last + 1, REBUILD_READ_BYTES, REBUILD_READ_COUNT, &view);
        for (size_t i = 0; rc == 0 && i < view.count; i++) {
            rc = rebuild_apply(rebuild, &view.entries[i], machine, stamp_ms);
            next = view.entries[i].index + 1;
        }
        hf_log_view_close(&view);
    }
    return rc;
}

/* ---- From a machine to a snapshot ---- */

static int rebuild_write(struct rebuild *rebuild, struct hf_snapshot_writer *writer, void *cut,
                         const struct group_stream_head *fields)
{
    uint8_t head[GROUP_STREAM_HEAD_SIZE];
    uint8_t *piece = memory_new(REBUILD_PIECE_SIZE);
    size_t got = 0;
    group_stream_encode(fields, head);
    int rc = hf_snapshot_write(writer, head, sizeof(head));
    do {
        rc = rc == 0 ? rebuild->options->machine->cut_read(cut, piece, REBUILD_PIECE_SIZE, &got) : rc;
        rc = rc == 0 ? hf_snapshot_write(writer, piece, got) : rc;
    } while (rc == 0 && got == REBUILD_PIECE_SIZE);
    free(piece);
    return rc;
}

/* Published, and read back. The new node is its only voter. */
static int rebuild_snapshot(struct rebuild *rebuild, const struct survivor_copy *copy, uint64_t incarnation,
                            void *machine, uint64_t stamp_ms, struct hf_snapshot_manifest *out)
{
    const struct node_machine_ops *ops = rebuild->options->machine;
    const struct replica_member member = {rebuild->options->node.id, REPLICA_ROLE_VOTER};
    const struct group_stream_head head = {copy->group, incarnation, stamp_ms};
    struct buffer configuration = {0};
    struct hf_snapshot_writer *writer = NULL;
    replica_configuration_encode(&member, 1, &configuration);
    const struct hf_snapshot_begin begin = {.group = copy->group,
                                            .group_incarnation = incarnation,
                                            .index = copy->last_index,
                                            .term = copy->last_term,
                                            .configuration_index = copy->last_index,
                                            .configuration = buffer_bytes(&configuration),
                                            .created_ms = io_wall_ms(rebuild->io)};
    void *cut = ops->cut(machine);
    int rc = hf_snapshot_begin(rebuild->store, &begin, &writer);
    rc = rc == 0 ? rebuild_write(rebuild, writer, cut, &head) : rc;
    uint64_t entries = ops->cut_entries(cut);
    ops->cut_close(cut);
    if (rc == 0) {
        rc = hf_snapshot_finish(writer, entries, out);
        writer = NULL;
    }
    hf_snapshot_cancel(writer);
    rc = rc == 0 ? hf_snapshot_verify(rebuild->store, out->id, NULL, NULL) : rc;
    buffer_close(&configuration);
    return rc;
}

static int rebuild_state(struct rebuild *rebuild, const struct rebuild_group *group, uint32_t ordinal,
                         struct hf_snapshot_manifest *out)
{
    const struct node_machine_ops *ops = rebuild->options->machine;
    uint64_t incarnation = rebuild->description->groups[ordinal + 1].incarnation;
    uint64_t stamp_ms = 0;
    void *machine = ops->open(ops->arg, group->copy->group, incarnation, ordinal);
    int rc = group->copy->snapshot_index > 0 ? rebuild_import(rebuild, group, incarnation, machine, &stamp_ms) : 0;
    rc = rc == 0 ? rebuild_replay(rebuild, group, machine, &stamp_ms) : rc;
    rc = rc == 0 ? rebuild_snapshot(rebuild, group->copy, incarnation, machine, stamp_ms, out) : rc;
    ops->close(machine);
    return rc == 0 ? 0 : error_wrap(rc, "group %" PRIu64, group->copy->group);
}

/* ---- The log ---- */

static void rebuild_appended(void *arg, int result)
{
    struct rebuild_append *append = arg;
    append->is_done = true;
    append->result = result;
}

static int rebuild_append(struct rebuild *rebuild, const struct hf_log_batch *batch)
{
    struct rebuild_append *append = &rebuild->append; /* may be told of when the log is closed */
    *append = (struct rebuild_append){0};
    int rc = hf_log_append(rebuild->log, batch, rebuild_appended, append);
    while (rc == 0 && !append->is_done) {
        if (rebuild->options->turn != NULL) {
            rc = rebuild->options->turn(rebuild->options->arg, rebuild->log);
        } else {
            hf_log_turn_wait(rebuild->log, REBUILD_WAIT_NS);
        }
    }
    return rc == 0 && append->result != 0 ? error_raise(append->result, "the new log could not be written") : rc;
}

/* The group's log begins behind its snapshot, as after an installation. Term and commit index are no lower than they
 * were: a vote in the old cluster is not one in this. */
static int rebuild_reset(struct rebuild *rebuild, const struct survivor_copy *copy, uint64_t incarnation,
                         struct hf_snapshot_id snapshot)
{
    struct hf_log_batch *batch = NULL;
    char name[HF_SNAPSHOT_ID_TEXT_SIZE];
    const struct hf_hard_state state = {.term = copy->term > copy->last_term ? copy->term : copy->last_term,
                                        .commit = copy->last_index};
    hf_snapshot_id_format(snapshot, name);
    int rc = hf_log_group_open(rebuild->log, copy->group, incarnation);
    rc = rc == 0 ? hf_log_batch_open(&batch) : rc;
    rc = rc == 0 ? hf_log_batch_reset(batch, copy->group, copy->last_index, copy->last_term,
                                      (struct hf_bytes){name, strlen(name)})
                 : rc;
    rc = rc == 0 ? hf_log_batch_hard_state(batch, copy->group, state) : rc;
    rc = rc == 0 ? rebuild_append(rebuild, batch) : rc;
    hf_log_batch_close(batch);
    return rc;
}

/* ---- All of it ---- */

static int rebuild_describe(struct rebuild *rebuild, const struct rebuild_group *groups)
{
    const struct description *old = rebuild->old;
    int rc = description_create(rebuild->io, &rebuild->options->node, 1, old->group_count, &rebuild->description);
    for (uint32_t i = 0; rc == 0 && i < old->group_count; i++) {
        if (groups[i].source != NULL) {
            rebuild->description->groups[i + 1].incarnation = old->groups[i + 1].incarnation;
            rebuild->bytes_total += groups[i].copy->snapshot_bytes + groups[i].copy->log_bytes;
        }
    }
    return rc;
}

static int rebuild_open(struct rebuild *rebuild)
{
    const struct hf_snapshot_options snapshots = {.format = rebuild->options->format};
    struct hf_log_options log = rebuild->options->log;
    char *log_path = text_format("%s/log", rebuild->options->path);
    char *store_path = text_format("%s/snapshots", rebuild->options->path);
    log.driver = HF_LOG_DRIVE_CALLER;
    log.sync_policy = HF_LOG_SYNC_BATCH;
    int rc = snapshot_open(rebuild->io, store_path, &snapshots, &rebuild->store);
    rc = rc == 0 ? log_open(rebuild->io, log_path, &log, &rebuild->log) : rc;
    free(store_path);
    free(log_path);
    return rc;
}

static int rebuild_group_of(struct rebuild *rebuild, const struct rebuild_group *group, uint32_t ordinal,
                            struct rebuild_result *result)
{
    struct hf_snapshot_manifest manifest;
    uint64_t incarnation = rebuild->description->groups[ordinal + 1].incarnation;
    int rc = rebuild_state(rebuild, group, ordinal, &manifest);
    rc = rc == 0 ? rebuild_reset(rebuild, group->copy, incarnation, manifest.id) : rc;
    if (rc == 0 && result != NULL) {
        *result = (struct rebuild_result){manifest.entries, manifest.application_bytes, manifest.index, manifest.term};
    }
    return rc;
}

int rebuild_run(struct io *io, const struct rebuild_options *options, const struct description *old,
                const struct rebuild_group *groups, struct rebuild_result *results, struct description **out)
{
    struct rebuild rebuild = {.io = io, .options = options, .old = old};
    struct file *lock = NULL;
    int rc = rebuild_describe(&rebuild, groups);
    rc = rc == 0 ? directory_rebuild_begin(io, options->path, &lock) : rc;
    if (rc == 0 && MUTATED(RECOVER_IDENTITY_FIRST)) {
        rc = directory_rebuild_finish(io, options->path, rebuild.description, options->node.id);
    }
    rc = rc == 0 ? rebuild_open(&rebuild) : rc;
    for (uint32_t i = 0; rc == 0 && i < old->group_count; i++) {
        if (groups[i].source != NULL) {
            rc = rebuild_group_of(&rebuild, &groups[i], i, results != NULL ? &results[i] : NULL);
        }
    }
    hf_log_close(rebuild.log);
    hf_snapshot_store_close(rebuild.store);
    rc = rc == 0 ? directory_rebuild_finish(io, options->path, rebuild.description, options->node.id) : rc;
    file_close(lock);
    if (rc == 0) {
        *out = rebuild.description;
        rebuild.description = NULL;
    }
    description_close(rebuild.description);
    return rc;
}
