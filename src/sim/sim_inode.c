#include "sim/sim_inode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_crash.h"
#include "sim/sim_disk.h"
#include "sim/sim_fault.h"

struct sim_inode *sim_inode_new(struct sim_disk *disk, const char *path, enum sim_inode_kind kind)
{
    struct sim_inode *inode = memory_new(sizeof(*inode));
    inode->disk = disk;
    inode->number = ++disk->inode_number_last;
    inode->path = text_copy(path);
    inode->is_folder = kind == SIM_INODE_FOLDER;
    list_init(&inode->dirty);
    list_append(&disk->inodes, &inode->link);
    return inode;
}

static uint64_t sim_inode_charge(const struct sim_inode *inode)
{
    uint64_t charge = 0;
    for (size_t i = 0; i < inode->block_count; i++) {
        charge += inode->blocks[i] != NULL && !inode->blocks[i]->released;
    }
    return charge;
}

static void sim_inode_free_block(struct sim_inode *inode, struct sim_block *block)
{
    list_remove(&block->link);
    inode->blocks[block->number] = NULL;
    sim_block_free(block);
}

void sim_inode_free(struct sim_inode *inode)
{
    for (size_t i = 0; i < inode->block_count; i++) {
        if (inode->blocks[i] != NULL) {
            sim_inode_free_block(inode, inode->blocks[i]);
        }
    }
    list_remove(&inode->link);
    free(inode->blocks);
    free(inode->path);
    free(inode);
}

struct sim_inode *sim_inode_copy(const struct sim_inode *inode, struct sim_disk *disk)
{
    struct sim_inode *copy = memory_new(sizeof(*copy));
    *copy = *inode;
    copy->disk = disk;
    copy->path = text_copy(inode->path);
    copy->live = copy->held = 0;
    copy->lock_holder = NULL;
    copy->visible = copy->device = (struct sim_entries){0};
    list_init(&copy->dirty);
    list_append(&disk->inodes, &copy->link);
    copy->blocks = memory_new(inode->block_count * sizeof(*copy->blocks));
    for (size_t i = 0; i < inode->block_count; i++) {
        const struct sim_block *block = inode->blocks[i];
        copy->blocks[i] = block != NULL ? sim_block_copy(block) : NULL;
        if (block != NULL && !list_empty(&block->link)) {
            list_append(&copy->dirty, &copy->blocks[i]->link);
        }
    }
    return copy;
}

void sim_inode_set_path(struct sim_inode *inode, const char *path)
{
    char *copy = text_copy(path);
    free(inode->path);
    inode->path = copy;
}

/* ---- uses ---- */

static void sim_inode_collect(struct sim_inode *inode)
{
    if (inode->live == 0 && inode->held == 0 && inode != inode->disk->root) {
        assert(!inode->is_folder); /* folders are never unlinked; a power loss sweeps them */
        sim_inode_free(inode);
    }
}

void sim_inode_add_live(struct sim_inode *inode)
{
    inode->live++;
}

void sim_inode_drop_live(struct sim_inode *inode)
{
    assert(inode->live > 0);
    inode->live--;
    if (inode->live == 0) {
        inode->disk->block_used -= inode->block_charged;
        inode->block_charged = 0;
        sim_inode_collect(inode);
    }
}

void sim_inode_add_held(struct sim_inode *inode)
{
    inode->held++;
}

void sim_inode_drop_held(struct sim_inode *inode)
{
    assert(inode->held > 0);
    inode->held--;
    sim_inode_collect(inode);
}

/* ---- reading ---- */

static const uint8_t *sim_inode_sector(const struct sim_block *block, enum sim_view view, unsigned sector)
{
    /* A direct read first flushes what is dirty, so only what a failed sync dropped looks different past the cache. */
    if (view == SIM_VIEW_DIRECT && block->versions[sector] == NULL) {
        return sim_block_device(block, sector);
    }
    return sim_block_cache(block, sector);
}

size_t sim_inode_read(const struct sim_inode *inode, enum sim_view view, uint64_t offset, void *target, size_t size)
{
    if (offset >= inode->size) {
        return 0;
    }
    size_t total = size < inode->size - offset ? size : (size_t)(inode->size - offset);
    for (size_t done = 0; done < total;) {
        uint64_t position = offset + done;
        size_t at = (size_t)(position % SIM_SECTOR_SIZE);
        size_t piece = SIM_SECTOR_SIZE - at < total - done ? SIM_SECTOR_SIZE - at : total - done;
        uint64_t number = position / IO_BLOCK_SIZE;
        const struct sim_block *block = number < inode->block_count ? inode->blocks[number] : NULL;
        if (block == NULL) {
            memset((uint8_t *)target + done, 0, piece);
        } else {
            unsigned sector = (unsigned)(position % IO_BLOCK_SIZE / SIM_SECTOR_SIZE);
            memcpy((uint8_t *)target + done, sim_inode_sector(block, view, sector) + at, piece);
        }
        done += piece;
    }
    return total;
}

/* ---- changing ---- */

static uint64_t sim_inode_block_end(uint64_t offset, uint64_t size)
{
    return (offset + size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE;
}

uint64_t sim_inode_missing_blocks(const struct sim_inode *inode, uint64_t offset, uint64_t size)
{
    uint64_t missing = 0;
    for (uint64_t i = offset / IO_BLOCK_SIZE; size > 0 && i < sim_inode_block_end(offset, size); i++) {
        missing += i >= inode->block_count || inode->blocks[i] == NULL || inode->blocks[i]->released;
    }
    return missing;
}

static void sim_inode_mark_dirty(struct sim_inode *inode, struct sim_block *block)
{
    if (list_empty(&block->link)) {
        list_append(&inode->dirty, &block->link);
    }
}

static struct sim_block *sim_inode_allocate(struct sim_inode *inode, uint64_t number, uint64_t write)
{
    assert(number < SIM_FILE_SIZE_MAX / IO_BLOCK_SIZE);
    if (number >= inode->block_count) {
        size_t count = (size_t)number + 1 > inode->block_count * 2 ? (size_t)number + 1 : inode->block_count * 2;
        inode->blocks = memory_resize(inode->blocks, count * sizeof(*inode->blocks));
        memset(inode->blocks + inode->block_count, 0, (count - inode->block_count) * sizeof(*inode->blocks));
        inode->block_count = count;
    }
    struct sim_block *block = inode->blocks[number];
    bool charge = block == NULL || block->released;
    if (block == NULL) {
        block = sim_block_new(number, write);
        inode->blocks[number] = block;
    }
    block->released = false;
    if (charge && inode->live > 0) {
        inode->disk->block_used++;
        inode->block_charged++;
    }
    if (!block->allocation_durable) {
        block->allocated_at = write;
        sim_inode_mark_dirty(inode, block);
    }
    return block;
}

static void sim_inode_set_size(struct sim_inode *inode, uint64_t write, uint64_t size)
{
    if (inode->size == size) {
        return;
    }
    if (inode->size_count == SIM_SIZE_VERSION_MAX) {
        memmove(inode->sizes, inode->sizes + 1, (SIM_SIZE_VERSION_MAX - 1) * sizeof(inode->sizes[0]));
        inode->size_count--;
    }
    inode->sizes[inode->size_count++] = (struct sim_size_version){size, write};
    inode->size = size;
}

void sim_inode_write(struct sim_inode *inode, uint64_t write, uint64_t offset, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        uint64_t position = offset + done;
        unsigned at = (unsigned)(position % SIM_SECTOR_SIZE);
        size_t piece = SIM_SECTOR_SIZE - at < size - done ? SIM_SECTOR_SIZE - at : size - done;
        struct sim_block *block = sim_inode_allocate(inode, position / IO_BLOCK_SIZE, write);
        unsigned sector = (unsigned)(position % IO_BLOCK_SIZE / SIM_SECTOR_SIZE);
        sim_block_put(block, sector, write, at, (const uint8_t *)data + done, (unsigned)piece);
        sim_inode_mark_dirty(inode, block);
        done += piece;
    }
    if (size > 0 && offset + size > inode->size) {
        sim_inode_set_size(inode, write, offset + size);
    }
}

/* Zeros from `offset` to the end of its block. */
static void sim_inode_clear_tail(struct sim_inode *inode, uint64_t write, uint64_t offset)
{
    uint64_t number = offset / IO_BLOCK_SIZE;
    struct sim_block *block = number < inode->block_count ? inode->blocks[number] : NULL;
    if (block == NULL) {
        return;
    }
    for (uint64_t at = offset % IO_BLOCK_SIZE; at < IO_BLOCK_SIZE;) {
        unsigned piece = (unsigned)(SIM_SECTOR_SIZE - at % SIM_SECTOR_SIZE);
        sim_block_put(block, (unsigned)(at / SIM_SECTOR_SIZE), write, (unsigned)(at % SIM_SECTOR_SIZE), NULL, piece);
        at += piece;
    }
    sim_inode_mark_dirty(inode, block);
}

void sim_inode_truncate(struct sim_inode *inode, uint64_t write, uint64_t size)
{
    uint64_t first_gone = (size + IO_BLOCK_SIZE - 1) / IO_BLOCK_SIZE;
    if (size < inode->size && size % IO_BLOCK_SIZE != 0) {
        sim_inode_clear_tail(inode, write, size);
    }
    for (uint64_t i = first_gone; i < inode->block_count; i++) {
        struct sim_block *block = inode->blocks[i];
        if (block == NULL || (block->released && i * IO_BLOCK_SIZE >= inode->size)) {
            continue;
        }
        sim_inode_clear_tail(inode, write, i * IO_BLOCK_SIZE); /* again, where a failed sync dropped the first time */
        if (block->released) {
            continue;
        }
        block->released = true;
        block->allocation_durable = false;
        if (inode->live > 0) {
            inode->disk->block_used--;
            inode->block_charged--;
        }
    }
    sim_inode_set_size(inode, write, size);
}

void sim_inode_preallocate(struct sim_inode *inode, uint64_t write, uint64_t offset, uint64_t size)
{
    for (uint64_t i = offset / IO_BLOCK_SIZE; size > 0 && i < sim_inode_block_end(offset, size); i++) {
        sim_inode_allocate(inode, i, write);
    }
    if (offset + size > inode->size) {
        sim_inode_set_size(inode, write, offset + size);
    }
}

/* ---- durability ---- */

/* After a commit or a drop: forgets what needs no memory any more. */
static void sim_inode_tidy_block(struct sim_inode *inode, struct sim_block *block)
{
    if (!sim_block_tidy(block)) {
        return;
    }
    if (block->released && block->device == block->cache) {
        sim_inode_free_block(inode, block);
    } else if (block->allocation_durable || block->allocated_at == SIM_WRITE_NEVER) {
        list_remove(&block->link);
    }
}

void sim_inode_commit(struct sim_inode *inode, uint64_t write)
{
    list_each_safe (&inode->dirty, item) {
        struct sim_block *block = list_entry(item, struct sim_block, link);
        sim_block_commit_all(block, write);
        block->allocation_durable = block->allocation_durable || (!block->released && block->allocated_at <= write);
        sim_inode_tidy_block(inode, block);
    }
    unsigned covered = 0;
    while (covered < inode->size_count && inode->sizes[covered].write <= write) {
        inode->size_device = inode->sizes[covered].size;
        covered++;
    }
    memmove(inode->sizes, inode->sizes + covered, (inode->size_count - covered) * sizeof(inode->sizes[0]));
    inode->size_count -= covered;
}

static unsigned sim_inode_decide_size(const struct sim_inode *inode, unsigned count, struct sim_decider *decider)
{
    return count > 0 ? sim_crash_decide(decider, SIM_CHOICE_SIZE, inode->path, 0, count + 1) : 0;
}

void sim_inode_drop(struct sim_inode *inode, uint64_t write, struct sim_decider *decider)
{
    unsigned covered = 0;
    while (covered < inode->size_count && inode->sizes[covered].write <= write) {
        covered++;
    }
    unsigned pick = sim_inode_decide_size(inode, covered, decider);
    inode->size_device = pick > 0 ? inode->sizes[pick - 1].size : inode->size_device;
    memmove(inode->sizes, inode->sizes + covered, (inode->size_count - covered) * sizeof(inode->sizes[0]));
    inode->size_count -= covered;
    list_each_safe (&inode->dirty, item) {
        struct sim_block *block = list_entry(item, struct sim_block, link);
        for (unsigned sector = 0; sector < SIM_BLOCK_SECTORS; sector++) {
            sim_block_drop(block, sector, write, decider, inode->path);
        }
        if (!block->allocation_durable && block->allocated_at <= write) {
            block->allocated_at = SIM_WRITE_NEVER;
        }
        sim_inode_tidy_block(inode, block);
    }
}

struct sim_sector_range {
    uint64_t first;
    uint64_t end;
};

static struct sim_sector_range sim_inode_sectors(uint64_t offset, uint64_t size)
{
    return (struct sim_sector_range){offset / SIM_SECTOR_SIZE, (offset + size + SIM_SECTOR_SIZE - 1) / SIM_SECTOR_SIZE};
}

void sim_inode_commit_range(struct sim_inode *inode, uint64_t offset, uint64_t size)
{
    struct sim_sector_range range = sim_inode_sectors(offset, size);
    for (uint64_t i = range.first; i < range.end; i++) {
        struct sim_block *block = inode->blocks[i / SIM_BLOCK_SECTORS];
        if (block->allocation_durable) {
            sim_block_commit(block, (unsigned)(i % SIM_BLOCK_SECTORS), SIM_WRITE_NEVER - 1);
            sim_inode_tidy_block(inode, block);
        }
    }
}

void sim_inode_drop_range(struct sim_inode *inode, uint64_t offset, uint64_t size, struct sim_decider *decider)
{
    struct sim_sector_range range = sim_inode_sectors(offset, size);
    for (uint64_t i = range.first; i < range.end; i++) {
        struct sim_block *block = inode->blocks[i / SIM_BLOCK_SECTORS];
        sim_block_drop(block, (unsigned)(i % SIM_BLOCK_SECTORS), SIM_WRITE_NEVER - 1, decider, inode->path);
        sim_inode_tidy_block(inode, block);
    }
}

/* ---- power loss ---- */

void sim_inode_settle(struct sim_inode *inode, struct sim_decider *decider)
{
    unsigned pick = sim_inode_decide_size(inode, inode->size_count, decider);
    if (pick < inode->size_count) {
        sim_fault_happened(inode->disk->sim, SIM_FAULT_SIZE_LOST);
    }
    inode->size = inode->size_device = pick > 0 ? inode->sizes[pick - 1].size : inode->size_device;
    inode->size_count = 0;
    for (size_t i = 0; i < inode->block_count; i++) {
        struct sim_block *block = inode->blocks[i];
        if (block == NULL) {
            continue;
        }
        list_remove(&block->link);
        bool holds = sim_block_settle(block, decider, inode->path, inode->size);
        if (i * IO_BLOCK_SIZE >= inode->size || (!holds && !block->allocation_durable)) {
            sim_inode_free_block(inode, block);
            continue;
        }
        block->allocation_durable = true;
        block->released = false;
        uint64_t left = inode->size - i * IO_BLOCK_SIZE;
        if (left < IO_BLOCK_SIZE) { /* growing the file again must show zeros here */
            sim_block_clear_behind(block, (unsigned)left);
        }
    }
    inode->block_charged = sim_inode_charge(inode);
}

void sim_inode_consider(const struct sim_inode *inode, struct sim_decider *decider)
{
    sim_inode_decide_size(inode, inode->size_count, decider);
    for (size_t i = 0; i < inode->block_count; i++) {
        if (inode->blocks[i] != NULL) {
            sim_block_consider(inode->blocks[i], decider, inode->path);
        }
    }
}

int sim_inode_flip(struct sim_inode *inode, uint64_t offset, unsigned bit)
{
    assert(bit < 8);
    if (offset >= inode->size) {
        return error_raise(HF_ENOTFOUND, "%s: byte %llu lies behind the end", inode->path, (unsigned long long)offset);
    }
    uint64_t number = offset / IO_BLOCK_SIZE;
    struct sim_block *block = number < inode->block_count ? inode->blocks[number] : NULL;
    if (block == NULL) {
        block = sim_inode_allocate(inode, number, sim_disk_next_write(inode->disk));
    }
    sim_block_flip(block, (unsigned)(offset % IO_BLOCK_SIZE), (uint8_t)(1u << bit));
    return 0;
}
