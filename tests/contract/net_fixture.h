/* What net's tests share: the fixture that the contract's cases run on, and helpers. */
#ifndef CONTRACT_NET_FIXTURE_H
#define CONTRACT_NET_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "io/io.h"
#include "net/loop.h"

struct net_fixture {
    struct io *io;
    struct loop *loop;
    const char *listen; /* where listeners open, with port 0: "127.0.0.1:0" */
    /* Runs the loop until the condition holds: true; false when it did not within the fixture's limit. */
    bool (*run_until)(struct net_fixture *fixture, bool (*condition)(void *arg), void *arg);
    void *user; /* the test file's own */
};

#define net_cases_assert_ok(rc)                                                        \
    do {                                                                               \
        int net_cases_rc = (rc);                                                       \
        if (net_cases_rc != 0) {                                                       \
            fail_msg("%s: %s: %s", #rc, hf_error_name(net_cases_rc), hf_error_text()); \
        }                                                                              \
    } while (0)

static inline struct net_fixture *net_cases_fixture(void **state)
{
    return *state;
}

#define net_cases_run_until(fixture, condition, arg)                \
    do {                                                            \
        if (!(fixture)->run_until((fixture), (condition), (arg))) { \
            fail_msg("it never happened: %s", #condition);          \
        }                                                           \
    } while (0)

static inline bool net_cases_is_set(void *arg)
{
    return *(bool *)arg;
}

static inline void net_cases_set(void *arg)
{
    *(bool *)arg = true;
}

/* Lets the loop run for some time, with one timer. */
static inline void net_cases_run_undisturbed(struct net_fixture *fixture, uint64_t duration_ms)
{
    bool is_over = false;
    struct loop_timer timer = {.fire = net_cases_set, .arg = &is_over};
    loop_timer_set(fixture->loop, &timer, loop_now_ms(fixture->loop) + duration_ms);
    net_cases_run_until(fixture, net_cases_is_set, &is_over);
}

/* The same in pieces: a process that stood still for a while hands out what became due or arrived meanwhile before the
 * time is over. */
#define NET_CASES_PIECES_MAX 5u
static inline void net_cases_run_for(struct net_fixture *fixture, uint64_t duration_ms)
{
    uint64_t pieces = duration_ms < NET_CASES_PIECES_MAX ? duration_ms + (duration_ms == 0) : NET_CASES_PIECES_MAX;
    for (uint64_t i = 0; i < pieces; i++) {
        net_cases_run_undisturbed(fixture, (duration_ms + pieces - 1) / pieces);
    }
}

/* One end of a connection, and what happened to it. */
struct net_end {
    struct net_fixture *fixture;
    struct stream *stream;
    struct buffer received;
    unsigned connected_count;
    int connected_result;
    unsigned ended_count;
    int ended_result;
    unsigned drained_count;
    char failure[256]; /* the error's text in connected or ended */
    bool in_call;      /* the test is inside a call of the seam: no callback may run */
    bool closed;       /* no callback may run any more */
    bool echoes;
    size_t unsent_max;
};

static inline void net_end_check(const struct net_end *end)
{
    assert_false(end->in_call);
    assert_false(end->closed);
}

static inline void net_end_connected(void *arg, int result)
{
    struct net_end *end = arg;
    net_end_check(end);
    assert_int_equal(end->received.size, 0);
    end->connected_count++;
    end->connected_result = result;
    error_text_copy(end->failure, sizeof(end->failure));
}

static inline void net_end_received(void *arg, struct hf_bytes bytes)
{
    struct net_end *end = arg;
    net_end_check(end);
    assert_int_equal(end->ended_count, 0);
    assert_true(bytes.size > 0);
    buffer_append_bytes(&end->received, bytes);
    if (end->echoes) {
        stream_write(end->stream, bytes);
    }
}

static inline void net_end_ended(void *arg, int result)
{
    struct net_end *end = arg;
    net_end_check(end);
    end->ended_count++;
    end->ended_result = result;
    error_text_copy(end->failure, sizeof(end->failure));
}

static inline void net_end_drained(void *arg)
{
    struct net_end *end = arg;
    net_end_check(end);
    end->drained_count++;
    assert_true(stream_unsent_bytes(end->stream) < STREAM_LOW_WATER_BYTES);
}

static const struct stream_callbacks net_end_callbacks = {
    .connected = net_end_connected, .received = net_end_received, .ended = net_end_ended, .drained = net_end_drained};

static inline void net_end_connect(struct net_end *end, struct net_fixture *fixture, const char *address)
{
    end->fixture = fixture;
    end->in_call = true;
    net_cases_assert_ok(stream_connect(fixture->loop, address, &net_end_callbacks, end, &end->stream));
    end->in_call = false;
    assert_non_null(end->stream);
}

static inline void net_end_close(struct net_end *end)
{
    end->in_call = true;
    stream_close(end->stream);
    end->in_call = false;
    end->closed = true;
    end->stream = NULL;
    buffer_close(&end->received);
}

static inline void net_end_close_when_sent(struct net_end *end)
{
    end->in_call = true;
    stream_close_when_sent(end->stream);
    end->in_call = false;
    end->closed = true;
    end->stream = NULL;
    buffer_close(&end->received);
}

static inline void net_end_write(struct net_end *end, const void *data, size_t size)
{
    end->in_call = true;
    stream_write(end->stream, (struct hf_bytes){data, size});
    end->in_call = false;
    if (stream_unsent_bytes(end->stream) > end->unsent_max) {
        end->unsent_max = stream_unsent_bytes(end->stream);
    }
}

/* A listener with a place for what it accepts. */
#define NET_SERVER_ENDS_MAX 64u
struct net_server {
    struct net_fixture *fixture;
    struct listener *listener;
    struct net_end ends[NET_SERVER_ENDS_MAX];
    unsigned count;
    bool echoes;
};

static inline void net_server_accepted(void *arg, struct stream *stream)
{
    struct net_server *server = arg;
    assert_true(server->count < NET_SERVER_ENDS_MAX);
    struct net_end *end = &server->ends[server->count++];
    *end = (struct net_end){.fixture = server->fixture, .stream = stream, .echoes = server->echoes};
    stream_set_callbacks(stream, &net_end_callbacks, end);
}

static inline struct net_server *net_server_open(struct net_fixture *fixture)
{
    struct net_server *server = memory_new(sizeof(*server));
    server->fixture = fixture;
    net_cases_assert_ok(listener_open(fixture->loop, fixture->listen, net_server_accepted, server, &server->listener));
    return server;
}

static inline const char *net_server_address(const struct net_server *server)
{
    return listener_address(server->listener);
}

static inline void net_server_close(struct net_server *server)
{
    for (unsigned i = 0; i < server->count; i++) {
        if (!server->ends[i].closed) {
            net_end_close(&server->ends[i]);
        }
    }
    if (server->listener != NULL) {
        listener_close(server->listener);
    }
    /* What still runs after the close may look at the ends: let it, so that it is caught. */
    net_cases_run_for(server->fixture, 5);
    free(server);
}

/* A connected pair: `client` connected to the server's next end. */
struct net_pair {
    struct net_server *server;
    struct net_end *client;
    unsigned server_end;
};

static inline bool net_pair_is_open(void *arg)
{
    const struct net_pair *pair = arg;
    return pair->client->connected_count == 1 && pair->server->count > pair->server_end;
}

/* Returns the server's end. */
static inline struct net_end *net_pair_open(struct net_server *server, struct net_end *client)
{
    struct net_pair pair = {server, client, server->count};
    net_end_connect(client, server->fixture, net_server_address(server));
    net_cases_run_until(server->fixture, net_pair_is_open, &pair);
    assert_int_equal(client->connected_result, 0);
    return &server->ends[pair.server_end];
}

struct net_wanted {
    const struct net_end *end;
    size_t size;
};

static inline bool net_cases_has_received(void *arg)
{
    const struct net_wanted *wanted = arg;
    return wanted->end->received.size >= wanted->size;
}

static inline void net_end_expect(struct net_end *end, const void *data, size_t size)
{
    struct net_wanted wanted = {end, size};
    net_cases_run_until(end->fixture, net_cases_has_received, &wanted);
    assert_int_equal(end->received.size, size);
    assert_memory_equal(end->received.data, data, size);
    buffer_clear(&end->received);
}

static inline bool net_cases_has_ended(void *arg)
{
    return ((const struct net_end *)arg)->ended_count > 0;
}

static inline bool net_cases_has_connected(void *arg)
{
    return ((const struct net_end *)arg)->connected_count > 0;
}

static inline uint8_t *net_cases_bytes(size_t size, unsigned seed)
{
    uint8_t *bytes = memory_new(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)((i * 7 + (i >> 9) * 13 + seed) & 0xff);
    }
    return bytes;
}

#endif
