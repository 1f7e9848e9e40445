/* Prometheus text 0.0.4: names begin with holdfast_, units are in the name, counters end in _total. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/buffer.h"
#include "node/node.h"

/* What the sessions count. */
struct metrics_sessions {
    uint64_t connections; /* open now */
    uint64_t connections_total;
    uint64_t connections_refused_total;
    uint64_t slow_readers_cut_total;
    uint64_t protocol_errors_total;
    uint64_t commands_total;
};

void metrics_write(struct node *node, const struct metrics_sessions *sessions, struct buffer *out);

#endif
