#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/mailbox.h"

enum { SENDERS = 4, MESSAGES = 10000 };

struct message {
    struct list link;
    int sender;
    int number;
};

/* The receiver sleeps until it is woken, and looks into the mailbox only then: a lost wake-up hangs the test. */
struct receiver {
    struct mailbox mailbox;
    struct mutex mutex;
    struct condition woken_condition;
    uint64_t woken;
};

static void receiver_wake(void *arg)
{
    struct receiver *receiver = arg;
    mutex_lock(&receiver->mutex);
    receiver->woken++;
    condition_signal(&receiver->woken_condition);
    mutex_unlock(&receiver->mutex);
}

struct sender {
    struct receiver *receiver;
    int number;
};

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    for (int i = 0; i < MESSAGES; i++) {
        struct message *message = memory_new(sizeof(*message));
        message->sender = sender->number;
        message->number = i;
        mailbox_send(&sender->receiver->mailbox, &message->link);
    }
    return NULL;
}

static void every_message_arrives_once_in_its_senders_order_and_no_wake_is_lost(void **state)
{
    struct receiver receiver = {.woken = 0};
    mutex_init(&receiver.mutex);
    condition_init(&receiver.woken_condition);
    mailbox_init(&receiver.mailbox, receiver_wake, &receiver);
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&receiver, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    int next[SENDERS] = {0};
    int received = 0;
    uint64_t handled = 0;
    while (received < SENDERS * MESSAGES) {
        mutex_lock(&receiver.mutex);
        while (receiver.woken == handled) {
            condition_wait(&receiver.woken_condition, &receiver.mutex);
        }
        handled = receiver.woken;
        mutex_unlock(&receiver.mutex);
        struct list taken;
        list_init(&taken);
        /* A wake may come after its message was taken with an earlier one: then there is nothing. */
        bool any = mailbox_take(&receiver.mailbox, &taken);
        assert_int_equal(any, !list_empty(&taken));
        list_each_safe (&taken, item) {
            struct message *message = list_entry(item, struct message, link);
            list_remove(item);
            assert_int_equal(message->number, next[message->sender]);
            next[message->sender]++;
            received++;
            free(message);
        }
    }
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(next[i], MESSAGES);
    }
    mailbox_close(&receiver.mailbox);
    condition_close(&receiver.woken_condition);
    mutex_close(&receiver.mutex);
}

static void count_wake(void *arg)
{
    ++*(int *)arg;
}

static void only_a_message_into_an_empty_mailbox_wakes(void **state)
{
    int wakes = 0;
    struct mailbox mailbox;
    mailbox_init(&mailbox, count_wake, &wakes);
    struct list messages[4];
    struct list taken;
    list_init(&taken);
    assert_false(mailbox_take(&mailbox, &taken));
    for (int i = 0; i < 3; i++) {
        mailbox_send(&mailbox, &messages[i]);
        assert_int_equal(wakes, 1);
    }
    assert_true(mailbox_take(&mailbox, &taken));
    mailbox_send(&mailbox, &messages[3]);
    assert_int_equal(wakes, 2);
    /* Behind what the target holds already. */
    assert_true(mailbox_take(&mailbox, &taken));
    int i = 0;
    list_each (&taken, item) {
        assert_ptr_equal(item, &messages[i++]);
    }
    assert_int_equal(i, 4);
    assert_false(mailbox_take(&mailbox, &taken));
    mailbox_close(&mailbox);
    mailbox_close(NULL);
}

struct nested {
    struct mailbox mailbox;
    struct list taken;
};

static void take_at_once(void *arg)
{
    struct nested *nested = arg;
    mailbox_take(&nested->mailbox, &nested->taken);
}

static void wake_runs_outside_the_lock(void **state)
{
    struct nested nested;
    list_init(&nested.taken);
    mailbox_init(&nested.mailbox, take_at_once, &nested);
    struct list message;
    mailbox_send(&nested.mailbox, &message);
    assert_ptr_equal(nested.taken.next, &message);
    mailbox_close(&nested.mailbox);
}

static void a_mailbox_without_wake_is_polled(void **state)
{
    struct mailbox mailbox;
    mailbox_init(&mailbox, NULL, NULL);
    struct list message;
    struct list taken;
    list_init(&taken);
    mailbox_send(&mailbox, &message);
    assert_true(mailbox_take(&mailbox, &taken));
    assert_ptr_equal(taken.next, &message);
    mailbox_close(&mailbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_arrives_once_in_its_senders_order_and_no_wake_is_lost),
        cmocka_unit_test(only_a_message_into_an_empty_mailbox_wakes),
        cmocka_unit_test(wake_runs_outside_the_lock),
        cmocka_unit_test(a_mailbox_without_wake_is_polled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
