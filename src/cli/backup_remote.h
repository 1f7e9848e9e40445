/* A running node from which a backup is fetched, over its client port. Thread: one. */
#ifndef CLI_BACKUP_REMOTE_H
#define CLI_BACKUP_REMOTE_H

#include <stdint.h>

#include "holdfast/snapshot.h"
#include "snapshot/backup_format.h"

#define BACKUP_REMOTE_WINDOW 8u /* chunks that are asked for ahead */

struct backup_remote;

struct backup_remote_cluster {
    uint8_t id[16];
    uint32_t group_count;
    uint64_t groups[BACKUP_FORMAT_GROUPS_MAX]; /* ascending */
};

/* address: "host:port". HF_ENOTFOUND: nobody answers there. */
int backup_remote_open(const char *address, struct backup_remote **out);
void backup_remote_close(struct backup_remote *remote); /* accepts NULL */
/* HF_EPROTOCOL: it is no Holdfast node. */
int backup_remote_describe(struct backup_remote *remote, const char *address, struct backup_remote_cluster *out);
/* A snapshot on that node that holds everything that was acknowledged anywhere before this call. HF_ENOLEADER. */
int backup_remote_take(struct backup_remote *remote, uint64_t group);
/* The newest one. HF_ENOTFOUND: there is none. */
int backup_remote_find(struct backup_remote *remote, uint64_t group, struct hf_snapshot_manifest *out);
/* Fetches the chunks from `first` on, in order, some ahead; take borrows each. HF_ENOTFOUND: the node no longer has the
 * snapshot; HF_EIO and HF_ETIMEOUT: the connection broke; what take returns. */
typedef int backup_remote_chunk(void *arg, struct hf_bytes raw);
int backup_remote_fetch(struct backup_remote *remote, const struct hf_snapshot_manifest *manifest, uint32_t first,
                        backup_remote_chunk *take, void *arg);

#endif
