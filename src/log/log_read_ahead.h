/* The windows behind the one that an iterator hands out, read by workers meanwhile, up to two side by side. Each has a
 * slot:
 *
 *   idle ─start→ under way ─read→ ready ─take→ idle
 *                    └──────forget──────┴──→ (its result is thrown away)
 *
 * Two can be read at once when the first has a `high`: the second begins there. Should the first end sooner (a hole,
 * the bound of bytes, a truncation), then nobody ever wants the place at which the second begins, and it is forgotten.
 *
 * Only what lies on the device is worth a worker: entries in memory are copied sooner than a worker is woken. So the
 * queue and its workers exist from the first window on that needs them, and never for a memory log or in the simulator.
 *
 * Thread: the iterator's; log_read_ahead_wake: any, with the log's mutex held, which is what guards `queue` changing.
 */
#ifndef LOG_LOG_READ_AHEAD_H
#define LOG_LOG_READ_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "holdfast/log.h"
#include "io/io.h"

#define LOG_READ_AHEAD_SLOTS 2u

/* What is read: as hf_log_read's. */
struct log_read_ahead_window {
    uint64_t low;
    uint64_t high;
    uint64_t bytes_max;
    size_t count_max;
};

struct log_read_ahead_slot {
    struct hf_log *log;
    uint64_t group;
    struct io_operation operation;
    bool is_under_way;
    bool is_ready;
    bool is_forgotten; /* under way, and nobody wants it any more */

    /* The worker's while it is under way. */
    struct log_read_ahead_window window;
    struct hf_log_view view;
};

struct log_read_ahead {
    struct hf_log *log;
    uint64_t group;
    struct io_queue *queue; /* NULL: nothing needed it yet */
    struct log_read_ahead_slot slots[LOG_READ_AHEAD_SLOTS];
};

/* Begins to read entries as hf_log_read would, if that is worth it: when the entry window->low is there, on the device,
 * and a slot is idle. */
void log_read_ahead_start(struct log_read_ahead *ahead, const struct log_read_ahead_window *window);
/* What is read, or was, from `low` on and can still be taken; NULL: there is no such window. */
const struct log_read_ahead_window *log_read_ahead_find(struct log_read_ahead *ahead, uint64_t low);
/* Waits until the window from `low` on is there, and moves it to *out. False: there is none (it was never begun, it was
 * of another place, it failed), and the caller reads for itself. Also false when somebody rang log_read_ahead_wake. */
bool log_read_ahead_take(struct log_read_ahead *ahead, uint64_t low, struct hf_log_view *out);
/* What was read, and what is under way, is of a state that is gone, or of a place that nobody wants. False: there was
 * nothing of the kind. */
bool log_read_ahead_forget(struct log_read_ahead *ahead);
/* Ends a wait in log_read_ahead_take. */
void log_read_ahead_wake(struct log_read_ahead *ahead);
/* Waits for what is under way. */
void log_read_ahead_close(struct log_read_ahead *ahead);

#endif
