#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "peer/frame.h"

static void seal(struct buffer *out, const struct frame_header *header)
{
    size_t start = out->size;
    uint8_t *frame = buffer_extend(out, FRAME_HEADER_SIZE + header->size);
    memset(frame + FRAME_HEADER_SIZE, 0x5a, header->size);
    frame_seal(out->data + start, header);
}

static void a_header_survives_the_way_to_bytes_and_back(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    for (unsigned i = 0; i < 2000; i++) {
        struct frame_header header = {
            .size = (uint32_t)rng_between(&rng, 1, 300),
            .kind = (uint8_t)rng_between(&rng, 1, FRAME_KIND_KNOWN_MAX),
            .flags = (uint8_t)rng_below(&rng, 4),
            .stream = (uint16_t)rng_next(&rng),
            .group = rng_next(&rng),
            .group_incarnation = rng_next(&rng),
        };
        if (header.flags & FRAME_FIRST) {
            header.message_size = header.size + (header.flags & FRAME_LAST ? 0 : 1 + (uint32_t)rng_below(&rng, 1000));
        }
        struct buffer frame = {0};
        seal(&frame, &header);
        struct frame_header decoded;
        assert_int_equal(frame_header_decode(frame.data, &decoded), 0);
        assert_int_equal(frame_check(frame.data, &decoded), 0);
        struct buffer again = {0};
        seal(&again, &decoded);
        assert_memory_equal(again.data, frame.data, frame.size);
        assert_int_equal(decoded.size, header.size);
        assert_int_equal(decoded.group_incarnation, header.group_incarnation);
        buffer_close(&again);
        buffer_close(&frame);
    }
}

static void the_bytes_are_the_drawn_ones(void **state)
{
    struct frame_header header = {.size = 2,
                                  .kind = FRAME_RAFT,
                                  .flags = FRAME_FIRST | FRAME_LAST,
                                  .stream = 0x0102,
                                  .message_size = 2,
                                  .group = 0x1122334455667788,
                                  .group_incarnation = 0x99};
    struct buffer frame = {0};
    seal(&frame, &header);
    const uint8_t expected[] = {2,    0,    0,    0,    0,    0,    0,    0,    3, 3, 2, 1, 2, 0, 0, 0,    0x88,
                                0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x99, 0, 0, 0, 0, 0, 0, 0, 0x5a, 0x5a};
    assert_int_equal(frame.size, sizeof(expected));
    assert_memory_equal(frame.data, expected, 4);
    assert_memory_equal(frame.data + 8, expected + 8, sizeof(expected) - 8);
    assert_int_equal(bytes_get_u32(frame.data + 4), 0x1bcad4ab);
    buffer_close(&frame);
}

static void every_flipped_bit_behind_the_size_is_found(void **state)
{
    struct frame_header header = {
        .size = 40, .kind = FRAME_RAFT, .flags = FRAME_FIRST | FRAME_LAST, .message_size = 40, .group = 7};
    struct buffer frame = {0};
    seal(&frame, &header);
    for (size_t bit = 32; bit < frame.size * 8; bit++) {
        frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct frame_header decoded;
        int rc = frame_header_decode(frame.data, &decoded);
        if (rc == 0) {
            rc = frame_check(frame.data, &decoded);
        }
        assert_int_equal(rc, HF_EPROTOCOL);
        frame.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buffer_close(&frame);
}

static void headers_that_no_sender_may_write_are_refused(void **state)
{
    static const struct {
        const char *what;
        struct frame_header header;
    } rows[] = {
        {"size above the limit",
         {.size = FRAME_PAYLOAD_SIZE_MAX + 1, .kind = 3, .flags = 1, .message_size = FRAME_PAYLOAD_SIZE_MAX + 2}},
        {"size of all ones", {.size = UINT32_MAX, .kind = 3, .flags = 1, .message_size = UINT32_MAX}},
        {"message above the limit", {.size = 9, .kind = 3, .flags = 1, .message_size = PEER_MESSAGE_SIZE_MAX + 1}},
        {"an unknown flag", {.size = 9, .kind = 3, .flags = 7, .message_size = 9}},
        {"kind 0", {.size = 9, .kind = 0, .flags = 3, .message_size = 9}},
        {"an unknown kind below 128", {.size = 9, .kind = FRAME_KIND_KNOWN_MAX + 1, .flags = 3, .message_size = 9}},
        {"kind 127", {.size = 9, .kind = 127, .flags = 3, .message_size = 9}},
        {"a whole message that announces more", {.size = 9, .kind = 3, .flags = 3, .message_size = 10}},
        {"a whole message that announces less", {.size = 9, .kind = 3, .flags = 3, .message_size = 0}},
        {"a first fragment that is everything", {.size = 9, .kind = 3, .flags = 1, .message_size = 9}},
        {"a later fragment with a message size", {.size = 9, .kind = 3, .flags = 0, .message_size = 9}},
        {"an empty first fragment", {.size = 0, .kind = 3, .flags = 1, .message_size = 9}},
        {"an empty middle fragment", {.size = 0, .kind = 3, .flags = 0}},
        {"an empty last fragment", {.size = 0, .kind = 3, .flags = 2}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[FRAME_HEADER_SIZE] = {0};
        struct frame_header short_one = rows[i].header;
        short_one.size = 0; /* frame_seal would read the payload */
        frame_seal(bytes, &short_one);
        bytes_put_u32(bytes, rows[i].header.size);
        struct frame_header decoded;
        if (frame_header_decode(bytes, &decoded) != HF_EPROTOCOL) {
            fail_msg("%s is accepted", rows[i].what);
        }
    }
    uint8_t skipped[FRAME_HEADER_SIZE] = {0};
    struct frame_header header = {.kind = FRAME_KIND_SKIPPED_MIN, .flags = FRAME_FIRST | FRAME_LAST};
    frame_seal(skipped, &header);
    assert_int_equal(frame_header_decode(skipped, &header), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_survives_the_way_to_bytes_and_back),
        cmocka_unit_test(the_bytes_are_the_drawn_ones),
        cmocka_unit_test(every_flipped_bit_behind_the_size_is_found),
        cmocka_unit_test(headers_that_no_sender_may_write_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
