/* links: embed */
/* Entries of embedded nodes that somebody damaged, and commands from a peer that lies: nothing crashes, what is no
 * entry is refused before anything of it is applied, and what a leader would put into the log in the place of a command
 * is always one that the built-in machine applies. The first byte chooses: an entry, or a command and a query. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "embed/embed_machine.h"
#include "embed/embed_values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore_reply(void *arg, uint32_t ordinal, struct hf_bytes bytes)
{
    struct embed_values_reply reply;
    assert(ordinal < EMBED_ENTRY_COMMANDS_MAX);
    (void)embed_values_reply(bytes, &reply);
    ++*(uint32_t *)arg;
}

static struct embed_machine_host *host(void)
{
    static struct embed_machine_host values;
    int rc = embed_machine_init(&values, embed_values_machine(), EMBED_ENTRY_VALUES, embed_values_check);
    assert(rc == 0);
    return &values;
}

static void apply(struct hf_bytes payload)
{
    const struct node_machine_ops *ops = &host()->ops;
    void *machine = ops->open(ops->arg, 2, 1, 0);
    const struct hf_entry entry = {.index = 7, .term = 1, .type = HF_ENTRY_NORMAL, .payload = payload};
    struct cursor cursor;
    uint32_t count = 0;
    uint32_t replies = 0;
    uint64_t digest[2];
    uint64_t empty[2];
    int is_entry = embed_entry_open(EMBED_ENTRY_VALUES, payload, &cursor, &count);
    ops->digest(machine, empty);
    int rc = ops->apply(machine, &entry, ignore_reply, &replies);
    ops->digest(machine, digest);
    if (is_entry != 0) {
        assert(rc == is_entry && replies == 0 && digest[0] == empty[0] && digest[1] == empty[1]);
    }
    assert(rc != 0 || replies == count);
    ops->close(machine);
}

static void propose(struct hf_bytes command)
{
    const struct node_machine_ops *ops = &host()->ops;
    void *machine = ops->open(ops->arg, 2, 1, 0);
    struct buffer payload = {0};
    struct buffer reply = {0};
    uint32_t replies = 0;
    const struct hf_bytes twice[2] = {command, command};
    ops->compose(machine, 1, twice, 2, &payload);
    const struct hf_entry entry = {.index = 7, .term = 1, .type = HF_ENTRY_NORMAL, .payload = buffer_bytes(&payload)};
    int rc = ops->apply(machine, &entry, ignore_reply, &replies);
    assert(rc == 0 && replies == 2);
    (void)ops->read(machine, command, 1, &reply);
    ops->close(machine);
    buffer_close(&payload);
    buffer_close(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        apply(bytes_of(data + 1, size - 1));
    } else {
        propose(bytes_of(data + 1, size - 1));
    }
    return 0;
}
