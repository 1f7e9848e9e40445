/* The keys in a backup, or in one snapshot, one after the other: group by group, in each in ascending order. */
#ifndef CLI_BACKUP_KEYS_H
#define CLI_BACKUP_KEYS_H

#include "cli/progress.h"
#include "server/state_walk.h"
#include "snapshot/backup_reader.h"

struct backup_keys {
    state_walk_visit *visit; /* NULL: only checks */
    void *arg;
    struct progress *progress;
    uint64_t bytes_total; /* for the progress; 0: not known */
    uint64_t bytes_done;
    uint64_t group; /* that is being read */
    /* Called with the manifest of each group when all of it was read and good; may be NULL. */
    void (*group_ended)(void *arg, const struct hf_snapshot_manifest *manifest);
};

/* Reads all of it. Errors name group, chunk and byte. */
int backup_keys_of_backup(struct backup_keys *keys, struct backup_reader *reader);
int backup_keys_of_snapshot(struct backup_keys *keys, struct hf_snapshot_reader *reader);

#endif
