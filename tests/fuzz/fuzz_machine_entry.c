/* links: server */
/* Entries from a log that somebody damaged, and units from a peer that lies: nothing crashes, what does not validate
 * changes nothing, what does is applied by two keyspaces alike. The first byte chooses what the rest is. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "server/keyspace.h"
#include "server/machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct hf_store *store;
    struct keyspace *keyspace;
};

static void world_open(struct world *world)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    int rc = hf_store_open(&options, &world->store);
    assert(rc == 0);
    rc = machine_open(world->store, 1, &world->keyspace);
    assert(rc == 0);
}

static void world_close(struct world *world)
{
    int rc = keyspace_check(world->keyspace);
    assert(rc == 0);
    machine_close(world->keyspace);
    hf_store_close(world->store);
}

static void ignore_reply(void *arg, uint32_t ordinal, struct hf_bytes reply)
{
    assert(reply.size > 0 || ordinal < MACHINE_ENTRY_UNITS_MAX); /* a literal may be empty */
}

static void apply_to_both(struct hf_bytes entry)
{
    struct world one;
    struct world two;
    world_open(&one);
    world_open(&two);
    for (uint64_t index = 1; index <= 2; index++) {
        int rc = machine_apply(one.keyspace, entry, index, 1, ignore_reply, NULL);
        int rc_two = machine_apply(two.keyspace, entry, index, 1, NULL, NULL);
        assert(rc == rc_two);
        assert((rc == 0) == (machine_entry_validate(entry) == 0));
        if (rc != 0) {
            assert(machine_applied_index(one.keyspace) == 0);
            break;
        }
    }
    struct hf_store_digest a = machine_digest(one.keyspace);
    struct hf_store_digest b = machine_digest(two.keyspace);
    assert(a.low == b.low && a.high == b.high);
    world_close(&one);
    world_close(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct hf_bytes rest = bytes_of(data + 1, size - 1);
    if (data[0] % 4 == 0) {
        /* From a peer: composed into an entry beside itself, and read. */
        struct buffer entry = {0};
        struct buffer out = {0};
        struct world world;
        struct machine_context context = {.stamp_ms = 5000};
        struct hf_bytes units[] = {rest, rest};
        machine_unit_may_grow(rest);
        machine_entry_compose(&entry, 1000, units, 2);
        assert(machine_entry_validate(buffer_bytes(&entry)) == 0);
        apply_to_both(buffer_bytes(&entry));
        world_open(&world);
        machine_read(world.keyspace, rest, &context, &out);
        world_close(&world);
        buffer_close(&out);
        buffer_close(&entry);
    } else {
        apply_to_both(rest);
    }
    return 0;
}
