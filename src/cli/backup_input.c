#include "cli/backup_input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

int backup_input_open(struct io *io, const char *path, struct backup_input *out)
{
    *out = (struct backup_input){0};
    if (strcmp(path, "-") == 0) {
        return 0;
    }
    int rc = file_open(io, path, FILE_READ, &out->file);
    return rc == 0 ? file_size(out->file, &out->size) : rc;
}

void backup_input_close(struct backup_input *input)
{
    file_close(input->file);
    *input = (struct backup_input){0};
}

int backup_input_read(void *arg, void *target, size_t size, size_t *got)
{
    struct backup_input *input = arg;
    *got = 0;
    if (input->is_limited && size > input->size - input->offset) {
        size = (size_t)(input->size - input->offset);
    }
    if (input->file != NULL) {
        if (size == 0) {
            return 0;
        }
        int rc = file_read(input->file, input->offset, target, size, got);
        input->offset += *got;
        return rc;
    }
    for (;;) {
        ssize_t n = read(STDIN_FILENO, target, size);
        if (n >= 0) {
            *got = (size_t)n;
            input->offset += *got;
            return 0;
        }
        if (errno != EINTR) {
            return error_from_errno(errno, "standard input");
        }
    }
}

bool backup_input_is_backup(struct io *io, const char *path)
{
    struct backup_input input;
    uint8_t magic[8] = {0};
    size_t got = 0;
    if (strcmp(path, "-") == 0) {
        return true;
    }
    int rc = backup_input_open(io, path, &input);
    rc = rc == 0 ? file_read(input.file, 0, magic, sizeof(magic), &got) : rc;
    backup_input_close(&input);
    return rc == 0 && got == sizeof(magic) && memcmp(magic, BACKUP_FORMAT_MAGIC, sizeof(magic)) == 0;
}
