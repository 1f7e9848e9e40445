/* Listeners: connections wait here for the turn in which they are accepted. */
#ifndef SIM_SIM_LISTENER_H
#define SIM_SIM_LISTENER_H

#include "sim/sim_loop.h"

struct sim_stream;

struct sim_listener {
    struct listener listener; /* first: listener_ops cast */
    struct list link;         /* the loop's */
    struct sim_loop *loop;
    unsigned port;
    char *address;
    void (*accepted)(void *arg, struct stream *stream);
    void *arg;
    struct sim_ready ready;
    struct list waiting; /* streams, by their waiting link */
    bool in_call;        /* the callback runs: the memory stays until it returns */
    bool closed;
};

int sim_listener_listen(struct loop *loop, const char *address, void (*accepted)(void *arg, struct stream *stream),
                        void *arg, struct listener **out);
struct sim_listener *sim_listener_find(struct sim_host *host, unsigned port); /* NULL: nobody listens */
void sim_listener_offer(struct sim_listener *listener, struct sim_stream *stream);
void sim_listener_end(struct sim_listener *listener);
void sim_listener_free(struct sim_listener *listener);

#endif
