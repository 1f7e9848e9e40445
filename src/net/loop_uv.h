/* The libuv implementation of the seam, shared by its files. Private to the room. */
#ifndef NET_LOOP_UV_H
#define NET_LOOP_UV_H

#include <uv.h>

#include "base/list.h"
#include "base/mutex.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/timers.h"

#define LOOP_UV_READ_SIZE (64u * 1024u) /* one read of a stream; the buffer is the loop's, lent for the callback */

struct loop_uv {
    struct loop loop;
    struct io *io;
    uv_loop_t uv;
    uv_prepare_t prepare; /* before blocking: for how long */
    uv_check_t check;     /* after everything that polling found: the rest of the turn and its end */
    uv_timer_t wait;      /* limits the blocking; what is due is fired in check */
    uv_async_t posted;
    struct mutex mutex; /* guards posts; a leaf lock, but for the wake of `posted` */
    struct list posts;
    struct timers timers;
    struct loop_hook *hooks;
    struct loop_hook *hook_next; /* while the hooks run: the next one, so that any may be removed */
    struct list events;          /* struct loop_uv_event: reports that must not run inside the owner's calls */
    struct list unsent;          /* streams with something to write at the turn's end */
    struct list lingering;       /* streams that their owners closed and that still send */
    unsigned handle_count;       /* streams, listeners and watches that their owners have not closed */
    bool busy;                   /* something was handed out since the last turn's end */
    bool now_is_known;
    uint64_t now_ms;
    char read_buffer[LOOP_UV_READ_SIZE];
};

struct loop_uv_event {
    struct list link; /* initialised; empty while nothing is to report */
    void (*call)(void *arg);
    void *arg;
};

struct loop_uv *loop_uv_of(struct loop *loop);
/* Runs the event in this turn, or the next one when the turn is over. No-op while it waits already. */
void loop_uv_defer(struct loop_uv *loop, struct loop_uv_event *event);

/* Raises "<text>: <libuv's reason>" for a negative status: HF_EBUSY address in use, HF_ENOTFOUND no such host,
 * HF_ETIMEOUT, otherwise HF_EIO. */
int loop_uv_error(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* True when the host is a number, so that nobody has to be asked for it. */
bool loop_uv_address_of(const struct address *address, struct sockaddr_storage *out);
/* target: ADDRESS_TEXT_SIZE_MAX bytes */
void loop_uv_address_text(const struct sockaddr_storage *address, char *target);

#endif
