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
 * descriptor was seen to sleep over completions.
 *
 * A durable write of a direct file is a write with a linked fdatasync, not a write with RWF_DSYNC. The kernel finishes
 * the latter in a work queue of the file system, whose thread has to find a processor: on a busy machine with two of
 * them a write then took 3.8 ms instead of 0.13 ms (Linux 6.18, ext4, no FUA). The link breaks when the write is short
 * or fails; then the sync comes back cancelled, and the rest goes as a new pair. Buffered files keep RWF_DSYNC, which
 * for them runs in io_uring's own threads and syncs only what was written. */
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

#define URING_QUEUE_WRITE_SIZE_MAX (1u << 30) /* of one request; longer writes continue */
#define URING_QUEUE_SUBMIT_TRIES   1000u      /* while the kernel is short of memory */

/* In operation->progress, above the bytes that are written. */
#define URING_QUEUE_RETRIED (1ull << 63) /* -EAGAIN was answered once */
#define URING_QUEUE_WRITING (1ull << 62) /* the write is in the ring */
#define URING_QUEUE_SYNCING (1ull << 61) /* the sync is */
#define URING_QUEUE_SYNCED  (1ull << 60) /* everything that is written so far is synced */
#define URING_QUEUE_BYTES   (URING_QUEUE_SYNCED - 1)

#define URING_QUEUE_SYNC_TAG 1u /* in the user data of a sync; the rest is the operation's address */

struct uring_queue {
    struct io_queue queue;
    struct io_uring ring;
    unsigned depth;
    unsigned in_flight;
    unsigned work_in_flight; /* of these */
    bool listening;          /* the standing read is in the ring, or prepared */
    bool has_news;           /* more than the standing read is prepared and not pushed */
    uint64_t rung;           /* target of the standing read */
    struct bell bell;
    struct mailbox done;
    struct workers work;
    struct workers background;
};

static struct uring_queue *uring_queue_of(struct io_queue *queue)
{
    return (struct uring_queue *)queue;
}

/* ---- into the ring ---- */

/* There are slots for a write and a sync of every operation, and one for the bell. */
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
        io_uring_sqe_set_data64(slot, 0);
        queue->listening = true;
    }
}

static uint64_t uring_queue_written(const struct io_operation *operation)
{
    return operation->progress & URING_QUEUE_BYTES;
}

static void uring_queue_put_sync(struct uring_queue *queue, struct io_operation *operation)
{
    struct io_uring_sqe *slot = uring_queue_slot(queue);
    /* As file_sync: with the size, without times. */
    io_uring_prep_fsync(slot, kernel_file_descriptor(operation->file), IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data64(slot, (uint64_t)(uintptr_t)operation | URING_QUEUE_SYNC_TAG);
    operation->progress |= URING_QUEUE_SYNCING;
    queue->has_news = true;
}

/* What is left of a write. flags: IOSQE_ASYNC or 0. */
static void uring_queue_put_write(struct uring_queue *queue, struct io_operation *operation, unsigned flags)
{
    struct io_uring_sqe *slot = uring_queue_slot(queue);
    uint64_t written = uring_queue_written(operation);
    uint64_t left = operation->size - written;
    unsigned size = left < URING_QUEUE_WRITE_SIZE_MAX ? (unsigned)left : URING_QUEUE_WRITE_SIZE_MAX;
    io_uring_prep_write(slot, kernel_file_descriptor(operation->file), (const uint8_t *)operation->data + written, size,
                        operation->offset + written);
    io_uring_sqe_set_data64(slot, (uint64_t)(uintptr_t)operation);
    operation->progress &= ~URING_QUEUE_SYNCED;
    operation->progress |= URING_QUEUE_WRITING;
    queue->has_news = true;
    if (operation->kind == IO_WRITE_DURABLE && file_is_direct(operation->file)) {
        io_uring_sqe_set_flags(slot, flags | IOSQE_IO_LINK);
        uring_queue_put_sync(queue, operation);
    } else {
        io_uring_sqe_set_flags(slot, flags);
        slot->rw_flags = operation->kind == IO_WRITE_DURABLE ? RWF_DSYNC : 0;
    }
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
    queue->has_news = false;
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
        workers_submit_work(&queue->work, &queue->background, operation);
        queue->work_in_flight++;
    } else if (operation->kind == IO_SYNC) {
        uring_queue_put_sync(queue, operation);
    } else {
        kernel_file_check_aligned(operation->file, operation->offset, operation->data, operation->size);
        uring_queue_put_write(queue, operation, 0);
    }
    queue->in_flight++;
    return 0;
}

static int uring_queue_flush(struct io_queue *base)
{
    return uring_queue_push(uring_queue_of(base));
}

/* ---- out of the ring ---- */

static void uring_queue_fail_write(struct io_operation *operation, int error_number)
{
    uint64_t offset = operation->offset + uring_queue_written(operation);
    operation->result =
        kernel_error(error_number, "write %.600s at %" PRIu64, kernel_file_path(operation->file), offset);
    error_text_copy(operation->text, sizeof(operation->text));
}

static void uring_queue_on_written(struct io_operation *operation, int result)
{
    operation->progress &= ~URING_QUEUE_WRITING;
    if (result == -EINTR) {
        return; /* nothing was written; what is left goes again */
    }
    if (result == -EAGAIN && (operation->progress & URING_QUEUE_RETRIED) == 0) {
        operation->progress |= URING_QUEUE_RETRIED;
        return;
    }
    if (result > 0 && file_is_direct(operation->file)) {
        result -= result % (int)IO_BLOCK_SIZE; /* direct I/O goes on at a block's start only */
    }
    if (result > 0) {
        operation->progress += (uint64_t)result;
    } else {
        uring_queue_fail_write(operation, result == 0 ? EIO : -result);
    }
}

/* A sync counts when the write before it was over: a chain that the kernel took in two parts is no chain. One that was
 * cancelled never ran. */
static void uring_queue_on_synced(struct io_operation *operation, int result)
{
    operation->progress &= ~URING_QUEUE_SYNCING;
    if (result == 0 && (operation->progress & URING_QUEUE_WRITING) == 0) {
        operation->progress |= URING_QUEUE_SYNCED;
    } else if (result < 0 && (result != -ECANCELED || operation->kind == IO_SYNC) && operation->result == 0) {
        operation->result = kernel_error(-result, "sync %.600s", kernel_file_path(operation->file));
        error_text_copy(operation->text, sizeof(operation->text));
    }
}

/* True when the operation is over; false when some of it is in the ring, perhaps anew. */
static bool uring_queue_go_on(struct uring_queue *queue, struct io_operation *operation)
{
    if ((operation->progress & (URING_QUEUE_WRITING | URING_QUEUE_SYNCING)) != 0) {
        return false;
    }
    if (operation->result < 0 || operation->kind == IO_SYNC) {
        return true;
    }
    if (uring_queue_written(operation) < operation->size) {
        bool was_refused = (operation->progress & URING_QUEUE_RETRIED) != 0;
        /* A kernel thread may block where the ring must not. */
        uring_queue_put_write(queue, operation, was_refused ? IOSQE_ASYNC : 0);
        return false;
    }
    bool needs_sync = operation->kind == IO_WRITE_DURABLE && file_is_direct(operation->file);
    if (needs_sync && (operation->progress & URING_QUEUE_SYNCED) == 0) {
        uring_queue_put_sync(queue, operation);
        return false;
    }
    return true;
}

static unsigned uring_queue_collect_ring(struct uring_queue *queue, struct list *done)
{
    struct io_uring_cqe *entry = NULL;
    unsigned count = 0;
    uint64_t now_ns = 0;
    while (io_uring_peek_cqe(&queue->ring, &entry) == 0) {
        uint64_t data = io_uring_cqe_get_data64(entry);
        int result = entry->res;
        io_uring_cqe_seen(&queue->ring, entry);
        if (data == 0) {
            queue->listening = false;
            continue;
        }
        struct io_operation *operation = (struct io_operation *)(uintptr_t)(data & ~(uint64_t)URING_QUEUE_SYNC_TAG);
        if ((data & URING_QUEUE_SYNC_TAG) != 0) {
            uring_queue_on_synced(operation, result);
        } else {
            uring_queue_on_written(operation, result);
        }
        if (uring_queue_go_on(queue, operation)) {
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
    uring_queue_listen(queue);
    /* An owner who polls may wait on the descriptor next, which has to hear the bell then. For one who waits here the
     * standing read goes along with whatever is pushed next. A failure is not lost: what the kernel did not take stays
     * prepared. */
    if (timeout_ns == 0 || queue->has_news) {
        (void)uring_queue_push(queue);
    }
    return count;
}

static int uring_queue_descriptor(struct io_queue *base)
{
    struct uring_queue *queue = uring_queue_of(base);
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
    workers_close(&queue->background);
    /* The standing read writes into our memory: it has to be over before that is freed. */
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

int uring_queue_probe(void)
{
    struct io_uring ring;
    int rc = io_uring_queue_init(1, &ring, 0);
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
    /* Without COOP_TASKRUN: the linked sync starts from the submitter's context, and must not wait until an owner who
     * is busy enters the kernel by itself. */
    rc = io_uring_queue_init(2 * depth + 1, &queue->ring, 0);
    if (rc != 0) {
        rc = kernel_error(-rc, "open an io_uring for %u operations", depth);
        bell_close(&queue->bell);
        free(queue);
        return rc;
    }
    mailbox_init(&queue->done, bell_ring, &queue->bell);
    unsigned work = depth < WORKERS_WORK_THREADS_MAX ? depth : WORKERS_WORK_THREADS_MAX;
    workers_init(&queue->work, "hf-work", work, &queue->done);
    workers_init_background(&queue->background, "hf-background", work, &queue->done);
    rc = workers_start(&queue->work);
    if (rc != 0) {
        uring_queue_close(&queue->queue);
        return rc;
    }
    uring_queue_listen(queue);
    *out = &queue->queue;
    return 0;
}
