/* links: node */
/* How many chunks are on their way over links of several kinds. The link is a queue: chunks leave it one after another,
 * each rate_ms apart, and travel for delay_ms more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/chunk_window.h"

#define STARTED_MS 123456u
#define SECOND_MS  1000u

struct question {
    uint64_t asked_ms;
    uint64_t answered_ms;
    bool is_alone;
};

struct link {
    struct chunk_window window;
    uint64_t now_ms;
    uint64_t rate_ms;
    uint64_t delay_ms;
    uint64_t free_ms; /* when the last chunk has left the queue */
    struct question questions[CHUNK_FRAME_WINDOW];
    uint32_t count;
    uint64_t answers;
    uint64_t queued_max_ms; /* the longest that a chunk stood behind others */
    uint32_t chunks_max;
};

static struct link link_open(uint64_t rate_ms, uint64_t delay_ms)
{
    struct link link = {.now_ms = STARTED_MS, .rate_ms = rate_ms, .delay_ms = delay_ms};
    chunk_window_open(&link.window, link.now_ms);
    return link;
}

static void link_ask(struct link *link)
{
    while (link->count < chunk_window_size(&link->window)) {
        uint64_t begins_ms = link->free_ms > link->now_ms ? link->free_ms : link->now_ms;
        uint64_t queued_ms = begins_ms - link->now_ms;
        link->free_ms = begins_ms + link->rate_ms;
        link->questions[link->count] =
            (struct question){link->now_ms, link->free_ms + link->delay_ms, link->count == 0};
        link->count++;
        link->queued_max_ms = queued_ms > link->queued_max_ms ? queued_ms : link->queued_max_ms;
        link->chunks_max = link->count > link->chunks_max ? link->count : link->chunks_max;
    }
}

/* What comes in the next `ms`; the maxima are of that time. */
static void link_run(struct link *link, uint64_t ms)
{
    uint64_t end_ms = link->now_ms + ms;
    link->queued_max_ms = 0;
    link->chunks_max = 0;
    link->answers = 0;
    for (link_ask(link); link->now_ms < end_ms; link->now_ms++, link_ask(link)) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < link->count; i++) {
            struct question question = link->questions[i];
            if (question.answered_ms <= link->now_ms) {
                link->answers++;
                chunk_window_note(&link->window, question.asked_ms, question.is_alone, link->now_ms);
            } else {
                link->questions[kept++] = question;
            }
        }
        link->count = kept;
        assert_in_range(chunk_window_size(&link->window), 1, CHUNK_FRAME_WINDOW);
    }
}

static void a_quick_link_takes_as_many_as_there_are(void **state)
{
    struct link link = link_open(1, 30);
    link_run(&link, SECOND_MS);
    assert_int_equal(link.chunks_max, CHUNK_FRAME_WINDOW);
    link_run(&link, 60 * SECOND_MS);
    /* The looks for the quickest answer cost less than a hundredth of it. */
    assert_true(link.answers >= 60 * SECOND_MS / (31 + CHUNK_FRAME_WINDOW) * CHUNK_FRAME_WINDOW * 99 / 100);
}

static void a_slow_link_never_has_a_long_queue_however_long_it_takes(void **state)
{
    static const uint64_t rates_ms[] = {5, 12, 20, 40, 80, 200};
    for (size_t i = 0; i < sizeof(rates_ms) / sizeof(rates_ms[0]); i++) {
        struct link link = link_open(rates_ms[i], 3);
        link_run(&link, 5 * SECOND_MS);
        for (unsigned minute = 0; minute < 10; minute++) {
            link_run(&link, 60 * SECOND_MS);
            assert_in_range(link.queued_max_ms, 0, CHUNK_WINDOW_QUEUE_MAX_MS + 2 * rates_ms[i]);
        }
        /* And it is nearly never idle. */
        assert_true(link.answers >= 60 * SECOND_MS / (rates_ms[i] + 4) * 9 / 10);
    }
}

static void a_link_that_becomes_slower_for_good_is_known_for_that_soon(void **state)
{
    struct link link = link_open(1, 5);
    link_run(&link, 3 * SECOND_MS);
    assert_int_equal(link.chunks_max, CHUNK_FRAME_WINDOW);
    link.delay_ms = 150; /* another way, as long for every chunk: none of that is a queue */
    link_run(&link, 2 * CHUNK_WINDOW_LOOK_MS);
    link_run(&link, SECOND_MS);
    assert_int_equal(link.chunks_max, CHUNK_FRAME_WINDOW);
    assert_true(link.answers >= SECOND_MS / 160 * CHUNK_FRAME_WINDOW * 9 / 10);
}

static void a_link_that_becomes_quick_again_is_known_for_that_at_once(void **state)
{
    struct link link = link_open(60, 5);
    link_run(&link, 15 * SECOND_MS);
    assert_in_range(link.window.chunks, 1, 3);
    link.rate_ms = 1;
    link_run(&link, SECOND_MS);
    assert_int_equal(link.chunks_max, CHUNK_FRAME_WINDOW);
}

/* Two transfers over one link: each sees the other's chunks in the queue. */
static void transfers_beside_each_other_look_at_the_same_moment(void **state)
{
    struct chunk_window first;
    struct chunk_window second;
    uint64_t now_ms = STARTED_MS / CHUNK_WINDOW_LOOK_MS * CHUNK_WINDOW_LOOK_MS;
    chunk_window_open(&first, now_ms + 100);
    chunk_window_open(&second, now_ms + 7000);
    now_ms += CHUNK_WINDOW_LOOK_MS - 1;
    chunk_window_note(&first, now_ms - 10, false, now_ms);
    chunk_window_note(&second, now_ms - 10, false, now_ms);
    assert_false(first.is_looking || second.is_looking);
    now_ms++;
    chunk_window_note(&first, now_ms - 10, false, now_ms);
    chunk_window_note(&second, now_ms - 10, false, now_ms);
    assert_true(first.is_looking && second.is_looking);
    assert_int_equal(chunk_window_size(&first), 1);
    chunk_window_note(&first, now_ms - 1, true, now_ms + 30); /* asked before the look: others were on their way */
    assert_true(first.is_looking);
    chunk_window_note(&first, now_ms + 31, true, now_ms + 60);
    assert_false(first.is_looking);
    assert_int_equal(first.quick_ms, 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quick_link_takes_as_many_as_there_are),
        cmocka_unit_test(a_slow_link_never_has_a_long_queue_however_long_it_takes),
        cmocka_unit_test(a_link_that_becomes_slower_for_good_is_known_for_that_soon),
        cmocka_unit_test(a_link_that_becomes_quick_again_is_known_for_that_at_once),
        cmocka_unit_test(transfers_beside_each_other_look_at_the_same_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
