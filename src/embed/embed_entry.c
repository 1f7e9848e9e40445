#include "embed/embed_entry.h"

#include <assert.h>

#include "base/error.h"
#include "holdfast/node.h"

void embed_entry_begin(enum embed_entry_kind kind, uint32_t count, struct buffer *out)
{
    assert(count >= 1 && count <= EMBED_ENTRY_COMMANDS_MAX);
    buffer_append_u8(out, EMBED_ENTRY_VERSION);
    buffer_append_u8(out, (uint8_t)kind);
    buffer_append_u16(out, 0);
    buffer_append_u32(out, count);
}

struct hf_bytes embed_entry_next(struct cursor *cursor)
{
    return cursor_sized(cursor, HF_NODE_COMMAND_SIZE_MAX);
}

int embed_entry_open(enum embed_entry_kind kind, struct hf_bytes entry, struct cursor *cursor, uint32_t *count)
{
    *cursor = cursor_of(entry);
    uint8_t version = cursor_u8(cursor);
    uint8_t found = cursor_u8(cursor);
    uint16_t zero = cursor_u16(cursor);
    *count = cursor_u32(cursor);
    if (cursor->failed) {
        return error_raise(HF_EPROTOCOL, "an entry is truncated");
    }
    if (version != EMBED_ENTRY_VERSION || zero != 0) {
        return error_raise(HF_EVERSION, "an entry has version %u, this program knows %u. next: upgrade this node",
                           version, EMBED_ENTRY_VERSION);
    }
    if (found != kind) {
        return error_raise(HF_EMISMATCH,
                           "an entry is of kind %u, this machine's are of kind %u. next: open the directory with the "
                           "machine that it was written with",
                           found, (unsigned)kind);
    }
    if (*count == 0 || *count > EMBED_ENTRY_COMMANDS_MAX) {
        return error_raise(HF_EPROTOCOL, "an entry claims to hold %u commands", *count);
    }
    struct cursor walk = *cursor;
    for (uint32_t i = 0; i < *count; i++) {
        embed_entry_next(&walk);
    }
    return cursor_finish(&walk, "an entry");
}
