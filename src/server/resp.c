#include "server/resp.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

#define RESP_CAPACITY_KEPT_MAX 4096u /* arguments; more is freed after the command */

/* An argument by its place in the input, which may move while the command is not complete. */
struct resp_span {
    size_t offset;
    size_t size;
};

struct resp_limits resp_limits_default(void)
{
    return (struct resp_limits){.arguments_max = COMMAND_ARGUMENTS_MAX,
                                .bulk_size_max = RESP_BULK_SIZE_MAX,
                                .query_size_max = RESP_QUERY_SIZE_MAX};
}

static void resp_restart(struct resp_parser *parser)
{
    parser->offset = 0;
    parser->items_left = -1;
    parser->bulk_size = -1;
    parser->count = 0;
}

void resp_parser_init(struct resp_parser *parser, const struct resp_limits *limits)
{
    *parser = (struct resp_parser){.limits = *limits};
    resp_restart(parser);
}

static void resp_free_arguments(struct resp_parser *parser)
{
    free(parser->spans);
    free(parser->items);
    parser->spans = NULL;
    parser->items = NULL;
    parser->capacity = 0;
}

void resp_parser_close(struct resp_parser *parser)
{
    resp_free_arguments(parser);
    buffer_close(&parser->unquoted);
}

static void resp_add(struct resp_parser *parser, size_t offset, size_t size)
{
    if (parser->count == parser->capacity) {
        parser->capacity = parser->capacity > 0 ? parser->capacity * 2 : 8;
        parser->spans = memory_resize(parser->spans, parser->capacity * sizeof(*parser->spans));
        parser->items = memory_resize(parser->items, parser->capacity * sizeof(*parser->items));
    }
    parser->spans[parser->count++] = (struct resp_span){offset, size};
}

/* ---- integers and lines ---- */

/* Strict, as Redis: no plus, no spaces, no leading zeroes. */
static bool resp_integer(const char *text, size_t size, int64_t *out)
{
    bool is_negative = size > 0 && text[0] == '-';
    const char *digits = text + is_negative;
    size_t count = size - is_negative;
    if (count == 0 || count > 19 || (digits[0] == '0' && (count > 1 || is_negative))) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isdigit((unsigned char)digits[i])) {
            return false;
        }
        value = value * 10 + (uint64_t)(digits[i] - '0'); /* 19 digits fit */
    }
    if (value > (uint64_t)INT64_MAX + is_negative) {
        return false;
    }
    *out = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

/* The line after its first character: a length. RESP_COMMAND: *value is set and the offset is behind the line. */
static enum resp_result resp_length_line(struct resp_parser *parser, struct hf_bytes input, const char *too_long,
                                         const char *invalid, int64_t *value)
{
    const char *line = (const char *)input.data + parser->offset;
    size_t left = input.size - parser->offset;
    size_t searched = left < RESP_LENGTH_SIZE_MAX ? left : RESP_LENGTH_SIZE_MAX;
    const char *end = memchr(line, '\r', searched);
    if (end == NULL && searched == RESP_LENGTH_SIZE_MAX) {
        error_raise(HF_EPROTOCOL, "Protocol error: %s", too_long);
        return RESP_BROKEN;
    }
    if (end == NULL || (size_t)(end - line) + 1 == left) {
        return RESP_MORE;
    }
    if (end[1] != '\n' || !resp_integer(line + 1, (size_t)(end - line) - 1, value)) {
        error_raise(HF_EPROTOCOL, "Protocol error: %s", invalid);
        return RESP_BROKEN;
    }
    parser->offset += (size_t)(end - line) + 2;
    return RESP_COMMAND;
}

/* ---- arrays ---- */

static enum resp_result resp_array_head(struct resp_parser *parser, struct hf_bytes input)
{
    int64_t count = 0;
    enum resp_result result =
        resp_length_line(parser, input, "too big mbulk count string", "invalid multibulk length", &count);
    if (result != RESP_COMMAND) {
        return result;
    }
    if (count > (int64_t)parser->limits.arguments_max) {
        error_raise(HF_EPROTOCOL, "Protocol error: invalid multibulk length");
        return RESP_BROKEN;
    }
    parser->items_left = count > 0 ? count : 0;
    return RESP_COMMAND;
}

static enum resp_result resp_bulk_head(struct resp_parser *parser, struct hf_bytes input)
{
    if (parser->offset == input.size) {
        return RESP_MORE;
    }
    char type = ((const char *)input.data)[parser->offset];
    if (type != '$') {
        error_raise(HF_EPROTOCOL, "Protocol error: expected '$', got '%c'", isprint((unsigned char)type) ? type : '?');
        return RESP_BROKEN;
    }
    int64_t size = 0;
    enum resp_result result =
        resp_length_line(parser, input, "too big bulk count string", "invalid bulk length", &size);
    if (result != RESP_COMMAND) {
        return result;
    }
    if (size < 0) {
        error_raise(HF_EPROTOCOL, "Protocol error: invalid bulk length");
        return RESP_BROKEN;
    }
    if (size > (int64_t)parser->limits.bulk_size_max) {
        error_raise(HF_EPROTOCOL,
                    "Protocol error: invalid bulk length: %" PRId64 " bytes are above the limit of %" PRIu32, size,
                    parser->limits.bulk_size_max);
        return RESP_BROKEN;
    }
    if (parser->offset + (uint64_t)size > parser->limits.query_size_max) {
        error_raise(HF_EPROTOCOL, "Protocol error: the command is above the limit of %" PRIu32 " bytes",
                    parser->limits.query_size_max);
        return RESP_BROKEN;
    }
    parser->bulk_size = size;
    return RESP_COMMAND;
}

static enum resp_result resp_bulk_body(struct resp_parser *parser, struct hf_bytes input)
{
    size_t size = (size_t)parser->bulk_size;
    if (input.size - parser->offset < size + 2) {
        return RESP_MORE;
    }
    const char *end = (const char *)input.data + parser->offset + size;
    if (end[0] != '\r' || end[1] != '\n') {
        error_raise(HF_EPROTOCOL, "Protocol error: a bulk string of %zu bytes does not end there", size);
        return RESP_BROKEN;
    }
    resp_add(parser, parser->offset, size);
    parser->offset += size + 2;
    parser->bulk_size = -1;
    parser->items_left--;
    return RESP_COMMAND;
}

static enum resp_result resp_array(struct resp_parser *parser, struct hf_bytes input)
{
    enum resp_result result = RESP_COMMAND;
    if (parser->items_left < 0) {
        result = resp_array_head(parser, input);
    }
    while (result == RESP_COMMAND && parser->items_left > 0) {
        if (parser->bulk_size < 0) {
            result = resp_bulk_head(parser, input);
        }
        if (result == RESP_COMMAND) {
            result = resp_bulk_body(parser, input);
        }
    }
    return result;
}

/* ---- inline lines ---- */

static int resp_hex(char digit)
{
    if (isdigit((unsigned char)digit)) {
        return digit - '0';
    }
    digit = (char)tolower((unsigned char)digit);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* What stands behind a backslash inside double quotes; returns how many characters it takes. */
static size_t resp_unescape(struct buffer *out, const char *text, size_t left)
{
    if (left >= 3 && text[0] == 'x' && resp_hex(text[1]) >= 0 && resp_hex(text[2]) >= 0) {
        buffer_append_u8(out, (uint8_t)(resp_hex(text[1]) * 16 + resp_hex(text[2])));
        return 3;
    }
    static const char from[] = "nrtba";
    static const char to[] = "\n\r\t\b\a";
    const char *found = memchr(from, text[0], sizeof(from) - 1);
    buffer_append_u8(out, (uint8_t)(found != NULL ? to[found - from] : text[0]));
    return 1;
}

/* One quoted piece that began before `text`; returns its size with the closing quote, 0 when it never closes or goes on
 * without a space. */
static size_t resp_unquote(struct buffer *out, const char *text, size_t left, char quote)
{
    for (size_t i = 0; i < left; i++) {
        if (text[i] == quote) {
            bool ends = i + 1 == left || isspace((unsigned char)text[i + 1]);
            return ends ? i + 1 : 0;
        }
        if (quote == '"' && text[i] == '\\' && i + 1 < left) {
            i += resp_unescape(out, text + i + 1, left - i - 1);
        } else if (quote == '\'' && text[i] == '\\' && i + 1 < left && text[i + 1] == '\'') {
            buffer_append_u8(out, '\'');
            i++;
        } else {
            buffer_append_u8(out, (uint8_t)text[i]);
        }
    }
    return 0;
}

/* Splits a line into arguments inside parser->unquoted. */
static int resp_split(struct resp_parser *parser, const char *line, size_t size)
{
    buffer_clear(&parser->unquoted);
    buffer_reserve(&parser->unquoted, size + 1); /* never without memory: empty arguments point into it */
    size_t at = 0;
    for (;;) {
        while (at < size && isspace((unsigned char)line[at])) {
            at++;
        }
        if (at == size) {
            return 0;
        }
        size_t start = parser->unquoted.size;
        while (at < size && !isspace((unsigned char)line[at])) {
            if (line[at] == '"' || line[at] == '\'') {
                size_t used = resp_unquote(&parser->unquoted, line + at + 1, size - at - 1, line[at]);
                if (used == 0) {
                    return error_raise(HF_EPROTOCOL, "Protocol error: unbalanced quotes in request");
                }
                at += 1 + used;
            } else {
                buffer_append_u8(&parser->unquoted, (uint8_t)line[at++]);
            }
        }
        resp_add(parser, start, parser->unquoted.size - start);
    }
}

static enum resp_result resp_inline(struct resp_parser *parser, struct hf_bytes input)
{
    const char *line = input.data;
    const char *end = memchr(line + parser->offset, '\n', input.size - parser->offset);
    size_t size = end != NULL ? (size_t)(end - line) : input.size;
    if (size > RESP_INLINE_SIZE_MAX) {
        error_raise(HF_EPROTOCOL, "Protocol error: too big inline request");
        return RESP_BROKEN;
    }
    parser->offset = size;
    if (end == NULL) {
        return RESP_MORE;
    }
    parser->offset = size + 1;
    if (size > 0 && line[size - 1] == '\r') {
        size--;
    }
    return resp_split(parser, line, size) == 0 ? RESP_COMMAND : RESP_BROKEN;
}

/* ---- both ---- */

enum resp_result resp_parse(struct resp_parser *parser, struct hf_bytes input, struct arguments *arguments,
                            size_t *consumed)
{
    if (input.size == 0) {
        return RESP_MORE;
    }
    if (parser->offset == 0 && parser->capacity > RESP_CAPACITY_KEPT_MAX) {
        resp_free_arguments(parser); /* a huge command is over */
        buffer_close(&parser->unquoted);
    }
    assert(parser->offset <= input.size);
    bool is_array = *(const char *)input.data == '*';
    enum resp_result result = is_array ? resp_array(parser, input) : resp_inline(parser, input);
    if (result != RESP_COMMAND) {
        return result;
    }
    const uint8_t *base = is_array ? input.data : parser->unquoted.data;
    for (size_t i = 0; i < parser->count; i++) {
        parser->items[i] = bytes_of(base + parser->spans[i].offset, parser->spans[i].size);
    }
    *arguments = (struct arguments){.items = parser->items, .count = parser->count};
    *consumed = parser->offset;
    resp_restart(parser);
    return RESP_COMMAND;
}

/* ---- finished replies ---- */

static bool resp_is_one_of(char type, const char *types)
{
    return memchr(types, type, strlen(types)) != NULL;
}

static int resp_read_line(struct hf_bytes reply, size_t *at, struct hf_bytes *line)
{
    const char *start = (const char *)reply.data + *at;
    size_t left = reply.size - *at;
    const char *end = left > 0 ? memchr(start, '\r', left) : NULL;
    if (end == NULL || (size_t)(end - start) + 1 >= left || end[1] != '\n') {
        return error_raise(HF_EPROTOCOL, "a reply is cut off");
    }
    *line = bytes_of(start, (size_t)(end - start));
    *at += line->size + 2;
    return 0;
}

static int resp_read_blob(struct hf_bytes reply, size_t *at, struct resp_element *element)
{
    if (element->number == -1 && element->type == '$') {
        element->is_null = 1;
        element->number = 0;
        return 0;
    }
    if (element->number < 0 || (uint64_t)element->number + 2 > reply.size - *at) {
        return error_raise(HF_EPROTOCOL, "a string in a reply is cut off");
    }
    const char *start = (const char *)reply.data + *at;
    if (memcmp(start + element->number, "\r\n", 2) != 0) {
        return error_raise(HF_EPROTOCOL, "a string in a reply does not end there");
    }
    element->text = bytes_of(start, (size_t)element->number);
    *at += (size_t)element->number + 2;
    return 0;
}

static int resp_read_count(struct resp_element *element)
{
    if (element->number == -1 && element->type == '*') {
        element->is_null = 1;
        element->number = 0;
        return 0;
    }
    if (element->number < 0 || element->number > INT32_MAX) {
        return error_raise(HF_EPROTOCOL, "a reply announces %" PRId64 " elements", element->number);
    }
    if (element->type == '%' || element->type == '|') {
        element->number *= 2;
    }
    return 0;
}

int resp_next_element(struct hf_bytes reply, size_t *at, struct resp_element *element)
{
    *element = (struct resp_element){0};
    struct hf_bytes line = {0};
    int rc = resp_read_line(reply, at, &line);
    if (rc != 0) {
        return rc;
    }
    if (line.size == 0) {
        return error_raise(HF_EPROTOCOL, "a reply has no type");
    }
    element->type = *(const char *)line.data;
    element->text = bytes_of((const char *)line.data + 1, line.size - 1);
    bool is_number = resp_is_one_of(element->type, ":$*%~>=|!");
    if (is_number && !resp_integer(element->text.data, element->text.size, &element->number)) {
        return error_raise(HF_EPROTOCOL, "a reply has a bad number");
    }
    switch (element->type) {
    case '$':
    case '=':
    case '!':
        return resp_read_blob(reply, at, element);
    case '*':
    case '%':
    case '~':
    case '>':
    case '|':
        return resp_read_count(element);
    case '_':
        element->is_null = 1;
        return 0;
    case '#':
        element->number = line.size == 2 && ((const char *)line.data)[1] == 't';
        return 0;
    case '+':
    case '-':
    case ':':
    case ',':
    case '(':
        return 0;
    default:
        return error_raise(HF_EPROTOCOL, "a reply has the unknown type 0x%02x", (uint8_t)element->type);
    }
}

int resp_skip_value(struct hf_bytes reply, size_t *at)
{
    /* left[d]: values that are still to come at depth d. */
    int64_t left[RESP_REPLY_NESTING_MAX + 1] = {1};
    unsigned depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                return 0;
            }
            depth--;
        }
        left[depth]--;
        struct resp_element element;
        int rc = resp_next_element(reply, at, &element);
        if (rc != 0) {
            return rc;
        }
        if (resp_is_one_of(element.type, "*%~>|") && element.number > 0) {
            if (depth == RESP_REPLY_NESTING_MAX) {
                return error_raise(HF_EPROTOCOL, "a reply is nested deeper than %u", RESP_REPLY_NESTING_MAX);
            }
            left[++depth] = element.number;
            if (element.type == '|') {
                left[depth - 1]++; /* it comes before the value that it describes */
            }
        }
    }
}
