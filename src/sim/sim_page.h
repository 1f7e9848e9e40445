/* The bytes of a block, shared by all who hold the same: a block's cache and device, and the copies of its disk. */
#ifndef SIM_SIM_PAGE_H
#define SIM_SIM_PAGE_H

#include <stdint.h>

#include "io/io.h"

/* NULL is a page of zeros, which most blocks of a disk are. */
struct sim_page {
    uint64_t holder_count;
    uint8_t bytes[IO_BLOCK_SIZE];
};

struct sim_page *sim_page_share(struct sim_page *page);
void sim_page_release(struct sim_page *page);
const uint8_t *sim_page_bytes(const struct sim_page *page);
/* Bytes for writing, seen by this holder alone. */
uint8_t *sim_page_own(struct sim_page **page);

#endif
