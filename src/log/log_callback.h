/* Who is inside one of the log's callbacks: it must not wait for the log, since the driver that would go on is beneath
 * it. Per thread; a callback of one log may drive another one. */
#ifndef LOG_LOG_CALLBACK_H
#define LOG_LOG_CALLBACK_H

#include <stdbool.h>

#include "log/log_state.h"

/* On the stack of whoever calls back. */
struct log_callback {
    const struct hf_log *log;
    struct log_callback *outer;
};

void log_callback_enter(struct log_callback *callback, const struct hf_log *log);
void log_callback_leave(struct log_callback *callback);
/* 0, or HF_EUNSUPPORTED where the calling thread is inside a callback of this log. what: "wait", say. */
int log_callback_check(const struct hf_log *log, const char *what);

#endif
