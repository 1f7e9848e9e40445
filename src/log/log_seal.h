/* Gives every sealed segment its index file, in the background, one at a time and in order; makes damaged ones again;
 * and lets the index forget what they hold.
 *
 *   none ── every frame is durable: condense, write, sync, rename, sync the directory ──→ warm
 *   warm ── the tail cache holds nothing of the segment any more ──→ cold: the entries' slots leave memory
 *   cold ── a read met a damaged page ──→ broken ── made again ──→ cold
 *
 * Segments whose index file spared the open from reading them are read later, slowly, one after another (the *scrub*):
 * every frame is checked, and the index file against them. When a frame is bad, all entries of the segment are read as
 * a reader would, so that each damaged one is reported with group, index and term.
 *
 * A log that is compacted often gives its segments up before they are worth an index file: so the newest ones, up to
 * half a full-size segment together, wait for LOG_SEAL_DELAY_NS, and so does one of whose entries more than a third are
 * gone by then. An open would scan them.
 *
 * An index file is a convenience, so its failures are not the log's: a full device is tried again later, other errors
 * leave the segment without one. The exception is a failed sync of the directory, which may have concerned a segment's
 * name. What the reading back finds damaged is reported. Guarded by the log's mutex; the work runs off the driver's
 * thread on its own data. */
#ifndef LOG_LOG_SEAL_H
#define LOG_LOG_SEAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "log/log_index_build.h"
#include "log/log_segment.h"

#define LOG_SEAL_RETRY_NS       UINT64_C(1000000000) /* after the device was full */
#define LOG_SEAL_DELAY_NS       UINT64_C(2000000000) /* from the last byte of a small segment to its index file */
#define LOG_SEAL_STEP_BYTES     (UINT64_C(8) << 20)
#define LOG_SEAL_EARLY_SHARE    8u /* of a segment that is being filled: an early step goes through so much at least */
#define LOG_SEAL_RECENT_SHARE   2u /* of a full-size segment: so much may have none meanwhile */
#define LOG_SEAL_SCRUB_DELAY_NS UINT64_C(10000000000) /* from the open to the first segment */
#define LOG_SEAL_SCRUB_BYTES_S  (UINT64_C(16) << 20)  /* not more per second */

struct hf_log;

/* An index file is made in steps, so that little memory is held at a time: frames of up to LOG_SEAL_STEP_BYTES are gone
 * through, and so on; then it is written. On a segment of at least half of the full size the steps begin while it is
 * being filled: its frames are still in memory then, and need not be read again beside the writes of those that follow.
 */
enum log_seal_task { LOG_SEAL_BUILD, LOG_SEAL_WRITE, LOG_SEAL_SCRUB, LOG_SEAL_NAME };

/* Entries of a group that lie in a segment. */
struct log_seal_range {
    uint64_t group;
    uint64_t index_first;
    uint64_t index_last;
};
struct log_seal_job {
    enum log_seal_task task;
    struct hf_log *log; /* LOG_SEAL_NAME: to read from */
    struct log_seal_range *ranges;
    size_t range_count;
    struct log_index_source source; /* its frames are the job's own copy */
    uint64_t offset_stop;           /* LOG_SEAL_BUILD: of this step */
    bool is_early;                  /* LOG_SEAL_BUILD: the segment is not complete, there will be more of it */
    atomic_bool cancelled;
    struct log_index_build *build; /* out, on success */
    uint64_t bad_offset;           /* out, on HF_ECORRUPT */
    bool directory_failed;         /* out */
};
struct log_seal {
    struct io_operation operation;
    struct log_seal_job job;
    struct log_segment *segment;         /* of the job; the job pins it */
    uint64_t number_next;                /* segments below it have been seen to */
    uint64_t warm_next;                  /* no segment below it is warm */
    struct log_index_build *early_build; /* of a segment that is not complete yet; NULL: none */
    uint64_t early_refused;              /* the number of a segment of which an early step failed */
    uint64_t retry_ns;
    uint64_t scrub_next;        /* segments below it were read since the open, or before it */
    uint64_t scrub_end;         /* so were those from here on */
    uint64_t scrub_ns;          /* when the next one is due */
    struct log_segment *naming; /* its damaged entries are to be named */
    bool busy;
};

/* After the open: segments with an index file were not read, and will be. */
void log_seal_open(struct hf_log *log, uint64_t now_ns);
/* Driver: lets go of what the cache has left, and starts the next job. 0, or the error of a submission. */
int log_seal_start(struct hf_log *log, uint64_t now_ns);
/* Driver: the job completed. 0, or the error that poisons. */
int log_seal_finish(struct hf_log *log, uint64_t now_ns);
/* When log_seal_start has something to do. */
uint64_t log_seal_deadline_ns(const struct hf_log *log);
/* The running job ends soon, without a result. */
void log_seal_cancel(struct log_seal *seal);
void log_seal_close(struct log_seal *seal); /* nothing in flight */
/* A page of the segment's index file is damaged. */
void log_seal_mark_broken(struct hf_log *log, struct log_segment *segment);

#endif
