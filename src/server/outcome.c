#include "server/outcome.h"

#include <inttypes.h>

#include "base/error.h"
#include "node/node.h"

static void outcome_reply_unknown(struct reply *reply, const struct outcome *outcome)
{
    if (outcome->index != 0) {
        reply_error(reply, "INDETERMINATE write at group %" PRIu64 " index %" PRIu64 " may or may not commit",
                    outcome->group, outcome->index);
    } else {
        reply_error(reply, "INDETERMINATE write at group %" PRIu64 " may or may not commit", outcome->group);
    }
}

void outcome_reply(struct reply *reply, const struct outcome *outcome)
{
    switch (outcome->result) {
    case HF_ENOLEADER:
    case HF_ENOTLEADER:
        reply_error(reply, "CLUSTERDOWN no leader for group %" PRIu64, outcome->group);
        return;
    case HF_ENOSPACE:
        reply_error(
            reply,
            "MISCONF no space is left for the log of group %" PRIu64
            ", on the device or below snapshot.entries_max. Nothing was written; writes are taken again as soon "
            "as there is space.",
            outcome->group);
        return;
    case HF_ENOMEM:
        if (!outcome->is_write) {
            reply_error(reply, "OOM the memory for replies is used up, see 'memory_limit'; nothing was changed");
            return;
        }
        reply_error(reply, "OOM command not allowed when used memory > 'max_data_bytes'.");
        return;
    case HF_ETOOBIG:
        reply_error(reply, "ERR the command is above the limit of %u bytes", NODE_COMMAND_SIZE_MAX);
        return;
    case HF_EBUSY:
        reply_error(reply, "CLUSTERDOWN group %" PRIu64 " has too many commands in flight; this one was not taken",
                    outcome->group);
        return;
    case HF_ECLOSED:
        reply_error(reply, "CLUSTERDOWN group %" PRIu64 " is stopped on this node", outcome->group);
        return;
    case HF_EINDETERMINATE:
        break;
    default:
        if (!outcome->is_write) {
            reply_error(reply, "ERR group %" PRIu64 " could not answer: %s", outcome->group,
                        hf_error_name(outcome->result));
            return;
        }
    }
    if (outcome->is_write) {
        outcome_reply_unknown(reply, outcome);
    } else {
        reply_error(reply, "CLUSTERDOWN no leader for group %" PRIu64, outcome->group);
    }
}

void outcome_reply_partial(struct reply *reply, const struct outcome *outcome)
{
    if (outcome->result == HF_EINDETERMINATE) {
        outcome_reply_unknown(reply, outcome);
        return;
    }
    reply_error(reply,
                "INDETERMINATE write over several groups is done in part: group %" PRIu64 " did not take it (%s)",
                outcome->group, hf_error_name(outcome->result));
}
