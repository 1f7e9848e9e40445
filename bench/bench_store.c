/* links: store */
/* The memory store, one thread: what a put, a get, a scan and a cut cost. Prints one JSON object.
 *
 *   bench_store [ENTRIES [VALUE_BYTES]]        1,000,000 entries of 100 bytes under keys of 16 bytes unless told */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "holdfast/store.h"
#include "io/io.h"

#define KEY_SIZE     16u
#define STREAM_PIECE (1u << 20)

struct bench {
    struct io *io;
    struct hf_store *store;
    uint64_t entries;
    size_t value_size;
    uint8_t *value;
    bool is_first;
};

/* Hexadecimal digits of a number: "000000000000002a", or scattered over the key space. */
static struct hf_bytes bench_key(uint8_t key[KEY_SIZE], uint64_t number)
{
    static const uint8_t digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < KEY_SIZE; i++) {
        key[i] = digits[number >> (60 - 4 * i) & 15];
    }
    return bytes_of(key, KEY_SIZE);
}

static struct hf_bytes bench_scattered_key(uint8_t key[KEY_SIZE], uint64_t number)
{
    return bench_key(key, hash_mix_64(number + 1));
}

static void bench_row(struct bench *bench, const char *name, const char *unit, double value)
{
    printf("%s\n  \"%s\": {\"unit\": \"%s\", \"value\": %.1f}", bench->is_first ? "{" : ",", name, unit, value);
    bench->is_first = false;
}

static void bench_rate(struct bench *bench, const char *name, uint64_t started, uint64_t count)
{
    bench_row(bench, name, "ns", (double)(io_monotonic_ns(bench->io) - started) / (double)count);
}

static void must(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "bench_store: %s\n", hf_error_text());
        exit(1);
    }
}

static void bench_put(struct bench *bench, struct hf_bytes key, uint64_t number)
{
    bytes_put_u64(bench->value, number);
    must(hf_store_put(bench->store, 0, key, bytes_of(bench->value, bench->value_size), NULL));
}

static void bench_load(struct bench *bench)
{
    uint8_t key[KEY_SIZE];
    uint64_t started = io_monotonic_ns(bench->io);
    for (uint64_t i = 0; i < bench->entries; i++) {
        bench_put(bench, bench_key(key, i), i);
    }
    bench_rate(bench, "put, ascending keys", started, bench->entries);
    struct hf_store_stat stat;
    hf_store_stat(bench->store, &stat);
    bench_row(bench, "memory after ascending keys", "%",
              100.0 * (double)stat.memory_bytes / (double)(stat.key_bytes + stat.value_bytes));
    must(hf_store_clear(bench->store, 0));
    started = io_monotonic_ns(bench->io);
    while (hf_store_reclaim(bench->store, 1000)) {
    }
    bench_rate(bench, "reclaim of a cleared entry", started, bench->entries);
    started = io_monotonic_ns(bench->io);
    for (uint64_t i = 0; i < bench->entries; i++) {
        bench_put(bench, bench_scattered_key(key, i), i);
    }
    bench_rate(bench, "put, scattered new keys", started, bench->entries);
    hf_store_stat(bench->store, &stat);
    bench_row(bench, "memory after scattered keys", "%",
              100.0 * (double)stat.memory_bytes / (double)(stat.key_bytes + stat.value_bytes));
}

static void bench_read(struct bench *bench)
{
    uint8_t key[KEY_SIZE];
    struct hf_bytes value;
    uint64_t found = 0;
    uint64_t started = io_monotonic_ns(bench->io);
    for (uint64_t i = 0; i < bench->entries; i++) {
        uint64_t number = hash_mix_64(i) % bench->entries;
        found += hf_store_get(bench->store, 0, bench_scattered_key(key, number), &value) == 0;
    }
    bench_rate(bench, "get", started, bench->entries);
    started = io_monotonic_ns(bench->io);
    for (uint64_t i = 0; i < bench->entries; i++) {
        found += hf_store_get(bench->store, 0, bench_scattered_key(key, bench->entries + i), &value) == 0;
    }
    bench_rate(bench, "get, missing", started, bench->entries);
    struct hf_store_cursor *cursor;
    struct hf_store_entry entry;
    must(hf_store_cursor_open(bench->store, 0, NULL, HF_STORE_FORWARD, &cursor));
    started = io_monotonic_ns(bench->io);
    uint64_t bytes = 0;
    while (hf_store_cursor_next(cursor, &entry) == 0) {
        bytes += entry.key.size + entry.value.size + ((const uint8_t *)entry.value.data)[0] % 2;
    }
    double seconds = (double)(io_monotonic_ns(bench->io) - started) / 1e9;
    hf_store_cursor_close(cursor);
    bench_row(bench, "full scan", "MB/s", (double)bytes / 1e6 / seconds);
    started = io_monotonic_ns(bench->io);
    for (uint64_t i = 0; i < bench->entries; i++) {
        must(hf_store_at_rank(bench->store, 0, hash_mix_64(i) % bench->entries, &entry));
    }
    bench_rate(bench, "entry at a rank", started, bench->entries);
    if (found != bench->entries) {
        must(HF_EINVALID);
    }
}

static void bench_change(struct bench *bench)
{
    uint8_t key[KEY_SIZE];
    uint64_t started = io_monotonic_ns(bench->io);
    for (uint64_t i = 0; i < bench->entries; i++) {
        bench_put(bench, bench_scattered_key(key, hash_mix_64(i) % bench->entries), i);
    }
    bench_rate(bench, "put, overwriting", started, bench->entries);
    started = io_monotonic_ns(bench->io);
    for (uint64_t i = 0; i < bench->entries; i++) {
        must(hf_store_delete(bench->store, 0, bench_scattered_key(key, i), NULL));
        bench_put(bench, bench_scattered_key(key, bench->entries + i), i);
    }
    bench_rate(bench, "delete one and put another", started, bench->entries);
}

/* All of a cut as a stream, in the pieces that snapshots are read in, and a store from it. */
static void bench_stream(struct bench *bench)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store_cut *cut;
    struct hf_store_export *from;
    struct hf_store_import *to;
    struct hf_store *copy;
    uint8_t *piece = memory_new(STREAM_PIECE);
    uint64_t out_ns = 0;
    uint64_t in_ns = 0;
    size_t got;
    must(hf_store_cut(bench->store, &cut));
    must(hf_store_export_open(cut, &from));
    must(hf_store_import_open(&options, &to));
    do {
        uint64_t started = io_monotonic_ns(bench->io);
        must(hf_store_export_read(from, piece, STREAM_PIECE, &got));
        uint64_t read = io_monotonic_ns(bench->io);
        must(hf_store_import_write(to, bytes_of(piece, got)));
        out_ns += read - started;
        in_ns += io_monotonic_ns(bench->io) - read;
    } while (got > 0);
    must(hf_store_import_finish(to, &copy));
    struct hf_store_stat stat;
    hf_store_stat(copy, &stat);
    bench_row(bench, "export, per entry", "ns", (double)out_ns / (double)bench->entries);
    bench_row(bench, "import, per entry", "ns", (double)in_ns / (double)bench->entries);
    bench_row(bench, "memory after an import", "%",
              100.0 * (double)stat.memory_bytes / (double)(stat.key_bytes + stat.value_bytes));
    hf_store_export_close(from);
    hf_store_cut_close(cut);
    hf_store_close(copy);
    free(piece);
}

/* Overwrites while cuts come and go, each held for a tenth of the puts. */
static void bench_cuts(struct bench *bench)
{
    uint8_t key[KEY_SIZE];
    struct histogram *with = memory_new(sizeof(*with));
    struct histogram *without = memory_new(sizeof(*without));
    struct hf_store_cut *cut = NULL;
    uint64_t cut_ns = 0;
    uint64_t cuts = 0;
    for (uint64_t i = 0; i < bench->entries; i++) {
        if (i % (bench->entries / 10) == 0) {
            hf_store_cut_close(cut);
            cut = NULL;
            if (i % (bench->entries / 5) == 0) {
                uint64_t started = io_monotonic_ns(bench->io);
                must(hf_store_cut(bench->store, &cut));
                cut_ns += io_monotonic_ns(bench->io) - started;
                cuts++;
            }
        }
        uint64_t started = io_monotonic_ns(bench->io);
        bench_put(bench, bench_scattered_key(key, bench->entries + hash_mix_64(i) % bench->entries), i);
        histogram_record(cut != NULL ? with : without, io_monotonic_ns(bench->io) - started);
    }
    hf_store_cut_close(cut);
    bench_row(bench, "taking a cut", "ns", (double)cut_ns / (double)cuts);
    bench_row(bench, "put, overwriting, clock included, mean", "ns", histogram_mean(without));
    bench_row(bench, "put, overwriting, clock included, p99", "ns", (double)histogram_quantile(without, 0.99));
    bench_row(bench, "the same under a cut, mean", "ns", histogram_mean(with));
    bench_row(bench, "the same under a cut, p99", "ns", (double)histogram_quantile(with, 0.99));
    free(with);
    free(without);
}

int main(int argc, char **argv)
{
    struct bench bench = {.is_first = true};
    bench.entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    bench.value_size = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    if (bench.entries < 10 || bench.value_size < sizeof(uint64_t) || bench.value_size > HF_STORE_VALUE_SIZE_MAX) {
        fprintf(stderr, "usage: bench_store [ENTRIES ≥ 10 [VALUE_BYTES ≥ 8]]\n");
        return 2;
    }
    bench.value = memory_new(bench.value_size);
    memset(bench.value, 'v', bench.value_size);
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    must(io_open_kernel(IO_BACKEND_AUTO, &bench.io));
    must(hf_store_open(&options, &bench.store));
    bench_load(&bench);
    bench_read(&bench);
    bench_stream(&bench);
    bench_change(&bench);
    bench_cuts(&bench);
    printf("\n}\n");
    hf_store_close(bench.store);
    io_close(bench.io);
    free(bench.value);
    return 0;
}
