/* Counting what really went wrong. */
#ifndef SIM_SIM_FAULT_H
#define SIM_SIM_FAULT_H

#include "sim/sim.h"

void sim_fault_happened(struct sim *sim, enum sim_fault fault);
void sim_fault_add(struct sim *sim, enum sim_fault fault, uint64_t count);

#endif
