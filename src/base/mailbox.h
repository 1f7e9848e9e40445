/* A queue from many threads to one: senders append intrusive messages, the receiver takes all of them at once in
 * order. `wake` is called by the sender whose message found the mailbox empty, outside the lock. */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H

#include "base/list.h"
#include "base/mutex.h"

typedef void mailbox_wake(void *arg);

struct mailbox {
    struct mutex mutex; /* leaf lock: nothing is called while it is held */
    struct list messages;
    mailbox_wake *wake;
    void *wake_arg;
};

/* wake may be NULL for a receiver that polls. It may come late, after its message was taken with an earlier one. */
void mailbox_init(struct mailbox *mailbox, mailbox_wake *wake, void *arg);
void mailbox_close(struct mailbox *mailbox);                      /* must be empty */
void mailbox_send(struct mailbox *mailbox, struct list *message); /* thread: any */
/* Moves all messages to the end of `target`; true when there were any. Thread: the receiver's. */
bool mailbox_take(struct mailbox *mailbox, struct list *target);

#endif
