/* The hash behind hf_store_digest: 128 bits of (tree, key, value). XXH3 is used with its published, stable results,
 * because replicas that run different releases compare digests. */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/store.h"

/* Of a value alone; blobs keep theirs, so that a large value is hashed once. */
struct hf_store_digest digest_value(struct hf_bytes value);
/* Of an entry, from the hash of its value. */
struct hf_store_digest digest_entry(uint32_t tree, struct hf_bytes key, struct hf_store_digest value);
void digest_add(struct hf_store_digest *sum, struct hf_store_digest entry);
void digest_subtract(struct hf_store_digest *sum, struct hf_store_digest entry);

#endif
