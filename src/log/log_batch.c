#include "log/log_batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "log/log_record.h"

#define LOG_BATCH_CAPACITY_MIN 16u
/* A batch object that once was large gives its memory back when it is cleared. */
#define LOG_BATCH_KEPT_BYTES_MAX (1u << 20)

int hf_log_batch_open(struct hf_log_batch **out)
{
    *out = memory_new(sizeof(struct hf_log_batch));
    (*out)->essential = true;
    return 0;
}

void hf_log_batch_close(struct hf_log_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    free(batch->operations);
    buffer_close(&batch->bodies);
    free(batch);
}

void hf_log_batch_clear(struct hf_log_batch *batch)
{
    if (batch->bodies.capacity > LOG_BATCH_KEPT_BYTES_MAX) {
        buffer_close(&batch->bodies);
    }
    buffer_clear(&batch->bodies);
    batch->count = 0;
    batch->entry_count = 0;
    batch->encoded_size = 0;
    batch->plain = false;
    batch->essential = true;
}

size_t hf_log_batch_size_bytes(const struct hf_log_batch *batch)
{
    return batch->encoded_size;
}

bool hf_log_batch_is_empty(const struct hf_log_batch *batch)
{
    return batch->count == 0;
}

bool log_batch_shares_run(const struct log_operation *before, const struct log_operation *operation)
{
    if (before->group != operation->group || before->kind == LOG_RECORD_REMOVED) {
        return false;
    }
    if (!log_batch_is_entry(operation)) {
        return true;
    }
    return log_batch_is_entry(before) && before->term == operation->term;
}

struct hf_bytes log_batch_body(const struct hf_log_batch *batch, const struct log_operation *operation)
{
    return bytes_of(batch->bodies.data + operation->body_offset, operation->body_size);
}

static uint64_t log_batch_entry_size(const struct log_operation *entry)
{
    return log_record_size(entry->body_size + log_record_wide_size(entry->value));
}

/* Of one that is no entry. */
static uint64_t log_batch_operation_size(const struct log_operation *operation)
{
    uint64_t body = operation->body_size;
    if (operation->kind == LOG_RECORD_HARD_STATE) {
        body = LOG_RECORD_HARD_STATE_BODY_SIZE;
    } else if (operation->kind == LOG_RECORD_RESET) {
        body += LOG_RECORD_FLOOR_BODY_SIZE;
    } else if (operation->kind == LOG_RECORD_COMPACT) {
        body = LOG_RECORD_FLOOR_BODY_SIZE + HF_LOG_SNAPSHOT_NAME_SIZE_MAX; /* of the last reset, if it has any */
    }
    return log_record_size(body);
}

/* What an operation that is no entry adds at most, behind the one before it (NULL: it is the first). */
static uint64_t log_batch_cost(const struct log_operation *before, const struct log_operation *operation)
{
    bool shares = before != NULL && log_batch_shares_run(before, operation);
    return log_batch_operation_size(operation) + (shares ? 0 : LOG_FORMAT_RUN_SIZE);
}

static int log_batch_check_group(uint64_t group)
{
    if (group == 0 || group > HF_LOG_GROUP_MAX) {
        return error_raise(HF_EINVALID, "group %" PRIu64 " is outside 1 … 2^63-1", group);
    }
    return 0;
}

static bool log_batch_continues(const struct log_operation *before, const struct log_operation *operation)
{
    return operation->group == before->group && operation->index == before->index + 1 &&
           operation->term >= before->term;
}

/* Where operations behind those of the batch are built; they count once log_batch_take took them. */
static struct log_operation *log_batch_next(struct hf_log_batch *batch, size_t count)
{
    if (batch->capacity - batch->count < count) {
        size_t needed = batch->count + count;
        size_t doubled = batch->capacity == 0 ? LOG_BATCH_CAPACITY_MIN : batch->capacity * 2;
        batch->capacity = needed > doubled ? needed : doubled;
        batch->operations = memory_resize(batch->operations, batch->capacity * sizeof(struct log_operation));
    }
    return &batch->operations[batch->count];
}

/* Takes the operations that were built in log_batch_next, or, where they are too large, forgets them. */
static int log_batch_take(struct hf_log_batch *batch, size_t count, uint64_t cost, size_t body_bytes)
{
    if (cost > HF_LOG_BATCH_SIZE_MAX - batch->encoded_size) {
        batch->bodies.size -= body_bytes;
        return error_raise(HF_ETOOBIG, "the batch would exceed %u bytes", HF_LOG_BATCH_SIZE_MAX);
    }
    batch->count += count;
    batch->encoded_size += cost;
    return 0;
}

static int log_batch_check_entry(const struct hf_entry *entry)
{
    if (entry->index == 0) {
        return error_raise(HF_EINVALID, "index 0 is no entry's");
    }
    if (entry->payload.size > HF_LOG_PAYLOAD_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "entry %" PRIu64 " has %zu bytes, the limit is %u", entry->index,
                           entry->payload.size, HF_LOG_PAYLOAD_SIZE_MAX);
    }
    if (entry->type < HF_ENTRY_NORMAL || entry->type > HF_ENTRY_SNAPSHOT_MARKER) {
        return error_raise(HF_EINVALID, "entry %" PRIu64 " has the unknown type %d", entry->index, (int)entry->type);
    }
    return 0;
}

/* One that was checked, behind the one before it (NULL: it is the first). */
static void log_batch_build_entry(struct hf_log_batch *batch, struct log_operation *operation, uint64_t group,
                                  enum log_record_kind kind, const struct hf_entry *entry)
{
    operation->kind = (uint8_t)kind;
    operation->entry_type = (uint8_t)entry->type;
    operation->body_size = (uint32_t)entry->payload.size;
    operation->group = group;
    operation->index = entry->index;
    operation->term = entry->term;
    operation->value = entry->timestamp_ms;
    operation->commit = 0;
    operation->body_offset = batch->bodies.size;
    buffer_append_bytes(&batch->bodies, entry->payload);
}

/* All of them or none. Whoever appends entry by entry comes here each time: what it calls is expanded in line. */
__attribute__((flatten)) static int log_batch_add_entries(struct hf_log_batch *batch, uint64_t group,
                                                          enum log_record_kind kind, const struct hf_entry *entries,
                                                          size_t count)
{
    int rc = log_batch_check_group(group);
    if (rc != 0 || count == 0) {
        return rc;
    }
    struct log_operation *operation = log_batch_next(batch, count);
    const struct log_operation *before = batch->count > 0 ? operation - 1 : NULL;
    bool append = kind == LOG_RECORD_APPEND;
    bool plain = append && (batch->count == 0 || batch->plain);
    size_t bodies_before = batch->bodies.size;
    uint64_t cost = 0;
    for (size_t i = 0; i < count && cost <= HF_LOG_BATCH_SIZE_MAX; i++) {
        rc = log_batch_check_entry(&entries[i]);
        if (rc != 0) {
            batch->bodies.size = bodies_before;
            return rc;
        }
        log_batch_build_entry(batch, operation, group, kind, &entries[i]);
        bool shares = before != NULL && log_batch_shares_run(before, operation);
        cost += log_batch_entry_size(operation) + (shares ? 0 : LOG_FORMAT_RUN_SIZE);
        plain = plain && (before == NULL || log_batch_continues(before, operation));
        before = operation++;
    }
    rc = log_batch_take(batch, count, cost, batch->bodies.size - bodies_before);
    if (rc == 0) {
        batch->plain = plain;
        batch->entry_count += append ? count : 0;
        batch->essential = batch->essential && !append;
    }
    return rc;
}

int hf_log_batch_append(struct hf_log_batch *batch, uint64_t group, const struct hf_entry *entries, size_t count)
{
    return log_batch_add_entries(batch, group, LOG_RECORD_APPEND, entries, count);
}

int hf_log_batch_repair(struct hf_log_batch *batch, uint64_t group, const struct hf_entry *entries, size_t count)
{
    return log_batch_add_entries(batch, group, LOG_RECORD_MOVED, entries, count);
}

/* Everything but entries: one operation, checked by hand. */
static int log_batch_add_plain(struct hf_log_batch *batch, const struct log_operation *operation, struct hf_bytes body)
{
    int rc = log_batch_check_group(operation->group);
    if (rc != 0) {
        return rc;
    }
    struct log_operation *added = log_batch_next(batch, 1);
    *added = *operation;
    added->body_size = (uint32_t)body.size;
    added->body_offset = batch->bodies.size;
    buffer_append_bytes(&batch->bodies, body);
    rc = log_batch_take(batch, 1, log_batch_cost(batch->count > 0 ? added - 1 : NULL, added), body.size);
    batch->plain = batch->plain && rc != 0;
    return rc;
}

int hf_log_batch_truncate(struct hf_log_batch *batch, uint64_t group, uint64_t from_index)
{
    struct log_operation operation = {.kind = LOG_RECORD_TRUNCATE, .group = group, .index = from_index};
    if (from_index == 0) {
        return error_raise(HF_EINVALID, "index 0 is no entry's");
    }
    return log_batch_add_plain(batch, &operation, bytes_of(NULL, 0));
}

int hf_log_batch_hard_state(struct hf_log_batch *batch, uint64_t group, struct hf_hard_state state)
{
    struct log_operation operation = {
        .kind = LOG_RECORD_HARD_STATE, .group = group, .term = state.term, .value = state.vote, .commit = state.commit};
    return log_batch_add_plain(batch, &operation, bytes_of(NULL, 0));
}

int hf_log_batch_reset(struct hf_log_batch *batch, uint64_t group, uint64_t index, uint64_t term,
                       struct hf_bytes snapshot_name)
{
    struct log_operation operation = {.kind = LOG_RECORD_RESET, .group = group, .index = index, .term = term};
    if (index == UINT64_MAX) {
        return error_raise(HF_EINVALID, "no entry can follow index 2^64-1");
    }
    if (snapshot_name.size > HF_LOG_SNAPSHOT_NAME_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "the snapshot's name is longer than %u bytes", HF_LOG_SNAPSHOT_NAME_SIZE_MAX);
    }
    return log_batch_add_plain(batch, &operation, snapshot_name);
}

int hf_log_batch_compact(struct hf_log_batch *batch, uint64_t group, uint64_t index)
{
    struct log_operation operation = {.kind = LOG_RECORD_COMPACT, .group = group, .index = index};
    if (index == UINT64_MAX) {
        return error_raise(HF_EINVALID, "no entry can follow index 2^64-1");
    }
    return log_batch_add_plain(batch, &operation, bytes_of(NULL, 0));
}

int hf_log_batch_remove_group(struct hf_log_batch *batch, uint64_t group)
{
    struct log_operation operation = {.kind = LOG_RECORD_REMOVED, .group = group};
    return log_batch_add_plain(batch, &operation, bytes_of(NULL, 0));
}
