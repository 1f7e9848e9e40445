#include "server/transaction.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "server/machine.h"
#include "server/outcome.h"
#include "server/server_state.h"

struct transaction {
    uint64_t serial; /* tells the answer to an old WATCH from one to this transaction's */
    bool is_open;
    bool is_spoilt;
    struct buffer commands; /* per command: pointer to its row, u32 count, then sized arguments */
    uint32_t command_count;
    struct machine_watch *watches; /* keys are offsets into keys until EXEC */
    size_t watch_count;
    size_t watch_capacity;
    struct buffer keys;       /* sized, in the order of watches */
    unsigned watches_pending; /* WATCH commands on their way */
};

static struct transaction *transaction_of(struct session *session)
{
    static uint64_t serial_next = 1;
    if (session->transaction == NULL) {
        session->transaction = memory_new(sizeof(*session->transaction));
        session->transaction->serial = serial_next++;
    }
    return session->transaction;
}

bool transaction_is_open(const struct session *session)
{
    return session->transaction != NULL && session->transaction->is_open;
}

bool transaction_must_wait(const struct session *session)
{
    return session->transaction != NULL && session->transaction->watches_pending > 0;
}

size_t transaction_queued(const struct session *session)
{
    return transaction_is_open(session) ? session->transaction->command_count : 0;
}

size_t transaction_watched(const struct session *session)
{
    return session->transaction != NULL ? session->transaction->watch_count : 0;
}

void transaction_spoil(struct session *session)
{
    session->transaction->is_spoilt = true;
}

void transaction_drop(struct session *session)
{
    struct transaction *transaction = session->transaction;
    if (transaction == NULL) {
        return;
    }
    buffer_close(&transaction->commands);
    buffer_close(&transaction->keys);
    free(transaction->watches);
    free(transaction);
    session->transaction = NULL;
}

/* ---- MULTI and what follows it ---- */

static void transaction_append_command(struct transaction *transaction, const struct command_spec *spec,
                                       const struct arguments *arguments)
{
    buffer_append(&transaction->commands, &spec, sizeof(spec));
    buffer_append_u32(&transaction->commands, (uint32_t)arguments->count);
    for (size_t i = 0; i < arguments->count; i++) {
        buffer_append_sized(&transaction->commands, arguments->items[i]);
    }
    transaction->command_count++;
}

void transaction_queue(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                       struct reply *reply)
{
    struct transaction *transaction = session->transaction;
    bool is_data = spec->execute != NULL;
    if ((spec->flags & COMMAND_NO_MULTI) != 0) {
        reply_error(reply, "ERR Command not allowed inside a transaction");
    } else if (is_data && spec->first_key == 0 && node_group_count(session->server->node) > 1) {
        reply_error(reply, "CROSSGROUP '%s' concerns every group and cannot be part of a transaction", spec->name);
    } else if (is_data && machine_check(spec, arguments, reply) != 0) {
        ; /* the reply says why */
    } else if (transaction->command_count == MACHINE_ENTRY_COMMANDS_MAX ||
               transaction->commands.size + machine_unit_command_size(arguments) > TRANSACTION_SIZE_MAX) {
        reply_error(reply, "ERR the transaction is above its limit of %u bytes or %u commands", TRANSACTION_SIZE_MAX,
                    MACHINE_ENTRY_COMMANDS_MAX);
    } else {
        transaction_append_command(transaction, spec, arguments);
        reply_status(reply, "QUEUED");
        return;
    }
    transaction->is_spoilt = true;
}

int transaction_multi(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (transaction_is_open(session)) {
        reply_error(reply, "ERR MULTI calls can not be nested");
    } else {
        transaction_of(session)->is_open = true;
        reply_status(reply, "OK");
    }
    return SESSION_ANSWERED;
}

int transaction_discard(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (!transaction_is_open(session)) {
        reply_error(reply, "ERR DISCARD without MULTI");
    } else {
        transaction_drop(session);
        reply_status(reply, "OK");
    }
    return SESSION_ANSWERED;
}

/* ---- EXEC ---- */

/* Walks the queued commands. */
struct transaction_walk {
    struct cursor cursor;
    struct hf_bytes *items;
    size_t capacity;
};

static const struct command_spec *transaction_next(struct transaction_walk *walk, struct arguments *arguments)
{
    if (walk->cursor.left == 0) {
        return NULL;
    }
    const struct command_spec *spec = NULL;
    memcpy(&spec, cursor_bytes(&walk->cursor, sizeof(spec)).data, sizeof(spec));
    size_t count = cursor_u32(&walk->cursor);
    if (count > walk->capacity) {
        walk->capacity = count;
        walk->items = memory_resize(walk->items, count * sizeof(*walk->items));
    }
    for (size_t i = 0; i < count; i++) {
        walk->items[i] = cursor_sized(&walk->cursor, UINT32_MAX);
    }
    assert(!walk->cursor.failed);
    *arguments = (struct arguments){walk->items, count};
    return spec;
}

struct transaction_target {
    uint64_t group; /* 0: none yet */
    bool is_crossing;
    bool is_write;
    bool has_data;
};

static void transaction_aim(struct transaction_target *target, uint64_t group)
{
    target->is_crossing = target->is_crossing || (target->group != 0 && target->group != group);
    target->group = group;
}

/* The one group that all keys, also the watched ones, belong to. */
static struct transaction_target transaction_find_target(struct session *session)
{
    struct transaction *transaction = session->transaction;
    struct node *node = session->server->node;
    struct transaction_target target = {0};
    struct transaction_walk walk = {.cursor = cursor_of(buffer_bytes(&transaction->commands))};
    struct arguments arguments;
    const struct command_spec *spec;
    while ((spec = transaction_next(&walk, &arguments)) != NULL) {
        uint64_t group = 0;
        int rc = session_group_of(session, spec, &arguments, &group);
        target.is_crossing = target.is_crossing || rc == HF_ECONFLICT;
        if (rc == 0) {
            transaction_aim(&target, group);
        } else if (spec->execute != NULL) {
            transaction_aim(&target, NODE_GROUP_FIRST); /* no key: there is only one group */
        }
        target.has_data = target.has_data || spec->execute != NULL;
        target.is_write = target.is_write || (spec->flags & COMMAND_WRITE) != 0;
    }
    free(walk.items);
    struct cursor keys = cursor_of(buffer_bytes(&transaction->keys));
    for (size_t i = 0; i < transaction->watch_count; i++) {
        struct hf_bytes key = cursor_sized(&keys, UINT32_MAX);
        transaction->watches[i].key = key;
        transaction_aim(&target, node_route(node, key));
    }
    return target;
}

/* Appends the queued commands as bodies. What is about the connection runs now; its answer is what travels. */
static void transaction_append_bodies(struct session *session, struct buffer *unit)
{
    struct transaction_walk walk = {.cursor = cursor_of(buffer_bytes(&session->transaction->commands))};
    struct arguments arguments;
    const struct command_spec *spec;
    while ((spec = transaction_next(&walk, &arguments)) != NULL) {
        if (spec->execute != NULL) {
            machine_unit_body(unit, spec, &arguments);
            continue;
        }
        struct buffer answer = {0};
        struct reply reply = reply_of(&answer, session->protocol);
        session_run_local(session, spec, &arguments, &reply);
        machine_unit_body_literal(unit, buffer_bytes(&answer));
        buffer_close(&answer);
    }
    free(walk.items);
}

/* Nothing about data: answered here. */
static void transaction_run_locally(struct session *session, struct reply *reply)
{
    struct transaction_walk walk = {.cursor = cursor_of(buffer_bytes(&session->transaction->commands))};
    struct arguments arguments;
    const struct command_spec *spec;
    reply_array(reply, session->transaction->command_count);
    while ((spec = transaction_next(&walk, &arguments)) != NULL) {
        session_run_local(session, spec, &arguments, reply);
    }
    free(walk.items);
}

static int transaction_send(struct session *session, const struct transaction_target *target, struct reply *reply)
{
    struct transaction *transaction = session->transaction;
    struct buffer *unit = &session->server->unit;
    buffer_clear(unit);
    machine_unit_transaction(unit, session->protocol, transaction->watches, transaction->watch_count,
                             transaction->command_count);
    transaction_append_bodies(session, unit);
    if (unit->size > NODE_COMMAND_SIZE_MAX) {
        reply_error(reply, "ERR the transaction is above the limit of %u bytes", NODE_COMMAND_SIZE_MAX);
        return SESSION_ANSWERED;
    }
    call_start(session->current, target->group, target->is_write, buffer_bytes(unit));
    return SESSION_LATER;
}

int transaction_exec(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    int result = SESSION_ANSWERED;
    if (!transaction_is_open(session)) {
        reply_error(reply, "ERR EXEC without MULTI");
        return result;
    }
    struct transaction_target target = transaction_find_target(session);
    session->transaction->is_open = false; /* what runs locally now is not queued again */
    if (session->transaction->is_spoilt) {
        reply_error(reply, "EXECABORT Transaction discarded because of previous errors.");
    } else if (target.is_crossing) {
        reply_error(reply,
                    "CROSSGROUP Keys of the transaction belong to different groups; a {tag} keeps keys together");
    } else if (target.group == 0) {
        transaction_run_locally(session, reply);
    } else {
        result = transaction_send(session, &target, reply);
    }
    transaction_drop(session);
    return result;
}

/* ---- WATCH ---- */

/* A WATCH on its way: a part per group, each a transaction of reads of versions. */
struct transaction_watching {
    uint64_t serial;
    uint32_t counts[]; /* keys per part; the keys stand in the call's memory, sized, part by part */
};

static void transaction_add_watch(struct transaction *transaction, struct hf_bytes key, struct machine_version version)
{
    if (transaction->watch_count == transaction->watch_capacity) {
        transaction->watch_capacity = transaction->watch_capacity > 0 ? transaction->watch_capacity * 2 : 8;
        transaction->watches =
            memory_resize(transaction->watches, transaction->watch_capacity * sizeof(*transaction->watches));
    }
    transaction->watches[transaction->watch_count++] = (struct machine_watch){.version = version};
    buffer_append_sized(&transaction->keys, key);
}

/* Reads one number of an answer. */
static int transaction_read_number(struct hf_bytes answer, size_t *at, char type, uint64_t *out)
{
    struct resp_element element;
    int rc = resp_next_element(answer, at, &element);
    if (rc == 0 && (element.type != type || element.number < 0)) {
        rc = error_raise(HF_EPROTOCOL, "a version is not what it should be");
    }
    *out = (uint64_t)element.number;
    return rc;
}

/* The answer: [[index, ordinal], …] in the order of the part's keys. */
static int transaction_take_versions(struct transaction *transaction, struct hf_bytes answer, uint32_t count,
                                     struct cursor *keys)
{
    size_t at = 0;
    uint64_t number = 0;
    int rc = transaction_read_number(answer, &at, '*', &number);
    if (rc == 0 && number != count) {
        return error_raise(HF_EPROTOCOL, "not as many versions as keys");
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct machine_version version = {0};
        uint64_t ordinal = 0;
        rc = transaction_read_number(answer, &at, '*', &number);
        if (rc == 0) {
            rc = transaction_read_number(answer, &at, ':', &version.index);
        }
        if (rc == 0) {
            rc = transaction_read_number(answer, &at, ':', &ordinal);
        }
        version.ordinal = (uint32_t)ordinal;
        if (rc == 0) {
            transaction_add_watch(transaction, cursor_sized(keys, UINT32_MAX), version);
        }
    }
    return rc;
}

/* All versions came, or not: the finish of WATCH. */
static void transaction_finish_watch(struct call *call, struct reply *reply)
{
    const struct transaction_watching *watching = call->state;
    struct transaction *transaction = call->session->transaction;
    bool is_current = transaction != NULL && transaction->serial == watching->serial;
    struct cursor keys = cursor_of(buffer_bytes(&call->memory));
    struct outcome outcome = {0};
    for (uint32_t i = 0; i < call->part_count && outcome.result == 0; i++) {
        const struct part *part = call_part(call, i);
        outcome = (struct outcome){.result = part->result, .group = part->group};
        if (outcome.result == 0 && is_current) {
            outcome.result =
                transaction_take_versions(transaction, buffer_bytes(&part->reply), watching->counts[i], &keys);
        }
    }
    if (is_current) {
        transaction->watches_pending--;
        transaction->is_spoilt = transaction->is_spoilt || outcome.result != 0; /* it may not run unwatched */
    }
    if (outcome.result != 0) {
        outcome_reply(reply, &outcome);
    } else {
        reply_status(reply, "OK");
    }
}

static bool transaction_may_watch(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    size_t bytes = 0;
    for (size_t i = 1; i < arguments->count; i++) {
        bytes += arguments->items[i].size;
        if (arguments->items[i].size > MACHINE_KEY_SIZE_MAX) {
            reply_error(reply, "ERR key is above the limit of %u bytes", MACHINE_KEY_SIZE_MAX);
            return false;
        }
    }
    if (transaction_watched(session) + arguments->count - 1 > MACHINE_ENTRY_WATCHES_MAX ||
        bytes > TRANSACTION_SIZE_MAX) {
        reply_error(reply, "ERR more than %u keys are watched", MACHINE_ENTRY_WATCHES_MAX);
        return false;
    }
    return true;
}

/* Puts the versions query for the keys of one group into the part; returns how many there are. */
static uint32_t transaction_fill_part(struct part *part, const struct arguments *arguments, const uint64_t *group_of)
{
    const struct command_spec *version = command_by_number(COMMAND_NUMBER_VERSION);
    uint32_t count = 0;
    for (size_t i = 1; i < arguments->count; i++) {
        count += group_of[i] == part->group;
    }
    machine_unit_transaction(&part->command, 2, NULL, 0, count);
    for (size_t i = 1; i < arguments->count; i++) {
        if (group_of[i] == part->group) {
            struct hf_bytes items[] = {bytes_of_text(version->name), arguments->items[i]};
            struct arguments body = {items, 2};
            machine_unit_body(&part->command, version, &body);
            buffer_append_sized(&part->call->memory, arguments->items[i]);
        }
    }
    return count;
}

int transaction_watch(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (transaction_is_open(session)) {
        reply_error(reply, "ERR WATCH inside MULTI is not allowed");
        return SESSION_ANSWERED;
    }
    if (!transaction_may_watch(session, arguments, reply)) {
        return SESSION_ANSWERED;
    }
    struct transaction *transaction = transaction_of(session);
    struct call *call = session->current;
    uint64_t *group_of = memory_new(arguments->count * sizeof(*group_of));
    uint64_t *groups = memory_new(arguments->count * sizeof(*groups));
    uint32_t group_count = 0;
    struct map seen = {0};
    for (size_t i = 1; i < arguments->count; i++) {
        group_of[i] = node_route(session->server->node, arguments->items[i]);
        if (map_put(&seen, group_of[i], session) == NULL) {
            groups[group_count++] = group_of[i];
        }
    }
    map_close(&seen);
    struct transaction_watching *watching = memory_new(sizeof(*watching) + group_count * sizeof(uint32_t));
    watching->serial = transaction->serial;
    call->state = watching;
    call->finish = transaction_finish_watch;
    call_make_parts(call, group_count);
    for (uint32_t i = 0; i < group_count; i++) {
        call->parts[i].group = groups[i];
        watching->counts[i] = transaction_fill_part(&call->parts[i], arguments, group_of);
    }
    free(groups);
    free(group_of);
    transaction->watches_pending++;
    call_start_parts(call);
    return SESSION_LATER;
}

int transaction_unwatch(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (!transaction_is_open(session)) {
        transaction_drop(session);
    }
    reply_status(reply, "OK");
    return SESSION_ANSWERED;
}
