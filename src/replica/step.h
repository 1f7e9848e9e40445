/* One event for the engine, and everything that follows from it. */
#ifndef REPLICA_STEP_H
#define REPLICA_STEP_H

#include "replica/replica_private.h"

struct step_entries { /* that go along with SUBMIT or RECEIVE */
    const struct hf_entry *entries;
    unsigned count;
    struct raft_entry *raft; /* the same for the core, see engine_entries_new */
};

struct step_outcome {
    unsigned written; /* how many entries went into the log */
    bool is_rejected; /* an AppendEntries was answered with a reject */
};

/* Feeds the event and carries its update out: log first, then messages. 0, or an ordinary refusal that changed nothing
 * (HF_ENOTLEADER, HF_ENOSPACE, HF_EBUSY, HF_ENOTFOUND), or HF_ECLOSED: the replica froze. */
int step_event(struct replica *replica, struct raft_event *event, const struct step_entries *entries,
               struct step_outcome *outcome);
int step_start(struct replica *replica);
/* Writes a term or vote that a guard changed in the engine. */
void step_persist(struct replica *replica);

/* Stops everything for good; told to the owner when the outermost call settles. */
void step_freeze(struct replica *replica, int result, const char *what);

/* To be called at the end of every entry into the room: hands over, tells, sends. Nested calls leave it to the
 * outermost. */
void step_settle(struct replica *replica);

struct replica_told step_view(const struct replica *replica);
bool step_is_leader(const struct replica *replica);
/* Leader with an entry of its term committed. */
bool step_is_ready(const struct replica *replica);

#endif
