/* holdfast snapshot list|verify|inspect: reads a directory of snapshots, also while a node uses it, or one snapshot in
 * a file; changes nothing. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "cli/backup_input.h"
#include "cli/backup_show.h"
#include "cli/progress.h"
#include "cli/quantity.h"
#include "cli/verbs.h"
#include "snapshot/snapshot.h"

enum snapshot_key { KEY_GROUP = 'g', KEY_ID = 'i' };

static struct {
    const char *path;
    uint64_t group; /* 0: all */
    bool has_id;
    struct hf_snapshot_id id;
} choice;

static const struct argp_option snapshot_options[] = {
    {"group", KEY_GROUP, "G", 0, "Only this group", 0},
    {"id", KEY_ID, "ID", 0, "Only the snapshot with this id", 0},
    {0},
};

static error_t snapshot_parse(int key, char *text, struct argp_state *state)
{
    int rc = 0;
    switch (key) {
    case KEY_GROUP:
        rc = quantity_number(text, 1, HF_SNAPSHOT_GROUP_MAX, &choice.group);
        break;
    case KEY_ID:
        choice.has_id = true;
        rc = hf_snapshot_id_parse(bytes_of_text(text), &choice.id);
        break;
    case ARGP_KEY_ARG:
        choice.path = text;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return verb_parsed(state, rc);
}

/* ---- what was asked for: snapshots of a directory, or one in a file ---- */

struct target {
    struct io *io;
    struct hf_snapshot_store *store;   /* of a directory */
    struct hf_snapshot_reader *reader; /* of a file */
    struct hf_snapshot_info *list;
    size_t count;
};

/* What is damaged stands in the list itself, with its reason. */
static void target_report(void *arg, const struct hf_snapshot_event *event) {}

static int target_count_names(void *arg, const char *name, bool is_directory)
{
    return 0;
}

/* Whether it is a directory: listing is the one question that io answers for it. */
static bool target_is_directory(struct io *io, const char *path)
{
    return directory_list(io, path, target_count_names, NULL) == 0;
}

static int target_open_file(struct target *target)
{
    int rc = snapshot_reader_open_path(target->io, choice.path, &target->reader);
    if (rc == 0) {
        target->list = memory_new(sizeof(*target->list));
        target->list->manifest = *hf_snapshot_reader_manifest(target->reader);
        target->list->origin = HF_SNAPSHOT_LOCAL;
        target->count = 1;
    }
    return rc;
}

/* A data directory holds its snapshots in snapshots/; both are accepted. */
static int target_open_directory(struct target *target)
{
    const struct hf_snapshot_options options = {.read_only = true, .report = target_report};
    char *inside = text_format("%s/snapshots", choice.path);
    const char *path = target_is_directory(target->io, inside) ? inside : choice.path;
    int rc = snapshot_open(target->io, path, &options, &target->store);
    free(inside);
    if (rc == 0) {
        rc = hf_snapshot_list(target->store, choice.group, &target->list, &target->count);
    }
    return rc;
}

static void target_close(struct target *target)
{
    hf_snapshot_list_free(target->list);
    hf_snapshot_reader_close(target->reader);
    hf_snapshot_store_close(target->store);
    io_close(target->io);
}

/* Leaves in the list only what was asked for. */
static int target_choose(struct target *target)
{
    size_t kept = 0;
    for (size_t i = 0; i < target->count; i++) {
        const struct hf_snapshot_manifest *manifest = &target->list[i].manifest;
        if ((!choice.has_id || hf_snapshot_id_equal(manifest->id, choice.id)) &&
            (choice.group == 0 || manifest->group == choice.group)) {
            target->list[kept++] = target->list[i];
        }
    }
    target->count = kept;
    if (kept == 0 && choice.has_id) {
        return error_raise(HF_ENOTFOUND, "there is no snapshot with that id in %s", choice.path);
    }
    return 0;
}

static int target_open(struct target *target)
{
    *target = (struct target){0};
    int rc = io_open_kernel(IO_BACKEND_THREADS, &target->io);
    if (rc == 0) {
        rc = target_is_directory(target->io, choice.path) ? target_open_directory(target) : target_open_file(target);
    }
    return rc == 0 ? target_choose(target) : rc;
}

/* ---- showing ---- */

static void time_text(uint64_t ms, char *text, size_t size)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL || strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        snprintf(text, size, "%" PRIu64 " ms", ms);
    }
}

static void hex_text(const uint8_t *bytes, size_t size, char *text)
{
    text[0] = '\0';
    for (size_t i = 0; i < size; i++) {
        sprintf(text + 2 * i, "%02x", bytes[i]);
    }
}

static const char *origin_name(enum hf_snapshot_origin origin)
{
    return origin == HF_SNAPSHOT_LOCAL ? "local" : "received";
}

static json_t *info_json(const struct hf_snapshot_info *info)
{
    const struct hf_snapshot_manifest *manifest = &info->manifest;
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    char digest[2 * sizeof(manifest->digest) + 1];
    char *configuration = memory_new(2 * (size_t)manifest->configuration_size + 1);
    hf_snapshot_id_format(manifest->id, id);
    hex_text(manifest->digest, sizeof(manifest->digest), digest);
    hex_text(manifest->configuration, manifest->configuration_size, configuration);
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:b}", "id", id, "group",
                  (json_int_t)manifest->group, "index", (json_int_t)manifest->index, "term", (json_int_t)manifest->term,
                  "configuration_index", (json_int_t)manifest->configuration_index, "created_ms",
                  (json_int_t)manifest->created_ms, "entries", (json_int_t)manifest->entries, "application_bytes",
                  (json_int_t)manifest->application_bytes, "stored_bytes", (json_int_t)manifest->stored_bytes, "chunks",
                  (json_int_t)manifest->chunk_count, "chunk_size_bytes", (json_int_t)manifest->chunk_size_bytes,
                  "compression", hf_snapshot_compression_name(manifest->compression), "digest", digest, "configuration",
                  configuration, "origin", origin_name(info->origin), "damaged", info->damaged);
    if (info->damaged) {
        json_object_set_new(json, "reason", json_string(info->reason));
    }
    free(configuration);
    return json;
}

static void json_line(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(json);
}

static void info_row(const struct hf_snapshot_info *info)
{
    const struct hf_snapshot_manifest *manifest = &info->manifest;
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    char time[32];
    hf_snapshot_id_format(manifest->id, id);
    time_text(manifest->created_ms, time, sizeof(time));
    if (info->damaged) {
        printf("%s  group %" PRIu64 " index %" PRIu64 "  DAMAGED: %s\n", id, manifest->group, manifest->index,
               info->reason);
        return;
    }
    printf("%s  group %" PRIu64 " index %" PRIu64 " term %" PRIu64 "  %s  %s  %" PRIu64 " entries, %" PRIu64
           " bytes, stored %" PRIu64 "  %s\n",
           id, manifest->group, manifest->index, manifest->term, time,
           hf_snapshot_compression_name(manifest->compression), manifest->entries, manifest->application_bytes,
           manifest->stored_bytes, origin_name(info->origin));
}

static void info_details(const struct hf_snapshot_info *info)
{
    const struct hf_snapshot_manifest *manifest = &info->manifest;
    char digest[2 * sizeof(manifest->digest) + 1];
    info_row(info);
    if (info->damaged) {
        return;
    }
    hex_text(manifest->digest, sizeof(manifest->digest), digest);
    printf("  group incarnation %016" PRIx64 ", configuration of index %" PRIu64 ", %" PRIu32 " bytes\n",
           manifest->group_incarnation, manifest->configuration_index, manifest->configuration_size);
    printf("  %" PRIu32 " chunks of %" PRIu32 " bytes\n", manifest->chunk_count, manifest->chunk_size_bytes);
    printf("  digest %s (XXH3-128 of the application bytes)\n", digest);
}

/* Whether the path is a backup (snapshot save), of which the verb knows by itself. *code: what it ended with. */
static bool is_shown_as_backup(const struct verb_common *common,
                               int (*show_backup)(const struct verb_common *, struct io *, const char *), int *code)
{
    struct io *io = NULL;
    bool is_backup = io_open_kernel(IO_BACKEND_THREADS, &io) == 0 && backup_input_is_backup(io, choice.path);
    if (is_backup && (choice.has_id || choice.group != 0)) {
        error_raise(HF_EINVALID, "--group and --id choose from a directory; a backup is looked at as a whole");
        *code = verb_fail(HF_EINVALID, NULL);
    } else if (is_backup) {
        *code = show_backup(common, io, choice.path);
    }
    io_close(io);
    return is_backup;
}

static int show(const struct verb_common *common, void (*print)(const struct hf_snapshot_info *info))
{
    struct target target;
    bool damaged = false;
    int rc = target_open(&target);
    for (size_t i = 0; i < target.count && rc == 0; i++) {
        damaged = damaged || target.list[i].damaged;
        if (common->json) {
            json_line(info_json(&target.list[i]));
        } else {
            print(&target.list[i]);
        }
    }
    target_close(&target);
    if (rc != 0) {
        return verb_fail(rc, "give a data directory, its snapshots folder, or a file of snapshot export");
    }
    return damaged ? VERB_EXIT_CORRUPTION : VERB_EXIT_OK;
}

static int list_run(const struct verb_common *common)
{
    return show(common, info_row);
}

static int inspect_run(const struct verb_common *common)
{
    int code;
    return is_shown_as_backup(common, backup_show_inspect, &code) ? code : show(common, info_details);
}

/* ---- verifying ---- */

struct verify {
    struct progress *progress;
    uint64_t done; /* of the snapshots before */
    uint64_t total;
};

static int verify_watch(void *arg, uint64_t done, uint64_t total)
{
    const struct verify *verify = arg;
    progress_update(verify->progress, verify->done + done, verify->total);
    return 0;
}

static int verify_reader(struct hf_snapshot_reader *reader, struct verify *verify)
{
    struct hf_bytes chunk;
    uint64_t done = 0;
    int rc;
    do {
        rc = hf_snapshot_read_next(reader, &chunk);
        done += chunk.size;
        verify_watch(verify, done, verify->total);
    } while (rc == 0 && chunk.size > 0);
    return rc;
}

/* Notes in the list what was found. Errors that are not damage end the work. */
static int verify_one(struct target *target, struct hf_snapshot_info *info, struct verify *verify)
{
    int rc = 0;
    if (!info->damaged) {
        rc = target->reader != NULL ? verify_reader(target->reader, verify)
                                    : hf_snapshot_verify(target->store, info->manifest.id, verify_watch, verify);
        verify->done += info->manifest.application_bytes;
    }
    if (rc == HF_ECORRUPT) {
        info->damaged = true;
        snprintf(info->reason, sizeof(info->reason), "%s", hf_error_text());
        rc = 0;
    }
    return rc;
}

static int verify_run(const struct verb_common *common)
{
    struct target target;
    struct verify verify = {0};
    size_t damaged = 0;
    int code;
    if (is_shown_as_backup(common, backup_show_verify, &code)) {
        return code;
    }
    int rc = target_open(&target);
    for (size_t i = 0; i < target.count; i++) {
        verify.total += target.list[i].damaged ? 0 : target.list[i].manifest.application_bytes;
    }
    verify.progress = progress_open(common, "snapshot");
    for (size_t i = 0; i < target.count && rc == 0; i++) {
        rc = verify_one(&target, &target.list[i], &verify);
        damaged += rc == 0 && target.list[i].damaged;
    }
    progress_close(verify.progress);
    for (size_t i = 0; i < target.count && rc == 0; i++) {
        if (common->json) {
            json_line(info_json(&target.list[i]));
        } else if (!common->quiet || target.list[i].damaged) {
            info_row(&target.list[i]);
        }
    }
    if (rc == 0 && !common->json && !common->quiet) {
        printf("%zu snapshots: %s\n", target.count, damaged == 0 ? "good" : "DAMAGED");
    }
    target_close(&target);
    if (rc != 0) {
        return verb_fail(rc, "give a data directory, its snapshots folder, or a file of snapshot export");
    }
    if (damaged > 0) {
        fprintf(stderr,
                "  next: keep the files; a node passes damaged snapshots by, uses older ones and takes another\n");
        return VERB_EXIT_CORRUPTION;
    }
    return VERB_EXIT_OK;
}

const struct verb verb_snapshot_list = {
    .name = "snapshot list",
    .arguments = "PATH",
    .summary = "List the snapshots of a data directory, newest first, also while a node runs",
    .details =
        "PATH is a data directory, its snapshots folder, or one snapshot in a file. Exit code 4 when one is known "
        "to be damaged; snapshot verify reads every byte.",
    .options = snapshot_options,
    .parse = snapshot_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = list_run,
};

const struct verb verb_snapshot_verify = {
    .name = "snapshot verify",
    .arguments = "PATH",
    .summary = "Check every byte of snapshots, also while a node runs",
    .details =
        "PATH is a data directory, its snapshots folder, one snapshot in a file, a backup of snapshot save, or - for a "
        "backup on standard input. Changes nothing. Exit code 4 when damage was found; of a backup, group and chunk "
        "are "
        "named.",
    .options = snapshot_options,
    .parse = snapshot_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = verify_run,
};

const struct verb verb_snapshot_inspect = {
    .name = "snapshot inspect",
    .arguments = "PATH",
    .summary = "Show everything that snapshots say of themselves",
    .details =
        "Index, term, configuration, sizes, chunks and digest. PATH is a data directory, its snapshots folder, one "
        "snapshot in a file (--id chooses one), or a backup of snapshot save: its cluster, time, groups and sizes.",
    .options = snapshot_options,
    .parse = snapshot_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = inspect_run,
};
