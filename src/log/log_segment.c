#include "log/log_segment.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/trace.h"
#include "log/log_index_build.h"

#define LOG_SEGMENT_ENTRY_EXTRA (LOG_FORMAT_RECORD_HEADER_SIZE + 4u) /* payloads are padded to 8 bytes: the mean */
#define LOG_SEGMENT_STATE_SIZE  (2 * LOG_FORMAT_RUN_SIZE)            /* its run included */

struct log_segment *log_segment_new(const struct log_segment_header *header)
{
    struct log_segment *segment = memory_new(sizeof(*segment));
    segment->header = *header;
    segment->used_bytes = LOG_FORMAT_SEGMENT_HEADER_SIZE;
    return segment;
}

void log_segment_close(struct log_segment *segment)
{
    if (segment == NULL) {
        return;
    }
    assert(segment->pins == 0);
    file_close(segment->writer);
    file_close(segment->reader);
    free(segment->memory);
    file_close(segment->index_reader);
    log_index_file_close(segment->index_file);
    if (segment->index_build != NULL) {
        log_index_build_close(segment->index_build);
    }
    free(segment->index_build);
    free(segment);
}

bool log_segment_is_dead(const struct log_segment *segment)
{
    return segment->live_entries == 0 && segment->live_states == 0;
}

uint64_t log_segment_live_bytes(const struct log_segment *segment)
{
    uint64_t bytes = segment->live_bytes + segment->live_entries * LOG_SEGMENT_ENTRY_EXTRA +
                     segment->live_states * (uint64_t)LOG_SEGMENT_STATE_SIZE;
    return bytes > 0 ? bytes + LOG_FORMAT_BLOCK_SIZE : 0;
}

void log_segment_table_close(struct log_segment_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        log_segment_close(table->items[i]);
    }
    free(table->items);
    *table = (struct log_segment_table){0};
}

void log_segment_table_append(struct log_segment_table *table, struct log_segment *segment)
{
    assert(table->count == 0 || table->items[table->count - 1]->header.number < segment->header.number);
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 16 : table->capacity * 2;
        table->items = memory_resize(table->items, table->capacity * sizeof(struct log_segment *));
    }
    table->items[table->count++] = segment;
    table->size_bytes += segment->header.size_bytes;
}

struct log_segment *log_segment_table_take_first(struct log_segment_table *table)
{
    assert(table->count > 1);
    struct log_segment *first = table->items[0];
    table->count--;
    memmove(table->items, table->items + 1, table->count * sizeof(struct log_segment *));
    table->size_bytes -= first->header.size_bytes;
    table->readers_open -= first->reader != NULL;
    return first;
}

static void log_segment_close_idle_reader(struct log_segment_table *table)
{
    struct log_segment *oldest = NULL;
    for (size_t i = 0; i < table->count; i++) {
        struct log_segment *segment = table->items[i];
        if (segment->reader != NULL && segment->pins == 0 &&
            (oldest == NULL || segment->read_turn < oldest->read_turn)) {
            oldest = segment;
        }
    }
    if (oldest != NULL) {
        file_close(oldest->reader);
        file_close(oldest->index_reader);
        oldest->reader = NULL;
        oldest->index_reader = NULL;
        table->readers_open--;
    }
}

int log_segment_pin(struct log_segment_table *table, struct log_segment *segment, struct io *io, const char *directory)
{
    int rc = 0;
    char name[LOG_FORMAT_NAME_SIZE];
    char *path = NULL;
    if (segment->reader == NULL) {
        if (table->readers_open >= LOG_SEGMENT_READERS_MAX) {
            log_segment_close_idle_reader(table);
        }
        log_format_segment_name(name, segment->header.number);
        path = text_format("%s/%s", directory, name);
        rc = file_open(io, path, FILE_READ, &segment->reader);
        if (rc != 0) {
            rc = error_wrap(rc, "log segment");
            goto done;
        }
        table->readers_open++;
    }
    if (segment->index_replaced && segment->pins == 0) {
        file_close(segment->index_reader);
        segment->index_reader = NULL;
        segment->index_replaced = false;
    }
    bool cold = segment->index_file != NULL && segment->index_state != LOG_SEGMENT_INDEX_WARM;
    if (segment->index_reader == NULL && cold &&
        log_index_file_open_reader(segment->index_file, &segment->index_reader) != 0) {
        /* Its slots are had from the segment itself, until it is made again. */
        TRACE(TRACE_WARN, "log", "an index file cannot be opened: %s", hf_error_text());
        segment->index_reader = NULL;
    }
    segment->pins++;
    segment->read_turn = ++table->read_turn;
done:
    free(path);
    return rc;
}

void log_segment_unpin(struct log_segment *segment)
{
    assert(segment->pins > 0);
    segment->pins--;
}

struct log_place log_segment_place(const struct log_segment *segment, uint64_t offset, uint64_t sequence,
                                   uint64_t position)
{
    return (struct log_place){
        .incarnation = segment->header.incarnation,
        .segment = segment->header.number,
        .offset = offset,
        .sequence = sequence,
        .position = position,
        .log_id = segment->header.log_id,
        .epoch = segment->header.epoch,
        .previous_incarnation = segment->header.previous_incarnation,
    };
}
