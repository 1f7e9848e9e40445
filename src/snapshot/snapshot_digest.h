/* The digest of application bytes: XXH3-128, seed 0, in its canonical form. It guards against damage and mistakes, not
 * against forgery; the peers of a cluster are authenticated elsewhere. */
#ifndef SNAPSHOT_SNAPSHOT_DIGEST_H
#define SNAPSHOT_SNAPSHOT_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct snapshot_digest;

int snapshot_digest_open(struct snapshot_digest **out);     /* HF_ENOMEM */
void snapshot_digest_close(struct snapshot_digest *digest); /* accepts NULL */
void snapshot_digest_reset(struct snapshot_digest *digest);
void snapshot_digest_update(struct snapshot_digest *digest, const void *data, size_t size);
void snapshot_digest_get(const struct snapshot_digest *digest, uint8_t target[16]);

#endif
