/* A growing byte buffer that its holder owns. Zero-initialised is empty and valid. Allocation failure aborts the
 * process with a message: sizes from outside are bounded before they get here, and the ledger bounds the sum. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "holdfast/bytes.h"

struct buffer {
    uint8_t *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

void buffer_close(struct buffer *buffer);                 /* frees; the buffer is empty and valid again */
void buffer_reserve(struct buffer *buffer, size_t extra); /* room for `extra` more bytes */

/* size = 0, capacity kept */
static inline void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
}

/* Grows size by extra, returns the new bytes (unset). */
static inline uint8_t *buffer_extend(struct buffer *buffer, size_t extra)
{
    if (buffer->data == NULL || buffer->capacity - buffer->size < extra) {
        buffer_reserve(buffer, extra);
    }
    uint8_t *added = buffer->data + buffer->size;
    buffer->size += extra;
    return added;
}

/* data: not of this buffer */
static inline void buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    if (size > 0) {
        memcpy(buffer_extend(buffer, size), data, size);
    }
}

static inline void buffer_append_bytes(struct buffer *buffer, struct hf_bytes bytes)
{
    buffer_append(buffer, bytes.data, bytes.size);
}

void buffer_append_u8(struct buffer *buffer, uint8_t value);
void buffer_append_u16(struct buffer *buffer, uint16_t value);
void buffer_append_u32(struct buffer *buffer, uint32_t value);
void buffer_append_u64(struct buffer *buffer, uint64_t value);
void buffer_append_sized(struct buffer *buffer, struct hf_bytes bytes); /* u32 length, then the bytes */
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_drop_front(struct buffer *buffer, size_t size); /* moves the rest to the front */
struct hf_bytes buffer_bytes(const struct buffer *buffer);  /* lent until the next change */

/* malloc that never returns NULL (aborts with a message); size 0 gives a valid pointer. Free with free(). */
void *memory_new(size_t size);                           /* zeroed */
void *memory_new_aligned(size_t alignment, size_t size); /* not zeroed; size a multiple of alignment */
void *memory_resize(void *old, size_t size);
char *text_copy(const char *text);
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
