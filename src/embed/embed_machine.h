/* An embedder's state machine as a node wants it: entries of several commands taken apart, replies gathered, and a
 * state that a snapshot is loaded into built beside the one in use, then put in its place by exchanging two pointers.
 *
 * Thread: the loop's; cuts and imports: a worker, as node/node.h says. */
#ifndef EMBED_EMBED_MACHINE_H
#define EMBED_EMBED_MACHINE_H

#include "embed/embed_entry.h"
#include "holdfast/node.h"
#include "node/node.h"

/* Appends what takes the place of a command that may not get into the log; nothing for a good one. */
typedef void embed_machine_check(struct hf_bytes command, struct buffer *instead);

struct embed_machine_host {
    struct hf_node_machine machine; /* the embedder's */
    enum embed_entry_kind kind;
    embed_machine_check *check;  /* NULL: any bytes are a command */
    struct node_machine_ops ops; /* for node_open; its arg is the host */
};

/* Whether the calling thread, a node's or not, is in a function of a machine that a worker may run: a node that is
 * being closed waits for its workers. */
bool embed_machine_is_calling(void);
/* HF_EINVALID: something that is needed is missing. The host must outlive the node and stay where it is. */
int embed_machine_init(struct embed_machine_host *host, const struct hf_node_machine *machine,
                       enum embed_entry_kind kind, embed_machine_check *check);

#endif
