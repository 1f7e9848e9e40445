/* The front door of the room for other rooms: the public store, opened on a given io so that it runs in the simulator.
 * Everything else is include/holdfast/snapshot.h. */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "holdfast/snapshot.h"
#include "io/io.h"

/* hf_snapshot_store_open on a lent io, which must outlive the store; options->io is ignored. Where the io has no
 * threads (the simulator), worker_threads count as 0 and blocking calls happen at once. There and in tests chunks may
 * be as small as 4 KiB. */
int snapshot_open(struct io *io, const char *directory, const struct hf_snapshot_options *options,
                  struct hf_snapshot_store **out);
/* hf_snapshot_store_open_memory; the io lends clock, randomness and threads. */
int snapshot_open_memory(struct io *io, const struct hf_snapshot_options *options, struct hf_snapshot_store **out);
/* hf_snapshot_reader_open_file on a lent io. */
int snapshot_reader_open_path(struct io *io, const char *path, struct hf_snapshot_reader **out);

#endif
