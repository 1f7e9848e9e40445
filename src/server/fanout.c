#include "server/fanout.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "server/machine.h"
#include "server/outcome.h"
#include "server/server_state.h"

/* ---- merging ---- */

/* For MGET: which part holds the answer to which key. */
struct fanout_plan {
    uint32_t key_count;
    uint32_t part_of[];
};

static bool fanout_is_error(const struct part *part)
{
    return part->reply.size > 0 && part->reply.data[0] == '-';
}

/* True when a part failed or answered an error: then that is the answer to the whole. */
static bool fanout_answer_failure(struct call *call, struct reply *reply)
{
    const struct part *failed = NULL;
    const struct part *refused = NULL;
    bool some_wrote = false;
    for (uint32_t i = 0; i < call->part_count; i++) {
        const struct part *part = call_part(call, i);
        if (part->result != 0) {
            /* The worst is what is shown: not knowing. */
            failed = failed == NULL || part->result == HF_EINDETERMINATE ? part : failed;
        } else if (fanout_is_error(part)) {
            refused = part;
        } else {
            some_wrote = some_wrote || part->is_write;
        }
    }
    if (failed != NULL) {
        struct outcome outcome = {failed->result, failed->group, failed->index, failed->is_write};
        if (some_wrote) {
            outcome_reply_partial(reply, &outcome);
        } else {
            outcome_reply(reply, &outcome);
        }
        return true;
    }
    if (refused != NULL) {
        reply_raw(reply, buffer_bytes(&refused->reply));
        return true;
    }
    return false;
}

static void fanout_broken(struct reply *reply)
{
    reply_restart(reply);
    reply_error(reply, "ERR a group's answer could not be read");
}

/* DBSIZE, EXISTS, DEL, UNLINK, TOUCH. */
static void fanout_sum(struct call *call, struct reply *reply)
{
    if (fanout_answer_failure(call, reply)) {
        return;
    }
    int64_t sum = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct resp_element element;
        size_t at = 0;
        if (resp_next_element(buffer_bytes(&call_part(call, i)->reply), &at, &element) != 0 || element.type != ':') {
            fanout_broken(reply);
            return;
        }
        sum += element.number;
    }
    reply_integer(reply, sum);
}

/* FLUSHDB, FLUSHALL: all say OK. */
static void fanout_first(struct call *call, struct reply *reply)
{
    if (!fanout_answer_failure(call, reply)) {
        reply_raw(reply, buffer_bytes(&call_part(call, 0)->reply));
    }
}

/* The number of elements of each part's array, and where they begin. */
static bool fanout_array_heads(struct call *call, size_t *at, uint64_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct resp_element element;
        at[i] = 0;
        if (resp_next_element(buffer_bytes(&call_part(call, i)->reply), &at[i], &element) != 0 || element.is_null ||
            (element.type != '*' && element.type != '~')) {
            return false;
        }
        *count += (uint64_t)element.number;
    }
    return true;
}

/* KEYS: one array behind the other. */
static void fanout_join(struct call *call, struct reply *reply)
{
    if (fanout_answer_failure(call, reply)) {
        return;
    }
    size_t *at = memory_new(call->part_count * sizeof(*at));
    uint64_t count = 0;
    if (!fanout_array_heads(call, at, &count)) {
        fanout_broken(reply);
    } else {
        reply_array(reply, count);
        for (uint32_t i = 0; i < call->part_count; i++) {
            const struct buffer *part = &call_part(call, i)->reply;
            reply_raw(reply, bytes_of(part->data + at[i], part->size - at[i]));
        }
    }
    free(at);
}

/* MGET: the answers in the order of the keys. */
static void fanout_interleave(struct call *call, struct reply *reply)
{
    const struct fanout_plan *plan = call->state;
    if (fanout_answer_failure(call, reply)) {
        return;
    }
    size_t *at = memory_new(call->part_count * sizeof(*at));
    uint64_t count = 0;
    bool is_good = fanout_array_heads(call, at, &count) && count == plan->key_count;
    if (is_good) {
        reply_array(reply, plan->key_count);
    }
    for (uint32_t i = 0; i < plan->key_count && is_good; i++) {
        uint32_t position = plan->part_of[i];
        struct hf_bytes answer = buffer_bytes(&call_part(call, position)->reply);
        size_t start = at[position];
        is_good = resp_skip_value(answer, &at[position]) == 0;
        reply_raw(reply, bytes_of((const uint8_t *)answer.data + start, at[position] - start));
    }
    if (!is_good) {
        fanout_broken(reply);
    }
    free(at);
}

/* RANDOMKEY: one of the groups' keys. */
static void fanout_pick(struct call *call, struct reply *reply)
{
    if (fanout_answer_failure(call, reply)) {
        return;
    }
    uint64_t first = hash_mix_64(call->started_ns) % call->part_count;
    for (uint32_t i = 0; i < call->part_count; i++) {
        const struct part *part = call_part(call, (uint32_t)((first + i) % call->part_count));
        struct resp_element element;
        size_t at = 0;
        if (resp_next_element(buffer_bytes(&part->reply), &at, &element) == 0 && !element.is_null) {
            reply_raw(reply, buffer_bytes(&part->reply));
            return;
        }
    }
    reply_null(reply);
}

static call_finish *fanout_finish_of(const struct command_spec *spec)
{
    switch (spec->number) {
    case COMMAND_NUMBER_MGET:
        return fanout_interleave;
    case COMMAND_NUMBER_KEYS:
        return fanout_join;
    case COMMAND_NUMBER_RANDOMKEY:
        return fanout_pick;
    case COMMAND_NUMBER_FLUSHDB:
    case COMMAND_NUMBER_FLUSHALL:
        return fanout_first;
    default:
        return fanout_sum;
    }
}

/* ---- splitting ---- */

/* Which part each key goes to; groups[i]: the group of part i. Returns the number of parts. */
static uint32_t fanout_split(struct session *session, const struct command_spec *spec,
                             const struct arguments *arguments, struct fanout_plan *plan, uint64_t *groups)
{
    struct map parts = {0}; /* group → part number + 1 */
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->key_count; i++) {
        uint64_t group = node_route(session->server->node, command_key_at(spec, arguments, i));
        uintptr_t known = (uintptr_t)map_get(&parts, group);
        if (known == 0) {
            groups[count] = group;
            known = ++count;
            map_put(&parts, group, (void *)known);
        }
        plan->part_of[i] = (uint32_t)known - 1;
    }
    map_close(&parts);
    return count;
}

/* Builds each part's command: the name and its keys, in their order. */
static void fanout_fill(struct session *session, const struct command_spec *spec, const struct arguments *arguments,
                        const struct fanout_plan *plan)
{
    struct call *call = session->current;
    uint32_t *sizes = memory_new((call->part_count + 1) * sizeof(*sizes)); /* where each part's arguments end */
    for (uint32_t i = 0; i < plan->key_count; i++) {
        sizes[plan->part_of[i]]++;
    }
    size_t total = plan->key_count + call->part_count;
    struct hf_bytes *items = memory_new(total * sizeof(*items));
    uint32_t end = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        uint32_t start = end;
        end += sizes[i] + 1;
        items[start] = arguments->items[0];
        sizes[i] = start + 1;
    }
    for (uint32_t i = 0; i < plan->key_count; i++) {
        items[sizes[plan->part_of[i]]++] = command_key_at(spec, arguments, i);
    }
    uint32_t start = 0;
    for (uint32_t i = 0; i < call->part_count; i++) {
        struct arguments own = {items + start, sizes[i] - start};
        machine_unit_command(&call->parts[i].command, session->protocol, spec, &own);
        call->parts[i].is_write = (spec->flags & COMMAND_WRITE) != 0;
        start = sizes[i];
    }
    free(items);
    free(sizes);
}

void fanout_start_keys(struct session *session, const struct command_spec *spec, const struct arguments *arguments)
{
    struct call *call = session->current;
    uint32_t key_count = (uint32_t)command_key_count(spec, arguments);
    struct fanout_plan *plan = memory_new(sizeof(*plan) + key_count * sizeof(uint32_t));
    uint64_t *groups = memory_new(key_count * sizeof(*groups));
    plan->key_count = key_count;
    uint32_t part_count = fanout_split(session, spec, arguments, plan, groups);
    call->state = plan;
    if (part_count == 1) {
        struct buffer *unit = &session->server->unit;
        buffer_clear(unit);
        machine_unit_command(unit, session->protocol, spec, arguments);
        call_start(call, groups[0], (spec->flags & COMMAND_WRITE) != 0, buffer_bytes(unit));
    } else {
        call->finish = fanout_finish_of(spec);
        call_make_parts(call, part_count);
        for (uint32_t i = 0; i < part_count; i++) {
            call->parts[i].group = groups[i];
        }
        fanout_fill(session, spec, arguments, plan);
        call_start_parts(call);
    }
    free(groups);
}

void fanout_start_everywhere(struct session *session, const struct command_spec *spec,
                             const struct arguments *arguments)
{
    struct call *call = session->current;
    uint32_t group_count = node_group_count(session->server->node);
    call->finish = fanout_finish_of(spec);
    call_make_parts(call, group_count);
    for (uint32_t i = 0; i < group_count; i++) {
        struct part *part = &call->parts[i];
        part->group = NODE_GROUP_FIRST + i;
        part->is_write = (spec->flags & COMMAND_WRITE) != 0;
        machine_unit_command(&part->command, session->protocol, spec, arguments);
    }
    call_start_parts(call);
}
