/* A progress bar on standard error for long work: a bar in a terminal, JSON lines on request, otherwise nothing. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdint.h>

#include "cli/verb.h"

struct progress;

struct progress *progress_open(const struct verb_common *common, const char *what);
/* Draws at most ten times a second. total 0: unknown. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total);
void progress_close(struct progress *progress); /* ends the line; accepts NULL */

#endif
