#include "log/log_alone.h"

static void log_alone_write(struct hf_log *log, struct log_write *write)
{
    mutex_unlock(&log->mutex);
    log_writer_write_alone(write, log->io);
    mutex_lock(&log->mutex);
    uint64_t now_ns = write->operation.completed_ns;
    log_writer_complete(&log->writer, &write->operation, now_ns);
    log_writer_advance(&log->writer, now_ns);
}

void log_alone_drive(struct hf_log *log)
{
    struct log_write *write = log->writer.alone;
    if (write != NULL) {
        log->writer.alone = NULL;
        log_alone_write(log, write);
    }
}

bool log_alone_append(struct hf_log *log, int *rc)
{
    /* An awake driver may be about to call back for earlier appends, which are acknowledged before this one. */
    if (log->options.driver != HF_LOG_DRIVE_THREAD || !log->driver_asleep) {
        return false;
    }
    struct log_write *write = log_writer_take_alone(&log->writer, io_monotonic_ns(log->io));
    if (write == NULL) {
        return false;
    }
    log_alone_write(log, write);
    *rc = log->writer.failure == 0 ? 0 : HF_EPOISONED;
    return true;
}
