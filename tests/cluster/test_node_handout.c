/* links: node sim cluster */
/* Snapshots that are copied away from a node: what is handed out, what is refused, and how long a snapshot stays. */
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
#include "cluster/cluster_scene.h"
#include "node/handout.h"
#include "snapshot/backup_writer.h"

#define GROUP   2u
#define WAIT_MS 10000u

static void drop_line(void *arg, enum trace_level level, const char *line) {}

static const struct node_options options = {.snapshot = {.format = {.chunk_size_bytes = 4096},
                                                         .keep_latest = 2,
                                                         .entries = UINT64_MAX,
                                                         .log_bytes = UINT64_MAX,
                                                         .interval_ms = UINT64_MAX,
                                                         .trail = 1}};

/* A question, asked in a turn of the node. */
struct question {
    struct scene_node *node;
    uint64_t group;
    struct hf_snapshot_id id;
    uint32_t chunk;
    bool takes; /* a snapshot, instead of reading a chunk */
    bool is_done;
    int result;
    struct buffer reply;
};

static void question_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct question *question = arg;
    question->is_done = true;
    question->result = result;
    buffer_append_bytes(&question->reply, reply);
}

static void question_ask(void *arg)
{
    struct question *question = arg;
    if (question->takes) {
        node_snapshot(question->node->node, question->group, question_done, question);
    } else {
        node_snapshot_read(question->node->node, question->group, question->id, question->chunk, question_done,
                           question);
    }
}

static bool question_is_done(void *arg)
{
    return ((struct question *)arg)->is_done;
}

static void question_post(struct question *question)
{
    loop_post(sim_host_loop(question->node->host), question_ask, question);
}

static int question_await(struct question *question)
{
    assert_true(sim_run_until(question->node->scene->sim, question_is_done, question, WAIT_MS * SCENE_MS));
    return question->result;
}

static struct hf_snapshot_manifest take(struct scene_node *node)
{
    struct hf_snapshot_manifest manifest;
    struct question question = {.node = node, .group = GROUP, .takes = true};
    assert_int_equal(scene_put(node, GROUP, 1, 7), 0);
    question_post(&question);
    assert_int_equal(question_await(&question), 0);
    assert_int_equal(node_snapshot_find(node->node, GROUP, &manifest), 0);
    return manifest;
}

static int read_chunk(struct scene_node *node, uint64_t group, struct hf_snapshot_id id, uint32_t chunk,
                      struct buffer *out)
{
    struct question question = {.node = node, .group = group, .id = id, .chunk = chunk};
    question_post(&question);
    int rc = question_await(&question);
    if (out != NULL) {
        buffer_append_bytes(out, buffer_bytes(&question.reply));
    }
    buffer_close(&question.reply);
    return rc;
}

static int ignore(void *arg, const void *data, size_t size)
{
    return 0;
}

static void chunks_are_handed_out_as_they_are_stored(void **state)
{
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    struct backup_header header = {.group_count = 1};
    struct backup_writer *writer = NULL;
    struct hf_snapshot_manifest manifest;
    scene_wait_led(scene, 5000);
    assert_int_equal(node_snapshot_find(node->node, GROUP, &manifest), HF_ENOTFOUND);
    manifest = take(node);
    assert_true(manifest.group == GROUP && manifest.chunk_count > 0);
    assert_int_equal(backup_writer_open(&header, ignore, NULL, &writer), 0);
    assert_int_equal(backup_writer_group(writer, &manifest), 0);
    for (uint32_t i = 0; i < manifest.chunk_count; i++) {
        struct buffer raw = {0};
        assert_int_equal(read_chunk(node, GROUP, manifest.id, i, &raw), 0);
        assert_int_equal(backup_writer_chunk(writer, buffer_bytes(&raw)), 0);
        buffer_close(&raw);
    }
    assert_int_equal(backup_writer_finish(writer), 0);
    backup_writer_close(writer);
    scene_close(scene);
}

/* One bit of its chunks: what is read of it then says so. */
static void damage(struct scene_node *node, const struct hf_snapshot_manifest *manifest)
{
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    char path[SIM_PATH_SIZE_MAX];
    struct hf_snapshot_info info;
    hf_snapshot_id_format(manifest->id, id);
    assert_int_equal(hf_snapshot_find(node->node->snapshots.store, manifest->id, &info), 0);
    assert_int_equal(sim_disk_flip_random_bit(node->host, id, path, NULL), 0);
    assert_int_equal(hf_snapshot_verify(node->node->snapshots.store, manifest->id, NULL, NULL), HF_ECORRUPT);
}

static void P2_an_older_one_is_not_handed_out_for_a_newest_that_is_damaged_and_another_is_taken(void **state)
{
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    struct hf_snapshot_manifest found;
    scene_wait_led(scene, 5000);
    (void)take(node);
    for (unsigned round = 0; round < 3; round++) { /* also of one that took another's place */
        struct hf_snapshot_manifest newest = round == 0 ? take(node) : found;
        damage(node, &newest);
        assert_int_equal(node_snapshot_find(node->node, GROUP, &found), HF_ECORRUPT);
        if (round == 1) { /* asked for, or by itself */
            struct question question = {.node = node, .group = GROUP, .takes = true};
            question_post(&question);
            assert_int_equal(question_await(&question), 0);
        } else {
            scene_run_ms(scene, 3000);
        }
        assert_int_equal(node_snapshot_find(node->node, GROUP, &found), 0);
        assert_true(found.index == newest.index && !hf_snapshot_id_equal(found.id, newest.id));
        assert_memory_equal(found.digest, newest.digest, sizeof(found.digest));
    }
    struct node_snapshot_status status;
    node_snapshot_status(node->node, &status);
    assert_true(status.taken == 5 && status.failed == 0);
    assert_int_equal(scene_put(node, GROUP, 1, 8), 0); /* and all goes on as ever */
    assert_true(take(node).index > found.index);
    scene_close(scene);
}

static void what_is_not_there_is_refused(void **state)
{
    struct scene *scene = scene_open(1, 2, &options);
    struct scene_node *node = &scene->nodes[0];
    struct hf_snapshot_manifest manifest;
    struct hf_snapshot_id unknown = {{1}};
    scene_wait_led(scene, 5000);
    manifest = take(node);
    assert_int_equal(read_chunk(node, GROUP, unknown, 0, NULL), HF_ENOTFOUND);
    assert_int_equal(read_chunk(node, GROUP + 1, manifest.id, 0, NULL), HF_ENOTFOUND);
    assert_int_equal(read_chunk(node, GROUP, manifest.id, manifest.chunk_count, NULL), HF_EINVALID);
    assert_int_equal(node_snapshot_find(node->node, GROUP + 1, &manifest), HF_ENOTFOUND);
    assert_int_equal(node_snapshot_find(node->node, NODE_SYSTEM_GROUP, &manifest), HF_ENOTFOUND);
    assert_int_equal(node_snapshot_find(node->node, 99, &manifest), HF_ENOTFOUND);
    scene_close(scene);
}

static void more_questions_than_the_limit_are_refused_and_the_rest_is_answered(void **state)
{
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    struct question questions[HANDOUT_WAITING_MAX + 8];
    unsigned busy = 0;
    scene_wait_led(scene, 5000);
    struct hf_snapshot_manifest manifest = take(node);
    for (unsigned i = 0; i < HANDOUT_WAITING_MAX + 8; i++) {
        questions[i] = (struct question){.node = node, .group = GROUP, .id = manifest.id};
        question_ask(&questions[i]);
    }
    for (unsigned i = 0; i < HANDOUT_WAITING_MAX + 8; i++) {
        int rc = question_await(&questions[i]);
        assert_true(rc == 0 || rc == HF_EBUSY);
        busy += rc == HF_EBUSY;
        buffer_close(&questions[i].reply);
    }
    assert_int_equal(busy, 8);
    scene_close(scene);
}

static void a_snapshot_stays_while_it_is_read_and_goes_when_it_is_not(void **state)
{
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    scene_wait_led(scene, 5000);
    struct hf_snapshot_manifest manifest = take(node);
    assert_int_equal(read_chunk(node, GROUP, manifest.id, 0, NULL), 0);
    for (int i = 0; i < 4; i++) {
        (void)take(node); /* two are kept */
    }
    assert_int_equal(read_chunk(node, GROUP, manifest.id, 0, NULL), 0);
    scene_run_ms(scene, HANDOUT_IDLE_MS + 2000);
    (void)take(node);
    assert_int_equal(read_chunk(node, GROUP, manifest.id, 0, NULL), HF_ENOTFOUND);
    scene_close(scene);
}

static void a_node_that_closes_answers_who_waits(void **state)
{
    struct scene *scene = scene_open(1, 1, &options);
    struct scene_node *node = &scene->nodes[0];
    struct question questions[4];
    scene_wait_led(scene, 5000);
    struct hf_snapshot_manifest manifest = take(node);
    for (unsigned i = 0; i < 4; i++) {
        questions[i] = (struct question){.node = node, .group = GROUP, .id = manifest.id};
        question_ask(&questions[i]);
    }
    scene_close(scene);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(questions[i].is_done);
        assert_true(questions[i].result == 0 || questions[i].result == HF_ECLOSED);
        buffer_close(&questions[i].reply);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_handed_out_as_they_are_stored),
        cmocka_unit_test(P2_an_older_one_is_not_handed_out_for_a_newest_that_is_damaged_and_another_is_taken),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(more_questions_than_the_limit_are_refused_and_the_rest_is_answered),
        cmocka_unit_test(a_snapshot_stays_while_it_is_read_and_goes_when_it_is_not),
        cmocka_unit_test(a_node_that_closes_answers_who_waits),
    };
#ifdef HF_MUTATIONS
    if (getenv("HOLDFAST_MUTATION") != NULL && mutation_enable(getenv("HOLDFAST_MUTATION")) != 0) {
        return 2;
    }
#endif
    trace_set_sink(drop_line, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
