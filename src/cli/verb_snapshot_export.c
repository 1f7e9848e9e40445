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
#include "cli/verbs.h"
#include "node/node.h"
#include "snapshot/snapshot.h"

enum export_key { KEY_PREFIX = 'p', KEY_BASE64 = 0x100 };

static struct {
    const char *path;
    const char *prefix;
    bool is_base64;
} choice = {.prefix = ""};

static const struct argp_option export_options[] = {
    {"prefix", KEY_PREFIX, "TEXT", 0, "Only keys that begin with this", 0},
    {"base64", KEY_BASE64, NULL, 0, "Keys and values in base64, also where they are text", 0},
    {0},
};

static error_t export_parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case KEY_PREFIX:
        choice.prefix = text;
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

static void export_ignore_event(void *arg, const struct hf_snapshot_event *event) {}

/* The list has the newest of each group first. A group whose newest is damaged is told of: its older one is not what
 * somebody who asks for the state expects. */
static int export_store(struct dump *dump, struct hf_snapshot_store *store)
{
    struct hf_snapshot_info *list = NULL;
    size_t count = 0;
    uint64_t group = 0;
    int rc = hf_snapshot_list(store, 0, &list, &count);
    for (size_t i = 0; i < count && rc == 0; i++) {
        struct hf_snapshot_reader *reader = NULL;
        const struct hf_snapshot_info *info = &list[i];
        /* The system group has no keys. */
        if (info->origin != HF_SNAPSHOT_LOCAL || info->manifest.group == group ||
            info->manifest.group == NODE_SYSTEM_GROUP) {
            continue;
        }
        group = info->manifest.group;
        rc = hf_snapshot_reader_open(store, info->manifest.id, &reader);
        rc = rc == 0 ? backup_keys_of_snapshot(&dump->keys, reader) : rc;
        hf_snapshot_reader_close(reader);
    }
    hf_snapshot_list_free(list);
    return rc == 0 && group == 0 ? error_raise(HF_ENOTFOUND, "there is no snapshot in %s", choice.path) : rc;
}

static int export_nothing(void *arg, const char *name, bool is_directory)
{
    return 0;
}

/* A data directory holds its snapshots in snapshots/; both are accepted. */
static int export_directory(struct dump *dump, struct io *io)
{
    const struct hf_snapshot_options options = {.read_only = true, .report = export_ignore_event};
    struct hf_snapshot_store *store = NULL;
    char *inside = text_format("%s/snapshots", choice.path);
    bool is_data = directory_list(io, inside, export_nothing, NULL) == 0;
    int rc = snapshot_open(io, is_data ? inside : choice.path, &options, &store);
    free(inside);
    rc = rc == 0 ? export_store(dump, store) : rc;
    hf_snapshot_store_close(store);
    return rc;
}

static int export_run(const struct verb_common *common)
{
    struct dump dump = {.keys = {.visit = export_visit}};
    struct io *io = NULL;
    dump.keys.arg = &dump;
    dump.keys.progress = progress_open(common, "export");
    int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
    if (rc == 0 && backup_input_is_backup(io, choice.path)) {
        rc = export_backup(&dump, io);
    } else if (rc == 0 && directory_list(io, choice.path, export_nothing, NULL) == 0) {
        rc = export_directory(&dump, io);
    } else if (rc == 0) {
        rc = export_snapshot_file(&dump, io);
    }
    progress_close(dump.keys.progress);
    io_close(io);
    if (rc == 0 && fflush(stdout) != 0) {
        rc = error_raise(HF_EIO, "standard output cannot be written");
    }
    if (rc != 0) {
        return verb_fail(rc, dump.lines > 0      ? "the lines that were printed are good, and not all"
                             : rc == HF_ECORRUPT ? "keep the file; use a copy of it, or the file of an older snapshot"
                                                 : "give a backup, a snapshot in a file, or a data directory");
    }
    return VERB_EXIT_OK;
}

const struct verb verb_snapshot_export = {
    .name = "snapshot export",
    .arguments = "FILE|DIR|-",
    .summary = "Print the keys of a backup or of snapshots as JSON lines",
    .details =
        "One object per key: group, key, type, value, and deadline_ms (UNIX milliseconds) where there is one. What is "
        "not UTF-8 stands in key_base64 or value_base64. Keys that had expired at the cut are left out. Exit code 4 "
        "when damage was found; the lines before it are good.",
    .options = export_options,
    .parse = export_parse,
    .arguments_min = 1,
    .arguments_max = 1,
    .run = export_run,
};
