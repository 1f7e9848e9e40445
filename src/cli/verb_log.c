/* holdfast log dump|verify: reads a log directory, also while a server appends to it, and changes nothing. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/map.h"
#include "cli/log_entry.h"
#include "cli/log_selection.h"
#include "cli/progress.h"
#include "cli/verbs.h"
#include "log/log.h"

#define LOG_DAMAGE_KEPT_MAX 1000u /* told at the end, with the last commit index; further ones at once */

static struct log_selection dump = {LOG_SELECTION_ALL};

static const struct argp_option log_options[] = {
    LOG_SELECTION_OPTIONS,
    {0},
};

static error_t log_parse(int key, char *text, struct argp_state *state)
{
    return log_selection_parse(&dump, key, text, state);
}

static bool record_is_entry(const struct log_walk_record *record)
{
    return strcmp(record->kind, "append") == 0 || strcmp(record->kind, "moved") == 0;
}

static void record_print(const struct log_walk_record *record)
{
    printf("%016" PRIx64 ".log %10" PRIu64 "  group %" PRIu64 " %-13s", record->segment, record->offset, record->group,
           record->kind);
    if (record_is_entry(record)) {
        char text[LOG_ENTRY_TEXT_SIZE_MAX];
        log_entry_payload_text(record->payload, text, sizeof(text));
        printf(" index %" PRIu64 " term %" PRIu64 " %s %zu B  %s\n", record->index, record->term,
               log_entry_type_name(record->entry_type), record->payload.size, text);
    } else if (strcmp(record->kind, "hard_state") == 0) {
        printf(" term %" PRIu64 " vote %" PRIu64 " commit %" PRIu64 "\n", record->hard_state.term,
               record->hard_state.vote, record->hard_state.commit);
    } else {
        printf(" index %" PRIu64 " term %" PRIu64 "\n", record->index, record->term);
    }
}

static json_t *record_json(const struct log_walk_record *record)
{
    json_t *json = json_pack("{s:I, s:I, s:I, s:s}", "segment", (json_int_t)record->segment, "offset",
                             (json_int_t)record->offset, "group", (json_int_t)record->group, "kind", record->kind);
    if (strcmp(record->kind, "hard_state") == 0) {
        json_object_set_new(json, "term", json_integer((json_int_t)record->hard_state.term));
        json_object_set_new(json, "vote", json_integer((json_int_t)record->hard_state.vote));
        json_object_set_new(json, "commit", json_integer((json_int_t)record->hard_state.commit));
        return json;
    }
    json_object_set_new(json, "index", json_integer((json_int_t)record->index));
    json_object_set_new(json, "term", json_integer((json_int_t)record->term));
    if (record_is_entry(record)) {
        char text[LOG_ENTRY_TEXT_SIZE_MAX];
        log_entry_payload_text(record->payload, text, sizeof(text));
        json_object_set_new(json, "type", json_string(log_entry_type_name(record->entry_type)));
        json_object_set_new(json, "timestamp_ms", json_integer((json_int_t)record->timestamp_ms));
        json_object_set_new(json, "size", json_integer((json_int_t)record->payload.size));
        json_object_set_new(json, "payload", json_string(text));
    }
    return json;
}

struct walk {
    const struct verb_common *common;
    struct progress *progress;
    bool prints_records;
    struct map commits;   /* group → last commit index seen, plus one */
    struct buffer damage; /* struct hf_log_damage, as they were met */
};

static int walk_record(void *arg, const struct log_walk_record *record)
{
    struct walk *walk = arg;
    if (strcmp(record->kind, "hard_state") == 0) {
        map_put(&walk->commits, record->group, (void *)(uintptr_t)(record->hard_state.commit + 1));
    }
    if (!walk->prints_records || (dump.group != 0 && record->group != dump.group)) {
        return 0;
    }
    if (record_is_entry(record) && (record->index < dump.index_from || record->index > dump.index_to)) {
        return 0;
    }
    if (walk->common->json) {
        log_entry_json_line(record_json(record));
    } else {
        record_print(record);
    }
    return ferror(stdout) != 0 ? error_raise(HF_EIO, "standard output cannot be written") : 0;
}

static void damage_print(const struct verb_common *common, const struct hf_log_damage *damage)
{
    if (common->json) {
        log_entry_json_line(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "kind", "damage", "group", (json_int_t)damage->group, "index",
            (json_int_t)damage->index, "term", (json_int_t)damage->term, "commit", (json_int_t)damage->commit,
            "segment", (json_int_t)damage->segment, "offset", (json_int_t)damage->offset, "reason", damage->reason));
        return;
    }
    fprintf(stderr, "error: %s in log segment %016" PRIx64 ".log at offset %" PRIu64 "\n", damage->reason,
            damage->segment, damage->offset);
    if (damage->group != 0) {
        char term[32];
        snprintf(term, sizeof(term), damage->term != 0 ? "%" PRIu64 : "unknown", damage->term);
        fprintf(stderr, "  group %" PRIu64 ", index %" PRIu64 ", term %s; committed is %" PRIu64 ", so this entry %s\n",
                damage->group, damage->index, term, damage->commit,
                damage->index <= damage->commit ? "IS committed" : "may or may not be committed");
    } else {
        fprintf(stderr, "  the record's header is unreadable, so the group is unknown\n");
    }
}

/* Whether a damaged entry is committed is known once every later commit index was seen: it is told at the end. */
static int walk_damage(void *arg, const struct hf_log_damage *damage)
{
    struct walk *walk = arg;
    if (walk->damage.size < LOG_DAMAGE_KEPT_MAX * sizeof(*damage)) {
        buffer_append(&walk->damage, damage, sizeof(*damage));
    } else {
        damage_print(walk->common, damage);
    }
    return 0;
}

static void walk_tell_damage(const struct walk *walk)
{
    for (size_t at = 0; at + sizeof(struct hf_log_damage) <= walk->damage.size; at += sizeof(struct hf_log_damage)) {
        struct hf_log_damage damage;
        memcpy(&damage, walk->damage.data + at, sizeof(damage));
        uint64_t commit_next = (uintptr_t)map_get(&walk->commits, damage.group);
        damage.commit = commit_next > damage.commit + 1 ? commit_next - 1 : damage.commit;
        damage_print(walk->common, &damage);
    }
}

static void walk_progress(void *arg, uint64_t done, uint64_t total)
{
    const struct walk *walk = arg;
    progress_update(walk->progress, done, total);
}

static void summary_print(const struct verb_common *common, const struct log_walk_summary *summary)
{
    if (common->json) {
        log_entry_json_line(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "kind", "summary", "segments",
                                      (json_int_t)summary->segments, "frames", (json_int_t)summary->frames, "records",
                                      (json_int_t)summary->records, "bytes", (json_int_t)summary->bytes, "torn_bytes",
                                      (json_int_t)summary->torn_bytes, "damaged", (json_int_t)summary->damaged,
                                      "healed", (json_int_t)summary->healed));
    } else if (!common->quiet) {
        printf("%" PRIu64 " segments, %" PRIu64 " frames, %" PRIu64 " records, %" PRIu64 " bytes: %s\n",
               summary->segments, summary->frames, summary->records, summary->bytes,
               summary->damaged == 0 ? "good" : "DAMAGED");
        if (summary->healed > 0) {
            printf("%" PRIu64 " damaged places were repaired: what was lost there was written again\n",
                   summary->healed);
        }
        if (summary->torn_bytes > 0) {
            printf(
                "%" PRIu64
                " bytes at the end are torn: they were never acknowledged as durable, and are dropped when it opens\n",
                summary->torn_bytes);
        }
    }
}

static int log_run(const struct verb_common *common, bool prints_records)
{
    struct walk walk = {.common = common, .prints_records = prints_records};
    const struct log_walk_callbacks callbacks = {walk_record, walk_damage, walk_progress};
    struct log_walk_summary summary = {0};
    struct io *io = NULL;
    char *directory = NULL;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc == 0) {
        directory = log_entry_folder(io, dump.directory);
        walk.progress = progress_open(common, "log");
        rc = log_walk(io, directory, &callbacks, &walk, &summary);
        progress_close(walk.progress);
        walk_tell_damage(&walk);
    }
    map_close(&walk.commits);
    buffer_close(&walk.damage);
    io_close(io);
    free(directory);
    if (rc != 0) {
        return log_selection_fail(rc);
    }
    if (!prints_records || common->json) {
        summary_print(common, &summary);
    }
    if (summary.damaged > 0) {
        fprintf(stderr, "  next: keep the files as they are; holdfast log repair --dry-run %s\n", dump.directory);
        return VERB_EXIT_CORRUPTION;
    }
    return VERB_EXIT_OK;
}

static int dump_run(const struct verb_common *common)
{
    return log_run(common, true);
}
static int verify_run(const struct verb_common *common)
{
    return log_run(common, false);
}

const struct verb verb_log_dump = {
    .name = "log dump",
    .arguments = "DIR",
    .summary = "Print every record of a log, also while a server runs",
    .details = "DIR is a data directory or its log folder. With --json, one object per line, then a summary. Exit "
               "code 4 when damage was found.",
    .options = log_options,
    .parse = log_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = dump_run,
};

const struct verb verb_log_verify = {
    .name = "log verify",
    .arguments = "DIR",
    .summary = "Check every byte of a log, also while a server runs",
    .details = "Tells a torn tail, which was never acknowledged as durable, from damage. Changes nothing. Exit code 4 "
               "when damage "
               "was found.",
    .options = log_options,
    .parse = log_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = verify_run,
};
