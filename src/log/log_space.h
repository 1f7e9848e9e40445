/* What gives space back, in one place for the turns: giving up (log_release.h), collection (log_collect.h) and marks
 * (log_retain.h). Driver, the mutex held. */
#ifndef LOG_LOG_SPACE_H
#define LOG_LOG_SPACE_H

#include "log/log_state.h"

/* Takes every step that can be taken. 0, or the error of a submission. */
int log_space_step(struct hf_log *log, uint64_t now_ns);
/* False: the operation is somebody else's. */
bool log_space_complete(struct hf_log *log, const struct io_operation *operation, uint64_t now_ns);
bool log_space_is_busy(const struct hf_log *log); /* something of it is in flight */
uint64_t log_space_deadline_ns(const struct hf_log *log, uint64_t now_ns);
void log_space_close(struct hf_log *log);

#endif
