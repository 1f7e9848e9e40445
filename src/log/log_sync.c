#include "log/log_sync.h"

#include "base/error.h"

/* A wish for a sync is met when everything up to there was written: log_writer_complete looks after it. */
void log_sync_wish(struct log_writer *writer, uint64_t position)
{
    uint64_t covered = writer->sync.busy ? writer->sync.target_position : writer->durable_position;
    writer->sync_wish_position = position > writer->sync_wish_position ? position : writer->sync_wish_position;
    writer->sync_wanted |= writer->sync_wish_position > covered;
}

bool log_sync_is_possible(const struct log_writer *writer)
{
    return !writer->sync.busy && !list_empty(&writer->writes) &&
           list_entry(writer->writes.next, struct log_write, link)->state == LOG_WRITE_WRITTEN;
}

/* The next segment with a write that the running sync shall cover. */
static struct log_write *log_sync_next_write(struct log_writer *writer)
{
    list_each (&writer->writes, item) {
        struct log_write *write = list_entry(item, struct log_write, link);
        if (write->state != LOG_WRITE_WRITTEN || log_write_end(write) > writer->sync.target_position) {
            return NULL;
        }
        if (!write->synced) {
            return write;
        }
    }
    return NULL;
}

static void log_sync_step(struct log_writer *writer)
{
    struct log_write *write = log_sync_next_write(writer);
    if (write == NULL) {
        writer->sync.busy = false;
        return;
    }
    writer->sync.segment = write->segment;
    writer->sync.operation =
        (struct io_operation){.kind = IO_SYNC, .file = write->segment->writer, .user = &writer->sync};
    int rc = io_queue_submit(writer->queue, &writer->sync.operation);
    if (rc != 0) {
        writer->sync.busy = false;
        log_writer_poison(writer, rc, hf_error_text());
    }
}

void log_sync_start(struct log_writer *writer)
{
    uint64_t target = writer->durable_position;
    list_each (&writer->writes, item) {
        struct log_write *write = list_entry(item, struct log_write, link);
        if (write->state != LOG_WRITE_WRITTEN) {
            break;
        }
        target = log_write_end(write);
    }
    writer->sync_wanted = false;
    if (target == writer->durable_position) {
        return;
    }
    writer->sync.bytes = writer->unsynced_bytes;
    writer->unsynced_since_ns = 0;
    writer->unsynced_bytes = 0;
    writer->sync.busy = true;
    writer->sync.target_position = target;
    log_sync_step(writer);
}

void log_sync_completed(struct log_writer *writer)
{
    list_each (&writer->writes, item) {
        struct log_write *write = list_entry(item, struct log_write, link);
        if (write->state != LOG_WRITE_WRITTEN || log_write_end(write) > writer->sync.target_position) {
            break;
        }
        if (write->segment == writer->sync.segment) {
            write->synced = true;
        }
    }
    log_sync_step(writer);
}
