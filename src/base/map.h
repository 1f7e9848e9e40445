/* Hash maps with open addressing: from u64 and from byte strings to pointers. Iteration order is that of insertion into
 * the table's slots and must never reach anything that replicas have to agree on. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"

struct map_slot;
struct map {
    struct map_slot *slots;
    size_t count;
    size_t capacity; /* a power of two, or 0 */
    size_t used;     /* slots taken, tombstones included */
    uint64_t seed;
};

/* Keyed by u64. A zeroed map is empty and valid. */
void *map_get(const struct map *map, uint64_t key);        /* NULL when absent */
void *map_put(struct map *map, uint64_t key, void *value); /* value != NULL; returns the replaced value or NULL */
void *map_remove(struct map *map, uint64_t key);           /* returns the removed value or NULL */
void map_close(struct map *map);                           /* frees the table, not the values */
/* Walks the slots: start with *position = 0; false at the end. The map must not change meanwhile. */
bool map_next(const struct map *map, size_t *position, uint64_t *key, void **value);

struct bytes_map_slot;
struct bytes_map {
    struct bytes_map_slot *slots;
    size_t count;
    size_t capacity;
    size_t used;
    uint64_t seed; /* set by bytes_map_init against crafted keys */
};

/* Keyed by byte strings, which the map copies. Hashed by XXH3 with `seed`. */
void bytes_map_init(struct bytes_map *map, uint64_t seed);
void *bytes_map_get(const struct bytes_map *map, struct hf_bytes key);
void *bytes_map_put(struct bytes_map *map, struct hf_bytes key, void *value);
void *bytes_map_remove(struct bytes_map *map, struct hf_bytes key);
void bytes_map_close(struct bytes_map *map);
bool bytes_map_next(const struct bytes_map *map, size_t *position, struct hf_bytes *key, void **value);

#endif
