#include "store/store_walk.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "store/store_stream.h"

void store_walk_open(struct store_walk *walk, store_walk_visit *visit, void *arg)
{
    *walk = (struct store_walk){.visit = visit, .arg = arg, .tree_last = -1};
}

void store_walk_close(struct store_walk *walk)
{
    buffer_close(&walk->rest);
    buffer_close(&walk->key_last);
}

/* ---- One record: bytes begins with it. 0 with *used = 0: more bytes are needed. ---- */

static int store_walk_head(struct store_walk *walk, struct hf_bytes bytes, size_t *used)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < STORE_STREAM_HEAD_SIZE) {
        return 0;
    }
    if (memcmp(data, STORE_STREAM_MAGIC, 8) != 0) {
        return error_raise(HF_ECORRUPT, "this is not the stream of a store");
    }
    if (bytes_get_u32(data + 8) != STORE_STREAM_VERSION) {
        return error_raise(HF_EVERSION, "the stream of a store has version %" PRIu32 ", this program knows %u",
                           bytes_get_u32(data + 8), STORE_STREAM_VERSION);
    }
    walk->trees_left = bytes_get_u32(data + 12);
    walk->has_head = true;
    *used = STORE_STREAM_HEAD_SIZE;
    return walk->trees_left <= HF_STORE_TREES_MAX ? 0 : error_raise(HF_ECORRUPT, "a store of too many trees");
}

static int store_walk_tree(struct store_walk *walk, struct hf_bytes bytes, size_t *used)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < STORE_STREAM_TREE_SIZE) {
        return 0;
    }
    walk->tree = bytes_get_u32(data + 4);
    walk->tree_entries_left = bytes_get_u64(data + 8);
    if (walk->trees_left == 0 || walk->tree >= HF_STORE_TREES_MAX || (int64_t)walk->tree <= walk->tree_last ||
        walk->tree_entries_left == 0 || (bytes_get_u32(data) >> 8) != 0) {
        return error_raise(HF_ECORRUPT, "tree %" PRIu32 " is out of order, empty or one too many", walk->tree);
    }
    walk->tree_last = walk->tree;
    walk->trees_left--;
    walk->has_key_last = false;
    *used = STORE_STREAM_TREE_SIZE;
    return 0;
}

static int store_walk_entry(struct store_walk *walk, struct hf_bytes bytes, size_t *used)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < STORE_STREAM_ENTRY_SIZE) {
        return 0;
    }
    size_t key_size = bytes_get_u16(data + 1);
    size_t value_size = bytes_get_u32(data + 3);
    if (key_size > HF_STORE_KEY_SIZE_MAX || value_size > HF_STORE_VALUE_SIZE_MAX + HF_STORE_VALUE_EXTRA_MAX) {
        return error_raise(HF_ECORRUPT, "an entry with a key of %zu and a value of %zu bytes", key_size, value_size);
    }
    if (bytes.size - STORE_STREAM_ENTRY_SIZE < key_size + value_size) {
        return 0;
    }
    struct hf_bytes key = bytes_of(data + STORE_STREAM_ENTRY_SIZE, key_size);
    struct hf_bytes value = bytes_of(data + STORE_STREAM_ENTRY_SIZE + key_size, value_size);
    if (walk->has_key_last && bytes_compare(key, buffer_bytes(&walk->key_last)) <= 0) {
        return error_raise(HF_ECORRUPT, "the keys of tree %" PRIu32 " are not in order", walk->tree);
    }
    buffer_clear(&walk->key_last);
    buffer_append_bytes(&walk->key_last, key);
    walk->has_key_last = true;
    walk->tree_entries_left--;
    walk->entries++;
    *used = STORE_STREAM_ENTRY_SIZE + key_size + value_size;
    return walk->visit(walk->arg, walk->tree, key, value);
}

static int store_walk_end(struct store_walk *walk, struct hf_bytes bytes, size_t *used)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < STORE_STREAM_END_SIZE) {
        return 0;
    }
    if (walk->trees_left != 0 || bytes_get_u64(data + 8) != walk->entries || (bytes_get_u64(data) >> 8) != 0) {
        return error_raise(HF_ECORRUPT, "the stream of a store ends early or miscounts");
    }
    walk->digest = (struct hf_store_digest){bytes_get_u64(data + 16), bytes_get_u64(data + 24)};
    walk->applied = (struct hf_store_applied){bytes_get_u64(data + 32), bytes_get_u64(data + 40)};
    walk->is_ended = true;
    *used = STORE_STREAM_END_SIZE;
    return 0;
}

static int store_walk_record(struct store_walk *walk, struct hf_bytes bytes, size_t *used)
{
    *used = 0;
    if (bytes.size == 0) {
        return 0;
    }
    if (walk->is_ended) {
        return error_raise(HF_ECORRUPT, "the stream of a store goes on behind its end");
    }
    if (!walk->has_head) {
        return store_walk_head(walk, bytes, used);
    }
    uint8_t kind = bytes_get_u8(bytes.data);
    if (walk->tree_entries_left > 0 && kind == STORE_STREAM_ENTRY) {
        return store_walk_entry(walk, bytes, used);
    }
    if (walk->tree_entries_left == 0 && kind == STORE_STREAM_TREE) {
        return store_walk_tree(walk, bytes, used);
    }
    if (walk->tree_entries_left == 0 && kind == STORE_STREAM_END) {
        return store_walk_end(walk, bytes, used);
    }
    return error_raise(HF_ECORRUPT, "a record of kind %u where none belongs", kind);
}

/* Takes whole records from the front; the number of bytes goes to *done. */
static int store_walk_records(struct store_walk *walk, struct hf_bytes bytes, size_t *done)
{
    size_t used;
    *done = 0;
    do {
        int rc = store_walk_record(walk, bytes_of((const uint8_t *)bytes.data + *done, bytes.size - *done), &used);
        if (rc != 0) {
            return rc;
        }
        *done += used;
    } while (used > 0);
    return 0;
}

/* How many more bytes the record at the front of `rest` wants, as far as can be told: so that a large value is not
 * looked at again with every piece. */
static size_t store_walk_wanted(const struct store_walk *walk)
{
    const struct buffer *rest = &walk->rest;
    size_t whole = STORE_STREAM_END_SIZE;
    if (!walk->has_head) {
        whole = STORE_STREAM_HEAD_SIZE;
    } else if (rest->size > 0 && rest->data[0] == STORE_STREAM_ENTRY) {
        whole = STORE_STREAM_ENTRY_SIZE;
        if (rest->size >= STORE_STREAM_ENTRY_SIZE) {
            whole += bytes_get_u16(rest->data + 1) + (size_t)bytes_get_u32(rest->data + 3);
        }
    } else if (rest->size > 0 && rest->data[0] == STORE_STREAM_TREE) {
        whole = STORE_STREAM_TREE_SIZE;
    }
    return whole > rest->size ? whole - rest->size : 1;
}

static int store_walk_take(struct store_walk *walk, struct hf_bytes bytes)
{
    size_t done;
    int rc;
    while (walk->rest.size > 0 && bytes.size > 0) {
        size_t wanted = store_walk_wanted(walk);
        size_t n = wanted < bytes.size ? wanted : bytes.size;
        buffer_append(&walk->rest, bytes.data, n);
        bytes = bytes_of((const uint8_t *)bytes.data + n, bytes.size - n);
        rc = store_walk_records(walk, buffer_bytes(&walk->rest), &done);
        if (rc != 0) {
            return rc;
        }
        buffer_drop_front(&walk->rest, done);
    }
    rc = store_walk_records(walk, bytes, &done);
    if (rc == 0 && done < bytes.size) {
        buffer_append(&walk->rest, (const uint8_t *)bytes.data + done, bytes.size - done);
    }
    return rc;
}

int store_walk_write(struct store_walk *walk, struct hf_bytes bytes)
{
    if (walk->failure == 0 && bytes.size > 0) {
        walk->failure = store_walk_take(walk, bytes);
    }
    return walk->failure;
}

int store_walk_finish(struct store_walk *walk)
{
    if (walk->failure == 0 && (!walk->is_ended || walk->rest.size > 0)) {
        walk->failure = error_raise(HF_ECORRUPT, "the stream of a store is truncated");
    }
    return walk->failure;
}
