/* Collection: what is still live in the oldest segment is written again at the end of the stream, so that the segment
 * is dead and can be given up (log_release.h). So no group, however idle, keeps a file from going.
 *
 *   decide ──→ scan ──→ plan ⇄ read ──→ place ──→ … ──→ dead
 *   (mutex)    (work)   (mutex) (work)  (mutex)           ↑
 *        └──── no entry in it is live: place states ──────┘
 *
 *   - scan: the whole segment is read and applied to groups of its own, as an open without what is in front would: what
 *     the segment by itself says that is live.
 *   - plan: which of that is live in the log now: at most LOG_COLLECT_SLICE_ENTRIES, LOG_COLLECT_SLICE_BYTES.
 *   - read: the records of the slice, past the page cache; their checksums are verified.
 *   - place: each that is *still* live becomes a moved record in the gathering frame; then hard states, floors and
 *     removals, from memory.
 *
 * Nothing is held back meanwhile: appends, truncations, compactions, resets, removals and reads go on between the
 * steps, and what they made dead is not placed. Aborted anywhere it leaves copies, which are as good as what they are
 * of.
 *
 * When: what is dead in the log's files, the last one aside, exceeds what is live in them and two more segments of the
 * size that a log of what is live would have (where entries have to be read and moved: that the log had lately, at
 * least a full-size one); or options.collect_size_bytes; or space is short. In the last two cases only while a part of
 * it is dead that is more than what the ends of frames waste, or a log at rest would be moved round and round; or, when
 * space is short, while less than half of the oldest is live. A pass over the whole log moves what is live in it and
 * gives back what is dead, so that at most one byte is moved for each byte that was appended. What is moved may use
 * half of the headroom; a segment that does not fit waits for space.
 *
 * Where no entry is live, only hard states, floors and removals have to move: those are in memory, so nothing is read.
 * That is the usual case, for a log that is compacted; and a segment with a bad frame, whose entries have been healed
 * or compacted away, goes like any other.
 *
 * A segment with live entries that cannot be read, or that damaged groups need (log_release_held_number), is not
 * collected, and so nothing behind it: reset, remove or repair the groups. */
#ifndef LOG_LOG_COLLECT_H
#define LOG_LOG_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/io.h"
#include "log/log_apply.h"
#include "log/log_segment.h"

#define LOG_COLLECT_SLICE_ENTRIES 256u
#define LOG_COLLECT_SLICE_BYTES   (256u << 10)          /* more for a single entry that is larger */
#define LOG_COLLECT_LOOKED_AT_MAX 4096u                 /* entries that one plan looks at */
#define LOG_COLLECT_CHECK_NS      UINT64_C(50000000)    /* how often it is decided */
#define LOG_COLLECT_RETRY_NS      UINT64_C(20000000)    /* after there was no room */
#define LOG_COLLECT_GAVE_UP_NS    UINT64_C(10000000000) /* after a segment could not be read */

struct hf_log;
struct log_collect_item;

enum log_collect_state {
    LOG_COLLECT_IDLE,
    LOG_COLLECT_STATES,
    LOG_COLLECT_SCANNING,
    LOG_COLLECT_PLANNING,
    LOG_COLLECT_READING,
    LOG_COLLECT_PLACING
};

struct log_collect {
    enum log_collect_state state;
    struct log_segment *victim; /* pinned while not idle */
    uint64_t check_ns;          /* when to decide again */
    uint64_t checked_position;  /* of the tail, when it was decided last */
    uint64_t retry_ns;          /* there was no room to place something */

    struct io_operation operation;
    bool busy;

    /* The work's own while busy, the driver's otherwise. */
    struct io *io;
    char *path;
    struct file *file;          /* direct */
    struct log_segment *shadow; /* the victim as the scan knows it */
    struct log_groups found;
    struct log_damages problems;
    struct log_apply apply;
    uint64_t offset;     /* of the scan */
    struct hf_bytes bad; /* the frame there, in bytes, when it is damaged */
    uint8_t *bytes;      /* aligned */
    size_t capacity;

    size_t position;   /* in found, or in the log's groups */
    size_t table_size; /* of the log's groups, as the pass over their states began */
    struct log_group *group;
    uint64_t next_index;
    struct log_collect_item *items;
    size_t item_count;
    size_t placed;
    const struct log_collect_item *failed; /* what was read of it is damaged */

    uint64_t moved_entries; /* since the open */
    uint64_t moved_bytes;   /* of records */
    uint64_t collected_count;
};

void log_collect_close(struct log_collect *collect); /* nothing in flight, or its work will never be looked at */

/* Driver, the mutex held. 0, or the error of a submission. */
int log_collect_step(struct hf_log *log, uint64_t now_ns);
/* Driver, the mutex held: its work is done. */
void log_collect_finish(struct hf_log *log, uint64_t now_ns);
uint64_t log_collect_deadline_ns(const struct hf_log *log, uint64_t now_ns);
/* Bytes of live records in the segments but the last, and those of all frames in them. */
void log_collect_measure(const struct hf_log *log, uint64_t *live, uint64_t *used);

#endif
