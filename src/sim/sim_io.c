/* What a process asks of its machine, files and queues aside: clocks, randomness, folders, names. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sim/sim_crash.h"
#include "sim/sim_file.h"
#include "sim/sim_folder.h"
#include "sim/sim_queue.h"

#define SIM_IO_WALL_START_MS 1735689600000ull /* 2025-01-01 00:00 UTC */

static struct sim_process *sim_io_process(struct io *io)
{
    return list_entry(io, struct sim_process, io);
}

/* Nothing: the world frees its processes. */
static void sim_io_close(struct io *io) {}

static uint64_t sim_io_monotonic_ns(struct io *io)
{
    return sim_host_monotonic_ns(sim_io_process(io)->host);
}

static uint64_t sim_io_wall_ms(struct io *io)
{
    const struct sim_host *host = sim_io_process(io)->host;
    return SIM_IO_WALL_START_MS + host->sim->now_ns / SIM_NS_PER_MS + (uint64_t)host->wall_offset_ms;
}

static void sim_io_random(struct io *io, void *target, size_t size)
{
    rng_fill(&sim_io_process(io)->host->rng, target, size);
}

/* Finds the process's disk and the canonical path; fails when the process is gone. */
static int sim_io_begin(struct io *io, const char *path, struct sim_disk **disk, char *canonical)
{
    struct sim_process *process = sim_io_process(io);
    if (process->dead) {
        return sim_host_raise_closed(process, path);
    }
    *disk = &process->host->disk;
    return sim_folder_canonical(path, canonical);
}

static bool sim_io_has_effect(struct sim_admission admission)
{
    return admission.verdict != SIM_VERDICT_FAIL && admission.verdict != SIM_VERDICT_DEAD;
}

/* ---- folders ---- */

static int sim_io_sync_folder(struct sim_disk *disk, struct sim_inode *folder)
{
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_DIRECTORY_SYNC, folder->path, 0, 0);
    if (admission.verdict == SIM_VERDICT_GO || admission.verdict == SIM_VERDICT_AFTER) {
        sim_folder_commit(folder);
    } else if (admission.verdict == SIM_VERDICT_FAIL) {
        struct sim_decider decider = sim_crash_sync_decider(disk);
        sim_folder_drop(folder, &decider);
        sim_crash_decider_close(&decider);
    }
    return sim_disk_finish(disk, admission, SIM_DISK_DIRECTORY_SYNC, folder->path);
}

static int sim_io_make_folder(struct sim_disk *disk, const char *path)
{
    struct sim_inode *there = sim_folder_find(disk, path);
    if (there != NULL) {
        return there->is_folder ? 0 : error_raise(HF_EEXISTS, "%s: is a file", path);
    }
    const char *name = NULL;
    struct sim_inode *folder = sim_folder_parent(disk, path, &name);
    if (folder == NULL) {
        return error_raise(HF_EIO, "%s: its parent is not a folder", path);
    }
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_CREATE, path, 0, 0);
    if (sim_io_has_effect(admission)) {
        if (sim_disk_free_blocks(disk) == 0) {
            return sim_disk_finish_with(disk, admission, sim_disk_raise_full(disk, path));
        }
        sim_folder_set(folder, name, sim_inode_new(disk, path, SIM_INODE_FOLDER));
    }
    int rc = sim_disk_finish(disk, admission, SIM_DISK_CREATE, path);
    return rc != 0 ? rc : sim_io_sync_folder(disk, folder);
}

static int sim_io_directory_create(struct io *io, const char *path)
{
    struct sim_disk *disk = NULL;
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = sim_io_begin(io, path, &disk, canonical);
    for (size_t i = 1; rc == 0 && canonical[1] != '\0'; i++) {
        char byte = canonical[i];
        if (byte != '/' && byte != '\0') {
            continue;
        }
        canonical[i] = '\0';
        rc = sim_io_make_folder(disk, canonical);
        canonical[i] = byte;
        if (byte == '\0') {
            break;
        }
    }
    return rc;
}

static int sim_io_find_folder(struct sim_disk *disk, const char *path, struct sim_inode **out)
{
    *out = sim_folder_find(disk, path);
    if (*out == NULL) {
        return error_raise(HF_ENOTFOUND, "%s: no such folder", path);
    }
    return (*out)->is_folder ? 0 : error_raise(HF_EIO, "%s: is not a folder", path);
}

static int sim_io_directory_sync(struct io *io, const char *path)
{
    struct sim_disk *disk = NULL;
    struct sim_inode *folder = NULL;
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = sim_io_begin(io, path, &disk, canonical);
    if (rc == 0) {
        rc = sim_io_find_folder(disk, canonical, &folder);
    }
    return rc != 0 ? rc : sim_io_sync_folder(disk, folder);
}

/* visit may change the folder, so it walks a copy. */
static int sim_io_visit(const struct sim_inode *folder, directory_visit *visit, void *arg)
{
    size_t count = folder->visible.count;
    struct sim_entry *entries = memory_new(count * sizeof(*entries));
    bool *is_folder = memory_new(count * sizeof(*is_folder));
    for (size_t i = 0; i < count; i++) {
        entries[i].name = text_copy(folder->visible.items[i].name);
        is_folder[i] = folder->visible.items[i].inode->is_folder;
    }
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        if (rc == 0) {
            rc = visit(arg, entries[i].name, is_folder[i]);
        }
        free(entries[i].name);
    }
    free(is_folder);
    free(entries);
    return rc;
}

static int sim_io_directory_list(struct io *io, const char *path, directory_visit *visit, void *arg)
{
    struct sim_disk *disk = NULL;
    struct sim_inode *folder = NULL;
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = sim_io_begin(io, path, &disk, canonical);
    if (rc == 0) {
        struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_LIST, canonical, 0, 0);
        rc = sim_disk_finish(disk, admission, SIM_DISK_LIST, canonical);
    }
    if (rc == 0) {
        rc = sim_io_find_folder(disk, canonical, &folder);
    }
    return rc != 0 ? rc : sim_io_visit(folder, visit, arg);
}

static int sim_io_directory_free_bytes(struct io *io, const char *path, uint64_t *out)
{
    struct sim_disk *disk = NULL;
    struct sim_inode *folder = NULL;
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = sim_io_begin(io, path, &disk, canonical);
    if (rc == 0) {
        rc = sim_io_find_folder(disk, canonical, &folder);
    }
    if (rc == 0) {
        *out = sim_disk_free_blocks(disk) * IO_BLOCK_SIZE;
    }
    return rc;
}

static uint64_t sim_io_directory_mount(struct io *io, const char *path)
{
    struct sim_disk *disk = NULL;
    struct sim_inode *folder = NULL;
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = sim_io_begin(io, path, &disk, canonical);
    rc = rc == 0 ? sim_io_find_folder(disk, canonical, &folder) : rc;
    return rc == 0 ? sim_io_process(io)->host->mount : 0;
}

/* ---- names ---- */

static int sim_io_check_rename(struct sim_disk *disk, const char *from, const char *to)
{
    const char *name = NULL;
    struct sim_inode *source = sim_folder_find(disk, from);
    if (source == NULL || source == disk->root) {
        return error_raise(HF_ENOTFOUND, "%s: cannot be renamed: not there", from);
    }
    if (sim_folder_parent(disk, to, &name) == NULL) {
        return error_raise(HF_ENOTFOUND, "%s: no such folder", to);
    }
    struct sim_inode *target = sim_folder_find(disk, to);
    if (target != NULL && target != source && (target->is_folder || source->is_folder)) {
        return error_raise(HF_EEXISTS, "%s: only a file replaces a file", to);
    }
    size_t length = strlen(from);
    if (strncmp(to, from, length) == 0 && to[length] == '/') {
        return error_raise(HF_EINVALID, "%s: lies inside %s", to, from);
    }
    return 0;
}

static int sim_io_path_rename(struct io *io, const char *from, const char *to)
{
    struct sim_disk *disk = NULL;
    char source[SIM_PATH_SIZE_MAX];
    char target[SIM_PATH_SIZE_MAX];
    int rc = sim_io_begin(io, from, &disk, source);
    if (rc == 0) {
        rc = sim_io_begin(io, to, &disk, target);
    }
    if (rc == 0) {
        rc = sim_io_check_rename(disk, source, target);
    }
    if (rc != 0) {
        return rc;
    }
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_RENAME, target, 0, 0);
    if (sim_io_has_effect(admission)) {
        const char *from_name = NULL;
        const char *to_name = NULL;
        struct sim_inode *from_folder = sim_folder_parent(disk, source, &from_name);
        struct sim_inode *to_folder = sim_folder_parent(disk, target, &to_name);
        sim_folder_rename(from_folder, from_name, to_folder, to_name);
    }
    return sim_disk_finish(disk, admission, SIM_DISK_RENAME, target);
}

static int sim_io_path_unlink(struct io *io, const char *path)
{
    struct sim_disk *disk = NULL;
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = sim_io_begin(io, path, &disk, canonical);
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = sim_folder_find(disk, canonical);
    if (inode == NULL) {
        return error_raise(HF_ENOTFOUND, "%s: no such file", canonical);
    }
    if (inode->is_folder) {
        return error_raise(HF_EIO, "%s: is a folder", canonical);
    }
    struct sim_admission admission = sim_disk_admit(disk, SIM_DISK_UNLINK, canonical, 0, 0);
    if (sim_io_has_effect(admission)) {
        const char *name = NULL;
        struct sim_inode *folder = sim_folder_parent(disk, canonical, &name);
        sim_folder_set(folder, name, NULL);
    }
    return sim_disk_finish(disk, admission, SIM_DISK_UNLINK, canonical);
}

const struct io_ops sim_io_ops = {
    .name = "sim",
    .close = sim_io_close,
    .monotonic_ns = sim_io_monotonic_ns,
    .wall_ms = sim_io_wall_ms,
    .random = sim_io_random,
    .directory_create = sim_io_directory_create,
    .directory_sync = sim_io_directory_sync,
    .directory_list = sim_io_directory_list,
    .directory_free_bytes = sim_io_directory_free_bytes,
    .directory_mount = sim_io_directory_mount,
    .path_rename = sim_io_path_rename,
    .path_unlink = sim_io_path_unlink,
    .file_open = sim_file_open,
    .queue_open = sim_queue_open,
};
