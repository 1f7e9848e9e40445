/* What goes wrong in a run: troubles at random times, and dramas: short sequences that put a node into the state in
 * which a certain mistake shows, since chance alone would need thousands of seeds for it. */
#include <inttypes.h>
#include <string.h>

#include "cluster/cluster_world.h"
#include "node/fetch.h"

static void trouble_schedule_next(struct cluster_schedule *schedule);

static void trouble_schedule_due(void *arg)
{
    struct cluster_schedule *schedule = arg;
    struct cluster *cluster = schedule->cluster;
    if (cluster->phase == CLUSTER_TROUBLE) {
        schedule->trouble(cluster, &cluster->nodes[rng_below(cluster->rng, cluster->machines)]);
        trouble_schedule_next(schedule);
    }
}

static void trouble_schedule_next(struct cluster_schedule *schedule)
{
    uint64_t delay_ms = schedule->gap_ms / 4 + rng_below(schedule->cluster->rng, schedule->gap_ms * 3 / 2 + 1);
    sim_call_after(schedule->cluster->sim, delay_ms * CLUSTER_MS, trouble_schedule_due, schedule);
}

static void trouble_kill(struct cluster *cluster, struct cluster_node *node)
{
    if (node->node != NULL && cluster_relaxed_may_kill(node)) {
        cluster_count(cluster, CLUSTER_EVENT_KILL);
        cluster_node_kill(node);
    }
}

static void trouble_power(struct cluster *cluster, struct cluster_node *node)
{
    if (node->node != NULL && cluster_relaxed_may_forget(node)) {
        cluster_count(cluster, CLUSTER_EVENT_POWER_LOSS);
        cluster_node_power_off(node);
    }
}

static void trouble_cut(struct cluster *cluster, struct cluster_node *node)
{
    if (node->node != NULL && cluster_relaxed_may_forget(node)) {
        node->is_cut_planned = node->is_relaxed;
        sim_disk_cut_at(node->host, 1 + rng_below(cluster->rng, 30),
                        rng_chance(cluster->rng, 1, 2) ? SIM_CUT_DURING : SIM_CUT_AFTER);
    }
}

static void trouble_blackout(struct cluster *cluster, struct cluster_node *ignored)
{
    cluster_count(cluster, CLUSTER_EVENT_BLACKOUT);
    for (uint32_t i = 0; i < cluster->machines; i++) {
        if (cluster->nodes[i].node != NULL && cluster->plan->may_lose_majority) {
            cluster_node_power_off(&cluster->nodes[i]);
        } else if (cluster->nodes[i].node != NULL) {
            cluster_node_cut_down(&cluster->nodes[i]);
        }
    }
}

static void trouble_io_error(struct cluster *cluster, struct cluster_node *node)
{
    static const enum sim_disk_kind kinds[] = {SIM_DISK_WRITE, SIM_DISK_DURABLE, SIM_DISK_SYNC,
                                               SIM_DISK_DIRECTORY_SYNC};
    struct sim_disk_failure failure = {kinds[rng_below(cluster->rng, 4)], rng_below(cluster->rng, 20), 1, HF_EIO,
                                       "log"};
    if (node->id == 0 || !cluster_relaxed_may_forget(node)) {
        return;
    }
    node->is_error_planned = true;
    sim_disk_fail_clear(node->host);
    sim_disk_fail(node->host, &failure);
}

static void trouble_space_returns(void *arg)
{
    struct cluster_node *node = arg;
    sim_disk_set_capacity(node->host, 0);
    sim_trace(node->cluster->sim, node->host, "has space again");
}

static void trouble_full(struct cluster *cluster, struct cluster_node *node)
{
    if (node->id == 0) {
        return;
    }
    sim_trace(cluster->sim, node->host, "is full");
    sim_disk_set_capacity(node->host, sim_disk_used_bytes(node->host) + rng_below(cluster->rng, 512 << 10) + 1);
    sim_call_after(cluster->sim, (500 + rng_below(cluster->rng, 3000)) * CLUSTER_MS, trouble_space_returns, node);
}

static void trouble_transfer(struct cluster *cluster, struct cluster_node *ignored)
{
    uint64_t group = 1 + rng_below(cluster->rng, cluster->plan->groups + 1);
    uint64_t target = rng_below(cluster->rng, cluster->machines + 1); /* 0: any */
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct node *node = cluster->nodes[i].node;
        if (node != NULL && node->phase == NODE_RUNNING && target != cluster->nodes[i].id &&
            node_transfer(node, group, target) == 0) {
            cluster_count(cluster, CLUSTER_EVENT_TRANSFER);
        }
    }
}

/* ---- Dramas ---- */

/* Somebody who leads a routed group; NULL when there is none. */
static struct cluster_node *trouble_find_leader(struct cluster *cluster)
{
    uint32_t first = (uint32_t)rng_below(cluster->rng, cluster->plan->groups);
    for (uint32_t i = 0; i < cluster->plan->groups; i++) {
        uint32_t g = 1 + (first + i) % cluster->plan->groups;
        for (uint32_t n = 0; n < cluster->machines; n++) {
            struct cluster_node *node = &cluster->nodes[n];
            if (node->node != NULL && node->node->groups[g].state == REPLICA_LEADER) {
                cluster->drama_group = g + 1;
                return node;
            }
        }
    }
    return NULL;
}

static void trouble_ticket_power_off(void *arg)
{
    struct cluster_node *node = cluster_ticket_take(arg);
    if (node != NULL && node->node != NULL) {
        cluster_node_cut_down(node);
    }
}

static void trouble_isolation_ends(void *arg)
{
    struct cluster *cluster = arg;
    if (cluster->isolated != NULL) {
        cluster->isolated = NULL;
        sim_network_heal(cluster->sim);
    }
}

/* A leader alone with a disk that finishes nothing: what it appended is in flight when the next leader overwrites it.
 * It is heard again as soon as there is one, while the third node has no power, so that its word counts. */
static void trouble_isolate_leader(struct cluster *cluster)
{
    struct cluster_node *leader = trouble_find_leader(cluster);
    if (leader == NULL || cluster->plan->nodes < 3 || cluster->isolated != NULL) {
        return;
    }
    cluster_count(cluster, CLUSTER_EVENT_ISOLATED_LEADER);
    sim_trace(cluster->sim, leader->host, "is isolated with a stuck disk");
    cluster->isolated = leader;
    cluster->isolated_ends_early = true;
    sim_network_partition(cluster->sim, &leader->host, 1);
    sim_disk_stall(leader->host, (600 + rng_below(cluster->rng, 900)) * CLUSTER_MS);
    sim_call_after(cluster->sim, 2500 * CLUSTER_MS, trouble_isolation_ends, cluster);
    cluster_clients_rush(cluster, leader->position, cluster->drama_group);
}

void cluster_trouble_led(struct cluster_node *node, uint64_t group)
{
    struct cluster *cluster = node->cluster;
    struct cluster_node *isolated = cluster->isolated;
    if (isolated == NULL || isolated == node || cluster->phase != CLUSTER_TROUBLE || isolated->node == NULL) {
        return;
    }
    if (isolated->seen[group - 1].state == REPLICA_LEADER) {
        cluster_clients_probe(cluster, group, node->position, isolated->position);
    }
    if (!cluster->isolated_ends_early || group != cluster->drama_group) {
        return;
    }
    /* What it is about to overwrite ends when the stall does; what replaces it, well after that. */
    sim_disk_stall(isolated->host, (1000 + rng_below(cluster->rng, 1000)) * CLUSTER_MS);
    sim_call_after(cluster->sim, rng_below(cluster->rng, 5 * CLUSTER_MS), trouble_isolation_ends, cluster);
    for (uint32_t i = 0; i < cluster->machines; i++) {
        if (&cluster->nodes[i] != isolated && &cluster->nodes[i] != node && cluster->nodes[i].node != NULL) {
            cluster_node_call_after(&cluster->nodes[i], rng_below(cluster->rng, 10 * CLUSTER_MS),
                                    trouble_ticket_power_off);
        }
    }
}

/* Two nodes that do not hear each other ask the third one for its vote, which loses its power after each answer. */
static void trouble_flap_ends(void *arg)
{
    struct cluster_node *node = arg;
    node->is_flapping = false;
    sim_network_heal(node->cluster->sim);
}

static void trouble_flap_voter(struct cluster *cluster)
{
    struct cluster_node *voter = trouble_find_leader(cluster);
    if (voter == NULL || cluster->plan->nodes < 3) {
        return;
    }
    struct sim_host *a = cluster->nodes[(voter->position + 1) % cluster->machines].host;
    struct sim_host *b = cluster->nodes[(voter->position + 2) % cluster->machines].host;
    cluster_count(cluster, CLUSTER_EVENT_FLAPPING_VOTER);
    sim_trace(cluster->sim, voter->host, "flaps between two that do not hear each other");
    sim_link_cut(a, b);
    sim_link_cut(b, a);
    voter->is_flapping = true;
    cluster_node_cut_down(voter);
    sim_call_after(cluster->sim, (1200 + rng_below(cluster->rng, 800)) * CLUSTER_MS, trouble_flap_ends, voter);
}

/* The vote that changed the term is on its way to the disk: it gets there late, or not at all. */
void cluster_trouble_term_changed(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    if (!node->is_flapping || cluster->phase != CLUSTER_TROUBLE) {
        return;
    }
    sim_disk_stall(node->host, 60 * CLUSTER_MS);
    cluster_node_call_after(node, (5 + rng_below(cluster->rng, 40)) * CLUSTER_MS, trouble_ticket_power_off);
}

/* A leader that stands still while another one is elected, and then answers what had arrived. */
static void trouble_pause_leader(struct cluster *cluster)
{
    struct cluster_node *leader = trouble_find_leader(cluster);
    uint64_t lasts_ns = (600 + rng_below(cluster->rng, 1800)) * CLUSTER_MS;
    if (leader == NULL || cluster->isolated != NULL) {
        return;
    }
    cluster_count(cluster, CLUSTER_EVENT_PAUSED_LEADER);
    sim_host_pause(leader->host, lasts_ns);
    cluster->isolated = leader;
    cluster->isolated_ends_early = false;
    sim_call_after(cluster->sim, lasts_ns, trouble_isolation_ends, cluster);
}

static void trouble_deafen(void *arg)
{
    struct cluster *cluster = arg;
    for (uint32_t i = 0; i < cluster->machines && cluster->isolated != NULL; i++) {
        if (&cluster->nodes[i] != cluster->isolated) {
            sim_link_cut(cluster->nodes[i].host, cluster->isolated->host);
        }
    }
}

/* A leader that hands over and then hears nothing of it: it goes on believing in itself for a while. */
static void trouble_deaf_leader(struct cluster *cluster)
{
    struct cluster_node *leader = trouble_find_leader(cluster);
    if (leader == NULL || cluster->plan->nodes < 3 || leader->node->phase != NODE_RUNNING ||
        cluster->isolated != NULL) {
        return;
    }
    for (uint32_t g = 0; g <= cluster->plan->groups; g++) {
        (void)node_transfer(leader->node, g + 1, 0);
    }
    cluster_count(cluster, CLUSTER_EVENT_DEAF_LEADER);
    sim_trace(cluster->sim, leader->host, "hands over and hears nothing any more");
    cluster->isolated = leader;
    cluster->isolated_ends_early = false;
    sim_call_after(cluster->sim, rng_below(cluster->rng, 2 * CLUSTER_MS), trouble_deafen, cluster);
    sim_call_after(cluster->sim, (300 + rng_below(cluster->rng, 700)) * CLUSTER_MS, trouble_isolation_ends, cluster);
}

static void trouble_blackout_due(void *arg)
{
    struct cluster *cluster = arg;
    if (cluster->phase == CLUSTER_TROUBLE) {
        trouble_blackout(cluster, NULL);
    }
}

/* Killed with writes in flight, started at once, and without power soon after: what the second process believed to be
 * durable must have been. */
static void trouble_kill_twice(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (node->node == NULL || !cluster_relaxed_may_kill(node)) {
            continue;
        }
        cluster_count(cluster, CLUSTER_EVENT_KILLED_TWICE);
        node->is_flapping = true; /* a short way down */
        cluster_node_kill(node);
        node->is_flapping = false;
    }
    sim_call_after(cluster->sim, (60 + rng_below(cluster->rng, 1500)) * CLUSTER_MS, trouble_blackout_due, cluster);
}

static void trouble_drama(struct cluster *cluster, struct cluster_node *ignored)
{
    static void (*const dramas[])(struct cluster *) = {trouble_isolate_leader, trouble_flap_voter, trouble_pause_leader,
                                                       trouble_kill_twice, trouble_deaf_leader};
    dramas[rng_below(cluster->rng, 5)](cluster);
}

/* ---- Installs ---- */

/* The others are kept busy meanwhile. */
static void trouble_lag_push(void *arg)
{
    struct cluster *cluster = arg;
    struct cluster_node *leader = trouble_find_leader(cluster);
    if (cluster->phase == CLUSTER_TROUBLE && cluster->is_lagging && cluster->isolated != NULL) {
        if (leader != NULL && leader != cluster->isolated) {
            cluster_clients_rush(cluster, leader->position, cluster->drama_group);
        }
        sim_call_after(cluster->sim, 40 * CLUSTER_MS, trouble_lag_push, cluster);
    } else {
        cluster->is_lagging = false;
    }
}

/* A follower that hears nothing while the others go on: what it lacks is compacted when it comes back. */
static void trouble_lag(struct cluster *cluster, struct cluster_node *node)
{
    struct cluster_node *leader = trouble_find_leader(cluster);
    if (leader == NULL || leader == node || node->id == 0 || cluster->plan->nodes < 3 || cluster->isolated != NULL ||
        cluster->is_lagging) {
        return;
    }
    cluster_count(cluster, CLUSTER_EVENT_LAGGING_FOLLOWER);
    sim_trace(cluster->sim, node->host, "hears nothing for a while");
    cluster->isolated = node;
    cluster->isolated_ends_early = false;
    sim_network_partition(cluster->sim, &node->host, 1);
    sim_call_after(cluster->sim, (1500 + rng_below(cluster->rng, 2500)) * CLUSTER_MS, trouble_isolation_ends, cluster);
    cluster->is_lagging = true;
    trouble_lag_push(cluster);
}

/* One of the two sides of an install, or what is between them. */
static void trouble_interrupt_one(struct cluster *cluster, struct cluster_node *node, uint64_t source_id)
{
    struct cluster_node *source = NULL;
    for (uint32_t i = 0; i < cluster->machines; i++) {
        source = cluster->nodes[i].id == source_id ? &cluster->nodes[i] : source;
    }
    if (source == NULL) {
        return; /* it was removed meanwhile */
    }
    cluster_count(cluster, CLUSTER_EVENT_INSTALL_INTERRUPTED);
    sim_trace(cluster->sim, node->host, "is interrupted while it fetches from node %" PRIu64, source_id);
    switch (rng_below(cluster->rng, 6)) {
    case 0:
    case 1:
        sim_link_reset(node->host, source->host);
        break;
    case 2:
        if (cluster_relaxed_may_kill(node)) {
            cluster_node_kill(node);
        }
        break;
    case 3:
        cluster_node_cut_down(node);
        break;
    case 4:
        if (cluster_relaxed_may_forget(node)) {
            node->is_cut_planned = node->is_relaxed;
            sim_disk_cut_at(node->host, 1 + rng_below(cluster->rng, 20),
                            rng_chance(cluster->rng, 1, 2) ? SIM_CUT_DURING : SIM_CUT_AFTER);
        }
        break;
    default:
        if (source->node != NULL && cluster_relaxed_may_kill(source)) {
            cluster_node_kill(source);
        }
        break;
    }
}

/* After every event: a fetch is short, so a timer would miss it, above all the part with some of it on the disk. */
void cluster_trouble_look(struct cluster *cluster)
{
    uint64_t one_of = cluster->plan->interrupt_events;
    for (uint32_t i = 0; i < cluster->machines && one_of > 0 && cluster->phase == CLUSTER_TROUBLE; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        struct fetch_status fetch;
        if (node->node == NULL || node->node->fetch_count == 0 || fetch_status(node->node, 0, &fetch) != 0) {
            continue;
        }
        bool has_some = fetch.phase == FETCH_RECEIVING && fetch.bytes_done > 16384;
        if (rng_chance(cluster->rng, 1, has_some ? 1 + one_of / 20 : one_of)) {
            trouble_interrupt_one(cluster, node, fetch.node_id);
        }
    }
}

void cluster_trouble_start(struct cluster *cluster)
{
    const struct cluster_plan *plan = cluster->plan;
    const struct cluster_schedule rows[CLUSTER_TROUBLES] = {
        {cluster, plan->kill_gap_ms, trouble_kill},
        {cluster, plan->power_gap_ms, trouble_power},
        {cluster, plan->cut_gap_ms, trouble_cut},
        {cluster, plan->io_error_gap_ms, trouble_io_error},
        {cluster, plan->full_gap_ms, trouble_full},
        {cluster, plan->transfer_gap_ms, trouble_transfer},
        {cluster, plan->blackout_gap_ms, trouble_blackout},
        {cluster, plan->drama_gap_ms, trouble_drama},
        {cluster, plan->member_gap_ms, cluster_trouble_members},
        {cluster, plan->wipe_gap_ms, cluster_trouble_wipe},
        {cluster, plan->lag_gap_ms, trouble_lag},
        {cluster, plan->damage_gap_ms, cluster_trouble_damage},
    };
    memcpy(cluster->schedules, rows, sizeof(rows));
    for (uint32_t i = 0; i < CLUSTER_TROUBLES; i++) {
        if (rows[i].gap_ms != 0) {
            trouble_schedule_next(&cluster->schedules[i]);
        }
    }
}
