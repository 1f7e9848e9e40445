/* Damage that heals: entries that were lost, or that cannot be read, are put back as another member has them.
 *
 * A group's records tell where its log ends (every run and every hard state does), so that what is missing is known one
 * by one, whatever was lost. Records may have been lost that replaced entries; those that are not known to be committed
 * are therefore missing, too. What is put back is written as *moved*: it never truncates, and the next open finds it
 * where it finds what collection moved. A group is whole when everything between floor and last is there and its hard
 * state is known; recovery comes to the same result from the same records. Guarded by the log's mutex. */
#ifndef LOG_LOG_REPAIR_H
#define LOG_LOG_REPAIR_H

#include "log/log_batch.h"
#include "log/log_state.h"

/* Whether the operation at `at` of the batch may put its entry back. HF_ECONFLICT, HF_ECOMPACTED, HF_EUNAVAILABLE. */
int log_repair_check(const struct log_group *group, const struct log_damages *damages, const struct hf_log_batch *batch,
                     size_t at);
/* Whether the entry shows that what is known of the entries above the commit index is not what was committed: then they
 * are missing, too. Recovery asks the same of moved records. */
bool log_repair_displaces(struct log_group *group, const struct log_damages *damages, uint64_t index, uint64_t term);
/* The entry is there again; the group is marked whole when it was the last. */
void log_repair_apply(struct hf_log *log, struct log_group *group, uint64_t index, const struct log_location *location);
/* As hf_log_missing. */
int log_repair_next(const struct log_group *group, const struct log_damages *damages, uint64_t from, uint64_t *first,
                    uint64_t *last);

#endif
