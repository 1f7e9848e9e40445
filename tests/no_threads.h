/* A process that may start no more threads: their default stack is larger than any address space. What runs goes on. */
#ifndef TESTS_NO_THREADS_H
#define TESTS_NO_THREADS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static inline size_t no_threads_set_stack(size_t size)
{
    pthread_attr_t attributes;
    size_t before = 0;
    assert_int_equal(pthread_getattr_default_np(&attributes), 0);
    assert_int_equal(pthread_attr_getstacksize(&attributes, &before), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, size), 0);
    assert_int_equal(pthread_setattr_default_np(&attributes), 0);
    pthread_attr_destroy(&attributes);
    return before;
}

/* Returns what no_threads_end needs. */
static inline size_t no_threads_begin(void)
{
    return no_threads_set_stack((size_t)1 << 48);
}

static inline void no_threads_end(size_t usual)
{
    (void)no_threads_set_stack(usual);
}

#endif
