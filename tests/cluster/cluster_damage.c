/* Snapshots that rot: bits of files that lie on a disk flip, of one replica at a time, so that what is lost is still
 * somewhere. The node is stopped soon after; the start finds the damage.
 *
 *   another copy here    an older snapshot that the log reaches, or the whole log: the group starts, whoever else runs
 *   another copy there   all of the group's snapshots here are bad: it stays closed, and starts from its leader's. Only
 *                        while everybody else has what is needed for that, and until it is done nobody leaves */
#include <inttypes.h>
#include <stdio.h>

#include "cluster/cluster_world.h"
#include "snapshot/snapshot_format.h"

/* The file is there, and the node does not know yet that it is bad. */
static bool damage_is_unknown(const struct cluster_damage *damage)
{
    struct hf_snapshot_store *store = damage->node->node->snapshots.store;
    for (unsigned i = 0; i < damage->count; i++) {
        struct hf_snapshot_info info;
        if (hf_snapshot_find(store, damage->ids[i], &info) == 0 && !info.damaged) {
            return true;
        }
    }
    return false;
}

static struct hosted_group *damage_group(const struct cluster_damage *damage)
{
    return &damage->node->node->groups[damage->group - 1];
}

/* After every event: whether all that was damaged is healed, so that something else may be. */
void cluster_damage_look(struct cluster *cluster)
{
    struct cluster_damage *damage = &cluster->damage;
    if (damage->node == NULL) {
        return;
    }
    if (damage->node->id != damage->node_id || damage->node->is_wiped) {
        damage->node = NULL; /* the machine has another disk, or is another node */
        return;
    }
    if (damage->node->node == NULL || !damage->was_stopped) {
        return;
    }
    const struct hosted_group *group = damage_group(damage);
    if (group->is_failed || group->replica == NULL || damage_is_unknown(damage)) {
        return;
    }
    if (damage->was_closed) {
        cluster_count(cluster, CLUSTER_EVENT_SNAPSHOT_OF_OTHERS);
    }
    sim_trace(cluster->sim, damage->node->host, "group %" PRIu64 " has no damaged snapshot any more", damage->group);
    damage->node = NULL;
}

/* What the start made of it. */
void cluster_damage_started(struct cluster_node *node)
{
    struct cluster *cluster = node->cluster;
    struct cluster_damage *damage = &cluster->damage;
    if (damage->node != node || damage->node_id != node->id) {
        return;
    }
    const struct hosted_group *group = damage_group(damage);
    damage->was_stopped = true;
    damage->was_closed = damage->was_closed || group->is_failed;
    if (!damage->needs_others && group->is_failed) {
        cluster_violate(cluster, "group %" PRIu64 ": node %u has a good copy, and is closed: %s", group->id,
                        node->position + 1, group->text);
    }
    if (!group->is_failed && group->applied_index < damage->index) {
        cluster_count(cluster, CLUSTER_EVENT_SNAPSHOT_FELL_BACK);
    }
}

bool cluster_damage_needs_others(const struct cluster *cluster)
{
    return cluster->damage.node != NULL && cluster->damage.needs_others;
}

static void damage_stop_due(void *arg)
{
    struct cluster_node *node = cluster_ticket_take(arg);
    if (node != NULL && node->node != NULL) {
        cluster_node_kill(node);
    }
}

static void damage_flip(struct cluster_damage *damage, const struct hf_snapshot_info *info)
{
    struct cluster *cluster = damage->node->cluster;
    struct snapshot_header header = {
        .id = info->manifest.id, .group = info->manifest.group, .index = info->manifest.index};
    char name[SNAPSHOT_FORMAT_NAME_SIZE];
    char path[SIM_PATH_SIZE_MAX];
    snapshot_format_name(name, &header, SNAPSHOT_SUFFIX_LOCAL);
    snprintf(path, sizeof(path), "/data/snapshots/%s", name);
    if (info->file_bytes > 0 && sim_disk_flip_bit(damage->node->host, path, rng_below(cluster->rng, info->file_bytes),
                                                  (unsigned)rng_below(cluster->rng, 8)) == 0) {
        damage->ids[damage->count++] = info->manifest.id;
        damage->index = info->manifest.index > damage->index ? info->manifest.index : damage->index;
    }
}

/* The group's good local snapshots, newest first. */
static unsigned damage_list(const struct hosted_group *group, struct hf_snapshot_info *out)
{
    struct hf_snapshot_info *list;
    size_t count;
    unsigned good = 0;
    if (hf_snapshot_list(group->node->snapshots.store, group->id, &list, &count) != 0) {
        return 0;
    }
    for (size_t i = 0; i < count && good < CLUSTER_DAMAGE_MAX; i++) {
        if (list[i].origin == HF_SNAPSHOT_LOCAL && !list[i].damaged) {
            out[good++] = list[i];
        }
    }
    hf_snapshot_list_free(list);
    return good;
}

void cluster_trouble_damage(struct cluster *cluster, struct cluster_node *victim)
{
    struct cluster_damage *damage = &cluster->damage;
    struct hf_snapshot_info found[CLUSTER_DAMAGE_MAX];
    struct hf_log_group_state state;
    if (damage->node != NULL || cluster->is_wiping || victim->node == NULL || victim->node->phase != NODE_RUNNING ||
        !cluster_relaxed_is_whole(victim) || !cluster_relaxed_may_forget(victim)) {
        return;
    }
    const struct hosted_group *group = &victim->node->groups[rng_below(cluster->rng, victim->node->groups_open)];
    if (group->replica == NULL || group->is_failed || hf_log_group_state(victim->node->log, group->id, &state) != 0) {
        return;
    }
    unsigned count = damage_list(group, found);
    bool has_other = state.first_index == 1 || (count > 1 && found[1].manifest.index + 1 >= state.first_index);
    bool may_lose = count > 0 && cluster_members_may_lose(cluster, victim);
    if (count == 0 || !(has_other || may_lose)) {
        return;
    }
    *damage = (struct cluster_damage){.node = victim, .node_id = victim->id, .group = group->id};
    damage->needs_others = may_lose && (!has_other || rng_chance(cluster->rng, 3, 4));
    if (damage->needs_others) {
        for (unsigned i = 0; i < count; i++) {
            damage_flip(damage, &found[i]);
        }
    } else {
        damage_flip(damage, &found[count > 1 && rng_chance(cluster->rng, 1, 4)]);
    }
    if (damage->count == 0) {
        damage->node = NULL; /* the names are on their way to the disk, or from it */
        return;
    }
    cluster_count(cluster, CLUSTER_EVENT_SNAPSHOT_DAMAGED);
    sim_trace(cluster->sim, victim->host, "%s of group %" PRIu64 " damaged",
              damage->needs_others ? "all snapshots" : "a snapshot", group->id);
    /* At once, or when newer snapshots may be there. */
    uint64_t delay_ms = rng_chance(cluster->rng, 2, 3) ? 0 : rng_below(cluster->rng, 1500);
    cluster_node_call_after(victim, delay_ms * CLUSTER_MS, damage_stop_due);
}
