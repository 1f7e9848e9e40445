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

/* ---- Snapshots ---- */

static void fill(struct machine *machine)
{
    struct buffer commands[3] = {0};
    struct membership_change change = {.kind = MEMBERSHIP_JOIN,
                                       .node = {0, "d:1", "d:2", "d:3"},
                                       .incarnation = 99,
                                       .feature_level = DESCRIPTION_FEATURE_LEVEL_MAX,
                                       .role = MEMBERSHIP_STANDBY};
    system_group_describe(machine->description, &commands[0]);
    system_group_register(2, 77, &commands[1]);
    system_group_change(&change, &commands[2]);
    assert_int_equal(apply(machine, commands, 3), 0);
    for (unsigned i = 0; i < 3; i++) {
        buffer_close(&commands[i]);
    }
}

static void cut(struct machine *machine, size_t piece, struct buffer *out)
{
    void *source = machine->ops->cut(machine->system);
    size_t got = piece;
    while (got == piece) {
        uint8_t *target = buffer_extend(out, piece);
        assert_int_equal(machine->ops->cut_read(source, target, piece, &got), 0);
        out->size -= piece - got;
    }
    machine->ops->cut_close(source);
}

static int import(struct machine *machine, struct hf_bytes bytes, size_t piece)
{
    void *target = machine->ops->import_open(machine->system);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < bytes.size; at += piece) {
        size_t size = bytes.size - at < piece ? bytes.size - at : piece;
        rc = machine->ops->import_write(target, bytes_of((const uint8_t *)bytes.data + at, size));
    }
    rc = rc == 0 ? machine->ops->import_finish(target) : rc;
    if (rc == 0) {
        machine->ops->import_swap(machine->system, target);
    }
    machine->ops->import_close(target);
    return rc;
}

static void a_state_that_went_through_a_snapshot_goes_on_as_the_other_does(void **state)
{
    for (size_t piece = 1; piece < 500; piece = piece * 2 + 5) {
        struct machine one = machine_open(1);
        struct machine two = machine_open(1);
        struct buffer bytes = {0};
        struct buffer again = {0};
        uint64_t digests[2][2];
        const struct membership *membership = system_group_membership(two.system);
        fill(&one);
        cut(&one, piece, &bytes);
        assert_int_equal(import(&two, buffer_bytes(&bytes), piece), 0);
        assert_true(system_group_has_description(two.system));
        assert_int_equal(system_group_incarnation(two.system, 2), 77);
        assert_ptr_equal(system_group_membership(two.system), membership); /* lent for the machine's life */
        assert_int_equal(membership->count, 4);
        two.index = one.index;
        struct buffer command = {0};
        system_group_register(5, 55, &command);
        assert_int_equal(apply(&one, &command, 1), 0);
        assert_int_equal(apply(&two, &command, 1), 0);
        one.ops->digest(one.system, digests[0]);
        two.ops->digest(two.system, digests[1]);
        assert_memory_equal(digests[0], digests[1], sizeof(digests[0]));
        buffer_clear(&bytes);
        cut(&one, 4096, &bytes);
        cut(&two, 4096, &again);
        assert_true(bytes_equal(buffer_bytes(&bytes), buffer_bytes(&again)));
        buffer_close(&command);
        buffer_close(&bytes);
        buffer_close(&again);
        machine_close(&one);
        machine_close(&two);
    }
}

static void a_damaged_or_foreign_state_is_refused_and_changes_nothing(void **state)
{
    struct machine one = machine_open(1);
    struct machine other = machine_open(2);
    struct buffer bytes = {0};
    uint64_t before[2];
    uint64_t after[2];
    cut(&one, 64, &bytes); /* nothing agreed on yet is a state, too */
    assert_int_equal(import(&one, buffer_bytes(&bytes), 64), 0);
    assert_int_equal(import(&other, buffer_bytes(&bytes), 64), HF_EMISMATCH);
    buffer_clear(&bytes);
    fill(&one);
    cut(&one, 64, &bytes);
    other.ops->digest(other.system, before);
    assert_int_equal(import(&other, buffer_bytes(&bytes), 64), HF_EMISMATCH);
    for (size_t i = 0; i < bytes.size; i++) {
        assert_int_equal(import(&other, bytes_of(bytes.data, i), 64), HF_ECORRUPT);
        bytes.data[i] ^= 1;
        assert_int_equal(import(&other, buffer_bytes(&bytes), 64), i >= 8 && i < 12 ? HF_EVERSION : HF_ECORRUPT);
        bytes.data[i] ^= 1;
    }
    buffer_append_u8(&bytes, 0);
    assert_int_equal(import(&other, buffer_bytes(&bytes), 64), HF_ECORRUPT);
    other.ops->digest(other.system, after);
    assert_memory_equal(before, after, sizeof(before));
    buffer_close(&bytes);
    machine_close(&one);
    machine_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_description_is_agreed_on_and_another_one_stops_the_group),
        cmocka_unit_test(H18_the_first_registered_incarnation_of_a_node_counts),
        cmocka_unit_test(what_a_newer_program_wrote_stops_the_group_with_clear_text),
        cmocka_unit_test(a_truncated_entry_is_damage),
        cmocka_unit_test(a_state_that_went_through_a_snapshot_goes_on_as_the_other_does),
        cmocka_unit_test(a_damaged_or_foreign_state_is_refused_and_changes_nothing),
        cmocka_unit_test(H18_registrations_are_found_in_a_log_that_is_not_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
