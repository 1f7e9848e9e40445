#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "holdfast/error.h"
#include "node/system_group.h"

static struct rng world_rng;
static uint64_t world_wall_ms(struct io *io)
{
    return 1750000000123;
}
static void world_random(struct io *io, void *target, size_t size)
{
    rng_fill(&world_rng, target, size);
}
static const struct io_ops world_ops = {.name = "test", .wall_ms = world_wall_ms, .random = world_random};
static struct io world = {&world_ops};
static const struct description_node nodes[] = {{1, "a:1", "", ""}, {2, "b:1", "", ""}, {5, "c:1", "", ""}};

struct machine {
    const struct node_machine_ops *ops;
    struct description *description;
    struct system_group *system;
    uint64_t index;
};

static struct machine machine_open(uint64_t seed)
{
    struct machine machine = {.ops = system_group_ops()};
    rng_seed(&world_rng, seed);
    assert_int_equal(description_create(&world, nodes, 3, 2, &machine.description), 0);
    machine.system = machine.ops->open(machine.description, NODE_SYSTEM_GROUP, 1, UINT32_MAX);
    return machine;
}

static void machine_close(struct machine *machine)
{
    machine->ops->close(machine->system);
    description_close(machine->description);
}

static void count_reply(void *arg, uint32_t ordinal, struct hf_bytes reply)
{
    *(unsigned *)arg += 1;
}

static int apply_payload(struct machine *machine, struct hf_bytes payload, unsigned *replies)
{
    struct hf_entry entry = {.index = ++machine->index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = payload};
    return machine->ops->apply(machine->system, &entry, count_reply, replies);
}

static int apply(struct machine *machine, const struct buffer *commands, uint32_t count)
{
    struct hf_bytes bytes[4];
    struct buffer payload = {0};
    unsigned replies = 0;
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = buffer_bytes(&commands[i]);
    }
    machine->ops->compose(machine->system, 7, bytes, count, &payload);
    int rc = apply_payload(machine, buffer_bytes(&payload), &replies);
    assert_true(rc != 0 || replies == count);
    buffer_close(&payload);
    return rc;
}

static void the_description_is_agreed_on_and_another_one_stops_the_group(void **state)
{
    struct machine machine = machine_open(1);
    struct buffer command = {0};
    assert_false(system_group_has_description(machine.system));
    system_group_describe(machine.description, &command);
    assert_int_equal(apply(&machine, &command, 1), 0);
    assert_true(system_group_has_description(machine.system));
    assert_int_equal(apply(&machine, &command, 1), 0);
    struct machine other = machine_open(2);
    assert_int_equal(apply(&other, &command, 1), HF_EMISMATCH);
    machine_close(&other);
    machine_close(&machine);
    buffer_close(&command);
}

static void H18_the_first_registered_incarnation_of_a_node_counts(void **state)
{
    struct machine machine = machine_open(1);
    struct buffer commands[2] = {0};
    uint64_t before[2];
    uint64_t after[2];
    system_group_register(2, 77, &commands[0]);
    system_group_register(5, 88, &commands[1]);
    assert_int_equal(apply(&machine, commands, 2), 0);
    assert_int_equal(system_group_incarnation(machine.system, 2), 77);
    assert_int_equal(system_group_incarnation(machine.system, 5), 88);
    assert_int_equal(system_group_incarnation(machine.system, 1), 0);
    assert_int_equal(system_group_incarnation(machine.system, 9), 0);
    machine.ops->digest(machine.system, before);
    buffer_clear(&commands[0]);
    system_group_register(2, 78, &commands[0]);
    assert_int_equal(apply(&machine, commands, 1), 0);
    assert_int_equal(system_group_incarnation(machine.system, 2), 77);
    machine.ops->digest(machine.system, after);
    assert_memory_equal(before, after, sizeof(before));
    buffer_clear(&commands[0]);
    system_group_register(3, 1, &commands[0]); /* of a node that was removed meanwhile, say */
    assert_int_equal(apply(&machine, commands, 1), 0);
    machine.ops->digest(machine.system, after);
    assert_memory_equal(before, after, sizeof(before));
    buffer_close(&commands[0]);
    buffer_close(&commands[1]);
    machine_close(&machine);
}

static void what_a_newer_program_wrote_stops_the_group_with_clear_text(void **state)
{
    static const struct {
        size_t offset;
        uint8_t value;
    } rows[] = {{0, 2}, {8, 2}, {9, 8}, {9, 0}}; /* entry version, command version, kind */
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct machine machine = machine_open(1);
        struct buffer command = {0};
        struct buffer payload = {0};
        unsigned replies = 0;
        system_group_register(2, 77, &command);
        struct hf_bytes bytes = buffer_bytes(&command);
        machine.ops->compose(machine.system, 7, &bytes, 1, &payload);
        payload.data[rows[i].offset] = rows[i].value;
        assert_int_equal(apply_payload(&machine, buffer_bytes(&payload), &replies), HF_EVERSION);
        assert_non_null(strstr(hf_error_text(), "upgrade this node"));
        assert_int_equal(system_group_incarnation(machine.system, 2), 0);
        buffer_close(&command);
        buffer_close(&payload);
        machine_close(&machine);
    }
}

static void a_truncated_entry_is_damage(void **state)
{
    struct machine machine = machine_open(1);
    struct buffer command = {0};
    struct buffer payload = {0};
    unsigned replies = 0;
    system_group_register(2, 77, &command);
    struct hf_bytes bytes = buffer_bytes(&command);
    machine.ops->compose(machine.system, 7, &bytes, 1, &payload);
    for (size_t size = 0; size < payload.size; size++) {
        assert_int_equal(apply_payload(&machine, bytes_of(payload.data, size), &replies), HF_EPROTOCOL);
    }
    buffer_close(&command);
    buffer_close(&payload);
    machine_close(&machine);
}

static void remember(void *arg, uint64_t node_id, uint64_t incarnation)
{
    uint64_t *seen = arg;
    seen[node_id] = incarnation;
}

static void H18_registrations_are_found_in_a_log_that_is_not_applied(void **state)
{
    struct machine machine = machine_open(1);
    struct buffer commands[3] = {0};
    struct buffer payload = {0};
    uint64_t seen[8] = {0};
    struct hf_bytes bytes[3];
    system_group_register(1, 11, &commands[0]);
    system_group_describe(machine.description, &commands[1]);
    system_group_register(5, 55, &commands[2]);
    for (unsigned i = 0; i < 3; i++) {
        bytes[i] = buffer_bytes(&commands[i]);
    }
    machine.ops->compose(machine.system, 7, bytes, 3, &payload);
    assert_int_equal(system_group_scan(buffer_bytes(&payload), remember, seen), 0);
    assert_true(seen[1] == 11 && seen[5] == 55 && seen[2] == 0);
    for (unsigned i = 0; i < 3; i++) {
        buffer_close(&commands[i]);
    }
    buffer_close(&payload);
    machine_close(&machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_description_is_agreed_on_and_another_one_stops_the_group),
        cmocka_unit_test(H18_the_first_registered_incarnation_of_a_node_counts),
        cmocka_unit_test(what_a_newer_program_wrote_stops_the_group_with_clear_text),
        cmocka_unit_test(a_truncated_entry_is_damage),
        cmocka_unit_test(H18_registrations_are_found_in_a_log_that_is_not_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
