/* Members that come and go while things go wrong: machines that join, nodes that are demoted, promoted, removed (by
 * force too), and one whose disk is wiped, that tries its old name and comes back under another one. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_world.h"
#include "node/directory.h"
#include "node/joining.h"

#define CLUSTER_MEMBERS_RETRY_MS 300u

/* A change that was asked for and is not answered yet. */
struct cluster_change {
    struct list link;
    struct cluster *cluster;
    struct cluster_node *machine; /* JOIN: whose; the wiped one's removal: which; NULL otherwise */
    struct membership_change change;
    int result;
    struct membership_outcome outcome;
    struct membership joined;
};

static void members_join_again(void *arg);
static void members_remove_wiped(void *arg);

/* ---- Looking ---- */

bool cluster_is_member(const struct cluster *cluster, const struct cluster_node *node)
{
    const struct cluster_node *reference = cluster_reference(cluster);
    const struct membership_member *member =
        reference != NULL && node->id != 0 ? membership_find(node_membership(reference->node), node->id) : NULL;
    return member != NULL && member->role != MEMBERSHIP_LEAVING;
}

/* A running node that knows most about the members: what it says is what was agreed on last. */
const struct cluster_node *cluster_reference(const struct cluster *cluster)
{
    const struct cluster_node *best = NULL;
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node->node == NULL || node_is_removed(node->node) || node->is_wiped) {
            continue;
        }
        if (best == NULL || node_membership(node->node)->version > node_membership(best->node)->version) {
            best = node;
        }
    }
    return best;
}

static struct cluster_node *members_pick_running(struct cluster *cluster)
{
    uint32_t first = (uint32_t)rng_below(cluster->rng, cluster->machines);
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = &cluster->nodes[(first + i) % cluster->machines];
        if (node->node != NULL && node->node->phase == NODE_RUNNING && !node->is_wiped &&
            !node_is_removed(node->node)) {
            return node;
        }
    }
    return NULL;
}

/* ---- Machines without a node ---- */

/* The process is over for good; the machine is empty, and may become another node later. */
void cluster_node_retire(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    sim_trace(cluster->sim, node->host, "is no node any more");
    cluster_count(cluster, CLUSTER_EVENT_REMOVED_NODE_STOPPED);
    if (node->is_wiped) {
        cluster->is_wiping = false;
    }
    node->id = 0; /* it is not started again */
    node->is_wiped = false;
    if (sim_host_is_running(node->host)) {
        sim_host_power_off(node->host);
    }
    if (node->node != NULL) {
        cluster_node_bury(node);
    }
    sim_disk_wipe(node->host);
    sim_disk_fail_clear(node->host);
    sim_disk_set_capacity(node->host, 0);
    sim_disk_cut_at(node->host, 0, SIM_CUT_AFTER);
    cluster_relaxed_wiped(node);
    memset(node->durable, 0, sizeof(node->durable));
    memset(node->durable_term, 0, sizeof(node->durable_term));
    memset(node->seen, 0, sizeof(node->seen));
}

/* Now and then: whoever was told that it was removed ends. */
void cluster_members_look(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (node->node != NULL && node_is_removed(node->node)) {
            const struct cluster_node *reference = cluster_reference(cluster);
            if (reference != NULL && membership_find(node_membership(reference->node), node->id) != NULL &&
                membership_find(node_membership(reference->node), node->id)->role != MEMBERSHIP_LEAVING) {
                cluster_violate(cluster, "node %" PRIu64 " believes that it was removed", node->id);
            }
            cluster_node_retire(node);
        }
    }
}

/* ---- Changes ---- */

static void members_count_done(struct cluster *cluster, const struct cluster_change *done)
{
    if (done->result != 0 || done->outcome.result != 0) {
        cluster_count(cluster, CLUSTER_EVENT_CHANGE_REFUSED);
    } else if (done->change.kind == MEMBERSHIP_JOIN) {
        cluster_count(cluster, CLUSTER_EVENT_MEMBER_JOINED);
    } else if (done->change.role == MEMBERSHIP_VOTER) {
        cluster_count(cluster, CLUSTER_EVENT_MEMBER_PROMOTED);
    } else if (done->change.role == MEMBERSHIP_STANDBY) {
        cluster_count(cluster, CLUSTER_EVENT_MEMBER_DEMOTED);
    } else {
        cluster_count(cluster,
                      done->change.is_forced ? CLUSTER_EVENT_MEMBER_REMOVED_BY_FORCE : CLUSTER_EVENT_MEMBER_REMOVED);
    }
}

static void members_join_done(struct cluster_change *done)
{
    struct cluster *cluster = done->cluster;
    struct cluster_node *machine = done->machine;
    int rc = done->result != 0 ? done->result : done->outcome.result;
    joining_close(machine->joining);
    machine->joining = NULL;
    if (rc == 0) {
        machine->may_be_member = true;
        rc = directory_join_finish(sim_host_io(machine->host), "/data", cluster->description, &done->joined,
                                   done->outcome.node_id, done->change.incarnation);
        sim_trace(cluster->sim, machine->host, "joined as node %" PRIu64 ": %s", done->outcome.node_id,
                  hf_error_name(rc));
    }
    if (rc == 0) {
        machine->is_joining = false;
        machine->id = done->outcome.node_id;
        cluster_node_start(machine);
        return;
    }
    machine->may_be_member = machine->may_be_member || rc == HF_EINDETERMINATE;
    if (machine->may_be_member || rc == HF_ENOLEADER || rc == HF_ECLOSED) {
        sim_call_after(cluster->sim, CLUSTER_MEMBERS_RETRY_MS * CLUSTER_MS, members_join_again, machine);
        return;
    }
    sim_trace(cluster->sim, machine->host, "may not join: %s", done->outcome.text);
    machine->is_joining = false;
    sim_host_power_off(machine->host);
    sim_disk_wipe(machine->host);
}

static void members_settle(void *arg)
{
    struct cluster_change *done = arg;
    struct cluster *cluster = done->cluster;
    list_remove(&done->link);
    cluster->is_change_unsure =
        cluster->is_change_unsure || (cluster->plan->relaxed_percent > 0 && done->result == HF_EINDETERMINATE);
    members_count_done(cluster, done);
    sim_trace(cluster->sim, NULL, "a change of node %" PRIu64 " (kind %d, role %d) ended: %s, %s %s",
              done->change.node.id, (int)done->change.kind, (int)done->change.role, hf_error_name(done->result),
              hf_error_name(done->outcome.result), done->outcome.text);
    if (done->change.kind == MEMBERSHIP_JOIN) {
        members_join_done(done);
    } else if (done->machine != NULL && done->machine->is_wiped) {
        sim_call_after(cluster->sim, CLUSTER_MEMBERS_RETRY_MS * CLUSTER_MS, members_remove_wiped, done->machine);
    }
    free(done);
}

/* Maybe from inside a node that is being closed: what follows comes in an event of its own. */
static void members_done(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct cluster_change *done = arg;
    struct hf_bytes members = {0};
    done->result = result;
    if (result == 0 && (membership_outcome_decode(reply, &done->outcome, &members) != 0 ||
                        (members.size > 0 && membership_decode(members, &done->joined) != 0))) {
        cluster_violate(done->cluster, "the outcome of a change cannot be read: %s", hf_error_text());
    }
    if (done->cluster->phase == CLUSTER_OVER) {
        list_remove(&done->link);
        free(done);
        return;
    }
    sim_call_after(done->cluster->sim, 1000, members_settle, done);
}

static void members_ask(struct cluster *cluster, struct cluster_node *through, struct cluster_node *machine,
                        const struct membership_change *change)
{
    struct cluster_change *asked = memory_new(sizeof(*asked));
    asked->cluster = cluster;
    asked->machine = machine;
    asked->change = *change;
    list_append(&cluster->changes, &asked->link);
    node_change_members(through->node, change, members_done, asked);
}

/* ---- Joining ---- */

static void members_join_once(struct cluster_node *machine)
{
    struct cluster *cluster = machine->cluster;
    struct cluster_node *through = members_pick_running(cluster);
    struct membership_change change = {
        .kind = MEMBERSHIP_JOIN, .feature_level = DESCRIPTION_FEATURE_LEVEL_MAX, .role = MEMBERSHIP_VOTER};
    const uint8_t *cluster_id = cluster->description->cluster_id;
    int rc = through != NULL ? 0 : HF_ENOLEADER;
    if (!sim_host_is_running(machine->host)) {
        sim_host_start(machine->host);
    }
    memcpy(change.node.peer_address, machine->address, sizeof(machine->address));
    if (rc == 0) {
        rc = directory_join_begin(sim_host_io(machine->host), "/data", cluster_id, &change.incarnation);
    }
    if (rc == 0) {
        rc = joining_open(sim_host_io(machine->host), sim_host_loop(machine->host), cluster_id,
                          cluster->description->routing_version, change.incarnation, change.node.peer_address,
                          &machine->joining);
    }
    if (rc != 0) {
        sim_trace(cluster->sim, machine->host, "cannot ask yet: %s", hf_error_name(rc));
        sim_call_after(cluster->sim, CLUSTER_MEMBERS_RETRY_MS * CLUSTER_MS, members_join_again, machine);
        return;
    }
    members_ask(cluster, through, machine, &change);
}

static void members_join_again(void *arg)
{
    struct cluster_node *machine = arg;
    if (machine->cluster->phase != CLUSTER_OVER && machine->is_joining) {
        members_join_once(machine);
    }
}

static void members_join(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *machine = &cluster->nodes[i];
        if (machine->id == 0 && !machine->is_joining) {
            machine->is_joining = true;
            machine->may_be_member = false;
            machine->life++;
            members_join_once(machine);
            return;
        }
    }
}

/* ---- A wiped disk ---- */

bool cluster_members_may_lose(struct cluster *cluster, const struct cluster_node *victim)
{
    const struct cluster_node *reference = cluster_reference(cluster);
    const struct membership *membership = reference != NULL ? node_membership(reference->node) : NULL;
    if (membership == NULL || cluster->is_wiping || cluster->damage.node != NULL || !list_empty(&cluster->changes) ||
        victim->node == NULL || membership_voters(membership) < 3 ||
        membership_voters(membership) != membership->count) {
        return false;
    }
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node->is_joining || !cluster_relaxed_is_whole(node) ||
            (node->id != 0 && (node->node == NULL || node->node->phase != NODE_RUNNING))) {
            return false;
        }
        /* Everybody knows it by its incarnation: before that nobody can tell that it came back empty. */
        const struct membership_member *known =
            node->node != NULL ? membership_find(node_membership(node->node), victim->id) : NULL;
        if (node->node != NULL && (known == NULL || known->incarnation == 0 || node->node->members_retry_ms != 0)) {
            return false;
        }
        for (uint32_t g = 0; node->node != NULL && g <= cluster->plan->groups; g++) {
            struct replica_status status;
            if (node->node->groups[g].replica == NULL) {
                return false;
            }
            replica_status(node->node->groups[g].replica, &status);
            bool is_whole = status.member_count == membership->count && !status.is_changing;
            /* A change whose outcome nobody was told may still come into force, and take the vote that is needed. */
            is_whole = is_whole && (g > 0 || status.last_index == status.applied_index);
            for (unsigned k = 0; k < status.member_count; k++) {
                is_whole = is_whole && status.members[k].role == REPLICA_ROLE_VOTER;
            }
            if (!is_whole || node->node->groups[g].is_failed) {
                return false;
            }
        }
    }
    return true;
}

static void members_remove_wiped(void *arg)
{
    struct cluster_node *node = arg;
    struct cluster *cluster = node->cluster;
    struct membership_change change = {.kind = MEMBERSHIP_ROLE, .node = {.id = node->id}, .role = MEMBERSHIP_LEAVING};
    struct cluster_node *through = members_pick_running(cluster);
    if (cluster->phase == CLUSTER_OVER || !node->is_wiped) {
        return;
    }
    if (node->node != NULL && node->node->groups[0].state == REPLICA_LEADER) {
        cluster_violate(cluster, "the wiped node %" PRIu64 " leads", node->id);
    }
    if (through == NULL || membership_find(node_membership(through->node), node->id) == NULL ||
        membership_find(node_membership(through->node), node->id)->role == MEMBERSHIP_LEAVING) {
        sim_call_after(cluster->sim, CLUSTER_MEMBERS_RETRY_MS * CLUSTER_MS, members_remove_wiped, node);
        return;
    }
    members_ask(cluster, through, node, &change);
}

/* Under its old name again, as somebody who does not know better would do it. */
static int members_format_as(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    struct io *io = sim_host_io(node->host);
    if (description_node(cluster->description, node->id) != NULL) {
        return directory_format(io, "/data", cluster->description, node->id);
    }
    struct membership *membership = memory_new(sizeof(*membership));
    *membership = *node_membership(cluster_reference(cluster)->node);
    for (uint32_t i = 0; i < membership->count; i++) {
        if (membership->members[i].node.id == node->id) {
            membership->members[i].incarnation = 7;
        }
    }
    int rc = directory_join_finish(io, "/data", cluster->description, membership, node->id, 7);
    free(membership);
    return rc;
}

/* Formatted anew with the description, a node asks whom that names. Of a cluster that began as one node it names that
 * node alone, which is then a whole cluster to itself (docs/guarantees.md); and where all others that it names have
 * left, nobody is there to tell it. */
static bool members_may_hear(const struct cluster *cluster, const struct cluster_node *victim)
{
    if (description_node(cluster->description, victim->id) == NULL) {
        return true; /* it joined, and is formatted with the members of today */
    }
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node != victim && node->id != 0 && description_node(cluster->description, node->id) != NULL &&
            cluster_is_member(cluster, node)) {
            return true;
        }
    }
    return false;
}

void cluster_trouble_wipe(struct cluster *cluster, struct cluster_node *victim)
{
    if (cluster->plan->nodes == 1 || !cluster_members_may_lose(cluster, victim) || !members_may_hear(cluster, victim)) {
        return;
    }
    cluster_count(cluster, CLUSTER_EVENT_WIPED);
    sim_trace(cluster->sim, victim->host, "loses its disk");
    cluster->is_wiping = true;
    victim->is_wiped = true;
    sim_host_power_off(victim->host);
    cluster_node_bury(victim);
    sim_disk_wipe(victim->host);
    sim_disk_fail_clear(victim->host);
    sim_disk_set_capacity(victim->host, 0);
    sim_disk_cut_at(victim->host, 0, SIM_CUT_AFTER);
    for (uint32_t g = 0; g < CLUSTER_ALL_GROUPS_MAX; g++) {
        victim->held[g] = victim->durable[g] > victim->claimed[g] ? victim->durable[g] : victim->claimed[g];
    }
    cluster_relaxed_wiped(victim);
    memset(victim->durable, 0, sizeof(victim->durable));
    memset(victim->durable_term, 0, sizeof(victim->durable_term));
    sim_host_start(victim->host);
    victim->life++; /* the restart of the buried one is void */
    if (members_format_as(victim) == 0) {
        cluster_node_start(victim);
    }
    sim_call_after(cluster->sim, (500 + rng_below(cluster->rng, 2000)) * CLUSTER_MS, members_remove_wiped, victim);
}

/* ---- Trouble ---- */

void cluster_trouble_members(struct cluster *cluster, struct cluster_node *subject)
{
    struct cluster_node *through = members_pick_running(cluster);
    struct membership_change change = {.kind = MEMBERSHIP_ROLE, .node = {.id = subject->id}};
    if (through == NULL || cluster->is_wiping || cluster_damage_needs_others(cluster) ||
        !cluster_relaxed_may_change_members(cluster)) {
        return;
    }
    uint64_t dice = rng_below(cluster->rng, 10);
    if (dice < 4) {
        members_join(cluster);
        return;
    }
    if (subject->id == 0) {
        return;
    }
    change.role = dice < 6 ? MEMBERSHIP_STANDBY : dice < 8 ? MEMBERSHIP_VOTER : MEMBERSHIP_LEAVING;
    change.is_forced = rng_chance(cluster->rng, 1, 5);
    members_ask(cluster, through, NULL, &change);
}

/* At the end of a run, when every node was closed. */
void cluster_members_close(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        joining_close(cluster->nodes[i].joining);
        cluster->nodes[i].joining = NULL;
    }
    list_each_safe (&cluster->changes, item) {
        list_remove(item);
        free(list_entry(item, struct cluster_change, link));
    }
}
