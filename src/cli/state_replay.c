#include "cli/state_replay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "node/group_stream.h"
#include "server/server.h"

#define REPLAY_READ_BYTES (4u << 20)
#define REPLAY_READ_COUNT 4096u
#define REPLAY_PIECE_SIZE (256u << 10)

static void replay_progress(void *arg, uint64_t bytes)
{
    struct state_replay *replay = arg;
    replay->bytes_done += bytes;
    progress_update(replay->progress, replay->bytes_done,
                    replay->bytes_done > replay->bytes_total ? replay->bytes_done : replay->bytes_total);
}

static int replay_import(struct state_replay *replay, const struct state_sources *sources,
                         const struct state_source *source, void *machine, uint64_t *stamp_ms)
{
    struct group_stream_head head = {.group = source->group, .incarnation = source->incarnation};
    const struct group_import_source from = {
        .store = sources->store, .id = source->id, .note = replay_progress, .arg = replay};
    int rc = group_import_snapshot(server_machine_ops(), machine, &head, &from);
    *stamp_ms = head.stamp_ms;
    return rc;
}

static int replay_apply(const struct hf_entry *entry, void *machine, uint64_t *stamp_ms)
{
    int rc = entry->type == HF_ENTRY_NORMAL ? server_machine_ops()->apply(machine, entry, NULL, NULL) : 0;
    *stamp_ms = entry->timestamp_ms > *stamp_ms ? entry->timestamp_ms : *stamp_ms;
    return rc == 0 ? 0 : error_wrap(rc, "index %" PRIu64, entry->index);
}

static int replay_entries(struct state_replay *replay, const struct state_sources *sources,
                          const struct state_source *source, void *machine, uint64_t *stamp_ms)
{
    uint64_t end = source->index_wanted + 1;
    uint64_t next = source->index + 1;
    int rc = 0;
    while (rc == 0 && next < end) {
        struct hf_log_view view = {0};
        rc = hf_log_read(sources->log, source->group, next, end, REPLAY_READ_BYTES, REPLAY_READ_COUNT, &view);
        for (size_t i = 0; rc == 0 && i < view.count; i++) {
            rc = replay_apply(&view.entries[i], machine, stamp_ms);
            next = view.entries[i].index + 1;
        }
        hf_log_view_close(&view);
    }
    replay_progress(replay, 0);
    return rc;
}

static int replay_walk(struct state_replay *replay, const struct state_source *source, void *machine, uint64_t stamp_ms)
{
    const struct node_machine_ops *ops = server_machine_ops();
    const struct group_stream_head head = {source->group, source->incarnation, stamp_ms};
    uint8_t bytes[GROUP_STREAM_HEAD_SIZE];
    struct state_walk *walk = state_walk_open(source->group, source->incarnation, replay->visit, replay->arg);
    uint8_t *piece = memory_new(REPLAY_PIECE_SIZE);
    void *cut = ops->cut(machine);
    size_t got = 0;
    group_stream_encode(&head, bytes);
    int rc = state_walk_write(walk, bytes_of(bytes, sizeof(bytes)));
    do {
        rc = rc == 0 ? ops->cut_read(cut, piece, REPLAY_PIECE_SIZE, &got) : rc;
        rc = rc == 0 ? state_walk_write(walk, bytes_of(piece, got)) : rc;
    } while (rc == 0 && got == REPLAY_PIECE_SIZE);
    rc = rc == 0 ? state_walk_finish(walk) : rc;
    ops->cut_close(cut);
    free(piece);
    state_walk_close(walk);
    return rc;
}

int state_replay_keys(struct state_replay *replay, const struct state_sources *sources,
                      const struct state_source *source)
{
    const struct node_machine_ops *ops = server_machine_ops();
    uint64_t stamp_ms = 0;
    assert(source->kind == STATE_SOURCE_BRIDGED);
    void *machine = ops->open(ops->arg, source->group, source->incarnation, 0);
    int rc = source->index > 0 ? replay_import(replay, sources, source, machine, &stamp_ms) : 0;
    rc = rc == 0 ? replay_entries(replay, sources, source, machine, &stamp_ms) : rc;
    rc = rc == 0 ? replay_walk(replay, source, machine, stamp_ms) : rc;
    ops->close(machine);
    return rc == 0 ? 0 : error_wrap(rc, "group %" PRIu64, source->group);
}
