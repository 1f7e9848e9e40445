/* The only locks of the project (STYLE 8: rare, named, ordered). Wrappers, so that a grep finds every one. */
#ifndef BASE_MUTEX_H
#define BASE_MUTEX_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct mutex {
    pthread_mutex_t handle;
};
struct condition {
    pthread_cond_t handle; /* on CLOCK_MONOTONIC */
};

void mutex_init(struct mutex *mutex);
void mutex_close(struct mutex *mutex);
/* What pthread refuses is our own bug: a lock taken twice, released by a stranger, or closed while it is held. */
static inline void mutex_expect_success(int rc)
{
    assert(rc == 0);
    (void)rc;
}
/* Looks a few times more before it sleeps: what a mutex guards here takes less time than to sleep and be woken. */
void mutex_lock_patiently(struct mutex *mutex);
static inline void mutex_lock(struct mutex *mutex)
{
    if (pthread_mutex_trylock(&mutex->handle) != 0) {
        mutex_lock_patiently(mutex);
    }
}
static inline void mutex_unlock(struct mutex *mutex)
{
    mutex_expect_success(pthread_mutex_unlock(&mutex->handle));
}
void condition_init(struct condition *condition);
void condition_close(struct condition *condition);
void condition_wait(struct condition *condition, struct mutex *mutex);
/* false when timeout_ns passed first. */
bool condition_wait_for(struct condition *condition, struct mutex *mutex, uint64_t timeout_ns);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

#endif
