/* What is damaged, for whoever asks. Guarded by the log's mutex. */
#ifndef LOG_LOG_DAMAGE_H
#define LOG_LOG_DAMAGE_H

#include <stddef.h>

#include "holdfast/log.h"

#define LOG_DAMAGE_COUNT_MAX 65536u /* beyond it only the groups' marks grow */

struct log_damages {
    struct hf_log_damage *items;
    size_t count;
    size_t capacity;
};

/* False: it was known, or there are too many. */
bool log_damage_add(struct log_damages *damages, const struct hf_log_damage *damage);
/* What is known of this entry of the group; NULL: nothing. */
const struct hf_log_damage *log_damage_find(const struct log_damages *damages, uint64_t group, uint64_t index);
/* Entries of the group from this one on are others than were known. */
void log_damage_forget_terms(struct log_damages *damages, uint64_t group, uint64_t from);
/* The entry is there again. */
void log_damage_forget_entry(struct log_damages *damages, uint64_t group, uint64_t index);
/* The group is whole again. */
void log_damage_forget_group(struct log_damages *damages, uint64_t group);
/* Fills a damage; the reason is cut to its field. */
struct hf_log_damage log_damage_of(uint64_t group, uint64_t index, uint64_t term, uint64_t segment, uint64_t offset,
                                   const char *reason);
void log_damage_close(struct log_damages *damages);

#endif
