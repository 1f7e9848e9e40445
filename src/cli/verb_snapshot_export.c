/* holdfast snapshot export: the keys of a backup, of a snapshot, or of the newest snapshots of a data directory, as
 * JSON, one object per line. Reads only, also beside a running node. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "cli/backup_input.h"
#include "cli/backup_keys.h"
#include "cli/quantity.h"
#include "cli/state_replay.h"
#include "cli/state_source.h"
#include "cli/verbs.h"
#include "snapshot/snapshot.h"

enum export_key { KEY_PREFIX = 'p', KEY_GROUP = 'g', KEY_BASE64 = 0x100, KEY_ACCEPT_OLDER };

static struct {
    const char *path;
    const char *prefix;
    uint64_t group; /* 0: all */
    bool is_base64;
    bool is_older_accepted;
    bool is_directory; /* what the path is, and … */
    bool is_hopeless;  /* … a group in it has no good snapshot: for the next step that an error names */
} choice = {.prefix = ""};

static const struct argp_option export_options[] = {
    {"prefix", KEY_PREFIX, "TEXT", 0, "Only keys that begin with this", 0},
    {"group", KEY_GROUP, "G", 0, "Only this group of a data directory", 0},
    {"accept-older", KEY_ACCEPT_OLDER, NULL, 0,
     "Where the newest snapshot of a group is damaged and the log does not stand in: print an older state", 0},
    {"base64", KEY_BASE64, NULL, 0, "Keys and values in base64, also where they are text", 0},
    {0},
};

static error_t export_parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case KEY_PREFIX:
        choice.prefix = text;
        return 0;
    case KEY_GROUP:
        return verb_parsed(state, quantity_number(text, 1, HF_SNAPSHOT_GROUP_MAX, &choice.group));
    case KEY_ACCEPT_OLDER:
        choice.is_older_accepted = true;
        return 0;
    case KEY_BASE64:
        choice.is_base64 = true;
        return 0;
    case ARGP_KEY_ARG:
        choice.path = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- a line ---- */

/* RFC 4648, with padding. The caller frees it. */
static char *export_base64(struct hf_bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *source = bytes.data;
    char *text = memory_new((bytes.size + 2) / 3 * 4 + 1);
    char *at = text;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t bits =
            (uint32_t)source[i] << 16 | (left > 1 ? (uint32_t)source[i + 1] << 8 : 0) | (left > 2 ? source[i + 2] : 0u);
        *at++ = digits[bits >> 18];
        *at++ = digits[bits >> 12 & 63];
        *at++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[bits & 63] : '=';
    }
    return text;
}

/* As "NAME" when it is UTF-8, else as "NAME_base64". */
static void export_put(json_t *line, const char *name, struct hf_bytes bytes)
{
    json_t *text = choice.is_base64 ? NULL : json_stringn(bytes.size > 0 ? (const char *)bytes.data : "", bytes.size);
    if (text != NULL) {
        json_object_set_new(line, name, text);
        return;
    }
    char *encoded = export_base64(bytes);
    char *long_name = text_format("%s_base64", name);
    json_object_set_new(line, long_name, json_string(encoded));
    free(long_name);
    free(encoded);
}

struct dump {
    struct backup_keys keys;
    uint64_t lines;
};

static int export_visit(void *arg, const struct state_walk_item *item)
{
    struct dump *dump = arg;
    size_t prefix_size = strlen(choice.prefix);
    if (item->is_past || item->key.size < prefix_size || memcmp(item->key.data, choice.prefix, prefix_size) != 0) {
        return 0;
    }
    json_t *line = json_pack("{s:I}", "group", (json_int_t)dump->keys.group);
    export_put(line, "key", item->key);
    json_object_set_new(line, "type", json_string(item->type));
    export_put(line, "value", item->value);
    if (item->deadline_ms != 0) {
        json_object_set_new(line, "deadline_ms", json_integer((json_int_t)item->deadline_ms));
    }
    char *text = json_dumps(line, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(line);
    dump->lines++;
    return ferror(stdout) != 0 ? error_raise(HF_EIO, "standard output cannot be written") : 0;
}

/* ---- where from ---- */

static int export_backup(struct dump *dump, struct io *io)
{
    struct backup_input input;
    struct backup_reader *reader = NULL;
    int rc = backup_input_open(io, choice.path, &input);
    dump->keys.bytes_total = input.size;
    rc = rc == 0 ? backup_reader_open(backup_input_read, &input, &reader) : rc;
    rc = rc == 0 ? backup_keys_of_backup(&dump->keys, reader) : rc;
    backup_reader_close(reader);
    backup_input_close(&input);
    return rc;
}

static int export_snapshot_file(struct dump *dump, struct io *io)
{
    struct hf_snapshot_reader *reader = NULL;
    int rc = snapshot_reader_open_path(io, choice.path, &reader);
    if (rc == 0) {
        dump->keys.bytes_total = hf_snapshot_reader_manifest(reader)->application_bytes;
        rc = backup_keys_of_snapshot(&dump->keys, reader);
    }
    hf_snapshot_reader_close(reader);
    return rc;
}

static bool export_is_refused(const struct state_source *source)
{
    return source->kind == STATE_SOURCE_NONE || (source->kind == STATE_SOURCE_OLDER && !choice.is_older_accepted);
}

/* What is not taken from the newest snapshot is told, whatever else was asked for. A state that lacks entries is
 * printed only when that was asked for, and nothing is printed before it is known of all groups. */
static int export_tell(const struct state_sources *sources)
{
    uint32_t refused = 0;
    for (uint32_t i = 0; i < sources->count; i++) {
        refused += export_is_refused(&sources->items[i]);
        choice.is_hopeless = choice.is_hopeless || sources->items[i].kind == STATE_SOURCE_NONE;
    }
    for (uint32_t i = 0; i < sources->count; i++) {
        const struct state_source *source = &sources->items[i];
        if (source->kind != STATE_SOURCE_NEWEST) {
            char *text = state_source_describe(source);
            fprintf(stderr, "%s%s\n", text,
                    source->kind == STATE_SOURCE_OLDER && refused == 0 ? "; it is printed all the same" : "");
            free(text);
        }
    }
    return refused == 0 ? 0
                        : error_raise(HF_ECORRUPT,
                                      "the newest state of %" PRIu32 " of %" PRIu32
                                      " groups cannot be read, and nothing was printed",
                                      refused, sources->count);
}

static int export_group(struct dump *dump, const struct state_sources *sources, const struct state_source *source)
{
    if (source->kind == STATE_SOURCE_BRIDGED) {
        struct state_replay replay = {.visit = export_visit,
                                      .arg = dump,
                                      .progress = dump->keys.progress,
                                      .bytes_done = dump->keys.bytes_done,
                                      .bytes_total = dump->keys.bytes_total};
        dump->keys.group = source->group;
        int rc = state_replay_keys(&replay, sources, source);
        dump->keys.bytes_done = replay.bytes_done;
        return rc;
    }
    struct hf_snapshot_reader *reader = NULL;
    int rc = hf_snapshot_reader_open(sources->store, source->id, &reader);
    rc = rc == 0 ? backup_keys_of_snapshot(&dump->keys, reader) : rc;
    hf_snapshot_reader_close(reader);
    return rc;
}

static int export_watch(void *arg, uint64_t done, uint64_t total)
{
    progress_update(arg, done, total);
    return 0;
}

static int export_directory(struct dump *dump, struct io *io, const struct verb_common *common)
{
    struct state_sources sources;
    struct progress *progress = progress_open(common, "check");
    int rc = state_source_open_all(&sources, io, choice.path, choice.group, export_watch, progress);
    progress_close(progress);
    rc = rc == 0 ? export_tell(&sources) : rc;
    dump->keys.progress = progress_open(common, "export");
    for (uint32_t i = 0; i < sources.count && rc == 0; i++) {
        dump->keys.bytes_total += sources.items[i].application_bytes;
    }
    for (uint32_t i = 0; i < sources.count && rc == 0; i++) {
        rc = export_group(dump, &sources, &sources.items[i]);
    }
    state_source_close_all(&sources);
    return rc;
}

static int export_nothing(void *arg, const char *name, bool is_directory)
{
    return 0;
}

static int export_from(struct dump *dump, struct io *io, const struct verb_common *common)
{
    if (directory_list(io, choice.path, export_nothing, NULL) == 0) {
        choice.is_directory = true;
        return export_directory(dump, io, common);
    }
    if (choice.group != 0 || choice.is_older_accepted) {
        return error_raise(HF_EINVALID, "--group and --accept-older choose from a data directory, %s is none",
                           choice.path);
    }
    dump->keys.progress = progress_open(common, "export");
    return backup_input_is_backup(io, choice.path) ? export_backup(dump, io) : export_snapshot_file(dump, io);
}

static int export_fail(const struct dump *dump, int rc)
{
    if (dump->lines > 0) {
        return verb_fail(rc, "the lines that were printed are good, and not all");
    }
    if (rc != HF_ECORRUPT) {
        return verb_fail(rc, "give a backup, a snapshot in a file, or a data directory");
    }
    return verb_fail(
        rc, choice.is_hopeless ? "keep the files; another node's directory has its own; --group G leaves out "
                                 "the groups that have nothing here"
            : choice.is_directory
                ? "keep the files; another node's directory has its own; --accept-older prints what is left here"
                : "keep the file; use a copy of it, or the file of an older snapshot");
}

static int export_run(const struct verb_common *common)
{
    struct dump dump = {.keys = {.visit = export_visit}};
    struct io *io = NULL;
    dump.keys.arg = &dump;
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    rc = rc == 0 ? export_from(&dump, io, common) : rc;
    progress_close(dump.keys.progress);
    io_close(io);
    if (rc == 0 && fflush(stdout) != 0) {
        rc = error_raise(HF_EIO, "standard output cannot be written");
    }
    return rc == 0 ? VERB_EXIT_OK : export_fail(&dump, rc);
}

const struct verb verb_snapshot_export = {
    .name = "snapshot export",
    .arguments = "FILE|DIR|-",
    .summary = "Print the keys of a backup or of snapshots as JSON lines",
    .details =
        "One object per key: group, key, type, value, and deadline_ms (UNIX milliseconds) where there is one. What is "
        "not UTF-8 stands in key_base64 or value_base64. Keys that had expired at the cut are left out. Of a data "
        "directory the newest snapshot of each group is printed; what was written after it is in the log only. All of "
        "them are checked first. Where the newest one is damaged, an older one and the log's entries behind it give "
        "the same state, if the log has them: that is told on standard error, and takes memory for one group. "
        "Otherwise nothing is printed and the exit code is 4, unless --accept-older says that older states will do. "
        "Exit code 4 also when damage was found in a file; the lines before it are good.",
    .options = export_options,
    .parse = export_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = export_run,
};
