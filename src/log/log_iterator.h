/* Iterators as the log knows them: what it tells those that are open when a batch changes what they look at. Guarded by
 * the log's mutex but for what is the iterator's own thread's. */
#ifndef LOG_LOG_ITERATOR_H
#define LOG_LOG_ITERATOR_H

#include "holdfast/log.h"
#include "log/log_batch.h"

/* The batch was applied: iterators of groups that it truncated, reset or removed hear of it. The mutex is held. */
void log_iterator_note(struct hf_log *log, const struct hf_log_batch *batch);

#endif
