/* Whether the calling thread is inside a callback of a log, of any: there nothing waits for a log. Its own could not go
 * on, since the driver is beneath the callback; another one's callbacks may at that moment wait for this one. */
#ifndef LOG_LOG_CALLBACK_H
#define LOG_LOG_CALLBACK_H

void log_callback_enter(void);
void log_callback_leave(void);
/* 0, or HF_EUNSUPPORTED inside a callback. what: "wait", say. */
int log_callback_check(const char *what);

#endif
