/* Blocking work of a node that its loop must not do: snapshots are written, read, sent and taken in in pieces, each of
 * which runs in a worker thread and ends in a turn of the loop. In the simulator a piece is one event.
 *
 * Thread: the loop's; `run` is called by a worker, one piece of an item at a time. */
#ifndef NODE_WORK_H
#define NODE_WORK_H

#include <stdbool.h>

#include "base/list.h"
#include "io/io.h"
#include "net/loop.h"

#define WORK_IN_FLIGHT_MAX 16u /* pieces; more wait, in order */

struct work {
    struct loop *loop;
    struct io_queue *queue;
    struct loop_watch *watch;
    struct list waiting;
    unsigned in_flight;
};

/* The owner's memory; zeroed is idle. */
struct work_item {
    struct io_operation operation;
    struct list waiting;
    int (*run)(void *arg);
    void (*done)(void *arg, int result); /* with the text of run's error; may start the next piece, or free the item */
    void *arg;
    bool is_busy;
};

int work_open(struct io *io, struct loop *loop, struct work *work);
/* Waits for the pieces that run. No `done` is called any more; items may be freed afterwards. Works on a zeroed one. */
void work_close(struct work *work);
/* The item is idle. */
void work_start(struct work *work, struct work_item *item, int (*run)(void *arg), void (*done)(void *arg, int result),
                void *arg);

#endif
