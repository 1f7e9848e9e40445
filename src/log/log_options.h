/* Options of a log: defaults for what is zero, limits for the rest. */
#ifndef LOG_LOG_OPTIONS_H
#define LOG_LOG_OPTIONS_H

#include "holdfast/log.h"

#define LOG_READ_AHEAD_MIN (4u << 10)
#define LOG_READ_AHEAD_MAX (64u << 20)

/* given may be NULL: all defaults. HF_EINVALID names the option, its value and what is allowed. */
int log_options_set(struct hf_log_options *options, const struct hf_log_options *given);
/* What hf_log_open accepts; log_open (simulator, tests) also takes segments down to 64 KiB. */
int log_options_check(const struct hf_log_options *given);

#endif
