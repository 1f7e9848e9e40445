/* Snapshots that are handed out, chunk by chunk, to whoever copies them away from this node (a backup). Nothing is
 * promised about how long one stays: it is kept from being removed while chunks of it are asked for, and
 * HANDOUT_IDLE_MS longer. The log does not wait for it.
 *
 * Thread: the loop's; the disk is a worker's, one chunk at a time per snapshot. */
#ifndef NODE_HANDOUT_H
#define NODE_HANDOUT_H

#include "node/node.h"

#define HANDOUT_OPEN_MAX    4u  /* snapshots at a time; HF_EBUSY beyond it */
#define HANDOUT_WAITING_MAX 32u /* questions per snapshot; HF_EBUSY beyond it */
#define HANDOUT_IDLE_MS     30000u

/* A few times a second. */
void handout_run(struct node *node);
/* Answers everybody who waits. */
void handout_answer_all(struct node *node, int result);
void handout_close_all(struct node *node); /* no worker runs any more */

#endif
