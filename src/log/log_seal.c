#include "log/log_seal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_state.h"

#define LOG_SEAL_NAME_BYTES (64u << 10)

/* ---- the work ---- */

/* Reads entries as anybody would; the reader reports what is damaged. */
static int log_seal_name_range(struct log_seal_job *job, const struct log_seal_range *range)
{
    uint64_t index = range->index_first;
    while (index <= range->index_last && !atomic_load(&job->cancelled)) {
        struct hf_log_view view = {0};
        uint64_t high = range->index_last == HF_LOG_INDEX_MAX ? 0 : range->index_last + 1;
        int rc = hf_log_read(job->log, range->group, index, high, LOG_SEAL_NAME_BYTES, 0, &view);
        if (rc == HF_ECORRUPT) {
            rc = hf_log_read(job->log, range->group, index, index + 1, 0, 0, &view);
            view.count = 1; /* one by one until the damaged one is behind us */
        }
        uint64_t count = view.count;
        hf_log_view_close(&view);
        if ((rc != 0 && rc != HF_ECORRUPT) || count > range->index_last - index) {
            return rc == HF_ECORRUPT ? 0 : rc;
        }
        index += count;
    }
    return 0;
}

static int log_seal_name_work(void *arg)
{
    struct log_seal_job *job = arg;
    for (size_t i = 0; i < job->range_count; i++) {
        (void)log_seal_name_range(job, &job->ranges[i]); /* compacted meanwhile: nobody needs it */
    }
    return 0;
}

/* Some of the segment's frames; after the last of them the build is finished. */
static int log_seal_build_work(void *arg)
{
    struct log_seal_job *job = arg;
    if (job->build == NULL) {
        job->build = memory_new(sizeof(*job->build));
        log_index_build_open(job->build, &job->source.header);
    }
    int rc = log_index_build_advance(job->build, &job->source, job->offset_stop);
    job->bad_offset = job->build->summary.offset_end;
    if (rc == 0 && !job->is_early && job->bad_offset >= job->source.offset_end) {
        rc = log_index_build_finish(job->build);
    }
    return rc;
}

static int log_seal_write_work(void *arg)
{
    struct log_seal_job *job = arg;
    return log_index_build_write(job->build, job->source.io, job->source.directory, &job->directory_failed);
}

/* ---- which segment ---- */

/* The segments are contiguous in their numbers. The first one from `number` on; NULL: none. */
static struct log_segment *log_seal_segment(const struct hf_log *log, uint64_t number)
{
    const struct log_segment_table *table = &log->segments;
    uint64_t first = table->count > 0 ? table->items[0]->header.number : 0;
    uint64_t at = number > first ? number - first : 0;
    return at < table->count ? table->items[at] : NULL;
}

/* Every byte of the segments below it is durable, and nothing is written to them any more. */
static uint64_t log_seal_durable_below(const struct hf_log *log)
{
    const struct log_writer *writer = &log->writer;
    if (list_empty(&writer->writes) || MUTATED(LOG_INDEX_BEFORE_DURABLE)) {
        return writer->tail->header.number;
    }
    return list_entry(writer->writes.next, struct log_write, link)->segment->header.number;
}

static struct log_segment *log_seal_next(const struct hf_log *log)
{
    uint64_t below = log_seal_durable_below(log);
    struct log_segment *segment = log_seal_segment(log, log->seal.number_next);
    while (segment != NULL && segment->header.number < below) {
        if (segment->index_state == LOG_SEGMENT_INDEX_NONE || segment->index_state == LOG_SEGMENT_INDEX_BROKEN) {
            return segment;
        }
        segment = log_seal_segment(log, segment->header.number + 1);
    }
    return NULL;
}

/* ---- beginning early ---- */

/* How far the segment's frames are durable. */
static uint64_t log_seal_durable_end(const struct hf_log *log, const struct log_segment *segment)
{
    const struct log_writer *writer = &log->writer;
    uint64_t end = segment == writer->tail ? writer->tail_offset : segment->used_bytes;
    if (list_empty(&writer->writes)) {
        return end;
    }
    const struct log_write *oldest = list_entry(writer->writes.next, struct log_write, link);
    if (oldest->segment == segment) {
        return oldest->builder.place.offset;
    }
    return oldest->segment->header.number > segment->header.number ? end : LOG_FORMAT_SEGMENT_HEADER_SIZE;
}

/* More than a third of what was written to it is gone already: the rest will follow, and it is given up. */
static bool log_seal_is_leaving(const struct log_segment *segment)
{
    return segment->live_entries * 3 < segment->lived_entries * 2 && !MUTATED(LOG_INDEX_AT_ONCE);
}

/* A segment of at least half of the full size, of which not everything is written or durable, of which the next frames
 * to go through are; NULL: there is none. Later they would have to be read again. */
static struct log_segment *log_seal_next_early(const struct hf_log *log)
{
    const struct log_seal *seal = &log->seal;
    struct log_segment *segment = log_seal_segment(log, seal->number_next);
    while (segment != NULL && segment->index_state != LOG_SEGMENT_INDEX_NONE) {
        segment = log_seal_segment(log, segment->header.number + 1);
    }
    if (segment == NULL || segment->header.size_bytes < log->options.segment_size_bytes / 2 ||
        segment->header.number < log_seal_durable_below(log) || segment->header.number == seal->early_refused) {
        return NULL;
    }
    bool begun = seal->early_build != NULL && seal->early_build->summary.number == segment->header.number;
    uint64_t offset = begun ? seal->early_build->summary.offset_end : LOG_FORMAT_SEGMENT_HEADER_SIZE;
    uint64_t step = log->options.segment_size_bytes / LOG_SEAL_EARLY_SHARE;
    step = step < LOG_SEAL_STEP_BYTES ? step : LOG_SEAL_STEP_BYTES;
    return log_seal_durable_end(log, segment) >= offset + step ? segment : NULL;
}

static void log_seal_drop_early(struct log_seal *seal)
{
    if (seal->early_build != NULL) {
        log_index_build_close(seal->early_build);
        free(seal->early_build);
        seal->early_build = NULL;
    }
}

/* What was begun early on the segment, or nothing. */
static struct log_index_build *log_seal_take_early(struct log_seal *seal, const struct log_segment *segment)
{
    struct log_index_build *build = seal->early_build;
    if (build != NULL && build->summary.number != segment->header.number) {
        log_seal_drop_early(seal); /* it got none, or was given up */
        return NULL;
    }
    seal->early_build = NULL;
    return build;
}

/* A step is over that was made early: the next one comes when there is as much again, or the segment is complete. */
static void log_seal_end_early(struct log_seal *seal, const struct log_segment *segment, int rc)
{
    if (rc == 0) {
        seal->early_build = seal->job.build;
        seal->job.build = NULL;
    } else {
        seal->early_refused = segment->header.number; /* once it is complete it is seen what that means */
    }
}

/* When the segment, the first one without an index file, is due for one. */
static uint64_t log_seal_due_ns(const struct hf_log *log, const struct log_segment *segment)
{
    uint64_t below = log_seal_durable_below(log);
    uint64_t recent_max = log->options.segment_size_bytes / LOG_SEAL_RECENT_SHARE;
    uint64_t recent = 0;
    if (segment->index_state == LOG_SEGMENT_INDEX_BROKEN) {
        return 0;
    }
    for (const struct log_segment *each = segment; each != NULL && each->header.number < below && recent < recent_max;
         each = log_seal_segment(log, each->header.number + 1)) {
        recent += log_seal_is_leaving(each) ? 0 : each->header.size_bytes;
    }
    return recent >= recent_max || MUTATED(LOG_INDEX_AT_ONCE) ? 0 : segment->left_ns + LOG_SEAL_DELAY_NS;
}

/* Index files may not eat the headroom. */
static bool log_seal_has_room(struct hf_log *log, const struct log_segment *segment)
{
    uint64_t needed = segment->used_bytes / 4 + LOG_INDEX_HEADER_SIZE + LOG_INDEX_PAGE_SIZE;
    return log_pool_free_bytes(&log->pool) >= needed + log->options.reserve_bytes;
}

/* ---- forgetting ---- */

static void log_seal_chill_item(struct hf_log *log, struct log_segment *segment, const struct log_index_item *item)
{
    struct log_group *group = log_groups_find(&log->groups, item->run.group);
    bool is_block = item->kind == LOG_RECORD_APPEND || item->kind == LOG_RECORD_MOVED;
    if (!is_block || group == NULL || group->incarnation != item->run.incarnation) {
        return;
    }
    struct log_index_cold cold = {.segment = segment,
                                  .index_first = item->index,
                                  .count = (uint32_t)item->count,
                                  .file_slot = (uint32_t)item->slot_first};
    log_index_chill(&group->index, &cold, segment->index_build->slots + item->slot_first);
}

static void log_seal_chill(struct hf_log *log, struct log_segment *segment)
{
    struct log_index_build *build = segment->index_build;
    struct log_index_cursor cursor;
    struct log_index_item item;
    int rc = log_index_format_open_cursor(&cursor, &build->summary, buffer_bytes(&build->tables));
    while (rc == 0 && (rc = log_index_format_next(&cursor, &item)) == 0) {
        log_seal_chill_item(log, segment, &item);
    }
    assert(rc == HF_ENOTFOUND); /* our own work */
    log_index_build_close(build);
    free(build);
    segment->index_build = NULL;
    segment->index_state = LOG_SEGMENT_INDEX_COLD;
}

/* Recent entries are read from the cache, without a probe: their slots stay as long as they are there. */
static void log_seal_forget(struct hf_log *log)
{
    const struct log_tail_cache *cache = &log->cache;
    uint64_t cached_from = cache->frame_count > 0 ? cache->frames[cache->frame_first].segment : UINT64_MAX;
    struct log_seal *seal = &log->seal;
    struct log_segment *segment = log_seal_segment(log, seal->warm_next);
    while (segment != NULL && segment->header.number < cached_from && segment->header.number < seal->number_next) {
        if (segment->index_state == LOG_SEGMENT_INDEX_WARM) {
            log_seal_chill(log, segment);
        }
        seal->warm_next = segment->header.number + 1;
        segment = log_seal_segment(log, seal->warm_next);
    }
}

/* ---- the scrub ---- */

/* Nobody knows yet which entries are concerned: reads will tell. */
static void log_seal_report(struct hf_log *log, const struct log_segment *segment, uint64_t offset)
{
    struct hf_log_damage damage =
        log_damage_of(0, 0, 0, segment->header.number, offset, "a frame of a sealed segment is damaged");
    log_damage_add(&log->damages, &damage);
}

void log_seal_open(struct hf_log *log, uint64_t now_ns)
{
    struct log_seal *seal = &log->seal;
    const struct log_segment_table *table = &log->segments;
    seal->scrub_next = table->items[0]->header.number;
    seal->scrub_end = table->items[table->count - 1]->header.number;
    seal->scrub_ns = now_ns + LOG_SEAL_SCRUB_DELAY_NS;
}

/* The next segment that the open did not read; NULL when all were. */
static struct log_segment *log_seal_next_scrub(const struct hf_log *log)
{
    const struct log_seal *seal = &log->seal;
    struct log_segment *segment = log_seal_segment(log, seal->scrub_next);
    while (segment != NULL && segment->header.number < seal->scrub_end) {
        if (segment->index_state == LOG_SEGMENT_INDEX_COLD) {
            return segment;
        }
        segment = log_seal_segment(log, segment->header.number + 1);
    }
    return NULL;
}

static void log_seal_collect_ranges(struct hf_log *log, const struct log_segment *segment)
{
    struct log_seal_job *job = &log->seal.job;
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    while (map_next(&log->groups.by_id, &position, &id, &value)) {
        const struct log_index *index = &((const struct log_group *)value)->index;
        for (size_t i = 0; i < index->count; i++) {
            const struct log_index_block *block = index->blocks[i];
            if (block->segment != segment) {
                continue;
            }
            job->ranges = memory_resize(job->ranges, (job->range_count + 1) * sizeof(struct log_seal_range));
            job->ranges[job->range_count++] = (struct log_seal_range){
                .group = id, .index_first = block->index_first, .index_last = block->index_first + (block->count - 1)};
        }
    }
}

/* The next step: frames that are in memory need not be read. */
static void log_seal_plan_step(struct hf_log *log, const struct log_segment *segment)
{
    struct log_seal_job *job = &log->seal.job;
    struct log_index_source *source = &job->source;
    uint64_t offset = job->build != NULL ? job->build->summary.offset_end : LOG_FORMAT_SEGMENT_HEADER_SIZE;
    uint64_t rest = source->offset_end - offset;
    job->offset_stop =
        offset + (rest < LOG_SEAL_STEP_BYTES || MUTATED(LOG_INDEX_IN_ONE_STEP) ? rest : LOG_SEAL_STEP_BYTES);
    size_t count = 0;
    const struct log_cached_frame *frames = log_tail_cache_frames(&log->cache, segment->header.number, &count);
    for (; count > 0 && frames->offset < offset; count--) {
        frames++;
    }
    for (source->frame_count = 0; source->frame_count < count; source->frame_count++) {
        if (frames[source->frame_count].offset >= job->offset_stop) {
            break;
        }
    }
    if (source->frame_count == 0) {
        return;
    }
    source->frames = memory_resize(NULL, source->frame_count * sizeof(*frames));
    memcpy(source->frames, frames, source->frame_count * sizeof(*frames));
    for (size_t i = 0; i < source->frame_count; i++) {
        if (i == 0 || frames[i].chunk != frames[i - 1].chunk) {
            log_tail_cache_pin(frames[i].chunk);
        }
    }
}

static void log_seal_unpin_frames(struct hf_log *log, struct log_index_source *source)
{
    struct log_chunk *last = NULL;
    for (size_t i = 0; i < source->frame_count; i++) {
        if (source->frames[i].chunk != last) {
            last = source->frames[i].chunk;
            log_tail_cache_unpin(&log->cache, last);
        }
    }
    free(source->frames);
    source->frames = NULL;
    source->frame_count = 0;
}

/* What the job holds. */
static void log_seal_free_job(struct log_seal_job *job)
{
    if (job->log != NULL) {
        log_seal_unpin_frames(job->log, &job->source);
    }
    free(job->ranges);
    job->ranges = NULL;
    if (job->build != NULL) {
        log_index_build_close(job->build);
        free(job->build);
        job->build = NULL;
    }
}

/* The job's next step, on the segment that it is about. */
static int log_seal_run(struct hf_log *log, struct log_segment *segment, enum log_seal_task task)
{
    static int (*const works[])(void *) = {log_seal_build_work, log_seal_write_work, log_seal_build_work,
                                           log_seal_name_work};
    struct log_seal *seal = &log->seal;
    seal->job.task = task;
    seal->operation = (struct io_operation){
        .kind = IO_WORK, .work = works[task], .arg = &seal->job, .user = seal, .is_background = true};
    int rc = io_queue_submit(log->queue, &seal->operation);
    if (rc != 0) {
        log_seal_free_job(&seal->job);
        return error_wrap(rc, "reading a log segment in the background");
    }
    segment->pins++; /* not given up meanwhile */
    seal->segment = segment;
    seal->busy = true;
    return 0;
}

static int log_seal_submit(struct hf_log *log, struct log_segment *segment, enum log_seal_task task)
{
    struct log_seal *seal = &log->seal;
    bool sized = segment->index_file != NULL;
    bool early = task == LOG_SEAL_BUILD && segment->header.number >= log_seal_durable_below(log);
    uint64_t end = early ? log_seal_durable_end(log, segment) : segment->used_bytes;
    seal->job = (struct log_seal_job){.log = log,
                                      .source = {.io = log->io,
                                                 .directory = log->directory,
                                                 .header = segment->header,
                                                 .offset_end = sized ? segment->index_file->summary.offset_end : end},
                                      .is_early = early};
    seal->job.source.cancel = &seal->job.cancelled;
    if (task == LOG_SEAL_NAME) {
        log_seal_collect_ranges(log, segment);
    } else if (task == LOG_SEAL_BUILD) {
        seal->job.build = log_seal_take_early(seal, segment);
        log_seal_plan_step(log, segment);
    } else {
        seal->job.offset_stop = seal->job.source.offset_end;
    }
    return log_seal_run(log, segment, task);
}

static int log_seal_start_scrub(struct hf_log *log, uint64_t now_ns)
{
    struct log_seal *seal = &log->seal;
    if (seal->naming != NULL) {
        struct log_segment *segment = seal->naming;
        seal->naming = NULL;
        log_segment_unpin(segment);
        return log_seal_submit(log, segment, LOG_SEAL_NAME);
    }
    struct log_segment *segment = now_ns >= seal->scrub_ns ? log_seal_next_scrub(log) : NULL;
    if (segment == NULL) {
        return 0;
    }
    seal->scrub_next = segment->header.number + 1;
    seal->scrub_ns = now_ns + segment->used_bytes * UINT64_C(1000000000) / LOG_SEAL_SCRUB_BYTES_S;
    return log_seal_submit(log, segment, LOG_SEAL_SCRUB);
}

/* The frame is reported, and its entries will be named. */
static void log_seal_meet_damage(struct hf_log *log, struct log_segment *segment)
{
    struct log_seal *seal = &log->seal;
    log_seal_report(log, segment, seal->job.bad_offset);
    if (seal->naming == NULL) {
        segment->pins++;
        seal->naming = segment;
    }
}

static void log_seal_finish_scrub(struct hf_log *log, struct log_segment *segment, int rc)
{
    struct log_seal *seal = &log->seal;
    struct log_index_build *build = seal->job.build;
    if (rc == 0) {
        const struct log_index_summary *known = &segment->index_file->summary;
        if (build->summary.tables_checksum != known->tables_checksum) {
            TRACE(TRACE_WARN, "log", "an index file disagrees with its segment %016" PRIx64, segment->header.number);
            log_seal_mark_broken(log, segment);
        }
    } else if (rc == HF_ECORRUPT) {
        log_seal_meet_damage(log, segment);
    } else if (rc != HF_ECLOSED) {
        TRACE(TRACE_WARN, "log", "a log segment cannot be read: %s", seal->operation.text);
    }
}

/* ---- the driver's turns ---- */

int log_seal_start(struct hf_log *log, uint64_t now_ns)
{
    struct log_seal *seal = &log->seal;
    log_seal_forget(log);
    if (seal->busy) {
        return 0;
    }
    bool may = now_ns >= seal->retry_ns && seal->naming == NULL;
    struct log_segment *segment = may ? log_seal_next(log) : NULL;
    if (segment == NULL || log_seal_due_ns(log, segment) > now_ns) {
        segment = may ? log_seal_next_early(log) : NULL;
        return segment != NULL ? log_seal_submit(log, segment, LOG_SEAL_BUILD) : log_seal_start_scrub(log, now_ns);
    }
    if (!log_seal_has_room(log, segment)) {
        seal->retry_ns = now_ns + LOG_SEAL_RETRY_NS;
        return 0;
    }
    return log_seal_submit(log, segment, LOG_SEAL_BUILD);
}

static void log_seal_accept(struct hf_log *log, struct log_segment *segment, struct log_index_build *build)
{
    if (segment->index_state == LOG_SEGMENT_INDEX_NONE) {
        segment->index_file = log_index_file_of(log->io, log->directory, &build->summary, build->tables.data);
        segment->index_build = build;
        segment->index_state = LOG_SEGMENT_INDEX_WARM;
        return;
    }
    /* Made again: the numbers of the slots are what they were. */
    const struct log_index_summary *before = &segment->index_file->summary;
    bool same =
        before->tables_checksum == build->summary.tables_checksum && before->slot_count == build->summary.slot_count;
    segment->index_state = same ? LOG_SEGMENT_INDEX_COLD : LOG_SEGMENT_INDEX_REFUSED;
    segment->index_replaced = true;
    log_index_build_close(build);
    free(build);
}

/* No index file for now, or for good. 0, or the error that poisons. */
static int log_seal_fail(struct hf_log *log, struct log_segment *segment, int rc)
{
    struct log_seal *seal = &log->seal;
    TRACE(TRACE_WARN, "log", "a log segment gets no index file: %s", seal->operation.text);
    bool again = segment->index_state == LOG_SEGMENT_INDEX_BROKEN && rc != HF_ECORRUPT;
    segment->index_state = again ? LOG_SEGMENT_INDEX_COLD : LOG_SEGMENT_INDEX_REFUSED; /* a read will ask again */
    if (rc == HF_ECORRUPT) {
        log_seal_meet_damage(log, segment);
    }
    return seal->job.directory_failed ? error_restore(rc, seal->operation.text) : 0;
}

/* A step towards an index file is over. 0, or the error that poisons. */
static int log_seal_finish_step(struct hf_log *log, struct log_segment *segment, int rc, uint64_t now_ns)
{
    struct log_seal *seal = &log->seal;
    if (seal->job.is_early) {
        log_seal_end_early(seal, segment, rc);
        return 0;
    }
    if (rc == 0 && seal->job.task == LOG_SEAL_BUILD) {
        log_seal_unpin_frames(log, &seal->job.source);
        if (log->closing) {
            return 0;
        }
        if (seal->job.bad_offset >= seal->job.source.offset_end) {
            return log_seal_run(log, segment, LOG_SEAL_WRITE);
        }
        log_seal_plan_step(log, segment);
        return log_seal_run(log, segment, LOG_SEAL_BUILD);
    }
    log_pool_forget_free_bytes(&log->pool);
    if (rc == HF_ENOSPACE) {
        seal->retry_ns = now_ns + LOG_SEAL_RETRY_NS;
        return 0;
    }
    if (rc == HF_ECLOSED) {
        return 0;
    }
    if (rc == 0) {
        log_seal_accept(log, segment, seal->job.build);
        seal->job.build = NULL;
    } else {
        rc = log_seal_fail(log, segment, rc);
    }
    struct log_segment *next = log_seal_next(log);
    seal->number_next = next != NULL ? next->header.number : segment->header.number + 1;
    return rc;
}

int log_seal_finish(struct hf_log *log, uint64_t now_ns)
{
    struct log_seal *seal = &log->seal;
    struct log_segment *segment = seal->segment;
    int rc = seal->operation.result;
    seal->busy = false;
    seal->segment = NULL;
    log_segment_unpin(segment);
    if (seal->job.task == LOG_SEAL_SCRUB) {
        log_seal_finish_scrub(log, segment, rc);
        rc = 0;
    } else {
        rc = seal->job.task == LOG_SEAL_NAME ? 0 : log_seal_finish_step(log, segment, rc, now_ns);
    }
    if (!seal->busy) {
        log_seal_free_job(&seal->job);
    }
    return rc;
}

uint64_t log_seal_deadline_ns(const struct hf_log *log)
{
    const struct log_seal *seal = &log->seal;
    if (seal->busy) {
        return UINT64_MAX;
    }
    if (seal->naming != NULL) {
        return 0;
    }
    const struct log_segment *segment = log_seal_next(log);
    uint64_t due_ns = segment != NULL ? log_seal_due_ns(log, segment) : UINT64_MAX;
    due_ns = due_ns > 0 && log_seal_next_early(log) != NULL ? 0 : due_ns;
    uint64_t make_ns = due_ns > seal->retry_ns ? due_ns : seal->retry_ns;
    uint64_t scrub_ns = log_seal_next_scrub(log) != NULL ? seal->scrub_ns : UINT64_MAX;
    return make_ns < scrub_ns ? make_ns : scrub_ns;
}

void log_seal_cancel(struct log_seal *seal)
{
    atomic_store(&seal->job.cancelled, true);
}

void log_seal_close(struct log_seal *seal)
{
    if (seal->segment != NULL) {
        log_segment_unpin(seal->segment);
        seal->segment = NULL;
    }
    if (seal->naming != NULL) {
        log_segment_unpin(seal->naming);
        seal->naming = NULL;
    }
    log_seal_free_job(&seal->job);
    log_seal_drop_early(seal);
    seal->busy = false;
}

void log_seal_mark_broken(struct hf_log *log, struct log_segment *segment)
{
    if (segment->index_state != LOG_SEGMENT_INDEX_COLD || segment->index_replaced) {
        return;
    }
    segment->index_state = LOG_SEGMENT_INDEX_BROKEN;
    if (segment->header.number < log->seal.number_next) {
        log->seal.number_next = segment->header.number;
    }
}
