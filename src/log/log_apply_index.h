/* Applies what an index file says of a segment to the groups: the same laws as log_apply.h, item by item. Blocks of
 * entries that simply follow become cold blocks as they are; whatever does not follow is applied entry by entry. */
#ifndef LOG_LOG_APPLY_INDEX_H
#define LOG_LOG_APPLY_INDEX_H

#include "log/log_apply.h"
#include "log/log_index_file.h"

/* segment->index_file is set; tables: of it, checked. */
void log_apply_index(struct log_apply *apply, struct hf_bytes tables, struct log_segment *segment);

#endif
