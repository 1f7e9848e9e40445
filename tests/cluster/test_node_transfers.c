/* links: node sim cluster */
/* Snapshots on their way between nodes, and what may happen meanwhile: cut connections, frames that come twice or in
 * another order, other snapshots, writes, other leaders, failures. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cluster/snapshot_scene.h"
#include "node/chunk_window.h"
#include "node/offer.h"

#define CUTS 10u

static void slow_down(struct scene *scene, uint64_t bytes_per_s)
{
    struct sim_profile slow = sim_profile_calm();
    slow.link.bandwidth_bytes_per_s = bytes_per_s;
    sim_set_profile(scene->sim, &slow);
}

/* A laggard that is started over a slow link, and has some of the snapshot. */
static struct scene *open_in_the_middle(uint64_t bytes_per_s, struct fetch_status *fetch)
{
    struct scene *scene = open_with_a_laggard();
    struct scene_node *node = &scene->nodes[2];
    slow_down(scene, bytes_per_s);
    assert_int_equal(scene_start(node), 0);
    for (unsigned ms = 0; ms < 20000; ms++) {
        scene_run_ms(scene, 1);
        if (fetch_status(node->node, 0, fetch) == 0 && fetch->phase == FETCH_RECEIVING && fetch->bytes_done > 0) {
            return scene;
        }
    }
    fail_msg("nothing is fetched");
    return NULL;
}

static void close_caught_up(struct scene *scene)
{
    assert_true(sim_run_until(scene->sim, is_caught_up, scene, 60000 * SCENE_MS));
    sim_calm(scene->sim);
    scene_run_ms(scene, 2000);
    assert_equal_states(scene);
    scene_close(scene);
}

/* What was sent in all is the snapshot once, and what was on its way at each cut. */
static void a_transfer_that_is_cut_ten_times_sends_again_only_what_was_on_its_way(void **state)
{
    struct fetch_status fetch;
    struct offer_status offer;
    struct scene *scene = open_in_the_middle(20000, &fetch);
    struct scene_node *node = &scene->nodes[2];
    struct scene_node *source = &scene->nodes[fetch.node_id - 1];
    uint64_t index = fetch.index;
    uint64_t lost = 0;
    uint64_t sent = 0;
    unsigned cuts = 0;
    while (cuts < CUTS) {
        uint64_t done = fetch.bytes_done;
        assert_int_equal(offer_status(source->node, 0, &offer), 0);
        lost = offer.bytes_sent - done;
        sim_link_reset(node->host, source->host);
        cuts++;
        do { /* until one more chunk is here */
            scene_run_ms(scene, 1);
            assert_int_equal(fetch_status(node->node, 0, &fetch), 0);
            assert_true(fetch.index == index && fetch.bytes_done >= done); /* never anew */
        } while (fetch.bytes_done == done && fetch.phase == FETCH_RECEIVING);
        if (fetch.phase != FETCH_RECEIVING) {
            break;
        }
    }
    assert_int_equal(cuts, CUTS);
    while (offer_status(source->node, 0, &offer) == 0) {
        sent = offer.bytes_sent;
        scene_run_ms(scene, 1);
    }
    /* Of what had left, some had arrived and was only not written yet. */
    assert_true(sent > offer.bytes_total && sent <= offer.bytes_total + lost);
    assert_true(lost <= (uint64_t)CUTS * CHUNK_FRAME_WINDOW * (4096 + 64));
    struct node_snapshot_status status;
    node_snapshot_status(node->node, &status);
    assert_true(status.installed == 1);
    close_caught_up(scene);
}

/* What waits in a slow link's queue, heartbeats and entries of other groups wait for, too. */
static void little_of_a_transfer_waits_in_the_queue_of_a_slow_link(void **state)
{
    static const uint64_t rates[] = {20000, 100000};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct fetch_status fetch;
        struct scene *scene = open_in_the_middle(rates[i], &fetch);
        struct scene_node *source = &scene->nodes[fetch.node_id - 1];
        struct node_snapshot_status status = {0};
        uint64_t most = 0;
        while (fetch_status(scene->nodes[2].node, 0, &fetch) == 0 && fetch.phase == FETCH_RECEIVING) {
            struct offer_status offer;
            assert_int_equal(offer_status(source->node, 0, &offer), 0);
            uint64_t waiting = offer.bytes_sent - fetch.bytes_done;
            most = fetch.bytes_done > 3 * 4096 && waiting > most ? waiting : most; /* once the pace is known */
            scene_run_ms(scene, 1);
        }
        /* One chunk that is on its way, or what the link takes in CHUNK_WINDOW_QUEUE_MAX_MS, and one more of each. */
        assert_true(most > 0 && most <= 2 * (4096 + 64) + rates[i] * 2 * CHUNK_WINDOW_QUEUE_MAX_MS / 1000);
        assert_true(sim_run_until(scene->sim, is_caught_up, scene, 60000 * SCENE_MS));
        node_snapshot_status(scene->nodes[2].node, &status);
        assert_true(status.installed == 1);
        close_caught_up(scene);
    }
}

struct feed {
    struct scene_node *node;
    uint64_t from;
    struct hf_snapshot_reader *reader;
    uint32_t first;
    uint32_t last; /* may be lower: downwards */
    int result;
};

static void feed_chunks(void *arg)
{
    struct feed *feed = arg;
    struct hosted_group *group = scene_group(feed->node, GROUP);
    struct chunk_frame frame = {.id = hf_snapshot_reader_manifest(feed->reader)->id};
    for (uint32_t i = feed->first;; i += feed->last > feed->first ? 1 : UINT32_MAX) {
        struct buffer bytes = {0};
        frame.chunk = i;
        assert_int_equal(hf_snapshot_read_raw(feed->reader, i, &frame.bytes), 0);
        chunk_frame_encode_chunk(&frame, &bytes);
        feed->result = fetch_receive_chunk(group, feed->from, buffer_bytes(&bytes));
        buffer_close(&bytes);
        if (i == feed->last || feed->result != 0) {
            break;
        }
    }
}

/* Chunks twice, backwards, unasked, of another snapshot, and of a node that was not asked. */
static void H15_chunks_that_come_twice_or_out_of_order_change_nothing(void **state)
{
    struct fetch_status fetch;
    struct scene *scene = open_in_the_middle(20000, &fetch);
    struct scene_node *node = &scene->nodes[2];
    struct scene_node *source = &scene->nodes[fetch.node_id - 1];
    struct hf_snapshot_info *list;
    size_t count;
    assert_int_equal(hf_snapshot_list(source->node->snapshots.store, GROUP, &list, &count), 0);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        struct feed feed = {.node = node};
        uint32_t chunks = list[i].manifest.chunk_count;
        assert_int_equal(hf_snapshot_reader_open(source->node->snapshots.store, list[i].manifest.id, &feed.reader), 0);
        for (unsigned round = 0; round < 3; round++) {
            feed.from = round == 0 ? 3 - fetch.node_id : fetch.node_id; /* first of the other node */
            feed.first = round == 1 ? chunks - 1 : 0;
            feed.last = round == 1 ? 0 : chunks - 1;
            loop_post(sim_host_loop(node->host), feed_chunks, &feed);
            scene_run_ms(scene, 2);
            assert_int_equal(feed.result, 0);
        }
        hf_snapshot_reader_close(feed.reader);
    }
    hf_snapshot_list_free(list);
    struct node_snapshot_status status;
    assert_true(sim_run_until(scene->sim, is_caught_up, scene, 60000 * SCENE_MS));
    node_snapshot_status(node->node, &status);
    assert_true(status.installed == 1 && node->node->transfer_bytes == 0);
    close_caught_up(scene);
}

/* The source takes two more while one is fetched: what is fetched stays, and all entries behind it. */
static void H15_two_snapshots_in_quick_succession_do_not_replace_the_one_that_is_fetched(void **state)
{
    struct fetch_status fetch;
    struct node_snapshot_status status;
    struct scene *scene = open_in_the_middle(10000, &fetch);
    struct scene_node *node = &scene->nodes[2];
    struct scene_node *source = &scene->nodes[fetch.node_id - 1];
    uint64_t index = fetch.index;
    for (unsigned round = 0; round < 2; round++) {
        must_put(source, 5);
        assert_int_equal(take(source, GROUP), 0);
    }
    assert_true(scene_group(source, GROUP)->snapshots.index > index && first_index(source) <= index + 1);
    assert_int_equal(fetch_status(node->node, 0, &fetch), 0);
    assert_true(fetch.index == index);
    assert_true(sim_run_until(scene->sim, is_caught_up, scene, 60000 * SCENE_MS));
    node_snapshot_status(node->node, &status);
    assert_true(status.installed == 1); /* the rest came from the log */
    close_caught_up(scene);
}

/* Writes all along, and the source no longer leads: at any moment of the transfer and of the install. */
static void an_install_races_with_writes_and_with_a_change_of_leaders(void **state)
{
    for (unsigned moment = 0; moment < 24; moment++) {
        struct fetch_status fetch;
        struct scene *scene = open_in_the_middle(200000, &fetch);
        struct scene_node *node = &scene->nodes[2];
        static struct scene_answer answers[400];
        unsigned writes = 0;
        memset(answers, 0, sizeof(answers));
        for (unsigned ms = 0; ms < 400; ms++) {
            struct scene_node *leader = scene_leader(scene, GROUP);
            struct cluster_command command = {.verb = CLUSTER_PUT, .key = ms % CLUSTER_REGISTERS, .value = ms};
            if (ms == moment * 16 && leader != NULL) {
                uint64_t to = leader->id == 1 ? 2 : 1;
                if (moment % 3 == 0) {
                    scene_kill(leader); /* instead: it is gone, and comes back */
                    scene_run_ms(scene, 20);
                    assert_int_equal(scene_start(leader), 0);
                } else {
                    (void)node_transfer(leader->node, GROUP, moment % 3 == 1 ? to : node->id);
                }
                leader = NULL;
            }
            if (leader != NULL) {
                scene_propose(leader, GROUP, &command, &answers[writes++]);
            }
            scene_run_ms(scene, 1);
        }
        unsigned taken = 0;
        scene_run_ms(scene, 4000); /* every one is answered by then */
        for (unsigned i = 0; i < writes; i++) {
            taken += answers[i].is_done && answers[i].result == 0;
        }
        assert_true(taken > 50);
        close_caught_up(scene);
    }
}

static uint64_t fetches_begun;

static void count_fetches(void *arg, enum trace_level level, const char *line)
{
    fetches_begun += strstr(line, "fetching the snapshot") != NULL && strstr(line, "failed") == NULL;
}

/* Offers come several times a second: without a pause a full disk would be tried as often. */
static void a_transfer_that_failed_is_tried_again_after_a_second_and_succeeds_when_it_can(void **state)
{
    static const struct sim_disk_failure failures[] = {
        {SIM_DISK_WRITE, 0, UINT64_MAX, HF_ENOSPACE, "snapshots"},
        {SIM_DISK_SYNC, 0, UINT64_MAX, HF_EIO, "snapshots"},
        {SIM_DISK_RENAME, 0, UINT64_MAX, HF_EIO, "snapshots"},
        {SIM_DISK_READ, 0, UINT64_MAX, HF_EIO, "snapshots"},
    };
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        struct scene *scene = open_with_a_laggard();
        struct scene_node *node = &scene->nodes[2];
        assert_int_equal(scene_start(node), 0);
        sim_disk_fail(node->host, &failures[i]);
        fetches_begun = 0;
        trace_set_sink(count_fetches, NULL);
        scene_run_ms(scene, 10 * FETCH_AGAIN_MS);
        trace_set_sink(drop_line, NULL);
        assert_true(fetches_begun >= 5 && fetches_begun <= 11);
        assert_false(is_caught_up(scene));
        assert_false(scene_group(node, GROUP)->is_failed); /* it votes, and hears its leader */
        sim_disk_fail_clear(node->host);
        close_caught_up(scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_that_is_cut_ten_times_sends_again_only_what_was_on_its_way),
        cmocka_unit_test(little_of_a_transfer_waits_in_the_queue_of_a_slow_link),
        cmocka_unit_test(H15_chunks_that_come_twice_or_out_of_order_change_nothing),
        cmocka_unit_test(H15_two_snapshots_in_quick_succession_do_not_replace_the_one_that_is_fetched),
        cmocka_unit_test(an_install_races_with_writes_and_with_a_change_of_leaders),
        cmocka_unit_test(a_transfer_that_failed_is_tried_again_after_a_second_and_succeeds_when_it_can),
    };
    trace_set_sink(drop_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
