/* Commands on their way to the node that leads their group, and the answers on their way back. One message carries what
 * a node gathered for one group in a turn. All integers little-endian.
 *
 *   FRAME_FORWARD                                   FRAME_FORWARD_REPLY
 *   offset size                                     offset size
 *   0      1     version = 1                        0      1     version = 1
 *   1      3     zero                               1      3     zero
 *   4      4     number of requests, ≥ 1            4      4     number of answers, ≥ 1
 *   8      …     requests, one after another        8      …     answers, one after another
 *     0    8       request id, ≥ 1                    0    8       request id
 *     8    1       kind: enum forward_kind            8    4       result: 0, or an HF_E… code as two's complement
 *     9    3       zero                               12   8       index: of the entry, or the read index; 0 unknown
 *     12   4       size                               20   4       size
 *     16   size    command; empty for an index,       24   size    reply; with an error its text
 *                  8 bytes for a transfer
 *
 * A request id is unique within the sender's process and group. An answer counts only on the connection on which its
 * request came: the receiver drops it otherwise.
 *
 * Valid: known version and kinds, zeros are zero, sizes within their limits, nothing left over. Anything else is
 * HF_EPROTOCOL and the whole message is ignored. Thread: any. */
#ifndef NODE_FORWARD_H
#define NODE_FORWARD_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/bytes.h"

#define FORWARD_VERSION           1u
#define FORWARD_HEADER_SIZE       8u
#define FORWARD_REQUEST_SIZE      16u /* without the command */
#define FORWARD_ANSWER_SIZE       24u /* without the reply */
#define FORWARD_TRANSFER_SIZE     8u  /* the command of a transfer */
#define FORWARD_REPLY_SIZE_MAX    (130u << 20)
#define FORWARD_BATCH_SIZE_TARGET (1u << 20) /* a message is closed once it is this big */

/* Numbers are on the wire: never reuse one. */
enum forward_kind {
    FORWARD_PROPOSE = 1,
    FORWARD_READ = 2,    /* linearizable */
    FORWARD_INDEX = 3,   /* the read index, for a barrier on the sender */
    FORWARD_TRANSFER = 4 /* of leadership; the command is the id of the node that shall lead, u64, 0: any */
};

struct forward_request {
    uint64_t id;
    enum forward_kind kind;
    struct hf_bytes command; /* lent from the message */
};

struct forward_answer {
    uint64_t id;
    int result;
    uint64_t index;
    struct hf_bytes reply; /* lent from the message */
};

/* Messages are built by appending to an empty buffer; the first append makes the header, each one counts. */
void forward_append_request(struct buffer *message, const struct forward_request *request);
void forward_append_answer(struct buffer *message, const struct forward_answer *answer);

/* Checks a whole message and leaves the cursor in front of its first request or answer. */
int forward_open_requests(struct hf_bytes message, struct cursor *cursor);
int forward_open_answers(struct hf_bytes message, struct cursor *cursor);
/* The next one of a message that was checked; returns 0 at the end. */
int forward_next_request(struct cursor *cursor, struct forward_request *out);
int forward_next_answer(struct cursor *cursor, struct forward_answer *out);

#endif
