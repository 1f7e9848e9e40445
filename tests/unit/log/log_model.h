/* What a log must look like, kept in plain arrays: the contract of holdfast/log.h a second time, as simply as possible.
 * Tests apply the same batches to the log and to the model and compare. */
#ifndef TESTS_LOG_MODEL_H
#define TESTS_LOG_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/rng.h"
#include "holdfast/log.h"

#define MODEL_GROUPS      4u
#define MODEL_ENTRIES_MAX 512u
#define MODEL_PAYLOAD_MAX (1u << 20)

struct model_entry {
    uint64_t term;
    uint64_t payload_seed;
    uint32_t payload_size;
};
struct model_group {
    bool exists;
    bool anchored;
    uint64_t floor;
    uint64_t floor_term;
    uint64_t count;
    struct model_entry entries[MODEL_ENTRIES_MAX]; /* floor + 1 … */
    struct hf_hard_state hard_state;
};
struct model {
    struct model_group groups[MODEL_GROUPS]; /* ids are 1 … MODEL_GROUPS times a large number */
};

static inline uint64_t model_group_id(size_t group)
{
    static const uint64_t ids[MODEL_GROUPS] = {1, 77, 1ull << 33, HF_LOG_GROUP_MAX};
    return ids[group];
}

static inline uint64_t model_last(const struct model_group *group)
{
    return group->floor + group->count;
}

static inline uint64_t model_term(const struct model_group *group, uint64_t index)
{
    return index == group->floor ? group->floor_term : group->entries[index - group->floor - 1].term;
}

static inline void model_payload(uint8_t *target, const struct model_entry *entry)
{
    struct rng rng;
    rng_seed(&rng, entry->payload_seed);
    rng_fill(&rng, target, entry->payload_size);
}

/* ---- operations: each on the model and on the batch ---- */

static inline void model_append(struct model_group *group, struct hf_log_batch *batch, uint64_t id, uint64_t index,
                                struct model_entry entry)
{
    uint8_t *payload = malloc(entry.payload_size + 1);
    model_payload(payload, &entry);
    struct hf_entry record = {.index = index,
                              .term = entry.term,
                              .timestamp_ms = entry.payload_seed,
                              .type = (enum hf_entry_type)(HF_ENTRY_NORMAL + entry.payload_seed % 4),
                              .payload = {payload, entry.payload_size}};
    assert_int_equal(hf_log_batch_append(batch, id, &record, 1), 0);
    free(payload);
    if (group->count == 0 && !group->anchored) {
        group->floor = index - 1;
    }
    assert_true(index == model_last(group) + 1 && group->count < MODEL_ENTRIES_MAX);
    group->entries[group->count++] = entry;
    group->exists = true;
}

static inline void model_truncate(struct model_group *group, struct hf_log_batch *batch, uint64_t id, uint64_t from)
{
    assert_int_equal(hf_log_batch_truncate(batch, id, from), 0);
    if (from <= model_last(group)) {
        group->count = from > group->floor ? from - group->floor - 1 : 0;
    }
}

static inline void model_hard_state(struct model_group *group, struct hf_log_batch *batch, uint64_t id,
                                    struct hf_hard_state state)
{
    assert_int_equal(hf_log_batch_hard_state(batch, id, state), 0);
    group->hard_state = state;
    group->exists = true;
}

static inline void model_reset(struct model_group *group, struct hf_log_batch *batch, uint64_t id, uint64_t index,
                               uint64_t term)
{
    assert_int_equal(hf_log_batch_reset(batch, id, index, term, (struct hf_bytes){"snapshot", 8}), 0);
    group->floor = index;
    group->floor_term = term;
    group->count = 0;
    group->anchored = true;
    group->exists = true;
}

static inline void model_compact(struct model_group *group, struct hf_log_batch *batch, uint64_t id, uint64_t index)
{
    assert_int_equal(hf_log_batch_compact(batch, id, index), 0);
    if (index <= group->floor) {
        return;
    }
    uint64_t dropped = index - group->floor;
    group->floor_term = model_term(group, index);
    group->floor = index;
    group->count -= dropped;
    group->anchored = true;
    memmove(group->entries, group->entries + dropped, group->count * sizeof(struct model_entry));
}

static inline void model_remove(struct model_group *group, struct hf_log_batch *batch, uint64_t id)
{
    assert_int_equal(hf_log_batch_remove_group(batch, id), 0);
    memset(group, 0, sizeof(*group));
}

/* ---- comparing ---- */

/* The first difference, as text; empty when there is none. */
struct model_difference {
    char text[200];
};

static inline bool model_differs(struct model_difference *difference, uint64_t id, const char *what, uint64_t log,
                                 uint64_t model)
{
    if (log == model) {
        return false;
    }
    snprintf(difference->text, sizeof(difference->text), "group %llu: %s is %llu, should be %llu",
             (unsigned long long)id, what, (unsigned long long)log, (unsigned long long)model);
    return true;
}

static inline bool model_entry_differs(struct model_difference *difference, uint64_t id, const struct hf_entry *found,
                                       uint64_t index, const struct model_entry *entry)
{
    if (model_differs(difference, id, "index", found->index, index) ||
        model_differs(difference, id, "term", found->term, entry->term) ||
        model_differs(difference, id, "timestamp", found->timestamp_ms, entry->payload_seed) ||
        model_differs(difference, id, "type", (uint64_t)found->type, HF_ENTRY_NORMAL + entry->payload_seed % 4) ||
        model_differs(difference, id, "payload size", found->payload.size, entry->payload_size)) {
        return true;
    }
    uint8_t *payload = malloc(entry->payload_size + 1);
    model_payload(payload, entry);
    bool equal = entry->payload_size == 0 || memcmp(payload, found->payload.data, entry->payload_size) == 0;
    free(payload);
    return model_differs(difference, id, "payload of a wrong entry, at", equal ? 0 : index, 0);
}

static inline bool model_entries_differ(struct model_difference *difference, struct hf_log *log, uint64_t id,
                                        const struct model_group *group)
{
    uint64_t next = group->floor + 1;
    while (next <= model_last(group)) {
        struct hf_log_view view = {0};
        int rc = hf_log_read(log, id, next, model_last(group) + 1, 1u << 20, 0, &view);
        if (rc != 0) {
            snprintf(difference->text, sizeof(difference->text), "%s: %.150s", hf_error_name(rc), hf_error_text());
            return true;
        }
        for (size_t i = 0; i < view.count; i++, next++) {
            const struct model_entry *entry = &group->entries[next - group->floor - 1];
            uint64_t term = 0;
            if (model_entry_differs(difference, id, &view.entries[i], next, entry) ||
                model_differs(difference, id, "result of hf_log_term", (uint64_t)hf_log_term(log, id, next, &term),
                              0) ||
                model_differs(difference, id, "hf_log_term", term, entry->term)) {
                hf_log_view_close(&view);
                return true;
            }
        }
        hf_log_view_close(&view);
    }
    return false;
}

static inline bool model_group_differs(struct model_difference *difference, struct hf_log *log, uint64_t id,
                                       const struct model_group *group)
{
    struct hf_log_group_state state;
    hf_log_group_state(log, id, &state);
    return model_differs(difference, id, "damaged", state.damaged, false) ||
           model_differs(difference, id, "exists", state.exists, group->exists) ||
           model_differs(difference, id, "first", state.first_index, group->floor + 1) ||
           model_differs(difference, id, "last", state.last_index, model_last(group)) ||
           (group->anchored && model_differs(difference, id, "floor term", state.floor_term, group->floor_term)) ||
           model_differs(difference, id, "hard state term", state.hard_state.term, group->hard_state.term) ||
           model_differs(difference, id, "vote", state.hard_state.vote, group->hard_state.vote) ||
           model_differs(difference, id, "commit", state.hard_state.commit, group->hard_state.commit) ||
           model_entries_differ(difference, log, id, group);
}

static inline bool model_is(struct hf_log *log, const struct model *model, struct model_difference *difference)
{
    difference->text[0] = '\0';
    for (size_t i = 0; i < MODEL_GROUPS; i++) {
        if (model_group_differs(difference, log, model_group_id(i), &model->groups[i])) {
            return false;
        }
    }
    return true;
}

/* One random operation that the contract allows on this group. */
static inline void model_random_operation(struct model_group *group, struct hf_log_batch *batch, uint64_t id,
                                          struct rng *rng, uint32_t payload_max)
{
    uint64_t last = model_last(group);
    uint64_t term = (group->count > 0 || group->anchored ? model_term(group, last) : 1) + rng_below(rng, 2);
    uint64_t choice = rng_below(rng, 100);
    bool full = group->count + 8 >= MODEL_ENTRIES_MAX;
    if (choice < 70 && !full) {
        uint64_t index =
            group->count == 0 && !group->anchored && rng_chance(rng, 1, 2) ? rng_below(rng, 50) + 1 : last + 1;
        for (uint64_t i = rng_below(rng, 4) + 1; i > 0; i--, index++) {
            struct model_entry entry = {.term = term,
                                        .payload_seed = rng_next(rng) >> rng_below(rng, 60),
                                        .payload_size = (uint32_t)rng_below(rng, payload_max + 1)};
            model_append(group, batch, id, index, entry);
        }
    } else if (choice < 78 && group->count > 0) {
        model_truncate(group, batch, id, group->floor + 1 + rng_below(rng, group->count + 2));
    } else if (choice < 90) {
        struct hf_hard_state state = {term, rng_below(rng, 5), rng_below(rng, last + 1)};
        model_hard_state(group, batch, id, state);
    } else if ((choice < 96 || full) && group->count > 0) {
        model_compact(group, batch, id, group->floor + rng_below(rng, group->count) + 1);
    } else if (choice < 98 && group->exists) {
        model_reset(group, batch, id, last + rng_below(rng, 1000), term);
    } else {
        model_remove(group, batch, id);
    }
}

#endif
