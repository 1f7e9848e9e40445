/* A count that one thread raises and another waits for: to be told of something once, without a mutex that teller and
 * told would take turns at. */
#ifndef BASE_SEMAPHORE_H
#define BASE_SEMAPHORE_H

#include <semaphore.h>

struct semaphore {
    sem_t handle;
};

void semaphore_init(struct semaphore *semaphore); /* of 0 */
/* Once semaphore_wait has returned for the last semaphore_post, also while that has not returned yet. */
void semaphore_close(struct semaphore *semaphore);
/* Any thread. What was done before it is seen by whoever waited. */
void semaphore_post(struct semaphore *semaphore);
/* Sleeps until there is a post that no other wait has taken. */
void semaphore_wait(struct semaphore *semaphore);

#endif
