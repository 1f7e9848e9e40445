/* Nodes on calm simulated hosts, for tests that set a scene by hand: one call, one answer, one thing that goes wrong.
 */
#ifndef CLUSTER_CLUSTER_SCENE_H
#define CLUSTER_CLUSTER_SCENE_H

#include "cluster/cluster_machine.h"
#include "node/node_state.h"
#include "sim/sim.h"

#define SCENE_NODES_MAX 8u
#define SCENE_MS        1000000ull

struct scene;

struct scene_node {
    struct scene *scene;
    uint64_t id;
    char name[16];
    struct sim_host *host;
    struct node *node; /* NULL: down */
    struct cluster_machine_owner owner;
    struct node_machine_ops ops;
    int fatal; /* what `fatal` was called with; 0: it was not */
    uint64_t fatal_ns;
    char fatal_text[256];
};

struct scene {
    struct sim *sim;
    struct description *description;
    struct node_options options;
    struct scene_node nodes[SCENE_NODES_MAX];
    uint32_t node_count;
    uint32_t group_count;
    struct membership joined; /* what the last join was answered with */
};

/* What one call ended with. */
struct scene_answer {
    bool is_done;
    int result;
    uint64_t index;
    uint64_t value;                    /* the first 8 bytes of the reply */
    size_t size;                       /* of the reply */
    struct membership_outcome outcome; /* of a change of members */
    uint64_t done_ns;                  /* when */
    char text[256];                    /* with an error */
};

/* The feature level of the descriptions that scene_open makes; 0: the newest. */
extern uint32_t scene_feature_level;

/* Formats and starts all nodes. options may be NULL; election 500 ms and heartbeat 50 ms when they are 0 there. */
struct scene *scene_open(uint32_t nodes, uint32_t groups, const struct node_options *options);
void scene_close(struct scene *scene); /* asserts that every node closed all it had opened */

/* ---- Members ---- */

/* Calls node_change_members from a turn. */
void scene_change(struct scene_node *node, const struct membership_change *change, struct scene_answer *answer);
/* The same, waited for: the cluster's outcome, or the error of the call with its text. */
struct membership_outcome scene_changed(struct scene_node *node, const struct membership_change *change);
int scene_set_role(struct scene_node *node, uint64_t id, enum membership_role role, bool is_forced);
/* A new machine (a host of its own) asks `through` for membership, as holdfast join does: listens at its address, asks,
 * formats /data. NULL when it was refused: why says the reason. Not started. */
struct scene_node *scene_join(struct scene *scene, struct scene_node *through, enum membership_role role,
                              char why[256]);
/* The same for a machine that is there: its host is up, and its /data is not formatted. */
int scene_join_host(struct scene_node *node, struct scene_node *through, enum membership_role role, char why[256]);
/* What the latest configuration of a group says about a node, as `node` knows it; -1: nothing. */
int scene_role(struct scene_node *node, uint64_t group, uint64_t id);
/* Runs until every group's leader has the role for the node (-1: none); asserts within limit_ms. */
void scene_wait_role(struct scene *scene, uint64_t id, int role, uint64_t limit_ms);

int scene_start(struct scene_node *node); /* node_open on a host that is started when it is not running */
void scene_kill(struct scene_node *node);
void scene_power_off(struct scene_node *node);

void scene_run_ms(struct scene *scene, uint64_t duration_ms);
/* Runs until every group has a leader that is ready and all nodes that are up follow it; asserts within limit_ms. */
void scene_wait_led(struct scene *scene, uint64_t limit_ms);
/* The node that leads a group, NULL: none, or two believe so. */
struct scene_node *scene_leader(struct scene *scene, uint64_t group);
/* Any node but the leader. */
struct scene_node *scene_follower(struct scene *scene, uint64_t group);
struct hosted_group *scene_group(struct scene_node *node, uint64_t group);

/* Calls from a turn of the node's loop; the answer is filled when it comes. */
void scene_propose(struct scene_node *node, uint64_t group, const struct cluster_command *command,
                   struct scene_answer *answer);
void scene_read(struct scene_node *node, uint64_t group, enum node_read_mode mode,
                const struct cluster_command *command, struct scene_answer *answer);
void scene_barrier(struct scene_node *node, uint64_t group, struct scene_answer *answer);
/* Runs until it is there; asserts within limit_ms. */
void scene_await(struct scene *scene, const struct scene_answer *answer, uint64_t limit_ms);
/* Both in one: the result. */
int scene_put(struct scene_node *node, uint64_t group, uint32_t key, uint64_t value);
int scene_get(struct scene_node *node, uint64_t group, uint32_t key, uint64_t *value);

#endif
