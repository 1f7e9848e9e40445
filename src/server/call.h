/* Commands of clients between their arrival and their answers.
 *
 *   call   one command of one session; answered in the order of arrival
 *   part   what one group does for it; most calls have one, MGET over three groups has three
 *   lane   one session's parts at one group, in their order: a run of writes goes out together, but a read waits for
 *          the writes before it and a write for the reads before it (CLUSTER: order of a connection)
 *
 *   lane:   waiting ──▶ started (with the node) ──▶ done
 *   call:   all parts done ──▶ finish merges them ──▶ answered ──▶ its turn in the session ──▶ out
 *
 * A session may end before its calls: then they are orphans, whose parts wait for the node's answers to nobody.
 *
 * Thread: the loop's. */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/list.h"
#include "base/map.h"
#include "holdfast/snapshot.h"
#include "node/membership.h"
#include "server/command.h"
#include "server/reply.h"

#define CALL_RAW_SIZE_MAX   128u
#define CALL_REPLY_KEPT_MAX 4096u /* capacity that a pooled call keeps */

struct call;
struct server;
struct session;

struct part {
    struct list link; /* in its lane, while waiting */
    struct call *call;
    uint64_t group;
    bool is_write;
    bool is_barrier;  /* node_barrier instead of a read; no command */
    bool is_transfer; /* node_forward_transfer instead of a read; no command */
    bool is_snapshot; /* node_snapshot instead of a read; no command */
    uint64_t to_node; /* of a transfer; of a snapshot: the group, 0 for all */
    bool is_chunk;    /* node_snapshot_read instead of a read, of the chunk with this number; no command */
    uint32_t chunk;
    struct hf_snapshot_id snapshot;
    const struct membership_change *change; /* node_change_members; the call's state owns it */
    bool is_started;
    bool is_done;
    struct buffer command; /* while waiting; of a part with siblings always */
    struct buffer reply;   /* of a part with siblings, or of a call with a finish */
    int result;
    uint64_t index;
};

/* Builds the reply of a call from its parts, all done. */
typedef void call_finish(struct call *call, struct reply *reply);

struct call {
    struct list link;        /* in the session's calls, or among the orphans */
    struct server *server;   /* NULL: the server is closed */
    struct session *session; /* NULL: an orphan */
    const struct command_spec *spec;
    uint64_t started_ns;
    unsigned protocol;
    bool is_silent; /* CLIENT REPLY OFF or SKIP */
    bool is_answered;
    struct buffer reply; /* answered, and not yet its turn */
    struct part own;     /* of a call with one part */
    struct part *parts;  /* NULL: own is the only one, or there is none */
    uint32_t part_count;
    uint32_t parts_open;            /* started or waiting */
    call_finish *finish;            /* NULL: the reply of the only part is the reply */
    void *state;                    /* the finish's; freed with the call */
    struct buffer memory;           /* the finish's */
    size_t bytes_asked;             /* the finish's: the size of the key */
    uint64_t parts_bytes;           /* of the replies of its parts, in the session's held_bytes */
    uint64_t bytes;                 /* of its commands, in the session's call_bytes */
    uint8_t raw[CALL_RAW_SIZE_MAX]; /* how the command began, for the slow log */
    uint8_t raw_size;
};

struct lane {
    uint64_t group;
    uint32_t reads;
    uint32_t writes;
    struct list waiting;
    uint64_t index_last; /* of this session's acknowledged writes, for WAIT */
};

/* A new call at the end of the session's. */
struct call *call_new(struct session *session, const struct command_spec *spec);
/* Answers now, from bytes that are RESP. The call may be gone afterwards. */
void call_answer(struct call *call, struct hf_bytes reply);
/* Takes an answered call out of its session. */
void call_leave(struct call *call);
/* One part. The command is lent: it is copied only if it has to wait. */
void call_start(struct call *call, uint64_t group, bool is_write, struct hf_bytes command);
/* Several: make room, fill parts[i].group, is_write and command, then start them all. */
void call_make_parts(struct call *call, uint32_t count);
void call_start_parts(struct call *call);
/* The parts of a call, whether it has one or more. */
struct part *call_part(struct call *call, uint32_t position);

/* The lane of a session at a group; made when missing. */
struct lane *call_lane(struct session *session, uint64_t group);
/* Ends all calls of a session that ends. */
void call_orphan_all(struct session *session);
/* Frees the lanes. After call_orphan_all. */
void call_close_lanes(struct session *session);
/* The server ends: orphans that the node still answers are cut off from it, and the pool is freed. */
void call_close_all(struct server *server);

#endif
