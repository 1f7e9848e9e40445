/* Files in memory behind io/io.h, so that the memory store is the same code on the same format. Names and contents are
 * "durable" at once. Locks are granted. Private to the room. Thread: any. */
#ifndef SNAPSHOT_SNAPSHOT_MEMORY_H
#define SNAPSHOT_SNAPSHOT_MEMORY_H

#include "io/io.h"

/* lender: gives clock, randomness and queues; outlives it. io_close frees everything. */
struct io *snapshot_memory_open(struct io *lender);

#endif
