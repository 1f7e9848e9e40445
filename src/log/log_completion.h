/* Completions that a caller fetches: tokens of appends whose acknowledgement came, in order, and a descriptor that is
 * readable while there are some. Bounded: at most as many as the log allows are expected or wait to be fetched.
 * Guarded by the log's mutex, but for log_completion_any. */
#ifndef LOG_LOG_COMPLETION_H
#define LOG_LOG_COMPLETION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/log.h"
#include "io/bell.h"
#include "log/log_writer.h"

struct log_completions {
    struct hf_log_completion *items; /* a ring */
    size_t first;
    size_t count;
    size_t capacity;    /* a power of two, or 0 */
    size_t outstanding; /* expected, or waiting to be fetched */
    struct bell bell;
    bool bell_open;
    atomic_size_t waiting; /* = count, for who looks without the mutex */
};

void log_completion_close(struct log_completions *completions);
/* One more append with a token; HF_EBUSY when there are `max` already. log_completion_forget: it was refused. */
int log_completion_expect(struct log_completions *completions, uint64_t max);
void log_completion_forget(struct log_completions *completions);
struct log_waiter log_completion_waiter(uint64_t token);
/* Moves those of `ready` that are tokens to the ring; the callbacks stay. */
void log_completion_take(struct log_completions *completions, struct log_ready_list *ready);
/* Is there something to fetch? Cheap enough for a caller that looks again and again. Any thread, without the mutex. */
static inline bool log_completion_any(struct log_completions *completions)
{
    return atomic_load_explicit(&completions->waiting, memory_order_acquire) > 0;
}
size_t log_completion_poll(struct log_completions *completions, struct hf_log_completion *out, size_t max);
int log_completion_descriptor(struct log_completions *completions); /* -1: none could be made */

#endif
