#include "embed/embed_values.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "holdfast/store.h"

#define EMBED_VALUES_VERSION  1u
#define EMBED_VALUES_TREE     0u
#define EMBED_VALUES_GET      1u /* a query */
#define EMBED_VALUES_EXPECTED 1u
#define EMBED_VALUES_NEW      2u

/* Numbers are in the log: never reuse one. */
enum embed_values_kind {
    EMBED_VALUES_PUT = 1,
    EMBED_VALUES_DELETE = 2,
    EMBED_VALUES_SWAP = 3,
    EMBED_VALUES_REFUSED = 4
};
enum embed_values_outcome { EMBED_VALUES_DIFFERS = 0, EMBED_VALUES_HOLDS = 1, EMBED_VALUES_WAS_REFUSED = 2 };

struct embed_values {
    struct hf_store *store;          /* NULL while it is loaded */
    struct hf_store_import *loading; /* NULL otherwise */
};

static const struct hf_store_options embed_values_options = {.backend = HF_STORE_MEMORY};

/* ---- Commands and queries ---- */

static void embed_values_begin(unsigned kind, unsigned flags, struct hf_bytes key, struct buffer *out)
{
    buffer_append_u8(out, EMBED_VALUES_VERSION);
    buffer_append_u8(out, (uint8_t)kind);
    buffer_append_u16(out, (uint16_t)flags);
    buffer_append_sized(out, key);
}

void embed_values_put(struct hf_bytes key, struct hf_bytes value, struct buffer *command)
{
    embed_values_begin(EMBED_VALUES_PUT, 0, key, command);
    buffer_append_sized(command, value);
}

void embed_values_delete(struct hf_bytes key, struct buffer *command)
{
    embed_values_begin(EMBED_VALUES_DELETE, 0, key, command);
}

void embed_values_swap(struct hf_bytes key, const struct hf_bytes *expected, const struct hf_bytes *value,
                       struct buffer *command)
{
    embed_values_begin(EMBED_VALUES_SWAP,
                       (expected != NULL ? EMBED_VALUES_EXPECTED : 0) | (value != NULL ? EMBED_VALUES_NEW : 0), key,
                       command);
    if (expected != NULL) {
        buffer_append_sized(command, *expected);
    }
    if (value != NULL) {
        buffer_append_sized(command, *value);
    }
}

void embed_values_get(struct hf_bytes key, struct buffer *query)
{
    embed_values_begin(EMBED_VALUES_GET, 0, key, query);
}

int embed_values_reply(struct hf_bytes bytes, struct embed_values_reply *out)
{
    struct cursor cursor = cursor_of(bytes);
    out->existed = cursor_u8(&cursor) != 0;
    uint8_t outcome = cursor_u8(&cursor);
    out->holds = outcome == EMBED_VALUES_HOLDS;
    out->value = cursor_bytes(&cursor, cursor.left);
    if (outcome == EMBED_VALUES_WAS_REFUSED) {
        return error_raise(HF_EPROTOCOL, "the leader did not understand the command");
    }
    return cursor_finish(&cursor, "the reply of the key-value machine");
}

static int embed_values_answer(struct hf_node_reply *reply, bool existed, enum embed_values_outcome outcome,
                               struct hf_bytes value)
{
    const uint8_t head[2] = {existed, (uint8_t)outcome};
    int rc = hf_node_reply_append(reply, head, sizeof(head));
    return rc == 0 ? hf_node_reply_append(reply, value.data, value.size) : rc;
}

/* ---- The machine ---- */

static void *embed_values_open(void *arg, uint64_t group)
{
    struct embed_values *values = memory_new(sizeof(*values));
    if (hf_store_open(&embed_values_options, &values->store) != 0) {
        free(values);
        return NULL;
    }
    return values;
}

static void embed_values_close(void *state)
{
    struct embed_values *values = state;
    hf_store_import_close(values->loading);
    hf_store_close(values->store);
    free(values);
}

/* Finds the value of a key; absent: *existed is false. */
static int embed_values_find(struct hf_store *store, struct hf_bytes key, bool *existed, struct hf_bytes *value)
{
    *value = (struct hf_bytes){0};
    int rc = hf_store_get(store, EMBED_VALUES_TREE, key, value);
    *existed = rc == 0;
    return rc == HF_ENOTFOUND ? 0 : rc;
}

struct embed_values_command {
    uint8_t kind;
    bool is_expected;
    bool is_new;
    struct hf_bytes key;
    struct hf_bytes expected;
    struct hf_bytes value;
};

static int embed_values_decode(struct hf_bytes bytes, struct embed_values_command *out)
{
    struct cursor cursor = cursor_of(bytes);
    *out = (struct embed_values_command){0};
    uint8_t version = cursor_u8(&cursor);
    out->kind = cursor_u8(&cursor);
    uint16_t flags = cursor_u16(&cursor);
    unsigned flags_max = out->kind == EMBED_VALUES_SWAP ? EMBED_VALUES_EXPECTED | EMBED_VALUES_NEW : 0;
    if (!cursor.failed && (version != EMBED_VALUES_VERSION || out->kind < EMBED_VALUES_PUT ||
                           out->kind > EMBED_VALUES_REFUSED || flags > flags_max)) {
        return error_raise(HF_EVERSION,
                           "a key-value command has version %u, kind %u and flags %u. next: upgrade this node", version,
                           out->kind, flags);
    }
    out->is_expected = (flags & EMBED_VALUES_EXPECTED) != 0;
    out->is_new = out->kind == EMBED_VALUES_PUT || (flags & EMBED_VALUES_NEW) != 0;
    out->key = cursor_sized(&cursor, HF_NODE_KEY_SIZE_MAX);
    if (out->is_expected) {
        out->expected = cursor_sized(&cursor, HF_NODE_VALUE_SIZE_MAX);
    }
    if (out->is_new) {
        out->value = cursor_sized(&cursor, HF_NODE_VALUE_SIZE_MAX);
    }
    return cursor_finish(&cursor, "a key-value command");
}

void embed_values_check(struct hf_bytes command, struct buffer *instead)
{
    struct embed_values_command decoded;
    if (embed_values_decode(command, &decoded) != 0) {
        embed_values_begin(EMBED_VALUES_REFUSED, 0, (struct hf_bytes){0}, instead);
    }
}

static int embed_values_run_swap(struct hf_store *store, const struct embed_values_command *command,
                                 struct hf_node_reply *reply)
{
    struct hf_bytes found;
    bool existed;
    int rc = embed_values_find(store, command->key, &existed, &found);
    if (rc != 0) {
        return rc;
    }
    if (existed != command->is_expected || (existed && !bytes_equal(found, command->expected))) {
        return embed_values_answer(reply, existed, EMBED_VALUES_DIFFERS, found);
    }
    if (command->is_new) {
        rc = hf_store_put(store, EMBED_VALUES_TREE, command->key, command->value, NULL);
    } else {
        rc = hf_store_delete(store, EMBED_VALUES_TREE, command->key, NULL);
    }
    return rc == 0 ? embed_values_answer(reply, existed, EMBED_VALUES_HOLDS, (struct hf_bytes){0}) : rc;
}

static int embed_values_run(struct hf_store *store, struct hf_bytes bytes, struct hf_node_reply *reply)
{
    struct embed_values_command command;
    bool existed = false;
    int rc = embed_values_decode(bytes, &command);
    if (rc != 0) {
        return rc;
    }
    switch (command.kind) {
    case EMBED_VALUES_PUT:
        rc = hf_store_put(store, EMBED_VALUES_TREE, command.key, command.value, &existed);
        break;
    case EMBED_VALUES_DELETE:
        rc = hf_store_delete(store, EMBED_VALUES_TREE, command.key, &existed);
        break;
    case EMBED_VALUES_SWAP:
        return embed_values_run_swap(store, &command, reply);
    default:
        return embed_values_answer(reply, false, EMBED_VALUES_WAS_REFUSED, (struct hf_bytes){0});
    }
    return rc == 0 ? embed_values_answer(reply, existed, EMBED_VALUES_HOLDS, (struct hf_bytes){0}) : rc;
}

/* The store's applied index counts entries; the commands of one are its units. */
static int embed_values_apply(void *state, const struct hf_node_command *command, struct hf_node_reply *reply)
{
    struct embed_values *values = state;
    int rc = hf_store_apply_begin(values->store);
    if (rc != 0) {
        return rc;
    }
    rc = embed_values_run(values->store, command->payload, reply);
    int committed = hf_store_apply_commit(values->store, (struct hf_store_applied){command->index, command->term});
    return rc != 0 ? rc : committed;
}

static int embed_values_read(void *state, uint64_t group, struct hf_bytes query, struct hf_node_reply *reply)
{
    const struct embed_values *values = state;
    struct cursor cursor = cursor_of(query);
    uint8_t version = cursor_u8(&cursor);
    uint8_t kind = cursor_u8(&cursor);
    cursor_u16(&cursor);
    struct hf_bytes key = cursor_sized(&cursor, HF_NODE_KEY_SIZE_MAX);
    struct hf_bytes value;
    bool existed;
    int rc = cursor_finish(&cursor, "a key-value query");
    if (rc == 0 && (version != EMBED_VALUES_VERSION || kind != EMBED_VALUES_GET)) {
        rc = error_raise(HF_EVERSION, "a key-value query has version %u and kind %u", version, kind);
    }
    rc = rc == 0 ? embed_values_find(values->store, key, &existed, &value) : rc;
    return rc == 0 ? embed_values_answer(reply, existed, EMBED_VALUES_HOLDS, value) : rc;
}

/* ---- Snapshots ---- */

struct embed_values_cut {
    struct hf_store_cut *cut;
    struct hf_store_export *stream;
};

static void embed_values_cut_close(void *arg)
{
    struct embed_values_cut *cut = arg;
    hf_store_export_close(cut->stream);
    hf_store_cut_close(cut->cut);
    free(cut);
}

static void *embed_values_cut(void *state)
{
    struct embed_values_cut *cut = memory_new(sizeof(*cut));
    if (hf_store_cut(((struct embed_values *)state)->store, &cut->cut) != 0 ||
        hf_store_export_open(cut->cut, &cut->stream) != 0) {
        embed_values_cut_close(cut);
        return NULL;
    }
    return cut;
}

static int embed_values_cut_read(void *cut, void *target, size_t size, size_t *got)
{
    return hf_store_export_read(((struct embed_values_cut *)cut)->stream, target, size, got);
}

static int embed_values_load(void *state, struct hf_bytes bytes)
{
    struct embed_values *values = state;
    int rc = values->loading == NULL ? hf_store_import_open(&embed_values_options, &values->loading) : 0;
    return rc == 0 ? hf_store_import_write(values->loading, bytes) : rc;
}

static int embed_values_load_finish(void *state)
{
    struct embed_values *values = state;
    struct hf_store_import *loading = values->loading;
    struct hf_store *store = NULL;
    values->loading = NULL; /* freed either way */
    if (loading == NULL) {
        return error_raise(HF_ECORRUPT, "the state of the key-value machine is empty");
    }
    int rc = hf_store_import_finish(loading, &store);
    if (rc == 0) {
        hf_store_close(values->store);
        values->store = store;
    }
    return rc;
}

static uint64_t embed_values_data_bytes(void *state)
{
    struct hf_store_stat stat;
    hf_store_stat(((struct embed_values *)state)->store, &stat);
    return stat.key_bytes + stat.value_bytes;
}

static void embed_values_digest(void *state, uint64_t digest[2])
{
    struct hf_store_digest sum = hf_store_digest(((struct embed_values *)state)->store);
    digest[0] = sum.low;
    digest[1] = sum.high;
}

const struct hf_node_machine *embed_values_machine(void)
{
    static const struct hf_node_machine machine = {
        .open = embed_values_open,
        .close = embed_values_close,
        .apply = embed_values_apply,
        .read = embed_values_read,
        .cut = embed_values_cut,
        .cut_read = embed_values_cut_read,
        .cut_close = embed_values_cut_close,
        .load = embed_values_load,
        .load_finish = embed_values_load_finish,
        .data_bytes = embed_values_data_bytes,
        .digest = embed_values_digest,
    };
    return &machine;
}
