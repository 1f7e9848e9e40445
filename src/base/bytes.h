/* Fixed-width little-endian integers in byte strings, and a bounded reader over bytes that are not trusted. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "holdfast/bytes.h"

static inline void bytes_put_u8(void *target, uint8_t value)
{
    *(uint8_t *)target = value;
}
/* Each as one store: what is read again at once as a whole (checksum.c) must not have been written in parts. */
static inline void bytes_put_u16(void *target, uint16_t value)
{
    uint16_t little = htole16(value);
    memcpy(target, &little, sizeof(little));
}
static inline void bytes_put_u32(void *target, uint32_t value)
{
    uint32_t little = htole32(value);
    memcpy(target, &little, sizeof(little));
}
static inline void bytes_put_u64(void *target, uint64_t value)
{
    uint64_t little = htole64(value);
    memcpy(target, &little, sizeof(little));
}
static inline uint8_t bytes_get_u8(const void *source)
{
    return *(const uint8_t *)source;
}
static inline uint16_t bytes_get_u16(const void *source)
{
    uint16_t little;
    memcpy(&little, source, sizeof(little));
    return le16toh(little);
}
static inline uint32_t bytes_get_u32(const void *source)
{
    uint32_t little;
    memcpy(&little, source, sizeof(little));
    return le32toh(little);
}
static inline uint64_t bytes_get_u64(const void *source)
{
    uint64_t little;
    memcpy(&little, source, sizeof(little));
    return le64toh(little);
}

static inline struct hf_bytes bytes_of(const void *data, size_t size)
{
    return (struct hf_bytes){data, size};
}
static inline struct hf_bytes bytes_of_text(const char *text)
{
    return (struct hf_bytes){text, strlen(text)};
}
/* memcmp order; a prefix sorts before what it is a prefix of. */
int bytes_compare(struct hf_bytes a, struct hf_bytes b);
bool bytes_equal(struct hf_bytes a, struct hf_bytes b);

/* Reads from the front of lent bytes. After the first read past the end `failed` stays set, every later read yields
 * zero or empty, and the caller checks once at the end with cursor_finish. */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool failed;
};

struct cursor cursor_of(struct hf_bytes bytes);
uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_u16(struct cursor *cursor);
uint32_t cursor_u32(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);
/* Lends `size` bytes of the source. */
struct hf_bytes cursor_bytes(struct cursor *cursor, size_t size);
/* A u32 length, at most size_max, then that many bytes; a longer length fails before anything is read. */
struct hf_bytes cursor_sized(struct cursor *cursor, uint32_t size_max);
/* 0 when nothing failed and nothing is left; HF_EPROTOCOL with "<what> is truncated" or "has trailing bytes". */
int cursor_finish(const struct cursor *cursor, const char *what);

#endif
