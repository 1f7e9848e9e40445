#include "base/bytes.h"
#include "server/command_generic.h"
#include "server/keyspace.h"
#include "server/machine.h"

int command_internal_literal(struct keyspace *keyspace, const struct arguments *arguments,
                             const struct machine_context *context, struct reply *reply)
{
    reply_raw(reply, arguments->items[1]);
    return 0;
}

int command_internal_expire_due(struct keyspace *keyspace, const struct arguments *arguments,
                                const struct machine_context *context, struct reply *reply)
{
    struct cursor stamp = cursor_of(arguments->items[1]);
    struct cursor count = cursor_of(arguments->items[2]);
    uint64_t limit_ms = cursor_u64(&stamp);
    uint32_t keys_max = cursor_u32(&count);
    if (stamp.failed || count.failed || keys_max > MACHINE_EXPIRE_DUE_MAX) {
        reply_error(reply, "ERR malformed expiry");
        return 0;
    }
    /* What is past its deadline at the entry's own stamp, never more: a limit ahead of it would delete too early. */
    if (limit_ms > context->stamp_ms) {
        limit_ms = context->stamp_ms;
    }
    int64_t removed = 0;
    while (removed < keys_max) {
        struct hf_bytes key;
        struct keyspace_item item;
        uint64_t deadline_ms;
        int rc = keyspace_first_deadline(keyspace, &deadline_ms, &key);
        if (rc == HF_ENOTFOUND || (rc == 0 && deadline_ms >= limit_ms)) {
            break;
        }
        if (rc == 0) {
            rc = keyspace_get(keyspace, key, limit_ms, &item);
        }
        if (rc == 0) {
            rc = keyspace_remove(keyspace, key, &item);
        }
        if (rc != 0) {
            return rc;
        }
        removed++;
    }
    reply_integer(reply, removed);
    return 0;
}

int command_internal_version(struct keyspace *keyspace, const struct arguments *arguments,
                             const struct machine_context *context, struct reply *reply)
{
    struct machine_version version;
    int rc = machine_version(keyspace, arguments->items[1], context->stamp_ms, &version);
    if (rc == 0) {
        reply_array(reply, 2);
        reply_integer(reply, (int64_t)version.index);
        reply_integer(reply, version.ordinal);
    }
    return rc;
}
