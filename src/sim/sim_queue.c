#include "sim/sim_queue.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "sim/sim_fault.h"
#include "sim/sim_file.h"
#include "sim/sim_watch.h"

#define SIM_QUEUE_LATE_MAX_NS (200u * SIM_NS_PER_MS) /* how long after a kill a write may still land */

static const struct io_queue_ops sim_queue_ops;

static struct sim_queue *sim_queue_of(struct io_queue *queue)
{
    return list_entry(queue, struct sim_queue, queue);
}

int sim_queue_open(struct io *io, unsigned depth, struct io_queue **out)
{
    struct sim_process *process = list_entry(io, struct sim_process, io);
    if (process->dead) {
        return sim_host_raise_closed(process, "io_queue_open");
    }
    if (depth == 0) {
        return error_raise(HF_EINVALID, "a queue of depth 0");
    }
    struct sim_queue *queue = memory_new(sizeof(*queue));
    queue->queue.ops = &sim_queue_ops;
    queue->process = process;
    queue->depth = depth;
    list_init(&queue->requests);
    list_init(&queue->completed);
    list_append(&process->queues, &queue->link);
    process->handle_count++;
    *out = &queue->queue;
    return 0;
}

bool sim_queue_has_completed(const struct sim_queue *queue)
{
    return !list_empty(&queue->completed);
}

/* ---- completing ---- */

static void sim_queue_complete_operation(struct sim_queue *queue, struct io_operation *operation, int rc)
{
    operation->result = rc;
    operation->completed_ns = sim_host_monotonic_ns(queue->process->host);
    if (rc < 0) {
        snprintf(operation->text, sizeof(operation->text), "%s", hf_error_text());
    }
    list_append(&queue->completed, &operation->link);
    if (queue->watch != NULL) {
        sim_watch_notify(queue->watch);
    }
}

static void sim_queue_free_request(struct sim_request *request)
{
    sim_unschedule(request->disk->sim, &request->event);
    list_remove(&request->link);
    list_remove(&request->queue_link);
    free(request->orphan_data);
    free(request);
}

static void sim_queue_end_request(struct sim_request *request)
{
    struct sim_inode *inode = request->inode;
    sim_queue_free_request(request);
    if (inode != NULL) {
        sim_inode_drop_live(inode);
    }
}

static const void *sim_queue_data(const struct sim_request *request)
{
    return request->orphan_data != NULL ? request->orphan_data : request->operation->data;
}

/* Does what a write or a sync does, and returns its result. */
static int sim_queue_carry_out(struct sim_request *request)
{
    if (request->kind == IO_SYNC) {
        return sim_file_carry_out_sync(request->inode, request->covers, request->admission);
    }
    const void *data = sim_queue_data(request);
    assert(hash_xxh3_64(bytes_of(data, request->size), 0) == request->digest &&
           "the memory of a write changed while it was in flight");
    enum sim_write_kind kind = request->kind == IO_WRITE_DURABLE ? SIM_WRITE_DURABLE : SIM_WRITE_PLAIN;
    return sim_file_carry_out_write(request->inode, kind, request->offset, data, request->size, request->admission);
}

static void sim_queue_trace(const struct sim_request *request, const char *what)
{
    struct sim_disk *disk = request->disk;
    const char *path = request->inode != NULL ? request->inode->path : "work";
    sim_trace(disk->sim, disk->host, "%s %s %" PRIu64 "+%zu", what, path, request->offset, request->size);
}

static void sim_queue_land(struct sim_request *request)
{
    struct sim_queue *queue = request->queue;
    struct io_operation *operation = request->operation;
    int rc = 0;
    sim_queue_trace(request, "complete");
    if (request->kind == IO_WORK) {
        sim_queue_end_request(request);  /* first: what it does may end the process or take the power */
        (void)error_restore(HF_EIO, ""); /* work that fails without a word is not explained by somebody else's */
        rc = operation->work(operation->arg);
    } else {
        rc = sim_queue_carry_out(request);
        sim_queue_end_request(request);
    }
    sim_queue_complete_operation(queue, operation, rc);
}

static void sim_queue_run(struct sim_event *event)
{
    struct sim_request *request = list_entry(event, struct sim_request, event);
    struct sim_host *host = request->disk->host;
    if (request->queue == NULL) {
        sim_queue_trace(request, "late");
        sim_fault_happened(host->sim, SIM_FAULT_LATE_WRITE);
        sim_queue_carry_out(request);
        sim_queue_end_request(request);
    } else if (request->kind == IO_WORK && host->paused_until_ns > host->sim->now_ns) {
        sim_schedule(host->sim, event, host->paused_until_ns);
    } else {
        sim_queue_land(request);
    }
}

/* ---- submitting ---- */

static uint64_t sim_queue_completion_ns(struct sim_disk *disk, enum io_operation_kind kind)
{
    struct sim *sim = disk->sim;
    struct sim_span span = sim->profile.write_ns;
    if (kind == IO_SYNC) {
        span = sim->profile.sync_ns;
    } else if (kind == IO_WORK) {
        span = sim->profile.work_ns;
    }
    uint64_t duration_ns = sim_draw(sim, span);
    if (kind != IO_WORK && sim_chance(sim, sim->profile.stall_ppm)) {
        duration_ns = sim_draw(sim, sim->profile.stall_ns);
        sim_fault_happened(sim, SIM_FAULT_STALL);
    }
    uint64_t from_ns = sim->now_ns;
    if (kind != IO_WORK && disk->stall_until_ns > from_ns) {
        from_ns = disk->stall_until_ns;
    }
    return from_ns + duration_ns;
}

static struct sim_request *sim_queue_new_request(struct sim_queue *queue, struct io_operation *operation)
{
    struct sim_disk *disk = &queue->process->host->disk;
    struct sim_request *request = memory_new(sizeof(*request));
    request->event.run = sim_queue_run;
    request->queue = queue;
    request->operation = operation;
    request->kind = operation->kind;
    request->disk = disk;
    list_init(&request->link);
    list_append(&queue->requests, &request->queue_link);
    if (operation->kind == IO_WORK) {
        return request;
    }
    request->inode = list_entry(operation->file, struct sim_file, file)->inode;
    sim_inode_add_live(request->inode);
    list_append(&disk->requests, &request->link);
    request->covers = disk->write_last;
    if (operation->kind != IO_SYNC) {
        request->offset = operation->offset;
        request->size = operation->size;
        request->digest = hash_xxh3_64(bytes_of(operation->data, operation->size), 0);
    }
    return request;
}

static enum sim_disk_kind sim_queue_disk_kind(enum io_operation_kind kind)
{
    switch (kind) {
    case IO_WRITE:
        return SIM_DISK_WRITE;
    case IO_WRITE_DURABLE:
        return SIM_DISK_DURABLE;
    default:
        return SIM_DISK_SYNC;
    }
}

/* 0, or why the operation cannot even start. */
static int sim_queue_check(const struct sim_queue *queue, const struct io_operation *operation)
{
    if (queue->process->dead) {
        return sim_host_raise_closed(queue->process, "io_queue_submit");
    }
    if (queue->process->host->state != SIM_HOST_RUNNING) {
        return error_raise(HF_EIO, "io_queue_submit: the power is gone");
    }
    if (operation->kind == IO_WORK) {
        return 0;
    }
    const struct sim_file *file = list_entry(operation->file, struct sim_file, file);
    assert(file->process == queue->process && file->inode != NULL);
    return operation->kind == IO_SYNC ? 0
                                      : sim_file_check_write(file, operation->offset, operation->data, operation->size);
}

static int sim_queue_submit(struct io_queue *base, struct io_operation *operation)
{
    struct sim_queue *queue = sim_queue_of(base);
    if (queue->in_flight >= queue->depth) {
        return error_raise(HF_EBUSY, "%u operations are in flight", queue->in_flight);
    }
    queue->in_flight++;
    operation->submitted_ns = sim_host_monotonic_ns(queue->process->host);
    operation->result = 0;
    operation->text[0] = '\0';
    int rc = sim_queue_check(queue, operation);
    if (rc != 0) {
        sim_queue_complete_operation(queue, operation, rc);
        return 0;
    }
    struct sim_request *request = sim_queue_new_request(queue, operation);
    struct sim_disk *disk = request->disk;
    if (request->inode != NULL) {
        request->admission = sim_disk_admit(disk, sim_queue_disk_kind(request->kind), request->inode->path,
                                            request->offset, request->size);
    }
    sim_schedule(disk->sim, &request->event, sim_queue_completion_ns(disk, request->kind));
    if (request->admission.verdict == SIM_VERDICT_DURING || request->admission.verdict == SIM_VERDICT_AFTER) {
        sim_host_take_power(disk->host); /* with this one in flight */
    }
    return 0;
}

static int sim_queue_flush(struct io_queue *base)
{
    return 0; /* everything starts when it is submitted */
}

/* The wait is the simulator's: whoever wants to wait runs events. */
static unsigned sim_queue_reap(struct io_queue *base, struct list *done, uint64_t timeout_ns)
{
    struct sim_queue *queue = sim_queue_of(base);
    unsigned count = 0;
    list_each (&queue->completed, item) {
        count++;
    }
    list_splice(done, &queue->completed);
    queue->in_flight -= count;
    return count;
}

static int sim_queue_descriptor(struct io_queue *base)
{
    return -1;
}

static void sim_queue_wake(struct io_queue *base)
{
    struct sim_queue *queue = sim_queue_of(base);
    if (queue->watch != NULL) {
        sim_watch_notify(queue->watch);
    }
}

/* ---- ending ---- */

void sim_queue_free(struct sim_queue *queue)
{
    list_each_safe (&queue->requests, item) {
        sim_queue_end_request(list_entry(item, struct sim_request, queue_link));
    }
    if (queue->watch != NULL) {
        sim_watch_forget_queue(queue->watch);
    }
    list_remove(&queue->link);
    queue->process->handle_count--;
    free(queue);
}

static void sim_queue_close(struct io_queue *base)
{
    struct sim_queue *queue = sim_queue_of(base);
    while (!list_empty(&queue->requests)) { /* "waits for what is in flight" */
        sim_queue_land(list_entry(queue->requests.next, struct sim_request, queue_link));
    }
    sim_queue_free(queue);
}

void sim_queue_half_land(struct sim_request *request)
{
    struct sim_queue *queue = request->queue;
    struct io_operation *operation = request->operation;
    struct sim_inode *inode = request->inode;
    bool is_write = request->kind == IO_WRITE || request->kind == IO_WRITE_DURABLE;
    if (is_write && request->admission.error != HF_ENOSPACE && request->offset <= SIM_FILE_SIZE_MAX &&
        request->size <= SIM_FILE_SIZE_MAX - request->offset) {
        sim_queue_trace(request, "in flight at power loss");
        sim_inode_write(inode, sim_disk_next_write(request->disk), request->offset, sim_queue_data(request),
                        request->size);
    }
    sim_queue_end_request(request);
    if (queue != NULL) {
        sim_queue_complete_operation(queue, operation, error_raise(HF_EIO, "the power is gone"));
    }
}

/* Keeps a write for later: the owner's memory may be gone by then. */
static void sim_queue_orphan(struct sim_request *request)
{
    struct sim *sim = request->disk->sim;
    request->orphan_data = memory_new(request->size);
    memcpy(request->orphan_data, request->operation->data, request->size);
    request->queue = NULL;
    request->operation = NULL;
    list_remove(&request->queue_link);
    sim_schedule(sim, &request->event, sim->now_ns + rng_below(&sim->rng, SIM_QUEUE_LATE_MAX_NS));
}

/* The kernel goes on without the process, or not. */
static void sim_queue_abandon(struct sim_request *request)
{
    uint64_t fate = rng_below(&request->disk->sim->rng, 3);
    bool is_write = request->kind == IO_WRITE || request->kind == IO_WRITE_DURABLE;
    if (is_write && fate == 2) {
        sim_queue_orphan(request);
        return;
    }
    if (request->kind != IO_WORK && fate == 1) {
        sim_queue_carry_out(request);
    }
    sim_queue_end_request(request);
}

void sim_queue_end(struct sim_queue *queue)
{
    list_each_safe (&queue->requests, item) {
        struct sim_request *request = list_entry(item, struct sim_request, queue_link);
        struct io_operation *operation = request->operation;
        sim_queue_abandon(request);
        sim_queue_complete_operation(queue, operation, sim_host_raise_closed(queue->process, "operation in flight"));
    }
}

void sim_queue_free_requests(struct sim_disk *disk)
{
    list_each_safe (&disk->requests, item) {
        sim_queue_free_request(list_entry(item, struct sim_request, link));
    }
}

static const struct io_queue_ops sim_queue_ops = {
    .close = sim_queue_close,
    .submit = sim_queue_submit,
    .flush = sim_queue_flush,
    .reap = sim_queue_reap,
    .descriptor = sim_queue_descriptor,
    .wake = sim_queue_wake,
};
