/* links: node sim cluster */
/* After a majority is lost for good: what survives is looked at, a new cluster of one node is made out of it, and goes
 * on; at every step the power may go. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/trace.h"
#include "cluster/cluster_scene.h"
#include "node/rebuild.h"
#include "node/recover_plan.h"
#include "planted.h"

#define GROUP  2u
#define GROUPS 2u
#define OLD    "/data"
#define NEW    "/new"

static const struct node_options often = {.snapshot = {.format = {.chunk_size_bytes = 4096},
                                                       .keep_latest = 2,
                                                       .entries = UINT64_MAX,
                                                       .log_bytes = UINT64_MAX,
                                                       .interval_ms = UINT64_MAX,
                                                       .trail = 1}};

static void drop_line(void *arg, enum trace_level level, const char *line) {}

/* ---- A cluster of three of which one disk is left ---- */

struct ruin {
    struct scene *scene;
    struct scene_node *survivor;
    uint64_t values[GROUPS][CLUSTER_REGISTERS];
    struct rebuild_options rebuild;
    struct node_machine_ops machine;
    struct cluster_machine_owner owner;
};

static void ruin_ignore(void *arg, uint64_t group, const struct hf_entry *entry, const uint64_t digest[2]) {}

static void ruin_put(struct ruin *ruin, uint32_t rounds, uint64_t base)
{
    for (uint32_t i = 0; i < rounds * CLUSTER_REGISTERS; i++) {
        for (uint64_t group = 0; group < GROUPS; group++) {
            uint32_t key = i % CLUSTER_REGISTERS;
            assert_int_equal(scene_put(ruin->survivor, group + GROUP, key, base + i), 0);
            ruin->values[group][key] = base + i;
        }
    }
}

static void snapshot_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    *(int *)arg = result;
}

static bool snapshot_is_done(void *arg)
{
    return *(int *)arg != 1;
}

static int ruin_turn(void *arg, struct hf_log *log)
{
    struct ruin *ruin = arg;
    hf_log_turn(log);
    sim_run_for(ruin->scene->sim, SCENE_MS);
    return sim_host_is_running(ruin->survivor->host) ? 0 : error_raise(HF_EIO, "the power is gone");
}

/* Writes, snapshots on the way when asked for, and everything replicated; then all is off and two disks are gone. */
static struct ruin ruin_make(unsigned snapshots)
{
    struct ruin ruin = {.scene = scene_open(3, GROUPS, &often)};
    ruin.survivor = &ruin.scene->nodes[0];
    scene_wait_led(ruin.scene, 5000);
    ruin_put(&ruin, 1, 100);
    for (unsigned i = 0; i < snapshots; i++) {
        int result = 1;
        node_snapshot(ruin.survivor->node, 0, snapshot_done, &result);
        assert_true(sim_run_until(ruin.scene->sim, snapshot_is_done, &result, 10000 * SCENE_MS));
        assert_int_equal(result, 0);
        ruin_put(&ruin, 1, 1000 * (i + 1));
    }
    scene_run_ms(ruin.scene, 500); /* what was acknowledged reaches the survivor, too */
    return ruin;
}

static void ruin_fall(struct ruin *ruin)
{
    for (uint32_t i = 0; i < 3; i++) {
        scene_power_off(&ruin->scene->nodes[i]);
    }
    sim_host_start(ruin->survivor->host);
}

static void ruin_close(struct ruin *ruin)
{
    scene_close(ruin->scene);
}

static struct io *ruin_io(const struct ruin *ruin)
{
    return sim_host_io(ruin->survivor->host);
}

static int ruin_rebuild_from(struct ruin *ruin, const struct description *old, const struct rebuild_group *groups)
{
    struct description *description = NULL;
    ruin->owner = (struct cluster_machine_owner){ruin_ignore, NULL};
    ruin->machine = cluster_machine_ops(&ruin->owner);
    ruin->rebuild = (struct rebuild_options){.path = NEW,
                                             .node = {.id = 1},
                                             .machine = &ruin->machine,
                                             .log = {.segment_size_bytes = 1 << 20},
                                             .format = {.chunk_size_bytes = 4096},
                                             .turn = ruin_turn,
                                             .arg = ruin};
    snprintf(ruin->rebuild.node.peer_address, sizeof(ruin->rebuild.node.peer_address), "%s:7000", ruin->survivor->name);
    int rc = rebuild_run(ruin_io(ruin), &ruin->rebuild, old, groups, NULL, &description);
    if (rc == 0) {
        struct description *before = ruin->scene->description;
        ruin->scene->description = description;
        description_close(before);
    }
    return rc;
}

/* From the one that is left. */
static int ruin_rebuild(struct ruin *ruin)
{
    struct survivor *survivor = NULL;
    struct survivor_copy copies[GROUPS];
    struct rebuild_group groups[GROUPS];
    int rc = survivor_open(ruin_io(ruin), OLD, NULL, &survivor);
    for (uint32_t i = 0; rc == 0 && i < GROUPS; i++) {
        survivor_examine(survivor, GROUP + i, &copies[i]);
        groups[i] = (struct rebuild_group){survivor, &copies[i]};
        rc = copies[i].is_good ? 0 : error_raise(HF_ECORRUPT, "%s", copies[i].reason);
    }
    rc = rc == 0 ? ruin_rebuild_from(ruin, survivor->description, groups) : rc;
    survivor_close(survivor);
    return rc;
}

static int ruin_start(struct ruin *ruin)
{
    ruin->survivor->id = 1;
    ruin->scene->options.directory = NEW;
    int rc = scene_start(ruin->survivor);
    ruin->scene->options.directory = OLD;
    return rc;
}

static void assert_values(struct ruin *ruin, struct scene_node *node)
{
    for (uint64_t group = 0; group < GROUPS; group++) {
        for (uint32_t key = 0; key < CLUSTER_REGISTERS; key++) {
            uint64_t value = 0;
            assert_int_equal(scene_get(node, group + GROUP, key, &value), 0);
            assert_true(value == ruin->values[group][key]);
        }
    }
}

/* Of all names and bytes below a folder. */
struct fingerprint {
    struct io *io;
    const char *path;
    uint64_t hash;
};

static int fingerprint_visit(void *arg, const char *name, bool is_directory);

static uint64_t fingerprint_of(struct io *io, const char *path)
{
    struct fingerprint fingerprint = {.io = io, .path = path};
    assert_int_equal(directory_list(io, path, fingerprint_visit, &fingerprint), 0);
    return fingerprint.hash;
}

static int fingerprint_visit(void *arg, const char *name, bool is_directory)
{
    struct fingerprint *fingerprint = arg;
    char *path = text_format("%s/%s", fingerprint->path, name);
    uint64_t hash = hash_fnv1a_64(bytes_of(path, strlen(path)));
    if (is_directory) {
        hash ^= fingerprint_of(fingerprint->io, path);
    } else {
        struct file *file = NULL;
        uint64_t size = 0;
        size_t got = 0;
        assert_int_equal(file_open(fingerprint->io, path, FILE_READ, &file), 0);
        assert_int_equal(file_size(file, &size), 0);
        uint8_t *bytes = memory_new(size + 1);
        assert_int_equal(file_read(file, 0, bytes, size, &got), 0);
        hash = hash_mix_64(hash ^ hash_fnv1a_64(bytes_of(bytes, got)) ^ size);
        free(bytes);
        file_close(file);
    }
    fingerprint->hash = hash_mix_64(fingerprint->hash * 3 + hash);
    free(path);
    return 0;
}

/* ---- What comes of it ---- */

static void a_new_cluster_goes_on_with_everything_that_reached_the_survivor(void **state)
{
    for (unsigned snapshots = 0; snapshots <= 3; snapshots++) {
        char why[256];
        struct ruin ruin = ruin_make(snapshots);
        ruin_fall(&ruin);
        uint64_t before = fingerprint_of(ruin_io(&ruin), OLD);
        assert_int_equal(ruin_rebuild(&ruin), 0);
        assert_true(fingerprint_of(ruin_io(&ruin), OLD) == before);
        assert_int_equal(ruin_start(&ruin), 0);
        scene_wait_led(ruin.scene, 5000);
        assert_values(&ruin, ruin.survivor);
        ruin_put(&ruin, 2, 50000);
        /* It grows as any other does: the new node takes in the snapshot, since the log has nothing before it. */
        struct scene_node *joined = scene_join(ruin.scene, ruin.survivor, MEMBERSHIP_VOTER, why);
        assert_non_null(joined);
        assert_int_equal(scene_start(joined), 0);
        scene_wait_role(ruin.scene, joined->id, REPLICA_ROLE_VOTER, 60000);
        assert_values(&ruin, joined);
        ruin_put(&ruin, 1, 60000);
        assert_values(&ruin, joined);
        ruin_close(&ruin);
    }
}

static void the_old_cluster_and_the_new_one_refuse_each_other(void **state)
{
    struct ruin ruin = ruin_make(1);
    ruin_fall(&ruin);
    assert_int_equal(ruin_rebuild(&ruin), 0);
    /* Node 2 was not lost after all. Its description says where node 1 is: there the new cluster listens. */
    assert_int_equal(ruin_start(&ruin), 0);
    assert_int_equal(scene_start(&ruin.scene->nodes[1]), 0);
    scene_run_ms(ruin.scene, 5000);
    assert_ptr_equal(scene_leader(ruin.scene, NODE_SYSTEM_GROUP), ruin.survivor);
    assert_int_equal(scene_group(&ruin.scene->nodes[1], GROUP)->leader, 0);
    assert_int_equal(ruin.survivor->node->peer_count, 1); /* itself */
    for (uint32_t i = 0; i < ruin.scene->nodes[1].node->peer_count; i++) {
        assert_false(ruin.scene->nodes[1].node->peers[i].is_up);
    }
    assert_values(&ruin, ruin.survivor);
    ruin_close(&ruin);
}

/* A leader that is alone appends what nobody else will ever acknowledge; whether somebody did, its disk cannot tell. */
static void entries_that_nobody_knows_to_be_committed_are_kept(void **state)
{
    struct ruin ruin = ruin_make(1);
    struct scene_answer answers[GROUPS];
    struct scene_node *leader = scene_leader(ruin.scene, GROUP);
    struct cluster_command command = {.verb = CLUSTER_PUT, .key = 1, .value = 4711};
    struct survivor *survivor = NULL;
    struct survivor_copy copy;
    ruin.survivor = leader;
    sim_network_partition(ruin.scene->sim, &leader->host, 1);
    scene_propose(leader, GROUP, &command, &answers[0]);
    scene_run_ms(ruin.scene, 100);
    assert_false(answers[0].is_done);
    ruin_fall(&ruin);
    assert_int_equal(survivor_open(ruin_io(&ruin), OLD, NULL, &survivor), 0);
    survivor_examine(survivor, GROUP, &copy);
    assert_true(copy.is_good && copy.commit < copy.last_index);
    survivor_close(survivor);
    sim_network_heal(ruin.scene->sim);
    assert_int_equal(ruin_rebuild(&ruin), 0);
    assert_int_equal(ruin_start(&ruin), 0);
    scene_wait_led(ruin.scene, 5000);
    ruin.values[0][1] = 4711;
    assert_values(&ruin, ruin.survivor);
    ruin_close(&ruin);
}

static void a_directory_in_use_and_a_used_target_are_refused(void **state)
{
    struct ruin ruin = ruin_make(0);
    struct survivor *survivor = NULL;
    assert_int_equal(survivor_open(ruin_io(&ruin), OLD, NULL, &survivor), HF_EBUSY);
    ruin_fall(&ruin);
    assert_int_equal(survivor_open(ruin_io(&ruin), "/nothing", NULL, &survivor), HF_ENOTFOUND);
    assert_int_equal(ruin_rebuild(&ruin), 0);
    uint64_t before = fingerprint_of(ruin_io(&ruin), NEW);
    assert_int_equal(ruin_rebuild(&ruin), HF_EEXISTS);
    assert_true(fingerprint_of(ruin_io(&ruin), NEW) == before);
    ruin_close(&ruin);
}

static void damage_is_named_and_never_passed_over(void **state)
{
    struct ruin ruin = ruin_make(2);
    struct survivor *survivor = NULL;
    struct survivor_copy copy;
    char path[256];
    ruin_fall(&ruin);
    /* Both snapshots of all groups, one after the other: the log does not reach back to the beginning. */
    for (unsigned i = 0; i < 24; i++) {
        assert_int_equal(sim_disk_flip_random_bit(ruin.survivor->host, OLD "/snapshots", path, NULL), 0);
    }
    bool is_all_good = true;
    assert_int_equal(survivor_open(ruin_io(&ruin), OLD, NULL, &survivor), 0);
    for (uint64_t group = GROUP; group < GROUP + GROUPS; group++) {
        survivor_examine(survivor, group, &copy);
        assert_true(copy.is_good || copy.reason[0] != '\0');
        is_all_good = is_all_good && copy.is_good;
    }
    survivor_close(survivor);
    assert_false(is_all_good);
    assert_int_equal(ruin_rebuild(&ruin), HF_ECORRUPT);
    ruin_close(&ruin);
}

/* ---- Many histories ---- */

#define LIVES       40u
#define LIVES_SMALL 10u

/* One register that is written again and again, one value after the other. */
struct writes {
    struct scene_answer answer;
    bool is_waiting;
    bool is_loose; /* what was indeterminate once may have come at any time */
    uint64_t sent;
    uint64_t acknowledged;
};

struct life {
    struct ruin ruin;
    struct rng rng;
    struct writes writes[GROUPS][CLUSTER_REGISTERS];
    uint64_t counter;
    struct scene_node *alone; /* cut off from the others: what it appends as a leader, they will overrule */
};

static void life_settle(struct writes *writes)
{
    if (writes->is_waiting && writes->answer.is_done) {
        writes->is_waiting = false;
        writes->acknowledged = writes->answer.result == 0 ? writes->sent : writes->acknowledged;
        writes->is_loose = writes->is_loose || writes->answer.result == HF_EINDETERMINATE;
    }
}

static void life_write(struct life *life, struct scene_node *node)
{
    uint64_t group = rng_below(&life->rng, GROUPS);
    uint32_t key = (uint32_t)rng_below(&life->rng, CLUSTER_REGISTERS);
    struct writes *writes = &life->writes[group][key];
    life_settle(writes);
    if (node->node != NULL && !writes->is_waiting) {
        struct cluster_command command = {.verb = CLUSTER_PUT, .key = key, .value = ++life->counter};
        writes->sent = command.value;
        writes->is_waiting = true;
        scene_propose(node, group + GROUP, &command, &writes->answer);
    }
}

/* Long enough that the others elect another leader, most times. */
static void life_part(struct life *life)
{
    struct scene *scene = life->ruin.scene;
    if (life->alone == NULL) {
        life->alone = scene_leader(scene, GROUP + rng_below(&life->rng, GROUPS));
        if (life->alone != NULL) {
            sim_network_partition(scene->sim, &life->alone->host, 1);
        }
    } else if (rng_chance(&life->rng, 1, 6)) {
        sim_network_heal(scene->sim);
        life->alone = NULL;
    }
}

static void life_step(struct life *life)
{
    static int ignored;
    struct scene *scene = life->ruin.scene;
    bool is_alone = life->alone != NULL && rng_chance(&life->rng, 1, 2);
    struct scene_node *node = is_alone ? life->alone : &scene->nodes[rng_below(&life->rng, 3)];
    uint64_t choice = rng_below(&life->rng, 100);
    if (choice < 88) {
        life_write(life, node);
    } else if (choice < 91 && node->node != NULL) {
        scene_kill(node);
    } else if (choice < 95 && node->node == NULL) {
        assert_int_equal(scene_start(node), 0);
    } else if (choice < 96) {
        life_part(life);
    } else if (choice < 98 && node->node != NULL) {
        node_snapshot(node->node, 0, snapshot_done, &ignored);
    } else if (node->node != NULL) {
        (void)node_transfer(node->node, GROUP, 0);
    }
    sim_run_for(scene->sim, rng_below(&life->rng, 30 * SCENE_MS));
}

/* Two of the three disks are left; which, and what of the last writes is on them, chance decides. */
static void life_recover(struct life *life)
{
    struct survivor *survivors[2] = {0};
    struct survivor_copy copies[GROUPS][2];
    struct rebuild_group groups[GROUPS];
    const struct recover_wishes none = {0};
    struct scene *scene = life->ruin.scene;
    uint64_t lost = rng_below(&life->rng, 3);
    for (uint32_t i = 0, k = 0; i < 3; i++) {
        if (i != lost) {
            sim_host_start(scene->nodes[i].host);
            assert_int_equal(survivor_open(sim_host_io(scene->nodes[i].host), OLD, NULL, &survivors[k++]), 0);
            life->ruin.survivor = &scene->nodes[i];
        }
    }
    for (uint32_t g = 0; g < GROUPS; g++) {
        struct recover_candidate candidates[2];
        struct recover_choice choice;
        for (uint32_t i = 0; i < 2; i++) {
            survivor_examine(survivors[i], GROUP + g, &copies[g][i]);
            candidates[i] = (struct recover_candidate){survivors[i]->node_id, false, &copies[g][i]};
        }
        recover_plan_choose(candidates, 2, &none, &choice);
        assert_int_equal(choice.result, 0);
        assert_true(choice.is_complete);
        groups[g] = (struct rebuild_group){survivors[choice.candidate], &copies[g][choice.candidate]};
    }
    assert_int_equal(ruin_rebuild_from(&life->ruin, survivors[0]->description, groups), 0);
    survivor_close(survivors[0]);
    survivor_close(survivors[1]);
    assert_int_equal(ruin_start(&life->ruin), 0);
    scene_wait_led(scene, 5000);
}

static void P1_two_of_three_directories_hold_everything_that_was_acknowledged(void **state)
{
    const char *scale = getenv("HOLDFAST_TEST_SCALE");
    uint64_t lives = scale != NULL && strcmp(scale, "small") == 0 ? LIVES_SMALL : LIVES;
    uint64_t acknowledged = 0;
    for (uint64_t seed = 1; seed <= lives; seed++) {
        struct life life = {.ruin = {.scene = scene_open(3, GROUPS, &often)}};
        rng_seed(&life.rng, seed);
        scene_wait_led(life.ruin.scene, 5000);
        uint64_t steps = 50 + rng_below(&life.rng, 400);
        for (uint64_t i = 0; i < steps; i++) {
            life_step(&life);
        }
        for (uint32_t i = 0; i < 3; i++) {
            if (life.ruin.scene->nodes[i].node != NULL) {
                scene_power_off(&life.ruin.scene->nodes[i]);
            } else {
                sim_host_power_off(life.ruin.scene->nodes[i].host);
            }
        }
        sim_network_heal(life.ruin.scene->sim);
        life_recover(&life);
        for (uint32_t g = 0; g < GROUPS; g++) {
            for (uint32_t key = 0; key < CLUSTER_REGISTERS; key++) {
                struct writes *writes = &life.writes[g][key];
                uint64_t value = 0;
                life_settle(writes);
                acknowledged += writes->acknowledged > 0;
                assert_int_equal(scene_get(life.ruin.survivor, GROUP + g, key, &value), 0);
                assert_true(value <= writes->sent);
                assert_true(value >= writes->acknowledged || (writes->is_loose && value > 0));
            }
        }
        ruin_close(&life.ruin);
    }
    assert_true(acknowledged > lives * GROUPS);
}

/* ---- The power goes ---- */

/* One attempt that ends at the k-th crash point. True: the point was reached. Afterwards the target either cannot be
 * opened, or is whole. */
static bool crash_at(const struct sim_image *image, struct ruin *ruin, uint64_t k, enum sim_cut mode)
{
    sim_host_power_off(ruin->survivor->host);
    sim_image_put(ruin->survivor->host, image);
    sim_host_start(ruin->survivor->host);
    sim_disk_cut_at(ruin->survivor->host, k, mode);
    int rebuilt = ruin_rebuild(ruin);
    bool was_cut = !sim_host_is_running(ruin->survivor->host);
    assert_true(was_cut || rebuilt == 0);
    sim_disk_cut_at(ruin->survivor->host, 0, SIM_CUT_AFTER);
    sim_host_power_off(ruin->survivor->host);
    assert_int_equal(sim_host_handle_count(ruin->survivor->host), 0);
    sim_host_start(ruin->survivor->host);
    int opened = ruin_start(ruin);
    assert_true(opened == 0 || opened == HF_ENOTFOUND);
    assert_true(opened == 0 || rebuilt != 0);
    if (opened == 0) {
        scene_wait_led(ruin->scene, 5000);
        assert_values(ruin, ruin->survivor);
        scene_power_off(ruin->survivor);
    } else {
        int again = ruin_rebuild(ruin);
        assert_true(again == 0 || again == HF_EUNSAFE); /* HF_EUNSAFE: the rest of an attempt, and it says so */
    }
    return was_cut;
}

static void H4_a_crash_at_any_step_leaves_the_target_whole_or_unopenable(void **state)
{
    for (unsigned mode = SIM_CUT_DURING; mode <= SIM_CUT_AFTER; mode++) {
        struct ruin ruin = ruin_make(1);
        for (uint32_t i = 0; i < 3; i++) {
            scene_power_off(&ruin.scene->nodes[i]);
        }
        struct sim_image *image = sim_image_take(ruin.survivor->host);
        bool was_cut = true;
        uint64_t k = 0;
        while (was_cut) {
            was_cut = crash_at(image, &ruin, ++k, (enum sim_cut)mode);
        }
        assert_true(k > 20);
        sim_image_close(image);
        ruin_close(&ruin);
    }
}

static void a_failing_or_full_disk_leaves_the_target_whole_or_unopenable(void **state)
{
    static const enum sim_disk_kind kinds[] = {SIM_DISK_WRITE,       SIM_DISK_DURABLE, SIM_DISK_SYNC,
                                               SIM_DISK_CREATE,      SIM_DISK_RENAME,  SIM_DISK_DIRECTORY_SYNC,
                                               SIM_DISK_PREALLOCATE, SIM_DISK_READ};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (uint64_t skip = 0; skip < 12; skip++) {
            struct ruin ruin = ruin_make(0);
            struct sim_disk_failure failure = {kinds[i], skip, 1, skip % 2 == 0 ? HF_EIO : HF_ENOSPACE, NEW};
            ruin_fall(&ruin);
            sim_disk_fail(ruin.survivor->host, &failure);
            int rebuilt = ruin_rebuild(&ruin);
            sim_disk_fail_clear(ruin.survivor->host);
            int opened = ruin_start(&ruin);
            assert_true(opened == 0 || (opened == HF_ENOTFOUND && rebuilt != 0));
            if (opened == 0) {
                scene_wait_led(ruin.scene, 5000);
                assert_values(&ruin, ruin.survivor);
            }
            ruin_close(&ruin);
        }
    }
}

/* What cannot be read is no copy, or the same copy: never a shorter one. */
static void a_source_that_cannot_be_read_is_refused_or_whole(void **state)
{
    unsigned refused = 0;
    for (uint64_t skip = 0; skip < 40; skip++) {
        struct ruin ruin = ruin_make(1);
        struct sim_disk_failure failure = {SIM_DISK_READ, skip, skip % 2 == 0 ? 1 : UINT64_MAX, HF_EIO, OLD};
        ruin_fall(&ruin);
        sim_disk_fail(ruin.survivor->host, &failure);
        int rebuilt = ruin_rebuild(&ruin);
        sim_disk_fail_clear(ruin.survivor->host);
        int opened = ruin_start(&ruin);
        assert_true(opened == (rebuilt == 0 ? 0 : HF_ENOTFOUND));
        refused += rebuilt != 0;
        if (opened == 0) {
            scene_wait_led(ruin.scene, 5000);
            assert_values(&ruin, ruin.survivor);
        }
        ruin_close(&ruin);
    }
    assert_true(refused > 0 && refused < 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_cluster_goes_on_with_everything_that_reached_the_survivor),
        cmocka_unit_test(the_old_cluster_and_the_new_one_refuse_each_other),
        cmocka_unit_test(entries_that_nobody_knows_to_be_committed_are_kept),
        cmocka_unit_test(a_directory_in_use_and_a_used_target_are_refused),
        cmocka_unit_test(damage_is_named_and_never_passed_over),
        cmocka_unit_test(P1_two_of_three_directories_hold_everything_that_was_acknowledged),
        cmocka_unit_test(H4_a_crash_at_any_step_leaves_the_target_whole_or_unopenable),
        cmocka_unit_test(a_source_that_cannot_be_read_is_refused_or_whole),
        cmocka_unit_test(a_failing_or_full_disk_leaves_the_target_whole_or_unopenable),
    };
    planted_prepare();
    trace_set_sink(drop_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
