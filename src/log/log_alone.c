#include "log/log_alone.h"

static bool log_alone_may(const struct hf_log *log, enum log_alone_by by, uint64_t now_ns)
{
    const struct log_writer *writer = &log->writer;
    bool untold = log->stall.threshold_ns == 0; /* nobody wants to hear of a device that hangs */
    switch (by) {
    case LOG_ALONE_APPENDER: /* earlier appends are called back first */
        return untold && writer->ready.count == 0 && writer->gathering->waiter_count == 0;
    case LOG_ALONE_DRIVER:
        return untold;
    case LOG_ALONE_LOOP:
        return log_pace_allows(&log->pace, now_ns);
    }
    return false;
}

bool log_alone_write(struct hf_log *log, enum log_alone_by by)
{
    struct log_writer *writer = &log->writer;
    uint64_t began_ns = io_monotonic_ns(log->io);
    if (!log_writer_has_small(writer, LOG_ALONE_SIZE_MAX) || !log_alone_may(log, by, began_ns)) {
        return false;
    }
    struct log_write *write = log_writer_take_small(writer, began_ns);
    mutex_unlock(&log->mutex);
    log_writer_write_alone(write, log->io);
    mutex_lock(&log->mutex);
    uint64_t now_ns = write->operation.completed_ns;
    log_pace_note(&log->pace, now_ns - began_ns, now_ns);
    log_writer_complete(writer, &write->operation, now_ns);
    log_writer_advance(writer, now_ns);
    return true;
}

bool log_alone_append(struct hf_log *log, int *rc)
{
    /* An awake driver may be about to call back for earlier appends, which are acknowledged before this one. Who drives
     * himself would only do the same in a turn. */
    bool drives = log->options.driver == HF_LOG_DRIVE_CALLER;
    if ((!drives && !log->driver_asleep) || !log_alone_write(log, LOG_ALONE_APPENDER)) {
        return false;
    }
    *rc = log->writer.failure == 0 ? 0 : HF_EPOISONED;
    return true;
}
