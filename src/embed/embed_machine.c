#include "embed/embed_machine.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mutation.h"

/* One group's, or, while it is loaded, what will be. */
struct embed_machine {
    const struct embed_machine_host *host;
    uint64_t group;
    void *state; /* the embedder's; NULL: it could not be opened */
};

struct hf_node_reply {
    struct buffer *bytes; /* NULL: nobody waits */
};

int hf_node_reply_append(struct hf_node_reply *reply, const void *data, size_t size)
{
    if (reply->bytes == NULL || size == 0) {
        return 0;
    }
    if (size > HF_NODE_REPLY_SIZE_MAX - reply->bytes->size) {
        return error_raise(HF_ETOOBIG, "a reply is above the limit of %u bytes", HF_NODE_REPLY_SIZE_MAX);
    }
    buffer_append(reply->bytes, data, size);
    return 0;
}

/* ---- Life ---- */

static _Thread_local unsigned embed_machine_calls; /* of the functions that a worker may run: one inside another */

bool embed_machine_is_calling(void)
{
    return embed_machine_calls > 0;
}

static void *embed_machine_open(void *arg, uint64_t group, uint64_t incarnation, uint32_t ordinal)
{
    struct embed_machine *machine = memory_new(sizeof(*machine));
    machine->host = arg;
    machine->group = group;
    machine->state = machine->host->machine.open(machine->host->machine.arg, group);
    return machine;
}

static void embed_machine_close(void *arg)
{
    struct embed_machine *machine = arg;
    if (machine == NULL) {
        return;
    }
    if (machine->state != NULL) {
        embed_machine_calls++;
        machine->host->machine.close(machine->state);
        embed_machine_calls--;
    }
    free(machine);
}

static int embed_machine_is_open(const struct embed_machine *machine)
{
    return machine->state != NULL
               ? 0
               : error_raise(HF_ENOMEM, "the machine of group %" PRIu64 " could not be opened", machine->group);
}

/* A code that an embedder's function returned, with words: it has no way to raise any. The built-in machine has. */
static int embed_machine_said(const struct embed_machine_host *host, const char *what, int rc)
{
    if (rc > 0) {
        return error_raise(HF_EINVALID, "the machine's %s returned %d, which is no error code", what, rc);
    }
    return rc != 0 && host->kind == EMBED_ENTRY_OWN
               ? error_raise(rc, "the machine's %s returned %s", what, hf_error_name(rc))
               : rc;
}

/* ---- Entries ---- */

static void embed_machine_compose(void *arg, uint64_t stamp_ms, const struct hf_bytes *commands, uint32_t count,
                                  struct buffer *out)
{
    const struct embed_machine_host *host = ((struct embed_machine *)arg)->host;
    struct buffer instead = {0};
    embed_entry_begin(host->kind, count, out);
    for (uint32_t i = 0; i < count; i++) {
        buffer_clear(&instead);
        if (host->check != NULL) {
            host->check(commands[i], &instead);
        }
        buffer_append_sized(out, instead.size > 0 ? buffer_bytes(&instead) : commands[i]);
    }
    buffer_close(&instead);
}

static int embed_machine_apply(void *arg, const struct hf_entry *entry, node_reply_sink *sink, void *sink_arg)
{
    struct embed_machine *machine = arg;
    struct buffer bytes = {0};
    struct hf_node_reply reply = {sink != NULL ? &bytes : NULL};
    struct cursor cursor;
    uint32_t count = 0;
    int rc = embed_machine_is_open(machine);
    rc = rc == 0 ? embed_entry_open(machine->host->kind, entry->payload, &cursor, &count) : rc;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        const struct hf_node_command command = {.group = machine->group,
                                                .index = entry->index,
                                                .ordinal = i,
                                                .term = entry->term,
                                                .timestamp_ms = entry->timestamp_ms,
                                                .payload = embed_entry_next(&cursor)};
        buffer_clear(&bytes);
        rc = embed_machine_said(machine->host, "apply", machine->host->machine.apply(machine->state, &command, &reply));
        if (rc == 0 && sink != NULL) {
            sink(sink_arg, i, buffer_bytes(&bytes));
        }
    }
    buffer_close(&bytes);
    return rc;
}

static int embed_machine_read(void *arg, struct hf_bytes query, uint64_t stamp_ms, struct buffer *out)
{
    const struct embed_machine *machine = arg;
    struct hf_node_reply reply = {out};
    int rc = embed_machine_is_open(machine);
    if (rc == 0 && machine->host->machine.read == NULL) {
        rc = error_raise(HF_EUNSUPPORTED, "the machine has no reads");
    }
    if (rc == 0) {
        rc = embed_machine_said(machine->host, "read",
                                machine->host->machine.read(machine->state, machine->group, query, &reply));
    }
    return rc;
}

/* Nothing of an embedder's data expires by itself. */
static uint64_t embed_machine_expire_due_ms(void *arg)
{
    return UINT64_MAX;
}

static void embed_machine_expire(void *arg, uint64_t stamp_ms, struct buffer *command) {}

static void embed_machine_digest(void *arg, uint64_t digest[2])
{
    const struct embed_machine *machine = arg;
    digest[0] = digest[1] = 0;
    if (machine->state != NULL && machine->host->machine.digest != NULL) {
        machine->host->machine.digest(machine->state, digest);
    }
}

static uint64_t embed_machine_data_bytes(void *arg)
{
    const struct embed_machine *machine = arg;
    return machine->state != NULL && machine->host->machine.data_bytes != NULL
               ? machine->host->machine.data_bytes(machine->state)
               : 0;
}

/* ---- Snapshots ---- */

struct embed_machine_cut {
    const struct embed_machine_host *host;
    void *cut; /* NULL: it failed, and says so when it is read */
};

static void *embed_machine_cut(void *arg)
{
    const struct embed_machine *machine = arg;
    struct embed_machine_cut *cut = memory_new(sizeof(*cut));
    cut->host = machine->host;
    cut->cut = machine->state != NULL ? machine->host->machine.cut(machine->state) : NULL;
    return cut;
}

static void embed_machine_cut_close(void *arg)
{
    struct embed_machine_cut *cut = arg;
    if (cut->cut != NULL) {
        embed_machine_calls++;
        cut->host->machine.cut_close(cut->cut);
        embed_machine_calls--;
    }
    free(cut);
}

static int embed_machine_cut_read(void *arg, void *target, size_t size, size_t *got)
{
    const struct embed_machine_cut *cut = arg;
    if (cut->cut == NULL) {
        return error_raise(HF_ENOMEM, "the machine gave no cut");
    }
    *got = 0;
    embed_machine_calls++;
    int rc = embed_machine_said(cut->host, "cut_read", cut->host->machine.cut_read(cut->cut, target, size, got));
    embed_machine_calls--;
    if (rc == 0 && *got > size) {
        rc = error_raise(HF_EINVALID, "the machine filled %zu of %zu bytes", *got, size);
    }
    return rc;
}

/* The manifest has a count for it; what an embedder would count is its own business. */
static uint64_t embed_machine_cut_entries(void *arg)
{
    return 0;
}

static void *embed_machine_import_open(void *arg)
{
    const struct embed_machine *machine = arg;
    return embed_machine_open((void *)machine->host, machine->group, 0, 0);
}

static int embed_machine_import_write(void *arg, struct hf_bytes bytes)
{
    const struct embed_machine *import = arg;
    int rc = embed_machine_is_open(import);
    embed_machine_calls++;
    rc = rc == 0 ? embed_machine_said(import->host, "load", import->host->machine.load(import->state, bytes)) : rc;
    embed_machine_calls--;
    return rc;
}

static int embed_machine_import_finish(void *arg)
{
    const struct embed_machine *import = arg;
    int rc = embed_machine_is_open(import);
    embed_machine_calls++;
    rc = rc == 0 ? embed_machine_said(import->host, "load_finish", import->host->machine.load_finish(import->state))
                 : rc;
    embed_machine_calls--;
    return rc;
}

static void embed_machine_import_swap(void *arg, void *import_arg)
{
    struct embed_machine *machine = arg;
    struct embed_machine *import = import_arg;
    void *state = machine->state;
    if (MUTATED(EMBED_STATE_NOT_EXCHANGED)) {
        return;
    }
    machine->state = import->state;
    import->state = state;
}

int embed_machine_init(struct embed_machine_host *host, const struct hf_node_machine *machine,
                       enum embed_entry_kind kind, embed_machine_check *check)
{
    unsigned have = (machine->cut != NULL) + (machine->cut_read != NULL) + (machine->cut_close != NULL) +
                    (machine->load != NULL) + (machine->load_finish != NULL);
    if (machine->open == NULL || machine->close == NULL || machine->apply == NULL) {
        return error_raise(HF_EINVALID, "a machine needs open, close and apply");
    }
    if (have != 0 && have != 5) {
        return error_raise(HF_EINVALID, "a machine has all five functions for snapshots, or none; this one has %u",
                           have);
    }
    host->machine = *machine;
    host->kind = kind;
    host->check = check;
    host->ops = (struct node_machine_ops){
        .open = embed_machine_open,
        .close = embed_machine_close,
        .compose = embed_machine_compose,
        .apply = embed_machine_apply,
        .read = embed_machine_read,
        .expire_due_ms = embed_machine_expire_due_ms,
        .expire = embed_machine_expire,
        .digest = embed_machine_digest,
        .data_bytes = embed_machine_data_bytes,
        .arg = host,
    };
    if (have == 5) {
        host->ops.cut = embed_machine_cut;
        host->ops.cut_close = embed_machine_cut_close;
        host->ops.cut_read = embed_machine_cut_read;
        host->ops.cut_entries = embed_machine_cut_entries;
        host->ops.import_open = embed_machine_import_open;
        host->ops.import_write = embed_machine_import_write;
        host->ops.import_finish = embed_machine_import_finish;
        host->ops.import_swap = embed_machine_import_swap;
        host->ops.import_close = embed_machine_close;
    }
    return 0;
}
