/* links: node sim cluster */
/* How many entries a group's log may hold, and what happens when snapshots keep failing. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cluster/snapshot_scene.h"
#include "node/log_cap.h"

#define CAP 64u

static struct node_options capped(void)
{
    struct node_options options = often;
    options.snapshot.log_entries_max = CAP;
    return options;
}

static const struct sim_disk_failure no_space = {SIM_DISK_WRITE, 0, UINT64_MAX, HF_ENOSPACE, "snapshots"};

/* Writes until one is refused, or `most` are taken; returns how many were. */
static uint64_t put_until_refused(struct scene_node *node, uint64_t first, uint64_t most, int *result)
{
    uint64_t taken = 0;
    *result = 0;
    while (taken < most && *result == 0) {
        *result = scene_put(node, GROUP, (uint32_t)((first + taken) % CLUSTER_REGISTERS), first + taken);
        taken += *result == 0;
        scene_run_ms(node->scene, 50);
    }
    return taken;
}

static struct node_group_status group_status(struct scene_node *node)
{
    struct node_group_status status;
    assert_int_equal(node_group_status(node->node, GROUP - 1, &status), 0);
    return status;
}

static void assert_newest(struct scene_node *node, uint64_t next)
{
    for (uint64_t number = next - CLUSTER_REGISTERS; number < next; number++) {
        uint64_t value = 0;
        assert_int_equal(scene_get(node, GROUP, (uint32_t)(number % CLUSTER_REGISTERS), &value), 0);
        assert_true(value == number);
    }
}

/* The log is never cut to make room: what was acknowledged is there, also after a power cut, until a snapshot has it.
 */
static void writes_are_refused_at_the_cap_while_snapshots_fail_and_nothing_is_lost(void **state)
{
    struct node_options options = capped();
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    struct node_snapshot_status status;
    uint64_t next = 1000;
    int rc;
    scene_wait_led(scene, 5000);
    sim_disk_fail(node->host, &no_space);
    next += put_until_refused(node, next, 10 * CAP, &rc);
    assert_int_equal(rc, HF_ENOSPACE);
    assert_true(next - 1000 > CAP / 2 && next - 1000 < 2 * CAP);
    node_snapshot_status(node->node, &status);
    assert_true(status.failed_in_row > 0 && status.groups_capped == 1);
    assert_non_null(strstr(status.text, "group 2: "));
    assert_true(group_status(node).is_log_capped && group_status(node).log_entries >= CAP);
    assert_non_null(strstr(group_status(node).text, "snapshot.entries_max"));
    assert_int_equal(first_index(node), 1);
    assert_newest(node, next);
    scene_power_off(node);
    assert_int_equal(scene_start(node), 0);
    scene_wait_led(scene, 5000);
    assert_newest(node, next);
    put_until_refused(node, next, 0, &rc);
    sim_disk_fail_clear(node->host);
    scene_run_ms(scene, 2 * SNAPSHOTS_RETRY_NEAR_MS);
    assert_int_equal(put_until_refused(node, next, 3 * CAP, &rc), 3 * CAP);
    next += 3 * CAP;
    assert_newest(node, next);
    node_snapshot_status(node->node, &status);
    assert_true(status.failed_in_row == 0 && status.groups_capped == 0 && status.text[0] == '\0');
    assert_true(group_status(node).log_entries < CAP && group_status(node).text[0] == '\0');
    scene_close(scene);
}

/* A member must take what its leader sends: it only says so. */
static void a_follower_at_its_cap_takes_entries_and_says_so(void **state)
{
    struct node_options options = capped();
    struct scene *scene = scene_open(3, 1, &options);
    scene_wait_led(scene, 5000);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct scene_node *follower = scene_follower(scene, GROUP);
    int rc;
    sim_disk_fail(follower->host, &no_space);
    assert_int_equal(put_until_refused(leader, 1000, 3 * CAP, &rc), 3 * CAP);
    assert_true(group_status(follower).is_log_capped && !group_status(leader).is_log_capped);
    assert_true(group_status(follower).log_entries > 2 * CAP && first_index(follower) == 1);
    assert_true(group_status(leader).log_entries < CAP);
    sim_disk_fail_clear(follower->host);
    scene_run_ms(scene, 2 * SNAPSHOTS_RETRY_NEAR_MS);
    assert_int_equal(put_until_refused(leader, 1000, CAP, &rc), CAP);
    scene_run_ms(scene, 1000);
    assert_true(!group_status(follower).is_log_capped && group_status(follower).log_entries < CAP);
    assert_equal_states(scene);
    scene_close(scene);
}

static bool is_fetching(void *arg)
{
    struct fetch_status status;
    const struct scene_node *node = arg;
    return node->node != NULL && fetch_status(node->node, 0, &status) == 0 && status.phase == FETCH_RECEIVING &&
           status.bytes_done > 0;
}

/* A link so slow that the log would be held back for long: the member gets a newer snapshot instead. */
static void a_member_that_fetches_slowly_does_not_hold_the_log_back_beyond_the_cap(void **state)
{
    struct node_options options = capped();
    struct scene *scene = open_with_a_laggard_of(&options);
    struct scene_node *node = &scene->nodes[2];
    struct sim_profile slow = sim_profile_calm();
    uint64_t most = 0;
    slow.link.bandwidth_bytes_per_s = 20000;
    sim_set_profile(scene->sim, &slow);
    assert_int_equal(scene_start(node), 0);
    assert_true(sim_run_until(scene->sim, is_fetching, node, 20000 * SCENE_MS));
    scene_wait_led(scene, 20000);
    struct scene_node *leader = scene_leader(scene, GROUP);
    for (unsigned i = 0; i < 4 * CAP; i++) {
        assert_int_equal(scene_put(leader, GROUP, i % CLUSTER_REGISTERS, 5000 + i), 0);
        most = group_status(leader).log_entries > most ? group_status(leader).log_entries : most;
    }
    assert_true(most < 2 * CAP);
    sim_calm(scene->sim);
    assert_true(sim_run_until(scene->sim, is_caught_up, scene, 40000 * SCENE_MS));
    scene_run_ms(scene, 1000);
    assert_equal_states(scene);
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_are_refused_at_the_cap_while_snapshots_fail_and_nothing_is_lost),
        cmocka_unit_test(a_follower_at_its_cap_takes_entries_and_says_so),
        cmocka_unit_test(a_member_that_fetches_slowly_does_not_hold_the_log_back_beyond_the_cap),
    };
    trace_set_sink(drop_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
