/* A file that is written from front to back, in pieces of up to 256 KiB, synced now and then on the way. Larger ones
 * are no quicker, and a small write of the log that comes behind one on the device waits that much longer. After the
 * first failed write or sync everything fails: what a failed sync covered may be gone although a later one succeeds. */
#ifndef SNAPSHOT_SNAPSHOT_SINK_H
#define SNAPSHOT_SNAPSHOT_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "io/io.h"

#define SNAPSHOT_SINK_PIECE_SIZE_MIN IO_BLOCK_SIZE
#define SNAPSHOT_SINK_PIECE_SIZE_MAX (256u << 10)
#define SNAPSHOT_SINK_WRITE_SIZE_MAX (64u << 10) /* at a time to the kernel, which copies it without a pause */

struct snapshot_sink {
    struct file *file;
    uint64_t offset; /* of the first byte in the buffer */
    uint8_t *buffer;
    size_t capacity; /* of the buffer: one piece, less where it is to be synced more often */
    size_t filled;
    uint64_t sync_every_bytes;
    uint64_t unsynced_bytes;
    int failure; /* the first one */
    char failure_text[256];
};

/* Goes on at `offset`, where a file that is longer is cut. flags: FILE_CREATE and FILE_EXCLUSIVE for a new one. */
int snapshot_sink_open(struct snapshot_sink *sink, struct io *io, const char *path, unsigned flags, uint64_t offset,
                       uint64_t sync_every_bytes);
void snapshot_sink_close(struct snapshot_sink *sink); /* what was not flushed is dropped; zeroed: accepted */
int snapshot_sink_append(struct snapshot_sink *sink, const void *data, size_t size);
uint64_t snapshot_sink_position(const struct snapshot_sink *sink); /* where the next byte goes */
int snapshot_sink_flush(struct snapshot_sink *sink);               /* to the kernel */
int snapshot_sink_sync(struct snapshot_sink *sink);                /* flushes; everything survives power loss */

#endif
