/* The memory of views: pieces, blocks, and what is kept of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "log/log_view.h"

#define PIECES 3000u

/* Whether another view gets memory that one of a closed view had: not under the address sanitizer. */
#ifdef __SANITIZE_ADDRESS__
#define KEEPS false
#else
#define KEEPS true
#endif

static void pieces_are_aligned_and_apart_and_stay_where_they_are(void **unused)
{
    (void)unused;
    struct log_view_block *blocks = NULL;
    static uint8_t *pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = log_view_take(&blocks, i, i % 2 == 0);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i % 251), i);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t at = 0; at < i; at++) {
            assert_int_equal(pieces[i][at], i % 251);
        }
    }
    log_view_free(blocks);
    log_view_free(NULL);
}

static void a_piece_may_be_larger_than_any_block_that_is_kept(void **unused)
{
    (void)unused;
    struct log_view_block *blocks = NULL;
    size_t size = 3 * (size_t)LOG_VIEW_BLOCK_SIZE;
    uint8_t *large = log_view_take(&blocks, size, false);
    memset(large, 1, size);
    uint8_t *next = log_view_take(&blocks, 100, true);
    memset(next, 2, 100);
    assert_int_equal(large[size - 1], 1);
    log_view_free(blocks);
}

static bool is_among(const void *piece, void *const *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i] == piece) {
            return true;
        }
    }
    return false;
}

/* Takes the first piece of `count` large blocks, each in a view of its own, and closes all views again. */
static void take_and_close(size_t count, void **pieces)
{
    struct log_view_block *views[2 * LOG_VIEW_KEPT_COUNT] = {0};
    for (size_t i = 0; i < count; i++) {
        pieces[i] = log_view_take(&views[i], 1000, false);
        memset(pieces[i], 7, 1000);
    }
    for (size_t i = 0; i < count; i++) {
        log_view_free(views[i]);
    }
}

static void blocks_of_closed_views_are_used_again(void **unused)
{
    (void)unused;
    void *first[LOG_VIEW_KEPT_COUNT];
    void *second[LOG_VIEW_KEPT_COUNT];
    take_and_close(LOG_VIEW_KEPT_COUNT, first);
    take_and_close(LOG_VIEW_KEPT_COUNT, second);
    for (size_t i = 0; i < LOG_VIEW_KEPT_COUNT && KEEPS; i++) {
        assert_true(is_among(second[i], first, LOG_VIEW_KEPT_COUNT));
    }
}

static void open_views_never_share_a_block(void **unused)
{
    (void)unused;
    void *pieces[2 * LOG_VIEW_KEPT_COUNT];
    for (unsigned round = 0; round < 3; round++) {
        take_and_close(2 * LOG_VIEW_KEPT_COUNT, pieces);
        for (size_t i = 0; i < 2 * LOG_VIEW_KEPT_COUNT; i++) {
            assert_false(is_among(pieces[i], pieces, i));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart_and_stay_where_they_are),
        cmocka_unit_test(a_piece_may_be_larger_than_any_block_that_is_kept),
        cmocka_unit_test(blocks_of_closed_views_are_used_again),
        cmocka_unit_test(open_views_never_share_a_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
