#include "log/log_damage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"

bool log_damage_add(struct log_damages *damages, const struct hf_log_damage *damage)
{
    for (size_t i = 0; i < damages->count; i++) {
        const struct hf_log_damage *known = &damages->items[i];
        if (known->group == damage->group && known->index == damage->index && known->segment == damage->segment &&
            known->offset == damage->offset) {
            return false; /* a read met it again */
        }
    }
    if (damages->count == LOG_DAMAGE_COUNT_MAX) {
        return false;
    }
    if (damages->count == damages->capacity) {
        damages->capacity = damages->capacity == 0 ? 16 : damages->capacity * 2;
        damages->items = memory_resize(damages->items, damages->capacity * sizeof(*damages->items));
    }
    damages->items[damages->count++] = *damage;
    return true;
}

const struct hf_log_damage *log_damage_find(const struct log_damages *damages, uint64_t group, uint64_t index)
{
    for (size_t i = 0; i < damages->count; i++) {
        if (damages->items[i].group == group && damages->items[i].index == index) {
            return &damages->items[i];
        }
    }
    return NULL;
}

void log_damage_forget_terms(struct log_damages *damages, uint64_t group, uint64_t from)
{
    for (size_t i = 0; i < damages->count; i++) {
        if (damages->items[i].group == group && damages->items[i].index >= from) {
            damages->items[i].term = 0;
        }
    }
}

/* Keeps the order of the rest. */
static void log_damage_forget(struct log_damages *damages, uint64_t group, uint64_t first, uint64_t last)
{
    size_t kept = 0;
    for (size_t i = 0; i < damages->count; i++) {
        const struct hf_log_damage *item = &damages->items[i];
        if (item->group != group || item->index < first || item->index > last) {
            damages->items[kept++] = *item;
        }
    }
    damages->count = kept;
}

void log_damage_forget_entry(struct log_damages *damages, uint64_t group, uint64_t index)
{
    log_damage_forget(damages, group, index, index);
}

void log_damage_forget_group(struct log_damages *damages, uint64_t group)
{
    log_damage_forget(damages, group, 0, UINT64_MAX);
}

struct hf_log_damage log_damage_of(uint64_t group, uint64_t index, uint64_t term, uint64_t segment, uint64_t offset,
                                   const char *reason)
{
    struct hf_log_damage damage = {.group = group, .index = index, .term = term, .segment = segment, .offset = offset};
    snprintf(damage.reason, sizeof(damage.reason), "%s", reason);
    return damage;
}

void log_damage_close(struct log_damages *damages)
{
    free(damages->items);
    *damages = (struct log_damages){0};
}
