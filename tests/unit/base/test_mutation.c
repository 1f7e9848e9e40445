#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "base/mutation.h"

static void every_mutation_has_a_name_of_its_own_and_says_what_it_breaks(void **state)
{
    for (int a = 0; a < MUTATION_COUNT; a++) {
        assert_true(strlen(mutation_name((enum mutation)a)) > 0);
        assert_true(strlen(mutation_text((enum mutation)a)) > 10);
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(mutation_name((enum mutation)a), mutation_name((enum mutation)b));
        }
    }
    assert_string_equal(mutation_name(MUTATION_GUARD_A), "GUARD_A");
}

#ifdef HF_MUTATIONS
static void a_mutation_is_off_until_it_is_enabled_by_name(void **state)
{
    for (int i = 0; i < MUTATION_COUNT; i++) {
        assert_int_equal(mutation_switches[i], 0);
    }
    assert_int_equal(mutation_enable("GUARD_Z"), HF_ENOTFOUND);
    assert_int_equal(mutation_enable("guard_b"), HF_ENOTFOUND);
    assert_int_equal(mutation_enable("GUARD_B"), 0);
    assert_true(MUTATED(GUARD_B));
    assert_false(MUTATED(GUARD_A));
    assert_false(MUTATED(GUARD_C));
}
#else
static void a_normal_build_carries_no_switch(void **state)
{
    /* A constant expression: the branch can be dropped by the compiler. */
    _Static_assert(!MUTATED(GUARD_B), "no mutation in a normal build");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mutation_has_a_name_of_its_own_and_says_what_it_breaks),
#ifdef HF_MUTATIONS
        cmocka_unit_test(a_mutation_is_off_until_it_is_enabled_by_name),
#else
        cmocka_unit_test(a_normal_build_carries_no_switch),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
