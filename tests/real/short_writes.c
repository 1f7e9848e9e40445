/* Loaded before the C library (LD_PRELOAD): of every third positional write that has more than one block, only a part
 * reaches the file, a whole number of blocks, as happens when a signal or a nearly full device ends a write early. The
 * count goes to the file named in SHORT_WRITES_COUNT when the process ends. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define BLOCK_SIZE 4096u
#define EVERY      3u

static atomic_uint calls;
static atomic_uint shortened;

static size_t shorten(size_t size)
{
    if (size <= BLOCK_SIZE || atomic_fetch_add(&calls, 1) % EVERY != EVERY - 1) {
        return size;
    }
    size_t blocks = (size - 1) / BLOCK_SIZE; /* at least one less than all */
    return (1 + atomic_fetch_add(&shortened, 1) % blocks) * BLOCK_SIZE;
}

__attribute__((visibility("default"))) ssize_t pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    ssize_t (*next)(int, const void *, size_t, off_t) =
        (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    return next(descriptor, data, shorten(size), offset);
}

__attribute__((visibility("default"))) ssize_t pwritev2(int descriptor, const struct iovec *vectors, int count,
                                                        off_t offset, int flags)
{
    ssize_t (*next)(int, const struct iovec *, int, off_t, int) =
        (ssize_t(*)(int, const struct iovec *, int, off_t, int))dlsym(RTLD_NEXT, "pwritev2");
    if (count != 1) {
        return next(descriptor, vectors, count, offset, flags);
    }
    struct iovec part = {vectors->iov_base, shorten(vectors->iov_len)};
    return next(descriptor, &part, 1, offset, flags);
}

__attribute__((destructor)) static void tell(void)
{
    const char *path = getenv("SHORT_WRITES_COUNT");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;
    if (file != NULL) {
        fprintf(file, "%u\n", atomic_load(&shortened));
        fclose(file);
    }
}
