/* The next chunk of the tail cache is mapped and touched by a worker before the appender needs it. At the first touch
 * the kernel clears the memory: milliseconds for a chunk on a virtual machine, and everybody who waits for the log
 * waits for that. A log that never fills a part of its first chunk gets no second one.
 *
 * It is help and no more: where it fails or comes too late, the appender maps its chunk itself. The log's mutex guards
 * all of it but the work. */
#ifndef LOG_LOG_WARM_H
#define LOG_LOG_WARM_H

#include <stdbool.h>
#include <stddef.h>

#include "io/io.h"

struct hf_log;
struct log_chunk;

struct log_warm {
    struct io_operation operation;
    struct log_chunk *chunk; /* the worker's while busy */
    size_t size;
    bool busy;
};

void log_warm_start(struct hf_log *log);  /* when a chunk is wanted, and nothing is under way */
void log_warm_finish(struct hf_log *log); /* the operation is over */
void log_warm_close(struct log_warm *warm);

#endif
