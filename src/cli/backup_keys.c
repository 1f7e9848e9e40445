#include "cli/backup_keys.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/error.h"

static struct state_walk *keys_open(struct backup_keys *keys, const struct hf_snapshot_manifest *manifest)
{
    keys->group = manifest->group;
    return keys->visit != NULL ? state_walk_open(manifest->group, manifest->group_incarnation, keys->visit, keys->arg)
                               : NULL;
}

static int keys_write(struct state_walk *walk, struct hf_bytes application)
{
    return walk != NULL && application.size > 0 ? state_walk_write(walk, application) : 0;
}

static int keys_close(struct backup_keys *keys, struct state_walk *walk, const struct hf_snapshot_manifest *manifest,
                      int rc)
{
    rc = rc == 0 && walk != NULL ? state_walk_finish(walk) : rc;
    state_walk_close(walk);
    if (rc == 0 && keys->group_ended != NULL) {
        keys->group_ended(keys->arg, manifest);
    }
    return rc;
}

static int keys_of_group(struct backup_keys *keys, struct backup_reader *reader,
                         const struct hf_snapshot_manifest *manifest)
{
    struct state_walk *walk = keys_open(keys, manifest);
    struct hf_bytes application = {0};
    int rc;
    do {
        rc = backup_reader_chunk(reader, &application, NULL);
        if (rc == 0 && (rc = keys_write(walk, application)) != 0) {
            rc = error_wrap(rc, "group %" PRIu64, manifest->group);
        }
        progress_update(keys->progress, backup_reader_offset(reader), keys->bytes_total);
    } while (rc == 0 && application.size > 0);
    return keys_close(keys, walk, manifest, rc);
}

int backup_keys_of_backup(struct backup_keys *keys, struct backup_reader *reader)
{
    const struct hf_snapshot_manifest *manifest = NULL;
    int rc;
    do {
        rc = backup_reader_group(reader, &manifest);
        rc = rc == 0 && manifest != NULL ? keys_of_group(keys, reader, manifest) : rc;
    } while (rc == 0 && manifest != NULL);
    return rc;
}

int backup_keys_of_snapshot(struct backup_keys *keys, struct hf_snapshot_reader *reader)
{
    const struct hf_snapshot_manifest *manifest = hf_snapshot_reader_manifest(reader);
    struct state_walk *walk = keys_open(keys, manifest);
    struct hf_bytes application = {0};
    int rc;
    do {
        rc = hf_snapshot_read_next(reader, &application);
        rc = rc == 0 ? keys_write(walk, application) : rc;
        keys->bytes_done += rc == 0 ? application.size : 0;
        progress_update(keys->progress, keys->bytes_done, keys->bytes_total);
    } while (rc == 0 && application.size > 0);
    rc = keys_close(keys, walk, manifest, rc);
    return rc == 0 ? 0 : error_wrap(rc, "group %" PRIu64, manifest->group);
}
