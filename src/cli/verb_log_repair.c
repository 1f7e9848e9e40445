/* holdfast log repair: what damage took of a log, whether it was committed, and how it comes back. A running node
 * repairs itself, which is only watched here; into a stopped node's log entries are put back from the client port of a
 * node that leads. Nothing is ever cut off. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cli/log_entry.h"
#include "cli/log_selection.h"
#include "cli/progress.h"
#include "cli/quantity.h"
#include "cli/remote.h"
#include "cli/verbs.h"
#include "log/log.h"
#include "node/repair_frame.h"

#define REPAIR_WAIT_MS_DEFAULT 60000u
#define REPAIR_POLL_MS         300

enum repair_key { KEY_FROM_PEER = 0x200, KEY_DRY_RUN, KEY_WAIT };

static struct {
    const char *directory;
    const char *address;   /* of a running node */
    const char *from_peer; /* where entries are fetched */
    uint64_t group;        /* 0: all */
    uint64_t wait_ms;
    bool is_dry_run;
} repair = {.wait_ms = REPAIR_WAIT_MS_DEFAULT};

static const struct argp_option repair_options[] = {
    {"address", 'a', "HOST:PORT", 0, "Watch this running node repair itself, instead of a directory", 0},
    {"from-peer", KEY_FROM_PEER, "HOST:PORT", 0, "Fetch what is missing from the Redis port of this node", 0},
    {"group", 'g', "G", 0, "Only this group", 0},
    {"wait", KEY_WAIT, "TIME", 0, "How long to watch a running node (default 60s)", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Say what is damaged and what would be done; change nothing", 0},
    {0},
};

static error_t repair_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case 'a':
        repair.address = text;
        break;
    case KEY_FROM_PEER:
        repair.from_peer = text;
        break;
    case 'g':
        rc = quantity_number(text, 1, HF_LOG_GROUP_MAX, &repair.group);
        break;
    case KEY_WAIT:
        rc = quantity_ms(text, &repair.wait_ms);
        break;
    case KEY_DRY_RUN:
        repair.is_dry_run = true;
        break;
    case ARGP_KEY_ARG:
        repair.directory = text;
        break;
    case ARGP_KEY_END:
        if ((repair.directory == NULL) == (repair.address == NULL)) {
            verb_usage_error(state, "name a stopped node's directory, or a running node with --address");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return verb_parsed(state, rc);
}

static void repair_json(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(json);
}

/* ---- A directory ---- */

struct repair_tally {
    uint64_t groups;
    uint64_t missing;  /* entries */
    uint64_t hopeless; /* groups that entries do not heal */
    uint64_t repaired;
    size_t places; /* that are damaged, whether or not anything is missing */
};

static void repair_show_range(const struct verb_common *common, const struct hf_log_group_state *state, uint64_t group,
                              uint64_t first, uint64_t last)
{
    if (common->json) {
        repair_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:b}", "kind", "missing", "group", (json_int_t)group, "first",
                              (json_int_t)first, "last", (json_int_t)last, "commit",
                              (json_int_t)state->hard_state.commit, "is_committed", last <= state->hard_state.commit));
    } else if (!common->quiet) {
        printf("group %" PRIu64 ": entries %" PRIu64 " to %" PRIu64 " cannot be read; committed is %" PRIu64
               ", so they %s\n",
               group, first, last, state->hard_state.commit,
               last <= state->hard_state.commit ? "ARE committed" : "may be committed");
    }
}

static void repair_show_hopeless(const struct verb_common *common, uint64_t group, bool state_lost)
{
    const char *why = state_lost ? "its term and vote are lost" : "its records contradict each other";
    if (common->json) {
        repair_json(json_pack("{s:s, s:I, s:s}", "kind", "hopeless", "group", (json_int_t)group, "reason", why));
    } else {
        printf("group %" PRIu64 ": %s, so that entries cannot repair it: the member has to join anew\n"
               "  next: holdfast member remove ID --address HOST:PORT, then holdfast join --cluster HOST:PORT --data "
               "NEWDIR\n",
               group, why);
    }
}

/* One group's part of the plan. */
static void repair_plan_group(const struct verb_common *common, struct hf_log *log, uint64_t group,
                              struct repair_tally *tally)
{
    struct hf_log_group_state state;
    uint64_t first = 0;
    uint64_t last = 0;
    if (hf_log_group_state(log, group, &state) != 0 || !state.damaged) {
        return;
    }
    uint64_t missing = 0;
    for (uint64_t from = 0; hf_log_missing(log, group, from, &first, &last) == 0; from = last + 1) {
        repair_show_range(common, &state, group, first, last);
        missing += last - first + 1;
        if (last == HF_LOG_INDEX_MAX) {
            break;
        }
    }
    tally->groups++;
    tally->missing += missing;
    if (state.state_lost || missing == 0) {
        tally->hopeless++;
        repair_show_hopeless(common, group, state.state_lost);
    }
}

static int repair_write(struct hf_log *log, uint64_t group, const struct repair_answer *answer)
{
    struct hf_log_batch *batch = NULL;
    struct cursor cursor = cursor_of(answer->entries);
    struct hf_log_group_state state;
    struct hf_entry entry = {0};
    int rc = hf_log_batch_open(&batch);
    for (uint32_t i = 0; rc == 0 && i < answer->count; i++) {
        repair_frame_next_entry(&cursor, &entry);
        entry.index = answer->first + i;
        rc = hf_log_batch_repair(batch, group, &entry, 1);
    }
    rc = rc == 0 ? hf_log_group_state(log, group, &state) : rc;
    if (rc == 0 && entry.term > state.hard_state.term) {
        struct hf_hard_state reached = {.term = entry.term, .commit = state.hard_state.commit};
        rc = hf_log_batch_hard_state(batch, group, reached);
    }
    rc = rc == 0 ? hf_log_append_wait(log, batch) : rc;
    hf_log_batch_close(batch);
    return rc;
}

/* Range by range, until nothing of the group is missing. */
static int repair_group(struct hf_log *log, uint64_t group, struct progress *progress, struct repair_tally *tally)
{
    struct hf_log_group_state state;
    struct buffer bytes = {0};
    int rc = hf_log_group_state(log, group, &state);
    struct repair_request request = {.term = state.hard_state.term};
    while (rc == 0 && hf_log_missing(log, group, 0, &request.first, &request.last) == 0) {
        struct repair_answer answer;
        buffer_clear(&bytes);
        rc = remote_entries(repair.from_peer, group, &request, &bytes);
        rc = rc == 0 ? repair_frame_decode_answer(buffer_bytes(&bytes), &answer) : rc;
        rc = rc == 0 ? repair_frame_accept(&request, &answer) : rc;
        if (rc == HF_ENOTLEADER && answer.leader != 0) {
            error_raise(rc, "node %" PRIu64 " leads the group: name its address", answer.leader);
        }
        rc = rc == 0 ? repair_write(log, group, &answer) : rc;
        if (rc == 0) {
            tally->repaired += answer.count;
            progress_update(progress, tally->repaired, tally->missing);
        }
    }
    buffer_close(&bytes);
    return rc == 0 ? 0 : error_wrap(rc, "group %" PRIu64 " from %s", group, repair.from_peer);
}

static uint64_t repair_next_group(struct hf_log *log, uint64_t after)
{
    uint64_t group = 0;
    while (hf_log_group_next(log, after, &group) == 0) {
        if (repair.group == 0 || repair.group == group) {
            return group;
        }
        after = group;
    }
    return 0;
}

static int repair_groups(const struct verb_common *common, struct hf_log *log, struct repair_tally *tally)
{
    struct progress *progress = progress_open(common, "repair");
    int rc = 0;
    for (uint64_t group = repair_next_group(log, 0); group != 0 && rc == 0; group = repair_next_group(log, group)) {
        struct hf_log_group_state state;
        rc = hf_log_group_state(log, group, &state);
        if (rc == 0 && state.damaged && !state.state_lost) {
            rc = repair_group(log, group, progress, tally);
        }
    }
    progress_close(progress);
    return rc;
}

static int repair_stop(void *arg, const struct log_walk_record *record)
{
    return HF_ECANCELLED; /* one record is enough */
}

/* An open would make one. */
static int repair_check_there(struct io *io, const char *directory)
{
    struct log_walk_callbacks callbacks = {.record = repair_stop};
    struct log_walk_summary summary;
    int rc = log_walk(io, directory, &callbacks, NULL, &summary);
    return rc == HF_ECANCELLED ? 0 : rc;
}

static void repair_show_end(const struct verb_common *common, const struct repair_tally *tally)
{
    uint64_t left = tally->missing - tally->repaired;
    if (common->json) {
        repair_json(json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind", "summary", "damaged_groups",
                              (json_int_t)tally->groups, "missing", (json_int_t)left, "repaired",
                              (json_int_t)tally->repaired, "hopeless", (json_int_t)tally->hopeless));
        return;
    }
    if (!common->quiet && tally->groups == 0) {
        printf("nothing is missing%s\n", tally->places > 0 ? ": what is damaged holds nothing that a group needs" : "");
    } else if (!common->quiet) {
        printf("%" PRIu64 " damaged groups: %" PRIu64 " entries repaired, %" PRIu64 " missing\n", tally->groups,
               tally->repaired, left);
    }
    if (left > 0 && repair.from_peer == NULL) {
        fprintf(stderr,
                "  next: start the node, which asks the leaders of these groups by itself; or stopped as it is:\n"
                "        holdfast log repair DIR --from-peer HOST:PORT\n");
    }
}

static int repair_directory(const struct verb_common *common)
{
    struct hf_log_options options;
    struct repair_tally tally = {0};
    struct hf_log *log = NULL;
    struct io *io = NULL;
    char *directory = NULL;
    bool writes = repair.from_peer != NULL && !repair.is_dry_run;
    hf_log_options_init(&options);
    options.read_only = !writes;
    options.scan_all_on_open = true; /* index files would hide what nobody has read yet */
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc == 0) {
        directory = log_entry_folder(io, repair.directory);
        rc = repair_check_there(io, directory);
        rc = rc == 0 ? log_open(io, directory, &options, &log) : rc;
    }
    struct hf_log_damage damage;
    for (size_t position = 0; rc == 0 && hf_log_damage_next(log, &position, &damage) == 0;) {
        tally.places++;
    }
    for (uint64_t group = 0; rc == 0 && (group = repair_next_group(log, group)) != 0;) {
        repair_plan_group(common, log, group, &tally);
    }
    rc = rc == 0 && writes ? repair_groups(common, log, &tally) : rc;
    if (rc == 0 || tally.groups > 0) {
        repair_show_end(common, &tally);
    }
    hf_log_close(log);
    io_close(io);
    free(directory);
    if (rc != 0) {
        return verb_fail(rc, rc == HF_EBUSY ? "a running node repairs itself: holdfast log repair --address HOST:PORT"
                             : tally.groups == 0 ? log_selection_next(rc)
                                                 : "nothing was cut off; what was repaired before stays repaired");
    }
    return tally.missing > tally.repaired || tally.hopeless > 0 ? VERB_EXIT_CORRUPTION : VERB_EXIT_OK;
}

/* ---- A running node ---- */

/* Groups whose log is damaged, as the node says. */
static uint64_t repair_count_damaged(const struct verb_common *common, const json_t *status, bool is_shown)
{
    uint64_t count = 0;
    size_t i = 0;
    const json_t *group = NULL;
    json_array_foreach(json_object_get(status, "groups"), i, group)
    {
        const char *text = json_string_value(json_object_get(group, "text"));
        json_int_t id = json_integer_value(json_object_get(group, "group"));
        if (text == NULL || strstr(text, "the log is damaged") == NULL ||
            (repair.group != 0 && (uint64_t)id != repair.group)) {
            continue;
        }
        count++;
        if (is_shown && common->json) {
            repair_json(json_pack("{s:s, s:I, s:s}", "kind", "damaged", "group", id, "text", text));
        } else if (is_shown && !common->quiet) {
            printf("group %" JSON_INTEGER_FORMAT ": %s\n", id, text);
        }
    }
    return count;
}

static int repair_watch(const struct verb_common *common)
{
    struct progress *progress = progress_open(common, "groups");
    uint64_t damaged_first = 0;
    uint64_t damaged = 1;
    int rc = 0;
    for (uint64_t waited_ms = 0; rc == 0 && damaged > 0; waited_ms += REPAIR_POLL_MS) {
        json_t *status = NULL;
        bool is_last = repair.is_dry_run || waited_ms >= repair.wait_ms;
        rc = remote_status(repair.address, &status);
        damaged = rc == 0 ? repair_count_damaged(common, status, waited_ms == 0 || is_last) : damaged;
        json_decref(status);
        damaged_first = waited_ms == 0 ? damaged : damaged_first;
        progress_update(progress, damaged_first > damaged ? damaged_first - damaged : 0, damaged_first);
        if (is_last) {
            break;
        }
        if (rc == 0 && damaged > 0) {
            (void)poll(NULL, 0, REPAIR_POLL_MS);
        }
    }
    progress_close(progress);
    if (rc != 0) {
        return verb_fail(rc, "holdfast status --address HOST:PORT shows whether the node runs");
    }
    if (common->json) {
        repair_json(json_pack("{s:s, s:I}", "kind", "summary", "damaged_groups", (json_int_t)damaged));
    } else if (!common->quiet) {
        printf("%" PRIu64 " damaged groups, %" PRIu64 " before\n", damaged, damaged_first);
    }
    return damaged > 0 ? VERB_EXIT_CORRUPTION : VERB_EXIT_OK;
}

static int repair_run(const struct verb_common *common)
{
    return repair.address != NULL ? repair_watch(common) : repair_directory(common);
}

const struct verb verb_log_repair = {
    .name = "log repair",
    .arguments = "[DIR]",
    .summary = "Say what damage took of a log, and put it back from another node",
    .details =
        "Of a stopped node's directory the plan is shown: which entries of which groups are missing, and whether they "
        "were committed. With --from-peer they are fetched from a node that leads the groups, checked and written; "
        "without it nothing is changed. A running node repairs itself: with --address that is watched. Nothing is ever "
        "cut off. Exit code 4 while damage remains.",
    .options = repair_options,
    .parse = repair_parse,
    .arguments_min = 0,
    .arguments_max = 1,
    .run = repair_run,
};
