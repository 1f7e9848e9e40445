#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "holdfast/error.h"
#include "node/forward.h"

static struct hf_bytes text(const char *what)
{
    return bytes_of_text(what);
}

static void requests_come_back_as_they_were_written(void **state)
{
    struct buffer message = {0};
    struct cursor cursor;
    struct forward_request request;
    const struct forward_request rows[] = {{1, FORWARD_PROPOSE, text("set a 1")},
                                           {2, FORWARD_READ, text("")},
                                           {UINT64_MAX, FORWARD_INDEX, text("")},
                                           {3, FORWARD_PROPOSE, text("x")},
                                           {4, FORWARD_TRANSFER, text("12345678")}};
    for (size_t i = 0; i < 5; i++) {
        forward_append_request(&message, &rows[i]);
    }
    assert_int_equal(forward_open_requests(buffer_bytes(&message), &cursor), 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(forward_next_request(&cursor, &request), 1);
        assert_true(request.id == rows[i].id && request.kind == rows[i].kind);
        assert_true(bytes_equal(request.command, rows[i].command));
    }
    assert_int_equal(forward_next_request(&cursor, &request), 0);
    buffer_close(&message);
}

static void answers_come_back_as_they_were_written(void **state)
{
    struct buffer message = {0};
    struct cursor cursor;
    struct forward_answer answer;
    const struct forward_answer rows[] = {
        {1, 0, 77, text("+OK")}, {2, HF_EINDETERMINATE, UINT64_MAX, text("lost")}, {9, HF_ENOLEADER, 3, text("")}};
    for (size_t i = 0; i < 3; i++) {
        forward_append_answer(&message, &rows[i]);
    }
    assert_int_equal(forward_open_answers(buffer_bytes(&message), &cursor), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(forward_next_answer(&cursor, &answer), 1);
        assert_true(answer.id == rows[i].id && answer.result == rows[i].result && answer.index == rows[i].index);
        assert_true(bytes_equal(answer.reply, rows[i].reply));
    }
    buffer_close(&message);
}

/* The drawing in the header, byte by byte. */
static void the_format_of_version_1_is_what_the_header_draws(void **state)
{
    struct buffer message = {0};
    struct forward_request request = {0x0102030405060708, FORWARD_READ, text("ab")};
    struct forward_answer answer = {5, HF_ENOLEADER, 6, text("c")};
    static const uint8_t request_bytes[] = {1, 0, 0, 0, 1, 0, 0, 0, 8, 7, 6, 5,   4,
                                            3, 2, 1, 2, 0, 0, 0, 2, 0, 0, 0, 'a', 'b'};
    static const uint8_t answer_bytes[] = {1,    0,    0,    0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0,  0xEF,
                                           0xFF, 0xFF, 0xFF, 6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'c'};
    forward_append_request(&message, &request);
    assert_int_equal(message.size, sizeof(request_bytes));
    assert_memory_equal(message.data, request_bytes, sizeof(request_bytes));
    buffer_clear(&message);
    forward_append_answer(&message, &answer);
    assert_int_equal(message.size, sizeof(answer_bytes));
    assert_memory_equal(message.data, answer_bytes, sizeof(answer_bytes));
    buffer_close(&message);
}

static void H20_every_shorter_and_longer_message_is_refused(void **state)
{
    struct buffer message = {0};
    struct cursor cursor;
    struct forward_request request = {7, FORWARD_PROPOSE, text("command")};
    forward_append_request(&message, &request);
    forward_append_request(&message, &request);
    for (size_t size = 0; size < message.size; size++) {
        assert_int_equal(forward_open_requests(bytes_of(message.data, size), &cursor), HF_EPROTOCOL);
        assert_int_equal(forward_open_answers(bytes_of(message.data, size), &cursor), HF_EPROTOCOL);
    }
    buffer_append_u8(&message, 0);
    assert_int_equal(forward_open_requests(buffer_bytes(&message), &cursor), HF_EPROTOCOL);
    buffer_close(&message);
}

static void H20_fields_out_of_their_limits_are_refused(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } rows[] = {{0, 2},  {0, 0x101}, {4, 0},         {4, 2},           {4, UINT32_MAX},       {8, 0}, {16, 0}, {16, 4},
                {16, 5}, {16, 3},    {16, 0x100001}, {20, UINT32_MAX}, {20, (100u << 20) + 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer message = {0};
        struct cursor cursor;
        struct forward_request request = {7, FORWARD_PROPOSE, text("command")};
        forward_append_request(&message, &request);
        bytes_put_u32(message.data + rows[i].offset, rows[i].value);
        assert_int_equal(forward_open_requests(buffer_bytes(&message), &cursor), HF_EPROTOCOL);
        buffer_close(&message);
    }
    struct buffer message = {0};
    struct cursor cursor;
    struct forward_answer answer = {7, 0, 1, text("reply")};
    forward_append_answer(&message, &answer);
    bytes_put_u32(message.data + 16, 1); /* a result above 0 */
    assert_int_equal(forward_open_answers(buffer_bytes(&message), &cursor), HF_EPROTOCOL);
    buffer_close(&message);
}

static void H20_random_bytes_are_refused_or_read_within_their_bounds(void **state)
{
    struct rng rng;
    rng_seed(&rng, 11);
    for (unsigned i = 0; i < 50000; i++) {
        uint8_t bytes[96];
        size_t size = (size_t)rng_below(&rng, sizeof(bytes) + 1);
        rng_fill(&rng, bytes, size);
        if (size >= 8 && rng_chance(&rng, 9, 10)) { /* a good header leads further in */
            bytes_put_u32(bytes, 1);
            bytes_put_u32(bytes + 4, (uint32_t)rng_below(&rng, 4));
        }
        if (size >= 24 && rng_chance(&rng, 9, 10)) {
            bytes_put_u32(bytes + 16, (uint32_t)rng_below(&rng, 4));
            bytes_put_u32(bytes + 20, (uint32_t)rng_below(&rng, 40));
        }
        struct cursor cursor;
        struct forward_request request;
        struct forward_answer answer;
        if (forward_open_requests(bytes_of(bytes, size), &cursor) == 0) {
            while (forward_next_request(&cursor, &request)) {
                assert_true((const uint8_t *)request.command.data + request.command.size <= bytes + size);
            }
        }
        if (forward_open_answers(bytes_of(bytes, size), &cursor) == 0) {
            while (forward_next_answer(&cursor, &answer)) {
                assert_true((const uint8_t *)answer.reply.data + answer.reply.size <= bytes + size);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_back_as_they_were_written),
        cmocka_unit_test(answers_come_back_as_they_were_written),
        cmocka_unit_test(the_format_of_version_1_is_what_the_header_draws),
        cmocka_unit_test(H20_every_shorter_and_longer_message_is_refused),
        cmocka_unit_test(H20_fields_out_of_their_limits_are_refused),
        cmocka_unit_test(H20_random_bytes_are_refused_or_read_within_their_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
