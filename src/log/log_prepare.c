#include "log/log_prepare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_index_file.h"

#define LOG_PREPARE_WRITE_SIZE (256u * 1024u)

static _Alignas(4096) uint8_t log_prepare_zeros[LOG_PREPARE_WRITE_SIZE]; /* never written to */

static char *log_prepare_temporary_path(const struct log_preparation *preparation)
{
    return text_format("%s/%016" PRIx64 ".tmp", preparation->directory, preparation->header.number);
}

/* The header; a new file also gets its blocks. A recycled one has everything else already, durable: so its header is
 * written durably, which spares the file system a commit of its journal, during which the log's own writes would wait.
 */
static int log_prepare_begin(struct log_preparation *preparation)
{
    uint64_t size = preparation->header.size_bytes;
    bool recycled = preparation->recycled_number != 0;
    uint8_t *block = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, LOG_FORMAT_SEGMENT_HEADER_SIZE);
    if (block == NULL) {
        return error_raise(HF_ENOMEM, "no memory for a segment header");
    }
    log_format_put_segment_header(block, &preparation->header);
    int rc = recycled ? 0 : file_preallocate(preparation->file, 0, size);
    if (recycled && !MUTATED(LOG_RECYCLED_NOT_SYNCED)) {
        rc = file_write_durable(preparation->file, 0, block, LOG_FORMAT_SEGMENT_HEADER_SIZE);
    } else if (rc == 0) {
        rc = file_write(preparation->file, 0, block, LOG_FORMAT_SEGMENT_HEADER_SIZE);
    }
    preparation->written = recycled ? size : LOG_FORMAT_SEGMENT_HEADER_SIZE;
    free(block);
    return rc;
}

static int log_prepare_fill(struct log_preparation *preparation, uint64_t until)
{
    int rc = 0;
    while (preparation->written < until && rc == 0) {
        uint64_t rest = preparation->header.size_bytes - preparation->written;
        size_t piece = rest < LOG_PREPARE_WRITE_SIZE ? (size_t)rest : LOG_PREPARE_WRITE_SIZE;
        rc = file_write(preparation->file, preparation->written, log_prepare_zeros, piece);
        preparation->written += piece;
    }
    return rc;
}

static unsigned log_prepare_direct(const struct log_preparation *preparation)
{
    return preparation->direct != HF_LOG_DIRECT_OFF ? FILE_DIRECT : 0;
}

static int log_prepare_check_direct(const struct log_preparation *preparation)
{
    if (preparation->direct == HF_LOG_DIRECT_ON && !file_is_direct(preparation->file)) {
        return error_raise(HF_EUNSUPPORTED, "the file system of %s takes no direct I/O", preparation->directory);
    }
    return 0;
}

/* The file that is recycled, under the temporary name. HF_ENOTFOUND: it is gone or not as expected, so not taken. */
static int log_prepare_reuse(struct log_preparation *preparation, const char *path)
{
    char name[LOG_FORMAT_NAME_SIZE];
    uint64_t size = 0;
    log_format_segment_name(name, preparation->recycled_number);
    char *from = text_format("%s/%s", preparation->directory, name);
    /* Should it stay, it tells of a life that the file no longer has. */
    log_index_file_unlink(preparation->io, preparation->directory, preparation->recycled_number);
    int rc = path_rename(preparation->io, from, path);
    if (rc == 0) {
        rc = file_open(preparation->io, path, FILE_READ | FILE_WRITE | log_prepare_direct(preparation),
                       &preparation->file);
    }
    if (rc == 0) {
        rc = file_size(preparation->file, &size);
    }
    bool unfit = rc == 0 && size != preparation->header.size_bytes;
    if (rc != 0 || unfit) {
        file_close(preparation->file);
        preparation->file = NULL;
    }
    if (unfit) {
        TRACE(TRACE_WARN, "log", "%s has %" PRIu64 " bytes instead of %" PRIu64 " and is not recycled", from, size,
              preparation->header.size_bytes);
        rc = path_unlink(preparation->io, path);
        rc = rc == 0 ? HF_ENOTFOUND : rc;
    }
    free(from);
    return rc;
}

/* A process that may open no more files now is short of something that comes back, as memory does: nothing was written,
 * and nothing failed to be synced. */
static int log_prepare_settle(int rc)
{
    return rc == HF_EIO && error_is_of_descriptors() ? HF_ENOMEM : rc;
}

static int log_prepare_open(struct log_preparation *preparation)
{
    char *path = log_prepare_temporary_path(preparation);
    int rc = path_unlink(preparation->io, path);
    if (rc != 0 && rc != HF_ENOTFOUND) {
        goto done;
    }
    rc = preparation->recycled_number != 0 ? log_prepare_reuse(preparation, path) : HF_ENOTFOUND;
    if (rc == HF_ENOTFOUND) {
        preparation->recycled_number = 0;
        rc = file_open(preparation->io, path,
                       FILE_READ | FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE | log_prepare_direct(preparation),
                       &preparation->file);
    }
    if (rc == 0) {
        rc = log_prepare_check_direct(preparation);
    }
    if (rc == 0) {
        rc = file_lock(preparation->file);
    }
done:
    free(path);
    return log_prepare_settle(rc);
}

static int log_prepare_give_up(struct log_preparation *preparation, int rc)
{
    rc = error_wrap(rc, "preparing log segment %016" PRIx64, preparation->header.number);
    if (preparation->file != NULL) {
        log_prepare_abandon(preparation);
    }
    return rc;
}

static int log_prepare_write(struct log_preparation *preparation, uint64_t until)
{
    int rc = 0;
    if (preparation->file == NULL) {
        rc = log_prepare_open(preparation);
        rc = rc == 0 ? log_prepare_begin(preparation) : rc;
    }
    rc = rc == 0 ? log_prepare_fill(preparation, until) : rc;
    return rc == 0 ? 0 : log_prepare_give_up(preparation, rc);
}

int log_prepare_create(struct log_preparation *preparation)
{
    return log_prepare_write(preparation, preparation->header.size_bytes);
}

int log_prepare_publish(struct log_preparation *preparation)
{
    char name[LOG_FORMAT_NAME_SIZE];
    log_format_segment_name(name, preparation->header.number);
    char *temporary = log_prepare_temporary_path(preparation);
    char *final = text_format("%s/%s", preparation->directory, name);
    bool synced = preparation->recycled_number != 0 || MUTATED(LOG_SEGMENT_NOT_SYNCED);
    int rc = synced ? 0 : file_sync(preparation->file);
    if (rc != 0) {
        goto done;
    }
    rc = path_rename(preparation->io, temporary, final);
    if (rc != 0) {
        goto done;
    }
    if (!MUTATED(LOG_SKIP_DIRECTORY_SYNC)) {
        rc = log_prepare_settle(directory_sync(preparation->io, preparation->directory));
    }
done:
    if (rc != 0) {
        rc = error_wrap(rc, "publishing log segment %s", name);
        log_prepare_abandon(preparation);
    }
    free(temporary);
    free(final);
    return rc;
}

void log_prepare_abandon(struct log_preparation *preparation)
{
    file_close(preparation->file);
    preparation->file = NULL;
    char *path = log_prepare_temporary_path(preparation);
    char text[ERROR_TEXT_SIZE_MAX];
    error_text_copy(text, sizeof(text));
    /* When this fails too, the next open removes the file. */
    if (path_unlink(preparation->io, path) != 0) {
        error_restore(HF_EIO, text);
    }
    free(path);
}

int log_prepare_work(void *arg)
{
    struct log_preparation *preparation = arg;
    int rc = log_prepare_write(preparation, preparation->write_until);
    if (rc == 0 && preparation->written == preparation->header.size_bytes) {
        rc = log_prepare_publish(preparation);
        preparation->published = rc == 0;
    }
    return rc;
}

struct log_prepare_names {
    char **items;
    size_t count;
};

static int log_prepare_collect(void *arg, const char *name, bool is_directory)
{
    struct log_prepare_names *names = arg;
    bool ours = strlen(name) == 20 && strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, ".tmp") == 0;
    if (!is_directory && ours) {
        names->items = memory_resize(names->items, (names->count + 1) * sizeof(char *));
        names->items[names->count++] = text_copy(name);
    }
    return 0;
}

int log_prepare_clean(struct io *io, const char *directory)
{
    struct log_prepare_names names = {0};
    int rc = directory_list(io, directory, log_prepare_collect, &names);
    for (size_t i = 0; i < names.count; i++) {
        char *path = text_format("%s/%s", directory, names.items[i]);
        if (rc == 0) {
            rc = path_unlink(io, path);
            rc = rc == HF_ENOTFOUND ? 0 : rc;
        }
        free(path);
        free(names.items[i]);
    }
    free(names.items);
    return rc;
}
