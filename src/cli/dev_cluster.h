/* A cluster of child processes on this machine, for development: data directories, ports, processes, restarts.
 * Used by `holdfast dev` alone. */
#ifndef CLI_DEV_CLUSTER_H
#define CLI_DEV_CLUSTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "node/description.h"

#define DEV_RESTART_MS 1000u

struct dev_node {
    uint64_t id;
    pid_t pid; /* 0: not running */
    char *directory;
    char client_address[64];
    char http_address[DESCRIPTION_ADDRESS_SIZE_MAX];
    uint64_t restart_at_ms; /* 0: not planned */
    bool is_held_down;      /* by a key: stays down until the key is pressed again */
    json_t *status;         /* the last one seen, or NULL */
};

struct dev_cluster {
    struct io *io;
    char *directory;
    bool is_temporary; /* removed at the end */
    uint32_t node_count;
    uint32_t group_count;
    struct dev_node *nodes;
    uint16_t helper_port;
    uint64_t seed;
    bool restarts;
    bool quiet;
};

struct dev_options {
    const char *directory; /* NULL: a temporary one */
    uint32_t node_count;
    uint32_t group_count;
    uint16_t port;        /* node k listens on port + k − 1 */
    uint16_t helper_port; /* two per node, for its peers and for HTTP; 0: drawn */
    uint64_t seed;        /* 0: none */
};

/* Formats the directories (or finds them formatted) and checks that the ports are free. Starts nothing. */
int dev_cluster_open(struct io *io, const struct dev_options *options, struct dev_cluster **out);
/* Ends every child (SIGTERM, then SIGKILL), removes a temporary directory. Accepts NULL. */
void dev_cluster_close(struct dev_cluster *cluster);
int dev_cluster_start(struct dev_cluster *cluster, struct dev_node *node);
/* Collects dead children, reports them, starts those whose time has come. */
void dev_cluster_tend(struct dev_cluster *cluster);
/* Asks every running node. True when every routed group has a leader that is known to lead. */
bool dev_cluster_poll(struct dev_cluster *cluster);
void dev_cluster_kill(struct dev_cluster *cluster, struct dev_node *node); /* SIGKILL; stays down */
/* {"nodes": [{"id", "pid", "address", "http", "leads": [group, …]}]}, from the last poll. */
json_t *dev_cluster_json(const struct dev_cluster *cluster);
/* The routed groups that the node leads, as text "2 5". The caller frees it. */
char *dev_cluster_node_leads(const struct dev_node *node);

#endif
