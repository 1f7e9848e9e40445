/* The store of snapshots: one directory (or memory) with the snapshots of many groups. A snapshot is a stream of
 * application bytes, cut at an index of a group's log, kept in chunks that are compressed and checksummed one by one.
 *
 * What it promises
 *   - A snapshot is listed only when it is whole and durable: it is written under a temporary name, synced, renamed,
 * and the directory is synced. A crash, an error or a cancel anywhere before leaves nothing listed.
 *   - Damage is found and named, never handed out: each chunk carries a CRC-32C that is bound to the snapshot's id and
 *     the chunk's number, the whole carries a digest. A damaged newest falls back to the one before, and the report
 *     callback (or the trace) says so.
 *   - A full device loses nothing: what was there stays, what was being written disappears.
 *   - Memory is bounded by the options (about (workers + 2) × 2 chunks and 16 bytes per chunk), not by the snapshot.
 *   - A failed write or sync is final for the snapshot being written. Nothing is synced a second time.
 *
 * The life of a snapshot
 *     hf_snapshot_begin ─ hf_snapshot_write … ─ hf_snapshot_finish → local ──────────────────────────┐
 *     hf_snapshot_receive ─ hf_snapshot_put … ─ hf_snapshot_receive_finish → received ─ _accept → local
 * A *received* snapshot is whole and verified, but nobody's state yet: hf_snapshot_latest passes it by until
 * hf_snapshot_accept, so that recovery ignores one that no log reset names. It is opened by its id.
 *
 * Threads: store functions may be called from any thread. A writer, reader or receiver belongs to one thread at a time.
 * Everything here blocks on the device: call it from a worker thread, not from an event loop. Exceptions are marked
 * "never blocks".
 *
 * Digest: XXH3-128 (xxHash 0.8) over the application bytes, so that it depends on neither chunk size nor compression:
 * two nodes with equal state at an index have equal digests. */
#ifndef HOLDFAST_SNAPSHOT_H
#define HOLDFAST_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HF_SNAPSHOT_CHUNK_SIZE_MIN         (64u << 10) /* application bytes per chunk */
#define HF_SNAPSHOT_CHUNK_SIZE_MAX         (4u << 20)
#define HF_SNAPSHOT_CHUNK_COUNT_MAX        (1u << 20) /* 256 GiB with chunks of 256 KiB; HF_ETOOBIG beyond it */
#define HF_SNAPSHOT_RAW_SIZE_MAX           (HF_SNAPSHOT_CHUNK_SIZE_MAX + 64u) /* one stored chunk with its header */
#define HF_SNAPSHOT_CONFIGURATION_SIZE_MAX 4096u
#define HF_SNAPSHOT_MANIFEST_SIZE_MAX      (128u + HF_SNAPSHOT_CONFIGURATION_SIZE_MAX)
#define HF_SNAPSHOT_ID_TEXT_SIZE           33u /* 32 lower-case hexadecimal digits and a zero */
#define HF_SNAPSHOT_WORKERS_MAX            4u
#define HF_SNAPSHOT_GROUP_MAX              ((uint64_t)INT64_MAX) /* group ids are 1 … this, as in the log */

struct hf_snapshot_store;
struct hf_snapshot_writer;
struct hf_snapshot_reader;
struct hf_snapshot_receiver;

struct hf_snapshot_id { /* random */
    uint8_t bytes[16];
};
/* The text is what hf_log_batch_reset carries as the snapshot's name. Both never block. */
HF_API void hf_snapshot_id_format(struct hf_snapshot_id id, char target[HF_SNAPSHOT_ID_TEXT_SIZE]);
HF_API int hf_snapshot_id_parse(struct hf_bytes text, struct hf_snapshot_id *out); /* HF_EINVALID */
HF_API bool hf_snapshot_id_equal(struct hf_snapshot_id a, struct hf_snapshot_id b);

/* Numbers are stored on disk: never reuse one. */
enum hf_snapshot_compression {
    HF_SNAPSHOT_NONE = 1,
    HF_SNAPSHOT_GZIP = 2, /* levels 1 … 9, default 6 */
    HF_SNAPSHOT_LZ4 = 3,  /* levels 1 … 12, default: faster than 1; the default */
    HF_SNAPSHOT_ZSTD = 4  /* levels 1 … 19, default 3 */
};
HF_API const char *hf_snapshot_compression_name(enum hf_snapshot_compression compression); /* "none", "gzip", … */
HF_API int hf_snapshot_compression_parse(const char *name, enum hf_snapshot_compression *out);

/* What a snapshot is, without its bytes. */
struct hf_snapshot_manifest {
    struct hf_snapshot_id id;
    uint64_t group;
    uint64_t group_incarnation;
    uint64_t index; /* the last entry that it includes */
    uint64_t term;  /* of that entry */
    uint64_t configuration_index;
    uint64_t created_ms;        /* UNIX time */
    uint64_t entries;           /* of application data, as its writer counted them */
    uint64_t application_bytes; /* before compression */
    uint64_t stored_bytes;      /* of all chunks as they are stored and sent */
    uint32_t chunk_count;       /* 0 when there are no application bytes */
    uint32_t chunk_size_bytes;  /* application bytes of every chunk but the last */
    enum hf_snapshot_compression compression;
    uint8_t digest[16];
    uint32_t configuration_size; /* members, as the caller encodes them */
    uint8_t configuration[HF_SNAPSHOT_CONFIGURATION_SIZE_MAX];
};

/* The form in which consensus carries a manifest; versioned, with a CRC. Both never block.
 * encode: target holds HF_SNAPSHOT_MANIFEST_SIZE_MAX bytes; returns how many were written.
 * decode: trusts nothing. HF_ECORRUPT, HF_EVERSION. */
HF_API size_t hf_snapshot_manifest_encode(const struct hf_snapshot_manifest *manifest, uint8_t *target);
HF_API int hf_snapshot_manifest_decode(struct hf_bytes bytes, struct hf_snapshot_manifest *out);

/* ---- The store ---- */

enum hf_snapshot_io { HF_SNAPSHOT_IO_AUTO = 0, HF_SNAPSHOT_IO_URING, HF_SNAPSHOT_IO_THREADS };

enum hf_snapshot_event_kind {
    HF_SNAPSHOT_EVENT_DAMAGED = 1, /* a snapshot was found damaged; it stays on the device and is passed by */
    HF_SNAPSHOT_EVENT_FELL_BACK,   /* the newest of a group is damaged: `id` is the one that is used instead */
    HF_SNAPSHOT_EVENT_NONE_LEFT,   /* the newest of a group is damaged and there is none before it */
    HF_SNAPSHOT_EVENT_LEFT_OVER    /* an unfinished file of an earlier process was removed when opening */
};
struct hf_snapshot_event {
    enum hf_snapshot_event_kind kind;
    struct hf_snapshot_id id;
    uint64_t group;
    uint64_t index;
    const char *text; /* lent for the call */
};
/* Thread: the one whose call found it. May not call the store. */
typedef void hf_snapshot_report(void *arg, const struct hf_snapshot_event *event);

/* How the bytes are stored. A zero field means its default. */
struct hf_snapshot_format {
    enum hf_snapshot_compression compression; /* lz4 */
    uint32_t level;                           /* of the compression; 0: its default */
    uint32_t worker_threads;                  /* 0: the writer's thread compresses; 1 … HF_SNAPSHOT_WORKERS_MAX, which
                                                 run below the program's other threads */
    uint32_t chunk_size_bytes;                /* 256 KiB; HF_SNAPSHOT_CHUNK_SIZE_MIN … _MAX */
};

/* Zero-initialise. A zero field means its default. */
struct hf_snapshot_options {
    struct hf_snapshot_format format;
    uint64_t sync_every_bytes; /* 32 MiB: written bytes are synced this often on the way, so that the last sync is short
                                  and no burst of writes meets the log's; UINT64_MAX: only at the end */
    uint64_t reserve_bytes;    /* 64 MiB of the device that a snapshot with an estimate leaves free; 1 for none */
    uint32_t memory_keep;      /* 3: the memory store keeps so many per group, and drops the oldest */
    bool read_only;            /* for tools: takes no lock and changes nothing, also while a node runs */
    enum hf_snapshot_io io;
    hf_snapshot_report *report; /* NULL: the trace on standard error */
    void *report_arg;
};

/* Opens or creates a directory of snapshots. Removes what unfinished writers left; partly received snapshots stay, for
 * hf_snapshot_receive. Files of other names are left alone. Damaged snapshots are reported and passed by.
 * Errors: HF_EBUSY somebody else has it open; HF_EINVALID options; HF_EIO. */
HF_API int hf_snapshot_store_open(const char *directory, const struct hf_snapshot_options *options,
                                  struct hf_snapshot_store **out);
/* The same in memory; nothing survives the close. */
HF_API int hf_snapshot_store_open_memory(const struct hf_snapshot_options *options, struct hf_snapshot_store **out);
/* Every writer, reader and receiver must be closed before. Accepts NULL. */
HF_API void hf_snapshot_store_close(struct hf_snapshot_store *store);

/* ---- Writing ---- */

struct hf_snapshot_begin {
    uint64_t group;
    uint64_t group_incarnation;
    uint64_t index; /* ≥ 1 */
    uint64_t term;
    uint64_t configuration_index;
    struct hf_bytes configuration;           /* copied */
    uint64_t created_ms;                     /* 0: now */
    uint64_t estimate_bytes;                 /* of what will be stored, for the check of free space; 0: no check */
    const struct hf_snapshot_format *format; /* NULL: the store's */
};

/* Errors: HF_EEXISTS a good snapshot of this incarnation of the group at that index, or at a later one, is there
 * (nothing is to be done); HF_ECONFLICT one at that index has another term; HF_ENOSPACE; HF_EINVALID; HF_EIO. */
HF_API int hf_snapshot_begin(struct hf_snapshot_store *store, const struct hf_snapshot_begin *begin,
                             struct hf_snapshot_writer **out);
/* Any sizes. After an error only hf_snapshot_cancel is left: HF_ENOSPACE, HF_EIO, HF_ETOOBIG. */
HF_API int hf_snapshot_write(struct hf_snapshot_writer *writer, const void *data, size_t size);
struct hf_snapshot_progress {
    uint64_t application_bytes;
    uint64_t stored_bytes;
    uint32_t chunks;
};
HF_API void hf_snapshot_writer_progress(const struct hf_snapshot_writer *writer, struct hf_snapshot_progress *out);
/* Publishes: when it returns 0, the snapshot survives power loss and is listed. On an error nothing is listed. Frees
 * the writer either way. out may be NULL. */
HF_API int hf_snapshot_finish(struct hf_snapshot_writer *writer, uint64_t entries, struct hf_snapshot_manifest *out);
/* Leaves nothing behind. Frees the writer. Accepts NULL. */
HF_API void hf_snapshot_cancel(struct hf_snapshot_writer *writer);

/* ---- Listing ---- */

enum hf_snapshot_origin { HF_SNAPSHOT_LOCAL = 1, HF_SNAPSHOT_RECEIVED = 2 };

struct hf_snapshot_info {
    struct hf_snapshot_manifest manifest; /* of a damaged one, group, index and id, as far as its name tells */
    enum hf_snapshot_origin origin;
    uint64_t file_bytes;
    bool damaged;     /* known to be; `reason` says what */
    bool verified;    /* every byte was read and found good since the store was opened */
    bool pinned;      /* by hf_snapshot_pin or an open reader */
    char reason[160]; /* empty unless damaged */
};
/* All snapshots of a group (0: of all groups, in their order), newest first: by index, then by time. Damaged and
 * received ones are among them. About 4.5 KiB per snapshot; the caller frees it with hf_snapshot_list_free. Never
 * blocks. */
HF_API int hf_snapshot_list(struct hf_snapshot_store *store, uint64_t group, struct hf_snapshot_info **out,
                            size_t *count);
HF_API void hf_snapshot_list_free(struct hf_snapshot_info *list);
/* HF_ENOTFOUND. Never blocks. */
HF_API int hf_snapshot_find(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct hf_snapshot_info *out);
/* The newest local snapshot of a group whose header, chunk table and manifest are good; a damaged newer one is reported
 * and passed by. group_incarnation 0: any. HF_ENOTFOUND when there is none, HF_ECORRUPT when there are only damaged
 * ones. */
HF_API int hf_snapshot_latest(struct hf_snapshot_store *store, uint64_t group, uint64_t group_incarnation,
                              struct hf_snapshot_manifest *out);
/* The same, after reading every byte of it; the next older one when that fails. A snapshot that was verified since
 * the store was opened is not read again. */
HF_API int hf_snapshot_latest_verified(struct hf_snapshot_store *store, uint64_t group, uint64_t group_incarnation,
                                       struct hf_snapshot_manifest *out);

/* ---- Checking, deleting, retention ---- */

/* Called now and then with the application bytes done and in all (0: not known yet). A non-zero return stops the work
 * and is returned. */
typedef int hf_snapshot_watch(void *arg, uint64_t bytes_done, uint64_t bytes_total);

/* Reads every byte; watch may be NULL. HF_ECORRUPT names the place; the snapshot is then marked damaged and reported.
 */
HF_API int hf_snapshot_verify(struct hf_snapshot_store *store, struct hf_snapshot_id id, hf_snapshot_watch *watch,
                              void *arg);
/* Durable. Readers that are open go on. HF_ENOTFOUND; HF_EBUSY while it is pinned by hf_snapshot_pin. */
HF_API int hf_snapshot_delete(struct hf_snapshot_store *store, struct hf_snapshot_id id);
/* A received snapshot becomes a local one, durably. Of a local one: no-op. */
HF_API int hf_snapshot_accept(struct hf_snapshot_store *store, struct hf_snapshot_id id);
/* Pins are counted and live as long as the process. They keep retention and deletion away. Never block. */
HF_API int hf_snapshot_pin(struct hf_snapshot_store *store, struct hf_snapshot_id id);
HF_API void hf_snapshot_unpin(struct hf_snapshot_store *store, struct hf_snapshot_id id);

/* Limits per group; 0: no such limit. A snapshot goes when any of them says so. What stays in any case: the newest good
 * local snapshot of the group, pinned ones, received ones. Damaged ones count for no limit; they go when a newer good
 * one is there and there is any limit at all. */
struct hf_snapshot_retention {
    uint32_t keep_latest;   /* the newest n stay */
    uint64_t max_age_ms;    /* older ones go */
    uint64_t max_bytes;     /* of files, counted from the newest; those beyond it go */
    bool received_included; /* received ones that are older than the newest good local one go too */
};
/* group 0: every group by itself. now_ms 0: the clock. removed may be NULL. On an error the rest stays. */
HF_API int hf_snapshot_clean(struct hf_snapshot_store *store, uint64_t group,
                             const struct hf_snapshot_retention *retention, uint64_t now_ms, uint32_t *removed);

/* ---- Reading ---- */

/* HF_ENOTFOUND; HF_ECORRUPT (reported). The snapshot is pinned against retention until the close. */
HF_API int hf_snapshot_reader_open(struct hf_snapshot_store *store, struct hf_snapshot_id id,
                                   struct hf_snapshot_reader **out);
/* A snapshot in a file of its own (hf_snapshot_export), with no store. */
HF_API int hf_snapshot_reader_open_file(const char *path, struct hf_snapshot_reader **out);
HF_API void hf_snapshot_reader_close(struct hf_snapshot_reader *reader); /* accepts NULL */
HF_API const struct hf_snapshot_manifest *hf_snapshot_reader_manifest(const struct hf_snapshot_reader *reader);
/* Lends the next chunk's application bytes until the next call on the reader; size 0 at the end, which is reached only
 * when the digest of the whole was right. HF_ECORRUPT (reported), HF_EIO. */
HF_API int hf_snapshot_read_next(struct hf_snapshot_reader *reader, struct hf_bytes *out);
/* The same stream, copied: fills the target, less only at the end. */
HF_API int hf_snapshot_read(struct hf_snapshot_reader *reader, void *target, size_t size, size_t *got);
HF_API void hf_snapshot_rewind(struct hf_snapshot_reader *reader);
/* Application bytes at an offset; less only at the end. Leaves the sequence alone. */
HF_API int hf_snapshot_read_at(struct hf_snapshot_reader *reader, uint64_t offset, void *target, size_t size,
                               size_t *got);
/* Lends a chunk as it is stored (number < chunk_count), its CRC checked, until the next call on the reader. This is
 * what hf_snapshot_put takes on another node. At most HF_SNAPSHOT_RAW_SIZE_MAX bytes. */
HF_API int hf_snapshot_read_raw(struct hf_snapshot_reader *reader, uint32_t number, struct hf_bytes *out);

/* ---- Receiving from another node ---- */

/* Starts to receive the snapshot of a manifest, or goes on where an earlier receiver of the same id stopped, also one
 * of an earlier process. A partly received snapshot of the same group with another id is dropped. Free space for what
 * is missing is checked. Errors: HF_EEXISTS that id is here whole already, or a good local snapshot of the same
 * incarnation with that index or a later one is; HF_ECONFLICT one at that index has another term; HF_EBUSY another
 * receiver of the group is open; HF_ENOSPACE; HF_EIO. */
HF_API int hf_snapshot_receive(struct hf_snapshot_store *store, const struct hf_snapshot_manifest *manifest,
                               struct hf_snapshot_receiver **out);
/* One chunk as hf_snapshot_read_raw gave it, in any order; one that is here already is ignored. HF_ECORRUPT: the bytes
 * are not that chunk of that snapshot; nothing was taken, ask again. Other errors: close or cancel. */
HF_API int hf_snapshot_put(struct hf_snapshot_receiver *receiver, struct hf_bytes raw);
/* The first chunk ≥ from that is missing, or chunk_count. Never blocks. */
HF_API uint32_t hf_snapshot_receiver_missing(const struct hf_snapshot_receiver *receiver, uint32_t from);
/* chunks and stored_bytes are those that are here; against the manifest's. Never blocks. */
HF_API void hf_snapshot_receiver_progress(const struct hf_snapshot_receiver *receiver,
                                          struct hf_snapshot_progress *out);
HF_API const struct hf_snapshot_manifest *hf_snapshot_receiver_manifest(const struct hf_snapshot_receiver *receiver);
/* With no chunk missing (else HF_EINVALID): lends the application bytes of the chunks in their order, as
 * hf_snapshot_read_next does, from the file that will be published, synced first. Size 0: that was all, and digest and
 * sizes are right; hf_snapshot_receive_finish does not read it again then. HF_ECORRUPT: it is not what the manifest
 * says; cancel. Whoever makes something of the bytes on the way keeps it to himself until the end was reached. */
HF_API int hf_snapshot_receiver_read(struct hf_snapshot_receiver *receiver, struct hf_bytes *out);
/* With no chunk missing (else HF_EINVALID, and the receiver goes on): reads all of it, checks digest and sizes, and
 * publishes it as received. 0: it survives power loss and is listed. HF_ECORRUPT: it is not what the manifest says; all
 * of it was dropped. Other errors: nothing is listed, what was received may stay for the next try. Frees the receiver,
 * except with HF_EINVALID. watch may be NULL; when it stops the work, what was received stays. */
HF_API int hf_snapshot_receive_finish(struct hf_snapshot_receiver *receiver, hf_snapshot_watch *watch, void *arg);
/* Stops and keeps what is here for a later hf_snapshot_receive. Accepts NULL. */
HF_API void hf_snapshot_receiver_close(struct hf_snapshot_receiver *receiver);
/* Stops and removes what is here. Accepts NULL. */
HF_API void hf_snapshot_receiver_cancel(struct hf_snapshot_receiver *receiver);

/* A partly received snapshot of the group that a receiver could go on with; only its manifest and size are known until
 * then. HF_ENOTFOUND. */
HF_API int hf_snapshot_partial(struct hf_snapshot_store *store, uint64_t group, struct hf_snapshot_info *out);
/* Removes it. HF_EBUSY while its receiver is open. None: no-op. */
HF_API int hf_snapshot_partial_drop(struct hf_snapshot_store *store, uint64_t group);

/* ---- Import, export: one self-contained stream, which is the file's own format ---- */

/* Takes size bytes. A non-zero return stops the work and is returned. */
typedef int hf_snapshot_sink(void *arg, const void *data, size_t size);
/* Fills up to size bytes; *got = 0 ends the stream. A non-zero return stops the work and is returned. */
typedef int hf_snapshot_source(void *arg, void *target, size_t size, size_t *got);

/* Every chunk is checked on the way. watch may be NULL. */
HF_API int hf_snapshot_export(struct hf_snapshot_store *store, struct hf_snapshot_id id, hf_snapshot_sink *sink,
                              void *sink_arg, hf_snapshot_watch *watch, void *watch_arg);
/* Reads one snapshot from the stream, verifies all of it and publishes it as local, under its own id.
 * HF_EEXISTS the id is here; HF_ECORRUPT; HF_EVERSION; HF_ENOSPACE. On an error nothing is listed. */
HF_API int hf_snapshot_import(struct hf_snapshot_store *store, hf_snapshot_source *source, void *source_arg,
                              hf_snapshot_watch *watch, void *watch_arg, struct hf_snapshot_manifest *out);
/* The same to and from a file. Export: under a temporary name, synced, renamed, directory synced; HF_EEXISTS. */
HF_API int hf_snapshot_export_file(struct hf_snapshot_store *store, struct hf_snapshot_id id, const char *path,
                                   hf_snapshot_watch *watch, void *arg);
HF_API int hf_snapshot_import_file(struct hf_snapshot_store *store, const char *path, hf_snapshot_watch *watch,
                                   void *arg, struct hf_snapshot_manifest *out);

#ifdef __cplusplus
}
#endif
#endif
