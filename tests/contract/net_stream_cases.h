/* What streams carry, what listeners accept, and the addresses of both. A part of net_cases.h. */
#ifndef CONTRACT_NET_STREAM_CASES_H
#define CONTRACT_NET_STREAM_CASES_H

#include "contract/net_fixture.h"

#define NET_STREAM_CASES(X)                                      \
    X(what_is_written_comes_back_from_an_echo)                   \
    X(bytes_keep_their_order_over_many_small_writes)             \
    X(many_connections_at_once)                                  \
    X(addresses_of_both_sides_are_known)                         \
    X(what_is_written_before_the_connect_is_sent_after_it)       \
    X(a_large_transfer_waits_for_room_and_is_told_when_there_is) \
    X(a_paused_stream_receives_nothing_until_it_is_resumed)      \
    X(callbacks_may_be_replaced_in_the_middle)                   \
    X(a_refused_connect_is_reported_once_and_later)              \
    X(malformed_addresses_are_refused_at_once)                   \
    X(a_listener_takes_a_free_port_and_keeps_it_to_itself)       \
    X(a_closed_listener_accepts_nothing_more)

static void what_is_written_comes_back_from_an_echo(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    server->echoes = true;
    net_pair_open(server, &client);
    static const char *const texts[] = {"hello", "x", "a longer line of text\r\n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        net_end_write(&client, texts[i], strlen(texts[i]));
        net_end_expect(&client, texts[i], strlen(texts[i]));
    }
    net_end_write(&client, NULL, 0);
    assert_int_equal(stream_unsent_bytes(client.stream), 0);
    net_end_close(&client);
    net_server_close(server);
}

static void bytes_keep_their_order_over_many_small_writes(void **state)
{
    enum { COUNT = 3000 };
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    struct buffer expected = {0};
    for (unsigned i = 0; i < COUNT; i++) {
        char text[32];
        int size = snprintf(text, sizeof(text), "%u,", i);
        buffer_append(&expected, text, (size_t)size);
        net_end_write(&client, text, (size_t)size);
        if (i % 1000 == 999) {
            net_cases_run_for(fixture, 1);
        }
    }
    net_end_expect(other, expected.data, expected.size);
    buffer_close(&expected);
    net_end_close(&client);
    net_server_close(server);
}

static void many_connections_at_once(void **state)
{
    enum { COUNT = 40 };
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end *clients = memory_new(COUNT * sizeof(clients[0]));
    server->echoes = true;
    for (unsigned i = 0; i < COUNT; i++) {
        net_end_connect(&clients[i], fixture, net_server_address(server));
    }
    for (unsigned i = 0; i < COUNT; i++) {
        net_cases_run_until(fixture, net_cases_has_connected, &clients[i]);
        assert_int_equal(clients[i].connected_result, 0);
        net_end_write(&clients[i], &i, sizeof(i));
    }
    for (unsigned i = 0; i < COUNT; i++) {
        net_end_expect(&clients[i], &i, sizeof(i));
        net_end_close(&clients[i]);
    }
    assert_int_equal(server->count, COUNT);
    net_server_close(server);
    free(clients);
}

static void addresses_of_both_sides_are_known(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    const char *port = strrchr(net_server_address(server), ':');
    assert_non_null(port);
    assert_string_not_equal(port, ":0");
    assert_non_null(strstr(stream_peer_address(client.stream), port));
    assert_non_null(strrchr(stream_peer_address(other->stream), ':'));
    net_end_close(&client);
    net_server_close(server);
}

static void what_is_written_before_the_connect_is_sent_after_it(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    server->echoes = true;
    net_end_connect(&client, fixture, net_server_address(server));
    net_end_write(&client, "early", 5);
    assert_int_equal(stream_unsent_bytes(client.stream), 5);
    net_end_expect(&client, "early", 5);
    assert_int_equal(client.connected_count, 1);
    net_end_close(&client);
    net_server_close(server);
}

struct net_flood {
    struct net_end *sender;
    struct net_end *receiver;
    const uint8_t *bytes;
    size_t size;
    size_t written;
    unsigned drained_seen;
};

/* Writes until enough waits, then again when drained was called. */
static inline bool net_flood_step(void *arg)
{
    struct net_flood *flood = arg;
    struct net_end *sender = flood->sender;
    if (flood->written == 0 || sender->drained_count > flood->drained_seen) {
        flood->drained_seen = sender->drained_count;
        while (flood->written < flood->size && stream_unsent_bytes(sender->stream) <= 2 * STREAM_LOW_WATER_BYTES) {
            size_t piece = flood->size - flood->written < 30000 ? flood->size - flood->written : 30000;
            net_end_write(sender, flood->bytes + flood->written, piece);
            flood->written += piece;
        }
    }
    return flood->receiver->received.size >= flood->size;
}

static void a_large_transfer_waits_for_room_and_is_told_when_there_is(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    size_t size = (24u << 20) + 17;
    uint8_t *bytes = net_cases_bytes(size, 1);
    struct net_flood flood = {.sender = &client, .receiver = other, .bytes = bytes, .size = size};
    stream_pause(other->stream);
    (void)net_flood_step(&flood);
    net_cases_run_for(fixture, 20);
    stream_resume(other->stream);
    net_cases_run_until(fixture, net_flood_step, &flood);
    assert_int_equal(other->received.size, size);
    assert_memory_equal(other->received.data, bytes, size);
    assert_true(client.drained_count >= size / (3 * STREAM_LOW_WATER_BYTES));
    assert_true(client.unsent_max <= 2 * STREAM_LOW_WATER_BYTES + 30000);
    net_end_close(&client);
    net_server_close(server);
    free(bytes);
}

static void a_paused_stream_receives_nothing_until_it_is_resumed(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    stream_pause(other->stream);
    stream_pause(other->stream);
    net_end_write(&client, "waits", 5);
    net_cases_run_for(fixture, 20);
    assert_int_equal(other->received.size, 0);
    stream_resume(other->stream);
    stream_resume(other->stream);
    net_end_expect(other, "waits", 5);
    net_end_close(&client);
    net_server_close(server);
}

static void callbacks_may_be_replaced_in_the_middle(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    struct net_end second = {.fixture = fixture, .stream = other->stream};
    net_end_write(&client, "first", 5);
    net_end_expect(other, "first", 5);
    stream_set_callbacks(other->stream, &net_end_callbacks, &second);
    net_end_write(&client, "second", 6);
    net_end_expect(&second, "second", 6);
    assert_int_equal(other->received.size, 0);
    buffer_close(&second.received);
    net_end_close(&client);
    net_server_close(server);
}

static void a_refused_connect_is_reported_once_and_later(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    char address[300];
    snprintf(address, sizeof(address), "%s", net_server_address(server));
    net_server_close(server);
    struct net_end client = {0};
    net_end_connect(&client, fixture, address);
    net_end_write(&client, "lost", 4);
    net_cases_run_until(fixture, net_cases_has_connected, &client);
    assert_true(client.connected_result < 0);
    assert_non_null(strstr(client.failure, strrchr(address, ':')));
    net_end_write(&client, "lost", 4);
    net_cases_run_for(fixture, 20);
    assert_int_equal(client.connected_count, 1);
    assert_int_equal(client.ended_count, 0);
    net_end_close(&client);
}

static void malformed_addresses_are_refused_at_once(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    static const char *const rows[] = {"",          "127.0.0.1", "127.0.0.1:", ":1",    "127.0.0.1:65536",
                                       "a:1:2",     "::1",       "[::1]",      "[]:1",  "127.0.0.1:-1",
                                       "[::1]x:10", "a:1x",      "a: 1",       "[::1:1"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct stream *stream = NULL;
        struct listener *listener = NULL;
        struct net_end end = {.in_call = true};
        assert_int_equal(stream_connect(fixture->loop, rows[i], &net_end_callbacks, &end, &stream), HF_EINVALID);
        assert_null(stream);
        assert_non_null(strstr(hf_error_text(), rows[i]));
        assert_int_equal(listener_open(fixture->loop, rows[i], net_server_accepted, NULL, &listener), HF_EINVALID);
        assert_null(listener);
    }
}

/* ---- listeners ---- */

static void a_listener_takes_a_free_port_and_keeps_it_to_itself(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *first = net_server_open(fixture);
    struct net_server *second = net_server_open(fixture);
    struct listener *third = NULL;
    assert_string_not_equal(net_server_address(first), net_server_address(second));
    assert_int_equal(listener_open(fixture->loop, net_server_address(first), net_server_accepted, NULL, &third),
                     HF_EBUSY);
    assert_null(third);
    assert_non_null(strstr(hf_error_text(), net_server_address(first)));
    char address[300];
    snprintf(address, sizeof(address), "%s", net_server_address(first));
    net_server_close(first);
    net_cases_assert_ok(listener_open(fixture->loop, address, net_server_accepted, NULL, &third));
    assert_string_equal(listener_address(third), address);
    listener_close(third);
    net_server_close(second);
}

static void a_closed_listener_accepts_nothing_more(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    char address[300];
    snprintf(address, sizeof(address), "%s", net_server_address(server));
    struct net_end clients[2] = {{0}};
    struct net_end *other = net_pair_open(server, &clients[0]);
    listener_close(server->listener);
    server->listener = NULL;
    net_end_connect(&clients[1], fixture, address);
    net_cases_run_until(fixture, net_cases_has_connected, &clients[1]);
    assert_true(clients[1].connected_result < 0);
    net_end_write(&clients[0], "still", 5); /* what was accepted goes on */
    net_end_expect(other, "still", 5);
    net_end_close(&clients[0]);
    net_end_close(&clients[1]);
    net_server_close(server);
}

#endif
