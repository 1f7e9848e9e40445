/* Deciding what is undecided: at a failed sync, and at the start after a power loss. */
#ifndef SIM_SIM_CRASH_H
#define SIM_SIM_CRASH_H

#include "base/map.h"
#include "sim/sim.h"

struct sim_disk;

enum sim_decider_mode { SIM_DECIDE_RANDOM, SIM_DECIDE_CHOOSER, SIM_DECIDE_OUTCOME, SIM_DECIDE_COUNT };

struct sim_decider {
    struct sim_disk *disk;
    enum sim_decider_mode mode;
    bool at_sync_failure;
    uint32_t keep_percent[3]; /* RANDOM: by kind of choice; how likely the newest is kept */
    uint64_t index;           /* OUTCOME: digits still to be used */
    uint64_t product;         /* COUNT */
    struct map writes;        /* per write: whether sectors of it were kept or lost; SIM_WRITE_… bits */
};

struct sim_decider sim_crash_decider(struct sim_disk *disk);
struct sim_decider sim_crash_sync_decider(struct sim_disk *disk); /* for a sync that fails */
struct sim_decider sim_crash_counter(struct sim_disk *disk);
void sim_crash_decider_close(struct sim_decider *decider); /* counts the torn writes */

/* Returns the alternative to take, 0 the oldest. alternatives >= 2. */
unsigned sim_crash_decide(struct sim_decider *decider, enum sim_choice_kind kind, const char *path, uint64_t offset,
                          unsigned alternatives);
/* True when an undecided sector is to become random bytes instead. */
bool sim_crash_garbles(struct sim_decider *decider);
/* A sector of the write survived or did not. */
void sim_crash_tally(struct sim_decider *decider, uint64_t write, bool kept);

/* The power is gone: the writes in flight become undecided. */
void sim_crash_power_off(struct sim_disk *disk);
/* Decides everything; nothing of the host's may be open. */
void sim_crash_settle(struct sim_disk *disk);

#endif
