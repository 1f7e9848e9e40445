/* links: snapshot */
/* Whatever a snapshot's file, a manifest or a chunk holds: no crash, no read past its end, no memory without bound, and
 * nothing is handed out that does not fit the manifest.
 *
 * The first byte of the input chooses. Bits 0 and 1: 0, a manifest; 1, a compressed payload; 2, a file that is read by
 * a reader; 3, a stream that is imported. Bit 2: checksums stay as they are; otherwise they are repaired, so that the
 * fuzzer gets behind them. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/trace.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_codec.h"
#include "snapshot/snapshot_format.h"
#include "snapshot/snapshot_manifest.h"
#include "snapshot/snapshot_memory.h"

#define SIZE_LIMIT   (1u << 20)
#define UNPACKED_MAX (64u << 10)

static void repair_manifest(uint8_t *bytes, size_t size)
{
    if (size >= SNAPSHOT_MANIFEST_HEAD_SIZE && size <= HF_SNAPSHOT_MANIFEST_SIZE_MAX) {
        memcpy(bytes, "HFSM", 4);
        bytes_put_u32(bytes + 4, checksum_crc32c(0, bytes + 8, size - 8));
    }
}

static void try_manifest(uint8_t *bytes, size_t size)
{
    struct hf_snapshot_manifest manifest;
    uint8_t again[HF_SNAPSHOT_MANIFEST_SIZE_MAX];
    int rc = hf_snapshot_manifest_decode(bytes_of(bytes, size), &manifest);
    assert(rc == 0 || rc == HF_ECORRUPT || rc == HF_EVERSION);
    if (rc == 0) {
        assert(snapshot_manifest_check(&manifest) == 0);
        assert(hf_snapshot_manifest_encode(&manifest, again) == size && memcmp(again, bytes, size) == 0);
        for (uint32_t i = 0; i < manifest.chunk_count && i < 3; i++) {
            uint32_t last = manifest.chunk_count - 1 - i;
            assert(snapshot_manifest_chunk_bytes(&manifest, i) <= manifest.chunk_size_bytes);
            assert(snapshot_manifest_chunk_bytes(&manifest, last) >= 1);
        }
    }
}

static void try_payload(const uint8_t *bytes, size_t size)
{
    if (size < 4) {
        return;
    }
    enum hf_snapshot_compression compression = (enum hf_snapshot_compression)(bytes[0] % 6);
    uint32_t unpacked = (bytes[1] | (uint32_t)bytes[2] << 8) % UNPACKED_MAX;
    uint8_t *target = memory_new(unpacked);
    struct snapshot_codec *codec = snapshot_codec_open(HF_SNAPSHOT_NONE, 0);
    for (int i = 0; i < 2; i++) { /* the second time with the state of the first */
        int rc = snapshot_codec_unpack(codec, compression, bytes_of(bytes + 3, size - 3), target, unpacked);
        assert(rc == 0 || rc == HF_ECORRUPT || rc == HF_ENOMEM || rc == HF_EIO);
    }
    snapshot_codec_close(codec);
    free(target);
}

/* Gives a file right checksums everywhere, as far as its sections can be followed. */
static void repair_file(uint8_t *bytes, size_t size)
{
    struct hf_snapshot_id id;
    if (size < SNAPSHOT_FORMAT_HEADER_SIZE + SNAPSHOT_FORMAT_TAIL_SIZE) {
        return;
    }
    memcpy(bytes, "HFSNAPSH", 8);
    memcpy(id.bytes, bytes + 16, sizeof(id.bytes));
    bytes_put_u32(bytes + 12, SNAPSHOT_FORMAT_VERSION);
    bytes_put_u32(bytes + 8, checksum_crc32c(0, bytes + 12, SNAPSHOT_FORMAT_HEADER_SIZE - 12));
    size_t end = size - SNAPSHOT_FORMAT_TAIL_SIZE;
    for (size_t at = SNAPSHOT_FORMAT_HEADER_SIZE; end - at >= SNAPSHOT_FORMAT_SECTION_SIZE;) {
        struct snapshot_section section;
        if (snapshot_format_get_section(bytes + at, &section) != 0 ||
            section.payload_size > end - at - SNAPSHOT_FORMAT_SECTION_SIZE) {
            break;
        }
        if (section.kind == SNAPSHOT_SECTION_MANIFEST) {
            repair_manifest(bytes + at + SNAPSHOT_FORMAT_SECTION_SIZE, section.payload_size);
        }
        snapshot_format_seal_section(bytes + at, &section, &id);
        at += SNAPSHOT_FORMAT_SECTION_SIZE + section.payload_size;
    }
    memcpy(bytes + end, "HFSNAPND", 8);
    memcpy(bytes + end + 16, id.bytes, sizeof(id.bytes));
    bytes_put_u32(bytes + end + 12, SNAPSHOT_FORMAT_VERSION);
    bytes_put_u32(bytes + end + 8, checksum_crc32c(0, bytes + end + 12, SNAPSHOT_FORMAT_TAIL_SIZE - 12));
}

static struct io *kernel_io(void)
{
    static struct io *io;
    if (io == NULL) {
        int rc = io_open_kernel(IO_BACKEND_THREADS, &io);
        assert(rc == 0);
        (void)rc;
    }
    return io;
}

static void try_file(const uint8_t *bytes, size_t size)
{
    struct io *memory = snapshot_memory_open(kernel_io());
    struct hf_snapshot_reader *reader = NULL;
    struct file *file = NULL;
    int rc = file_open(memory, "file", FILE_WRITE | FILE_CREATE, &file);
    assert(rc == 0);
    rc = file_write(file, 0, bytes, size);
    assert(rc == 0);
    file_close(file);
    if (snapshot_reader_open_path(memory, "file", &reader) == 0) {
        const struct hf_snapshot_manifest *manifest = hf_snapshot_reader_manifest(reader);
        struct hf_bytes chunk;
        uint64_t total = 0;
        uint8_t piece[100];
        size_t got;
        do {
            rc = hf_snapshot_read_next(reader, &chunk);
            assert(rc != 0 || chunk.size <= manifest->chunk_size_bytes);
            total += chunk.size;
        } while (rc == 0 && chunk.size > 0);
        assert(rc != 0 || total == manifest->application_bytes);
        (void)hf_snapshot_read_at(reader, manifest->application_bytes / 2, piece, sizeof(piece), &got);
        (void)hf_snapshot_read_raw(reader, manifest->chunk_count, &chunk);
    }
    hf_snapshot_reader_close(reader);
    io_close(memory);
}

struct stream {
    const uint8_t *bytes;
    size_t left;
};

static int stream_source(void *arg, void *target, size_t size, size_t *got)
{
    struct stream *stream = arg;
    *got = size < stream->left ? size : stream->left;
    memcpy(target, stream->bytes, *got);
    stream->bytes += *got;
    stream->left -= *got;
    return 0;
}

static void ignore_event(void *arg, const struct hf_snapshot_event *event)
{
    (void)arg, (void)event;
}

static void try_import(const uint8_t *bytes, size_t size)
{
    const struct hf_snapshot_options options = {.report = ignore_event};
    struct hf_snapshot_store *store = NULL;
    struct hf_snapshot_manifest manifest;
    struct hf_snapshot_info *list = NULL;
    size_t count = 0;
    struct stream stream = {bytes, size};
    int rc = snapshot_open_memory(kernel_io(), &options, &store);
    assert(rc == 0);
    rc = hf_snapshot_import(store, stream_source, &stream, NULL, NULL, &manifest);
    if (rc == 0) { /* what was taken is good for ever */
        assert(hf_snapshot_verify(store, manifest.id, NULL, NULL) == 0);
    }
    hf_snapshot_list(store, 0, &list, &count);
    assert(count == (rc == 0 ? 1u : 0u));
    hf_snapshot_list_free(list);
    hf_snapshot_store_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > SIZE_LIMIT) {
        return 0;
    }
    uint8_t choice = data[0];
    bool repairs = (choice & 4) == 0;
    uint8_t *bytes = memory_new(size - 1);
    size--;
    memcpy(bytes, data + 1, size);
    switch (choice & 3) {
    case 0:
        if (repairs) {
            repair_manifest(bytes, size);
        }
        try_manifest(bytes, size);
        break;
    case 1:
        try_payload(bytes, size);
        break;
    default:
        if (repairs) {
            repair_file(bytes, size);
        }
        if ((choice & 3) == 2) {
            try_file(bytes, size);
        } else {
            try_import(bytes, size);
        }
        break;
    }
    free(bytes);
    return 0;
}
