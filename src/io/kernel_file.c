#include "io/kernel_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "io/kernel.h"

#define KERNEL_FILE_FILL_SIZE (256u * 1024u) /* one write of zeros where the file system cannot preallocate */

#define KERNEL_FILE_LOCK_PATIENCE_NS (2 * KERNEL_NS_PER_SECOND)
#define KERNEL_FILE_LOCK_PAUSE_NS    5000000

struct kernel_file {
    struct file file;
    int descriptor;
    bool direct_asked;
    bool direct;
    bool locked;
    atomic_bool rwf_refused; /* this kernel or sandbox has no pwritev2(RWF_DSYNC): write, then sync */
    char *path;
};

static const struct file_ops kernel_file_ops;

static struct kernel_file *kernel_file_of(struct file *file)
{
    assert(file->ops == &kernel_file_ops);
    return (struct kernel_file *)file;
}

static const struct kernel_file *kernel_file_of_const(const struct file *file)
{
    assert(file->ops == &kernel_file_ops);
    return (const struct kernel_file *)file;
}

int kernel_file_descriptor(const struct file *file)
{
    return kernel_file_of_const(file)->descriptor;
}

const char *kernel_file_path(const struct file *file)
{
    return kernel_file_of_const(file)->path;
}

void kernel_file_check_aligned(const struct file *file, uint64_t offset, const void *memory, size_t size)
{
    if (kernel_file_of_const(file)->direct_asked) {
        assert(offset % IO_BLOCK_SIZE == 0);
        assert(size % IO_BLOCK_SIZE == 0);
        assert((uintptr_t)memory % IO_BLOCK_SIZE == 0);
    }
}

static void kernel_file_close(struct file *base)
{
    struct kernel_file *file = kernel_file_of(base);
    if (file->descriptor >= 0) {
        if (file->locked) {
            /* A process that was forked off has the same lock, and would keep it. */
            (void)flock(file->descriptor, LOCK_UN);
        }
        close(file->descriptor);
    }
    free(file->path);
    free(file);
}

static int kernel_file_lock(struct file *base)
{
    struct kernel_file *file = kernel_file_of(base);
    const struct timespec pause = {.tv_nsec = KERNEL_FILE_LOCK_PAUSE_NS};
    uint64_t limit = kernel_monotonic_ns() + KERNEL_FILE_LOCK_PATIENCE_NS;
    /* flock belongs to the open file, not to the process, so a second opener within the process is refused too. A
     * killed process may hold its files for a moment longer, until what it had in flight (io_uring) is over. */
    while (flock(file->descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            return kernel_error(errno, "lock %.600s", file->path);
        }
        if (kernel_monotonic_ns() >= limit) {
            return error_raise(HF_EBUSY, "lock %.600s: it is in use by another process, or opened twice", file->path);
        }
        nanosleep(&pause, NULL);
    }
    file->locked = true;
    return 0;
}

static int kernel_file_size(struct file *base, uint64_t *out)
{
    struct kernel_file *file = kernel_file_of(base);
    struct stat status;
    if (fstat(file->descriptor, &status) != 0) {
        return kernel_error(errno, "size of %.600s", file->path);
    }
    *out = (uint64_t)status.st_size;
    return 0;
}

static int kernel_file_truncate(struct file *base, uint64_t size)
{
    struct kernel_file *file = kernel_file_of(base);
    int rc;
    do {
        rc = ftruncate(file->descriptor, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : kernel_error(errno, "truncate %.600s to %" PRIu64 " bytes", file->path, size);
}

static int kernel_file_read(struct file *base, uint64_t offset, void *target, size_t size, size_t *got)
{
    struct kernel_file *file = kernel_file_of(base);
    kernel_file_check_aligned(base, offset, target, size);
    while (*got < size) {
        ssize_t count = pread(file->descriptor, (uint8_t *)target + *got, size - *got, (off_t)(offset + *got));
        if (count < 0) {
            if (errno == EINTR) {
                continue;
            }
            return kernel_error(errno, "read %.600s at %" PRIu64, file->path, offset + *got);
        }
        *got += (size_t)count;
        /* Past a part of a block there is only the end, and direct I/O could not go on from there. */
        if (count == 0 || (file->direct && count % IO_BLOCK_SIZE != 0)) {
            break;
        }
    }
    return 0;
}

/* One system call; the count, or -errno. */
typedef ssize_t kernel_file_put(struct kernel_file *file, const void *data, size_t size, uint64_t offset);

static ssize_t kernel_file_put_cached(struct kernel_file *file, const void *data, size_t size, uint64_t offset)
{
    ssize_t count = pwrite(file->descriptor, data, size, (off_t)offset);
    return count >= 0 ? count : -errno;
}

static ssize_t kernel_file_put_durable(struct kernel_file *file, const void *data, size_t size, uint64_t offset)
{
    if (!atomic_load_explicit(&file->rwf_refused, memory_order_relaxed)) {
        struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
        ssize_t count = pwritev2(file->descriptor, &vector, 1, (off_t)offset, RWF_DSYNC);
        if (count >= 0 || (errno != ENOSYS && errno != EOPNOTSUPP)) {
            return count >= 0 ? count : -errno;
        }
        atomic_store_explicit(&file->rwf_refused, true, memory_order_relaxed);
    }
    ssize_t count = kernel_file_put_cached(file, data, size, offset);
    return count > 0 && fdatasync(file->descriptor) != 0 ? -errno : count;
}

static int kernel_file_put_all(struct kernel_file *file, uint64_t offset, const void *data, size_t size,
                               kernel_file_put *put)
{
    kernel_file_check_aligned(&file->file, offset, data, size);
    size_t done = 0;
    while (done < size) {
        ssize_t count = put(file, (const uint8_t *)data + done, size - done, offset + done);
        if (count == -EINTR) {
            continue;
        }
        if (count > 0 && file->direct) {
            count -= count % IO_BLOCK_SIZE; /* direct I/O goes on at a block's start only */
        }
        if (count < 0) {
            return kernel_error((int)-count, "write %.600s at %" PRIu64, file->path, offset + done);
        }
        if (count == 0) {
            return error_raise(HF_EIO, "write %.600s at %" PRIu64 ": nothing was taken", file->path, offset + done);
        }
        done += (size_t)count;
    }
    return 0;
}

static int kernel_file_write(struct file *base, uint64_t offset, const void *data, size_t size)
{
    return kernel_file_put_all(kernel_file_of(base), offset, data, size, kernel_file_put_cached);
}

static int kernel_file_write_durable(struct file *base, uint64_t offset, const void *data, size_t size)
{
    return kernel_file_put_all(kernel_file_of(base), offset, data, size, kernel_file_put_durable);
}

/* fdatasync takes along the size, and whatever else is needed to find the content again; it leaves out times. Not tried
 * again on any error, EINTR included: a failed sync is final. */
static int kernel_file_sync(struct file *base)
{
    struct kernel_file *file = kernel_file_of(base);
    return fdatasync(file->descriptor) == 0 ? 0 : kernel_error(errno, "sync %.600s", file->path);
}

static void kernel_file_write_soon(struct file *base, uint64_t offset, uint64_t size)
{
    /* Whatever it answers: the sync will tell. */
    (void)sync_file_range(kernel_file_of(base)->descriptor, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

/* Some file systems (ext4 without extents, NFS 3) have no fallocate. What lies inside the file stays as it is, holes
 * included; what lies beyond its end is written. */
static int kernel_file_fill(struct kernel_file *file, uint64_t offset, uint64_t size)
{
    uint64_t at = 0;
    uint64_t end = offset + size;
    int rc = kernel_file_size(&file->file, &at);
    if (rc != 0 || at >= end) {
        return rc;
    }
    uint8_t *zeros = aligned_alloc(IO_BLOCK_SIZE, KERNEL_FILE_FILL_SIZE);
    assert(zeros != NULL);
    memset(zeros, 0, KERNEL_FILE_FILL_SIZE);
    while (rc == 0 && at < end) {
        uint64_t count = end - at < KERNEL_FILE_FILL_SIZE ? end - at : KERNEL_FILE_FILL_SIZE;
        rc = kernel_file_put_all(file, at, zeros, (size_t)count, kernel_file_put_cached);
        at += count;
    }
    free(zeros);
    return rc;
}

static int kernel_file_preallocate(struct file *base, uint64_t offset, uint64_t size)
{
    struct kernel_file *file = kernel_file_of(base);
    int rc;
    do {
        rc = fallocate(file->descriptor, 0, (off_t)offset, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0) {
        return 0;
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
        rc = kernel_file_fill(file, offset, size);
        return rc == 0 ? 0 : error_wrap(rc, "preallocate");
    }
    return kernel_error(errno, "preallocate %.600s from %" PRIu64 ", %" PRIu64 " bytes", file->path, offset, size);
}

static bool kernel_file_is_direct(const struct file *base)
{
    return kernel_file_of_const(base)->direct;
}

static const struct file_ops kernel_file_ops = {
    .close = kernel_file_close,
    .lock = kernel_file_lock,
    .size = kernel_file_size,
    .truncate = kernel_file_truncate,
    .preallocate = kernel_file_preallocate,
    .read = kernel_file_read,
    .write = kernel_file_write,
    .write_durable = kernel_file_write_durable,
    .sync = kernel_file_sync,
    .write_soon = kernel_file_write_soon,
    .is_direct = kernel_file_is_direct,
};

static int kernel_file_refuse_directory(const struct kernel_file *file)
{
    struct stat status;
    if (fstat(file->descriptor, &status) != 0) {
        return kernel_error(errno, "open %.600s", file->path);
    }
    return S_ISDIR(status.st_mode) ? kernel_error(EISDIR, "open %.600s", file->path) : 0;
}

int kernel_file_open(struct io *io, const char *path, unsigned flags, struct file **out)
{
    int mode = O_CLOEXEC | ((flags & FILE_WRITE) == 0 ? O_RDONLY : (flags & FILE_READ) == 0 ? O_WRONLY : O_RDWR);
    mode |= (flags & FILE_CREATE) != 0 ? O_CREAT : 0;
    mode |= (flags & FILE_EXCLUSIVE) != 0 ? O_EXCL : 0;
    int rc = 0;
    struct kernel_file *file = memory_new(sizeof(*file));
    file->file.ops = &kernel_file_ops;
    file->path = text_copy(path);
    atomic_init(&file->rwf_refused, false);
    do {
        file->descriptor = kernel_open(io, path, mode);
    } while (file->descriptor < 0 && errno == EINTR);
    if (file->descriptor < 0) {
        rc = kernel_error(errno, "open %.600s", path);
        goto done;
    }
    rc = kernel_file_refuse_directory(file);
    if (rc != 0) {
        goto done;
    }
    if ((flags & FILE_DIRECT) != 0) {
        /* Not in open(): there a refusal comes after O_CREAT has made the file, and O_EXCL could not try again. */
        file->direct_asked = true;
        file->direct = fcntl(file->descriptor, F_SETFL, (mode & O_ACCMODE) | O_DIRECT) == 0;
    }
    *out = &file->file;
    file = NULL;
done:
    if (file != NULL) {
        kernel_file_close(&file->file);
    }
    return rc;
}
