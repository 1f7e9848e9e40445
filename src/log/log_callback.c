#include "log/log_callback.h"

#include <assert.h>

#include "base/error.h"

/* More than one where a callback of one log runs the turns of another. */
static _Thread_local unsigned log_callback_depth;

void log_callback_enter(void)
{
    log_callback_depth++;
}

void log_callback_leave(void)
{
    assert(log_callback_depth > 0);
    log_callback_depth--;
}

int log_callback_check(const char *what)
{
    if (log_callback_depth > 0) {
        return error_raise(HF_EUNSUPPORTED, "a callback of a log cannot %s: logs would stand still", what);
    }
    return 0;
}
