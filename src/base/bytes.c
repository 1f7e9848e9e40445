#include "base/bytes.h"

#include "base/error.h"

int bytes_compare(struct hf_bytes a, struct hf_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

bool bytes_equal(struct hf_bytes a, struct hf_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

struct cursor cursor_of(struct hf_bytes bytes)
{
    return (struct cursor){.at = bytes.data, .left = bytes.size, .failed = false};
}

/* The next `size` bytes, or NULL when there are fewer; then the cursor has failed and stays where it is. size > 0. */
static const uint8_t *cursor_take(struct cursor *cursor, size_t size)
{
    if (cursor->failed || size > cursor->left) {
        cursor->failed = true;
        return NULL;
    }
    const uint8_t *taken = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    return taken;
}

uint8_t cursor_u8(struct cursor *cursor)
{
    const uint8_t *source = cursor_take(cursor, 1);
    return source != NULL ? bytes_get_u8(source) : 0;
}

uint16_t cursor_u16(struct cursor *cursor)
{
    const uint8_t *source = cursor_take(cursor, 2);
    return source != NULL ? bytes_get_u16(source) : 0;
}

uint32_t cursor_u32(struct cursor *cursor)
{
    const uint8_t *source = cursor_take(cursor, 4);
    return source != NULL ? bytes_get_u32(source) : 0;
}

uint64_t cursor_u64(struct cursor *cursor)
{
    const uint8_t *source = cursor_take(cursor, 8);
    return source != NULL ? bytes_get_u64(source) : 0;
}

struct hf_bytes cursor_bytes(struct cursor *cursor, size_t size)
{
    if (size == 0) {
        /* Apart, because `at` may be NULL when the source is empty. */
        return bytes_of(cursor->failed ? NULL : cursor->at, 0);
    }
    const uint8_t *source = cursor_take(cursor, size);
    return bytes_of(source, source != NULL ? size : 0);
}

struct hf_bytes cursor_sized(struct cursor *cursor, uint32_t size_max)
{
    uint32_t size = cursor_u32(cursor);
    if (size > size_max) {
        cursor->failed = true;
    }
    return cursor_bytes(cursor, cursor->failed ? 0 : size);
}

int cursor_finish(const struct cursor *cursor, const char *what)
{
    if (cursor->failed) {
        return error_raise(HF_EPROTOCOL, "%s is truncated", what);
    }
    if (cursor->left > 0) {
        return error_raise(HF_EPROTOCOL, "%s has trailing bytes", what);
    }
    return 0;
}
