/* Large pieces of memory straight from the kernel, aligned, and in huge pages where the kernel gives them: structures
 * of many megabytes that are read at random spend much of their time in page walks otherwise. They return to the kernel
 * when they are closed. Thread: any. */
#ifndef IO_MEMORY_MAP_H
#define IO_MEMORY_MAP_H

#include <stddef.h>

#define MEMORY_MAP_HUGE_SIZE (2u << 20)

/* Zeroed memory of a multiple of MEMORY_MAP_HUGE_SIZE, aligned to it; NULL when the kernel has none. */
void *memory_map_open(size_t size);
void memory_map_close(void *memory, size_t size); /* accepts NULL */
/* Has the kernel clear all of it now, and not at each first touch by whoever uses it: milliseconds for a huge page on a
 * virtual machine. What is there stays. */
void memory_map_touch(void *memory, size_t size);

#endif
