#include "server/machine_entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MACHINE_ENTRY_KIND_UNITS    1u
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

void machine_unit_version(struct buffer *unit, struct hf_bytes key)
{
    machine_unit_head(unit, MACHINE_UNIT_COMMAND, 2, 0, 1);
    machine_unit_command_head(unit, COMMAND_NUMBER_VERSION, 1);
    buffer_append_sized(unit, key);
}

/* ":<digits>\r\n" at *at. */
static bool machine_version_number(const uint8_t **at, const uint8_t *end, uint64_t *number)
{
    *number = 0;
    if (*at == end || *(*at)++ != ':') {
        return false;
    }
    while (*at < end && **at >= '0' && **at <= '9' && *number <= UINT64_MAX / 10 - 1) {
        *number = *number * 10 + (uint64_t)(*(*at)++ - '0');
    }
    if (end - *at < 2 || (*at)[0] != '\r' || (*at)[1] != '\n') {
        return false;
    }
    *at += 2;
    return true;
}

int machine_version_parse(struct hf_bytes reply, struct machine_version *out)
{
    const uint8_t *at = reply.data;
    const uint8_t *end = at + reply.size;
    uint64_t index;
    uint64_t ordinal;
    if (reply.size < 4 || memcmp(at, "*2\r\n", 4) != 0) {
        return error_raise(HF_EPROTOCOL, "not the version of a key");
    }
    at += 4;
    if (!machine_version_number(&at, end, &index) || !machine_version_number(&at, end, &ordinal) || at != end ||
        ordinal > UINT32_MAX) {
        return error_raise(HF_EPROTOCOL, "not the version of a key");
    }
    *out = (struct machine_version){index, (uint32_t)ordinal};
    return 0;
}

size_t machine_unit_command_size(const struct arguments *arguments)
{
    size_t size = MACHINE_COMMAND_HEADER_SIZE;
    for (size_t i = 1; i < arguments->count; i++) {
        size += sizeof(uint32_t) + arguments->items[i].size;
    }
    return size;
}

/* In place of a unit that nobody could apply. */
static void machine_entry_append_broken(struct buffer *entry)
{
    static const char answer[] = "-ERR the command was damaged on its way to the leader; it was not executed\r\n";
    machine_unit_head(entry, MACHINE_UNIT_COMMAND, 2, 0, 1);
    machine_unit_body_literal(entry, bytes_of(answer, sizeof(answer) - 1));
}

void machine_entry_compose(struct buffer *entry, uint64_t stamp_ms, const struct hf_bytes *units, uint32_t count)
{
    assert(count >= 1 && count <= MACHINE_ENTRY_UNITS_MAX);
    buffer_append_u8(entry, MACHINE_ENTRY_VERSION);
    buffer_append_u8(entry, MACHINE_ENTRY_KIND_UNITS);
    buffer_append_u16(entry, 0);
    buffer_append_u32(entry, count);
    buffer_append_u64(entry, stamp_ms);
    for (uint32_t i = 0; i < count; i++) {
        if (machine_unit_validate(units[i]) == 0) {
            buffer_append_bytes(entry, units[i]);
        } else {
            machine_entry_append_broken(entry);
        }
    }
}

/* ---- Validating: every field is looked at, nothing is believed. ---- */

static int machine_entry_malformed(const char *what)
{
    return error_raise(HF_EPROTOCOL, "malformed entry: %s", what);
}

static int machine_validate_watches(struct cursor *cursor, uint32_t count)
{
    for (uint32_t i = 0; i < count && !cursor->failed; i++) {
        uint64_t index = cursor_u64(cursor);
        uint32_t ordinal = cursor_u32(cursor);
        cursor_sized(cursor, MACHINE_ENTRY_SIZE_MAX);
        if (index == 0 && ordinal != 0) {
            return machine_entry_malformed("a watch has an ordinal without an index");
        }
    }
    return cursor->failed ? machine_entry_malformed("watches are cut off") : 0;
}

static int machine_validate_command(struct cursor *cursor)
{
    uint32_t number = cursor_u16(cursor);
    uint32_t zero = cursor_u16(cursor);
    uint32_t count = cursor_u32(cursor);
    if (cursor->failed || zero != 0 || count >= COMMAND_ARGUMENTS_MAX) {
        return machine_entry_malformed("the head of a command");
    }
    for (uint32_t i = 0; i < count && !cursor->failed; i++) {
        cursor_sized(cursor, MACHINE_ENTRY_SIZE_MAX);
    }
    if (cursor->failed) {
        return machine_entry_malformed("arguments are cut off");
    }
    if (number == COMMAND_NUMBER_NONE) {
        return machine_entry_malformed("a command without a number");
    }
    if (command_by_number(number) == NULL) {
        return error_raise(HF_EVERSION, "command number %u is not known to this program", (unsigned)number);
    }
    return 0;
}

static int machine_validate_unit(struct cursor *cursor)
{
    uint32_t kind = cursor_u8(cursor);
    uint32_t protocol = cursor_u8(cursor);
    uint32_t zero = cursor_u16(cursor);
    uint32_t watches = cursor_u32(cursor);
    uint32_t commands = cursor_u32(cursor);
    if (cursor->failed || kind == 0) {
        return machine_entry_malformed("the head of a unit");
    }
    if (kind != MACHINE_UNIT_COMMAND && kind != MACHINE_UNIT_TRANSACTION) {
        return error_raise(HF_EVERSION, "units of kind %u are not known to this program", (unsigned)kind);
    }
    if (zero != 0 || (protocol != 2 && protocol != 3)) {
        return machine_entry_malformed("the head of a unit");
    }
    if (kind == MACHINE_UNIT_COMMAND ? watches != 0 || commands != 1
                                     : watches > MACHINE_ENTRY_WATCHES_MAX || commands > MACHINE_ENTRY_COMMANDS_MAX) {
        return machine_entry_malformed("the counts of a unit");
    }
    int rc = machine_validate_watches(cursor, watches);
    for (uint32_t i = 0; i < commands && rc == 0; i++) {
        rc = machine_validate_command(cursor);
    }
    return rc;
}

int machine_unit_validate(struct hf_bytes unit)
{
    if (unit.size > MACHINE_ENTRY_SIZE_MAX) {
        return machine_entry_malformed("it is larger than any entry");
    }
    struct cursor cursor = cursor_of(unit);
    int rc = machine_validate_unit(&cursor);
    return rc != 0 ? rc : cursor_finish(&cursor, "unit");
}

int machine_entry_validate(struct hf_bytes entry)
{
    if (entry.size > MACHINE_ENTRY_SIZE_MAX) {
        return machine_entry_malformed("it is larger than any entry");
    }
    struct cursor cursor = cursor_of(entry);
    uint32_t version = cursor_u8(&cursor);
    uint32_t kind = cursor_u8(&cursor);
    uint32_t zero = cursor_u16(&cursor);
    uint32_t count = cursor_u32(&cursor);
    cursor_u64(&cursor);
    if (cursor.failed) {
        return machine_entry_malformed("the header is cut off");
    }
    if (version != MACHINE_ENTRY_VERSION || kind != MACHINE_ENTRY_KIND_UNITS) {
        return error_raise(HF_EVERSION, "entries of version %u and kind %u are not known to this program",
                           (unsigned)version, (unsigned)kind);
    }
    if (zero != 0 || count == 0 || count > MACHINE_ENTRY_UNITS_MAX) {
        return machine_entry_malformed("the header");
    }
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = machine_validate_unit(&cursor);
    }
    return rc != 0 ? rc : cursor_finish(&cursor, "entry");
}

/* ---- Reading ---- */

void machine_entry_open(struct machine_entry_reader *reader, struct hf_bytes entry)
{
    *reader = (struct machine_entry_reader){.cursor = cursor_of(entry)};
    cursor_u32(&reader->cursor);
    reader->unit_count = cursor_u32(&reader->cursor);
    reader->stamp_ms = cursor_u64(&reader->cursor);
}

void machine_entry_open_unit(struct machine_entry_reader *reader, struct hf_bytes unit)
{
    *reader = (struct machine_entry_reader){.cursor = cursor_of(unit), .unit_count = 1};
}

bool machine_entry_next_unit(struct machine_entry_reader *reader, struct machine_unit *unit)
{
    if (reader->units_read == reader->unit_count) {
        return false;
    }
    unit->kind = (enum machine_unit_kind)cursor_u8(&reader->cursor);
    unit->protocol = cursor_u8(&reader->cursor);
    cursor_u16(&reader->cursor);
    unit->watch_count = cursor_u32(&reader->cursor);
    unit->command_count = cursor_u32(&reader->cursor);
    unit->ordinal = reader->units_read++;
    assert(!reader->cursor.failed);
    return true;
}

void machine_entry_next_watch(struct machine_entry_reader *reader, struct machine_watch *watch)
{
    watch->version.index = cursor_u64(&reader->cursor);
    watch->version.ordinal = cursor_u32(&reader->cursor);
    watch->key = cursor_sized(&reader->cursor, MACHINE_ENTRY_SIZE_MAX);
    assert(!reader->cursor.failed);
}

void machine_entry_next_command(struct machine_entry_reader *reader, const struct command_spec **spec,
                                struct arguments *arguments)
{
    *spec = command_by_number(cursor_u16(&reader->cursor));
    assert(*spec != NULL);
    cursor_u16(&reader->cursor);
    size_t count = (size_t)cursor_u32(&reader->cursor) + 1;
    if (count > reader->items_capacity) {
        /* Bounded by the entry's own size: each argument takes four bytes of it at least. */
        reader->items = memory_resize(reader->items, count * sizeof(*reader->items));
        reader->items_capacity = count;
    }
    reader->items[0] = bytes_of_text((*spec)->name);
    for (size_t i = 1; i < count; i++) {
        reader->items[i] = cursor_sized(&reader->cursor, MACHINE_ENTRY_SIZE_MAX);
    }
    assert(!reader->cursor.failed);
    *arguments = (struct arguments){reader->items, count};
}

void machine_entry_close(struct machine_entry_reader *reader)
{
    free(reader->items);
    reader->items = NULL;
    reader->items_capacity = 0;
}
