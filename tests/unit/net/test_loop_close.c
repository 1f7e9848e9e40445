#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/loop.h"

static void stop(void *arg)
{
    loop_stop(arg);
}

/* Its thread may not have come to run it before it is told to stop. */
static void a_loop_that_was_stopped_before_it_ran_can_be_closed(void **state)
{
    struct io *io = NULL;
    struct loop *loop = NULL;
    assert_int_equal(io_open_kernel(IO_BACKEND_THREADS, &io), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(loop_open(io, &loop), 0);
        if (i == 0) {
            loop_stop(loop);
        } else {
            loop_post(loop, stop, loop);
        }
        loop_close(loop);
    }
    io_close(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_loop_that_was_stopped_before_it_ran_can_be_closed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
