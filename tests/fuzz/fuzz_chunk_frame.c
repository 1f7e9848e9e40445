/* links: node */
/* Questions for chunks of snapshots and the answers, from a peer that lies: what decodes is encoded to the same bytes
 * again, and lies within the limits; what it says a chunk is, a receiver takes or refuses without harm. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "io/io.h"
#include "node/chunk_frame.h"
#include "snapshot/snapshot.h"
#include "snapshot/snapshot_format.h"

/* Two chunks of this snapshot are missing. */
static void offer(struct hf_bytes raw)
{
    static struct io *io;
    struct hf_snapshot_store *store = NULL;
    struct hf_snapshot_receiver *receiver = NULL;
    struct hf_snapshot_progress progress;
    struct hf_snapshot_manifest manifest = {.group = 1,
                                            .group_incarnation = 1,
                                            .index = 9,
                                            .term = 1,
                                            .configuration_index = 1,
                                            .entries = 1,
                                            .application_bytes = 70000,
                                            .stored_bytes = 70000,
                                            .chunk_count = 2,
                                            .chunk_size_bytes = HF_SNAPSHOT_CHUNK_SIZE_MIN,
                                            .compression = HF_SNAPSHOT_LZ4};
    memset(manifest.id.bytes, 7, sizeof(manifest.id.bytes));
    if (io == NULL && io_open_kernel(IO_BACKEND_THREADS, &io) != 0) {
        abort();
    }
    if (snapshot_open_memory(io, &(struct hf_snapshot_options){0}, &store) != 0 ||
        hf_snapshot_receive(store, &manifest, &receiver) != 0) {
        abort();
    }
    int rc = hf_snapshot_put(receiver, raw);
    hf_snapshot_receiver_progress(receiver, &progress);
    assert(progress.chunks == (rc == 0) && progress.stored_bytes <= raw.size);
    hf_snapshot_receiver_cancel(receiver);
    hf_snapshot_store_close(store);
}

/* The same with a checksum that is right: what it covers is looked at only then. */
static void offer_sealed(struct hf_bytes raw)
{
    struct hf_snapshot_id id;
    struct snapshot_section section;
    memset(id.bytes, 7, sizeof(id.bytes));
    if (raw.size < SNAPSHOT_FORMAT_SECTION_SIZE || snapshot_format_get_section(raw.data, &section) != 0 ||
        section.payload_size != raw.size - SNAPSHOT_FORMAT_SECTION_SIZE) {
        return;
    }
    uint8_t *copy = memory_new(raw.size);
    memcpy(copy, raw.data, raw.size);
    snapshot_format_seal_section(copy, &section, &id);
    offer(bytes_of(copy, raw.size));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_bytes input = bytes_of(data, size);
    struct chunk_frame frame;
    struct buffer again = {0};
    if (chunk_frame_decode_fetch(input, &frame) == 0) {
        chunk_frame_encode_fetch(&frame, &again);
        assert(bytes_equal(buffer_bytes(&again), input));
    }
    buffer_clear(&again);
    if (chunk_frame_decode_chunk(input, &frame) == 0) {
        assert(frame.bytes.size <= HF_SNAPSHOT_RAW_SIZE_MAX);
        chunk_frame_encode_chunk(&frame, &again);
        assert(bytes_equal(buffer_bytes(&again), input));
        offer(frame.bytes);
        offer_sealed(frame.bytes);
    }
    buffer_close(&again);
    return 0;
}
