/* links: node sim cluster */
/* Snapshots in the life of a group, one thing at a time: taken, compacted, started from, installed, interrupted. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "cluster/snapshot_scene.h"
#include "node/fetch.h"
#include "node/group_stream.h"
#include "node/offer.h"
#include "node/snapshot_job.h"
#include "snapshot/snapshot.h"

/* ---- taken, compacted, started from ---- */

static void the_log_reaches_back_to_the_second_newest_snapshot(void **state)
{
    struct scene *scene = scene_open(1, 1, &often);
    struct scene_node *node = &scene->nodes[0];
    scene_wait_led(scene, 5000);
    must_put(node, 10);
    assert_int_equal(take(node, GROUP), 0);
    uint64_t one = scene_group(node, GROUP)->snapshots.index;
    assert_true(one > 0 && first_index(node) == 1); /* a single one may turn out to be damaged */
    must_put(node, 10);
    assert_int_equal(take(node, 0), 0);
    scene_run_ms(scene, 50);
    assert_true(scene_group(node, GROUP)->snapshots.index > one);
    assert_true(first_index(node) == one); /* and one more entry of trail */
    assert_int_equal(take(node, 0), 0);    /* nothing new: done at once */
    scene_close(scene);
}

static void a_start_loads_the_newest_snapshot_and_replays_only_what_follows(void **state)
{
    struct scene *scene = scene_open(1, 1, &often);
    struct scene_node *node = &scene->nodes[0];
    uint64_t value = 0;
    scene_wait_led(scene, 5000);
    must_put(node, 20);
    assert_int_equal(take(node, GROUP), 0);
    must_put(node, 10);
    assert_int_equal(take(node, GROUP), 0);
    uint64_t index = scene_group(node, GROUP)->snapshots.index;
    assert_int_equal(scene_put(node, GROUP, 3, 77), 0);
    scene_power_off(node);
    assert_int_equal(scene_start(node), 0);
    assert_true(scene_group(node, GROUP)->applied_index == index);
    struct node_group_status status; /* says so before consensus has started, too */
    assert_int_equal(node_group_status(node->node, GROUP - 1, &status), 0);
    assert_true(status.replica.snapshot_index == index);
    scene_wait_led(scene, 5000);
    assert_int_equal(scene_get(node, GROUP, 3, &value), 0);
    assert_int_equal(value, 77);
    assert_int_equal(scene_get(node, GROUP, 2, &value), 0);
    assert_int_equal(value, 1008);
    struct node_counters counters;
    node_counters(node->node, &counters);
    assert_true(counters.applied_entries < 15);
    scene_close(scene);
}

static void flip_newest(struct scene_node *node)
{
    char path[SIM_PATH_SIZE_MAX];
    struct hf_snapshot_info *list;
    size_t count;
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    assert_int_equal(hf_snapshot_list(node->node->snapshots.store, GROUP, &list, &count), 0);
    assert_true(count > 0);
    hf_snapshot_id_format(list[0].manifest.id, id);
    hf_snapshot_list_free(list);
    scene_power_off(node);
    sim_host_start(node->host);
    assert_int_equal(sim_disk_flip_random_bit(node->host, id, path, NULL), 0);
}

static void H8_a_damaged_newest_falls_back_and_the_log_still_reaches_it(void **state)
{
    for (unsigned round = 0; round < 8; round++) { /* other places of the file */
        struct scene *scene = scene_open(1, 1, &often);
        struct scene_node *node = &scene->nodes[0];
        uint64_t value = 0;
        scene_wait_led(scene, 5000);
        must_put(node, 10 + round);
        assert_int_equal(take(node, GROUP), 0);
        uint64_t one = scene_group(node, GROUP)->snapshots.index;
        must_put(node, 10);
        assert_int_equal(take(node, GROUP), 0);
        scene_run_ms(scene, 100);
        flip_newest(node);
        assert_int_equal(scene_start(node), 0);
        assert_true(scene_group(node, GROUP)->applied_index == one);
        scene_wait_led(scene, 5000);
        assert_int_equal(scene_get(node, GROUP, 3, &value), 0);
        assert_int_equal(value, 1009);
        must_put(node, 1);
        scene_run_ms(scene, 2000); /* so few entries ask for none, but the damaged one does */
        struct hf_snapshot_manifest manifest;
        assert_true(scene_group(node, GROUP)->snapshots.index > one + 9);
        assert_true(snapshots_find(scene_group(node, GROUP), &manifest));
        scene_close(scene);
    }
}

/* What a snapshot under load leaves behind: much was written while it was made, and then nothing more is. */
static void a_log_that_one_snapshot_leaves_long_gets_another_one(void **state)
{
    struct scene *scene = scene_open(1, 1, &often);
    struct scene_node *node = &scene->nodes[0];
    struct hosted_group *group = scene_group(node, GROUP);
    scene_wait_led(scene, 5000);
    must_put(node, 10);
    assert_int_equal(take(node, GROUP), 0);
    uint64_t bytes = group->applied_bytes;
    must_put(node, 100);
    uint64_t grown = group->applied_bytes - bytes;
    assert_int_equal(take(node, GROUP), 0);
    uint64_t two = group->snapshots.index;
    assert_true(first_index(node) < two - 90);
    node->node->snapshots.options.log_bytes = grown / 2;
    scene_run_ms(scene, 5000);
    assert_true(group->snapshots.index == two); /* nothing was applied since: it would be the same one */
    must_put(node, 1);
    scene_run_ms(scene, 5000);
    uint64_t three = group->snapshots.index;
    assert_true(three > two && first_index(node) == two);
    must_put(node, 1);
    scene_run_ms(scene, 5000);
    assert_true(group->snapshots.index == three);
    scene_close(scene);
}

/* Most of what an entry of a few bytes holds is its record's header. */
static void small_entries_ask_for_a_snapshot_when_their_records_are_so_long(void **state)
{
    const uint64_t size = 16384;
    struct hf_log_group_state log;
    struct node_options options = often;
    options.snapshot.log_bytes = size;
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    struct hosted_group *group = scene_group(node, GROUP);
    scene_wait_led(scene, 5000);
    while (group->snapshots.index == 0) {
        must_put(node, 1);
        scene_run_ms(scene, 500); /* longer than anybody looks away */
        assert_int_equal(hf_log_group_state(node->node->log, GROUP, &log), 0);
        assert_true(log.bytes_on_disk < size + size / 8);
    }
    assert_true(log.first_index == 1 && log.bytes_on_disk > size - size / 8);
    assert_true(log.bytes < size / 2 + size / 8);
    struct node_group_status status;
    assert_int_equal(node_group_status(node->node, GROUP - 1, &status), 0);
    assert_true(status.log_bytes == log.bytes_on_disk); /* what is told is what counts */
    scene_close(scene);
}

static void a_failed_snapshot_compacts_nothing_and_is_reported(void **state)
{
    struct scene *scene = scene_open(1, 1, &often);
    struct scene_node *node = &scene->nodes[0];
    scene_wait_led(scene, 5000);
    must_put(node, 10);
    assert_int_equal(take(node, GROUP), 0);
    must_put(node, 10);
    static const struct sim_disk_failure failures[] = {
        {SIM_DISK_WRITE, 0, 1, HF_ENOSPACE, "snapshots"}, {SIM_DISK_SYNC, 0, 1, HF_EIO, "snapshots"},
        {SIM_DISK_RENAME, 0, 1, HF_EIO, "snapshots"},     {SIM_DISK_DIRECTORY_SYNC, 0, 1, HF_EIO, "snapshots"},
        {SIM_DISK_READ, 0, 1, HF_EIO, "snapshots"}, /* it is published, and could not be read back */
    };
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        struct node_snapshot_status status;
        sim_disk_fail(node->host, &failures[i]);
        assert_int_not_equal(take(node, GROUP), 0);
        sim_disk_fail_clear(node->host);
        node_snapshot_status(node->node, &status);
        assert_true(status.failed == i + 1 && status.last_result != 0 && status.text[0] != '\0');
        assert_true(first_index(node) == 1);
    }
    assert_int_equal(take(node, GROUP), 0);
    scene_run_ms(scene, 50);
    assert_true(first_index(node) > 1);
    scene_close(scene);
}

/* A leader whose disk is the slowest of all commits with the others' word: what it applied is never all durable. */
static void R4_a_snapshot_of_a_busy_leader_waits_for_its_log_and_not_for_a_pause(void **state)
{
    static struct scene_answer answers[3000];
    struct scene *scene = scene_open(3, 1, &often);
    scene_wait_led(scene, 5000);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct waiter waiter = {.node = leader, .group = GROUP};
    must_put(leader, 10);
    unsigned behind = 0;
    unsigned ms = 0;
    for (; ms < 3000 && !waiter.is_done; ms++) {
        struct cluster_command command = {.verb = CLUSTER_PUT, .key = 1, .value = ms};
        struct replica_status status;
        if (ms % 10 == 0) {
            sim_disk_stall(leader->host, 15 * SCENE_MS);
        }
        scene_propose(leader, GROUP, &command, &answers[ms]);
        scene_run_ms(scene, 1);
        replica_status(scene_group(leader, GROUP)->replica, &status);
        if (ms == 200) {
            loop_post(sim_host_loop(leader->host), waiter_ask, &waiter);
        }
        behind += status.durable_index < status.applied_index;
        uint64_t taken = scene_group(leader, GROUP)->snapshots.index;
        assert_true(taken <= status.durable_index);
    }
    assert_true(waiter.is_done && waiter.result == 0);
    assert_true(behind > ms / 2);
    scene_run_ms(scene, 6000);
    scene_close(scene);
}

/* The log of a leader whose disk stands still never gets there: who asked is answered. */
static void R4_a_snapshot_that_waits_for_the_log_for_a_minute_fails_and_says_so(void **state)
{
    struct scene *scene = scene_open(3, 1, &often);
    scene_wait_led(scene, 5000);
    struct scene_node *leader = scene_leader(scene, GROUP);
    struct waiter waiter = {.node = leader, .group = GROUP};
    struct node_snapshot_status status;
    must_put(leader, 10);
    sim_disk_stall(leader->host, (SNAPSHOT_JOB_WAIT_MS + 30000) * SCENE_MS); /* not what a worker writes by itself */
    must_put(leader, 3);                                                     /* the others have it */
    loop_post(sim_host_loop(leader->host), waiter_ask, &waiter);
    scene_run_ms(scene, SNAPSHOT_JOB_WAIT_MS - 2000);
    assert_false(waiter.is_done);
    node_snapshot_status(leader->node, &status);
    assert_true(status.is_running && status.bytes_done > 0);
    scene_run_ms(scene, 4000);
    assert_true(waiter.is_done && waiter.result == HF_ETIMEOUT);
    node_snapshot_status(leader->node, &status);
    assert_non_null(strstr(status.text, "not durable"));
    assert_true(first_index(leader) == 1);
    scene_run_ms(scene, 60000);
    assert_equal_states(scene);
    assert_int_equal(take(leader, GROUP), 0);
    scene_close(scene);
}

static uint64_t held_bytes_now;

static uint64_t held_bytes(void *machine)
{
    return held_bytes_now;
}

/* Writes copy what the cut shares: beyond the limit the snapshot gives the memory back and says so. */
static void a_snapshot_that_holds_too_many_copied_pages_fails_and_says_so(void **state)
{
    struct node_options options = often;
    struct node_snapshot_status status;
    options.snapshot.copy_bytes_max = 1 << 20;
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    scene_wait_led(scene, 5000);
    must_put(node, 10);
    node->ops.held_bytes = held_bytes;
    held_bytes_now = (1 << 20) + 1;
    assert_int_equal(take(node, GROUP), HF_ENOMEM);
    node_snapshot_status(node->node, &status);
    assert_non_null(strstr(status.text, "copied pages"));
    assert_non_null(strstr(status.text, "snapshot.copy_max"));
    held_bytes_now = 1 << 20;
    assert_int_equal(take(node, GROUP), 0);
    scene_close(scene);
}

static void ask_often(void *arg)
{
    struct waiter *waiters = arg;
    for (uint32_t i = 0; i <= SNAPSHOTS_REQUESTS_MAX; i++) {
        node_snapshot(waiters[i].node->node, 0, waiter_done, &waiters[i]);
    }
}

static void requests_beyond_what_may_wait_are_refused(void **state)
{
    struct scene *scene = scene_open(1, 1, &often);
    struct waiter *waiters = test_calloc(SNAPSHOTS_REQUESTS_MAX + 1, sizeof(*waiters));
    for (uint32_t i = 0; i <= SNAPSHOTS_REQUESTS_MAX; i++) {
        waiters[i].node = &scene->nodes[0];
    }
    scene_wait_led(scene, 5000);
    must_put(&scene->nodes[0], 10);
    loop_post(sim_host_loop(scene->nodes[0].host), ask_often, waiters);
    scene_run_ms(scene, 2000);
    for (uint32_t i = 0; i <= SNAPSHOTS_REQUESTS_MAX; i++) {
        assert_true(waiters[i].is_done && waiters[i].result == (i < SNAPSHOTS_REQUESTS_MAX ? 0 : HF_EBUSY));
    }
    assert_int_equal(take(&scene->nodes[0], GROUP), 0);
    test_free(waiters);
    scene_close(scene);
}

static void snapshots_are_taken_by_entries_and_by_time(void **state)
{
    struct node_options options = often;
    options.snapshot.entries = 10;
    options.snapshot.interval_ms = 5000;
    struct scene *scene = scene_open(1, 2, &options);
    struct scene_node *node = &scene->nodes[0];
    scene_wait_led(scene, 5000);
    must_put(node, 12);
    scene_run_ms(scene, 500);
    uint64_t index = scene_group(node, GROUP)->snapshots.index;
    assert_true(index >= 10);
    assert_true(scene_group(node, GROUP + 1)->snapshots.index == 0); /* no entries, and no time yet */
    must_put(node, 1);
    scene_run_ms(scene, 500);
    assert_true(scene_group(node, GROUP)->snapshots.index == index);
    scene_run_ms(scene, 6000);
    assert_true(scene_group(node, GROUP)->snapshots.index > index);
    assert_true(scene_group(node, GROUP + 1)->snapshots.index > 0);
    scene_close(scene);
}

/* One at a time. A group for which another one is due as soon as one is done does not keep the others from theirs. */
static void groups_take_turns(void **state)
{
    struct node_options options = often;
    options.snapshot.entries = 2;
    struct scene *scene = scene_open(1, 3, &options);
    struct scene_node *node = &scene->nodes[0];
    struct sim_profile slow = sim_profile_calm();
    struct node_snapshot_status status;
    slow.work_ns = (struct sim_span){3 * SCENE_MS, 3 * SCENE_MS};
    scene_wait_led(scene, 5000);
    for (uint32_t g = GROUP + 1; g < GROUP + 3; g++) {
        assert_int_equal(scene_put(node, g, 1, 7), 0);
        assert_int_equal(scene_put(node, g, 1, 8), 0);
    }
    sim_set_profile(scene->sim, &slow);
    do {
        must_put(node, 3);
        scene_run_ms(scene, 1); /* a step of a snapshot takes longer, and there is a lot of them */
        node_snapshot_status(node->node, &status);
    } while (status.taken < 8);
    for (uint32_t g = GROUP; g < GROUP + 3; g++) {
        assert_true(scene_group(node, g)->snapshots.index > 1);
    }
    scene_close(scene);
}

/* ---- installed ---- */

static void a_member_that_is_far_behind_installs_a_snapshot(void **state)
{
    struct scene *scene = open_with_a_laggard();
    struct scene_node *node = &scene->nodes[2];
    struct node_snapshot_status status;
    assert_int_equal(scene_start(node), 0);
    assert_true(sim_run_until(scene->sim, is_caught_up, scene, 20000 * SCENE_MS));
    node_snapshot_status(node->node, &status);
    assert_true(status.installed == 1);
    scene_run_ms(scene, 500);
    assert_equal_states(scene);
    for (uint32_t i = 0; i < 3; i++) { /* nothing holds the logs back any more */
        assert_true(offer_floor(scene_group(&scene->nodes[i], GROUP)) == UINT64_MAX);
    }
    /* What it took in is its own now: it starts from it, and offers it. */
    uint64_t index = scene_group(node, GROUP)->snapshots.index;
    scene_power_off(node);
    assert_int_equal(scene_start(node), 0);
    assert_true(scene_group(node, GROUP)->applied_index == index);
    assert_true(sim_run_until(scene->sim, is_caught_up, scene, 20000 * SCENE_MS));
    scene_close(scene);
}

static bool has_some(void *arg)
{
    struct fetch_status status;
    const struct scene_node *node = arg;
    return node->node != NULL && fetch_status(node->node, 0, &status) == 0 && status.phase == FETCH_RECEIVING &&
           status.bytes_done > 16384 && status.bytes_done < status.bytes_total;
}

/* ---- the system group ---- */

static void the_system_group_is_compacted_and_its_snapshot_goes_to_who_lacks_its_log(void **state)
{
    char why[256] = "";
    struct scene *scene = scene_open(3, 1, &often);
    scene_wait_led(scene, 5000);
    scene_run_ms(scene, 2000); /* everybody is registered */
    scene_kill(&scene->nodes[2]);
    scene_wait_led(scene, 5000);
    for (unsigned round = 0; round < 3; round++) {
        change_addresses(&scene->nodes[0], 1, 4);
        assert_int_equal(take(&scene->nodes[0], NODE_SYSTEM_GROUP), 0);
        assert_int_equal(take(&scene->nodes[1], NODE_SYSTEM_GROUP), 0);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_true(system_state(&scene->nodes[i]).first_index > 8);
    }
    /* One that was away, one that never was there, and a start from the snapshot. */
    assert_int_equal(scene_start(&scene->nodes[2]), 0);
    assert_true(sim_run_until(scene->sim, system_is_equal, scene, 20000 * SCENE_MS));
    assert_true(system_state(&scene->nodes[2]).snapshot_name_size > 0);
    struct scene_node *joined = scene_join(scene, &scene->nodes[1], MEMBERSHIP_VOTER, why);
    assert_non_null(joined);
    assert_int_equal(scene_start(joined), 0);
    scene_wait_role(scene, joined->id, REPLICA_ROLE_VOTER, 20000);
    assert_true(sim_run_until(scene->sim, system_is_equal, scene, 20000 * SCENE_MS));
    assert_true(system_state(joined).snapshot_name_size > 0);
    for (uint32_t i = 0; i < scene->node_count; i++) {
        scene_power_off(&scene->nodes[i]);
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
    }
    scene_wait_led(scene, 10000);
    change_addresses(joined, 1, 2);
    assert_true(sim_run_until(scene->sim, system_is_equal, scene, 20000 * SCENE_MS));
    assert_int_equal(scene_put(joined, GROUP, 1, 7), 0);
    scene_close(scene);
}

static void the_system_group_keeps_its_log_until_every_member_knows_its_snapshots(void **state)
{
    scene_feature_level = DESCRIPTION_FEATURES_MEMBERS;
    struct scene *scene = scene_open(3, 1, &often);
    scene_feature_level = 0;
    scene_kill(&scene->nodes[2]); /* nobody has heard what it supports */
    scene_wait_led(scene, 5000);
    assert_int_equal(scene_put(&scene->nodes[0], GROUP, 1, 1), 0);
    assert_int_equal(take(&scene->nodes[0], NODE_SYSTEM_GROUP), HF_EUNSUPPORTED);
    assert_int_equal(take(&scene->nodes[0], 0), 0);
    assert_int_equal(scene_group(&scene->nodes[0], NODE_SYSTEM_GROUP)->snapshots.index, 0);
    assert_int_equal(scene_start(&scene->nodes[2]), 0);
    scene_run_ms(scene, 3000);
    assert_int_equal(take(&scene->nodes[0], 0), 0);
    assert_int_not_equal(scene_group(&scene->nodes[0], NODE_SYSTEM_GROUP)->snapshots.index, 0);
    scene_close(scene);
}

/* What a node is known by lies before the log by now. */
static void H18_a_wiped_node_is_refused_by_what_only_a_snapshot_knows(void **state)
{
    struct scene *scene = scene_open(3, 1, &often);
    struct peer_status status = {0};
    struct scene_node *wiped = &scene->nodes[1];
    scene_wait_led(scene, 5000);
    scene_run_ms(scene, 2000);
    for (unsigned round = 0; round < 3; round++) {
        change_addresses(&scene->nodes[0], 1, 4);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(take(&scene->nodes[i], NODE_SYSTEM_GROUP), 0);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(system_state(&scene->nodes[i]).first_index > 8);
        scene_power_off(&scene->nodes[i]);
    }
    sim_disk_wipe(wiped->host);
    sim_host_start(wiped->host);
    assert_int_equal(directory_format(sim_host_io(wiped->host), "/data", scene->description, wiped->id), 0);
    for (uint32_t i = 0; i < 3; i += 2) {
        /* The members are in a file, too; that one is lost. */
        sim_host_start(scene->nodes[i].host);
        assert_int_equal(path_unlink(sim_host_io(scene->nodes[i].host), "/data/members"), 0);
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
    }
    assert_int_equal(scene_start(wiped), 0);
    scene_run_ms(scene, 4000);
    for (unsigned i = 0; i < 400 && strstr(status.last_error, "holdfast member remove 2") == NULL; i++) {
        scene_run_ms(scene, 10);
        assert_int_equal(peer_status(node_peers(wiped->node), 1, &status), 0);
        assert_false(status.up);
    }
    assert_non_null(strstr(status.last_error, "holdfast member remove 2"));
    scene_close(scene);
}

/* Interrupted in the middle: by a cut connection, and by the end of either process. */
static void a_transfer_goes_on_where_it_was_interrupted(void **state)
{
    for (unsigned way = 0; way < 4; way++) {
        struct scene *scene = open_with_a_laggard();
        struct scene_node *node = &scene->nodes[2];
        struct node_snapshot_status status;
        struct fetch_status fetch;
        struct sim_profile slow = sim_profile_calm();
        slow.link.bandwidth_bytes_per_s = 200000;
        sim_set_profile(scene->sim, &slow);
        assert_int_equal(scene_start(node), 0);
        assert_true(sim_run_until(scene->sim, has_some, node, 20000 * SCENE_MS));
        assert_int_equal(fetch_status(node->node, 0, &fetch), 0);
        struct scene_node *source = &scene->nodes[fetch.node_id - 1];
        struct offer_status offer;
        assert_int_equal(offer_status(source->node, 0, &offer), 0);
        assert_true(offer.node_id == 3 && offer.bytes_sent > 0 && offer.bytes_total == fetch.bytes_total);
        if (way == 0) {
            sim_link_reset(node->host, source->host);
        } else if (way == 1) {
            scene_kill(node);
            assert_int_equal(scene_start(node), 0);
        } else if (way == 2) {
            scene_power_off(node);
            assert_int_equal(scene_start(node), 0);
        } else {
            scene_kill(source);
            assert_int_equal(scene_start(source), 0);
        }
        assert_true(sim_run_until(scene->sim, is_caught_up, scene, 40000 * SCENE_MS));
        node_snapshot_status(node->node, &status);
        assert_true(status.installed >= 1);
        if (way == 1) {
            assert_true(status.resumed == 1);
        }
        sim_calm(scene->sim);
        scene_run_ms(scene, 1000);
        assert_equal_states(scene);
        scene_close(scene);
    }
}

/* A link so slow that what may be asked for at a time takes longer than until it is asked for again. */
static void chunks_that_are_on_their_way_are_not_sent_again(void **state)
{
    struct scene *scene = open_with_a_laggard();
    struct scene_node *node = &scene->nodes[2];
    struct sim_profile slow = sim_profile_calm();
    struct offer_status offer = {0};
    bool is_here = false;
    slow.link.bandwidth_bytes_per_s = 16000;
    sim_set_profile(scene->sim, &slow);
    assert_int_equal(scene_start(node), 0);
    for (unsigned ms = 0; ms < 40000 && !is_here; ms += 50) {
        scene_run_ms(scene, 50);
        for (uint32_t i = 0; i < 2; i++) {
            if (offer_status(scene->nodes[i].node, 0, &offer) == 0) {
                assert_true(offer.bytes_sent <= offer.bytes_total);
                assert_true(scene->nodes[i].node->transfer_bytes <= 8u * 2 * 4096);
            }
        }
        is_here = is_caught_up(scene);
    }
    assert_true(is_here && offer.bytes_total > 8u * 4096);
    sim_calm(scene->sim);
    scene_run_ms(scene, 1000);
    assert_equal_states(scene);
    assert_true(node->node->transfer_bytes == 0);
    scene_close(scene);
}

/* H7: at every crash point of the member while it receives, publishes, resets, imports. */
static void H7_a_power_cut_at_any_step_of_an_install_leaves_a_good_state(void **state)
{
    unsigned survived = 0;
    for (uint64_t point = 1; survived < 3 && point < 400; point++) {
        struct scene *scene = open_with_a_laggard();
        struct scene_node *node = &scene->nodes[2];
        assert_int_equal(scene_start(node), 0);
        sim_disk_cut_at(node->host, point, point % 2 == 0 ? SIM_CUT_DURING : SIM_CUT_AFTER);
        for (unsigned ms = 0; ms < 400 && sim_host_is_running(node->host); ms++) {
            scene_run_ms(scene, 5);
        }
        survived += sim_host_is_running(node->host); /* the install needed fewer operations than that */
        sim_disk_cut_at(node->host, 0, SIM_CUT_AFTER);
        scene_power_off(node);
        assert_int_equal(scene_start(node), 0);
        assert_false(scene_group(node, GROUP)->is_failed);
        assert_true(sim_run_until(scene->sim, is_caught_up, scene, 20000 * SCENE_MS));
        scene_run_ms(scene, 500);
        assert_equal_states(scene);
        scene_close(scene);
    }
    assert_true(survived > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_reaches_back_to_the_second_newest_snapshot),
        cmocka_unit_test(a_start_loads_the_newest_snapshot_and_replays_only_what_follows),
        cmocka_unit_test(H8_a_damaged_newest_falls_back_and_the_log_still_reaches_it),
        cmocka_unit_test(a_log_that_one_snapshot_leaves_long_gets_another_one),
        cmocka_unit_test(small_entries_ask_for_a_snapshot_when_their_records_are_so_long),
        cmocka_unit_test(a_failed_snapshot_compacts_nothing_and_is_reported),
        cmocka_unit_test(R4_a_snapshot_of_a_busy_leader_waits_for_its_log_and_not_for_a_pause),
        cmocka_unit_test(R4_a_snapshot_that_waits_for_the_log_for_a_minute_fails_and_says_so),
        cmocka_unit_test(a_snapshot_that_holds_too_many_copied_pages_fails_and_says_so),
        cmocka_unit_test(requests_beyond_what_may_wait_are_refused),
        cmocka_unit_test(snapshots_are_taken_by_entries_and_by_time),
        cmocka_unit_test(groups_take_turns),
        cmocka_unit_test(a_member_that_is_far_behind_installs_a_snapshot),
        cmocka_unit_test(the_system_group_is_compacted_and_its_snapshot_goes_to_who_lacks_its_log),
        cmocka_unit_test(the_system_group_keeps_its_log_until_every_member_knows_its_snapshots),
        cmocka_unit_test(H18_a_wiped_node_is_refused_by_what_only_a_snapshot_knows),
        cmocka_unit_test(a_transfer_goes_on_where_it_was_interrupted),
        cmocka_unit_test(chunks_that_are_on_their_way_are_not_sent_again),
        cmocka_unit_test(H7_a_power_cut_at_any_step_of_an_install_leaves_a_good_state),
    };
#ifdef HF_MUTATIONS
    if (getenv("HOLDFAST_MUTATION") != NULL && mutation_enable(getenv("HOLDFAST_MUTATION")) != 0) {
        return 2;
    }
#endif
    trace_set_sink(drop_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
