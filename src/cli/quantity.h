/* Sizes, durations and numbers as people write them. */
#ifndef CLI_QUANTITY_H
#define CLI_QUANTITY_H

#include <stdint.h>

/* "64MiB", "1GiB", "4096", "10kB": bytes. Suffixes B, kB/KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB. */
int quantity_bytes(const char *text, uint64_t *out);
/* "100ms", "3s", "5m", "2h"; a bare number is milliseconds. */
int quantity_ms(const char *text, uint64_t *out);
/* A whole decimal number in [low, high]. */
int quantity_number(const char *text, uint64_t low, uint64_t high, uint64_t *out);

#endif
