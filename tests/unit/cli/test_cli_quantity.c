#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/quantity.h"
#include "holdfast/error.h"

struct row {
    const char *text;
    int result;
    uint64_t value;
};

static void rows_check(int (*parse)(const char *text, uint64_t *out), const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        int rc = parse(rows[i].text, &value);
        if (rc != rows[i].result || (rc == 0 && value != rows[i].value)) {
            fail_msg("'%s' gave %d and %llu", rows[i].text, rc, (unsigned long long)value);
        }
    }
}

static void sizes_are_read_in_both_families_of_units(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 0},
        {"4096", 0, 4096},
        {"1B", 0, 1},
        {"10kB", 0, 10000},
        {"10KB", 0, 10000},
        {"10KiB", 0, 10240},
        {"3MB", 0, 3000000},
        {"64MiB", 0, 64ull << 20},
        {"2GB", 0, 2000000000},
        {"4GiB", 0, 4ull << 30},
        {"1TB", 0, 1000000000000},
        {"1TiB", 0, 1ull << 40},
        {"18446744073709551615", 0, UINT64_MAX},
    };
    rows_check(quantity_bytes, rows, sizeof(rows) / sizeof(rows[0]));
}

static void sizes_that_are_none_are_refused(void **state)
{
    static const struct row rows[] = {
        {"", HF_EINVALID},
        {"MiB", HF_EINVALID},
        {"-1", HF_EINVALID},
        {"+1", HF_EINVALID},
        {" 1", HF_EINVALID},
        {"1 MiB", HF_EINVALID},
        {"1.5MiB", HF_EINVALID},
        {"0x10", HF_EINVALID},
        {"64mib", HF_EINVALID},
        {"64M", HF_EINVALID},
        {"64MiBx", HF_EINVALID},
        {"18446744073709551616", HF_EINVALID},
        {"16777216TiB", HF_EINVALID},
    };
    rows_check(quantity_bytes, rows, sizeof(rows) / sizeof(rows[0]));
}

static void durations_are_milliseconds_unless_they_say_otherwise(void **state)
{
    static const struct row rows[] = {
        {"0", 0, 0},       {"100", 0, 100},     {"100ms", 0, 100},   {"3s", 0, 3000},
        {"5m", 0, 300000}, {"2h", 0, 7200000},  {"1d", HF_EINVALID}, {"1.5s", HF_EINVALID},
        {"", HF_EINVALID}, {"ms", HF_EINVALID}, {"1S", HF_EINVALID}, {"18446744073709551615h", HF_EINVALID},
    };
    rows_check(quantity_ms, rows, sizeof(rows) / sizeof(rows[0]));
}

static void numbers_keep_to_their_limits(void **state)
{
    static const struct {
        const char *text;
        uint64_t low, high;
        int result;
    } rows[] = {
        {"1", 1, 9, 0},
        {"9", 1, 9, 0},
        {"0", 1, 9, HF_EINVALID},
        {"10", 1, 9, HF_EINVALID},
        {"007", 1, 9, 0},
        {"7x", 1, 9, HF_EINVALID},
        {"", 0, 9, HF_EINVALID},
        {"-1", 0, 9, HF_EINVALID},
        {"18446744073709551615", 0, UINT64_MAX, 0},
        {"18446744073709551616", 0, UINT64_MAX, HF_EINVALID},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 0;
        assert_int_equal(quantity_number(rows[i].text, rows[i].low, rows[i].high, &value), rows[i].result);
    }
}

static void an_error_shows_what_was_written_and_what_would_be_right(void **state)
{
    uint64_t value;
    assert_int_equal(quantity_bytes("64Mib", &value), HF_EINVALID);
    assert_non_null(strstr(hf_error_text(), "'64Mib'"));
    assert_non_null(strstr(hf_error_text(), "'Mib'"));
    assert_non_null(strstr(hf_error_text(), "64MiB"));
    assert_int_equal(quantity_number("70000", 1, 65535, &value), HF_EINVALID);
    assert_non_null(strstr(hf_error_text(), "70000 is outside 1 … 65535"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_read_in_both_families_of_units),
        cmocka_unit_test(sizes_that_are_none_are_refused),
        cmocka_unit_test(durations_are_milliseconds_unless_they_say_otherwise),
        cmocka_unit_test(numbers_keep_to_their_limits),
        cmocka_unit_test(an_error_shows_what_was_written_and_what_would_be_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
