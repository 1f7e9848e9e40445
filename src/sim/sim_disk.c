#include "sim/sim_disk.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sim/sim_crash.h"
#include "sim/sim_fault.h"
#include "sim/sim_folder.h"
#include "sim/sim_host.h"
#include "sim/sim_queue.h"

static const char *const sim_disk_kind_names[SIM_DISK_KIND_COUNT] = {
    [SIM_DISK_READ] = "read",
    [SIM_DISK_WRITE] = "write",
    [SIM_DISK_DURABLE] = "write durable",
    [SIM_DISK_SYNC] = "sync",
    [SIM_DISK_OPEN] = "open",
    [SIM_DISK_CREATE] = "create",
    [SIM_DISK_LIST] = "list",
    [SIM_DISK_RENAME] = "rename",
    [SIM_DISK_UNLINK] = "unlink",
    [SIM_DISK_TRUNCATE] = "truncate",
    [SIM_DISK_PREALLOCATE] = "preallocate",
    [SIM_DISK_DIRECTORY_SYNC] = "directory sync",
};

void sim_disk_init(struct sim_disk *disk, struct sim_host *host, uint64_t capacity_bytes)
{
    *disk = (struct sim_disk){.sim = host->sim, .host = host, .capacity_bytes = capacity_bytes};
    list_init(&disk->inodes);
    list_init(&disk->changes);
    list_init(&disk->requests);
    disk->root = sim_inode_new(disk, "/", SIM_INODE_FOLDER);
}

void sim_disk_destroy(struct sim_disk *disk)
{
    sim_queue_free_requests(disk);
    sim_folder_forget(disk);
    list_each_safe (&disk->inodes, item) {
        sim_inode_free(list_entry(item, struct sim_inode, link));
    }
}

const char *sim_disk_kind_name(enum sim_disk_kind kind)
{
    return sim_disk_kind_names[kind];
}

uint64_t sim_disk_next_write(struct sim_disk *disk)
{
    return ++disk->write_last;
}

/* ---- admission ---- */

static bool sim_disk_is_crash_point(enum sim_disk_kind kind)
{
    return kind != SIM_DISK_READ && kind != SIM_DISK_OPEN && kind != SIM_DISK_LIST;
}

/* 0, or the error that a plan has for this operation. */
static int sim_disk_planned_error(struct sim_disk *disk, enum sim_disk_kind kind, const char *path)
{
    int error = 0;
    for (unsigned i = 0; i < SIM_FAILURE_MAX; i++) {
        struct sim_failure *failure = &disk->failures[i];
        if (failure->plan.count == 0 || failure->plan.kind != kind || strstr(path, failure->path_part) == NULL) {
            continue;
        }
        if (failure->plan.skip > 0) {
            failure->plan.skip--;
            continue;
        }
        failure->plan.count -= failure->plan.count != UINT64_MAX;
        error = failure->plan.error;
    }
    return error;
}

static int sim_disk_chance_error(struct sim_disk *disk, enum sim_disk_kind kind)
{
    const struct sim_profile *profile = &disk->sim->profile;
    uint32_t ppm = 0;
    if (kind == SIM_DISK_READ) {
        ppm = profile->read_error_ppm;
    } else if (kind == SIM_DISK_WRITE || kind == SIM_DISK_DURABLE) {
        ppm = profile->write_error_ppm;
    } else if (kind == SIM_DISK_SYNC || kind == SIM_DISK_DIRECTORY_SYNC) {
        ppm = profile->sync_error_ppm;
    }
    return sim_chance(disk->sim, ppm) ? HF_EIO : 0;
}

static void sim_disk_count_error(struct sim_disk *disk, enum sim_disk_kind kind, int error)
{
    enum sim_fault fault = SIM_FAULT_OTHER_ERROR;
    if (error == HF_ENOSPACE) {
        fault = SIM_FAULT_NO_SPACE;
    } else if (kind == SIM_DISK_READ) {
        fault = SIM_FAULT_READ_ERROR;
    } else if (kind == SIM_DISK_WRITE || kind == SIM_DISK_DURABLE) {
        fault = SIM_FAULT_WRITE_ERROR;
    } else if (kind == SIM_DISK_SYNC) {
        fault = SIM_FAULT_SYNC_ERROR;
    }
    sim_fault_happened(disk->sim, fault);
}

static bool sim_disk_power_goes_now(struct sim_disk *disk, enum sim_disk_kind kind)
{
    if (!sim_disk_is_crash_point(kind) || disk->cut_left == 0) {
        return false;
    }
    disk->cut_left--;
    return disk->cut_left == 0;
}

struct sim_admission sim_disk_admit(struct sim_disk *disk, enum sim_disk_kind kind, const char *path, uint64_t offset,
                                    uint64_t size)
{
    struct sim_admission admission = {SIM_VERDICT_GO, 0};
    if (disk->host->state != SIM_HOST_RUNNING) {
        return (struct sim_admission){SIM_VERDICT_DEAD, HF_EIO};
    }
    disk->counts[kind]++;
    int error = sim_disk_planned_error(disk, kind, path);
    if (error == 0) {
        error = sim_disk_chance_error(disk, kind);
    }
    if (sim_disk_power_goes_now(disk, kind)) {
        bool during = disk->cut_mode == SIM_CUT_DURING;
        admission.verdict = during ? SIM_VERDICT_DURING : SIM_VERDICT_AFTER;
        admission.error = during ? HF_EIO : 0;
    } else if (error != 0) {
        admission = (struct sim_admission){SIM_VERDICT_FAIL, error};
        sim_disk_count_error(disk, kind, error);
    }
    static const char *const verdicts[] = {"", " fails", " with the power", " then the power goes", ""};
    sim_trace(disk->sim, disk->host, "%s %s %" PRIu64 "+%" PRIu64 "%s", sim_disk_kind_names[kind], path, offset, size,
              verdicts[admission.verdict]);
    return admission;
}

int sim_disk_finish_with(struct sim_disk *disk, struct sim_admission admission, int rc)
{
    if (admission.verdict == SIM_VERDICT_DURING || admission.verdict == SIM_VERDICT_AFTER) {
        sim_host_take_power(disk->host);
    }
    return rc;
}

int sim_disk_finish(struct sim_disk *disk, struct sim_admission admission, enum sim_disk_kind kind, const char *path)
{
    int rc = 0;
    switch (admission.verdict) {
    case SIM_VERDICT_GO:
    case SIM_VERDICT_AFTER:
        break;
    case SIM_VERDICT_FAIL:
        rc = error_raise(admission.error, "%s: %s: simulated failure", path, sim_disk_kind_names[kind]);
        break;
    case SIM_VERDICT_DURING:
    case SIM_VERDICT_DEAD:
        rc = error_raise(admission.error, "%s: %s: the power is gone", path, sim_disk_kind_names[kind]);
        break;
    }
    return sim_disk_finish_with(disk, admission, rc);
}

/* ---- space ---- */

uint64_t sim_disk_free_blocks(const struct sim_disk *disk)
{
    if (disk->capacity_bytes == 0) {
        return UINT64_MAX / IO_BLOCK_SIZE;
    }
    uint64_t capacity = disk->capacity_bytes / IO_BLOCK_SIZE;
    return capacity > disk->block_used ? capacity - disk->block_used : 0;
}

int sim_disk_raise_full(struct sim_disk *disk, const char *path)
{
    sim_fault_happened(disk->sim, SIM_FAULT_NO_SPACE);
    sim_trace(disk->sim, disk->host, "no space for %s", path);
    return error_raise(HF_ENOSPACE, "%s: no space left on the simulated device", path);
}

void sim_disk_set_capacity(struct sim_host *host, uint64_t bytes)
{
    host->disk.capacity_bytes = bytes;
}

uint64_t sim_disk_used_bytes(const struct sim_host *host)
{
    return host->disk.block_used * IO_BLOCK_SIZE;
}

/* ---- what the harness asks for ---- */

uint64_t sim_disk_count(const struct sim_host *host, enum sim_disk_kind kind)
{
    assert((unsigned)kind < SIM_DISK_KIND_COUNT);
    return host->disk.counts[kind];
}

uint64_t sim_disk_operation_count(const struct sim_host *host)
{
    uint64_t count = 0;
    for (unsigned kind = 0; kind < SIM_DISK_KIND_COUNT; kind++) {
        count += sim_disk_is_crash_point(kind) ? host->disk.counts[kind] : 0;
    }
    return count;
}

void sim_disk_cut_at(struct sim_host *host, uint64_t k, enum sim_cut mode)
{
    host->disk.cut_left = k;
    host->disk.cut_mode = mode;
}

void sim_disk_set_chooser(struct sim_host *host, sim_disk_chooser *chooser, void *arg)
{
    host->disk.chooser = chooser;
    host->disk.chooser_arg = arg;
}

uint64_t sim_disk_outcome_count(const struct sim_host *host)
{
    assert(host->state == SIM_HOST_OFF);
    struct sim_decider counter = sim_crash_counter((struct sim_disk *)&host->disk);
    sim_folder_consider(&host->disk, &counter);
    list_each (&host->disk.inodes, item) {
        sim_inode_consider(list_entry(item, struct sim_inode, link), &counter);
    }
    uint64_t count = counter.product;
    sim_crash_decider_close(&counter);
    return count;
}

void sim_disk_choose_outcome(struct sim_host *host, uint64_t index)
{
    host->disk.outcome = index;
    host->disk.outcome_set = true;
}

void sim_disk_fail(struct sim_host *host, const struct sim_disk_failure *failure)
{
    assert(failure->error < 0 && failure->count > 0);
    for (unsigned i = 0; i < SIM_FAILURE_MAX; i++) {
        struct sim_failure *slot = &host->disk.failures[i];
        if (slot->plan.count == 0) {
            slot->plan = *failure;
            slot->plan.path_part = NULL;
            const char *part = failure->path_part != NULL ? failure->path_part : "";
            snprintf(slot->path_part, sizeof(slot->path_part), "%s", part);
            return;
        }
    }
    assert(!"more than SIM_FAILURE_MAX failures are planned");
}

void sim_disk_fail_clear(struct sim_host *host)
{
    memset(host->disk.failures, 0, sizeof(host->disk.failures));
}

static int sim_disk_flip(struct sim_disk *disk, struct sim_inode *inode, uint64_t offset, unsigned bit)
{
    int rc = sim_inode_flip(inode, offset, bit);
    if (rc == 0) {
        sim_fault_happened(disk->sim, SIM_FAULT_BIT_FLIP);
        sim_trace(disk->sim, disk->host, "bit %u of byte %" PRIu64 " of %s flips", bit, offset, inode->path);
    }
    return rc;
}

int sim_disk_flip_bit(struct sim_host *host, const char *path, uint64_t offset, unsigned bit)
{
    char canonical[SIM_PATH_SIZE_MAX];
    int rc = sim_folder_canonical(path, canonical);
    if (rc != 0) {
        return rc;
    }
    struct sim_inode *inode = sim_folder_find(&host->disk, canonical);
    if (inode == NULL || inode->is_folder) {
        return error_raise(HF_ENOTFOUND, "%s: no such file on %s", canonical, host->name);
    }
    return sim_disk_flip(&host->disk, inode, offset, bit);
}

int sim_disk_flip_random_bit(struct sim_host *host, const char *path_part, char *path_out, uint64_t *offset_out)
{
    struct sim_disk *disk = &host->disk;
    struct sim_inode *chosen = NULL;
    uint64_t candidates = 0;
    list_each (&disk->inodes, item) {
        struct sim_inode *inode = list_entry(item, struct sim_inode, link);
        bool matches = path_part == NULL || strstr(inode->path, path_part) != NULL;
        if (inode->is_folder || inode->live == 0 || inode->size == 0 || !matches) {
            continue;
        }
        candidates++;
        if (rng_below(&disk->sim->rng, candidates) == 0) {
            chosen = inode;
        }
    }
    if (chosen == NULL) {
        return error_raise(HF_ENOTFOUND, "no file on %s has a byte to damage", host->name);
    }
    uint64_t offset = rng_below(&disk->sim->rng, chosen->size);
    if (path_out != NULL) {
        snprintf(path_out, SIM_PATH_SIZE_MAX, "%s", chosen->path);
    }
    if (offset_out != NULL) {
        *offset_out = offset;
    }
    return sim_disk_flip(disk, chosen, offset, (unsigned)rng_below(&disk->sim->rng, 8));
}

void sim_disk_stall(struct sim_host *host, uint64_t duration_ns)
{
    uint64_t until_ns = host->sim->now_ns + duration_ns;
    if (until_ns > host->disk.stall_until_ns) {
        host->disk.stall_until_ns = until_ns;
        sim_fault_happened(host->sim, SIM_FAULT_STALL);
        sim_trace(host->sim, host, "the disk stalls for %" PRIu64 " us", duration_ns / 1000);
    }
}

void sim_disk_wipe(struct sim_host *host)
{
    assert(host->state == SIM_HOST_KILLED || host->state == SIM_HOST_OFF);
    struct sim_disk *disk = &host->disk;
    sim_trace(host->sim, host, "the disk is wiped");
    sim_disk_destroy(disk);
    disk->block_used = 0;
    disk->root = sim_inode_new(disk, "/", SIM_INODE_FOLDER);
}
