#include "cli/backup_show.h"

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
#include "cli/backup_keys.h"

struct show {
    const struct verb_common *common;
    struct backup_header header;
    struct hf_snapshot_manifest *manifests;
    uint64_t *keys; /* per group, when they were counted */
    uint32_t groups;
    uint64_t file_bytes;
    uint64_t keys_of_group;
};

/* ---- reading ---- */

static int show_visit(void *arg, const struct state_walk_item *item)
{
    ((struct show *)arg)->keys_of_group += !item->is_past;
    return 0;
}

static void show_group_ended(void *arg, const struct hf_snapshot_manifest *manifest)
{
    struct show *show = arg;
    show->keys[show->groups] = show->keys_of_group;
    show->keys_of_group = 0;
    show->manifests[show->groups++] = *manifest;
}

static void show_take_header(struct show *show, const struct backup_header *header)
{
    show->header = *header;
    show->manifests = memory_new(header->group_count * sizeof(*show->manifests));
    show->keys = memory_new(header->group_count * sizeof(*show->keys));
}

static int show_read_all(struct show *show, struct io *io, const char *path)
{
    struct backup_keys keys = {.visit = show_visit, .arg = show, .group_ended = show_group_ended};
    struct backup_input input;
    struct backup_reader *reader = NULL;
    int rc = backup_input_open(io, path, &input);
    rc = rc == 0 ? backup_reader_open(backup_input_read, &input, &reader) : rc;
    if (rc == 0) {
        show_take_header(show, backup_reader_header(reader));
        keys.bytes_total = input.size;
        keys.progress = progress_open(show->common, "verify");
        rc = backup_keys_of_backup(&keys, reader);
        progress_close(keys.progress);
        show->file_bytes = backup_reader_offset(reader);
    }
    backup_reader_close(reader);
    backup_input_close(&input);
    return rc;
}

static int show_read_exactly(struct file *file, uint64_t offset, uint8_t *target, size_t size)
{
    size_t got = 0;
    int rc = file_read(file, offset, target, size, &got);
    return rc == 0 && got < size ? error_raise(HF_ECORRUPT, "the backup is truncated at byte %" PRIu64, offset + got)
                                 : rc;
}

/* One group's manifest; *offset moves behind its chunks, which are passed over. */
static int show_read_group(struct show *show, struct file *file, uint64_t *offset)
{
    uint8_t bytes[BACKUP_FORMAT_GROUP_SIZE + HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    struct hf_snapshot_manifest *manifest = &show->manifests[show->groups];
    uint32_t size = 0;
    int rc = show_read_exactly(file, *offset, bytes, BACKUP_FORMAT_GROUP_SIZE);
    rc = rc == 0 ? backup_format_get_group_size(bytes, &size) : rc;
    rc = rc == 0 ? show_read_exactly(file, *offset + BACKUP_FORMAT_GROUP_SIZE, bytes + BACKUP_FORMAT_GROUP_SIZE, size)
                 : rc;
    rc = rc == 0 ? backup_format_get_group(bytes_of(bytes, BACKUP_FORMAT_GROUP_SIZE + size), &show->header.id,
                                           show->groups, manifest)
                 : rc;
    if (rc != 0) {
        return error_wrap(rc, "the head of group %" PRIu32 " of %" PRIu32 " at byte %" PRIu64, show->groups + 1,
                          show->header.group_count, *offset);
    }
    *offset += BACKUP_FORMAT_GROUP_SIZE + size + manifest->stored_bytes;
    show->groups++;
    return 0;
}

static int show_read_manifests(struct show *show, struct io *io, const char *path)
{
    uint8_t bytes[BACKUP_FORMAT_HEADER_SIZE];
    struct backup_header header;
    struct backup_input input;
    uint64_t offset = BACKUP_FORMAT_HEADER_SIZE;
    int rc = backup_input_open(io, path, &input);
    rc = rc == 0 ? show_read_exactly(input.file, 0, bytes, sizeof(bytes)) : rc;
    rc = rc == 0 ? backup_format_get_header(bytes, &header) : rc;
    if (rc == 0) {
        show_take_header(show, &header);
    }
    for (uint32_t i = 0; rc == 0 && i < header.group_count; i++) {
        rc = show_read_group(show, input.file, &offset);
    }
    show->file_bytes = input.size;
    if (rc == 0 && offset + BACKUP_FORMAT_TRAILER_SIZE != input.size) {
        rc = error_raise(HF_ECORRUPT, "the backup has %" PRIu64 " bytes, and should have %" PRIu64, input.size,
                         offset + BACKUP_FORMAT_TRAILER_SIZE);
    }
    backup_input_close(&input);
    return rc;
}

/* ---- telling ---- */

static void show_time(uint64_t ms, char *text, size_t size)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL || strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
        snprintf(text, size, "%" PRIu64 " ms", ms);
    }
}

static void show_hex(const uint8_t bytes[16], char text[33])
{
    for (size_t i = 0; i < 16; i++) {
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    }
}

static json_t *show_group_json(const struct show *show, uint32_t position, bool has_keys)
{
    const struct hf_snapshot_manifest *manifest = &show->manifests[position];
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    char digest[33];
    hf_snapshot_id_format(manifest->id, id);
    show_hex(manifest->digest, digest);
    json_t *json =
        json_pack("{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "group", (json_int_t)manifest->group, "id",
                  id, "index", (json_int_t)manifest->index, "term", (json_int_t)manifest->term, "created_ms",
                  (json_int_t)manifest->created_ms, "entries", (json_int_t)manifest->entries, "application_bytes",
                  (json_int_t)manifest->application_bytes, "stored_bytes", (json_int_t)manifest->stored_bytes, "chunks",
                  (json_int_t)manifest->chunk_count, "compression", hf_snapshot_compression_name(manifest->compression),
                  "digest", digest);
    if (has_keys) {
        json_object_set_new(json, "keys", json_integer((json_int_t)show->keys[position]));
    }
    return json;
}

static void show_json(const struct show *show, bool has_keys, const char *damage)
{
    char id[HF_SNAPSHOT_ID_TEXT_SIZE];
    char cluster[33];
    json_t *groups = json_array();
    hf_snapshot_id_format(show->header.id, id);
    show_hex(show->header.cluster_id, cluster);
    for (uint32_t i = 0; i < show->groups; i++) {
        json_array_append_new(groups, show_group_json(show, i, has_keys));
    }
    json_t *json = json_pack("{s:s, s:s, s:I, s:i, s:I, s:b, s:o}", "id", id, "cluster", cluster, "created_ms",
                             (json_int_t)show->header.created_ms, "group_count", (int)show->header.group_count, "bytes",
                             (json_int_t)show->file_bytes, "damaged", damage != NULL, "groups", groups);
    if (damage != NULL) {
        json_object_set_new(json, "reason", json_string(damage));
    }
    char *text = json_dumps(json, JSON_COMPACT);
    puts(text);
    free(text);
    json_decref(json);
}

static void show_text(const struct show *show, bool has_keys)
{
    char cluster[33];
    char time[32];
    show_hex(show->header.cluster_id, cluster);
    show_time(show->header.created_ms, time, sizeof(time));
    printf("backup of cluster %s, begun %s, %" PRIu32 " groups, %" PRIu64 " bytes\n", cluster, time,
           show->header.group_count, show->file_bytes);
    for (uint32_t i = 0; i < show->groups; i++) {
        const struct hf_snapshot_manifest *manifest = &show->manifests[i];
        show_time(manifest->created_ms, time, sizeof(time));
        printf("  group %" PRIu64 " index %" PRIu64 " term %" PRIu64 "  %s  %" PRIu64 " entries, %" PRIu64
               " bytes, stored %" PRIu64 " in %" PRIu32 " chunks (%s)",
               manifest->group, manifest->index, manifest->term, time, manifest->entries, manifest->application_bytes,
               manifest->stored_bytes, manifest->chunk_count, hf_snapshot_compression_name(manifest->compression));
        if (has_keys) {
            printf(", %" PRIu64 " keys", show->keys[i]);
        }
        printf("\n");
    }
}

static int show_end(struct show *show, int rc, bool has_keys, const char *path)
{
    bool is_damaged = rc == HF_ECORRUPT && show->manifests != NULL;
    int code = VERB_EXIT_OK;
    if (rc == 0 || is_damaged) {
        if (show->common->json) {
            show_json(show, has_keys, is_damaged ? hf_error_text() : NULL);
        } else if (!show->common->quiet) {
            show_text(show, has_keys);
        }
    }
    if (rc != 0) {
        rc = error_wrap(rc, "%s", strcmp(path, "-") == 0 ? "standard input" : path);
        code = verb_fail(rc, rc == HF_ECORRUPT ? "keep the file; use another backup, or save a new one"
                                               : "give a file of holdfast snapshot save");
    } else if (has_keys && !show->common->json && !show->common->quiet) {
        printf("good\n");
    }
    free(show->manifests);
    free(show->keys);
    return code;
}

int backup_show_verify(const struct verb_common *common, struct io *io, const char *path)
{
    struct show show = {.common = common};
    int rc = show_read_all(&show, io, path);
    return show_end(&show, rc, true, path);
}

int backup_show_inspect(const struct verb_common *common, struct io *io, const char *path)
{
    struct show show = {.common = common};
    bool is_stream = strcmp(path, "-") == 0;
    int rc = is_stream ? show_read_all(&show, io, path) : show_read_manifests(&show, io, path);
    return show_end(&show, rc, is_stream, path);
}
