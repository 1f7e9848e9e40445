/* A queue that a loop watches. */
#ifndef SIM_SIM_WATCH_H
#define SIM_SIM_WATCH_H

#include "net/loop.h"

struct list;

int sim_watch_open(struct loop *loop, struct io_queue *queue, void (*ready)(void *arg), void *arg,
                   struct loop_watch **out);
void sim_watch_close(struct loop *loop, struct loop_watch *watch);
void sim_watch_free(struct loop_watch *watch);
struct loop_watch *sim_watch_entry(struct list *link);
void sim_watch_notify(struct loop_watch *watch);       /* something completed, or somebody woke the queue */
void sim_watch_forget_queue(struct loop_watch *watch); /* the queue is closed first */

#endif
