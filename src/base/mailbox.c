#include "base/mailbox.h"

#include <assert.h>

void mailbox_init(struct mailbox *mailbox, mailbox_wake *wake, void *arg)
{
    mutex_init(&mailbox->mutex);
    list_init(&mailbox->messages);
    mailbox->wake = wake;
    mailbox->wake_arg = arg;
}

void mailbox_close(struct mailbox *mailbox)
{
    if (mailbox == NULL) {
        return;
    }
    assert(list_empty(&mailbox->messages));
    mutex_close(&mailbox->mutex);
}

void mailbox_send(struct mailbox *mailbox, struct list *message)
{
    mutex_lock(&mailbox->mutex);
    bool was_empty = list_empty(&mailbox->messages);
    list_append(&mailbox->messages, message);
    mutex_unlock(&mailbox->mutex);
    if (was_empty && mailbox->wake != NULL) {
        mailbox->wake(mailbox->wake_arg);
    }
}

bool mailbox_take(struct mailbox *mailbox, struct list *target)
{
    mutex_lock(&mailbox->mutex);
    bool any = !list_empty(&mailbox->messages);
    list_splice(target, &mailbox->messages);
    mutex_unlock(&mailbox->mutex);
    return any;
}
