/* Makes the index file of a segment: condenses what its frames say and writes the file. Frames that are at hand in
 * memory, where they were built, are taken from there; the others are read, past the page cache, and verified.
 * Deterministic: the same segment gives the same tables and the same slots, so that slots can be had from here when
 * their page is damaged. Blocking; on its own data, so any thread. */
#ifndef LOG_LOG_INDEX_BUILD_H
#define LOG_LOG_INDEX_BUILD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/map.h"
#include "io/io.h"
#include "log/log_frame.h"
#include "log/log_index_format.h"
#include "log/log_tail_cache.h"

struct log_index_section;
struct log_index_build {
    struct log_index_summary summary;
    struct buffer tables;   /* once finished */
    struct log_slot *slots; /* once finished */

    struct log_index_section **sections; /* in the order of their first runs */
    size_t section_count;
    struct map latest; /* of each group */
};

/* A build takes frames, in order, until it is finished. */
void log_index_build_open(struct log_index_build *build, const struct log_segment_header *segment);
void log_index_build_close(struct log_index_build *build);
/* The next frame of the segment, which passed log_frame_check or was built by this process. */
void log_index_build_frame(struct log_index_build *build, struct hf_bytes bytes, const struct log_frame_header *header);
/* HF_ETOOBIG: more than an index file holds. */
int log_index_build_finish(struct log_index_build *build);

struct log_index_source {
    struct io *io;
    const char *directory; /* lent */
    struct log_segment_header header;
    uint64_t offset_end;             /* of its frames */
    struct log_cached_frame *frames; /* lent; of this segment, as they were built, in order; their chunks are pinned */
    size_t frame_count;
    const atomic_bool *cancel; /* or NULL */
};
/* Goes through the frames up to offset_stop, on from where it was. HF_ECORRUPT: the frame at build->summary.offset_end
 * is damaged; HF_EIO, HF_ECLOSED. */
int log_index_build_advance(struct log_index_build *build, const struct log_index_source *source, uint64_t offset_stop);
/* Opens, goes through all frames, and finishes. HF_ECORRUPT: a frame is damaged (*bad_offset says where), HF_EIO,
 * HF_ECLOSED: `cancel` became true. On errors the build is closed. */
int log_index_build_segment(struct log_index_build *build, const struct log_index_source *source, uint64_t *bad_offset);

/* Writes the finished file under its temporary name, syncs it, gives it its name and syncs the directory.
 * *directory_failed: it is the sync of the directory that failed, which is final for the log. */
int log_index_build_write(const struct log_index_build *build, struct io *io, const char *directory,
                          bool *directory_failed);

#endif
