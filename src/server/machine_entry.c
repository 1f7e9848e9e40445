#include "server/machine_entry.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"

#define MACHINE_ENTRY_KIND_UNITS 1u

/* ---- Building ---- */

/* In place of a unit that nobody could apply. */
static void machine_entry_append_broken(struct buffer *entry)
{
    static const char answer[] = "-ERR the command was damaged on its way to the leader; it was not executed\r\n";
    machine_unit_literal(entry, bytes_of(answer, sizeof(answer) - 1));
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

int machine_entry_validate(struct hf_bytes entry)
{
    if (entry.size > MACHINE_ENTRY_SIZE_MAX) {
        return machine_unit_malformed("it is larger than any entry");
    }
    struct cursor cursor = cursor_of(entry);
    uint32_t version = cursor_u8(&cursor);
    uint32_t kind = cursor_u8(&cursor);
    uint32_t zero = cursor_u16(&cursor);
    uint32_t count = cursor_u32(&cursor);
    cursor_u64(&cursor);
    if (cursor.failed) {
        return machine_unit_malformed("the header is cut off");
    }
    if (version != MACHINE_ENTRY_VERSION || kind != MACHINE_ENTRY_KIND_UNITS) {
        return error_raise(HF_EVERSION, "entries of version %u and kind %u are not known to this program",
                           (unsigned)version, (unsigned)kind);
    }
    if (zero != 0 || count == 0 || count > MACHINE_ENTRY_UNITS_MAX) {
        return machine_unit_malformed("the header");
    }
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = machine_unit_validate_next(&cursor);
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

bool machine_entry_next_key(struct machine_entry_reader *reader, struct hf_bytes *key)
{
    struct machine_unit unit;
    struct machine_watch watch;
    *key = bytes_of("", 0);
    if (!machine_entry_next_unit(reader, &unit)) {
        return false;
    }
    for (uint32_t i = 0; i < unit.watch_count; i++) {
        machine_entry_next_watch(reader, &watch);
    }
    for (uint32_t i = 0; i < unit.command_count; i++) {
        cursor_u32(&reader->cursor);
        uint32_t count = cursor_u32(&reader->cursor);
        for (uint32_t argument = 0; argument < count; argument++) {
            struct hf_bytes bytes = cursor_sized(&reader->cursor, MACHINE_ENTRY_SIZE_MAX);
            *key = i == 0 && argument == 0 ? bytes : *key;
        }
    }
    return true;
}

void machine_entry_close(struct machine_entry_reader *reader)
{
    free(reader->items);
    reader->items = NULL;
    reader->items_capacity = 0;
}
