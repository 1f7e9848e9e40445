#include "node/proposal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define PROPOSAL_CAPACITY_MIN 64u

/* ---- Queue ---- */

void proposal_queue_close(struct proposal_queue *queue)
{
    assert(queue->count == 0);
    buffer_close(&queue->bytes);
    free(queue->items);
    *queue = (struct proposal_queue){0};
}

/* Gives back what the front no longer needs, at a cost that the commands removed have paid for. */
static void proposal_queue_compact(struct proposal_queue *queue)
{
    size_t unused = queue->items[queue->first].offset;
    if (unused < PROPOSAL_QUEUE_KEEP_BYTES || unused < queue->bytes.size / 2) {
        return;
    }
    buffer_drop_front(&queue->bytes, unused);
    for (size_t i = 0; i < queue->count; i++) {
        queue->items[queue->first + i].offset -= unused;
    }
}

static void proposal_queue_reset_when_empty(struct proposal_queue *queue)
{
    if (queue->count > 0) {
        proposal_queue_compact(queue);
        return;
    }
    queue->first = 0;
    buffer_clear(&queue->bytes);
    if (queue->bytes.capacity > PROPOSAL_QUEUE_KEEP_BYTES) {
        buffer_close(&queue->bytes);
    }
}

void proposal_queue_append(struct proposal_queue *queue, struct hf_bytes command, struct proposal item)
{
    assert(queue->count == 0 || item.deadline_ms >= queue->items[queue->first + queue->count - 1].deadline_ms);
    if (queue->first + queue->count == queue->capacity && queue->first > queue->count) {
        memmove(queue->items, queue->items + queue->first, queue->count * sizeof(*queue->items));
        queue->first = 0;
    }
    if (queue->first + queue->count == queue->capacity) {
        queue->capacity = queue->capacity > 0 ? queue->capacity * 2 : PROPOSAL_CAPACITY_MIN;
        queue->items = memory_resize(queue->items, queue->capacity * sizeof(*queue->items));
    }
    item.offset = queue->bytes.size;
    item.size = (uint32_t)command.size;
    buffer_append_bytes(&queue->bytes, command);
    queue->items[queue->first + queue->count] = item;
    queue->count++;
}

const struct proposal *proposal_queue_at(const struct proposal_queue *queue, size_t i)
{
    assert(i < queue->count);
    return &queue->items[queue->first + i];
}

struct hf_bytes proposal_queue_command(const struct proposal_queue *queue, size_t i)
{
    const struct proposal *item = proposal_queue_at(queue, i);
    return bytes_of(queue->bytes.data + item->offset, item->size);
}

void proposal_queue_drop(struct proposal_queue *queue, size_t count)
{
    assert(count <= queue->count);
    queue->first += count;
    queue->count -= count;
    proposal_queue_reset_when_empty(queue);
}

size_t proposal_queue_bytes(const struct proposal_queue *queue)
{
    return queue->bytes.size;
}

uint64_t proposal_queue_deadline_ms(const struct proposal_queue *queue)
{
    return queue->count > 0 ? queue->items[queue->first].deadline_ms : UINT64_MAX;
}

void proposal_answer(struct proposal_owner owner, int result, struct hf_bytes reply, uint64_t index)
{
    if (owner.done != NULL) {
        owner.done(owner.arg, result, reply, index);
    }
}

/* ---- Pending ---- */

void proposal_pending_close(struct proposal_pending *pending)
{
    assert(pending->entries_count == 0);
    free(pending->entries);
    free(pending->owners);
    *pending = (struct proposal_pending){0};
}

static struct proposal_entry *proposal_pending_entry(const struct proposal_pending *pending, size_t i)
{
    return &pending->entries[(pending->entries_first + i) & (pending->entries_capacity - 1)];
}

static struct proposal_owner *proposal_pending_owner(const struct proposal_pending *pending, size_t i)
{
    return &pending->owners[(pending->owners_first + i) & (pending->owners_capacity - 1)];
}

/* Moves a ring of `count` items into a larger one that starts at 0. */
static void *proposal_ring_grow(void *ring, size_t item_size, size_t first, size_t count, size_t capacity,
                                size_t capacity_new)
{
    uint8_t *grown = memory_new(capacity_new * item_size);
    size_t head = capacity - first < count ? capacity - first : count;
    if (count > 0) {
        memcpy(grown, (uint8_t *)ring + first * item_size, head * item_size);
        memcpy(grown + head * item_size, ring, (count - head) * item_size);
    }
    free(ring);
    return grown;
}

static void proposal_pending_reserve(struct proposal_pending *pending, size_t owners)
{
    if (pending->entries_count == pending->entries_capacity) {
        size_t capacity = pending->entries_capacity > 0 ? pending->entries_capacity * 2 : PROPOSAL_CAPACITY_MIN;
        pending->entries = proposal_ring_grow(pending->entries, sizeof(*pending->entries), pending->entries_first,
                                              pending->entries_count, pending->entries_capacity, capacity);
        pending->entries_first = 0;
        pending->entries_capacity = capacity;
    }
    if (pending->owners_count + owners > pending->owners_capacity) {
        size_t capacity = pending->owners_capacity > 0 ? pending->owners_capacity : PROPOSAL_CAPACITY_MIN;
        while (capacity < pending->owners_count + owners) {
            capacity *= 2;
        }
        pending->owners = proposal_ring_grow(pending->owners, sizeof(*pending->owners), pending->owners_first,
                                             pending->owners_count, pending->owners_capacity, capacity);
        pending->owners_first = 0;
        pending->owners_capacity = capacity;
    }
}

void proposal_pending_append(struct proposal_pending *pending, struct proposal_entry entry,
                             const struct proposal_queue *queue, size_t first)
{
    assert(pending->entries_count == 0 || entry.index > proposal_pending_back(pending)->index);
    proposal_pending_reserve(pending, entry.count);
    *proposal_pending_entry(pending, pending->entries_count) = entry;
    pending->entries_count++;
    for (size_t i = 0; i < entry.count; i++) {
        *proposal_pending_owner(pending, pending->owners_count + i) = proposal_queue_at(queue, first + i)->owner;
    }
    pending->owners_count += entry.count;
}

const struct proposal_entry *proposal_pending_front(const struct proposal_pending *pending)
{
    return pending->entries_count > 0 ? proposal_pending_entry(pending, 0) : NULL;
}

const struct proposal_entry *proposal_pending_back(const struct proposal_pending *pending)
{
    return pending->entries_count > 0 ? proposal_pending_entry(pending, pending->entries_count - 1) : NULL;
}

struct proposal_owner proposal_pending_take(struct proposal_pending *pending, uint32_t ordinal)
{
    assert(ordinal < proposal_pending_front(pending)->count);
    struct proposal_owner *place = proposal_pending_owner(pending, ordinal);
    struct proposal_owner owner = *place;
    *place = (struct proposal_owner){0};
    return owner;
}

/* Answers whoever waits among `count` owners from position `from`. An owner may propose again from inside its answer,
 * but never appends to a pending list there: that happens at the turn's end. */
static unsigned proposal_pending_answer(struct proposal_pending *pending, size_t from,
                                        const struct proposal_entry *entry, int result)
{
    unsigned waited = 0;
    for (size_t i = 0; i < entry->count; i++) {
        struct proposal_owner *place = proposal_pending_owner(pending, from + i);
        struct proposal_owner owner = *place;
        *place = (struct proposal_owner){0};
        waited += owner.done != NULL;
        proposal_answer(owner, result, (struct hf_bytes){0}, entry->index);
    }
    return waited;
}

unsigned proposal_pending_drop_front(struct proposal_pending *pending, int result)
{
    struct proposal_entry entry = *proposal_pending_entry(pending, 0);
    unsigned waited = proposal_pending_answer(pending, 0, &entry, result);
    pending->entries_first = (pending->entries_first + 1) & (pending->entries_capacity - 1);
    pending->entries_count--;
    pending->owners_first = (pending->owners_first + entry.count) & (pending->owners_capacity - 1);
    pending->owners_count -= entry.count;
    pending->answered_count -= pending->answered_count > 0;
    return waited;
}

unsigned proposal_pending_drop_back(struct proposal_pending *pending, int result)
{
    struct proposal_entry entry = *proposal_pending_entry(pending, pending->entries_count - 1);
    unsigned waited = proposal_pending_answer(pending, pending->owners_count - entry.count, &entry, result);
    pending->entries_count--;
    pending->owners_count -= entry.count;
    if (pending->answered_count > pending->entries_count) {
        pending->answered_count = pending->entries_count;
    }
    return waited;
}

unsigned proposal_pending_expire(struct proposal_pending *pending, uint64_t now_ms, int result)
{
    unsigned waited = 0;
    size_t owners_before = 0;
    for (size_t i = 0; i < pending->entries_count; i++) {
        struct proposal_entry *entry = proposal_pending_entry(pending, i);
        if (entry->deadline_ms > now_ms) {
            break;
        }
        if (!entry->is_answered) {
            entry->is_answered = true;
            struct proposal_entry copy = *entry;
            waited += proposal_pending_answer(pending, owners_before, &copy, result);
            pending->answered_count = i + 1;
        }
        owners_before += entry->count;
    }
    return waited;
}

uint64_t proposal_pending_deadline_ms(const struct proposal_pending *pending)
{
    return pending->answered_count < pending->entries_count
               ? proposal_pending_entry(pending, pending->answered_count)->deadline_ms
               : UINT64_MAX;
}
