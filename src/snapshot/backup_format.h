/* The format of a backup, version 1: snapshots of every group of a cluster, one behind the other, in one file that can
 * be written to and read from a pipe. All integers are little-endian.
 *
 *   file   ┌────────┬───────────────────────────────┬───┬───────────────────────────────┬─────────┐
 *          │ header │ group 0 │ chunk 0 │ chunk 1 … │ … │ group n−1 │ chunk 0 │ …       │ trailer │
 *          │ 64     └── one snapshot ───────────────┘   └───────────────────────────────┘ 64      │
 *          └────────┴───────────────────────────────┴───┴───────────────────────────────┴─────────┘
 *
 * ---- Header ----
 *    0  u64  magic "HFBACKUP"
 *    8  u32  CRC-32C of bytes 12 … 63 (place fixed for every version)
 *   12  u32  version
 *   16  16   id of the backup, random
 *   32  16   id of the cluster that it was taken from
 *   48  u64  time when it was begun, UNIX milliseconds
 *   56  u32  number of groups, 1 … BACKUP_FORMAT_GROUPS_MAX
 *   60  u32  zero
 *
 * ---- Group: a head of 16 bytes, then a manifest (snapshot_manifest.h) ----
 *    0  u32  magic "HFBG"
 *    4  u32  CRC-32C of byte 8 to the end of the manifest, started from the CRC-32C of the backup's id
 *    8  u32  position of the group in the backup, from 0
 *   12  u32  size of the manifest
 * Groups come in ascending order of their ids. Their chunks follow in order, each as it is stored in the snapshot: a
 * section of kind 1 (snapshot_format.h), whose CRC binds it to the snapshot's id and its number. As many as the
 * manifest says; together they are what its sizes and its digest say.
 *
 * ---- Trailer ----
 *    0  u64  magic "HFBACKND"
 *    8  u32  CRC-32C of bytes 12 … 63
 *   12  u32  version
 *   16  16   id of the backup
 *   32  16   XXH3-128, as xxHash writes it, of everything before the trailer
 *   48  u64  size of the file, the trailer included
 *   56  u64  zero
 *
 * Valid: all that is drawn, in this order, and nothing behind it. What is cut off before the trailer is good up to its
 * last whole section, and can be gone on with. */
#ifndef SNAPSHOT_BACKUP_FORMAT_H
#define SNAPSHOT_BACKUP_FORMAT_H

#include <stdint.h>

#include "holdfast/snapshot.h"

#define BACKUP_FORMAT_VERSION      1u
#define BACKUP_FORMAT_MAGIC        "HFBACKUP"
#define BACKUP_FORMAT_HEADER_SIZE  64u
#define BACKUP_FORMAT_GROUP_SIZE   16u /* head of a group, without the manifest */
#define BACKUP_FORMAT_TRAILER_SIZE 64u
#define BACKUP_FORMAT_GROUPS_MAX   4096u

struct backup_header {
    struct hf_snapshot_id id;
    uint8_t cluster_id[16];
    uint64_t created_ms;
    uint32_t group_count;
};
struct backup_trailer {
    struct hf_snapshot_id id;
    uint8_t digest[16];
    uint64_t file_size;
};

/* target and source: BACKUP_FORMAT_HEADER_SIZE bytes. HF_ECORRUPT; HF_EVERSION when it is whole but newer. */
void backup_format_put_header(uint8_t *target, const struct backup_header *header);
int backup_format_get_header(const uint8_t *source, struct backup_header *out);
/* target and source: BACKUP_FORMAT_TRAILER_SIZE bytes. */
void backup_format_put_trailer(uint8_t *target, const struct backup_trailer *trailer);
int backup_format_get_trailer(const uint8_t *source, struct backup_trailer *out);
/* target holds BACKUP_FORMAT_GROUP_SIZE + HF_SNAPSHOT_MANIFEST_SIZE_MAX bytes; returns how many were written. */
size_t backup_format_put_group(uint8_t *target, const struct hf_snapshot_id *backup, uint32_t position,
                               const struct hf_snapshot_manifest *manifest);
/* The size of the manifest, bounded but not verified: how much to read behind the head. HF_ECORRUPT. */
int backup_format_get_group_size(const uint8_t *source, uint32_t *manifest_size);
/* bytes: head and manifest, and no more. HF_ECORRUPT, HF_EVERSION. */
int backup_format_get_group(struct hf_bytes bytes, const struct hf_snapshot_id *backup, uint32_t position,
                            struct hf_snapshot_manifest *out);

#endif
