#include "log/log_stages.h"

#include <assert.h>

void log_stages_note(struct log_stages *stages, enum hf_log_stage stage, uint64_t from_ns, uint64_t to_ns,
                     uint64_t entries, uint64_t bytes)
{
    assert(stage < HF_LOG_STAGE_COUNT);
    uint64_t duration_ns = to_ns > from_ns ? to_ns - from_ns : 0;
    histogram_record(&stages->histograms[stage], duration_ns);
    stages->entries[stage] += entries;
    stages->bytes[stage] += bytes;
    if (stages->hands_out && stages->pending_count < LOG_STAGES_PENDING_MAX) {
        stages->pending[stages->pending_count++] =
            (struct hf_log_measurement){.stage = stage, .duration_ns = duration_ns, .entries = entries, .bytes = bytes};
    }
}

void log_stages_describe(const struct log_stages *stages, enum hf_log_stage stage, struct hf_log_stage_stat *out)
{
    if ((unsigned)stage >= HF_LOG_STAGE_COUNT) {
        *out = (struct hf_log_stage_stat){0};
        return;
    }
    const struct histogram *histogram = &stages->histograms[stage];
    *out = (struct hf_log_stage_stat){
        .count = histogram->count,
        .entries = stages->entries[stage],
        .bytes = stages->bytes[stage],
        .sum_ns = histogram->sum,
        .min_ns = histogram->value_min,
        .max_ns = histogram->value_max,
        .p50_ns = histogram_quantile(histogram, 0.5),
        .p90_ns = histogram_quantile(histogram, 0.9),
        .p99_ns = histogram_quantile(histogram, 0.99),
        .p999_ns = histogram_quantile(histogram, 0.999),
    };
    for (unsigned i = 0; i < HF_LOG_STAGE_BOUND_COUNT; i++) {
        out->below[i] = histogram_count_below(histogram, hf_log_stage_bound_ns(i));
    }
}

uint64_t hf_log_stage_bound_ns(unsigned bound)
{
    return bound < HF_LOG_STAGE_BOUND_COUNT ? UINT64_C(128) << bound : UINT64_MAX;
}

const char *hf_log_stage_name(enum hf_log_stage stage)
{
    static const char *const names[] = {
        [HF_LOG_STAGE_QUEUE] = "queue", [HF_LOG_STAGE_ENCODE] = "encode", [HF_LOG_STAGE_WRITE] = "write",
        [HF_LOG_STAGE_SYNC] = "sync",   [HF_LOG_STAGE_INDEX] = "index",   [HF_LOG_STAGE_CALLBACK] = "callback",
    };
    return (unsigned)stage < HF_LOG_STAGE_COUNT ? names[stage] : "unknown";
}
