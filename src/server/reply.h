/* Builds replies in RESP2 or RESP3 as they go to the client. The caller says what it means (a map, a null, a double);
 * the protocol number decides how that is written. With `out` NULL nothing is built at all: that is how entries are
 * applied where nobody waits for the answer. */
#ifndef SERVER_REPLY_H
#define SERVER_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "holdfast/bytes.h"

/* One reply is never larger: MGET of a hundred 64 MiB values is refused instead of held in memory. Less than what node/
 * forwards. */
#define REPLY_SIZE_MAX_DEFAULT (128u << 20)

struct reply {
    struct buffer *out; /* NULL: build nothing */
    unsigned protocol;  /* 2 or 3 */
    size_t size_max;    /* 0: REPLY_SIZE_MAX_DEFAULT */
    size_t start;       /* where in out this reply begins */
    bool overflowed;    /* size_max was reached; what followed was dropped */
};

struct reply reply_of(struct buffer *out, unsigned protocol);
/* Ends a reply: one that overflowed is replaced by an error that names the limit. Otherwise nothing happens. */
void reply_finish(struct reply *reply);
/* Forgets what was built since reply_of. */
void reply_restart(struct reply *reply);

void reply_status(struct reply *reply, const char *text); /* +OK; no CR or LF inside */
/* An error line: code and text as clients see them ("ERR syntax error"), without '-' and line end. CR and LF inside
 * become spaces. */
void reply_error(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_integer(struct reply *reply, int64_t value);
void reply_bulk(struct reply *reply, struct hf_bytes bytes);
void reply_bulk_text(struct reply *reply, const char *text);
void reply_bulk_integer(struct reply *reply, int64_t value);                          /* the number as a bulk string */
void reply_null(struct reply *reply);                                                 /* RESP2: $-1 */
void reply_null_array(struct reply *reply);                                           /* RESP2: *-1 */
void reply_boolean(struct reply *reply, bool value);                                  /* RESP2: :1 or :0 */
void reply_double(struct reply *reply, double value);                                 /* RESP2: bulk string */
void reply_verbatim(struct reply *reply, const char format[3], struct hf_bytes text); /* RESP2: bulk string */
/* Heads; the elements follow. A map of n pairs is an array of 2n in RESP2, a set an array, a push an array. */
void reply_array(struct reply *reply, size_t count);
void reply_map(struct reply *reply, size_t pairs);
void reply_set(struct reply *reply, size_t count);
void reply_push(struct reply *reply, size_t count);
/* Bytes that are RESP already. */
void reply_raw(struct reply *reply, struct hf_bytes bytes);

#endif
