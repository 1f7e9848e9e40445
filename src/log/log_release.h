/* Giving up segments that nobody needs any more, oldest first, so that the chain of files stays contiguous.
 *
 *   dead in front ───────→ settled ──────────────→ out of the table ──────→ recycled or unlinked
 *   (log_segment_is_dead)  everything placed so    no frame that is         two trailers that declare its successor
 *                          far is durable, what    sealed later needs it    the oldest are durable, so that one bad
 *                          replaced it as well                              frame does not make it a missing file;
 *                                                                           nobody reads it any more
 *
 * A crash anywhere leaves either files that are needed, or left-overs that a trailer tells apart. An unlink that fails
 * leaves a left-over, too: the next open removes it. Guarded by the log's mutex; the unlinking is work off the driver's
 * thread. */
#ifndef LOG_LOG_RELEASE_H
#define LOG_LOG_RELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/io.h"
#include "log/log_segment.h"

#define LOG_RELEASE_PINNED_NS UINT64_C(10000000)   /* how often a segment that is still read is looked at */
#define LOG_RELEASE_HELD_NS   UINT64_C(1000000000) /* and one that damage holds */

struct hf_log;

struct log_release {
    size_t settling;               /* dead segments in front that wait until what makes them dead is durable */
    uint64_t settled_at;           /* the position that says so */
    uint64_t held_until_ns;        /* damage held the front: not looked at again before */
    struct log_segment **given_up; /* oldest first; they wait for a trailer, and for their readers */
    size_t given_up_count;
    size_t given_up_capacity;
    uint64_t pinned_ns; /* when to look again at one that is read; 0: none is */

    struct io_operation operation;
    bool busy;
    struct io *io;   /* the work's own, while busy */
    char *directory; /* lent */
    uint64_t number;

    uint64_t released_count; /* since the open */
    uint64_t released_bytes;
};

void log_release_close(struct log_release *release); /* nothing in flight */

/* Driver, the mutex held: takes every step that can be taken. 0, or the error of a submission. */
int log_release_step(struct hf_log *log, uint64_t now_ns);
/* Driver: the unlinking is done. */
void log_release_finish(struct log_release *release);
/* When a step can be taken without a completion; 0: now. */
uint64_t log_release_deadline_ns(const struct hf_log *log);
/* Files that are in no table any more but still there. */
uint64_t log_release_bytes(const struct log_release *release);
/* No segment with this number or a greater one may be given up: damage that is not healed has to be found again by the
 * next open. UINT64_MAX: none is held. */
uint64_t log_release_held_number(const struct hf_log *log);

#endif
