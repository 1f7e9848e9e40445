/* Marks for deletion, and what bounds them: the middle of include/holdfast/log.h, "Giving up old entries". Kept in
 * memory only; what survives a restart is the compaction that a mark leads to. Every options.delete_scan_ms the marks
 * that have waited for options.delete_delay_ms are looked at. A mark by time is turned into one by index first, by a
 * binary search that reads one entry at a time, off the driver's thread. Guarded by the log's mutex. */
#ifndef LOG_LOG_RETAIN_H
#define LOG_LOG_RETAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "holdfast/log.h"
#include "io/io.h"

struct log_mark {
    uint64_t bound; /* an index or a time; 0: none */
    uint64_t due_ns;
};
/* One group's. */
struct log_retained {
    uint64_t group;
    uint64_t incarnation; /* marks of an earlier life mean nothing */
    struct hf_log_retention bounds;
    struct log_mark index;
    struct log_mark time;
    uint64_t searched; /* the scan that searched it last */
};

struct log_retain {
    struct map by_group;
    struct list holds;
    size_t mark_count;
    uint64_t scan_ns; /* the next one */
    uint64_t scan;    /* its number */
    bool again;       /* a search is done: this scan goes on with the next group */

    struct io_operation operation; /* a search by time */
    bool busy;
    struct hf_log *log; /* the search's own, while busy */
    uint64_t group;
    uint64_t incarnation;
    uint64_t before_ms;
    uint64_t low; /* every entry up to it is older */
    uint64_t high;
};

void log_retain_open(struct log_retain *retain);
void log_retain_close(struct log_retain *retain); /* nothing in flight */
int log_retain_step(struct hf_log *log, uint64_t now_ns);
void log_retain_finish(struct hf_log *log);
uint64_t log_retain_deadline_ns(const struct hf_log *log);

#endif
