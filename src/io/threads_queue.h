/* io_queue by threads that block in pwritev2(RWF_DSYNC). Private to the room. */
#ifndef IO_THREADS_QUEUE_H
#define IO_THREADS_QUEUE_H

#include "io/io.h"

int threads_queue_open(struct io *io, unsigned depth, struct io_queue **out);

#endif
