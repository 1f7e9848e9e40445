#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/ledger.h"
#include "base/rng.h"

#define LIMIT LEDGER_LIMIT_MIN_BYTES

static void count_call(void *arg)
{
    ++*(unsigned *)arg;
}

static void P4_a_ledger_becomes_full_at_its_limit_and_is_relieved_well_below_it(void **state)
{
    struct ledger ledger;
    unsigned relieved = 0;
    ledger_init(&ledger, LIMIT);
    ledger.relieved = count_call;
    ledger.arg = &relieved;
    ledger_recount(&ledger, LEDGER_CLIENTS, 0, LIMIT - 1);
    assert_false(ledger.is_full);
    ledger_recount(&ledger, LEDGER_PEERS, 0, 1);
    assert_true(ledger.is_full && ledger.full_total == 1);
    ledger_recount(&ledger, LEDGER_CLIENTS, LIMIT - 1, LIMIT - LIMIT / 8);
    assert_true(ledger.is_full && relieved == 0);
    ledger_recount(&ledger, LEDGER_PEERS, 1, 0);
    assert_true(ledger.is_full);
    ledger_recount(&ledger, LEDGER_CLIENTS, LIMIT - LIMIT / 8, LIMIT - LIMIT / 8 - 1);
    assert_true(!ledger.is_full && relieved == 1);
    assert_int_equal(ledger.peak_bytes, LIMIT);
    ledger_recount(&ledger, LEDGER_CLIENTS, LIMIT - LIMIT / 8 - 1, LIMIT);
    assert_true(ledger.is_full && ledger.full_total == 2);
}

static void P4_a_ledger_is_exhausted_a_quarter_above_its_limit_and_overdrawn_at_twice(void **state)
{
    struct ledger ledger;
    ledger_init(&ledger, LIMIT);
    ledger_set(&ledger, LEDGER_LOG, LIMIT + LIMIT / 4 - 1);
    assert_true(ledger.is_full && !ledger_is_exhausted(&ledger));
    ledger_set(&ledger, LEDGER_LOG, LIMIT + LIMIT / 4);
    assert_true(ledger_is_exhausted(&ledger) && !ledger_is_overdrawn(&ledger));
    ledger_set(&ledger, LEDGER_LOG, 2 * LIMIT);
    assert_true(ledger_is_exhausted(&ledger) && ledger_is_overdrawn(&ledger));
    ledger_set(&ledger, LEDGER_LOG, 0);
    assert_true(!ledger_is_exhausted(&ledger) && !ledger.is_full && ledger.total_bytes == 0);
}

static void P4_what_is_only_expected_does_not_overdraw_a_ledger(void **state)
{
    struct ledger ledger;
    ledger_init(&ledger, LIMIT);
    ledger_set(&ledger, LEDGER_EXPECTED, 100 * LIMIT);
    assert_true(ledger_is_exhausted(&ledger) && !ledger_is_overdrawn(&ledger) && ledger.peak_bytes == 0);
    ledger_set(&ledger, LEDGER_CLIENTS, 2 * LIMIT);
    assert_true(ledger_is_overdrawn(&ledger) && ledger.peak_bytes == 2 * LIMIT);
}

static void a_limit_has_a_default_and_a_minimum(void **state)
{
    struct ledger ledger;
    ledger_init(&ledger, 0);
    assert_int_equal(ledger.limit_bytes, LEDGER_LIMIT_DEFAULT_BYTES);
    ledger_init(&ledger, 1);
    assert_int_equal(ledger.limit_bytes, LEDGER_LIMIT_MIN_BYTES);
    ledger_init(&ledger, 5 * LIMIT);
    assert_int_equal(ledger.limit_bytes, 5 * LIMIT);
}

static void P4_the_accounts_always_add_up(void **state)
{
    struct ledger ledger;
    struct rng rng;
    uint64_t held[64] = {0};
    ledger_init(&ledger, LIMIT);
    rng_seed(&rng, 3);
    for (unsigned i = 0; i < 100000; i++) {
        size_t holder = (size_t)rng_below(&rng, 64);
        uint64_t after = rng_below(&rng, LIMIT / 32);
        ledger_recount(&ledger, (enum ledger_account)(holder % LEDGER_ACCOUNT_COUNT), held[holder], after);
        held[holder] = after;
        uint64_t sum = 0;
        for (size_t k = 0; k < LEDGER_ACCOUNT_COUNT; k++) {
            sum += ledger.bytes[k];
        }
        assert_true(sum == ledger.total_bytes && ledger.peak_bytes >= sum - ledger.bytes[LEDGER_EXPECTED]);
        assert_true(ledger.is_full || sum < LIMIT);
        assert_true(!ledger.is_full || sum >= LIMIT - LIMIT / 8);
    }
    for (size_t holder = 0; holder < 64; holder++) {
        ledger_recount(&ledger, (enum ledger_account)(holder % LEDGER_ACCOUNT_COUNT), held[holder], 0);
    }
    assert_int_equal(ledger.total_bytes, 0);
}

static void every_account_has_a_name(void **state)
{
    for (unsigned i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        assert_true(strlen(ledger_account_name((enum ledger_account)i)) > 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P4_a_ledger_becomes_full_at_its_limit_and_is_relieved_well_below_it),
        cmocka_unit_test(P4_a_ledger_is_exhausted_a_quarter_above_its_limit_and_overdrawn_at_twice),
        cmocka_unit_test(P4_what_is_only_expected_does_not_overdraw_a_ledger),
        cmocka_unit_test(a_limit_has_a_default_and_a_minimum),
        cmocka_unit_test(P4_the_accounts_always_add_up),
        cmocka_unit_test(every_account_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
