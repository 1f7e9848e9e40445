#include "node/forward_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define FORWARD_TABLE_CAPACITY_MIN 64u

void forward_table_close(struct forward_table *table)
{
    assert(table->count == 0);
    free(table->entries);
    *table = (struct forward_table){0};
}

static struct forward_entry *forward_table_at(const struct forward_table *table, size_t i)
{
    return &table->entries[(table->first + i) & (table->capacity - 1)];
}

static void forward_table_grow(struct forward_table *table)
{
    size_t capacity = table->capacity > 0 ? table->capacity * 2 : FORWARD_TABLE_CAPACITY_MIN;
    struct forward_entry *entries = memory_new(capacity * sizeof(*entries));
    for (size_t i = 0; i < table->count; i++) {
        entries[i] = *forward_table_at(table, i);
    }
    free(table->entries);
    table->entries = entries;
    table->first = 0;
    table->capacity = capacity;
}

uint64_t forward_table_add(struct forward_table *table, struct forward_entry entry)
{
    if (table->count == table->capacity) {
        forward_table_grow(table);
    }
    if (table->id_first == 0) {
        table->id_first = 1;
    }
    entry.state = FORWARD_STATE_QUEUED;
    *forward_table_at(table, table->count) = entry;
    table->count++;
    table->proposals_in_flight += entry.kind == FORWARD_PROPOSE;
    return table->id_first + table->count - 1;
}

struct forward_entry *forward_table_find(struct forward_table *table, uint64_t id)
{
    if (table->count == 0 || id < table->id_first || id - table->id_first >= table->count) {
        return NULL;
    }
    struct forward_entry *entry = forward_table_at(table, (size_t)(id - table->id_first));
    return entry->state != FORWARD_STATE_NONE ? entry : NULL;
}

int forward_table_take(struct forward_table *table, uint64_t id, struct forward_entry *out)
{
    struct forward_entry *entry = forward_table_find(table, id);
    if (entry == NULL) {
        return error_raise(HF_ENOTFOUND, "no such request");
    }
    *out = *entry;
    entry->state = FORWARD_STATE_NONE;
    table->proposals_in_flight -= entry->kind == FORWARD_PROPOSE;
    while (table->count > 0 && forward_table_at(table, 0)->state == FORWARD_STATE_NONE) {
        table->first = (table->first + 1) & (table->capacity - 1);
        table->count--;
        table->id_first++;
    }
    return 0;
}

uint64_t forward_table_next(const struct forward_table *table, uint64_t id)
{
    size_t i = id > table->id_first ? (size_t)(id - table->id_first) : 0;
    for (; i < table->count; i++) {
        if (forward_table_at(table, i)->state != FORWARD_STATE_NONE) {
            return table->id_first + i;
        }
    }
    return 0;
}

uint64_t forward_table_deadline_ms(const struct forward_table *table)
{
    return table->count > 0 ? forward_table_at(table, 0)->deadline_ms : UINT64_MAX;
}
