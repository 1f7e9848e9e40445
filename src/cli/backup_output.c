#include "cli/backup_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

static bool output_is_there(struct io *io, const char *path)
{
    struct file *file = NULL;
    int rc = file_open(io, path, FILE_READ, &file);
    file_close(file);
    return rc != HF_ENOTFOUND;
}

int backup_output_open(struct io *io, const char *path, bool resume, struct backup_output *out)
{
    *out = (struct backup_output){.io = io};
    if (strcmp(path, "-") == 0) {
        return resume ? error_raise(HF_EINVALID, "standard output has nothing to resume") : 0;
    }
    out->path = text_copy(path);
    out->part = text_format("%s.part", path);
    if (output_is_there(io, path)) {
        return error_raise(HF_EEXISTS, "%s is there already", path);
    }
    if (!resume && output_is_there(io, out->part)) {
        return error_raise(HF_EEXISTS, "%s is there: an earlier save was interrupted", out->part);
    }
    int rc = file_open(io, out->part, FILE_READ | FILE_WRITE | FILE_CREATE, &out->file);
    return rc == 0 ? file_lock(out->file) : rc;
}

void backup_output_close(struct backup_output *output)
{
    file_close(output->file);
    free(output->path);
    free(output->part);
    *output = (struct backup_output){0};
}

void backup_output_discard(struct backup_output *output)
{
    if (output->file != NULL) {
        (void)path_unlink(output->io, output->part);
    }
}

void backup_output_keep(struct backup_output *output, uint64_t kept)
{
    output->offset = 0;
    output->kept = kept;
}

int backup_output_cut(struct backup_output *output)
{
    return output->file != NULL ? file_truncate(output->file, output->offset) : 0;
}

static int output_standard(const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, data, size);
        if (n < 0 && errno != EINTR) {
            return error_from_errno(errno, "standard output");
        }
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int backup_output_write(void *arg, const void *data, size_t size)
{
    struct backup_output *output = arg;
    int rc = 0;
    if (output->file == NULL) {
        rc = output_standard(data, size);
    } else if (output->offset >= output->kept) {
        rc = file_write(output->file, output->offset, data, size);
    }
    output->offset += size;
    return rc;
}

int backup_output_publish(struct backup_output *output)
{
    if (output->file == NULL) {
        return 0;
    }
    const char *slash = strrchr(output->path, '/');
    char *folder = slash == NULL           ? text_copy(".")
                   : slash == output->path ? text_copy("/")
                                           : text_format("%.*s", (int)(slash - output->path), output->path);
    int rc = file_sync(output->file);
    rc = rc == 0 ? path_rename(output->io, output->part, output->path) : rc;
    rc = rc == 0 ? directory_sync(output->io, folder) : rc;
    free(folder);
    return rc;
}
