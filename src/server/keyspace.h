/* Keys of one group on its store: values in their envelopes, deadlines, the order of SCAN.
 *
 *   tree   key                                value
 *   0      key                                envelope and payload (value.h)
 *   1      deadline, u64 big-endian ‖ key     empty: the keys that have a deadline, earliest first
 *   2      keyed hash, 48 bits big-endian ‖ key   empty: the order of SCAN
 *   3      "machine"                          u8 version = 1, 7 zero, u64 greatest stamp applied, u64 scan seed
 *
 * Trees 1 and 2 follow from tree 0 and the seed: every key is in 2, every key with a deadline in 1.
 *
 * A key is absent at a stamp greater than its deadline. It may still be stored then; whoever writes it next, or
 * EXPIRE-DUE, takes it away.
 *
 * Thread: the store's. */
#ifndef SERVER_KEYSPACE_H
#define SERVER_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/store.h"
#include "server/machine.h"
#include "server/value.h"

#define KEYSPACE_TREE_KEYS      0u
#define KEYSPACE_TREE_DEADLINES 1u
#define KEYSPACE_TREE_SCAN      2u
#define KEYSPACE_TREE_MACHINE   3u
#define KEYSPACE_TREE_COUNT     4u
#define KEYSPACE_DEADLINE_SIZE  8u
#define KEYSPACE_HASH_SIZE      6u
#define KEYSPACE_HASH_MAX       ((UINT64_C(1) << 48) - 1)
#define KEYSPACE_STATE_VERSION  1u
#define KEYSPACE_STATE_SIZE     24u

struct keyspace {
    struct hf_store *store; /* lent */
    uint64_t scan_seed;
    uint64_t stamp_ms;    /* greatest applied */
    bool is_state_stored; /* tree 3 says the same */
    struct buffer reply;  /* scratch of machine_apply */
    struct buffer value;  /* scratch of commands that build a value */
};

/* What is known about a key at a stamp. */
struct keyspace_item {
    bool exists;        /* at the stamp */
    bool is_stored;     /* perhaps past its deadline */
    struct value value; /* of what is stored; payload lent until the next change */
};

/* ---- Reading ---- */

int keyspace_get(struct keyspace *keyspace, struct hf_bytes key, uint64_t stamp_ms, struct keyspace_item *item);
/* The same from a value of tree 0 that the caller has already. */
int keyspace_item_of(struct hf_bytes stored, uint64_t stamp_ms, struct keyspace_item *item);
/* Keys that exist at the stamp, in O(log n). */
int keyspace_count(struct keyspace *keyspace, uint64_t stamp_ms, uint64_t *count);
/* HF_ENOTFOUND: no key has a deadline. The key is lent until the next change. */
int keyspace_first_deadline(struct keyspace *keyspace, uint64_t *deadline_ms, struct hf_bytes *key);
uint64_t keyspace_hash(const struct keyspace *keyspace, struct hf_bytes key);
/* The hash that leads a key of tree 2, and the key behind it. */
uint64_t keyspace_scan_split(struct hf_bytes scan_key, struct hf_bytes *key);

/* ---- Changing: item is what keyspace_get said last about this key. Keys and payloads may be on loan. ---- */

/* Stores a string made of parts, at the version of the context. deadline_ms 0: none. */
int keyspace_put_string(struct keyspace *keyspace, const struct machine_context *context, struct hf_bytes key,
                        const struct keyspace_item *item, uint64_t deadline_ms, const struct hf_bytes *parts,
                        size_t part_count);
/* The same value with another deadline. */
int keyspace_set_deadline(struct keyspace *keyspace, const struct machine_context *context, struct hf_bytes key,
                          const struct keyspace_item *item, uint64_t deadline_ms);
int keyspace_remove(struct keyspace *keyspace, struct hf_bytes key, const struct keyspace_item *item);
int keyspace_clear(struct keyspace *keyspace);

/* ---- State beside the keys ---- */

int keyspace_load(struct keyspace *keyspace);
int keyspace_save_stamp(struct keyspace *keyspace, uint64_t stamp_ms);

/* Every key in trees 1 and 2 and only they, every envelope good; HF_ECORRUPT with a text. Reads everything. For tests.
 */
int keyspace_check(struct keyspace *keyspace);

#endif
