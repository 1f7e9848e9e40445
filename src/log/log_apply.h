/* Applies the records of frames that were read back to the groups. Distrusts order, not bytes: what contradicts the
 * group's state is a sign of lost records, and is reported as damage of that group.
 *
 * When the front of the log is gone, what was live there comes later, in moved records (log_format.h). A group whose
 * first run is among what is gone is *open* until a reset, a removal, an entry that starts an empty log, or the end:
 *   run        tells the last index; another one than was worked out is a sign of loss
 *   append     follows the last index, also when the entries before it were not seen yet; or it starts anywhere, which
 *              shows that the group was empty and never compacted: then nothing more comes
 *   moved      above the floor, up to the last index: found where it is said to be from now on, whether it is known
 *              already (of the same term and size) or not. It never truncates and never moves the last index
 *   truncate   tells the last index
 *   compact    tells the floor; the entries above it may still come
 *   the end    entries have to be there from the floor to the last: what is not is named, and the group is damaged
 * A group whose life begins in what is left has to have been there from its first run on. */
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
    bool front_missing; /* segments in front were given up: a group's first run may have any number */
    bool in_part;       /* one segment is looked at, and not for what is committed: so nothing in it is doubted */
    bool condensed;     /* from an index file: a hard state may come before entries that preceded it */
    uint64_t holes;     /* unreadable places whose records are not known: any group may have lost something there */
};

/* Where a record stands. */
struct log_apply_place {
    struct log_segment *segment;
    uint64_t offset;
};
/* One record after another, for whoever knows them without frames (log_apply_index.h). A run returns its group, whose
 * last index it tells; NULL when there are too many. */
struct log_group *log_apply_run(struct log_apply *apply, const struct log_run *run, uint64_t last,
                                const struct log_apply_place *place);
void log_apply_record(struct log_apply *apply, struct log_group *group, const struct log_run *run,
                      const struct log_record *record, const struct log_apply_place *place);
/* Would an entry with this index be appended without further ado? */
bool log_apply_continues(const struct log_group *group, uint64_t index);
/* The entry is there no more, and that is reported. */
void log_apply_report_entry(struct log_apply *apply, struct log_group *group, uint64_t index, uint64_t term,
                            const struct log_apply_place *place, const char *reason);
/* A whole frame that passed log_frame_check. */
void log_apply_frame(struct log_apply *apply, struct hf_bytes frame, struct log_segment *segment, uint64_t offset);
/* A damaged piece of a segment: applies what is readable and reports the rest. */
void log_apply_salvage(struct log_apply *apply, struct hf_bytes bytes, struct log_segment *segment, uint64_t offset);
/* At the end: marks the groups that cannot be shown to be whole. */
void log_apply_finish(struct log_apply *apply);

#endif
