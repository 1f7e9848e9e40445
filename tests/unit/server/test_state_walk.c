/* The keys in the state of a group, as a snapshot holds it: handed out once, in order, and nothing that is wrong is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "node/group_stream.h"
#include "server/keyspace.h"
#include "server/state_walk.h"

#define GROUP       3u
#define INCARNATION 99u
#define STAMP_MS    5000u

static void put(struct hf_store *store, const char *key, const char *text, uint64_t deadline_ms)
{
    struct buffer stored = {0};
    struct value value = {.type = VALUE_STRING, .version = {1, 0}, .deadline_ms = deadline_ms};
    value_encode_header(&value, buffer_extend(&stored, VALUE_HEADER_SIZE));
    buffer_append_text(&stored, text);
    assert_int_equal(hf_store_put(store, KEYSPACE_TREE_KEYS, bytes_of_text(key), buffer_bytes(&stored), NULL), 0);
    buffer_close(&stored);
}

static struct buffer make_state(bool has_bad_value)
{
    const struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    const struct group_stream_head head = {GROUP, INCARNATION, STAMP_MS};
    struct buffer state = {0};
    struct hf_store *store = NULL;
    struct hf_store_cut *cut = NULL;
    struct hf_store_export *stream = NULL;
    size_t got;
    assert_int_equal(hf_store_open(&options, &store), 0);
    put(store, "a", "first", 0);
    put(store, "b", "past", STAMP_MS - 1);
    put(store, "c", "now", STAMP_MS);
    put(store, "d", "", 0);
    if (has_bad_value) {
        assert_int_equal(hf_store_put(store, KEYSPACE_TREE_KEYS, bytes_of_text("e"), bytes_of_text("x"), NULL), 0);
    }
    assert_int_equal(hf_store_put(store, KEYSPACE_TREE_SCAN, bytes_of_text("hash a"), bytes_of_text(""), NULL), 0);
    assert_int_equal(hf_store_cut(store, &cut), 0);
    assert_int_equal(hf_store_export_open(cut, &stream), 0);
    group_stream_encode(&head, buffer_extend(&state, GROUP_STREAM_HEAD_SIZE));
    uint8_t *target = buffer_extend(&state, 4096);
    assert_int_equal(hf_store_export_read(stream, target, 4096, &got), 0);
    state.size -= 4096 - got;
    hf_store_export_close(stream);
    hf_store_cut_close(cut);
    hf_store_close(store);
    return state;
}

static int append_item(void *arg, const struct state_walk_item *item)
{
    struct buffer *lines = arg;
    buffer_append_bytes(lines, item->key);
    buffer_append_u8(lines, '=');
    buffer_append_bytes(lines, item->value);
    buffer_format(lines, "@%llu%s %s\n", (unsigned long long)item->deadline_ms, item->is_past ? "!" : "", item->type);
    return 0;
}

static int walk_all(struct hf_bytes state, uint64_t group, size_t piece_max, struct buffer *lines)
{
    struct state_walk *walk = state_walk_open(group, INCARNATION, append_item, lines);
    int rc = 0;
    for (size_t at = 0; at < state.size && rc == 0; at += piece_max) {
        size_t piece = state.size - at < piece_max ? state.size - at : piece_max;
        rc = state_walk_write(walk, bytes_of((const uint8_t *)state.data + at, piece));
    }
    rc = rc == 0 ? state_walk_finish(walk) : rc;
    state_walk_close(walk);
    return rc;
}

static void every_key_is_handed_out_with_value_deadline_and_whether_it_is_past(void **unused)
{
    (void)unused;
    static const char expected[] = "a=first@0 string\nb=past@4999! string\nc=now@5000 string\nd=@0 string\n";
    static const size_t pieces[] = {1, 3, 39, 40, 41, 4096};
    struct buffer state = make_state(false);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct buffer lines = {0};
        assert_int_equal(walk_all(buffer_bytes(&state), GROUP, pieces[i], &lines), 0);
        assert_true(bytes_equal(buffer_bytes(&lines), bytes_of_text(expected)));
        buffer_close(&lines);
    }
    buffer_close(&state);
}

static void a_state_that_is_cut_or_of_another_group_or_not_ours_is_refused(void **unused)
{
    (void)unused;
    struct buffer state = make_state(false);
    struct buffer bad = make_state(true);
    struct buffer lines = {0};
    for (size_t size = 0; size < state.size; size++) {
        assert_int_equal(walk_all(bytes_of(state.data, size), GROUP, 7, &lines), HF_ECORRUPT);
    }
    assert_int_equal(walk_all(buffer_bytes(&state), GROUP + 1, 7, &lines), HF_EMISMATCH);
    assert_int_equal(walk_all(buffer_bytes(&bad), GROUP, 7, &lines), HF_ECORRUPT);
    buffer_append_u8(&state, 0);
    assert_int_equal(walk_all(buffer_bytes(&state), GROUP, 7, &lines), HF_ECORRUPT);
    buffer_close(&lines);
    buffer_close(&state);
    buffer_close(&bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_handed_out_with_value_deadline_and_whether_it_is_past),
        cmocka_unit_test(a_state_that_is_cut_or_of_another_group_or_not_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
