/* Arguments of commands as values: numbers as Redis reads them, options in any case, and the replies to bad ones. */
#ifndef SERVER_ARGUMENT_H
#define SERVER_ARGUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "server/reply.h"

#define ARGUMENT_INTEGER_TEXT_MAX 24u

/* Strict decimal: no spaces, no plus, no leading zeros, no "-0", within int64. */
bool argument_integer(struct hf_bytes argument, int64_t *out);
/* The same, and answers "value is not an integer or out of range" when it is none. */
bool argument_integer_or_reply(struct hf_bytes argument, int64_t *out, struct reply *reply);
/* Decimal digits of a 64-bit cursor. */
bool argument_unsigned(struct hf_bytes argument, uint64_t *out);
/* Equal to a lower-case word in any case. */
bool argument_is(struct hf_bytes argument, const char *word);
/* As text, into a buffer of ARGUMENT_INTEGER_TEXT_MAX; lent from it. */
struct hf_bytes argument_integer_text(int64_t value, char *text);

void argument_reply_syntax(struct reply *reply);

#endif
