#include "node/stamp.h"

void stamp_see(struct stamp *stamp, uint64_t stamp_ms)
{
    if (stamp_ms > stamp->last_ms) {
        stamp->last_ms = stamp_ms;
    }
}

int stamp_see_log(struct stamp *stamp, struct hf_log *log, uint64_t group, uint64_t applied_index)
{
    struct hf_log_group_state state;
    uint64_t stamp_ms = 0;
    int rc = hf_log_group_state(log, group, &state);
    uint64_t index = rc == 0 ? state.last_index : 0;
    while (rc == 0 && stamp_ms == 0 && index > applied_index && index >= state.first_index) {
        struct hf_log_view view = {0};
        rc = hf_log_read(log, group, index, index + 1, 0, 1, &view);
        if (rc == 0 && view.count == 1) {
            stamp_ms = view.entries[0].timestamp_ms;
        }
        hf_log_view_close(&view);
        index--;
    }
    stamp_see(stamp, stamp_ms);
    return rc;
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
