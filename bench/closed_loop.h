/* A closed loop, as clients make it: a fixed number of operations is outstanding, and whoever has an answer asks again.
 * Counts, latencies, a series of them over time and the processor's time; shared by the programs that append to a log,
 * ours and the peers', so that all are measured by the same code. The first CLOSED_LOOP_WARM_UP of the time is not
 * counted.
 *
 * It must cost little beside what it measures: the clock is read once when a fill begins and once when completions are
 * seen, and everything of one fill counts as begun with it. So a latency is rather too long than too short. */
#ifndef BENCH_CLOSED_LOOP_H
#define BENCH_CLOSED_LOOP_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/buffer.h"
#include "base/histogram.h"

#define CLOSED_LOOP_WARM_UP    0.15
#define CLOSED_LOOP_SLOT_COUNT 60u /* points of the series */

struct closed_loop_fill {
    uint64_t started_ns;
    uint64_t count;
};
struct closed_loop {
    uint64_t outstanding_max; /* operations; each carries batch_entries */
    uint64_t batch_entries;
    double seconds;
    struct closed_loop_fill *fills; /* a ring: operations complete in the order in which they began */
    uint64_t fill_first, fill_end;
    uint64_t started, finished; /* operations, ever */
    uint64_t began_ns, measured_from_ns, now_ns;
    uint64_t counted; /* operations finished since measured_from_ns */
    struct rusage usage_from, usage_to;
    struct histogram latency;
    struct histogram slots[CLOSED_LOOP_SLOT_COUNT];
};

static inline uint64_t closed_loop_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* outstanding_max counts entries here. */
static inline struct closed_loop *closed_loop_open(uint64_t outstanding_max, uint64_t batch_entries, double seconds)
{
    struct closed_loop *loop = memory_new(sizeof(*loop));
    loop->outstanding_max = outstanding_max / batch_entries;
    loop->batch_entries = batch_entries;
    loop->seconds = seconds;
    loop->fills = memory_new((loop->outstanding_max + 1) * sizeof(*loop->fills));
    loop->began_ns = closed_loop_now_ns();
    loop->now_ns = loop->began_ns;
    return loop;
}

static inline void closed_loop_close(struct closed_loop *loop)
{
    if (loop != NULL) {
        free(loop->fills);
        free(loop);
    }
}

/* How many operations may begin now. */
static inline uint64_t closed_loop_room(const struct closed_loop *loop)
{
    return loop->outstanding_max - (loop->started - loop->finished);
}

/* `count` operations were begun; the first of them at started_ns. */
static inline void closed_loop_started(struct closed_loop *loop, uint64_t count, uint64_t started_ns)
{
    if (count > 0) {
        struct closed_loop_fill fill = {.started_ns = started_ns, .count = count};
        loop->fills[loop->fill_end++ % (loop->outstanding_max + 1)] = fill;
        loop->started += count;
    }
}

static inline void closed_loop_note(struct closed_loop *loop, uint64_t latency_ns, uint64_t count)
{
    if (loop->measured_from_ns == 0) {
        return;
    }
    double share = (double)(loop->now_ns - loop->measured_from_ns) / (loop->seconds * (1 - CLOSED_LOOP_WARM_UP) * 1e9);
    unsigned slot = (unsigned)(share * CLOSED_LOOP_SLOT_COUNT);
    slot = slot < CLOSED_LOOP_SLOT_COUNT ? slot : CLOSED_LOOP_SLOT_COUNT - 1;
    histogram_record_many(&loop->latency, latency_ns, count);
    histogram_record_many(&loop->slots[slot], latency_ns, count);
    loop->counted += count;
}

/* `finished` operations are over, ever; seen now. */
static inline void closed_loop_finished(struct closed_loop *loop, uint64_t finished)
{
    loop->now_ns = closed_loop_now_ns();
    while (loop->finished < finished) {
        struct closed_loop_fill *fill = &loop->fills[loop->fill_first % (loop->outstanding_max + 1)];
        uint64_t count = finished - loop->finished < fill->count ? finished - loop->finished : fill->count;
        closed_loop_note(loop, loop->now_ns - fill->started_ns, count);
        loop->finished += count;
        fill->count -= count;
        loop->fill_first += fill->count == 0;
    }
    double passed = (double)(loop->now_ns - loop->began_ns);
    if (loop->measured_from_ns == 0 && passed >= loop->seconds * 1e9 * CLOSED_LOOP_WARM_UP) {
        loop->measured_from_ns = loop->now_ns;
        getrusage(RUSAGE_SELF, &loop->usage_from);
    }
}

/* The time is up. */
static inline bool closed_loop_over(struct closed_loop *loop)
{
    if ((double)(loop->now_ns - loop->began_ns) < loop->seconds * 1e9 || loop->counted == 0) {
        return false;
    }
    getrusage(RUSAGE_SELF, &loop->usage_to);
    return true;
}

static inline double closed_loop_cpu_ns(struct timeval from, struct timeval to)
{
    return (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_usec - from.tv_usec) * 1e3;
}

/* The fields of a JSON object, without its braces. */
static inline void closed_loop_print(const struct closed_loop *loop)
{
    const struct histogram *latency = &loop->latency;
    double entries = (double)(loop->counted * loop->batch_entries);
    double divisor = entries > 0 ? entries : 1;
    printf("\"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, ",
           entries / ((double)(loop->now_ns - loop->measured_from_ns) / 1e9),
           (double)histogram_quantile(latency, 0.5) / 1e3, (double)histogram_quantile(latency, 0.99) / 1e3,
           (double)histogram_quantile(latency, 0.999) / 1e3, (double)latency->value_max / 1e3);
    printf("\"user_ns_per_entry\": %.1f, \"system_ns_per_entry\": %.1f, \"p99_us_over_time\": [",
           closed_loop_cpu_ns(loop->usage_from.ru_utime, loop->usage_to.ru_utime) / divisor,
           closed_loop_cpu_ns(loop->usage_from.ru_stime, loop->usage_to.ru_stime) / divisor);
    for (unsigned i = 0; i < CLOSED_LOOP_SLOT_COUNT; i++) {
        printf("%s%.1f", i > 0 ? ", " : "", (double)histogram_quantile(&loop->slots[i], 0.99) / 1e3);
    }
    printf("]");
}

#endif
