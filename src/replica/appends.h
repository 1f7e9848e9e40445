/* What the engine wants on disk, on its way there: one batch of the log per step (truncate, entries, hard state), in
 * order, and what became of each.
 *
 *   appends_write → hf_log_append → in flight → done → callbacks.persisted
 *                 ↘ HF_EBUSY, HF_ENOSPACE: waiting, in order, until appends_retry
 *
 * Two questions are answered here. Up to where may PERSISTED_ENTRIES be reported: an append knows its own last entry,
 * and a later truncation shortens that (rule 3). And which messages may leave: a message that was born after a
 * change of term or vote waits for the append of that change (rule 1); the log acknowledges in order, so one number
 * tells. */
#ifndef REPLICA_APPENDS_H
#define REPLICA_APPENDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "holdfast/log.h"

/* Entries of one step, in bytes of payload: what one AppendEntries or one proposal may carry. */
#define APPENDS_SIZE_MAX (132ull << 20)
/* Beside the payload, what an entry takes in the log at least. The log counts what it appends against what was
 * reserved, so to reserve more than it takes would lose space bit by bit; what is missing comes from the log's
 * headroom. */
#define APPENDS_ENTRY_OVERHEAD_BYTES 32u

struct appends_callbacks {
    /* An append ended. result 0: durable, and so are the group's entries up to last_index (0: it had none, or none of
     * them stands any more). Otherwise the log's error: nothing later will become durable either. */
    void (*ended)(void *arg, int result, uint64_t last_index);
};

struct appends {
    struct hf_log *log; /* lent */
    uint64_t group;
    struct hf_log_batch *batch; /* reused */
    struct list in_flight;
    struct list waiting;
    uint64_t sequence_last;          /* of the newest append */
    uint64_t sequence_durable;       /* of the newest that is durable */
    uint64_t sequence_promised;      /* of the newest that changed term or vote */
    uint64_t last_index;             /* of the log with everything written here */
    uint64_t durable_index;          /* ≤ last_index */
    struct hf_hard_state hard_state; /* as written last */
    struct appends_callbacks callbacks;
    void *arg;
};

struct appends_change {
    uint64_t first_index; /* of the entries; entries from here on are removed first */
    const struct hf_entry *entries;
    unsigned entry_count;
    uint64_t term; /* hard state, as the engine has it */
    uint64_t vote;
    uint64_t commit;
};

void appends_open(struct appends *appends, struct hf_log *log, uint64_t group, const struct hf_log_group_state *state,
                  const struct appends_callbacks *callbacks, void *arg);
/* Appends in flight go on in the log and end without a callback. */
void appends_close(struct appends *appends);

/* What the engine accepted must get into the log sooner or later. The queue of the log may be full for the moment, and
 * so may the disk in spite of what was reserved (the engine's own barrier reserves nothing): then it waits, and all
 * that comes after it. Nothing of it is reported or acknowledged meanwhile.
 *
 * Writes what changed. Term and vote alone cause a write; the commit index goes along when there is one. The first
 * removed index goes to *truncated (0: none). On an error the log has nothing of it. */
int appends_write(struct appends *appends, const struct appends_change *change, uint64_t *truncated);
/* The whole log of the group restarts behind a snapshot (one batch: reset, hard state). Appends in flight report no
 * entry any more. When the reset is durable, `ended` is called for its sequence number, which goes to *sequence. */
int appends_reset(struct appends *appends, uint64_t index, uint64_t term, struct hf_bytes name,
                  const struct hf_hard_state *hard_state, uint64_t *sequence);
/* Drops the entries up to the index. */
int appends_compact(struct appends *appends, uint64_t index);
/* Tries again what the log had no room for. */
int appends_retry(struct appends *appends);
bool appends_is_blocked(const struct appends *appends);
/* The last index that can be read: below last_index while something waits. */
uint64_t appends_readable_index(const struct appends *appends);

/* Sets space aside before the engine hears of the entries: HF_ENOSPACE. Those that are then written use it up. */
int appends_reserve(struct appends *appends, const struct hf_entry *entries, unsigned entry_count);
/* Gives back what was set aside for entries that were not written after all. */
void appends_unreserve(struct appends *appends, const struct hf_entry *entries, unsigned entry_count);

#endif
