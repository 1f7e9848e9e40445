/* Blocking work of a node, where the process may start no more threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "no_threads.h"
#include "node/work.h"

#define PIECES 3u

struct scene {
    struct loop *loop;
    struct work work;
    struct loop_timer timer;
    struct work_item items[PIECES];
    unsigned done;
};

static int run_piece(void *arg)
{
    return 0;
}

static void piece_done(void *arg, int result)
{
    struct scene *scene = arg;
    assert_int_equal(result, 0);
    if (++scene->done == PIECES) {
        loop_stop(scene->loop);
    }
}

static void too_late(void *arg)
{
    loop_stop(((struct scene *)arg)->loop);
}

static void work_is_done_although_no_thread_can_be_started_for_it(void **state)
{
    struct scene scene = {0};
    struct io *io = NULL;
    assert_int_equal(io_open_kernel(IO_BACKEND_THREADS, &io), 0);
    assert_int_equal(loop_open(io, &scene.loop), 0);
    assert_int_equal(work_open(io, scene.loop, &scene.work), 0);
    size_t usual = no_threads_begin();
    for (unsigned i = 0; i < PIECES; i++) {
        work_start(&scene.work, &scene.items[i], run_piece, piece_done, &scene);
    }
    scene.timer = (struct loop_timer){.fire = too_late, .arg = &scene};
    loop_timer_set(scene.loop, &scene.timer, loop_now_ms(scene.loop) + 20000);
    loop_run(scene.loop);
    no_threads_end(usual);
    assert_int_equal(scene.done, PIECES);
    loop_timer_stop(scene.loop, &scene.timer);
    work_close(&scene.work);
    loop_close(scene.loop);
    io_close(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_is_done_although_no_thread_can_be_started_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
