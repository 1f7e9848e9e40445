/* The store: the application data of one Raft group, or of a stand-alone user, as several ordered trees of bytes.
 *
 * What it promises
 *   - Keys are ordered by memcmp, a prefix before what it is a prefix of. The empty key is a key like any other.
 *   - The changes between hf_store_apply_begin and hf_store_apply_commit, and the applied index and term given to the
 *     commit, are one unit: no cut and no reopened store ever holds a part of it. A change outside is a unit by itself.
 *   - A cut is a consistent picture of all trees with its applied index. Taking one costs no more than a few words per
 *     tree, whatever the size of the data, and never makes a writer wait. What is changed afterwards is copied, page by
 *     page; values above HF_STORE_INLINE_SIZE_MAX are shared, never copied.
 *   - Equal contents give equal digests, whatever the history that led to them and whatever the backend.
 *   - Backends differ in durability, never in semantics: one contract suite runs on all of them. The memory backend
 *     loses everything when it is closed; under Raft the log rebuilds it.
 *
 * Threads: a store, and a cursor on it, belong to one thread. A cut may be read and closed from any thread, by several
 * at once, while the owner goes on writing; a cursor on a cut belongs to whoever opened it.
 *
 * Loans: what a read lends is valid until the next change of that store; what a read of a cut lends, until the cut is
 * closed. Keys and values given to a change are copied; they may be on loan from the same store.
 *
 * HF_ENOTFOUND is an answer here, not a failure: it sets no error text. */
#ifndef HOLDFAST_STORE_H
#define HOLDFAST_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HF_STORE_KEY_SIZE_MAX    4160u /* bytes of a key: 4 KiB, and room for what an index puts in front; 0 is fine */
#define HF_STORE_VALUE_SIZE_MAX  (64u << 20) /* bytes of a value, envelope of the caller included: see below */
#define HF_STORE_VALUE_EXTRA_MAX 64u   /* a stored value may be this much larger: room for the caller's envelope */
#define HF_STORE_INLINE_SIZE_MAX 512u  /* values up to this size live in the tree's pages */
#define HF_STORE_TREES_MAX       1024u /* tree numbers are 0 … this − 1; a tree exists once something is put */

struct hf_store;
struct hf_store_cut;
struct hf_store_cursor;

enum hf_store_backend {
    HF_STORE_MEMORY = 1 /* an ordered copy-on-write tree; nothing survives a close */
};

struct hf_store_options {
    enum hf_store_backend backend;
};

/* Opens a store. Errors: HF_EUNSUPPORTED for a backend this build does not have. */
HF_API int hf_store_open(const struct hf_store_options *options, struct hf_store **out);
/* Every cut and cursor must be closed before. Accepts NULL. */
HF_API void hf_store_close(struct hf_store *store);
/* "memory", … Lent for ever. */
HF_API const char *hf_store_backend_name(const struct hf_store *store);

/* ---- Changing. Errors: HF_ETOOBIG (key, value), HF_EINVALID (tree number); nothing changed then. ---- */

/* overwritten, removed, count: may be NULL. */
HF_API int hf_store_put(struct hf_store *store, uint32_t tree, struct hf_bytes key, struct hf_bytes value,
                        bool *overwritten);
/* The same with a value given as parts that are joined: an envelope and its payload, a value and what is appended. */
HF_API int hf_store_put_parts(struct hf_store *store, uint32_t tree, struct hf_bytes key, const struct hf_bytes *parts,
                              size_t part_count, bool *overwritten);
/* A missing key is fine. */
HF_API int hf_store_delete(struct hf_store *store, uint32_t tree, struct hf_bytes key, bool *removed);

/* Which keys: low ≤ key < high, and starting with prefix. A NULL data pointer means no bound, so that a zeroed range is
 * the whole tree; a high of size 0 that is not NULL holds nothing. Any number of 0xFF bytes in a prefix is right. */
struct hf_store_range {
    struct hf_bytes low;
    struct hf_bytes high;
    struct hf_bytes prefix;
};
/* Time grows with the entries removed. */
HF_API int hf_store_delete_range(struct hf_store *store, uint32_t tree, const struct hf_store_range *range,
                                 uint64_t *count);
/* Empties a tree at once; its memory returns bit by bit with later changes and hf_store_reclaim. */
HF_API int hf_store_clear(struct hf_store *store, uint32_t tree);
/* Frees up to pages_max pages of cleared trees. Returns whether more are waiting. */
HF_API bool hf_store_reclaim(struct hf_store *store, size_t pages_max);

/* ---- Applied index ---- */

struct hf_store_applied {
    uint64_t index; /* of the last entry whose changes are all in; 0 in a new store */
    uint64_t term;
};
/* Begins a unit of changes. Not nested. */
HF_API int hf_store_apply_begin(struct hf_store *store);
/* Ends it: the changes and `applied` become visible to cuts (and, on durable backends, to a reopened store) as one.
 * The index never decreases. */
HF_API int hf_store_apply_commit(struct hf_store *store, struct hf_store_applied applied);
HF_API struct hf_store_applied hf_store_applied(const struct hf_store *store);

/* ---- Reading the present. Errors: HF_EINVALID (tree number), and on disks HF_EIO, HF_ECORRUPT. ---- */

HF_API int hf_store_get(struct hf_store *store, uint32_t tree, struct hf_bytes key, struct hf_bytes *value);
HF_API int hf_store_exists(struct hf_store *store, uint32_t tree, struct hf_bytes key, bool *exists);
/* A hint, best for some ten keys at a time: these are read or changed next. What that will look at is brought nearer,
 * for all of them at once. Nothing changes. */
HF_API void hf_store_expect(struct hf_store *store, uint32_t tree, const struct hf_bytes *keys, size_t count);

struct hf_store_entry {
    struct hf_bytes key;
    struct hf_bytes value;
};
/* HF_ENOTFOUND in an empty tree. */
HF_API int hf_store_first(struct hf_store *store, uint32_t tree, struct hf_store_entry *entry);
HF_API int hf_store_last(struct hf_store *store, uint32_t tree, struct hf_store_entry *entry);
/* The entry with exactly `rank` keys before it, in O(log n); HF_ENOTFOUND when rank ≥ count. */
HF_API int hf_store_at_rank(struct hf_store *store, uint32_t tree, uint64_t rank, struct hf_store_entry *entry);
/* How many keys are less than `key`, in O(log n): the count of a range is the difference of two ranks. */
HF_API int hf_store_rank(struct hf_store *store, uint32_t tree, struct hf_bytes key, uint64_t *rank);

/* In O(1). */
struct hf_store_tree_stat {
    uint64_t entries;
    uint64_t key_bytes;
    uint64_t value_bytes;
};
HF_API int hf_store_tree_stat(const struct hf_store *store, uint32_t tree, struct hf_store_tree_stat *out);

/* A digest of the contents of all trees (not of the applied index): the sum, lane by lane modulo 2^64, of a 128-bit
 * hash of each (tree, key, value). Kept up to date by every change; read in O(trees). It tells replicas apart; it is no
 * defence against somebody who crafts values. */
struct hf_store_digest {
    uint64_t low;
    uint64_t high;
};
HF_API struct hf_store_digest hf_store_digest(const struct hf_store *store);

struct hf_store_stat {
    uint64_t entries; /* of all trees */
    uint64_t key_bytes;
    uint64_t value_bytes;
    uint64_t memory_bytes;       /* allocated now: the present, what only cuts still hold, what waits for reclaim */
    uint64_t memory_live_bytes;  /* of the present alone; the difference is what cuts and reclaim hold back */
    uint64_t memory_spare_bytes; /* taken from the system for pages and in use by none */
    uint64_t pages;              /* of the tree structure, like memory_bytes */
    uint64_t pages_copied;       /* since open, because a cut shared them */
    uint64_t cuts_open;
};
HF_API void hf_store_stat(const struct hf_store *store, struct hf_store_stat *out);

/* ---- Cursors ---- */

enum hf_store_order { HF_STORE_FORWARD = 0, HF_STORE_BACKWARD };

/* A cursor over a range (copied; NULL: everything), in front of its first entry. It is good until the next change of
 * the store: using it after that is a bug that is caught by an assertion. */
HF_API int hf_store_cursor_open(struct hf_store *store, uint32_t tree, const struct hf_store_range *range,
                                enum hf_store_order order, struct hf_store_cursor **out);
/* The next entry in the cursor's order, lent as the thread and loan rules above say; HF_ENOTFOUND at the end. */
HF_API int hf_store_cursor_next(struct hf_store_cursor *cursor, struct hf_store_entry *entry);
HF_API void hf_store_cursor_close(struct hf_store_cursor *cursor); /* accepts NULL */

/* ---- Cuts ---- */

/* Takes a cut. Owner's thread. HF_ECONFLICT between apply_begin and apply_commit. */
HF_API int hf_store_cut(struct hf_store *store, struct hf_store_cut **out);
/* Gives the cut back. Pages that nobody else holds are freed here, by the calling thread: close large old cuts in a
 * worker. Accepts NULL. Thread: any. */
HF_API void hf_store_cut_close(struct hf_store_cut *cut);

/* Thread: any, for all of these. */
HF_API struct hf_store_applied hf_store_cut_applied(const struct hf_store_cut *cut);
HF_API struct hf_store_digest hf_store_cut_digest(const struct hf_store_cut *cut);
/* Trees of the cut are numbered 0 … this − 1, some of them perhaps empty. */
HF_API uint32_t hf_store_cut_trees(const struct hf_store_cut *cut);
HF_API int hf_store_cut_tree_stat(const struct hf_store_cut *cut, uint32_t tree, struct hf_store_tree_stat *out);
HF_API int hf_store_cut_get(const struct hf_store_cut *cut, uint32_t tree, struct hf_bytes key, struct hf_bytes *value);
HF_API int hf_store_cut_at_rank(const struct hf_store_cut *cut, uint32_t tree, uint64_t rank,
                                struct hf_store_entry *entry);
HF_API int hf_store_cut_cursor_open(const struct hf_store_cut *cut, uint32_t tree, const struct hf_store_range *range,
                                    enum hf_store_order order, struct hf_store_cursor **out);
/* Walks the cut: how many of its pages somebody else (the present or another cut) shares at this moment. */
struct hf_store_sharing {
    uint64_t pages;
    uint64_t pages_shared;
};
HF_API void hf_store_cut_sharing(const struct hf_store_cut *cut, struct hf_store_sharing *out);

/* ---- Streams: all of a cut as bytes, and back ---- */

struct hf_store_export;
struct hf_store_import;

/* Reads the whole cut as one stream of bytes (drawn in src/store/store_stream.h, versioned), whatever the backend. The
 * cut must live as long. An export and an import belong to one thread at a time. */
HF_API int hf_store_export_open(const struct hf_store_cut *cut, struct hf_store_export **out);
/* Fills the target; *got < size only at the end of the stream. */
HF_API int hf_store_export_read(struct hf_store_export *stream, void *target, size_t size, size_t *got);
HF_API uint64_t hf_store_export_entries(const struct hf_store_export *stream); /* read so far */
HF_API void hf_store_export_close(struct hf_store_export *stream);             /* accepts NULL */

/* Builds a store of its own from a stream, beside whatever is in use: nobody sees it before hf_store_import_finish
 * returns it. Trusts nothing: HF_ECORRUPT, HF_EVERSION; from the first error on every call returns it. Bytes may come
 * in pieces of any size; memory beside the store: one entry. */
HF_API int hf_store_import_open(const struct hf_store_options *options, struct hf_store_import **out);
HF_API int hf_store_import_write(struct hf_store_import *stream, struct hf_bytes bytes);
/* When the whole stream came and its counts and digest are right: the store, with the applied index and term of the
 * cut. Frees the import either way. */
HF_API int hf_store_import_finish(struct hf_store_import *stream, struct hf_store **out);
HF_API void hf_store_import_close(struct hf_store_import *stream); /* gives up; accepts NULL */

#ifdef __cplusplus
}
#endif
#endif
