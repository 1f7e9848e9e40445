/* The front door: checks what only a bug of the caller can break, then asks the implementation. */
#include "io/io.h"

#include <assert.h>

#include "base/error.h"
#include "io/workers.h"

#define IO_FILE_FLAGS_ALL (FILE_READ | FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE | FILE_DIRECT)

static int io_check_path(const char *path)
{
    assert(path != NULL);
    return path[0] != '\0' ? 0 : error_raise(HF_EINVALID, "the path is empty");
}

void io_close(struct io *io)
{
    if (io != NULL) {
        io->ops->close(io);
    }
}

const char *io_backend_name(const struct io *io)
{
    return io->ops->name;
}

uint64_t io_monotonic_ns(struct io *io)
{
    return io->ops->monotonic_ns(io);
}

uint64_t io_wall_ms(struct io *io)
{
    return io->ops->wall_ms(io);
}

void io_random(struct io *io, void *target, size_t size)
{
    assert(target != NULL || size == 0);
    io->ops->random(io, target, size);
}

void io_give_way(void)
{
    workers_give_way();
}

/* ---- directories and names ---- */

int directory_create(struct io *io, const char *path)
{
    int rc = io_check_path(path);
    return rc != 0 ? rc : io->ops->directory_create(io, path);
}

int directory_sync(struct io *io, const char *path)
{
    int rc = io_check_path(path);
    return rc != 0 ? rc : io->ops->directory_sync(io, path);
}

int directory_list(struct io *io, const char *path, directory_visit *visit, void *arg)
{
    assert(visit != NULL);
    int rc = io_check_path(path);
    return rc != 0 ? rc : io->ops->directory_list(io, path, visit, arg);
}

int directory_free_bytes(struct io *io, const char *path, uint64_t *out)
{
    assert(out != NULL);
    int rc = io_check_path(path);
    return rc != 0 ? rc : io->ops->directory_free_bytes(io, path, out);
}

uint64_t directory_mount(struct io *io, const char *path)
{
    assert(path != NULL);
    return io->ops->directory_mount(io, path);
}

int path_rename(struct io *io, const char *from, const char *to)
{
    int rc = io_check_path(from);
    if (rc == 0) {
        rc = io_check_path(to);
    }
    return rc != 0 ? rc : io->ops->path_rename(io, from, to);
}

int path_unlink(struct io *io, const char *path)
{
    int rc = io_check_path(path);
    return rc != 0 ? rc : io->ops->path_unlink(io, path);
}

/* ---- files ---- */

int file_open(struct io *io, const char *path, unsigned flags, struct file **out)
{
    assert(out != NULL);
    assert((flags & (FILE_READ | FILE_WRITE)) != 0);
    assert((flags & FILE_EXCLUSIVE) == 0 || (flags & FILE_CREATE) != 0);
    assert((flags & ~(unsigned)IO_FILE_FLAGS_ALL) == 0);
    *out = NULL;
    int rc = io_check_path(path);
    return rc != 0 ? rc : io->ops->file_open(io, path, flags, out);
}

void file_close(struct file *file)
{
    if (file != NULL) {
        file->ops->close(file);
    }
}

int file_lock(struct file *file)
{
    return file->ops->lock(file);
}

int file_size(struct file *file, uint64_t *out)
{
    assert(out != NULL);
    return file->ops->size(file, out);
}

int file_truncate(struct file *file, uint64_t size)
{
    return file->ops->truncate(file, size);
}

int file_preallocate(struct file *file, uint64_t offset, uint64_t size)
{
    return size == 0 ? 0 : file->ops->preallocate(file, offset, size);
}

int file_read(struct file *file, uint64_t offset, void *target, size_t size, size_t *got)
{
    assert(target != NULL || size == 0);
    assert(got != NULL);
    *got = 0;
    return file->ops->read(file, offset, target, size, got);
}

int file_write(struct file *file, uint64_t offset, const void *data, size_t size)
{
    assert(data != NULL || size == 0);
    return file->ops->write(file, offset, data, size);
}

int file_write_durable(struct file *file, uint64_t offset, const void *data, size_t size)
{
    assert(data != NULL || size == 0);
    return file->ops->write_durable(file, offset, data, size);
}

int file_sync(struct file *file)
{
    return file->ops->sync(file);
}

void file_write_soon(struct file *file, uint64_t offset, uint64_t size)
{
    if (file->ops->write_soon != NULL) {
        file->ops->write_soon(file, offset, size);
    }
}

bool file_is_direct(const struct file *file)
{
    return file->ops->is_direct(file);
}

/* ---- queues ---- */

int io_queue_open(struct io *io, unsigned depth, struct io_queue **out)
{
    assert(out != NULL);
    *out = NULL;
    if (depth == 0 || depth > IO_QUEUE_DEPTH_MAX) {
        return error_raise(HF_EINVALID, "a queue's depth is 1 to %u, not %u", IO_QUEUE_DEPTH_MAX, depth);
    }
    return io->ops->queue_open(io, depth, out);
}

void io_queue_close(struct io_queue *queue)
{
    if (queue != NULL) {
        queue->ops->close(queue);
    }
}

int io_queue_submit(struct io_queue *queue, struct io_operation *operation)
{
    if (operation->kind == IO_WORK) {
        assert(operation->work != NULL);
    } else {
        assert(operation->file != NULL);
        assert(operation->kind == IO_SYNC || operation->size > 0);
    }
    operation->result = 0;
    operation->text[0] = '\0';
    operation->progress = 0;
    return queue->ops->submit(queue, operation);
}

int io_queue_flush(struct io_queue *queue)
{
    return queue->ops->flush(queue);
}

unsigned io_queue_reap(struct io_queue *queue, struct list *done, uint64_t timeout_ns)
{
    assert(done != NULL);
    return queue->ops->reap(queue, done, timeout_ns);
}

int io_queue_descriptor(struct io_queue *queue)
{
    return queue->ops->descriptor(queue);
}

void io_queue_wake(struct io_queue *queue)
{
    queue->ops->wake(queue);
}
