#include <inttypes.h>
#include <malloc.h>
#include <string.h>

#include "base/bytes.h"
#include "server/argument.h"
#include "server/command_connection.h"
#include "server/server_machine.h"
#include "server/server_state.h"

/* ---- sections ---- */

static void command_info_server(struct server *server, struct buffer *out)
{
    uint64_t uptime_s = (loop_now_ms(server->loop) - server->started_ms) / 1000;
    const char *address = server_client_address(server);
    const char *colon = strrchr(address, ':');
    buffer_format(out, "redis_version:%s\r\nredis_mode:standalone\r\nholdfast_version:%s\r\n",
                  COMMAND_CONNECTION_REDIS_VERSION, HF_VERSION);
    buffer_format(out, "arch_bits:%zu\r\nmultiplexing_api:libuv\r\nrun_id:%s\r\ntcp_port:%s\r\n", sizeof(void *) * 8,
                  server->run_id, colon != NULL ? colon + 1 : "0");
    buffer_format(out,
                  "server_time_usec:%" PRIu64 "\r\nuptime_in_seconds:%" PRIu64 "\r\nuptime_in_days:%" PRIu64 "\r\n",
                  io_wall_ms(server->io) * 1000, uptime_s, uptime_s / 86400);
    buffer_format(out, "io_backend:%s\r\n", io_backend_name(server->io));
}

static void command_info_clients(struct server *server, struct buffer *out)
{
    buffer_format(out,
                  "connected_clients:%u\r\ncluster_connections:0\r\nmaxclients:%" PRIu64 "\r\nblocked_clients:0\r\n",
                  server->session_count, server->settings.clients_max);
    buffer_format(out, "client_memory_bytes:%" PRIu64 "\r\n", server->ledger->bytes[LEDGER_CLIENTS]);
}

/* Summed over the groups that this node holds. */
static struct machine_stat command_info_machines(struct server *server)
{
    struct machine_stat sum = {0};
    for (uint32_t i = 0; i < node_group_count(server->node); i++) {
        void *machine = node_machine(server->node, NODE_GROUP_FIRST + i);
        struct machine_stat stat;
        if (machine != NULL) {
            server_machine_stat(machine, &stat);
            sum.keys += stat.keys;
            sum.keys_with_deadline += stat.keys_with_deadline;
            sum.data_bytes += stat.data_bytes;
            sum.memory_bytes += stat.memory_bytes;
        }
    }
    return sum;
}

/* Rows of the memory section: what is held for others, against its limit. */
static void command_info_ledger(const struct ledger *ledger, struct buffer *out)
{
    buffer_format(out, "memory_limit:%" PRIu64 "\r\nmemory_held:%" PRIu64 "\r\nmemory_held_peak:%" PRIu64 "\r\n",
                  ledger->limit_bytes, ledger->total_bytes - ledger->bytes[LEDGER_EXPECTED], ledger->peak_bytes);
    buffer_format(out, "memory_full:%d\r\nmemory_full_total:%" PRIu64 "\r\n", ledger->is_full, ledger->full_total);
    for (unsigned i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        buffer_format(out, "memory_held_%s:%" PRIu64 "\r\n", ledger_account_name((enum ledger_account)i),
                      ledger->bytes[i]);
    }
}

static void command_info_memory(struct server *server, struct buffer *out)
{
    struct mallinfo2 heap = mallinfo2();
    struct machine_stat stat = command_info_machines(server);
    buffer_format(out, "used_memory:%zu\r\nused_memory_dataset:%" PRIu64 "\r\nmaxmemory:0\r\n",
                  heap.uordblks + heap.hblkhd, stat.memory_bytes);
    buffer_format(out, "data_bytes:%" PRIu64 "\r\nmaxmemory_policy:noeviction\r\nmem_allocator:libc\r\n",
                  stat.data_bytes);
    command_info_ledger(server->ledger, out);
}

static void command_info_persistence(struct server *server, struct buffer *out)
{
    struct hf_log_stat stat;
    struct node_snapshot_status snapshots;
    hf_log_stat(node_log(server->node), &stat);
    node_snapshot_status(server->node, &snapshots);
    buffer_append_text(out, "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\n");
    buffer_format(out,
                  "rdb_bgsave_in_progress:%d\r\nrdb_last_save_time:%" PRIu64 "\r\nrdb_last_bgsave_status:%s\r\n"
                  "rdb_saves:%" PRIu64 "\r\n",
                  snapshots.is_running, snapshots.last_wall_ms / 1000, snapshots.last_result == 0 ? "ok" : "err",
                  snapshots.taken);
    buffer_format(out,
                  "snapshots_failed:%" PRIu64 "\r\nsnapshots_installed:%" PRIu64 "\r\nsnapshot_pause_us:%" PRIu64
                  "\r\nsnapshot_pause_max_us:%" PRIu64 "\r\nsnapshots_failed_in_row:%" PRIu32
                  "\r\nlog_capped_groups:%" PRIu32 "\r\n",
                  snapshots.failed, snapshots.installed, snapshots.pause_ns / 1000, snapshots.pause_max_ns / 1000,
                  snapshots.failed_in_row, snapshots.groups_capped);
    buffer_append_text(out, "aof_enabled:1\r\naof_rewrite_in_progress:0\r\n");
    buffer_format(out, "aof_last_write_status:%s\r\naof_current_size:%" PRIu64 "\r\n", stat.failure == 0 ? "ok" : "err",
                  stat.bytes_on_disk);
    buffer_format(out, "log_segments:%" PRIu64 "\r\nlog_oldest_unsynced_us:%" PRIu64 "\r\nlog_writes:%" PRIu64 "\r\n",
                  stat.segments, stat.oldest_unsynced_ns / 1000, stat.writes);
}

/* Per stage of the log: how often, how much, how long. */
static void command_info_log(struct server *server, struct buffer *out)
{
    for (int stage = 0; stage < HF_LOG_STAGE_COUNT; stage++) {
        struct hf_log_stage_stat stat;
        hf_log_stage_stat(node_log(server->node), (enum hf_log_stage)stage, &stat);
        buffer_format(out,
                      "log_stage_%s:count=%" PRIu64 ",entries=%" PRIu64 ",bytes=%" PRIu64 ",sum_ns=%" PRIu64
                      ",min_ns=%" PRIu64 ",p50_ns=%" PRIu64 ",p90_ns=%" PRIu64 ",p99_ns=%" PRIu64 ",p99.9_ns=%" PRIu64
                      ",max_ns=%" PRIu64 ",below=",
                      hf_log_stage_name((enum hf_log_stage)stage), stat.count, stat.entries, stat.bytes, stat.sum_ns,
                      stat.min_ns, stat.p50_ns, stat.p90_ns, stat.p99_ns, stat.p999_ns, stat.max_ns);
        for (unsigned i = 0; i < HF_LOG_STAGE_BOUND_COUNT; i++) { /* how many took less than so many ns */
            buffer_format(out, "%s%" PRIu64 ":%" PRIu64, i > 0 ? "/" : "", hf_log_stage_bound_ns(i), stat.below[i]);
        }
        buffer_append_text(out, "\r\n");
    }
}

static void command_info_stats(struct server *server, struct buffer *out)
{
    const struct server_counters *counters = &server->counters;
    buffer_format(out, "total_connections_received:%" PRIu64 "\r\ntotal_commands_processed:%" PRIu64 "\r\n",
                  counters->connections_total, counters->commands_total);
    buffer_format(out, "total_net_input_bytes:%" PRIu64 "\r\ntotal_net_output_bytes:%" PRIu64 "\r\n",
                  counters->bytes_in_total, counters->bytes_out_total);
    buffer_format(out, "rejected_connections:%" PRIu64 "\r\nexpired_keys:0\r\nevicted_keys:0\r\n",
                  counters->connections_refused_total);
    buffer_format(out, "total_error_replies:%" PRIu64 "\r\nprotocol_errors:%" PRIu64 "\r\n", counters->errors_total,
                  counters->protocol_errors_total);
    buffer_format(out,
                  "slow_readers_cut:%" PRIu64 "\r\noutput_limit_disconnections:%" PRIu64
                  "\r\nidle_clients_closed:%" PRIu64 "\r\n",
                  counters->slow_readers_cut_total, counters->output_limit_cut_total, counters->idle_closed_total);
}

static void command_info_replication(struct server *server, struct buffer *out)
{
    buffer_format(out, "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:%s\r\n",
                  server->run_id);
    buffer_append_text(out, "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\n");
}

static void command_info_modules(struct server *server, struct buffer *out) {}

static void command_info_commandstats(struct server *server, struct buffer *out)
{
    const struct command_stat *stat;
    for (size_t i = 0; (stat = command_stats_at(server->stats, i)) != NULL; i++) {
        buffer_format(out,
                      "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64
                      ",usec_per_call=%.2f,rejected_calls=0,failed_calls=%" PRIu64 "\r\n",
                      stat->spec->name, stat->calls, stat->duration_us, (double)stat->duration_us / (double)stat->calls,
                      stat->failed);
    }
}

static void command_info_latencystats(struct server *server, struct buffer *out)
{
    const struct command_stat *stat;
    for (size_t i = 0; (stat = command_stats_at(server->stats, i)) != NULL; i++) {
        if (stat->histogram.count > 0) {
            buffer_format(out, "latency_percentiles_usec_%s:p50=%" PRIu64 ",p99=%" PRIu64 ",p99.9=%" PRIu64 "\r\n",
                          stat->spec->name, histogram_quantile(&stat->histogram, 0.5),
                          histogram_quantile(&stat->histogram, 0.99), histogram_quantile(&stat->histogram, 0.999));
        }
    }
}

static void command_info_cluster(struct server *server, struct buffer *out)
{
    buffer_append_text(out, "cluster_enabled:0\r\n");
}

static void command_info_keyspace(struct server *server, struct buffer *out)
{
    struct machine_stat stat = command_info_machines(server);
    if (stat.keys > 0) {
        buffer_format(out, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", stat.keys,
                      stat.keys_with_deadline);
    }
}

static const char *command_info_role(const struct node_group_status *status)
{
    static const char *const names[] = {"follower", "candidate", "leader", "frozen"};
    return status->is_started ? names[status->replica.state] : "stopped";
}

static void command_info_raft(struct server *server, struct buffer *out)
{
    char cluster[33];
    struct node_counters counters;
    struct node_group_status status;
    description_cluster_id_text(node_description(server->node), cluster);
    node_counters(server->node, &counters);
    buffer_format(out, "raft_node_id:%" PRIu64 "\r\nraft_cluster_id:%s\r\nraft_nodes:%u\r\nraft_groups:%u\r\n",
                  node_id(server->node), cluster, node_membership(server->node)->count, node_group_count(server->node));
    buffer_format(out, "raft_proposals:%" PRIu64 "\r\nraft_entries_submitted:%" PRIu64 "\r\nraft_reads:%" PRIu64 "\r\n",
                  counters.proposals, counters.entries_submitted, counters.reads);
    buffer_format(
        out, "raft_read_rounds:%" PRIu64 "\r\nraft_forwards_sent:%" PRIu64 "\r\nraft_indeterminate:%" PRIu64 "\r\n",
        counters.read_rounds, counters.forwards_sent, counters.indeterminate);
    for (uint32_t i = 0; node_group_status(server->node, i, &status) == 0; i++) {
        buffer_format(out,
                      "raft_group%" PRIu64 ":role=%s,leader=%" PRIu64 ",term=%" PRIu64 ",commit=%" PRIu64
                      ",applied=%" PRIu64 ",last=%" PRIu64 ",lag=%" PRIu64 "\r\n",
                      status.group, command_info_role(&status), status.replica.leader, status.replica.term,
                      status.replica.commit_index, status.replica.applied_index, status.replica.last_index, status.lag);
    }
}

/* ---- the command ---- */

static const struct {
    const char *name;
    const char *title;
    void (*write)(struct server *server, struct buffer *out);
    bool is_default;
} command_info_sections[] = {
    {"server", "Server", command_info_server, true},
    {"clients", "Clients", command_info_clients, true},
    {"memory", "Memory", command_info_memory, true},
    {"persistence", "Persistence", command_info_persistence, true},
    {"log", "Log", command_info_log, false},
    {"stats", "Stats", command_info_stats, true},
    {"replication", "Replication", command_info_replication, true},
    {"modules", "Modules", command_info_modules, true},
    {"commandstats", "Commandstats", command_info_commandstats, false},
    {"latencystats", "Latencystats", command_info_latencystats, false},
    {"cluster", "Cluster", command_info_cluster, true},
    {"keyspace", "Keyspace", command_info_keyspace, true},
    {"raft", "Raft", command_info_raft, true},
};

static bool command_info_wants(const struct arguments *arguments, size_t section)
{
    bool is_default = command_info_sections[section].is_default;
    if (arguments->count == 1) {
        return is_default;
    }
    for (size_t i = 1; i < arguments->count; i++) {
        struct hf_bytes name = arguments->items[i];
        if (argument_is(name, "all") || argument_is(name, "everything") ||
            (is_default && argument_is(name, "default")) || argument_is(name, command_info_sections[section].name)) {
            return true;
        }
    }
    return false;
}

int command_info_info(struct session *session, const struct arguments *arguments, struct reply *reply)
{
    struct buffer text = {0};
    for (size_t i = 0; i < sizeof(command_info_sections) / sizeof(command_info_sections[0]); i++) {
        if (command_info_wants(arguments, i)) {
            buffer_format(&text, "%s# %s\r\n", text.size > 0 ? "\r\n" : "", command_info_sections[i].title);
            command_info_sections[i].write(session->server, &text);
        }
    }
    reply_verbatim(reply, "txt", buffer_bytes(&text));
    buffer_close(&text);
    return SESSION_ANSWERED;
}
