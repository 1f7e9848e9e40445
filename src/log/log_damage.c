#include "log/log_damage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"

void log_damage_add(struct log_damages *damages, const struct hf_log_damage *damage)
{
    for (size_t i = 0; i < damages->count; i++) {
        const struct hf_log_damage *known = &damages->items[i];
        if (known->group == damage->group && known->index == damage->index && known->segment == damage->segment &&
            known->offset == damage->offset) {
            return; /* a read met it again */
        }
    }
    if (damages->count == LOG_DAMAGE_COUNT_MAX) {
        return;
    }
    if (damages->count == damages->capacity) {
        damages->capacity = damages->capacity == 0 ? 16 : damages->capacity * 2;
        damages->items = memory_resize(damages->items, damages->capacity * sizeof(*damages->items));
    }
    damages->items[damages->count++] = *damage;
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
