/* A small write made by a thread that would otherwise wait until it is made: it saves the changes of threads that a
 * write through the queue costs (docs/decisions/0008). Only when the device has nothing else to do; what is appended
 * meanwhile gathers. The frame is sealed, in flight and completed like any other: only who calls the kernel differs. */
#ifndef LOG_LOG_ALONE_H
#define LOG_LOG_ALONE_H

#include "log/log_state.h"

#define LOG_ALONE_SIZE_MAX (32u << 10) /* larger frames gain from two writes in flight */

enum log_alone_by {
    /* Neither of these two when the owner wants to hear of stalls: who hangs cannot tell, and who sleeps knows of none.
     */
    LOG_ALONE_APPENDER, /* who waits for its own batch, while the log's thread sleeps or where there is none */
    LOG_ALONE_DRIVER,   /* in a turn that may block */
    LOG_ALONE_LOOP      /* an event loop, while the device is quick (log_pace.h) */
};
/* Writes what gathers, when it is small, nothing comes before it and the rules above allow it. True: it was written, or
 * the log is poisoned; callbacks are ready. The mutex is held, and let go during the write. */
bool log_alone_write(struct hf_log *log, enum log_alone_by by);
/* For an appender that waits: writes its batch when nobody else waits for it; then everything appended so far is
 * acknowledged, or *rc says why not. False when it must go the usual way. The mutex is held, as above. */
bool log_alone_append(struct hf_log *log, int *rc);

#endif
