/* holdfast init: writes the cluster description once, and formats data directories with it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/cluster_file.h"
#include "cli/quantity.h"
#include "cli/verbs.h"
#include "node/directory.h"

enum init_key {
    KEY_CLUSTER = 'c',
    KEY_NODE = 'n',
    KEY_GROUPS = 'g',
    KEY_ID = 'i',
    KEY_DATA = 'd',
    KEY_DRY_RUN = 0x100
};

static struct {
    const char *cluster_file;
    const char *data;
    uint64_t id;
    uint64_t groups;
    struct description_node nodes[DESCRIPTION_NODES_MAX];
    uint32_t node_count;
    bool dry_run;
} init = {.groups = 4};

static const struct argp_option init_options[] = {
    {"cluster", KEY_CLUSTER, "FILE", 0, "The cluster description: read, or written when --node is given", 0},
    {"node", KEY_NODE, "ID=PEER,CLIENT,HTTP", 0, "A member and its three addresses (host:port each); once per node", 0},
    {"groups", KEY_GROUPS, "N", 0, "Routed groups, fixed for the life of the cluster (default 4)", 0},
    {"id", KEY_ID, "ID", 0, "Format the data directory of this node", 0},
    {"data", KEY_DATA, "DIR", 0, "The data directory to format", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Say what would be done, change nothing", 0},
    {0},
};

static int init_address(char *target, const char *text, size_t size)
{
    if (size == 0 || size >= DESCRIPTION_ADDRESS_SIZE_MAX || memchr(text, ':', size) == NULL) {
        return error_raise(HF_EINVALID, "'%.*s' is not an address (host:port)", (int)size, text);
    }
    memcpy(target, text, size);
    target[size] = '\0';
    return 0;
}

static int init_node(const char *text)
{
    if (init.node_count == DESCRIPTION_NODES_MAX) {
        return error_raise(HF_EINVALID, "more than %u nodes", DESCRIPTION_NODES_MAX);
    }
    struct description_node *node = &init.nodes[init.node_count];
    char id[32] = "";
    size_t id_size = strcspn(text, "=");
    if (text[id_size] != '=' || id_size == 0 || id_size >= sizeof(id)) {
        return error_raise(HF_EINVALID, "--node %s: expected ID=PEER,CLIENT,HTTP", text);
    }
    memcpy(id, text, id_size);
    int rc = quantity_number(id, 1, INT64_MAX, &node->id);
    char *const targets[] = {node->peer_address, node->client_address, node->http_address};
    const char *at = text + id_size + 1;
    for (int i = 0; i < 3 && rc == 0; i++) {
        size_t size = strcspn(at, ",");
        rc = init_address(targets[i], at, size);
        at += size;
        if (rc == 0 && (i < 2) != (*at == ',')) {
            rc = error_raise(HF_EINVALID, "expected three addresses: PEER,CLIENT,HTTP");
        }
        at += *at == ',';
    }
    if (rc != 0) {
        return error_wrap(rc, "--node %s", text);
    }
    init.node_count++;
    return 0;
}

static error_t init_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case KEY_CLUSTER:
        init.cluster_file = text;
        break;
    case KEY_DATA:
        init.data = text;
        break;
    case KEY_NODE:
        rc = init_node(text);
        break;
    case KEY_GROUPS:
        rc = quantity_number(text, 1, DESCRIPTION_GROUPS_MAX, &init.groups);
        break;
    case KEY_ID:
        rc = quantity_number(text, 1, INT64_MAX, &init.id);
        break;
    case KEY_DRY_RUN:
        init.dry_run = true;
        break;
    case ARGP_KEY_END:
        if (init.cluster_file == NULL) {
            verb_usage_error(state, "--cluster FILE is needed");
        }
        if ((init.id != 0) != (init.data != NULL)) {
            verb_usage_error(state, "--id and --data go together");
        }
        if (init.node_count == 0 && init.id == 0) {
            verb_usage_error(state, "nothing to do: give --node to describe a cluster, or --id and --data to format");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return verb_parsed(state, rc);
}

static int init_describe(struct io *io, const struct verb_common *common, struct description **out)
{
    int rc = description_create(io, init.nodes, init.node_count, (uint32_t)init.groups, out);
    if (rc != 0) {
        return rc;
    }
    rc = cluster_file_write(io, init.cluster_file, *out, init.dry_run ? CLUSTER_FILE_CHECK_ONLY : CLUSTER_FILE_CREATE);
    if (rc == 0 && !common->quiet) {
        char id[33];
        description_cluster_id_text(*out, id);
        fprintf(stderr, "%s %s: cluster %s, %u nodes, %u groups\n", init.dry_run ? "would write" : "wrote",
                init.cluster_file, id, (*out)->node_count, (*out)->group_count);
    }
    return rc;
}

static int init_format(struct io *io, const struct verb_common *common, const struct description *description)
{
    if (description_node(description, init.id) == NULL) {
        return error_raise(HF_EINVALID, "the cluster description %s has no node %" PRIu64, init.cluster_file, init.id);
    }
    int rc = init.dry_run ? 0 : directory_format(io, init.data, description, init.id);
    if (rc == 0 && !common->quiet) {
        fprintf(stderr, "%s %s for node %" PRIu64 "\n", init.dry_run ? "would format" : "formatted", init.data,
                init.id);
    }
    return rc;
}

static int init_run(const struct verb_common *common)
{
    struct io *io = NULL;
    struct description *description = NULL;
    const char *next = NULL;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc != 0) {
        goto done;
    }
    if (init.node_count > 0) {
        next = "every node of a cluster must be formatted with the same file: reuse it, or choose another name";
        rc = init_describe(io, common, &description);
    } else {
        next = "holdfast init --cluster FILE --node ID=PEER,CLIENT,HTTP … writes one";
        rc = cluster_file_read(io, init.cluster_file, &description);
    }
    if (rc == 0 && init.id != 0) {
        next = rc == HF_EEXISTS ? "holdfast serve runs it; nothing was changed" : NULL;
        rc = init_format(io, common, description);
        if (rc == HF_EEXISTS) {
            next = "start it with holdfast serve; nothing was changed";
        }
    }
done:
    description_close(description);
    io_close(io);
    return rc == 0 ? VERB_EXIT_OK : verb_fail(rc, next);
}

const struct verb verb_init = {
    .name = "init",
    .summary = "Describe a new cluster and format data directories",
    .details =
        "A cluster begins with one description: its id, its nodes and its groups. Write it once, copy the file to "
        "every node, and format each node's data directory with it:\n\n"
        "  holdfast init --cluster c.holdfast --groups 4 --node 1=127.0.0.1:7401,127.0.0.1:6379,127.0.0.1:7481 …\n"
        "  holdfast init --cluster c.holdfast --id 1 --data /var/lib/holdfast",
    .options = init_options,
    .parse = init_parse,
    .run = init_run,
};
