/* How streams end: by either side, in whichever callback, before and after all is sent. A part of net_cases.h. */
#ifndef CONTRACT_NET_END_CASES_H
#define CONTRACT_NET_END_CASES_H

#include "contract/net_fixture.h"

#define NET_END_CASES(X)                               \
    X(the_other_sides_close_ends_the_stream_once)      \
    X(after_close_no_callback_runs)                    \
    X(a_stream_may_be_closed_in_each_of_its_callbacks) \
    X(closing_before_the_connect_is_over_is_silent)    \
    X(close_when_sent_delivers_everything_then_ends)   \
    X(close_when_sent_before_the_connect_delivers_too) \
    X(close_when_sent_of_a_refused_connect_is_silent)  \
    X(closing_no_stream_is_fine)

static void the_other_sides_close_ends_the_stream_once(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end clients[2] = {{0}};
    struct net_end *others[2] = {net_pair_open(server, &clients[0]), net_pair_open(server, &clients[1])};
    net_end_write(&clients[0], "last", 4);
    net_end_close_when_sent(&clients[0]);
    net_end_close(others[1]);
    net_cases_run_until(fixture, net_cases_has_ended, others[0]);
    net_cases_run_until(fixture, net_cases_has_ended, &clients[1]);
    net_cases_run_for(fixture, 20);
    assert_int_equal(others[0]->received.size, 4);
    assert_int_equal(others[0]->ended_count, 1);
    assert_int_equal(others[0]->ended_result, 0);
    assert_int_equal(clients[1].ended_count, 1);
    net_end_close(&clients[1]);
    net_server_close(server);
}

static void after_close_no_callback_runs(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end clients[2] = {{0}};
    struct net_end *others[2] = {net_pair_open(server, &clients[0]), net_pair_open(server, &clients[1])};
    uint8_t *bytes = net_cases_bytes(4u << 20, 1);
    for (unsigned i = 0; i < 2; i++) {
        net_end_write(&clients[i], bytes, 4u << 20);
        net_end_write(others[i], bytes, 4u << 20);
    }
    net_cases_run_for(fixture, 2);
    net_end_close(&clients[0]); /* while bytes are on their way in both directions */
    net_cases_run_until(fixture, net_cases_has_ended, others[0]);
    net_end_close(&clients[1]);
    net_end_close(others[1]); /* both in the same turn */
    net_cases_run_for(fixture, 20);
    net_server_close(server);
    free(bytes);
}

enum net_where { NET_IN_CONNECTED, NET_IN_RECEIVED, NET_IN_ENDED, NET_IN_DRAINED, NET_WHERE_COUNT };
struct net_closer {
    struct stream *stream;
    enum net_where where;
    bool when_sent;
    bool is_over;
};

static inline void net_closer_at(struct net_closer *closer, enum net_where where)
{
    assert_false(closer->is_over);
    if (closer->where == where) {
        closer->is_over = true;
        if (closer->when_sent) {
            stream_close_when_sent(closer->stream);
        } else {
            stream_close(closer->stream);
        }
    }
}

static inline void net_closer_connected(void *arg, int result)
{
    assert_int_equal(result, 0);
    net_closer_at(arg, NET_IN_CONNECTED);
}

static inline void net_closer_received(void *arg, struct hf_bytes bytes)
{
    net_closer_at(arg, NET_IN_RECEIVED);
}

static inline void net_closer_ended(void *arg, int result)
{
    net_closer_at(arg, NET_IN_ENDED);
}

static inline void net_closer_drained(void *arg)
{
    net_closer_at(arg, NET_IN_DRAINED);
}

static inline bool net_closer_is_over(void *arg)
{
    return ((const struct net_closer *)arg)->is_over;
}

static void a_stream_may_be_closed_in_each_of_its_callbacks(void **state)
{
    static const struct stream_callbacks callbacks = {.connected = net_closer_connected,
                                                      .received = net_closer_received,
                                                      .ended = net_closer_ended,
                                                      .drained = net_closer_drained};
    struct net_fixture *fixture = net_cases_fixture(state);
    uint8_t *bytes = net_cases_bytes(2 * STREAM_LOW_WATER_BYTES, 1);
    for (unsigned i = 0; i < 2 * NET_WHERE_COUNT; i++) {
        struct net_server *server = net_server_open(fixture);
        struct net_closer closer = {.where = i / 2, .when_sent = i % 2 == 1};
        net_cases_assert_ok(
            stream_connect(fixture->loop, net_server_address(server), &callbacks, &closer, &closer.stream));
        stream_write(closer.stream,
                     (struct hf_bytes){bytes, closer.where == NET_IN_DRAINED ? 2 * STREAM_LOW_WATER_BYTES : 5});
        server->echoes = closer.where == NET_IN_RECEIVED;
        if (closer.where == NET_IN_ENDED) {
            struct net_wanted wanted = {&server->ends[0], 5};
            net_cases_run_until(fixture, net_cases_has_received, &wanted);
            net_end_close_when_sent(&server->ends[0]);
        }
        net_cases_run_until(fixture, net_closer_is_over, &closer);
        net_cases_run_for(fixture, 5);
        net_server_close(server);
    }
    free(bytes);
}

static void closing_before_the_connect_is_over_is_silent(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end clients[3] = {{0}};
    net_end_connect(&clients[0], fixture, net_server_address(server));
    net_end_close(&clients[0]);
    net_end_connect(&clients[1], fixture, net_server_address(server));
    net_end_write(&clients[1], "x", 1);
    net_end_close(&clients[1]);
    net_end_connect(&clients[2], fixture, net_server_address(server));
    net_end_close_when_sent(&clients[2]);
    net_cases_run_for(fixture, 20);
    net_server_close(server);
}

static void close_when_sent_delivers_everything_then_ends(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    static const size_t sizes[] = {0, 1, 100000, (6u << 20) + 5};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct net_server *server = net_server_open(fixture);
        struct net_end client = {0};
        uint8_t *bytes = net_cases_bytes(sizes[i] + 1, (unsigned)i);
        struct net_end *other = net_pair_open(server, &client);
        stream_pause(other->stream);
        net_end_write(&client, bytes, sizes[i]);
        net_end_close_when_sent(&client);
        net_cases_run_for(fixture, 10);
        stream_resume(other->stream);
        net_cases_run_until(fixture, net_cases_has_ended, other);
        assert_int_equal(other->ended_result, 0);
        assert_int_equal(other->received.size, sizes[i]);
        if (sizes[i] > 0) {
            assert_memory_equal(other->received.data, bytes, sizes[i]);
        }
        net_server_close(server);
        free(bytes);
    }
}

static inline bool net_cases_has_end(void *arg)
{
    return ((const struct net_server *)arg)->count > 0;
}

static void close_when_sent_before_the_connect_delivers_too(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    net_end_connect(&client, fixture, net_server_address(server));
    net_end_write(&client, "early and gone", 14);
    net_end_close_when_sent(&client);
    net_cases_run_until(fixture, net_cases_has_end, server);
    net_cases_run_until(fixture, net_cases_has_ended, &server->ends[0]);
    net_end_expect(&server->ends[0], "early and gone", 14);
    net_server_close(server);
}

static void close_when_sent_of_a_refused_connect_is_silent(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    char address[300];
    snprintf(address, sizeof(address), "%s", net_server_address(server));
    net_server_close(server);
    struct net_end clients[2] = {{0}};
    net_end_connect(&clients[0], fixture, address);
    net_end_write(&clients[0], "lost", 4);
    net_end_close_when_sent(&clients[0]);
    net_end_connect(&clients[1], fixture, address);
    net_cases_run_until(fixture, net_cases_has_connected, &clients[1]);
    assert_true(clients[1].connected_result < 0);
    net_end_close_when_sent(&clients[1]);
    net_cases_run_for(fixture, 20);
}

static void closing_no_stream_is_fine(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    stream_close(NULL);
    loop_watch_close(fixture->loop, NULL);
    loop_close(NULL);
}

#endif
