/* Reads a backup (backup_format.h) from front to back, also from a pipe. Trusts nothing: each section is checked before
 * it is handed out, errors name group, chunk and byte. Memory: two chunks.
 *
 *   open ─ { group ─ chunk … until size 0 } … ─ group says there is none: the whole backup was good
 *
 * Thread: one. */
#ifndef SNAPSHOT_BACKUP_READER_H
#define SNAPSHOT_BACKUP_READER_H

#include "holdfast/snapshot.h"
#include "snapshot/backup_format.h"

struct backup_reader;

/* Reads the header. HF_ECORRUPT, HF_EVERSION, HF_ENOMEM; what the source returns. */
int backup_reader_open(hf_snapshot_source *source, void *arg, struct backup_reader **out);
void backup_reader_close(struct backup_reader *reader); /* accepts NULL */
const struct backup_header *backup_reader_header(const struct backup_reader *reader);
/* The next group's manifest, lent until the next call of this; *out = NULL at the end, which is reached only when the
 * trailer is right and nothing stands behind it. What is left of the group before is read over, and checked. */
int backup_reader_group(struct backup_reader *reader, const struct hf_snapshot_manifest **out);
/* Lends the application bytes of the group's next chunk until the next call; size 0 at the group's end, which is
 * reached only when its digest was right. raw: the chunk as it is stored; may be NULL. */
int backup_reader_chunk(struct backup_reader *reader, struct hf_bytes *application, struct hf_bytes *raw);
uint64_t backup_reader_offset(const struct backup_reader *reader); /* bytes that were read and found good */

#endif
