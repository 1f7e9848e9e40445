#include "log/log_pace.h"

void log_pace_note(struct log_pace *pace, uint64_t took_ns, uint64_t now_ns)
{
    uint64_t counted_ns = took_ns < LOG_PACE_COUNTED_MAX_NS ? took_ns : LOG_PACE_COUNTED_MAX_NS;
    pace->average_ns = (pace->average_ns * (LOG_PACE_WEIGHT - 1) + counted_ns) / LOG_PACE_WEIGHT;
    if (took_ns >= LOG_PACE_HANG_NS) {
        pace->rest_ns = now_ns + took_ns * LOG_PACE_REST_FACTOR;
    } else if (pace->average_ns > LOG_PACE_AVERAGE_MAX_NS) {
        pace->rest_ns = now_ns + pace->average_ns * LOG_PACE_REST_FACTOR; /* then a try shows whether it still is so */
    }
}

bool log_pace_allows(const struct log_pace *pace, uint64_t now_ns)
{
    return now_ns >= pace->rest_ns;
}
