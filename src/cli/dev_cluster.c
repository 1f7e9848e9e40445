#include "cli/dev_cluster.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/rng.h"
#include "cli/cluster_file.h"
#include "cli/remote.h"
#include "net/loop.h"
#include "node/directory.h"

#define DEV_HELPER_PORT_LOW  21000u /* http and peer ports: below the range from which outgoing connections draw */
#define DEV_HELPER_PORT_HIGH 31999u
#define DEV_STOP_MS          5000u
#define DEV_ARGUMENTS_MAX    48u

static uint64_t now_ms(const struct dev_cluster *cluster)
{
    return io_monotonic_ns(cluster->io) / 1000000;
}

/* ---- ports ---- */

static void port_accepted(void *arg, struct stream *stream)
{
    stream_close(stream);
}

static int port_probe(struct loop *loop, const char *address)
{
    struct listener *listener = NULL;
    int rc = listener_open(loop, address, port_accepted, NULL, &listener);
    if (rc == 0) {
        listener_close(listener);
    }
    return rc;
}

static bool address_is_taken(const struct description_node *nodes, uint32_t count, const char *address)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(nodes[i].peer_address, address) == 0 || strcmp(nodes[i].http_address, address) == 0) {
            return true;
        }
    }
    return false;
}

/* A free port for a node's own use, that none of the first `count` nodes was given, from nowhere else but `wanted` when
 * that is not 0. */
static int port_choose(struct loop *loop, struct rng *rng, const struct description_node *nodes, uint32_t count,
                       uint32_t wanted, char *out)
{
    for (int tries = 0; tries < 200; tries++) {
        char address[DESCRIPTION_ADDRESS_SIZE_MAX];
        snprintf(address, sizeof(address), "127.0.0.1:%" PRIu64,
                 wanted != 0 ? wanted : rng_between(rng, DEV_HELPER_PORT_LOW, DEV_HELPER_PORT_HIGH));
        if (!address_is_taken(nodes, count, address) && port_probe(loop, address) == 0) {
            memcpy(out, address, sizeof(address));
            return 0;
        }
        if (wanted != 0) {
            return error_raise(HF_EBUSY, "%s is in use", address);
        }
    }
    return error_raise(HF_EBUSY, "no free port between %u and %u", DEV_HELPER_PORT_LOW, DEV_HELPER_PORT_HIGH);
}

static int cluster_check_ports(const struct dev_cluster *cluster, struct loop *loop)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        int rc = port_probe(loop, cluster->nodes[i].client_address);
        if (rc != 0) {
            return error_wrap(rc, "node %u", i + 1);
        }
    }
    return 0;
}

/* ---- directories ---- */

static int cluster_describe(struct dev_cluster *cluster, struct loop *loop, const char *file, struct description **out)
{
    struct description_node *nodes = memory_new(cluster->node_count * sizeof(*nodes));
    struct rng rng;
    uint64_t seed;
    int rc = 0;
    io_random(cluster->io, &seed, sizeof(seed));
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < cluster->node_count && rc == 0; i++) {
        nodes[i].id = i + 1;
        snprintf(nodes[i].client_address, sizeof(nodes[i].client_address), "%s", cluster->nodes[i].client_address);
        uint32_t wanted = cluster->helper_port != 0 ? cluster->helper_port + 2 * i : 0;
        rc = port_choose(loop, &rng, nodes, i + 1, wanted, nodes[i].peer_address);
        if (rc == 0) {
            rc = port_choose(loop, &rng, nodes, i + 1, wanted != 0 ? wanted + 1 : 0, nodes[i].http_address);
        }
    }
    if (rc == 0) {
        rc = description_create(cluster->io, nodes, cluster->node_count, cluster->group_count, out);
    }
    if (rc == 0) {
        rc = cluster_file_write(cluster->io, file, *out, CLUSTER_FILE_CREATE);
    }
    free(nodes);
    return rc;
}

/* The ports among the nodes stay as they were chosen when the directory was made. */
static int cluster_check_recorded(struct loop *loop, const struct description_node *recorded)
{
    int rc = recorded->peer_address[0] != '\0' ? port_probe(loop, recorded->peer_address) : 0;
    if (rc == 0 && recorded->http_address[0] != '\0') {
        rc = port_probe(loop, recorded->http_address);
    }
    return rc != 0 ? error_wrap(rc, "node %" PRIu64, recorded->id) : 0;
}

static int cluster_format(struct dev_cluster *cluster, struct loop *loop)
{
    struct description *description = NULL;
    char *file = text_format("%s/cluster.holdfast", cluster->directory);
    int rc = cluster_file_read(cluster->io, file, &description);
    if (rc == HF_ENOTFOUND) {
        rc = cluster_describe(cluster, loop, file, &description);
    }
    if (rc == 0 &&
        (description->node_count != cluster->node_count || description->group_count != cluster->group_count)) {
        rc =
            error_raise(HF_EMISMATCH, "%s holds a cluster of %u nodes and %u groups, not %u and %u", cluster->directory,
                        description->node_count, description->group_count, cluster->node_count, cluster->group_count);
    }
    for (uint32_t i = 0; i < cluster->node_count && rc == 0; i++) {
        struct dev_node *node = &cluster->nodes[i];
        rc = cluster_check_recorded(loop, &description->nodes[i]);
        if (rc != 0) {
            rc = error_wrap(rc, "recorded in %s", cluster->directory);
            break;
        }
        snprintf(node->http_address, sizeof(node->http_address), "%s", description->nodes[i].http_address);
        rc = directory_format(cluster->io, node->directory, description, node->id);
        if (rc == HF_EEXISTS) {
            rc = 0;
        }
    }
    description_close(description);
    free(file);
    return rc;
}

static int cluster_directory(struct dev_cluster *cluster, const char *directory)
{
    if (directory != NULL) {
        cluster->directory = text_copy(directory);
        return directory_create(cluster->io, directory);
    }
    const char *folder = getenv("TMPDIR");
    cluster->directory = text_format("%s/holdfast-dev-XXXXXX", folder != NULL && *folder != '\0' ? folder : "/tmp");
    if (mkdtemp(cluster->directory) == NULL) {
        return error_from_errno(errno, "temporary directory %s", cluster->directory);
    }
    cluster->is_temporary = true;
    return 0;
}

int dev_cluster_open(struct io *io, const struct dev_options *options, struct dev_cluster **out)
{
    struct dev_cluster *cluster = memory_new(sizeof(*cluster));
    struct loop *loop = NULL;
    cluster->io = io;
    cluster->seed = options->seed;
    cluster->node_count = options->node_count;
    cluster->group_count = options->group_count;
    cluster->helper_port = options->helper_port;
    cluster->nodes = memory_new(options->node_count * sizeof(*cluster->nodes));
    int rc = cluster_directory(cluster, options->directory);
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct dev_node *node = &cluster->nodes[i];
        node->id = i + 1;
        node->directory = text_format("%s/node%u", cluster->directory, i + 1);
        snprintf(node->client_address, sizeof(node->client_address), "127.0.0.1:%u", options->port + i);
    }
    if (rc == 0) {
        rc = loop_open(io, &loop);
    }
    if (rc == 0) {
        rc = cluster_check_ports(cluster, loop);
    }
    if (rc == 0) {
        rc = cluster_format(cluster, loop);
    }
    loop_close(loop);
    if (rc == 0) {
        *out = cluster;
        cluster = NULL;
    }
    dev_cluster_close(cluster);
    return rc;
}

/* ---- processes ---- */

static void child_run(const struct dev_cluster *cluster, const struct dev_node *node)
{
    char seed[32];
    const char *arguments[DEV_ARGUMENTS_MAX] = {
        "holdfast",          "serve", "--data", node->directory, "--listen-client", node->client_address, "--quiet",
        "--exit-with-parent"};
    unsigned count = 8;
    if (cluster->seed != 0) {
        snprintf(seed, sizeof(seed), "%" PRIu64, cluster->seed + node->id);
        arguments[count++] = "--seed";
        arguments[count++] = seed;
    }
    /* The ports are chosen anew for every run: what the cluster recorded may be those of an earlier one. */
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (&cluster->nodes[i] != node && count + 3 < DEV_ARGUMENTS_MAX) {
            arguments[count++] = "--peer-client";
            arguments[count++] = text_format("%" PRIu64 "=%s", cluster->nodes[i].id, cluster->nodes[i].client_address);
        }
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* A child never writes to standard output: with --json that belongs to one line of ours. */
    dup2(STDERR_FILENO, STDOUT_FILENO);
    /* Its own process group: Ctrl-C in the terminal reaches the parent alone, which ends the children in order. */
    setpgid(0, 0);
    execv("/proc/self/exe", (char **)arguments);
    _exit(127);
}

int dev_cluster_start(struct dev_cluster *cluster, struct dev_node *node)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        return error_from_errno(errno, "start of node %" PRIu64, node->id);
    }
    if (pid == 0) {
        if (getppid() == parent) {
            child_run(cluster, node);
        }
        _exit(127);
    }
    node->pid = pid;
    node->restart_at_ms = 0;
    node->is_held_down = false;
    return 0;
}

static void node_ended(struct dev_cluster *cluster, struct dev_node *node, int status)
{
    node->pid = 0;
    json_decref(node->status);
    node->status = NULL;
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "node %" PRIu64 " died of signal %d (%s)", node->id, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
    } else {
        fprintf(stderr, "node %" PRIu64 " ended with code %d", node->id, WEXITSTATUS(status));
    }
    if (cluster->restarts && !node->is_held_down) {
        node->restart_at_ms = now_ms(cluster) + DEV_RESTART_MS;
        fprintf(stderr, "; starting it again in a second\n");
    } else {
        fprintf(stderr, "; it stays down\n");
    }
}

void dev_cluster_tend(struct dev_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct dev_node *node = &cluster->nodes[i];
        int status;
        if (node->pid != 0 && waitpid(node->pid, &status, WNOHANG) == node->pid) {
            node_ended(cluster, node, status);
        }
        if (node->pid == 0 && node->restart_at_ms != 0 && now_ms(cluster) >= node->restart_at_ms) {
            if (dev_cluster_start(cluster, node) == 0) {
                fprintf(stderr, "node %" PRIu64 " started again as process %d\n", node->id, (int)node->pid);
            } else {
                fprintf(stderr, "error: %s\n", hf_error_text());
                node->restart_at_ms = now_ms(cluster) + DEV_RESTART_MS;
            }
        }
    }
}

void dev_cluster_kill(struct dev_cluster *cluster, struct dev_node *node)
{
    node->is_held_down = true;
    node->restart_at_ms = 0;
    if (node->pid != 0) {
        kill(node->pid, SIGKILL);
    }
}

static int remove_visit(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* Waits until no child runs or the time is over; true when none runs. */
static bool children_wait(struct dev_cluster *cluster, uint64_t timeout_ms)
{
    uint64_t deadline = now_ms(cluster) + timeout_ms;
    for (;;) {
        unsigned running = 0;
        for (uint32_t i = 0; i < cluster->node_count; i++) {
            struct dev_node *node = &cluster->nodes[i];
            if (node->pid != 0 && waitpid(node->pid, NULL, WNOHANG) != 0) {
                node->pid = 0;
            }
            running += node->pid != 0;
        }
        if (running == 0 || now_ms(cluster) >= deadline) {
            return running == 0;
        }
        struct timespec wait = {.tv_nsec = 10 * 1000 * 1000};
        sigset_t child;
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        sigtimedwait(&child, NULL, &wait);
    }
}

static void children_signal(const struct dev_cluster *cluster, int signal_number)
{
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        if (cluster->nodes[i].pid != 0) {
            kill(cluster->nodes[i].pid, signal_number);
        }
    }
}

void dev_cluster_close(struct dev_cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    children_signal(cluster, SIGTERM);
    if (!children_wait(cluster, DEV_STOP_MS)) {
        children_signal(cluster, SIGKILL);
        children_wait(cluster, DEV_STOP_MS);
    }
    if (cluster->is_temporary) {
        nftw(cluster->directory, remove_visit, 16, FTW_DEPTH | FTW_PHYS);
    }
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        free(cluster->nodes[i].directory);
        json_decref(cluster->nodes[i].status);
    }
    free(cluster->nodes);
    free(cluster->directory);
    free(cluster);
}

/* ---- what the nodes say ---- */

static bool group_is_led(const json_t *group)
{
    const char *role = json_string_value(json_object_get(group, "role"));
    return role != NULL && strcmp(role, "leader") == 0;
}

bool dev_cluster_poll(struct dev_cluster *cluster)
{
    uint32_t led = 0;
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        struct dev_node *node = &cluster->nodes[i];
        json_decref(node->status);
        node->status = NULL;
        if (node->pid == 0 || remote_status(node->client_address, &node->status) != 0) {
            continue;
        }
        size_t position;
        json_t *group;
        json_array_foreach(json_object_get(node->status, "groups"), position, group)
        {
            led += group_is_led(group);
        }
    }
    return led >= cluster->group_count + 1; /* the system group is led too */
}

static json_t *node_leads_json(const struct dev_node *node)
{
    json_t *leads = json_array();
    size_t position;
    json_t *group;
    json_array_foreach(json_object_get(node->status, "groups"), position, group)
    {
        json_int_t id = json_integer_value(json_object_get(group, "group"));
        if (group_is_led(group) && id != 1) {
            json_array_append_new(leads, json_integer(id));
        }
    }
    return leads;
}

char *dev_cluster_node_leads(const struct dev_node *node)
{
    struct buffer text = {0};
    json_t *leads = node_leads_json(node);
    size_t position;
    json_t *group;
    json_array_foreach(leads, position, group)
    {
        buffer_format(&text, "%s%lld", position > 0 ? " " : "", json_integer_value(group));
    }
    json_decref(leads);
    buffer_append_u8(&text, 0);
    return (char *)text.data;
}

json_t *dev_cluster_json(const struct dev_cluster *cluster)
{
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct dev_node *node = &cluster->nodes[i];
        json_array_append_new(nodes, json_pack("{s:I, s:i, s:s, s:s, s:o}", "id", (json_int_t)node->id, "pid",
                                               (int)node->pid, "address", node->client_address, "http",
                                               node->http_address, "leads", node_leads_json(node)));
    }
    return json_pack("{s:o}", "nodes", nodes);
}
