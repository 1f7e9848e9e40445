/* The front door of the room for other rooms: the public log, opened on a given io so that it runs in the simulator.
 * Everything else is include/holdfast/log.h. */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "holdfast/log.h"
#include "io/io.h"

/* hf_log_open on a lent io, which must outlive the log. options->io is ignored. In the simulator the driver is always
 * the caller; there and in tests segments may be as small as 64 KiB. */
int log_open(struct io *io, const char *directory, const struct hf_log_options *options, struct hf_log **out);

/* For loop_watch_queue: the queue on which the writer's operations complete. */
struct io_queue *log_queue(struct hf_log *log);

/* hf_log_turn for a driver whose thread may wait for the device: a small frame that is due while nothing is in flight
 * is written in this thread, which costs no switch to another and back; what arrives meanwhile makes up the next frame.
 * Blocks for as long as the device takes. While the device is slow (log_pace.h) only one write in twenty times its
 * duration is waited for. Driver. */
unsigned log_turn_here(struct hf_log *log);

/* The next time (io_monotonic_ns) at which a turn has something to do without a completion (an idle trailer, a sync
 * interval), or UINT64_MAX. Driver. */
uint64_t log_deadline_ns(struct hf_log *log);

/* ---- Walking a directory for tools (dump, verify): read-only, also while a server runs ---- */
struct log_walk_record {
    uint64_t segment;
    uint64_t offset; /* of the record in its file */
    uint64_t group;
    uint64_t group_incarnation;
    uint64_t index; /* entry, truncate-from, reset or floor index; 0 for others */
    uint64_t term;
    uint64_t timestamp_ms;
    const char *kind; /* "append", "moved", "truncate", "hard_state", "reset", "compact", "group_removed" */
    enum hf_entry_type entry_type; /* append and moved */
    struct hf_hard_state hard_state;
    struct hf_bytes payload; /* lent for the call */
};
struct log_walk_callbacks {
    /* Each record of the readable stream in order. A non-zero return stops the walk and is returned. */
    int (*record)(void *arg, const struct log_walk_record *record);
    /* Each damaged place that is not healed, at the end. */
    int (*damage)(void *arg, const struct hf_log_damage *damage);
    /* Bytes looked at so far, and in all. */
    void (*progress)(void *arg, uint64_t bytes_done, uint64_t bytes_total);
};
struct log_walk_summary {
    uint64_t segments;
    uint64_t frames;
    uint64_t records;
    uint64_t bytes;
    uint64_t torn_bytes; /* dropped at the end: never acknowledged as durable */
    uint64_t damaged;
    uint64_t healed; /* damaged places whose content was written again since: not among `damaged` */
};
int log_walk(struct io *io, const char *directory, const struct log_walk_callbacks *callbacks, void *arg,
             struct log_walk_summary *out);

#endif
