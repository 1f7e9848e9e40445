/* Clock, randomness, directories and names by plain system calls; files and queues by the sibling files. */
#include "io/kernel.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "io/kernel_file.h"
#include "io/threads_queue.h"
#include "io/uring_queue.h"

#define KERNEL_NS_PER_MS UINT64_C(1000000)

struct kernel_io {
    struct io io;
    int origin;         /* the folder that relative paths begin in */
    struct mutex mutex; /* of the generator; a leaf lock */
    bool seeded;        /* io_kernel_seed; set before threads use the io */
    struct rng rng;
};

static const struct io_ops kernel_uring_ops;
static const struct io_ops kernel_threads_ops;

static struct kernel_io *kernel_io_of(struct io *io)
{
    assert(io->ops == &kernel_uring_ops || io->ops == &kernel_threads_ops);
    return (struct kernel_io *)io;
}

int kernel_origin(struct io *io)
{
    return kernel_io_of(io)->origin;
}

int kernel_open(struct io *io, const char *path, int flags)
{
    return path[0] == '/' ? open(path, flags, 0644) : openat(kernel_origin(io), path, flags, 0644);
}

int kernel_error(int error_number, const char *format, ...)
{
    char text[ERROR_TEXT_SIZE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (error_number == EFBIG) {
        return error_raise(HF_ENOSPACE, "%s: above the limit of a file's size", text);
    }
    return error_from_errno(error_number, "%s", text);
}

static void kernel_close(struct io *base)
{
    struct kernel_io *io = kernel_io_of(base);
    if (io->origin != AT_FDCWD) {
        close(io->origin);
    }
    mutex_close(&io->mutex);
    free(io);
}

static uint64_t kernel_clock_ns(clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime(clock, &now);
    assert(rc == 0);
    (void)rc;
    return (uint64_t)now.tv_sec * KERNEL_NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t kernel_monotonic_ns(void)
{
    return kernel_clock_ns(CLOCK_MONOTONIC);
}

uint64_t kernel_deadline_ns(uint64_t timeout_ns)
{
    if (timeout_ns == 0 || timeout_ns == UINT64_MAX) {
        return timeout_ns;
    }
    uint64_t now_ns = kernel_monotonic_ns();
    return timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX;
}

uint64_t kernel_left_ns(uint64_t deadline_ns)
{
    if (deadline_ns == 0 || deadline_ns == UINT64_MAX) {
        return deadline_ns;
    }
    uint64_t now_ns = kernel_monotonic_ns();
    return now_ns < deadline_ns ? deadline_ns - now_ns : 0;
}

static uint64_t kernel_io_monotonic_ns(struct io *io)
{
    return kernel_monotonic_ns();
}

static uint64_t kernel_io_wall_ms(struct io *io)
{
    return kernel_clock_ns(CLOCK_REALTIME) / KERNEL_NS_PER_MS;
}

static void kernel_io_random(struct io *base, void *target, size_t size)
{
    struct kernel_io *io = kernel_io_of(base);
    if (io->seeded) {
        mutex_lock(&io->mutex);
        rng_fill(&io->rng, target, size);
        mutex_unlock(&io->mutex);
        return;
    }
    uint8_t *at = target;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            assert(errno == EINTR); /* nothing else can happen to a valid buffer */
            continue;
        }
        at += got;
        size -= (size_t)got;
    }
}

void io_kernel_seed(struct io *base, uint64_t seed)
{
    struct kernel_io *io = kernel_io_of(base);
    rng_seed(&io->rng, seed);
    io->seeded = true;
}

/* ---- directories ---- */

static int kernel_directory_sync(struct io *io, const char *path)
{
    int descriptor = kernel_open(io, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return kernel_error(errno, "open directory %.600s", path);
    }
    int rc = 0;
    if (fsync(descriptor) != 0) {
        rc = errno == EINVAL ? error_raise(HF_EUNSUPPORTED, "sync directory %.600s: its file system cannot", path)
                             : kernel_error(errno, "sync directory %.600s", path);
    }
    close(descriptor);
    return rc;
}

/* Syncs the folder that holds the name path[0 … end). */
static int kernel_sync_parent(struct io *io, const char *path, size_t end)
{
    while (end > 0 && path[end - 1] != '/') {
        end--;
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    char *parent = end == 0 ? text_copy(".") : text_format("%.*s", (int)end, path);
    int rc = kernel_directory_sync(io, parent);
    free(parent);
    return rc;
}

static int kernel_check_directory(struct io *io, const char *path)
{
    struct stat status;
    if (fstatat(kernel_origin(io), path, &status, 0) != 0) {
        return kernel_error(errno, "create directory %.600s", path);
    }
    if (!S_ISDIR(status.st_mode)) {
        return error_raise(HF_EEXISTS, "create directory %.600s: it is there and not a directory", path);
    }
    return 0;
}

static int kernel_directory_create(struct io *io, const char *path)
{
    char *prefix = text_copy(path);
    size_t existing = 0; /* where the deepest folder ends that was there */
    size_t end = 0;
    int rc = 0;
    while (rc == 0 && path[end] != '\0') {
        end += strspn(path + end, "/");
        end += strcspn(path + end, "/");
        prefix[end] = '\0';
        if (mkdirat(kernel_origin(io), prefix, 0755) == 0) {
            rc = kernel_sync_parent(io, path, end);
        } else if (errno == EEXIST) {
            existing = path[end - 1] != '/' ? end : existing;
        } else {
            rc = kernel_error(errno, "create directory %.600s", path);
        }
        prefix[end] = path[end];
    }
    if (rc == 0) {
        rc = kernel_check_directory(io, path);
    }
    if (rc == 0 && existing > 0) {
        /* It may be what a killed process made and did not sync. Its parent may be closed to us: then it is not ours.
         */
        (void)kernel_sync_parent(io, path, existing);
    }
    free(prefix);
    return rc;
}

struct kernel_entry {
    char *name;
    bool is_directory;
};
struct kernel_entries {
    struct kernel_entry *items;
    size_t count;
    size_t capacity;
};

static void kernel_entries_add(struct kernel_entries *entries, DIR *directory, const struct dirent *found)
{
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity == 0 ? 64 : entries->capacity * 2;
        entries->items = memory_resize(entries->items, entries->capacity * sizeof(entries->items[0]));
    }
    bool is_directory = found->d_type == DT_DIR;
    if (found->d_type == DT_UNKNOWN || found->d_type == DT_LNK) {
        struct stat status;
        is_directory = fstatat(dirfd(directory), found->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
    }
    entries->items[entries->count++] = (struct kernel_entry){text_copy(found->d_name), is_directory};
}

static int kernel_entry_compare(const void *a, const void *b)
{
    const struct kernel_entry *left = a;
    const struct kernel_entry *right = b;
    return strcmp(left->name, right->name);
}

static void kernel_entries_close(struct kernel_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].name);
    }
    free(entries->items);
}

/* Gathers all names first, so that the visitor may unlink and rename what it is shown. */
static int kernel_directory_list(struct io *io, const char *path, directory_visit *visit, void *arg)
{
    struct kernel_entries entries = {0};
    int rc = 0;
    /* Not opendir, which the thread sanitizer does not see open a file: it would take it for what had that number. */
    int descriptor = kernel_open(io, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = descriptor >= 0 ? fdopendir(descriptor) : NULL;
    if (directory == NULL) {
        rc = kernel_error(errno, "list directory %.600s", path);
        if (descriptor >= 0) {
            close(descriptor);
        }
        return rc;
    }
    for (;;) {
        errno = 0;
        const struct dirent *found = readdir(directory);
        if (found == NULL) {
            break;
        }
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0) {
            kernel_entries_add(&entries, directory, found);
        }
    }
    if (errno != 0) {
        rc = kernel_error(errno, "list directory %.600s", path);
        goto done;
    }
    if (entries.count > 0) {
        qsort(entries.items, entries.count, sizeof(entries.items[0]), kernel_entry_compare);
    }
    for (size_t i = 0; i < entries.count && rc == 0; i++) {
        rc = visit(arg, entries.items[i].name, entries.items[i].is_directory);
    }
done:
    closedir(directory);
    kernel_entries_close(&entries);
    return rc;
}

static int kernel_directory_free_bytes(struct io *io, const char *path, uint64_t *out)
{
    struct statvfs status;
    int descriptor = kernel_open(io, path, O_PATH | O_CLOEXEC);
    if (descriptor < 0 || fstatvfs(descriptor, &status) != 0) {
        int rc = kernel_error(errno, "free space of %.600s", path);
        if (descriptor >= 0) {
            close(descriptor);
        }
        return rc;
    }
    close(descriptor);
    *out = (uint64_t)status.f_bavail * status.f_frsize; /* what an ordinary user may still take */
    return 0;
}

/* The headers of the oldest supported system lack the id that is never given out twice. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif

static uint64_t kernel_directory_mount(struct io *io, const char *path)
{
    struct statx status = {0};
    unsigned mask = STATX_MNT_ID | STATX_MNT_ID_UNIQUE;
    return statx(kernel_origin(io), path, AT_STATX_DONT_SYNC, mask, &status) == 0 && (status.stx_mask & mask) != 0
               ? status.stx_mnt_id
               : 0;
}

static int kernel_path_rename(struct io *io, const char *from, const char *to)
{
    int origin = kernel_origin(io);
    return renameat(origin, from, origin, to) == 0 ? 0 : kernel_error(errno, "rename %.400s to %.400s", from, to);
}

static int kernel_path_unlink(struct io *io, const char *path)
{
    return unlinkat(kernel_origin(io), path, 0) == 0 ? 0 : kernel_error(errno, "unlink %.600s", path);
}

/* ---- the two backends ---- */

#define KERNEL_OPS_SHARED                                                                                             \
    .close = kernel_close, .monotonic_ns = kernel_io_monotonic_ns, .wall_ms = kernel_io_wall_ms,                      \
    .random = kernel_io_random, .directory_create = kernel_directory_create, .directory_sync = kernel_directory_sync, \
    .directory_list = kernel_directory_list, .directory_free_bytes = kernel_directory_free_bytes,                     \
    .directory_mount = kernel_directory_mount, .path_rename = kernel_path_rename, .path_unlink = kernel_path_unlink,  \
    .file_open = kernel_file_open

static const struct io_ops kernel_uring_ops = {
    .name = "io_uring",
    KERNEL_OPS_SHARED,
    .queue_open = uring_queue_open,
};
static const struct io_ops kernel_threads_ops = {
    .name = "pwritev2",
    KERNEL_OPS_SHARED,
    .queue_open = threads_queue_open,
};

/* The process may go elsewhere; what was opened with a relative path stays where it is. */
static int kernel_open_origin(int *out)
{
    int descriptor = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0 && (errno == EACCES || errno == ENOENT)) {
        descriptor = AT_FDCWD; /* closed to us: only absolute paths lead anywhere */
    } else if (descriptor < 0) {
        return kernel_error(errno, "open the working directory");
    }
    *out = descriptor;
    return 0;
}

/* Who handles the signal, or ignores it, survives it: that is the program's own choice. */
static void kernel_survive(int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL) {
        signal(number, SIG_IGN);
    }
}

int io_open_kernel(enum io_backend backend, struct io **out)
{
    *out = NULL;
    int rc = backend == IO_BACKEND_THREADS ? HF_EUNSUPPORTED : uring_queue_probe();
    bool rings = rc == 0;
    if (!rings && backend == IO_BACKEND_URING) {
        return rc;
    }
    /* Writing beyond RLIMIT_FSIZE kills the process by default; it has to be an error like a full device. */
    kernel_survive(SIGXFSZ);
    /* The same for writing to a connection that the other side has closed: libuv does not suppress it. */
    kernel_survive(SIGPIPE);
    int origin = AT_FDCWD;
    rc = kernel_open_origin(&origin);
    if (rc != 0) {
        return rc;
    }
    struct kernel_io *io = memory_new(sizeof(*io));
    mutex_init(&io->mutex);
    io->origin = origin;
    io->io.ops = rings ? &kernel_uring_ops : &kernel_threads_ops;
    *out = &io->io;
    return 0;
}
