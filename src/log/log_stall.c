#include "log/log_stall.h"

#include "base/mutation.h"

void log_stall_look(struct log_stall *stall, uint64_t oldest_ns, uint64_t now_ns)
{
    if (stall->threshold_ns == 0) {
        return;
    }
    uint64_t age_ns = oldest_ns != 0 && now_ns > oldest_ns ? now_ns - oldest_ns : 0;
    bool stalled = age_ns >= stall->threshold_ns && !MUTATED(LOG_STALL_NOT_TOLD);
    if (stalled != stall->stalled) {
        stall->news = true;
    }
    stall->stalled = stalled;
    stall->age_ns = stalled ? age_ns : 0;
}

uint64_t log_stall_deadline_ns(const struct log_stall *stall, uint64_t oldest_ns)
{
    if (stall->threshold_ns == 0 || stall->stalled || oldest_ns == 0) {
        return UINT64_MAX;
    }
    uint64_t grid_ns = stall->threshold_ns / 4 > 0 ? stall->threshold_ns / 4 : 1;
    return ((oldest_ns + stall->threshold_ns) / grid_ns + 1) * grid_ns;
}

bool log_stall_take(struct log_stall *stall, uint64_t *age_ns)
{
    bool news = stall->news;
    stall->news = false;
    *age_ns = stall->age_ns;
    return news;
}
