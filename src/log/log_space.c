#include "log/log_space.h"

int log_space_step(struct hf_log *log, uint64_t now_ns)
{
    int rc = log_retain_step(log, now_ns);
    if (log->memory != NULL) {
        return rc; /* it has no files */
    }
    if (rc == 0) {
        rc = log_release_step(log, now_ns);
    }
    return rc == 0 ? log_collect_step(log, now_ns) : rc;
}

bool log_space_complete(struct hf_log *log, const struct io_operation *operation, uint64_t now_ns)
{
    if (operation == &log->release.operation) {
        log_release_finish(&log->release);
    } else if (operation == &log->collect.operation) {
        log_collect_finish(log, now_ns);
    } else if (operation == &log->retain.operation) {
        log_retain_finish(log);
    } else {
        return false;
    }
    return true;
}

bool log_space_is_busy(const struct hf_log *log)
{
    return log->release.busy || log->collect.busy || log->retain.busy;
}

uint64_t log_space_deadline_ns(const struct hf_log *log, uint64_t now_ns)
{
    if (log->memory != NULL) {
        return log_retain_deadline_ns(log);
    }
    uint64_t deadlines_ns[] = {log_release_deadline_ns(log), log_collect_deadline_ns(log, now_ns),
                               log_retain_deadline_ns(log)};
    uint64_t first_ns = UINT64_MAX;
    for (size_t i = 0; i < sizeof(deadlines_ns) / sizeof(deadlines_ns[0]); i++) {
        first_ns = deadlines_ns[i] < first_ns ? deadlines_ns[i] : first_ns;
    }
    return first_ns;
}

void log_space_close(struct hf_log *log)
{
    log_collect_close(&log->collect);
    log_release_close(&log->release);
    log_retain_close(&log->retain);
}
