/* What goes wrong by itself, as the profile says. */
#ifndef SIM_SIM_WEATHER_H
#define SIM_SIM_WEATHER_H

#include "sim/sim.h"

void sim_weather_init(struct sim *sim);
void sim_weather_stop(struct sim *sim);
void sim_weather_restart(struct sim *sim); /* after a change of profile */

#endif
