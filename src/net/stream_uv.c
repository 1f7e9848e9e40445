/* Reading, writing and ending a connection.
 *
 * Out: the owner's writes of a turn gather in one buffer. At the turn's end it becomes `sending` and goes to the socket
 * in one system call. What the socket does not take waits there, a slice of it in libuv's hands, which calls back when
 * it is written; meanwhile the owner gathers the next buffer.
 *
 * Reports (connected, drained, ended) are events of the loop: they run in a turn and never inside the owner's calls.
 *
 * A stream that was closed to be sent lingers without its owner: it sends the rest, then its end, and reads until the
 * other side's end. Closing earlier, with bytes unread, would make the kernel send a reset that destroys what the other
 * side has not read yet. Both waits are limited. */
#include "net/stream_uv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"
#include "net/connect_uv.h"

static const struct stream_ops stream_uv_ops;
static void stream_uv_on_event(void *arg);
static void stream_uv_on_linger_over(void *arg);
static size_t stream_uv_unsent_bytes(const struct stream *base);

static struct stream_uv *stream_uv_of(struct stream *stream)
{
    assert(stream->ops == &stream_uv_ops);
    return (struct stream_uv *)stream;
}

static const struct stream_uv *stream_uv_of_const(const struct stream *stream)
{
    assert(stream->ops == &stream_uv_ops);
    return (const struct stream_uv *)stream;
}

static uv_stream_t *stream_uv_handle(struct stream_uv *stream)
{
    return (uv_stream_t *)&stream->socket->tcp;
}

/* ---- life ---- */

struct stream_uv *stream_uv_new(struct loop_uv *loop)
{
    struct stream_uv *stream = memory_new(sizeof(*stream));
    stream->stream.ops = &stream_uv_ops;
    stream->loop = loop;
    stream->references = 1;
    stream->event = (struct loop_uv_event){.call = stream_uv_on_event, .arg = stream};
    stream->linger_timer = (struct loop_timer){.fire = stream_uv_on_linger_over, .arg = stream};
    list_init(&stream->event.link);
    list_init(&stream->unsent_link);
    list_init(&stream->linger_link);
    loop->handle_count++;
    return stream;
}

void stream_uv_hold(struct stream_uv *stream)
{
    stream->references++;
}

void stream_uv_release(struct stream_uv *stream)
{
    assert(stream->references > 0);
    stream->references--;
    if (stream->references == 0) {
        buffer_close(&stream->gathered);
        buffer_close(&stream->sending);
        free(stream);
    }
}

void stream_uv_attach(struct stream_uv *stream)
{
    assert(stream->socket == NULL);
    stream->socket = memory_new(sizeof(*stream->socket));
    stream->socket->stream = stream;
    stream->socket->tcp.data = stream->socket;
    int status = uv_tcp_init(&stream->loop->uv, &stream->socket->tcp);
    assert(status == 0); /* without a family it only fills the struct */
    (void)status;
    stream_uv_hold(stream);
}

static void stream_uv_on_socket_closed(uv_handle_t *handle)
{
    struct stream_uv_socket *socket = handle->data;
    if (socket->stream != NULL) {
        socket->stream->socket = NULL;
        stream_uv_release(socket->stream);
    }
    free(socket);
}

static void stream_uv_close_socket(struct stream_uv *stream)
{
    if (stream->socket != NULL && !uv_is_closing((uv_handle_t *)&stream->socket->tcp)) {
        uv_close((uv_handle_t *)&stream->socket->tcp, stream_uv_on_socket_closed);
    }
}

void stream_uv_detach(struct stream_uv *stream)
{
    stream_uv_close_socket(stream);
    stream->socket->stream = NULL;
    stream->socket = NULL;
    stream_uv_release(stream);
}

void stream_uv_destroy(struct stream_uv *stream)
{
    assert(!stream->closed);
    stream->closed = true;
    stream->callbacks = (struct stream_callbacks){0};
    list_remove(&stream->unsent_link);
    list_remove(&stream->event.link);
    loop_timer_stop(&stream->loop->loop, &stream->linger_timer);
    if (stream->lingering) {
        list_remove(&stream->linger_link);
    } else {
        stream->loop->handle_count--;
    }
    connect_uv_cancel(stream);
    stream_uv_close_socket(stream);
    stream_uv_release(stream);
}

static void stream_uv_close(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    assert(!stream->lingering); /* stream_close_when_sent has taken it from its owner */
    stream_uv_destroy(stream);
}

/* ---- reports ---- */

static void stream_uv_report(struct stream_uv *stream, enum stream_uv_report report)
{
    stream->reports |= (unsigned)report;
    loop_uv_defer(stream->loop, &stream->event);
}

static void stream_uv_update_reading(struct stream_uv *stream);

/* Takes one report off; the owner may close the stream in any of them. */
static bool stream_uv_take_report(struct stream_uv *stream, enum stream_uv_report report)
{
    bool is_there = !stream->closed && !stream->lingering && (stream->reports & (unsigned)report) != 0;
    stream->reports &= ~(unsigned)report;
    return is_there;
}

static void stream_uv_restore_failure(struct stream_uv *stream)
{
    if (stream->result < 0) {
        (void)error_restore(stream->result, stream->failure);
    }
}

static void stream_uv_report_drained(struct stream_uv *stream)
{
    if (stream_uv_unsent_bytes(&stream->stream) >= STREAM_LOW_WATER_BYTES) {
        stream->above_low_water = true; /* the owner wrote again meanwhile: there will be another time */
    } else if (stream->callbacks.drained != NULL) {
        stream->callbacks.drained(stream->arg);
    }
}

static void stream_uv_on_event(void *arg)
{
    struct stream_uv *stream = arg;
    stream_uv_hold(stream);
    stream->loop->busy = true;
    if (stream_uv_take_report(stream, STREAM_UV_CONNECTED) && stream->callbacks.connected != NULL) {
        stream_uv_restore_failure(stream);
        stream->callbacks.connected(stream->arg, stream->result);
    }
    if (stream_uv_take_report(stream, STREAM_UV_DRAINED)) {
        stream_uv_report_drained(stream);
    }
    if (stream_uv_take_report(stream, STREAM_UV_ENDED) && stream->callbacks.ended != NULL) {
        stream_uv_restore_failure(stream);
        stream->callbacks.ended(stream->arg, stream->result);
    }
    stream_uv_update_reading(stream);
    stream_uv_release(stream);
}

void stream_uv_fail(struct stream_uv *stream, int result)
{
    bool was_connecting = stream->state == STREAM_UV_CONNECTING || (stream->reports & STREAM_UV_CONNECTED) != 0;
    stream->state = STREAM_UV_BROKEN;
    buffer_close(&stream->gathered);
    if (stream->slice == 0) {
        buffer_close(&stream->sending);
        stream->sending_offset = 0;
    }
    stream_uv_update_reading(stream);
    if (stream->lingering) {
        stream_uv_destroy(stream);
        return;
    }
    if (stream->end_reported) {
        return; /* its owner knows that it is over */
    }
    stream->result = result;
    stream->end_reported = true;
    error_text_copy(stream->failure, sizeof(stream->failure));
    stream_uv_report(stream, was_connecting ? STREAM_UV_CONNECTED : STREAM_UV_ENDED);
}

/* libuv said so. What was written and read until then counts; the rest is lost. */
static void stream_uv_break(struct stream_uv *stream, int status)
{
    (void)loop_uv_error(status, "connection with %s", stream->peer);
    stream_uv_fail(stream, HF_EIO);
}

static void stream_uv_opened(struct stream_uv *stream)
{
    struct sockaddr_storage address = {0};
    int size = sizeof(address);
    if (uv_tcp_getpeername(&stream->socket->tcp, (struct sockaddr *)&address, &size) == 0) {
        loop_uv_address_text(&address, stream->peer);
    }
    /* Neither is worth a connection: a socket that refuses them is about to break anyway. */
    (void)uv_tcp_nodelay(&stream->socket->tcp, 1);
    (void)uv_tcp_keepalive(&stream->socket->tcp, 1, STREAM_UV_KEEPALIVE_S);
    stream->state = STREAM_UV_OPEN;
    if (list_empty(&stream->unsent_link) && (stream->gathered.size > 0 || stream->lingering)) {
        list_append(&stream->loop->unsent, &stream->unsent_link);
    }
}

void stream_uv_accepted(struct stream_uv *stream)
{
    stream_uv_opened(stream);
}

void stream_uv_connected(struct stream_uv *stream)
{
    stream_uv_opened(stream);
    if (stream->lingering) {
        stream_uv_update_reading(stream);
    } else {
        stream_uv_report(stream, STREAM_UV_CONNECTED); /* reading starts after it */
    }
}

/* ---- in ---- */

static void stream_uv_on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    const struct stream_uv_socket *socket = handle->data;
    *buffer = uv_buf_init(socket->stream->loop->read_buffer, LOOP_UV_READ_SIZE);
}

static void stream_uv_linger_on(struct stream_uv *stream);

static void stream_uv_on_input_end(struct stream_uv *stream, int status)
{
    stream->reading = false;
    stream->input_ended = true;
    if (status != UV_EOF) {
        stream_uv_break(stream, status);
    } else if (stream->lingering) {
        stream_uv_linger_on(stream);
    } else {
        stream->end_reported = true;
        stream->result = 0;
        stream_uv_report(stream, STREAM_UV_ENDED);
    }
}

static void stream_uv_on_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
    const struct stream_uv_socket *socket = handle->data;
    struct stream_uv *stream = socket->stream;
    stream->loop->busy = true;
    if (size < 0) {
        (void)uv_read_stop(handle);
        stream_uv_on_input_end(stream, (int)size);
    } else if (size > 0 && stream->callbacks.received != NULL) {
        stream->callbacks.received(stream->arg, (struct hf_bytes){buffer->base, (size_t)size});
    }
}

/* A lingering stream reads to find the end. One without callbacks, or whose connect is not reported yet, does not. */
static bool stream_uv_wants_input(const struct stream_uv *stream)
{
    if (stream->state != STREAM_UV_OPEN || stream->input_ended) {
        return false;
    }
    bool is_announced = stream->has_callbacks && (stream->reports & STREAM_UV_CONNECTED) == 0;
    return stream->lingering || (is_announced && !stream->paused);
}

static void stream_uv_update_reading(struct stream_uv *stream)
{
    bool want = stream_uv_wants_input(stream);
    if (stream->closed || want == stream->reading) {
        return;
    }
    int status = want ? uv_read_start(stream_uv_handle(stream), stream_uv_on_allocate, stream_uv_on_read)
                      : uv_read_stop(stream_uv_handle(stream));
    stream->reading = want && status == 0;
    if (status != 0) {
        stream_uv_break(stream, status);
    }
}

static void stream_uv_pause(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->paused = true;
    stream_uv_update_reading(stream);
}

static void stream_uv_resume(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->paused = false;
    stream_uv_update_reading(stream);
}

static void stream_uv_set_callbacks(struct stream *base, const struct stream_callbacks *callbacks, void *arg)
{
    struct stream_uv *stream = stream_uv_of(base);
    stream->callbacks = *callbacks;
    stream->arg = arg;
    stream->has_callbacks = true;
    stream_uv_update_reading(stream);
}

/* ---- out ---- */

static size_t stream_uv_unsent_bytes(const struct stream *base)
{
    const struct stream_uv *stream = stream_uv_of_const(base);
    return stream->gathered.size + stream->sending.size - stream->sending_offset;
}

static void stream_uv_write(struct stream *base, struct hf_bytes bytes)
{
    struct stream_uv *stream = stream_uv_of(base);
    if (bytes.size == 0 || stream->state == STREAM_UV_BROKEN) {
        return;
    }
    buffer_append_bytes(&stream->gathered, bytes);
    if (stream_uv_unsent_bytes(base) > STREAM_LOW_WATER_BYTES) {
        stream->above_low_water = true;
    }
    if (list_empty(&stream->unsent_link) && stream->state == STREAM_UV_OPEN) {
        list_append(&stream->loop->unsent, &stream->unsent_link);
    }
}

/* The buffer that was gathered becomes the one to send. False when there is nothing to send. */
static bool stream_uv_next_buffer(struct stream_uv *stream)
{
    if (stream->sending_offset < stream->sending.size) {
        return true;
    }
    stream->sending_offset = 0;
    if (stream->sending.capacity > STREAM_UV_BUFFER_KEEP_SIZE) {
        buffer_close(&stream->sending);
    } else {
        buffer_clear(&stream->sending);
    }
    struct buffer empty = stream->sending;
    stream->sending = stream->gathered;
    stream->gathered = empty;
    return stream->sending.size > 0;
}

static uv_buf_t stream_uv_rest(const struct stream_uv *stream, size_t size_max)
{
    size_t left = stream->sending.size - stream->sending_offset;
    uv_buf_t rest = {.base = (char *)stream->sending.data + stream->sending_offset};
    rest.len = left < size_max ? left : size_max;
    return rest;
}

static void stream_uv_on_written(uv_write_t *request, int status);

/* Writes until all is sent or the socket is full; then libuv waits for room with a slice. 0, or libuv's status. */
static int stream_uv_push(struct stream_uv *stream)
{
    while (stream_uv_next_buffer(stream)) {
        uv_buf_t rest = stream_uv_rest(stream, STREAM_UV_WRITE_SIZE_MAX);
        int status = uv_try_write(stream_uv_handle(stream), &rest, 1);
        if (status < 0 && status != UV_EAGAIN) {
            return status;
        }
        stream->sending_offset += status > 0 ? (size_t)status : 0;
        if (status > 0 && (size_t)status == rest.len) {
            continue;
        }
        uv_buf_t slice = stream_uv_rest(stream, STREAM_UV_SLICE_SIZE);
        status = uv_write(&stream->write_request, stream_uv_handle(stream), &slice, 1, stream_uv_on_written);
        stream->slice = status == 0 ? slice.len : 0;
        return status;
    }
    return 0;
}

void stream_uv_flush(struct stream_uv *stream)
{
    if (stream->state != STREAM_UV_OPEN || stream->slice > 0) {
        return; /* the end of the connect, or of the slice, comes back here */
    }
    int status = stream_uv_push(stream);
    if (status != 0) {
        stream_uv_break(stream, status);
        return;
    }
    if (stream->above_low_water && stream_uv_unsent_bytes(&stream->stream) < STREAM_LOW_WATER_BYTES) {
        stream->above_low_water = false;
        stream_uv_report(stream, STREAM_UV_DRAINED);
    }
    if (stream->lingering) {
        stream_uv_linger_on(stream);
    }
}

static void stream_uv_linger_until(struct stream_uv *stream, uint64_t duration_ms)
{
    struct loop *loop = &stream->loop->loop;
    loop_timer_set(loop, &stream->linger_timer, loop_now_ms(loop) + duration_ms);
}

static void stream_uv_on_written(uv_write_t *request, int status)
{
    const struct stream_uv_socket *socket = request->handle->data;
    struct stream_uv *stream = socket->stream;
    size_t written = stream->slice;
    stream->slice = 0;
    if (stream->closed) {
        return;
    }
    stream->loop->busy = true;
    if (stream->state == STREAM_UV_BROKEN) {
        buffer_close(&stream->sending);
        stream->sending_offset = 0;
        return;
    }
    if (status != 0) {
        stream_uv_break(stream, status);
        return;
    }
    stream->sending_offset += written;
    if (stream->lingering) {
        stream_uv_linger_until(stream, STREAM_UV_LINGER_PROGRESS_MS);
    }
    stream_uv_flush(stream);
}

/* ---- lingering ---- */

static void stream_uv_on_linger_over(void *arg)
{
    stream_uv_destroy(arg);
}

static void stream_uv_on_shut(uv_shutdown_t *request, int status)
{
    const struct stream_uv_socket *socket = request->handle->data;
    if (status != 0 && !socket->stream->closed) {
        stream_uv_destroy(socket->stream);
    }
}

/* The next step of a lingering stream: nothing while it sends, then its end, then (both ended) the close. */
static void stream_uv_linger_on(struct stream_uv *stream)
{
    if (stream->slice > 0 || stream_uv_unsent_bytes(&stream->stream) > 0) {
        return;
    }
    if (stream->input_ended) {
        stream_uv_destroy(stream);
        return;
    }
    if (!stream->shut) {
        stream->shut = true;
        stream_uv_linger_until(stream, STREAM_UV_LINGER_SHUTDOWN_MS);
        if (uv_shutdown(&stream->shutdown_request, stream_uv_handle(stream), stream_uv_on_shut) != 0) {
            stream_uv_destroy(stream);
        }
    }
}

static void stream_uv_close_when_sent(struct stream *base)
{
    struct stream_uv *stream = stream_uv_of(base);
    if (stream->state == STREAM_UV_BROKEN || (stream->state == STREAM_UV_CONNECTING && stream->gathered.size == 0)) {
        stream_uv_destroy(stream);
        return;
    }
    stream->callbacks = (struct stream_callbacks){0};
    stream->lingering = true;
    stream->loop->handle_count--;
    list_append(&stream->loop->lingering, &stream->linger_link);
    stream_uv_linger_until(stream, STREAM_UV_LINGER_PROGRESS_MS);
    stream_uv_update_reading(stream);
    if (stream->state == STREAM_UV_OPEN && list_empty(&stream->unsent_link)) {
        list_append(&stream->loop->unsent, &stream->unsent_link);
    }
}

static const char *stream_uv_peer_address(const struct stream *base)
{
    return stream_uv_of_const(base)->peer;
}

static const struct stream_ops stream_uv_ops = {
    .set_callbacks = stream_uv_set_callbacks,
    .write = stream_uv_write,
    .unsent_bytes = stream_uv_unsent_bytes,
    .pause = stream_uv_pause,
    .resume = stream_uv_resume,
    .close_when_sent = stream_uv_close_when_sent,
    .close = stream_uv_close,
    .peer_address = stream_uv_peer_address,
};
