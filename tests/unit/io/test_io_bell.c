/* links: io */
/* Who polls a bell pays for no system call while it is quiet, and never takes one that rings for a quiet one. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/bell.h"

static bool is_readable(const struct bell *bell)
{
    struct pollfd polled = {.fd = bell->descriptor, .events = POLLIN};
    return poll(&polled, 1, 0) == 1;
}

static void write_by_hand(const struct bell *bell)
{
    uint64_t one = 1;
    assert_int_equal(write(bell->descriptor, &one, sizeof(one)), sizeof(one));
}

static void a_bell_that_rang_is_silenced(void **unused)
{
    (void)unused;
    struct bell bell;
    assert_int_equal(bell_open(&bell, EFD_NONBLOCK), 0);
    bell_ring(&bell);
    bell_ring(&bell);
    assert_true(is_readable(&bell));
    bell_quiet(&bell);
    assert_false(is_readable(&bell));
    bell_close(&bell);
}

/* Nobody rang: the descriptor is not even looked at. */
static void a_quiet_bell_is_not_read(void **unused)
{
    (void)unused;
    struct bell bell;
    assert_int_equal(bell_open(&bell, EFD_NONBLOCK), 0);
    write_by_hand(&bell);
    bell_quiet(&bell);
    assert_true(is_readable(&bell));
    bell_close(&bell);
}

/* Somebody has said that he rings and writes only after the owner has read: the owner looks again. */
static void a_ring_that_was_begun_is_not_forgotten(void **unused)
{
    (void)unused;
    struct bell bell;
    assert_int_equal(bell_open(&bell, EFD_NONBLOCK), 0);
    atomic_fetch_add(&bell.ringing, 1);
    atomic_store(&bell.rung, true);
    bell_quiet(&bell);
    write_by_hand(&bell);
    atomic_fetch_sub(&bell.ringing, 1);
    bell_quiet(&bell);
    assert_false(is_readable(&bell));
    bell_close(&bell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bell_that_rang_is_silenced),
        cmocka_unit_test(a_quiet_bell_is_not_read),
        cmocka_unit_test(a_ring_that_was_begun_is_not_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
