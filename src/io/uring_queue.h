/* io_queue by io_uring. Private to the room. */
#ifndef IO_URING_QUEUE_H
#define IO_URING_QUEUE_H

#include "io/io.h"

/* 0, or HF_EUNSUPPORTED with the reason: an old kernel, or a sandbox that forbids io_uring. */
int uring_queue_probe(void);
int uring_queue_open(struct io *io, unsigned depth, struct io_queue **out);

#endif
