/* CRC-32C (Castagnoli) by ISA-L's crc32_iscsi, whose convention (seed inverted, result not) is hidden here:
 * checksum_crc32c(0, "123456789", 9) == 0xE3069283, and checksums chain: crc(crc(0, a), b) == crc(0, a ‖ b). */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

uint32_t checksum_crc32c(uint32_t crc, const void *data, size_t size);
/* The same, and copies: the bytes are read once. `source` and `target` do not overlap. */
uint32_t checksum_crc32c_copy(uint32_t crc, void *target, const void *source, size_t size);
/* A table implementation with the same results, for tests and for machines without the instruction. */
uint32_t checksum_crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
