/* Makes the index file of a segment: reads the whole segment past the page cache, frame by frame, condenses what it
 * says and writes the file. So every segment is read back once and verified before its index file vouches for it.
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

struct log_index_section;
struct log_index_build {
    struct log_index_summary summary;
    struct buffer tables;   /* once finished */
    struct log_slot *slots; /* once finished */

    struct log_index_section **sections; /* in the order of their first runs */
    size_t section_count;
    struct map latest; /* of each group */
};

void log_index_build_open(struct log_index_build *build, const struct log_segment_header *segment);
void log_index_build_close(struct log_index_build *build);
/* The next frame of the segment, which passed log_frame_check. */
void log_index_build_frame(struct log_index_build *build, struct hf_bytes bytes, const struct log_frame_header *header,
                           const struct log_trailer *trailer);
/* HF_ETOOBIG: more than an index file holds. */
int log_index_build_finish(struct log_index_build *build);

/* Opens, reads all frames up to offset_end, and finishes. HF_ECORRUPT: a frame is damaged (*bad_offset says where),
 * HF_EIO, HF_ECLOSED: `cancel` became true. On errors the build is closed. */
int log_index_build_segment(struct log_index_build *build, struct io *io, const char *directory,
                            const struct log_segment_header *segment, uint64_t offset_end, const atomic_bool *cancel,
                            uint64_t *bad_offset);

/* Writes the finished file under its temporary name, syncs it, gives it its name and syncs the directory.
 * *directory_failed: it is the sync of the directory that failed, which is final for the log. */
int log_index_build_write(const struct log_index_build *build, struct io *io, const char *directory,
                          bool *directory_failed);

#endif
