/* The state of the system group as its snapshots hold it (behind the head of node/group_stream.h): everything that its
 * entries up to the snapshot made, the same bytes on every replica. Little-endian, version 1:
 *
 *   0   8  magic "HFSYSTEM"
 *   8   4  version = 1
 *   12  4  size of everything after offset 20
 *   16  4  CRC-32C of bytes 0 … 16 and 20 … end
 *   20  …  sized (u32 length): the cluster description that was agreed on (node/description.h); empty: none yet
 *       …  sized: the members (node/membership.h)
 *
 * Valid: what is drawn and nothing behind it, and both parts as their headers say, of one cluster. Trusts nothing.
 *
 * Thread: any. */
#ifndef NODE_SYSTEM_STATE_H
#define NODE_SYSTEM_STATE_H

#include "node/membership.h"

#define SYSTEM_STATE_MAGIC    "HFSYSTEM"
#define SYSTEM_STATE_VERSION  1u
#define SYSTEM_STATE_SIZE_MAX (28u + DESCRIPTION_SIZE_MAX + MEMBERSHIP_SIZE_MAX)

/* description: its encoding, or empty. */
void system_state_encode(struct hf_bytes description, const struct membership *membership, struct buffer *out);
/* *description is lent from bytes. HF_ECORRUPT, HF_EVERSION. */
int system_state_decode(struct hf_bytes bytes, struct hf_bytes *description, struct membership *membership);

#endif
