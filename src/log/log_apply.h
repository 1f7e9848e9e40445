/* Applies the records of frames that were read back to the groups. Distrusts order, not bytes: what contradicts the
 * group's state is a sign of lost records, and is reported as damage of that group. */
#ifndef LOG_LOG_APPLY_H
#define LOG_LOG_APPLY_H

#include "log/log_damage.h"
#include "log/log_frame.h"
#include "log/log_group.h"

/* Called for every good record but run records, trailers and padding, before it is applied. */
typedef void log_apply_observe(void *arg, const struct log_run *run, const struct log_record *record,
                               const struct log_segment *segment, uint64_t offset);

struct log_apply {
    struct log_groups *groups;
    struct log_damages *damages;
    log_apply_observe *observe; /* may be NULL */
    void *observe_arg;
    bool front_missing; /* segments in front were deleted: a group's first run may have any number */
    uint64_t holes;     /* unreadable places whose records are not known: any group may have lost something there */
};

/* A whole frame that passed log_frame_check. */
void log_apply_frame(struct log_apply *apply, struct hf_bytes frame, struct log_segment *segment, uint64_t offset);
/* A damaged piece of a segment: applies what is readable and reports the rest. */
void log_apply_salvage(struct log_apply *apply, struct hf_bytes bytes, struct log_segment *segment, uint64_t offset);
/* At the end: marks the groups that cannot be shown to be whole. */
void log_apply_finish(struct log_apply *apply);

#endif
