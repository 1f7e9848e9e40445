/* links: embed */
/* What waits for a node is refused inside its callbacks and inside those of other nodes, in whichever thread they run:
 * two that waited for each other would stand still for ever. */
#include "embed_fixture.h"

#include "planted.h"

#include <pthread.h>

static struct embedding *asked; /* the cluster whose callbacks ask */

enum { ASK_STATUS, ASK_GROUP, ASK_MEMBER, ASK_DESCRIPTION, ASK_LEAVE, ASK_WAIT, ASK_CLOSE, ASK_PROPOSE, ASK_COUNT };

/* What a callback got, of one node. */
struct asking {
    int results[ASK_COUNT];
    bool says_why;
    atomic_bool is_done;
};

static void ask(struct asking *asking, unsigned position)
{
    struct hf_node *node = asked->nodes[position];
    struct hf_node_status status;
    struct hf_node_group_status group;
    struct hf_node_member member;
    char *description = NULL;
    asking->results[ASK_STATUS] = hf_node_status(node, &status);
    asking->results[ASK_GROUP] = hf_node_group_status(node, EMBED_GROUP, &group);
    asking->results[ASK_MEMBER] = hf_node_member(node, 0, &member);
    asking->results[ASK_DESCRIPTION] = hf_node_description(node, &description);
    asking->results[ASK_LEAVE] = hf_node_leave(node, 10);
    asking->results[ASK_WAIT] = hf_node_wait(asked->waiter, 0, NULL);
    asking->results[ASK_CLOSE] = hf_node_close(node);
    asking->says_why = strstr(hf_error_text(), "callback") != NULL;
    asking->results[ASK_PROPOSE] = hf_node_propose(node, EMBED_GROUP, EMBED_TEXT("from a callback"), NULL, NULL);
    free(description);
    atomic_store(&asking->is_done, true);
}

/* looks: what the functions that look at a status give. */
static void expect_refusals(struct asking *asking, int looks)
{
    for (unsigned waited = 0; waited < EMBED_WAIT_MS && !atomic_load(&asking->is_done); waited++) {
        embedding_pause_ms(1);
    }
    assert_true(atomic_load(&asking->is_done));
    for (unsigned i = ASK_STATUS; i <= ASK_DESCRIPTION; i++) {
        assert_int_equal(asking->results[i], looks);
    }
    for (unsigned i = ASK_LEAVE; i <= ASK_CLOSE; i++) {
        assert_int_equal(asking->results[i], HF_EUNSAFE);
    }
    assert_true(asking->says_why);
    assert_int_equal(asking->results[ASK_PROPOSE], 0);
}

/* Nothing that was refused changed anything. */
static void expect_alive(struct embedding *cluster)
{
    for (unsigned i = 0; i < cluster->count; i++) {
        struct hf_node_status status;
        embedding_check(hf_node_status(cluster->nodes[i], &status));
        assert_int_equal(status.failure, 0);
        embedding_check(embedding_propose(cluster, i, EMBED_GROUP, "after"));
    }
}

static void open_cluster(struct embedding *cluster, unsigned count, const struct hf_node_machine *machine)
{
    asked = cluster;
    embedding_open(cluster, count, 1, machine);
    embedding_start_all(cluster);
    embedding_check(embedding_propose(cluster, 0, EMBED_GROUP, "before"));
}

/* ---- in the node's thread ---- */

static struct asking of_own;
static struct asking of_other;

static void ask_both(void *arg, const struct hf_node_result *result)
{
    ask(&of_own, 0);
    ask(&of_other, 1);
}

static void an_answer_may_call_but_not_wait(void **state)
{
    struct embedding cluster;
    open_cluster(&cluster, 3, &journal_machine);
    embedding_check(hf_node_propose(cluster.nodes[0], EMBED_GROUP, EMBED_TEXT("x"), ask_both, NULL));
    expect_refusals(&of_own, 0);
    expect_refusals(&of_other, HF_EUNSAFE);
    expect_alive(&cluster);
    embedding_close(&cluster);
}

static struct asking of_apply;

static int asking_apply(void *state, const struct hf_node_command *command, struct hf_node_reply *reply)
{
    if (command->payload.size == 3 && memcmp(command->payload.data, "ask", 3) == 0) {
        ask(&of_apply, 0);
    }
    return journal_apply(state, command, reply);
}

static void an_apply_may_call_but_not_wait(void **state)
{
    struct embedding cluster;
    struct hf_node_machine machine = journal_machine;
    machine.apply = asking_apply;
    open_cluster(&cluster, 1, &machine);
    embedding_check(embedding_propose(&cluster, 0, EMBED_GROUP, "ask"));
    expect_refusals(&of_apply, 0);
    expect_alive(&cluster);
    embedding_close(&cluster);
}

static pthread_barrier_t both;
static struct asking of_first;
static struct asking of_second;

static void ask_second(void *arg, const struct hf_node_result *result)
{
    pthread_barrier_wait(&both);
    ask(&of_second, 1);
}

static void ask_first(void *arg, const struct hf_node_result *result)
{
    pthread_barrier_wait(&both);
    ask(&of_first, 0);
}

static void two_nodes_whose_callbacks_look_at_each_other_go_on(void **state)
{
    struct embedding cluster;
    open_cluster(&cluster, 3, &journal_machine);
    assert_int_equal(pthread_barrier_init(&both, NULL, 2), 0);
    for (unsigned i = 0; i < 2; i++) { /* both are answered at once, without the leader */
        embedding_check(hf_node_read(cluster.nodes[i], EMBED_GROUP, HF_NODE_READ_STALE, EMBED_TEXT(""),
                                     i == 0 ? ask_second : ask_first, NULL));
    }
    expect_refusals(&of_first, HF_EUNSAFE);
    expect_refusals(&of_second, HF_EUNSAFE);
    pthread_barrier_destroy(&both);
    expect_alive(&cluster);
    embedding_close(&cluster);
}

/* ---- in a worker ---- */

static struct asking of_cut_read;
static struct asking of_cut_close;

static int asking_cut_read(void *cut, void *target, size_t size, size_t *got)
{
    ask(&of_cut_read, 0);
    return journal_cut_read(cut, target, size, got);
}

static void asking_cut_close(void *cut)
{
    ask(&of_cut_close, 0);
    free(cut);
}

static void what_a_worker_runs_may_call_but_not_wait(void **state)
{
    struct embedding cluster;
    struct hf_node_machine machine = journal_machine;
    machine.cut_read = asking_cut_read;
    machine.cut_close = asking_cut_close;
    open_cluster(&cluster, 1, &machine);
    embedding_check(
        embedding_wait(&cluster, hf_node_snapshot(cluster.nodes[0], EMBED_GROUP, hf_node_answer, cluster.waiter)));
    expect_refusals(&of_cut_read, HF_EUNSAFE);
    /* A cut is closed by the node's thread, which may look, or by a worker. */
    expect_refusals(&of_cut_close, of_cut_close.results[ASK_STATUS]);
    assert_true(of_cut_close.results[ASK_STATUS] == 0 || of_cut_close.results[ASK_STATUS] == HF_EUNSAFE);
    expect_alive(&cluster);
    embedding_close(&cluster);
}

/* The node's thread waits for the worker, and the worker would for the node's thread. */
static struct hf_node *closed_meanwhile;
static atomic_bool is_reading;
static atomic_bool is_closing;
static atomic_int looked_meanwhile;

static int slow_cut_read(void *cut, void *target, size_t size, size_t *got)
{
    struct hf_node_status status;
    atomic_store(&is_reading, true);
    while (!atomic_load(&is_closing)) {
        embedding_pause_ms(1);
    }
    embedding_pause_ms(100);
    atomic_store(&looked_meanwhile, hf_node_status(closed_meanwhile, &status));
    return journal_cut_read(cut, target, size, got);
}

static void a_node_is_closed_while_a_worker_looks_at_it(void **state)
{
    struct embedding cluster;
    struct hf_node_machine machine = journal_machine;
    machine.cut_read = slow_cut_read;
    open_cluster(&cluster, 1, &machine);
    closed_meanwhile = cluster.nodes[0];
    embedding_check(hf_node_snapshot(cluster.nodes[0], EMBED_GROUP, NULL, NULL));
    while (!atomic_load(&is_reading)) {
        embedding_pause_ms(1);
    }
    atomic_store(&is_closing, true);
    embedding_stop(&cluster, 0);
    assert_int_equal(atomic_load(&looked_meanwhile), HF_EUNSAFE);
    embedding_close(&cluster);
}

/* ---- while it is being closed ---- */

static struct asking of_close;
static struct asking of_state_close;

static void asking_close(void *state)
{
    ask(&of_state_close, 0);
    journal_close(state);
}

static void expect_closed(const struct asking *asking)
{
    assert_true(atomic_load(&asking->is_done));
    for (unsigned i = ASK_STATUS; i <= ASK_DESCRIPTION; i++) {
        assert_int_equal(asking->results[i], HF_ECLOSED);
    }
    for (unsigned i = ASK_LEAVE; i <= ASK_CLOSE; i++) {
        assert_int_equal(asking->results[i], HF_EUNSAFE);
    }
    assert_int_equal(asking->results[ASK_PROPOSE], HF_ECLOSED);
}

static void ask_at_the_end(void *arg, const struct hf_node_result *result)
{
    assert_true(result->result == HF_ECLOSED || result->result == HF_EINDETERMINATE);
    ask(&of_close, 0);
}

static void what_a_close_calls_finds_the_node_closed_and_may_not_close_it_again(void **state)
{
    struct embedding cluster;
    struct hf_node_machine machine = journal_machine;
    machine.close = asking_close;
    asked = &cluster;
    embedding_open(&cluster, 3, 1, &machine);
    embedding_check(embedding_start(&cluster, 0)); /* no majority: it waits until the close */
    embedding_check(hf_node_propose(cluster.nodes[0], EMBED_GROUP, EMBED_TEXT("x"), ask_at_the_end, NULL));
    embedding_pause_ms(50);
    embedding_check(hf_node_close(cluster.nodes[0]));
    cluster.nodes[0] = NULL;
    expect_closed(&of_close);
    expect_closed(&of_state_close);
    embedding_close(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_may_call_but_not_wait),
        cmocka_unit_test(an_apply_may_call_but_not_wait),
        cmocka_unit_test(two_nodes_whose_callbacks_look_at_each_other_go_on),
        cmocka_unit_test(what_a_worker_runs_may_call_but_not_wait),
        cmocka_unit_test(a_node_is_closed_while_a_worker_looks_at_it),
        cmocka_unit_test(what_a_close_calls_finds_the_node_closed_and_may_not_close_it_again),
    };
    planted_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
