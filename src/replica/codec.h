/* Raft messages as bytes: the payload of FRAME_RAFT, format version 1. All integers little-endian.
 *
 *   offset size  field
 *   0      1     format version, 1
 *   1      1     type, enum raft_message_type (1 … 6)
 *   2      1     version of the message as libraft counts it: at least 2 where a pre-vote could be mistaken
 *   3      1     flags: CODEC_PRE_VOTE, CODEC_DISRUPT_LEADER, CODEC_VOTE_GRANTED; only where the type has them
 *   4      8     term, at least 1
 *   12           the rest by type:
 *
 *   1 append entries         u64 index and u64 term of the entry before (both 0, or neither), u64 leader's commit
 * index, u32 count, then per entry: u64 term, u64 timestamp_ms, u8 enum hf_entry_type, u32 size, payload. Terms never
 * decrease and lie within [term before, term of the message]; entry 1 is a configuration; configurations are in the
 * encoding of replica.h; no-ops are empty. 2 append entries result  u64 rejected index or 0, u64 last log index, u16
 * features, u16 capacity in KiB 3 request vote           u64 candidate, u64 last log index, u64 last log term   (flags:
 * pre-vote, disrupt leader) 4 request vote result    u16 features, u16 capacity in KiB                      (flags:
 * pre-vote, vote granted) 5 install snapshot       u64 last index, u64 last term, u64 configuration's index, u32 size
 * and the configuration, u32 size and the manifest (at most CODEC_MANIFEST_SIZE_MAX) 6 timeout now            u64 last
 * log index, u64 last log term
 *
 * The sender is known from the connection and is not repeated, but a candidate names itself and must be the sender.
 * Whatever breaks these rules is HF_EPROTOCOL. Sizes are checked before anything is allocated. */
#ifndef REPLICA_CODEC_H
#define REPLICA_CODEC_H

#include <raft.h>

#include "base/buffer.h"
#include "holdfast/log.h"

#define CODEC_FORMAT_VERSION    1u
#define CODEC_PRE_VOTE          1u
#define CODEC_DISRUPT_LEADER    2u
#define CODEC_VOTE_GRANTED      4u
#define CODEC_ENTRIES_MAX       8192u /* per message */
#define CODEC_ENTRY_HEAD_SIZE   21u   /* before each payload */
#define CODEC_APPEND_HEAD_SIZE  40u   /* before the entries */
#define CODEC_MANIFEST_SIZE_MAX (64u * 1024u)
#define CODEC_VOTE_VERSION_MIN  2

struct codec_message {
    struct raft_message raft; /* server_id, server_address, entries, conf and data are not set */
    struct hf_entry *entries; /* of append entries: indexes set, payloads lent by what was decoded */
    unsigned entry_count;
    struct hf_bytes configuration; /* of install snapshot, lent */
    struct hf_bytes manifest;      /* the same */
};

/* Every type but install snapshot; `entries` are written for append entries, and raft's own n_entries is ignored. */
void codec_encode(const struct raft_message *raft, const struct hf_entry *entries, unsigned entry_count,
                  struct buffer *out);
void codec_encode_install_snapshot(const struct raft_install_snapshot *raft, struct hf_bytes configuration,
                                   struct hf_bytes manifest, struct buffer *out);
/* HF_EPROTOCOL. On success the caller closes the message; the payload must live as long. */
int codec_decode(struct hf_bytes payload, struct codec_message *out);
void codec_message_close(struct codec_message *message);

const char *codec_type_name(enum raft_message_type type);

#endif
