#include "snapshot/snapshot_sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"

static int sink_check(const struct snapshot_sink *sink)
{
    return sink->failure != 0 ? error_restore(sink->failure, sink->failure_text) : 0;
}

static int sink_failed(struct snapshot_sink *sink, int rc)
{
    if (rc != 0 && sink->failure == 0) {
        sink->failure = rc;
        error_text_copy(sink->failure_text, sizeof(sink->failure_text));
    }
    return rc;
}

int snapshot_sink_open(struct snapshot_sink *sink, struct io *io, const char *path, unsigned flags, uint64_t offset,
                       uint64_t sync_every_bytes)
{
    *sink = (struct snapshot_sink){.offset = offset, .sync_every_bytes = sync_every_bytes};
    uint64_t size = 0;
    int rc = file_open(io, path, FILE_READ | FILE_WRITE | flags, &sink->file);
    if (rc == 0) {
        rc = file_size(sink->file, &size);
    }
    if (rc == 0 && size > offset) {
        rc = file_truncate(sink->file, offset);
    }
    if (rc != 0) {
        snapshot_sink_close(sink);
        return rc;
    }
    sink->capacity = SNAPSHOT_SINK_PIECE_SIZE_MAX;
    if (sync_every_bytes < SNAPSHOT_SINK_PIECE_SIZE_MAX) {
        sink->capacity =
            sync_every_bytes > SNAPSHOT_SINK_PIECE_SIZE_MIN ? sync_every_bytes : SNAPSHOT_SINK_PIECE_SIZE_MIN;
    }
    sink->buffer = memory_new(sink->capacity);
    return 0;
}

void snapshot_sink_close(struct snapshot_sink *sink)
{
    file_close(sink->file);
    free(sink->buffer);
    *sink = (struct snapshot_sink){0};
}

static int sink_write(struct snapshot_sink *sink)
{
    int rc = 0;
    for (size_t at = 0; at < sink->filled && rc == 0; at += SNAPSHOT_SINK_WRITE_SIZE_MAX) {
        size_t size = sink->filled - at;
        size = size < SNAPSHOT_SINK_WRITE_SIZE_MAX ? size : SNAPSHOT_SINK_WRITE_SIZE_MAX;
        rc = file_write(sink->file, sink->offset + at, sink->buffer + at, size);
        io_give_way();
    }
    return sink_failed(sink, rc);
}

int snapshot_sink_flush(struct snapshot_sink *sink)
{
    int rc = sink_check(sink);
    if (rc != 0 || sink->filled == 0) {
        return rc;
    }
    rc = sink_write(sink);
    if (rc == 0) {
        file_write_soon(sink->file, sink->offset, sink->filled);
        sink->offset += sink->filled;
        sink->unsynced_bytes += sink->filled;
        sink->filled = 0;
    }
    return rc;
}

int snapshot_sink_sync(struct snapshot_sink *sink)
{
    int rc = snapshot_sink_flush(sink);
    if (rc == 0) {
        rc = sink_failed(sink, file_sync(sink->file));
    }
    if (rc == 0) {
        sink->unsynced_bytes = 0;
    }
    return rc;
}

int snapshot_sink_append(struct snapshot_sink *sink, const void *data, size_t size)
{
    int rc = sink_check(sink);
    const uint8_t *at = data;
    while (size > 0 && rc == 0) {
        size_t piece = sink->capacity - sink->filled;
        piece = piece < size ? piece : size;
        memcpy(sink->buffer + sink->filled, at, piece);
        sink->filled += piece;
        at += piece;
        size -= piece;
        if (sink->filled == sink->capacity) {
            rc = snapshot_sink_flush(sink);
        }
        if (rc == 0 && sink->unsynced_bytes + sink->filled >= sink->sync_every_bytes) {
            rc = snapshot_sink_sync(sink);
        }
    }
    return rc;
}

uint64_t snapshot_sink_position(const struct snapshot_sink *sink)
{
    return sink->offset + sink->filled;
}
