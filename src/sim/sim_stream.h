/* A process's end of a connection. */
#ifndef SIM_SIM_STREAM_H
#define SIM_SIM_STREAM_H

#include "sim/sim_connection.h"
#include "sim/sim_loop.h"

struct sim_stream {
    struct stream stream; /* first: stream_ops cast */
    struct list link;     /* the loop's */
    struct list waiting;  /* the listener's, until accepted */
    struct sim_loop *loop;
    struct sim_connection *connection; /* NULL once the connection no longer needs this end */
    unsigned side;
    bool owned; /* the process has it: counted as a handle */
    struct stream_callbacks callbacks;
    void *arg;
    struct sim_ready ready;
    bool connecting; /* connected was not called yet */
    bool connect_known;
    int connect_result;
    struct buffer received;
    bool callbacks_set;
    bool end_known;
    bool end_told;
    int end_result;
    bool paused;
    bool above_low_water;
    bool drained_due;
    bool in_call; /* a callback runs: the memory stays until it returns */
    bool closed;
    char *peer;
};

int sim_stream_connect(struct loop *loop, const char *address, const struct stream_callbacks *callbacks, void *arg,
                       struct stream **out);
/* The listener's side of a connection; waits to be accepted. */
struct sim_stream *sim_stream_accept(struct sim_loop *loop, struct sim_connection *connection, const char *peer);
void sim_stream_own(struct sim_stream *stream); /* it is handed to the process */
void sim_stream_free(struct sim_stream *stream);
/* Tells the stream, in its next turn. */
void sim_stream_connected(struct sim_stream *stream, int result);
void sim_stream_arrived(struct sim_stream *stream, const void *data, size_t size);
void sim_stream_ended(struct sim_stream *stream, int result);
void sim_stream_sent(struct sim_stream *stream); /* bytes left the unsent ones */

#endif
