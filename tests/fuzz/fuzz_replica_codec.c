/* links: replica */
/* Whatever arrives as a raft message (HAZARDS row 20): it is refused, or it decodes to something that encodes to the
 * same bytes again; no read past its end, and no memory beyond a small multiple of what arrived. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "replica/codec.h"
#include "replica/replica.h"

static void check_message(const struct codec_message *message, struct hf_bytes payload)
{
    /* 48 bytes for each entry, which took at least 21. */
    assert((uint64_t)message->entry_count * CODEC_ENTRY_HEAD_SIZE <= payload.size);
    struct buffer again = {0};
    if (message->raft.type == RAFT_INSTALL_SNAPSHOT) {
        codec_encode_install_snapshot(&message->raft.install_snapshot, message->configuration, message->manifest,
                                      &again);
    } else {
        codec_encode(&message->raft, message->entries, message->entry_count, &again);
    }
    assert(again.size == payload.size);
    assert(memcmp(again.data, payload.data, again.size) == 0);
    buffer_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct codec_message message;
    if (codec_decode(bytes_of(data, size), &message) == 0) {
        check_message(&message, bytes_of(data, size));
        codec_message_close(&message);
    }
    struct replica_member members[REPLICA_MEMBERS_MAX];
    unsigned count;
    if (replica_configuration_decode(bytes_of(data, size), members, &count) == 0) {
        struct buffer again = {0};
        replica_configuration_encode(members, count, &again);
        assert(again.size == size && memcmp(again.data, data, size) == 0);
        buffer_close(&again);
    }
    return 0;
}
