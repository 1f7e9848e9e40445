#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "cluster/cluster_world.h"

/* ---- What was committed ---- */

static struct cluster_entry *oracle_entry(struct cluster_log *log, uint64_t index)
{
    if (index >= log->capacity) {
        size_t capacity = log->capacity > 0 ? log->capacity : 256;
        while (capacity <= index) {
            capacity *= 2;
        }
        log->entries = memory_resize(log->entries, capacity * sizeof(*log->entries));
        memset(log->entries + log->capacity, 0, (capacity - log->capacity) * sizeof(*log->entries));
        log->capacity = capacity;
    }
    return &log->entries[index];
}

/* Whether a node under a relaxed policy said that it has an entry: as long as its process or its kernel lives it has
 * it, and after that its leader goes by it until they have met again. */
static bool oracle_claims(struct cluster_node *node, uint64_t group, uint64_t index, uint64_t term)
{
    struct replica *replica = node->node != NULL ? node->node->groups[group - 1].replica : NULL;
    struct replica_status status;
    uint64_t own = 0;
    if (!node->is_relaxed && !node->is_forgetful) {
        return false;
    }
    if (replica != NULL) {
        replica_status(replica, &status);
        /* Who knew of more before an accepted loss answers for the numbers, until it meets the conflict. */
        bool is_at_odds = node->cluster->accepted_clock != 0 && replica_is_rejoining(replica);
        if (status.durable_index >= index &&
            (is_at_odds || (hf_log_term(node->node->log, group, index, &own) == 0 && own == term))) {
            return true;
        }
    }
    return (replica == NULL || replica_is_rejoining(replica)) && node->claimed[group - 1] >= index &&
           node->claimed_term[group - 1] >= term;
}

/* Whether a node holds an entry durably. */
static bool oracle_holds(struct cluster_node *node, uint64_t group, uint64_t index, uint64_t term)
{
    struct hf_log_group_state state;
    uint64_t own = 0;
    if (node->is_wiped) {
        return node->held[group - 1] >= index;
    }
    if (oracle_claims(node, group, index, term)) {
        return true;
    }
    if (node->node == NULL) {
        return node->durable[group - 1] >= index;
    }
    /* What its log no longer has lies in its snapshot, whose state is compared elsewhere. */
    return hf_log_group_state(node->node->log, group, &state) == 0 && state.durable_index >= index &&
           (index + 1 < state.first_index || (hf_log_term(node->node->log, group, index, &own) == 0 && own == term));
}

/* Whether those that hold an entry are a majority of the voters of a configuration. */
static bool oracle_is_majority(const struct replica_member *members, unsigned count, const uint64_t *holders,
                               uint32_t holder_count)
{
    unsigned voters = 0;
    unsigned holding = 0;
    for (unsigned i = 0; i < count; i++) {
        if (members[i].role == REPLICA_ROLE_VOTER) {
            voters++;
            for (uint32_t k = 0; k < holder_count; k++) {
                holding += holders[k] == members[i].node_id;
            }
        }
    }
    return voters > 0 && holding > voters / 2;
}

/* P1: when an entry is known to be committed, a majority holds it durably: of the voters of a configuration that some
 * node goes by at that moment. */
static void oracle_check_majority(struct cluster *cluster, uint64_t group, uint64_t index, uint64_t term)
{
    uint64_t holders[CLUSTER_MACHINES_MAX];
    uint32_t holder_count = 0;
    for (uint32_t i = 0; i < cluster->machines; i++) {
        if (cluster->nodes[i].id != 0 && oracle_holds(&cluster->nodes[i], group, index, term)) {
            holders[holder_count++] = cluster->nodes[i].id;
        }
    }
    for (uint32_t i = 0; i < cluster->machines; i++) {
        const struct cluster_node *node = &cluster->nodes[i];
        struct replica_status status;
        if (node->node != NULL && node->node->groups[group - 1].replica != NULL) {
            replica_status(node->node->groups[group - 1].replica, &status);
            if (oracle_is_majority(status.members, status.member_count, holders, holder_count)) {
                return;
            }
        } else if (node->id != 0 &&
                   oracle_is_majority(node->members[group - 1], node->member_count[group - 1], holders, holder_count)) {
            return;
        }
    }
    cluster_violate(cluster,
                    "group %" PRIu64 " index %" PRIu64 ": committed, but only %u nodes hold it durably, no majority",
                    group, index, holder_count);
}

/* A node that has no vote yet may go by what was committed before a loss that the others accepted. */
static bool oracle_may_know_lost(const struct cluster_node *node, uint64_t group)
{
    const struct replica *replica = node->node != NULL ? node->node->groups[group - 1].replica : NULL;
    return node->cluster->logs[group - 1].is_lost && node->is_forgetful && !node->accepts_loss &&
           (replica == NULL || replica_is_rejoining(replica));
}

/* Every kind of entry that a node passes, the first time that one does. */
static void oracle_check_commit(struct cluster *cluster, struct cluster_node *node, uint64_t group, uint64_t applied)
{
    struct cluster_log *log = &cluster->logs[group - 1];
    uint64_t term = 0;
    if (oracle_may_know_lost(node, group)) {
        return; /* it may know what was committed before the loss */
    }
    /* Entry 1 is agreed on by the description alone. */
    if (applied > 1 && applied > log->checked && hf_log_term(node->node->log, group, applied, &term) == 0) {
        oracle_check_majority(cluster, group, applied, term);
        log->checked = applied;
    }
}

void cluster_oracle_applied(void *arg, uint64_t group, const struct hf_entry *entry, const uint64_t digest[2])
{
    struct cluster_node *node = arg;
    struct cluster *cluster = node->cluster;
    struct cluster_log *log = &cluster->logs[group - 1];
    struct cluster_entry *known = oracle_entry(log, entry->index);
    struct cluster_seen *seen = &node->seen[group - 1];
    if (entry->timestamp_ms < seen->stamp_ms) {
        cluster_violate(cluster, "group %" PRIu64 " index %" PRIu64 ": stamp %" PRIu64 " after %" PRIu64, group,
                        entry->index, entry->timestamp_ms, seen->stamp_ms);
    }
    seen->stamp_ms = entry->timestamp_ms;
    if (oracle_may_know_lost(node, group)) {
        return; /* it may go by what was committed before the loss; others check what was after it */
    }
    if (!known->is_known) {
        *known = (struct cluster_entry){.term = entry->term,
                                        .stamp_ms = entry->timestamp_ms,
                                        .digest = {digest[0], digest[1]},
                                        .payload = memory_new(entry->payload.size),
                                        .payload_size = entry->payload.size,
                                        .is_known = true};
        memcpy(known->payload, entry->payload.data, entry->payload.size);
        log->last = entry->index > log->last ? entry->index : log->last;
        known->committed_term = UINT64_MAX;
        oracle_check_majority(cluster, group, entry->index, entry->term);
        if (entry->payload.size >= 12 && bytes_get_u32((const uint8_t *)entry->payload.data + 8) == CLUSTER_EXPIRE) {
            cluster_count(cluster, CLUSTER_EVENT_EXPIRED);
        }
    } else if (known->term != entry->term || known->stamp_ms != entry->timestamp_ms ||
               !bytes_equal(bytes_of(known->payload, known->payload_size), entry->payload)) {
        cluster_violate(cluster,
                        "group %" PRIu64 " index %" PRIu64 ": node %u applies term %" PRIu64
                        ", another applied term %" PRIu64 "%s",
                        group, entry->index, node->position + 1, entry->term, known->term,
                        known->term == entry->term ? " with other bytes" : "");
    } else if (known->digest[0] != digest[0] || known->digest[1] != digest[1]) {
        cluster_violate(cluster, "group %" PRIu64 " index %" PRIu64 ": the state of node %u differs", group,
                        entry->index, node->position + 1);
    }
    if (node->node != NULL && node->node->groups[group - 1].term < known->committed_term) {
        known->committed_term = node->node->groups[group - 1].term;
    }
}

void cluster_oracle_acknowledged(struct cluster *cluster, uint64_t group, uint64_t index, struct hf_bytes command)
{
    struct cluster_log *log = &cluster->logs[group - 1];
    if (index == 0 || index > log->last || !log->entries[index].is_known) {
        cluster_violate(cluster, "group %" PRIu64 " index %" PRIu64 ": acknowledged, but nobody applied it", group,
                        index);
        return;
    }
    const struct cluster_entry *entry = &log->entries[index];
    if (memmem(entry->payload, entry->payload_size, command.data, command.size) == NULL) {
        cluster_violate(cluster, "group %" PRIu64 " index %" PRIu64 ": the acknowledged command is not in the entry",
                        group, index);
    }
}

/* ---- Leaders ---- */

/* A majority lost its power, and somebody said that what is lost is lost: from here on the log is another one. */
static void oracle_lose(struct cluster *cluster, struct cluster_node *node, uint64_t group, uint64_t from)
{
    struct cluster_log *log = &cluster->logs[group - 1];
    for (uint64_t index = from; index <= log->last; index++) {
        free(log->entries[index].payload);
        log->entries[index] = (struct cluster_entry){0};
    }
    sim_trace(cluster->sim, node->host, "lacks what was committed of group %" PRIu64 " from %" PRIu64 " on", group,
              from);
    cluster_count(cluster, CLUSTER_EVENT_LOSS_MET);
    log->last = from - 1;
    log->checked = log->checked < from ? log->checked : from - 1;
    log->is_lost = true;
}

/* A leader holds what was committed in earlier terms. One that was elected long ago and learns it late may be behind.
 */
static void oracle_check_complete(struct cluster *cluster, struct cluster_node *node, uint64_t group,
                                  uint64_t leader_term)
{
    struct cluster_log *log = &cluster->logs[group - 1];
    struct hf_log_group_state state = {.first_index = 1};
    (void)hf_log_group_state(node->node->log, group, &state);
    for (uint64_t index = state.first_index > 1 ? state.first_index - 1 : 1; index <= log->last; index++) {
        uint64_t term = 0;
        if (log->entries[index].is_known && log->entries[index].committed_term < leader_term &&
            (hf_log_term(node->node->log, group, index, &term) != 0 || term != log->entries[index].term)) {
            if (cluster_relaxed_may_lack(node, group, index, log->entries[index].term)) {
                oracle_lose(cluster, node, group, index);
                return;
            }
            cluster_violate(cluster,
                            "group %" PRIu64 ": node %u leads, but its log lacks the committed entry %" PRIu64
                            " (term %" PRIu64 " there, %" PRIu64 " here)",
                            group, node->position + 1, index, log->entries[index].term, term);
            return;
        }
    }
}

static void oracle_led(struct cluster *cluster, struct cluster_node *node, uint64_t group, uint64_t term)
{
    struct cluster_log *log = &cluster->logs[group - 1];
    if (term >= log->leaders_capacity) {
        size_t capacity = log->leaders_capacity > 0 ? log->leaders_capacity : 64;
        while (capacity <= term) {
            capacity *= 2;
        }
        log->leaders = memory_resize(log->leaders, capacity * sizeof(*log->leaders));
        memset(log->leaders + log->leaders_capacity, 0, (capacity - log->leaders_capacity) * sizeof(*log->leaders));
        log->leaders_capacity = capacity;
    }
    cluster_count(cluster, CLUSTER_EVENT_LEADER_CHANGED);
    sim_trace(cluster->sim, node->host, "leads group %" PRIu64 " in term %" PRIu64, group, term);
    if (node->is_wiped) {
        cluster_violate(cluster, "group %" PRIu64 ": node %" PRIu64 " leads, whose disk was wiped", group, node->id);
    }
    if (log->leaders[term] != 0 && log->leaders[term] != node->id) {
        cluster_violate(cluster, "group %" PRIu64 ": nodes %" PRIu64 " and %" PRIu64 " both led term %" PRIu64, group,
                        log->leaders[term], node->id, term);
    }
    log->leaders[term] = node->id;
    oracle_check_complete(cluster, node, group, term);
    cluster_trouble_led(node, group);
}

/* What a replica counts as its own vote for a commit is durable in its log. */
static void oracle_check_belief(struct cluster *cluster, struct cluster_node *node, uint64_t group)
{
    const struct hosted_group *hosted = &node->node->groups[group - 1];
    struct replica_status status;
    struct hf_log_group_state state;
    if (hosted->replica == NULL || hosted->is_failed || node->node->phase != NODE_RUNNING) {
        return;
    }
    replica_status(hosted->replica, &status);
    if (hf_log_group_state(node->node->log, group, &state) == 0 &&
        status.durable_index > (node->is_relaxed ? state.last_index : state.durable_index)) {
        cluster_violate(cluster,
                        "group %" PRIu64 ": node %u believes that index %" PRIu64 " is durable, its log says %" PRIu64,
                        group, node->position + 1, status.durable_index, state.durable_index);
    }
}

/* H7, H11, H16: whatever way a state came about (applied, loaded, installed), at an index it is the same everywhere.
 * Only entries with commands change it. */
static void oracle_check_state(struct cluster *cluster, struct cluster_node *node, uint32_t g)
{
    struct hosted_group *group = &node->node->groups[g];
    struct cluster_log *log = &cluster->logs[g];
    uint64_t digest[2];
    uint64_t index = group->applied_index;
    if (g == 0 || index > log->last + 1000 || (log->is_lost && index > log->last)) {
        return;
    }
    while (index > 0 && (index > log->last || !log->entries[index].is_known)) {
        index--;
    }
    if (index == 0) {
        return;
    }
    group->ops->digest(group->machine, digest);
    if (digest[0] != log->entries[index].digest[0] || digest[1] != log->entries[index].digest[1]) {
        cluster_violate(cluster,
                        "group %u: node %u at index %" PRIu64 " has another state than was applied at %" PRIu64, g + 1,
                        node->position + 1, group->applied_index, index);
    }
}

void cluster_oracle_look(struct cluster *cluster)
{
    uint32_t turn = (uint32_t)(cluster->result->steps % cluster->machines); /* one node per event: it is dear */
    for (uint32_t g = 0; cluster->nodes[turn].node != NULL && g <= cluster->plan->groups; g++) {
        oracle_check_belief(cluster, &cluster->nodes[turn], g + 1);
    }
    for (uint32_t i = 0; i < cluster->machines; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        for (uint32_t g = 0; node->node != NULL && g <= cluster->plan->groups; g++) {
            const struct hosted_group *group = &node->node->groups[g];
            struct cluster_seen *seen = &node->seen[g];
            if (group->term < seen->term) {
                cluster_violate(cluster, "group %u: node %u goes back from term %" PRIu64 " to %" PRIu64, g + 1, i + 1,
                                seen->term, group->term);
            }
            if (group->state == REPLICA_LEADER && (seen->state != REPLICA_LEADER || seen->term != group->term)) {
                oracle_led(cluster, node, g + 1, group->term);
            }
            oracle_check_commit(cluster, node, g + 1, group->applied_index);
            if (seen->applied_index != group->applied_index) {
                oracle_check_state(cluster, node, g);
                seen->applied_index = group->applied_index;
            }
            bool term_changed = seen->term != group->term;
            seen->state = group->state;
            seen->term = group->term;
            if (term_changed) {
                cluster_trouble_term_changed(node);
            }
        }
    }
}

/* What a node of a relaxed policy said that it has. While it still asks for what it lost, what it said before counts.
 */
static void oracle_keep_claim(struct cluster_node *node, uint32_t g, uint64_t index)
{
    uint64_t term = 0;
    if (node->cluster->plan->relaxed_percent == 0) {
        return;
    }
    (void)hf_log_term(node->node->log, g + 1, index, &term);
    bool is_less = term < node->claimed_term[g] || (term == node->claimed_term[g] && index < node->claimed[g]);
    if (!replica_is_rejoining(node->node->groups[g].replica) || !is_less) {
        node->claimed[g] = index;
        node->claimed_term[g] = term;
    }
}

void cluster_oracle_node_stops(struct cluster_node *node)
{
    for (uint32_t g = 0; g < CLUSTER_ALL_GROUPS_MAX; g++) {
        struct hf_log_group_state state = {0};
        /* Not even the term stays: the last one may not have become durable. What was durable does. */
        node->seen[g] = (struct cluster_seen){.state = REPLICA_FOLLOWER};
        if (node->node != NULL && g <= node->cluster->plan->groups &&
            hf_log_group_state(node->node->log, g + 1, &state) == 0) {
            node->durable[g] = state.durable_index;
            node->durable_term[g] = 0;
            if (hf_log_term(node->node->log, g + 1, state.durable_index, &node->durable_term[g]) != 0) {
                node->durable[g] = 0; /* a reset is on its way to the disk: nothing is known for certain */
            }
        }
        if (node->node != NULL && g <= node->cluster->plan->groups && node->node->groups[g].replica != NULL) {
            struct replica_status status;
            replica_status(node->node->groups[g].replica, &status);
            oracle_keep_claim(node, g, status.durable_index);
            node->member_count[g] = status.member_count;
            memcpy(node->members[g], status.members, sizeof(status.members));
        }
    }
}

/* P1: what a process under a relaxed policy acknowledged is there for the next one, unless the power went. */
static void oracle_check_claim(struct cluster_node *node, uint32_t g, uint64_t first_index)
{
    uint64_t term = 0;
    if (node->cluster->plan->relaxed_percent == 0 || node->claimed_term[g] == 0 || node->claimed[g] + 1 < first_index ||
        node->node->groups[g].is_failed ||
        (hf_log_term(node->node->log, g + 1, node->claimed[g], &term) == 0 && term == node->claimed_term[g])) {
        return;
    }
    if (node->has_lost || node->is_forgetful) {
        cluster_count(node->cluster, CLUSTER_EVENT_RELAXED_LOST);
        return;
    }
    cluster_violate(node->cluster,
                    "group %u index %" PRIu64 ": node %u acknowledged it in term %" PRIu64
                    ", its kernel lives, and after its restart it has term %" PRIu64 " there",
                    g + 1, node->claimed[g], node->position + 1, node->claimed_term[g], term);
}

/* P1: what the last process was told to be durable is there for the next one. */
void cluster_oracle_node_started(struct cluster_node *node)
{
    for (uint32_t g = 0; g <= node->cluster->plan->groups; g++) {
        uint64_t term = 0;
        struct hf_log_group_state state = {.first_index = 1};
        (void)hf_log_group_state(node->node->log, g + 1, &state);
        if (node->node->groups[g].applied_index > 0) {
            cluster_count(node->cluster, CLUSTER_EVENT_STARTED_FROM_SNAPSHOT);
        }
        oracle_check_claim(node, g, state.first_index);
        if (node->durable[g] > 0 && node->durable[g] + 1 >= state.first_index && !node->node->groups[g].is_failed &&
            (hf_log_term(node->node->log, g + 1, node->durable[g], &term) != 0 || term != node->durable_term[g])) {
            cluster_violate(node->cluster,
                            "group %u index %" PRIu64 ": node %u had it durably in term %" PRIu64
                            ", after its restart it has term %" PRIu64 " there",
                            g + 1, node->durable[g], node->position + 1, node->durable_term[g], term);
        }
    }
}

/* ---- Logs ---- */

static uint64_t oracle_last(struct cluster_node *node, uint64_t group, uint64_t *first)
{
    struct hf_log_group_state state;
    if (node->node == NULL || hf_log_group_state(node->node->log, group, &state) != 0) {
        return 0;
    }
    *first = state.first_index;
    return state.last_index;
}

static void oracle_watch_truncation(struct cluster *cluster, struct cluster_node *node, uint64_t group)
{
    struct cluster_seen *seen = &node->seen[group - 1];
    uint64_t first = 0;
    uint64_t term = 0;
    uint64_t last = oracle_last(node, group, &first);
    if (seen->last_index != 0 && node->node != NULL && seen->last_index + 1 >= first &&
        (hf_log_term(node->node->log, group, seen->last_index, &term) != 0 || term != seen->last_term)) {
        cluster_count(cluster, CLUSTER_EVENT_TRUNCATED);
    }
    seen->last_index = last;
    seen->last_term = 0;
    if (last != 0) {
        (void)hf_log_term(node->node->log, group, last, &seen->last_term);
    }
}

/* Two logs: below the highest index on which they agree, they agree on everything. */
static void oracle_match_pair(struct cluster *cluster, struct cluster_node *a, struct cluster_node *b, uint64_t group,
                              uint64_t depth)
{
    uint64_t first_a = 0;
    uint64_t first_b = 0;
    uint64_t last_a = oracle_last(a, group, &first_a);
    uint64_t last_b = oracle_last(b, group, &first_b);
    uint64_t last = last_a < last_b ? last_a : last_b;
    uint64_t first = first_a > first_b ? first_a : first_b;
    bool agreed = false;
    for (uint64_t index = last; index >= first && index > 0 && last - index < depth; index--) {
        uint64_t term_a = 0;
        uint64_t term_b = 0;
        if (hf_log_term(a->node->log, group, index, &term_a) != 0 ||
            hf_log_term(b->node->log, group, index, &term_b) != 0) {
            return;
        }
        if (agreed && term_a != term_b) {
            cluster_violate(cluster,
                            "group %" PRIu64 ": the logs of nodes %u and %u agree above index %" PRIu64
                            " and differ there (terms %" PRIu64 ", %" PRIu64 ")",
                            group, a->position + 1, b->position + 1, index, term_a, term_b);
            return;
        }
        agreed = agreed || term_a == term_b;
    }
}

void cluster_oracle_match_logs(struct cluster *cluster, uint64_t depth)
{
    for (uint64_t group = 1; group <= cluster->plan->groups + 1; group++) {
        for (uint32_t i = 0; i < cluster->machines; i++) {
            oracle_watch_truncation(cluster, &cluster->nodes[i], group);
            for (uint32_t k = 0; k < i; k++) {
                oracle_match_pair(cluster, &cluster->nodes[i], &cluster->nodes[k], group, depth);
            }
        }
    }
}

/* The first index that all logs have. */
static uint64_t oracle_common_first(struct cluster *cluster, uint64_t group)
{
    uint64_t common = 1;
    for (uint32_t i = 0; i < cluster->machines; i++) {
        uint64_t first = 0;
        (void)oracle_last(&cluster->nodes[i], group, &first);
        common = first > common ? first : common;
    }
    return common;
}

/* A hash of the entries of a log from `first` on, as they are read back. */
static int oracle_log_hash(struct cluster_node *node, uint64_t group, uint64_t first, uint64_t *out)
{
    uint64_t ignored = 0;
    uint64_t last = oracle_last(node, group, &ignored);
    uint64_t hash = last;
    int rc = 0;
    for (uint64_t index = first; index <= last && rc == 0;) {
        struct hf_log_view view = {0};
        rc = hf_log_read(node->node->log, group, index, last + 1, 1 << 20, 0, &view);
        for (size_t i = 0; rc == 0 && i < view.count; i++) {
            const struct hf_entry *entry = &view.entries[i];
            hash = hash_mix_64(hash * 31 + entry->index + entry->term * 7 + (uint64_t)entry->type * 11 +
                               entry->timestamp_ms * 13 + hash_fnv1a_64(entry->payload));
        }
        index += view.count;
        hf_log_view_close(&view);
    }
    *out = hash;
    return rc;
}

/* At the end: equal logs, equal states, and everything that was ever applied is in them. */
void cluster_oracle_finish(struct cluster *cluster)
{
    for (uint64_t group = 1; group <= cluster->plan->groups + 1; group++) {
        uint64_t hash = 0;
        uint64_t applied = 0;
        uint64_t digest[2] = {0};
        uint64_t first = oracle_common_first(cluster, group);
        for (uint32_t i = 0; i < cluster->machines; i++) {
            struct cluster_node *node = &cluster->nodes[i];
            struct node_group_status status;
            uint64_t own = 0;
            if (node->id == 0 || cluster_relaxed_is_left_behind(node, (uint32_t)group - 1)) {
                continue;
            }
            int rc = oracle_log_hash(node, group, first, &own);
            (void)node_group_status(node->node, (uint32_t)(group - 1), &status);
            if (rc != 0) {
                cluster_violate(cluster, "group %" PRIu64 ": the log of node %u cannot be read: %s", group, i + 1,
                                hf_error_text());
            } else if (applied > 0 && (own != hash || status.replica.applied_index != applied ||
                                       status.digest[0] != digest[0] || status.digest[1] != digest[1])) {
                cluster_violate(cluster,
                                "group %" PRIu64 ": node %u differs at the end (applied %" PRIu64 ", others %" PRIu64
                                "; log %s, state %s)",
                                group, i + 1, status.replica.applied_index, applied, own == hash ? "equal" : "differs",
                                status.digest[0] == digest[0] && status.digest[1] == digest[1] ? "equal" : "differs");
            }
            hash = own;
            applied = status.replica.applied_index;
            digest[0] = status.digest[0];
            digest[1] = status.digest[1];
        }
        if (applied < cluster->logs[group - 1].last) {
            cluster_violate(cluster, "group %" PRIu64 ": applied up to %" PRIu64 ", but %" PRIu64 " was applied before",
                            group, applied, cluster->logs[group - 1].last);
        }
    }
}

void cluster_oracle_close(struct cluster *cluster)
{
    for (uint32_t g = 0; g < CLUSTER_ALL_GROUPS_MAX; g++) {
        for (uint64_t index = 0; index < cluster->logs[g].capacity; index++) {
            free(cluster->logs[g].entries[index].payload);
        }
        free(cluster->logs[g].entries);
        free(cluster->logs[g].leaders);
    }
}
