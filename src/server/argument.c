#include "server/argument.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

bool argument_unsigned(struct hf_bytes argument, uint64_t *out)
{
    const uint8_t *digits = argument.data;
    uint64_t value = 0;
    if (argument.size == 0 || argument.size > 20) {
        return false;
    }
    for (size_t i = 0; i < argument.size; i++) {
        unsigned digit = (unsigned)digits[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool argument_integer(struct hf_bytes argument, int64_t *out)
{
    const uint8_t *text = argument.data;
    if (argument.size == 0) {
        return false;
    }
    bool is_negative = text[0] == '-';
    struct hf_bytes digits = bytes_of(text + is_negative, argument.size - is_negative);
    uint64_t value;
    if (!argument_unsigned(digits, &value)) {
        return false;
    }
    bool has_leading_zero = text[is_negative] == '0' && (digits.size > 1 || is_negative);
    uint64_t limit = (uint64_t)INT64_MAX + is_negative;
    if (has_leading_zero || value > limit) {
        return false;
    }
    *out = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool argument_integer_or_reply(struct hf_bytes argument, int64_t *out, struct reply *reply)
{
    if (!argument_integer(argument, out)) {
        reply_error(reply, "ERR value is not an integer or out of range");
        return false;
    }
    return true;
}

/* Not strncasecmp: what is upper case must not depend on a locale. */
bool argument_is(struct hf_bytes argument, const char *word)
{
    const uint8_t *bytes = argument.data;
    for (size_t i = 0; i < argument.size; i++) {
        uint8_t byte = bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] | 0x20 : bytes[i];
        if (word[i] == '\0' || byte != (uint8_t)word[i]) {
            return false;
        }
    }
    return word[argument.size] == '\0';
}

struct hf_bytes argument_integer_text(int64_t value, char *text)
{
    int size = snprintf(text, ARGUMENT_INTEGER_TEXT_MAX, "%" PRId64, value);
    return bytes_of(text, (size_t)size);
}

void argument_reply_syntax(struct reply *reply)
{
    reply_error(reply, "ERR syntax error");
}
