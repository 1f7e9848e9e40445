#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/resp.h"

/* Versions of clang-format differ on braces in macros. */
/* clang-format off */
#define BYTES(text) {text, sizeof(text) - 1}
/* clang-format on */

static struct resp_parser parser_of_defaults(void)
{
    struct resp_parser parser;
    struct resp_limits limits = resp_limits_default();
    resp_parser_init(&parser, &limits);
    return parser;
}

/* Arguments joined by '|'. */
static void join(struct buffer *out, const struct arguments *arguments)
{
    buffer_clear(out);
    for (size_t i = 0; i < arguments->count; i++) {
        if (i > 0) {
            buffer_append_u8(out, '|');
        }
        buffer_append_bytes(out, arguments->items[i]);
    }
    buffer_append_u8(out, '\0');
}

static const struct {
    struct hf_bytes input;
    const char *commands[4]; /* joined arguments; NULL: no more */
} accepted[] = {
    {BYTES("*1\r\n$4\r\nPING\r\n"), {"PING"}},
    {BYTES("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n*1\r\n$4\r\nPING\r\n"), {"SET|k|hello", "PING"}},
    {BYTES("*2\r\n$3\r\nGET\r\n$0\r\n\r\n"), {"GET|"}},
    {BYTES("*2\r\n$4\r\nECHO\r\n$6\r\n\r\n*1\r\n\r\n"), {"ECHO|\r\n*1\r\n"}},
    {BYTES("PING\r\n"), {"PING"}},
    {BYTES("PING\n"), {"PING"}},
    {BYTES("  SET   key\tvalue  \r\nGET key\r\n"), {"SET|key|value", "GET|key"}},
    {BYTES("\r\n\n"), {"", ""}},
    {BYTES("*0\r\n*-1\r\n*-5\r\nPING\r\n"), {"", "", "", "PING"}},
    {BYTES("SET \"a b\" 'c d'\r\n"), {"SET|a b|c d"}},
    {BYTES("SET \"\\x41\\n\\\"\\q\" 'it\\'s \\n'\r\n"), {"SET|A\n\"q|it's \\n"}},
    {BYTES("SET \"\" ''\r\n"), {"SET||"}},
    {BYTES("SET a\"b\" c\r\n"), {"SET|ab|c"}},
    {BYTES("\"\\x4\" \"\\xzz\"\r\n"), {"x4|xzz"}},
    {BYTES("PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n"), {"PING", "PING", "PING"}},
};

static void commands_are_found_at_every_cut_of_the_bytes(void **state)
{
    struct buffer joined = {0};
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        for (size_t cut = 1; cut <= accepted[i].input.size; cut++) {
            struct resp_parser parser = parser_of_defaults();
            size_t start = 0;
            unsigned found = 0;
            /* The input moves between the two looks at it. */
            for (size_t known = cut;; known = accepted[i].input.size) {
                uint8_t *copy = memory_new(known);
                memcpy(copy, accepted[i].input.data, known);
                struct arguments arguments;
                size_t consumed = 0;
                while (start < known && resp_parse(&parser, bytes_of(copy + start, known - start), &arguments,
                                                   &consumed) == RESP_COMMAND) {
                    join(&joined, &arguments);
                    assert_non_null(accepted[i].commands[found]);
                    assert_string_equal((char *)joined.data, accepted[i].commands[found]);
                    found++;
                    start += consumed;
                }
                free(copy);
                if (known == accepted[i].input.size) {
                    break;
                }
            }
            assert_int_equal(start, accepted[i].input.size);
            assert_true(found == 4 || accepted[i].commands[found] == NULL);
            resp_parser_close(&parser);
        }
    }
    buffer_close(&joined);
}

static const struct {
    struct hf_bytes input;
    const char *text;
} broken[] = {
    {BYTES("*x\r\n"), "Protocol error: invalid multibulk length"},
    {BYTES("*\r\n"), "Protocol error: invalid multibulk length"},
    {BYTES("*1 \r\n"), "Protocol error: invalid multibulk length"},
    {BYTES("*+1\r\n"), "Protocol error: invalid multibulk length"},
    {BYTES("*01\r\n"), "Protocol error: invalid multibulk length"},
    {BYTES("*1\rx"), "Protocol error: invalid multibulk length"},
    {BYTES("*1048577\r\n"), "Protocol error: invalid multibulk length"},
    {BYTES("*9223372036854775808\r\n"), "Protocol error: invalid multibulk length"},
    {BYTES("*99999999999999999999999999999999"), "Protocol error: too big mbulk count string"},
    {BYTES("*1\r\n:1\r\n"), "Protocol error: expected '$', got ':'"},
    {BYTES("*1\r\n*1\r\n$1\r\nx\r\n"), "Protocol error: expected '$', got '*'"},
    {BYTES("*1\r\n\x01"), "Protocol error: expected '$', got '?'"},
    {BYTES("*1\r\n$-1\r\n"), "Protocol error: invalid bulk length"},
    {BYTES("*1\r\n$abc\r\n"), "Protocol error: invalid bulk length"},
    {BYTES("*1\r\n$67112961\r\n"),
     "Protocol error: invalid bulk length: 67112961 bytes are above the limit of 67112960"},
    {BYTES("*1\r\n$11111111111111111111111111111111"), "Protocol error: too big bulk count string"},
    {BYTES("*1\r\n$1\r\nxy\r\n"), "Protocol error: a bulk string of 1 bytes does not end there"},
    {BYTES("*1\r\n$1\r\nx\n\r"), "Protocol error: a bulk string of 1 bytes does not end there"},
    {BYTES("SET \"abc\r\n"), "Protocol error: unbalanced quotes in request"},
    {BYTES("SET 'abc\r\n"), "Protocol error: unbalanced quotes in request"},
    {BYTES("SET \"a\"b\r\n"), "Protocol error: unbalanced quotes in request"},
};

static void H22_broken_requests_are_refused_with_redis_words(void **state)
{
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct resp_parser parser = parser_of_defaults();
        enum resp_result result = RESP_MORE;
        for (size_t size = 1; size <= broken[i].input.size && result == RESP_MORE; size++) {
            struct arguments arguments;
            size_t consumed;
            result = resp_parse(&parser, bytes_of(broken[i].input.data, size), &arguments, &consumed);
        }
        assert_int_equal(result, RESP_BROKEN);
        assert_string_equal(hf_error_text(), broken[i].text);
        resp_parser_close(&parser);
    }
}

static void H22_an_endless_inline_line_is_refused_at_its_limit(void **state)
{
    struct resp_parser parser = parser_of_defaults();
    char *line = memory_new(RESP_INLINE_SIZE_MAX + 1);
    memset(line, 'x', RESP_INLINE_SIZE_MAX + 1);
    struct arguments arguments;
    size_t consumed;
    for (size_t size = 1; size <= RESP_INLINE_SIZE_MAX; size += 97) {
        assert_int_equal(resp_parse(&parser, bytes_of(line, size), &arguments, &consumed), RESP_MORE);
    }
    assert_int_equal(resp_parse(&parser, bytes_of(line, RESP_INLINE_SIZE_MAX + 1), &arguments, &consumed), RESP_BROKEN);
    assert_string_equal(hf_error_text(), "Protocol error: too big inline request");
    resp_parser_close(&parser);
    free(line);
}

static void H22_the_sum_of_all_arguments_has_a_limit(void **state)
{
    struct resp_limits limits = {.arguments_max = 100, .bulk_size_max = 40, .query_size_max = 100};
    struct resp_parser parser;
    resp_parser_init(&parser, &limits);
    struct buffer input = {0};
    buffer_append_text(&input, "*10\r\n");
    enum resp_result result = RESP_MORE;
    for (unsigned i = 0; i < 10 && result == RESP_MORE; i++) {
        buffer_append_text(&input, "$30\r\n012345678901234567890123456789\r\n");
        struct arguments arguments;
        size_t consumed;
        result = resp_parse(&parser, buffer_bytes(&input), &arguments, &consumed);
    }
    assert_int_equal(result, RESP_BROKEN);
    assert_string_equal(hf_error_text(), "Protocol error: the command is above the limit of 100 bytes");
    assert_true(input.size < 150);
    resp_parser_close(&parser);
    buffer_close(&input);
}

static void H22_what_is_announced_allocates_nothing(void **state)
{
    struct resp_parser parser = parser_of_defaults();
    struct arguments arguments;
    size_t consumed;
    const char text[] = "*1048576\r\n$67108864\r\nabc";
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    assert_int_equal(resp_parse(&parser, bytes_of_text(text), &arguments, &consumed), RESP_MORE);
    assert_int_equal(parser.capacity, 0);
    assert_true(mallinfo2().uordblks + mallinfo2().hblkhd <= before + 1024);
    resp_parser_close(&parser);
}

static void a_huge_command_leaves_no_memory_behind(void **state)
{
    struct resp_parser parser = parser_of_defaults();
    struct buffer input = {0};
    buffer_append_text(&input, "*100000\r\n");
    for (unsigned i = 0; i < 100000; i++) {
        buffer_append_text(&input, "$1\r\nx\r\n");
    }
    struct arguments arguments;
    size_t consumed;
    assert_int_equal(resp_parse(&parser, buffer_bytes(&input), &arguments, &consumed), RESP_COMMAND);
    assert_int_equal(arguments.count, 100000);
    assert_int_equal(consumed, input.size);
    assert_int_equal(resp_parse(&parser, bytes_of_text("PING\r\n"), &arguments, &consumed), RESP_COMMAND);
    assert_true(parser.capacity < 100);
    resp_parser_close(&parser);
    buffer_close(&input);
}

static void values_of_replies_are_skipped_whole(void **state)
{
    static const struct hf_bytes whole[] = {
        BYTES("+OK\r\n"),
        BYTES("-ERR x\r\n"),
        BYTES(":-5\r\n"),
        BYTES("$3\r\na\r\n\r\n"),
        BYTES("$-1\r\n"),
        BYTES("*-1\r\n"),
        BYTES("*0\r\n"),
        BYTES("_\r\n"),
        BYTES("#t\r\n"),
        BYTES(",1.5\r\n"),
        BYTES("(123\r\n"),
        BYTES("=7\r\ntxt:abc\r\n"),
        BYTES("%1\r\n+a\r\n*2\r\n:1\r\n:2\r\n"),
        BYTES("~2\r\n:1\r\n:2\r\n"),
        BYTES(">1\r\n+x\r\n"),
        BYTES("|1\r\n+ttl\r\n:1\r\n*1\r\n:5\r\n"),
        BYTES("*2\r\n*2\r\n*0\r\n:1\r\n*1\r\n$1\r\nx\r\n"),
    };
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        size_t at = 0;
        assert_int_equal(resp_skip_value(whole[i], &at), 0);
        assert_int_equal(at, whole[i].size);
        for (size_t size = 0; size < whole[i].size; size++) {
            at = 0;
            char *copy = memory_new(size);
            memcpy(copy, whole[i].data, size);
            assert_int_equal(resp_skip_value(bytes_of(copy, size), &at), HF_EPROTOCOL);
            free(copy);
        }
    }
    static const struct hf_bytes bad[] = {BYTES("\r\n"),
                                          BYTES("?x\r\n"),
                                          BYTES("\0\r\n"),
                                          BYTES(":x\r\n"),
                                          BYTES("$-2\r\n"),
                                          BYTES("$1\r\nxyz"),
                                          BYTES("*-2\r\n"),
                                          BYTES("%-1\r\n"),
                                          BYTES("*99999999999\r\n"),
                                          BYTES("$9223372036854775807\r\nx\r\n")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t at = 0;
        assert_int_equal(resp_skip_value(bad[i], &at), HF_EPROTOCOL);
    }
    struct buffer deep = {0};
    for (unsigned i = 0; i < RESP_REPLY_NESTING_MAX + 1; i++) {
        buffer_append_text(&deep, "*1\r\n");
    }
    buffer_append_text(&deep, ":1\r\n");
    size_t at = 0;
    assert_int_equal(resp_skip_value(buffer_bytes(&deep), &at), HF_EPROTOCOL);
    at = 4;
    assert_int_equal(resp_skip_value(buffer_bytes(&deep), &at), 0);
    buffer_close(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_found_at_every_cut_of_the_bytes),
        cmocka_unit_test(H22_broken_requests_are_refused_with_redis_words),
        cmocka_unit_test(H22_an_endless_inline_line_is_refused_at_its_limit),
        cmocka_unit_test(H22_the_sum_of_all_arguments_has_a_limit),
        cmocka_unit_test(H22_what_is_announced_allocates_nothing),
        cmocka_unit_test(a_huge_command_leaves_no_memory_behind),
        cmocka_unit_test(values_of_replies_are_skipped_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
