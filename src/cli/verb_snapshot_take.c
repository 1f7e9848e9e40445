/* holdfast snapshot take: asks a running node for snapshots, and waits until they are durable. */
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/quantity.h"
#include "cli/remote.h"
#include "cli/verbs.h"

static struct {
    const char *address;
    uint64_t group;
} take = {.address = "127.0.0.1:6379"};

static const struct argp_option take_options[] = {
    {"address", 'a', "HOST:PORT", 0, "The Redis port of the node (default 127.0.0.1:6379)", 0},
    {"group", 'g', "GROUP", 0, "Only this group (default: every group)", 0},
    {0},
};

static error_t take_parse(int key, char *text, struct argp_state *state)
{
    if (key == 'a') {
        take.address = text;
        return 0;
    }
    if (key != 'g') {
        return ARGP_ERR_UNKNOWN;
    }
    if (quantity_number(text, 1, INT64_MAX, &take.group) != 0) {
        argp_error(state, "--group: %s", hf_error_text());
    }
    return 0;
}

static int take_run(const struct verb_common *common)
{
    int rc = remote_snapshot(take.address, take.group);
    if (rc != 0) {
        return verb_fail(rc, "holdfast status shows what the node is doing; a failed snapshot loses nothing");
    }
    if (common->json) {
        printf("{\"address\": \"%s\", \"group\": %" PRIu64 ", \"result\": \"ok\"}\n", take.address, take.group);
    } else if (!common->quiet) {
        printf("taken\n");
    }
    return VERB_EXIT_OK;
}

const struct verb verb_snapshot_take = {
    .name = "snapshot take",
    .summary = "Take snapshots on a running node, and wait until they are durable",
    .details = "Every group of the node, one after the other, while it goes on serving. The same as the command SAVE.",
    .options = take_options,
    .parse = take_parse,
    .run = take_run,
};
