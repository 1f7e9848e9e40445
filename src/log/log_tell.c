#include "log/log_tell.h"

#include <string.h>

#include "log/log_callback.h"

void log_tell_owner(struct hf_log *log)
{
    const struct hf_log_options *options = &log->options;
    struct hf_log_measurement measurements[LOG_STAGES_PENDING_MAX];
    unsigned count = log->stages.pending_count;
    uint64_t age_ns = 0;
    if (log->stall.threshold_ns == 0 && count == 0) {
        return;
    }
    bool waits = log->writer.failure == 0 && !log->closing;
    log_stall_look(&log->stall, waits ? log_writer_oldest_ns(&log->writer) : 0, io_monotonic_ns(log->io));
    bool has_news = log_stall_take(&log->stall, &age_ns);
    if (count == 0 && !has_news) {
        return;
    }
    memcpy(measurements, log->stages.pending, count * sizeof(measurements[0]));
    log->stages.pending_count = 0;
    mutex_unlock(&log->mutex);
    log_callback_enter();
    for (unsigned i = 0; i < count; i++) {
        options->on_measured(options->callback_arg, &measurements[i]);
    }
    if (has_news) {
        options->on_stall(options->callback_arg, age_ns);
    }
    log_callback_leave();
    mutex_lock(&log->mutex);
}
