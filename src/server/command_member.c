/* RAFT.MEMBERS and the commands that change the members. What is asked is checked by the node (node/member_change.h)
 * and decided by the system group (node/membership.h); the groups follow by themselves (node/reconcile.h), so an OK
 * means that it is agreed on, and RAFT.MEMBERS shows how far the groups are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/members_json.h"
#include "server/server_state.h"

/* ---- Answers ---- */

static void command_member_refuse(struct reply *reply, int result, const char *text)
{
    const char *code = result == HF_EUNSAFE                             ? "UNSAFE"
                       : result == HF_EINDETERMINATE                    ? "INDETERMINATE"
                       : result == HF_ENOLEADER || result == HF_ECLOSED ? "CLUSTERDOWN"
                                                                        : "ERR";
    reply_error(reply, "%s %s", code, text);
}

/* The outcome of the only part; members is set after a JOIN. False when it answered an error. */
static bool command_member_outcome(struct call *call, struct membership_outcome *outcome, struct hf_bytes *members,
                                   struct reply *reply)
{
    const struct part *part = call_part(call, 0);
    int rc = part->result;
    if (rc == 0) {
        rc = membership_outcome_decode(buffer_bytes(&part->reply), outcome, members);
    }
    if (rc != 0) {
        command_member_refuse(reply, rc, hf_error_text());
        return false;
    }
    if (outcome->result != 0) {
        command_member_refuse(reply, outcome->result, outcome->text);
        return false;
    }
    return true;
}

static void command_member_finish(struct call *call, struct reply *reply)
{
    struct membership_outcome outcome;
    struct hf_bytes members;
    if (command_member_outcome(call, &outcome, &members, reply)) {
        reply_status(reply, "OK");
    }
}

/* What the new node's data directory is made of. */
static void command_member_finish_join(struct call *call, struct reply *reply)
{
    struct membership_outcome outcome;
    struct hf_bytes members;
    struct buffer description = {0};
    if (!command_member_outcome(call, &outcome, &members, reply)) {
        return;
    }
    description_encode(node_description(call->server->node), &description);
    reply_array(reply, 3);
    reply_integer(reply, (int64_t)outcome.node_id);
    reply_bulk(reply, buffer_bytes(&description));
    reply_bulk(reply, members);
    buffer_close(&description);
}

/* ---- Starting a change ---- */

static int command_member_start(struct session *session, const struct membership_change *change, bool is_dry,
                                struct reply *reply)
{
    struct call *call = session->current;
    if (is_dry) {
        int rc = node_check_change(session->server->node, change);
        if (rc != 0) {
            command_member_refuse(reply, rc, hf_error_text());
        } else {
            reply_status(reply, "OK, and nothing was changed");
        }
        return SESSION_ANSWERED;
    }
    struct membership_change *kept = memory_new(sizeof(*kept));
    *kept = *change;
    call->state = kept;
    call->finish = change->kind == MEMBERSHIP_JOIN ? command_member_finish_join : command_member_finish;
    call_make_parts(call, 1);
    call->parts[0].group = NODE_SYSTEM_GROUP;
    call->parts[0].change = kept;
    call_start_parts(call);
    return SESSION_LATER;
}

/* FORCE, DRYRUN and STANDBY behind position `first`, as far as they are allowed. */
struct command_member_options {
    bool is_forced;
    bool is_dry;
    bool is_standby;
};
static bool command_member_options(const struct arguments *arguments, size_t first, const char *allowed,
                                   struct command_member_options *out, struct reply *reply)
{
    *out = (struct command_member_options){0};
    for (size_t i = first; i < arguments->count; i++) {
        struct hf_bytes item = arguments->items[i];
        if (argument_is(item, "force") && strchr(allowed, 'f') != NULL) {
            out->is_forced = true;
        } else if (argument_is(item, "dryrun")) {
            out->is_dry = true;
        } else if (argument_is(item, "standby") && strchr(allowed, 's') != NULL) {
            out->is_standby = true;
        } else {
            argument_reply_syntax(reply);
            return false;
        }
    }
    return true;
}

static bool command_member_id(struct hf_bytes text, uint64_t *id, struct reply *reply)
{
    int64_t number = 0;
    if (!argument_integer(text, &number) || number < 1) {
        reply_error(reply, "ERR the id of a node is a number from 1 on");
        return false;
    }
    *id = (uint64_t)number;
    return true;
}

/* peer, client, http from position `first`; "-" for none. The form is checked where the change is decided. */
static bool command_member_addresses(const struct arguments *arguments, size_t first, struct description_node *node,
                                     struct reply *reply)
{
    char *const targets[] = {node->peer_address, node->client_address, node->http_address};
    for (size_t i = 0; i < 3; i++) {
        struct hf_bytes text = arguments->items[first + i];
        if (text.size >= DESCRIPTION_ADDRESS_SIZE_MAX || memchr(text.data, '\0', text.size) != NULL) {
            reply_error(reply, "ERR an address is host:port, or - for none");
            return false;
        }
        if (i > 0 && text.size == 1 && *(const char *)text.data == '-') {
            continue;
        }
        memcpy(targets[i], text.data, text.size);
    }
    return true;
}

/* ---- The commands ---- */

int command_member_list(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct buffer json = {0};
    if (arguments->count > 2 || (arguments->count == 2 && !argument_is(arguments->items[1], "json"))) {
        argument_reply_syntax(reply);
        return SESSION_ANSWERED;
    }
    if (arguments->count == 2) {
        members_json_write(session->server->node, &json);
        reply_bulk(reply, buffer_bytes(&json));
        buffer_close(&json);
        return SESSION_ANSWERED;
    }
    struct node *node = session->server->node;
    const struct membership *membership = node_membership(node);
    reply_array(reply, membership->count);
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct membership_member *member = &membership->members[i];
        struct members_json_groups groups;
        members_json_count(node, member->node.id, &groups);
        reply_map(reply, 8);
        reply_bulk_text(reply, "node");
        reply_integer(reply, (int64_t)member->node.id);
        reply_bulk_text(reply, "role");
        reply_bulk_text(reply, membership_role_name(member->role));
        reply_bulk_text(reply, "peer");
        reply_bulk_text(reply, member->node.peer_address);
        reply_bulk_text(reply, "address");
        reply_bulk_text(reply, member->node.client_address);
        reply_bulk_text(reply, "up");
        reply_boolean(reply, members_json_is_up(node, member->node.id));
        reply_bulk_text(reply, "votes_in");
        reply_integer(reply, groups.voter);
        reply_bulk_text(reply, "standby_in");
        reply_integer(reply, groups.standby);
        reply_bulk_text(reply, "groups");
        reply_integer(reply, groups.all);
    }
    return SESSION_ANSWERED;
}

/* RAFT.JOIN peer client http incarnation features [STANDBY] [DRYRUN] */
int command_member_join(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct membership_change change = {.kind = MEMBERSHIP_JOIN};
    struct command_member_options options;
    int64_t features = 0;
    if (!command_member_addresses(arguments, 1, &change.node, reply) ||
        !command_member_options(arguments, 6, "s", &options, reply)) {
        return SESSION_ANSWERED;
    }
    if (!argument_unsigned(arguments->items[4], &change.incarnation) || change.incarnation == 0 ||
        !argument_integer(arguments->items[5], &features) || features < 1 || features > UINT32_MAX) {
        reply_error(reply, "ERR RAFT.JOIN is sent by holdfast join, with the incarnation and the features of the node");
        return SESSION_ANSWERED;
    }
    change.feature_level = (uint32_t)features;
    change.role = options.is_standby ? MEMBERSHIP_STANDBY : MEMBERSHIP_VOTER;
    return command_member_start(session, &change, options.is_dry, reply);
}

static int command_member_set_role(struct session *session, const struct arguments *arguments,
                                   enum membership_role role, const char *allowed, struct reply *reply)
{
    struct membership_change change = {.kind = MEMBERSHIP_ROLE, .role = role};
    struct command_member_options options;
    if (!command_member_id(arguments->items[1], &change.node.id, reply) ||
        !command_member_options(arguments, 2, allowed, &options, reply)) {
        return SESSION_ANSWERED;
    }
    change.is_forced = options.is_forced;
    return command_member_start(session, &change, options.is_dry, reply);
}

int command_member_promote(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_member_set_role(session, arguments, MEMBERSHIP_VOTER, "", reply);
}

int command_member_demote(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_member_set_role(session, arguments, MEMBERSHIP_STANDBY, "f", reply);
}

int command_member_remove(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    return command_member_set_role(session, arguments, MEMBERSHIP_LEAVING, "f", reply);
}

/* RAFT.ADDRESS node peer client http [DRYRUN] */
int command_member_address(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct membership_change change = {.kind = MEMBERSHIP_ADDRESS};
    struct command_member_options options;
    if (!command_member_id(arguments->items[1], &change.node.id, reply) ||
        !command_member_addresses(arguments, 2, &change.node, reply) ||
        !command_member_options(arguments, 5, "", &options, reply)) {
        return SESSION_ANSWERED;
    }
    return command_member_start(session, &change, options.is_dry, reply);
}
