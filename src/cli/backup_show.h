/* What `snapshot verify` and `snapshot inspect` say about a backup. */
#ifndef CLI_BACKUP_SHOW_H
#define CLI_BACKUP_SHOW_H

#include "cli/verb.h"
#include "io/io.h"

/* Reads every byte and every key of it; a row per group. Returns a verb_exit. */
int backup_show_verify(const struct verb_common *common, struct io *io, const char *path);
/* What its header and its manifests say. Of a file only these are read. Returns a verb_exit. */
int backup_show_inspect(const struct verb_common *common, struct io *io, const char *path);

#endif
