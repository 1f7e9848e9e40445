#include "log/log_callback.h"

#include <assert.h>

#include "base/error.h"

static _Thread_local struct log_callback *log_callback_innermost;

void log_callback_enter(struct log_callback *callback, const struct hf_log *log)
{
    *callback = (struct log_callback){.log = log, .outer = log_callback_innermost};
    log_callback_innermost = callback;
}

void log_callback_leave(struct log_callback *callback)
{
    assert(log_callback_innermost == callback);
    log_callback_innermost = callback->outer;
}

int log_callback_check(const struct hf_log *log, const char *what)
{
    for (const struct log_callback *each = log_callback_innermost; each != NULL; each = each->outer) {
        if (each->log == log) {
            return error_raise(HF_EUNSUPPORTED, "a callback of the log cannot %s: the log would stand still", what);
        }
    }
    return 0;
}
