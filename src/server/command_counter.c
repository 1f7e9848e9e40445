/* INCR and its kin: decimal strings within int64. */
#include "base/bytes.h"
#include "server/argument.h"
#include "server/command_string.h"
#include "server/keyspace.h"
#include "server/machine.h"

static int counter_add(struct keyspace *keyspace, const struct arguments *arguments,
                       const struct machine_context *context, int64_t delta, struct reply *reply)
{
    char text[ARGUMENT_INTEGER_TEXT_MAX];
    struct keyspace_item item;
    int64_t value = 0;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    if (item.exists && !argument_integer_or_reply(item.value.payload, &value, reply)) {
        return 0;
    }
    if (__builtin_add_overflow(value, delta, &value)) {
        reply_error(reply, "ERR increment or decrement would overflow");
        return 0;
    }
    struct hf_bytes payload = argument_integer_text(value, text);
    reply_integer(reply, value);
    return keyspace_put_string(keyspace, context, arguments->items[1], &item, item.exists ? item.value.deadline_ms : 0,
                               &payload, 1);
}

int command_counter_incr(struct keyspace *keyspace, const struct arguments *arguments,
                         const struct machine_context *context, struct reply *reply)
{
    return counter_add(keyspace, arguments, context, 1, reply);
}

int command_counter_decr(struct keyspace *keyspace, const struct arguments *arguments,
                         const struct machine_context *context, struct reply *reply)
{
    return counter_add(keyspace, arguments, context, -1, reply);
}

int command_counter_incrby(struct keyspace *keyspace, const struct arguments *arguments,
                           const struct machine_context *context, struct reply *reply)
{
    int64_t delta;
    if (!argument_integer_or_reply(arguments->items[2], &delta, reply)) {
        return 0;
    }
    return counter_add(keyspace, arguments, context, delta, reply);
}

int command_counter_decrby(struct keyspace *keyspace, const struct arguments *arguments,
                           const struct machine_context *context, struct reply *reply)
{
    int64_t delta;
    if (!argument_integer_or_reply(arguments->items[2], &delta, reply)) {
        return 0;
    }
    if (delta == INT64_MIN) {
        reply_error(reply, "ERR decrement would overflow");
        return 0;
    }
    return counter_add(keyspace, arguments, context, -delta, reply);
}
