/* Dispatch: the seam's functions call the implementation behind the loop, stream or listener. */
#include "net/loop.h"

#include <stddef.h>

#include "base/error.h"

void loop_close(struct loop *loop)
{
    if (loop != NULL) {
        loop->ops->close(loop);
    }
}

void loop_run(struct loop *loop)
{
    loop->ops->run(loop);
}
void loop_stop(struct loop *loop)
{
    loop->ops->stop(loop);
}
uint64_t loop_now_ms(struct loop *loop)
{
    return loop->ops->now_ms(loop);
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ms)
{
    loop->ops->timer_set(loop, timer, deadline_ms);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    loop->ops->timer_stop(loop, timer);
}
void loop_add_turn_end(struct loop *loop, struct loop_hook *hook)
{
    loop->ops->add_turn_end(loop, hook);
}
void loop_remove_turn_end(struct loop *loop, struct loop_hook *hook)
{
    loop->ops->remove_turn_end(loop, hook);
}
void loop_send(struct loop *loop)
{
    loop->ops->send(loop);
}

int loop_watch_queue(struct loop *loop, struct io_queue *queue, void (*ready)(void *arg), void *arg,
                     struct loop_watch **out)
{
    return loop->ops->watch_queue(loop, queue, ready, arg, out);
}

int loop_watch_descriptor(struct loop *loop, int descriptor, void (*ready)(void *arg), void *arg,
                          struct loop_watch **out)
{
    if (loop->ops->watch_descriptor == NULL) {
        return error_raise(HF_EUNSUPPORTED, "this loop cannot watch a descriptor");
    }
    return loop->ops->watch_descriptor(loop, descriptor, ready, arg, out);
}

void loop_watch_close(struct loop *loop, struct loop_watch *watch)
{
    if (watch != NULL) {
        loop->ops->watch_close(loop, watch);
    }
}

void loop_post(struct loop *loop, void (*call)(void *arg), void *arg)
{
    loop->ops->post(loop, call, arg);
}

int stream_connect(struct loop *loop, const char *address, const struct stream_callbacks *callbacks, void *arg,
                   struct stream **out)
{
    return loop->ops->connect(loop, address, callbacks, arg, out);
}

void stream_set_callbacks(struct stream *stream, const struct stream_callbacks *callbacks, void *arg)
{
    stream->ops->set_callbacks(stream, callbacks, arg);
}

void stream_write(struct stream *stream, struct hf_bytes bytes)
{
    stream->ops->write(stream, bytes);
}
size_t stream_unsent_bytes(const struct stream *stream)
{
    return stream->ops->unsent_bytes(stream);
}
void stream_pause(struct stream *stream)
{
    stream->ops->pause(stream);
}
void stream_resume(struct stream *stream)
{
    stream->ops->resume(stream);
}
void stream_close_when_sent(struct stream *stream)
{
    stream->ops->close_when_sent(stream);
}

void stream_close(struct stream *stream)
{
    if (stream != NULL) {
        stream->ops->close(stream);
    }
}

const char *stream_peer_address(const struct stream *stream)
{
    return stream->ops->peer_address(stream);
}

int listener_open(struct loop *loop, const char *address, void (*accepted)(void *arg, struct stream *stream), void *arg,
                  struct listener **out)
{
    return loop->ops->listen(loop, address, accepted, arg, out);
}

const char *listener_address(const struct listener *listener)
{
    return listener->ops->address(listener);
}

void listener_close(struct listener *listener)
{
    if (listener != NULL) {
        listener->ops->close(listener);
    }
}
