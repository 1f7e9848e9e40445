/* Opening: from a directory to readable state and a new segment to append to. Never continues in a segment of an
 * earlier process. What no trailer declared durable is copied into the new segment, which appears under its name only
 * when it is whole and synced; until then the directory is as it was, so that recovery may crash at any point and be
 * repeated. */
#ifndef LOG_LOG_RECOVERY_H
#define LOG_LOG_RECOVERY_H

#include "log/log_state.h"

/* Fills groups, segments, damages and, unless read-only, the tail of the writer and the pool's last identity.
 * HF_EBUSY: another process still writes here; HF_ECORRUPT, HF_EVERSION, HF_ENOSPACE, HF_EIO. */
int log_recovery_run(struct hf_log *log);

#endif
