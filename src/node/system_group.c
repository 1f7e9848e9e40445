#include "node/system_group.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "node/system_state.h"

struct system_group {
    const struct description *description;
    struct buffer description_bytes;
    bool has_description;
    struct membership membership;
};

/* A command that was read and found valid. */
struct system_command {
    enum system_kind kind;
    struct hf_bytes description;
    uint64_t node_id;
    uint64_t incarnation;
    struct membership_change change;
};

/* ---- Reading entries ---- */

static int system_group_open_entry(struct hf_bytes payload, struct cursor *cursor, uint32_t *count)
{
    *cursor = cursor_of(payload);
    uint8_t version = cursor_u8(cursor);
    uint8_t zero = cursor_u8(cursor);
    *count = cursor_u16(cursor);
    if (cursor->failed) {
        return error_raise(HF_EPROTOCOL, "a system entry is truncated");
    }
    if (version != SYSTEM_VERSION || zero != 0) {
        return error_raise(HF_EVERSION, "a system entry has version %u, this program knows %u. next: upgrade this node",
                           version, SYSTEM_VERSION);
    }
    return 0;
}

static int system_group_read_command(struct hf_bytes bytes, struct system_command *out)
{
    struct cursor cursor = cursor_of(bytes);
    uint8_t version = cursor_u8(&cursor);
    uint8_t kind = cursor_u8(&cursor);
    uint16_t zero = cursor_u16(&cursor);
    if (cursor.failed) {
        return error_raise(HF_EPROTOCOL, "a system command is truncated");
    }
    if (version != SYSTEM_VERSION || zero != 0 || kind < SYSTEM_DESCRIPTION || kind > SYSTEM_FEATURES) {
        return error_raise(HF_EVERSION,
                           "a system command has version %u and kind %u, which this program does not know. "
                           "next: upgrade this node",
                           version, kind);
    }
    *out = (struct system_command){.kind = (enum system_kind)kind};
    if (kind == SYSTEM_DESCRIPTION) {
        out->description = cursor_bytes(&cursor, cursor.left);
        return 0;
    }
    if (kind >= SYSTEM_JOIN) {
        return membership_change_decode(MEMBERSHIP_JOIN + (kind - SYSTEM_JOIN), cursor_bytes(&cursor, cursor.left),
                                        &out->change);
    }
    out->node_id = cursor_u64(&cursor);
    out->incarnation = cursor_u64(&cursor);
    return cursor_finish(&cursor, "a system command");
}

int system_group_scan(struct hf_bytes payload, system_group_registered *registered, void *arg)
{
    struct cursor cursor;
    uint32_t count;
    int rc = system_group_open_entry(payload, &cursor, &count);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct system_command command;
        rc = system_group_read_command(cursor_sized(&cursor, NODE_COMMAND_SIZE_MAX), &command);
        if (rc == 0 && command.kind == SYSTEM_REGISTER) {
            registered(arg, command.node_id, command.incarnation);
        }
    }
    return rc != 0 ? rc : cursor_finish(&cursor, "a system entry");
}

/* ---- The machine ---- */

static void *system_group_open(void *arg, uint64_t group, uint64_t incarnation, uint32_t ordinal)
{
    struct system_group *system = memory_new(sizeof(*system));
    system->description = arg;
    description_encode(system->description, &system->description_bytes);
    membership_begin(system->description, &system->membership);
    return system;
}

static void system_group_close(void *machine)
{
    struct system_group *system = machine;
    if (system == NULL) {
        return;
    }
    buffer_close(&system->description_bytes);
    free(system);
}

static void system_group_compose(void *machine, uint64_t stamp_ms, const struct hf_bytes *commands, uint32_t count,
                                 struct buffer *out)
{
    buffer_append_u8(out, SYSTEM_VERSION);
    buffer_append_u8(out, 0);
    buffer_append_u16(out, (uint16_t)count);
    for (uint32_t i = 0; i < count; i++) {
        buffer_append_sized(out, commands[i]);
    }
}

/* reply: what the proposer is told. */
static int system_group_apply_command(struct system_group *system, const struct system_command *command,
                                      struct buffer *reply)
{
    struct membership_outcome outcome;
    switch (command->kind) {
    case SYSTEM_DESCRIPTION:
        if (!bytes_equal(command->description, buffer_bytes(&system->description_bytes))) {
            return error_raise(HF_EMISMATCH, "the cluster agreed on another description than the file \"cluster\" of "
                                             "this data directory holds");
        }
        system->has_description = true;
        return 0;
    case SYSTEM_REGISTER:
        membership_register(&system->membership, command->node_id, command->incarnation);
        return 0;
    default:
        membership_apply(&system->membership, &command->change, &outcome);
        membership_outcome_encode(
            &outcome, command->kind == SYSTEM_JOIN && outcome.result == 0 ? &system->membership : NULL, reply);
        return 0;
    }
}

static int system_group_apply(void *machine, const struct hf_entry *entry, node_reply_sink *sink, void *sink_arg)
{
    struct system_group *system = machine;
    struct cursor cursor;
    struct buffer reply = {0};
    uint32_t count;
    int rc = system_group_open_entry(entry->payload, &cursor, &count);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct system_command command;
        buffer_clear(&reply);
        rc = system_group_read_command(cursor_sized(&cursor, NODE_COMMAND_SIZE_MAX), &command);
        if (rc == 0) {
            rc = system_group_apply_command(system, &command, &reply);
        }
        if (rc == 0 && sink != NULL) {
            sink(sink_arg, i, buffer_bytes(&reply));
        }
    }
    buffer_close(&reply);
    return rc != 0 ? rc : cursor_finish(&cursor, "a system entry");
}

static int system_group_read(void *machine, struct hf_bytes command, uint64_t stamp_ms, struct buffer *reply)
{
    return error_raise(HF_EUNSUPPORTED, "the system group answers no reads");
}

static uint64_t system_group_expire_due_ms(void *machine)
{
    return UINT64_MAX;
}

static void system_group_expire(void *machine, uint64_t stamp_ms, struct buffer *command) {}

static void system_group_digest(void *machine, uint64_t digest[2])
{
    const struct system_group *system = machine;
    digest[0] = system->has_description ? hash_fnv1a_64(buffer_bytes(&system->description_bytes)) : 0;
    digest[1] = membership_hash(&system->membership);
}

/* ---- Snapshots: the state is small, so a cut is its bytes ---- */

struct system_group_cut {
    struct buffer bytes;
    size_t read;
};

static void *system_group_cut(void *machine)
{
    const struct system_group *system = machine;
    struct system_group_cut *cut = memory_new(sizeof(*cut));
    struct hf_bytes description =
        system->has_description ? buffer_bytes(&system->description_bytes) : (struct hf_bytes){0};
    system_state_encode(description, &system->membership, &cut->bytes);
    return cut;
}

static void system_group_cut_close(void *arg)
{
    struct system_group_cut *cut = arg;
    buffer_close(&cut->bytes);
    free(cut);
}

static int system_group_cut_read(void *arg, void *target, size_t size, size_t *got)
{
    struct system_group_cut *cut = arg;
    size_t left = cut->bytes.size - cut->read;
    *got = left < size ? left : size;
    memcpy(target, cut->bytes.data + cut->read, *got);
    cut->read += *got;
    return 0;
}

static uint64_t system_group_cut_entries(void *arg)
{
    return 1;
}

struct system_group_import {
    const struct system_group *system; /* whose description is looked at, which never changes */
    struct buffer bytes;
    bool has_description;
    struct membership membership;
};

static void *system_group_import_open(void *machine)
{
    struct system_group_import *import = memory_new(sizeof(*import));
    import->system = machine;
    return import;
}

static int system_group_import_write(void *arg, struct hf_bytes bytes)
{
    struct system_group_import *import = arg;
    if (bytes.size > SYSTEM_STATE_SIZE_MAX - import->bytes.size) {
        return error_raise(HF_ECORRUPT, "the state of the system group is larger than it can be");
    }
    buffer_append_bytes(&import->bytes, bytes);
    return 0;
}

static int system_group_import_finish(void *arg)
{
    struct system_group_import *import = arg;
    const struct system_group *system = import->system;
    struct hf_bytes description = {0};
    int rc = system_state_decode(buffer_bytes(&import->bytes), &description, &import->membership);
    import->has_description = description.size > 0;
    if (rc == 0 && (memcmp(import->membership.cluster_id, system->description->cluster_id, PEER_CLUSTER_ID_SIZE) != 0 ||
                    (import->has_description && !bytes_equal(description, buffer_bytes(&system->description_bytes))))) {
        rc = error_raise(HF_EMISMATCH, "the cluster agreed on another description than the file \"cluster\" of this "
                                       "data directory holds");
    }
    return rc;
}

/* In place: the membership is lent for the machine's life. */
static void system_group_import_swap(void *machine, void *arg)
{
    struct system_group *system = machine;
    struct system_group_import *import = arg;
    system->has_description = import->has_description;
    system->membership = import->membership;
}

static void system_group_import_close(void *arg)
{
    struct system_group_import *import = arg;
    buffer_close(&import->bytes);
    free(import);
}

const struct node_machine_ops *system_group_ops(void)
{
    static const struct node_machine_ops ops = {
        .open = system_group_open,
        .close = system_group_close,
        .compose = system_group_compose,
        .apply = system_group_apply,
        .read = system_group_read,
        .expire_due_ms = system_group_expire_due_ms,
        .expire = system_group_expire,
        .digest = system_group_digest,
        .cut = system_group_cut,
        .cut_close = system_group_cut_close,
        .cut_read = system_group_cut_read,
        .cut_entries = system_group_cut_entries,
        .import_open = system_group_import_open,
        .import_write = system_group_import_write,
        .import_finish = system_group_import_finish,
        .import_swap = system_group_import_swap,
        .import_close = system_group_import_close,
    };
    return &ops;
}

bool system_group_has_description(const struct system_group *system)
{
    return system->has_description;
}

uint64_t system_group_incarnation(const struct system_group *system, uint64_t node_id)
{
    const struct membership_member *member = membership_find(&system->membership, node_id);
    return member != NULL ? member->incarnation : 0;
}

const struct membership *system_group_membership(const struct system_group *system)
{
    return &system->membership;
}

/* ---- Commands ---- */

static void system_group_begin(enum system_kind kind, struct buffer *command)
{
    buffer_append_u8(command, SYSTEM_VERSION);
    buffer_append_u8(command, (uint8_t)kind);
    buffer_append_u16(command, 0);
}

void system_group_describe(const struct description *description, struct buffer *command)
{
    system_group_begin(SYSTEM_DESCRIPTION, command);
    description_encode(description, command);
}

void system_group_register(uint64_t node_id, uint64_t incarnation, struct buffer *command)
{
    system_group_begin(SYSTEM_REGISTER, command);
    buffer_append_u64(command, node_id);
    buffer_append_u64(command, incarnation);
}

bool system_group_is_change(struct hf_bytes command)
{
    struct system_command read;
    return system_group_read_command(command, &read) == 0 && read.kind >= SYSTEM_JOIN && read.kind <= SYSTEM_ADDRESS;
}

void system_group_change(const struct membership_change *change, struct buffer *command)
{
    system_group_begin(SYSTEM_JOIN + (change->kind - MEMBERSHIP_JOIN), command);
    membership_change_encode(change, command);
}
