/* What each command did: calls, time, failures, and a histogram of durations (INFO commandstats, LATENCY HISTOGRAM).
 * A duration is what the client waited inside the server, durability and replication included. Thread: the loop's. */
#ifndef SERVER_COMMAND_STATS_H
#define SERVER_COMMAND_STATS_H

#include <stdbool.h>

#include "base/histogram.h"
#include "server/command.h"

struct command_stat {
    const struct command_spec *spec;
    uint64_t calls;
    uint64_t duration_us;
    uint64_t failed; /* answered with an error */
    struct histogram histogram;
};

struct command_stats;

struct command_stats *command_stats_open(void);
void command_stats_close(struct command_stats *stats); /* accepts NULL */
/* spec NULL (no such command) is not counted. */
void command_stats_record(struct command_stats *stats, const struct command_spec *spec, uint64_t duration_us,
                          bool is_error, bool with_histogram);
void command_stats_reset(struct command_stats *stats);
/* In the order of their first call: position from 0; NULL at the end. */
const struct command_stat *command_stats_at(const struct command_stats *stats, size_t position);

#endif
