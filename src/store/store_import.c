#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "store/backend.h"
#include "store/store_stream.h"

struct hf_store_import {
    struct hf_store *store; /* being filled */
    struct buffer rest;     /* the front of a record whose end has not come */
    struct buffer key_last; /* of the tree */
    int failure;            /* sticks */
    bool has_head;
    bool has_key_last;
    bool is_ended;
    uint32_t trees_left;
    uint32_t tree;
    uint64_t tree_entries_left;
    uint64_t entries;
    int64_t tree_last; /* number of the last tree, −1: none */
    struct hf_store_digest digest;
    struct hf_store_applied applied;
};

int hf_store_import_open(const struct hf_store_options *options, struct hf_store_import **out)
{
    struct hf_store_import *import = memory_new(sizeof(*import));
    int rc = hf_store_open(options, &import->store);
    if (rc != 0) {
        free(import);
        return rc;
    }
    import->tree_last = -1;
    *out = import;
    return 0;
}

void hf_store_import_close(struct hf_store_import *import)
{
    if (import != NULL) {
        hf_store_close(import->store);
        buffer_close(&import->rest);
        buffer_close(&import->key_last);
        free(import);
    }
}

/* ---- One record: bytes begins with it. 0 with *used = 0: more bytes are needed. ---- */

static int store_import_head(struct hf_store_import *import, struct hf_bytes bytes, size_t *used)
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
    import->trees_left = bytes_get_u32(data + 12);
    import->has_head = true;
    *used = STORE_STREAM_HEAD_SIZE;
    return import->trees_left <= HF_STORE_TREES_MAX ? 0 : error_raise(HF_ECORRUPT, "a store of too many trees");
}

static int store_import_tree(struct hf_store_import *import, struct hf_bytes bytes, size_t *used)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < STORE_STREAM_TREE_SIZE) {
        return 0;
    }
    import->tree = bytes_get_u32(data + 4);
    import->tree_entries_left = bytes_get_u64(data + 8);
    if (import->trees_left == 0 || import->tree >= HF_STORE_TREES_MAX || (int64_t)import->tree <= import->tree_last ||
        import->tree_entries_left == 0 || (bytes_get_u32(data) >> 8) != 0) {
        return error_raise(HF_ECORRUPT, "tree %" PRIu32 " is out of order, empty or one too many", import->tree);
    }
    import->tree_last = import->tree;
    import->trees_left--;
    import->has_key_last = false;
    *used = STORE_STREAM_TREE_SIZE;
    return 0;
}

static int store_import_entry(struct hf_store_import *import, struct hf_bytes bytes, size_t *used)
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
    if (import->has_key_last && bytes_compare(key, buffer_bytes(&import->key_last)) <= 0) {
        return error_raise(HF_ECORRUPT, "the keys of tree %" PRIu32 " are not in order", import->tree);
    }
    buffer_clear(&import->key_last);
    buffer_append_bytes(&import->key_last, key);
    import->has_key_last = true;
    import->tree_entries_left--;
    import->entries++;
    *used = STORE_STREAM_ENTRY_SIZE + key_size + value_size;
    return hf_store_put(import->store, import->tree, key, value, NULL);
}

static int store_import_end(struct hf_store_import *import, struct hf_bytes bytes, size_t *used)
{
    const uint8_t *data = bytes.data;
    if (bytes.size < STORE_STREAM_END_SIZE) {
        return 0;
    }
    if (import->trees_left != 0 || bytes_get_u64(data + 8) != import->entries || (bytes_get_u64(data) >> 8) != 0) {
        return error_raise(HF_ECORRUPT, "the stream of a store ends early or miscounts");
    }
    import->digest = (struct hf_store_digest){bytes_get_u64(data + 16), bytes_get_u64(data + 24)};
    import->applied = (struct hf_store_applied){bytes_get_u64(data + 32), bytes_get_u64(data + 40)};
    import->is_ended = true;
    *used = STORE_STREAM_END_SIZE;
    return 0;
}

static int store_import_record(struct hf_store_import *import, struct hf_bytes bytes, size_t *used)
{
    *used = 0;
    if (bytes.size == 0) {
        return 0;
    }
    if (import->is_ended) {
        return error_raise(HF_ECORRUPT, "the stream of a store goes on behind its end");
    }
    if (!import->has_head) {
        return store_import_head(import, bytes, used);
    }
    uint8_t kind = bytes_get_u8(bytes.data);
    if (import->tree_entries_left > 0 && kind == STORE_STREAM_ENTRY) {
        return store_import_entry(import, bytes, used);
    }
    if (import->tree_entries_left == 0 && kind == STORE_STREAM_TREE) {
        return store_import_tree(import, bytes, used);
    }
    if (import->tree_entries_left == 0 && kind == STORE_STREAM_END) {
        return store_import_end(import, bytes, used);
    }
    return error_raise(HF_ECORRUPT, "a record of kind %u where none belongs", kind);
}

/* Takes whole records from the front; the number of bytes goes to *done. */
static int store_import_records(struct hf_store_import *import, struct hf_bytes bytes, size_t *done)
{
    size_t used;
    *done = 0;
    do {
        int rc = store_import_record(import, bytes_of((const uint8_t *)bytes.data + *done, bytes.size - *done), &used);
        if (rc != 0) {
            return rc;
        }
        *done += used;
    } while (used > 0);
    return 0;
}

/* How many more bytes the record at the front of `rest` wants, as far as can be told: so that a large value is not
 * looked at again with every piece. */
static size_t store_import_wanted(const struct hf_store_import *import)
{
    const struct buffer *rest = &import->rest;
    size_t whole = STORE_STREAM_END_SIZE;
    if (!import->has_head) {
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

static int store_import_take(struct hf_store_import *import, struct hf_bytes bytes)
{
    size_t done;
    int rc;
    while (import->rest.size > 0 && bytes.size > 0) {
        size_t wanted = store_import_wanted(import);
        size_t n = wanted < bytes.size ? wanted : bytes.size;
        buffer_append(&import->rest, bytes.data, n);
        bytes = bytes_of((const uint8_t *)bytes.data + n, bytes.size - n);
        rc = store_import_records(import, buffer_bytes(&import->rest), &done);
        if (rc != 0) {
            return rc;
        }
        buffer_drop_front(&import->rest, done);
    }
    rc = store_import_records(import, bytes, &done);
    if (rc == 0 && done < bytes.size) {
        buffer_append(&import->rest, (const uint8_t *)bytes.data + done, bytes.size - done);
    }
    return rc;
}

int hf_store_import_write(struct hf_store_import *import, struct hf_bytes bytes)
{
    if (import->failure == 0 && bytes.size > 0) {
        import->failure = store_import_take(import, bytes);
    }
    return import->failure;
}

int hf_store_import_finish(struct hf_store_import *import, struct hf_store **out)
{
    if (import->failure == 0 && (!import->is_ended || import->rest.size > 0)) {
        import->failure = error_raise(HF_ECORRUPT, "the stream of a store is truncated");
    }
    struct hf_store_digest digest = hf_store_digest(import->store);
    if (import->failure == 0 && (digest.low != import->digest.low || digest.high != import->digest.high)) {
        import->failure = error_raise(HF_ECORRUPT, "the imported contents have another digest than those exported");
    }
    if (import->failure == 0) {
        import->failure = hf_store_apply_begin(import->store);
    }
    if (import->failure == 0) {
        import->failure = hf_store_apply_commit(import->store, import->applied);
    }
    int rc = import->failure;
    if (rc == 0) {
        *out = import->store;
        import->store = NULL;
    }
    hf_store_import_close(import);
    return rc;
}
