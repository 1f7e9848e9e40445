/* Where the process's lines for operators go, for programs that embed the log. */
#include "base/trace.h"
#include "holdfast/log.h"

struct log_trace_sink {
    void (*call)(void *arg, int level, const char *line);
    void *arg;
};
static struct log_trace_sink log_trace_current;

static void log_trace_line(void *arg, enum trace_level level, const char *line)
{
    const struct log_trace_sink *sink = arg;
    sink->call(sink->arg, (int)level, line);
}

void hf_log_trace(enum hf_log_trace_level level, void (*sink)(void *arg, int level, const char *line), void *arg)
{
    _Static_assert(HF_LOG_TRACE_ERROR == (int)TRACE_ERROR, "the levels are the same");
    log_trace_current = (struct log_trace_sink){.call = sink, .arg = arg};
    trace_set_level((enum trace_level)level);
    trace_set_sink(sink != NULL ? log_trace_line : NULL, &log_trace_current);
}
