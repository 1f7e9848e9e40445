#include "node/snapshot_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/group_stream.h"
#include "node/node_state.h"

struct snapshot_job {
    struct hosted_group *group;
    struct hf_snapshot_store *store;
    struct work_item item;
    uint64_t sequence;
    struct replica_snapshot point;
    struct hf_snapshot_begin begin;
    struct buffer configuration;
    void *cut;
    struct hf_snapshot_writer *writer;
    struct hf_snapshot_manifest manifest; /* once it is published */
    struct hf_snapshot_retention retention;
    bool is_read;        /* the cut has no more bytes */
    bool is_published;   /* it is in the store */
    bool is_waiting;     /* written, and covers what is not durable in the log yet … */
    uint64_t waiting_ms; /* … since then */
    bool is_cancelled;
    uint64_t second_index; /* of the newest verified one before it; 0: none */
    uint64_t cut_bytes;    /* group->applied_bytes at the cut */
    size_t piece_bytes;    /* of the piece that the worker read last */
    uint64_t bytes;
    uint64_t bytes_expected;
    uint64_t started_ms;
    uint8_t *step; /* large: a worker makes and frees it */
};

static struct node *job_node(const struct snapshot_job *job)
{
    return job->group->node;
}

/* ---- Worker ---- */

/* A good one at this index, of an earlier attempt that was published and could not be read back, or of a process that
 * did not come to tell the engine: it is verified instead of written once more. */
static int job_adopt(struct snapshot_job *job)
{
    struct hf_snapshot_info *list;
    size_t count;
    int rc = hf_snapshot_list(job->store, job->begin.group, &list, &count);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < count && !job->is_published; i++) {
        const struct hf_snapshot_manifest *manifest = &list[i].manifest;
        if (!list[i].damaged && list[i].origin == HF_SNAPSHOT_LOCAL && manifest->index == job->begin.index &&
            manifest->term == job->begin.term && manifest->group_incarnation == job->begin.group_incarnation) {
            job->manifest = *manifest;
            job->is_published = true;
        }
    }
    hf_snapshot_list_free(list);
    if (!job->is_published) {
        return error_raise(HF_EEXISTS, "a snapshot beyond index %" PRIu64 " is there, of a state that is not ours",
                           job->begin.index);
    }
    job->group->ops->cut_close(job->cut);
    job->cut = NULL;
    return 0;
}

static int job_begin(void *arg)
{
    struct snapshot_job *job = arg;
    uint8_t head[GROUP_STREAM_HEAD_SIZE];
    const struct group_stream_head fields = {job->group->id, job->group->incarnation, job->point.stamp_ms};
    job->step = memory_new(SNAPSHOT_JOB_STEP_BYTES);
    int rc = hf_snapshot_begin(job->store, &job->begin, &job->writer);
    if (rc == HF_EEXISTS) {
        return job_adopt(job);
    }
    if (rc == 0) {
        group_stream_encode(&fields, head);
        rc = hf_snapshot_write(job->writer, head, sizeof(head));
    }
    return rc;
}

static int job_write(void *arg)
{
    struct snapshot_job *job = arg;
    /* With the head the first step is a whole chunk, too: that is compressed from where it is. */
    size_t size = SNAPSHOT_JOB_STEP_BYTES - (job->bytes == 0 ? GROUP_STREAM_HEAD_SIZE : 0);
    int rc = 0;
    job->piece_bytes = 0;
    while (job->piece_bytes < SNAPSHOT_JOB_PIECE_BYTES && !job->is_read && rc == 0) {
        size_t got = 0;
        rc = job->group->ops->cut_read(job->cut, job->step, size, &got);
        io_give_way();
        if (rc == 0) {
            rc = hf_snapshot_write(job->writer, job->step, got);
            job->is_read = rc == 0 && got < size;
        }
        io_give_way();
        job->piece_bytes += got;
        size = SNAPSHOT_JOB_STEP_BYTES;
    }
    return rc;
}

static int job_finish(void *arg)
{
    struct snapshot_job *job = arg;
    uint64_t entries = job->group->ops->cut_entries(job->cut);
    struct hf_snapshot_writer *writer = job->writer;
    job->writer = NULL; /* freed either way */
    free(job->step);
    job->step = NULL;
    job->group->ops->cut_close(job->cut);
    job->cut = NULL;
    int rc = hf_snapshot_finish(writer, entries, &job->manifest);
    job->is_published = rc == 0;
    return rc;
}

static int job_verified_some(void *arg, uint64_t bytes_done, uint64_t bytes_total)
{
    io_give_way();
    return 0;
}

/* A snapshot counts when every byte of it was read back. The one before counts only then, too. */
static int job_verify(void *arg)
{
    struct snapshot_job *job = arg;
    struct hf_snapshot_info *list;
    size_t count;
    int rc = hf_snapshot_verify(job->store, job->manifest.id, job_verified_some, NULL);
    if (rc != 0) {
        return rc;
    }
    rc = hf_snapshot_list(job->store, job->begin.group, &list, &count);
    for (size_t i = 0; rc == 0 && i < count && job->second_index == 0; i++) {
        const struct hf_snapshot_manifest *manifest = &list[i].manifest;
        if (!list[i].damaged && list[i].origin == HF_SNAPSHOT_LOCAL && manifest->index < job->manifest.index &&
            manifest->group_incarnation == job->begin.group_incarnation &&
            (list[i].verified || hf_snapshot_verify(job->store, manifest->id, job_verified_some, NULL) == 0)) {
            job->second_index = manifest->index;
        }
    }
    if (rc == 0) {
        hf_snapshot_list_free(list);
    }
    return rc;
}

static int job_clean(void *arg)
{
    struct snapshot_job *job = arg;
    return hf_snapshot_clean(job->store, job->begin.group, &job->retention, 0, NULL);
}

static int job_abandon(void *arg)
{
    struct snapshot_job *job = arg;
    hf_snapshot_cancel(job->writer);
    free(job->step);
    job->writer = NULL;
    job->step = NULL;
    if (job->cut != NULL) {
        job->group->ops->cut_close(job->cut);
        job->cut = NULL;
    }
    return 0;
}

/* ---- Loop ---- */

static void job_end(struct snapshot_job *job, int result)
{
    struct hosted_group *group = job->group;
    uint64_t sequence = job->sequence;
    snapshot_job_close(job);
    snapshots_job_ended(group, sequence, result);
}

static void job_ended(void *arg, int result)
{
    struct snapshot_job *job = arg;
    if (result != 0) {
        /* What should go is still there; nothing is lost by that. */
        TRACE(TRACE_WARN, "node", "group %" PRIu64 ": older snapshots could not be removed: %s", job->group->id,
              hf_error_text());
    }
    job_end(job, 0);
}

static void job_abandoned(void *arg, int ignored)
{
    struct snapshot_job *job = arg;
    struct node *node = job_node(job);
    error_restore(node->snapshots.status.last_result, node->snapshots.status.text);
    job_end(job, node->snapshots.status.last_result);
}

static void job_fail(struct snapshot_job *job, int result)
{
    struct node *node = job_node(job);
    struct node_snapshot_status *status = &node->snapshots.status;
    status->last_result = result;
    snprintf(status->text, sizeof(status->text), "group %" PRIu64 ": %s", job->group->id, hf_error_text());
    work_start(&node->work, &job->item, job_abandon, job_abandoned, job);
}

/* The snapshot counts now: the engine forgets what it covers, and the log drops what two of them cover. */
static int job_compact(struct snapshot_job *job)
{
    struct hosted_group *group = job->group;
    uint64_t floor = snapshots_floor(group, job->second_index);
    if (MUTATED(SNAPSHOT_COMPACTS_TO_THE_NEWEST)) {
        floor = job->point.index;
    }
    uint64_t trailing = job->point.index - (floor < job->point.index ? floor : job->point.index);
    int rc = replica_snapshot_taken(group->replica, &job->point, trailing);
    if (rc == HF_ECONFLICT) {
        return 0; /* a newer one was installed meanwhile; or it takes the place of one that was lost */
    }
    if (rc == 0 && floor > 0) {
        rc = replica_compact(group->replica, floor);
    }
    snapshots_note_taken(group, job->point.index, job->manifest.created_ms, job->cut_bytes);
    return rc;
}

static void job_verified(void *arg, int result)
{
    struct snapshot_job *job = arg;
    struct node *node = job_node(job);
    if (result == 0 && !job->group->is_failed && node->phase == NODE_RUNNING) {
        result = job_compact(job);
    }
    if (result != 0) {
        job_fail(job, result);
        return;
    }
    hosted_group_touch(job->group);
    TRACE(TRACE_INFO, "node",
          "group %" PRIu64 ": snapshot at index %" PRIu64 ", %" PRIu64 " bytes, %" PRIu64 " stored, in %" PRIu64 " ms",
          job->group->id, job->point.index, job->manifest.application_bytes, job->manifest.stored_bytes,
          loop_now_ms(node->loop) - job->started_ms);
    work_start(&node->work, &job->item, job_clean, job_ended, job);
}

static void job_finished(void *arg, int result)
{
    struct snapshot_job *job = arg;
    if (result != 0) {
        job_fail(job, result);
        return;
    }
    work_start(&job_node(job)->work, &job->item, job_verify, job_verified, job);
}

/* 0 while the snapshot may go on. */
static int job_check(const struct snapshot_job *job)
{
    const struct hosted_group *group = job->group;
    uint64_t held_max = group->node->snapshots.options.copy_bytes_max;
    uint64_t held = group->ops->held_bytes != NULL ? group->ops->held_bytes(group->machine) : 0;
    if (job->is_cancelled || group->is_failed || group->node->phase != NODE_RUNNING) {
        return error_raise(HF_ECANCELLED, "the snapshot was given up");
    }
    if (held > held_max) {
        return error_raise(HF_ENOMEM,
                           "writes made the snapshot hold %" PRIu64 " bytes of copied pages, at most %" PRIu64
                           " are allowed (snapshot.copy_max)",
                           held, held_max);
    }
    return 0;
}

/* Rule 4: what others may load may not be ahead of the log here. */
static void job_publish(struct snapshot_job *job)
{
    bool was_waiting = job->is_waiting;
    uint64_t now_ms = loop_now_ms(job_node(job)->loop);
    job->is_waiting = !replica_snapshot_is_durable(job->group->replica, &job->point);
    job->waiting_ms = was_waiting ? job->waiting_ms : now_ms;
    if (!job->is_waiting) {
        work_start(&job_node(job)->work, &job->item, job_finish, job_finished, job);
    } else if (now_ms - job->waiting_ms > SNAPSHOT_JOB_WAIT_MS) {
        job->is_waiting = false;
        error_raise(HF_ETIMEOUT, "the log was not durable up to index %" PRIu64 " within %u ms", job->point.index,
                    SNAPSHOT_JOB_WAIT_MS);
        job_fail(job, HF_ETIMEOUT);
    }
}

void snapshot_job_continue(struct snapshot_job *job)
{
    if (!job->is_waiting) {
        return;
    }
    int rc = job_check(job);
    if (rc != 0) {
        job->is_waiting = false;
        job_fail(job, rc);
    } else {
        job_publish(job);
    }
}

static void job_wrote(void *arg, int result)
{
    struct snapshot_job *job = arg;
    struct work *work = &job_node(job)->work;
    job->bytes += job->piece_bytes;
    job->piece_bytes = 0;
    if (result == 0) {
        result = job_check(job);
    }
    if (result != 0) {
        job_fail(job, result);
    } else if (job->is_read) {
        job_publish(job);
    } else {
        work_start(work, &job->item, job_write, job_wrote, job);
    }
}

static void job_began(void *arg, int result)
{
    struct snapshot_job *job = arg;
    if (job->is_published) {
        job_finished(job, result);
    } else {
        job_wrote(job, result);
    }
}

/* Writes waited so long. */
static void job_note_pause(struct node *node, uint64_t started_ns)
{
    struct node_snapshot_status *status = &node->snapshots.status;
    status->pause_ns = io_monotonic_ns(node->io) - started_ns;
    status->pause_max_ns = status->pause_ns > status->pause_max_ns ? status->pause_ns : status->pause_max_ns;
}

int snapshot_job_start(struct hosted_group *group, uint64_t sequence, struct snapshot_job **out)
{
    struct node *node = group->node;
    struct replica_snapshot point;
    uint64_t started_ns = io_monotonic_ns(node->io);
    int rc = group->snapshots.is_lost ? replica_snapshot_point_again(group->replica, &point)
                                      : replica_snapshot_point(group->replica, &point);
    if (rc != 0) {
        return rc;
    }
    struct snapshot_job *job = memory_new(sizeof(*job));
    job->group = group;
    job->store = node->snapshots.store;
    job->sequence = sequence;
    job->point = point;
    job->point.stamp_ms = group->stamp.applied_ms;
    job->cut = group->ops->cut(group->machine);
    job->cut_bytes = group->applied_bytes;
    job->started_ms = loop_now_ms(node->loop);
    job->bytes_expected = group->ops->data_bytes != NULL ? group->ops->data_bytes(group->machine) : 0;
    job->retention =
        (struct hf_snapshot_retention){.keep_latest = node->snapshots.options.keep_latest, .received_included = true};
    replica_configuration_encode(point.members, point.member_count, &job->configuration);
    job->begin = (struct hf_snapshot_begin){
        .group = group->id,
        .group_incarnation = group->incarnation,
        .index = point.index,
        .term = point.term,
        .configuration_index = point.configuration_index,
        .configuration = buffer_bytes(&job->configuration),
        .created_ms = io_wall_ms(node->io),
        .estimate_bytes = job->bytes_expected / 4, /* compressed; if it is more, the writing finds out */
    };
    work_start(&node->work, &job->item, job_begin, job_began, job);
    job_note_pause(node, started_ns);
    *out = job;
    return 0;
}

void snapshot_job_cancel(struct snapshot_job *job)
{
    job->is_cancelled = true;
}

const struct hosted_group *snapshot_job_group(const struct snapshot_job *job)
{
    return job->group;
}

void snapshot_job_progress(const struct snapshot_job *job, struct node_snapshot_status *out)
{
    out->is_running = true;
    out->running_group = job->group->id;
    out->bytes_done = job->bytes;
    out->bytes_expected = job->bytes_expected;
    out->started_ms = job->started_ms;
    uint64_t took_ms = loop_now_ms(job_node(job)->loop) - job->started_ms;
    uint64_t left = job->bytes_expected > job->bytes ? job->bytes_expected - job->bytes : 0;
    out->bytes_per_s = took_ms > 0 ? job->bytes * 1000 / took_ms : 0;
    out->left_ms = out->bytes_per_s > 0 ? left * 1000 / out->bytes_per_s : 0;
}

void snapshot_job_close(struct snapshot_job *job)
{
    if (job == NULL) {
        return;
    }
    (void)job_abandon(job);
    buffer_close(&job->configuration);
    free(job);
}
