/* Addresses. */
#ifndef SIM_SIM_NETWORK_H
#define SIM_SIM_NETWORK_H

#include "sim/sim_host.h"

struct sim_address {
    char name[SIM_PATH_SIZE_MAX]; /* without brackets */
    unsigned port;
};

/* HF_EINVALID with text when it is not <name>:<port>. */
int sim_network_parse(const char *text, struct sim_address *out);
/* The host that the name means to `asker`, or NULL. */
struct sim_host *sim_network_resolve(struct sim_host *asker, const char *name);
/* A listener opens under the name: from now on it means that host. HF_EINVALID when it means another. */
int sim_network_claim(struct sim_host *host, const char *name);
void sim_network_close(struct sim *sim);

#endif
