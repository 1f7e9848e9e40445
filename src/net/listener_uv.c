#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "net/loop_uv.h"

#define LISTENER_BACKLOG 1024

struct listener_uv {
    struct listener base;
    uv_tcp_t tcp;
    struct loop_uv *loop;
    void (*accepted)(void *arg, struct stream *stream);
    void *arg;
    char address[128];
};

static struct listener_uv *listener_uv_of(const struct listener *listener)
{
    return (struct listener_uv *)(void *)(uintptr_t)listener;
}

static const char *ops_address(const struct listener *base)
{
    return listener_uv_of(base)->address;
}
static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void ops_close(struct listener *base)
{
    struct listener_uv *listener = listener_uv_of(base);
    uv_close((uv_handle_t *)&listener->tcp, on_closed);
}

static const struct listener_ops listener_uv_ops = {.address = ops_address, .close = ops_close};

static void on_connection(uv_stream_t *handle, int status)
{
    struct listener_uv *listener = handle->data;
    if (status != 0) {
        return;
    }
    struct stream *stream = stream_uv_accept(listener->loop, handle);
    if (stream == NULL) {
        return;
    }
    listener->loop->turn_has_work = true;
    listener->accepted(listener->arg, stream);
    stream_uv_start(stream);
}

/* Names are resolved here and now: a listener opens before anything is served. */
static int listener_bind(struct listener_uv *listener, const char *address)
{
    char host[256], port[8];
    int rc = loop_uv_split_address(address, host, sizeof(host), port, sizeof(port));
    if (rc != 0) {
        return rc;
    }
    uv_getaddrinfo_t request;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int status = uv_getaddrinfo(&listener->loop->uv, &request, NULL, host, port, &hints);
    if (status != 0) {
        return loop_uv_error(status, "listen on", address);
    }
    status = uv_tcp_bind(&listener->tcp, request.addrinfo->ai_addr, 0);
    uv_freeaddrinfo(request.addrinfo);
    if (status == 0) {
        status = uv_listen((uv_stream_t *)&listener->tcp, LISTENER_BACKLOG, on_connection);
    }
    return status == 0 ? 0 : loop_uv_error(status, "listen on", address);
}

int listener_uv_open(struct loop *base, const char *address, void (*accepted)(void *arg, struct stream *stream),
                     void *arg, struct listener **out)
{
    struct loop_uv *loop = loop_uv_of(base);
    struct listener_uv *listener = memory_new(sizeof(*listener));
    listener->base.ops = &listener_uv_ops;
    listener->loop = loop;
    listener->accepted = accepted;
    listener->arg = arg;
    uv_tcp_init(&loop->uv, &listener->tcp);
    listener->tcp.data = listener;
    int rc = listener_bind(listener, address);
    if (rc != 0) {
        ops_close(&listener->base);
        return rc;
    }
    struct sockaddr_storage bound;
    int size = sizeof(bound);
    uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&bound, &size);
    loop_uv_address_text((const struct sockaddr *)&bound, listener->address, sizeof(listener->address));
    *out = &listener->base;
    return 0;
}
