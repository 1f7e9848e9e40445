/* links: node sim cluster */
/* Damage to the log of one node of three, in scenes: the group that it concerns stays closed there - no vote, no
 * acknowledgement - until the leader's entries have made it whole; the other groups do not notice. HAZARDS row 3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/trace.h"
#include "cluster/cluster_scene.h"
#include "node/fetch.h"
#include "node/group_stream.h"

#define FIRST   NODE_GROUP_FIRST
#define VICTIM  (FIRST + 1)
#define WRITES  30u
#define RECORDS 4096u

/* Bytes from the beginning of a record: its payload begins at 32, or at 64 if the entry opens its run. */
#define IN_PAYLOAD 66u

/* Every record of a group in a node's log. */
struct place {
    uint64_t segment;
    uint64_t offset;
    uint64_t index;
    const char *kind;
};
struct places {
    uint64_t group;
    size_t count;
    struct place items[RECORDS];
};

static int places_record(void *arg, const struct log_walk_record *record)
{
    struct places *places = arg;
    if (record->group == places->group && places->count < RECORDS) {
        places->items[places->count++] = (struct place){record->segment, record->offset, record->index, record->kind};
    }
    return 0;
}

static struct log_walk_summary walk(struct scene_node *node, uint64_t group, struct places *places)
{
    static const struct log_walk_callbacks callbacks = {.record = places_record};
    struct log_walk_summary summary;
    places->group = group;
    places->count = 0;
    sim_host_start(node->host);
    assert_int_equal(log_walk(sim_host_io(node->host), "/data/log", &callbacks, places, &summary), 0);
    return summary;
}

static void flip(struct scene_node *node, const struct place *place, uint64_t at, unsigned bit)
{
    char path[64];
    snprintf(path, sizeof(path), "/data/log/%016llx.log", (unsigned long long)place->segment);
    assert_int_equal(sim_disk_flip_bit(node->host, path, place->offset + at, bit), 0);
}

static const struct place *entry_at(const struct places *places, uint64_t index)
{
    for (size_t i = 0; i < places->count; i++) {
        bool is_entry = strcmp(places->items[i].kind, "append") == 0;
        if (is_entry && places->items[i].index == index) {
            return &places->items[i];
        }
    }
    fail_msg("entry %llu is not in the log", (unsigned long long)index);
    return NULL;
}

static struct scene *scene_with_data(void)
{
    struct scene *scene = scene_open(3, 3, NULL);
    scene_wait_led(scene, 4000);
    for (uint64_t i = 0; i < WRITES; i++) {
        for (uint64_t group = FIRST; group < FIRST + 3; group++) {
            assert_int_equal(scene_put(&scene->nodes[0], group, 1, i + 1), 0);
        }
    }
    scene_run_ms(scene, 200);
    return scene;
}

static struct node_group_status status_of(struct scene_node *node, uint64_t group)
{
    struct node_group_status status = {0};
    for (uint32_t i = 0; node_group_status(node->node, i, &status) == 0; i++) {
        if (status.group == group) {
            return status;
        }
    }
    fail_msg("there is no group %llu", (unsigned long long)group);
    return status;
}

static void wait_started(struct scene *scene, struct scene_node *node, uint64_t limit_ms)
{
    for (uint64_t waited = 0; !status_of(node, VICTIM).is_started; waited += 50) {
        if (waited >= limit_ms) {
            fail_msg("not repaired: %s", status_of(node, VICTIM).text);
        }
        scene_run_ms(scene, 50);
    }
}

static void cut(struct scene *scene, struct scene_node *node, bool is_cut)
{
    for (uint32_t i = 0; i < scene->node_count; i++) {
        struct scene_node *other = &scene->nodes[i];
        if (other == node) {
            continue;
        }
        if (is_cut) {
            sim_link_cut(node->host, other->host);
            sim_link_cut(other->host, node->host);
        } else {
            sim_link_heal(node->host, other->host);
            sim_link_heal(other->host, node->host);
        }
    }
}

static void expect_equal_digests(struct scene *scene, uint64_t group)
{
    scene_run_ms(scene, 500);
    struct node_group_status first = status_of(&scene->nodes[0], group);
    for (uint32_t i = 1; i < scene->node_count; i++) {
        struct node_group_status other = status_of(&scene->nodes[i], group);
        assert_int_equal(other.replica.applied_index, first.replica.applied_index);
        assert_memory_equal(other.digest, first.digest, sizeof(first.digest));
    }
}

/* ---- scenes ---- */

static void H3_a_damaged_group_neither_votes_nor_acknowledges_until_it_is_repaired(void **state)
{
    static struct places places;
    struct scene *scene = scene_with_data();
    struct scene_node *victim = &scene->nodes[2];
    uint64_t value = 0;
    scene_kill(victim);
    assert_int_equal(walk(victim, VICTIM, &places).damaged, 0);
    flip(victim, entry_at(&places, 12), IN_PAYLOAD, 3);
    /* The damaged member and one other: a majority for every group but the damaged one. */
    scene_kill(&scene->nodes[1]);
    assert_int_equal(scene_start(victim), 0);
    scene_run_ms(scene, 6000);
    for (uint64_t group = FIRST; group < FIRST + 3; group++) {
        struct node_group_status status = status_of(victim, group);
        assert_int_equal(status.is_started, group != VICTIM);
        assert_int_equal(status.text[0] != '\0', group == VICTIM);
        int rc = scene_put(&scene->nodes[0], group, 1, 99);
        assert_int_equal(rc, group == VICTIM ? HF_ENOLEADER : 0);
    }
    assert_non_null(strstr(status_of(victim, VICTIM).text, "entries 12 … 12"));
    assert_int_equal(scene_get(victim, VICTIM, 1, &value), HF_ECLOSED);
    /* With the third one there is a leader, and with a leader the entry. */
    assert_int_equal(scene_start(&scene->nodes[1]), 0);
    wait_started(scene, victim, 8000);
    scene_wait_led(scene, 5000);
    assert_int_equal(victim->node->counters.repaired_entries, 1);
    assert_int_equal(scene_put(victim, VICTIM, 1, 100), 0);
    assert_int_equal(scene_get(victim, VICTIM, 1, &value), 0);
    assert_int_equal(value, 100);
    expect_equal_digests(scene, VICTIM);
    /* And it stays healed. */
    scene_power_off(victim);
    struct log_walk_summary summary = walk(victim, VICTIM, &places);
    assert_int_equal(summary.damaged, 0);
    assert_int_equal(summary.healed, 1);
    assert_int_equal(scene_start(victim), 0);
    assert_true(status_of(victim, VICTIM).is_started);
    scene_close(scene);
}

static void H3_a_flipped_bit_in_any_record_of_a_group_is_healed_or_the_group_stays_closed(void **state)
{
    static struct places places;
    struct scene *scene = scene_with_data();
    struct scene_node *victim = &scene->nodes[2];
    unsigned healed = 0;
    unsigned closed = 0;
    unsigned tried = 0;
    scene_kill(victim);
    walk(victim, VICTIM, &places);
    for (size_t i = 0; i < places.count; i += 7) {
        struct place place = places.items[i];
        flip(victim, &place, 8 + i % 24, (unsigned)i % 8);
        assert_int_equal(scene_start(victim), 0);
        struct hf_log_group_state log_state;
        hf_log_group_state(victim->node->log, VICTIM, &log_state);
        bool was_damaged = !status_of(victim, VICTIM).is_started;
        assert_int_equal(was_damaged, log_state.damaged);
        if (log_state.state_lost) {
            scene_run_ms(scene, 3000);
            assert_false(status_of(victim, VICTIM).is_started);
            assert_non_null(strstr(status_of(victim, VICTIM).text, "may not vote"));
            closed++;
        } else if (was_damaged) {
            wait_started(scene, victim, 8000);
            healed++;
        }
        for (uint64_t group = FIRST; group < FIRST + 3; group++) {
            assert_int_equal(scene_put(&scene->nodes[0], group, 2, i), 0);
            assert_true(group == VICTIM || status_of(victim, group).is_started);
        }
        if (!log_state.state_lost) {
            expect_equal_digests(scene, VICTIM);
        }
        scene_kill(victim);
        sim_host_start(victim->host);
        tried++;
        if (log_state.state_lost) {
            flip(victim, &place, 8 + i % 24, (unsigned)i % 8); /* back, for the next one */
        }
    }
    assert_true(tried > 5 && healed > 2 && healed + closed <= tried);
    scene_close(scene);
}

static void H3_damage_that_is_met_while_it_runs_closes_the_group_and_heals(void **state)
{
    static struct places places;
    struct scene *scene = scene_with_data();
    struct scene_node *leader = scene_leader(scene, VICTIM);
    uint64_t value = 0;
    assert_non_null(leader);
    static const struct log_walk_callbacks callbacks = {.record = places_record};
    struct log_walk_summary summary;
    places = (struct places){.group = VICTIM};
    assert_int_equal(log_walk(sim_host_io(leader->host), "/data/log", &callbacks, &places, &summary), 0);
    flip(leader, entry_at(&places, 20), IN_PAYLOAD, 3);
    struct hf_log_view view = {0};
    while (hf_log_read(leader->node->log, VICTIM, 20, 21, 0, 0, &view) == 0) { /* recent entries are cached */
        hf_log_view_close(&view);
        struct cluster_command filler = {.verb = CLUSTER_PUT, .key = 2, .value = 1, .ballast = 1u << 20};
        struct scene_answer answer;
        scene_propose(leader, FIRST, &filler, &answer);
        scene_await(scene, &answer, 5000);
    }
    scene_run_ms(scene, 300);
    assert_int_equal(status_of(leader, FIRST).is_started, 1);
    wait_started(scene, leader, 8000);
    scene_wait_led(scene, 5000);
    assert_true(leader->node->counters.repaired_entries > 0);
    assert_int_equal(scene_get(leader, VICTIM, 1, &value), 0);
    assert_int_equal(value, WRITES);
    expect_equal_digests(scene, VICTIM);
    scene_close(scene);
}

static void H3_an_entry_that_is_damaged_everywhere_keeps_its_group_closed_and_says_so(void **state)
{
    static struct places places;
    struct scene *scene = scene_with_data();
    for (uint32_t i = 0; i < 3; i++) {
        scene_kill(&scene->nodes[i]);
        walk(&scene->nodes[i], VICTIM, &places);
        flip(&scene->nodes[i], entry_at(&places, 12), IN_PAYLOAD, 3);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(scene_start(&scene->nodes[i]), 0);
    }
    scene_run_ms(scene, 5000);
    for (uint32_t i = 0; i < 3; i++) {
        struct node_group_status status = status_of(&scene->nodes[i], VICTIM);
        assert_false(status.is_started);
        assert_non_null(strstr(status.text, "damaged there, too"));
        assert_true(status_of(&scene->nodes[i], FIRST).is_started);
    }
    assert_int_equal(scene_put(&scene->nodes[0], FIRST, 1, 5), 0);
    assert_int_equal(scene_put(&scene->nodes[0], VICTIM, 1, 5), HF_ECLOSED);
    scene_close(scene);
}

/* Alone it waits; nothing is invented. */
static void a_node_without_peers_in_reach_waits_with_its_damaged_group(void **state)
{
    static struct places places;
    struct scene *scene = scene_with_data();
    struct scene_node *victim = &scene->nodes[2];
    scene_kill(victim);
    walk(victim, VICTIM, &places);
    for (uint64_t index = 5; index < 25; index += 3) {
        flip(victim, entry_at(&places, index), IN_PAYLOAD, 3);
    }
    cut(scene, victim, true);
    assert_int_equal(scene_start(victim), 0);
    scene_run_ms(scene, 3000);
    assert_false(status_of(victim, VICTIM).is_started);
    assert_non_null(strstr(status_of(victim, VICTIM).text, "within reach"));
    cut(scene, victim, false);
    wait_started(scene, victim, 8000);
    assert_int_equal(victim->node->counters.repaired_entries, 7);
    expect_equal_digests(scene, VICTIM);
    scene_close(scene);
}

/* ---- a leader whose log begins later ---- */

static const struct node_options with_snapshots = {
    .snapshot = {.format = {.chunk_size_bytes = 4096},
                 .keep_latest = 2,
                 .entries = 10,
                 .log_bytes = UINT64_MAX,
                 .interval_ms = UINT64_MAX,
                 .trail = 2},
};

static uint64_t first_index(struct scene_node *node)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(node->node->log, VICTIM, &state), 0);
    return state.first_index;
}

/* A victim whose log holds an entry that is damaged and not yet compacted away there. The others go on without it until
 * their logs begin behind that entry. */
static struct scene *scene_compacted(uint64_t writes, struct scene_node **victim, uint64_t *damaged)
{
    static struct places places;
    struct scene *scene = scene_open(3, 3, &with_snapshots);
    scene_wait_led(scene, 4000);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(scene_put(&scene->nodes[0], VICTIM, 1, i + 1), 0);
    }
    scene_run_ms(scene, 200);
    *victim = &scene->nodes[2];
    scene_kill(*victim);
    walk(*victim, VICTIM, &places);
    *damaged = 4;
    flip(*victim, entry_at(&places, *damaged), IN_PAYLOAD, 3);
    scene_wait_led(scene, 4000);
    for (uint64_t i = 0; i < writes; i++) {
        assert_int_equal(scene_put(&scene->nodes[0], VICTIM, 1, 100 + i), 0);
        scene_run_ms(scene, 20);
    }
    scene_run_ms(scene, 1000);
    return scene;
}

static void H3_damage_below_the_leaders_log_is_healed_by_its_snapshot(void **state)
{
    struct scene_node *victim;
    uint64_t damaged = 0;
    uint64_t value = 0;
    struct scene *scene = scene_compacted(60, &victim, &damaged);
    assert_true(first_index(scene_leader(scene, VICTIM)) > damaged);
    assert_int_equal(scene_start(victim), 0);
    assert_false(status_of(victim, VICTIM).is_started);
    wait_started(scene, victim, 8000);
    scene_wait_led(scene, 5000);
    assert_int_equal(scene_get(victim, VICTIM, 1, &value), 0);
    assert_int_equal(value, 159);
    assert_true(first_index(victim) > damaged);
    expect_equal_digests(scene, VICTIM);
    /* Every later start finds it so. */
    scene_power_off(victim);
    assert_int_equal(scene_start(victim), 0);
    assert_true(status_of(victim, VICTIM).is_started);
    scene_wait_led(scene, 5000);
    assert_int_equal(scene_put(victim, VICTIM, 1, 7), 0);
    expect_equal_digests(scene, VICTIM);
    scene_close(scene);
}

/* A victim that acknowledged more than the leader's newest snapshot has, and whose log is damaged below the leader's.
 * Returns what was written last. */
static uint64_t damage_behind_a_snapshot(struct scene *scene, struct scene_node **victim,
                                         struct hf_log_group_state *before)
{
    static struct places places;
    scene_wait_led(scene, 4000);
    scene_run_ms(scene, 1000);
    *victim = scene_follower(scene, VICTIM);
    scene_kill(*victim);
    scene->options.snapshot.is_off = true; /* of this one: its own log stays whole */
    assert_int_equal(scene_start(*victim), 0);
    struct scene_node *leader = NULL;
    uint64_t written = 0;
    do {
        assert_int_equal(scene_put(&scene->nodes[0], VICTIM, 1, ++written), 0);
        scene_run_ms(scene, written < 40 ? 20 : 300);
        leader = scene_leader(scene, VICTIM);
    } while (written < 40 ||
             scene_group(leader, VICTIM)->snapshots.index + 3 > scene_group(leader, VICTIM)->applied_index);
    assert_ptr_not_equal(leader, *victim);
    assert_true(first_index(leader) > 6);
    assert_int_equal(hf_log_group_state((*victim)->node->log, VICTIM, before), 0);
    assert_true(scene_group(leader, VICTIM)->snapshots.index < before->last_index);
    scene_kill(*victim);
    walk(*victim, VICTIM, &places);
    flip(*victim, entry_at(&places, 6), IN_PAYLOAD, 3);
    assert_int_equal(scene_start(*victim), 0);
    assert_false(status_of(*victim, VICTIM).is_started);
    return written;
}

static void expect_all_of_it(struct scene *scene, struct scene_node *victim, const struct hf_log_group_state *before,
                             uint64_t written)
{
    struct hf_log_group_state after;
    uint64_t value = 0;
    assert_int_equal(hf_log_group_state(victim->node->log, VICTIM, &after), 0);
    assert_true(after.last_index >= before->last_index && after.first_index > 6);
    scene_wait_led(scene, 5000);
    assert_int_equal(scene_get(victim, VICTIM, 1, &value), 0);
    assert_int_equal(value, written);
    expect_equal_digests(scene, VICTIM);
}

/* What the member acknowledged waits for a newer snapshot, which the leader takes. */
static void H3_no_snapshot_takes_away_what_was_acknowledged_behind_the_damage(void **state)
{
    struct scene_node *victim;
    struct hf_log_group_state before;
    struct scene *scene = scene_open(3, 3, &with_snapshots);
    uint64_t written = damage_behind_a_snapshot(scene, &victim, &before);
    wait_started(scene, victim, 8000);
    expect_all_of_it(scene, victim, &before, written);
    scene_close(scene);
}

struct early_offer {
    struct hosted_group *group;
    uint64_t from;
    struct hf_snapshot_manifest manifest;
};

static void offer_early(void *arg)
{
    struct early_offer *offer = arg;
    struct replica_snapshot snapshot;
    static uint8_t bytes[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    size_t size = hf_snapshot_manifest_encode(&offer->manifest, bytes);
    assert_int_equal(group_stream_snapshot(&offer->manifest, &snapshot), 0);
    fetch_offered(offer->group, offer->from, offer->group->repair.request.term, &snapshot, bytes_of(bytes, size));
    assert_non_null(offer->group->fetch);
}

/* It was on its way when the damage was met, and ends before the log does. */
static void H3_a_snapshot_that_is_too_old_to_heal_makes_room_for_one_that_can(void **state)
{
    struct scene_node *victim;
    struct hf_log_group_state before;
    struct scene *scene = scene_open(3, 3, &with_snapshots);
    uint64_t written = damage_behind_a_snapshot(scene, &victim, &before);
    struct scene_node *leader = scene_leader(scene, VICTIM);
    struct early_offer offer = {.group = scene_group(victim, VICTIM), .from = leader->id};
    assert_int_equal(hf_snapshot_latest(leader->node->snapshots.store, VICTIM, 0, &offer.manifest), 0);
    assert_true(offer.manifest.index < before.last_index);
    while (!offer.group->repair.needs_snapshot) {
        scene_run_ms(scene, 1);
    }
    assert_null(offer.group->fetch);
    loop_post(sim_host_loop(victim->host), offer_early, &offer);
    wait_started(scene, victim, 12000);
    expect_all_of_it(scene, victim, &before, written);
    scene_close(scene);
}

/* The power goes at every moment of it. */
static void H3_a_power_cut_while_a_snapshot_heals_a_log_leaves_it_damaged_or_whole(void **state)
{
    unsigned cut_short = 0;
    for (uint64_t at = 1; at < 30; at++) {
        struct scene_node *victim;
        uint64_t damaged = 0;
        uint64_t value = 0;
        struct scene *scene = scene_compacted(60, &victim, &damaged);
        assert_int_equal(scene_start(victim), 0);
        sim_disk_cut_at(victim->host, at, at % 4 == 1 ? SIM_CUT_DURING : SIM_CUT_AFTER);
        for (unsigned i = 0; i < 300 && sim_host_is_running(victim->host); i++) {
            scene_run_ms(scene, 10);
        }
        cut_short += !sim_host_is_running(victim->host);
        scene_power_off(victim);
        sim_disk_cut_at(victim->host, 0, SIM_CUT_AFTER);
        assert_int_equal(scene_start(victim), 0);
        wait_started(scene, victim, 10000);
        scene_wait_led(scene, 5000);
        assert_int_equal(scene_get(victim, VICTIM, 1, &value), 0);
        assert_int_equal(value, 159);
        expect_equal_digests(scene, VICTIM);
        scene_close(scene);
    }
    assert_true(cut_short > 20); /* the others were cut after all was done */
}

/* ---- a device that does not give what it holds ---- */

/* Reads of the log fail from the skip-th on, `count` of them. The log as a whole may then not be opened; but where it
 * can, what one group cannot read is that group's trouble, and the next start finds it whole. */
static void start_with_failing_reads(struct scene *scene, uint64_t skip, uint64_t count, bool *system_was_closed)
{
    struct scene_node *node = &scene->nodes[2];
    const struct sim_disk_failure failure = {SIM_DISK_READ, skip, count, HF_EIO, "/data/log"};
    sim_host_start(node->host);
    sim_disk_fail(node->host, &failure);
    int rc = scene_start(node);
    if (rc != 0) {
        assert_int_equal(rc, HF_EIO);
        assert_non_null(strstr(hf_error_text(), "next: "));
        sim_disk_fail_clear(node->host);
        sim_host_kill(node->host);
        return;
    }
    sim_disk_fail_clear(node->host);
    if (scene_group(node, NODE_SYSTEM_GROUP)->is_failed) {
        *system_was_closed = true;
        assert_null(scene_group(node, NODE_SYSTEM_GROUP)->replica);
        assert_non_null(strstr(scene_group(node, NODE_SYSTEM_GROUP)->text, "EIO"));
    }
    scene_wait_led(scene, 5000);
    for (uint64_t group = FIRST; group < FIRST + 3; group++) {
        uint64_t value = 0;
        assert_int_equal(scene_put(&scene->nodes[0], group, 1, skip), 0);
        int read = scene_get(node, group, 1, &value);
        assert_int_equal(read, scene_group(node, group)->is_failed ? HF_ECLOSED : 0);
    }
    scene_kill(node);
}

static void what_the_device_does_not_give_of_a_group_closes_that_group_alone(void **state)
{
    struct scene *scene = scene_with_data();
    bool system_was_closed = false;
    scene_kill(&scene->nodes[2]);
    for (uint64_t skip = 0; skip < 24; skip++) {
        start_with_failing_reads(scene, skip, 1 + skip % 3, &system_was_closed);
    }
    assert_true(system_was_closed);
    assert_int_equal(scene_start(&scene->nodes[2]), 0);
    scene_wait_led(scene, 5000);
    for (uint64_t group = NODE_SYSTEM_GROUP; group < FIRST + 3; group++) {
        assert_false(scene_group(&scene->nodes[2], group)->is_failed);
        expect_equal_digests(scene, group);
    }
    scene_close(scene);
}

static void drop_line(void *arg, enum trace_level level, const char *line) {}

int main(void)
{
    trace_set_sink(drop_line, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H3_a_damaged_group_neither_votes_nor_acknowledges_until_it_is_repaired),
        cmocka_unit_test(H3_a_flipped_bit_in_any_record_of_a_group_is_healed_or_the_group_stays_closed),
        cmocka_unit_test(H3_damage_that_is_met_while_it_runs_closes_the_group_and_heals),
        cmocka_unit_test(H3_an_entry_that_is_damaged_everywhere_keeps_its_group_closed_and_says_so),
        cmocka_unit_test(a_node_without_peers_in_reach_waits_with_its_damaged_group),
        cmocka_unit_test(H3_damage_below_the_leaders_log_is_healed_by_its_snapshot),
        cmocka_unit_test(H3_no_snapshot_takes_away_what_was_acknowledged_behind_the_damage),
        cmocka_unit_test(H3_a_snapshot_that_is_too_old_to_heal_makes_room_for_one_that_can),
        cmocka_unit_test(H3_a_power_cut_while_a_snapshot_heals_a_log_leaves_it_damaged_or_whole),
        cmocka_unit_test(what_the_device_does_not_give_of_a_group_closes_that_group_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
