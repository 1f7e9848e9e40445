/* Whether a batch may be applied: each operation against the state that the operations before it would leave, without
 * changing anything. What passes here cannot fail later. */
#ifndef LOG_LOG_CHECK_H
#define LOG_LOG_CHECK_H

#include "log/log_batch.h"
#include "log/log_damage.h"
#include "log/log_group.h"

/* turn: a number that no earlier check had. *writes: whether anything is to be written at all (a batch of nothing but
 * no-ops is a barrier). Errors: HF_ECONFLICT, HF_ECOMPACTED, HF_ECORRUPT (damaged group), HF_EBUSY (a snapshot is being
 * installed), HF_EINVAL, HF_ETOOBIG. */
int log_check_batch(struct log_groups *groups, const struct log_damages *damages, const struct hf_log_batch *batch,
                    uint64_t turn, bool *writes);

/* True when a plain, non-empty batch may be applied, found out by its ends alone. False: log_check_batch decides. */
bool log_check_plain(struct log_groups *groups, const struct hf_log_batch *batch);

/* Whether an operation changes nothing on a group with these bounds, so that it is not written. */
bool log_check_is_noop(const struct log_group_bounds *bounds, const struct log_operation *operation);

#endif
