/* Turns on libuv.
 *
 * One iteration of uv_run is one turn. libuv polls and calls back (reads, writes, watches, posts); then our check
 * handle hands out the rest (deferred reports, timers that are due), calls the turn-end hooks, and sends what streams
 * gathered:
 *
 *   prepare ─ block ─ poll callbacks ─ check: events → timers → hooks → flush ─┐
 *      ↑───────────────────────────────────────────────────────────────────────┘
 *
 * libuv also calls back before prepare (writes and connects that finished at once). Such a callback, and whatever the
 * end of a turn leaves behind, sets `busy` or fills a list; prepare then does not block, so that another end of turn
 * follows at once. Timers live in our own heap and fire in check only: libuv has moved its timers within the iteration
 * between versions, and one place keeps their order with everything else. */
#include "net/loop_uv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "net/connect_uv.h"
#include "net/listener_uv.h"
#include "net/stream_uv.h"
#include "net/watch_uv.h"

#define LOOP_UV_NS_PER_MS UINT64_C(1000000)

struct loop_uv_post {
    struct list link;
    void (*call)(void *arg);
    void *arg;
};

static const struct loop_ops loop_uv_ops;

struct loop_uv *loop_uv_of(struct loop *loop)
{
    assert(loop->ops == &loop_uv_ops);
    return (struct loop_uv *)loop;
}

/* ---- turns ---- */

static uint64_t loop_uv_read_clock_ms(struct loop_uv *loop)
{
    return io_monotonic_ns(loop->io) / LOOP_UV_NS_PER_MS;
}

static uint64_t loop_uv_now_ms(struct loop *base)
{
    struct loop_uv *loop = loop_uv_of(base);
    if (!loop->now_is_known) {
        loop->now_ms = loop_uv_read_clock_ms(loop);
        loop->now_is_known = true;
    }
    return loop->now_ms;
}

void loop_uv_defer(struct loop_uv *loop, struct loop_uv_event *event)
{
    if (list_empty(&event->link)) {
        list_append(&loop->events, &event->link);
    }
}

/* What the events defer waits for the next turn: they cannot hold the loop. */
static void loop_uv_run_events(struct loop_uv *loop)
{
    struct list events;
    list_init(&events);
    list_splice(&events, &loop->events);
    while (!list_empty(&events)) {
        struct loop_uv_event *event = list_entry(events.next, struct loop_uv_event, link);
        list_remove(&event->link);
        event->call(event->arg);
    }
}

static void loop_uv_run_hooks(struct loop_uv *loop)
{
    for (struct loop_hook *hook = loop->hooks; hook != NULL; hook = loop->hook_next) {
        loop->hook_next = hook->next;
        hook->call(hook->arg);
    }
    loop->hook_next = NULL;
}

static void loop_uv_flush(struct loop_uv *loop)
{
    while (!list_empty(&loop->unsent)) {
        struct stream_uv *stream = list_entry(loop->unsent.next, struct stream_uv, unsent_link);
        list_remove(&stream->unsent_link);
        stream_uv_flush(stream);
    }
}

static void loop_uv_send(struct loop *base)
{
    loop_uv_flush(loop_uv_of(base));
}

static void loop_uv_on_check(uv_check_t *handle)
{
    struct loop_uv *loop = handle->data;
    loop_uv_run_events(loop);
    timers_fire(&loop->timers, loop_uv_now_ms(&loop->loop));
    loop_uv_run_hooks(loop);
    loop->busy = false;
    loop_uv_flush(loop);
    loop->now_is_known = false;
}

static void loop_uv_on_wait_over(uv_timer_t *handle)
{
    /* It was there to end the blocking; check fires what is due. */
}

static void loop_uv_on_prepare(uv_prepare_t *handle)
{
    struct loop_uv *loop = handle->data;
    uint64_t deadline_ms = UINT64_MAX;
    if (loop->busy || !list_empty(&loop->events) || !list_empty(&loop->unsent)) {
        deadline_ms = 0;
    } else if (!timers_first(&loop->timers, &deadline_ms)) {
        uv_timer_stop(&loop->wait);
        return;
    }
    uint64_t now_ms = deadline_ms > 0 ? loop_uv_read_clock_ms(loop) : 0;
    uint64_t wait_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
    uv_timer_start(&loop->wait, loop_uv_on_wait_over, wait_ms, 0);
}

static void loop_uv_run(struct loop *base)
{
    struct loop_uv *loop = loop_uv_of(base);
    loop->now_is_known = false;
    loop->busy = true; /* what was set up outside gets its end of turn without waiting for an event */
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void loop_uv_stop(struct loop *base)
{
    uv_stop(&loop_uv_of(base)->uv);
}

static void loop_uv_add_turn_end(struct loop *base, struct loop_hook *hook)
{
    struct loop_hook **end = &loop_uv_of(base)->hooks;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    hook->next = NULL;
    *end = hook;
}

static void loop_uv_remove_turn_end(struct loop *base, struct loop_hook *hook)
{
    struct loop_uv *loop = loop_uv_of(base);
    if (loop->hook_next == hook) {
        loop->hook_next = hook->next;
    }
    for (struct loop_hook **at = &loop->hooks; *at != NULL; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            break;
        }
    }
    hook->next = NULL;
}

static void loop_uv_timer_set(struct loop *base, struct loop_timer *timer, uint64_t deadline_ms)
{
    timers_set(&loop_uv_of(base)->timers, timer, deadline_ms);
}

static void loop_uv_timer_stop(struct loop *base, struct loop_timer *timer)
{
    timers_stop(&loop_uv_of(base)->timers, timer);
}

/* ---- posts ---- */

/* Wakes the loop inside the lock: once the loop has taken a post, its sender has left the loop's memory alone, so the
 * post may lead to loop_close. */
static void loop_uv_post(struct loop *base, void (*call)(void *arg), void *arg)
{
    struct loop_uv *loop = loop_uv_of(base);
    struct loop_uv_post *post = memory_new(sizeof(*post));
    post->call = call;
    post->arg = arg;
    mutex_lock(&loop->mutex);
    bool was_empty = list_empty(&loop->posts);
    list_append(&loop->posts, &post->link);
    if (was_empty) {
        int status = uv_async_send(&loop->posted);
        assert(status == 0);
        (void)status;
    }
    mutex_unlock(&loop->mutex);
}

static bool loop_uv_run_posts(struct loop_uv *loop)
{
    struct list posts;
    list_init(&posts);
    mutex_lock(&loop->mutex);
    list_splice(&posts, &loop->posts);
    mutex_unlock(&loop->mutex);
    bool any = !list_empty(&posts);
    while (!list_empty(&posts)) {
        struct loop_uv_post *post = list_entry(posts.next, struct loop_uv_post, link);
        list_remove(&post->link);
        loop->busy = true;
        post->call(post->arg);
        free(post);
    }
    return any;
}

static void loop_uv_on_posted(uv_async_t *handle)
{
    (void)loop_uv_run_posts(handle->data);
}

/* ---- errors and addresses ---- */

int loop_uv_error(int status, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    switch (status) {
    case UV_EADDRINUSE:
        return error_raise(HF_EBUSY, "%s: the address is in use by another process", text);
    case UV_EAI_NONAME:
    case UV_EAI_NODATA:
        return error_raise(HF_ENOTFOUND, "%s: no such host", text);
    case UV_ETIMEDOUT:
        return error_raise(HF_ETIMEOUT, "%s: %s", text, uv_strerror(status));
    default:
        return error_raise(HF_EIO, "%s: %s", text, uv_strerror(status));
    }
}

bool loop_uv_address_of(const struct address *address, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    return uv_ip4_addr(address->host, address->port, (struct sockaddr_in *)(void *)out) == 0 ||
           uv_ip6_addr(address->host, address->port, (struct sockaddr_in6 *)(void *)out) == 0;
}

void loop_uv_address_text(const struct sockaddr_storage *address, char *target)
{
    char host[ADDRESS_HOST_SIZE_MAX] = "?";
    uint16_t port = 0;
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        uv_ip4_name(v4, host, sizeof(host));
        port = ntohs(v4->sin_port);
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            uv_inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof(host));
        } else {
            uv_ip6_name(v6, host, sizeof(host));
        }
        port = ntohs(v6->sin6_port);
    }
    address_format(host, port, target);
}

/* ---- life ---- */

static void loop_uv_close(struct loop *base)
{
    struct loop_uv *loop = loop_uv_of(base);
    while (loop_uv_run_posts(loop)) {
    }
    loop_uv_flush(loop);
    while (!list_empty(&loop->lingering)) {
        stream_uv_destroy(list_entry(loop->lingering.next, struct stream_uv, linger_link));
    }
    assert(loop->handle_count == 0); /* a stream, listener or watch was left open */
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->wait, NULL);
    uv_close((uv_handle_t *)&loop->posted, NULL);
    /* What is closed is not gone before libuv has said so; a stop that no run took ends the first one at once. */
    while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0) {
    }
    int status = uv_loop_close(&loop->uv);
    assert(status == 0);
    (void)status;
    timers_close(&loop->timers);
    mutex_close(&loop->mutex);
    free(loop);
}

static const struct loop_ops loop_uv_ops = {
    .close = loop_uv_close,
    .run = loop_uv_run,
    .stop = loop_uv_stop,
    .now_ms = loop_uv_now_ms,
    .timer_set = loop_uv_timer_set,
    .timer_stop = loop_uv_timer_stop,
    .add_turn_end = loop_uv_add_turn_end,
    .remove_turn_end = loop_uv_remove_turn_end,
    .send = loop_uv_send,
    .watch_queue = watch_uv_queue,
    .watch_descriptor = watch_uv_descriptor,
    .watch_close = watch_uv_close,
    .post = loop_uv_post,
    .connect = connect_uv_open,
    .listen = listener_uv_open,
};

int loop_open(struct io *io, struct loop **out)
{
    *out = NULL;
    struct loop_uv *loop = memory_new(sizeof(*loop));
    int status = uv_loop_init(&loop->uv);
    if (status != 0) {
        free(loop);
        return loop_uv_error(status, "open an event loop");
    }
    status = uv_async_init(&loop->uv, &loop->posted, loop_uv_on_posted);
    if (status != 0) {
        uv_loop_close(&loop->uv);
        free(loop);
        return loop_uv_error(status, "open an event loop");
    }
    loop->loop.ops = &loop_uv_ops;
    loop->io = io;
    mutex_init(&loop->mutex);
    list_init(&loop->posts);
    list_init(&loop->events);
    list_init(&loop->unsent);
    list_init(&loop->lingering);
    timers_init(&loop->timers);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_timer_init(&loop->uv, &loop->wait);
    loop->prepare.data = loop->check.data = loop->wait.data = loop->posted.data = loop;
    uv_prepare_start(&loop->prepare, loop_uv_on_prepare);
    uv_check_start(&loop->check, loop_uv_on_check);
    *out = &loop->loop;
    return 0;
}
