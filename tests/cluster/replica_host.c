#include "cluster/replica_host.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"

void replica_host_mutate(void)
{
    const char *name = getenv("HOLDFAST_MUTATION");
    if (name == NULL || name[0] == '\0') {
        return;
    }
#ifdef HF_MUTATIONS
    if (mutation_enable(name) != 0) {
        fprintf(stderr, "%s\n", hf_error_text());
        exit(2);
    }
#else
    fprintf(stderr, "this build carries no mutations\n");
    exit(2);
#endif
}

static void replica_host_send(void *arg, uint64_t to_node, struct peer_message *message)
{
    struct replica_host *host = arg;
    host->owner.send(host->arg, host, to_node, message);
}

static int replica_host_apply(void *arg, const struct hf_entry *entry)
{
    struct replica_host *host = arg;
    return host->owner.apply(host->arg, host, entry);
}

static void replica_host_changed(void *arg, enum replica_state state, uint64_t term, uint64_t leader)
{
    struct replica_host *host = arg;
    host->owner.changed(host->arg, host, state, term, leader);
}

static void replica_host_lost(void *arg, uint64_t from_index)
{
    struct replica_host *host = arg;
    host->owner.lost(host->arg, host, from_index);
}

static void replica_host_failed(void *arg, int result)
{
    struct replica_host *host = arg;
    host->owner.failed(host->arg, host, result);
}

static void replica_host_snapshot_wanted(void *arg, uint64_t to_node)
{
    struct replica_host *host = arg;
    if (host->owner.snapshot_wanted != NULL) {
        host->owner.snapshot_wanted(host->arg, host, to_node);
    }
}

static void replica_host_snapshot_offered(void *arg, uint64_t from_node, uint64_t term,
                                          const struct replica_snapshot *snapshot, struct hf_bytes manifest)
{
    struct replica_host *host = arg;
    if (host->owner.snapshot_offered != NULL) {
        host->owner.snapshot_offered(host->arg, host, from_node, term, snapshot, manifest);
    }
}

static int replica_host_snapshot_install(void *arg)
{
    struct replica_host *host = arg;
    return host->owner.snapshot_install(host->arg, host);
}

static const struct replica_callbacks replica_host_callbacks = {
    .send = replica_host_send,
    .apply = replica_host_apply,
    .changed = replica_host_changed,
    .lost = replica_host_lost,
    .failed = replica_host_failed,
    .snapshot_wanted = replica_host_snapshot_wanted,
    .snapshot_offered = replica_host_snapshot_offered,
    .snapshot_install = replica_host_snapshot_install,
};

void replica_host_init(struct replica_host *host, struct sim *sim, uint64_t node_id,
                       const struct replica_host_options *options, const struct replica_host_owner *owner, void *arg)
{
    *host = (struct replica_host){
        .sim = sim,
        .host = sim_host_add(sim, NULL, NULL),
        .node_id = node_id,
        .options = *options,
        .owner = *owner,
        .arg = arg,
    };
}

void replica_host_turn(struct replica_host *host)
{
    if (host->replica == NULL || !sim_host_is_running(host->host)) {
        return;
    }
    replica_flush_reads(host->replica);
    while (hf_log_turn(host->log) > 0) {
    }
    uint64_t deadline_ms = replica_deadline_ms(host->replica);
    uint64_t log_due_ns = log_deadline_ns(host->log);
    if (log_due_ns != UINT64_MAX && log_due_ns / 1000000u < deadline_ms) {
        deadline_ms = log_due_ns / 1000000u + 1;
    }
    if (deadline_ms != UINT64_MAX) {
        loop_timer_set(host->loop, &host->timer, deadline_ms);
    } else {
        loop_timer_stop(host->loop, &host->timer);
    }
}

static void replica_host_turn_end(void *arg)
{
    replica_host_turn(arg);
}

static void replica_host_tick(void *arg)
{
    struct replica_host *host = arg;
    if (host->replica != NULL &&
        io_monotonic_ns(sim_host_io(host->host)) / 1000000u >= replica_deadline_ms(host->replica)) {
        replica_tick(host->replica);
    }
}

static void replica_host_log_ready(void *arg)
{
    struct replica_host *host = arg;
    hf_log_turn(host->log);
}

int replica_host_start(struct replica_host *host)
{
    struct io *io = sim_host_io(host->host);
    struct loop *loop = sim_host_loop(host->host);
    host->loop = loop;
    struct hf_log_options log_options;
    hf_log_options_init(&log_options);
    log_options.segment_size_bytes = 1u << 20;
    log_options.tail_cache_bytes = 64u << 10;
    log_options.write_size_max_bytes = host->options.write_size_max_bytes;
    log_options.queue_entries_max = host->options.queue_entries_max;
    log_options.driver = HF_LOG_DRIVE_CALLER;
    host->lives++;
    int rc = log_open(io, "log", &log_options, &host->log);
    if (rc != 0) {
        return rc;
    }
    must(loop_watch_queue(loop, log_queue(host->log), replica_host_log_ready, host, &host->watch));
    host->timer = (struct loop_timer){.fire = replica_host_tick, .arg = host};
    host->turn_end = (struct loop_hook){.call = replica_host_turn_end, .arg = host};
    loop_add_turn_end(loop, &host->turn_end);
    struct replica_options options = {
        .group = REPLICA_HOST_GROUP,
        .group_incarnation = REPLICA_HOST_INCARNATION,
        .node_id = host->node_id,
        .log = host->log,
        .io = io,
        .applied_index = host->applied_index,
        .snapshot = host->snapshot,
        .must_rejoin = host->must_rejoin,
        .may_be_short = host->may_be_short,
        .bootstrap = host->options.members,
        .bootstrap_count = host->options.member_count,
        .bootstrap_stamp_ms = REPLICA_HOST_STAMP_MS,
        .election_timeout_ms = host->options.election_timeout_ms,
        .heartbeat_timeout_ms = host->options.heartbeat_timeout_ms,
    };
    io_random(io, &options.seed, sizeof(options.seed));
    rc = replica_open(&options, &replica_host_callbacks, host, &host->replica);
    replica_host_turn(host);
    return rc;
}

void replica_host_close(struct replica_host *host)
{
    if (host->log == NULL) {
        return;
    }
    struct loop *loop = host->loop;
    replica_close(host->replica);
    host->replica = NULL;
    loop_timer_stop(loop, &host->timer);
    loop_remove_turn_end(loop, &host->turn_end);
    loop_watch_close(loop, host->watch);
    hf_log_close(host->log);
    host->log = NULL;
}

void replica_host_receive(struct replica_host *host, uint64_t from_node, enum frame_kind kind, struct hf_bytes payload)
{
    if (host->replica != NULL && sim_host_is_running(host->host)) {
        must(replica_receive(host->replica, from_node, kind, payload));
        replica_host_turn(host);
    }
}

struct replica_status replica_host_status(const struct replica_host *host)
{
    struct replica_status status;
    replica_status(host->replica, &status);
    return status;
}

uint64_t replica_host_term_at(const struct replica_host *host, uint64_t index)
{
    uint64_t term;
    return hf_log_term(host->log, REPLICA_HOST_GROUP, index, &term) == 0 ? term : 0;
}
