#include "snapshot/snapshot_catalogue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/mutation.h"

void snapshot_catalogue_init(struct snapshot_catalogue *catalogue, uint64_t seed)
{
    *catalogue = (struct snapshot_catalogue){0};
    bytes_map_init(&catalogue->by_id, seed);
}

static void catalogue_free(struct snapshot_entry *entry)
{
    free(entry->manifest);
    free(entry->reason);
    free(entry);
}

void snapshot_catalogue_close(struct snapshot_catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->count; i++) {
        catalogue_free(catalogue->entries[i]);
    }
    free(catalogue->entries);
    bytes_map_close(&catalogue->by_id);
    *catalogue = (struct snapshot_catalogue){0};
}

/* Whether a stands before b. */
static bool catalogue_before(const struct snapshot_entry *a, const struct snapshot_entry *b)
{
    if (a->header.group != b->header.group) {
        return a->header.group < b->header.group;
    }
    if (a->header.index != b->header.index) {
        return a->header.index > b->header.index;
    }
    return a->created_ms > b->created_ms;
}

/* Where an entry belongs: behind all that do not come after it. */
static size_t catalogue_place(const struct snapshot_catalogue *catalogue, const struct snapshot_entry *entry)
{
    size_t low = 0;
    size_t high = catalogue->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (catalogue_before(entry, catalogue->entries[middle])) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct snapshot_entry *snapshot_catalogue_add(struct snapshot_catalogue *catalogue,
                                              const struct snapshot_header *header,
                                              const struct hf_snapshot_manifest *manifest,
                                              enum hf_snapshot_origin origin, uint64_t file_bytes)
{
    if (snapshot_catalogue_find(catalogue, header->id) != NULL) {
        return NULL;
    }
    struct snapshot_entry *entry = memory_new(sizeof(*entry));
    entry->serial = ++catalogue->serial;
    entry->header = *header;
    entry->origin = origin;
    entry->file_bytes = file_bytes;
    if (manifest != NULL) {
        entry->incarnation = manifest->group_incarnation;
        entry->term = manifest->term;
        entry->created_ms = manifest->created_ms;
        entry->manifest = memory_new(SNAPSHOT_MANIFEST_HEAD_SIZE + (size_t)manifest->configuration_size);
        entry->manifest_size = hf_snapshot_manifest_encode(manifest, entry->manifest);
    }
    if (catalogue->count == catalogue->capacity) {
        catalogue->capacity = catalogue->capacity == 0 ? 16 : catalogue->capacity * 2;
        catalogue->entries = memory_resize(catalogue->entries, catalogue->capacity * sizeof(struct snapshot_entry *));
    }
    size_t place = catalogue_place(catalogue, entry);
    memmove(catalogue->entries + place + 1, catalogue->entries + place,
            (catalogue->count - place) * sizeof(struct snapshot_entry *));
    catalogue->entries[place] = entry;
    catalogue->count++;
    bytes_map_put(&catalogue->by_id, bytes_of(entry->header.id.bytes, sizeof(entry->header.id.bytes)), entry);
    return entry;
}

void snapshot_catalogue_remove(struct snapshot_catalogue *catalogue, struct hf_snapshot_id id)
{
    struct snapshot_entry *entry = bytes_map_remove(&catalogue->by_id, bytes_of(id.bytes, sizeof(id.bytes)));
    if (entry == NULL) {
        return;
    }
    size_t first, end;
    snapshot_catalogue_range(catalogue, entry->header.group, &first, &end);
    while (first < end && catalogue->entries[first] != entry) {
        first++;
    }
    assert(first < end); /* both hold the same entries */
    catalogue->count--;
    memmove(catalogue->entries + first, catalogue->entries + first + 1,
            (catalogue->count - first) * sizeof(struct snapshot_entry *));
    catalogue_free(entry);
}

struct snapshot_entry *snapshot_catalogue_find(const struct snapshot_catalogue *catalogue, struct hf_snapshot_id id)
{
    return bytes_map_get(&catalogue->by_id, bytes_of(id.bytes, sizeof(id.bytes)));
}

/* The first entry whose group is at least this. */
static size_t catalogue_first(const struct snapshot_catalogue *catalogue, uint64_t group)
{
    size_t low = 0;
    size_t high = catalogue->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (catalogue->entries[middle]->header.group < group) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void snapshot_catalogue_range(const struct snapshot_catalogue *catalogue, uint64_t group, size_t *first, size_t *end)
{
    *first = group == 0 ? 0 : catalogue_first(catalogue, group);
    *end = group == 0 ? catalogue->count : catalogue_first(catalogue, group + 1);
}

bool snapshot_catalogue_usable(const struct snapshot_entry *entry)
{
    bool local = entry->origin == HF_SNAPSHOT_LOCAL || MUTATED(SNAPSHOT_RECEIVED_IS_LATEST);
    return local && entry->reason == NULL;
}

void snapshot_catalogue_describe(const struct snapshot_entry *entry, struct hf_snapshot_info *out)
{
    memset(out, 0, sizeof(*out));
    if (entry->manifest == NULL ||
        hf_snapshot_manifest_decode(bytes_of(entry->manifest, entry->manifest_size), &out->manifest) != 0) {
        out->manifest.id = entry->header.id;
        out->manifest.group = entry->header.group;
        out->manifest.index = entry->header.index;
    }
    out->origin = entry->origin;
    out->file_bytes = entry->file_bytes;
    out->damaged = entry->reason != NULL;
    out->verified = entry->verified;
    out->pinned = entry->pins + entry->readers > 0;
    snprintf(out->reason, sizeof(out->reason), "%s", entry->reason != NULL ? entry->reason : "");
}
