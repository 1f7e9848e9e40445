/* The payload of a log entry of a data group: one or more units, each one command or one transaction of one client.
 *
 *   entry                                        unit
 *   offset size                                  size
 *   0      1    version = 1                      1    kind: 1 command, 2 transaction
 *   1      1    kind = 1 (units)                 1    protocol of the reply: 2 or 3
 *   2      2    zero                             2    zero
 *   4      4    number of units, 1 … 65,536      4    transaction: number of watches, ≤ 4,096; command: zero
 *   8      8    stamp, UNIX ms, the leader's     4    number of commands: command: 1; transaction: 0 … 1,048,576
 *   16     …    units                            …    watches, then commands
 *
 *   watch                                        command
 *   size                                         size
 *   8    index of the version, 0: absent         2    number (enum command_number)
 *   4    ordinal of the version                  2    zero
 *   4+n  key                                     4    number of arguments without the name, < 1,048,576
 *                                                …    arguments: 4+n each
 *
 * All integers little-endian. Valid: every bound holds, every zero is zero, nothing is left over. What is valid but
 * unknown (version, kinds, command numbers) is HF_EVERSION: the group stops until this program is upgraded. */
#ifndef SERVER_MACHINE_ENTRY_H
#define SERVER_MACHINE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "holdfast/bytes.h"
#include "server/command.h"

#define MACHINE_ENTRY_VERSION      1u
#define MACHINE_ENTRY_HEADER_SIZE  16u
#define MACHINE_ENTRY_SIZE_MAX     (128u << 20)
#define MACHINE_ENTRY_UNITS_MAX    65536u
#define MACHINE_ENTRY_WATCHES_MAX  4096u
#define MACHINE_EXPIRE_DUE_MAX     1000u           /* keys that one EXPIRE-DUE deletes */
#define MACHINE_ENTRY_COMMANDS_MAX (1024u * 1024u) /* of one transaction */

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
 * A unit is what node_propose and node_read take as a command; the leader composes units into entries. All of these
 * append to the buffer. Limits are the caller's to keep: machine_check does it for a command. */
void machine_unit_command(struct buffer *unit, unsigned protocol, const struct command_spec *spec,
                          const struct arguments *arguments);
/* The head of a transaction; exactly command_count bodies must follow. */
void machine_unit_transaction(struct buffer *unit, unsigned protocol, const struct machine_watch *watches,
                              size_t watch_count, size_t command_count);
void machine_unit_body(struct buffer *unit, const struct command_spec *spec, const struct arguments *arguments);
/* A body that answers these RESP bytes: what PING is inside a transaction. */
void machine_unit_body_literal(struct buffer *unit, struct hf_bytes resp);
/* What the leader proposes when a deadline has passed: deletes up to keys_max (≤ MACHINE_EXPIRE_DUE_MAX) keys that are
 * past their deadline at the stamp. */
void machine_unit_expire_due(struct buffer *unit, uint64_t stamp_ms, uint32_t keys_max);
/* What WATCH reads, linearizably: the version of a key. machine_version_parse understands its reply. */
void machine_unit_version(struct buffer *unit, struct hf_bytes key);
int machine_version_parse(struct hf_bytes reply, struct machine_version *out); /* HF_EPROTOCOL */
/* Bytes that a command takes inside a unit: for the limit of a transaction that gathers. */
size_t machine_unit_command_size(const struct arguments *arguments);
/* Appends one entry. The ordinal of a unit is its position. count: 1 … MACHINE_ENTRY_UNITS_MAX. Units come from other
 * nodes too: one that does not validate is replaced by a unit that answers an error, because a malformed entry in the
 * log would stop the group on every node. */
void machine_entry_compose(struct buffer *entry, uint64_t stamp_ms, const struct hf_bytes *units, uint32_t count);

/* ---- Reading ----
 * The readers below are for bytes that validated: an entry is applied as a whole or not at all. */

/* Walks everything. HF_EPROTOCOL: malformed. HF_EVERSION: well-formed as far as that can be said, but unknown here. */
int machine_entry_validate(struct hf_bytes entry);
int machine_unit_validate(struct hf_bytes unit);

struct machine_unit {
    enum machine_unit_kind kind;
    unsigned protocol;
    uint32_t ordinal;
    uint32_t watch_count;
    uint32_t command_count;
};
struct machine_entry_reader {
    struct cursor cursor;
    uint64_t stamp_ms;
    uint32_t unit_count;
    uint32_t units_read;
    struct hf_bytes *items; /* owned: the argument array of the command read last */
    size_t items_capacity;
};
void machine_entry_open(struct machine_entry_reader *reader, struct hf_bytes entry);
/* Reads one unit that stands alone: as if it were the only one of an entry. */
void machine_entry_open_unit(struct machine_entry_reader *reader, struct hf_bytes unit);
/* false after the last unit. After a unit: its watches, then its commands, all of them, then the next unit. */
bool machine_entry_next_unit(struct machine_entry_reader *reader, struct machine_unit *unit);
void machine_entry_next_watch(struct machine_entry_reader *reader, struct machine_watch *watch);
/* The arguments are lent until the next call. */
void machine_entry_next_command(struct machine_entry_reader *reader, const struct command_spec **spec,
                                struct arguments *arguments);
void machine_entry_close(struct machine_entry_reader *reader);

#endif
