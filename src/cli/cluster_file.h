/* The cluster description as a file that people copy between machines. */
#ifndef CLI_CLUSTER_FILE_H
#define CLI_CLUSTER_FILE_H

#include "node/description.h"

enum cluster_file_mode { CLUSTER_FILE_CREATE, CLUSTER_FILE_CHECK_ONLY };

/* HF_EEXISTS when the file is there: a description is written once. Synced, with its folder. */
int cluster_file_write(struct io *io, const char *path, const struct description *description,
                       enum cluster_file_mode mode);
int cluster_file_read(struct io *io, const char *path, struct description **out);

#endif
