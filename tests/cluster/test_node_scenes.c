/* links: node sim cluster */
/* One thing at a time: what a node promises, in scenes of up to three nodes on calm simulated hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "cluster/cluster_scene.h"
#include "node/balance.h"
#include "node/directory.h"
#include "node/system_group.h"

#define FIRST NODE_GROUP_FIRST

static const struct cluster_command put_1 = {.verb = CLUSTER_PUT, .key = 1, .value = 11};
static const struct cluster_command get_1 = {.verb = CLUSTER_GET, .key = 1};

/* ---- One voter ---- */

static void a_lone_voter_writes_reads_and_comes_back_with_everything(void **state)
{
    struct scene *scene = scene_open(1, 3, NULL);
    uint64_t value = 0;
    scene_wait_led(scene, 3000);
    for (uint64_t group = FIRST; group < FIRST + 3; group++) {
        assert_int_equal(scene_put(&scene->nodes[0], group, 1, 100 + group), 0);
    }
    for (unsigned round = 0; round < 3; round++) {
        if (round % 2 == 0) {
            scene_power_off(&scene->nodes[0]);
        } else {
            scene_kill(&scene->nodes[0]);
        }
        assert_int_equal(scene_start(&scene->nodes[0]), 0);
        for (uint64_t group = FIRST; group < FIRST + 3; group++) {
            assert_int_equal(scene_get(&scene->nodes[0], group, 1, &value), 0);
            assert_int_equal(value, 100 + group);
        }
    }
    scene_close(scene);
}

static void H10_a_lone_voter_answers_only_when_the_write_is_durable(void **state)
{
    struct scene *scene = scene_open(1, 1, NULL);
    struct scene_answer answer;
    uint64_t value = 0;
    scene_wait_led(scene, 3000);
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 7), 0);
    sim_disk_stall(scene->nodes[0].host, 400 * SCENE_MS);
    uint64_t called_ns = sim_now_ns(scene->sim);
    scene_propose(&scene->nodes[0], FIRST, &put_1, &answer);
    scene_run_ms(scene, 390);
    assert_false(answer.is_done);
    scene_await(scene, &answer, 100);
    assert_int_equal(answer.result, 0);
    assert_true(answer.done_ns - called_ns >= 400 * SCENE_MS);
    /* And what was not answered may be gone, what was answered may not. */
    sim_disk_stall(scene->nodes[0].host, 400 * SCENE_MS);
    struct cluster_command lost = {.verb = CLUSTER_PUT, .key = 2, .value = 99};
    scene_propose(&scene->nodes[0], FIRST, &lost, &answer);
    scene_run_ms(scene, 100);
    sim_disk_set_chooser(scene->nodes[0].host, NULL, NULL);
    scene_power_off(&scene->nodes[0]);
    assert_int_equal(answer.result, HF_EINDETERMINATE);
    sim_disk_choose_outcome(scene->nodes[0].host, 0); /* nothing that was not durable */
    assert_int_equal(scene_start(&scene->nodes[0]), 0);
    assert_int_equal(scene_get(&scene->nodes[0], FIRST, 1, &value), 0);
    assert_int_equal(value, 11);
    assert_int_equal(scene_get(&scene->nodes[0], FIRST, 2, &value), 0);
    assert_int_equal(value, 0);
    scene_close(scene);
}

static void reads_of_a_lone_voter_need_no_disk_and_no_network(void **state)
{
    struct scene *scene = scene_open(1, 1, NULL);
    struct scene_answer answer;
    scene_wait_led(scene, 3000);
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 7), 0);
    scene_run_ms(scene, 100);
    sim_disk_stall(scene->nodes[0].host, 400 * SCENE_MS);
    scene_read(&scene->nodes[0], FIRST, NODE_READ_LINEARIZABLE, &get_1, &answer);
    scene_run_ms(scene, 2);
    assert_true(answer.is_done && answer.result == 0 && answer.value == 7);
    scene_close(scene);
}

/* ---- What is refused ---- */

static void what_cannot_be_taken_in_is_answered_in_a_later_turn_with_its_reason(void **state)
{
    struct scene *scene = scene_open(1, 2, NULL);
    struct scene_answer answer;
    scene_wait_led(scene, 3000);
    static const struct {
        uint64_t group;
        int result;
    } rows[] = {
        {0, HF_ENOTFOUND}, {NODE_SYSTEM_GROUP, HF_EINVALID}, {FIRST + 2, HF_ENOTFOUND}, {UINT64_MAX, HF_ENOTFOUND}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        scene_propose(&scene->nodes[0], rows[i].group, &put_1, &answer);
        scene_await(scene, &answer, 100);
        assert_int_equal(answer.result, rows[i].result);
        scene_read(&scene->nodes[0], rows[i].group, NODE_READ_LINEARIZABLE, &get_1, &answer);
        scene_await(scene, &answer, 100);
        assert_int_equal(answer.result, rows[i].result);
    }
    scene_barrier(&scene->nodes[0], NODE_SYSTEM_GROUP, &answer);
    scene_await(scene, &answer, 100);
    assert_int_equal(answer.result, 0);
    assert_null(node_machine(scene->nodes[0].node, NODE_SYSTEM_GROUP));
    assert_null(node_machine(scene->nodes[0].node, FIRST + 2));
    assert_int_equal(node_transfer(scene->nodes[0].node, FIRST, 9), HF_EINVALID);
    scene_close(scene);
}

static void too_much_waiting_is_refused_and_the_rest_is_answered(void **state)
{
    struct scene *scene = scene_open(1, 1, NULL);
    static struct scene_answer answers[NODE_GROUP_PENDING_MAX + 100];
    scene_wait_led(scene, 3000);
    unsigned busy = 0;
    unsigned good = 0;
    sim_disk_stall(scene->nodes[0].host, 50 * SCENE_MS);
    for (size_t i = 0; i < NODE_GROUP_PENDING_MAX + 100; i++) {
        scene_propose(&scene->nodes[0], FIRST, &put_1, &answers[i]);
    }
    scene_run_ms(scene, 2000);
    for (size_t i = 0; i < NODE_GROUP_PENDING_MAX + 100; i++) {
        assert_true(answers[i].is_done);
        busy += answers[i].result == HF_EBUSY;
        good += answers[i].result == 0;
    }
    assert_int_equal(busy, 100);
    assert_int_equal(good, NODE_GROUP_PENDING_MAX);
    scene_close(scene);
}

static uint64_t full_data_bytes(void *machine)
{
    return 1000;
}
static bool full_may_grow(void *machine, struct hf_bytes command)
{
    return bytes_get_u32(command.data) == CLUSTER_APPEND;
}

static void at_the_data_limit_only_what_grows_is_refused(void **state)
{
    struct node_options options = {.data_size_max_bytes = 1000};
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_answer answer;
    scene->nodes[0].ops.data_bytes = full_data_bytes;
    scene->nodes[0].ops.may_grow = full_may_grow;
    scene_wait_led(scene, 3000);
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 7), 0);
    struct cluster_command append = {.verb = CLUSTER_APPEND, .key = CLUSTER_REGISTERS, .value = 1};
    scene_propose(&scene->nodes[0], FIRST, &append, &answer);
    scene_await(scene, &answer, 100);
    assert_int_equal(answer.result, HF_ENOMEM);
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 8), 0);
    scene_close(scene);
}

static void large_commands_and_many_commands_are_cut_into_entries(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    static struct scene_answer answers[10000];
    struct scene_answer large[3];
    scene_wait_led(scene, 4000);
    struct scene_node *leader = scene_leader(scene, FIRST);
    for (size_t i = 0; i < 10000; i++) {
        struct cluster_command append = {.verb = CLUSTER_APPEND, .key = CLUSTER_REGISTERS, .value = i + 1};
        scene_propose(leader, FIRST, &append, &answers[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        struct cluster_command put = {.verb = CLUSTER_PUT, .key = 1, .value = i, .ballast = 5 << 20};
        scene_propose(i % 2 == 0 ? leader : scene_follower(scene, FIRST), FIRST, &put, &large[i]);
    }
    scene_run_ms(scene, 3000);
    for (size_t i = 0; i < 10000; i++) {
        assert_true(answers[i].is_done && answers[i].result == 0);
        assert_int_equal(answers[i].value, i + 1); /* the length behind it: they took effect in their order */
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(large[i].is_done && large[i].result == 0);
    }
    struct node_counters counters;
    node_counters(leader->node, &counters);
    assert_true(counters.entries_submitted >= 3 && counters.entries_submitted < 200);
    scene_close(scene);
}

/* ---- Three nodes ---- */

static void every_node_takes_every_command(void **state)
{
    struct scene *scene = scene_open(3, 4, NULL);
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    for (uint32_t n = 0; n < 3; n++) {
        for (uint64_t group = FIRST; group < FIRST + 4; group++) {
            assert_int_equal(scene_put(&scene->nodes[n], group, 1, n * 10 + group), 0);
            for (uint32_t reader = 0; reader < 3; reader++) {
                struct scene_answer answer;
                assert_int_equal(scene_get(&scene->nodes[reader], group, 1, &value), 0);
                assert_int_equal(value, n * 10 + group);
                scene_barrier(&scene->nodes[reader], group, &answer);
                scene_await(scene, &answer, 1000);
                assert_int_equal(answer.result, 0);
                scene_read(&scene->nodes[reader], group, NODE_READ_STALE, &get_1, &answer);
                scene_await(scene, &answer, 10);
                assert_int_equal(answer.value, n * 10 + group);
            }
        }
    }
    scene_close(scene);
}

static void all_groups_are_led_within_3_s_and_spread_soon_after(void **state)
{
    struct scene *scene =
        scene_open(3, 4, &(struct node_options){.election_timeout_ms = 1000, .heartbeat_timeout_ms = 100});
    scene_wait_led(scene, 3000);
    scene_run_ms(scene, 2000);
    for (uint64_t group = 1; group <= 5; group++) {
        struct scene_node *leader = scene_leader(scene, group);
        assert_non_null(leader);
        assert_true(balance_stands_first(leader->node, scene_group(leader, group)));
    }
    /* A node that was away gets its groups back. */
    scene_kill(&scene->nodes[1]);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    assert_int_equal(scene_start(&scene->nodes[1]), 0);
    scene_run_ms(scene, BALANCE_HOLD_MS + 5000);
    assert_ptr_equal(scene_leader(scene, FIRST + 1), &scene->nodes[1]);
    scene_close(scene);
}

static void many_groups_on_three_nodes_are_led_in_time(void **state)
{
    struct scene *scene =
        scene_open(3, 200, &(struct node_options){.election_timeout_ms = 1000, .heartbeat_timeout_ms = 100});
    scene_wait_led(scene, 5000);
    for (uint64_t group = FIRST; group < FIRST + 200; group += 37) {
        assert_int_equal(scene_put(&scene->nodes[group % 3], group, 1, group), 0);
    }
    scene_close(scene);
}

static void leadership_goes_where_it_is_sent(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, BALANCE_START_MS + 1000);
    struct scene_node *leader = scene_leader(scene, FIRST);
    struct scene_node *target = scene_follower(scene, FIRST);
    assert_int_equal(node_transfer(target->node, FIRST, leader->id), HF_ENOTLEADER);
    assert_int_equal(node_transfer(leader->node, FIRST, target->id), 0);
    struct scene_answer answer; /* waits out the transfer */
    scene_propose(leader, FIRST, &put_1, &answer);
    scene_await(scene, &answer, 2000);
    assert_int_equal(answer.result, 0);
    assert_ptr_equal(scene_leader(scene, FIRST), target);
    scene_run_ms(scene, 5000); /* and stays for a while */
    assert_ptr_equal(scene_leader(scene, FIRST), target);
    scene_close(scene);
}

static void a_node_that_leaves_hands_everything_over(void **state)
{
    struct scene *scene = scene_open(3, 4, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    assert_true(node_is_leading(scene->nodes[0].node));
    node_leave(scene->nodes[0].node);
    scene_run_ms(scene, 1000);
    assert_false(node_is_leading(scene->nodes[0].node));
    scene_wait_led(scene, 100);
    scene_close(scene);
}

/* ---- Unknown outcomes ---- */

static void without_a_quorum_nothing_proposed_is_told_apart_from_who_knows(void **state)
{
    struct scene *scene = scene_open(
        3, 1,
        &(struct node_options){.election_timeout_ms = 500, .heartbeat_timeout_ms = 50, .request_timeout_ms = 2000});
    struct scene_answer at_leader;
    struct scene_answer later;
    struct scene_answer read;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 500);
    struct scene_node *leader = scene_leader(scene, FIRST);
    for (uint32_t i = 0; i < 3; i++) {
        if (&scene->nodes[i] != leader) {
            scene_kill(&scene->nodes[i]);
        }
    }
    uint64_t called_ns = sim_now_ns(scene->sim);
    scene_propose(leader, FIRST, &put_1, &at_leader);
    scene_read(leader, FIRST, NODE_READ_LINEARIZABLE, &get_1, &read);
    scene_run_ms(scene, 1500);
    scene_propose(leader, FIRST, &put_1, &later); /* it stepped down meanwhile: this one is never proposed */
    scene_await(scene, &at_leader, 1000);
    assert_int_equal(at_leader.result, HF_EINDETERMINATE);
    assert_true(at_leader.index > 0);
    assert_in_range(at_leader.done_ns - called_ns, 1999 * SCENE_MS, 2100 * SCENE_MS);
    scene_await(scene, &read, 1000);
    assert_int_equal(read.result, HF_ENOLEADER);
    scene_await(scene, &later, 3000);
    assert_int_equal(later.result, HF_ENOLEADER);
    assert_in_range(later.done_ns - called_ns, 3499 * SCENE_MS, 3600 * SCENE_MS);
    scene_close(scene);
}

static void a_forwarded_command_is_unknown_once_it_left_and_its_connection_breaks(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    struct scene_answer write;
    struct scene_answer read;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 500);
    struct scene_node *leader = scene_leader(scene, FIRST);
    struct scene_node *follower = scene_follower(scene, FIRST);
    sim_disk_stall(leader->host, 300 * SCENE_MS);
    for (uint32_t i = 0; i < 3; i++) { /* no majority without the leader's disk */
        if (&scene->nodes[i] != leader) {
            sim_disk_stall(scene->nodes[i].host, 300 * SCENE_MS);
        }
    }
    scene_propose(follower, FIRST, &put_1, &write);
    scene_read(follower, FIRST, NODE_READ_LINEARIZABLE, &get_1, &read);
    scene_run_ms(scene, 1);
    uint64_t sent = 0;
    struct node_counters counters;
    node_counters(follower->node, &counters);
    sent = counters.forwards_sent;
    assert_true(sent >= 2);
    sim_link_reset(leader->host, follower->host);
    scene_await(scene, &write, 100);
    assert_int_equal(write.result, HF_EINDETERMINATE);
    scene_await(scene, &read, 2000); /* a read changed nothing */
    assert_true(read.result == HF_ENOLEADER || read.result == 0);
    node_counters(follower->node, &counters);
    assert_int_equal(counters.forwards_sent, sent); /* nothing was sent a second time */
    scene_close(scene);
}

static void a_command_makes_one_hop(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    struct scene_answer answer;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 500);
    struct scene_node *leader = scene_leader(scene, FIRST);
    struct scene_node *a = NULL;
    struct scene_node *b = NULL;
    for (uint32_t i = 0; i < 3; i++) {
        if (&scene->nodes[i] != leader) {
            b = a != NULL ? &scene->nodes[i] : NULL;
            a = a != NULL ? a : &scene->nodes[i];
        }
    }
    scene_group(a, FIRST)->leader = b->id; /* a wrong belief */
    scene_propose(a, FIRST, &put_1, &answer);
    scene_await(scene, &answer, 1000);
    assert_int_equal(answer.result, HF_ENOLEADER);
    assert_non_null(strstr(answer.text, "does not lead group 2; it believes that node"));
    struct node_counters counters;
    node_counters(b->node, &counters);
    assert_int_equal(counters.forwards_received, 1);
    assert_int_equal(counters.forwards_sent, 0);
    scene_close(scene);
}

static void closing_answers_everything_and_refuses_what_comes_from_the_answers(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    struct scene_answer answers[4];
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 300);
    struct scene_node *leader = scene_leader(scene, FIRST);
    struct scene_node *follower = scene_follower(scene, FIRST);
    for (uint32_t i = 0; i < 3; i++) {
        sim_disk_stall(scene->nodes[i].host, 500 * SCENE_MS);
    }
    scene_propose(leader, FIRST, &put_1, &answers[0]);
    scene_propose(follower, FIRST, &put_1, &answers[1]);
    scene_run_ms(scene, 5);
    scene_read(leader, FIRST, NODE_READ_LINEARIZABLE, &get_1, &answers[2]);
    scene_run_ms(scene, 1);
    scene_kill(leader);
    scene_kill(follower);
    assert_int_equal(answers[0].result, HF_EINDETERMINATE);
    assert_int_equal(answers[1].result, HF_EINDETERMINATE);
    assert_true(answers[0].is_done && answers[1].is_done && answers[2].is_done);
    scene_close(scene);
}

/* ---- Time ---- */

static void H12_a_leader_whose_clock_is_off_hands_over(void **state)
{
    static const int64_t jumps_ms[] = {5000, -5000};
    for (size_t i = 0; i < 2; i++) {
        struct scene *scene = scene_open(3, 4, NULL);
        struct node_counters counters;
        scene_wait_led(scene, 4000);
        scene_run_ms(scene, 2000);
        assert_true(node_is_leading(scene->nodes[1].node));
        sim_host_jump_clock(scene->nodes[1].host, jumps_ms[i]);
        scene_run_ms(scene, 3000);
        assert_false(node_is_leading(scene->nodes[1].node));
        scene_wait_led(scene, 100);
        node_counters(scene->nodes[1].node, &counters);
        assert_in_range(llabs(counters.clock_offset_ms), 4900, 5100);
        /* And gets its groups back when the clock is right again. */
        sim_host_jump_clock(scene->nodes[1].host, -jumps_ms[i]);
        scene_run_ms(scene, BALANCE_HOLD_MS + BALANCE_START_MS);
        assert_true(node_is_leading(scene->nodes[1].node));
        scene_close(scene);
    }
}

static void a_small_difference_of_clocks_moves_nobody(void **state)
{
    struct scene *scene = scene_open(3, 4, NULL);
    struct node_counters before;
    struct node_counters after;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 3000);
    sim_host_jump_clock(scene->nodes[1].host, 300);
    node_counters(scene->nodes[1].node, &before);
    scene_run_ms(scene, 5000);
    node_counters(scene->nodes[1].node, &after);
    assert_int_equal(before.elections_won, after.elections_won);
    assert_true(node_is_leading(scene->nodes[1].node));
    assert_in_range(after.clock_offset_ms, 290, 310);
    scene_close(scene);
}

static void an_idle_group_expires_on_every_node(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    struct scene_answer answer;
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    struct cluster_command lease = {.verb = CLUSTER_PUT, .key = 1, .value = 5, .ttl_ms = 2500};
    scene_propose(&scene->nodes[0], FIRST, &lease, &answer);
    scene_await(scene, &answer, 1000);
    scene_run_ms(scene, 2000);
    assert_int_equal(scene_get(&scene->nodes[1], FIRST, 1, &value), 0);
    assert_int_equal(value, 5);
    scene_run_ms(scene, 700);
    for (uint32_t i = 0; i < 3; i++) {
        scene_read(&scene->nodes[i], FIRST, NODE_READ_STALE, &get_1, &answer);
        scene_await(scene, &answer, 10);
        assert_int_equal(answer.value, 0);
        assert_true(scene->nodes[i].ops.expire_due_ms(node_machine(scene->nodes[i].node, FIRST)) == UINT64_MAX);
    }
    scene_close(scene);
}

/* ---- Disks ---- */

static void H6_a_full_disk_refuses_before_proposing_and_recovers(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    struct scene_answer answer;
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    for (uint32_t i = 0; i < 3; i++) {
        sim_disk_set_capacity(scene->nodes[i].host, sim_disk_used_bytes(scene->nodes[i].host));
    }
    unsigned good = 0;
    unsigned refused = 0;
    for (uint64_t i = 0; i < 400; i++) {
        struct cluster_command put = {.verb = CLUSTER_PUT, .key = 1, .value = i + 1, .ballast = 20000};
        scene_propose(&scene->nodes[i % 3], FIRST, &put, &answer);
        scene_await(scene, &answer, 5000);
        assert_true(answer.result == 0 || answer.result == HF_ENOSPACE);
        good += answer.result == 0;
        refused += answer.result == HF_ENOSPACE;
        value = answer.result == 0 ? i + 1 : value;
    }
    assert_true(good > 0 && refused > 100);
    uint64_t seen = 0;
    assert_int_equal(scene_get(&scene->nodes[2], FIRST, 1, &seen), 0);
    assert_int_equal(seen, value);
    for (uint32_t i = 0; i < 3; i++) {
        sim_disk_set_capacity(scene->nodes[i].host, 0);
        assert_int_equal(scene->nodes[i].fatal, 0);
    }
    scene_run_ms(scene, 1000);
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 12345), 0);
    scene_close(scene);
}

static void H1_a_failed_write_stops_the_node_at_once_and_the_others_go_on(void **state)
{
    struct scene *scene = scene_open(3, 4, NULL);
    struct scene_answer answers[8];
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    struct scene_node *victim = scene_leader(scene, FIRST);
    assert_int_equal(scene_put(victim, FIRST, 1, 7), 0);
    for (uint64_t i = 0; i < 4; i++) {
        scene_propose(victim, FIRST + i, &put_1, &answers[i]);
        scene_read(victim, FIRST + i, NODE_READ_LINEARIZABLE, &get_1, &answers[4 + i]);
    }
    struct sim_disk_failure failure = {SIM_DISK_DURABLE, 0, UINT64_MAX, HF_EIO, NULL};
    sim_disk_fail(victim->host, &failure);
    uint64_t failed_ns = sim_now_ns(scene->sim);
    scene_run_ms(scene, 1000);
    assert_int_equal(victim->fatal, HF_EPOISONED);
    assert_true(victim->fatal_ns - failed_ns < 1000 * SCENE_MS);
    assert_null(node_peers(victim->node)); /* it says nothing more to anybody */
    assert_int_equal(answers[0].result, HF_EINDETERMINATE);
    for (unsigned i = 0; i < 8; i++) {
        assert_true(answers[i].is_done);
    }
    struct node_group_status status;
    assert_int_equal(node_group_status(victim->node, 1, &status), 0);
    assert_false(status.is_started);
    scene_propose(victim, FIRST, &put_1, &answers[0]);
    scene_await(scene, &answers[0], 100);
    assert_int_equal(answers[0].result, HF_ECLOSED);
    sim_disk_fail_clear(victim->host);
    scene_kill(victim);
    scene_wait_led(scene, 3000);
    assert_int_equal(scene_get(scene_leader(scene, FIRST), FIRST, 1, &value), 0);
    assert_true(value == 7 || value == 11);
    assert_int_equal(scene_start(victim), 0);
    scene_wait_led(scene, 3000);
    scene_close(scene);
}

static void H21_a_leader_with_a_stuck_disk_hands_over(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    struct scene_answer answer;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    struct scene_node *victim = scene_leader(scene, FIRST);
    sim_disk_stall(victim->host, 20000 * SCENE_MS);
    scene_propose(victim, FIRST, &put_1, &answer); /* the others make it durable without it */
    scene_await(scene, &answer, 1000);
    assert_int_equal(answer.result, 0);
    struct hf_log_stat stat;
    hf_log_stat(node_log(victim->node), &stat);
    scene_run_ms(scene, BALANCE_STALL_MS - 200 - stat.oldest_unsynced_ns / SCENE_MS);
    assert_true(node_is_leading(victim->node)); /* not at every hiccup */
    scene_run_ms(scene, 1000);                  /* told by the log itself, not found by a look now and then */
    assert_false(node_is_leading(victim->node));
    hf_log_stat(node_log(victim->node), &stat);
    assert_true(stat.oldest_unsynced_ns > BALANCE_STALL_MS * SCENE_MS);
    scene_wait_led(scene, 2000);
    assert_int_equal(scene_put(victim, FIRST, 1, 5), 0); /* it still serves its clients, through the new leader */
    scene_close(scene);
}

static void what_waits_is_counted_and_given_back(void **state)
{
    struct scene *scene = scene_open(3, 2, NULL);
    static struct scene_answer answers[300];
    scene_wait_led(scene, 4000);
    for (size_t i = 0; i < 300; i++) {
        struct cluster_command put = {.verb = CLUSTER_PUT, .key = 1, .value = i, .ballast = 5000};
        if (i % 3 == 0) {
            scene_read(&scene->nodes[i % 3], FIRST + i % 2, NODE_READ_LINEARIZABLE, &get_1, &answers[i]);
        } else {
            scene_propose(&scene->nodes[i % 3], FIRST + i % 2, &put, &answers[i]);
        }
        if (i == 150) {
            sim_link_reset(scene->nodes[0].host, scene->nodes[1].host);
        }
    }
    scene_run_ms(scene, 6000);
    for (size_t i = 0; i < 300; i++) {
        assert_true(answers[i].is_done);
    }
    for (uint32_t n = 0; n < 3; n++) {
        assert_int_equal(scene->nodes[n].node->waiting_bytes, 0);
        assert_int_equal(scene_group(&scene->nodes[n], FIRST)->reads.count, 0);
        assert_int_equal(scene_group(&scene->nodes[n], FIRST)->forwards.count, 0);
        assert_int_equal(scene_group(&scene->nodes[n], FIRST)->pending.owners_count, 0);
    }
    scene_close(scene);
}

static void a_command_of_a_newer_program_stops_its_group_and_says_so(void **state)
{
    struct scene *scene = scene_open(3, 2, NULL);
    struct scene_answer answer;
    scene_wait_led(scene, 4000);
    struct cluster_command unknown = {.verb = (enum cluster_verb)77, .key = 1};
    scene_propose(scene_leader(scene, FIRST), FIRST, &unknown, &answer);
    scene_await(scene, &answer, 3000);
    assert_int_equal(answer.result, HF_EINDETERMINATE);
    scene_run_ms(scene, 5000);
    unsigned stopped = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct node_group_status status;
        assert_int_equal(node_group_status(scene->nodes[i].node, 1, &status), 0);
        stopped += !status.is_started && strstr(status.text, "EVERSION") != NULL;
        assert_int_equal(scene->nodes[i].fatal, 0);
    }
    assert_true(stopped >= 2); /* the last one cannot commit alone, so it never meets the command */
    assert_null(scene_leader(scene, FIRST));
    assert_int_equal(scene_put(&scene->nodes[0], FIRST + 1, 1, 5), 0);
    scene_close(scene);
}

/* ---- Identity ---- */

static void reformat(struct scene_node *node)
{
    scene_power_off(node);
    sim_disk_wipe(node->host);
    sim_host_start(node->host);
    assert_int_equal(directory_format(sim_host_io(node->host), "/data", node->scene->description, node->id), 0);
    assert_int_equal(scene_start(node), 0);
}

static void H18_a_wiped_node_is_refused_even_after_the_others_restarted(void **state)
{
    struct scene *scene = scene_open(3, 2, NULL);
    uint64_t value = 0;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 2000);
    for (uint32_t i = 0; i < 3; i++) { /* everybody knows everybody */
        for (uint64_t id = 1; id <= 3; id++) {
            assert_true(system_group_incarnation(scene_group(&scene->nodes[i], NODE_SYSTEM_GROUP)->machine, id) != 0);
        }
    }
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 7), 0);
    reformat(&scene->nodes[2]);
    for (unsigned round = 0; round < 2; round++) {
        scene_run_ms(scene, 4000);
        for (uint64_t group = 1; group <= 3; group++) {
            struct replica_status status;
            replica_status(scene_group(&scene->nodes[2], group)->replica, &status);
            assert_int_equal(status.last_index, 1); /* its own bootstrap entry, and nothing from anybody */
            assert_int_equal(status.leader, 0);
        }
        /* Both sides try again and again, and the last refusal stands there: one of them names the reason. */
        struct peer_status peer = {0};
        for (unsigned tries = 0; tries < 400 && strstr(peer.last_error, "formatted anew") == NULL; tries++) {
            scene_run_ms(scene, 5);
            assert_int_equal(peer_status(node_peers(scene->nodes[2].node), 1, &peer), 0);
            assert_false(peer.up);
        }
        assert_non_null(strstr(peer.last_error, "formatted anew"));
        assert_int_equal(scene_get(&scene->nodes[round], FIRST, 1, &value), 0);
        assert_int_equal(value, 7);
        for (uint32_t i = 0; i < 2 && round == 0; i++) { /* before anything is committed, the log says who is who */
            scene_power_off(&scene->nodes[i]);
        }
        for (uint32_t i = 0; i < 2 && round == 0; i++) {
            assert_int_equal(scene_start(&scene->nodes[i]), 0);
        }
    }
    scene_close(scene);
}

static void a_log_that_belongs_to_another_directory_is_refused(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 2000);
    /* Another identity over the same log. */
    struct scene_node *node = &scene->nodes[1];
    scene_kill(node);
    sim_host_start(node->host);
    struct io *io = sim_host_io(node->host);
    assert_int_equal(path_rename(io, "/data/log", "/log"), 0);
    assert_int_equal(path_unlink(io, "/data/node"), 0);
    assert_int_equal(directory_format(io, "/data", scene->description, node->id), 0);
    assert_int_equal(path_rename(io, "/log", "/data/log"), 0);
    assert_int_equal(scene_start(node), HF_EMISMATCH);
    scene_close(scene);
}

static void a_directory_and_a_port_in_use_are_refused(void **state)
{
    struct scene *scene = scene_open(2, 1, NULL);
    struct node *second = NULL;
    static const struct node_callbacks callbacks = {0};
    struct scene_node *node = &scene->nodes[0];
    assert_int_equal(node_open(sim_host_io(node->host), sim_host_loop(node->host), &scene->options, &node->ops,
                               &callbacks, NULL, &second),
                     HF_EBUSY);
    assert_non_null(strstr(hf_error_text(), "in use"));
    assert_int_equal(directory_format(sim_host_io(node->host), "/other", scene->description, 1), 0);
    struct node_options options = scene->options;
    options.directory = "/other";
    assert_int_equal(
        node_open(sim_host_io(node->host), sim_host_loop(node->host), &options, &node->ops, &callbacks, NULL, &second),
        HF_EBUSY);
    options.directory = "/missing";
    assert_int_equal(
        node_open(sim_host_io(node->host), sim_host_loop(node->host), &options, &node->ops, &callbacks, NULL, &second),
        HF_ENOTFOUND);
    scene_wait_led(scene, 4000);
    scene_close(scene);
}

static void drop_line(void *arg, enum trace_level level, const char *line) {}

/* One that ends soon after each start would take the group along every time. */
static void a_node_that_came_back_leads_again_after_it_stayed_for_a_while(void **state)
{
    struct scene *scene = scene_open(3, 1, NULL);
    scene_wait_led(scene, 5000);
    scene_run_ms(scene, 15000);
    struct scene_node *first = scene_leader(scene, FIRST);
    assert_non_null(first);
    scene_kill(first);
    scene_run_ms(scene, 20000); /* whoever leads now has led for long */
    assert_true(scene_leader(scene, FIRST) != NULL && scene_leader(scene, FIRST) != first);
    assert_int_equal(scene_start(first), 0);
    for (unsigned second = 0; second < 9; second++) {
        scene_run_ms(scene, 1000);
        assert_true(scene_leader(scene, FIRST) != first);
    }
    scene_run_ms(scene, 5000);
    assert_true(scene_leader(scene, FIRST) == first);
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_voter_writes_reads_and_comes_back_with_everything),
        cmocka_unit_test(H10_a_lone_voter_answers_only_when_the_write_is_durable),
        cmocka_unit_test(reads_of_a_lone_voter_need_no_disk_and_no_network),
        cmocka_unit_test(what_cannot_be_taken_in_is_answered_in_a_later_turn_with_its_reason),
        cmocka_unit_test(too_much_waiting_is_refused_and_the_rest_is_answered),
        cmocka_unit_test(at_the_data_limit_only_what_grows_is_refused),
        cmocka_unit_test(large_commands_and_many_commands_are_cut_into_entries),
        cmocka_unit_test(every_node_takes_every_command),
        cmocka_unit_test(all_groups_are_led_within_3_s_and_spread_soon_after),
        cmocka_unit_test(many_groups_on_three_nodes_are_led_in_time),
        cmocka_unit_test(leadership_goes_where_it_is_sent),
        cmocka_unit_test(a_node_that_leaves_hands_everything_over),
        cmocka_unit_test(without_a_quorum_nothing_proposed_is_told_apart_from_who_knows),
        cmocka_unit_test(a_forwarded_command_is_unknown_once_it_left_and_its_connection_breaks),
        cmocka_unit_test(a_command_makes_one_hop),
        cmocka_unit_test(closing_answers_everything_and_refuses_what_comes_from_the_answers),
        cmocka_unit_test(H12_a_leader_whose_clock_is_off_hands_over),
        cmocka_unit_test(a_small_difference_of_clocks_moves_nobody),
        cmocka_unit_test(an_idle_group_expires_on_every_node),
        cmocka_unit_test(H6_a_full_disk_refuses_before_proposing_and_recovers),
        cmocka_unit_test(H1_a_failed_write_stops_the_node_at_once_and_the_others_go_on),
        cmocka_unit_test(H21_a_leader_with_a_stuck_disk_hands_over),
        cmocka_unit_test(what_waits_is_counted_and_given_back),
        cmocka_unit_test(a_command_of_a_newer_program_stops_its_group_and_says_so),
        cmocka_unit_test(H18_a_wiped_node_is_refused_even_after_the_others_restarted),
        cmocka_unit_test(a_log_that_belongs_to_another_directory_is_refused),
        cmocka_unit_test(a_directory_and_a_port_in_use_are_refused),
        cmocka_unit_test(a_node_that_came_back_leads_again_after_it_stayed_for_a_while),
    };
    trace_set_sink(drop_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
