/* Entries: how they are encoded, what is refused, how they are applied. */
#include "unit/server/machine_script.h"

static struct hf_bytes unit_of(struct buffer *unit, const char *command, unsigned protocol)
{
    struct hf_bytes items[SCRIPT_ARGUMENTS];
    struct buffer copy = {0};
    struct arguments arguments = script_split(command, &copy, items);
    buffer_clear(unit);
    machine_unit_command(unit, protocol, command_data_find(items[0]), &arguments);
    buffer_close(&copy);
    return buffer_bytes(unit);
}

static void body(struct buffer *unit, const char *command)
{
    struct hf_bytes items[SCRIPT_ARGUMENTS];
    struct buffer copy = {0};
    struct arguments arguments = script_split(command, &copy, items);
    machine_unit_body(unit, command_data_find(items[0]), &arguments);
    buffer_close(&copy);
}

static void expect_reply(struct script *script, const char *reply)
{
    struct buffer shown = {0};
    assert_string_equal(script_show(buffer_bytes(&script->reply), &shown), reply);
    buffer_close(&shown);
}

/* ---- Format ---- */

static void an_entry_is_encoded_as_drawn(void **state)
{
    static const uint8_t expected[] = {
        1,  1, 0, 0, 1,   0, 0, 0, 0x15, 0xcd, 0x5b, 0x07, 0, 0, 0, 0, /* version, kind, units, stamp */
        1,  3, 0, 0, 0,   0, 0, 0, 1,    0,    0,    0,                /* command, RESP3, no watch, one command */
        17, 0, 0, 0, 2,   0, 0, 0,                                     /* SET with two arguments */
        1,  0, 0, 0, 'k', 2, 0, 0, 0,    'v',  'w',
    };
    struct buffer unit = {0};
    struct buffer entry = {0};
    struct hf_bytes units[] = {unit_of(&unit, "SET k vw", 3)};
    machine_entry_compose(&entry, 123456789, units, 1);
    assert_int_equal(entry.size, sizeof(expected));
    assert_memory_equal(entry.data, expected, sizeof(expected));
    assert_int_equal(machine_entry_validate(buffer_bytes(&entry)), 0);
    buffer_close(&unit);
    buffer_close(&entry);
}

static void what_is_built_is_read_back(void **state)
{
    struct buffer unit = {0};
    struct buffer second = {0};
    struct buffer entry = {0};
    struct machine_watch watches[] = {{{"w1", 2}, {7, 3}}, {{"", 0}, {0, 0}}};
    machine_unit_transaction(&unit, 2, watches, 2, 2);
    body(&unit, "INCR n");
    machine_unit_body_literal(&unit, bytes_of_text("+PONG\r\n"));
    struct hf_bytes units[] = {buffer_bytes(&unit), unit_of(&second, "MGET a \"\" c", 3)};
    buffer_append_text(&entry, "in front");
    machine_entry_compose(&entry, 99, units, 2);

    struct machine_entry_reader reader;
    struct machine_unit read;
    struct machine_watch watch;
    struct arguments arguments;
    const struct command_spec *spec;
    struct hf_bytes bytes = bytes_of(entry.data + 8, entry.size - 8);
    assert_int_equal(machine_entry_validate(bytes), 0);
    machine_entry_open(&reader, bytes);
    assert_int_equal(reader.stamp_ms, 99);
    assert_true(machine_entry_next_unit(&reader, &read));
    assert_int_equal(read.kind, MACHINE_UNIT_TRANSACTION);
    assert_int_equal(read.watch_count, 2);
    assert_int_equal(read.command_count, 2);
    machine_entry_next_watch(&reader, &watch);
    assert_true(bytes_equal(watch.key, bytes_of_text("w1")) && watch.version.index == 7 && watch.version.ordinal == 3);
    machine_entry_next_watch(&reader, &watch);
    assert_true(watch.key.size == 0 && watch.version.index == 0);
    machine_entry_next_command(&reader, &spec, &arguments);
    assert_string_equal(spec->name, "incr");
    assert_int_equal(arguments.count, 2);
    assert_true(bytes_equal(arguments.items[1], bytes_of_text("n")));
    machine_entry_next_command(&reader, &spec, &arguments);
    assert_int_equal(spec->number, COMMAND_NUMBER_LITERAL);
    assert_true(machine_entry_next_unit(&reader, &read));
    assert_int_equal(read.ordinal, 1);
    assert_int_equal(read.protocol, 3);
    machine_entry_next_command(&reader, &spec, &arguments);
    assert_int_equal(arguments.count, 4);
    assert_int_equal(arguments.items[2].size, 0);
    assert_true(bytes_equal(arguments.items[0], bytes_of_text("mget")));
    assert_false(machine_entry_next_unit(&reader, &read));
    machine_entry_close(&reader);
    machine_entry_open(&reader, bytes);
    assert_true(machine_entry_next_key(&reader, &bytes));
    assert_true(bytes_equal(bytes, bytes_of_text("n")));
    assert_true(machine_entry_next_key(&reader, &bytes));
    assert_true(bytes_equal(bytes, bytes_of_text("a")));
    assert_false(machine_entry_next_key(&reader, &bytes));
    machine_entry_close(&reader);
    buffer_close(&unit);
    buffer_close(&second);
    buffer_close(&entry);
}

static const struct {
    size_t offset;
    uint8_t byte;
    int result;
    const char *text;
} broken_rows[] = {
    {0, 2, HF_EVERSION, "version 2"},
    {1, 2, HF_EVERSION, "kind 2"},
    {2, 1, HF_EPROTOCOL, "header"},
    {4, 0, HF_EPROTOCOL, "header"},
    {4, 2, HF_EPROTOCOL, "unit"},
    {6, 2, HF_EPROTOCOL, "header"},
    {16, 0, HF_EPROTOCOL, "unit"},
    {16, 3, HF_EVERSION, "kind 3"},
    {17, 1, HF_EPROTOCOL, "unit"},
    {18, 1, HF_EPROTOCOL, "unit"},
    {20, 1, HF_EPROTOCOL, "counts"},
    {24, 2, HF_EPROTOCOL, "counts"},
    {28, 0, HF_EPROTOCOL, "without a number"},
    {28, 200, HF_EVERSION, "number 200"},
    {29, 9, HF_EVERSION, "number 2321"},
    {30, 1, HF_EPROTOCOL, "head of a command"},
    {32, 1, HF_EPROTOCOL, "trailing"},
    {32, 3, HF_EPROTOCOL, "cut off"},
    {34, 0x10, HF_EPROTOCOL, "head of a command"},
    {36, 255, HF_EPROTOCOL, "cut off"},
    {39, 255, HF_EPROTOCOL, "cut off"},
};

static void malformed_and_unknown_entries_are_told_apart_and_change_nothing(void **state)
{
    struct script script;
    struct buffer unit = {0};
    struct buffer entry = {0};
    script_open(&script);
    struct hf_bytes units[] = {unit_of(&unit, "SET k vw", 3)};
    machine_entry_compose(&entry, 5, units, 1);
    for (size_t i = 0; i < sizeof(broken_rows) / sizeof(broken_rows[0]); i++) {
        uint8_t good = entry.data[broken_rows[i].offset];
        entry.data[broken_rows[i].offset] = broken_rows[i].byte;
        int rc = machine_apply(script.keyspace, buffer_bytes(&entry), 1, 1, NULL, NULL);
        entry.data[broken_rows[i].offset] = good;
        if (rc != broken_rows[i].result || strstr(hf_error_text(), broken_rows[i].text) == NULL) {
            fail_msg("offset %zu: %s, %s", broken_rows[i].offset, hf_error_name(rc), hf_error_text());
        }
        assert_int_equal(machine_applied_index(script.keyspace), 0);
    }
    for (size_t size = 0; size < entry.size; size++) {
        assert_int_equal(machine_apply(script.keyspace, bytes_of(entry.data, size), 1, 1, NULL, NULL), HF_EPROTOCOL);
    }
    struct hf_store_digest digest = machine_digest(script.keyspace);
    assert_true(digest.low == 0 && digest.high == 0);
    assert_int_equal(machine_apply(script.keyspace, buffer_bytes(&entry), 1, 1, NULL, NULL), 0);
    assert_int_equal(machine_applied_index(script.keyspace), 1);
    buffer_close(&unit);
    buffer_close(&entry);
    script_close(&script);
}

static void a_later_unit_that_is_broken_keeps_the_earlier_ones_from_being_applied(void **state)
{
    struct script script;
    struct buffer first = {0};
    struct buffer second = {0};
    struct buffer entry = {0};
    script_open(&script);
    struct hf_bytes units[] = {unit_of(&first, "SET k v", 2), unit_of(&second, "SET l v", 2)};
    machine_entry_compose(&entry, 5, units, 2);
    entry.data[16 + units[0].size + 12] = 250; /* the number of the second command */
    assert_int_equal(machine_apply(script.keyspace, buffer_bytes(&entry), 1, 1, NULL, NULL), HF_EVERSION);
    script_expect(&script, 0, "DBSIZE", ":0");
    buffer_close(&first);
    buffer_close(&second);
    buffer_close(&entry);
    script_close(&script);
}

static void units_from_other_nodes_that_are_broken_answer_an_error_in_their_place(void **state)
{
    struct script script;
    struct buffer first = {0};
    struct buffer entry = {0};
    script_open(&script);
    struct hf_bytes units[] = {bytes_of_text("garbage"), unit_of(&first, "SET k v", 2), bytes_of("", 0)};
    machine_entry_compose(&entry, 5, units, 3);
    assert_int_equal(machine_apply(script.keyspace, buffer_bytes(&entry), 1, 1, script_sink, &script.reply), 0);
    expect_reply(&script, "-ERR the command was damaged on its way to the leader; it was not executed +OK "
                          "-ERR the command was damaged on its way to the leader; it was not executed");
    script_expect(&script, 0, "GET k", "$1 v");
    assert_false(machine_unit_may_grow(units[0]));
    assert_true(machine_unit_may_grow(units[1]));
    buffer_close(&first);
    buffer_close(&entry);
    script_close(&script);
}

/* ---- Applying ---- */

struct sunk {
    uint32_t ordinals[8];
    char replies[8][64];
    unsigned count;
};

static void sink(void *arg, uint32_t ordinal, struct hf_bytes reply)
{
    struct sunk *sunk = arg;
    struct buffer shown = {0};
    sunk->ordinals[sunk->count] = ordinal;
    snprintf(sunk->replies[sunk->count++], 64, "%s", script_show(reply, &shown));
    buffer_close(&shown);
}

static void the_replies_of_an_entry_come_in_the_order_of_its_units(void **state)
{
    struct script script;
    struct buffer buffers[3] = {{0}};
    struct buffer entry = {0};
    struct sunk sunk = {.count = 0};
    script_open(&script);
    struct hf_bytes units[] = {unit_of(&buffers[0], "SET n 1", 2), unit_of(&buffers[1], "INCR n", 2),
                               unit_of(&buffers[2], "SET n 2 NX", 3)};
    machine_entry_compose(&entry, 5, units, 3);
    assert_int_equal(machine_apply(script.keyspace, buffer_bytes(&entry), 4, 2, sink, &sunk), 0);
    assert_int_equal(sunk.count, 3);
    assert_string_equal(sunk.replies[0], "+OK");
    assert_string_equal(sunk.replies[1], ":2");
    assert_string_equal(sunk.replies[2], "_");
    assert_int_equal(sunk.ordinals[2], 2);
    struct machine_version version;
    assert_int_equal(machine_version(script.keyspace, bytes_of_text("n"), 5, &version), 0);
    assert_true(version.index == 4 && version.ordinal == 1);
    assert_int_equal(machine_skip(script.keyspace, 5, 2), 0);
    assert_int_equal(machine_applied_index(script.keyspace), 5);
    for (unsigned i = 0; i < 3; i++) {
        buffer_close(&buffers[i]);
    }
    buffer_close(&entry);
    script_close(&script);
}

static void transaction(struct script *script, const struct machine_watch *watches, size_t watch_count,
                        const char *const *commands, size_t count, const char *reply)
{
    struct buffer unit = {0};
    machine_unit_transaction(&unit, script->protocol, watches, watch_count, count);
    for (size_t i = 0; i < count; i++) {
        body(&unit, commands[i]);
    }
    script_run_unit(script, buffer_bytes(&unit), SCRIPT_STAMP, true);
    expect_reply(script, reply);
    buffer_close(&unit);
}

static void a_transaction_answers_an_array_and_errors_do_not_stop_it(void **state)
{
    static const char *const commands[] = {"SET a 1", "INCR a", "INCR b", "GET a", "SET a 1 NX XX", "MGET a b"};
    struct script script;
    script_open(&script);
    transaction(&script, NULL, 0, commands, 6, "*6 +OK :2 :1 $1 2 -ERR syntax error *2 $1 2 $1 1");
    transaction(&script, NULL, 0, NULL, 0, "*0");
    script_close(&script);
}

static void a_transaction_with_a_changed_watch_does_nothing(void **state)
{
    static const char *const commands[] = {"SET k mine"};
    struct script script;
    struct machine_watch watches[2] = {{{"other", 5}, {0, 0}}, {{"k", 1}, {0, 0}}};
    script_open(&script);
    script_expect(&script, 0, "SET k v", "+OK");
    assert_int_equal(machine_version(script.keyspace, watches[1].key, SCRIPT_STAMP, &watches[1].version), 0);
    assert_int_equal(watches[1].version.index, 1);
    transaction(&script, watches, 2, commands, 1, "*1 +OK");
    transaction(&script, watches, 2, commands, 1, "*-1"); /* our own change counts as one */
    script.protocol = 3;
    transaction(&script, watches, 2, commands, 1, "_");
    script.protocol = 2;
    assert_int_equal(machine_version(script.keyspace, watches[1].key, SCRIPT_STAMP, &watches[1].version), 0);
    script_expect(&script, 0, "SET other v", "+OK");
    transaction(&script, watches, 2, commands, 1, "*-1");
    script_expect(&script, 0, "DEL other", ":1");
    transaction(&script, watches, 2, commands, 1, "*1 +OK");
    script_close(&script);
}

static void a_watched_key_that_passes_its_deadline_has_changed(void **state)
{
    static const char *const commands[] = {"SET done 1"};
    struct script script;
    struct machine_watch watch = {{"k", 1}, {0, 0}};
    script_open(&script);
    script_expect(&script, SCRIPT_STAMP - 100, "SET k v PX 50", "+OK");
    assert_int_equal(machine_version(script.keyspace, watch.key, SCRIPT_STAMP - 90, &watch.version), 0);
    assert_true(watch.version.index == 1);
    transaction(&script, &watch, 1, commands, 1, "*-1");
    watch.version = (struct machine_version){0, 0};
    transaction(&script, &watch, 1, commands, 1, "*1 +OK");
    script_close(&script);
}

static void a_literal_answers_its_bytes_inside_a_transaction(void **state)
{
    struct script script;
    struct buffer unit = {0};
    script_open(&script);
    machine_unit_transaction(&unit, 2, NULL, 0, 2);
    machine_unit_body_literal(&unit, bytes_of_text("+PONG\r\n"));
    body(&unit, "SET k v");
    script_run_unit(&script, buffer_bytes(&unit), SCRIPT_STAMP, true);
    expect_reply(&script, "*2 +PONG +OK");
    buffer_close(&unit);
    script_close(&script);
}

static void the_version_command_tells_watch_where_a_key_was_changed(void **state)
{
    struct script script;
    script_open(&script);
    script_expect(&script, 0, "version k", "*2 :0 :0");
    script_expect(&script, 0, "SET a v", "+OK");
    script_expect(&script, 0, "SET k v", "+OK");
    script_expect(&script, 0, "version k", "*2 :2 :0");
    script_expect(&script, 0, "PEXPIRE k 10", ":1");
    script_expect(&script, 0, "version k", "*2 :3 :0");
    script_expect(&script, SCRIPT_STAMP + 11, "version k", "*2 :0 :0");
    script_close(&script);
}

static void reads_refuse_units_that_write_and_leave_no_half_reply(void **state)
{
    struct script script;
    struct buffer unit = {0};
    struct machine_context context = {.stamp_ms = SCRIPT_STAMP, .is_write = true};
    script_open(&script);
    machine_unit_transaction(&unit, 2, NULL, 0, 2);
    body(&unit, "GET k");
    body(&unit, "SET k v");
    buffer_append_text(&script.reply, "before");
    assert_int_equal(machine_read(script.keyspace, buffer_bytes(&unit), &context, &script.reply), HF_EINVALID);
    assert_int_equal(script.reply.size, 6);
    assert_int_equal(machine_read(script.keyspace, bytes_of_text("x"), &context, &script.reply), HF_EPROTOCOL);
    buffer_close(&unit);
    script_close(&script);
}

/* ---- Expiry ---- */

static void expire_due(struct script *script, uint64_t stamp_ms, uint64_t limit_ms, uint32_t keys_max,
                       const char *reply)
{
    struct buffer unit = {0};
    machine_unit_expire_due(&unit, limit_ms, keys_max);
    script_run_unit(script, buffer_bytes(&unit), stamp_ms, true);
    expect_reply(script, reply);
    buffer_close(&unit);
}

static void expire_due_deletes_what_is_past_its_deadline_and_no_more(void **state)
{
    struct script script;
    uint64_t deadline;
    script_open(&script);
    assert_int_equal(machine_next_deadline(script.keyspace, &deadline), HF_ENOTFOUND);
    script_expect(&script, 1000, "SET a v PX 30", "+OK");
    script_expect(&script, 1000, "SET b v PX 10", "+OK");
    script_expect(&script, 1000, "SET c v PX 20", "+OK");
    script_expect(&script, 1000, "SET d v", "+OK");
    assert_int_equal(machine_next_deadline(script.keyspace, &deadline), 0);
    assert_int_equal(deadline, 1010);
    expire_due(&script, 1010, 1010, 100, ":0");
    expire_due(&script, 1011, 5000, 100, ":1"); /* a limit ahead of the entry's stamp does not count */
    expire_due(&script, 1100, 1015, 100, ":0");
    expire_due(&script, 1100, 1100, 1, ":1");
    assert_int_equal(machine_next_deadline(script.keyspace, &deadline), 0);
    assert_int_equal(deadline, 1030);
    expire_due(&script, 1100, 1100, 100, ":1");
    assert_int_equal(machine_next_deadline(script.keyspace, &deadline), HF_ENOTFOUND);
    script_expect(&script, 1100, "DBSIZE", ":1");
    script_close(&script);
}

static void the_state_survives_with_the_store_and_belongs_to_one_seed(void **state)
{
    struct script script;
    struct keyspace *again;
    script_open(&script);
    script_expect(&script, 7000, "SET k v", "+OK");
    machine_close(script.keyspace);
    assert_int_equal(machine_open(script.store, SCRIPT_SEED + 1, &again), HF_EMISMATCH);
    assert_int_equal(machine_open(script.store, SCRIPT_SEED, &script.keyspace), 0);
    assert_int_equal(machine_stamp_ms(script.keyspace), 7000);
    assert_int_equal(machine_applied_index(script.keyspace), 1);
    script_expect(&script, 7000, "GET k", "$1 v");
    struct machine_stat stat;
    machine_stat(script.keyspace, &stat);
    assert_true(stat.keys == 1 && stat.keys_with_deadline == 0 && stat.data_bytes > 2 && stat.memory_bytes > 100);
    script_close(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_encoded_as_drawn),
        cmocka_unit_test(what_is_built_is_read_back),
        cmocka_unit_test(malformed_and_unknown_entries_are_told_apart_and_change_nothing),
        cmocka_unit_test(a_later_unit_that_is_broken_keeps_the_earlier_ones_from_being_applied),
        cmocka_unit_test(units_from_other_nodes_that_are_broken_answer_an_error_in_their_place),
        cmocka_unit_test(the_replies_of_an_entry_come_in_the_order_of_its_units),
        cmocka_unit_test(a_transaction_answers_an_array_and_errors_do_not_stop_it),
        cmocka_unit_test(a_transaction_with_a_changed_watch_does_nothing),
        cmocka_unit_test(a_watched_key_that_passes_its_deadline_has_changed),
        cmocka_unit_test(a_literal_answers_its_bytes_inside_a_transaction),
        cmocka_unit_test(the_version_command_tells_watch_where_a_key_was_changed),
        cmocka_unit_test(reads_refuse_units_that_write_and_leave_no_half_reply),
        cmocka_unit_test(expire_due_deletes_what_is_past_its_deadline_and_no_more),
        cmocka_unit_test(the_state_survives_with_the_store_and_belongs_to_one_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
