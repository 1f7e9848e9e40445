/* links: server sim */
/* MULTI, EXEC, DISCARD, WATCH, UNWATCH: as Redis, within one group, over any node, and across failovers. */
#include "server_fixture.h"

#define OK     "+OK\r\n"
#define QUEUED "+QUEUED\r\n"

struct step {
    const char *line;
    const char *reply;
};

static const struct step alone[] = {
    {"EXEC", "-ERR EXEC without MULTI\r\n"},
    {"DISCARD", "-ERR DISCARD without MULTI\r\n"},
    {"UNWATCH", OK},
    {"MULTI", OK},
    {"MULTI", "-ERR MULTI calls can not be nested\r\n"},
    {"EXEC", "*0\r\n"},
    /* everything, at once and in order */
    {"MULTI", OK},
    {"SET k 1", QUEUED},
    {"INCR k", QUEUED},
    {"PING", QUEUED},
    {"GET k", QUEUED},
    {"ECHO hi", QUEUED},
    {"EXEC", "*5\r\n+OK\r\n:2\r\n+PONG\r\n$1\r\n2\r\n$2\r\nhi\r\n"},
    {"GET k", "$1\r\n2\r\n"},
    /* only about the connection: no group is asked */
    {"MULTI", OK},
    {"PING", QUEUED},
    {"CLIENT SETNAME me", QUEUED},
    {"EXEC", "*2\r\n+PONG\r\n+OK\r\n"},
    {"CLIENT GETNAME", "$2\r\nme\r\n"},
    /* reads only */
    {"MULTI", OK},
    {"GET k", QUEUED},
    {"STRLEN k", QUEUED},
    {"EXEC", "*2\r\n$1\r\n2\r\n:1\r\n"},
    /* an error while it runs stops nothing */
    {"SET text abc", OK},
    {"MULTI", OK},
    {"INCR text", QUEUED},
    {"SET k 9", QUEUED},
    {"EXEC", "*2\r\n-ERR value is not an integer or out of range\r\n+OK\r\n"},
    /* an error while it is queued stops everything */
    {"MULTI", OK},
    {"SET k 10", QUEUED},
    {"NOSUCH", "-ERR unknown command~"},
    {"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"},
    {"MULTI", OK},
    {"SET k", "-ERR wrong number of arguments for 'set' command\r\n"},
    {"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"},
    {"MULTI", OK},
    {"RAFT.BARRIER", "-ERR Command not allowed inside a transaction\r\n"},
    {"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"},
    {"MULTI", OK},
    {"SET k 10", QUEUED},
    {"EXEC now", "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"},
    {"EXEC", "-ERR EXEC without MULTI\r\n"},
    {"GET k", "$1\r\n9\r\n"},
    {"MULTI", OK},
    {"SET k 11", QUEUED},
    {"DISCARD", OK},
    {"GET k", "$1\r\n9\r\n"},
    /* without keys: there is only one group */
    {"MULTI", OK},
    {"DBSIZE", QUEUED},
    {"FLUSHALL", QUEUED},
    {"DBSIZE", QUEUED},
    {"EXEC", "*3\r\n:2\r\n+OK\r\n:0\r\n"},
    /* WATCH */
    {"MULTI", OK},
    {"WATCH k", "-ERR WATCH inside MULTI is not allowed\r\n"},
    {"EXEC", "*0\r\n"},
    {"SET k 1", OK},
    {"WATCH k", OK},
    {"SET k 2", OK},
    {"MULTI", OK},
    {"SET k 3", QUEUED},
    {"EXEC", "*-1\r\n"},
    {"GET k", "$1\r\n2\r\n"},
    {"MULTI", OK}, /* the watch is over */
    {"SET k 3", QUEUED},
    {"EXEC", "*1\r\n+OK\r\n"},
    {"WATCH k absent", OK},
    {"MULTI", OK},
    {"SET k 4", QUEUED},
    {"EXEC", "*1\r\n+OK\r\n"},
    {"WATCH k", OK},
    {"SET k 5", OK},
    {"UNWATCH", OK},
    {"MULTI", OK},
    {"SET k 6", QUEUED},
    {"EXEC", "*1\r\n+OK\r\n"},
    {"WATCH k", OK},
    {"SET k 7", OK},
    {"MULTI", OK},
    {"PING", QUEUED}, /* nothing about data, but the watch counts */
    {"EXEC", "*-1\r\n"},
    {"WATCH absent", OK},
    {"SET absent 1", OK},
    {"DEL absent", ":1\r\n"},
    {"MULTI", OK},
    {"GET absent", QUEUED},
    {"EXEC", "*1\r\n$-1\r\n"}, /* absent again is absent */
    {"WATCH k", OK},
    {"DISCARD", "-ERR DISCARD without MULTI\r\n"},
    {"RESET", "+RESET\r\n"},
    {"SET k 8", OK},
    {"MULTI", OK},
    {"GET k", QUEUED},
    {"EXEC", "*1\r\n$1\r\n8\r\n"},
};

static void transactions_behave_as_redis_says(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 5);
    client_open(&client, &fixture, 0);
    for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++) {
        client_expect(&client, alone[i].line, alone[i].reply);
    }
    client_close(&client);
    fixture_close(&fixture);
}

static void the_same_in_one_pipeline_and_through_another_node(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, 3, 1, 5);
    for (unsigned node = 0; node < 3; node++) {
        struct client client;
        struct buffer all = {0};
        client_open(&client, &fixture, node);
        client_expect(&client, "FLUSHALL", OK);
        for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++) {
            buffer_format(&all, "%s\r\n", alone[i].line);
        }
        stream_write(client.stream, buffer_bytes(&all));
        for (size_t i = 0; i < sizeof(alone) / sizeof(alone[0]); i++) {
            const char *reply = client_take(&client, 1);
            if (!client_fits(reply, alone[i].reply)) {
                fail_msg("line %zu, %s: %s not %s", i, alone[i].line, reply, alone[i].reply);
            }
        }
        buffer_close(&all);
        client_close(&client);
    }
    fixture_close(&fixture);
}

static void resp3_tells_an_aborted_transaction_with_its_own_null(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 5);
    client_open(&client, &fixture, 0);
    client_expect(&client, "HELLO 3", "~");
    client_expect(&client, "WATCH k", OK);
    client_expect(&client, "SET k 1", OK);
    client_expect(&client, "MULTI", OK);
    client_expect(&client, "GET k", QUEUED);
    client_expect(&client, "EXEC", "_\r\n");
    client_expect(&client, "MULTI", OK);
    client_expect(&client, "GET nosuch", QUEUED);
    client_expect(&client, "CONFIG GET save", QUEUED);
    client_expect(&client, "EXEC", "*2\r\n_\r\n%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
    client_close(&client);
    fixture_close(&fixture);
}

static void keys_of_several_groups_are_refused_and_a_tag_keeps_them_together(void **state)
{
    struct fixture fixture;
    struct client client;
    char zero[64];
    char one[64];
    char line[256];
    fixture_open(&fixture, 1, 2, 5);
    client_open(&client, &fixture, 0);
    snprintf(zero, sizeof(zero), "%s", fixture_key(&fixture, 0, "k"));
    snprintf(one, sizeof(one), "%s", fixture_key(&fixture, 1, "k"));
    client_expect(&client, "MULTI", OK);
    snprintf(line, sizeof(line), "SET %s 1", zero);
    client_expect(&client, line, QUEUED);
    snprintf(line, sizeof(line), "SET %s 1", one);
    client_expect(&client, line, QUEUED);
    client_expect(&client, "EXEC", "-CROSSGROUP ~");
    snprintf(line, sizeof(line), "EXISTS %s %s", zero, one);
    client_expect(&client, line, ":0\r\n");
    /* a watch of another group */
    snprintf(line, sizeof(line), "WATCH %s", one);
    client_expect(&client, line, OK);
    client_expect(&client, "MULTI", OK);
    snprintf(line, sizeof(line), "SET %s 1", zero);
    client_expect(&client, line, QUEUED);
    client_expect(&client, "EXEC", "-CROSSGROUP ~");
    /* what concerns every group */
    client_expect(&client, "MULTI", OK);
    client_expect(&client, "DBSIZE", "-CROSSGROUP 'dbsize'~");
    client_expect(&client, "EXEC", "-EXECABORT ~");
    /* one command with keys of both */
    snprintf(line, sizeof(line), "MSET %s 1 %s 2", zero, one);
    client_expect(&client, line, "-CROSSGROUP ~");
    snprintf(line, sizeof(line), "MULTI\r\nMGET %s %s", zero, one);
    client_send(&client, line);
    client_send(&client, "\r\nEXEC\r\n");
    assert_true(client_fits(client_take(&client, 3), "+OK\r\n+QUEUED\r\n-CROSSGROUP ~"));
    client_expect(&client, "MSET {t}a 1 {t}b 2", OK);
    client_expect(&client, "WATCH {t}a {t}b", OK);
    client_expect(&client, "MULTI", OK);
    client_expect(&client, "MGET {t}a {t}b", QUEUED);
    client_expect(&client, "EXEC", "*1\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    client_close(&client);
    fixture_close(&fixture);
}

static void watches_hold_across_a_failover(void **state)
{
    for (unsigned touched = 0; touched < 2; touched++) {
        struct fixture fixture;
        struct client watcher;
        struct client writer;
        fixture_open(&fixture, 3, 1, 7);
        int leader = fixture_leader(&fixture, NODE_GROUP_FIRST);
        unsigned stays = ((unsigned)leader + 1) % 3;
        client_open(&watcher, &fixture, stays);
        client_open(&writer, &fixture, ((unsigned)leader + 2) % 3);
        client_expect(&writer, "SET k 1", OK);
        client_expect(&watcher, "WATCH k", OK);
        sim_host_kill(fixture.nodes[leader].host);
        fixture_stop_node(&fixture, (unsigned)leader);
        assert_true(sim_run_until(fixture.sim, fixture_all_led, &fixture, FIXTURE_WAIT_MS * 1000000ull));
        if (touched) {
            client_expect(&writer, "SET k 2", OK);
        }
        client_expect(&watcher, "MULTI", OK);
        client_expect(&watcher, "SET k 3", QUEUED);
        client_expect(&watcher, "EXEC", touched ? "*-1\r\n" : "*1\r\n+OK\r\n");
        client_expect(&writer, "GET k", touched ? "$1\r\n2\r\n" : "$1\r\n3\r\n");
        client_close(&watcher);
        client_close(&writer);
        fixture_close(&fixture);
    }
}

static void H22_a_transaction_has_a_limit(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 5);
    client_open(&client, &fixture, 0);
    struct buffer value = {0};
    memset(buffer_extend(&value, 20u << 20), 'x', 20u << 20);
    buffer_append_u8(&value, '\0');
    client_expect(&client, "MULTI", OK);
    for (unsigned i = 0; i < 3; i++) {
        client_command(&client, "SET", "k", (char *)value.data, NULL);
        assert_string_equal(client_take(&client, 1), QUEUED);
    }
    client_command(&client, "SET", "k", (char *)value.data, NULL);
    assert_true(client_fits(client_take(&client, 1), "-ERR the transaction is above its limit~"));
    client_expect(&client, "EXEC", "-EXECABORT ~");
    client_expect(&client, "EXISTS k", ":0\r\n");
    buffer_close(&value);
    client_close(&client);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transactions_behave_as_redis_says),
        cmocka_unit_test(the_same_in_one_pipeline_and_through_another_node),
        cmocka_unit_test(resp3_tells_an_aborted_transaction_with_its_own_null),
        cmocka_unit_test(keys_of_several_groups_are_refused_and_a_tag_keeps_them_together),
        cmocka_unit_test(watches_hold_across_a_failover),
        cmocka_unit_test(H22_a_transaction_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
