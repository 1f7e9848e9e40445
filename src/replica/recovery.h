/* What START needs to know of a log that is there already: the term of every entry, and every configuration. */
#ifndef REPLICA_RECOVERY_H
#define REPLICA_RECOVERY_H

#include "replica/engine.h"

#define RECOVERY_READ_SIZE_BYTES (1u << 20)
#define RECOVERY_READ_COUNT      4096u
/* The core is told of every entry in one array of 40 bytes each. */
#define RECOVERY_ENTRIES_MAX (1ull << 30)

/* Whether log and snapshot belong together: the log reaches back to the snapshot's end, and has it with the same term.
 * HF_ECORRUPT otherwise: a gap between the two is never passed over (H7). */
int recovery_check(struct hf_log *log, uint64_t group, const struct hf_log_group_state *state,
                   const struct replica_snapshot *snapshot);
/* Reads the group's whole log in batches. HF_ECORRUPT (entry 1 is no configuration, a configuration cannot be decoded),
 * HF_ETOOBIG, and what reading gives. */
int recovery_read(struct hf_log *log, uint64_t group, const struct hf_log_group_state *state, uint64_t snapshot_index,
                  struct engine_history *history, uint64_t *stamp_last_ms);
void recovery_close(struct engine_history *history);
void recovery_close_runs(struct engine_history *history); /* after START only the configurations are needed */

/* Adds an entry behind the last; for the bootstrap entry. */
int recovery_add(struct engine_history *history, const struct hf_entry *entry);

#endif
