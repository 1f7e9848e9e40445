/* Commands of one group on their way into the log: those that wait for the turn's end, and those that were proposed and
 * wait to be applied.
 *
 * The queue keeps the bytes of all commands in one piece and their owners in an array, so that a turn with thousands of
 * commands allocates nothing once both have grown. The pending list is two rings: entries in the order of their
 * indexes, and the owners of their commands in the order of their ordinals; an applied entry is always at its front.
 *
 * Deadlines never decrease from front to back, since every command gets the same time when it arrives.
 *
 * Thread: the loop's. Nothing here calls an owner, except proposal_answer and proposal_pending_answer. */
#ifndef NODE_PROPOSAL_H
#define NODE_PROPOSAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "node/node.h"

#define PROPOSAL_QUEUE_KEEP_BYTES (4u << 20) /* a queue that held more gives its memory back when it is empty */

struct proposal_owner {
    node_done *done; /* NULL: nobody waits (any more) */
    void *arg;
};

/* ---- Waiting to be proposed ---- */

struct proposal {
    struct proposal_owner owner;
    uint64_t deadline_ms;
    size_t offset; /* of the command in the queue's bytes */
    uint32_t size;
    bool is_forwarded; /* it made its one hop already */
};

struct proposal_queue {
    struct buffer bytes;
    struct proposal *items;
    size_t first; /* items[first … first + count) wait */
    size_t count;
    size_t capacity;
};

void proposal_queue_close(struct proposal_queue *queue); /* must be empty */
void proposal_queue_append(struct proposal_queue *queue, struct hf_bytes command, struct proposal item);
/* The i-th that waits; i < count. Lent until the queue changes. */
const struct proposal *proposal_queue_at(const struct proposal_queue *queue, size_t i);
struct hf_bytes proposal_queue_command(const struct proposal_queue *queue, size_t i);
/* Removes the first `count`. */
void proposal_queue_drop(struct proposal_queue *queue, size_t count);
/* Bytes of the commands that wait. */
size_t proposal_queue_bytes(const struct proposal_queue *queue);
uint64_t proposal_queue_deadline_ms(const struct proposal_queue *queue); /* UINT64_MAX when empty */

/* Calls the owner, if there is one. */
void proposal_answer(struct proposal_owner owner, int result, struct hf_bytes reply, uint64_t index);

/* ---- Proposed ---- */

struct proposal_entry {
    uint64_t index;
    uint64_t term;
    uint64_t deadline_ms;
    uint32_t count;
    bool is_answered; /* its time ran out; the place stays so that the ordinals of the log and ours agree */
};

struct proposal_pending {
    struct proposal_entry *entries; /* a ring; the capacity is a power of two */
    size_t entries_first;
    size_t entries_count;
    size_t entries_capacity;
    struct proposal_owner *owners; /* a ring */
    size_t owners_first;
    size_t owners_count;
    size_t owners_capacity;
    size_t answered_count; /* entries at the front that are answered */
};

void proposal_pending_close(struct proposal_pending *pending); /* must be empty */
/* Takes over the owners of the first `count` commands of the queue as those of the entry. */
void proposal_pending_append(struct proposal_pending *pending, struct proposal_entry entry,
                             const struct proposal_queue *queue, size_t first);
/* The front entry; NULL when none is pending. */
const struct proposal_entry *proposal_pending_front(const struct proposal_pending *pending);
const struct proposal_entry *proposal_pending_back(const struct proposal_pending *pending);
/* The owner of a command of the front entry, once: the next time it is nobody. */
struct proposal_owner proposal_pending_take(struct proposal_pending *pending, uint32_t ordinal);
/* Removes the front or back entry, answering who still waits. Returns how many did. */
unsigned proposal_pending_drop_front(struct proposal_pending *pending, int result);
unsigned proposal_pending_drop_back(struct proposal_pending *pending, int result);
/* Answers every entry whose deadline has come; their places stay. Returns how many owners waited. */
unsigned proposal_pending_expire(struct proposal_pending *pending, uint64_t now_ms, int result);
uint64_t proposal_pending_deadline_ms(const struct proposal_pending *pending); /* UINT64_MAX when nobody waits */

#endif
