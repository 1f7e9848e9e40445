#include "server/machine_unit.h"

#include <assert.h>

#include "base/error.h"

#define MACHINE_COMMAND_HEADER_SIZE 8u

/* ---- Building ---- */

static void machine_unit_head(struct buffer *unit, enum machine_unit_kind kind, unsigned protocol, size_t watches,
                              size_t commands)
{
    assert(protocol == 2 || protocol == 3);
    assert(watches <= MACHINE_ENTRY_WATCHES_MAX && commands <= MACHINE_ENTRY_COMMANDS_MAX);
    buffer_append_u8(unit, (uint8_t)kind);
    buffer_append_u8(unit, (uint8_t)protocol);
    buffer_append_u16(unit, 0);
    buffer_append_u32(unit, (uint32_t)watches);
    buffer_append_u32(unit, (uint32_t)commands);
}

static void machine_unit_command_head(struct buffer *unit, enum command_number number, size_t arguments)
{
    assert(number != COMMAND_NUMBER_NONE && arguments < COMMAND_ARGUMENTS_MAX);
    buffer_append_u16(unit, (uint16_t)number);
    buffer_append_u16(unit, 0);
    buffer_append_u32(unit, (uint32_t)arguments);
}

void machine_unit_body(struct buffer *unit, const struct command_spec *spec, const struct arguments *arguments)
{
    assert(arguments->count >= 1);
    machine_unit_command_head(unit, spec->number, arguments->count - 1);
    for (size_t i = 1; i < arguments->count; i++) {
        buffer_append_sized(unit, arguments->items[i]);
    }
}

void machine_unit_body_literal(struct buffer *unit, struct hf_bytes resp)
{
    machine_unit_command_head(unit, COMMAND_NUMBER_LITERAL, 1);
    buffer_append_sized(unit, resp);
}

void machine_unit_command(struct buffer *unit, unsigned protocol, const struct command_spec *spec,
                          const struct arguments *arguments)
{
    machine_unit_head(unit, MACHINE_UNIT_COMMAND, protocol, 0, 1);
    machine_unit_body(unit, spec, arguments);
}

void machine_unit_literal(struct buffer *unit, struct hf_bytes resp)
{
    machine_unit_head(unit, MACHINE_UNIT_COMMAND, 2, 0, 1);
    machine_unit_body_literal(unit, resp);
}

void machine_unit_transaction(struct buffer *unit, unsigned protocol, const struct machine_watch *watches,
                              size_t watch_count, size_t command_count)
{
    machine_unit_head(unit, MACHINE_UNIT_TRANSACTION, protocol, watch_count, command_count);
    for (size_t i = 0; i < watch_count; i++) {
        buffer_append_u64(unit, watches[i].version.index);
        buffer_append_u32(unit, watches[i].version.ordinal);
        buffer_append_sized(unit, watches[i].key);
    }
}

void machine_unit_expire_due(struct buffer *unit, uint64_t stamp_ms, uint32_t keys_max)
{
    assert(keys_max <= MACHINE_EXPIRE_DUE_MAX);
    machine_unit_head(unit, MACHINE_UNIT_COMMAND, 2, 0, 1);
    machine_unit_command_head(unit, COMMAND_NUMBER_EXPIRE_DUE, 2);
    buffer_append_u32(unit, 8);
    buffer_append_u64(unit, stamp_ms);
    buffer_append_u32(unit, 4);
    buffer_append_u32(unit, keys_max);
}

size_t machine_unit_command_size(const struct arguments *arguments)
{
    size_t size = MACHINE_COMMAND_HEADER_SIZE;
    for (size_t i = 1; i < arguments->count; i++) {
        size += sizeof(uint32_t) + arguments->items[i].size;
    }
    return size;
}

/* ---- Validating: every field is looked at, nothing is believed. ---- */

int machine_unit_malformed(const char *what)
{
    return error_raise(HF_EPROTOCOL, "malformed entry: %s", what);
}

static int machine_unit_validate_watches(struct cursor *cursor, uint32_t count)
{
    for (uint32_t i = 0; i < count && !cursor->failed; i++) {
        uint64_t index = cursor_u64(cursor);
        uint32_t ordinal = cursor_u32(cursor);
        cursor_sized(cursor, MACHINE_ENTRY_SIZE_MAX);
        if (index == 0 && ordinal != 0) {
            return machine_unit_malformed("a watch has an ordinal without an index");
        }
    }
    return cursor->failed ? machine_unit_malformed("watches are cut off") : 0;
}

static int machine_unit_validate_command(struct cursor *cursor)
{
    uint32_t number = cursor_u16(cursor);
    uint32_t zero = cursor_u16(cursor);
    uint32_t count = cursor_u32(cursor);
    if (cursor->failed || zero != 0 || count >= COMMAND_ARGUMENTS_MAX) {
        return machine_unit_malformed("the head of a command");
    }
    for (uint32_t i = 0; i < count && !cursor->failed; i++) {
        cursor_sized(cursor, MACHINE_ENTRY_SIZE_MAX);
    }
    if (cursor->failed) {
        return machine_unit_malformed("arguments are cut off");
    }
    if (number == COMMAND_NUMBER_NONE) {
        return machine_unit_malformed("a command without a number");
    }
    if (command_by_number(number) == NULL) {
        return error_raise(HF_EVERSION, "command number %u is not known to this program", (unsigned)number);
    }
    return 0;
}

int machine_unit_validate_next(struct cursor *cursor)
{
    uint32_t kind = cursor_u8(cursor);
    uint32_t protocol = cursor_u8(cursor);
    uint32_t zero = cursor_u16(cursor);
    uint32_t watches = cursor_u32(cursor);
    uint32_t commands = cursor_u32(cursor);
    if (cursor->failed || kind == 0) {
        return machine_unit_malformed("the head of a unit");
    }
    if (kind != MACHINE_UNIT_COMMAND && kind != MACHINE_UNIT_TRANSACTION) {
        return error_raise(HF_EVERSION, "units of kind %u are not known to this program", (unsigned)kind);
    }
    if (zero != 0 || (protocol != 2 && protocol != 3)) {
        return machine_unit_malformed("the head of a unit");
    }
    if (kind == MACHINE_UNIT_COMMAND ? watches != 0 || commands != 1
                                     : watches > MACHINE_ENTRY_WATCHES_MAX || commands > MACHINE_ENTRY_COMMANDS_MAX) {
        return machine_unit_malformed("the counts of a unit");
    }
    int rc = machine_unit_validate_watches(cursor, watches);
    for (uint32_t i = 0; i < commands && rc == 0; i++) {
        rc = machine_unit_validate_command(cursor);
    }
    return rc;
}

int machine_unit_validate(struct hf_bytes unit)
{
    if (unit.size > MACHINE_ENTRY_SIZE_MAX) {
        return machine_unit_malformed("it is larger than any entry");
    }
    struct cursor cursor = cursor_of(unit);
    int rc = machine_unit_validate_next(&cursor);
    return rc != 0 ? rc : cursor_finish(&cursor, "unit");
}

bool machine_unit_may_grow(struct hf_bytes unit)
{
    if (machine_unit_validate(unit) != 0) {
        return false;
    }
    bool may_grow = false;
    struct cursor cursor = cursor_of(unit);
    cursor_u32(&cursor);
    uint32_t watches = cursor_u32(&cursor);
    uint32_t commands = cursor_u32(&cursor);
    for (uint32_t i = 0; i < watches; i++) {
        cursor_bytes(&cursor, 12);
        cursor_sized(&cursor, MACHINE_ENTRY_SIZE_MAX);
    }
    for (uint32_t i = 0; i < commands && !may_grow; i++) {
        may_grow = (command_by_number(cursor_u16(&cursor))->flags & COMMAND_MAY_GROW) != 0;
        cursor_u16(&cursor);
        for (uint32_t left = cursor_u32(&cursor); left > 0; left--) {
            cursor_sized(&cursor, MACHINE_ENTRY_SIZE_MAX);
        }
    }
    return may_grow;
}
