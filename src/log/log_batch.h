/* A batch as the caller builds it: operations in order, payloads copied. Belongs to one thread at a time. */
#ifndef LOG_LOG_BATCH_H
#define LOG_LOG_BATCH_H

#include <stdint.h>

#include "base/buffer.h"
#include "holdfast/log.h"
#include "log/log_format.h"

struct log_operation {
    uint8_t kind;       /* enum log_record_kind: APPEND, MOVED, TRUNCATE, HARD_STATE, RESET, COMPACT, REMOVED */
    uint8_t entry_type; /* APPEND, MOVED (a repair) */
    uint32_t body_size; /* payload, or the snapshot's name */
    uint64_t group;
    uint64_t index;
    uint64_t term;      /* APPEND, MOVED, RESET; term of HARD_STATE */
    uint64_t value;     /* APPEND, MOVED: timestamp; HARD_STATE: vote */
    uint64_t commit;    /* HARD_STATE */
    size_t body_offset; /* in bodies */
};

struct hf_log_batch {
    struct log_operation *operations;
    size_t count;
    size_t capacity;
    size_t entry_count;
    struct buffer bodies;
    uint64_t encoded_size; /* an upper bound: as if no record could share a run that is open already */
    bool plain;            /* nothing but appends to one group, indexes without gaps, terms that do not decrease */
    /* What must hold for its one group when it is applied, whatever other threads did meanwhile; 0, false: nothing. */
    uint64_t installs; /* its reset finishes the installation of this number */
    uint64_t creates;  /* the group does not exist, and gets this incarnation */
    bool removes;      /* it exists */
    bool essential;    /* nothing but hard state, resets, truncations, removals and repairs: may use the headroom */
};

static inline bool log_batch_is_entry(const struct log_operation *operation)
{
    return operation->kind == LOG_RECORD_APPEND || operation->kind == LOG_RECORD_MOVED;
}
/* Does `operation` go under the run that `before` was written under? */
bool log_batch_shares_run(const struct log_operation *before, const struct log_operation *operation);
struct hf_bytes log_batch_body(const struct hf_log_batch *batch, const struct log_operation *operation);

#endif
