/* Whether the device has kept the oldest append waiting for too long, told once when it begins and once when it is
 * over. Guarded by the log's mutex; the owner's function is called by the driver without it. */
#ifndef LOG_LOG_STALL_H
#define LOG_LOG_STALL_H

#include <stdbool.h>
#include <stdint.h>

struct log_stall {
    uint64_t threshold_ns; /* 0: nobody asks */
    bool stalled;
    bool news; /* the owner does not know it yet */
    uint64_t age_ns;
};

/* oldest_ns: when the oldest append that waits was made; 0: none waits. */
void log_stall_look(struct log_stall *stall, uint64_t oldest_ns, uint64_t now_ns);
/* When to look again although nothing completes; UINT64_MAX: no need. On a coarse grid, so that a busy log does not
 * move it with every write: a stall may be told a quarter of the threshold late. */
uint64_t log_stall_deadline_ns(const struct log_stall *stall, uint64_t oldest_ns);
/* True when the owner is to be told: *age_ns, 0 when the stall is over. */
bool log_stall_take(struct log_stall *stall, uint64_t *age_ns);

#endif
