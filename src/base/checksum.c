#include "base/checksum.h"

#include <isa-l/crc.h>

/* crc32_iscsi takes its length as an int. */
#define CHECKSUM_CHUNK_SIZE_MAX (1u << 30)

uint32_t checksum_crc32c(uint32_t crc, const void *data, size_t size)
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
    return ~state;
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
