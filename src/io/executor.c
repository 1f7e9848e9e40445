#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "io/io.h"
#include "io/thread.h"

struct executor {
    pthread_t thread;
    atomic_bool stopping;
    void (*turn)(void *arg);
    void *arg;
};

static void *executor_run(void *arg)
{
    struct executor *executor = arg;
    while (!atomic_load(&executor->stopping)) {
        executor->turn(executor->arg);
    }
    return NULL;
}

int executor_open(const char *name, void (*turn)(void *arg), void *arg, struct executor **out)
{
    *out = NULL;
    struct executor *executor = memory_new(sizeof(*executor));
    executor->turn = turn;
    executor->arg = arg;
    atomic_init(&executor->stopping, false);
    int rc = thread_start(name, executor_run, executor, &executor->thread);
    if (rc != 0) {
        free(executor);
        return rc;
    }
    *out = executor;
    return 0;
}

void executor_stop(struct executor *executor)
{
    atomic_store(&executor->stopping, true);
}

void executor_close(struct executor *executor)
{
    if (executor == NULL) {
        return;
    }
    executor_stop(executor);
    int rc = pthread_join(executor->thread, NULL);
    assert(rc == 0); /* a turn must not close its own executor */
    (void)rc;
    free(executor);
}
