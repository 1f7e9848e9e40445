#include "io/memory_map.h"

#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>

#define MEMORY_MAP_PAGE_SIZE 4096u

void *memory_map_open(size_t size)
{
    assert(size > 0 && size % MEMORY_MAP_HUGE_SIZE == 0);
    /* More than is needed, so that an aligned piece lies in it; the edges are given back at once. */
    size_t whole = size + MEMORY_MAP_HUGE_SIZE;
    uint8_t *start = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    size_t before = (MEMORY_MAP_HUGE_SIZE - (uintptr_t)start % MEMORY_MAP_HUGE_SIZE) % MEMORY_MAP_HUGE_SIZE;
    uint8_t *memory = start + before;
    if (before > 0) {
        munmap(start, before);
    }
    if (whole - before > size) {
        munmap(memory + size, whole - before - size);
    }
    /* Advice only: without huge pages everything works, slower. */
    (void)madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

void memory_map_close(void *memory, size_t size)
{
    if (memory != NULL) {
        munmap(memory, size);
    }
}

void memory_map_touch(void *memory, size_t size)
{
    volatile uint8_t *bytes = memory;
    for (size_t at = 0; at < size; at += MEMORY_MAP_PAGE_SIZE) { /* in case they are small ones */
        bytes[at] = bytes[at];
    }
}
