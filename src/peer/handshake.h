/* The handshake between two nodes, version 1. All integers little-endian.
 *
 *   dialer                              listener
 *     HELLO {its identity, to}    ──▶
 *                                 ◀──   HELLO {its identity, to}   or REFUSED, then closes
 *     KEEPALIVE, is up            ──▶   is up
 *     or REFUSED, then closes
 *
 * The KEEPALIVE confirms that the dialer accepted the listener: only then does the listener let the new connection
 * replace an older one.
 *
 * HELLO (FRAME_HELLO, group 0, HANDSHAKE_HELLO_SIZE bytes):
 *   offset size  field
 *   0      4     magic             "HFPH"
 *   4      4     protocol_version  the rest is read only when it is PEER_PROTOCOL_VERSION
 *   8      16    cluster_id
 *   24     8     node_id           the sender's
 *   32     8     node_incarnation  the sender's
 *   40     8     routing_version
 *   48     8     to_node_id        whom the sender means to talk to
 *
 * REFUSED (FRAME_REFUSED, group 0): code u32 (a negative HF_E code in two's complement), text_size u32, at most
 * HANDSHAKE_TEXT_SIZE_MAX, text. Both sides keep the reason. */
#ifndef PEER_HANDSHAKE_H
#define PEER_HANDSHAKE_H

#include "base/buffer.h"
#include "peer/peer.h"

#define HANDSHAKE_MAGIC            0x48504648u /* "HFPH" */
#define HANDSHAKE_HELLO_SIZE       56u
#define HANDSHAKE_TEXT_SIZE_MAX    200u
#define HANDSHAKE_PAYLOAD_SIZE_MAX 512u /* of any frame before the connection is up */

struct handshake {
    struct peer_identity identity;
    uint64_t to_node_id;
};

/* Append whole frames. */
void handshake_append_hello(struct buffer *out, const struct peer_identity *identity, uint64_t to_node_id);
void handshake_append_refused(struct buffer *out, int code, const char *text);
void handshake_append_keepalive(struct buffer *out);

/* HF_EVERSION: another protocol version, nothing else was read. HF_EPROTOCOL: not a hello. */
int handshake_decode_hello(struct hf_bytes payload, struct handshake *out);
/* Always returns an error: the one that the other side named, with its text (printable ASCII only), or HF_EPROTOCOL. */
int handshake_decode_refused(struct hf_bytes payload);

/* Do the two belong together? 0; HF_EMISMATCH: another cluster or another routing, or the remote means somebody else.
 */
int handshake_check(const struct peer_identity *own, const struct handshake *remote);

#endif
