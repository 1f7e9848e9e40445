/* The pieces of io that threads share: wakes, mailboxes beside a queue, executors, work. Every case runs the same
 * exchange many times while the threads are shaken by a seeded generator; a wake that is lost hangs, and the alarm ends
 * it. The thread sanitizer watches the same cases (HF_SANITIZE=thread). */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/mailbox.h"
#include "base/rng.h"
#include "contract/io_fixture.h"
#include "no_threads.h"

#define SENDER_COUNT  4u
#define MESSAGE_COUNT 5000u /* of each sender */
#define ROUND_COUNT   400u

static enum io_backend backend_now;

static int setup(void **state)
{
    struct io_fixture *fixture = memory_new(sizeof(*fixture));
    *state = fixture;
    return io_open_kernel(backend_now, &fixture->io) == HF_EUNSUPPORTED ? 0 : fixture->io == NULL;
}

static int teardown(void **state)
{
    struct io_fixture *fixture = *state;
    io_close(fixture->io);
    free(fixture);
    return 0;
}

/* Gives the other threads a chance to get in between, in a different place each time. */
static void shake(struct rng *rng)
{
    uint64_t draw = rng_below(rng, 64);
    if (draw == 0) {
        usleep(50);
    } else if (draw < 16) {
        sched_yield();
    }
}

/* ---- an executor with a mailbox, as the log's writer is one ---- */

struct message {
    struct list link;
    unsigned sender;
    unsigned number;
};

struct owner {
    struct io_queue *queue;
    struct mailbox mailbox;
    unsigned next[SENDER_COUNT]; /* the executor's own */
    unsigned work_in_flight;     /* the same */
    struct io_operation work;    /* the same */
    int work_value;
    atomic_uint received;
    atomic_uint worked;
    struct rng rng;
};

struct sender {
    struct owner *owner;
    unsigned number;
    struct message *messages;
};

static void owner_wake(void *arg)
{
    io_queue_wake(arg);
}

static int owner_work(void *arg)
{
    int *value = arg;
    return ++*value;
}

static void owner_take(struct owner *owner)
{
    struct list messages;
    list_init(&messages);
    mailbox_take(&owner->mailbox, &messages);
    list_each_safe (&messages, item) {
        const struct message *message = list_entry(item, struct message, link);
        list_remove(item);
        assert_int_equal(message->number, owner->next[message->sender]);
        owner->next[message->sender]++;
        atomic_fetch_add(&owner->received, 1);
    }
}

static void owner_turn(void *arg)
{
    struct owner *owner = arg;
    struct list done;
    list_init(&done);
    shake(&owner->rng);
    unsigned count = io_queue_reap(owner->queue, &done, UINT64_MAX);
    assert_true(count <= owner->work_in_flight);
    owner->work_in_flight -= count;
    atomic_fetch_add(&owner->worked, count);
    owner_take(owner);
    if (owner->work_in_flight == 0 && rng_chance(&owner->rng, 1, 2)) {
        owner->work = (struct io_operation){.kind = IO_WORK, .work = owner_work, .arg = &owner->work_value};
        io_cases_assert_ok(io_queue_submit(owner->queue, &owner->work));
        owner->work_in_flight = 1;
    }
}

static void *sender_run(void *arg)
{
    struct sender *sender = arg;
    struct rng rng;
    rng_seed(&rng, 100 + sender->number);
    for (unsigned i = 0; i < MESSAGE_COUNT; i++) {
        sender->messages[i].sender = sender->number;
        sender->messages[i].number = i;
        mailbox_send(&sender->owner->mailbox, &sender->messages[i].link);
        shake(&rng);
    }
    return NULL;
}

static void every_message_reaches_the_executor_once_and_in_order(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct owner *owner = memory_new(sizeof(*owner));
    struct sender senders[SENDER_COUNT];
    pthread_t threads[SENDER_COUNT];
    rng_seed(&owner->rng, 1);
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &owner->queue));
    mailbox_init(&owner->mailbox, owner_wake, owner->queue);
    struct executor *executor = NULL;
    io_cases_assert_ok(executor_open("hf-test-owner-with-a-long-name", owner_turn, owner, &executor));
    for (unsigned i = 0; i < SENDER_COUNT; i++) {
        senders[i] = (struct sender){owner, i, memory_new(MESSAGE_COUNT * sizeof(struct message))};
        assert_int_equal(pthread_create(&threads[i], NULL, sender_run, &senders[i]), 0);
    }
    while (atomic_load(&owner->received) < SENDER_COUNT * MESSAGE_COUNT) {
        usleep(1000);
    }
    executor_stop(executor);
    io_queue_wake(owner->queue);
    executor_close(executor);
    for (unsigned i = 0; i < SENDER_COUNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(owner->next[i], MESSAGE_COUNT);
        free(senders[i].messages);
    }
    io_queue_close(owner->queue);
    assert_true(owner->work_value > 0);
    assert_true((unsigned)owner->work_value - atomic_load(&owner->worked) <=
                1); /* the last was in flight at the close */
    mailbox_close(&owner->mailbox);
    free(owner);
}

static void wait_turn(void *arg)
{
    struct list done;
    list_init(&done);
    assert_int_equal(io_queue_reap(arg, &done, UINT64_MAX), 0);
}

static void an_executor_that_is_stopped_and_woken_ends_wherever_it_is(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct rng rng;
    rng_seed(&rng, 2);
    struct io_queue *queue = NULL;
    io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        struct executor *executor = NULL;
        io_cases_assert_ok(executor_open("hf-test", wait_turn, queue, &executor));
        shake(&rng);
        if (rng_chance(&rng, 1, 4)) {
            io_queue_wake(queue); /* a turn ends, and another may start while we stop */
        }
        shake(&rng);
        executor_stop(executor);
        shake(&rng);
        io_queue_wake(queue);
        executor_close(executor);
    }
    io_queue_close(queue);
}

static void *wake_once(void *arg)
{
    io_queue_wake(arg);
    return NULL;
}

/* The wake has been seen, but the thread that sent it may not have left it yet. */
static void a_queue_may_close_as_soon_as_the_last_wake_was_seen(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    for (unsigned round = 0; round < ROUND_COUNT; round++) {
        struct io_queue *queue = NULL;
        struct list done;
        pthread_t thread;
        list_init(&done);
        io_cases_assert_ok(io_queue_open(fixture->io, 4, &queue));
        assert_int_equal(pthread_create(&thread, NULL, wake_once, queue), 0);
        assert_int_equal(io_queue_reap(queue, &done, UINT64_MAX), 0);
        io_queue_close(queue);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

struct job {
    struct io_operation operation;
    unsigned number;
    bool in_flight;
};

static int job_run(void *arg)
{
    const struct job *job = arg;
    return job->number % 5 == 0 ? error_raise(HF_ECONFLICT, "job %u", job->number) : (int)job->number;
}

static void job_submit(struct io_queue *queue, struct job *job, unsigned number)
{
    job->number = number;
    job->operation = (struct io_operation){
        .kind = IO_WORK, .work = job_run, .arg = job, .user = job, .is_background = number % 2 == 1};
    io_cases_assert_ok(io_queue_submit(queue, &job->operation));
    job->in_flight = true;
}

static void job_check(struct job *job)
{
    char text[32] = "";
    assert_true(job->in_flight);
    job->in_flight = false;
    if (job->number % 5 == 0) {
        assert_int_equal(job->operation.result, HF_ECONFLICT);
        snprintf(text, sizeof(text), "job %u", job->number);
    } else {
        assert_int_equal(job->operation.result, job->number);
    }
    assert_string_equal(job->operation.text, text);
}

static void work_of_many_threads_comes_back_once_each_with_its_own_result(void **state)
{
    enum { JOB_COUNT = 3000, DEPTH = 12 };
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    struct job *jobs = memory_new(DEPTH * sizeof(jobs[0]));
    struct rng rng;
    rng_seed(&rng, 3);
    io_cases_assert_ok(io_queue_open(fixture->io, DEPTH, &queue));
    unsigned submitted = 0;
    unsigned finished = 0;
    while (finished < JOB_COUNT) {
        for (unsigned i = 0; i < DEPTH && submitted < JOB_COUNT; i++) {
            if (!jobs[i].in_flight) {
                job_submit(queue, &jobs[i], submitted++);
            }
        }
        shake(&rng);
        struct list done;
        list_init(&done);
        finished += io_queue_reap(queue, &done, rng_chance(&rng, 1, 3) ? 0 : UINT64_MAX);
        list_each_safe (&done, item) {
            list_remove(item);
            job_check(list_entry(item, struct io_operation, link)->user);
        }
    }
    assert_int_equal(finished, JOB_COUNT);
    io_queue_close(queue);
    free(jobs);
}

/* The first thread is there since the open. What is for the background has none of its own then. */
static void work_is_done_although_no_thread_can_be_started_for_it(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    struct job jobs[8] = {0};
    io_cases_assert_ok(io_queue_open(fixture->io, 8, &queue));
    size_t usual = no_threads_begin();
    for (unsigned i = 0; i < 8; i++) {
        job_submit(queue, &jobs[i], i);
    }
    struct list done;
    list_init(&done);
    for (unsigned finished = 0; finished < 8;) {
        finished += io_queue_reap(queue, &done, UINT64_MAX);
    }
    no_threads_end(usual);
    list_each_safe (&done, item) {
        list_remove(item);
        job_check(list_entry(item, struct io_operation, link)->user);
    }
    io_queue_close(queue);
}

static void a_queue_that_gets_no_thread_is_not_opened(void **state)
{
    struct io_fixture *fixture = io_cases_fixture(state);
    struct io_queue *queue = NULL;
    size_t usual = no_threads_begin();
    assert_int_equal(io_queue_open(fixture->io, 8, &queue), HF_ENOMEM);
    no_threads_end(usual);
    assert_null(queue);
    io_cases_assert_ok(io_queue_open(fixture->io, 8, &queue));
    io_queue_close(queue);
}

/* Two mounts that every machine has. */
static void mounts_are_told_apart_where_the_kernel_tells(void **state)
{
    struct io_fixture *fixture = *state;
    uint64_t root = directory_mount(fixture->io, "/");
    assert_true(root == 0 || root != directory_mount(fixture->io, "/proc"));
    assert_true(root == directory_mount(fixture->io, "/"));
}

#define CASES(X)                                                     \
    X(every_message_reaches_the_executor_once_and_in_order)          \
    X(an_executor_that_is_stopped_and_woken_ends_wherever_it_is)     \
    X(a_queue_may_close_as_soon_as_the_last_wake_was_seen)           \
    X(work_of_many_threads_comes_back_once_each_with_its_own_result) \
    X(work_is_done_although_no_thread_can_be_started_for_it)         \
    X(a_queue_that_gets_no_thread_is_not_opened)                     \
    X(mounts_are_told_apart_where_the_kernel_tells)

#define COAT(name)                                       \
    static void name##_or_skip(void **state)             \
    {                                                    \
        if (((struct io_fixture *)*state)->io == NULL) { \
            skip();                                      \
        }                                                \
        name(state);                                     \
    }
#define ROW(name) {#name, name##_or_skip, setup, teardown, NULL},
CASES(COAT)

int main(void)
{
    const struct CMUnitTest tests[] = {CASES(ROW)};
    alarm(120);
    backend_now = IO_BACKEND_URING;
    int failed = cmocka_run_group_tests_name("io_uring", tests, NULL, NULL);
    backend_now = IO_BACKEND_THREADS;
    failed += cmocka_run_group_tests_name("pwritev2", tests, NULL, NULL);
    return failed == 0 ? 0 : 1;
}
