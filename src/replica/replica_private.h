/* struct replica, for the files of this room. Who calls whom: replica.c (the door), receive.c (frames) and propose.c
 * feed events through step.c, which carries out the engine's updates on appends, outbox and apply, and at the end of
 * each outermost call settles: hands over committed entries, ends reads, tells the owner. */
#ifndef REPLICA_REPLICA_PRIVATE_H
#define REPLICA_REPLICA_PRIVATE_H

#include "replica/appends.h"
#include "replica/apply.h"
#include "replica/engine.h"
#include "replica/outbox.h"
#include "replica/probe.h"
#include "replica/read_index.h"
#include "replica/rejoin.h"
#include "replica/replica.h"

enum replica_phase {
    REPLICA_PHASE_OPENING, /* what START needs is on its way to the disk */
    REPLICA_PHASE_READY,   /* START comes with the next tick */
    REPLICA_PHASE_RUNNING,
    REPLICA_PHASE_FROZEN
};

struct replica_told { /* to callbacks.changed */
    enum replica_state state;
    uint64_t term;
    uint64_t leader;
};

/* A snapshot that is being taken in: install.h. */
struct replica_install {
    struct replica_snapshot snapshot;
    uint64_t sequence; /* of the append that resets the log; 0: nothing is under way */
    unsigned name_size;
    uint8_t name[HF_LOG_SNAPSHOT_NAME_SIZE_MAX];
};

struct replica {
    struct replica_options options; /* with defaults filled in; the bootstrap members are not kept */
    struct replica_callbacks callbacks;
    void *arg;
    enum replica_phase phase;
    struct engine engine;
    struct appends appends;
    struct outbox outbox;
    struct apply apply;
    struct read_index reads;
    struct probe probe;
    struct replica_install install;
    struct rejoin rejoin;
    struct engine_history history; /* of the log at open */
    uint64_t term_first_index;     /* as leader: of the first entry of the term, there or to come; 0 otherwise */
    bool is_noop_wanted;           /* as leader: no entry of the term was proposed yet */
    uint64_t raised_term;          /* guard B: raised while not leader; TIMEOUT follows when it is durable */
    uint64_t heard_term;           /* the term in which the engine's current leader was heard */
    uint64_t lost_from;            /* to be told to callbacks.lost; 0: nothing */
    uint64_t proposed_last;        /* index of the last entry proposed here that may still be followed */
    uint64_t stamp_last_ms;        /* of the last entry: what we propose ourselves repeats it */
    uint64_t retry_ms;             /* when something refused for lack of space is tried again; 0: nothing is */
    struct replica_told told;
    int failure;
    char failure_text[256];
    bool is_settling;
};

/* Space for a no-op, or room in the log's queue, may have appeared by then. */
#define REPLICA_RETRY_MS 20u
/* Entries that are proposed but not committed; beyond it HF_EBUSY. */
#define REPLICA_UNCOMMITTED_ENTRIES_MAX (1u << 16)

#endif
