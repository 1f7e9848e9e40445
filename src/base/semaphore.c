#include "base/semaphore.h"

#include <assert.h>
#include <errno.h>

/* What is refused is our own bug: a count beyond all bounds, or what is no semaphore. */
static void semaphore_expect_success(int rc)
{
    assert(rc == 0);
    (void)rc;
}

void semaphore_init(struct semaphore *semaphore)
{
    semaphore_expect_success(sem_init(&semaphore->handle, 0, 0));
}

void semaphore_close(struct semaphore *semaphore)
{
    semaphore_expect_success(sem_destroy(&semaphore->handle));
}

void semaphore_post(struct semaphore *semaphore)
{
    semaphore_expect_success(sem_post(&semaphore->handle));
}

void semaphore_wait(struct semaphore *semaphore)
{
    int rc = 0;
    do {
        rc = sem_wait(&semaphore->handle);
    } while (rc != 0 && errno == EINTR);
    semaphore_expect_success(rc);
}
