/* An event loop behind a seam: turns, timers, watched queues, posts from other threads, TCP streams. Two
 * implementations: libuv (net/) and the simulator (sim/).
 *
 * A turn: everything that is ready is handed out (timers that are due, bytes read, completions, posts), then the
 * turn-end callbacks run, in the order in which they were added; only then does the loop block again. Whoever gathers
 * work within a turn (proposals, log appends, frames, replies) sends it off at its end.
 *
 * Thread: all calls from the loop's thread, except loop_post. Callbacks never run from inside a call
 * that the owner made (no re-entrance), so an object may be closed anywhere. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "io/io.h"

struct loop_ops;
struct loop {
    const struct loop_ops *ops;
};

int loop_open(struct io *io, struct loop **out); /* libuv's */
void loop_close(struct loop *loop);              /* everything on it must be closed; accepts NULL */
void loop_run(struct loop *loop); /* until loop_stop. Not in the simulator, which runs its loops itself */
void loop_stop(struct loop *loop);
uint64_t loop_now_ms(struct loop *loop); /* monotonic, cached per turn */

/* Timers are the owner's memory; zeroed is unset. */
struct loop_timer {
    void (*fire)(void *arg);
    void *arg;
    uint64_t deadline_ms;
    void *handle; /* the loop's */
};
void loop_timer_set(struct loop *loop, struct loop_timer *timer,
                    uint64_t deadline_ms); /* (re)arms; may be in the past */
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

struct loop_hook {
    void (*call)(void *arg);
    void *arg;
    struct loop_hook *next; /* the loop's */
};
void loop_add_turn_end(struct loop *loop, struct loop_hook *hook);
void loop_remove_turn_end(struct loop *loop, struct loop_hook *hook);

/* Sends what the streams have gathered in this turn, ahead of its end: for a hook that is about to block. */
void loop_send(struct loop *loop);

/* Calls ready(arg) in every turn in which the queue has something to reap. */
struct loop_watch;
int loop_watch_queue(struct loop *loop, struct io_queue *queue, void (*ready)(void *arg), void *arg,
                     struct loop_watch **out);
/* Calls ready(arg) in every turn in which a descriptor of a library (libmicrohttpd's epoll) is readable. The descriptor
 * must stay open until loop_watch_close. HF_EUNSUPPORTED in the simulator. */
int loop_watch_descriptor(struct loop *loop, int descriptor, void (*ready)(void *arg), void *arg,
                          struct loop_watch **out);
void loop_watch_close(struct loop *loop, struct loop_watch *watch);

/* Runs call(arg) in a turn of the loop. Thread: any. Every post made before loop_close runs. */
void loop_post(struct loop *loop, void (*call)(void *arg), void *arg);

/* ---- TCP ---- */
struct stream; /* a connection */
struct listener;

struct stream_callbacks {
    /* Connected (result 0), or the connect failed. Only for stream_connect. */
    void (*connected)(void *arg, int result);
    /* Bytes arrived; lent for the call. */
    void (*received)(void *arg, struct hf_bytes bytes);
    /* The other side closed, or the connection broke: result 0 or HF_EIO. Called once at most, and never after
     * stream_close; the owner then calls stream_close. */
    void (*ended)(void *arg, int result);
    /* The bytes waiting to be sent fell below STREAM_LOW_WATER_BYTES after having been above it. May be NULL. */
    void (*drained)(void *arg);
};

#define STREAM_LOW_WATER_BYTES (256u * 1024u)

/* address: "host:port", "[v6]:port"; names are resolved. Returns at once; the result comes in connected. */
int stream_connect(struct loop *loop, const char *address, const struct stream_callbacks *callbacks, void *arg,
                   struct stream **out);
void stream_set_callbacks(struct stream *stream, const struct stream_callbacks *callbacks, void *arg);
/* Queues a copy of the bytes; they are written at the end of the turn at the latest. Never fails: a broken connection
 * shows in ended. */
void stream_write(struct stream *stream, struct hf_bytes bytes);
size_t stream_unsent_bytes(const struct stream *stream);
void stream_pause(struct stream *stream); /* stops reading: back-pressure */
void stream_resume(struct stream *stream);
void stream_close_when_sent(struct stream *stream);           /* no more callbacks; sends what is queued, then closes */
void stream_close(struct stream *stream);                     /* at once; no more callbacks; accepts NULL */
const char *stream_peer_address(const struct stream *stream); /* "ip:port", lent until closed */

/* address as above; port 0 chooses one. accepted hands over a stream without callbacks: set them at once. */
int listener_open(struct loop *loop, const char *address, void (*accepted)(void *arg, struct stream *stream), void *arg,
                  struct listener **out);
const char *listener_address(const struct listener *listener); /* with the port that was bound */
void listener_close(struct listener *listener);

/* ---- for implementers ---- */
struct stream_ops;
struct listener_ops;
struct stream {
    const struct stream_ops *ops;
};
struct listener {
    const struct listener_ops *ops;
};
struct loop_ops {
    void (*close)(struct loop *loop);
    void (*run)(struct loop *loop);
    void (*stop)(struct loop *loop);
    uint64_t (*now_ms)(struct loop *loop);
    void (*timer_set)(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ms);
    void (*timer_stop)(struct loop *loop, struct loop_timer *timer);
    void (*add_turn_end)(struct loop *loop, struct loop_hook *hook);
    void (*remove_turn_end)(struct loop *loop, struct loop_hook *hook);
    void (*send)(struct loop *loop);
    int (*watch_queue)(struct loop *loop, struct io_queue *queue, void (*ready)(void *arg), void *arg,
                       struct loop_watch **out);
    int (*watch_descriptor)(struct loop *loop, int descriptor, void (*ready)(void *arg), void *arg,
                            struct loop_watch **out); /* NULL: unsupported */
    void (*watch_close)(struct loop *loop, struct loop_watch *watch);
    void (*post)(struct loop *loop, void (*call)(void *arg), void *arg);
    int (*connect)(struct loop *loop, const char *address, const struct stream_callbacks *callbacks, void *arg,
                   struct stream **out);
    int (*listen)(struct loop *loop, const char *address, void (*accepted)(void *arg, struct stream *stream), void *arg,
                  struct listener **out);
};
struct stream_ops {
    void (*set_callbacks)(struct stream *stream, const struct stream_callbacks *callbacks, void *arg);
    void (*write)(struct stream *stream, struct hf_bytes bytes);
    size_t (*unsent_bytes)(const struct stream *stream);
    void (*pause)(struct stream *stream);
    void (*resume)(struct stream *stream);
    void (*close_when_sent)(struct stream *stream);
    void (*close)(struct stream *stream);
    const char *(*peer_address)(const struct stream *stream);
};
struct listener_ops {
    const char *(*address)(const struct listener *listener);
    void (*close)(struct listener *listener);
};

#endif
