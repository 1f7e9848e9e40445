#include "server/reply.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define REPLY_LINE_SIZE_MAX 1024u

struct reply reply_of(struct buffer *out, unsigned protocol)
{
    return (struct reply){.out = out, .protocol = protocol, .start = out != NULL ? out->size : 0};
}

static size_t reply_size_max(const struct reply *reply)
{
    return reply->size_max != 0 ? reply->size_max : REPLY_SIZE_MAX_DEFAULT;
}

void reply_restart(struct reply *reply)
{
    if (reply->out != NULL) {
        reply->out->size = reply->start;
    }
    reply->overflowed = false;
}

void reply_finish(struct reply *reply)
{
    if (reply->overflowed) {
        reply_restart(reply);
        reply_error(reply, "ERR the reply would be larger than %zu bytes; the command was executed",
                    reply_size_max(reply));
    }
}

static void reply_append(struct reply *reply, const void *data, size_t size)
{
    if (reply->out == NULL || reply->overflowed) {
        return;
    }
    if (size > reply_size_max(reply) - (reply->out->size - reply->start)) {
        reply->overflowed = true;
        return;
    }
    buffer_append(reply->out, data, size);
}

/* A type byte, a number and the end of the line: most of what is sent. */
static void reply_line_number(struct reply *reply, char type, int64_t value)
{
    char line[32];
    char *end = line + sizeof(line);
    char *at = end;
    uint64_t digits = value < 0 ? -(uint64_t)value : (uint64_t)value;
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + digits % 10);
        digits /= 10;
    } while (digits > 0);
    if (value < 0) {
        *--at = '-';
    }
    *--at = type;
    reply_append(reply, at, (size_t)(end - at));
}

void reply_status(struct reply *reply, const char *text)
{
    reply_append(reply, "+", 1);
    reply_append(reply, text, strlen(text));
    reply_append(reply, "\r\n", 2);
}

void reply_error(struct reply *reply, const char *format, ...)
{
    if (reply->out == NULL) {
        return;
    }
    char line[REPLY_LINE_SIZE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    /* What a client sent may be quoted in it, and must not end the line. */
    for (char *at = line; *at != '\0'; at++) {
        if (*at == '\r' || *at == '\n') {
            *at = ' ';
        }
    }
    reply_append(reply, "-", 1);
    reply_append(reply, line, strlen(line));
    reply_append(reply, "\r\n", 2);
}

void reply_integer(struct reply *reply, int64_t value)
{
    reply_line_number(reply, ':', value);
}

void reply_bulk(struct reply *reply, struct hf_bytes bytes)
{
    reply_line_number(reply, '$', (int64_t)bytes.size);
    reply_append(reply, bytes.data, bytes.size);
    reply_append(reply, "\r\n", 2);
}

void reply_bulk_text(struct reply *reply, const char *text)
{
    reply_bulk(reply, bytes_of_text(text));
}

void reply_bulk_integer(struct reply *reply, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    reply_bulk_text(reply, text);
}

void reply_null(struct reply *reply)
{
    if (reply->protocol >= 3) {
        reply_append(reply, "_\r\n", 3);
    } else {
        reply_append(reply, "$-1\r\n", 5);
    }
}

void reply_null_array(struct reply *reply)
{
    if (reply->protocol >= 3) {
        reply_append(reply, "_\r\n", 3);
    } else {
        reply_append(reply, "*-1\r\n", 5);
    }
}

void reply_boolean(struct reply *reply, bool value)
{
    if (reply->protocol >= 3) {
        reply_append(reply, value ? "#t\r\n" : "#f\r\n", 4);
    } else {
        reply_integer(reply, value);
    }
}

void reply_double(struct reply *reply, double value)
{
    char text[40];
    if (isnan(value)) {
        snprintf(text, sizeof(text), "nan");
    } else if (isinf(value)) {
        snprintf(text, sizeof(text), value > 0 ? "inf" : "-inf");
    } else {
        snprintf(text, sizeof(text), "%.17g", value);
    }
    if (reply->protocol >= 3) {
        reply_append(reply, ",", 1);
        reply_append(reply, text, strlen(text));
        reply_append(reply, "\r\n", 2);
    } else {
        reply_bulk_text(reply, text);
    }
}

void reply_verbatim(struct reply *reply, const char format[3], struct hf_bytes text)
{
    if (reply->protocol < 3) {
        reply_bulk(reply, text);
        return;
    }
    reply_line_number(reply, '=', (int64_t)text.size + 4);
    reply_append(reply, format, 3);
    reply_append(reply, ":", 1);
    reply_append(reply, text.data, text.size);
    reply_append(reply, "\r\n", 2);
}

void reply_array(struct reply *reply, size_t count)
{
    reply_line_number(reply, '*', (int64_t)count);
}

void reply_map(struct reply *reply, size_t pairs)
{
    if (reply->protocol >= 3) {
        reply_line_number(reply, '%', (int64_t)pairs);
    } else {
        reply_line_number(reply, '*', (int64_t)pairs * 2);
    }
}

void reply_set(struct reply *reply, size_t count)
{
    reply_line_number(reply, reply->protocol >= 3 ? '~' : '*', (int64_t)count);
}

void reply_push(struct reply *reply, size_t count)
{
    reply_line_number(reply, reply->protocol >= 3 ? '>' : '*', (int64_t)count);
}

void reply_raw(struct reply *reply, struct hf_bytes bytes)
{
    reply_append(reply, bytes.data, bytes.size);
}
