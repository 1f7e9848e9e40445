/* SET and GETEX: the options, and what they do. */
#include <stdlib.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/command_string.h"
#include "server/deadline.h"
#include "server/keyspace.h"
#include "server/machine.h"

enum set_flag {
    SET_NX = 1u << 0,
    SET_XX = 1u << 1,
    SET_GET = 1u << 2,
    SET_KEEPTTL = 1u << 3,
    SET_PERSIST = 1u << 4,
    SET_EX = 1u << 5,
    SET_PX = 1u << 6,
    SET_EXAT = 1u << 7,
    SET_PXAT = 1u << 8,
    SET_IFEQ = 1u << 9
};
#define SET_ANY_TIME (SET_EX | SET_PX | SET_EXAT | SET_PXAT)

struct set_options {
    uint32_t flags;
    struct hf_bytes time;     /* with SET_ANY_TIME */
    struct hf_bytes expected; /* with SET_IFEQ */
};

/* One row per option: which may not be there already, and whether an argument follows. */
static const struct {
    const char *word;
    uint32_t flag;
    uint32_t excludes;
    bool has_argument;
    bool in_set;
    bool in_getex;
} set_option_rows[] = {
    {"nx", SET_NX, SET_XX | SET_IFEQ, false, true, false},
    {"xx", SET_XX, SET_NX | SET_IFEQ, false, true, false},
    {"ifeq", SET_IFEQ, SET_NX | SET_XX, true, true, false},
    {"get", SET_GET, 0, false, true, false},
    {"keepttl", SET_KEEPTTL, SET_ANY_TIME, false, true, false},
    {"persist", SET_PERSIST, SET_ANY_TIME, false, false, true},
    {"ex", SET_EX, SET_KEEPTTL | SET_PERSIST | (SET_ANY_TIME & ~SET_EX), true, true, true},
    {"px", SET_PX, SET_KEEPTTL | SET_PERSIST | (SET_ANY_TIME & ~SET_PX), true, true, true},
    {"exat", SET_EXAT, SET_KEEPTTL | SET_PERSIST | (SET_ANY_TIME & ~SET_EXAT), true, true, true},
    {"pxat", SET_PXAT, SET_KEEPTTL | SET_PERSIST | (SET_ANY_TIME & ~SET_PXAT), true, true, true},
};
#define SET_OPTION_COUNT (sizeof(set_option_rows) / sizeof(set_option_rows[0]))

static bool set_option_fits(size_t row, bool is_set, const struct set_options *options)
{
    bool is_known = is_set ? set_option_rows[row].in_set : set_option_rows[row].in_getex;
    return is_known && (options->flags & set_option_rows[row].excludes) == 0;
}

/* Reads the options from argument `first` on. false: a syntax error, answered. */
static bool set_options_parse(const struct arguments *arguments, size_t first, bool is_set, struct set_options *options,
                              struct reply *reply)
{
    *options = (struct set_options){0};
    for (size_t i = first; i < arguments->count; i++) {
        size_t row = 0;
        while (row < SET_OPTION_COUNT && !argument_is(arguments->items[i], set_option_rows[row].word)) {
            row++;
        }
        if (row == SET_OPTION_COUNT || !set_option_fits(row, is_set, options) ||
            (set_option_rows[row].has_argument && i + 1 == arguments->count)) {
            argument_reply_syntax(reply);
            return false;
        }
        options->flags |= set_option_rows[row].flag;
        if (set_option_rows[row].has_argument) {
            i++;
            *(set_option_rows[row].flag == SET_IFEQ ? &options->expected : &options->time) = arguments->items[i];
        }
    }
    return true;
}

/* The deadline that the options ask for; 0 when they ask for none. */
static bool set_options_deadline(const struct set_options *options, uint64_t stamp_ms, const char *name,
                                 uint64_t *deadline_ms, struct reply *reply)
{
    *deadline_ms = 0;
    if ((options->flags & SET_ANY_TIME) == 0) {
        return true;
    }
    struct deadline_form form = {
        .unit = (options->flags & (SET_EX | SET_EXAT)) != 0 ? DEADLINE_SECONDS : DEADLINE_MILLISECONDS,
        .base = (options->flags & (SET_EX | SET_PX)) != 0 ? DEADLINE_FROM_NOW : DEADLINE_ABSOLUTE,
    };
    return deadline_parse_positive(options->time, form, stamp_ms, name, deadline_ms, reply);
}

static bool set_condition_holds(const struct set_options *options, const struct keyspace_item *item)
{
    if ((options->flags & SET_NX) != 0) {
        return !item->exists;
    }
    if ((options->flags & SET_XX) != 0) {
        return item->exists;
    }
    if ((options->flags & SET_IFEQ) != 0) {
        return item->exists && bytes_equal(item->value.payload, options->expected);
    }
    return true;
}

int command_set_set(struct keyspace *keyspace, const struct arguments *arguments, const struct machine_context *context,
                    struct reply *reply)
{
    struct hf_bytes key = arguments->items[1];
    struct set_options options;
    struct keyspace_item item;
    uint64_t deadline_ms;
    if (!set_options_parse(arguments, 3, true, &options, reply) ||
        !set_options_deadline(&options, context->stamp_ms, "set", &deadline_ms, reply)) {
        return 0;
    }
    int rc = keyspace_get(keyspace, key, context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    bool is_done = set_condition_holds(&options, &item);
    if ((options.flags & SET_GET) != 0 && item.exists) {
        reply_bulk(reply, item.value.payload);
    } else if ((options.flags & SET_GET) != 0 || !is_done) {
        reply_null(reply);
    } else {
        reply_status(reply, "OK");
    }
    if (!is_done) {
        return 0;
    }
    if ((options.flags & SET_KEEPTTL) != 0 && item.exists) {
        deadline_ms = item.value.deadline_ms;
    }
    return keyspace_put_string(keyspace, context, key, &item, deadline_ms, &arguments->items[2], 1);
}

int command_set_getex(struct keyspace *keyspace, const struct arguments *arguments,
                      const struct machine_context *context, struct reply *reply)
{
    struct hf_bytes key = arguments->items[1];
    struct set_options options;
    struct keyspace_item item;
    uint64_t deadline_ms;
    if (!set_options_parse(arguments, 2, false, &options, reply)) {
        return 0;
    }
    int rc = keyspace_get(keyspace, key, context->stamp_ms, &item);
    if (rc != 0) {
        return rc;
    }
    if (!item.exists) {
        reply_null(reply);
        return 0;
    }
    if (!set_options_deadline(&options, context->stamp_ms, "getex", &deadline_ms, reply)) {
        return 0;
    }
    reply_bulk(reply, item.value.payload);
    if (deadline_ms != 0 && deadline_ms <= context->stamp_ms) {
        return keyspace_remove(keyspace, key, &item);
    }
    bool changes = deadline_ms != 0 || ((options.flags & SET_PERSIST) != 0 && item.value.deadline_ms != 0);
    return changes ? keyspace_set_deadline(keyspace, context, key, &item, deadline_ms) : 0;
}
