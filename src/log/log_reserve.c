#include "log/log_reserve.h"

#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/trace.h"
#include "log/log_format.h"

void log_reserve_fill(struct io *io, const char *directory, uint64_t size_bytes)
{
    char *path = text_format("%s/%s", directory, LOG_RESERVE_NAME);
    struct file *file = NULL;
    uint64_t size = 0;
    int rc = file_open(io, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file);
    if (rc == 0) {
        rc = file_size(file, &size);
    }
    if (rc == 0 && size < size_bytes) {
        rc = file_preallocate(file, 0, size_bytes);
        if (rc == 0) {
            rc = file_sync(file);
        }
    }
    if (rc != 0) {
        TRACE(TRACE_DEBUG, "log", "no blocks are set aside for the next open: %s", hf_error_text());
    }
    file_close(file);
    free(path);
}

int log_reserve_release(struct io *io, const char *directory, uint64_t size_bytes)
{
    char *path = text_format("%s/%s", directory, LOG_RESERVE_NAME);
    struct file *file = NULL;
    uint64_t size = 0;
    int rc = file_open(io, path, FILE_READ | FILE_WRITE, &file);
    if (rc == 0) {
        rc = file_size(file, &size);
    }
    if (rc == HF_ENOTFOUND || (rc == 0 && size == 0)) {
        rc = error_raise(HF_ENOSPACE, "the device is full, and nothing was set aside");
    }
    if (rc == 0) {
        uint64_t left = size > size_bytes ? (size - size_bytes) / LOG_FORMAT_BLOCK_SIZE * LOG_FORMAT_BLOCK_SIZE : 0;
        rc = file_truncate(file, left);
    }
    if (rc == 0) {
        rc = file_sync(file);
    }
    file_close(file);
    free(path);
    return rc;
}
