/* links: store */
/* What every store backend promises in include/holdfast/store.h, run on each of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "holdfast/store.h"

static const struct {
    enum hf_store_backend backend;
    const char *name;
} backends[] = {
    {HF_STORE_MEMORY, "memory"},
};
static size_t backend_now;

static int open_store(void **state)
{
    struct hf_store_options options = {.backend = backends[backend_now].backend};
    struct hf_store *store;
    assert_int_equal(hf_store_open(&options, &store), 0);
    *state = store;
    return 0;
}

static int close_store(void **state)
{
    hf_store_close(*state);
    return 0;
}

static struct hf_bytes text(const char *text)
{
    return bytes_of_text(text);
}

static void put(struct hf_store *store, const char *key, const char *value)
{
    assert_int_equal(hf_store_put(store, 0, text(key), text(value), NULL), 0);
}

static void expect(struct hf_bytes bytes, const char *expected)
{
    assert_int_equal(bytes.size, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.size);
}

/* The keys of a range in the cursor's order, joined by spaces. */
static void expect_scan(struct hf_store *store, const struct hf_store_range *range, enum hf_store_order order,
                        const char *expected)
{
    struct buffer found = {0};
    struct hf_store_cursor *cursor;
    struct hf_store_entry entry;
    assert_int_equal(hf_store_cursor_open(store, 0, range, order, &cursor), 0);
    while (hf_store_cursor_next(cursor, &entry) == 0) {
        buffer_append_text(&found, found.size > 0 ? " " : "");
        buffer_append_bytes(&found, entry.key);
    }
    hf_store_cursor_close(cursor);
    buffer_append_u8(&found, 0);
    assert_string_equal((const char *)found.data, expected);
    buffer_close(&found);
}

/* ---- One key ---- */

static void put_says_whether_it_overwrote_and_get_lends_the_value(void **state)
{
    struct hf_store *store = *state;
    struct hf_bytes value;
    bool overwritten = true;
    assert_int_equal(hf_store_get(store, 0, text("k"), &value), HF_ENOTFOUND);
    assert_int_equal(hf_store_put(store, 0, text("k"), text("one"), &overwritten), 0);
    assert_false(overwritten);
    assert_int_equal(hf_store_put(store, 0, text("k"), text("two"), &overwritten), 0);
    assert_true(overwritten);
    assert_int_equal(hf_store_get(store, 0, text("k"), &value), 0);
    expect(value, "two");
    bool exists = false;
    assert_int_equal(hf_store_exists(store, 0, text("k"), &exists), 0);
    assert_true(exists);
    assert_int_equal(hf_store_exists(store, 0, text("kk"), &exists), 0);
    assert_false(exists);
}

static void delete_of_a_missing_key_is_fine(void **state)
{
    struct hf_store *store = *state;
    bool removed = true;
    assert_int_equal(hf_store_delete(store, 0, text("k"), &removed), 0);
    assert_false(removed);
    put(store, "k", "v");
    assert_int_equal(hf_store_delete(store, 0, text("k"), &removed), 0);
    assert_true(removed);
    assert_int_equal(hf_store_delete(store, 7, text("k"), &removed), 0);
    assert_false(removed);
}

static void the_empty_key_and_the_empty_value_are_like_any_other(void **state)
{
    struct hf_store *store = *state;
    struct hf_bytes value;
    assert_int_equal(hf_store_put(store, 0, bytes_of(NULL, 0), bytes_of(NULL, 0), NULL), 0);
    assert_int_equal(hf_store_get(store, 0, text(""), &value), 0);
    assert_int_equal(value.size, 0);
    put(store, "a", "");
    struct hf_store_entry entry;
    assert_int_equal(hf_store_first(store, 0, &entry), 0);
    assert_int_equal(entry.key.size, 0);
}

static void keys_and_values_at_the_limit_are_taken_and_above_it_refused(void **state)
{
    struct hf_store *store = *state;
    uint8_t *big = memory_new(HF_STORE_VALUE_SIZE_MAX + HF_STORE_VALUE_EXTRA_MAX + 1);
    memset(big, 'x', HF_STORE_KEY_SIZE_MAX);
    struct hf_bytes value;
    assert_int_equal(hf_store_put(store, 0, bytes_of(big, HF_STORE_KEY_SIZE_MAX), text("v"), NULL), 0);
    assert_int_equal(hf_store_get(store, 0, bytes_of(big, HF_STORE_KEY_SIZE_MAX), &value), 0);
    assert_int_equal(hf_store_put(store, 0, bytes_of(big, HF_STORE_KEY_SIZE_MAX + 1), text("v"), NULL), HF_ETOOBIG);
    assert_int_equal(hf_store_delete(store, 0, bytes_of(big, HF_STORE_KEY_SIZE_MAX + 1), NULL), HF_ETOOBIG);
    assert_int_equal(hf_store_get(store, 0, bytes_of(big, HF_STORE_KEY_SIZE_MAX + 1), &value), HF_ENOTFOUND);
    size_t size = HF_STORE_VALUE_SIZE_MAX + HF_STORE_VALUE_EXTRA_MAX;
    assert_int_equal(hf_store_put(store, 0, text("v"), bytes_of(big, size), NULL), 0);
    assert_int_equal(hf_store_get(store, 0, text("v"), &value), 0);
    assert_int_equal(value.size, size);
    assert_memory_equal(value.data, big, size);
    assert_int_equal(hf_store_put(store, 0, text("w"), bytes_of(big, size + 1), NULL), HF_ETOOBIG);
    struct hf_bytes parts[] = {{big, size}, {big, 1}};
    assert_int_equal(hf_store_put_parts(store, 0, text("w"), parts, 2, NULL), HF_ETOOBIG);
    assert_int_equal(hf_store_put(store, HF_STORE_TREES_MAX, text("w"), text("v"), NULL), HF_EINVALID);
    assert_int_equal(hf_store_get(store, 0, text("w"), &value), HF_ENOTFOUND);
    free(big);
}

static void a_value_may_be_put_from_parts_that_are_on_loan(void **state)
{
    static const size_t sizes[] = {0,
                                   3,
                                   HF_STORE_INLINE_SIZE_MAX - 2,
                                   HF_STORE_INLINE_SIZE_MAX - 1,
                                   HF_STORE_INLINE_SIZE_MAX,
                                   HF_STORE_INLINE_SIZE_MAX + 1,
                                   100000};
    struct hf_store *store = *state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *bytes = memory_new(sizes[i] + 2);
        memset(bytes, 'a', sizes[i]);
        memcpy(bytes + sizes[i], "zz", 2);
        assert_int_equal(hf_store_put(store, 0, text("k"), bytes_of(bytes, sizes[i]), NULL), 0);
        struct hf_store_entry entry;
        assert_int_equal(hf_store_first(store, 0, &entry), 0);
        struct hf_bytes parts[] = {entry.value, {NULL, 0}, {"zz", 2}};
        assert_int_equal(hf_store_put_parts(store, 0, entry.key, parts, 3, NULL), 0);
        struct hf_bytes value;
        assert_int_equal(hf_store_get(store, 0, text("k"), &value), 0);
        assert_int_equal(value.size, sizes[i] + 2);
        assert_memory_equal(value.data, bytes, value.size);
        free(bytes);
    }
}

/* ---- Order and ranges ---- */

static void keys_are_ordered_by_their_bytes(void **state)
{
    struct hf_store *store = *state;
    static const char *const keys[] = {"b", "a", "ab", "\xff", "a\x7f", "aa", "B", "\x80", "~"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        put(store, keys[i], keys[i]);
    }
    expect_scan(store, NULL, HF_STORE_FORWARD, "B a aa ab a\x7f b ~ \x80 \xff");
    expect_scan(store, NULL, HF_STORE_BACKWARD, "\xff \x80 ~ b a\x7f ab aa a B");
    struct hf_store_entry entry;
    assert_int_equal(hf_store_last(store, 0, &entry), 0);
    expect(entry.key, "\xff");
    expect(entry.value, "\xff");
}

static const struct {
    const char *low;
    const char *high;
    const char *prefix;
    const char *expected;
} range_cases[] = {
    {NULL, NULL, NULL, "a aa ab b ba \xff \xff\xff \xff\xff\x01"},
    {"aa", "b", NULL, "aa ab"},
    {"aa", NULL, NULL, "aa ab b ba \xff \xff\xff \xff\xff\x01"},
    {NULL, "aa", NULL, "a"},
    {NULL, "", NULL, ""},
    {"b", "b", NULL, ""},
    {"c", "b", NULL, ""},
    {NULL, NULL, "", "a aa ab b ba \xff \xff\xff \xff\xff\x01"},
    {NULL, NULL, "a", "a aa ab"},
    {NULL, NULL, "ab", "ab"},
    {NULL, NULL, "abc", ""},
    {NULL, NULL, "\xff", "\xff \xff\xff \xff\xff\x01"},
    {NULL, NULL, "\xff\xff", "\xff\xff \xff\xff\x01"},
    {NULL, NULL, "\xff\xff\xff", ""},
    {"aa", "ab", "a", "aa"},
    {"b", NULL, "a", ""},
    {NULL, "a", "a", ""},
};

static void put_range_keys(struct hf_store *store)
{
    static const char *const keys[] = {"a", "aa", "ab", "b", "ba", "\xff", "\xff\xff", "\xff\xff\x01"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        put(store, keys[i], "v");
    }
}

static struct hf_store_range range_of(size_t row)
{
    struct hf_store_range range = {0};
    if (range_cases[row].low != NULL) {
        range.low = text(range_cases[row].low);
    }
    if (range_cases[row].high != NULL) {
        range.high = text(range_cases[row].high);
    }
    if (range_cases[row].prefix != NULL) {
        range.prefix = text(range_cases[row].prefix);
    }
    return range;
}

static void ranges_and_prefixes_are_right_also_with_bytes_of_0xff(void **state)
{
    put_range_keys(*state);
    for (size_t i = 0; i < sizeof(range_cases) / sizeof(range_cases[0]); i++) {
        struct hf_store_range range = range_of(i);
        expect_scan(*state, &range, HF_STORE_FORWARD, range_cases[i].expected);
    }
}

static void delete_range_removes_what_a_scan_of_it_shows_and_counts_it(void **state)
{
    struct hf_store *store = *state;
    for (size_t i = 0; i < sizeof(range_cases) / sizeof(range_cases[0]); i++) {
        put_range_keys(store);
        struct hf_store_range range = range_of(i);
        uint64_t expected = range_cases[i].expected[0] != '\0';
        for (const char *at = range_cases[i].expected; *at != '\0'; at++) {
            expected += *at == ' ';
        }
        uint64_t count = 0;
        assert_int_equal(hf_store_delete_range(store, 0, &range, &count), 0);
        assert_int_equal(count, expected);
        expect_scan(store, &range, HF_STORE_FORWARD, "");
        struct hf_store_tree_stat stat;
        assert_int_equal(hf_store_tree_stat(store, 0, &stat), 0);
        assert_int_equal(stat.entries, 8 - expected);
    }
}

static void bounds_longer_than_any_key_are_right(void **state)
{
    struct hf_store *store = *state;
    uint8_t *bound = memory_new(HF_STORE_KEY_SIZE_MAX + 10);
    memset(bound, 'm', HF_STORE_KEY_SIZE_MAX + 10);
    put(store, "a", "v");
    put(store, "z", "v");
    assert_int_equal(hf_store_put(store, 0, bytes_of(bound, HF_STORE_KEY_SIZE_MAX), text("v"), NULL), 0);
    struct hf_bytes beyond = bytes_of(bound, HF_STORE_KEY_SIZE_MAX + 10);
    uint64_t count;
    struct hf_store_range prefix = {.prefix = beyond};
    expect_scan(store, &prefix, HF_STORE_FORWARD, "");
    struct hf_store_range above = {.low = beyond};
    expect_scan(store, &above, HF_STORE_FORWARD, "z");
    struct hf_store_range below = {.high = beyond};
    assert_int_equal(hf_store_delete_range(store, 0, &below, &count), 0);
    assert_int_equal(count, 2);
    free(bound);
}

static void rank_and_entry_at_a_rank_are_inverse(void **state)
{
    struct hf_store *store = *state;
    char key[16];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "%05d", i * 7 % 2000);
        put(store, key, key);
    }
    for (uint64_t i = 0; i < 2000; i += 13) {
        struct hf_store_entry entry;
        uint64_t rank;
        snprintf(key, sizeof(key), "%05d", (int)i);
        assert_int_equal(hf_store_at_rank(store, 0, i, &entry), 0);
        expect(entry.key, key);
        assert_int_equal(hf_store_rank(store, 0, text(key), &rank), 0);
        assert_int_equal(rank, i);
        strcat(key, "x");
        assert_int_equal(hf_store_rank(store, 0, text(key), &rank), 0);
        assert_int_equal(rank, i + 1);
    }
    struct hf_store_entry entry;
    assert_int_equal(hf_store_at_rank(store, 0, 2000, &entry), HF_ENOTFOUND);
}

/* ---- Trees ---- */

static void trees_do_not_see_each_other(void **state)
{
    struct hf_store *store = *state;
    struct hf_bytes value;
    assert_int_equal(hf_store_put(store, 0, text("k"), text("zero"), NULL), 0);
    assert_int_equal(hf_store_put(store, 9, text("k"), text("nine"), NULL), 0);
    assert_int_equal(hf_store_get(store, 3, text("k"), &value), HF_ENOTFOUND);
    assert_int_equal(hf_store_clear(store, 9), 0);
    assert_int_equal(hf_store_get(store, 9, text("k"), &value), HF_ENOTFOUND);
    assert_int_equal(hf_store_get(store, 0, text("k"), &value), 0);
    expect(value, "zero");
}

static void statistics_count_entries_and_bytes(void **state)
{
    struct hf_store *store = *state;
    put(store, "abc", "12345");
    put(store, "d", "");
    put(store, "abc", "1");
    struct hf_store_tree_stat stat;
    assert_int_equal(hf_store_tree_stat(store, 0, &stat), 0);
    assert_int_equal(stat.entries, 2);
    assert_int_equal(stat.key_bytes, 4);
    assert_int_equal(stat.value_bytes, 1);
    assert_int_equal(hf_store_tree_stat(store, 5, &stat), 0);
    assert_int_equal(stat.entries, 0);
    struct hf_store_stat whole;
    hf_store_stat(store, &whole);
    assert_int_equal(whole.entries, 2);
    assert_true(whole.memory_live_bytes >= 5 && whole.memory_bytes >= whole.memory_live_bytes);
}

static void a_cleared_tree_is_empty_at_once_and_its_memory_returns(void **state)
{
    struct hf_store *store = *state;
    char key[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        put(store, key, "some value of some length");
    }
    assert_int_equal(hf_store_clear(store, 0), 0);
    expect_scan(store, NULL, HF_STORE_FORWARD, "");
    struct hf_store_stat stat;
    hf_store_stat(store, &stat);
    assert_int_equal(stat.entries, 0);
    assert_int_equal(stat.memory_live_bytes, 0);
    while (hf_store_reclaim(store, 16)) {
    }
    hf_store_stat(store, &stat);
    assert_int_equal(stat.memory_bytes, 0);
}

static void changes_alone_return_the_memory_of_a_cleared_tree(void **state)
{
    struct hf_store *store = *state;
    char key[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(hf_store_put(store, 1, text(key), text("some value"), NULL), 0);
    }
    assert_int_equal(hf_store_clear(store, 1), 0);
    for (int i = 0; i < 2000; i++) {
        put(store, "k", "v");
    }
    struct hf_store_stat stat;
    hf_store_stat(store, &stat);
    assert_int_equal(stat.memory_bytes, stat.memory_live_bytes);
}

/* ---- Digest ---- */

static bool digest_equal(struct hf_store_digest a, struct hf_store_digest b)
{
    return a.low == b.low && a.high == b.high;
}

static void equal_contents_have_equal_digests_whatever_the_history(void **state)
{
    struct hf_store *store = *state;
    struct hf_store_options options = {.backend = backends[backend_now].backend};
    struct hf_store *other;
    assert_int_equal(hf_store_open(&options, &other), 0);
    assert_true(digest_equal(hf_store_digest(store), (struct hf_store_digest){0, 0}));
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        put(store, key, key);
        snprintf(key, sizeof(key), "%d", 1999 - i);
        put(other, key, "something else");
        put(other, key, key);
    }
    assert_false(digest_equal(hf_store_digest(store), hf_store_digest(other)));
    for (int i = 1000; i < 2000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        assert_int_equal(hf_store_delete(other, 0, text(key), NULL), 0);
    }
    struct hf_store_digest empty = hf_store_digest(other);
    assert_true(digest_equal(empty, (struct hf_store_digest){0, 0}));
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        put(other, key, key);
    }
    assert_true(digest_equal(hf_store_digest(store), hf_store_digest(other)));
    hf_store_close(other);
}

static void swapping_values_keys_or_trees_changes_the_digest(void **state)
{
    static const struct {
        uint32_t tree;
        const char *key, *value, *key_other, *value_other;
    } rows[] = {{0, "a", "1", "b", "2"}, {0, "a", "2", "b", "1"}, {1, "a", "1", "b", "2"},
                {0, "1", "a", "2", "b"}, {0, "a", "", "b", "12"}, {0, "a1", "", "b2", ""}};
    struct hf_store *store = *state;
    struct hf_store_digest digests[sizeof(rows) / sizeof(rows[0])];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(hf_store_put(store, rows[i].tree, text(rows[i].key), text(rows[i].value), NULL), 0);
        assert_int_equal(hf_store_put(store, rows[i].tree, text(rows[i].key_other), text(rows[i].value_other), NULL),
                         0);
        digests[i] = hf_store_digest(store);
        for (size_t j = 0; j < i; j++) {
            assert_false(digest_equal(digests[i], digests[j]));
        }
        assert_int_equal(hf_store_clear(store, rows[i].tree), 0);
    }
}

/* ---- Units and cuts ---- */

static void the_applied_index_changes_with_the_commit_and_cuts_wait_for_it(void **state)
{
    struct hf_store *store = *state;
    assert_int_equal(hf_store_applied(store).index, 0);
    assert_int_equal(hf_store_apply_begin(store), 0);
    put(store, "k", "v");
    assert_int_equal(hf_store_applied(store).index, 0);
    struct hf_store_cut *cut;
    assert_int_equal(hf_store_cut(store, &cut), HF_ECONFLICT);
    assert_int_equal(hf_store_apply_commit(store, (struct hf_store_applied){7, 3}), 0);
    assert_int_equal(hf_store_applied(store).index, 7);
    assert_int_equal(hf_store_applied(store).term, 3);
    assert_int_equal(hf_store_cut(store, &cut), 0);
    assert_int_equal(hf_store_apply_begin(store), 0);
    assert_int_equal(hf_store_apply_commit(store, (struct hf_store_applied){8, 3}), 0);
    assert_int_equal(hf_store_cut_applied(cut).index, 7);
    hf_store_cut_close(cut);
}

static void a_cut_keeps_what_was_there_while_everything_changes(void **state)
{
    struct hf_store *store = *state;
    char key[16];
    uint8_t *large = memory_new(3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "%05d", i);
        assert_int_equal(hf_store_put(store, (uint32_t)i % 2, text(key), bytes_of(large, (size_t)i), NULL), 0);
    }
    struct hf_store_digest digest = hf_store_digest(store);
    struct hf_store_cut *cut;
    struct hf_store_cut *second;
    assert_int_equal(hf_store_cut(store, &cut), 0);
    assert_int_equal(hf_store_cut(store, &second), 0);
    struct hf_store_sharing sharing;
    hf_store_cut_sharing(cut, &sharing);
    assert_true(sharing.pages > 10 && sharing.pages == sharing.pages_shared);
    for (int i = 0; i < 3000; i += 2) {
        snprintf(key, sizeof(key), "%05d", i);
        put(store, key, "new");
    }
    assert_int_equal(hf_store_clear(store, 1), 0);
    hf_store_cut_close(second);
    while (hf_store_reclaim(store, 100)) {
    }
    hf_store_cut_sharing(cut, &sharing);
    assert_int_equal(sharing.pages_shared, 0);
    assert_true(digest_equal(hf_store_cut_digest(cut), digest));
    assert_false(digest_equal(hf_store_digest(store), digest));
    assert_int_equal(hf_store_cut_trees(cut), 2);
    for (int i = 0; i < 3000; i++) {
        struct hf_bytes value;
        snprintf(key, sizeof(key), "%05d", i);
        assert_int_equal(hf_store_cut_get(cut, (uint32_t)i % 2, text(key), &value), 0);
        assert_int_equal(value.size, i);
    }
    struct hf_store_tree_stat stat;
    assert_int_equal(hf_store_cut_tree_stat(cut, 1, &stat), 0);
    assert_int_equal(stat.entries, 1500);
    struct hf_store_stat whole;
    hf_store_stat(store, &whole);
    assert_true(whole.memory_bytes > whole.memory_live_bytes && whole.pages_copied > 0 && whole.cuts_open == 1);
    hf_store_cut_close(cut);
    hf_store_stat(store, &whole);
    assert_int_equal(whole.memory_bytes, whole.memory_live_bytes);
    free(large);
}

/* Processor time of the quickest of some: what else the machine does is none of its business. */
static uint64_t quickest_cut_ns(struct hf_store *store)
{
    uint64_t least_ns = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        struct timespec from;
        struct timespec to;
        struct hf_store_cut *cut;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        assert_int_equal(hf_store_cut(store, &cut), 0);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        hf_store_cut_close(cut);
        uint64_t took_ns = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000000u + (uint64_t)(to.tv_nsec - from.tv_nsec);
        least_ns = took_ns < least_ns ? took_ns : least_ns;
    }
    return least_ns;
}

/* Writes stand still for as long as it takes, which may be a millisecond at most. Looking at each of these pages once
 * takes longer. */
static void a_cut_takes_no_longer_of_a_large_store_than_of_a_small_one(void **state)
{
    struct hf_store *store = *state;
    char key[16] = {0};
    put(store, "k", "v");
    uint64_t small_ns = quickest_cut_ns(store);
    for (int i = 0; i < 400000; i++) {
        snprintf(key, sizeof(key), "%09d", i);
        assert_int_equal(hf_store_put(store, 0, text(key), bytes_of(key, sizeof(key)), NULL), 0);
    }
    uint64_t large_ns = quickest_cut_ns(store);
    if (large_ns > 20 * small_ns + 20000) {
        fail_msg("a cut of 400,000 entries takes %lu ns, of one entry %lu ns", (unsigned long)large_ns,
                 (unsigned long)small_ns);
    }
}

static void a_cut_of_an_empty_store_is_empty(void **state)
{
    struct hf_store_cut *cut;
    struct hf_store_cursor *cursor;
    struct hf_store_entry entry;
    struct hf_bytes value;
    assert_int_equal(hf_store_cut(*state, &cut), 0);
    put(*state, "k", "v");
    assert_int_equal(hf_store_cut_get(cut, 0, text("k"), &value), HF_ENOTFOUND);
    assert_int_equal(hf_store_cut_at_rank(cut, 0, 0, &entry), HF_ENOTFOUND);
    assert_int_equal(hf_store_cut_cursor_open(cut, 0, NULL, HF_STORE_FORWARD, &cursor), 0);
    assert_int_equal(hf_store_cursor_next(cursor, &entry), HF_ENOTFOUND);
    hf_store_cursor_close(cursor);
    hf_store_cut_close(cut);
}

static void the_backend_is_named_and_an_unknown_one_is_refused(void **state)
{
    assert_string_equal(hf_store_backend_name(*state), backends[backend_now].name);
    struct hf_store_options options = {.backend = (enum hf_store_backend)99};
    struct hf_store *store = NULL;
    assert_int_equal(hf_store_open(&options, &store), HF_EUNSUPPORTED);
    hf_store_close(NULL);
    hf_store_cut_close(NULL);
    hf_store_cursor_close(NULL);
}

/* ---- Streams ---- */

static void export_all(struct hf_store *store, size_t piece, struct buffer *out)
{
    struct hf_store_cut *cut;
    struct hf_store_export *stream;
    size_t got;
    assert_int_equal(hf_store_cut(store, &cut), 0);
    assert_int_equal(hf_store_export_open(cut, &stream), 0);
    do {
        uint8_t *target = buffer_extend(out, piece);
        assert_int_equal(hf_store_export_read(stream, target, piece, &got), 0);
        out->size -= piece - got;
    } while (got == piece);
    hf_store_export_close(stream);
    hf_store_cut_close(cut);
}

static int import_all(struct hf_bytes bytes, size_t piece, struct hf_store **out)
{
    struct hf_store_options options = {.backend = backends[backend_now].backend};
    struct hf_store_import *stream;
    assert_int_equal(hf_store_import_open(&options, &stream), 0);
    for (size_t at = 0; at < bytes.size; at += piece) {
        size_t n = bytes.size - at < piece ? bytes.size - at : piece;
        (void)hf_store_import_write(stream, bytes_of((const uint8_t *)bytes.data + at, n));
    }
    return hf_store_import_finish(stream, out);
}

static void fill_for_a_stream(struct hf_store *store)
{
    char key[32];
    struct buffer large = {0};
    assert_int_equal(hf_store_apply_begin(store), 0);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "key %d", i * 7919 % 1000);
        put(store, key, "value");
        assert_int_equal(hf_store_put(store, 5, text(key), text(""), NULL), 0);
    }
    memset(buffer_extend(&large, 100000), 'x', 100000);
    assert_int_equal(hf_store_put(store, 5, text(""), buffer_bytes(&large), NULL), 0);
    assert_int_equal(hf_store_apply_commit(store, (struct hf_store_applied){77, 3}), 0);
    buffer_close(&large);
}

static void an_exported_cut_is_imported_with_its_digest_and_applied_index(void **state)
{
    static const size_t pieces[] = {1, 13, 4096, 1 << 20};
    struct hf_store *store = *state;
    struct hf_store_digest digest;
    fill_for_a_stream(store);
    digest = hf_store_digest(store);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct hf_store *copy = NULL;
        struct buffer bytes = {0};
        export_all(store, pieces[i], &bytes);
        assert_int_equal(import_all(buffer_bytes(&bytes), pieces[i], &copy), 0);
        assert_true(hf_store_digest(copy).low == digest.low && hf_store_digest(copy).high == digest.high);
        assert_int_equal(hf_store_applied(copy).index, 77);
        assert_int_equal(hf_store_applied(copy).term, 3);
        hf_store_close(copy);
        buffer_close(&bytes);
    }
}

static void an_empty_store_is_exported_and_imported(void **state)
{
    struct hf_store *copy = NULL;
    struct buffer bytes = {0};
    struct hf_store_stat stat;
    export_all(*state, 64, &bytes);
    assert_int_equal(import_all(buffer_bytes(&bytes), 64, &copy), 0);
    hf_store_stat(copy, &stat);
    assert_int_equal(stat.entries, 0);
    hf_store_close(copy);
    buffer_close(&bytes);
}

static void a_stream_that_is_cut_off_or_changed_gives_no_store(void **state)
{
    struct hf_store *copy = NULL;
    struct buffer bytes = {0};
    fill_for_a_stream(*state);
    export_all(*state, 4096, &bytes);
    for (size_t size = 0; size < bytes.size; size += size < 3000 || size > bytes.size - 200 ? 1 : 997) {
        assert_int_equal(import_all(bytes_of(bytes.data, size), 4096, &copy), HF_ECORRUPT);
    }
    for (size_t at = 0; at < bytes.size; at += at < 300 || at > bytes.size - 300 ? 1 : 991) {
        bytes.data[at] ^= 0x10;
        int rc = import_all(buffer_bytes(&bytes), 4096, &copy);
        /* Index and term of the end are the envelope's to guard. */
        if (at < bytes.size - 16) {
            assert_true(rc == HF_ECORRUPT || rc == HF_EVERSION);
        } else if (rc == 0) {
            hf_store_close(copy);
        }
        bytes.data[at] ^= 0x10;
    }
    buffer_append_u8(&bytes, 0);
    assert_int_equal(import_all(buffer_bytes(&bytes), 4096, &copy), HF_ECORRUPT);
    buffer_close(&bytes);
}

#define STORE_TEST(function) cmocka_unit_test_setup_teardown(function, open_store, close_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(put_says_whether_it_overwrote_and_get_lends_the_value),
        STORE_TEST(delete_of_a_missing_key_is_fine),
        STORE_TEST(the_empty_key_and_the_empty_value_are_like_any_other),
        STORE_TEST(keys_and_values_at_the_limit_are_taken_and_above_it_refused),
        STORE_TEST(a_value_may_be_put_from_parts_that_are_on_loan),
        STORE_TEST(keys_are_ordered_by_their_bytes),
        STORE_TEST(ranges_and_prefixes_are_right_also_with_bytes_of_0xff),
        STORE_TEST(delete_range_removes_what_a_scan_of_it_shows_and_counts_it),
        STORE_TEST(bounds_longer_than_any_key_are_right),
        STORE_TEST(rank_and_entry_at_a_rank_are_inverse),
        STORE_TEST(trees_do_not_see_each_other),
        STORE_TEST(statistics_count_entries_and_bytes),
        STORE_TEST(a_cleared_tree_is_empty_at_once_and_its_memory_returns),
        STORE_TEST(changes_alone_return_the_memory_of_a_cleared_tree),
        STORE_TEST(equal_contents_have_equal_digests_whatever_the_history),
        STORE_TEST(swapping_values_keys_or_trees_changes_the_digest),
        STORE_TEST(the_applied_index_changes_with_the_commit_and_cuts_wait_for_it),
        STORE_TEST(a_cut_keeps_what_was_there_while_everything_changes),
        STORE_TEST(a_cut_takes_no_longer_of_a_large_store_than_of_a_small_one),
        STORE_TEST(a_cut_of_an_empty_store_is_empty),
        STORE_TEST(an_exported_cut_is_imported_with_its_digest_and_applied_index),
        STORE_TEST(an_empty_store_is_exported_and_imported),
        STORE_TEST(a_stream_that_is_cut_off_or_changed_gives_no_store),
        STORE_TEST(the_backend_is_named_and_an_unknown_one_is_refused),
    };
    int failed = 0;
    for (backend_now = 0; backend_now < sizeof(backends) / sizeof(backends[0]); backend_now++) {
        failed += cmocka_run_group_tests_name(backends[backend_now].name, tests, NULL, NULL);
    }
    return failed;
}
