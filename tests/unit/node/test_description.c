#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/rng.h"
#include "holdfast/error.h"
#include "node/description.h"

/* ---- A world with a clock and randomness, nothing else ---- */

static struct rng world_rng;

static uint64_t world_wall_ms(struct io *io)
{
    return 1750000000123;
}
static void world_random(struct io *io, void *target, size_t size)
{
    rng_fill(&world_rng, target, size);
}
static const struct io_ops world_ops = {.name = "test", .wall_ms = world_wall_ms, .random = world_random};
static struct io world = {&world_ops};

static const struct description_node three[] = {
    {3, "c:7003", "c:6381", "c:8003"}, {1, "a:7001", "a:6379", ""}, {2, "[::1]:7002", "b:6380", "b:8002"}};

static struct description *sample(uint32_t nodes, uint32_t groups)
{
    struct description *description = NULL;
    rng_seed(&world_rng, 42);
    assert_int_equal(description_create(&world, three, nodes, groups, &description), 0);
    return description;
}

static void assert_same(const struct description *a, const struct description *b)
{
    struct buffer left = {0};
    struct buffer right = {0};
    description_encode(a, &left);
    description_encode(b, &right);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    buffer_close(&left);
    buffer_close(&right);
}

/* ---- Tests ---- */

static void a_description_comes_back_as_it_was_written(void **state)
{
    static const uint32_t groups[] = {1, 4, 300, DESCRIPTION_GROUPS_MAX};
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        struct description *written = sample(3, groups[i]);
        struct description *read = NULL;
        struct buffer bytes = {0};
        description_encode(written, &bytes);
        assert_int_equal(description_decode(buffer_bytes(&bytes), &read), 0);
        assert_same(written, read);
        assert_int_equal(read->created_ms, 1750000000123);
        assert_int_equal(read->group_count, groups[i]);
        assert_int_equal(read->groups[groups[i]].id, groups[i] + 1);
        description_close(read);
        description_close(written);
        buffer_close(&bytes);
    }
}

static void nodes_are_kept_in_the_order_of_their_ids(void **state)
{
    struct description *description = sample(3, 4);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(description->nodes[i].id, i + 1);
    }
    assert_string_equal(description_node(description, 2)->peer_address, "[::1]:7002");
    assert_null(description_node(description, 4));
    char text[33];
    description_cluster_id_text(description, text);
    assert_int_equal(strlen(text), 32);
    assert_int_equal(strspn(text, "0123456789abcdef"), 32);
    description_close(description);
}

/* Every byte, every bit: the version field may be refused as a version, all else is damage. */
static void H17_every_corrupted_byte_is_refused(void **state)
{
    struct description *description = sample(3, 4);
    struct buffer bytes = {0};
    description_encode(description, &bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct description *read = NULL;
            bytes.data[i] ^= (uint8_t)(1u << bit);
            int rc = description_decode(buffer_bytes(&bytes), &read);
            assert_int_equal(rc, i >= 8 && i < 12 ? HF_EVERSION : HF_ECORRUPT);
            assert_null(read);
            bytes.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    buffer_close(&bytes);
    description_close(description);
}

static void every_shorter_and_longer_form_is_refused(void **state)
{
    struct description *description = sample(2, 4);
    struct buffer bytes = {0};
    struct description *read = NULL;
    description_encode(description, &bytes);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_int_equal(description_decode(bytes_of(bytes.data, size), &read), HF_ECORRUPT);
    }
    buffer_append_u8(&bytes, 0);
    assert_int_equal(description_decode(buffer_bytes(&bytes), &read), HF_ECORRUPT);
    buffer_close(&bytes);
    description_close(description);
}

static void reseal(struct buffer *bytes)
{
    uint32_t crc = checksum_crc32c(0, bytes->data, 16);
    bytes_put_u32(bytes->data + 16, checksum_crc32c(crc, bytes->data + 20, bytes->size - 20));
}

static void what_a_later_release_wrote_is_refused_by_its_version(void **state)
{
    static const size_t offsets[] = {8, 44, 48}; /* format version, feature level, routing version */
    for (size_t i = 0; i < 3; i++) {
        struct description *description = sample(3, 4);
        struct description *read = NULL;
        struct buffer bytes = {0};
        description_encode(description, &bytes);
        bytes_put_u32(bytes.data + offsets[i], DESCRIPTION_FEATURE_LEVEL_MAX + 1);
        reseal(&bytes);
        assert_int_equal(description_decode(buffer_bytes(&bytes), &read), HF_EVERSION);
        buffer_close(&bytes);
        description_close(description);
    }
}

static void a_description_of_the_first_feature_level_still_opens(void **state)
{
    struct description *description = sample(3, 4);
    struct description *read = NULL;
    struct buffer bytes = {0};
    description_encode(description, &bytes);
    bytes_put_u32(bytes.data + 44, DESCRIPTION_FEATURES_FIRST);
    reseal(&bytes);
    assert_int_equal(description_decode(buffer_bytes(&bytes), &read), 0);
    assert_int_equal(read->feature_level, DESCRIPTION_FEATURES_FIRST);
    description_close(read);
    buffer_close(&bytes);
    description_close(description);
}

/* A right checksum does not make bytes right: counts are bounded before anything is allocated. */
static void counts_out_of_their_limits_are_refused_behind_a_right_checksum(void **state)
{
    static const struct {
        size_t offset;
        uint32_t value;
    } rows[] = {{52, 0}, {52, DESCRIPTION_GROUPS_MAX + 1}, {52, UINT32_MAX}, {52, 5},
                {56, 0}, {56, DESCRIPTION_NODES_MAX + 1},  {56, UINT32_MAX}, {56, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct description *description = sample(3, 4);
        struct description *read = NULL;
        struct buffer bytes = {0};
        description_encode(description, &bytes);
        bytes_put_u32(bytes.data + rows[i].offset, rows[i].value);
        reseal(&bytes);
        assert_int_equal(description_decode(buffer_bytes(&bytes), &read), HF_ECORRUPT);
        buffer_close(&bytes);
        description_close(description);
    }
}

static void nodes_that_cannot_be_are_refused_with_a_reason(void **state)
{
    static const struct {
        struct description_node nodes[2];
        uint32_t count;
        uint32_t groups;
        const char *text;
    } rows[] = {
        {{{0, "a:1", "", ""}}, 1, 1, "id 0"},
        {{{1, "a:1", "", ""}, {1, "b:1", "", ""}}, 2, 1, "node 1 is listed twice"},
        {{{1, "a:1", "", ""}, {2, "a:1", "", ""}}, 2, 1, "the same peer address"},
        {{{1, "", "", ""}, {2, "a:1", "", ""}}, 2, 1, "host:port"},
        {{{1, "a", "", ""}}, 1, 1, "host:port"},
        {{{1, ":1", "", ""}}, 1, 1, "host:port"},
        {{{1, "a:", "", ""}}, 1, 1, "host:port"},
        {{{1, "a:65536", "", ""}}, 1, 1, "host:port"},
        {{{1, "a:1x", "", ""}}, 1, 1, "host:port"},
        {{{1, "a:1", "b", ""}}, 1, 1, "client address"},
        {{{1, "a:1", "", "c d:1"}}, 1, 1, "not printable"},
        {{{1, "a:1", "", ""}}, 0, 1, "nodes"},
        {{{1, "a:1", "", ""}}, 1, 0, "groups"},
        {{{1, "a:1", "", ""}}, 1, DESCRIPTION_GROUPS_MAX + 1, "groups"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct description *description = NULL;
        assert_int_equal(description_create(&world, rows[i].nodes, rows[i].count, rows[i].groups, &description),
                         HF_EINVALID);
        assert_non_null(strstr(hf_error_text(), rows[i].text));
        assert_null(description);
    }
}

static void the_text_form_survives_what_people_do_to_text(void **state)
{
    struct description *written = sample(3, 5);
    struct buffer text = {0};
    struct buffer mangled = {0};
    struct description *read = NULL;
    description_encode_text(written, &text);
    assert_int_equal(description_decode_text(buffer_bytes(&text), &read), 0);
    assert_same(written, read);
    description_close(read);
    /* A mail around it, Windows line ends, indentation. */
    buffer_append_text(&mangled, "Hi,\r\n> here it is:\r\n  ");
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\n') {
            buffer_append_text(&mangled, "\r\n  ");
        } else {
            buffer_append_u8(&mangled, text.data[i]);
        }
    }
    buffer_append_text(&mangled, "\r\nbye");
    assert_int_equal(description_decode_text(buffer_bytes(&mangled), &read), 0);
    assert_same(written, read);
    description_close(read);
    buffer_close(&mangled);
    buffer_close(&text);
    description_close(written);
}

static void a_changed_or_cut_text_is_refused(void **state)
{
    struct description *written = sample(3, 5);
    struct buffer text = {0};
    description_encode_text(written, &text);
    for (size_t i = 0; i < text.size; i++) {
        struct description *read = NULL;
        uint8_t kept = text.data[i];
        text.data[i] = kept == 'A' ? 'B' : 'A';
        int rc = description_decode_text(buffer_bytes(&text), &read);
        /* The last line end stands behind the marker, where anything may follow. */
        assert_true(rc == HF_ECORRUPT || rc == HF_EVERSION || (rc == 0 && i == text.size - 1));
        description_close(rc == 0 ? read : NULL);
        text.data[i] = kept;
    }
    for (size_t size = 0; size + 1 < text.size; size++) {
        struct description *read = NULL;
        assert_int_equal(description_decode_text(bytes_of(text.data, size), &read), HF_ECORRUPT);
    }
    buffer_close(&text);
    description_close(written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_description_comes_back_as_it_was_written),
        cmocka_unit_test(nodes_are_kept_in_the_order_of_their_ids),
        cmocka_unit_test(H17_every_corrupted_byte_is_refused),
        cmocka_unit_test(every_shorter_and_longer_form_is_refused),
        cmocka_unit_test(what_a_later_release_wrote_is_refused_by_its_version),
        cmocka_unit_test(a_description_of_the_first_feature_level_still_opens),
        cmocka_unit_test(counts_out_of_their_limits_are_refused_behind_a_right_checksum),
        cmocka_unit_test(nodes_that_cannot_be_are_refused_with_a_reason),
        cmocka_unit_test(the_text_form_survives_what_people_do_to_text),
        cmocka_unit_test(a_changed_or_cut_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
