#include "cluster/replica_cluster.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mutation.h"

#define CLUSTER_ELECTION_MS  150u
#define CLUSTER_HEARTBEAT_MS 30u
#define CLUSTER_PAYLOAD_MAX  (96u << 10)

struct cluster_truth { /* of one index, by whoever applied it first */
    uint64_t term;
    uint64_t digest; /* over everything up to here */
    uint64_t stamp_ms;
    uint64_t committed_term; /* of the node that applied it first: it was committed by then */
};

struct cluster_proposal { /* of one node at one index */
    uint64_t term;
    uint64_t id;
};

struct cluster_node {
    struct replica_host host;
    uint64_t digest; /* of what was applied in this life */
    uint64_t applied;
    uint64_t paused_until_ns;
    bool is_up;
    struct cluster_proposal *proposals;
};

struct cluster_pair { /* the connection of two nodes */
    uint64_t epoch;
    bool is_up;
};

struct cluster_way {     /* one direction */
    uint64_t left_ns;    /* when the last message left; order holds */
    uint64_t arrived_ns; /* and arrived */
    uint64_t muted_until_ns;
};

struct cluster_packet {
    struct list link;
    struct cluster *cluster;
    unsigned from;
    unsigned to;
    uint64_t epoch;
    enum frame_kind kind;
    bool independent;
    struct peer_message *message; /* until it is encoded */
    struct buffer bytes;
};

struct cluster_read {
    struct list link;
    struct cluster *cluster;
    uint64_t acknowledged; /* when it began */
};

struct cluster {
    struct sim *sim;
    struct rng rng;
    uint64_t seed;
    struct cluster_options options;
    struct replica_member members[CLUSTER_NODES_MAX];
    struct cluster_node nodes[CLUSTER_NODES_MAX + 1];                        /* by node id */
    struct cluster_pair pairs[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1]; /* [lower][higher] */
    struct cluster_way ways[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
    struct list packets;
    struct list reads;
    struct cluster_truth *truth;
    uint64_t applied_max;
    uint64_t acknowledged_max;
    uint64_t *leaders; /* by term */
    uint64_t next_id;
    struct cluster_counts counts;
    bool is_healed;
    char failure[512];
};

__attribute__((format(printf, 2, 3))) static void cluster_fail(struct cluster *cluster, const char *format, ...)
{
    if (cluster->failure[0] != '\0') {
        return;
    }
    int length = snprintf(cluster->failure, sizeof(cluster->failure),
                          "seed %" PRIu64 ", %" PRIu64 " ms: ", cluster->seed, sim_now_ns(cluster->sim) / 1000000u);
    va_list args;
    va_start(args, format);
    vsnprintf(cluster->failure + length, sizeof(cluster->failure) - (size_t)length, format, args);
    va_end(args);
}

const char *cluster_failure(const struct cluster *cluster)
{
    return cluster->failure[0] != '\0' ? cluster->failure : NULL;
}

struct cluster_counts cluster_counts(const struct cluster *cluster)
{
    return cluster->counts;
}
struct sim *cluster_sim(struct cluster *cluster)
{
    return cluster->sim;
}
struct replica_host *cluster_host(struct cluster *cluster, uint64_t node_id)
{
    return &cluster->nodes[node_id].host;
}

static bool cluster_chance(struct cluster *cluster, uint32_t ppm)
{
    return rng_chance(&cluster->rng, ppm, 1000000u);
}

static struct cluster_pair *cluster_pair_of(struct cluster *cluster, unsigned a, unsigned b)
{
    return a < b ? &cluster->pairs[a][b] : &cluster->pairs[b][a];
}

/* ---- the referee ---- */

static uint64_t cluster_mix(uint64_t digest, const struct hf_entry *entry)
{
    uint64_t value = hash_xxh3_64(entry->payload, entry->term) ^ hash_mix_64(entry->timestamp_ms + entry->type);
    return hash_mix_64(digest ^ value);
}

static void cluster_acknowledge(struct cluster *cluster, struct cluster_node *node, const struct hf_entry *entry)
{
    const struct cluster_proposal *proposal = &node->proposals[entry->index];
    if (proposal->term != entry->term || entry->type != HF_ENTRY_NORMAL) {
        return;
    }
    if (bytes_get_u64(entry->payload.data) != proposal->id) {
        cluster_fail(cluster, "node %" PRIu64 " proposed another entry at %" PRIu64 " of term %" PRIu64,
                     node->host.node_id, entry->index, entry->term);
    }
    cluster->counts.acknowledged++;
    if (entry->index > cluster->acknowledged_max) {
        cluster->acknowledged_max = entry->index;
    }
}

static int cluster_apply(void *arg, struct replica_host *host, const struct hf_entry *entry)
{
    struct cluster *cluster = arg;
    struct cluster_node *node = &cluster->nodes[host->node_id];
    if (entry->index != node->applied + 1 || entry->index >= CLUSTER_ENTRIES_MAX) {
        cluster_fail(cluster, "node %" PRIu64 " applies %" PRIu64 " after %" PRIu64, host->node_id, entry->index,
                     node->applied);
        return HF_ECANCELLED;
    }
    node->applied = entry->index;
    node->digest = cluster_mix(node->digest, entry);
    cluster->counts.applied++;
    struct cluster_truth *truth = &cluster->truth[entry->index];
    if (entry->index > cluster->applied_max) {
        const struct cluster_truth *before = &cluster->truth[entry->index - 1];
        if (entry->term < before->term || entry->timestamp_ms < before->stamp_ms) {
            cluster_fail(cluster, "entry %" PRIu64 " is of an earlier term or stamp than the one before", entry->index);
        }
        cluster->applied_max = entry->index;
        *truth = (struct cluster_truth){entry->term, node->digest, entry->timestamp_ms, replica_host_status(host).term};
    } else if (truth->term != entry->term || truth->digest != node->digest) {
        cluster_fail(cluster,
                     "STATE DIVERGED: node %" PRIu64 " applied term %" PRIu64 " at %" PRIu64 ", others term %" PRIu64,
                     host->node_id, entry->term, entry->index, truth->term);
    }
    cluster_acknowledge(cluster, node, entry);
    sim_trace(cluster->sim, host->host, "applied %" PRIu64 " of term %" PRIu64, entry->index, entry->term);
    return 0;
}

static void cluster_check_leader(struct cluster *cluster, struct replica_host *host, uint64_t term)
{
    if (term >= CLUSTER_TERMS_MAX) {
        cluster_fail(cluster, "term %" PRIu64 " was reached", term);
        return;
    }
    if (cluster->leaders[term] != 0 && cluster->leaders[term] != host->node_id) {
        cluster_fail(cluster, "TWO LEADERS of term %" PRIu64 ": nodes %" PRIu64 " and %" PRIu64, term,
                     cluster->leaders[term], host->node_id);
    }
    cluster->leaders[term] = host->node_id;
    for (uint64_t index = 1; index <= cluster->applied_max; index++) {
        uint64_t own = replica_host_term_at(host, index);
        if (cluster->truth[index].committed_term < term && own != cluster->truth[index].term) {
            cluster_fail(cluster,
                         "INCOMPLETE LEADER: node %" PRIu64 " of term %" PRIu64 " has term %" PRIu64 " at %" PRIu64
                         ", applied was term %" PRIu64,
                         host->node_id, term, own, index, cluster->truth[index].term);
            return;
        }
    }
}

static void cluster_changed(void *arg, struct replica_host *host, enum replica_state state, uint64_t term,
                            uint64_t leader)
{
    static const char *const names[] = {"follower", "candidate", "leader", "frozen"};
    struct cluster *cluster = arg;
    sim_trace(cluster->sim, host->host, "%s of term %" PRIu64 ", leader %" PRIu64, names[state], term, leader);
    if (state == REPLICA_LEADER) {
        cluster->counts.elections++;
        cluster_check_leader(cluster, host, term);
    }
}

static void cluster_lost(void *arg, struct replica_host *host, uint64_t from_index)
{
    struct cluster *cluster = arg;
    struct cluster_node *node = &cluster->nodes[host->node_id];
    cluster->counts.lost++;
    for (uint64_t index = from_index; index < CLUSTER_ENTRIES_MAX && node->proposals[index].term != 0; index++) {
        node->proposals[index].term = 0;
    }
}

static void cluster_failed(void *arg, struct replica_host *host, int result)
{
    struct cluster *cluster = arg;
    if (sim_host_is_running(host->host)) {
        cluster_fail(cluster, "node %" PRIu64 " froze: %s: %s", host->node_id, hf_error_name(result), hf_error_text());
    }
}

/* ---- the network ---- */

static void cluster_packet_free(struct cluster_packet *packet)
{
    list_remove(&packet->link);
    buffer_close(&packet->bytes);
    free(packet);
}

static void cluster_packet_release(struct cluster_packet *packet, int sent)
{
    struct peer_message *message = packet->message;
    packet->message = NULL;
    if (message != NULL) {
        message->release(message, sent);
    }
}

/* What the hub holds unsent when the connection ends. Released messages may bring new ones, which meet it down. */
static void cluster_drop_unsent(struct cluster *cluster, unsigned from, unsigned to)
{
    list_each_safe (&cluster->packets, link) {
        struct cluster_packet *packet = list_entry(link, struct cluster_packet, link);
        if (packet->from == from && (to == 0 || packet->to == to)) {
            cluster_packet_release(packet, 0);
        }
    }
}

static void cluster_turn(struct cluster *cluster, unsigned node_id)
{
    replica_host_turn(&cluster->nodes[node_id].host);
}

static void cluster_arrive(void *arg)
{
    struct cluster_packet *packet = arg;
    struct cluster *cluster = packet->cluster;
    const struct cluster_pair *pair = cluster_pair_of(cluster, packet->from, packet->to);
    struct replica_host *host = &cluster->nodes[packet->to].host;
    uint64_t paused_until_ns = cluster->nodes[packet->to].paused_until_ns;
    if (paused_until_ns > sim_now_ns(cluster->sim)) {
        sim_call_after(cluster->sim, paused_until_ns - sim_now_ns(cluster->sim), cluster_arrive, packet);
        return;
    }
    bool is_current = pair->is_up && pair->epoch == packet->epoch;
    if ((is_current || MUTATED(GUARD_E)) && cluster->failure[0] == '\0') {
        cluster->counts.messages++;
        replica_host_receive(host, packet->from, packet->kind, buffer_bytes(&packet->bytes));
    }
    cluster_packet_free(packet);
}

static uint64_t cluster_delay_ns(struct cluster *cluster)
{
    const struct cluster_weather *weather = &cluster->options.weather;
    if (!cluster->is_healed && cluster_chance(cluster, weather->slow_ppm)) {
        return rng_between(&cluster->rng, 0, weather->slow_ms * 1000000ull);
    }
    return rng_between(&cluster->rng, 20000, 3000000);
}

/* The socket has room: the message becomes bytes. */
static void cluster_leave(void *arg)
{
    struct cluster_packet *packet = arg;
    struct cluster *cluster = packet->cluster;
    struct cluster_way *way = &cluster->ways[packet->from][packet->to];
    const struct cluster_pair *pair = cluster_pair_of(cluster, packet->from, packet->to);
    bool is_connected = pair->is_up && pair->epoch == packet->epoch;
    if (packet->message == NULL || !is_connected || packet->message->encode(packet->message, &packet->bytes) != 0) {
        cluster_packet_release(packet, 0);
        cluster_packet_free(packet);
        return;
    }
    cluster_packet_release(packet, 1);
    uint64_t now_ns = sim_now_ns(cluster->sim);
    bool is_lost = !cluster->is_healed &&
                   (cluster_chance(cluster, cluster->options.weather.loss_ppm) || now_ns < way->muted_until_ns);
    if (is_lost) {
        cluster->counts.losses++;
        cluster_packet_free(packet);
    } else {
        uint64_t at_ns = now_ns + cluster_delay_ns(cluster);
        if (!packet->independent && !MUTATED(GUARD_E)) {
            at_ns = at_ns < way->arrived_ns ? way->arrived_ns : at_ns;
            way->arrived_ns = at_ns;
        }
        sim_call_after(cluster->sim, at_ns - now_ns, cluster_arrive, packet);
    }
}

static void cluster_send(void *arg, struct replica_host *host, uint64_t to_node, struct peer_message *message)
{
    struct cluster *cluster = arg;
    struct cluster_packet *packet = memory_new(sizeof(*packet));
    struct cluster_way *way = &cluster->ways[host->node_id][to_node];
    packet->cluster = cluster;
    packet->from = (unsigned)host->node_id;
    packet->to = (unsigned)to_node;
    packet->epoch = cluster_pair_of(cluster, packet->from, packet->to)->epoch;
    packet->kind = message->kind;
    packet->independent = message->independent;
    packet->message = message;
    list_append(&cluster->packets, &packet->link);
    uint64_t now_ns = sim_now_ns(cluster->sim);
    uint64_t at_ns = now_ns + (rng_chance(&cluster->rng, 1, 10) ? rng_below(&cluster->rng, 2000000) : 1000);
    if (!packet->independent) {
        at_ns = at_ns < way->left_ns ? way->left_ns : at_ns;
        way->left_ns = at_ns;
    }
    sim_call_after(cluster->sim, at_ns - now_ns, cluster_leave, packet);
}

static void cluster_tell_peer(struct cluster *cluster, unsigned node_id, unsigned peer, bool is_up)
{
    struct cluster_node *node = &cluster->nodes[node_id];
    if (node->is_up && node->host.replica != NULL) {
        replica_peer_changed(node->host.replica, peer, is_up);
    }
}

static void cluster_break(struct cluster *cluster, unsigned a, unsigned b)
{
    struct cluster_pair *pair = cluster_pair_of(cluster, a, b);
    if (!pair->is_up) {
        return;
    }
    pair->is_up = false;
    pair->epoch++;
    cluster_drop_unsent(cluster, a, b);
    cluster_drop_unsent(cluster, b, a);
    cluster_tell_peer(cluster, a, b, false);
    cluster_tell_peer(cluster, b, a, false);
}

static void cluster_mend(struct cluster *cluster, unsigned a, unsigned b)
{
    struct cluster_pair *pair = cluster_pair_of(cluster, a, b);
    if (pair->is_up || !cluster->nodes[a].is_up || !cluster->nodes[b].is_up) {
        return;
    }
    pair->is_up = true;
    pair->epoch++;
    cluster_tell_peer(cluster, a, b, true);
    cluster_tell_peer(cluster, b, a, true);
}

/* ---- machines ---- */

static void cluster_crash(struct cluster *cluster, unsigned node_id)
{
    struct cluster_node *node = &cluster->nodes[node_id];
    uint64_t durable = node->host.replica != NULL ? replica_host_status(&node->host).durable_index : 0;
    cluster->counts.crashes++;
    if (rng_chance(&cluster->rng, 1, 2)) {
        sim_host_power_off(node->host.host);
    } else {
        sim_host_kill(node->host.host);
    }
    for (unsigned peer = 1; peer <= cluster->options.nodes; peer++) {
        if (peer != node_id) {
            cluster_break(cluster, node_id, peer);
        }
    }
    cluster_drop_unsent(cluster, node_id, 0);
    replica_host_close(&node->host);
    node->is_up = false;
    /* The state machine kept nothing, or some of what the log had made durable. */
    uint64_t kept = node->applied < durable ? node->applied : durable;
    node->host.applied_index = rng_chance(&cluster->rng, 1, 2) ? 0 : rng_between(&cluster->rng, 0, kept);
    memset(node->proposals, 0, CLUSTER_ENTRIES_MAX * sizeof(*node->proposals));
}

static void cluster_start(struct cluster *cluster, unsigned node_id)
{
    struct cluster_node *node = &cluster->nodes[node_id];
    if (!sim_host_is_running(node->host.host)) {
        sim_host_start(node->host.host);
    }
    node->is_up = true;
    node->paused_until_ns = 0;
    node->applied = node->host.applied_index;
    node->digest = cluster->truth[node->applied].digest;
    int rc = replica_host_start(&node->host);
    if (rc != 0) {
        cluster_fail(cluster, "node %u does not start: %s: %s", node_id, hf_error_name(rc), hf_error_text());
    }
}

/* ---- clients ---- */

static void cluster_submit(struct cluster *cluster, struct cluster_node *node)
{
    struct hf_bytes payloads[6];
    struct buffer bytes[6] = {0};
    unsigned count = 1 + (unsigned)rng_below(&cluster->rng, 6);
    uint64_t first_id = cluster->next_id + 1;
    for (unsigned i = 0; i < count; i++) {
        size_t size = rng_chance(&cluster->rng, 1, 200) ? rng_below(&cluster->rng, CLUSTER_PAYLOAD_MAX)
                                                        : rng_below(&cluster->rng, 200);
        buffer_append_u64(&bytes[i], ++cluster->next_id);
        memset(buffer_extend(&bytes[i], size), (int)cluster->next_id, size);
        payloads[i] = buffer_bytes(&bytes[i]);
    }
    uint64_t index;
    uint64_t term;
    uint64_t stamp_ms = REPLICA_HOST_STAMP_MS + sim_now_ns(cluster->sim) / 1000000u;
    uint64_t last_index = replica_host_status(&node->host).last_index;
    if (last_index + 8 < CLUSTER_ENTRIES_MAX &&
        replica_submit(node->host.replica, payloads, count, stamp_ms, &index, &term) == 0) {
        for (unsigned i = 0; i < count; i++) {
            node->proposals[index + i] = (struct cluster_proposal){.term = term, .id = first_id + i};
        }
    }
    for (unsigned i = 0; i < count; i++) {
        buffer_close(&bytes[i]);
    }
}

static void cluster_read_done(void *arg, int result, uint64_t index)
{
    struct cluster_read *read = arg;
    struct cluster *cluster = read->cluster;
    if (result == 0) {
        cluster->counts.reads++;
        if (index < read->acknowledged) {
            cluster_fail(cluster, "STALE READ: index %" PRIu64 ", acknowledged before it was %" PRIu64, index,
                         read->acknowledged);
        }
    }
    list_remove(&read->link);
    free(read);
}

static void cluster_read(struct cluster *cluster, struct cluster_node *node)
{
    struct cluster_read *read = memory_new(sizeof(*read));
    *read = (struct cluster_read){.cluster = cluster, .acknowledged = cluster->acknowledged_max};
    list_append(&cluster->reads, &read->link);
    if (replica_read(node->host.replica, cluster_read_done, read) != 0) {
        list_remove(&read->link);
        free(read);
    }
}

static void cluster_change_role(struct cluster *cluster, struct cluster_node *node)
{
    struct replica_status status = replica_host_status(&node->host);
    unsigned voters = 0;
    for (unsigned i = 0; i < status.member_count; i++) {
        voters += status.members[i].role == REPLICA_ROLE_VOTER;
    }
    struct replica_member *member = &status.members[rng_below(&cluster->rng, status.member_count)];
    if (member->role == REPLICA_ROLE_VOTER) {
        if (voters <= cluster->options.voters_min) {
            return;
        }
        member->role = REPLICA_ROLE_STANDBY;
    } else {
        member->role = REPLICA_ROLE_VOTER;
    }
    if (replica_submit_configuration(node->host.replica, status.members, status.member_count) == 0) {
        cluster->counts.changes++;
    }
}

static void cluster_snapshot(struct cluster *cluster, struct cluster_node *node)
{
    unsigned trailing = (unsigned)rng_between(&cluster->rng, 0, cluster->options.weather.trailing_max);
    struct replica_snapshot point;
    if (replica_snapshot_point(node->host.replica, &point) == 0 &&
        replica_snapshot_taken(node->host.replica, &point, trailing) == 0) {
        cluster->counts.snapshots++;
    }
}

static void cluster_client_tick(struct cluster *cluster, unsigned node_id)
{
    struct cluster_node *node = &cluster->nodes[node_id];
    const struct cluster_weather *weather = &cluster->options.weather;
    if (node->host.replica == NULL || replica_host_status(&node->host).state != REPLICA_LEADER) {
        return;
    }
    if (cluster_chance(cluster, weather->submit_ppm)) {
        cluster_submit(cluster, node);
    }
    if (cluster_chance(cluster, weather->read_ppm)) {
        cluster_read(cluster, node);
    }
    if (!cluster->is_healed && cluster_chance(cluster, weather->change_ppm)) {
        cluster_change_role(cluster, node);
    }
    if (!cluster->is_healed && cluster_chance(cluster, weather->transfer_ppm) &&
        replica_transfer(node->host.replica, 0) == 0) {
        cluster->counts.transfers++;
    }
}

/* ---- time ---- */

static void cluster_node_tick(struct cluster *cluster, unsigned node_id)
{
    struct cluster_node *node = &cluster->nodes[node_id];
    const struct cluster_weather *weather = &cluster->options.weather;
    if (!node->is_up) {
        if (cluster->is_healed || cluster_chance(cluster, weather->restart_ppm)) {
            cluster_start(cluster, node_id);
        }
        return;
    }
    if (node->paused_until_ns > sim_now_ns(cluster->sim)) {
        return;
    }
    cluster_client_tick(cluster, node_id);
    if (node->host.replica != NULL && cluster_chance(cluster, weather->snapshot_ppm)) {
        cluster_snapshot(cluster, node);
    }
    if (!cluster->is_healed && cluster_chance(cluster, weather->stall_ppm)) {
        sim_disk_stall(node->host.host, rng_below(&cluster->rng, 300000000));
    }
    cluster_turn(cluster, node_id);
    if (!cluster->is_healed && cluster_chance(cluster, weather->pause_ppm)) {
        uint64_t duration_ns = rng_below(&cluster->rng, 1000000000);
        cluster->counts.pauses++;
        node->paused_until_ns = sim_now_ns(cluster->sim) + duration_ns;
        sim_host_pause(node->host.host, duration_ns);
    }
    if (!cluster->is_healed && cluster_chance(cluster, weather->crash_ppm)) {
        cluster_crash(cluster, node_id);
    }
}

static void cluster_pair_tick(struct cluster *cluster, unsigned a, unsigned b)
{
    const struct cluster_weather *weather = &cluster->options.weather;
    if (!cluster_pair_of(cluster, a, b)->is_up) {
        if (cluster->is_healed || cluster_chance(cluster, weather->mend_ppm)) {
            cluster_mend(cluster, a, b);
        }
        return;
    }
    if (cluster->is_healed) {
        return;
    }
    if (cluster_chance(cluster, weather->break_ppm)) {
        cluster->counts.breaks++;
        cluster_break(cluster, a, b);
    }
    if (cluster_chance(cluster, weather->mute_ppm)) {
        unsigned forward = (unsigned)rng_below(&cluster->rng, 2);
        cluster->ways[forward ? a : b][forward ? b : a].muted_until_ns =
            sim_now_ns(cluster->sim) + rng_below(&cluster->rng, 1000000000);
    }
}

void cluster_run_ms(struct cluster *cluster, unsigned ms)
{
    for (unsigned i = 0; i < ms && cluster->failure[0] == '\0'; i++) {
        for (unsigned a = 1; a <= cluster->options.nodes; a++) {
            cluster_node_tick(cluster, a);
            for (unsigned b = a + 1; b <= cluster->options.nodes; b++) {
                cluster_pair_tick(cluster, a, b);
            }
        }
        sim_run_for(cluster->sim, 1000000u);
    }
}

void cluster_heal(struct cluster *cluster)
{
    cluster->is_healed = true;
    sim_calm(cluster->sim); /* ends the pauses too */
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        cluster->nodes[i].paused_until_ns = 0;
    }
}

static bool cluster_has_caught_up(struct cluster *cluster)
{
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        if (!cluster->nodes[i].is_up || cluster->nodes[i].applied < cluster->acknowledged_max) {
            return false;
        }
    }
    return true;
}

bool cluster_progress(struct cluster *cluster, unsigned entries, unsigned limit_ms)
{
    uint64_t target = cluster->counts.acknowledged + entries;
    for (unsigned i = 0; i < limit_ms && cluster->failure[0] == '\0'; i++) {
        if (cluster->counts.acknowledged >= target && cluster_has_caught_up(cluster)) {
            return true;
        }
        cluster_run_ms(cluster, 1);
    }
    return false;
}

bool cluster_can_change(struct cluster *cluster, unsigned limit_ms)
{
    uint64_t changes = cluster->counts.changes;
    for (unsigned i = 0; i < limit_ms && cluster->failure[0] == '\0'; i++) {
        for (unsigned n = 1; n <= cluster->options.nodes && cluster->counts.changes == changes; n++) {
            struct cluster_node *node = &cluster->nodes[n];
            if (node->is_up && replica_host_status(&node->host).state == REPLICA_LEADER) {
                cluster_change_role(cluster, node);
                cluster_turn(cluster, n);
            }
        }
        if (cluster->counts.changes > changes) {
            return cluster_progress(cluster, 5, limit_ms);
        }
        cluster_run_ms(cluster, 1);
    }
    return false;
}

/* ---- looking at whole logs ---- */

/* Digests of everything up to each index; 0 beyond the end. */
static void cluster_digest_log(struct cluster *cluster, unsigned node_id, uint64_t *digests, uint64_t *terms)
{
    struct hf_log *log = cluster->nodes[node_id].host.log;
    struct hf_log_group_state state;
    must(hf_log_group_state(log, REPLICA_HOST_GROUP, &state));
    uint64_t digest = 0;
    for (uint64_t next = 1; next <= state.last_index;) {
        struct hf_log_view view = {0};
        must(hf_log_read(log, REPLICA_HOST_GROUP, next, state.last_index + 1, 1u << 20, 1000, &view));
        for (size_t i = 0; i < view.count; i++, next++) {
            digest = cluster_mix(digest, &view.entries[i]);
            digests[next] = digest;
            terms[next] = view.entries[i].term;
        }
        hf_log_view_close(&view);
    }
}

void cluster_check_logs(struct cluster *cluster)
{
    size_t size = CLUSTER_ENTRIES_MAX * sizeof(uint64_t);
    uint64_t *digests[CLUSTER_NODES_MAX + 1] = {0};
    uint64_t *terms[CLUSTER_NODES_MAX + 1] = {0};
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        digests[i] = memory_new(size);
        terms[i] = memory_new(size);
        if (cluster->nodes[i].is_up) {
            cluster_digest_log(cluster, i, digests[i], terms[i]);
        }
        for (unsigned j = 1; j < i; j++) {
            for (uint64_t index = 1; index < CLUSTER_ENTRIES_MAX; index++) {
                if (terms[i][index] != 0 && terms[i][index] == terms[j][index] &&
                    digests[i][index] != digests[j][index]) {
                    cluster_fail(cluster,
                                 "LOGS DO NOT MATCH: nodes %u and %u differ up to %" PRIu64 " of term %" PRIu64, i, j,
                                 index, terms[i][index]);
                    break;
                }
            }
        }
    }
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        free(digests[i]);
        free(terms[i]);
    }
}

void cluster_describe(struct cluster *cluster, struct buffer *out)
{
    static const char *const states[] = {"follower", "candidate", "leader", "frozen"};
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (!node->is_up || node->host.replica == NULL) {
            buffer_format(out, "  node %u is down\n", i);
            continue;
        }
        struct replica_status status = replica_host_status(&node->host);
        buffer_format(out,
                      "  node %u: %s of term %" PRIu64 ", leader %" PRIu64 ", vote %" PRIu64 ", last %" PRIu64
                      ", durable %" PRIu64 ", commit %" PRIu64 ", applied %" PRIu64 ", voters",
                      i, states[status.state], status.term, status.leader, status.vote, status.last_index,
                      status.durable_index, status.commit_index, status.applied_index);
        for (unsigned m = 0; m < status.member_count; m++) {
            if (status.members[m].role == REPLICA_ROLE_VOTER) {
                buffer_format(out, " %" PRIu64, status.members[m].node_id);
            }
        }
        buffer_append_text(out, "\n");
    }
}

/* ---- opening ---- */

static const struct replica_host_owner cluster_owner = {.send = cluster_send,
                                                        .apply = cluster_apply,
                                                        .changed = cluster_changed,
                                                        .lost = cluster_lost,
                                                        .failed = cluster_failed};

static void cluster_trace_line(void *arg, const char *line)
{
    fprintf(stderr, "%s\n", line);
}

struct cluster *cluster_open(uint64_t seed, const struct cluster_options *options)
{
    assert_true(options->nodes >= 1 && options->nodes <= CLUSTER_NODES_MAX && options->voters <= options->nodes);
    struct cluster *cluster = memory_new(sizeof(*cluster));
    cluster->options = *options;
    cluster->seed = seed;
    cluster->truth = memory_new(CLUSTER_ENTRIES_MAX * sizeof(*cluster->truth));
    cluster->leaders = memory_new(CLUSTER_TERMS_MAX * sizeof(*cluster->leaders));
    list_init(&cluster->packets);
    list_init(&cluster->reads);
    rng_seed(&cluster->rng, seed);
    struct sim_options sim_options = {.profile = options->profile,
                                      .trace = options->is_traced ? cluster_trace_line : NULL};
    cluster->sim = sim_open(seed, &sim_options);
    for (unsigned i = 0; i < options->nodes; i++) {
        cluster->members[i] = (struct replica_member){
            .node_id = i + 1, .role = i < options->voters ? REPLICA_ROLE_VOTER : REPLICA_ROLE_STANDBY};
    }
    struct replica_host_options host_options = {
        .members = cluster->members,
        .member_count = options->nodes,
        .election_timeout_ms = CLUSTER_ELECTION_MS,
        .heartbeat_timeout_ms = CLUSTER_HEARTBEAT_MS,
        .write_size_max_bytes = 64u << 10,
    };
    for (unsigned i = 1; i <= options->nodes; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        node->proposals = memory_new(CLUSTER_ENTRIES_MAX * sizeof(*node->proposals));
        replica_host_init(&node->host, cluster->sim, i, &host_options, &cluster_owner, cluster);
        cluster_start(cluster, i);
        for (unsigned j = 1; j < i; j++) {
            cluster_mend(cluster, i, j);
        }
    }
    return cluster;
}

void cluster_close(struct cluster *cluster)
{
    for (unsigned i = 1; i <= cluster->options.nodes; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (node->is_up) {
            sim_host_kill(node->host.host);
        }
        replica_host_close(&node->host);
        cluster_drop_unsent(cluster, i, 0);
        free(node->proposals);
    }
    list_each_safe (&cluster->packets, link) {
        cluster_packet_free(list_entry(link, struct cluster_packet, link));
    }
    list_each_safe (&cluster->reads, read_link) {
        list_remove(read_link);
        free(list_entry(read_link, struct cluster_read, link));
    }
    sim_close(cluster->sim);
    free(cluster->truth);
    free(cluster->leaders);
    free(cluster);
}
