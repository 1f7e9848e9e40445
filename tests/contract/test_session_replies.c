/* links: server sim */
/* What each command about the connection, the server and the cluster answers, in RESP2 and in RESP3. */
#include "server_fixture.h"

struct row {
    const char *line;
    const char *resp2; /* '~' stands for anything */
    const char *resp3; /* NULL: the same */
};

#define OK     "+OK\r\n"
#define SYNTAX "-ERR syntax error\r\n"

static const struct row connection[] = {
    {"PING", "+PONG\r\n", NULL},
    {"ping hello", "$5\r\nhello\r\n", NULL},
    {"PING a b", "-ERR wrong number of arguments for 'ping' command\r\n", NULL},
    {"ECHO \"a b\"", "$3\r\na b\r\n", NULL},
    {"ECHO", "-ERR wrong number of arguments for 'echo' command\r\n", NULL},
    {"SELECT 0", OK, NULL},
    {"SELECT 1", "-ERR DB index is out of range\r\n", NULL},
    {"SELECT x", "-ERR value is not an integer or out of range\r\n", NULL},
    {"AUTH secret", "-ERR AUTH <password> called without any password configured~", NULL},
    {"AUTH default secret", OK, NULL},
    {"AUTH somebody secret", "-WRONGPASS invalid username-password pair or user is disabled.\r\n", NULL},
    {"AUTH a b c", SYNTAX, NULL},
    {"HELLO 4", "-NOPROTO unsupported protocol version\r\n", NULL},
    {"HELLO x", "-ERR Protocol version is not an integer or out of range\r\n", NULL},
    {"HELLO 3 NONSENSE", "-ERR Syntax error in HELLO option 'NONSENSE'\r\n", NULL},
    {"HELLO 3 AUTH somebody x", "-WRONGPASS~", NULL},
    {"HELLO 3 SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", NULL},
    {"HELLO",
     "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:~\r\n$"
     "4\r\n"
     "mode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n",
     "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n~$7\r\nmodules\r\n*"
     "0\r\n"},
    {"READONLY", "-ERR This instance has cluster support disabled\r\n", NULL},
    {"READWRITE", "-ERR This instance has cluster support disabled\r\n", NULL},
    {"ASKING", "-ERR This instance has cluster support disabled\r\n", NULL},
    {"NOSUCH a 'b c'", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b c' \r\n", NULL},
    {"GET", "-ERR wrong number of arguments for 'get' command\r\n", NULL},
    {"CLIENT", "-ERR wrong number of arguments for 'client' command\r\n", NULL},
    {"CLIENT NONSENSE", "-ERR unknown subcommand 'NONSENSE'. Try CLIENT HELP.\r\n", NULL},
    {"CLIENT MAINT_NOTIFICATIONS ON", "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n", NULL},
    {"CLIENT GETNAME", "$-1\r\n", "_\r\n"},
    {"CLIENT SETNAME worker-1", OK, NULL},
    {"CLIENT GETNAME", "$8\r\nworker-1\r\n", NULL},
    {"CLIENT SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n", NULL},
    {"CLIENT SETINFO lib-name redis-py", OK, NULL},
    {"CLIENT SETINFO LIB-VER 4.3", OK, NULL},
    {"CLIENT SETINFO lib-age 4", "-ERR Unrecognized option 'lib-age'\r\n", NULL},
    {"CLIENT SETINFO lib-name \"a b\"", "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n",
     NULL},
    {"CLIENT ID", ":~\r\n", NULL},
    {"CLIENT INFO",
     "$~id=~ addr=~ laddr=~ name=worker-1 ~ multi=-1 watch=0 ~ cmd=client|info ~resp=2 lib-name=redis-py "
     "lib-ver=4.3\n\r\n",
     "=~\r\ntxt:id=~ resp=3 lib-name=redis-py lib-ver=4.3\n\r\n"},
    {"CLIENT LIST", "$~id=~cmd=client|list~\n\r\n", "=~\r\ntxt:id=~\n\r\n"},
    {"CLIENT LIST TYPE replica", "$0\r\n\r\n", "=4\r\ntxt:\r\n"},
    {"CLIENT LIST TYPE what", "-ERR Unknown client type 'what'\r\n", NULL},
    {"CLIENT LIST ID 99999", "$0\r\n\r\n", "=4\r\ntxt:\r\n"},
    {"CLIENT LIST ID x", "-ERR Invalid client ID\r\n", NULL},
    {"CLIENT LIST WHAT x", SYNTAX, NULL},
    {"CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n", NULL},
    {"CLIENT KILL ID 99999", ":0\r\n", NULL},
    {"CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n", NULL},
    {"CLIENT KILL ID", "-ERR No such client\r\n", NULL},
    {"CLIENT KILL WHAT x", SYNTAX, NULL},
    {"CLIENT KILL SKIPME maybe", SYNTAX, NULL},
    {"CLIENT KILL USER nobody", ":0\r\n", NULL},
    {"CLIENT KILL TYPE pubsub", ":0\r\n", NULL},
    {"CLIENT KILL MAXAGE 100000", ":0\r\n", NULL},
    {"CLIENT NO-EVICT on", OK, NULL},
    {"CLIENT NO-EVICT maybe", SYNTAX, NULL},
    {"CLIENT NO-TOUCH off", OK, NULL},
    {"CLIENT REPLY maybe", SYNTAX, NULL},
    {"CLIENT REPLY on", OK, NULL},
    {"CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n", NULL},
    {"CLIENT PAUSE 10 WHAT", SYNTAX, NULL},
    {"CLIENT PAUSE 0", OK, NULL},
    {"CLIENT UNPAUSE", OK, NULL},
    {"CLIENT HELP", "*27\r\n+CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n~", NULL},
    {"QUIT now please", OK, NULL},
};

static const struct row server_rows[] = {
    {"COMMAND COUNT", ":~\r\n", NULL},
    {"COMMAND NONSENSE", "-ERR unknown subcommand 'NONSENSE'. Try COMMAND HELP.\r\n", NULL},
    {"COMMAND INFO get nosuch",
     "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@string\r\n+@read\r\n+@"
     "fast\r\n"
     "*0\r\n*0\r\n*0\r\n*-1\r\n",
     "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n~3\r\n+@string\r\n~_\r\n"},
    {"COMMAND INFO client|id", "*1\r\n*10\r\n$9\r\nclient|id\r\n:2\r\n~", NULL},
    {"COMMAND DOCS get nosuch",
     "*2\r\n$3\r\nget\r\n*8\r\n$7\r\nsummary\r\n$34\r\nReturns the string value of a "
     "key.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n"
     "$5\r\ngroup\r\n$6\r\nstring\r\n$10\r\ncomplexity\r\n$8\r\nO(log n)\r\n",
     "%1\r\n$3\r\nget\r\n%4\r\n~"},
    {"COMMAND DOCS", "*~", "%~"},
    {"COMMAND", "*~\r\n*10\r\n~", NULL},
    {"COMMAND LIST", "*~$3\r\nget\r\n~", NULL},
    {"COMMAND LIST FILTERBY PATTERN getr*", "*1\r\n$8\r\ngetrange\r\n", NULL},
    {"COMMAND LIST FILTERBY ACLCAT transaction", "*5\r\n~", NULL},
    {"COMMAND LIST FILTERBY MODULE any", "*0\r\n", NULL},
    {"COMMAND LIST WHAT", SYNTAX, NULL},
    {"COMMAND GETKEYS mset a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n", NULL},
    {"COMMAND GETKEYS ping x", "-ERR The command has no key arguments\r\n", NULL},
    {"COMMAND GETKEYS nosuch x", "-ERR Invalid command specified\r\n", NULL},
    {"COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command\r\n", NULL},
    {"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n", "%1\r\n$4\r\nsave\r\n$0\r\n\r\n"},
    {"CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n", "%1\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n"},
    {"CONFIG GET slowlog-* timeout", "*6\r\n~", "%3\r\n~"},
    {"CONFIG GET nosuch", "*0\r\n", "%0\r\n"},
    {"CONFIG GET *", "*~", "%~"},
    {"CONFIG SET timeout 100 slowlog-max-len 64", OK, NULL},
    {"CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$3\r\n100\r\n", "%1\r\n$7\r\ntimeout\r\n$3\r\n100\r\n"},
    {"CONFIG SET timeout 0 slowlog-max-len nonsense",
     "-ERR CONFIG SET failed (possibly related to argument 'slowlog-max-len')~", NULL},
    {"CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$3\r\n100\r\n", "%1\r\n~"}, /* all or nothing */
    {"CONFIG SET timeout 0", OK, NULL},
    {"CONFIG SET appendonly no", "-ERR CONFIG SET failed~can't set immutable config\r\n", NULL},
    {"CONFIG SET nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n", NULL},
    {"CONFIG SET timeout 1 maxclients", "-ERR wrong number of arguments for 'config|set' command\r\n", NULL},
    {"CONFIG RESETSTAT", OK, NULL},
    {"CONFIG REWRITE", "-ERR The server is running without a config file\r\n", NULL},
    {"TIME", "*2\r\n$10\r\n~\r\n$~\r\n", NULL},
    {"ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", NULL},
    {"WAIT 0 100", ":0\r\n", NULL},
    {"WAIT 1 50", ":0\r\n", NULL},
    {"WAIT x 50", "-ERR value is not an integer or out of range\r\n", NULL},
    {"WAIT 1 x", "-ERR timeout is not an integer or out of range\r\n", NULL},
    {"WAIT 1 -1", "-ERR timeout is negative\r\n", NULL},
    {"WAITAOF 1 0 50", "*2\r\n:1\r\n:0\r\n", NULL},
    {"WAITAOF 2 0 50", "-ERR value is out of range, value must between 0 and 1\r\n", NULL},
    {"SLOWLOG LEN", ":0\r\n", NULL},
    {"SLOWLOG GET", "*0\r\n", NULL},
    {"SLOWLOG GET -2", "-ERR count should be greater than or equal to -1\r\n", NULL},
    {"SLOWLOG RESET", OK, NULL},
    {"SLOWLOG HELP", "*9\r\n~", NULL},
    {"LATENCY LATEST", "*0\r\n", NULL},
    {"LATENCY RESET", ":0\r\n", NULL},
    {"LATENCY HISTOGRAM nosuch", "*0\r\n", "%0\r\n"},
    {"LATENCY HISTOGRAM time",
     "*2\r\n$4\r\ntime\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:1\r\n:1\r\n",
     "%1\r\n$4\r\ntime\r\n%2\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n%1\r\n:1\r\n:1\r\n"},
    {"SET obj 12345", OK, NULL},
    {"OBJECT ENCODING obj", "$3\r\nint\r\n", NULL},
    {"OBJECT IDLETIME obj", ":0\r\n", NULL},
    {"OBJECT REFCOUNT obj", ":1\r\n", NULL},
    {"OBJECT ENCODING nosuch", "$-1\r\n", "_\r\n"},
    {"OBJECT FREQ obj", "-ERR An LFU maxmemory policy is not selected~", NULL},
    {"SET obj abc", OK, NULL},
    {"OBJECT ENCODING obj", "$6\r\nembstr\r\n", NULL},
    {"SET obj 01234567890123456789012345678901234567890123456789", OK, NULL},
    {"OBJECT ENCODING obj", "$3\r\nraw\r\n", NULL},
    {"MEMORY USAGE obj", ":125\r\n", NULL},
    {"MEMORY USAGE obj SAMPLES 5", ":125\r\n", NULL},
    {"MEMORY USAGE obj WHAT 5", SYNTAX, NULL},
    {"MEMORY USAGE nosuch", "$-1\r\n", "_\r\n"},
    {"DEL obj", ":1\r\n", NULL},
    {"FUNCTION FLUSH", OK, NULL},
    {"SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n", NULL},
    {"SHUTDOWN WHAT", SYNTAX, NULL},
    {"INFO nosuch", "$0\r\n\r\n", "=4\r\ntxt:\r\n"},
    {"INFO",
     "$~# Server\r\nredis_version:7.2.4\r\n~loading:0\r\n~role:master\r\n~# Cluster\r\ncluster_enabled:0\r\n~# Raft~",
     "=~\r\ntxt:# Server\r\n~"},
    {"INFO replication cluster", "$~# Replication\r\nrole:master\r\n~# Cluster\r\ncluster_enabled:0\r\n\r\n", "=~"},
    {"INFO commandstats", "$~cmdstat_time:calls=1,usec=~,usec_per_call=~,rejected_calls=0,failed_calls=0\r\n~", "=~"},
    {"INFO latencystats", "$~latency_percentiles_usec_time:p50=~", "=~"},
    {"INFO everything", "$~# Commandstats~# Latencystats~", "=~"},
    {"INFO clients", "$~connected_clients:1\r\n~", "=~"},
};

static const struct row raft_rows[] = {
    {"RAFT.READ", "$12\r\nlinearizable\r\n", NULL},
    {"RAFT.READ stale", OK, NULL},
    {"RAFT.READ", "$5\r\nstale\r\n", NULL},
    {"GET nosuch", "$-1\r\n", "_\r\n"},
    {"RAFT.READ linearizable", OK, NULL},
    {"RAFT.READ what", SYNTAX, NULL},
    {"RAFT.BARRIER", OK, NULL},
    {"RAFT.BARRIER 2", OK, NULL},
    {"RAFT.BARRIER 9", "-ERR there are the groups 1 to 3\r\n", NULL},
    {"RAFT.BARRIER 2 3", SYNTAX, NULL},
    {"RAFT.STATUS",
     "*18\r\n$4\r\nnode\r\n:1\r\n$7\r\ncluster\r\n$32\r\n~$5\r\nleads\r\n*3\r\n:1\r\n:2\r\n:3\r\n$5\r\npeers\r\n*0\r\n",
     "%9\r\n$4\r\nnode\r\n:1\r\n~$5\r\nleads\r\n*3\r\n:1\r\n:2\r\n:3\r\n$5\r\npeers\r\n*0\r\n"},
    {"RAFT.STATUS JSON", "$~\r\n{\"node\":1,~\"groups\":[{\"group\":1,~}\r\n", NULL},
    {"RAFT.STATUS XML", SYNTAX, NULL},
    {"RAFT.GROUPS", "*3\r\n*26\r\n$5\r\ngroup\r\n:1\r\n$7\r\nordinal\r\n:-1\r\n$4\r\nrole\r\n$6\r\nleader\r\n~",
     "*3\r\n%13\r\n$5\r\ngroup\r\n:1\r\n~"},
    {"RAFT.LOG 2 FROM 1 COUNT 1",
     "*1\r\n*10\r\n$5\r\nindex\r\n:1\r\n$4\r\nterm\r\n:1\r\n$4\r\ntype\r\n$13\r\nconfiguration\r\n$8\r\nstamp_ms\r\n:~"
     "\r\n$5\r\nbytes\r\n:~\r\n",
     "*1\r\n%5\r\n$5\r\nindex\r\n:1\r\n~"},
    {"RAFT.LOG 2 FROM 100000", "*0\r\n", NULL},
    {"RAFT.LOG 2 COUNT 0", "-ERR FROM is an index from 1 on, COUNT a number from 1 to 1000\r\n", NULL},
    {"RAFT.LOG 2 WHAT 1", SYNTAX, NULL},
    {"RAFT.LOG x", "-ERR there are the groups 1 to 3\r\n", NULL},
    {"RAFT.LOG 1", "*~", NULL},
    {"RAFT.REPAIR 2 0 1 1", "$~", NULL},
    {"RAFT.REPAIR 2 0 2 1", "-ERR a term, and indexes from 1 on that run forward\r\n", NULL},
    {"RAFT.REPAIR 9 0 1 1", "-ERR there are the groups 1 to 3\r\n", NULL},
    {"RAFT.TRANSFER 2", "-ERR ~", NULL}, /* nobody to give it to */
    {"RAFT.TRANSFER 2 1", OK, NULL},     /* it is here */
    {"RAFT.TRANSFER 2 9", "-ERR there is no node 9\r\n", NULL},
    {"RAFT.TRANSFER 2 x", "-ERR RAFT.TRANSFER takes a group and the id of a node\r\n", NULL},
};

static const struct row snapshot_rows[] = {
    {"LASTSAVE", ":0\r\n", NULL},
    {"RAFT.SNAPSHOT FIND 2", "-~", NULL}, /* none yet */
    {"SET one 1", OK, NULL},
    {"SAVE", OK, NULL},
    {"SAVE", OK, NULL}, /* nothing is new */
    {"LASTSAVE", ":1~\r\n", NULL},
    {"BGSAVE", "+Background saving started\r\n", NULL},
    {"BGSAVE SCHEDULE", "+Background saving started\r\n", NULL},
    {"RAFT.SNAPSHOT", OK, NULL},
    {"RAFT.SNAPSHOT GROUP 2", OK, NULL},
    {"RAFT.SNAPSHOT FIND 2", "$~", NULL},
    {"INFO persistence", "$~", "=~"},
    {"SAVE now", "-ERR wrong number of arguments for 'save' command\r\n", NULL},
    {"BGSAVE now", SYNTAX, NULL},
    {"LASTSAVE 1", "-ERR wrong number of arguments for 'lastsave' command\r\n", NULL},
    {"RAFT.SNAPSHOT GROUP 9", "-ERR there are the groups 1 to 3\r\n", NULL},
    {"RAFT.SNAPSHOT GROUP", "-ERR RAFT.SNAPSHOT takes ~", NULL},
    {"RAFT.SNAPSHOT READ 2 x 1", "-ERR ~", NULL},
};

static const struct row member_rows[] = {
    {"RAFT.MEMBERS", "*1\r\n*~", "*1\r\n%~"},
    {"RAFT.PROMOTE 1", OK, NULL}, /* it is one */
    {"RAFT.DEMOTE 1", "-~ node 1 is the last voter\r\n", NULL},
    {"RAFT.REMOVE 1 FORCE", "-~ node 1 is the last voter\r\n", NULL},
    {"RAFT.REMOVE 9", "-ERR node 9 is no member\r\n", NULL},
    {"RAFT.REMOVE 0", "-ERR the id of a node is a number from 1 on\r\n", NULL},
    {"RAFT.REMOVE 9 SOON", SYNTAX, NULL},
    {"RAFT.DEMOTE", "-ERR wrong number of arguments for 'raft.demote' command\r\n", NULL},
    {"RAFT.PROMOTE x", "-ERR the id of a node is a number from 1 on\r\n", NULL},
    {"RAFT.ADDRESS 1", "-ERR wrong number of arguments for 'raft.address' command\r\n", NULL},
    {"RAFT.JOIN", "-ERR wrong number of arguments for 'raft.join' command\r\n", NULL},
};

static void run_rows(const struct row *rows, size_t count)
{
    for (unsigned protocol = 2; protocol <= 3; protocol++) {
        struct fixture fixture;
        struct client client;
        fixture_open(&fixture, 1, 2, 5);
        client_open(&client, &fixture, 0);
        if (protocol == 3) {
            client_expect(&client, "HELLO 3", "%7\r\n~");
        }
        for (size_t i = 0; i < count; i++) {
            client_expect(&client, rows[i].line,
                          protocol == 3 && rows[i].resp3 != NULL ? rows[i].resp3 : rows[i].resp2);
        }
        client_close(&client);
        fixture_close(&fixture);
    }
}

static void commands_about_the_connection_answer_as_redis_does(void **state)
{
    run_rows(connection, sizeof(connection) / sizeof(connection[0]));
}

static void commands_about_the_server_answer_as_redis_does(void **state)
{
    run_rows(server_rows, sizeof(server_rows) / sizeof(server_rows[0]));
}

static void commands_about_raft_answer(void **state)
{
    run_rows(raft_rows, sizeof(raft_rows) / sizeof(raft_rows[0]));
}

static void commands_about_snapshots_answer(void **state)
{
    run_rows(snapshot_rows, sizeof(snapshot_rows) / sizeof(snapshot_rows[0]));
}

static void H14_commands_about_members_answer_and_refuse(void **state)
{
    run_rows(member_rows, sizeof(member_rows) / sizeof(member_rows[0]));
}

static void the_log_is_shown_decoded(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 5);
    client_open(&client, &fixture, 0);
    client_expect(&client, "SET \"a key\" value", OK);
    client_expect(
        &client, "RAFT.LOG 2 COUNT 1",
        "*1\r\n*12\r\n$5\r\nindex\r\n:~\r\n$4\r\nterm\r\n:~\r\n$4\r\ntype\r\n$6\r\nnormal\r\n$8\r\nstamp_ms\r\n:~"
        "\r\n$5\r\nbytes\r\n:~\r\n$8\r\ncommands\r\n*1\r\n$18\r\nset a\\x20key value\r\n");
    client_close(&client);
    fixture_close(&fixture);
}

static void quit_and_kill_close_after_the_answer(void **state)
{
    struct fixture fixture;
    struct client one;
    struct client two;
    fixture_open(&fixture, 1, 2, 5);
    client_open(&one, &fixture, 0);
    client_open(&two, &fixture, 0);
    client_expect(&one, "SET k v", OK);
    client_send(&one, "GET k\r\nQUIT\r\nPING\r\n");
    assert_string_equal(client_take(&one, 2), "$1\r\nv\r\n+OK\r\n");
    fixture_run_ms(&fixture, 100);
    assert_int_equal(one.ended, 1);
    assert_int_equal(one.received.size, 0); /* nothing behind QUIT is answered */
    client_close(&one);

    client_open(&one, &fixture, 0);
    client_expect(&two, "CLIENT KILL TYPE normal", ":1\r\n");
    fixture_run_ms(&fixture, 100);
    assert_int_equal(one.ended, 1);
    assert_int_equal(two.ended, 0);
    client_expect(&two, "CLIENT KILL TYPE normal SKIPME no", ":1\r\n");
    fixture_run_ms(&fixture, 100);
    assert_int_equal(two.ended, 1);
    client_close(&one);
    client_close(&two);
    fixture_close(&fixture);
}

static void shutdown_asks_the_owner_and_closes(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 5);
    client_open(&client, &fixture, 0);
    client_send(&client, "SHUTDOWN NOSAVE\r\n");
    fixture_run_ms(&fixture, 100);
    assert_int_equal(fixture.nodes[0].shutdowns, 1);
    assert_int_equal(client.ended, 1);
    assert_int_equal(client.received.size, 0);
    client_close(&client);
    fixture_close(&fixture);
}

static void more_clients_than_allowed_are_told_so(void **state)
{
    struct fixture fixture;
    struct client clients[3];
    fixture_open(&fixture, 1, 1, 5);
    client_open(&clients[0], &fixture, 0);
    client_expect(&clients[0], "CONFIG SET maxclients 2", OK);
    client_open(&clients[1], &fixture, 0);
    client_open(&clients[2], &fixture, 0);
    assert_string_equal(client_take(&clients[2], 1), "-ERR max number of clients reached\r\n");
    fixture_run_ms(&fixture, 100);
    assert_int_equal(clients[2].ended, 1);
    client_expect(&clients[1], "PING", "+PONG\r\n");
    client_expect(&clients[1], "INFO stats", "$~rejected_connections:1\r\n~");
    for (unsigned i = 0; i < 3; i++) {
        client_close(&clients[i]);
    }
    fixture_close(&fixture);
}

static void slow_commands_are_kept_with_how_they_began(void **state)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, 1, 1, 5);
    client_open(&client, &fixture, 0);
    client_expect(&client, "CLIENT SETNAME me", OK);
    client_expect(&client, "CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3", OK);
    client_command(&client, "SET", "key", "value", NULL);
    assert_string_equal(client_take(&client, 1), OK);
    char value[300];
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    client_command(&client, "SET", "key", value, "KEEPTTL", NULL);
    assert_string_equal(client_take(&client, 1), OK);
    client_expect(&client, "SLOWLOG LEN", ":3\r\n");
    client_expect(
        &client, "SLOWLOG GET 2",
        "*2\r\n*6\r\n:3\r\n:~\r\n:~\r\n*1\r\n$11\r\nSLOWLOG LEN\r\n$~\r\noutside:~\r\n$2\r\nme\r\n*6\r\n:2\r\n:~\r\n"
        ":~\r\n*4\r\n$3\r\nSET\r\n$3\r\nkey\r\n$~\r\nxxx~x\r\n$~\r\n... (~ more bytes, 1 more arguments)\r\n~");
    client_expect(&client, "SLOWLOG RESET", OK);
    client_expect(&client, "CONFIG SET slowlog-log-slower-than -1", OK);
    client_expect(&client, "SLOWLOG LEN", ":1\r\n"); /* RESET itself; what came after is not kept */
    client_close(&client);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_about_the_connection_answer_as_redis_does),
        cmocka_unit_test(commands_about_the_server_answer_as_redis_does),
        cmocka_unit_test(commands_about_raft_answer),
        cmocka_unit_test(commands_about_snapshots_answer),
        cmocka_unit_test(H14_commands_about_members_answer_and_refuse),
        cmocka_unit_test(the_log_is_shown_decoded),
        cmocka_unit_test(quit_and_kill_close_after_the_answer),
        cmocka_unit_test(shutdown_asks_the_owner_and_closes),
        cmocka_unit_test(more_clients_than_allowed_are_told_so),
        cmocka_unit_test(slow_commands_are_kept_with_how_they_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
