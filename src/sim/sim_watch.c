#include "sim/sim_watch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_loop.h"
#include "sim/sim_queue.h"

struct loop_watch {
    struct list link; /* the loop's */
    struct sim_loop *loop;
    struct sim_queue *queue; /* NULL once closed */
    struct sim_ready ready;
    void (*call)(void *arg);
    void *arg;
    bool in_call; /* the callback runs: the memory stays until it returns */
    bool closed;
};

struct loop_watch *sim_watch_entry(struct list *link)
{
    return list_entry(link, struct loop_watch, link);
}

static void sim_watch_call(struct sim_ready *ready)
{
    struct loop_watch *watch = list_entry(ready, struct loop_watch, ready);
    watch->in_call = true;
    watch->call(watch->arg);
    watch->in_call = false;
    if (watch->closed) {
        free(watch);
    } else if (watch->queue != NULL && sim_queue_has_completed(watch->queue)) { /* level-triggered */
        sim_loop_add_ready(watch->loop, &watch->ready);
    }
}

int sim_watch_open(struct loop *base, struct io_queue *queue, void (*call)(void *arg), void *arg,
                   struct loop_watch **out)
{
    struct sim_loop *loop = sim_loop_of(base);
    if (loop->process->dead) {
        return sim_host_raise_closed(loop->process, "loop_watch_queue");
    }
    struct loop_watch *watch = memory_new(sizeof(*watch));
    watch->loop = loop;
    watch->queue = list_entry(queue, struct sim_queue, queue);
    watch->call = call;
    watch->arg = arg;
    sim_loop_init_ready(&watch->ready, sim_watch_call);
    assert(watch->queue->watch == NULL && watch->queue->process == loop->process);
    watch->queue->watch = watch;
    list_append(&loop->watches, &watch->link);
    loop->process->handle_count++;
    *out = watch;
    if (sim_queue_has_completed(watch->queue)) {
        sim_watch_notify(watch);
    }
    return 0;
}

void sim_watch_free(struct loop_watch *watch)
{
    if (watch->queue != NULL) {
        watch->queue->watch = NULL;
    }
    list_remove(&watch->ready.link);
    list_remove(&watch->link);
    watch->loop->process->handle_count--;
    watch->closed = true;
    if (!watch->in_call) {
        free(watch);
    }
}

void sim_watch_close(struct loop *base, struct loop_watch *watch)
{
    if (watch != NULL) {
        sim_watch_free(watch);
    }
}

void sim_watch_notify(struct loop_watch *watch)
{
    sim_loop_add_ready(watch->loop, &watch->ready);
}

void sim_watch_forget_queue(struct loop_watch *watch)
{
    watch->queue = NULL;
}
