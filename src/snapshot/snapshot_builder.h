/* A snapshot's file while it is put together from stored chunks: by a writer, a receiver or an import. Private to the
 * room. Thread: its owner's. */
#ifndef SNAPSHOT_SNAPSHOT_BUILDER_H
#define SNAPSHOT_SNAPSHOT_BUILDER_H

#include "snapshot/snapshot_sink.h"
#include "snapshot/snapshot_store.h"

struct snapshot_builder {
    struct hf_snapshot_store *store;
    char *path;
    struct snapshot_sink sink;
    struct snapshot_row *rows; /* by chunk number; offset 0: not there */
    uint32_t row_capacity;
    uint32_t chunk_count;  /* how many are there */
    uint64_t stored_bytes; /* of them */
};

/* Creates the file and writes its header. On an error there is no file. */
int snapshot_builder_open(struct snapshot_builder *builder, struct hf_snapshot_store *store,
                          const struct snapshot_header *header, enum snapshot_suffix suffix);
/* Goes on with a file whose good part ends at `offset`; rows are the caller's to note. */
int snapshot_builder_resume(struct snapshot_builder *builder, struct hf_snapshot_store *store,
                            const struct snapshot_header *header, enum snapshot_suffix suffix, uint64_t offset);
/* A whole, checked section of a chunk that is not there yet. HF_ETOOBIG beyond HF_SNAPSHOT_CHUNK_COUNT_MAX. */
int snapshot_builder_add(struct snapshot_builder *builder, uint32_t number, struct hf_bytes section);
void snapshot_builder_note(struct snapshot_builder *builder, uint32_t number, uint64_t offset, uint32_t payload_size);
bool snapshot_builder_has(const struct snapshot_builder *builder, uint32_t number);
int snapshot_builder_add_manifest(struct snapshot_builder *builder, const struct hf_snapshot_manifest *manifest);
/* Writes table, manifest and tail, syncs, and publishes (snapshot_store_publish). Every chunk must be there. Closes the
 * builder; on an error the file is gone. */
int snapshot_builder_publish(struct snapshot_builder *builder, const struct hf_snapshot_manifest *manifest,
                             enum hf_snapshot_origin origin);
void snapshot_builder_discard(struct snapshot_builder *builder); /* closes; the file is gone; zeroed: accepted */
void snapshot_builder_close(struct snapshot_builder *builder);   /* closes; the file stays; zeroed: accepted */

/* table: the table's section. Shared with the export of a whole stream. */
uint8_t *snapshot_builder_table(const struct snapshot_row *rows, uint32_t count, const struct hf_snapshot_id *id,
                                size_t *size);
/* target: SNAPSHOT_FORMAT_SECTION_SIZE + HF_SNAPSHOT_MANIFEST_SIZE_MAX bytes; returns how many were written. */
size_t snapshot_builder_manifest(uint8_t *target, const struct hf_snapshot_manifest *manifest);

#endif
