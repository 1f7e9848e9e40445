#include "snapshot/snapshot_store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"

static enum snapshot_suffix store_suffix(enum hf_snapshot_origin origin)
{
    return origin == HF_SNAPSHOT_LOCAL ? SNAPSHOT_SUFFIX_LOCAL : SNAPSHOT_SUFFIX_RECEIVED;
}

int snapshot_store_not_found(const struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    char text[HF_SNAPSHOT_ID_TEXT_SIZE];
    hf_snapshot_id_format(id, text);
    return error_raise(HF_ENOTFOUND, "there is no snapshot %s in %s", text, store->directory);
}

char *snapshot_store_path(const struct hf_snapshot_store *store, const struct snapshot_header *header,
                          enum snapshot_suffix suffix)
{
    char name[SNAPSHOT_FORMAT_NAME_SIZE];
    snapshot_format_name(name, header, suffix);
    return text_format("%s/%s", store->directory, name);
}

void snapshot_store_report(struct hf_snapshot_store *store, enum hf_snapshot_event_kind kind,
                           const struct snapshot_header *header, const char *text)
{
    if (store->options.report == NULL) {
        TRACE(kind == HF_SNAPSHOT_EVENT_LEFT_OVER ? TRACE_INFO : TRACE_ERROR, "snapshot",
              "group %" PRIu64 ", index %" PRIu64 ": %s", header->group, header->index, text);
        return;
    }
    struct hf_snapshot_event event = {
        .kind = kind, .id = header->id, .group = header->group, .index = header->index, .text = text};
    store->options.report(store->options.report_arg, &event);
}

void snapshot_store_mark_damaged(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    char text[ERROR_TEXT_SIZE_MAX];
    struct snapshot_header header;
    error_text_copy(text, sizeof(text));
    mutex_lock(&store->mutex);
    struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, id);
    bool is_new = entry != NULL && entry->reason == NULL;
    if (is_new) {
        entry->reason = text_copy(text);
        entry->verified = false;
        header = entry->header;
    }
    mutex_unlock(&store->mutex);
    if (is_new) {
        snapshot_store_report(store, HF_SNAPSHOT_EVENT_DAMAGED, &header, text);
    }
}

/* ---- reading the directory ---- */

struct store_load {
    struct hf_snapshot_store *store;
    bool removed_any;
};

static void store_load_snapshot(struct hf_snapshot_store *store, const char *path, const struct snapshot_header *header,
                                enum hf_snapshot_origin origin)
{
    struct snapshot_file file;
    int rc = snapshot_file_open(&file, store->io, path);
    if (rc == 0 && (!hf_snapshot_id_equal(file.manifest.id, header->id) || file.manifest.group != header->group ||
                    file.manifest.index != header->index)) {
        rc = error_raise(HF_ECORRUPT, "%s: the name is not that of the snapshot in it", path);
    }
    struct snapshot_entry *entry =
        snapshot_catalogue_add(&store->catalogue, header, rc == 0 ? &file.manifest : NULL, origin, file.size);
    if (rc == HF_ENOTFOUND && entry != NULL) { /* a node deleted it while a tool looked */
        snapshot_catalogue_remove(&store->catalogue, header->id);
    } else if (rc != 0 && entry != NULL) {
        snapshot_store_mark_damaged(store, header->id);
    }
    snapshot_file_close(&file);
}

static int store_visit(void *arg, const char *name, bool is_directory)
{
    struct store_load *load = arg;
    struct hf_snapshot_store *store = load->store;
    struct snapshot_header header;
    enum snapshot_suffix suffix;
    int rc = 0;
    if (is_directory || !snapshot_format_parse_name(name, &header, &suffix)) {
        return 0;
    }
    char *path = snapshot_store_path(store, &header, suffix);
    if (suffix == SNAPSHOT_SUFFIX_LOCAL || suffix == SNAPSHOT_SUFFIX_RECEIVED) {
        store_load_snapshot(store, path, &header,
                            suffix == SNAPSHOT_SUFFIX_LOCAL ? HF_SNAPSHOT_LOCAL : HF_SNAPSHOT_RECEIVED);
    } else if (suffix == SNAPSHOT_SUFFIX_TEMPORARY && !store->options.read_only) {
        rc = path_unlink(store->io, path);
        load->removed_any = true;
        snapshot_store_report(store, HF_SNAPSHOT_EVENT_LEFT_OVER, &header,
                              rc == 0 ? "an unfinished snapshot of an earlier run was removed" : hf_error_text());
    }
    free(path);
    return rc;
}

int snapshot_store_load(struct hf_snapshot_store *store)
{
    struct store_load load = {.store = store};
    int rc = directory_list(store->io, store->directory, store_visit, &load);
    if (rc == 0 && load.removed_any) {
        rc = directory_sync(store->io, store->directory);
    }
    return rc;
}

/* ---- checks before something is written ---- */

int snapshot_store_check_new(struct hf_snapshot_store *store, uint64_t group, uint64_t incarnation, uint64_t index,
                             uint64_t term)
{
    int rc = 0;
    size_t at, end;
    mutex_lock(&store->mutex);
    snapshot_catalogue_range(&store->catalogue, group, &at, &end);
    for (; at < end && rc == 0; at++) {
        const struct snapshot_entry *entry = store->catalogue.entries[at];
        if (!snapshot_catalogue_usable(entry) || entry->incarnation != incarnation || entry->header.index < index) {
            continue;
        }
        if (entry->header.index == index && entry->term != term) {
            rc = error_raise(HF_ECONFLICT,
                             "group %" PRIu64 " has a snapshot at index %" PRIu64 " with term %" PRIu64
                             "; one with term %" PRIu64 " contradicts it",
                             group, index, entry->term, term);
        } else {
            rc = error_raise(HF_EEXISTS, "group %" PRIu64 " has a snapshot at index %" PRIu64 " already", group,
                             entry->header.index);
        }
    }
    mutex_unlock(&store->mutex);
    return rc;
}

int snapshot_store_check_space(struct hf_snapshot_store *store, uint64_t bytes)
{
    uint64_t free_bytes = 0;
    if (bytes == 0) {
        return 0;
    }
    int rc = directory_free_bytes(store->io, store->directory, &free_bytes);
    uint64_t reserve = store->options.reserve_bytes;
    if (rc == 0 && (free_bytes < bytes || free_bytes - bytes < reserve)) {
        rc = error_raise(HF_ENOSPACE,
                         "%s has %" PRIu64 " bytes free; a snapshot of about %" PRIu64 " beside a reserve of %" PRIu64
                         " does not fit",
                         store->directory, free_bytes, bytes, reserve);
    }
    return rc;
}

/* ---- names ---- */

static int store_sync_directory(struct hf_snapshot_store *store)
{
    return MUTATED(SNAPSHOT_SKIP_DIRECTORY_SYNC) ? 0 : directory_sync(store->io, store->directory);
}

void snapshot_store_discard(struct hf_snapshot_store *store, const char *path)
{
    char text[ERROR_TEXT_SIZE_MAX];
    error_text_copy(text, sizeof(text)); /* the caller's error is the one to tell */
    if (path_unlink(store->io, path) == 0) {
        (void)directory_sync(store->io, store->directory);
    }
    error_restore(HF_EIO, text);
}

int snapshot_store_publish(struct hf_snapshot_store *store, const char *path,
                           const struct hf_snapshot_manifest *manifest, enum hf_snapshot_origin origin,
                           uint64_t file_bytes)
{
    struct snapshot_header header = snapshot_manifest_header(manifest);
    char *final_path = snapshot_store_path(store, &header, store_suffix(origin));
    mutex_lock(&store->names);
    int rc = strcmp(path, final_path) != 0 ? path_rename(store->io, path, final_path) : 0;
    if (rc != 0) {
        snapshot_store_discard(store, path);
    } else {
        rc = store_sync_directory(store);
        if (rc != 0) {
            /* Its content is durable, its name may or may not be: should it come back, it is whole all the same. */
            snapshot_store_discard(store, final_path);
        }
    }
    if (rc == 0) {
        mutex_lock(&store->mutex);
        struct snapshot_entry *entry = snapshot_catalogue_add(&store->catalogue, &header, manifest, origin, file_bytes);
        if (entry != NULL && origin == HF_SNAPSHOT_RECEIVED) {
            entry->verified = true; /* all of it was read just before */
        }
        mutex_unlock(&store->mutex);
    }
    mutex_unlock(&store->names);
    free(final_path);
    return rc;
}

/* ---- files of listed snapshots ---- */

int snapshot_store_locate(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct snapshot_header *header,
                          enum hf_snapshot_origin *origin, uint32_t *pins)
{
    mutex_lock(&store->mutex);
    const struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, id);
    if (entry != NULL) {
        *header = entry->header;
        *origin = entry->origin;
        *pins = entry->pins;
    }
    mutex_unlock(&store->mutex);
    if (store->options.read_only) {
        return error_raise(HF_EINVALID, "the snapshots in %s were opened for reading only", store->directory);
    }
    return entry != NULL ? 0 : snapshot_store_not_found(store, id);
}

int snapshot_store_remove(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    struct snapshot_header header;
    enum hf_snapshot_origin origin;
    uint32_t pins;
    mutex_lock(&store->names);
    int rc = snapshot_store_locate(store, id, &header, &origin, &pins);
    if (rc == 0 && pins > 0) {
        rc = error_raise(HF_EBUSY, "the snapshot is pinned");
    }
    if (rc == 0) {
        char *path = snapshot_store_path(store, &header, store_suffix(origin));
        rc = path_unlink(store->io, path);
        rc = rc == HF_ENOTFOUND ? 0 : rc; /* somebody removed it by hand */
        free(path);
    }
    if (rc == 0) {
        mutex_lock(&store->mutex);
        snapshot_catalogue_remove(&store->catalogue, id);
        mutex_unlock(&store->mutex);
    }
    mutex_unlock(&store->names);
    return rc;
}

int snapshot_store_open_file(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct snapshot_file *file)
{
    *file = (struct snapshot_file){0};
    mutex_lock(&store->names);
    mutex_lock(&store->mutex);
    struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, id);
    char *path = NULL;
    uint64_t serial = 0;
    if (entry != NULL) {
        serial = entry->serial;
        entry->readers++;
        store->open_count++;
        path = snapshot_store_path(store, &entry->header, store_suffix(entry->origin));
    }
    mutex_unlock(&store->mutex);
    int rc = path == NULL ? error_raise(HF_ENOTFOUND, "there is no such snapshot in %s", store->directory)
                          : snapshot_file_open(file, store->io, path);
    mutex_unlock(&store->names);
    if (path == NULL) {
        return rc;
    }
    file->serial = serial;
    if (rc == 0 && !hf_snapshot_id_equal(file->manifest.id, id)) {
        rc = error_raise(HF_ECORRUPT, "%s holds another snapshot", path);
    }
    if (rc == 0) {
        rc = snapshot_file_load_table(file);
    }
    if (rc == HF_ECORRUPT || rc == HF_EVERSION) {
        snapshot_store_mark_damaged(store, id);
    }
    if (rc != 0) {
        file->manifest.id = id;
        snapshot_store_close_file(store, file);
    }
    free(path);
    return rc;
}

void snapshot_store_close_file(struct hf_snapshot_store *store, struct snapshot_file *file)
{
    mutex_lock(&store->mutex);
    struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, file->manifest.id);
    if (entry != NULL && entry->serial == file->serial) { /* it may have been deleted meanwhile */
        assert(entry->readers > 0);
        entry->readers--;
    }
    store->open_count--;
    mutex_unlock(&store->mutex);
    snapshot_file_close(file);
}

void snapshot_store_enter(struct hf_snapshot_store *store)
{
    mutex_lock(&store->mutex);
    store->open_count++;
    mutex_unlock(&store->mutex);
}

void snapshot_store_leave(struct hf_snapshot_store *store)
{
    mutex_lock(&store->mutex);
    assert(store->open_count > 0);
    store->open_count--;
    mutex_unlock(&store->mutex);
}
