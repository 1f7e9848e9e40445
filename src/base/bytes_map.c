#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/map.h"

/* The same table as map.c, with keys that the map owns and whose hash is kept: growing does not hash again, and most
 * keys that differ are told apart without being read. */
#define BYTES_MAP_CAPACITY_MIN 16u

struct bytes_map_slot {
    uint64_t hash;
    void *key; /* owned */
    size_t key_size;
    void *value; /* NULL: free; bytes_map_tombstone: removed, a probe goes on */
};

static char bytes_map_tombstone_object;
static void *const bytes_map_tombstone = &bytes_map_tombstone_object;

static bool bytes_map_slot_live(const struct bytes_map_slot *slot)
{
    return slot->value != NULL && slot->value != bytes_map_tombstone;
}

static struct bytes_map_slot *bytes_map_find(const struct bytes_map *map, struct hf_bytes key, uint64_t hash)
{
    if (map->count == 0) {
        return NULL;
    }
    for (size_t i = (size_t)hash & (map->capacity - 1);; i = (i + 1) & (map->capacity - 1)) {
        struct bytes_map_slot *slot = &map->slots[i];
        if (slot->value == NULL) {
            return NULL;
        }
        if (slot->value != bytes_map_tombstone && slot->hash == hash &&
            bytes_equal(bytes_of(slot->key, slot->key_size), key)) {
            return slot;
        }
    }
}

/* The first slot that a new key may take. The key is absent. */
static struct bytes_map_slot *bytes_map_find_place(struct bytes_map *map, uint64_t hash)
{
    size_t i = (size_t)hash & (map->capacity - 1);
    while (bytes_map_slot_live(&map->slots[i])) {
        i = (i + 1) & (map->capacity - 1);
    }
    return &map->slots[i];
}

static void bytes_map_rehash(struct bytes_map *map)
{
    size_t capacity = BYTES_MAP_CAPACITY_MIN;
    while ((map->count + 1) * 8 > capacity * 3) {
        assert(capacity <= SIZE_MAX / 2 / sizeof(struct bytes_map_slot));
        capacity *= 2;
    }
    struct bytes_map old = *map;
    map->slots = memory_new(capacity * sizeof(struct bytes_map_slot));
    map->capacity = capacity;
    map->used = map->count;
    for (size_t i = 0; i < old.capacity; i++) {
        if (bytes_map_slot_live(&old.slots[i])) {
            *bytes_map_find_place(map, old.slots[i].hash) = old.slots[i];
        }
    }
    free(old.slots);
}

void bytes_map_init(struct bytes_map *map, uint64_t seed)
{
    *map = (struct bytes_map){.seed = seed};
}

void *bytes_map_get(const struct bytes_map *map, struct hf_bytes key)
{
    struct bytes_map_slot *slot = bytes_map_find(map, key, hash_xxh3_64(key, map->seed));
    return slot != NULL ? slot->value : NULL;
}

void *bytes_map_put(struct bytes_map *map, struct hf_bytes key, void *value)
{
    assert(value != NULL);
    uint64_t hash = hash_xxh3_64(key, map->seed);
    struct bytes_map_slot *slot = bytes_map_find(map, key, hash);
    if (slot != NULL) {
        void *replaced = slot->value;
        slot->value = value;
        return replaced;
    }
    if ((map->used + 1) * 4 > map->capacity * 3) {
        bytes_map_rehash(map);
    }
    slot = bytes_map_find_place(map, hash);
    map->used += slot->value == NULL;
    map->count++;
    *slot = (struct bytes_map_slot){.hash = hash, .key = memory_new(key.size), .key_size = key.size, .value = value};
    if (key.size > 0) {
        memcpy(slot->key, key.data, key.size);
    }
    return NULL;
}

void *bytes_map_remove(struct bytes_map *map, struct hf_bytes key)
{
    struct bytes_map_slot *slot = bytes_map_find(map, key, hash_xxh3_64(key, map->seed));
    if (slot == NULL) {
        return NULL;
    }
    void *removed = slot->value;
    free(slot->key);
    slot->key = NULL;
    size_t next = ((size_t)(slot - map->slots) + 1) & (map->capacity - 1);
    /* A probe that comes by here would end at the next slot anyway, so no tombstone is needed. */
    bool ends_here = map->slots[next].value == NULL;
    slot->value = ends_here ? NULL : bytes_map_tombstone;
    map->used -= ends_here;
    map->count--;
    return removed;
}

void bytes_map_close(struct bytes_map *map)
{
    if (map == NULL) {
        return;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        if (bytes_map_slot_live(&map->slots[i])) {
            free(map->slots[i].key);
        }
    }
    free(map->slots);
    *map = (struct bytes_map){.seed = map->seed};
}

bool bytes_map_next(const struct bytes_map *map, size_t *position, struct hf_bytes *key, void **value)
{
    while (*position < map->capacity) {
        const struct bytes_map_slot *slot = &map->slots[(*position)++];
        if (bytes_map_slot_live(slot)) {
            *key = bytes_of(slot->key, slot->key_size);
            *value = slot->value;
            return true;
        }
    }
    return false;
}
