#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "node/router.h"

/* Routing version 1. The values were computed by an independent implementation (Python, from the paper's text) and are
 * a format: a change here means that keys are looked up in a group that does not hold them. */
static const uint32_t router_counts[] = {1, 2, 3, 4, 7, 8, 64, 65535};
static const struct {
    const char *key;
    size_t size;
    uint32_t ordinals[8];
} router_rows[] = {
    {"", 0, {0, 1, 1, 1, 1, 1, 17, 14284}},
    {"a", 1, {0, 1, 2, 2, 2, 2, 31, 29077}},
    {"foo", 3, {0, 1, 1, 1, 1, 1, 1, 22463}},
    {"foobar", 6, {0, 1, 1, 1, 5, 5, 33, 3869}},
    {"user:1000", 9, {0, 0, 0, 0, 0, 0, 61, 42074}},
    {"key:000000000001", 16, {0, 0, 0, 0, 6, 6, 54, 16704}},
    {"\0", 1, {0, 0, 2, 3, 4, 4, 17, 18685}},
    {"\xff\xff\xff\xff\xff\xff\xff\xff", 8, {0, 0, 0, 0, 0, 0, 18, 20576}},
    {"holdfast", 8, {0, 0, 2, 2, 2, 2, 2, 24398}},
};

static void known_keys_go_to_the_groups_that_version_1_fixed(void **state)
{
    for (size_t i = 0; i < sizeof(router_rows) / sizeof(router_rows[0]); i++) {
        for (size_t k = 0; k < 8; k++) {
            assert_int_equal(router_ordinal(bytes_of(router_rows[i].key, router_rows[i].size), router_counts[k]),
                             router_rows[i].ordinals[k]);
        }
    }
}

static void only_a_tag_that_is_closed_and_not_empty_decides(void **state)
{
    static const char *rows[][2] = {
        {"{user1000}.following", "user1000"},
        {"foo{}{bar}", "foo{}{bar}"},
        {"foo{{bar}}zap", "{bar"},
        {"foo{bar}{zap}", "bar"},
        {"{", "{"},
        {"}{", "}{"},
        {"{}", "{}"},
        {"a{b", "a{b"},
        {"a}b{c}", "c"},
        {"", ""},
        {"{a}", "a"},
        {"x{a}", "a"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_bytes tag = router_tag(bytes_of_text(rows[i][0]));
        assert_int_equal(tag.size, strlen(rows[i][1]));
        assert_memory_equal(tag.data, rows[i][1], tag.size);
        assert_int_equal(router_ordinal(bytes_of_text(rows[i][0]), 4096), router_ordinal(tag, 4096));
    }
}

static void a_group_more_moves_keys_only_to_itself_and_groups_stay_even(void **state)
{
    struct rng rng;
    rng_seed(&rng, 7);
    unsigned held[8] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t key = rng_next(&rng);
        uint32_t at_7 = router_ordinal(bytes_of(&key, sizeof(key)), 7);
        uint32_t at_8 = router_ordinal(bytes_of(&key, sizeof(key)), 8);
        assert_true(at_8 == at_7 || at_8 == 7);
        held[at_8]++;
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_in_range(held[i], 2200, 2800);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_keys_go_to_the_groups_that_version_1_fixed),
        cmocka_unit_test(only_a_tag_that_is_closed_and_not_empty_decides),
        cmocka_unit_test(a_group_more_moves_keys_only_to_itself_and_groups_stay_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
