/* The payload of a log entry of a group in an embedded node: commands that were proposed in one turn, in their order.
 *
 *   offset size
 *   0      1    version = 1
 *   1      1    kind: 2 commands of the embedder's machine, 3 of the built-in key-value machine
 *   2      2    zero
 *   4      4    number of commands, 1 … 4,096
 *   8      …    commands: 4+n each
 *
 * All integers little-endian. Valid: every bound holds, the zero is zero, nothing is left over. The kinds go on from
 * those of a server's entries (server/machine_entry.h: 1), so that a data directory that is opened by the other
 * program, or with the other machine, stops its groups with HF_EMISMATCH or HF_EVERSION instead of misreading them. */
#ifndef EMBED_EMBED_ENTRY_H
#define EMBED_EMBED_ENTRY_H

#include "base/buffer.h"
#include "base/bytes.h"

#define EMBED_ENTRY_VERSION      1u
#define EMBED_ENTRY_COMMANDS_MAX 4096u

/* Numbers are in the log: never reuse one. */
enum embed_entry_kind { EMBED_ENTRY_OWN = 2, EMBED_ENTRY_VALUES = 3 };

/* Exactly `count` sized commands must follow; 1 … EMBED_ENTRY_COMMANDS_MAX. */
void embed_entry_begin(enum embed_entry_kind kind, uint32_t count, struct buffer *out);
/* Checks all of it and puts the cursor in front of the commands. HF_EVERSION: a version that is not known here;
 * HF_EMISMATCH: another kind; HF_EPROTOCOL: malformed. */
int embed_entry_open(enum embed_entry_kind kind, struct hf_bytes entry, struct cursor *cursor, uint32_t *count);
/* The next of `count` commands of an entry that was opened. */
struct hf_bytes embed_entry_next(struct cursor *cursor);

#endif
