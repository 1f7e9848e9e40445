#include "server/state_walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "node/group_stream.h"
#include "server/keyspace.h"
#include "store/store_walk.h"

struct state_walk {
    struct group_stream_head head;
    uint8_t head_bytes[GROUP_STREAM_HEAD_SIZE];
    size_t head_size;
    struct store_walk store;
    state_walk_visit *visit;
    void *arg;
};

static int walk_entry(void *arg, uint32_t tree, struct hf_bytes key, struct hf_bytes stored)
{
    struct state_walk *walk = arg;
    struct keyspace_item found;
    if (tree != KEYSPACE_TREE_KEYS) {
        return 0; /* what follows from the keys */
    }
    int rc = keyspace_item_of(stored, walk->head.stamp_ms, &found);
    if (rc != 0) {
        return rc;
    }
    const struct state_walk_item item = {.key = key,
                                         .value = found.value.payload,
                                         .type = value_type_name(found.value.type),
                                         .deadline_ms = found.value.deadline_ms,
                                         .is_past = !found.exists};
    return walk->visit(walk->arg, &item);
}

struct state_walk *state_walk_open(uint64_t group, uint64_t incarnation, state_walk_visit *visit, void *arg)
{
    struct state_walk *walk = memory_new(sizeof(*walk));
    walk->head = (struct group_stream_head){.group = group, .incarnation = incarnation};
    walk->visit = visit;
    walk->arg = arg;
    store_walk_open(&walk->store, walk_entry, walk);
    return walk;
}

int state_walk_write(struct state_walk *walk, struct hf_bytes bytes)
{
    size_t missing = GROUP_STREAM_HEAD_SIZE - walk->head_size;
    if (missing > 0 && bytes.size > 0) {
        size_t n = bytes.size < missing ? bytes.size : missing;
        memcpy(walk->head_bytes + walk->head_size, bytes.data, n);
        walk->head_size += n;
        bytes = bytes_of((const uint8_t *)bytes.data + n, bytes.size - n);
        int rc = n == missing ? group_stream_decode(walk->head_bytes, &walk->head) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    return bytes.size > 0 ? store_walk_write(&walk->store, bytes) : 0;
}

int state_walk_finish(struct state_walk *walk)
{
    if (walk->head_size < GROUP_STREAM_HEAD_SIZE) {
        return error_raise(HF_ECORRUPT, "the state of a group is truncated");
    }
    return store_walk_finish(&walk->store);
}

void state_walk_close(struct state_walk *walk)
{
    if (walk != NULL) {
        store_walk_close(&walk->store);
        free(walk);
    }
}
