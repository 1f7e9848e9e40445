/* The end of a turn, and what is posted. A part of net_cases.h. */
#ifndef CONTRACT_NET_TURN_CASES_H
#define CONTRACT_NET_TURN_CASES_H

#include "contract/net_order.h"

#define NET_TURN_CASES(X)                                         \
    X(turn_end_hooks_run_in_order_after_what_the_turn_handed_out) \
    X(a_turn_end_hook_may_remove_any_hook)                        \
    X(what_a_turn_end_hook_writes_leaves_before_the_loop_blocks)  \
    X(what_a_turn_end_hook_posts_or_sets_runs_soon)               \
    X(a_post_runs_later_in_order_and_not_inside_the_call)

struct net_hook {
    struct loop_hook hook;
    struct net_order *order;
    char name;
    unsigned count;
    struct net_hook *removes;
};

static inline void net_hook_call(void *arg)
{
    struct net_hook *hook = arg;
    hook->count++;
    net_order_add(hook->order, hook->name);
    if (hook->removes != NULL) {
        loop_remove_turn_end(hook->order->loop, &hook->removes->hook);
        hook->removes = NULL;
    }
}

static inline void net_hook_add(struct net_hook *hook, struct net_order *order, char name)
{
    *hook = (struct net_hook){.hook = {.call = net_hook_call, .arg = hook}, .order = order, .name = name};
    loop_add_turn_end(order->loop, &hook->hook);
}

static inline void net_order_post(void *arg)
{
    net_order_add(arg, 'p');
}

/* "p" and "t" are work, "a" and "b" the hooks: work is followed by "ab" before the loop blocks again, and "ab" comes
 * whole. */
static void turn_end_hooks_run_in_order_after_what_the_turn_handed_out(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_hook a;
    struct net_hook b;
    net_hook_add(&a, &order, 'a');
    net_hook_add(&b, &order, 'b');
    uint64_t now_ms = loop_now_ms(fixture->loop);
    struct net_timer timers[3];
    for (unsigned i = 0; i < 3; i++) {
        timers[i] = net_timer_of(&order, 't');
        net_timer_set(&timers[i], now_ms + 5 * i + 5);
    }
    loop_post(fixture->loop, net_order_post, &order);
    loop_post(fixture->loop, net_order_post, &order);
    net_cases_run_for(fixture, 30);
    loop_remove_turn_end(fixture->loop, &a.hook);
    loop_remove_turn_end(fixture->loop, &b.hook);
    unsigned work = 0;
    for (const char *at = order.text; *at != '\0'; at++) {
        if (*at == 'a') {
            assert_int_equal(at[1], 'b');
            at++;
        } else {
            assert_int_not_equal(*at, 'b');
            work++;
        }
    }
    assert_int_equal(work, 5);
    size_t length = strlen(order.text);
    assert_int_equal(order.text[length - 1], 'b');
    unsigned before = a.count;
    net_cases_run_for(fixture, 5);
    assert_int_equal(a.count, before);
}

static void a_turn_end_hook_may_remove_any_hook(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    for (unsigned removed = 0; removed < 4; removed++) {
        struct net_order order = {.loop = fixture->loop};
        struct net_hook hooks[4];
        for (unsigned i = 0; i < 4; i++) {
            net_hook_add(&hooks[i], &order, (char)('a' + i));
        }
        hooks[1].removes = &hooks[removed];
        net_cases_run_for(fixture, 2);
        for (unsigned i = 0; i < 4; i++) {
            loop_remove_turn_end(fixture->loop, &hooks[i].hook);
        }
        static const char *const expected[] = {"abcdbcd", "abcdacd", "abdabd", "abcabc"};
        assert_memory_equal(order.text, expected[removed], strlen(expected[removed]));
    }
}

struct net_writer {
    struct loop_hook hook;
    struct net_end *end;
    unsigned left;
};

static inline void net_writer_call(void *arg)
{
    struct net_writer *writer = arg;
    if (writer->left > 0) {
        writer->left--;
        net_end_write(writer->end, "from the hook", 13);
    }
}

static void what_a_turn_end_hook_writes_leaves_before_the_loop_blocks(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_server *server = net_server_open(fixture);
    struct net_end client = {0};
    struct net_end *other = net_pair_open(server, &client);
    struct net_writer writer = {.end = &client, .left = 1};
    writer.hook = (struct loop_hook){.call = net_writer_call, .arg = &writer};
    loop_add_turn_end(fixture->loop, &writer.hook);
    net_end_expect(other, "from the hook", 13); /* and nothing else would wake the loop */
    loop_remove_turn_end(fixture->loop, &writer.hook);
    net_end_close(&client);
    net_server_close(server);
}

struct net_poster {
    struct loop_hook hook;
    struct loop_timer timer;
    struct loop *loop;
    bool is_armed;
    bool has_posted;
    bool has_fired;
};

static inline void net_poster_call(void *arg)
{
    struct net_poster *poster = arg;
    if (poster->is_armed) {
        poster->is_armed = false;
        loop_post(poster->loop, net_cases_set, &poster->has_posted);
        loop_timer_set(poster->loop, &poster->timer, loop_now_ms(poster->loop));
    }
}

static inline bool net_poster_is_over(void *arg)
{
    const struct net_poster *poster = arg;
    return poster->has_posted && poster->has_fired;
}

static void what_a_turn_end_hook_posts_or_sets_runs_soon(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_poster poster = {.loop = fixture->loop, .is_armed = true};
    poster.hook = (struct loop_hook){.call = net_poster_call, .arg = &poster};
    poster.timer = (struct loop_timer){.fire = net_cases_set, .arg = &poster.has_fired};
    loop_add_turn_end(fixture->loop, &poster.hook);
    uint64_t before_ms = io_monotonic_ns(fixture->io) / 1000000;
    net_cases_run_until(fixture, net_poster_is_over, &poster);
    assert_true(io_monotonic_ns(fixture->io) / 1000000 - before_ms < 20000);
    loop_remove_turn_end(fixture->loop, &poster.hook);
}

/* ---- posts ---- */

struct net_post {
    struct net_order *order;
    char name;
    struct net_post *then;
};

static inline void net_post_call(void *arg)
{
    const struct net_post *post = arg;
    if (post->then != NULL) {
        loop_post(post->order->loop, net_post_call, post->then);
        assert_null(strchr(post->order->text, post->then->name)); /* not inside the call */
    }
    net_order_add(post->order, post->name);
}

static inline bool net_order_has_4(void *arg)
{
    return strlen(((const struct net_order *)arg)->text) >= 4;
}

static void a_post_runs_later_in_order_and_not_inside_the_call(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_order order = {.loop = fixture->loop};
    struct net_post posts[4] = {
        {&order, 'a', &posts[3]}, {&order, 'b', NULL}, {&order, 'c', NULL}, {&order, 'd', NULL}};
    for (unsigned i = 0; i < 3; i++) {
        loop_post(fixture->loop, net_post_call, &posts[i]);
    }
    assert_string_equal(order.text, "");
    net_cases_run_until(fixture, net_order_has_4, &order);
    assert_string_equal(order.text, "abcd");
}

#endif
