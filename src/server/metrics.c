#include "server/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "log/log.h"

static void metric(struct buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    buffer_format(out, "# HELP holdfast_%s %s\n# TYPE holdfast_%s %s\nholdfast_%s %" PRIu64 "\n", name, help, name,
                  type, name, value);
}

static void sessions_write(const struct metrics_sessions *sessions, struct buffer *out)
{
    metric(out, "connections", "gauge", "Client connections that are open", sessions->connections);
    metric(out, "connections_total", "counter", "Client connections accepted", sessions->connections_total);
    metric(out, "connections_refused_total", "counter", "Client connections refused at the limit",
           sessions->connections_refused_total);
    metric(out, "slow_readers_cut_total", "counter", "Clients cut off because they did not read",
           sessions->slow_readers_cut_total);
    metric(out, "protocol_errors_total", "counter", "Clients closed because of malformed input",
           sessions->protocol_errors_total);
    metric(out, "commands_total", "counter", "Commands received", sessions->commands_total);
}

static void log_write(struct node *node, struct buffer *out)
{
    struct hf_log_stat stat;
    hf_log_stat(node_log(node), &stat);
    metric(out, "log_segments", "gauge", "Segments of the log", stat.segments);
    metric(out, "log_bytes", "gauge", "Bytes of the log on disk", stat.bytes_on_disk);
    metric(out, "log_appended_entries_total", "counter", "Entries appended", stat.appended_entries);
    metric(out, "log_appended_bytes_total", "counter", "Payload bytes appended", stat.appended_bytes);
    metric(out, "log_writes_total", "counter", "Durable writes", stat.writes);
    metric(out, "log_written_bytes_total", "counter", "Bytes written, with padding", stat.written_bytes);
    metric(out, "log_oldest_unsynced_microseconds", "gauge", "Age of the oldest append that is not durable",
           stat.oldest_unsynced_ns / 1000);
    metric(out, "log_queued_bytes", "gauge", "Bytes that wait for the device", stat.queued_bytes);
    metric(out, "log_damaged_groups", "gauge", "Groups with damaged records", stat.damaged_groups);
    metric(out, "log_failed", "gauge", "1 when the log failed and the node stops", stat.failure != 0);
}

/* One histogram with a label per stage; le in seconds. */
static void log_stages_write(struct node *node, struct buffer *out)
{
    static const char name[] = "holdfast_log_stage_seconds";
    struct hf_log_stage_stat stats[HF_LOG_STAGE_COUNT];
    buffer_format(out, "# HELP %s Time per stage of the log; encode and index: one entry in 64\n# TYPE %s histogram\n",
                  name, name);
    for (int stage = 0; stage < HF_LOG_STAGE_COUNT; stage++) {
        const struct hf_log_stage_stat *stat = &stats[stage];
        const char *label = hf_log_stage_name((enum hf_log_stage)stage);
        hf_log_stage_stat(node_log(node), (enum hf_log_stage)stage, &stats[stage]);
        for (unsigned i = 0; i < HF_LOG_STAGE_BOUND_COUNT; i++) {
            buffer_format(out, "%s_bucket{stage=\"%s\",le=\"%.9g\"} %" PRIu64 "\n", name, label,
                          (double)hf_log_stage_bound_ns(i) / 1e9, stat->below[i]);
        }
        buffer_format(out, "%s_bucket{stage=\"%s\",le=\"+Inf\"} %" PRIu64 "\n%s_sum{stage=\"%s\"} %.9f\n", name, label,
                      stat->count, name, label, (double)stat->sum_ns / 1e9);
        buffer_format(out, "%s_count{stage=\"%s\"} %" PRIu64 "\n", name, label, stat->count);
    }
    buffer_append_text(out, "# HELP holdfast_log_stage_bytes_total Bytes that were measured\n"
                            "# TYPE holdfast_log_stage_bytes_total counter\n");
    for (int stage = 0; stage < HF_LOG_STAGE_COUNT; stage++) {
        buffer_format(out, "holdfast_log_stage_bytes_total{stage=\"%s\"} %" PRIu64 "\n",
                      hf_log_stage_name((enum hf_log_stage)stage), stats[stage].bytes);
    }
}

static void node_write(struct node *node, struct buffer *out)
{
    struct node_counters counters;
    node_counters(node, &counters);
    metric(out, "proposals_total", "counter", "Commands proposed here", counters.proposals);
    metric(out, "entries_submitted_total", "counter", "Entries they became", counters.entries_submitted);
    metric(out, "applied_entries_total", "counter", "Entries applied", counters.applied_entries);
    metric(out, "reads_total", "counter", "Linearizable reads", counters.reads);
    metric(out, "read_rounds_total", "counter", "Rounds to the voters that they took", counters.read_rounds);
    metric(out, "forwards_sent_total", "counter", "Commands forwarded to another leader", counters.forwards_sent);
    metric(out, "forwards_received_total", "counter", "Commands received from other nodes", counters.forwards_received);
    metric(out, "indeterminate_total", "counter", "Writes answered with an unknown outcome", counters.indeterminate);
    metric(out, "no_leader_total", "counter", "Commands refused for want of a leader", counters.no_leader);
    metric(out, "repaired_entries_total", "counter", "Damaged entries written again from a leader's log",
           counters.repaired_entries);
    metric(out, "elections_won_total", "counter", "Elections that this node won", counters.elections_won);
}

static void snapshots_write(struct node *node, struct buffer *out)
{
    struct node_snapshot_status status;
    node_snapshot_status(node, &status);
    metric(out, "snapshots_taken_total", "counter", "Snapshots taken", status.taken);
    metric(out, "snapshots_failed_total", "counter", "Snapshots that failed", status.failed);
    metric(out, "snapshots_installed_total", "counter", "Snapshots received from leaders", status.installed);
    metric(out, "snapshots_failed_in_row", "gauge", "Failures since the last success, of the group where it is most",
           status.failed_in_row);
    metric(out, "snapshot_running", "gauge", "1 while one is being taken", status.is_running);
    metric(out, "snapshot_pause_microseconds", "gauge", "How long the loop stood still for the last cut",
           status.pause_ns / 1000);
    metric(out, "snapshot_newest_milliseconds", "gauge", "When the newest was taken, UNIX time; 0: none",
           status.last_wall_ms);
}

static void memory_write(const struct ledger *ledger, struct buffer *out)
{
    metric(out, "memory_limit_bytes", "gauge", "What may be held in memory for clients, queues and other nodes",
           ledger->limit_bytes);
    metric(out, "memory_held_peak_bytes", "gauge", "The most that was held at a time", ledger->peak_bytes);
    metric(out, "memory_full_total", "counter", "How often reading from clients stopped at the limit",
           ledger->full_total);
    buffer_append_text(out, "# HELP holdfast_memory_held_bytes What is held, by account\n"
                            "# TYPE holdfast_memory_held_bytes gauge\n");
    for (unsigned i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        buffer_format(out, "holdfast_memory_held_bytes{account=\"%s\"} %" PRIu64 "\n",
                      ledger_account_name((enum ledger_account)i), ledger->bytes[i]);
    }
}

typedef uint64_t group_value(const struct node_group_status *status);

static uint64_t value_leads(const struct node_group_status *status)
{
    return status->is_started && status->replica.state == REPLICA_LEADER;
}
static uint64_t value_term(const struct node_group_status *status)
{
    return status->replica.term;
}
static uint64_t value_commit(const struct node_group_status *status)
{
    return status->replica.commit_index;
}
static uint64_t value_applied(const struct node_group_status *status)
{
    return status->replica.applied_index;
}
static uint64_t value_lag(const struct node_group_status *status)
{
    return status->lag;
}
static uint64_t value_started(const struct node_group_status *status)
{
    return status->is_started;
}

static uint64_t value_log_entries(const struct node_group_status *status)
{
    return status->log_entries;
}
static uint64_t value_log_capped(const struct node_group_status *status)
{
    return status->is_log_capped;
}
static uint64_t value_snapshot(const struct node_group_status *status)
{
    return status->replica.snapshot_index;
}

static void group_metric(struct node *node, const char *name, const char *help, group_value *value, struct buffer *out)
{
    struct node_group_status status;
    buffer_format(out, "# HELP holdfast_group_%s %s\n# TYPE holdfast_group_%s gauge\n", name, help, name);
    for (uint32_t position = 0; node_group_status(node, position, &status) == 0; position++) {
        buffer_format(out, "holdfast_group_%s{group=\"%" PRIu64 "\"} %" PRIu64 "\n", name, status.group,
                      value(&status));
    }
}

void metrics_write(struct node *node, const struct metrics_sessions *sessions, struct buffer *out)
{
    buffer_format(
        out,
        "# HELP holdfast_info The program\n# TYPE holdfast_info gauge\nholdfast_info{version=\"%s\",node=\"%" PRIu64
        "\"} 1\n",
        HF_VERSION, node_id(node));
    sessions_write(sessions, out);
    memory_write(node_ledger(node), out);
    node_write(node, out);
    log_write(node, out);
    log_stages_write(node, out);
    snapshots_write(node, out);
    group_metric(node, "leads", "1 where this node leads the group", value_leads, out);
    group_metric(node, "started", "1 while the group runs here", value_started, out);
    group_metric(node, "term", "Current term", value_term, out);
    group_metric(node, "commit_index", "Commit index", value_commit, out);
    group_metric(node, "applied_index", "Applied index", value_applied, out);
    group_metric(node, "snapshot_index", "Index of the newest snapshot; 0: none", value_snapshot, out);
    group_metric(node, "log_entries", "Entries that the log holds", value_log_entries, out);
    group_metric(node, "log_capped", "1 while it holds as many as it may, and its leader refuses writes",
                 value_log_capped, out);
    group_metric(node, "lag", "Committed entries that are not applied yet", value_lag, out);
}
