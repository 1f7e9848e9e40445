#include "cluster/cluster_scene.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "node/directory.h"
#include "node/joining.h"

/* ---- Nodes ---- */

static void scene_applied(void *arg, uint64_t group, const struct hf_entry *entry, const uint64_t digest[2]) {}

static void scene_fatal(void *arg, int result, const char *text)
{
    struct scene_node *node = arg;
    assert(node->fatal == 0);
    node->fatal = result;
    node->fatal_ns = sim_now_ns(node->scene->sim);
    snprintf(node->fatal_text, sizeof(node->fatal_text), "%s", text);
}

int scene_start(struct scene_node *node)
{
    static const struct node_callbacks callbacks = {.fatal = scene_fatal};
    if (!sim_host_is_running(node->host)) {
        sim_host_start(node->host);
    }
    node->owner = (struct cluster_machine_owner){scene_applied, node};
    node->ops = cluster_machine_ops(&node->owner);
    node->fatal = 0;
    return node_open(sim_host_io(node->host), sim_host_loop(node->host), &node->scene->options, &node->ops, &callbacks,
                     node, &node->node);
}

static void scene_bury(struct scene_node *node)
{
    struct node *dead = node->node;
    node->node = NULL;
    node_close(dead);
    assert(sim_host_handle_count(node->host) == 0);
}

void scene_kill(struct scene_node *node)
{
    sim_host_kill(node->host);
    scene_bury(node);
}

void scene_power_off(struct scene_node *node)
{
    sim_host_power_off(node->host);
    scene_bury(node);
}

uint32_t scene_feature_level;

struct scene *scene_open(uint32_t nodes, uint32_t groups, const struct node_options *options)
{
    struct scene *scene = memory_new(sizeof(*scene));
    struct description_node described[SCENE_NODES_MAX] = {0};
    assert(nodes <= SCENE_NODES_MAX);
    scene->sim = sim_open(nodes * 1000 + groups, NULL);
    scene->node_count = nodes;
    scene->group_count = groups;
    scene->options = options != NULL ? *options : (struct node_options){0};
    scene->options.directory = "/data";
    if (scene->options.election_timeout_ms == 0) {
        scene->options.election_timeout_ms = 500;
        scene->options.heartbeat_timeout_ms = 50;
    }
    if (scene->options.log.segment_size_bytes == 0) {
        scene->options.log.segment_size_bytes = 1 << 20;
    }
    for (uint32_t i = 0; i < nodes; i++) {
        scene->nodes[i] = (struct scene_node){.scene = scene, .id = i + 1};
        snprintf(scene->nodes[i].name, sizeof(scene->nodes[i].name), "n%u", i + 1);
        scene->nodes[i].host = sim_host_add(scene->sim, scene->nodes[i].name, NULL);
        described[i].id = i + 1;
        snprintf(described[i].peer_address, sizeof(described[i].peer_address), "%s:7000", scene->nodes[i].name);
    }
    int rc = description_create(sim_host_io(scene->nodes[0].host), described, nodes, groups, &scene->description);
    if (rc == 0 && scene_feature_level != 0) {
        scene->description->feature_level = scene_feature_level;
    }
    for (uint32_t i = 0; i < nodes && rc == 0; i++) {
        rc = directory_format(sim_host_io(scene->nodes[i].host), "/data", scene->description, i + 1);
        rc = rc != 0 ? rc : scene_start(&scene->nodes[i]);
    }
    if (rc != 0) {
        fprintf(stderr, "scene: %s\n", hf_error_text());
        abort();
    }
    return scene;
}

void scene_close(struct scene *scene)
{
    for (uint32_t i = 0; i < scene->node_count; i++) {
        if (scene->nodes[i].node != NULL) {
            scene_kill(&scene->nodes[i]);
        }
    }
    sim_close(scene->sim);
    description_close(scene->description);
    free(scene);
}

/* ---- Looking ---- */

struct hosted_group *scene_group(struct scene_node *node, uint64_t group)
{
    return &node->node->groups[group - 1];
}

struct scene_node *scene_leader(struct scene *scene, uint64_t group)
{
    struct scene_node *leader = NULL;
    for (uint32_t i = 0; i < scene->node_count; i++) {
        if (scene->nodes[i].node != NULL && hosted_group_is_led_here(scene_group(&scene->nodes[i], group))) {
            if (leader != NULL) {
                return NULL;
            }
            leader = &scene->nodes[i];
        }
    }
    return leader;
}

struct scene_node *scene_follower(struct scene *scene, uint64_t group)
{
    for (uint32_t i = 0; i < scene->node_count; i++) {
        if (scene->nodes[i].node != NULL && &scene->nodes[i] != scene_leader(scene, group)) {
            return &scene->nodes[i];
        }
    }
    return NULL;
}

static bool scene_is_led(void *arg)
{
    struct scene *scene = arg;
    for (uint64_t group = 1; group <= scene->group_count + 1; group++) {
        struct scene_node *leader = scene_leader(scene, group);
        struct replica_status status;
        if (leader == NULL) {
            return false;
        }
        replica_status(scene_group(leader, group)->replica, &status);
        for (uint32_t i = 0; i < scene->node_count; i++) {
            const struct scene_node *node = &scene->nodes[i];
            if (node->node != NULL && !scene_group(&scene->nodes[i], group)->is_failed &&
                scene_group(&scene->nodes[i], group)->leader != leader->id) {
                return false;
            }
        }
        if (!status.is_ready) {
            return false;
        }
    }
    return true;
}

void scene_run_ms(struct scene *scene, uint64_t duration_ms)
{
    sim_run_for(scene->sim, duration_ms * SCENE_MS);
}

void scene_wait_led(struct scene *scene, uint64_t limit_ms)
{
    bool led = sim_run_until(scene->sim, scene_is_led, scene, limit_ms * SCENE_MS);
    assert(led);
    (void)led;
}

/* ---- Calling ---- */

enum scene_kind { SCENE_PROPOSE, SCENE_READ, SCENE_BARRIER, SCENE_CHANGE };

struct scene_call {
    struct scene_node *node;
    enum scene_kind kind;
    enum node_read_mode mode;
    uint64_t group;
    struct buffer command;
    struct membership_change change;
    struct scene_answer *answer;
};

static void scene_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct scene_call *call = arg;
    struct scene_answer *answer = call->answer;
    assert(!answer->is_done);
    answer->is_done = true;
    answer->result = result;
    answer->index = index;
    answer->size = reply.size;
    answer->value = reply.size >= 8 ? bytes_get_u64(reply.data) : 0;
    answer->done_ns = sim_now_ns(call->node->scene->sim);
    struct hf_bytes members;
    if (result == 0 && call->kind == SCENE_CHANGE) {
        int rc = membership_outcome_decode(reply, &answer->outcome, &members);
        assert(rc == 0);
        if (members.size > 0) {
            rc = membership_decode(members, &call->node->scene->joined);
            assert(rc == 0);
        }
        (void)rc;
    }
    snprintf(answer->text, sizeof(answer->text), "%s", result != 0 ? hf_error_text() : "");
    buffer_close(&call->command);
    free(call);
}

static void scene_issue(void *arg)
{
    struct scene_call *call = arg;
    struct node *node = call->node->node;
    if (call->kind == SCENE_PROPOSE) {
        node_propose(node, call->group, buffer_bytes(&call->command), scene_done, call);
    } else if (call->kind == SCENE_READ) {
        node_read(node, call->group, call->mode, buffer_bytes(&call->command), scene_done, call);
    } else if (call->kind == SCENE_CHANGE) {
        node_change_members(node, &call->change, scene_done, call);
    } else {
        node_barrier(node, call->group, scene_done, call);
    }
}

static void scene_call(struct scene_node *node, enum scene_kind kind, enum node_read_mode mode, uint64_t group,
                       const struct cluster_command *command, struct scene_answer *answer)
{
    struct scene_call *call = memory_new(sizeof(*call));
    *answer = (struct scene_answer){0};
    *call = (struct scene_call){.node = node, .kind = kind, .mode = mode, .group = group, .answer = answer};
    if (command != NULL) {
        cluster_command_encode(command, &call->command);
    }
    loop_post(sim_host_loop(node->host), scene_issue, call);
}

void scene_propose(struct scene_node *node, uint64_t group, const struct cluster_command *command,
                   struct scene_answer *answer)
{
    scene_call(node, SCENE_PROPOSE, NODE_READ_LINEARIZABLE, group, command, answer);
}

void scene_read(struct scene_node *node, uint64_t group, enum node_read_mode mode,
                const struct cluster_command *command, struct scene_answer *answer)
{
    scene_call(node, SCENE_READ, mode, group, command, answer);
}

void scene_barrier(struct scene_node *node, uint64_t group, struct scene_answer *answer)
{
    scene_call(node, SCENE_BARRIER, NODE_READ_LINEARIZABLE, group, NULL, answer);
}

static bool scene_is_answered(void *arg)
{
    return ((const struct scene_answer *)arg)->is_done;
}

void scene_await(struct scene *scene, const struct scene_answer *answer, uint64_t limit_ms)
{
    bool answered = sim_run_until(scene->sim, scene_is_answered, (void *)answer, limit_ms * SCENE_MS);
    assert(answered);
    (void)answered;
}

int scene_put(struct scene_node *node, uint64_t group, uint32_t key, uint64_t value)
{
    struct cluster_command command = {.verb = CLUSTER_PUT, .key = key, .value = value};
    struct scene_answer answer;
    scene_propose(node, group, &command, &answer);
    scene_await(node->scene, &answer, 10000);
    return answer.result;
}

int scene_get(struct scene_node *node, uint64_t group, uint32_t key, uint64_t *value)
{
    struct cluster_command command = {.verb = CLUSTER_GET, .key = key};
    struct scene_answer answer;
    scene_read(node, group, NODE_READ_LINEARIZABLE, &command, &answer);
    scene_await(node->scene, &answer, 10000);
    *value = answer.value;
    return answer.result;
}

/* ---- Members ---- */

void scene_change(struct scene_node *node, const struct membership_change *change, struct scene_answer *answer)
{
    struct scene_call *call = memory_new(sizeof(*call));
    *answer = (struct scene_answer){0};
    *call = (struct scene_call){.node = node, .kind = SCENE_CHANGE, .change = *change, .answer = answer};
    loop_post(sim_host_loop(node->host), scene_issue, call);
}

struct membership_outcome scene_changed(struct scene_node *node, const struct membership_change *change)
{
    struct scene_answer answer;
    scene_change(node, change, &answer);
    scene_await(node->scene, &answer, 10000);
    if (answer.result != 0) {
        answer.outcome.result = answer.result;
        snprintf(answer.outcome.text, sizeof(answer.outcome.text), "%s", answer.text);
    }
    return answer.outcome;
}

int scene_set_role(struct scene_node *node, uint64_t id, enum membership_role role, bool is_forced)
{
    struct membership_change change = {
        .kind = MEMBERSHIP_ROLE, .node = {.id = id}, .role = role, .is_forced = is_forced};
    int result = HF_ENOLEADER;
    /* Refused before anything happened, for reasons that pass: a person would try again. */
    for (unsigned i = 0; i < 20 && (result == HF_ENOLEADER || result == HF_ECONFLICT); i++) {
        if (i > 0) {
            scene_run_ms(node->scene, 100);
        }
        result = scene_changed(node, &change).result;
    }
    return result;
}

int scene_join_host(struct scene_node *node, struct scene_node *through, enum membership_role role, char why[256])
{
    struct scene *scene = node->scene;
    struct joining *joining = NULL;
    struct membership_outcome outcome = {0};
    struct membership_change change = {
        .kind = MEMBERSHIP_JOIN, .feature_level = DESCRIPTION_FEATURE_LEVEL_MAX, .role = role};
    struct io *io = sim_host_io(node->host);
    snprintf(change.node.peer_address, sizeof(change.node.peer_address), "%s:7000", node->name);
    int rc = directory_join_begin(io, "/data", scene->description->cluster_id, &change.incarnation);
    if (rc == 0) {
        rc = joining_open(io, sim_host_loop(node->host), scene->description->cluster_id,
                          scene->description->routing_version, change.incarnation, change.node.peer_address, &joining);
    }
    if (rc == 0) {
        outcome = scene_changed(through, &change);
        rc = outcome.result;
        snprintf(why, 256, "%s", outcome.text);
        joining_close(joining);
    }
    if (rc == 0) {
        node->id = outcome.node_id;
        rc = directory_join_finish(io, "/data", scene->description, &scene->joined, node->id, change.incarnation);
    }
    if (rc != 0 && outcome.result == 0) {
        snprintf(why, 256, "%s", hf_error_text());
    }
    return rc;
}

struct scene_node *scene_join(struct scene *scene, struct scene_node *through, enum membership_role role, char why[256])
{
    assert(scene->node_count < SCENE_NODES_MAX);
    struct scene_node *node = &scene->nodes[scene->node_count];
    *node = (struct scene_node){.scene = scene};
    snprintf(node->name, sizeof(node->name), "n%u", scene->node_count + 1);
    node->host = sim_host_add(scene->sim, node->name, NULL);
    scene->node_count++;
    return scene_join_host(node, through, role, why) == 0 ? node : NULL;
}

int scene_role(struct scene_node *node, uint64_t group, uint64_t id)
{
    struct replica_status status;
    replica_status(scene_group(node, group)->replica, &status);
    for (unsigned i = 0; i < status.member_count; i++) {
        if (status.members[i].node_id == id) {
            return (int)status.members[i].role;
        }
    }
    return -1;
}

struct scene_wish {
    struct scene *scene;
    uint64_t id;
    int role;
};

static bool scene_has_role(void *arg)
{
    const struct scene_wish *wish = arg;
    for (uint64_t group = 1; group <= wish->scene->group_count + 1; group++) {
        struct scene_node *leader = scene_leader(wish->scene, group);
        struct replica_status status;
        if (leader == NULL || scene_role(leader, group, wish->id) != wish->role) {
            return false;
        }
        replica_status(scene_group(leader, group)->replica, &status);
        if (status.is_changing) {
            return false;
        }
    }
    return true;
}

void scene_wait_role(struct scene *scene, uint64_t id, int role, uint64_t limit_ms)
{
    struct scene_wish wish = {scene, id, role};
    bool came = sim_run_until(scene->sim, scene_has_role, &wish, limit_ms * SCENE_MS);
    assert(came);
    (void)came;
}
