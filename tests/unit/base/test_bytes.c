#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"

static void integers_are_little_endian_at_any_alignment(void **state)
{
    for (size_t offset = 0; offset < 8; offset++) {
        uint8_t room[24] = {0};
        bytes_put_u64(room + offset, UINT64_C(0x0807060504030201));
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(room[offset + i], i + 1);
        }
        assert_int_equal(bytes_get_u64(room + offset), UINT64_C(0x0807060504030201));
        assert_int_equal(bytes_get_u32(room + offset), 0x04030201);
        assert_int_equal(bytes_get_u16(room + offset), 0x0201);
        assert_int_equal(bytes_get_u8(room + offset), 1);
        bytes_put_u32(room + offset, UINT32_C(0xFFFEFDFC));
        bytes_put_u16(room + offset + 4, 0xFBFA);
        bytes_put_u8(room + offset + 6, 0xF9);
        static const uint8_t expected[] = {0xFC, 0xFD, 0xFE, 0xFF, 0xFA, 0xFB, 0xF9, 8};
        assert_memory_equal(room + offset, expected, 8);
        assert_int_equal(bytes_get_u32(room + offset), UINT32_C(0xFFFEFDFC));
        assert_int_equal(bytes_get_u16(room + offset + 4), 0xFBFA);
    }
}

static void integers_survive_a_round_trip(void **state)
{
    struct rng rng;
    rng_seed(&rng, 1);
    for (int i = 0; i < 10000; i++) {
        uint64_t value = rng_next(&rng);
        uint8_t room[8];
        bytes_put_u64(room, value);
        assert_int_equal(bytes_get_u64(room), value);
        bytes_put_u32(room, (uint32_t)value);
        assert_int_equal(bytes_get_u32(room), (uint32_t)value);
        bytes_put_u16(room, (uint16_t)value);
        assert_int_equal(bytes_get_u16(room), (uint16_t)value);
    }
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void byte_strings_sort_as_unsigned_bytes_and_prefixes_first(void **state)
{
    /* In ascending order. */
    static const struct hf_bytes rows[] = {
        {NULL, 0},  {"\0", 1}, {"\0\0", 2}, {"\0\1", 2}, {"a", 1},    {"ab", 2},
        {"abc", 3}, {"b", 1},  {"\x7F", 1}, {"\x80", 1}, {"\xFF", 1},
    };
    const int count = sizeof(rows) / sizeof(rows[0]);
    for (int a = 0; a < count; a++) {
        for (int b = 0; b < count; b++) {
            assert_int_equal(sign(bytes_compare(rows[a], rows[b])), sign(a - b));
            assert_int_equal(bytes_equal(rows[a], rows[b]), a == b);
        }
    }
    assert_true(bytes_equal(bytes_of(NULL, 0), bytes_of_text("")));
}

static void a_cursor_reads_what_was_put(void **state)
{
    uint8_t room[] = {1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'x', 'y', 2, 0, 0, 0, 'h', 'i'};
    struct cursor cursor = cursor_of(bytes_of(room, sizeof(room)));
    assert_int_equal(cursor_u8(&cursor), 1);
    assert_int_equal(cursor_u16(&cursor), 2);
    assert_int_equal(cursor_u32(&cursor), 3);
    assert_int_equal(cursor_u64(&cursor), 4);
    struct hf_bytes xy = cursor_bytes(&cursor, 2);
    assert_ptr_equal(xy.data, room + 15); /* lent, not copied */
    assert_int_equal(xy.size, 2);
    assert_int_equal(cursor_finish(&cursor, "frame"), HF_EPROTOCOL);
    assert_string_equal(hf_error_text(), "frame has trailing bytes");
    struct hf_bytes hi = cursor_sized(&cursor, 2);
    assert_true(bytes_equal(hi, bytes_of_text("hi")));
    assert_int_equal(cursor_finish(&cursor, "frame"), 0);
    assert_int_equal(cursor_bytes(&cursor, 0).size, 0);
    assert_int_equal(cursor_finish(&cursor, "frame"), 0);
}

static void a_failed_cursor_yields_zero_for_ever(void **state)
{
    static const uint8_t room[] = {9, 9, 9};
    struct cursor cursor = cursor_of(bytes_of(room, sizeof(room)));
    assert_int_equal(cursor_u32(&cursor), 0);
    assert_true(cursor.failed);
    /* There would be enough for these. */
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_int_equal(cursor_u16(&cursor), 0);
    assert_int_equal(cursor_u64(&cursor), 0);
    assert_int_equal(cursor_bytes(&cursor, 1).size, 0);
    assert_null(cursor_bytes(&cursor, 1).data);
    assert_null(cursor_bytes(&cursor, 0).data);
    assert_int_equal(cursor_sized(&cursor, 1).size, 0);
    assert_int_equal(cursor_finish(&cursor, "vote"), HF_EPROTOCOL);
    assert_string_equal(hf_error_text(), "vote is truncated");
}

static void a_length_above_its_limit_fails_although_the_bytes_are_there(void **state)
{
    static const uint8_t room[] = {3, 0, 0, 0, 'a', 'b', 'c'};
    struct cursor fits = cursor_of(bytes_of(room, sizeof(room)));
    assert_int_equal(cursor_sized(&fits, 3).size, 3);
    assert_int_equal(cursor_finish(&fits, "key"), 0);
    struct cursor above = cursor_of(bytes_of(room, sizeof(room)));
    assert_int_equal(cursor_sized(&above, 2).size, 0);
    assert_int_equal(cursor_finish(&above, "key"), HF_EPROTOCOL);
}

static void an_empty_cursor_is_finished(void **state)
{
    struct cursor cursor = cursor_of(bytes_of(NULL, 0));
    assert_int_equal(cursor_bytes(&cursor, 0).size, 0);
    assert_int_equal(cursor_finish(&cursor, "nothing"), 0);
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_int_equal(cursor_finish(&cursor, "nothing"), HF_EPROTOCOL);
}

static void read_something(struct cursor *cursor, struct rng *rng)
{
    switch (rng_below(rng, 6)) {
    case 0:
        cursor_u8(cursor);
        break;
    case 1:
        cursor_u16(cursor);
        break;
    case 2:
        cursor_u32(cursor);
        break;
    case 3:
        cursor_u64(cursor);
        break;
    case 4:
        /* Now and then a size that would wrap a careless addition. */
        cursor_bytes(cursor, rng_chance(rng, 1, 8) ? SIZE_MAX - rng_below(rng, 64) : rng_below(rng, 24));
        break;
    default:
        cursor_sized(cursor, rng_chance(rng, 1, 2) ? UINT32_MAX : 16);
    }
}

/* Whatever the bytes are, nothing behind them is touched: they end where a page without access begins. */
static void a_cursor_never_reads_past_its_end(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(room, MAP_FAILED);
    assert_int_equal(mprotect(room + page, page, PROT_NONE), 0);
    for (uint64_t seed = 0; seed < 20000; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        size_t size = rng_below(&rng, 64);
        uint8_t *bytes = room + page - size;
        rng_fill(&rng, bytes, size);
        /* Small lengths are likelier to lead somewhere. */
        for (size_t i = 0; i < size; i++) {
            bytes[i] = rng_chance(&rng, 3, 4) ? bytes[i] & 7 : bytes[i];
        }
        struct cursor cursor = cursor_of(bytes_of(bytes, size));
        for (int step = 0; step < 16; step++) {
            struct cursor before = cursor;
            read_something(&cursor, &rng);
            assert_true(cursor.at + cursor.left == room + page);
            assert_true(cursor.left <= before.left);
            assert_true(cursor.failed || !before.failed);
        }
    }
    munmap(room, 2 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian_at_any_alignment),
        cmocka_unit_test(integers_survive_a_round_trip),
        cmocka_unit_test(byte_strings_sort_as_unsigned_bytes_and_prefixes_first),
        cmocka_unit_test(a_cursor_reads_what_was_put),
        cmocka_unit_test(a_failed_cursor_yields_zero_for_ever),
        cmocka_unit_test(a_length_above_its_limit_fails_although_the_bytes_are_there),
        cmocka_unit_test(an_empty_cursor_is_finished),
        cmocka_unit_test(a_cursor_never_reads_past_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
