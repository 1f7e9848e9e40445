/* Writing a snapshot: begin, write, finish or cancel. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "snapshot/snapshot_builder.h"
#include "snapshot/snapshot_options.h"
#include "snapshot/snapshot_packer.h"

struct hf_snapshot_writer {
    struct hf_snapshot_store *store;
    struct hf_snapshot_manifest manifest;
    struct snapshot_builder builder;
    struct snapshot_packer *packer;
    int failure; /* the first one: what follows it would leave a gap */
    char failure_text[256];
};

static int writer_emit(void *arg, uint32_t number, struct hf_bytes section)
{
    struct hf_snapshot_writer *writer = arg;
    return snapshot_builder_add(&writer->builder, number, section);
}

static int writer_check(const struct hf_snapshot_store *store, const struct hf_snapshot_begin *begin)
{
    if (store->options.read_only) {
        return error_raise(HF_EINVALID, "the snapshots in %s were opened for reading only", store->directory);
    }
    if (begin->group < 1 || begin->group > HF_SNAPSHOT_GROUP_MAX || begin->index < 1) {
        return error_raise(HF_EINVALID, "a snapshot of group %" PRIu64 " at index %" PRIu64 " cannot be", begin->group,
                           begin->index);
    }
    if (begin->configuration.size > HF_SNAPSHOT_CONFIGURATION_SIZE_MAX) {
        return error_raise(HF_EINVALID, "a configuration of %zu bytes; a snapshot takes %u", begin->configuration.size,
                           HF_SNAPSHOT_CONFIGURATION_SIZE_MAX);
    }
    return 0;
}

static void writer_fill_manifest(struct hf_snapshot_writer *writer, const struct hf_snapshot_begin *begin,
                                 const struct hf_snapshot_format *format)
{
    struct io *io = writer->store->io;
    struct hf_snapshot_manifest *manifest = &writer->manifest;
    io_random(io, manifest->id.bytes, sizeof(manifest->id.bytes));
    manifest->group = begin->group;
    manifest->group_incarnation = begin->group_incarnation;
    manifest->index = begin->index;
    manifest->term = begin->term;
    manifest->configuration_index = begin->configuration_index;
    manifest->created_ms = begin->created_ms != 0 ? begin->created_ms : io_wall_ms(io);
    manifest->chunk_size_bytes = format->chunk_size_bytes;
    manifest->compression = format->compression;
    manifest->configuration_size = (uint32_t)begin->configuration.size;
    if (begin->configuration.size > 0) {
        memcpy(manifest->configuration, begin->configuration.data, begin->configuration.size);
    }
}

int hf_snapshot_begin(struct hf_snapshot_store *store, const struct hf_snapshot_begin *begin,
                      struct hf_snapshot_writer **out)
{
    struct hf_snapshot_format format = store->options.format;
    *out = NULL;
    int rc = writer_check(store, begin);
    if (rc == 0 && begin->format != NULL) {
        rc = snapshot_options_set_format(&format, begin->format, store->chunk_size_min);
    }
    rc = rc == 0 ? snapshot_store_check_new(store, begin->group, begin->group_incarnation, begin->index, begin->term)
                 : rc;
    rc = rc == 0 ? snapshot_store_check_space(store, begin->estimate_bytes) : rc;
    if (rc != 0) {
        return rc;
    }
    struct hf_snapshot_writer *writer = memory_new(sizeof(*writer));
    writer->store = store;
    snapshot_store_enter(store);
    writer_fill_manifest(writer, begin, &format);
    struct snapshot_header header = snapshot_manifest_header(&writer->manifest);
    rc = snapshot_packer_open(&format, store->worker_io, header.id, writer_emit, writer, &writer->packer);
    rc = rc == 0 ? snapshot_builder_open(&writer->builder, store, &header, SNAPSHOT_SUFFIX_TEMPORARY) : rc;
    if (rc != 0) {
        hf_snapshot_cancel(writer);
        return error_wrap(rc, "beginning a snapshot of group %" PRIu64 " at index %" PRIu64, header.group,
                          header.index);
    }
    *out = writer;
    return 0;
}

static int writer_failed(struct hf_snapshot_writer *writer, int rc)
{
    if (rc != 0 && writer->failure == 0) {
        writer->failure = rc;
        error_text_copy(writer->failure_text, sizeof(writer->failure_text));
    }
    return rc;
}

int hf_snapshot_write(struct hf_snapshot_writer *writer, const void *data, size_t size)
{
    if (writer->failure != 0) {
        return error_restore(writer->failure, writer->failure_text);
    }
    return writer_failed(writer, snapshot_packer_write(writer->packer, data, size));
}

void hf_snapshot_writer_progress(const struct hf_snapshot_writer *writer, struct hf_snapshot_progress *out)
{
    out->application_bytes = snapshot_packer_application_bytes(writer->packer);
    out->stored_bytes = writer->builder.stored_bytes;
    out->chunks = writer->builder.chunk_count;
}

/* Ends the writer with its file published or gone. */
static int writer_publish(struct hf_snapshot_writer *writer)
{
    struct hf_snapshot_store *store = writer->store;
    struct hf_snapshot_manifest *manifest = &writer->manifest;
    if (writer->failure != 0) {
        return error_restore(writer->failure, writer->failure_text);
    }
    int rc = snapshot_packer_finish(writer->packer, manifest->digest);
    if (rc != 0) {
        return rc;
    }
    manifest->application_bytes = snapshot_packer_application_bytes(writer->packer);
    manifest->stored_bytes = writer->builder.stored_bytes;
    manifest->chunk_count = writer->builder.chunk_count;
    /* Another one may have come first meanwhile. */
    rc = snapshot_store_check_new(store, manifest->group, manifest->group_incarnation, manifest->index, manifest->term);
    rc = rc == 0 ? snapshot_manifest_check(manifest) : rc;
    rc = rc == 0 ? snapshot_builder_publish(&writer->builder, manifest, HF_SNAPSHOT_LOCAL) : rc;
    if (rc == 0 && store->memory_io != NULL) {
        struct hf_snapshot_retention retention = {.keep_latest = store->options.memory_keep};
        rc = hf_snapshot_clean(store, manifest->group, &retention, 0, NULL);
    }
    return rc;
}

int hf_snapshot_finish(struct hf_snapshot_writer *writer, uint64_t entries, struct hf_snapshot_manifest *out)
{
    writer->manifest.entries = entries;
    int rc = writer_publish(writer);
    if (rc == 0 && out != NULL) {
        *out = writer->manifest;
    }
    if (rc != 0) {
        rc = error_wrap(rc, "the snapshot of group %" PRIu64 " at index %" PRIu64, writer->manifest.group,
                        writer->manifest.index);
    }
    hf_snapshot_cancel(writer); /* of a published one nothing is left to cancel */
    return rc;
}

void hf_snapshot_cancel(struct hf_snapshot_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    snapshot_packer_close(writer->packer);
    snapshot_builder_discard(&writer->builder);
    snapshot_store_leave(writer->store);
    free(writer);
}
