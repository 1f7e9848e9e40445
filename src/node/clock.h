/* How far this node's wall clock is from the others', so that a leader whose clock is off hands leadership over: stamps
 * come from the leader, and keys would expire early or late.
 *
 * FRAME_CLOCK (group 0), little-endian, 20 bytes:
 *   0  1  version = 1      1  1  kind: 1 question, 2 answer, 3 notice      2  2  flags: CLOCK_UNFIT
 *   4  8  asked: the asker's monotonic clock in ns, echoed in the answer; 0 in a notice
 *   12 8  the answerer's wall clock, UNIX ms; 0 in the others
 * Every kind tells the flags as they are now; a notice is sent when they change.
 *
 * An answer that took long says little: of the last CLOCK_SAMPLES_MAX answers the quickest counts, its wall clock taken
 * for the middle of its way (Cristian, "Probabilistic clock synchronization", 1989). A jump of our own clock makes all
 * samples worthless.
 *
 * Thread: the loop's. */
#ifndef NODE_CLOCK_H
#define NODE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

#define CLOCK_SAMPLES_MAX 8u
#define CLOCK_INTERVAL_MS 500u /* between two questions to a node */
#define CLOCK_TRIP_MAX_MS 500u /* an answer that took longer says nothing */
#define CLOCK_JUMP_MS     50u
#define CLOCK_FRAME_SIZE  20u

#define CLOCK_UNFIT 1u /* do not hand leadership to the sender */

enum clock_kind { CLOCK_QUESTION = 1, CLOCK_ANSWER = 2, CLOCK_NOTICE = 3 };
struct clock_message {
    enum clock_kind kind;
    unsigned flags;
    uint64_t asked_ns;
    uint64_t wall_ms;
};
void clock_encode(const struct clock_message *message, struct buffer *out);
int clock_decode(struct hf_bytes payload, struct clock_message *out); /* HF_EPROTOCOL */

struct clock_sample {
    uint64_t trip_ns;
    int64_t offset_ms; /* theirs − ours */
};
/* What is known about one other node. */
struct clock_peer {
    struct clock_sample samples[CLOCK_SAMPLES_MAX];
    unsigned count;
    unsigned next;
};
void clock_peer_forget(struct clock_peer *peer);
void clock_peer_answer(struct clock_peer *peer, const struct clock_message *answer, uint64_t now_ns, uint64_t wall_ms);
/* False while nothing is known. */
bool clock_peer_offset_ms(const struct clock_peer *peer, int64_t *out);

/* Watches our own clock: true when it jumped since the last call. */
struct clock_self {
    int64_t base_ms; /* wall − monotonic */
    bool is_set;
};
bool clock_self_jumped(struct clock_self *self, uint64_t now_ns, uint64_t wall_ms);

/* The median of the offsets, our own 0 among them; of an even number the one nearer to 0 of the two in the middle.
 * Sorts the array. count ≥ 1. */
int64_t clock_median_ms(int64_t *offsets_ms, size_t count);

#endif
