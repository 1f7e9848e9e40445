/* links: log */
/* Appends to one log from one thread, with durable acknowledgement and a fixed number of entries outstanding. Prints
 * one JSON object.
 *
 *   bench_log DIRECTORY PAYLOAD_BYTES OUTSTANDING ENTRIES_PER_BATCH GROUPS SECONDS
 * caller|blocking|thread|thread-blocking|thread-polling|none [KEPT_MIB]
 *
 * The log is compacted every 32 MiB; so much more is kept each time (none), up to 224 MiB.
 *
 * `caller`: the appending thread drives the writer's turns and sleeps in them. `blocking`: the same by
 * hf_log_append_wait, so that nothing but one batch is outstanding. `thread`: the log's own thread drives, and wakes
 * the appender. `thread-polling`: the appender looks for completions all the time and never sleeps. `none`: nothing is
 * appended, every append counts as acknowledged in the next turn: what the client itself costs. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/semaphore.h"
#include "closed_loop.h"
#include "log/log.h"

#define WAIT_NS_MAX         UINT64_C(100000000)
#define COMPACT_EVERY_BYTES (32u << 20) /* of the stream */
#define KEPT_STEPS_MAX      7u
#define POLL_MAX            64u
#define LOOK_EVERY_BATCHES  512u         /* how often its length is asked for */
#define WARM_UP_BYTES       (320u << 20) /* then segments have their full size, and old ones are used again */
#define WARM_UP_ENTRIES     256u
#define WARM_UP_PAYLOAD     4096u

enum bench_driver {
    BENCH_CALLER,
    BENCH_BLOCKING,
    BENCH_THREAD,
    BENCH_THREAD_BLOCKING,
    BENCH_THREAD_POLLING,
    BENCH_NONE,
    BENCH_DRIVER_COUNT
};
static const char *const bench_driver_names[] = {"caller",          "blocking",       "thread",
                                                 "thread-blocking", "thread-polling", "none"};

struct bench_options {
    const char *directory;
    size_t payload_size;
    uint64_t outstanding_max;
    uint64_t batch_entries;
    uint64_t group_count;
    double seconds;
    enum bench_driver driver;
    uint64_t kept_steps; /* compactions: what they keep */
};

struct bench {
    struct bench_options options;
    struct closed_loop *loop;
    struct hf_log *log;
    struct hf_log_batch *batch;
    struct hf_entry *entries; /* of one batch */
    uint8_t *payload;
    uint64_t *next_index; /* by group */
    uint64_t *kept_index; /* the same, when each of the last compactions was made */
    uint64_t compactions;
    uint64_t group;            /* of the next batch */
    uint64_t acknowledged;     /* batches, ever; written by the driver */
    uint64_t wanted;           /* the appender sleeps until so many are; 0: it does not sleep */
    struct hf_log_stat before; /* when measuring began */
    struct hf_log_stage_stat stages_before[HF_LOG_STAGE_COUNT];
    uint64_t compacted_bytes; /* length of the stream at the last compaction */
    uint64_t looked;          /* batches at the last look */
    int failure;
    struct semaphore told;
};

/* Nothing but a count: the appender looks at the clock. */
static void bench_acknowledged(void *arg, int result)
{
    struct bench *bench = arg;
    if (result != 0) {
        __atomic_store_n(&bench->failure, result, __ATOMIC_RELEASE);
    }
    uint64_t acknowledged = bench->acknowledged + 1;
    if (bench->options.driver != BENCH_THREAD) {
        bench->acknowledged = acknowledged;
        return;
    }
    /* Sequentially consistent with the appender, which sets `wanted` and then looks at `acknowledged`. */
    __atomic_store_n(&bench->acknowledged, acknowledged, __ATOMIC_SEQ_CST);
    uint64_t wanted = __atomic_load_n(&bench->wanted, __ATOMIC_SEQ_CST);
    if (wanted != 0 && acknowledged >= wanted && __atomic_exchange_n(&bench->wanted, 0, __ATOMIC_SEQ_CST) != 0) {
        semaphore_post(&bench->told);
    }
}

static int bench_append(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    uint64_t group = bench->group + 1;
    bench->group = group == options->group_count ? 0 : group;
    for (uint64_t i = 0; i < options->batch_entries; i++) {
        bench->entries[i].index = ++bench->next_index[group - 1];
    }
    if (options->driver == BENCH_NONE) {
        return 0;
    }
    hf_log_batch_clear(bench->batch);
    int rc = hf_log_batch_append(bench->batch, group, bench->entries, options->batch_entries);
    if (rc != 0) {
        return rc;
    }
    if (options->driver == BENCH_BLOCKING || options->driver == BENCH_THREAD_BLOCKING) {
        bench->acknowledged++;
        return hf_log_append_wait(bench->log, bench->batch);
    }
    if (options->driver == BENCH_THREAD_POLLING) {
        return hf_log_append_with(bench->log, bench->batch, &(struct hf_log_append_options){.poll = true});
    }
    return hf_log_append(bench->log, bench->batch, bench_acknowledged, bench);
}

static void bench_poll(struct bench *bench, uint64_t wanted)
{
    struct hf_log_completion completions[POLL_MAX];
    do {
        size_t count = hf_log_poll(bench->log, completions, POLL_MAX);
        for (size_t i = 0; i < count; i++) {
            bench_acknowledged(bench, completions[i].result);
        }
    } while (bench->acknowledged < wanted);
}

static void bench_sleep(struct bench *bench, uint64_t wanted)
{
    __atomic_store_n(&bench->wanted, wanted, __ATOMIC_SEQ_CST);
    bool late = __atomic_load_n(&bench->acknowledged, __ATOMIC_SEQ_CST) >= wanted;
    if (!late || __atomic_exchange_n(&bench->wanted, 0, __ATOMIC_SEQ_CST) == 0) { /* whoever takes it away has told */
        semaphore_wait(&bench->told);
    }
}

/* Waits until at least so many batches are acknowledged. */
static void bench_wait(struct bench *bench, uint64_t wanted)
{
    enum bench_driver driver = bench->options.driver;
    if (driver == BENCH_THREAD && __atomic_load_n(&bench->acknowledged, __ATOMIC_SEQ_CST) < wanted) {
        bench_sleep(bench, wanted);
    }
    if (driver == BENCH_THREAD_POLLING) {
        bench_poll(bench, wanted);
    }
    if (driver == BENCH_CALLER) {
        do {
            hf_log_turn_wait(bench->log, bench->acknowledged < wanted ? WAIT_NS_MAX : 0);
        } while (bench->acknowledged < wanted);
    }
    while (driver == BENCH_NONE && bench->acknowledged < bench->loop->started) {
        bench_acknowledged(bench, 0);
    }
    closed_loop_finished(bench->loop, __atomic_load_n(&bench->acknowledged, __ATOMIC_ACQUIRE));
}

/* Up to where each group is compacted now; takes the indexes of this moment for a later time. */
static uint64_t *bench_kept(struct bench *bench)
{
    uint64_t steps = bench->options.kept_steps;
    return steps == 0 ? bench->next_index : bench->kept_index + bench->compactions % steps * bench->options.group_count;
}

/* Drops what is old, now and then, as every node does: so files come back and are used again. */
static int bench_compact(struct bench *bench)
{
    struct hf_log_stat stat;
    hf_log_stat(bench->log, &stat);
    if (stat.written_bytes - bench->compacted_bytes < COMPACT_EVERY_BYTES) {
        return 0;
    }
    bench->compacted_bytes = stat.written_bytes;
    hf_log_batch_clear(bench->batch);
    int rc = 0;
    uint64_t *up_to = bench_kept(bench);
    for (uint64_t i = 0; i < bench->options.group_count && rc == 0; i++) {
        if (up_to[i] > 0) {
            rc = hf_log_batch_compact(bench->batch, i + 1, up_to[i]);
        }
        up_to[i] = bench->next_index[i];
    }
    bench->compactions++;
    return rc == 0 ? hf_log_append(bench->log, bench->batch, NULL, NULL) : rc;
}

/* Until the log is as it is in a node that has run for long. */
static int bench_warm_up(struct bench *bench)
{
    struct hf_log_stat stat = {0};
    uint8_t *payload = memory_new(WARM_UP_PAYLOAD);
    struct hf_entry *entries = memory_new(WARM_UP_ENTRIES * sizeof(*entries));
    int rc = 0;
    while (rc == 0 && stat.written_bytes < WARM_UP_BYTES) {
        for (unsigned i = 0; i < WARM_UP_ENTRIES; i++) {
            entries[i] = (struct hf_entry){.index = ++bench->next_index[0],
                                           .term = 1,
                                           .type = HF_ENTRY_NORMAL,
                                           .payload = bytes_of(payload, WARM_UP_PAYLOAD)};
        }
        hf_log_batch_clear(bench->batch);
        rc = hf_log_batch_append(bench->batch, 1, entries, WARM_UP_ENTRIES);
        rc = rc == 0 ? hf_log_append_wait(bench->log, bench->batch) : rc;
        rc = rc == 0 ? bench_compact(bench) : rc;
        hf_log_stat(bench->log, &stat);
    }
    free(entries);
    free(payload);
    return rc;
}

static int bench_run(struct bench *bench)
{
    struct closed_loop *loop = bench->loop;
    int rc = 0;
    while (rc == 0 && !closed_loop_over(loop)) {
        if (loop->started - bench->looked >= LOOK_EVERY_BATCHES && bench->options.driver != BENCH_NONE) {
            bench->looked = loop->started;
            rc = bench_compact(bench);
        }
        uint64_t room = closed_loop_room(loop), count = 0;
        uint64_t started_ns = loop->now_ns; /* when the last completions were seen */
        for (; rc == 0 && count < room; count++) {
            rc = bench_append(bench);
        }
        closed_loop_started(loop, count, started_ns);
        bench_wait(bench, rc == 0 ? loop->finished + 1 : 0);
        rc = rc != 0 ? rc : __atomic_load_n(&bench->failure, __ATOMIC_ACQUIRE);
    }
    bench_wait(bench, loop->started);
    return rc;
}

static int bench_open(struct bench *bench)
{
    struct hf_log_options options;
    hf_log_options_init(&options);
    bool by_thread = bench->options.driver == BENCH_THREAD || bench->options.driver == BENCH_THREAD_BLOCKING ||
                     bench->options.driver == BENCH_THREAD_POLLING;
    options.driver = by_thread ? HF_LOG_DRIVE_THREAD : HF_LOG_DRIVE_CALLER;
    if (options.queue_entries_max < 2 * bench->options.outstanding_max) {
        options.queue_entries_max = 2 * bench->options.outstanding_max;
    }
    int rc = hf_log_open(bench->options.directory, &options, &bench->log);
    return rc == 0 ? hf_log_batch_open(&bench->batch) : rc;
}

static void bench_read_stages(struct bench *bench, struct hf_log_stage_stat *stages)
{
    for (unsigned i = 0; i < HF_LOG_STAGE_COUNT; i++) {
        hf_log_stage_stat(bench->log, (enum hf_log_stage)i, &stages[i]);
    }
}

/* How long a measurement of each stage took on average; most stages are of a frame, encode and index of an entry. */
static void bench_print_stages(struct bench *bench)
{
    struct hf_log_stage_stat stages[HF_LOG_STAGE_COUNT];
    bench_read_stages(bench, stages);
    printf(", \"stages_us\": {");
    for (unsigned i = 0; i < HF_LOG_STAGE_COUNT; i++) {
        uint64_t count = stages[i].count - bench->stages_before[i].count;
        uint64_t sum_ns = stages[i].sum_ns - bench->stages_before[i].sum_ns;
        printf("%s\"%s\": %.2f", i > 0 ? ", " : "", hf_log_stage_name((enum hf_log_stage)i),
               count > 0 ? (double)sum_ns / (double)count / 1e3 : 0);
    }
    printf("}");
}

static void bench_print(struct bench *bench)
{
    struct hf_log_stat stat;
    hf_log_stat(bench->log, &stat);
    stat.writes -= bench->before.writes;
    stat.appended_bytes -= bench->before.appended_bytes;
    stat.appended_entries -= bench->before.appended_entries;
    stat.written_bytes -= bench->before.written_bytes;
    double payload = stat.appended_bytes > 0 ? (double)stat.appended_bytes : 1;
    double writes = stat.writes > 0 ? (double)stat.writes : 1;
    printf("{");
    closed_loop_print(bench->loop);
    printf(", \"entries_per_write\": %.1f, \"bytes_per_write\": %.0f, \"written_per_payload\": %.4f, "
           "\"written_per_entry\": %.1f, \"io\": \"%s\"",
           (double)stat.appended_entries / writes, (double)stat.written_bytes / writes,
           (double)stat.written_bytes / payload,
           (double)stat.written_bytes / (stat.appended_entries > 0 ? (double)stat.appended_entries : 1), stat.io_name);
    bench_print_stages(bench);
    printf("}\n");
}

static int bench_run_all(struct bench *bench)
{
    const struct bench_options *options = &bench->options;
    int rc = bench_open(bench);
    if (rc == 0 && options->driver != BENCH_NONE) {
        rc = bench_warm_up(bench);
    }
    if (rc == 0) {
        hf_log_stat(bench->log, &bench->before);
        bench_read_stages(bench, bench->stages_before);
        bench->loop = closed_loop_open(options->outstanding_max, options->batch_entries, options->seconds);
        rc = bench_run(bench);
    }
    if (rc == 0) {
        bench_print(bench);
    } else {
        fprintf(stderr, "error: %s\n", hf_error_text());
    }
    closed_loop_close(bench->loop);
    hf_log_batch_close(bench->batch);
    hf_log_close(bench->log);
    return rc;
}

static bool bench_arguments(int argc, char **argv, struct bench_options *out)
{
    if (argc != 8 && argc != 9) {
        return false;
    }
    *out = (struct bench_options){
        .directory = argv[1],
        .payload_size = (size_t)strtoull(argv[2], NULL, 10),
        .outstanding_max = strtoull(argv[3], NULL, 10),
        .batch_entries = strtoull(argv[4], NULL, 10),
        .group_count = strtoull(argv[5], NULL, 10),
        .seconds = strtod(argv[6], NULL),
        .kept_steps = argc == 9 ? (strtoull(argv[8], NULL, 10) << 20) / COMPACT_EVERY_BYTES : 0,
    };
    while (out->driver < BENCH_DRIVER_COUNT && strcmp(argv[7], bench_driver_names[out->driver]) != 0) {
        out->driver++;
    }
    return out->driver < BENCH_DRIVER_COUNT && out->payload_size <= HF_LOG_PAYLOAD_SIZE_MAX && out->batch_entries > 0 &&
           out->group_count > 0 && out->kept_steps <= KEPT_STEPS_MAX && out->outstanding_max >= out->batch_entries &&
           out->seconds > 0 &&
           ((out->driver != BENCH_BLOCKING && out->driver != BENCH_THREAD_BLOCKING) ||
            out->outstanding_max == out->batch_entries);
}

int main(int argc, char **argv)
{
    struct bench *bench = memory_new(sizeof(*bench));
    if (!bench_arguments(argc, argv, &bench->options)) {
        fprintf(stderr, "usage: bench_log DIRECTORY PAYLOAD_BYTES OUTSTANDING ENTRIES_PER_BATCH GROUPS SECONDS "
                        "caller|blocking|thread|thread-blocking|thread-polling|none [KEPT_MIB]\n");
        free(bench);
        return 2;
    }
    const struct bench_options *options = &bench->options;
    bench->payload = memory_new(options->payload_size + 1);
    memset(bench->payload, 'x', options->payload_size);
    bench->entries = memory_new(options->batch_entries * sizeof(*bench->entries));
    for (uint64_t i = 0; i < options->batch_entries; i++) {
        bench->entries[i] = (struct hf_entry){
            .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(bench->payload, options->payload_size)};
    }
    bench->next_index = memory_new(options->group_count * sizeof(*bench->next_index));
    bench->kept_index = memory_new((options->kept_steps + 1) * options->group_count * sizeof(*bench->kept_index));
    semaphore_init(&bench->told);
    int rc = bench_run_all(bench);
    semaphore_close(&bench->told);
    free(bench->kept_index);
    free(bench->next_index);
    free(bench->entries);
    free(bench->payload);
    free(bench);
    return rc == 0 ? 0 : 1;
}
