#include "base/mutex.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <time.h>

#define MUTEX_NS_PER_SECOND UINT64_C(1000000000)

/* Results of pthread calls are our own affair (a lock taken twice, or released by a stranger): they are asserted. */

void mutex_init(struct mutex *mutex)
{
    pthread_mutexattr_t attributes;
    int rc = pthread_mutexattr_init(&attributes);
    assert(rc == 0);
    rc = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    assert(rc == 0);
    rc = pthread_mutex_init(&mutex->handle, &attributes);
    assert(rc == 0);
    rc = pthread_mutexattr_destroy(&attributes);
    assert(rc == 0);
}

void mutex_close(struct mutex *mutex)
{
    if (mutex == NULL) {
        return;
    }
    int rc = pthread_mutex_destroy(&mutex->handle);
    assert(rc == 0);
}

void mutex_lock(struct mutex *mutex)
{
    int rc = pthread_mutex_lock(&mutex->handle);
    assert(rc == 0);
}

void mutex_unlock(struct mutex *mutex)
{
    int rc = pthread_mutex_unlock(&mutex->handle);
    assert(rc == 0);
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attributes;
    int rc = pthread_condattr_init(&attributes);
    assert(rc == 0);
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(rc == 0);
    rc = pthread_cond_init(&condition->handle, &attributes);
    assert(rc == 0);
    rc = pthread_condattr_destroy(&attributes);
    assert(rc == 0);
}

void condition_close(struct condition *condition)
{
    if (condition == NULL) {
        return;
    }
    int rc = pthread_cond_destroy(&condition->handle);
    assert(rc == 0);
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
    int rc = pthread_cond_wait(&condition->handle, &mutex->handle);
    assert(rc == 0);
}

bool condition_wait_for(struct condition *condition, struct mutex *mutex, uint64_t timeout_ns)
{
    /* pthread wants a point in time, so this is the one clock that is read outside io/. */
    struct timespec deadline;
    int rc = clock_gettime(CLOCK_MONOTONIC, &deadline);
    assert(rc == 0);
    uint64_t now_ns = (uint64_t)deadline.tv_sec * MUTEX_NS_PER_SECOND + (uint64_t)deadline.tv_nsec;
    if (timeout_ns > INT64_MAX - now_ns) {
        condition_wait(condition, mutex);
        return true;
    }
    deadline.tv_sec = (time_t)((now_ns + timeout_ns) / MUTEX_NS_PER_SECOND);
    deadline.tv_nsec = (long)((now_ns + timeout_ns) % MUTEX_NS_PER_SECOND);
    rc = pthread_cond_timedwait(&condition->handle, &mutex->handle, &deadline);
    assert(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void condition_signal(struct condition *condition)
{
    int rc = pthread_cond_signal(&condition->handle);
    assert(rc == 0);
}

void condition_broadcast(struct condition *condition)
{
    int rc = pthread_cond_broadcast(&condition->handle);
    assert(rc == 0);
}
