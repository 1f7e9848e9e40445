/* The guards of docs/decisions/0002: what has to be done around libraft 0.22 so that it keeps Raft's promises. Each is
 * a function with its own switch (base/mutation.h), and each has a test that fails without it.
 *
 * This is the one file that writes fields of struct raft: it holds for the headers it is compiled against, and the
 * configure step refuses others. */
#ifndef REPLICA_GUARD_H
#define REPLICA_GUARD_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

#include "replica/codec.h"
#include "replica/replica.h"

/* A, RAFT_CHANGE first: how many entries from the front may go into one RECEIVE. The core takes the index of the first
 * new entry for that of every configuration among them. */
unsigned guard_receive_count(const struct hf_entry *entries, unsigned count);

/* B, single voter: the core elects a lone voter in the term it has. It may do so only in a term that nobody else can
 * have used: raised by us, with our own vote, and durable before the core hears of it. */
bool guard_is_only_voter(const struct raft *raft);
bool guard_is_only_voter_of(const struct replica_member *members, unsigned count, uint64_t node_id); /* before START */
void guard_raise_term(struct raft *raft);

/* C, stale non-voter: a server whose configuration is behind may be a voter already, and the vote may be needed.
 * Between the two calls the server looks like a voter to itself. */
struct guard_vote {
    struct raft_configuration configuration; /* the real one, while a stand-in takes its place */
    struct raft_server self;
    int role; /* the real one */
    unsigned position;
    bool is_changed;
    bool is_replaced;
};
void guard_vote_begin(struct guard_vote *guard, struct raft *raft);
void guard_vote_end(struct guard_vote *guard, struct raft *raft);

/* The other way round, for a member that may have lost what it acknowledged (rejoin.h): until guard_vote_end the server
 * looks like a stand-by to itself, and does not stand. */
void guard_abstain_begin(struct guard_vote *guard, struct raft *raft);

/* D, below the compacted log: entries up to our snapshot are committed, so they need no comparing. Moves the request's
 * anchor to the snapshot and drops what lies before. Returns how many entries at the front were dropped. */
unsigned guard_reanchor(const struct raft *raft, struct raft_append_entries *request, unsigned count);

/* E, order: a reject at or below what is known to match is from before. */
bool guard_is_stale_reject(const struct raft *raft, uint64_t from, const struct raft_append_entries_result *result);

/* F, forgotten leader: after a TIMEOUT that left us a follower the leader is gone, and nobody may be refused a vote
 * because of it. The same holds when the connection to it ended. */
void guard_forget_leader(struct raft *raft);

/* G, two changes: a leader appends a configuration only when the one before is committed. Returns the index of the
 * configuration that a RECEIVE beginning with another one proves committed, or 0. local_prev_term: the term of our
 * entry before the new one, 0 when there is none. */
uint64_t guard_superseded_change(const struct raft *raft, const struct raft_append_entries *request,
                                 enum hf_entry_type first_type, uint64_t local_prev_term);

/* H, stale append: the core answers an AppendEntries of an older term with an uninitialised field, and at prev = 0 as
 * if it had succeeded. We answer instead: true when `result` is the answer and the core must not see the request. */
bool guard_answer_stale_append(const struct raft *raft, const struct raft_append_entries *request,
                               struct raft_append_entries_result *result);

/* The core's answer to what it has: everything up to the index, which is committed and durable here. */
struct raft_append_entries_result guard_success(const struct raft *raft, uint64_t index);

/* I, vote results outside an election: the core looks at a candidate's field of a union that holds something else. */
bool guard_is_pointless_vote(const struct raft *raft, const struct raft_request_vote_result *result);

/* J, early TimeoutNow: the core sends it before the transferee has caught up, which then ignores it. True when the
 * message must be dropped; the core then sends it again when the next result arrives. */
bool guard_is_early_timeout_now(struct raft *raft, const struct raft_message *message);

/* K, hidden term: the core refuses a pre-vote of an older term without saying its own. A candidate that has the longer
 * log and the older term then never learns why, and one with the shorter log and the newer term never wins. We answer
 * instead: true when `result` is the answer and the core must not see the request. */
bool guard_answer_old_pre_vote(const struct raft *raft, const struct raft_request_vote *request,
                               struct raft_request_vote_result *result);

/* M, a vote that is taken away: the change that leaves a single other voter may be on our disk alone. That voter, whose
 * log is shorter, is then elected by nobody, and nobody else has a vote. As long as the change is not known to be
 * committed, and the configuration before it had us as a voter, we stand; the other one's vote decides, which is a
 * majority of the newer configuration (Ongaro's dissertation, 4.2.2). Who is dropped at once never gets the entry.
 * Until guard_vote_end the server looks like a voter to itself: around TIMEOUT and vote results, while
 * guard_must_stand. */
bool guard_must_stand(const struct raft *raft);
void guard_stand_begin(struct guard_vote *guard, struct raft *raft);

/* L, commit index: an AppendEntries whose last entry lies below what is committed here sets the core's commit index
 * back. Keeps the highest one known, across restarts too. */
void guard_keep_commit(struct raft *raft, uint64_t *known);

#endif
