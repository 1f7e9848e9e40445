/* When timers fire, in which order, and what the clock of a turn says. A part of net_cases.h. */
#ifndef CONTRACT_NET_TIMER_CASES_H
#define CONTRACT_NET_TIMER_CASES_H

#include "contract/net_order.h"

#define NET_TIMER_CASES(X)                                \
    X(timers_fire_in_order_of_deadline_then_of_setting)   \
    X(a_timer_never_fires_early_and_may_be_moved)         \
    X(a_stopped_timer_does_not_fire)                      \
    X(a_timer_may_set_stop_and_free_others_when_it_fires) \
    X(a_timer_that_is_always_late_lets_the_others_run)    \
    X(the_clock_stands_still_within_a_turn)

static void timers_fire_in_order_of_deadline_then_of_setting(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    uint64_t now_ms = loop_now_ms(fixture->loop);
    static const uint64_t after_ms[] = {12, 3, 7, 3, 0, 12, 7};
    struct net_timer timers[7];
    for (unsigned i = 0; i < 7; i++) {
        timers[i] = net_timer_of(&order, (char)('a' + i));
        net_timer_set(&timers[i], now_ms + after_ms[i]);
    }
    net_cases_run_for(fixture, 30);
    assert_string_equal(order.text, "ebdcgaf");
}

static void a_timer_never_fires_early_and_may_be_moved(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    uint64_t now_ms = loop_now_ms(fixture->loop);
    uint64_t started_ns = io_monotonic_ns(fixture->io);
    struct net_timer later = net_timer_of(&order, 'l');
    struct net_timer sooner = net_timer_of(&order, 's');
    net_timer_set(&later, now_ms + 5);
    net_timer_set(&later, now_ms + 25);
    net_timer_set(&sooner, now_ms + 10000);
    net_timer_set(&sooner, now_ms + 10);
    net_cases_run_for(fixture, 40);
    assert_string_equal(order.text, "sl");
    assert_true(sooner.fired_ms >= now_ms + 10);
    assert_true(later.fired_ms >= now_ms + 25);
    assert_true((io_monotonic_ns(fixture->io) - started_ns) / 1000000 >= 39);
    net_timer_set(&later, 0); /* long ago */
    net_cases_run_for(fixture, 1);
    assert_string_equal(order.text, "sll");
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_timer timer = net_timer_of(&order, 't');
    loop_timer_stop(fixture->loop, &timer.timer); /* never set */
    net_timer_set(&timer, loop_now_ms(fixture->loop) + 5);
    loop_timer_stop(fixture->loop, &timer.timer);
    loop_timer_stop(fixture->loop, &timer.timer);
    net_cases_run_for(fixture, 15);
    assert_int_equal(timer.count, 0);
    net_timer_set(&timer, loop_now_ms(fixture->loop) + 1);
    net_cases_run_for(fixture, 10);
    assert_int_equal(timer.count, 1);
}

struct net_meddler {
    struct net_timer timer;
    struct net_timer *stops;
    struct net_timer *frees;
    struct net_timer *sets;
};

static inline void net_meddler_fire(void *arg)
{
    struct net_meddler *meddler = arg;
    struct loop *loop = meddler->timer.order->loop;
    loop_timer_stop(loop, &meddler->stops->timer);
    loop_timer_stop(loop, &meddler->frees->timer);
    memset(meddler->frees, 0xee, sizeof(*meddler->frees));
    free(meddler->frees);
    net_timer_set(meddler->sets, loop_now_ms(loop) + 2);
}

static void a_timer_may_set_stop_and_free_others_when_it_fires(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    uint64_t deadline_ms = loop_now_ms(fixture->loop) + 3;
    struct net_timer stopped = net_timer_of(&order, 's');
    struct net_timer *freed = memory_new(sizeof(*freed));
    struct net_timer set = net_timer_of(&order, 'n');
    struct net_timer moved = net_timer_of(&order, 'm');
    *freed = net_timer_of(&order, 'f');
    struct net_meddler meddler = {
        .timer = net_timer_of(&order, 'x'), .stops = &stopped, .frees = freed, .sets = &moved};
    meddler.timer.timer = (struct loop_timer){.fire = net_meddler_fire, .arg = &meddler};
    loop_timer_set(fixture->loop, &meddler.timer.timer, deadline_ms); /* first of those that are due together */
    net_timer_set(&stopped, deadline_ms);
    net_timer_set(freed, deadline_ms);
    net_timer_set(&moved, deadline_ms);
    net_timer_set(&set, deadline_ms);
    net_cases_run_for(fixture, 20);
    assert_string_equal(order.text, "nm");
}

struct net_stubborn {
    struct loop_timer timer;
    struct loop *loop;
    unsigned count;
};

static inline void net_stubborn_fire(void *arg)
{
    struct net_stubborn *stubborn = arg;
    stubborn->count++;
    loop_timer_set(stubborn->loop, &stubborn->timer, stubborn->timer.deadline_ms); /* in the past */
}

static inline bool net_stubborn_is_often(void *arg)
{
    return ((const struct net_stubborn *)arg)->count >= 50;
}

static void a_timer_that_is_always_late_lets_the_others_run(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_stubborn stubborn = {.loop = fixture->loop};
    struct net_timer other = net_timer_of(&order, 'o');
    stubborn.timer = (struct loop_timer){.fire = net_stubborn_fire, .arg = &stubborn};
    loop_timer_set(fixture->loop, &stubborn.timer, loop_now_ms(fixture->loop));
    net_timer_set(&other, loop_now_ms(fixture->loop));
    net_cases_run_until(fixture, net_stubborn_is_often, &stubborn);
    assert_int_equal(other.count, 1);
    loop_timer_stop(fixture->loop, &stubborn.timer);
}

struct net_clock {
    struct loop_timer timer;
    struct net_fixture *fixture;
    bool is_over;
};

static inline void net_clock_fire(void *arg)
{
    struct net_clock *clock = arg;
    uint64_t now_ms = loop_now_ms(clock->fixture->loop);
    uint64_t before_ns = io_monotonic_ns(clock->fixture->io);
    for (unsigned i = 0; i < 2000000 && io_monotonic_ns(clock->fixture->io) - before_ns < 3000000; i++) {
        assert_int_equal(loop_now_ms(clock->fixture->loop), now_ms);
    }
    clock->is_over = true;
}

static void the_clock_stands_still_within_a_turn(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_clock clock = {.fixture = fixture};
    uint64_t before_ms = loop_now_ms(fixture->loop);
    clock.timer = (struct loop_timer){.fire = net_clock_fire, .arg = &clock};
    loop_timer_set(fixture->loop, &clock.timer, before_ms + 2);
    net_cases_run_until(fixture, net_cases_is_set, &clock.is_over);
    net_cases_run_for(fixture, 5);
    assert_true(loop_now_ms(fixture->loop) >= before_ms + 7);
}

#endif
