#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mutex.h"

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
    struct mutex mutex;
    struct condition condition;
    uint64_t count;
    bool flag;
};

static void shared_init(struct shared *shared)
{
    *shared = (struct shared){0};
    mutex_init(&shared->mutex);
    condition_init(&shared->condition);
}

static void shared_close(struct shared *shared)
{
    condition_close(&shared->condition);
    mutex_close(&shared->mutex);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void *count_up(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < ROUNDS; i++) {
        mutex_lock(&shared->mutex);
        shared->count++;
        mutex_unlock(&shared->mutex);
    }
    return NULL;
}

static void a_mutex_lets_one_thread_in_at_a_time(void **state)
{
    struct shared shared;
    shared_init(&shared);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, &shared), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(shared.count, THREADS * ROUNDS);
    shared_close(&shared);
    mutex_close(NULL);
    condition_close(NULL);
}

static void a_timed_wait_ends_not_before_its_time_and_says_so(void **state)
{
    struct shared shared;
    shared_init(&shared);
    mutex_lock(&shared.mutex);
    const uint64_t timeout_ns = 30 * 1000 * 1000;
    uint64_t started = now_ns();
    while (condition_wait_for(&shared.condition, &shared.mutex, timeout_ns)) {
        started = now_ns(); /* woken for no reason, which is allowed */
    }
    assert_true(now_ns() - started >= timeout_ns);
    /* No time at all is over at once. */
    assert_false(condition_wait_for(&shared.condition, &shared.mutex, 0));
    mutex_unlock(&shared.mutex);
    shared_close(&shared);
}

static void *raise_flag(void *arg)
{
    struct shared *shared = arg;
    mutex_lock(&shared->mutex);
    shared->flag = true;
    condition_signal(&shared->condition);
    mutex_unlock(&shared->mutex);
    return NULL;
}

static void a_signal_ends_a_timed_wait(void **state)
{
    static const uint64_t timeouts_ns[] = {UINT64_C(60000000000), INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(timeouts_ns) / sizeof(timeouts_ns[0]); i++) {
        struct shared shared;
        shared_init(&shared);
        mutex_lock(&shared.mutex);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, raise_flag, &shared), 0);
        while (!shared.flag) {
            assert_true(condition_wait_for(&shared.condition, &shared.mutex, timeouts_ns[i]));
        }
        mutex_unlock(&shared.mutex);
        assert_int_equal(pthread_join(thread, NULL), 0);
        shared_close(&shared);
    }
}

static void *wait_for_flag(void *arg)
{
    struct shared *shared = arg;
    mutex_lock(&shared->mutex);
    while (!shared->flag) {
        condition_wait(&shared->condition, &shared->mutex);
    }
    shared->count++;
    mutex_unlock(&shared->mutex);
    return NULL;
}

static void a_broadcast_ends_every_wait(void **state)
{
    struct shared shared;
    shared_init(&shared);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_flag, &shared), 0);
    }
    mutex_lock(&shared.mutex);
    shared.flag = true;
    condition_broadcast(&shared.condition);
    mutex_unlock(&shared.mutex);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(shared.count, THREADS);
    shared_close(&shared);
}

static void lock_twice(void)
{
    struct mutex mutex;
    mutex_init(&mutex);
    mutex_lock(&mutex);
    mutex_lock(&mutex);
}

static void unlock_what_is_free(void)
{
    struct mutex mutex;
    mutex_init(&mutex);
    mutex_unlock(&mutex);
}

static void the_process_stops_in(void (*misuse)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        misuse();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void misuse_stops_the_process_instead_of_hanging_it(void **state)
{
    the_process_stops_in(lock_twice);
    the_process_stops_in(unlock_what_is_free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_lets_one_thread_in_at_a_time),
        cmocka_unit_test(a_timed_wait_ends_not_before_its_time_and_says_so),
        cmocka_unit_test(a_signal_ends_a_timed_wait),
        cmocka_unit_test(a_broadcast_ends_every_wait),
        cmocka_unit_test(misuse_stops_the_process_instead_of_hanging_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
