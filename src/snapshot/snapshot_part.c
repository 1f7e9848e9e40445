#include "snapshot/snapshot_part.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"

#define PART_WINDOW_SIZE_MIN (1u << 20)

/* A view of a file from front to back, in aligned reads. */
struct part_window {
    struct file *file;
    uint8_t *bytes;
    size_t capacity;
    uint64_t offset; /* of bytes; a multiple of IO_BLOCK_SIZE */
    size_t size;
};

static int part_window_open(struct part_window *window, struct io *io, const char *path, size_t view_size_max)
{
    size_t capacity = view_size_max + 2 * IO_BLOCK_SIZE;
    capacity = capacity > PART_WINDOW_SIZE_MIN ? capacity : PART_WINDOW_SIZE_MIN;
    *window = (struct part_window){.capacity = (capacity + IO_BLOCK_SIZE - 1) & ~(size_t)(IO_BLOCK_SIZE - 1)};
    unsigned direct = MUTATED(SNAPSHOT_RESUMED_FROM_CACHE) ? 0 : FILE_DIRECT;
    int rc = file_open(io, path, FILE_READ | direct, &window->file);
    if (rc == 0) {
        window->bytes = memory_new_aligned(IO_BLOCK_SIZE, window->capacity);
    }
    return rc;
}

static void part_window_close(struct part_window *window)
{
    file_close(window->file);
    free(window->bytes);
}

/* Lends [offset, offset + size) until the next call. HF_ECORRUPT beyond the end of the file. */
static int part_window_view(struct part_window *window, uint64_t offset, size_t size, struct hf_bytes *out)
{
    if (offset < window->offset || offset + size > window->offset + window->size) {
        window->offset = offset & ~(uint64_t)(IO_BLOCK_SIZE - 1);
        window->size = 0;
        int rc = file_read(window->file, window->offset, window->bytes, window->capacity, &window->size);
        if (rc != 0) {
            return rc;
        }
    }
    if (offset + size > window->offset + window->size) {
        return error_raise(HF_ECORRUPT, "the file ends");
    }
    *out = bytes_of(window->bytes + (offset - window->offset), size);
    return 0;
}

/* One section, lent. HF_ECORRUPT when there is no good one of this kind. */
static int part_section(struct part_window *window, uint64_t offset, const struct hf_snapshot_id *id,
                        enum snapshot_section_kind kind, struct snapshot_section *section, struct hf_bytes *out)
{
    int rc = part_window_view(window, offset, SNAPSHOT_FORMAT_SECTION_SIZE, out);
    rc = rc == 0 ? snapshot_format_get_section(out->data, section) : rc;
    if (rc == 0 && (section->kind != kind || section->payload_size > HF_SNAPSHOT_CHUNK_SIZE_MAX)) {
        rc = error_raise(HF_ECORRUPT, "another kind of section");
    }
    if (rc == 0) {
        rc = part_window_view(window, offset, SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)section->payload_size, out);
    }
    return rc == 0 ? snapshot_format_check_section(*out, id, kind, section->number, section) : rc;
}

static int part_read_manifest(struct part_window *window, struct hf_snapshot_manifest *out, uint64_t *end)
{
    struct snapshot_header header;
    struct snapshot_section section;
    struct hf_bytes bytes = {0};
    int rc = part_window_view(window, 0, SNAPSHOT_FORMAT_HEADER_SIZE, &bytes);
    rc = rc == 0 ? snapshot_format_get_header(bytes.data, &header) : rc;
    if (rc == 0) {
        rc = part_section(window, SNAPSHOT_FORMAT_HEADER_SIZE, &header.id, SNAPSHOT_SECTION_MANIFEST, &section, &bytes);
    }
    if (rc == 0) {
        const uint8_t *payload = (const uint8_t *)bytes.data + SNAPSHOT_FORMAT_SECTION_SIZE;
        rc = hf_snapshot_manifest_decode(bytes_of(payload, section.payload_size), out);
        *end = SNAPSHOT_FORMAT_HEADER_SIZE + bytes.size;
    }
    return rc;
}

static bool part_manifest_equal(const struct hf_snapshot_manifest *a, const struct hf_snapshot_manifest *b)
{
    uint8_t a_bytes[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    uint8_t b_bytes[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    size_t a_size = hf_snapshot_manifest_encode(a, a_bytes);
    size_t b_size = hf_snapshot_manifest_encode(b, b_bytes);
    return a_size == b_size && memcmp(a_bytes, b_bytes, a_size) == 0;
}

/* Notes the good chunks from `offset` on; they end at *end. */
static void part_scan_chunks(struct part_window *window, const struct hf_snapshot_manifest *manifest,
                             struct snapshot_builder *builder, uint64_t offset, uint64_t *end)
{
    struct snapshot_section section;
    struct hf_bytes bytes = {0};
    while (part_section(window, offset, &manifest->id, SNAPSHOT_SECTION_CHUNK, &section, &bytes) == 0 &&
           section.number < manifest->chunk_count && !snapshot_builder_has(builder, section.number) &&
           section.application_size == snapshot_manifest_chunk_bytes(manifest, section.number)) {
        snapshot_builder_note(builder, section.number, offset, section.payload_size);
        offset += bytes.size;
    }
    *end = offset;
}

/* 0 when the file can be gone on with at *end. */
static int part_scan(const char *path, const struct hf_snapshot_manifest *manifest, struct snapshot_builder *builder,
                     uint64_t *end)
{
    struct part_window window;
    struct hf_snapshot_manifest found;
    uint64_t offset = 0;
    int rc = part_window_open(&window, builder->store->io, path, HF_SNAPSHOT_RAW_SIZE_MAX);
    rc = rc == 0 ? part_read_manifest(&window, &found, &offset) : rc;
    if (rc == 0 && !part_manifest_equal(&found, manifest)) {
        rc = error_raise(HF_EMISMATCH, "another snapshot under the same id");
    }
    if (rc == 0) {
        part_scan_chunks(&window, manifest, builder, offset, end);
    }
    part_window_close(&window);
    return rc;
}

int snapshot_part_open(struct snapshot_builder *builder, struct hf_snapshot_store *store,
                       const struct hf_snapshot_manifest *manifest)
{
    struct snapshot_header header = snapshot_manifest_header(manifest);
    struct snapshot_builder found = {.store = store};
    char *path = snapshot_store_path(store, &header, SNAPSHOT_SUFFIX_PART);
    uint64_t end = 0;
    int rc = part_scan(path, manifest, &found, &end);
    if (rc == 0) {
        rc = snapshot_builder_resume(builder, store, &header, SNAPSHOT_SUFFIX_PART, end);
    }
    if (rc == 0) {
        builder->rows = found.rows;
        builder->row_capacity = found.row_capacity;
        builder->chunk_count = found.chunk_count;
        builder->stored_bytes = found.stored_bytes;
        found.rows = NULL;
        goto done;
    }
    if (rc != HF_ENOTFOUND) {
        snapshot_store_discard(store, path);
    }
    rc = snapshot_builder_open(builder, store, &header, SNAPSHOT_SUFFIX_PART);
    rc = rc == 0 ? snapshot_builder_add_manifest(builder, manifest) : rc;
    rc = rc == 0 ? snapshot_sink_flush(&builder->sink) : rc; /* from here on it says what it is */
    if (rc != 0) {
        snapshot_builder_discard(builder);
    }

done:
    free(found.rows);
    free(path);
    return rc;
}

/* ---- which there are ---- */

struct part_visit {
    struct hf_snapshot_store *store;
    uint64_t group;
    const struct hf_snapshot_id *kept;
    struct hf_snapshot_manifest *manifest; /* NULL: they are to be dropped */
    uint64_t file_bytes;
    bool found;
};

static int part_describe(struct part_visit *visit, const char *path)
{
    struct part_window window;
    uint64_t end;
    int rc = part_window_open(&window, visit->store->io, path, SNAPSHOT_FORMAT_SECTION_SIZE);
    rc = rc == 0 ? part_read_manifest(&window, visit->manifest, &end) : rc;
    rc = rc == 0 ? file_size(window.file, &visit->file_bytes) : rc;
    visit->found = rc == 0;
    part_window_close(&window);
    return 0; /* one that says nothing of itself is as good as none */
}

static int part_visit(void *arg, const char *name, bool is_directory)
{
    struct part_visit *visit = arg;
    struct snapshot_header header;
    enum snapshot_suffix suffix;
    if (is_directory || visit->found || !snapshot_format_parse_name(name, &header, &suffix) ||
        suffix != SNAPSHOT_SUFFIX_PART || header.group != visit->group ||
        (visit->kept != NULL && hf_snapshot_id_equal(*visit->kept, header.id))) {
        return 0;
    }
    char *path = snapshot_store_path(visit->store, &header, suffix);
    int rc = visit->manifest != NULL ? part_describe(visit, path) : path_unlink(visit->store->io, path);
    free(path);
    return rc;
}

int snapshot_part_find(struct hf_snapshot_store *store, uint64_t group, struct hf_snapshot_manifest *out,
                       uint64_t *file_bytes)
{
    struct part_visit visit = {.store = store, .group = group, .manifest = out};
    int rc = directory_list(store->io, store->directory, part_visit, &visit);
    if (rc == 0 && !visit.found) {
        rc = error_raise(HF_ENOTFOUND, "no snapshot of the group is partly received");
    }
    if (file_bytes != NULL) {
        *file_bytes = visit.file_bytes;
    }
    return rc;
}

int snapshot_part_drop(struct hf_snapshot_store *store, uint64_t group, const struct hf_snapshot_id *kept)
{
    struct part_visit visit = {.store = store, .group = group, .kept = kept};
    return directory_list(store->io, store->directory, part_visit, &visit);
}
