/* When a driver that has called back stays awake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "log/log_linger.h"

static void who_is_called_while_he_lingers_does_so_again(void **state)
{
    struct log_linger linger = {.possible = true};
    assert_false(log_linger_call(&linger)); /* he sleeps: wake him */
    for (unsigned i = 0; i < 100; i++) {
        assert_true(log_linger_begin(&linger));
        assert_true(log_linger_call(&linger));
        assert_true(log_linger_wait(&linger, *state));
        log_linger_end(&linger, true);
        assert_false(log_linger_call(&linger));
    }
}

static void in_vain_he_lingers_only_now_and_then_until_it_pays_again(void **state)
{
    struct log_linger linger = {.possible = true};
    unsigned lingered = 0;
    for (unsigned i = 0; i < LOG_LINGER_MISS_MAX + 10 * LOG_LINGER_RETRY; i++) {
        if (log_linger_begin(&linger)) {
            lingered++;
            assert_false(log_linger_wait(&linger, *state)); /* and it ends although nobody calls */
            log_linger_end(&linger, false);
        }
    }
    assert_int_equal(lingered, LOG_LINGER_MISS_MAX + 10);
    while (!log_linger_begin(&linger)) {
    }
    log_linger_end(&linger, true);
    assert_true(log_linger_begin(&linger));
}

static void an_old_call_does_not_end_a_new_moment(void **state)
{
    struct log_linger linger = {.possible = true};
    assert_true(log_linger_begin(&linger));
    assert_true(log_linger_call(&linger));
    log_linger_end(&linger, true);
    assert_true(log_linger_begin(&linger));
    assert_false(log_linger_wait(&linger, *state));
    log_linger_end(&linger, false);
}

static void with_one_processor_nobody_lingers(void **unused)
{
    (void)unused;
    struct log_linger linger = {.possible = false};
    for (unsigned i = 0; i < 100; i++) {
        assert_false(log_linger_begin(&linger));
    }
}

static void *call_once(void *arg)
{
    struct log_linger *linger = arg;
    atomic_store(&linger->called, true);
    return NULL;
}

static void a_call_comes_from_another_thread(void **state)
{
    struct log_linger linger = {.possible = true};
    pthread_t thread;
    assert_true(log_linger_begin(&linger));
    assert_int_equal(pthread_create(&thread, NULL, call_once, &linger), 0);
    while (!log_linger_wait(&linger, *state)) {
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    log_linger_end(&linger, true);
}

static int setup(void **state)
{
    return io_open_kernel(IO_BACKEND_THREADS, (struct io **)state);
}

static int teardown(void **state)
{
    io_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_called_while_he_lingers_does_so_again),
        cmocka_unit_test(in_vain_he_lingers_only_now_and_then_until_it_pays_again),
        cmocka_unit_test(an_old_call_does_not_end_a_new_moment),
        cmocka_unit_test(with_one_processor_nobody_lingers),
        cmocka_unit_test(a_call_comes_from_another_thread),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
