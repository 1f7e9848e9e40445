#include "server/glob.h"

#include <stdbool.h>
#include <stddef.h>

/* Where matching stands. */
struct glob {
    const uint8_t *pattern;
    size_t pattern_size;
    uint64_t steps;
};

/* Whether `byte` is in the class that begins behind '[' at *at; moves *at behind its ']'. A class that never ends takes
 * the rest of the pattern, as in Redis. */
static bool glob_class(struct glob *glob, size_t *at, uint8_t byte)
{
    const uint8_t *pattern = glob->pattern;
    size_t size = glob->pattern_size;
    size_t i = *at;
    bool is_negated = i < size && pattern[i] == '^';
    bool is_member = false;
    i += is_negated;
    while (i < size && pattern[i] != ']') {
        glob->steps++;
        if (pattern[i] == '\\' && i + 1 < size) {
            is_member |= pattern[i + 1] == byte;
            i += 2;
        } else if (i + 2 < size && pattern[i + 1] == '-') {
            uint8_t low = pattern[i] < pattern[i + 2] ? pattern[i] : pattern[i + 2];
            uint8_t high = pattern[i] < pattern[i + 2] ? pattern[i + 2] : pattern[i];
            is_member |= low <= byte && byte <= high;
            i += 3;
        } else {
            is_member |= pattern[i] == byte;
            i++;
        }
    }
    *at = i < size ? i + 1 : size;
    return is_member != is_negated;
}

/* Matches one element (not a star) at *at against one byte; moves *at behind it. */
static bool glob_one(struct glob *glob, size_t *at, uint8_t byte)
{
    uint8_t element = glob->pattern[(*at)++];
    if (element == '?') {
        return true;
    }
    if (element == '[') {
        return glob_class(glob, at, byte);
    }
    if (element == '\\' && *at < glob->pattern_size) {
        element = glob->pattern[(*at)++];
    }
    return element == byte;
}

enum glob_result glob_match(struct hf_bytes pattern, struct hf_bytes text, uint64_t *budget)
{
    struct glob glob = {.pattern = pattern.data, .pattern_size = pattern.size};
    const uint8_t *bytes = text.data;
    size_t at = 0;
    size_t position = 0;
    bool has_star = false;
    size_t star_at = 0;
    size_t star_position = 0;
    while (position < text.size) {
        if (++glob.steps > *budget) {
            *budget = 0;
            return GLOB_EXHAUSTED;
        }
        if (at < pattern.size && glob.pattern[at] == '*') {
            has_star = true;
            star_at = ++at;
            star_position = position;
            if (at == pattern.size) {
                break; /* a star at the end takes the rest */
            }
            continue;
        }
        if (at < pattern.size && glob_one(&glob, &at, bytes[position])) {
            position++;
        } else if (has_star) {
            at = star_at;
            position = ++star_position;
        } else {
            *budget -= glob.steps <= *budget ? glob.steps : *budget;
            return GLOB_DIFFERS;
        }
    }
    *budget -= glob.steps <= *budget ? glob.steps : *budget;
    while (at < pattern.size && glob.pattern[at] == '*') {
        at++;
    }
    return at == pattern.size ? GLOB_MATCHES : GLOB_DIFFERS;
}
