/* The libuv loop, shared by its files: loop_uv.c (turns, timers, watches, posts), stream_uv.c, listener_uv.c. */
#ifndef NET_LOOP_UV_H
#define NET_LOOP_UV_H

#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "net/loop.h"

#define LOOP_UV_READ_SIZE (64u * 1024u)

struct loop_uv {
    struct loop base;
    uv_loop_t uv;
    struct io *io;
    uv_prepare_t prepare; /* libuv runs timers before it polls: their turn ends here … */
    uv_check_t check;     /* … and the turn of what polling handed out ends here */
    uv_timer_t timer;     /* armed for the first of `timers` */
    uv_async_t async;
    struct heap timers;
    struct mailbox posts;
    struct list deferred; /* streams that have something to report in the next turn */
    struct list unsent;   /* streams with gathered bytes */
    struct loop_hook *hooks;
    bool turn_has_work; /* a callback ran since the last turn's end */
    char read_buffer[LOOP_UV_READ_SIZE];
};

static inline struct loop_uv *loop_uv_of(struct loop *loop)
{
    return (struct loop_uv *)(void *)loop;
}

int stream_uv_connect(struct loop *loop, const char *address, const struct stream_callbacks *callbacks, void *arg,
                      struct stream **out);
/* Takes a connection from a listening handle; NULL when that failed. */
struct stream *stream_uv_accept(struct loop_uv *loop, uv_stream_t *listening);
/* Starts reading, once the acceptor has set its callbacks. */
void stream_uv_start(struct stream *stream);
/* Hands out what streams deferred, and sends what they gathered. */
void stream_uv_report_deferred(struct loop_uv *loop);
void stream_uv_flush_all(struct loop_uv *loop);

int listener_uv_open(struct loop *loop, const char *address, void (*accepted)(void *arg, struct stream *stream),
                     void *arg, struct listener **out);

/* "host:port", "[v6]:port" → host and port text. HF_EINVALID. */
int loop_uv_split_address(const char *address, char *host, size_t host_size, char *port, size_t port_size);
/* Raises the error of a libuv status (negative). */
int loop_uv_error(int status, const char *what, const char *address);
void loop_uv_address_text(const struct sockaddr *address, char *text, size_t size);

#endif
