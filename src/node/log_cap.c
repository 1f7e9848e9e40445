#include "node/log_cap.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/trace.h"
#include "node/node_state.h"

static uint64_t log_cap_of(const struct hosted_group *group)
{
    const struct node_snapshot_options *options = &group->node->snapshots.options;
    return group->id == NODE_SYSTEM_GROUP || group->ops->cut == NULL || options->is_off ? UINT64_MAX
                                                                                        : options->log_entries_max;
}

static int log_cap_raise(const struct hosted_group *group)
{
    const struct group_snapshots *own = &group->snapshots;
    return error_raise(HF_ENOSPACE,
                       "the log of group %" PRIu64 " holds %" PRIu64 " entries, %" PRIu64
                       " are allowed (snapshot.entries_max): writes are refused until a snapshot succeeds; %" PRIu32
                       " failed in a row: %s",
                       group->id, own->log_entries, log_cap_of(group), own->failures,
                       own->failures > 0 ? group->node->snapshots.status.text : "none was taken yet");
}

static void log_cap_measure_group(struct hosted_group *group)
{
    struct group_snapshots *own = &group->snapshots;
    struct hf_log_group_state state;
    bool was_reached = own->is_cap_reached;
    if (hf_log_group_state(group->node->log, group->id, &state) != 0) {
        return;
    }
    own->log_entries = state.last_index + 1 > state.first_index ? state.last_index + 1 - state.first_index : 0;
    uint64_t cap = log_cap_of(group);
    own->is_cap_reached =
        own->log_entries >= cap && (own->failures > 0 || own->log_entries / LOG_CAP_SLOW_TIMES >= cap);
    if (own->is_cap_reached && !was_reached) {
        (void)log_cap_raise(group);
        TRACE(TRACE_ERROR, "node", "%s", hf_error_text());
    } else if (was_reached && !own->is_cap_reached) {
        TRACE(TRACE_INFO, "node", "group %" PRIu64 ": its log is short enough again, writes are taken", group->id);
    }
}

void log_cap_measure(struct node *node)
{
    for (uint32_t i = 0; i < node->groups_open; i++) {
        log_cap_measure_group(&node->groups[i]);
    }
}

bool log_cap_is_near(const struct hosted_group *group)
{
    uint64_t cap = log_cap_of(group);
    return group->snapshots.log_entries >= cap - cap / 4;
}

int log_cap_check(const struct hosted_group *group)
{
    return group->snapshots.is_cap_reached && hosted_group_is_led_here(group) ? log_cap_raise(group) : 0;
}
