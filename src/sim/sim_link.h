/* What lies between two hosts, per direction. */
#ifndef SIM_SIM_LINK_H
#define SIM_SIM_LINK_H

#include "sim/sim_host.h"

struct sim_link_state {
    struct sim *sim;
    unsigned from;
    unsigned to;
    bool has_own;
    struct sim_link own;   /* instead of the profile's */
    bool cut;              /* until sim_link_heal */
    uint64_t cut_until_ns; /* by weather */
    struct sim_event heal;
    uint64_t ordinal_delivered; /* of the newest connection that delivered bytes this way */
};

struct sim_link_state *sim_link_state(struct sim_host *from, struct sim_host *to);
const struct sim_link *sim_link_of(struct sim_host *from, struct sim_host *to);
uint64_t sim_link_delay_ns(struct sim *sim, const struct sim_link *link);
/* Cut for a while, by weather. */
void sim_link_cut_for(struct sim_host *from, struct sim_host *to, uint64_t duration_ns);
void sim_link_heal_all(struct sim *sim);
void sim_link_calm(struct sim *sim); /* heals all, and no link has options of its own */
void sim_link_close_all(struct sim *sim);

#endif
