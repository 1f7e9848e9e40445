/* A unit: one command, or one transaction, of one client, encoded. It is what node_propose and node_read take as a
 * command, and what entries consist of (machine_entry.h).
 *
 *   size
 *   1    kind: 1 command, 2 transaction
 *   1    protocol of the reply: 2 or 3
 *   2    zero
 *   4    transaction: number of watches, ≤ 4,096; command: zero
 *   4    number of commands: command: 1; transaction: 0 … 1,048,576
 *   …    watches, then commands
 *
 *   watch                                        command
 *   8    index of the version, 0: absent         2    number (enum command_number)
 *   4    ordinal of the version                  2    zero
 *   4+n  key                                     4    number of arguments without the name, < 1,048,576
 *                                                …    arguments: 4+n each
 *
 * All integers little-endian. Valid: every bound holds, every zero is zero, nothing is left over. What is well-formed
 * but unknown (kinds, command numbers) is HF_EVERSION. */
#ifndef SERVER_MACHINE_UNIT_H
#define SERVER_MACHINE_UNIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "holdfast/bytes.h"
#include "server/command.h"

#define MACHINE_ENTRY_SIZE_MAX     (128u << 20)
#define MACHINE_ENTRY_WATCHES_MAX  4096u           /* of one transaction */
#define MACHINE_ENTRY_COMMANDS_MAX (1024u * 1024u) /* of one transaction */
#define MACHINE_EXPIRE_DUE_MAX     1000u           /* keys that one EXPIRE-DUE deletes */

/* Of a key: where in the log it was changed last; {0, 0} when it is absent. */
struct machine_version {
    uint64_t index;
    uint32_t ordinal;
};

enum machine_unit_kind { MACHINE_UNIT_COMMAND = 1, MACHINE_UNIT_TRANSACTION = 2 };

struct machine_watch {
    struct hf_bytes key;
    struct machine_version version;
};

/* ---- Building ----
 * All of these append to the buffer. Limits are the caller's to keep: machine_check does it for a command. */
void machine_unit_command(struct buffer *unit, unsigned protocol, const struct command_spec *spec,
                          const struct arguments *arguments);
/* A unit that answers these RESP bytes. */
void machine_unit_literal(struct buffer *unit, struct hf_bytes resp);
/* The head of a transaction; exactly command_count bodies must follow. */
void machine_unit_transaction(struct buffer *unit, unsigned protocol, const struct machine_watch *watches,
                              size_t watch_count, size_t command_count);
void machine_unit_body(struct buffer *unit, const struct command_spec *spec, const struct arguments *arguments);
/* A body that answers these RESP bytes: what PING is inside a transaction. */
void machine_unit_body_literal(struct buffer *unit, struct hf_bytes resp);
/* What the leader proposes when a deadline has passed: deletes up to keys_max (≤ MACHINE_EXPIRE_DUE_MAX) keys that are
 * past their deadline at the stamp. */
void machine_unit_expire_due(struct buffer *unit, uint64_t stamp_ms, uint32_t keys_max);
/* Bytes that a command takes inside a unit: for the limit of a transaction that gathers. */
size_t machine_unit_command_size(const struct arguments *arguments);

/* HF_EPROTOCOL: malformed. HF_EVERSION: well-formed as far as that can be said, but unknown here. */
int machine_unit_validate(struct hf_bytes unit);
/* The same for a unit at the front of more: moves the cursor behind it. */
int machine_unit_validate_next(struct cursor *cursor);
/* Whether it holds a command that may make the data more: for max_data_bytes, before proposing. One that is not valid
 * does not. */
bool machine_unit_may_grow(struct hf_bytes unit);
int machine_unit_malformed(const char *what); /* raises HF_EPROTOCOL */

#endif
