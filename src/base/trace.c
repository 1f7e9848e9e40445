#include "base/trace.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TRACE_LINE_SIZE_MAX 1024

static enum trace_level trace_level_min = TRACE_INFO;
static trace_sink *trace_sink_current;
static void *trace_sink_arg;

void trace_set_level(enum trace_level level_min)
{
    trace_level_min = level_min;
}

void trace_set_sink(trace_sink *sink, void *arg)
{
    trace_sink_current = sink;
    trace_sink_arg = arg;
}

int trace_enabled(enum trace_level level)
{
    return level >= trace_level_min;
}

static const char *trace_level_name(enum trace_level level)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    assert((unsigned)level <= TRACE_ERROR);
    return names[level];
}

void trace_write(enum trace_level level, const char *room, const char *format, ...)
{
    if (!trace_enabled(level)) {
        return;
    }
    char line[TRACE_LINE_SIZE_MAX];
    int prefix = snprintf(line, sizeof(line), "%s: ", room);
    assert(prefix > 0 && (size_t)prefix < sizeof(line));
    va_list args;
    va_start(args, format);
    vsnprintf(line + prefix, sizeof(line) - (size_t)prefix, format, args);
    va_end(args);
    /* Text may come from a peer or a file name; it must not start a line or steer a terminal. */
    for (char *at = line; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F) {
            *at = '?';
        }
    }
    if (trace_sink_current != NULL) {
        trace_sink_current(trace_sink_arg, level, line);
    } else {
        /* One call, so that lines of several threads do not mix. */
        fprintf(stderr, "%s %s\n", trace_level_name(level), line);
    }
}
