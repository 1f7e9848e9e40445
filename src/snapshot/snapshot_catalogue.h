/* What a store knows of its snapshots, in memory: one entry each, ordered by group, and within a group newest first (by
 * index, then by time). Not thread-safe: the store's mutex guards it. */
#ifndef SNAPSHOT_SNAPSHOT_CATALOGUE_H
#define SNAPSHOT_SNAPSHOT_CATALOGUE_H

#include "base/map.h"
#include "snapshot/snapshot_manifest.h"

struct snapshot_entry {
    struct snapshot_header header;
    uint64_t incarnation;
    uint64_t term;
    uint64_t created_ms;
    uint64_t file_bytes;
    uint8_t *manifest; /* encoded; NULL when it could not be read */
    size_t manifest_size;
    enum hf_snapshot_origin origin;
    bool verified;
    char *reason;     /* why it is damaged, or NULL */
    uint32_t pins;    /* hf_snapshot_pin */
    uint32_t readers; /* open ones */
    uint64_t serial;  /* tells an entry from a later one of the same id */
};

struct snapshot_catalogue {
    struct snapshot_entry **entries;
    size_t count;
    size_t capacity;
    struct bytes_map by_id;
    uint64_t serial;
};

void snapshot_catalogue_init(struct snapshot_catalogue *catalogue, uint64_t seed);
void snapshot_catalogue_close(struct snapshot_catalogue *catalogue);
/* manifest NULL: only the name is known. The catalogue owns the entry. NULL when the id is there already. */
struct snapshot_entry *snapshot_catalogue_add(struct snapshot_catalogue *catalogue,
                                              const struct snapshot_header *header,
                                              const struct hf_snapshot_manifest *manifest,
                                              enum hf_snapshot_origin origin, uint64_t file_bytes);
void snapshot_catalogue_remove(struct snapshot_catalogue *catalogue, struct hf_snapshot_id id);
struct snapshot_entry *snapshot_catalogue_find(const struct snapshot_catalogue *catalogue, struct hf_snapshot_id id);
/* [*first, *end) are the entries of the group; group 0: all. */
void snapshot_catalogue_range(const struct snapshot_catalogue *catalogue, uint64_t group, size_t *first, size_t *end);
/* Local, and not known to be damaged. */
bool snapshot_catalogue_usable(const struct snapshot_entry *entry);
void snapshot_catalogue_describe(const struct snapshot_entry *entry, struct hf_snapshot_info *out);

#endif
