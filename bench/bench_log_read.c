/* links: log */
/* What a large log costs to open and to read. Prints one JSON object.
 *
 *   bench_log_read DIRECTORY ENTRIES PAYLOAD_BYTES [READ_AHEAD_BYTES]
 *
 * A child fills a new log in DIRECTORY and dies without closing it. Then: the time of the open (of which the log's own
 * count is recovery_ms), the memory that it holds afterwards, cold reads of one entry at random places beside raw reads
 * of 4 KiB at the same places (both with the file's pages dropped before), reads of one cached entry, and a sequential
 * read of everything: through an iterator, which is how somebody catches up, a first and a second time, and by calls of
 * hf_log_read of 1 MiB each (chunked). */
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "log/log.h"

#define BATCH_ENTRIES 1000u
#define COLD_READS    2000u
#define CACHED_READS  200000u
#define CHUNK_BYTES   (UINT64_C(1) << 20)

static double now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void check(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "error: %s\n", hf_error_text());
        exit(1);
    }
}

/* In a child, which ends as a crash would: nothing is closed. */
static void fill(const char *directory, uint64_t entries, uint32_t payload_size)
{
    struct hf_log *log = NULL;
    struct hf_log_batch *batch = NULL;
    struct hf_entry list[BATCH_ENTRIES];
    uint8_t *payload = calloc(1, payload_size + 1);
    check(hf_log_open(directory, NULL, &log));
    check(hf_log_batch_open(&batch));
    for (uint64_t index = 1; index <= entries; index += BATCH_ENTRIES) {
        for (uint64_t i = 0; i < BATCH_ENTRIES; i++) {
            list[i] = (struct hf_entry){
                .index = index + i, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, payload_size)};
        }
        hf_log_batch_clear(batch);
        check(hf_log_batch_append(batch, 1, list, BATCH_ENTRIES));
        int rc = 0;
        while ((rc = hf_log_append(log, batch, NULL, NULL)) == HF_EBUSY) {
            usleep(200);
        }
        check(rc);
    }
    hf_log_batch_clear(batch);
    check(hf_log_append_wait(log, batch));
    sleep(2); /* the last index files */
    _exit(0);
}

/* The device's pages, not the kernel's. */
static void drop_pages(const char *directory)
{
    char path[512];
    for (uint64_t number = 1; number < 4096; number++) {
        snprintf(path, sizeof(path), "%s/%016" PRIx64 ".log", directory, number);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
            close(file);
        }
    }
}

/* The number of the first file of the full size; its size. */
static uint64_t large_file(const char *directory, uint64_t *size)
{
    uint64_t best = 1;
    *size = 0;
    for (uint64_t number = 1; number < 64; number++) {
        char path[512];
        struct stat status;
        snprintf(path, sizeof(path), "%s/%016" PRIx64 ".log", directory, number);
        if (stat(path, &status) == 0 && (uint64_t)status.st_size > *size) {
            *size = (uint64_t)status.st_size;
            best = number;
        }
    }
    return best;
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(double), compare_doubles);
    return values[count / 2];
}

static double read_one_us(struct hf_log *log, uint64_t index)
{
    struct hf_log_view view = {0};
    double begun = now_us();
    check(hf_log_read(log, 1, index, index + 1, 0, 0, &view));
    double took = now_us() - begun;
    hf_log_view_close(&view);
    return took;
}

/* One block of the file with this number, which has that size. */
static double read_raw_us(const char *directory, uint64_t number, uint64_t size, struct rng *rng)
{
    char path[512];
    static _Alignas(4096) uint8_t block[4096];
    snprintf(path, sizeof(path), "%s/%016" PRIx64 ".log", directory, number);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t offset = 4096 * rng_below(rng, size / 4096);
    double begun = now_us();
    ssize_t got = pread(file, block, sizeof(block), (off_t)offset);
    double took = now_us() - begun;
    close(file);
    return got > 0 ? took : 0;
}

static double iterate_mb_per_s(struct hf_log *log, uint64_t entries, uint32_t read_ahead_bytes)
{
    struct hf_log_iterator_options options = {.to = entries + 1, .read_ahead_bytes = read_ahead_bytes};
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    uint64_t bytes = 0;
    int rc = 0;
    double begun = now_us();
    check(hf_log_iterator_open(log, 1, &options, &iterator));
    while ((rc = hf_log_iterator_next(iterator, 0, &entry)) == 0) {
        bytes += entry.payload.size;
    }
    check(rc == HF_ENOTFOUND ? 0 : rc);
    hf_log_iterator_close(iterator);
    return (double)bytes / (now_us() - begun);
}

static double read_chunks_mb_per_s(struct hf_log *log, uint64_t entries)
{
    uint64_t bytes = 0;
    double begun = now_us();
    for (uint64_t index = 1; index <= entries;) {
        struct hf_log_view view = {0};
        check(hf_log_read(log, 1, index, 0, CHUNK_BYTES, 0, &view));
        for (size_t i = 0; i < view.count; i++) {
            bytes += view.entries[i].payload.size;
        }
        index += view.count;
        hf_log_view_close(&view);
    }
    return (double)bytes / (now_us() - begun);
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: bench_log_read DIRECTORY ENTRIES PAYLOAD_BYTES [READ_AHEAD_BYTES]\n");
        return 2;
    }
    uint64_t entries = strtoull(argv[2], NULL, 10) / BATCH_ENTRIES * BATCH_ENTRIES;
    uint32_t payload_size = (uint32_t)strtoul(argv[3], NULL, 10);
    uint32_t read_ahead_bytes = argc == 5 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
    pid_t child = fork();
    if (child == 0) {
        fill(argv[1], entries, payload_size);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) {
        return 1;
    }
    struct rng rng;
    struct hf_log *log = NULL;
    struct hf_log_stat state;
    static double cold[COLD_READS];
    static double raw[COLD_READS];
    uint64_t raw_size = 0;
    uint64_t raw_number = large_file(argv[1], &raw_size);
    rng_seed(&rng, 1);
    size_t heap_before = heap_bytes();
    double begun = now_us();
    check(hf_log_open(argv[1], NULL, &log));
    double open_ms = (now_us() - begun) / 1e3;
    size_t heap = heap_bytes() - heap_before;
    hf_log_stat(log, &state);
    sleep(1);
    for (size_t i = 0; i < COLD_READS; i++) {
        if (i % 200 == 0) {
            drop_pages(argv[1]);
        }
        cold[i] = read_one_us(log, 1 + rng_below(&rng, entries / 2));
        raw[i] = read_raw_us(argv[1], raw_number, raw_size, &rng);
    }
    double first = iterate_mb_per_s(log, entries, read_ahead_bytes);
    double second = iterate_mb_per_s(log, entries, read_ahead_bytes);
    double chunked = read_chunks_mb_per_s(log, entries);
    struct hf_log_batch *batch = NULL;
    struct hf_entry entry = {
        .index = entries + 1, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(argv[0], strlen(argv[0]))};
    check(hf_log_batch_open(&batch));
    check(hf_log_batch_append(batch, 1, &entry, 1));
    check(hf_log_append_wait(log, batch));
    begun = now_us();
    for (size_t i = 0; i < CACHED_READS; i++) {
        (void)read_one_us(log, entries + 1);
    }
    double cached = (now_us() - begun) / CACHED_READS;
    printf("{\"entries\": %" PRIu64 ", \"payload\": %u, \"open_ms\": %.1f, \"recovery_ms\": %.1f, \"heap_bytes\": %zu, "
           "\"cold_us\": %.1f, \"raw_us\": %.1f, \"cached_us\": %.2f, \"sequential_mb_s\": %.0f, "
           "\"sequential_warm_mb_s\": %.0f, \"chunked_mb_s\": %.0f}\n",
           entries, payload_size, open_ms, (double)state.recovery_ns / 1e6, heap, median(cold, COLD_READS),
           median(raw, COLD_READS), cached, first, second, chunked);
    hf_log_batch_close(batch);
    hf_log_close(log);
    return 0;
}
