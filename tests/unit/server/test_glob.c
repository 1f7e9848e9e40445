/* Patterns as Redis matches them, and the budget of their work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "server/glob.h"

static const struct {
    const char *pattern;
    const char *text;
    enum glob_result result;
} rows[] = {
    {"", "", GLOB_MATCHES},
    {"", "a", GLOB_DIFFERS},
    {"a", "", GLOB_DIFFERS},
    {"*", "", GLOB_MATCHES},
    {"*", "anything", GLOB_MATCHES},
    {"**", "x", GLOB_MATCHES},
    {"?", "", GLOB_DIFFERS},
    {"?", "a", GLOB_MATCHES},
    {"??", "a", GLOB_DIFFERS},
    {"h?llo", "hello", GLOB_MATCHES},
    {"h*llo", "heeeello", GLOB_MATCHES},
    {"h*llo", "hllo", GLOB_MATCHES},
    {"h*llo", "hello!", GLOB_DIFFERS},
    {"*a*b*c", "xxaxxbxxabc", GLOB_MATCHES},
    {"*a*b*c", "xxaxxbxxab", GLOB_DIFFERS},
    {"*ab", "aab", GLOB_MATCHES},
    {"*aab", "aaab", GLOB_MATCHES},
    {"a*", "b", GLOB_DIFFERS},
    {"h[ae]llo", "hallo", GLOB_MATCHES},
    {"h[ae]llo", "hillo", GLOB_DIFFERS},
    {"h[^e]llo", "hallo", GLOB_MATCHES},
    {"h[^e]llo", "hello", GLOB_DIFFERS},
    {"h[a-c]llo", "hbllo", GLOB_MATCHES},
    {"h[c-a]llo", "hbllo", GLOB_MATCHES},
    {"h[a-c]llo", "hdllo", GLOB_DIFFERS},
    {"[a-]", "a", GLOB_MATCHES},
    {"[a\\]b]", "]", GLOB_MATCHES},
    {"[\\-]", "-", GLOB_MATCHES},
    {"[^\\^]", "^", GLOB_DIFFERS},
    {"[]", "]", GLOB_DIFFERS},
    {"[abc", "b", GLOB_MATCHES},
    {"[abc", "d", GLOB_DIFFERS},
    {"x[abc", "xa", GLOB_MATCHES},
    {"\\*", "*", GLOB_MATCHES},
    {"\\*", "a", GLOB_DIFFERS},
    {"\\?x", "?x", GLOB_MATCHES},
    {"\\", "\\", GLOB_MATCHES},
    {"a\\", "a\\", GLOB_MATCHES},
    {"\\\\", "\\", GLOB_MATCHES},
    {"Hello", "hello", GLOB_DIFFERS},
    {"*\xff?", "abc\xffz", GLOB_MATCHES},
};

static void patterns_match_as_in_redis(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t budget = 1000;
        if (glob_match(bytes_of_text(rows[i].pattern), bytes_of_text(rows[i].text), &budget) != rows[i].result) {
            fail_msg("%s against %s", rows[i].pattern, rows[i].text);
        }
    }
}

static void H22_work_is_bounded_and_stars_do_not_multiply(void **state)
{
    char text[2001];
    char pattern[101];
    memset(text, 'a', 2000);
    text[2000] = '\0';
    for (size_t i = 0; i < 100; i += 2) {
        memcpy(pattern + i, "*a", 2);
    }
    pattern[99] = 'b';
    pattern[100] = '\0';
    uint64_t budget = 1000000;
    assert_int_equal(glob_match(bytes_of_text(pattern), bytes_of_text(text), &budget), GLOB_DIFFERS);
    assert_true(budget > 900000); /* a recursive matcher needs more than 2^100 steps */
    budget = 1000;
    assert_int_equal(glob_match(bytes_of_text(pattern), bytes_of_text(text), &budget), GLOB_EXHAUSTED);
    assert_int_equal(budget, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_as_in_redis),
        cmocka_unit_test(H22_work_is_bounded_and_stars_do_not_multiply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
