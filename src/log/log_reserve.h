/* A file of the log's directory that holds nothing but blocks: an open needs a new segment, and on a device without a
 * free byte it takes the blocks from here. Made and filled up again whenever there is room. */
#ifndef LOG_LOG_RESERVE_H
#define LOG_LOG_RESERVE_H

#include <stdint.h>

#include "io/io.h"

#define LOG_RESERVE_NAME "RESERVE"

/* Makes the file at least size_bytes large. Best effort: without it the log works, too. */
void log_reserve_fill(struct io *io, const char *directory, uint64_t size_bytes);
/* Gives blocks back to the device: this many bytes, or all that is left. HF_ENOSPACE when there is nothing. */
int log_reserve_release(struct io *io, const char *directory, uint64_t size_bytes);

#endif
