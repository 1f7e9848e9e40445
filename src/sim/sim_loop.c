#include "sim/sim_loop.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "sim/sim_listener.h"
#include "sim/sim_stream.h"
#include "sim/sim_watch.h"

#define SIM_LOOP_TURN_MIN_NS 1000u /* a loop that never reaps must not stop the clock */

struct sim_timer {
    struct sim_event event;
    struct list link;
    struct list due_link; /* the loop's due ones, or empty */
    struct sim_loop *loop;
    uint64_t deadline_ms;
    struct loop_timer *owner; /* their memory: not touched once the process is gone */
};

struct sim_post {
    struct list link;
    void (*call)(void *arg);
    void *arg;
};

static const struct loop_ops sim_loop_ops;
static void sim_loop_turn(struct sim_event *event);
static void sim_loop_fire_timers(struct sim_ready *ready);
static void sim_loop_run_posts(struct sim_ready *ready);

struct sim_loop *sim_loop_of(struct loop *loop)
{
    assert(loop->ops == &sim_loop_ops);
    return list_entry(loop, struct sim_loop, loop);
}

struct loop *sim_loop_new(struct sim_process *process)
{
    struct sim_loop *loop = memory_new(sizeof(*loop));
    loop->loop.ops = &sim_loop_ops;
    loop->process = process;
    loop->turn.run = sim_loop_turn;
    list_init(&loop->ready);
    list_init(&loop->timers);
    list_init(&loop->due);
    sim_loop_init_ready(&loop->timed, sim_loop_fire_timers);
    list_init(&loop->watches);
    list_init(&loop->streams);
    list_init(&loop->listeners);
    list_init(&loop->posts);
    sim_loop_init_ready(&loop->posted, sim_loop_run_posts);
    list_append(&process->loops, &loop->link);
    return &loop->loop;
}

struct loop *sim_loop_first(struct sim_process *process)
{
    assert(!list_empty(&process->loops));
    return &list_entry(process->loops.next, struct sim_loop, link)->loop;
}

static struct sim *sim_loop_sim(const struct sim_loop *loop)
{
    return loop->process->host->sim;
}

/* ---- turns ---- */

void sim_loop_init_ready(struct sim_ready *ready, void (*call)(struct sim_ready *ready))
{
    list_init(&ready->link);
    ready->call = call;
}

static void sim_loop_schedule_turn(struct sim_loop *loop)
{
    struct sim *sim = sim_loop_sim(loop);
    if (loop->in_turn || sim_is_scheduled(&loop->turn)) {
        return;
    }
    uint64_t delay_ns = sim_draw(sim, sim->profile.turn_ns);
    sim_schedule(sim, &loop->turn, sim->now_ns + (delay_ns > SIM_LOOP_TURN_MIN_NS ? delay_ns : SIM_LOOP_TURN_MIN_NS));
}

void sim_loop_add_ready(struct sim_loop *loop, struct sim_ready *ready)
{
    if (!sim_host_is_live(loop->process) || !list_empty(&ready->link)) {
        return;
    }
    list_append(&loop->ready, &ready->link);
    sim_loop_schedule_turn(loop);
}

static void sim_loop_shuffle(struct sim *sim, struct list *batch)
{
    size_t count = 0;
    list_each (batch, item) {
        count++;
    }
    if (count < 2 || !sim_chance(sim, sim->profile.shuffle_ppm)) {
        return;
    }
    struct list **items = memory_new(count * sizeof(struct list *));
    size_t filled = 0;
    list_each (batch, item) {
        size_t place = (size_t)rng_below(&sim->rng, filled + 1);
        items[filled++] = items[place];
        items[place] = item;
    }
    list_init(batch);
    for (size_t i = 0; i < count; i++) {
        list_append(batch, items[i]);
    }
    free(items);
}

static void sim_loop_run_hooks(struct sim_loop *loop)
{
    for (struct loop_hook *hook = loop->hooks; hook != NULL && sim_host_is_live(loop->process);
         hook = loop->hook_next) {
        loop->hook_next = hook->next;
        hook->call(hook->arg);
    }
    loop->hook_next = NULL;
}

static void sim_loop_turn(struct sim_event *event)
{
    struct sim_loop *loop = list_entry(event, struct sim_loop, turn);
    struct sim_host *host = loop->process->host;
    struct sim *sim = host->sim;
    if (!sim_host_is_live(loop->process)) {
        return;
    }
    if (host->paused_until_ns > sim->now_ns) {
        sim_schedule(sim, event, host->paused_until_ns);
        return;
    }
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &loop->ready);
    sim_loop_shuffle(sim, &batch);
    loop->turn_now_ms = sim_host_monotonic_ns(host) / SIM_NS_PER_MS;
    loop->in_turn = true;
    while (!list_empty(&batch)) {
        struct sim_ready *ready = list_entry(batch.next, struct sim_ready, link);
        list_remove(&ready->link);
        if (sim_host_is_live(loop->process)) { /* the turn itself may lose the power */
            ready->call(ready);
        }
    }
    sim_loop_run_hooks(loop);
    loop->in_turn = false;
    if (!list_empty(&loop->ready) && sim_host_is_live(loop->process)) {
        sim_loop_schedule_turn(loop);
    }
}

void sim_loop_resume(struct sim_loop *loop)
{
    if (sim_is_scheduled(&loop->turn)) {
        sim_schedule(sim_loop_sim(loop), &loop->turn, sim_loop_sim(loop)->now_ns);
    }
}

/* Not for nodes, which the simulator drives; for tests that are written against both loops. */
static void sim_loop_run(struct loop *base)
{
    struct sim_loop *loop = sim_loop_of(base);
    loop->stopped = false;
    while (!loop->stopped && sim_step(sim_loop_sim(loop))) {
    }
}

static void sim_loop_stop(struct loop *base)
{
    sim_loop_of(base)->stopped = true;
}

static uint64_t sim_loop_now_ms(struct loop *base)
{
    const struct sim_loop *loop = sim_loop_of(base);
    return loop->in_turn ? loop->turn_now_ms : sim_host_monotonic_ns(loop->process->host) / SIM_NS_PER_MS;
}

/* ---- timers ---- */

static void sim_loop_free_timer(struct sim_timer *timer)
{
    sim_unschedule(sim_loop_sim(timer->loop), &timer->event);
    list_remove(&timer->due_link);
    list_remove(&timer->link);
    timer->loop->process->handle_count--;
    free(timer);
}

static void sim_loop_timer_due(struct sim_event *event)
{
    struct sim_timer *timer = list_entry(event, struct sim_timer, event);
    struct list *due = &timer->loop->due;
    struct list *before = due->previous;
    while (before != due && list_entry(before, struct sim_timer, due_link)->deadline_ms > timer->deadline_ms) {
        before = before->previous;
    }
    list_append(before->next, &timer->due_link); /* appending to an item puts in front of it */
    sim_loop_add_ready(timer->loop, &timer->loop->timed);
}

/* Those that are due now; what they set fires in a later turn, what they stop does not fire. */
static void sim_loop_fire_timers(struct sim_ready *ready)
{
    struct sim_loop *loop = list_entry(ready, struct sim_loop, timed);
    while (!list_empty(&loop->due) && sim_host_is_live(loop->process)) {
        struct sim_timer *timer = list_entry(loop->due.next, struct sim_timer, due_link);
        struct loop_timer *owner = timer->owner;
        sim_loop_free_timer(timer);
        owner->handle = NULL;
        owner->fire(owner->arg);
    }
}

static void sim_loop_timer_stop(struct loop *base, struct loop_timer *owner)
{
    if (owner->handle != NULL) {
        sim_loop_free_timer(owner->handle);
        owner->handle = NULL;
    }
}

static void sim_loop_timer_set(struct loop *base, struct loop_timer *owner, uint64_t deadline_ms)
{
    struct sim_loop *loop = sim_loop_of(base);
    sim_loop_timer_stop(base, owner);
    owner->deadline_ms = deadline_ms;
    if (!sim_host_is_live(loop->process)) {
        return;
    }
    struct sim_timer *timer = memory_new(sizeof(*timer));
    timer->event.run = sim_loop_timer_due;
    timer->loop = loop;
    timer->owner = owner;
    timer->deadline_ms = deadline_ms;
    list_init(&timer->due_link);
    list_append(&loop->timers, &timer->link);
    loop->process->handle_count++;
    owner->handle = timer;
    if (deadline_ms <= UINT64_MAX / SIM_NS_PER_MS) { /* else it is never due */
        uint64_t boot_ns = loop->process->host->boot_ns;
        uint64_t due_ns = deadline_ms * SIM_NS_PER_MS;
        sim_schedule(sim_loop_sim(loop), &timer->event, due_ns > boot_ns ? due_ns - boot_ns : 0);
    }
}

/* ---- hooks and posts ---- */

/* Bytes are on their way as soon as they are written. */
static void sim_loop_send(struct loop *base)
{
    (void)base;
}

static void sim_loop_add_turn_end(struct loop *base, struct loop_hook *hook)
{
    struct sim_loop *loop = sim_loop_of(base);
    struct loop_hook **at = &loop->hooks;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    hook->next = NULL;
    *at = hook;
    if (sim_host_is_live(loop->process)) {
        sim_loop_schedule_turn(loop); /* it has gathered something already, perhaps */
    }
}

static void sim_loop_remove_turn_end(struct loop *base, struct loop_hook *hook)
{
    struct sim_loop *loop = sim_loop_of(base);
    struct loop_hook **at = &loop->hooks;
    while (*at != NULL && *at != hook) {
        at = &(*at)->next;
    }
    if (*at == hook) {
        *at = hook->next;
    }
    if (loop->hook_next == hook) {
        loop->hook_next = hook->next;
    }
}

static void sim_loop_post(struct loop *base, void (*call)(void *arg), void *arg)
{
    struct sim_loop *loop = sim_loop_of(base);
    if (!sim_host_is_live(loop->process)) {
        return;
    }
    struct sim_post *post = memory_new(sizeof(*post));
    post->call = call;
    post->arg = arg;
    list_append(&loop->posts, &post->link);
    sim_loop_add_ready(loop, &loop->posted);
}

static void sim_loop_run_posts(struct sim_ready *ready)
{
    struct sim_loop *loop = list_entry(ready, struct sim_loop, posted);
    struct list posts;
    list_init(&posts);
    list_splice(&posts, &loop->posts);
    while (!list_empty(&posts)) {
        struct sim_post *post = list_entry(posts.next, struct sim_post, link);
        list_remove(&post->link);
        if (sim_host_is_live(loop->process)) {
            post->call(post->arg);
        }
        free(post);
    }
}

/* ---- ending ---- */

void sim_loop_silence(struct sim_loop *loop)
{
    sim_unschedule(sim_loop_sim(loop), &loop->turn);
    list_each_safe (&loop->ready, item) {
        list_remove(item);
    }
    list_each (&loop->timers, item) {
        struct sim_timer *timer = list_entry(item, struct sim_timer, link);
        sim_unschedule(sim_loop_sim(loop), &timer->event);
        list_remove(&timer->due_link);
    }
    list_each_safe (&loop->posts, item) {
        struct sim_post *post = list_entry(item, struct sim_post, link);
        list_remove(&post->link);
        free(post);
    }
}

void sim_loop_free(struct sim_loop *loop)
{
    sim_loop_silence(loop);
    list_each_safe (&loop->timers, item) {
        sim_loop_free_timer(list_entry(item, struct sim_timer, link));
    }
    list_each_safe (&loop->watches, item) {
        sim_watch_free(sim_watch_entry(item));
    }
    list_each_safe (&loop->streams, item) {
        sim_stream_free(list_entry(item, struct sim_stream, link));
    }
    list_each_safe (&loop->listeners, item) {
        sim_listener_free(list_entry(item, struct sim_listener, link));
    }
    list_remove(&loop->link);
    free(loop);
}

static void sim_loop_close(struct loop *base)
{
    struct sim_loop *loop = sim_loop_of(base);
    while (sim_host_is_live(loop->process) && !list_empty(&loop->posts)) {
        sim_loop_run_posts(&loop->posted);
    }
    assert(!loop->in_turn);
    assert(!sim_host_is_live(loop->process) || (list_empty(&loop->timers) && list_empty(&loop->watches) &&
                                                list_empty(&loop->streams) && list_empty(&loop->listeners)));
    sim_loop_free(loop);
}

static const struct loop_ops sim_loop_ops = {
    .close = sim_loop_close,
    .run = sim_loop_run,
    .stop = sim_loop_stop,
    .now_ms = sim_loop_now_ms,
    .timer_set = sim_loop_timer_set,
    .timer_stop = sim_loop_timer_stop,
    .add_turn_end = sim_loop_add_turn_end,
    .remove_turn_end = sim_loop_remove_turn_end,
    .send = sim_loop_send,
    .watch_queue = sim_watch_open,
    .watch_close = sim_watch_close,
    .post = sim_loop_post,
    .connect = sim_stream_connect,
    .listen = sim_listener_listen,
};
