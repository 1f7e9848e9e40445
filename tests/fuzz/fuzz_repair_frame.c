/* links: node */
/* Questions for lost entries and the answers, from a peer that lies: what decodes is encoded to the same bytes again,
 * and lies within the limits; everything else is an error. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "node/repair_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hf_entry entries[REPAIR_FRAME_ENTRIES_MAX];
    struct hf_bytes input = bytes_of(data, size);
    struct repair_request request;
    struct repair_answer answer;
    struct buffer again = {0};
    if (repair_frame_decode_request(input, &request) == 0) {
        assert(request.last > 0 && request.first <= request.last);
        repair_frame_encode_request(&request, &again);
        assert(bytes_equal(buffer_bytes(&again), input));
    }
    buffer_clear(&again);
    if (repair_frame_decode_answer(input, &answer) == 0) {
        struct cursor cursor = cursor_of(answer.entries);
        assert(answer.count <= REPAIR_FRAME_ENTRIES_MAX);
        for (uint32_t i = 0; i < answer.count; i++) {
            repair_frame_next_entry(&cursor, &entries[i]);
            assert(!cursor.failed);
        }
        repair_frame_encode_answer(&answer, entries, &again);
        assert(bytes_equal(buffer_bytes(&again), input));
        request = (struct repair_request){.term = answer.term, .first = answer.first, .last = UINT64_MAX};
        if (repair_frame_accept(&request, &answer) == 0) {
            assert(answer.result == 0 && answer.first + (answer.count - 1) <= answer.commit);
        }
    }
    buffer_close(&again);
    return 0;
}
