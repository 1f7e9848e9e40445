/* Questions for entries that damage took, and the answers. All integers little-endian; the group stands in the frame.
 *
 *   FRAME_REPAIR_REQUEST, 32 bytes                 FRAME_REPAIR_ANSWER, 48 bytes and the entries
 *   0      4     version = 1                       0      4     version = 1
 *   4      4     zero                              4      4     result: 0, or an HF_E… code as two's complement
 *   8      8     term of the group at who asks     8      8     term in which the answering node leads; 0: it does not
 *   16     8     first index; 0: see below         16     8     its commit index
 *   24     8     last index                        24     8     first index of the question
 *                                                  32     8     who leads, as far as it knows; 0: unknown
 *                                                  40     4     entries that follow; 0 with an error
 *                                                  44     4     zero
 *                                                  48     …     per entry, from the first index on, without gaps:
 *                                                               term u64, timestamp u64, type u32, size u32, payload
 *
 * First index 0 asks for the state before the first entry: whoever asks has its log, and no snapshot. The answer is
 * never 0; HF_ECOMPACTED is, as below, the promise of a snapshot that reaches to the last index.
 *
 * Results: HF_ENOTLEADER; HF_EBUSY: it leads, and does not know yet what is committed; HF_ECOMPACTED: its log begins
 * behind the first index, only a snapshot helps, which is offered once it reaches to the last index; HF_ECORRUPT,
 * HF_EIO: it cannot read the entries either, or its own log of the group is damaged somewhere. Valid: known version,
 * zeros are zero, a range that runs forward, at most REPAIR_FRAME_ENTRIES_MAX entries, of types and sizes that the log
 * takes; anything else is HF_EPROTOCOL. Thread: any. */
#ifndef NODE_REPAIR_FRAME_H
#define NODE_REPAIR_FRAME_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "holdfast/log.h"

#define REPAIR_FRAME_VERSION       1u
#define REPAIR_FRAME_REQUEST_SIZE  32u
#define REPAIR_FRAME_HEAD_SIZE     48u
#define REPAIR_FRAME_ENTRY_SIZE    24u        /* before the payload */
#define REPAIR_FRAME_ENTRIES_MAX   4096u      /* of one answer */
#define REPAIR_FRAME_PAYLOAD_BYTES (1u << 20) /* of all its entries, unless one alone is larger */

struct repair_request {
    uint64_t term;
    uint64_t first;
    uint64_t last;
};
struct repair_answer {
    int result;
    uint64_t term;
    uint64_t commit;
    uint64_t first;
    uint64_t leader;
    uint32_t count;
    struct hf_bytes entries; /* encoded; lent */
};

void repair_frame_encode_request(const struct repair_request *request, struct buffer *out);
int repair_frame_decode_request(struct hf_bytes payload, struct repair_request *out);
/* entries: answer->count of them; answer->entries is not looked at. */
void repair_frame_encode_answer(const struct repair_answer *answer, const struct hf_entry *entries, struct buffer *out);
/* Checks all of it, the entries too. */
int repair_frame_decode_answer(struct hf_bytes payload, struct repair_answer *out);
/* The next entry of a checked answer; *cursor starts as cursor_of(answer->entries). Its index is the caller's to set.
 */
void repair_frame_next_entry(struct cursor *cursor, struct hf_entry *out);

/* Whether what this answer to the request brings may be written: it comes from a leader of this term or a later one,
 * and nothing of it is beyond what is committed there. Otherwise why not: HF_ENOTLEADER, HF_ECONFLICT, HF_EPROTOCOL, or
 * the answer's own result. */
int repair_frame_accept(const struct repair_request *request, const struct repair_answer *answer);

#endif
