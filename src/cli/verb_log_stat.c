/* holdfast log stat: what a log holds, read from its files, and where a running server's log spends its time, which
 * only the server knows. */
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "cli/log_entry.h"
#include "cli/log_selection.h"
#include "cli/stage_table.h"
#include "cli/verbs.h"

#define LOG_STAT_ADDRESS 'a'

static struct log_selection asked = {LOG_SELECTION_ALL};
static const char *asked_address;

static error_t log_stat_parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case LOG_STAT_ADDRESS:
        asked_address = text;
        return 0;
    case ARGP_KEY_END:
        if (asked.directory == NULL && asked_address == NULL) {
            verb_usage_error(state, "name a directory, or a running node with --address");
        }
        return 0;
    default:
        return log_selection_parse(&asked, key, text, state);
    }
}

static json_t *log_stat_json(uint64_t group, const struct hf_log_group_state *state)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s%, s:b}", "group", (json_int_t)group,
                     "first", (json_int_t)state->first_index, "last", (json_int_t)state->last_index, "floor_term",
                     (json_int_t)state->floor_term, "bytes", (json_int_t)state->bytes, "bytes_on_disk",
                     (json_int_t)state->bytes_on_disk, "oldest_segment", (json_int_t)state->segment_oldest, "term",
                     (json_int_t)state->hard_state.term, "vote", (json_int_t)state->hard_state.vote, "commit",
                     (json_int_t)state->hard_state.commit, "snapshot", (const char *)state->snapshot_name,
                     (size_t)state->snapshot_name_size, "damaged", state->damaged);
}

static json_t *log_stat_groups_json(struct hf_log *log, const struct hf_log_stat *stat)
{
    json_t *groups = json_array();
    struct hf_log_group_state state;
    for (uint64_t group = 0; log_selection_next_group(&asked, log, &group);) {
        hf_log_group_state(log, group, &state);
        json_array_append_new(groups, log_stat_json(group, &state));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "segments", (json_int_t)stat->segments, "bytes_on_disk",
                     (json_int_t)stat->bytes_on_disk, "torn_bytes", (json_int_t)stat->recovered_bytes_dropped,
                     "damaged_groups", (json_int_t)stat->damaged_groups, "recovery_us",
                     (json_int_t)(stat->recovery_ns / 1000), "groups", groups);
}

static void log_stat_print(const struct verb_common *common, struct hf_log *log, const struct hf_log_stat *stat)
{
    struct hf_log_group_state state;
    if (!common->quiet) {
        printf("%" PRIu64 " segments, %" PRIu64 " bytes; read in %" PRIu64 " ms", stat->segments, stat->bytes_on_disk,
               stat->recovery_ns / 1000000);
        printf(stat->recovered_bytes_dropped > 0 ? "; %" PRIu64 " bytes at the end are torn\n" : "\n",
               stat->recovered_bytes_dropped);
        printf("%-20s %12s %12s %14s %14s %8s %8s %6s %12s\n", "group", "first", "last", "bytes", "on disk", "oldest",
               "term", "vote", "commit");
    }
    for (uint64_t group = 0; log_selection_next_group(&asked, log, &group);) {
        hf_log_group_state(log, group, &state);
        printf("%-20" PRIu64 " %12" PRIu64 " %12" PRIu64 " %14" PRIu64 " %14" PRIu64 " %8" PRIx64 " %8" PRIu64
               " %6" PRIu64 " %12" PRIu64 "%s\n",
               group, state.first_index, state.last_index, state.bytes, state.bytes_on_disk, state.segment_oldest,
               state.hard_state.term, state.hard_state.vote, state.hard_state.commit, state.damaged ? "  DAMAGED" : "");
    }
}

/* The files: the object is NULL for text. HF_ECORRUPT is told by *damaged alone. */
static int log_stat_read(const struct verb_common *common, json_t **out, bool *damaged)
{
    struct hf_log_stat stat;
    struct hf_log *log = NULL;
    int rc = log_selection_open(&asked, &log);
    if (rc == 0) {
        rc = log_selection_check(&asked, log);
    }
    if (rc == 0) {
        hf_log_stat(log, &stat);
        *damaged = stat.damaged_groups > 0;
        if (common->json) {
            *out = log_stat_groups_json(log, &stat);
        } else {
            log_stat_print(common, log, &stat);
        }
    }
    hf_log_close(log);
    return rc;
}

static int log_stat_run(const struct verb_common *common)
{
    json_t *shown = NULL;
    json_t *stages = NULL;
    bool damaged = false;
    int rc = asked.directory != NULL ? log_stat_read(common, &shown, &damaged) : 0;
    if (rc != 0) {
        return log_selection_fail(rc);
    }
    if (asked_address != NULL) {
        rc = stage_table_fetch(asked_address, &stages);
    }
    if (rc != 0) {
        json_decref(shown);
        return verb_fail(rc, "--address takes the Redis port of the node that runs on the directory");
    }
    if (common->json) {
        shown = shown != NULL ? shown : json_object();
        json_object_set_new(shown, "stages", stages != NULL ? stages : json_null());
        log_entry_json_line(shown);
        return damaged ? VERB_EXIT_CORRUPTION : VERB_EXIT_OK;
    }
    if (stages != NULL) {
        stage_table_print(stages, common->quiet);
    } else if (!common->quiet) {
        printf("stages: none in files; --address HOST:PORT asks the node that runs on them\n");
    }
    json_decref(stages);
    return damaged ? VERB_EXIT_CORRUPTION : VERB_EXIT_OK;
}

static const struct argp_option log_stat_options[] = {
    {LOG_SELECTION_GROUP_OPTION},
    {"address", LOG_STAT_ADDRESS, "HOST:PORT", 0, "Ask this running node where its log's time goes", 0},
    {0},
};

const struct verb verb_log_stat = {
    .name = "log stat",
    .arguments = "[DIR]",
    .summary = "Show what a log holds, group by group, and where its time goes",
    .details =
        "First and last index, payload bytes, bytes on disk, the oldest segment that the group needs, term, vote "
        "and commit index, read from DIR, also while a server runs there. Exit code 4 when a group is damaged.\n\n"
        "How long appends wait, are encoded, written, synced, indexed and called back is known only to the process "
        "that writes: with --address it is asked (INFO log), and its stages are shown with percentiles; with --json "
        "also as histograms. Without DIR that is all.",
    .options = log_stat_options,
    .parse = log_stat_parse,
    .arguments_min = 0,
    .arguments_max = 1,
    .run = log_stat_run,
};
