/* links: node */
/* The state of a system group, as a snapshot of another node brings it, with checksums that are right at every level so
 * that what lies behind them is reached: what decodes is encoded to the same bytes again, and every address in it is
 * one; everything else is an error. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "node/system_state.h"

/* State, description and members have the same head: magic 8, version 4, size 4, CRC 4. */
static void seal(uint8_t *bytes, size_t size)
{
    if (size >= 20) {
        bytes_put_u32(bytes + 12, (uint32_t)(size - 20));
        uint32_t crc = checksum_crc32c(0, bytes, 16);
        bytes_put_u32(bytes + 16, checksum_crc32c(crc, bytes + 20, size - 20));
    }
}

static void check(struct hf_bytes bytes)
{
    struct hf_bytes description;
    struct membership membership;
    struct buffer again = {0};
    if (system_state_decode(bytes, &description, &membership) != 0) {
        return;
    }
    for (uint32_t i = 0; i < membership.count; i++) {
        const struct membership_member *member = &membership.members[i];
        assert(member->node.id > 0 && member->node.id < membership.next_id);
        assert(membership_find(&membership, member->node.id) == member);
    }
    system_state_encode(description, &membership, &again);
    assert(bytes_equal(buffer_bytes(&again), bytes));
    buffer_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer copy = {0};
    check(bytes_of(data, size));
    if (size < 20) {
        return 0;
    }
    buffer_append(&copy, data, size);
    struct cursor cursor = cursor_of(bytes_of(copy.data + 20, size - 20));
    for (unsigned part = 0; part < 2; part++) {
        struct hf_bytes inside = cursor_sized(&cursor, UINT32_MAX);
        if (!cursor.failed) {
            seal(copy.data + ((const uint8_t *)inside.data - copy.data), inside.size);
        }
    }
    seal(copy.data, copy.size);
    check(buffer_bytes(&copy));
    buffer_close(&copy);
    return 0;
}
