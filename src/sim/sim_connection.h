/* Connections between processes: two pipes, one per direction, and the handshake before them.
 *
 * An end is attached (it has a stream), lingering (the stream is closed, what it wrote is still being sent) or
 * detached. A connection goes when both ends are detached. */
#ifndef SIM_SIM_CONNECTION_H
#define SIM_SIM_CONNECTION_H

#include "sim/sim_pipe.h"

struct sim_process;
struct sim_stream;

/* How an end goes. */
enum sim_connection_end {
    SIM_END_CLOSED, /* stream_close */
    SIM_END_SENT,   /* stream_close_when_sent, and all is sent */
    SIM_END_KILLED,
    SIM_END_POWER_LOST
};

enum sim_connection_phase { SIM_PHASE_SYN, SIM_PHASE_ACK, SIM_PHASE_REFUSED, SIM_PHASE_OPEN };

struct sim_connection {
    struct sim *sim;
    struct list link; /* the world's */
    uint64_t ordinal;
    struct sim_host *hosts[2];
    struct sim_process *processes[2]; /* NULL once detached */
    struct sim_stream *streams[2];    /* NULL when lingering or detached; [1] also before it is accepted */
    struct sim_pipe pipes[2];         /* [i]: from end i */
    enum sim_connection_phase phase;
    struct sim_event handshake;
    uint64_t deadline_ns; /* of the handshake */
    uint64_t retry_ns;
    unsigned port;
};

/* Starts the handshake; the answer comes by sim_stream_connected. */
struct sim_connection *sim_connection_open(struct sim_stream *stream, struct sim_host *target, unsigned port);
/* True when the connection is gone with it. */
bool sim_connection_detach(struct sim_connection *connection, unsigned side, enum sim_connection_end how);
void sim_connection_linger(struct sim_connection *connection, unsigned side);
/* Breaks it, as a reset somewhere on the way does. */
void sim_connection_break(struct sim_connection *connection);
void sim_connection_end_process(struct sim *sim, struct sim_process *process, enum sim_connection_end how);
/* Some links are whole again. */
void sim_connection_resume_all(struct sim *sim);
void sim_connection_close_all(struct sim *sim);

#endif
