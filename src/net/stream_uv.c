/* A TCP connection on libuv. Writes are gathered and leave once per turn, with one system call where the socket takes
 * it all; what it does not take is handed to libuv and sent as room appears.
 *
 * Life: RESOLVING → CONNECTING → OPEN → ENDED (reported) → CLOSED by its owner; a stream closed with bytes left may
 * LINGER: it sends them, half-closes, and waits for the other side's end, so that the kernel does not answer late
 * input with a reset that destroys what was sent. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "net/loop_uv.h"

#define STREAM_LINGER_MS       1000u
#define STREAM_BUFFER_KEEP_MAX (1u << 20) /* a buffer that grew beyond this is freed once it is empty */
#define STREAM_KEEPALIVE_S     30u

enum stream_state { STREAM_RESOLVING, STREAM_CONNECTING, STREAM_OPEN, STREAM_ENDED, STREAM_LINGERING, STREAM_CLOSED };

struct stream_uv {
    struct stream base;
    struct loop_uv *loop;
    struct stream_callbacks callbacks;
    void *arg;
    enum stream_state state;
    uv_tcp_t tcp;
    uv_timer_t linger;
    unsigned handles_open; /* tcp and linger: freed when both are closed and no request is pending */
    unsigned requests;     /* resolve, connect, write or shutdown in libuv's hands */
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    uv_write_t write;
    struct buffer gathered; /* by the owner, this turn */
    struct buffer writing;  /* in libuv's hands, or empty */
    bool is_above_water;
    bool is_paused;
    struct list unsent_link;
    struct list deferred_link;
    int deferred_result; /* what to report in the next turn */
    char error_text[256];
    char peer_address[128];
};

static struct stream_uv *stream_uv_of(const struct stream *stream)
{
    return (struct stream_uv *)(void *)(uintptr_t)stream;
}

static void stream_uv_flush(struct stream_uv *stream);

/* ---- end of life ---- */

static void stream_free_when_idle(struct stream_uv *stream)
{
    if (stream->handles_open == 0 && stream->requests == 0) {
        buffer_close(&stream->gathered);
        buffer_close(&stream->writing);
        free(stream);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct stream_uv *stream = handle->data;
    stream->handles_open--;
    stream_free_when_idle(stream);
}

static void stream_destroy(struct stream_uv *stream)
{
    stream->state = STREAM_CLOSED;
    list_remove(&stream->unsent_link);
    list_remove(&stream->deferred_link);
    if (!uv_is_closing((uv_handle_t *)&stream->tcp)) {
        uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
        uv_close((uv_handle_t *)&stream->linger, on_handle_closed);
    }
    if (stream->resolve.loop != NULL) {
        uv_cancel((uv_req_t *)&stream->resolve);
    }
}

static void ops_close(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->callbacks = (struct stream_callbacks){0};
    stream_destroy(stream);
}

/* Reports later, in a turn of its own: the owner may stand above us on the stack. */
static void stream_defer(struct stream_uv *stream, int result)
{
    if (stream->state == STREAM_LINGERING) {
        stream_destroy(stream);
        return;
    }
    if (list_empty(&stream->deferred_link) && stream->state != STREAM_CLOSED && stream->state != STREAM_ENDED) {
        stream->deferred_result = result;
        if (result != 0) {
            error_text_copy(stream->error_text, sizeof(stream->error_text));
        }
        list_append(&stream->loop->deferred, &stream->deferred_link);
        uv_async_send(&stream->loop->async);
    }
}

static void stream_report(struct stream_uv *stream, int result)
{
    bool was_connecting = stream->state == STREAM_RESOLVING || stream->state == STREAM_CONNECTING;
    struct stream_callbacks callbacks = stream->callbacks;
    void *arg = stream->arg;
    stream->state = STREAM_ENDED;
    list_remove(&stream->deferred_link);
    uv_read_stop((uv_stream_t *)&stream->tcp);
    stream->loop->turn_has_work = true;
    if (was_connecting && callbacks.connected != NULL) {
        callbacks.connected(arg, result);
    } else if (!was_connecting && callbacks.ended != NULL) {
        callbacks.ended(arg, result);
    }
}

void stream_uv_report_deferred(struct loop_uv *loop)
{
    while (!list_empty(&loop->deferred)) {
        struct stream_uv *stream = list_entry(loop->deferred.next, struct stream_uv, deferred_link);
        if (stream->deferred_result != 0) {
            error_restore(stream->deferred_result, stream->error_text);
        }
        stream_report(stream, stream->deferred_result);
    }
}

/* ---- reading ---- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct stream_uv *stream = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(stream->loop->read_buffer, LOOP_UV_READ_SIZE);
}

static void on_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
    struct stream_uv *stream = handle->data;
    if (size == 0) {
        return;
    }
    if (stream->state == STREAM_LINGERING) {
        if (size < 0) {
            stream_destroy(stream);
        }
        return;
    }
    if (size < 0) {
        int result = size == UV_EOF ? 0 : loop_uv_error((int)size, "connection with", stream->peer_address);
        stream_report(stream, result);
        return;
    }
    stream->loop->turn_has_work = true;
    if (stream->callbacks.received != NULL) {
        stream->callbacks.received(stream->arg, bytes_of(buffer->base, (size_t)size));
    }
}

static void stream_read_start(struct stream_uv *stream)
{
    if (stream->state == STREAM_OPEN && !stream->is_paused) {
        uv_read_start((uv_stream_t *)&stream->tcp, on_allocate, on_read);
    }
}

static void ops_pause(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->is_paused = true;
    uv_read_stop((uv_stream_t *)&stream->tcp);
}

static void ops_resume(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->is_paused = false;
    stream_read_start(stream);
}

/* ---- writing ---- */

static size_t ops_unsent_bytes(const struct stream *base)
{
    const struct stream_uv *stream = stream_uv_of(base);
    size_t in_kernel_hands =
        stream->writing.size > 0 ? uv_stream_get_write_queue_size((const uv_stream_t *)&stream->tcp) : 0;
    return stream->gathered.size + in_kernel_hands;
}

static void buffer_empty(struct buffer *buffer)
{
    if (buffer->capacity > STREAM_BUFFER_KEEP_MAX) {
        buffer_close(buffer);
    } else {
        buffer_clear(buffer);
    }
}

static void ops_write(struct stream *base, struct hf_bytes bytes)
{
    struct stream_uv *stream = stream_uv_of(base);
    if (stream->state == STREAM_CLOSED || stream->state == STREAM_ENDED) {
        return;
    }
    buffer_append_bytes(&stream->gathered, bytes);
    if (list_empty(&stream->unsent_link)) {
        list_append(&stream->loop->unsent, &stream->unsent_link);
    }
    stream->loop->turn_has_work = true;
    stream->is_above_water = stream->is_above_water || ops_unsent_bytes(base) >= STREAM_LOW_WATER_BYTES;
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct stream_uv *stream = request->handle->data;
    stream->requests--;
    if (stream->state == STREAM_CLOSED) {
        stream_free_when_idle(stream);
    } else if (status != 0) {
        stream_destroy(stream);
    }
}

/* Everything is sent. Half-closes a lingering stream, tells an owner who waits for room. */
static void stream_sent_all(struct stream_uv *stream)
{
    if (stream->state == STREAM_LINGERING) {
        stream->requests++;
        if (uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shutdown) != 0) {
            stream->requests--;
            stream_destroy(stream);
        }
    }
}

static void stream_check_water(struct stream_uv *stream)
{
    if (stream->is_above_water && ops_unsent_bytes(&stream->base) < STREAM_LOW_WATER_BYTES) {
        stream->is_above_water = false;
        if (stream->state == STREAM_OPEN && stream->callbacks.drained != NULL) {
            stream->loop->turn_has_work = true;
            stream->callbacks.drained(stream->arg);
        }
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct stream_uv *stream = request->handle->data;
    stream->requests--;
    buffer_empty(&stream->writing);
    if (stream->state == STREAM_CLOSED) {
        stream_free_when_idle(stream);
        return;
    }
    if (status != 0) {
        stream_defer(stream, loop_uv_error(status, "connection with", stream->peer_address));
        return;
    }
    stream_uv_flush(stream);
    if (stream->state != STREAM_CLOSED) {
        stream_check_water(stream);
    }
}

static void stream_uv_flush(struct stream_uv *stream)
{
    list_remove(&stream->unsent_link);
    if (stream->writing.size > 0 || (stream->state != STREAM_OPEN && stream->state != STREAM_LINGERING)) {
        return; /* its completion, or the connect's, comes back here */
    }
    if (stream->gathered.size == 0) {
        stream_sent_all(stream);
        return;
    }
    uv_buf_t all = uv_buf_init((char *)stream->gathered.data, (unsigned)stream->gathered.size);
    int sent = uv_try_write((uv_stream_t *)&stream->tcp, &all, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        buffer_clear(&stream->gathered);
        stream_defer(stream, loop_uv_error(sent, "connection with", stream->peer_address));
        return;
    }
    size_t taken = sent > 0 ? (size_t)sent : 0;
    if (taken == stream->gathered.size) {
        buffer_empty(&stream->gathered);
        stream_sent_all(stream);
        return;
    }
    struct buffer empty = stream->writing;
    stream->writing = stream->gathered;
    stream->gathered = empty;
    uv_buf_t rest = uv_buf_init((char *)stream->writing.data + taken, (unsigned)(stream->writing.size - taken));
    stream->requests++;
    if (uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &rest, 1, on_written) != 0) {
        stream->requests--;
        buffer_clear(&stream->writing);
        stream_defer(stream, error_raise(HF_EIO, "connection with %s: cannot write", stream->peer_address));
    }
}

void stream_uv_flush_all(struct loop_uv *loop)
{
    struct list streams;
    list_init(&streams);
    list_splice(&streams, &loop->unsent);
    while (!list_empty(&streams)) {
        struct stream_uv *stream = list_entry(streams.next, struct stream_uv, unsent_link);
        stream_uv_flush(stream);
        if (stream->state == STREAM_OPEN) {
            stream_check_water(stream);
        }
    }
}

static void on_linger_over(uv_timer_t *timer)
{
    struct stream_uv *stream = timer->data;
    stream_destroy(stream);
}

static void ops_close_when_sent(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->callbacks = (struct stream_callbacks){0};
    if (stream->state != STREAM_OPEN) {
        stream_destroy(stream);
        return;
    }
    stream->state = STREAM_LINGERING;
    uv_read_start((uv_stream_t *)&stream->tcp, on_allocate, on_read);
    uv_timer_start(&stream->linger, on_linger_over, STREAM_LINGER_MS, 0);
    if (list_empty(&stream->unsent_link)) {
        list_append(&stream->loop->unsent, &stream->unsent_link);
    }
    stream->loop->turn_has_work = true;
}

/* ---- opening ---- */

static void ops_set_callbacks(struct stream *base, const struct stream_callbacks *callbacks, void *arg)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->callbacks = *callbacks;
    stream->arg = arg;
}

static const char *ops_peer_address(const struct stream *base)
{
    return stream_uv_of(base)->peer_address;
}

static const struct stream_ops stream_uv_ops = {
    .set_callbacks = ops_set_callbacks,
    .write = ops_write,
    .unsent_bytes = ops_unsent_bytes,
    .pause = ops_pause,
    .resume = ops_resume,
    .close_when_sent = ops_close_when_sent,
    .close = ops_close,
    .peer_address = ops_peer_address,
};

static struct stream_uv *stream_new(struct loop_uv *loop)
{
    struct stream_uv *stream = memory_new(sizeof(*stream));
    stream->base.ops = &stream_uv_ops;
    stream->loop = loop;
    list_init(&stream->unsent_link);
    list_init(&stream->deferred_link);
    uv_tcp_init(&loop->uv, &stream->tcp);
    uv_timer_init(&loop->uv, &stream->linger);
    stream->tcp.data = stream->linger.data = stream;
    stream->handles_open = 2;
    return stream;
}

static void stream_opened(struct stream_uv *stream)
{
    struct sockaddr_storage address;
    int size = sizeof(address);
    if (uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&address, &size) == 0) {
        loop_uv_address_text((const struct sockaddr *)&address, stream->peer_address, sizeof(stream->peer_address));
    }
    uv_tcp_nodelay(&stream->tcp, 1);
    uv_tcp_keepalive(&stream->tcp, 1, STREAM_KEEPALIVE_S);
    stream->state = STREAM_OPEN;
}

struct stream *stream_uv_accept(struct loop_uv *loop, uv_stream_t *listening)
{
    struct stream_uv *stream = stream_new(loop);
    if (uv_accept(listening, (uv_stream_t *)&stream->tcp) != 0) {
        stream_destroy(stream);
        return NULL;
    }
    stream_opened(stream);
    return &stream->base;
}

void stream_uv_start(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream_read_start(stream);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct stream_uv *stream = request->handle->data;
    stream->requests--;
    if (stream->state == STREAM_CLOSED) {
        stream_free_when_idle(stream);
        return;
    }
    if (status != 0) {
        stream_report(stream, loop_uv_error(status, "connect to", stream->peer_address));
        return;
    }
    stream_opened(stream);
    stream->loop->turn_has_work = true;
    if (stream->callbacks.connected != NULL) {
        stream->callbacks.connected(stream->arg, 0);
    }
    if (stream->state == STREAM_OPEN) {
        stream_read_start(stream);
        if (stream->gathered.size > 0 && list_empty(&stream->unsent_link)) {
            list_append(&stream->loop->unsent, &stream->unsent_link);
        }
    }
}

static void stream_dial(struct stream_uv *stream, const struct sockaddr *address)
{
    stream->state = STREAM_CONNECTING;
    stream->requests++;
    int status = uv_tcp_connect(&stream->connect, &stream->tcp, address, on_connected);
    if (status != 0) {
        stream->requests--;
        stream_defer(stream, loop_uv_error(status, "connect to", stream->peer_address));
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *result)
{
    struct stream_uv *stream = request->data;
    stream->requests--;
    stream->resolve.loop = NULL;
    if (stream->state == STREAM_CLOSED) {
        uv_freeaddrinfo(result);
        stream_free_when_idle(stream);
        return;
    }
    if (status != 0) {
        stream_report(stream, loop_uv_error(status, "resolve", stream->peer_address));
    } else {
        stream_dial(stream, result->ai_addr);
    }
    uv_freeaddrinfo(result);
}

int stream_uv_connect(struct loop *base, const char *address, const struct stream_callbacks *callbacks, void *arg,
                      struct stream **out)
{
    char host[256], port[8];
    int rc = loop_uv_split_address(address, host, sizeof(host), port, sizeof(port));
    if (rc != 0) {
        return rc;
    }
    struct stream_uv *stream = stream_new(loop_uv_of(base));
    ops_set_callbacks(&stream->base, callbacks, arg);
    snprintf(stream->peer_address, sizeof(stream->peer_address), "%.127s", address);
    struct sockaddr_storage literal;
    int port_number = (int)strtoul(port, NULL, 10);
    if (uv_ip4_addr(host, port_number, (struct sockaddr_in *)(void *)&literal) == 0 ||
        uv_ip6_addr(host, port_number, (struct sockaddr_in6 *)(void *)&literal) == 0) {
        stream_dial(stream, (const struct sockaddr *)&literal);
    } else {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        stream->state = STREAM_RESOLVING;
        stream->resolve.data = stream;
        stream->requests++;
        int status = uv_getaddrinfo(&stream->loop->uv, &stream->resolve, on_resolved, host, port, &hints);
        if (status != 0) {
            stream->requests--;
            stream->resolve.loop = NULL;
            stream_defer(stream, loop_uv_error(status, "resolve", address));
        }
    }
    *out = &stream->base;
    return 0;
}
