#include "net/listener_uv.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/trace.h"

struct listener_uv {
    struct listener listener;
    struct loop_uv *loop;
    uv_tcp_t tcp;
    void (*accepted)(void *arg, struct stream *stream);
    void *arg;
    uint64_t complained_ms; /* when the last line about a failed accept was written; 0: never */
    char address[ADDRESS_TEXT_SIZE_MAX];
};

static const struct listener_ops listener_uv_ops;

static void listener_uv_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void listener_uv_complain(struct listener_uv *listener, int status)
{
    uint64_t now_ms = loop_now_ms(&listener->loop->loop);
    if (listener->complained_ms == 0 || now_ms - listener->complained_ms >= LISTENER_UV_COMPLAINT_GAP_MS) {
        listener->complained_ms = now_ms;
        TRACE(TRACE_WARN, "net", "%s cannot accept a connection: %s", listener->address, uv_strerror(status));
    }
}

static void listener_uv_on_connection(uv_stream_t *handle, int status)
{
    struct listener_uv *listener = handle->data;
    if (status != 0) {
        listener_uv_complain(listener, status);
        return;
    }
    listener->loop->busy = true;
    struct stream_uv *stream = stream_uv_new(listener->loop);
    stream_uv_attach(stream);
    status = uv_accept(handle, (uv_stream_t *)&stream->socket->tcp);
    if (status != 0) {
        listener_uv_complain(listener, status);
        stream_uv_destroy(stream);
        return;
    }
    stream_uv_accepted(stream);
    listener->accepted(listener->arg, &stream->stream);
}

/* Resolves here and now: a listener opens before anything is served. Of several addresses the first IPv4 one counts, so
 * that "localhost" is where clients look for it. */
static int listener_uv_resolve(struct listener_uv *listener, const struct address *address,
                               struct sockaddr_storage *out)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t request;
    char port[8];
    snprintf(port, sizeof(port), "%" PRIu16, address->port);
    int status = uv_getaddrinfo(&listener->loop->uv, &request, NULL, address->host, port, &hints);
    if (status != 0) {
        return status;
    }
    const struct addrinfo *chosen = request.addrinfo;
    for (const struct addrinfo *found = request.addrinfo; found != NULL; found = found->ai_next) {
        if (found->ai_family == AF_INET) {
            chosen = found;
            break;
        }
    }
    *out = (struct sockaddr_storage){0};
    memcpy(out, chosen->ai_addr, chosen->ai_addrlen);
    uv_freeaddrinfo(request.addrinfo);
    return 0;
}

static int listener_uv_listen(struct listener_uv *listener, const struct address *address)
{
    struct sockaddr_storage target;
    int status = 0;
    if (!loop_uv_address_of(address, &target)) {
        status = listener_uv_resolve(listener, address, &target);
    }
    if (status == 0) {
        status = uv_tcp_bind(&listener->tcp, (const struct sockaddr *)&target, 0);
    }
    if (status == 0) {
        status = uv_listen((uv_stream_t *)&listener->tcp, LISTENER_UV_BACKLOG, listener_uv_on_connection);
    }
    int size = sizeof(target);
    if (status == 0) {
        status = uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&target, &size);
    }
    if (status == 0) {
        loop_uv_address_text(&target, listener->address);
    }
    return status;
}

static const char *listener_uv_address(const struct listener *base)
{
    assert(base->ops == &listener_uv_ops);
    return ((const struct listener_uv *)base)->address;
}

static void listener_uv_close(struct listener *base)
{
    assert(base->ops == &listener_uv_ops);
    struct listener_uv *listener = (struct listener_uv *)base;
    listener->loop->handle_count--;
    uv_close((uv_handle_t *)&listener->tcp, listener_uv_on_closed);
}

static const struct listener_ops listener_uv_ops = {.address = listener_uv_address, .close = listener_uv_close};

int listener_uv_open(struct loop *base, const char *text, void (*accepted)(void *arg, struct stream *stream), void *arg,
                     struct listener **out)
{
    struct address address;
    *out = NULL;
    int rc = address_parse(text, &address);
    if (rc != 0) {
        return rc;
    }
    struct listener_uv *listener = memory_new(sizeof(*listener));
    listener->listener.ops = &listener_uv_ops;
    listener->loop = loop_uv_of(base);
    listener->accepted = accepted;
    listener->arg = arg;
    listener->tcp.data = listener;
    int status = uv_tcp_init(&listener->loop->uv, &listener->tcp);
    assert(status == 0); /* without a family it only fills the struct */
    listener->loop->handle_count++;
    status = listener_uv_listen(listener, &address);
    if (status != 0) {
        listener_uv_close(&listener->listener);
        return loop_uv_error(status, "listen on %s", text);
    }
    *out = &listener->listener;
    return 0;
}
