#include "replica/apply.h"

#include "base/error.h"
#include "base/mutation.h"
#include "replica/replica_configuration.h"
#include "replica/step.h"

void apply_open(struct apply *apply, uint64_t snapshot_index, uint64_t applied_index, uint64_t commit_index)
{
    *apply = (struct apply){.cursor = snapshot_index,
                            .applied_at_open = applied_index,
                            .commit_known = commit_index > snapshot_index ? commit_index : snapshot_index};
}

/* Tells the engine that a configuration is committed. It ignores those that it knows to be. */
static void apply_feed_change(struct replica *replica, uint64_t index, const struct replica_member *members,
                              unsigned count)
{
    if (MUTATED(RULE_16_CONFIGURATION_NOT_FED) && index <= replica->history.last_index) {
        return;
    }
    struct raft_event event = {.type = RAFT_CONFIGURATION, .configuration = {.index = index}};
    replica_configuration_to_raft(members, count, &event.configuration.conf); /* the core consumes it */
    step_event(replica, &event, NULL, NULL);
}

/* What the state machine holds already: only its configurations pass, from the history read at open. */
static void apply_skip(struct replica *replica, uint64_t target)
{
    struct apply *apply = &replica->apply;
    uint64_t until = target < apply->applied_at_open ? target : apply->applied_at_open;
    while (replica->phase == REPLICA_PHASE_RUNNING && apply->change_next < replica->history.change_count) {
        const struct engine_change *change = &replica->history.changes[apply->change_next];
        if (change->index > until) {
            break;
        }
        apply->change_next++;
        apply_feed_change(replica, change->index, change->members, change->member_count);
    }
    apply->cursor = until;
}

static int apply_entry(struct replica *replica, const struct hf_entry *entry)
{
    if (entry->type == HF_ENTRY_CONFIGURATION) {
        struct replica_member members[REPLICA_MEMBERS_MAX];
        unsigned count;
        int rc = replica_configuration_decode(entry->payload, members, &count);
        if (rc != 0) {
            return rc;
        }
        apply_feed_change(replica, entry->index, members, count);
    }
    return replica->callbacks.apply(replica->arg, entry);
}

static void apply_batch(struct replica *replica, uint64_t target)
{
    struct apply *apply = &replica->apply;
    struct hf_log_view view = {0};
    int rc = hf_log_read(replica->options.log, replica->options.group, apply->cursor + 1, target + 1,
                         APPLY_READ_SIZE_BYTES, APPLY_READ_COUNT, &view);
    for (size_t i = 0; rc == 0 && i < view.count && replica->phase == REPLICA_PHASE_RUNNING; i++) {
        rc = apply_entry(replica, &view.entries[i]);
        if (rc == 0) {
            apply->cursor = view.entries[i].index;
        }
    }
    hf_log_view_close(&view);
    if (rc != 0) {
        step_freeze(replica, rc, "applying a committed entry");
    }
}

bool apply_run(struct replica *replica)
{
    struct apply *apply = &replica->apply;
    uint64_t before = apply->cursor;
    /* While a snapshot is taken in, what is committed lies in it. */
    while (replica->phase == REPLICA_PHASE_RUNNING && !replica->engine.raft.snapshot.installing) {
        uint64_t target = raft_commit_index(&replica->engine.raft);
        /* With the log's queue full, committed entries may not be readable yet. */
        uint64_t readable = appends_readable_index(&replica->appends);
        target = target < readable ? target : readable;
        if (apply->cursor >= target) {
            break;
        }
        if (apply->cursor < apply->applied_at_open) {
            apply_skip(replica, target);
        } else {
            apply_batch(replica, target);
        }
    }
    return apply->cursor != before;
}
