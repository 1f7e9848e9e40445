#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "cluster/cluster_world.h"

/* One call under way: the owner of a command at the node. */
struct cluster_call {
    struct cluster_client *client;
    size_t operation; /* its number in the history */
    uint64_t group;
    uint32_t order; /* in its batch */
    struct buffer command;
    bool is_barrier; /* the barrier in front of a read of the node's own state */
};

static void client_think(struct cluster_client *client, uint64_t delay_ms);

/* ---- The history ---- */

static size_t client_record(struct cluster *cluster, struct history_operation operation)
{
    if (cluster->operation_count == cluster->operation_capacity) {
        cluster->operation_capacity = cluster->operation_capacity > 0 ? cluster->operation_capacity * 2 : 1024;
        cluster->operations =
            memory_resize(cluster->operations, cluster->operation_capacity * sizeof(*cluster->operations));
    }
    operation.called = ++cluster->clock;
    operation.returned = HISTORY_NEVER;
    cluster->operations[cluster->operation_count] = operation;
    cluster->result->calls++;
    return cluster->operation_count++;
}

static enum cluster_verb client_verb(enum history_kind kind)
{
    switch (kind) {
    case HISTORY_PUT:
        return CLUSTER_PUT;
    case HISTORY_CAS:
        return CLUSTER_CAS;
    case HISTORY_APPEND:
        return CLUSTER_APPEND;
    case HISTORY_LIST:
        return CLUSTER_LIST;
    default:
        return CLUSTER_GET;
    }
}

/* ---- Answers ---- */

static void client_read_reply(struct history_operation *operation, struct hf_bytes reply)
{
    const uint8_t *bytes = reply.data;
    operation->answer = 0;
    if (operation->kind == HISTORY_LIST) {
        operation->answer = reply.size / 8;
        operation->list_hash = 0;
        for (size_t i = 0; i < reply.size / 8; i++) {
            operation->list_hash = history_list_hash(operation->list_hash, bytes_get_u64(bytes + 8 * i));
        }
    } else if (reply.size == 8) {
        operation->answer = bytes_get_u64(bytes);
    }
}

/* Commands of one caller for one group take effect in the order of the calls. */
static void client_check_order(struct cluster_call *call, uint64_t index)
{
    struct cluster_client *client = call->client;
    if (client->batch_index != 0 && call->order > client->batch_number && index < client->batch_index) {
        cluster_violate(client->cluster,
                        "group %" PRIu64 ": a command stands at index %" PRIu64
                        ", its caller's earlier one at %" PRIu64,
                        call->group, index, client->batch_index);
    }
    if (call->order >= client->batch_number) {
        client->batch_index = index;
        client->batch_number = call->order;
    }
}

static void client_post(struct cluster_client *client, uint32_t position);

/* The write was acknowledged by the new leader: no read that starts now may miss it. */
static void client_probe_next(struct cluster_client *client, bool succeeded)
{
    struct cluster_node *old = &client->cluster->nodes[client->probe_old];
    client->state = CLIENT_THINKING;
    if (client->probe_step == 1 && succeeded && old->node != NULL && sim_host_is_running(old->host)) {
        client->probe_step = 2;
        client_post(client, client->probe_old);
    } else {
        client->probe_step = 0;
    }
}

static void client_next(struct cluster_client *client)
{
    struct cluster *cluster = client->cluster;
    if (client->outstanding > 0) {
        return;
    }
    if (client->is_final) {
        client_think(client, 1);
    } else {
        client_think(client, rng_below(cluster->rng, cluster->plan->think_ms + 1));
    }
}

static void client_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct cluster_call *call = arg;
    struct cluster_client *client = call->client;
    struct cluster *cluster = client->cluster;
    struct history_operation *operation = &cluster->operations[call->operation];
    bool is_write =
        operation->kind == HISTORY_PUT || operation->kind == HISTORY_CAS || operation->kind == HISTORY_APPEND;
    operation->returned = result == HF_EINDETERMINATE ? HISTORY_NEVER : ++cluster->clock;
    if (result == 0) {
        operation->outcome = HISTORY_DONE;
        client_read_reply(operation, reply);
        cluster->result->acknowledged++;
        if (is_write) {
            cluster_oracle_acknowledged(cluster, call->group, index, buffer_bytes(&call->command));
            client_check_order(call, index);
        }
    } else if (result == HF_EINDETERMINATE) {
        cluster_count(cluster, CLUSTER_EVENT_INDETERMINATE);
        if (!is_write) {
            cluster_violate(cluster, "a read ended with an unknown outcome");
        }
    } else {
        operation->outcome = HISTORY_REFUSED;
        cluster_count(cluster, result == HF_ENOSPACE ? CLUSTER_EVENT_NO_SPACE_REFUSED : CLUSTER_EVENT_REFUSED);
    }
    sim_trace(cluster->sim, NULL,
              "client %u: call %zu of group %" PRIu64 " ends: %s, index %" PRIu64 ", answer %" PRIu64, client->number,
              call->operation, call->group, hf_error_name(result), index, operation->answer);
    if (client->is_final && result == 0) {
        client->final_position++;
    }
    client->outstanding--;
    buffer_close(&call->command);
    free(call);
    if (client->state == CLIENT_WAITING && client->is_prober) {
        client_probe_next(client, result == 0);
    } else if (client->state == CLIENT_WAITING) {
        client_next(client);
    }
}

/* Behind its barrier, the node's own state is as good as the leader's was. */
static void client_barrier_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct cluster_call *call = arg;
    struct cluster_node *node = &call->client->cluster->nodes[call->client->node];
    if (result != 0 || node->node == NULL || node->node->phase != NODE_RUNNING) {
        client_done(call, result != 0 ? result : HF_ECLOSED, (struct hf_bytes){0}, 0);
        return;
    }
    node_read(node->node, call->group, NODE_READ_STALE, buffer_bytes(&call->command), client_done, call);
}

/* ---- Calls ---- */

static void client_call(struct cluster_client *client, struct node *node, uint64_t group, uint32_t order,
                        struct history_operation operation, uint64_t ttl_ms, bool is_barrier)
{
    struct cluster *cluster = client->cluster;
    struct cluster_call *call = memory_new(sizeof(*call));
    uint32_t key = operation.key;
    call->client = client;
    call->group = group;
    call->order = order;
    operation.key = (uint32_t)(group * CLUSTER_KEYS + key);
    call->operation = client_record(cluster, operation);
    struct cluster_command command = {client_verb(operation.kind), key, operation.value, operation.expected, ttl_ms, 0};
    if (command.verb == CLUSTER_APPEND && cluster->phase == CLUSTER_TROUBLE &&
        rng_chance(cluster->rng, cluster->plan->ballast_percent, 100)) {
        command.ballast = (uint32_t)rng_below(cluster->rng, CLUSTER_BALLAST_MAX);
    }
    cluster_command_encode(&command, &call->command);
    client->outstanding++;
    sim_trace(cluster->sim, cluster->nodes[client->node].host,
              "client %u: call %zu to group %" PRIu64 ": kind %d key %u value %" PRIu64 " expected %" PRIu64 "%s",
              client->number, call->operation, group, (int)operation.kind, key, operation.value, operation.expected,
              is_barrier ? " behind a barrier" : "");
    if (operation.kind != HISTORY_GET && operation.kind != HISTORY_LIST) {
        node_propose(node, group, buffer_bytes(&call->command), client_done, call);
    } else if (is_barrier) {
        node_barrier(node, group, client_barrier_done, call);
    } else {
        node_read(node, group, NODE_READ_LINEARIZABLE, buffer_bytes(&call->command), client_done, call);
    }
}

static uint64_t client_pick_group(struct cluster_client *client)
{
    struct cluster *cluster = client->cluster;
    uint64_t rush_group = client->rush_group;
    client->rush_group = 0;
    if (rush_group != 0) {
        return rush_group;
    }

    return NODE_GROUP_FIRST + rng_below(cluster->rng, cluster->plan->groups);
}

/* A value that was written to the register some time ago: compare and swap then succeeds now and then. */
static uint64_t client_pick_expected(struct cluster *cluster, uint32_t key)
{
    for (size_t i = cluster->operation_count; i > 0 && cluster->operation_count - i < 200; i--) {
        const struct history_operation *operation = &cluster->operations[i - 1];
        if (operation->key == key && (operation->kind == HISTORY_PUT || operation->kind == HISTORY_CAS) &&
            rng_chance(cluster->rng, 2, 3)) {
            return operation->value;
        }
    }
    return 0;
}

static void client_issue_single(struct cluster_client *client, struct node *node)
{
    struct cluster *cluster = client->cluster;
    uint64_t group = client_pick_group(client);
    uint64_t ttl_ms = 0;
    struct history_operation operation = {.key = (uint32_t)rng_below(cluster->rng, CLUSTER_REGISTERS)};
    uint64_t dice = rng_below(cluster->rng, 100);
    if (dice < 40) {
        operation.kind = HISTORY_GET;
    } else if (dice < 60) {
        operation.kind = HISTORY_LIST;
    } else if (dice < 75) {
        operation.kind = HISTORY_PUT;
        operation.value = ++cluster->next_value;
        if (operation.key == 0 &&
            rng_chance(cluster->rng, 1, 3)) { /* one register of each group lives on short leases */
            operation.may_expire = true;
            ttl_ms = 1 + rng_below(cluster->rng, 400);
        }
    } else if (dice < 85) {
        operation.kind = HISTORY_CAS;
        operation.expected = client_pick_expected(cluster, (uint32_t)(group * CLUSTER_KEYS + operation.key));
        operation.value = ++cluster->next_value;
    } else {
        operation.kind = HISTORY_APPEND;
        operation.value = ++cluster->next_value;
    }
    if (operation.kind == HISTORY_LIST || operation.kind == HISTORY_APPEND) {
        operation.key = CLUSTER_REGISTERS + (uint32_t)rng_below(cluster->rng, CLUSTER_LISTS);
    }
    client_call(client, node, group, 0, operation, ttl_ms, rng_chance(cluster->rng, 1, 4));
}

static void client_issue_batch(struct cluster_client *client, struct node *node)
{
    struct cluster *cluster = client->cluster;
    uint64_t group = client_pick_group(client);
    uint32_t count = 2 + (uint32_t)rng_below(cluster->rng, CLUSTER_BATCH_MAX - 1);
    for (uint32_t i = 0; i < count; i++) {
        struct history_operation operation = {.kind = HISTORY_APPEND, .value = ++cluster->next_value};
        operation.key = CLUSTER_REGISTERS + (uint32_t)rng_below(cluster->rng, CLUSTER_LISTS);
        client_call(client, node, group, i, operation, 0, false);
    }
}

/* At the end: an append to each list, then a read of every key, each until it succeeds. */
static void client_issue_final(struct cluster_client *client, struct node *node)
{
    struct cluster *cluster = client->cluster;
    uint32_t per_group = CLUSTER_LISTS + CLUSTER_KEYS;
    if (client->final_position == per_group * cluster->plan->groups) {
        client->state = CLIENT_DONE;
        cluster->is_final_done = true;
        return;
    }
    uint64_t group = NODE_GROUP_FIRST + client->final_position / per_group;
    uint32_t step = client->final_position % per_group;
    struct history_operation operation = {0};
    if (step < CLUSTER_LISTS) {
        operation.kind = HISTORY_APPEND;
        operation.key = CLUSTER_REGISTERS + step;
        operation.value = ++cluster->next_value;
    } else {
        operation.key = step - CLUSTER_LISTS;
        operation.kind = operation.key < CLUSTER_REGISTERS ? HISTORY_GET : HISTORY_LIST;
    }
    client_call(client, node, group, 0, operation, 0, false);
}

static void client_issue_probe(struct cluster_client *client, struct node *node)
{
    struct history_operation operation = {.kind = HISTORY_GET, .key = client->probe_key};
    if (client->probe_step == 1) {
        operation.kind = HISTORY_PUT;
        operation.value = ++client->cluster->next_value;
    }
    client_call(client, node, client->probe_group, 0, operation, 0, false);
}

/* Runs in a turn of the node's loop. */
static void client_issue(void *arg)
{
    struct cluster_client *client = arg;
    struct cluster *cluster = client->cluster;
    struct cluster_node *node = &cluster->nodes[client->node];
    if (client->state != CLIENT_POSTED || node->node == NULL || node->node->phase != NODE_RUNNING) {
        client->state = CLIENT_THINKING;
        client->probe_step = 0;
        if (!client->is_prober) {
            client_think(client, 20);
        }
        return;
    }
    client->state = CLIENT_WAITING;
    client->batch_index = client->batch_number = 0;
    if (client->is_final) {
        client_issue_final(client, node->node);
    } else if (client->is_prober) {
        client_issue_probe(client, node->node);
    } else if (client->rush_group != 0 || rng_chance(cluster->rng, 1, 5)) {
        client_issue_batch(client, node->node);
    } else {
        client_issue_single(client, node->node);
    }
}

static void client_wake(void *arg)
{
    struct cluster_client *client = arg;
    struct cluster *cluster = client->cluster;
    if (client->state != CLIENT_THINKING) {
        return;
    }
    if (!client->is_final && cluster->phase != CLUSTER_TROUBLE) {
        client->state = CLIENT_DONE;
        return;
    }
    client->node = (uint32_t)rng_below(cluster->rng, cluster->machines);
    struct cluster_node *node = &cluster->nodes[client->node];
    if (node->node == NULL || !sim_host_is_running(node->host)) {
        client_think(client, 20);
        return;
    }
    client_post(client, client->node);
}

static void client_post(struct cluster_client *client, uint32_t position)
{
    client->node = position;
    client->state = CLIENT_POSTED;
    loop_post(sim_host_loop(client->cluster->nodes[position].host), client_issue, client);
}

static void client_think(struct cluster_client *client, uint64_t delay_ms)
{
    client->state = CLIENT_THINKING;
    sim_call_after(client->cluster->sim, delay_ms * CLUSTER_MS + 1000, client_wake, client);
}

/* ---- Life ---- */

void cluster_clients_start(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->plan->clients; i++) {
        struct cluster_client *client = &cluster->clients[i];
        client->cluster = cluster;
        client->number = i;
        client_think(client, 10 * i);
    }
}

void cluster_clients_finish(struct cluster *cluster)
{
    struct cluster_client *client = &cluster->clients[CLUSTER_CLIENTS_MAX];
    client->cluster = cluster;
    client->number = CLUSTER_CLIENTS_MAX;
    client->is_final = true;
    client_think(client, 1);
}

static void client_rush(void *arg)
{
    struct cluster_client *client = arg;
    struct cluster *cluster = client->cluster;
    struct cluster_node *node = &cluster->nodes[client->rush_node];
    if (client->state == CLIENT_THINKING && node->node != NULL && sim_host_is_running(node->host) &&
        cluster->phase == CLUSTER_TROUBLE) {
        client_post(client, client->rush_node);
    }
}

void cluster_clients_rush(struct cluster *cluster, uint32_t position, uint64_t group)
{
    for (uint32_t i = 0; i < cluster->plan->clients; i++) {
        cluster->clients[i].rush_node = position;
        cluster->clients[i].rush_group = group;
        sim_call_after(cluster->sim, (i + 1) * CLUSTER_MS, client_rush, &cluster->clients[i]);
    }
}

void cluster_clients_probe(struct cluster *cluster, uint64_t group, uint32_t position, uint32_t old)
{
    struct cluster_client *client = &cluster->clients[CLUSTER_CLIENTS_MAX + 1];
    client->cluster = cluster;
    client->number = CLUSTER_CLIENTS_MAX + 1;
    client->is_prober = true;
    if (client->probe_step != 0 || client->state != CLIENT_THINKING || group == NODE_SYSTEM_GROUP) {
        return;
    }
    client->probe_step = 1;
    client->probe_group = group;
    client->probe_key = 1 + (uint32_t)rng_below(cluster->rng, CLUSTER_REGISTERS - 1);
    client->probe_old = old;
    client_post(client, position);
}

/* What was posted to the process is gone; what it had taken in was answered when it was closed. */
void cluster_clients_node_stopped(struct cluster *cluster, uint32_t position)
{
    for (uint32_t i = 0; i < CLUSTER_CLIENTS_MAX + 2; i++) {
        struct cluster_client *client = &cluster->clients[i];
        if (client->cluster == NULL || client->state != CLIENT_POSTED || client->node != position) {
            continue;
        }
        if (client->is_prober) {
            client->state = CLIENT_THINKING;
            client->probe_step = 0;
        } else {
            client_think(client, 5);
        }
    }
}

/* ---- The histories ---- */

/* What was acknowledged before a loss was accepted: what was answered later may not know of it. */
static bool clients_ends_before_loss(const struct cluster *cluster, uint32_t key, struct history_operation *operation)
{
    if (!cluster->logs[key / CLUSTER_KEYS - 1].is_lost) {
        return true;
    }
    if (operation->returned >= cluster->accepted_clock) {
        operation->outcome = HISTORY_OPEN;
        operation->returned = HISTORY_NEVER;
    }
    return operation->called < cluster->accepted_clock;
}

/* A node whose state of the group is that of all at the end. */
static struct node *clients_witness(struct cluster *cluster, uint64_t group)
{
    for (uint32_t i = 0; i < cluster->machines && cluster->accepted_clock != 0; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (node->id != 0 && node->node != NULL && !cluster_relaxed_is_left_behind(node, (uint32_t)group - 1)) {
            return node->node;
        }
    }
    return cluster_reference(cluster)->node;
}

static void clients_check_key(struct cluster *cluster, uint32_t key)
{
    const struct history_operation **operations =
        memory_new((cluster->operation_count + 1) * sizeof(const struct history_operation *));
    size_t count = 0;
    char why[384] = "";
    int rc;
    for (size_t i = 0; i < cluster->operation_count; i++) {
        if (cluster->operations[i].key == key && clients_ends_before_loss(cluster, key, &cluster->operations[i])) {
            operations[count++] = &cluster->operations[i];
        }
    }
    if (key % CLUSTER_KEYS < CLUSTER_REGISTERS) {
        rc = history_check_register(operations, count, why, sizeof(why));
    } else if (cluster->logs[key / CLUSTER_KEYS - 1].is_lost) {
        rc = 0; /* the list is another one */
    } else {
        size_t list_count = 0;
        const uint64_t *list =
            cluster_machine_list(node_machine(clients_witness(cluster, key / CLUSTER_KEYS), key / CLUSTER_KEYS),
                                 key % CLUSTER_KEYS, &list_count);
        rc = history_check_list(operations, count, list, list_count, why, sizeof(why));
    }
    if (rc < 0) {
        cluster_violate(cluster, "group %u key %u: %s", key / CLUSTER_KEYS, key % CLUSTER_KEYS, why);
    }
    cluster->result->inconclusive += rc > 0;
    free(operations);
}

void cluster_clients_check(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->plan->clients; i++) {
        if (cluster->clients[i].outstanding > 0) {
            cluster_violate(cluster, "client %u still waits for %u answers", i, cluster->clients[i].outstanding);
        }
    }
    for (uint32_t g = 0; g < cluster->plan->groups; g++) {
        for (uint32_t k = 0; k < CLUSTER_KEYS; k++) {
            clients_check_key(cluster, (g + NODE_GROUP_FIRST) * CLUSTER_KEYS + k);
        }
    }
}
