/* links: log */
/* Appends to one log from one thread, with durable acknowledgement and a fixed number outstanding. Prints one JSON
 * object.
 *
 *   bench_log DIRECTORY PAYLOAD_BYTES OUTSTANDING ENTRIES_PER_BATCH GROUPS SECONDS caller|thread */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/mutex.h"
#include "log/log.h"

struct bench {
    struct io *io;
    struct hf_log *log;
    struct hf_log_batch *batch;
    struct histogram *latency;
    struct mutex mutex; /* guards what follows: callbacks run in the driver's thread */
    struct condition answered;
    uint64_t outstanding;
    uint64_t done_entries;
    int failure;
    uint64_t *next_index; /* by group */
    uint64_t group_count;
    uint64_t batch_entries;
    bool caller_drives;
};

struct append {
    struct bench *bench;
    uint64_t started_ns;
    struct append *next_free;
};

static struct append *appends_free;

static void append_done(void *arg, int result)
{
    struct append *append = arg;
    struct bench *bench = append->bench;
    uint64_t now = io_monotonic_ns(bench->io);
    mutex_lock(&bench->mutex);
    histogram_record(bench->latency, now - append->started_ns);
    bench->outstanding -= bench->batch_entries;
    bench->done_entries += bench->batch_entries;
    bench->failure = bench->failure != 0 ? bench->failure : result;
    append->next_free = appends_free;
    appends_free = append;
    mutex_unlock(&bench->mutex);
    condition_signal(&bench->answered);
}

static int append_one(struct bench *bench, uint64_t sequence, const struct hf_entry *template)
{
    uint64_t group = 1 + sequence % bench->group_count;
    hf_log_batch_clear(bench->batch);
    for (uint64_t i = 0; i < bench->batch_entries; i++) {
        struct hf_entry entry = *template;
        entry.index = bench->next_index[group - 1]++;
        int rc = hf_log_batch_append(bench->batch, group, &entry, 1);
        if (rc != 0) {
            return rc;
        }
    }
    mutex_lock(&bench->mutex);
    struct append *append = appends_free;
    appends_free = append->next_free;
    bench->outstanding += bench->batch_entries;
    mutex_unlock(&bench->mutex);
    append->started_ns = io_monotonic_ns(bench->io);
    return hf_log_append(bench->log, bench->batch, append_done, append);
}

static void wait_below(struct bench *bench, uint64_t outstanding_max)
{
    if (bench->caller_drives) {
        struct list done;
        while (bench->outstanding > outstanding_max) {
            if (hf_log_turn(bench->log) == 0) {
                list_init(&done);
                /* Nothing was ready: sleep in the kernel until a write completes. */
                hf_log_wait(bench->log);
            }
        }
        return;
    }
    mutex_lock(&bench->mutex);
    while (bench->outstanding > outstanding_max) {
        condition_wait(&bench->answered, &bench->mutex);
    }
    mutex_unlock(&bench->mutex);
}
