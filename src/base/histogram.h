/* Log-linear histogram of u64 values (HDR style: 16 sub-buckets per power of two, relative error below 1/16, exact
 * below 16). Fixed size, no allocation, empty when zeroed. One writer; readers in other threads may see a slightly old
 * picture. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKET_COUNT 976

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
    uint64_t count;
    uint64_t sum;
    uint64_t value_min;
    uint64_t value_max;
};

void histogram_record(struct histogram *histogram, uint64_t value);
void histogram_record_many(struct histogram *histogram, uint64_t value, uint64_t times);
void histogram_merge(struct histogram *target, const struct histogram *source);
/* The upper bound of the bucket that holds the quantile (0.0 … 1.0); 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);
/* How many values are below `bound`, a power of two ≥ 16 (where buckets end). */
uint64_t histogram_count_below(const struct histogram *histogram, uint64_t bound);
double histogram_mean(const struct histogram *histogram);

#endif
