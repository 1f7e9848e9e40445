/* A loop: what is ready, and the turn that takes it. */
#ifndef SIM_SIM_LOOP_H
#define SIM_SIM_LOOP_H

#include "net/loop.h"
#include "sim/sim_host.h"

/* Something that has work in the next turn; inside the object that has it. */
struct sim_ready {
    struct list link; /* in the loop's ready list, or empty */
    void (*call)(struct sim_ready *ready);
};

struct sim_loop {
    struct loop loop; /* first: loop_ops cast */
    struct list link; /* the process's */
    struct sim_process *process;
    struct sim_event turn;
    struct list ready;
    bool in_turn;
    bool stopped;
    uint64_t turn_now_ms;
    struct loop_hook *hooks;
    struct loop_hook *hook_next; /* the one after the hook that runs */
    struct list timers;
    struct list due; /* timers that fire in the next turn, by deadline */
    struct sim_ready timed;
    struct list watches;
    struct list streams;
    struct list listeners;
    struct list posts;
    struct sim_ready posted;
};

struct loop *sim_loop_new(struct sim_process *process);
struct loop *sim_loop_first(struct sim_process *process);
void sim_loop_free(struct sim_loop *loop);
/* The process ends or loses its power: nothing is ready any more, and nothing becomes it. */
void sim_loop_silence(struct sim_loop *loop);
void sim_loop_resume(struct sim_loop *loop); /* a pause ends early */

struct sim_loop *sim_loop_of(struct loop *loop);
void sim_loop_init_ready(struct sim_ready *ready, void (*call)(struct sim_ready *ready));
/* Puts it into the next turn; once. Without effect when the process cannot run. */
void sim_loop_add_ready(struct sim_loop *loop, struct sim_ready *ready);

#endif
