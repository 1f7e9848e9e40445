/* From an address to a connected socket: the name is resolved unless it is a number, then its addresses are tried one
 * after the other, as "localhost" may be ::1 where only 127.0.0.1 is listened on. */
#include "net/connect_uv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"

static int connect_uv_try(struct stream_uv *stream, const struct sockaddr *address);

static int connect_uv_try_next(struct stream_uv *stream, int status)
{
    while (status != 0 && stream->found_next != NULL) {
        const struct sockaddr *address = stream->found_next->ai_addr;
        stream->found_next = stream->found_next->ai_next;
        status = connect_uv_try(stream, address);
    }
    return status;
}

static void connect_uv_forget(struct stream_uv *stream)
{
    uv_freeaddrinfo(stream->found);
    stream->found = NULL;
    stream->found_next = NULL;
}

static void connect_uv_fail(struct stream_uv *stream, int status)
{
    connect_uv_forget(stream);
    stream_uv_fail(stream, loop_uv_error(status, "connect to %s", stream->peer));
}

static void connect_uv_on_connected(uv_connect_t *request, int status)
{
    const struct stream_uv_socket *socket = request->handle->data;
    struct stream_uv *stream = socket->stream;
    if (stream == NULL || stream->closed) {
        return;
    }
    stream->loop->busy = true;
    if (status == 0) {
        connect_uv_forget(stream);
        stream_uv_connected(stream);
        return;
    }
    stream_uv_detach(stream);
    status = connect_uv_try_next(stream, status);
    if (status != 0) {
        connect_uv_fail(stream, status);
    }
}

/* 0 when the attempt is on its way. */
static int connect_uv_try(struct stream_uv *stream, const struct sockaddr *address)
{
    stream_uv_attach(stream);
    int status = uv_tcp_connect(&stream->connect_request, &stream->socket->tcp, address, connect_uv_on_connected);
    if (status != 0) {
        stream_uv_detach(stream);
    }
    return status;
}

static void connect_uv_on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct stream_uv *stream = request->data;
    stream->resolving = false;
    stream->found = found;
    if (stream->closed) {
        connect_uv_forget(stream);
    } else {
        stream->loop->busy = true;
        stream->found_next = found;
        status = connect_uv_try_next(stream, status != 0 ? status : UV_EAI_NODATA);
        if (status != 0) {
            connect_uv_fail(stream, status);
        }
    }
    stream_uv_release(stream);
}

static int connect_uv_resolve(struct stream_uv *stream, const struct address *address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    char port[8];
    snprintf(port, sizeof(port), "%" PRIu16, address->port);
    stream->resolve_request.data = stream;
    int status = uv_getaddrinfo(&stream->loop->uv, &stream->resolve_request, connect_uv_on_resolved, address->host,
                                port, &hints);
    if (status == 0) {
        stream->resolving = true;
        stream_uv_hold(stream);
    }
    return status;
}

void connect_uv_cancel(struct stream_uv *stream)
{
    if (stream->resolving) {
        /* Refused when a thread is at it already; then its answer is ignored. */
        (void)uv_cancel((uv_req_t *)&stream->resolve_request);
    }
    connect_uv_forget(stream);
}

int connect_uv_open(struct loop *base, const char *text, const struct stream_callbacks *callbacks, void *arg,
                    struct stream **out)
{
    struct address address;
    struct sockaddr_storage number;
    *out = NULL;
    int rc = address_parse(text, &address);
    if (rc != 0) {
        return rc;
    }
    struct stream_uv *stream = stream_uv_new(loop_uv_of(base));
    stream_set_callbacks(&stream->stream, callbacks, arg);
    address_format(address.host, address.port, stream->peer);
    int status = loop_uv_address_of(&address, &number) ? connect_uv_try(stream, (const struct sockaddr *)&number)
                                                       : connect_uv_resolve(stream, &address);
    if (status != 0) {
        connect_uv_fail(stream, status); /* reported in a turn */
    }
    *out = &stream->stream;
    return 0;
}
