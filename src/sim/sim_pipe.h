/* One direction of a connection:
 *
 *   stream_write -> unsent -> segments (in flight, in order) -> the receiving stream */
#ifndef SIM_SIM_PIPE_H
#define SIM_SIM_PIPE_H

#include "base/buffer.h"
#include "sim/sim_link.h"
#include "sim/sim_world.h"

#define SIM_PIPE_WINDOW_BYTES (256u * 1024u) /* in flight, or received and not yet taken */
#define SIM_PIPE_PIECE_BYTES  (64u * 1024u)

struct sim_connection;

struct sim_pipe {
    struct sim_connection *connection;
    unsigned from; /* the end that writes */
    struct sim_event flush;
    struct sim_event arrive; /* of the first segment */
    struct sim_event stall;  /* waiting because the link is cut: the connection breaks then */
    struct list segments;
    struct buffer unsent;
    struct buffer units; /* u32 sizes of the writes in unsent, when the link plays with whole writes */
    size_t window_used;
    uint64_t arrival_last_ns;
    bool ended; /* its end is among the segments: nothing more goes in */
};

void sim_pipe_init(struct sim_pipe *pipe, struct sim_connection *connection, unsigned from);
void sim_pipe_close(struct sim_pipe *pipe);
struct sim_host *sim_pipe_sender(const struct sim_pipe *pipe);
struct sim_host *sim_pipe_receiver(const struct sim_pipe *pipe);
const struct sim_link *sim_pipe_link(const struct sim_pipe *pipe);
bool sim_pipe_is_cut(const struct sim_pipe *pipe);

void sim_pipe_write(struct sim_pipe *pipe, struct hf_bytes bytes); /* into the void when it ended */
void sim_pipe_schedule_flush(struct sim_pipe *pipe);
void sim_pipe_taken(struct sim_pipe *pipe, size_t size); /* the receiver took bytes: the window has room */
void sim_pipe_resume(struct sim_pipe *pipe);             /* the link may be whole again */

/* ---- ending ---- */
/* The last thing that a pipe carries: the receiver's `ended`. A local end is what the receiver finds out by itself,
 * which no cut holds back; its result is HF_EIO. */
void sim_pipe_add_end(struct sim_pipe *pipe, int result, uint64_t arrival_ns);
void sim_pipe_add_local_end(struct sim_pipe *pipe, uint64_t arrival_ns);
void sim_pipe_end_unheard(struct sim_pipe *pipe); /* its receiver is gone */
/* When the receiver learns of an end: as fast as the link is, or as late as a half-open connection does. */
uint64_t sim_pipe_end_soon_ns(struct sim_pipe *pipe);
uint64_t sim_pipe_end_late_ns(struct sim_pipe *pipe);
size_t sim_pipe_flight_bytes(const struct sim_pipe *pipe);
void sim_pipe_keep_flight(struct sim_pipe *pipe, size_t keep); /* the rest of what is in flight is lost */
/* What is in flight arrives at any times before end_ns, in order. */
void sim_pipe_spread_flight(struct sim_pipe *pipe, uint64_t end_ns);
/* The writer goes: the kernel had taken any first part of what is unsent. */
void sim_pipe_send_some(struct sim_pipe *pipe);

#endif
