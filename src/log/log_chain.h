/* The files of a log directory, and which of them form the stream: contiguous numbers, each naming the incarnation of
 * the one before. Files that are worth nothing (old spares, left-overs of an earlier open, half-written ones at the
 * end) are told apart from files that are missing or do not belong: those are errors. Read-only.
 *
 * A file with a smaller number than any trailer declares the oldest is a left-over of collection, whatever it holds.
 * The first frame of the newest segment that has one says so cheaply; all trailers are asked only when numbers are
 * missing, since otherwise reading a left-over changes nothing. */
#ifndef LOG_LOG_CHAIN_H
#define LOG_LOG_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/io.h"
#include "log/log_damage.h"
#include "log/log_frame.h"

struct log_chain_segment {
    struct log_segment_header header; /* what is known of it when the header is bad */
    struct file *file;                /* direct */
    uint64_t file_size;
    bool header_good;
    uint64_t other_number; /* not 0: the header says that it is this segment, */
    bool other_log;        /* or that it is one of another log */
    bool stale;
};

/* A piece of a file in memory. */
struct log_window {
    uint8_t *data;
    size_t capacity;
    const struct file *file;
    uint64_t offset;
    size_t size;
};

struct log_chain {
    struct log_chain_segment *segments; /* of the stream, ascending */
    size_t segment_count;
    uint64_t *stale; /* numbers of files that are worth nothing */
    size_t stale_count;
    uint64_t number_max;
    uint64_t log_id; /* 0: there is no log yet */
    uint64_t epoch_max;
    uint64_t oldest; /* no segment below it is needed; not necessarily the greatest that is declared */
    uint64_t bytes_total;
    struct log_window window;
    size_t window_size; /* of a read that goes on; 0: the one that is quickest */
};

/* damages: gets the segments whose header is lost. HF_ECORRUPT, HF_EVERSION, HF_EIO; the text names file and offset.
 * A directory that is not there is an empty log. */
int log_chain_open(struct log_chain *chain, struct io *io, const char *directory, struct log_damages *damages);
void log_chain_close(struct log_chain *chain);

/* Lends `size` bytes (zeros beyond the end of the file) at a block-aligned offset, until the next call. */
int log_chain_read(struct log_chain *chain, const struct log_chain_segment *segment, uint64_t offset, size_t size,
                   const uint8_t **out);
/* The next frame header that is right, at `offset` or a later block of the segment. HF_ENOTFOUND. */
int log_chain_search(struct log_chain *chain, const struct log_chain_segment *segment, uint64_t offset,
                     struct log_frame_header *out);
/* The trailer of a frame whose header is right. HF_ENOTFOUND when it is bad. */
int log_chain_trailer(struct log_chain *chain, const struct log_chain_segment *segment,
                      const struct log_frame_header *header, struct log_trailer *out);

#endif
