/* links: node sim cluster */
/* Members that come and go, one thing at a time, on calm simulated hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "cluster/cluster_scene.h"
#include "node/directory.h"
#include "node/joining.h"
#include "node/members.h"
#include "node/system_group.h"

#define FIRST NODE_GROUP_FIRST
#define NONE  (-1)

static void write_some(struct scene_node *node, uint32_t groups, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t g = 0; g < groups; g++) {
            assert_int_equal(scene_put(node, FIRST + g, i % CLUSTER_REGISTERS, 1000 * g + i), 0);
        }
    }
}

static struct scene_node *join(struct scene *scene, struct scene_node *through, enum membership_role role)
{
    char why[256] = "";
    struct scene_node *node = scene_join(scene, through, role, why);
    if (node == NULL) {
        fail_msg("join: %s", why);
    }
    assert_int_equal(scene_start(node), 0);
    return node;
}

/* Equal logs and states on all nodes that are up, once nothing happens any more. */
static void assert_equal_states(struct scene *scene, const struct scene_node *except)
{
    for (uint32_t group = 1; group <= scene->group_count + 1; group++) {
        struct node_group_status first = {0};
        for (uint32_t i = 0; i < scene->node_count; i++) {
            struct node_group_status status;
            if (scene->nodes[i].node == NULL || &scene->nodes[i] == except) {
                continue;
            }
            assert_int_equal(node_group_status(scene->nodes[i].node, group - 1, &status), 0);
            assert_true(status.is_started);
            if (first.group == 0) {
                first = status;
            }
            assert_int_equal(status.replica.applied_index, first.replica.applied_index);
            assert_memory_equal(status.digest, first.digest, sizeof(first.digest));
        }
    }
}

static void a_node_joins_catches_up_and_gets_its_votes_by_itself(void **state)
{
    struct scene *scene = scene_open(3, 3, NULL);
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    write_some(&scene->nodes[0], 3, 40);
    struct scene_node *fourth = join(scene, &scene->nodes[1], MEMBERSHIP_VOTER);
    assert_int_equal(fourth->id, 4);
    scene_wait_role(scene, 4, REPLICA_ROLE_VOTER, 5000);
    write_some(fourth, 3, 5); /* any node takes every command */
    scene_run_ms(scene, 1000);
    assert_equal_states(scene, NULL);
    /* Its vote counts: with it, two others may be away one after the other. */
    scene_kill(&scene->nodes[0]);
    scene_wait_led(scene, 6000);
    assert_int_equal(scene_put(fourth, FIRST, 1, 77), 0);
    assert_int_equal(scene_get(&scene->nodes[1], FIRST, 1, &value), 0);
    assert_int_equal(value, 77);
    /* And it comes back from what its own directory says. */
    scene_kill(fourth);
    assert_int_equal(scene_start(&scene->nodes[0]), 0);
    scene_wait_led(scene, 6000);
    assert_int_equal(scene_start(fourth), 0);
    scene_run_ms(scene, 3000);
    assert_equal_states(scene, NULL);
    scene_close(scene);
}

static void a_lone_node_grows_to_three(void **state)
{
    struct scene *scene = scene_open(1, 2, NULL);
    scene_wait_led(scene, 4000);
    write_some(&scene->nodes[0], 2, 20);
    join(scene, &scene->nodes[0], MEMBERSHIP_VOTER);
    scene_wait_role(scene, 2, REPLICA_ROLE_VOTER, 5000);
    join(scene, &scene->nodes[1], MEMBERSHIP_VOTER);
    scene_wait_role(scene, 3, REPLICA_ROLE_VOTER, 5000);
    scene_kill(&scene->nodes[0]);
    scene_wait_led(scene, 6000);
    write_some(&scene->nodes[2], 2, 5);
    assert_int_equal(scene_start(&scene->nodes[0]), 0);
    scene_run_ms(scene, 3000);
    assert_equal_states(scene, NULL);
    scene_close(scene);
}

static void H14_a_node_that_does_not_catch_up_gets_no_vote(void **state)
{
    char why[256] = "";
    struct scene *scene = scene_open(2, 2, NULL);
    scene_wait_led(scene, 4000);
    struct scene_node *third = scene_join(scene, &scene->nodes[0], MEMBERSHIP_VOTER, why);
    assert_non_null(third); /* and is not started: a vote of its own would stop the others as soon as one more fails */
    scene_wait_role(scene, 3, REPLICA_ROLE_STANDBY, 5000);
    scene_run_ms(scene, 5000);
    scene_wait_role(scene, 3, REPLICA_ROLE_STANDBY, 1000);
    assert_int_equal(scene_start(third), 0);
    scene_wait_role(scene, 3, REPLICA_ROLE_VOTER, 5000);
    scene_close(scene);
}

static uint64_t last_index(struct scene_node *node, uint64_t group)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(node->node->log, group, &state), 0);
    return state.last_index;
}

/* Two voters become one, and the power of both goes when the change is on the disk of the one alone that loses its
 * vote. That one must still stand: the other's log is too short for its vote. */
static void lose_power_while_a_voter_remains(uint64_t group)
{
    struct scene *scene = scene_open(2, 2, NULL);
    struct replica_status status = {0};
    scene_wait_led(scene, 4000);
    write_some(&scene->nodes[0], 2, 5);
    scene_run_ms(scene, 3000);
    struct scene_node *stays = scene_leader(scene, group);
    struct scene_node *leaves = &scene->nodes[stays == &scene->nodes[0]];
    assert_int_equal(scene_set_role(stays, leaves->id, MEMBERSHIP_STANDBY, true), 0);
    sim_disk_stall(stays->host, 20000 * SCENE_MS);
    for (unsigned i = 0; i < 400 && !(status.is_changing && status.durable_index == status.last_index); i++) {
        scene_run_ms(scene, 2);
        replica_status(scene_group(leaves, group)->replica, &status);
    }
    assert_true(status.is_changing);
    scene_power_off(stays);
    scene_power_off(leaves);
    sim_disk_choose_outcome(stays->host, 0);
    sim_disk_stall(stays->host, 0);
    assert_int_equal(scene_start(stays), 0);
    assert_int_equal(scene_start(leaves), 0);
    assert_true(last_index(stays, group) < last_index(leaves, group));
    /* It is carried to the end, and who stays goes on alone. */
    scene_wait_role(scene, leaves->id, REPLICA_ROLE_STANDBY, 15000);
    scene_run_ms(scene, 3000);
    assert_ptr_equal(scene_leader(scene, group), stays);
    scene_kill(leaves);
    assert_int_equal(scene_put(stays, group, 1, 4711), 0);
    scene_close(scene);
}

static void GM_who_loses_its_vote_to_a_single_other_one_still_stands(void **state)
{
    lose_power_while_a_voter_remains(FIRST);
    lose_power_while_a_voter_remains(FIRST + 1); /* the other way round */
}

static void nobody_joins_from_an_address_at_which_somebody_else_or_nobody_answers(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    struct membership_change change = {.kind = MEMBERSHIP_JOIN,
                                       .feature_level = DESCRIPTION_FEATURE_LEVEL_MAX,
                                       .role = MEMBERSHIP_VOTER,
                                       .incarnation = 99};
    scene_wait_led(scene, 4000);
    struct sim_host *host = sim_host_add(scene->sim, "n4", NULL);
    strcpy(change.node.peer_address, "n4:7000");
    struct membership_outcome outcome = scene_changed(&scene->nodes[0], &change);
    assert_true(outcome.result < 0);
    assert_non_null(strstr(outcome.text, "nothing was changed"));
    struct joining *joining = NULL;
    assert_int_equal(joining_open(sim_host_io(host), sim_host_loop(host), scene->description->cluster_id, 1, 98,
                                  "n4:7000", &joining),
                     0);
    outcome = scene_changed(&scene->nodes[0], &change);
    assert_int_equal(outcome.result, HF_EMISMATCH);
    assert_non_null(strstr(outcome.text, "somebody else answers"));
    change.incarnation = 98;
    assert_int_equal(scene_changed(&scene->nodes[0], &change).result, 0);
    joining_close(joining);
    /* Another member answers there: it is not who joins. */
    strcpy(change.node.peer_address, "n2:7000");
    change.incarnation = 97;
    assert_true(scene_changed(&scene->nodes[0], &change).result < 0);
    scene_run_ms(scene, 500);
    assert_int_equal(node_membership(scene->nodes[0].node)->count, 4);
    scene_close(scene);
}

static void H14_the_leader_of_everything_is_removed_hands_over_first_and_stops(void **state)
{
    struct scene *scene = scene_open(4, 3, NULL);
    scene_wait_led(scene, 4000);
    write_some(&scene->nodes[0], 3, 10);
    for (uint64_t group = 1; group <= 4; group++) {
        struct scene_node *leader = scene_leader(scene, group);
        if (leader->id != 1) {
            (void)node_transfer(leader->node, group, 1);
        }
    }
    scene_run_ms(scene, 1000);
    assert_int_equal(scene_set_role(&scene->nodes[0], 1, MEMBERSHIP_LEAVING, false), 0);
    scene_wait_role(scene, 1, NONE, 8000);
    scene_run_ms(scene, 8000);
    assert_int_equal(node_membership(scene->nodes[1].node)->count, 3);
    assert_true(node_is_removed(scene->nodes[0].node));
    struct node_group_status status;
    assert_int_equal(node_group_status(scene->nodes[0].node, 1, &status), 0);
    assert_false(status.is_started);
    assert_non_null(strstr(status.text, "removed from the cluster"));
    write_some(&scene->nodes[2], 3, 3);
    /* Started again it is refused, with the reason. */
    scene_kill(&scene->nodes[0]);
    int rc = scene_start(&scene->nodes[0]);
    if (rc == 0) {
        scene_run_ms(scene, 4000);
        assert_true(node_is_removed(scene->nodes[0].node));
    } else {
        assert_int_equal(rc, HF_EREMOVED);
    }
    scene_close(scene);
}

static void a_removed_node_that_slept_is_told_at_the_door(void **state)
{
    for (uint64_t id = 1; id <= 3; id += 2) { /* the lowest id, whom nobody dials, and the highest */
        struct scene *scene = scene_open(3, 2, NULL);
        scene_wait_led(scene, 4000);
        scene_run_ms(scene, 1000);
        struct scene_node *gone = &scene->nodes[id - 1];
        struct scene_node *other = &scene->nodes[1];
        scene_kill(gone);
        scene_wait_led(scene, 6000);
        assert_int_equal(scene_set_role(other, id, MEMBERSHIP_LEAVING, false), 0);
        scene_wait_role(scene, id, NONE, 8000);
        scene_run_ms(scene, 2000);
        assert_null(membership_find(node_membership(other->node), id));
        assert_int_equal(scene_start(gone), 0);
        scene_run_ms(scene, 6000);
        assert_true(node_is_removed(gone->node));
        struct node_group_status status;
        assert_int_equal(node_group_status(gone->node, 0, &status), 0);
        assert_non_null(strstr(status.text, "next:"));
        write_some(other, 2, 2);
        scene_close(scene);
    }
}

/* The new node leads the system group, so that nobody but the others can say who it is. */
static void a_node_that_slept_through_a_join_hears_of_it_from_the_others(void **state)
{
    struct scene *scene = scene_open(3, 3, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    scene_kill(&scene->nodes[1]);
    scene_wait_led(scene, 6000);
    struct scene_node *fourth = join(scene, &scene->nodes[0], MEMBERSHIP_VOTER);
    scene_wait_role(scene, 4, REPLICA_ROLE_VOTER, 8000);
    for (unsigned i = 0; i < 20 && scene_leader(scene, NODE_SYSTEM_GROUP) != fourth; i++) {
        struct scene_node *leader = scene_leader(scene, NODE_SYSTEM_GROUP);
        if (leader != NULL) {
            (void)node_transfer(leader->node, NODE_SYSTEM_GROUP, 4);
        }
        scene_run_ms(scene, 500);
    }
    assert_ptr_equal(scene_leader(scene, NODE_SYSTEM_GROUP), fourth);
    assert_int_equal(scene_start(&scene->nodes[1]), 0);
    scene_run_ms(scene, 4000);
    assert_true(peer_is_up(node_peers(scene->nodes[1].node), 4));
    assert_int_equal(node_membership(scene->nodes[1].node)->count, 4);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    assert_equal_states(scene, NULL);
    scene_close(scene);
}

static void H14_votes_are_not_taken_when_no_majority_would_be_left(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 500);
    scene_kill(&scene->nodes[2]);
    scene_wait_led(scene, 6000);
    scene_run_ms(scene, 1000);
    /* Of nodes 1 and 3, which would remain, only one can be reached. */
    struct membership_change change = {.kind = MEMBERSHIP_ROLE, .node = {.id = 2}, .role = MEMBERSHIP_LEAVING};
    struct membership_outcome outcome = scene_changed(&scene->nodes[0], &change);
    assert_int_equal(outcome.result, HF_EUNSAFE);
    assert_non_null(strstr(outcome.text, "no majority"));
    assert_int_equal(scene_set_role(&scene->nodes[0], 3, MEMBERSHIP_LEAVING, false), 0);
    scene_wait_role(scene, 3, NONE, 5000);
    assert_int_equal(scene_set_role(&scene->nodes[0], 2, MEMBERSHIP_LEAVING, false), HF_EUNSAFE);
    write_some(&scene->nodes[1], 1, 3);
    scene_close(scene);
}

static void H14_down_to_one_voter_by_force_and_up_again(void **state)
{
    struct scene *scene = scene_open(2, 2, NULL);
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    write_some(&scene->nodes[0], 2, 10);
    assert_int_equal(scene_set_role(&scene->nodes[0], 2, MEMBERSHIP_STANDBY, false), HF_EUNSAFE);
    assert_int_equal(scene_set_role(&scene->nodes[0], 2, MEMBERSHIP_STANDBY, true), 0);
    scene_wait_role(scene, 2, REPLICA_ROLE_STANDBY, 5000);
    scene_kill(&scene->nodes[1]);
    write_some(&scene->nodes[0], 2, 3); /* alone, it goes on */
    scene_power_off(&scene->nodes[0]);
    assert_int_equal(scene_start(&scene->nodes[0]), 0);
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 5), 0);
    assert_int_equal(scene_start(&scene->nodes[1]), 0);
    assert_int_equal(scene_set_role(&scene->nodes[0], 2, MEMBERSHIP_VOTER, false), 0);
    scene_wait_role(scene, 2, REPLICA_ROLE_VOTER, 5000);
    assert_int_equal(scene_get(&scene->nodes[1], FIRST, 1, &value), 0);
    assert_int_equal(value, 5);
    scene_close(scene);
}

/* Who was answered by one node asks the next one at once, which did not hear of the first change yet. */
static void a_node_that_is_behind_catches_up_before_it_judges_a_change(void **state)
{
    struct scene *scene = scene_open(4, 2, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 2000);
    struct scene_node *leader = scene_leader(scene, NODE_SYSTEM_GROUP);
    struct scene_node *behind = scene_follower(scene, NODE_SYSTEM_GROUP);
    struct membership_change change = {.kind = MEMBERSHIP_ROLE};
    const struct sim_link far = {.delay_ns = {40 * SCENE_MS, 40 * SCENE_MS}};
    for (uint64_t id = 1; change.node.id == 0; id++) {
        change.node.id = id != leader->id && id != behind->id ? id : 0;
    }
    sim_link_set(leader->host, behind->host, &far);
    change.role = MEMBERSHIP_STANDBY;
    assert_int_equal(scene_changed(leader, &change).result, 0);
    assert_int_not_equal(node_membership(behind->node)->version, node_membership(leader->node)->version);
    change.role = MEMBERSHIP_VOTER;
    assert_int_equal(scene_changed(behind, &change).result, 0);
    scene_close(scene);
}

static void a_voter_becomes_a_standby_and_a_voter_again(void **state)
{
    struct scene *scene = scene_open(3, 2, NULL);
    scene_wait_led(scene, 4000);
    for (unsigned round = 0; round < 2; round++) {
        uint64_t id = scene_leader(scene, FIRST)->id; /* a leader: it hands over first */
        assert_int_equal(scene_set_role(&scene->nodes[0], id, MEMBERSHIP_STANDBY, false), 0);
        scene_wait_role(scene, id, REPLICA_ROLE_STANDBY, 8000);
        write_some(&scene->nodes[id - 1], 2, 3);
        assert_int_equal(scene_set_role(&scene->nodes[0], id, MEMBERSHIP_VOTER, false), 0);
        scene_wait_role(scene, id, REPLICA_ROLE_VOTER, 8000);
    }
    scene_run_ms(scene, 1000);
    assert_equal_states(scene, NULL);
    scene_close(scene);
}

/* Has the system group led by this node as far as that can be had. */
static bool lead_system(struct scene *scene, struct scene_node *node, uint64_t limit_ms)
{
    for (uint64_t waited_ms = 0; waited_ms < limit_ms && scene_leader(scene, NODE_SYSTEM_GROUP) != node;
         waited_ms += 50) {
        struct scene_node *leader = scene_leader(scene, NODE_SYSTEM_GROUP);
        if (leader != NULL) {
            (void)node_transfer(leader->node, NODE_SYSTEM_GROUP, node->id);
        }
        scene_run_ms(scene, 50);
    }
    return scene_leader(scene, NODE_SYSTEM_GROUP) == node;
}

/* Node 5 leads the system group and knows of the other group what the description says, which is that node 4 is none of
 * its members; the group itself stands still, and needs the vote of node 4 to go on. */
static void nobody_is_forgotten_by_what_one_node_happens_to_know(void **state)
{
    char why[256] = "";
    struct scene *scene = scene_open(3, 1, NULL);
    scene_wait_led(scene, 4000);
    assert_non_null(scene_join(scene, &scene->nodes[0], MEMBERSHIP_VOTER, why));
    assert_int_equal(scene_start(&scene->nodes[3]), 0);
    scene_wait_role(scene, 4, REPLICA_ROLE_VOTER, 8000);
    hosted_group_fail(scene_group(&scene->nodes[0], FIRST), "stands still");
    hosted_group_fail(scene_group(&scene->nodes[3], FIRST), "stands still");
    scene_run_ms(scene, 3000);
    struct scene_node *fifth = scene_join(scene, &scene->nodes[1], MEMBERSHIP_VOTER, why);
    assert_non_null(fifth);
    assert_int_equal(scene_start(fifth), 0);
    scene_run_ms(scene, 3000);
    assert_int_equal(scene_role(fifth, FIRST, 4), NONE);
    assert_true(lead_system(scene, fifth, 5000));
    assert_int_equal(scene_set_role(fifth, 4, MEMBERSHIP_LEAVING, false), 0);
    for (unsigned i = 0; i < 20; i++) {
        (void)lead_system(scene, fifth, 2000);
        scene_run_ms(scene, 200);
        assert_non_null(membership_find(node_membership(scene->nodes[1].node), 4));
    }
    /* The group goes on, lets node 4 go, and only then it is forgotten. */
    for (unsigned i = 0; i < 4; i += 3) {
        scene_kill(&scene->nodes[i]);
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
    }
    for (unsigned i = 0; i < 200 && membership_find(node_membership(scene->nodes[1].node), 4) != NULL; i++) {
        scene_run_ms(scene, 100);
    }
    assert_null(membership_find(node_membership(scene->nodes[1].node), 4));
    assert_int_equal(scene_role(&scene->nodes[1], FIRST, 4), NONE);
    write_some(&scene->nodes[1], 1, 2);
    scene_close(scene);
}

/* The node that leads the system group cannot say who the members of a group are that is closed there; others can. */
static void who_leaves_is_forgotten_though_a_group_is_closed_on_the_leaders_node(void **state)
{
    for (uint32_t closed = 0; closed < 3; closed++) {
        char why[256] = "";
        struct scene *scene = scene_open(3, 1, NULL);
        struct scene_node *node = &scene->nodes[closed];
        scene_wait_led(scene, 4000);
        assert_non_null(scene_join(scene, &scene->nodes[0], MEMBERSHIP_VOTER, why));
        assert_int_equal(scene_start(&scene->nodes[3]), 0);
        scene_wait_role(scene, 4, REPLICA_ROLE_VOTER, 8000);
        hosted_group_fail(scene_group(node, FIRST), "stands still");
        scene_run_ms(scene, 2000);
        assert_true(lead_system(scene, node, 5000));
        assert_int_equal(scene_set_role(node, 4, MEMBERSHIP_LEAVING, false), 0);
        for (unsigned i = 0; i < 200 && membership_find(node_membership(node->node), 4) != NULL; i++) {
            scene_run_ms(scene, 100);
        }
        assert_null(membership_find(node_membership(node->node), 4));
        scene_close(scene);
    }
}

/* Of three clocks that are far apart the one in the middle is right, and its node the only one that is fit to lead. */
static void H14_a_leader_loses_its_vote_though_nobody_else_has_a_good_clock(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    sim_host_jump_clock(scene->nodes[1].host, 5000);
    sim_host_jump_clock(scene->nodes[2].host, -5000);
    scene_run_ms(scene, 20000);
    assert_ptr_equal(scene_leader(scene, FIRST), &scene->nodes[0]);
    assert_int_equal(scene_set_role(&scene->nodes[1], 1, MEMBERSHIP_STANDBY, false), 0);
    scene_wait_role(scene, 1, REPLICA_ROLE_STANDBY, 8000);
    write_some(&scene->nodes[0], 1, 2);
    scene_close(scene);
}

static void H18_a_wiped_node_comes_back_as_another_one(void **state)
{
    char why[256] = "";
    struct scene *scene = scene_open(3, 2, NULL);
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 2000);
    struct scene_node *wiped = &scene->nodes[1];
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 7), 0);
    scene_power_off(wiped);
    sim_disk_wipe(wiped->host);
    sim_host_start(wiped->host);
    /* Under its old name it is not let in … */
    assert_int_equal(directory_format(sim_host_io(wiped->host), "/data", scene->description, 2), 0);
    assert_int_equal(scene_start(wiped), 0);
    scene_run_ms(scene, 4000);
    struct peer_status status = {0};
    /* Both sides dial; which of the reasons is the last one depends on who did. */
    for (unsigned i = 0; i < 400 && strstr(status.last_error, "holdfast member remove 2") == NULL; i++) {
        scene_run_ms(scene, 10);
        assert_int_equal(peer_status(node_peers(wiped->node), 1, &status), 0);
        assert_false(status.up);
    }
    assert_non_null(strstr(status.last_error, "holdfast member remove 2"));
    assert_non_null(strstr(status.last_error, "holdfast join"));
    /* … and what the refusal says is the way. */
    scene_kill(wiped);
    sim_disk_wipe(wiped->host);
    sim_host_start(wiped->host);
    assert_true(scene_join_host(wiped, &scene->nodes[0], MEMBERSHIP_VOTER, why) == HF_EEXISTS);
    assert_non_null(strstr(why, "holdfast member remove 2"));
    assert_int_equal(scene_set_role(&scene->nodes[2], 2, MEMBERSHIP_LEAVING, false), 0);
    scene_wait_role(scene, 2, NONE, 8000);
    scene_run_ms(scene, 1000);
    assert_int_equal(scene_join_host(wiped, &scene->nodes[0], MEMBERSHIP_VOTER, why), 0);
    assert_int_equal(wiped->id, 4);
    assert_int_equal(scene_start(wiped), 0);
    scene_wait_role(scene, 4, REPLICA_ROLE_VOTER, 8000);
    scene_run_ms(scene, 1000);
    assert_equal_states(scene, NULL);
    assert_int_equal(scene_get(wiped, FIRST, 1, &value), 0);
    assert_int_equal(value, 7);
    scene_close(scene);
}

static void a_cluster_of_an_older_release_takes_changes_once_every_node_knows_them(void **state)
{
    char why[256] = "";
    scene_feature_level = DESCRIPTION_FEATURES_FIRST;
    struct scene *scene = scene_open(3, 1, NULL);
    scene_feature_level = 0;
    scene_kill(&scene->nodes[2]); /* nobody has heard what it supports */
    scene_wait_led(scene, 6000);
    scene_run_ms(scene, 2000);
    assert_int_equal(node_membership(scene->nodes[0].node)->feature_level, DESCRIPTION_FEATURES_FIRST);
    assert_null(scene_join(scene, &scene->nodes[0], MEMBERSHIP_VOTER, why));
    assert_non_null(strstr(why, "upgrade every node"));
    assert_int_equal(scene_start(&scene->nodes[2]), 0);
    scene_run_ms(scene, 3000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(node_membership(scene->nodes[i].node)->feature_level, DESCRIPTION_FEATURE_LEVEL_MAX);
    }
    assert_int_equal(scene_join_host(&scene->nodes[3], &scene->nodes[1], MEMBERSHIP_VOTER, why), 0);
    assert_int_equal(scene_start(&scene->nodes[3]), 0);
    scene_wait_role(scene, 4, REPLICA_ROLE_VOTER, 5000);
    scene_close(scene);
}

static void a_node_moves_to_another_address_under_its_id(void **state)
{
    struct scene *scene = scene_open(3, 2, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 500);
    for (uint64_t id = 1; id <= 2; id++) { /* one that is dialed by all, one by some */
        struct scene_node *mover = &scene->nodes[id - 1];
        struct membership_change change = {.kind = MEMBERSHIP_ADDRESS, .node = {.id = id}};
        snprintf(change.node.peer_address, sizeof(change.node.peer_address), "n%d:7999", (int)id);
        assert_true(scene_changed(&scene->nodes[2], &change).result < 0); /* nobody answers there yet */
        scene_kill(mover);
        scene->options.peer_listen = change.node.peer_address;
        assert_int_equal(scene_start(mover), 0);
        scene->options.peer_listen = NULL;
        scene_run_ms(scene, 500);
        assert_int_equal(scene_changed(&scene->nodes[2], &change).result, 0);
        scene_wait_led(scene, 6000);
        for (uint32_t i = 0; i < 3; i++) {
            for (uint64_t other = 1; other <= 3; other++) {
                assert_true(other == i + 1 || peer_is_up(node_peers(scene->nodes[i].node), other));
            }
        }
        /* Found again by what was agreed on, without being told. */
        scene_kill(mover);
        scene_kill(&scene->nodes[2]);
        assert_int_equal(scene_start(mover), 0);
        assert_int_equal(scene_start(&scene->nodes[2]), 0);
        scene_wait_led(scene, 6000);
        write_some(mover, 2, 2);
    }
    scene_close(scene);
}

/* Kills everybody at a moment of a replacement, at every moment that there is. */
static void H14_a_replacement_goes_on_wherever_everybody_is_killed(void **state)
{
    for (uint64_t at_ms = 0; at_ms < 1500; at_ms += 60) {
        struct scene *scene = scene_open(3, 2, NULL);
        uint64_t value = 0;
        scene_wait_led(scene, 4000);
        assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, at_ms), 0);
        struct scene_node *fourth = join(scene, &scene->nodes[0], MEMBERSHIP_VOTER);
        assert_int_equal(scene_set_role(&scene->nodes[1], 3, MEMBERSHIP_LEAVING, false), 0);
        scene_run_ms(scene, at_ms);
        for (uint32_t i = 0; i < 4; i++) {
            scene_power_off(&scene->nodes[i]);
        }
        for (uint32_t i = 0; i < 4; i++) {
            int rc = scene_start(&scene->nodes[i]);
            assert_true(rc == 0 || (i == 2 && rc == HF_EREMOVED));
        }
        scene_wait_role(scene, 4, REPLICA_ROLE_VOTER, 15000);
        scene_wait_role(scene, 3, NONE, 15000);
        scene_run_ms(scene, 5000);
        assert_null(membership_find(node_membership(fourth->node), 3));
        assert_true(scene->nodes[2].node == NULL || node_is_removed(scene->nodes[2].node));
        assert_equal_states(scene, &scene->nodes[2]);
        assert_int_equal(scene_get(fourth, FIRST, 1, &value), 0);
        assert_int_equal(value, at_ms);
        scene_close(scene);
    }
}

static void a_join_whose_answer_was_lost_is_repeated_under_the_same_id(void **state)
{
    char why[256] = "";
    struct scene *scene = scene_open(3, 1, NULL);
    uint64_t incarnations[2] = {0};
    scene_wait_led(scene, 4000);
    struct sim_host *host = sim_host_add(scene->sim, "n4", NULL);
    const uint8_t *cluster = scene->description->cluster_id;
    for (unsigned i = 0; i < 2; i++) {
        struct joining *joining = NULL;
        struct membership_change change = {
            .kind = MEMBERSHIP_JOIN, .feature_level = DESCRIPTION_FEATURE_LEVEL_MAX, .role = MEMBERSHIP_VOTER};
        strcpy(change.node.peer_address, "n4:7000");
        assert_int_equal(directory_join_begin(sim_host_io(host), "/data", cluster, &change.incarnation), 0);
        assert_int_equal(
            joining_open(sim_host_io(host), sim_host_loop(host), cluster, 1, change.incarnation, "n4:7000", &joining),
            0);
        incarnations[i] = change.incarnation;
        assert_int_equal(scene_changed(&scene->nodes[i], &change).node_id, 4);
        joining_close(joining);
        sim_host_power_off(host); /* before it could write down what it was told */
        sim_host_start(host);
    }
    assert_int_equal(incarnations[0], incarnations[1]);
    (void)why;
    scene_close(scene);
}

static void drop_line(void *arg, enum trace_level level, const char *line) {}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_joins_catches_up_and_gets_its_votes_by_itself),
        cmocka_unit_test(a_lone_node_grows_to_three),
        cmocka_unit_test(GM_who_loses_its_vote_to_a_single_other_one_still_stands),
        cmocka_unit_test(H14_a_node_that_does_not_catch_up_gets_no_vote),
        cmocka_unit_test(nobody_joins_from_an_address_at_which_somebody_else_or_nobody_answers),
        cmocka_unit_test(H14_the_leader_of_everything_is_removed_hands_over_first_and_stops),
        cmocka_unit_test(a_removed_node_that_slept_is_told_at_the_door),
        cmocka_unit_test(a_node_that_slept_through_a_join_hears_of_it_from_the_others),
        cmocka_unit_test(H14_votes_are_not_taken_when_no_majority_would_be_left),
        cmocka_unit_test(H14_down_to_one_voter_by_force_and_up_again),
        cmocka_unit_test(a_node_that_is_behind_catches_up_before_it_judges_a_change),
        cmocka_unit_test(a_voter_becomes_a_standby_and_a_voter_again),
        cmocka_unit_test(H14_a_leader_loses_its_vote_though_nobody_else_has_a_good_clock),
        cmocka_unit_test(nobody_is_forgotten_by_what_one_node_happens_to_know),
        cmocka_unit_test(who_leaves_is_forgotten_though_a_group_is_closed_on_the_leaders_node),
        cmocka_unit_test(H18_a_wiped_node_comes_back_as_another_one),
        cmocka_unit_test(a_cluster_of_an_older_release_takes_changes_once_every_node_knows_them),
        cmocka_unit_test(a_node_moves_to_another_address_under_its_id),
        cmocka_unit_test(H14_a_replacement_goes_on_wherever_everybody_is_killed),
        cmocka_unit_test(a_join_whose_answer_was_lost_is_repeated_under_the_same_id),
    };
#ifdef HF_MUTATIONS
    if (getenv("HOLDFAST_MUTATION") != NULL && mutation_enable(getenv("HOLDFAST_MUTATION")) != 0) {
        return 2;
    }
#endif
    if (getenv("SCENE_TRACE") != NULL) {
        trace_set_level(TRACE_DEBUG);
    } else {
        trace_set_sink(drop_line, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
