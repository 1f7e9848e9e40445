#include "cluster/cluster_machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "cluster/cluster_history.h"

struct cluster_register {
    uint64_t value; /* 0: absent */
    uint64_t deadline_ms;
};
struct cluster_list {
    uint64_t *values;
    size_t count;
    size_t capacity;
    uint64_t hash;
};
struct cluster_machine {
    struct cluster_machine_owner *owner;
    uint64_t group;
    struct cluster_register registers[CLUSTER_REGISTERS];
    struct cluster_list lists[CLUSTER_LISTS];
};

void cluster_command_encode(const struct cluster_command *command, struct buffer *out)
{
    buffer_append_u32(out, (uint32_t)command->verb);
    buffer_append_u32(out, command->key);
    buffer_append_u64(out, command->value);
    buffer_append_u64(out, command->expected);
    buffer_append_u64(out, command->ttl_ms);
    memset(buffer_extend(out, command->ballast), (int)(command->value & 0xff), command->ballast);
}

static int cluster_command_decode(struct hf_bytes bytes, struct cluster_command *out)
{
    struct cursor cursor = cursor_of(bytes);
    out->verb = (enum cluster_verb)cursor_u32(&cursor);
    out->key = cursor_u32(&cursor);
    out->value = cursor_u64(&cursor);
    out->expected = cursor_u64(&cursor);
    out->ttl_ms = cursor_u64(&cursor);
    out->ballast = (uint32_t)cursor.left;
    if (cursor.failed || out->key >= CLUSTER_KEYS) {
        return error_raise(HF_EPROTOCOL, "key %u", out->key);
    }
    return 0;
}

static void *cluster_machine_open(void *arg, uint64_t group, uint64_t incarnation, uint32_t ordinal)
{
    struct cluster_machine *machine = memory_new(sizeof(*machine));
    machine->owner = arg;
    machine->group = group;
    return machine;
}

static void cluster_machine_close(void *arg)
{
    struct cluster_machine *machine = arg;
    for (size_t i = 0; i < CLUSTER_LISTS; i++) {
        free(machine->lists[i].values);
    }
    free(machine);
}

static void cluster_machine_compose(void *machine, uint64_t stamp_ms, const struct hf_bytes *commands, uint32_t count,
                                    struct buffer *out)
{
    buffer_append_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        buffer_append_sized(out, commands[i]);
    }
}

static uint64_t cluster_machine_value(const struct cluster_machine *machine, uint32_t key, uint64_t stamp_ms)
{
    const struct cluster_register *slot = &machine->registers[key];
    return slot->deadline_ms != 0 && slot->deadline_ms <= stamp_ms ? 0 : slot->value;
}

static void cluster_machine_append(struct cluster_list *list, uint64_t value)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity > 0 ? list->capacity * 2 : 64;
        list->values = memory_resize(list->values, list->capacity * sizeof(*list->values));
    }
    list->values[list->count++] = value;
    list->hash = history_list_hash(list->hash, value);
}

static void cluster_machine_expire_at(struct cluster_machine *machine, uint64_t stamp_ms)
{
    for (uint32_t i = 0; i < CLUSTER_REGISTERS; i++) {
        if (machine->registers[i].deadline_ms != 0 && machine->registers[i].deadline_ms <= stamp_ms) {
            machine->registers[i] = (struct cluster_register){0};
        }
    }
}

static int cluster_machine_run(struct cluster_machine *machine, const struct cluster_command *command,
                               uint64_t stamp_ms, uint64_t *reply, size_t *reply_size)
{
    struct cluster_register *slot = &machine->registers[command->key % CLUSTER_REGISTERS];
    struct cluster_register put = {command->value, command->ttl_ms != 0 ? stamp_ms + command->ttl_ms : 0};
    *reply_size = 8;
    switch (command->verb) {
    case CLUSTER_PUT:
        *slot = put;
        *reply_size = 0;
        return 0;
    case CLUSTER_CAS:
        *reply = cluster_machine_value(machine, command->key, stamp_ms) == command->expected;
        if (*reply == 1) {
            *slot = put;
        }
        return 0;
    case CLUSTER_APPEND: {
        struct cluster_list *list = &machine->lists[command->key - CLUSTER_REGISTERS];
        cluster_machine_append(list, command->value);
        *reply = list->count;
        return 0;
    }
    case CLUSTER_EXPIRE:
        cluster_machine_expire_at(machine, command->value);
        *reply_size = 0;
        return 0;
    default:
        return error_raise(HF_EVERSION, "verb %d", (int)command->verb);
    }
}

static void cluster_machine_digest(void *arg, uint64_t digest[2])
{
    const struct cluster_machine *machine = arg;
    digest[0] = digest[1] = 0;
    for (size_t i = 0; i < CLUSTER_REGISTERS; i++) {
        digest[0] = hash_mix_64(digest[0] * 3 + machine->registers[i].value);
        digest[0] = hash_mix_64(digest[0] * 3 + machine->registers[i].deadline_ms);
    }
    for (size_t i = 0; i < CLUSTER_LISTS; i++) {
        digest[1] = hash_mix_64(digest[1] * 3 + machine->lists[i].hash + machine->lists[i].count);
    }
}

static int cluster_machine_apply(void *arg, const struct hf_entry *entry, node_reply_sink *sink, void *sink_arg)
{
    struct cluster_machine *machine = arg;
    struct cursor cursor = cursor_of(entry->payload);
    uint32_t count = cursor_u32(&cursor);
    struct buffer replies = {0};
    uint64_t digest[2];
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct cluster_command command;
        uint64_t reply = 0;
        size_t reply_size = 0;
        rc = cluster_command_decode(cursor_sized(&cursor, NODE_COMMAND_SIZE_MAX), &command);
        if (rc == 0) {
            rc = cluster_machine_run(machine, &command, entry->timestamp_ms, &reply, &reply_size);
        }
        buffer_append_u64(&replies, reply_size);
        buffer_append_u64(&replies, reply);
    }
    rc = rc != 0 ? rc : cursor_finish(&cursor, "an entry");
    if (rc == 0) {
        cluster_machine_digest(machine, digest);
        machine->owner->applied(machine->owner->arg, machine->group, entry, digest);
    }
    for (uint32_t i = 0; i < count && rc == 0 && sink != NULL; i++) {
        const uint8_t *reply = replies.data + (size_t)i * 16;
        sink(sink_arg, i, bytes_of(reply + 8, (size_t)bytes_get_u64(reply)));
    }
    buffer_close(&replies);
    return rc;
}

static int cluster_machine_read(void *arg, struct hf_bytes bytes, uint64_t stamp_ms, struct buffer *reply)
{
    const struct cluster_machine *machine = arg;
    struct cluster_command command;
    int rc = cluster_command_decode(bytes, &command);
    if (rc != 0) {
        return rc;
    }
    if (command.verb == CLUSTER_GET && command.key < CLUSTER_REGISTERS) {
        buffer_append_u64(reply, cluster_machine_value(machine, command.key, stamp_ms));
        return 0;
    }
    if (command.verb != CLUSTER_LIST || command.key < CLUSTER_REGISTERS) {
        return error_raise(HF_EINVALID, "verb %d", (int)command.verb);
    }
    const struct cluster_list *list = &machine->lists[command.key - CLUSTER_REGISTERS];
    for (size_t i = 0; i < list->count; i++) {
        buffer_append_u64(reply, list->values[i]);
    }
    return 0;
}

static uint64_t cluster_machine_expire_due_ms(void *arg)
{
    const struct cluster_machine *machine = arg;
    uint64_t due_ms = UINT64_MAX;
    for (size_t i = 0; i < CLUSTER_REGISTERS; i++) {
        uint64_t deadline_ms = machine->registers[i].deadline_ms;
        due_ms = deadline_ms != 0 && deadline_ms < due_ms ? deadline_ms : due_ms;
    }
    return due_ms;
}

static void cluster_machine_expire(void *arg, uint64_t stamp_ms, struct buffer *command)
{
    cluster_command_encode(&(struct cluster_command){.verb = CLUSTER_EXPIRE, .value = stamp_ms}, command);
}

/* ---- Snapshots: registers, lists, and bytes that only make the stream longer, so that it travels in many chunks ----
 */

struct cluster_cut {
    struct buffer bytes;
    size_t at;
};

/* Does not compress; follows from the state. */
static void cluster_machine_filler(uint64_t seed, uint8_t target[CLUSTER_FILLER_SIZE])
{
    for (size_t i = 0; i < CLUSTER_FILLER_SIZE; i += 8) {
        seed = hash_mix_64(seed + i);
        bytes_put_u64(target + i, seed);
    }
}

static void *cluster_machine_cut(void *arg)
{
    const struct cluster_machine *machine = arg;
    struct cluster_cut *cut = memory_new(sizeof(*cut));
    uint64_t digest[2];
    for (size_t i = 0; i < CLUSTER_REGISTERS; i++) {
        buffer_append_u64(&cut->bytes, machine->registers[i].value);
        buffer_append_u64(&cut->bytes, machine->registers[i].deadline_ms);
    }
    for (size_t i = 0; i < CLUSTER_LISTS; i++) {
        buffer_append_u64(&cut->bytes, machine->lists[i].count);
        for (size_t k = 0; k < machine->lists[i].count; k++) {
            buffer_append_u64(&cut->bytes, machine->lists[i].values[k]);
        }
    }
    cluster_machine_digest(arg, digest);
    cluster_machine_filler(digest[0] ^ digest[1], buffer_extend(&cut->bytes, CLUSTER_FILLER_SIZE));
    return cut;
}

static void cluster_machine_cut_close(void *arg)
{
    struct cluster_cut *cut = arg;
    buffer_close(&cut->bytes);
    free(cut);
}

static int cluster_machine_cut_read(void *arg, void *target, size_t size, size_t *got)
{
    struct cluster_cut *cut = arg;
    *got = cut->bytes.size - cut->at < size ? cut->bytes.size - cut->at : size;
    if (*got > 0) {
        memcpy(target, cut->bytes.data + cut->at, *got);
    }
    cut->at += *got;
    return 0;
}

static uint64_t cluster_machine_cut_entries(void *arg)
{
    return CLUSTER_KEYS;
}

struct cluster_import {
    struct buffer bytes;
    struct cluster_machine *machine;
};

static void *cluster_machine_import_open(void *machine)
{
    struct cluster_import *import = memory_new(sizeof(*import));
    import->machine = memory_new(sizeof(*import->machine));
    return import;
}

static int cluster_machine_import_write(void *arg, struct hf_bytes bytes)
{
    buffer_append_bytes(&((struct cluster_import *)arg)->bytes, bytes);
    return 0;
}

static int cluster_machine_import_finish(void *arg)
{
    struct cluster_import *import = arg;
    struct cluster_machine *machine = import->machine;
    struct cursor cursor = cursor_of(buffer_bytes(&import->bytes));
    uint8_t filler[CLUSTER_FILLER_SIZE];
    uint64_t digest[2];
    for (size_t i = 0; i < CLUSTER_REGISTERS; i++) {
        machine->registers[i].value = cursor_u64(&cursor);
        machine->registers[i].deadline_ms = cursor_u64(&cursor);
    }
    for (size_t i = 0; i < CLUSTER_LISTS; i++) {
        uint64_t count = cursor_u64(&cursor);
        for (uint64_t k = 0; k < count && !cursor.failed; k++) {
            cluster_machine_append(&machine->lists[i], cursor_u64(&cursor));
        }
    }
    struct hf_bytes rest = cursor_bytes(&cursor, CLUSTER_FILLER_SIZE);
    cluster_machine_digest(machine, digest);
    cluster_machine_filler(digest[0] ^ digest[1], filler);
    if (cursor_finish(&cursor, "a state") != 0 || memcmp(rest.data, filler, CLUSTER_FILLER_SIZE) != 0) {
        return error_raise(HF_ECORRUPT, "a state is not what it says");
    }
    return 0;
}

static void cluster_machine_import_swap(void *arg, void *import_arg)
{
    struct cluster_machine *machine = arg;
    struct cluster_import *import = import_arg;
    struct cluster_machine old = *machine;
    memcpy(machine->registers, import->machine->registers, sizeof(machine->registers));
    memcpy(machine->lists, import->machine->lists, sizeof(machine->lists));
    memcpy(import->machine->registers, old.registers, sizeof(old.registers));
    memcpy(import->machine->lists, old.lists, sizeof(old.lists));
}

static void cluster_machine_import_close(void *arg)
{
    struct cluster_import *import = arg;
    buffer_close(&import->bytes);
    cluster_machine_close(import->machine);
    free(import);
}

struct node_machine_ops cluster_machine_ops(struct cluster_machine_owner *owner)
{
    return (struct node_machine_ops){
        .open = cluster_machine_open,
        .close = cluster_machine_close,
        .compose = cluster_machine_compose,
        .apply = cluster_machine_apply,
        .read = cluster_machine_read,
        .expire_due_ms = cluster_machine_expire_due_ms,
        .expire = cluster_machine_expire,
        .digest = cluster_machine_digest,
        .cut = cluster_machine_cut,
        .cut_close = cluster_machine_cut_close,
        .cut_read = cluster_machine_cut_read,
        .cut_entries = cluster_machine_cut_entries,
        .import_open = cluster_machine_import_open,
        .import_write = cluster_machine_import_write,
        .import_finish = cluster_machine_import_finish,
        .import_swap = cluster_machine_import_swap,
        .import_close = cluster_machine_import_close,
        .arg = owner,
    };
}

const uint64_t *cluster_machine_list(void *arg, uint32_t key, size_t *count)
{
    struct cluster_machine *machine = arg;
    assert(key >= CLUSTER_REGISTERS && key < CLUSTER_KEYS);
    *count = machine->lists[key - CLUSTER_REGISTERS].count;
    return machine->lists[key - CLUSTER_REGISTERS].values;
}
