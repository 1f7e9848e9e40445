#include "net/watch_uv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"

struct loop_watch {
    uv_poll_t poll;
    struct loop_uv *loop;
    void (*ready)(void *arg);
    void *arg;
};

/* An error of the descriptor is handed out too: whoever reaps or reads meets it there. */
static void watch_uv_on_ready(uv_poll_t *poll, int status, int events)
{
    struct loop_watch *watch = poll->data;
    watch->loop->busy = true;
    watch->ready(watch->arg);
}

static void watch_uv_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

int watch_uv_descriptor(struct loop *base, int descriptor, void (*ready)(void *arg), void *arg, struct loop_watch **out)
{
    struct loop_uv *loop = loop_uv_of(base);
    struct loop_watch *watch = memory_new(sizeof(*watch));
    watch->loop = loop;
    watch->ready = ready;
    watch->arg = arg;
    watch->poll.data = watch;
    int status = uv_poll_init(&loop->uv, &watch->poll, descriptor);
    if (status != 0) {
        free(watch);
        return loop_uv_error(status, "watch descriptor %d", descriptor);
    }
    status = uv_poll_start(&watch->poll, UV_READABLE, watch_uv_on_ready);
    assert(status == 0); /* only a handle that is closing is refused */
    loop->handle_count++;
    *out = watch;
    return 0;
}

int watch_uv_queue(struct loop *base, struct io_queue *queue, void (*ready)(void *arg), void *arg,
                   struct loop_watch **out)
{
    int descriptor = io_queue_descriptor(queue);
    if (descriptor < 0) {
        return error_raise(HF_EUNSUPPORTED, "the queue has no descriptor: it belongs to a simulator's loop");
    }
    return watch_uv_descriptor(base, descriptor, ready, arg, out);
}

void watch_uv_close(struct loop *base, struct loop_watch *watch)
{
    loop_uv_of(base)->handle_count--;
    uv_close((uv_handle_t *)&watch->poll, watch_uv_on_closed); /* takes the descriptor out of the poll set at once */
}
