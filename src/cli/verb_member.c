/* holdfast member …: who belongs to the cluster. Each verb asks one node, which asks the cluster. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "cli/quantity.h"
#include "cli/remote.h"
#include "cli/verbs.h"

#define MEMBER_TRANSFER_TRIES    20u
#define MEMBER_TRANSFER_PAUSE_MS 100

enum member_key { KEY_ADDRESS = 'a', KEY_FORCE = 0x100, KEY_DRY_RUN, KEY_PEER, KEY_CLIENT, KEY_HTTP, KEY_GROUP };

static struct {
    const char *address;
    const char *node;
    const char *group;
    const char *peer;
    const char *client;
    const char *http;
    bool is_forced;
    bool is_dry;
} member = {.address = "127.0.0.1:6379"};

#define MEMBER_OPTION_ADDRESS \
    "address", KEY_ADDRESS, "HOST:PORT", 0, "The Redis port of any node (default 127.0.0.1:6379)", 0
#define MEMBER_OPTION_DRY_RUN "dry-run", KEY_DRY_RUN, NULL, 0, "Say whether it would be done, change nothing", 0

static const struct argp_option member_options[] = {{MEMBER_OPTION_ADDRESS}, {0}};
static const struct argp_option member_promote_options[] = {{MEMBER_OPTION_ADDRESS}, {MEMBER_OPTION_DRY_RUN}, {0}};
static const struct argp_option member_lower_options[] = {
    {MEMBER_OPTION_ADDRESS},
    {MEMBER_OPTION_DRY_RUN},
    {"force", KEY_FORCE, NULL, 0,
     "Also when fewer than two voters remain, or no majority of those that remain can be reached", 0},
    {0},
};
static const struct argp_option member_transfer_options[] = {
    {MEMBER_OPTION_ADDRESS},
    {MEMBER_OPTION_DRY_RUN},
    {"group", KEY_GROUP, "ID", 0, "Only this group (default: every group)", 0},
    {0},
};
static const struct argp_option member_move_options[] = {
    {MEMBER_OPTION_ADDRESS},
    {MEMBER_OPTION_DRY_RUN},
    {"listen-peer", KEY_PEER, "ADDRESS", 0, "Where the others find the node now", 0},
    {"listen-client", KEY_CLIENT, "ADDRESS", 0, "Its Redis port (default: as before)", 0},
    {"listen-http", KEY_HTTP, "ADDRESS", 0, "Its HTTP port (default: as before)", 0},
    {0},
};

static error_t member_parse(int key, char *text, struct argp_state *state)
{
    uint64_t number;
    switch (key) {
    case KEY_ADDRESS:
        member.address = text;
        return 0;
    case KEY_FORCE:
        member.is_forced = true;
        return 0;
    case KEY_DRY_RUN:
        member.is_dry = true;
        return 0;
    case KEY_PEER:
        member.peer = text;
        return 0;
    case KEY_CLIENT:
        member.client = text;
        return 0;
    case KEY_HTTP:
        member.http = text;
        return 0;
    case KEY_GROUP:
        member.group = text;
        return 0;
    case ARGP_KEY_ARG:
        if (quantity_number(text, 1, INT64_MAX, &number) != 0) {
            verb_usage_error(state, "'%s' is not the id of a node", text);
        }
        member.node = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- list ---- */

static const char *member_text(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL ? text : "";
}

static json_int_t member_number(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static void member_print(const json_t *members)
{
    size_t position;
    json_t *row;
    json_int_t groups = member_number(members, "groups");
    printf("node  role     up   votes    standby  peer                   client\n");
    json_array_foreach(json_object_get(members, "members"), position, row)
    {
        printf("%-5lld %-8s %-4s %3lld/%-4lld %3lld/%-4lld %-22s %s\n", member_number(row, "node"),
               member_text(row, "role"), json_is_true(json_object_get(row, "up")) ? "yes" : "no",
               member_number(row, "votes_in"), groups, member_number(row, "standby_in"), groups,
               member_text(row, "peer"), member_text(row, "address"));
    }
}

static int member_list_run(const struct verb_common *common)
{
    json_t *members = NULL;
    int rc = remote_members(member.address, &members);
    if (rc != 0) {
        return verb_fail(rc, "is the node running? --address asks another one");
    }
    if (common->json) {
        char *text = json_dumps(members, 0);
        puts(text);
        free(text);
    } else {
        member_print(members);
    }
    json_decref(members);
    return VERB_EXIT_OK;
}

/* ---- changes ---- */

static const char *member_next(int rc)
{
    if (strstr(hf_error_text(), "next: ") != NULL) {
        return NULL; /* the cluster said it */
    }
    switch (rc) {
    case HF_ENOTFOUND:
        return "is the node running? --address asks another one";
    case HF_ENOLEADER:
        return "nothing was changed; start the nodes that are down, a majority must run";
    case HF_EINDETERMINATE:
        return "holdfast member list shows whether it was done; to repeat it does no harm";
    default:
        return NULL;
    }
}

static int member_finish(const struct verb_common *common, int rc, const char *what)
{
    if (rc != 0) {
        return verb_fail(rc, member_next(rc));
    }
    if (common->json) {
        printf("{\"node\": %s, \"done\": \"%s\", \"dry_run\": %s}\n", member.node, what,
               member.is_dry ? "true" : "false");
    } else if (!common->quiet) {
        fprintf(stderr, "%snode %s: %s\n", member.is_dry ? "would be done, nothing was changed: " : "", member.node,
                what);
    }
    return VERB_EXIT_OK;
}

static int member_change(const struct verb_common *common, const char *command, const char *what)
{
    const char *words[4] = {command, member.node};
    unsigned count = 2;
    if (member.is_forced) {
        words[count++] = "FORCE";
    }
    if (member.is_dry) {
        words[count++] = "DRYRUN";
    }
    return member_finish(common, remote_change(member.address, words, count), what);
}

static int member_promote_run(const struct verb_common *common)
{
    return member_change(common, "RAFT.PROMOTE", "is to be a voter; it gets its votes as it catches up");
}

static int member_demote_run(const struct verb_common *common)
{
    return member_change(common, "RAFT.DEMOTE", "is to be a stand-by; its votes are taken one group at a time");
}

static int member_remove_run(const struct verb_common *common)
{
    return member_change(common, "RAFT.REMOVE", "is to leave; member list no longer shows it once it has left");
}

/* ---- move, transfer ---- */

/* The row of the node; NULL: none. */
static const json_t *member_find(const json_t *members, const char *node)
{
    size_t position;
    json_t *row;
    json_array_foreach(json_object_get(members, "members"), position, row)
    {
        if (member_number(row, "node") == strtoll(node, NULL, 10)) {
            return row;
        }
    }
    return NULL;
}

static const char *member_address_or(const char *given, const json_t *row, const char *key)
{
    const char *known = member_text(row, key);
    return given != NULL ? given : known[0] != '\0' ? known : "-";
}

static int member_move_run(const struct verb_common *common)
{
    json_t *members = NULL;
    int rc = remote_members(member.address, &members);
    const json_t *row = rc == 0 ? member_find(members, member.node) : NULL;
    if (rc == 0 && row == NULL) {
        rc = error_raise(HF_ENOTFOUND, "node %s is no member", member.node);
    }
    if (rc == 0) {
        const char *words[6] = {"RAFT.ADDRESS",
                                member.node,
                                member_address_or(member.peer, row, "peer"),
                                member_address_or(member.client, row, "address"),
                                member_address_or(member.http, row, "http"),
                                "DRYRUN"};
        rc = remote_change(member.address, words, member.is_dry ? 6 : 5);
    }
    json_decref(members);
    return member_finish(common, rc, "has its new address");
}

/* Balancing may be handing the group over just now; that is over in a moment. */
static int member_transfer_group(const char *group)
{
    const char *words[3] = {"RAFT.TRANSFER", group, member.node};
    int rc = remote_change(member.address, words, 3);
    for (unsigned i = 0; i < MEMBER_TRANSFER_TRIES && rc == HF_EBUSY; i++) {
        (void)poll(NULL, 0, MEMBER_TRANSFER_PAUSE_MS);
        rc = remote_change(member.address, words, 3);
    }
    return rc;
}

static int member_transfer_run(const struct verb_common *common)
{
    json_t *status = NULL;
    size_t position;
    json_t *row;
    bool is_there = member.group == NULL;
    int rc = remote_status(member.address, &status);
    json_array_foreach(json_object_get(status, "groups"), position, row)
    {
        char group[24];
        snprintf(group, sizeof(group), "%lld", (long long)member_number(row, "group"));
        bool is_meant = member.group == NULL || strcmp(member.group, group) == 0;
        is_there = is_there || is_meant;
        if (rc == 0 && !member.is_dry && is_meant) {
            rc = member_transfer_group(group);
        }
    }
    json_decref(status);
    if (rc == 0 && !is_there) {
        rc = error_raise(HF_ENOTFOUND, "there is no group %s", member.group);
    }
    return member_finish(common, rc,
                         member.group != NULL ? "leads the group, or is about to"
                                              : "leads every group, or is about to; balancing takes its "
                                                "turn again later");
}

const struct verb verb_member_list = {
    .name = "member list",
    .summary = "Show the members and how far the groups are with them",
    .details = "votes counts the groups, as the asked node knows them, in which the member is a voter; standby those "
               "in which it "
               "only receives.",
    .options = member_options,
    .parse = member_parse,
    .run = member_list_run,
};

const struct verb verb_member_promote = {
    .name = "member promote",
    .arguments = "NODE",
    .summary = "Make a stand-by a voter",
    .details = "The node becomes a voter of each group once it has caught up there.",
    .options = member_promote_options,
    .parse = member_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = member_promote_run,
};

const struct verb verb_member_demote = {
    .name = "member demote",
    .arguments = "NODE",
    .summary = "Take a node's votes; it goes on receiving",
    .details = "Refused when fewer than two voters, or no majority within reach, would remain.",
    .options = member_lower_options,
    .parse = member_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = member_demote_run,
};

const struct verb verb_member_remove = {
    .name = "member remove",
    .arguments = "NODE",
    .summary = "Remove a node from the cluster",
    .details =
        "The node hands over what it leads, leaves every group and is forgotten; its id is never used again. It may be "
        "down, or its disk lost: that is how it is replaced, together with holdfast join. Refused when fewer than two "
        "voters, or no majority within reach, would remain.",
    .options = member_lower_options,
    .parse = member_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = member_remove_run,
};

const struct verb verb_member_move = {
    .name = "member move",
    .arguments = "NODE",
    .summary = "Tell the cluster where a node is now",
    .details =
        "Start the node at its new address first (holdfast serve --listen-peer); the cluster calls it there before "
        "anything is changed.",
    .options = member_move_options,
    .parse = member_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = member_move_run,
};

const struct verb verb_member_transfer = {
    .name = "member transfer",
    .arguments = "NODE",
    .summary = "Hand leadership to a node",
    .details = "Of every group, or of one. Balancing takes its turn again later.",
    .options = member_transfer_options,
    .parse = member_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = member_transfer_run,
};
