/* Nodes that acknowledge before the device has the bytes (log.sync_policy interval and none), and what the harness
 * knows of what they may have lost. A node is
 *
 *   relaxed      its data directory carries the mark: a power loss may take what it acknowledged
 *   forgetful    it may have lost something, or believes so, and is not known to be whole again
 *   doomed       something is planned that will make it forgetful, at a moment of its own
 *
 * What it said that it has, before, is its claim: its leader goes by it until the two have met again.
 *
 * The promise (docs/guarantees.md, P1) holds while a majority of a group's voters is neither: the power goes, and
 * processes end that their next start takes for a power loss, only where that stays so, and nobody's vote is given or
 * taken away meanwhile. Then everything is checked as under the strict policies: nothing acknowledged is lost, and the
 * cluster goes on.
 *
 * In runs that may lose a majority all power goes at once. Then nobody may lead, nothing is lost, and an operator says
 * on one node after the other that what is lost is lost, until somebody leads. That leader may lack what was committed,
 * where a majority of those that vote lacks it (they are the ones that elected it), and from there on its log is the
 * log. A node that has no vote and knew of more must close the group. */
#include <inttypes.h>
#include <string.h>

#include "cluster/cluster_world.h"

static bool relaxed_is_policy(enum hf_log_sync_policy policy)
{
    return policy == HF_LOG_SYNC_INTERVAL || policy == HF_LOG_SYNC_NONE;
}

static bool relaxed_is_planned(const struct cluster_node *node)
{
    return node->cluster->plan->relaxed_percent > 0;
}

/* ---- starts and stops ---- */

/* The kernel tells its lives apart by the mount alone here: the file is the same after a loss of power. */
static int relaxed_write_boot(struct io *io)
{
    static const char *const folders[] = {"/proc", "/proc/sys", "/proc/sys/kernel", "/proc/sys/kernel/random"};
    struct file *file = NULL;
    int rc = 0;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && rc == 0; i++) {
        rc = directory_create(io, folders[i]);
        rc = rc == HF_EEXISTS ? 0 : rc;
        rc = rc == 0 ? directory_sync(io, i == 0 ? "/" : folders[i - 1]) : rc;
    }
    rc = rc == 0 ? file_open(io, "/proc/sys/kernel/random/boot_id", FILE_WRITE | FILE_CREATE, &file) : rc;
    rc = rc == 0 ? file_write(file, 0, "3a0e3f0e-6f2b-4b6e-9c57-0d7d5b7c0001\n", 37) : rc;
    rc = rc == 0 ? file_sync(file) : rc;
    rc = rc == 0 ? directory_sync(io, folders[3]) : rc;
    file_close(file);
    return rc;
}

void cluster_relaxed_prepare(struct cluster_node *node, struct node_options *options)
{
    struct cluster *cluster = node->cluster;
    if (!relaxed_is_planned(node)) {
        return;
    }
    if (!node->has_policy) {
        node->wants_boot = rng_chance(cluster->rng, 3, 4);
    }
    if (!node->has_policy || rng_chance(cluster->rng, 1, 8)) {
        /* What is planned for a strict node may be more than a relaxed one should meet now. */
        bool is_relaxed = rng_chance(cluster->rng, cluster->plan->relaxed_percent, 100) &&
                          (node->is_relaxed || !node->is_error_planned);
        node->policy = !is_relaxed                      ? HF_LOG_SYNC_BATCH
                       : rng_chance(cluster->rng, 1, 2) ? HF_LOG_SYNC_INTERVAL
                                                        : HF_LOG_SYNC_NONE;
        node->has_policy = true;
    }
    if (node->wants_boot && !node->has_boot) {
        node->has_boot = relaxed_write_boot(sim_host_io(node->host)) == 0;
    }
    node->is_relaxed = node->is_relaxed || relaxed_is_policy(node->policy);
    node->is_cut_planned = false; /* a start ends the plan */
    options->log.sync_policy = node->policy;
    options->log.sync_interval_ms = cluster->plan->sync_interval_ms;
    options->accept_lost_writes = node->accepts_loss;
    sim_trace(cluster->sim, node->host, "starts under policy %d, %s", (int)node->policy,
              node->is_forgetful ? "forgetful" : "whole");
}

void cluster_relaxed_started(struct cluster_node *node)
{
    const struct relaxed *relaxed = &node->node->relaxed;
    if (!relaxed_is_planned(node)) {
        return;
    }
    if (node->has_lost && !relaxed->was_marked) {
        cluster_violate(node->cluster, "node %u may have lost what it acknowledged, and does not know it",
                        node->position + 1);
    } else if (!node->is_forgetful && relaxed->was_marked) {
        cluster_violate(node->cluster, "node %u believes that it may have lost something, and did not",
                        node->position + 1);
    }
    node->is_forgetful = relaxed->was_marked;
    node->accepts_loss = false;
}

void cluster_relaxed_start_failed(struct cluster_node *node)
{
    if (!relaxed_is_planned(node) || !node->is_relaxed) {
        return;
    }
    bool has_failed = node->is_error_planned || !sim_host_is_running(node->host);
    node->has_lost = node->has_lost || has_failed;
    node->is_forgetful = node->is_forgetful || has_failed || !node->has_boot;
    node->is_error_planned = false;
}

static bool relaxed_is_rejoining(const struct node *node)
{
    for (uint32_t g = 0; g < node->groups_open && node->relaxed.is_open; g++) {
        const struct hosted_group *group = &node->groups[g];
        if (!group->has_rejoined && (group->replica == NULL || replica_is_rejoining(group->replica))) {
            return true;
        }
    }
    return false;
}

void cluster_relaxed_stops(struct cluster_node *node, bool has_power)
{
    struct hf_log_stat stat;
    if (!relaxed_is_planned(node) || node->node == NULL) {
        return;
    }
    const struct relaxed *relaxed = &node->node->relaxed;
    hf_log_stat(node->node->log, &stat);
    bool is_relaxed = relaxed_is_policy(node->policy);
    bool may_lose = !has_power || stat.failure != 0;
    node->is_relaxed = relaxed->has_mark;
    node->has_lost = relaxed_is_rejoining(node->node) || (is_relaxed && may_lose);
    node->is_forgetful = relaxed->is_open || (node->is_relaxed && (may_lose || !node->has_boot));
    if (node->is_error_planned && stat.failure != 0) {
        node->is_error_planned = false;
    }
    if (node->has_lost) {
        cluster_count(node->cluster, CLUSTER_EVENT_RELAXED_POWER_LOSS);
    } else if (is_relaxed && !node->is_forgetful) {
        cluster_count(node->cluster, CLUSTER_EVENT_RELAXED_KILL);
    }
}

/* The machine's disk is empty. */
void cluster_relaxed_wiped(struct cluster_node *node)
{
    node->is_relaxed = node->is_forgetful = node->has_lost = false;
    node->is_cut_planned = node->is_error_planned = false;
    node->has_boot = node->has_policy = false;
    memset(node->claimed, 0, sizeof(node->claimed));
    memset(node->claimed_term, 0, sizeof(node->claimed_term));
}

/* ---- what may go ---- */

bool cluster_relaxed_is_whole(const struct cluster_node *node)
{
    return !node->is_forgetful && !(node->is_relaxed && (node->is_cut_planned || node->is_error_planned));
}

bool cluster_relaxed_may_change_members(const struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        if (!cluster_relaxed_is_whole(&cluster->nodes[i])) {
            return false;
        }
    }
    return true;
}

static bool relaxed_is_counted(const struct cluster *cluster, const struct cluster_node *victim, uint64_t id)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node->id == id) {
            return node != victim && !node->is_wiped && cluster->damage.node != node && cluster_relaxed_is_whole(node);
        }
    }
    return false;
}

static bool relaxed_has_majority(const struct cluster *cluster, const struct cluster_node *victim,
                                 const struct replica_member *members, unsigned count)
{
    unsigned voters = 0;
    unsigned whole = 0;
    for (unsigned i = 0; i < count; i++) {
        if (members[i].role == REPLICA_ROLE_VOTER) {
            voters++;
            whole += relaxed_is_counted(cluster, victim, members[i].node_id);
        }
    }
    return voters == 0 || whole > voters / 2;
}

/* Nobody's vote is on its way, neither to nor from somebody. */
static bool relaxed_are_members_settled(const struct cluster *cluster)
{
    const struct cluster_node *reference = cluster_reference(cluster);
    if (reference == NULL || cluster->is_change_unsure || !list_empty(&cluster->changes)) {
        return false;
    }
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        for (uint32_t g = 0; node->node != NULL && g <= cluster->plan->groups; g++) {
            if (node->node->groups[g].replica == NULL ||
                !cluster_is_reconciled(node_membership(reference->node), &node->node->groups[g])) {
                return false;
            }
        }
    }
    return true;
}

/* As long as a change may come into force of which nobody was told: until every member runs and has applied all that
 * there is. */
static void relaxed_look_at_changes(struct cluster *cluster)
{
    bool is_over = cluster->is_change_unsure;
    for (uint32_t i = 0; i < cluster->machines && is_over; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        struct replica_status status = {0};
        bool is_running = node->node != NULL && node->node->groups[0].replica != NULL;
        if (is_running) {
            replica_status(node->node->groups[0].replica, &status);
        }
        is_over = node->id == 0 || (is_running && status.last_index == status.applied_index);
    }
    cluster->is_change_unsure = cluster->is_change_unsure && !is_over;
}

void cluster_relaxed_look(struct cluster *cluster)
{
    relaxed_look_at_changes(cluster);
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (node->is_forgetful && node->node != NULL && node->node->phase == NODE_RUNNING &&
            !node->node->relaxed.is_open) {
            sim_trace(cluster->sim, node->host, "is whole again");
            cluster_count(cluster, CLUSTER_EVENT_REJOINED);
            node->is_forgetful = node->has_lost = false;
        }
    }
}

/* By every configuration that some node goes by. */
static bool relaxed_leaves_majorities(const struct cluster *cluster, const struct cluster_node *victim)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        for (uint32_t g = 0; g <= cluster->plan->groups && node->id != 0; g++) {
            struct replica_status status;
            bool is_running = node->node != NULL && node->node->groups[g].replica != NULL;
            if (is_running) {
                replica_status(node->node->groups[g].replica, &status);
            }
            if (is_running ? !relaxed_has_majority(cluster, victim, status.members, status.member_count)
                           : !relaxed_has_majority(cluster, victim, node->members[g], node->member_count[g])) {
                return false;
            }
        }
    }
    return true;
}

bool cluster_relaxed_may_forget(const struct cluster_node *node)
{
    return !relaxed_is_planned(node) || !node->is_relaxed || node->is_wiped ||
           (relaxed_are_members_settled(node->cluster) && relaxed_leaves_majorities(node->cluster, node));
}

bool cluster_relaxed_may_kill(const struct cluster_node *node)
{
    bool is_seen_through = node->has_boot && !node->is_error_planned;
    return is_seen_through || cluster_relaxed_may_forget(node);
}

/* ---- a majority lost its power ---- */

static struct replica *relaxed_replica(const struct cluster *cluster, uint64_t id, uint64_t group,
                                       struct cluster_node **out)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = (struct cluster_node *)&cluster->nodes[i];
        if (node->id == id && node->node != NULL) {
            *out = node;
            return node->node->groups[group - 1].replica;
        }
    }
    return NULL;
}

/* A voter of the group without a vote, when those that have one are too few; NULL: they are not. */
static struct cluster_node *relaxed_find_short(struct cluster *cluster, const struct cluster_node *witness,
                                               uint64_t group)
{
    struct replica_status status;
    struct cluster_node *found = NULL;
    unsigned voters = 0;
    unsigned voting = 0;
    replica_status(witness->node->groups[group - 1].replica, &status);
    uint64_t first = rng_below(cluster->rng, status.member_count + 1);
    for (unsigned k = 0; k < status.member_count; k++) {
        const struct replica_member *member = &status.members[(first + k) % status.member_count];
        struct cluster_node *node = NULL;
        struct replica *replica = relaxed_replica(cluster, member->node_id, group, &node);
        if (member->role == REPLICA_ROLE_VOTER) {
            bool is_rejoining = replica != NULL && replica_is_rejoining(replica);
            voters++;
            voting += replica != NULL && !is_rejoining;
            found = is_rejoining ? node : found;
        }
    }
    return voting <= voters / 2 ? found : NULL;
}

bool cluster_relaxed_accept(struct cluster *cluster)
{
    struct cluster_node *found = NULL;
    for (uint32_t i = 0; i < cluster->machines && found == NULL && cluster->plan->may_lose_majority; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        for (uint32_t g = 0; node->node != NULL && g <= cluster->plan->groups && found == NULL; g++) {
            if (node->node->groups[g].replica != NULL && node->node->groups[g].leader == 0) {
                found = relaxed_find_short(cluster, node, g + 1);
            }
        }
    }
    if (found == NULL) {
        return false;
    }
    sim_trace(cluster->sim, found->host, "what it lost is lost");
    cluster_count(cluster, CLUSTER_EVENT_LOSS_ACCEPTED);
    cluster->accepted_clock = cluster->accepted_clock != 0 ? cluster->accepted_clock : cluster->clock + 1;
    found->accepts_loss = true;
    cluster_node_kill(found); /* it starts again soon */
    return true;
}

bool cluster_relaxed_is_left_behind(struct cluster_node *node, uint32_t g)
{
    const struct hosted_group *group = node->node != NULL ? &node->node->groups[g] : NULL;
    bool is_closed = group != NULL && node->cluster->accepted_clock != 0 && node->is_forgetful && group->is_failed &&
                     strstr(group->text, "conflicts with what is committed here") != NULL;
    if (is_closed && !node->is_left_behind[g]) {
        node->is_left_behind[g] = true;
        cluster_count(node->cluster, CLUSTER_EVENT_LEFT_BEHIND);
    }
    return is_closed;
}

bool cluster_relaxed_may_lack(const struct cluster_node *leader, uint64_t group, uint64_t index, uint64_t term)
{
    struct replica_status status;
    unsigned voters = 0;
    unsigned lacking = 0;
    if (leader->cluster->accepted_clock == 0) {
        return false;
    }
    replica_status(leader->node->groups[group - 1].replica, &status);
    for (unsigned k = 0; k < status.member_count; k++) {
        struct cluster_node *node = NULL;
        struct replica *replica = relaxed_replica(leader->cluster, status.members[k].node_id, group, &node);
        struct hf_log_group_state state = {0};
        uint64_t own = 0;
        voters += status.members[k].role == REPLICA_ROLE_VOTER;
        if (status.members[k].role != REPLICA_ROLE_VOTER || replica == NULL || replica_is_rejoining(replica)) {
            continue;
        }
        (void)hf_log_group_state(node->node->log, group, &state);
        bool has_it =
            index + 1 < state.first_index || (hf_log_term(node->node->log, group, index, &own) == 0 && own == term);
        lacking += !has_it;
    }
    return lacking > voters / 2;
}
