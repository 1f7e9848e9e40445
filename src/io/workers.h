/* A few threads that run blocking operations of a queue. They start when there is more to do than idle threads, up to
 * a limit, and stay until the close. The first one may be had before it is needed, for those who could do nothing
 * without it. Private to the room. */
#ifndef IO_WORKERS_H
#define IO_WORKERS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/mailbox.h"
#include "base/mutex.h"
#include "io/io.h"

#define WORKERS_WRITE_THREADS_MAX 8u /* of one queue: writes and syncs (threads_queue) */
#define WORKERS_WORK_THREADS_MAX  4u /* of one queue: IO_WORK, so that long work never holds up a write */
#define WORKERS_BACKGROUND_NICE   10 /* a tenth of the share of a thread that serves, where both want the processor */
#define WORKERS_STRETCH_NS        200000u /* that background work runs at a time, where it gives way … */
#define WORKERS_REST_NS           50000u  /* … by resting for so long */

struct workers {
    struct mutex mutex; /* taken before the mailbox's, never after */
    struct condition ready;
    struct list waiting;
    unsigned waiting_count;
    unsigned idle_count; /* threads that run nothing, also those that have yet to begin */
    bool closing;
    unsigned thread_count;
    unsigned thread_count_max;
    pthread_t threads[WORKERS_WRITE_THREADS_MAX];
    const char *name;
    bool is_background; /* its threads run below the others of the process */
    struct mailbox *done;
};

/* Finished operations go to `done`, which is lent. */
void workers_init(struct workers *workers, const char *name, unsigned thread_count_max, struct mailbox *done);
void workers_init_background(struct workers *workers, const char *name, unsigned thread_count_max,
                             struct mailbox *done);
/* Starts the first thread now. HF_ENOMEM; after success workers_submit never fails. */
int workers_start(struct workers *workers);
/* HF_ENOMEM when not even one thread could be started; nothing was taken then. */
int workers_submit(struct workers *workers, struct io_operation *operation);
/* IO_WORK: what is for the background goes to `work`, which is started, where `background` can have no thread. */
void workers_submit_work(struct workers *work, struct workers *background, struct io_operation *operation);
/* By the caller, where there is no thread for it: it is done on return. */
void workers_run_here(struct workers *workers, struct io_operation *operation);
/* io_give_way. Thread: any; only those that run background work rest. */
void workers_give_way(void);
/* Runs what waits, then ends the threads. */
void workers_close(struct workers *workers);

#endif
