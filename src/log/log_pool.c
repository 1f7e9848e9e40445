#include "log/log_pool.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"

#define LOG_POOL_PEAK_DECAY 8u /* of the peak, forgotten with each segment */

void log_pool_open(struct log_pool *pool, struct io *io, const char *directory, const struct log_segment_header *last)
{
    pool->io = io;
    pool->directory = directory;
    pool->last = *last;
}

void log_pool_close(struct log_pool *pool)
{
    if (pool->preparation.file != NULL) {
        log_prepare_abandon(&pool->preparation);
    }
    for (size_t i = 0; i < pool->upcoming_count; i++) {
        log_segment_close(pool->upcoming[i]);
    }
    pool->upcoming_count = 0;
}

uint64_t log_pool_size_min(const struct log_pool *pool)
{
    return pool->segment_size_max_bytes < LOG_POOL_SEGMENT_SIZE_FIRST ? pool->segment_size_max_bytes
                                                                      : LOG_POOL_SEGMENT_SIZE_FIRST;
}

uint64_t log_pool_size(const struct log_pool *pool, uint64_t log_bytes)
{
    uint64_t size = log_pool_size_min(pool);
    while (size < pool->segment_size_max_bytes && size <= log_bytes / LOG_POOL_SIZE_SHARE) {
        size *= 2;
    }
    return size < pool->segment_size_max_bytes ? size : pool->segment_size_max_bytes;
}

uint64_t log_pool_ready_bytes(const struct log_pool *pool)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < pool->upcoming_count; i++) {
        if (pool->upcoming[i]->state == LOG_SEGMENT_READY) {
            bytes += pool->upcoming[i]->header.size_bytes - LOG_FORMAT_SEGMENT_HEADER_SIZE;
        }
    }
    return bytes;
}

uint64_t log_pool_coming_bytes(const struct log_pool *pool)
{
    size_t count = pool->upcoming_count;
    bool coming = pool->allocated && count > 0 && pool->upcoming[count - 1] == pool->target;
    return coming ? pool->target->header.size_bytes - LOG_FORMAT_SEGMENT_HEADER_SIZE : 0;
}

bool log_pool_has_blocks(const struct log_pool *pool, const struct log_segment *segment)
{
    return segment->state == LOG_SEGMENT_READY || (pool->allocated && pool->target == segment);
}

/* What the files will take that frames wait for. Those that were given up and have the right size take nothing. */
static uint64_t log_pool_promised_bytes(const struct log_pool *pool)
{
    uint64_t bytes = 0;
    uint64_t given = 0;
    for (size_t i = 0; i < pool->waited_for_count; i++) {
        const struct log_segment *segment = pool->waited_for[i];
        bytes += log_pool_has_blocks(pool, segment) ? 0 : segment->header.size_bytes;
    }
    for (size_t i = 0; i < pool->recyclable_count; i++) {
        bool fits =
            i < pool->waited_for_count && pool->waited_for[i]->header.size_bytes == pool->recyclable[i].size_bytes;
        given += fits ? pool->recyclable[i].size_bytes : 0;
    }
    return bytes > given ? bytes - given : 0;
}

uint64_t log_pool_free_bytes(struct log_pool *pool)
{
    uint64_t promised = log_pool_promised_bytes(pool);
    uint64_t now_ns = io_monotonic_ns(pool->io);
    if (pool->free_looked_ns == 0 || now_ns - pool->free_looked_ns > LOG_POOL_FREE_AGE_NS) {
        if (directory_free_bytes(pool->io, pool->directory, &pool->free_bytes) != 0) {
            pool->free_bytes = UINT64_MAX; /* not known: let the preparation find out */
        }
        pool->free_looked_ns = now_ns > 0 ? now_ns : 1;
    }
    return pool->free_bytes > promised ? pool->free_bytes - promised : 0;
}

void log_pool_forget_free_bytes(struct log_pool *pool)
{
    pool->free_looked_ns = 0;
}

/* Nothing can be made. */
static bool log_pool_is_full(const struct log_pool *pool, bool essential)
{
    return pool->no_space && !(essential && pool->headroom_left);
}

uint64_t log_pool_usable_bytes(struct log_pool *pool, bool essential)
{
    uint64_t headroom = essential ? 0 : pool->reserve_bytes;
    uint64_t free_bytes = log_pool_is_full(pool, essential) ? 0 : log_pool_free_bytes(pool);
    uint64_t usable = free_bytes > headroom ? free_bytes - headroom : 0;
    return usable >= log_pool_size_min(pool) ? usable : 0;
}

bool log_pool_can_extend(struct log_pool *pool, uint64_t frame_length, uint64_t headroom)
{
    uint64_t size = frame_length + LOG_FORMAT_SEGMENT_HEADER_SIZE;
    size = size < log_pool_size_min(pool) ? log_pool_size_min(pool) : size;
    if (log_pool_is_full(pool, headroom == 0)) {
        return false;
    }
    if (log_pool_free_bytes(pool) >= size + headroom) {
        return true;
    }
    log_pool_forget_free_bytes(pool);
    return log_pool_free_bytes(pool) >= size + headroom;
}

struct log_segment *log_pool_first(const struct log_pool *pool, uint64_t frame_length)
{
    if (pool->upcoming_count == 0) {
        return NULL;
    }
    struct log_segment *first = pool->upcoming[0];
    return first->header.size_bytes - LOG_FORMAT_SEGMENT_HEADER_SIZE >= frame_length ? first : NULL;
}

/* Gives out the next identity. The file does not exist yet. */
static struct log_segment *log_pool_plan(struct log_pool *pool, uint64_t size_bytes)
{
    struct log_segment_header header = {
        .number = pool->last.number + 1,
        .size_bytes = size_bytes,
        .log_id = pool->last.log_id,
        .epoch = pool->last.epoch,
        .previous_incarnation = pool->last.incarnation,
        .position = LOG_FORMAT_POSITION_FOLLOWS,
    };
    while (header.incarnation == 0) {
        io_random(pool->io, &header.incarnation, sizeof(header.incarnation));
    }
    pool->last = header;
    assert(pool->upcoming_count < LOG_POOL_UPCOMING_MAX);
    struct log_segment *segment = log_segment_new(&header);
    pool->upcoming[pool->upcoming_count++] = segment;
    return segment;
}

/* Between two steps: nobody wants the file any more. What is there under its temporary name is replaced by the next one
 * of its number, or removed by the next open. */
static void log_pool_drop_preparation(struct log_pool *pool)
{
    if (!pool->busy) {
        file_close(pool->preparation.file);
        pool->preparation.file = NULL;
        pool->allocated = false;
    }
}

/* Takes back the newest identities; their files, when there are any, are replaced by the next ones of their numbers. */
static void log_pool_give_up_from(struct log_pool *pool, size_t first)
{
    if (first >= pool->upcoming_count) {
        return;
    }
    pool->last.number = pool->upcoming[first]->header.number - 1;
    pool->last.incarnation = pool->upcoming[first]->header.previous_incarnation;
    for (size_t i = first; i < pool->upcoming_count; i++) {
        if (pool->target == pool->upcoming[i]) {
            pool->target = NULL;
            log_pool_drop_preparation(pool);
        }
        log_segment_close(pool->upcoming[i]);
    }
    pool->upcoming_count = first;
}

/* Halves the size until the device has room for it beside the headroom. */
static uint64_t log_pool_fit(struct log_pool *pool, uint64_t size)
{
    uint64_t free_bytes = log_pool_free_bytes(pool);
    uint64_t room = free_bytes > pool->reserve_bytes ? free_bytes - pool->reserve_bytes : 0;
    while (size > room && size / 2 >= log_pool_size_min(pool)) {
        size /= 2;
    }
    return size;
}

/* Of a segment that frames will wait for. What cannot be made would hold up all that comes behind it, also what brings
 * space back: so it is as large as there is room, or as a file that is there already. */
static uint64_t log_pool_size_now(struct log_pool *pool, uint64_t needed, uint64_t log_bytes)
{
    for (size_t i = 0; i < pool->recyclable_count && pool->waited_for_count == 0; i++) {
        if (pool->recyclable[i].size_bytes >= needed) {
            return pool->recyclable[i].size_bytes;
        }
    }
    uint64_t size = log_pool_fit(pool, log_pool_size(pool, log_bytes));
    return size > needed ? size : needed;
}

struct log_segment *log_pool_take(struct log_pool *pool, uint64_t frame_length, uint64_t log_bytes)
{
    if (pool->waited_for_count == LOG_POOL_WAITED_FOR_MAX) {
        return NULL;
    }
    pool->peak_bytes -= pool->peak_bytes / LOG_POOL_PEAK_DECAY;
    pool->peak_bytes = log_bytes > pool->peak_bytes ? log_bytes : pool->peak_bytes;
    struct log_segment *segment = log_pool_first(pool, frame_length);
    if (segment == NULL) {
        log_pool_give_up_from(pool, 0);
        uint64_t needed = log_format_align_block(frame_length + LOG_FORMAT_SEGMENT_HEADER_SIZE);
        segment = log_pool_plan(pool, log_pool_size_now(pool, needed, log_bytes));
    }
    pool->upcoming_count--;
    memmove(&pool->upcoming[0], &pool->upcoming[1], pool->upcoming_count * sizeof(pool->upcoming[0]));
    if (segment->state != LOG_SEGMENT_READY) {
        pool->waited_for[pool->waited_for_count++] = segment;
    }
    return segment;
}

/* ---- recycling ---- */

bool log_pool_offer(struct log_pool *pool, const struct log_segment_header *header, uint64_t log_bytes)
{
    /* By the peak: a log that was just compacted will soon be as large again. A size that is about right is good. */
    uint64_t size = log_pool_size(pool, log_bytes > pool->peak_bytes ? log_bytes : pool->peak_bytes);
    bool fits = (header->size_bytes >= size / 2 && header->size_bytes / 2 <= size) ||
                (pool->no_space && header->size_bytes >= log_pool_size_min(pool));
    /* A log that fills segments of the full size keeps one more: what it drops it would soon have to write anew. */
    uint64_t kept = pool->spares_max + (size == pool->segment_size_max_bytes ? 1 : 0);
    bool wanted =
        pool->recyclable_count < LOG_POOL_UPCOMING_MAX && pool->upcoming_count + pool->recyclable_count <= kept;
    /* Frames wait for a file: it is this one, or this one makes room for it. */
    bool waited_for = pool->waited_for_count == 0 || header->size_bytes == pool->waited_for[0]->header.size_bytes;
    if (!fits || !wanted || !waited_for) {
        return false;
    }
    pool->recyclable[pool->recyclable_count++] = (struct log_recyclable){
        .number = header->number, .size_bytes = header->size_bytes, .incarnation = header->incarnation};
    pool->retry_now = true;
    return true;
}

/* A file that may become the segment; its number is 0 when there is none. Stale records must not pass for fresh ones
 * even where only their checksums are looked at (frames are told apart by the whole incarnation). */
static struct log_recyclable log_pool_take_recyclable(struct log_pool *pool, const struct log_segment_header *header)
{
    for (size_t i = 0; i < pool->recyclable_count; i++) {
        struct log_recyclable one = pool->recyclable[i];
        bool alike = log_format_seed(one.incarnation, 0) == log_format_seed(header->incarnation, 0);
        if (one.size_bytes != header->size_bytes || alike) {
            continue;
        }
        pool->recyclable_count--;
        memmove(&pool->recyclable[i], &pool->recyclable[i + 1], (pool->recyclable_count - i) * sizeof(one));
        return one;
    }
    return (struct log_recyclable){0};
}

/* ---- preparing ---- */

/* Is there room for one more spare that was used before? A small log keeps one. */
static bool log_pool_takes_recycled(const struct log_pool *pool, uint64_t log_bytes)
{
    bool small = log_pool_size(pool, log_bytes) < pool->segment_size_max_bytes;
    return pool->recyclable_count > 0 && pool->upcoming_count < (small ? 1 : pool->spares_max) &&
           pool->upcoming_count < LOG_POOL_UPCOMING_MAX;
}

/* How much of a new spare should be written by now: it is begun when a quarter of the tail is used, and is ready when
 * an eighth is left. */
static uint64_t log_pool_due_bytes(const struct log_pool_demand *demand, uint64_t size_bytes)
{
    uint64_t begin = demand->tail_bytes / 4;
    uint64_t end = demand->tail_bytes - demand->tail_bytes / 8;
    if (demand->tail_used >= end || (demand->tail_used >= begin && MUTATED(LOG_SPARE_AT_ONCE))) {
        return size_bytes;
    }
    if (demand->tail_used < begin) {
        return 0;
    }
    uint64_t share = (demand->tail_used - begin) * 1024 / (end - begin);
    uint64_t due = size_bytes / 1024 * share + LOG_POOL_STEP_SIZE;
    due -= due % LOG_POOL_STEP_SIZE;
    return due < size_bytes ? due : size_bytes;
}

/* A new spare of that size, when the device has room beside the headroom: else a smaller one, or none. */
static struct log_segment *log_pool_plan_spare(struct log_pool *pool, uint64_t size, bool due, uint64_t now_ns)
{
    log_pool_forget_free_bytes(pool);
    size = log_pool_fit(pool, size); /* a smaller spare is better than none */
    uint64_t free_bytes = log_pool_free_bytes(pool);
    if (free_bytes < pool->reserve_bytes || free_bytes - pool->reserve_bytes < size) {
        pool->no_space = pool->headroom_left = true; /* a spare may not eat it */
        pool->retry_ns = now_ns + LOG_POOL_RETRY_NS;
        pool->retry_now = false;
        return NULL;
    }
    pool->no_space = false;
    return due ? log_pool_plan(pool, size) : NULL;
}

/* What should be prepared next: what frames wait for, else a spare. */
static struct log_segment *log_pool_next_target(struct log_pool *pool, const struct log_pool_demand *demand,
                                                uint64_t now_ns)
{
    if (pool->waited_for_count > 0) {
        return pool->waited_for[0];
    }
    if (log_pool_takes_recycled(pool, demand->log_bytes)) {
        return log_pool_plan(pool, pool->recyclable[0].size_bytes); /* needs no new blocks */
    }
    if (pool->upcoming_count > 0) {
        pool->no_space = false; /* nothing is wanted, so nothing is missing */
        return NULL;
    }
    bool due = log_pool_due_bytes(demand, pool->segment_size_max_bytes) > 0;
    if (!due && !pool->no_space) {
        return NULL;
    }
    return log_pool_plan_spare(pool, log_pool_size(pool, demand->log_bytes), due, now_ns);
}

static bool log_pool_is_making(const struct log_pool *pool)
{
    return pool->preparation.file != NULL && !pool->preparation.published;
}

/* How far the preparation should be by now. */
static uint64_t log_pool_write_until(const struct log_pool *pool, const struct log_pool_demand *demand)
{
    uint64_t size = pool->preparation.header.size_bytes;
    bool waited_for = pool->waited_for_count > 0;
    return waited_for ? size : log_pool_due_bytes(demand, size);
}

static int log_pool_submit(struct log_pool *pool, struct io_queue *queue, const struct log_pool_demand *demand)
{
    pool->preparation.write_until = log_pool_write_until(pool, demand);
    pool->operation =
        (struct io_operation){.kind = IO_WORK, .work = log_prepare_work, .arg = &pool->preparation, .user = pool};
    int rc = io_queue_submit(queue, &pool->operation);
    pool->busy = rc == 0;
    return rc == 0 ? 0 : error_wrap(rc, "preparing a log segment");
}

int log_pool_start(struct log_pool *pool, struct io_queue *queue, const struct log_pool_demand *demand, uint64_t now_ns)
{
    if (pool->busy) {
        return 0;
    }
    if (log_pool_is_making(pool)) {
        bool due = log_pool_write_until(pool, demand) > pool->preparation.written;
        return due ? log_pool_submit(pool, queue, demand) : 0;
    }
    if (pool->no_space && !pool->retry_now && now_ns < pool->retry_ns) {
        return 0;
    }
    struct log_segment *target = log_pool_next_target(pool, demand, now_ns);
    if (target == NULL) {
        return 0;
    }
    pool->retry_now = false;
    pool->preparation =
        (struct log_preparation){.io = pool->io,
                                 .directory = pool->directory,
                                 .header = target->header,
                                 .recycled_number = log_pool_take_recyclable(pool, &target->header).number,
                                 .direct = pool->direct};
    int rc = log_pool_submit(pool, queue, demand);
    if (rc == 0) {
        target->state = LOG_SEGMENT_PREPARING;
        pool->target = target;
    }
    return rc;
}

/* The target's file is whole. */
static void log_pool_hand_over(struct log_pool *pool, struct log_segment *target)
{
    target->writer = pool->preparation.file;
    pool->preparation.file = NULL;
    target->state = LOG_SEGMENT_READY;
    if (pool->waited_for_count > 0 && pool->waited_for[0] == target) {
        pool->waited_for_count--;
        memmove(&pool->waited_for[0], &pool->waited_for[1], pool->waited_for_count * sizeof(target));
    }
}

static void log_pool_finish_full(struct log_pool *pool, struct log_segment *target, uint64_t now_ns)
{
    pool->no_space = true;
    pool->headroom_left = false;
    pool->retry_ns = now_ns + LOG_POOL_RETRY_NS;
    bool waited_for = target != NULL && pool->waited_for_count > 0 && target == pool->waited_for[0];
    if (target != NULL && !waited_for) {
        assert(pool->upcoming[pool->upcoming_count - 1] == target);
        log_pool_give_up_from(pool, pool->upcoming_count - 1);
    }
}

int log_pool_finish(struct log_pool *pool, uint64_t now_ns)
{
    struct log_segment *target = pool->target;
    struct log_preparation *preparation = &pool->preparation;
    int rc = pool->operation.result;
    pool->busy = false;
    log_pool_forget_free_bytes(pool);
    if (rc == 0 && target == NULL) { /* a left-over: the next file of its number replaces it, or the next open */
        file_close(preparation->file);
        preparation->file = NULL;
        pool->allocated = false;
        return 0;
    }
    if (rc == 0) {
        pool->no_space = false;
        pool->allocated = !preparation->published;
        if (preparation->published) {
            pool->no_files = false;
            pool->recycled_count += preparation->recycled_number != 0;
            pool->target = NULL;
            log_pool_hand_over(pool, target);
        }
        return 0;
    }
    pool->target = NULL;
    pool->allocated = false;
    if (target != NULL) {
        target->state = LOG_SEGMENT_PLANNED;
    }
    if (rc != HF_ENOSPACE && rc != HF_ENOMEM) {
        return error_restore(rc, pool->operation.text);
    }
    if (rc == HF_ENOMEM && !pool->no_files) {
        pool->no_files = true;
        TRACE(TRACE_WARN, "log", "appends that need another segment are refused until there is one: %s",
              pool->operation.text);
    }
    log_pool_finish_full(pool, target, now_ns);
    return 0;
}

bool log_pool_is_stuck(const struct log_pool *pool)
{
    return !pool->busy && pool->waited_for_count > 0 && pool->no_space;
}

/* What log_pool_start would do, or the driver never sleeps. */
uint64_t log_pool_deadline_ns(const struct log_pool *pool, const struct log_pool_demand *demand)
{
    if (pool->busy) {
        return UINT64_MAX;
    }
    if (log_pool_is_making(pool)) {
        return log_pool_write_until(pool, demand) > pool->preparation.written ? 0 : UINT64_MAX;
    }
    if (pool->no_space) {
        return pool->retry_now ? 0 : pool->retry_ns;
    }
    bool spare_wanted = (pool->upcoming_count == 0 && log_pool_due_bytes(demand, pool->segment_size_max_bytes) > 0) ||
                        log_pool_takes_recycled(pool, demand->log_bytes);
    return pool->waited_for_count > 0 || spare_wanted ? 0 : UINT64_MAX;
}
