/* holdfast log tail|digest|export: reads the log as it would be found by an open, also while a server appends to
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
#include "cli/log_selection.h"
#include "cli/progress.h"
#include "cli/quantity.h"
#include "cli/verbs.h"

#define LOG_READ_TAIL_LINES    10u
#define LOG_READ_TAIL_MAX      1000000u
#define LOG_READ_FOLLOW_MS     1000
#define LOG_READ_PROGRESS_MASK 0xffu

enum log_read_key { KEY_LINES = 'n', KEY_FOLLOW = 'f', KEY_FORMAT = 0x200 };

static struct log_selection asked = {LOG_SELECTION_ALL};
static struct {
    uint64_t lines;
    bool follow;
    enum log_export_format format;
} how = {.lines = LOG_READ_TAIL_LINES};

static error_t log_read_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case KEY_LINES:
        rc = quantity_number(text, 0, LOG_READ_TAIL_MAX, &how.lines);
        break;
    case KEY_FOLLOW:
        how.follow = true;
        break;
    case KEY_FORMAT:
        if (strcmp(text, "jsonl") != 0 && strcmp(text, "raw") != 0) {
            verb_usage_error(state, "the formats are jsonl and raw, not '%s'", text);
        }
        how.format = strcmp(text, "raw") == 0 ? LOG_EXPORT_RAW : LOG_EXPORT_JSONL;
        break;
    default:
        return log_selection_parse(&asked, key, text, state);
    }
    return verb_parsed(state, rc);
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
    log_selection_range(&asked, &state, &options.from, &options.to);
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
    for (uint64_t group = 0; log_selection_next_group(&asked, log, &group);) {
        hf_log_group_state(log, group, &state);
        log_selection_range(&asked, &state, &low, &high);
        export->total += high - low;
    }
    int rc = log_export_begin(&export->out, how.format, stdout);
    for (uint64_t group = 0; rc == 0 && log_selection_next_group(&asked, log, &group);) {
        rc = log_read_export_group(log, group, export);
    }
    progress_update(export->progress, export->out.count, export->total);
    return rc == 0 ? log_export_end(&export->out) : rc;
}

static int log_read_export_run(const struct verb_common *common)
{
    struct log_read_export export = {0};
    struct hf_log *log = NULL;
    int rc = log_selection_open(&asked, &log);
    if (rc == 0) {
        rc = log_selection_check(&asked, log);
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
    return rc == 0 ? VERB_EXIT_OK : log_selection_fail(rc);
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
    log_selection_range(&asked, &state, &low, &high);
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
    int rc = log_selection_open(&asked, &log);
    if (rc == 0) {
        rc = log_selection_check(&asked, log);
    }
    for (uint64_t group = 0; rc == 0 && log_selection_next_group(&asked, log, &group);) {
        rc = log_read_digest_group(common, log, group);
    }
    hf_log_close(log);
    return rc == 0 ? VERB_EXIT_OK : log_selection_fail(rc);
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
    for (uint64_t group = 0; rc == 0 && log_selection_next_group(&asked, log, &group);) {
        struct log_read_shown *shown = map_get(shown_groups, group);
        hf_log_group_state(log, group, &state);
        uint64_t from = state.first_index;
        if (shown == NULL) {
            shown = memory_new(sizeof(*shown));
            map_put(shown_groups, group, shown);
            uint64_t count = state.last_index - (state.first_index - 1);
            from = count > how.lines ? state.last_index - how.lines + 1 : from;
            if (how.lines == 0) {
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
    int rc = log_selection_open(&asked, &log);
    if (rc == 0) {
        rc = log_selection_check(&asked, log);
    }
    if (rc == 0) {
        rc = log_read_tail_once(common, log, &shown);
    }
    while (rc == 0 && how.follow) {
        hf_log_close(log);
        poll(NULL, 0, LOG_READ_FOLLOW_MS);
        rc = log_selection_open(&asked, &log);
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
    return rc == 0 ? VERB_EXIT_OK : log_selection_fail(rc);
}

/* ---- the table's rows ---- */

static const struct argp_option log_read_range_options[] = {
    LOG_SELECTION_OPTIONS,
    {0},
};
static const struct argp_option log_read_export_options[] = {
    LOG_SELECTION_OPTIONS,
    {"format", KEY_FORMAT, "FORMAT", 0, "jsonl (default) or raw", 0},
    {0},
};
static const struct argp_option log_read_tail_options[] = {
    {LOG_SELECTION_GROUP_OPTION},
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
