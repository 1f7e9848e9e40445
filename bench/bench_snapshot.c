/* links: snapshot */
/* Writes one snapshot and reads it back. Prints one JSON object.
 *
 *   bench_snapshot DIRECTORY MEBIBYTES none|gzip|lz4|zstd LEVEL WORKERS text|noise
 *
 * text: JSON documents of a few hundred bytes, such as an application keeps as values. noise: bytes that do not
 * compress. The floor is the same application bytes written plainly, 1 MiB at a time, and synced. Reading is through
 * the page cache. Rates are per second of wall clock, and per second of processor time of the whole process, which says
 * what it costs also while other programs keep the machine busy. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/rng.h"
#include "snapshot/snapshot.h"

#define MEBIBYTE    (1u << 20)
#define STATE_SIZE  (64u * MEBIBYTE) /* made beforehand, then repeated: chunks are compressed one by one */
#define MEGABYTE    1e6
#define READ_PASSES 2
#define ENTRIES     1000u

struct clocks {
    double wall;
    double cpu;
};

static struct clocks clocks_now(void)
{
    struct timespec wall, cpu;
    clock_gettime(CLOCK_MONOTONIC, &wall);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct clocks){(double)wall.tv_sec + (double)wall.tv_nsec / 1e9,
                           (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9};
}

static struct clocks clocks_since(struct clocks start)
{
    struct clocks now = clocks_now();
    return (struct clocks){now.wall - start.wall, now.cpu - start.cpu};
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void fail(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "error: %s\n", hf_error_text());
        exit(1);
    }
}

static void make_text(struct buffer *state, struct rng *rng)
{
    static const char *const words[] = {"order",   "invoice",  "pending", "shipped",  "returned", "customer",
                                        "address", "holdfast", "replica", "snapshot", "counter",  "session"};
    while (state->size < STATE_SIZE) {
        buffer_format(state, "{\"id\": %u, \"user\": \"%s%u\", \"status\": \"%s\", \"items\": [",
                      (unsigned)rng_below(rng, 1u << 30), words[rng_below(rng, 12)], (unsigned)rng_below(rng, 10000),
                      words[rng_below(rng, 5)]);
        for (int i = 0; i < 3; i++) {
            buffer_format(state, "%s{\"sku\": %u, \"quantity\": %u}", i > 0 ? ", " : "",
                          (unsigned)rng_below(rng, 1000000), (unsigned)rng_below(rng, 9));
        }
        buffer_append_text(state, "], \"note\": \"");
        for (int i = 0; i < 8; i++) {
            buffer_format(state, "%s ", words[rng_below(rng, 12)]);
        }
        buffer_append_text(state, "\"}\n");
    }
    state->size = STATE_SIZE;
}

static struct clocks write_floor(struct io *io, const char *directory, const struct buffer *state, uint64_t bytes)
{
    char *path = text_format("%s/floor", directory);
    struct file *file = NULL;
    fail(directory_create(io, directory));
    fail(file_open(io, path, FILE_READ | FILE_WRITE | FILE_CREATE, &file));
    fail(file_truncate(file, 0));
    struct clocks start = clocks_now();
    for (uint64_t at = 0; at < bytes; at += MEBIBYTE) {
        fail(file_write(file, at, state->data + at % STATE_SIZE, MEBIBYTE));
    }
    fail(file_sync(file));
    struct clocks took = clocks_since(start);
    file_close(file);
    fail(path_unlink(io, path));
    free(path);
    return took;
}

static struct clocks write_snapshot(struct hf_snapshot_store *store, const struct buffer *state, uint64_t bytes,
                                    struct hf_snapshot_manifest *manifest)
{
    const struct hf_snapshot_begin begin = {.group = 1, .index = 1, .term = 1};
    struct hf_snapshot_writer *writer = NULL;
    struct clocks start = clocks_now();
    fail(hf_snapshot_begin(store, &begin, &writer));
    for (uint64_t at = 0; at < bytes; at += MEBIBYTE) {
        fail(hf_snapshot_write(writer, state->data + at % STATE_SIZE, MEBIBYTE));
    }
    fail(hf_snapshot_finish(writer, ENTRIES, manifest));
    return clocks_since(start);
}

static struct clocks read_snapshot(struct hf_snapshot_store *store, struct hf_snapshot_id id)
{
    struct clocks best = {1e9, 1e9};
    for (int pass = 0; pass < READ_PASSES; pass++) {
        struct hf_snapshot_reader *reader = NULL;
        struct hf_bytes chunk;
        struct clocks start = clocks_now();
        fail(hf_snapshot_reader_open(store, id, &reader));
        do {
            fail(hf_snapshot_read_next(reader, &chunk));
        } while (chunk.size > 0);
        hf_snapshot_reader_close(reader);
        struct clocks took = clocks_since(start);
        best.wall = took.wall < best.wall ? took.wall : best.wall;
        best.cpu = took.cpu < best.cpu ? took.cpu : best.cpu;
    }
    return best;
}

int main(int argc, char **argv)
{
    struct hf_snapshot_options options = {.reserve_bytes = 1};
    struct hf_snapshot_store *store = NULL;
    struct hf_snapshot_manifest manifest;
    struct buffer state = {0};
    struct io *io = NULL;
    struct rng rng;
    if (argc != 7 || hf_snapshot_compression_parse(argv[3], &options.format.compression) != 0) {
        fprintf(stderr, "usage: bench_snapshot DIRECTORY MEBIBYTES none|gzip|lz4|zstd LEVEL WORKERS text|noise\n");
        return 2;
    }
    uint64_t bytes = strtoull(argv[2], NULL, 10) * MEBIBYTE;
    options.format.level = (uint32_t)strtoul(argv[4], NULL, 10);
    options.format.worker_threads = (uint32_t)strtoul(argv[5], NULL, 10);
    rng_seed(&rng, 1);
    if (strcmp(argv[6], "text") == 0) {
        make_text(&state, &rng);
    } else {
        rng_fill(&rng, buffer_extend(&state, STATE_SIZE), STATE_SIZE);
    }
    fail(io_open_kernel(IO_BACKEND_AUTO, &io));
    struct clocks floor = write_floor(io, argv[1], &state, bytes);
    long idle_kib = peak_kib();
    fail(snapshot_open(io, argv[1], &options, &store));
    struct clocks wrote = write_snapshot(store, &state, bytes, &manifest);
    struct clocks read = read_snapshot(store, manifest.id);
    double megabytes = (double)bytes / MEGABYTE;
    printf("{\"write_mb_s\": %.1f, \"write_mb_cpu_s\": %.1f, \"read_mb_s\": %.1f, \"read_mb_cpu_s\": %.1f, "
           "\"floor_mb_s\": %.1f, \"smaller_percent\": %.2f, \"memory_over_idle_kib\": %ld}\n",
           megabytes / wrote.wall, megabytes / wrote.cpu, megabytes / read.wall, megabytes / read.cpu,
           megabytes / floor.wall, 100.0 - 100.0 * (double)manifest.stored_bytes / (double)bytes,
           peak_kib() - idle_kib);
    fail(hf_snapshot_delete(store, manifest.id));
    hf_snapshot_store_close(store);
    buffer_close(&state);
    io_close(io);
    return 0;
}
