#include "io/workers.h"

#include <assert.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "io/kernel.h"
#include "io/thread.h"

void workers_init(struct workers *workers, const char *name, unsigned thread_count_max, struct mailbox *done)
{
    assert(thread_count_max >= 1 && thread_count_max <= WORKERS_WRITE_THREADS_MAX);
    *workers = (struct workers){.name = name, .thread_count_max = thread_count_max, .done = done};
    mutex_init(&workers->mutex);
    condition_init(&workers->ready);
    list_init(&workers->waiting);
}

static _Thread_local bool workers_is_lowered;
static _Thread_local uint64_t workers_rested_ns; /* when this thread rested last */

void workers_init_background(struct workers *workers, const char *name, unsigned thread_count_max, struct mailbox *done)
{
    workers_init(workers, name, thread_count_max, done);
    workers->is_background = true;
}

/* A thread's own niceness (Linux: of the thread, not the process). Where it is refused the work is only less polite. */
static void workers_lower(void)
{
    id_t self = (id_t)gettid();
    workers_is_lowered = true;
    /* From the process's own, not from that of whoever started this thread: that one may be lowered already. */
    int process_nice = getpriority(PRIO_PROCESS, (id_t)getpid());
    (void)setpriority(PRIO_PROCESS, self, process_nice + WORKERS_BACKGROUND_NICE);
    (void)prctl(PR_SET_TIMERSLACK, 1000ul); /* of nanoseconds: by default a rest takes twice as long as it should */
}

void workers_give_way(void)
{
    if (!workers_is_lowered || kernel_monotonic_ns() - workers_rested_ns < WORKERS_STRETCH_NS) {
        return;
    }
    struct timespec rest = {.tv_nsec = WORKERS_REST_NS};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
    workers_rested_ns = kernel_monotonic_ns();
}

static int workers_perform(struct io_operation *operation)
{
    switch (operation->kind) {
    case IO_WRITE:
        return file_write(operation->file, operation->offset, operation->data, operation->size);
    case IO_WRITE_DURABLE:
        return file_write_durable(operation->file, operation->offset, operation->data, operation->size);
    case IO_SYNC:
        return file_sync(operation->file);
    case IO_WORK:
        /* An error of earlier work must not explain this one's. */
        (void)error_restore(HF_EIO, "");
        return operation->work(operation->arg);
    }
    assert(!"a kind of operation");
    return HF_EINVALID;
}

void workers_run_here(struct workers *workers, struct io_operation *operation)
{
    operation->result = workers_perform(operation);
    if (operation->result < 0) {
        error_text_copy(operation->text, sizeof(operation->text));
        if (operation->text[0] == '\0') {
            snprintf(operation->text, sizeof(operation->text), "%s", hf_error_name(operation->result));
        }
    }
    operation->completed_ns = kernel_monotonic_ns();
    mailbox_send(workers->done, &operation->link);
}

static void *workers_run(void *arg)
{
    struct workers *workers = arg;
    if (workers->is_background) {
        workers_lower();
    }
    mutex_lock(&workers->mutex);
    for (;;) {
        while (list_empty(&workers->waiting) && !workers->closing) {
            condition_wait(&workers->ready, &workers->mutex);
        }
        if (list_empty(&workers->waiting)) {
            break;
        }
        struct list *first = workers->waiting.next;
        list_remove(first);
        workers->waiting_count--;
        workers->idle_count--;
        mutex_unlock(&workers->mutex);
        workers_run_here(workers, list_entry(first, struct io_operation, link));
        mutex_lock(&workers->mutex);
        workers->idle_count++;
    }
    mutex_unlock(&workers->mutex);
    return NULL;
}

int workers_start(struct workers *workers)
{
    int rc = thread_start(workers->name, workers_run, workers, &workers->threads[workers->thread_count]);
    workers->thread_count += rc == 0;
    workers->idle_count += rc == 0;
    return rc;
}

int workers_submit(struct workers *workers, struct io_operation *operation)
{
    int rc = 0;
    mutex_lock(&workers->mutex);
    assert(!workers->closing);
    if (workers->waiting_count >= workers->idle_count && workers->thread_count < workers->thread_count_max) {
        rc = workers_start(workers);
        rc = workers->thread_count > 0 ? 0 : rc; /* slower, but those that run will come to it */
    }
    if (rc == 0) {
        list_append(&workers->waiting, &operation->link);
        workers->waiting_count++;
        condition_signal(&workers->ready);
    }
    mutex_unlock(&workers->mutex);
    return rc;
}

void workers_submit_work(struct workers *work, struct workers *background, struct io_operation *operation)
{
    int rc = operation->is_background ? workers_submit(background, operation) : HF_ENOMEM;
    if (rc != 0) {
        rc = workers_submit(work, operation);
        assert(rc == 0); /* it was started */
    }
}

void workers_close(struct workers *workers)
{
    mutex_lock(&workers->mutex);
    workers->closing = true;
    condition_broadcast(&workers->ready);
    mutex_unlock(&workers->mutex);
    for (unsigned i = 0; i < workers->thread_count; i++) {
        int rc = pthread_join(workers->threads[i], NULL);
        assert(rc == 0); /* a worker must not close its own queue */
        (void)rc;
    }
    condition_close(&workers->ready);
    mutex_close(&workers->mutex);
}
