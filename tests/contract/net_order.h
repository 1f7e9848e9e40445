/* Who was called, in which order, as a text of names; and timers that note it. */
#ifndef CONTRACT_NET_ORDER_H
#define CONTRACT_NET_ORDER_H

#include "contract/net_fixture.h"

struct net_order {
    char text[256];
    struct loop *loop;
};
struct net_timer {
    struct loop_timer timer;
    struct net_order *order;
    char name;
    uint64_t fired_ms;
    unsigned count;
};

static inline void net_order_add(struct net_order *order, char name)
{
    size_t used = strlen(order->text);
    if (used + 1 < sizeof(order->text)) {
        order->text[used] = name;
        order->text[used + 1] = '\0';
    }
}

static inline void net_timer_fire(void *arg)
{
    struct net_timer *timer = arg;
    timer->count++;
    timer->fired_ms = loop_now_ms(timer->order->loop);
    assert_true(timer->fired_ms >= timer->timer.deadline_ms);
    net_order_add(timer->order, timer->name);
}

static inline struct net_timer net_timer_of(struct net_order *order, char name)
{
    return (struct net_timer){.timer = {.fire = net_timer_fire}, .order = order, .name = name};
}

static inline void net_timer_set(struct net_timer *timer, uint64_t deadline_ms)
{
    timer->timer.arg = timer;
    loop_timer_set(timer->order->loop, &timer->timer, deadline_ms);
}

#endif
