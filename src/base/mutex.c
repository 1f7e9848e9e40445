#include "base/mutex.h"

#include <errno.h>
#include <stddef.h>
#include <time.h>

#include "base/pause.h"

#define MUTEX_NS_PER_SECOND UINT64_C(1000000000)
#define MUTEX_LOOKS         40u /* a pause takes up to 60 ns: some three microseconds */

void mutex_init(struct mutex *mutex)
{
    pthread_mutexattr_t attributes;
    mutex_expect_success(pthread_mutexattr_init(&attributes));
    mutex_expect_success(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK));
    mutex_expect_success(pthread_mutex_init(&mutex->handle, &attributes));
    mutex_expect_success(pthread_mutexattr_destroy(&attributes));
}

void mutex_lock_patiently(struct mutex *mutex)
{
    for (unsigned i = 0; i < MUTEX_LOOKS; i++) {
        pause_briefly();
        if (pthread_mutex_trylock(&mutex->handle) == 0) {
            return;
        }
    }
    mutex_expect_success(pthread_mutex_lock(&mutex->handle));
}

void mutex_close(struct mutex *mutex)
{
    if (mutex == NULL) {
        return;
    }
    mutex_expect_success(pthread_mutex_destroy(&mutex->handle));
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attributes;
    mutex_expect_success(pthread_condattr_init(&attributes));
    mutex_expect_success(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    mutex_expect_success(pthread_cond_init(&condition->handle, &attributes));
    mutex_expect_success(pthread_condattr_destroy(&attributes));
}

void condition_close(struct condition *condition)
{
    if (condition == NULL) {
        return;
    }
    mutex_expect_success(pthread_cond_destroy(&condition->handle));
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
    mutex_expect_success(pthread_cond_wait(&condition->handle, &mutex->handle));
}

bool condition_wait_for(struct condition *condition, struct mutex *mutex, uint64_t timeout_ns)
{
    /* pthread wants a point in time, so this is the one clock that is read outside io/. */
    struct timespec deadline;
    mutex_expect_success(clock_gettime(CLOCK_MONOTONIC, &deadline));
    uint64_t now_ns = (uint64_t)deadline.tv_sec * MUTEX_NS_PER_SECOND + (uint64_t)deadline.tv_nsec;
    if (timeout_ns > INT64_MAX - now_ns) {
        condition_wait(condition, mutex);
        return true;
    }
    deadline.tv_sec = (time_t)((now_ns + timeout_ns) / MUTEX_NS_PER_SECOND);
    deadline.tv_nsec = (long)((now_ns + timeout_ns) % MUTEX_NS_PER_SECOND);
    int rc = pthread_cond_timedwait(&condition->handle, &mutex->handle, &deadline);
    if (rc == ETIMEDOUT) {
        return false;
    }
    mutex_expect_success(rc);
    return true;
}

void condition_signal(struct condition *condition)
{
    mutex_expect_success(pthread_cond_signal(&condition->handle));
}

void condition_broadcast(struct condition *condition)
{
    mutex_expect_success(pthread_cond_broadcast(&condition->handle));
}
