/* holdfast dev: a throw-away cluster on this machine, in the foreground. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/dev_cluster.h"
#include "cli/quantity.h"
#include "cli/verbs.h"

#define DEV_NODES_MAX     9u /* one key each */
#define DEV_TURN_MS       50
#define DEV_FIRST_LED_MS  30000u
#define DEV_SETTLE_MS     300u
#define DEV_SETTLE_MAX_MS 1500u

enum dev_key {
    KEY_NODES = 'n',
    KEY_GROUPS = 'g',
    KEY_PORT = 'p',
    KEY_DATA = 'd',
    KEY_SEED = 0x100,
    KEY_NO_RESTART,
    KEY_HELPER_PORT
};

static struct {
    uint64_t nodes;
    uint64_t groups;
    uint64_t port;
    uint64_t helper_port;
    uint64_t seed;
    const char *data;
    bool no_restart;
} dev = {.nodes = 3, .groups = 4, .port = 6379};

static const struct argp_option dev_arguments[] = {
    {"nodes", KEY_NODES, "N", 0, "Nodes, 1 to 9 (default 3)", 0},
    {"groups", KEY_GROUPS, "N", 0, "Routed Raft groups (default 4)", 0},
    {"port", KEY_PORT, "PORT", 0, "Node k answers Redis clients at PORT + k - 1 (default 6379)", 0},
    {"helper-port", KEY_HELPER_PORT, "PORT", 0,
     "The first of two ports per node, for its peers and for HTTP (default: free ones are drawn)", 0},
    {"data", KEY_DATA, "DIR", 0, "Keep the data here; the default is a temporary folder", 0},
    {"seed", KEY_SEED, "N", 0, "Draw every random number of the nodes from this seed", 0},
    {"no-restart", KEY_NO_RESTART, NULL, 0, "A node that dies stays down", 0},
    {0},
};

static error_t dev_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case KEY_NODES:
        rc = quantity_number(text, 1, DEV_NODES_MAX, &dev.nodes);
        break;
    case KEY_GROUPS:
        rc = quantity_number(text, 1, 1024, &dev.groups);
        break;
    case KEY_PORT:
        rc = quantity_number(text, 1, 65535 - DEV_NODES_MAX, &dev.port);
        break;
    case KEY_HELPER_PORT:
        rc = quantity_number(text, 1, 65535 - 2 * DEV_NODES_MAX, &dev.helper_port);
        break;
    case KEY_SEED:
        rc = quantity_number(text, 1, UINT64_MAX / 2, &dev.seed);
        break;
    case KEY_DATA:
        dev.data = text;
        break;
    case KEY_NO_RESTART:
        dev.no_restart = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return verb_parsed(state, rc);
}

/* ---- the terminal ---- */

static struct termios terminal_before;
static bool terminal_is_raw;

static void terminal_restore(void)
{
    if (terminal_is_raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
        terminal_is_raw = false;
    }
}

static void terminal_open(const struct verb_common *common)
{
    if (common->json || !isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal_before) != 0) {
        return;
    }
    struct termios raw = terminal_before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    terminal_is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    atexit(terminal_restore);
}

static const char *colour(const struct verb_common *common, const char *code)
{
    return common->no_color || getenv("NO_COLOR") != NULL || !isatty(STDOUT_FILENO) ? "" : code;
}

static void cluster_print(const struct verb_common *common, const struct dev_cluster *cluster)
{
    printf("%s  node  address            process   leads groups%s\n", colour(common, "\x1b[1m"),
           colour(common, "\x1b[0m"));
    for (uint32_t i = 0; i < cluster->node_count; i++) {
        const struct dev_node *node = &cluster->nodes[i];
        char *leads = dev_cluster_node_leads(node);
        bool is_up = node->pid != 0 && node->status != NULL;
        printf("  %s%-4" PRIu64 "%s  %-17s  %-8d  %s\n", colour(common, is_up ? "\x1b[32m" : "\x1b[31m"), node->id,
               colour(common, "\x1b[0m"), node->client_address, (int)node->pid,
               node->pid == 0         ? "(down)"
               : node->status == NULL ? "(does not answer)"
                                      : leads);
        free(leads);
    }
    fflush(stdout);
}

static void hints_print(const struct dev_cluster *cluster)
{
    printf("\n  redis-cli -p %s        any node takes every command\n  data in %s%s\n",
           strrchr(cluster->nodes[0].client_address, ':') + 1, cluster->directory,
           cluster->is_temporary ? " (removed at the end)" : "");
    if (terminal_is_raw) {
        printf("  keys: 1…%u kill that node, again to restart it · s status · q quit\n\n", cluster->node_count);
    } else {
        printf("  runs until SIGINT or SIGTERM\n\n");
    }
    fflush(stdout);
}

/* ---- the foreground ---- */

static void key_pressed(const struct verb_common *common, struct dev_cluster *cluster, char key, bool *quit)
{
    if (key == 'q') {
        *quit = true;
    } else if (key == 's') {
        dev_cluster_poll(cluster);
        cluster_print(common, cluster);
    } else if (key >= '1' && (unsigned)(key - '1') < cluster->node_count) {
        struct dev_node *node = &cluster->nodes[key - '1'];
        if (node->pid != 0) {
            printf("killing node %c\n", key);
            dev_cluster_kill(cluster, node);
        } else if (dev_cluster_start(cluster, node) == 0) {
            printf("node %c started again as process %d\n", key, (int)node->pid);
        } else {
            fprintf(stderr, "error: %s\n", hf_error_text());
        }
        fflush(stdout);
    }
}

/* Waits one turn for keys and signals; true when the program shall end. */
static bool foreground_turn(const struct verb_common *common, struct dev_cluster *cluster, const sigset_t *signals)
{
    bool quit = false;
    if (terminal_is_raw) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        char key;
        if (poll(&input, 1, 0) > 0 && read(STDIN_FILENO, &key, 1) == 1) {
            key_pressed(common, cluster, key, &quit);
        }
    }
    struct timespec wait = {.tv_nsec = DEV_TURN_MS * 1000 * 1000};
    int signal_number = sigtimedwait(signals, NULL, &wait);
    if (signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP) {
        quit = true;
    }
    dev_cluster_tend(cluster);
    return quit;
}

static void announce(const struct verb_common *common, const struct dev_cluster *cluster)
{
    if (common->json) {
        json_t *json = dev_cluster_json(cluster);
        char *text = json_dumps(json, 0);
        puts(text);
        fflush(stdout);
        free(text);
        json_decref(json);
    } else {
        cluster_print(common, cluster);
        hints_print(cluster);
    }
}

/* Leaders move to their preferred nodes right after the first elections. What is announced should still be true when it
 * is read: it waits, for a short while, until nothing moved between two looks. */
struct settling {
    uint64_t led_since_ns; /* 0: some group has no leader */
    uint64_t same_since_ns;
    char *seen;
};

static bool settled(struct settling *settling, const struct dev_cluster *cluster)
{
    uint64_t now_ns = io_monotonic_ns(cluster->io);
    json_t *json = dev_cluster_json(cluster);
    char *text = json_dumps(json, 0);
    json_decref(json);
    bool same = settling->seen != NULL && strcmp(settling->seen, text) == 0;
    free(settling->seen);
    settling->seen = text;
    settling->led_since_ns = settling->led_since_ns == 0 ? now_ns : settling->led_since_ns;
    settling->same_since_ns = same ? settling->same_since_ns : now_ns;
    return now_ns - settling->same_since_ns >= DEV_SETTLE_MS * 1000000ull ||
           now_ns - settling->led_since_ns >= DEV_SETTLE_MAX_MS * 1000000ull;
}

/* Runs until a signal or a key. HF_ENOLEADER when the groups do not find leaders. */
static int foreground(const struct verb_common *common, struct dev_cluster *cluster, const sigset_t *signals)
{
    uint64_t deadline_ns = io_monotonic_ns(cluster->io) + DEV_FIRST_LED_MS * 1000000ull;
    struct settling settling = {0};
    bool announced = false;
    int rc = 0;
    while (rc == 0 && !foreground_turn(common, cluster, signals)) {
        if (announced) {
            continue;
        }
        if (dev_cluster_poll(cluster)) {
            announced = settled(&settling, cluster);
            if (announced) {
                announce(common, cluster);
            }
        } else if (io_monotonic_ns(cluster->io) > deadline_ns) {
            rc = error_raise(HF_ENOLEADER, "the groups have no leaders after %u s", DEV_FIRST_LED_MS / 1000);
        }
    }
    free(settling.seen);
    return rc;
}

static int dev_run(const struct verb_common *common)
{
    struct io *io = NULL;
    struct dev_cluster *cluster = NULL;
    const struct dev_options options = {
        .directory = dev.data,
        .node_count = (uint32_t)dev.nodes,
        .group_count = (uint32_t)dev.groups,
        .port = (uint16_t)dev.port,
        .helper_port = (uint16_t)dev.helper_port,
        .seed = dev.seed,
    };
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc == 0 && dev.seed != 0) {
        io_kernel_seed(io, dev.seed);
    }
    if (rc == 0) {
        rc = dev_cluster_open(io, &options, &cluster);
    }
    if (rc == 0) {
        cluster->restarts = !dev.no_restart;
        for (uint32_t i = 0; i < cluster->node_count && rc == 0; i++) {
            rc = dev_cluster_start(cluster, &cluster->nodes[i]);
        }
    }
    if (rc == 0) {
        terminal_open(common);
        rc = foreground(common, cluster, &signals);
    }
    terminal_restore();
    int result = rc == 0 ? VERB_EXIT_OK : verb_fail(rc, rc == HF_EBUSY ? "choose another --port" : NULL);
    dev_cluster_close(cluster);
    io_close(io);
    return result;
}

const struct verb verb_dev = {
    .name = "dev",
    .summary = "Run a throw-away cluster on this machine",
    .details =
        "Starts the nodes as child processes and stays in the foreground. A node that dies is started again after "
        "a second. --data may be started again with another --port; the ports among the nodes stay those it was made "
        "with. With --json, one line on standard output once "
        "every group has a leader. In a terminal, keys "
        "kill and restart nodes.",
    .options = dev_arguments,
    .parse = dev_parse,
    .run = dev_run,
};
