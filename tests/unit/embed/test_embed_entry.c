/* Entries and key-value commands as they stand in the log: the bytes of version 1, for ever, and what is no entry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "embed/embed_entry.h"
#include "embed/embed_values.h"

static const uint8_t golden_entry[] = {
    1,  3, 0, 0, 2, 0, 0, 0,                                                 /* version, kind, zero, two commands */
    13, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 'k', 0, 0, 0, 0,                    /* put "k" "" */
    18, 0, 0, 0, 1, 3, 3, 0, 0, 0, 0, 0, 1,   0, 0, 0, 'a', 1, 0, 0, 0, 'b', /* swap "" "a" → "b" */
};

static void the_bytes_of_version_1_never_change(void **state)
{
    const struct hf_bytes a = bytes_of("a", 1), b = bytes_of("b", 1);
    struct buffer put = {0}, swap = {0}, entry = {0};
    struct cursor cursor;
    uint32_t count;
    embed_values_put(bytes_of("k", 1), bytes_of("", 0), &put);
    embed_values_swap(bytes_of("", 0), &a, &b, &swap);
    embed_entry_begin(EMBED_ENTRY_VALUES, 2, &entry);
    buffer_append_sized(&entry, buffer_bytes(&put));
    buffer_append_sized(&entry, buffer_bytes(&swap));
    assert_int_equal(entry.size, sizeof(golden_entry));
    assert_memory_equal(entry.data, golden_entry, sizeof(golden_entry));
    assert_int_equal(embed_entry_open(EMBED_ENTRY_VALUES, buffer_bytes(&entry), &cursor, &count), 0);
    assert_int_equal(count, 2);
    assert_true(bytes_equal(embed_entry_next(&cursor), buffer_bytes(&put)));
    assert_true(bytes_equal(embed_entry_next(&cursor), buffer_bytes(&swap)));
    buffer_close(&put);
    buffer_close(&swap);
    buffer_close(&entry);
}

static void what_is_no_entry_is_refused_with_its_reason(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
        int result;
    } rows[] = {
        {0, 2, HF_EVERSION},  {1, 2, HF_EMISMATCH}, {2, 1, HF_EVERSION},   {4, 0, HF_EPROTOCOL},  {4, 1, HF_EPROTOCOL},
        {4, 3, HF_EPROTOCOL}, {7, 1, HF_EPROTOCOL}, {8, 14, HF_EPROTOCOL}, {11, 9, HF_EPROTOCOL},
    };
    struct cursor cursor;
    uint32_t count;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[sizeof(golden_entry)];
        memcpy(bytes, golden_entry, sizeof(bytes));
        bytes[rows[i].offset] = rows[i].value;
        assert_int_equal(embed_entry_open(EMBED_ENTRY_VALUES, bytes_of(bytes, sizeof(bytes)), &cursor, &count),
                         rows[i].result);
    }
    for (size_t size = 0; size < sizeof(golden_entry); size++) {
        assert_int_equal(embed_entry_open(EMBED_ENTRY_VALUES, bytes_of(golden_entry, size), &cursor, &count),
                         HF_EPROTOCOL);
    }
}

/* Whatever a peer sends, what stands in the log is a command that every node can apply. */
static void a_command_that_is_not_understood_is_replaced_before_it_is_logged(void **state)
{
    struct buffer good = {0}, instead = {0}, again = {0};
    embed_values_put(bytes_of("key", 3), bytes_of("value", 5), &good);
    embed_values_check(buffer_bytes(&good), &instead);
    assert_int_equal(instead.size, 0);
    for (size_t size = 0; size < good.size; size++) {
        buffer_clear(&instead);
        buffer_clear(&again);
        embed_values_check(bytes_of(good.data, size), &instead);
        assert_true(instead.size > 0);
        embed_values_check(buffer_bytes(&instead), &again);
        assert_int_equal(again.size, 0);
    }
    good.data[1] = 9; /* a kind of the future */
    buffer_clear(&instead);
    embed_values_check(buffer_bytes(&good), &instead);
    assert_true(instead.size > 0);
    buffer_close(&good);
    buffer_close(&instead);
    buffer_close(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_version_1_never_change),
        cmocka_unit_test(what_is_no_entry_is_refused_with_its_reason),
        cmocka_unit_test(a_command_that_is_not_understood_is_replaced_before_it_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
