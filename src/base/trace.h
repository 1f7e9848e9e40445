/* Diagnostics: lines for operators on standard error, or to a sink (tests, the simulator). Never the replicated log. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

enum trace_level { TRACE_DEBUG, TRACE_INFO, TRACE_WARN, TRACE_ERROR };

typedef void trace_sink(void *arg, enum trace_level level, const char *line);

/* Process-wide; call before threads start. sink NULL restores standard error ("LEVEL room: text"). */
void trace_set_level(enum trace_level level_min);
void trace_set_sink(trace_sink *sink, void *arg);
/* room: "log", "replica", ... Lines ("room: text") longer than 1 KiB are cut, and control characters become '?'.
 * Thread: any; a sink is called by the thread that traces. */
void trace_write(enum trace_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int trace_enabled(enum trace_level level);

#define TRACE(level, room, ...)                    \
    do {                                           \
        if (trace_enabled(level)) {                \
            trace_write(level, room, __VA_ARGS__); \
        }                                          \
    } while (0)

#endif
