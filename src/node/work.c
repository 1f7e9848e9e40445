#include "node/work.h"

#include <assert.h>
#include <stddef.h>

#include "base/error.h"

static void work_pump(struct work *work)
{
    while (work->in_flight < WORK_IN_FLIGHT_MAX && !list_empty(&work->waiting)) {
        struct work_item *item = list_entry(work->waiting.next, struct work_item, waiting);
        list_remove(&item->waiting);
        item->operation = (struct io_operation){
            .kind = IO_WORK, .work = item->run, .arg = item->arg, .user = item, .is_background = true};
        if (io_queue_submit(work->queue, &item->operation) != 0) {
            return; /* the process is dead: nothing is done any more */
        }
        work->in_flight++;
    }
    (void)io_queue_flush(work->queue);
}

static void work_ready(void *arg)
{
    struct work *work = arg;
    struct list done;
    list_init(&done);
    work->in_flight -= io_queue_reap(work->queue, &done, 0);
    list_each_safe (&done, link) {
        struct io_operation *operation = list_entry(link, struct io_operation, link);
        struct work_item *item = operation->user;
        list_remove(link);
        item->is_busy = false;
        int result = operation->result;
        if (result != 0) {
            error_restore(result, operation->text);
        }
        item->done(item->arg, result);
    }
    work_pump(work);
}

int work_open(struct io *io, struct loop *loop, struct work *work)
{
    *work = (struct work){.loop = loop};
    list_init(&work->waiting);
    int rc = io_queue_open(io, WORK_IN_FLIGHT_MAX, &work->queue);
    if (rc == 0) {
        rc = loop_watch_queue(loop, work->queue, work_ready, work, &work->watch);
    }
    return rc;
}

void work_close(struct work *work)
{
    if (work->watch != NULL) {
        loop_watch_close(work->loop, work->watch);
    }
    io_queue_close(work->queue);
    *work = (struct work){0};
}

void work_start(struct work *work, struct work_item *item, int (*run)(void *arg), void (*done)(void *arg, int result),
                void *arg)
{
    assert(!item->is_busy);
    item->is_busy = true;
    item->run = run;
    item->done = done;
    item->arg = arg;
    list_init(&item->waiting);
    list_append(&work->waiting, &item->waiting);
    work_pump(work);
}
