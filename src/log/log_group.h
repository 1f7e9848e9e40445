/* One Raft group's readable state, and the laws of changing it. The same functions serve live appends and recovery: an
 * operation is checked against the group first (log_check.h), then applied here. Guarded by the log's mutex. */
#ifndef LOG_LOG_GROUP_H
#define LOG_LOG_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "holdfast/log.h"
#include "log/log_index.h"
#include "log/log_record.h"

/* The part of a group that a batch is checked against, operation by operation, before anything changes. */
struct log_group_bounds {
    uint64_t floor;      /* first index − 1 */
    uint64_t last;       /* == floor when empty */
    uint64_t term_last;  /* of the last entry, or of the floor; 0: unknown, any term may follow */
    uint64_t floor_term; /* 0: unknown */
    bool anchored;       /* the floor was set by a reset or by compaction: the next index is not free to choose */
    bool exists;
};

/* A snapshot on its way: where the log restarts. */
struct log_install {
    uint64_t number; /* of the log's installations, from 1 on */
    uint64_t index;
    uint64_t term;
    uint32_t name_size;
    uint8_t name[HF_LOG_SNAPSHOT_NAME_SIZE_MAX];
};

#define LOG_GROUP_ALIGNMENT 64u /* a line of the processor's cache */

/* What every append reads or changes comes first, in two lines of the cache: where many groups take turns, hardly
 * anything of a group is still in the nearest one. */
struct log_group {
    _Alignas(LOG_GROUP_ALIGNMENT) uint64_t id;
    uint64_t incarnation;        /* 0: none chosen yet; log_group_incarnate */
    uint64_t run_number;         /* of the last run record */
    struct log_install *install; /* a snapshot is being installed: log_install.c; NULL: none */
    uint64_t payload_bytes;
    uint64_t entry_count;
    uint32_t check; /* of id and incarnation, as records have it */
    bool damaged;
    bool removed;
    uint64_t durable; /* index */
    struct log_group_bounds bounds;
    struct log_index index;
    uint64_t rewrites;      /* how often entries were taken away from the end: for reads that go on after a while */
    uint64_t tombstone;     /* the incarnation that was removed last; 0: none */
    uint64_t tombstone_run; /* the number of its last run */
    struct hf_hard_state hard_state;
    /* Where the live record is that says that the group exists: its hard state, until there is one the first of its
     * records; or, once it is removed, its removal. NULL: nothing was ever written. */
    struct log_segment *hard_state_segment;
    struct log_segment *floor_segment;
    uint64_t commit_needed; /* entries that must be there: min(commit, last) when the hard state was written */
    uint8_t snapshot_name[HF_LOG_SNAPSHOT_NAME_SIZE_MAX];
    uint32_t snapshot_name_size;
    bool open; /* log_apply: the log's front is gone, entries up to bounds.last may still come as moved records, and
                * unless it is anchored, so may the floor */
    uint64_t applied; /* what hf_log_retain said */

    uint64_t memory_turn; /* log_memory: the append that memory_kept belongs to */
    bool memory_kept;     /* the batch does more than append to it: nothing of it is dropped meanwhile */

    uint64_t check_turn; /* log_check: the append that `checked` belongs to */
    struct log_group_bounds checked;
    uint64_t holes_cleared; /* log_apply: unreadable places up to this one held nothing of the group */
    bool state_lost;        /* a record of unknown kind was lost, and no hard state came after: term and vote of the
                             * group, and where its log ends, are not known */
    bool contradicted;      /* log_apply: records contradict each other on what is committed */
    bool start_lost;        /* log_apply: what was lost may be where the log of the group begins */
    uint64_t unreadable;    /* entries whose place is known and whose bytes are not what they were */
    bool repairing;         /* log_check: the append that is checked repairs it, and does nothing else to it */
};

/* ---- all groups ---- */
struct log_groups {
    struct map by_id;
    struct log_group **small; /* the same by small ids, which most are: found without a probe; NULL: none */
    uint64_t small_count;
    uint64_t *sorted; /* ids, for hf_log_group_next; rebuilt when a group was added */
    size_t sorted_count;
    uint32_t block_entries_max; /* of the groups' indexes */
};
#define LOG_GROUP_COUNT_MAX (1u << 20)
#define LOG_GROUP_SMALL_MAX UINT64_C(65536) /* ids below it are small */

void log_groups_close(struct log_groups *groups);
struct log_group *log_groups_find(struct log_groups *groups, uint64_t id); /* NULL when unknown */
/* Finds or makes it; NULL when there are LOG_GROUP_COUNT_MAX already. */
struct log_group *log_groups_get(struct log_groups *groups, uint64_t id);
/* The group that exists with the smallest id > after. */
struct log_group *log_groups_next(struct log_groups *groups, uint64_t after);

/* ---- changes; the caller has checked that they are allowed ---- */
/* It lives, in this life. */
void log_group_incarnate(struct log_group *group, uint64_t incarnation);
void log_group_append(struct log_group *group, uint64_t index, const struct log_location *location);
/* Many at once, as they lie in a segment with an index file. */
void log_group_append_cold(struct log_group *group, const struct log_index_cold *cold,
                           const struct log_index_item *terms);
/* The entry was there but is lost to damage: the log does not become shorter by it. */
void log_group_append_lost(struct log_group *group, uint64_t index, uint64_t term);
void log_group_truncate(struct log_group *group, uint64_t from);
void log_group_hard_state(struct log_group *group, struct hf_hard_state state, struct log_segment *segment);
void log_group_reset(struct log_group *group, uint64_t index, uint64_t term, struct hf_bytes snapshot_name,
                     struct log_segment *segment);
void log_group_compact(struct log_group *group, uint64_t index, uint64_t term, struct log_segment *segment);
/* segment: where the removal is recorded; NULL: nowhere. */
void log_group_remove(struct log_group *group, struct log_segment *segment);
/* The first record of a group that does not exist yet is written there. */
void log_group_anchor(struct log_group *group, struct log_segment *segment);
/* The same entry, of the same term and size, is at another place from now on. */
void log_group_move(struct log_group *group, uint64_t index, const struct log_location *location);
/* The same floor is recorded at another place from now on. */
void log_group_move_floor(struct log_group *group, struct log_segment *segment);
void log_group_name_snapshot(struct log_group *group, struct hf_bytes name);

/* ---- recovery of groups whose first records are gone: they were moved forward before ---- */
/* The first run that is seen: the group's last index is known, what lies below it may still come. */
void log_group_begin_open(struct log_group *group, uint64_t last);
/* An entry up to bounds.last that was not seen yet. */
void log_group_insert(struct log_group *group, uint64_t index, const struct log_location *location);
void log_group_settle(struct log_group *group); /* nothing more comes */

/* ---- damage (log_repair.h) ---- */

/* Whatever its records say that there is, is there: the damage, if there was any, is healed. */
bool log_group_is_whole(const struct log_group *group);
/* Entries that are not known to be committed may have been replaced by records that were lost: forgets where they are.
 * The log does not become shorter by it. */
void log_group_doubt(struct log_group *group);
/* The group's last index is this one; what lies between is missing. */
void log_group_extend(struct log_group *group, uint64_t last);

/* 0, HF_ECOMPACTED, HF_EUNAVAILABLE, HF_ECORRUPT (in a hole). */
int log_group_term(const struct log_group *group, uint64_t index, uint64_t *out);
/* The number of the oldest segment that holds something live of it; 0: none does. */
uint64_t log_group_oldest_segment(const struct log_group *group);
/* How many segments do. mark: one that no count had before. */
uint64_t log_group_segments_held(const struct log_group *group, uint64_t mark);
void log_group_describe(const struct log_group *group, struct hf_log_group_state *out);

#endif
