#include "server/command_generic.h"

#include "base/bytes.h"
#include "server/argument.h"
#include "server/keyspace.h"
#include "server/machine.h"

int command_generic_del(struct keyspace *keyspace, const struct arguments *arguments,
                        const struct machine_context *context, struct reply *reply)
{
    int64_t removed = 0;
    for (size_t i = 1; i < arguments->count; i++) {
        struct keyspace_item item;
        int rc = keyspace_get(keyspace, arguments->items[i], context->stamp_ms, &item);
        if (rc == 0) {
            removed += item.exists; /* one past its deadline goes too, but does not count */
            rc = keyspace_remove(keyspace, arguments->items[i], &item);
        }
        if (rc != 0) {
            return rc;
        }
    }
    reply_integer(reply, removed);
    return 0;
}

int command_generic_delifeq(struct keyspace *keyspace, const struct arguments *arguments,
                            const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    bool is_equal = item.exists && bytes_equal(item.value.payload, arguments->items[2]);
    reply_integer(reply, is_equal);
    return is_equal ? keyspace_remove(keyspace, arguments->items[1], &item) : 0;
}

int command_generic_exists(struct keyspace *keyspace, const struct arguments *arguments,
                           const struct machine_context *context, struct reply *reply)
{
    int64_t found = 0;
    for (size_t i = 1; i < arguments->count; i++) {
        struct keyspace_item item;
        int rc = keyspace_get(keyspace, arguments->items[i], context->stamp_ms, &item);
        if (rc != 0) {
            return rc;
        }
        found += item.exists;
    }
    reply_integer(reply, found);
    return 0;
}

int command_generic_type(struct keyspace *keyspace, const struct arguments *arguments,
                         const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc == 0) {
        reply_status(reply, item.exists ? value_type_name(item.value.type) : "none");
    }
    return rc;
}

int command_generic_dbsize(struct keyspace *keyspace, const struct arguments *arguments,
                           const struct machine_context *context, struct reply *reply)
{
    uint64_t count;
    int rc = keyspace_count(keyspace, context->stamp_ms, &count);
    if (rc == 0) {
        reply_integer(reply, (int64_t)count);
    }
    return rc;
}

/* ASYNC and SYNC mean the same: the keys are gone at once, their memory returns bit by bit. */
int command_generic_flush(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    if (arguments->count > 2 || (arguments->count == 2 && !argument_is(arguments->items[1], "async") &&
                                 !argument_is(arguments->items[1], "sync"))) {
        argument_reply_syntax(reply);
        return 0;
    }
    reply_status(reply, "OK");
    return keyspace_clear(keyspace);
}
