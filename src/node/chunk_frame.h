/* Chunks of snapshots between nodes. Who fetches asks for chunks by number, a few at a time; who is asked answers each
 * question once, with the chunk or with an error. All integers little-endian.
 *
 *   FRAME_SNAPSHOT_FETCH, 24 bytes                 FRAME_SNAPSHOT_CHUNK
 *   0      1     version = 1                       0      1     version = 1
 *   1      3     zero                              1      3     zero
 *   4      4     number of the chunk               4      4     number of the chunk
 *   8      16    id of the snapshot                8      16    id of the snapshot
 *                                                  24     4     result: 0, or an HF_E… code as two's complement
 *                                                  28     …     the chunk as it is stored (hf_snapshot_read_raw); empty
 *                                                               with an error
 * The group stands in the frame. Valid: known version, zeros are zero, at most HF_SNAPSHOT_RAW_SIZE_MAX bytes of chunk;
 * anything else is HF_EPROTOCOL. What the bytes of a chunk are worth, hf_snapshot_put decides. Thread: any. */
#ifndef NODE_CHUNK_FRAME_H
#define NODE_CHUNK_FRAME_H

#include "base/buffer.h"
#include "holdfast/snapshot.h"

#define CHUNK_FRAME_VERSION    1u
#define CHUNK_FRAME_FETCH_SIZE 24u
#define CHUNK_FRAME_HEAD_SIZE  28u /* of a chunk */
#define CHUNK_FRAME_WINDOW     8u  /* questions that one receiver may have unanswered: its credits */

struct chunk_frame {
    struct hf_snapshot_id id;
    uint32_t chunk;
    int result;            /* of a chunk */
    struct hf_bytes bytes; /* the same; lent */
};

void chunk_frame_encode_fetch(const struct chunk_frame *frame, struct buffer *out);
void chunk_frame_encode_chunk(const struct chunk_frame *frame, struct buffer *out);
int chunk_frame_decode_fetch(struct hf_bytes payload, struct chunk_frame *out);
int chunk_frame_decode_chunk(struct hf_bytes payload, struct chunk_frame *out);

#endif
