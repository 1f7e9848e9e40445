/* One append, from the caller's batch to the gathering frame: checked as a whole, then encoded and applied as a whole.
 * The caller holds the log's mutex. */
#ifndef LOG_LOG_APPEND_H
#define LOG_LOG_APPEND_H

#include "log/log_state.h"

/* 0, or why the log accepts nothing: HF_ECLOSED, HF_EPOISONED, HF_EUNSUPPORTED (read-only). */
int log_append_check_state(const struct hf_log *log);
/* On an error nothing changed. */
int log_append_locked(struct hf_log *log, const struct hf_log_batch *batch, struct log_waiter waiter,
                      enum hf_log_acknowledge acknowledge);

/* Draws an incarnation for a group that nobody gave one. */
void log_append_incarnate(struct hf_log *log, struct log_group *group);

#endif
