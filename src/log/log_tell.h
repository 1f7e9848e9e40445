/* What the owner asked to be told in hf_log_options: measurements and stalls. */
#ifndef LOG_LOG_TELL_H
#define LOG_LOG_TELL_H

#include "log/log_state.h"

/* Driver. The mutex is held, and let go while the owner is told. */
void log_tell_owner(struct hf_log *log);

#endif
