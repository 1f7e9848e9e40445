/* A file or a folder of a simulated disk: what processes see of it, what the device holds of it, and everything in
 * between that power loss may choose from.
 *
 *   cache    what readers see; always the newest
 *   device   what survives for certain
 *   versions contents or sizes that were seen since, each tagged with the number of the write that made it; the device
 *            may hold any of them by now, and a sync makes the newest one that it covers the device's
 * After a failed sync cache and device differ without a version: dropped. */
#ifndef SIM_SIM_INODE_H
#define SIM_SIM_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "io/io.h"
#include "sim/sim.h"
#include "sim/sim_block.h"

#define SIM_SIZE_VERSION_MAX 16u

struct sim_disk;
struct sim_file;

struct sim_size_version {
    uint64_t size;
    uint64_t write;
};

struct sim_entry {
    char *name;
    struct sim_inode *inode;
};
struct sim_entries {
    struct sim_entry *items; /* in byte order of the names */
    size_t count;
    size_t capacity;
};

struct sim_inode {
    struct list link; /* the disk's, by number */
    struct sim_disk *disk;
    uint64_t number;
    char *path; /* the last one by which it was visible */
    bool is_folder;
    unsigned live; /* visible names, open files, requests in flight */
    unsigned held; /* names on the device or undecided */
    /* file */
    uint64_t size;
    uint64_t size_device;
    struct sim_size_version sizes[SIM_SIZE_VERSION_MAX]; /* oldest first */
    unsigned size_count;
    struct sim_block **blocks; /* by number; NULL: a hole */
    size_t block_count;
    struct list dirty;      /* blocks with versions or with an allocation that is not durable */
    uint64_t block_charged; /* blocks counted as used */
    struct sim_file *lock_holder;
    /* folder */
    struct sim_entries visible;
    struct sim_entries device;
};

enum sim_inode_kind { SIM_INODE_FILE, SIM_INODE_FOLDER };
struct sim_inode *sim_inode_new(struct sim_disk *disk, const char *path, enum sim_inode_kind kind);
void sim_inode_free(struct sim_inode *inode); /* whatever the counts say; entries are the caller's */
struct sim_inode *sim_inode_copy(const struct sim_inode *inode, struct sim_disk *disk); /* without entries and counts */
void sim_inode_set_path(struct sim_inode *inode, const char *path);
/* Count uses. At the last live one its space is free; at the last of both it is gone. */
void sim_inode_add_live(struct sim_inode *inode);
void sim_inode_drop_live(struct sim_inode *inode);
void sim_inode_add_held(struct sim_inode *inode);
void sim_inode_drop_held(struct sim_inode *inode);

/* direct: past the cache. Returns how many bytes there were. */
enum sim_view { SIM_VIEW_CACHE, SIM_VIEW_DIRECT };
size_t sim_inode_read(const struct sim_inode *inode, enum sim_view view, uint64_t offset, void *target, size_t size);
uint64_t sim_inode_missing_blocks(const struct sim_inode *inode, uint64_t offset, uint64_t size);
/* These change the cache and leave the rest undecided; write is a new number from sim_disk_next_write. */
void sim_inode_write(struct sim_inode *inode, uint64_t write, uint64_t offset, const void *data, size_t size);
void sim_inode_truncate(struct sim_inode *inode, uint64_t write, uint64_t size);
void sim_inode_preallocate(struct sim_inode *inode, uint64_t write, uint64_t offset, uint64_t size);
/* A sync that covers the writes up to and including `write`. */
void sim_inode_commit(struct sim_inode *inode, uint64_t write);
/* A durable write's sectors. */
void sim_inode_commit_range(struct sim_inode *inode, uint64_t offset, uint64_t size);
/* The same calls, failed: the decider says what reached the device, and no later sync covers the rest. */
void sim_inode_drop(struct sim_inode *inode, uint64_t write, struct sim_decider *decider);
void sim_inode_drop_range(struct sim_inode *inode, uint64_t offset, uint64_t size, struct sim_decider *decider);
/* Power loss: everything undecided is decided, the cache becomes the device. */
void sim_inode_settle(struct sim_inode *inode, struct sim_decider *decider);
/* Asks the decider about everything undecided without deciding it. */
void sim_inode_consider(const struct sim_inode *inode, struct sim_decider *decider);
int sim_inode_flip(struct sim_inode *inode, uint64_t offset, unsigned bit);

#endif
