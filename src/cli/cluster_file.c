#include "cli/cluster_file.h"

#include <libgen.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "cli/input.h"

/* base64 of the largest description, with its marker lines */
#define CLUSTER_FILE_SIZE_MAX (DESCRIPTION_SIZE_MAX / 3 * 4 + 4096)

static int folder_sync(struct io *io, const char *path)
{
    char *copy = text_copy(path);
    int rc = directory_sync(io, dirname(copy));
    free(copy);
    return rc;
}

int cluster_file_write(struct io *io, const char *path, const struct description *description,
                       enum cluster_file_mode mode)
{
    struct buffer text = {0};
    struct file *file = NULL;
    int rc = file_open(io, path, FILE_READ, &file);
    if (rc == 0 || rc != HF_ENOTFOUND) {
        rc = rc == 0 ? error_raise(HF_EEXISTS, "%s exists", path) : rc;
        goto done;
    }
    rc = 0;
    if (mode == CLUSTER_FILE_CHECK_ONLY) {
        goto done;
    }
    description_encode_text(description, &text);
    rc = file_open(io, path, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file);
    if (rc == 0) {
        rc = file_write(file, 0, text.data, text.size);
    }
    if (rc == 0) {
        rc = file_sync(file);
    }
    if (rc == 0) {
        rc = folder_sync(io, path);
    }
done:
    file_close(file);
    buffer_close(&text);
    return rc;
}

int cluster_file_read(struct io *io, const char *path, struct description **out)
{
    struct buffer text = {0};
    int rc = input_read(io, path, CLUSTER_FILE_SIZE_MAX, &text);
    if (rc == 0) {
        rc = description_decode_text(buffer_bytes(&text), out);
        rc = rc == 0 ? 0 : error_wrap(rc, "cluster description %s", path);
    }
    buffer_close(&text);
    return rc;
}
