/* The runs of a frame that records may still belong to, by their check: what a run record says is said once for all
 * records of the group in the frame, although groups take turns in it. Builder and cursor keep the same table
 * (log_format.h). */
#ifndef LOG_LOG_RUNS_H
#define LOG_LOG_RUNS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "log/log_format.h"
#include "log/log_record.h"

struct log_runs {
    uint64_t taken[LOG_FORMAT_RUN_SLOTS / 64]; /* a bit per slot */
    uint32_t checks[LOG_FORMAT_RUN_SLOTS];
    struct log_run items[LOG_FORMAT_RUN_SLOTS];
};

static inline unsigned log_runs_slot(uint32_t check)
{
    return check % LOG_FORMAT_RUN_SLOTS;
}
static inline bool log_runs_has(const struct log_runs *runs, unsigned slot)
{
    return (runs->taken[slot / 64] >> slot % 64 & 1) != 0;
}
static inline void log_runs_clear(struct log_runs *runs)
{
    memset(runs->taken, 0, sizeof(runs->taken));
}
/* The run takes its slot from whichever had it. */
static inline void log_runs_put(struct log_runs *runs, const struct log_run *run, uint32_t check)
{
    unsigned slot = log_runs_slot(check);
    runs->taken[slot / 64] |= UINT64_C(1) << slot % 64;
    runs->checks[slot] = check;
    runs->items[slot] = *run;
}
/* NULL: there is none with this check. */
static inline const struct log_run *log_runs_find(const struct log_runs *runs, uint32_t check)
{
    unsigned slot = log_runs_slot(check);
    return log_runs_has(runs, slot) && runs->checks[slot] == check ? &runs->items[slot] : NULL;
}

#endif
