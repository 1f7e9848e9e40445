/* From a stream of application bytes to stored chunks, in order, compressed by the caller's thread or by workers.
 * Private to the room. Thread: its owner's, one at a time. */
#ifndef SNAPSHOT_SNAPSHOT_PACKER_H
#define SNAPSHOT_SNAPSHOT_PACKER_H

#include "io/io.h"
#include "snapshot/snapshot_format.h"

struct snapshot_packer;

/* section: lent for the call. A non-zero return ends the packing. Thread: the owner's. */
typedef int snapshot_packer_emit(void *arg, uint32_t number, struct hf_bytes section);

/* format: every field set. queue_io: whose queues may go from thread to thread; NULL: no workers. */
int snapshot_packer_open(const struct hf_snapshot_format *format, struct io *queue_io, struct hf_snapshot_id id,
                         snapshot_packer_emit *emit, void *arg, struct snapshot_packer **out);
/* Waits for what workers do. Accepts NULL. */
void snapshot_packer_close(struct snapshot_packer *packer);
int snapshot_packer_write(struct snapshot_packer *packer, const void *data, size_t size);
/* The last chunk, and whatever workers still hold. Then the digest and the count are final. */
int snapshot_packer_finish(struct snapshot_packer *packer, uint8_t digest[16]);
uint64_t snapshot_packer_application_bytes(const struct snapshot_packer *packer);

#endif
