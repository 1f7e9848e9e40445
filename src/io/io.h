/* The kernel behind a seam: files, directories, clock and randomness. Three implementations share this header:
 * io_uring, pwritev2 threads (both in io/), and the simulator (sim/). Everything above asks here and nowhere else.
 *
 * Durability, the only three ways:
 *   file content   file_write_durable, an io_write with IO_WRITE_DURABLE, or file_sync after file_write
 *   file size      file_sync (a growing write is durable only when its size is)
 *   a name         directory_sync on the folder, after create, rename or unlink
 * A failed sync or durable write is final for what it covered: the caller must not retry it (HAZARDS row 1).
 *
 * Paths are absolute or relative to the process; the simulator keeps its own tree. Blocking calls may be made from any
 * thread; in the simulator they happen at once. Errors are HF_E… with text that names the path. */
#ifndef IO_IO_H
#define IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"

#define IO_BLOCK_SIZE      4096u /* alignment of direct I/O: offset, length and memory */
#define IO_QUEUE_DEPTH_MAX 4096u /* of io_queue_open */

struct io_ops;
struct file_ops;
struct io_queue_ops;

struct io {
    const struct io_ops *ops;
};
struct file {
    const struct file_ops *ops;
};
struct io_queue {
    const struct io_queue_ops *ops;
};

enum io_backend { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_THREADS };

/* The real kernel. AUTO takes io_uring where the kernel and its sandbox allow it, else pwritev2 threads.
 * URING fails with HF_EUNSUPPORTED where it is forbidden. Relative paths begin where the process is now, wherever it
 * goes later. SIGXFSZ and SIGPIPE are ignored from now on unless the program handles them. */
int io_open_kernel(enum io_backend backend, struct io **out);
/* From here on io_random of a kernel io draws from a seeded generator instead of the kernel's: for runs that replay.
 * Before other threads use the io. */
void io_kernel_seed(struct io *io, uint64_t seed);
void io_close(struct io *io);                     /* accepts NULL; every file and queue must be closed before */
const char *io_backend_name(const struct io *io); /* "io_uring", "pwritev2" or "sim" */

uint64_t io_monotonic_ns(struct io *io);
uint64_t io_wall_ms(struct io *io); /* UNIX time; may jump */
void io_random(struct io *io, void *target, size_t size);

/* Directories. directory_create makes missing parents too and syncs each new name's folder. */
int directory_create(struct io *io, const char *path);
int directory_sync(struct io *io, const char *path);
/* Calls each for every entry but "." and "..", in byte order of the names; stops at the first non-zero return and
 * returns it. */
typedef int directory_visit(void *arg, const char *name, bool is_directory);
int directory_list(struct io *io, const char *path, directory_visit *visit, void *arg);
int directory_free_bytes(struct io *io, const char *path, uint64_t *out);
/* Which mount the folder lies on: while the kernel lives another one has another id (on kernels before 6.8 an id may
 * come back when its mount is gone). 0: the kernel does not tell, or there is no such folder. */
uint64_t directory_mount(struct io *io, const char *path);
int path_rename(struct io *io, const char *from, const char *to); /* replaces `to`; not durable until directory_sync */
int path_unlink(struct io *io, const char *path);                 /* HF_ENOTFOUND when missing */

enum file_flags {
    FILE_READ = 1,
    FILE_WRITE = 2,
    FILE_CREATE = 4,
    FILE_EXCLUSIVE = 8, /* with FILE_CREATE: HF_EEXISTS when it is there */
    FILE_DIRECT = 16    /* past the page cache; falls back to buffered where the file system refuses */
};

int file_open(struct io *io, const char *path, unsigned flags, struct file **out);
void file_close(struct file *file); /* accepts NULL */
/* Exclusive, until closed. HF_EBUSY when another opener (any process) holds it, for two seconds on the kernel: what a
 * killed process had in flight may outlive it for a moment. */
int file_lock(struct file *file);
int file_size(struct file *file, uint64_t *out);
int file_truncate(struct file *file, uint64_t size);
int file_preallocate(struct file *file, uint64_t offset, uint64_t size); /* HF_ENOSPACE leaves the file usable */
/* Reads up to `size` bytes; fewer only at the end of the file. With FILE_DIRECT everything is block-aligned. */
int file_read(struct file *file, uint64_t offset, void *target, size_t size, size_t *got);
/* Writes all or fails; after a failure any part may have been written. */
int file_write(struct file *file, uint64_t offset, const void *data, size_t size);
int file_write_durable(struct file *file, uint64_t offset, const void *data, size_t size);
int file_sync(struct file *file); /* content and size */
/* Has the device begin with what was written here, so that a sync later finds less to do. Promises nothing; an error of
 * the device shows at that sync. */
void file_write_soon(struct file *file, uint64_t offset, uint64_t size);
bool file_is_direct(const struct file *file);

/* Operations in flight. A queue belongs to one thread; its submitter owns the operations, which stay put until they
 * are reaped. Operations may complete in any order. */
enum io_operation_kind {
    IO_WRITE,         /* file, offset, data, size */
    IO_WRITE_DURABLE, /* the same, and durable (content, in blocks and within a size that are durable already) */
    IO_SYNC,          /* file: file_sync */
    IO_WORK           /* work(arg): a blocking function, run off the queue's thread; its return value is the result */
};

struct io_operation {
    enum io_operation_kind kind;
    struct file *file;
    uint64_t offset;
    const void *data;
    size_t size;
    int (*work)(void *arg);
    void *arg;
    void *user;            /* the submitter's own */
    int result;            /* out: 0 or HF_E…; short writes are continued inside, so all or an error */
    char text[256];        /* out: the error's text, when result < 0 */
    uint64_t submitted_ns; /* out */
    uint64_t completed_ns; /* out */
    struct list link;      /* the queue's, while in flight; the reaper's list afterwards */
    bool is_background;    /* IO_WORK: by a worker that runs below the process's other threads, where it may have one */
    uint64_t progress;     /* the backend's own */
};

/* depth: at most that many operations in flight; HF_EINVALID above IO_QUEUE_DEPTH_MAX or 0. HF_ENOMEM: the process may
 * have no thread for IO_WORK. A queue has one from here on, so that nothing is refused later for want of one. */
int io_queue_open(struct io *io, unsigned depth, struct io_queue **out);
void io_queue_close(struct io_queue *queue); /* waits for what is in flight; accepts NULL */
/* HF_EBUSY when `depth` operations are in flight: nothing was submitted. Submission may be deferred to
 * io_queue_flush. */
int io_queue_submit(struct io_queue *queue, struct io_operation *operation);
int io_queue_flush(struct io_queue *queue);
/* Appends completed operations to `done` (by their link); waits up to timeout_ns for the first one (0: polls;
 * UINT64_MAX: no limit). Returns how many. In the simulator it never waits. */
unsigned io_queue_reap(struct io_queue *queue, struct list *done, uint64_t timeout_ns);
/* Becomes readable when there is something to reap (level-triggered until reaped); -1 in the simulator, where the loop
 * learns it from the simulator itself (net/loop.h, loop_watch_queue). After a reap that waited, io_queue_flush comes
 * before waiting on it. */
int io_queue_descriptor(struct io_queue *queue);
/* Interrupts a wait in io_queue_reap, the next one if nobody waits (so a wake is never lost). It also makes the
 * descriptor readable. Thread: any. */
void io_queue_wake(struct io_queue *queue);

/* Called by background work (is_background) between two steps of a fraction of a millisecond each. Every now and
 * then it sleeps for a moment, so that whoever waits for this processor gets it. A lower priority alone does not see to
 * that: threads of other groups of the scheduler do not know of it, the kernel's own that complete writes among them.
 * On other threads, and in the simulator, which has none, it does nothing. It must hold no lock. */
void io_give_way(void);

/* A thread that runs turns: calls turn(arg) again and again until executor_close. `turn` blocks by itself (in
 * io_queue_reap). In the simulator there are no executors: owners are driven by the simulator instead. */
struct executor;
int executor_open(const char *name, void (*turn)(void *arg), void *arg, struct executor **out);
/* No further turn starts. A turn that runs (or starts just now) must be woken after it: stop, io_queue_wake, close. */
void executor_stop(struct executor *executor);
void executor_close(struct executor *executor); /* executor_stop, and waits for the turn that runs; accepts NULL */

/* ---- for implementers ---- */
struct io_ops {
    const char *name;
    void (*close)(struct io *io);
    uint64_t (*monotonic_ns)(struct io *io);
    uint64_t (*wall_ms)(struct io *io);
    void (*random)(struct io *io, void *target, size_t size);
    int (*directory_create)(struct io *io, const char *path);
    int (*directory_sync)(struct io *io, const char *path);
    int (*directory_list)(struct io *io, const char *path, directory_visit *visit, void *arg);
    int (*directory_free_bytes)(struct io *io, const char *path, uint64_t *out);
    uint64_t (*directory_mount)(struct io *io, const char *path);
    int (*path_rename)(struct io *io, const char *from, const char *to);
    int (*path_unlink)(struct io *io, const char *path);
    int (*file_open)(struct io *io, const char *path, unsigned flags, struct file **out);
    int (*queue_open)(struct io *io, unsigned depth, struct io_queue **out);
};
struct file_ops {
    void (*close)(struct file *file);
    int (*lock)(struct file *file);
    int (*size)(struct file *file, uint64_t *out);
    int (*truncate)(struct file *file, uint64_t size);
    int (*preallocate)(struct file *file, uint64_t offset, uint64_t size);
    int (*read)(struct file *file, uint64_t offset, void *target, size_t size, size_t *got);
    int (*write)(struct file *file, uint64_t offset, const void *data, size_t size);
    int (*write_durable)(struct file *file, uint64_t offset, const void *data, size_t size);
    int (*sync)(struct file *file);
    void (*write_soon)(struct file *file, uint64_t offset, uint64_t size); /* may be NULL */
    bool (*is_direct)(const struct file *file);
};
struct io_queue_ops {
    void (*close)(struct io_queue *queue);
    int (*submit)(struct io_queue *queue, struct io_operation *operation);
    int (*flush)(struct io_queue *queue);
    unsigned (*reap)(struct io_queue *queue, struct list *done, uint64_t timeout_ns);
    int (*descriptor)(struct io_queue *queue);
    void (*wake)(struct io_queue *queue);
};

#endif
