/* Eight sectors of a file: what readers see, what the device holds, and what it may hold instead. */
#ifndef SIM_SIM_BLOCK_H
#define SIM_SIM_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "io/io.h"
#include "sim/sim.h"
#include "sim/sim_page.h"

#define SIM_BLOCK_SECTORS (IO_BLOCK_SIZE / SIM_SECTOR_SIZE)
#define SIM_WRITE_NEVER   UINT64_MAX /* no sync covers it */

struct sim_decider;

struct sim_version {
    struct sim_version *older;
    uint64_t write;
    const uint8_t *data; /* a sector: the memory behind this struct, or shared zeros */
};

struct sim_block {
    struct list link; /* the inode's dirty blocks; empty when clean */
    uint64_t number;
    uint64_t allocated_at;   /* the write that allocated it; SIM_WRITE_NEVER after a failed sync */
    bool allocation_durable; /* durable writes into it are durable */
    bool released;           /* truncated away; only its undecided past keeps it */
    struct sim_page *cache;  /* what readers see */
    struct sim_page *device; /* the same page as cache: nothing differs */
    struct sim_version *versions[SIM_BLOCK_SECTORS]; /* newest first */
};

struct sim_block *sim_block_new(uint64_t number, uint64_t write);
void sim_block_free(struct sim_block *block); /* accepts NULL; not in a list any more */
struct sim_block *sim_block_copy(const struct sim_block *block);

const uint8_t *sim_block_cache(const struct sim_block *block, unsigned sector);
const uint8_t *sim_block_device(const struct sim_block *block, unsigned sector);
/* Writes part of a sector: a new version of it, unless that changes nothing. data NULL: zeros. */
void sim_block_put(struct sim_block *block, unsigned sector, uint64_t write, unsigned at, const uint8_t *data,
                   unsigned size);
/* The device takes the newest version up to `write`. */
void sim_block_commit(struct sim_block *block, unsigned sector, uint64_t write);
/* That of every sector. */
void sim_block_commit_all(struct sim_block *block, uint64_t write);
/* The device takes what the decider chooses among those up to `write`; none of them is waiting any more. */
void sim_block_drop(struct sim_block *block, unsigned sector, uint64_t write, struct sim_decider *decider,
                    const char *path);
/* Asks and does not do it. */
void sim_block_consider(const struct sim_block *block, struct sim_decider *decider, const char *path);
/* Power loss: the device takes what the decider chooses, and the cache is the device. True when the block holds
 * anything: a newer content was chosen, or it is not all zeros. */
bool sim_block_settle(struct sim_block *block, struct sim_decider *decider, const char *path, uint64_t file_size);
/* Clears what lies behind the first `size` bytes, in a block that has settled. */
void sim_block_clear_behind(struct sim_block *block, unsigned size);
/* Flips bits of a byte on the device, which readers see unless they have newer bytes. */
void sim_block_flip(struct sim_block *block, unsigned at, uint8_t bits);
/* Lets go of the device's copy when it equals the cache. True when nothing is undecided in the sectors. */
bool sim_block_tidy(struct sim_block *block);

#endif
