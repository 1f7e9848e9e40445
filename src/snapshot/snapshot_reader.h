/* Reading a snapshot's chunks; the public reader, and what export and verification build on it. Private to the room. */
#ifndef SNAPSHOT_SNAPSHOT_READER_H
#define SNAPSHOT_SNAPSHOT_READER_H

#include "snapshot/snapshot_store.h"

/* A reader on a file that is not listed (being received, to be imported); nothing is marked damaged. Takes the file's
 * content over and leaves it zeroed. */
int snapshot_reader_adopt(struct snapshot_file *file, struct hf_snapshot_reader **out);
/* Reads everything once. */
int snapshot_reader_verify(struct hf_snapshot_reader *reader, hf_snapshot_watch *watch, void *arg);

#endif
