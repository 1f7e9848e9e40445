/* links: server */
/* The state machine, one thread: what it costs to apply a SET, an INCR and to answer a GET, from encoded units. Prints
 * one JSON object.
 *
 *   bench_machine [KEYS [VALUE_BYTES [UNITS_PER_ENTRY]]]        100,000 keys, 100 bytes, 16 units unless told */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "io/io.h"
#include "server/keyspace.h"
#include "server/machine.h"

#define UNITS_MAX  256u
#define COMMANDS   2000000u
#define BENCH_SEED 1u

struct bench {
    struct io *io;
    struct hf_store *store;
    struct keyspace *keyspace;
    uint64_t keys;
    size_t value_size;
    uint32_t units_per_entry;
    uint64_t index;
    uint64_t reply_bytes;
};

static void must(int rc)
{
    if (rc != 0) {
        fprintf(stderr, "bench_machine: %s\n", hf_error_text());
        exit(1);
    }
}

static void take_reply(void *arg, uint32_t ordinal, struct hf_bytes reply)
{
    ((struct bench *)arg)->reply_bytes += reply.size;
}

static struct hf_bytes bench_unit(struct bench *bench, const char *name, uint64_t number, uint8_t *value,
                                  struct buffer *unit)
{
    char key[32];
    int size = snprintf(key, sizeof(key), "key:%012" PRIu64, hash_mix_64(number) % bench->keys);
    struct hf_bytes items[] = {bytes_of_text(name), bytes_of(key, (size_t)size), bytes_of(value, bench->value_size)};
    struct arguments arguments = {items, value != NULL ? 3 : 2};
    const struct command_spec *spec = command_data_find(items[0]);
    buffer_clear(unit);
    machine_unit_command(unit, 2, spec, &arguments);
    return buffer_bytes(unit);
}

/* Composes and applies entries; only the applying is measured. */
static double bench_writes(struct bench *bench, const char *name, uint8_t *value)
{
    static struct buffer units[UNITS_MAX];
    struct hf_bytes bytes[UNITS_MAX];
    struct buffer entry = {0};
    uint64_t spent_ns = 0;
    for (uint64_t done = 0; done < COMMANDS; done += bench->units_per_entry) {
        for (uint32_t i = 0; i < bench->units_per_entry; i++) {
            bytes[i] = bench_unit(bench, name, done + i, value, &units[i]);
        }
        buffer_clear(&entry);
        machine_entry_compose(&entry, 1000 + done / 1000, bytes, bench->units_per_entry);
        uint64_t started = io_monotonic_ns(bench->io);
        must(machine_apply(bench->keyspace, buffer_bytes(&entry), ++bench->index, 1, take_reply, bench));
        spent_ns += io_monotonic_ns(bench->io) - started;
    }
    buffer_close(&entry);
    for (unsigned i = 0; i < UNITS_MAX; i++) {
        buffer_close(&units[i]);
    }
    return (double)spent_ns / COMMANDS;
}

static double bench_reads(struct bench *bench)
{
    struct buffer unit = {0};
    struct buffer out = {0};
    struct machine_context context = {.stamp_ms = 1000000};
    uint64_t spent_ns = 0;
    for (uint64_t done = 0; done < COMMANDS; done++) {
        struct hf_bytes bytes = bench_unit(bench, "get", done, NULL, &unit);
        buffer_clear(&out);
        uint64_t started = io_monotonic_ns(bench->io);
        must(machine_read(bench->keyspace, bytes, &context, &out));
        spent_ns += io_monotonic_ns(bench->io) - started;
    }
    buffer_close(&unit);
    buffer_close(&out);
    return (double)spent_ns / COMMANDS;
}

int main(int argc, char **argv)
{
    struct bench bench = {.reply_bytes = 0};
    bench.keys = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    bench.value_size = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
    bench.units_per_entry = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 16;
    if (bench.keys == 0 || bench.value_size > MACHINE_VALUE_SIZE_MAX || bench.units_per_entry == 0 ||
        bench.units_per_entry > UNITS_MAX) {
        fprintf(stderr, "usage: bench_machine [KEYS [VALUE_BYTES [UNITS_PER_ENTRY ≤ %u]]]\n", UNITS_MAX);
        return 2;
    }
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    uint8_t *value = memory_new(bench.value_size);
    memset(value, 'v', bench.value_size);
    must(io_open_kernel(IO_BACKEND_AUTO, &bench.io));
    must(hf_store_open(&options, &bench.store));
    must(machine_open(bench.store, BENCH_SEED, &bench.keyspace));
    double set_new = bench_writes(&bench, "set", value);
    double set = bench_writes(&bench, "set", value);
    double get = bench_reads(&bench);
    must(hf_store_clear(bench.store, KEYSPACE_TREE_KEYS));
    must(hf_store_clear(bench.store, KEYSPACE_TREE_SCAN));
    double incr = bench_writes(&bench, "incr", NULL);
    printf("{\n  \"apply SET, keys new at first\": {\"unit\": \"ns\", \"value\": %.1f},\n", set_new);
    printf("  \"apply SET\": {\"unit\": \"ns\", \"value\": %.1f},\n", set);
    printf("  \"apply INCR\": {\"unit\": \"ns\", \"value\": %.1f},\n", incr);
    printf("  \"read GET, clock included\": {\"unit\": \"ns\", \"value\": %.1f}\n}\n", get);
    machine_close(bench.keyspace);
    hf_store_close(bench.store);
    io_close(bench.io);
    free(value);
    return 0;
}
