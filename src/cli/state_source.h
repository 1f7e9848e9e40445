/* Where the newest state of a group in a data directory comes from. That is its newest snapshot. When it is damaged, an
 * older good one (or none, with a log that begins at entry 1) and the entries of the log up to the index of the damaged
 * one give the same state, where the log has them all. Where it has not, the older one lacks them, and whether that
 * will do is for whoever asks.
 *
 * Every byte of the snapshot that is named was read and good. Reads only, also beside a running node. Thread: one. */
#ifndef CLI_STATE_SOURCE_H
#define CLI_STATE_SOURCE_H

#include <stdbool.h>

#include "holdfast/log.h"
#include "holdfast/snapshot.h"
#include "io/io.h"

#define STATE_SOURCE_TEXT_MAX 256u

enum state_source_kind {
    STATE_SOURCE_NEWEST,  /* the newest snapshot is good */
    STATE_SOURCE_BRIDGED, /* an older one, or none, and the log's entries */
    STATE_SOURCE_OLDER,   /* an older one, which lacks entries */
    STATE_SOURCE_NONE     /* no good one, and the log is no help */
};

struct state_source {
    enum state_source_kind kind;
    uint64_t group;
    uint64_t incarnation;
    struct hf_snapshot_id id; /* what is read; not set with index 0 */
    uint64_t index;           /* of that one; 0: none */
    uint64_t term;
    uint64_t created_ms;
    uint64_t application_bytes;
    struct hf_snapshot_id damaged_id; /* the newest, unless it is good */
    uint64_t index_wanted;            /* of the newest */
    uint32_t damaged_count;
    char damage[STATE_SOURCE_TEXT_MAX]; /* of the newest; empty when it is good */
    char gap[STATE_SOURCE_TEXT_MAX];    /* why the log does not bridge it: OLDER and NONE */
};

/* A data directory, or a folder of snapshots, which has no log. */
struct state_sources {
    const char *directory;
    struct io *io; /* lent */
    struct hf_snapshot_store *store;
    struct hf_log *log; /* NULL until it is needed, or when it cannot be read: log_text */
    bool is_log_tried;
    char log_text[STATE_SOURCE_TEXT_MAX];
    struct state_source *items; /* of every group but the system group that has snapshots, in their order */
    uint32_t count;
};

/* group 0: all. Reads all that is chosen; watch as in hf_snapshot_verify, may be NULL. HF_ENOTFOUND: there is no
 * snapshot. What is damaged is no error here. Close it in any case. */
int state_source_open_all(struct state_sources *sources, struct io *io, const char *directory, uint64_t group,
                          hf_snapshot_watch *watch, void *arg);
void state_source_close_all(struct state_sources *sources);

/* What is damaged, what stands in for it and what that lacks, as a sentence of one line; the caller frees it. */
char *state_source_describe(const struct state_source *source);

#endif
