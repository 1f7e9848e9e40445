/* Keys of any type, times to live, and the whole keyspace. */
#include "base/hash.h"
#include "base/rng.h"
#include "unit/server/machine_script.h"

/* clang-format off */
SCRIPT_TEST(del_exists_touch_type_and_delifeq_look_at_keys,
    {0, "MSET a 1 b 2 c 3", "+OK"},
    {0, "EXISTS a b x a", ":3"},
    {0, "TOUCH a x c", ":2"},
    {0, "TYPE a", "+string"},
    {0, "TYPE x", "+none"},
    {0, "DEL a a x", ":1"},
    {0, "UNLINK b x", ":1"},
    {0, "EXISTS a b", ":0"},
    {0, "DELIFEQ c 2", ":0"},
    {0, "DELIFEQ c 3", ":1"},
    {0, "DELIFEQ c 3", ":0"},
    {0, "DBSIZE", ":0"},
    {0, "DEL", "-ERR wrong number of arguments for 'del' command"})

SCRIPT_TEST(flush_empties_the_keyspace,
    {0, "MSET a 1 b 2", "+OK"},
    {0, "EXPIRE a 10", ":1"},
    {0, "FLUSHDB", "+OK"},
    {0, "DBSIZE", ":0"},
    {0, "KEYS *", "*0"},
    {0, "SET a 1", "+OK"},
    {0, "FLUSHALL ASYNC", "+OK"},
    {0, "GET a", "$-1"},
    {0, "FLUSHALL sync", "+OK"},
    {0, "FLUSHALL now", "-ERR syntax error"},
    {0, "FLUSHDB async sync", "-ERR syntax error"})

SCRIPT_TEST(keys_match_patterns_and_come_in_byte_order,
    {0, "MSET one 1 two 2 three 3 four 4", "+OK"},
    {0, "KEYS *", "*4 $4 four $3 one $5 three $3 two"},
    {0, "KEYS t*", "*2 $5 three $3 two"},
    {0, "KEYS ?[nw]?", "*2 $3 one $3 two"},
    {0, "KEYS t?o", "*1 $3 two"},
    {0, "KEYS one", "*1 $3 one"},
    {0, "KEYS \"\"", "*0"})

SCRIPT_TEST(expire_in_four_forms_and_the_questions_about_it,
    {0, "EXPIRE k 10", ":0"},
    {0, "TTL k", ":-2"},
    {0, "PTTL k", ":-2"},
    {0, "EXPIRETIME k", ":-2"},
    {0, "PEXPIRETIME k", ":-2"},
    {0, "PERSIST k", ":0"},
    {0, "SET k v", "+OK"},
    {0, "TTL k", ":-1"},
    {0, "PEXPIRETIME k", ":-1"},
    {0, "PERSIST k", ":0"},
    {0, "EXPIRE k 10", ":1"},
    {0, "TTL k", ":10"},
    {0, "PTTL k", ":10000"},
    {0, "EXPIRETIME k", ":1010"},
    {0, "PEXPIRETIME k", ":1010000"},
    {0, "PERSIST k", ":1"},
    {0, "PTTL k", ":-1"},
    {0, "PEXPIRE k 1499", ":1"},
    {0, "TTL k", ":1"},
    {0, "PEXPIRE k 1500", ":1"},
    {0, "TTL k", ":2"},
    {0, "EXPIREAT k 2000", ":1"},
    {0, "PTTL k", ":1000000"},
    {0, "PEXPIREAT k 1000042", ":1"},
    {0, "PTTL k", ":42"},
    {0, "GET k", "$1 v"},
    {0, "EXPIRE k x", "-ERR value is not an integer or out of range"},
    {0, "EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
    {0, "EXPIRE k 9223372036854775", "-ERR invalid expire time in 'expire' command"},
    {0, "PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"},
    {0, "PEXPIREAT k 9223372036854775807", ":1"},
    {0, "PEXPIRETIME k", ":9223372036854775807"},
    {0, "EXPIREAT k -9223372036854775807", "-ERR invalid expire time in 'expireat' command"},
    {0, "EXPIRE k -1", ":1"},
    {0, "EXISTS k", ":0"},
    {0, "SET k v", "+OK"},
    {0, "PEXPIREAT k 1000000", ":1"},
    {0, "EXISTS k", ":0"},
    {0, "SET k v", "+OK"},
    {0, "EXPIREAT k 0", ":1"},
    {0, "EXISTS k", ":0"})

SCRIPT_TEST(expire_obeys_nx_xx_gt_and_lt,
    {0, "SET k v", "+OK"},
    {0, "EXPIRE k 10 XX", ":0"},
    {0, "EXPIRE k 10 GT", ":0"},
    {0, "EXPIRE k 10 nx", ":1"},
    {0, "EXPIRE k 20 NX", ":0"},
    {0, "EXPIRE k 5 GT", ":0"},
    {0, "EXPIRE k 10 GT", ":0"},
    {0, "EXPIRE k 20 GT", ":1"},
    {0, "EXPIRE k 30 LT", ":0"},
    {0, "EXPIRE k 20 LT", ":0"},
    {0, "EXPIRE k 15 LT", ":1"},
    {0, "EXPIRE k 30 XX GT", ":1"},
    {0, "EXPIRE k 5 XX LT", ":1"},
    {0, "TTL k", ":5"},
    {0, "EXPIRE k 10 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible"},
    {0, "EXPIRE k 10 NX GT", "-ERR NX and XX, GT or LT options at the same time are not compatible"},
    {0, "EXPIRE k 10 LT NX", "-ERR NX and XX, GT or LT options at the same time are not compatible"},
    {0, "EXPIRE k 10 GT LT", "-ERR GT and LT options at the same time are not compatible"},
    {0, "EXPIRE k 10 OR", "-ERR Unsupported option OR"},
    {0, "EXPIRE k x OR", "-ERR Unsupported option OR"},
    {0, "PERSIST k", ":1"},
    {0, "EXPIRE k 10 LT", ":1"},
    {0, "EXPIRE k -1 GT", ":0"},
    {0, "EXPIRE k -1 LT", ":1"},
    {0, "EXISTS k", ":0"})

SCRIPT_TEST(a_key_past_its_deadline_is_absent_in_every_command_before_it_is_deleted,
    {1000, "SET k v PX 100", "+OK"},
    {1000, "SET other v", "+OK"},
    {1100, "GET k", "$1 v"},
    {1100, "PTTL k", ":0"},
    {1101, "GET k", "$-1"},
    {1101, "MGET k other", "*2 $-1 $1 v"},
    {1101, "EXISTS k", ":0"},
    {1101, "TYPE k", "+none"},
    {1101, "STRLEN k", ":0"},
    {1101, "GETRANGE k 0 -1", "$0 "},
    {1101, "TTL k", ":-2"},
    {1101, "KEYS *", "*1 $5 other"},
    {1101, "SCAN 0", "*2 $1 0 *1 $5 other"},
    {1101, "DBSIZE", ":1"},
    {1101, "RANDOMKEY", "$5 other"},
    {1101, "PERSIST k", ":0"},
    {1101, "EXPIRE k 100", ":0"},
    {1101, "DELIFEQ k v", ":0"},
    {1101, "SET k w XX", "$-1"},
    {1101, "SET k w IFEQ v", "$-1"},
    {1101, "GETEX k PERSIST", "$-1"},
    {1101, "DEL k", ":0"},
    {2000, "SET k v PX 100", "+OK"},
    {2101, "APPEND k x", ":1"},
    {2101, "PTTL k", ":-1"},
    {3000, "SET k 5 PX 100", "+OK"},
    {3101, "INCR k", ":1"},
    {3101, "PTTL k", ":-1"},
    {4000, "SET k 5 PX 100", "+OK"},
    {4101, "SETRANGE k 1 a", ":2"},
    {5000, "SET k 5 PX 100", "+OK"},
    {5101, "SET k 6 KEEPTTL", "+OK"},
    {5101, "PTTL k", ":-1"},
    {6000, "SET k 5 PX 100", "+OK"},
    {6101, "SETNX k 6", ":1"},
    {7000, "SET k 5 PX 100", "+OK"},
    {7101, "MSETNX k 6 l 7", ":1"},
    {8000, "SET k 5 PX 100", "+OK"},
    {8101, "GETSET k 6", "$-1"},
    {9000, "SET k 5 PX 100", "+OK"},
    {9101, "GETDEL k", "$-1"})

SCRIPT_TEST(stamps_never_go_backwards,
    {5000, "SET k v PX 100", "+OK"},
    {5101, "SET other v", "+OK"},
    {5000, "GET k", "$-1"},
    {100, "PTTL other", ":-1"},
    {100, "SET k v PX 100", "+OK"},
    {0, "PEXPIRETIME k", ":-2"},
    {5101, "PEXPIRETIME k", ":5201"})

SCRIPT_TEST(scan_refuses_what_is_not_right,
    {0, "SCAN x", "-ERR invalid cursor"},
    {0, "SCAN -1", "-ERR invalid cursor"},
    {0, "SCAN 18446744073709551616", "-ERR invalid cursor"},
    {0, "SCAN 0 COUNT", "-ERR syntax error"},
    {0, "SCAN 0 COUNT 0", "-ERR syntax error"},
    {0, "SCAN 0 COUNT x", "-ERR value is not an integer or out of range"},
    {0, "SCAN 0 WHAT x", "-ERR syntax error"},
    {0, "SCAN 0", "*2 $1 0 *0"},
    {0, "SET k v", "+OK"},
    {0, "SCAN 0 TYPE string", "*2 $1 0 *1 $1 k"},
    {0, "SCAN 0 TYPE list", "*2 $1 0 *0"},
    {0, "SCAN 0 MATCH x*", "*2 $1 0 *0"},
    {0, "SCAN 0 match * count 5", "*2 $1 0 *1 $1 k"},
    {0, "SCAN 18446744073709551615", "*2 $1 0 *0"})
/* clang-format on */

/* ---- SCAN over a keyspace that changes ---- */

static bool reply_has(struct hf_bytes reply, const char *key)
{
    char bulk[64];
    int size = snprintf(bulk, sizeof(bulk), "$%zu\r\n%s\r\n", strlen(key), key);
    return memmem(reply.data, reply.size, bulk, (size_t)size) != NULL;
}

static uint64_t reply_cursor(struct hf_bytes reply)
{
    const char *text = memchr((const char *)reply.data + 4, '\n', reply.size - 4);
    return strtoull(text + 1, NULL, 10);
}

static void scan_returns_what_is_there_throughout_while_other_keys_come_and_go(void **state)
{
    enum { KEYS = 500 };
    struct script script;
    struct rng rng;
    bool seen[KEYS] = {false};
    char command[64];
    script_open(&script);
    rng_seed(&rng, 7);
    for (int i = 0; i < KEYS; i++) {
        snprintf(command, sizeof(command), "SET stay:%d v", i);
        script_expect(&script, 0, command, "+OK");
    }
    uint64_t cursor = 0;
    unsigned calls = 0;
    do {
        struct hf_bytes items[SCRIPT_ARGUMENTS];
        struct buffer copy = {0};
        snprintf(command, sizeof(command), "SCAN %llu COUNT 7", (unsigned long long)cursor);
        struct arguments arguments = script_split(command, &copy, items);
        script_run(&script, &arguments, 0);
        buffer_close(&copy);
        for (int i = 0; i < KEYS; i++) {
            snprintf(command, sizeof(command), "stay:%d", i);
            seen[i] |= reply_has(buffer_bytes(&script.reply), command);
        }
        cursor = reply_cursor(buffer_bytes(&script.reply));
        calls++;
        snprintf(command, sizeof(command), "SET go:%d v", (int)rng_below(&rng, 200));
        script_expect(&script, 0, command, "+OK");
        snprintf(command, sizeof(command), "GETDEL go:%d", (int)rng_below(&rng, 200));
        buffer_clear(&script.reply);
        struct hf_bytes del_items[SCRIPT_ARGUMENTS];
        struct buffer del_copy = {0};
        struct arguments del = script_split(command, &del_copy, del_items);
        script_run(&script, &del, 0);
        buffer_close(&del_copy);
    } while (cursor != 0 && calls < 1000);
    assert_int_equal(cursor, 0);
    assert_true(calls > 50 && calls < 200);
    for (int i = 0; i < KEYS; i++) {
        assert_true(seen[i]);
    }
    script_close(&script);
}

static void scan_walks_from_group_to_group_by_its_cursor(void **state)
{
    struct script script;
    struct buffer shown = {0};
    struct buffer out = {0};
    script_open(&script);
    script_expect(&script, 0, "SET k v", "+OK");
    const struct command_spec *scan = command_data_find(bytes_of_text("scan"));
    static const struct {
        const char *cursor;
        uint32_t ordinal;
        const char *reply;
    } rows[] = {
        {"0", 0, "*2 $15 281474976710656 *1 $1 k"},               /* on to group 1 */
        {"281474976710656", 1, "*2 $15 562949953421312 *1 $1 k"}, /* on to group 2 */
        {"562949953421312", 2, "*2 $1 0 *1 $1 k"},                /* the last one */
        {"844424930131968", 2, "*2 $1 0 *0"},                     /* nobody's */
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_bytes items[] = {{"scan", 4}, bytes_of_text(rows[i].cursor)};
        struct arguments arguments = {items, 2};
        struct machine_context context = {
            .stamp_ms = SCRIPT_STAMP, .routed_ordinal = rows[i].ordinal, .routed_count = 3};
        uint32_t ordinal;
        assert_int_equal(machine_scan_ordinal(&arguments, &ordinal), 0);
        assert_true(ordinal == rows[i].ordinal || i == 3);
        buffer_clear(&out);
        struct reply reply = reply_of(&out, 2);
        assert_int_equal(machine_execute(script.keyspace, scan, &arguments, &context, &reply), 0);
        assert_string_equal(script_show(buffer_bytes(&out), &shown), rows[i].reply);
    }
    struct hf_bytes bad[] = {{"scan", 4}, {"1x", 2}};
    struct arguments arguments = {bad, 2};
    uint32_t ordinal;
    assert_int_equal(machine_scan_ordinal(&arguments, &ordinal), HF_EINVALID);
    buffer_close(&out);
    buffer_close(&shown);
    script_close(&script);
}

static void keys_of_equal_hash_come_together(void **state)
{
    struct script script;
    struct buffer shown = {0};
    script_open(&script);
    script_expect(&script, 0, "MSET a 1 b 2 c 3", "+OK");
    /* As if the three hashed alike: nothing else could be split by a cursor. */
    uint8_t scan_key[KEYSPACE_HASH_SIZE + 1] = {0, 0, 0, 0, 0, 9, 0};
    assert_int_equal(hf_store_clear(script.store, KEYSPACE_TREE_SCAN), 0);
    for (uint8_t key = 'a'; key <= 'c'; key++) {
        scan_key[KEYSPACE_HASH_SIZE] = key;
        assert_int_equal(
            hf_store_put(script.store, KEYSPACE_TREE_SCAN, bytes_of(scan_key, sizeof(scan_key)), bytes_of("", 0), NULL),
            0);
    }
    script_expect(&script, 0, "SCAN 0 COUNT 1", "*2 $1 0 *3 $1 a $1 b $1 c");
    script_expect(&script, 0, "FLUSHALL", "+OK");
    buffer_close(&shown);
    script_close(&script);
}

static void randomkey_reaches_every_key_and_none_in_an_empty_keyspace(void **state)
{
    struct script script;
    struct buffer out = {0};
    struct buffer shown = {0};
    bool seen[3] = {false};
    script_open(&script);
    script_expect(&script, 0, "RANDOMKEY", "$-1");
    script_expect(&script, 0, "MSET a 1 b 2 c 3", "+OK");
    const struct command_spec *spec = command_data_find(bytes_of_text("randomkey"));
    struct hf_bytes items[] = {{"randomkey", 9}};
    struct arguments arguments = {items, 1};
    for (uint64_t random = 0; random < 100; random++) {
        struct machine_context context = {.stamp_ms = SCRIPT_STAMP, .random = random};
        buffer_clear(&out);
        struct reply reply = reply_of(&out, 2);
        assert_int_equal(machine_execute(script.keyspace, spec, &arguments, &context, &reply), 0);
        const char *answer = script_show(buffer_bytes(&out), &shown);
        assert_true(strlen(answer) == 4 && answer[3] >= 'a' && answer[3] <= 'c');
        seen[answer[3] - 'a'] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    buffer_close(&out);
    buffer_close(&shown);
    script_close(&script);
}

static void randomkey_finds_the_one_key_among_many_past_their_deadline(void **state)
{
    struct script script;
    char command[64];
    script_open(&script);
    for (int i = 0; i < 500; i++) {
        snprintf(command, sizeof(command), "SET old:%d v PX 10", i);
        script_expect(&script, 1000, command, "+OK");
    }
    script_expect(&script, 1000, "SET here v", "+OK");
    script_expect(&script, 1011, "RANDOMKEY", "$4 here");
    script_expect(&script, 1011, "DBSIZE", ":1");
    script_expect(&script, 1011, "DEL here", ":1");
    script_expect(&script, 1011, "RANDOMKEY", "$-1");
    script_close(&script);
}

static void H22_a_pattern_that_costs_too_much_is_refused(void **state)
{
    struct script script;
    struct buffer shown = {0};
    script_open(&script);
    static char key[MACHINE_KEY_SIZE_MAX];
    static char pattern[20001];
    memset(key, 'a', sizeof(key));
    for (size_t i = 0; i < sizeof(pattern) - 1; i += 2) {
        memcpy(pattern + i, "[a", 2); /* a class that never ends: every byte of the key walks all of it */
    }
    struct hf_bytes set[] = {{"set", 3}, {key, sizeof(key)}, {"v", 1}};
    struct arguments set_arguments = {set, 3};
    script_run(&script, &set_arguments, 0);
    pattern[0] = '*';
    pattern[1] = '[';
    pattern[2] = 'b';
    for (size_t i = 3; i < sizeof(pattern); i++) {
        pattern[i] = 'c';
    }
    struct hf_bytes keys[] = {{"keys", 4}, {pattern, sizeof(pattern)}};
    struct arguments keys_arguments = {keys, 2};
    script_run(&script, &keys_arguments, 0);
    assert_string_equal(script_show(buffer_bytes(&script.reply), &shown),
                        "-ERR the pattern takes too much work; use a simpler one");
    buffer_close(&shown);
    script_close(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(del_exists_touch_type_and_delifeq_look_at_keys),
        cmocka_unit_test(flush_empties_the_keyspace),
        cmocka_unit_test(keys_match_patterns_and_come_in_byte_order),
        cmocka_unit_test(expire_in_four_forms_and_the_questions_about_it),
        cmocka_unit_test(expire_obeys_nx_xx_gt_and_lt),
        cmocka_unit_test(a_key_past_its_deadline_is_absent_in_every_command_before_it_is_deleted),
        cmocka_unit_test(stamps_never_go_backwards),
        cmocka_unit_test(scan_refuses_what_is_not_right),
        cmocka_unit_test(scan_returns_what_is_there_throughout_while_other_keys_come_and_go),
        cmocka_unit_test(scan_walks_from_group_to_group_by_its_cursor),
        cmocka_unit_test(keys_of_equal_hash_come_together),
        cmocka_unit_test(randomkey_reaches_every_key_and_none_in_an_empty_keyspace),
        cmocka_unit_test(randomkey_finds_the_one_key_among_many_past_their_deadline),
        cmocka_unit_test(H22_a_pattern_that_costs_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
