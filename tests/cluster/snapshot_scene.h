/* What the scenes of snapshots share: nodes that take one when they are asked to, and a member that needs one. */
#ifndef CLUSTER_SNAPSHOT_SCENE_H
#define CLUSTER_SNAPSHOT_SCENE_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/trace.h"
#include "cluster/cluster_scene.h"
#include "node/fetch.h"

#define GROUP 2u

static inline void drop_line(void *arg, enum trace_level level, const char *line) {}

static const struct node_options often = {.snapshot = {.format = {.chunk_size_bytes = 4096},
                                                       .keep_latest = 2,
                                                       .entries = UINT64_MAX,
                                                       .log_bytes = UINT64_MAX,
                                                       .interval_ms = UINT64_MAX,
                                                       .sync_bytes = 8192,
                                                       .trail = 1}};

static inline void must_put(struct scene_node *node, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(scene_put(node, GROUP, i % CLUSTER_REGISTERS, 1000 + i), 0);
    }
}

struct waiter {
    struct scene_node *node;
    uint64_t group;
    bool is_done;
    int result;
};

static inline void waiter_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct waiter *waiter = arg;
    waiter->is_done = true;
    waiter->result = result;
}

static inline void waiter_ask(void *arg)
{
    struct waiter *waiter = arg;
    node_snapshot(waiter->node->node, waiter->group, waiter_done, waiter);
}

static inline bool waiter_is_done(void *arg)
{
    return ((struct waiter *)arg)->is_done;
}

static inline int take(struct scene_node *node, uint64_t group)
{
    struct waiter waiter = {.node = node, .group = group};
    loop_post(sim_host_loop(node->host), waiter_ask, &waiter);
    assert_true(sim_run_until(node->scene->sim, waiter_is_done, &waiter, 10000 * SCENE_MS));
    return waiter.result;
}

static inline uint64_t first_index(struct scene_node *node)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(node->node->log, GROUP, &state), 0);
    return state.first_index;
}

static inline void assert_equal_states(struct scene *scene)
{
    struct node_group_status first = {0};
    for (uint32_t i = 0; i < scene->node_count; i++) {
        struct node_group_status status;
        assert_int_equal(node_group_status(scene->nodes[i].node, GROUP - 1, &status), 0);
        assert_true(status.is_started);
        if (i == 0) {
            first = status;
        }
        assert_true(status.replica.applied_index == first.replica.applied_index);
        assert_true(status.digest[0] == first.digest[0] && status.digest[1] == first.digest[1]);
    }
}

/* Node 3 was away while the others compacted what it lacks. */
static inline struct scene *open_with_a_laggard_of(const struct node_options *options)
{
    struct scene *scene = scene_open(3, 1, options);
    scene_wait_led(scene, 5000);
    must_put(&scene->nodes[0], 5);
    scene_run_ms(scene, 300);
    scene_kill(&scene->nodes[2]);
    scene_wait_led(scene, 5000);
    for (unsigned round = 0; round < 2; round++) {
        must_put(&scene->nodes[0], 10);
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(take(&scene->nodes[i], GROUP), 0);
        }
    }
    must_put(&scene->nodes[0], 3);
    scene_run_ms(scene, 100);
    assert_true(first_index(&scene->nodes[0]) > 10);
    return scene;
}

static inline struct scene *open_with_a_laggard(void)
{
    return open_with_a_laggard_of(&often);
}

static inline bool is_caught_up(void *arg)
{
    struct scene *scene = arg;
    struct scene_node *leader = scene_leader(scene, GROUP);
    return leader != NULL && scene->nodes[2].node != NULL &&
           scene_group(&scene->nodes[2], GROUP)->applied_index == scene_group(leader, GROUP)->applied_index;
}

static inline struct hf_log_group_state system_state(struct scene_node *node)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(node->node->log, NODE_SYSTEM_GROUP, &state), 0);
    return state;
}

/* Entries of the system group: a node's Redis port moves on and on. */
static inline void change_addresses(struct scene_node *through, uint64_t id, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct membership_member *member = membership_find(node_membership(through->node), id);
        struct membership_change change = {.kind = MEMBERSHIP_ADDRESS, .node = member->node};
        snprintf(change.node.client_address, sizeof(change.node.client_address), "n%" PRIu64 ":%u", id,
                 1000 + (unsigned)node_membership(through->node)->version);
        assert_int_equal(scene_changed(through, &change).result, 0);
    }
}

static inline bool system_is_equal(void *arg)
{
    struct scene *scene = arg;
    for (uint32_t i = 1; i < scene->node_count; i++) {
        uint64_t first[2];
        uint64_t other[2];
        if (scene->nodes[0].node == NULL || scene->nodes[i].node == NULL) {
            return false;
        }
        struct hosted_group *a = scene_group(&scene->nodes[0], NODE_SYSTEM_GROUP);
        struct hosted_group *b = scene_group(&scene->nodes[i], NODE_SYSTEM_GROUP);
        a->ops->digest(a->machine, first);
        b->ops->digest(b->machine, other);
        if (a->applied_index != b->applied_index || first[0] != other[0] || first[1] != other[1] || first[0] == 0) {
            return false;
        }
    }
    return true;
}

#endif
