/* One client's connection: bytes in, commands run or passed on, replies out in order.
 *
 * A session reads as long as it may: at most SESSION_CALLS_MAX commands and SESSION_CALLS_BYTES_MAX bytes of them in
 * flight, fewer when its replies are long, at most SESSION_OUTPUT_PAUSE_BYTES of replies unsent, and the server's
 * ledger of the node (base/ledger.h) not full. Otherwise it stalls: bytes stay in the kernel, the client waits. A full
 * ledger lets who holds and asks for little go on, one command at a time; an exhausted one only commands without data.
 * A client that does not read its replies for SESSION_SLOW_MS, or has more than SESSION_OUTPUT_MAX_BYTES waiting, is
 * cut off and counted.
 *
 * How a command runs (session_run):
 *   local commands      command_session: answer at once, or keep session->current and answer later
 *   data commands       a call with a part per group (call.h)
 *   inside MULTI        are queued (transaction.h)
 *
 * Thread: the loop's. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "node/node.h"
#include "server/call.h"
#include "server/resp.h"

#define SESSION_CALLS_MAX          1024u
#define SESSION_CALLS_BYTES_MAX    (128u << 20)
#define SESSION_REPLIES_MAX_BYTES  (32u << 20) /* what the replies to commands in flight may be expected to take */
#define SESSION_CALLS_MIN          8u          /* however long the replies are */
#define SESSION_REPLY_SIZE_FIRST   (1u << 20)  /* what is expected of a client that was never answered */
#define SESSION_OUTPUT_PAUSE_BYTES (1u << 20)
#define SESSION_OUTPUT_MAX_BYTES   (512u << 20)
#define SESSION_SLOW_MS            60000u
#define SESSION_NAME_SIZE_MAX      256u
#define SESSION_INPUT_KEPT_MAX     (64u * 1024u)
#define SESSION_FAIR_BYTES         (64u * 1024u) /* who holds less goes on when the ledger is full */
#define SESSION_STARVED_MS         10000u        /* who holds more is cut off after so long without any progress */
#define SESSION_REPLY_SPARED_SIZE  4096u /* replies of reads up to this size are given out whatever the ledger says */

/* What a command_session returns. */
enum session_result {
    SESSION_ANSWERED, /* the reply is built */
    SESSION_LATER     /* the handler took session->current and will answer it */
};

enum session_reply_mode { SESSION_REPLY_ON, SESSION_REPLY_OFF, SESSION_REPLY_SKIP_NEXT, SESSION_REPLY_SKIP };

struct transaction;
struct session_wait;

struct session {
    struct list link; /* in the server's sessions */
    struct server *server;
    struct stream *stream;
    uint64_t id;
    uint64_t created_ms;
    uint64_t active_ms;
    unsigned protocol;
    enum session_reply_mode reply_mode;
    enum node_read_mode read_mode;
    char *name;
    char *library_name;
    char *library_version;
    bool no_evict;
    bool no_touch;

    struct resp_parser parser;
    struct buffer input; /* what has not been run yet */
    bool is_stalled;     /* something is in the way; the stream is paused */
    bool wants_run;      /* in the server's list of sessions to continue */
    struct list runnable;
    bool is_ending;         /* no more commands; the connection closes when all replies are out */
    bool has_all_input;     /* the client sends no more; what it sent is still run and answered */
    const char *cut_reason; /* it is cut off at the next chance; NULL: it is not */
    struct hf_bytes raw;    /* the command that runs, as it came: its first SESSION_RAW_SIZE_MAX bytes; lent */

    struct list calls;
    uint32_t call_count;
    uint64_t call_bytes;    /* of commands in flight */
    uint64_t held_bytes;    /* of replies, and parts of them, that wait for their turn */
    uint64_t reply_size;    /* what a reply is expected to be: the longest of late, forgotten slowly */
    uint64_t reply_seen;    /* the same without the guess at the start */
    struct call *current;   /* the call of the command that runs */
    struct map lanes;       /* by group */
    struct lane *lane_last; /* the one used last */
    struct transaction *transaction;
    struct session_wait *wait; /* WAIT under way */

    const struct command_spec *spec_last;
    uint64_t commands;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t ledger_bytes;     /* what the node's ledger counts for this session */
    uint64_t expected_bytes;   /* the same: of replies to come */
    uint64_t gone_seen;        /* bytes that had left at the last tick, to tell a slow reader */
    uint64_t slow_since_ms;    /* 0: it reads */
    uint64_t starved_since_ms; /* stalled by the ledger; 0: it is not */
};

/* Takes the stream over. */
struct session *session_open(struct server *server, struct stream *stream, uint64_t id);
/* At once; replies that wait are lost. Never from inside a command: see session_cut. */
void session_close(struct session *session);
/* Closes it in a turn soon, for a reason that is traced. reason: a literal. */
void session_cut(struct session *session, const char *reason);
/* Takes no more commands; closes when every reply is out. */
void session_end(struct session *session);
/* Something that may have stalled it changed: looks again in a turn soon. */
void session_wake(struct session *session);
/* Runs what waits in the input. */
void session_continue(struct session *session);
/* A reply of this size was made: how many commands may run ahead depends on it. */
void session_expect(struct session *session, size_t reply_size);
/* Writes bytes of a reply. */
void session_emit(struct session *session, struct hf_bytes reply);
/* It holds a command that came half, and nothing but the ledger keeps it from going on. */
bool session_waits_for_memory(const struct session *session);
/* What the session holds changed: tells the ledger. */
void session_keep_ledger(struct session *session);
/* Sends every reply whose turn has come. */
void session_flush(struct session *session);
/* Periodically: cuts off slow readers and idle clients, keeps the ledger right. */
void session_tick(struct session *session, uint64_t now_ms);
size_t session_memory_bytes(const struct session *session);

/* Runs a local command as part of something else (EXEC); answers into the reply. */
void session_run_local(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                       struct reply *reply);
/* The row for a command as the client wrote it, with its subcommand; NULL after it answered that there is none, or that
 * the number of arguments is wrong. */
const struct command_spec *session_find_command(const struct arguments *arguments, struct reply *reply);

/* The group of all keys of a command. HF_ECONFLICT: of several; HF_ENOTFOUND: it has no keys. */
int session_group_of(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                     uint64_t *group);

#endif
