/* Opening and closing a store, and the calls on its list. */
#include "snapshot/snapshot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "snapshot/snapshot_memory.h"
#include "snapshot/snapshot_options.h"
#include "snapshot/snapshot_reader.h"
#include "snapshot/snapshot_store.h"

#define SNAPSHOT_LOCK_NAME "LOCK"

/* ---- opening and closing ---- */

static int snapshot_lock(struct hf_snapshot_store *store)
{
    char *path = text_format("%s/%s", store->directory, SNAPSHOT_LOCK_NAME);
    int rc = directory_create(store->io, store->directory);
    rc = rc == 0 ? file_open(store->io, path, FILE_READ | FILE_WRITE | FILE_CREATE, &store->lock_file) : rc;
    if (rc == 0) {
        rc = file_lock(store->lock_file);
        rc = rc == HF_EBUSY ? error_raise(HF_EBUSY, "the snapshots in %s are in use", store->directory) : rc;
    }
    free(path);
    return rc;
}

/* In the simulator there are no threads, and a queue has no descriptor. Elsewhere workers hang on queues of an io of
 * their own: one of io_uring would tie a writer to the thread that began it. */
static int snapshot_open_workers(struct hf_snapshot_store *store)
{
    struct io_queue *queue = NULL;
    int rc = io_queue_open(store->io, 1, &queue);
    if (rc == 0 && io_queue_descriptor(queue) >= 0) {
        rc = io_open_kernel(IO_BACKEND_THREADS, &store->worker_io);
    }
    io_queue_close(queue);
    return rc;
}

static struct hf_snapshot_store *snapshot_new(struct io *io, const char *directory, uint32_t chunk_size_min)
{
    struct hf_snapshot_store *store = memory_new(sizeof(*store));
    uint64_t seed = 0;
    store->io = io;
    store->directory = text_copy(directory);
    store->chunk_size_min = chunk_size_min;
    io_random(io, &seed, sizeof(seed));
    mutex_init(&store->names);
    mutex_init(&store->mutex);
    snapshot_catalogue_init(&store->catalogue, seed);
    return store;
}

/* Takes the store over: frees it when it cannot be opened. */
static int snapshot_start(struct hf_snapshot_store *store, const struct hf_snapshot_options *options,
                          struct hf_snapshot_store **out)
{
    int rc = snapshot_options_set(&store->options, options, store->chunk_size_min);
    if (rc == 0 && !store->options.read_only) {
        rc = snapshot_lock(store);
    }
    rc = rc == 0 ? snapshot_open_workers(store) : rc;
    rc = rc == 0 ? snapshot_store_load(store) : rc;
    if (rc != 0) {
        rc = error_wrap(rc, "opening the snapshots in %s", store->directory);
        hf_snapshot_store_close(store);
        return rc;
    }
    *out = store;
    return 0;
}

int snapshot_open(struct io *io, const char *directory, const struct hf_snapshot_options *options,
                  struct hf_snapshot_store **out)
{
    *out = NULL;
    return snapshot_start(snapshot_new(io, directory, SNAPSHOT_FORMAT_CHUNK_SIZE_MIN), options, out);
}

int snapshot_open_memory(struct io *io, const struct hf_snapshot_options *options, struct hf_snapshot_store **out)
{
    *out = NULL;
    struct io *memory = snapshot_memory_open(io);
    struct hf_snapshot_store *store = snapshot_new(memory, "memory", SNAPSHOT_FORMAT_CHUNK_SIZE_MIN);
    store->memory_io = memory;
    return snapshot_start(store, options, out);
}

static int snapshot_open_kernel(const struct hf_snapshot_options *options, struct io **out)
{
    enum hf_snapshot_io kind = options != NULL ? options->io : HF_SNAPSHOT_IO_AUTO;
    enum io_backend backend = kind == HF_SNAPSHOT_IO_URING     ? IO_BACKEND_URING
                              : kind == HF_SNAPSHOT_IO_THREADS ? IO_BACKEND_THREADS
                                                               : IO_BACKEND_AUTO;
    return io_open_kernel(backend, out);
}

int hf_snapshot_store_open(const char *directory, const struct hf_snapshot_options *options,
                           struct hf_snapshot_store **out)
{
    struct io *io = NULL;
    *out = NULL;
    int rc = snapshot_open_kernel(options, &io);
    if (rc != 0) {
        return rc;
    }
    struct hf_snapshot_store *store = snapshot_new(io, directory, HF_SNAPSHOT_CHUNK_SIZE_MIN);
    store->kernel_io = io;
    return snapshot_start(store, options, out);
}

int hf_snapshot_store_open_memory(const struct hf_snapshot_options *options, struct hf_snapshot_store **out)
{
    struct io *io = NULL;
    *out = NULL;
    int rc = snapshot_open_kernel(options, &io);
    if (rc != 0) {
        return rc;
    }
    struct io *memory = snapshot_memory_open(io);
    struct hf_snapshot_store *store = snapshot_new(memory, "memory", HF_SNAPSHOT_CHUNK_SIZE_MIN);
    store->memory_io = memory;
    store->kernel_io = io;
    return snapshot_start(store, options, out);
}

void hf_snapshot_store_close(struct hf_snapshot_store *store)
{
    if (store == NULL) {
        return;
    }
    assert(store->open_count == 0); /* every writer, reader and receiver was closed before */
    snapshot_catalogue_close(&store->catalogue);
    map_close(&store->receiving);
    file_close(store->lock_file);
    mutex_close(&store->names);
    mutex_close(&store->mutex);
    free(store->directory);
    io_close(store->worker_io);
    io_close(store->memory_io);
    io_close(store->kernel_io);
    free(store);
}

/* ---- listing ---- */

int hf_snapshot_list(struct hf_snapshot_store *store, uint64_t group, struct hf_snapshot_info **out, size_t *count)
{
    size_t first, end;
    mutex_lock(&store->mutex);
    snapshot_catalogue_range(&store->catalogue, group, &first, &end);
    *count = end - first;
    *out = memory_new((*count + 1) * sizeof(**out));
    for (size_t i = 0; i < *count; i++) {
        snapshot_catalogue_describe(store->catalogue.entries[first + i], &(*out)[i]);
    }
    mutex_unlock(&store->mutex);
    return 0;
}

void hf_snapshot_list_free(struct hf_snapshot_info *list)
{
    free(list);
}

int hf_snapshot_find(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct hf_snapshot_info *out)
{
    mutex_lock(&store->mutex);
    const struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, id);
    if (entry != NULL) {
        snapshot_catalogue_describe(entry, out);
    }
    mutex_unlock(&store->mutex);
    return entry != NULL ? 0 : snapshot_store_not_found(store, id);
}

/* ---- the newest good one ---- */

struct snapshot_search {
    uint64_t group;
    uint64_t incarnation; /* 0: any */
    bool damaged_any;     /* a newer one was passed by because it is damaged */
    char reason[160];     /* of the newest such one */
};

/* Copies of the headers of all local snapshots of the group, newest first: the search reads files, and must not hold
 * the mutex meanwhile. The caller frees them. */
static struct snapshot_header *snapshot_candidates(struct hf_snapshot_store *store, struct snapshot_search *search,
                                                   size_t *count)
{
    size_t at, end;
    mutex_lock(&store->mutex);
    snapshot_catalogue_range(&store->catalogue, search->group, &at, &end);
    struct snapshot_header *headers = memory_new((end - at + 1) * sizeof(*headers));
    *count = 0;
    for (; at < end; at++) {
        const struct snapshot_entry *entry = store->catalogue.entries[at];
        if (snapshot_catalogue_usable(entry)) {
            if (search->incarnation == 0 || entry->incarnation == search->incarnation) {
                headers[(*count)++] = entry->header;
            }
        } else if (entry->origin == HF_SNAPSHOT_LOCAL && *count == 0 && !search->damaged_any) {
            search->damaged_any = true;
            snprintf(search->reason, sizeof(search->reason), "%s", entry->reason);
        }
    }
    mutex_unlock(&store->mutex);
    return headers;
}

typedef int snapshot_test(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct hf_snapshot_manifest *out);

static int snapshot_test_ends(struct hf_snapshot_store *store, struct hf_snapshot_id id,
                              struct hf_snapshot_manifest *out)
{
    struct snapshot_file file;
    int rc = snapshot_store_open_file(store, id, &file);
    if (rc == 0) {
        *out = file.manifest;
        snapshot_store_close_file(store, &file);
    }
    return rc;
}

static int snapshot_test_all(struct hf_snapshot_store *store, struct hf_snapshot_id id,
                             struct hf_snapshot_manifest *out)
{
    struct hf_snapshot_info info;
    int rc = hf_snapshot_find(store, id, &info);
    if (rc == 0 && !info.verified) {
        rc = hf_snapshot_verify(store, id, NULL, NULL);
    }
    return rc == 0 ? snapshot_test_ends(store, id, out) : rc;
}

static int snapshot_search(struct hf_snapshot_store *store, uint64_t group, uint64_t incarnation, snapshot_test *test,
                           struct hf_snapshot_manifest *out)
{
    struct snapshot_search search = {.group = group, .incarnation = incarnation};
    size_t count;
    struct snapshot_header *headers = snapshot_candidates(store, &search, &count);
    int rc = HF_ENOTFOUND;
    size_t at = 0;
    for (; at < count && rc != 0; at++) {
        rc = test(store, headers[at].id, out);
        if (rc != 0 && rc != HF_ENOTFOUND && !search.damaged_any) {
            search.damaged_any = true;
            error_text_copy(search.reason, sizeof(search.reason));
        }
    }
    if (rc == 0 && search.damaged_any) {
        char *text = text_format("the newest snapshot cannot be used (%s); this older one is taken", search.reason);
        snapshot_store_report(store, HF_SNAPSHOT_EVENT_FELL_BACK, &headers[at - 1], text);
        free(text);
    } else if (rc != 0 && search.damaged_any) {
        struct snapshot_header none = {.group = group};
        snapshot_store_report(store, HF_SNAPSHOT_EVENT_NONE_LEFT, &none, "no snapshot can be used");
        rc = error_raise(HF_ECORRUPT, "every snapshot of group %" PRIu64 " in %s is damaged", group, store->directory);
    } else if (rc != 0) {
        rc = error_raise(HF_ENOTFOUND, "group %" PRIu64 " has no snapshot in %s", group, store->directory);
    }
    free(headers);
    return rc;
}

int hf_snapshot_latest(struct hf_snapshot_store *store, uint64_t group, uint64_t group_incarnation,
                       struct hf_snapshot_manifest *out)
{
    return snapshot_search(store, group, group_incarnation, snapshot_test_ends, out);
}

int hf_snapshot_latest_verified(struct hf_snapshot_store *store, uint64_t group, uint64_t group_incarnation,
                                struct hf_snapshot_manifest *out)
{
    return snapshot_search(store, group, group_incarnation, snapshot_test_all, out);
}

/* ---- one snapshot ---- */

int hf_snapshot_verify(struct hf_snapshot_store *store, struct hf_snapshot_id id, hf_snapshot_watch *watch, void *arg)
{
    struct hf_snapshot_reader *reader = NULL;
    int rc = hf_snapshot_reader_open(store, id, &reader);
    rc = rc == 0 ? snapshot_reader_verify(reader, watch, arg) : rc;
    hf_snapshot_reader_close(reader);
    if (rc == 0) {
        mutex_lock(&store->mutex);
        struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, id);
        if (entry != NULL) {
            entry->verified = true;
        }
        mutex_unlock(&store->mutex);
    }
    return rc;
}

int hf_snapshot_delete(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    int rc = snapshot_store_remove(store, id);
    return rc == 0 ? directory_sync(store->io, store->directory) : rc;
}

int hf_snapshot_accept(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    struct snapshot_header header;
    enum hf_snapshot_origin origin;
    uint32_t pins;
    mutex_lock(&store->names);
    int rc = snapshot_store_locate(store, id, &header, &origin, &pins);
    if (rc == 0 && origin == HF_SNAPSHOT_RECEIVED) {
        char *from = snapshot_store_path(store, &header, SNAPSHOT_SUFFIX_RECEIVED);
        char *to = snapshot_store_path(store, &header, SNAPSHOT_SUFFIX_LOCAL);
        rc = path_rename(store->io, from, to);
        if (rc == 0) {
            mutex_lock(&store->mutex);
            snapshot_catalogue_find(&store->catalogue, id)->origin = HF_SNAPSHOT_LOCAL;
            mutex_unlock(&store->mutex);
            rc = directory_sync(store->io, store->directory);
        }
        free(from);
        free(to);
    }
    mutex_unlock(&store->names);
    return rc;
}

int hf_snapshot_pin(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    mutex_lock(&store->mutex);
    struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, id);
    if (entry != NULL) {
        entry->pins++;
    }
    mutex_unlock(&store->mutex);
    return entry != NULL ? 0 : snapshot_store_not_found(store, id);
}

void hf_snapshot_unpin(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    mutex_lock(&store->mutex);
    struct snapshot_entry *entry = snapshot_catalogue_find(&store->catalogue, id);
    assert(entry != NULL && entry->pins > 0); /* a pinned one cannot have been deleted */
    entry->pins--;
    mutex_unlock(&store->mutex);
}
