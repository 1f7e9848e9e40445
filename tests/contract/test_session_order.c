/* links: server sim */
/* The order of one connection: what it wrote it reads, replies come in the order of the commands, whatever group and
 * node they went to; and what a connection may hold up is bounded. */
#include "server_fixture.h"

#include "base/rng.h"
#include "server/server_state.h"

static void expect_text(struct client *client, size_t values, const char *expected)
{
    const char *text = client_take(client, values);
    if (!client_fits(text, expected)) {
        fail_msg("answered %s\nnot      %s", text, expected);
    }
}

static void a_pipeline_is_answered_in_order_across_groups_and_nodes(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 4, 11);
    client_open(&client, &fixture, 1);
    for (unsigned i = 0; i < 400; i++) {
        char line[64];
        snprintf(line, sizeof(line), "SET key:%u %u\r\nGET key:%u\r\nPING %u\r\n", i, i, i, i);
        client_send(&client, line);
    }
    const char *text = client_take(&client, 1200);
    struct buffer expected = {0};
    for (unsigned i = 0; i < 400; i++) {
        char number[16];
        snprintf(number, sizeof(number), "%u", i);
        buffer_format(&expected, "+OK\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(number), number, strlen(number), number);
    }
    buffer_append_u8(&expected, '\0');
    assert_string_equal(text, (char *)expected.data);
    buffer_close(&expected);
    client_close(&client);
    fixture_close(&fixture);
}

static void a_connection_reads_its_own_writes_however_they_are_pipelined(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct fixture fixture;
        struct client client;
        struct rng rng;
        rng_seed(&rng, seed);
        fixture_open(&fixture, seed % 2 == 0 ? 3 : 1, 3, seed);
        client_open(&client, &fixture, 0);
        unsigned value[5] = {0};
        struct buffer expected = {0};
        size_t values = 0;
        for (unsigned step = 0; step < 300; step++) {
            unsigned key = (unsigned)rng_below(&rng, 5);
            char line[64];
            if (rng_chance(&rng, 1, 2)) {
                snprintf(line, sizeof(line), "INCR counter:%u\r\n", key);
                buffer_format(&expected, ":%u\r\n", ++value[key]);
            } else {
                snprintf(line, sizeof(line), "GET counter:%u\r\n", key);
                char number[16];
                snprintf(number, sizeof(number), "%u", value[key]);
                if (value[key] == 0) {
                    buffer_append_text(&expected, "$-1\r\n");
                } else {
                    buffer_format(&expected, "$%zu\r\n%s\r\n", strlen(number), number);
                }
            }
            client_send(&client, line);
            values++;
            if (rng_chance(&rng, 1, 20)) {
                fixture_run_ms(&fixture, rng_below(&rng, 4));
            }
        }
        buffer_append_u8(&expected, '\0');
        assert_string_equal(client_take(&client, values), (char *)expected.data);
        buffer_close(&expected);
        client_close(&client);
        fixture_close(&fixture);
    }
}

static void a_run_of_writes_goes_out_together(void **state)
{
    struct fixture fixture;
    struct client client;
    struct node_counters before;
    struct node_counters after;
    fixture_open(&fixture, 1, 1, 3);
    client_open(&client, &fixture, 0);
    node_counters(fixture.nodes[0].node, &before);
    for (unsigned i = 0; i < 200; i++) {
        client_send(&client, "INCR n\r\n");
    }
    client_take(&client, 200);
    node_counters(fixture.nodes[0].node, &after);
    assert_int_equal(after.proposals - before.proposals, 200);
    assert_true(after.entries_submitted - before.entries_submitted < 30);
    client_close(&client);
    fixture_close(&fixture);
}

static void client_reply_off_and_skip_leave_answers_out(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 2, 3);
    client_open(&client, &fixture, 0);
    client_send(&client, "SET a 1\r\nCLIENT REPLY SKIP\r\nSET a 2\r\nGET a\r\n");
    expect_text(&client, 2, "+OK\r\n$1\r\n2\r\n");
    client_send(&client, "CLIENT REPLY OFF\r\nSET a 3\r\nNOSUCH\r\nGET a\r\nCLIENT REPLY ON\r\nGET a\r\n");
    expect_text(&client, 2, "+OK\r\n$1\r\n3\r\n");
    client_send(&client, "CLIENT REPLY OFF\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\nRESET\r\nPING\r\n");
    expect_text(&client, 2, "+RESET\r\n+PONG\r\n");
    client_close(&client);
    fixture_close(&fixture);
}

static void client_pause_holds_commands_back_until_its_end(void **state)
{
    struct fixture fixture;
    struct client one;
    struct client two;
    fixture_open(&fixture, 1, 2, 3);
    client_open(&one, &fixture, 0);
    client_open(&two, &fixture, 0);
    client_expect(&two, "CLIENT PAUSE 500 WRITE", "+OK\r\n");
    client_send(&one, "GET a\r\nSET a 1\r\nGET a\r\n");
    fixture_run_ms(&fixture, 300);
    expect_text(&one, 1, "$-1\r\n");
    assert_int_equal(one.received.size, 0);
    fixture_run_ms(&fixture, 300);
    expect_text(&one, 2, "+OK\r\n$1\r\n1\r\n");
    client_expect(&two, "CLIENT PAUSE 60000", "+OK\r\n");
    client_send(&one, "GET a\r\n");
    fixture_run_ms(&fixture, 2000);
    assert_int_equal(one.received.size, 0);
    client_expect(&two, "CLIENT UNPAUSE", "+OK\r\n");
    expect_text(&one, 1, "$1\r\n1\r\n");
    client_close(&one);
    client_close(&two);
    fixture_close(&fixture);
}

static void H22_a_client_that_sends_without_end_is_not_read_beyond_its_bound(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 3);
    client_open(&client, &fixture, 0);
    client_expect(&client, "PING", "+PONG\r\n");
    struct session *session = server_session(fixture.nodes[0].server, 1);
    assert_non_null(session);
    for (unsigned i = 0; i < 20000; i++) {
        client_send(&client, "SET key value\r\n");
    }
    uint32_t most = 0;
    size_t values = 0;
    while (values < 20000) {
        sim_step(fixture.sim);
        most = session->call_count > most ? session->call_count : most;
        size_t got = client.received.size / 5;
        if (got > 0) {
            buffer_drop_front(&client.received, got * 5);
            values += got;
        }
    }
    assert_true(most <= SESSION_CALLS_MAX);
    assert_true(most > SESSION_CALLS_MAX / 2);
    client_close(&client);
    fixture_close(&fixture);
}

static void H22_a_client_that_does_not_read_is_stopped_then_cut_off_and_counted(void **state)
{
    struct fixture fixture;
    struct client slow;
    struct client other;
    fixture_open(&fixture, 1, 1, 3);
    client_open(&slow, &fixture, 0);
    client_open(&other, &fixture, 0);
    struct buffer value = {0};
    memset(buffer_extend(&value, 100000), 'x', 100000);
    buffer_append_u8(&value, '\0');
    client_command(&slow, "SET", "big", (char *)value.data, NULL);
    client_take(&slow, 1);
    stream_pause(slow.stream);
    for (unsigned i = 0; i < 2000; i++) {
        client_send(&slow, "GET big\r\n");
    }
    fixture_run_ms(&fixture, 5000);
    struct server *server = fixture.nodes[0].server;
    /* 200 MB were asked for; what the session holds is bounded, and nobody else feels it. */
    assert_true(server->ledger->bytes[LEDGER_CLIENTS] < 10000000);
    client_expect(&other, "PING", "+PONG\r\n");
    assert_int_equal(server->counters.slow_readers_cut_total, 0);
    fixture_run_ms(&fixture, SESSION_SLOW_MS + 5000);
    assert_int_equal(server->counters.slow_readers_cut_total, 1);
    assert_int_equal(server->session_count, 1);
    client_expect(&other, "INFO stats", "$~slow_readers_cut:1\r\n~");
    buffer_close(&value);
    client_close(&slow);
    client_close(&other);
    fixture_close(&fixture);
}

/* 400 MB are asked for by clients that do not read. */
static void P4_slow_readers_are_stopped_at_the_memory_limit_and_go_on_when_they_read(void **state)
{
    enum { SLOW = 20, GETS = 20, SIZE = 1 << 20, REPLY = SIZE + 12 };
    struct fixture fixture;
    struct client slow[SLOW];
    struct client other;
    fixture_open(&fixture, 1, 1, 3);
    struct ledger *ledger = node_ledger(fixture.nodes[0].node);
    client_open(&other, &fixture, 0);
    struct buffer value = {0};
    memset(buffer_extend(&value, SIZE), 'x', SIZE);
    buffer_append_u8(&value, '\0');
    client_command(&other, "SET", "big", (char *)value.data, NULL);
    client_take(&other, 1);
    ledger->limit_bytes = LEDGER_LIMIT_MIN_BYTES;
    for (unsigned i = 0; i < SLOW; i++) {
        client_open(&slow[i], &fixture, 0);
        stream_pause(slow[i].stream);
        for (unsigned k = 0; k < GETS; k++) {
            client_send(&slow[i], "GET big\r\n");
        }
    }
    fixture_run_ms(&fixture, 4000);
    assert_true(ledger->full_total > 0);
    assert_true(ledger->peak_bytes < ledger->limit_bytes * 5 / 4 + 8 * SIZE);
    client_expect(&other, "PING", "+PONG\r\n");
    client_expect(&other, "INFO memory", "$~memory_full_total:~memory_held_clients:~");
    for (unsigned i = 0; i < SLOW; i++) {
        stream_resume(slow[i].stream);
    }
    fixture_run_ms(&fixture, 30000);
    for (unsigned i = 0; i < SLOW; i++) {
        assert_int_equal(slow[i].received.size, GETS * REPLY);
        assert_int_equal(slow[i].ended, 0);
        client_close(&slow[i]);
    }
    assert_true(ledger->peak_bytes < ledger->limit_bytes * 5 / 4 + 8 * SIZE);
    assert_false(ledger->is_full);
    client_expect(&other, "STRLEN big", ":1048576\r\n");
    buffer_close(&value);
    client_close(&other);
    fixture_close(&fixture);
}

static void P4_a_full_ledger_refuses_what_other_nodes_forward_and_reads_with_long_replies(void **state)
{
    struct fixture fixture;
    struct client here;
    struct client there;
    fixture_open(&fixture, 3, 1, 3);
    int leader = fixture_leader(&fixture, NODE_GROUP_FIRST);
    struct ledger *ledger = node_ledger(fixture.nodes[leader].node);
    client_open(&here, &fixture, (unsigned)leader);
    client_open(&there, &fixture, (unsigned)(leader + 1) % 3);
    client_expect(&there, "SETRANGE long 9999 x", ":10000\r\n");
    ledger_recount(ledger, LEDGER_CLIENTS, 0, ledger->limit_bytes * 2);
    client_expect(&there, "SET a 1",
                  "-CLUSTERDOWN group 2 has too many commands in flight; this one was not taken\r\n");
    client_expect(&there, "GET a", "-CLUSTERDOWN group 2 has too many commands in flight; this one was not taken\r\n");
    client_expect(&here, "PING", "+PONG\r\n");
    client_send(&here, "GET long\r\n"); /* waits */
    fixture_run_ms(&fixture, 5000);
    assert_int_equal(here.received.size, 0);
    ledger_recount(ledger, LEDGER_CLIENTS, ledger->limit_bytes * 2, 0);
    assert_true(client_fits(client_take(&here, 1), "$10000\r\n~"));
    client_expect(&there, "SET a 1", "+OK\r\n");
    /* Asked for before it became exhausted, and there after it. */
    client_send(&there, "GET long\r\nSET a 2\r\n");
    struct ledger *waiting = node_ledger(fixture.nodes[(leader + 1) % 3].node);
    while (fixture.nodes[(leader + 1) % 3].server->counters.commands_total < 5) {
        assert_true(sim_step(fixture.sim));
    }
    ledger_recount(waiting, LEDGER_CLIENTS, 0, waiting->limit_bytes * 2);
    client_take(&there, 1);
    ledger_recount(waiting, LEDGER_CLIENTS, waiting->limit_bytes * 2, 0);
    client_expect(&there, "GET a", "+OK\r\n~");
    client_close(&here);
    client_close(&there);
    fixture_close(&fixture);
}

static void H22_malformed_input_is_answered_in_its_turn_and_closes(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 2, 3);
    client_open(&client, &fixture, 0);
    client_send(&client, "SET a 1\r\n*1\r\n:5\r\nGET a\r\n");
    expect_text(&client, 2, "+OK\r\n-ERR Protocol error: expected '$', got ':'\r\n");
    fixture_run_ms(&fixture, 100);
    assert_int_equal(client.ended, 1);
    assert_int_equal(client.received.size, 0);
    client_close(&client);
    /* A request of a browser: nothing of its body is taken for a command. */
    client_open(&client, &fixture, 0);
    client_send(&client, "POST / HTTP/1.1\r\nHost: here\r\n\r\nSET a stolen\r\n");
    fixture_run_ms(&fixture, 100);
    assert_int_equal(client.ended, 1);
    client_close(&client);
    client_open(&client, &fixture, 0);
    client_expect(&client, "GET a", "$1\r\n1\r\n");
    client_expect(&client, "INFO stats", "$~protocol_errors:2\r\n~");
    client_close(&client);
    fixture_close(&fixture);
}

static void a_client_that_leaves_with_commands_in_flight_leaves_nothing_behind(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, 3, 2, 3);
    for (unsigned round = 0; round < 20; round++) {
        struct client client;
        client_open(&client, &fixture, round % 3);
        for (unsigned i = 0; i < 50; i++) {
            client_send(&client, "INCR n\r\nGET n\r\nMGET a b c d e f\r\nDEL a b c d\r\n");
        }
        for (unsigned i = 0; i < round * 20; i++) {
            sim_step(fixture.sim);
        }
        client_close(&client);
    }
    fixture_run_ms(&fixture, 10000);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(fixture.nodes[i].server->session_count, 0);
        assert_true(list_empty(&fixture.nodes[i].server->orphans));
        assert_int_equal(fixture.nodes[i].server->ledger->bytes[LEDGER_CLIENTS], 0);
    }
    fixture_close(&fixture);
}

static void a_server_closes_with_commands_in_flight(void **state)
{
    for (unsigned steps = 0; steps < 400; steps += 40) {
        struct fixture fixture;
        struct client client;
        fixture_open(&fixture, 1, 2, 3);
        client_open(&client, &fixture, 0);
        for (unsigned i = 0; i < 50; i++) {
            client_send(&client, "INCR n\r\nGET n\r\nMGET a b c d e f\r\nWAIT 5 1000\r\nWATCH q\r\nMULTI\r\n");
        }
        for (unsigned i = 0; i < steps; i++) {
            sim_step(fixture.sim);
        }
        fixture_stop_node(&fixture, 0);
        client_close(&client);
        fixture_close(&fixture);
    }
}

static void idle_clients_are_closed_when_asked_for(void **state)
{
    struct fixture fixture;
    struct client one;
    struct client two;
    fixture_open(&fixture, 1, 1, 3);
    client_open(&one, &fixture, 0);
    client_open(&two, &fixture, 0);
    client_expect(&one, "CONFIG SET timeout 10", "+OK\r\n");
    for (unsigned i = 0; i < 5; i++) {
        fixture_run_ms(&fixture, 3000);
        client_expect(&one, "PING", "+PONG\r\n");
    }
    assert_int_equal(one.ended, 0);
    assert_int_equal(two.ended, 1);
    client_close(&one);
    client_close(&two);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_is_answered_in_order_across_groups_and_nodes),
        cmocka_unit_test(a_connection_reads_its_own_writes_however_they_are_pipelined),
        cmocka_unit_test(a_run_of_writes_goes_out_together),
        cmocka_unit_test(client_reply_off_and_skip_leave_answers_out),
        cmocka_unit_test(client_pause_holds_commands_back_until_its_end),
        cmocka_unit_test(H22_a_client_that_sends_without_end_is_not_read_beyond_its_bound),
        cmocka_unit_test(H22_a_client_that_does_not_read_is_stopped_then_cut_off_and_counted),
        cmocka_unit_test(P4_slow_readers_are_stopped_at_the_memory_limit_and_go_on_when_they_read),
        cmocka_unit_test(P4_a_full_ledger_refuses_what_other_nodes_forward_and_reads_with_long_replies),
        cmocka_unit_test(H22_malformed_input_is_answered_in_its_turn_and_closes),
        cmocka_unit_test(a_client_that_leaves_with_commands_in_flight_leaves_nothing_behind),
        cmocka_unit_test(a_server_closes_with_commands_in_flight),
        cmocka_unit_test(idle_clients_are_closed_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
