#include "node/router.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

struct hf_bytes router_tag(struct hf_bytes key)
{
    const uint8_t *start = key.size > 0 ? memchr(key.data, '{', key.size) : NULL;
    if (start == NULL) {
        return key;
    }
    start++;
    size_t left = key.size - (size_t)(start - (const uint8_t *)key.data);
    const uint8_t *end = left > 0 ? memchr(start, '}', left) : NULL;
    if (end == NULL || end == start) {
        return key;
    }
    return bytes_of(start, (size_t)(end - start));
}

uint32_t router_ordinal(struct hf_bytes key, uint32_t group_count)
{
    assert(group_count >= 1);
    return hash_jump(hash_fnv1a_64(router_tag(key)), group_count);
}
