/* The memory log: entries in arenas instead of files. An arena is a segment whose bytes are in memory, so that groups,
 * index, checks, batches and reads are the same code as for a log in files; records are encoded the same way. An append
 * is acknowledged by the next turn, since nothing is to be waited for. Guarded by the log's mutex; pinned arenas may be
 * read without it. */
#ifndef LOG_LOG_MEMORY_H
#define LOG_LOG_MEMORY_H

#include <stdint.h>

#include "log/log_batch.h"
#include "log/log_group.h"
#include "log/log_segment.h"

struct hf_log;

struct log_memory {
    struct log_segment_table arenas; /* the last one is being filled */
    uint64_t number;                 /* of the last arena */
    uint64_t arena_bytes;
    uint64_t entries;
    uint64_t bytes; /* of arenas */
    uint64_t check_turn;
};

struct log_memory *log_memory_open(uint64_t segment_size_bytes);
void log_memory_close(struct log_memory *memory); /* accepts NULL; nothing pinned; after the groups */
/* Applies the batch, which log_check_batch accepted. HF_ENOSPACE: the log is full; nothing changed. */
int log_memory_append(struct hf_log *log, const struct hf_log_batch *batch);
/* What could still be appended. */
uint64_t log_memory_capacity(const struct hf_log *log);

#endif
