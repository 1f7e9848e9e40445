/* Where the time of appends goes, stage by stage: a histogram each, always on. What happens per write is measured
 * always; what happens per entry costs less than reading the clock, so one entry of LOG_STAGES_SAMPLE is measured.
 * Guarded by the log's mutex. */
#ifndef LOG_LOG_STAGES_H
#define LOG_LOG_STAGES_H

#include <stdbool.h>

#include "base/histogram.h"
#include "holdfast/log.h"

#define LOG_STAGES_SAMPLE      64u
#define LOG_STAGES_PENDING_MAX 64u /* measurements of a turn that are handed to the owner; the rest only counts */

struct log_stages {
    struct histogram histograms[HF_LOG_STAGE_COUNT];
    uint64_t entries[HF_LOG_STAGE_COUNT];
    uint64_t bytes[HF_LOG_STAGE_COUNT];
    uint32_t sample;
    bool hands_out; /* somebody wants each measurement */
    struct hf_log_measurement pending[LOG_STAGES_PENDING_MAX];
    unsigned pending_count;
};

/* Whether the next entry is measured. */
static inline bool log_stages_samples(struct log_stages *stages)
{
    return stages->sample++ % LOG_STAGES_SAMPLE == 0;
}
/* So many are to be handed out that the driver should not wait until there is something else to do. */
static inline bool log_stages_is_full(const struct log_stages *stages)
{
    return stages->pending_count >= LOG_STAGES_PENDING_MAX / 2;
}
/* from_ns > to_ns (clocks of two threads) counts as 0. */
void log_stages_note(struct log_stages *stages, enum hf_log_stage stage, uint64_t from_ns, uint64_t to_ns,
                     uint64_t entries, uint64_t bytes);
void log_stages_describe(const struct log_stages *stages, enum hf_log_stage stage, struct hf_log_stage_stat *out);

#endif
