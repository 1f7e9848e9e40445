#include "log/log_linger.h"

#include <sched.h>

#include "base/pause.h"

#define LOG_LINGER_LOOKS 64u /* between two looks at the clock */

void log_linger_open(struct log_linger *linger)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    linger->possible = sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

bool log_linger_begin(struct log_linger *linger)
{
    bool pays = linger->misses < LOG_LINGER_MISS_MAX || ++linger->skipped >= LOG_LINGER_RETRY;
    linger->lingers = linger->possible && pays;
    if (linger->lingers) {
        linger->skipped = 0;
        atomic_store_explicit(&linger->called, false, memory_order_relaxed);
    }
    return linger->lingers;
}

bool log_linger_call(struct log_linger *linger)
{
    if (linger->lingers) {
        atomic_store_explicit(&linger->called, true, memory_order_release);
    }
    return linger->lingers;
}

bool log_linger_wait(struct log_linger *linger, struct io *io)
{
    uint64_t until_ns = io_monotonic_ns(io) + LOG_LINGER_NS;
    do {
        for (unsigned i = 0; i < LOG_LINGER_LOOKS; i++) {
            if (atomic_load_explicit(&linger->called, memory_order_acquire)) {
                return true;
            }
            pause_briefly();
        }
    } while (io_monotonic_ns(io) < until_ns);
    return false;
}

void log_linger_end(struct log_linger *linger, bool called)
{
    linger->lingers = false;
    linger->misses = called ? 0 : linger->misses + 1;
}
