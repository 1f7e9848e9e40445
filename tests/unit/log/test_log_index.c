#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "log/log_index.h"

#define SPAN     400u
#define SEGMENTS 5u

/* What must be found, by index; segment NULL: nothing. */
struct expected {
    struct log_location at[SPAN];
};
struct scene {
    struct rng rng;
    struct log_segment segments[SEGMENTS];
    struct log_index index;
    struct expected expected;
    uint64_t base;
    uint64_t next;
    uint64_t segment;
    uint64_t term;
};

static void check_accounts(const struct scene *scene)
{
    struct log_segment wanted[SEGMENTS] = {0};
    for (uint64_t i = 0; i < SPAN; i++) {
        const struct log_location *location = &scene->expected.at[i];
        if (location->segment != NULL) {
            wanted[location->segment - scene->segments].live_entries++;
            wanted[location->segment - scene->segments].live_bytes += location->size;
        }
    }
    const struct log_segment *oldest = NULL;
    for (size_t i = 0; i < SEGMENTS; i++) {
        assert_int_equal(scene->segments[i].live_entries, wanted[i].live_entries);
        assert_int_equal(scene->segments[i].live_bytes, wanted[i].live_bytes);
        assert_int_equal(log_segment_is_dead(&scene->segments[i]), wanted[i].live_entries == 0);
        oldest = oldest == NULL && wanted[i].live_entries > 0 ? &scene->segments[i] : oldest;
    }
    assert_ptr_equal(log_index_oldest(&scene->index), oldest);
}

static void check(const struct scene *scene)
{
    const struct log_index *index = &scene->index;
    const struct expected *expected = &scene->expected;
    uint64_t base = scene->base;
    uint64_t last = 0;
    uint64_t oldest = 0;
    for (uint64_t i = 0; i < SPAN; i++) {
        struct log_location found;
        uint64_t term = 0;
        bool is_there = log_index_find(index, base + i, &found);
        assert_int_equal(is_there, expected->at[i].segment != NULL);
        assert_int_equal(log_index_term(index, base + i, &term), is_there);
        if (is_there) {
            assert_memory_equal(&found, &expected->at[i], sizeof(found));
            assert_int_equal(term, found.term);
            last = base + i;
            oldest = oldest == 0 ? base + i : oldest;
        }
    }
    uint64_t found = 0;
    assert_int_equal(log_index_last(index, &found), last != 0);
    assert_true(last == 0 || found == last);
    assert_int_equal(log_index_next(index, base, &found), oldest != 0);
    assert_true(oldest == 0 || found == oldest);
    assert_int_equal(log_index_next(index, base + SPAN, &found), false);
    check_accounts(scene);
}

static void expect_removed(struct expected *expected, uint64_t low, uint64_t high, struct log_index_removed removed)
{
    struct log_index_removed wanted = {0};
    for (uint64_t i = low; i < high; i++) {
        wanted.count += expected->at[i].segment != NULL;
        wanted.body_bytes += expected->at[i].segment != NULL ? expected->at[i].size : 0;
        expected->at[i] = (struct log_location){0};
    }
    assert_int_equal(removed.count, wanted.count);
    assert_int_equal(removed.body_bytes, wanted.body_bytes);
}

static void scene_append(struct scene *scene)
{
    struct rng *rng = &scene->rng;
    scene->segment += scene->segment < 2 && rng_chance(rng, 1, 50);
    scene->term += rng_chance(rng, 1, 10);
    scene->next += rng_chance(rng, 1, 40); /* a hole */
    for (uint64_t i = rng_below(rng, 6); i > 0 && scene->next < SPAN; i--, scene->next++) {
        struct log_location location;
        memset(&location, 0, sizeof(location));
        location.segment = &scene->segments[scene->segment];
        location.offset = rng_below(rng, 1 << 29) * 8;
        location.size = (uint32_t)rng_below(rng, 1000);
        location.term = scene->term;
        log_index_append(&scene->index, scene->base + scene->next, &location);
        scene->expected.at[scene->next] = location;
    }
}

/* A stretch of what is there goes to a later segment, from the front or from anywhere, as collection does. */
static void scene_move(struct scene *scene)
{
    uint64_t from = rng_chance(&scene->rng, 1, 2) ? rng_below(&scene->rng, SPAN) : 0;
    uint64_t count = rng_below(&scene->rng, 20);
    struct log_segment *target = &scene->segments[3 + rng_below(&scene->rng, 2)];
    for (uint64_t i = from; i < SPAN && count > 0; i++) {
        struct log_location *location = &scene->expected.at[i];
        if (location->segment != NULL) {
            location->segment = target;
            location->offset = rng_below(&scene->rng, 1 << 29) * 8;
            log_index_move(&scene->index, scene->base + i, location);
            count--;
        }
    }
}

/* Holes are filled and what is in front is put back, as recovery does when it meets moved entries. */
static void scene_insert(struct scene *scene)
{
    uint64_t count = rng_below(&scene->rng, 10);
    struct log_segment *target = &scene->segments[3 + rng_below(&scene->rng, 2)];
    for (uint64_t i = rng_below(&scene->rng, SPAN); i < scene->next && count > 0; i++) {
        struct log_location *location = &scene->expected.at[i];
        if (location->segment == NULL) {
            location->segment = target;
            location->offset = rng_below(&scene->rng, 1 << 29) * 8;
            location->size = (uint32_t)rng_below(&scene->rng, 1000);
            location->term = 1 + rng_below(&scene->rng, 3);
            log_index_insert(&scene->index, scene->base + i, location);
            count--;
        }
    }
}

static void run(uint64_t seed, uint64_t base, bool moves)
{
    struct scene scene;
    memset(&scene, 0, sizeof(scene));
    rng_seed(&scene.rng, seed);
    scene.base = base;
    scene.term = 1;
    scene.index.block_entries_max = seed % 3 == 0 ? 4 : 0;
    for (size_t i = 0; i < SEGMENTS; i++) {
        scene.segments[i].header.number = i + 1;
    }
    for (int step = 0; step < 300; step++) {
        uint64_t choice = rng_below(&scene.rng, 100);
        if (choice < 70 || !moves) {
            if (choice < 85 && scene.next < SPAN) {
                scene_append(&scene);
            }
        } else if (choice < 76) {
            scene_move(&scene);
        } else if (choice < 80) {
            scene_insert(&scene);
        }
        if (choice >= 90 && choice < 95 && scene.next > 0) {
            uint64_t from = rng_below(&scene.rng, scene.next + 1);
            expect_removed(&scene.expected, from, SPAN, log_index_remove_from(&scene.index, base + from));
            scene.next = from;
        } else if (choice >= 95 && scene.next > 0) {
            uint64_t up_to = rng_below(&scene.rng, scene.next);
            up_to = rng_chance(&scene.rng, 1, 2) ? up_to / 4 : up_to;
            expect_removed(&scene.expected, 0, up_to + 1, log_index_remove_to(&scene.index, base + up_to));
        }
        check(&scene);
    }
    log_index_close(&scene.index);
}

static void the_index_agrees_with_an_array_after_any_operations(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        run(seed, 1, false);
    }
}

static void the_index_agrees_with_an_array_when_entries_move_and_return(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        run(seed, 1, true);
    }
}

static void entries_that_move_in_order_stay_in_one_block(void **unused)
{
    (void)unused;
    struct log_segment segments[2] = {{.header = {.number = 1}}, {.header = {.number = 2}}};
    struct log_index index = {0};
    for (uint64_t i = 1; i <= 1000; i++) {
        struct log_location location = {.segment = &segments[0], .offset = i * 8, .size = 3, .term = 1 + i / 400};
        log_index_append(&index, i, &location);
    }
    for (uint64_t i = 100; i <= 900; i++) {
        struct log_location location = {.segment = &segments[1], .offset = i * 16, .size = 3, .term = 1 + i / 400};
        log_index_move(&index, i, &location);
        assert_in_range(index.count, 2, 3);
    }
    assert_int_equal(index.count, 3);
    assert_int_equal(segments[0].live_entries, 199);
    assert_int_equal(segments[1].live_bytes, 801 * 3);
    log_index_close(&index);
}

static void L13_indexes_up_to_the_last_possible_one_work(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run(seed, UINT64_MAX - SPAN, seed % 2 == 0);
    }
    struct log_segment segment = {.header = {.number = 1}};
    struct log_index index = {0};
    struct log_location location = {.segment = &segment, .offset = 8, .size = 1, .term = 1};
    uint64_t last = 0;
    log_index_append(&index, UINT64_MAX, &location);
    assert_true(log_index_find(&index, UINT64_MAX, &location));
    assert_false(log_index_find(&index, 0, &location));
    assert_true(log_index_last(&index, &last));
    assert_true(last == UINT64_MAX);
    assert_int_equal(log_index_remove_from(&index, UINT64_MAX).count, 1);
    assert_false(log_index_last(&index, &last));
    log_index_close(&index);
}

static void a_block_never_changes_its_segment(void **unused)
{
    (void)unused;
    struct log_segment segments[2] = {{.header = {.number = 1}}, {.header = {.number = 2}}};
    struct log_index index = {0};
    for (uint64_t i = 1; i <= 100; i++) {
        struct log_location location = {.segment = &segments[i > 50], .offset = i * 8, .size = 1, .term = 1};
        log_index_append(&index, i, &location);
    }
    assert_int_equal(index.count, 2);
    assert_ptr_equal(log_index_oldest(&index), &segments[0]);
    log_index_remove_to(&index, 50);
    assert_ptr_equal(log_index_oldest(&index), &segments[1]);
    log_index_close(&index);
}

/* A block is never copied beyond its bound while it grows, and a truncation frees whole blocks. */
static void a_block_takes_so_many_entries_and_no_more(void **unused)
{
    (void)unused;
    struct log_segment segment = {.header = {.number = 1}};
    struct log_index index = {.block_entries_max = 256};
    for (uint64_t i = 1; i <= 1000; i++) {
        struct log_location location = {.segment = &segment, .offset = i * 8, .size = 1, .term = 1 + i / 300};
        log_index_append(&index, i, &location);
    }
    assert_int_equal(index.count, 4);
    for (size_t i = 0; i < index.count; i++) {
        assert_int_equal(index.blocks[i]->index_first, 1 + i * 256);
        assert_in_range(index.blocks[i]->capacity, 1, 256);
    }
    struct log_location found;
    assert_true(log_index_find(&index, 513, &found));
    assert_int_equal(found.offset, 513 * 8);
    assert_int_equal(log_index_remove_from(&index, 258).count, 743);
    assert_int_equal(index.count, 2);
    log_index_close(&index);
    assert_int_equal(index.block_entries_max, 256); /* a group that is emptied keeps it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_agrees_with_an_array_after_any_operations),
        cmocka_unit_test(the_index_agrees_with_an_array_when_entries_move_and_return),
        cmocka_unit_test(entries_that_move_in_order_stay_in_one_block),
        cmocka_unit_test(L13_indexes_up_to_the_last_possible_one_work),
        cmocka_unit_test(a_block_never_changes_its_segment),
        cmocka_unit_test(a_block_takes_so_many_entries_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
