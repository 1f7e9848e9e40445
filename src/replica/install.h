/* Snapshots on their way in and out of the engine. The contents travel elsewhere; here is what consensus must know.
 *
 * Out: the engine asks for an InstallSnapshot when a member is below its trail. What the log still has goes out as
 * entries; otherwise the owner is asked for a snapshot (snapshot_wanted) and answers with install_send.
 *
 * In: an InstallSnapshot is kept from the engine, which would empty its trail, refuse votes and never give up
 * (LIBRAFT). It is offered to the owner. Once its contents are here and verified, install_begin feeds it:
 *
 *   RECEIVE(InstallSnapshot) → the log's reset, in flight → durable → snapshot_install → PERSISTED_SNAPSHOT
 *
 * so that the engine is `installing` for one write of the log only. It is fed as if the leader of the current term had
 * sent it, which is right when that term is not below the one in which it was offered: every leader since then holds
 * what the snapshot covers. An older leader does not, and would count us as if we held its own entries. */
#ifndef REPLICA_INSTALL_H
#define REPLICA_INSTALL_H

#include "replica/codec.h"
#include "replica/replica_private.h"

/* As leader: the engine's own InstallSnapshot. */
void install_wanted(struct replica *replica, const struct raft_message *message);
int install_send(struct replica *replica, uint64_t to_node, const struct replica_snapshot *snapshot,
                 struct hf_bytes manifest);

/* As follower: another node's. HF_EPROTOCOL. */
int install_offered(struct replica *replica, uint64_t from_node, const struct codec_message *message);
int install_begin(struct replica *replica, uint64_t term, const struct replica_snapshot *snapshot,
                  struct hf_bytes name);
/* The engine's update asks for it: writes the reset. */
int install_write(struct replica *replica, const struct raft_update *update);
/* An append became durable: true when it was the reset, and the install was finished. */
bool install_persisted(struct replica *replica);

/* As replica_decode_offer. */
int install_decode_offer(struct hf_bytes payload, uint64_t *term, struct replica_snapshot *snapshot,
                         struct hf_bytes *manifest);

#endif
