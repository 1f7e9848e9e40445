#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/glob.h"
#include "server/server_state.h"

#define COMMAND_INTROSPECT_GLOB_STEPS 1000000u

static const struct {
    uint32_t flag;
    const char *name;
    const char *category; /* of ACLs, as clients show them; NULL: none */
} command_introspect_flags[] = {
    {COMMAND_WRITE, "write", "@write"},    {COMMAND_READ, "readonly", "@read"}, {COMMAND_MAY_GROW, "denyoom", NULL},
    {COMMAND_ADMIN, "admin", "@admin"},    {COMMAND_FAST, "fast", "@fast"},     {COMMAND_NO_MULTI, "no_multi", NULL},
    {COMMAND_NO_AUTH, "no_auth", NULL},    {COMMAND_LOADING, "loading", NULL},  {COMMAND_STALE, "stale", NULL},
    {COMMAND_PUBSUB, "pubsub", "@pubsub"},
};
enum { COMMAND_INTROSPECT_FLAGS = sizeof(command_introspect_flags) / sizeof(command_introspect_flags[0]) };

static const char *command_introspect_category(const struct command_spec *spec)
{
    static const char *const names[] = {
        [COMMAND_GROUP_GENERIC] = "@keyspace",         [COMMAND_GROUP_STRING] = "@string",
        [COMMAND_GROUP_TRANSACTIONS] = "@transaction", [COMMAND_GROUP_CONNECTION] = "@connection",
        [COMMAND_GROUP_SERVER] = "@dangerous",         [COMMAND_GROUP_RAFT] = "@admin",
    };
    return names[spec->group];
}

static void command_introspect_flag_names(const struct command_spec *spec, struct reply *reply)
{
    size_t count = 0;
    for (size_t i = 0; i < COMMAND_INTROSPECT_FLAGS; i++) {
        count += (spec->flags & command_introspect_flags[i].flag) != 0;
    }
    reply_set(reply, count);
    for (size_t i = 0; i < COMMAND_INTROSPECT_FLAGS; i++) {
        if ((spec->flags & command_introspect_flags[i].flag) != 0) {
            reply_status(reply, command_introspect_flags[i].name);
        }
    }
}

static void command_introspect_categories(const struct command_spec *spec, struct reply *reply)
{
    size_t count = 1 + ((spec->flags & COMMAND_FAST) == 0);
    for (size_t i = 0; i < COMMAND_INTROSPECT_FLAGS; i++) {
        count += (spec->flags & command_introspect_flags[i].flag) != 0 && command_introspect_flags[i].category != NULL;
    }
    reply_set(reply, count);
    reply_status(reply, command_introspect_category(spec));
    for (size_t i = 0; i < COMMAND_INTROSPECT_FLAGS; i++) {
        if ((spec->flags & command_introspect_flags[i].flag) != 0 && command_introspect_flags[i].category != NULL) {
            reply_status(reply, command_introspect_flags[i].category);
        }
    }
    if ((spec->flags & COMMAND_FAST) == 0) {
        reply_status(reply, "@slow");
    }
}

/* One row as COMMAND shows it; subcommands nest one level. */
static void command_introspect_row(const struct command_spec *spec, struct reply *reply)
{
    reply_array(reply, 10);
    reply_bulk_text(reply, spec->name);
    reply_integer(reply, spec->arity);
    command_introspect_flag_names(spec, reply);
    reply_integer(reply, spec->first_key);
    reply_integer(reply, spec->last_key);
    reply_integer(reply, spec->key_step);
    command_introspect_categories(spec, reply);
    reply_array(reply, 0); /* tips */
    reply_array(reply, 0); /* key specifications: first, last and step say it all */
    reply_array(reply, spec->subcommand_count);
    for (size_t i = 0; i < spec->subcommand_count; i++) {
        command_introspect_row(&spec->subcommands[i], reply);
    }
}

static size_t command_introspect_total(void)
{
    size_t position = 0;
    size_t count = 0;
    while (command_next(&position) != NULL) {
        count++;
    }
    return count;
}

int command_introspect_all(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (arguments->count > 1) {
        reply_error(reply, "ERR unknown subcommand '%.*s'. Try COMMAND HELP.",
                    (int)(arguments->items[1].size < 128 ? arguments->items[1].size : 128),
                    (const char *)arguments->items[1].data);
        return SESSION_ANSWERED;
    }
    reply_array(reply, command_introspect_total());
    size_t position = 0;
    const struct command_spec *spec;
    while ((spec = command_next(&position)) != NULL) {
        command_introspect_row(spec, reply);
    }
    return SESSION_ANSWERED;
}

int command_introspect_count(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    reply_integer(reply, (int64_t)command_introspect_total());
    return SESSION_ANSWERED;
}

/* A row by its name, "config|get" included. */
static const struct command_spec *command_introspect_named(struct hf_bytes name)
{
    const char *bar = name.size > 0 ? memchr(name.data, '|', name.size) : NULL;
    size_t size = bar != NULL ? (size_t)(bar - (const char *)name.data) : name.size;
    const struct command_spec *spec = command_find(bytes_of(name.data, size));
    if (bar == NULL || spec == NULL) {
        return spec;
    }
    for (size_t i = 0; i < spec->subcommand_count; i++) {
        if (argument_is(name, spec->subcommands[i].name)) {
            return &spec->subcommands[i];
        }
    }
    return NULL;
}

int command_introspect_info(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    if (arguments->count == 2) {
        struct arguments all = {arguments->items, 1};
        return command_introspect_all(session, &all, reply);
    }
    reply_array(reply, arguments->count - 2);
    for (size_t i = 2; i < arguments->count; i++) {
        const struct command_spec *spec = command_introspect_named(arguments->items[i]);
        if (spec != NULL) {
            command_introspect_row(spec, reply);
        } else {
            reply_null_array(reply);
        }
    }
    return SESSION_ANSWERED;
}

static void command_introspect_document(const struct command_spec *spec, struct reply *reply)
{
    reply_bulk_text(reply, spec->name);
    reply_map(reply, 4 + (spec->subcommand_count > 0));
    reply_bulk_text(reply, "summary");
    reply_bulk_text(reply, spec->summary);
    reply_bulk_text(reply, "since");
    reply_bulk_text(reply, spec->since);
    reply_bulk_text(reply, "group");
    reply_bulk_text(reply, command_group_name(spec->group));
    reply_bulk_text(reply, "complexity");
    reply_bulk_text(reply, spec->complexity);
    if (spec->subcommand_count > 0) {
        reply_bulk_text(reply, "subcommands");
        reply_map(reply, spec->subcommand_count);
        for (size_t i = 0; i < spec->subcommand_count; i++) {
            command_introspect_document(&spec->subcommands[i], reply);
        }
    }
}

int command_introspect_docs(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    const struct command_spec *spec;
    if (arguments->count == 2) {
        size_t position = 0;
        reply_map(reply, command_introspect_total());
        while ((spec = command_next(&position)) != NULL) {
            command_introspect_document(spec, reply);
        }
        return SESSION_ANSWERED;
    }
    size_t known = 0;
    for (size_t i = 2; i < arguments->count; i++) {
        known += command_introspect_named(arguments->items[i]) != NULL;
    }
    reply_map(reply, known);
    for (size_t i = 2; i < arguments->count; i++) {
        spec = command_introspect_named(arguments->items[i]);
        if (spec != NULL) {
            command_introspect_document(spec, reply);
        }
    }
    return SESSION_ANSWERED;
}

enum command_introspect_filter { COMMAND_INTROSPECT_ALL, COMMAND_INTROSPECT_PATTERN, COMMAND_INTROSPECT_CATEGORY };

static bool command_introspect_passes(const struct command_spec *spec, enum command_introspect_filter filter,
                                      struct hf_bytes value, uint64_t *steps)
{
    if (filter == COMMAND_INTROSPECT_PATTERN) {
        return glob_match(value, bytes_of_text(spec->name), steps) == GLOB_MATCHES;
    }
    if (filter == COMMAND_INTROSPECT_CATEGORY) {
        for (size_t i = 0; i < COMMAND_INTROSPECT_FLAGS; i++) {
            const char *category = command_introspect_flags[i].category;
            if ((spec->flags & command_introspect_flags[i].flag) != 0 && category != NULL &&
                argument_is(value, category + 1)) {
                return true;
            }
        }
        return argument_is(value, command_introspect_category(spec) + 1) ||
               ((spec->flags & COMMAND_FAST) == 0 && argument_is(value, "slow"));
    }
    return true;
}

static void command_introspect_list_filtered(enum command_introspect_filter filter, struct hf_bytes value,
                                             struct reply *reply)
{
    size_t count = 0;
    for (int is_second = 0; is_second < 2; is_second++) {
        uint64_t steps = COMMAND_INTROSPECT_GLOB_STEPS;
        size_t position = 0;
        const struct command_spec *spec;
        if (is_second) {
            reply_array(reply, count);
        }
        while ((spec = command_next(&position)) != NULL) {
            if (!command_introspect_passes(spec, filter, value, &steps)) {
                continue;
            }
            if (is_second) {
                reply_bulk_text(reply, spec->name);
            } else {
                count++;
            }
        }
    }
}

int command_introspect_list(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    enum command_introspect_filter filter = COMMAND_INTROSPECT_ALL;
    struct hf_bytes value = {0};
    if (arguments->count != 2) {
        if (arguments->count != 5 || !argument_is(arguments->items[2], "filterby")) {
            argument_reply_syntax(reply);
            return SESSION_ANSWERED;
        }
        value = arguments->items[4];
        if (argument_is(arguments->items[3], "module")) {
            reply_array(reply, 0);
            return SESSION_ANSWERED;
        }
        if (argument_is(arguments->items[3], "pattern")) {
            filter = COMMAND_INTROSPECT_PATTERN;
        } else if (argument_is(arguments->items[3], "aclcat")) {
            filter = COMMAND_INTROSPECT_CATEGORY;
        } else {
            argument_reply_syntax(reply);
            return SESSION_ANSWERED;
        }
    }
    command_introspect_list_filtered(filter, value, reply);
    return SESSION_ANSWERED;
}

int command_introspect_getkeys(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct arguments inner = {arguments->items + 2, arguments->count - 2};
    const struct command_spec *spec = command_find(inner.items[0]);
    if (spec == NULL) {
        reply_error(reply, "ERR Invalid command specified");
    } else if (spec->first_key == 0) {
        reply_error(reply, "ERR The command has no key arguments");
    } else if (!command_arity_fits(spec, inner.count)) {
        reply_error(reply, "ERR Invalid number of arguments specified for command");
    } else {
        size_t count = command_key_count(spec, &inner);
        reply_array(reply, count);
        for (size_t i = 0; i < count; i++) {
            reply_bulk(reply, command_key_at(spec, &inner, i));
        }
    }
    return SESSION_ANSWERED;
}

int command_introspect_help(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    const struct command_spec *spec = command_find(arguments->items[0]);
    size_t prefix = strlen(spec->name) + 1;
    reply_array(reply, 1 + 2 * spec->subcommand_count);
    struct buffer line = {0};
    buffer_append_text(&line, spec->name);
    buffer_append_text(&line, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (size_t i = 0; i < prefix - 1; i++) {
        line.data[i] = (uint8_t)toupper(line.data[i]);
    }
    buffer_append_u8(&line, '\0');
    reply_status(reply, (const char *)line.data);
    for (size_t i = 0; i < spec->subcommand_count; i++) {
        const struct command_spec *row = &spec->subcommands[i];
        size_t size = strlen(row->name + prefix);
        buffer_clear(&line);
        buffer_append_text(&line, row->name + prefix);
        for (size_t k = 0; k < size; k++) {
            line.data[k] = (uint8_t)toupper(line.data[k]);
        }
        if (row->syntax != NULL) {
            buffer_format(&line, " %s", row->syntax);
        }
        buffer_append_u8(&line, '\0');
        reply_status(reply, (const char *)line.data);
        buffer_clear(&line);
        buffer_format(&line, "    %s", row->summary);
        buffer_append_u8(&line, '\0');
        reply_status(reply, (const char *)line.data);
    }
    buffer_close(&line);
    return SESSION_ANSWERED;
}
