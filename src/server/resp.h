/* Requests as they arrive from a client: a RESP array of bulk strings ("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n") or an inline
 * line ("GET k\r\n", with quotes as redis-cli writes them). The arguments are lent from the input itself; only inline
 * lines are copied, since quoting changes them. (Format: the Redis serialization protocol specification.)
 *
 * The parser is incremental: with part of a command it remembers where it was and never looks at a byte twice. What it
 * allocates grows with the arguments that arrived, never with the announced count or size, and everything has a limit
 * that holds before anybody authenticated. Requests do not nest: anything but a bulk string in the array is an error.
 *
 * Also here: a walker over finished replies (of our own machines, and of tests), bounded in depth.
 *
 * Thread: the owner's. */
#ifndef SERVER_RESP_H
#define SERVER_RESP_H

#include <stdint.h>

#include "base/buffer.h"
#include "server/command.h"

#define RESP_BULK_SIZE_MAX     ((64u << 20) + 4096u) /* one argument: a value, and something for its company */
#define RESP_QUERY_SIZE_MAX    (96u << 20)           /* one command, all its arguments */
#define RESP_INLINE_SIZE_MAX   (64u * 1024u)         /* an inline line */
#define RESP_LENGTH_SIZE_MAX   32u                   /* a line that announces a length */
#define RESP_REPLY_NESTING_MAX 16u

struct resp_limits {
    uint32_t arguments_max;
    uint32_t bulk_size_max;
    uint32_t query_size_max;
};

struct resp_span;

struct resp_parser {
    struct resp_limits limits;
    size_t offset;      /* looked at so far, from the start of the command */
    int64_t items_left; /* −1: the head of the command has not been read */
    int64_t bulk_size;  /* of the argument being read; −1: its head has not been read */
    struct resp_span *spans;
    struct hf_bytes *items;
    size_t count;
    size_t capacity;
    struct buffer unquoted; /* arguments of an inline line */
};

enum resp_result {
    RESP_MORE,    /* the command is not complete */
    RESP_COMMAND, /* arguments are set; none at all for an empty line or array, which is to be ignored */
    RESP_BROKEN   /* HF_EPROTOCOL was raised; its text is what the client is told, after "ERR " */
};

struct resp_limits resp_limits_default(void);
void resp_parser_init(struct resp_parser *parser, const struct resp_limits *limits);
void resp_parser_close(struct resp_parser *parser);
/* input: all bytes from the start of the command on, at least as many as last time. After RESP_COMMAND the arguments
 * are lent until the next call or until the input moves, *consumed bytes are used up, and the parser is ready for the
 * next command. */
enum resp_result resp_parse(struct resp_parser *parser, struct hf_bytes input, struct arguments *arguments,
                            size_t *consumed);

/* ---- finished replies ---- */

/* One element of a reply, without what it contains. */
struct resp_element {
    char type; /* '+' '-' ':' '$' '*' '%' '~' '>' '_' '#' ',' '(' '=' '|' as on the wire */
    int is_null;
    int64_t number;       /* ':' '#': the value. Aggregates: the number of elements that follow (a map of n: 2n) */
    struct hf_bytes text; /* of strings, errors and everything on one line; lent */
};

/* Reads the next element's head (and text) and moves *at behind it. HF_EPROTOCOL: malformed or cut off. */
int resp_next_element(struct hf_bytes reply, size_t *at, struct resp_element *element);
/* Moves *at behind the whole value that starts there. HF_EPROTOCOL: malformed, cut off, or nested too deep. */
int resp_skip_value(struct hf_bytes reply, size_t *at);

#endif
