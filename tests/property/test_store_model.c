/* links: store */
/* Random operations on a memory store against the simplest thing that can be right, a sorted array, with cuts held over
 * many changes and read back later. Every seed has its own mix of keys, values and operations. A failure prints the
 * seed and the operation: run again with STORE_MODEL_SEED=n. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "holdfast/store.h"
#include "store/digest.h"
#include "store/memory_store.h"
#include "store/tree_check.h"

#define TREES     3u
#define SEEDS     60u
#define STEPS     1500u
#define CUTS_HELD 4u

static uint64_t seed_now;
static unsigned step_now;

#define check(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fail_msg("seed %" PRIu64 ", step %u: %s (%s)", seed_now, step_now, #condition, hf_error_text()); \
        }                                                                                                    \
    } while (0)

/* ---- The model ---- */

struct item {
    struct buffer key;
    struct buffer value;
};
struct model {
    struct item *items;
    size_t count;
};

static size_t model_lower_bound(const struct model *model, struct hf_bytes key)
{
    size_t low = 0;
    size_t high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(buffer_bytes(&model->items[middle].key), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool model_has(const struct model *model, size_t at, struct hf_bytes key)
{
    return at < model->count && bytes_equal(buffer_bytes(&model->items[at].key), key);
}

static bool model_put(struct model *model, struct hf_bytes key, struct hf_bytes value)
{
    size_t at = model_lower_bound(model, key);
    bool had = model_has(model, at, key);
    if (!had) {
        model->items = memory_resize(model->items, (model->count + 1) * sizeof(*model->items));
        memmove(model->items + at + 1, model->items + at, (model->count - at) * sizeof(*model->items));
        model->items[at] = (struct item){{0}, {0}};
        buffer_append_bytes(&model->items[at].key, key);
        model->count++;
    }
    buffer_clear(&model->items[at].value);
    buffer_append_bytes(&model->items[at].value, value);
    return had;
}

static void model_remove(struct model *model, size_t from, size_t count)
{
    if (count == 0) {
        return;
    }
    for (size_t i = from; i < from + count; i++) {
        buffer_close(&model->items[i].key);
        buffer_close(&model->items[i].value);
    }
    memmove(model->items + from, model->items + from + count, (model->count - from - count) * sizeof(*model->items));
    model->count -= count;
}

static struct model model_copy(const struct model *model)
{
    struct model copy = {memory_new(model->count * sizeof(*copy.items)), model->count};
    for (size_t i = 0; i < model->count; i++) {
        buffer_append_bytes(&copy.items[i].key, buffer_bytes(&model->items[i].key));
        buffer_append_bytes(&copy.items[i].value, buffer_bytes(&model->items[i].value));
    }
    return copy;
}

static void model_close(struct model *model)
{
    model_remove(model, 0, model->count);
    free(model->items);
    *model = (struct model){NULL, 0};
}

/* Where a range begins and ends, found the slow way. */
static bool model_in_range(const struct item *item, const struct hf_store_range *range)
{
    struct hf_bytes key = buffer_bytes(&item->key);
    if (range->low.data != NULL && bytes_compare(key, range->low) < 0) {
        return false;
    }
    if (range->high.data != NULL && bytes_compare(key, range->high) >= 0) {
        return false;
    }
    return range->prefix.data == NULL ||
           (key.size >= range->prefix.size &&
            (range->prefix.size == 0 || memcmp(key.data, range->prefix.data, range->prefix.size) == 0));
}

/* ---- The world of one seed ---- */

struct held_cut {
    struct hf_store_cut *cut;
    struct model models[TREES];
    struct hf_store_digest digest;
    uint64_t applied;
};
struct world {
    struct rng rng;
    struct hf_store *store;
    struct model models[TREES];
    struct held_cut cuts[CUTS_HELD];
    unsigned key_shape;
    unsigned value_shape;
    unsigned put_weight;
    uint64_t sequence;
    uint64_t applied;
};

static void random_key(struct world *world, struct buffer *key)
{
    buffer_clear(key);
    switch (world->key_shape) {
    case 0: /* few short keys of few letters: the empty key and prefixes of each other */
        for (uint64_t size = rng_below(&world->rng, 6); size > 0; size--) {
            buffer_append_u8(key, "ab\x00\xff"[rng_below(&world->rng, 4)]);
        }
        break;
    case 1: /* what applications do */
        buffer_format(key, "user:%06" PRIu64 ":name", rng_below(&world->rng, 3000));
        break;
    case 2: /* ascending */
        buffer_format(key, "%012" PRIu64, world->sequence++);
        break;
    case 3: /* huge ones that differ late, among small ones */
        if (rng_chance(&world->rng, 1, 3)) {
            memset(buffer_extend(key, 4090), 'k', 4090);
            buffer_format(key, "%03" PRIu64, rng_below(&world->rng, 300));
        } else {
            buffer_format(key, "k%" PRIu64, rng_below(&world->rng, 1000));
        }
        break;
    case 4: /* long runs of 0xFF */
        memset(buffer_extend(key, 4), 0xFF, 4);
        key->size = rng_below(&world->rng, 5);
        for (uint64_t size = rng_below(&world->rng, 3); size > 0; size--) {
            buffer_append_u8(key, (uint8_t)rng_below(&world->rng, 256));
        }
        break;
    default: { /* binary, any size */
        size_t size = rng_below(&world->rng, rng_chance(&world->rng, 1, 20) ? HF_STORE_KEY_SIZE_MAX + 1 : 24);
        uint64_t number = rng_below(&world->rng, 800);
        struct rng content;
        rng_seed(&content, number);
        rng_fill(&content, buffer_extend(key, size), size);
        break;
    }
    }
}

static void random_value(struct world *world, struct buffer *value)
{
    static const size_t limits[] = {1, 40, 200, HF_STORE_INLINE_SIZE_MAX + 2, 5000};
    buffer_clear(value);
    size_t size = rng_below(&world->rng, limits[world->value_shape]);
    if (rng_chance(&world->rng, 1, 30)) {
        size = HF_STORE_INLINE_SIZE_MAX - 1 + rng_below(&world->rng, 3);
    }
    rng_fill(&world->rng, buffer_extend(value, size), size);
}

/* ---- Comparing ---- */

static void verify_entry(const struct item *item, const struct hf_store_entry *entry)
{
    check(bytes_equal(buffer_bytes(&item->key), entry->key));
    check(bytes_equal(buffer_bytes(&item->value), entry->value));
}

static void verify_scan(struct hf_store_cursor *cursor, const struct model *model, const struct hf_store_range *range,
                        enum hf_store_order order)
{
    struct hf_store_entry entry;
    for (size_t i = 0; i < model->count; i++) {
        const struct item *item = &model->items[order == HF_STORE_FORWARD ? i : model->count - 1 - i];
        if (model_in_range(item, range)) {
            check(hf_store_cursor_next(cursor, &entry) == 0);
            verify_entry(item, &entry);
        }
    }
    check(hf_store_cursor_next(cursor, &entry) == HF_ENOTFOUND);
    check(hf_store_cursor_next(cursor, &entry) == HF_ENOTFOUND);
    hf_store_cursor_close(cursor);
}

static struct hf_store_digest model_digest(const struct model *models)
{
    struct hf_store_digest digest = {0};
    for (uint32_t tree = 0; tree < TREES; tree++) {
        for (size_t i = 0; i < models[tree].count; i++) {
            const struct item *item = &models[tree].items[i];
            digest_add(&digest, digest_entry(tree, buffer_bytes(&item->key), digest_value(buffer_bytes(&item->value))));
        }
    }
    return digest;
}

static bool digest_equal(struct hf_store_digest a, struct hf_store_digest b)
{
    return a.low == b.low && a.high == b.high;
}

static void verify_present(struct world *world)
{
    static const struct hf_store_range everything;
    for (uint32_t tree = 0; tree < TREES; tree++) {
        const struct tree *memory = memory_store_tree(world->store, tree);
        check(memory == NULL || tree_check(memory, NULL) == 0);
        for (int order = HF_STORE_FORWARD; order <= HF_STORE_BACKWARD; order++) {
            struct hf_store_cursor *cursor;
            check(hf_store_cursor_open(world->store, tree, NULL, (enum hf_store_order)order, &cursor) == 0);
            verify_scan(cursor, &world->models[tree], &everything, (enum hf_store_order)order);
        }
        struct hf_store_tree_stat stat;
        check(hf_store_tree_stat(world->store, tree, &stat) == 0);
        check(stat.entries == world->models[tree].count);
    }
    check(digest_equal(hf_store_digest(world->store), model_digest(world->models)));
}

static void verify_cut(struct world *world, struct held_cut *held)
{
    static const struct hf_store_range everything;
    for (uint32_t tree = 0; tree < TREES; tree++) {
        struct hf_store_cursor *cursor;
        enum hf_store_order order = rng_chance(&world->rng, 1, 2) ? HF_STORE_FORWARD : HF_STORE_BACKWARD;
        check(hf_store_cut_cursor_open(held->cut, tree, NULL, order, &cursor) == 0);
        verify_scan(cursor, &held->models[tree], &everything, order);
        const struct model *model = &held->models[tree];
        if (model->count > 0) {
            size_t at = rng_below(&world->rng, model->count);
            struct hf_bytes value;
            struct hf_store_entry entry;
            check(hf_store_cut_get(held->cut, tree, buffer_bytes(&model->items[at].key), &value) == 0);
            check(bytes_equal(value, buffer_bytes(&model->items[at].value)));
            check(hf_store_cut_at_rank(held->cut, tree, at, &entry) == 0);
            verify_entry(&model->items[at], &entry);
        }
    }
    check(digest_equal(hf_store_cut_digest(held->cut), held->digest));
    check(hf_store_cut_applied(held->cut).index == held->applied);
}

/* ---- Operations ---- */

/* Looks the key up first, as most commands do; the store then knows where it belongs, until something else changes. */
static void look_before(struct world *world, uint32_t tree, struct hf_bytes key)
{
    struct model *model = &world->models[tree];
    size_t at = model_lower_bound(model, key);
    bool has = model_has(model, at, key);
    struct hf_bytes value;
    check(hf_store_get(world->store, tree, key, &value) == (has ? 0 : HF_ENOTFOUND));
    if (model->count > 0 && rng_chance(&world->rng, 1, 4)) {
        size_t other = rng_below(&world->rng, model->count);
        check(hf_store_delete(world->store, tree, buffer_bytes(&model->items[other].key), NULL) == 0);
        model_remove(model, other, 1);
    }
}

static void do_expect(struct world *world, uint32_t tree, struct buffer *key)
{
    const struct model *model = &world->models[tree];
    struct hf_bytes keys[40];
    size_t count = rng_below(&world->rng, sizeof(keys) / sizeof(keys[0]) + 1);
    random_key(world, key);
    for (size_t i = 0; i < count; i++) {
        bool is_there = model->count > 0 && rng_chance(&world->rng, 3, 4);
        keys[i] = buffer_bytes(is_there ? &model->items[rng_below(&world->rng, model->count)].key : key);
    }
    hf_store_expect(world->store, tree, keys, count);
}

static void do_put(struct world *world, uint32_t tree, struct buffer *key, struct buffer *value)
{
    random_key(world, key);
    random_value(world, value);
    if (rng_chance(&world->rng, 1, 2)) {
        look_before(world, tree, buffer_bytes(key));
    }
    bool had = model_put(&world->models[tree], buffer_bytes(key), buffer_bytes(value));
    bool overwritten = !had;
    size_t middle = rng_below(&world->rng, value->size + 1);
    struct hf_bytes parts[] = {bytes_of(value->data, middle), bytes_of(value->data + middle, value->size - middle)};
    check(hf_store_put_parts(world->store, tree, buffer_bytes(key), parts, 2, &overwritten) == 0);
    check(overwritten == had);
}

/* Puts a value that is on loan from the store, changed in size: what APPEND does. */
static void do_append(struct world *world, uint32_t tree, struct buffer *value)
{
    struct model *model = &world->models[tree];
    if (model->count == 0) {
        return;
    }
    struct hf_store_entry entry;
    size_t at = rng_below(&world->rng, model->count);
    check(hf_store_at_rank(world->store, tree, at, &entry) == 0);
    random_value(world, value);
    struct hf_bytes parts[] = {entry.value, buffer_bytes(value)};
    buffer_append_bytes(&model->items[at].value, buffer_bytes(value));
    check(hf_store_put_parts(world->store, tree, entry.key, parts, 2, NULL) == 0);
}

static void do_delete(struct world *world, uint32_t tree, struct buffer *key)
{
    struct model *model = &world->models[tree];
    bool removed;
    if (model->count > 0 && rng_chance(&world->rng, 3, 4)) {
        struct hf_store_entry entry; /* with a key on loan */
        size_t at = rng_below(&world->rng, model->count);
        check(hf_store_at_rank(world->store, tree, at, &entry) == 0);
        check(hf_store_delete(world->store, tree, entry.key, &removed) == 0 && removed);
        model_remove(model, at, 1);
        return;
    }
    random_key(world, key);
    size_t at = model_lower_bound(model, buffer_bytes(key));
    bool had = model_has(model, at, buffer_bytes(key));
    check(hf_store_delete(world->store, tree, buffer_bytes(key), &removed) == 0);
    check(removed == had);
    if (had) {
        model_remove(model, at, 1);
    }
}

static void random_range(struct world *world, struct buffer bytes[3], struct hf_store_range *range)
{
    *range = (struct hf_store_range){0};
    for (unsigned i = 0; i < 3; i++) {
        random_key(world, &bytes[i]);
        buffer_reserve(&bytes[i], 1); /* an empty bound is not the same as none */
    }
    if (rng_chance(&world->rng, 1, 2)) {
        range->low = buffer_bytes(&bytes[0]);
    }
    if (rng_chance(&world->rng, 1, 2)) {
        range->high = buffer_bytes(&bytes[1]);
    }
    if (rng_chance(&world->rng, 1, 2)) {
        bytes[2].size = rng_below(&world->rng, bytes[2].size + 1);
        range->prefix = buffer_bytes(&bytes[2]);
    }
}

static void do_delete_range(struct world *world, uint32_t tree, struct buffer bytes[3])
{
    struct hf_store_range range;
    random_range(world, bytes, &range);
    struct model *model = &world->models[tree];
    uint64_t expected = 0;
    for (size_t i = model->count; i-- > 0;) {
        if (model_in_range(&model->items[i], &range)) {
            model_remove(model, i, 1);
            expected++;
        }
    }
    uint64_t count = UINT64_MAX;
    check(hf_store_delete_range(world->store, tree, &range, &count) == 0);
    check(count == expected);
}

static void do_scan(struct world *world, uint32_t tree, struct buffer bytes[3])
{
    struct hf_store_range range;
    random_range(world, bytes, &range);
    struct hf_store_cursor *cursor;
    enum hf_store_order order = rng_chance(&world->rng, 1, 2) ? HF_STORE_FORWARD : HF_STORE_BACKWARD;
    check(hf_store_cursor_open(world->store, tree, &range, order, &cursor) == 0);
    verify_scan(cursor, &world->models[tree], &range, order);
}

static void do_read(struct world *world, uint32_t tree, struct buffer *key)
{
    const struct model *model = &world->models[tree];
    random_key(world, key);
    size_t at = model_lower_bound(model, buffer_bytes(key));
    bool has = model_has(model, at, buffer_bytes(key));
    struct hf_bytes value;
    check(hf_store_get(world->store, tree, buffer_bytes(key), &value) == (has ? 0 : HF_ENOTFOUND));
    check(!has || bytes_equal(value, buffer_bytes(&model->items[at].value)));
    uint64_t rank;
    check(hf_store_rank(world->store, tree, buffer_bytes(key), &rank) == 0 && rank == at);
    struct hf_store_entry entry;
    check(hf_store_first(world->store, tree, &entry) == (model->count > 0 ? 0 : HF_ENOTFOUND));
    if (model->count > 0) {
        verify_entry(&model->items[0], &entry);
        check(hf_store_last(world->store, tree, &entry) == 0);
        verify_entry(&model->items[model->count - 1], &entry);
    }
    check(hf_store_at_rank(world->store, tree, model->count, &entry) == HF_ENOTFOUND);
}

/* What comes out of a cut while the present goes on changing builds a store that is equal to the cut. */
static void verify_stream(struct world *world, struct held_cut *held)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store_export *from;
    struct hf_store_import *to;
    struct hf_store *copy;
    uint8_t piece[4096];
    size_t got;
    check(hf_store_export_open(held->cut, &from) == 0);
    check(hf_store_import_open(&options, &to) == 0);
    do {
        size_t size = 1 + rng_below(&world->rng, sizeof(piece));
        check(hf_store_export_read(from, piece, size, &got) == 0);
        check(hf_store_import_write(to, bytes_of(piece, got)) == 0);
    } while (got > 0);
    hf_store_export_close(from);
    check(hf_store_import_finish(to, &copy) == 0);
    check(digest_equal(hf_store_digest(copy), held->digest));
    check(hf_store_applied(copy).index == held->applied);
    for (uint32_t tree = 0; tree < TREES; tree++) {
        struct hf_store_tree_stat stat;
        const struct tree *loaded = memory_store_tree(copy, tree);
        check(hf_store_tree_stat(copy, tree, &stat) == 0 && stat.entries == held->models[tree].count);
        check(loaded == NULL || tree_check(loaded, NULL) == 0);
    }
    hf_store_close(copy);
}

static void do_cut(struct world *world)
{
    struct held_cut *held = &world->cuts[rng_below(&world->rng, CUTS_HELD)];
    if (held->cut != NULL) {
        verify_cut(world, held);
        if (rng_chance(&world->rng, 1, 4)) {
            verify_stream(world, held);
        }
        hf_store_cut_close(held->cut);
        held->cut = NULL;
        for (uint32_t tree = 0; tree < TREES; tree++) {
            model_close(&held->models[tree]);
        }
        return;
    }
    check(hf_store_cut(world->store, &held->cut) == 0);
    held->digest = hf_store_digest(world->store);
    held->applied = world->applied;
    for (uint32_t tree = 0; tree < TREES; tree++) {
        held->models[tree] = model_copy(&world->models[tree]);
    }
}

static void step(struct world *world, struct buffer bytes[3], struct buffer *value)
{
    uint32_t tree = rng_chance(&world->rng, 4, 5) ? 0 : (uint32_t)rng_below(&world->rng, TREES);
    uint64_t dice = rng_below(&world->rng, 1000);
    if (dice < world->put_weight) {
        do_put(world, tree, &bytes[0], value);
    } else if (dice < 860) {
        do_delete(world, tree, &bytes[0]);
    } else if (dice < 900) {
        do_append(world, tree, value);
    } else if (dice < 903) {
        do_delete_range(world, tree, bytes);
    } else if (dice < 904) {
        check(hf_store_clear(world->store, tree) == 0);
        model_remove(&world->models[tree], 0, world->models[tree].count);
    } else if (dice < 914) {
        do_scan(world, tree, bytes);
    } else if (dice < 934) {
        do_cut(world);
    } else if (dice < 944) {
        do_expect(world, tree, &bytes[0]);
    } else {
        do_read(world, tree, &bytes[0]);
    }
    if (rng_chance(&world->rng, 1, 10)) {
        world->applied += rng_below(&world->rng, 3);
        check(hf_store_apply_begin(world->store) == 0);
        check(hf_store_apply_commit(world->store, (struct hf_store_applied){world->applied, 1}) == 0);
    }
    check(hf_store_applied(world->store).index == world->applied);
}

static void run_seed(uint64_t seed)
{
    struct world world = {.sequence = 0};
    seed_now = seed;
    rng_seed(&world.rng, seed);
    world.key_shape = (unsigned)(seed % 6);
    world.value_shape = (unsigned)rng_below(&world.rng, 5);
    world.put_weight = 450 + (unsigned)rng_below(&world.rng, 300);
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    assert_int_equal(hf_store_open(&options, &world.store), 0);
    struct buffer bytes[3] = {{0}};
    struct buffer value = {0};
    for (step_now = 0; step_now < STEPS; step_now++) {
        if (step_now == STEPS / 2) {
            world.put_weight = 900 - world.put_weight; /* grow first, then shrink, or the other way round */
        }
        step(&world, bytes, &value);
        if (step_now % 64 == 0) {
            verify_present(&world);
        }
    }
    verify_present(&world);
    for (unsigned i = 0; i < CUTS_HELD; i++) {
        if (world.cuts[i].cut != NULL) {
            verify_cut(&world, &world.cuts[i]);
            hf_store_cut_close(world.cuts[i].cut);
        }
        for (uint32_t tree = 0; tree < TREES; tree++) {
            model_close(&world.cuts[i].models[tree]);
        }
    }
    for (uint32_t tree = 0; tree < TREES; tree++) {
        check(hf_store_clear(world.store, tree) == 0);
        model_close(&world.models[tree]);
    }
    while (hf_store_reclaim(world.store, 10)) {
    }
    struct hf_store_stat stat;
    hf_store_stat(world.store, &stat);
    check(stat.memory_bytes == 0 && stat.pages == 0 && stat.entries == 0 && stat.cuts_open == 0);
    check(digest_equal(hf_store_digest(world.store), (struct hf_store_digest){0, 0}));
    hf_store_close(world.store);
    for (unsigned i = 0; i < 3; i++) {
        buffer_close(&bytes[i]);
    }
    buffer_close(&value);
}

static void random_operations_and_held_cuts_agree_with_a_sorted_array(void **state)
{
    const char *only = getenv("STORE_MODEL_SEED");
    if (only != NULL) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_and_held_cuts_agree_with_a_sorted_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
