/* Installing a snapshot: a group is kept as it is from begin to finish, then restarts behind the snapshot with one
 * reset record. Only that record is stored; a crash before it leaves the old log, one after it the new. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "log/log_batch.h"
#include "log/log_state.h"

/* The mutex is held. */
static int log_install_check(const struct log_group *group, uint64_t index, uint64_t term)
{
    const struct log_group_bounds *bounds = &group->bounds;
    if (group->install != NULL) {
        return error_raise(HF_EBUSY, "group %" PRIu64 ": a snapshot up to index %" PRIu64 " is being installed",
                           group->id, group->install->index);
    }
    if (bounds->anchored && index == bounds->floor && bounds->floor_term != 0 && bounds->floor_term != term) {
        return error_raise(
            HF_ECONFLICT, "group %" PRIu64 " begins behind index %" PRIu64 " of term %" PRIu64 ", not of term %" PRIu64,
            group->id, index, bounds->floor_term, term);
    }
    if (bounds->anchored && index <= bounds->floor) {
        return error_raise(HF_ECOMPACTED, "group %" PRIu64 " begins behind index %" PRIu64 " already", group->id,
                           bounds->floor);
    }
    return 0;
}

static int log_install_check_arguments(uint64_t group, uint64_t index, struct hf_bytes name)
{
    if (group == 0 || group > HF_LOG_GROUP_MAX) {
        return error_raise(HF_EINVALID, "group %" PRIu64 " is outside 1 … 2^63-1", group);
    }
    if (index == 0 || index == HF_LOG_INDEX_MAX) {
        return error_raise(HF_EINVALID, "no snapshot ends at index %" PRIu64, index);
    }
    if (name.size > HF_LOG_SNAPSHOT_NAME_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "the snapshot's name is longer than %u bytes", HF_LOG_SNAPSHOT_NAME_SIZE_MAX);
    }
    return 0;
}

int hf_log_install_begin(struct hf_log *log, uint64_t group_id, uint64_t index, uint64_t term,
                         struct hf_bytes snapshot_name)
{
    int rc = log_install_check_arguments(group_id, index, snapshot_name);
    if (rc != 0) {
        return rc;
    }
    mutex_lock(&log->mutex);
    struct log_group *group = log_groups_get(&log->groups, group_id);
    if (group == NULL) {
        rc = error_raise(HF_ETOOBIG, "more than %u groups", LOG_GROUP_COUNT_MAX);
    } else {
        rc = log_install_check(group, index, term);
    }
    if (rc == 0) {
        group->install = memory_new(sizeof(*group->install));
        group->install->number = ++log->install_count;
        group->install->index = index;
        group->install->term = term;
        group->install->name_size = (uint32_t)snapshot_name.size;
        if (snapshot_name.size > 0) {
            memcpy(group->install->name, snapshot_name.data, snapshot_name.size);
        }
    }
    mutex_unlock(&log->mutex);
    return rc;
}

int hf_log_install_finish(struct hf_log *log, uint64_t group_id)
{
    struct hf_log_batch *batch = NULL;
    struct log_install install = {0};
    mutex_lock(&log->mutex);
    const struct log_group *group = log_groups_find(&log->groups, group_id);
    if (group != NULL && group->install != NULL) {
        install = *group->install;
    }
    mutex_unlock(&log->mutex);
    if (install.number == 0) {
        return error_raise(HF_ENOTFOUND, "group %" PRIu64 ": no snapshot is being installed", group_id);
    }
    int rc = hf_log_batch_open(&batch);
    if (rc == 0) {
        batch->installs = install.number; /* applying it ends the installation, in the same step */
        rc =
            hf_log_batch_reset(batch, group_id, install.index, install.term, bytes_of(install.name, install.name_size));
    }
    if (rc == 0) {
        rc = hf_log_append_wait(log, batch);
    }
    hf_log_batch_close(batch);
    return rc;
}

int hf_log_install_cancel(struct hf_log *log, uint64_t group_id)
{
    int rc = 0;
    mutex_lock(&log->mutex);
    struct log_group *group = log_groups_find(&log->groups, group_id);
    if (group != NULL && group->install != NULL) {
        free(group->install);
        group->install = NULL;
    } else {
        rc = error_raise(HF_ENOTFOUND, "group %" PRIu64 ": no snapshot is being installed", group_id);
    }
    mutex_unlock(&log->mutex);
    return rc;
}
