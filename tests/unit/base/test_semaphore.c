#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/semaphore.h"

enum { ROUNDS = 20000 };

struct pair {
    struct semaphore asked;
    struct semaphore answered;
    uint64_t value; /* belongs to whoever was told last */
};

static void *answer(void *arg)
{
    struct pair *pair = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        semaphore_wait(&pair->asked);
        pair->value *= 3;
        semaphore_post(&pair->answered);
    }
    return NULL;
}

static void two_threads_take_turns(void **state)
{
    (void)state;
    struct pair pair = {.value = 1};
    uint64_t expected = 1;
    pthread_t thread;
    semaphore_init(&pair.asked);
    semaphore_init(&pair.answered);
    assert_int_equal(pthread_create(&thread, NULL, answer, &pair), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        pair.value += 1;
        semaphore_post(&pair.asked);
        semaphore_wait(&pair.answered);
        expected = (expected + 1) * 3;
        assert_true(pair.value == expected);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    semaphore_close(&pair.asked);
    semaphore_close(&pair.answered);
}

static void posts_are_counted(void **state)
{
    (void)state;
    struct semaphore semaphore;
    semaphore_init(&semaphore);
    for (unsigned i = 0; i < 3; i++) {
        semaphore_post(&semaphore);
    }
    for (unsigned i = 0; i < 3; i++) {
        semaphore_wait(&semaphore);
    }
    semaphore_close(&semaphore);
}

/* It may be gone as soon as the wait returns: everybody waits on his own stack. */
static void *post_once(void *arg)
{
    semaphore_post(arg);
    return NULL;
}

static void who_has_waited_may_close(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 500; i++) {
        struct semaphore semaphore;
        pthread_t thread;
        semaphore_init(&semaphore);
        assert_int_equal(pthread_create(&thread, NULL, post_once, &semaphore), 0);
        semaphore_wait(&semaphore);
        semaphore_close(&semaphore);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static void note_signal(int number)
{
    (void)number;
}

struct sleeper {
    struct semaphore semaphore;
    pthread_t thread;
};

/* Signals come first, the post afterwards. */
static void *disturb(void *arg)
{
    struct sleeper *sleeper = arg;
    for (unsigned i = 0; i < 20; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        pthread_kill(sleeper->thread, SIGUSR1);
    }
    semaphore_post(&sleeper->semaphore);
    return NULL;
}

static void a_signal_does_not_end_a_wait(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = note_signal}; /* without SA_RESTART */
    struct sleeper sleeper = {.thread = pthread_self()};
    pthread_t thread;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    semaphore_init(&sleeper.semaphore);
    assert_int_equal(pthread_create(&thread, NULL, disturb, &sleeper), 0);
    semaphore_wait(&sleeper.semaphore);
    assert_int_equal(pthread_join(thread, NULL), 0); /* it has posted: no wait ended before */
    int value = -1;
    assert_int_equal(sem_getvalue(&sleeper.semaphore.handle, &value), 0);
    assert_int_equal(value, 0);
    semaphore_close(&sleeper.semaphore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_threads_take_turns),
        cmocka_unit_test(posts_are_counted),
        cmocka_unit_test(who_has_waited_may_close),
        cmocka_unit_test(a_signal_does_not_end_a_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
