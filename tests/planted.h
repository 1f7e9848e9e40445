/* What a test program is told by its environment, once, before its tests: HOLDFAST_TEST_FILTER runs only the tests
 * whose names match (* and ?), and in a build with -DHF_MUTATIONS HOLDFAST_MUTATION plants a bug. Include it after
 * cmocka.h. */
#ifndef TESTS_PLANTED_H
#define TESTS_PLANTED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mutation.h"

static inline void planted_prepare(void)
{
    const char *filter = getenv("HOLDFAST_TEST_FILTER");
    if (filter != NULL) {
        cmocka_set_test_filter(filter);
    }
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL) {
        assert_int_equal(mutation_enable(mutation), 0);
    }
#endif
}

#endif
