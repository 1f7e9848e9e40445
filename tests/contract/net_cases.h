/* The contract of net/loop.h as cases that every implementation passes. A test file sets up a fixture, puts it in
 * cmocka's state, and makes its table from NET_CASES:
 *
 *   #define ROW(name) cmocka_unit_test_setup_teardown(name, setup, teardown),
 *   const struct CMUnitTest tests[] = {NET_CASES(ROW)};
 *
 * The network of the fixture loses nothing. What only libuv has (threads, sockets of others) is in test_net_contract.c.
 */
#ifndef CONTRACT_NET_CASES_H
#define CONTRACT_NET_CASES_H

#include "contract/net_fixture.h"

#define NET_CASES(X)                                              \
    X(what_is_written_comes_back_from_an_echo)                    \
    X(bytes_keep_their_order_over_many_small_writes)              \
    X(many_connections_at_once)                                   \
    X(addresses_of_both_sides_are_known)                          \
    X(what_is_written_before_the_connect_is_sent_after_it)        \
    X(a_large_transfer_waits_for_room_and_is_told_when_there_is)  \
    X(a_paused_stream_receives_nothing_until_it_is_resumed)       \
    X(callbacks_may_be_replaced_in_the_middle)                    \
    X(a_refused_connect_is_reported_once_and_later)               \
    X(malformed_addresses_are_refused_at_once)                    \
    X(the_other_sides_close_ends_the_stream_once)                 \
    X(after_close_no_callback_runs)                               \
    X(a_stream_may_be_closed_in_each_of_its_callbacks)            \
    X(closing_before_the_connect_is_over_is_silent)               \
    X(close_when_sent_delivers_everything_then_ends)              \
    X(close_when_sent_before_the_connect_delivers_too)            \
    X(close_when_sent_of_a_refused_connect_is_silent)             \
    X(a_listener_takes_a_free_port_and_keeps_it_to_itself)        \
    X(a_closed_listener_accepts_nothing_more)                     \
    X(timers_fire_in_order_of_deadline_then_of_setting)           \
    X(a_timer_never_fires_early_and_may_be_moved)                 \
    X(a_stopped_timer_does_not_fire)                              \
    X(a_timer_may_set_stop_and_free_others_when_it_fires)         \
    X(a_timer_that_is_always_late_lets_the_others_run)            \
    X(the_clock_stands_still_within_a_turn)                       \
    X(turn_end_hooks_run_in_order_after_what_the_turn_handed_out) \
    X(a_turn_end_hook_may_remove_any_hook)                        \
    X(what_a_turn_end_hook_writes_leaves_before_the_loop_blocks)  \
    X(what_a_turn_end_hook_posts_or_sets_runs_soon)               \
    X(a_post_runs_later_in_order_and_not_inside_the_call)         \
    X(a_watched_queue_is_handed_out_until_it_is_reaped)           \
    X(a_wake_of_a_watched_queue_is_handed_out)                    \
    X(a_closed_watch_is_silent)                                   \
    X(closing_no_stream_is_fine)

/* ---- streams ---- */

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

/* ---- ends ---- */

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

/* ---- timers ---- */

struct net_order {
    char text[256];
    struct loop *loop;
};
struct net_timer {
    struct loop_timer timer;
    struct net_order *order;
    char name;
    uint64_t fired_ms;
    unsigned count;
};

static inline void net_order_add(struct net_order *order, char name)
{
    size_t used = strlen(order->text);
    if (used + 1 < sizeof(order->text)) {
        order->text[used] = name;
        order->text[used + 1] = '\0';
    }
}

static inline void net_timer_fire(void *arg)
{
    struct net_timer *timer = arg;
    timer->count++;
    timer->fired_ms = loop_now_ms(timer->order->loop);
    assert_true(timer->fired_ms >= timer->timer.deadline_ms);
    net_order_add(timer->order, timer->name);
}

static inline struct net_timer net_timer_of(struct net_order *order, char name)
{
    return (struct net_timer){.timer = {.fire = net_timer_fire}, .order = order, .name = name};
}

static inline void net_timer_set(struct net_timer *timer, uint64_t deadline_ms)
{
    timer->timer.arg = timer;
    loop_timer_set(timer->order->loop, &timer->timer, deadline_ms);
}

static void timers_fire_in_order_of_deadline_then_of_setting(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    uint64_t now_ms = loop_now_ms(fixture->loop);
    static const uint64_t after_ms[] = {12, 3, 7, 3, 0, 12, 7};
    struct net_timer timers[7];
    for (unsigned i = 0; i < 7; i++) {
        timers[i] = net_timer_of(&order, (char)('a' + i));
        net_timer_set(&timers[i], now_ms + after_ms[i]);
    }
    net_cases_run_for(fixture, 30);
    assert_string_equal(order.text, "ebdcgaf");
}

static void a_timer_never_fires_early_and_may_be_moved(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    uint64_t now_ms = loop_now_ms(fixture->loop);
    uint64_t started_ns = io_monotonic_ns(fixture->io);
    struct net_timer later = net_timer_of(&order, 'l');
    struct net_timer sooner = net_timer_of(&order, 's');
    net_timer_set(&later, now_ms + 5);
    net_timer_set(&later, now_ms + 25);
    net_timer_set(&sooner, now_ms + 10000);
    net_timer_set(&sooner, now_ms + 10);
    net_cases_run_for(fixture, 40);
    assert_string_equal(order.text, "sl");
    assert_true(sooner.fired_ms >= now_ms + 10);
    assert_true(later.fired_ms >= now_ms + 25);
    assert_true((io_monotonic_ns(fixture->io) - started_ns) / 1000000 >= 39);
    net_timer_set(&later, 0); /* long ago */
    net_cases_run_for(fixture, 1);
    assert_string_equal(order.text, "sll");
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_timer timer = net_timer_of(&order, 't');
    loop_timer_stop(fixture->loop, &timer.timer); /* never set */
    net_timer_set(&timer, loop_now_ms(fixture->loop) + 5);
    loop_timer_stop(fixture->loop, &timer.timer);
    loop_timer_stop(fixture->loop, &timer.timer);
    net_cases_run_for(fixture, 15);
    assert_int_equal(timer.count, 0);
    net_timer_set(&timer, loop_now_ms(fixture->loop) + 1);
    net_cases_run_for(fixture, 10);
    assert_int_equal(timer.count, 1);
}

struct net_meddler {
    struct net_timer timer;
    struct net_timer *stops;
    struct net_timer *frees;
    struct net_timer *sets;
};

static inline void net_meddler_fire(void *arg)
{
    struct net_meddler *meddler = arg;
    struct loop *loop = meddler->timer.order->loop;
    loop_timer_stop(loop, &meddler->stops->timer);
    loop_timer_stop(loop, &meddler->frees->timer);
    memset(meddler->frees, 0xee, sizeof(*meddler->frees));
    free(meddler->frees);
    net_timer_set(meddler->sets, loop_now_ms(loop) + 2);
}

static void a_timer_may_set_stop_and_free_others_when_it_fires(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    uint64_t deadline_ms = loop_now_ms(fixture->loop) + 3;
    struct net_timer stopped = net_timer_of(&order, 's');
    struct net_timer *freed = memory_new(sizeof(*freed));
    struct net_timer set = net_timer_of(&order, 'n');
    struct net_timer moved = net_timer_of(&order, 'm');
    *freed = net_timer_of(&order, 'f');
    struct net_meddler meddler = {
        .timer = net_timer_of(&order, 'x'), .stops = &stopped, .frees = freed, .sets = &moved};
    meddler.timer.timer = (struct loop_timer){.fire = net_meddler_fire, .arg = &meddler};
    loop_timer_set(fixture->loop, &meddler.timer.timer, deadline_ms); /* first of those that are due together */
    net_timer_set(&stopped, deadline_ms);
    net_timer_set(freed, deadline_ms);
    net_timer_set(&moved, deadline_ms);
    net_timer_set(&set, deadline_ms);
    net_cases_run_for(fixture, 20);
    assert_string_equal(order.text, "nm");
}

struct net_stubborn {
    struct loop_timer timer;
    struct loop *loop;
    unsigned count;
};

static inline void net_stubborn_fire(void *arg)
{
    struct net_stubborn *stubborn = arg;
    stubborn->count++;
    loop_timer_set(stubborn->loop, &stubborn->timer, stubborn->timer.deadline_ms); /* in the past */
}

static inline bool net_stubborn_is_often(void *arg)
{
    return ((const struct net_stubborn *)arg)->count >= 50;
}

static void a_timer_that_is_always_late_lets_the_others_run(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_stubborn stubborn = {.loop = fixture->loop};
    struct net_timer other = net_timer_of(&order, 'o');
    stubborn.timer = (struct loop_timer){.fire = net_stubborn_fire, .arg = &stubborn};
    loop_timer_set(fixture->loop, &stubborn.timer, loop_now_ms(fixture->loop));
    net_timer_set(&other, loop_now_ms(fixture->loop));
    net_cases_run_until(fixture, net_stubborn_is_often, &stubborn);
    assert_int_equal(other.count, 1);
    loop_timer_stop(fixture->loop, &stubborn.timer);
}

struct net_clock {
    struct loop_timer timer;
    struct net_fixture *fixture;
    bool is_over;
};

static inline void net_clock_fire(void *arg)
{
    struct net_clock *clock = arg;
    uint64_t now_ms = loop_now_ms(clock->fixture->loop);
    uint64_t before_ns = io_monotonic_ns(clock->fixture->io);
    for (unsigned i = 0; i < 2000000 && io_monotonic_ns(clock->fixture->io) - before_ns < 3000000; i++) {
        assert_int_equal(loop_now_ms(clock->fixture->loop), now_ms);
    }
    clock->is_over = true;
}

static void the_clock_stands_still_within_a_turn(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_clock clock = {.fixture = fixture};
    uint64_t before_ms = loop_now_ms(fixture->loop);
    clock.timer = (struct loop_timer){.fire = net_clock_fire, .arg = &clock};
    loop_timer_set(fixture->loop, &clock.timer, before_ms + 2);
    net_cases_run_until(fixture, net_cases_is_set, &clock.is_over);
    net_cases_run_for(fixture, 5);
    assert_true(loop_now_ms(fixture->loop) >= before_ms + 7);
}

/* ---- turn ends ---- */

struct net_hook {
    struct loop_hook hook;
    struct net_order *order;
    char name;
    unsigned count;
    struct net_hook *removes;
};

static inline void net_hook_call(void *arg)
{
    struct net_hook *hook = arg;
    hook->count++;
    net_order_add(hook->order, hook->name);
    if (hook->removes != NULL) {
        loop_remove_turn_end(hook->order->loop, &hook->removes->hook);
        hook->removes = NULL;
    }
}

static inline void net_hook_add(struct net_hook *hook, struct net_order *order, char name)
{
    *hook = (struct net_hook){.hook = {.call = net_hook_call, .arg = hook}, .order = order, .name = name};
    loop_add_turn_end(order->loop, &hook->hook);
}

static inline void net_order_post(void *arg)
{
    net_order_add(arg, 'p');
}

/* "p" and "t" are work, "a" and "b" the hooks: work is followed by "ab" before the loop blocks again, and "ab" comes
 * whole. */
static void turn_end_hooks_run_in_order_after_what_the_turn_handed_out(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_hook a;
    struct net_hook b;
    net_hook_add(&a, &order, 'a');
    net_hook_add(&b, &order, 'b');
    uint64_t now_ms = loop_now_ms(fixture->loop);
    struct net_timer timers[3];
    for (unsigned i = 0; i < 3; i++) {
        timers[i] = net_timer_of(&order, 't');
        net_timer_set(&timers[i], now_ms + 5 * i + 5);
    }
    loop_post(fixture->loop, net_order_post, &order);
    loop_post(fixture->loop, net_order_post, &order);
    net_cases_run_for(fixture, 30);
    loop_remove_turn_end(fixture->loop, &a.hook);
    loop_remove_turn_end(fixture->loop, &b.hook);
    unsigned work = 0;
    for (const char *at = order.text; *at != '\0'; at++) {
        if (*at == 'a') {
            assert_int_equal(at[1], 'b');
            at++;
        } else {
            assert_int_not_equal(*at, 'b');
            work++;
        }
    }
    assert_int_equal(work, 5);
    size_t length = strlen(order.text);
    assert_int_equal(order.text[length - 1], 'b');
    unsigned before = a.count;
    net_cases_run_for(fixture, 5);
    assert_int_equal(a.count, before);
}

static void a_turn_end_hook_may_remove_any_hook(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    for (unsigned removed = 0; removed < 4; removed++) {
        struct net_order order = {.loop = fixture->loop};
        struct net_hook hooks[4];
        for (unsigned i = 0; i < 4; i++) {
            net_hook_add(&hooks[i], &order, (char)('a' + i));
        }
        hooks[1].removes = &hooks[removed];
        net_cases_run_for(fixture, 2);
        for (unsigned i = 0; i < 4; i++) {
            loop_remove_turn_end(fixture->loop, &hooks[i].hook);
        }
        static const char *const expected[] = {"abcdbcd", "abcdacd", "abdabd", "abcabc"};
        assert_memory_equal(order.text, expected[removed], strlen(expected[removed]));
    }
}

struct net_writer {
    struct loop_hook hook;
    struct net_end *end;
    unsigned left;
};

static inline void net_writer_call(void *arg)
{
    struct net_writer *writer = arg;
    if (writer->left > 0) {
        writer->left--;
        net_end_write(writer->end, "from the hook", 13);
    }
}

static void what_a_turn_end_hook_writes_leaves_before_the_loop_blocks(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    struct net_writer writer = {.end = &client, .left = 1};
    writer.hook = (struct loop_hook){.call = net_writer_call, .arg = &writer};
    loop_add_turn_end(fixture->loop, &writer.hook);
    net_end_expect(other, "from the hook", 13); /* and nothing else would wake the loop */
    loop_remove_turn_end(fixture->loop, &writer.hook);
    net_end_close(&client);
    net_server_close(server);
}

struct net_poster {
    struct loop_hook hook;
    struct loop_timer timer;
    struct loop *loop;
    bool is_armed;
    bool has_posted;
    bool has_fired;
};

static inline void net_poster_call(void *arg)
{
    struct net_poster *poster = arg;
    if (poster->is_armed) {
        poster->is_armed = false;
        loop_post(poster->loop, net_cases_set, &poster->has_posted);
        loop_timer_set(poster->loop, &poster->timer, loop_now_ms(poster->loop));
    }
}

static inline bool net_poster_is_over(void *arg)
{
    const struct net_poster *poster = arg;
    return poster->has_posted && poster->has_fired;
}

static void what_a_turn_end_hook_posts_or_sets_runs_soon(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_poster poster = {.loop = fixture->loop, .is_armed = true};
    poster.hook = (struct loop_hook){.call = net_poster_call, .arg = &poster};
    poster.timer = (struct loop_timer){.fire = net_cases_set, .arg = &poster.has_fired};
    loop_add_turn_end(fixture->loop, &poster.hook);
    uint64_t before_ms = io_monotonic_ns(fixture->io) / 1000000;
    net_cases_run_until(fixture, net_poster_is_over, &poster);
    assert_true(io_monotonic_ns(fixture->io) / 1000000 - before_ms < 20000);
    loop_remove_turn_end(fixture->loop, &poster.hook);
}

/* ---- posts ---- */

struct net_post {
    struct net_order *order;
    char name;
    struct net_post *then;
};

static inline void net_post_call(void *arg)
{
    const struct net_post *post = arg;
    if (post->then != NULL) {
        loop_post(post->order->loop, net_post_call, post->then);
        assert_null(strchr(post->order->text, post->then->name)); /* not inside the call */
    }
    net_order_add(post->order, post->name);
}

static inline bool net_order_has_4(void *arg)
{
    return strlen(((const struct net_order *)arg)->text) >= 4;
}

static void a_post_runs_later_in_order_and_not_inside_the_call(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_post posts[4] = {
        {&order, 'a', &posts[3]}, {&order, 'b', NULL}, {&order, 'c', NULL}, {&order, 'd', NULL}};
    for (unsigned i = 0; i < 3; i++) {
        loop_post(fixture->loop, net_post_call, &posts[i]);
    }
    assert_string_equal(order.text, "");
    net_cases_run_until(fixture, net_order_has_4, &order);
    assert_string_equal(order.text, "abcd");
}

/* ---- watches ---- */

struct net_reaper {
    struct io_queue *queue;
    struct list done;
    unsigned ready_count;
    unsigned reaped;
    bool reaps;
};

static inline void net_reaper_ready(void *arg)
{
    struct net_reaper *reaper = arg;
    reaper->ready_count++;
    if (reaper->reaps) {
        reaper->reaped += io_queue_reap(reaper->queue, &reaper->done, 0);
    }
}

static inline bool net_reaper_has_3(void *arg)
{
    return ((const struct net_reaper *)arg)->reaped >= 3;
}

static inline bool net_reaper_was_ready(void *arg)
{
    return ((const struct net_reaper *)arg)->ready_count > 0;
}

static inline int net_work(void *arg)
{
    return 7;
}

static inline void net_reaper_submit(struct net_reaper *reaper, struct io_operation *operations, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        operations[i] = (struct io_operation){.kind = IO_WORK, .work = net_work};
        net_cases_assert_ok(io_queue_submit(reaper->queue, &operations[i]));
    }
    net_cases_assert_ok(io_queue_flush(reaper->queue));
}

static void a_watched_queue_is_handed_out_until_it_is_reaped(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_reaper reaper = {0};
    struct loop_watch *watch = NULL;
    struct io_operation operations[3];
    list_init(&reaper.done);
    net_cases_assert_ok(io_queue_open(fixture->io, 8, &reaper.queue));
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    net_reaper_submit(&reaper, operations, 3);
    net_cases_run_until(fixture, net_reaper_was_ready, &reaper); /* and it does not reap */
    reaper.ready_count = 0;
    net_cases_run_until(fixture, net_reaper_was_ready, &reaper);
    reaper.reaps = true;
    net_cases_run_until(fixture, net_reaper_has_3, &reaper);
    assert_int_equal(reaper.reaped, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(operations[i].result, 7);
    }
    /* Then it is silent, as soon as the last wake of a worker came. */
    for (unsigned i = 0; i == 0 || reaper.ready_count > 0; i++) {
        assert_true(i < 100);
        reaper.ready_count = 0;
        net_cases_run_for(fixture, 10);
    }
    loop_watch_close(fixture->loop, watch);
    io_queue_close(reaper.queue);
}

static void a_wake_of_a_watched_queue_is_handed_out(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_reaper reaper = {.reaps = true};
    struct loop_watch *watch = NULL;
    list_init(&reaper.done);
    net_cases_assert_ok(io_queue_open(fixture->io, 8, &reaper.queue));
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    for (unsigned i = 0; i < 3; i++) {
        net_cases_run_for(fixture, 5);
        reaper.ready_count = 0;
        io_queue_wake(reaper.queue);
        net_cases_run_until(fixture, net_reaper_was_ready, &reaper);
        assert_int_equal(reaper.reaped, 0);
    }
    loop_watch_close(fixture->loop, watch);
    io_queue_close(reaper.queue);
}

static void a_closed_watch_is_silent(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_reaper reaper = {0};
    struct loop_watch *watch = NULL;
    struct io_operation operations[2];
    list_init(&reaper.done);
    net_cases_assert_ok(io_queue_open(fixture->io, 8, &reaper.queue));
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    net_reaper_submit(&reaper, operations, 2);
    loop_watch_close(fixture->loop, watch);
    net_cases_run_for(fixture, 10);
    assert_int_equal(reaper.ready_count, 0);
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    net_cases_run_until(fixture, net_reaper_was_ready, &reaper);
    loop_watch_close(fixture->loop, watch);
    io_queue_close(reaper.queue);
}

static void closing_no_stream_is_fine(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    stream_close(NULL);
    loop_watch_close(fixture->loop, NULL);
    loop_close(NULL);
}

#endif
