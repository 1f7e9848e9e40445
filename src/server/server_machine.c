#include "server/server_machine.h"

#include <assert.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "server/server.h"

struct server_machine {
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
    struct machine_stat stat;
    server_machine_stat(arg, &stat);
    return stat.data_bytes;
}

static bool server_machine_may_grow(void *arg, struct hf_bytes command)
{
    /* Bytes of another node: what is malformed will answer an error and change nothing. */
    return machine_unit_validate(command) == 0 && machine_unit_may_grow(command);
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
    };
    return &ops;
}
