#include "log/log_chain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"

#define LOG_CHAIN_WINDOW_SIZE (1u << 20)
#define LOG_CHAIN_PEEK_SIZE   (16u << 10) /* a look at one place; what goes on from there reads more */

int log_chain_read(struct log_chain *chain, const struct log_chain_segment *segment, uint64_t offset, size_t size,
                   const uint8_t **out)
{
    struct log_window *window = &chain->window;
    bool inside =
        window->file == segment->file && offset >= window->offset && offset + size <= window->offset + window->size;
    if (!inside) {
        bool goes_on =
            window->file == segment->file && offset >= window->offset && offset <= window->offset + window->size;
        size_t window_size = chain->window_size != 0 ? chain->window_size : LOG_CHAIN_WINDOW_SIZE;
        size_t least = goes_on ? window_size : LOG_CHAIN_PEEK_SIZE;
        size_t wanted = log_format_align_block(size > least ? size : least);
        if (wanted > window->capacity) {
            free(window->data);
            window->data = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, wanted);
            window->capacity = wanted;
        }
        if (window->data == NULL) {
            window->capacity = 0;
            return error_raise(HF_ENOMEM, "no memory for %zu bytes of the log", wanted);
        }
        size_t got = 0;
        window->file = NULL;
        int rc = file_read(segment->file, offset, window->data, wanted, &got);
        if (rc != 0) {
            return error_wrap(rc, "log segment %016" PRIx64 ".log at offset %" PRIu64, segment->header.number, offset);
        }
        memset(window->data + got, 0, wanted - got);
        window->file = segment->file;
        window->offset = offset;
        window->size = wanted;
    }
    *out = window->data + (offset - window->offset);
    return 0;
}

int log_chain_search(struct log_chain *chain, const struct log_chain_segment *segment, uint64_t offset,
                     struct log_frame_header *out)
{
    const uint8_t *block = NULL;
    for (; offset < segment->file_size; offset += LOG_FORMAT_BLOCK_SIZE) {
        int rc = log_chain_read(chain, segment, offset, LOG_FORMAT_BLOCK_SIZE, &block);
        if (rc != 0) {
            return rc;
        }
        uint64_t left = segment->file_size - offset;
        uint64_t number = segment->header.number;
        bool good = segment->header.incarnation != 0
                        ? log_frame_get_header(block, segment->header.incarnation, number, offset, left, out)
                        : log_frame_probe_header(block, number, offset, left, out);
        if (good) {
            return 0;
        }
    }
    return HF_ENOTFOUND;
}

int log_chain_trailer(struct log_chain *chain, const struct log_chain_segment *segment,
                      const struct log_frame_header *header, struct log_trailer *out)
{
    const uint8_t *bytes = NULL;
    uint64_t offset = header->place.offset + header->content_size - LOG_FORMAT_TRAILER_SIZE;
    uint64_t begin = offset & ~(uint64_t)(LOG_FORMAT_BLOCK_SIZE - 1);
    size_t span = log_format_align_block(offset + LOG_FORMAT_TRAILER_SIZE - begin);
    int rc = log_chain_read(chain, segment, begin, span, &bytes);
    if (rc != 0) {
        return rc;
    }
    struct log_record record;
    size_t size = 0;
    uint32_t seed = log_format_seed(header->place.incarnation, offset);
    enum log_record_result result =
        log_record_get(bytes_of(bytes + (offset - begin), LOG_FORMAT_TRAILER_SIZE), seed, &record, &size);
    if (result != LOG_RECORD_OK || record.kind != LOG_RECORD_TRAILER) {
        return HF_ENOTFOUND;
    }
    return log_record_get_trailer(record.body, out) == 0 ? 0 : HF_ENOTFOUND;
}

/* ---- finding the files ---- */

struct log_chain_listing {
    uint64_t *numbers;
    size_t count;
};

static int log_chain_visit(void *arg, const char *name, bool is_directory)
{
    struct log_chain_listing *listing = arg;
    uint64_t number = 0;
    if (!is_directory && log_format_parse_segment_name(name, &number)) {
        listing->numbers = memory_resize(listing->numbers, (listing->count + 1) * sizeof(uint64_t));
        listing->numbers[listing->count++] = number; /* in byte order of the names, which is that of the numbers */
    }
    return 0;
}

static int log_chain_read_header(struct log_chain *chain, struct log_chain_segment *segment)
{
    const uint8_t *block = NULL;
    uint64_t number = segment->header.number;
    if (segment->file_size < LOG_FORMAT_SEGMENT_HEADER_SIZE) {
        return 0; /* half-headed */
    }
    int rc = log_chain_read(chain, segment, 0, LOG_FORMAT_SEGMENT_HEADER_SIZE, &block);
    if (rc != 0) {
        return rc;
    }
    struct log_segment_header header;
    rc = log_format_get_segment_header(block, &header);
    if (rc == HF_EVERSION) {
        return error_wrap(rc, "log segment %016" PRIx64 ".log", number);
    }
    if (rc != 0) {
        return 0; /* damaged, or never written: decided later */
    }
    if (header.number != number) {
        segment->other_number = header.number;
        return 0;
    }
    segment->other_log = chain->log_id != 0 && header.log_id != chain->log_id;
    chain->log_id = segment->other_log ? chain->log_id : header.log_id;
    segment->header = header;
    segment->header_good = true;
    return 0;
}

static int log_chain_open_file(struct log_chain *chain, struct io *io, const char *directory, uint64_t number)
{
    char name[LOG_FORMAT_NAME_SIZE];
    log_format_segment_name(name, number);
    char *path = text_format("%s/%s", directory, name);
    chain->segments = memory_resize(chain->segments, (chain->segment_count + 1) * sizeof(*chain->segments));
    struct log_chain_segment *segment = &chain->segments[chain->segment_count++];
    *segment = (struct log_chain_segment){.header = {.number = number}};
    int rc = file_open(io, path, FILE_READ | FILE_DIRECT, &segment->file);
    if (rc == 0) {
        rc = file_size(segment->file, &segment->file_size);
    }
    if (rc == 0) {
        chain->bytes_total += segment->file_size;
        rc = log_chain_read_header(chain, segment);
    }
    free(path);
    return rc;
}

/* ---- what is not needed any more ---- */

/* The first frame of the newest segment that begins with one. */
static int log_chain_find_oldest(struct log_chain *chain)
{
    for (size_t i = chain->segment_count; i > 0; i--) {
        const struct log_chain_segment *segment = &chain->segments[i - 1];
        struct log_frame_header header;
        struct log_trailer trailer;
        const uint8_t *block = NULL;
        uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
        if (!segment->header_good || segment->other_log || segment->file_size < offset + LOG_FORMAT_BLOCK_SIZE) {
            continue;
        }
        int rc = log_chain_read(chain, segment, offset, LOG_FORMAT_BLOCK_SIZE, &block);
        if (rc != 0) {
            return rc;
        }
        if (!log_frame_get_header(block, segment->header.incarnation, segment->header.number, offset,
                                  segment->file_size - offset, &header)) {
            continue;
        }
        rc = log_chain_trailer(chain, segment, &header, &trailer);
        if (rc == 0) {
            chain->oldest = trailer.oldest_segment;
            return 0;
        }
        if (rc != HF_ENOTFOUND) {
            return rc;
        }
    }
    return 0;
}

/* All trailers that can be read, also in a segment whose header is lost: its frames name it and the log. */
static int log_chain_find_oldest_surely(struct log_chain *chain)
{
    for (size_t i = 0; i < chain->segment_count; i++) {
        const struct log_chain_segment *segment = &chain->segments[i];
        struct log_frame_header header;
        struct log_trailer trailer;
        uint64_t offset = LOG_FORMAT_SEGMENT_HEADER_SIZE;
        int rc = 0;
        while (!segment->other_log && (rc = log_chain_search(chain, segment, offset, &header)) == 0) {
            bool ours = segment->header_good || header.place.log_id == chain->log_id;
            rc = ours ? log_chain_trailer(chain, segment, &header, &trailer) : HF_ENOTFOUND;
            if (rc != 0 && rc != HF_ENOTFOUND) {
                return rc;
            }
            if (rc == 0 && trailer.oldest_segment > chain->oldest) {
                chain->oldest = trailer.oldest_segment;
            }
            offset = header.place.offset + (rc == 0 ? header.length : LOG_FORMAT_BLOCK_SIZE);
        }
        if (rc != 0 && rc != HF_ENOTFOUND) {
            return rc;
        }
    }
    return 0;
}

static void log_chain_mark_left_over(struct log_chain *chain)
{
    for (size_t i = 0; i < chain->segment_count; i++) {
        bool left_over = chain->segments[i].header.number < chain->oldest && !MUTATED(LOG_LEFT_OVER_BELIEVED);
        chain->segments[i].stale |= left_over;
    }
}

static bool log_chain_has_gap(const struct log_chain *chain)
{
    uint64_t expected = 0;
    for (size_t i = 0; i < chain->segment_count; i++) {
        const struct log_chain_segment *segment = &chain->segments[i];
        if (segment->stale) {
            continue;
        }
        if (segment->other_number != 0 || (expected != 0 && segment->header.number != expected)) {
            return true;
        }
        expected = segment->header.number + 1;
    }
    return false;
}

static int log_chain_find_left_over(struct log_chain *chain)
{
    int rc = log_chain_find_oldest(chain);
    log_chain_mark_left_over(chain);
    if (rc == 0 && log_chain_has_gap(chain)) {
        rc = log_chain_find_oldest_surely(chain);
        log_chain_mark_left_over(chain);
    }
    return rc;
}

/* What a header says that is no left-over has to be true. */
static int log_chain_check_headers(const struct log_chain *chain)
{
    for (size_t i = 0; i < chain->segment_count; i++) {
        const struct log_chain_segment *segment = &chain->segments[i];
        uint64_t number = segment->header.number;
        if (segment->other_number != 0 && !segment->stale) {
            return error_raise(HF_ECORRUPT,
                               "log segment %016" PRIx64 ".log at offset 16: it says that it is segment %016" PRIx64,
                               number, segment->other_number);
        }
        if (segment->other_log && !segment->stale) {
            return error_raise(HF_ECORRUPT, "log segment %016" PRIx64 ".log at offset 40: it belongs to another log",
                               number);
        }
    }
    return 0;
}

/* ---- which of them form the stream ---- */

/* 1: it holds a frame, 0: none, negative: error. */
static int log_chain_has_frame(struct log_chain *chain, const struct log_chain_segment *segment,
                               struct log_frame_header *out)
{
    int rc = log_chain_search(chain, segment, LOG_FORMAT_SEGMENT_HEADER_SIZE, out);
    return rc == 0 ? 1 : rc == HF_ENOTFOUND ? 0 : rc;
}

/* A header that is lost is put together again from the frames, or from what the next segment says. */
static int log_chain_adopt(struct log_chain *chain, size_t at)
{
    struct log_chain_segment *segment = &chain->segments[at];
    struct log_frame_header frame;
    int found = log_chain_has_frame(chain, segment, &frame);
    if (found < 0) {
        return found;
    }
    const struct log_chain_segment *next = at + 1 < chain->segment_count ? segment + 1 : NULL;
    const struct log_chain_segment *before = at > 0 && !segment[-1].stale ? segment - 1 : NULL;
    bool named = next != NULL && next->header_good && next->header.number == segment->header.number + 1;
    segment->header.position = LOG_FORMAT_POSITION_FOLLOWS;
    segment->header.size_bytes = segment->file_size;
    if (found == 1) {
        segment->header.incarnation = frame.place.incarnation;
        segment->header.log_id = frame.place.log_id;
        segment->header.epoch = frame.place.epoch;
        segment->header.previous_incarnation = frame.place.previous_incarnation;
    } else if (named) {
        segment->header.incarnation = next->header.previous_incarnation;
        segment->header.log_id = next->header.log_id;
        segment->header.epoch = before != NULL ? before->header.epoch : next->header.epoch;
        segment->header.previous_incarnation = before != NULL ? before->header.incarnation : 0;
    }
    segment->stale = segment->header.incarnation == 0;
    return 0;
}

static void log_chain_mark_old_epochs(struct log_chain *chain)
{
    for (size_t i = 0; i < chain->segment_count; i++) {
        struct log_chain_segment *segment = &chain->segments[i];
        if (segment->stale) {
            continue;
        }
        segment->stale = segment->header.epoch < chain->epoch_max;
        chain->epoch_max = segment->stale ? chain->epoch_max : segment->header.epoch;
    }
}

/* From `at` on nothing continues the stream. That is only right for spares that were given up: nothing was ever written
 * to them. */
static int log_chain_cut(struct log_chain *chain, size_t at)
{
    for (size_t i = at; i < chain->segment_count; i++) {
        struct log_chain_segment *segment = &chain->segments[i];
        if (segment->stale) {
            continue;
        }
        struct log_frame_header frame;
        int found = log_chain_has_frame(chain, segment, &frame);
        if (found < 0) {
            return found;
        }
        if (found == 1) {
            return error_raise(HF_ECORRUPT,
                               "log segment %016" PRIx64 ".log at offset 56: it does not continue the "
                               "segment before it",
                               segment->header.number);
        }
        segment->stale = true;
    }
    return 0;
}

static int log_chain_link(struct log_chain *chain)
{
    uint64_t number_expected = 0; /* 0: any; whether those before it may be missing is for the trailers to say */
    uint64_t incarnation_expected = 0;
    for (size_t i = 0; i < chain->segment_count; i++) {
        const struct log_chain_segment *segment = &chain->segments[i];
        if (segment->stale) {
            continue;
        }
        if (number_expected == 0) {
            number_expected = segment->header.number;
            incarnation_expected = segment->header.previous_incarnation;
        }
        if (segment->header.number > number_expected) {
            /* A file is only made when the one before it is durable under its name, so this is no crash's work. */
            return error_raise(HF_ECORRUPT,
                               "log segment %016" PRIx64 ".log is missing, but %016" PRIx64 ".log follows it",
                               number_expected, segment->header.number);
        }
        bool continues =
            segment->header.number == number_expected && segment->header.previous_incarnation == incarnation_expected;
        if (!continues) {
            return log_chain_cut(chain, i);
        }
        number_expected = segment->header.number + 1;
        incarnation_expected = segment->header.incarnation;
    }
    return 0;
}

/* A segment in the middle has the size that its header says; the last one may lack its end. */
static int log_chain_check_files(struct log_chain *chain, struct log_damages *damages)
{
    for (size_t i = 0; i < chain->segment_count; i++) {
        const struct log_chain_segment *segment = &chain->segments[i];
        uint64_t stated = segment->header.size_bytes;
        bool last = i + 1 == chain->segment_count;
        if (segment->file_size > stated || (segment->file_size < stated && !last)) {
            return error_raise(HF_ECORRUPT,
                               "log segment %016" PRIx64 ".log at offset %" PRIu64 ": the file has %" PRIu64
                               " bytes instead of %" PRIu64,
                               segment->header.number, segment->file_size < stated ? segment->file_size : stated,
                               segment->file_size, stated);
        }
        if (!segment->header_good) {
            struct hf_log_damage damage =
                log_damage_of(0, 0, 0, segment->header.number, 0, "the segment's header is unreadable");
            log_damage_add(damages, &damage);
        }
    }
    return 0;
}

static void log_chain_drop_stale(struct log_chain *chain)
{
    size_t kept = 0;
    for (size_t i = 0; i < chain->segment_count; i++) {
        struct log_chain_segment *segment = &chain->segments[i];
        if (!segment->stale) {
            chain->segments[kept++] = *segment;
            continue;
        }
        chain->stale = memory_resize(chain->stale, (chain->stale_count + 1) * sizeof(uint64_t));
        chain->stale[chain->stale_count++] = segment->header.number;
        file_close(segment->file);
    }
    chain->segment_count = kept;
}

int log_chain_open(struct log_chain *chain, struct io *io, const char *directory, struct log_damages *damages)
{
    struct log_chain_listing listing = {0};
    int rc = directory_list(io, directory, log_chain_visit, &listing);
    rc = rc == HF_ENOTFOUND ? 0 : rc;
    for (size_t i = 0; i < listing.count && rc == 0; i++) {
        rc = log_chain_open_file(chain, io, directory, listing.numbers[i]);
        chain->number_max = listing.numbers[i];
    }
    rc = rc == 0 ? log_chain_find_left_over(chain) : rc;
    rc = rc == 0 ? log_chain_check_headers(chain) : rc;
    /* From the back, so that a segment whose header is lost can learn from the next. */
    for (size_t i = chain->segment_count; i > 0 && rc == 0; i--) {
        if (!chain->segments[i - 1].header_good && !chain->segments[i - 1].stale) {
            rc = log_chain_adopt(chain, i - 1);
        }
    }
    if (rc == 0) {
        log_chain_mark_old_epochs(chain);
        rc = log_chain_link(chain);
    }
    if (rc == 0) {
        log_chain_drop_stale(chain);
        rc = log_chain_check_files(chain, damages);
    }
    free(listing.numbers);
    return rc;
}

void log_chain_close(struct log_chain *chain)
{
    for (size_t i = 0; i < chain->segment_count; i++) {
        file_close(chain->segments[i].file);
    }
    free(chain->segments);
    free(chain->stale);
    free(chain->window.data);
    *chain = (struct log_chain){0};
}
