#include "server/server_machine.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "server/server.h"

struct server_machine {
    uint64_t incarnation; /* the scan seed */
    struct hf_store *store;
    struct keyspace *keyspace;
    uint32_t ordinal;
    uint32_t routed_count;
    struct rng rng; /* for reads only: nothing that is replicated may see it */
};

static void *server_machine_open(void *arg, uint64_t group, uint64_t incarnation, uint32_t ordinal)
{
    struct server_machine *machine = memory_new(sizeof(*machine));
    const struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    machine->incarnation = incarnation;
    machine->ordinal = ordinal;
    machine->routed_count = ordinal + 1;
    rng_seed(&machine->rng, group);
    /* The memory backend is always there, and an empty store takes any seed. */
    int rc = hf_store_open(&options, &machine->store);
    assert(rc == 0);
    rc = machine_open(machine->store, incarnation, &machine->keyspace);
    assert(rc == 0);
    return machine;
}

static void server_machine_close(void *arg)
{
    struct server_machine *machine = arg;
    if (machine == NULL) {
        return;
    }
    machine_close(machine->keyspace);
    hf_store_close(machine->store);
    free(machine);
}

void server_machine_settle(void *arg, uint32_t routed_count, uint64_t seed)
{
    struct server_machine *machine = arg;
    machine->routed_count = routed_count;
    rng_seed(&machine->rng, hash_mix_64(seed + machine->ordinal));
}

void server_machine_stat(void *arg, struct machine_stat *out)
{
    machine_stat(((struct server_machine *)arg)->keyspace, out);
}

static void server_machine_compose(void *arg, uint64_t stamp_ms, const struct hf_bytes *commands, uint32_t count,
                                   struct buffer *out)
{
    machine_entry_compose(out, stamp_ms, commands, count);
}

static int server_machine_apply(void *arg, const struct hf_entry *entry, node_reply_sink *sink, void *sink_arg)
{
    struct server_machine *machine = arg;
    int rc = machine_apply(machine->keyspace, entry->payload, entry->index, entry->term, sink, sink_arg);
    machine_reclaim(machine->keyspace);
    return rc;
}

static int server_machine_read(void *arg, struct hf_bytes command, uint64_t stamp_ms, struct buffer *reply)
{
    struct server_machine *machine = arg;
    const struct machine_context context = {
        .stamp_ms = stamp_ms,
        .random = rng_next(&machine->rng),
        .routed_ordinal = machine->ordinal,
        .routed_count = machine->routed_count,
    };
    return machine_read(machine->keyspace, command, &context, reply);
}

static uint64_t server_machine_expire_due_ms(void *arg)
{
    struct server_machine *machine = arg;
    uint64_t deadline_ms = 0;
    return machine_next_deadline(machine->keyspace, &deadline_ms) == 0 ? deadline_ms : UINT64_MAX;
}

static void server_machine_expire(void *arg, uint64_t stamp_ms, struct buffer *command)
{
    machine_unit_expire_due(command, stamp_ms, MACHINE_EXPIRE_DUE_MAX);
}

static void server_machine_digest(void *arg, uint64_t digest[2])
{
    struct hf_store_digest sum = machine_digest(((struct server_machine *)arg)->keyspace);
    digest[0] = sum.low;
    digest[1] = sum.high;
}

static uint64_t server_machine_data_bytes(void *arg)
{
    return machine_data_bytes(((struct server_machine *)arg)->keyspace);
}

static bool server_machine_may_grow(void *arg, struct hf_bytes command)
{
    /* Bytes of another node: what is malformed will answer an error and change nothing. */
    return machine_unit_validate(command) == 0 && machine_unit_may_grow(command);
}

/* ---- Snapshots ---- */

struct server_machine_cut {
    struct hf_store_cut *cut;
    struct hf_store_export *stream;
};

static void *server_machine_cut(void *arg)
{
    struct server_machine_cut *cut = memory_new(sizeof(*cut));
    int rc = hf_store_cut(((struct server_machine *)arg)->store, &cut->cut);
    assert(rc == 0); /* not inside of an entry */
    rc = hf_store_export_open(cut->cut, &cut->stream);
    assert(rc == 0);
    return cut;
}

static void server_machine_cut_close(void *arg)
{
    struct server_machine_cut *cut = arg;
    hf_store_export_close(cut->stream);
    hf_store_cut_close(cut->cut);
    free(cut);
}

static int server_machine_cut_read(void *arg, void *target, size_t size, size_t *got)
{
    return hf_store_export_read(((struct server_machine_cut *)arg)->stream, target, size, got);
}

static uint64_t server_machine_cut_entries(void *arg)
{
    return hf_store_export_entries(((struct server_machine_cut *)arg)->stream);
}

static uint64_t server_machine_held_bytes(void *arg)
{
    struct hf_store_stat stat;
    hf_store_stat(((struct server_machine *)arg)->store, &stat);
    return stat.memory_bytes - stat.memory_live_bytes;
}

/* A store that is being built, then a machine's insides to exchange. */
struct server_machine_import {
    uint64_t incarnation;
    struct hf_store_import *stream; /* until it is finished */
    struct hf_store *store;
    struct keyspace *keyspace;
};

static void *server_machine_import_open(void *arg)
{
    const struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct server_machine_import *import = memory_new(sizeof(*import));
    import->incarnation = ((struct server_machine *)arg)->incarnation;
    int rc = hf_store_import_open(&options, &import->stream);
    assert(rc == 0);
    return import;
}

static int server_machine_import_write(void *arg, struct hf_bytes bytes)
{
    return hf_store_import_write(((struct server_machine_import *)arg)->stream, bytes);
}

static int server_machine_import_finish(void *arg)
{
    struct server_machine_import *import = arg;
    struct hf_store_import *stream = import->stream;
    import->stream = NULL; /* freed either way */
    int rc = hf_store_import_finish(stream, &import->store);
    return rc == 0 ? machine_open(import->store, import->incarnation, &import->keyspace) : rc;
}

static void server_machine_import_swap(void *arg, void *import_arg)
{
    struct server_machine *machine = arg;
    struct server_machine_import *import = import_arg;
    struct server_machine_import old = {.store = machine->store, .keyspace = machine->keyspace};
    machine->store = import->store;
    machine->keyspace = import->keyspace;
    import->store = old.store;
    import->keyspace = old.keyspace;
}

static void server_machine_import_close(void *arg)
{
    struct server_machine_import *import = arg;
    hf_store_import_close(import->stream);
    machine_close(import->keyspace);
    hf_store_close(import->store);
    free(import);
}

const struct node_machine_ops *server_machine_ops(void)
{
    static const struct node_machine_ops ops = {
        .open = server_machine_open,
        .close = server_machine_close,
        .compose = server_machine_compose,
        .apply = server_machine_apply,
        .read = server_machine_read,
        .expire_due_ms = server_machine_expire_due_ms,
        .expire = server_machine_expire,
        .digest = server_machine_digest,
        .data_bytes = server_machine_data_bytes,
        .may_grow = server_machine_may_grow,
        .cut = server_machine_cut,
        .cut_close = server_machine_cut_close,
        .cut_read = server_machine_cut_read,
        .cut_entries = server_machine_cut_entries,
        .held_bytes = server_machine_held_bytes,
        .import_open = server_machine_import_open,
        .import_write = server_machine_import_write,
        .import_finish = server_machine_import_finish,
        .import_swap = server_machine_import_swap,
        .import_close = server_machine_import_close,
    };
    return &ops;
}
