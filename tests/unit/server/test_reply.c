/* Replies in both protocols, and the table of commands. */
#include <inttypes.h>

#include "server/argument.h"
#include "unit/server/machine_script.h"

enum kind {
    STATUS,
    ERROR,
    INTEGER,
    BULK,
    NUL,
    NULL_ARRAY,
    TRUTH,
    DOUBLE,
    VERBATIM,
    ARRAY,
    MAP,
    SET,
    PUSH,
    NUMBER_BULK
};

static const struct {
    enum kind kind;
    int64_t number;
    const char *text;
    const char *resp2;
    const char *resp3;
} rows[] = {
    {STATUS, 0, "OK", "+OK", "+OK"},
    {ERROR, 0, "ERR a\r\nb", "-ERR a  b", "-ERR a  b"},
    {INTEGER, 0, "", ":0", ":0"},
    {INTEGER, INT64_MIN, "", ":-9223372036854775808", ":-9223372036854775808"},
    {INTEGER, INT64_MAX, "", ":9223372036854775807", ":9223372036854775807"},
    {BULK, 0, "", "$0 ", "$0 "},
    {BULK, 0, "abc", "$3 abc", "$3 abc"},
    {NUMBER_BULK, -12, "", "$3 -12", "$3 -12"},
    {NUL, 0, "", "$-1", "_"},
    {NULL_ARRAY, 0, "", "*-1", "_"},
    {TRUTH, 1, "", ":1", "#t"},
    {TRUTH, 0, "", ":0", "#f"},
    {DOUBLE, 3, "", "$3 3.5", ",3.5"},
    {VERBATIM, 0, "text", "$4 text", "=8 txt:text"},
    {ARRAY, 3, "", "*3", "*3"},
    {MAP, 3, "", "*6", "%3"},
    {SET, 3, "", "*3", "~3"},
    {PUSH, 3, "", "*3", ">3"},
};

static void build(struct reply *reply, size_t row)
{
    const char *text = rows[row].text;
    int64_t number = rows[row].number;
    switch (rows[row].kind) {
    case STATUS:
        reply_status(reply, text);
        break;
    case ERROR:
        reply_error(reply, "%s", text);
        break;
    case INTEGER:
        reply_integer(reply, number);
        break;
    case BULK:
        reply_bulk_text(reply, text);
        break;
    case NUMBER_BULK:
        reply_bulk_integer(reply, number);
        break;
    case NUL:
        reply_null(reply);
        break;
    case NULL_ARRAY:
        reply_null_array(reply);
        break;
    case TRUTH:
        reply_boolean(reply, number != 0);
        break;
    case DOUBLE:
        reply_double(reply, (double)number + 0.5);
        break;
    case VERBATIM:
        reply_verbatim(reply, "txt", bytes_of_text(text));
        break;
    case ARRAY:
        reply_array(reply, (size_t)number);
        break;
    case MAP:
        reply_map(reply, (size_t)number);
        break;
    case SET:
        reply_set(reply, (size_t)number);
        break;
    case PUSH:
        reply_push(reply, (size_t)number);
        break;
    }
}

static void every_kind_of_reply_is_written_for_both_protocols(void **state)
{
    struct buffer out = {0};
    struct buffer shown = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (unsigned protocol = 2; protocol <= 3; protocol++) {
            buffer_clear(&out);
            struct reply reply = reply_of(&out, protocol);
            build(&reply, i);
            assert_string_equal(script_show(buffer_bytes(&out), &shown), protocol == 2 ? rows[i].resp2 : rows[i].resp3);
            struct reply nobody = reply_of(NULL, protocol);
            build(&nobody, i);
            reply_finish(&nobody);
        }
    }
    buffer_close(&out);
    buffer_close(&shown);
}

/* ---- The table ---- */

static void every_row_of_the_table_is_complete_and_found_by_name_and_number(void **state)
{
    bool seen[COMMAND_NUMBER_END] = {false};
    for (size_t i = 0; i < command_table_data_count; i++) {
        const struct command_spec *spec = &command_table_data[i];
        assert_non_null(spec->name);
        assert_non_null(spec->execute);
        assert_non_null(spec->summary);
        assert_true(spec->arity != 0);
        assert_true(((spec->flags & COMMAND_READ) != 0) != ((spec->flags & COMMAND_WRITE) != 0));
        assert_false(seen[spec->number]);
        seen[spec->number] = true;
        assert_ptr_equal(command_by_number(spec->number), spec);
        assert_ptr_equal(command_data_find(bytes_of_text(spec->name)), spec);
        assert_true(spec->first_key == 0 || spec->key_step > 0);
        assert_true(strlen(spec->name) <= COMMAND_NAME_SIZE_MAX);
    }
    assert_null(command_by_number(COMMAND_NUMBER_NONE));
    assert_null(command_by_number(COMMAND_NUMBER_END));
    assert_null(command_by_number(UINT32_MAX));
    assert_null(command_data_find(bytes_of_text("nonsense")));
    assert_null(command_data_find(bytes_of_text("")));
    assert_non_null(command_data_find(bytes_of_text("gEt")));
    assert_null(command_data_find(bytes_of_text("ge")));
    assert_null(command_data_find(bytes_of_text("gett")));
}

static const struct {
    const char *command;
    const char *keys;
} key_rows[] = {
    {"GET k", "k"},          {"SET k v EX 10", "k"},  {"MGET a b c", "a b c"}, {"DEL a", "a"},
    {"MSET a 1 b 2", "a b"}, {"MSETNX a 1 b", "a b"}, {"DBSIZE", ""},          {"SCAN 0 MATCH x", ""},
    {"KEYS *", ""},          {"EXPIRE k 10 NX", "k"}, {"version k", "k"},      {"DEL", ""},
};

static void keys_are_found_by_their_positions(void **state)
{
    for (size_t i = 0; i < sizeof(key_rows) / sizeof(key_rows[0]); i++) {
        struct hf_bytes items[SCRIPT_ARGUMENTS];
        struct buffer copy = {0};
        struct buffer keys = {0};
        struct arguments arguments = script_split(key_rows[i].command, &copy, items);
        const struct command_spec *spec = command_data_find(items[0]);
        for (size_t j = 0; j < command_key_count(spec, &arguments); j++) {
            buffer_append_text(&keys, j > 0 ? " " : "");
            buffer_append_bytes(&keys, command_key_at(spec, &arguments, j));
        }
        buffer_append_u8(&keys, 0);
        assert_string_equal((const char *)keys.data, key_rows[i].keys);
        buffer_close(&keys);
        buffer_close(&copy);
    }
}

/* ---- Numbers ---- */

static const struct {
    const char *text;
    bool is_integer;
    int64_t value;
} number_rows[] = {
    {"0", true, 0},
    {"-1", true, -1},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"18446744073709551616", false, 0},
    {"99999999999999999999999", false, 0},
    {"", false, 0},
    {"-", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"01", false, 0},
    {"-0", false, 0},
    {"-01", false, 0},
    {"1.0", false, 0},
    {"1e3", false, 0},
    {"0x10", false, 0},
};

static void numbers_are_strict(void **state)
{
    for (size_t i = 0; i < sizeof(number_rows) / sizeof(number_rows[0]); i++) {
        int64_t value = 0;
        assert_int_equal(argument_integer(bytes_of_text(number_rows[i].text), &value), number_rows[i].is_integer);
        if (number_rows[i].is_integer) {
            char text[ARGUMENT_INTEGER_TEXT_MAX];
            assert_true(value == number_rows[i].value);
            assert_true(bytes_equal(argument_integer_text(value, text), bytes_of_text(number_rows[i].text)));
        }
    }
    int64_t value;
    assert_false(argument_integer(bytes_of(NULL, 0), &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_reply_is_written_for_both_protocols),
        cmocka_unit_test(every_row_of_the_table_is_complete_and_found_by_name_and_number),
        cmocka_unit_test(keys_are_found_by_their_positions),
        cmocka_unit_test(numbers_are_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
