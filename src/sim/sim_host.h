/* A machine and the processes that ran on it. */
#ifndef SIM_SIM_HOST_H
#define SIM_SIM_HOST_H

#include "sim/sim_disk.h"

enum sim_host_state {
    SIM_HOST_RUNNING,
    SIM_HOST_DARK,   /* sim_disk_cut_at took the power; the process does not know yet */
    SIM_HOST_KILLED, /* no process; the page cache is there */
    SIM_HOST_OFF     /* no process; the disk is undecided */
};

/* What sim_host_io and sim_host_loop belong to. Kept until sim_close, since owners close their objects later. */
struct sim_process {
    struct io io; /* first: io_ops cast */
    struct list link;
    struct sim_host *host;
    bool dead;
    struct list files;
    struct list queues;
    struct list loops; /* the first is sim_host_loop */
    unsigned handle_count;
};

struct sim_host {
    struct sim *sim;
    unsigned number; /* its place in sim->hosts */
    char *name;
    enum sim_host_state state;
    struct sim_disk disk;
    struct sim_process *process; /* the running one; NULL when stopped */
    struct list processes;
    struct rng rng;         /* what io_random gives */
    uint64_t boot_ns;       /* added to the world's time: monotonic clocks of two hosts have nothing in common */
    uint64_t mount;         /* of its disk: another one after each loss of power */
    int64_t wall_offset_ms; /* against the world's wall clock */
    uint64_t paused_until_ns;
    bool direct_refused;
    bool sheltered;
};

void sim_host_close(struct sim_host *host);
void sim_host_calm(struct sim_host *host);
void sim_host_take_power(struct sim_host *host); /* the moment of sim_disk_cut_at */
uint64_t sim_host_monotonic_ns(const struct sim_host *host);
/* True while events may reach the process. */
bool sim_host_is_live(const struct sim_process *process);

/* io_ops of a process: sim_io.c. */
extern const struct io_ops sim_io_ops;

/* For handles: their process is gone. */
int sim_host_raise_closed(const struct sim_process *process, const char *what);

#endif
