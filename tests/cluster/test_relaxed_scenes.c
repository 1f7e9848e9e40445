/* links: node sim cluster */
/* Relaxed sync policies, in scenes: acknowledged before the device has the bytes, and then the power goes. What one
 * member loses its leader brings back, and before that the member has no vote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/trace.h"
#include "cluster/cluster_scene.h"
#include "planted.h"

#define GROUP  NODE_GROUP_FIRST
#define WRITES 40u

/* The device gets nothing by itself but what carries a term or a vote. */
static const struct node_options lazy = {
    .log = {.sync_policy = HF_LOG_SYNC_INTERVAL, .sync_interval_ms = 600000},
    .snapshot = {.is_off = true},
};
static const struct node_options lazy_with_snapshots = {
    .log = {.sync_policy = HF_LOG_SYNC_INTERVAL, .sync_interval_ms = 600000},
    .snapshot = {.format = {.chunk_size_bytes = 4096},
                 .keep_latest = 2,
                 .entries = 8,
                 .log_bytes = UINT64_MAX,
                 .interval_ms = UINT64_MAX,
                 .trail = 2},
};

static void put_all(struct scene_node *node, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        assert_int_equal(scene_put(node, GROUP, 1, i), 0);
    }
}

static struct scene *scene_with_data(uint32_t nodes, const struct node_options *options)
{
    struct scene *scene = scene_open(nodes, 1, options);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1500); /* registered, and where leaders should be */
    put_all(scene_leader(scene, GROUP), 1, WRITES);
    scene_run_ms(scene, 200);
    return scene;
}

static uint64_t last_index(struct scene_node *node)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(node->node->log, GROUP, &state), 0);
    return state.last_index;
}

/* The power goes, and everything with it that was not synced. Returns how many entries the group lost. */
static uint64_t lose_power(struct scene_node *node, uint64_t outcome)
{
    uint64_t before = last_index(node);
    scene_power_off(node);
    sim_disk_choose_outcome(node->host, outcome);
    if (scene_start(node) != 0) {
        fail_msg("it does not start: %s", hf_error_text());
    }
    return before - last_index(node);
}

static bool is_rejoining(struct scene_node *node)
{
    struct hosted_group *group = scene_group(node, GROUP);
    return group->replica != NULL && replica_is_rejoining(group->replica);
}

static void wait_rejoined(struct scene *scene, struct scene_node *node, uint64_t limit_ms)
{
    for (uint64_t waited = 0; is_rejoining(node); waited += 20) {
        if (waited >= limit_ms) {
            fail_msg("it waits for ever");
        }
        scene_run_ms(scene, 20);
    }
}

static void cut(struct scene *scene, struct scene_node *node, bool is_cut)
{
    for (uint32_t i = 0; i < scene->node_count; i++) {
        struct scene_node *other = &scene->nodes[i];
        if (other != node && is_cut) {
            sim_link_cut(node->host, other->host);
            sim_link_cut(other->host, node->host);
        } else if (other != node) {
            sim_link_heal(node->host, other->host);
            sim_link_heal(other->host, node->host);
        }
    }
}

static void must_hold(struct scene_node *node, uint64_t expected)
{
    uint64_t value = 0;
    int rc;
    /* A connection that the other side's power loss ended is noticed after some seconds. */
    for (unsigned i = 0; (rc = scene_get(node, GROUP, 1, &value)) == HF_ENOLEADER && i < 8; i++) {
        scene_run_ms(node->scene, 1000);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(value, expected);
}

static struct scene_node *third(struct scene *scene, const struct scene_node *a, const struct scene_node *b)
{
    for (uint32_t i = 0; i < scene->node_count; i++) {
        if (&scene->nodes[i] != a && &scene->nodes[i] != b) {
            return &scene->nodes[i];
        }
    }
    return NULL;
}

/* While there may be no leader. */
static void put_meanwhile(struct scene_node *node, uint64_t value)
{
    for (unsigned attempt = 0; scene_put(node, GROUP, 1, value) != 0; attempt++) {
        assert_true(attempt < 20);
        scene_run_ms(node->scene, 200);
    }
}

/* ---- scenes ---- */

static void P1_what_a_member_lost_its_leader_brings_back_in_the_same_term(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct scene_node *victim = scene_follower(scene, GROUP);
    struct scene_node *other = third(scene, leader, victim);
    uint64_t term = scene_group(leader, GROUP)->term;
    assert_true(lose_power(victim, 0) >= WRITES);
    assert_true(is_rejoining(victim));
    wait_rejoined(scene, victim, 3000);
    assert_int_equal(scene_group(leader, GROUP)->term, term);
    assert_ptr_equal(scene_leader(scene, GROUP), leader);
    assert_int_equal(last_index(victim), last_index(leader));
    /* And now it counts: with it the other one is a majority. */
    put_all(leader, WRITES + 1, 3);
    scene_run_ms(scene, 6000); /* the third has noticed that its connection is an old one */
    cut(scene, leader, true);
    scene_run_ms(scene, 3000);
    struct scene_node *next = scene_group(victim, GROUP)->state == REPLICA_LEADER ? victim : other;
    assert_int_equal(scene_group(next, GROUP)->state, REPLICA_LEADER);
    must_hold(next, WRITES + 3);
    cut(scene, leader, false);
    scene_wait_led(scene, 5000);
    scene_close(scene);
}

/* A write is on the leader and on one member when that one loses it. The third, which never had it, must not be elected
 * by somebody who forgot. */
static void P1_a_member_that_may_have_lost_what_it_acknowledged_has_no_vote(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct scene_node *victim = scene_follower(scene, GROUP);
    struct scene_node *other = third(scene, leader, victim);
    cut(scene, other, true);
    put_all(leader, WRITES + 1, 5);
    cut(scene, leader, true);
    assert_true(lose_power(victim, 0) > 5);
    cut(scene, other, false); /* towards the victim only: the leader stays away */
    sim_link_cut(leader->host, other->host);
    sim_link_cut(other->host, leader->host);
    for (unsigned i = 0; i < 200; i++) {
        scene_run_ms(scene, 50);
        assert_int_not_equal(scene_group(other, GROUP)->state, REPLICA_LEADER);
        assert_int_not_equal(scene_group(victim, GROUP)->state, REPLICA_LEADER);
        assert_true(is_rejoining(victim));
    }
    struct node_group_status status = {0};
    assert_int_equal(node_group_status(victim->node, 1, &status), 0);
    assert_non_null(strstr(status.text, "no vote"));
    cut(scene, leader, false);
    scene_wait_led(scene, 8000);
    wait_rejoined(scene, victim, 3000);
    must_hold(victim, WRITES + 5);
    must_hold(other, WRITES + 5);
    scene_close(scene);
}

/* A leader that loses its power comes back as one that asks. */
static void P1_a_leader_that_lost_its_power_is_brought_back_by_the_next_one(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    struct scene_node *leader = scene_leader(scene, GROUP);
    assert_true(lose_power(leader, 0) >= WRITES);
    scene_wait_led(scene, 5000);
    wait_rejoined(scene, leader, 3000);
    assert_ptr_not_equal(scene_leader(scene, GROUP), leader);
    must_hold(leader, WRITES);
    /* Once more, at once: now it is known to be whole, and so it is again. */
    assert_int_equal(scene_put(leader, GROUP, 1, 99), 0);
    (void)lose_power(leader, 0);
    scene_wait_led(scene, 5000);
    wait_rejoined(scene, leader, 3000);
    must_hold(leader, 99);
    scene_close(scene);
}

/* One after the other loses its power, and whatever of what was not synced; each has time to come back. */
static void P1_nothing_acknowledged_is_lost_while_one_at_a_time_loses_its_power(void **state)
{
    struct rng rng;
    uint64_t lost = 0;
    rng_seed(&rng, 11);
    struct scene *scene = scene_with_data(3, &lazy_with_snapshots);
    uint64_t value = WRITES;
    for (unsigned round = 0; round < 40; round++) {
        struct scene_node *victim = &scene->nodes[rng_below(&rng, 3)];
        uint64_t writes = rng_below(&rng, 30);
        put_all(scene_leader(scene, GROUP), value + 1, writes);
        value += writes;
        scene_run_ms(scene, rng_below(&rng, 100));
        lost += lose_power(victim, rng_chance(&rng, 1, 2) ? 0 : rng_below(&rng, 50));
        put_meanwhile(third(scene, victim, victim), ++value);
        scene_wait_led(scene, 8000);
        wait_rejoined(scene, victim, 5000);
        must_hold(&scene->nodes[rng_below(&rng, 3)], value);
    }
    assert_true(lost > 100);
    scene_close(scene);
}

static void a_node_alone_opens_also_when_nothing_is_left(void **state)
{
    struct scene *scene = scene_open(1, 1, &lazy);
    for (unsigned ms = 0; ms < 40; ms += 3) { /* from before its first write on */
        scene_power_off(&scene->nodes[0]);
        sim_disk_choose_outcome(scene->nodes[0].host, 0);
        assert_int_equal(scene_start(&scene->nodes[0]), 0);
        scene_run_ms(scene, ms);
    }
    scene_wait_led(scene, 3000);
    put_all(&scene->nodes[0], 7, 1);
    must_hold(&scene->nodes[0], 7);
    scene_close(scene);
}

static void a_node_alone_opens_with_what_is_left(void **state)
{
    struct scene *scene = scene_with_data(1, &lazy);
    assert_true(lose_power(&scene->nodes[0], 0) > 0);
    assert_false(is_rejoining(&scene->nodes[0]));
    scene_wait_led(scene, 3000);
    put_all(&scene->nodes[0], 7, 1);
    must_hold(&scene->nodes[0], 7);
    scene_close(scene);
}

/* Nobody can bring anything back: nobody leads until somebody says that what is lost is lost. */
static void where_all_lost_their_power_nobody_leads_until_it_is_accepted(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    for (uint32_t i = 0; i < 3; i++) {
        scene_power_off(&scene->nodes[i]);
        sim_disk_choose_outcome(scene->nodes[i].host, 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
    }
    scene_run_ms(scene, 10000);
    assert_null(scene_leader(scene, GROUP));
    /* Under another policy, too. */
    scene->options.log.sync_policy = HF_LOG_SYNC_BATCH;
    for (uint32_t i = 0; i < 3; i++) {
        scene_kill(&scene->nodes[i]);
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
        assert_true(is_rejoining(&scene->nodes[i]));
    }
    scene_run_ms(scene, 5000);
    assert_null(scene_leader(scene, GROUP));
    scene->options.accept_lost_writes = true;
    for (uint32_t i = 0; i < 3; i++) {
        scene_kill(&scene->nodes[i]);
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
    }
    scene_wait_led(scene, 5000);
    put_all(&scene->nodes[1], 500, 2);
    /* With that it is over: from now on the policy is a strict one. */
    scene->options.accept_lost_writes = false;
    scene_run_ms(scene, 1000);
    for (uint32_t i = 0; i < 3; i++) {
        scene_power_off(&scene->nodes[i]);
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
        assert_false(is_rejoining(&scene->nodes[i]));
    }
    scene_wait_led(scene, 5000);
    must_hold(&scene->nodes[2], 501);
    scene_close(scene);
}

/* The kernel tells its lives apart on this machine. */
static void give_boot_id(struct scene_node *node)
{
    static const char *const folders[] = {"/proc", "/proc/sys", "/proc/sys/kernel", "/proc/sys/kernel/random"};
    struct io *io = sim_host_io(node->host);
    struct file *file = NULL;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        assert_int_equal(directory_create(io, folders[i]), 0);
        assert_int_equal(directory_sync(io, i == 0 ? "/" : folders[i - 1]), 0);
    }
    assert_int_equal(file_open(io, "/proc/sys/kernel/random/boot_id", FILE_WRITE | FILE_CREATE, &file), 0);
    assert_int_equal(file_write(file, 0, "3a0e3f0e-6f2b-4b6e-9c57-0d7d5b7c0001\n", 37), 0);
    assert_int_equal(file_sync(file), 0);
    assert_int_equal(directory_sync(io, folders[3]), 0);
    file_close(file);
}

/* Killed and started once, so that its mark names the kernel from then on. */
static void name_the_kernel(struct scene *scene, struct scene_node *victim)
{
    give_boot_id(victim);
    scene_kill(victim);
    assert_int_equal(scene_start(victim), 0);
    assert_true(is_rejoining(victim)); /* its mark named no kernel */
    wait_rejoined(scene, victim, 3000);
    scene_run_ms(scene, 2000);
}

/* A kernel that lives has what a killed process gave it, but not what a sync failed to write. */
static void a_process_that_was_killed_lost_nothing_unless_a_sync_had_failed(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct scene_node *victim = scene_follower(scene, GROUP);
    name_the_kernel(scene, victim);
    scene_kill(victim);
    assert_int_equal(scene_start(victim), 0);
    assert_false(is_rejoining(victim));
    scene_run_ms(scene, 6000);
    struct sim_disk_failure failure = {SIM_DISK_SYNC, 0, 1, HF_EIO, NULL};
    sim_disk_fail(victim->host, &failure);
    cut(scene, leader, true); /* the next one has a new term */
    scene_run_ms(scene, 5000);
    assert_int_equal(victim->fatal, HF_EPOISONED);
    scene_kill(victim);
    assert_int_equal(scene_start(victim), 0);
    assert_true(is_rejoining(victim));
    cut(scene, leader, false);
    scene_wait_led(scene, 8000);
    wait_rejoined(scene, victim, 5000);
    must_hold(victim, WRITES);
    scene_close(scene);
}

/* The first process left with the kernel what the second one's open could not write: the third must not trust it. */
static void P1_an_open_that_failed_may_have_lost_what_a_killed_process_left_with_the_kernel(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    struct scene_node *victim = scene_follower(scene, GROUP);
    struct sim_disk_failure failure = {SIM_DISK_SYNC, 0, 1, HF_EIO, "/data/log"};
    name_the_kernel(scene, victim);
    put_all(scene_leader(scene, GROUP), WRITES + 1, 5);
    scene_kill(victim);
    sim_disk_fail(victim->host, &failure);
    assert_int_equal(scene_start(victim), HF_EIO);
    scene_kill(victim);
    assert_int_equal(scene_start(victim), 0);
    assert_true(is_rejoining(victim));
    wait_rejoined(scene, victim, 3000);
    must_hold(victim, WRITES + 5);
    scene_close(scene);
}

/* A machine that was restored, a disk that was pulled out and put back: the kernel lives, and has nothing of it. */
static void P1_a_device_that_was_detached_meanwhile_may_have_lost_what_the_kernel_had(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct scene_node *victim = scene_follower(scene, GROUP);
    name_the_kernel(scene, victim);
    put_all(leader, WRITES + 1, 5);
    scene_run_ms(scene, 200);
    assert_true(lose_power(victim, 0) >= 5);
    assert_true(is_rejoining(victim));
    wait_rejoined(scene, victim, 8000);
    must_hold(victim, WRITES + 5);
    scene_close(scene);
}

/* After a power loss the file of the members is what says that there are others to ask. */
static void P1_who_was_alone_gives_nobody_a_vote_before_its_directory_names_them(void **state)
{
    char why[256] = "";
    struct scene *scene = scene_open(1, 1, &lazy);
    struct scene_node *first = &scene->nodes[0];
    const struct sim_disk_failure failure = {SIM_DISK_WRITE, 0, UINT64_MAX, HF_EIO, "/data/members"};
    scene_wait_led(scene, 4000);
    sim_disk_fail(first->host, &failure);
    struct scene_node *second = scene_join(scene, first, MEMBERSHIP_VOTER, why);
    assert_non_null(second);
    assert_int_equal(scene_start(second), 0);
    for (unsigned i = 0; i < 100; i++) {
        scene_run_ms(scene, 50);
        assert_int_not_equal(scene_role(first, GROUP, second->id), REPLICA_ROLE_VOTER);
        assert_int_not_equal(scene_role(first, NODE_SYSTEM_GROUP, second->id), REPLICA_ROLE_VOTER);
    }
    sim_disk_fail_clear(first->host);
    scene_wait_role(scene, second->id, REPLICA_ROLE_VOTER, 5000);
    (void)lose_power(first, 0); /* all that its log says of the other one */
    assert_false(first->node->relaxed.is_alone);
    scene_close(scene);
}

/* By what its node knows alone: the configurations of its groups name the other one. */
static void a_node_hears_while_it_rejoins_that_the_others_have_no_vote_any_more(void **state)
{
    struct scene *scene = scene_with_data(2, &lazy);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct scene_node *victim = scene_follower(scene, GROUP);
    scene_kill(leader);
    assert_true(lose_power(victim, 0) >= WRITES);
    scene_run_ms(scene, 1000);
    assert_false(victim->node->relaxed.is_alone);
    for (uint32_t i = 0; i < victim->node->membership.count; i++) {
        struct membership_member *member = &victim->node->membership.members[i];
        member->role = member->node.id == victim->node->id ? MEMBERSHIP_VOTER : MEMBERSHIP_STANDBY;
    }
    scene_run_ms(scene, 3000);
    assert_true(victim->node->relaxed.is_alone);
    assert_true(is_rejoining(victim));
    scene_close(scene);
}

/* Two of three forgot, one has everything: with the vote of one of the two it leads. With both they would not need it.
 */
static void where_one_kept_everything_accepting_on_one_other_node_loses_nothing(void **state)
{
    struct scene *scene = scene_with_data(3, &lazy);
    struct scene_node *keeper = scene_leader(scene, GROUP);
    struct scene_node *first = scene_follower(scene, GROUP);
    struct scene_node *second = third(scene, keeper, first);
    cut(scene, keeper, true);
    assert_true(lose_power(first, 0) >= WRITES);
    assert_true(lose_power(second, 0) >= WRITES);
    scene_run_ms(scene, 4000);
    cut(scene, keeper, false);
    scene_run_ms(scene, 8000);
    assert_null(scene_leader(scene, GROUP));
    scene->options.accept_lost_writes = true;
    scene_kill(first);
    assert_int_equal(scene_start(first), 0);
    scene->options.accept_lost_writes = false;
    scene_wait_led(scene, 8000);
    assert_ptr_equal(scene_leader(scene, GROUP), keeper);
    wait_rejoined(scene, second, 3000);
    for (uint32_t i = 0; i < 3; i++) {
        must_hold(&scene->nodes[i], WRITES);
    }
    scene_close(scene);
}

static void drop_line(void *arg, enum trace_level level, const char *line) {}

int main(void)
{
    planted_prepare();
    trace_set_sink(drop_line, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P1_what_a_member_lost_its_leader_brings_back_in_the_same_term),
        cmocka_unit_test(P1_a_member_that_may_have_lost_what_it_acknowledged_has_no_vote),
        cmocka_unit_test(P1_a_leader_that_lost_its_power_is_brought_back_by_the_next_one),
        cmocka_unit_test(P1_nothing_acknowledged_is_lost_while_one_at_a_time_loses_its_power),
        cmocka_unit_test(a_node_alone_opens_also_when_nothing_is_left),
        cmocka_unit_test(a_node_alone_opens_with_what_is_left),
        cmocka_unit_test(where_all_lost_their_power_nobody_leads_until_it_is_accepted),
        cmocka_unit_test(a_process_that_was_killed_lost_nothing_unless_a_sync_had_failed),
        cmocka_unit_test(P1_an_open_that_failed_may_have_lost_what_a_killed_process_left_with_the_kernel),
        cmocka_unit_test(P1_a_device_that_was_detached_meanwhile_may_have_lost_what_the_kernel_had),
        cmocka_unit_test(P1_who_was_alone_gives_nobody_a_vote_before_its_directory_names_them),
        cmocka_unit_test(a_node_hears_while_it_rejoins_that_the_others_have_no_vote_any_more),
        cmocka_unit_test(where_one_kept_everything_accepting_on_one_other_node_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
