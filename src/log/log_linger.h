/* A driver thread that has just acknowledged something waits awake for a moment: what is appended upon that comes
 * within microseconds, and waking a thread takes longer than that. It does so while that pays: after moments in which
 * nothing came, only now and then. The mutex guards all but `called`. */
#ifndef LOG_LOG_LINGER_H
#define LOG_LOG_LINGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"

#define LOG_LINGER_NS       UINT64_C(40000)
#define LOG_LINGER_MISS_MAX 4u  /* so many moments in vain: it lingers only now and then */
#define LOG_LINGER_RETRY    32u /* then once in so many times */

struct log_linger {
    bool possible;   /* another processor can append meanwhile */
    bool lingers;    /* whoever wants the driver calls it, and need not wake it */
    unsigned misses; /* in a row */
    unsigned skipped;
    atomic_bool called;
    bool after_answers; /* the driver's: its last turn acknowledged something */
};

void log_linger_open(struct log_linger *linger);
/* The driver has called back and will sleep: shall it linger? */
bool log_linger_begin(struct log_linger *linger);
/* Calls the driver if it lingers: then it need not be woken. */
bool log_linger_call(struct log_linger *linger);
/* Until it is called or the moment is over. The mutex is not held. */
bool log_linger_wait(struct log_linger *linger, struct io *io);
void log_linger_end(struct log_linger *linger, bool called);

#endif
