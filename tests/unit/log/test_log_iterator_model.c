/* An iterator against a model: entries of sizes that change slowly or at once, limits of every kind, small windows, and
 * truncations in between, while windows are read ahead side by side. */
#include <inttypes.h>

#include "base/rng.h"
#include "planted.h"
#include "unit/log/log_fixture.h"

#define ENTRIES_MAX 1200u
#define ENTRIES     800u
#define SIZE_MAX_OF 20000u
#define ROUNDS      40u
#define BATCH_MAX   64u

struct model {
    struct fixture fixture;
    struct rng rng;
    uint64_t last;
    uint64_t term;
    uint64_t terms[ENTRIES_MAX + 1];
    uint32_t sizes[ENTRIES_MAX + 1];
    uint8_t bytes[SIZE_MAX_OF + 256];

    /* What the iterator may still hand out. */
    uint64_t from; /* of the iterator */
    uint64_t position;
    uint64_t bytes_left;
    uint64_t count_left;
    bool bytes_given;
};

/* Where its payload begins in the bytes that are everyone's. */
static const uint8_t *model_payload(const struct model *model, uint64_t index)
{
    return model->bytes + (index * 7 + model->terms[index] * 31) % 256;
}

/* Mostly about as large as its neighbours; now and then from 0 bytes to more than a window. */
static uint32_t model_size(struct model *model, unsigned kind, uint64_t index)
{
    switch (kind) {
    case 0:
        return 128;
    case 1:
        return (uint32_t)rng_below(&model->rng, 1u << rng_below(&model->rng, 14));
    case 2:
        return index / 100 % 2 == 0 ? 64 : 4000; /* it jumps */
    default:
        return rng_chance(&model->rng, 1, 50) ? SIZE_MAX_OF : (uint32_t)rng_below(&model->rng, 300);
    }
}

static void model_append(struct model *model, unsigned kind, uint64_t to)
{
    struct fixture *fixture = &model->fixture;
    while (model->last < to) {
        hf_log_batch_clear(fixture->batch);
        for (unsigned i = 0; i < BATCH_MAX && model->last < to; i++) {
            uint64_t index = ++model->last;
            model->terms[index] = model->term;
            model->sizes[index] = model_size(model, kind, index);
            struct hf_entry entry = {.index = index,
                                     .term = model->term,
                                     .timestamp_ms = index,
                                     .type = HF_ENTRY_NORMAL,
                                     .payload = bytes_of(model_payload(model, index), model->sizes[index])};
            assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        }
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    }
}

static void model_open(struct model *model, uint64_t seed, unsigned kind)
{
    rng_seed(&model->rng, seed);
    rng_fill(&model->rng, model->bytes, sizeof(model->bytes));
    model->last = 0;
    model->term = 1;
    fixture_set_up(&model->fixture);
    model->fixture.options.segment_size_bytes = 1 << 20;
    model->fixture.options.tail_cache_bytes = 1 << 20;
    model->fixture.options.io = seed % 2 == 0 ? HF_LOG_IO_AUTO : HF_LOG_IO_THREADS;
    fixture_open(&model->fixture);
    model_append(model, kind, ENTRIES);
    fixture_reopen(&model->fixture);
}

static void model_expect_entry(struct model *model, const struct hf_entry *entry)
{
    uint64_t index = model->position++;
    assert_int_equal(entry->index, index);
    assert_int_equal(entry->term, model->terms[index]);
    assert_int_equal(entry->timestamp_ms, index);
    assert_int_equal(entry->payload.size, model->sizes[index]);
    assert_memory_equal(entry->payload.data, model_payload(model, index), entry->payload.size);
    model->bytes_given = true;
    model->bytes_left -= entry->payload.size < model->bytes_left ? entry->payload.size : model->bytes_left;
    model->count_left--;
}

/* What the next call has to return; 0: an entry. */
static int model_next(const struct model *model, uint64_t to)
{
    if (model->count_left == 0 || (to != 0 && model->position >= to)) {
        return HF_ENOTFOUND;
    }
    if (model->position > model->last) {
        return HF_EUNAVAILABLE;
    }
    return model->bytes_given && model->sizes[model->position] > model->bytes_left ? HF_ENOTFOUND : 0;
}

/* Replaces entries around the position; true: some of them were handed out. */
static bool model_truncate(struct model *model, unsigned kind)
{
    uint64_t low = model->position > 20 ? model->position - 10 : 11;
    uint64_t from = rng_between(&model->rng, low, low + 150);
    if (from > model->last) {
        return false;
    }
    hf_log_batch_clear(model->fixture.batch);
    assert_int_equal(hf_log_batch_truncate(model->fixture.batch, 1, from), 0);
    assert_int_equal(hf_log_append_wait(model->fixture.log, model->fixture.batch), 0);
    uint64_t last = model->last + rng_below(&model->rng, 20);
    model->last = from - 1;
    model->term++;
    model_append(model, kind, last < ENTRIES_MAX ? last : ENTRIES_MAX);
    if (from >= model->position || model->position == model->from) {
        return false;
    }
    model->position = from > model->from ? from : model->from;
    return true;
}

static struct hf_log_iterator_options model_draw_options(struct model *model)
{
    struct rng *rng = &model->rng;
    struct hf_log_iterator_options options = {.from = rng_between(rng, 1, 100),
                                              .read_ahead_bytes = 4096u << rng_below(rng, 6),
                                              .durable_only = rng_chance(rng, 1, 3)};
    options.to = rng_chance(rng, 1, 3) ? options.from + rng_below(rng, ENTRIES) : 0;
    options.count_max = rng_chance(rng, 1, 3) ? rng_between(rng, 1, ENTRIES) : 0;
    options.bytes_max = rng_chance(rng, 1, 3) ? rng_between(rng, 1, 500000) : 0;
    return options;
}

/* Up to the end of the log or to a limit. */
static void model_iterate(struct model *model, unsigned kind, bool truncates)
{
    struct hf_log_iterator_options options = model_draw_options(model);
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    int expected = 0;
    model->from = options.from;
    model->position = options.from;
    model->bytes_left = options.bytes_max != 0 ? options.bytes_max : UINT64_MAX;
    model->count_left = options.count_max != 0 ? options.count_max : UINT64_MAX;
    model->bytes_given = false;
    assert_int_equal(hf_log_iterator_open(model->fixture.log, 1, &options, &iterator), 0);
    while (expected == 0) {
        bool is_conflict = truncates && rng_chance(&model->rng, 1, 150) && model_truncate(model, kind);
        expected = is_conflict ? HF_ECONFLICT : model_next(model, options.to);
        int rc = hf_log_iterator_next(iterator, 0, &entry);
        if (rc != expected) {
            fail_msg("index %" PRIu64 ": %s: %s instead of %s", model->position, hf_error_name(rc), hf_error_text(),
                     hf_error_name(expected));
        }
        if (rc == 0) {
            model_expect_entry(model, &entry);
        }
        expected = is_conflict ? 0 : expected;
    }
    hf_log_iterator_close(iterator);
}

static void model_run(uint64_t seed, bool truncates)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        struct model *model = calloc(1, sizeof(*model));
        model_open(model, seed + kind, kind);
        for (unsigned round = 0; round < ROUNDS; round++) {
            model_iterate(model, kind, truncates);
            if (truncates && round % 4 == 3) {
                fixture_reopen(&model->fixture); /* cold again */
            }
        }
        fixture_tear_down(&model->fixture);
        free(model);
    }
}

static void limits_and_sizes_of_every_kind_give_what_the_log_holds(void **unused)
{
    model_run(1, false);
}

static void truncations_between_any_two_entries_are_heard(void **unused)
{
    model_run(100, true);
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_and_sizes_of_every_kind_give_what_the_log_holds),
        cmocka_unit_test(truncations_between_any_two_entries_are_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
