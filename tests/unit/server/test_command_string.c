/* Strings and counters, as rows: what is sent, what comes back. */
#include "unit/server/machine_script.h"

/* clang-format off */
SCRIPT_TEST(get_returns_what_set_stored,
    {0, "GET k", "$-1"},
    {0, "SET k v", "+OK"},
    {0, "GET k", "$1 v"},
    {0, "set k \"\"", "+OK"},
    {0, "get k", "$0 "},
    {0, "SET \"\" empty", "+OK"},
    {0, "GET \"\"", "$5 empty"},
    {0, "GET", "-ERR wrong number of arguments for 'get' command"},
    {0, "GET a b", "-ERR wrong number of arguments for 'get' command"},
    {0, "SET k", "-ERR wrong number of arguments for 'set' command"})

SCRIPT_TEST(set_obeys_nx_xx_and_get,
    {0, "SET k v1 XX", "$-1"},
    {0, "EXISTS k", ":0"},
    {0, "SET k v1 NX", "+OK"},
    {0, "SET k v2 nx", "$-1"},
    {0, "GET k", "$2 v1"},
    {0, "SET k v2 xX", "+OK"},
    {0, "SET k v3 GET", "$2 v2"},
    {0, "SET k v4 NX GET", "$2 v3"},
    {0, "GET k", "$2 v3"},
    {0, "SET n v NX GET", "$-1"},
    {0, "GET n", "$1 v"},
    {0, "SET m v XX GET", "$-1"},
    {0, "GET m", "$-1"},
    {0, "SET k v NX XX", "-ERR syntax error"},
    {0, "SET k v XX NX", "-ERR syntax error"},
    {0, "SET k v WHAT", "-ERR syntax error"},
    {0, "SET k v EX", "-ERR syntax error"},
    {0, "SET k v EX 10 PX 10", "-ERR syntax error"},
    {0, "SET k v EX 10 KEEPTTL", "-ERR syntax error"},
    {0, "SET k v KEEPTTL EX 10", "-ERR syntax error"},
    {0, "SET k v PERSIST", "-ERR syntax error"},
    {0, "SET k v EX 1 EX 2", "+OK"},
    {0, "TTL k", ":2"})

SCRIPT_TEST(set_with_ifeq_compares_and_sets,
    {0, "SET k v2 IFEQ v1", "$-1"},
    {0, "EXISTS k", ":0"},
    {0, "SET k v1", "+OK"},
    {0, "SET k v2 IFEQ v1", "+OK"},
    {0, "SET k v3 IFEQ v1", "$-1"},
    {0, "SET k v3 GET IFEQ v1", "$2 v2"},
    {0, "SET k v3 IFEQ v2 GET", "$2 v2"},
    {0, "GET k", "$2 v3"},
    {0, "SET k v IFEQ", "-ERR syntax error"},
    {0, "SET k v IFEQ v NX", "-ERR syntax error"},
    {0, "SET k v XX IFEQ v", "-ERR syntax error"},
    {0, "SET k v4 IFEQ v3 PX 100", "+OK"},
    {0, "PTTL k", ":100"},
    {1000101, "SET k v5 IFEQ v4", "$-1"})

SCRIPT_TEST(set_takes_times_in_four_forms_and_drops_or_keeps_the_old_one,
    {0, "SET k v EX 100", "+OK"},
    {0, "PTTL k", ":100000"},
    {0, "SET k v PX 1500", "+OK"},
    {0, "PTTL k", ":1500"},
    {0, "SET k v EXAT 2000", "+OK"},
    {0, "PTTL k", ":1000000"},
    {0, "SET k v PXAT 1000007", "+OK"},
    {0, "PTTL k", ":7"},
    {0, "SET k w KEEPTTL", "+OK"},
    {0, "PTTL k", ":7"},
    {0, "SET k v", "+OK"},
    {0, "PTTL k", ":-1"},
    {0, "SET k v EX 0", "-ERR invalid expire time in 'set' command"},
    {0, "SET k v PX -1", "-ERR invalid expire time in 'set' command"},
    {0, "SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
    {0, "SET k v EX 9223372036854775", "-ERR invalid expire time in 'set' command"},
    {0, "SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
    {0, "SET k v EX ten", "-ERR value is not an integer or out of range"},
    {0, "SET k v EX 1.5", "-ERR value is not an integer or out of range"},
    {0, "SET k v EX 10 NX GET", "$1 v"},
    {0, "PTTL k", ":-1"},
    {0, "SET k v PXAT 5", "+OK"},
    {0, "EXISTS k", ":0"},
    {0, "GET k", "$-1"})

SCRIPT_TEST(setnx_setex_psetex_getset_getdel_do_what_their_names_say,
    {0, "SETNX k v", ":1"},
    {0, "SETNX k w", ":0"},
    {0, "GET k", "$1 v"},
    {0, "SETEX k 10 w", "+OK"},
    {0, "TTL k", ":10"},
    {0, "PSETEX k 10 w", "+OK"},
    {0, "PTTL k", ":10"},
    {0, "SETEX k 0 w", "-ERR invalid expire time in 'setex' command"},
    {0, "PSETEX k -5 w", "-ERR invalid expire time in 'psetex' command"},
    {0, "SETEX k x w", "-ERR value is not an integer or out of range"},
    {0, "GETSET k x", "$1 w"},
    {0, "PTTL k", ":-1"},
    {0, "GETSET n x", "$-1"},
    {0, "GETDEL n", "$1 x"},
    {0, "GETDEL n", "$-1"},
    {0, "EXISTS n", ":0"})

SCRIPT_TEST(getex_changes_the_deadline_and_nothing_else,
    {0, "GETEX k", "$-1"},
    {0, "SET k v", "+OK"},
    {0, "GETEX k", "$1 v"},
    {0, "PTTL k", ":-1"},
    {0, "GETEX k EX 10", "$1 v"},
    {0, "PTTL k", ":10000"},
    {0, "GETEX k", "$1 v"},
    {0, "PTTL k", ":10000"},
    {0, "GETEX k PXAT 1000020", "$1 v"},
    {0, "PTTL k", ":20"},
    {0, "GETEX k PERSIST", "$1 v"},
    {0, "PTTL k", ":-1"},
    {0, "GETEX k EX 0", "-ERR invalid expire time in 'getex' command"},
    {0, "GETEX missing EX 0", "$-1"},
    {0, "GETEX k EX 10 PERSIST", "-ERR syntax error"},
    {0, "GETEX k NX", "-ERR syntax error"},
    {0, "GETEX k KEEPTTL", "-ERR syntax error"},
    {0, "GETEX k EXAT 999", "$1 v"},
    {0, "EXISTS k", ":0"})

SCRIPT_TEST(many_keys_are_read_and_written_at_once,
    {0, "MSET a 1 b 2 a 3", "+OK"},
    {0, "MGET a b c a", "*4 $1 3 $1 2 $-1 $1 3"},
    {0, "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
    {0, "MSETNX c 1 a 9", ":0"},
    {0, "EXISTS c", ":0"},
    {0, "MSETNX c 1 d 2", ":1"},
    {0, "MGET c d", "*2 $1 1 $1 2"},
    {0, "MSETNX c 1 d", "-ERR wrong number of arguments for 'msetnx' command"},
    {0, "SET a 1 PX 5", "+OK"},
    {0, "MSET a 2", "+OK"},
    {0, "PTTL a", ":-1"})

SCRIPT_TEST(append_strlen_and_setrange_change_parts_and_keep_the_deadline,
    {0, "STRLEN k", ":0"},
    {0, "APPEND k hello", ":5"},
    {0, "PEXPIRE k 1000", ":1"},
    {0, "APPEND k -world", ":11"},
    {0, "STRLEN k", ":11"},
    {0, "GET k", "$11 hello-world"},
    {0, "PTTL k", ":1000"},
    {0, "SETRANGE k 5 +", ":11"},
    {0, "GET k", "$11 hello+world"},
    {0, "SETRANGE k 6 redis!!", ":13"},
    {0, "GET k", "$13 hello+redis!!"},
    {0, "PTTL k", ":1000"},
    {0, "SETRANGE k 0 \"\"", ":13"},
    {0, "SETRANGE n 0 \"\"", ":0"},
    {0, "SETRANGE n 5 \"\"", ":0"},
    {0, "EXISTS n", ":0"},
    {0, "SETRANGE n 2 ab", ":4"},
    {0, "GET n", "$4 \\x00\\x00ab"},
    {0, "SETRANGE n 5 c", ":6"},
    {0, "GET n", "$6 \\x00\\x00ab\\x00c"},
    {0, "SETRANGE n -1 x", "-ERR offset is out of range"},
    {0, "SETRANGE n x x", "-ERR value is not an integer or out of range"},
    {0, "SETRANGE n 67108863 ab", "-ERR string exceeds maximum allowed size (67108864 bytes)"},
    {0, "SETRANGE n 9223372036854775807 a", "-ERR string exceeds maximum allowed size (67108864 bytes)"},
    {0, "APPEND e \"\"", ":0"},
    {0, "EXISTS e", ":1"})

SCRIPT_TEST(getrange_counts_from_both_ends,
    {0, "SET k Hello-World", "+OK"},
    {0, "GETRANGE k 0 4", "$5 Hello"},
    {0, "GETRANGE k -5 -1", "$5 World"},
    {0, "GETRANGE k 0 -1", "$11 Hello-World"},
    {0, "GETRANGE k 6 100", "$5 World"},
    {0, "GETRANGE k -100 1", "$2 He"},
    {0, "GETRANGE k 5 3", "$0 "},
    {0, "GETRANGE k -1 -5", "$0 "},
    {0, "GETRANGE k -100 -200", "$0 "},
    {0, "GETRANGE k -200 -100", "$1 H"},
    {0, "GETRANGE k 11 20", "$0 "},
    {0, "GETRANGE missing 0 -1", "$0 "},
    {0, "GETRANGE k -9223372036854775808 9223372036854775807", "$11 Hello-World"},
    {0, "GETRANGE k a 1", "-ERR value is not an integer or out of range"},
    {0, "GETRANGE k 0 1.0", "-ERR value is not an integer or out of range"},
    {0, "SUBSTR k 0 3", "$4 Hell"})

SCRIPT_TEST(counters_are_decimal_strings_within_64_bits,
    {0, "INCR n", ":1"},
    {0, "INCRBY n 41", ":42"},
    {0, "GET n", "$2 42"},
    {0, "DECR n", ":41"},
    {0, "DECRBY n 50", ":-9"},
    {0, "GET n", "$2 -9"},
    {0, "SET n 9223372036854775806", "+OK"},
    {0, "INCR n", ":9223372036854775807"},
    {0, "INCR n", "-ERR increment or decrement would overflow"},
    {0, "GET n", "$19 9223372036854775807"},
    {0, "SET n -9223372036854775808", "+OK"},
    {0, "DECR n", "-ERR increment or decrement would overflow"},
    {0, "INCRBY n 9223372036854775807", ":-1"},
    {0, "DECRBY n -9223372036854775808", "-ERR decrement would overflow"},
    {0, "INCRBY n 9223372036854775808", "-ERR value is not an integer or out of range"},
    {0, "INCRBY n 1.0", "-ERR value is not an integer or out of range"},
    {0, "SET n abc", "+OK"},
    {0, "INCR n", "-ERR value is not an integer or out of range"},
    {0, "SET n 01", "+OK"},
    {0, "INCR n", "-ERR value is not an integer or out of range"},
    {0, "SET n +1", "+OK"},
    {0, "INCR n", "-ERR value is not an integer or out of range"},
    {0, "SET n -0", "+OK"},
    {0, "INCR n", "-ERR value is not an integer or out of range"},
    {0, "SET n \"\"", "+OK"},
    {0, "INCR n", "-ERR value is not an integer or out of range"},
    {0, "SET n 0", "+OK"},
    {0, "DECR n", ":-1"},
    {0, "SET n 5 PX 100", "+OK"},
    {0, "INCR n", ":6"},
    {0, "PTTL n", ":100"})
/* clang-format on */

static void limits_of_keys_and_values_hold_at_apply_too(void **state)
{
    struct script script;
    struct buffer shown = {0};
    script_open(&script);
    uint8_t *large = memory_new(MACHINE_VALUE_SIZE_MAX + 1);
    struct hf_bytes items[] = {{"set", 3}, {large, MACHINE_KEY_SIZE_MAX + 1}, {"v", 1}};
    struct arguments arguments = {items, 3};
    script_run(&script, &arguments, 0);
    assert_string_equal(script_show(buffer_bytes(&script.reply), &shown),
                        "-ERR key is larger than the limit of 4096 bytes");
    items[1].size = MACHINE_KEY_SIZE_MAX;
    script_run(&script, &arguments, 0);
    assert_string_equal(script_show(buffer_bytes(&script.reply), &shown), "+OK");
    items[1].size = 1;
    items[2] = bytes_of(large, MACHINE_VALUE_SIZE_MAX + 1);
    script_run(&script, &arguments, 0);
    assert_string_equal(script_show(buffer_bytes(&script.reply), &shown),
                        "-ERR string exceeds maximum allowed size (67108864 bytes)");
    items[2].size = MACHINE_VALUE_SIZE_MAX;
    script_run(&script, &arguments, 0);
    assert_string_equal(script_show(buffer_bytes(&script.reply), &shown), "+OK");
    struct hf_bytes append[] = {{"append", 6}, {large, 1}, {"x", 1}};
    struct arguments append_arguments = {append, 3};
    script_run(&script, &append_arguments, 0);
    assert_string_equal(script_show(buffer_bytes(&script.reply), &shown),
                        "-ERR string exceeds maximum allowed size (67108864 bytes)");
    free(large);
    buffer_close(&shown);
    script_close(&script);
}

static void a_reply_beyond_its_limit_becomes_an_error(void **state)
{
    struct script script;
    struct buffer out = {0};
    struct buffer shown = {0};
    script_open(&script);
    script_expect(&script, 0, "SET k 0123456789", "+OK");
    struct hf_bytes items[] = {{"mget", 4}, {"k", 1}, {"k", 1}};
    struct arguments arguments = {items, 3};
    struct machine_context context = {.stamp_ms = SCRIPT_STAMP};
    buffer_append_text(&out, "before ");
    struct reply reply = reply_of(&out, 2);
    reply.size_max = 30;
    assert_int_equal(machine_execute(script.keyspace, command_data_find(items[0]), &arguments, &context, &reply), 0);
    assert_true(reply.overflowed);
    reply.size_max = 100;
    reply_finish(&reply);
    assert_string_equal(script_show(buffer_bytes(&out), &shown),
                        "before -ERR the reply would be larger than 100 bytes; the command was executed");
    buffer_close(&out);
    buffer_close(&shown);
    script_close(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_returns_what_set_stored),
        cmocka_unit_test(set_obeys_nx_xx_and_get),
        cmocka_unit_test(set_with_ifeq_compares_and_sets),
        cmocka_unit_test(set_takes_times_in_four_forms_and_drops_or_keeps_the_old_one),
        cmocka_unit_test(setnx_setex_psetex_getset_getdel_do_what_their_names_say),
        cmocka_unit_test(getex_changes_the_deadline_and_nothing_else),
        cmocka_unit_test(many_keys_are_read_and_written_at_once),
        cmocka_unit_test(append_strlen_and_setrange_change_parts_and_keep_the_deadline),
        cmocka_unit_test(getrange_counts_from_both_ends),
        cmocka_unit_test(counters_are_decimal_strings_within_64_bits),
        cmocka_unit_test(limits_of_keys_and_values_hold_at_apply_too),
        cmocka_unit_test(a_reply_beyond_its_limit_becomes_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
