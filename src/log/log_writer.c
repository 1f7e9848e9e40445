#include "log/log_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_sync.h"

static bool log_writer_is_durable_policy(const struct log_writer *writer)
{
    return writer->policy == HF_LOG_SYNC_BATCH || writer->policy == HF_LOG_SYNC_ALWAYS;
}

void log_writer_open(struct log_writer *writer)
{
    list_init(&writer->writes);
    list_init(&writer->unused);
}

static void log_writer_free_write(struct log_write *write)
{
    free(write->waiters);
    free(write->written.items);
    free(write->durable.items);
    free(write->acks);
    free(write);
}

void log_writer_close(struct log_writer *writer)
{
    if (writer->writes.next == NULL) {
        return; /* never opened */
    }
    list_splice(&writer->unused, &writer->writes);
    if (writer->gathering != NULL) {
        log_writer_free_write(writer->gathering);
    }
    list_each_safe (&writer->unused, item) {
        log_writer_free_write(list_entry(item, struct log_write, link));
    }
    free(writer->ready.items);
}

/* ---- gathering ---- */

static struct log_write *log_writer_new_write(struct log_writer *writer)
{
    struct log_write *write = NULL;
    if (list_empty(&writer->unused)) {
        write = memory_new(sizeof(*write));
        return write;
    }
    write = list_entry(writer->unused.next, struct log_write, link);
    list_remove(&write->link);
    struct log_waiter *waiters = write->waiters;
    struct log_ack *acks = write->acks;
    size_t waiter_capacity = write->waiter_capacity;
    size_t ack_capacity = write->ack_capacity;
    struct log_waiter_list written = {.items = write->written.items, .capacity = write->written.capacity};
    struct log_waiter_list durable = {.items = write->durable.items, .capacity = write->durable.capacity};
    *write = (struct log_write){.waiters = waiters,
                                .waiter_capacity = waiter_capacity,
                                .written = written,
                                .durable = durable,
                                .acks = acks,
                                .ack_capacity = ack_capacity};
    return write;
}

static uint64_t log_writer_tail_rest(const struct log_writer *writer)
{
    return writer->tail->header.size_bytes - writer->tail_offset;
}

static uint64_t log_writer_frame_length(uint64_t size)
{
    return log_format_align_block(LOG_FORMAT_FRAME_HEADER_SIZE + size + LOG_FORMAT_TRAILER_SIZE);
}

static uint64_t log_writer_small_reserve(const struct log_writer *writer, enum log_writer_room kind)
{
    if (kind != LOG_WRITER_ORDINARY) {
        return kind == LOG_WRITER_GIVING_UP ? 0 : LOG_WRITER_GIVING_UP_SIZE;
    }
    uint64_t share = writer->tail->header.size_bytes / 8;
    uint64_t kept = writer->reserve_bytes < share ? writer->reserve_bytes : share;
    /* Beside it what is live in the oldest segment must fit, so that a full log can still give that one back. */
    const struct log_segment *oldest = writer->segments->items[0];
    uint64_t live = oldest != writer->tail ? log_segment_live_bytes(oldest) : 0;
    uint64_t half = writer->tail->header.size_bytes / 2;
    return LOG_WRITER_GIVING_UP_SIZE + kept + (live < half ? live : half);
}

uint64_t log_writer_capacity(const struct log_writer *writer)
{
    uint64_t room =
        log_writer_tail_rest(writer) + log_pool_ready_bytes(writer->pool) + log_pool_coming_bytes(writer->pool);
    if (writer->gathering != NULL) {
        uint64_t used = log_format_align_block(writer->gathering->builder.used + LOG_FORMAT_TRAILER_SIZE);
        room = room > used ? room - used : 0;
    }
    uint64_t kept = log_writer_small_reserve(writer, LOG_WRITER_ORDINARY);
    room = room > kept ? room - kept : 0;
    uint64_t beyond = log_pool_usable_bytes(writer->pool, false);
    return beyond > UINT64_MAX - room ? UINT64_MAX : room + beyond;
}

/* Is there space on the device for a frame of this length, now or after more segments were made? */
static int log_writer_check_space(struct log_writer *writer, uint64_t length, enum log_writer_room kind)
{
    uint64_t rest = log_writer_tail_rest(writer);
    uint64_t ready = log_pool_ready_bytes(writer->pool) + log_pool_coming_bytes(writer->pool);
    struct log_segment *first = log_pool_first(writer->pool, length);
    bool fits_tail = length <= rest;
    bool fits_ready = first != NULL && log_pool_has_blocks(writer->pool, first);
    uint64_t usable = fits_tail ? rest + ready : ready;
    if ((fits_tail || fits_ready) && length + log_writer_small_reserve(writer, kind) <= usable) {
        return 0;
    }
    uint64_t headroom = kind == LOG_WRITER_ORDINARY ? writer->reserve_bytes : 0;
    if (log_pool_can_extend(writer->pool, length, headroom)) {
        return 0;
    }
    writer->pool->retry_now = true;
    return error_raise(HF_ENOSPACE, "no space on the device for %" PRIu64 " more bytes of the log", length);
}

/* The tail has left the segment, and all its writes are durable: from now on it is only read. */
static void log_writer_seal_segment(struct log_writer *writer, struct log_segment *segment)
{
    bool pending = segment == writer->tail || segment->state != LOG_SEGMENT_READY;
    list_each (&writer->writes, item) {
        const struct log_write *write = list_entry(item, struct log_write, link);
        if (pending || write->segment->header.number > segment->header.number) {
            break;
        }
        pending = write->segment == segment;
    }
    if (!pending) {
        segment->state = LOG_SEGMENT_SEALED;
        file_close(segment->writer);
        segment->writer = NULL;
    }
}

/* The tail moves on to the next segment. */
static int log_writer_rotate(struct log_writer *writer, uint64_t length)
{
    struct log_segment *next = log_pool_take(writer->pool, length, writer->segments->size_bytes);
    if (next == NULL) {
        return error_raise(HF_EBUSY, "the device is slower at making log segments than they are filled");
    }
    struct log_segment *left = writer->tail;
    left->used_bytes = writer->tail_offset;
    left->left_ns = io_monotonic_ns(writer->io);
    log_segment_table_append(writer->segments, next);
    writer->tail = next;
    writer->tail_offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
    log_writer_seal_segment(writer, left);
    return 0;
}

/* Half of what was outstanding lately: the other half is encoded while the device writes this one. */
static uint64_t log_writer_frame_size_max(struct log_writer *writer)
{
    writer->queued_peak_bytes -= writer->queued_peak_bytes / LOG_WRITER_PEAK_DECAY;
    uint64_t size = log_writer_frame_length(writer->queued_peak_bytes / 2);
    size = size > LOG_WRITER_SPLIT_SIZE_MIN ? size : LOG_WRITER_SPLIT_SIZE_MIN;
    return writer->writes_in_flight_max > 1 && size < writer->write_size_max_bytes ? size
                                                                                   : writer->write_size_max_bytes;
}

/* How far a frame may grow in the tail. Where nothing can be added behind it, not unasked into the headroom. */
static uint64_t log_writer_growth(struct log_writer *writer)
{
    uint64_t rest = log_writer_tail_rest(writer);
    uint64_t kept = log_writer_small_reserve(writer, LOG_WRITER_ORDINARY);
    uint64_t usable = rest + log_pool_ready_bytes(writer->pool) + log_pool_coming_bytes(writer->pool);
    if (usable - rest >= kept || log_pool_can_extend(writer->pool, kept, writer->reserve_bytes)) {
        return rest;
    }
    usable = usable > kept ? usable - kept : 0;
    return usable < rest ? usable : rest;
}

static void log_writer_begin(struct log_writer *writer, uint64_t length)
{
    uint64_t want = log_writer_growth(writer) & ~(uint64_t)(LOG_FORMAT_BLOCK_SIZE - 1);
    want = want > length ? want : length;
    uint64_t limit = log_writer_frame_size_max(writer);
    limit = length > limit ? length : limit;
    want = want < limit ? want : limit;
    struct log_write *write = log_writer_new_write(writer);
    size_t capacity = 0;
    uint8_t *memory = log_tail_cache_room(writer->cache, (size_t)length, (size_t)want, &capacity, &write->chunk);
    write->segment = writer->tail;
    write->opened_ns = io_monotonic_ns(writer->io);
    struct log_place place =
        log_segment_place(writer->tail, writer->tail_offset, writer->sequence_next, writer->tail_position);
    log_frame_begin(&write->builder, &place, memory, capacity, &writer->runs);
    log_tail_cache_begin(writer->cache, write->chunk, writer->tail->header.number, writer->tail_offset);
    writer->gathering = write;
}

int log_writer_make_room(struct log_writer *writer, uint64_t size, enum log_writer_room kind)
{
    if (writer->gathering != NULL) {
        bool together = kind == LOG_WRITER_MOVING && writer->gathering->moves;
        bool alone = writer->policy == HF_LOG_SYNC_ALWAYS && !together;
        if (!alone && log_frame_fits(&writer->gathering->builder, size)) {
            return 0;
        }
        log_writer_seal(writer);
    }
    uint64_t length = log_writer_frame_length(size);
    int rc = log_writer_check_space(writer, length, kind);
    if (rc == 0 && length > log_writer_tail_rest(writer)) {
        rc = log_writer_rotate(writer, length);
    }
    if (rc == 0) {
        log_writer_begin(writer, length);
        writer->gathering->moves = kind == LOG_WRITER_MOVING;
    }
    return rc;
}

void log_writer_note_ack(struct log_writer *writer, struct log_group *group, uint64_t last)
{
    struct log_write *write = writer->gathering;
    if (write->ack_count > 0 && write->acks[write->ack_count - 1].group == group) {
        write->acks[write->ack_count - 1].last = last;
        return;
    }
    if (write->ack_count == write->ack_capacity) {
        write->ack_capacity = write->ack_capacity == 0 ? 16 : write->ack_capacity * 2;
        write->acks = memory_resize(write->acks, write->ack_capacity * sizeof(struct log_ack));
    }
    write->acks[write->ack_count++] = (struct log_ack){.group = group, .last = last};
}

static void log_writer_clamp_acks(struct log_write *write, const struct log_group *group, uint64_t from)
{
    for (size_t i = 0; i < write->ack_count; i++) {
        if (write->acks[i].group == group && write->acks[i].last >= from) {
            write->acks[i].last = from > 0 ? from - 1 : 0;
        }
    }
}

void log_writer_forget_acks(struct log_writer *writer, const struct log_group *group, uint64_t from)
{
    list_each (&writer->writes, item) {
        log_writer_clamp_acks(list_entry(item, struct log_write, link), group, from);
    }
    if (writer->gathering != NULL) {
        log_writer_clamp_acks(writer->gathering, group, from);
    }
}

static void log_writer_push_ready(struct log_writer *writer, struct log_waiter waiter, int result)
{
    struct log_ready_list *ready = &writer->ready;
    if (ready->count == ready->capacity) {
        ready->capacity = ready->capacity == 0 ? 64 : ready->capacity * 2;
        ready->items = memory_resize(ready->items, ready->capacity * sizeof(struct log_ready));
    }
    ready->items[ready->count++] = (struct log_ready){.waiter = waiter, .result = result};
}

static void log_writer_add_waiter(struct log_write *write, struct log_waiter waiter)
{
    if (write->waiter_count == write->waiter_capacity) {
        write->waiter_capacity = write->waiter_capacity == 0 ? 16 : write->waiter_capacity * 2;
        write->waiters = memory_resize(write->waiters, write->waiter_capacity * sizeof(struct log_waiter));
    }
    write->waiters[write->waiter_count++] = waiter;
}

static void log_writer_add_to(struct log_waiter_list *list, struct log_waiter waiter)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->items = memory_resize(list->items, list->capacity * sizeof(struct log_waiter));
    }
    list->items[list->count++] = waiter;
}

static void log_writer_release(struct log_writer *writer, struct log_waiter_list *list, int result)
{
    for (size_t i = 0; i < list->count; i++) {
        log_writer_push_ready(writer, list->items[i], result);
    }
    list->count = 0;
}

/* The kernel has every byte appended so far. */
static bool log_writer_all_written(const struct log_writer *writer)
{
    list_each (&writer->writes, item) {
        if (list_entry(item, struct log_write, link)->state != LOG_WRITE_WRITTEN) {
            return false;
        }
    }
    return writer->gathering == NULL;
}

/* Nothing was promised yet for the newest write: NULL when there is none, or when it was acknowledged already. */
static struct log_write *log_writer_unacknowledged(const struct log_writer *writer)
{
    if (writer->gathering != NULL || list_empty(&writer->writes)) {
        return writer->gathering;
    }
    struct log_write *last = list_entry(writer->writes.previous, struct log_write, link);
    return last->acknowledged ? NULL : last;
}

static void log_writer_wait_durable(struct log_writer *writer, struct log_waiter waiter)
{
    struct log_write *newest = writer->gathering;
    if (newest == NULL && !list_empty(&writer->writes)) {
        newest = list_entry(writer->writes.previous, struct log_write, link);
        log_sync_wish(writer, log_write_end(newest));
    }
    if (newest == NULL) {
        log_writer_push_ready(writer, waiter, 0);
        return;
    }
    log_writer_add_to(&newest->durable, waiter);
}

void log_writer_wait(struct log_writer *writer, struct log_waiter waiter, enum hf_log_acknowledge acknowledge)
{
    if (waiter.done == NULL) {
        return;
    }
    struct log_write *newest = log_writer_unacknowledged(writer);
    if (log_writer_is_durable_policy(writer) || acknowledge == HF_LOG_ACK_POLICY) {
        if (newest != NULL) {
            log_writer_add_waiter(newest, waiter);
        } else {
            log_writer_push_ready(writer, waiter, 0);
        }
    } else if (acknowledge == HF_LOG_ACK_DURABLE) {
        log_writer_wait_durable(writer, waiter);
    } else if (newest == NULL || log_writer_all_written(writer)) {
        log_writer_push_ready(writer, waiter, 0);
    } else {
        log_writer_add_to(&newest->written, waiter);
    }
}

void log_writer_seal(struct log_writer *writer)
{
    struct log_write *write = writer->gathering;
    if (write == NULL) {
        return;
    }
    write->bare = log_frame_is_bare(&write->builder);
    write->declares = MUTATED(LOG_DECLARED_TOO_FAR) ? writer->tail_position : writer->durable_position;
    write->declares_oldest = writer->segments->items[0]->header.number;
    struct log_declaration declaration = {.durable_position = write->declares,
                                          .oldest_segment = write->declares_oldest};
    write->length = log_frame_seal(&write->builder, &declaration);
    write->state = LOG_WRITE_SEALED;
    log_tail_cache_seal(writer->cache, write->chunk, write->length, write->entry_count);
    writer->tail_offset += write->length;
    writer->tail_position += write->length;
    writer->sequence_next++;
    if (!write->bare) {
        writer->data_end_position = writer->tail_position;
    }
    list_append(&writer->writes, &write->link);
    writer->gathering = NULL;
}

uint64_t log_writer_placed_position(const struct log_writer *writer)
{
    return writer->tail_position + (writer->gathering != NULL ? 1 : 0);
}

uint64_t log_writer_room(struct log_writer *writer)
{
    uint64_t room =
        log_writer_tail_rest(writer) + log_pool_ready_bytes(writer->pool) + log_pool_coming_bytes(writer->pool);
    uint64_t beyond = log_pool_usable_bytes(writer->pool, true);
    return beyond > UINT64_MAX - room ? UINT64_MAX : room + beyond;
}

/* ---- to the device ---- */

static void log_writer_fill_operation(const struct log_writer *writer, struct log_write *write)
{
    bool durable = log_writer_is_durable_policy(writer) && !MUTATED(LOG_SKIP_SYNC);
    write->operation = (struct io_operation){
        .kind = durable ? IO_WRITE_DURABLE : IO_WRITE,
        .file = write->segment->writer,
        .offset = write->builder.place.offset,
        .data = write->builder.data,
        .size = write->length,
        .user = write,
    };
}

static void log_writer_set_in_flight(struct log_writer *writer, struct log_write *write, uint64_t now_ns)
{
    write->state = LOG_WRITE_IN_FLIGHT;
    writer->in_flight++;
    writer->in_flight_bytes += write->length;
    writer->writes_count++;
    writer->written_bytes += write->length;
    log_stages_note(writer->stages, HF_LOG_STAGE_QUEUE, write->opened_ns, now_ns, write->entry_count, write->length);
}

static void log_writer_submit_one(struct log_writer *writer, struct log_write *write, uint64_t now_ns)
{
    log_writer_fill_operation(writer, write);
    int rc = io_queue_submit(writer->queue, &write->operation);
    if (rc != 0) {
        log_writer_poison(writer, rc, hf_error_text());
        return;
    }
    log_writer_set_in_flight(writer, write, now_ns);
}

bool log_writer_has_small(const struct log_writer *writer, uint64_t size_max)
{
    return writer->gathering != NULL && writer->failure == 0 && writer->in_flight == 0 && list_empty(&writer->writes) &&
           log_writer_is_durable_policy(writer) && writer->gathering->segment->state == LOG_SEGMENT_READY &&
           writer->gathering->builder.used <= size_max;
}

struct log_write *log_writer_take_small(struct log_writer *writer, uint64_t now_ns)
{
    struct log_write *write = writer->gathering;
    log_writer_seal(writer);
    log_writer_fill_operation(writer, write);
    write->operation.submitted_ns = now_ns;
    log_writer_set_in_flight(writer, write, now_ns);
    return write;
}

void log_writer_write_alone(struct log_write *write, struct io *io)
{
    struct io_operation *operation = &write->operation;
    operation->result = operation->kind == IO_WRITE_DURABLE
                            ? file_write_durable(operation->file, operation->offset, operation->data, operation->size)
                            : file_write(operation->file, operation->offset, operation->data, operation->size);
    operation->completed_ns = io_monotonic_ns(io);
    if (operation->result != 0) {
        error_text_copy(operation->text, sizeof(operation->text));
    }
}

/* The first write that still waits for a slot. */
static struct log_write *log_writer_next_sealed(struct log_writer *writer)
{
    list_each (&writer->writes, item) {
        struct log_write *write = list_entry(item, struct log_write, link);
        if (write->state == LOG_WRITE_SEALED) {
            return write;
        }
    }
    return NULL;
}

/* What gathers is not worth a write of its own beside the large one that is in flight, which it would have to wait for
 * anyway; or one is in flight that is so large that the device is busy with it, and more would only share its time. A
 * very large one takes so long that the next has to be queued when it ends. */
static bool log_writer_holds_back(const struct log_writer *writer)
{
    if (writer->in_flight == 0) {
        return false;
    }
    bool is_small = writer->in_flight_bytes > LOG_WRITER_HOLD_SIZE_MIN &&
                    writer->gathering->builder.used < writer->in_flight_bytes / LOG_WRITER_HOLD_SHARE;
    bool is_enough = writer->in_flight == 1 && writer->in_flight_bytes >= LOG_WRITER_ENOUGH_SIZE_MIN &&
                     writer->in_flight_bytes < LOG_WRITER_ENOUGH_SIZE_MAX;
    return is_small || is_enough;
}

static bool log_writer_may_start(const struct log_writer *writer)
{
    return writer->failure == 0 && writer->in_flight < writer->writes_in_flight_max;
}

bool log_writer_submit_sealed(struct log_writer *writer, uint64_t now_ns)
{
    bool any = false;
    while (log_writer_may_start(writer)) {
        struct log_write *write = log_writer_next_sealed(writer);
        if (write == NULL || write->segment->state != LOG_SEGMENT_READY) {
            break;
        }
        log_writer_submit_one(writer, write, now_ns);
        any = true;
    }
    return any;
}

bool log_writer_has_sealed(const struct log_writer *writer)
{
    return !list_empty(&writer->writes) &&
           list_entry(writer->writes.previous, struct log_write, link)->state == LOG_WRITE_SEALED;
}

void log_writer_submit(struct log_writer *writer, uint64_t now_ns)
{
    log_writer_submit_sealed(writer, now_ns);
    if (log_writer_may_start(writer) && writer->gathering != NULL && !log_writer_has_sealed(writer) &&
        !log_writer_holds_back(writer)) {
        log_writer_seal(writer);
        log_writer_submit_sealed(writer, now_ns);
    }
    bool due = writer->unsynced_since_ns != 0 && writer->policy == HF_LOG_SYNC_INTERVAL &&
               now_ns - writer->unsynced_since_ns >= writer->sync_interval_ns;
    if (writer->failure == 0 && !writer->sync.busy &&
        (writer->sync_wanted || due || writer->unsynced_bytes > LOG_WRITER_UNSYNCED_BYTES_MAX)) {
        log_sync_start(writer);
    }
}

/* ---- completion ---- */

void log_writer_poison(struct log_writer *writer, int code, const char *text)
{
    if (writer->failure != 0) {
        return;
    }
    writer->failure = HF_EPOISONED;
    snprintf(writer->failure_text, sizeof(writer->failure_text), "%s", text);
    if (code != HF_ECLOSED) {
        TRACE(TRACE_ERROR, "log", "a write or sync failed, the log takes no more: %s", text);
    }
    log_writer_fail_waiters(writer, code == HF_ECLOSED ? HF_ECLOSED : HF_EPOISONED);
}

static void log_writer_fail_write(struct log_writer *writer, struct log_write *write, int result)
{
    for (size_t i = 0; i < write->waiter_count; i++) {
        log_writer_push_ready(writer, write->waiters[i], result);
    }
    write->waiter_count = 0;
    log_writer_release(writer, &write->written, result);
    log_writer_release(writer, &write->durable, result);
}

void log_writer_fail_waiters(struct log_writer *writer, int result)
{
    list_each (&writer->writes, item) {
        log_writer_fail_write(writer, list_entry(item, struct log_write, link), result);
    }
    if (writer->gathering != NULL) {
        log_writer_fail_write(writer, writer->gathering, result);
    }
    writer->queued_entries = 0;
    writer->queued_bytes = 0;
}

void log_writer_complete(struct log_writer *writer, struct io_operation *operation, uint64_t now_ns)
{
    int result = operation->result;
    if (result != 0 && MUTATED(LOG_RETRY_AFTER_SYNC_ERROR)) {
        result = 0;
    }
    if (result != 0) {
        log_writer_poison(writer, result, operation->text);
    }
    if (operation == &writer->sync.operation) {
        if (result != 0) {
            writer->sync.busy = false;
        } else {
            log_stages_note(writer->stages, HF_LOG_STAGE_SYNC, operation->submitted_ns, operation->completed_ns, 0,
                            writer->sync.bytes);
            log_sync_completed(writer);
        }
        return;
    }
    struct log_write *write = operation->user;
    assert(writer->in_flight > 0 && write->state == LOG_WRITE_IN_FLIGHT);
    writer->in_flight--;
    writer->in_flight_bytes -= write->length;
    if (result != 0) {
        write->state = LOG_WRITE_SEALED; /* for good: a poisoned writer submits nothing */
        return;
    }
    write->state = LOG_WRITE_WRITTEN;
    log_stages_note(writer->stages, HF_LOG_STAGE_WRITE, operation->submitted_ns, operation->completed_ns,
                    write->entry_count, write->length);
    log_tail_cache_landed(writer->cache, write->chunk);
    if (!log_writer_is_durable_policy(writer)) {
        writer->unsynced_bytes += write->length;
        writer->unsynced_since_ns = writer->unsynced_since_ns != 0 ? writer->unsynced_since_ns : now_ns;
        bool wished = write->must_sync || write->durable.count > 0;
        log_sync_wish(writer, wished ? log_write_end(write) : 0);
    }
}

static void log_writer_acknowledge(struct log_writer *writer, struct log_write *write)
{
    write->acknowledged = true;
    for (size_t i = 0; i < write->waiter_count; i++) {
        log_writer_push_ready(writer, write->waiters[i], 0);
    }
    write->waiter_count = 0;
    assert(writer->queued_entries >= write->entry_count && writer->queued_bytes >= write->byte_count);
    writer->queued_entries -= write->entry_count;
    writer->queued_bytes -= write->byte_count;
}

/* The write and everything before it is durable: its groups know it from now on. */
static void log_writer_retire(struct log_writer *writer, struct log_write *write)
{
    for (size_t i = 0; i < write->ack_count; i++) {
        struct log_ack *ack = &write->acks[i];
        if (ack->last > ack->group->durable) {
            ack->group->durable = ack->last;
        }
    }
    log_writer_release(writer, &write->durable, 0);
    if (write->declares > writer->declared_position) {
        writer->declared_position = write->declares;
    }
    uint64_t once = writer->declared_oldest_once;
    uint64_t twice = write->declares_oldest < once ? write->declares_oldest : once;
    writer->declared_oldest = twice > writer->declared_oldest ? twice : writer->declared_oldest;
    writer->declared_oldest_once = write->declares_oldest > once ? write->declares_oldest : once;
    list_remove(&write->link);
    list_append(&writer->unused, &write->link);
    log_writer_seal_segment(writer, write->segment);
}

static bool log_writer_may_acknowledge(const struct log_writer *writer, const struct log_write *write)
{
    if (MUTATED(LOG_ACK_BEFORE_DURABLE) && write->state == LOG_WRITE_IN_FLIGHT) {
        return true;
    }
    if (write->state != LOG_WRITE_WRITTEN) {
        return false;
    }
    if (log_writer_is_durable_policy(writer) || !write->must_sync) {
        return true;
    }
    return write->synced || log_write_end(write) <= writer->durable_position;
}

void log_writer_advance(struct log_writer *writer, uint64_t now_ns)
{
    bool in_order = true; /* every earlier write is durable */
    bool acknowledging = true;
    bool written = true;
    list_each_safe (&writer->writes, item) {
        struct log_write *write = list_entry(item, struct log_write, link);
        if (writer->failure != 0) {
            break;
        }
        written = written && write->state == LOG_WRITE_WRITTEN;
        if (written) {
            log_writer_release(writer, &write->written, 0);
        }
        bool may = log_writer_may_acknowledge(writer, write);
        acknowledging = acknowledging && may;
        if (!write->acknowledged && (acknowledging || (may && MUTATED(LOG_ACK_OUT_OF_ORDER)))) {
            log_writer_acknowledge(writer, write);
        }
        in_order =
            in_order && write->state == LOG_WRITE_WRITTEN && (log_writer_is_durable_policy(writer) || write->synced);
        if (in_order) {
            writer->durable_position = log_write_end(write);
            if (!write->bare) {
                writer->idle_since_ns = now_ns;
            }
            assert(write->acknowledged);
            log_writer_retire(writer, write);
        }
        if (!acknowledging && !in_order && !written && !MUTATED(LOG_ACK_OUT_OF_ORDER)) {
            break;
        }
    }
}

/* ---- what is there to do ---- */

bool log_writer_is_idle(const struct log_writer *writer)
{
    return writer->gathering == NULL && list_empty(&writer->writes) && writer->in_flight == 0 && !writer->sync.busy &&
           writer->ready.count == 0;
}

bool log_writer_has_work(const struct log_writer *writer)
{
    if (writer->ready.count > 0) {
        return true;
    }
    if (writer->failure != 0 || writer->in_flight >= writer->writes_in_flight_max) {
        return false;
    }
    if (writer->sync_wanted && !writer->sync.busy) {
        return true;
    }
    list_each (&writer->writes, item) {
        struct log_write *write = list_entry(item, struct log_write, link);
        if (write->state == LOG_WRITE_SEALED) {
            return write->segment->state == LOG_SEGMENT_READY;
        }
    }
    return writer->gathering != NULL && writer->gathering->segment->state == LOG_SEGMENT_READY &&
           !log_writer_holds_back(writer);
}

bool log_writer_trailer_missing(const struct log_writer *writer)
{
    if (writer->tail == NULL) {
        return false; /* of a memory log: it writes nothing */
    }
    bool undeclared = writer->declared_position < writer->data_end_position ||
                      writer->declared_oldest < writer->segments->items[0]->header.number;
    return writer->failure == 0 && undeclared && writer->durable_position >= writer->data_end_position;
}

void log_writer_write_trailer(struct log_writer *writer)
{
    bool gives_up = writer->declared_oldest < writer->segments->items[0]->header.number;
    enum log_writer_room kind = gives_up ? LOG_WRITER_GIVING_UP : LOG_WRITER_ESSENTIAL;
    if (writer->gathering != NULL) {
        return;
    }
    if (log_writer_make_room(writer, 0, kind) == 0) {
        log_writer_seal(writer);
    } else {
        writer->idle_since_ns = io_monotonic_ns(writer->io) + LOG_WRITER_TRAILER_RETRY_NS;
    }
}

uint64_t log_writer_deadline_ns(const struct log_writer *writer)
{
    uint64_t deadline_ns = UINT64_MAX;
    if (writer->failure != 0) {
        return deadline_ns;
    }
    if (writer->gathering == NULL && list_empty(&writer->writes) && log_writer_trailer_missing(writer)) {
        deadline_ns = writer->idle_since_ns + LOG_WRITER_IDLE_NS;
    }
    if (writer->policy == HF_LOG_SYNC_INTERVAL && writer->unsynced_since_ns != 0 && log_sync_is_possible(writer)) {
        uint64_t sync_ns = writer->unsynced_since_ns + writer->sync_interval_ns;
        deadline_ns = sync_ns < deadline_ns ? sync_ns : deadline_ns;
    }
    return deadline_ns;
}

uint64_t log_writer_oldest_ns(const struct log_writer *writer)
{
    list_each (&writer->writes, item) {
        struct log_write *write = list_entry(item, struct log_write, link);
        if (!write->acknowledged) {
            return write->opened_ns;
        }
    }
    return writer->gathering != NULL ? writer->gathering->opened_ns : 0;
}
