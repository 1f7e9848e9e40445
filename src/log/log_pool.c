#include "log/log_pool.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"

void log_pool_open(struct log_pool *pool, struct io *io, const char *directory, const struct log_segment_header *last)
{
    pool->io = io;
    pool->directory = directory;
    pool->last = *last;
}

void log_pool_close(struct log_pool *pool)
{
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

uint64_t log_pool_free_bytes(struct log_pool *pool)
{
    uint64_t now_ns = io_monotonic_ns(pool->io);
    if (pool->free_looked_ns == 0 || now_ns - pool->free_looked_ns > LOG_POOL_FREE_AGE_NS) {
        if (directory_free_bytes(pool->io, pool->directory, &pool->free_bytes) != 0) {
            pool->free_bytes = UINT64_MAX; /* not known: let the preparation find out */
        }
        pool->free_looked_ns = now_ns > 0 ? now_ns : 1;
    }
    return pool->free_bytes;
}

void log_pool_forget_free_bytes(struct log_pool *pool)
{
    pool->free_looked_ns = 0;
}

bool log_pool_can_extend(struct log_pool *pool, uint64_t frame_length, uint64_t headroom)
{
    uint64_t size = frame_length + LOG_FORMAT_SEGMENT_HEADER_SIZE;
    size = size < log_pool_size_min(pool) ? log_pool_size_min(pool) : size;
    if (pool->no_space) {
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
        }
        log_segment_close(pool->upcoming[i]);
    }
    pool->upcoming_count = first;
}

struct log_segment *log_pool_take(struct log_pool *pool, uint64_t frame_length, uint64_t log_bytes)
{
    if (pool->waited_for_count == LOG_POOL_WAITED_FOR_MAX) {
        return NULL;
    }
    struct log_segment *segment = log_pool_first(pool, frame_length);
    if (segment == NULL) {
        log_pool_give_up_from(pool, 0);
        uint64_t size = log_pool_size(pool, log_bytes);
        uint64_t needed = log_format_align_block(frame_length + LOG_FORMAT_SEGMENT_HEADER_SIZE);
        segment = log_pool_plan(pool, size > needed ? size : needed);
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
    bool fits = header->size_bytes == log_pool_size(pool, log_bytes) ||
                (pool->no_space && header->size_bytes >= log_pool_size_min(pool));
    bool wanted = pool->recyclable_count < LOG_POOL_UPCOMING_MAX &&
                  pool->upcoming_count + pool->recyclable_count <= pool->spares_max;
    if (!fits || !wanted) {
        return false;
    }
    pool->recyclable[pool->recyclable_count++] = (struct log_recyclable){
        .number = header->number, .size_bytes = header->size_bytes, .incarnation = header->incarnation};
    pool->retry_now = true;
    return true;
}

/* A file that may become the segment; its number goes into the preparation. Stale records must not pass for fresh ones
 * even where only their checksums are looked at (frames are told apart by the whole incarnation). */
static void log_pool_take_recyclable(struct log_pool *pool, struct log_preparation *preparation)
{
    for (size_t i = 0; i < pool->recyclable_count; i++) {
        const struct log_recyclable *one = &pool->recyclable[i];
        bool alike = log_format_seed(one->incarnation, 0) == log_format_seed(preparation->header.incarnation, 0);
        if (one->size_bytes != preparation->header.size_bytes || alike) {
            continue;
        }
        preparation->recycled_number = one->number;
        pool->recyclable_count--;
        memmove(&pool->recyclable[i], &pool->recyclable[i + 1], (pool->recyclable_count - i) * sizeof(*one));
        return;
    }
}

/* ---- preparing ---- */

/* Is there room for one more spare? A small log keeps one. */
static bool log_pool_takes_spare(const struct log_pool *pool, uint64_t log_bytes)
{
    bool small = log_pool_size(pool, log_bytes) < pool->segment_size_max_bytes;
    return pool->upcoming_count < (small ? 1 : pool->spares_max) && pool->upcoming_count < LOG_POOL_UPCOMING_MAX;
}

/* What should be prepared next: what frames wait for, else a spare. */
static struct log_segment *log_pool_next_target(struct log_pool *pool, uint64_t log_bytes, uint64_t now_ns)
{
    if (pool->waited_for_count > 0) {
        return pool->waited_for[0];
    }
    uint64_t size = log_pool_size(pool, log_bytes);
    if (!log_pool_takes_spare(pool, log_bytes)) {
        pool->no_space = false; /* nothing is wanted, so nothing is missing */
        return NULL;
    }
    if (pool->recyclable_count > 0) {
        return log_pool_plan(pool, pool->recyclable[0].size_bytes); /* needs no new blocks */
    }
    log_pool_forget_free_bytes(pool);
    uint64_t free_bytes = log_pool_free_bytes(pool);
    while (size / 2 >= log_pool_size_min(pool) &&
           (free_bytes < pool->reserve_bytes || free_bytes - pool->reserve_bytes < size)) {
        size /= 2; /* a smaller spare is better than none */
    }
    if (free_bytes < pool->reserve_bytes || free_bytes - pool->reserve_bytes < size) {
        pool->no_space = true; /* a spare may not eat the headroom */
        pool->retry_ns = now_ns + LOG_POOL_RETRY_NS;
        pool->retry_now = false;
        return NULL;
    }
    return log_pool_plan(pool, size);
}

int log_pool_start(struct log_pool *pool, struct io_queue *queue, uint64_t log_bytes, uint64_t now_ns)
{
    if (pool->busy || (pool->no_space && !pool->retry_now && now_ns < pool->retry_ns)) {
        return 0;
    }
    struct log_segment *target = log_pool_next_target(pool, log_bytes, now_ns);
    if (target == NULL) {
        return 0;
    }
    pool->retry_now = false;
    pool->preparation = (struct log_preparation){
        .io = pool->io, .directory = pool->directory, .header = target->header, .direct = pool->direct};
    log_pool_take_recyclable(pool, &pool->preparation);
    pool->operation =
        (struct io_operation){.kind = IO_WORK, .work = log_prepare_work, .arg = &pool->preparation, .user = pool};
    int rc = io_queue_submit(queue, &pool->operation);
    if (rc != 0) {
        return error_wrap(rc, "preparing a log segment");
    }
    target->state = LOG_SEGMENT_PREPARING;
    pool->target = target;
    pool->busy = true;
    return 0;
}

int log_pool_finish(struct log_pool *pool, uint64_t now_ns)
{
    struct log_segment *target = pool->target;
    int rc = pool->operation.result;
    pool->busy = false;
    pool->target = NULL;
    log_pool_forget_free_bytes(pool);
    if (rc == 0) {
        pool->no_space = false;
        pool->recycled_count += pool->preparation.recycled_number != 0;
        if (target == NULL) {
            file_close(pool->preparation.file);
            return 0;
        }
        target->writer = pool->preparation.file;
        target->state = LOG_SEGMENT_READY;
        if (pool->waited_for_count > 0 && pool->waited_for[0] == target) {
            pool->waited_for_count--;
            memmove(&pool->waited_for[0], &pool->waited_for[1], pool->waited_for_count * sizeof(target));
        }
        return 0;
    }
    if (target != NULL) {
        target->state = LOG_SEGMENT_PLANNED;
    }
    if (rc != HF_ENOSPACE) {
        return error_restore(rc, pool->operation.text);
    }
    pool->no_space = true;
    pool->retry_ns = now_ns + LOG_POOL_RETRY_NS;
    bool waited_for = target != NULL && pool->waited_for_count > 0 && target == pool->waited_for[0];
    if (target != NULL && !waited_for) {
        assert(pool->upcoming[pool->upcoming_count - 1] == target);
        log_pool_give_up_from(pool, pool->upcoming_count - 1);
    }
    return 0;
}

uint64_t log_pool_deadline_ns(const struct log_pool *pool, uint64_t log_bytes)
{
    if (pool->busy) {
        return UINT64_MAX;
    }
    if (pool->no_space) {
        return pool->retry_now ? 0 : pool->retry_ns;
    }
    /* What log_pool_start would do, or the driver never sleeps. */
    bool spare_wanted =
        pool->upcoming_count == 0 || (pool->recyclable_count > 0 && log_pool_takes_spare(pool, log_bytes));
    return pool->waited_for_count > 0 || spare_wanted ? 0 : UINT64_MAX;
}
