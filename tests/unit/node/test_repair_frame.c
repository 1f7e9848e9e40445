/* links: node */
/* Questions for lost entries and the answers: as drawn, within their limits, and believed only from whom they may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "node/repair_frame.h"

static const struct repair_request request = {.term = 7, .first = 10, .last = 12};
static const struct hf_entry entries[] = {
    {.term = 5, .timestamp_ms = 99, .type = HF_ENTRY_NORMAL, .payload = {"abc", 3}},
    {.term = 6, .timestamp_ms = 100, .type = HF_ENTRY_NOOP},
};

static void a_question_is_encoded_as_drawn(void **state)
{
    static const uint8_t expected[REPAIR_FRAME_REQUEST_SIZE] = {1,  0, 0, 0, 0, 0, 0, 0, 7,  0, 0, 0, 0, 0, 0, 0,
                                                                10, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0};
    struct buffer bytes = {0};
    struct repair_request out;
    repair_frame_encode_request(&request, &bytes);
    assert_true(bytes_equal(buffer_bytes(&bytes), bytes_of(expected, sizeof(expected))));
    assert_int_equal(repair_frame_decode_request(buffer_bytes(&bytes), &out), 0);
    assert_true(out.term == 7 && out.first == 10 && out.last == 12);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(repair_frame_decode_request(bytes_of(bytes.data, size), &out), HF_EPROTOCOL);
    }
    static const size_t wrong[] = {0, 4, 31};
    for (size_t i = 0; i < 2; i++) {
        bytes.data[wrong[i]] ^= 2;
        assert_int_equal(repair_frame_decode_request(buffer_bytes(&bytes), &out), HF_EPROTOCOL);
        bytes.data[wrong[i]] ^= 2;
    }
    bytes.data[16] = 13; /* first behind last */
    assert_int_equal(repair_frame_decode_request(buffer_bytes(&bytes), &out), HF_EPROTOCOL);
    bytes.data[16] = 0; /* the state before the first entry */
    assert_int_equal(repair_frame_decode_request(buffer_bytes(&bytes), &out), 0);
    assert_true(out.first == 0 && out.last == 12);
    bytes.data[24] = 0; /* of a log without entries */
    assert_int_equal(repair_frame_decode_request(buffer_bytes(&bytes), &out), HF_EPROTOCOL);
    buffer_close(&bytes);
}

static void an_answer_carries_entries_or_an_error(void **state)
{
    struct buffer bytes = {0};
    struct repair_answer answer = {.term = 7, .commit = 20, .first = 10, .leader = 2, .count = 2};
    struct repair_answer out;
    struct hf_entry entry;
    repair_frame_encode_answer(&answer, entries, &bytes);
    assert_int_equal(bytes.size, REPAIR_FRAME_HEAD_SIZE + 2 * REPAIR_FRAME_ENTRY_SIZE + 3);
    assert_int_equal(repair_frame_decode_answer(buffer_bytes(&bytes), &out), 0);
    assert_true(out.result == 0 && out.term == 7 && out.commit == 20 && out.first == 10 && out.leader == 2);
    struct cursor cursor = cursor_of(out.entries);
    repair_frame_next_entry(&cursor, &entry);
    assert_true(entry.term == 5 && entry.timestamp_ms == 99 && bytes_equal(entry.payload, bytes_of("abc", 3)));
    repair_frame_next_entry(&cursor, &entry);
    assert_true(entry.term == 6 && entry.type == HF_ENTRY_NOOP && entry.payload.size == 0);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(repair_frame_decode_answer(bytes_of(bytes.data, size), &out), HF_EPROTOCOL);
    }
    /* terms that decrease, an unknown type, a result beside entries, a count beyond the limit */
    static const struct {
        size_t at;
        uint32_t value;
    } rows[] = {{48, 7}, {64, 9}, {24, 0}, {4, (uint32_t)HF_EIO}, {40, REPAIR_FRAME_ENTRIES_MAX + 1},
                {40, 1}, {40, 0}, {68, 9}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t before = bytes_get_u32(bytes.data + rows[i].at);
        bytes_put_u32(bytes.data + rows[i].at, rows[i].value);
        assert_int_equal(repair_frame_decode_answer(buffer_bytes(&bytes), &out), HF_EPROTOCOL);
        bytes_put_u32(bytes.data + rows[i].at, before);
    }
    buffer_clear(&bytes);
    answer = (struct repair_answer){.result = HF_ENOTLEADER, .first = 10, .leader = 3};
    repair_frame_encode_answer(&answer, NULL, &bytes);
    assert_int_equal(repair_frame_decode_answer(buffer_bytes(&bytes), &out), 0);
    assert_true(out.result == HF_ENOTLEADER && out.leader == 3 && out.count == 0);
    bytes_put_u32(bytes.data + 24, 0);
    assert_int_equal(repair_frame_decode_answer(buffer_bytes(&bytes), &out), 0);
    buffer_close(&bytes);
}

static void H3_only_committed_entries_of_a_leader_are_accepted(void **state)
{
    static const struct {
        struct repair_answer answer;
        int result;
    } rows[] = {
        {{.term = 7, .commit = 12, .first = 10, .count = 3}, 0},
        {{.term = 9, .commit = 10, .first = 10, .count = 1}, 0},
        {{.term = 7, .commit = 11, .first = 10, .count = 3}, HF_ECONFLICT},  /* not committed */
        {{.term = 6, .commit = 12, .first = 10, .count = 3}, HF_ENOTLEADER}, /* of a term that is over */
        {{.term = 0, .commit = 12, .first = 10, .count = 3}, HF_ENOTLEADER},
        {{.term = 7, .commit = 20, .first = 10, .count = 4}, HF_EPROTOCOL}, /* not asked for */
        {{.term = 7, .commit = 20, .first = 11, .count = 1}, HF_EPROTOCOL},
        {{.result = HF_ECOMPACTED, .term = 7, .first = 10}, HF_ECOMPACTED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(repair_frame_accept(&request, &rows[i].answer), rows[i].result);
    }
}

int main(void)
{
#ifdef HF_MUTATIONS
    const char *mutation = getenv("HOLDFAST_MUTATION");
    if (mutation != NULL) {
        assert_int_equal(mutation_enable(mutation), 0);
    }
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_encoded_as_drawn),
        cmocka_unit_test(an_answer_carries_entries_or_an_error),
        cmocka_unit_test(H3_only_committed_entries_of_a_leader_are_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
