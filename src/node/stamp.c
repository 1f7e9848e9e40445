#include "node/stamp.h"

void stamp_see(struct stamp *stamp, uint64_t stamp_ms)
{
    if (stamp_ms > stamp->last_ms) {
        stamp->last_ms = stamp_ms;
    }
}

void stamp_apply(struct stamp *stamp, uint64_t stamp_ms)
{
    stamp_see(stamp, stamp_ms);
    if (stamp_ms > stamp->applied_ms) {
        stamp->applied_ms = stamp_ms;
    }
}

uint64_t stamp_next(struct stamp *stamp, uint64_t wall_ms)
{
    stamp_see(stamp, wall_ms);
    return stamp->last_ms;
}

uint64_t stamp_read(struct stamp *stamp, uint64_t wall_ms, uint64_t due_ms)
{
    uint64_t stamp_ms = stamp_next(stamp, wall_ms);
    if (due_ms <= stamp_ms) {
        stamp_ms = due_ms > 0 ? due_ms - 1 : 0;
    }
    return stamp_ms > stamp->applied_ms ? stamp_ms : stamp->applied_ms;
}
