/* What a command is: one row of one table. COMMAND, COMMAND DOCS, COMMAND GETKEYS, the table in the docs, the choice
 * between read path and write path and the checks of arity are all made from these rows.
 *
 * Three tables: command_table_data.c (rows with `execute`: they run on the keyspace, see machine.h), and
 * command_table_connection.c and command_table_raft.c (rows with `session`: they are about the connection, the server,
 * the groups and the members). */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"

#define COMMAND_ARGUMENTS_MAX (1024u * 1024u) /* of one command, its name included */
#define COMMAND_NAME_SIZE_MAX 32u

/* A command as it came: items[0] is its name. Lent. */
struct arguments {
    const struct hf_bytes *items;
    size_t count;
};

/* Stable numbers of what can be in a log entry. They are part of the entry format: never renumber, never reuse. 0 is
 * no command. */
enum command_number {
    COMMAND_NUMBER_NONE = 0,
    /* internal: no client can send these */
    COMMAND_NUMBER_LITERAL = 1,    /* <RESP bytes>: answers them; what PING is inside a transaction */
    COMMAND_NUMBER_EXPIRE_DUE = 2, /* <stamp limit, u64> <keys at most, u32>: deletes what is past its deadline */
    COMMAND_NUMBER_VERSION = 3,    /* <key>: a read for WATCH; answers [index, ordinal] */
    /* strings */
    COMMAND_NUMBER_GET = 16,
    COMMAND_NUMBER_SET = 17,
    COMMAND_NUMBER_SETNX = 18,
    COMMAND_NUMBER_SETEX = 19,
    COMMAND_NUMBER_PSETEX = 20,
    COMMAND_NUMBER_GETSET = 21,
    COMMAND_NUMBER_GETDEL = 22,
    COMMAND_NUMBER_GETEX = 23,
    COMMAND_NUMBER_MGET = 24,
    COMMAND_NUMBER_MSET = 25,
    COMMAND_NUMBER_MSETNX = 26,
    COMMAND_NUMBER_APPEND = 27,
    COMMAND_NUMBER_STRLEN = 28,
    COMMAND_NUMBER_GETRANGE = 29,
    COMMAND_NUMBER_SUBSTR = 30,
    COMMAND_NUMBER_SETRANGE = 31,
    COMMAND_NUMBER_INCR = 32,
    COMMAND_NUMBER_DECR = 33,
    COMMAND_NUMBER_INCRBY = 34,
    COMMAND_NUMBER_DECRBY = 35,
    /* keys of any type */
    COMMAND_NUMBER_DEL = 64,
    COMMAND_NUMBER_UNLINK = 65,
    COMMAND_NUMBER_DELIFEQ = 66,
    COMMAND_NUMBER_EXISTS = 67,
    COMMAND_NUMBER_TYPE = 68,
    COMMAND_NUMBER_TOUCH = 69,
    COMMAND_NUMBER_KEYS = 70,
    COMMAND_NUMBER_SCAN = 71,
    COMMAND_NUMBER_RANDOMKEY = 72,
    COMMAND_NUMBER_DBSIZE = 73,
    COMMAND_NUMBER_FLUSHDB = 74,
    COMMAND_NUMBER_FLUSHALL = 75,
    /* time to live */
    COMMAND_NUMBER_EXPIRE = 96,
    COMMAND_NUMBER_PEXPIRE = 97,
    COMMAND_NUMBER_EXPIREAT = 98,
    COMMAND_NUMBER_PEXPIREAT = 99,
    COMMAND_NUMBER_TTL = 100,
    COMMAND_NUMBER_PTTL = 101,
    COMMAND_NUMBER_EXPIRETIME = 102,
    COMMAND_NUMBER_PEXPIRETIME = 103,
    COMMAND_NUMBER_PERSIST = 104,
    COMMAND_NUMBER_END = 256
};

enum command_flag {
    COMMAND_WRITE = 1u << 0, /* goes through the log */
    COMMAND_READ = 1u << 1,  /* reads the keyspace and changes nothing */
    COMMAND_LOCAL = 1u << 2, /* about this connection or this node: neither read path nor write path */
    COMMAND_FAST = 1u << 3,  /* O(1) or O(log n) per key */
    COMMAND_ADMIN = 1u << 4,
    COMMAND_NO_MULTI = 1u << 5, /* refused inside a transaction */
    COMMAND_NO_AUTH = 1u << 6,  /* allowed before AUTH */
    COMMAND_FANOUT =
        1u << 7, /* keys of several groups: split by group, not atomic (MGET, EXISTS, DEL, UNLINK, TOUCH) */
    COMMAND_EVERY_GROUP = 1u << 8, /* has no key and concerns every routed group (DBSIZE, KEYS, FLUSHALL, …) */
    COMMAND_MAY_GROW = 1u << 9,    /* refused with -OOM at max_data_bytes ("denyoom") */
    COMMAND_INTERNAL = 1u << 10,   /* proposed by the server itself; unknown to clients */
    COMMAND_LOADING = 1u << 11,
    COMMAND_STALE = 1u << 12,
    COMMAND_PUBSUB = 1u << 13,
    COMMAND_AFTER_ALL = 1u << 14 /* runs when the connection's earlier commands are answered */
};

enum command_group {
    COMMAND_GROUP_GENERIC,
    COMMAND_GROUP_STRING,
    COMMAND_GROUP_TRANSACTIONS,
    COMMAND_GROUP_CONNECTION,
    COMMAND_GROUP_SERVER,
    COMMAND_GROUP_RAFT
};

struct keyspace;
struct machine_context;
struct reply;
struct session;

/* Runs a data command. Answers into `reply`; what the client did wrong is a reply, not a result: a negative result
 * means that the store failed and the group must stop. */
typedef int command_execute(struct keyspace *keyspace, const struct arguments *arguments,
                            const struct machine_context *context, struct reply *reply);
/* Runs a connection command; the signature's meaning is session.h's. */
typedef int command_session(struct session *session, const struct arguments *arguments, struct reply *reply);

struct command_spec {
    const char *name;           /* lower case; of a subcommand: "client|setname" */
    enum command_number number; /* 0 for what is never in an entry */
    int arity;                  /* as Redis counts: the name included; −n: at least n */
    uint32_t flags;             /* enum command_flag */
    int first_key;              /* position of the first key; 0: no keys */
    int last_key;               /* of the last; −1: the last argument, −2: the one before */
    int key_step;
    enum command_group group;
    const char *summary;
    const char *since;      /* Redis's version; "1.0.0" style */
    const char *complexity; /* "O(1)" */
    const char *syntax;     /* arguments for people: "key value [NX | XX]"; NULL: none */
    command_execute *execute;
    command_session *session;
    const struct command_spec *subcommands;
    size_t subcommand_count;
};

extern const struct command_spec command_table_data[];
extern const size_t command_table_data_count;
/* By number: the position of its row + 1; 0: no command has it. */
extern const uint8_t command_table_data_rows[COMMAND_NUMBER_END];
extern const struct command_spec command_table_connection[];
extern const size_t command_table_connection_count;
extern const struct command_spec command_table_raft[];
extern const size_t command_table_raft_count;

/* By name as the client wrote it, in any case; NULL when unknown. Never finds internal commands. Thread: any. */
const struct command_spec *command_find(struct hf_bytes name);
/* Only in the data table, internal commands included. */
const struct command_spec *command_data_find(struct hf_bytes name);
/* NULL when this program does not know the number. */
const struct command_spec *command_by_number(uint32_t number);
/* Every command a client can send, each once: start with *position = 0; NULL at the end. */
const struct command_spec *command_next(size_t *position);
const char *command_group_name(enum command_group group);

bool command_arity_fits(const struct command_spec *spec, size_t count);
/* Keys of a command whose arity fits. position < command_key_count. */
size_t command_key_count(const struct command_spec *spec, const struct arguments *arguments);
struct hf_bytes command_key_at(const struct command_spec *spec, const struct arguments *arguments, size_t position);

#endif
