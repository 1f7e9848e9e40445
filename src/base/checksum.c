#include "base/checksum.h"

#include <isa-l/crc.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"

/* crc32_iscsi takes its length as an int. */
#define CHECKSUM_CHUNK_SIZE_MAX (1u << 30)
/* Up to here one instruction per word is faster than a call into ISA-L, which pays off over long runs. */
#define CHECKSUM_SMALL_SIZE_MAX 192u
/* So much goes in one round of the loops; a copy takes it by two vectors, which every processor with the instruction
 * has. */
#define CHECKSUM_STRIDE 32u
/* Longer copies go piece by piece, so that a piece is still in the cache when it is copied. */
#define CHECKSUM_COPY_SIZE_MAX (16u << 10)

/* ---- short runs: the processor's own instruction ---- */

#if defined(__x86_64__)

#include <nmmintrin.h>

static bool checksum_has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint64_t checksum_stride(uint64_t state, const uint8_t *data)
{
    state = _mm_crc32_u64(state, bytes_get_u64(data));
    state = _mm_crc32_u64(state, bytes_get_u64(data + 8));
    state = _mm_crc32_u64(state, bytes_get_u64(data + 16));
    return _mm_crc32_u64(state, bytes_get_u64(data + 24));
}

/* Up to the next word boundary of `data` first: a word that was stored whole a moment ago is then loaded whole, which
 * the processor serves from its store buffer. A load across two such stores waits until both are in the cache. */
__attribute__((target("sse4.2"))) static uint32_t checksum_small(uint32_t crc, const uint8_t *data, size_t size)
{
    uint32_t state = ~crc;
    while (size > 0 && ((uintptr_t)data & 3) != 0) {
        state = _mm_crc32_u8(state, *data++);
        size--;
    }
    if (size >= 4 && ((uintptr_t)data & 7) != 0) {
        uint32_t half = 0;
        memcpy(&half, data, sizeof(half));
        state = _mm_crc32_u32(state, half);
        data += sizeof(half);
        size -= sizeof(half);
    }
    uint64_t wide = state;
    for (; size >= CHECKSUM_STRIDE; size -= CHECKSUM_STRIDE, data += CHECKSUM_STRIDE) {
        wide = checksum_stride(wide, data);
    }
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word = 0;
        memcpy(&word, data, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    state = (uint32_t)wide;
    while (size > 0) {
        state = _mm_crc32_u8(state, *data++);
        size--;
    }
    return ~state;
}

__attribute__((target("sse4.2"))) static uint32_t checksum_small_copy(uint32_t crc, uint8_t *target,
                                                                      const uint8_t *source, size_t size)
{
    uint64_t wide = (uint32_t)~crc;
    for (; size >= CHECKSUM_STRIDE; size -= CHECKSUM_STRIDE, source += CHECKSUM_STRIDE, target += CHECKSUM_STRIDE) {
        wide = checksum_stride(wide, source);
        memcpy(target, source, CHECKSUM_STRIDE);
    }
    for (; size >= 8; size -= 8, source += 8, target += 8) {
        uint64_t word = 0;
        memcpy(&word, source, sizeof(word));
        memcpy(target, &word, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    uint32_t state = (uint32_t)wide;
    for (size_t i = 0; i < size; i++) {
        target[i] = source[i];
        state = _mm_crc32_u8(state, source[i]);
    }
    return ~state;
}

#else

static bool checksum_has_instruction(void)
{
    return false;
}

static uint32_t checksum_small(uint32_t crc, const uint8_t *data, size_t size)
{
    return checksum_crc32c_portable(crc, data, size);
}

static uint32_t checksum_small_copy(uint32_t crc, uint8_t *target, const uint8_t *source, size_t size)
{
    memcpy(target, source, size);
    return checksum_small(crc, source, size);
}

#endif

#if defined(__x86_64__)
/* ISA-L leaves the upper halves of the vector registers in use; code that knows only the lower ones then pays for it
 * with every instruction (measured: reading records of 160 bytes took twice as long). */
__attribute__((target("avx"))) static void checksum_end_vectors(void)
{
    __builtin_ia32_vzeroupper();
}
static bool checksum_has_vectors(void)
{
    return __builtin_cpu_supports("avx");
}
#else
static void checksum_end_vectors(void) {}
static bool checksum_has_vectors(void)
{
    return false;
}
#endif

/* ---- any size; what is long stands apart, so that a short run costs no more than a jump ---- */

static uint32_t __attribute__((noinline)) checksum_long(uint32_t crc, const uint8_t *data, size_t size)
{
    const unsigned char *at = data;
    uint32_t state = ~crc;
    while (size > 0) {
        size_t chunk = size < CHECKSUM_CHUNK_SIZE_MAX ? size : CHECKSUM_CHUNK_SIZE_MAX;
        /* The parameter lacks a const; the function only reads. */
        state = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)chunk, state);
        at += chunk;
        size -= chunk;
    }
    if (checksum_has_vectors()) {
        checksum_end_vectors();
    }
    return ~state;
}

uint32_t checksum_crc32c(uint32_t crc, const void *data, size_t size)
{
    return size <= CHECKSUM_SMALL_SIZE_MAX && checksum_has_instruction() ? checksum_small(crc, data, size)
                                                                         : checksum_long(crc, data, size);
}

static uint32_t __attribute__((noinline))
checksum_long_copy(uint32_t crc, uint8_t *target, const uint8_t *source, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t piece = size - at < CHECKSUM_COPY_SIZE_MAX ? size - at : CHECKSUM_COPY_SIZE_MAX;
        crc = checksum_crc32c(crc, source + at, piece);
        memcpy(target + at, source + at, piece);
        at += piece;
    }
    return crc;
}

uint32_t checksum_crc32c_copy(uint32_t crc, void *target, const void *source, size_t size)
{
    return size <= CHECKSUM_SMALL_SIZE_MAX && checksum_has_instruction()
               ? checksum_small_copy(crc, target, source, size)
               : checksum_long_copy(crc, target, source, size);
}

/* The remainders of the sixteen nibbles for the reflected polynomial 0x82F63B78: small enough to be checked by hand. */
static const uint32_t checksum_nibbles[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

uint32_t checksum_crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;
    uint32_t state = ~crc;
    for (size_t i = 0; i < size; i++) {
        state ^= at[i];
        state = state >> 4 ^ checksum_nibbles[state & 15];
        state = state >> 4 ^ checksum_nibbles[state & 15];
    }
    return ~state;
}
