/* The time of a group: what its leader stamps entries and reads with. Stamps are UNIX milliseconds that never decrease
 * within a group, whatever the clock does and whoever leads.
 *
 * Entries carry max(wall clock, the greatest stamp in the log). Reads are not in the log, so a read's stamp must not
 * show what the log does not justify: a key whose deadline passed is seen as absent only once an entry with a later
 * stamp is applied, which the leader proposes the moment the deadline passes. Otherwise a next leader with a slower
 * clock would show the key again. Between deadlines a read's stamp follows the clock.
 *
 * Thread: the loop's. */
#ifndef NODE_STAMP_H
#define NODE_STAMP_H

#include <stdint.h>

#include "holdfast/log.h"

struct stamp {
    uint64_t last_ms;    /* the greatest that was given out here or seen in the log */
    uint64_t applied_ms; /* the greatest of the applied entries */
};

/* A stamp was met in the log (applied or not). */
void stamp_see(struct stamp *stamp, uint64_t stamp_ms);
/* All stamps in a group's log above an applied index: they never decrease along it, so that the last one counts;
 * entries without a stamp are passed. HF_EIO, HF_ECORRUPT: not all of it could be read. */
int stamp_see_log(struct stamp *stamp, struct hf_log *log, uint64_t group, uint64_t applied_index);
/* An entry with this stamp was applied. */
void stamp_apply(struct stamp *stamp, uint64_t stamp_ms);
/* The stamp of the next entry. */
uint64_t stamp_next(struct stamp *stamp, uint64_t wall_ms);
/* The stamp of a read; due_ms: the next deadline in the applied state, UINT64_MAX without one. */
uint64_t stamp_read(struct stamp *stamp, uint64_t wall_ms, uint64_t due_ms);

#endif
