/* Operations in flight. */
#ifndef SIM_SIM_QUEUE_H
#define SIM_SIM_QUEUE_H

#include "sim/sim_host.h"

struct loop_watch;

struct sim_queue {
    struct io_queue queue; /* first: io_queue_ops cast */
    struct list link;      /* the process's */
    struct sim_process *process;
    unsigned depth;
    unsigned in_flight;
    struct list requests;  /* in flight */
    struct list completed; /* operations */
    struct loop_watch *watch;
};

struct sim_request {
    struct sim_event event;
    struct list link;        /* the disk's; empty for IO_WORK */
    struct list queue_link;  /* the queue's */
    struct sim_queue *queue; /* NULL once its process was killed */
    struct io_operation *operation;
    enum io_operation_kind kind;
    struct sim_disk *disk;
    struct sim_inode *inode; /* NULL for IO_WORK */
    uint64_t offset;
    size_t size;
    uint8_t *orphan_data; /* a copy, once the owner's memory may be gone */
    uint64_t covers;      /* IO_SYNC: the last write that it makes durable */
    uint64_t digest;      /* of the data when it was submitted */
    struct sim_admission admission;
};

int sim_queue_open(struct io *io, unsigned depth, struct io_queue **out);
/* The power is gone: a write becomes undecided; the operation completes with HF_EIO. */
void sim_queue_half_land(struct sim_request *request);
/* The process ends: what is in flight lands now, later or never; every operation completes with HF_ECLOSED. */
void sim_queue_end(struct sim_queue *queue);
bool sim_queue_has_completed(const struct sim_queue *queue);
void sim_queue_free(struct sim_queue *queue);
void sim_queue_free_requests(struct sim_disk *disk); /* at the end of the world */

#endif
