/* Writes a backup (backup_format.h) from front to back, checking what it writes: a chunk that is not the next one of
 * its group, or a group whose digest is wrong, is refused and not written.
 *
 *   open ─ { group ─ chunk … } … ─ finish
 *
 * What is durable: nothing here; that is the sink's to say. Memory: two chunks. Thread: one. */
#ifndef SNAPSHOT_BACKUP_WRITER_H
#define SNAPSHOT_BACKUP_WRITER_H

#include "holdfast/snapshot.h"
#include "snapshot/backup_format.h"

struct backup_writer;

/* Writes the header. HF_EINVALID: a number of groups that no backup has; HF_ENOMEM; what the sink returns. */
int backup_writer_open(const struct backup_header *header, hf_snapshot_sink *sink, void *arg,
                       struct backup_writer **out);
void backup_writer_close(struct backup_writer *writer);            /* accepts NULL */
uint64_t backup_writer_offset(const struct backup_writer *writer); /* bytes written */
/* HF_ECORRUPT: not behind the one before it, or that is not whole. */
int backup_writer_group(struct backup_writer *writer, const struct hf_snapshot_manifest *manifest);
/* The next chunk of the group, as hf_snapshot_read_raw lends it. HF_ECORRUPT names group and chunk. */
int backup_writer_chunk(struct backup_writer *writer, struct hf_bytes raw);
uint32_t backup_writer_chunks(const struct backup_writer *writer); /* of this group so far */
/* All groups are whole: the trailer. */
int backup_writer_finish(struct backup_writer *writer);

#endif
