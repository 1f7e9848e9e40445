/* holdfast serve: one node, until a signal. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/trace.h"
#include "cli/config.h"
#include "cli/quantity.h"
#include "cli/verbs.h"
#include "server/server.h"

#define SERVE_HEAP_SHARE     64u         /* of the memory limit: a block of so much is not part of the heap */
#define SERVE_HEAP_BLOCK_MAX (16u << 20) /* glibc takes no more than 32 MiB */
#define SERVE_LEAVE_MS       400u        /* how long a clean stop waits for leadership to move */

enum serve_key {
    KEY_CONFIG = 'c',
    KEY_DATA = 'd',
    KEY_CLIENT = 0x100,
    KEY_HTTP,
    KEY_PEER,
    KEY_SET,
    KEY_SEED,
    KEY_PARENT,
    KEY_PEER_CLIENT,
    KEY_ACCEPT_LOST
};

static struct {
    const char *config_file;
    const char *set_paths[64];
    const char *set_values[64];
    unsigned set_count;
    uint64_t seed;
    bool dies_with_parent;
    bool accept_lost_writes;
    struct server_peer_address peers[DESCRIPTION_NODES_MAX];
    uint32_t peer_count;
} serve;

static const struct argp_option serve_options[] = {
    {"config", KEY_CONFIG, "FILE", 0, "The configuration (YAML)", 0},
    {"data", KEY_DATA, "DIR", 0, "The data directory, formatted by holdfast init", 0},
    {"listen-client", KEY_CLIENT, "ADDRESS", 0, "The Redis port (host:port)", 0},
    {"listen-http", KEY_HTTP, "ADDRESS", 0, "The port of /health and /metrics", 0},
    {"listen-peer", KEY_PEER, "ADDRESS", 0, "The port for the other nodes", 0},
    {"set", KEY_SET, "KEY=VALUE", 0, "Any key of the configuration, e.g. --set log.segment_size=16MiB", 0},
    {"seed", KEY_SEED, "N", 0, "Draw random numbers from this seed (tests; never in production)", 0},
    {"accept-lost-writes", KEY_ACCEPT_LOST, NULL, 0,
     "After an unclean stop under a relaxed log.sync_policy: vote with what is left. Only when no node leads, "
     "one node at a time",
     0},
    {"exit-with-parent", KEY_PARENT, NULL, OPTION_HIDDEN, "", 0},
    {"peer-client", KEY_PEER_CLIENT, "ID=ADDRESS", OPTION_HIDDEN, "", 0},
    {0},
};

static void serve_set(const char *path, const char *value, struct argp_state *state)
{
    if (serve.set_count == sizeof(serve.set_paths) / sizeof(serve.set_paths[0])) {
        verb_usage_error(state, "too many settings");
    }
    serve.set_paths[serve.set_count] = path;
    serve.set_values[serve.set_count++] = value;
}

/* From `holdfast dev`, which knows where the other nodes listen in this run. */
static void serve_peer(char *text, struct argp_state *state)
{
    struct server_peer_address *peer = &serve.peers[serve.peer_count];
    char *equals = strchr(text, '=');
    if (equals == NULL || serve.peer_count == DESCRIPTION_NODES_MAX) {
        verb_usage_error(state, "--peer-client %s: expected ID=ADDRESS", text);
    }
    *equals = '\0';
    if (quantity_number(text, 1, UINT64_MAX, &peer->node_id) != 0) {
        verb_usage_error(state, "--peer-client: %s", hf_error_text());
    }
    peer->client_address = equals + 1;
    serve.peer_count++;
}

static error_t serve_parse(int key, char *text, struct argp_state *state)
{
    char *equals;
    switch (key) {
    case KEY_CONFIG:
        serve.config_file = text;
        return 0;
    case KEY_DATA:
        serve_set("data", text, state);
        return 0;
    case KEY_CLIENT:
        serve_set("listen.client", text, state);
        return 0;
    case KEY_HTTP:
        serve_set("listen.http", text, state);
        return 0;
    case KEY_PEER:
        serve_set("listen.peer", text, state);
        return 0;
    case KEY_SET:
        equals = strchr(text, '=');
        if (equals == NULL) {
            verb_usage_error(state, "--set %s: expected KEY=VALUE", text);
        }
        *equals = '\0';
        serve_set(text, equals + 1, state);
        return 0;
    case KEY_SEED:
        if (quantity_number(text, 1, UINT64_MAX, &serve.seed) != 0) {
            verb_usage_error(state, "--seed: %s", hf_error_text());
        }
        return 0;
    case KEY_PEER_CLIENT:
        serve_peer(text, state);
        return 0;
    case KEY_ACCEPT_LOST:
        serve.accept_lost_writes = true;
        return 0;
    case KEY_PARENT:
        serve.dies_with_parent = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int serve_config_file(struct config *config)
{
    struct io *io = NULL;
    int rc = serve.config_file != NULL ? io_open_kernel(IO_BACKEND_THREADS, &io) : 0;
    if (rc == 0 && serve.config_file != NULL) {
        rc = config_load(io, config, serve.config_file);
    }
    io_close(io);
    return rc;
}

static int serve_config(struct config *config)
{
    config_default(config);
    int rc = serve_config_file(config);
    if (rc == 0) {
        rc = config_environment(config);
    }
    for (unsigned i = 0; i < serve.set_count && rc == 0; i++) {
        rc = config_set(config, serve.set_paths[i], serve.set_values[i]);
    }
    if (rc == 0 && config->data[0] == '\0') {
        rc = error_raise(HF_EINVALID, "no data directory: give --data DIR, or 'data' in the configuration");
    }
    return rc;
}

/* ---- the process ---- */

struct process {
    struct io *io;
    struct loop *loop;
    struct node *node;
    struct server *server;
    struct executor *signals;
    struct loop_timer leave_timer;
    uint64_t at_stop_ms; /* how long a clean stop takes snapshots */
    int fatal_result;    /* 0, or why the process must end */
    bool stopping;
};

static void process_stop_now(void *arg)
{
    struct process *process = arg;
    loop_stop(process->loop);
}

static void process_snapshots_ended(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    process_stop_now(arg);
}

/* Leadership has moved. What is applied goes into snapshots, so that the next start replays nothing. */
static void process_left(void *arg)
{
    struct process *process = arg;
    if (process->at_stop_ms == 0) {
        process_stop_now(process);
        return;
    }
    process->leave_timer = (struct loop_timer){.fire = process_stop_now, .arg = process};
    loop_timer_set(process->loop, &process->leave_timer, loop_now_ms(process->loop) + process->at_stop_ms);
    node_snapshot(process->node, 0, process_snapshots_ended, process);
}

/* A clean stop hands leadership over first, so that the others need no election. */
static void process_stop(void *arg)
{
    struct process *process = arg;
    if (process->stopping) {
        loop_stop(process->loop); /* the second signal does not wait */
        return;
    }
    process->stopping = true;
    node_leave(process->node);
    process->leave_timer = (struct loop_timer){.fire = process_left, .arg = process};
    loop_timer_set(process->loop, &process->leave_timer, loop_now_ms(process->loop) + SERVE_LEAVE_MS);
}

static void process_fatal(void *arg, int result, const char *text)
{
    struct process *process = arg;
    TRACE(TRACE_ERROR, "cli", "%s; this node stops serving", text);
    if (process->fatal_result == 0) {
        process->fatal_result = result;
        /* A device that hangs must not keep a dead node alive: SIGALRM's default action ends the process. */
        alarm(1);
        loop_stop(process->loop);
    }
}

static sigset_t stop_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    return signals;
}

/* One turn of the thread that waits for signals; a handler could not post to the loop. */
static void process_signal_turn(void *arg)
{
    struct process *process = arg;
    sigset_t signals = stop_signals();
    struct timespec wait = {.tv_nsec = 100 * 1000 * 1000};
    if (sigtimedwait(&signals, NULL, &wait) > 0) {
        loop_post(process->loop, process_stop, process);
    }
}

static void alarm_handler(int signal_number)
{
    (void)signal_number;
    _exit(VERB_EXIT_LOG_FAILED);
}

static void process_signals_block(void)
{
    sigset_t signals = stop_signals();
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, alarm_handler);
    if (serve.dies_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
}

static uint64_t process_or_never(uint64_t value)
{
    return value != 0 ? value : UINT64_MAX;
}

static int process_open_node(struct process *process, const struct config *config)
{
    process->at_stop_ms = config->snapshot_at_stop_ms;
    const struct node_options options = {
        .directory = config->data,
        .accept_lost_writes = serve.accept_lost_writes,
        .log =
            {
                .segment_size_bytes = config->segment_size_bytes,
                .write_size_max_bytes = (uint32_t)config->write_size_max_bytes,
                .queue_bytes_max = config->queue_size_max_bytes,
                .tail_cache_bytes = config->tail_cache_bytes,
                .reserve_bytes = config->reserve_bytes,
                .sync_policy = (enum hf_log_sync_policy)config->sync_policy,
                .sync_interval_ms = (uint32_t)config->sync_interval_ms,
            },
        .election_timeout_ms = (unsigned)config->election_timeout_ms,
        .heartbeat_timeout_ms = (unsigned)config->heartbeat_timeout_ms,
        .request_timeout_ms = (unsigned)config->request_timeout_ms,
        .data_size_max_bytes = config->data_size_max_bytes,
        .log_here = config->wait == CONFIG_WAIT_AUTO,
        .memory_limit_bytes = config->memory_limit_bytes,
        .peer_listen = config->listen_peer[0] != '\0' ? config->listen_peer : NULL,
        .snapshot =
            {
                .directory = config->snapshot_directory[0] != '\0' ? config->snapshot_directory : NULL,
                .format = {.compression =
                               (enum hf_snapshot_compression)(HF_SNAPSHOT_NONE + config->snapshot_compression),
                           .level = (uint32_t)config->snapshot_level,
                           .worker_threads = (uint32_t)config->snapshot_workers},
                .keep_latest = (uint32_t)config->snapshot_keep_latest,
                .entries = process_or_never(config->snapshot_entries),
                .log_bytes = process_or_never(config->snapshot_log_bytes),
                .interval_ms = process_or_never(config->snapshot_interval_ms),
                .trail = config->snapshot_trail,
                .log_entries_max = process_or_never(config->snapshot_entries_max),
                .copy_bytes_max = config->snapshot_copy_max_bytes,
            },
    };
    const struct node_callbacks callbacks = {.fatal = process_fatal};
    return node_open(process->io, process->loop, &options, server_machine_ops(), &callbacks, process, &process->node);
}

static int process_open_server(struct process *process, const struct config *config)
{
    const struct membership_member *member = membership_find(node_membership(process->node), node_id(process->node));
    const struct description_node *self = &member->node;
    const struct server_options options = {
        .client_address = config->listen_client[0] != '\0' ? config->listen_client : self->client_address,
        .http_address = config->listen_http[0] != '\0' ? config->listen_http : self->http_address,
        .clients_max = (uint32_t)config->clients_max,
        .request_timeout_ms = (uint32_t)config->request_timeout_ms,
        .process_id = getpid(),
        .peer_addresses = serve.peers,
        .peer_address_count = serve.peer_count,
        .shutdown = process_stop,
        .arg = process,
    };
    return server_open(process->io, process->loop, process->node, &options, &process->server);
}

static int process_open(struct process *process, const struct config *config)
{
    static const enum io_backend backends[] = {IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_THREADS};
    int rc = io_open_kernel(backends[config->io], &process->io);
    if (rc == 0 && serve.seed != 0) {
        io_kernel_seed(process->io, serve.seed);
    }
    if (rc == 0) {
        rc = loop_open(process->io, &process->loop);
    }
    if (rc == 0) {
        rc = process_open_node(process, config);
    }
    if (rc == 0) {
        rc = process_open_server(process, config);
    }
    if (rc == 0) {
        rc = executor_open("signals", process_signal_turn, process, &process->signals);
    }
    return rc;
}

static void process_close(struct process *process)
{
    executor_close(process->signals);
    server_close(process->server);
    node_close(process->node);
    if (process->loop != NULL) {
        loop_timer_stop(process->loop, &process->leave_timer);
    }
    loop_close(process->loop);
    io_close(process->io);
}

static const char *serve_next(int rc)
{
    switch (rc) {
    case HF_ENOTFOUND:
        return "holdfast init --cluster FILE --id ID --data DIR formats one for a new cluster, holdfast join one for a "
               "cluster that runs, also after it was interrupted";
    case HF_EBUSY:
        return "stop the other process, or choose another address or directory";
    case HF_EVERSION:
        return "run the release that wrote it, or a newer one; nothing was changed";
    case HF_ECORRUPT:
        return "holdfast log verify DIR names every damaged place; nothing was changed";
    case HF_EMISMATCH:
        return "use the directory that was formatted for this node of this cluster; nothing was changed";
    case HF_EREMOVED:
        return "holdfast join makes the machine a new node, in an empty directory";
    case HF_ENOSPACE:
        return "free space on the device, then start again; nothing was lost";
    default:
        return NULL;
    }
}

/* glibc gives large blocks back to the system when they are freed, until the first one is: from then on it keeps blocks
 * of up to that size in its heap, where what was freed between others is lost to larger ones. Commands of 1 MiB made a
 * heap of four times the memory limit. So a block that is more than a little of the limit stays apart; those below,
 * which are most, are as cheap as before. */
static void process_heap(const struct config *config)
{
    uint64_t apart = config->memory_limit_bytes / SERVE_HEAP_SHARE;
    (void)mallopt(M_MMAP_THRESHOLD, (int)(apart < SERVE_HEAP_BLOCK_MAX ? apart : SERVE_HEAP_BLOCK_MAX));
}

static int serve_run(const struct verb_common *common)
{
    struct config config;
    struct process process = {0};
    int rc = serve_config(&config);
    if (rc != 0) {
        return verb_fail(rc, "holdfast config default prints every key; holdfast serve --help the flags");
    }
    trace_set_level(common->quiet ? TRACE_WARN : (enum trace_level)config.trace_level);
    process_heap(&config);
    process_signals_block();
    rc = process_open(&process, &config);
    if (rc != 0) {
        int result = verb_fail(rc, serve_next(rc));
        process_close(&process);
        return result;
    }
    TRACE(TRACE_INFO, "cli", "node %" PRIu64 " serves clients at %s, http at %s, log by %s", node_id(process.node),
          server_client_address(process.server), server_http_address(process.server), io_backend_name(process.io));
    loop_run(process.loop);
    process_close(&process);
    return process.fatal_result != 0 ? VERB_EXIT_LOG_FAILED : VERB_EXIT_OK;
}

const struct verb verb_serve = {
    .name = "serve",
    .summary = "Run one node until SIGINT or SIGTERM",
    .details = "The configuration is read from the file, then from HOLDFAST_* variables, then from flags. Exit code 9 "
               "means that the log's device failed and the node stopped at once, as it must.",
    .options = serve_options,
    .parse = serve_parse,
    .run = serve_run,
};
