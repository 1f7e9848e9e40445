#include "snapshot/snapshot_digest.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buffer.h"
#include "base/error.h"

struct snapshot_digest {
    XXH3_state_t *state; /* by its own allocator: it wants an alignment of 64 bytes */
};

int snapshot_digest_open(struct snapshot_digest **out)
{
    struct snapshot_digest *digest = memory_new(sizeof(*digest));
    *out = NULL;
    digest->state = XXH3_createState();
    if (digest->state == NULL) {
        free(digest);
        return error_raise(HF_ENOMEM, "no memory for the state of a digest");
    }
    snapshot_digest_reset(digest);
    *out = digest;
    return 0;
}

void snapshot_digest_close(struct snapshot_digest *digest)
{
    if (digest != NULL) {
        XXH3_freeState(digest->state);
        free(digest);
    }
}

void snapshot_digest_reset(struct snapshot_digest *digest)
{
    XXH3_128bits_reset(digest->state);
}

void snapshot_digest_update(struct snapshot_digest *digest, const void *data, size_t size)
{
    XXH3_128bits_update(digest->state, data, size);
}

void snapshot_digest_get(const struct snapshot_digest *digest, uint8_t target[16])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(digest->state));
    memcpy(target, canonical.digest, 16);
}
