/* The inside of an embedded node: a node and its loop in a thread of their own, and the calls that other threads hand
 * over. A call is put into the inbox, and run in a turn of the loop; its answer comes from there.
 *
 *   any thread      embed_hand_over → inbox ─loop_post→ embed_take_in (loop's thread) → node_… → node_done → done
 *
 * Thread: as hf_node says; fields without a word to the contrary belong to the loop's thread once it runs. */
#ifndef EMBED_EMBED_H
#define EMBED_EMBED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/mutex.h"
#include "embed/embed_machine.h"
#include "holdfast/node.h"
#include "node/node.h"

struct hf_node {
    struct io *io;
    struct loop *loop;
    struct node *node; /* NULL once it is closed */
    bool is_stopping;  /* it is being closed: its callbacks must not look at what is left of it */
    struct executor *executor;
    struct embed_machine_host host;
    bool has_own_machine; /* the embedder's; constant */
    struct hf_node_options options;
    uint32_t group_count; /* constant */

    struct mutex mutex; /* of the inbox; may take the loop's mutex inside */
    struct list inbox;
    size_t inbox_bytes;
    uint32_t inbox_count;
    bool is_posted;  /* the loop will look into the inbox */
    bool is_closing; /* nothing is taken in any more */

    int failure; /* 0, or why the node stopped for good */
    char failure_text[256];
};

struct embed_call;
/* Runs in the loop's thread; embed->node NULL: it is closed, and the call must be answered so. Owns the call. */
typedef void embed_run(struct hf_node *embed, struct embed_call *call);

struct embed_call {
    struct list link;
    struct hf_node *embed;
    embed_run *run;
    size_t bytes; /* counted in the inbox */
    uint64_t group;
    bool existed;            /* for the result */
    uint64_t number;         /* of its kind's own: a mode, a node */
    struct hf_bytes payload; /* its own copy */
    hf_node_done *done;
    void *arg;
    _Alignas(8) uint8_t copy[];
};

/* A zeroed call with a copy of the payload. */
struct embed_call *embed_call_new(struct hf_node *embed, embed_run *run, struct hf_bytes payload);
/* The same, handed over with a copy of the payload. HF_ETOOBIG, HF_EBUSY, HF_ECLOSED. Thread: any. */
int embed_call_start(struct hf_node *embed, embed_run *run, uint64_t group, uint64_t number, struct hf_bytes payload,
                     hf_node_done *done, void *arg);
/* Whether there is a node to ask; otherwise the call is answered. */
bool embed_call_is_served(struct hf_node *embed, struct embed_call *call);
/* Takes the call over. HF_EBUSY, HF_ECLOSED: it is freed, and was not run. Thread: any. */
int embed_hand_over(struct embed_call *call);
/* Answers with a result of this node's, and frees the call. text: NULL: the thread's error text. */
void embed_answer(struct embed_call *call, int result, struct hf_bytes reply, uint64_t index);
/* A node_done whose arg is the call. */
void embed_call_done(void *call, int result, struct hf_bytes reply, uint64_t index);

/* Runs look(embed, arg) in the loop's thread and waits for it; at once when called from there. HF_ECLOSED; HF_EUNSAFE
 * as embed_may_wait. */
int embed_look(struct hf_node *embed, int (*look)(struct hf_node *embed, void *arg), void *arg);
/* Whether the calling thread may wait for a node. HF_EUNSAFE inside a callback of any: the one that is waited for may
 * be waiting for it. what: "close a node", say. */
int embed_may_wait(const char *what);

#endif
