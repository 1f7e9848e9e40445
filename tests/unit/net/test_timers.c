/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "base/rng.h"
#include "net/timers.h"

#define TIMER_COUNT 24u
#define STEP_COUNT  20000u

/* The model: a table of who is set to what, and in which order they were set. */
struct model {
    struct timers timers;
    struct rng rng;
    uint64_t now_ms;
    uint64_t clock; /* of settings */
    bool in_fire;
    struct entry {
        struct loop_timer timer;
        struct model *model;
        bool is_set;
        uint64_t deadline_ms;
        uint64_t set_at;
        bool set_in_this_fire;
    } entries[TIMER_COUNT];
    uint64_t last_deadline_ms; /* of the fire that runs: its order */
    uint64_t last_set_at;
    unsigned fired;
    unsigned meddled;
};

static void model_set(struct model *model, struct entry *entry)
{
    uint64_t deadline_ms = model->now_ms + rng_below(&model->rng, 20);
    deadline_ms -= deadline_ms < 5 ? deadline_ms : 5;
    timers_set(&model->timers, &entry->timer, deadline_ms);
    entry->is_set = true;
    entry->deadline_ms = deadline_ms;
    entry->set_at = ++model->clock;
    entry->set_in_this_fire = model->in_fire;
}

static void model_stop(struct model *model, struct entry *entry)
{
    timers_stop(&model->timers, &entry->timer);
    entry->is_set = false;
}

static void model_meddle(struct model *model)
{
    struct entry *entry = &model->entries[rng_below(&model->rng, TIMER_COUNT)];
    if (rng_chance(&model->rng, 2, 3)) {
        model_set(model, entry);
    } else {
        model_stop(model, entry);
    }
}

static void model_fire(void *arg)
{
    struct entry *entry = arg;
    struct model *model = entry->model;
    assert_true(entry->is_set);
    assert_false(entry->set_in_this_fire);
    assert_true(entry->deadline_ms <= model->now_ms);
    assert_true(entry->deadline_ms > model->last_deadline_ms ||
                (entry->deadline_ms == model->last_deadline_ms && entry->set_at > model->last_set_at));
    model->last_deadline_ms = entry->deadline_ms;
    model->last_set_at = entry->set_at;
    entry->is_set = false;
    model->fired++;
    while (rng_chance(&model->rng, 1, 2)) {
        model_meddle(model);
        model->meddled++;
    }
}

static void model_check_first(struct model *model)
{
    uint64_t first_ms = 0;
    uint64_t expected_ms = UINT64_MAX;
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        if (model->entries[i].is_set && model->entries[i].deadline_ms < expected_ms) {
            expected_ms = model->entries[i].deadline_ms;
        }
    }
    assert_int_equal(timers_first(&model->timers, &first_ms), expected_ms != UINT64_MAX);
    if (expected_ms != UINT64_MAX) {
        assert_int_equal(first_ms, expected_ms);
    }
}

static void timers_agree_with_a_table_whatever_the_fired_ones_do(void **state)
{
    static struct model model;
    timers_init(&model.timers);
    rng_seed(&model.rng, 20261120);
    model.now_ms = 100;
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        model.entries[i].model = &model;
        model.entries[i].timer = (struct loop_timer){.fire = model_fire, .arg = &model.entries[i]};
    }
    for (unsigned step = 0; step < STEP_COUNT; step++) {
        model_meddle(&model);
        model_check_first(&model);
        if (rng_chance(&model.rng, 1, 3)) {
            model.now_ms += rng_below(&model.rng, 8);
            model.in_fire = true;
            model.last_deadline_ms = 0;
            model.last_set_at = 0;
            timers_fire(&model.timers, model.now_ms);
            model.in_fire = false;
            for (unsigned i = 0; i < TIMER_COUNT; i++) {
                struct entry *entry = &model.entries[i];
                assert_true(!entry->is_set || entry->set_in_this_fire || entry->deadline_ms > model.now_ms);
                entry->set_in_this_fire = false;
            }
            model_check_first(&model);
        }
    }
    assert_true(model.fired > STEP_COUNT / 10);
    assert_true(model.meddled > STEP_COUNT / 20);
    timers_close(&model.timers);
    for (unsigned i = 0; i < TIMER_COUNT; i++) {
        assert_null(model.entries[i].timer.handle);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(timers_agree_with_a_table_whatever_the_fired_ones_do)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
