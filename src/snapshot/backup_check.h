/* One group of a backup on its way: its chunks come in order, each is checked and unpacked, and the last one is taken
 * only when sizes and digest are those of the manifest. Reader and writer of a backup have one each. */
#ifndef SNAPSHOT_BACKUP_CHECK_H
#define SNAPSHOT_BACKUP_CHECK_H

#include "base/buffer.h"
#include "holdfast/snapshot.h"
#include "snapshot/snapshot_codec.h"
#include "snapshot/snapshot_digest.h"

struct backup_check {
    struct hf_snapshot_manifest manifest; /* of the group; group 0: none yet */
    uint32_t chunk_next;
    uint64_t stored_bytes;
    struct snapshot_codec *codec;
    struct snapshot_digest *digest; /* of the group's application bytes */
    struct buffer application;      /* grows to the longest chunk that was met: HF_SNAPSHOT_CHUNK_SIZE_MAX at most */
};

int backup_check_open(struct backup_check *check);
void backup_check_close(struct backup_check *check); /* works on a zeroed one */
bool backup_check_is_whole(const struct backup_check *check);
/* HF_ECORRUPT: the one before is not whole, or this one is not behind it in order. */
int backup_check_group(struct backup_check *check, const struct hf_snapshot_manifest *manifest);
/* One chunk as it is stored: lends its application bytes until the next call. HF_ECORRUPT. */
int backup_check_chunk(struct backup_check *check, struct hf_bytes raw, struct hf_bytes *application);

#endif
