#include "log/log_apply.h"
#include "log/log_repair.h"

#include <assert.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"

/* A gap of lost entries is reported one by one up to this many. */
#define LOG_APPLY_GAP_REPORTED_MAX 1024u

static bool log_apply_is_reported(const struct log_apply *apply, uint64_t group, uint64_t index)
{
    for (size_t i = 0; i < apply->damages->count; i++) {
        if (apply->damages->items[i].group == group && apply->damages->items[i].index == index) {
            return true;
        }
    }
    return false;
}

static void log_apply_report(struct log_apply *apply, struct log_group *group, uint64_t index, uint64_t term,
                             const struct log_apply_place *place, const char *reason)
{
    const struct log_group_bounds *bounds = &group->bounds;
    group->damaged = true;
    group->start_lost |= !bounds->anchored && (group->open || bounds->last == bounds->floor);
    if (log_apply_is_reported(apply, group->id, index)) {
        return;
    }
    struct hf_log_damage damage =
        log_damage_of(group->id, index, term, place->segment->header.number, place->offset, reason);
    damage.commit = group->hard_state.commit;
    log_damage_add(apply->damages, &damage);
}

static uint64_t log_apply_next_index(const struct log_group *group)
{
    return group->bounds.last == HF_LOG_INDEX_MAX ? HF_LOG_INDEX_MAX : group->bounds.last + 1;
}

static void log_apply_lost(struct log_apply *apply, struct log_group *group, const struct log_apply_place *place,
                           const char *reason)
{
    group->state_lost = true;
    log_apply_report(apply, group, log_apply_next_index(group), 0, place, reason);
}

/* Records say things of what is committed that cannot both be true: no entry can heal that. */
static void log_apply_contradict(struct log_apply *apply, struct log_group *group, const struct log_apply_place *place,
                                 const char *reason)
{
    group->contradicted = true;
    log_apply_lost(apply, group, place, reason);
}

/* Entries above the commit index may have been replaced by records that were lost. They are named one by one, where
 * they lie, so that their segments stay until the damage is healed. */
static void log_apply_doubt(struct log_apply *apply, struct log_group *group)
{
    const struct log_group_bounds *bounds = &group->bounds;
    uint64_t index = group->hard_state.commit > bounds->floor ? group->hard_state.commit : bounds->floor;
    if (apply->in_part) {
        return;
    }
    for (unsigned told = 0; index < bounds->last && told < LOG_APPLY_GAP_REPORTED_MAX; told++) {
        struct log_location location;
        if (!log_index_next(&group->index, index + 1, &index) || !log_index_find(&group->index, index, &location)) {
            break;
        }
        struct log_apply_place place = {.segment = location.segment, .offset = location.offset};
        log_apply_report(apply, group, index, 0, &place, "the entry may have been replaced by records that are lost");
    }
    log_damage_forget_terms(apply->damages, group->id, group->hard_state.commit + 1);
    log_group_doubt(group);
}

static void log_apply_gap(struct log_apply *apply, struct log_group *group, uint64_t index, uint64_t term,
                          const struct log_apply_place *place);

/* Records were lost before a place that tells the group's last index. */
static void log_apply_resume(struct log_apply *apply, struct log_group *group, uint64_t last, uint64_t term,
                             const struct log_apply_place *place)
{
    const struct log_group_bounds *bounds = &group->bounds;
    log_apply_doubt(apply, group);
    if (last > bounds->last) {
        if (last < HF_LOG_INDEX_MAX) {
            log_apply_gap(apply, group, last + 1, term, place);
        }
        log_group_extend(group, last);
    } else if (last < bounds->last && last >= bounds->floor && last >= group->hard_state.commit) {
        log_group_truncate(group, last + 1);
    } else if (last < bounds->last) {
        log_apply_contradict(apply, group, place, "the group's log ends before what was committed");
    }
}

/* Finds the group of a run, and checks that none of its runs is missing. */
struct log_group *log_apply_run(struct log_apply *apply, const struct log_run *run, uint64_t last,
                                const struct log_apply_place *place)
{
    struct log_group *group = log_groups_get(apply->groups, run->group);
    if (group == NULL) {
        return NULL;
    }
    bool unknown = group->incarnation == 0 && group->tombstone == 0;
    bool removed_before = group->incarnation == 0 && group->tombstone == run->incarnation;
    uint64_t expected = (removed_before ? group->tombstone_run : group->run_number) + 1;
    if (group->incarnation != 0 && group->incarnation != run->incarnation) {
        log_group_remove(group, NULL);
        log_apply_lost(apply, group, place, "the removal of the group's earlier life is missing");
        if (run->number != 1) {
            log_apply_resume(apply, group, last, run->term, place);
        }
    } else if (unknown && apply->front_missing && run->number > 1) {
        log_group_begin_open(group, last);
        if (apply->holes > 0) {
            log_apply_lost(apply, group, place, "an unreadable part of the log may have held records of the group");
        }
    } else if (run->number != expected && !MUTATED(LOG_RUNS_NOT_COUNTED)) {
        log_apply_lost(apply, group, place, "records of the group are missing before this place");
        log_apply_resume(apply, group, last, run->term, place);
    } else if (last != group->bounds.last && !MUTATED(LOG_RUNS_NOT_COUNTED)) {
        log_apply_lost(apply, group, place, "the group's last index is another than its records say");
        log_apply_resume(apply, group, last, run->term, place);
    }
    if (!group->bounds.exists || group->hard_state_segment == NULL) {
        log_group_anchor(group, place->segment);
    }
    log_group_incarnate(group, run->incarnation);
    group->run_number = run->number;
    group->holes_cleared = apply->holes;
    return group;
}

static void log_apply_gap(struct log_apply *apply, struct log_group *group, uint64_t index, uint64_t term,
                          const struct log_apply_place *place)
{
    uint64_t missing = index - group->bounds.last - 1;
    for (uint64_t i = 0; i < missing && i < LOG_APPLY_GAP_REPORTED_MAX; i++) {
        uint64_t term_missing = group->bounds.term_last == term ? term : 0;
        log_apply_report(apply, group, group->bounds.last + 1 + i, term_missing, place, "the entry is missing");
    }
}

static struct log_location log_apply_location(const struct log_run *run, const struct log_record *record,
                                              const struct log_apply_place *place)
{
    return (struct log_location){
        .segment = place->segment,
        .offset = place->offset,
        .size = (uint32_t)record->body.size + log_record_wide_size(record->timestamp_ms),
        .term = run->term,
    };
}

static void log_apply_append(struct log_apply *apply, struct log_group *group, const struct log_run *run,
                             const struct log_record *record, const struct log_apply_place *place)
{
    struct log_group_bounds *bounds = &group->bounds;
    struct log_location location = log_apply_location(run, record, place);
    bool starts_anywhere = group->open && !bounds->anchored && group->entry_count == 0 && !group->start_lost;
    if (starts_anywhere && record->index != log_apply_next_index(group)) {
        bounds->floor = bounds->last = record->index - 1;
        group->open = false;
    }
    bool free_start = bounds->last == bounds->floor && !bounds->anchored && !group->start_lost;
    if (!free_start && record->index <= bounds->floor) {
        log_apply_contradict(apply, group, place, "an entry below the group's first index");
        return;
    }
    if (!free_start && record->index <= bounds->last) {
        group->contradicted |= record->index <= group->hard_state.commit;
        log_group_truncate(group, record->index);
        log_apply_lost(apply, group, place, "a truncation of the group is missing");
    } else if (!free_start && record->index != bounds->last + 1) {
        log_apply_gap(apply, group, record->index, run->term, place);
        log_group_extend(group, record->index - 1);
    }
    log_group_append(group, record->index, &location);
}

static void log_apply_moved(struct log_apply *apply, struct log_group *group, const struct log_run *run,
                            const struct log_record *record, const struct log_apply_place *place)
{
    struct log_location location = log_apply_location(run, record, place);
    struct log_location known;
    if (record->index <= group->bounds.floor || record->index > group->bounds.last) {
        log_apply_lost(apply, group, place, "a moved entry outside the group's log");
        return;
    }
    if (log_repair_displaces(group, apply->damages, record->index, location.term)) {
        log_apply_report(apply, group, record->index, location.term, place, "what was there has been displaced");
        log_apply_doubt(apply, group);
    }
    bool found = log_index_find(&group->index, record->index, &known);
    if (found && (known.term != location.term || (known.offset != 0 && known.size != location.size))) {
        log_apply_lost(apply, group, place, "a moved entry is another one than was appended");
        log_apply_doubt(apply, group);
        found = log_index_find(&group->index, record->index, &known);
        group->contradicted |= found;
    }
    if (!found) {
        log_group_insert(group, record->index, &location); /* its first copy is gone, or was lost */
    } else if (known.term == location.term && (known.offset == 0 || known.size == location.size)) {
        log_group_move(group, record->index, &location);
    }
    if (record->index == group->bounds.last) {
        group->bounds.term_last = location.term;
    }
}

/* A hard state tells the last index, too. */
static void log_apply_hard_state(struct log_apply *apply, struct log_group *group, const struct log_run *run,
                                 const struct log_record *record, const struct log_apply_place *place)
{
    struct hf_hard_state state = {0};
    int rc = log_record_get_hard_state(record->body, &state);
    assert(rc == 0); /* the cursor has checked the body */
    (void)rc;
    if (record->index != group->bounds.last && !apply->condensed) {
        log_apply_lost(apply, group, place, "the group's last index is another than its hard state says");
        log_apply_resume(apply, group, record->index, run->term, place);
    }
    log_group_hard_state(group, state, place->segment);
    group->commit_needed = state.commit < record->index ? state.commit : record->index;
    group->state_lost = false;
}

static void log_apply_compact(struct log_apply *apply, struct log_group *group, uint64_t index, uint64_t term,
                              struct hf_bytes name, const struct log_apply_place *place)
{
    struct log_group_bounds *bounds = &group->bounds;
    if (name.size > 0) {
        log_group_name_snapshot(group, name);
    }
    if (index == bounds->floor) {
        bounds->anchored = true;
        bounds->floor_term = term;
        log_group_move_floor(group, place->segment);
        return;
    }
    if (index < bounds->floor) {
        return;
    }
    if (index > bounds->last) {
        log_apply_lost(apply, group, place, "entries up to the floor are missing");
        log_group_reset(group, index, term, name, place->segment);
        group->damaged = true;
        return;
    }
    log_group_compact(group, index, term, place->segment);
}

bool log_apply_continues(const struct log_group *group, uint64_t index)
{
    const struct log_group_bounds *bounds = &group->bounds;
    bool free_start = bounds->last == bounds->floor && !bounds->anchored && !group->open;
    return free_start || (bounds->last != HF_LOG_INDEX_MAX && index == bounds->last + 1);
}

void log_apply_report_entry(struct log_apply *apply, struct log_group *group, uint64_t index, uint64_t term,
                            const struct log_apply_place *place, const char *reason)
{
    log_apply_report(apply, group, index, term, place, reason);
}

void log_apply_record(struct log_apply *apply, struct log_group *group, const struct log_run *run,
                      const struct log_record *record, const struct log_apply_place *place)
{
    struct hf_bytes name = {0};
    uint64_t term = 0;
    int rc = 0;
    if (apply->observe != NULL && record->kind <= LOG_RECORD_REMOVED) {
        apply->observe(apply->observe_arg, run, record, place->segment, place->offset);
    }
    switch (record->kind) {
    case LOG_RECORD_APPEND:
        log_apply_append(apply, group, run, record, place);
        return;
    case LOG_RECORD_MOVED:
        log_apply_moved(apply, group, run, record, place);
        return;
    case LOG_RECORD_TRUNCATE:
        log_damage_forget_terms(apply->damages, group->id, record->index);
        log_group_truncate(group, record->index);
        return;
    case LOG_RECORD_HARD_STATE:
        log_apply_hard_state(apply, group, run, record, place);
        return;
    case LOG_RECORD_RESET:
    case LOG_RECORD_COMPACT:
        rc = log_record_get_floor(record->body, &term, &name);
        assert(rc == 0 && record->index < UINT64_MAX); /* likewise */
        if (record->kind == LOG_RECORD_RESET) {
            log_group_reset(group, record->index, term, name, place->segment);
        } else {
            log_apply_compact(apply, group, record->index, term, name, place);
        }
        return;
    case LOG_RECORD_REMOVED:
        log_group_remove(group, place->segment);
        return;
    default:
        return; /* padding, and what may be ignored */
    }
}

void log_apply_frame(struct log_apply *apply, struct hf_bytes frame, struct log_segment *segment, uint64_t offset)
{
    struct log_frame_cursor cursor;
    struct log_record record;
    struct log_group *groups[LOG_FORMAT_RUN_SLOTS];
    size_t at = 0;
    log_frame_cursor_open(&cursor, frame, segment->header.incarnation, offset);
    while (log_frame_next(&cursor, &record, &at) == 0) {
        struct log_apply_place place = {.segment = segment, .offset = offset + at};
        if (record.kind == LOG_RECORD_RUN) {
            groups[log_frame_slot(&cursor)] = log_apply_run(apply, &cursor.run, record.index, &place);
        } else if (cursor.run.group != 0 && groups[log_frame_slot(&cursor)] != NULL) {
            log_apply_record(apply, groups[log_frame_slot(&cursor)], &cursor.run, &record, &place);
        }
    }
}

/* ---- damaged pieces ---- */

struct log_salvage {
    struct log_apply *apply;
    struct log_segment *segment;
    uint64_t offset; /* of the piece in its file */
    struct log_frame_cursor cursor;
    struct log_group
        *groups[LOG_FORMAT_RUN_SLOTS]; /* of cursor.runs, where one is there; NULL: of a life that is over */
    struct log_frame_header header;
    bool header_good;
    bool reported;
};

static struct log_apply_place log_salvage_place(const struct log_salvage *salvage, size_t at)
{
    return (struct log_apply_place){.segment = salvage->segment, .offset = salvage->offset + at};
}

static void log_salvage_report_unknown(struct log_salvage *salvage, size_t at, const char *reason)
{
    struct hf_log_damage damage = log_damage_of(0, 0, 0, salvage->segment->header.number, salvage->offset + at, reason);
    log_damage_add(salvage->apply->damages, &damage);
    salvage->reported = true;
}

/* The group that a record says it belongs to, when its run is lost. */
static struct log_group *log_salvage_find_group(const struct log_salvage *salvage, uint32_t check)
{
    struct log_group *found = NULL;
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    while (map_next(&salvage->apply->groups->by_id, &position, &id, &value)) {
        struct log_group *group = value;
        if (group->incarnation != 0 && group->check == check) {
            if (found != NULL) {
                return NULL; /* two that fit: neither is known */
            }
            found = group;
        }
    }
    return found;
}

/* A frame begins at cursor.at, if anything does. */
static void log_salvage_begin_frame(struct log_salvage *salvage)
{
    size_t at = salvage->cursor.at;
    const uint8_t *bytes = salvage->cursor.frame.data;
    log_frame_forget_runs(&salvage->cursor);
    salvage->cursor.record_count = 0;
    salvage->cursor.trailer_seen = false;
    salvage->header_good =
        salvage->cursor.frame.size - at >= LOG_FORMAT_FRAME_HEADER_SIZE &&
        log_frame_get_header(bytes + at, salvage->segment->header.incarnation, salvage->segment->header.number,
                             salvage->offset + at, salvage->cursor.frame.size - at, &salvage->header);
    if (!salvage->header_good) {
        log_salvage_report_unknown(salvage, at, "the header of a frame is unreadable");
    }
    salvage->cursor.at += LOG_FORMAT_FRAME_HEADER_SIZE;
}

static void log_salvage_good(struct log_salvage *salvage, const struct log_record *record, size_t at)
{
    struct log_apply_place place = log_salvage_place(salvage, at);
    if (record->kind == LOG_RECORD_TRAILER) {
        salvage->cursor.at = log_format_align_block(salvage->cursor.at);
        if (salvage->cursor.at < salvage->cursor.frame.size) {
            log_salvage_begin_frame(salvage);
        }
        return;
    }
    if (record->kind == LOG_RECORD_RUN) {
        salvage->groups[log_frame_slot(&salvage->cursor)] =
            log_apply_run(salvage->apply, &salvage->cursor.run, record->index, &place);
        return;
    }
    const struct log_run *run = &salvage->cursor.run;
    struct log_group *group = run->group != 0 ? salvage->groups[log_frame_slot(&salvage->cursor)] : NULL;
    if (group != NULL) {
        log_apply_record(salvage->apply, group, run, record, &place);
        return;
    }
    group = log_salvage_find_group(salvage, record->group_check);
    if (group != NULL) {
        salvage->reported = true;
        group->state_lost = true;
        bool entry = record->kind == LOG_RECORD_APPEND || record->kind == LOG_RECORD_MOVED;
        log_apply_report(salvage->apply, group, entry ? record->index : 0, record->term_low, &place,
                         "what names the group and term of this record is unreadable");
    } else {
        log_salvage_report_unknown(salvage, at, "records of an unknown group");
        salvage->apply->holes++;
    }
}

/* Records of any group with a run in the frame may have been there; of another one only behind a run record, whose
 * number the next one tells to be missing. False: no group has a run in the frame. */
static bool log_salvage_hole(struct log_salvage *salvage, const struct log_apply_place *place)
{
    const struct log_runs *runs = &salvage->cursor.runs;
    bool is_known = false;
    for (unsigned slot = 0; slot < LOG_FORMAT_RUN_SLOTS; slot++) {
        struct log_group *group = log_runs_has(runs, slot) ? salvage->groups[slot] : NULL;
        if (group != NULL) {
            is_known = true;
            log_apply_lost(salvage->apply, group, place, "unreadable records");
            log_apply_doubt(salvage->apply, group);
            if (MUTATED(LOG_HOLE_OF_ONE_GROUP)) {
                break;
            }
        }
    }
    return is_known;
}

/* A bad append that opened its run: the run is believed if the check of its group and half of its term, which stand in
 * the header, agree with it, and it is the next one of a group that is known, with its next entry, or the first one of
 * a group with its first entry. The other half of a term hardly ever changes: it has to be that of the entry before. */
static void log_salvage_bad_opening(struct log_salvage *salvage, const struct log_record *claimed,
                                    const struct log_apply_place *place)
{
    struct log_run run;
    if (log_record_get_run(claimed->run, &run) != 0 || claimed->index == 0 ||
        claimed->group_check != log_format_group_check(run.group, run.incarnation) ||
        claimed->term_low != (uint32_t)run.term) {
        return;
    }
    struct log_group *group = log_groups_find(salvage->apply->groups, run.group);
    uint64_t before = group != NULL ? group->bounds.term_last : 0;
    bool is_first = (group == NULL || (group->incarnation == 0 && group->tombstone == 0)) && run.number == 1 &&
                    claimed->index == 1 && !salvage->apply->front_missing;
    bool is_next = group != NULL && group->incarnation == run.incarnation && run.number == group->run_number + 1 &&
                   claimed->index == log_apply_next_index(group) && run.term >= before;
    if (((is_first || is_next) && run.term >> 32 == before >> 32) || MUTATED(LOG_OPENING_BELIEVED)) {
        log_runs_put(&salvage->cursor.runs, &run, claimed->group_check);
        salvage->groups[log_runs_slot(claimed->group_check)] =
            log_apply_run(salvage->apply, &run, claimed->index - 1, place);
    }
}

/* The record at `at` is bad; the next good one is at `end`. Whose was it? Its own header is believed where independent
 * facts agree with it: it ends where the next good record begins, and its group has a run in the frame. */
static void log_salvage_bad(struct log_salvage *salvage, size_t at, size_t end)
{
    struct log_apply_place place = log_salvage_place(salvage, at);
    struct log_record claimed;
    size_t size = 0;
    const uint8_t *bytes = salvage->cursor.frame.data;
    enum log_record_result result =
        log_record_get(bytes_of(bytes + at, salvage->cursor.frame.size - at), 0, &claimed, &size);
    bool ends_right = result != LOG_RECORD_SHORT && at + size == end;
    if (ends_right && claimed.run.size > 0) {
        log_salvage_bad_opening(salvage, &claimed, &place);
    }
    const struct log_run *run = ends_right ? log_runs_find(&salvage->cursor.runs, claimed.group_check) : NULL;
    struct log_group *group = run != NULL ? salvage->groups[log_runs_slot(claimed.group_check)] : NULL;
    salvage->reported = true;
    if (group != NULL) {
        bool follows = claimed.index == log_apply_next_index(group);
        bool entry = claimed.kind == LOG_RECORD_APPEND && claimed.index != 0 && follows &&
                     claimed.term_low == (uint32_t)run->term;
        bool moved = claimed.kind == LOG_RECORD_MOVED && claimed.index > group->bounds.floor &&
                     claimed.index <= group->bounds.last && claimed.term_low == (uint32_t)run->term;
        if (entry) {
            log_group_append_lost(group, claimed.index, run->term);
        }
        if (entry || moved) {
            log_apply_report(salvage->apply, group, claimed.index, run->term, &place, "checksum of the entry");
        } else {
            log_apply_lost(salvage->apply, group, &place, "checksum of a record");
            log_apply_doubt(salvage->apply, group);
        }
        return;
    }
    bool only_trailer =
        salvage->header_good && salvage->cursor.record_count + 1 == salvage->header.record_count &&
        salvage->offset + at + LOG_FORMAT_TRAILER_SIZE == salvage->header.place.offset + salvage->header.content_size;
    if (only_trailer) {
        log_salvage_report_unknown(salvage, at, "the trailer of a frame is unreadable");
        return;
    }
    salvage->apply->holes++;
    if (!log_salvage_hole(salvage, &place)) {
        log_salvage_report_unknown(salvage, at, "unreadable records");
    }
}

void log_apply_salvage(struct log_apply *apply, struct hf_bytes bytes, struct log_segment *segment, uint64_t offset)
{
    struct log_salvage salvage = {.apply = apply, .segment = segment, .offset = offset};
    struct log_record record;
    size_t at = 0;
    if (bytes.size == 0) {
        log_salvage_report_unknown(&salvage, 0, "a part of the log is missing");
        apply->holes++;
        return;
    }
    log_frame_cursor_open(&salvage.cursor, bytes, segment->header.incarnation, offset);
    salvage.cursor.at = 0;
    log_salvage_begin_frame(&salvage);
    while (salvage.cursor.at < bytes.size) {
        if (log_frame_next(&salvage.cursor, &record, &at) == 0) {
            log_salvage_good(&salvage, &record, at);
            continue;
        }
        at = salvage.cursor.at;
        log_frame_resynchronise(&salvage.cursor);
        log_salvage_bad(&salvage, at, salvage.cursor.at);
    }
    if (!salvage.reported) {
        log_salvage_report_unknown(&salvage, 0, "a frame is damaged, its records are whole");
    }
}

/* Whatever was said to be live must have been seen by now. */
static void log_apply_check_whole(struct log_apply *apply, struct log_group *group, const struct log_apply_place *place)
{
    const struct log_group_bounds *bounds = &group->bounds;
    uint64_t missing = bounds->last - bounds->floor - group->entry_count;
    uint64_t index = bounds->floor + 1;
    for (uint64_t told = 0; told < missing && told < LOG_APPLY_GAP_REPORTED_MAX; index++) {
        uint64_t present = 0;
        bool found = log_index_next(&group->index, index, &present);
        if (!found || present != index) {
            log_apply_report(apply, group, index, 0, place, "the entry is missing");
            told++;
        }
    }
}

void log_apply_finish(struct log_apply *apply)
{
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    while (map_next(&apply->groups->by_id, &position, &id, &value)) {
        struct log_group *group = value;
        struct log_segment nowhere = {0};
        struct log_apply_place place = {.segment = &nowhere};
        log_group_settle(group);
        if (!group->bounds.exists) {
            /* What came after its removal may have been a new life of it. */
            group->state_lost = group->removed && group->holes_cleared < apply->holes && !MUTATED(LOG_LOST_LIFE_UNTOLD);
            continue;
        }
        log_apply_check_whole(apply, group, &place);
        if (group->holes_cleared < apply->holes) {
            log_apply_lost(apply, group, &place, "an unreadable part of the log may have held records of the group");
            log_apply_doubt(apply, group);
        }
        if (group->commit_needed > group->bounds.last) {
            log_apply_report(apply, group, log_apply_next_index(group), 0, &place,
                             "the log ends before the persisted commit index");
        }
        group->damaged = !log_group_is_whole(group);
        if (!group->damaged) {
            log_damage_forget_group(apply->damages, id); /* healed by what came later */
        }
        group->durable = group->bounds.last;
    }
}
