/* A whole snapshot in a file, for reading: its ends (header, tail, manifest), its chunk table, its chunks as stored. */
#ifndef SNAPSHOT_SNAPSHOT_FILE_H
#define SNAPSHOT_SNAPSHOT_FILE_H

#include "io/io.h"
#include "snapshot/snapshot_manifest.h"

struct snapshot_row { /* of the chunk table */
    uint64_t offset;  /* of the section; 0: not there yet */
    uint32_t payload_size;
};

struct snapshot_file {
    struct file *file;
    uint64_t size;
    struct hf_snapshot_manifest manifest;
    struct snapshot_tail tail;
    struct snapshot_row *rows; /* NULL until snapshot_file_load_table */
    uint64_t serial;           /* of the entry that it was opened for; the store's */
};

/* Checks the ends against each other. HF_ECORRUPT, HF_EVERSION, HF_ENOTFOUND, HF_EIO. Zeroed on an error. */
int snapshot_file_open(struct snapshot_file *file, struct io *io, const char *path);
void snapshot_file_close(struct snapshot_file *file); /* zeroed: accepted */
int snapshot_file_load_table(struct snapshot_file *file);
/* Reads a stored chunk into `target` (of snapshot_file_raw_size_max bytes) and checks it. number < chunk_count, after
 * snapshot_file_load_table. */
int snapshot_file_read_chunk(struct snapshot_file *file, uint32_t number, uint8_t *target, struct hf_bytes *raw,
                             struct snapshot_section *section);
size_t snapshot_file_raw_size_max(const struct hf_snapshot_manifest *manifest);

/* The first size bytes at an offset, or HF_ECORRUPT when the file is shorter. */
int snapshot_file_read_exactly(struct file *file, uint64_t offset, void *target, size_t size);

#endif
