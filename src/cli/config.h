/* The configuration of one node: YAML file, then HOLDFAST_* environment, then flags; the later wins.
 *
 * Unknown keys are refused with their own line; values are checked against stated limits. Every key is a row of one
 * table, which also makes `holdfast config default` and the names of the environment variables
 * (log.segment_size → HOLDFAST_LOG_SEGMENT_SIZE). */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include <stdint.h>
#include <stdio.h>

#include "holdfast/log.h"
#include "holdfast/snapshot.h"
#include "io/io.h"

#define CONFIG_TEXT_SIZE_MAX 1024u
#define CONFIG_FILE_SIZE_MAX (32u << 10) /* libyaml takes time by the square of the nesting */

/* May the loop wait for a small write of the log itself? */
enum config_wait { CONFIG_WAIT_AUTO, CONFIG_WAIT_NEVER };

struct config {
    char data[CONFIG_TEXT_SIZE_MAX];          /* the data directory */
    char listen_client[CONFIG_TEXT_SIZE_MAX]; /* empty: as the cluster description says */
    char listen_http[CONFIG_TEXT_SIZE_MAX];
    char listen_peer[CONFIG_TEXT_SIZE_MAX];
    uint64_t election_timeout_ms;
    uint64_t heartbeat_timeout_ms;
    uint64_t request_timeout_ms;
    uint64_t clients_max;
    uint64_t data_size_max_bytes; /* 0: no limit */
    uint64_t memory_limit_bytes;
    uint64_t segment_size_bytes;
    uint64_t write_size_max_bytes;
    uint64_t queue_size_max_bytes;
    uint64_t tail_cache_bytes;
    uint64_t reserve_bytes;
    uint64_t sync_policy; /* enum hf_log_sync_policy */
    uint64_t sync_interval_ms;
    uint64_t io;   /* enum hf_log_io */
    uint64_t wait; /* enum config_wait */
    char snapshot_directory[CONFIG_TEXT_SIZE_MAX];
    uint64_t snapshot_compression; /* enum hf_snapshot_compression − HF_SNAPSHOT_NONE */
    uint64_t snapshot_level;
    uint64_t snapshot_workers;
    uint64_t snapshot_keep_latest;
    uint64_t snapshot_entries; /* 0: never, like the next two */
    uint64_t snapshot_log_bytes;
    uint64_t snapshot_interval_ms;
    uint64_t snapshot_trail;
    uint64_t snapshot_copy_max_bytes;
    uint64_t snapshot_at_stop_ms;
    uint64_t snapshot_entries_max; /* 0: none */
    uint64_t trace_level;          /* enum trace_level */
};

/* Fills in the defaults. */
void config_default(struct config *config);
/* Reads the file ("-": standard input) over what config holds. HF_EINVALID names file and line. */
int config_load(struct io *io, struct config *config, const char *path);
/* Reads the HOLDFAST_* variables over what config holds. HF_EINVALID names the variable; unknown ones are refused. */
int config_environment(struct config *config);
/* Sets one key by its path ("raft.heartbeat"), as a flag does. */
int config_set(struct config *config, const char *path, const char *value);
/* Prints the whole configuration as YAML, each key with a comment. */
void config_print(const struct config *config, FILE *out);

#endif
