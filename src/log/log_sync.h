/* Syncs under the policies that do not write durably (interval, none): one at a time, segment by segment, of everything
 * that was written when it began. The log's mutex is held. */
#ifndef LOG_LOG_SYNC_H
#define LOG_LOG_SYNC_H

#include "log/log_writer.h"

/* Somebody wants everything up to there to be synced. */
void log_sync_wish(struct log_writer *writer, uint64_t position);
/* One could begin now: something was written that none covers, and all that comes before it. */
bool log_sync_is_possible(const struct log_writer *writer);
/* Begins one. Driver. */
void log_sync_start(struct log_writer *writer);
/* The sync of a segment is done: the next one, or the end. Driver. */
void log_sync_completed(struct log_writer *writer);

#endif
