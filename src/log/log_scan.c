#include "log/log_scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/list.h"
#include "base/mutation.h"

/* Frames that wait for a later trailer keep their bytes up to this sum; beyond it they are read a second time. */
#define LOG_SCAN_HELD_BYTES_MAX (64u << 20)
#define LOG_SCAN_UNKNOWN        UINT64_MAX

struct log_scan_held {
    struct list link;
    struct log_scan_frame frame;
    uint8_t *copy; /* NULL: to be read again */
};

struct log_scan {
    struct log_chain *chain;
    const struct log_scan_callbacks *callbacks;
    struct log_scan_result result;
    struct list held;
    uint64_t held_bytes;
    size_t at;               /* segment in the chain */
    uint64_t offset;         /* in it */
    uint64_t position;       /* of the frame that is expected next */
    uint64_t sequence;       /* of the same */
    uint64_t next_start;     /* where the next segment's frames start in the stream */
    uint64_t declared_later; /* the greatest that any good trailer says; LOG_SCAN_UNKNOWN: not looked up yet */
    uint64_t bytes_done;
};

static struct log_chain_segment *log_scan_segment(const struct log_scan *scan)
{
    return &scan->chain->segments[scan->at];
}

/* ---- handing out ---- */

static int log_scan_hand_out(struct log_scan *scan, struct log_scan_held *held, enum log_scan_state state)
{
    struct log_scan_frame *frame = &held->frame;
    const uint8_t *bytes = held->copy;
    int rc = 0;
    if (bytes == NULL) {
        rc = log_chain_read(scan->chain, &scan->chain->segments[frame->segment], frame->offset, frame->length, &bytes);
    }
    if (rc == 0) {
        frame->bytes = bytes_of(bytes, frame->length);
        frame->state = frame->state == LOG_SCAN_DAMAGED ? LOG_SCAN_DAMAGED : state;
        rc = scan->callbacks->frame(scan->callbacks->arg, frame);
    }
    list_remove(&held->link);
    scan->held_bytes -= held->copy != NULL ? frame->length : 0;
    free(held->copy);
    free(held);
    return rc;
}

static int log_scan_hand_out_declared(struct log_scan *scan)
{
    int rc = 0;
    while (rc == 0 && !list_empty(&scan->held)) {
        struct log_scan_held *oldest = list_entry(scan->held.next, struct log_scan_held, link);
        if (oldest->frame.position_end > scan->result.durable_position) {
            break;
        }
        rc = log_scan_hand_out(scan, oldest, LOG_SCAN_DECLARED);
    }
    return rc;
}

static int log_scan_hold(struct log_scan *scan, const struct log_scan_frame *frame)
{
    struct log_scan_held *held = memory_new(sizeof(*held));
    held->frame = *frame;
    if (scan->held_bytes + frame->length <= LOG_SCAN_HELD_BYTES_MAX) {
        held->copy = memory_resize(NULL, frame->length);
        if (frame->length > 0) {
            memcpy(held->copy, frame->bytes.data, frame->length);
        }
        scan->held_bytes += frame->length;
    }
    list_append(&scan->held, &held->link);
    scan->result.frames++;
    return 0;
}

/* ---- looking ahead ---- */

/* An index file is made only when all of its segment is durable: it declares that as a trailer would. */
static uint64_t log_scan_index_declares(const struct log_scan *scan, size_t at)
{
    struct log_scan_known known;
    bool is_known = scan->callbacks->known != NULL && scan->chain->segments[at].header_good &&
                    scan->callbacks->known(scan->callbacks->arg, at, &known);
    return is_known ? known.data_position_end : 0;
}

/* Everything from the scan's place on: what is the most that a good trailer or an index file declares durable? */
static int log_scan_look_ahead(struct log_scan *scan, uint64_t *frames_bytes)
{
    struct log_frame_header header;
    struct log_trailer trailer;
    uint64_t declared = 0;
    *frames_bytes = 0;
    for (size_t i = scan->at; i < scan->chain->segment_count; i++) {
        const struct log_chain_segment *segment = &scan->chain->segments[i];
        uint64_t offset = i == scan->at ? scan->offset : LOG_FORMAT_SEGMENT_HEADER_SIZE;
        int rc = 0;
        while ((rc = log_chain_search(scan->chain, segment, offset, &header)) == 0) {
            rc = log_chain_trailer(scan->chain, segment, &header, &trailer);
            if (rc != 0 && rc != HF_ENOTFOUND) {
                return rc;
            }
            if (rc == 0 && trailer.durable_position > declared) {
                declared = trailer.durable_position;
            }
            *frames_bytes += header.length;
            /* A frame without its trailer may be torn inside: the next may begin anywhere. */
            offset = header.place.offset + (rc == 0 ? header.length : LOG_FORMAT_BLOCK_SIZE);
        }
        if (rc != HF_ENOTFOUND) {
            return rc;
        }
        uint64_t known = log_scan_index_declares(scan, i);
        declared = known > declared ? known : declared;
    }
    scan->declared_later = declared;
    return 0;
}

/* The position at which the segments behind `at` start, if any of them says: what `at` holds from there on was copied
 * into them, or is torn. */
static int log_scan_find_next_start(struct log_scan *scan, size_t at, uint64_t *out)
{
    *out = LOG_SCAN_UNKNOWN;
    for (size_t i = at + 1; i < scan->chain->segment_count; i++) {
        const struct log_chain_segment *segment = &scan->chain->segments[i];
        if (segment->header_good && segment->header.position != LOG_FORMAT_POSITION_FOLLOWS) {
            *out = segment->header.position;
            return 0;
        }
        const uint8_t *block = NULL;
        struct log_frame_header header;
        uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
        if (segment->file_size < offset + LOG_FORMAT_BLOCK_SIZE) {
            continue;
        }
        int rc = log_chain_read(scan->chain, segment, offset, LOG_FORMAT_BLOCK_SIZE, &block);
        if (rc != 0) {
            return rc;
        }
        if (log_frame_get_header(block, segment->header.incarnation, segment->header.number, offset,
                                 segment->file_size - offset, &header)) {
            *out = header.place.position;
            return 0;
        }
    }
    return 0;
}

/* ---- a frame ---- */

/* 0: the expected frame is there and whole, *frame is set. HF_ECORRUPT: it is not. */
static int log_scan_read_frame(struct log_scan *scan, struct log_scan_frame *frame, struct log_trailer *trailer)
{
    const struct log_chain_segment *segment = log_scan_segment(scan);
    const uint8_t *bytes = NULL;
    uint64_t left = segment->file_size - scan->offset;
    int rc = log_chain_read(scan->chain, segment, scan->offset, LOG_FORMAT_BLOCK_SIZE, &bytes);
    if (rc != 0) {
        return rc;
    }
    struct log_frame_header *header = &frame->header;
    if (!log_frame_get_header(bytes, segment->header.incarnation, segment->header.number, scan->offset, left, header)) {
        return error_raise(HF_ECORRUPT, "no frame header");
    }
    bool expected = header->place.position == scan->position && header->place.sequence == scan->sequence;
    if (!expected && !MUTATED(LOG_STALE_ACCEPTED)) {
        return error_raise(HF_ECORRUPT, "a frame of another place in the stream");
    }
    rc = log_chain_read(scan->chain, segment, scan->offset, header->length, &bytes);
    if (rc != 0) {
        return rc;
    }
    *frame = (struct log_scan_frame){.segment = scan->at,
                                     .offset = scan->offset,
                                     .length = header->length,
                                     .position = scan->position,
                                     .position_end = scan->position + header->length,
                                     .sequence_end = scan->sequence,
                                     .header = *header,
                                     .bytes = bytes_of(bytes, header->length)};
    return log_frame_check(frame->bytes, header, trailer);
}

static int log_scan_accept(struct log_scan *scan, const struct log_scan_frame *frame, const struct log_trailer *trailer)
{
    int rc = log_scan_hold(scan, frame);
    scan->offset += frame->length;
    scan->position += frame->length;
    scan->sequence = frame->header.place.sequence + 1;
    if (frame->header.place.sequence > scan->result.sequence_last) {
        scan->result.sequence_last = frame->header.place.sequence;
    }
    if (trailer->oldest_segment > scan->result.oldest_segment) {
        scan->result.oldest_segment = trailer->oldest_segment;
    }
    if (trailer->durable_position > scan->result.durable_position) {
        scan->result.durable_position = trailer->durable_position;
        rc = log_scan_hand_out_declared(scan);
    }
    return rc;
}

/* ---- a bad place ---- */

/* Hands out a damaged piece; what the file does not have of it is left out. */
static int log_scan_hold_damage(struct log_scan *scan, struct log_scan_frame piece)
{
    const struct log_chain_segment *segment = &scan->chain->segments[piece.segment];
    uint64_t left = piece.offset < segment->file_size ? segment->file_size - piece.offset : 0;
    const uint8_t *bytes = NULL;
    piece.state = LOG_SCAN_DAMAGED;
    piece.length = piece.length < left ? piece.length : left;
    if (piece.length > 0) {
        int rc = log_chain_read(scan->chain, segment, piece.offset, piece.length, &bytes);
        if (rc != 0) {
            return rc;
        }
    }
    piece.bytes = bytes_of(bytes, piece.length);
    return log_scan_hold(scan, &piece);
}

/* The first good frame header behind the bad place that goes on with the stream. */
static int log_scan_find_next_good(struct log_scan *scan, size_t *segment_at, struct log_frame_header *out)
{
    for (size_t i = scan->at; i < scan->chain->segment_count; i++) {
        uint64_t offset = i == scan->at ? scan->offset + LOG_FORMAT_BLOCK_SIZE : LOG_FORMAT_SEGMENT_HEADER_SIZE;
        uint64_t end = 0;
        int rc = log_scan_find_next_start(scan, i, &end);
        while (rc == 0 && (rc = log_chain_search(scan->chain, &scan->chain->segments[i], offset, out)) == 0) {
            bool later = out->place.position > scan->position && out->place.sequence > scan->sequence &&
                         out->place.position < end;
            if (later) {
                *segment_at = i;
                return 0;
            }
            offset = out->place.offset + LOG_FORMAT_BLOCK_SIZE;
        }
        if (rc != HF_ENOTFOUND) {
            return rc;
        }
    }
    return HF_ENOTFOUND;
}

/* The bad place is declared durable. Hands out what lies between it and the next good frame; goes on there, unless that
 * frame is beyond everything declared: then the stream ends with the damage. */
static int log_scan_pass_damage(struct log_scan *scan, bool *ended)
{
    struct log_frame_header next;
    size_t next_at = 0;
    int rc = log_scan_find_next_good(scan, &next_at, &next);
    if (rc != 0) {
        return rc == HF_ENOTFOUND ? error_raise(HF_ECORRUPT, "a declared part of the log is missing") : rc;
    }
    *ended = next.place.position > scan->declared_later;
    uint64_t position_next = *ended ? scan->declared_later : next.place.position;
    uint64_t lost = position_next - scan->position;
    bool same_segment = next_at == scan->at;
    uint64_t before_next = next.place.offset - (same_segment ? scan->offset : LOG_FORMAT_SEGMENT_HEADER_SIZE);
    before_next = before_next < lost ? before_next : lost;
    uint64_t here = same_segment ? 0 : lost - before_next;
    struct log_scan_frame piece = {.segment = scan->at,
                                   .offset = scan->offset,
                                   .length = here,
                                   .position = scan->position,
                                   .position_end = before_next > 0 ? scan->position + here : position_next,
                                   .sequence_end = next.place.sequence - 1};
    if (here > 0) {
        rc = log_scan_hold_damage(scan, piece);
    }
    if (rc == 0 && before_next > 0) {
        piece.segment = next_at;
        piece.offset = same_segment ? scan->offset : LOG_FORMAT_SEGMENT_HEADER_SIZE;
        piece.length = before_next;
        piece.position = scan->position + here;
        piece.position_end = position_next;
        rc = log_scan_hold_damage(scan, piece);
    }
    scan->position = position_next;
    scan->sequence = next.place.sequence;
    scan->at = next_at;
    scan->offset = next.place.offset;
    scan->result.sequence_last = next.place.sequence;
    if (rc == 0) {
        rc = log_scan_find_next_start(scan, scan->at, &scan->next_start);
    }
    if (rc == 0 && scan->position > scan->result.durable_position) {
        /* All that was passed is declared, by a frame that comes later. */
        scan->result.durable_position = scan->position;
        rc = log_scan_hand_out_declared(scan);
    }
    return rc;
}

/* What a planted bug does: takes the front of a torn frame for good. */
static int log_scan_keep_torn(struct log_scan *scan)
{
    struct log_scan_frame piece = {.segment = scan->at,
                                   .offset = scan->offset,
                                   .length = LOG_FORMAT_BLOCK_SIZE,
                                   .position = scan->position,
                                   .position_end = scan->position + LOG_FORMAT_BLOCK_SIZE,
                                   .sequence_end = scan->sequence};
    return log_scan_hold_damage(scan, piece);
}

static int log_scan_bad_place(struct log_scan *scan, bool *ended)
{
    uint64_t frames_bytes = 0;
    bool known = scan->declared_later != LOG_SCAN_UNKNOWN && scan->declared_later > scan->position;
    int rc = known ? 0 : log_scan_look_ahead(scan, &frames_bytes);
    if (rc != 0) {
        return rc;
    }
    if (scan->declared_later > scan->position && !MUTATED(LOG_DAMAGE_IS_TORN)) {
        return log_scan_pass_damage(scan, ended);
    }
    *ended = true;
    scan->result.torn_bytes = frames_bytes;
    return MUTATED(LOG_TORN_IS_KEPT) ? log_scan_keep_torn(scan) : 0;
}

/* ---- the walk ---- */

static void log_scan_report_progress(struct log_scan *scan)
{
    if (scan->callbacks->progress != NULL) {
        scan->callbacks->progress(scan->callbacks->arg, scan->bytes_done + scan->offset, scan->chain->bytes_total);
    }
}

/* Skips the segment when it is known and its story begins where the walk stands and ends where the next one begins. The
 * last segment, of which nobody says where it ends, is always read. */
static int log_scan_try_skip(struct log_scan *scan, bool *skipped)
{
    struct log_scan_known known;
    struct log_scan_result *result = &scan->result;
    bool whole = scan->callbacks->known != NULL && scan->next_start != LOG_SCAN_UNKNOWN &&
                 scan->offset == LOG_FORMAT_SEGMENT_HEADER_SIZE && log_scan_segment(scan)->header_good;
    *skipped = false;
    if (!whole || !scan->callbacks->known(scan->callbacks->arg, scan->at, &known)) {
        return 0;
    }
    bool ends = known.position_end == scan->next_start;
    bool ends_with_data = known.data_position_end == scan->next_start;
    if (known.position_first != scan->position || known.sequence_first != scan->sequence ||
        (!ends && !ends_with_data)) {
        return 0; /* it disagrees: read the segment */
    }
    scan->position = scan->next_start;
    scan->sequence = (ends ? known.sequence_last : known.data_sequence_last) + 1;
    result->sequence_last = scan->sequence - 1 > result->sequence_last ? scan->sequence - 1 : result->sequence_last;
    result->oldest_segment =
        known.oldest_segment > result->oldest_segment ? known.oldest_segment : result->oldest_segment;
    result->durable_position = scan->position > result->durable_position ? scan->position : result->durable_position;
    int rc = log_scan_hand_out_declared(scan);
    *skipped = true;
    return rc == 0 ? scan->callbacks->skip(scan->callbacks->arg, scan->at, &known) : rc;
}

/* The segment at scan->at, from scan->offset. Moves scan->at on. */
static int log_scan_walk_segment(struct log_scan *scan, bool *ended)
{
    bool skipped = false;
    int skip_rc = log_scan_try_skip(scan, &skipped);
    if (skip_rc != 0) {
        return skip_rc;
    }
    while (!skipped && scan->position != scan->next_start) {
        const struct log_chain_segment *segment = log_scan_segment(scan);
        struct log_scan_frame frame;
        struct log_trailer trailer;
        bool room = scan->offset < segment->file_size && segment->file_size - scan->offset >= LOG_FORMAT_BLOCK_SIZE;
        int rc = room ? log_scan_read_frame(scan, &frame, &trailer) : HF_ECORRUPT;
        if (rc == 0) {
            rc = log_scan_accept(scan, &frame, &trailer);
            log_scan_report_progress(scan);
        } else if (rc == HF_ECORRUPT) {
            rc = log_scan_bad_place(scan, ended);
        } else {
            rc = error_wrap(rc, "log segment %016" PRIx64 ".log", segment->header.number);
        }
        if (rc != 0 || *ended) {
            return rc;
        }
    }
    scan->bytes_done += log_scan_segment(scan)->file_size;
    scan->at++;
    scan->offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
    return 0;
}

/* Where the stream begins: at 0, unless its oldest segments are gone. */
static int log_scan_find_start(struct log_scan *scan)
{
    struct log_frame_header header;
    if (scan->chain->segment_count == 0 || log_scan_segment(scan)->header.number == 1) {
        return 0;
    }
    int rc = log_chain_search(scan->chain, log_scan_segment(scan), LOG_FORMAT_SEGMENT_HEADER_SIZE, &header);
    if (rc == 0) {
        /* The first frame of a file always lies behind its header: what is bad before this one is damage. */
        uint64_t before = header.place.offset - LOG_FORMAT_SEGMENT_HEADER_SIZE;
        before = before < header.place.position ? before : header.place.position;
        scan->position = header.place.position - before;
        scan->sequence = header.place.sequence - (before > 0 && header.place.sequence > 0 ? 1 : 0);
    }
    return rc == HF_ENOTFOUND ? 0 : rc;
}

/* Only what no trailer needs any more may be missing in front. */
static int log_scan_check_oldest(const struct log_scan *scan)
{
    uint64_t first = scan->chain->segment_count > 0 ? scan->chain->segments[0].header.number : 1;
    uint64_t needed = scan->result.oldest_segment > 1 ? scan->result.oldest_segment : 1;
    if (first > needed && !MUTATED(LOG_MISSING_IGNORED)) {
        return error_raise(HF_ECORRUPT, "log segment %016" PRIx64 ".log is missing, but %016" PRIx64 ".log follows it",
                           needed, first);
    }
    return 0;
}

static int log_scan_walk(struct log_scan *scan)
{
    bool ended = false;
    int rc = log_scan_find_start(scan);
    scan->result.position_begin = scan->position;
    scan->result.sequence_begin = scan->sequence;
    while (rc == 0 && !ended && scan->at < scan->chain->segment_count) {
        rc = log_scan_find_next_start(scan, scan->at, &scan->next_start);
        if (rc == 0) {
            rc = log_scan_walk_segment(scan, &ended);
        }
    }
    return rc;
}

int log_scan_run(struct log_chain *chain, const struct log_scan_callbacks *callbacks, struct log_scan_result *out)
{
    struct log_scan scan = {.chain = chain,
                            .callbacks = callbacks,
                            .offset = LOG_FORMAT_SEGMENT_HEADER_SIZE,
                            .sequence = 1,
                            .declared_later = LOG_SCAN_UNKNOWN};
    list_init(&scan.held);
    /* Its trailer may lie beyond the end of the stream, behind a hole: what it says of files is true all the same. */
    scan.result.oldest_segment = chain->oldest;
    int rc = log_scan_walk(&scan);
    rc = rc == 0 ? log_scan_check_oldest(&scan) : rc;
    while (!list_empty(&scan.held)) {
        struct log_scan_held *oldest = list_entry(scan.held.next, struct log_scan_held, link);
        if (rc == 0) {
            rc = log_scan_hand_out(&scan, oldest, LOG_SCAN_UNDECLARED);
        } else {
            list_remove(&oldest->link);
            free(oldest->copy);
            free(oldest);
        }
    }
    scan.result.position_end = scan.position;
    *out = scan.result;
    return rc;
}
