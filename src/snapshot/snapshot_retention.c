/* Which snapshots of a group go, and which stay in any case. */
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "snapshot/snapshot_store.h"

/* One pass over a group, newest first. */
struct retention_pass {
    const struct hf_snapshot_retention *retention;
    uint64_t now_ms;
    uint32_t rank;  /* good local ones so far */
    uint64_t bytes; /* of them */
    struct hf_snapshot_id *victims;
    size_t victim_count;
};

static bool retention_exceeded(const struct retention_pass *pass, const struct snapshot_entry *entry)
{
    const struct hf_snapshot_retention *retention = pass->retention;
    uint64_t age_ms = pass->now_ms > entry->created_ms ? pass->now_ms - entry->created_ms : 0;
    return (retention->keep_latest != 0 && pass->rank > retention->keep_latest) ||
           (retention->max_age_ms != 0 && age_ms > retention->max_age_ms) ||
           (retention->max_bytes != 0 && pass->bytes > retention->max_bytes);
}

static void retention_judge(struct retention_pass *pass, const struct snapshot_entry *entry)
{
    const struct hf_snapshot_retention *retention = pass->retention;
    bool limited = retention->keep_latest != 0 || retention->max_age_ms != 0 || retention->max_bytes != 0;
    bool goes;
    if (entry->origin == HF_SNAPSHOT_RECEIVED) {
        goes = retention->received_included && pass->rank > 0;
    } else if (entry->reason != NULL) {
        goes = limited && pass->rank > 0;
    } else {
        pass->rank++;
        pass->bytes += entry->file_bytes;
        goes = pass->rank > 1 && retention_exceeded(pass, entry);
    }
    if (goes && entry->pins == 0 && entry->readers == 0) {
        pass->victims[pass->victim_count++] = entry->header.id;
    }
}

int hf_snapshot_clean(struct hf_snapshot_store *store, uint64_t group, const struct hf_snapshot_retention *retention,
                      uint64_t now_ms, uint32_t *removed)
{
    struct retention_pass pass = {.retention = retention, .now_ms = now_ms != 0 ? now_ms : io_wall_ms(store->io)};
    size_t at, end;
    uint32_t count = 0;
    int rc = 0;
    mutex_lock(&store->mutex);
    snapshot_catalogue_range(&store->catalogue, group, &at, &end);
    pass.victims = memory_new((end - at + 1) * sizeof(*pass.victims));
    for (uint64_t last = 0; at < end; at++) {
        const struct snapshot_entry *entry = store->catalogue.entries[at];
        if (entry->header.group != last) {
            last = entry->header.group;
            pass.rank = 0;
            pass.bytes = 0;
        }
        retention_judge(&pass, entry);
    }
    mutex_unlock(&store->mutex);
    for (size_t i = 0; i < pass.victim_count && rc == 0; i++) {
        rc = snapshot_store_remove(store, pass.victims[i]);
        count += rc == 0;
        rc = rc == HF_EBUSY || rc == HF_ENOTFOUND ? 0 : rc; /* pinned or deleted meanwhile */
    }
    if (count > 0) {
        int sync_rc = directory_sync(store->io, store->directory);
        rc = rc == 0 ? sync_rc : rc;
    }
    if (removed != NULL) {
        *removed = count;
    }
    free(pass.victims);
    return rc;
}
