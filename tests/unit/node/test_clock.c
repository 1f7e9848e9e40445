#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "holdfast/error.h"
#include "node/clock.h"

#define MS 1000000ull

static void messages_come_back_and_everything_else_is_refused(void **state)
{
    struct buffer bytes = {0};
    struct clock_message read;
    clock_encode(&(struct clock_message){CLOCK_ANSWER, CLOCK_UNFIT, 123456789, 1750000000123}, &bytes);
    assert_int_equal(bytes.size, CLOCK_FRAME_SIZE);
    assert_int_equal(clock_decode(buffer_bytes(&bytes), &read), 0);
    assert_true(read.kind == CLOCK_ANSWER && read.flags == CLOCK_UNFIT && read.asked_ns == 123456789 &&
                read.wall_ms == 1750000000123);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(clock_decode(bytes_of(bytes.data, size), &read), HF_EPROTOCOL);
    }
    for (size_t i = 0; i < 4; i++) {
        uint8_t kept = bytes.data[i];
        bytes.data[i] = 9;
        assert_int_equal(clock_decode(buffer_bytes(&bytes), &read), HF_EPROTOCOL);
        bytes.data[i] = kept;
    }
    buffer_append_u8(&bytes, 0);
    assert_int_equal(clock_decode(buffer_bytes(&bytes), &read), HF_EPROTOCOL);
    buffer_close(&bytes);
}

static struct clock_message answer(uint64_t asked_ns, uint64_t wall_ms)
{
    return (struct clock_message){CLOCK_ANSWER, 0, asked_ns, wall_ms};
}

static void the_quickest_of_the_last_answers_counts(void **state)
{
    struct clock_peer peer = {0};
    int64_t offset_ms = 0;
    assert_false(clock_peer_offset_ms(&peer, &offset_ms));
    /* Asked at 0, back after 200 ms, when our clock says 10,200; theirs said 10,500 in between: 400 ms ahead. */
    struct clock_message slow = answer(0, 10500);
    clock_peer_answer(&peer, &slow, 200 * MS, 10200);
    assert_true(clock_peer_offset_ms(&peer, &offset_ms));
    assert_int_equal(offset_ms, 400);
    struct clock_message quick = answer(1000 * MS, 11301);
    clock_peer_answer(&peer, &quick, 1002 * MS, 11002);
    assert_true(clock_peer_offset_ms(&peer, &offset_ms));
    assert_int_equal(offset_ms, 300);
    /* One that took too long, or comes from the future, says nothing. */
    struct clock_message late = answer(2000 * MS, 99999);
    clock_peer_answer(&peer, &late, 2600 * MS, 12600);
    clock_peer_answer(&peer, &late, 1999 * MS, 12600);
    assert_int_equal(peer.count, 2);
    /* Old answers are forgotten. */
    for (unsigned i = 0; i < CLOCK_SAMPLES_MAX; i++) {
        struct clock_message next = answer(3000 * MS, 20010);
        clock_peer_answer(&peer, &next, 3020 * MS, 20000);
    }
    assert_true(clock_peer_offset_ms(&peer, &offset_ms));
    assert_int_equal(offset_ms, 20);
    clock_peer_forget(&peer);
    assert_false(clock_peer_offset_ms(&peer, &offset_ms));
}

static void a_jump_of_our_own_clock_is_noticed_and_a_drift_is_not(void **state)
{
    struct clock_self self = {0};
    assert_false(clock_self_jumped(&self, 0, 1000000));
    for (uint64_t i = 1; i < 100; i++) {
        assert_false(clock_self_jumped(&self, i * 100 * MS, 1000000 + i * 100 + i));
    }
    assert_true(clock_self_jumped(&self, 10000 * MS, 1000000 + 10000 + 600));
    assert_false(clock_self_jumped(&self, 10100 * MS, 1000000 + 10100 + 600));
    assert_true(clock_self_jumped(&self, 10200 * MS, 1000000 + 10200));
}

static void the_median_ignores_one_clock_that_is_off(void **state)
{
    static const struct {
        int64_t offsets[5];
        size_t count;
        int64_t median;
    } rows[] = {
        {{0, 10, 5000}, 3, 10}, {{0, -7000, 3}, 3, 0},        {{0, 900, 910}, 3, 900},  {{0}, 1, 0},
        {{0, 600}, 2, 0},       {{0, 700, 710, 720}, 4, 700}, {{0, -1, -2, -3}, 4, -1}, {{0, 1, 2, 3, -9000}, 5, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t offsets[5];
        memcpy(offsets, rows[i].offsets, sizeof(offsets));
        assert_int_equal(clock_median_ms(offsets, rows[i].count), rows[i].median);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back_and_everything_else_is_refused),
        cmocka_unit_test(the_quickest_of_the_last_answers_counts),
        cmocka_unit_test(a_jump_of_our_own_clock_is_noticed_and_a_drift_is_not),
        cmocka_unit_test(the_median_ignores_one_clock_that_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
