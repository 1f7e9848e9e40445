/* Export and import: the file's own format as a stream, with its chunks in order. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "snapshot/snapshot_builder.h"
#include "snapshot/snapshot_codec.h"
#include "snapshot/snapshot_digest.h"
#include "snapshot/snapshot_reader.h"

/* ---- export ---- */

struct stream_export {
    hf_snapshot_sink *sink;
    void *arg;
    uint64_t offset;
};

static int stream_emit(struct stream_export *out, const void *data, size_t size)
{
    out->offset += size;
    return out->sink(out->arg, data, size);
}

static int stream_emit_chunks(struct stream_export *out, struct hf_snapshot_reader *reader, struct snapshot_row *rows,
                              hf_snapshot_watch *watch, void *watch_arg)
{
    const struct hf_snapshot_manifest *manifest = hf_snapshot_reader_manifest(reader);
    uint64_t done = 0;
    int rc = 0;
    for (uint32_t i = 0; i < manifest->chunk_count && rc == 0; i++) {
        struct hf_bytes raw;
        rc = hf_snapshot_read_raw(reader, i, &raw);
        if (rc == 0) {
            rows[i] = (struct snapshot_row){out->offset, (uint32_t)(raw.size - SNAPSHOT_FORMAT_SECTION_SIZE)};
            rc = stream_emit(out, raw.data, raw.size);
        }
        done += snapshot_manifest_chunk_bytes(manifest, i);
        if (rc == 0 && watch != NULL) {
            rc = watch(watch_arg, done, manifest->application_bytes);
        }
    }
    return rc;
}

static int stream_emit_end(struct stream_export *out, const struct hf_snapshot_manifest *manifest,
                           const struct snapshot_row *rows)
{
    struct snapshot_tail tail = {.id = manifest->id, .table_offset = out->offset};
    uint8_t bytes[SNAPSHOT_FORMAT_SECTION_SIZE + HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    size_t size;
    uint8_t *table = snapshot_builder_table(rows, manifest->chunk_count, &manifest->id, &size);
    int rc = stream_emit(out, table, size);
    free(table);
    tail.manifest_offset = out->offset;
    size = snapshot_builder_manifest(bytes, manifest);
    rc = rc == 0 ? stream_emit(out, bytes, size) : rc;
    tail.file_size = out->offset + SNAPSHOT_FORMAT_TAIL_SIZE;
    snapshot_format_put_tail(bytes, &tail);
    return rc == 0 ? stream_emit(out, bytes, SNAPSHOT_FORMAT_TAIL_SIZE) : rc;
}

int hf_snapshot_export(struct hf_snapshot_store *store, struct hf_snapshot_id id, hf_snapshot_sink *sink,
                       void *sink_arg, hf_snapshot_watch *watch, void *watch_arg)
{
    struct stream_export out = {.sink = sink, .arg = sink_arg};
    struct hf_snapshot_reader *reader = NULL;
    int rc = hf_snapshot_reader_open(store, id, &reader);
    if (rc != 0) {
        return rc;
    }
    const struct hf_snapshot_manifest *manifest = hf_snapshot_reader_manifest(reader);
    struct snapshot_row *rows = memory_new(((size_t)manifest->chunk_count + 1) * sizeof(*rows));
    struct snapshot_header header = snapshot_manifest_header(manifest);
    uint8_t bytes[SNAPSHOT_FORMAT_HEADER_SIZE];
    snapshot_format_put_header(bytes, &header);
    rc = stream_emit(&out, bytes, sizeof(bytes));
    rc = rc == 0 ? stream_emit_chunks(&out, reader, rows, watch, watch_arg) : rc;
    rc = rc == 0 ? stream_emit_end(&out, manifest, rows) : rc;
    free(rows);
    hf_snapshot_reader_close(reader);
    return rc;
}

static int stream_sink_append(void *arg, const void *data, size_t size)
{
    return snapshot_sink_append(arg, data, size);
}

/* The folder that a path's last name stands in. The caller frees it. */
static char *stream_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return text_copy(".");
    }
    return slash == path ? text_copy("/") : text_format("%.*s", (int)(slash - path), path);
}

static int stream_check_absent(struct io *io, const char *path)
{
    struct file *file = NULL;
    int rc = file_open(io, path, FILE_READ, &file);
    file_close(file);
    if (rc == 0) {
        return error_raise(HF_EEXISTS, "%s is there already", path);
    }
    return rc == HF_ENOTFOUND ? 0 : rc;
}

int hf_snapshot_export_file(struct hf_snapshot_store *store, struct hf_snapshot_id id, const char *path,
                            hf_snapshot_watch *watch, void *arg)
{
    struct io *io = store->kernel_io != NULL ? store->kernel_io : store->io;
    struct snapshot_sink sink = {0};
    char *temporary = text_format("%s.tmp", path);
    char *folder = stream_folder(path);
    int rc = stream_check_absent(io, path);
    rc = rc == 0 ? snapshot_sink_open(&sink, io, temporary, FILE_CREATE, 0, store->options.sync_every_bytes) : rc;
    if (rc == 0) {
        rc = hf_snapshot_export(store, id, stream_sink_append, &sink, watch, arg);
        rc = rc == 0 ? snapshot_sink_sync(&sink) : rc;
        rc = rc == 0 ? path_rename(io, temporary, path) : rc;
        if (rc != 0) {
            char text[ERROR_TEXT_SIZE_MAX];
            error_text_copy(text, sizeof(text));
            (void)path_unlink(io, temporary);
            error_restore(rc, text);
        } else {
            rc = directory_sync(io, folder);
        }
    }
    snapshot_sink_close(&sink);
    free(temporary);
    free(folder);
    return rc;
}

/* ---- import ---- */

/* A snapshot on its way in: chunks come in order, each is checked and decompressed for the digest. */
struct stream_import {
    struct hf_snapshot_store *store;
    struct snapshot_header header;
    struct snapshot_builder builder;
    struct snapshot_codec *codec;
    struct snapshot_digest *digest;
    uint8_t *application; /* of HF_SNAPSHOT_CHUNK_SIZE_MAX bytes */
    uint32_t chunk_size;  /* of the first chunk */
    uint32_t last_size;   /* of the last chunk so far */
    uint64_t application_bytes;
};

static int stream_import_begin(struct stream_import *in, struct hf_snapshot_store *store,
                               const struct snapshot_header *header)
{
    struct hf_snapshot_info info;
    *in = (struct stream_import){.store = store, .header = *header};
    snapshot_store_enter(store);
    if (store->options.read_only) {
        return error_raise(HF_EINVALID, "the snapshots in %s were opened for reading only", store->directory);
    }
    if (header->group < 1 || header->group > HF_SNAPSHOT_GROUP_MAX || header->index < 1) {
        return error_raise(HF_ECORRUPT, "the snapshot's header has no group or no index");
    }
    int rc = 0;
    if (hf_snapshot_find(store, header->id, &info) == 0) {
        rc = info.damaged ? hf_snapshot_delete(store, header->id)
                          : error_raise(HF_EEXISTS, "the snapshot is here already");
    }
    rc = rc == 0 ? snapshot_digest_open(&in->digest) : rc;
    in->codec = snapshot_codec_open(HF_SNAPSHOT_NONE, 0);
    in->application = memory_new(HF_SNAPSHOT_CHUNK_SIZE_MAX);
    return rc == 0 ? snapshot_builder_open(&in->builder, store, header, SNAPSHOT_SUFFIX_TEMPORARY) : rc;
}

static void stream_import_close(struct stream_import *in)
{
    snapshot_builder_discard(&in->builder);
    snapshot_codec_close(in->codec);
    snapshot_digest_close(in->digest);
    free(in->application);
    snapshot_store_leave(in->store);
}

static int stream_import_chunk(struct stream_import *in, struct hf_bytes raw)
{
    struct snapshot_section section;
    uint32_t number = in->builder.chunk_count;
    int rc = snapshot_format_check_section(raw, &in->header.id, SNAPSHOT_SECTION_CHUNK, number, &section);
    if (rc != 0) {
        return rc;
    }
    if ((number > 0 && (in->last_size != in->chunk_size || section.application_size > in->chunk_size)) ||
        section.application_size == 0) {
        return error_raise(HF_ECORRUPT, "chunk %" PRIu32 " breaks the order of chunks of one size", number);
    }
    in->chunk_size = number == 0 ? section.application_size : in->chunk_size;
    in->last_size = section.application_size;
    struct hf_bytes payload = {(const uint8_t *)raw.data + SNAPSHOT_FORMAT_SECTION_SIZE, section.payload_size};
    rc = snapshot_codec_unpack(in->codec, section.compression, payload, in->application, section.application_size);
    if (rc != 0) {
        return error_wrap(rc, "chunk %" PRIu32, number);
    }
    snapshot_digest_update(in->digest, in->application, section.application_size);
    in->application_bytes += section.application_size;
    return snapshot_builder_add(&in->builder, number, raw);
}

static int stream_import_end(struct stream_import *in, const struct hf_snapshot_manifest *manifest)
{
    const struct snapshot_builder *builder = &in->builder;
    uint8_t digest[16];
    snapshot_digest_get(in->digest, digest);
    bool sizes = manifest->application_bytes == in->application_bytes &&
                 manifest->stored_bytes == builder->stored_bytes && manifest->chunk_count == builder->chunk_count &&
                 (builder->chunk_count < 2 || manifest->chunk_size_bytes == in->chunk_size);
    if (!sizes || !hf_snapshot_id_equal(manifest->id, in->header.id) || manifest->group != in->header.group ||
        manifest->index != in->header.index) {
        return error_raise(HF_ECORRUPT, "the manifest does not fit header and chunks");
    }
    if (memcmp(digest, manifest->digest, sizeof(digest)) != 0) {
        return error_raise(HF_ECORRUPT, "the digest of the whole is wrong");
    }
    return snapshot_builder_publish(&in->builder, manifest, HF_SNAPSHOT_LOCAL);
}

struct stream_source {
    hf_snapshot_source *source;
    void *arg;
    struct buffer section; /* of the section that was read last, header included */
};

static int stream_take(struct stream_source *from, void *target, size_t size)
{
    size_t done = 0;
    while (done < size) {
        size_t got = 0;
        int rc = from->source(from->arg, (uint8_t *)target + done, size - done, &got);
        if (rc != 0) {
            return rc;
        }
        if (got == 0 || got > size - done) {
            return error_raise(HF_ECORRUPT, "the stream ends in the middle of a snapshot");
        }
        done += got;
    }
    return 0;
}

static int stream_take_section(struct stream_source *from, struct snapshot_section *section)
{
    buffer_clear(&from->section);
    int rc =
        stream_take(from, buffer_extend(&from->section, SNAPSHOT_FORMAT_SECTION_SIZE), SNAPSHOT_FORMAT_SECTION_SIZE);
    rc = rc == 0 ? snapshot_format_get_section(from->section.data, section) : rc;
    if (rc == 0 && section->payload_size > 0) {
        uint8_t *payload = buffer_extend(&from->section, section->payload_size);
        rc = stream_take(from, payload, section->payload_size);
    }
    return rc;
}

/* Sections up to the table; a manifest before the chunks, which received files have, is passed by. */
static int stream_import_chunks(struct stream_import *in, struct stream_source *from, hf_snapshot_watch *watch,
                                void *watch_arg)
{
    for (;;) {
        struct snapshot_section section;
        int rc = stream_take_section(from, &section);
        if (rc != 0) {
            return rc;
        }
        struct hf_bytes bytes = buffer_bytes(&from->section);
        if (section.kind == SNAPSHOT_SECTION_TABLE) {
            return snapshot_format_check_section(bytes, &in->header.id, SNAPSHOT_SECTION_TABLE, 0, &section);
        }
        if (section.kind == SNAPSHOT_SECTION_MANIFEST && in->builder.chunk_count == 0) {
            rc = snapshot_format_check_section(bytes, &in->header.id, SNAPSHOT_SECTION_MANIFEST, 0, &section);
        } else {
            rc = stream_import_chunk(in, bytes);
        }
        if (rc == 0 && watch != NULL) {
            rc = watch(watch_arg, in->application_bytes, 0);
        }
        if (rc != 0) {
            return rc;
        }
    }
}

static int stream_take_end(struct stream_source *from, struct hf_snapshot_id id, struct hf_snapshot_manifest *manifest)
{
    struct snapshot_section section;
    struct snapshot_tail tail;
    uint8_t bytes[SNAPSHOT_FORMAT_TAIL_SIZE];
    int rc = stream_take_section(from, &section);
    if (rc == 0) {
        rc = snapshot_format_check_section(buffer_bytes(&from->section), &id, SNAPSHOT_SECTION_MANIFEST, 0, &section);
    }
    if (rc == 0) {
        rc = hf_snapshot_manifest_decode(
            bytes_of(from->section.data + SNAPSHOT_FORMAT_SECTION_SIZE, section.payload_size), manifest);
    }
    rc = rc == 0 ? stream_take(from, bytes, sizeof(bytes)) : rc;
    rc = rc == 0 ? snapshot_format_get_tail(bytes, &tail) : rc;
    if (rc == 0 && !hf_snapshot_id_equal(tail.id, id)) {
        rc = error_raise(HF_ECORRUPT, "the tail is another snapshot's");
    }
    return rc;
}

int hf_snapshot_import(struct hf_snapshot_store *store, hf_snapshot_source *source, void *source_arg,
                       hf_snapshot_watch *watch, void *watch_arg, struct hf_snapshot_manifest *out)
{
    struct stream_source from = {.source = source, .arg = source_arg};
    struct hf_snapshot_manifest manifest;
    struct snapshot_header header;
    uint8_t bytes[SNAPSHOT_FORMAT_HEADER_SIZE];
    int rc = stream_take(&from, bytes, sizeof(bytes));
    rc = rc == 0 ? snapshot_format_get_header(bytes, &header) : rc;
    if (rc != 0) {
        return error_wrap(rc, "importing a snapshot");
    }
    struct stream_import in;
    rc = stream_import_begin(&in, store, &header);
    rc = rc == 0 ? stream_import_chunks(&in, &from, watch, watch_arg) : rc;
    rc = rc == 0 ? stream_take_end(&from, header.id, &manifest) : rc;
    rc = rc == 0 ? stream_import_end(&in, &manifest) : rc;
    stream_import_close(&in);
    buffer_close(&from.section);
    if (rc == 0 && out != NULL) {
        *out = manifest;
    }
    return rc == 0 ? 0 : error_wrap(rc, "importing a snapshot");
}

/* A file may have its chunks in any order, so it is read by its table. */
static int stream_import_reader(struct hf_snapshot_store *store, struct hf_snapshot_reader *reader,
                                hf_snapshot_watch *watch, void *arg)
{
    const struct hf_snapshot_manifest *manifest = hf_snapshot_reader_manifest(reader);
    struct snapshot_header header = snapshot_manifest_header(manifest);
    struct stream_import in;
    int rc = stream_import_begin(&in, store, &header);
    rc = rc == 0 ? snapshot_store_check_space(store, manifest->stored_bytes) : rc;
    for (uint32_t i = 0; i < manifest->chunk_count && rc == 0; i++) {
        struct hf_bytes raw;
        rc = hf_snapshot_read_raw(reader, i, &raw);
        rc = rc == 0 ? stream_import_chunk(&in, raw) : rc;
        if (rc == 0 && watch != NULL) {
            rc = watch(arg, in.application_bytes, manifest->application_bytes);
        }
    }
    rc = rc == 0 ? stream_import_end(&in, manifest) : rc;
    stream_import_close(&in);
    return rc;
}

int hf_snapshot_import_file(struct hf_snapshot_store *store, const char *path, hf_snapshot_watch *watch, void *arg,
                            struct hf_snapshot_manifest *out)
{
    struct hf_snapshot_reader *reader = NULL;
    int rc = snapshot_reader_open_path(store->kernel_io != NULL ? store->kernel_io : store->io, path, &reader);
    if (rc == 0) {
        rc = stream_import_reader(store, reader, watch, arg);
        if (rc == 0 && out != NULL) {
            *out = *hf_snapshot_reader_manifest(reader);
        }
        hf_snapshot_reader_close(reader);
    }
    return rc == 0 ? 0 : error_wrap(rc, "importing %s", path);
}
