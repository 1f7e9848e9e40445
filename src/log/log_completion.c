#include "log/log_completion.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/buffer.h"
#include "base/error.h"

#define LOG_COMPLETION_CAPACITY_MIN 64u

void log_completion_close(struct log_completions *completions)
{
    if (completions->bell_open) {
        bell_close(&completions->bell);
    }
    free(completions->items);
}

int log_completion_expect(struct log_completions *completions, uint64_t max)
{
    if (completions->outstanding >= max) {
        return error_raise(HF_EBUSY, "%zu completions are outstanding or wait to be polled", completions->outstanding);
    }
    completions->outstanding++;
    return 0;
}

void log_completion_forget(struct log_completions *completions)
{
    assert(completions->outstanding > 0);
    completions->outstanding--;
}

/* Never called: its address says that the waiter's argument is a token. */
static void log_completion_marker(void *arg, int result)
{
    (void)arg, (void)result;
}

struct log_waiter log_completion_waiter(uint64_t token)
{
    static_assert(sizeof(void *) >= sizeof(uint64_t), "a token travels in a pointer");
    return (struct log_waiter){.done = log_completion_marker, .arg = (void *)(uintptr_t)token};
}

static void log_completion_push(struct log_completions *completions, uint64_t token, int result)
{
    if (completions->count == completions->capacity) {
        size_t capacity = completions->capacity == 0 ? LOG_COMPLETION_CAPACITY_MIN : completions->capacity * 2;
        struct hf_log_completion *items = memory_new(capacity * sizeof(*items));
        for (size_t i = 0; i < completions->count; i++) {
            items[i] = completions->items[(completions->first + i) & (completions->capacity - 1)];
        }
        free(completions->items);
        completions->items = items;
        completions->first = 0;
        completions->capacity = capacity;
    }
    size_t at = (completions->first + completions->count++) & (completions->capacity - 1);
    completions->items[at] = (struct hf_log_completion){.token = token, .result = result};
}

static void log_completion_publish(struct log_completions *completions)
{
    atomic_store_explicit(&completions->waiting, completions->count, memory_order_release);
}

void log_completion_take(struct log_completions *completions, struct log_ready_list *ready)
{
    if (completions->outstanding == completions->count) {
        return; /* none is expected */
    }
    size_t kept = 0;
    size_t before = completions->count;
    for (size_t i = 0; i < ready->count; i++) {
        const struct log_ready *item = &ready->items[i];
        if (item->waiter.done == log_completion_marker) {
            log_completion_push(completions, (uintptr_t)item->waiter.arg, item->result);
        } else {
            ready->items[kept++] = *item;
        }
    }
    ready->count = kept;
    log_completion_publish(completions);
    if (before == 0 && completions->count > 0 && completions->bell_open) {
        bell_ring(&completions->bell);
    }
}

size_t log_completion_poll(struct log_completions *completions, struct hf_log_completion *out, size_t max)
{
    size_t count = completions->count < max ? completions->count : max;
    for (size_t i = 0; i < count; i++) {
        out[i] = completions->items[(completions->first + i) & (completions->capacity - 1)];
    }
    completions->first = count > 0 ? (completions->first + count) & (completions->capacity - 1) : completions->first;
    completions->count -= count;
    completions->outstanding -= count;
    log_completion_publish(completions);
    if (count > 0 && completions->count == 0 && completions->bell_open) {
        bell_quiet(&completions->bell);
    }
    return count;
}

int log_completion_descriptor(struct log_completions *completions)
{
    if (!completions->bell_open) {
        if (bell_open(&completions->bell, EFD_NONBLOCK) != 0) {
            return -1;
        }
        completions->bell_open = true;
        if (completions->count > 0) {
            bell_ring(&completions->bell);
        }
    }
    return completions->bell.descriptor;
}
