/* Where a backup is written: standard output for "-", else a file that is there under its name only when it is whole
 * and durable. Until then it is NAME.part, which an interrupted save leaves for the next one. */
#ifndef CLI_BACKUP_OUTPUT_H
#define CLI_BACKUP_OUTPUT_H

#include <stdint.h>

#include "base/buffer.h"
#include "io/io.h"

struct backup_output {
    struct io *io;
    struct file *file; /* NULL: standard output */
    char *path;
    char *part;
    uint64_t offset;
    uint64_t kept; /* bytes that are there already: they are passed over, not written again */
};

/* HF_EEXISTS: the file is there, or a part of one and resume is false. HF_EBUSY: somebody writes the part. */
int backup_output_open(struct io *io, const char *path, bool resume, struct backup_output *out);
void backup_output_close(struct backup_output *output); /* leaves the part, when there is one */
/* Removes the part. */
void backup_output_discard(struct backup_output *output);
/* Starts anew behind the first `kept` bytes of the part: those are the next ones that are written again. */
void backup_output_keep(struct backup_output *output, uint64_t kept);
/* Drops what stands behind the kept bytes, which were all written again. */
int backup_output_cut(struct backup_output *output);
/* A hf_snapshot_sink. HF_ENOSPACE, HF_EIO. */
int backup_output_write(void *output, const void *data, size_t size);
/* Synced, renamed, the folder synced: it survives power loss when this returns 0. Of standard output: nothing. */
int backup_output_publish(struct backup_output *output);

#endif
