/* The members of the cluster, as the system group agreed on them: who they are, where they live, and what they should
 * be in every group. The cluster description says how it began; each accepted change raises the version by one. What a
 * group's configuration still lacks of it is brought about by the reconciler (node/reconcile.h).
 *
 * Node ids are never used again: next_id is above every id that was ever given out, so an id below it that is no member
 * was removed.
 *
 * Encoding, version 1 (little-endian; file `members` in a data directory, and the answer to a node that joins):
 *   0   8   magic "HFMEMBR1"
 *   8   4   version = 1
 *   12  4   size of everything after offset 20
 *   16  4   CRC-32C of bytes 0 … 16 and 20 … end
 *   20  16  cluster id
 *   36  8   membership version
 *   44  8   next id
 *   52  4   feature level
 *   56  2   flags: 1 = a single voter was asked for by force      58  2  number of members (1 … MEMBERSHIP_MEMBERS_MAX)
 *       per member, in ascending order of ids: id u64, incarnation u64 (0: never seen), role u8, then three sized texts
 *       (u32 length): peer, client, http address; each host:port or empty, no peer address twice
 *
 * Body of a change, in a command of the system group (the command's kind says which fields count; every field is
 * there): 0  8  node id      8  8  expected membership version, 0: any      16  8  incarnation      24  4  feature
 * level 28 1  role         29 1  forced                                   30  2  zero             32  …  three sized
 * texts
 *
 * Deciding is a function of the membership and the change alone, so every replica decides alike.
 *
 * Thread: any; a membership is a value. */
#ifndef NODE_MEMBERSHIP_H
#define NODE_MEMBERSHIP_H

#include <stdbool.h>

#include "node/description.h"

#define MEMBERSHIP_MEMBERS_MAX DESCRIPTION_NODES_MAX
#define MEMBERSHIP_SIZE_MAX    (64u << 10)
#define MEMBERSHIP_TEXT_MAX    256u

/* Numbers are in the log and on disk: never reuse one. */
enum membership_role {
    MEMBERSHIP_VOTER = 1,   /* a voter of every group, as soon as it has caught up there */
    MEMBERSHIP_STANDBY = 2, /* receives everything and has no vote */
    MEMBERSHIP_LEAVING = 3  /* on its way out of every group; forgotten once no group names it */
};

struct membership_member {
    struct description_node node;
    uint64_t incarnation; /* 0: never seen */
    enum membership_role role;
};

struct membership {
    uint8_t cluster_id[PEER_CLUSTER_ID_SIZE];
    uint64_t version;
    uint64_t next_id;
    uint32_t feature_level;
    bool may_be_alone; /* fewer than two voters were asked for by force */
    uint32_t count;
    struct membership_member members[MEMBERSHIP_MEMBERS_MAX]; /* ascending ids */
};

enum membership_change_kind {
    MEMBERSHIP_JOIN,
    MEMBERSHIP_ROLE,
    MEMBERSHIP_ADDRESS,
    MEMBERSHIP_FORGET,
    MEMBERSHIP_FEATURES
};

struct membership_change {
    enum membership_change_kind kind;
    struct description_node node; /* id: of ROLE, ADDRESS, FORGET; addresses: of JOIN, ADDRESS (empty client or http:
                                   * none) */
    uint64_t expected_version;    /* 0: any. Otherwise HF_ECONFLICT when something changed meanwhile */
    uint64_t incarnation;         /* JOIN */
    uint32_t feature_level;       /* JOIN: what the program supports; FEATURES: the new level */
    enum membership_role role;    /* JOIN, ROLE */
    bool is_forced;               /* ROLE: fewer than two voters may remain */
};

/* What became of a change. result 0: it holds now (also when it held before). Otherwise HF_EINVALID, HF_ENOTFOUND,
 * HF_EEXISTS, HF_ECONFLICT, HF_EUNSAFE, HF_EVERSION, and nothing was changed. */
struct membership_outcome {
    int result;
    uint64_t node_id; /* JOIN: the id */
    uint64_t version; /* of the membership afterwards */
    char text[MEMBERSHIP_TEXT_MAX];
};

void membership_begin(const struct description *description, struct membership *out);
const struct membership_member *membership_find(const struct membership *membership, uint64_t node_id); /* or NULL */
/* Was a member once. */
bool membership_was_removed(const struct membership *membership, uint64_t node_id);
unsigned membership_voters(const struct membership *membership);

/* Decides and changes. */
void membership_apply(struct membership *membership, const struct membership_change *change,
                      struct membership_outcome *out);
/* The first incarnation seen of a member counts. Unknown nodes are passed. */
void membership_register(struct membership *membership, uint64_t node_id, uint64_t incarnation);
uint64_t membership_hash(const struct membership *membership);

void membership_encode(const struct membership *membership, struct buffer *out);
int membership_decode(struct hf_bytes bytes, struct membership *out); /* HF_ECORRUPT, HF_EVERSION */
void membership_change_encode(const struct membership_change *change, struct buffer *out); /* the body */
int membership_change_decode(enum membership_change_kind kind, struct hf_bytes body, struct membership_change *out);
/* The reply of the machine to a change: result i32, node id u64, version u64, sized text, then the sized encoding of
 * the membership after a JOIN that was accepted (empty otherwise): what the new node begins with. */
void membership_outcome_encode(const struct membership_outcome *outcome, const struct membership *joined,
                               struct buffer *out);
/* members: lent from bytes. HF_EPROTOCOL. */
int membership_outcome_decode(struct hf_bytes bytes, struct membership_outcome *out, struct hf_bytes *members);

const char *membership_role_name(enum membership_role role);

#endif
