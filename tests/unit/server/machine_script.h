/* Runs scripts of commands on a keyspace: writes as entries of one unit, reads as the node runs them. Replies are
 * compared as they go over the wire, with each line end shown as a space. */
#ifndef TESTS_MACHINE_SCRIPT_H
#define TESTS_MACHINE_SCRIPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "server/keyspace.h"
#include "server/machine.h"

#define SCRIPT_SEED      42u
#define SCRIPT_STAMP     UINT64_C(1000000) /* "now" where a row says 0 */
#define SCRIPT_ARGUMENTS 64u

struct script_row {
    uint64_t stamp_ms; /* 0: SCRIPT_STAMP */
    const char *command;
    const char *reply;
};

struct script {
    struct hf_store *store;
    struct keyspace *keyspace;
    uint64_t index;
    unsigned protocol;
    struct buffer reply;
};

static inline void script_open(struct script *script)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    *script = (struct script){.protocol = 2};
    assert_int_equal(hf_store_open(&options, &script->store), 0);
    assert_int_equal(machine_open(script->store, SCRIPT_SEED, &script->keyspace), 0);
}

static inline void script_close(struct script *script)
{
    assert_int_equal(keyspace_check(script->keyspace), 0);
    machine_close(script->keyspace);
    hf_store_close(script->store);
    buffer_close(&script->reply);
}

static inline void script_sink(void *arg, uint32_t ordinal, struct hf_bytes reply)
{
    buffer_append_bytes(arg, reply);
}

/* Splits at spaces; "" is the empty argument. items lend from `copy`. */
static inline struct arguments script_split(const char *command, struct buffer *copy, struct hf_bytes *items)
{
    struct arguments arguments = {items, 0};
    buffer_clear(copy);
    buffer_append_text(copy, command);
    buffer_append_u8(copy, 0);
    char *rest = NULL;
    for (char *word = strtok_r((char *)copy->data, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(arguments.count < SCRIPT_ARGUMENTS);
        items[arguments.count++] = strcmp(word, "\"\"") == 0 ? bytes_of("", 0) : bytes_of_text(word);
    }
    return arguments;
}

/* Applies one unit as the next entry, or reads it; the reply is in script->reply. */
static inline void script_run_unit(struct script *script, struct hf_bytes unit, uint64_t stamp_ms, bool is_write)
{
    buffer_clear(&script->reply);
    if (is_write) {
        struct buffer entry = {0};
        machine_entry_compose(&entry, stamp_ms, &unit, 1);
        assert_int_equal(
            machine_apply(script->keyspace, buffer_bytes(&entry), ++script->index, 1, script_sink, &script->reply), 0);
        buffer_close(&entry);
    } else {
        struct machine_context context = {.stamp_ms = stamp_ms, .routed_count = 1};
        assert_int_equal(machine_read(script->keyspace, unit, &context, &script->reply), 0);
    }
}

static inline void script_run(struct script *script, const struct arguments *arguments, uint64_t stamp_ms)
{
    const struct command_spec *spec = command_data_find(arguments->items[0]);
    struct buffer unit = {0};
    assert_non_null(spec);
    machine_unit_command(&unit, script->protocol, spec, arguments);
    script_run_unit(script, buffer_bytes(&unit), stamp_ms != 0 ? stamp_ms : SCRIPT_STAMP,
                    (spec->flags & COMMAND_WRITE) != 0);
    buffer_close(&unit);
}

/* The reply with " " for each line end, the last one dropped. Lent from `shown`. */
static inline const char *script_show(struct hf_bytes reply, struct buffer *shown)
{
    const uint8_t *bytes = reply.data;
    buffer_clear(shown);
    for (size_t i = 0; i < reply.size; i++) {
        if (bytes[i] == '\r' && i + 1 < reply.size && bytes[i + 1] == '\n') {
            i++;
            buffer_append_text(shown, i + 1 < reply.size ? " " : "");
        } else if (bytes[i] < ' ' || bytes[i] > '~') {
            buffer_format(shown, "\\x%02x", bytes[i]);
        } else {
            buffer_append_u8(shown, bytes[i]);
        }
    }
    buffer_append_u8(shown, 0);
    return (const char *)shown->data;
}

static inline void script_expect(struct script *script, uint64_t stamp_ms, const char *command, const char *reply)
{
    struct hf_bytes items[SCRIPT_ARGUMENTS];
    struct buffer copy = {0};
    struct buffer shown = {0};
    struct arguments arguments = script_split(command, &copy, items);
    script_run(script, &arguments, stamp_ms);
    if (strcmp(script_show(buffer_bytes(&script->reply), &shown), reply) != 0) {
        fail_msg("%s\n  answers  %s\n  expected %s", command, (const char *)shown.data, reply);
    }
    buffer_close(&copy);
    buffer_close(&shown);
}

static inline void script_rows(struct script *script, const struct script_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        script_expect(script, rows[i].stamp_ms, rows[i].command, rows[i].reply);
        assert_int_equal(keyspace_check(script->keyspace), 0);
    }
}

/* One table on a fresh keyspace. */
#define SCRIPT_TEST(name, ...)                                      \
    static void name(void **state)                                  \
    {                                                               \
        static const struct script_row rows[] = {__VA_ARGS__};      \
        struct script script;                                       \
        script_open(&script);                                       \
        script_rows(&script, rows, sizeof(rows) / sizeof(rows[0])); \
        script_close(&script);                                      \
    }

#endif
