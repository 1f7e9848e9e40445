/* links: log */
/* Appends to one log from one thread, with durable acknowledgement and a fixed number of entries outstanding: a closed
 * loop, as a node with that many clients makes it. Prints one JSON object.
 *
 *   bench_log DIRECTORY PAYLOAD_BYTES OUTSTANDING ENTRIES_PER_BATCH GROUPS SECONDS caller|thread
 *
 * `caller`: the appending thread drives the writer's turns and sleeps on the log's descriptor, as a node's loop does.
 * `thread`: the log's own thread drives, and wakes the appender. The first WARM_UP_SHARE of the time is not counted. */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/histogram.h"
#include "base/mutex.h"
#include "log/log.h"

#define WARM_UP_SHARE 0.15
#define POLL_MS_MAX   100

struct bench_options {
    const char *directory;
    size_t payload_size;
    uint64_t outstanding_max;
    uint64_t batch_entries;
    uint64_t group_count;
    double seconds;
    bool caller_drives;
};

struct bench {
    struct bench_options options;
    struct io *io;
    struct hf_log *log;
    struct hf_log_batch *batch;
    uint8_t *payload;
    uint64_t *next_index; /* by group */
    uint64_t appended;    /* batches, ever */
    uint64_t *started_ns; /* a ring by batch: acknowledgements come in the order of the appends */
    uint64_t ring_size;
    bool measures;
    /* With `thread`, callbacks run in the log's thread: what follows is guarded by the mutex. */
    struct mutex mutex;
    struct condition acknowledged_more;
    uint64_t acknowledged; /* batches, ever */
    uint64_t counted;      /* batches since the warm-up */
    struct histogram latency;
    int failure;
};

static void bench_acknowledged(void *arg, int result)
{
    struct bench *bench = arg;
    uint64_t now = io_monotonic_ns(bench->io);
    mutex_lock(&bench->mutex);
    if (bench->measures) {
        histogram_record(&bench->latency, now - bench->started_ns[bench->acknowledged % bench->ring_size]);
        bench->counted++;
    }
    bench->acknowledged++;
    bench->failure = bench->failure != 0 ? bench->failure : result;
    mutex_unlock(&bench->mutex);
    condition_signal(&bench->acknowledged_more);
}

static int bench_append(struct bench *bench)
{
    uint64_t group = 1 + bench->appended % bench->options.group_count;
    hf_log_batch_clear(bench->batch);
    for (uint64_t i = 0; i < bench->options.batch_entries; i++) {
        const struct hf_entry entry = {
            .index = ++bench->next_index[group - 1],
            .term = 1,
            .type = HF_ENTRY_NORMAL,
            .payload = bytes_of(bench->payload, bench->options.payload_size),
        };
        int rc = hf_log_batch_append(bench->batch, group, &entry, 1);
        if (rc != 0) {
            return rc;
        }
    }
    bench->started_ns[bench->appended % bench->ring_size] = io_monotonic_ns(bench->io);
    bench->appended++;
    return hf_log_append(bench->log, bench->batch, bench_acknowledged, bench);
}

static uint64_t bench_outstanding(struct bench *bench)
{
    mutex_lock(&bench->mutex);
    uint64_t outstanding = bench->appended - bench->acknowledged;
    mutex_unlock(&bench->mutex);
    return outstanding * bench->options.batch_entries;
}

static void bench_wait_driving(struct bench *bench, uint64_t outstanding_max)
{
    struct pollfd descriptor = {.fd = hf_log_descriptor(bench->log), .events = POLLIN};
    hf_log_turn(bench->log);
    while (bench_outstanding(bench) > outstanding_max) {
        uint64_t deadline = log_deadline_ns(bench->log), now = io_monotonic_ns(bench->io);
        uint64_t wait_ms = deadline <= now ? 0 : (deadline - now) / 1000000 + 1;
        poll(&descriptor, 1, wait_ms > POLL_MS_MAX ? POLL_MS_MAX : (int)wait_ms);
        hf_log_turn(bench->log);
    }
}

/* Waits until at most so many entries are outstanding. */
static void bench_wait(struct bench *bench, uint64_t outstanding_max)
{
    if (bench->options.caller_drives) {
        bench_wait_driving(bench, outstanding_max);
        return;
    }
    mutex_lock(&bench->mutex);
    while ((bench->appended - bench->acknowledged) * bench->options.batch_entries > outstanding_max) {
        condition_wait(&bench->acknowledged_more, &bench->mutex);
    }
    mutex_unlock(&bench->mutex);
}

static uint64_t bench_measure_from_now(struct bench *bench)
{
    mutex_lock(&bench->mutex);
    bench->measures = true;
    mutex_unlock(&bench->mutex);
    return io_monotonic_ns(bench->io);
}

static int bench_run(struct bench *bench, double *seconds)
{
    const struct bench_options *options = &bench->options;
    uint64_t started = io_monotonic_ns(bench->io), measured_from = 0, now = started;
    int rc = 0;
    while (rc == 0 && (double)(now - started) < options->seconds * 1e9) {
        bench_wait(bench, options->outstanding_max - options->batch_entries);
        now = io_monotonic_ns(bench->io);
        if (measured_from == 0 && (double)(now - started) >= options->seconds * 1e9 * WARM_UP_SHARE) {
            measured_from = bench_measure_from_now(bench);
        }
        /* Fill up before sleeping again: the next write gathers whatever waits. */
        while (rc == 0 && bench_outstanding(bench) + options->batch_entries <= options->outstanding_max) {
            rc = bench_append(bench);
        }
        rc = rc != 0 ? rc : bench->failure;
    }
    *seconds = (double)(now - measured_from) / 1e9;
    return rc;
}

static void bench_print(const struct bench *bench, uint64_t counted, double seconds)
{
    const struct histogram *latency = &bench->latency;
    struct hf_log_stat stat;
    hf_log_stat(bench->log, &stat);
    printf("{\"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, "
           "\"entries_per_write\": %.1f, \"io\": \"%s\"}\n",
           (double)(counted * bench->options.batch_entries) / seconds, (double)histogram_quantile(latency, 0.5) / 1e3,
           (double)histogram_quantile(latency, 0.99) / 1e3, (double)histogram_quantile(latency, 0.999) / 1e3,
           (double)latency->value_max / 1e3,
           stat.writes > 0 ? (double)stat.appended_entries / (double)stat.writes : 0.0, stat.io_name);
}

static int bench_open(struct bench *bench)
{
    struct hf_log_options options;
    hf_log_options_init(&options);
    options.driver = bench->options.caller_drives ? HF_LOG_DRIVE_CALLER : HF_LOG_DRIVE_THREAD;
    if (options.queue_entries_max < 2 * bench->options.outstanding_max) {
        options.queue_entries_max = 2 * bench->options.outstanding_max;
    }
    int rc = io_open_kernel(IO_BACKEND_AUTO, &bench->io);
    if (rc == 0) {
        rc = directory_create(bench->io, bench->options.directory);
    }
    if (rc == 0) {
        rc = log_open(bench->io, bench->options.directory, &options, &bench->log);
    }
    if (rc == 0) {
        rc = hf_log_batch_open(&bench->batch);
    }
    return rc;
}

static int bench_run_all(struct bench *bench)
{
    double seconds = 0;
    int rc = bench_open(bench);
    if (rc == 0) {
        rc = bench_run(bench, &seconds);
    }
    if (rc == 0) {
        uint64_t counted = bench->counted;
        bench_wait(bench, 0);
        bench_print(bench, counted, seconds);
    }
    if (rc != 0) {
        fprintf(stderr, "error: %s\n", hf_error_text());
    }
    hf_log_batch_close(bench->batch);
    hf_log_close(bench->log);
    io_close(bench->io);
    return rc;
}

static bool bench_arguments(int argc, char **argv, struct bench_options *out)
{
    if (argc != 8 || (strcmp(argv[7], "caller") != 0 && strcmp(argv[7], "thread") != 0)) {
        return false;
    }
    *out = (struct bench_options){
        .directory = argv[1],
        .payload_size = (size_t)strtoull(argv[2], NULL, 10),
        .outstanding_max = strtoull(argv[3], NULL, 10),
        .batch_entries = strtoull(argv[4], NULL, 10),
        .group_count = strtoull(argv[5], NULL, 10),
        .seconds = strtod(argv[6], NULL),
        .caller_drives = strcmp(argv[7], "caller") == 0,
    };
    return out->payload_size <= HF_LOG_PAYLOAD_SIZE_MAX && out->batch_entries > 0 && out->group_count > 0 &&
           out->outstanding_max >= out->batch_entries && out->seconds > 0;
}

int main(int argc, char **argv)
{
    struct bench *bench = memory_new(sizeof(*bench));
    if (!bench_arguments(argc, argv, &bench->options)) {
        fprintf(stderr, "usage: bench_log DIRECTORY PAYLOAD_BYTES OUTSTANDING ENTRIES_PER_BATCH GROUPS SECONDS "
                        "caller|thread\n");
        free(bench);
        return 2;
    }
    bench->payload = memory_new(bench->options.payload_size + 1);
    memset(bench->payload, 'x', bench->options.payload_size);
    bench->next_index = memory_new(bench->options.group_count * sizeof(*bench->next_index));
    bench->ring_size = bench->options.outstanding_max / bench->options.batch_entries + 1;
    bench->started_ns = memory_new(bench->ring_size * sizeof(*bench->started_ns));
    mutex_init(&bench->mutex);
    condition_init(&bench->acknowledged_more);
    int rc = bench_run_all(bench);
    condition_close(&bench->acknowledged_more);
    mutex_close(&bench->mutex);
    free(bench->started_ns);
    free(bench->next_index);
    free(bench->payload);
    free(bench);
    return rc == 0 ? 0 : 1;
}
