#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "peer/incoming.h"

struct seen {
    unsigned count;
    struct frame_header header;
    struct buffer payload;
    int result; /* what deliver returns */
};

static int deliver(void *arg, const struct frame_header *header, struct hf_bytes payload)
{
    struct seen *seen = arg;
    seen->count++;
    seen->header = *header;
    buffer_clear(&seen->payload);
    buffer_append_bytes(&seen->payload, payload);
    return seen->result;
}

static void append(struct buffer *out, const struct frame_header *header, uint8_t fill)
{
    size_t start = out->size;
    memset(buffer_extend(out, FRAME_HEADER_SIZE + header->size), fill, FRAME_HEADER_SIZE + header->size);
    frame_seal(out->data + start, header);
}

static void fragments_of_two_messages_become_two_messages_at_every_cut_of_the_bytes(void **state)
{
    struct buffer bytes = {0};
    append(&bytes,
           &(struct frame_header){.size = 30, .kind = 3, .flags = 1, .stream = 1, .message_size = 50, .group = 8}, 'a');
    append(&bytes,
           &(struct frame_header){.size = 10, .kind = 7, .flags = 1, .stream = 2, .message_size = 30, .group = 9}, 'b');
    append(&bytes, &(struct frame_header){.size = 10, .kind = 3, .stream = 1, .group = 8}, 'c');
    append(&bytes, &(struct frame_header){.size = 20, .kind = 7, .flags = 2, .stream = 2, .group = 9}, 'd');
    append(&bytes, &(struct frame_header){.size = 10, .kind = 3, .flags = 2, .stream = 1, .group = 8}, 'e');
    for (size_t cut = 0; cut <= bytes.size; cut++) {
        struct incoming incoming;
        struct seen seen = {0};
        incoming_init(&incoming, PEER_MESSAGE_SIZE_MAX);
        assert_int_equal(incoming_feed(&incoming, bytes_of(bytes.data, cut), deliver, &seen), 0);
        assert_int_equal(incoming_feed(&incoming, bytes_of(bytes.data + cut, bytes.size - cut), deliver, &seen), 0);
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.header.group, 8);
        assert_int_equal(seen.payload.size, 50);
        assert_memory_equal(seen.payload.data, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaacccccccccceeeeeeeeee", 50);
        incoming_close(&incoming);
        buffer_close(&seen.payload);
    }
    buffer_close(&bytes);
}

static void a_vector_is_taken_apart(void **state)
{
    struct buffer vector = {0};
    for (uint64_t group = 1; group <= 3; group++) {
        buffer_append_u8(&vector, FRAME_RAFT);
        buffer_append_u16(&vector, (uint16_t)group);
        buffer_append_u64(&vector, group);
        buffer_append_u64(&vector, 70 + group);
        buffer_append(&vector, "xyz", group);
    }
    struct buffer bytes = {0};
    struct frame_header header = {.size = (uint32_t)vector.size, .kind = FRAME_VECTOR, .flags = 3};
    header.message_size = header.size;
    buffer_extend(&bytes, FRAME_HEADER_SIZE);
    buffer_append(&bytes, vector.data, vector.size);
    frame_seal(bytes.data, &header);
    struct incoming incoming;
    struct seen seen = {0};
    incoming_init(&incoming, PEER_MESSAGE_SIZE_MAX);
    assert_int_equal(incoming_feed(&incoming, buffer_bytes(&bytes), deliver, &seen), 0);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.header.kind, FRAME_RAFT);
    assert_int_equal(seen.header.group, 3);
    assert_int_equal(seen.header.group_incarnation, 73);
    assert_memory_equal(seen.payload.data, "xyz", 3);
    /* cut anywhere inside, its checksum repaired, it is refused */
    for (uint32_t size = 1; size < header.size; size++) {
        if (size == 20 || size == 41) {
            continue; /* between two messages */
        }
        struct frame_header shorter = header;
        shorter.size = shorter.message_size = size;
        frame_seal(bytes.data, &shorter);
        assert_int_equal(incoming_feed(&incoming, bytes_of(bytes.data, FRAME_HEADER_SIZE + size), deliver, &seen),
                         HF_EPROTOCOL);
    }
    incoming_close(&incoming);
    buffer_close(&seen.payload);
    buffer_close(&vector);
    buffer_close(&bytes);
}

/* Sealed correctly, and still nothing that a sender may send. */
static void H20_malformed_sequences_of_good_frames_are_refused(void **state)
{
    static const struct {
        const char *what;
        struct frame_header frames[3];
    } rows[] = {
        {"a fragment of nothing", {{.size = 4, .kind = 3, .stream = 5}}},
        {"a last fragment of nothing", {{.size = 4, .kind = 3, .flags = 2, .stream = 5}}},
        {"a stream begins twice",
         {{.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9},
          {.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9}}},
        {"longer than announced",
         {{.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9}, {.size = 6, .kind = 3, .stream = 5}}},
        {"ends before it is whole",
         {{.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9},
          {.size = 4, .kind = 3, .flags = 2, .stream = 5}}},
        {"is whole and does not end",
         {{.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9}, {.size = 5, .kind = 3, .stream = 5}}},
        {"changes its kind",
         {{.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9},
          {.size = 5, .kind = 7, .flags = 2, .stream = 5}}},
        {"changes its group",
         {{.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9, .group = 1},
          {.size = 5, .kind = 3, .flags = 2, .stream = 5, .group = 2}}},
        {"changes its incarnation",
         {{.size = 4, .kind = 3, .flags = 1, .stream = 5, .message_size = 9, .group_incarnation = 1},
          {.size = 5, .kind = 3, .flags = 2, .stream = 5}}},
        {"a vector of a group", {{.size = 19, .kind = FRAME_VECTOR, .flags = 3, .message_size = 19, .group = 1}}},
        {"a vector in fragments", {{.size = 19, .kind = FRAME_VECTOR, .flags = 1, .message_size = 30}}},
        {"a vector of vectors and zeroes", {{.size = 19, .kind = FRAME_VECTOR, .flags = 3, .message_size = 19}}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer bytes = {0};
        for (size_t k = 0; k < 3 && rows[i].frames[k].kind != 0; k++) {
            append(&bytes, &rows[i].frames[k], 0);
        }
        struct incoming incoming;
        struct seen seen = {0};
        incoming_init(&incoming, PEER_MESSAGE_SIZE_MAX);
        if (incoming_feed(&incoming, buffer_bytes(&bytes), deliver, &seen) != HF_EPROTOCOL || seen.count != 0) {
            fail_msg("%s is accepted", rows[i].what);
        }
        incoming_close(&incoming);
        buffer_close(&seen.payload);
        buffer_close(&bytes);
    }
}

static void H20_more_than_64_unfinished_messages_are_refused(void **state)
{
    struct incoming incoming;
    struct seen seen = {0};
    incoming_init(&incoming, PEER_MESSAGE_SIZE_MAX);
    for (uint16_t stream = 0; stream <= PEER_STREAMS_MAX; stream++) {
        struct buffer bytes = {0};
        append(&bytes, &(struct frame_header){.size = 1, .kind = 3, .flags = 1, .stream = stream, .message_size = 2},
               0);
        assert_int_equal(incoming_feed(&incoming, buffer_bytes(&bytes), deliver, &seen),
                         stream < PEER_STREAMS_MAX ? 0 : HF_EPROTOCOL);
        buffer_close(&bytes);
    }
    incoming_close(&incoming);
}

static void H22_memory_grows_with_what_arrived_and_not_with_what_was_announced(void **state)
{
    struct incoming incoming;
    struct seen seen = {0};
    incoming_init(&incoming, PEER_MESSAGE_SIZE_MAX);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (uint16_t stream = 0; stream < PEER_STREAMS_MAX; stream++) {
        struct buffer bytes = {0};
        append(&bytes,
               &(struct frame_header){
                   .size = 100, .kind = 3, .flags = 1, .stream = stream, .message_size = PEER_MESSAGE_SIZE_MAX},
               0);
        assert_int_equal(incoming_feed(&incoming, buffer_bytes(&bytes), deliver, &seen), 0);
        buffer_close(&bytes);
    }
    /* Builds with a sanitizer have another malloc, whose mallinfo2 says 0 or nothing useful. */
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    assert_int_equal(incoming.part_bytes, 100 * PEER_STREAMS_MAX);
    assert_true(after < before + 1024 * PEER_STREAMS_MAX);
    incoming_close(&incoming);
}

static void before_the_handshake_ended_long_messages_are_refused(void **state)
{
    static const struct frame_header rows[] = {
        {.size = 513, .kind = 1, .flags = 3, .message_size = 513},
        {.size = 9, .kind = 1, .flags = 1, .message_size = 1000},
        {.size = 513, .kind = 1, .flags = 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buffer bytes = {0};
        append(&bytes, &rows[i], 0);
        struct incoming incoming;
        struct seen seen = {0};
        incoming_init(&incoming, 512);
        /* Refused by the header alone: nothing behind it is waited for. */
        assert_int_equal(incoming_feed(&incoming, bytes_of(bytes.data, FRAME_HEADER_SIZE), deliver, &seen),
                         HF_EPROTOCOL);
        incoming_close(&incoming);
        buffer_close(&bytes);
    }
}

static void unknown_kinds_from_128_are_skipped_whole_in_fragments_and_in_vectors(void **state)
{
    struct buffer bytes = {0};
    append(&bytes,
           &(struct frame_header){.size = 9, .kind = FRAME_KIND_SKIPPED_KNOWN_MAX + 1, .flags = 3, .message_size = 9},
           0);
    append(&bytes, &(struct frame_header){.size = 9, .kind = 255, .flags = 1, .message_size = 99}, 0);
    append(&bytes, &(struct frame_header){.size = 9, .kind = 255}, 0);
    append(&bytes, &(struct frame_header){.size = 0, .kind = FRAME_RAFT, .flags = 3}, 0);
    struct incoming incoming;
    struct seen seen = {0};
    incoming_init(&incoming, PEER_MESSAGE_SIZE_MAX);
    assert_int_equal(incoming_feed(&incoming, buffer_bytes(&bytes), deliver, &seen), 0);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.header.kind, FRAME_RAFT);
    assert_int_equal(seen.payload.size, 0);
    incoming_close(&incoming);
    buffer_close(&seen.payload);
    buffer_close(&bytes);
}

static void what_deliver_returns_stops_the_feed(void **state)
{
    struct buffer bytes = {0};
    append(&bytes, &(struct frame_header){.size = 1, .kind = FRAME_RAFT, .flags = 3, .message_size = 1}, 0);
    append(&bytes, &(struct frame_header){.size = 1, .kind = FRAME_RAFT, .flags = 3, .message_size = 1}, 0);
    struct incoming incoming;
    struct seen seen = {.result = HF_ECLOSED};
    incoming_init(&incoming, PEER_MESSAGE_SIZE_MAX);
    assert_int_equal(incoming_feed(&incoming, buffer_bytes(&bytes), deliver, &seen), HF_ECLOSED);
    assert_int_equal(seen.count, 1);
    incoming_close(&incoming);
    buffer_close(&seen.payload);
    buffer_close(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_of_two_messages_become_two_messages_at_every_cut_of_the_bytes),
        cmocka_unit_test(a_vector_is_taken_apart),
        cmocka_unit_test(H20_malformed_sequences_of_good_frames_are_refused),
        cmocka_unit_test(H20_more_than_64_unfinished_messages_are_refused),
        cmocka_unit_test(H22_memory_grows_with_what_arrived_and_not_with_what_was_announced),
        cmocka_unit_test(before_the_handshake_ended_long_messages_are_refused),
        cmocka_unit_test(unknown_kinds_from_128_are_skipped_whole_in_fragments_and_in_vectors),
        cmocka_unit_test(what_deliver_returns_stops_the_feed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
