/* Times to live. A key is absent at a stamp greater than its deadline; setting a deadline at or before the stamp
 * deletes it, as in Redis. */
#include <assert.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/command_generic.h"
#include "server/deadline.h"
#include "server/keyspace.h"
#include "server/machine.h"

enum expire_flag { EXPIRE_NX = 1u << 0, EXPIRE_XX = 1u << 1, EXPIRE_GT = 1u << 2, EXPIRE_LT = 1u << 3 };

static bool expire_options_parse(const struct arguments *arguments, uint32_t *flags, struct reply *reply)
{
    static const struct {
        const char *word;
        uint32_t flag;
    } rows[] = {{"nx", EXPIRE_NX}, {"xx", EXPIRE_XX}, {"gt", EXPIRE_GT}, {"lt", EXPIRE_LT}};
    *flags = 0;
    for (size_t i = 3; i < arguments->count; i++) {
        size_t row = 0;
        while (row < 4 && !argument_is(arguments->items[i], rows[row].word)) {
            row++;
        }
        if (row == 4) {
            reply_error(reply, "ERR Unsupported option %.*s",
                        (int)(arguments->items[i].size < 128 ? arguments->items[i].size : 128),
                        (const char *)arguments->items[i].data);
            return false;
        }
        *flags |= rows[row].flag;
    }
    if ((*flags & EXPIRE_NX) != 0 && (*flags & ~(uint32_t)EXPIRE_NX) != 0) {
        reply_error(reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*flags & EXPIRE_GT) != 0 && (*flags & EXPIRE_LT) != 0) {
        reply_error(reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* Whether the flags allow a deadline in place of the present one. No deadline counts as one that never comes. */
static bool expire_is_allowed(uint32_t flags, uint64_t present_ms, int64_t deadline_ms)
{
    bool has_deadline = present_ms != 0;
    bool is_later = deadline_ms > 0 && (uint64_t)deadline_ms > present_ms;
    bool is_earlier = deadline_ms < 0 || (uint64_t)deadline_ms < present_ms;
    if ((flags & EXPIRE_NX) != 0 && has_deadline) {
        return false;
    }
    if ((flags & EXPIRE_XX) != 0 && !has_deadline) {
        return false;
    }
    if ((flags & EXPIRE_GT) != 0 && (!has_deadline || !is_later)) {
        return false;
    }
    return (flags & EXPIRE_LT) == 0 || !has_deadline || is_earlier;
}

static int expire_set(struct keyspace *keyspace, const struct arguments *arguments,
                      const struct machine_context *context, struct deadline_form form, const char *name,
                      struct reply *reply)
{
    uint32_t flags;
    int64_t deadline_ms;
    struct keyspace_item item;
    if (!expire_options_parse(arguments, &flags, reply) ||
        !deadline_parse(arguments->items[2], form, context->stamp_ms, name, &deadline_ms, reply)) {
        return 0;
    }
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    if (!item.exists || !expire_is_allowed(flags, item.value.deadline_ms, deadline_ms)) {
        reply_integer(reply, 0);
        return 0;
    }
    reply_integer(reply, 1);
    if (deadline_ms <= 0 || (uint64_t)deadline_ms <= context->stamp_ms) {
        return keyspace_remove(keyspace, arguments->items[1], &item);
    }
    return keyspace_set_deadline(keyspace, context, arguments->items[1], &item, (uint64_t)deadline_ms);
}

int command_expire_expire(struct keyspace *keyspace, const struct arguments *arguments,
                          const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_SECONDS, DEADLINE_FROM_NOW};
    return expire_set(keyspace, arguments, context, form, "expire", reply);
}

int command_expire_pexpire(struct keyspace *keyspace, const struct arguments *arguments,
                           const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_MILLISECONDS, DEADLINE_FROM_NOW};
    return expire_set(keyspace, arguments, context, form, "pexpire", reply);
}

int command_expire_expireat(struct keyspace *keyspace, const struct arguments *arguments,
                            const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_SECONDS, DEADLINE_ABSOLUTE};
    return expire_set(keyspace, arguments, context, form, "expireat", reply);
}

int command_expire_pexpireat(struct keyspace *keyspace, const struct arguments *arguments,
                             const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_MILLISECONDS, DEADLINE_ABSOLUTE};
    return expire_set(keyspace, arguments, context, form, "pexpireat", reply);
}

/* ---- Asking ---- */

/* −2 without the key, −1 without a deadline. */
static int expire_answer(struct keyspace *keyspace, const struct arguments *arguments,
                         const struct machine_context *context, struct deadline_form form, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    if (!item.exists || item.value.deadline_ms == 0) {
        reply_integer(reply, item.exists ? -1 : -2);
        return 0;
    }
    uint64_t base_ms = form.base == DEADLINE_FROM_NOW ? context->stamp_ms : 0;
    assert(item.value.deadline_ms >= base_ms);
    uint64_t answer = item.value.deadline_ms - base_ms;
    reply_integer(reply, (int64_t)(form.unit == DEADLINE_SECONDS ? (answer + 500) / 1000 : answer));
    return 0;
}

int command_expire_ttl(struct keyspace *keyspace, const struct arguments *arguments,
                       const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_SECONDS, DEADLINE_FROM_NOW};
    return expire_answer(keyspace, arguments, context, form, reply);
}

int command_expire_pttl(struct keyspace *keyspace, const struct arguments *arguments,
                        const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_MILLISECONDS, DEADLINE_FROM_NOW};
    return expire_answer(keyspace, arguments, context, form, reply);
}

int command_expire_expiretime(struct keyspace *keyspace, const struct arguments *arguments,
                              const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_SECONDS, DEADLINE_ABSOLUTE};
    return expire_answer(keyspace, arguments, context, form, reply);
}

int command_expire_pexpiretime(struct keyspace *keyspace, const struct arguments *arguments,
                               const struct machine_context *context, struct reply *reply)
{
    struct deadline_form form = {DEADLINE_MILLISECONDS, DEADLINE_ABSOLUTE};
    return expire_answer(keyspace, arguments, context, form, reply);
}

int command_expire_persist(struct keyspace *keyspace, const struct arguments *arguments,
                           const struct machine_context *context, struct reply *reply)
{
    struct keyspace_item item;
    int rc = keyspace_get(keyspace, arguments->items[1], context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    bool has_deadline = item.exists && item.value.deadline_ms != 0;
    reply_integer(reply, has_deadline);
    return has_deadline ? keyspace_set_deadline(keyspace, context, arguments->items[1], &item, 0) : 0;
}
