#include "base/histogram.h"

#include <assert.h>
#include <stddef.h>

#define HISTOGRAM_SUB_BITS  4u
#define HISTOGRAM_SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

/* Buckets 0 … 15 hold the values 0 … 15. Then come sixteen for every power of two from 2^4 to 2^63. */
_Static_assert(HISTOGRAM_BUCKET_COUNT == HISTOGRAM_SUB_COUNT + (64 - HISTOGRAM_SUB_BITS) * HISTOGRAM_SUB_COUNT,
               "buckets cover all of u64");

/* Readers may run beside the one writer: every field is read and written whole, in no particular order. */
static uint64_t histogram_load(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static void histogram_store(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static void histogram_add(uint64_t *field, uint64_t value)
{
    histogram_store(field, histogram_load(field) + value);
}

static size_t histogram_bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SUB_COUNT) {
        return (size_t)value;
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(value);
    unsigned shift = exponent - HISTOGRAM_SUB_BITS;
    return (size_t)(shift + 1) * HISTOGRAM_SUB_COUNT + (size_t)(value >> shift) - HISTOGRAM_SUB_COUNT;
}

static uint64_t histogram_bucket_upper(size_t bucket)
{
    if (bucket < HISTOGRAM_SUB_COUNT) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / HISTOGRAM_SUB_COUNT) - 1;
    uint64_t lower = (uint64_t)(HISTOGRAM_SUB_COUNT + bucket % HISTOGRAM_SUB_COUNT) << shift;
    return lower + ((UINT64_C(1) << shift) - 1);
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram_record_many(histogram, value, 1);
}

void histogram_record_many(struct histogram *histogram, uint64_t value, uint64_t times)
{
    uint64_t count = histogram_load(&histogram->count);
    if (times == 0) {
        return;
    }
    if (count == 0 || value < histogram_load(&histogram->value_min)) {
        histogram_store(&histogram->value_min, value);
    }
    if (count == 0 || value > histogram_load(&histogram->value_max)) {
        histogram_store(&histogram->value_max, value);
    }
    histogram_add(&histogram->buckets[histogram_bucket_of(value)], times);
    histogram_add(&histogram->sum, value * times);
    histogram_store(&histogram->count, count + times);
}

void histogram_merge(struct histogram *target, const struct histogram *source)
{
    uint64_t source_count = histogram_load(&source->count);
    if (source_count == 0) {
        return;
    }
    uint64_t target_count = histogram_load(&target->count);
    uint64_t value_min = histogram_load(&source->value_min);
    uint64_t value_max = histogram_load(&source->value_max);
    if (target_count == 0 || value_min < histogram_load(&target->value_min)) {
        histogram_store(&target->value_min, value_min);
    }
    if (target_count == 0 || value_max > histogram_load(&target->value_max)) {
        histogram_store(&target->value_max, value_max);
    }
    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        histogram_add(&target->buckets[i], histogram_load(&source->buckets[i]));
    }
    histogram_add(&target->sum, histogram_load(&source->sum));
    histogram_store(&target->count, target_count + source_count);
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    assert(quantile >= 0.0 && quantile <= 1.0);
    /* Counted from the buckets themselves: `count` may be ahead of or behind them while somebody records. */
    uint64_t counts[HISTOGRAM_BUCKET_COUNT];
    uint64_t total = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        counts[i] = histogram_load(&histogram->buckets[i]);
        total += counts[i];
    }
    if (total == 0) {
        return 0;
    }
    double exact = quantile * (double)total;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact;
    rank = rank < 1 ? 1 : rank > total ? total : rank;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        seen += counts[i];
        if (seen >= rank) {
            return histogram_bucket_upper(i);
        }
    }
    return histogram_bucket_upper(HISTOGRAM_BUCKET_COUNT - 1);
}

uint64_t histogram_count_below(const struct histogram *histogram, uint64_t bound)
{
    assert(bound >= HISTOGRAM_SUB_COUNT && (bound & (bound - 1)) == 0);
    size_t end = histogram_bucket_of(bound);
    uint64_t below = 0;
    for (size_t i = 0; i < end; i++) {
        below += histogram_load(&histogram->buckets[i]);
    }
    return below;
}

double histogram_mean(const struct histogram *histogram)
{
    uint64_t count = histogram_load(&histogram->count);
    return count > 0 ? (double)histogram_load(&histogram->sum) / (double)count : 0.0;
}
