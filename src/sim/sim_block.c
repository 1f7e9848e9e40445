#include "sim/sim_block.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "sim/sim_crash.h"
#include "sim/sim_disk.h"
#include "sim/sim_fault.h"

static const uint8_t sim_block_zeros[SIM_SECTOR_SIZE];

/* What a sector may become, oldest first; equal neighbours are one. */
struct sim_alternatives {
    const uint8_t *data[SIM_SECTOR_VERSION_MAX + 1];
    uint64_t writes[SIM_SECTOR_VERSION_MAX + 1];
    unsigned count;
};

struct sim_block *sim_block_new(uint64_t number, uint64_t write)
{
    struct sim_block *block = memory_new(sizeof(*block));
    list_init(&block->link);
    block->number = number;
    block->allocated_at = write;
    return block;
}

static void sim_block_free_versions(struct sim_version *version)
{
    while (version != NULL) {
        struct sim_version *older = version->older;
        free(version);
        version = older;
    }
}

void sim_block_free(struct sim_block *block)
{
    if (block == NULL) {
        return;
    }
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        sim_block_free_versions(block->versions[sector]);
    }
    sim_page_release(block->cache);
    sim_page_release(block->device);
    free(block);
}

static struct sim_version *sim_block_new_version(uint64_t write, const uint8_t *data)
{
    bool zero = memcmp(data, sim_block_zeros, SIM_SECTOR_SIZE) == 0;
    struct sim_version *version = memory_new(sizeof(*version) + (zero ? 0 : SIM_SECTOR_SIZE));
    version->write = write;
    if (zero) {
        version->data = sim_block_zeros;
    } else {
        memcpy(version + 1, data, SIM_SECTOR_SIZE);
        version->data = (const uint8_t *)(version + 1);
    }
    return version;
}

struct sim_block *sim_block_copy(const struct sim_block *block)
{
    struct sim_block *copy = memory_new(sizeof(*copy));
    *copy = *block;
    list_init(&copy->link);
    sim_page_share(copy->cache);
    sim_page_share(copy->device);
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        struct sim_version **tail = &copy->versions[sector];
        for (const struct sim_version *at = block->versions[sector]; at != NULL; at = at->older) {
            *tail = sim_block_new_version(at->write, at->data);
            tail = &(*tail)->older;
        }
        *tail = NULL;
    }
    return copy;
}

const uint8_t *sim_block_cache(const struct sim_block *block, unsigned sector)
{
    return sim_page_bytes(block->cache) + (size_t)sector * SIM_SECTOR_SIZE;
}

const uint8_t *sim_block_device(const struct sim_block *block, unsigned sector)
{
    return sim_page_bytes(block->device) + (size_t)sector * SIM_SECTOR_SIZE;
}

static void sim_block_forget_oldest(struct sim_block *block, unsigned sector)
{
    struct sim_version **at = &block->versions[sector];
    for (unsigned count = 0; *at != NULL; count++) {
        if (count == SIM_SECTOR_VERSION_MAX) {
            sim_block_free_versions(*at);
            *at = NULL;
            return;
        }
        at = &(*at)->older;
    }
}

void sim_block_put(struct sim_block *block, unsigned sector, uint64_t write, unsigned at, const uint8_t *data,
                   unsigned size)
{
    assert(sector < SIM_BLOCK_SECTORS && at + size <= SIM_SECTOR_SIZE);
    const uint8_t *source = data != NULL ? data : sim_block_zeros;
    const uint8_t *old = sim_block_cache(block, sector);
    if (block->versions[sector] == NULL && memcmp(old + at, source, size) == 0 &&
        memcmp(old, sim_block_device(block, sector), SIM_SECTOR_SIZE) == 0) {
        return;
    }
    uint8_t *cache = sim_page_own(&block->cache) + (size_t)sector * SIM_SECTOR_SIZE;
    memcpy(cache + at, source, size);
    struct sim_version *version = sim_block_new_version(write, cache);
    version->older = block->versions[sector];
    block->versions[sector] = version;
    sim_block_forget_oldest(block, sector);
}

static void sim_block_set_device(struct sim_block *block, unsigned sector, const uint8_t *data)
{
    if (memcmp(sim_block_device(block, sector), data, SIM_SECTOR_SIZE) != 0) {
        memcpy(sim_page_own(&block->device) + (size_t)sector * SIM_SECTOR_SIZE, data, SIM_SECTOR_SIZE);
    }
}

/* The first version that a sync up to `write` covers. */
static struct sim_version **sim_block_covered(struct sim_block *block, unsigned sector, uint64_t write)
{
    struct sim_version **at = &block->versions[sector];
    while (*at != NULL && (*at)->write > write) {
        at = &(*at)->older;
    }
    return at;
}

void sim_block_commit(struct sim_block *block, unsigned sector, uint64_t write)
{
    struct sim_version **covered = sim_block_covered(block, sector, write);
    if (*covered != NULL) {
        sim_block_set_device(block, sector, (*covered)->data);
        sim_block_free_versions(*covered);
        *covered = NULL;
    }
}

/* True when the device is to be what readers see: everything newer than it is covered. */
static bool sim_block_commits_whole(const struct sim_block *block, uint64_t write)
{
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        const struct sim_version *newest = block->versions[sector];
        if (newest != NULL
                ? newest->write > write
                : memcmp(sim_block_cache(block, sector), sim_block_device(block, sector), SIM_SECTOR_SIZE) != 0) {
            return false;
        }
    }
    return true;
}

static void sim_block_device_is_cache(struct sim_block *block)
{
    sim_page_release(block->device);
    block->device = sim_page_share(block->cache);
}

void sim_block_commit_all(struct sim_block *block, uint64_t write)
{
    bool whole = sim_block_commits_whole(block, write);
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        if (!whole) {
            sim_block_commit(block, sector, write);
            continue;
        }
        sim_block_free_versions(block->versions[sector]);
        block->versions[sector] = NULL;
    }
    if (whole) {
        sim_block_device_is_cache(block);
    }
}

static void sim_block_add_alternatives(struct sim_alternatives *alternatives, const struct sim_version *version)
{
    if (version == NULL) {
        return;
    }
    sim_block_add_alternatives(alternatives, version->older);
    const uint8_t *newest = alternatives->data[alternatives->count - 1];
    if (memcmp(newest, version->data, SIM_SECTOR_SIZE) != 0) {
        alternatives->data[alternatives->count] = version->data;
        alternatives->writes[alternatives->count] = version->write;
        alternatives->count++;
    }
}

static struct sim_alternatives sim_block_alternatives(const struct sim_block *block, unsigned sector,
                                                      const struct sim_version *newest)
{
    struct sim_alternatives alternatives = {.data = {sim_block_device(block, sector)}, .count = 1};
    sim_block_add_alternatives(&alternatives, newest);
    return alternatives;
}

static uint64_t sim_block_offset(const struct sim_block *block, unsigned sector)
{
    return block->number * IO_BLOCK_SIZE + (uint64_t)sector * SIM_SECTOR_SIZE;
}

/* Returns the alternative taken. */
static unsigned sim_block_decide(const struct sim_block *block, unsigned sector, struct sim_decider *decider,
                                 const char *path, const struct sim_alternatives *alternatives)
{
    if (alternatives->count < 2) {
        return 0;
    }
    unsigned pick =
        sim_crash_decide(decider, SIM_CHOICE_SECTOR, path, sim_block_offset(block, sector), alternatives->count);
    for (unsigned i = pick > 0 ? pick : 1; i < alternatives->count; i++) {
        sim_crash_tally(decider, alternatives->writes[i], i == pick);
    }
    return pick;
}

void sim_block_drop(struct sim_block *block, unsigned sector, uint64_t write, struct sim_decider *decider,
                    const char *path)
{
    struct sim_version **covered = sim_block_covered(block, sector, write);
    if (*covered == NULL) {
        return;
    }
    struct sim_alternatives alternatives = sim_block_alternatives(block, sector, *covered);
    unsigned pick = sim_block_decide(block, sector, decider, path, &alternatives);
    if (pick + 1 < alternatives.count) {
        sim_fault_happened(decider->disk->sim, SIM_FAULT_DROPPED_BY_SYNC);
    }
    sim_block_set_device(block, sector, alternatives.data[pick]);
    sim_block_free_versions(*covered);
    *covered = NULL;
}

void sim_block_consider(const struct sim_block *block, struct sim_decider *decider, const char *path)
{
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        struct sim_alternatives alternatives = sim_block_alternatives(block, sector, block->versions[sector]);
        if (alternatives.count > 1) {
            sim_crash_decide(decider, SIM_CHOICE_SECTOR, path, sim_block_offset(block, sector), alternatives.count);
        }
    }
}

/* True when something newer than the device's content was taken. */
static bool sim_block_settle_sector(struct sim_block *block, unsigned sector, struct sim_decider *decider,
                                    const char *path)
{
    struct sim_alternatives alternatives = sim_block_alternatives(block, sector, block->versions[sector]);
    unsigned pick = sim_block_decide(block, sector, decider, path, &alternatives);
    struct sim *sim = decider->disk->sim;
    if (pick + 1 < alternatives.count) {
        sim_fault_happened(sim, SIM_FAULT_SECTOR_LOST);
    }
    sim_block_set_device(block, sector, alternatives.data[pick]);
    if (alternatives.count > 1 && sim_crash_garbles(decider)) {
        rng_fill(&sim->rng, sim_page_own(&block->device) + (size_t)sector * SIM_SECTOR_SIZE, SIM_SECTOR_SIZE);
        sim_fault_happened(sim, SIM_FAULT_SECTOR_GARBLED);
        pick = 1;
    }
    sim_block_free_versions(block->versions[sector]);
    block->versions[sector] = NULL;
    return pick > 0;
}

static bool sim_block_is_zero(const struct sim_block *block)
{
    if (block->device == NULL) {
        return true;
    }
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        if (memcmp(sim_block_device(block, sector), sim_block_zeros, SIM_SECTOR_SIZE) != 0) {
            return false;
        }
    }
    return true;
}

bool sim_block_settle(struct sim_block *block, struct sim_decider *decider, const char *path, uint64_t file_size)
{
    bool kept = false;
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        bool visible = sim_block_offset(block, sector) < file_size;
        if (visible && block->versions[sector] != NULL) {
            kept = sim_block_settle_sector(block, sector, decider, path) || kept;
        }
        sim_block_free_versions(block->versions[sector]);
        block->versions[sector] = NULL;
    }
    sim_page_release(block->cache);
    block->cache = sim_page_share(block->device);
    return kept || !sim_block_is_zero(block);
}

bool sim_block_tidy(struct sim_block *block)
{
    for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
        if (block->versions[sector] != NULL) {
            return false;
        }
    }
    if (block->device != block->cache &&
        memcmp(sim_page_bytes(block->device), sim_page_bytes(block->cache), IO_BLOCK_SIZE) == 0) {
        sim_block_device_is_cache(block);
    }
    return true;
}

void sim_block_clear_behind(struct sim_block *block, unsigned size)
{
    assert(block->device == block->cache && size <= IO_BLOCK_SIZE);
    if (block->cache != NULL) {
        sim_page_release(block->device);
        block->device = NULL;
        memset(sim_page_own(&block->cache) + size, 0, IO_BLOCK_SIZE - size);
        sim_block_device_is_cache(block);
    }
}

void sim_block_flip(struct sim_block *block, unsigned at, uint8_t bits)
{
    bool same = block->device == block->cache;
    sim_page_own(&block->device)[at] ^= bits;
    if (same) {
        sim_page_release(block->cache);
        block->cache = sim_page_share(block->device);
    }
}
