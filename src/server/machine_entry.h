/* The payload of a log entry of a data group: one or more units (machine_unit.h) under one stamp.
 *
 *   offset size
 *   0      1    version = 1
 *   1      1    kind = 1 (units)
 *   2      2    zero
 *   4      4    number of units, 1 … 65,536
 *   8      8    stamp, UNIX ms, the leader's
 *   16     …    units
 *
 * All integers little-endian. Valid: every bound holds, every zero is zero, every unit is valid, nothing is left over.
 * What is well-formed but unknown (version, kinds, command numbers) is HF_EVERSION: the group stops until this program
 * is upgraded. */
#ifndef SERVER_MACHINE_ENTRY_H
#define SERVER_MACHINE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "holdfast/bytes.h"
#include "server/command.h"
#include "server/machine_unit.h"

#define MACHINE_ENTRY_VERSION     1u
#define MACHINE_ENTRY_HEADER_SIZE 16u
#define MACHINE_ENTRY_UNITS_MAX   65536u

/* Appends one entry. The ordinal of a unit is its position. count: 1 … MACHINE_ENTRY_UNITS_MAX. Units come from other
 * nodes too: one that does not validate is replaced by a unit that answers an error, because a malformed entry in the
 * log would stop the group on every node. */
void machine_entry_compose(struct buffer *entry, uint64_t stamp_ms, const struct hf_bytes *units, uint32_t count);

/* Walks everything. HF_EPROTOCOL: malformed. HF_EVERSION: well-formed as far as that can be said, but unknown here. */
int machine_entry_validate(struct hf_bytes entry);

/* ---- Reading: only bytes that validated, so that an entry is applied as a whole or not at all. ---- */

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
/* For a reader of its own that runs ahead: the next unit's first argument, a key if it has any, and past the unit.
 * Empty when its first command has no argument; false after the last unit. */
bool machine_entry_next_key(struct machine_entry_reader *reader, struct hf_bytes *key);
void machine_entry_close(struct machine_entry_reader *reader);

#endif
