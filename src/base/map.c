#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/hash.h"

/* Linear probing. At most three quarters of the slots are taken, so that every probe ends at a free slot. */
#define MAP_CAPACITY_MIN 16u

struct map_slot {
    uint64_t key;
    void *value; /* NULL: free; map_tombstone: removed, a probe goes on */
};

static char map_tombstone_object;
static void *const map_tombstone = &map_tombstone_object;

static bool map_slot_live(const struct map_slot *slot)
{
    return slot->value != NULL && slot->value != map_tombstone;
}

static size_t map_start(const struct map *map, uint64_t key)
{
    return (size_t)hash_mix_64(key ^ map->seed) & (map->capacity - 1);
}

static struct map_slot *map_find(const struct map *map, uint64_t key)
{
    if (map->count == 0) {
        return NULL;
    }
    for (size_t i = map_start(map, key);; i = (i + 1) & (map->capacity - 1)) {
        struct map_slot *slot = &map->slots[i];
        if (slot->value == NULL) {
            return NULL;
        }
        if (slot->value != map_tombstone && slot->key == key) {
            return slot;
        }
    }
}

/* The first slot that a new key may take. The key is absent. */
static struct map_slot *map_find_place(struct map *map, uint64_t key)
{
    size_t i = map_start(map, key);
    while (map_slot_live(&map->slots[i])) {
        i = (i + 1) & (map->capacity - 1);
    }
    return &map->slots[i];
}

/* Moves to a table that is at most three eighths full, which also drops the tombstones: at least as many insertions
 * as there are keys must follow before the next move. */
static void map_rehash(struct map *map)
{
    size_t capacity = MAP_CAPACITY_MIN;
    while ((map->count + 1) * 8 > capacity * 3) {
        assert(capacity <= SIZE_MAX / 2 / sizeof(struct map_slot));
        capacity *= 2;
    }
    struct map old = *map;
    map->slots = memory_new(capacity * sizeof(struct map_slot));
    map->capacity = capacity;
    map->used = map->count;
    for (size_t i = 0; i < old.capacity; i++) {
        if (map_slot_live(&old.slots[i])) {
            *map_find_place(map, old.slots[i].key) = old.slots[i];
        }
    }
    free(old.slots);
}

void *map_get(const struct map *map, uint64_t key)
{
    struct map_slot *slot = map_find(map, key);
    return slot != NULL ? slot->value : NULL;
}

void *map_put(struct map *map, uint64_t key, void *value)
{
    assert(value != NULL);
    struct map_slot *slot = map_find(map, key);
    if (slot != NULL) {
        void *replaced = slot->value;
        slot->value = value;
        return replaced;
    }
    if ((map->used + 1) * 4 > map->capacity * 3) {
        map_rehash(map);
    }
    slot = map_find_place(map, key);
    map->used += slot->value == NULL;
    map->count++;
    *slot = (struct map_slot){.key = key, .value = value};
    return NULL;
}

void *map_remove(struct map *map, uint64_t key)
{
    struct map_slot *slot = map_find(map, key);
    if (slot == NULL) {
        return NULL;
    }
    void *removed = slot->value;
    size_t next = ((size_t)(slot - map->slots) + 1) & (map->capacity - 1);
    /* A probe that comes by here would end at the next slot anyway, so no tombstone is needed. */
    bool ends_here = map->slots[next].value == NULL;
    slot->value = ends_here ? NULL : map_tombstone;
    map->used -= ends_here;
    map->count--;
    return removed;
}

void map_close(struct map *map)
{
    if (map == NULL) {
        return;
    }
    free(map->slots);
    *map = (struct map){.seed = map->seed};
}

bool map_next(const struct map *map, size_t *position, uint64_t *key, void **value)
{
    while (*position < map->capacity) {
        const struct map_slot *slot = &map->slots[(*position)++];
        if (map_slot_live(slot)) {
            *key = slot->key;
            *value = slot->value;
            return true;
        }
    }
    return false;
}
