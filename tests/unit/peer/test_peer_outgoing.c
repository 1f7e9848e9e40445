/* The order of what leaves, seen through the receiving side: random messages go through outgoing, their bytes in random
 * pieces through incoming, and arrive whole, once, and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "peer/incoming.h"
#include "peer/outgoing.h"

enum { GROUPS = 6, MESSAGES_MAX = 4096 };

struct note {
    struct peer_message message;
    struct book *book;
    unsigned number;
    uint32_t size;
    unsigned is_pointless;
};

struct book {
    struct outgoing outgoing;
    struct incoming incoming;
    unsigned pushed;
    unsigned released[MESSAGES_MAX];
    unsigned sent[MESSAGES_MAX];
    unsigned arrived[MESSAGES_MAX];
    unsigned order_count;
    unsigned order[MESSAGES_MAX]; /* numbers as they arrived */
    struct {
        uint64_t group;
        enum peer_class class;
        unsigned independent;
        unsigned is_pointless;
        uint32_t size;
        enum frame_kind kind;
    } notes[MESSAGES_MAX];
    uint64_t encoded_bytes_max;
};

static uint8_t content(unsigned number, uint32_t at)
{
    return (uint8_t)(number * 31 + at * 7 + (at >> 8));
}

static int note_encode(struct peer_message *message, struct buffer *out)
{
    struct note *note = (struct note *)message;
    buffer_append_u32(out, note->number);
    for (uint32_t i = 4; i < note->size; i++) {
        buffer_append_u8(out, content(note->number, i));
    }
    return note->is_pointless ? -1 : 0;
}

static void note_release(struct peer_message *message, int sent)
{
    struct note *note = (struct note *)message;
    note->book->released[note->number]++;
    note->book->sent[note->number] = sent != 0;
    free(note);
}

static void push(struct book *book, struct rng *rng, uint32_t size)
{
    struct note *note = memory_new(sizeof(*note));
    note->book = book;
    note->number = book->pushed++;
    note->size = size;
    note->is_pointless = rng_chance(rng, 1, 20);
    note->message = (struct peer_message){
        .kind = (enum frame_kind)rng_between(rng, FRAME_RAFT + 2, FRAME_FORWARD_REPLY),
        .class = rng_chance(rng, 1, 3) ? PEER_URGENT : PEER_BULK,
        .independent = rng_chance(rng, 1, 5),
        .small = size <= PEER_SMALL_SIZE_MAX && rng_chance(rng, 1, 2),
        .group = 1 + rng_below(rng, GROUPS),
        .encode = note_encode,
        .release = note_release,
    };
    note->message.group_incarnation = note->message.group * 1000;
    list_init(&note->message.link);
    book->notes[note->number].group = note->message.group;
    book->notes[note->number].class = note->message.class;
    book->notes[note->number].independent = note->message.independent;
    book->notes[note->number].is_pointless = note->is_pointless;
    book->notes[note->number].size = size;
    book->notes[note->number].kind = note->message.kind;
    outgoing_push(&book->outgoing, &note->message);
}

static int note_arrived(void *arg, const struct frame_header *header, struct hf_bytes payload)
{
    struct book *book = arg;
    assert_true(payload.size >= 4);
    unsigned number = bytes_get_u32(payload.data);
    assert_true(number < book->pushed);
    assert_int_equal(payload.size, book->notes[number].size);
    assert_int_equal(header->group, book->notes[number].group);
    assert_int_equal(header->group_incarnation, book->notes[number].group * 1000);
    assert_int_equal(header->kind, book->notes[number].kind);
    for (uint32_t i = 4; i < payload.size; i += 1 + i / 16) {
        assert_int_equal(((const uint8_t *)payload.data)[i], content(number, i));
    }
    book->arrived[number]++;
    book->order[book->order_count++] = number;
    return 0;
}

static struct book *book_open(void)
{
    struct book *book = memory_new(sizeof(*book));
    outgoing_init(&book->outgoing);
    incoming_init(&book->incoming, PEER_MESSAGE_SIZE_MAX);
    return book;
}

static void book_close(struct book *book)
{
    outgoing_drop(&book->outgoing);
    incoming_close(&book->incoming);
    free(book);
}

/* One turn: as much as the socket would take, delivered in pieces. */
static void turn(struct book *book, struct rng *rng, size_t room)
{
    struct buffer out = {0};
    outgoing_fill(&book->outgoing, room, &out);
    if (book->outgoing.encoded_bytes + out.size > book->encoded_bytes_max) {
        book->encoded_bytes_max = book->outgoing.encoded_bytes + out.size;
    }
    size_t at = 0;
    while (at < out.size) {
        size_t piece = rng_between(rng, 1, rng_chance(rng, 1, 2) ? 100 : 100000);
        piece = piece < out.size - at ? piece : out.size - at;
        assert_int_equal(incoming_feed(&book->incoming, bytes_of(out.data + at, piece), note_arrived, book), 0);
        at += piece;
    }
    buffer_close(&out);
}

static void check_order(const struct book *book)
{
    for (unsigned i = 0; i < book->order_count; i++) {
        for (unsigned k = i + 1; k < book->order_count; k++) {
            unsigned a = book->order[i];
            unsigned b = book->order[k];
            if (book->notes[a].group != book->notes[b].group || a < b) {
                continue;
            }
            /* b was pushed first and arrived later: it must have been overtaken by right. */
            bool same_class = book->notes[a].class == book->notes[b].class;
            bool same_kind = book->notes[a].independent == book->notes[b].independent;
            if (same_kind && (same_class || !book->notes[a].independent)) {
                fail_msg("message %u overtook message %u of group %u", a, b, (unsigned)book->notes[a].group);
            }
        }
    }
}

static uint32_t random_size(struct rng *rng)
{
    switch (rng_below(rng, 10)) {
    case 0:
        return (uint32_t)rng_between(rng, FRAME_PAYLOAD_SIZE_MAX - 1, FRAME_PAYLOAD_SIZE_MAX + 1);
    case 1:
        return (uint32_t)rng_between(rng, FRAME_PAYLOAD_SIZE_MAX, 5 * FRAME_PAYLOAD_SIZE_MAX);
    case 2:
        return (uint32_t)(2 + rng_below(rng, 3)) * FRAME_PAYLOAD_SIZE_MAX;
    case 3:
        return 4;
    default:
        return (uint32_t)rng_between(rng, 4, 2000);
    }
}

static void messages_arrive_whole_once_and_in_the_order_of_their_group_and_class(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct book *book = book_open();
        for (unsigned step = 0; step < 60; step++) {
            unsigned count = (unsigned)rng_below(&rng, 12);
            for (unsigned i = 0; i < count; i++) {
                push(book, &rng, random_size(&rng));
            }
            turn(book, &rng, rng_between(&rng, 1, 200000));
        }
        while (!outgoing_is_empty(&book->outgoing)) {
            turn(book, &rng, 100000);
        }
        for (unsigned i = 0; i < book->pushed; i++) {
            assert_int_equal(book->released[i], 1);
            assert_int_equal(book->sent[i], !book->notes[i].is_pointless);
            assert_int_equal(book->arrived[i], book->sent[i]);
        }
        check_order(book);
        book_close(book);
    }
}

static void what_is_dropped_is_released_once_and_sent_only_if_a_byte_of_it_left(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct book *book = book_open();
        for (unsigned i = 0; i < 60; i++) {
            push(book, &rng, random_size(&rng));
        }
        turn(book, &rng, rng_between(&rng, 1, 500000));
        outgoing_drop(&book->outgoing);
        assert_true(outgoing_is_empty(&book->outgoing));
        for (unsigned i = 0; i < book->pushed; i++) {
            assert_int_equal(book->released[i], 1);
            /* Whatever arrived was sent; what was sent and did not arrive had lost its end only. */
            assert_true(!book->arrived[i] || book->sent[i]);
            assert_true(book->arrived[i] || !book->sent[i] || book->notes[i].size > FRAME_PAYLOAD_SIZE_MAX);
        }
        push(book, &rng, 100);
        book_close(book);
    }
}

static struct note *push_plain(struct book *book, uint64_t group, enum peer_class class, uint32_t size)
{
    struct note *note = memory_new(sizeof(*note));
    note->book = book;
    note->number = book->pushed++;
    note->size = size;
    note->message = (struct peer_message){.kind = FRAME_RAFT,
                                          .class = class,
                                          .group = group,
                                          .group_incarnation = group * 1000,
                                          .encode = note_encode,
                                          .release = note_release};
    list_init(&note->message.link);
    book->notes[note->number].group = group;
    book->notes[note->number].class = class;
    book->notes[note->number].size = size;
    book->notes[note->number].kind = FRAME_RAFT;
    outgoing_push(&book->outgoing, &note->message);
    return note;
}

static void urgent_overtakes_bulk_of_other_groups_and_never_of_its_own(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    struct book *book = book_open();
    push_plain(book, 1, PEER_BULK, 3u << 20);
    turn(book, &rng, 100000); /* under way */
    push_plain(book, 1, PEER_URGENT, 40);
    push_plain(book, 2, PEER_BULK, 200);
    push_plain(book, 2, PEER_URGENT, 40);
    push_plain(book, 3, PEER_URGENT, 40);
    while (!outgoing_is_empty(&book->outgoing)) {
        turn(book, &rng, 100000);
    }
    const unsigned expected[] = {4, 2, 3, 0, 1};
    assert_int_equal(book->order_count, 5);
    assert_memory_equal(book->order, expected, sizeof(expected));
    book_close(book);
}

static void a_short_message_waits_for_one_fragment_of_a_huge_one_and_not_for_its_end(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    struct book *book = book_open();
    push_plain(book, 1, PEER_BULK, 40u << 20);
    turn(book, &rng, 100000);
    for (uint64_t group = 2; group <= 5; group++) {
        push_plain(book, group, PEER_BULK, 200000);
    }
    for (unsigned i = 0; i < 20; i++) {
        turn(book, &rng, 100000);
    }
    assert_int_equal(book->order_count, 4);
    book_close(book);
}

static void at_most_4_mib_stand_encoded_when_no_message_is_longer_than_1_mib(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    struct book *book = book_open();
    for (unsigned i = 0; i < 200; i++) {
        push_plain(book, 1 + i % 50, PEER_BULK, 1u << 20);
    }
    for (unsigned i = 0; i < 60; i++) {
        turn(book, &rng, OUTGOING_SOCKET_MAX);
        assert_true(book->outgoing.encoded_bytes + OUTGOING_SOCKET_MAX + FRAME_PAYLOAD_SIZE_MAX <=
                    PEER_MATERIALISED_MAX_BYTES);
    }
    assert_true(book->outgoing.encoded_bytes > 1u << 20); /* and they are interleaved */
    book_close(book);
}

static void small_messages_of_a_turn_share_one_frame(void **state)
{
    struct book *book = book_open();
    for (uint64_t group = 1; group <= 500; group++) {
        push_plain(book, group, PEER_URGENT, 60)->message.small = true;
        /* The list was chosen before the mark: it is urgent, so it is the same one. */
    }
    struct buffer out = {0};
    outgoing_fill(&book->outgoing, OUTGOING_SOCKET_MAX, &out);
    assert_int_equal(out.size, FRAME_HEADER_SIZE + 500 * (FRAME_VECTOR_HEADER_SIZE + 60));
    assert_int_equal(incoming_feed(&book->incoming, buffer_bytes(&out), note_arrived, book), 0);
    assert_int_equal(book->order_count, 500);
    buffer_close(&out);
    book_close(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_whole_once_and_in_the_order_of_their_group_and_class),
        cmocka_unit_test(what_is_dropped_is_released_once_and_sent_only_if_a_byte_of_it_left),
        cmocka_unit_test(urgent_overtakes_bulk_of_other_groups_and_never_of_its_own),
        cmocka_unit_test(a_short_message_waits_for_one_fragment_of_a_huge_one_and_not_for_its_end),
        cmocka_unit_test(at_most_4_mib_stand_encoded_when_no_message_is_longer_than_1_mib),
        cmocka_unit_test(small_messages_of_a_turn_share_one_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
