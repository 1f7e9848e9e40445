/* A TCP connection on libuv, shared by stream_uv.c, connect_uv.c and listener_uv.c. Private to the room. */
#ifndef NET_STREAM_UV_H
#define NET_STREAM_UV_H

#include "base/buffer.h"
#include "net/loop_uv.h"

#define STREAM_UV_SLICE_SIZE         (64u * 1024u) /* what waits in libuv for room in the socket */
#define STREAM_UV_BUFFER_KEEP_SIZE   (64u * 1024u) /* an empty buffer larger than this is freed */
#define STREAM_UV_WRITE_SIZE_MAX     (1u << 30)    /* of one system call */
#define STREAM_UV_KEEPALIVE_S        60u
#define STREAM_UV_LINGER_PROGRESS_MS 10000u /* a closed stream that sends nothing for so long is dropped */
#define STREAM_UV_LINGER_SHUTDOWN_MS 1000u  /* and so long it waits for the other side's end after its own */
#define STREAM_UV_FAILURE_TEXT_SIZE  256u

/* libuv's part. Its own allocation, because a connect that failed at one address goes on with a new one. */
struct stream_uv_socket {
    uv_tcp_t tcp;
    struct stream_uv *stream; /* NULL when given up */
};

enum stream_uv_state {
    STREAM_UV_CONNECTING, /* resolving, connecting, or connected and not yet reported */
    STREAM_UV_OPEN,       /* also when the other side has ended: it may still read */
    STREAM_UV_BROKEN      /* nothing goes in or out */
};

enum stream_uv_report { STREAM_UV_CONNECTED = 1, STREAM_UV_DRAINED = 2, STREAM_UV_ENDED = 4 };

struct stream_uv {
    struct stream stream;
    struct loop_uv *loop;
    unsigned references; /* the owner's (or lingering), the socket's, a resolution's, a report's that runs */
    struct stream_callbacks callbacks;
    void *arg;
    enum stream_uv_state state;
    bool closed;    /* for good: what libuv still calls is ignored */
    bool lingering; /* closed by its owner, still sending */
    bool shut;      /* our end is sent */
    bool has_callbacks;
    bool paused;
    bool reading;
    bool input_ended; /* the other side's end was read */
    bool end_reported;
    bool above_low_water;
    struct stream_uv_socket *socket;

    struct buffer gathered; /* written by the owner since the last flush */
    struct buffer sending;  /* being sent, from sending_offset on */
    size_t sending_offset;
    size_t slice; /* bytes at sending_offset that libuv holds; 0: none */
    uv_write_t write_request;
    uv_shutdown_t shutdown_request;
    struct list unsent_link;
    struct list linger_link;
    struct loop_timer linger_timer;

    struct loop_uv_event event;
    unsigned reports; /* bits of enum stream_uv_report, waiting in event */
    int result;       /* of CONNECTED and ENDED */
    char failure[STREAM_UV_FAILURE_TEXT_SIZE];

    /* connect_uv.c */
    uv_connect_t connect_request;
    uv_getaddrinfo_t resolve_request;
    bool resolving;
    struct addrinfo *found; /* libuv's; the addresses of the name */
    const struct addrinfo *found_next;

    char peer[ADDRESS_TEXT_SIZE_MAX]; /* until connected what was asked for */
};

struct stream_uv *stream_uv_new(struct loop_uv *loop);
/* A fresh socket for the stream. It takes a reference. */
void stream_uv_attach(struct stream_uv *stream);
/* Closes the socket of an attempt that failed. */
void stream_uv_detach(struct stream_uv *stream);
/* The socket is connected; the report follows in a turn. */
void stream_uv_connected(struct stream_uv *stream);
/* The same for a socket that was accepted: nothing to report, and reading waits for the callbacks. */
void stream_uv_accepted(struct stream_uv *stream);
/* The connection, or the attempt, is over; the thread's error text says why. Reports in a turn. */
void stream_uv_fail(struct stream_uv *stream, int result);
void stream_uv_hold(struct stream_uv *stream);
void stream_uv_release(struct stream_uv *stream);
/* Sends what was gathered: one system call when the socket takes it. */
void stream_uv_flush(struct stream_uv *stream);
/* At once, whatever it does. */
void stream_uv_destroy(struct stream_uv *stream);

#endif
