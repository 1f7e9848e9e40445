/* What other threads ring to interrupt a queue's owner: an eventfd, and whether somebody asked for the owner itself
 * (io_queue_wake) or only left a completion. Private to the room. */
#ifndef IO_BELL_H
#define IO_BELL_H

#include <stdatomic.h>
#include <stdbool.h>

struct bell {
    int descriptor;
    atomic_bool woken;   /* bell_wake was called and the owner has not seen it */
    atomic_bool rung;    /* the descriptor may be readable, for bell_quiet */
    atomic_uint ringing; /* threads inside bell_ring and bell_wake: bell_close waits for them to leave */
};

/* eventfd_flags: EFD_NONBLOCK or 0. */
int bell_open(struct bell *bell, int eventfd_flags);
/* Whoever rang may still be on the way out; the descriptor is closed only after, since its number may be reused. */
void bell_close(struct bell *bell);
void bell_ring(void *bell);         /* a mailbox_wake. Thread: any */
void bell_wake(struct bell *bell);  /* Thread: any */
bool bell_take(struct bell *bell);  /* true once per wake. Thread: the owner's */
void bell_quiet(struct bell *bell); /* makes the descriptor unreadable (EFD_NONBLOCK). Thread: the owner's */

#endif
