/* Compression of single chunks. Chunks are independent of each other, so that each can be read, sent and compressed by
 * itself. A codec belongs to one thread at a time; it keeps the library's state between chunks. */
#ifndef SNAPSHOT_SNAPSHOT_CODEC_H
#define SNAPSHOT_SNAPSHOT_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "holdfast/snapshot.h"

#define SNAPSHOT_CODEC_EXTRA_SIZE 128u /* room that lz4 asks for beyond the size of the chunk */

struct snapshot_codec; /* of compressing or decompressing; made as needed */

/* level: as in struct hf_snapshot_format, 0 for the default. HF_EINVALID for a level that the compression lacks. */
int snapshot_codec_check(enum hf_snapshot_compression compression, uint32_t level);
struct snapshot_codec *snapshot_codec_open(enum hf_snapshot_compression compression, uint32_t level);
void snapshot_codec_close(struct snapshot_codec *codec); /* accepts NULL */
/* *compression says what was done: the codec's own, or none when the result would not be smaller than the source (the
 * bytes are then copied). target holds size + SNAPSHOT_CODEC_EXTRA_SIZE bytes; at most size of them are the result.
 * HF_ENOMEM, HF_EIO (the library failed). */
int snapshot_codec_pack(struct snapshot_codec *codec, const void *data, uint32_t size, void *target,
                        uint32_t *packed_size, enum hf_snapshot_compression *compression);
/* Decompresses a payload from anywhere into exactly size bytes. HF_ECORRUPT when it is not that. */
int snapshot_codec_unpack(struct snapshot_codec *codec, enum hf_snapshot_compression compression,
                          struct hf_bytes payload, void *target, uint32_t size);

#endif
