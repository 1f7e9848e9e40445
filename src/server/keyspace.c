#include "server/keyspace.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"

#define KEYSPACE_PARTS_MAX 4u

_Static_assert(MACHINE_KEY_SIZE_MAX + KEYSPACE_DEADLINE_SIZE <= HF_STORE_KEY_SIZE_MAX, "index keys fit");
_Static_assert(VALUE_HEADER_SIZE <= HF_STORE_VALUE_EXTRA_MAX, "envelopes fit");
_Static_assert(MACHINE_VALUE_SIZE_MAX <= HF_STORE_VALUE_SIZE_MAX, "values fit");

static const struct hf_bytes keyspace_nothing = {"", 0};

/* ---- Keys of the indexes ---- */

struct keyspace_index_key {
    uint8_t bytes[MACHINE_KEY_SIZE_MAX + KEYSPACE_DEADLINE_SIZE];
};

/* The `size` low bytes of the number, the most significant first, then the key. */
static struct hf_bytes keyspace_index_key(struct keyspace_index_key *out, uint64_t number, unsigned size,
                                          struct hf_bytes key)
{
    for (unsigned i = 0; i < size; i++) {
        out->bytes[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
    }
    assert(key.size <= MACHINE_KEY_SIZE_MAX);
    if (key.size > 0) {
        memcpy(out->bytes + size, key.data, key.size);
    }
    return bytes_of(out->bytes, size + key.size);
}

static uint64_t keyspace_index_split(struct hf_bytes index_key, unsigned size, struct hf_bytes *key)
{
    const uint8_t *bytes = index_key.data;
    uint64_t number = 0;
    assert(index_key.size >= size);
    for (unsigned i = 0; i < size; i++) {
        number = number << 8 | bytes[i];
    }
    *key = bytes_of(bytes + size, index_key.size - size);
    return number;
}

uint64_t keyspace_hash(const struct keyspace *keyspace, struct hf_bytes key)
{
    return hash_xxh3_64(key, keyspace->scan_seed) >> 16;
}

uint64_t keyspace_scan_split(struct hf_bytes scan_key, struct hf_bytes *key)
{
    return keyspace_index_split(scan_key, KEYSPACE_HASH_SIZE, key);
}

/* ---- Reading ---- */

static bool keyspace_is_past(uint64_t deadline_ms, uint64_t stamp_ms)
{
    return deadline_ms != 0 && stamp_ms > deadline_ms;
}

int keyspace_item_of(struct hf_bytes stored, uint64_t stamp_ms, struct keyspace_item *item)
{
    int rc = value_decode(stored, &item->value);
    item->is_stored = rc == 0;
    item->exists = rc == 0 && !keyspace_is_past(item->value.deadline_ms, stamp_ms);
    return rc;
}

int keyspace_get(struct keyspace *keyspace, struct hf_bytes key, uint64_t stamp_ms, struct keyspace_item *item)
{
    struct hf_bytes stored;
    int rc = hf_store_get(keyspace->store, KEYSPACE_TREE_KEYS, key, &stored);
    if (rc == 0) {
        return keyspace_item_of(stored, stamp_ms, item);
    }
    item->exists = false;
    item->is_stored = false;
    return rc == HF_ENOTFOUND ? 0 : rc;
}

int keyspace_count(struct keyspace *keyspace, uint64_t stamp_ms, uint64_t *count)
{
    struct hf_store_tree_stat stat;
    struct keyspace_index_key index_key;
    uint64_t past = 0;
    int rc = hf_store_tree_stat(keyspace->store, KEYSPACE_TREE_KEYS, &stat);
    if (rc == 0) {
        /* Deadlines less than the stamp: those before the first index key of the stamp itself. */
        rc = hf_store_rank(keyspace->store, KEYSPACE_TREE_DEADLINES,
                           keyspace_index_key(&index_key, stamp_ms, KEYSPACE_DEADLINE_SIZE, keyspace_nothing), &past);
    }
    if (rc == 0) {
        *count = stat.entries - past;
    }
    return rc;
}

int keyspace_first_deadline(struct keyspace *keyspace, uint64_t *deadline_ms, struct hf_bytes *key)
{
    struct hf_store_entry entry;
    int rc = hf_store_first(keyspace->store, KEYSPACE_TREE_DEADLINES, &entry);
    if (rc == 0) {
        *deadline_ms = keyspace_index_split(entry.key, KEYSPACE_DEADLINE_SIZE, key);
    }
    return rc;
}

/* ---- Changing ---- */

static int keyspace_move_deadline(struct keyspace *keyspace, struct hf_bytes key, uint64_t old_ms, uint64_t new_ms)
{
    struct keyspace_index_key index_key;
    int rc = 0;
    if (old_ms == new_ms) {
        return 0;
    }
    if (old_ms != 0) {
        rc = hf_store_delete(keyspace->store, KEYSPACE_TREE_DEADLINES,
                             keyspace_index_key(&index_key, old_ms, KEYSPACE_DEADLINE_SIZE, key), NULL);
    }
    if (rc == 0 && new_ms != 0) {
        rc = hf_store_put(keyspace->store, KEYSPACE_TREE_DEADLINES,
                          keyspace_index_key(&index_key, new_ms, KEYSPACE_DEADLINE_SIZE, key), keyspace_nothing, NULL);
    }
    return rc;
}

int keyspace_put_string(struct keyspace *keyspace, const struct machine_context *context, struct hf_bytes key,
                        const struct keyspace_item *item, uint64_t deadline_ms, const struct hf_bytes *parts,
                        size_t part_count)
{
    struct keyspace_index_key key_copy;
    struct keyspace_index_key scan_key;
    struct hf_bytes all[KEYSPACE_PARTS_MAX + 1];
    uint8_t header[VALUE_HEADER_SIZE];
    assert(context->is_write && part_count <= KEYSPACE_PARTS_MAX);
    bool was_stored = item->is_stored;
    uint64_t deadline_old_ms = was_stored ? item->value.deadline_ms : 0;
    struct value value = {
        .type = VALUE_STRING,
        .version = {context->index, context->ordinal},
        .deadline_ms = deadline_ms,
    };
    value_encode_header(&value, header);
    all[0] = bytes_of(header, sizeof(header));
    memcpy(all + 1, parts, part_count * sizeof(parts[0]));
    /* The key may be on loan from the store; the first change ends that. */
    key = keyspace_index_key(&key_copy, 0, 0, key);
    int rc = hf_store_put_parts(keyspace->store, KEYSPACE_TREE_KEYS, key, all, part_count + 1, NULL);
    if (rc == 0 && !was_stored) {
        rc = hf_store_put(keyspace->store, KEYSPACE_TREE_SCAN,
                          keyspace_index_key(&scan_key, keyspace_hash(keyspace, key), KEYSPACE_HASH_SIZE, key),
                          keyspace_nothing, NULL);
    }
    if (rc == 0) {
        rc = keyspace_move_deadline(keyspace, key, deadline_old_ms, deadline_ms);
    }
    return rc;
}

int keyspace_set_deadline(struct keyspace *keyspace, const struct machine_context *context, struct hf_bytes key,
                          const struct keyspace_item *item, uint64_t deadline_ms)
{
    struct hf_bytes payload = item->value.payload;
    return keyspace_put_string(keyspace, context, key, item, deadline_ms, &payload, 1);
}

int keyspace_remove(struct keyspace *keyspace, struct hf_bytes key, const struct keyspace_item *item)
{
    struct keyspace_index_key key_copy;
    struct keyspace_index_key scan_key;
    if (!item->is_stored) {
        return 0;
    }
    uint64_t deadline_ms = item->value.deadline_ms;
    key = keyspace_index_key(&key_copy, 0, 0, key);
    int rc = hf_store_delete(keyspace->store, KEYSPACE_TREE_KEYS, key, NULL);
    if (rc == 0) {
        rc =
            hf_store_delete(keyspace->store, KEYSPACE_TREE_SCAN,
                            keyspace_index_key(&scan_key, keyspace_hash(keyspace, key), KEYSPACE_HASH_SIZE, key), NULL);
    }
    if (rc == 0) {
        rc = keyspace_move_deadline(keyspace, key, deadline_ms, 0);
    }
    return rc;
}

int keyspace_clear(struct keyspace *keyspace)
{
    int rc = hf_store_clear(keyspace->store, KEYSPACE_TREE_KEYS);
    if (rc == 0) {
        rc = hf_store_clear(keyspace->store, KEYSPACE_TREE_DEADLINES);
    }
    if (rc == 0) {
        rc = hf_store_clear(keyspace->store, KEYSPACE_TREE_SCAN);
    }
    return rc;
}

/* ---- State beside the keys ---- */

static const struct hf_bytes keyspace_state_key = {"machine", 7};

int keyspace_load(struct keyspace *keyspace)
{
    struct hf_bytes state;
    int rc = hf_store_get(keyspace->store, KEYSPACE_TREE_MACHINE, keyspace_state_key, &state);
    if (rc == HF_ENOTFOUND) {
        return 0; /* new: written with the first entry, so that an empty store stays empty */
    }
    if (rc != 0) {
        return rc;
    }
    const uint8_t *bytes = state.data;
    if (state.size != KEYSPACE_STATE_SIZE || bytes_get_u8(bytes) != KEYSPACE_STATE_VERSION) {
        return error_raise(HF_EVERSION, "the state of the machine has version %u and %zu bytes",
                           state.size > 0 ? (unsigned)bytes_get_u8(bytes) : 0, state.size);
    }
    if (bytes_get_u64(bytes + 16) != keyspace->scan_seed) {
        return error_raise(HF_EMISMATCH, "the keyspace was filled with another scan seed");
    }
    keyspace->stamp_ms = bytes_get_u64(bytes + 8);
    keyspace->is_state_stored = true;
    return 0;
}

int keyspace_save_stamp(struct keyspace *keyspace, uint64_t stamp_ms)
{
    uint8_t state[KEYSPACE_STATE_SIZE] = {0};
    if (keyspace->is_state_stored && stamp_ms == keyspace->stamp_ms) {
        return 0;
    }
    bytes_put_u8(state, KEYSPACE_STATE_VERSION);
    bytes_put_u64(state + 8, stamp_ms);
    bytes_put_u64(state + 16, keyspace->scan_seed);
    int rc =
        hf_store_put(keyspace->store, KEYSPACE_TREE_MACHINE, keyspace_state_key, bytes_of(state, sizeof(state)), NULL);
    if (rc == 0) {
        keyspace->stamp_ms = stamp_ms;
        keyspace->is_state_stored = true;
    }
    return rc;
}

/* ---- Checking ---- */

/* Walks an index: every key of it is stored, and the number in front is the right one. */
static int keyspace_check_index(struct keyspace *keyspace, uint32_t tree, unsigned number_size, uint64_t *count)
{
    struct hf_store_cursor *cursor;
    struct hf_store_entry entry;
    int rc = hf_store_cursor_open(keyspace->store, tree, NULL, HF_STORE_FORWARD, &cursor);
    if (rc != 0) {
        return rc;
    }
    *count = 0;
    while (rc == 0 && (rc = hf_store_cursor_next(cursor, &entry)) == 0) {
        struct hf_bytes key;
        struct keyspace_item item;
        uint64_t number = keyspace_index_split(entry.key, number_size, &key);
        rc = keyspace_get(keyspace, key, 0, &item);
        if (rc == 0 &&
            (!item.is_stored || entry.value.size != 0 ||
             number != (tree == KEYSPACE_TREE_SCAN ? keyspace_hash(keyspace, key) : item.value.deadline_ms))) {
            rc = error_raise(HF_ECORRUPT, "tree %u holds what the keys do not justify", (unsigned)tree);
        }
        (*count)++;
    }
    hf_store_cursor_close(cursor);
    return rc == HF_ENOTFOUND ? 0 : rc;
}

int keyspace_check(struct keyspace *keyspace)
{
    struct hf_store_cursor *cursor;
    struct hf_store_entry entry;
    uint64_t keys = 0;
    uint64_t deadlines = 0;
    uint64_t found = 0;
    int rc = hf_store_cursor_open(keyspace->store, KEYSPACE_TREE_KEYS, NULL, HF_STORE_FORWARD, &cursor);
    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && (rc = hf_store_cursor_next(cursor, &entry)) == 0) {
        struct value value;
        rc = value_decode(entry.value, &value);
        keys++;
        deadlines += rc == 0 && value.deadline_ms != 0;
    }
    hf_store_cursor_close(cursor);
    rc = rc == HF_ENOTFOUND ? 0 : rc;
    if (rc == 0) {
        rc = keyspace_check_index(keyspace, KEYSPACE_TREE_SCAN, KEYSPACE_HASH_SIZE, &found);
    }
    if (rc == 0 && found != keys) {
        rc = error_raise(HF_ECORRUPT, "%" PRIu64 " keys, but %" PRIu64 " in the order of SCAN", keys, found);
    }
    if (rc == 0) {
        rc = keyspace_check_index(keyspace, KEYSPACE_TREE_DEADLINES, KEYSPACE_DEADLINE_SIZE, &found);
    }
    if (rc == 0 && found != deadlines) {
        rc = error_raise(HF_ECORRUPT, "%" PRIu64 " deadlines, but %" PRIu64 " in their index", deadlines, found);
    }
    return rc;
}
