#include "snapshot/snapshot_file.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

int snapshot_file_read_exactly(struct file *file, uint64_t offset, void *target, size_t size)
{
    size_t got = 0;
    int rc = file_read(file, offset, target, size, &got);
    if (rc == 0 && got != size) {
        rc = error_raise(HF_ECORRUPT, "the file ends at byte %" PRIu64 ", %zu bytes early", offset + got, size - got);
    }
    return rc;
}

/* Reads the one section that fills [from, to). The caller frees *out. */
static int file_read_section(struct snapshot_file *file, uint64_t from, uint64_t to, enum snapshot_section_kind kind,
                             uint8_t **out, struct snapshot_section *section)
{
    *out = NULL;
    size_t size = (size_t)(to - from);
    uint8_t *bytes = memory_new(size);
    int rc = snapshot_file_read_exactly(file->file, from, bytes, size);
    if (rc == 0) {
        rc = snapshot_format_check_section(bytes_of(bytes, size), &file->tail.id, kind, 0, section);
    }
    if (rc == 0 && section->compression != HF_SNAPSHOT_NONE) {
        rc = error_raise(HF_ECORRUPT, "table or manifest is compressed");
    }
    if (rc != 0) {
        free(bytes);
        return rc;
    }
    *out = bytes;
    return 0;
}

/* Offsets come from the device: they are believed only where they leave sizes that their kinds can have. */
static int file_check_tail(const struct snapshot_file *file)
{
    const struct snapshot_tail *tail = &file->tail;
    uint64_t end = file->size - SNAPSHOT_FORMAT_TAIL_SIZE;
    bool good = tail->file_size == file->size && tail->table_offset >= SNAPSHOT_FORMAT_HEADER_SIZE &&
                tail->table_offset < tail->manifest_offset && tail->manifest_offset < end;
    uint64_t table_size_max =
        SNAPSHOT_FORMAT_SECTION_SIZE + (uint64_t)HF_SNAPSHOT_CHUNK_COUNT_MAX * SNAPSHOT_FORMAT_TABLE_ROW_SIZE;
    if (!good || end - tail->manifest_offset > SNAPSHOT_FORMAT_SECTION_SIZE + HF_SNAPSHOT_MANIFEST_SIZE_MAX ||
        tail->manifest_offset - tail->table_offset > table_size_max) {
        return error_raise(HF_ECORRUPT, "the snapshot's tail does not fit the file");
    }
    return 0;
}

static int file_load_manifest(struct snapshot_file *file)
{
    uint8_t *bytes = NULL;
    struct snapshot_section section;
    int rc = file_read_section(file, file->tail.manifest_offset, file->size - SNAPSHOT_FORMAT_TAIL_SIZE,
                               SNAPSHOT_SECTION_MANIFEST, &bytes, &section);
    if (rc == 0) {
        rc = hf_snapshot_manifest_decode(bytes_of(bytes + SNAPSHOT_FORMAT_SECTION_SIZE, section.payload_size),
                                         &file->manifest);
    }
    free(bytes);
    return rc;
}

static int file_load_ends(struct snapshot_file *file)
{
    uint8_t bytes[SNAPSHOT_FORMAT_HEADER_SIZE];
    struct snapshot_header header;
    if (file->size < SNAPSHOT_FORMAT_HEADER_SIZE + SNAPSHOT_FORMAT_TAIL_SIZE) {
        return error_raise(HF_ECORRUPT, "%" PRIu64 " bytes are too few for a snapshot", file->size);
    }
    int rc = snapshot_file_read_exactly(file->file, 0, bytes, SNAPSHOT_FORMAT_HEADER_SIZE);
    rc = rc == 0 ? snapshot_format_get_header(bytes, &header) : rc;
    if (rc == 0) {
        rc = snapshot_file_read_exactly(file->file, file->size - SNAPSHOT_FORMAT_TAIL_SIZE, bytes,
                                        SNAPSHOT_FORMAT_TAIL_SIZE);
    }
    rc = rc == 0 ? snapshot_format_get_tail(bytes, &file->tail) : rc;
    rc = rc == 0 ? file_check_tail(file) : rc;
    rc = rc == 0 ? file_load_manifest(file) : rc;
    if (rc != 0) {
        return rc;
    }
    const struct hf_snapshot_manifest *manifest = &file->manifest;
    if (!hf_snapshot_id_equal(header.id, file->tail.id) || !hf_snapshot_id_equal(header.id, manifest->id) ||
        header.group != manifest->group || header.index != manifest->index) {
        return error_raise(HF_ECORRUPT, "header, tail and manifest are of different snapshots");
    }
    return 0;
}

int snapshot_file_open(struct snapshot_file *file, struct io *io, const char *path)
{
    *file = (struct snapshot_file){0};
    int rc = file_open(io, path, FILE_READ, &file->file);
    rc = rc == 0 ? file_size(file->file, &file->size) : rc;
    rc = rc == 0 ? file_load_ends(file) : rc;
    if (rc != 0) {
        snapshot_file_close(file);
        return error_wrap(rc, "%s", path);
    }
    return 0;
}

void snapshot_file_close(struct snapshot_file *file)
{
    file_close(file->file);
    free(file->rows);
    *file = (struct snapshot_file){0};
}

static int file_check_row(const struct snapshot_file *file, uint32_t number, const struct snapshot_row *row)
{
    uint64_t end = file->tail.table_offset;
    if (row->payload_size > snapshot_manifest_chunk_bytes(&file->manifest, number) ||
        row->offset < SNAPSHOT_FORMAT_HEADER_SIZE || row->offset > end ||
        end - row->offset < SNAPSHOT_FORMAT_SECTION_SIZE + (uint64_t)row->payload_size) {
        return error_raise(HF_ECORRUPT, "the table's row of chunk %" PRIu32 " does not fit the file", number);
    }
    return 0;
}

int snapshot_file_load_table(struct snapshot_file *file)
{
    uint8_t *bytes = NULL;
    struct snapshot_section section;
    uint64_t stored = 0;
    uint32_t count = file->manifest.chunk_count;
    int rc = file_read_section(file, file->tail.table_offset, file->tail.manifest_offset, SNAPSHOT_SECTION_TABLE,
                               &bytes, &section);
    if (rc == 0 && section.payload_size != count * SNAPSHOT_FORMAT_TABLE_ROW_SIZE) {
        rc = error_raise(HF_ECORRUPT, "the table has not as many rows as there are chunks");
    }
    if (rc == 0) {
        file->rows = memory_new(((size_t)count + 1) * sizeof(*file->rows));
    }
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        const uint8_t *at = bytes + SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)i * SNAPSHOT_FORMAT_TABLE_ROW_SIZE;
        file->rows[i] = (struct snapshot_row){.offset = bytes_get_u64(at), .payload_size = bytes_get_u32(at + 8)};
        stored += SNAPSHOT_FORMAT_SECTION_SIZE + (uint64_t)file->rows[i].payload_size;
        rc = file_check_row(file, i, &file->rows[i]);
    }
    if (rc == 0 && stored != file->manifest.stored_bytes) {
        rc = error_raise(HF_ECORRUPT, "the table's sizes do not sum up to the manifest's");
    }
    free(bytes);
    return rc;
}

size_t snapshot_file_raw_size_max(const struct hf_snapshot_manifest *manifest)
{
    return SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)manifest->chunk_size_bytes;
}

int snapshot_file_read_chunk(struct snapshot_file *file, uint32_t number, uint8_t *target, struct hf_bytes *raw,
                             struct snapshot_section *section)
{
    assert(file->rows != NULL && number < file->manifest.chunk_count);
    const struct snapshot_row *row = &file->rows[number];
    size_t size = SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)row->payload_size;
    int rc = snapshot_file_read_exactly(file->file, row->offset, target, size);
    if (rc == 0) {
        rc = snapshot_format_check_section(bytes_of(target, size), &file->manifest.id, SNAPSHOT_SECTION_CHUNK, number,
                                           section);
    }
    if (rc == 0 && section->application_size != snapshot_manifest_chunk_bytes(&file->manifest, number)) {
        rc = error_raise(HF_ECORRUPT, "chunk %" PRIu32 " has not as many bytes as it should", number);
    }
    if (rc != 0) {
        return error_wrap(rc, "at byte %" PRIu64, row->offset);
    }
    *raw = bytes_of(target, size);
    return 0;
}
