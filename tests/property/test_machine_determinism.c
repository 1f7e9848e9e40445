/* links: server */
/* H16: apply is a function of the log alone. The same random entries are applied to two keyspaces that differ in
 * everything that must not matter — one answers and one does not, one is read and cut in between, one is closed and
 * opened again on its store, its memory is returned at other times — and the digests are equal after every entry. A
 * third keyspace starts later from the same entries, as a restarted node does. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "server/keyspace.h"
#include "server/machine.h"

#define SEEDS   40u
#define ENTRIES 150u

static uint64_t seed_now;

#define check(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fail_msg("seed %" PRIu64 ": %s (%s)", seed_now, #condition, hf_error_text()); \
        }                                                                                 \
    } while (0)

/* ---- Random entries ---- */

static struct hf_bytes word(struct rng *rng, struct buffer *text)
{
    static const char *const odd[] = {"",        "0",    "-1",  "9223372036854775807",
                                      "nx",      "XX",   "get", "ex",
                                      "px",      "gt",   "LT",  "5",
                                      "keepttl", "ifeq", "100", "*",
                                      "persist", "-99",  "k?",  "[a-",
                                      "pxat",    "exat", "k1",  "v",
                                      "count"};
    size_t start = text->size;
    switch (rng_below(rng, 4)) {
    case 0:
        buffer_append_text(text, odd[rng_below(rng, sizeof(odd) / sizeof(odd[0]))]);
        break;
    case 1:
        buffer_format(text, "k%d", (int)rng_below(rng, 12));
        break;
    case 2:
        buffer_format(text, "%d", (int)rng_below(rng, 2000) - 500);
        break;
    default: {
        size_t size = rng_below(rng, rng_chance(rng, 1, 10) ? 2000 : 20);
        memset(buffer_extend(text, size), 'v', size);
        break;
    }
    }
    /* The caller reserved the room: earlier words stay where they are. */
    return bytes_of(text->data + start, text->size - start);
}

static const struct command_spec *random_spec(struct rng *rng)
{
    const struct command_spec *spec = NULL;
    do {
        spec = &command_table_data[rng_below(rng, command_table_data_count)];
    } while (((spec->number == COMMAND_NUMBER_FLUSHALL || spec->number == COMMAND_NUMBER_FLUSHDB) &&
              !rng_chance(rng, 1, 20)) ||
             spec->number == COMMAND_NUMBER_EXPIRE_DUE || spec->number == COMMAND_NUMBER_LITERAL);
    return spec;
}

/* Mostly sensible: keys where keys belong, and about the right number of arguments. */
static void random_command(struct rng *rng, struct buffer *text, struct hf_bytes *items, struct arguments *arguments,
                           const struct command_spec **spec)
{
    *spec = random_spec(rng);
    size_t least = (size_t)((*spec)->arity < 0 ? -(*spec)->arity : (*spec)->arity);
    size_t count = least + ((*spec)->arity < 0 || rng_chance(rng, 1, 20) ? rng_below(rng, 5) : 0);
    buffer_clear(text);
    buffer_reserve(text, 64 * 2048);
    items[0] = bytes_of_text((*spec)->name);
    for (size_t i = 1; i < count; i++) {
        items[i] = word(rng, text);
        if (i == (size_t)(*spec)->first_key && rng_chance(rng, 9, 10)) {
            size_t start = text->size;
            buffer_format(text, "k%d", (int)rng_below(rng, 12));
            items[i] = bytes_of(text->data + start, text->size - start);
        }
    }
    *arguments = (struct arguments){items, count};
}

static void random_unit(struct rng *rng, struct keyspace *keyspace, struct buffer *unit)
{
    struct hf_bytes items[64];
    struct buffer text = {0};
    struct arguments arguments;
    const struct command_spec *spec;
    unsigned protocol = rng_chance(rng, 1, 2) ? 2 : 3;
    buffer_clear(unit);
    if (rng_chance(rng, 1, 12)) {
        machine_unit_expire_due(unit, rng_below(rng, 100000), (uint32_t)rng_below(rng, 5));
    } else if (rng_chance(rng, 1, 6)) {
        char key[8];
        struct machine_watch watch = {.key = {key, 0}};
        watch.key.size = (size_t)snprintf(key, sizeof(key), "k%d", (int)rng_below(rng, 12));
        check(machine_version(keyspace, watch.key, machine_stamp_ms(keyspace), &watch.version) == 0);
        watch.version.index -= watch.version.index > 0 && rng_chance(rng, 1, 4);
        watch.version.ordinal = watch.version.index > 0 ? watch.version.ordinal : 0;
        size_t count = rng_below(rng, 6);
        machine_unit_transaction(unit, protocol, &watch, rng_below(rng, 2), count);
        for (size_t i = 0; i < count; i++) {
            random_command(rng, &text, items, &arguments, &spec);
            machine_unit_body(unit, spec, &arguments);
        }
    } else {
        random_command(rng, &text, items, &arguments, &spec);
        machine_unit_command(unit, protocol, spec, &arguments);
    }
    buffer_close(&text);
}

/* ---- Replicas ---- */

struct replica {
    struct hf_store *store;
    struct keyspace *keyspace;
    uint64_t replies;
    struct hf_store_cut *cut;
};

static void replica_open(struct replica *replica)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    *replica = (struct replica){.replies = 0};
    check(hf_store_open(&options, &replica->store) == 0);
    check(machine_open(replica->store, 77, &replica->keyspace) == 0);
}

static void replica_close(struct replica *replica)
{
    check(keyspace_check(replica->keyspace) == 0);
    hf_store_cut_close(replica->cut);
    machine_close(replica->keyspace);
    hf_store_close(replica->store);
}

/* What a node does beside applying: none of it may show in the digest. */
static void replica_disturb(struct replica *replica, struct rng *rng, const struct hf_bytes unit)
{
    struct buffer out = {0};
    struct machine_context context = {.stamp_ms = rng_next(rng) >> 20, .random = rng_next(rng)};
    int rc = machine_read(replica->keyspace, unit, &context, &out);
    check(rc == 0 || rc == HF_EINVALID);
    if (rng_chance(rng, 1, 8)) {
        machine_close(replica->keyspace);
        check(machine_open(replica->store, 77, &replica->keyspace) == 0);
    }
    if (rng_chance(rng, 1, 8)) {
        hf_store_cut_close(replica->cut);
        replica->cut = NULL;
        check(hf_store_cut(replica->store, &replica->cut) == 0);
    }
    if (rng_chance(rng, 1, 4)) {
        machine_reclaim(replica->keyspace);
    }
    buffer_close(&out);
}

static void count_reply(void *arg, uint32_t ordinal, struct hf_bytes reply)
{
    struct replica *replica = arg;
    check(reply.size > 0);
    check(((const uint8_t *)reply.data)[reply.size - 1] == '\n');
    replica->replies++;
}

static bool digest_equal(struct hf_store_digest a, struct hf_store_digest b)
{
    return a.low == b.low && a.high == b.high;
}

static void run_seed(uint64_t seed)
{
    struct rng rng;
    struct replica quiet;
    struct replica busy;
    struct replica late;
    struct buffer entries[ENTRIES] = {{0}};
    struct hf_store_digest digests[ENTRIES];
    struct buffer units[4] = {{0}};
    uint64_t stamp_ms = 10000;
    uint64_t unit_count = 0;
    seed_now = seed;
    rng_seed(&rng, seed);
    replica_open(&quiet);
    replica_open(&busy);
    replica_open(&late);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        struct hf_bytes bytes[4];
        uint32_t count = 1 + (uint32_t)rng_below(&rng, 4);
        for (uint32_t j = 0; j < count; j++) {
            random_unit(&rng, quiet.keyspace, &units[j]);
            bytes[j] = buffer_bytes(&units[j]);
        }
        stamp_ms += rng_below(&rng, 400);
        machine_entry_compose(&entries[i], stamp_ms, bytes, count);
        unit_count += count;
        check(machine_apply(quiet.keyspace, buffer_bytes(&entries[i]), i + 1, 1, NULL, NULL) == 0);
        check(machine_apply(busy.keyspace, buffer_bytes(&entries[i]), i + 1, 1, count_reply, &busy) == 0);
        digests[i] = machine_digest(quiet.keyspace);
        check(digest_equal(digests[i], machine_digest(busy.keyspace)));
        replica_disturb(&busy, &rng, bytes[0]);
        check(digest_equal(digests[i], machine_digest(busy.keyspace)));
    }
    check(busy.replies == unit_count);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        check(machine_apply(late.keyspace, buffer_bytes(&entries[i]), i + 1, 1, NULL, NULL) == 0);
        check(digest_equal(digests[i], machine_digest(late.keyspace)));
        buffer_close(&entries[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        buffer_close(&units[i]);
    }
    replica_close(&quiet);
    replica_close(&busy);
    replica_close(&late);
}

static void H16_equal_entries_give_equal_digests_at_every_index(void **state)
{
    const char *only = getenv("MACHINE_SEED");
    if (only != NULL) {
        run_seed(strtoull(only, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H16_equal_entries_give_equal_digests_at_every_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
