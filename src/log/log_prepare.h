/* Makes segment files: pre-written, durable, and visible under their name only when they are whole. A new file is
 * written with zeros; a recycled one gets a new header and keeps what it holds, which nobody believes: every frame
 * names its segment and the incarnation. Blocking; called in the background by the pool, which writes a file in steps,
 * and by recovery. */
#ifndef LOG_LOG_PREPARE_H
#define LOG_LOG_PREPARE_H

#include <stdbool.h>

#include "io/io.h"
#include "log/log_format.h"

struct log_preparation {
    struct io *io;
    const char *directory; /* lent */
    struct log_segment_header header;
    uint64_t recycled_number; /* not 0: the file of this segment, which nobody needs, becomes the new one */
    enum hf_log_direct direct;
    uint64_t write_until; /* log_prepare_work: how far to go now */
    uint64_t written;     /* out: everything before it is written */
    struct file *file;    /* out: locked; the caller's on success */
    bool published;       /* out */
};

/* A file under its temporary name: allocated and written, nothing synced. */
int log_prepare_create(struct log_preparation *preparation);
/* Syncs it when that is not done yet, gives it its name (replacing a left-over of that name) and syncs the directory.
 */
int log_prepare_publish(struct log_preparation *preparation);
/* Closes and removes the temporary file. */
void log_prepare_abandon(struct log_preparation *preparation);
/* A step, for IO_WORK: creates the file when there is none yet, writes it up to write_until, publishes it when that was
 * all. arg: struct log_preparation. After an error there is no file any more. */
int log_prepare_work(void *arg);

/* Removes the temporary files that an earlier process left. */
int log_prepare_clean(struct io *io, const char *directory);

#endif
