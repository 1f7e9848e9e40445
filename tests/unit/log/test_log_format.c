#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/rng.h"
#include "log/log_frame.h"
#include "planted.h"

#define INCARNATION UINT64_C(0x1122334455667788)

/* ---- segment header ---- */

static const struct log_segment_header header_example = {.number = 0x1f3,
                                                         .incarnation = INCARNATION,
                                                         .size_bytes = 1 << 20,
                                                         .log_id = 0xaabb,
                                                         .epoch = 3,
                                                         .previous_incarnation = 0xcc,
                                                         .position = LOG_FORMAT_POSITION_FOLLOWS};

static void the_segment_header_has_the_drawn_bytes(void **unused)
{
    (void)unused;
    uint8_t block[LOG_FORMAT_SEGMENT_HEADER_SIZE];
    log_format_put_segment_header(block, &header_example);
    assert_memory_equal(block, "HFLOGSEG", 8);
    assert_int_equal(bytes_get_u32(block + 8), checksum_crc32c(0, block + 12, sizeof(block) - 12));
    assert_int_equal(bytes_get_u32(block + 12), 3);
    assert_int_equal(bytes_get_u64(block + 16), 0x1f3);
    assert_memory_equal(block + 24, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
    assert_int_equal(bytes_get_u64(block + 32), 1 << 20);
    assert_int_equal(bytes_get_u64(block + 40), 0xaabb);
    assert_int_equal(bytes_get_u64(block + 48), 3);
    assert_int_equal(bytes_get_u64(block + 56), 0xcc);
    assert_true(bytes_get_u64(block + 64) == UINT64_MAX);
    for (size_t i = 72; i < sizeof(block); i++) {
        assert_int_equal(block[i], 0);
    }
}

static void a_segment_header_is_refused_when_any_bit_is_flipped(void **unused)
{
    (void)unused;
    uint8_t block[LOG_FORMAT_SEGMENT_HEADER_SIZE];
    struct log_segment_header header;
    log_format_put_segment_header(block, &header_example);
    assert_int_equal(log_format_get_segment_header(block, &header), 0);
    assert_memory_equal(&header, &header_example, sizeof(header));
    for (size_t bit = 0; bit < sizeof(block) * 8; bit += bit < 1024 ? 1 : 61) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(log_format_get_segment_header(block, &header), HF_ECORRUPT);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void names_of_segments_are_sixteen_hexadecimal_digits(void **unused)
{
    (void)unused;
    static const struct {
        const char *name;
        uint64_t number; /* 0: not a segment */
    } rows[] = {
        {"0000000000000001.log", 1},
        {"ffffffffffffffff.log", UINT64_MAX},
        {"00000000000001f3.log", 0x1f3},
        {"0000000000000000.log", 0},
        {"00000000000001F3.log", 0},
        {"0000000000001f3.log", 0},
        {"00000000000000001.log", 0},
        {"00000000000001f3.tmp", 0},
        {"00000000000001f3.log~", 0},
        {"g000000000000001.log", 0},
        {"", 0},
        {"LOCK", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t number = 0;
        assert_int_equal(log_format_parse_segment_name(rows[i].name, &number), rows[i].number != 0);
        if (rows[i].number != 0) {
            char name[LOG_FORMAT_NAME_SIZE];
            assert_true(number == rows[i].number);
            log_format_segment_name(name, number);
            assert_string_equal(name, rows[i].name);
        }
    }
}

/* ---- records ---- */

static struct log_record record_example(void)
{
    return (struct log_record){.kind = LOG_RECORD_APPEND,
                               .entry_type = HF_ENTRY_NORMAL,
                               .timestamp_ms = 0x112233445566,
                               .index = 9,
                               .group_check = 0x01020304,
                               .term_low = 7,
                               .body = bytes_of("payload", 7)};
}

static void a_record_has_the_drawn_bytes(void **unused)
{
    (void)unused;
    uint8_t bytes[64];
    struct log_record record = record_example();
    assert_int_equal(log_record_put(bytes, &record, 99), 40);
    assert_int_equal(bytes_get_u32(bytes), checksum_crc32c(99, bytes + 4, 35));
    assert_int_equal(bytes_get_u32(bytes + 4), 7);
    assert_int_equal(bytes[8], 2);
    assert_int_equal(bytes[9], 1);
    assert_memory_equal(bytes + 10, "\x66\x55\x44\x33\x22\x11", 6);
    assert_int_equal(bytes_get_u64(bytes + 16), 9);
    assert_int_equal(bytes_get_u32(bytes + 24), 0x01020304);
    assert_int_equal(bytes_get_u32(bytes + 28), 7);
    assert_memory_equal(bytes + 32, "payload\0", 8);
}

static void records_round_trip(void **unused)
{
    (void)unused;
    static const uint64_t timestamps[] = {0, 1, 1700000000000, (UINT64_C(1) << 48) - 1, UINT64_C(1) << 48, UINT64_MAX};
    uint8_t body[100];
    uint8_t bytes[200];
    memset(body, 0xa5, sizeof(body));
    for (size_t size = 0; size <= sizeof(body); size++) {
        struct log_record record = record_example();
        record.timestamp_ms = timestamps[size % 6];
        record.ignorable = size % 3 == 0;
        record.body = bytes_of(body, size);
        size_t used = log_record_put(bytes, &record, 5);
        assert_int_equal(used % 8, 0);
        struct log_record found;
        size_t found_size = 0;
        assert_int_equal(log_record_get(bytes_of(bytes, used), 5, &found, &found_size), LOG_RECORD_OK);
        assert_int_equal(found_size, used);
        assert_true(found.timestamp_ms == record.timestamp_ms);
        assert_int_equal(found.ignorable, record.ignorable);
        assert_int_equal(found.entry_type, record.entry_type);
        assert_true(bytes_equal(found.body, record.body));
        assert_int_equal(log_record_get(bytes_of(bytes, used - 1), 5, &found, &found_size), LOG_RECORD_SHORT);
        assert_int_equal(log_record_get(bytes_of(bytes, used), 6, &found, &found_size), LOG_RECORD_BAD);
    }
}

static void L53_a_record_is_refused_when_any_bit_is_flipped(void **unused)
{
    (void)unused;
    uint8_t bytes[64];
    struct log_record record = record_example();
    struct log_record found;
    size_t size = 0;
    log_record_put(bytes, &record, 5);
    for (size_t bit = 0; bit < (32 + 7) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(log_record_get(bytes_of(bytes, sizeof(bytes)), 5, &found, &size), LOG_RECORD_OK);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void H17_checksums_are_bound_to_incarnation_and_offset(void **unused)
{
    (void)unused;
    uint8_t bytes[64];
    struct log_record record = record_example();
    struct log_record found;
    size_t size = 0;
    log_record_put(bytes, &record, log_format_seed(INCARNATION, 8192));
    assert_int_equal(log_record_get(bytes_of(bytes, 64), log_format_seed(INCARNATION, 8192), &found, &size),
                     LOG_RECORD_OK);
    assert_int_equal(log_record_get(bytes_of(bytes, 64), log_format_seed(INCARNATION, 8200), &found, &size),
                     LOG_RECORD_BAD);
    assert_int_equal(log_record_get(bytes_of(bytes, 64), log_format_seed(INCARNATION + 1, 8192), &found, &size),
                     LOG_RECORD_BAD);
}

static void L7_zeros_are_not_a_record(void **unused)
{
    (void)unused;
    uint8_t zeros[4096] = {0};
    struct log_record found;
    size_t size = 0;
    for (uint64_t offset = 0; offset < 1 << 20; offset += 8) {
        enum log_record_result result =
            log_record_get(bytes_of(zeros, sizeof(zeros)), log_format_seed(INCARNATION, offset), &found, &size);
        assert_int_not_equal(result, LOG_RECORD_OK);
    }
}

/* ---- frames ---- */

struct built {
    uint8_t *data;
    size_t length;
    struct log_frame_header header;
};

static const struct log_place place_example = {.incarnation = INCARNATION,
                                               .segment = 3,
                                               .offset = 8192,
                                               .sequence = 12,
                                               .position = 40960,
                                               .log_id = 5,
                                               .epoch = 2,
                                               .previous_incarnation = 4};

static struct log_runs runs_example;

/* A frame of some entries of two groups. */
static struct built build(size_t entries, uint8_t odd_kind, bool ignorable)
{
    struct built built = {.data = aligned_alloc(4096, 65536)};
    struct log_frame_builder builder;
    log_frame_begin(&builder, &place_example, built.data, 65536, &runs_example);
    assert_true(log_frame_is_bare(&builder));
    for (size_t i = 0; i < entries; i++) {
        if (i == 0 || i == entries / 2) {
            struct log_run run = {.group = 1 + i, .incarnation = 50 + i, .number = 1, .term = 8};
            log_frame_put_run(&builder, &run, log_format_group_check(run.group, run.incarnation), i);
        }
        struct log_record record = {.kind = odd_kind != 0 && i == 1 ? odd_kind : LOG_RECORD_APPEND,
                                    .ignorable = ignorable && i == 1,
                                    .entry_type = HF_ENTRY_NORMAL,
                                    .index = i + 1,
                                    .body = bytes_of("0123456789abcdef", i % 3 * 8)};
        log_frame_put(&builder, record);
    }
    struct log_declaration declaration = {.durable_position = 36864, .oldest_segment = 2};
    built.length = log_frame_seal(&builder, &declaration);
    assert_true(log_frame_get_header(built.data, INCARNATION, 3, 8192, 65536, &built.header));
    return built;
}

static void a_frame_is_read_back_record_by_record(void **unused)
{
    (void)unused;
    struct built built = build(100, 0, false);
    struct log_trailer trailer;
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), 0);
    assert_int_equal(trailer.durable_position, 36864);
    assert_int_equal(trailer.oldest_segment, 2);
    assert_int_equal(built.header.place.position, 40960);
    assert_int_equal(built.header.record_count, 103);
    struct log_frame_cursor cursor;
    struct log_record record;
    size_t at = 0;
    uint64_t entries = 0;
    log_frame_cursor_open(&cursor, bytes_of(built.data, built.length), INCARNATION, 8192);
    while (log_frame_next(&cursor, &record, &at) == 0) {
        if (record.kind == LOG_RECORD_APPEND) {
            entries++;
            assert_int_equal(record.index, entries);
            assert_int_equal(cursor.run.group, entries <= 50 ? 1 : 51);
            assert_int_equal(record.group_check, log_format_group_check(cursor.run.group, cursor.run.incarnation));
        }
    }
    assert_int_equal(entries, 100);
    free(built.data);
}

static void H2_a_frame_with_any_bit_flipped_is_not_whole(void **unused)
{
    (void)unused;
    struct built built = build(20, 0, false);
    struct log_frame_header header;
    struct log_trailer trailer;
    for (size_t bit = 0; bit < built.header.content_size * 8u; bit++) {
        built.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool good = log_frame_get_header(built.data, INCARNATION, 3, 8192, 65536, &header) &&
                    log_frame_check(bytes_of(built.data, built.length), &header, &trailer) == 0;
        assert_false(good);
        built.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(built.data);
}

static void L51_a_frame_header_of_another_life_file_or_place_is_not_believed(void **unused)
{
    (void)unused;
    struct built built = build(1, 0, false);
    struct log_frame_header header;
    assert_false(log_frame_get_header(built.data, INCARNATION ^ 1, 3, 8192, 65536, &header));
    assert_false(log_frame_get_header(built.data, INCARNATION, 4, 8192, 65536, &header));
    assert_false(log_frame_get_header(built.data, INCARNATION, 3, 4096, 65536, &header));
    assert_false(log_frame_get_header(built.data, INCARNATION, 3, 8192, built.length - 1, &header));
    assert_true(log_frame_probe_header(built.data, 3, 8192, 65536, &header));
    assert_true(header.place.incarnation == INCARNATION);
    free(built.data);
}

static void a_moved_frame_is_whole_in_its_new_place_only(void **unused)
{
    (void)unused;
    struct built built = build(30, 0, false);
    struct log_place place = place_example;
    struct log_frame_header header;
    struct log_trailer trailer;
    place.segment = 4;
    place.incarnation = 77;
    place.offset = 4096;
    place.position = 90112;
    place.sequence = 13;
    struct log_declaration declaration = {.durable_position = 90112, .oldest_segment = 3};
    log_frame_move(built.data, &built.header, &place, &declaration);
    assert_false(log_frame_get_header(built.data, INCARNATION, 3, 8192, 65536, &header));
    assert_true(log_frame_get_header(built.data, 77, 4, 4096, 65536, &header));
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &header, &trailer), 0);
    assert_int_equal(trailer.durable_position, 90112);
    assert_int_equal(header.record_count, built.header.record_count);
    free(built.data);
}

static void an_unknown_kind_is_refused_unless_it_says_that_it_may_be_skipped(void **unused)
{
    (void)unused;
    struct log_trailer trailer;
    struct built built = build(5, 60, false);
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), HF_EVERSION);
    free(built.data);
    built = build(5, 60, true);
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), 0);
    free(built.data);
}

static void a_bare_frame_takes_one_block(void **unused)
{
    (void)unused;
    struct built built = build(0, 0, false);
    struct log_trailer trailer;
    assert_int_equal(built.length, 4096);
    assert_int_equal(built.header.flags, LOG_FORMAT_FRAME_BARE);
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), 0);
    free(built.data);
}

/* The result of the check of a frame with this record in it, or of one that declares so much. */
static int check_frame_of(struct log_record record, uint64_t durable_position)
{
    struct log_frame_builder builder;
    struct log_frame_header header;
    struct log_trailer trailer;
    struct log_run run = {.group = 1, .incarnation = 50, .number = 1, .term = 8};
    uint8_t *data = aligned_alloc(4096, 65536);
    log_frame_begin(&builder, &place_example, data, 65536, &runs_example);
    log_frame_put_run(&builder, &run, log_format_group_check(run.group, run.incarnation), 0);
    log_frame_put(&builder, record);
    struct log_declaration declaration = {.durable_position = durable_position, .oldest_segment = 2};
    size_t length = log_frame_seal(&builder, &declaration);
    assert_true(log_frame_get_header(data, INCARNATION, 3, 8192, 65536, &header));
    int rc = log_frame_check(bytes_of(data, length), &header, &trailer);
    free(data);
    return rc;
}

static void L53_values_that_nobody_writes_are_damage_although_every_checksum_is_right(void **unused)
{
    (void)unused;
    uint8_t floor[LOG_RECORD_FLOOR_BODY_SIZE + HF_LOG_SNAPSHOT_NAME_SIZE_MAX + 1] = {9};
    const struct {
        uint8_t kind;
        uint64_t index;
        size_t size;
        int rc;
    } rows[] = {
        {LOG_RECORD_RESET, UINT64_MAX, LOG_RECORD_FLOOR_BODY_SIZE, HF_ECORRUPT},
        {LOG_RECORD_RESET, UINT64_MAX - 1, LOG_RECORD_FLOOR_BODY_SIZE, 0},
        {LOG_RECORD_RESET, 7, LOG_RECORD_FLOOR_BODY_SIZE + HF_LOG_SNAPSHOT_NAME_SIZE_MAX, 0},
        {LOG_RECORD_RESET, 7, LOG_RECORD_FLOOR_BODY_SIZE + HF_LOG_SNAPSHOT_NAME_SIZE_MAX + 1, HF_ECORRUPT},
        {LOG_RECORD_RESET, 7, LOG_RECORD_FLOOR_BODY_SIZE - 1, HF_ECORRUPT},
        {LOG_RECORD_COMPACT, UINT64_MAX, LOG_RECORD_FLOOR_BODY_SIZE, HF_ECORRUPT},
        {LOG_RECORD_APPEND, 0, 3, HF_ECORRUPT},
        {LOG_RECORD_APPEND, 1, 3, 0},
        {LOG_RECORD_MOVED, 0, 3, HF_ECORRUPT},
        {LOG_RECORD_TRUNCATE, 0, 0, HF_ECORRUPT},
        {LOG_RECORD_HARD_STATE, 1, 3, HF_ECORRUPT},
        {LOG_RECORD_REMOVED, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct log_record record = {
            .kind = rows[i].kind, .index = rows[i].index, .body = bytes_of(floor, rows[i].size)};
        assert_int_equal(check_frame_of(record, place_example.position), rows[i].rc);
    }
    struct log_record entry = {.kind = LOG_RECORD_APPEND, .index = 1};
    assert_int_equal(check_frame_of(entry, place_example.position + 1), HF_ECORRUPT); /* it declares itself durable */
}

/* Each is whole by itself: a frame that was put together from two is not. */
static void L53_a_header_and_a_trailer_that_disagree_are_damage(void **unused)
{
    (void)unused;
    struct log_trailer trailer;
    struct built built = build(20, 0, false);
    const struct hf_bytes bytes = bytes_of(built.data, built.length);
    struct log_frame_header wrong[4] = {built.header, built.header, built.header, built.header};
    wrong[0].place.position += 4096;
    wrong[1].place.sequence++;
    wrong[2].record_count--;
    wrong[3].content_size -= 8;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(log_frame_check(bytes, &wrong[i], &trailer), HF_ECORRUPT);
    }
    assert_int_equal(log_frame_check(bytes, &built.header, &trailer), 0);
    free(built.data);
}

/* ---- appends that open their run ---- */

static void an_opening_append_has_the_drawn_bytes(void **unused)
{
    (void)unused;
    uint8_t bytes[128];
    struct log_record entry = {.entry_type = HF_ENTRY_NORMAL,
                               .timestamp_ms = UINT64_C(0x010203040506),
                               .index = 12,
                               .group_check = 0x11223344,
                               .term_low = 0x55667788,
                               .body = bytes_of("payload", 7)};
    struct log_run run = {.group = 3, .incarnation = 0xabcdef, .number = 9, .term = UINT64_C(0x9955667788)};
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(log_record_put_opening(bytes, &run, &entry, 5), 72);
    assert_int_equal(bytes_get_u32(bytes), checksum_crc32c(5, bytes + 4, 28 + 32 + 7));
    assert_int_equal(bytes_get_u32(bytes + 4), 32 + 7);
    assert_int_equal(bytes[8], 11);
    assert_int_equal(bytes[9], HF_ENTRY_NORMAL);
    assert_memory_equal(bytes + 10, "\x06\x05\x04\x03\x02\x01", 6);
    assert_int_equal(bytes_get_u64(bytes + 16), 12);
    assert_int_equal(bytes_get_u32(bytes + 24), 0x11223344);
    assert_int_equal(bytes_get_u32(bytes + 28), 0x55667788);
    assert_int_equal(bytes_get_u64(bytes + 32), 3);
    assert_int_equal(bytes_get_u64(bytes + 40), 0xabcdef);
    assert_int_equal(bytes_get_u64(bytes + 48), 9);
    assert_true(bytes_get_u64(bytes + 56) == UINT64_C(0x9955667788));
    assert_memory_equal(bytes + 64, "payload\0\xee", 9);
}

static void an_opening_append_is_decoded_as_a_run_and_an_append(void **unused)
{
    (void)unused;
    static const uint64_t timestamps_ms[] = {0, UINT64_C(1) << 47, UINT64_MAX};
    struct log_run run = {.group = 3, .incarnation = 4, .number = 9, .term = UINT64_C(0x100000002)};
    for (size_t i = 0; i < 3 * 20; i++) {
        uint8_t bytes[160];
        struct log_record entry = {.timestamp_ms = timestamps_ms[i % 3],
                                   .index = i,
                                   .term_low = 2,
                                   .body = bytes_of("0123456789abcdefghi", i / 3)};
        struct log_record got;
        struct log_run run_got;
        size_t size = 0;
        size_t put = log_record_put_opening(bytes, &run, &entry, 7);
        assert_true(put <= log_record_entry_size(i / 3 + log_record_wide_size(entry.timestamp_ms)));
        assert_int_equal(log_record_get(bytes_of(bytes, put), 7, &got, &size), LOG_RECORD_OK);
        assert_int_equal(size, put);
        assert_int_equal(got.kind, LOG_RECORD_APPEND);
        assert_true(got.timestamp_ms == entry.timestamp_ms);
        assert_int_equal(got.body.size, i / 3);
        assert_memory_equal(got.body.data, "0123456789abcdefghi", i / 3);
        assert_int_equal(log_record_get_run(got.run, &run_got), 0);
        assert_memory_equal(&run_got, &run, sizeof(run));
        assert_int_equal(log_record_get(bytes_of(bytes, put - 8), 7, &got, &size), LOG_RECORD_SHORT);
    }
}

static void an_opening_append_without_room_for_its_run_is_bad(void **unused)
{
    (void)unused;
    uint8_t body[40] = {1};
    for (size_t size = 0; size < 40; size++) {
        uint8_t bytes[128];
        struct log_record record = {.kind = LOG_RECORD_OPENING, .index = 1, .body = bytes_of(body, size)};
        struct log_record got;
        size_t taken = 0;
        size_t put = log_record_put(bytes, &record, 7);
        bool fits = size >= LOG_FORMAT_RUN_BODY_SIZE;
        assert_int_equal(log_record_get(bytes_of(bytes, put), 7, &got, &taken), fits ? LOG_RECORD_OK : LOG_RECORD_BAD);
        assert_int_equal(taken, put);
    }
}

/* A frame with one opening append: what its run says is as it should be, or one thing of it is not. */
static int check_opening(const struct log_run *run, uint32_t check, uint64_t index)
{
    uint8_t *data = aligned_alloc(4096, 4096);
    struct log_frame_builder builder;
    struct log_frame_header header;
    struct log_trailer trailer;
    struct log_frame_entry entry = {.index = index, .type = HF_ENTRY_NORMAL, .payload = bytes_of("p", 1)};
    struct log_declaration declaration = {0};
    log_frame_begin(&builder, &place_example, data, 4096, &runs_example);
    log_frame_put_opening(&builder, run, check, &entry);
    size_t length = log_frame_seal(&builder, &declaration);
    assert_true(log_frame_get_header(data, INCARNATION, 3, 8192, 4096, &header));
    assert_int_equal(header.record_count, 2);
    int rc = log_frame_check(bytes_of(data, length), &header, &trailer);
    free(data);
    return rc;
}

static void L53_a_run_that_an_append_opens_is_checked_like_any_other(void **unused)
{
    (void)unused;
    struct log_run good = {.group = 3, .incarnation = 4, .number = 9, .term = 2};
    uint32_t check = log_format_group_check(3, 4);
    assert_int_equal(check_opening(&good, check, 1), 0);
    assert_int_equal(check_opening(&good, check + 1, 1), HF_ECORRUPT);
    assert_int_equal(check_opening(&good, check, 0), HF_ECORRUPT);
    struct log_run numberless = {.group = 3, .incarnation = 4, .term = 2};
    assert_int_equal(check_opening(&numberless, check, 1), HF_ECORRUPT);
}

static void an_opening_append_is_told_twice_at_its_place(void **unused)
{
    (void)unused;
    uint8_t *data = aligned_alloc(4096, 4096);
    struct log_frame_builder builder;
    struct log_frame_cursor cursor;
    struct log_record record;
    size_t run_at = 0;
    size_t at = 0;
    struct log_run run = {.group = 3, .incarnation = 4, .number = 9, .term = 2};
    struct log_frame_entry entries[2] = {{.index = 41, .type = HF_ENTRY_NORMAL, .payload = bytes_of("one", 3)},
                                         {.index = 42, .type = HF_ENTRY_NORMAL, .payload = bytes_of("two", 3)}};
    struct log_declaration declaration = {0};
    log_frame_begin(&builder, &place_example, data, 4096, &runs_example);
    log_frame_put_opening(&builder, &run, log_format_group_check(3, 4), &entries[0]);
    log_frame_put_entry(&builder, &entries[1]);
    log_frame_cursor_open(&cursor, bytes_of(data, log_frame_seal(&builder, &declaration)), INCARNATION, 8192);
    assert_int_equal(log_frame_next(&cursor, &record, &run_at), 0);
    assert_int_equal(record.kind, LOG_RECORD_RUN);
    assert_int_equal(record.index, 40); /* the group's last before it */
    assert_int_equal(cursor.run.number, 9);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(log_frame_next(&cursor, &record, &at), 0);
        assert_int_equal(record.kind, LOG_RECORD_APPEND);
        assert_int_equal(record.index, entries[i].index);
        assert_int_equal(cursor.run.group, 3);
        assert_int_equal(record.body.size, 3);
        assert_memory_equal(record.body.data, entries[i].payload.data, 3);
        assert_true(i == 1 || at == run_at);
    }
    assert_int_equal(log_frame_next(&cursor, &record, &at), 0);
    assert_int_equal(record.kind, LOG_RECORD_TRAILER);
    free(data);
}

/* ---- groups that take turns ---- */

/* Takes the run that is there for the group, or puts a new one; and one entry. */
static void put_turn(struct log_frame_builder *builder, uint64_t group, uint64_t incarnation, uint64_t term,
                     uint64_t index)
{
    uint32_t check = log_format_group_check(group, incarnation);
    if (!log_frame_resume_run(builder, group, incarnation, check, &term)) {
        struct log_run run = {.group = group, .incarnation = incarnation, .number = index, .term = term};
        log_frame_put_run(builder, &run, check, index - 1);
    }
    struct log_frame_entry entry = {
        .index = index, .type = HF_ENTRY_NORMAL, .timestamp_ms = group, .payload = bytes_of("payload", 7)};
    log_frame_put_entry(builder, &entry);
}

struct turn {
    uint64_t group;
    uint64_t incarnation;
    uint64_t term;
};

/* The turns, as many times, in one frame. Every entry is read back under its group's run. Returns the run records. */
static unsigned take_turns(const struct turn *turns, size_t count, unsigned times)
{
    struct built built = {.data = aligned_alloc(4096, 1 << 20)};
    struct log_frame_builder builder;
    unsigned runs = 0;
    log_frame_begin(&builder, &place_example, built.data, 1 << 20, &runs_example);
    for (size_t i = 0; i < count * times; i++) {
        put_turn(&builder, turns[i % count].group, turns[i % count].incarnation, turns[i % count].term, i / count + 1);
    }
    struct log_declaration declaration = {.durable_position = 36864, .oldest_segment = 2};
    built.length = log_frame_seal(&builder, &declaration);
    assert_true(log_frame_get_header(built.data, INCARNATION, 3, 8192, 1 << 20, &built.header));
    struct log_trailer trailer;
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), 0);
    struct log_frame_cursor cursor;
    struct log_record record;
    size_t at = 0;
    size_t entries = 0;
    log_frame_cursor_open(&cursor, bytes_of(built.data, built.length), INCARNATION, 8192);
    while (log_frame_next(&cursor, &record, &at) == 0) {
        if (record.kind == LOG_RECORD_RUN) {
            runs++;
        } else if (record.kind == LOG_RECORD_APPEND) {
            const struct turn *turn = &turns[entries++ % count];
            assert_int_equal(cursor.run.group, turn->group);
            assert_int_equal(cursor.run.incarnation, turn->incarnation);
            assert_int_equal(cursor.run.term, turn->term);
            assert_int_equal(record.timestamp_ms, turn->group);
        }
    }
    assert_int_equal(entries, count * times);
    free(built.data);
    return runs;
}

static void groups_that_take_turns_have_one_run_record_each_in_a_frame(void **unused)
{
    static const struct turn two[] = {{1, 50, 8}, {2, 60, 8}};
    (void)unused;
    assert_true(log_runs_slot(log_format_group_check(1, 50)) != log_runs_slot(log_format_group_check(2, 60)));
    assert_int_equal(take_turns(two, 2, 100), 2);
}

static void another_term_or_life_of_the_group_is_another_run(void **unused)
{
    static const struct turn turns[] = {{1, 50, 8}, {1, 50, 9}, {1, 51, 9}, {1, 50, UINT64_C(9) << 32 | 8}};
    (void)unused;
    assert_int_equal(take_turns(turns, 2, 1), 2);
    assert_int_equal(take_turns(turns, 4, 3), 3 * 3 + 1); /* the three runs of one life share a slot */
}

static void more_groups_than_slots_are_told_apart(void **unused)
{
    static struct turn turns[300];
    (void)unused;
    for (size_t i = 0; i < 300; i++) {
        turns[i] = (struct turn){i + 1, 1000 + i, 3};
    }
    unsigned runs = take_turns(turns, 300, 4);
    assert_true(runs > 300 && runs <= 1200);
}

struct checked {
    uint32_t check;
    uint64_t group;
};

static int by_check(const void *a, const void *b)
{
    uint32_t one = ((const struct checked *)a)->check;
    uint32_t two = ((const struct checked *)b)->check;
    return one < two ? -1 : one > two;
}

static void two_groups_with_the_same_check_are_told_apart(void **unused)
{
    enum { TRIED = 400000 };
    struct checked *all = malloc(TRIED * sizeof(*all));
    unsigned found = 0;
    (void)unused;
    for (uint64_t i = 0; i < TRIED; i++) {
        all[i] = (struct checked){log_format_group_check(i + 1, 7), i + 1};
    }
    qsort(all, TRIED, sizeof(*all), by_check);
    for (size_t i = 1; i < TRIED; i++) {
        if (all[i].check == all[i - 1].check) {
            struct turn turns[] = {{all[i - 1].group, 7, 8}, {all[i].group, 7, 8}};
            assert_int_equal(take_turns(turns, 2, 5), 10);
            found++;
        }
    }
    assert_true(found > 0);
    free(all);
}

static void a_record_without_a_run_of_its_check_is_damage(void **unused)
{
    struct built built = build(10, 0, false);
    struct log_trailer trailer;
    struct log_record record;
    struct log_frame_cursor cursor;
    size_t at = 0;
    (void)unused;
    log_frame_cursor_open(&cursor, bytes_of(built.data, built.length), INCARNATION, 8192);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(log_frame_next(&cursor, &record, &at), 0);
    }
    record.group_check++;
    log_record_put(built.data + at, &record, log_format_seed(INCARNATION, 8192 + at));
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), HF_ECORRUPT);
    record.group_check--;
    record.term_low++;
    log_record_put(built.data + at, &record, log_format_seed(INCARNATION, 8192 + at));
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), HF_ECORRUPT);
    record.term_low--;
    log_record_put(built.data + at, &record, log_format_seed(INCARNATION, 8192 + at));
    assert_int_equal(log_frame_check(bytes_of(built.data, built.length), &built.header, &trailer), 0);
    free(built.data);
}

static void behind_a_bad_record_the_next_good_one_is_found(void **unused)
{
    (void)unused;
    struct built built = build(40, 0, false);
    struct log_frame_cursor cursor;
    struct log_record record;
    size_t at = 0;
    size_t second = 0;
    log_frame_cursor_open(&cursor, bytes_of(built.data, built.length), INCARNATION, 8192);
    for (int i = 0; i < 5; i++) {
        second = at;
        assert_int_equal(log_frame_next(&cursor, &record, &at), 0);
    }
    uint64_t index = record.index;
    memset(built.data + at, 0xff, 16); /* the header of the record that was read last */
    (void)second;
    cursor.at = at;
    assert_int_equal(log_frame_next(&cursor, &record, &at), HF_ECORRUPT);
    assert_true(log_frame_resynchronise(&cursor));
    assert_int_equal(log_frame_next(&cursor, &record, &at), 0);
    assert_int_equal(record.index, index + 1);
    free(built.data);
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_segment_header_has_the_drawn_bytes),
        cmocka_unit_test(a_segment_header_is_refused_when_any_bit_is_flipped),
        cmocka_unit_test(names_of_segments_are_sixteen_hexadecimal_digits),
        cmocka_unit_test(a_record_has_the_drawn_bytes),
        cmocka_unit_test(records_round_trip),
        cmocka_unit_test(L53_a_record_is_refused_when_any_bit_is_flipped),
        cmocka_unit_test(H17_checksums_are_bound_to_incarnation_and_offset),
        cmocka_unit_test(L7_zeros_are_not_a_record),
        cmocka_unit_test(a_frame_is_read_back_record_by_record),
        cmocka_unit_test(H2_a_frame_with_any_bit_flipped_is_not_whole),
        cmocka_unit_test(L51_a_frame_header_of_another_life_file_or_place_is_not_believed),
        cmocka_unit_test(a_moved_frame_is_whole_in_its_new_place_only),
        cmocka_unit_test(an_unknown_kind_is_refused_unless_it_says_that_it_may_be_skipped),
        cmocka_unit_test(a_bare_frame_takes_one_block),
        cmocka_unit_test(L53_values_that_nobody_writes_are_damage_although_every_checksum_is_right),
        cmocka_unit_test(L53_a_header_and_a_trailer_that_disagree_are_damage),
        cmocka_unit_test(an_opening_append_has_the_drawn_bytes),
        cmocka_unit_test(an_opening_append_is_decoded_as_a_run_and_an_append),
        cmocka_unit_test(an_opening_append_without_room_for_its_run_is_bad),
        cmocka_unit_test(L53_a_run_that_an_append_opens_is_checked_like_any_other),
        cmocka_unit_test(an_opening_append_is_told_twice_at_its_place),
        cmocka_unit_test(groups_that_take_turns_have_one_run_record_each_in_a_frame),
        cmocka_unit_test(another_term_or_life_of_the_group_is_another_run),
        cmocka_unit_test(more_groups_than_slots_are_told_apart),
        cmocka_unit_test(two_groups_with_the_same_check_are_told_apart),
        cmocka_unit_test(a_record_without_a_run_of_its_check_is_damage),
        cmocka_unit_test(behind_a_bad_record_the_next_good_one_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
