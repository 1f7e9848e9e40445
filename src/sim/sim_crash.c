#include "sim/sim_crash.h"

#include <assert.h>

#include "sim/sim_disk.h"
#include "sim/sim_fault.h"
#include "sim/sim_folder.h"
#include "sim/sim_queue.h"

#define SIM_CRASH_KEPT 1u
#define SIM_CRASH_LOST 2u

/* Everything, nothing, or a subset with a bias of its own: the extremes are states that a fair coin never shows. */
static uint32_t sim_crash_draw_bias(struct sim *sim)
{
    switch (rng_below(&sim->rng, 4)) {
    case 0:
        return 0;
    case 1:
        return 100;
    default:
        return (uint32_t)rng_between(&sim->rng, 5, 95);
    }
}

/* By the caller's chooser or by chance. */
static struct sim_decider sim_crash_free_decider(struct sim_disk *disk)
{
    struct sim_decider decider = {.disk = disk, .mode = SIM_DECIDE_CHOOSER};
    if (disk->chooser == NULL) {
        decider.mode = SIM_DECIDE_RANDOM;
        for (unsigned kind = 0; kind < 3; kind++) {
            decider.keep_percent[kind] = sim_crash_draw_bias(disk->sim);
        }
    }
    return decider;
}

struct sim_decider sim_crash_decider(struct sim_disk *disk)
{
    if (disk->outcome_set) {
        return (struct sim_decider){.disk = disk, .mode = SIM_DECIDE_OUTCOME, .index = disk->outcome};
    }
    return sim_crash_free_decider(disk);
}

struct sim_decider sim_crash_sync_decider(struct sim_disk *disk)
{
    struct sim_decider decider = sim_crash_free_decider(disk);
    decider.at_sync_failure = true;
    return decider;
}

struct sim_decider sim_crash_counter(struct sim_disk *disk)
{
    return (struct sim_decider){.disk = disk, .mode = SIM_DECIDE_COUNT, .product = 1};
}

void sim_crash_decider_close(struct sim_decider *decider)
{
    size_t position = 0;
    uint64_t write = 0;
    void *value = NULL;
    while (map_next(&decider->writes, &position, &write, &value)) {
        if ((uintptr_t)value == (SIM_CRASH_KEPT | SIM_CRASH_LOST)) {
            sim_fault_happened(decider->disk->sim, SIM_FAULT_WRITE_TORN);
        }
    }
    map_close(&decider->writes);
}

static unsigned sim_crash_decide_by_chance(struct sim_decider *decider, enum sim_choice_kind kind,
                                           unsigned alternatives)
{
    uint32_t percent = decider->keep_percent[kind];
    if (percent == 0 || percent == 100) {
        return percent == 0 ? 0 : alternatives - 1;
    }
    struct rng *rng = &decider->disk->sim->rng;
    return rng_chance(rng, percent, 100) ? alternatives - 1 : (unsigned)rng_below(rng, alternatives - 1);
}

unsigned sim_crash_decide(struct sim_decider *decider, enum sim_choice_kind kind, const char *path, uint64_t offset,
                          unsigned alternatives)
{
    assert(alternatives >= 2);
    unsigned pick = 0;
    switch (decider->mode) {
    case SIM_DECIDE_COUNT:
        if (decider->product > UINT64_MAX / alternatives) {
            decider->product = UINT64_MAX;
        } else {
            decider->product *= alternatives;
        }
        break;
    case SIM_DECIDE_OUTCOME:
        pick = (unsigned)(decider->index % alternatives);
        decider->index /= alternatives;
        break;
    case SIM_DECIDE_CHOOSER: {
        struct sim_choice choice = {kind, path, offset, alternatives, decider->at_sync_failure};
        pick = decider->disk->chooser(decider->disk->chooser_arg, &choice);
        assert(pick < alternatives);
        break;
    }
    case SIM_DECIDE_RANDOM:
        pick = sim_crash_decide_by_chance(decider, kind, alternatives);
        break;
    }
    return pick;
}

bool sim_crash_garbles(struct sim_decider *decider)
{
    struct sim *sim = decider->disk->sim;
    return decider->mode == SIM_DECIDE_RANDOM && sim_chance(sim, sim->profile.garble_ppm);
}

void sim_crash_tally(struct sim_decider *decider, uint64_t write, bool kept)
{
    if (decider->mode == SIM_DECIDE_COUNT) {
        return;
    }
    uintptr_t seen = (uintptr_t)map_get(&decider->writes, write);
    map_put(&decider->writes, write, (void *)(seen | (kept ? SIM_CRASH_KEPT : SIM_CRASH_LOST)));
}

void sim_crash_power_off(struct sim_disk *disk)
{
    list_each_safe (&disk->requests, item) {
        sim_queue_half_land(list_entry(item, struct sim_request, link));
    }
}

void sim_crash_settle(struct sim_disk *disk)
{
    assert(list_empty(&disk->requests));
    struct sim_decider decider = sim_crash_decider(disk);
    sim_folder_settle(disk, &decider);
    disk->block_used = 0;
    list_each (&disk->inodes, item) {
        struct sim_inode *inode = list_entry(item, struct sim_inode, link);
        sim_inode_settle(inode, &decider);
        disk->block_used += inode->block_charged;
    }
    sim_crash_decider_close(&decider);
    disk->outcome_set = false;
}
