/* A queue beside another one that has no thread for some of the work it is given, as a process that is at a limit. */
#ifndef CRASH_REFUSING_QUEUE_H
#define CRASH_REFUSING_QUEUE_H

#include "base/error.h"
#include "io/io.h"

struct refusing_queue {
    struct io_queue base;
    struct io_queue *inner;
    unsigned asked;
    unsigned first; /* so many are refused from the beginning … */
    unsigned every; /* … and then all but each so manieth; 0: none */
};

static inline struct refusing_queue *refusing_queue_of(struct io_queue *queue)
{
    return (struct refusing_queue *)queue;
}

static inline int refusing_queue_submit(struct io_queue *queue, struct io_operation *operation)
{
    struct refusing_queue *refusing = refusing_queue_of(queue);
    unsigned at = refusing->asked++;
    if (at < refusing->first || (refusing->every > 0 && at % refusing->every != 0)) {
        return error_raise(HF_ENOMEM, "start thread: no");
    }
    return io_queue_submit(refusing->inner, operation);
}

static inline unsigned refusing_queue_reap(struct io_queue *queue, struct list *done, uint64_t timeout_ns)
{
    return io_queue_reap(refusing_queue_of(queue)->inner, done, timeout_ns);
}

static inline int refusing_queue_flush(struct io_queue *queue)
{
    return io_queue_flush(refusing_queue_of(queue)->inner);
}

static inline void refusing_queue_wake(struct io_queue *queue)
{
    io_queue_wake(refusing_queue_of(queue)->inner);
}

static inline struct refusing_queue refusing_queue_open(struct io_queue *inner, unsigned first, unsigned every)
{
    static const struct io_queue_ops ops = {.submit = refusing_queue_submit,
                                            .flush = refusing_queue_flush,
                                            .reap = refusing_queue_reap,
                                            .wake = refusing_queue_wake};
    return (struct refusing_queue){.base = {.ops = &ops}, .inner = inner, .first = first, .every = every};
}

#endif
