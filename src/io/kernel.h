/* The kernel's implementation of io.h: what its two backends share. Private to the room. */
#ifndef IO_KERNEL_H
#define IO_KERNEL_H

#include "io/io.h"

#define KERNEL_NS_PER_SECOND UINT64_C(1000000000)

/* error_from_errno, except that a file-size limit (EFBIG) counts as a full device. */
int kernel_error(int error_number, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The folder that was the process's working directory when the io was opened: relative paths begin there. */
int kernel_origin(struct io *io);
/* open(2) from there, with mode 0644. An absolute path is opened without it: the thread sanitizer does not see openat,
 * and takes the descriptor for what had its number before. */
int kernel_open(struct io *io, const char *path, int flags);

/* The clock without a handle, for the threads that stamp completions. */
uint64_t kernel_monotonic_ns(void);

/* A wait: its deadline from a timeout (0: none at all, UINT64_MAX: no limit), and what is left of it (0: it is over,
 * UINT64_MAX: no limit). Neither of the two special values reads the clock. */
uint64_t kernel_deadline_ns(uint64_t timeout_ns);
uint64_t kernel_left_ns(uint64_t deadline_ns);

#endif
