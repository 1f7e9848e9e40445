/* Writes and syncs go to the ring; IO_WORK goes to worker threads, since the ring cannot call functions.
 *
 * The ring's own descriptor is the queue's: the kernel reports it readable for as long as a completion lies in it, so
 * nothing has to be read to make it quiet, and one system call submits and waits. What does not come from the ring
 * (work that finished, io_queue_wake) rings a bell, an eventfd that a standing read in the ring listens to:
 *
 *   worker → mailbox → bell ┐
 *   io_queue_wake ───→ bell ┴→ standing read → completion in the ring → owner wakes, reads the mailbox, listens again
 *
 * The kernel finishes a request in the thread that submitted it, and cancels it when that thread ends. So a thread must
 * not end before what it submitted is reaped; the standing read alone may outlive it: it comes back cancelled and the
 * next owner renews it. For the same reason IORING_SETUP_SINGLE_ISSUER is not used: a queue is opened in one thread and
 * used in another. Nor is DEFER_TASKRUN: with it nothing completes until the owner enters the ring, and poll() on the
 * descriptor was seen to sleep over completions. */
#include "io/uring_queue.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mailbox.h"
#include "io/bell.h"
#include "io/kernel.h"
#include "io/kernel_file.h"
#include "io/workers.h"

#define URING_QUEUE_WRITE_SIZE_MAX (1u << 30)   /* of one request; longer writes continue */
#define URING_QUEUE_SUBMIT_TRIES   1000u        /* while the kernel is short of memory */
#define URING_QUEUE_RETRIED        (1ull << 63) /* in operation->progress: -EAGAIN was answered once */

struct uring_queue {
    struct io_queue queue;
    struct io_uring ring;
    unsigned depth;
    unsigned in_flight;
    unsigned work_in_flight; /* of these */
    bool listening;          /* the standing read is submitted, or about to be */
    bool polled;             /* somebody waits on the descriptor instead of in reap */
    uint64_t rung;           /* target of the standing read */
    struct bell bell;
    struct mailbox done;
    struct workers work;
};

static struct uring_queue *uring_queue_of(struct io_queue *queue)
{
    return (struct uring_queue *)queue;
}

/* ---- into the ring ---- */

/* There is a slot for every operation and one for the bell: the ring has depth + 1 at least, and nobody has two. */
static struct io_uring_sqe *uring_queue_slot(struct uring_queue *queue)
{
    struct io_uring_sqe *slot = io_uring_get_sqe(&queue->ring);
    assert(slot != NULL);
    return slot;
}

static void uring_queue_listen(struct uring_queue *queue)
{
    if (!queue->listening) {
        struct io_uring_sqe *slot = uring_queue_slot(queue);
        io_uring_prep_read(slot, queue->bell.descriptor, &queue->rung, sizeof(queue->rung), 0);
        io_uring_sqe_set_data(slot, NULL);
        queue->listening = true;
    }
}

static uint64_t uring_queue_progress(const struct io_operation *operation)
{
    return operation->progress & ~URING_QUEUE_RETRIED;
}

/* flags: IOSQE_ASYNC or 0. */
static void uring_queue_put(struct uring_queue *queue, struct io_operation *operation, unsigned flags)
{
    struct io_uring_sqe *slot = uring_queue_slot(queue);
    int descriptor = kernel_file_descriptor(operation->file);
    if (operation->kind == IO_SYNC) {
        io_uring_prep_fsync(slot, descriptor, IORING_FSYNC_DATASYNC); /* as file_sync: with the size, without times */
    } else {
        uint64_t progress = uring_queue_progress(operation);
        uint64_t left = operation->size - progress;
        unsigned size = left < URING_QUEUE_WRITE_SIZE_MAX ? (unsigned)left : URING_QUEUE_WRITE_SIZE_MAX;
        const uint8_t *data = (const uint8_t *)operation->data + progress;
        io_uring_prep_write(slot, descriptor, data, size, operation->offset + progress);
        if (operation->kind == IO_WRITE_DURABLE) {
            slot->rw_flags = RWF_DSYNC;
        }
    }
    io_uring_sqe_set_flags(slot, flags);
    io_uring_sqe_set_data(slot, operation);
}

/* Hands everything prepared to the kernel. What it does not take stays prepared. */
static int uring_queue_push(struct uring_queue *queue)
{
    int rc = 0;
    for (unsigned tries = 0; io_uring_sq_ready(&queue->ring) > 0; tries++) {
        rc = io_uring_submit(&queue->ring);
        if (rc >= 0 || rc == -EINTR) {
            continue;
        }
        if ((rc != -EAGAIN && rc != -EBUSY) || tries == URING_QUEUE_SUBMIT_TRIES) {
            return kernel_error(-rc, "submit to io_uring");
        }
        sched_yield();
    }
    return 0;
}

static int uring_queue_submit(struct io_queue *base, struct io_operation *operation)
{
    struct uring_queue *queue = uring_queue_of(base);
    if (queue->in_flight == queue->depth) {
        return error_raise(HF_EBUSY, "%u operations are in flight, the queue's depth", queue->depth);
    }
    operation->submitted_ns = kernel_monotonic_ns();
    if (operation->kind == IO_WORK) {
        int rc = workers_submit(&queue->work, operation);
        if (rc != 0) {
            return rc;
        }
        queue->work_in_flight++;
    } else {
        if (operation->kind != IO_SYNC) {
            kernel_file_check_aligned(operation->file, operation->offset, operation->data, operation->size);
        }
        list_init(&operation->link);
        uring_queue_put(queue, operation, 0);
    }
    queue->in_flight++;
    return 0;
}

static int uring_queue_flush(struct io_queue *base)
{
    struct uring_queue *queue = uring_queue_of(base);
    if (queue->polled) {
        uring_queue_listen(queue);
    }
    return uring_queue_push(queue);
}

/* ---- out of the ring ---- */

static void uring_queue_fail(struct io_operation *operation, int error_number)
{
    const char *path = kernel_file_path(operation->file);
    if (operation->kind == IO_SYNC) {
        operation->result = kernel_error(error_number, "sync %.600s", path);
    } else {
        uint64_t offset = operation->offset + uring_queue_progress(operation);
        operation->result = kernel_error(error_number, "write %.600s at %" PRIu64, path, offset);
    }
    error_text_copy(operation->text, sizeof(operation->text));
}

/* True when the operation is over; false when the rest of it went into the ring again. */
static bool uring_queue_complete(struct uring_queue *queue, struct io_operation *operation, int result)
{
    if (operation->kind == IO_SYNC) {
        if (result < 0) {
            uring_queue_fail(operation, -result);
        }
        return true;
    }
    if (result == -EINTR || (result == -EAGAIN && (operation->progress & URING_QUEUE_RETRIED) == 0)) {
        operation->progress |= URING_QUEUE_RETRIED;
        uring_queue_put(queue, operation, IOSQE_ASYNC); /* by a kernel thread, which may block */
        return false;
    }
    if (result > 0 && file_is_direct(operation->file)) {
        result -= result % (int)IO_BLOCK_SIZE; /* direct I/O goes on at a block's start only */
    }
    if (result <= 0) {
        uring_queue_fail(operation, result == 0 ? EIO : -result);
        return true;
    }
    operation->progress += (uint64_t)result;
    if (uring_queue_progress(operation) < operation->size) {
        uring_queue_put(queue, operation, 0);
        return false;
    }
    return true;
}

static unsigned uring_queue_collect_ring(struct uring_queue *queue, struct list *done)
{
    struct io_uring_cqe *entry = NULL;
    unsigned count = 0;
    uint64_t now_ns = 0;
    /* peek enters the kernel by itself when it is told that completions wait there. */
    while (io_uring_peek_cqe(&queue->ring, &entry) == 0) {
        struct io_operation *operation = io_uring_cqe_get_data(entry);
        int result = entry->res;
        io_uring_cqe_seen(&queue->ring, entry);
        if (operation == NULL) {
            queue->listening = false;
        } else if (uring_queue_complete(queue, operation, result)) {
            now_ns = now_ns != 0 ? now_ns : kernel_monotonic_ns();
            operation->completed_ns = now_ns;
            list_append(done, &operation->link);
            count++;
        }
    }
    return count;
}

static unsigned uring_queue_collect_work(struct uring_queue *queue, struct list *done)
{
    if (queue->work_in_flight == 0) {
        return 0;
    }
    struct list taken;
    list_init(&taken);
    mailbox_take(&queue->done, &taken);
    unsigned count = 0;
    list_each (&taken, item) {
        count++;
    }
    assert(count <= queue->work_in_flight);
    queue->work_in_flight -= count;
    list_splice(done, &taken);
    return count;
}

static unsigned uring_queue_collect(struct uring_queue *queue, struct list *done)
{
    unsigned count = uring_queue_collect_ring(queue, done);
    count += uring_queue_collect_work(queue, done);
    assert(count <= queue->in_flight);
    queue->in_flight -= count;
    return count;
}

/* Submits what is prepared and waits for a completion, in one system call. */
static void uring_queue_wait(struct uring_queue *queue, uint64_t timeout_ns)
{
    uring_queue_listen(queue);
    struct __kernel_timespec timeout = {.tv_sec = (long long)(timeout_ns / KERNEL_NS_PER_SECOND),
                                        .tv_nsec = (long long)(timeout_ns % KERNEL_NS_PER_SECOND)};
    struct io_uring_cqe *entry = NULL;
    int rc =
        io_uring_submit_and_wait_timeout(&queue->ring, &entry, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
    if (rc == -EAGAIN || rc == -EBUSY) {
        sched_yield(); /* the kernel is short of memory; the caller's loop tries again */
        return;
    }
    assert(rc >= 0 || rc == -ETIME || rc == -EINTR); /* anything else means that completions are lost */
}

static unsigned uring_queue_reap(struct io_queue *base, struct list *done, uint64_t timeout_ns)
{
    struct uring_queue *queue = uring_queue_of(base);
    uint64_t deadline_ns = kernel_deadline_ns(timeout_ns);
    unsigned count;
    for (;;) {
        count = uring_queue_collect(queue, done);
        if (bell_take(&queue->bell) || count > 0) {
            break;
        }
        uint64_t left_ns = kernel_left_ns(deadline_ns);
        if (left_ns == 0) {
            break;
        }
        uring_queue_wait(queue, left_ns);
    }
    if (queue->polled) {
        uring_queue_listen(queue); /* the descriptor must hear the bell while the owner is elsewhere */
    }
    /* A failure is not lost: what the kernel did not take stays prepared and goes with the next call. */
    (void)uring_queue_push(queue);
    return count;
}

static int uring_queue_descriptor(struct io_queue *base)
{
    struct uring_queue *queue = uring_queue_of(base);
    queue->polled = true;
    uring_queue_listen(queue);
    (void)uring_queue_push(queue);
    return queue->ring.ring_fd;
}

static void uring_queue_wake(struct io_queue *base)
{
    bell_wake(&uring_queue_of(base)->bell);
}

static void uring_queue_close(struct io_queue *base)
{
    struct uring_queue *queue = uring_queue_of(base);
    struct list done;
    list_init(&done);
    while (queue->in_flight > 0) {
        uring_queue_reap(base, &done, UINT64_MAX);
    }
    list_each_safe (&done, item) {
        list_remove(item); /* the operations outlive our list */
    }
    workers_close(&queue->work);
    /* The standing read writes into our memory: it has to be over before that is freed. */
    queue->polled = false;
    if (queue->listening) {
        bell_ring(&queue->bell);
    }
    while (queue->listening) {
        struct io_uring_cqe *entry = NULL;
        (void)io_uring_submit_and_wait(&queue->ring, 1);
        while (io_uring_peek_cqe(&queue->ring, &entry) == 0) {
            io_uring_cqe_seen(&queue->ring, entry);
            queue->listening = false;
        }
    }
    io_uring_queue_exit(&queue->ring);
    mailbox_close(&queue->done);
    bell_close(&queue->bell);
    free(queue);
}

static const struct io_queue_ops uring_queue_ops = {
    .close = uring_queue_close,
    .submit = uring_queue_submit,
    .flush = uring_queue_flush,
    .reap = uring_queue_reap,
    .descriptor = uring_queue_descriptor,
    .wake = uring_queue_wake,
};

/* ---- opening ---- */

static int uring_queue_init_ring(unsigned slots, struct io_uring *ring)
{
    /* The owner enters the kernel soon enough by itself, so completions need not interrupt it (Linux 5.19). */
    int rc = io_uring_queue_init(slots, ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
    if (rc == -EINVAL) {
        rc = io_uring_queue_init(slots, ring, 0);
    }
    return rc;
}

int uring_queue_probe(void)
{
    struct io_uring ring;
    int rc = uring_queue_init_ring(1, &ring);
    if (rc != 0) {
        (void)kernel_error(-rc, "io_uring is not available");
        return error_wrap(HF_EUNSUPPORTED, "%s", "this kernel, or the container's sandbox, forbids it");
    }
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    bool complete = probe != NULL && io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
                    io_uring_opcode_supported(probe, IORING_OP_FSYNC) &&
                    io_uring_opcode_supported(probe, IORING_OP_READ);
    /* Waiting with a timeout, completions that are never dropped, and reads of an eventfd without a thread. */
    unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL;
    complete = complete && (ring.features & needed) == needed;
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    return complete ? 0 : error_raise(HF_EUNSUPPORTED, "the kernel's io_uring is too old (before Linux 5.11)");
}

int uring_queue_open(struct io *io, unsigned depth, struct io_queue **out)
{
    struct uring_queue *queue = memory_new(sizeof(*queue));
    queue->queue.ops = &uring_queue_ops;
    queue->depth = depth;
    int rc = bell_open(&queue->bell, 0);
    if (rc != 0) {
        free(queue);
        return rc;
    }
    rc = uring_queue_init_ring(depth + 1, &queue->ring);
    if (rc != 0) {
        rc = kernel_error(-rc, "open an io_uring of %u", depth + 1);
        bell_close(&queue->bell);
        free(queue);
        return rc;
    }
    mailbox_init(&queue->done, bell_ring, &queue->bell);
    unsigned work = depth < WORKERS_WORK_THREADS_MAX ? depth : WORKERS_WORK_THREADS_MAX;
    workers_init(&queue->work, "hf-work", work, &queue->done);
    *out = &queue->queue;
    return 0;
}
