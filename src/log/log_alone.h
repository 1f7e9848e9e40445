/* A small write made by the thread that would otherwise sleep until it is made: the driver in a turn that may block, or
 * an appender who waits, when the device has nothing else to do. It saves the changes of threads that a write through
 * the queue costs (docs/decisions/0009). What is appended meanwhile gathers. */
#ifndef LOG_LOG_ALONE_H
#define LOG_LOG_ALONE_H

#include "log/log_state.h"

/* Both: the mutex is held, and let go during the write. */

/* Writes what log_writer_submit left to the driver, if anything. */
void log_alone_drive(struct hf_log *log);
/* Writes what gathers, when nothing comes before it and nobody else waits for it; then everything appended so far is
 * acknowledged, or *rc says why not. False when it must go the usual way. */
bool log_alone_append(struct hf_log *log, int *rc);

#endif
