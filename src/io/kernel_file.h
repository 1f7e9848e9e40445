/* Files by plain system calls. Private to the room. */
#ifndef IO_KERNEL_FILE_H
#define IO_KERNEL_FILE_H

#include "io/io.h"

int kernel_file_open(struct io *io, const char *path, unsigned flags, struct file **out);

/* For the queues; the file must be the kernel's. */
int kernel_file_descriptor(const struct file *file);
const char *kernel_file_path(const struct file *file);
/* Asserts the alignment that FILE_DIRECT asks for, also where the file system made the file buffered. */
void kernel_file_check_aligned(const struct file *file, uint64_t offset, const void *memory, size_t size);

#endif
