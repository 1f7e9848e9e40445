#include "sim/sim_listener.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_network.h"
#include "sim/sim_stream.h"

static const struct listener_ops sim_listener_ops;

struct sim_listener *sim_listener_find(struct sim_host *host, unsigned port)
{
    if (host->process == NULL) {
        return NULL;
    }
    list_each (&host->process->loops, loop_item) {
        struct sim_loop *loop = list_entry(loop_item, struct sim_loop, link);
        list_each (&loop->listeners, item) {
            struct sim_listener *listener = list_entry(item, struct sim_listener, link);
            if (listener->port == port) {
                return listener;
            }
        }
    }
    return NULL;
}

static void sim_listener_release(struct sim_listener *listener)
{
    free(listener->address);
    free(listener);
}

static void sim_listener_accept(struct sim_ready *ready)
{
    struct sim_listener *listener = list_entry(ready, struct sim_listener, ready);
    listener->in_call = true;
    while (!list_empty(&listener->waiting)) {
        struct sim_stream *stream = list_entry(listener->waiting.next, struct sim_stream, waiting);
        list_remove(&stream->waiting);
        sim_stream_own(stream);
        listener->accepted(listener->arg, &stream->stream);
    }
    listener->in_call = false;
    if (listener->closed) {
        sim_listener_release(listener);
    }
}

/* Finds a port that nobody on the host listens to. */
static unsigned sim_listener_choose_port(struct sim_host *host)
{
    do {
        host->sim->port_last++;
    } while (sim_listener_find(host, host->sim->port_last) != NULL);
    return host->sim->port_last;
}

int sim_listener_listen(struct loop *base, const char *text, void (*accepted)(void *arg, struct stream *stream),
                        void *arg, struct listener **out)
{
    struct sim_loop *loop = sim_loop_of(base);
    struct sim_host *host = loop->process->host;
    struct sim_address address;
    if (!sim_host_is_live(loop->process)) {
        return sim_host_raise_closed(loop->process, text);
    }
    int rc = sim_network_parse(text, &address);
    if (rc == 0) {
        rc = sim_network_claim(host, address.name);
    }
    if (rc != 0) {
        return rc;
    }
    if (address.port == 0) {
        address.port = sim_listener_choose_port(host);
    } else if (sim_listener_find(host, address.port) != NULL) {
        return error_raise(HF_EBUSY, "%s: the address is in use", text);
    }
    struct sim_listener *listener = memory_new(sizeof(*listener));
    listener->listener.ops = &sim_listener_ops;
    listener->loop = loop;
    listener->port = address.port;
    bool brackets = strchr(address.name, ':') != NULL;
    listener->address = text_format(brackets ? "[%s]:%u" : "%s:%u", address.name, address.port);
    listener->accepted = accepted;
    listener->arg = arg;
    sim_loop_init_ready(&listener->ready, sim_listener_accept);
    list_init(&listener->waiting);
    list_append(&loop->listeners, &listener->link);
    loop->process->handle_count++;
    *out = &listener->listener;
    return 0;
}

void sim_listener_offer(struct sim_listener *listener, struct sim_stream *stream)
{
    list_append(&listener->waiting, &stream->waiting);
    sim_loop_add_ready(listener->loop, &listener->ready);
}

void sim_listener_end(struct sim_listener *listener)
{
    while (!list_empty(&listener->waiting)) {
        struct sim_stream *stream = list_entry(listener->waiting.next, struct sim_stream, waiting);
        sim_stream_free(stream);
    }
}

void sim_listener_free(struct sim_listener *listener)
{
    sim_listener_end(listener);
    list_remove(&listener->ready.link);
    list_remove(&listener->link);
    listener->loop->process->handle_count--;
    listener->closed = true;
    if (!listener->in_call) {
        sim_listener_release(listener);
    }
}

static const char *sim_listener_address(const struct listener *base)
{
    return list_entry(base, const struct sim_listener, listener)->address;
}

static void sim_listener_close(struct listener *base)
{
    sim_listener_free(list_entry(base, struct sim_listener, listener));
}

static const struct listener_ops sim_listener_ops = {
    .address = sim_listener_address,
    .close = sim_listener_close,
};
