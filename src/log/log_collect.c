#include "log/log_collect.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_collect_place.h"
#include "log/log_state.h"

#define LOG_COLLECT_WINDOW_SIZE (128u << 10) /* of a scan, at a time: writes wait no longer than for that */
#define LOG_COLLECT_SLACK       2u           /* segments */
#define LOG_COLLECT_WORTH       4u /* this part of what is live has to be dead before it is moved for want of room */

void log_collect_measure(const struct hf_log *log, uint64_t *live, uint64_t *used)
{
    *live = *used = 0;
    for (size_t i = 0; i + 1 < log->segments.count; i++) {
        const struct log_segment *segment = log->segments.items[i];
        *used += segment->used_bytes;
        *live += log_segment_live_bytes(segment);
    }
}

/* ---- beginning and ending ---- */

static void log_collect_reset(struct log_collect *collect)
{
    log_groups_close(&collect->found);
    log_damage_close(&collect->problems);
    log_segment_close(collect->shadow);
    file_close(collect->file);
    log_collect_items_close(collect->items, collect->item_count);
    free(collect->path);
    free(collect->bytes);
    free(collect->items);
    collect->shadow = NULL;
    collect->file = NULL;
    collect->path = NULL;
    collect->bytes = NULL;
    collect->bad = bytes_of(NULL, 0);
    collect->items = NULL;
    collect->capacity = 0;
    collect->item_count = collect->placed = 0;
    collect->group = NULL;
    collect->failed = NULL;
    collect->position = 0;
    collect->state = LOG_COLLECT_IDLE;
}

void log_collect_close(struct log_collect *collect)
{
    if (collect->victim != NULL) {
        log_segment_unpin(collect->victim);
        collect->victim = NULL;
    }
    log_collect_reset(collect);
}

static void log_collect_end(struct hf_log *log, uint64_t next_ns)
{
    struct log_collect *collect = &log->collect;
    log_segment_unpin(collect->victim);
    collect->victim = NULL;
    collect->check_ns = next_ns;
    collect->checked_position = UINT64_MAX; /* look again */
    log_collect_reset(collect);
}

static void log_collect_give_up(struct hf_log *log, uint64_t now_ns, const char *why)
{
    TRACE(TRACE_WARN, "log", "log segment %016" PRIx64 ".log cannot be collected: %s",
          log->collect.victim->header.number, why);
    log_collect_end(log, now_ns + LOG_COLLECT_GAVE_UP_NS);
}

static void log_collect_begin(struct hf_log *log, struct log_segment *victim)
{
    struct log_collect *collect = &log->collect;
    collect->victim = victim;
    victim->pins++;
    if (victim->live_entries == 0) {
        collect->state = LOG_COLLECT_STATES;
        collect->table_size = log->groups.by_id.capacity;
        return;
    }
    char name[LOG_FORMAT_NAME_SIZE];
    log_format_segment_name(name, victim->header.number);
    collect->io = log->io;
    collect->path = text_format("%s/%s", log->directory, name);
    collect->shadow = log_segment_new(&victim->header);
    collect->shadow->used_bytes = victim->used_bytes;
    collect->apply = (struct log_apply){
        .groups = &collect->found, .damages = &collect->problems, .front_missing = true, .in_part = true};
    collect->offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
    collect->state = LOG_COLLECT_SCANNING;
}

/* ---- the work: off the driver's thread ---- */

/* `size` bytes of the victim at a block; lent. */
static int log_collect_fetch(struct log_collect *collect, uint64_t offset, size_t size)
{
    size_t got = 0;
    if (size > collect->capacity) {
        free(collect->bytes);
        collect->bytes = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, size);
        collect->capacity = collect->bytes != NULL ? size : 0;
    }
    if (collect->bytes == NULL) {
        return error_raise(HF_ENOMEM, "no memory for %zu bytes of the log", size);
    }
    int rc = file_read(collect->file, offset, collect->bytes, size, &got);
    if (rc == 0 && got < size) {
        memset(collect->bytes + got, 0, size - got);
    }
    return rc;
}

/* The frames that lie whole in the next window, at least one. */
static int log_collect_scan(struct log_collect *collect)
{
    const struct log_segment_header *segment = &collect->shadow->header;
    uint64_t end = collect->shadow->used_bytes;
    uint64_t begin = collect->offset;
    size_t span = end - begin < LOG_COLLECT_WINDOW_SIZE ? (size_t)(end - begin) : LOG_COLLECT_WINDOW_SIZE;
    int rc = log_collect_fetch(collect, begin, span);
    while (rc == 0 && collect->offset - begin < span) {
        struct log_frame_header header;
        struct log_trailer trailer;
        size_t at = (size_t)(collect->offset - begin);
        if (!log_frame_get_header(collect->bytes + at, segment->incarnation, segment->number, collect->offset,
                                  end - collect->offset, &header)) {
            return error_raise(HF_ECORRUPT, "no frame at offset %" PRIu64, collect->offset);
        }
        if (header.length > span - at) {
            if (at > 0) {
                return 0; /* first of the next window */
            }
            span = header.length;
            rc = log_collect_fetch(collect, begin, span);
            continue;
        }
        struct hf_bytes frame = bytes_of(collect->bytes + at, header.length);
        rc = log_frame_check(frame, &header, &trailer);
        if (rc == 0) {
            log_apply_frame(&collect->apply, frame, collect->shadow, collect->offset);
            collect->offset += header.length;
        } else if (rc == HF_ECORRUPT) {
            collect->bad = frame;
            log_apply_salvage(&collect->apply, frame, collect->shadow, collect->offset); /* names what is damaged */
        }
    }
    if (rc == 0 && collect->problems.count > 0) {
        return error_raise(HF_ECORRUPT, "%s", collect->problems.items[0].reason);
    }
    return rc;
}

static int log_collect_scan_work(void *arg)
{
    struct log_collect *collect = arg;
    int rc = 0;
    if (collect->file == NULL) {
        rc = file_open(collect->io, collect->path, FILE_READ | FILE_DIRECT, &collect->file);
    }
    return rc == 0 ? log_collect_scan(collect) : rc;
}

/* The records of the slice side by side in one piece of memory; read one by one, or neighbours together. */
static int log_collect_read_work(void *arg)
{
    struct log_collect *collect = arg;
    int rc = 0;
    for (size_t at = 0; at < collect->item_count && rc == 0;) {
        size_t end = log_collect_item_span(collect->items, at, collect->item_count);
        uint64_t begin = collect->items[at].location.offset & ~(uint64_t)(LOG_FORMAT_BLOCK_SIZE - 1);
        const struct log_location *last = &collect->items[end - 1].location;
        uint64_t stop = last->offset + log_record_entry_size(last->size);
        rc = log_collect_fetch(collect, begin, log_format_align_block(stop - begin));
        for (size_t i = at; i < end && rc == 0; i++) {
            const uint8_t *bytes = collect->bytes + (collect->items[i].location.offset - begin);
            rc = log_collect_item_take(&collect->items[i], bytes, collect->shadow->header.incarnation);
            collect->failed = rc != 0 ? &collect->items[i] : NULL;
        }
        at = end;
    }
    return rc;
}

static int log_collect_submit(struct hf_log *log, int (*work)(void *arg), enum log_collect_state state)
{
    struct log_collect *collect = &log->collect;
    collect->operation = (struct io_operation){.kind = IO_WORK, .work = work, .arg = collect, .user = collect};
    int rc = io_queue_submit(log->queue, &collect->operation);
    if (rc != 0) {
        return error_wrap(rc, "collecting a log segment");
    }
    collect->state = state;
    collect->busy = true;
    return 0;
}

/* ---- deciding ---- */

/* What may be dead beside as much as is live. Not by the size that suits all of the log: that grows with what is dead.
 * Where entries would have to be read and moved, the next compaction may well be quicker: so the log may first be what
 * it was lately, and hold a full-size segment's worth. */
static uint64_t log_collect_slack(const struct hf_log *log, const struct log_segment *victim, uint64_t live)
{
    if (victim->live_entries == 0 || MUTATED(LOG_COLLECT_EAGERLY)) {
        return LOG_COLLECT_SLACK * log_pool_size(&log->pool, live);
    }
    uint64_t kept = log->pool.peak_bytes > live ? log->pool.peak_bytes : live;
    uint64_t slack = LOG_COLLECT_SLACK * log_pool_size(&log->pool, kept);
    return slack > log->options.segment_size_bytes ? slack : log->options.segment_size_bytes;
}

static bool log_collect_is_due(struct hf_log *log, const struct log_segment *victim)
{
    const struct hf_log_options *options = &log->options;
    uint64_t live = 0;
    uint64_t used = 0;
    log_collect_measure(log, &live, &used);
    uint64_t dead = used > live ? used - live : 0;
    if (dead > live + log_collect_slack(log, victim, live)) {
        return true;
    }
    uint64_t size = log_pool_size(&log->pool, log->segments.size_bytes);
    /* The ends of frames count as dead, also where everything was just moved: that must not begin it all again. */
    bool worthwhile = dead > live / LOG_COLLECT_WORTH;
    if (options->collect_size_bytes != 0 && log->segments.size_bytes > options->collect_size_bytes && dead > size &&
        worthwhile) {
        return true;
    }
    bool short_of_space =
        log->pool.no_space || log_pool_free_bytes(&log->pool) < options->reserve_bytes + LOG_COLLECT_SLACK * size;
    /* A file that was left early, for an entry that it had no room for, brings back more than what is dead in it. */
    bool mostly_unused = log_segment_live_bytes(victim) < victim->header.size_bytes / 2;
    return short_of_space && ((dead > size / 2 && worthwhile) || mostly_unused);
}

/* Does what is live in it fit beside half of the headroom? */
static bool log_collect_fits(struct hf_log *log, const struct log_segment *victim)
{
    uint64_t kept = log->options.reserve_bytes / 2;
    uint64_t share = log->writer.tail->header.size_bytes / 16;
    kept = kept < share ? kept : share;
    return log_segment_live_bytes(victim) + kept <= log_writer_room(&log->writer);
}

static void log_collect_decide(struct hf_log *log, uint64_t now_ns)
{
    struct log_collect *collect = &log->collect;
    if (now_ns < collect->check_ns || collect->checked_position == log->writer.tail_position) {
        return;
    }
    collect->check_ns = now_ns + LOG_COLLECT_CHECK_NS;
    collect->checked_position = log->writer.tail_position;
    struct log_segment *victim = log->segments.items[0];
    bool possible = log->segments.count > 1 && victim->state == LOG_SEGMENT_SEALED && !log_segment_is_dead(victim);
    if (!possible || !log_collect_is_due(log, victim) || log_release_held_number(log) <= victim->header.number) {
        return;
    }
    if (!log_collect_fits(log, victim)) {
        collect->checked_position = UINT64_MAX;
        return;
    }
    log_collect_begin(log, victim);
}

/* ---- one slice ---- */

/* The next live entry of the victim at or behind (group, next_index). False: there is none. *looked_at counts. */
static bool log_collect_next_entry(struct hf_log *log, struct log_collect_item *out, size_t *looked_at)
{
    struct log_collect *collect = &log->collect;
    while (collect->group != NULL && *looked_at < LOG_COLLECT_LOOKED_AT_MAX) {
        uint64_t index = 0;
        ++*looked_at;
        struct log_group *real = log_collect_real_group(log, collect->group);
        if (real == NULL || !log_index_next(&collect->group->index, collect->next_index, &index)) {
            return false;
        }
        collect->next_index = index + 1;
        if (log_index_lies_in(&real->index, index, collect->victim)) {
            *out = (struct log_collect_item){.group = real->id, .incarnation = real->incarnation, .index = index};
            return log_index_find(&collect->group->index, index, &out->location);
        }
        if (index == HF_LOG_INDEX_MAX) {
            return false;
        }
    }
    return false;
}

/* Fills the slice with entries of the current group. False: nothing of it is left. */
static bool log_collect_fill(struct hf_log *log)
{
    struct log_collect *collect = &log->collect;
    size_t looked_at = 0;
    uint64_t bytes = 0;
    if (collect->items == NULL) {
        collect->items = memory_new(LOG_COLLECT_SLICE_ENTRIES * sizeof(struct log_collect_item));
    }
    collect->item_count = collect->placed = 0;
    while (collect->item_count < LOG_COLLECT_SLICE_ENTRIES && bytes < LOG_COLLECT_SLICE_BYTES) {
        struct log_collect_item *item = &collect->items[collect->item_count];
        if (!log_collect_next_entry(log, item, &looked_at)) {
            break;
        }
        collect->item_count++;
        bytes += log_record_size(item->location.size);
    }
    return collect->item_count > 0 || looked_at == LOG_COLLECT_LOOKED_AT_MAX;
}

/* The states of the current group, and on to the next one. */
static int log_collect_next_group(struct hf_log *log)
{
    struct log_collect *collect = &log->collect;
    int rc = collect->group != NULL ? log_collect_place_states(log, collect->group->id, collect->victim) : 0;
    if (rc != 0) {
        return rc;
    }
    uint64_t id = 0;
    void *value = NULL;
    bool more = map_next(&collect->found.by_id, &collect->position, &id, &value);
    collect->group = more ? value : NULL;
    collect->next_index = 0;
    return more ? 0 : HF_ENOTFOUND;
}

/* 0: on it goes. HF_ENOTFOUND: all is placed. HF_ENOSPACE, HF_EBUSY: no room. */
static int log_collect_plan(struct hf_log *log)
{
    struct log_collect *collect = &log->collect;
    int rc = 0;
    for (size_t groups = 0; groups < LOG_COLLECT_SLICE_ENTRIES && rc == 0; groups++) {
        if (collect->group != NULL && log_collect_fill(log)) {
            return collect->item_count > 0 ? log_collect_submit(log, log_collect_read_work, LOG_COLLECT_READING) : 0;
        }
        rc = log_collect_next_group(log);
    }
    return rc;
}

/* The states of some more groups. HF_ENOTFOUND: of all of them. */
static int log_collect_states(struct hf_log *log)
{
    struct log_collect *collect = &log->collect;
    uint64_t id = 0;
    void *value = NULL;
    if (collect->table_size != log->groups.by_id.capacity && !MUTATED(LOG_STATES_PASSED_OVER)) {
        /* Groups that came meanwhile made the table move: one that was in front of us may now be behind. Those that
         * were placed have nothing left to place, and the table only ever grows, so this happens a few times at most.
         */
        collect->table_size = log->groups.by_id.capacity;
        collect->position = 0;
    }
    for (unsigned looked_at = 0; looked_at < LOG_COLLECT_LOOKED_AT_MAX; looked_at++) {
        size_t position = collect->position;
        if (!map_next(&log->groups.by_id, &position, &id, &value)) {
            return HF_ENOTFOUND;
        }
        int rc = log_collect_place_states(log, id, collect->victim);
        if (rc != 0) {
            return rc; /* the same group again */
        }
        collect->position = position;
    }
    return 0;
}

static int log_collect_place(struct hf_log *log)
{
    struct log_collect *collect = &log->collect;
    int rc = 0;
    while (collect->placed < collect->item_count && rc == 0) {
        rc = log_collect_place_entry(log, &collect->items[collect->placed], collect->victim);
        collect->placed += rc == 0;
    }
    if (rc == 0) {
        log_collect_items_close(collect->items, collect->item_count);
        collect->item_count = collect->placed = 0;
        collect->state = LOG_COLLECT_PLANNING;
    }
    return rc;
}

/* ---- the machine ---- */

static int log_collect_advance(struct hf_log *log)
{
    switch (log->collect.state) {
    case LOG_COLLECT_IDLE:
        return 0;
    case LOG_COLLECT_STATES:
        return log_collect_states(log);
    case LOG_COLLECT_SCANNING:
        if (log->collect.offset < log->collect.shadow->used_bytes) {
            return log_collect_submit(log, log_collect_scan_work, LOG_COLLECT_SCANNING);
        }
        log->collect.state = LOG_COLLECT_PLANNING;
        return 0;
    case LOG_COLLECT_PLACING:
        return log_collect_place(log);
    default:
        return log_collect_plan(log);
    }
}

int log_collect_step(struct hf_log *log, uint64_t now_ns)
{
    struct log_collect *collect = &log->collect;
    if (collect->state == LOG_COLLECT_IDLE) {
        log_collect_decide(log, now_ns);
    }
    if (collect->busy || collect->state == LOG_COLLECT_IDLE || now_ns < collect->retry_ns) {
        return 0;
    }
    if (log_segment_is_dead(collect->victim)) {
        log_collect_end(log, now_ns);
        return 0;
    }
    int rc = log_collect_advance(log);
    if (rc == HF_ENOTFOUND) {
        if (!log_segment_is_dead(collect->victim)) {
            log_collect_give_up(log, now_ns, "something in it is live that it does not hold");
            return 0;
        }
        collect->collected_count++;
        log_collect_end(log, now_ns);
        return 0;
    }
    if (rc == HF_ENOSPACE || rc == HF_EBUSY) {
        collect->retry_ns = now_ns + LOG_COLLECT_RETRY_NS;
        return 0;
    }
    return rc;
}

/* Is there a bad record at this place of the bad frame? */
static bool log_collect_is_bad(const struct log_collect *collect, uint64_t offset)
{
    struct log_record record;
    size_t size = 0;
    if (offset < collect->offset || offset - collect->offset >= collect->bad.size) {
        return false;
    }
    size_t at = (size_t)(offset - collect->offset);
    struct hf_bytes rest = bytes_of((const uint8_t *)collect->bad.data + at, collect->bad.size - at);
    uint32_t seed = log_format_seed(collect->shadow->header.incarnation, offset);
    return log_record_get(rest, seed, &record, &size) != LOG_RECORD_OK;
}

/* Where a record of the bad frame says that it is this entry; 0: nowhere. */
static uint64_t log_collect_claim(const struct log_collect *collect, const struct log_group *group, uint64_t index)
{
    uint32_t check = log_format_group_check(group->id, group->incarnation);
    for (size_t at = LOG_FORMAT_FRAME_HEADER_SIZE; at + LOG_FORMAT_RECORD_HEADER_SIZE <= collect->bad.size; at += 8) {
        struct log_record record;
        size_t size = 0;
        struct hf_bytes rest = bytes_of((const uint8_t *)collect->bad.data + at, collect->bad.size - at);
        if (log_record_decode(rest, &record, &size) == LOG_RECORD_OK && record.index == index &&
            record.group_check == check && (record.kind == LOG_RECORD_APPEND || record.kind == LOG_RECORD_MOVED)) {
            return collect->offset + at;
        }
    }
    return 0;
}

/* Which records were lost is a guess: one that nobody needs may have lain there, and the entry that is thought to be
 * lost may be whole, in this frame or in another. What is not sure here a read will name. */
static bool log_collect_is_sure(const struct log_collect *collect, const struct log_group *group,
                                const struct hf_log_damage *damage, const struct log_location *location)
{
    if (location->offset != 0) {
        return location->offset == damage->offset || log_collect_is_bad(collect, location->offset);
    }
    uint64_t claim = log_collect_claim(collect, group, damage->index);
    return claim != 0 && (claim == damage->offset || log_collect_is_bad(collect, claim));
}

/* Damage met here closes the group, as damage met by a read does. */
static void log_collect_report(struct hf_log *log, struct hf_log_damage damage, bool is_read)
{
    struct log_group *group = log_groups_find(&log->groups, damage.group);
    struct log_location location;
    bool live =
        group != NULL && group->bounds.exists && log_index_lies_in(&group->index, damage.index, log->collect.victim);
    if (!live || !log_index_find(&group->index, damage.index, &location) ||
        (!is_read && !log_collect_is_sure(&log->collect, group, &damage, &location) &&
         !MUTATED(LOG_COLLECT_GUESS_BELIEVED))) {
        return;
    }
    bool is_placed = location.offset != 0 || damage.size != 0; /* else a read will name it, with its size */
    damage.commit = group->hard_state.commit;
    damage.term = location.term;
    if (location.offset != 0) {
        damage.offset = location.offset;
        damage.size = location.size;
    }
    group->damaged = true;
    group->unreadable += log_damage_add(&log->damages, &damage) && is_placed;
}

static void log_collect_report_all(struct hf_log *log)
{
    const struct log_collect *collect = &log->collect;
    const struct log_collect_item *item = collect->failed;
    for (size_t i = 0; i < collect->problems.count && !MUTATED(LOG_COLLECT_DAMAGE_UNTOLD); i++) {
        log_collect_report(log, collect->problems.items[i], false);
    }
    if (item != NULL) {
        struct hf_log_damage damage =
            log_damage_of(item->group, item->index, item->location.term, collect->victim->header.number,
                          item->location.offset, "checksum, group or index of the entry");
        damage.size = item->location.size;
        log_collect_report(log, damage, true);
    }
}

void log_collect_finish(struct hf_log *log, uint64_t now_ns)
{
    struct log_collect *collect = &log->collect;
    collect->busy = false;
    if (collect->operation.result != 0) {
        log_collect_report_all(log);
        log_collect_give_up(log, now_ns, collect->operation.text);
        return;
    }
    if (collect->state == LOG_COLLECT_READING) {
        collect->state = LOG_COLLECT_PLACING;
    }
}

uint64_t log_collect_deadline_ns(const struct hf_log *log, uint64_t now_ns)
{
    const struct log_collect *collect = &log->collect;
    if (collect->busy) {
        return UINT64_MAX;
    }
    if (collect->state != LOG_COLLECT_IDLE) {
        return collect->retry_ns > now_ns ? collect->retry_ns : 0;
    }
    bool unchecked = log->segments.count > 1 && collect->checked_position != log->writer.tail_position;
    return unchecked ? collect->check_ns : UINT64_MAX;
}
