/* The window behind the one that an iterator hands out, read by a worker meanwhile.
 *
 *   idle ─start→ under way ─read→ ready ─take→ idle
 *                    └──────forget──────┴──→ (its result is thrown away)
 *
 * Only what lies on the device is worth a worker: entries in memory are copied sooner than a worker is woken. So the
 * queue and its worker exist from the first window on that needs them, and never for a memory log or in the simulator.
 *
 * Thread: the iterator's; log_read_ahead_wake: any, with the log's mutex held, which is what guards `queue` changing.
 */
#ifndef LOG_LOG_READ_AHEAD_H
#define LOG_LOG_READ_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/log.h"
#include "io/io.h"

struct log_read_ahead {
    struct hf_log *log;
    uint64_t group;
    struct io_queue *queue; /* NULL: nothing needed it yet */
    struct io_operation operation;
    bool is_under_way;
    bool is_ready;
    bool is_forgotten; /* under way, and nobody wants it any more */

    /* What is read; the worker's while it is under way. */
    uint64_t low;
    uint64_t high;
    uint64_t bytes_max;
    size_t count_max;
    struct hf_log_view view;
};

/* Begins to read entries as hf_log_read would, if that is worth it: when the entry `low` is there, on the device, and
 * nothing is under way. */
void log_read_ahead_start(struct log_read_ahead *ahead, uint64_t low, uint64_t high, uint64_t bytes_max,
                          size_t count_max);
/* Waits until the window from `low` on is there, and moves it to *out. False: there is none (it was never begun, it was
 * of another place, it failed), and the caller reads for itself. Also false when somebody rang log_read_ahead_wake. */
bool log_read_ahead_take(struct log_read_ahead *ahead, uint64_t low, struct hf_log_view *out);
/* What was read is of a state that is gone. */
void log_read_ahead_forget(struct log_read_ahead *ahead);
/* Ends a wait in log_read_ahead_take. */
void log_read_ahead_wake(struct log_read_ahead *ahead);
/* Waits for what is under way. */
void log_read_ahead_close(struct log_read_ahead *ahead);

#endif
