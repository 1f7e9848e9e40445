#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/input.h"
#include "holdfast/error.h"

static int world_open(void **state)
{
    struct io *io = NULL;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    *state = io;
    return rc;
}

static int world_close(void **state)
{
    io_close(*state);
    return 0;
}

/* Makes the size bytes that come through a pipe this program's standard input, written by a child. */
static void standard_input_set(size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char piece[1000];
        memset(piece, 'x', sizeof(piece));
        close(ends[0]);
        for (size_t left = size; left > 0;) {
            size_t some = left < sizeof(piece) ? left : sizeof(piece);
            if (write(ends[1], piece, some) != (ssize_t)some) {
                break;
            }
            left -= some;
        }
        _exit(0);
    }
    close(ends[1]);
    assert_true(dup2(ends[0], STDIN_FILENO) >= 0);
    close(ends[0]);
}

static void standard_input_is_read_to_its_end(void **state)
{
    struct buffer text = {0};
    standard_input_set(200001);
    assert_int_equal(input_read(*state, "-", 200001, &text), 0);
    assert_int_equal(text.size, 200001);
    buffer_close(&text);
}

static void standard_input_without_end_stops_at_the_limit(void **state)
{
    struct buffer text = {0};
    standard_input_set(300000);
    assert_int_equal(input_read(*state, "-", 200000, &text), HF_ETOOBIG);
    assert_true(text.capacity < 1u << 20);
    buffer_close(&text);
}

static void a_file_that_is_missing_is_named(void **state)
{
    struct buffer text = {0};
    assert_int_equal(input_read(*state, "/nowhere/at/all", 10, &text), HF_ENOTFOUND);
    assert_non_null(strstr(hf_error_text(), "/nowhere/at/all"));
    assert_int_equal(text.size, 0);
    buffer_close(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_input_is_read_to_its_end),
        cmocka_unit_test(standard_input_without_end_stops_at_the_limit),
        cmocka_unit_test(a_file_that_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
