/* Submitted operations go to worker threads at once; finished ones come back through a mailbox, which rings the bell
 * when it was empty. The bell's eventfd is the queue's descriptor.
 *
 * The owner always silences the bell before it empties the mailbox: a completion that arrives in between rings again,
 * so the descriptor is never quiet while something waits. */
#include "io/threads_queue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mailbox.h"
#include "io/bell.h"
#include "io/kernel.h"
#include "io/kernel_file.h"
#include "io/workers.h"

struct threads_queue {
    struct io_queue queue;
    unsigned depth;
    unsigned in_flight;
    struct bell bell;
    struct mailbox done;
    struct workers writers;
    struct workers work;
    struct workers background;
};

static struct threads_queue *threads_queue_of(struct io_queue *queue)
{
    return (struct threads_queue *)queue;
}

static int threads_queue_submit(struct io_queue *base, struct io_operation *operation)
{
    struct threads_queue *queue = threads_queue_of(base);
    if (queue->in_flight == queue->depth) {
        return error_raise(HF_EBUSY, "%u operations are in flight, the queue's depth", queue->depth);
    }
    if (operation->kind == IO_WRITE || operation->kind == IO_WRITE_DURABLE) {
        kernel_file_check_aligned(operation->file, operation->offset, operation->data, operation->size);
    }
    operation->submitted_ns = kernel_monotonic_ns();
    if (operation->kind == IO_WORK) {
        workers_submit_work(&queue->work, &queue->background, operation);
    } else if (workers_submit(&queue->writers, operation) != 0) {
        workers_run_here(&queue->writers, operation); /* a write is not refused for want of a thread: it is slower */
    }
    queue->in_flight++;
    return 0;
}

static int threads_queue_flush(struct io_queue *base)
{
    return 0; /* the workers have it since the submit */
}

static unsigned threads_queue_collect(struct threads_queue *queue, struct list *done)
{
    struct list taken;
    list_init(&taken);
    bell_quiet(&queue->bell);
    mailbox_take(&queue->done, &taken);
    unsigned count = 0;
    list_each (&taken, item) {
        count++;
    }
    assert(count <= queue->in_flight);
    queue->in_flight -= count;
    list_splice(done, &taken);
    return count;
}

static void threads_queue_wait(struct threads_queue *queue, uint64_t timeout_ns)
{
    struct pollfd polled = {.fd = queue->bell.descriptor, .events = POLLIN};
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / KERNEL_NS_PER_SECOND),
                               .tv_nsec = (long)(timeout_ns % KERNEL_NS_PER_SECOND)};
    int rc = ppoll(&polled, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
    assert(rc >= 0 || errno == EINTR);
    (void)rc;
}

static unsigned threads_queue_reap(struct io_queue *base, struct list *done, uint64_t timeout_ns)
{
    struct threads_queue *queue = threads_queue_of(base);
    uint64_t deadline_ns = kernel_deadline_ns(timeout_ns);
    for (;;) {
        unsigned count = threads_queue_collect(queue, done);
        if (bell_take(&queue->bell) || count > 0) {
            return count;
        }
        uint64_t left_ns = kernel_left_ns(deadline_ns);
        if (left_ns == 0) {
            return 0;
        }
        threads_queue_wait(queue, left_ns);
    }
}

static int threads_queue_descriptor(struct io_queue *base)
{
    return threads_queue_of(base)->bell.descriptor;
}

static void threads_queue_wake(struct io_queue *base)
{
    bell_wake(&threads_queue_of(base)->bell);
}

static void threads_queue_close(struct io_queue *base)
{
    struct threads_queue *queue = threads_queue_of(base);
    workers_close(&queue->writers);
    workers_close(&queue->work);
    workers_close(&queue->background);
    struct list done;
    list_init(&done);
    threads_queue_collect(queue, &done);
    assert(queue->in_flight == 0);
    list_each_safe (&done, item) {
        list_remove(item); /* the operations outlive our list */
    }
    mailbox_close(&queue->done);
    bell_close(&queue->bell);
    free(queue);
}

static const struct io_queue_ops threads_queue_ops = {
    .close = threads_queue_close,
    .submit = threads_queue_submit,
    .flush = threads_queue_flush,
    .reap = threads_queue_reap,
    .descriptor = threads_queue_descriptor,
    .wake = threads_queue_wake,
};

int threads_queue_open(struct io *io, unsigned depth, struct io_queue **out)
{
    struct threads_queue *queue = memory_new(sizeof(*queue));
    queue->queue.ops = &threads_queue_ops;
    queue->depth = depth;
    int rc = bell_open(&queue->bell, EFD_NONBLOCK);
    if (rc != 0) {
        free(queue);
        return rc;
    }
    unsigned writers = depth < WORKERS_WRITE_THREADS_MAX ? depth : WORKERS_WRITE_THREADS_MAX;
    unsigned work = depth < WORKERS_WORK_THREADS_MAX ? depth : WORKERS_WORK_THREADS_MAX;
    mailbox_init(&queue->done, bell_ring, &queue->bell);
    workers_init(&queue->writers, "hf-write", writers, &queue->done);
    workers_init(&queue->work, "hf-work", work, &queue->done);
    workers_init_background(&queue->background, "hf-background", work, &queue->done);
    rc = workers_start(&queue->work);
    if (rc != 0) {
        threads_queue_close(&queue->queue);
        return rc;
    }
    *out = &queue->queue;
    return 0;
}
