/* The replicated log: one append stream on one device for many Raft groups.
 *
 * What it promises
 *   - An operation is acknowledged when it, and every earlier byte of the stream, survives power loss (policy
 *     HF_LOG_SYNC_BATCH, the default). Acknowledgements run in the order of the appends.
 *   - A batch is atomic across a crash, also across groups.
 *   - What was torn by a crash is dropped; what a later batch declares durable and is bad is reported as damage, with
 *     group, index and term, and is never silently cut off.
 *   - A failed sync is final: every waiter and every later append fails with HF_EPOISONED, reads go on, and only a
 *     reopen clears it. Nothing is ever synced a second time to make an error go away.
 *
 * Two positions per group: `last_index` is readable at once after hf_log_append returns; `durable_index` follows when
 * the device has it. Memory is bounded by the options, not by the length of the log.
 *
 * Threads: every function may be called from any thread, except where it says "driver". The driver is the one thread
 * that runs the writer's turns: the log's own (HF_LOG_DRIVE_THREAD, the default), or the caller's event loop
 * (HF_LOG_DRIVE_CALLER: call hf_log_turn when the descriptor is readable and after appending). Callbacks run in the
 * driver, inside a turn, and may append again, but neither wait for a log nor close one, be it this or another, whose
 * callbacks may just wait for this one: what would wait, and the close, gives them HF_EUNSUPPORTED.
 *
 * In the process: SIGXFSZ and SIGPIPE are ignored from the first open on where they would kill it; handlers stay. The
 * threads of a log block every signal. Descriptors are closed on exec. After fork a log belongs to the parent: the
 * child calls nothing of it, also not the close. A child that outlives a parent that was killed, without exec, keeps
 * the lock.
 *
 * Three forms of an append: with a callback (hf_log_append), blocking (hf_log_append_wait, hf_log_sync), and pollable
 * (hf_log_append_with a token, then hf_log_poll when hf_log_poll_descriptor is readable).
 *
 * Ideas: group commit and pre-written, recycled log files are old database practice; the declared durable position that
 * tells torn from damaged follows "Protocol-Aware Recovery for Consensus-Based Storage" (Alagappan et al., FAST 2018).
 */
#ifndef HOLDFAST_LOG_H
#define HOLDFAST_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HF_LOG_PAYLOAD_SIZE_MAX       (128u << 20)          /* one entry's payload */
#define HF_LOG_GROUP_MAX              ((uint64_t)INT64_MAX) /* group ids are 1 … this */
#define HF_LOG_INDEX_MAX              UINT64_MAX            /* an append beyond it is refused */
#define HF_LOG_SNAPSHOT_NAME_SIZE_MAX 64u                   /* bytes of the name that a reset carries */
#define HF_LOG_BATCH_SIZE_MAX         (256u << 20)          /* encoded bytes of one atomic batch */

struct hf_log;
struct hf_log_batch;

/* Numbers are stored on disk: never reuse one. */
enum hf_entry_type { HF_ENTRY_NORMAL = 1, HF_ENTRY_CONFIGURATION = 2, HF_ENTRY_NOOP = 3, HF_ENTRY_SNAPSHOT_MARKER = 4 };

struct hf_entry {
    uint64_t index; /* ≥ 1 */
    uint64_t term;
    uint64_t timestamp_ms; /* UNIX time, the leader's; 0 when unused */
    enum hf_entry_type type;
    struct hf_bytes payload;
};

/* Term, vote and commit index of a group. Term and vote are synced under every policy. */
struct hf_hard_state {
    uint64_t term;
    uint64_t vote; /* node id, 0: none */
    uint64_t commit;
};

enum hf_log_sync_policy {
    HF_LOG_SYNC_BATCH = 0, /* group commit: every write is durable; a crash loses nothing acknowledged */
    HF_LOG_SYNC_ALWAYS,    /* one durable write per batch, nothing gathered; loses nothing acknowledged */
    HF_LOG_SYNC_INTERVAL,  /* acknowledged when written; power loss may lose the last sync_interval_ms */
    HF_LOG_SYNC_NONE       /* acknowledged when written; power loss may lose whatever the kernel held */
};

enum hf_log_driver { HF_LOG_DRIVE_THREAD = 0, HF_LOG_DRIVE_CALLER };
/* AUTO: io_uring for a log with a thread of its own, where the kernel has it; else threads that call pwritev2. */
enum hf_log_io { HF_LOG_IO_AUTO = 0, HF_LOG_IO_URING, HF_LOG_IO_THREADS };

/* Where the time of appends goes. Per write: `queue` (from a frame's first append until it goes to the device), `write`
 * (the device; under the policies batch and always the write is a durable one, so its sync is in here), `sync` (a sync
 * of its own, under interval and none), `callback` (all callbacks of a turn). Per entry, of which one in 64 is
 * measured: `encode` (into the frame, with its checksum) and `index`; their entries and bytes are those of the measured
 * ones. */
enum hf_log_stage {
    HF_LOG_STAGE_QUEUE = 0,
    HF_LOG_STAGE_ENCODE,
    HF_LOG_STAGE_WRITE,
    HF_LOG_STAGE_SYNC,
    HF_LOG_STAGE_INDEX,
    HF_LOG_STAGE_CALLBACK
};
#define HF_LOG_STAGE_COUNT       6
#define HF_LOG_STAGE_BOUND_COUNT 26 /* 128 ns, 256 ns, … 4.3 s */

struct hf_log_measurement {
    enum hf_log_stage stage;
    uint64_t duration_ns;
    uint64_t entries;
    uint64_t bytes;
};
/* Each measurement as it is taken (at most 64 of a turn). Driver, without any lock; must not call the log. */
typedef void hf_log_measured(void *arg, const struct hf_log_measurement *measurement);
/* The oldest append has waited for the device for age_ns, longer than options.stall_ms: whoever leads on this log
 * should let others lead. Once per stall, and once more with age_ns = 0 when it is over. Driver; may append. */
typedef void hf_log_stalled(void *arg, uint64_t age_ns);

enum hf_log_backend {
    HF_LOG_FILE = 0, /* a directory of segment files */
    HF_LOG_MEMORY    /* nothing outlives the process: for tests and for groups that may forget. The same functions, the
                        same checks; an acknowledgement means that the append was applied, and "durable" means applied.
                        The directory is ignored and may be NULL; options of files have no effect */
};
/* What an append does that would go beyond memory_entries_max or memory_bytes_max. */
enum hf_log_when_full {
    HF_LOG_FULL_REFUSE = 0,  /* HF_ENOSPACE */
    HF_LOG_FULL_DROP_APPLIED /* compacts the oldest entries that hf_log_retain called applied, as many as needed;
                                HF_ENOSPACE when there are too few. Never in a group that the same batch truncates or
                                resets */
};

/* Writes of segments past the page cache. Every open reads the tail past it, whatever is chosen here. */
enum hf_log_direct {
    HF_LOG_DIRECT_AUTO = 0, /* where the file system can */
    HF_LOG_DIRECT_ON,       /* HF_EUNSUPPORTED when it cannot */
    HF_LOG_DIRECT_OFF
};

/* Zero-initialise, or hf_log_options_init for the defaults (a zero field means its default). */
struct hf_log_options {
    uint64_t segment_size_bytes;   /* 64 MiB; 1 MiB … 4 GiB */
    uint32_t write_size_max_bytes; /* 1 MiB; what one write gathers; 64 KiB … 16 MiB */
    uint32_t writes_in_flight_max; /* 2; 1 … 16 */
    uint64_t queue_entries_max;    /* 10,000; appends beyond give HF_EBUSY. One append fits an empty queue always */
    uint64_t queue_bytes_max;      /* 256 MiB; the same */
    uint64_t tail_cache_bytes;     /* 64 MiB of recent entries kept in memory; 0 means the default */
    uint32_t recycle_segments_max; /* 2: spares kept; full-size segments: one or two more wait to be one */
    uint64_t reserve_bytes;        /* 8 MiB: headroom that only hard state, resets and collection may use */
    uint32_t sync_interval_ms;     /* 100, for HF_LOG_SYNC_INTERVAL */
    enum hf_log_sync_policy sync_policy;
    enum hf_log_driver driver;
    enum hf_log_io io;
    enum hf_log_direct direct;
    uint64_t
        tail_cache_entries_max; /* 0: no bound; bounds of the tail cache beside its bytes. It gives memory back in */
    uint32_t tail_cache_age_ms; /* 0: no bound; chunks of a few MiB, oldest first, when turns run, and keeps the
                                   chunk that is being filled */
    enum hf_log_backend backend;
    uint64_t memory_entries_max; /* 100,000: entries of all groups together in a memory log */
    uint64_t memory_bytes_max;   /* 1 GiB: of their records */
    enum hf_log_when_full when_full;
    uint32_t read_ahead_bytes;    /* 256 KiB: what an iterator fetches at a time, and twice ahead; 4 KiB … 64 MiB */
    uint32_t index_block_entries; /* 65,536; a power of two, 256 … 16,777,216: entries per block of the index in memory.
                                     A smaller block is copied sooner when it grows, and gives its memory back sooner;
                                     each costs some 100 bytes more */
    uint32_t open_retries_max; /* 0: how often hf_log_open tries again after HF_EBUSY (the last owner still closes) or
                                  HF_ENOMEM, which nothing was written before. Up to 1000. A sync is never retried */
    uint32_t open_retry_ms;    /* 100: between two tries; up to 60,000 */
    bool read_only;            /* for tools: takes no lock, repairs and writes nothing, also while in use. What would
                                  write gives HF_EUNSUPPORTED; a directory that is not there is an empty log */
    bool verify_on_read_off;   /* default: every read checks CRC, group, index and term */
    bool scan_all_on_open;     /* default: sealed segments with an index file are not read at the open */

    /* Space comes back by itself: the oldest file goes when nothing in it is live. What is live in it is rewritten at
     * the end when what is dead in the files exceeds what is live and two files more (where entries would have to be
     * moved: two files of the size that the log lately had, and segment_size_bytes), or space is short, or: */
    uint64_t collect_size_bytes; /* 0: no bound; when the files take more than this */
    uint32_t delete_scan_ms;     /* 10,000: how often marks for deletion are looked at */
    uint32_t delete_delay_ms;    /* 60,000: how long a mark waits first */

    uint32_t stall_ms;            /* for on_stall; 1000 */
    hf_log_stalled *on_stall;     /* NULL: nobody asks */
    hf_log_measured *on_measured; /* NULL: nobody asks */
    void *callback_arg;           /* of these two */
};

HF_API void hf_log_options_init(struct hf_log_options *options);

enum hf_log_trace_level { HF_LOG_TRACE_DEBUG = 0, HF_LOG_TRACE_INFO, HF_LOG_TRACE_WARN, HF_LOG_TRACE_ERROR };
/* Lines for operators, from the level on (information, unless this says otherwise), go to `sink`, or to standard error
 * (NULL). Of the whole process; before the first log is opened. The sink is called by any thread, and must not call the
 * log. */
HF_API void hf_log_trace(enum hf_log_trace_level level, void (*sink)(void *arg, int level, const char *line),
                         void *arg);

/* Opens or creates the log in a directory (or in memory: options->backend). A relative path is looked up from where the
 * process is now: it may go elsewhere while the log is open. Recovers: reads the tail past the page cache, rewrites
 * what was never declared durable into a new segment and syncs it before reporting it. On HF_ECORRUPT for the whole log
 * (not for one group: see hf_log_damage_next) the error text names file, offset, group and index. Errors: HF_EBUSY
 * somebody else has it open; HF_EVERSION; HF_ECORRUPT; HF_ENOSPACE; HF_EINVALID options or no directory; HF_EEXISTS it
 * is something else than a directory; HF_EUNSUPPORTED (direct, io); HF_EIO; HF_ENOMEM, also when the process may have
 * no thread for it. */
HF_API int hf_log_open(const char *directory, const struct hf_log_options *options, struct hf_log **out);

/* Completes or fails (HF_ECLOSED) everything that is queued, syncs, closes. Accepts NULL. HF_EUNSUPPORTED inside a
 * callback of a log, this or another: it stays open. */
HF_API int hf_log_close(struct hf_log *log);

/* ---- Writing ---- */

/* A batch gathers operations and is reusable after hf_log_batch_clear. Not thread-safe by itself. The operations
 * apply in order. Payloads are copied into the batch. */
HF_API int hf_log_batch_open(struct hf_log_batch **out);
HF_API void hf_log_batch_close(struct hf_log_batch *batch);
HF_API void hf_log_batch_clear(struct hf_log_batch *batch);
HF_API size_t hf_log_batch_size_bytes(const struct hf_log_batch *batch);
HF_API bool hf_log_batch_is_empty(const struct hf_log_batch *batch);

/* Appends entries; entries->index of the first must be last_index + 1 (any index ≥ 1 in a group that has none yet and
 * no floor). Terms never decrease. HF_ETOOBIG leaves the batch as it was. */
HF_API int hf_log_batch_append(struct hf_log_batch *batch, uint64_t group, const struct hf_entry *entries,
                               size_t count);
/* Removes entries with index ≥ from_index. Beyond the last: no-op. At or below the floor: HF_ECOMPACTED at append. */
HF_API int hf_log_batch_truncate(struct hf_log_batch *batch, uint64_t group, uint64_t from_index);
HF_API int hf_log_batch_hard_state(struct hf_log_batch *batch, uint64_t group, struct hf_hard_state state);
/* The whole log of the group disappears and restarts behind a snapshot: first = index + 1, last = index. */
HF_API int hf_log_batch_reset(struct hf_log_batch *batch, uint64_t group, uint64_t index, uint64_t term,
                              struct hf_bytes snapshot_name);
/* Drops the prefix: first = index + 1; the term at `index` is kept. Below first: no-op. Above last: HF_ECONFLICT. */
HF_API int hf_log_batch_compact(struct hf_log_batch *batch, uint64_t group, uint64_t index);
HF_API int hf_log_batch_remove_group(struct hf_log_batch *batch, uint64_t group);
/* Puts entries back that damage took, as another member has them; ascending, with gaps where the group has none. Only
 * for indexes that are missing (hf_log_missing); it never makes a log shorter or longer, and takes the place of nothing
 * that is readable and committed. The caller vouches that they are committed: one of another term than the lost entry,
 * or than fits between its neighbours, shows that what is above the persisted commit index was replaced elsewhere, so
 * that all of that counts as missing. With the last one the group is whole: it takes appends again, and once this batch
 * is durable every later open finds it whole. HF_ECONFLICT: not missing, or not what was committed here; HF_ECORRUPT:
 * the group's state is lost. In one batch nothing else may be done to the group, but a hard state may follow. */
HF_API int hf_log_batch_repair(struct hf_log_batch *batch, uint64_t group, const struct hf_entry *entries,
                               size_t count);

/* Called once per append that returned 0: result 0 when everything in it is acknowledged under the policy,
 * HF_EPOISONED or HF_ECLOSED otherwise (what it wrote may or may not be there after a restart). */
typedef void hf_log_done(void *arg, int result);

/* Applies the batch to the readable state and queues it for the device. On an error nothing at all changed and the
 * batch is untouched: HF_ECONFLICT (gap, decreasing term), HF_ECOMPACTED, HF_EBUSY (queue full), HF_ENOSPACE,
 * HF_ETOOBIG, HF_EPOISONED, HF_ECLOSED, HF_EUNSUPPORTED (read only). HF_ENOSPACE also while the process may open no
 * file for the next segment. The batch may be cleared and reused at once. An empty batch is a barrier. done may be
 * NULL. */
HF_API int hf_log_append(struct hf_log *log, const struct hf_log_batch *batch, hf_log_done *done, void *arg);
/* The same, and waits. With HF_LOG_DRIVE_CALLER only the driver may wait, here and in what else says so, and drives the
 * turns itself. */
HF_API int hf_log_append_wait(struct hf_log *log, const struct hf_log_batch *batch);

/* When an append counts as done. Acknowledgements of one kind run in the order of the appends. */
enum hf_log_acknowledge {
    /* What the sync policy says: durable under batch and always; under interval and none written, but durable for what
     * carries a term, a vote, a reset or a removal. */
    HF_LOG_ACK_POLICY = 0,
    HF_LOG_ACK_WRITTEN, /* the kernel has it and everything before it: survives the process, not a power loss */
    HF_LOG_ACK_DURABLE  /* it and everything before it survive a power loss; interval and none sync for it at once */
};

/* Zero-initialised it is hf_log_append without a callback. */
struct hf_log_append_options {
    enum hf_log_acknowledge acknowledge;
    uint32_t wait_ms; /* how long to wait for space in a full queue before HF_EBUSY; 0: not at all */
    hf_log_done *done;
    void *arg;
    bool poll; /* instead of a callback (done is NULL) a completion with this token is put aside for hf_log_poll */
    uint64_t token;
};
/* hf_log_append with a choice. While it waits for space other threads may append before it; in HF_LOG_DRIVE_CALLER only
 * the driver may wait, and drives turns meanwhile. HF_EBUSY also when queue_entries_max completions are outstanding.
 * HF_EINVALID: options that contradict each other. HF_EUNSUPPORTED: waiting in the simulator, or in a
 * callback. */
HF_API int hf_log_append_with(struct hf_log *log, const struct hf_log_batch *batch,
                              const struct hf_log_append_options *options);

/* Barrier: returns when everything appended before the call survives a power loss, under every sync policy. Waits. */
HF_API int hf_log_sync(struct hf_log *log);

struct hf_log_completion {
    uint64_t token;
    int result; /* as hf_log_done is told */
};
/* Takes up to `max` completions, oldest first; returns how many. Never blocks, runs no turn; while there are none it is
 * a load from memory, so that a thread with nothing else to do may call it again and again. What is not taken before
 * hf_log_close is lost. */
HF_API size_t hf_log_poll(struct hf_log *log, struct hf_log_completion *out, size_t max);
/* Readable while hf_log_poll has something to give. The log owns it; for poll, select or epoll only. -1: none could be
 * made, or the log was opened read-only. */
HF_API int hf_log_poll_descriptor(struct hf_log *log);

/* Sets the incarnation (64 random bits, cluster-wide per group) that records of this group carry. Needed once, before
 * the group's first record; without it the log draws one. HF_EMISMATCH when the group exists with another one. */
HF_API int hf_log_group_open(struct hf_log *log, uint64_t group, uint64_t incarnation);

/* Makes a group exist, durably, before it has entries. HF_EEXISTS, HF_EMISMATCH (that incarnation was removed). Waits.
 */
HF_API int hf_log_group_create(struct hf_log *log, uint64_t group, uint64_t incarnation);
/* Removes a group, durably; its neighbours notice nothing. HF_ENOTFOUND. Waits. */
HF_API int hf_log_group_remove(struct hf_log *log, uint64_t group);
/* ---- Installing a snapshot ----
 * While the state of a snapshot comes in, the group's log must stay as it is: begin, fetch the snapshot, finish. Until
 * then the old entries can be read, the hard state may change, and every other operation on the group is refused with
 * HF_EBUSY. Finishing is one step: after a crash the log is either the old one or restarts behind the snapshot. */

/* HF_ECOMPACTED: the group's log begins at or behind the snapshot's index already (an older snapshot is ignored).
 * HF_ECONFLICT: it begins there with another term. HF_EBUSY: an installation is under way. Not stored: a restart
 * forgets it. */
HF_API int hf_log_install_begin(struct hf_log *log, uint64_t group, uint64_t index, uint64_t term,
                                struct hf_bytes snapshot_name);
/* The old log disappears: first = index + 1, last = index, the term at `index` is known. Waits until it is durable.
 * On an error before that the installation is still under way. HF_ENOTFOUND: none was begun. */
HF_API int hf_log_install_finish(struct hf_log *log, uint64_t group);
/* The log goes on as it was. HF_ENOTFOUND: none was begun. */
HF_API int hf_log_install_cancel(struct hf_log *log, uint64_t group);

/* Sets space aside for appends that were promised (a proposal that is about to be accepted). HF_ENOSPACE when the
 * device cannot take it beside the headroom. Entries of later appends consume what was reserved. */
HF_API int hf_log_reserve(struct hf_log *log, uint64_t bytes);
HF_API void hf_log_unreserve(struct hf_log *log, uint64_t bytes);
HF_API uint64_t hf_log_capacity_bytes(struct hf_log *log); /* what hf_log_reserve could still promise */

/* ---- Giving up old entries ---- */

/* A mark says which entries of a group may go; after options.delete_delay_ms, at the next of the scans every
 * options.delete_scan_ms, the log compacts as far as these bounds allow, and comes back later for the rest:
 *   - what hf_log_retain said last; before it is called, nothing goes
 *   - the durable index, and the lowest index that is held
 * hf_log_batch_compact asks none of them. Marks, bounds and holds live in memory and end with the process or with the
 * group's life; a compaction that they led to is durable like any other. HF_ENOTFOUND: the group does not exist. */
struct hf_log_retention {
    uint64_t applied_index;  /* entries up to it are applied */
    uint64_t snapshot_index; /* of the oldest snapshot that is kept; HF_LOG_INDEX_MAX: snapshots bound nothing */
};
HF_API int hf_log_retain(struct hf_log *log, uint64_t group, const struct hf_log_retention *bounds);
/* Entries up to `index` may go. A later mark that reaches further does not make an earlier one wait longer. */
HF_API int hf_log_mark_index(struct hf_log *log, uint64_t group, uint64_t index);
/* Entries with a timestamp below before_ms may go, up to the first that has none of these; timestamps that go backwards
 * within a group may keep entries longer. */
HF_API int hf_log_mark_time(struct hf_log *log, uint64_t group, uint64_t before_ms);

/* While it is open no mark takes entries ≥ index from the group: for readers that go on later. Close it before the log.
 */
struct hf_log_hold;
HF_API int hf_log_hold_open(struct hf_log *log, uint64_t group, uint64_t index, struct hf_log_hold **out);
HF_API void hf_log_hold_move(struct hf_log_hold *hold, uint64_t index);
HF_API void hf_log_hold_close(struct hf_log_hold *hold); /* accepts NULL */

/* ---- Driving (HF_LOG_DRIVE_CALLER; driver thread only) ----
 * On a log with a thread of its own, on one that is read only, and in a callback of the same log turns do nothing.
 * A thread that drives must not end while something is outstanding: io_uring cancels what it has submitted. */

/* One turn: reaps completed writes, runs their callbacks, starts the next write. Never blocks. Returns how many
 * callbacks ran. */
HF_API unsigned hf_log_turn(struct hf_log *log);
/* The same, for a thread that has nothing else to do: waits up to timeout_ns for something to reap, but no longer than
 * to the next turn that is due by time. */
HF_API unsigned hf_log_turn_wait(struct hf_log *log, uint64_t timeout_ns);
/* Readable when a turn has something to reap; for poll, select or epoll only. -1: there are no turns for the caller. */
HF_API int hf_log_descriptor(struct hf_log *log);

/* ---- Reading ---- */

struct hf_log_group_state {
    uint64_t first_index;   /* floor + 1; 1 in a new group */
    uint64_t last_index;    /* readable; first_index − 1 when empty */
    uint64_t durable_index; /* ≤ last_index */
    uint64_t floor_term;    /* the term at first_index − 1; 0 when that is 0 */
    uint64_t incarnation;
    uint64_t bytes;                  /* of payload between first and last */
    uint64_t bytes_on_disk;          /* of records that are live */
    uint64_t segment_oldest;         /* number of the oldest segment that holds a live record of the group */
    struct hf_hard_state hard_state; /* as appended last; durable when that append was acknowledged */
    uint8_t snapshot_name[HF_LOG_SNAPSHOT_NAME_SIZE_MAX]; /* of the last reset */
    uint32_t snapshot_name_size;
    bool exists;
    bool removed;
    bool damaged;           /* see hf_log_damage_next; appends to it are refused with HF_ECORRUPT, unless it does not
                             * exist, or was removed: then a life of it may be among what is lost */
    bool state_lost;        /* its newest hard state is among what is lost: the group may have voted, and acknowledged
                             * entries, that nobody here knows of. Entries alone cannot repair it */
    uint64_t segments_held; /* files that hold something live of it */
};
/* Bytes of a file that the record of such an entry takes, padding included: for whoever counts how much a log grows.
 * What an append costs beside it (a run record per group and frame, and the frame's own bytes) is shared by those of a
 * write, and goes when the entry is moved. Its payload is not read. Never blocks. */
HF_API uint64_t hf_log_entry_bytes(const struct hf_entry *entry);
/* An unknown group reads as empty (exists = false). */
HF_API int hf_log_group_state(struct hf_log *log, uint64_t group, struct hf_log_group_state *out);
/* The next group with an id > after, in order; HF_ENOTFOUND at the end. */
HF_API int hf_log_group_next(struct hf_log *log, uint64_t after, uint64_t *out);

/* The ids of up to `max` groups that exist with an id > after, in order; returns how many. */
HF_API size_t hf_log_group_list(struct hf_log *log, uint64_t after, uint64_t *out, size_t max);

/* The term at an index: first_index − 1 … last_index. HF_ECOMPACTED below, HF_EUNAVAILABLE above. */
HF_API int hf_log_term(struct hf_log *log, uint64_t group, uint64_t index, uint64_t *out);

/* Entries read; owns their memory until hf_log_view_close. Zero-initialise; a closed view may be reused. The process
 * keeps up to 8 MiB of closed views for those to come. */
struct hf_log_view {
    const struct hf_entry *entries;
    size_t count;
    void *memory;
};
HF_API void hf_log_view_close(struct hf_log_view *view);
/* Entries in [low, high), at least one when there is one, then as many as fit bytes_max (0: no limit) and count_max
 * (0: no limit). high 0: to the last. low = high gives none. HF_ECOMPACTED, HF_EUNAVAILABLE (low beyond last),
 * HF_EINVALID (low above high), HF_EIO, HF_ECORRUPT. */
HF_API int hf_log_read(struct hf_log *log, uint64_t group, uint64_t low, uint64_t high, uint64_t bytes_max,
                       size_t count_max, struct hf_log_view *out);

/* ---- Iterating ---- */

/* Hands out the entries of a group one by one, and goes on with what is appended meanwhile. A window of them is fetched
 * at a time; while it is handed out, a worker fetches the next one if that lies on the device (not in the simulator;
 * without one there is no worker). From the second window on two workers fetch the next two side by side, so that an
 * iterator holds up to three windows: of read_ahead_bytes each where entries are of similar sizes; the two that are
 * fetched together are of a number of entries, and bounded by twice these bytes. An iterator belongs to one thread at a
 * time; only cancel may be called from others. Entries that were truncated are never handed out later, also when they
 * had been fetched already. Close iterators before the log. */
struct hf_log_iterator;
struct hf_log_iterator_options {
    uint64_t from;             /* nothing below it is handed out; 0: the group's first */
    uint64_t to;               /* exclusive; 0: no end */
    uint64_t bytes_max;        /* ends before the payloads exceed this, but gives one entry; 0: no limit */
    uint64_t count_max;        /* 0: no limit */
    uint32_t read_ahead_bytes; /* 0: as the log's options say */
    bool durable_only;         /* waits for durable_index instead of last_index */
};
/* options may be NULL. HF_EINVALID. */
HF_API int hf_log_iterator_open(struct hf_log *log, uint64_t group, const struct hf_log_iterator_options *options,
                                struct hf_log_iterator **out);
/* Lends the next entry until the next call on the iterator. At the end of the log it waits up to timeout_ms for an
 * append (0: not at all; UINT32_MAX: for ever), then returns HF_EUNAVAILABLE: call again later. The driver, and every
 * caller in the simulator, passes 0; HF_EUNSUPPORTED where a callback would have to wait.
 * HF_ENOTFOUND: `to` or a limit is reached. HF_ECONFLICT: entries that were handed out have been truncated, or the log
 * restarted; told once, the next call goes on with the first entry that took their place. HF_ECOMPACTED: the next entry
 * lies below the first. HF_ECANCELLED, HF_ECORRUPT, HF_EIO. */
HF_API int hf_log_iterator_next(struct hf_log_iterator *iterator, uint32_t timeout_ms, struct hf_entry *out);
/* Every next, also one that waits, returns HF_ECANCELLED from now on. Thread: any. */
HF_API void hf_log_iterator_cancel(struct hf_log_iterator *iterator);
HF_API void hf_log_iterator_close(struct hf_log_iterator *iterator); /* accepts NULL */

/* ---- Comparing with another replica ---- */

/* Where a follower's log, which ends at (index, term), can still agree with this one: the greatest index i ≤ index
 * whose term here is equal at i = index, or lower than `term` at i < index. The floor counts, its term being known. A
 * binary search over terms in memory, no I/O. `cancelled` may be NULL; it is asked before each probe, without locks:
 * true gives HF_ECANCELLED. HF_ENOTFOUND: nothing here agrees any more, send a snapshot. HF_ECORRUPT: in a hole. */
HF_API int hf_log_match(struct hf_log *log, uint64_t group, uint64_t index, uint64_t term, bool (*cancelled)(void *arg),
                        void *arg, uint64_t *index_out, uint64_t *term_out);

#define HF_LOG_DIGEST_SIZE 16u
/* XXH3-128 over the entries [low, high): per entry index, term, timestamp (u64 each), type (u32), payload size (u32),
 * little-endian, then the payload. Neither incarnations nor places count: it is equal on every replica that holds the
 * same entries. HF_ECOMPACTED, HF_EUNAVAILABLE: the range is not all there. */
HF_API int hf_log_digest(struct hf_log *log, uint64_t group, uint64_t low, uint64_t high,
                         uint8_t out[HF_LOG_DIGEST_SIZE]);

/* ---- State of the whole log ---- */

struct hf_log_stat {
    uint64_t segments;
    uint64_t bytes_on_disk;    /* of all files */
    uint64_t appended_entries; /* since open */
    uint64_t appended_bytes;
    uint64_t writes;             /* frames written */
    uint64_t written_bytes;      /* with padding */
    uint64_t oldest_unsynced_ns; /* age of the oldest append that is not acknowledged; 0 when there is none */
    uint64_t queued_entries;
    uint64_t queued_bytes;
    uint64_t cached_entries; /* in the tail cache, without the frame that gathers */
    uint64_t cached_bytes;   /* of its memory */
    uint64_t recovery_ns;
    uint64_t recovered_bytes_dropped; /* torn tail */
    uint64_t damaged_groups;
    int failure; /* 0, or HF_EPOISONED: the text is in failure_text */
    char failure_text[256];
    const char *io_name;
    uint64_t live_bytes;         /* of records that are needed, in all files but the last */
    uint64_t dead_bytes;         /* of what else was written there: what collection can give back */
    uint64_t segments_pinned;    /* files that are being read or collected */
    uint64_t moved_entries;      /* rewritten by collection, since the open */
    uint64_t moved_bytes;        /* the same, and hard states, floors and removals, as records */
    uint64_t collected_segments; /* files whose live content was rewritten */
    uint64_t released_segments;  /* files given up */
    uint64_t recycled_segments;  /* of these became new ones */
};
HF_API void hf_log_stat(struct hf_log *log, struct hf_log_stat *out);

struct hf_log_stage_stat {
    uint64_t count; /* measurements */
    uint64_t entries;
    uint64_t bytes;
    uint64_t sum_ns, min_ns, max_ns;
    uint64_t p50_ns, p90_ns, p99_ns, p999_ns; /* at most a sixteenth too large */
    uint64_t below[HF_LOG_STAGE_BOUND_COUNT]; /* measurements below hf_log_stage_bound_ns(i), exactly */
};
HF_API void hf_log_stage_stat(struct hf_log *log, enum hf_log_stage stage, struct hf_log_stage_stat *out);
/* Beyond the last stage or bound: nothing was measured, "unknown", UINT64_MAX. */
HF_API const char *hf_log_stage_name(enum hf_log_stage stage); /* "queue", … */
HF_API uint64_t hf_log_stage_bound_ns(unsigned bound);

/* Damage found by recovery or by reading. Walk with *position = 0; HF_ENOTFOUND at the end. */
struct hf_log_damage {
    uint64_t group; /* 0: unknown, the record's header itself is unreadable: every group may be concerned */
    uint64_t index;
    uint64_t term;   /* 0: unknown */
    uint64_t commit; /* the group's last persisted commit index */
    uint64_t segment;
    uint64_t offset;
    uint32_t size; /* of an entry whose place is known: its payload, and a timestamp that needs room of its own */
    char reason[128];
};
HF_API int hf_log_damage_next(struct hf_log *log, size_t *position, struct hf_log_damage *out);

/* The first range of entries at or above `from` that the group should have and that cannot be read, as far as that is
 * known: hf_log_batch_repair puts them back. Entries that may have been replaced by records that are lost count. Damage
 * that nobody has met yet does not. HF_ENOTFOUND: there is none. */
HF_API int hf_log_missing(struct hf_log *log, uint64_t group, uint64_t from, uint64_t *first, uint64_t *last);

#ifdef __cplusplus
}
#endif
#endif
