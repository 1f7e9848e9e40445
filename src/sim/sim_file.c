#include "sim/sim_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_crash.h"
#include "sim/sim_fault.h"
#include "sim/sim_folder.h"

static const struct file_ops sim_file_ops;

static struct sim_file *sim_file_of(struct file *file)
{
    return list_entry(file, struct sim_file, file);
}

/* 0 when the file can be used: its process lives and the host has power. */
static int sim_file_check(const struct sim_file *file)
{
    if (file->inode == NULL) {
        return sim_host_raise_closed(file->process, "file");
    }
    if (file->process->host->state != SIM_HOST_RUNNING) {
        return error_raise(HF_EIO, "%s: the power is gone", file->inode->path);
    }
    return 0;
}

/* ---- opening ---- */

static int sim_file_create(struct sim_disk *disk, const char *path, struct sim_inode **out)
{
    const char *name = NULL;
    struct sim_inode *folder = sim_folder_parent(disk, path, &name);
    if (folder == NULL) {
        return error_raise(HF_ENOTFOUND, "%s: no such folder", path);
    }
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_CREATE, path, 0, 0);
    bool effect = admission.verdict != SIM_VERDICT_DEAD && admission.verdict != SIM_VERDICT_FAIL;
    if (effect && sim_disk_free_blocks(disk) == 0) {
        return sim_disk_finish_with(disk, admission, sim_disk_raise_full(disk, path));
    }
    if (effect) {
        *out = sim_inode_new(disk, path, SIM_INODE_FILE);
        sim_folder_set(folder, name, *out);
    }
    return sim_disk_finish(disk, admission, SIM_DISK_CREATE, path);
}

static int sim_file_find(struct sim_disk *disk, const char *path, unsigned flags, struct sim_inode **out)
{
    struct sim_inode *inode = sim_folder_find(disk, path);
    if (inode == NULL && (flags & FILE_CREATE) != 0) {
        return sim_file_create(disk, path, out);
    }
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_OPEN, path, 0, 0);
    int rc = sim_disk_finish(disk, admission, SIM_DISK_OPEN, path);
    if (rc != 0) {
        return rc;
    }
    if (inode == NULL) {
        return error_raise(HF_ENOTFOUND, "%s: no such file", path);
    }
    if ((flags & FILE_CREATE) != 0 && (flags & FILE_EXCLUSIVE) != 0) {
        return error_raise(HF_EEXISTS, "%s: exists already", path);
    }
    if (inode->is_folder) {
        return error_raise(HF_EIO, "%s: is a folder", path);
    }
    *out = inode;
    return 0;
}

int sim_file_open(struct io *io, const char *path, unsigned flags, struct file **out)
{
    struct sim_process *process = list_entry(io, struct sim_process, io);
    struct sim_inode *inode = NULL;
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = process->dead ? sim_host_raise_closed(process, path) : sim_folder_canonical(path, canonical);
    if (rc == 0) {
        rc = sim_file_find(&process->host->disk, canonical, flags, &inode);
    }
    if (rc != 0) {
        return rc;
    }
    struct sim_file *file = memory_new(sizeof(*file));
    file->file.ops = &sim_file_ops;
    file->process = process;
    file->inode = inode;
    file->flags = process->host->direct_refused ? flags & ~(unsigned)FILE_DIRECT : flags;
    sim_inode_add_live(inode);
    list_append(&process->files, &file->link);
    process->handle_count++;
    *out = &file->file;
    return 0;
}

void sim_file_end(struct sim_file *file)
{
    struct sim_inode *inode = file->inode;
    if (inode == NULL) {
        return;
    }
    file->inode = NULL;
    if (inode->lock_holder == file) {
        inode->lock_holder = NULL;
    }
    sim_inode_drop_live(inode);
}

void sim_file_free(struct sim_file *file)
{
    sim_file_end(file);
    list_remove(&file->link);
    file->process->handle_count--;
    free(file);
}

static void sim_file_close(struct file *base)
{
    sim_file_free(sim_file_of(base));
}

static int sim_file_lock(struct file *base)
{
    struct sim_file *file = sim_file_of(base);
    int rc = sim_file_check(file);
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = file->inode;
    struct sim_admission admission = sim_disk_admit(inode->disk, SIM_DISK_OPEN, inode->path, 0, 0);
    rc = sim_disk_finish(inode->disk, admission, SIM_DISK_OPEN, inode->path);
    if (rc != 0) {
        return rc;
    }
    if (inode->lock_holder != NULL && inode->lock_holder != file) {
        return error_raise(HF_EBUSY, "%s: locked by another opener", inode->path);
    }
    inode->lock_holder = file;
    return 0;
}

static int sim_file_size(struct file *base, uint64_t *out)
{
    struct sim_file *file = sim_file_of(base);
    int rc = sim_file_check(file);
    if (rc == 0) {
        *out = file->inode->size;
    }
    return rc;
}

static bool sim_file_is_direct(const struct file *base)
{
    return (list_entry(base, const struct sim_file, file)->flags & FILE_DIRECT) != 0;
}

/* ---- checks that the kernel makes ---- */

static int sim_file_check_range(const struct sim_inode *inode, uint64_t offset, uint64_t size)
{
    if (offset > SIM_FILE_SIZE_MAX || size > SIM_FILE_SIZE_MAX - offset) {
        return error_raise(HF_ENOSPACE, "%s: %" PRIu64 " bytes at %" PRIu64 " go beyond the largest simulated file",
                           inode->path, size, offset);
    }
    return 0;
}

static int sim_file_check_access(const struct sim_file *file, enum file_flags needed, uint64_t offset,
                                 const void *memory, size_t size)
{
    int rc = sim_file_check(file);
    if (rc != 0) {
        return rc;
    }
    if ((file->flags & (unsigned)needed) == 0) {
        return error_raise(HF_EIO, "%s: not opened for this", file->inode->path);
    }
    bool aligned = offset % IO_BLOCK_SIZE == 0 && size % IO_BLOCK_SIZE == 0 && (uintptr_t)memory % IO_BLOCK_SIZE == 0;
    if ((file->flags & FILE_DIRECT) != 0 && !aligned) {
        return error_raise(HF_EINVALID, "%s: direct access is not aligned to %u", file->inode->path, IO_BLOCK_SIZE);
    }
    return 0;
}

int sim_file_check_write(const struct sim_file *file, uint64_t offset, const void *data, size_t size)
{
    return sim_file_check_access(file, FILE_WRITE, offset, data, size);
}

/* ---- blocking calls ---- */

static int sim_file_read(struct file *base, uint64_t offset, void *target, size_t size, size_t *got)
{
    struct sim_file *file = sim_file_of(base);
    *got = 0;
    int rc = sim_file_check_access(file, FILE_READ, offset, target, size);
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = file->inode;
    struct sim_admission admission = sim_disk_admit(inode->disk, SIM_DISK_READ, inode->path, offset, size);
    rc = sim_disk_finish(inode->disk, admission, SIM_DISK_READ, inode->path);
    if (rc == 0) {
        enum sim_view view = sim_file_is_direct(base) ? SIM_VIEW_DIRECT : SIM_VIEW_CACHE;
        *got = sim_inode_read(inode, view, offset, target, size);
    }
    return rc;
}

static int sim_file_write_blocking(struct file *base, enum sim_write_kind kind, uint64_t offset, const void *data,
                                   size_t size)
{
    struct sim_file *file = sim_file_of(base);
    int rc = sim_file_check_write(file, offset, data, size);
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = file->inode;
    enum sim_disk_kind disk_kind = kind == SIM_WRITE_DURABLE ? SIM_DISK_DURABLE : SIM_DISK_WRITE;
    struct sim_admission admission = sim_disk_admit(inode->disk, disk_kind, inode->path, offset, size);
    return sim_file_carry_out_write(inode, kind, offset, data, size, admission);
}

static int sim_file_write(struct file *file, uint64_t offset, const void *data, size_t size)
{
    return sim_file_write_blocking(file, SIM_WRITE_PLAIN, offset, data, size);
}

static int sim_file_write_durable(struct file *file, uint64_t offset, const void *data, size_t size)
{
    return sim_file_write_blocking(file, SIM_WRITE_DURABLE, offset, data, size);
}

static int sim_file_sync(struct file *base)
{
    struct sim_file *file = sim_file_of(base);
    int rc = sim_file_check(file);
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = file->inode;
    struct sim_admission admission = sim_disk_admit(inode->disk, SIM_DISK_SYNC, inode->path, 0, 0);
    return sim_file_carry_out_sync(inode, inode->disk->write_last, admission);
}

static int sim_file_truncate(struct file *base, uint64_t size)
{
    struct sim_file *file = sim_file_of(base);
    int rc = sim_file_check(file);
    if (rc == 0) {
        rc = sim_file_check_range(file->inode, size, 0);
    }
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = file->inode;
    struct sim_disk *disk = inode->disk;
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_TRUNCATE, inode->path, size, 0);
    if (admission.verdict != SIM_VERDICT_FAIL && admission.verdict != SIM_VERDICT_DEAD) {
        sim_inode_truncate(inode, sim_disk_next_write(disk), size);
    }
    return sim_disk_finish(disk, admission, SIM_DISK_TRUNCATE, inode->path);
}

static int sim_file_preallocate(struct file *base, uint64_t offset, uint64_t size)
{
    struct sim_file *file = sim_file_of(base);
    int rc = sim_file_check(file);
    if (rc == 0) {
        rc = sim_file_check_range(file->inode, offset, size);
    }
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = file->inode;
    struct sim_disk *disk = inode->disk;
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_PREALLOCATE, inode->path, offset, size);
    if (admission.verdict != SIM_VERDICT_FAIL && admission.verdict != SIM_VERDICT_DEAD) {
        if (sim_inode_missing_blocks(inode, offset, size) > sim_disk_free_blocks(disk)) {
            return sim_disk_finish_with(disk, admission, sim_disk_raise_full(disk, inode->path));
        }
        sim_inode_preallocate(inode, sim_disk_next_write(disk), offset, size);
    }
    return sim_disk_finish(disk, admission, SIM_DISK_PREALLOCATE, inode->path);
}

/* ---- writes and syncs ---- */

static uint64_t sim_file_sector_piece(uint64_t offset, uint64_t left)
{
    uint64_t piece = SIM_SECTOR_SIZE - offset % SIM_SECTOR_SIZE;
    return piece < left ? piece : left;
}

/* A write that fails with EIO: any of its sectors was written, and of a durable one the device has any of those. */
static void sim_file_write_some_sectors(struct sim_inode *inode, enum sim_write_kind kind, uint64_t offset,
                                        const uint8_t *data, uint64_t size)
{
    struct sim *sim = inode->disk->sim;
    uint32_t percent = (uint32_t)rng_below(&sim->rng, 101);
    uint64_t write = sim_disk_next_write(inode->disk);
    struct sim_decider decider = sim_crash_sync_decider(inode->disk);
    for (uint64_t done = 0; done < size;) {
        uint64_t piece = sim_file_sector_piece(offset + done, size - done);
        bool fits = sim_inode_missing_blocks(inode, offset + done, piece) <= sim_disk_free_blocks(inode->disk);
        if (fits && rng_chance(&sim->rng, percent, 100)) {
            sim_inode_write(inode, write, offset + done, data + done, (size_t)piece);
            if (kind == SIM_WRITE_DURABLE) {
                sim_inode_drop_range(inode, offset + done, piece, &decider);
            }
        }
        done += piece;
    }
    sim_crash_decider_close(&decider);
}

/* The device is full: what fits in front is written. */
static int sim_file_write_what_fits(struct sim_inode *inode, uint64_t offset, const uint8_t *data, uint64_t size)
{
    uint64_t write = sim_disk_next_write(inode->disk);
    for (uint64_t done = 0; done < size;) {
        uint64_t piece = sim_file_sector_piece(offset + done, size - done);
        if (sim_inode_missing_blocks(inode, offset + done, piece) > sim_disk_free_blocks(inode->disk)) {
            break;
        }
        sim_inode_write(inode, write, offset + done, data + done, (size_t)piece);
        done += piece;
    }
    return sim_disk_raise_full(inode->disk, inode->path);
}

/* By chance another block of the file, at the same place in the block; the true offset when there is none. */
static uint64_t sim_file_misdirect(const struct sim_inode *inode, uint64_t offset, uint64_t size)
{
    struct sim *sim = inode->disk->sim;
    uint64_t inside = offset % IO_BLOCK_SIZE;
    if (!sim_chance(sim, sim->profile.misdirect_ppm) || inode->size < inside + size) {
        return offset;
    }
    uint64_t places = (inode->size - inside - size) / IO_BLOCK_SIZE + 1;
    uint64_t target = rng_below(&sim->rng, places) * IO_BLOCK_SIZE + inside;
    bool fits = sim_inode_missing_blocks(inode, target, size) <= sim_disk_free_blocks(inode->disk);
    if (!fits || target == offset) {
        return offset;
    }
    sim_fault_happened(sim, SIM_FAULT_MISDIRECTED_WRITE);
    sim_trace(sim, inode->disk->host, "misdirected to %" PRIu64, target);
    return target;
}

int sim_file_carry_out_write(struct sim_inode *inode, enum sim_write_kind kind, uint64_t offset, const void *data,
                             size_t size, struct sim_admission admission)
{
    struct sim_disk *disk = inode->disk;
    enum sim_disk_kind disk_kind = kind == SIM_WRITE_DURABLE ? SIM_DISK_DURABLE : SIM_DISK_WRITE;
    bool nothing = admission.verdict == SIM_VERDICT_DEAD ||
                   (admission.verdict == SIM_VERDICT_FAIL && admission.error == HF_ENOSPACE);
    if (size == 0 || nothing) {
        return sim_disk_finish(disk, admission, disk_kind, inode->path);
    }
    int rc = sim_file_check_range(inode, offset, size);
    if (rc == 0 && admission.verdict == SIM_VERDICT_FAIL) {
        sim_file_write_some_sectors(inode, kind, offset, data, size);
        return sim_disk_finish(disk, admission, disk_kind, inode->path);
    }
    if (rc == 0 && sim_inode_missing_blocks(inode, offset, size) > sim_disk_free_blocks(disk)) {
        rc = sim_file_write_what_fits(inode, offset, data, size);
    }
    if (rc != 0) {
        return sim_disk_finish_with(disk, admission, rc);
    }
    uint64_t target = sim_file_misdirect(inode, offset, size);
    sim_inode_write(inode, sim_disk_next_write(disk), target, data, size);
    if (kind == SIM_WRITE_DURABLE && admission.verdict != SIM_VERDICT_DURING) {
        sim_inode_commit_range(inode, target, size);
    }
    return sim_disk_finish(disk, admission, disk_kind, inode->path);
}

int sim_file_carry_out_sync(struct sim_inode *inode, uint64_t covers, struct sim_admission admission)
{
    if (admission.verdict == SIM_VERDICT_GO || admission.verdict == SIM_VERDICT_AFTER) {
        sim_inode_commit(inode, covers);
    } else if (admission.verdict == SIM_VERDICT_FAIL) {
        struct sim_decider decider = sim_crash_sync_decider(inode->disk);
        sim_inode_drop(inode, covers, &decider);
        sim_crash_decider_close(&decider);
    }
    return sim_disk_finish(inode->disk, admission, SIM_DISK_SYNC, inode->path);
}

static const struct file_ops sim_file_ops = {
    .close = sim_file_close,
    .lock = sim_file_lock,
    .size = sim_file_size,
    .truncate = sim_file_truncate,
    .preallocate = sim_file_preallocate,
    .read = sim_file_read,
    .write = sim_file_write,
    .write_durable = sim_file_write_durable,
    .sync = sim_file_sync,
    .is_direct = sim_file_is_direct,
};
