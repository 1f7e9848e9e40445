/* links: net */
/* libuv's loop passes the contract, over io_uring's queues and over those of threads, and what only a kernel has: other
 * threads, sockets that are not ours, descriptors. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "contract/net_cases.h"

#define TEST_LIMIT_MS 60000u

static enum io_backend backend_now;
static bool case_passed;

struct run {
    struct net_fixture *fixture;
    struct loop_hook hook;
    struct loop_timer limit;
    bool (*condition)(void *arg);
    void *arg;
    bool holds;
};

static void run_check(void *arg)
{
    struct run *run = arg;
    run->holds = run->holds || run->condition(run->arg);
    if (run->holds) {
        loop_stop(run->fixture->loop);
    }
}

static void run_over(void *arg)
{
    loop_stop(((struct run *)arg)->fixture->loop);
}

static bool run_until(struct net_fixture *fixture, bool (*condition)(void *arg), void *arg)
{
    struct run run = {.fixture = fixture, .condition = condition, .arg = arg};
    run.hook = (struct loop_hook){.call = run_check, .arg = &run};
    run.limit = (struct loop_timer){.fire = run_over, .arg = &run};
    loop_add_turn_end(fixture->loop, &run.hook);
    loop_timer_set(fixture->loop, &run.limit, io_monotonic_ns(fixture->io) / 1000000 + TEST_LIMIT_MS);
    loop_run(fixture->loop);
    loop_timer_stop(fixture->loop, &run.limit);
    loop_remove_turn_end(fixture->loop, &run.hook);
    return run.holds;
}

static int setup(void **state)
{
    struct net_fixture *fixture = memory_new(sizeof(*fixture));
    case_passed = false;
    fixture->listen = "127.0.0.1:0";
    fixture->run_until = run_until;
    *state = fixture;
    return io_open_kernel(backend_now, &fixture->io) == 0 && loop_open(fixture->io, &fixture->loop) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    struct net_fixture *fixture = *state;
    if (!case_passed) {
        return 0; /* what it left open would hide, behind loop_close's assertion, what went wrong */
    }
    loop_close(fixture->loop);
    io_close(fixture->io);
    free(fixture);
    return 0;
}

/* ---- other threads ---- */

#define POSTER_COUNT 4u
#define POST_COUNT   5000u

struct posting {
    struct loop *loop;
    unsigned next[POSTER_COUNT];
    unsigned count;
};
struct numbered {
    struct poster *poster;
    unsigned number;
};
struct poster {
    struct posting *posting;
    unsigned number;
    struct numbered *posts;
};

static void post_arrived(void *arg)
{
    const struct numbered *post = arg;
    struct posting *posting = post->poster->posting;
    assert_int_equal(post->number, posting->next[post->poster->number]);
    posting->next[post->poster->number]++;
    posting->count++;
}

static void *poster_run(void *arg)
{
    struct poster *poster = arg;
    for (unsigned i = 0; i < POST_COUNT; i++) {
        poster->posts[i] = (struct numbered){poster, i};
        loop_post(poster->posting->loop, post_arrived, &poster->posts[i]);
        if (i % 64 == 0) {
            usleep(20);
        }
    }
    return NULL;
}

static bool posting_is_over(void *arg)
{
    return ((const struct posting *)arg)->count == POSTER_COUNT * POST_COUNT;
}

static void posts_from_other_threads_arrive_once_and_in_order(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct posting posting = {.loop = fixture->loop};
    struct poster posters[POSTER_COUNT];
    pthread_t threads[POSTER_COUNT];
    for (unsigned i = 0; i < POSTER_COUNT; i++) {
        posters[i] = (struct poster){&posting, i, memory_new(POST_COUNT * sizeof(struct numbered))};
        assert_int_equal(pthread_create(&threads[i], NULL, poster_run, &posters[i]), 0);
    }
    net_cases_run_until(fixture, posting_is_over, &posting);
    for (unsigned i = 0; i < POSTER_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        free(posters[i].posts);
    }
}

struct last_post {
    struct loop *loop;
    bool is_over;
};

static void *post_last(void *arg)
{
    struct last_post *last = arg;
    loop_post(last->loop, net_cases_set, &last->is_over);
    return NULL;
}

static void a_loop_may_close_as_soon_as_the_last_post_ran(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    for (unsigned round = 0; round < 200; round++) {
        struct net_fixture own = *fixture;
        pthread_t thread;
        net_cases_assert_ok(loop_open(fixture->io, &own.loop));
        struct last_post last = {.loop = own.loop};
        assert_int_equal(pthread_create(&thread, NULL, post_last, &last), 0);
        net_cases_run_until(&own, net_cases_is_set, &last.is_over);
        loop_close(own.loop);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static void every_post_made_before_the_close_runs(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {0};
    struct net_post posts[2] = {{&order, 'a', &posts[1]}, {&order, 'b', NULL}};
    net_cases_assert_ok(loop_open(fixture->io, &order.loop));
    loop_post(order.loop, net_post_call, &posts[0]);
    loop_close(order.loop);
    assert_string_equal(order.text, "ab");
}

static void *run_echo(void *arg)
{
    loop_run(arg);
    return NULL;
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

/* Two loops in two threads, each with its own end of the connections. */
static void loops_in_different_threads_talk_to_each_other(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_fixture other = *fixture;
    pthread_t thread;
    net_cases_assert_ok(loop_open(fixture->io, &other.loop));
    struct net_server *server = net_server_open(&other);
    server->echoes = true;
    char address[300];
    snprintf(address, sizeof(address), "%s", net_server_address(server));
    assert_int_equal(pthread_create(&thread, NULL, run_echo, other.loop), 0);
    uint8_t *bytes = net_cases_bytes(1u << 20, 1);
    for (unsigned round = 0; round < 5; round++) {
        struct net_end client = {0};
        net_end_connect(&client, fixture, address);
        net_end_write(&client, bytes, 1u << 20);
        net_end_expect(&client, bytes, 1u << 20);
        net_end_close(&client);
    }
    loop_post(other.loop, stop_loop, other.loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    net_server_close(server);
    loop_close(other.loop);
    free(bytes);
}

/* ---- sockets of others ---- */

/* A plain blocking socket, connected to the server. */
static int stranger_connect(const struct net_server *server)
{
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int receive_size = 16384; /* so that most of what we send stays on our side */
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(strrchr(net_server_address(server), ':') + 1)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(descriptor >= 0);
    assert_int_equal(setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receive_size, sizeof(receive_size)), 0);
    assert_int_equal(connect(descriptor, (const struct sockaddr *)&address, sizeof(address)), 0);
    return descriptor;
}

static void a_reset_ends_the_stream_with_an_error(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    int stranger = stranger_connect(server);
    net_cases_run_until(fixture, net_cases_has_end, server);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(stranger, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(stranger);
    struct net_end *end = &server->ends[0];
    net_cases_run_until(fixture, net_cases_has_ended, end);
    assert_int_equal(end->ended_result, HF_EIO);
    assert_non_null(strstr(end->failure, stream_peer_address(end->stream)));
    net_end_write(end, "into the void", 13);
    net_cases_run_for(fixture, 5);
    assert_int_equal(end->ended_count, 1);
    net_server_close(server);
}

/* Writing into a connection that breaks is silent; the end is reported once. */
static void a_write_that_breaks_is_reported_as_the_end(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    int stranger = stranger_connect(server);
    net_cases_run_until(fixture, net_cases_has_end, server);
    struct net_end *end = &server->ends[0];
    uint8_t *bytes = net_cases_bytes(8u << 20, 1);
    stream_pause(end->stream); /* so that only the write can find out */
    net_end_write(end, bytes, 8u << 20);
    net_cases_run_for(fixture, 5);
    assert_true(stream_unsent_bytes(end->stream) > 0);
    close(stranger); /* with bytes unread: a reset */
    net_cases_run_until(fixture, net_cases_has_ended, end);
    assert_int_equal(end->ended_result, HF_EIO);
    net_end_write(end, bytes, 1000);
    net_cases_run_for(fixture, 5);
    assert_int_equal(end->ended_count, 1);
    net_server_close(server);
    free(bytes);
}

static void who_has_sent_its_end_still_gets_its_answer(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    int stranger = stranger_connect(server);
    assert_int_equal(write(stranger, "PING", 4), 4);
    assert_int_equal(shutdown(stranger, SHUT_WR), 0);
    net_cases_run_until(fixture, net_cases_has_end, server);
    struct net_end *end = &server->ends[0];
    net_cases_run_until(fixture, net_cases_has_ended, end);
    assert_int_equal(end->ended_result, 0);
    assert_int_equal(end->received.size, 4);
    net_end_write(end, "PONG", 4);
    net_end_close_when_sent(end);
    net_cases_run_for(fixture, 5);
    char answer[8] = "";
    assert_int_equal(read(stranger, answer, sizeof(answer)), 4);
    assert_string_equal(answer, "PONG");
    assert_int_equal(read(stranger, answer, sizeof(answer)), 0);
    close(stranger);
    net_server_close(server);
}

/* Reads `size` bytes and the end, while the loop runs. */
static void stranger_expect(struct net_fixture *fixture, int stranger, const uint8_t *expected, size_t size)
{
    uint8_t *answer = memory_new(size + 1);
    size_t got = 0;
    for (;;) {
        ssize_t count = recv(stranger, answer + got, size + 1 - got, MSG_DONTWAIT);
        if (count == 0) {
            break;
        }
        if (count > 0) {
            got += (size_t)count;
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        net_cases_run_for(fixture, 2);
    }
    assert_int_equal(got, size);
    assert_memory_equal(answer, expected, size);
    free(answer);
}

/* Input that nobody will read must not become a reset that destroys the answer, not even when the other side reads it
 * long after our side is gone. */
static void close_when_sent_survives_input_that_nobody_reads(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    uint8_t *bytes = net_cases_bytes(200000, 1);
    static const unsigned waits_ms[] = {0, 1300};
    for (unsigned i = 0; i < 2; i++) {
        int stranger = stranger_connect(server);
        net_cases_run_until(fixture, net_cases_has_end, server);
        net_cases_run_for(fixture, 5);
        struct net_end *end = &server->ends[i];
        stream_pause(end->stream);
        assert_int_equal(send(stranger, bytes, 100000, MSG_DONTWAIT), 100000);
        net_end_write(end, bytes, 200000);
        net_end_close_when_sent(end);
        net_cases_run_for(fixture, 20);
        assert_int_equal(send(stranger, bytes, 1000, MSG_DONTWAIT | MSG_NOSIGNAL), 1000);
        net_cases_run_for(fixture, waits_ms[i]);
        stranger_expect(fixture, stranger, bytes, 200000);
        close(stranger);
    }
    net_server_close(server);
    free(bytes);
}

/* Some connects fail inside the call: a broadcast address, a network that is not there. */
static void a_connect_that_fails_inside_the_call_is_reported_later(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_end client = {0};
    net_end_connect(&client, fixture, "255.255.255.255:1"); /* asserts that nothing is called back */
    assert_int_equal(client.connected_count, 0);
    net_cases_run_until(fixture, net_cases_has_connected, &client);
    assert_true(client.connected_result < 0);
    assert_non_null(strstr(client.failure, "255.255.255.255:1"));
    net_end_close(&client);
    client = (struct net_end){0};
    net_end_connect(&client, fixture, "255.255.255.255:1");
    net_end_close(&client);
    net_cases_run_for(fixture, 5);
}

static bool stranger_sees_the_end(void *arg)
{
    char byte;
    return recv(*(int *)arg, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static bool stranger_is_reset(void *arg)
{
    return send(*(int *)arg, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
}

static void a_lingering_stream_gives_up_when_the_other_side_never_ends(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    int stranger = stranger_connect(server);
    net_cases_run_until(fixture, net_cases_has_end, server);
    net_end_close_when_sent(&server->ends[0]);
    uint64_t before_ms = loop_now_ms(fixture->loop);
    struct net_stubborn tick = {.loop = fixture->loop};
    tick.timer = (struct loop_timer){.fire = net_stubborn_fire, .arg = &tick};
    loop_timer_set(fixture->loop, &tick.timer, before_ms); /* keeps asking */
    net_cases_run_until(fixture, stranger_sees_the_end, &stranger);
    assert_true(loop_now_ms(fixture->loop) - before_ms < 900);
    net_cases_run_until(fixture, stranger_is_reset, &stranger);
    loop_timer_stop(fixture->loop, &tick.timer);
    assert_true(loop_now_ms(fixture->loop) - before_ms >= 900);
    close(stranger);
    net_server_close(server);
}

/* Teardown closes the loop under it: nothing leaks, nothing hangs. */
static void closing_the_loop_drops_what_lingers(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    int stranger = stranger_connect(server);
    net_cases_run_until(fixture, net_cases_has_end, server);
    uint8_t *bytes = net_cases_bytes(8u << 20, 1);
    net_end_write(&server->ends[0], bytes, 8u << 20);
    net_end_close_when_sent(&server->ends[0]);
    net_cases_run_for(fixture, 5);
    net_server_close(server);
    loop_close(fixture->loop);
    fixture->loop = NULL;
    close(stranger);
    free(bytes);
}

/* 1000 small writes of a turn leave as few segments as the socket's size allows: one system call. */
static void the_writes_of_a_turn_leave_together(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    int stranger = stranger_connect(server);
    net_cases_run_until(fixture, net_cases_has_end, server);
    struct net_end *end = &server->ends[0];
    for (unsigned i = 0; i < 1000; i++) {
        net_end_write(end, "0123456789", 10);
    }
    assert_int_equal(stream_unsent_bytes(end->stream), 10000);
    net_cases_run_for(fixture, 0);
    assert_int_equal(stream_unsent_bytes(end->stream), 0);
    char answer[20000];
    assert_int_equal(recv(stranger, answer, sizeof(answer), MSG_DONTWAIT), 10000);
    close(stranger);
    net_server_close(server);
}

/* ---- addresses ---- */

static void a_name_is_resolved_and_all_its_addresses_are_tried(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    char address[300];
    server->echoes = true;
    snprintf(address, sizeof(address), "localhost%s", strrchr(net_server_address(server), ':'));
    net_end_connect(&client, fixture, address);
    net_end_write(&client, "hello", 5);
    net_end_expect(&client, "hello", 5);
    assert_string_equal(stream_peer_address(client.stream), net_server_address(server));
    net_end_close(&client);
    net_end_connect(&client, fixture, address);
    client.closed = false;
    net_end_close(&client); /* while it is being resolved */
    struct listener *listener = NULL;
    net_cases_assert_ok(listener_open(fixture->loop, "localhost:0", net_server_accepted, server, &listener));
    assert_int_equal(strncmp(listener_address(listener), "127.0.0.1:", 10), 0);
    listener_close(listener);
    net_server_close(server);
}

static void ipv6_works_where_the_machine_has_it(void **state)
{
    struct net_fixture own = *net_cases_fixture(state);
    struct listener *probe = NULL;
    own.listen = "[::1]:0";
    if (listener_open(own.loop, own.listen, net_server_accepted, NULL, &probe) != 0) {
        fprintf(stderr, "SKIP: IPv6 is NOT tested here: %s\n", hf_error_text());
        case_passed = true;
        skip();
    }
    listener_close(probe);
    struct net_server *server = net_server_open(&own);
    struct net_end client = {0};
    server->echoes = true;
    assert_int_equal(strncmp(net_server_address(server), "[::1]:", 6), 0);
    net_pair_open(server, &client);
    net_end_write(&client, "six", 3);
    net_end_expect(&client, "six", 3);
    net_end_close(&client);
    net_server_close(server);
}

static void an_address_that_is_not_ours_cannot_be_listened_on(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct listener *listener = NULL;
    assert_int_equal(listener_open(fixture->loop, "192.0.2.1:0", net_server_accepted, NULL, &listener), HF_EIO);
    assert_null(listener);
    assert_non_null(strstr(hf_error_text(), "192.0.2.1:0"));
}

/* ---- the loop ---- */

static void count_ready(void *arg)
{
    (*(unsigned *)arg)++;
}

static bool is_at_least_3(void *arg)
{
    return *(unsigned *)arg >= 3;
}

static void a_watched_descriptor_is_handed_out_while_it_is_readable(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct loop_watch *watch = NULL;
    unsigned ready_count = 0;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    net_cases_assert_ok(loop_watch_descriptor(fixture->loop, ends[0], count_ready, &ready_count, &watch));
    net_cases_run_for(fixture, 5);
    assert_int_equal(ready_count, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    net_cases_run_until(fixture, is_at_least_3, &ready_count);
    loop_watch_close(fixture->loop, watch);
    ready_count = 0;
    net_cases_run_for(fixture, 5);
    assert_int_equal(ready_count, 0);
    close(ends[0]);
    close(ends[1]);
    assert_true(loop_watch_descriptor(fixture->loop, -1, count_ready, &ready_count, &watch) < 0);
}

static void count_turn(void *arg)
{
    (*(unsigned *)arg)++;
}

/* One turn per iteration: several things that are ready together share one end of turn. */
static void what_is_ready_together_shares_one_turn(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    unsigned turns = 0;
    struct loop_hook hook = {.call = count_turn, .arg = &turns};
    struct net_timer timers[20];
    uint64_t now_ms = loop_now_ms(fixture->loop);
    for (unsigned i = 0; i < 20; i++) {
        timers[i] = net_timer_of(&order, 't');
        net_timer_set(&timers[i], now_ms + 5);
        loop_post(fixture->loop, net_order_post, &order);
    }
    loop_add_turn_end(fixture->loop, &hook);
    net_cases_run_undisturbed(fixture, 5);
    loop_remove_turn_end(fixture->loop, &hook);
    assert_int_equal(strlen(order.text), 40);
    assert_in_range(turns, 1, 4);
}

/* A loop with nothing to do sleeps. */
static void an_idle_loop_does_not_spin(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    unsigned turns = 0;
    struct loop_hook hook = {.call = count_turn, .arg = &turns};
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    net_end_write(&client, "x", 1);
    net_end_expect(other, "x", 1);
    loop_add_turn_end(fixture->loop, &hook);
    net_cases_run_undisturbed(fixture, 50);
    loop_remove_turn_end(fixture->loop, &hook);
    assert_in_range(turns, 1, 5);
    net_end_close(&client);
    net_server_close(server);
}

#define UV_CASES(X)                                               \
    X(posts_from_other_threads_arrive_once_and_in_order)          \
    X(a_loop_may_close_as_soon_as_the_last_post_ran)              \
    X(every_post_made_before_the_close_runs)                      \
    X(loops_in_different_threads_talk_to_each_other)              \
    X(a_reset_ends_the_stream_with_an_error)                      \
    X(a_write_that_breaks_is_reported_as_the_end)                 \
    X(who_has_sent_its_end_still_gets_its_answer)                 \
    X(close_when_sent_survives_input_that_nobody_reads)           \
    X(a_connect_that_fails_inside_the_call_is_reported_later)     \
    X(a_lingering_stream_gives_up_when_the_other_side_never_ends) \
    X(closing_the_loop_drops_what_lingers)                        \
    X(the_writes_of_a_turn_leave_together)                        \
    X(a_name_is_resolved_and_all_its_addresses_are_tried)         \
    X(ipv6_works_where_the_machine_has_it)                        \
    X(an_address_that_is_not_ours_cannot_be_listened_on)          \
    X(a_watched_descriptor_is_handed_out_while_it_is_readable)    \
    X(what_is_ready_together_shares_one_turn)                     \
    X(an_idle_loop_does_not_spin)

#define COAT(name)                          \
    static void name##_passes(void **state) \
    {                                       \
        name(state);                        \
        case_passed = true;                 \
    }
#define ROW(name) {#name, name##_passes, setup, teardown, NULL},
NET_CASES(COAT)
UV_CASES(COAT)

int main(void)
{
    const struct CMUnitTest tests[] = {NET_CASES(ROW) UV_CASES(ROW)};
    static const enum io_backend backends[] = {IO_BACKEND_URING, IO_BACKEND_THREADS};
    int failed = 0;
    alarm(250);
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct io *io = NULL;
        backend_now = backends[i];
        if (io_open_kernel(backend_now, &io) == HF_EUNSUPPORTED) {
            fprintf(stderr, "SKIP: the loop is NOT tested on io_uring: %s\n", hf_error_text());
            continue;
        }
        failed += cmocka_run_group_tests_name(io_backend_name(io), tests, NULL, NULL);
        io_close(io);
    }
    return failed == 0 ? 0 : 1;
}
