/* SAVE, BGSAVE, LASTSAVE, RAFT.SNAPSHOT: snapshots by request, of what this node holds. */
#include <inttypes.h>

#include "base/error.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/outcome.h"
#include "server/server_state.h"

static void command_snapshot_finish(struct call *call, struct reply *reply)
{
    const struct part *part = call_part(call, 0);
    if (part->result == 0) {
        reply_status(reply, "OK");
    } else if (part->result == HF_ECLOSED) {
        struct outcome outcome = {part->result, part->group, 0, false};
        outcome_reply(reply, &outcome);
    } else {
        struct node_snapshot_status status;
        node_snapshot_status(call->server->node, &status);
        reply_error(reply, "ERR the snapshot failed, and nothing was compacted: %s: %s", hf_error_name(part->result),
                    status.text);
    }
}

/* group 0: every routed one. The part has a lane of its own. */
static int command_snapshot_take(struct session *session, uint64_t group)
{
    session->current->finish = command_snapshot_finish;
    call_make_parts(session->current, 1);
    session->current->parts[0].group = NODE_SYSTEM_GROUP;
    session->current->parts[0].is_snapshot = true;
    session->current->parts[0].to_node = group;
    call_start_parts(session->current);
    return SESSION_LATER;
}

int command_snapshot_save(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_snapshot_take(session, 0);
}

static void command_snapshot_ended(void *arg, int result, struct hf_bytes reply, uint64_t index) {}

int command_snapshot_bgsave(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (arguments->count > 2 || (arguments->count == 2 && !argument_is(arguments->items[1], "schedule"))) {
        argument_reply_syntax(reply);
        return SESSION_ANSWERED;
    }
    node_snapshot(session->server->node, 0, command_snapshot_ended, NULL);
    reply_status(reply, "Background saving started");
    return SESSION_ANSWERED;
}

int command_snapshot_lastsave(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct node_snapshot_status status;
    node_snapshot_status(session->server->node, &status);
    reply_integer(reply, (int64_t)(status.last_wall_ms / 1000));
    return SESSION_ANSWERED;
}

int command_snapshot_raft(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    int64_t group = 0;
    if (arguments->count == 1) {
        return command_snapshot_take(session, 0);
    }
    if (arguments->count != 3 || !argument_is(arguments->items[1], "group") ||
        !argument_integer(arguments->items[2], &group) || group < NODE_GROUP_FIRST ||
        (uint64_t)group >= NODE_GROUP_FIRST + node_group_count(session->server->node)) {
        reply_error(reply, "ERR RAFT.SNAPSHOT takes nothing, or GROUP and one of the groups %u to %" PRIu64,
                    NODE_GROUP_FIRST, (uint64_t)NODE_GROUP_FIRST + node_group_count(session->server->node) - 1);
        return SESSION_ANSWERED;
    }
    return command_snapshot_take(session, (uint64_t)group);
}
