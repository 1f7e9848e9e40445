/* How the driver's turns are run; log.c. */
#ifndef LOG_LOG_DRIVE_H
#define LOG_LOG_DRIVE_H

#include "log/log_state.h"

/* May block for a write that it makes by itself: a driver of its own, or an event loop. */
enum log_turn_kind { LOG_TURN_POLLS, LOG_TURN_MAY_BLOCK, LOG_TURN_HERE };
/* One turn; waits up to timeout_ns for something to reap. Returns how many callbacks ran. Driver. */
unsigned log_drive_turn(struct hf_log *log, uint64_t timeout_ns, enum log_turn_kind kind);
/* How long the driver may sleep; notes that it does. Driver. */
uint64_t log_drive_sleep_ns(struct hf_log *log);
/* The caller's loop goes to sleep, or runs a turn that is due at once: notes until when it needs none, so that it is
 * woken for what comes before. Driver. The mutex is held. */
void log_drive_rest(struct hf_log *log);
/* The driver itself has appended, and a frame is full: it goes to the device now and not with the next turn, so that
 * the device works while more is encoded. True: io_queue_flush it, without the mutex. The mutex is held. */
bool log_drive_push(struct hf_log *log);
/* A turn would find something to do now, or something that has ended. The mutex is held. */
bool log_drive_is_due(struct hf_log *log, uint64_t now_ns);
/* The driver sleeps although there is something to do: io_queue_wake it, without the mutex. The mutex is held. */
bool log_drive_needs_wake(struct hf_log *log);

#endif
