/* SAVE, BGSAVE, LASTSAVE, RAFT.SNAPSHOT: snapshots by request, of what this node holds. */
#include <inttypes.h>

#include "base/bytes.h"
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

/* group 0: every one. The part has a lane of its own. */
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

/* ---- RAFT.SNAPSHOT ---- */

/* A group's id, `first` or above. False when it answered an error. */
static bool command_snapshot_group_from(struct session *session, struct hf_bytes text, unsigned first, uint64_t *group,
                                        struct reply *reply)
{
    uint64_t end = (uint64_t)NODE_GROUP_FIRST + node_group_count(session->server->node);
    if (!argument_unsigned(text, group) || *group < first || *group >= end) {
        reply_error(reply, "ERR there are the groups %u to %" PRIu64, first, end - 1);
        return false;
    }
    return true;
}

/* What a backup may copy away: keys are in the routed ones. */
static bool command_snapshot_group(struct session *session, struct hf_bytes text, uint64_t *group, struct reply *reply)
{
    return command_snapshot_group_from(session, text, NODE_GROUP_FIRST, group, reply);
}

static void command_snapshot_say(uint64_t group, int result, struct reply *reply)
{
    if (result == HF_ENOTFOUND) {
        reply_error(reply, "NOSNAPSHOT %s", hf_error_text());
    } else if (result == HF_EBUSY) {
        reply_error(reply, "BUSY %s", hf_error_text());
    } else if (result == HF_ECLOSED || result == HF_ENOMEM) {
        struct outcome outcome = {result, group, 0, false};
        outcome_reply(reply, &outcome);
    } else {
        reply_error(reply, "ERR %s: %s", hf_error_name(result), hf_error_text());
    }
}

static int command_snapshot_find(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct hf_snapshot_manifest manifest;
    uint8_t bytes[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    uint64_t group;
    if (!command_snapshot_group(session, arguments->items[2], &group, reply)) {
        return SESSION_ANSWERED;
    }
    int rc = node_snapshot_find(session->server->node, group, &manifest);
    if (rc != 0) {
        command_snapshot_say(group, rc, reply);
    } else {
        reply_bulk(reply, bytes_of(bytes, hf_snapshot_manifest_encode(&manifest, bytes)));
    }
    return SESSION_ANSWERED;
}

static void command_snapshot_finish_read(struct call *call, struct reply *reply)
{
    const struct part *part = call_part(call, 0);
    if (part->result != 0) {
        command_snapshot_say(part->group, part->result, reply);
    } else {
        reply_bulk(reply, buffer_bytes(&part->reply));
    }
}

static int command_snapshot_read(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct hf_snapshot_id id;
    uint64_t group;
    uint64_t chunk;
    if (!command_snapshot_group(session, arguments->items[2], &group, reply)) {
        return SESSION_ANSWERED;
    }
    if (hf_snapshot_id_parse(arguments->items[3], &id) != 0 || !argument_unsigned(arguments->items[4], &chunk) ||
        chunk >= HF_SNAPSHOT_CHUNK_COUNT_MAX) {
        reply_error(reply, "ERR RAFT.SNAPSHOT READ takes a group, the id of a snapshot and the number of a chunk");
        return SESSION_ANSWERED;
    }
    session->current->finish = command_snapshot_finish_read;
    call_make_parts(session->current, 1);
    struct part *part = call_part(session->current, 0);
    part->group = group;
    part->is_chunk = true;
    part->chunk = (uint32_t)chunk;
    part->snapshot = id;
    call_start_parts(session->current);
    return SESSION_LATER;
}

int command_snapshot_raft(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    uint64_t group = 0;
    if (arguments->count == 1) {
        return command_snapshot_take(session, 0);
    }
    if (arguments->count == 3 && argument_is(arguments->items[1], "group")) {
        return command_snapshot_group_from(session, arguments->items[2], NODE_SYSTEM_GROUP, &group, reply)
                   ? command_snapshot_take(session, group)
                   : SESSION_ANSWERED;
    }
    if (arguments->count == 3 && argument_is(arguments->items[1], "find")) {
        return command_snapshot_find(session, arguments, reply);
    }
    if (arguments->count == 5 && argument_is(arguments->items[1], "read")) {
        return command_snapshot_read(session, arguments, reply);
    }
    reply_error(reply, "ERR RAFT.SNAPSHOT takes nothing, GROUP group, FIND group, or READ group id chunk");
    return SESSION_ANSWERED;
}
