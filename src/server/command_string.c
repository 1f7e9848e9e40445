#include "server/command_string.h"

#include <string.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/deadline.h"
#include "server/keyspace.h"
#include "server/machine.h"

#define STRING_ZEROS_SIZE 4096u

static void string_reply_too_big(struct reply *reply)
{
    reply_error(reply, "ERR string exceeds maximum allowed size (%u bytes)", MACHINE_VALUE_SIZE_MAX);
}

static void string_reply_item(struct reply *reply, const struct keyspace_item *item)
{
    if (item->exists) {
        reply_bulk(reply, item->value.payload);
    } else {
        reply_null(reply);
    }
}

/* Stores a whole value; the key's deadline goes. */
static int string_store(struct keyspace *keyspace, const struct machine_context *context, struct hf_bytes key,
                        const struct keyspace_item *item, struct hf_bytes value)
{
    return keyspace_put_string(keyspace, context, key, item, 0, &value, 1);
}

/* ---- One key ---- */

int command_string_get(struct keyspace *keyspace, const struct arguments *arguments,
                       const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc == 0) {
        string_reply_item(reply, &item);
    }
    return rc;
}

int command_string_setnx(struct keyspace *keyspace, const struct arguments *arguments,
                         const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc == 0) {
        reply_integer(reply, !item.exists);
    }
    if (rc == 0 && !item.exists) {
        rc = string_store(keyspace, context, arguments->items[1], &item, arguments->items[2]);
    }
    return rc;
}

static int string_set_with_time(struct keyspace *keyspace, const struct arguments *arguments,
                                const struct machine_context *context, enum deadline_unit unit, const char *name,
                                struct reply *reply)
{
    struct keyspace_item item;
    uint64_t deadline_ms;
    struct deadline_form form = {unit, DEADLINE_FROM_NOW};
    if (!deadline_parse_positive(arguments->items[2], form, context->stamp_ms, name, &deadline_ms, reply)) {
        return 0;
    }
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc == 0) {
        reply_status(reply, "OK");
        rc = keyspace_put_string(keyspace, context, arguments->items[1], &item, deadline_ms, &arguments->items[3], 1);
    }
    return rc;
}

int command_string_setex(struct keyspace *keyspace, const struct arguments *arguments,
                         const struct machine_context *context, struct reply *reply)
{
    return string_set_with_time(keyspace, arguments, context, DEADLINE_SECONDS, "setex", reply);
}

int command_string_psetex(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    return string_set_with_time(keyspace, arguments, context, DEADLINE_MILLISECONDS, "psetex", reply);
}

int command_string_getset(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc == 0) {
        string_reply_item(reply, &item);
        rc = string_store(keyspace, context, arguments->items[1], &item, arguments->items[2]);
    }
    return rc;
}

int command_string_getdel(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc == 0) {
        string_reply_item(reply, &item);
    }
    if (rc == 0 && item.exists) {
        rc = keyspace_remove(keyspace, arguments->items[1], &item);
    }
    return rc;
}

int command_string_strlen(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc == 0) {
        reply_integer(reply, item.exists ? (int64_t)item.value.payload.size : 0);
    }
    return rc;
}

/* ---- Several keys ---- */

int command_string_mget(struct keyspace *keyspace, const struct arguments *arguments,
                        const struct machine_context *context, struct reply *reply)
{
    reply_array(reply, arguments->count - 1);
    for (size_t i = 1; i < arguments->count; i++) {
        struct keyspace_item item;
        int rc = keyspace_get(keyspace, arguments->items[i], context->stamp_ms, &item);
        if (rc != 0) {
            return rc;
        }
        string_reply_item(reply, &item);
    }
    return 0;
}

static int string_store_pairs(struct keyspace *keyspace, const struct arguments *arguments,
                              const struct machine_context *context)
{
    for (size_t i = 1; i < arguments->count; i += 2) {
        struct keyspace_item item;
        int rc = keyspace_get(keyspace, arguments->items[i], context->stamp_ms, &item);
        if (rc == 0) {
            rc = string_store(keyspace, context, arguments->items[i], &item, arguments->items[i + 1]);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static bool string_pairs_are_complete(const struct arguments *arguments, const char *name, struct reply *reply)
{
    if (arguments->count % 2 == 0) {
        reply_error(reply, "ERR wrong number of arguments for '%s' command", name);
        return false;
    }
    return true;
}

int command_string_mset(struct keyspace *keyspace, const struct arguments *arguments,
                        const struct machine_context *context, struct reply *reply)
{
    if (!string_pairs_are_complete(arguments, "mset", reply)) {
        return 0;
    }
    reply_status(reply, "OK");
    return string_store_pairs(keyspace, arguments, context);
}

int command_string_msetnx(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    if (!string_pairs_are_complete(arguments, "msetnx", reply)) {
        return 0;
    }
    for (size_t i = 1; i < arguments->count; i += 2) {
        struct keyspace_item item;
        int rc = keyspace_get(keyspace, arguments->items[i], context->stamp_ms, &item);
        if (rc != 0) {
            return rc;
        }
        if (item.exists) {
            reply_integer(reply, 0);
            return 0;
        }
    }
    reply_integer(reply, 1);
    return string_store_pairs(keyspace, arguments, context);
}

/* ---- Parts of a value ---- */

int command_string_append(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    struct hf_bytes added = arguments->items[2];
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    struct hf_bytes old = item.exists ? item.value.payload : bytes_of("", 0);
    if (added.size > MACHINE_VALUE_SIZE_MAX - old.size) {
        string_reply_too_big(reply);
        return 0;
    }
    struct hf_bytes parts[] = {old, added};
    reply_integer(reply, (int64_t)(old.size + added.size));
    return keyspace_put_string(keyspace, context, arguments->items[1], &item, item.exists ? item.value.deadline_ms : 0,
                               parts, 2);
}

int command_string_getrange(struct keyspace *keyspace, const struct arguments *arguments,
                            const struct machine_context *context, struct reply *reply)
{
    int64_t start;
    int64_t end;
    struct keyspace_item item;
    if (!argument_integer_or_reply(arguments->items[2], &start, reply) ||
        !argument_integer_or_reply(arguments->items[3], &end, reply)) {
        return 0;
    }
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    struct hf_bytes found = bytes_of("", 0);
    int64_t size = item.exists ? (int64_t)item.value.payload.size : 0;
    bool is_backward = start < 0 && end < 0 && start > end;
    start = start < 0 ? start + size : start;
    end = end < 0 ? end + size : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= size ? size - 1 : end;
    if (!is_backward && start <= end && size > 0) {
        found = bytes_of((const uint8_t *)item.value.payload.data + start, (size_t)(end - start + 1));
    }
    reply_bulk(reply, found);
    return 0;
}

/* What lies behind the written range, or the zeros in front of it, as parts of the new value. */
int command_string_setrange(struct keyspace *keyspace, const struct arguments *arguments,
                            const struct machine_context *context, struct reply *reply)
{
    int64_t offset;
    struct keyspace_item item;
    struct hf_bytes added = arguments->items[3];
    if (!argument_integer_or_reply(arguments->items[2], &offset, reply)) {
        return 0;
    }
    if (offset < 0) {
        reply_error(reply, "ERR offset is out of range");
        return 0;
    }
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    struct hf_bytes old = item.exists ? item.value.payload : bytes_of("", 0);
    if (added.size == 0) {
        reply_integer(reply, (int64_t)old.size);
        return 0;
    }
    if ((uint64_t)offset > MACHINE_VALUE_SIZE_MAX - added.size) {
        string_reply_too_big(reply);
        return 0;
    }
    size_t start = (size_t)offset;
    size_t end = start + added.size;
    struct buffer *zeros = &keyspace->value;
    buffer_clear(zeros);
    if (start > old.size) {
        memset(buffer_extend(zeros, start - old.size), 0, start - old.size);
    }
    struct hf_bytes parts[] = {
        bytes_of(old.data, start < old.size ? start : old.size),
        buffer_bytes(zeros),
        added,
        bytes_of((const uint8_t *)old.data + (end < old.size ? end : old.size), end < old.size ? old.size - end : 0),
    };
    reply_integer(reply, (int64_t)(end > old.size ? end : old.size));
    rc = keyspace_put_string(keyspace, context, arguments->items[1], &item, item.exists ? item.value.deadline_ms : 0,
                             parts, 4);
    if (zeros->capacity > STRING_ZEROS_SIZE) {
        buffer_close(zeros);
    }
    return rc;
}
