/* How long the device has lately taken for the small writes that somebody waited for in his own thread, and so whether
 * it is worth waiting for the next one. Guarded by the log's mutex. */
#ifndef LOG_LOG_PACE_H
#define LOG_LOG_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_PACE_AVERAGE_MAX_NS UINT64_C(500000) /* above it, only a try now and then */
#define LOG_PACE_COUNTED_MAX_NS UINT64_C(2000000)
#define LOG_PACE_WEIGHT         8u                 /* of the average against the newest */
#define LOG_PACE_HANG_NS        UINT64_C(10000000) /* after a single such write: no try for a while */
#define LOG_PACE_REST_FACTOR    20u                /* the while: so many times as long as it took */

struct log_pace {
    uint64_t average_ns; /* what took longer than is counted counts as that */
    uint64_t rest_ns;    /* before this time nobody waits */
};

void log_pace_note(struct log_pace *pace, uint64_t took_ns, uint64_t now_ns);
bool log_pace_allows(const struct log_pace *pace, uint64_t now_ns);

#endif
