/* links: server sim */
/* Commands over several groups, and what clients are told when a group cannot answer. */
#include "server_fixture.h"

#include "node/balance.h"
#include "server/outcome.h"
#include "server/server_state.h"

#define OK "+OK\r\n"

static void commands_with_many_keys_are_split_and_merged(void **state)
{
    static const struct {
        const char *line;
        const char *reply;
    } rows[] = {
        {"MGET a b c d e f", "*6\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n"},
        {"MGET f nosuch a nosuch2 f", "*5\r\n$1\r\n5\r\n$-1\r\n$1\r\n0\r\n$-1\r\n$1\r\n5\r\n"},
        {"MGET a", "*1\r\n$1\r\n0\r\n"},
        {"EXISTS a b c nosuch a a", ":5\r\n"},
        {"TOUCH a b nosuch", ":2\r\n"},
        {"DBSIZE", ":6\r\n"},
        {"DEL a b nosuch", ":2\r\n"},
        {"UNLINK c c d", ":2\r\n"},
        {"DBSIZE", ":2\r\n"},
        {"KEYS *", "*2\r\n$1\r\n~\r\n$1\r\n~\r\n"},
        {"KEYS nosuch*", "*0\r\n"},
        {"RANDOMKEY", "$1\r\n~\r\n"},
        {"FLUSHDB", OK},
        {"RANDOMKEY", "$-1\r\n"},
        {"DBSIZE", ":0\r\n"},
        {"KEYS *", "*0\r\n"},
        {"FLUSHALL ASYNC", OK},
        {"FLUSHALL NONSENSE", "-ERR syntax error\r\n"},
        {"SCAN x", "-ERR invalid cursor\r\n"},
        {"SCAN 18446462598732840960", "-ERR invalid cursor\r\n"}, /* a group that is not there */
    };
    struct fixture fixture;
    fixture_open(&fixture, 3, 4, 9);
    for (unsigned node = 0; node < 3; node++) {
        struct client client;
        client_open(&client, &fixture, node);
        for (char key = 'a'; key <= 'f'; key++) {
            char line[16];
            snprintf(line, sizeof(line), "SET %c %d", key, key - 'a');
            client_expect(&client, line, OK);
        }
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            client_expect(&client, rows[i].line, rows[i].reply);
        }
        client_close(&client);
    }
    fixture_close(&fixture);
}

/* From the node that leads, from the one that shall lead, and from the third. */
static void leadership_is_handed_over_from_any_node(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, 3, 1, 21);
    fixture_run_ms(&fixture, BALANCE_START_MS); /* until then leaders go to where they belong at once */
    for (unsigned asked = 0; asked < 3; asked++) {
        for (uint64_t group = NODE_SYSTEM_GROUP; group <= NODE_GROUP_FIRST; group++) {
            struct client client;
            char line[64];
            int target = (fixture_leader(&fixture, group) + 1) % 3;
            client_open(&client, &fixture, asked);
            snprintf(line, sizeof(line), "RAFT.TRANSFER %u %d", (unsigned)group, target + 1);
            client_expect(&client, line, OK);
            fixture_run_ms(&fixture, 500);
            assert_int_equal(fixture_leader(&fixture, group), target);
            /* The leader's refusals travel back in its words. */
            client_expect(&client, line, OK);
            snprintf(line, sizeof(line), "RAFT.TRANSFER %u 9", (unsigned)group);
            client_expect(&client, line, "-ERR there is no node 9\r\n");
            client_close(&client);
        }
    }
    fixture_close(&fixture);
}

static void a_second_transfer_while_one_is_under_way_is_refused_and_harms_nobody(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 1, 22);
    int leader = fixture_leader(&fixture, NODE_GROUP_FIRST);
    client_open(&client, &fixture, (unsigned)leader);
    sim_host_kill(fixture.nodes[(leader + 1) % 3].host);
    client_send(&client, "SET a 1\r\n"); /* which the other does not get, so that it has to be waited for */
    assert_true(client_fits(client_take(&client, 1), OK));
    char line[64];
    snprintf(line, sizeof(line), "RAFT.TRANSFER 2 %d", (leader + 1) % 3 + 1);
    client_expect(&client, line, OK);
    client_expect(&client, line, "-BUSY leadership of group 2 is being handed over already\r\n");
    client_expect(&client, "GET a", "$1\r\n1\r\n");
    client_close(&client);
    fixture_close(&fixture);
}

static void a_transfer_without_a_leader_to_ask_is_refused_before_it_is_tried(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 1, 23);
    int leader = fixture_leader(&fixture, NODE_GROUP_FIRST);
    client_open(&client, &fixture, (unsigned)(leader + 1) % 3);
    sim_host_kill(fixture.nodes[leader].host);
    sim_host_kill(fixture.nodes[(leader + 2) % 3].host);
    client_expect(&client, "RAFT.TRANSFER 2 1", "-CLUSTERDOWN no leader for group 2\r\n");
    client_close(&client);
    fixture_close(&fixture);
}

/* Walks with SCAN from cursor to cursor; returns how often each of key:0 … key:count−1 was seen. */
static void scan_all(struct client *client, unsigned count, unsigned *seen)
{
    char cursor[32] = "0";
    unsigned rounds = 0;
    do {
        char line[64];
        snprintf(line, sizeof(line), "SCAN %s COUNT 7\r\n", cursor);
        client_send(client, line);
        struct hf_bytes reply = bytes_of_text(client_take(client, 1));
        struct resp_element element;
        size_t at = 0;
        assert_int_equal(resp_next_element(reply, &at, &element), 0);
        assert_int_equal(element.number, 2);
        assert_int_equal(resp_next_element(reply, &at, &element), 0);
        snprintf(cursor, sizeof(cursor), "%.*s", (int)element.text.size, (const char *)element.text.data);
        assert_int_equal(resp_next_element(reply, &at, &element), 0);
        for (int64_t keys = element.number; keys > 0; keys--) {
            assert_int_equal(resp_next_element(reply, &at, &element), 0);
            unsigned number = (unsigned)strtoul((const char *)element.text.data + 4, NULL, 10);
            assert_true(number < count);
            seen[number]++;
        }
        assert_true(++rounds < 10000);
    } while (strcmp(cursor, "0") != 0);
}

static void scan_walks_every_group_and_returns_each_key(void **state)
{
    enum { COUNT = 300 };
    struct fixture fixture;
    struct client client;
    unsigned seen[COUNT] = {0};
    fixture_open(&fixture, 3, 4, 9);
    client_open(&client, &fixture, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        char line[64];
        snprintf(line, sizeof(line), "SET key:%u x\r\n", i);
        client_send(&client, line);
    }
    client_take(&client, COUNT);
    scan_all(&client, COUNT, seen);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(seen[i], 1);
    }
    client_close(&client);
    fixture_close(&fixture);
}

static void wait_counts_the_voters_that_hold_the_writes(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 2, 9);
    client_open(&client, &fixture, 0);
    client_expect(&client, "WAIT 2 1000", ":2\r\n"); /* nothing written: both others are there */
    client_expect(&client, "SET a 1", OK);
    client_expect(&client, "SET b 1", OK);
    client_expect(&client, "WAIT 1 1000", "~");
    client_send(&client, "INCR n\r\nINCR n\r\nWAIT 1 0\r\nPING\r\n");
    assert_true(client_fits(client_take(&client, 4), ":1\r\n:2\r\n:~\r\n+PONG\r\n"));
    client_expect(&client, "WAITAOF 1 1 1000", "*2\r\n:1\r\n:~\r\n");
    client_expect(&client, "WAIT 9 100", ":~\r\n"); /* never enough: after the timeout */
    client_close(&client);
    fixture_close(&fixture);
}

static void a_barrier_is_over_every_group(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 4, 9);
    client_open(&client, &fixture, 2);
    client_expect(&client, "SET a 1", OK);
    client_expect(&client, "RAFT.BARRIER", OK);
    client_expect(&client, "RAFT.READ stale", OK);
    client_expect(&client, "GET a", "$1\r\n1\r\n");
    client_close(&client);
    fixture_close(&fixture);
}

/* ---- when a group cannot answer ---- */

static void outcomes_name_the_group_and_never_promise_what_nobody_knows(void **state)
{
    static const struct {
        struct outcome outcome;
        const char *text;
    } rows[] = {
        {{HF_ENOLEADER, 3, 0, true}, "-CLUSTERDOWN no leader for group 3\r\n"},
        {{HF_ENOLEADER, 3, 0, false}, "-CLUSTERDOWN no leader for group 3\r\n"},
        {{HF_EINDETERMINATE, 3, 77, true}, "-INDETERMINATE write at group 3 index 77 may or may not commit\r\n"},
        {{HF_EINDETERMINATE, 3, 0, true}, "-INDETERMINATE write at group 3 may or may not commit\r\n"},
        {{HF_EINDETERMINATE, 3, 0, false}, "-CLUSTERDOWN no leader for group 3\r\n"},
        {{HF_ENOSPACE, 3, 0, true}, "-MISCONF ~"},
        {{HF_ENOMEM, 3, 0, true}, "-OOM command not allowed~"},
        {{HF_ETOOBIG, 3, 0, true}, "-ERR the command is above the limit of 104857600 bytes\r\n"},
        {{HF_EBUSY, 3, 0, true}, "-CLUSTERDOWN group 3 has too many commands in flight~"},
        {{HF_ECLOSED, 3, 0, true}, "-CLUSTERDOWN group 3 is stopped on this node\r\n"},
        {{HF_EIO, 3, 0, true}, "-INDETERMINATE write at group 3 may or may not commit\r\n"},
        {{HF_EIO, 3, 0, false}, "-ERR group 3 could not answer: EIO\r\n"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer text = {0};
        struct reply reply = reply_of(&text, 2);
        outcome_reply(&reply, &rows[i].outcome);
        buffer_append_u8(&text, '\0');
        assert_true(client_fits((char *)text.data, rows[i].text));
        buffer_close(&text);
    }
}

static void a_write_whose_leader_is_cut_off_is_indeterminate_and_the_socket_stays(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 1, 7);
    int leader = fixture_leader(&fixture, NODE_GROUP_FIRST);
    client_open(&client, &fixture, (unsigned)leader);
    client_expect(&client, "SET k 1", OK);
    struct sim_host *side[] = {fixture.nodes[leader].host, fixture.outside};
    sim_network_partition(fixture.sim, side, 2);
    client_send(&client, "INCR k\r\nGET k\r\n");
    assert_true(client_fits(client_take(&client, 2), "-INDETERMINATE write at group 2 index ~ may or may not commit\r\n"
                                                     "-CLUSTERDOWN no leader for group 2\r\n"));
    client_expect(&client, "SET k 5", "-CLUSTERDOWN no leader for group 2\r\n"); /* it stepped down meanwhile */
    client_expect(&client, "PING", "+PONG\r\n");
    sim_network_heal(fixture.sim);
    assert_true(sim_run_until(fixture.sim, fixture_all_led, &fixture, FIXTURE_WAIT_MS * 1000000ull));
    fixture_run_ms(&fixture, 3000);
    client_expect(&client, "GET k", "$1\r\n~\r\n");
    client_expect(&client, "SET k 5", OK);
    assert_int_equal(client.ended, 0);
    client_close(&client);
    fixture_close(&fixture);
}

static void without_a_majority_nothing_is_taken_and_everything_ends_in_time(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 3, 2, 7);
    client_open(&client, &fixture, 0);
    client_expect(&client, "SET a 1", OK);
    client_expect(&client, "RAFT.BARRIER", OK); /* it is here, too */
    for (unsigned i = 1; i < 3; i++) {
        sim_host_kill(fixture.nodes[i].host);
        fixture_stop_node(&fixture, i);
    }
    fixture_run_ms(&fixture, 5000);
    uint64_t before = sim_now_ns(fixture.sim);
    client_send(&client, "SET a 2\r\nGET a\r\nMGET a b c d\r\nDEL a b c d e\r\nDBSIZE\r\nWATCH a\r\nRAFT.BARRIER\r\n");
    const char *text = client_take(&client, 7);
    for (unsigned i = 0; i < 7; i++) {
        assert_true(strncmp(text, "-CLUSTERDOWN no leader for group ", 33) == 0);
        text = strchr(text, '\n') + 1;
    }
    /* request_timeout, at most twice: what had to wait for what came before it */
    assert_true(sim_now_ns(fixture.sim) - before < 7000000000ull);
    client_expect(&client, "MULTI", OK); /* the WATCH failed: EXEC may not pretend */
    client_expect(&client, "SET a 3", "+QUEUED\r\n");
    client_expect(&client, "EXEC", "-EXECABORT ~");
    client_expect(&client, "RAFT.READ stale", OK);
    client_expect(&client, "GET a", "$1\r\n1\r\n");
    assert_int_equal(client.ended, 0);
    client_close(&client);
    fixture_close(&fixture);
}

static void a_full_disk_answers_misconf_and_recovers(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 7);
    client_open(&client, &fixture, 0);
    client_expect(&client, "SET k 1", OK);
    sim_disk_set_capacity(fixture.nodes[0].host, sim_disk_used_bytes(fixture.nodes[0].host));
    struct buffer value = {0};
    memset(buffer_extend(&value, 100000), 'x', 100000);
    buffer_append_u8(&value, '\0');
    unsigned written = 0;
    unsigned refused = 0;
    for (unsigned i = 0; i < 400 && refused < 5; i++) {
        char key[32];
        snprintf(key, sizeof(key), "fill:%u", i);
        client_command(&client, "SET", key, (char *)value.data, NULL);
        const char *text = client_take(&client, 1);
        if (strcmp(text, OK) == 0) {
            assert_int_equal(refused, 0);
            written++;
        } else {
            assert_true(client_fits(text, "-MISCONF ~"));
            refused++;
        }
    }
    assert_int_equal(refused, 5);
    client_expect(&client, "GET k", "$1\r\n1\r\n");
    char line[32];
    snprintf(line, sizeof(line), ":%u\r\n", written + 1);
    client_expect(&client, "DBSIZE", line);
    sim_disk_set_capacity(fixture.nodes[0].host, 0);
    fixture_run_ms(&fixture, 5000);
    client_command(&client, "SET", "after", (char *)value.data, NULL);
    assert_string_equal(client_take(&client, 1), OK);
    buffer_close(&value);
    client_close(&client);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_with_many_keys_are_split_and_merged),
        cmocka_unit_test(leadership_is_handed_over_from_any_node),
        cmocka_unit_test(a_second_transfer_while_one_is_under_way_is_refused_and_harms_nobody),
        cmocka_unit_test(a_transfer_without_a_leader_to_ask_is_refused_before_it_is_tried),
        cmocka_unit_test(scan_walks_every_group_and_returns_each_key),
        cmocka_unit_test(wait_counts_the_voters_that_hold_the_writes),
        cmocka_unit_test(a_barrier_is_over_every_group),
        cmocka_unit_test(outcomes_name_the_group_and_never_promise_what_nobody_knows),
        cmocka_unit_test(a_write_whose_leader_is_cut_off_is_indeterminate_and_the_socket_stays),
        cmocka_unit_test(without_a_majority_nothing_is_taken_and_everything_ends_in_time),
        cmocka_unit_test(a_full_disk_answers_misconf_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
