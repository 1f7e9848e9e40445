/* holdfast join: makes the data directory of a new node of a running cluster.
 *
 *   ask a member what cluster this is → draw an incarnation, write it down → answer at the peer address
 *   → RAFT.JOIN: the member calls that address, the cluster agrees and gives an id → write the data directory
 *
 * Stopped anywhere, the same command goes on: the cluster knows the incarnation and gives the same id again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/config.h"
#include "cli/remote.h"
#include "cli/verbs.h"
#include "node/directory.h"
#include "node/joining.h"

enum join_key {
    KEY_CLUSTER = 'c',
    KEY_DATA = 'd',
    KEY_CONFIG = 0x100,
    KEY_PEER,
    KEY_CLIENT,
    KEY_HTTP,
    KEY_STANDBY,
    KEY_DRY_RUN
};

static struct {
    const char *member; /* the Redis port of one */
    const char *config_file;
    const char *data;
    const char *peer;
    const char *client;
    const char *http;
    bool is_standby;
    bool is_dry;
} join;

static const struct argp_option join_options[] = {
    {"cluster", KEY_CLUSTER, "HOST:PORT", 0, "The Redis port of any member", 0},
    {"data", KEY_DATA, "DIR", 0, "The data directory to make; it must not be a node's yet", 0},
    {"config", KEY_CONFIG, "FILE", 0,
     "A configuration (YAML) whose data and listen keys are used where no flag is given", 0},
    {"listen-peer", KEY_PEER, "ADDRESS", 0, "Where the other nodes will find this one (host:port)", 0},
    {"listen-client", KEY_CLIENT, "ADDRESS", 0, "Its Redis port", 0},
    {"listen-http", KEY_HTTP, "ADDRESS", 0, "Its port of /health and /metrics", 0},
    {"standby", KEY_STANDBY, NULL, 0, "Receive everything, but have no vote until holdfast member promote", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Ask whether the cluster would take the node; change nothing", 0},
    {0},
};

static error_t join_parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case KEY_CLUSTER:
        join.member = text;
        return 0;
    case KEY_DATA:
        join.data = text;
        return 0;
    case KEY_CONFIG:
        join.config_file = text;
        return 0;
    case KEY_PEER:
        join.peer = text;
        return 0;
    case KEY_CLIENT:
        join.client = text;
        return 0;
    case KEY_HTTP:
        join.http = text;
        return 0;
    case KEY_STANDBY:
        join.is_standby = true;
        return 0;
    case KEY_DRY_RUN:
        join.is_dry = true;
        return 0;
    case ARGP_KEY_END:
        if (join.member == NULL) {
            verb_usage_error(state, "--cluster HOST:PORT is needed: the Redis port of any member");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *join_or(const char *given, const char *configured)
{
    return given != NULL ? given : configured[0] != '\0' ? configured : NULL;
}

static int join_configure(struct io *io, struct config *config)
{
    config_default(config);
    int rc = join.config_file != NULL ? config_load(io, config, join.config_file) : 0;
    if (rc == 0) {
        rc = config_environment(config);
    }
    if (rc != 0) {
        return rc;
    }
    join.data = join_or(join.data, config->data);
    join.peer = join_or(join.peer, config->listen_peer);
    join.client = join_or(join.client, config->listen_client);
    join.http = join_or(join.http, config->listen_http);
    if (join.data == NULL || join.peer == NULL || join.client == NULL) {
        return error_raise(HF_EINVALID, "%s is needed, as a flag or in the configuration",
                           join.data == NULL   ? "--data DIR"
                           : join.peer == NULL ? "--listen-peer ADDRESS"
                                               : "--listen-client ADDRESS");
    }
    return 0;
}

/* ---- The loop, which answers at the peer address while the question is on its way ---- */

struct join_loop {
    struct loop *loop;
    struct joining *joining;
    struct executor *executor;
};

static void join_loop_turn(void *arg)
{
    loop_run(((struct join_loop *)arg)->loop);
}

static void join_loop_stop(void *arg)
{
    loop_stop(((struct join_loop *)arg)->loop);
}

static int join_loop_open(struct io *io, const struct remote_cluster *cluster, uint64_t incarnation,
                          struct join_loop *out)
{
    int rc = loop_open(io, &out->loop);
    if (rc == 0) {
        rc = joining_open(io, out->loop, cluster->cluster_id, cluster->routing_version, incarnation, join.peer,
                          &out->joining);
    }
    if (rc == 0) {
        rc = executor_open("loop", join_loop_turn, out, &out->executor);
    }
    return rc;
}

static void join_loop_close(struct join_loop *running)
{
    if (running->executor != NULL) {
        executor_stop(running->executor);
        loop_post(running->loop, join_loop_stop, running);
        executor_close(running->executor);
    }
    joining_close(running->joining);
    loop_close(running->loop);
}

/* ---- Joining ---- */

static void join_words(const char *words[8], unsigned *count, char incarnation[24], char features[12])
{
    const char *const all[] = {"RAFT.JOIN", join.peer, join.client, join.http != NULL ? join.http : "-",
                               incarnation, features};
    *count = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        words[(*count)++] = all[i];
    }
    if (join.is_standby) {
        words[(*count)++] = "STANDBY";
    }
    if (join.is_dry) {
        words[(*count)++] = "DRYRUN";
    }
}

static int join_finish(struct io *io, const struct remote_joined *answer, uint64_t incarnation)
{
    struct description *description = NULL;
    struct membership *membership = memory_new(sizeof(*membership));
    int rc = description_decode(buffer_bytes(&answer->description), &description);
    if (rc == 0) {
        rc = membership_decode(buffer_bytes(&answer->members), membership);
    }
    if (rc == 0) {
        rc = directory_join_finish(io, join.data, description, membership, answer->node_id, incarnation);
    }
    description_close(description);
    free(membership);
    return rc;
}

static int join_ask(struct io *io, const struct remote_cluster *cluster, uint64_t *node_id)
{
    struct join_loop running = {0};
    struct remote_joined answer = {0};
    const char *words[8];
    unsigned count;
    char number[24];
    char features[12];
    uint64_t incarnation = 1; /* of a dry run */
    int rc = join.is_dry ? 0 : directory_join_begin(io, join.data, cluster->cluster_id, &incarnation);
    if (rc == 0) {
        rc = join_loop_open(io, cluster, incarnation, &running);
    }
    if (rc == 0) {
        snprintf(number, sizeof(number), "%" PRIu64, incarnation);
        snprintf(features, sizeof(features), "%u", DESCRIPTION_FEATURE_LEVEL_MAX);
        join_words(words, &count, number, features);
        rc = join.is_dry ? remote_change(join.member, words, count) : remote_join(join.member, words, count, &answer);
    }
    join_loop_close(&running); /* the port is free again for holdfast serve */
    if (rc == 0 && !join.is_dry) {
        rc = join_finish(io, &answer, incarnation);
        *node_id = answer.node_id;
    }
    remote_joined_close(&answer);
    return rc;
}

static const char *join_next(int rc)
{
    if (strstr(hf_error_text(), "next: ") != NULL) {
        return NULL; /* the cluster said it */
    }
    switch (rc) {
    case HF_EEXISTS:
        return "it is a node already: holdfast serve runs it; choose another directory for a new node";
    case HF_ENOTFOUND:
        return "is the member running? --cluster takes the Redis port of any of them";
    case HF_EBUSY:
        return "stop whoever uses the port or the directory, or choose another";
    case HF_EINDETERMINATE:
    case HF_ETIMEOUT:
        return "repeat the command: if the cluster took the node, it gets the same id again";
    default:
        return NULL;
    }
}

static int join_run(const struct verb_common *common)
{
    struct io *io = NULL;
    struct config config;
    struct remote_cluster cluster;
    uint64_t node_id = 0;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc == 0) {
        rc = join_configure(io, &config);
    }
    if (rc == 0) {
        rc = remote_cluster(join.member, &cluster);
    }
    if (rc == 0) {
        rc = join_ask(io, &cluster, &node_id);
    }
    io_close(io);
    if (rc != 0) {
        return verb_fail(rc, join_next(rc));
    }
    if (common->json) {
        printf("{\"node\": %" PRIu64 ", \"data\": \"%s\", \"dry_run\": %s}\n", node_id, join.is_dry ? "" : join.data,
               join.is_dry ? "true" : "false");
    } else if (join.is_dry) {
        fprintf(stderr, "the cluster would take this node; nothing was changed\n");
    } else if (!common->quiet) {
        fprintf(stderr, "node %" PRIu64 " is a member; its data directory is %s\n  next: holdfast serve --data %s\n",
                node_id, join.data, join.data);
    }
    return VERB_EXIT_OK;
}

#define JOIN_DETAILS                                                                                                   \
    "Run it on the machine of the new node:\n\n"                                                                       \
    "  holdfast join --cluster 127.0.0.1:6379 --data /var/lib/holdfast --listen-peer 127.0.0.1:7404 "                  \
    "--listen-client 127.0.0.1:6382\n"                                                                                 \
    "  holdfast serve --data /var/lib/holdfast\n\n"                                                                    \
    "The member calls the peer address back before anything is changed. The node gets an id that no node ever had, "   \
    "receives everything as a stand-by, and becomes a voter of each group by itself when it has caught up there. The " \
    "same command again after an interruption goes on where it stopped."

const struct verb verb_join = {
    .name = "join",
    .summary = "Make this machine a node of a running cluster",
    .details = JOIN_DETAILS,
    .options = join_options,
    .parse = join_parse,
    .run = join_run,
};

const struct verb verb_member_add = {
    .name = "member add",
    .summary = "The same as holdfast join",
    .details = JOIN_DETAILS,
    .options = join_options,
    .parse = join_parse,
    .run = join_run,
};
