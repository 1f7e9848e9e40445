/* Receiving a snapshot from another node, chunk by chunk, resumable. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "snapshot/snapshot_part.h"
#include "snapshot/snapshot_reader.h"

struct hf_snapshot_receiver {
    struct hf_snapshot_store *store;
    struct hf_snapshot_manifest manifest;
    struct snapshot_builder builder;
    struct hf_snapshot_reader *reader; /* of the file being built, once all of it is here; NULL: nobody reads it */
    bool is_verified;
};

/* ---- beginning ---- */

/* One receiver per group: its part file has one owner. */
static int receiver_claim(struct hf_snapshot_store *store, uint64_t group)
{
    mutex_lock(&store->mutex);
    bool taken = map_get(&store->receiving, group) != NULL;
    if (!taken) {
        map_put(&store->receiving, group, store);
        store->open_count++;
    }
    mutex_unlock(&store->mutex);
    return taken ? error_raise(HF_EBUSY, "a snapshot of group %" PRIu64 " is being received already", group) : 0;
}

static void receiver_release(struct hf_snapshot_store *store, uint64_t group)
{
    mutex_lock(&store->mutex);
    map_remove(&store->receiving, group);
    store->open_count--;
    mutex_unlock(&store->mutex);
}

/* A whole file of that id: good, there is nothing to do; damaged, it makes room. */
static int receiver_check_id(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    struct hf_snapshot_info info;
    if (hf_snapshot_find(store, id, &info) != 0) {
        return 0;
    }
    if (!info.damaged) {
        return error_raise(HF_EEXISTS, "the snapshot is here already");
    }
    return hf_snapshot_delete(store, id);
}

static int receiver_open(struct hf_snapshot_store *store, const struct hf_snapshot_manifest *manifest,
                         struct snapshot_builder *builder)
{
    int rc = snapshot_part_drop(store, manifest->group, &manifest->id);
    rc = rc == 0 ? snapshot_part_open(builder, store, manifest) : rc;
    if (rc == 0) {
        rc = snapshot_store_check_space(store, manifest->stored_bytes - builder->stored_bytes);
        if (rc != 0) {
            snapshot_builder_close(builder); /* what is here stays: there may be room later */
        }
    }
    return rc;
}

int hf_snapshot_receive(struct hf_snapshot_store *store, const struct hf_snapshot_manifest *manifest,
                        struct hf_snapshot_receiver **out)
{
    struct snapshot_builder builder = {0};
    *out = NULL;
    if (store->options.read_only) {
        return error_raise(HF_EINVALID, "the snapshots in %s were opened for reading only", store->directory);
    }
    int rc = snapshot_manifest_check(manifest);
    rc = rc == 0 ? receiver_claim(store, manifest->group) : rc;
    if (rc != 0) {
        return rc;
    }
    rc = receiver_check_id(store, manifest->id);
    if (rc == 0) {
        rc = snapshot_store_check_new(store, manifest->group, manifest->group_incarnation, manifest->index,
                                      manifest->term);
    }
    rc = rc == 0 ? receiver_open(store, manifest, &builder) : rc;
    if (rc != 0) {
        receiver_release(store, manifest->group);
        return error_wrap(rc, "receiving a snapshot of group %" PRIu64 " at index %" PRIu64, manifest->group,
                          manifest->index);
    }
    struct hf_snapshot_receiver *receiver = memory_new(sizeof(*receiver));
    receiver->store = store;
    receiver->manifest = *manifest;
    receiver->builder = builder;
    *out = receiver;
    return 0;
}

/* ---- chunks ---- */

int hf_snapshot_put(struct hf_snapshot_receiver *receiver, struct hf_bytes raw)
{
    const struct hf_snapshot_manifest *manifest = &receiver->manifest;
    struct snapshot_builder *builder = &receiver->builder;
    struct snapshot_section section = {0};
    int rc = raw.size < SNAPSHOT_FORMAT_SECTION_SIZE ? error_raise(HF_ECORRUPT, "a chunk of %zu bytes", raw.size)
                                                     : snapshot_format_get_section(raw.data, &section);
    if (rc == 0) {
        rc = snapshot_format_check_section(raw, &manifest->id, SNAPSHOT_SECTION_CHUNK, section.number, &section);
    }
    if (rc == 0 && (section.number >= manifest->chunk_count ||
                    section.application_size != snapshot_manifest_chunk_bytes(manifest, section.number))) {
        rc = error_raise(HF_ECORRUPT, "chunk %" PRIu32 " does not fit the manifest", section.number);
    }
    if (rc != 0 || snapshot_builder_has(builder, section.number)) {
        return rc;
    }
    if (raw.size > manifest->stored_bytes - builder->stored_bytes) {
        return error_raise(HF_ECORRUPT, "chunk %" PRIu32 " is more than the manifest's stored bytes", section.number);
    }
    return snapshot_builder_add(builder, section.number, raw);
}

uint32_t hf_snapshot_receiver_missing(const struct hf_snapshot_receiver *receiver, uint32_t from)
{
    while (from < receiver->manifest.chunk_count && snapshot_builder_has(&receiver->builder, from)) {
        from++;
    }
    return from < receiver->manifest.chunk_count ? from : receiver->manifest.chunk_count;
}

void hf_snapshot_receiver_progress(const struct hf_snapshot_receiver *receiver, struct hf_snapshot_progress *out)
{
    const struct hf_snapshot_manifest *manifest = &receiver->manifest;
    uint32_t chunks = receiver->builder.chunk_count;
    uint64_t bytes = (uint64_t)chunks * manifest->chunk_size_bytes;
    if (chunks > 0 && snapshot_builder_has(&receiver->builder, manifest->chunk_count - 1)) {
        bytes -= manifest->chunk_size_bytes - snapshot_manifest_chunk_bytes(manifest, manifest->chunk_count - 1);
    }
    out->application_bytes = bytes;
    out->stored_bytes = receiver->builder.stored_bytes;
    out->chunks = chunks;
}

const struct hf_snapshot_manifest *hf_snapshot_receiver_manifest(const struct hf_snapshot_receiver *receiver)
{
    return &receiver->manifest;
}

/* ---- ending ---- */

static void receiver_free(struct hf_snapshot_receiver *receiver)
{
    hf_snapshot_reader_close(receiver->reader);
    receiver_release(receiver->store, receiver->manifest.group);
    free(receiver);
}

/* A reader of the file that will be published, with everything in it synced. */
static int receiver_open_reader(struct hf_snapshot_receiver *receiver)
{
    struct snapshot_builder *builder = &receiver->builder;
    struct snapshot_file file = {.manifest = receiver->manifest};
    size_t rows_size = (size_t)builder->chunk_count * sizeof(*file.rows);
    int rc = snapshot_sink_sync(&builder->sink);
    if (rc == 0 && builder->stored_bytes != receiver->manifest.stored_bytes) {
        rc = error_raise(HF_ECORRUPT, "the chunks have another size than the manifest says");
    }
    rc = rc == 0 ? file_open(receiver->store->io, builder->path, FILE_READ, &file.file) : rc;
    if (rc != 0) {
        return rc;
    }
    file.rows = memory_new(rows_size + sizeof(*file.rows));
    if (rows_size > 0) {
        memcpy(file.rows, builder->rows, rows_size);
    }
    rc = snapshot_reader_adopt(&file, &receiver->reader);
    snapshot_file_close(&file);
    return rc;
}

static int receiver_check_whole(const struct hf_snapshot_receiver *receiver)
{
    uint32_t expected = receiver->manifest.chunk_count;
    uint32_t here = receiver->builder.chunk_count;
    return here == expected
               ? 0
               : error_raise(HF_EINVALID, "%" PRIu32 " of %" PRIu32 " chunks are missing", expected - here, expected);
}

static int receiver_wrap(const struct hf_snapshot_receiver *receiver, int rc)
{
    return rc == 0 ? 0
                   : error_wrap(rc, "the received snapshot of group %" PRIu64 " at index %" PRIu64,
                                receiver->manifest.group, receiver->manifest.index);
}

int hf_snapshot_receiver_read(struct hf_snapshot_receiver *receiver, struct hf_bytes *out)
{
    *out = bytes_of("", 0);
    int rc = receiver_check_whole(receiver);
    rc = rc == 0 && receiver->reader == NULL ? receiver_open_reader(receiver) : rc;
    rc = rc == 0 ? hf_snapshot_read_next(receiver->reader, out) : rc;
    receiver->is_verified = rc == 0 && out->size == 0;
    return receiver_wrap(receiver, rc);
}

/* Reads back what nobody read to its end. */
static int receiver_verify(struct hf_snapshot_receiver *receiver, hf_snapshot_watch *watch, void *arg)
{
    int rc = 0;
    if (!receiver->is_verified) {
        rc = receiver->reader == NULL ? receiver_open_reader(receiver) : 0;
        rc = rc == 0 ? snapshot_reader_verify(receiver->reader, watch, arg) : rc;
    }
    hf_snapshot_reader_close(receiver->reader);
    receiver->reader = NULL;
    return rc;
}

int hf_snapshot_receive_finish(struct hf_snapshot_receiver *receiver, hf_snapshot_watch *watch, void *arg)
{
    struct snapshot_builder *builder = &receiver->builder;
    int rc = receiver_check_whole(receiver);
    if (rc != 0) {
        return rc;
    }
    rc = receiver_verify(receiver, watch, arg);
    rc = rc == 0 ? snapshot_builder_publish(builder, &receiver->manifest, HF_SNAPSHOT_RECEIVED) : rc;
    if (rc == HF_ECORRUPT) {
        snapshot_builder_discard(builder);
    }
    rc = receiver_wrap(receiver, rc);
    hf_snapshot_receiver_close(receiver);
    return rc;
}

void hf_snapshot_receiver_close(struct hf_snapshot_receiver *receiver)
{
    if (receiver != NULL) {
        (void)snapshot_sink_flush(&receiver->builder.sink); /* what does not get there is received again */
        snapshot_builder_close(&receiver->builder);
        receiver_free(receiver);
    }
}

void hf_snapshot_receiver_cancel(struct hf_snapshot_receiver *receiver)
{
    if (receiver != NULL) {
        snapshot_builder_discard(&receiver->builder);
        receiver_free(receiver);
    }
}

/* ---- what an earlier receiver left ---- */

int hf_snapshot_partial(struct hf_snapshot_store *store, uint64_t group, struct hf_snapshot_info *out)
{
    memset(out, 0, sizeof(*out));
    out->origin = HF_SNAPSHOT_RECEIVED;
    return snapshot_part_find(store, group, &out->manifest, &out->file_bytes);
}

int hf_snapshot_partial_drop(struct hf_snapshot_store *store, uint64_t group)
{
    int rc = receiver_claim(store, group);
    if (rc == 0) {
        rc = snapshot_part_drop(store, group, NULL);
        receiver_release(store, group);
    }
    return rc;
}
