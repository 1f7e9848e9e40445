/* Turns on libuv. An iteration of libuv 1.44 runs timers, then prepare, polls, then check; so a turn may end twice in
 * an iteration, each time only if a callback ran since the last end. */
#include "net/loop_uv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"

struct timer_entry {
    struct heap_item item; /* first */
    struct loop_timer *timer;
};

struct loop_watch {
    uv_poll_t poll; /* first */
    struct loop_uv *loop;
    void (*ready)(void *arg);
    void *arg;
};

struct post {
    struct list link;
    void (*call)(void *arg);
    void *arg;
};

/* ---- turns ---- */

static void turn_end(struct loop_uv *loop)
{
    if (!loop->turn_has_work) {
        return;
    }
    loop->turn_has_work = false;
    for (struct loop_hook *hook = loop->hooks, *next; hook != NULL; hook = next) {
        next = hook->next;
        hook->call(hook->arg);
    }
    stream_uv_flush_all(loop);
    if (loop->turn_has_work) {
        uv_async_send(&loop->async); /* a hook or an owner made more: do not sleep on it */
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    turn_end(handle->data);
}
static void on_check(uv_check_t *handle)
{
    turn_end(handle->data);
}

static void posts_run(struct loop_uv *loop)
{
    struct list posts;
    list_init(&posts);
    mailbox_take(&loop->posts, &posts);
    list_each_safe (&posts, item) {
        struct post *post = list_entry(item, struct post, link);
        list_remove(item);
        loop->turn_has_work = true;
        post->call(post->arg);
        free(post);
    }
}

static void on_async(uv_async_t *handle)
{
    struct loop_uv *loop = handle->data;
    stream_uv_report_deferred(loop);
    posts_run(loop);
}

static void wake(void *arg)
{
    struct loop_uv *loop = arg;
    uv_async_send(&loop->async);
}

static void ops_post(struct loop *base, void (*call)(void *arg), void *arg)
{
    struct loop_uv *loop = loop_uv_of(base);
    struct post *post = memory_new(sizeof(*post));
    post->call = call;
    post->arg = arg;
    list_init(&post->link);
    mailbox_send(&loop->posts, &post->link);
}

static void ops_run(struct loop *base)
{
    struct loop_uv *loop = loop_uv_of(base);
    /* What was set up before the first turn (connects, writes) leaves without waiting for an event. */
    loop->turn_has_work = true;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void ops_stop(struct loop *base)
{
    uv_stop(&loop_uv_of(base)->uv);
}
static uint64_t ops_now_ms(struct loop *base)
{
    return uv_now(&loop_uv_of(base)->uv);
}

static void ops_add_turn_end(struct loop *base, struct loop_hook *hook)
{
    struct loop_hook **at = &loop_uv_of(base)->hooks;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    hook->next = NULL;
    *at = hook;
}

static void ops_remove_turn_end(struct loop *base, struct loop_hook *hook)
{
    for (struct loop_hook **at = &loop_uv_of(base)->hooks; *at != NULL; at = &(*at)->next) {
        if (*at == hook) {
            *at = hook->next;
            return;
        }
    }
}

/* ---- timers ---- */

static void timers_arm(struct loop_uv *loop);

static void on_timer(uv_timer_t *handle)
{
    struct loop_uv *loop = handle->data;
    uint64_t now = uv_now(&loop->uv);
    struct heap_item *item;
    while ((item = heap_first(&loop->timers)) != NULL && item->key <= now) {
        struct timer_entry *entry = (struct timer_entry *)(void *)item;
        struct loop_timer *timer = entry->timer;
        heap_remove(&loop->timers, item);
        timer->handle = NULL;
        free(entry);
        loop->turn_has_work = true;
        timer->fire(timer->arg);
    }
    timers_arm(loop);
}

static void timers_arm(struct loop_uv *loop)
{
    const struct heap_item *first = heap_first(&loop->timers);
    if (first == NULL) {
        uv_timer_stop(&loop->timer);
        return;
    }
    uint64_t now = uv_now(&loop->uv);
    uv_timer_start(&loop->timer, on_timer, first->key > now ? first->key - now : 0, 0);
}

static void ops_timer_set(struct loop *base, struct loop_timer *timer, uint64_t deadline_ms)
{
    struct loop_uv *loop = loop_uv_of(base);
    struct timer_entry *entry = timer->handle;
    if (entry == NULL) {
        entry = memory_new(sizeof(*entry));
        entry->timer = timer;
        timer->handle = entry;
    }
    timer->deadline_ms = deadline_ms;
    heap_set(&loop->timers, &entry->item, deadline_ms);
    timers_arm(loop);
}

static void ops_timer_stop(struct loop *base, struct loop_timer *timer)
{
    struct loop_uv *loop = loop_uv_of(base);
    struct timer_entry *entry = timer->handle;
    if (entry != NULL) {
        heap_remove(&loop->timers, &entry->item);
        timer->handle = NULL;
        free(entry);
        timers_arm(loop);
    }
}

/* ---- watches ---- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct loop_watch *watch = (struct loop_watch *)(void *)handle;
    (void)status;
    (void)events;
    watch->loop->turn_has_work = true;
    watch->ready(watch->arg);
}

static int ops_watch_descriptor(struct loop *base, int descriptor, void (*ready)(void *arg), void *arg,
                                struct loop_watch **out)
{
    struct loop_uv *loop = loop_uv_of(base);
    struct loop_watch *watch = memory_new(sizeof(*watch));
    watch->loop = loop;
    watch->ready = ready;
    watch->arg = arg;
    int status = uv_poll_init(&loop->uv, &watch->poll, descriptor);
    if (status != 0) {
        free(watch);
        return loop_uv_error(status, "watch of", "a descriptor");
    }
    uv_poll_start(&watch->poll, UV_READABLE, on_poll);
    *out = watch;
    return 0;
}

static int ops_watch_queue(struct loop *base, struct io_queue *queue, void (*ready)(void *arg), void *arg,
                           struct loop_watch **out)
{
    return ops_watch_descriptor(base, io_queue_descriptor(queue), ready, arg, out);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle);
}

static void ops_watch_close(struct loop *base, struct loop_watch *watch)
{
    (void)base;
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

/* ---- addresses and errors ---- */

int loop_uv_split_address(const char *address, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *colon = strrchr(address, ':');
    const char *start = address;
    size_t size = colon != NULL ? (size_t)(colon - address) : 0;
    if (size >= 2 && address[0] == '[' && address[size - 1] == ']') {
        start++;
        size -= 2;
    }
    if (colon == NULL || size == 0 || size >= host_size || colon[1] == '\0' || strlen(colon + 1) >= port_size ||
        colon[1 + strspn(colon + 1, "0123456789")] != '\0' || strtoul(colon + 1, NULL, 10) > 65535) {
        return error_raise(HF_EINVALID, "'%s' is not an address (host:port)", address);
    }
    memcpy(host, start, size);
    host[size] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return 0;
}

int loop_uv_error(int status, const char *what, const char *address)
{
    if (status == UV_EADDRINUSE) {
        return error_raise(HF_EBUSY, "%s %s: the address is in use by another process", what, address);
    }
    return error_raise(HF_EIO, "%s %s: %s", what, address, uv_strerror(status));
}

void loop_uv_address_text(const struct sockaddr *address, char *text, size_t size)
{
    char name[64] = "?";
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        uv_ip6_name(in6, name, sizeof(name));
        snprintf(text, size, "[%s]:%u", name, ntohs(in6->sin6_port));
    } else if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)address;
        uv_ip4_name(in4, name, sizeof(name));
        snprintf(text, size, "%s:%u", name, ntohs(in4->sin_port));
    } else {
        snprintf(text, size, "?");
    }
}

/* ---- life ---- */

static void ops_close(struct loop *base)
{
    struct loop_uv *loop = loop_uv_of(base);
    posts_run(loop);
    turn_end(loop);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* the close callbacks, and streams that still send their last bytes */
    int status = uv_loop_close(&loop->uv);
    assert(status == 0); /* a stream, listener or watch was left open */
    mailbox_close(&loop->posts);
    heap_close(&loop->timers);
    free(loop);
}

static const struct loop_ops loop_uv_ops = {
    .close = ops_close,
    .run = ops_run,
    .stop = ops_stop,
    .now_ms = ops_now_ms,
    .timer_set = ops_timer_set,
    .timer_stop = ops_timer_stop,
    .add_turn_end = ops_add_turn_end,
    .remove_turn_end = ops_remove_turn_end,
    .watch_queue = ops_watch_queue,
    .watch_descriptor = ops_watch_descriptor,
    .watch_close = ops_watch_close,
    .post = ops_post,
    .connect = stream_uv_connect,
    .listen = listener_uv_open,
};

int loop_open(struct io *io, struct loop **out)
{
    struct loop_uv *loop = memory_new(sizeof(*loop));
    loop->base.ops = &loop_uv_ops;
    loop->io = io;
    list_init(&loop->deferred);
    list_init(&loop->unsent);
    int status = uv_loop_init(&loop->uv);
    if (status != 0) {
        free(loop);
        return loop_uv_error(status, "event", "loop");
    }
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_timer_init(&loop->uv, &loop->timer);
    uv_async_init(&loop->uv, &loop->async, on_async);
    loop->prepare.data = loop->check.data = loop->timer.data = loop->async.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    mailbox_init(&loop->posts, wake, loop);
    *out = &loop->base;
    return 0;
}
