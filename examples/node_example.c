/* Three nodes in one process, with a machine of a few lines: a sum per group. Adds, kills a node by closing it, adds
 * on, opens it again, and reads the same sum on every node. With DIRECTORY and FIRST_PORT as arguments; to build it:
 *   cc node_example.c $(pkg-config --cflags --libs holdfast-node) */
#include <holdfast/node.h>
#include <stdio.h>
#include <stdlib.h>

static void *sum_open(void *arg, uint64_t group)
{
    return (void)arg, (void)group, calloc(1, sizeof(long));
}
static int sum_apply(void *state, const struct hf_node_command *command, struct hf_node_reply *reply)
{
    *(long *)state += command->payload.size == 1 ? *(const char *)command->payload.data - '0' : 0;
    return hf_node_reply_append(reply, state, sizeof(long));
}
static int sum_read(void *state, uint64_t group, struct hf_bytes query, struct hf_node_reply *reply)
{
    return (void)group, (void)query, hf_node_reply_append(reply, state, sizeof(long));
}

static struct hf_node *nodes[3];
static char directories[3][512];

static void check(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", hf_error_name(rc), hf_error_text());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const struct hf_node_machine sum = {.open = sum_open, .close = free, .apply = sum_apply, .read = sum_read};
    struct hf_node_address addresses[3];
    struct hf_node_options options;
    struct hf_node_waiter *waiter;
    struct hf_node_result result;
    char peers[3][32], *description;
    hf_node_trace(HF_NODE_TRACE_ERROR, NULL, NULL);
    hf_node_options_init(&options);
    options.machine = &sum;
    for (int i = 0; i < 3; i++) {
        snprintf(directories[i], sizeof(directories[i]), "%s/%d", argc > 1 ? argv[1] : "nodes", i + 1);
        snprintf(peers[i], sizeof(peers[i]), "127.0.0.1:%d", (argc > 2 ? atoi(argv[2]) : 7400) + i);
        addresses[i] = (struct hf_node_address){.id = (uint64_t)i + 1, .peer = peers[i]};
    }
    check(hf_node_waiter_open(&waiter));
    check(hf_node_describe(addresses, 3, 1, &description));
    for (int i = 0; i < 3; i++) {
        check(hf_node_format(directories[i], description, addresses[i].id));
        check(hf_node_open(directories[i], &options, &nodes[i]));
    }
    for (int added = 0; added < 9;) {
        struct hf_node *node = nodes[added % 2]; /* whichever leads: a command makes one hop there */
        int rc = hf_node_wait(
            waiter, hf_node_propose(node, HF_NODE_GROUP_FIRST, (struct hf_bytes){"5", 1}, hf_node_answer, waiter),
            NULL);
        check(rc == HF_ENOLEADER ? 0 : rc); /* nothing was proposed then, so it may be repeated */
        added += rc == 0;
        if (added == 3) { /* two of three go on */
            hf_node_close(nodes[2]);
            nodes[2] = NULL;
        }
    }
    check(hf_node_open(directories[2], &options, &nodes[2]));
    for (int i = 0; i < 3; i++) {
        check(hf_node_wait(waiter,
                           hf_node_read(nodes[i], HF_NODE_GROUP_FIRST, HF_NODE_READ_LINEARIZABLE,
                                        (struct hf_bytes){"", 0}, hf_node_answer, waiter),
                           &result));
        printf("node %d reads %ld\n", i + 1, *(const long *)result.reply.data);
    }
    for (int i = 0; i < 3; i++) {
        hf_node_close(nodes[i]);
    }
    hf_node_waiter_close(waiter);
    free(description);
}
