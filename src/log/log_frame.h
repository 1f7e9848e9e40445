/* A frame: the unit of one device write. Building, sealing, decoding and moving one. Drawn in log_format.h.
 * Nothing here is thread-safe; everything is plain memory. */
#ifndef LOG_LOG_FRAME_H
#define LOG_LOG_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/log_format.h"
#include "log/log_record.h"
#include "log/log_runs.h"

/* Where a frame stands: in which life of which file, and in the stream. */
struct log_place {
    uint64_t incarnation;
    uint64_t segment; /* number */
    uint64_t offset;
    uint64_t sequence;
    uint64_t position;
    uint64_t log_id;
    uint64_t epoch;
    uint64_t previous_incarnation;
};

struct log_frame_header {
    struct log_place place;
    uint32_t length;
    uint32_t content_size; /* up to the end of the trailer */
    uint32_t record_count;
    uint32_t flags;
};

/* ---- building ---- */

struct log_frame_builder {
    struct log_place place;
    uint8_t *data; /* lent; aligned to a block */
    size_t capacity;
    size_t used; /* 0: no frame is open */
    uint32_t record_count;
    struct log_run run;    /* the one that records go under; group 0: none yet */
    uint32_t run_check;    /* the check of its group */
    struct log_runs *runs; /* lent */
};

/* runs: of no frame that is being built; its content is forgotten. */
void log_frame_begin(struct log_frame_builder *builder, const struct log_place *place, uint8_t *data, size_t capacity,
                     struct log_runs *runs);
/* True when records of `size` bytes and the trailer fit. */
bool log_frame_fits(const struct log_frame_builder *builder, uint64_t size);
/* Starts a run; what follows is the group's. check: log_format_group_check of its group. index: the group's last. */
void log_frame_put_run(struct log_frame_builder *builder, const struct log_run *run, uint32_t check, uint64_t index);
/* Goes back to a run of the frame: this group's in this life and, unless `term` is NULL, of that term. False: it needs
 * one of its own. Nothing is done when records go under it already. */
bool log_frame_resume_run(struct log_frame_builder *builder, uint64_t group, uint64_t incarnation, uint32_t check,
                          const uint64_t *term);
/* Adds a record under the run: group check and low term are filled in. Returns its offset in the frame. */
size_t log_frame_put(struct log_frame_builder *builder, struct log_record record);
struct log_frame_entry {
    uint64_t index;
    uint64_t timestamp_ms;
    struct hf_bytes payload;
    uint8_t type;
};
/* Adds an entry of the run's group and term; what log_frame_put does, for the many. */
size_t log_frame_put_entry(struct log_frame_builder *builder, const struct log_frame_entry *entry);
/* Starts a run with an entry of its term, whose predecessor is the group's last: what log_frame_put_run and
 * log_frame_put_entry do, in one record. */
size_t log_frame_put_opening(struct log_frame_builder *builder, const struct log_run *run, uint32_t check,
                             const struct log_frame_entry *entry);
/* What a trailer says of the rest of the log. */
struct log_declaration {
    uint64_t durable_position;
    uint64_t oldest_segment;
};
/* Trailer, padding, header. Returns the frame's length. */
size_t log_frame_seal(struct log_frame_builder *builder, const struct log_declaration *declaration);
bool log_frame_is_bare(const struct log_frame_builder *builder); /* nothing but a header so far */

/* ---- decoding ---- */

/* Reads a header from LOG_FORMAT_FRAME_HEADER_SIZE bytes. False unless magic, incarnation, place in the file and CRC
 * are right (compared in this order) and its sizes are possible within size_left bytes of the file. */
bool log_frame_get_header(const uint8_t *source, uint64_t incarnation, uint64_t segment, uint64_t offset,
                          uint64_t size_left, struct log_frame_header *out);
/* The same without knowing the incarnation, for segments whose header is lost. */
bool log_frame_probe_header(const uint8_t *source, uint64_t segment, uint64_t offset, uint64_t size_left,
                            struct log_frame_header *out);

/* Walks the records of a frame in memory. */
struct log_frame_cursor {
    struct hf_bytes frame;
    uint64_t incarnation;
    uint64_t offset;  /* of the frame in its file */
    size_t at;        /* of the next record in the frame */
    size_t opened_at; /* the run that the record there opens was told already; 0: of none */
    uint32_t record_count;
    struct log_run run; /* of the record that was returned last; group 0: none is known */
    uint32_t run_check; /* of its group, when one is known */
    struct log_runs runs;
    bool checked; /* the checksums were looked at before, or made here: they are not looked at again */
    bool trailer_seen;
    struct log_trailer trailer;
};
void log_frame_cursor_open(struct log_frame_cursor *cursor, struct hf_bytes frame, uint64_t incarnation,
                           uint64_t offset);
/* The slot of cursor->run, for what its reader keeps per run. */
static inline unsigned log_frame_slot(const struct log_frame_cursor *cursor)
{
    return log_runs_slot(cursor->run_check);
}
/* No run is known any more: another frame begins, or records before this place are lost. */
void log_frame_forget_runs(struct log_frame_cursor *cursor);
/* The next record, run records included; an append that opens its run comes as two, at one place. HF_ENOTFOUND after
 * the trailer; HF_ECORRUPT: the record at cursor->at is bad (or impossible) and the cursor stays there; HF_EVERSION: a
 * kind that is not known and may not be skipped. */
int log_frame_next(struct log_frame_cursor *cursor, struct log_record *out, size_t *at);
/* From a bad record on: puts the cursor on the next 8-aligned place that holds a good record; false at the end. What
 * lies between belongs to nobody that is known. */
bool log_frame_resynchronise(struct log_frame_cursor *cursor);

/* 0 when every record up to the trailer is good and agrees with the header; *trailer is set. HF_ECORRUPT, HF_EVERSION.
 */
int log_frame_check(struct hf_bytes frame, const struct log_frame_header *header, struct log_trailer *trailer);

/* Seals a whole, checked frame again for another place, in its memory. */
void log_frame_move(uint8_t *data, const struct log_frame_header *header, const struct log_place *place,
                    const struct log_declaration *declaration);

#endif
