/* A backup that a person named: a file, or "-" for standard input; read from front to back. */
#ifndef CLI_BACKUP_INPUT_H
#define CLI_BACKUP_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "snapshot/backup_reader.h"

struct backup_input {
    struct file *file; /* NULL: standard input */
    uint64_t offset;   /* of the next byte */
    uint64_t size;     /* of the file; 0: not known */
    bool is_limited;   /* it ends at `size`, whatever follows */
};

/* HF_ENOTFOUND and other errors of the file, with its name. */
int backup_input_open(struct io *io, const char *path, struct backup_input *out);
void backup_input_close(struct backup_input *input);
/* A hf_snapshot_source. */
int backup_input_read(void *input, void *target, size_t size, size_t *got);
/* Whether a backup stands in a file of this name, or is expected on standard input. A file that cannot be read is none.
 */
bool backup_input_is_backup(struct io *io, const char *path);

#endif
