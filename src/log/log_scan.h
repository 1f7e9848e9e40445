/* Reads a whole log directory, past the page cache, in stream order. Decides what belongs to the stream, what is torn
 * and what is damaged (log_format.h, last paragraph), and hands the frames out. Read-only. Used by recovery and by the
 * tools.
 *
 *   walk      frames in order, each expected where the one before ended
 *   bad place the next segment begins exactly at this position?  → the segment simply ended here
 *             a readable frame further on, or an index file, declares it durable?
 *                                                                → damage: what can be read of it is handed out, and
 *                                                                   the walk goes on at the next good frame
 *             otherwise                                          → torn: the stream ends here
 * A segment of which all is known already (an index file) and which fits where the walk stands is skipped.
 * A frame is handed out as *declared* once a later trailer covers it; what is left at the end never was. */
#ifndef LOG_LOG_SCAN_H
#define LOG_LOG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/log_chain.h"

enum log_scan_state {
    LOG_SCAN_DECLARED,   /* whole, and durable by a later trailer's word */
    LOG_SCAN_UNDECLARED, /* whole, but nobody says that it is durable: at the end of the stream only */
    LOG_SCAN_DAMAGED     /* declared durable, and bad: whatever is readable of it */
};
struct log_scan_frame {
    enum log_scan_state state;
    size_t segment; /* in the chain */
    uint64_t offset;
    uint64_t length; /* of DAMAGED: what the file still has of it, up to the next good frame; may be 0 */
    uint64_t position;
    uint64_t position_end;          /* where the stream goes on behind it */
    uint64_t sequence_end;          /* the last frame in it */
    struct log_frame_header header; /* not of DAMAGED */
    struct hf_bytes bytes;          /* lent for the call */
};

/* What is known of a whole segment without reading it. */
struct log_scan_known {
    uint64_t position_first;
    uint64_t sequence_first;
    uint64_t position_end;
    uint64_t sequence_last;
    uint64_t data_position_end; /* behind the last frame that is not bare */
    uint64_t data_sequence_last;
    uint64_t durable_position; /* greatest that a trailer in it declares */
    uint64_t oldest_segment;
};

struct log_scan_callbacks {
    /* Is the segment known? Then it is not read: *out says what it comes to, all of which is durable. May be NULL. */
    bool (*known)(void *arg, size_t segment, struct log_scan_known *out);
    /* It was known, fits the stream, and everything before it was handed out. */
    int (*skip)(void *arg, size_t segment, const struct log_scan_known *known);
    /* Frames in stream order, damaged places among them. Non-zero ends the scan and is returned. */
    int (*frame)(void *arg, const struct log_scan_frame *frame);
    void (*progress)(void *arg, uint64_t bytes_done, uint64_t bytes_total); /* may be NULL */
    void *arg;
};

struct log_scan_result {
    uint64_t position_begin; /* of the first frame that is left */
    uint64_t sequence_begin;
    uint64_t position_end;     /* of the stream */
    uint64_t durable_position; /* greatest that a trailer of the stream declares */
    uint64_t sequence_last;    /* no frame that was read has a greater one */
    uint64_t oldest_segment;   /* greatest that a trailer of the stream declares */
    uint64_t torn_bytes;
    uint64_t frames;
};

/* HF_ECORRUPT, HF_EVERSION (a kind of record that is not known), HF_EIO, or what `frame` returned. */
int log_scan_run(struct log_chain *chain, const struct log_scan_callbacks *callbacks, struct log_scan_result *out);

#endif
