/* How many chunks a receiver may have asked for and not got yet, so that a slow link's queue stays short.
 *
 * How much longer than the quickest an answer takes is what it stood in the queue on its way. While that is long, one
 * chunk fewer is asked for; while it is short, one more. What the quickest takes may change: a link becomes slower for
 * good, and no answer is as quick as the quickest ever again. So every CHUNK_WINDOW_LOOK_MS it is looked for anew: one
 * chunk at a time, until one was answered that nothing of ours stood before. All transfers of a node look at the same
 * moments, since otherwise each would take the others' queue for the link.
 *
 * Thread: its owner's; the time is the caller's. */
#ifndef NODE_CHUNK_WINDOW_H
#define NODE_CHUNK_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "node/chunk_frame.h"

#define CHUNK_WINDOW_FIRST        2u     /* at a link that is not known yet */
#define CHUNK_WINDOW_LOOK_MS      10000u /* how long the quickest answer counts */
#define CHUNK_WINDOW_QUEUE_MAX_MS 50u    /* answers that take so much longer than the quickest have waited … */
#define CHUNK_WINDOW_QUEUE_MIN_MS 20u    /* … and those that take less have not */

struct chunk_window {
    uint32_t chunks;
    bool is_looking;    /* for the quickest answer: one chunk at a time meanwhile */
    uint64_t quick_ms;  /* the least that an answer took; UINT64_MAX: none came yet */
    uint64_t look;      /* the number of the last look: time divided by CHUNK_WINDOW_LOOK_MS */
    uint64_t looked_ms; /* when it began */
};

/* A connection that nothing is known of. */
void chunk_window_open(struct chunk_window *window, uint64_t now_ms);
/* How many may be asked for at a time: 1 … CHUNK_FRAME_WINDOW. */
uint32_t chunk_window_size(const struct chunk_window *window);
/* A chunk came that was asked for at asked_ms, and was_alone: nothing else of this transfer was on its way then. */
void chunk_window_note(struct chunk_window *window, uint64_t asked_ms, bool was_alone, uint64_t now_ms);

#endif
