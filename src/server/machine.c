#include "server/machine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/argument.h"
#include "server/keyspace.h"

#define MACHINE_RECLAIM_PAGES    256u
#define MACHINE_EXPECT_UNITS     16u
#define MACHINE_REPLY_KEEP_BYTES (1u << 20) /* scratch that grew beyond it is given back */

int machine_open(struct hf_store *store, uint64_t scan_seed, struct keyspace **out)
{
    struct keyspace *keyspace = memory_new(sizeof(*keyspace));
    keyspace->store = store;
    keyspace->scan_seed = scan_seed;
    int rc = keyspace_load(keyspace);
    if (rc != 0) {
        goto done;
    }
    *out = keyspace;
    keyspace = NULL;
done:
    machine_close(keyspace);
    return rc;
}

void machine_close(struct keyspace *keyspace)
{
    if (keyspace != NULL) {
        buffer_close(&keyspace->reply);
        buffer_close(&keyspace->value);
        free(keyspace);
    }
}

/* ---- Checks ---- */

static int machine_check_sizes(const struct command_spec *spec, const struct arguments *arguments, struct reply *reply)
{
    size_t keys = command_key_count(spec, arguments);
    for (size_t i = 0; i < keys; i++) {
        if (command_key_at(spec, arguments, i).size > MACHINE_KEY_SIZE_MAX) {
            reply_error(reply, "ERR key is larger than the limit of %u bytes", MACHINE_KEY_SIZE_MAX);
            return HF_ETOOBIG;
        }
    }
    for (size_t i = 1; i < arguments->count; i++) {
        if (arguments->items[i].size > MACHINE_VALUE_SIZE_MAX) {
            reply_error(reply, "ERR string exceeds maximum allowed size (%u bytes)", MACHINE_VALUE_SIZE_MAX);
            return HF_ETOOBIG;
        }
    }
    return 0;
}

int machine_check(const struct command_spec *spec, const struct arguments *arguments, struct reply *reply)
{
    if (!command_arity_fits(spec, arguments->count) || arguments->count > COMMAND_ARGUMENTS_MAX) {
        reply_error(reply, "ERR wrong number of arguments for '%s' command", spec->name);
        return HF_EINVALID;
    }
    return machine_check_sizes(spec, arguments, reply);
}

/* ---- Running ---- */

int machine_execute(struct keyspace *keyspace, const struct command_spec *spec, const struct arguments *arguments,
                    const struct machine_context *context, struct reply *reply)
{
    assert(spec->execute != NULL);
    if ((spec->flags & COMMAND_WRITE) != 0 && !context->is_write) {
        return error_raise(HF_EINVALID, "'%s' writes and must go through the log", spec->name);
    }
    if (machine_check(spec, arguments, reply) != 0) {
        return 0;
    }
    struct machine_context now = *context;
    if (now.stamp_ms < keyspace->stamp_ms) {
        now.stamp_ms = keyspace->stamp_ms;
    }
    return spec->execute(keyspace, arguments, &now, reply);
}

int machine_version(struct keyspace *keyspace, struct hf_bytes key, uint64_t stamp_ms, struct machine_version *out)
{
    struct keyspace_item item;
    *out = (struct machine_version){0, 0};
    int rc = keyspace_get(keyspace, key, stamp_ms > keyspace->stamp_ms ? stamp_ms : keyspace->stamp_ms, &item);
    if (rc == 0 && item.exists) {
        *out = item.value.version;
    }
    return rc;
}

/* All watches must be read, also behind one that changed. */
static int machine_run_watches(struct keyspace *keyspace, struct machine_entry_reader *reader,
                               const struct machine_unit *unit, uint64_t stamp_ms, bool *changed)
{
    *changed = false;
    for (uint32_t i = 0; i < unit->watch_count; i++) {
        struct machine_watch watch;
        struct machine_version now;
        machine_entry_next_watch(reader, &watch);
        int rc = machine_version(keyspace, watch.key, stamp_ms, &now);
        if (rc != 0) {
            return rc;
        }
        *changed |= now.index != watch.version.index || now.ordinal != watch.version.ordinal;
    }
    return 0;
}

static int machine_run_unit(struct keyspace *keyspace, struct machine_entry_reader *reader,
                            const struct machine_unit *unit, const struct machine_context *context, struct reply *reply)
{
    bool changed;
    int rc = machine_run_watches(keyspace, reader, unit, context->stamp_ms, &changed);
    if (rc == 0 && unit->kind == MACHINE_UNIT_TRANSACTION) {
        if (changed) {
            reply_null_array(reply);
        } else {
            reply_array(reply, unit->command_count);
        }
    }
    for (uint32_t i = 0; i < unit->command_count && rc == 0; i++) {
        const struct command_spec *spec;
        struct arguments arguments;
        machine_entry_next_command(reader, &spec, &arguments);
        if (!changed) {
            rc = machine_execute(keyspace, spec, &arguments, context, reply);
        }
    }
    return rc;
}

int machine_read(struct keyspace *keyspace, struct hf_bytes bytes, const struct machine_context *context,
                 struct buffer *out)
{
    struct machine_entry_reader reader;
    struct machine_unit unit;
    int rc = machine_unit_validate(bytes);
    if (rc != 0) {
        return rc;
    }
    struct machine_context read = *context;
    read.is_write = false;
    machine_entry_open_unit(&reader, bytes);
    machine_entry_next_unit(&reader, &unit);
    struct reply reply = reply_of(out, unit.protocol);
    rc = machine_run_unit(keyspace, &reader, &unit, &read, &reply);
    if (rc == 0) {
        reply_finish(&reply);
    } else {
        reply_restart(&reply);
    }
    machine_entry_close(&reader);
    return rc;
}

/* The keys of the next units are looked for all at once: the memory that they lie in is far away. */
static void machine_expect(struct keyspace *keyspace, struct machine_entry_reader *scout)
{
    struct hf_bytes keys[MACHINE_EXPECT_UNITS];
    size_t count = 0;
    while (count < MACHINE_EXPECT_UNITS && machine_entry_next_key(scout, &keys[count])) {
        count++;
    }
    if (count > 1) {
        hf_store_expect(keyspace->store, KEYSPACE_TREE_KEYS, keys, count);
    }
}

static int machine_apply_units(struct keyspace *keyspace, struct machine_entry_reader *reader, uint64_t index,
                               machine_sink *sink, void *arg)
{
    struct machine_entry_reader scout = *reader;
    struct machine_unit unit;
    int rc = 0;
    while (rc == 0 && machine_entry_next_unit(reader, &unit)) {
        if (unit.ordinal % MACHINE_EXPECT_UNITS == 0) {
            machine_expect(keyspace, &scout);
        }
        struct machine_context context = {
            .stamp_ms = keyspace->stamp_ms,
            .index = index,
            .ordinal = unit.ordinal,
            .is_write = true,
        };
        buffer_clear(&keyspace->reply);
        struct reply reply = reply_of(sink != NULL ? &keyspace->reply : NULL, unit.protocol);
        rc = machine_run_unit(keyspace, reader, &unit, &context, &reply);
        if (rc == 0 && sink != NULL) {
            reply_finish(&reply);
            sink(arg, unit.ordinal, buffer_bytes(&keyspace->reply));
        }
    }
    if (keyspace->reply.capacity > MACHINE_REPLY_KEEP_BYTES) {
        buffer_close(&keyspace->reply);
    }
    return rc;
}

int machine_apply(struct keyspace *keyspace, struct hf_bytes payload, uint64_t index, uint64_t term, machine_sink *sink,
                  void *arg)
{
    struct machine_entry_reader reader = {.items = NULL};
    assert(index > machine_applied_index(keyspace));
    int rc = machine_entry_validate(payload);
    if (rc != 0) {
        return error_wrap(rc, "entry %" PRIu64, index);
    }
    machine_entry_open(&reader, payload);
    rc = hf_store_apply_begin(keyspace->store);
    if (rc == 0) {
        rc = keyspace_save_stamp(keyspace, reader.stamp_ms > keyspace->stamp_ms ? reader.stamp_ms : keyspace->stamp_ms);
    }
    if (rc == 0) {
        rc = machine_apply_units(keyspace, &reader, index, sink, arg);
    }
    if (rc == 0) {
        rc = hf_store_apply_commit(keyspace->store, (struct hf_store_applied){index, term});
    }
    machine_entry_close(&reader);
    return rc != 0 ? error_wrap(rc, "entry %" PRIu64, index) : 0;
}

int machine_skip(struct keyspace *keyspace, uint64_t index, uint64_t term)
{
    assert(index > machine_applied_index(keyspace));
    int rc = hf_store_apply_begin(keyspace->store);
    return rc != 0 ? rc : hf_store_apply_commit(keyspace->store, (struct hf_store_applied){index, term});
}

/* ---- State ---- */

uint64_t machine_applied_index(const struct keyspace *keyspace)
{
    return hf_store_applied(keyspace->store).index;
}

uint64_t machine_stamp_ms(const struct keyspace *keyspace)
{
    return keyspace->stamp_ms;
}

struct hf_store_digest machine_digest(const struct keyspace *keyspace)
{
    return hf_store_digest(keyspace->store);
}

int machine_next_deadline(struct keyspace *keyspace, uint64_t *deadline_ms)
{
    struct hf_bytes key;
    return keyspace_first_deadline(keyspace, deadline_ms, &key);
}

int machine_scan_ordinal(const struct arguments *arguments, uint32_t *routed_ordinal)
{
    uint64_t cursor;
    if (arguments->count < 2 || !argument_unsigned(arguments->items[1], &cursor)) {
        return HF_EINVALID;
    }
    *routed_ordinal = (uint32_t)(cursor >> MACHINE_SCAN_ORDINAL_SHIFT);
    return 0;
}

uint64_t machine_data_bytes(const struct keyspace *keyspace)
{
    uint64_t sum = 0;
    for (uint32_t tree = 0; tree < KEYSPACE_TREE_COUNT; tree++) {
        struct hf_store_tree_stat stat;
        if (hf_store_tree_stat(keyspace->store, tree, &stat) == 0) {
            sum += stat.key_bytes + stat.value_bytes;
        }
    }
    return sum;
}

void machine_stat(struct keyspace *keyspace, struct machine_stat *out)
{
    struct hf_store_stat store;
    struct hf_store_tree_stat tree;
    *out = (struct machine_stat){0};
    hf_store_stat(keyspace->store, &store);
    out->data_bytes = machine_data_bytes(keyspace);
    out->memory_bytes = store.memory_bytes;
    if (hf_store_tree_stat(keyspace->store, KEYSPACE_TREE_KEYS, &tree) == 0) {
        out->keys = tree.entries;
    }
    if (hf_store_tree_stat(keyspace->store, KEYSPACE_TREE_DEADLINES, &tree) == 0) {
        out->keys_with_deadline = tree.entries;
    }
    machine_next_deadline(keyspace, &out->deadline_next_ms);
}

bool machine_reclaim(struct keyspace *keyspace)
{
    return hf_store_reclaim(keyspace->store, MACHINE_RECLAIM_PAGES);
}
