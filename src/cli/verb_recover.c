/* holdfast recover: a new cluster of one node out of what is left of an old one that lost its majority for good. Says
 * what it would do, and does it only when told to; the old directories stay as they are. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cli/progress.h"
#include "cli/quantity.h"
#include "cli/recover_show.h"
#include "cli/recover_survey.h"
#include "cli/verbs.h"
#include "node/rebuild.h"
#include "server/server.h"

enum recover_key {
    KEY_OUT = 'o',
    KEY_ID = 'i',
    KEY_APPLY = 0x100,
    KEY_SNAPSHOTS,
    KEY_SKIP,
    KEY_ACCEPT_LOSS,
    KEY_ACCEPT_REMOVED,
    KEY_PEER,
    KEY_CLIENT,
    KEY_HTTP
};

struct recover_place { /* of a node's snapshots */
    uint64_t node;
    const char *path;
};

static struct {
    struct recover_survey_options survey;
    struct recover_place places[RECOVER_SURVEY_SOURCES_MAX];
    uint32_t place_count;
    const char *out;
    const char *peer;
    const char *client;
    const char *http;
    uint64_t id;
    bool is_applied;
} recover = {.id = 1};

static const struct argp_option recover_options[] = {
    {"apply", KEY_APPLY, NULL, 0, "Make the new directory; without it nothing is changed anywhere", 0},
    {"out", KEY_OUT, "DIR", 0, "The data directory to make; it must be empty or absent", 0},
    {"listen-peer", KEY_PEER, "ADDRESS", 0, "Where other nodes will find the new one (host:port)", 0},
    {"listen-client", KEY_CLIENT, "ADDRESS", 0, "Its Redis port", 0},
    {"listen-http", KEY_HTTP, "ADDRESS", 0, "Its port of /health and /metrics", 0},
    {"id", KEY_ID, "ID", 0, "Its id in the new cluster (default 1)", 0},
    {"snapshots", KEY_SNAPSHOTS, "NODE=DIR", 0, "Where a node kept its snapshots (snapshot.directory)", 0},
    {"skip-group", KEY_SKIP, "G", 0, "Begin this group empty: all of its keys are lost; may be repeated", 0},
    {"accept-loss", KEY_ACCEPT_LOSS, "G", 0,
     "Take the best good copy of this group though more is known to have been there; may be repeated", 0},
    {"accept-removed", KEY_ACCEPT_REMOVED, NULL, 0, "Take copies of nodes that were removed from the cluster", 0},
    {0},
};

static int recover_add_group(struct recover_survey_groups *groups, const char *text)
{
    if (groups->count == RECOVER_SURVEY_GROUPS_MAX) {
        return error_raise(HF_EINVALID, "more than %u groups are named", RECOVER_SURVEY_GROUPS_MAX);
    }
    return quantity_number(text, 2, DESCRIPTION_GROUPS_MAX + 1, &groups->groups[groups->count++]);
}

static int recover_add_place(const char *text)
{
    char id[32] = "";
    size_t size = strcspn(text, "=");
    if (text[size] != '=' || size == 0 || size >= sizeof(id) || text[size + 1] == '\0' ||
        recover.place_count == RECOVER_SURVEY_SOURCES_MAX) {
        return error_raise(HF_EINVALID, "--snapshots %s: expected NODE=DIR", text);
    }
    memcpy(id, text, size);
    recover.places[recover.place_count].path = text + size + 1;
    return quantity_number(id, 1, INT64_MAX, &recover.places[recover.place_count++].node);
}

static void recover_check_end(struct argp_state *state)
{
    if (recover.is_applied && (recover.out == NULL || recover.peer == NULL || recover.client == NULL)) {
        verb_usage_error(state, "--apply needs %s",
                         recover.out == NULL    ? "--out DIR"
                         : recover.peer == NULL ? "--listen-peer ADDRESS"
                                                : "--listen-client ADDRESS");
    }
}

static error_t recover_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case KEY_OUT:
        recover.out = text;
        break;
    case KEY_PEER:
        recover.peer = text;
        break;
    case KEY_CLIENT:
        recover.client = text;
        break;
    case KEY_HTTP:
        recover.http = text;
        break;
    case KEY_ID:
        rc = quantity_number(text, 1, INT64_MAX, &recover.id);
        break;
    case KEY_APPLY:
        recover.is_applied = true;
        break;
    case KEY_SNAPSHOTS:
        rc = recover_add_place(text);
        break;
    case KEY_SKIP:
        rc = recover_add_group(&recover.survey.skipped, text);
        break;
    case KEY_ACCEPT_LOSS:
        rc = recover_add_group(&recover.survey.loss_accepted, text);
        break;
    case KEY_ACCEPT_REMOVED:
        recover.survey.accepts_removed = true;
        break;
    case ARGP_KEY_ARG:
        recover.survey.paths[recover.survey.count++] = text;
        break;
    case ARGP_KEY_END:
        recover_check_end(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return verb_parsed(state, rc);
}

/* ---- The plan ---- */

/* Which directory is that node's is only known once they were asked. */
static int recover_place_snapshots(struct io *io)
{
    for (uint32_t p = 0; p < recover.place_count; p++) {
        bool is_known = false;
        for (uint32_t i = 0; i < recover.survey.count; i++) {
            struct directory_identity identity = {0};
            if (directory_identify(io, recover.survey.paths[i], &identity) == 0 &&
                identity.node_id == recover.places[p].node) {
                recover.survey.snapshots[i] = recover.places[p].path;
                is_known = true;
            }
        }
        if (!is_known) {
            return error_raise(HF_EINVALID, "--snapshots names node %" PRIu64 ", and no directory is of that node",
                               recover.places[p].node);
        }
    }
    return 0;
}

static int recover_survey(struct io *io, const struct verb_common *common, struct recover_survey *survey)
{
    int rc = recover_place_snapshots(io);
    if (rc == 0) {
        struct progress *progress = progress_open(common, "recover: reading");
        rc = recover_survey_open(io, &recover.survey, progress, survey);
        progress_close(progress);
    }
    return rc;
}

static const char *recover_next(int rc)
{
    switch (rc) {
    case HF_EBUSY:
        return "stop the process that uses it; nothing was changed";
    case HF_EMISMATCH:
    case HF_EINVALID:
        return "name one directory per node, all of one cluster; nothing was changed";
    case HF_ENOTFOUND:
        return "name the data directories of nodes (those with a file \"node\"); nothing was changed";
    default:
        return "nothing was changed";
    }
}

/* ---- The directory ---- */

static void recover_progress(void *arg, uint64_t bytes_done, uint64_t bytes_total)
{
    progress_update(arg, bytes_done < bytes_total ? bytes_done : bytes_total, bytes_total);
}

static int recover_node(struct description_node *out)
{
    const char *const sources[] = {recover.peer, recover.client, recover.http != NULL ? recover.http : ""};
    char *const targets[] = {out->peer_address, out->client_address, out->http_address};
    *out = (struct description_node){.id = recover.id};
    for (int i = 0; i < 3; i++) {
        if (strlen(sources[i]) >= DESCRIPTION_ADDRESS_SIZE_MAX) {
            return error_raise(HF_EINVALID, "the address '%.64s…' is too long", sources[i]);
        }
        strcpy(targets[i], sources[i]);
    }
    return description_check_node(out);
}

static int recover_rebuild(struct io *io, const struct verb_common *common, const struct recover_survey *survey,
                           struct rebuild_result *results, struct description **out)
{
    struct rebuild_group *groups = memory_new(survey->group_count * sizeof(*groups));
    struct rebuild_options options = {
        .path = recover.out, .machine = server_machine_ops(), .progress = recover_progress};
    for (uint32_t i = 0; i < survey->group_count; i++) {
        const struct recover_survey_group *group = survey->groups[i];
        if (!group->choice.is_skipped) {
            groups[i] = (struct rebuild_group){survey->sources[group->choice.candidate],
                                               &group->copies[group->choice.candidate]};
        }
    }
    int rc = recover_node(&options.node);
    if (rc == 0) {
        struct progress *progress = progress_open(common, "recover: writing");
        options.arg = progress;
        rc = rebuild_run(io, &options, survey->description, groups, results, out);
        progress_close(progress);
    }
    free(groups);
    return rc;
}

static void recover_say_made(const struct recover_survey *survey, const struct recover_made *made)
{
    char id[33];
    uint64_t entries = 0;
    for (uint32_t i = 0; i < survey->group_count; i++) {
        entries += made->results[i].entries;
    }
    description_cluster_id_text(made->description, id);
    fprintf(
        stderr,
        "made %s: node %" PRIu64 " of the new cluster %s, %" PRIu32 " groups, %" PRIu64 " entries of data\n"
        "  next: holdfast serve --data %s, then holdfast join for each further node. Keep the old directories until "
        "the data is checked, and never start them again\n",
        made->path, made->description->nodes[0].id, id, survey->group_count, entries, made->path);
}

static int recover_refuse(const struct recover_survey *survey)
{
    error_raise(survey->refused_result, "%" PRIu32 " of %" PRIu32 " groups are refused", survey->refused,
                survey->group_count);
    return verb_fail(survey->refused_result,
                     "give more of the old directories; or --accept-loss G, --skip-group G (all keys of the group are "
                     "lost). Nothing was changed");
}

static int recover_run(const struct verb_common *common)
{
    struct io *io = NULL;
    struct recover_survey survey = {0};
    struct description *description = NULL;
    struct rebuild_result *results = NULL;
    struct recover_made made = {0};
    int code = VERB_EXIT_OK;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    rc = rc == 0 ? recover_survey(io, common, &survey) : rc;
    if (rc != 0) {
        code = verb_fail(rc, recover_next(rc));
        goto done;
    }
    if (!common->json && !common->quiet) {
        recover_show_text(&survey);
    }
    if (recover.is_applied && survey.refused == 0) {
        results = memory_new(survey.group_count * sizeof(*results));
        rc = recover_rebuild(io, common, &survey, results, &description);
        made = (struct recover_made){rc == 0 ? recover.out : NULL, description, results};
    }
    if (common->json) {
        recover_show_json(&survey, &made);
    }
    if (rc != 0) {
        code = verb_fail(rc, "the old directories are as they were");
    } else if (survey.refused > 0) {
        code = recover_refuse(&survey);
    } else if (made.path != NULL && !common->quiet) {
        recover_say_made(&survey, &made);
    } else if (!recover.is_applied && !common->quiet) {
        fprintf(stderr, "nothing was changed. next: the same with --apply --out NEWDIR --listen-peer ADDRESS "
                        "--listen-client ADDRESS\n");
    }
done:
    description_close(description);
    free(results);
    recover_survey_close(&survey);
    io_close(io);
    return code;
}

const struct verb verb_recover = {
    .name = "recover",
    .arguments = "DIR...",
    .summary = "Make a new cluster out of the directories that survived a lost majority",
    .details =
        "For a cluster that lost a majority of its nodes for good. Give the data directory of every node that is left, "
        "none of them in use. Per group the copy with the highest term at its end is taken, and of these the longest; "
        "the plan says which and why, what nobody knows to be committed and is kept, and what may be lost: writes that "
        "only lost nodes had. With a majority of the voters here nothing that was acknowledged is lost; then it is "
        "better to start those nodes again.\n\n"
        "Nothing is changed without --apply, and the given directories never are. --apply makes a new data directory: "
        "one node of a new cluster with an id of its own, so that no node of the old cluster can talk to it. Others "
        "come by holdfast join. Never start the old nodes again beside it.\n\n"
        "  holdfast recover /srv/holdfast/3\n"
        "  holdfast recover /srv/holdfast/3 --apply --out /srv/holdfast/new --listen-peer 127.0.0.1:7401 "
        "--listen-client 127.0.0.1:6379\n\n"
        "Exit code 4 when a group has no good copy, 1 when a known loss was not accepted; both name the groups.",
    .options = recover_options,
    .parse = recover_parse,
    .arguments_min = 1,
    .arguments_max = RECOVER_SURVEY_SOURCES_MAX,
    .run = recover_run,
};
