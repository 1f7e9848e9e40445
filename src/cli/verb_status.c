/* holdfast status: every node and group of a cluster, asked through any of its nodes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/remote.h"
#include "cli/verbs.h"

#define STATUS_STALL_MS 1000 /* worth a line */

static const char *status_address = "127.0.0.1:6379";

static const struct argp_option status_options[] = {
    {"address", 'a', "HOST:PORT", 0, "The Redis port of any node (default 127.0.0.1:6379)", 0},
    {0},
};

static error_t status_parse(int key, char *text, struct argp_state *state)
{
    if (key != 'a') {
        return ARGP_ERR_UNKNOWN;
    }
    status_address = text;
    return 0;
}

/* The asked node's own status, then each peer's: one that does not answer is listed with the reason. */
static int status_collect(json_t *nodes)
{
    json_t *first = NULL;
    int rc = remote_status(status_address, &first);
    if (rc != 0) {
        return rc;
    }
    json_array_append_new(nodes, first);
    size_t position;
    json_t *peer;
    json_array_foreach(json_object_get(first, "peers"), position, peer)
    {
        const char *address = json_string_value(json_object_get(peer, "address"));
        json_t *status = NULL;
        if (address == NULL || remote_status(address, &status) != 0) {
            status = json_pack("{s:O, s:s?, s:s, s:[]}", "node", json_object_get(peer, "node"), "address", address,
                               "error", hf_error_text(), "groups");
        }
        json_array_append_new(nodes, status);
    }
    return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void group_print(const json_t *group)
{
    printf("  group %-6lld %-9s leader %-3lld term %-5lld commit %-9lld applied %-9lld last %-9lld lag %-6lld log %lld "
           "B%s%s\n",
           number_of(group, "group"), text_of(group, "role"), number_of(group, "leader"), number_of(group, "term"),
           number_of(group, "commit"), number_of(group, "applied"), number_of(group, "last"), number_of(group, "lag"),
           number_of(group, "log_bytes"), *text_of(group, "text") != '\0' ? "  " : "", text_of(group, "text"));
}

/* Only what is going on, or went wrong. */
static void snapshots_print(const json_t *snapshots)
{
    size_t position;
    json_t *transfer;
    if (number_of(snapshots, "running_group") != 0) {
        printf("  snapshot of group %lld: %lld B so far, of about %lld, %lld B/s, %lld s left\n",
               number_of(snapshots, "running_group"), number_of(snapshots, "bytes_done"),
               number_of(snapshots, "bytes_expected"), number_of(snapshots, "bytes_per_s"),
               (number_of(snapshots, "left_ms") + 999) / 1000);
    }
    if (*text_of(snapshots, "failure") != '\0') {
        printf("  the last snapshot FAILED: %s\n", text_of(snapshots, "failure"));
    }
    json_array_foreach(json_object_get(snapshots, "transfers"), position, transfer)
    {
        printf("  snapshot of group %lld at %lld %s node %lld: %s, %lld of %lld B, %lld B/s, %lld s left\n",
               number_of(transfer, "group"), number_of(transfer, "index"),
               strcmp(text_of(transfer, "direction"), "in") == 0 ? "from" : "to", number_of(transfer, "node"),
               text_of(transfer, "phase"), number_of(transfer, "bytes_done"), number_of(transfer, "bytes_total"),
               number_of(transfer, "bytes_per_s"), (number_of(transfer, "left_ms") + 999) / 1000);
    }
}

static void node_print(const json_t *node)
{
    if (json_object_get(node, "error") != NULL) {
        printf("node %lld  %s  DOWN: %s\n", number_of(node, "node"), text_of(node, "address"), text_of(node, "error"));
        return;
    }
    const json_t *log = json_object_get(node, "log");
    printf("node %lld  %s  process %lld  log %lld B in %lld segments by %s%s%s\n", number_of(node, "node"),
           text_of(node, "address"), number_of(node, "pid"), number_of(log, "bytes"), number_of(log, "segments"),
           text_of(node, "io"), *text_of(log, "failure") != '\0' ? "  LOG FAILED: " : "", text_of(log, "failure"));
    const json_t *memory = json_object_get(node, "memory");
    printf("  holds %lld B for clients, queues and nodes, at most %lld of %lld so far%s\n", number_of(memory, "held"),
           number_of(memory, "peak"), number_of(memory, "limit"),
           json_is_true(json_object_get(memory, "full")) ? "; FULL: it reads from no client that holds much" : "");
    if (number_of(log, "oldest_unsynced_ms") >= STATUS_STALL_MS) {
        printf("  LOG STALLED: the oldest append has waited for %lld ms\n", number_of(log, "oldest_unsynced_ms"));
    }
    snapshots_print(json_object_get(node, "snapshots"));
    size_t position;
    json_t *group;
    json_array_foreach(json_object_get(node, "groups"), position, group)
    {
        group_print(group);
    }
}

/* Groups that no answering node leads. */
static bool every_group_is_led(const json_t *nodes)
{
    size_t i, j, k;
    json_t *node, *group, *candidate;
    json_array_foreach(json_object_get(json_array_get(nodes, 0), "groups"), j, group)
    {
        bool led = false;
        json_array_foreach(nodes, i, node)
        {
            json_array_foreach(json_object_get(node, "groups"), k, candidate)
            {
                led = led || (number_of(candidate, "group") == number_of(group, "group") &&
                              strcmp(text_of(candidate, "role"), "leader") == 0);
            }
        }
        if (!led) {
            return false;
        }
    }
    return true;
}

static int status_run(const struct verb_common *common)
{
    json_t *nodes = json_array();
    int result = VERB_EXIT_OK;
    int rc = status_collect(nodes);
    if (rc != 0) {
        result = verb_fail(rc, "is the node running? holdfast status --address HOST:PORT asks another one");
        goto done;
    }
    if (common->json) {
        json_t *json = json_pack("{s:O}", "nodes", nodes);
        char *text = json_dumps(json, 0);
        puts(text);
        free(text);
        json_decref(json);
    } else {
        size_t position;
        json_t *node;
        json_array_foreach(nodes, position, node)
        {
            node_print(node);
        }
    }
    if (!every_group_is_led(nodes)) {
        error_raise(HF_ENOLEADER, "some groups have no leader among the nodes that answer");
        result = verb_fail(HF_ENOLEADER, "start the nodes that are down: a majority of each group must run");
    }
done:
    json_decref(nodes);
    return result;
}

const struct verb verb_status = {
    .name = "status",
    .summary = "Show every node and group of a cluster",
    .details = "Exit code 3 when the node does not answer, 5 when a group has no leader.",
    .options = status_options,
    .parse = status_parse,
    .run = status_run,
};
