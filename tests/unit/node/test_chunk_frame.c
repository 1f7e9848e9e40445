/* links: node */
/* Chunks of snapshots on the wire, and the head of a group's state: as drawn, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"
#include "node/chunk_frame.h"
#include "node/group_stream.h"

static const struct chunk_frame frame = {
    .id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}, .chunk = 0x01020304, .bytes = {"abc", 3}};

static void a_question_is_encoded_as_drawn(void **state)
{
    static const uint8_t expected[CHUNK_FRAME_FETCH_SIZE] = {1, 0, 0, 0, 4, 3,  2,  1,  1,  2,  3,  4,
                                                             5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    struct buffer bytes = {0};
    struct chunk_frame out;
    chunk_frame_encode_fetch(&frame, &bytes);
    assert_true(bytes_equal(buffer_bytes(&bytes), bytes_of(expected, sizeof(expected))));
    assert_int_equal(chunk_frame_decode_fetch(buffer_bytes(&bytes), &out), 0);
    assert_true(out.chunk == frame.chunk && hf_snapshot_id_equal(out.id, frame.id));
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(chunk_frame_decode_fetch(bytes_of(bytes.data, size), &out), HF_EPROTOCOL);
    }
    buffer_append_u8(&bytes, 0);
    assert_int_equal(chunk_frame_decode_fetch(buffer_bytes(&bytes), &out), HF_EPROTOCOL);
    buffer_close(&bytes);
}

static void a_chunk_carries_bytes_or_an_error(void **state)
{
    struct buffer bytes = {0};
    struct chunk_frame out;
    chunk_frame_encode_chunk(&frame, &bytes);
    assert_int_equal(bytes.size, CHUNK_FRAME_HEAD_SIZE + 3);
    assert_int_equal(chunk_frame_decode_chunk(buffer_bytes(&bytes), &out), 0);
    assert_true(out.result == 0 && bytes_equal(out.bytes, frame.bytes));
    bytes_put_u32(bytes.data + 24, (uint32_t)HF_ENOTFOUND);
    assert_int_equal(chunk_frame_decode_chunk(buffer_bytes(&bytes), &out), HF_EPROTOCOL); /* both */
    bytes.size -= 3;
    assert_int_equal(chunk_frame_decode_chunk(buffer_bytes(&bytes), &out), 0);
    assert_int_equal(out.result, HF_ENOTFOUND);
    bytes_put_u32(bytes.data + 24, 5);
    assert_int_equal(chunk_frame_decode_chunk(buffer_bytes(&bytes), &out), HF_EPROTOCOL);
    bytes_put_u32(bytes.data, 2);
    assert_int_equal(chunk_frame_decode_chunk(buffer_bytes(&bytes), &out), HF_EPROTOCOL);
    assert_int_equal(chunk_frame_decode_chunk(bytes_of(bytes.data, 20), &out), HF_EPROTOCOL);
    buffer_close(&bytes);
}

static void the_head_of_a_state_names_its_group(void **state)
{
    struct group_stream_head head = {.group = 3, .incarnation = 0x1122334455667788ull, .stamp_ms = 1700000000000ull};
    uint8_t bytes[GROUP_STREAM_HEAD_SIZE];
    group_stream_encode(&head, bytes);
    assert_memory_equal(bytes, "HFGROUP1\1\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\x88\x77\x66\x55\x44\x33\x22\x11", 32);
    head.stamp_ms = 0;
    assert_int_equal(group_stream_decode(bytes, &head), 0);
    assert_true(head.stamp_ms == 1700000000000ull);
    struct group_stream_head other = {.group = 3, .incarnation = 1};
    assert_int_equal(group_stream_decode(bytes, &other), HF_EMISMATCH);
    bytes[8] = 2;
    assert_int_equal(group_stream_decode(bytes, &head), HF_EVERSION);
    bytes[8] = 1;
    bytes[12] = 1;
    assert_int_equal(group_stream_decode(bytes, &head), HF_ECORRUPT);
    bytes[0] = 'h';
    assert_int_equal(group_stream_decode(bytes, &head), HF_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_encoded_as_drawn),
        cmocka_unit_test(a_chunk_carries_bytes_or_an_error),
        cmocka_unit_test(the_head_of_a_state_names_its_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
