#include "snapshot/snapshot_packer.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "snapshot/snapshot_codec.h"
#include "snapshot/snapshot_digest.h"

/* One chunk on its way. Jobs form a ring: the next one to be filled is the oldest in flight, so chunks come out in
 * order. */
struct packer_job {
    struct snapshot_packer *packer;
    struct snapshot_codec *codec;
    uint8_t *application;
    uint32_t filled;
    const uint8_t *source; /* what is packed: `application`, or the caller's own bytes */
    uint32_t number;
    uint8_t *section;
    size_t section_size;
    struct io_operation operation;
    bool in_flight; /* submitted, not reaped */
    bool waits;     /* packed or in flight, not emitted */
};

struct snapshot_packer {
    struct hf_snapshot_format format;
    struct hf_snapshot_id id;
    snapshot_packer_emit *emit;
    void *arg;
    struct io_queue *queue; /* NULL: this thread packs */
    struct packer_job *jobs;
    unsigned job_count;
    unsigned filling; /* index of the job that takes bytes */
    uint32_t chunk_count;
    uint64_t application_bytes;
    struct snapshot_digest *digest;
};

int snapshot_packer_open(const struct hf_snapshot_format *format, struct io *queue_io, struct hf_snapshot_id id,
                         snapshot_packer_emit *emit, void *arg, struct snapshot_packer **out)
{
    *out = NULL;
    struct snapshot_packer *packer = memory_new(sizeof(*packer));
    *packer = (struct snapshot_packer){.format = *format, .id = id, .emit = emit, .arg = arg, .job_count = 1};
    int rc = snapshot_digest_open(&packer->digest);
    if (rc == 0 && format->worker_threads > 0 && queue_io != NULL) {
        /* Each worker has a chunk, and the owner fills one more meanwhile. */
        packer->job_count = format->worker_threads + 1;
        rc = io_queue_open(queue_io, packer->job_count, &packer->queue);
    }
    if (rc != 0) {
        snapshot_digest_close(packer->digest);
        free(packer);
        return rc;
    }
    packer->jobs = memory_new(packer->job_count * sizeof(*packer->jobs));
    for (unsigned i = 0; i < packer->job_count; i++) {
        struct packer_job *job = &packer->jobs[i];
        job->packer = packer;
        job->codec = snapshot_codec_open(format->compression, format->level);
        job->application = memory_new(format->chunk_size_bytes);
        job->section =
            memory_new(SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)format->chunk_size_bytes + SNAPSHOT_CODEC_EXTRA_SIZE);
    }
    *out = packer;
    return 0;
}

/* Runs in a worker, or in the owner's thread. */
static int packer_pack(void *arg)
{
    struct packer_job *job = arg;
    struct snapshot_section section = {
        .kind = SNAPSHOT_SECTION_CHUNK, .number = job->number, .application_size = job->filled};
    int rc = snapshot_codec_pack(job->codec, job->source, job->filled, job->section + SNAPSHOT_FORMAT_SECTION_SIZE,
                                 &section.payload_size, &section.compression);
    if (rc == 0) {
        snapshot_format_seal_section(job->section, &section, &job->packer->id);
        job->section_size = SNAPSHOT_FORMAT_SECTION_SIZE + (size_t)section.payload_size;
    }
    io_give_way();
    return rc;
}

static void packer_wait(struct snapshot_packer *packer, struct packer_job *job)
{
    while (job->in_flight) {
        struct list done;
        list_init(&done);
        io_queue_reap(packer->queue, &done, UINT64_MAX);
        list_each (&done, item) {
            struct io_operation *operation = list_entry(item, struct io_operation, link);
            ((struct packer_job *)operation->user)->in_flight = false;
        }
    }
}

/* Waits for a job and hands its chunk out. */
static int packer_collect(struct snapshot_packer *packer, struct packer_job *job)
{
    if (!job->waits) {
        return 0;
    }
    packer_wait(packer, job);
    job->waits = false;
    if (job->operation.result != 0) {
        return error_restore(job->operation.result, job->operation.text);
    }
    job->filled = 0;
    return packer->emit(packer->arg, job->number, bytes_of(job->section, job->section_size));
}

static int packer_dispatch(struct snapshot_packer *packer, struct packer_job *job)
{
    snapshot_digest_update(packer->digest, job->source, job->filled);
    job->number = packer->chunk_count++;
    job->waits = true;
    job->operation =
        (struct io_operation){.kind = IO_WORK, .work = packer_pack, .arg = job, .user = job, .is_background = true};
    if (packer->queue == NULL) {
        int rc = packer_pack(job);
        return rc == 0 ? packer_collect(packer, job) : rc;
    }
    int rc = io_queue_submit(packer->queue, &job->operation);
    if (rc == 0) {
        job->in_flight = true;
        rc = io_queue_flush(packer->queue);
    }
    packer->filling = (packer->filling + 1) % packer->job_count;
    return rc == 0 ? packer_collect(packer, &packer->jobs[packer->filling]) : rc;
}

int snapshot_packer_write(struct snapshot_packer *packer, const void *data, size_t size)
{
    const uint8_t *at = data;
    int rc = 0;
    while (size > 0 && rc == 0) {
        struct packer_job *job = &packer->jobs[packer->filling];
        size_t piece = packer->format.chunk_size_bytes - job->filled;
        piece = piece < size ? piece : size;
        if (packer->queue == NULL && piece == packer->format.chunk_size_bytes) {
            job->source = at; /* a whole chunk that is packed before this call returns need not be copied */
        } else {
            memcpy(job->application + job->filled, at, piece);
            job->source = job->application;
        }
        job->filled += (uint32_t)piece;
        packer->application_bytes += piece;
        at += piece;
        size -= piece;
        if (job->filled == packer->format.chunk_size_bytes) {
            rc = packer_dispatch(packer, job);
        }
    }
    return rc;
}

int snapshot_packer_finish(struct snapshot_packer *packer, uint8_t digest[16])
{
    int rc = 0;
    struct packer_job *last = &packer->jobs[packer->filling];
    if (last->filled > 0) {
        rc = packer_dispatch(packer, last);
    }
    for (unsigned i = 0; i < packer->job_count && rc == 0; i++) {
        rc = packer_collect(packer, &packer->jobs[(packer->filling + i) % packer->job_count]);
    }
    snapshot_digest_get(packer->digest, digest);
    return rc;
}

uint64_t snapshot_packer_application_bytes(const struct snapshot_packer *packer)
{
    return packer->application_bytes;
}

void snapshot_packer_close(struct snapshot_packer *packer)
{
    if (packer == NULL) {
        return;
    }
    for (unsigned i = 0; i < packer->job_count; i++) {
        struct packer_job *job = &packer->jobs[i];
        packer_wait(packer, job);
        snapshot_codec_close(job->codec);
        free(job->application);
        free(job->section);
    }
    io_queue_close(packer->queue);
    snapshot_digest_close(packer->digest);
    free(packer->jobs);
    free(packer);
}
