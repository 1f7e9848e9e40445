/* holdfast log tail|stat|digest|export: reads the log as it would be found by an open, also while a server appends to
 * it, and changes nothing. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/map.h"
#include "cli/log_entry.h"
#include "cli/log_export.h"
#include "cli/progress.h"
#include "cli/quantity.h"
#include "cli/verbs.h"

#define LOG_READ_TAIL_LINES    10u
#define LOG_READ_TAIL_MAX      1000000u
#define LOG_READ_FOLLOW_MS     1000
#define LOG_READ_OPEN_TRIES    5u
#define LOG_READ_PROGRESS_MASK 0xffu

enum log_read_key { KEY_GROUP = 'g', KEY_LINES = 'n', KEY_FOLLOW = 'f', KEY_FROM = 0x100, KEY_TO, KEY_FORMAT };

static struct {
    const char *directory;
    uint64_t group; /* 0: all */
    uint64_t index_from;
    uint64_t index_to;
    uint64_t lines;
    bool follow;
    enum log_export_format format;
} asked = {.index_to = UINT64_MAX, .lines = LOG_READ_TAIL_LINES};

static error_t log_read_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case KEY_GROUP:
        rc = quantity_number(text, 1, HF_LOG_GROUP_MAX, &asked.group);
        break;
    case KEY_FROM:
        rc = quantity_number(text, 0, UINT64_MAX, &asked.index_from);
        break;
    case KEY_TO:
        rc = quantity_number(text, 0, UINT64_MAX, &asked.index_to);
        break;
    case KEY_LINES:
        rc = quantity_number(text, 0, LOG_READ_TAIL_MAX, &asked.lines);
        break;
    case KEY_FOLLOW:
        asked.follow = true;
        break;
    case KEY_FORMAT:
        if (strcmp(text, "jsonl") != 0 && strcmp(text, "raw") != 0) {
            verb_usage_error(state, "the formats are jsonl and raw, not '%s'", text);
        }
        asked.format = strcmp(text, "raw") == 0 ? LOG_EXPORT_RAW : LOG_EXPORT_JSONL;
        break;
    case ARGP_KEY_ARG:
        asked.directory = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (rc != 0) {
        verb_usage_error(state, "%s", hf_error_text());
    }
    return 0;
}

/* ---- the log ---- */

/* A file may go between listing and reading it while a server collects: looking again finds the log whole. */
static int log_read_open(struct hf_log **out)
{
    struct hf_log_options options = {.read_only = true, .io = HF_LOG_IO_THREADS};
    struct io *io = NULL;
    *out = NULL;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc != 0) {
        return rc;
    }
    char *directory = log_entry_folder(io, asked.directory);
    for (unsigned tries = 0; tries < LOG_READ_OPEN_TRIES; tries++) {
        rc = hf_log_open(directory, &options, out);
        if (rc != HF_ENOTFOUND) {
            break;
        }
    }
    free(directory);
    io_close(io);
    return rc;
}

/* The next group that was asked for. */
static bool log_read_next_group(struct hf_log *log, uint64_t *group)
{
    if (asked.group == 0) {
        return hf_log_group_next(log, *group, group) == 0;
    }
    bool first = *group == 0;
    *group = asked.group;
    return first;
}

/* The range [low, high) of what was asked for that the group has; nothing: low = high. */
static void log_read_range(const struct hf_log_group_state *state, uint64_t *low, uint64_t *high)
{
    uint64_t end = state->last_index == UINT64_MAX ? UINT64_MAX : state->last_index + 1;
    uint64_t to = asked.index_to == UINT64_MAX ? UINT64_MAX : asked.index_to + 1;
    *low = asked.index_from > state->first_index ? asked.index_from : state->first_index;
    *high = to < end ? to : end;
    *high = *high > *low ? *high : *low;
}

static int log_read_fail(int rc)
{
    return verb_fail(rc, "holdfast log verify names every damaged place; nothing was changed");
}

static int log_read_check_group(struct hf_log *log)
{
    struct hf_log_group_state state;
    if (asked.group == 0) {
        return 0;
    }
    hf_log_group_state(log, asked.group, &state);
    return state.exists ? 0 : error_raise(HF_ENOTFOUND, "the log has no group %" PRIu64, asked.group);
}

/* ---- export ---- */

struct log_read_export {
    struct log_export out;
    struct progress *progress;
    uint64_t total;
};

static int log_read_export_group(struct hf_log *log, uint64_t group, struct log_read_export *export)
{
    struct hf_log_group_state state;
    struct hf_log_iterator *iterator = NULL;
    struct hf_log_iterator_options options = {0};
    struct hf_entry entry;
    hf_log_group_state(log, group, &state);
    log_read_range(&state, &options.from, &options.to);
    if (options.from == options.to) {
        return 0;
    }
    int rc = hf_log_iterator_open(log, group, &options, &iterator);
    while (rc == 0) {
        rc = hf_log_iterator_next(iterator, 0, &entry);
        if (rc == 0) {
            rc = log_export_entry(&export->out, group, &entry);
        }
        if (rc == 0 && (export->out.count & LOG_READ_PROGRESS_MASK) == 0) {
            progress_update(export->progress, export->out.count, export->total);
        }
    }
    hf_log_iterator_close(iterator);
    return rc == HF_ENOTFOUND ? 0 : rc;
}

static int log_read_export_all(struct hf_log *log, struct log_read_export *export)
{
    struct hf_log_group_state state;
    uint64_t low = 0;
    uint64_t high = 0;
    for (uint64_t group = 0; log_read_next_group(log, &group);) {
        hf_log_group_state(log, group, &state);
        log_read_range(&state, &low, &high);
        export->total += high - low;
    }
    int rc = log_export_begin(&export->out, asked.format, stdout);
    for (uint64_t group = 0; rc == 0 && log_read_next_group(log, &group);) {
        rc = log_read_export_group(log, group, export);
    }
    progress_update(export->progress, export->out.count, export->total);
    return rc == 0 ? log_export_end(&export->out) : rc;
}

static int log_read_export_run(const struct verb_common *common)
{
    struct log_read_export export = {0};
    struct hf_log *log = NULL;
    int rc = log_read_open(&log);
    if (rc == 0) {
        rc = log_read_check_group(log);
    }
    if (rc == 0) {
        export.progress = progress_open(common, "export");
        rc = log_read_export_all(log, &export);
        progress_close(export.progress);
    }
    if (rc == 0 && !common->quiet && !common->json) {
        fprintf(stderr, "%" PRIu64 " entries\n", export.out.count);
    }
    log_export_close(&export.out);
    hf_log_close(log);
    return rc == 0 ? VERB_EXIT_OK : log_read_fail(rc);
}

/* ---- digest ---- */

static int log_read_digest_group(const struct verb_common *common, struct hf_log *log, uint64_t group)
{
    struct hf_log_group_state state;
    uint8_t digest[HF_LOG_DIGEST_SIZE];
    char text[2 * HF_LOG_DIGEST_SIZE + 1];
    uint64_t low = 0;
    uint64_t high = 0;
    hf_log_group_state(log, group, &state);
    log_read_range(&state, &low, &high);
    if (low == high && asked.group == 0) {
        return 0;
    }
    bool lacks = low == high || (asked.index_from != 0 && asked.index_from < low) ||
                 (asked.index_to != UINT64_MAX && asked.index_to + 1 > high && asked.group != 0);
    if (lacks) { /* a digest of less than was asked for would compare unequal for no reason */
        return error_raise(HF_EUNAVAILABLE,
                           "group %" PRIu64 " holds entries %" PRIu64 " to %" PRIu64 " only: ask for a range in there",
                           group, state.first_index, state.last_index);
    }
    int rc = hf_log_digest(log, group, low, high, digest);
    for (size_t i = 0; i < HF_LOG_DIGEST_SIZE; i++) {
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    }
    if (rc == 0 && common->json) {
        log_entry_json_line(json_pack("{s:I, s:I, s:I, s:I, s:s}", "group", (json_int_t)group, "from", (json_int_t)low,
                                      "to", (json_int_t)high - 1, "entries", (json_int_t)(high - low), "digest", text));
    } else if (rc == 0) {
        printf("%s  group %" PRIu64 ", entries %" PRIu64 " to %" PRIu64 "\n", text, group, low, high - 1);
    }
    return rc;
}

static int log_read_digest_run(const struct verb_common *common)
{
    struct hf_log *log = NULL;
    int rc = log_read_open(&log);
    if (rc == 0) {
        rc = log_read_check_group(log);
    }
    for (uint64_t group = 0; rc == 0 && log_read_next_group(log, &group);) {
        rc = log_read_digest_group(common, log, group);
    }
    hf_log_close(log);
    return rc == 0 ? VERB_EXIT_OK : log_read_fail(rc);
}

/* ---- stat ---- */

static json_t *log_read_stat_json(uint64_t group, const struct hf_log_group_state *state)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s%, s:b}", "group", (json_int_t)group,
                     "first", (json_int_t)state->first_index, "last", (json_int_t)state->last_index, "floor_term",
                     (json_int_t)state->floor_term, "bytes", (json_int_t)state->bytes, "bytes_on_disk",
                     (json_int_t)state->bytes_on_disk, "oldest_segment", (json_int_t)state->segment_oldest, "term",
                     (json_int_t)state->hard_state.term, "vote", (json_int_t)state->hard_state.vote, "commit",
                     (json_int_t)state->hard_state.commit, "snapshot", (const char *)state->snapshot_name,
                     (size_t)state->snapshot_name_size, "damaged", state->damaged);
}

static void log_read_stat_print_json(struct hf_log *log, const struct hf_log_stat *stat)
{
    json_t *groups = json_array();
    struct hf_log_group_state state;
    for (uint64_t group = 0; log_read_next_group(log, &group);) {
        hf_log_group_state(log, group, &state);
        json_array_append_new(groups, log_read_stat_json(group, &state));
    }
    log_entry_json_line(json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:o}", "segments", (json_int_t)stat->segments, "bytes_on_disk",
        (json_int_t)stat->bytes_on_disk, "torn_bytes", (json_int_t)stat->recovered_bytes_dropped, "damaged_groups",
        (json_int_t)stat->damaged_groups, "recovery_us", (json_int_t)(stat->recovery_ns / 1000), "groups", groups));
}

static void log_read_stat_print(const struct verb_common *common, struct hf_log *log, const struct hf_log_stat *stat)
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
    for (uint64_t group = 0; log_read_next_group(log, &group);) {
        hf_log_group_state(log, group, &state);
        printf("%-20" PRIu64 " %12" PRIu64 " %12" PRIu64 " %14" PRIu64 " %14" PRIu64 " %8" PRIx64 " %8" PRIu64
               " %6" PRIu64 " %12" PRIu64 "%s\n",
               group, state.first_index, state.last_index, state.bytes, state.bytes_on_disk, state.segment_oldest,
               state.hard_state.term, state.hard_state.vote, state.hard_state.commit, state.damaged ? "  DAMAGED" : "");
    }
}

static int log_read_stat_run(const struct verb_common *common)
{
    struct hf_log_stat stat;
    struct hf_log *log = NULL;
    int rc = log_read_open(&log);
    if (rc == 0) {
        rc = log_read_check_group(log);
    }
    if (rc != 0) {
        hf_log_close(log);
        return log_read_fail(rc);
    }
    hf_log_stat(log, &stat);
    if (common->json) {
        log_read_stat_print_json(log, &stat);
    } else {
        log_read_stat_print(common, log, &stat);
    }
    hf_log_close(log);
    return stat.damaged_groups > 0 ? VERB_EXIT_CORRUPTION : VERB_EXIT_OK;
}

/* ---- tail ---- */

/* Where a group was left: shown up to this entry. */
struct log_read_shown {
    uint64_t index;
    uint64_t term;
};

static int log_read_show(const struct verb_common *common, struct hf_log *log, uint64_t group, uint64_t from,
                         struct log_read_shown *shown)
{
    struct hf_log_iterator *iterator = NULL;
    struct hf_log_iterator_options options = {.from = from};
    struct hf_entry entry;
    int rc = hf_log_iterator_open(log, group, &options, &iterator);
    while (rc == 0 && (rc = hf_log_iterator_next(iterator, 0, &entry)) == 0) {
        if (common->json) {
            log_entry_print_json(group, &entry);
        } else {
            log_entry_print(group, &entry);
        }
        *shown = (struct log_read_shown){entry.index, entry.term};
        if (ferror(stdout) != 0) {
            rc = error_raise(HF_EIO, "standard output cannot be written");
        }
    }
    hf_log_iterator_close(iterator);
    return rc == HF_EUNAVAILABLE ? 0 : rc;
}

/* The first index that was not shown yet, or not as it is now. */
static uint64_t log_read_resume(struct hf_log *log, uint64_t group, const struct hf_log_group_state *state,
                                const struct log_read_shown *shown)
{
    uint64_t index = 0;
    uint64_t term = 0;
    int rc = hf_log_match(log, group, shown->index, shown->term, NULL, NULL, &index, &term);
    if (rc != 0) {
        index = state->first_index - 1;
    }
    if (index != shown->index) {
        fprintf(stderr, "group %" PRIu64 ": entries from index %" PRIu64 " on were replaced\n", group, index + 1);
    }
    return index + 1;
}

static int log_read_tail_once(const struct verb_common *common, struct hf_log *log, struct map *shown_groups)
{
    struct hf_log_group_state state;
    int rc = 0;
    for (uint64_t group = 0; rc == 0 && log_read_next_group(log, &group);) {
        struct log_read_shown *shown = map_get(shown_groups, group);
        hf_log_group_state(log, group, &state);
        uint64_t from = state.first_index;
        if (shown == NULL) {
            shown = memory_new(sizeof(*shown));
            map_put(shown_groups, group, shown);
            uint64_t count = state.last_index - (state.first_index - 1);
            from = count > asked.lines ? state.last_index - asked.lines + 1 : from;
            if (asked.lines == 0) {
                shown->index = state.last_index;
                (void)hf_log_term(log, group, state.last_index, &shown->term);
            }
        } else if (shown->index > 0) {
            from = log_read_resume(log, group, &state, shown);
        }
        if (state.last_index >= from) {
            rc = log_read_show(common, log, group, from, shown);
        }
    }
    fflush(stdout);
    return rc;
}

static int log_read_tail_run(const struct verb_common *common)
{
    struct map shown = {0};
    struct hf_log *log = NULL;
    int rc = log_read_open(&log);
    if (rc == 0) {
        rc = log_read_check_group(log);
    }
    if (rc == 0) {
        rc = log_read_tail_once(common, log, &shown);
    }
    while (rc == 0 && asked.follow) {
        hf_log_close(log);
        poll(NULL, 0, LOG_READ_FOLLOW_MS);
        rc = log_read_open(&log);
        if (rc == 0) {
            rc = log_read_tail_once(common, log, &shown);
        }
    }
    hf_log_close(log);
    size_t position = 0;
    uint64_t group = 0;
    void *value = NULL;
    while (map_next(&shown, &position, &group, &value)) {
        free(value);
    }
    map_close(&shown);
    return rc == 0 ? VERB_EXIT_OK : log_read_fail(rc);
}

/* ---- the table's rows ---- */

static const struct argp_option log_read_stat_options[] = {
    {"group", KEY_GROUP, "G", 0, "Only this group", 0},
    {0},
};
static const struct argp_option log_read_range_options[] = {
    {"group", KEY_GROUP, "G", 0, "Only this group", 0},
    {"from", KEY_FROM, "INDEX", 0, "Only entries from this index on", 0},
    {"to", KEY_TO, "INDEX", 0, "Only entries up to this index", 0},
    {0},
};
static const struct argp_option log_read_export_options[] = {
    {"group", KEY_GROUP, "G", 0, "Only this group", 0},
    {"from", KEY_FROM, "INDEX", 0, "Only entries from this index on", 0},
    {"to", KEY_TO, "INDEX", 0, "Only entries up to this index", 0},
    {"format", KEY_FORMAT, "FORMAT", 0, "jsonl (default) or raw", 0},
    {0},
};
static const struct argp_option log_read_tail_options[] = {
    {"group", KEY_GROUP, "G", 0, "Only this group", 0},
    {"lines", KEY_LINES, "N", 0, "That many entries of each group (default 10)", 0},
    {"follow", KEY_FOLLOW, NULL, 0, "Go on with what is appended; looks once a second", 0},
    {0},
};

const struct verb verb_log_tail = {
    .name = "log tail",
    .arguments = "DIR",
    .summary = "Print the newest entries of a log, also while a server runs",
    .details =
        "DIR is a data directory or its log folder. With --follow it goes on until it is interrupted, and says on "
        "standard error when entries that it printed were replaced. With --json, one object per line.",
    .options = log_read_tail_options,
    .parse = log_read_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = log_read_tail_run,
};
const struct verb verb_log_stat = {
    .name = "log stat",
    .arguments = "DIR",
    .summary = "Show what a log holds, group by group",
    .details =
        "First and last index, payload bytes, bytes on disk, the oldest segment that the group needs, term, vote "
        "and commit index. Works while a server runs. Exit code 4 when a group is damaged.",
    .options = log_read_stat_options,
    .parse = log_read_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = log_read_stat_run,
};
const struct verb verb_log_digest = {
    .name = "log digest",
    .arguments = "DIR",
    .summary = "Print a digest of entries, equal on every replica",
    .details = "XXH3-128 over index, term, type, timestamp and payload of the entries of a range. Compare it with that "
               "of another node's directory, or with RAFT.LOG group DIGEST from to of a node that runs: replicas that "
               "hold the same entries print the same. Choose a range that both still hold.",
    .options = log_read_range_options,
    .parse = log_read_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = log_read_digest_run,
};
const struct verb verb_log_export = {
    .name = "log export",
    .arguments = "DIR",
    .summary = "Write the entries of a log to standard output, whole",
    .details = "jsonl is one JSON object per line with the payload in base64; raw is a binary format with checksums "
               "(docs/formats.md). Works while a server runs and changes nothing.",
    .options = log_read_export_options,
    .parse = log_read_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = log_read_export_run,
};
