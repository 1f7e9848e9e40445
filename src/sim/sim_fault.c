#include "sim/sim_fault.h"

#include <assert.h>

#include "sim/sim_world.h"

static const char *const sim_fault_names[SIM_FAULT_COUNT] = {
    [SIM_FAULT_READ_ERROR] = "read_error",
    [SIM_FAULT_WRITE_ERROR] = "write_error",
    [SIM_FAULT_SYNC_ERROR] = "sync_error",
    [SIM_FAULT_OTHER_ERROR] = "other_error",
    [SIM_FAULT_NO_SPACE] = "no_space",
    [SIM_FAULT_MISDIRECTED_WRITE] = "misdirected_write",
    [SIM_FAULT_BIT_FLIP] = "bit_flip",
    [SIM_FAULT_STALL] = "stall",
    [SIM_FAULT_SECTOR_LOST] = "sector_lost",
    [SIM_FAULT_SECTOR_GARBLED] = "sector_garbled",
    [SIM_FAULT_WRITE_TORN] = "write_torn",
    [SIM_FAULT_SIZE_LOST] = "size_lost",
    [SIM_FAULT_NAME_LOST] = "name_lost",
    [SIM_FAULT_DROPPED_BY_SYNC] = "dropped_by_sync",
    [SIM_FAULT_LATE_WRITE] = "late_write",
    [SIM_FAULT_KILL] = "kill",
    [SIM_FAULT_POWER_LOSS] = "power_loss",
    [SIM_FAULT_PAUSE] = "pause",
    [SIM_FAULT_CLOCK_JUMP] = "clock_jump",
    [SIM_FAULT_CONNECT_REFUSED] = "connect_refused",
    [SIM_FAULT_ACCEPT_RESET] = "accept_reset",
    [SIM_FAULT_RESET] = "reset",
    [SIM_FAULT_BYTES_LOST] = "bytes_lost",
    [SIM_FAULT_HALF_OPEN] = "half_open",
    [SIM_FAULT_LATE_BYTES] = "late_bytes",
    [SIM_FAULT_CUT] = "cut",
    [SIM_FAULT_PARTITION] = "partition",
    [SIM_FAULT_SLOW] = "slow",
    [SIM_FAULT_CHUNK] = "chunk",
    [SIM_FAULT_UNIT_LOST] = "unit_lost",
    [SIM_FAULT_UNIT_DUPLICATED] = "unit_duplicated",
    [SIM_FAULT_UNIT_REORDERED] = "unit_reordered",
};

const char *sim_fault_name(enum sim_fault fault)
{
    assert((unsigned)fault < SIM_FAULT_COUNT && sim_fault_names[fault] != NULL);
    return sim_fault_names[fault];
}

uint64_t sim_fault_count(const struct sim *sim, enum sim_fault fault)
{
    assert((unsigned)fault < SIM_FAULT_COUNT);
    return sim->fault_counts[fault];
}

void sim_fault_add(struct sim *sim, enum sim_fault fault, uint64_t count)
{
    sim->fault_counts[fault] += count;
}

void sim_fault_happened(struct sim *sim, enum sim_fault fault)
{
    sim_fault_add(sim, fault, 1);
}
