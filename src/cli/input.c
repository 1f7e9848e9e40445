#include "cli/input.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define INPUT_PIECE_SIZE 65536u

static int input_too_big(const char *path, uint64_t size_max)
{
    return error_raise(HF_ETOOBIG, "%s is larger than %" PRIu64 " bytes", path, size_max);
}

static int standard_input_read(uint64_t size_max, struct buffer *out)
{
    uint64_t left = size_max;
    for (;;) {
        uint8_t *target = buffer_extend(out, INPUT_PIECE_SIZE);
        ssize_t got = read(STDIN_FILENO, target, INPUT_PIECE_SIZE);
        if (got < 0 && errno != EINTR) {
            return error_from_errno(errno, "standard input");
        }
        out->size -= INPUT_PIECE_SIZE - (size_t)(got > 0 ? got : 0);
        if (got == 0) {
            return 0;
        }
        if (got > 0 && (uint64_t)got > left) {
            return input_too_big("standard input", size_max);
        }
        left -= got > 0 ? (uint64_t)got : 0;
    }
}

int input_read(struct io *io, const char *path, uint64_t size_max, struct buffer *out)
{
    if (strcmp(path, "-") == 0) {
        return standard_input_read(size_max, out);
    }
    struct file *file = NULL;
    uint64_t size = 0;
    size_t got = 0;
    int rc = file_open(io, path, FILE_READ, &file);
    if (rc == 0) {
        rc = file_size(file, &size);
    }
    if (rc == 0 && size > size_max) {
        rc = input_too_big(path, size_max);
    }
    if (rc == 0) {
        rc = file_read(file, 0, buffer_extend(out, size), size, &got);
        out->size -= size - got;
    }
    file_close(file);
    return rc;
}
