/* The state machine of a data group: Redis commands on a store. The front door of everything that touches data; the
 * sessions, the proposals and the read index are on the other side of it.
 *
 * Apply is a function of the log alone: every write depends on the keyspace, the arguments and the context (index,
 * ordinal, the leader's stamp) and on nothing else — no clock, no locale, no configuration, no randomness, no order of
 * a hash table — so that replicas have equal digests at equal applied indexes.
 *
 * Path of a write:   command_find → machine_check → machine_unit_command → propose → machine_entry_compose → commit →
 *                    machine_apply → sink
 * Path of a read:    command_find → machine_check → machine_unit_command → read index, leader's stamp → machine_read
 *
 * Time: a key past its deadline at the stamp of a command is absent for that command, deleted or not. The stamp used is
 * never less than the greatest stamp applied so far.
 *
 * Thread: a keyspace belongs to the thread of its store. */
#ifndef SERVER_MACHINE_H
#define SERVER_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "holdfast/bytes.h"
#include "holdfast/store.h"
#include "server/command.h"
#include "server/machine_entry.h"
#include "server/reply.h"

#define MACHINE_KEY_SIZE_MAX       4096u
#define MACHINE_VALUE_SIZE_MAX     (64u << 20)
#define MACHINE_SCAN_ORDINAL_SHIFT 48 /* a SCAN cursor: routed ordinal above, position in the group below */

struct keyspace;

/* Lends the store, which must outlive the keyspace. scan_seed: the group's incarnation, equal on all replicas; it
 * orders SCAN. On a store that holds data the seed must be the one it was filled with (HF_EMISMATCH otherwise). */
int machine_open(struct hf_store *store, uint64_t scan_seed, struct keyspace **out);
void machine_close(struct keyspace *keyspace); /* accepts NULL */

/* What a command may know beside its arguments. */
struct machine_context {
    uint64_t stamp_ms;       /* the leader's */
    uint64_t index;          /* of the entry; writes only */
    uint32_t ordinal;        /* of the unit in the entry; writes only */
    bool is_write;           /* from an entry: changes are allowed */
    uint64_t random;         /* for RANDOMKEY, which is a read; 0 in entries */
    uint32_t routed_ordinal; /* of this group, and … */
    uint32_t routed_count;   /* … how many there are, for SCAN's cursors; 0 counts as 1 */
};

/* Checks before a command is proposed or run: arity and the limits that the arguments alone decide. On an error
 * the reply is built and the code is HF_EINVALID or HF_ETOOBIG. Apply checks the limits again by itself. */
int machine_check(const struct command_spec *spec, const struct arguments *arguments, struct reply *reply);

/* Runs one data command and builds its whole reply. Reads only, unless context->is_write. 0, or a failure of the store
 * (then there is no reply). */
int machine_execute(struct keyspace *keyspace, const struct command_spec *spec, const struct arguments *arguments,
                    const struct machine_context *context, struct reply *reply);

/* Runs a unit that only reads (a transaction of reads, too: its watches are validated) and appends its reply. The
 * protocol is the unit's. HF_EPROTOCOL, HF_EVERSION: not a valid unit; HF_EINVALID: it would write. */
int machine_read(struct keyspace *keyspace, struct hf_bytes unit, const struct machine_context *context,
                 struct buffer *reply);

/* The replies of an entry, in the order of its units; lent for the call. */
typedef void machine_sink(void *arg, uint32_t ordinal, struct hf_bytes reply);

/* Applies a committed entry: all of it, or nothing and an error, after which the group must stop: HF_EVERSION (a newer
 * program wrote it), HF_EPROTOCOL (damaged), or a failure of the store. sink NULL: nobody waits, nothing is built.
 * index must be above the applied one. */
int machine_apply(struct keyspace *keyspace, struct hf_bytes payload, uint64_t index, uint64_t term, machine_sink *sink,
                  void *arg);
/* For entries without a payload for the machine (no-op, configuration): moves the applied index. */
int machine_skip(struct keyspace *keyspace, uint64_t index, uint64_t term);

uint64_t machine_applied_index(const struct keyspace *keyspace);
/* The greatest stamp applied: a new leader stamps no lower. */
uint64_t machine_stamp_ms(const struct keyspace *keyspace);
struct hf_store_digest machine_digest(const struct keyspace *keyspace);

/* For WATCH: the key's version at a stamp, {0, 0} when it is absent then. */
int machine_version(struct keyspace *keyspace, struct hf_bytes key, uint64_t stamp_ms, struct machine_version *out);

/* The earliest deadline of any key, due or not: HF_ENOTFOUND when no key has one. The leader proposes EXPIRE-DUE when
 * its stamp is past it. */
int machine_next_deadline(struct keyspace *keyspace, uint64_t *deadline_ms);
/* SCAN: which routed group its cursor argument points to. HF_EINVALID: not a cursor ("ERR invalid cursor"). */
int machine_scan_ordinal(const struct arguments *arguments, uint32_t *routed_ordinal);

struct machine_stat {
    uint64_t keys; /* present or past their deadline */
    uint64_t keys_with_deadline;
    uint64_t data_bytes; /* keys and values, indexes included */
    uint64_t memory_bytes;
    uint64_t deadline_next_ms; /* 0: none */
};
void machine_stat(struct keyspace *keyspace, struct machine_stat *out);
uint64_t machine_data_bytes(const struct keyspace *keyspace); /* the same figure, for every turn */

/* Work to do between entries: frees memory of flushed data. Returns whether more is waiting. */
bool machine_reclaim(struct keyspace *keyspace);

#endif
