#include "snapshot/snapshot_builder.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"

static int builder_open(struct snapshot_builder *builder, struct hf_snapshot_store *store,
                        const struct snapshot_header *header, enum snapshot_suffix suffix, unsigned flags,
                        uint64_t offset)
{
    *builder = (struct snapshot_builder){.store = store};
    if (MUTATED(SNAPSHOT_PARTIAL_LISTED)) {
        suffix = SNAPSHOT_SUFFIX_LOCAL;
    }
    builder->path = snapshot_store_path(store, header, suffix);
    int rc =
        snapshot_sink_open(&builder->sink, store->io, builder->path, flags, offset, store->options.sync_every_bytes);
    if (rc != 0) {
        free(builder->path);
        *builder = (struct snapshot_builder){0};
    }
    return rc;
}

int snapshot_builder_open(struct snapshot_builder *builder, struct hf_snapshot_store *store,
                          const struct snapshot_header *header, enum snapshot_suffix suffix)
{
    uint8_t bytes[SNAPSHOT_FORMAT_HEADER_SIZE];
    int rc = builder_open(builder, store, header, suffix, FILE_CREATE, 0);
    if (rc != 0) {
        return rc;
    }
    snapshot_format_put_header(bytes, header);
    rc = snapshot_sink_append(&builder->sink, bytes, sizeof(bytes));
    if (rc != 0) {
        snapshot_builder_discard(builder);
    }
    return rc;
}

int snapshot_builder_resume(struct snapshot_builder *builder, struct hf_snapshot_store *store,
                            const struct snapshot_header *header, enum snapshot_suffix suffix, uint64_t offset)
{
    return builder_open(builder, store, header, suffix, 0, offset);
}

void snapshot_builder_note(struct snapshot_builder *builder, uint32_t number, uint64_t offset, uint32_t payload_size)
{
    assert(number < HF_SNAPSHOT_CHUNK_COUNT_MAX && !snapshot_builder_has(builder, number));
    if (number >= builder->row_capacity) {
        uint32_t capacity = builder->row_capacity == 0 ? 64 : builder->row_capacity * 2;
        while (capacity <= number) {
            capacity *= 2;
        }
        builder->rows = memory_resize(builder->rows, capacity * sizeof(*builder->rows));
        for (uint32_t i = builder->row_capacity; i < capacity; i++) {
            builder->rows[i] = (struct snapshot_row){0};
        }
        builder->row_capacity = capacity;
    }
    builder->rows[number] = (struct snapshot_row){.offset = offset, .payload_size = payload_size};
    builder->chunk_count++;
    builder->stored_bytes += SNAPSHOT_FORMAT_SECTION_SIZE + (uint64_t)payload_size;
}

bool snapshot_builder_has(const struct snapshot_builder *builder, uint32_t number)
{
    return number < builder->row_capacity && builder->rows[number].offset != 0;
}

int snapshot_builder_add(struct snapshot_builder *builder, uint32_t number, struct hf_bytes section)
{
    if (number >= HF_SNAPSHOT_CHUNK_COUNT_MAX) {
        return error_raise(HF_ETOOBIG, "a snapshot has at most %u chunks; choose a larger chunk size",
                           HF_SNAPSHOT_CHUNK_COUNT_MAX);
    }
    uint64_t offset = snapshot_sink_position(&builder->sink);
    int rc = snapshot_sink_append(&builder->sink, section.data, section.size);
    if (rc == 0) {
        snapshot_builder_note(builder, number, offset, (uint32_t)(section.size - SNAPSHOT_FORMAT_SECTION_SIZE));
    }
    return rc;
}

size_t snapshot_builder_manifest(uint8_t *target, const struct hf_snapshot_manifest *manifest)
{
    size_t size = hf_snapshot_manifest_encode(manifest, target + SNAPSHOT_FORMAT_SECTION_SIZE);
    struct snapshot_section section = {.kind = SNAPSHOT_SECTION_MANIFEST,
                                       .compression = HF_SNAPSHOT_NONE,
                                       .payload_size = (uint32_t)size,
                                       .application_size = (uint32_t)size};
    snapshot_format_seal_section(target, &section, &manifest->id);
    return SNAPSHOT_FORMAT_SECTION_SIZE + size;
}

int snapshot_builder_add_manifest(struct snapshot_builder *builder, const struct hf_snapshot_manifest *manifest)
{
    uint8_t bytes[SNAPSHOT_FORMAT_SECTION_SIZE + HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    size_t size = snapshot_builder_manifest(bytes, manifest);
    return snapshot_sink_append(&builder->sink, bytes, size);
}

uint8_t *snapshot_builder_table(const struct snapshot_row *rows, uint32_t count, const struct hf_snapshot_id *id,
                                size_t *size)
{
    uint32_t payload_size = count * SNAPSHOT_FORMAT_TABLE_ROW_SIZE;
    uint8_t *bytes = memory_new(SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)payload_size);
    uint8_t *at = bytes + SNAPSHOT_FORMAT_SECTION_SIZE;
    for (uint32_t i = 0; i < count; i++, at += SNAPSHOT_FORMAT_TABLE_ROW_SIZE) {
        bytes_put_u64(at, rows[i].offset);
        bytes_put_u32(at + 8, rows[i].payload_size);
    }
    struct snapshot_section section = {.kind = SNAPSHOT_SECTION_TABLE,
                                       .compression = HF_SNAPSHOT_NONE,
                                       .payload_size = payload_size,
                                       .application_size = payload_size};
    snapshot_format_seal_section(bytes, &section, id);
    *size = SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)payload_size;
    return bytes;
}

static int builder_append_end(struct snapshot_builder *builder, const struct hf_snapshot_manifest *manifest)
{
    struct snapshot_sink *sink = &builder->sink;
    struct snapshot_tail tail = {.id = manifest->id, .table_offset = snapshot_sink_position(sink)};
    uint8_t bytes[SNAPSHOT_FORMAT_TAIL_SIZE];
    size_t table_size;
    uint8_t *table = snapshot_builder_table(builder->rows, builder->chunk_count, &manifest->id, &table_size);
    int rc = snapshot_sink_append(sink, table, table_size);
    free(table);
    tail.manifest_offset = snapshot_sink_position(sink);
    rc = rc == 0 ? snapshot_builder_add_manifest(builder, manifest) : rc;
    tail.file_size = snapshot_sink_position(sink) + SNAPSHOT_FORMAT_TAIL_SIZE;
    snapshot_format_put_tail(bytes, &tail);
    return rc == 0 ? snapshot_sink_append(sink, bytes, sizeof(bytes)) : rc;
}

int snapshot_builder_publish(struct snapshot_builder *builder, const struct hf_snapshot_manifest *manifest,
                             enum hf_snapshot_origin origin)
{
    assert(builder->chunk_count == manifest->chunk_count && builder->stored_bytes == manifest->stored_bytes);
    int rc = builder_append_end(builder, manifest);
    if (rc == 0) {
        rc = MUTATED(SNAPSHOT_PUBLISH_BEFORE_SYNC) ? snapshot_sink_flush(&builder->sink)
                                                   : snapshot_sink_sync(&builder->sink);
    }
    if (rc != 0) {
        snapshot_builder_discard(builder);
        return rc;
    }
    rc =
        snapshot_store_publish(builder->store, builder->path, manifest, origin, snapshot_sink_position(&builder->sink));
    snapshot_builder_close(builder);
    return rc;
}

void snapshot_builder_discard(struct snapshot_builder *builder)
{
    if (builder->path != NULL) {
        snapshot_sink_close(&builder->sink);
        snapshot_store_discard(builder->store, builder->path);
    }
    snapshot_builder_close(builder);
}

void snapshot_builder_close(struct snapshot_builder *builder)
{
    snapshot_sink_close(&builder->sink);
    free(builder->path);
    free(builder->rows);
    *builder = (struct snapshot_builder){0};
}
