/* links: cluster embed */
/* An embedder's machine, and the built-in one, in simulated clusters: nodes lose power at any time, snapshots are taken
 * every few entries, and who was away is sent one. On every node the machine sees each command once and in order,
 * whatever it was loaded from, and equal applied indexes mean equal states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/trace.h"
#include "embed/embed_machine.h"
#include "embed/embed_values.h"
#include "node/directory.h"
#include "planted.h"
#include "sim/sim.h"

enum { NODES = 3, GROUPS = 2, STEPS = 120 };
#define MS UINT64_C(1000000)

/* ---- A machine that keeps all it was told, to have a state that needs pieces ---- */

struct tape {
    struct buffer bytes;
    uint64_t last_index;
    uint32_t last_ordinal;
};
static unsigned tapes_open;
static unsigned tapes_loaded;

static void *tape_open(void *arg, uint64_t group)
{
    tapes_open++;
    return memory_new(sizeof(struct tape));
}

static void tape_close(void *state)
{
    struct tape *tape = state;
    tapes_open--;
    buffer_close(&tape->bytes);
    free(tape);
}

static int tape_apply(void *state, const struct hf_node_command *command, struct hf_node_reply *reply)
{
    struct tape *tape = state;
    if (command->index < tape->last_index ||
        (command->index == tape->last_index && command->ordinal != tape->last_ordinal + 1)) {
        fail_msg("index %u, ordinal %u comes after %u, %u", (unsigned)command->index, command->ordinal,
                 (unsigned)tape->last_index, tape->last_ordinal);
    }
    tape->last_index = command->index;
    tape->last_ordinal = command->ordinal;
    buffer_append_sized(&tape->bytes, command->payload);
    return hf_node_reply_append(reply, &tape->bytes.size, sizeof(tape->bytes.size));
}

static int tape_read(void *state, uint64_t group, struct hf_bytes query, struct hf_node_reply *reply)
{
    return hf_node_reply_append(reply, &((struct tape *)state)->bytes.size, sizeof(size_t));
}

struct tape_cut {
    struct buffer bytes;
    size_t read;
};

static void *tape_cut(void *state)
{
    const struct tape *tape = state;
    struct tape_cut *cut = memory_new(sizeof(*cut));
    buffer_append_u64(&cut->bytes, tape->last_index);
    buffer_append_u64(&cut->bytes, tape->last_ordinal);
    buffer_append_bytes(&cut->bytes, buffer_bytes(&tape->bytes));
    return cut;
}

static int tape_cut_read(void *arg, void *target, size_t size, size_t *got)
{
    struct tape_cut *cut = arg;
    size_t left = cut->bytes.size - cut->read;
    *got = left < size ? left : size;
    memcpy(target, cut->bytes.data + cut->read, *got);
    cut->read += *got;
    return 0;
}

static void tape_cut_close(void *arg)
{
    struct tape_cut *cut = arg;
    buffer_close(&cut->bytes);
    free(cut);
}

static int tape_load(void *state, struct hf_bytes bytes)
{
    buffer_append_bytes(&((struct tape *)state)->bytes, bytes);
    return 0;
}

static int tape_load_finish(void *state)
{
    struct tape *tape = state;
    if (tape->bytes.size < 16) {
        return HF_ECORRUPT;
    }
    tape->last_index = bytes_get_u64(tape->bytes.data);
    tape->last_ordinal = (uint32_t)bytes_get_u64(tape->bytes.data + 8);
    buffer_drop_front(&tape->bytes, 16);
    tapes_loaded++;
    return 0;
}

static void tape_digest(void *state, uint64_t digest[2])
{
    const struct tape *tape = state;
    digest[0] = tape->bytes.size;
    for (size_t i = 0; i < tape->bytes.size; i++) {
        digest[1] = digest[1] * 1099511628211u + tape->bytes.data[i];
    }
}

static const struct hf_node_machine tape_machine = {.open = tape_open,
                                                    .close = tape_close,
                                                    .apply = tape_apply,
                                                    .read = tape_read,
                                                    .cut = tape_cut,
                                                    .cut_read = tape_cut_read,
                                                    .cut_close = tape_cut_close,
                                                    .load = tape_load,
                                                    .load_finish = tape_load_finish,
                                                    .digest = tape_digest};

/* ---- The cluster ---- */

struct member {
    struct sim_host *host;
    struct node *node; /* NULL: down */
    struct embed_machine_host machine;
};

struct world {
    struct sim *sim;
    struct rng rng;
    bool has_values;
    struct member members[NODES];
    unsigned acknowledged;
    unsigned indeterminate;
    unsigned answered;
    unsigned asked;
};

static void world_start(struct world *world, unsigned i)
{
    struct member *member = &world->members[i];
    const struct node_options options = {
        .directory = "/data",
        .election_timeout_ms = 300,
        .heartbeat_timeout_ms = 40,
        .log = {.segment_size_bytes = 256 << 10},
        .snapshot = {.entries = 12, .interval_ms = UINT64_MAX, .trail = 3, .keep_latest = 2},
    };
    static const struct node_callbacks callbacks = {0};
    if (!sim_host_is_running(member->host)) {
        sim_host_start(member->host);
    }
    int rc = embed_machine_init(&member->machine, world->has_values ? embed_values_machine() : &tape_machine,
                                world->has_values ? EMBED_ENTRY_VALUES : EMBED_ENTRY_OWN,
                                world->has_values ? embed_values_check : NULL);
    rc = rc == 0 ? node_open(sim_host_io(member->host), sim_host_loop(member->host), &options, &member->machine.ops,
                             &callbacks, NULL, &member->node)
                 : rc;
    if (rc != 0) {
        fail_msg("node %u: %s: %s", i + 1, hf_error_name(rc), hf_error_text());
    }
}

static void world_power_off(struct world *world, unsigned i)
{
    struct member *member = &world->members[i];
    struct node *node = member->node;
    sim_host_power_off(member->host);
    member->node = NULL;
    node_close(node);
    assert_int_equal(sim_host_handle_count(member->host), 0);
}

static void world_open(struct world *world, uint64_t seed, bool has_values)
{
    struct description_node rows[NODES] = {0};
    struct description *description = NULL;
    *world = (struct world){.sim = sim_open(seed, NULL), .has_values = has_values};
    rng_seed(&world->rng, seed);
    tapes_open = tapes_loaded = 0;
    for (unsigned i = 0; i < NODES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%u", i + 1);
        world->members[i].host = sim_host_add(world->sim, name, NULL);
        rows[i].id = i + 1;
        snprintf(rows[i].peer_address, sizeof(rows[i].peer_address), "%s:7000", name);
    }
    assert_int_equal(description_create(sim_host_io(world->members[0].host), rows, NODES, GROUPS, &description), 0);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(directory_format(sim_host_io(world->members[i].host), "/data", description, i + 1), 0);
        world_start(world, i);
    }
    description_close(description);
}

static void world_close(struct world *world)
{
    for (unsigned i = 0; i < NODES; i++) {
        world_power_off(world, i);
    }
    sim_close(world->sim);
    assert_int_equal(tapes_open, 0);
}

/* ---- What happens ---- */

static void note_answer(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct world *world = arg;
    world->answered++;
    world->acknowledged += result == 0;
    world->indeterminate += result == HF_EINDETERMINATE;
    if (result == 0 && world->has_values) {
        struct embed_values_reply values;
        assert_int_equal(embed_values_reply(reply, &values), 0);
    }
}

/* Proposals must be made in a turn of the node's loop. */
struct proposing {
    struct world *world;
    struct node *node;
    uint64_t group;
    uint64_t value;
};

static void propose(void *arg)
{
    struct proposing *proposing = arg;
    struct buffer command = {0};
    char key[16];
    snprintf(key, sizeof(key), "k%u", (unsigned)(proposing->value % 20));
    if (proposing->world->has_values) {
        embed_values_put(bytes_of_text(key), bytes_of(&proposing->value, sizeof(proposing->value)), &command);
    } else {
        buffer_append(&command, &proposing->value, sizeof(proposing->value));
        buffer_append_text(&command, key);
    }
    node_propose(proposing->node, proposing->group, buffer_bytes(&command), note_answer, proposing->world);
    buffer_close(&command);
    free(proposing);
}

static void world_propose(struct world *world)
{
    struct member *member = &world->members[rng_below(&world->rng, NODES)];
    if (member->node == NULL) {
        return;
    }
    struct proposing *proposing = memory_new(sizeof(*proposing));
    *proposing = (struct proposing){.world = world,
                                    .node = member->node,
                                    .group = NODE_GROUP_FIRST + rng_below(&world->rng, GROUPS),
                                    .value = rng_next(&world->rng)};
    world->asked++;
    loop_post(sim_host_loop(member->host), propose, proposing);
}

static void world_expect_equal(struct world *world, bool is_final)
{
    for (uint32_t position = 1; position <= GROUPS; position++) {
        struct node_group_status status[NODES];
        for (unsigned i = 0; i < NODES; i++) {
            status[i] = (struct node_group_status){0};
            if (world->members[i].node == NULL) {
                continue;
            }
            assert_int_equal(node_group_status(world->members[i].node, position, &status[i]), 0);
            if (!status[i].is_started) {
                fail_msg("group %u stopped on node %u: %s", position, i + 1, status[i].text);
            }
            for (unsigned k = 0; k < i; k++) {
                if (world->members[k].node != NULL &&
                    status[k].replica.applied_index == status[i].replica.applied_index) {
                    assert_memory_equal(status[k].digest, status[i].digest, sizeof(status[i].digest));
                } else {
                    assert_false(is_final);
                }
            }
        }
    }
}

static void run(uint64_t seed, bool has_values)
{
    struct world world;
    world_open(&world, seed, has_values);
    sim_run_for(world.sim, 2000 * MS);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned victim = (unsigned)rng_below(&world.rng, NODES);
        for (uint64_t i = rng_below(&world.rng, 6); i > 0; i--) {
            world_propose(&world);
        }
        sim_run_for(world.sim, rng_below(&world.rng, 60) * MS);
        if (world.members[victim].node != NULL && rng_chance(&world.rng, 1, 12)) {
            world_power_off(&world, victim);
        } else if (world.members[victim].node == NULL && rng_chance(&world.rng, 1, 3)) {
            world_start(&world, victim);
        }
        world_expect_equal(&world, false);
    }
    for (unsigned i = 0; i < NODES; i++) {
        if (world.members[i].node == NULL) {
            world_start(&world, i);
        }
    }
    sim_run_for(world.sim, 8000 * MS);
    world_propose(&world);
    sim_run_for(world.sim, 4000 * MS);
    world_expect_equal(&world, true);
    assert_int_equal(world.answered, world.asked);
    assert_true(world.acknowledged > 20);
    assert_true(has_values || tapes_loaded > 0);
    world_close(&world);
}

static void an_embedders_machine_stays_equal_through_power_cuts_and_snapshots(void **state)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run(seed, false);
    }
}

static void the_built_in_machine_stays_equal_through_power_cuts_and_snapshots(void **state)
{
    for (uint64_t seed = 101; seed <= 112; seed++) {
        run(seed, true);
    }
}

int main(void)
{
    trace_set_level(TRACE_ERROR);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_embedders_machine_stays_equal_through_power_cuts_and_snapshots),
        cmocka_unit_test(the_built_in_machine_stays_equal_through_power_cuts_and_snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
