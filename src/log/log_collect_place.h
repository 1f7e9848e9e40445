/* What collection moves, piece by piece: an entry from its bytes, the states of a group from memory. The caller holds
 * the log's mutex, except for reading items. */
#ifndef LOG_LOG_COLLECT_PLACE_H
#define LOG_LOG_COLLECT_PLACE_H

#include "log/log_group.h"
#include "log/log_segment.h"

struct hf_log;

/* An entry that was live when it was planned. */
struct log_collect_item {
    uint64_t group;
    uint64_t incarnation;
    uint64_t index;
    struct log_location location; /* in the victim */
    uint8_t *record;              /* owned: as it was read, header and all */
};

static inline uint64_t log_collect_item_end(const struct log_collect_item *item)
{
    return item->location.offset + log_record_size(item->location.size);
}
/* Items [at, end) lie close enough together to be read at once. */
size_t log_collect_item_span(const struct log_collect_item *items, size_t at, size_t count);
/* Verifies the record at its place and keeps a copy. */
int log_collect_item_take(struct log_collect_item *item, const uint8_t *bytes, uint64_t segment_incarnation);
void log_collect_items_close(struct log_collect_item *items, size_t count);

/* The group of the log that has the same life as one that a scan found; NULL: there is none any more. */
struct log_group *log_collect_real_group(struct hf_log *log, const struct log_group *found);

/* Both: 0, also when it is not live any more; HF_ENOSPACE, HF_EBUSY: nothing changed. */
int log_collect_place_entry(struct hf_log *log, const struct log_collect_item *item, const struct log_segment *victim);
int log_collect_place_states(struct hf_log *log, uint64_t group, const struct log_segment *victim);

#endif
