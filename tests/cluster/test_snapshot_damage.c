/* links: node sim cluster */
/* Groups whose snapshots cannot be used: closed there, the others go on, and what a leader's snapshot heals. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "cluster/snapshot_scene.h"
#include "node/group_stream.h"
#include "snapshot/snapshot.h"

static void others_go_on(struct scene *scene, struct scene_node *node, const char *text)
{
    struct hosted_group *group = scene_group(node, GROUP);
    uint64_t value = 0;
    assert_true(group->is_failed && group->replica == NULL); /* no vote, no acknowledgement */
    if (strstr(group->text, text) == NULL) {
        fail_msg("the group says: %s", group->text);
    }
    scene_wait_led(scene, 5000);
    assert_ptr_not_equal(scene_leader(scene, GROUP), node);
    assert_int_equal(scene_put(&scene->nodes[0], GROUP, 1, 70), 0);
    assert_int_equal(scene_put(node, GROUP + 1, 1, 71), 0);
    assert_int_equal(scene_get(node, GROUP + 1, 1, &value), 0);
    assert_int_equal(value, 71);
}

static struct scene *open_with_snapshots(struct scene_node **out)
{
    struct scene *scene = scene_open(3, 2, &often);
    struct scene_node *node = &scene->nodes[2];
    scene_wait_led(scene, 5000);
    for (unsigned i = 0; i < 2; i++) {
        must_put(&scene->nodes[0], 10);
        scene_run_ms(scene, 200);
        assert_int_equal(take(node, GROUP), 0);
    }
    assert_true(first_index(node) > 1);
    scene_power_off(node);
    sim_host_start(node->host);
    *out = node;
    return scene;
}

static void a_group_without_a_good_snapshot_is_closed_and_its_neighbours_are_not(void **state)
{
    struct scene_node *node;
    struct scene *scene = open_with_snapshots(&node);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(sim_disk_flip_random_bit(node->host, "/data/snapshots/0000000000000002-", NULL, NULL), 0);
    }
    assert_int_equal(scene_start(node), 0);
    others_go_on(scene, node, "ECORRUPT");
    scene_close(scene);
}

static int unlink_snapshot(void *arg, const char *name, bool is_directory)
{
    struct scene_node *node = arg;
    char path[SIM_PATH_SIZE_MAX];
    snprintf(path, sizeof(path), "/data/snapshots/%s", name);
    return strncmp(name, "0000000000000002-", 17) == 0 ? path_unlink(sim_host_io(node->host), path) : 0;
}

/* Of the node that is down all snapshots of the group are damaged, or gone. */
static void lose_snapshots(struct scene_node *node, bool are_gone)
{
    struct io *io = sim_host_io(node->host);
    if (are_gone) {
        assert_int_equal(directory_list(io, "/data/snapshots", unlink_snapshot, node), 0);
        assert_int_equal(directory_sync(io, "/data/snapshots"), 0);
    }
    for (unsigned i = 0; i < 40 && !are_gone; i++) {
        assert_int_equal(sim_disk_flip_random_bit(node->host, "/data/snapshots/0000000000000002-", NULL, NULL), 0);
    }
}

static bool is_started(void *arg)
{
    const struct hosted_group *group = scene_group(arg, GROUP);
    return group->replica != NULL && !group->is_failed;
}

/* It has everything that it had acknowledged, and is a member like the others. */
static void expect_healed(struct scene *scene, struct scene_node *node, const struct hf_log_group_state *before)
{
    struct hf_log_group_state after;
    uint64_t value = 0;
    if (!sim_run_until(scene->sim, is_started, node, 20000 * SCENE_MS)) {
        fail_msg("the group says: %s", scene_group(node, GROUP)->text);
    }
    assert_int_equal(hf_log_group_state(node->node->log, GROUP, &after), 0);
    assert_true(after.last_index >= before->last_index && after.hard_state.term >= before->hard_state.term);
    assert_true(after.hard_state.term > before->hard_state.term || before->hard_state.vote == 0 ||
                after.hard_state.vote == before->hard_state.vote);
    scene_wait_led(scene, 5000);
    assert_int_equal(scene_put(node, GROUP, 1, 72), 0);
    assert_int_equal(scene_get(node, GROUP, 1, &value), 0);
    assert_int_equal(value, 72);
    scene_run_ms(scene, 1000);
    assert_equal_states(scene);
}

/* The leader has no snapshot, and takes one: what it must have in it is what the closed member's log has. */
static void H8_a_group_without_a_good_snapshot_starts_from_its_leaders(void **state)
{
    for (unsigned round = 0; round < 4; round++) {
        struct scene_node *node;
        struct scene *scene = open_with_snapshots(&node);
        struct hf_log_group_state before;
        lose_snapshots(node, round % 2 == 1);
        assert_int_equal(scene_start(node), 0);
        assert_int_equal(hf_log_group_state(node->node->log, GROUP, &before), 0);
        if (round < 2) {
            others_go_on(scene, node, "ECORRUPT: no good snapshot reaches the log");
        }
        expect_healed(scene, node, &before);
        scene_power_off(node); /* and every later start finds it so */
        assert_int_equal(scene_start(node), 0);
        assert_true(is_started(node));
        scene_close(scene);
    }
}

/* Nobody leads without it: it stays closed for as long as that is so, and nothing is written there. */
static void a_group_without_a_good_snapshot_waits_for_a_leader(void **state)
{
    struct scene_node *node;
    struct scene *scene = open_with_snapshots(&node);
    struct hf_log_group_state before;
    struct hf_log_group_state after;
    lose_snapshots(node, false);
    scene_kill(&scene->nodes[0]);
    assert_int_equal(scene_start(node), 0);
    assert_int_equal(hf_log_group_state(node->node->log, GROUP, &before), 0);
    scene_run_ms(scene, 10000);
    assert_int_equal(hf_log_group_state(node->node->log, GROUP, &after), 0);
    assert_true(!is_started(node) && scene_leader(scene, GROUP) == NULL);
    assert_memory_equal(&after.hard_state, &before.hard_state, sizeof(after.hard_state));
    assert_true(after.first_index == before.first_index && after.last_index == before.last_index);
    assert_int_equal(scene_start(&scene->nodes[0]), 0);
    expect_healed(scene, node, &before);
    scene_close(scene);
}

/* The power goes at every moment of it. */
static void H8_a_power_cut_while_a_snapshot_replaces_damaged_ones_loses_nothing(void **state)
{
    unsigned cut_short = 0;
    for (uint64_t at = 1; at < 30; at++) {
        struct scene_node *node;
        struct scene *scene = open_with_snapshots(&node);
        struct hf_log_group_state before;
        lose_snapshots(node, at % 3 == 0);
        assert_int_equal(scene_start(node), 0);
        assert_int_equal(hf_log_group_state(node->node->log, GROUP, &before), 0);
        sim_disk_cut_at(node->host, at, at % 4 == 1 ? SIM_CUT_DURING : SIM_CUT_AFTER);
        for (unsigned i = 0; i < 300 && sim_host_is_running(node->host); i++) {
            scene_run_ms(scene, 10);
        }
        cut_short += !sim_host_is_running(node->host);
        scene_power_off(node);
        sim_disk_cut_at(node->host, 0, SIM_CUT_AFTER);
        assert_int_equal(scene_start(node), 0);
        expect_healed(scene, node, &before);
        scene_close(scene);
    }
    assert_true(cut_short > 10);
}

static void a_group_whose_snapshot_cannot_be_read_is_closed_until_it_can(void **state)
{
    bool was_closed = false;
    for (uint64_t skip = 0; skip < 12; skip++) {
        struct scene_node *node;
        struct scene *scene = open_with_snapshots(&node);
        const struct sim_disk_failure failure = {SIM_DISK_READ, skip, UINT64_MAX, HF_EIO,
                                                 "/data/snapshots/0000000000000002-"};
        sim_disk_fail(node->host, &failure);
        assert_int_equal(scene_start(node), 0);
        if (scene_group(node, GROUP)->is_failed) {
            was_closed = true;
            others_go_on(scene, node, "E");
        }
        sim_disk_fail_clear(node->host);
        scene_power_off(node);
        assert_int_equal(scene_start(node), 0);
        assert_false(scene_group(node, GROUP)->is_failed);
        scene_close(scene);
    }
    assert_true(was_closed);
}

static void a_group_whose_snapshot_a_newer_program_wrote_is_closed(void **state)
{
    struct scene_node *node;
    struct scene *scene = open_with_snapshots(&node);
    struct hf_snapshot_store *store = NULL;
    struct hf_snapshot_writer *writer = NULL;
    struct hf_snapshot_manifest manifest;
    const struct hf_snapshot_options options = {.format = {.chunk_size_bytes = 4096}};
    const struct group_stream_head fields = {GROUP, scene->description->groups[GROUP - 1].incarnation, 1};
    uint8_t head[GROUP_STREAM_HEAD_SIZE];
    assert_int_equal(snapshot_open(sim_host_io(node->host), "/data/snapshots", &options, &store), 0);
    assert_int_equal(hf_snapshot_latest(store, GROUP, 0, &manifest), 0);
    const struct hf_snapshot_begin begin = {.group = GROUP,
                                            .group_incarnation = fields.incarnation,
                                            .index = manifest.index + 1,
                                            .term = manifest.term,
                                            .configuration_index = manifest.configuration_index,
                                            .configuration = {manifest.configuration, manifest.configuration_size}};
    group_stream_encode(&fields, head);
    bytes_put_u32(head + 8, GROUP_STREAM_VERSION + 1);
    assert_int_equal(hf_snapshot_begin(store, &begin, &writer), 0);
    assert_int_equal(hf_snapshot_write(writer, head, sizeof(head)), 0);
    assert_int_equal(hf_snapshot_finish(writer, 0, NULL), 0);
    hf_snapshot_store_close(store);
    assert_int_equal(scene_start(node), 0);
    others_go_on(scene, node, "EVERSION");
    scene_close(scene);
}

static bool is_receiving(void *arg)
{
    struct fetch_status status;
    const struct scene_node *node = arg;
    return fetch_status(node->node, 0, &status) == 0 && status.phase == FETCH_RECEIVING && status.bytes_done > 0;
}

/* Nobody is left to lead, until it comes back, and goes on sending or has somebody else send another one. */
static void a_leader_that_dies_while_its_snapshot_is_fetched_is_waited_for(void **state)
{
    for (unsigned round = 0; round < 6; round++) {
        struct scene_node *node;
        struct scene *scene = open_with_snapshots(&node);
        struct hf_log_group_state before;
        struct sim_profile slow = sim_profile_calm();
        slow.link.bandwidth_bytes_per_s = 20000;
        lose_snapshots(node, round % 2 == 1);
        scene_wait_led(scene, 5000);
        struct scene_node *leader = scene_leader(scene, GROUP);
        struct scene_node *other = &scene->nodes[leader == &scene->nodes[0] ? 1 : 0];
        assert_ptr_not_equal(leader, other);
        sim_set_profile(scene->sim, &slow);
        assert_int_equal(scene_start(node), 0);
        assert_int_equal(hf_log_group_state(node->node->log, GROUP, &before), 0);
        assert_true(sim_run_until(scene->sim, is_receiving, node, 20000 * SCENE_MS));
        scene_power_off(leader);
        scene_run_ms(scene, 500 + 1000 * round);
        assert_false(is_started(node));
        sim_calm(scene->sim);
        assert_int_equal(scene_start(leader), 0);
        expect_healed(scene, node, &before);
        scene_close(scene);
    }
}

/* The description and the members: what the node is told of the others it has from the others. */
static void H8_a_system_group_without_a_good_snapshot_starts_from_its_leaders(void **state)
{
    struct scene *scene = scene_open(3, 1, &often);
    struct scene_node *node = &scene->nodes[2];
    scene_wait_led(scene, 5000);
    scene_run_ms(scene, 2000); /* everybody is registered */
    for (unsigned round = 0; round < 3; round++) {
        change_addresses(&scene->nodes[0], 1, 4);
        scene_run_ms(scene, 200);
        assert_int_equal(take(node, NODE_SYSTEM_GROUP), 0);
    }
    assert_true(system_state(node).first_index > 1);
    scene_power_off(node);
    sim_host_start(node->host);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(sim_disk_flip_random_bit(node->host, "/data/snapshots/0000000000000001-", NULL, NULL), 0);
    }
    assert_int_equal(scene_start(node), 0);
    assert_true(scene_group(node, NODE_SYSTEM_GROUP)->is_failed);
    assert_true(sim_run_until(scene->sim, system_is_equal, scene, 20000 * SCENE_MS));
    assert_false(scene_group(node, NODE_SYSTEM_GROUP)->is_failed);
    change_addresses(node, 1, 2);
    assert_true(sim_run_until(scene->sim, system_is_equal, scene, 20000 * SCENE_MS));
    assert_int_equal(scene_put(node, GROUP, 1, 7), 0);
    scene_close(scene);
}

int main(void)
{
    trace_set_sink(drop_line, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_without_a_good_snapshot_is_closed_and_its_neighbours_are_not),
        cmocka_unit_test(H8_a_group_without_a_good_snapshot_starts_from_its_leaders),
        cmocka_unit_test(a_group_without_a_good_snapshot_waits_for_a_leader),
        cmocka_unit_test(H8_a_power_cut_while_a_snapshot_replaces_damaged_ones_loses_nothing),
        cmocka_unit_test(a_group_whose_snapshot_cannot_be_read_is_closed_until_it_can),
        cmocka_unit_test(a_group_whose_snapshot_a_newer_program_wrote_is_closed),
        cmocka_unit_test(a_leader_that_dies_while_its_snapshot_is_fetched_is_waited_for),
        cmocka_unit_test(H8_a_system_group_without_a_good_snapshot_starts_from_its_leaders),
    };
#ifdef HF_MUTATIONS
    if (getenv("HOLDFAST_MUTATION") != NULL && mutation_enable(getenv("HOLDFAST_MUTATION")) != 0) {
        return 2;
    }
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
