/* Reading a snapshot: in sequence, by range, and as stored. */
#include "snapshot/snapshot_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "snapshot/snapshot_codec.h"
#include "snapshot/snapshot_digest.h"

#define READER_NO_CHUNK UINT32_MAX

struct hf_snapshot_reader {
    struct hf_snapshot_store *store; /* NULL: a file of its own */
    struct io *kernel_io;            /* owned: of hf_snapshot_reader_open_file */
    struct snapshot_file file;
    struct snapshot_codec *codec;
    uint8_t *raw;         /* one stored chunk */
    uint8_t *application; /* one chunk decompressed */
    /* The sequence. Its chunk is kept apart from that of hf_snapshot_read_at, so that they may be mixed. */
    struct snapshot_digest *digest;
    uint32_t next;
    bool digest_checked;
    uint8_t *sequence; /* what is left of the chunk that hf_snapshot_read copies from; allocated when needed */
    size_t sequence_size;
    size_t sequence_taken;
    uint32_t ranged; /* the chunk in `application`, or READER_NO_CHUNK */
};

static int reader_open(struct snapshot_file *file, struct hf_snapshot_reader **out)
{
    struct hf_snapshot_reader *reader = memory_new(sizeof(*reader));
    reader->file = *file;
    *file = (struct snapshot_file){0};
    reader->codec = snapshot_codec_open(HF_SNAPSHOT_NONE, 0);
    reader->raw = memory_new(snapshot_file_raw_size_max(&reader->file.manifest));
    reader->application = memory_new(reader->file.manifest.chunk_size_bytes);
    reader->ranged = READER_NO_CHUNK;
    *out = reader;
    return snapshot_digest_open(&reader->digest);
}

int snapshot_reader_adopt(struct snapshot_file *file, struct hf_snapshot_reader **out)
{
    int rc = reader_open(file, out);
    if (rc != 0) {
        hf_snapshot_reader_close(*out);
        *out = NULL;
    }
    return rc;
}

int hf_snapshot_reader_open(struct hf_snapshot_store *store, struct hf_snapshot_id id, struct hf_snapshot_reader **out)
{
    struct snapshot_file file;
    *out = NULL;
    int rc = snapshot_store_open_file(store, id, &file);
    if (rc != 0) {
        return rc;
    }
    rc = reader_open(&file, out);
    (*out)->store = store;
    if (rc != 0) {
        hf_snapshot_reader_close(*out);
        *out = NULL;
    }
    return rc;
}

int snapshot_reader_open_path(struct io *io, const char *path, struct hf_snapshot_reader **out)
{
    struct snapshot_file file;
    *out = NULL;
    int rc = snapshot_file_open(&file, io, path);
    if (rc == 0) {
        rc = snapshot_file_load_table(&file);
        rc = rc != 0 ? error_wrap(rc, "%s", path) : snapshot_reader_adopt(&file, out);
    }
    snapshot_file_close(&file);
    return rc;
}

int hf_snapshot_reader_open_file(const char *path, struct hf_snapshot_reader **out)
{
    struct io *io = NULL;
    *out = NULL;
    int rc = io_open_kernel(IO_BACKEND_AUTO, &io);
    if (rc == 0) {
        rc = snapshot_reader_open_path(io, path, out);
    }
    if (rc != 0) {
        io_close(io);
        return rc;
    }
    (*out)->kernel_io = io;
    return 0;
}

void hf_snapshot_reader_close(struct hf_snapshot_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->store != NULL) {
        snapshot_store_close_file(reader->store, &reader->file);
    }
    snapshot_file_close(&reader->file);
    io_close(reader->kernel_io);
    snapshot_codec_close(reader->codec);
    snapshot_digest_close(reader->digest);
    free(reader->raw);
    free(reader->application);
    free(reader->sequence);
    free(reader);
}

const struct hf_snapshot_manifest *hf_snapshot_reader_manifest(const struct hf_snapshot_reader *reader)
{
    return &reader->file.manifest;
}

/* Damage becomes known to the store and to the operator; other errors may pass. */
static int reader_judge(struct hf_snapshot_reader *reader, int rc)
{
    if (rc != 0) {
        char id[HF_SNAPSHOT_ID_TEXT_SIZE];
        hf_snapshot_id_format(reader->file.manifest.id, id);
        rc = error_wrap(rc, "snapshot %s", id);
    }
    if (rc == HF_ECORRUPT && reader->store != NULL) {
        snapshot_store_mark_damaged(reader->store, reader->file.manifest.id);
    }
    return rc;
}

/* Lends the application bytes of a chunk: from `raw` when it is stored plain, else from `application`. */
static int reader_load(struct hf_snapshot_reader *reader, uint32_t number, struct hf_bytes *out)
{
    struct snapshot_section section;
    struct hf_bytes raw;
    reader->ranged = READER_NO_CHUNK;
    int rc = snapshot_file_read_chunk(&reader->file, number, reader->raw, &raw, &section);
    if (rc != 0) {
        return rc;
    }
    struct hf_bytes payload = bytes_of(reader->raw + SNAPSHOT_FORMAT_SECTION_SIZE, section.payload_size);
    if (section.compression == HF_SNAPSHOT_NONE) {
        *out = payload;
        return 0;
    }
    rc = snapshot_codec_unpack(reader->codec, section.compression, payload, reader->application,
                               section.application_size);
    if (rc != 0) {
        return error_wrap(rc, "chunk %" PRIu32, number);
    }
    *out = bytes_of(reader->application, section.application_size);
    return 0;
}

static int reader_check_digest(struct hf_snapshot_reader *reader)
{
    uint8_t digest[16];
    if (reader->digest_checked) {
        return 0;
    }
    snapshot_digest_get(reader->digest, digest);
    if (memcmp(digest, reader->file.manifest.digest, sizeof(digest)) != 0 && !MUTATED(SNAPSHOT_DIGEST_UNCHECKED)) {
        return error_raise(HF_ECORRUPT, "the digest of the whole is wrong");
    }
    reader->digest_checked = true;
    return 0;
}

int hf_snapshot_read_next(struct hf_snapshot_reader *reader, struct hf_bytes *out)
{
    *out = bytes_of("", 0);
    if (reader->sequence_taken < reader->sequence_size) { /* hf_snapshot_read left something of its chunk */
        *out = bytes_of(reader->sequence + reader->sequence_taken, reader->sequence_size - reader->sequence_taken);
        reader->sequence_taken = reader->sequence_size;
        return 0;
    }
    if (reader->next == reader->file.manifest.chunk_count) {
        return reader_judge(reader, reader_check_digest(reader));
    }
    int rc = reader_load(reader, reader->next, out);
    if (rc != 0) {
        *out = bytes_of("", 0);
        return reader_judge(reader, rc);
    }
    snapshot_digest_update(reader->digest, out->data, out->size);
    reader->next++;
    return 0;
}

int hf_snapshot_read(struct hf_snapshot_reader *reader, void *target, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        struct hf_bytes chunk;
        int rc = hf_snapshot_read_next(reader, &chunk);
        if (rc != 0) {
            return rc;
        }
        if (chunk.size == 0) {
            break;
        }
        size_t piece = size - *got < chunk.size ? size - *got : chunk.size;
        memcpy((uint8_t *)target + *got, chunk.data, piece);
        *got += piece;
        if (piece < chunk.size) {
            if (reader->sequence == NULL) {
                reader->sequence = memory_new(reader->file.manifest.chunk_size_bytes);
            }
            size_t left = chunk.size - piece;
            memmove(reader->sequence, (const uint8_t *)chunk.data + piece, left);
            reader->sequence_size = left;
            reader->sequence_taken = 0;
        }
    }
    return 0;
}

void hf_snapshot_rewind(struct hf_snapshot_reader *reader)
{
    reader->next = 0;
    reader->sequence_size = 0;
    reader->sequence_taken = 0;
    reader->digest_checked = false;
    snapshot_digest_reset(reader->digest);
}

/* Lends a chunk's application bytes; the one that was asked for last is still there. */
static int reader_load_ranged(struct hf_snapshot_reader *reader, uint32_t number, struct hf_bytes *out)
{
    uint32_t size = snapshot_manifest_chunk_bytes(&reader->file.manifest, number);
    if (reader->ranged != number) {
        int rc = reader_load(reader, number, out);
        if (rc != 0) {
            return rc;
        }
        if (out->data != reader->application) {
            memcpy(reader->application, out->data, out->size);
        }
        reader->ranged = number;
    }
    *out = bytes_of(reader->application, size);
    return 0;
}

int hf_snapshot_read_at(struct hf_snapshot_reader *reader, uint64_t offset, void *target, size_t size, size_t *got)
{
    const struct hf_snapshot_manifest *manifest = &reader->file.manifest;
    *got = 0;
    while (*got < size && offset < manifest->application_bytes) {
        uint32_t number = (uint32_t)(offset / manifest->chunk_size_bytes);
        size_t skip = (size_t)(offset % manifest->chunk_size_bytes);
        struct hf_bytes chunk;
        int rc = reader_load_ranged(reader, number, &chunk);
        if (rc != 0) {
            return reader_judge(reader, rc);
        }
        size_t piece = chunk.size - skip;
        piece = piece < size - *got ? piece : size - *got;
        memcpy((uint8_t *)target + *got, (const uint8_t *)chunk.data + skip, piece);
        *got += piece;
        offset += piece;
    }
    return 0;
}

int hf_snapshot_read_raw(struct hf_snapshot_reader *reader, uint32_t number, struct hf_bytes *out)
{
    struct snapshot_section section;
    if (number >= reader->file.manifest.chunk_count) {
        return error_raise(HF_EINVALID, "chunk %" PRIu32 " of %" PRIu32, number, reader->file.manifest.chunk_count);
    }
    return reader_judge(reader, snapshot_file_read_chunk(&reader->file, number, reader->raw, out, &section));
}

int snapshot_reader_verify(struct hf_snapshot_reader *reader, hf_snapshot_watch *watch, void *arg)
{
    uint64_t done = 0;
    struct hf_bytes chunk;
    int rc;
    hf_snapshot_rewind(reader);
    do {
        rc = hf_snapshot_read_next(reader, &chunk);
        done += chunk.size;
        if (rc == 0 && watch != NULL) {
            rc = watch(arg, done, reader->file.manifest.application_bytes);
        }
    } while (rc == 0 && chunk.size > 0);
    return rc;
}
