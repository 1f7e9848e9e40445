/* Walks a directory for tools: the same scan and the same laws as an open, so that both find the same damage, but
 * nothing is locked, repaired or written. */
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "log/log.h"
#include "log/log_apply.h"
#include "log/log_scan.h"

struct log_walk {
    const struct log_walk_callbacks *callbacks;
    void *arg;
    struct log_chain chain;
    struct log_groups groups;
    struct log_damages damages;
    struct log_apply apply;
    struct log_segment **segments;
    struct log_walk_summary *summary;
    int result; /* what a callback returned; ends the walk */
};

static void log_walk_describe(const struct log_run *run, const struct log_record *record, struct log_walk_record *out)
{
    struct hf_bytes name = {0};
    out->group = run->group;
    out->group_incarnation = run->incarnation;
    out->index = record->index;
    out->timestamp_ms = record->timestamp_ms;
    out->kind = log_format_kind_name(record->kind);
    switch (record->kind) {
    case LOG_RECORD_APPEND:
    case LOG_RECORD_MOVED:
        out->term = run->term;
        out->entry_type = (enum hf_entry_type)record->entry_type;
        out->payload = record->body;
        break;
    case LOG_RECORD_HARD_STATE:
        out->index = 0;
        (void)log_record_get_hard_state(record->body, &out->hard_state); /* checked when it was read */
        out->term = out->hard_state.term;
        break;
    case LOG_RECORD_RESET:
    case LOG_RECORD_COMPACT:
        (void)log_record_get_floor(record->body, &out->term, &name);
        out->payload = name;
        break;
    default:
        break;
    }
}

static void log_walk_observe(void *arg, const struct log_run *run, const struct log_record *record,
                             const struct log_segment *segment, uint64_t offset)
{
    struct log_walk *walk = arg;
    struct log_walk_record out = {.segment = segment->header.number, .offset = offset};
    walk->summary->records++;
    if (walk->result != 0 || walk->callbacks->record == NULL) {
        return;
    }
    log_walk_describe(run, record, &out);
    walk->result = walk->callbacks->record(walk->arg, &out);
}

/* At the end: what later records have healed is none any more. */
static void log_walk_tell_damage(struct log_walk *walk)
{
    for (size_t i = 0; i < walk->damages.count && walk->result == 0; i++) {
        walk->summary->damaged++;
        if (walk->callbacks->damage != NULL) {
            walk->result = walk->callbacks->damage(walk->arg, &walk->damages.items[i]);
        }
    }
}

static int log_walk_frame(void *arg, const struct log_scan_frame *frame)
{
    struct log_walk *walk = arg;
    struct log_segment *segment = walk->segments[frame->segment];
    if (frame->state == LOG_SCAN_DAMAGED) {
        log_apply_salvage(&walk->apply, frame->bytes, segment, frame->offset);
    } else {
        log_apply_frame(&walk->apply, frame->bytes, segment, frame->offset);
    }
    return walk->result;
}

static void log_walk_progress(void *arg, uint64_t bytes_done, uint64_t bytes_total)
{
    struct log_walk *walk = arg;
    if (walk->callbacks->progress != NULL) {
        walk->callbacks->progress(walk->arg, bytes_done, bytes_total);
    }
}

static int log_walk_run(struct log_walk *walk)
{
    struct log_scan_callbacks callbacks = {.frame = log_walk_frame, .progress = log_walk_progress, .arg = walk};
    struct log_scan_result scan = {0};
    int rc = log_scan_run(&walk->chain, &callbacks, &scan);
    walk->summary->frames = scan.frames;
    walk->summary->torn_bytes = scan.torn_bytes;
    if (rc == 0) {
        size_t found = walk->damages.count;
        log_apply_finish(&walk->apply);
        walk->summary->healed = found > walk->damages.count ? found - walk->damages.count : 0;
    }
    if (walk->result == 0) {
        log_walk_tell_damage(walk);
    }
    return rc != 0 ? rc : walk->result;
}

int log_walk(struct io *io, const char *directory, const struct log_walk_callbacks *callbacks, void *arg,
             struct log_walk_summary *out)
{
    struct log_walk walk = {.callbacks = callbacks, .arg = arg, .summary = out};
    *out = (struct log_walk_summary){0};
    walk.apply = (struct log_apply){
        .groups = &walk.groups, .damages = &walk.damages, .observe = log_walk_observe, .observe_arg = &walk};
    int rc = log_chain_open(&walk.chain, io, directory, &walk.damages);
    if (rc == 0 && walk.chain.segment_count + walk.chain.stale_count == 0) {
        rc = error_raise(HF_ENOTFOUND, "there is no log in %s", directory);
    }
    if (rc != 0) {
        goto done;
    }
    walk.segments = memory_new(walk.chain.segment_count * sizeof(struct log_segment *));
    for (size_t i = 0; i < walk.chain.segment_count; i++) {
        walk.segments[i] = log_segment_new(&walk.chain.segments[i].header);
    }
    walk.apply.front_missing = walk.chain.segment_count > 0 && walk.chain.segments[0].header.number > 1;
    out->segments = walk.chain.segment_count;
    out->bytes = walk.chain.bytes_total;
    rc = log_walk_run(&walk);
done:
    for (size_t i = 0; walk.segments != NULL && i < walk.chain.segment_count; i++) {
        log_segment_close(walk.segments[i]);
    }
    free(walk.segments);
    log_groups_close(&walk.groups);
    log_damage_close(&walk.damages);
    log_chain_close(&walk.chain);
    return rc;
}
