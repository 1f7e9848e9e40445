/* Queues of operations that a loop watches. A part of net_cases.h. */
#ifndef CONTRACT_NET_WATCH_CASES_H
#define CONTRACT_NET_WATCH_CASES_H

#include "contract/net_fixture.h"

#define NET_WATCH_CASES(X)                              \
    X(a_watched_queue_is_handed_out_until_it_is_reaped) \
    X(a_wake_of_a_watched_queue_is_handed_out)          \
    X(a_closed_watch_is_silent)

struct net_reaper {
    struct io_queue *queue;
    struct list done;
    unsigned ready_count;
    unsigned reaped;
    bool reaps;
};

static inline void net_reaper_ready(void *arg)
{
    struct net_reaper *reaper = arg;
    reaper->ready_count++;
    if (reaper->reaps) {
        reaper->reaped += io_queue_reap(reaper->queue, &reaper->done, 0);
    }
}

static inline bool net_reaper_has_3(void *arg)
{
    return ((const struct net_reaper *)arg)->reaped >= 3;
}

static inline bool net_reaper_was_ready(void *arg)
{
    return ((const struct net_reaper *)arg)->ready_count > 0;
}

static inline int net_work(void *arg)
{
    return 7;
}

static inline void net_reaper_submit(struct net_reaper *reaper, struct io_operation *operations, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        operations[i] = (struct io_operation){.kind = IO_WORK, .work = net_work};
        net_cases_assert_ok(io_queue_submit(reaper->queue, &operations[i]));
    }
    net_cases_assert_ok(io_queue_flush(reaper->queue));
}

static void a_watched_queue_is_handed_out_until_it_is_reaped(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_reaper reaper = {0};
    struct loop_watch *watch = NULL;
    struct io_operation operations[3];
    list_init(&reaper.done);
    net_cases_assert_ok(io_queue_open(fixture->io, 8, &reaper.queue));
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    net_reaper_submit(&reaper, operations, 3);
    net_cases_run_until(fixture, net_reaper_was_ready, &reaper); /* and it does not reap */
    reaper.ready_count = 0;
    net_cases_run_until(fixture, net_reaper_was_ready, &reaper);
    reaper.reaps = true;
    net_cases_run_until(fixture, net_reaper_has_3, &reaper);
    assert_int_equal(reaper.reaped, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(operations[i].result, 7);
    }
    /* Then it is silent, as soon as the last wake of a worker came. */
    for (unsigned i = 0; i == 0 || reaper.ready_count > 0; i++) {
        assert_true(i < 100);
        reaper.ready_count = 0;
        net_cases_run_for(fixture, 10);
    }
    loop_watch_close(fixture->loop, watch);
    io_queue_close(reaper.queue);
}

static void a_wake_of_a_watched_queue_is_handed_out(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_reaper reaper = {.reaps = true};
    struct loop_watch *watch = NULL;
    list_init(&reaper.done);
    net_cases_assert_ok(io_queue_open(fixture->io, 8, &reaper.queue));
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    for (unsigned i = 0; i < 3; i++) {
        net_cases_run_for(fixture, 5);
        reaper.ready_count = 0;
        io_queue_wake(reaper.queue);
        net_cases_run_until(fixture, net_reaper_was_ready, &reaper);
        assert_int_equal(reaper.reaped, 0);
    }
    loop_watch_close(fixture->loop, watch);
    io_queue_close(reaper.queue);
}

static void a_closed_watch_is_silent(void **state)
{
    struct net_fixture *fixture = net_cases_fixture(state);
    struct net_reaper reaper = {0};
    struct loop_watch *watch = NULL;
    struct io_operation operations[2];
    list_init(&reaper.done);
    net_cases_assert_ok(io_queue_open(fixture->io, 8, &reaper.queue));
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    net_reaper_submit(&reaper, operations, 2);
    loop_watch_close(fixture->loop, watch);
    net_cases_run_for(fixture, 10);
    assert_int_equal(reaper.ready_count, 0);
    net_cases_assert_ok(loop_watch_queue(fixture->loop, reaper.queue, net_reaper_ready, &reaper, &watch));
    net_cases_run_until(fixture, net_reaper_was_ready, &reaper);
    loop_watch_close(fixture->loop, watch);
    io_queue_close(reaper.queue);
}

#endif
