#include "io/bell.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/kernel.h"

int bell_open(struct bell *bell, int eventfd_flags)
{
    atomic_init(&bell->woken, false);
    atomic_init(&bell->rung, false);
    atomic_init(&bell->ringing, 0);
    bell->descriptor = eventfd(0, EFD_CLOEXEC | eventfd_flags);
    return bell->descriptor >= 0 ? 0 : kernel_error(errno, "eventfd");
}

void bell_close(struct bell *bell)
{
    while (atomic_load(&bell->ringing) > 0) {
        sched_yield();
    }
    if (bell->descriptor >= 0) {
        close(bell->descriptor);
    }
}

static void bell_write(struct bell *bell)
{
    uint64_t one = 1;
    ssize_t rc;
    atomic_store(&bell->rung, true); /* before it is readable: see bell_quiet */
    do {
        rc = write(bell->descriptor, &one, sizeof(one));
    } while (rc < 0 && errno == EINTR);
    assert(rc == sizeof(one)); /* it would take 2^64 rings that nobody heard to be refused */
}

void bell_ring(void *arg)
{
    struct bell *bell = arg;
    atomic_fetch_add(&bell->ringing, 1);
    bell_write(bell);
    atomic_fetch_sub(&bell->ringing, 1);
}

void bell_wake(struct bell *bell)
{
    atomic_fetch_add(&bell->ringing, 1);
    /* A wake that the owner has not seen yet covers this one: it looks at everything after it has seen it. */
    if (!atomic_exchange(&bell->woken, true)) {
        bell_write(bell);
    }
    atomic_fetch_sub(&bell->ringing, 1);
}

bool bell_take(struct bell *bell)
{
    return atomic_load_explicit(&bell->woken, memory_order_relaxed) && atomic_exchange(&bell->woken, false);
}

void bell_quiet(struct bell *bell)
{
    if (!atomic_load_explicit(&bell->rung, memory_order_relaxed) || !atomic_exchange(&bell->rung, false)) {
        return; /* an owner who polls would pay for a system call each time */
    }
    /* Whoever rings now may write after the read below. */
    bool more = atomic_load(&bell->ringing) > 0;
    uint64_t count;
    ssize_t rc;
    do {
        rc = read(bell->descriptor, &count, sizeof(count));
    } while (rc < 0 && errno == EINTR);
    assert(rc == sizeof(count) || errno == EAGAIN);
    if (more) {
        atomic_store(&bell->rung, true);
    }
}
