/* Manifests in bytes, version 1: what consensus carries and what stands in a snapshot's file. Little-endian.
 *    0  u32  magic "HFSM"
 *    4  u32  CRC-32C of byte 8 to the end
 *    8  u16  version
 *   10  u8   compression (enum hf_snapshot_compression) that was asked for; a chunk may be stored plain
 *   11  u8   kind of the digest: 1 is XXH3-128, seed 0, of the application bytes
 *   12  u32  chunk size: application bytes of every chunk but the last
 *   16  16   id
 *   32  u64  group
 *   40  u64  incarnation of the group
 *   48  u64  index
 *   56  u64  term
 *   64  u64  index of the configuration
 *   72  u64  time of creation, UNIX milliseconds
 *   80  u64  entries
 *   88  u64  application bytes
 *   96  u64  stored bytes: of the chunks, their headers included
 *  104  u32  number of chunks
 *  108  u32  size of the configuration, at most 4096
 *  112  16   digest, as xxHash writes it (high half first, big-endian)
 *  128       configuration, in its owner's encoding
 * Valid when CRC and version are right, ids and sizes are within their limits, and the number of chunks follows from
 * application bytes and chunk size. */
#ifndef SNAPSHOT_SNAPSHOT_MANIFEST_H
#define SNAPSHOT_SNAPSHOT_MANIFEST_H

#include "holdfast/snapshot.h"
#include "snapshot/snapshot_format.h"

#define SNAPSHOT_MANIFEST_VERSION   1u
#define SNAPSHOT_MANIFEST_HEAD_SIZE 128u

/* How many application bytes chunk `number` has. number < chunk_count. */
uint32_t snapshot_manifest_chunk_bytes(const struct hf_snapshot_manifest *manifest, uint32_t number);
struct snapshot_header snapshot_manifest_header(const struct hf_snapshot_manifest *manifest);
/* HF_EINVALID: a manifest that nobody could decode. */
int snapshot_manifest_check(const struct hf_snapshot_manifest *manifest);

#endif
