/* The workloads of log_items.h and their model: rows of batches, each with what the log must hold after it.
 *
 * The model knows only the public header. It shares no code with the log or its other tests. */
#ifndef CONTRACT_LOG_ITEMS_MODEL_H
#define CONTRACT_LOG_ITEMS_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log/log.h"
#include "sim/sim.h"

#define ITEMS_GROUPS      3u
#define ITEMS_BATCHES_MAX 24u
#define ITEMS_ENTRIES_MAX 40u
#define ITEMS_PAYLOAD_MAX (3u << 20)
/* Small, so that the thousands of disks of a workload cost little; a payload of half of it makes rotations. */
#define ITEMS_SEGMENT_SIZE (128u << 10)

/* ---- the model ---- */

struct items_entry {
    uint64_t term;
    uint32_t size;
    uint32_t seed;
};
struct items_group {
    uint64_t floor; /* first − 1 */
    uint64_t floor_term;
    bool floor_term_known;
    uint64_t count;
    struct items_entry entries[ITEMS_ENTRIES_MAX];
    struct hf_hard_state hard_state;
    char name[HF_LOG_SNAPSHOT_NAME_SIZE_MAX + 1];
};
struct items_model {
    struct items_group groups[ITEMS_GROUPS];
};
static const uint64_t items_ids[ITEMS_GROUPS] = {1, 77, HF_LOG_GROUP_MAX};

struct items {
    size_t count;
    size_t width; /* batches outstanding at a time */
    uint32_t seed;
    bool intrudes; /* before each batch one that must be refused */
    struct hf_log_options options;
    struct sim_profile profile;
    struct sim_host_options host;
    struct hf_log_batch *batches[ITEMS_BATCHES_MAX];
    struct items_model models[ITEMS_BATCHES_MAX + 1]; /* after so many batches */
};

/* The payload of a seed; lent until the next call. */
static inline struct hf_bytes items_payload(uint32_t seed, uint32_t size)
{
    static uint8_t bytes[ITEMS_PAYLOAD_MAX + 8];
    assert_true(size <= ITEMS_PAYLOAD_MAX);
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (uint32_t i = 0; i < size; i += 8) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(bytes + i, &state, 8);
    }
    return (struct hf_bytes){bytes, size};
}
static inline struct hf_entry items_entry_of(uint64_t index, const struct items_entry *entry)
{
    /* Types in turn; every seventh has no time, every fifth one that does not fit 48 bits. */
    uint64_t time = entry->seed % 7 == 0 ? 0 : 1700000000000 + entry->seed;
    if (entry->seed % 5 == 0) {
        time = UINT64_MAX - entry->seed;
    }
    return (struct hf_entry){.index = index,
                             .term = entry->term,
                             .timestamp_ms = time,
                             .type = (enum hf_entry_type)(HF_ENTRY_NORMAL + entry->seed % 4),
                             .payload = items_payload(entry->seed, entry->size)};
}

/* ---- building a workload ---- */

static inline void items_begin(struct items *items)
{
    memset(items, 0, sizeof(*items));
    items->width = 1;
    items->profile = sim_profile_calm();
    hf_log_options_init(&items->options);
    items->options.segment_size_bytes = ITEMS_SEGMENT_SIZE;
    items->options.driver = HF_LOG_DRIVE_CALLER;
}
static inline void items_end(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        hf_log_batch_close(items->batches[i]);
    }
    items->count = 0;
}
/* Starts the next batch; the operations that follow go into it. */
static inline void items_batch(struct items *items)
{
    assert_true(items->count < ITEMS_BATCHES_MAX);
    assert_int_equal(hf_log_batch_open(&items->batches[items->count]), 0);
    items->models[items->count + 1] = items->models[items->count];
    items->count++;
}
static inline struct items_group *items_group(struct items *items, unsigned group)
{
    return &items->models[items->count].groups[group];
}
static inline struct hf_log_batch *items_last(struct items *items)
{
    return items->batches[items->count - 1];
}
static inline void items_append(struct items *items, unsigned group, uint64_t count, uint64_t term, uint32_t size)
{
    struct items_group *model = items_group(items, group);
    for (uint64_t i = 0; i < count; i++) {
        assert_true(model->count < ITEMS_ENTRIES_MAX);
        struct items_entry *entry = &model->entries[model->count++];
        *entry = (struct items_entry){.term = term, .size = size, .seed = ++items->seed};
        struct hf_entry bare = items_entry_of(model->floor + model->count, entry);
        assert_int_equal(hf_log_batch_append(items_last(items), items_ids[group], &bare, 1), 0);
    }
}
/* The first entries of a group that has none: they may start anywhere. */
static inline void items_start(struct items *items, unsigned group, uint64_t index, uint64_t term)
{
    struct items_group *model = items_group(items, group);
    assert_true(model->count == 0 && model->floor == 0);
    model->floor = index - 1;
    model->floor_term_known = index == 1;
    items_append(items, group, 1, term, 40);
}
static inline void items_truncate(struct items *items, unsigned group, uint64_t from)
{
    struct items_group *model = items_group(items, group);
    assert_true(from > model->floor);
    if (from <= model->floor + model->count) {
        model->count = from - model->floor - 1;
    }
    assert_int_equal(hf_log_batch_truncate(items_last(items), items_ids[group], from), 0);
}
static inline void items_hard_state(struct items *items, unsigned group, uint64_t term, uint64_t vote, uint64_t commit)
{
    items_group(items, group)->hard_state = (struct hf_hard_state){term, vote, commit};
    assert_int_equal(
        hf_log_batch_hard_state(items_last(items), items_ids[group], items_group(items, group)->hard_state), 0);
}
static inline void items_reset(struct items *items, unsigned group, uint64_t index, uint64_t term, const char *name)
{
    struct items_group *model = items_group(items, group);
    model->count = 0;
    model->floor = index;
    model->floor_term = term;
    model->floor_term_known = true;
    snprintf(model->name, sizeof(model->name), "%s", name);
    assert_int_equal(
        hf_log_batch_reset(items_last(items), items_ids[group], index, term, (struct hf_bytes){name, strlen(name)}), 0);
}
static inline void items_compact(struct items *items, unsigned group, uint64_t index)
{
    struct items_group *model = items_group(items, group);
    assert_true(index <= model->floor + model->count);
    if (index > model->floor) {
        uint64_t gone = index - model->floor;
        model->floor_term = model->entries[gone - 1].term;
        model->floor_term_known = true;
        model->floor = index;
        model->count -= gone;
        memmove(model->entries, model->entries + gone, model->count * sizeof(model->entries[0]));
    }
    assert_int_equal(hf_log_batch_compact(items_last(items), items_ids[group], index), 0);
}
static inline void items_remove(struct items *items, unsigned group)
{
    memset(items_group(items, group), 0, sizeof(struct items_group));
    assert_int_equal(hf_log_batch_remove_group(items_last(items), items_ids[group]), 0);
}

/* ---- comparing a log with a model ---- */

struct items_difference {
    char text[512];
};
#define ITEMS_DIFFER(out, ...)                                   \
    do {                                                         \
        snprintf((out)->text, sizeof((out)->text), __VA_ARGS__); \
        return false;                                            \
    } while (0)

static inline bool items_same_entry(const struct hf_entry *got, const struct hf_entry *wanted,
                                    struct items_difference *out)
{
    if (got->index != wanted->index || got->term != wanted->term || got->type != wanted->type ||
        got->timestamp_ms != wanted->timestamp_ms || got->payload.size != wanted->payload.size) {
        ITEMS_DIFFER(out, "entry %llu: term %llu type %d time %llu size %zu, not term %llu type %d time %llu size %zu",
                     (unsigned long long)got->index, (unsigned long long)got->term, (int)got->type,
                     (unsigned long long)got->timestamp_ms, got->payload.size, (unsigned long long)wanted->term,
                     (int)wanted->type, (unsigned long long)wanted->timestamp_ms, wanted->payload.size);
    }
    if (got->payload.size > 0 && memcmp(got->payload.data, wanted->payload.data, got->payload.size) != 0) {
        ITEMS_DIFFER(out, "entry %llu: other bytes", (unsigned long long)got->index);
    }
    return true;
}
static inline bool items_same_entries(struct hf_log *log, uint64_t id, const struct items_group *model,
                                      struct items_difference *out)
{
    struct hf_log_view view = {0};
    bool same = false;
    int rc =
        model->count == 0 ? 0 : hf_log_read(log, id, model->floor + 1, model->floor + model->count + 1, 0, 0, &view);
    if (rc != 0 || view.count != model->count) {
        snprintf(out->text, sizeof(out->text), "group %llu: a read of %llu entries gives %zu and %s: %s",
                 (unsigned long long)id, (unsigned long long)model->count, view.count, hf_error_name(rc),
                 rc != 0 ? hf_error_text() : "");
        goto done;
    }
    for (uint64_t i = 0; i < model->count; i++) {
        uint64_t term = 0;
        struct hf_entry wanted = items_entry_of(model->floor + 1 + i, &model->entries[i]);
        if (!items_same_entry(&view.entries[i], &wanted, out)) {
            goto done;
        }
        rc = hf_log_term(log, id, wanted.index, &term);
        if (rc != 0 || term != wanted.term) {
            snprintf(out->text, sizeof(out->text), "group %llu: term of %llu is %llu (%s), not %llu",
                     (unsigned long long)id, (unsigned long long)wanted.index, (unsigned long long)term,
                     hf_error_name(rc), (unsigned long long)wanted.term);
            goto done;
        }
    }
    same = true;
done:
    hf_log_view_close(&view);
    return same;
}
static inline bool items_same_group(struct hf_log *log, uint64_t id, const struct items_group *model,
                                    struct items_difference *out)
{
    struct hf_log_group_state state;
    uint64_t term = 0;
    int rc = hf_log_group_state(log, id, &state);
    if (rc != 0) {
        ITEMS_DIFFER(out, "group %llu: state: %s", (unsigned long long)id, hf_error_name(rc));
    }
    if (state.first_index != model->floor + 1 || state.last_index != model->floor + model->count) {
        ITEMS_DIFFER(out, "group %llu: %llu to %llu, not %llu to %llu", (unsigned long long)id,
                     (unsigned long long)state.first_index, (unsigned long long)state.last_index,
                     (unsigned long long)model->floor + 1, (unsigned long long)(model->floor + model->count));
    }
    if (state.durable_index > state.last_index || state.damaged) {
        ITEMS_DIFFER(out, "group %llu: durable %llu of %llu, damaged %d", (unsigned long long)id,
                     (unsigned long long)state.durable_index, (unsigned long long)state.last_index, state.damaged);
    }
    if (memcmp(&state.hard_state, &model->hard_state, sizeof(state.hard_state)) != 0) {
        ITEMS_DIFFER(out, "group %llu: term %llu vote %llu commit %llu, not %llu %llu %llu", (unsigned long long)id,
                     (unsigned long long)state.hard_state.term, (unsigned long long)state.hard_state.vote,
                     (unsigned long long)state.hard_state.commit, (unsigned long long)model->hard_state.term,
                     (unsigned long long)model->hard_state.vote, (unsigned long long)model->hard_state.commit);
    }
    if (state.snapshot_name_size != strlen(model->name) ||
        memcmp(state.snapshot_name, model->name, strlen(model->name)) != 0) {
        ITEMS_DIFFER(out, "group %llu: another snapshot name than %s", (unsigned long long)id, model->name);
    }
    if (model->floor_term_known) {
        rc = hf_log_term(log, id, model->floor, &term);
        if (model->floor > 0 && (rc != 0 || term != model->floor_term || state.floor_term != model->floor_term)) {
            ITEMS_DIFFER(out, "group %llu: term at the floor %llu is %llu or %llu (%s), not %llu",
                         (unsigned long long)id, (unsigned long long)model->floor, (unsigned long long)term,
                         (unsigned long long)state.floor_term, hf_error_name(rc),
                         (unsigned long long)model->floor_term);
        }
    }
    return items_same_entries(log, id, model, out);
}
static inline bool items_same(struct hf_log *log, const struct items_model *model, struct items_difference *out)
{
    for (unsigned group = 0; group < ITEMS_GROUPS; group++) {
        if (!items_same_group(log, items_ids[group], &model->groups[group], out)) {
            return false;
        }
    }
    return true;
}
static inline void items_expect(struct hf_log *log, const struct items_model *model, const char *when)
{
    struct items_difference difference = {""};
    if (!items_same(log, model, &difference)) {
        fail_msg("%s: %s", when, difference.text);
    }
}

#endif
