#include "base/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define BUFFER_CAPACITY_MIN 64u

static _Noreturn void memory_exhausted(size_t size)
{
    fprintf(stderr, "holdfast: out of memory: %zu bytes were refused\n", size);
    abort();
}

/* glibc keeps what a thread freed at hand for malloc, but its calloc does not look there before 2.41. */
#define MEMORY_CLEARED_SIZE_MAX 1024u

void *memory_new(size_t size)
{
    void *memory = size <= MEMORY_CLEARED_SIZE_MAX ? malloc(size > 0 ? size : 1) : calloc(1, size);
    if (memory == NULL) {
        memory_exhausted(size);
    }
    if (size <= MEMORY_CLEARED_SIZE_MAX) {
        memset(memory, 0, size);
    }
    return memory;
}

void *memory_new_aligned(size_t alignment, size_t size)
{
    void *memory = aligned_alloc(alignment, size);
    if (memory == NULL) {
        memory_exhausted(size);
    }
    return memory;
}

void *memory_resize(void *old, size_t size)
{
    void *memory = realloc(old, size > 0 ? size : 1);
    if (memory == NULL) {
        memory_exhausted(size);
    }
    return memory;
}

char *text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(memory_new(size), text, size);
}

char *text_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list args_again;
    va_copy(args_again, args);
    int length = vsnprintf(NULL, 0, format, args);
    assert(length >= 0);
    char *text = memory_new((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args_again);
    va_end(args_again);
    va_end(args);
    return text;
}

void buffer_close(struct buffer *buffer)
{
    if (buffer == NULL) {
        return;
    }
    free(buffer->data);
    *buffer = (struct buffer){0};
}

void buffer_reserve(struct buffer *buffer, size_t extra)
{
    if (extra > SIZE_MAX / 2 - buffer->size) {
        memory_exhausted(extra);
    }
    size_t needed = buffer->size + extra;
    if (needed <= buffer->capacity && buffer->data != NULL) {
        return;
    }
    size_t capacity = buffer->capacity * 2;
    if (capacity < needed) {
        capacity = needed;
    }
    if (capacity < BUFFER_CAPACITY_MIN) {
        capacity = BUFFER_CAPACITY_MIN;
    }
    buffer->data = memory_resize(buffer->data, capacity);
    buffer->capacity = capacity;
}

void buffer_append_u8(struct buffer *buffer, uint8_t value)
{
    bytes_put_u8(buffer_extend(buffer, 1), value);
}

void buffer_append_u16(struct buffer *buffer, uint16_t value)
{
    bytes_put_u16(buffer_extend(buffer, 2), value);
}

void buffer_append_u32(struct buffer *buffer, uint32_t value)
{
    bytes_put_u32(buffer_extend(buffer, 4), value);
}

void buffer_append_u64(struct buffer *buffer, uint64_t value)
{
    bytes_put_u64(buffer_extend(buffer, 8), value);
}

void buffer_append_sized(struct buffer *buffer, struct hf_bytes bytes)
{
    assert(bytes.size <= UINT32_MAX);
    buffer_append_u32(buffer, (uint32_t)bytes.size);
    buffer_append_bytes(buffer, bytes);
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, text, strlen(text));
}

void buffer_format(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list args_again;
    va_copy(args_again, args);
    int length = vsnprintf(NULL, 0, format, args);
    assert(length >= 0);
    /* vsnprintf writes a zero behind the text; it needs room but is not part of the content. */
    buffer_reserve(buffer, (size_t)length + 1);
    vsnprintf((char *)buffer->data + buffer->size, (size_t)length + 1, format, args_again);
    buffer->size += (size_t)length;
    va_end(args_again);
    va_end(args);
}

void buffer_drop_front(struct buffer *buffer, size_t size)
{
    assert(size <= buffer->size);
    if (size == 0) {
        return;
    }
    buffer->size -= size;
    memmove(buffer->data, buffer->data + size, buffer->size);
}

struct hf_bytes buffer_bytes(const struct buffer *buffer)
{
    return bytes_of(buffer->data, buffer->size);
}
