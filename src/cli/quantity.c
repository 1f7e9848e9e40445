#include "cli/quantity.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/error.h"

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"kB", 1000},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
    {"TB", 1000000000000},
    {"KiB", 1ull << 10},
    {"MiB", 1ull << 20},
    {"GiB", 1ull << 30},
    {"TiB", 1ull << 40},
};
static const struct unit time_units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

/* Digits at the front of the text; false when there are none or they overflow. */
static bool digits(const char *text, uint64_t *out, const char **rest)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return false;
        }
    }
    *out = value;
    *rest = at;
    return at != text;
}

static int scaled(const char *text, const struct unit *units, size_t count, const char *examples, uint64_t *out)
{
    uint64_t value;
    const char *rest;
    if (!digits(text, &value, &rest)) {
        return error_raise(HF_EINVALID, "'%s' is not a number (examples: %s)", text, examples);
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rest, units[i].suffix) == 0) {
            if (__builtin_mul_overflow(value, units[i].factor, out)) {
                return error_raise(HF_EINVALID, "'%s' is too large", text);
            }
            return 0;
        }
    }
    return error_raise(HF_EINVALID, "'%s' has an unknown unit '%s' (examples: %s)", text, rest, examples);
}

int quantity_bytes(const char *text, uint64_t *out)
{
    return scaled(text, byte_units, sizeof(byte_units) / sizeof(byte_units[0]), "4096, 64MiB, 1GB", out);
}

int quantity_ms(const char *text, uint64_t *out)
{
    return scaled(text, time_units, sizeof(time_units) / sizeof(time_units[0]), "100ms, 3s, 5m", out);
}

int quantity_number(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    uint64_t value;
    const char *rest;
    if (!digits(text, &value, &rest) || *rest != '\0') {
        return error_raise(HF_EINVALID, "'%s' is not a whole number", text);
    }
    if (value < low || value > high) {
        return error_raise(HF_EINVALID, "%" PRIu64 " is outside %" PRIu64 " … %" PRIu64, value, low, high);
    }
    *out = value;
    return 0;
}
