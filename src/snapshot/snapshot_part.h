/* Partly received files: what of one can be believed, and which there are. Private to the room. */
#ifndef SNAPSHOT_SNAPSHOT_PART_H
#define SNAPSHOT_SNAPSHOT_PART_H

#include "snapshot/snapshot_builder.h"

/* Opens the part file of the manifest's snapshot into the builder, with the chunks that are good noted and everything
 * behind the last of them cut off; a new file when there is none, or when it cannot be gone on with. Reads past the
 * page cache: what an earlier failed sync kept from the device looks good in the cache only. */
int snapshot_part_open(struct snapshot_builder *builder, struct hf_snapshot_store *store,
                       const struct hf_snapshot_manifest *manifest);
/* The first part file of the group: its manifest. HF_ENOTFOUND. file_bytes may be NULL. */
int snapshot_part_find(struct hf_snapshot_store *store, uint64_t group, struct hf_snapshot_manifest *out,
                       uint64_t *file_bytes);
/* Removes the part files of the group but the one of `kept` (NULL: all). */
int snapshot_part_drop(struct hf_snapshot_store *store, uint64_t group, const struct hf_snapshot_id *kept);

#endif
