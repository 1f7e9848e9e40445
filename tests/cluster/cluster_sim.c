#include "cluster/cluster_sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/trace.h"
#include "cluster/cluster_world.h"
#include "node/directory.h"

#define CLUSTER_MATCH_GAP_MS 250u
#define CLUSTER_MATCH_DEPTH  200u
/* A removal that is still under way takes a change in each group, handing over, and up to twice
 * MEMBERS_ASK_INTERVAL_MS until the removed node has asked. */
#define CLUSTER_SETTLE_MAX_MS 10000u
#define CLUSTER_STEPS_MAX     20000000u

const char *cluster_event_name(enum cluster_event event)
{
    static const char *const names[CLUSTER_EVENT_COUNT] = {
        "kill",
        "power_loss",
        "power_cut_in_operation",
        "blackout",
        "io_error_stopped_node",
        "no_space",
        "transfer",
        "leader_changed",
        "forwarded",
        "indeterminate",
        "refused",
        "expired",
        "truncated",
        "isolated_leader",
        "flapping_voter",
        "paused_leader",
        "killed_twice",
        "deaf_leader",
        "lagging_follower",
        "snapshot",
        "compacted",
        "installed",
        "install_interrupted",
        "install_resumed",
        "started_from_snapshot",
        "snapshot_damaged",
        "snapshot_fell_back",
        "snapshot_of_others",
        "system_snapshot",
        "system_compacted",
        "system_installed",
        "member_joined",
        "member_promoted",
        "member_demoted",
        "member_removed",
        "member_removed_by_force",
        "change_refused",
        "removed_node_stopped",
        "wiped",
        "relaxed_power_loss",
        "relaxed_kill",
        "relaxed_lost",
        "rejoined",
        "loss_accepted",
        "loss_met",
        "left_behind",
    };
    return names[event];
}

void cluster_violate(struct cluster *cluster, const char *format, ...)
{
    va_list args;
    if (cluster_is_violated(cluster)) {
        return;
    }
    va_start(args, format);
    vsnprintf(cluster->result->why, sizeof(cluster->result->why), format, args);
    va_end(args);
    sim_trace(cluster->sim, NULL, "VIOLATION: %s", cluster->result->why);
}

bool cluster_is_violated(const struct cluster *cluster)
{
    return cluster->result->why[0] != '\0';
}

void cluster_count(struct cluster *cluster, enum cluster_event event)
{
    cluster->result->events[event]++;
}

/* ---- Nodes ---- */

void cluster_node_call_after(struct cluster_node *node, uint64_t delay_ns, void (*call)(void *arg))
{
    struct cluster_ticket *ticket = memory_new(sizeof(*ticket));
    ticket->node = node;
    ticket->life = node->life;
    list_append(&node->cluster->tickets, &ticket->link);
    sim_call_after(node->cluster->sim, delay_ns, call, ticket);
}

/* Frees the ticket; NULL when its node has started or stopped meanwhile. */
struct cluster_node *cluster_ticket_take(struct cluster_ticket *ticket)
{
    struct cluster_node *node = ticket->node->life == ticket->life ? ticket->node : NULL;
    list_remove(&ticket->link);
    free(ticket);
    return node;
}

static void cluster_restart_due(void *arg)
{
    struct cluster_node *node = cluster_ticket_take(arg);
    if (node != NULL && node->node == NULL && node->id != 0) {
        cluster_node_start(node);
    }
}

static void cluster_node_restart_after(struct cluster_node *node, uint64_t delay_ms)
{
    cluster_node_call_after(node, delay_ms * CLUSTER_MS, cluster_restart_due);
}

/* The system group among them: what it holds is small, and what depends on it is not. */
static void cluster_node_count_system(struct cluster_node *node)
{
    struct hf_log_group_state state;
    const struct hosted_group *system = node->node->groups_open > 0 ? &node->node->groups[0] : NULL;
    if (system == NULL || hf_log_group_state(node->node->log, NODE_SYSTEM_GROUP, &state) != 0) {
        return;
    }
    node->cluster->result->events[CLUSTER_EVENT_SYSTEM_SNAPSHOT] += system->snapshots.index > 0;
    node->cluster->result->events[CLUSTER_EVENT_SYSTEM_COMPACTED] += state.first_index > 1;
    node->cluster->result->events[CLUSTER_EVENT_SYSTEM_INSTALLED] += state.snapshot_name_size > 0;
}

/* What the node did while it lived. */
static void cluster_node_count(struct cluster_node *node)
{
    struct cluster_result *result = node->cluster->result;
    struct node_counters counters;
    struct node_snapshot_status snapshots;
    node_counters(node->node, &counters);
    node_snapshot_status(node->node, &snapshots);
    result->events[CLUSTER_EVENT_FORWARDED] += counters.forwards_received;
    result->events[CLUSTER_EVENT_SNAPSHOT] += snapshots.taken;
    result->events[CLUSTER_EVENT_INSTALLED] += snapshots.installed;
    result->events[CLUSTER_EVENT_INSTALL_RESUMED] += snapshots.resumed;
    for (uint32_t g = 0; g < node->node->groups_open; g++) {
        struct hf_log_group_state state;
        if (hf_log_group_state(node->node->log, g + 1, &state) == 0 && state.first_index > 1) {
            cluster_count(node->cluster, CLUSTER_EVENT_COMPACTED);
        }
    }
    cluster_node_count_system(node);
}

/* The host is stopped already; what the process had taken in is answered as a closing node answers. */
static void cluster_node_bury_with(struct cluster_node *node, bool has_power)
{
    struct cluster *cluster = node->cluster;
    struct node *dead = node->node;
    cluster_relaxed_stops(node, has_power);
    cluster_oracle_node_stops(node);
    if (dead != NULL) {
        cluster_node_count(node);
    }
    node->node = NULL;
    node->life++;
    node_close(dead);
    cluster_clients_node_stopped(cluster, node->position);
    uint64_t down_ms =
        cluster->phase == CLUSTER_TROUBLE ? 20 + rng_below(cluster->rng, cluster->plan->down_max_ms) : 20;
    cluster_node_restart_after(node, down_ms);
}

void cluster_node_bury(struct cluster_node *node)
{
    cluster_node_bury_with(node, false);
}

void cluster_node_kill(struct cluster_node *node)
{
    sim_host_kill(node->host);
    cluster_node_bury_with(node, true);
}

void cluster_node_power_off(struct cluster_node *node)
{
    sim_host_power_off(node->host);
    cluster_node_bury(node);
}

/* The power goes, or only the process where that would be one too many. */
void cluster_node_cut_down(struct cluster_node *node)
{
    if (cluster_relaxed_may_forget(node)) {
        cluster_node_power_off(node);
    } else if (cluster_relaxed_may_kill(node)) {
        cluster_node_kill(node);
    }
}

static void cluster_exit_due(void *arg)
{
    struct cluster_node *node = cluster_ticket_take(arg);
    if (node != NULL && node->node != NULL) {
        cluster_node_kill(node);
    }
}

/* A process that must not go on ends: as soon as its turn is over. */
static void cluster_node_fatal(void *arg, int result, const char *text)
{
    struct cluster_node *node = arg;
    sim_trace(node->cluster->sim, node->host, "ends: %s: %s", hf_error_name(result), text);
    if (result == HF_EPOISONED || result == HF_EIO) {
        cluster_count(node->cluster, CLUSTER_EVENT_IO_ERROR_STOPPED_NODE);
    } else {
        cluster_violate(node->cluster, "node %u stopped: %s: %s", node->position + 1, hf_error_name(result), text);
    }
    cluster_node_call_after(node, 1000, cluster_exit_due);
}

void cluster_node_start(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    struct node_options options = {
        .directory = "/data",
        .log = {.segment_size_bytes = 1 << 20,
                .reserve_bytes = 1 << 20,
                .tail_cache_bytes = cluster->plan->tail_cache_bytes},
        .election_timeout_ms = CLUSTER_ELECTION_MS,
        .heartbeat_timeout_ms = CLUSTER_HEARTBEAT_MS,
        .request_timeout_ms = CLUSTER_REQUEST_MS,
        .log_here = cluster->plan->log_here,
        .snapshot = {.is_off = cluster->plan->snapshot_entries == 0,
                     .format = {.chunk_size_bytes = 4096},
                     .keep_latest = 2,
                     .entries = cluster->plan->snapshot_entries,
                     .log_bytes = UINT64_MAX,
                     .interval_ms = UINT64_MAX,
                     .sync_bytes = 8192,
                     .trail = cluster->plan->snapshot_trail},
    };
    static const struct node_callbacks callbacks = {.fatal = cluster_node_fatal};
    if (!sim_host_is_running(node->host)) {
        sim_host_start(node->host);
    }
    cluster_relaxed_prepare(node, &options);
    node->life++;
    node->owner = (struct cluster_machine_owner){cluster_oracle_applied, node};
    node->ops = cluster_machine_ops(&node->owner);
    int rc = node_open(sim_host_io(node->host), sim_host_loop(node->host), &options, &node->ops, &callbacks, node,
                       &node->node);
    sim_trace(cluster->sim, node->host, "starts: %s%s%s", hf_error_name(rc), rc != 0 ? ": " : "",
              rc != 0 ? hf_error_text() : "");
    if (rc == 0) {
        cluster_oracle_node_started(node);
        cluster_relaxed_started(node);
        cluster_damage_started(node);
        return;
    }
    node->node = NULL;
    if (rc == HF_EREMOVED) {
        cluster_node_retire(node);
        return;
    }
    if (rc != HF_EIO && rc != HF_ENOSPACE && rc != HF_ECLOSED && rc != HF_EPOISONED) {
        cluster_violate(cluster, "node %u does not start: %s: %s", node->position + 1, hf_error_name(rc),
                        hf_error_text());
    }
    cluster_relaxed_start_failed(node);
    sim_host_kill(node->host);
    node->life++;
    cluster_node_restart_after(node, 100);
}

static void cluster_open_nodes(struct cluster *cluster)
{
    struct description_node nodes[CLUSTER_NODES_MAX] = {0};
    cluster->machines = cluster->plan->nodes + cluster->plan->spares;
    for (uint32_t i = 0; i < cluster->machines; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%u", i + 1);
        cluster->nodes[i] = (struct cluster_node){.cluster = cluster, .position = i};
        snprintf(cluster->nodes[i].address, sizeof(cluster->nodes[i].address), "n%u:%d", i + 1, CLUSTER_PORT);
        struct sim_host_options options = {.direct_refused = rng_chance(cluster->rng, 1, 3)};
        cluster->nodes[i].host = sim_host_add(cluster->sim, name, &options);
        if (i < cluster->plan->nodes) {
            nodes[i].id = cluster->nodes[i].id = i + 1;
            memcpy(nodes[i].peer_address, cluster->nodes[i].address, sizeof(cluster->nodes[i].address));
        }
    }
    int rc = description_create(sim_host_io(cluster->nodes[0].host), nodes, cluster->plan->nodes, cluster->plan->groups,
                                &cluster->description);
    for (uint32_t i = 0; i < cluster->plan->nodes && rc == 0; i++) {
        rc = directory_format(sim_host_io(cluster->nodes[i].host), "/data", cluster->description, i + 1);
    }
    if (rc != 0) {
        cluster_violate(cluster, "formatting: %s", hf_error_text());
        return;
    }
    for (uint32_t i = 0; i < cluster->plan->nodes; i++) {
        cluster_node_start(&cluster->nodes[i]);
    }
}

/* ---- Plans ---- */

static uint32_t cluster_pick(struct rng *rng, uint32_t rare_ms, uint32_t common_ms)
{
    uint64_t dice = rng_below(rng, 3);
    return dice == 0 ? 0 : dice == 1 ? rare_ms : common_ms;
}

void cluster_plan_from_seed(uint64_t seed, struct cluster_plan *plan)
{
    struct rng rng;
    rng_seed(&rng, seed ^ 0x686f6c6466617374);
    uint64_t dice = rng_below(&rng, 10);
    *plan = (struct cluster_plan){.seed = seed};
    plan->nodes = dice < 1 ? 1 : dice < 3 ? 2 : 3;
    plan->groups = 1 + (uint32_t)rng_below(&rng, CLUSTER_GROUPS_MAX);
    if (rng_chance(&rng, 1, 2)) { /* few groups: more happens in each */
        plan->groups = 1 + plan->groups % 3;
    }
    plan->clients = 3 + (uint32_t)rng_below(&rng, CLUSTER_CLIENTS_MAX - 2);
    plan->think_ms = 2u << rng_below(&rng, 5);
    plan->duration_ms = 6000 + (uint32_t)rng_below(&rng, 6000);
    plan->profile = sim_profile_from_seed(rng_next(&rng));
    plan->kill_gap_ms = cluster_pick(&rng, 6000, 1500);
    plan->power_gap_ms = cluster_pick(&rng, 6000, 2000);
    plan->cut_gap_ms = cluster_pick(&rng, 6000, 2000);
    plan->io_error_gap_ms = cluster_pick(&rng, 8000, 3000);
    plan->full_gap_ms = cluster_pick(&rng, 8000, 3000);
    plan->transfer_gap_ms = cluster_pick(&rng, 2000, 400);
    plan->blackout_gap_ms = rng_chance(&rng, 1, 4) ? 4000 : 0;
    plan->down_max_ms = 100u << rng_below(&rng, 5);
    plan->ballast_percent = cluster_pick(&rng, 2, 10);
    plan->drama_gap_ms = cluster_pick(&rng, 3500, 1500);
    plan->tail_cache_bytes = rng_chance(&rng, 1, 2) ? 4096 : 4 << 20;
    plan->log_here = seed % 3 == 0;
    if (rng_chance(&rng, 4, 5)) {
        plan->snapshot_entries = 2u << rng_below(&rng, 6);
        plan->snapshot_trail = 1u << rng_below(&rng, 4);
        plan->lag_gap_ms = cluster_pick(&rng, 4000, 1500);
        plan->interrupt_events = cluster_pick(&rng, 400, 60);
    }
    plan->spares = (uint32_t)rng_below(&rng, CLUSTER_MACHINES_MAX - plan->nodes + 1);
    plan->member_gap_ms = cluster_pick(&rng, 2500, 700);
    plan->member_gap_ms = plan->member_gap_ms > 0 ? plan->member_gap_ms : 5000; /* in every schedule */
    plan->wipe_gap_ms = cluster_pick(&rng, 4000, 1500);
    plan->damage_gap_ms = plan->snapshot_entries > 0 ? cluster_pick(&rng, 2000, 600) : 0;
    if (seed % 4 == 3) {
        plan->relaxed_percent = rng_chance(&rng, 1, 2) ? 100 : 60;
        plan->sync_interval_ms = 5u << rng_below(&rng, 9);
    }
    if (seed % 16 == 15) {
        plan->may_lose_majority = true;
        plan->nodes = plan->nodes < 2 ? 3 : plan->nodes;
        plan->spares = plan->member_gap_ms = plan->wipe_gap_ms = plan->damage_gap_ms = 0;
        plan->blackout_gap_ms = plan->duration_ms / 2;
    }
}

/* ---- Running ---- */

/* Events until the condition holds or the time is over. */
static bool cluster_run_until(struct cluster *cluster, bool (*condition)(struct cluster *cluster), uint64_t limit_ms)
{
    uint64_t end_ns = sim_now_ns(cluster->sim) + limit_ms * CLUSTER_MS;
    uint64_t match_ns = sim_now_ns(cluster->sim);
    while (!cluster_is_violated(cluster) && sim_now_ns(cluster->sim) < end_ns) {
        if (condition != NULL && condition(cluster)) {
            return true;
        }
        if (!sim_step(cluster->sim) || cluster->result->steps++ > CLUSTER_STEPS_MAX) {
            cluster_violate(cluster, "%s",
                            cluster->result->steps > CLUSTER_STEPS_MAX ? "too many events: a loop without end"
                                                                       : "no event is left");
            break;
        }
        for (uint32_t i = 0; i < cluster->machines; i++) {
            struct cluster_node *node = &cluster->nodes[i];
            if (node->node != NULL && !sim_host_is_running(node->host)) {
                cluster_count(cluster, CLUSTER_EVENT_POWER_CUT_IN_OPERATION);
                cluster_node_power_off(node);
            }
        }
        cluster_oracle_look(cluster);
        cluster_trouble_look(cluster);
        cluster_damage_look(cluster);
        cluster_relaxed_look(cluster);
        if (sim_now_ns(cluster->sim) >= match_ns) {
            match_ns = sim_now_ns(cluster->sim) + CLUSTER_MATCH_GAP_MS * CLUSTER_MS;
            cluster_oracle_match_logs(cluster, CLUSTER_MATCH_DEPTH);
            cluster_members_look(cluster);
        }
    }
    return condition == NULL;
}

static bool cluster_is_final_done(struct cluster *cluster)
{
    return cluster->is_final_done;
}

static bool cluster_clients_are_done(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->plan->clients; i++) {
        if (cluster->clients[i].state != CLIENT_DONE) {
            return false;
        }
    }
    return true;
}

bool cluster_is_reconciled(const struct membership *membership, const struct hosted_group *group)
{
    struct replica_status status;
    replica_status(group->replica, &status);
    bool is_equal = status.member_count == membership->count && !status.is_changing;
    for (unsigned i = 0; i < status.member_count && is_equal; i++) {
        const struct membership_member *member = membership_find(membership, status.members[i].node_id);
        is_equal =
            member != NULL && (member->role == MEMBERSHIP_VOTER) == (status.members[i].role == REPLICA_ROLE_VOTER);
    }
    return is_equal;
}

/* Nothing about the members is under way, and nobody runs who is no member. */
static bool cluster_has_settled_members(struct cluster *cluster, const struct cluster_node *reference)
{
    const struct membership *membership = node_membership(reference->node);
    if (cluster->is_wiping || !list_empty(&cluster->changes)) {
        return false;
    }
    for (uint32_t i = 0; i < membership->count; i++) {
        if (membership->members[i].role == MEMBERSHIP_LEAVING) {
            return false;
        }
    }
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        if (node->is_joining || (node->id != 0 && (node->node == NULL || !cluster_is_member(cluster, node)))) {
            return false;
        }
    }
    return true;
}

/* Every group is led, its configuration is what the members agreed on, and every replica has applied the same. */
static bool cluster_is_settled(struct cluster *cluster)
{
    const struct cluster_node *reference = cluster_reference(cluster);
    if (reference == NULL || !cluster_has_settled_members(cluster, reference)) {
        return false;
    }
    for (uint32_t g = 0; g <= cluster->plan->groups; g++) {
        uint32_t leaders = 0;
        uint64_t applied = UINT64_MAX;
        for (uint32_t i = 0; i < cluster->machines; i++) {
            struct node *node = cluster->nodes[i].node;
            struct hf_log_group_state state;
            if (cluster->nodes[i].id == 0 || cluster_relaxed_is_left_behind(&cluster->nodes[i], g)) {
                continue;
            }
            if (node->groups[g].is_failed || node->groups[g].replica == NULL ||
                !cluster_is_reconciled(node_membership(reference->node), &node->groups[g])) {
                return false;
            }
            leaders += node->groups[g].state == REPLICA_LEADER;
            if (hf_log_group_state(node->log, g + 1, &state) != 0 ||
                state.last_index != node->groups[g].applied_index ||
                (applied != UINT64_MAX && node->groups[g].applied_index != applied)) {
                return false;
            }
            applied = node->groups[g].applied_index;
        }
        if (leaders != 1) {
            return false;
        }
    }
    return true;
}

static void cluster_heal(struct cluster *cluster)
{
    cluster->phase = CLUSTER_HEALING;
    sim_trace(cluster->sim, NULL, "everything is healed");
    sim_calm(cluster->sim);
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        sim_disk_fail_clear(node->host);
        sim_disk_set_capacity(node->host, 0);
        sim_disk_cut_at(node->host, 0, SIM_CUT_AFTER);
        node->is_cut_planned = node->is_error_planned = false;
        if (node->node == NULL && node->id != 0) {
            cluster_node_start(node);
        }
    }
}

static void cluster_describe_stuck(struct cluster *cluster, char *text, size_t size)
{
    size_t at = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct node *node = cluster->nodes[i].node;
        for (uint32_t g = 0; g <= cluster->plan->groups && at < size; g++) {
            if (cluster->nodes[i].id == 0) {
                break;
            }
            if (node == NULL) {
                at += (size_t)snprintf(text + at, size - at, " n%u down", i + 1);
                break;
            }
            const struct hosted_group *group = &node->groups[g];
            at += (size_t)snprintf(text + at, size - at, " n%u/g%u:%c%" PRIu64 " l%" PRIu64 " a%" PRIu64 "%s", i + 1,
                                   g + 1, "FCLX"[group->state], group -> term, group -> leader, group -> applied_index,
                                   group -> is_failed ? group -> text : "");
        }
    }
}

/* The same, with an operator who goes by docs/operations.md when too many lost their power: on one node after the other
 * what is lost is lost. */
static bool cluster_run_accepting(struct cluster *cluster, bool (*condition)(struct cluster *cluster),
                                  uint64_t limit_ms)
{
    bool is_met = cluster_run_until(cluster, condition, limit_ms);
    while (!is_met && !cluster_is_violated(cluster) && cluster_relaxed_accept(cluster)) {
        is_met = cluster_run_until(cluster, condition, limit_ms);
    }
    return is_met;
}

static void cluster_end(struct cluster *cluster)
{
    char stuck[320];
    uint64_t healed_ns = sim_now_ns(cluster->sim);
    cluster_clients_finish(cluster);
    if (!cluster_run_accepting(cluster, cluster_is_final_done, CLUSTER_HEAL_MAX_MS)) {
        cluster_describe_stuck(cluster, stuck, sizeof(stuck));
        cluster_violate(cluster, "no progress within %u ms of healing:%s", CLUSTER_HEAL_MAX_MS, stuck);
    }
    cluster->result->heal_ms = (sim_now_ns(cluster->sim) - healed_ns) / CLUSTER_MS;
    if (!cluster_run_until(cluster, cluster_clients_are_done, CLUSTER_SETTLE_MAX_MS)) {
        cluster_violate(cluster, "a call was not answered");
    }
    if (!cluster_run_accepting(cluster, cluster_is_settled, CLUSTER_SETTLE_MAX_MS)) {
        cluster_describe_stuck(cluster, stuck, sizeof(stuck));
        cluster_violate(cluster, "the replicas do not settle:%s", stuck);
    }
    if (!cluster_is_violated(cluster)) {
        cluster_oracle_match_logs(cluster, UINT64_MAX);
        cluster_oracle_finish(cluster);
        cluster_clients_check(cluster);
    }
}

static void cluster_close(struct cluster *cluster)
{
    cluster->phase = CLUSTER_OVER;
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (node->node != NULL) {
            struct node *running = node->node;
            cluster_node_count(node);
            node->node = NULL;
            sim_host_kill(node->host); /* a close cannot wait for what is in flight: time stands still meanwhile */
            node_close(running);
            if (sim_host_handle_count(node->host) != 0) {
                cluster_violate(cluster, "node %u left %u handles open", node->position + 1,
                                sim_host_handle_count(node->host));
            }
        }
    }
    cluster_members_close(cluster);
}

void cluster_run(const struct cluster_plan *plan, sim_trace_sink *trace, void *trace_arg, struct cluster_result *out)
{
    struct cluster *cluster = memory_new(sizeof(*cluster));
    const struct sim_options options = {.profile = NULL, .trace = trace, .trace_arg = trace_arg};
    *out = (struct cluster_result){0};
    list_init(&cluster->tickets);
    list_init(&cluster->changes);
    cluster->plan = plan;
    cluster->result = out;
    cluster->sim = sim_open(plan->seed, &options);
    cluster->rng = sim_rng(cluster->sim);
    cluster_open_nodes(cluster);
    sim_set_profile(cluster->sim, &plan->profile);
    cluster_clients_start(cluster);
    cluster_trouble_start(cluster);
    (void)cluster_run_until(cluster, NULL, plan->duration_ms);
    if (!cluster_is_violated(cluster)) {
        cluster_heal(cluster);
        cluster_end(cluster);
    }
    for (int fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        out->faults[fault] = sim_fault_count(cluster->sim, (enum sim_fault)fault);
    }
    out->rate = out->acknowledged * 1000 / plan->duration_ms;
    cluster_close(cluster);
    out->trace_hash = sim_trace_hash(cluster->sim);
    sim_close(cluster->sim);
    while (!list_empty(&cluster->tickets)) {
        (void)cluster_ticket_take(list_entry(cluster->tickets.next, struct cluster_ticket, link));
    }
    cluster_oracle_close(cluster);
    description_close(cluster->description);
    free(cluster->operations);
    free(cluster);
}
