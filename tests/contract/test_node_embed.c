/* links: embed */
/* The embeddable node, through its public header: answers, refusals, closing while things are under way, reopening,
 * snapshots of an own machine, members, and a device that fails. */
#include "embed_fixture.h"

#include "planted.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void a_proposal_is_answered_by_the_machine_that_applied_it(void **state)
{
    struct embedding cluster;
    struct hf_node_group_status status;
    embedding_open(&cluster, 1, 2, &journal_machine);
    embedding_start_all(&cluster);
    for (uint64_t i = 1; i <= 20; i++) {
        embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "one"));
        assert_int_equal(embedding_count(&cluster), i);
        assert_true(cluster.result.index > i);
        assert_int_equal(cluster.result.leader, 1);
    }
    embedding_check(embedding_wait(&cluster, hf_node_read(cluster.nodes[0], EMBED_GROUP + 1, HF_NODE_READ_LINEARIZABLE,
                                                          EMBED_TEXT(""), hf_node_answer, cluster.waiter)));
    assert_int_equal(embedding_count(&cluster), 0); /* the other group heard nothing */
    embedding_check(hf_node_group_status(cluster.nodes[0], EMBED_GROUP, &status));
    assert_int_equal(status.role, HF_NODE_LEADER);
    assert_int_equal(status.digest[1], 20);
    assert_int_equal(status.lag, 0);
    assert_true(status.is_healthy && status.commit_index == status.applied_index && status.voter_count == 1);
    embedding_close(&cluster);
}

static void what_cannot_be_done_is_refused_with_its_reason(void **state)
{
    struct embedding cluster;
    struct hf_node *other = NULL;
    char *text = NULL;
    const struct hf_node_address twice[2] = {{1, "127.0.0.1:1"}, {1, "127.0.0.1:2"}};
    const struct hf_node_machine halves[] = {
        {.open = journal_open, .close = journal_close},
        {.open = journal_open, .close = journal_close, .apply = journal_apply, .cut = journal_cut},
    };
    embedding_open(&cluster, 1, 1, &journal_machine);
    assert_int_equal(hf_node_describe(twice, 0, 1, &text), HF_EINVALID);
    assert_int_equal(hf_node_describe(twice, 2, 1, &text), HF_EINVALID);
    assert_int_equal(hf_node_describe(twice, 1, 0, &text), HF_EINVALID);
    assert_null(text);
    assert_int_equal(hf_node_format(cluster.paths[0], cluster.description, 1), HF_EEXISTS);
    assert_int_equal(hf_node_format(cluster.paths[1], cluster.description, 7), HF_EINVALID);
    assert_int_equal(hf_node_format(cluster.paths[1], "not a description", 1), HF_ECORRUPT);
    assert_int_equal(hf_node_open(cluster.paths[1], &cluster.options, &other), HF_ENOTFOUND);
    for (size_t i = 0; i < 2; i++) {
        struct hf_node_options options = cluster.options;
        options.machine = &halves[i];
        assert_int_equal(hf_node_open(cluster.paths[0], &options, &other), HF_EINVALID);
    }
    struct hf_node_options options = cluster.options;
    options.heartbeat_timeout_ms = options.election_timeout_ms;
    assert_int_equal(hf_node_open(cluster.paths[0], &options, &other), HF_EINVALID);
    options.heartbeat_timeout_ms = 1000; /* as is the default of the other */
    options.election_timeout_ms = 0;
    assert_int_equal(hf_node_open(cluster.paths[0], &options, &other), HF_EINVALID);
    options = cluster.options;
    options.log.backend = HF_LOG_MEMORY;
    assert_int_equal(hf_node_open(cluster.paths[0], &options, &other), HF_EINVALID);
    options = cluster.options;
    options.log.segment_size_bytes = 64u << 10; /* the log's limits are a node's */
    assert_int_equal(hf_node_open(cluster.paths[0], &options, &other), HF_EINVALID);
    embedding_start_all(&cluster);
    assert_int_equal(hf_node_open(cluster.paths[0], &cluster.options, &other), HF_EBUSY);
    embedding_close(&cluster);
}

static void a_call_that_is_wrong_is_answered_or_refused_never_lost(void **state)
{
    struct embedding cluster;
    embedding_open(&cluster, 1, 1, &journal_machine);
    embedding_start_all(&cluster);
    struct hf_node *node = cluster.nodes[0];
    hf_node_done *done = hf_node_answer;
    struct hf_node_waiter *waiter = cluster.waiter;
    const struct hf_bytes huge = {"", HF_NODE_COMMAND_SIZE_MAX + 1u};
    struct hf_node_group_status status;
    struct hf_node_member member;
    assert_int_equal(embedding_wait(&cluster, hf_node_propose(node, 9, EMBED_TEXT("x"), done, waiter)), HF_ENOTFOUND);
    assert_int_equal(embedding_wait(&cluster, hf_node_propose(node, 1, EMBED_TEXT("x"), done, waiter)), HF_EINVALID);
    assert_int_equal(embedding_wait(&cluster, hf_node_barrier(node, 9, done, waiter)), HF_ENOTFOUND);
    assert_int_equal(embedding_wait(&cluster, hf_node_snapshot(node, 9, done, waiter)), HF_ENOTFOUND);
    assert_int_equal(embedding_wait(&cluster, hf_node_transfer(node, EMBED_GROUP, 9, done, waiter)), HF_EINVALID);
    assert_int_equal(hf_node_propose(node, EMBED_GROUP, huge, done, waiter), HF_ETOOBIG);
    assert_int_equal(hf_node_put(node, EMBED_TEXT("k"), EMBED_TEXT("v"), done, waiter), HF_EUNSUPPORTED);
    assert_int_equal(hf_node_read(node, EMBED_GROUP, (enum hf_node_read_mode)7, EMBED_TEXT(""), done, waiter),
                     HF_EINVALID);
    assert_int_equal(hf_node_member_change(node, 1, (enum hf_node_member_role)9, false, done, waiter), HF_EINVALID);
    assert_int_equal(embedding_wait(&cluster, hf_node_member_change(node, 5, HF_NODE_REMOVED, false, done, waiter)),
                     HF_ENOTFOUND);
    assert_int_equal(hf_node_group_status(node, 1, &status), HF_ENOTFOUND);
    assert_int_equal(hf_node_group_status(node, 3, &status), HF_ENOTFOUND);
    assert_int_equal(hf_node_member(node, 1, &member), HF_ENOTFOUND);
    embedding_check(hf_node_member(node, 0, &member));
    assert_int_equal(member.id, 1);
    /* what the machine's read says is the result */
    embedding_leader(&cluster, EMBED_GROUP);
    assert_int_equal(embedding_wait(&cluster, hf_node_read(node, EMBED_GROUP, HF_NODE_READ_LINEARIZABLE,
                                                           EMBED_TEXT("none"), done, waiter)),
                     HF_ENOTFOUND);
    embedding_close(&cluster);
}

/* ---- Keys and values ---- */

static void keys_and_values_are_changed_compared_and_found_from_every_node(void **state)
{
    struct embedding cluster;
    const struct hf_bytes one = EMBED_TEXT("1"), two = EMBED_TEXT("2");
    embedding_open(&cluster, 3, 4, NULL);
    embedding_start_all(&cluster);
    for (unsigned i = 0; i < 12; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key:%u", i);
        embedding_check(embedding_put(&cluster, i % 3, key, "0"));
        assert_false(cluster.result.existed);
        embedding_check(embedding_put(&cluster, i % 3, key, "1"));
        assert_true(cluster.result.existed);
        embedding_check(embedding_get(&cluster, (i + 1) % 3, key));
        assert_memory_equal(cluster.result.reply.data, "1", 1);
    }
    struct hf_node *node = cluster.nodes[1];
    struct hf_node_waiter *waiter = cluster.waiter;
    struct hf_bytes key = EMBED_TEXT("key:3");
    assert_int_equal(hf_node_route(node, key), hf_node_route(cluster.nodes[2], key));
    assert_int_equal(hf_node_propose(node, EMBED_GROUP, key, hf_node_answer, waiter), HF_EUNSUPPORTED);
    assert_int_equal(embedding_wait(&cluster, hf_node_compare_and_swap(node, key, &two, &one, hf_node_answer, waiter)),
                     HF_ECONFLICT);
    assert_memory_equal(cluster.result.reply.data, "1", 1);
    assert_int_equal(embedding_wait(&cluster, hf_node_compare_and_swap(node, key, NULL, &two, hf_node_answer, waiter)),
                     HF_ECONFLICT);
    embedding_check(embedding_wait(&cluster, hf_node_compare_and_swap(node, key, &one, &two, hf_node_answer, waiter)));
    embedding_check(embedding_get(&cluster, 2, "key:3"));
    assert_memory_equal(cluster.result.reply.data, "2", 1);
    embedding_check(embedding_wait(&cluster, hf_node_compare_and_swap(node, key, &two, NULL, hf_node_answer, waiter)));
    assert_int_equal(embedding_get(&cluster, 0, "key:3"), HF_ENOTFOUND);
    assert_int_equal(embedding_wait(&cluster, hf_node_delete(node, key, hf_node_answer, waiter)), HF_ENOTFOUND);
    embedding_check(embedding_wait(&cluster, hf_node_delete(node, EMBED_TEXT("key:4"), hf_node_answer, waiter)));
    embedding_check(embedding_put(&cluster, 0, "", "")); /* an empty key and value are some like any other */
    embedding_check(embedding_get(&cluster, 0, ""));
    assert_int_equal(cluster.result.reply.size, 0);
    embedding_close(&cluster);
}

/* ---- Who leads ---- */

static void wait_led_by(struct embedding *cluster, unsigned position)
{
    for (unsigned waited = 0; embedding_leader(cluster, EMBED_GROUP) != position; waited += 10) {
        assert_true(waited < EMBED_WAIT_MS);
        embedding_pause_ms(10);
    }
}

static void only_the_leader_takes_what_may_not_be_forwarded(void **state)
{
    struct embedding cluster;
    embedding_open(&cluster, 3, 1, &journal_machine);
    embedding_start_all(&cluster);
    embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "first"));
    /* Leadership moves after a start, to the node that leads the group while all are up. */
    wait_led_by(&cluster, 0);
    unsigned leader = 0;
    unsigned other = 1;
    struct hf_node_waiter *waiter = cluster.waiter;
    embedding_check(
        embedding_wait(&cluster, hf_node_barrier(cluster.nodes[other], EMBED_GROUP, hf_node_answer, waiter)));
    assert_int_equal(embedding_wait(&cluster, hf_node_propose_here(cluster.nodes[other], EMBED_GROUP, EMBED_TEXT("x"),
                                                                   hf_node_answer, waiter)),
                     HF_ENOTLEADER);
    assert_int_equal(cluster.result.leader, leader + 1);
    embedding_check(embedding_wait(
        &cluster, hf_node_propose_here(cluster.nodes[leader], EMBED_GROUP, EMBED_TEXT("x"), hf_node_answer, waiter)));
    embedding_check(embedding_wait(
        &cluster, hf_node_transfer(cluster.nodes[other], EMBED_GROUP, other + 1, hf_node_answer, waiter)));
    wait_led_by(&cluster, other);
    embedding_check(hf_node_leave(cluster.nodes[other], EMBED_WAIT_MS));
    assert_int_not_equal(embedding_leader(&cluster, EMBED_GROUP), other);
    embedding_check(embedding_propose(&cluster, other, EMBED_GROUP, "third"));
    assert_int_equal(embedding_count(&cluster), 3);
    embedding_close(&cluster);
}

/* ---- Many threads ---- */

struct caller {
    struct embedding *cluster;
    pthread_t thread;
    unsigned number;
    unsigned wrong; /* answers that are not what this thread alone caused */
    int last;       /* how its last call ended */
};

/* Each thread has keys of its own: it reads what it wrote, through any node. */
static void *put_and_get(void *arg)
{
    struct caller *caller = arg;
    struct embedding *cluster = caller->cluster;
    struct hf_node_waiter *waiter = NULL;
    struct hf_node_result result;
    hf_node_waiter_open(&waiter);
    for (unsigned i = 0; i < 60; i++) {
        char key[32], value[32];
        snprintf(key, sizeof(key), "%u:%u", caller->number, i % 5);
        snprintf(value, sizeof(value), "%u", i);
        int rc = HF_ENOLEADER;
        for (unsigned tries = 0; tries < 10 && rc == HF_ENOLEADER; tries++) {
            rc = hf_node_wait(
                waiter, hf_node_put(cluster->nodes[i % 3], EMBED_TEXT(key), EMBED_TEXT(value), hf_node_answer, waiter),
                NULL);
        }
        caller->wrong += rc != 0;
        rc = hf_node_wait(waiter,
                          hf_node_get(cluster->nodes[(i + 1) % 3], HF_NODE_READ_LINEARIZABLE, EMBED_TEXT(key),
                                      hf_node_answer, waiter),
                          &result);
        caller->wrong +=
            rc != 0 || result.reply.size != strlen(value) || memcmp(result.reply.data, value, strlen(value)) != 0;
    }
    hf_node_waiter_close(waiter);
    return NULL;
}

static void any_thread_may_call_any_node(void **state)
{
    struct embedding cluster;
    struct caller callers[4];
    embedding_open(&cluster, 3, 2, NULL);
    embedding_start_all(&cluster);
    embedding_check(embedding_put(&cluster, 0, "first", "x"));
    for (unsigned i = 0; i < 4; i++) {
        callers[i] = (struct caller){.cluster = &cluster, .number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, put_and_get, &callers[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        struct hf_node_group_status status;
        struct hf_node_status node;
        embedding_check(hf_node_group_status(cluster.nodes[i % 3], EMBED_GROUP, &status));
        embedding_check(hf_node_status(cluster.nodes[i % 3], &node));
        assert_int_equal(node.id, i % 3 + 1);
        embedding_pause_ms(2);
    }
    unsigned wrong = 0;
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(callers[i].thread, NULL);
        wrong += callers[i].wrong;
    }
    assert_int_equal(wrong, 0);
    embedding_close(&cluster);
}

static atomic_uint waiting; /* threads that are about to wait */

static void *put_and_wait(void *arg)
{
    struct caller *caller = arg;
    struct hf_node_waiter *waiter = NULL;
    hf_node_waiter_open(&waiter);
    atomic_fetch_add(&waiting, 1);
    caller->last = hf_node_wait(
        waiter, hf_node_put(caller->cluster->nodes[0], EMBED_TEXT("k"), EMBED_TEXT("v"), hf_node_answer, waiter), NULL);
    hf_node_waiter_close(waiter);
    return NULL;
}

static void a_close_ends_the_waits_of_other_threads(void **state)
{
    struct embedding cluster;
    struct caller callers[4];
    embedding_open(&cluster, 3, 2, NULL);
    cluster.options.request_timeout_ms = 60000;
    embedding_check(embedding_start(&cluster, 0)); /* alone: nothing commits */
    for (unsigned i = 0; i < 4; i++) {
        callers[i] = (struct caller){.cluster = &cluster, .number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, put_and_wait, &callers[i]), 0);
    }
    while (atomic_load(&waiting) < 4) {
        embedding_pause_ms(1);
    }
    embedding_pause_ms(300);
    embedding_stop(&cluster, 0);
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].last, HF_ECLOSED);
    }
    embedding_close(&cluster);
}

/* ---- Closing and reopening ---- */

static atomic_uint answered[8]; /* by how often */
static atomic_uint answer_results[32];

static void count_answer(void *arg, const struct hf_node_result *result)
{
    atomic_fetch_add(&answered[(uintptr_t)arg % 8], 1);
    atomic_fetch_add(&answer_results[-result->result], 1);
}

static void a_close_answers_everything_that_waits_once(void **state)
{
    for (unsigned started = 1; started <= 3; started++) { /* no majority, a bare one, all */
        struct embedding cluster;
        unsigned taken = 0;
        embedding_open(&cluster, 3, 2, &journal_machine);
        memset(answered, 0, sizeof(answered));
        memset(answer_results, 0, sizeof(answer_results));
        for (unsigned i = 0; i < started; i++) {
            embedding_check(embedding_start(&cluster, i));
        }
        if (started > 1) {
            embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "first"));
        }
        for (unsigned i = 0; i < 4000; i++) {
            uint64_t group = EMBED_GROUP + i % 2;
            struct hf_node *node = cluster.nodes[0];
            taken += i % 4 != 3 ? hf_node_propose(node, group, EMBED_TEXT("x"), count_answer, (void *)(uintptr_t)i) == 0
                                : hf_node_barrier(node, group, count_answer, (void *)(uintptr_t)i) == 0;
        }
        embedding_stop(&cluster, 0);
        unsigned answers = 0;
        for (unsigned i = 0; i < 8; i++) {
            answers += answered[i];
        }
        assert_int_equal(taken, 4000);
        assert_int_equal(answers, 4000);
        assert_int_equal(answer_results[0] + answer_results[-HF_ECLOSED] + answer_results[-HF_ENOLEADER] +
                             answer_results[-HF_EINDETERMINATE],
                         4000);
        if (started == 1) {
            assert_int_equal(answer_results[0], 0);
        }
        embedding_close(&cluster);
        assert_int_equal(embedding_error_lines, 0); /* what was in flight was finished, not cut off */
    }
}

static void P1_what_was_answered_is_there_after_kill_and_reopen(void **state)
{
    struct embedding cluster;
    int pipe_ends[2];
    unsigned char acknowledged = 0;
    unsigned last = 0;
    embedding_open(&cluster, 1, 3, NULL);
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        embedding_start_all(&cluster);
        for (unsigned i = 1; i <= 200; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%u", i);
            acknowledged = (unsigned char)i;
            if (embedding_put(&cluster, 0, key, key) != 0 || write(pipe_ends[1], &acknowledged, 1) != 1) {
                _exit(1);
            }
        }
        pause();
    }
    close(pipe_ends[1]);
    while (last < 150 && read(pipe_ends[0], &acknowledged, 1) == 1) {
        last = acknowledged;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(pipe_ends[0], &acknowledged, 1) == 1) {
        last = acknowledged;
    }
    close(pipe_ends[0]);
    assert_true(last >= 150);
    embedding_start_all(&cluster);
    embedding_leader(&cluster, EMBED_GROUP);
    for (unsigned i = 1; i <= last; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        embedding_check(embedding_get(&cluster, 0, key));
        assert_memory_equal(cluster.result.reply.data, key, strlen(key));
    }
    embedding_close(&cluster);
}

/* ---- Snapshots ---- */

static void a_state_is_cut_kept_and_loaded_and_the_log_goes_on_behind_it(void **state)
{
    struct embedding cluster;
    struct hf_node_group_status status;
    embedding_open(&cluster, 1, 1, &journal_machine);
    embedding_start_all(&cluster);
    for (unsigned i = 0; i < 50; i++) {
        embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "before"));
    }
    atomic_store(&journal_tally.refuses_cuts, true);
    assert_int_equal(
        embedding_wait(&cluster, hf_node_snapshot(cluster.nodes[0], EMBED_GROUP, hf_node_answer, cluster.waiter)),
        HF_ENOMEM);
    atomic_store(&journal_tally.refuses_cuts, false);
    embedding_check(embedding_wait(&cluster, hf_node_snapshot(cluster.nodes[0], 0, hf_node_answer, cluster.waiter)));
    for (unsigned i = 0; i < 7; i++) {
        embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "behind"));
    }
    embedding_check(hf_node_group_status(cluster.nodes[0], EMBED_GROUP, &status));
    embedding_stop(&cluster, 0);
    atomic_store(&journal_tally.applied, 0);
    embedding_start_all(&cluster);
    embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "again"));
    assert_int_equal(embedding_count(&cluster), 58);
    assert_int_equal(journal_tally.loaded, 1);
    assert_int_equal(journal_tally.applied, 8);
    struct hf_node_group_status later;
    embedding_check(hf_node_group_status(cluster.nodes[0], EMBED_GROUP, &later));
    assert_true(later.snapshot_index > 0 && later.snapshot_index < status.last_index);
    embedding_close(&cluster);
}

static void a_node_joins_gets_the_state_by_snapshot_and_can_be_removed(void **state)
{
    struct embedding cluster;
    struct hf_node_join *join = NULL;
    struct hf_node_group_status ours, theirs = {0};
    uint64_t id = 0;
    embedding_open(&cluster, 3, 1, &journal_machine);
    cluster.options.snapshot_trail = 5;
    embedding_start_all(&cluster);
    for (unsigned i = 0; i < 60; i++) {
        embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "entry"));
        if (i == 30 || i == 50) { /* the log begins at the second newest */
            for (unsigned k = 0; k < 3; k++) {
                embedding_check(
                    embedding_wait(&cluster, hf_node_snapshot(cluster.nodes[k], 0, hf_node_answer, cluster.waiter)));
            }
        }
    }
    assert_int_equal(hf_node_join_open(cluster.paths[3], cluster.description, "10.0.0.1:1", &join), HF_EUNSAFE);
    embedding_check(hf_node_join_open(cluster.paths[3], cluster.description, cluster.peers[3], &join));
    assert_int_equal(
        embedding_wait(&cluster, hf_node_member_add(cluster.nodes[1], cluster.peers[3], hf_node_join_token(join) + 1,
                                                    HF_NODE_VOTER, hf_node_answer, cluster.waiter)),
        HF_EMISMATCH);
    assert_int_equal(hf_node_join_finish(join, EMBED_TEXT("nonsense"), &id), HF_EPROTOCOL);
    embedding_check(
        embedding_wait(&cluster, hf_node_member_add(cluster.nodes[1], cluster.peers[3], hf_node_join_token(join),
                                                    HF_NODE_VOTER, hf_node_answer, cluster.waiter)));
    embedding_check(hf_node_join_finish(join, cluster.result.reply, &id));
    hf_node_join_close(join);
    assert_int_equal(id, 4);
    embedding_check(embedding_start(&cluster, 3));
    for (unsigned waited = 0; waited < EMBED_WAIT_MS && theirs.voter_count < 4; waited += 20) {
        embedding_pause_ms(20);
        embedding_check(hf_node_group_status(cluster.nodes[3], EMBED_GROUP, &theirs));
    }
    assert_int_equal(theirs.voter_count, 4);
    embedding_check(embedding_propose(&cluster, 3, EMBED_GROUP, "through the new one"));
    embedding_check(
        embedding_wait(&cluster, hf_node_barrier(cluster.nodes[3], EMBED_GROUP, hf_node_answer, cluster.waiter)));
    embedding_check(hf_node_group_status(cluster.nodes[3], EMBED_GROUP, &theirs));
    embedding_check(hf_node_group_status(cluster.nodes[embedding_leader(&cluster, EMBED_GROUP)], EMBED_GROUP, &ours));
    assert_int_equal(theirs.digest[0], ours.digest[0]);
    assert_int_equal(theirs.digest[1], 61);
    assert_true(theirs.first_index > 1); /* it never had the beginning */
    int rc = HF_ECONFLICT;
    for (unsigned tries = 0; tries < 10 && rc == HF_ECONFLICT; tries++) { /* the members may change meanwhile */
        rc = embedding_wait(&cluster, hf_node_member_change(cluster.nodes[0], 4, HF_NODE_REMOVED, false, hf_node_answer,
                                                            cluster.waiter));
    }
    embedding_check(rc);
    struct hf_node_status status = {0};
    for (unsigned waited = 0; waited < EMBED_WAIT_MS && !status.is_removed; waited += 20) {
        embedding_pause_ms(20);
        embedding_check(hf_node_status(cluster.nodes[3], &status));
    }
    assert_true(status.is_removed);
    embedding_close(&cluster);
}

/* ---- What goes wrong ---- */

static void a_machine_that_fails_stops_its_group_alone(void **state)
{
    struct embedding cluster;
    struct hf_node_group_status status;
    embedding_open(&cluster, 1, 2, &journal_machine);
    embedding_start_all(&cluster);
    assert_int_equal(embedding_propose(&cluster, 0, EMBED_GROUP, "fail"), HF_EINDETERMINATE);
    embedding_check(hf_node_group_status(cluster.nodes[0], EMBED_GROUP, &status));
    assert_int_equal(status.role, HF_NODE_STOPPED);
    assert_false(status.is_healthy);
    assert_non_null(strstr(status.text, "apply"));
    assert_int_equal(embedding_propose(&cluster, 0, EMBED_GROUP, "x"), HF_ECLOSED);
    embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP + 1, "x"));
    embedding_close(&cluster);
}

static void a_directory_of_another_machine_is_not_misread(void **state)
{
    struct embedding cluster;
    struct hf_node_group_status status = {0};
    embedding_open(&cluster, 1, 1, &journal_machine);
    embedding_start_all(&cluster);
    embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "x"));
    embedding_stop(&cluster, 0);
    cluster.options.machine = NULL;
    embedding_start_all(&cluster);
    for (unsigned waited = 0; waited < EMBED_WAIT_MS && status.role != HF_NODE_STOPPED; waited += 10) {
        embedding_pause_ms(10);
        embedding_check(hf_node_group_status(cluster.nodes[0], EMBED_GROUP, &status));
    }
    assert_non_null(strstr(status.text, "EMISMATCH"));
    embedding_close(&cluster);
}

static atomic_uint measured;

static void count_measurement(void *arg, const struct hf_log_measurement *measurement)
{
    atomic_fetch_add(&measured, 1);
}

/* The callbacks of the log are the node's: with them goes their argument. */
static void the_callbacks_of_a_nodes_log_are_not_called_with_its_argument(void **state)
{
    struct embedding cluster;
    embedding_open(&cluster, 1, 1, &journal_machine);
    cluster.options.log.on_measured = count_measurement;
    embedding_start_all(&cluster);
    for (int i = 0; i < 100; i++) {
        embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "x"));
    }
    embedding_close(&cluster);
    assert_int_equal(atomic_load(&measured), 0);
}

static void note_failure(void *arg, int result, const char *text)
{
    atomic_store((atomic_int *)arg, result);
}

/* A limit on the size of files makes every write of the log fail; in a process of its own, since it stays. */
static int run_on_a_device_that_fails(void)
{
    struct embedding cluster;
    atomic_int failure = 0;
    const struct rlimit nothing = {0, 0};
    signal(SIGXFSZ, SIG_IGN);
    embedding_open(&cluster, 1, 1, &journal_machine);
    cluster.options.failed = note_failure;
    cluster.options.callback_arg = &failure;
    embedding_start_all(&cluster);
    embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "good"));
    if (setrlimit(RLIMIT_FSIZE, &nothing) != 0) {
        return 10;
    }
    int rc = embedding_propose(&cluster, 0, EMBED_GROUP, "lost");
    for (unsigned waited = 0; waited < EMBED_WAIT_MS && failure == 0; waited += 10) {
        embedding_pause_ms(10);
    }
    int after = embedding_propose(&cluster, 0, EMBED_GROUP, "refused");
    struct hf_node_status status;
    int asked = hf_node_status(cluster.nodes[0], &status);
    embedding_close(&cluster);
    /* another write may have failed before it was proposed */
    return rc != HF_EINDETERMINATE && rc != HF_EPOISONED && rc != HF_ECLOSED ? 1
           : failure != HF_EPOISONED                                         ? 2
           : after != HF_EPOISONED                                           ? 3
           : asked != 0                                                      ? 4
           : status.failure_text[0] == 0                                     ? 5
                                                                             : 0;
}

static void a_device_that_fails_stops_the_node_for_good(void **state)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        _exit(run_on_a_device_that_fails());
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proposal_is_answered_by_the_machine_that_applied_it),
        cmocka_unit_test(what_cannot_be_done_is_refused_with_its_reason),
        cmocka_unit_test(a_call_that_is_wrong_is_answered_or_refused_never_lost),
        cmocka_unit_test(keys_and_values_are_changed_compared_and_found_from_every_node),
        cmocka_unit_test(only_the_leader_takes_what_may_not_be_forwarded),
        cmocka_unit_test(any_thread_may_call_any_node),
        cmocka_unit_test(a_close_ends_the_waits_of_other_threads),
        cmocka_unit_test(a_close_answers_everything_that_waits_once),
        cmocka_unit_test(P1_what_was_answered_is_there_after_kill_and_reopen),
        cmocka_unit_test(a_state_is_cut_kept_and_loaded_and_the_log_goes_on_behind_it),
        cmocka_unit_test(a_node_joins_gets_the_state_by_snapshot_and_can_be_removed),
        cmocka_unit_test(a_machine_that_fails_stops_its_group_alone),
        cmocka_unit_test(a_directory_of_another_machine_is_not_misread),
        cmocka_unit_test(the_callbacks_of_a_nodes_log_are_not_called_with_its_argument),
        cmocka_unit_test(a_device_that_fails_stops_the_node_for_good),
    };
    planted_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
