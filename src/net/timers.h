/* The timers of one loop in order of (deadline, order of setting). */
#ifndef NET_TIMERS_H
#define NET_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "net/loop.h"

struct timers {
    struct heap heap;
    struct list due; /* taken from the heap by timers_fire, not fired yet */
};

void timers_init(struct timers *timers);
void timers_close(struct timers *timers); /* forgets what is set */
void timers_set(struct timers *timers, struct loop_timer *timer, uint64_t deadline_ms);
void timers_stop(struct timers *timers, struct loop_timer *timer);
/* False when nothing is set. */
bool timers_first(const struct timers *timers, uint64_t *deadline_ms);
/* Fires what is due now. What the fired ones set waits for the next call, also when it lies in the past, so that a
 * timer that sets itself again cannot hold the loop. True when there was any. */
bool timers_fire(struct timers *timers, uint64_t now_ms);

#endif
