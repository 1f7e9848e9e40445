/* RAFT.*: what the groups are and do. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/machine.h"
#include "server/outcome.h"
#include "server/server_state.h"
#include "server/status_json.h"

#define COMMAND_RAFT_LOG_COUNT        10 /* entries shown unless COUNT says otherwise */
#define COMMAND_RAFT_LOG_COUNT_MAX    1000
#define COMMAND_RAFT_LOG_BYTES_MAX    (16u << 20)
#define COMMAND_RAFT_DIGEST_COUNT_MAX 100000 /* entries of one digest */
#define COMMAND_RAFT_UNITS_MAX        16u    /* commands shown of one entry */
#define COMMAND_RAFT_TEXT_MAX         64u    /* bytes shown of one argument */

static void command_raft_pair(struct reply *reply, const char *name, uint64_t value)
{
    reply_bulk_text(reply, name);
    reply_integer(reply, (int64_t)value);
}

static void command_raft_text(struct reply *reply, const char *name, const char *value)
{
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, value);
}

static const char *command_raft_role(const struct node_group_status *status)
{
    static const char *const names[] = {"follower", "candidate", "leader", "frozen"};
    return status->is_started ? names[status->replica.state] : "stopped";
}

/* A routed or system group's id. False when it answered an error. */
static bool command_raft_group(struct session *session, struct hf_bytes text, uint64_t *group, struct reply *reply)
{
    int64_t number = 0;
    uint64_t last = NODE_SYSTEM_GROUP + node_group_count(session->server->node);
    if (!argument_integer(text, &number) || number < NODE_SYSTEM_GROUP || (uint64_t)number > last) {
        reply_error(reply, "ERR there are the groups %u to %" PRIu64, NODE_SYSTEM_GROUP, last);
        return false;
    }
    *group = (uint64_t)number;
    return true;
}

/* ---- STATUS, GROUPS ---- */

static size_t command_raft_led(struct server *server, struct reply *reply)
{
    struct node_group_status status;
    size_t count = 0;
    for (uint32_t i = 0; node_group_status(server->node, i, &status) == 0; i++) {
        if (status.is_started && status.replica.state == REPLICA_LEADER) {
            count++;
            if (reply != NULL) {
                reply_integer(reply, (int64_t)status.group);
            }
        }
    }
    return count;
}

static void command_raft_peers(struct server *server, struct reply *reply)
{
    const struct membership *membership = node_membership(server->node);
    size_t others = membership->count - (membership_find(membership, node_id(server->node)) != NULL);
    reply_bulk_text(reply, "peers");
    reply_array(reply, others);
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct description_node *member = &membership->members[i].node;
        struct peer_status status = {0};
        if (member->id == node_id(server->node)) {
            continue;
        }
        peer_status(node_peers(server->node), member->id, &status);
        reply_map(reply, 4);
        command_raft_pair(reply, "node", member->id);
        command_raft_text(reply, "address", member->client_address);
        reply_bulk_text(reply, "up");
        reply_boolean(reply, status.up);
        command_raft_text(reply, "error", status.last_error);
    }
}

int command_raft_status(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct server *server = session->server;
    char cluster[33];
    if (arguments->count > 2 || (arguments->count == 2 && !argument_is(arguments->items[1], "json"))) {
        argument_reply_syntax(reply);
        return SESSION_ANSWERED;
    }
    if (arguments->count == 2) {
        struct buffer json = {0};
        server_status_json(server, &json);
        reply_bulk(reply, buffer_bytes(&json));
        buffer_close(&json);
        return SESSION_ANSWERED;
    }
    description_cluster_id_text(node_description(server->node), cluster);
    reply_map(reply, 9);
    command_raft_pair(reply, "node", node_id(server->node));
    command_raft_text(reply, "cluster", cluster);
    command_raft_text(reply, "version", HF_VERSION);
    command_raft_text(reply, "address", server_client_address(server));
    command_raft_text(reply, "http", server_http_address(server));
    command_raft_pair(reply, "nodes", node_membership(server->node)->count);
    command_raft_pair(reply, "groups", node_group_count(server->node));
    reply_bulk_text(reply, "leads");
    reply_array(reply, command_raft_led(server, NULL));
    command_raft_led(server, reply);
    command_raft_peers(server, reply);
    return SESSION_ANSWERED;
}

static void command_raft_group_row(const struct node_group_status *status, struct reply *reply)
{
    char digest[33];
    snprintf(digest, sizeof(digest), "%016" PRIx64 "%016" PRIx64, status->digest[1], status->digest[0]);
    reply_map(reply, 13);
    command_raft_pair(reply, "group", status->group);
    reply_bulk_text(reply, "ordinal");
    reply_integer(reply, status->ordinal == UINT32_MAX ? -1 : (int64_t)status->ordinal);
    command_raft_text(reply, "role", command_raft_role(status));
    command_raft_pair(reply, "leader", status->replica.leader);
    command_raft_pair(reply, "term", status->replica.term);
    command_raft_pair(reply, "commit", status->replica.commit_index);
    command_raft_pair(reply, "applied", status->replica.applied_index);
    command_raft_pair(reply, "first", status->replica.first_index);
    command_raft_pair(reply, "last", status->replica.last_index);
    command_raft_pair(reply, "lag", status->lag);
    command_raft_pair(reply, "log_bytes", status->log_bytes);
    command_raft_text(reply, "digest", digest);
    command_raft_text(reply, "text", status->text);
}

int command_raft_groups(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct node *node = session->server->node;
    struct node_group_status status;
    uint32_t count = 0;
    while (node_group_status(node, count, &status) == 0) {
        count++;
    }
    reply_array(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        node_group_status(node, i, &status);
        command_raft_group_row(&status, reply);
    }
    return SESSION_ANSWERED;
}

/* ---- LOG ---- */

static void command_raft_append_argument(struct buffer *line, struct hf_bytes argument)
{
    buffer_append_u8(line, ' ');
    size_t shown = argument.size < COMMAND_RAFT_TEXT_MAX ? argument.size : COMMAND_RAFT_TEXT_MAX;
    for (size_t i = 0; i < shown; i++) {
        char character = ((const char *)argument.data)[i];
        if (character > ' ' && character <= '~' && character != '\\') {
            buffer_append_u8(line, (uint8_t)character);
        } else {
            buffer_format(line, "\\x%02x", (uint8_t)character);
        }
    }
    if (argument.size == 0) {
        buffer_append_text(line, "\"\"");
    }
    if (shown < argument.size) {
        buffer_format(line, "...(%zu bytes)", argument.size);
    }
}

/* Every command of an entry as a line of text. */
static void command_raft_commands(struct hf_bytes payload, struct reply *reply)
{
    struct buffer lines = {0};
    size_t count = 0;
    struct machine_entry_reader reader;
    struct machine_unit unit;
    machine_entry_open(&reader, payload);
    while (machine_entry_next_unit(&reader, &unit)) {
        struct machine_watch watch;
        for (uint32_t i = 0; i < unit.watch_count; i++) {
            machine_entry_next_watch(&reader, &watch);
        }
        for (uint32_t i = 0; i < unit.command_count; i++) {
            const struct command_spec *spec;
            struct arguments arguments;
            machine_entry_next_command(&reader, &spec, &arguments);
            if (count++ >= COMMAND_RAFT_UNITS_MAX) {
                continue;
            }
            struct buffer line = {0};
            buffer_append_text(&line, spec->name);
            for (size_t k = 1; k < arguments.count; k++) {
                command_raft_append_argument(&line, arguments.items[k]);
            }
            buffer_append_sized(&lines, buffer_bytes(&line));
            buffer_close(&line);
        }
    }
    machine_entry_close(&reader);
    size_t shown = count < COMMAND_RAFT_UNITS_MAX ? count : COMMAND_RAFT_UNITS_MAX;
    struct cursor cursor = cursor_of(buffer_bytes(&lines));
    reply_bulk_text(reply, "commands");
    reply_array(reply, shown);
    for (size_t i = 0; i < shown; i++) {
        reply_bulk(reply, cursor_sized(&cursor, UINT32_MAX));
    }
    buffer_close(&lines);
}

static void command_raft_entry(uint64_t group, const struct hf_entry *entry, struct reply *reply)
{
    static const char *const types[] = {"", "normal", "configuration", "noop", "snapshot-marker"};
    bool is_decoded =
        group != NODE_SYSTEM_GROUP && entry->type == HF_ENTRY_NORMAL && machine_entry_validate(entry->payload) == 0;
    reply_map(reply, is_decoded ? 6 : 5);
    command_raft_pair(reply, "index", entry->index);
    command_raft_pair(reply, "term", entry->term);
    command_raft_text(reply, "type", entry->type <= HF_ENTRY_SNAPSHOT_MARKER ? types[entry->type] : "unknown");
    command_raft_pair(reply, "stamp_ms", entry->timestamp_ms);
    command_raft_pair(reply, "bytes", entry->payload.size);
    if (is_decoded) {
        command_raft_commands(entry->payload, reply);
    }
}

/* FROM and COUNT. from 0: not given. False when it answered an error. */
static bool command_raft_log_options(const struct arguments *arguments, int64_t *from, int64_t *count,
                                     struct reply *reply)
{
    for (size_t i = 2; i < arguments->count; i += 2) {
        bool is_from = argument_is(arguments->items[i], "from");
        if (i + 1 == arguments->count || (!is_from && !argument_is(arguments->items[i], "count"))) {
            argument_reply_syntax(reply);
            return false;
        }
        int64_t *value = is_from ? from : count;
        if (!argument_integer(arguments->items[i + 1], value) || *value < 1 ||
            (!is_from && *value > COMMAND_RAFT_LOG_COUNT_MAX)) {
            reply_error(reply, "ERR FROM is an index from 1 on, COUNT a number from 1 to %d",
                        COMMAND_RAFT_LOG_COUNT_MAX);
            return false;
        }
    }
    return true;
}

/* RAFT.LOG group DIGEST from to: both ends are part of it. */
static void command_raft_digest(struct session *session, uint64_t group, const struct arguments *arguments,
                                struct reply *reply)
{
    struct hf_log *log = node_log(session->server->node);
    struct hf_log_view view = {0};
    int64_t from = 0;
    int64_t to = 0;
    if (arguments->count != 5 || !argument_integer(arguments->items[3], &from) ||
        !argument_integer(arguments->items[4], &to) || from < 1 || to < from ||
        to - from >= COMMAND_RAFT_DIGEST_COUNT_MAX) {
        reply_error(reply, "ERR DIGEST takes two indexes, at most %d entries apart", COMMAND_RAFT_DIGEST_COUNT_MAX);
        return;
    }
    uint64_t low = (uint64_t)from;
    uint64_t high = (uint64_t)to + 1;
    uint8_t digest[HF_LOG_DIGEST_SIZE];
    char text[2 * HF_LOG_DIGEST_SIZE + 1];
    /* The loop waits for it, so that its size is bounded too. */
    int rc = hf_log_read(log, group, low, high, COMMAND_RAFT_LOG_BYTES_MAX, 0, &view);
    bool cut = rc == 0 && view.count < high - low && view.entries[view.count - 1].index < (uint64_t)to;
    hf_log_view_close(&view);
    struct hf_log_group_state state;
    hf_log_group_state(log, group, &state);
    if (cut && state.last_index >= (uint64_t)to) {
        reply_error(reply, "ERR the entries are larger than %u bytes: ask for fewer", COMMAND_RAFT_LOG_BYTES_MAX);
        return;
    }
    rc = rc == 0 ? hf_log_digest(log, group, low, high, digest) : rc;
    if (rc != 0) {
        reply_error(reply, "ERR group %" PRIu64 ": %s", group, hf_error_text());
        return;
    }
    for (size_t i = 0; i < HF_LOG_DIGEST_SIZE; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    reply_bulk_text(reply, text);
}

int command_raft_log(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct hf_log *log = node_log(session->server->node);
    struct hf_log_group_state state;
    uint64_t group = 0;
    int64_t from = 0;
    int64_t count = COMMAND_RAFT_LOG_COUNT;
    if (!command_raft_group(session, arguments->items[1], &group, reply)) {
        return SESSION_ANSWERED;
    }
    if (arguments->count > 2 && argument_is(arguments->items[2], "digest")) {
        command_raft_digest(session, group, arguments, reply);
        return SESSION_ANSWERED;
    }
    if (!command_raft_log_options(arguments, &from, &count, reply)) {
        return SESSION_ANSWERED;
    }
    int rc = hf_log_group_state(log, group, &state);
    if (rc != 0) {
        reply_error(reply, "ERR group %" PRIu64 ": %s", group, hf_error_text());
        return SESSION_ANSWERED;
    }
    uint64_t end = state.last_index + 1;
    uint64_t low = (uint64_t)from;
    if (from == 0) { /* the newest */
        low = end > (uint64_t)count ? end - (uint64_t)count : 1;
    }
    low = low > state.first_index ? low : state.first_index;
    uint64_t high = low < end && end - low > (uint64_t)count ? low + (uint64_t)count : end;
    struct hf_log_view view = {0};
    if (low < high) {
        rc = hf_log_read(log, group, low, high, COMMAND_RAFT_LOG_BYTES_MAX, (size_t)count, &view);
    }
    if (rc != 0) {
        reply_error(reply, "ERR group %" PRIu64 ": %s", group, hf_error_text());
        return SESSION_ANSWERED;
    }
    reply_array(reply, view.count);
    for (size_t i = 0; i < view.count; i++) {
        command_raft_entry(group, &view.entries[i], reply);
    }
    hf_log_view_close(&view);
    return SESSION_ANSWERED;
}

/* ---- REPAIR ---- */

int command_raft_repair(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    uint64_t group = 0;
    int64_t numbers[3] = {0};
    struct buffer answer = {0};
    if (!command_raft_group(session, arguments->items[1], &group, reply)) {
        return SESSION_ANSWERED;
    }
    bool is_good = true;
    for (size_t i = 0; i < 3; i++) {
        is_good = is_good && argument_integer(arguments->items[i + 2], &numbers[i]) && numbers[i] >= (i == 0 ? 0 : 1);
    }
    if (!is_good || numbers[2] < numbers[1]) {
        reply_error(reply, "ERR a term, and indexes from 1 on that run forward");
        return SESSION_ANSWERED;
    }
    const struct repair_request request = {
        .term = (uint64_t)numbers[0], .first = (uint64_t)numbers[1], .last = (uint64_t)numbers[2]};
    node_repair_answer(session->server->node, group, &request, &answer);
    reply_bulk(reply, buffer_bytes(&answer));
    buffer_close(&answer);
    return SESSION_ANSWERED;
}

/* ---- BARRIER, READ, TRANSFER ---- */

static void command_raft_finish_barrier(struct call *call, struct reply *reply)
{
    for (uint32_t i = 0; i < call->part_count; i++) {
        const struct part *part = call_part(call, i);
        if (part->result != 0) {
            struct outcome outcome = {part->result, part->group, 0, false};
            outcome_reply(reply, &outcome);
            return;
        }
    }
    reply_status(reply, "OK");
}

int command_raft_barrier(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    uint64_t first = NODE_GROUP_FIRST;
    uint32_t count = node_group_count(session->server->node);
    if (arguments->count > 2) {
        argument_reply_syntax(reply);
        return SESSION_ANSWERED;
    }
    if (arguments->count == 2) {
        if (!command_raft_group(session, arguments->items[1], &first, reply)) {
            return SESSION_ANSWERED;
        }
        count = 1;
    }
    session->current->finish = command_raft_finish_barrier;
    call_make_parts(session->current, count);
    for (uint32_t i = 0; i < count; i++) {
        session->current->parts[i].group = first + i;
        session->current->parts[i].is_barrier = true;
    }
    call_start_parts(session->current);
    return SESSION_LATER;
}

int command_raft_read(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (arguments->count == 1) {
        reply_bulk_text(reply, session->read_mode == NODE_READ_STALE ? "stale" : "linearizable");
    } else if (arguments->count == 2 && argument_is(arguments->items[1], "linearizable")) {
        session->read_mode = NODE_READ_LINEARIZABLE;
        reply_status(reply, "OK");
    } else if (arguments->count == 2 && argument_is(arguments->items[1], "stale")) {
        session->read_mode = NODE_READ_STALE;
        reply_status(reply, "OK");
    } else {
        argument_reply_syntax(reply);
    }
    return SESSION_ANSWERED;
}

static void command_raft_say_transfer(uint64_t group, int rc, struct reply *reply)
{
    if (rc == 0) {
        reply_status(reply, "OK");
    } else if (rc == HF_ENOLEADER || rc == HF_ECLOSED) {
        struct outcome outcome = {rc, group, 0, false};
        outcome_reply(reply, &outcome);
    } else {
        reply_error(reply, "%s %s", rc == HF_EBUSY ? "BUSY" : "ERR", hf_error_text());
    }
}

static void command_raft_finish_transfer(struct call *call, struct reply *reply)
{
    const struct part *part = call_part(call, 0);
    command_raft_say_transfer(part->group, part->result, reply);
}

int command_raft_transfer(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    uint64_t group = 0;
    int64_t to_node = 0;
    if (!command_raft_group(session, arguments->items[1], &group, reply)) {
        return SESSION_ANSWERED;
    }
    if (arguments->count > 3 ||
        (arguments->count == 3 && (!argument_integer(arguments->items[2], &to_node) || to_node < 1))) {
        reply_error(reply, "ERR RAFT.TRANSFER takes a group and the id of a node");
        return SESSION_ANSWERED;
    }
    int rc = node_transfer(session->server->node, group, (uint64_t)to_node);
    if (rc != HF_ENOTLEADER) {
        command_raft_say_transfer(group, rc, reply);
        return SESSION_ANSWERED;
    }
    session->current->finish = command_raft_finish_transfer;
    call_make_parts(session->current, 1);
    session->current->parts[0].group = group;
    session->current->parts[0].is_transfer = true;
    session->current->parts[0].to_node = (uint64_t)to_node;
    call_start_parts(session->current);
    return SESSION_LATER;
}
