/* Writes many keys to a running cluster through one node, as a client does: pipelined SETs, each batch answered before
 * the next is sent. What was not taken (no leader, no space, too much under way) or has an unknown outcome is sent
 * again, also over another connection, until BULK_WRITER_PATIENCE_MS passed without any progress: each key is set to
 * the value that it is to have, so that twice is as good as once. Thread: one. */
#ifndef CLI_BULK_WRITER_H
#define CLI_BULK_WRITER_H

#include <stdint.h>

#include "holdfast/bytes.h"
#include "io/io.h"

#define BULK_WRITER_BATCH_COUNT 512u /* below what a connection may have under way */
#define BULK_WRITER_BATCH_BYTES (1u << 20)
#define BULK_WRITER_PATIENCE_MS 30000u

struct bulk_writer;

/* address: "host:port". HF_ENOTFOUND: nobody answers. io: its clock. */
int bulk_writer_open(struct io *io, const char *address, struct bulk_writer **out);
void bulk_writer_close(struct bulk_writer *writer); /* accepts NULL; what was not flushed is dropped */
/* How many keys the cluster has. Asks until there is an answer, as patiently as it writes. */
int bulk_writer_count_keys(struct bulk_writer *writer, uint64_t *out);
/* Copies. deadline_ms: UNIX time, 0 for none. An error is that of the batch before: HF_ENOLEADER, HF_ENOSPACE,
 * HF_EINDETERMINATE, HF_ECONFLICT (refused: the text says why), HF_EIO. */
int bulk_writer_set(struct bulk_writer *writer, struct hf_bytes key, struct hf_bytes value, uint64_t deadline_ms);
int bulk_writer_flush(struct bulk_writer *writer);
uint64_t bulk_writer_written(const struct bulk_writer *writer); /* acknowledged */

#endif
